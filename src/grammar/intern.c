/* SPDX-License-Identifier: MIT */
#include "grammar/machine.h"

#include <string.h>

static uint64_t hash_configs(const dv__config *c, size_t n, uint32_t tag)
{
    const uint32_t *p = (const uint32_t *)c;
    uint64_t h = tag + UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < n * (sizeof *c / sizeof *p); i++)
        h = (h ^ p[i]) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

typedef enum grown { GROWN_NOT, GROWN, GROWN_FAILED } grown;

/* Room for one more than n in a table that is at most half full; if it has grown it is empty. A failure leaves it as it was. */
static grown grow_slots(dv__vec *slot, size_t n, dv__budget *bud)
{
    dv__vec bigger = {0};
    const size_t cap = slot->n == 0 ? 64 : slot->n * 2;
    if (2 * (n + 1) <= slot->n)
        return GROWN_NOT;
    void *p = dv__vec_push(&bigger, sizeof(uint32_t), cap, bud);
    if (p == NULL)
        return GROWN_FAILED;
    memset(p, 0, cap * sizeof(uint32_t));
    dv__vec_free(slot, sizeof(uint32_t), bud);
    *slot = bigger;
    return GROWN;
}

static void put_slot(dv__vec *slot, uint64_t hash, uint32_t index)
{
    size_t i = hash & (slot->n - 1);
    while (DV__AT(*slot, uint32_t, i) != 0)
        i = (i + 1) & (slot->n - 1);
    DV__AT(*slot, uint32_t, i) = index + 1;
}

uint32_t dv__store_add(dv__store *s, const dv__config *c, size_t n, uint32_t tag, dv__budget *bud)
{
    const uint64_t hash = hash_configs(c, n, tag);
    const grown g = grow_slots(&s->slot, s->item.n, bud);
    if (g == GROWN_FAILED)
        return DV__S_ERROR;
    if (g == GROWN)
        for (uint32_t k = 0; k < s->item.n; k++) {
            const dv__item *it = &DV__AT(s->item, dv__item, k);
            put_slot(&s->slot, hash_configs(&DV__AT(s->pool, dv__config, it->at), it->n, it->tag), k);
        }
    const size_t mask = s->slot.n - 1;
    for (size_t i = hash & mask; DV__AT(s->slot, uint32_t, i) != 0; i = (i + 1) & mask) {
        const uint32_t k = DV__AT(s->slot, uint32_t, i) - 1;
        const dv__item *it = &DV__AT(s->item, dv__item, k);
        if (it->n == n && it->tag == tag &&
            (n == 0 || memcmp(&DV__AT(s->pool, dv__config, it->at), c, n * sizeof *c) == 0))
            return k;
    }
    const uint32_t at = (uint32_t)s->pool.n;
    dv__config *p = dv__vec_push(&s->pool, sizeof *p, n, bud);
    dv__item *it = p == NULL && n > 0 ? NULL : dv__vec_push(&s->item, sizeof *it, 1, bud);
    if (it == NULL) {
        s->pool.n = at;
        return DV__S_ERROR;
    }
    if (n > 0)
        memcpy(p, c, n * sizeof *c);
    *it = (dv__item){at, (uint32_t)n, tag};
    put_slot(&s->slot, hash, (uint32_t)s->item.n - 1);
    return (uint32_t)s->item.n - 1;
}

static uint64_t hash_key(dv__key k)
{
    uint64_t h = ((uint64_t)k.parent << 32 | k.last) + k.of_set;
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

uint32_t dv__key_add(dv__machine *m, uint32_t parent, uint32_t last, bool of_set)
{
    const dv__key k = {parent, last, of_set};
    const grown g = grow_slots(&m->key_slot, m->keys.n, &m->bud);
    if (g == GROWN_FAILED)
        return DV__S_ERROR;
    if (g == GROWN)
        for (uint32_t i = 0; i < m->keys.n; i++)
            put_slot(&m->key_slot, hash_key(DV__AT(m->keys, dv__key, i)), i);
    const size_t mask = m->key_slot.n - 1;
    for (size_t i = hash_key(k) & mask; DV__AT(m->key_slot, uint32_t, i) != 0; i = (i + 1) & mask) {
        const uint32_t j = DV__AT(m->key_slot, uint32_t, i) - 1;
        const dv__key *x = &DV__AT(m->keys, dv__key, j);
        if (x->parent == parent && x->last == last && x->of_set == of_set)
            return j;
    }
    dv__key *p = dv__vec_push(&m->keys, sizeof *p, 1, &m->bud);
    if (p == NULL)
        return DV__S_ERROR;
    *p = k;
    put_slot(&m->key_slot, hash_key(k), (uint32_t)m->keys.n - 1);
    return (uint32_t)m->keys.n - 1;
}

bool dv__key_in(const dv__machine *m, uint32_t set, uint32_t text)
{
    for (; set != DV__KEY_NONE; set = DV__AT(m->keys, dv__key, set).parent)
        if (DV__AT(m->keys, dv__key, set).last == text)
            return true;
    return false;
}

bool dv__key_in_bytes(const dv__machine *m, uint32_t set, uint32_t head, const char *p, size_t n)
{
    for (; set != DV__KEY_NONE; set = DV__AT(m->keys, dv__key, set).parent) {
        uint32_t text = DV__AT(m->keys, dv__key, set).last;
        size_t i = n;
        while (i > 0 && text != DV__KEY_EMPTY && DV__AT(m->keys, dv__key, text).last == (uint8_t)p[i - 1]) {
            text = DV__AT(m->keys, dv__key, text).parent;
            i--;
        }
        if (i == 0 && text == head)
            return true;
    }
    return false;
}
