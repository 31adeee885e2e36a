/* SPDX-License-Identifier: MIT */
/* A multi handle of libcurl with its pool of connections, driven by an event loop of libevent: which sockets to watch and when
 * to look again come from libcurl, readiness goes back. */
#ifndef DV_CLIENT_LOOP_H
#define DV_CLIENT_LOOP_H

#include "drover/error.h"

#include <curl/curl.h>
#include <stdbool.h>

struct event;
struct event_base;
typedef struct dv__sock dv__sock;

enum { DV__MAX_IDLE = 64 }; /* connections kept for the next request; the longest idle one goes first */

typedef struct dv__loop {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    dv__sock *socks;
    int idle[DV__MAX_IDLE]; /**< [n_idle] sockets of connections that are kept */
    unsigned n_idle;
    bool starting; /**< a transfer was added and has not chosen its connection yet */
    /** A socket of this transfer cannot be watched: end it once libcurl has returned. Must not call libcurl. */
    void (*on_lost)(CURL *easy);
    /** A transfer has ended and is out of the multi handle. */
    void (*on_over)(CURL *easy, CURLcode result);
    /** Everything that was ready was given to libcurl. */
    void (*on_round)(void *arg);
    void *arg;
} dv__loop;

/** The callbacks and arg are set by the caller before. Errors: DV_ENOMEM. */
int dv__loop_open(dv__loop *l, struct event_base *base);
/** After all transfers were removed. */
void dv__loop_close(dv__loop *l);
/** False when there is no memory. */
bool dv__loop_add(dv__loop *l, CURL *easy);
/** How a connection's socket is closed: libcurl's CLOSESOCKETFUNCTION, with the loop. */
int dv__loop_close_socket(void *loop, curl_socket_t fd);

#endif
