/* SPDX-License-Identifier: MIT */
/* Open addressing, linear probing, at most half full; removal shifts back what follows, so there are no tombstones. */
#include "limit/table.h"

#include "base/attr.h"
#include "base/mem.h"

#include <sodium.h>
#include <string.h>

enum { CAP_MIN = 1024, SHARED = 1024, LOOK = 64 };

typedef struct slot {
    dv_rate_key key;
    dv__gcra g; /* tat_ns 0: nothing lies here */
} slot;

struct dv__table {
    uint8_t secret[crypto_shorthash_KEYBYTES];
    slot *slots; /* [cap], a power of two */
    size_t cap, n, max, hand;
    dv__gcra shared[SHARED];
};

static uint64_t hash(const dv__table *t, const dv_rate_key *key)
{
    uint64_t h;
    _Static_assert(sizeof h == crypto_shorthash_BYTES, "a hash is a number");
    crypto_shorthash((uint8_t *)&h, key->hash, sizeof key->hash, t->secret);
    return h;
}

dv__table *dv__table_new(size_t max_keys)
{
    dv__table *t = sodium_init() >= 0 ? dv_calloc(DV_MEM_LIMIT, 1, sizeof *t) : NULL;
    if (t == NULL)
        return NULL;
    t->max = DV_MIN(DV_MAX(max_keys, (size_t)1), SIZE_MAX / 64);
    t->cap = CAP_MIN;
    t->slots = dv_calloc(DV_MEM_LIMIT, t->cap, sizeof *t->slots);
    randombytes_buf(t->secret, sizeof t->secret);
    if (t->slots == NULL) {
        dv__table_free(t);
        return NULL;
    }
    return t;
}

void dv__table_free(dv__table *t)
{
    if (t != NULL)
        dv_free(t->slots);
    dv_free(t);
}

size_t dv__table_len(const dv__table *t) { return t->n; }

/* Where key lies, or the free slot where it would. */
static size_t find(const dv__table *t, const dv_rate_key *key)
{
    size_t i = hash(t, key) & (t->cap - 1);
    while (t->slots[i].g.tat_ns != 0 && memcmp(&t->slots[i].key, key, sizeof *key) != 0)
        i = (i + 1) & (t->cap - 1);
    return i;
}

static void take_out(dv__table *t, size_t hole)
{
    for (size_t i = (hole + 1) & (t->cap - 1); t->slots[i].g.tat_ns != 0; i = (i + 1) & (t->cap - 1)) {
        size_t home = hash(t, &t->slots[i].key) & (t->cap - 1);
        /* It may move if its home is not between the hole and where it is, going round. */
        if (((i - home) & (t->cap - 1)) >= ((i - hole) & (t->cap - 1))) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (slot){0};
    t->n--;
}

/* Forget some that owe nothing. Bounded work; the hand goes round, so all are looked at in time. */
static void sweep(dv__table *t, uint64_t now_ns)
{
    for (int k = 0; k < LOOK; k++) {
        t->hand = (t->hand + 1) & (t->cap - 1);
        const dv__gcra *g = &t->slots[t->hand].g;
        if (g->tat_ns == 0 || !dv__gcra_idle(g, now_ns))
            continue;
        take_out(t, t->hand);
        t->hand = (t->hand - 1) & (t->cap - 1); /* what was moved there is next */
    }
}

static bool grow(dv__table *t, uint64_t now_ns)
{
    const slot *old = t->slots;
    size_t n_old = t->cap;
    slot *slots = dv_calloc(DV_MEM_LIMIT, 2 * n_old, sizeof *slots);
    if (slots == NULL)
        return false;
    t->slots = slots;
    t->cap = 2 * n_old;
    t->n = 0;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].g.tat_ns == 0 || dv__gcra_idle(&old[i].g, now_ns))
            continue;
        t->slots[find(t, &old[i].key)] = old[i];
        t->n++;
    }
    dv_free((void *)(uintptr_t)old);
    return true;
}

static bool make_room(dv__table *t, uint64_t now_ns)
{
    if (t->n < DV_MIN(t->max, t->cap / 2))
        return true;
    sweep(t, now_ns);
    if (t->n < DV_MIN(t->max, t->cap / 2))
        return true;
    return t->n < t->max && grow(t, now_ns);
}

dv__gcra *dv__table_get(dv__table *t, const dv_rate_key *key, uint64_t now_ns)
{
    size_t i = find(t, key);
    if (t->slots[i].g.tat_ns != 0)
        return &t->slots[i].g;
    if (!make_room(t, now_ns))
        return &t->shared[hash(t, key) >> 32 & (SHARED - 1)];
    i = find(t, key); /* things have moved */
    t->slots[i].key = *key;
    t->slots[i].g.tat_ns = 1;
    t->n++;
    return &t->slots[i].g;
}
