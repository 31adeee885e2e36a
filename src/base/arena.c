/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include "base/num.h"

#include <string.h>

struct dv_arena_block {
    dv_arena_block *next;
    size_t used, cap; /* of the payload behind this header */
};

enum { ARENA_ALIGN = 16, ARENA_BLOCK = 16384 };

void dv_arena_init(dv_arena *a, dv_mem_cat cat, size_t limit) { *a = (dv_arena){.cat = cat, .limit = limit}; }

void dv_arena_fini(dv_arena *a)
{
    for (dv_arena_block *b = a->head, *next; b != NULL; b = next) {
        next = b->next;
        dv_free(b);
    }
    a->head = NULL;
    a->used = 0;
}

void dv_arena_wipe(dv_arena *a)
{
    for (dv_arena_block *b = a->head; b != NULL; b = b->next)
        explicit_bzero((char *)b + 32, b->used);
}

static dv_arena_block *block_new(dv_arena *a, size_t n)
{
    size_t cap = DV_MAX(n, (size_t)ARENA_BLOCK), total;
    if (!dv_add_size(cap, DV_MAX(sizeof(dv_arena_block), (size_t)32), &total))
        return NULL;
    dv_arena_block *b = dv_alloc(a->cat, total);
    if (b == NULL)
        return NULL;
    *b = (dv_arena_block){.next = a->head, .cap = cap};
    a->head = b;
    return b;
}

void *dv_arena_alloc(dv_arena *a, size_t n)
{
    size_t want;
    if (!dv_add_size(n, ARENA_ALIGN - 1, &want))
        return NULL;
    want &= ~(size_t)(ARENA_ALIGN - 1);
    if (a->limit != 0 && want > a->limit - DV_MIN(a->used, a->limit))
        return NULL;
    dv_arena_block *b = a->head;
    if (b == NULL || b->cap - b->used < want)
        b = block_new(a, want);
    if (b == NULL)
        return NULL;
    void *p = (char *)b + 32 + b->used;
    b->used += want;
    a->used += want;
    return p;
}

void *dv_arena_calloc(dv_arena *a, size_t n, size_t size)
{
    size_t total;
    void *p = dv_mul_size(n, size, &total) ? dv_arena_alloc(a, total) : NULL;
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

char *dv_arena_strndup(dv_arena *a, const char *s, size_t n)
{
    size_t total;
    char *p = dv_add_size(n, 1, &total) ? dv_arena_alloc(a, total) : NULL;
    if (p != NULL) {
        if (n > 0)
            memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}
