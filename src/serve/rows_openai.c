/* SPDX-License-Identifier: MIT */
/* The routes of OpenAI's API. Lists of models are answered here; everything that runs a model goes to its instance. */
#include "base/attr.h"
#include "base/err.h"
#include "serve/exchange.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <string.h>

typedef struct list {
    dv__xchg *x;
    dv_buf *b;
    bool any;
} list;

/* As OpenAI has it, with llama-server's meta. */
static void put_model(dv_buf *b, const dv_model_info *m)
{
    dv_buf_adds(b, "{\"id\":");
    dv_buf_json_str(b, m->name, strlen(m->name));
    dv_buf_printf(b, ",\"object\":\"model\",\"created\":%" PRIu64 ",\"owned_by\":\"drover\",\"aliases\":[",
                  m->modified_s);
    for (size_t i = 0; i < m->aliases.n; i++) {
        dv_buf_adds(b, i > 0 ? "," : "");
        dv_buf_json_str(b, m->aliases.v[i], strlen(m->aliases.v[i]));
    }
    dv_buf_printf(b, "],\"status\":{\"value\":\"%s\"}",
                  m->state == DV_INSTANCE_READY ? "loaded" : dv_instance_state_name(m->state));
    if (m->context_train > 0)
        dv_buf_printf(b,
                      ",\"meta\":{\"n_ctx_train\":%" PRIu64 ",\"n_embd\":%" PRIu64 ",\"n_params\":%" PRIu64
                      ",\"size\":%" PRIu64 "}",
                      m->context_train, m->embedding, m->parameters, m->file_bytes);
    dv_buf_addc(b, '}');
}

static bool list_model(void *arg, const dv_model_info *m)
{
    list *l = arg;
    if (!dv__who_may_model(l->x, m->name))
        return true;
    dv_buf_adds(l->b, l->any ? "," : "");
    put_model(l->b, m);
    l->any = true;
    return true;
}

static int get_models(dv__xchg *x, dv_err *err)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    list l = {.x = x, .b = &b};
    dv_buf_adds(&b, "{\"object\":\"list\",\"data\":[");
    dv_fleet_models(x->s->fleet, list_model, &l);
    dv_buf_adds(&b, "]}");
    return dv__xchg_json(x, 200, &b);
}

static int get_model(dv__xchg *x, dv_err *err)
{
    char name[DV__MODEL_NAME];
    dv_buf b;
    int rc = dv__xchg_param(x, 0, name, sizeof name, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    list l = {.x = x, .b = &b};
    (void)dv_fleet_model(x->s->fleet, name, list_model, &l);
    if (l.any)
        return dv__xchg_json(x, 200, &b);
    dv_buf_fini(&b);
    return dv_fail(err, DV_ENOENT, "the model '%s' does not exist", name);
}

#define OPENAI .api = DV_CONF_API_OPENAI, .style = DV_STYLE_OPENAI
#define RUNS .flags = DV__ROW_JOB | DV__ROW_BARE, .handle = dv__proxy

static const dv__row rows[] = {
    {DV_HTTP_GET, "/v1/models", OPENAI, .group = DV__GROUP_MODELS, .flags = DV__ROW_BARE | DV__ROW_ALWAYS,
     .handle = get_models, .summary = "The models that may be asked", .reply = "ModelList"},
    {DV_HTTP_GET, "/v1/models/{model*}", OPENAI, .group = DV__GROUP_MODELS, .flags = DV__ROW_BARE | DV__ROW_ALWAYS,
     .handle = get_model, .summary = "One of the models", .reply = "Model"},
    {DV_HTTP_POST, "/v1/chat/completions", OPENAI, .group = DV__GROUP_CHAT, RUNS, .body = &dv__schema_chat,
     .summary = "Answer a chat, streamed or not", .reply = "ChatCompletion"},
    {DV_HTTP_POST, "/v1/completions", OPENAI, .group = DV__GROUP_COMPLETIONS, .flags = DV__ROW_JOB, .handle = dv__proxy,
     .body = &dv__schema_completions, .summary = "Go on from a prompt", .reply = "Completion"},
    {DV_HTTP_POST, "/v1/embeddings", OPENAI, .group = DV__GROUP_EMBEDDINGS, .flags = DV__ROW_JOB, .handle = dv__proxy,
     .body = &dv__schema_embeddings, .summary = "A vector for each text", .reply = "Embeddings"},
    {DV_HTTP_POST, "/v1/responses", OPENAI, .group = DV__GROUP_CHAT, RUNS, .body = &dv__schema_responses,
     .summary = "Answer, as OpenAI's responses", .reply = "Response"},
    {DV_HTTP_POST, "/v1/responses/input_tokens", OPENAI, .group = DV__GROUP_TOKENS, .flags = DV__ROW_BARE,
     .handle = dv__proxy_light, .body = &dv__schema_response_tokens,
     .summary = "How many tokens a response's input has", .reply = "TokenCount"},
};

const dv__rows dv__rows_openai = {rows, DV_ARRAY_LEN(rows)};
