/* SPDX-License-Identifier: MIT */
/* A bounded queue that shares a resource between identities: who has got least goes first (start-time fair queueing, Goyal, Vin and Cheng 1996,
 * with weights of 1), first come first served within an identity. Intrusive: no allocation for an entry. One thread. */
#ifndef DV_LIMIT_FAIR_H
#define DV_LIMIT_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv_fair_item dv_fair_item;
struct dv_fair_item {
    dv_fair_item *prev, *next; /* of its identity */
    struct dv_fair_flow *flow; /* NULL: not queued */
    uint64_t cost;             /* what it will take, in any unit; at least 1 */
};

typedef struct dv_fair dv_fair;

/** @param max  items that may wait. NULL when out of memory */
dv_fair *dv_fair_new(size_t max);
/** Nothing waits any more. f may be NULL. */
void dv_fair_free(dv_fair *f);
void dv_fair_set_max(dv_fair *f, size_t max);
/** Errors: DV_EBUSY (full), DV_ENOMEM. */
int dv_fair_put(dv_fair *f, dv_fair_item *it, uint64_t identity, uint64_t cost);
/** The next one, removed; NULL: nothing waits. */
dv_fair_item *dv_fair_take(dv_fair *f);
/** The same without removing it. */
dv_fair_item *dv_fair_peek(dv_fair *f);
/** Remove one that waits, or nothing if it does not. */
void dv_fair_remove(dv_fair *f, dv_fair_item *it);
size_t dv_fair_len(const dv_fair *f);

#endif
