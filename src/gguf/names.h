/* SPDX-License-Identifier: MIT */
/* A hash table from names to positions in an array whose elements begin with a dv_str. Names come from hostile files,
 * so the hash is keyed: SipHash-1-3 (Aumasson and Bernstein 2012) with a random key per table, and nobody can choose
 * names that collide. The table stores positions, not pointers: the array may move between calls, each of which is told
 * where it is. */
#ifndef DV_GGUF_NAMES_H
#define DV_GGUF_NAMES_H

#include "gguf/gguf.h"

enum { DV__NAMES_NONE = UINT32_MAX };

typedef struct dv__names_slot {
    uint32_t tag; /**< upper half of the hash: most comparisons of different names end here */
    uint32_t at;  /**< position + 1; 0: free */
} dv__names_slot;

typedef struct dv__names {
    uint64_t key[2];
    dv__names_slot *slots; /**< owned */
    size_t cap;            /**< a power of two, or 0 */
    size_t n;
    size_t stride; /**< bytes from one element of the array to the next */
} dv__names;

/** An empty table with room for n names. Errors: DV_ENOMEM. */
int dv__names_init(dv__names *t, size_t stride, size_t n);
void dv__names_fini(dv__names *t);
/** Position of a name, DV__NAMES_NONE if absent. */
uint32_t dv__names_find(const dv__names *t, const void *items, const char *p, size_t n);
/**
 * Enter element `at`, whose name is already in the array; grows as needed.
 * @param found  position of the element that has the name now: `at`, or an earlier one, and then nothing was added
 * Errors: DV_ENOMEM.
 */
int dv__names_add(dv__names *t, const void *items, uint32_t at, uint32_t *found);

/** SipHash-1-3 of n bytes. Linked for its test. */
uint64_t dv__siphash13(const uint64_t key[2], const void *data, size_t n);

#endif
