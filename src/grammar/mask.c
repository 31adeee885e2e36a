/* SPDX-License-Identifier: MIT */
#include "grammar/machine.h"

#include "base/mem.h"

#include <string.h>

static inline void allow(uint32_t *out, uint32_t token) { out[token / 32] |= (uint32_t)1 << token % 32; }

static void allow_node(const dv_grammar_vocab *v, uint32_t node, uint32_t *out)
{
    for (uint32_t i = v->node[node].token0; i < v->node[node + 1].token0; i++)
        allow(out, v->order[i]);
}

bool dv__machine_walk(dv__machine *m, uint32_t node, uint32_t set, uint32_t *out)
{
    const dv_grammar_vocab *v = m->v;
    const bool all = node == DV__NONE;
    const uint32_t end = all ? v->n_node : v->node[node].skip;
    m->path[all ? 0 : v->node[node].depth] = set;
    for (uint32_t i = all ? 0 : node + 1; i < end;) {
        const dv__trie_node *x = &v->node[i];
        const uint32_t to = dv__machine_next(m, m->path[x->depth - 1], x->byte);
        if (to == DV__S_DEAD) {
            i = x->skip;
            continue;
        }
        if (to == DV__S_ERROR)
            return false;
        m->path[x->depth] = to;
        allow_node(v, i, out);
        i++;
    }
    return true;
}

/* The set in which what waits for c goes on; for a key, behind the text that ends in the node's bytes. */
static uint32_t resume(dv__machine *m, dv__config c, uint32_t node)
{
    bool end = false;
    if ((dv__flags(m, c.q) & DV__ST_KEY) && c.key != DV__UNTRACKED) {
        const uint32_t id = m->v->order[m->v->node[node].token0];
        for (uint32_t i = 0; i < m->v->node[node].depth; i++)
            if ((c.key = dv__key_add(m, c.key, (uint8_t)m->v->byte[m->v->at[id] + i], false)) == DV__S_ERROR)
                return DV__S_ERROR;
    }
    m->kernel.n = 0;
    if (!dv__machine_pop(m, &c, &end))
        return DV__S_ERROR;
    return m->kernel.n == 0 ? DV__S_DEAD : dv__machine_close(m, false);
}

static bool key_taken(const dv__machine *m, const dv__config *c, uint32_t node)
{
    const dv__trie_node *x = &m->v->node[node];
    const char *p = m->v->byte + m->v->at[m->v->order[x->token0]];
    const dv__item *ctx = &DV__AT(m->ctxs.item, dv__item, c->ctx);
    for (uint32_t i = 0; i < ctx->n; i++) {
        const dv__config *f = &DV__AT(m->ctxs.pool, dv__config, ctx->at + i);
        if (f->q == DV__Q_END || !dv__key_in_bytes(m, f->key, c->key, p, x->depth))
            return false;
    }
    return true;
}

/* What follows where the rule of c ends within a token. */
static bool add_pops(dv__machine *m, dv__config c, const dv__local *l, uint32_t *out)
{
    const uint8_t flags = dv__flags(m, c.q);
    const bool items = flags & DV__ST_ITEMS, key = (flags & DV__ST_KEY) && c.key != DV__UNTRACKED;
    uint32_t set = DV__S_NEW;
    for (size_t i = 0; i < l->n_pop; i++) {
        const uint32_t node = l->pop[i].node;
        if ((items && (l->pop[i].items < c.need || l->pop[i].items > c.room)) || (key && key_taken(m, &c, node)))
            continue;
        allow_node(m->v, node, out);
        if (m->v->node[node].skip == node + 1)
            continue;
        if (set == DV__S_NEW || key)
            set = resume(m, c, node);
        if (set == DV__S_ERROR || (set != DV__S_DEAD && !dv__machine_walk(m, node, set, out)))
            return false;
    }
    return true;
}

static bool add_local(dv__machine *m, dv__config c, uint32_t *out)
{
    const dv__local l = *dv__machine_local(m, c.q);
    const size_t words = dv_grammar_mask_words(m->v->n);
    if (l.bits != NULL && (!(dv__flags(m, c.q) & DV__ST_ITEMS) || c.room >= l.max_items))
        for (size_t i = 0; i < words; i++)
            out[i] |= l.bits[i];
    else
        for (size_t i = 0; i < l.n_list && (!(dv__flags(m, c.q) & DV__ST_ITEMS) || l.list[i].items <= c.room); i++)
            allow(out, l.list[i].token);
    return add_pops(m, c, &l, out);
}

static void add_terms(const dv__machine *m, const dv__config *c, uint32_t *out)
{
    const dv__pstate *st = &m->g->state[c->q];
    const dv_grammar_vocab *v = m->v;
    for (uint32_t i = st->term0; i < st[1].term0; i++) {
        const uint32_t what = m->g->term[i].what;
        const dv__term *t = &m->g->terms[what];
        const int32_t id = m->term_token[what];
        if (!t->negated && !t->markup) {
            if (id >= 0)
                allow(out, (uint32_t)id);
            continue;
        }
        for (uint32_t k = 0; k < v->n_order && t->negated; k++)
            if (v->order[k] != (uint32_t)id)
                allow(out, v->order[k]);
        for (uint32_t k = 0; k < v->n_markup; k++)
            if (t->negated ? v->markup[k] != (uint32_t)id : dv__markup_in_text(m, t, v->markup[k]))
                allow(out, v->markup[k]);
    }
}

static bool make_mask(dv__machine *m, uint32_t set, uint32_t *out)
{
    const uint32_t n = dv__set(m, set)->n;
    dv__vec rest = {0}; /* configurations without a local mask: walked together */
    bool ok = dv__markup_mask(m, set, out);
    for (uint32_t i = 0; ok && i < n; i++) {
        const dv__config c = *dv__set_at(m, set, i);
        const dv__local *l = NULL;
        add_terms(m, &c, out);
        if ((dv__flags(m, c.q) & DV__ST_LOCAL) && DV__AT(m->ctxs.item, dv__item, c.ctx).tag <= dv__local_depth(m))
            ok = (l = dv__machine_local(m, c.q)) != NULL;
        if (ok && l != NULL && !l->whole) {
            ok = add_local(m, c, out);
        } else if (ok) {
            dv__config *p = dv__vec_push(&rest, sizeof c, 1, &m->bud);
            ok = p != NULL;
            if (ok)
                *p = c;
        }
    }
    if (ok && rest.n > 0) {
        m->kernel.n = 0;
        for (size_t i = 0; ok && i < rest.n; i++)
            ok = dv__machine_put(m, DV__AT(rest, dv__config, i));
        /* The set was complete, so closing a part of it adds nothing that is not in it. */
        uint32_t part = !ok ? DV__S_ERROR : rest.n == n ? set : dv__machine_close(m, false);
        ok = part != DV__S_ERROR && dv__machine_walk(m, DV__NONE, part, out);
    }
    dv__vec_free(&rest, sizeof(dv__config), &m->bud);
    return ok;
}

/* Keep a mask: as a list if that is smaller. */
static bool keep_mask(dv__machine *m, uint32_t set, const uint32_t *bits)
{
    const size_t words = dv_grammar_mask_words(m->v->n);
    size_t n = 0;
    for (size_t i = 0; i < words; i++)
        n += (size_t)__builtin_popcount(bits[i]);
    dv__mask *k = dv__take(1, sizeof *k, &m->bud);
    if (k == NULL)
        return false;
    DV__AT(m->mask, dv__mask *, set) = k;
    if (n > words) {
        if ((k->bits = dv__take(words, sizeof *bits, &m->bud)) != NULL)
            memcpy(k->bits, bits, words * sizeof *bits);
        return k->bits != NULL;
    }
    if ((k->list = dv__take(n, sizeof *k->list, &m->bud)) == NULL)
        return false;
    for (size_t i = 0; i < words; i++)
        for (uint32_t w = bits[i]; w != 0; w &= w - 1)
            k->list[k->n_list++] = (uint32_t)i * 32 + (uint32_t)__builtin_ctz(w);
    return true;
}

bool dv__machine_mask(dv__machine *m, uint32_t set, uint32_t *out)
{
    const size_t words = dv_grammar_mask_words(m->v->n);
    const dv__mask *k = DV__AT(m->mask, dv__mask *, set);
    memset(out, 0, words * sizeof *out);
    if (k == NULL)
        return make_mask(m, set, out) && keep_mask(m, set, out);
    if (k->bits != NULL)
        memcpy(out, k->bits, words * sizeof *out);
    for (uint32_t i = 0; i < k->n_list; i++)
        allow(out, k->list[i]);
    return true;
}

/* Whether a token is the one that a grammar names, or one of those. */
static bool is_term(const dv__machine *m, uint32_t what, uint32_t token)
{
    const dv_grammar_vocab *v = m->v;
    const dv__term *t = &m->g->terms[what];
    const bool same = m->term_token[what] == (int32_t)token;
    const uint32_t len = v->at[token + 1] - v->at[token];
    if (t->markup)
        return dv__markup_in_text(m, t, token);
    if (t->negated)
        return !same && (v->flag[token] & ~DV__TOKEN_MARKUP) == 0 && len > 0 && len <= DV__MAX_TOKEN;
    return same;
}

uint32_t dv__machine_token(dv__machine *m, uint32_t set, uint32_t token)
{
    const dv_grammar_vocab *v = m->v;
    const uint32_t n = dv__set(m, set)->n, len = v->at[token + 1] - v->at[token];
    const bool markup = (v->flag[token] & DV__TOKEN_MARKUP) != 0;
    uint32_t to = markup                                                   ? dv__markup_token(m, set, token)
                  : v->flag[token] != 0 || len == 0 || len > DV__MAX_TOKEN ? DV__S_DEAD
                                                                           : set;
    for (uint32_t i = 0; i < len && !markup && to != DV__S_DEAD && to != DV__S_ERROR; i++)
        to = dv__machine_next(m, to, (uint8_t)v->byte[v->at[token] + i]);
    if (to == DV__S_ERROR)
        return to;
    bool named = false;
    m->kernel.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        dv__config c = *dv__set_at(m, set, i);
        const dv__pstate *st = &m->g->state[c.q];
        for (uint32_t e = st->term0; e < st[1].term0; e++) {
            if (!is_term(m, m->g->term[e].what, token))
                continue;
            c.q = m->g->term[e].to;
            if (!dv__machine_put(m, c))
                return DV__S_ERROR;
            named = true;
        }
    }
    if (!named)
        return to;
    /* Both ways are open: as the token itself and by its bytes. */
    for (uint32_t i = 0; i < dv__set(m, to)->n; i++)
        if (!dv__machine_put(m, *dv__set_at(m, to, i)))
            return DV__S_ERROR;
    return dv__machine_close(m, dv__set(m, to)->tag != 0);
}
