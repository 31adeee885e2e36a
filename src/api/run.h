/* SPDX-License-Identifier: MIT */
/* From a call to jobs and back: submits the jobs of a call, a few at a time, gives their events to the route's sink, and sends what the sink
 * wrote into c->out. A sink never sees the connection: that a reader is slow, is gone, or must be kept waiting is dealt with here. */
#ifndef DV_API_RUN_H
#define DV_API_RUN_H

#include "api/route.h"

enum { DV__RUN_WINDOW = 8 }; /* jobs of one call in the scheduler at once */

/** What a route makes of its jobs. All on the scheduler's thread with the call locked; a failure ends the call. */
typedef struct dv__sink {
    /**
     * An event of job `item`, the good DV_JOB_END too. Appends to c->out: of a stream (c->stream) whole events, which go out when this
     * returns; otherwise the body, which goes out after `done`.
     */
    int (*event)(dv__call *c, uint32_t item, const dv_job_event *ev);
    /** Every job has ended well: the rest of the answer. */
    int (*done)(dv__call *c);
    /** After a failure in the middle of a stream: the event that says so. NULL: "data: " and the error's body. */
    void (*broken)(dv__call *c, const char *body);
} dv__sink;

/**
 * Submit jobs: on_event and arg of the parameters are set here. When this fails the caller replies; when it returns 0 the call will be
 * answered by the sink or with an error.
 * @param params  [n] with all that they point to, alive as long as the call (c->arena)
 * Errors: as dv_sched_submit; DV_ECONTEXT with the numbers.
 */
int dv__run_start(dv__call *c, const dv__sink *sink, dv_job_params *params, uint32_t n, dv_err *err);
/** Freed with its call. */
void dv__run_free(dv__run *r);

/** HTTP callbacks and a timer's tick, I/O thread. */
void dv__run_writable(dv__call *c);
void dv__run_gone(dv__call *c);
/** Send a comment line on every stream that was silent for ping_ms. */
void dv__run_pings(dv_api *api);

/** The timing of the jobs that have ended, added up. */
const dv_job_timing *dv__run_timing(const dv__call *c);
/** Put `data: ` in front of an event and an empty line behind; between them the sink writes JSON without line ends. */
void dv__sse_begin(dv_buf *b);
void dv__sse_end(dv_buf *b);

#endif
