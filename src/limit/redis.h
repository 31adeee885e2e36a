/* SPDX-License-Identifier: MIT */
/* The counters in a Redis: one connection, one script, a time-out for every answer. */
#ifndef DV_LIMIT_REDIS_H
#define DV_LIMIT_REDIS_H

#include "limit/rate.h"

typedef struct dv__redis dv__redis;
typedef struct dv__redis_ask dv__redis_ask;

typedef struct dv__redis_call {
    dv_rate_key key;
    dv_rate_rule rule; /**< of dv__gcra_rule */
    uint64_t cost;
    bool charge;
    void (*done)(void *arg, const dv_rate_answer *a); /**< NULL: Redis did not answer */
    void *arg;
} dv__redis_call;

/** Begins to connect. Errors: DV_EINVAL, DV_EUNSUPPORTED (the URL), DV_ENOMEM. */
int dv__redis_open(dv__redis **out, const dv_rate_options *o, dv_err *err);
/** Calls that wait are done with NULL. *r may be NULL. */
void dv__redis_close(dv__redis **r);
/** NULL: Redis is not there now (or no memory), done is not called; else once, later. */
dv__redis_ask *dv__redis_call_start(dv__redis *r, const dv__redis_call *call);
/** done is not called. */
void dv__redis_call_forget(dv__redis_ask *a);
void dv__redis_health(const dv__redis *r, dv_rate_health *out);

#endif
