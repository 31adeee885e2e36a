/* SPDX-License-Identifier: MIT */
/* The generic cell rate algorithm with exact arithmetic. A counter is a debt that time pays back: `limit` units in a window. It
 * is kept as the time at which nothing will be owed (the theoretical arrival time of ITU-T I.371), in nanoseconds and a fraction
 * of one in limit-ths, so nothing is ever rounded: a million takes cost what one of a million costs. */
#ifndef DV_LIMIT_GCRA_H
#define DV_LIMIT_GCRA_H

#include "limit/rate.h"

typedef struct dv__gcra {
    uint64_t tat_ns; /**< 0: never counted */
    uint64_t part;   /**< of the next nanosecond, below the rule's limit */
} dv__gcra;

/** Whether nothing is owed. */
static inline bool dv__gcra_idle(const dv__gcra *g, uint64_t now_ns)
{
    return g->tat_ns < now_ns || (g->tat_ns == now_ns && g->part == 0);
}
/** Bounds of a rule, beyond which it is taken for the bound: 2^53 units, ten years. */
dv_rate_rule dv__gcra_rule(const dv_rate_rule *rule);
/**
 * Take cost, or only say that it cannot be had. A cost above the burst waits until nothing is owed, and then owes the rest.
 * @param charge  take it in any case; a->allowed still says whether it could be had
 * @param rule    of dv__gcra_rule, with a limit
 */
void dv__gcra_take(dv__gcra *g, const dv_rate_rule *rule, uint64_t now_ns, uint64_t cost, bool charge,
                   dv_rate_answer *a);

#endif
