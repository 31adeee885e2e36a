/* SPDX-License-Identifier: MIT */
/* What all connections of a server share, without any event loop: limits, counters, the list of requests for which the I/O
 * thread has something to do. */
#ifndef DV_HTTP_CORE_H
#define DV_HTTP_CORE_H

#include "http/peer.h"
#include "http/server.h"
#include "http/status.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct dv__conn dv__conn;

typedef struct dv__core {
    dv_http_options o;
    dv_http_server *server; /**< what dv_http_server_of tells */
    void (*wake)(
        void *
            arg); /**< makes the I/O thread call dv__core_run_ready; any thread; NULL in tests that call it themselves */
    void *wake_arg;

    pthread_mutex_t lock; /**< of the two lists. Taken with a request's mutex held, never the other way round */
    dv_http_req *ready, **ready_end;
    dv_http_task *tasks, **tasks_end;

    atomic_uint n_conns;  /**< relaxed: for people; the I/O thread alone writes it */
    atomic_bool draining; /**< relaxed: whoever reads it too late closes one reply later */

    /* I/O thread only. */
    dv__conn *conns; /**< list */
    dv__peers peers;
    uint64_t full_said;   /**< ns: when a connection that was turned away was last spoken of */
    unsigned full_unsaid; /**< how many were since then */
    uint64_t id_prefix;
    uint32_t id_next;
    time_t date_at;
    char date[DV__DATE_LEN + 1];
} dv__core;

/** o is checked by the caller. */
void dv__core_init(dv__core *k, const dv_http_options *o);
/** After all connections are closed. What was posted still runs. */
void dv__core_fini(dv__core *k);
/** Put r on the ready list, with a reference. r's mutex is held. Any thread. */
void dv__core_ready(dv__core *k, dv_http_req *r);
/** dv_http_post. Any thread. */
void dv__core_post(dv__core *k, dv_http_task *t);
/** Call every task that is posted by now; false: there was none. I/O thread. */
bool dv__core_run_tasks(dv__core *k);
/** Serve every request on the ready list; false: there was none. I/O thread. */
bool dv__core_run_ready(dv__core *k);
/** The present date for a Date field. I/O thread. */
const char *dv__core_date(dv__core *k);
/** Cut every connection. I/O thread. */
void dv__core_cut_all(dv__core *k);
/** Close idle connections; the others close once their reply is complete. I/O thread. */
void dv__core_drain(dv__core *k);
/** Close the connection that is idle for the longest time; false if none is. I/O thread. */
bool dv__core_evict(dv__core *k);
/** Whether one more connection of p's address is within max_per_address; for that the one of them that is idle for the longest time may be closed.
 * I/O thread. */
bool dv__core_admit_peer(dv__core *k, const dv__peer *p);
void dv__core_log(const dv__core *k, int level, const char *fmt, ...) DV_PRINTF(3, 4);

#endif
