/* SPDX-License-Identifier: MIT */
/* The routes of OpenAI's API. Lists of models are answered here; everything that runs a model goes to its instance. */
#include "base/attr.h"
#include "serve/listing.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <string.h>

/* As OpenAI has it, with llama-server's meta. */
static void put_model(dv_buf *b, const dv__xchg *x, const dv_model_info *m)
{
    dv_buf_adds(b, "{\"id\":");
    dv_buf_json_str(b, m->name, strlen(m->name));
    dv_buf_printf(b,
                  ",\"object\":\"model\",\"created\":%" PRIu64 ",\"owned_by\":\"drover\",\"aliases\":", m->modified_s);
    dv__put_list(b, m->aliases.v, m->aliases.n);
    dv_buf_printf(b, ",\"status\":{\"value\":\"%s\"}",
                  m->state == DV_INSTANCE_READY ? "loaded" : dv_instance_state_name(m->state));
    if (m->context_train > 0)
        dv_buf_printf(b,
                      ",\"meta\":{\"n_ctx_train\":%" PRIu64 ",\"n_embd\":%" PRIu64 ",\"n_params\":%" PRIu64
                      ",\"size\":%" PRIu64 "}",
                      m->context_train, m->embedding, m->parameters, m->file_bytes);
    dv_buf_addc(b, '}');
}

static int get_models(dv__xchg *x, dv_err *err)
{
    return dv__reply_models(x, "{\"object\":\"list\",\"data\":[", put_model);
}
static int get_model(dv__xchg *x, dv_err *err) { return dv__reply_model(x, put_model, err); }

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
