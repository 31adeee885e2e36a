/* SPDX-License-Identifier: MIT */
#include "grammar/machine.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* More work than this for one mask or token means a grammar that is not worth it. */
enum { MAX_WORK = 200 * 1000 * 1000, MAX_CONFIGS = 4096 };

typedef struct pending {
    uint32_t next; /* + 1, of the same rule */
    dv__config frame;
} pending;

bool dv__machine_put(dv__machine *m, dv__config c)
{
    for (size_t i = 0; i < m->kernel.n; i++)
        if (memcmp(&DV__AT(m->kernel, dv__config, i), &c, sizeof c) == 0)
            return true;
    if (!dv__work(&m->bud, m->kernel.n + 1))
        return false;
    if (m->kernel.n >= MAX_CONFIGS) {
        dv_fail(m->bud.err, DV_ELIMIT, "the grammar is too ambiguous");
        return false;
    }
    dv__config *p = dv__vec_push(&m->kernel, sizeof c, 1, &m->bud);
    if (p != NULL)
        *p = c;
    return p != NULL;
}

bool dv__machine_pop(dv__machine *m, const dv__config *pc, bool *end)
{
    const dv__config c = *pc;
    const dv__item ctx = DV__AT(m->ctxs.item, dv__item, c.ctx);
    for (uint32_t i = 0; i < ctx.n; i++) {
        dv__config f = DV__AT(m->ctxs.pool, dv__config, ctx.at + i);
        if (f.q == DV__Q_END) {
            *end = true;
            continue;
        }
        if ((dv__flags(m, c.q) & DV__ST_KEY) && c.key != DV__UNTRACKED) {
            if (dv__key_in(m, f.key, c.key))
                continue;
            f.key = dv__key_add(m, f.key, c.key, true);
            if (f.key == DV__S_ERROR)
                return false;
        }
        if (!dv__machine_put(m, f))
            return false;
    }
    return true;
}

/* Whether an edge with this mark may be taken; c gets the counters behind it. */
static bool pass(dv__config *c, uint8_t mark)
{
    if (((mark & DV__MARK_MORE) && c->room == 0) || ((mark & DV__MARK_EXIT) && c->need > 0))
        return false;
    if (mark & DV__MARK_COUNT) {
        c->need -= c->need > 0;
        c->room -= c->room > 0 && c->room != DV__INF;
    }
    return true;
}

/* A binary heap of ranks, least first. */
static bool heap_push(dv__machine *m, uint32_t rank)
{
    uint32_t *p = dv__vec_push(&m->heap, sizeof *p, 1, &m->bud);
    if (p == NULL)
        return false;
    p = m->heap.p;
    size_t i = m->heap.n - 1;
    for (; i > 0 && p[(i - 1) / 2] > rank; i = (i - 1) / 2)
        p[i] = p[(i - 1) / 2];
    p[i] = rank;
    return true;
}

static uint32_t heap_pop(dv__machine *m)
{
    uint32_t *p = m->heap.p;
    const uint32_t top = p[0], last = p[--m->heap.n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < m->heap.n; i = k) {
        k += k + 1 < m->heap.n && p[k + 1] < p[k];
        if (p[k] >= last)
            break;
        p[i] = p[k];
    }
    p[i] = last;
    return top;
}

static bool add_pending(dv__machine *m, uint32_t rule, dv__config frame)
{
    const uint32_t rank = m->g->rule[rule].order;
    pending *p = dv__vec_push(&m->pend, sizeof *p, 1, &m->bud);
    if (p == NULL || !dv__work(&m->bud, 1))
        return false;
    *p = (pending){m->pend_of[rank], frame};
    m->pend_of[rank] = (uint32_t)m->pend.n;
    return p->next != 0 || heap_push(m, rank);
}

/* The calls that configuration c can make. A call in last place hands on what waits for c instead of c itself, so that lists
 * written by recursion do not pile up frames. */
static bool add_calls(dv__machine *m, dv__config c)
{
    const dv__pstate *st = &m->g->state[c.q];
    for (uint32_t i = st->call0; i < st[1].call0; i++) {
        const dv__sym_edge *e = &m->g->call[i];
        dv__config f = c;
        if (!pass(&f, e->mark))
            continue;
        f.q = e->to;
        if (!(dv__flags(m, e->to) & DV__ST_LAST) || m->g->rule[e->what].kind == DV__RULE_KEY) {
            if (!add_pending(m, e->what, f))
                return false;
            continue;
        }
        const dv__item ctx = DV__AT(m->ctxs.item, dv__item, c.ctx);
        for (uint32_t k = 0; k < ctx.n; k++)
            if (!add_pending(m, e->what, DV__AT(m->ctxs.pool, dv__config, ctx.at + k)))
                return false;
    }
    return true;
}

static int by_content(const void *a, const void *b) { return memcmp(a, b, sizeof(dv__config)); }

static size_t sort_unique(dv__config *c, size_t n)
{
    size_t kept = 1;
    if (n < 2)
        return n;
    qsort(c, n, sizeof *c, by_content);
    for (size_t i = 1; i < n; i++)
        if (memcmp(&c[i], &c[kept - 1], sizeof *c) != 0)
            c[kept++] = c[i];
    return kept;
}

static bool keep(dv__machine *m, dv__config c)
{
    const dv__pstate *st = &m->g->state[c.q];
    if (st->byte0 == st[1].byte0 && st->term0 == st[1].term0)
        return true; /* only calls, or an end: they have been looked at */
    if (m->out.n >= MAX_CONFIGS) {
        dv_fail(m->bud.err, DV_ELIMIT, "the grammar is too ambiguous");
        return false;
    }
    dv__config *p = dv__vec_push(&m->out, sizeof c, 1, &m->bud);
    if (p != NULL)
        *p = c;
    return p != NULL;
}

/* Enter the rule of a rank for all frames that call it. */
static bool enter(dv__machine *m, uint32_t rank)
{
    const dv__rule *r = &m->g->rule[m->rule_of[rank]];
    uint32_t depth = 0;
    m->frames.n = 0;
    for (uint32_t i = m->pend_of[rank]; i != 0; i = DV__AT(m->pend, pending, i - 1).next) {
        dv__config *f = dv__vec_push(&m->frames, sizeof *f, 1, &m->bud);
        if (f == NULL)
            return false;
        *f = DV__AT(m->pend, pending, i - 1).frame;
        if (f->q != DV__Q_END)
            depth = DV_MAX(depth, DV__AT(m->ctxs.item, dv__item, f->ctx).tag + 1);
    }
    m->pend_of[rank] = 0;
    if (depth > m->g->limits.max_stack)
        return true;
    m->frames.n = sort_unique(m->frames.p, m->frames.n);
    dv__config c = {.q = r->start, .need = r->need, .room = r->room};
    c.key = r->kind == DV__RULE_KEY ? DV__KEY_EMPTY : DV__KEY_NONE;
    c.ctx = dv__store_add(&m->ctxs, m->frames.p, m->frames.n, depth, &m->bud);
    return c.ctx != DV__S_ERROR && keep(m, c) && add_calls(m, c);
}

static bool close_kernel(dv__machine *m, bool *end)
{
    for (size_t i = 0; i < m->kernel.n; i++) {
        const dv__config c = DV__AT(m->kernel, dv__config, i);
        if ((dv__flags(m, c.q) & DV__ST_ACCEPT) && !dv__machine_pop(m, &c, end))
            return false;
    }
    for (size_t i = 0; i < m->kernel.n; i++) {
        const dv__config c = DV__AT(m->kernel, dv__config, i);
        if (!keep(m, c) || !add_calls(m, c))
            return false;
    }
    while (m->heap.n > 0)
        if (!enter(m, heap_pop(m)))
            return false;
    return true;
}

/* A number per set in the arrays beside the store. */
uint32_t dv__machine_intern(dv__machine *m, const dv__config *c, size_t n, bool end)
{
    const uint32_t s = dv__store_add(&m->sets, c, n, end, &m->bud);
    while (s != DV__S_ERROR && m->next.n < m->sets.item.n) {
        uint32_t **row = dv__vec_push(&m->next, sizeof *row, 1, &m->bud);
        if (row == NULL)
            return DV__S_ERROR;
        *row = NULL;
    }
    while (s != DV__S_ERROR && m->mask.n < m->sets.item.n) {
        dv__mask **mask = dv__vec_push(&m->mask, sizeof *mask, 1, &m->bud);
        if (mask == NULL)
            return DV__S_ERROR;
        *mask = NULL;
    }
    return s;
}

uint32_t dv__machine_close(dv__machine *m, bool end)
{
    m->out.n = m->pend.n = m->heap.n = 0;
    if (!close_kernel(m, &end)) {
        memset(m->pend_of, 0, m->g->n_rule * sizeof *m->pend_of);
        return DV__S_ERROR;
    }
    m->out.n = sort_unique(m->out.p, m->out.n);
    return dv__machine_intern(m, m->out.p, m->out.n, end);
}

static const dv__byte_edge *find_edge(const dv_grammar *g, uint32_t q, uint8_t byte)
{
    uint32_t lo = g->state[q].byte0, hi = g->state[q + 1].byte0;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (g->byte[mid].hi < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < g->state[q + 1].byte0 && g->byte[lo].lo <= byte ? &g->byte[lo] : NULL;
}

uint32_t dv__machine_step(dv__machine *m, uint32_t set, uint8_t byte, bool literal)
{
    const uint32_t n = dv__set(m, set)->n;
    m->kernel.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        dv__config c = *dv__set_at(m, set, i);
        const dv__byte_edge *e = find_edge(m->g, c.q, byte);
        if (e == NULL || (literal && !e->lit) || !pass(&c, e->mark))
            continue;
        if ((dv__flags(m, c.q) & DV__ST_KEY) && c.key != DV__UNTRACKED) {
            c.key = dv__key_add(m, c.key, byte, false);
            if (c.key == DV__S_ERROR)
                return DV__S_ERROR;
        }
        c.q = e->to;
        if (!dv__machine_put(m, c))
            return DV__S_ERROR;
    }
    return m->kernel.n == 0 ? DV__S_DEAD : dv__machine_close(m, false);
}

uint32_t dv__machine_next_slow(dv__machine *m, uint32_t set, uint8_t byte)
{
    uint32_t to = dv__machine_step(m, set, byte, false);
    if (to == DV__S_ERROR)
        return to;
    uint32_t *row = DV__AT(m->next, uint32_t *, set);
    if (row == NULL) {
        row = dv__take(m->g->n_class, sizeof *row, &m->bud);
        if (row == NULL)
            return DV__S_ERROR;
        memset(row, 0xff, m->g->n_class * sizeof *row);
        DV__AT(m->next, uint32_t *, set) = row;
    }
    row[m->g->class_of[byte]] = to;
    return to;
}

static bool resolve_terms(dv__machine *m)
{
    const dv_grammar *g = m->g;
    for (uint32_t i = 0; i < g->n_term; i++) {
        const dv__term *t = &g->terms[i];
        const char *text = g->term_text + t->text_at;
        m->term_token[i] = t->markup ? -1 : t->id >= 0 ? t->id : dv__vocab_find(m->v, text, t->text_n);
        const bool found = m->term_token[i] >= 0 && (uint32_t)m->term_token[i] < m->v->n;
        /* An ordinary token of this spelling is what the text itself matches already. */
        if (t->optional && (!found || m->v->flag[m->term_token[i]] == 0)) {
            m->term_token[i] = -1;
        } else if (!found) {
            const int n = (int)DV_MIN(t->text_n, 100u);
            if (t->id >= 0)
                dv_fail(m->bud.err, DV_EINVAL, "the grammar names token %d, but there are %u", (int)t->id,
                        (unsigned)m->v->n);
            else
                dv_fail(m->bud.err, DV_EINVAL, "the grammar names the token '%.*s', which the vocabulary does not have",
                        n, text);
            return false;
        }
    }
    return true;
}

static bool begin(dv__machine *m)
{
    const dv_grammar *g = m->g;
    const dv__config bottom = {.q = DV__Q_END};
    for (uint32_t r = 0; r < g->n_rule; r++)
        m->rule_of[g->rule[r].order] = r;
    for (int i = 0; i <= DV__KEY_EMPTY; i++) {
        dv__key *k = dv__vec_push(&m->keys, sizeof *k, 1, &m->bud);
        if (k == NULL)
            return false;
        *k = (dv__key){UINT32_MAX, (uint32_t)i, 2}; /* equal to none */
    }
    if (dv__machine_intern(m, NULL, 0, false) != DV__S_DEAD ||
        dv__store_add(&m->ctxs, &bottom, 1, 0, &m->bud) != DV__CTX_BOTTOM || !resolve_terms(m))
        return false;
    m->hole = dv__store_add(&m->ctxs, &bottom, 1, dv__local_depth(m), &m->bud);
    const dv__rule *root = &g->rule[g->root];
    m->kernel.n = 0;
    m->start = DV__S_ERROR;
    if (dv__machine_put(m, (dv__config){.q = root->start, .ctx = DV__CTX_BOTTOM}))
        m->start = dv__machine_close(m, false);
    return m->start != DV__S_ERROR && m->hole != DV__S_ERROR;
}

int dv__machine_make(dv__machine **out, dv_grammar *g, dv_grammar_vocab *v, dv_err *err)
{
    dv__machine *m = dv_calloc(DV_MEM_GRAMMAR, 1, sizeof *m);
    *out = NULL;
    if (m == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for a grammar");
    dv_err first = {0};
    m->g = g;
    m->v = dv_grammar_vocab_ref(v);
    m->bud = (dv__budget){.limit = g->limits.max_cache * 2, .max_work = MAX_WORK, .err = &first};
    m->term_token = dv__take(g->n_term, sizeof *m->term_token, &m->bud);
    m->local = dv__take(g->n_state, sizeof *m->local, &m->bud);
    m->path = dv__take(DV__MAX_TOKEN + 2, sizeof *m->path, &m->bud);
    m->pend_of = dv__take(g->n_rule, sizeof *m->pend_of, &m->bud);
    m->rule_of = dv__take(g->n_rule, sizeof *m->rule_of, &m->bud);
    const bool ok = m->term_token && m->local && m->path && m->pend_of && m->rule_of && begin(m);
    m->bud.err = NULL;
    if (!ok) {
        dv__machine_free(m);
        return dv_fail(err, first.code != 0 ? first.code : DV_EINTERNAL, "%s", first.msg);
    }
    *out = m;
    return 0;
}

static void free_local(dv__local *l)
{
    dv_free(l->bits);
    dv_free(l->list);
    dv_free(l->pop);
}

void dv__machine_free(dv__machine *m)
{
    for (size_t i = 0; i < m->next.n; i++)
        dv_free(DV__AT(m->next, uint32_t *, i));
    for (size_t i = 0; i < m->mask.n; i++)
        if (DV__AT(m->mask, dv__mask *, i) != NULL) {
            dv_free(DV__AT(m->mask, dv__mask *, i)->bits);
            dv_free(DV__AT(m->mask, dv__mask *, i)->list);
            dv_free(DV__AT(m->mask, dv__mask *, i));
        }
    for (size_t i = 0; i < m->locals.n; i++)
        free_local(&DV__AT(m->locals, dv__local, i));
    void *all[] = {m->sets.pool.p, m->sets.item.p, m->sets.slot.p, m->ctxs.pool.p, m->ctxs.item.p, m->ctxs.slot.p,
                   m->next.p,      m->mask.p,      m->keys.p,      m->key_slot.p,  m->local,       m->locals.p,
                   m->path,        m->kernel.p,    m->out.p,       m->frames.p,    m->pend.p,      m->heap.p,
                   m->pend_of,     m->rule_of,     m->term_token};
    for (size_t i = 0; i < DV_ARRAY_LEN(all); i++)
        dv_free(all[i]);
    dv_grammar_vocab_unref(&m->v);
    dv_free(m);
}
