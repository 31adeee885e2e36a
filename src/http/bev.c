/* SPDX-License-Identifier: MIT */
/* Reading stays on all the time: it is how a client's end, or a reset, is noticed while a reply is on its way; what a client
 * sends ahead is bounded by cutting it (dv__conn_waiting). There is no read watermark: libevent runs the read callback again
 * and again while one is reached (libevent issue 891). */
#include "http/bev.h"

#include "base/mem.h"
#include "http/conn.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { OUT_LOW = 32 << 10, KEEPALIVE_IDLE_S = 60, KEEPALIVE_EVERY_S = 10, KEEPALIVE_TIMES = 3 };

typedef struct transport {
    struct bufferevent *bev;
    struct event *timer;
    dv__conn *conn;
    bool reading; /* the input loop runs */
} transport;

static int io_write(void *io, const void *p, size_t n)
{
    transport *t = io;
    return bufferevent_write(t->bev, p, n) == 0 ? 0 : DV_ENOMEM;
}

static size_t io_pending(void *io)
{
    transport *t = io;
    return evbuffer_get_length(bufferevent_get_output(t->bev));
}

static void io_deadline(void *io, unsigned ms)
{
    transport *t = io;
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(t->timer, &tv);
}

static void io_finish(void *io)
{
    transport *t = io;
    shutdown(bufferevent_getfd(t->bev), SHUT_WR);
}

static void transport_free(transport *t)
{
    if (t->timer != NULL)
        event_free(t->timer);
    if (t->bev != NULL)
        bufferevent_free(t->bev);
    dv_free(t);
}

static void io_close(void *io, bool reset)
{
    transport *t = io;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(bufferevent_getfd(t->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    transport_free(t);
}

/* Give the connection what is there, extent by extent. It may free t. */
static void offer(transport *t)
{
    struct evbuffer *in = bufferevent_get_input(t->bev);
    dv__conn *c = t->conn;
    struct evbuffer_iovec v;
    t->reading = true;
    while (evbuffer_peek(in, -1, NULL, &v, 1) > 0 && v.iov_len > 0) {
        size_t used = dv__conn_input(c, v.iov_base, v.iov_len);
        if (used == DV__CONN_CLOSED)
            return;
        evbuffer_drain(in, used);
        if (used < v.iov_len)
            break;
    }
    t->reading = false;
    dv__conn_waiting(c, evbuffer_get_length(in));
}

static void io_resume(void *io)
{
    transport *t = io;
    if (!t->reading)
        offer(t);
}

static const dv__io_ops ops = {.write = io_write,
                               .pending = io_pending,
                               .deadline = io_deadline,
                               .finish = io_finish,
                               .resume = io_resume,
                               .close = io_close};

static void on_read(struct bufferevent *bev, void *arg) { offer(arg); }

static void on_write(struct bufferevent *bev, void *arg)
{
    transport *t = arg;
    dv__conn_output(t->conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    transport *t = arg;
    if (what & BEV_EVENT_ERROR)
        dv__conn_error(t->conn);
    else if (what & BEV_EVENT_EOF)
        dv__conn_eof(t->conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    transport *t = arg;
    dv__conn_timeout(t->conn);
}

/* A peer that vanished without a word is found out while it is waited for. */
static void set_options(evutil_socket_t fd)
{
    const int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, times = KEEPALIVE_TIMES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

int dv__bev_open(dv__core *k, struct event_base *base, evutil_socket_t fd, const dv__peer *peer)
{
    if (!peer->is_unix)
        set_options(fd);
    transport *t = dv_calloc(DV_MEM_HTTP, 1, sizeof *t);
    struct bufferevent *bev = t != NULL ? bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (bev == NULL) {
        evutil_closesocket(fd);
        dv_free(t);
        return DV_ENOMEM;
    }
    t->bev = bev;
    t->timer = event_new(base, -1, 0, on_timer, t);
    t->conn = t->timer != NULL ? dv__conn_new(k, &ops, t, peer) : NULL;
    if (t->conn == NULL) {
        transport_free(t);
        return DV_ENOMEM;
    }
    bufferevent_setcb(bev, on_read, on_write, on_event, t);
    bufferevent_setwatermark(bev, EV_WRITE, OUT_LOW, 0);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    return 0;
}
