/* SPDX-License-Identifier: MIT */
/* Free text up to a trigger: the automaton of Aho and Corasick (1975), which knows after every byte how much of which trigger it has
 * just seen, so that no trigger can go by unnoticed. */
#include "grammar/nfa.h"

#include "base/err.h"

#include <string.h>

enum { MAX_TEXT_STATES = 4096 };

typedef struct ac {
    uint32_t n;
    uint32_t (*go)[256]; /* DV__NONE until completed */
    uint32_t *fail, *queue, *node;
    int32_t *hit; /* trigger that ends here, -1: none */
} ac;

static void insert(ac *m, const uint8_t *p, uint32_t n, int32_t trigger)
{
    uint32_t s = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (m->go[s][p[i]] == DV__NONE) {
            memset(m->go[m->n], 0xff, sizeof *m->go);
            m->hit[m->n] = -1;
            m->go[s][p[i]] = m->n++;
        }
        s = m->go[s][p[i]];
    }
    if (m->hit[s] < 0)
        m->hit[s] = trigger;
}

/* Breadth first, so that the state to fall back to is complete. */
static void complete(ac *m)
{
    uint32_t head = 0, tail = 0;
    m->queue[tail++] = 0;
    m->fail[0] = 0;
    while (head < tail) {
        const uint32_t s = m->queue[head++];
        if (m->hit[s] < 0)
            m->hit[s] = m->hit[m->fail[s]];
        for (unsigned c = 0; c < 256; c++) {
            const uint32_t back = s == 0 ? 0 : m->go[m->fail[s]][c];
            uint32_t *to = &m->go[s][c];
            if (*to != DV__NONE) {
                m->fail[*to] = s == 0 ? 0 : back;
                m->queue[tail++] = *to;
            } else {
                *to = back;
            }
        }
    }
}

static bool add_edges(dv_grammar_builder *b, dv__nfa *a, const ac *m, const uint32_t *then, uint32_t s)
{
    for (unsigned lo = 0, hi; lo < 256; lo = hi) {
        const uint32_t to = m->go[s][lo];
        for (hi = lo + 1; hi < 256 && m->go[s][hi] == to; hi++)
            continue;
        dv__nedge e = {.kind = DV__E_BYTE, .lo = (uint8_t)lo, .hi = (uint8_t)(hi - 1)};
        e.to = m->hit[to] >= 0 ? then[m->hit[to]] : m->node[to];
        if (!dv__nfa_edge(a, m->node[s], e, &b->bud))
            return false;
    }
    return true;
}

static bool connect(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, const ac *m, const uint32_t *then,
                    uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < x->n; i++)
        if (then[i] == DV__NONE ||
            !dv__nfa_build(b, a, DV__AT(b->trigger, dv__trigger_src, x->at + i).then, then[i], to))
            return false;
    for (uint32_t s = 0; s < m->n; s++) {
        if (m->hit[s] >= 0)
            continue;
        if (!add_edges(b, a, m, then, s) || (x->flag && !dv__nfa_eps(a, m->node[s], to, 0, &b->bud)))
            return false;
        const dv__nedge any = {.kind = DV__E_TERM, .what = x->min, .to = m->node[0]};
        if (!dv__nfa_edge(a, m->node[s], any, &b->bud))
            return false;
        for (uint32_t i = 0; i < x->n; i++) {
            const int32_t term = DV__AT(b->trigger, dv__trigger_src, x->at + i).term;
            dv__nedge e = {.kind = DV__E_TERM, .what = (uint32_t)term, .to = then[i]};
            if (term >= 0 && !dv__nfa_edge(a, m->node[s], e, &b->bud))
                return false;
        }
    }
    return dv__nfa_eps(a, from, m->node[0], 0, &b->bud);
}

bool dv__nfa_text(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to)
{
    size_t max = 1;
    for (uint32_t i = 0; i < x->n; i++)
        max += DV__AT(b->trigger, dv__trigger_src, x->at + i).text_n;
    if (max > MAX_TEXT_STATES) {
        dv_fail(&b->err, DV_ELIMIT, "the triggers of a free text are longer than %d bytes in sum", MAX_TEXT_STATES);
        return false;
    }
    bool ok = false;
    ac m = {.n = 1};
    uint32_t *then = dv__take(x->n, sizeof *then, &b->bud);
    m.go = dv__take(max, sizeof *m.go, &b->bud);
    m.fail = dv__take(3 * max, sizeof *m.fail, &b->bud);
    m.hit = dv__take(max, sizeof *m.hit, &b->bud);
    if (then != NULL && m.go != NULL && m.fail != NULL && m.hit != NULL) {
        m.queue = m.fail + max;
        m.node = m.fail + 2 * max;
        memset(m.go[0], 0xff, sizeof *m.go);
        m.hit[0] = -1;
        for (uint32_t i = 0; i < x->n; i++) {
            dv__trigger_src t = DV__AT(b->trigger, dv__trigger_src, x->at + i);
            insert(&m, &DV__AT(b->byte, uint8_t, t.text_at), t.text_n, (int32_t)i);
            then[i] = dv__nfa_node(a, &b->bud);
        }
        complete(&m);
        for (uint32_t s = 0; s < m.n; s++)
            m.node[s] = dv__nfa_node(a, &b->bud);
        ok = connect(b, a, x, &m, then, from, to);
    }
    dv__take_back(then, x->n, sizeof *then, &b->bud);
    dv__take_back(m.go, max, sizeof *m.go, &b->bud);
    dv__take_back(m.fail, 3 * max, sizeof *m.fail, &b->bud);
    dv__take_back(m.hit, max, sizeof *m.hit, &b->bud);
    return ok;
}
