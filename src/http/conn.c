/* SPDX-License-Identifier: MIT */
/* Life, deadlines and ends of connections. */
#include "http/conn_state.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/mem.h"

#include <stddef.h>

enum { OUT_STEP = 4 << 10 }; /* bytes that a client must take in each write_stall_ms */

void dv__conn_enter(dv__conn *c) { c->depth++; }

/* Whether c is still open; frees it otherwise. */
bool dv__conn_leave(dv__conn *c)
{
    if (--c->depth > 0 || !c->closed)
        return !c->closed;
    dv_free(c);
    return false;
}

/* Deadlines */

uint64_t dv__conn_after_ms(unsigned ms) { return dv_clock_ns() + (uint64_t)ms * 1000000u; }

/* The timer is only ever moved forward to an earlier deadline; one that fires too early sets itself again. So a stream does
 * not touch it for every token. */
void dv__conn_set_timer(dv__conn *c)
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

void dv__conn_set_state(dv__conn *c, dv__conn_state state, unsigned ms)
{
    c->state = state;
    c->state_since = dv_clock_ns();
    c->phase_end = ms != 0 ? c->state_since + (uint64_t)ms * 1000000u : 0;
    dv__conn_set_timer(c);
}

/* Ends */

/* The exchange is over for the application. */
void dv__conn_end_exchange(dv__conn *c)
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

void dv__conn_close(dv__conn *c, bool reset)
{
    if (c->closed)
        return;
    dv__core *k = c->core;
    dv__conn_end_exchange(c);
    c->closed = true;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        k->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    dv__peers_remove(&k->peers, &c->same_peer);
    atomic_fetch_sub_explicit(&k->n_conns, 1, memory_order_relaxed);
    c->ops->close(c->io, reset);
}

void dv__conn_note(const dv__conn *c, const char *text)
{
    dv__core_log(c->core, DV_HTTP_LOG_DEBUG, "%s: %s", c->peer.text, text);
}

void dv__conn_cut(dv__conn *c, const char *why)
{
    if (c->closed)
        return;
    dv__conn_note(c, why);
    dv__conn_close(c, true);
}

/* After the last reply: as soon as it is out, FIN; then at once, or once the client has read it, the end. RFC 9112 9.6. */
void dv__conn_try_finish(dv__conn *c)
{
    if (c->closed || c->state != DV__CONN_CLOSING || c->finished || c->ops->pending(c->io) > 0)
        return;
    if (!c->linger || c->eof) {
        dv__conn_close(c, false);
        return;
    }
    c->finished = true;
    c->ops->finish(c->io);
    dv__conn_set_state(c, DV__CONN_CLOSING, c->core->o.linger_ms);
}

void dv__conn_finish(dv__conn *c)
{
    c->last = true;
    dv__conn_set_state(c, DV__CONN_CLOSING, 0);
    dv__conn_try_finish(c);
}

void dv__conn_eof(dv__conn *c)
{
    dv__conn_enter(c);
    c->eof = true;
    /* A client that has closed its side counts as gone, unless everything is said and only has to be read. */
    bool ended = c->state == DV__CONN_CLOSING || c->ops->pending(c->io) > 0;
    if (c->req != NULL) {
        pthread_mutex_lock(&c->req->mutex);
        ended = c->req->state == DV__REPLY_ENDED;
        pthread_mutex_unlock(&c->req->mutex);
    }
    c->last = true;
    if (!ended || c->finished)
        dv__conn_close(c, false);
    else if (c->req == NULL)
        dv__conn_finish(c);
    dv__conn_leave(c);
}

void dv__conn_error(dv__conn *c)
{
    dv__conn_enter(c);
    dv__conn_close(c, true);
    dv__conn_leave(c);
}

static void phase_over(dv__conn *c)
{
    c->phase_end = 0;
    if (c->state == DV__CONN_HEAD || c->state == DV__CONN_BODY)
        dv__conn_refuse(c, 408, c->state == DV__CONN_HEAD ? "the head took too long" : "the body took too long");
    else if (c->state == DV__CONN_IDLE)
        dv__conn_finish(c);
    else
        dv__conn_close(c, false);
}

static void stalled(dv__conn *c)
{
    /* Not by what is pending: TLS keeps a whole extent there until its last record is out. */
    uint64_t taken = c->ops->taken(c->io);
    bool waits = c->ops->pending(c->io) > 0;
    if (waits && taken - c->stall_mark < OUT_STEP) {
        dv__conn_cut(c, "the client does not read");
        return;
    }
    c->stall_mark = taken;
    c->stall_end = waits ? dv__conn_after_ms(c->core->o.write_stall_ms) : 0;
}

void dv__conn_timeout(dv__conn *c)
{
    dv__conn_enter(c);
    uint64_t now = dv_clock_ns();
    c->timer_at = 0;
    if (c->stall_end != 0 && now >= c->stall_end)
        stalled(c);
    if (!c->closed && c->phase_end != 0 && now >= c->phase_end)
        phase_over(c);
    dv__conn_set_timer(c);
    dv__conn_leave(c);
}

dv__conn *dv__conn_new(dv__core *k, const dv__io_ops *ops, void *io, const dv__peer *peer)
{
    dv__conn *c = dv_calloc(DV_MEM_HTTP, 1, sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (dv__conn){.core = k, .ops = ops, .io = io, .next = k->conns, .peer = *peer};
    dv__peers_add(&k->peers, &c->same_peer, peer);
    if (k->conns != NULL)
        k->conns->prev = c;
    k->conns = c;
    atomic_fetch_add_explicit(&k->n_conns, 1, memory_order_relaxed);
    dv__conn_set_state(c, DV__CONN_IDLE, k->o.head_timeout_ms);
    return c;
}

/* All connections */

void dv__core_cut_all(dv__core *k)
{
    while (k->conns != NULL) {
        dv__conn *c = k->conns;
        dv__conn_enter(c);
        dv__conn_cut(c, "cut at the end of the drain");
        dv__conn_leave(c);
    }
}

void dv__core_drain(dv__core *k)
{
    dv__conn *next;
    for (dv__conn *c = k->conns; c != NULL; c = next) {
        next = c->next;
        dv__conn_enter(c);
        if (c->state == DV__CONN_IDLE)
            dv__conn_finish(c);
        dv__conn_leave(c);
    }
}

static bool idler(const dv__conn *c, const dv__conn *than)
{
    return c->state == DV__CONN_IDLE && c->ops->pending(c->io) == 0 &&
           (than == NULL || c->state_since < than->state_since);
}

static bool evict(dv__conn *c)
{
    if (c == NULL)
        return false;
    dv__conn_enter(c);
    dv__conn_close(c, false);
    dv__conn_leave(c);
    return true;
}

bool dv__core_evict(dv__core *k)
{
    dv__conn *oldest = NULL;
    for (dv__conn *c = k->conns; c != NULL; c = c->next)
        if (idler(c, oldest))
            oldest = c;
    return evict(oldest);
}

bool dv__core_admit_peer(dv__core *k, const dv__peer *p)
{
    dv__conn *oldest = NULL;
    unsigned n = 0;
    if (k->o.max_per_address == 0)
        return true;
    for (dv__peer_link *l = NULL; (l = dv__peers_next(&k->peers, p, l)) != NULL; n++) {
        dv__conn *c = (dv__conn *)((char *)l - offsetof(dv__conn, same_peer));
        if (idler(c, oldest))
            oldest = c;
    }
    return n < k->o.max_per_address || evict(oldest);
}
