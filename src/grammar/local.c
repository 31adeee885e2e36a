/* SPDX-License-Identifier: MIT */
/* Inside of a string, most tokens stay inside, wherever the string is in the text. So the walk through the whole trie is done once per
 * state of a rule, with nothing known of the callers: tokens that end within the rule are the same for all. Where a token goes on
 * behind the end of the rule the walk stops and keeps the place, and only from there the callers matter. */
#include "grammar/machine.h"

#include "base/mem.h"

#include <string.h>

enum { MAX_POPS = 1 << 14, ROOM = 1 << 24 };

typedef struct maker {
    dv__machine *m;
    dv__vec tokens; /* dv__need */
    dv__vec pops;   /* dv__pop */
    bool items, key, whole;
} maker;

/* Items that a set needs room for: those complete, and the one that is begun. */
static uint32_t items_of(const maker *k, uint32_t set)
{
    if (!k->items || dv__set(k->m, set)->n == 0)
        return 0;
    const dv__config *c = dv__set_at(k->m, set, 0);
    return ROOM - c->room + !(dv__flags(k->m, c->q) & DV__ST_BETWEEN);
}

/* Items complete at the end of a rule: its last step did not change their number. */
static uint32_t items_before(const maker *k, uint32_t set)
{
    return k->items && dv__set(k->m, set)->n > 0 ? ROOM - dv__set_at(k->m, set, 0)->room : 0;
}

static bool add_pop(maker *k, uint32_t node, uint32_t items)
{
    const dv__trie_node *x = &k->m->v->node[node];
    if (!k->items && !k->key && x->skip == node + 1)
        return true; /* no token goes on from here */
    if (k->pops.n >= MAX_POPS) {
        k->whole = true;
        return true;
    }
    dv__pop *p = dv__vec_push(&k->pops, sizeof *p, 1, &k->m->bud);
    if (p != NULL)
        *p = (dv__pop){node, items};
    return p != NULL;
}

static bool add_tokens(maker *k, uint32_t node, uint32_t items)
{
    const dv_grammar_vocab *v = k->m->v;
    for (uint32_t i = v->node[node].token0; i < v->node[node + 1].token0; i++) {
        dv__need *p = dv__vec_push(&k->tokens, sizeof *p, 1, &k->m->bud);
        if (p == NULL)
            return false;
        *p = (dv__need){v->order[i], items};
    }
    return true;
}

static bool walk(maker *k, uint32_t start)
{
    dv__machine *m = k->m;
    const dv_grammar_vocab *v = m->v;
    m->path[0] = start;
    for (uint32_t i = 0; i < v->n_node && !k->whole;) {
        const dv__trie_node *x = &v->node[i];
        const uint32_t from = m->path[x->depth - 1], to = dv__machine_next(m, from, x->byte);
        if (to == DV__S_ERROR)
            return false;
        if (to == DV__S_DEAD) {
            i = x->skip;
            continue;
        }
        m->path[x->depth] = to;
        const dv__item *set = dv__set(m, to);
        const bool end = set->tag != 0;
        /* A counted rule has one way only: where it ends nothing goes on. The token at the end is judged with the pop. */
        if (end && !add_pop(k, i, items_before(k, from)))
            return false;
        if ((set->n > 0 || (end && !k->items && !k->key)) && !add_tokens(k, i, items_of(k, to)))
            return false;
        i++;
    }
    return true;
}

/* Tokens in the order of their items, by counting: there are many tokens and few numbers of items. */
static bool sort_tokens(maker *k, dv__need *out, uint32_t max_items)
{
    const size_t n = k->tokens.n;
    uint32_t *at = dv__take((size_t)max_items + 2, sizeof *at, &k->m->bud);
    if (at == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        at[DV__AT(k->tokens, dv__need, i).items + 1]++;
    for (uint32_t i = 1; i <= max_items; i++)
        at[i] += at[i - 1];
    for (size_t i = 0; i < n; i++)
        out[at[DV__AT(k->tokens, dv__need, i).items]++] = DV__AT(k->tokens, dv__need, i);
    dv__take_back(at, (size_t)max_items + 2, sizeof *at, &k->m->bud);
    return true;
}

/* From the work space into arrays of the right size. */
static bool settle(maker *k, dv__local *l)
{
    dv__budget *bud = &k->m->bud;
    const size_t n = k->tokens.n, words = dv_grammar_mask_words(k->m->v->n);
    *l = (dv__local){.whole = k->whole};
    if (k->whole)
        return true;
    for (size_t i = 0; i < n; i++)
        l->max_items = DV_MAX(l->max_items, DV__AT(k->tokens, dv__need, i).items);
    if (n > words / 2) {
        if ((l->bits = dv__take(words, sizeof *l->bits, bud)) == NULL)
            return false;
        for (size_t i = 0; i < n; i++) {
            const uint32_t t = DV__AT(k->tokens, dv__need, i).token;
            l->bits[t / 32] |= (uint32_t)1 << t % 32;
        }
    }
    if (n > 0 && (l->bits == NULL || l->max_items > 0)) {
        if ((l->list = dv__take(n, sizeof *l->list, bud)) == NULL)
            return false;
        l->n_list = n;
        if (!sort_tokens(k, l->list, l->max_items))
            return false;
    }
    if (k->pops.n > 0) {
        if ((l->pop = dv__take(k->pops.n, sizeof *l->pop, bud)) == NULL)
            return false;
        memcpy(l->pop, k->pops.p, k->pops.n * sizeof *l->pop);
        l->n_pop = k->pops.n;
    }
    return true;
}

static bool make(dv__machine *m, uint32_t q, dv__local *l)
{
    const uint8_t flags = dv__flags(m, q);
    maker k = {.m = m, .items = flags & DV__ST_ITEMS, .key = flags & DV__ST_KEY};
    dv__config c = {.q = q, .ctx = m->hole};
    c.room = k.items ? ROOM : 0;
    c.key = k.key ? DV__UNTRACKED : DV__KEY_NONE;
    m->kernel.n = 0;
    uint32_t start = dv__machine_put(m, c) ? dv__machine_close(m, false) : DV__S_ERROR;
    bool ok = start != DV__S_ERROR && walk(&k, start) && settle(&k, l);
    dv__vec_free(&k.tokens, sizeof(dv__need), &m->bud);
    dv__vec_free(&k.pops, sizeof(dv__pop), &m->bud);
    return ok;
}

const dv__local *dv__machine_local(dv__machine *m, uint32_t q)
{
    if (m->local[q] == 0) {
        dv__local l = {0}, *p = NULL;
        if (make(m, q, &l))
            p = dv__vec_push(&m->locals, sizeof l, 1, &m->bud);
        if (p == NULL) {
            dv_free(l.bits);
            dv_free(l.list);
            dv_free(l.pop);
            return NULL;
        }
        *p = l;
        m->local[q] = (uint32_t)m->locals.n;
    }
    return &DV__AT(m->locals, dv__local, m->local[q] - 1);
}
