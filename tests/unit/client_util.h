/* SPDX-License-Identifier: MIT */
/* A server, a client and raw peers in one event loop, for tests of what speaks HTTP outwards. */
#ifndef DV_TESTS_CLIENT_UTIL_H
#define DV_TESTS_CLIENT_UTIL_H

#include "base/err.h"
#include "base/mem.h"
#include "client/client.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* What an exchange has brought. */
typedef struct got {
    dv_fetch *f;
    unsigned n_heads, n_data, n_ends;
    int status;
    dv_fetch_end end;
    char why[324];
    char type[80];
    dv_buf body;
    bool pause, abort, cancel_in_head, cancel_in_data, cancel_in_end;
} got;

static inline void got_head(void *arg, dv_fetch *f)
{
    got *g = arg;
    const char *type = dv_fetch_header(f, "content-type");
    g->n_heads++;
    g->status = dv_fetch_status(f);
    snprintf(g->type, sizeof g->type, "%s", type != NULL ? type : "");
    if (g->cancel_in_head)
        dv_fetch_cancel(&g->f);
}

static inline size_t got_data(void *arg, dv_fetch *f, const char *p, size_t n)
{
    got *g = arg;
    g->n_data++;
    if (g->cancel_in_data) {
        dv_fetch_cancel(&g->f); /* p is gone with it */
        return n;
    }
    if (g->abort)
        return SIZE_MAX;
    if (g->pause)
        return 0;
    return dv_buf_add(&g->body, p, n) == 0 ? n : SIZE_MAX;
}

static inline void got_end(void *arg, dv_fetch *f, dv_fetch_end end, const char *why)
{
    got *g = arg;
    g->n_ends++;
    g->end = end;
    g->status = dv_fetch_status(f);
    snprintf(g->why, sizeof g->why, "%s", why);
    if (g->cancel_in_end)
        dv_fetch_cancel(&g->f);
    g->f = NULL;
}

static inline dv_fetch_request get_request(got *g, const char *path)
{
    return (dv_fetch_request){
        .verb = DV_HTTP_GET, .path = path, .arg = g, .on_head = got_head, .on_data = got_data, .on_end = got_end};
}

static inline void got_clear(got *g)
{
    dv_buf_fini(&g->body);
    *g = (got){0};
}

/* A peer that plays a script: once a request's head has come it sends its bytes, then does something. */
typedef enum peer_then { PEER_CLOSE, PEER_HOLD, PEER_REPEAT, PEER_KEEP, PEER_RESET } peer_then;

typedef struct peer {
    struct event_base *base;
    int listen_fd;
    struct event *accept;
    uint16_t port;
    const char *bytes; /* sent for each request */
    size_t n_bytes;
    peer_then then; /* PEER_REPEAT: the last `again` bytes for ever; PEER_KEEP: waits for the next request */
    size_t again;
    unsigned max_requests; /* of a connection; then it is closed without an answer. 0: no limit */
    int last_fd;           /* of the connection that asked last */
    unsigned n_accepts, n_requests, n_closed;
    char last[4096]; /* the request that came last */
} peer;

typedef struct peer_conn {
    peer *p;
    struct event *ev;
    int fd;
    unsigned n;
    size_t len;
    char in[4096];
} peer_conn;

static inline void peer_end(peer_conn *c, bool reset)
{
    const struct linger now = {.l_onoff = 1};
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    c->p->n_closed++;
    event_free(c->ev);
    close(c->fd);
    free(c);
}

static inline void peer_on_write(evutil_socket_t fd, short what, void *arg)
{
    peer_conn *c = arg;
    const peer *p = c->p;
    ssize_t n = send(fd, p->bytes + p->n_bytes - p->again, p->again, MSG_NOSIGNAL);
    if (n <= 0)
        peer_end(c, false);
}

static inline void peer_answer(peer_conn *c)
{
    peer *p = c->p;
    p->n_requests++;
    p->last_fd = c->fd;
    memcpy(p->last, c->in, sizeof p->last);
    c->len = 0;
    if (p->max_requests != 0 && ++c->n > p->max_requests) {
        peer_end(c, false);
        return;
    }
    if (send(c->fd, p->bytes, p->n_bytes, MSG_NOSIGNAL) != (ssize_t)p->n_bytes)
        p->n_requests += 1000; /* scripts are short: seen by the test */
    if (p->then == PEER_CLOSE || p->then == PEER_RESET) {
        peer_end(c, p->then == PEER_RESET);
    } else if (p->then == PEER_REPEAT) {
        event_free(c->ev);
        c->ev = event_new(p->base, c->fd, EV_WRITE | EV_PERSIST, peer_on_write, c);
        event_add(c->ev, NULL);
    }
}

static inline void peer_on_read(evutil_socket_t fd, short what, void *arg)
{
    peer_conn *c = arg;
    ssize_t n = recv(fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
    if (n <= 0) {
        peer_end(c, false);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = 0;
    if (strstr(c->in, "\r\n\r\n") != NULL)
        peer_answer(c);
    else if (c->len == sizeof c->in - 1)
        c->len = 0; /* a body */
}

static inline void peer_on_accept(evutil_socket_t fd, short what, void *arg)
{
    peer *p = arg;
    peer_conn *c = calloc(1, sizeof *c);
    p->n_accepts++;
    c->p = p;
    c->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    c->ev = event_new(p->base, c->fd, EV_READ | EV_PERSIST, peer_on_read, c);
    event_add(c->ev, NULL);
}

static inline void peer_open(peer *p, struct event_base *base)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    p->base = base;
    p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(p->listen_fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(p->listen_fd, 16), 0);
    assert_int_equal(getsockname(p->listen_fd, (struct sockaddr *)&sa, &len), 0);
    p->port = ntohs(sa.sin_port);
    p->accept = event_new(base, p->listen_fd, EV_READ | EV_PERSIST, peer_on_accept, p);
    event_add(p->accept, NULL);
}

/* Connections must be gone: the client's end closes them. */
static inline void peer_close(peer *p)
{
    while (p->n_closed < p->n_accepts)
        event_base_loop(p->base, EVLOOP_ONCE);
    event_free(p->accept);
    close(p->listen_fd);
}

#endif
