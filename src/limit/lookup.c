/* SPDX-License-Identifier: MIT */
#include "limit/lookup.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dv__lookup {
    atomic_int refs;   /* the loop's and the thread's */
    int fds[2];        /* the thread closes the second one when ip is there */
    atomic_bool there; /* released with ip: what the pipe's end orders, the memory model does not know */
    struct event *ev;
    void (*done)(void *arg, const char *ip);
    void *arg;
    char ip[INET6_ADDRSTRLEN]; /* "": none */
    char host[];
};

static void unref(dv__lookup *l)
{
    if (atomic_fetch_sub(&l->refs, 1) == 1)
        dv_free(l);
}

static void *look(void *arg)
{
    dv__lookup *l = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    if (getaddrinfo(l->host, NULL, &hints, &list) == 0 && list != NULL)
        getnameinfo(list->ai_addr, list->ai_addrlen, l->ip, sizeof l->ip, NULL, 0, NI_NUMERICHOST);
    if (list != NULL)
        freeaddrinfo(list);
    atomic_store_explicit(&l->there, true, memory_order_release);
    close(l->fds[1]);
    unref(l);
    return NULL;
}

static void leave(dv__lookup *l)
{
    event_free(l->ev);
    close(l->fds[0]);
    unref(l);
}

static void on_closed(evutil_socket_t fd, short what, void *arg)
{
    dv__lookup *l = arg;
    char ip[INET6_ADDRSTRLEN] = "";
    if (atomic_load_explicit(&l->there, memory_order_acquire))
        memcpy(ip, l->ip, sizeof ip);
    void (*done)(void *, const char *) = l->done;
    void *to = l->arg;
    leave(l);
    done(to, ip[0] != 0 ? ip : NULL);
}

static bool run(dv__lookup *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attr, look, l) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

dv__lookup *dv__lookup_start(struct event_base *base, const char *host, void (*done)(void *arg, const char *ip),
                             void *arg)
{
    size_t n = strlen(host) + 1;
    dv__lookup *l = dv_calloc(DV_MEM_LIMIT, 1, sizeof *l + n);
    if (l == NULL)
        return NULL;
    memcpy(l->host, host, n);
    l->done = done;
    l->arg = arg;
    atomic_init(&l->refs, 2);
    if (pipe2(l->fds, O_CLOEXEC) != 0) {
        dv_free(l);
        return NULL;
    }
    l->ev = event_new(base, l->fds[0], EV_READ, on_closed, l);
    if (l->ev != NULL && event_add(l->ev, NULL) == 0 && run(l))
        return l;
    if (l->ev != NULL)
        event_free(l->ev);
    close(l->fds[0]);
    close(l->fds[1]);
    dv_free(l);
    return NULL;
}

void dv__lookup_cancel(dv__lookup *l)
{
    if (l != NULL)
        leave(l);
}
