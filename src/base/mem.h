/* SPDX-License-Identifier: MIT */
/* Allocation with a category, so that memory is a number the program knows, and with two test hooks: failure after N
 * allocations, and a guard that counts allocations in a region that must make none (the token loop). */
#ifndef DV_BASE_MEM_H
#define DV_BASE_MEM_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

typedef enum dv_mem_cat {
    DV_MEM_BASE,    /**< everything without a better name */
    DV_MEM_GGUF,    /**< metadata and tensor directories */
    DV_MEM_TOK,     /**< vocabularies, tokenizer work space, templates */
    DV_MEM_GRAMMAR, /**< grammars, their masks, token tries */
    DV_MEM_MODEL,   /**< bound weights, tables */
    DV_MEM_KV,      /**< KV cache pages */
    DV_MEM_SCRATCH, /**< activations and packing tiles */
    DV_MEM_SESSION, /**< sessions, samplers */
    DV_MEM_HTTP,    /**< connections, heads, replies (bodies and queues are buffers: DV_MEM_BASE) */
    DV_MEM_API,     /**< requests and answers of the server */
    DV_MEM_STORE,   /**< the database and what is kept of it in memory */
    DV_MEM_JSON,    /**< JSON values, in programs that say so (base/json.h) */
    DV_MEM_CONF,    /**< configuration */
    DV_MEM_CLIENT,  /**< requests to other servers, what libcurl takes for them included */
    DV_MEM_LIMIT,   /**< counters and queues of limits */
    DV_MEM_FLEET,   /**< models, engines, and requests that wait for them */
    DV_MEM_CAT_N
} dv_mem_cat;

/** 64-byte aligned, uninitialised; NULL when out of memory or n is 0 bytes over the limit of size_t. n == 0 gives a valid pointer. */
void *dv_alloc(dv_mem_cat cat, size_t n) DV_WARN_UNUSED;
/** n * size zeroed bytes, product checked. */
void *dv_calloc(dv_mem_cat cat, size_t n, size_t size) DV_WARN_UNUSED;
/** n * size uninitialised bytes, product checked. */
void *dv_alloc_array(dv_mem_cat cat, size_t n, size_t size) DV_WARN_UNUSED;
/** Grow or shrink; p may be NULL; on failure NULL and p stays valid. */
void *dv_realloc(dv_mem_cat cat, void *p, size_t n) DV_WARN_UNUSED;
/** p may be NULL. */
void dv_free(void *p);
/** Bytes that were asked for; p is not NULL. */
size_t dv_mem_size(const void *p);
/** Terminated copy of n bytes. */
char *dv_strndup(dv_mem_cat cat, const char *s, size_t n) DV_WARN_UNUSED;

/** Blocks of a library that makes many small ones and frees them without saying their size: aligned as malloc does it, without a head, counted with what
 * the C library sets aside for them. */
void *dv_mem_plain_alloc(dv_mem_cat cat, size_t n) DV_WARN_UNUSED;
/** p may be NULL. */
void dv_mem_plain_free(dv_mem_cat cat, void *p);
/** Bytes that a plain block counts for; 0 for NULL. */
size_t dv_mem_plain_size(const void *p);

/** Give memory that was freed back to the system, which the C library keeps otherwise. Takes milliseconds. */
void dv_mem_trim(void);

/** "kv" and the like, for metrics. Static string. */
const char *dv_mem_name(dv_mem_cat cat);
/** Bytes now allocated in a category (DV_MEM_CAT_N: all of them). Any thread. */
size_t dv_mem_used(dv_mem_cat cat);
/** Most bytes that were allocated in a category at one time since dv_mem_peak_reset (cat < DV_MEM_CAT_N). Any thread. */
size_t dv_mem_peak(dv_mem_cat cat);
/** Forget the peak of a category: it is what is allocated now. */
void dv_mem_peak_reset(dv_mem_cat cat);

/** Test hook: the n-th allocation from now fails and so do all later ones; 0 switches it off. */
void dv_mem_fail_after(uint64_t n);
/** Allocations made by the calling thread so far; a region that must not allocate compares before and after. */
uint64_t dv_mem_count(void);

#endif
