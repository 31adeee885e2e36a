/* SPDX-License-Identifier: MIT */
/* Every block carries a 64-byte header with its size and category: 64 so that the user's part keeps the alignment that
 * the widest vector loads want. Counters are relaxed atomics: they are statistics and order nothing. */
#include "base/mem.h"

#include "base/num.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MEM_ALIGN = 64 };

typedef struct mem_head {
    size_t size;
    dv_mem_cat cat;
} mem_head;

_Static_assert(sizeof(mem_head) <= MEM_ALIGN, "header fits the alignment gap");

static atomic_size_t used[DV_MEM_CAT_N];
static atomic_size_t peak[DV_MEM_CAT_N];
static atomic_uint_fast64_t fail_countdown;
static _Thread_local uint64_t thread_count;

static bool should_fail(void)
{
    /* 0: off. 1: the hook has fired and stays fired. Above: one less each time. */
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    if (DV_LIKELY(left == 0))
        return false;
    if (left > 1)
        atomic_store_explicit(&fail_countdown, left - 1, memory_order_relaxed);
    return left == 1;
}

static void raise_peak(dv_mem_cat cat, size_t now)
{
    size_t seen = atomic_load_explicit(&peak[cat], memory_order_relaxed);
    while (now > seen &&
           !atomic_compare_exchange_weak_explicit(&peak[cat], &seen, now, memory_order_relaxed, memory_order_relaxed))
        continue;
}

void *dv_alloc(dv_mem_cat cat, size_t n)
{
    size_t total;
    thread_count++;
    if (should_fail() || !dv_add_size(n, 2 * MEM_ALIGN - 1, &total))
        return NULL;
    mem_head *h = aligned_alloc(MEM_ALIGN, total & ~(size_t)(MEM_ALIGN - 1));
    if (h == NULL)
        return NULL;
    h->size = n;
    h->cat = cat;
    raise_peak(cat, atomic_fetch_add_explicit(&used[cat], n, memory_order_relaxed) + n);
    return (char *)h + MEM_ALIGN;
}

void *dv_alloc_array(dv_mem_cat cat, size_t n, size_t size)
{
    size_t total;
    return dv_mul_size(n, size, &total) ? dv_alloc(cat, total) : NULL;
}

void *dv_calloc(dv_mem_cat cat, size_t n, size_t size)
{
    void *p = dv_alloc_array(cat, n, size);
    if (p != NULL)
        memset(p, 0, n * size);
    return p;
}

void *dv_realloc(dv_mem_cat cat, void *p, size_t n)
{
    /* aligned_alloc has no realloc; growth here is geometric, so the copy is amortised. */
    void *q = dv_alloc(cat, n);
    if (q == NULL || p == NULL)
        return q;
    const mem_head *h = (const mem_head *)((char *)p - MEM_ALIGN);
    memcpy(q, p, DV_MIN(h->size, n));
    dv_free(p);
    return q;
}

void dv_free(void *p)
{
    if (p == NULL)
        return;
    mem_head *h = (mem_head *)((char *)p - MEM_ALIGN);
    atomic_fetch_sub_explicit(&used[h->cat], h->size, memory_order_relaxed);
    free(h);
}

size_t dv_mem_size(const void *p) { return ((const mem_head *)((const char *)p - MEM_ALIGN))->size; }

char *dv_strndup(dv_mem_cat cat, const char *s, size_t n)
{
    size_t total;
    char *p = dv_add_size(n, 1, &total) ? dv_alloc(cat, total) : NULL;
    if (p != NULL) {
        if (n > 0)
            memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

void dv_mem_trim(void) { (void)malloc_trim(0); }

size_t dv_mem_plain_size(const void *p) { return malloc_usable_size((void *)(uintptr_t)p); }

void *dv_mem_plain_alloc(dv_mem_cat cat, size_t n)
{
    thread_count++;
    void *p = should_fail() ? NULL : malloc(n);
    if (p != NULL) {
        size_t size = dv_mem_plain_size(p);
        raise_peak(cat, atomic_fetch_add_explicit(&used[cat], size, memory_order_relaxed) + size);
    }
    return p;
}

void dv_mem_plain_free(dv_mem_cat cat, void *p)
{
    atomic_fetch_sub_explicit(&used[cat], dv_mem_plain_size(p), memory_order_relaxed);
    free(p);
}

const char *dv_mem_name(dv_mem_cat cat)
{
    switch (cat) {
    case DV_MEM_BASE: return "base";
    case DV_MEM_GGUF: return "gguf";
    case DV_MEM_TOK: return "tok";
    case DV_MEM_MODEL: return "model";
    case DV_MEM_KV: return "kv";
    case DV_MEM_SCRATCH: return "scratch";
    case DV_MEM_SESSION: return "session";
    case DV_MEM_GRAMMAR: return "grammar";
    case DV_MEM_HTTP: return "http";
    case DV_MEM_API: return "api";
    case DV_MEM_STORE: return "store";
    case DV_MEM_JSON: return "json";
    case DV_MEM_CONF: return "conf";
    case DV_MEM_CLIENT: return "client";
    case DV_MEM_LIMIT: return "limit";
    case DV_MEM_FLEET: return "fleet";
    case DV_MEM_CAT_N: break;
    }
    return "?";
}

size_t dv_mem_used(dv_mem_cat cat)
{
    if (cat < DV_MEM_CAT_N)
        return atomic_load_explicit(&used[cat], memory_order_relaxed);
    size_t sum = 0;
    for (int i = 0; i < DV_MEM_CAT_N; i++)
        sum += atomic_load_explicit(&used[i], memory_order_relaxed);
    return sum;
}

size_t dv_mem_peak(dv_mem_cat cat) { return atomic_load_explicit(&peak[cat], memory_order_relaxed); }

void dv_mem_peak_reset(dv_mem_cat cat) { atomic_store_explicit(&peak[cat], dv_mem_used(cat), memory_order_relaxed); }

void dv_mem_fail_after(uint64_t n) { atomic_store_explicit(&fail_countdown, n, memory_order_relaxed); }

uint64_t dv_mem_count(void) { return thread_count; }
