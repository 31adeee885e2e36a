/* SPDX-License-Identifier: MIT */
#include "api/call.h"

#include "api/run.h"
#include "base/err.h"
#include "web/body.h"
#include "web/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Runs when the last reference to the request is dropped, on whichever thread that is: jobs hold one, so none are left. */
static void call_free(void *user)
{
    dv__call *c = user;
    dv__run_free(c->run);
    if (c->fini != NULL && c->state != NULL)
        c->fini(c->state);
    json_decref(c->body);
    dv_buf_fini(&c->out);
    dv_arena_fini(&c->arena);
    pthread_mutex_destroy(&c->lock);
    dv_free(c);
}

dv__call *dv__call_new(dv_api *api, dv_http_req *req, const dv__route *route, const char *tail)
{
    dv__call *c = dv_calloc(DV_MEM_API, 1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->api = api;
    c->req = req;
    c->route = route;
    c->tail = tail;
    dv_arena_init(&c->arena, DV_MEM_API, 0);
    dv_buf_init(&c->out, DV_API_MAX_REPLY);
    pthread_mutex_init(&c->lock, NULL);
    dv_http_set_user(req, c, call_free);
    return c;
}

int dv__call_parse(dv__call *c, dv_err *err)
{
    size_t n;
    const char *text = dv_http_body(c->req, &n);
    int rc = dv_body_parse(text, n, &c->body, err);
    dv_http_drop_body(c->req);
    return rc;
}

const char *dv__call_text(int code)
{
    switch (code) {
    case DV_ELIMIT: return "the reply would be longer than 128 MiB: ask for less, or for a stream";
    case DV_EBUSY: return "the server holds too many replies that are not read yet, try again later";
    default: return dv_error_text(code);
    }
}

int dv__call_json(dv__call *c, int status, dv_buf *b)
{
    if (b->code != 0)
        return b->code;
    int rc = dv_http_reply(c->req, status, "application/json; charset=utf-8", dv_buf_str(b), b->len);
    return rc == DV_ECANCELED ? 0 : rc;
}

/* Errors that lower layers report begin with the path of the field; if it is one of the body's, say so. */
static void find_param(dv__call *c, const dv_err *err)
{
    char key[64];
    size_t n = strspn(err->msg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]-");
    size_t k = strcspn(err->msg, ".[: ");
    if (c->param[0] != 0 || n == 0 || n >= sizeof c->param || k > n || k >= sizeof key)
        return;
    memcpy(key, err->msg, k);
    key[k] = 0;
    if (json_object_get(c->body, key) != NULL)
        snprintf(c->param, sizeof c->param, "%.*s", (int)n, err->msg);
}

dv_problem dv__call_problem(const dv__call *c, const dv_err *err)
{
    dv_problem p = {
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
        p.retry_after = DV_PROBLEM_RETRY_S;
    return p;
}

void dv__call_fail(dv__call *c, const dv_err *err)
{
    find_param(c, err);
    dv_problem p = dv__call_problem(c, err);
    if (p.status == 503)
        atomic_fetch_add_explicit(&c->api->count.refused, 1, memory_order_relaxed);
    dv_problem_reply(c->req, c->route->style, &p);
}

const char *dv__call_model(const dv__call *c)
{
    const char *model = json_string_value(json_object_get(c->body, "model"));
    return model != NULL && model[0] != 0 ? model : c->api->model;
}

void dv__api_log(const dv_api *api, int level, const char *fmt, ...)
{
    if (api->o.log == NULL)
        return;
    dv_buf line;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv_buf_init(&line, 0);
    if (n > 0 && dv_buf_escaped(&line, text, DV_MIN((size_t)n, sizeof text - 1)) == 0)
        api->o.log(api->o.log_arg, level, line.data);
    dv_buf_fini(&line);
}
