/* SPDX-License-Identifier: MIT */
/* POST /v1/embeddings: mean of the last layer over the tokens of a text, of length 1. /embedding and /embeddings are llama-server's: the same
 * vectors, each in a list of its own. */
#include "api/gen.h"
#include "api/prompt.h"
#include "api/reply.h"
#include "api/run.h"
#include "base/base64.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

typedef struct embed {
    const char *format;
    const json_t *input, *content;
    uint32_t dimensions;
    bool native; /* llama-server's own shape */
    size_t n;
    float **vector; /* [n] in the call's arena */
} embed;

static const dv__field rows[] = {
    {"input", DV__FIELD_JSON, offsetof(embed, input), 0, 0, false, NULL},
    {"encoding_format", DV__FIELD_STR, offsetof(embed, format), 0, 0, false, "float|base64"},
    {"dimensions", DV__FIELD_U32, offsetof(embed, dimensions), 1, 1 << 24, false, NULL},
};
static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};

static const dv__field native_rows[] = {
    {"content", DV__FIELD_JSON, offsetof(embed, content), 0, 0, false, NULL},
    {"input", DV__FIELD_JSON, offsetof(embed, input), 0, 0, false, NULL},
    {"embd_normalize", DV__FIELD_I64, DV__FIELD_NOWHERE, 2, 2, false, NULL}, /* 2: to length 1 */
};
static const dv__fields native_fields = {native_rows, DV_ARRAY_LEN(native_rows)};

static int keep_vector(dv__call *c, float *out, const dv_job_event *ev)
{
    double sum = 0;
    for (uint32_t i = 0; i < ev->n_embd; i++)
        sum += (double)ev->embedding[i] * ev->embedding[i];
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < ev->n_embd; i++)
        out[i] = (float)(ev->embedding[i] * scale);
    return 0;
}

static int on_event(dv__call *c, uint32_t item, const dv_job_event *ev)
{
    embed *e = c->state;
    if (ev->type != DV_JOB_EMBEDDING)
        return 0;
    return ev->n_embd == e->dimensions ? keep_vector(c, e->vector[item], ev) : DV_EINTERNAL;
}

static void put_vector(dv_buf *b, const embed *e, const float *v)
{
    if (e->format != NULL && strcmp(e->format, "base64") == 0) {
        dv_buf_addc(b, '"');
        dv_buf_base64(b, v, e->dimensions * sizeof *v); /* little-endian, as this machine is */
        dv_buf_addc(b, '"');
        return;
    }
    for (uint32_t i = 0; i < e->dimensions; i++)
        dv_buf_printf(b, i > 0 ? ",%.9g" : "[%.9g", v[i]); /* reads back as the same float */
    dv_buf_addc(b, ']');
}

static int put_native(dv_buf *b, const embed *e)
{
    dv_buf_addc(b, '[');
    for (size_t i = 0; i < e->n; i++) {
        dv_buf_printf(b, "%s{\"index\":%zu,\"embedding\":[", i > 0 ? "," : "", i);
        put_vector(b, e, e->vector[i]);
        dv_buf_adds(b, "]}");
    }
    return dv_buf_addc(b, ']');
}

static int on_done(dv__call *c)
{
    embed *e = c->state;
    const dv_job_timing *t = dv__run_timing(c);
    if (e->native)
        return put_native(&c->out, e);
    dv_buf_adds(&c->out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < e->n; i++) {
        dv_buf_printf(&c->out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i > 0 ? "," : "", i);
        put_vector(&c->out, e, e->vector[i]);
        dv_buf_addc(&c->out, '}');
    }
    dv_buf_adds(&c->out, "],\"model\":");
    dv__put_str(&c->out, dv__call_model(c));
    return dv_buf_printf(&c->out, ",\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}", t->n_prompt, t->n_prompt);
}

static int start(dv__call *c, embed *e, const dv__prompts *prompts, dv_err *err)
{
    static const dv__sink sink = {.event = on_event, .done = on_done};
    dv_job_params *p = dv_arena_calloc(&c->arena, prompts->n, sizeof *p);
    e->n = prompts->n;
    e->vector = dv_arena_calloc(&c->arena, e->n, sizeof *e->vector);
    if (p == NULL || e->vector == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    for (size_t i = 0; i < e->n; i++) {
        e->vector[i] = dv_arena_calloc(&c->arena, e->dimensions, sizeof *e->vector[i]);
        if (e->vector[i] == NULL)
            return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        p[i] = (dv_job_params){
            .kind = DV_JOB_EMBED,
            .prompt = prompts->v[i].id,
            .n_prompt = prompts->v[i].n,
            .sampling = c->api->o.sampling,
            .n = 1,
            .slot = -1,
        };
    }
    return dv__run_start(c, &sink, p, (uint32_t)e->n, err);
}

/* An embed for a call, which owns it. NULL: out of memory. */
static embed *embed_new(dv__call *c)
{
    embed *e = dv_arena_calloc(&c->arena, 1, sizeof *e);
    if (e != NULL)
        e->dimensions = dv_engine_get_info(c->api->engine)->n_embd;
    c->state = e;
    return e;
}

static int post_embeddings(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &dv__fields_meta};
    uint32_t n_embd = dv_engine_get_info(c->api->engine)->n_embd;
    dv__prompts prompts = {0};
    embed *e = embed_new(c);
    if (e == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    int rc = dv__fields_read(c, c->body, NULL, tables, DV_ARRAY_LEN(tables), e, err);
    if (rc == 0 && e->dimensions != n_embd)
        rc = dv__param_fail(c, err, "dimensions", "this model's embeddings have %u, which cannot be changed", n_embd);
    if (rc == 0)
        rc = dv__prompts_read(c, e->input, "input", false, &prompts, err);
    return rc == 0 ? start(c, e, &prompts, err) : rc;
}

static int post_native(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&native_fields, &dv__fields_meta};
    dv__prompts prompts = {0};
    embed *e = embed_new(c);
    if (e == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    e->native = true;
    int rc = dv__fields_read(c, c->body, NULL, tables, DV_ARRAY_LEN(tables), e, err);
    if (rc == 0 && e->content != NULL && e->input != NULL)
        rc = dv__param_fail(c, err, "input", "is another name of content: one of them is enough");
    if (rc == 0)
        rc = dv__prompts_read(c, e->input != NULL ? e->input : e->content, e->input != NULL ? "input" : "content", true,
                              &prompts, err);
    return rc == 0 ? start(c, e, &prompts, err) : rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/v1/embeddings", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_embeddings},
    {DV_HTTP_POST, "/embeddings", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_native},
    {DV_HTTP_POST, "/embedding", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_OPENAI, post_native},
};
const dv__routes dv__routes_embeddings = {routes, DV_ARRAY_LEN(routes)};
