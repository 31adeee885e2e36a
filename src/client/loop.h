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

typedef struct dv__loop {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    dv__sock *socks;
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

#endif
