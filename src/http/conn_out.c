/* SPDX-License-Identifier: MIT */
/* Replies on their way from a request's queue to the transport. */
#include "http/conn_state.h"

#include "base/attr.h"

enum { OUT_HIGH = 64 << 10 }; /* output is moved to the transport while it holds less */

int dv__conn_put(dv__conn *c, const char *p, size_t n)
{
    if (n == 0)
        return 0;
    if (c->stall_end == 0) {
        c->stall_mark = c->ops->taken(c->io);
        c->stall_end = dv__conn_after_ms(c->core->o.write_stall_ms);
    }
    c->written += n;
    int code = c->ops->write(c->io, p, n);
    dv__conn_set_timer(c);
    return code;
}

static int put_head(dv__conn *c, dv_http_req *r)
{
    dv_buf head;
    dv_buf_init(&head, 0);
    bool until_close = !r->framed && !r->has_length && !dv__req_no_body(r, r->status);
    /* A reply before the end of the request leaves bytes that nobody will read as what they are: no request can follow them. */
    if (c->state == DV__CONN_BODY) {
        c->last = c->linger = true;
        dv__conn_set_state(c, DV__CONN_REPLY, 0);
    }
    if (until_close || atomic_load_explicit(&c->core->draining, memory_order_relaxed))
        c->last = true;
    c->exchange_mark = c->written;
    int code = dv__req_head(r, &head, c->last);
    if (code == 0)
        code = dv__conn_put(c, head.data, head.len);
    r->head_sent = code == 0;
    dv_buf_fini(&head);
    return code;
}

/* Move what fits. r's mutex is held. */
static int move_out(dv__conn *c, dv_http_req *r, bool *writable)
{
    int code = r->head_sent ? 0 : put_head(c, r);
    while (code == 0 && r->out_at < r->out.len) {
        size_t pending = c->ops->pending(c->io);
        if (pending >= OUT_HIGH)
            break;
        size_t n = DV_MIN(r->out.len - r->out_at, (size_t)OUT_HIGH);
        code = dv__conn_put(c, r->out.data + r->out_at, n);
        r->out_at += n;
    }
    if (r->out_at >= r->out.len - r->out_at) { /* amortised: what moves is less than what went out */
        dv_buf_shift(&r->out, r->out_at);
        r->out_at = 0;
    }
    r->in_flight = c->ops->pending(c->io);
    *writable = r->full && r->state == DV__REPLY_STREAM && r->out.len - r->out_at < c->core->o.stream_queue_bytes / 2;
    r->full = r->full && !*writable;
    return code;
}

static void next_request(dv__conn *c)
{
    dv__conn_end_exchange(c);
    if (c->closed)
        return;
    if (c->last || atomic_load_explicit(&c->core->draining, memory_order_relaxed)) {
        dv__conn_set_state(c, DV__CONN_CLOSING, 0);
        if (!c->in_input)
            c->ops->resume(c->io); /* unread input is discarded */
        dv__conn_try_finish(c);
        return;
    }
    dv__conn_set_state(c, DV__CONN_IDLE, c->core->o.idle_timeout_ms);
    if (!c->in_input)
        c->ops->resume(c->io);
}

void dv__conn_serve(dv__conn *c)
{
    dv_http_req *r = c->req;
    if (r == NULL)
        return;
    bool writable = false;
    pthread_mutex_lock(&r->mutex);
    dv__reply_state state = r->state;
    bool until_close = !r->framed; /* of a stream: nothing else can be aborted once it was begun */
    int code = state == DV__REPLY_NONE || (state == DV__REPLY_ABORTED && until_close) ? 0 : move_out(c, r, &writable);
    bool done = r->out_at == r->out.len;
    pthread_mutex_unlock(&r->mutex);
    if (code != 0) {
        dv__conn_cut(c, "out of memory");
    } else if (state == DV__REPLY_ABORTED) {
        /* Chunks and lengths show by themselves that something is missing; a body that ends with the connection does not. */
        if (until_close)
            dv__conn_cut(c, "aborted");
        else if (done && c->ops->pending(c->io) == 0)
            dv__conn_close(c, false);
    } else if (state == DV__REPLY_ENDED && done && c->ops->pending(c->io) < OUT_HIGH) {
        next_request(c);
    } else if (writable && c->core->o.on_writable != NULL) {
        c->core->o.on_writable(c->core->o.arg, r);
    }
}

void dv__conn_pump(dv__conn *c)
{
    dv__conn_enter(c);
    dv__conn_serve(c);
    dv__conn_leave(c);
}

void dv__conn_output(dv__conn *c)
{
    dv__conn_enter(c);
    if (c->ops->pending(c->io) == 0)
        c->stall_end = 0;
    dv__conn_serve(c);
    dv__conn_try_finish(c);
    dv__conn_leave(c);
}
