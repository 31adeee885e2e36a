/* SPDX-License-Identifier: MIT */
/* Reading stays on all the time: it is how a client's end, or a reset, is noticed while a reply is on its way; what a client
 * sends ahead is bounded by cutting it (dv__conn_waiting). There is no read watermark: libevent runs the read callback again
 * and again while one is reached (libevent issue 891). */
#include "http/bev.h"

#include "base/mem.h"
#include "http/conn.h"
#include "http/tls_session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>

enum { OUT_LOW = 32 << 10, KEEPALIVE_IDLE_S = 60, KEEPALIVE_EVERY_S = 10, KEEPALIVE_TIMES = 3 };

typedef struct transport {
    struct bufferevent *bev;
    SSL *ssl;    /* bev's; NULL: plain */
    bool shaken; /* its handshake is done */
    struct event *timer;
    dv__conn *conn;
    bool reading;   /* the input loop runs */
    uint64_t given; /* bytes written to bev */
} transport;

static int io_write(void *io, const void *p, size_t n)
{
    transport *t = io;
    t->given += n;
    return bufferevent_write(t->bev, p, n) == 0 ? 0 : DV_ENOMEM;
}

static size_t io_pending(void *io)
{
    transport *t = io;
    return evbuffer_get_length(bufferevent_get_output(t->bev));
}

static uint64_t io_taken(void *io)
{
    transport *t = io;
    return t->ssl != NULL ? BIO_number_written(SSL_get_wbio(t->ssl)) : t->given - io_pending(t);
}

static void io_deadline(void *io, unsigned ms)
{
    transport *t = io;
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_add(t->timer, &tv);
}

/* close_notify, RFC 8446 6.1. If the socket has no room for it the client does without: what it got ends by itself, or looks cut off. */
static void say_goodbye(transport *t)
{
    if (t->shaken && io_pending(t) == 0)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static void io_finish(void *io)
{
    transport *t = io;
    say_goodbye(t);
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
    else
        say_goodbye(t);
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
                               .taken = io_taken,
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

static void on_tls_end(transport *t, short what)
{
    unsigned long code;
    char text[128];
    const char *reason = NULL, *one;
    /* Youngest first; the oldest is the cause. libevent puts numbers of its own among them. */
    while ((code = bufferevent_get_openssl_error(t->bev)) != 0)
        if ((one = ERR_reason_error_string(code)) != NULL)
            reason = one;
    if (reason != NULL) {
        snprintf(text, sizeof text, "TLS: %s", reason);
        dv__conn_note(t->conn, text);
    }
    if (t->shaken && (what & BEV_EVENT_ERROR)) {
        t->shaken = false; /* after an error nothing may be said any more */
        dv__conn_error(t->conn);
        return;
    }
    /* libevent stops writing, too; a client that has closed its side only may still be reading its reply. Without a handshake this is not a reset: it
     * would overtake the alert that tells why. */
    if (t->shaken)
        bufferevent_enable(t->bev, EV_WRITE);
    dv__conn_eof(t->conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    transport *t = arg;
    if (what & BEV_EVENT_CONNECTED)
        t->shaken = true;
    else if (t->ssl != NULL)
        on_tls_end(t, what);
    else if (what & BEV_EVENT_ERROR)
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

/* TLS writes from inside of bufferevent_write, and would call back from there, into a connection that is busy: deferred callbacks come from the loop. A
 * failure frees the session. */
static struct bufferevent *make_bev(struct event_base *base, evutil_socket_t fd, dv_http_tls *tls)
{
    if (tls == NULL)
        return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    SSL *ssl = dv__tls_session(tls);
    if (ssl == NULL)
        return NULL;
    return bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                          BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
}

int dv__bev_open(dv__core *k, struct event_base *base, evutil_socket_t fd, const dv__peer *peer, dv_http_tls *tls)
{
    if (!peer->is_unix)
        set_options(fd);
    transport *t = dv_calloc(DV_MEM_HTTP, 1, sizeof *t);
    struct bufferevent *bev = t != NULL ? make_bev(base, fd, tls) : NULL;
    if (bev == NULL) {
        evutil_closesocket(fd);
        dv_free(t);
        return DV_ENOMEM;
    }
    t->bev = bev;
    t->ssl = tls != NULL ? bufferevent_openssl_get_ssl(bev) : NULL;
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
