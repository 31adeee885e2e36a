/* SPDX-License-Identifier: MIT */
/* Rules in an order in which each is behind those that may begin with it: entering rules then needs one pass. A cycle is left recursion. Also
 * which rules match more than the empty text: others need no call. */
#include "grammar/rules.h"

#include "base/err.h"

typedef struct frame {
    uint32_t rule, edge; /* edge: the next call of its start to look at */
} frame;

static bool recursion(dv__compile *c, uint32_t rule)
{
    char name[128];
    dv_fail(&c->b->err, DV_EINVAL, "%s is left-recursive: it may begin with itself",
            dv__rule_name(c->b, rule, name, sizeof name));
    return false;
}

/* The call edges that lead somewhere. */
static bool live_call(const dv__compile *c, const dv__sym_edge *e)
{
    return c->alive[e->to] && c->start[e->what] != DV__NONE && c->alive[c->start[e->what]];
}

static bool has_own_edge(const dv__compile *c, uint32_t s)
{
    const dv__dstate *st = &DV__AT(c->all.state, dv__dstate, s);
    for (uint32_t i = st->byte0; i < st[1].byte0; i++)
        if (c->alive[DV__AT(c->all.byte, dv__byte_edge, i).to])
            return true;
    for (uint32_t i = st->term0; i < st[1].term0; i++)
        if (c->alive[DV__AT(c->all.term, dv__sym_edge, i).to])
            return true;
    return false;
}

/* Depth first, on a stack of our own. color: 0 new, 1 on the stack, 2 done. */
static bool visit(dv__compile *c, uint8_t *color, dv__vec *stack, uint32_t root, uint32_t *rank)
{
    dv__budget *bud = &c->b->bud;
    frame *f = dv__vec_push(stack, sizeof *f, 1, bud);
    if (f == NULL)
        return false;
    *f = (frame){root, DV__AT(c->all.state, dv__dstate, c->start[root]).call0};
    color[root] = 1;
    while (stack->n > 0) {
        f = &DV__AT(*stack, frame, stack->n - 1);
        const uint32_t rule = f->rule, s = c->start[rule];
        if (f->edge == DV__AT(c->all.state, dv__dstate, s + 1).call0) {
            color[rule] = 2;
            c->some[rule] |= has_own_edge(c, s);
            c->rank[rule] = --*rank;
            stack->n--;
            if (stack->n > 0)
                c->some[DV__AT(*stack, frame, stack->n - 1).rule] |= c->some[rule];
            continue;
        }
        const dv__sym_edge e = DV__AT(c->all.call, dv__sym_edge, f->edge++);
        if (!live_call(c, &e))
            continue;
        if (color[e.what] == 1)
            return recursion(c, e.what);
        if (color[e.what] == 2) {
            c->some[rule] |= c->some[e.what];
            continue;
        }
        color[e.what] = 1;
        f = dv__vec_push(stack, sizeof *f, 1, bud);
        if (f == NULL)
            return false;
        *f = (frame){e.what, DV__AT(c->all.state, dv__dstate, c->start[e.what]).call0};
    }
    return true;
}

bool dv__rules_order(dv__compile *c)
{
    dv__budget *bud = &c->b->bud;
    uint8_t *color = dv__take(c->n_rule, 1, bud);
    dv__vec stack = {0};
    uint32_t rank = c->n_rule;
    c->some = dv__take(c->n_rule, 1, bud);
    c->rank = dv__take(c->n_rule, sizeof *c->rank, bud);
    bool ok = color != NULL && c->some != NULL && c->rank != NULL;
    for (size_t i = 0; ok && i < c->order.n; i++) {
        const uint32_t r = DV__AT(c->order, uint32_t, i);
        if (c->alive[c->start[r]] && color[r] == 0)
            ok = visit(c, color, &stack, r, &rank);
    }
    dv__vec_free(&stack, sizeof(frame), bud);
    dv__take_back(color, c->n_rule, 1, bud);
    return ok;
}
