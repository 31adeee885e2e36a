/* SPDX-License-Identifier: MIT */
/* One HTTP exchange that its caller waits for. libcurl's multi interface with one exchange in it: unlike the easy interface it can be woken
 * from another thread, so that a cancel does not wait for the next byte. */
#ifndef DV_PROVIDER_TRANSFER_H
#define DV_PROVIDER_TRANSFER_H

#include "drover/error.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where to, and with what; strings are borrowed and outlive the wire. */
typedef struct dv__wire {
    CURLM *multi;
    const char *socket;  /* path of a unix socket; NULL: the URL's host */
    const char *key;     /* NULL: none */
    const char *ca_file; /* NULL: the system's */
    unsigned connect_ms;
    pthread_mutex_t lock;
    bool busy, cancel; /* under the lock */
} dv__wire;

typedef struct dv__transfer {
    const char *url;     /* printable ASCII */
    const char *profile; /* X-Drover-Profile; NULL: none */
    const char *body;    /* [n_body] JSON to POST; NULL: GET */
    size_t n_body;
    unsigned silence_ms, total_ms; /* 0: no limit */
    /* A piece of the body of a reply with status 2xx. *enough: no more is needed, the reply may end now. A negative code ends it. */
    int (*on_data)(void *arg, struct dv__transfer *t, const char *p, size_t n, bool *enough);
    void *arg;
    /* What came of it. */
    int status; /* 0: no reply */
    unsigned retry_after_s;
    bool events; /* the reply is text/event-stream */
    bool gone;   /* there is no server, or it went away before the reply was complete */
    bool slow;   /* it was silent for too long */
} dv__transfer;

/** Errors: DV_EIO, DV_ENOMEM. */
int dv__wire_init(dv__wire *w, dv_err *err);
void dv__wire_fini(dv__wire *w);
/** The beginning and the end of a call of the user's. Errors: DV_EBUSY if one runs. */
int dv__wire_begin(dv__wire *w, dv_err *err);
void dv__wire_end(dv__wire *w);
/** Any thread. */
void dv__wire_cancel(dv__wire *w);
bool dv__wire_canceled(dv__wire *w);
/** Wait; a cancel ends it. */
void dv__wire_sleep(dv__wire *w, unsigned ms);

/**
 * Run it. Redirects are not followed, nothing is taken from files or the environment.
 * Errors: that of on_data; what a status that is not 2xx says (dv__answer_error); DV_EIO, DV_EFORMAT, DV_ELIMIT, DV_ECANCELED, DV_ENOMEM.
 */
int dv__transfer_run(dv__wire *w, dv__transfer *t, dv_err *err);

#endif
