/* SPDX-License-Identifier: MIT */
/* Bump allocation freed in one call, for things that live and die together (a request, a parsed template). */
#ifndef DV_BASE_ARENA_H
#define DV_BASE_ARENA_H

#include "base/mem.h"

typedef struct dv_arena_block dv_arena_block;
typedef struct dv_arena {
    dv_arena_block *head;
    size_t used;  /**< bytes handed out */
    size_t limit; /**< most bytes it may hand out; 0: no limit */
    dv_mem_cat cat;
} dv_arena;

void dv_arena_init(dv_arena *a, dv_mem_cat cat, size_t limit);
/** Free everything; the arena is empty and usable again. */
void dv_arena_fini(dv_arena *a);
/** Overwrite everything that was handed out, where it held secrets: before dv_arena_fini. */
void dv_arena_wipe(dv_arena *a);
/** n uninitialised bytes, 16-byte aligned; NULL when out of memory or over the limit. */
void *dv_arena_alloc(dv_arena *a, size_t n) DV_WARN_UNUSED;
/** n * size zeroed bytes, product checked. */
void *dv_arena_calloc(dv_arena *a, size_t n, size_t size) DV_WARN_UNUSED;
/** Terminated copy of n bytes. */
char *dv_arena_strndup(dv_arena *a, const char *s, size_t n) DV_WARN_UNUSED;

#endif
