/* SPDX-License-Identifier: MIT */
#include "client/loop.h"

#include "base/mem.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

struct dv__sock {
    dv__sock *prev, *next;
    dv__loop *loop;
    struct event *ev;
    short what;
};

static void idle_drop(dv__loop *l, int fd)
{
    for (unsigned i = 0; i < l->n_idle; i++)
        if (l->idle[i] == fd)
            l->idle[i--] = l->idle[--l->n_idle];
}

/* What a peer says on a kept connection while nobody asks, libcurl 7.88 would take for the answer to the next request: a 408 that goes with a
 * close, say. Such a connection is made one that has ended, which libcurl looks for before it uses one. */
static void end_if_spoken(int fd)
{
    char drop[4096];
    for (int i = 0; i < 16 && recv(fd, drop, sizeof drop, MSG_DONTWAIT) > 0; i++)
        continue;
    shutdown(fd, SHUT_RDWR);
}

static void check_idle(dv__loop *l)
{
    struct pollfd fds[DV__MAX_IDLE];
    unsigned n = l->n_idle;
    for (unsigned i = 0; i < n; i++)
        fds[i] = (struct pollfd){.fd = l->idle[i], .events = POLLIN};
    if (n == 0 || poll(fds, n, 0) <= 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        end_if_spoken(fds[i].fd);
        idle_drop(l, fds[i].fd);
    }
}

/* The connection of a transfer that has ended, if it is kept. */
static void note_idle(dv__loop *l, CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
        return;
    idle_drop(l, fd);
    if (l->n_idle < DV__MAX_IDLE)
        l->idle[l->n_idle++] = fd;
}

bool dv__loop_add(dv__loop *l, CURL *easy)
{
    l->starting = true;
    return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

int dv__loop_close_socket(void *loop, curl_socket_t fd)
{
    idle_drop(loop, fd);
    return close(fd);
}

static void run(dv__loop *l, curl_socket_t fd, int what)
{
    int running, left;
    CURLMsg *m;
    if (l->starting)
        check_idle(l);
    l->starting = false;
    /* A failure here is one of a transfer, which is told below, or of memory, which the transfers' own timers end. */
    (void)curl_multi_socket_action(l->multi, fd, what, &running);
    while ((m = curl_multi_info_read(l->multi, &left)) != NULL) {
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        note_idle(l, easy);
        curl_multi_remove_handle(l->multi, easy); /* m is gone with it */
        l->on_over(easy, result);
    }
    l->on_round(l->arg);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    dv__sock *s = arg; /* may be gone once libcurl was called */
    run(s->loop, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg) { run(arg, CURL_SOCKET_TIMEOUT, 0); }

static void sock_free(dv__sock *s)
{
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->loop->socks = s->next;
    if (s->ev != NULL)
        event_free(s->ev);
    dv_free(s);
}

static dv__sock *sock_new(dv__loop *l)
{
    dv__sock *s = dv_calloc(DV_MEM_CLIENT, 1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->loop = l;
    s->next = l->socks;
    if (s->next != NULL)
        s->next->prev = s;
    return l->socks = s;
}

static bool sock_watch(dv__sock *s, curl_socket_t fd, short what)
{
    if (s->ev != NULL && s->what == what)
        return true;
    if (s->ev != NULL)
        event_free(s->ev);
    s->what = what;
    s->ev = event_new(s->loop->base, fd, (short)(what | EV_PERSIST), on_ready, s);
    return s->ev != NULL && event_add(s->ev, NULL) == 0;
}

/* Never -1: libcurl would give up every transfer, and all later ones. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
    dv__loop *l = arg;
    dv__sock *s = sock;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL)
            sock_free(s);
        return 0;
    }
    idle_drop(l, fd);
    if (s == NULL) {
        s = sock_new(l);
        if (s != NULL)
            curl_multi_assign(l->multi, fd, s);
    }
    if (s == NULL ||
        !sock_watch(s, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0))))
        l->on_lost(easy);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
    dv__loop *l = arg;
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    if (ms < 0)
        event_del(l->timer);
    else if (event_add(l->timer, &tv) != 0)
        event_active(l->timer, EV_TIMEOUT, 0); /* no memory: better early than never */
    return 0;
}

int dv__loop_open(dv__loop *l, struct event_base *base)
{
    l->base = base;
    l->timer = event_new(base, -1, 0, on_timer, l);
    l->multi = curl_multi_init();
    bool ok = l->timer != NULL && l->multi != NULL &&
              curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK &&
              curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l) == CURLM_OK &&
              curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, want_timer) == CURLM_OK &&
              curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l) == CURLM_OK &&
              curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)DV__MAX_IDLE) == CURLM_OK &&
              curl_multi_setopt(l->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) == CURLM_OK;
    if (!ok)
        dv__loop_close(l);
    return ok ? 0 : DV_ENOMEM;
}

void dv__loop_close(dv__loop *l)
{
    if (l->multi != NULL)
        curl_multi_cleanup(l->multi);
    while (l->socks != NULL)
        sock_free(l->socks);
    if (l->timer != NULL)
        event_free(l->timer);
    l->multi = NULL;
    l->timer = NULL;
}
