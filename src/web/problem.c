/* SPDX-License-Identifier: MIT */
#include "web/problem.h"

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
    X(409, "invalid_request_error", "invalid_request_error") \
    X(413, "invalid_request_error", "request_too_large")     \
    X(415, "invalid_request_error", "invalid_request_error") \
    X(429, "rate_limit_error", "rate_limit_error")           \
    X(500, "server_error", "api_error")                      \
    X(501, "not_supported_error", "invalid_request_error")   \
    X(503, "unavailable_error", "overloaded_error")

static const char *type_of(int status, dv_style style)
{
    switch (status) {
#define CASE(code, openai, anthropic) \
    case code: return style == DV_STYLE_ANTHROPIC ? anthropic : openai;
        TYPES(CASE)
#undef CASE
    default: return type_of(status < 500 ? 400 : 500, style);
    }
}

static void put(dv_buf *b, const char *key, const char *text)
{
    dv_buf_adds(b, key);
    dv_buf_json_str(b, text, strlen(text));
}

int dv_problem_body(dv_buf *b, dv_style style, const dv_problem *p, const char *request_id)
{
    const char *type = p->type != NULL && style == DV_STYLE_OPENAI ? p->type : type_of(p->status, style);
    if (style == DV_STYLE_ANTHROPIC) {
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
    if (p->code == NULL)
        return dv_buf_printf(b, ",\"code\":%d}}", p->status);
    put(b, ",\"code\":", p->code);
    return dv_buf_adds(b, "}}");
}

int dv_problem_event(dv_buf *b, dv_style style, const dv_problem *p, const char *request_id)
{
    dv_buf_adds(b, style == DV_STYLE_ANTHROPIC ? "event: error\ndata: " : "data: ");
    dv_problem_body(b, style, p, request_id);
    return dv_buf_adds(b, "\n\n");
}

/* Without memory for a body the status alone must do, and without any for that the end of the connection: a client that gets nothing waits. */
static void reply_bare(dv_http_req *req, int status)
{
    int rc = dv_http_reply(req, status, NULL, NULL, 0);
    if (rc == DV_ENOMEM || rc == DV_EBUSY)
        dv_http_abort(req);
}

void dv_problem_reply(dv_http_req *req, dv_style style, const dv_problem *p)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", p->retry_after);
    if (p->retry_after != 0)
        (void)dv_http_add_header(req, "Retry-After", seconds);
    int rc = dv_problem_body(&b, style, p, dv_http_id(req));
    if (rc == 0)
        rc = dv_http_reply(req, p->status, "application/json; charset=utf-8", b.data, b.len);
    if (rc == DV_ENOMEM || rc == DV_EBUSY)
        reply_bare(req, p->status);
    dv_buf_fini(&b);
}
