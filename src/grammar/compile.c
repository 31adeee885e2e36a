/* SPDX-License-Identifier: MIT */
/* From a builder's expression to a grammar: find the rules, make each deterministic, cut what leads nowhere, put the rules in
 * order, and pack everything into one numbering. */
#include "grammar/rules.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

/* Append the automaton of a rule to those of the others. */
static bool append(dv__compile *c, const dv__dfa *d, uint32_t rule)
{
    dv__budget *bud = &c->b->bud;
    dv__dfa *all = &c->all;
    const uint32_t base = all->n, nb = (uint32_t)d->byte.n, nc = (uint32_t)d->call.n, nt = (uint32_t)d->term.n;
    const uint32_t byte0 = (uint32_t)all->byte.n, call0 = (uint32_t)all->call.n, term0 = (uint32_t)all->term.n;
    all->state.n -= all->n > 0; /* the end mark */
    dv__dstate *st = dv__vec_push(&all->state, sizeof *st, (size_t)d->n + 1, bud);
    dv__byte_edge *pb = dv__vec_push(&all->byte, sizeof *pb, nb, bud);
    dv__sym_edge *pc = dv__vec_push(&all->call, sizeof *pc, nc, bud);
    dv__sym_edge *pt = dv__vec_push(&all->term, sizeof *pt, nt, bud);
    if (st == NULL || (pb == NULL && nb > 0) || (pc == NULL && nc > 0) || (pt == NULL && nt > 0))
        return false;
    for (uint32_t i = 0; i <= d->n; i++) {
        const dv__dstate *from = &DV__AT(d->state, dv__dstate, i);
        st[i] = (dv__dstate){from->byte0 + byte0, from->call0 + call0, from->term0 + term0, from->accept};
    }
    for (uint32_t i = 0; i < nb; i++) {
        pb[i] = DV__AT(d->byte, dv__byte_edge, i);
        pb[i].to += base;
    }
    for (uint32_t i = 0; i < nc; i++) {
        pc[i] = DV__AT(d->call, dv__sym_edge, i);
        pc[i].to += base;
    }
    for (uint32_t i = 0; i < nt; i++) {
        pt[i] = DV__AT(d->term, dv__sym_edge, i);
        pt[i].to += base;
    }
    c->start[rule] = base;
    all->n += d->n;
    return true;
}

static bool make_rule(dv__compile *c, uint32_t rule)
{
    dv_grammar_builder *b = c->b;
    dv__nfa a = {0};
    dv__dfa d = {0};
    uint32_t from = dv__nfa_node(&a, &b->bud), to = from == DV__NONE ? from : dv__nfa_node(&a, &b->bud);
    bool ok = to != DV__NONE && dv__nfa_build(b, &a, DV__AT(b->rule, dv__rule_src, rule).body, from, to) &&
              dv__dfa_make(&d, &a, from, to, c->nullable, b->limits.max_states - c->all.n, &b->bud) &&
              append(c, &d, rule);
    dv__nfa_free(&a, &b->bud);
    dv__dfa_free(&d, &b->bud);
    return ok;
}

static bool make_rules(dv__compile *c)
{
    for (uint32_t r = 0; r < c->n_rule; r++)
        c->start[r] = DV__NONE;
    for (size_t i = 0; i < c->order.n; i++) {
        const uint32_t r = DV__AT(c->order, uint32_t, i);
        if (DV__AT(c->b->rule, dv__rule_src, r).same_as < 0 && !make_rule(c, r))
            return false;
    }
    for (size_t i = 0; i < c->order.n; i++) {
        const dv__rule_src *r = &DV__AT(c->b->rule, dv__rule_src, DV__AT(c->order, uint32_t, i));
        if (r->same_as >= 0)
            c->start[DV__AT(c->order, uint32_t, i)] = c->start[r->same_as];
    }
    c->owner = dv__take(c->all.n, sizeof *c->owner, &c->b->bud);
    if (c->owner == NULL)
        return false;
    memset(c->owner, 0xff, c->all.n * sizeof *c->owner);
    for (size_t i = 0; i < c->order.n; i++) {
        const uint32_t r = DV__AT(c->order, uint32_t, i);
        if (DV__AT(c->b->rule, dv__rule_src, r).same_as < 0)
            c->owner[c->start[r]] = r;
    }
    for (uint32_t s = 1; s < c->all.n; s++)
        if (c->owner[s] == DV__NONE)
            c->owner[s] = c->owner[s - 1];
    return true;
}

/* Flags that the rule of a state gives it. */
static uint8_t rule_flags(const dv__compile *c, uint32_t rule, bool calls, bool calls_key)
{
    const dv__rule_kind kind = DV__AT(c->b->rule, dv__rule_src, rule).kind;
    uint8_t flags = kind == DV__RULE_KEY ? DV__ST_KEY : 0;
    if (kind == DV__RULE_COUNTED && !calls)
        flags |= DV__ST_ITEMS;
    if (!calls_key && (kind != DV__RULE_COUNTED || !calls))
        flags |= DV__ST_LOCAL;
    return flags;
}

static void pack_state(const dv__compile *c, dv_grammar *g, const uint32_t *number, uint32_t s, uint32_t counts[3])
{
    const dv__dstate *st = &DV__AT(c->all.state, dv__dstate, s);
    dv__pstate *p = &g->state[number[s]];
    *p = (dv__pstate){counts[0], counts[1], counts[2], st->accept ? DV__ST_ACCEPT : 0};
    bool marked = false;
    for (uint32_t i = st->byte0; i < st[1].byte0; i++) {
        dv__byte_edge e = DV__AT(c->all.byte, dv__byte_edge, i);
        if (!c->alive[e.to])
            continue;
        e.to = number[e.to];
        marked |= (e.mark & (DV__MARK_MORE | DV__MARK_EXIT)) != 0;
        dv__byte_edge *last = counts[0] > p->byte0 ? &g->byte[counts[0] - 1] : NULL;
        if (last != NULL && last->hi + 1 == e.lo && last->to == e.to && last->mark == e.mark && !last->lit && !e.lit)
            last->hi = e.hi;
        else
            g->byte[counts[0]++] = e;
    }
    for (uint32_t i = st->call0; i < st[1].call0; i++) {
        dv__sym_edge e = DV__AT(c->all.call, dv__sym_edge, i);
        if (!c->alive[e.to] || !c->some[e.what])
            continue;
        e.to = number[e.to];
        g->call[counts[1]++] = e;
    }
    for (uint32_t i = st->term0; i < st[1].term0; i++) {
        dv__sym_edge e = DV__AT(c->all.term, dv__sym_edge, i);
        if (!c->alive[e.to])
            continue;
        e.to = number[e.to];
        g->term[counts[2]++] = e;
    }
    const bool leads = counts[0] > p->byte0 || counts[1] > p->call0 || counts[2] > p->term0;
    p->flags |= st->accept && !leads ? DV__ST_LAST : 0;
    p->flags |= marked ? DV__ST_BETWEEN : 0;
}

/* Per rule: whether it calls anything, and whether a key rule. */
static void find_calls(const dv__compile *c, uint8_t *calls)
{
    for (uint32_t s = 0; s < c->all.n; s++) {
        const dv__dstate *st = &DV__AT(c->all.state, dv__dstate, s);
        for (uint32_t i = st->call0; i < st[1].call0; i++) {
            const uint32_t what = DV__AT(c->all.call, dv__sym_edge, i).what;
            calls[c->owner[s]] |= DV__AT(c->b->rule, dv__rule_src, what).kind == DV__RULE_KEY ? 3 : 1;
        }
    }
}

static void find_classes(dv_grammar *g, bool every_byte)
{
    uint8_t cut[257] = {0};
    for (uint32_t i = 0; i < g->state[g->n_state].byte0; i++) {
        cut[g->byte[i].lo] = 1;
        cut[g->byte[i].hi + 1] = 1;
    }
    g->n_class = 0;
    for (unsigned c = 0; c < 256; c++) {
        g->n_class += c > 0 && (cut[c] || every_byte);
        g->class_of[c] = (uint8_t)g->n_class;
        g->sample[g->n_class] = (uint8_t)c;
    }
    g->n_class++;
}

static bool pack(dv__compile *c, dv_grammar *g, uint32_t *number, uint8_t *calls)
{
    uint32_t counts[3] = {0}, n = 0;
    bool keys = false;
    for (uint32_t s = 0; s < c->all.n; s++)
        number[s] = c->alive[s] ? n++ : DV__NONE;
    g->n_state = n;
    find_calls(c, calls);
    for (uint32_t s = 0; s < c->all.n; s++)
        if (c->alive[s]) {
            pack_state(c, g, number, s, counts);
            g->state[number[s]].flags |= rule_flags(c, c->owner[s], calls[c->owner[s]] & 1, calls[c->owner[s]] & 2);
        }
    g->state[n] = (dv__pstate){counts[0], counts[1], counts[2], 0};
    for (uint32_t r = 0; r < c->n_rule; r++) {
        const dv__rule_src *src = &DV__AT(c->b->rule, dv__rule_src, r);
        const bool counted = src->kind == DV__RULE_COUNTED;
        const uint32_t start = c->start[r];
        g->rule[r] = (dv__rule){.start = start == DV__NONE ? DV__NONE : number[start],
                                .need = counted ? src->min : 0,
                                .room = counted ? src->max : 0,
                                .order = c->rank[r],
                                .kind = src->kind,
                                .nullable = c->nullable[r]};
        keys |= src->kind == DV__RULE_KEY && c->used[r];
    }
    find_classes(g, keys);
    return true;
}

/* All parts of a grammar in blocks of their own; NULL sizes are fine. */
static dv_grammar *make_grammar(dv__compile *c, uint32_t root)
{
    dv_grammar_builder *b = c->b;
    dv_grammar *g = dv_calloc(DV_MEM_GRAMMAR, 1, sizeof *g);
    uint32_t *number = dv__take(c->all.n, sizeof *number, &b->bud);
    uint8_t *calls = dv__take(c->n_rule, 1, &b->bud);
    bool ok = g != NULL && number != NULL && calls != NULL;
    if (g != NULL) {
        *g = (dv_grammar){.refs = 1, .limits = b->limits, .root = root, .n_rule = c->n_rule};
        g->n_term = (uint32_t)b->term.n;
        pthread_mutex_init(&g->lock, NULL);
    }
    if (ok) {
        const dv__dfa *d = &c->all;
        g->state = dv_alloc_array(DV_MEM_GRAMMAR, (size_t)d->n + 1, sizeof *g->state);
        g->byte = dv_alloc_array(DV_MEM_GRAMMAR, d->byte.n, sizeof *g->byte);
        g->call = dv_alloc_array(DV_MEM_GRAMMAR, d->call.n, sizeof *g->call);
        g->term = dv_alloc_array(DV_MEM_GRAMMAR, d->term.n, sizeof *g->term);
        g->rule = dv_alloc_array(DV_MEM_GRAMMAR, c->n_rule, sizeof *g->rule);
        g->terms = dv_alloc_array(DV_MEM_GRAMMAR, b->term.n, sizeof *g->terms);
        g->term_text = dv_alloc(DV_MEM_GRAMMAR, b->term.n > 0 ? b->byte.n : 0);
        g->bytes = (d->n + 1) * sizeof *g->state + d->byte.n * sizeof *g->byte +
                   (d->call.n + d->term.n) * sizeof *g->call + c->n_rule * sizeof *g->rule;
        ok = g->state != NULL && g->byte != NULL && g->call != NULL && g->term != NULL && g->rule != NULL &&
             g->terms != NULL && g->term_text != NULL && pack(c, g, number, calls);
    }
    if (ok && b->term.n > 0) {
        memcpy(g->terms, b->term.p, b->term.n * sizeof *g->terms);
        memcpy(g->term_text, b->byte.p, b->byte.n);
    }
    dv__take_back(number, c->all.n, sizeof *number, &b->bud);
    dv__take_back(calls, c->n_rule, 1, &b->bud);
    if (!ok) {
        dv_fail(&b->err, DV_ENOMEM, "out of memory for a grammar");
        dv_grammar_unref(&g);
    }
    return g;
}

int dv__pda_make(dv_grammar **out, dv_grammar_builder *b, dv_gx root, dv_err *err)
{
    *out = NULL;
    const int32_t r = dv__rule_new(b, "", 0, DV__RULE_PLAIN);
    if (r >= 0)
        dv__rule_body(b, r, root);
    dv__compile c = {.b = b, .n_rule = (uint32_t)b->rule.n};
    if (!dv__failed(b)) {
        c.used = dv__take(c.n_rule, 1, &b->bud);
        c.nullable = dv__take(c.n_rule, 1, &b->bud);
        c.start = dv__take(c.n_rule, sizeof *c.start, &b->bud);
        if (c.used != NULL && c.nullable != NULL && c.start != NULL && dv__rules_find(&c, (uint32_t)r) &&
            make_rules(&c) && dv__rules_trim(&c, (uint32_t)r) && dv__rules_order(&c))
            *out = make_grammar(&c, (uint32_t)r);
    }
    dv__take_back(c.used, c.n_rule, 1, &b->bud);
    dv__take_back(c.nullable, c.n_rule, 1, &b->bud);
    dv__take_back(c.start, c.n_rule, sizeof *c.start, &b->bud);
    dv__take_back(c.owner, c.all.n, sizeof *c.owner, &b->bud);
    dv__take_back(c.alive, c.all.n, 1, &b->bud);
    dv__take_back(c.some, c.n_rule, 1, &b->bud);
    dv__take_back(c.rank, c.n_rule, sizeof *c.rank, &b->bud);
    dv__vec_free(&c.order, sizeof(uint32_t), &b->bud);
    dv__dfa_free(&c.all, &b->bud);
    if (*out == NULL && b->err.code == 0)
        dv_fail(&b->err, DV_ENOMEM, "out of memory for a grammar");
    return *out != NULL ? 0 : dv_fail(err, b->err.code, "%s", b->err.msg);
}

int dv_grammar_build(dv_grammar **out, dv_grammar_builder *b, dv_gx root, dv_err *err)
{
    return dv__pda_make(out, b, root, err);
}

dv_grammar *dv_grammar_ref(dv_grammar *g)
{
    pthread_mutex_lock(&g->lock);
    g->refs++;
    pthread_mutex_unlock(&g->lock);
    return g;
}

void dv_grammar_unref(dv_grammar **pg)
{
    dv_grammar *g = *pg;
    *pg = NULL;
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    const bool last = --g->refs == 0;
    pthread_mutex_unlock(&g->lock);
    if (!last)
        return;
    if (g->cur != NULL)
        dv__machine_free(g->cur);
    pthread_mutex_destroy(&g->lock);
    dv_free(g->state);
    dv_free(g->byte);
    dv_free(g->call);
    dv_free(g->term);
    dv_free(g->rule);
    dv_free(g->terms);
    dv_free(g->term_text);
    dv_free(g);
}
