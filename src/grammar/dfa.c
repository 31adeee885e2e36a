/* SPDX-License-Identifier: MIT */
/* Subsets of nodes become states. An element of a subset is a node and the marks that the next edge out of it gets; nodes that only have empty
 * edges are left out, so that equal subsets are found equal. */
#include "grammar/nfa.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { N_MARK = 4 }; /* marks of what follows: DV__MARK_MORE, DV__MARK_EXIT, both, none */

typedef struct maker {
    const dv__nfa *a;
    uint32_t to;
    const uint8_t *nullable;
    dv__budget *bud;
    dv__dfa *out;
    uint32_t max_states;
    uint32_t *stamp; /* [nodes * N_MARK] the round that last saw an element */
    uint32_t round;
    dv__vec set;                 /* uint32_t: elements of all states, one after the other */
    dv__vec set_at;              /* uint32_t: where the set of a state begins; one more than states */
    dv__vec slot;                /* uint32_t: state + 1 by hash of its set */
    dv__vec kernel, stack, work; /* uint32_t */
    dv__vec list[256];           /* uint32_t: per byte, edges that take it; elements e * N_MARK + mark */
} maker;

static bool push_u32(dv__vec *v, uint32_t x, dv__budget *bud)
{
    uint32_t *p = dv__vec_push(v, sizeof x, 1, bud);
    if (p != NULL)
        *p = x;
    return p != NULL;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool visit(maker *m, uint32_t element)
{
    if (m->stamp[element] == m->round)
        return true;
    m->stamp[element] = m->round;
    return push_u32(&m->stack, element, m->bud);
}

/* Follows the empty edges of m->kernel; the sorted set is in m->work. *counted: whether an item was complete on every way into it;
 * it is an error if on some only. */
static bool close_set(maker *m, bool *accept, bool *counted)
{
    uint32_t n_count = 0;
    m->round++;
    m->work.n = 0;
    m->stack.n = 0;
    *accept = false;
    for (size_t i = 0; i < m->kernel.n; i++)
        if (!visit(m, DV__AT(m->kernel, uint32_t, i)))
            return false;
    while (m->stack.n > 0) {
        const uint32_t element = DV__AT(m->stack, uint32_t, --m->stack.n);
        const uint32_t node = element / N_MARK, mark = element % N_MARK;
        bool real = node == m->to;
        *accept |= real;
        for (uint32_t e = DV__AT(m->a->node, uint32_t, node); e != DV__NONE;) {
            const dv__nedge *x = &DV__AT(m->a->edge, dv__nedge, e);
            e = x->next;
            const bool skip = x->kind == DV__E_CALL && m->nullable != NULL && m->nullable[x->what];
            real |= x->kind != DV__E_EPS;
            n_count += x->kind == DV__E_EPS && (x->mark & DV__MARK_COUNT) != 0;
            const unsigned add = x->kind == DV__E_EPS ? x->mark & ~(unsigned)DV__MARK_COUNT : 0;
            if ((x->kind == DV__E_EPS || skip) && !visit(m, x->to * N_MARK + (mark | add)))
                return false;
        }
        if (!dv__work(m->bud, 1) || (real && !push_u32(&m->work, element, m->bud)))
            return false;
    }
    if (m->work.n > 1)
        qsort(m->work.p, m->work.n, sizeof(uint32_t), by_value);
    *counted = n_count > 0;
    if (n_count == 0 || n_count >= m->kernel.n)
        return true;
    dv_fail(m->bud->err, DV_EINTERNAL, "an item of a counted rule can end where another goes on");
    return false;
}

static uint64_t hash_set(const uint32_t *p, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x9e3779b97f4a7c55);
    return h ^ h >> 29;
}

static bool same_set(const maker *m, uint32_t state)
{
    const uint32_t at = DV__AT(m->set_at, uint32_t, state), n = DV__AT(m->set_at, uint32_t, state + 1) - at;
    return n == m->work.n && memcmp(&DV__AT(m->set, uint32_t, at), m->work.p, n * sizeof(uint32_t)) == 0;
}

static bool rehash(maker *m)
{
    const size_t cap = m->slot.n == 0 ? 64 : m->slot.n * 2;
    m->slot.n = 0;
    uint32_t *slot = dv__vec_push(&m->slot, sizeof *slot, cap, m->bud);
    if (slot == NULL)
        return false;
    memset(slot, 0, cap * sizeof *slot);
    for (uint32_t s = 0; s < m->out->n; s++) {
        const uint32_t at = DV__AT(m->set_at, uint32_t, s), n = DV__AT(m->set_at, uint32_t, s + 1) - at;
        size_t i = hash_set(&DV__AT(m->set, uint32_t, at), n) & (cap - 1);
        while (slot[i] != 0)
            i = (i + 1) & (cap - 1);
        slot[i] = s + 1;
    }
    return true;
}

/* The state of m->work, made if it is new; DV__NONE after an error. */
static uint32_t state_of(maker *m, bool accept)
{
    if (m->slot.n < 2 * ((size_t)m->out->n + 1) && !rehash(m))
        return DV__NONE;
    uint32_t *slot = m->slot.p;
    const size_t mask = m->slot.n - 1, n = m->work.n;
    size_t i = hash_set(m->work.p, n) & mask;
    for (; slot[i] != 0; i = (i + 1) & mask)
        if (same_set(m, slot[i] - 1))
            return slot[i] - 1;
    if (m->out->n >= m->max_states) {
        dv_fail(m->bud->err, DV_ELIMIT, "the grammar has more than %u states", (unsigned)m->max_states);
        return DV__NONE;
    }
    dv__dstate *st = dv__vec_push(&m->out->state, sizeof *st, 1, m->bud);
    uint32_t *p = st == NULL ? NULL : dv__vec_push(&m->set, sizeof *p, n, m->bud);
    if (p == NULL)
        return DV__NONE;
    *st = (dv__dstate){.accept = accept};
    if (n > 0)
        memcpy(p, m->work.p, n * sizeof *p);
    if (!push_u32(&m->set_at, (uint32_t)m->set.n, m->bud))
        return DV__NONE;
    slot[i] = m->out->n + 1;
    return m->out->n++;
}

/* The state behind one edge for each element of list, an edge and the marks in front of it. */
static uint32_t target(maker *m, const uint32_t *list, size_t n, uint8_t *mark)
{
    bool accept, counted;
    m->kernel.n = 0;
    *mark = (uint8_t)(list[0] % N_MARK);
    for (size_t i = 0; i < n; i++) {
        if (list[i] % N_MARK != *mark) {
            dv_fail(m->bud->err, DV_EINTERNAL, "a counted rule where the end looks like an item");
            return DV__NONE;
        }
        if (!push_u32(&m->kernel, DV__AT(m->a->edge, dv__nedge, list[i] / N_MARK).to * N_MARK, m->bud))
            return DV__NONE;
    }
    if (m->kernel.n > 1) {
        uint32_t *k = m->kernel.p;
        size_t kept = 1;
        qsort(k, n, sizeof *k, by_value);
        for (size_t i = 1; i < n; i++)
            if (k[i] != k[kept - 1])
                k[kept++] = k[i];
        m->kernel.n = kept;
    }
    if (!close_set(m, &accept, &counted))
        return DV__NONE;
    *mark |= counted ? DV__MARK_COUNT : 0;
    return state_of(m, accept);
}

static bool has_literal(const maker *m, const dv__vec *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const dv__nedge *x = &DV__AT(m->a->edge, dv__nedge, DV__AT(*list, uint32_t, i) / N_MARK);
        if (x->lo == x->hi)
            return true;
    }
    return false;
}

/* Byte edges of the lists; neighbours with the same list are one edge. */
static bool put_bytes(maker *m)
{
    for (unsigned lo = 0, hi; lo < 256; lo = hi) {
        const dv__vec *l = &m->list[lo];
        hi = lo + 1;
        if (l->n == 0)
            continue;
        while (hi < 256 && m->list[hi].n == l->n && memcmp(m->list[hi].p, l->p, l->n * sizeof(uint32_t)) == 0)
            hi++;
        dv__byte_edge e = {.lo = (uint8_t)lo, .hi = (uint8_t)(hi - 1), .lit = has_literal(m, l)};
        e.to = target(m, l->p, l->n, &e.mark);
        dv__byte_edge *p = e.to == DV__NONE ? NULL : dv__vec_push(&m->out->byte, sizeof e, 1, m->bud);
        if (p == NULL)
            return false;
        *p = e;
    }
    return true;
}

/* One edge for each call or token; several with the same what are joined. edges: (what, edge element) pairs, sorted. */
static bool put_symbols(maker *m, dv__vec *pairs, dv__vec *out)
{
    uint64_t *p = pairs->p;
    uint32_t one[1];
    dv__vec same = {0};
    bool ok = true;
    for (size_t i = 0, k; ok && i < pairs->n; i = k) {
        dv__sym_edge e = {.what = (uint32_t)(p[i] >> 32)};
        same.n = 0;
        for (k = i; ok && k < pairs->n && p[k] >> 32 == e.what; k++)
            ok = push_u32(&same, (uint32_t)p[k], m->bud);
        one[0] = (uint32_t)p[i];
        if (ok)
            e.to = k == i + 1 ? target(m, one, 1, &e.mark) : target(m, same.p, same.n, &e.mark);
        dv__sym_edge *x = ok && e.to != DV__NONE ? dv__vec_push(out, sizeof e, 1, m->bud) : NULL;
        ok = x != NULL;
        if (ok)
            *x = e;
    }
    dv__vec_free(&same, sizeof(uint32_t), m->bud);
    return ok;
}

static int by_value64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts the edges out of a state's set into the byte lists and the pairs of calls and tokens. */
static bool gather(maker *m, uint32_t state, dv__vec *calls, dv__vec *terms)
{
    const uint32_t at = DV__AT(m->set_at, uint32_t, state), end = DV__AT(m->set_at, uint32_t, state + 1);
    for (int c = 0; c < 256; c++)
        m->list[c].n = 0;
    calls->n = terms->n = 0;
    for (uint32_t i = at; i < end; i++) {
        const uint32_t element = DV__AT(m->set, uint32_t, i), mark = element % N_MARK;
        for (uint32_t e = DV__AT(m->a->node, uint32_t, element / N_MARK); e != DV__NONE;) {
            const dv__nedge *x = &DV__AT(m->a->edge, dv__nedge, e);
            const uint32_t id = e * N_MARK + mark;
            e = x->next;
            if (x->kind == DV__E_EPS)
                continue;
            if (x->kind != DV__E_BYTE) {
                uint64_t *p = dv__vec_push(x->kind == DV__E_CALL ? calls : terms, sizeof *p, 1, m->bud);
                if (p == NULL)
                    return false;
                *p = (uint64_t)x->what << 32 | id;
                continue;
            }
            for (unsigned c = x->lo; c <= x->hi; c++)
                if (!push_u32(&m->list[c], id, m->bud))
                    return false;
            if (!dv__work(m->bud, x->hi - x->lo + 1u))
                return false;
        }
    }
    if (calls->n > 1)
        qsort(calls->p, calls->n, sizeof(uint64_t), by_value64);
    if (terms->n > 1)
        qsort(terms->p, terms->n, sizeof(uint64_t), by_value64);
    return true;
}

static bool make_states(maker *m)
{
    dv__vec calls = {0}, terms = {0};
    bool accept, counted, ok = push_u32(&m->set_at, 0, m->bud) && close_set(m, &accept, &counted);
    ok = ok && state_of(m, accept) == 0;
    for (uint32_t s = 0; ok && s < m->out->n; s++) {
        dv__dstate *st = &DV__AT(m->out->state, dv__dstate, s);
        st->byte0 = (uint32_t)m->out->byte.n;
        st->call0 = (uint32_t)m->out->call.n;
        st->term0 = (uint32_t)m->out->term.n;
        ok = gather(m, s, &calls, &terms) && put_bytes(m) && put_symbols(m, &calls, &m->out->call) &&
             put_symbols(m, &terms, &m->out->term);
    }
    dv__vec_free(&calls, sizeof(uint64_t), m->bud);
    dv__vec_free(&terms, sizeof(uint64_t), m->bud);
    dv__dstate *last = ok ? dv__vec_push(&m->out->state, sizeof *last, 1, m->bud) : NULL;
    if (last == NULL)
        return false;
    *last = (dv__dstate){(uint32_t)m->out->byte.n, (uint32_t)m->out->call.n, (uint32_t)m->out->term.n, false};
    return true;
}

bool dv__dfa_make(dv__dfa *out, const dv__nfa *a, uint32_t from, uint32_t to, const uint8_t *nullable,
                  uint32_t max_states, dv__budget *bud)
{
    const size_t n_stamp = a->node.n;
    maker *m = dv__take(1, sizeof *m, bud);
    *out = (dv__dfa){0};
    if (m == NULL)
        return false;
    *m = (maker){.a = a, .to = to, .nullable = nullable, .bud = bud, .out = out, .max_states = max_states};
    m->stamp = dv__take(n_stamp, N_MARK * sizeof *m->stamp, bud);
    const bool ok = m->stamp != NULL && push_u32(&m->kernel, from * N_MARK, bud) && make_states(m);
    dv__take_back(m->stamp, n_stamp, N_MARK * sizeof *m->stamp, bud);
    dv__vec *all[] = {&m->set, &m->set_at, &m->slot, &m->kernel, &m->stack, &m->work};
    for (size_t i = 0; i < DV_ARRAY_LEN(all); i++)
        dv__vec_free(all[i], sizeof(uint32_t), bud);
    for (int c = 0; c < 256; c++)
        dv__vec_free(&m->list[c], sizeof(uint32_t), bud);
    dv__take_back(m, 1, sizeof *m, bud);
    if (!ok)
        dv__dfa_free(out, bud);
    return ok;
}

void dv__dfa_free(dv__dfa *d, dv__budget *bud)
{
    dv__vec_free(&d->state, sizeof(dv__dstate), bud);
    dv__vec_free(&d->byte, sizeof(dv__byte_edge), bud);
    dv__vec_free(&d->call, sizeof(dv__sym_edge), bud);
    dv__vec_free(&d->term, sizeof(dv__sym_edge), bud);
    d->n = 0;
}
