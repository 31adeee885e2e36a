/* SPDX-License-Identifier: MIT */
/* Which states can reach the end of their rule. Goes backwards from the ends; a call is passable once its rule is known to end. */
#include "grammar/rules.h"

#include "base/err.h"

#include <string.h>

typedef struct back {
    uint32_t from;
    uint32_t rule; /* DV__NONE: no call */
    uint32_t next; /* of the same target */
    uint32_t next_of_rule;
    uint32_t to;
} back;

typedef struct trimmer {
    dv__compile *c;
    dv__vec back;       /* back */
    dv__vec stack;      /* uint32_t: states that became alive */
    uint32_t *into;     /* [n] first back edge of a state */
    uint32_t *of_rule;  /* [n_rule] first back edge that calls it */
    uint8_t *ends;      /* [n_rule] */
    uint32_t *start_of; /* [n] rule that starts here, DV__NONE: none */
    uint32_t *same;     /* [n_rule] the next rule with the same start */
} trimmer;

static bool add_back(trimmer *t, uint32_t from, uint32_t rule, uint32_t to)
{
    back *p = dv__vec_push(&t->back, sizeof *p, 1, &t->c->b->bud);
    if (p == NULL)
        return false;
    const uint32_t i = (uint32_t)(t->back.n - 1);
    *p = (back){from, rule, t->into[to], rule != DV__NONE ? t->of_rule[rule] : DV__NONE, to};
    t->into[to] = i;
    if (rule != DV__NONE)
        t->of_rule[rule] = i;
    return true;
}

static bool add_all(trimmer *t)
{
    const dv__dfa *d = &t->c->all;
    for (uint32_t s = 0; s < d->n; s++) {
        const dv__dstate *st = &DV__AT(d->state, dv__dstate, s), *end = st + 1;
        for (uint32_t i = st->byte0; i < end->byte0; i++)
            if (!add_back(t, s, DV__NONE, DV__AT(d->byte, dv__byte_edge, i).to))
                return false;
        for (uint32_t i = st->call0; i < end->call0; i++)
            if (!add_back(t, s, DV__AT(d->call, dv__sym_edge, i).what, DV__AT(d->call, dv__sym_edge, i).to))
                return false;
        for (uint32_t i = st->term0; i < end->term0; i++)
            if (!add_back(t, s, DV__NONE, DV__AT(d->term, dv__sym_edge, i).to))
                return false;
    }
    return true;
}

static bool revive(trimmer *t, uint32_t state)
{
    if (t->c->alive[state])
        return true;
    t->c->alive[state] = 1;
    uint32_t *p = dv__vec_push(&t->stack, sizeof *p, 1, &t->c->b->bud);
    if (p != NULL)
        *p = state;
    return p != NULL;
}

/* A rule's start is alive: its calls, and those of rules with the same automaton, become passable. */
static bool rule_ends(trimmer *t, uint32_t state)
{
    for (uint32_t r = t->start_of[state]; r != DV__NONE; r = t->same[r]) {
        t->ends[r] = 1;
        for (uint32_t i = t->of_rule[r]; i != DV__NONE; i = DV__AT(t->back, back, i).next_of_rule)
            if (t->c->alive[DV__AT(t->back, back, i).to] && !revive(t, DV__AT(t->back, back, i).from))
                return false;
    }
    return true;
}

static bool run(trimmer *t)
{
    const dv__dfa *d = &t->c->all;
    for (uint32_t s = 0; s < d->n; s++)
        if (DV__AT(d->state, dv__dstate, s).accept && !revive(t, s))
            return false;
    while (t->stack.n > 0) {
        const uint32_t s = DV__AT(t->stack, uint32_t, --t->stack.n);
        if (!rule_ends(t, s))
            return false;
        for (uint32_t i = t->into[s]; i != DV__NONE; i = DV__AT(t->back, back, i).next) {
            const back *e = &DV__AT(t->back, back, i);
            if ((e->rule == DV__NONE || t->ends[e->rule]) && !revive(t, e->from))
                return false;
        }
    }
    return true;
}

/* A rule of which no text ever ends is only an error where nothing else can be generated; the paths that need it are cut otherwise. */
static bool check_root(trimmer *t, uint32_t root)
{
    char name[128];
    dv_grammar_builder *b = t->c->b;
    if (t->ends[root])
        return true;
    for (size_t i = t->c->order.n; i-- > 1;) {
        const uint32_t r = DV__AT(t->c->order, uint32_t, i);
        if (!t->ends[r] && DV__AT(b->rule, dv__rule_src, r).name_n > 0) {
            dv_fail(&b->err, DV_EINVAL, "nothing matches: %s never ends", dv__rule_name(b, r, name, sizeof name));
            return false;
        }
    }
    dv_fail(&b->err, DV_EINVAL, "nothing matches the grammar");
    return false;
}

bool dv__rules_trim(dv__compile *c, uint32_t root)
{
    dv__budget *bud = &c->b->bud;
    const size_t n = c->all.n;
    trimmer t = {.c = c};
    t.into = dv__take(n, sizeof *t.into, bud);
    t.start_of = dv__take(n, sizeof *t.start_of, bud);
    t.of_rule = dv__take(c->n_rule, sizeof *t.of_rule, bud);
    t.same = dv__take(c->n_rule, sizeof *t.same, bud);
    t.ends = dv__take(c->n_rule, 1, bud);
    c->alive = dv__take(n, 1, bud);
    bool ok = t.into != NULL && t.start_of != NULL && t.of_rule != NULL && t.same != NULL && t.ends != NULL &&
              c->alive != NULL;
    if (ok) {
        memset(t.into, 0xff, n * sizeof *t.into);
        memset(t.start_of, 0xff, n * sizeof *t.start_of);
        memset(t.of_rule, 0xff, c->n_rule * sizeof *t.of_rule);
        for (size_t i = 0; i < c->order.n; i++) {
            const uint32_t r = DV__AT(c->order, uint32_t, i);
            t.same[r] = t.start_of[c->start[r]];
            t.start_of[c->start[r]] = r;
        }
        ok = add_all(&t) && run(&t) && check_root(&t, root);
    }
    dv__take_back(t.into, n, sizeof *t.into, bud);
    dv__take_back(t.start_of, n, sizeof *t.start_of, bud);
    dv__take_back(t.of_rule, c->n_rule, sizeof *t.of_rule, bud);
    dv__take_back(t.same, c->n_rule, sizeof *t.same, bud);
    dv__take_back(t.ends, c->n_rule, 1, bud);
    dv__vec_free(&t.back, sizeof(back), bud);
    dv__vec_free(&t.stack, sizeof(uint32_t), bud);
    return ok;
}
