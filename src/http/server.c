/* SPDX-License-Identifier: MIT */
/* The event loop around the connections. Other threads, and signal handlers, reach it by an eventfd only: writing to one is
 * async-signal-safe, and many writes before the loop looks are one wake-up. */
#include "http/server.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/core.h"
#include "http/listen.h"
#include "http/parse.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct hook {
    struct hook *next;
    struct event *ev;
    void (*on_signal)(void *arg, int signo);
    void (*on_timer)(void *arg);
    void *arg;
} hook;

struct dv_http_server {
    dv__core core;
    struct event_base *base;
    int wake_fd;
    struct event *wake, *tick; /* tick: while draining, sees the end come */
    dv__listeners listeners;
    hook *hooks;
    _Atomic uint64_t drain_end; /* ns; UINT64_MAX: not draining. Any thread lowers it */
    bool draining;              /* I/O thread: the drain has begun */
};

enum { TICK_MS = 10 };

void dv_http_options_init(dv_http_options *o)
{
    *o = (dv_http_options){.max_head = DV_HTTP_MAX_HEAD,
                           .max_fields = DV_HTTP_MAX_FIELDS,
                           .max_uri = DV_HTTP_MAX_URI,
                           .max_body = DV_HTTP_MAX_BODY,
                           .max_bodies = DV_HTTP_MAX_BODIES,
                           .max_connections = DV_HTTP_MAX_CONNECTIONS,
                           .max_ahead = DV_HTTP_MAX_AHEAD,
                           .stream_queue_bytes = DV_HTTP_STREAM_QUEUE,
                           .head_timeout_ms = DV_HTTP_HEAD_MS,
                           .body_timeout_ms = DV_HTTP_BODY_MS,
                           .idle_timeout_ms = DV_HTTP_IDLE_MS,
                           .write_stall_ms = DV_HTTP_WRITE_STALL_MS,
                           .linger_ms = DV_HTTP_LINGER_MS};
}

static int check_options(const dv_http_options *o, dv_err *err)
{
    const uint64_t hour = 3600 * 1000, gib = 1 << 30;
    const struct {
        const char *name;
        uint64_t value, min, max;
    } rows[] = {{"max_head", o->max_head, 1 << 10, 1 << 20},
                {"max_fields", o->max_fields, 1, DV__HEAD_FIELDS},
                {"max_uri", o->max_uri, 16, o->max_head},
                {"max_body", o->max_body, 1, gib},
                {"max_bodies", o->max_bodies, o->max_body, UINT64_MAX},
                {"max_connections", o->max_connections, 1, 1000000},
                {"max_ahead", o->max_ahead, 1 << 10, gib},
                {"stream_queue_bytes", o->stream_queue_bytes, 1 << 10, gib},
                {"head_timeout_ms", o->head_timeout_ms, 1, hour},
                {"body_timeout_ms", o->body_timeout_ms, 1, hour},
                {"idle_timeout_ms", o->idle_timeout_ms, 1, 24 * hour},
                {"write_stall_ms", o->write_stall_ms, 1, hour},
                {"linger_ms", o->linger_ms, 1, hour}};
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++)
        if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
            return dv_fail(err, DV_EINVAL, "%s is %llu, not in %llu to %llu", rows[i].name,
                           (unsigned long long)rows[i].value, (unsigned long long)rows[i].min,
                           (unsigned long long)rows[i].max);
    if (o->on_request == NULL)
        return dv_fail(err, DV_EINVAL, "on_request is missing");
    if (o->server_name != NULL && !dv_http_is_value(o->server_name, strlen(o->server_name)))
        return dv_fail(err, DV_EINVAL, "server_name has control characters");
    return 0;
}

static void wake(void *arg)
{
    const dv_http_server *s = arg;
    const uint64_t one = 1;
    int saved = errno; /* of what a signal handler has interrupted */
    ssize_t n = write(s->wake_fd, &one, sizeof one);
    (void)n; /* fails only if the counter is full, and then the loop wakes anyway */
    errno = saved;
}

/* Go on with a drain: called when it is asked for and at every tick after that. */
static void drain_step(dv_http_server *s)
{
    const struct timeval tv = {.tv_usec = TICK_MS * 1000};
    uint64_t end = atomic_load(&s->drain_end);
    if (end == UINT64_MAX)
        return;
    if (!s->draining) {
        s->draining = true;
        dv__core_log(&s->core, DV_HTTP_LOG_INFO, "draining %u connections", dv_http_connections(s));
        dv__listen_stop(&s->listeners);
        dv__core_drain(&s->core);
    }
    if (dv_clock_ns() >= end)
        dv__core_cut_all(&s->core);
    if (s->core.conns == NULL)
        event_base_loopbreak(s->base);
    else
        event_add(s->tick, &tv);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    dv_http_server *s = arg;
    uint64_t n;
    ssize_t got = read(s->wake_fd, &n, sizeof n);
    (void)got; /* before the list is taken: a push after that wakes again */
    dv__core_run_tasks(&s->core);
    dv__core_run_ready(&s->core);
    drain_step(s);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) { drain_step(arg); }

int dv_http_open(dv_http_server **out, const dv_http_options *o, dv_err *err)
{
    *out = NULL;
    int code = check_options(o, err);
    if (code != 0)
        return code;
    dv_http_server *s = dv_calloc(DV_MEM_HTTP, 1, sizeof *s);
    if (s == NULL)
        return dv_fail(err, DV_ENOMEM, "http: %s", dv_error_text(DV_ENOMEM));
    dv__core_init(&s->core, o);
    s->core.server = s;
    s->core.wake = wake;
    s->core.wake_arg = s;
    atomic_init(&s->drain_end, UINT64_MAX);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->base = event_base_new();
    if (s->base != NULL && s->wake_fd >= 0) {
        s->wake = event_new(s->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
        s->tick = event_new(s->base, -1, 0, on_tick, s);
    }
    if (s->wake == NULL || s->tick == NULL || event_add(s->wake, NULL) != 0) {
        dv_http_close(&s);
        return dv_fail(err, DV_EIO, "http: no event loop");
    }
    s->listeners.base = s->base;
    s->listeners.core = &s->core;
    *out = s;
    return 0;
}

void dv_http_finish(dv_http_server *s)
{
    dv__listen_stop(&s->listeners);
    dv__core_cut_all(&s->core);
    while (dv__core_run_tasks(&s->core) || dv__core_run_ready(&s->core))
        continue;
}

void dv_http_close(dv_http_server **server)
{
    dv_http_server *s = *server;
    if (s == NULL)
        return;
    *server = NULL;
    dv__listen_stop(&s->listeners);
    dv__core_cut_all(&s->core);
    dv__core_fini(&s->core);
    while (s->hooks != NULL) {
        hook *h = s->hooks;
        s->hooks = h->next;
        event_free(h->ev);
        dv_free(h);
    }
    if (s->wake != NULL)
        event_free(s->wake);
    if (s->tick != NULL)
        event_free(s->tick);
    if (s->base != NULL) {
        event_base_loop(s->base, EVLOOP_NONBLOCK); /* callbacks that were deferred hold connections' buffers */
        event_base_free(s->base);
    }
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    dv_free(s);
}

int dv_http_listen(dv_http_server *s, const dv_http_where *w, uint16_t *bound, dv_err *err)
{
    return dv__listen(&s->listeners, w, bound, err);
}

void dv_http_post(dv_http_server *s, dv_http_task *t) { dv__core_post(&s->core, t); }
void dv_http_set_max_per_address(dv_http_server *s, unsigned max) { s->core.o.max_per_address = max; }

int dv_http_run(dv_http_server *s)
{
    /* libevent writes with writev, which has no MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    return event_base_dispatch(s->base) < 0 ? DV_EIO : 0;
}

void dv_http_drain(dv_http_server *s, unsigned timeout_ms)
{
    uint64_t end = dv_clock_ns() + (uint64_t)timeout_ms * 1000000u, was = atomic_load(&s->drain_end);
    while (end < was && !atomic_compare_exchange_weak(&s->drain_end, &was, end))
        continue;
    atomic_store_explicit(&s->core.draining, true, memory_order_relaxed);
    wake(s);
}

void dv_http_stop(dv_http_server *s) { dv_http_drain(s, 0); }

bool dv_http_draining(const dv_http_server *s) { return atomic_load_explicit(&s->core.draining, memory_order_relaxed); }

unsigned dv_http_connections(const dv_http_server *s)
{
    return atomic_load_explicit(&s->core.n_conns, memory_order_relaxed);
}

struct event_base *dv_http_base(dv_http_server *s) { return s->base; }

static void on_hook(evutil_socket_t fd, short what, void *arg)
{
    const hook *h = arg;
    if (what & EV_SIGNAL)
        h->on_signal(h->arg, (int)fd);
    else
        h->on_timer(h->arg);
}

/* A hook on fd (a signal, or -1), added to the loop with this interval. */
static int add_hook(dv_http_server *s, hook want, int fd, short what, const struct timeval *tv)
{
    hook *h = dv_alloc(DV_MEM_HTTP, sizeof *h);
    if (h == NULL)
        return DV_ENOMEM;
    *h = want;
    h->ev = event_new(s->base, fd, what, on_hook, h);
    if (h->ev == NULL || event_add(h->ev, tv) != 0) {
        if (h->ev != NULL)
            event_free(h->ev);
        dv_free(h);
        return DV_EIO;
    }
    h->next = s->hooks;
    s->hooks = h;
    return 0;
}

int dv_http_on_signal(dv_http_server *s, int signo, void (*fn)(void *arg, int signo), void *arg)
{
    return add_hook(s, (hook){.on_signal = fn, .arg = arg}, signo, EV_SIGNAL | EV_PERSIST, NULL);
}

int dv_http_timer(dv_http_server *s, unsigned interval_ms, void (*fn)(void *arg), void *arg)
{
    unsigned ms = DV_MAX(interval_ms, 1u);
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    return add_hook(s, (hook){.on_timer = fn, .arg = arg}, -1, EV_PERSIST, &tv);
}
