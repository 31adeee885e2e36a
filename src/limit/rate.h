/* SPDX-License-Identifier: MIT */
/* Rate limits by GCRA (the generic cell rate algorithm, ITU-T I.371 in its virtual scheduling form): one number for each identity
 * and rule, no window that jumps. Embedded, or in a Redis (or Valkey) that several nodes share.
 *
 * Threads: the I/O thread only. done may call everything here but dv_rate_close. */
#ifndef DV_LIMIT_RATE_H
#define DV_LIMIT_RATE_H

#include "drover/error.h"
#include "http/server.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dv_rate dv_rate;
typedef struct dv_rate_ask dv_rate_ask;

/** Whom and what is counted: a hash of the identity and the name of the rule, so equal keys are the same counter on all nodes. */
typedef struct dv_rate_key {
    uint8_t hash[16];
} dv_rate_key;

/** BLAKE2b-128 of rule's name and identity's text. */
dv_rate_key dv_rate_key_of(const char *rule, const char *identity);

typedef struct dv_rate_rule {
    uint64_t limit;     /**< so many in a window, to 2^53; 0: no limit */
    uint64_t window_ms; /**< 1 to ten years */
    uint64_t burst;     /**< that may come at once; 0: limit */
} dv_rate_rule;

typedef struct dv_rate_answer {
    bool allowed;
    bool shared;        /**< counted in Redis; else by this process */
    uint64_t remaining; /**< that would be allowed now */
    uint64_t reset_ms;  /**< until everything is allowed again */
    uint64_t retry_ms;  /**< until what was asked for may be allowed; 0 if it was */
} dv_rate_answer;

typedef struct dv_rate_options {
    dv_http_server *http;   /**< its loop is used for Redis; may be NULL without one */
    const char *redis_url;  /**< redis://[[user]:password@]host[:port][/db] or unix:///path; NULL: embedded */
    const char *prefix;     /**< of keys in Redis; up to 64 bytes */
    unsigned timeout_ms;    /**< of an answer of Redis */
    bool refuse_on_failure; /**< when Redis does not answer: refuse; else count here meanwhile */
    /** Counters kept. One that would be allowed everything is forgotten when room is needed, one that would not never: when
     *  there are only such, new keys share a few counters. 0: 262144 (16 MiB). */
    size_t max_keys;
    uint64_t (*now_ms)(void); /**< NULL: the monotonic clock; tests set it */
    void (*log)(void *arg, int level, const char *text);
    void *log_arg;
} dv_rate_options;

/** Errors: DV_EINVAL (the URL), DV_EUNSUPPORTED (rediss://), DV_ENOMEM. A Redis that is not there is no error: it is tried
 *  again. */
int dv_rate_open(dv_rate **out, const dv_rate_options *o, dv_err *err);
/** Nobody waits for an answer any more. *r may be NULL. */
void dv_rate_close(dv_rate **r);

/**
 * Take `cost` from key's budget. done is called exactly once: before this returns when it can be said here (embedded, no limit,
 * Redis known not to answer), else when Redis has answered or not in time. A cost above the burst waits for the whole budget,
 * and then owes the rest.
 * @param key, rule  copied
 * @param ask  where to give a handle for dv_rate_cancel, and NULL once done was called; stays there until then. NULL: not wanted
 */
void dv_rate_take(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost,
                  void (*done)(void *arg, const dv_rate_answer *a), void *arg, dv_rate_ask **ask);
/** The same in this process alone, whether there is a Redis or not: for what is counted for each node. */
void dv_rate_take_here(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost, dv_rate_answer *a);
/** done will not be called; what was asked for may still be taken. *ask may be NULL, becomes NULL. */
void dv_rate_cancel(dv_rate_ask **ask);
/** Charge what was used already, allowed or not: further ones have to wait for it. */
void dv_rate_charge(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost);
/** For /api/health: whether Redis answers, and in how many microseconds it did last; false: embedded. */
typedef struct dv_rate_health {
    bool shared, ok;
    uint64_t latency_us;
    uint64_t failures; /**< answers that did not come */
    char text[160];
} dv_rate_health;
void dv_rate_health_get(dv_rate *r, dv_rate_health *out);

#endif
