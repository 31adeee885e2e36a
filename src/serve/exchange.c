/* SPDX-License-Identifier: MIT */
#include "serve/exchange.h"

#include "base/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

dv_problem dv__xchg_problem_of(const dv__xchg *x, const dv_err *err)
{
    dv_problem p = {
        .status = dv_error_http_status(err->code),
        .text = err->msg[0] != 0 ? err->msg : dv_error_text(err->code),
        .param = x->check.param,
    };
    if (err->code == DV_ECANCELED)
        p.status = 503; /* the client is there, so it was us */
    else if (x->of_model && err->code == DV_EIO)
        p.status = 502;
    else if (x->of_model && err->code == DV_ELIMIT)
        p.status = 503; /* it does not fit beside what is busy: no fault of the request */
    else if (x->of_model && err->code == DV_EFORMAT)
        p.status = 500; /* its file */
    else if (err->code == DV_ENOENT && x->row != NULL && (x->row->flags & DV__ROW_JOB) != 0)
        p.code = "model_not_found";
    if (p.status == 503 || p.status == 429)
        p.retry_after = x->retry_s > 0 ? x->retry_s : DV_PROBLEM_RETRY_S;
    return p;
}

static void add_number(dv_http_req *req, const char *name, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    (void)dv_http_add_header(req, name, text);
}

/* As many servers say it (draft-ietf-httpapi-ratelimit-headers-03), and as OpenAI's clients read it. */
static void add_rate(const dv__xchg *x)
{
    uint64_t reset_s = (x->rate.reset_ms + 999) / 1000;
    char reset[32], policy[64];
    snprintf(policy, sizeof policy, "%" PRIu64 ";w=%" PRIu64, x->rate_limit, (x->rate_window_ms + 999) / 1000);
    snprintf(reset, sizeof reset, "%" PRIu64 "ms", x->rate.reset_ms);
    add_number(x->req, "RateLimit-Limit", x->rate_limit);
    add_number(x->req, "RateLimit-Remaining", x->rate.remaining);
    add_number(x->req, "RateLimit-Reset", reset_s);
    (void)dv_http_add_header(x->req, "RateLimit-Policy", policy);
    add_number(x->req, "x-ratelimit-limit-requests", x->rate_limit);
    add_number(x->req, "x-ratelimit-remaining-requests", x->rate.remaining);
    (void)dv_http_add_header(x->req, "x-ratelimit-reset-requests", reset);
}

void dv__xchg_headers(dv__xchg *x)
{
    dv_http_req *req = x->req;
    if (x->headed)
        return;
    x->headed = true;
    (void)dv_http_add_header(req, "X-Content-Type-Options", "nosniff");
    (void)dv_http_add_header(req, "Cache-Control", "no-store");
    (void)dv_http_add_header(req, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    (void)dv_http_add_header(req, "Referrer-Policy", "no-referrer");
    (void)dv_http_add_header(req, "Cross-Origin-Resource-Policy", "same-origin");
    if (dv_http_is_tls(req))
        (void)dv_http_add_header(req, "Strict-Transport-Security", "max-age=31536000");
    if (x->rate_said)
        add_rate(x);
}

void dv__xchg_problem(dv__xchg *x, const dv_problem *p)
{
    dv__xchg_headers(x);
    if (p->status == 401)
        (void)dv_http_add_header(x->req, "WWW-Authenticate", "Bearer");
    x->detail = p->type != NULL ? p->type : dv_http_reason(p->status);
    dv_problem_reply(x->req, x->style, p);
}

void dv__xchg_fail(dv__xchg *x, const dv_err *err)
{
    dv_problem p = dv__xchg_problem_of(x, err);
    dv__xchg_problem(x, &p);
}

int dv__xchg_json(dv__xchg *x, int status, dv_buf *b)
{
    int rc = b->code;
    if (rc == 0) {
        dv__xchg_headers(x);
        rc = dv_http_reply(x->req, status, "application/json; charset=utf-8", dv_buf_str(b), b->len);
    }
    dv_buf_fini(b);
    return rc == DV_ECANCELED ? 0 : rc;
}

int dv__xchg_param(const dv__xchg *x, unsigned i, char *out, size_t cap, dv_err *err)
{
    if (i >= x->params.n || x->params.len[i] >= cap)
        return dv_fail(err, DV_EINVAL, "a part of the path is too long");
    memcpy(out, x->params.v[i], x->params.len[i]);
    out[x->params.len[i]] = 0;
    return 0;
}

dv_audit_who dv__xchg_who(const dv__xchg *x)
{
    static const dv_audit_kind kinds[] = {[DV__WHO_NONE] = DV_AUDIT_ANONYMOUS,
                                          [DV__WHO_ADDRESS] = DV_AUDIT_ADDRESS,
                                          [DV__WHO_LOCAL] = DV_AUDIT_ADDRESS,
                                          [DV__WHO_KEY] = DV_AUDIT_KEY,
                                          [DV__WHO_USER] = DV_AUDIT_USER};
    const dv__who *w = &x->who;
    const char *id = w->id;
    if (w->kind == DV__WHO_KEY)
        id = w->key->name;
    else if (w->kind == DV__WHO_USER)
        id = w->session.user.name;
    return (dv_audit_who){.kind = kinds[w->kind],
                          .id = id,
                          .address = w->address[0] != 0 ? w->address : NULL,
                          .request = dv_http_id(x->req)};
}

void dv__xchg_handle(dv__xchg *x)
{
    dv_err err = {0};
    int rc = x->row->handle(x, &err);
    if (rc == 0)
        return;
    if (err.code == 0)
        dv_fail(&err, rc, "%s", dv_error_text(rc));
    dv__xchg_fail(x, &err);
}
