/* SPDX-License-Identifier: MIT */
#include "grammar/rules.h"

#include "base/err.h"

#include <stdio.h>

const char *dv__rule_name(const dv_grammar_builder *b, uint32_t rule, char *buf, size_t size)
{
    const dv__rule_src *r = &DV__AT(b->rule, dv__rule_src, rule);
    int n = (int)DV_MIN(r->name_n, (uint32_t)100);
    snprintf(buf, size, "rule '%.*s'", n, n > 0 ? &DV__AT(b->byte, char, r->name_at) : "");
    return buf;
}

static bool undefined(const dv_grammar_builder *b, uint32_t rule)
{
    char name[128];
    dv_fail((dv_err *)&b->err, DV_EINVAL, "%s is not defined", dv__rule_name(b, rule, name, sizeof name));
    return false;
}

typedef struct finder {
    dv__compile *c;
    uint8_t *seen; /* expressions */
    dv__vec stack; /* dv_gx */
} finder;

static bool want(finder *f, dv_gx x)
{
    if (x < 0 || f->seen[x])
        return true;
    f->seen[x] = 1;
    dv_gx *p = dv__vec_push(&f->stack, sizeof *p, 1, &f->c->b->bud);
    if (p != NULL)
        *p = x;
    return p != NULL;
}

static bool want_rule(finder *f, uint32_t rule)
{
    const dv_grammar_builder *b = f->c->b;
    const dv__rule_src *r = &DV__AT(b->rule, dv__rule_src, rule);
    if (f->c->used[rule])
        return true;
    if (r->body < 0)
        return undefined(b, rule);
    f->c->used[rule] = 1;
    uint32_t *p = dv__vec_push(&f->c->order, sizeof *p, 1, &f->c->b->bud);
    if (p == NULL)
        return false;
    *p = rule;
    return want(f, r->body) && (r->same_as < 0 || want_rule(f, (uint32_t)r->same_as));
}

static bool want_kids(finder *f, const dv__expr *x)
{
    const dv_grammar_builder *b = f->c->b;
    bool ok = true;
    switch ((dv__expr_kind)x->kind) {
    case DV__X_SEQ:
    case DV__X_ALT:
    case DV__X_AND:
    case DV__X_MINUS:
        for (uint32_t i = 0; ok && i < x->n; i++)
            ok = want(f, DV__AT(b->kid, dv_gx, x->at + i));
        return ok;
    case DV__X_TEXT:
        for (uint32_t i = 0; ok && i < x->n; i++)
            ok = want(f, DV__AT(b->trigger, dv__trigger_src, x->at + i).then);
        return ok;
    case DV__X_REPEAT: return want(f, (dv_gx)x->at);
    case DV__X_REF: return want_rule(f, x->at);
    case DV__X_EMPTY:
    case DV__X_FAIL:
    case DV__X_LIT:
    case DV__X_CLASS:
    case DV__X_TERM:
    case DV__X_MARK: break;
    }
    return true;
}

static bool find_used(dv__compile *c, uint32_t root)
{
    dv_grammar_builder *b = c->b;
    finder f = {.c = c, .seen = dv__take(b->expr.n, 1, &b->bud)};
    bool ok = f.seen != NULL && want_rule(&f, root);
    while (ok && f.stack.n > 0)
        ok = want_kids(&f, &DV__AT(b->expr, dv__expr, DV__AT(f.stack, dv_gx, --f.stack.n)));
    dv__take_back(f.seen, b->expr.n, 1, &b->bud);
    dv__vec_free(&f.stack, sizeof(dv_gx), &b->bud);
    return ok;
}

/* Whether x matches the empty text, as far as the rules are known. Its depth is bounded by DV__MAX_EXPR_DEPTH. */
static bool empty(dv__compile *c, dv_gx gx)
{
    const dv_grammar_builder *b = c->b;
    if (gx < 0 || !dv__work(&c->b->bud, 1))
        return false;
    const dv__expr *x = &DV__AT(b->expr, dv__expr, gx);
    switch ((dv__expr_kind)x->kind) {
    case DV__X_EMPTY:
    case DV__X_MARK: return true;
    case DV__X_FAIL:
    case DV__X_LIT:
    case DV__X_CLASS:
    case DV__X_TERM: return false;
    case DV__X_SEQ:
        for (uint32_t i = 0; i < x->n; i++)
            if (!empty(c, DV__AT(b->kid, dv_gx, x->at + i)))
                return false;
        return true;
    case DV__X_ALT:
        for (uint32_t i = 0; i < x->n; i++)
            if (empty(c, DV__AT(b->kid, dv_gx, x->at + i)))
                return true;
        return false;
    case DV__X_REPEAT: return x->min == 0 || empty(c, (dv_gx)x->at);
    case DV__X_REF: return c->nullable[x->at];
    case DV__X_TEXT: return x->flag;
    case DV__X_AND: return empty(c, DV__AT(b->kid, dv_gx, x->at)) && empty(c, DV__AT(b->kid, dv_gx, x->at + 1));
    case DV__X_MINUS: return empty(c, DV__AT(b->kid, dv_gx, x->at)) && !empty(c, DV__AT(b->kid, dv_gx, x->at + 1));
    }
    return false;
}

/* Rules are looked at in the order in which they were reached, backwards: that settles most grammars in one round. */
static bool find_nullable(dv__compile *c)
{
    for (bool changed = true; changed && !dv__failed(c->b);) {
        changed = false;
        for (size_t i = c->order.n; i-- > 0;) {
            const uint32_t r = DV__AT(c->order, uint32_t, i);
            if (!c->nullable[r] && empty(c, DV__AT(c->b->rule, dv__rule_src, r).body))
                changed = (c->nullable[r] = 1) != 0;
        }
    }
    return !dv__failed(c->b);
}

bool dv__rules_find(dv__compile *c, uint32_t root) { return find_used(c, root) && find_nullable(c); }
