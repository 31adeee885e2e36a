/* SPDX-License-Identifier: MIT */
/* Inside of the client. libcurl's callbacks only keep what they are given; the application is called when libcurl has returned,
 * so that it may begin, resume and cancel whatever it likes. */
#ifndef DV_CLIENT_FETCH_H
#define DV_CLIENT_FETCH_H

#include "client/client.h"
#include "client/head.h"
#include "client/loop.h"
#include "client/outgoing.h"

#include <sys/queue.h>

TAILQ_HEAD(dv__fetches, dv_fetch);

struct dv_client {
    struct event_base *base;
    dv__loop loops[2];  /* [public_only]: a connection whose address was not checked is never used where it must be */
    struct event *soon; /* delivers when nothing else is going to */
    struct dv__fetches all;   /* by link */
    struct dv__fetches ready; /* by ready_link: something to deliver */
    dv_fetch *current;        /* its callback runs; NULL once it was cancelled from there */
};

struct dv_fetch {
    TAILQ_ENTRY(dv_fetch) link, ready_link;
    dv_client *client;
    dv__loop *loop;
    CURL *easy;
    dv_fetch_request rq; /* body, times, callbacks; what was copied is in out */
    dv__outgoing out;
    dv__reply_head head;
    dv_buf in; /* of the body, not taken yet */
    struct event *timer;
    uint64_t since_ns; /* the time-out that holds now counts from here */
    uint64_t failures; /* dv__curl_failures at the start */
    bool is_ready;     /* is in client->ready */
    bool running;      /* is in the multi handle */
    bool lost;         /* cannot go on, for want of memory */
    bool retried;      /* on a new connection */
    bool refused;      /* an address was not public */
    bool public_only;
    bool head_told;
    bool paused; /* by the application */
    bool held;   /* so libcurl holds back what it has */
    bool over;   /* nothing more comes from libcurl */
    bool ending; /* on_end runs */
    dv_fetch_end end;
    dv_err why;
    char curl_says[CURL_ERROR_SIZE];
};

/** Give f its turn in the loop. */
void dv__fetch_ready(dv_fetch *f);
/** The exchange is over in this way, unless it is already; what is left of the body is still delivered. Not from within libcurl. */
void dv__fetch_over(dv_fetch *f, dv_fetch_end end, const char *why);
/** The application does not want the rest. */
void dv__fetch_abort(dv_fetch *f);
/** Of a dv__loop. */
void dv__fetch_lost(CURL *easy);
void dv__fetch_ended(CURL *easy, CURLcode result);
/** Begin to count the time-out that holds now. */
void dv__fetch_watch(dv_fetch *f);
void dv__fetch_free(dv_fetch *f);
/** Deliver to all that have something, once. */
void dv__client_round(void *client);

/** Set up f->easy, which exists. */
bool dv__fetch_options(dv_fetch *f);

#endif
