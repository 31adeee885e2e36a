/* SPDX-License-Identifier: MIT */
#include "http/conn.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/chunked.h"
#include "http/req.h"

#include <stdio.h>
#include <string.h>

/* Output is moved to the transport while it holds less than OUT_HIGH; a client must take OUT_STEP in each write_stall_ms. */
enum { OUT_HIGH = 64 << 10, OUT_STEP = 4 << 10, HEAD_STEP = 2 << 10 };

typedef enum conn_state {
    IDLE,   /* no byte of a request is there */
    HEAD,   /* part of a head */
    BODY,   /* on_head was called, the body is on its way */
    REPLY,  /* everything is there, or as much as ever will be; the application's turn */
    CLOSING /* the last reply is complete; what comes is discarded */
} conn_state;

struct dv__conn {
    dv__core *core;
    const dv__io_ops *ops;
    void *io;
    dv__conn *prev, *next;
    dv_http_req *req; /* present exchange; NULL in IDLE and CLOSING */
    conn_state state;
    unsigned depth; /* calls on the stack that use c after they may have closed it */
    bool closed;    /* transport gone; freed when depth is 0 */
    bool in_input;  /* dv__conn_input runs and goes on by itself */
    bool last;      /* no request after this one */
    bool linger;    /* unread input: close only after the client did, or it would lose the reply */
    bool finished;  /* FIN is sent */
    bool eof;       /* the client's FIN came */
    bool is_unix;
    dv__chunked chunked;
    uint64_t body_left;
    uint64_t phase_end, stall_end; /* deadlines in ns, 0: none */
    uint64_t state_since;          /* ns */
    uint64_t timer_at;             /* when the transport's timer fires, 0: not set */
    uint64_t written;              /* bytes given to the transport */
    uint64_t stall_mark;           /* of those, bytes that must be taken by stall_end */
    uint64_t exchange_mark;        /* written at the beginning of the present reply */
    char peer[64];
};

static void enter(dv__conn *c) { c->depth++; }

/* Whether c is still open; frees it otherwise. */
static bool leave(dv__conn *c)
{
    if (--c->depth > 0 || !c->closed)
        return !c->closed;
    dv_free(c);
    return false;
}

/* Deadlines */

static uint64_t after_ms(unsigned ms) { return dv_clock_ns() + (uint64_t)ms * 1000000u; }

/* The timer is only ever moved forward to an earlier deadline; one that fires too early sets itself again. So a stream does not touch it
 * for every token. */
static void set_timer(dv__conn *c)
{
    uint64_t want = c->phase_end;
    if (c->stall_end != 0 && (want == 0 || c->stall_end < want))
        want = c->stall_end;
    if (c->closed || want == 0 || (c->timer_at != 0 && c->timer_at <= want))
        return;
    uint64_t now = dv_clock_ns();
    c->timer_at = want;
    c->ops->deadline(c->io, want > now ? (unsigned)((want - now) / 1000000u + 1) : 1);
}

static void set_state(dv__conn *c, conn_state state, unsigned ms)
{
    c->state = state;
    c->state_since = dv_clock_ns();
    c->phase_end = ms != 0 ? c->state_since + (uint64_t)ms * 1000000u : 0;
    set_timer(c);
}

/* Ends */

/* The exchange is over for the application. */
static void end_exchange(dv__conn *c)
{
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    if (r == NULL)
        return;
    c->req = NULL;
    r->conn = NULL;
    size_t pending = c->closed ? 0 : c->ops->pending(c->io);
    pthread_mutex_lock(&r->mutex);
    bool owed = r->state == DV__REPLY_NONE || r->state == DV__REPLY_STREAM;
    r->gone = true;
    r->sent = c->written - c->exchange_mark;
    r->sent -= DV_MIN(r->sent, (uint64_t)pending);
    dv_buf_fini(&r->out);
    r->out_at = 0;
    pthread_mutex_unlock(&r->mutex);
    if (r->told && owed && o->on_gone != NULL)
        o->on_gone(o->arg, r);
    if (r->told && o->on_end != NULL)
        o->on_end(o->arg, r);
    dv_http_unref(r);
}

static void close_conn(dv__conn *c, bool reset)
{
    if (c->closed)
        return;
    dv__core *k = c->core;
    end_exchange(c);
    c->closed = true;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        k->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    atomic_fetch_sub_explicit(&k->n_conns, 1, memory_order_relaxed);
    c->ops->close(c->io, reset);
}

static void cut(dv__conn *c, const char *why)
{
    if (c->closed)
        return;
    dv__core_log(c->core, DV_HTTP_LOG_DEBUG, "%s: %s", c->peer, why);
    close_conn(c, true);
}

/* After the last reply: as soon as it is out, FIN; then at once, or once the client has read it, the end. RFC 9112 9.6. */
static void try_finish(dv__conn *c)
{
    if (c->closed || c->state != CLOSING || c->finished || c->ops->pending(c->io) > 0)
        return;
    if (!c->linger || c->eof) {
        close_conn(c, false);
        return;
    }
    c->finished = true;
    c->ops->finish(c->io);
    set_state(c, CLOSING, c->core->o.linger_ms);
}

/* Output */

static int put(dv__conn *c, const char *p, size_t n)
{
    if (n == 0)
        return 0;
    if (c->stall_end == 0) {
        c->stall_mark = c->written;
        c->stall_end = after_ms(c->core->o.write_stall_ms);
    }
    c->written += n;
    int code = c->ops->write(c->io, p, n);
    set_timer(c);
    return code;
}

static int put_head(dv__conn *c, dv_http_req *r)
{
    dv_buf head;
    dv_buf_init(&head, 0);
    bool until_close = !r->framed && !r->has_length && !dv__req_no_body(r, r->status);
    /* A reply before the end of the request leaves bytes that nobody will read as what they are: no request can follow them. */
    if (c->state == BODY) {
        c->last = c->linger = true;
        set_state(c, REPLY, 0);
    }
    if (until_close || atomic_load_explicit(&c->core->draining, memory_order_relaxed))
        c->last = true;
    c->exchange_mark = c->written;
    int code = dv__req_head(r, &head, c->last);
    if (code == 0)
        code = put(c, head.data, head.len);
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
        code = put(c, r->out.data + r->out_at, n);
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

/* No request any more: close once everything is out. */
static void finish(dv__conn *c)
{
    c->last = true;
    set_state(c, CLOSING, 0);
    try_finish(c);
}

static void next_request(dv__conn *c)
{
    end_exchange(c);
    if (c->closed)
        return;
    if (c->last || atomic_load_explicit(&c->core->draining, memory_order_relaxed)) {
        set_state(c, CLOSING, 0);
        if (!c->in_input)
            c->ops->resume(c->io); /* unread input is discarded */
        try_finish(c);
        return;
    }
    set_state(c, IDLE, c->core->o.idle_timeout_ms);
    if (!c->in_input)
        c->ops->resume(c->io);
}

static void pump(dv__conn *c)
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
        cut(c, "out of memory");
    } else if (state == DV__REPLY_ABORTED) {
        /* Chunks and lengths show by themselves that something is missing; a body that ends with the connection does not. */
        if (until_close)
            cut(c, "aborted");
        else if (done && c->ops->pending(c->io) == 0)
            close_conn(c, false);
    } else if (state == DV__REPLY_ENDED && done && c->ops->pending(c->io) < OUT_HIGH) {
        next_request(c);
    } else if (writable && c->core->o.on_writable != NULL) {
        c->core->o.on_writable(c->core->o.arg, r);
    }
}

void dv__conn_pump(dv__conn *c)
{
    enter(c);
    pump(c);
    leave(c);
}

void dv__conn_output(dv__conn *c)
{
    enter(c);
    if (c->ops->pending(c->io) == 0)
        c->stall_end = 0;
    pump(c);
    try_finish(c);
    leave(c);
}

/* Requests */

/* The server's own reply to what it does not take. The rest of the input has no meaning any more. */
static void refuse(dv__conn *c, int status, const char *why)
{
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    const char *type = "text/plain; charset=utf-8";
    dv_buf body;
    dv__core_log(c->core, DV_HTTP_LOG_INFO, "%s: %d %s", c->peer, status, why);
    dv_buf_init(&body, 0);
    if (o->on_refuse != NULL)
        o->on_refuse(o->arg, status, why, &body, &type);
    else
        dv_buf_printf(&body, "%d %s: %s\n", status, dv_http_reason(status), why);
    c->last = c->linger = true;
    set_state(c, REPLY, 0);
    /* A worker may have been quicker with a reply of its own, which then stands. */
    if (body.code != 0 || dv_http_reply(r, status, type, body.data, body.len) == DV_ENOMEM)
        cut(c, "out of memory");
    else
        pump(c);
    dv_buf_fini(&body);
}

static void body_done(dv__conn *c)
{
    dv_http_req *r = c->req;
    const dv_http_options *o = &c->core->o;
    set_state(c, REPLY, 0);
    o->on_request(o->arg, r);
    if (dv__req_orphan(r))
        dv_http_reply(r, 500, "text/plain; charset=utf-8", "500: nobody answers\n", 20);
    pump(c);
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
        cut(c, "out of memory");
        return;
    }
    if (code != 0 || r->head.length > o->max_body) {
        refuse(c, code != 0 ? 400 : 413, code != 0 ? why : "the body is too large");
        return;
    }
    c->last = c->last || r->head.close;
    c->body_left = r->head.length;
    c->chunked = (dv__chunked){0};
    r->begun_ns = dv_clock_ns();
    r->told = true;
    if (body_expected(r))
        set_state(c, BODY, o->body_timeout_ms);
    else
        set_state(c, REPLY, 0);
    if (o->on_head != NULL)
        o->on_head(o->arg, r);
    pthread_mutex_lock(&r->mutex);
    bool replied = r->state != DV__REPLY_NONE;
    pthread_mutex_unlock(&r->mutex);
    if (replied)
        pump(c);
    else if (c->state == REPLY)
        body_done(c);
    else if (r->head.expect_continue && put(c, go_on, sizeof go_on - 1) != 0)
        cut(c, "out of memory");
}

/* Take bytes of a head, in small steps: most of what a read brings belongs to the body or to the next request. */
static size_t take_head(dv__conn *c, const char *p, size_t n)
{
    dv_http_req *r = c->req;
    size_t before = r->raw.len;
    n = DV_MIN(n, (size_t)HEAD_STEP);
    n = DV_MIN(n, c->core->o.max_head + 1 - before);
    if (dv_buf_add(&r->raw, p, n) != 0) {
        cut(c, "out of memory");
        return n;
    }
    dv__parsed got = dv__head_parse(&r->head, r->raw.data, r->raw.len);
    if (got == DV__PARSE_MORE)
        return n;
    n = r->head.scan - before;
    if (got == DV__PARSE_DONE)
        head_done(c);
    else
        refuse(c, r->head.status, r->head.why);
    return n;
}

static bool add_body(dv__conn *c, const char *p, size_t n)
{
    int code = n > 0 ? dv__req_add_body(c->req, p, n) : 0;
    if (code == DV_ELIMIT)
        refuse(c, 413, "the body is too large");
    else if (code == DV_EBUSY)
        refuse(c, 503, "the server holds too many request bodies");
    else if (code != 0)
        cut(c, "out of memory");
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
        refuse(c, 400, c->chunked.why);
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
        cut(c, "out of memory");
        return;
    }
    c->req = r;
    r->conn = c;
    r->is_unix = c->is_unix;
    memcpy(r->peer, c->peer, sizeof r->peer);
    set_state(c, HEAD, c->core->o.head_timeout_ms);
}

static size_t input(dv__conn *c, const char *p, size_t n)
{
    size_t used = 0;
    while (used < n && !c->closed) {
        size_t before = used;
        switch (c->state) {
        case IDLE: begin_request(c); continue;
        case HEAD: used += take_head(c, p + used, n - used); break;
        case BODY: used += take_body(c, p + used, n - used); break;
        case REPLY:
            if (!c->linger)
                return used;
            used = n;
            break;
        case CLOSING: used = n; break;
        }
        if (used == before && c->state != IDLE && c->state != CLOSING)
            return used;
    }
    return used;
}

size_t dv__conn_input(dv__conn *c, const char *p, size_t n)
{
    enter(c);
    c->in_input = true;
    size_t used = input(c, p, n);
    c->in_input = false;
    return leave(c) ? used : DV__CONN_CLOSED;
}

bool dv__conn_waiting(dv__conn *c, size_t n)
{
    enter(c);
    if (n > c->core->o.max_ahead)
        cut(c, "the client sends too much ahead of its reply");
    return leave(c);
}

void dv__conn_eof(dv__conn *c)
{
    enter(c);
    c->eof = true;
    /* A client that has closed its side counts as gone, unless everything is said and only has to be read. */
    bool ended = c->state == CLOSING || c->ops->pending(c->io) > 0;
    if (c->req != NULL) {
        pthread_mutex_lock(&c->req->mutex);
        ended = c->req->state == DV__REPLY_ENDED;
        pthread_mutex_unlock(&c->req->mutex);
    }
    c->last = true;
    if (!ended || c->finished)
        close_conn(c, false);
    else if (c->req == NULL)
        finish(c);
    leave(c);
}

void dv__conn_error(dv__conn *c)
{
    enter(c);
    close_conn(c, true);
    leave(c);
}

static void phase_over(dv__conn *c)
{
    c->phase_end = 0;
    if (c->state == HEAD || c->state == BODY)
        refuse(c, 408, c->state == HEAD ? "the head took too long" : "the body took too long");
    else if (c->state == IDLE)
        finish(c);
    else
        close_conn(c, false);
}

static void stalled(dv__conn *c)
{
    uint64_t taken = c->written - c->ops->pending(c->io);
    uint64_t step = taken - DV_MIN(taken, c->stall_mark);
    if (step < OUT_STEP && taken < c->written) {
        cut(c, "the client does not read");
        return;
    }
    c->stall_mark = taken;
    c->stall_end = taken == c->written ? 0 : after_ms(c->core->o.write_stall_ms);
}

void dv__conn_timeout(dv__conn *c)
{
    enter(c);
    uint64_t now = dv_clock_ns();
    c->timer_at = 0;
    if (c->stall_end != 0 && now >= c->stall_end)
        stalled(c);
    if (!c->closed && c->phase_end != 0 && now >= c->phase_end)
        phase_over(c);
    set_timer(c);
    leave(c);
}

dv__conn *dv__conn_new(dv__core *k, const dv__io_ops *ops, void *io, const char *peer, bool is_unix)
{
    dv__conn *c = dv_calloc(DV_MEM_HTTP, 1, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (dv__conn){.core = k, .ops = ops, .io = io, .next = k->conns, .is_unix = is_unix};
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    if (k->conns != NULL)
        k->conns->prev = c;
    k->conns = c;
    atomic_fetch_add_explicit(&k->n_conns, 1, memory_order_relaxed);
    set_state(c, IDLE, k->o.head_timeout_ms);
    return c;
}

/* All connections */

void dv__core_cut_all(dv__core *k)
{
    while (k->conns != NULL) {
        dv__conn *c = k->conns;
        enter(c);
        cut(c, "cut at the end of the drain");
        leave(c);
    }
}

void dv__core_drain(dv__core *k)
{
    dv__conn *next;
    for (dv__conn *c = k->conns; c != NULL; c = next) {
        next = c->next;
        enter(c);
        if (c->state == IDLE)
            finish(c);
        leave(c);
    }
}

bool dv__core_evict(dv__core *k)
{
    dv__conn *oldest = NULL;
    for (dv__conn *c = k->conns; c != NULL; c = c->next)
        if (c->state == IDLE && c->ops->pending(c->io) == 0 && (oldest == NULL || c->state_since < oldest->state_since))
            oldest = c;
    if (oldest == NULL)
        return false;
    enter(oldest);
    close_conn(oldest, false);
    leave(oldest);
    return true;
}
