/* SPDX-License-Identifier: MIT */
/* A key in memory. */
#ifndef DV_STORE_KEY_IMPL_H
#define DV_STORE_KEY_IMPL_H

#include "store/store_impl.h"

#include <stdatomic.h>

typedef struct dv__key {
    dv_key key; /**< first: what callers see */
    atomic_uint refs;
    atomic_uint_fast64_t used_ms; /**< like key.used_ms, but now */
    uint64_t saved_ms;            /**< what the database has; under keys.mu */
    uint8_t hash[DV__MAC];
    const char *pattern[2 * DV_SCOPE_PATTERNS]; /**< of routes, then of models */
    char text[];                                /**< what they point to */
} dv__key;

#define DV__KEY_COLUMNS                                                                                                             \
    "id, hash, prefix, name, owner, admin, routes, models, requests_per_min, tokens_per_min, concurrency, max_context, expires_ms," \
    " created_ms, used_ms, revoked_ms"
/** The key of a row of these columns, counted once. NULL: the connection failed. */
dv__key *dv__key_row(dv_stmt *st, dv_conn *c);
void dv__key_hash(const dv_store *s, const char *text, size_t n, uint8_t hash[DV__MAC]);

#endif
