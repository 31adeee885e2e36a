/* SPDX-License-Identifier: MIT */
/* What runs at one time: requests of an identity, and what the machine has room for. A claim is a value in the claimant's own struct: giving it
 * back twice, or one that was never made, does nothing, so no path through a request can leak or free too much. One thread. */
#ifndef DV_LIMIT_SHARE_H
#define DV_LIMIT_SHARE_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv_share dv_share;
typedef struct dv_claim dv_claim;
struct dv_claim {
    dv_share *share;
    struct dv_share_entry *entry; /* NULL: nothing is claimed */
    dv_claim *prev, *next;
};

typedef struct dv_share_options {
    uint64_t
        memory_reserve; /**< bytes of the machine that must stay available for a claim to be granted; 0: not looked at */
    unsigned
        cpu_load; /**< percent of all cores, run queue of the last second, above which none is granted; 0: not looked at */
    /** Fill in what the machine has now; NULL: base/limits and /proc. Tests set it. */
    void (*look)(void *arg, uint64_t *mem_available, unsigned *cpu_percent);
    void *look_arg;
    uint64_t (*now_ms)(void); /**< NULL: the monotonic clock */
} dv_share_options;

int dv_share_open(dv_share **out, const dv_share_options *o, dv_err *err);
/** Claims that are left are given back. *s may be NULL. */
void dv_share_close(dv_share **s);
void dv_share_tune(dv_share *s, const dv_share_options *o);

/**
 * One more of identity (a hash), of which at most max may run (0: no limit).
 * Errors: DV_ERATE (as many of identity run already), DV_EBUSY (the machine has no room; err says of what), DV_ENOMEM. c is zeroed by the caller
 * once, before its first use.
 */
int dv_share_claim(dv_share *s, dv_claim *c, uint64_t identity, unsigned max, dv_err *err);
void dv_share_release(dv_claim *c);
/** How many of identity run; of all. */
unsigned dv_share_running(const dv_share *s, uint64_t identity);
unsigned dv_share_total(const dv_share *s);

#endif
