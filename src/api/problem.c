/* SPDX-License-Identifier: MIT */
#include "api/problem.h"

#include <stdio.h>
#include <string.h>

/* X(status, OpenAI's and llama-server's type, Anthropic's type) */
#define TYPES(X)                                             \
    X(400, "invalid_request_error", "invalid_request_error") \
    X(401, "authentication_error", "authentication_error")   \
    X(403, "permission_error", "permission_error")           \
    X(404, "not_found_error", "not_found_error")             \
    X(405, "invalid_request_error", "invalid_request_error") \
    X(408, "invalid_request_error", "invalid_request_error") \
    X(413, "invalid_request_error", "request_too_large")     \
    X(415, "invalid_request_error", "invalid_request_error") \
    X(500, "server_error", "api_error")                      \
    X(501, "not_supported_error", "invalid_request_error")   \
    X(503, "unavailable_error", "overloaded_error")

static const char *type_of(int status, dv__shape shape)
{
    switch (status) {
#define CASE(code, openai, anthropic) \
    case code: return shape == DV__SHAPE_ANTHROPIC ? anthropic : openai;
        TYPES(CASE)
#undef CASE
    default: return type_of(status < 500 ? 400 : 500, shape);
    }
}

/* Seconds after which a client that found no room should come again: soon, since a place gets free with every answer. */
enum { RETRY_AFTER = 1 };

dv__problem dv__problem_of(const dv__call *c, const dv_err *err)
{
    dv__problem p = {
        .status = dv_error_http_status(err->code),
        .text = err->msg[0] != 0 ? err->msg : dv_error_text(err->code),
        .param = c->param,
    };
    if (err->code == DV_ECONTEXT) {
        p.type = "exceed_context_size_error";
        p.n_prompt = c->n_prompt;
        p.n_ctx = dv_engine_get_info(c->api->engine)->n_ctx;
    } else if (err->code == DV_ECANCELED) {
        p.status = 503; /* the client is there, so it was us */
        p.text = "the server is shutting down";
    }
    if (p.status == 503)
        p.retry_after = RETRY_AFTER;
    return p;
}

static void put(dv_buf *b, const char *key, const char *text)
{
    dv_buf_adds(b, key);
    dv_buf_json_str(b, text, strlen(text));
}

int dv__problem_body(dv_buf *b, dv__shape shape, const dv__problem *p, const char *request_id)
{
    const char *type = p->type != NULL && shape == DV__SHAPE_OPENAI ? p->type : type_of(p->status, shape);
    if (shape == DV__SHAPE_ANTHROPIC) {
        put(b, "{\"type\":\"error\",\"error\":{\"type\":", type);
        put(b, ",\"message\":", p->text);
        put(b, "},\"request_id\":", request_id);
        return dv_buf_adds(b, "}");
    }
    put(b, "{\"error\":{\"message\":", p->text);
    put(b, ",\"type\":", type);
    if (p->param != NULL && p->param[0] != 0)
        put(b, ",\"param\":", p->param);
    else
        dv_buf_adds(b, ",\"param\":null");
    if (p->n_ctx != 0)
        dv_buf_printf(b, ",\"n_prompt_tokens\":%u,\"n_ctx\":%u", p->n_prompt, p->n_ctx);
    return dv_buf_printf(b, ",\"code\":%d}}", p->status);
}

void dv__problem_reply(dv_http_req *req, dv__shape shape, const dv__problem *p)
{
    static const char none[] =
        "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"param\":null,\"code\":500}}";
    dv_buf b;
    dv_buf_init(&b, 0);
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", p->retry_after);
    if (p->retry_after != 0)
        (void)dv_http_add_header(req, "Retry-After", seconds);
    if (dv__problem_body(&b, shape, p, dv_http_id(req)) == 0)
        (void)dv_http_reply(req, p->status, "application/json; charset=utf-8", b.data, b.len);
    else
        (void)dv_http_reply(req, 500, "application/json; charset=utf-8", none, sizeof none - 1);
    dv_buf_fini(&b);
}
