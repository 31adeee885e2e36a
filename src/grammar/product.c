/* SPDX-License-Identifier: MIT */
/* Intersection and difference of two regular expressions: both are made deterministic and run side by side. A state of the result is a pair of
 * states; the second is DV__NONE once a difference's second side has failed. */
#include "grammar/nfa.h"

#include "base/err.h"

#include <string.h>

typedef struct product {
    dv_grammar_builder *b;
    dv__dfa x, y;
    bool minus;
    dv__vec pair; /* uint64_t: x state, y state */
    dv__vec slot; /* uint32_t: pair + 1 by hash */
} product;

static size_t slot_of(const product *p, uint64_t pair)
{
    const size_t mask = p->slot.n - 1;
    uint64_t h = pair * UINT64_C(0x9e3779b97f4a7c55);
    size_t i = (size_t)(h >> 20) & mask;
    while (DV__AT(p->slot, uint32_t, i) != 0 && DV__AT(p->pair, uint64_t, DV__AT(p->slot, uint32_t, i) - 1) != pair)
        i = (i + 1) & mask;
    return i;
}

/* Number of a pair, made if it is new; DV__NONE after an error. */
static uint32_t pair_of(product *p, uint32_t sx, uint32_t sy)
{
    dv__budget *bud = &p->b->bud;
    const uint64_t pair = (uint64_t)sx << 32 | sy;
    if (p->slot.n < 2 * (p->pair.n + 1)) {
        const size_t cap = p->slot.n == 0 ? 64 : p->slot.n * 2;
        p->slot.n = 0;
        void *slot = dv__vec_push(&p->slot, sizeof(uint32_t), cap, bud);
        if (slot == NULL)
            return DV__NONE;
        memset(slot, 0, cap * sizeof(uint32_t));
        for (size_t i = 0; i < p->pair.n; i++)
            DV__AT(p->slot, uint32_t, slot_of(p, DV__AT(p->pair, uint64_t, i))) = (uint32_t)i + 1;
    }
    const size_t i = slot_of(p, pair);
    if (DV__AT(p->slot, uint32_t, i) != 0)
        return DV__AT(p->slot, uint32_t, i) - 1;
    if (p->pair.n >= p->b->limits.max_states) {
        dv_fail(&p->b->err, DV_ELIMIT, "the grammar has more than %u states", (unsigned)p->b->limits.max_states);
        return DV__NONE;
    }
    uint64_t *q = dv__vec_push(&p->pair, sizeof *q, 1, bud);
    if (q == NULL)
        return DV__NONE;
    *q = pair;
    DV__AT(p->slot, uint32_t, i) = (uint32_t)p->pair.n;
    return (uint32_t)p->pair.n - 1;
}

static bool make_dfa(dv_grammar_builder *b, dv_gx gx, dv__dfa *d)
{
    dv__nfa a = {0};
    uint32_t from = dv__nfa_node(&a, &b->bud), to = from == DV__NONE ? from : dv__nfa_node(&a, &b->bud);
    bool ok = to != DV__NONE && dv__nfa_build(b, &a, gx, from, to) &&
              dv__dfa_make(d, &a, from, to, NULL, b->limits.max_states, &b->bud);
    dv__nfa_free(&a, &b->bud);
    if (ok && (d->call.n > 0 || d->term.n > 0)) {
        dv_fail(&b->err, DV_EINTERNAL, "an intersection of what is not regular");
        dv__dfa_free(d, &b->bud);
        ok = false;
    }
    return ok;
}

static bool accepts(const product *p, uint32_t sx, uint32_t sy)
{
    const bool ay = sy != DV__NONE && DV__AT(p->y.state, dv__dstate, sy).accept;
    return DV__AT(p->x.state, dv__dstate, sx).accept && ay != p->minus;
}

/* The next stretch of bytes from c on that y treats alike, up to max: its end, and the successor (DV__NONE: none). */
static unsigned stretch(const dv__dfa *y, uint32_t s, unsigned c, unsigned max, uint32_t *to)
{
    *to = DV__NONE;
    if (s == DV__NONE)
        return max;
    const uint32_t end = DV__AT(y->state, dv__dstate, s + 1).byte0;
    for (uint32_t i = DV__AT(y->state, dv__dstate, s).byte0; i < end; i++) {
        const dv__byte_edge *e = &DV__AT(y->byte, dv__byte_edge, i);
        if (c < e->lo)
            return DV_MIN(max, e->lo - 1u);
        if (c <= e->hi) {
            *to = e->to;
            return DV_MIN(max, e->hi);
        }
    }
    return max;
}

/* Calls edge(arg, lo, hi, pair) for the edges of a pair of states. */
static bool each_edge(product *p, uint64_t pair, bool (*edge)(void *, uint8_t, uint8_t, uint32_t), void *arg)
{
    const uint32_t sx = (uint32_t)(pair >> 32), sy = (uint32_t)pair;
    const uint32_t end = DV__AT(p->x.state, dv__dstate, sx + 1).byte0;
    for (uint32_t i = DV__AT(p->x.state, dv__dstate, sx).byte0; i < end; i++) {
        const dv__byte_edge e = DV__AT(p->x.byte, dv__byte_edge, i);
        for (unsigned c = e.lo, last; c <= e.hi; c = last + 1) {
            uint32_t ty, to;
            last = stretch(&p->y, sy, c, e.hi, &ty);
            if (ty == DV__NONE && !p->minus)
                continue;
            to = pair_of(p, e.to, ty);
            if (to == DV__NONE || !dv__work(&p->b->bud, 4) || !edge(arg, (uint8_t)c, (uint8_t)last, to))
                return false;
        }
    }
    return true;
}

static bool open_product(product *p, dv_grammar_builder *b, dv_gx x, dv_gx y, bool minus)
{
    *p = (product){.b = b, .minus = minus};
    return make_dfa(b, x, &p->x) && make_dfa(b, y, &p->y) && pair_of(p, 0, 0) == 0;
}

static void close_product(product *p)
{
    dv__budget *bud = &p->b->bud;
    dv__dfa_free(&p->x, bud);
    dv__dfa_free(&p->y, bud);
    dv__vec_free(&p->pair, sizeof(uint64_t), bud);
    dv__vec_free(&p->slot, sizeof(uint32_t), bud);
}

typedef struct sink {
    product *p;
    dv__nfa *a;
    dv__vec node; /* uint32_t: of a pair */
    uint32_t from;
} sink;

static uint32_t node_of(sink *s, uint32_t pair)
{
    while (s->node.n <= pair) {
        uint32_t *q = dv__vec_push(&s->node, sizeof *q, 1, &s->p->b->bud);
        if (q == NULL || (*q = dv__nfa_node(s->a, &s->p->b->bud)) == DV__NONE)
            return DV__NONE;
    }
    return DV__AT(s->node, uint32_t, pair);
}

static bool put_edge(void *arg, uint8_t lo, uint8_t hi, uint32_t pair)
{
    sink *s = arg;
    uint32_t to = node_of(s, pair);
    return to != DV__NONE &&
           dv__nfa_edge(s->a, s->from, (dv__nedge){.kind = DV__E_BYTE, .lo = lo, .hi = hi, .to = to}, &s->p->b->bud);
}

bool dv__nfa_product(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to)
{
    product p;
    sink s = {.p = &p, .a = a};
    const dv_gx kx = DV__AT(b->kid, dv_gx, x->at), ky = DV__AT(b->kid, dv_gx, x->at + 1);
    bool ok = open_product(&p, b, kx, ky, x->kind == DV__X_MINUS) && node_of(&s, 0) != DV__NONE &&
              dv__nfa_eps(a, from, node_of(&s, 0), 0, &b->bud);
    for (size_t i = 0; ok && i < p.pair.n; i++) {
        const uint64_t pair = DV__AT(p.pair, uint64_t, i);
        s.from = node_of(&s, (uint32_t)i);
        ok = s.from != DV__NONE && each_edge(&p, pair, put_edge, &s);
        if (ok && accepts(&p, (uint32_t)(pair >> 32), (uint32_t)pair))
            ok = dv__nfa_eps(a, s.from, to, 0, &b->bud);
    }
    dv__vec_free(&s.node, sizeof(uint32_t), &b->bud);
    close_product(&p);
    return ok;
}

static bool no_edge(void *arg, uint8_t lo, uint8_t hi, uint32_t pair) { return true; }

bool dv__x_overlap(dv_grammar_builder *b, dv_gx x, dv_gx y, bool *yes)
{
    product p;
    *yes = false;
    if (dv__failed(b) || x < 0)
        return false;
    bool ok = open_product(&p, b, x, y < 0 ? x : y, false);
    for (size_t i = 0; ok && !*yes && i < p.pair.n; i++) {
        const uint64_t pair = DV__AT(p.pair, uint64_t, i);
        *yes = accepts(&p, (uint32_t)(pair >> 32), (uint32_t)pair);
        ok = *yes || each_edge(&p, pair, no_edge, NULL);
    }
    close_product(&p);
    return ok;
}
