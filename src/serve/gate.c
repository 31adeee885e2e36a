/* SPDX-License-Identifier: MIT */
/* The steps that a request's head goes through, and the callbacks of the HTTP server. */
#include "serve/gate.h"

#include "base/err.h"
#include "base/mem.h"
#include "serve/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Runs when the last reference to the request is dropped, on whichever thread that is. What belongs to the I/O thread went at on_end. */
static void xchg_free(void *user)
{
    dv__xchg *x = user;
    json_decref(x->body);
    dv_buf_fini(&x->rewritten);
    dv_free(x->prompt);
    dv__who_fini(&x->who);
    dv__config_unref(x->cfg);
    dv_free(x);
}

static dv__xchg *xchg_new(dv_serve *s, dv_http_req *req)
{
    dv__xchg *x = dv_calloc(DV_MEM_API, 1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->s = s;
    x->req = req;
    x->cfg = dv__config_ref(s->cfg);
    dv_buf_init(&x->rewritten, 0);
    dv_http_set_user(req, x, xchg_free);
    return x;
}

static bool refuse(dv__xchg *x, int status, const char *text)
{
    dv_problem p = {.status = status, .text = text, .retry_after = status == 503 ? DV_PROBLEM_RETRY_S : 0};
    dv__xchg_problem(x, &p);
    return false;
}

/* ---- steps; false: replied ---- */

static bool pass_names(dv__xchg *x)
{
    dv_http_req *req = x->req;
    const char *host = dv_http_header(req, "Host"), *origin = dv_http_header(req, "Origin");
    if (dv_http_is_unix(req))
        return true; /* browsers cannot reach it */
    if (!dv_guard_host(&x->cfg->guard, host))
        return refuse(x, 403, "this Host is not served (security.allowed_hosts allows another)");
    if (origin == NULL)
        return true;
    if (!dv_guard_origin(&x->cfg->guard, origin, host, dv_http_is_tls(req)))
        return refuse(x, 403, "pages of this Origin may not call (security.allowed_origins allows them)");
    (void)dv_http_add_header(req, "Access-Control-Allow-Origin", origin);
    (void)dv_http_add_header(req, "Access-Control-Expose-Headers",
                             "X-Request-Id, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset");
    (void)dv_http_add_header(req, "Vary", "Origin");
    if (dv_guard_origin_named(&x->cfg->guard, origin, host, dv_http_is_tls(req)))
        (void)dv_http_add_header(req, "Access-Control-Allow-Credentials", "true");
    return true;
}

/* OPTIONS, also a browser's question before a call (Fetch, CORS preflight): it carries no key. */
static bool answer_options(dv__xchg *x, const char *allow)
{
    char methods[128];
    snprintf(methods, sizeof methods, "%s%sOPTIONS", allow, allow[0] != 0 ? ", " : "");
    (void)dv_http_add_header(x->req, "Allow", methods);
    if (dv_http_header(x->req, "Origin") != NULL) {
        (void)dv_http_add_header(x->req, "Access-Control-Allow-Methods", methods);
        (void)dv_http_add_header(x->req, "Access-Control-Allow-Headers",
                                 "Authorization, Content-Type, X-Api-Key, X-CSRF-Token, X-Drover-Profile");
        (void)dv_http_add_header(x->req, "Access-Control-Max-Age", "600");
    }
    (void)dv_http_reply(x->req, 204, NULL, NULL, 0);
    return false;
}

static bool pass_route(dv__xchg *x, const char *allow)
{
    if (x->row != NULL)
        return true;
    if (allow[0] == 0)
        return refuse(x, 404, "File Not Found");
    (void)dv_http_add_header(x->req, "Allow", allow);
    return refuse(x, 405, "this path does not have this method");
}

/* Guesses of keys count against the address that they come from. */
static bool refuse_stranger(dv__xchg *x, const dv_err *err)
{
    char id[DV__IDENTITY];
    uint8_t addr[16];
    if (err->code == DV_EAUTH && dv_http_address(x->req, addr)) {
        char text[64];
        dv__who_address(addr, id, text);
        memcpy(x->who.id, id, sizeof id);
        if (!dv__admit_rate(x))
            return false;
        x->rate_wait = false; /* refused whatever the answer is */
    }
    dv_problem p = dv__xchg_problem_of(x, err);
    if (err->code == DV_EAUTH)
        p.text = err->msg[0] != 0 && strstr(err->msg, "session") != NULL ? err->msg : "Invalid API Key";
    dv__xchg_problem(x, &p);
    return false;
}

static bool pass_identity(dv__xchg *x)
{
    dv_err err = {0};
    if (x->row != NULL && (x->row->flags & DV__ROW_PUBLIC) != 0)
        return true;
    int rc = dv__who_find(x, &err);
    if (rc == 0 && x->row != NULL)
        rc = dv__who_may(x, &err);
    else if (rc == 0 && x->who.kind == DV__WHO_NONE) /* what is not there is told to those only who may ask */
        rc = dv_fail(&err, DV_EAUTH, "Invalid API Key");
    if (rc == 0)
        return true;
    if (err.code == 0)
        dv_fail(&err, rc, "%s", dv_error_text(rc));
    return refuse_stranger(x, &err);
}

static bool pass_load(dv__xchg *x)
{
    const unsigned recorded = DV__ROW_JOB | DV__ROW_WRITE;
    if (x->s->draining && (x->row->flags & DV__ROW_ALWAYS) == 0)
        return refuse(x, 503, "the server is shutting down");
    if (x->s->audit_blocked && (x->row->flags & recorded) != 0)
        return refuse(x, 503, "the audit log cannot be written (see /api/health); try again later");
    return true;
}

static bool pass_body(dv__xchg *x)
{
    const char *coding = dv_http_header(x->req, "Content-Encoding");
    if (x->row->body != NULL && coding != NULL && strcasecmp(coding, "identity") != 0)
        return refuse(x, 415, "bodies are taken as they are: no Content-Encoding");
    if (x->row->body == NULL)
        (void)dv_http_limit_body(x->req, 1); /* what is there is refused with a sentence, or before it is read */
    return true;
}

static void steps(dv__xchg *x)
{
    char allow[96];
    dv_serve *s = x->s;
    int tag = dv_http_tag(x->req);
    dv_conf_api own = (size_t)tag < s->n_listeners ? s->listeners[tag].api : DV_CONF_API_OPENAI;
    if (!pass_names(x))
        return;
    x->row = dv__rows_find(dv_http_method(x->req), dv_http_path(x->req), own, allow, &x->params);
    x->style = x->row != NULL ? x->row->style : DV_STYLE_OPENAI;
    if (dv_http_method(x->req) == DV_HTTP_OPTIONS) {
        (void)answer_options(x, allow);
        return;
    }
    if (!pass_identity(x) || !pass_route(x, allow))
        return;
    if ((x->row->flags & DV__ROW_PUBLIC) == 0) {
        x->counted = true;
        s->n_active++;
    }
    if (!pass_load(x) || !pass_body(x))
        return;
    if ((x->row->flags & DV__ROW_PUBLIC) == 0)
        (void)dv__admit_rate(x);
}

/* ---- callbacks ---- */

void dv__gate_head(void *arg, dv_http_req *req)
{
    dv__xchg *x = xchg_new(arg, req);
    if (x != NULL)
        steps(x);
    else
        (void)dv_http_reply(req, 503, NULL, NULL, 0);
}

void dv__gate_request(void *arg, dv_http_req *req)
{
    dv__xchg *x = dv_http_user(req);
    if (x == NULL || x->row == NULL)
        return;
    x->body_here = true;
    dv_http_ref(req); /* until the end: answers come later */
    x->held = true;
    if (!x->rate_wait)
        dv__check_start(x);
}

static void stop(dv__xchg *x)
{
    if (x->stop != NULL)
        x->stop(x);
    x->stop = NULL;
}

void dv__gate_gone(void *arg, dv_http_req *req)
{
    dv__xchg *x = dv_http_user(req);
    if (x != NULL)
        stop(x);
}

void dv__gate_writable(void *arg, dv_http_req *req)
{
    dv__xchg *x = dv_http_user(req);
    if (x != NULL && x->writable != NULL)
        x->writable(x);
}

void dv__gate_end(void *arg, dv_http_req *req)
{
    dv__xchg *x = dv_http_user(req);
    if (x == NULL)
        return;
    x->ended = true;
    stop(x);
    if (x->counted)
        x->s->n_active--;
    dv__record_end(x);
    if (!x->working)
        dv__admit_end(x);
    if (x->held)
        dv_http_unref(req);
}

void dv__gate_refuse(void *arg, int status, const char *why, dv_buf *body, const char **content_type)
{
    dv_problem p = {.status = status, .text = why};
    *content_type = "application/json; charset=utf-8";
    dv_problem_body(body, DV_STYLE_OPENAI, &p, "");
}

void dv__gate_log(void *arg, int level, const char *text)
{
    dv_serve *s = arg;
    dv__log_line(s->log, level, text, NULL, 0);
}
