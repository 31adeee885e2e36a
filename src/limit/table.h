/* SPDX-License-Identifier: MIT */
/* Counters by key, bounded. A counter that owes nothing is as good as none, so it is forgotten when room is needed; one that owes
 * something is never forgotten. When all of them owe, new keys share a few counters: a flood of identities makes newcomers wait for
 * each other, and nobody gets a fresh budget by it.
 *
 * Where a key lies depends on a secret, so that nobody can choose identities that crowd. One thread. */
#ifndef DV_LIMIT_TABLE_H
#define DV_LIMIT_TABLE_H

#include "limit/gcra.h"

#include <stddef.h>

typedef struct dv__table dv__table;

/** NULL when out of memory. */
dv__table *dv__table_new(size_t max_keys);
void dv__table_free(dv__table *t);
/** The counter of a key, which is valid until the next call; never NULL. now_ns never goes back. */
dv__gcra *dv__table_get(dv__table *t, const dv_rate_key *key, uint64_t now_ns);
/** Counters with a place of their own. */
size_t dv__table_len(const dv__table *t);

#endif
