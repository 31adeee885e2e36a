/* SPDX-License-Identifier: MIT */
#include "gguf/names.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gguf/cursor.h"

#include <sys/random.h>

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

uint64_t dv__siphash13(const uint64_t key[2], const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    size_t whole = n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m = dv__ld_u64(p + i);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = whole; i < n; i++)
        last |= (uint64_t)p[i] << 8 * (i - whole);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The key must be unknown to whoever wrote the file, no more: early in boot, or where a sandbox refuses the call, the
 * clock and an address have to do. */
static void make_key(uint64_t key[2])
{
    if (getrandom(key, 2 * sizeof key[0], GRND_NONBLOCK) == (ssize_t)(2 * sizeof key[0]))
        return;
    key[0] = dv_clock_ns();
    key[1] = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15u;
}

/* A power of two that is at most half full with n names, so that probes stay short. */
static size_t cap_for(size_t n)
{
    size_t cap = 8;
    while (cap / 2 < n)
        cap *= 2;
    return cap;
}

int dv__names_init(dv__names *t, size_t stride, size_t n)
{
    size_t cap = cap_for(n);
    *t = (dv__names){.stride = stride};
    t->slots = dv_calloc(DV_MEM_GGUF, cap, sizeof *t->slots);
    if (t->slots == NULL)
        return DV_ENOMEM;
    t->cap = cap;
    make_key(t->key);
    return 0;
}

void dv__names_fini(dv__names *t)
{
    dv_free(t->slots);
    *t = (dv__names){0};
}

static const dv_str *name_at(const dv__names *t, const void *items, uint32_t at)
{
    return (const dv_str *)((const char *)items + (size_t)at * t->stride);
}

/* The slot that holds the name, or the free one where it belongs. */
static dv__names_slot *slot_of(const dv__names *t, const void *items, const char *p, size_t n, uint32_t *tag)
{
    uint64_t h = dv__siphash13(t->key, p, n);
    *tag = (uint32_t)(h >> 32);
    for (size_t i = (size_t)h & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        dv__names_slot *s = &t->slots[i];
        if (s->at == 0)
            return s;
        const dv_str *name = name_at(t, items, s->at - 1);
        if (s->tag == *tag && name->n == n && memcmp(name->p, p, n) == 0)
            return s;
    }
}

uint32_t dv__names_find(const dv__names *t, const void *items, const char *p, size_t n)
{
    uint32_t tag;
    return t->cap == 0 ? DV__NAMES_NONE : slot_of(t, items, p, n, &tag)->at - 1; /* a free slot's 0 wraps to NONE */
}

static int grow(dv__names *t, const void *items)
{
    dv__names_slot *old = t->slots;
    size_t old_cap = t->cap;
    dv__names_slot *slots = dv_calloc(DV_MEM_GGUF, 2 * old_cap, sizeof *slots);
    if (slots == NULL)
        return DV_ENOMEM;
    t->slots = slots;
    t->cap = 2 * old_cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].at == 0)
            continue;
        uint32_t tag;
        const dv_str *name = name_at(t, items, old[i].at - 1);
        *slot_of(t, items, name->p, name->n, &tag) = old[i];
    }
    dv_free(old);
    return 0;
}

int dv__names_add(dv__names *t, const void *items, uint32_t at, uint32_t *found)
{
    if (2 * (t->n + 1) > t->cap && grow(t, items) != 0)
        return DV_ENOMEM;
    uint32_t tag;
    const dv_str *name = name_at(t, items, at);
    dv__names_slot *s = slot_of(t, items, name->p, name->n, &tag);
    if (s->at == 0) {
        *s = (dv__names_slot){.tag = tag, .at = at + 1};
        t->n++;
    }
    *found = s->at - 1;
    return 0;
}
