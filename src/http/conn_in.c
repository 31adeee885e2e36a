/* SPDX-License-Identifier: MIT */
/* Bytes from the client, and the requests that they make. */
#include "http/conn_state.h"

#include "base/attr.h"
#include "base/clock.h"

enum { HEAD_STEP = 2 << 10 };

/* The server's own reply to what it does not take. The rest of the input has no meaning any more. */
void dv__conn_refuse(dv__conn *c, int status, const char *why)
{
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    const char *type = "text/plain; charset=utf-8";
    dv_buf body;
    dv__core_log(c->core, DV_HTTP_LOG_INFO, "%s: %d %s", c->peer.text, status, why);
    dv_buf_init(&body, 0);
    if (o->on_refuse != NULL)
        o->on_refuse(o->arg, status, why, &body, &type);
    else
        dv_buf_printf(&body, "%d %s: %s\n", status, dv_http_reason(status), why);
    c->last = c->linger = true;
    dv__conn_set_state(c, DV__CONN_REPLY, 0);
    if (status == 503)
        dv_http_add_header(r, "Retry-After", "1");
    /* A worker may have been quicker with a reply of its own, which then stands. */
    if (body.code != 0 || dv_http_reply(r, status, type, body.data, body.len) == DV_ENOMEM)
        dv__conn_cut(c, "out of memory");
    else
        dv__conn_serve(c);
    dv_buf_fini(&body);
}

static void body_done(dv__conn *c)
{
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    dv__conn_set_state(c, DV__CONN_REPLY, 0);
    o->on_request(o->arg, r);
    if (dv__req_orphan(r))
        dv_http_reply(r, 500, "text/plain; charset=utf-8", "500: nobody answers\n", 20);
    dv__conn_serve(c);
}

static bool body_expected(const dv_http_req *r) { return r->head.chunked || r->head.length > 0; }

static void head_done(dv__conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    const char *why = NULL;
    int code = dv__req_target(r, &why);
    if (code == DV_ENOMEM) {
        dv__conn_cut(c, "out of memory");
        return;
    }
    if (code != 0 || r->head.length > o->max_body) {
        dv__conn_refuse(c, code != 0 ? 400 : 413, code != 0 ? why : "the body is too large");
        return;
    }
    c->last = c->last || r->head.close;
    c->body_left = r->head.length;
    c->chunked = (dv__chunked){0};
    r->begun_ns = dv_clock_ns();
    r->told = true;
    if (body_expected(r))
        dv__conn_set_state(c, DV__CONN_BODY, o->body_timeout_ms);
    else
        dv__conn_set_state(c, DV__CONN_REPLY, 0);
    r->deciding = true;
    if (o->on_head != NULL)
        o->on_head(o->arg, r);
    r->deciding = false;
    pthread_mutex_lock(&r->mutex);
    bool replied = r->state != DV__REPLY_NONE;
    pthread_mutex_unlock(&r->mutex);
    if (replied)
        dv__conn_serve(c);
    else if (r->head.length > r->body.limit)
        dv__conn_refuse(c, 413, "the body is too large");
    else if (c->state == DV__CONN_REPLY)
        body_done(c);
    else if (r->head.expect_continue && dv__conn_put(c, go_on, sizeof go_on - 1) != 0)
        dv__conn_cut(c, "out of memory");
}

/* Take bytes of a head, in small steps: most of what a read brings belongs to the body or to the next request. */
static size_t take_head(dv__conn *c, const char *p, size_t n)
{
    dv_http_req *r = c->req;
    size_t before = r->raw.len;
    n = DV_MIN(n, (size_t)HEAD_STEP);
    n = DV_MIN(n, c->core->o.max_head + 1 - before);
    if (dv_buf_add(&r->raw, p, n) != 0) {
        dv__conn_cut(c, "out of memory");
        return n;
    }
    dv__parsed got = dv__head_parse(&r->head, r->raw.data, r->raw.len);
    if (got == DV__PARSE_MORE)
        return n;
    n = r->head.scan - before;
    if (got == DV__PARSE_DONE)
        head_done(c);
    else
        dv__conn_refuse(c, r->head.status, r->head.why);
    return n;
}

static bool add_body(dv__conn *c, const char *p, size_t n)
{
    int code = n > 0 ? dv__req_add_body(c->req, p, n) : 0;
    if (code == DV_ELIMIT)
        dv__conn_refuse(c, 413, "the body is too large");
    else if (code == DV_EBUSY)
        dv__conn_refuse(c, 503, "the server holds too many bodies of requests and replies");
    else if (code != 0)
        dv__conn_cut(c, "out of memory");
    return code == 0;
}

static size_t take_chunked(dv__conn *c, const char *p, size_t n)
{
    const char *data;
    size_t used, len;
    dv__parsed got = dv__chunked_feed(&c->chunked, p, n, &used, &data, &len);
    if (!add_body(c, data, len))
        return used;
    if (got == DV__PARSE_DONE)
        body_done(c);
    else if (got == DV__PARSE_REFUSED)
        dv__conn_refuse(c, 400, c->chunked.why);
    return used;
}

static size_t take_body(dv__conn *c, const char *p, size_t n)
{
    if (c->req->head.chunked)
        return take_chunked(c, p, n);
    n = (size_t)DV_MIN((uint64_t)n, c->body_left);
    if (!add_body(c, p, n))
        return n;
    c->body_left -= n;
    if (c->body_left == 0)
        body_done(c);
    return n;
}

static void begin_request(dv__conn *c)
{
    dv_http_req *r = dv__req_new(c->core);
    if (r == NULL) {
        dv__conn_cut(c, "out of memory");
        return;
    }
    c->req = r;
    c->exchange_mark = c->written;
    r->conn = c;
    r->peer = c->peer;
    dv__conn_set_state(c, DV__CONN_HEAD, c->core->o.head_timeout_ms);
}

static size_t input(dv__conn *c, const char *p, size_t n)
{
    size_t used = 0;
    while (used < n && !c->closed) {
        size_t before = used;
        switch (c->state) {
        case DV__CONN_IDLE: begin_request(c); continue;
        case DV__CONN_HEAD: used += take_head(c, p + used, n - used); break;
        case DV__CONN_BODY: used += take_body(c, p + used, n - used); break;
        case DV__CONN_REPLY:
            if (!c->linger)
                return used;
            used = n;
            break;
        case DV__CONN_CLOSING: used = n; break;
        }
        if (used == before && c->state != DV__CONN_IDLE && c->state != DV__CONN_CLOSING)
            return used;
    }
    return used;
}

size_t dv__conn_input(dv__conn *c, const char *p, size_t n)
{
    dv__conn_enter(c);
    c->in_input = true;
    size_t used = input(c, p, n);
    c->in_input = false;
    return dv__conn_leave(c) ? used : DV__CONN_CLOSED;
}

bool dv__conn_waiting(dv__conn *c, size_t n)
{
    dv__conn_enter(c);
    if (n > c->core->o.max_ahead)
        dv__conn_cut(c, "the client sends too much ahead of its reply");
    return dv__conn_leave(c);
}
