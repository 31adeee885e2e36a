/* SPDX-License-Identifier: MIT */
#include "grammar/nfa.h"

uint32_t dv__nfa_node(dv__nfa *a, dv__budget *bud)
{
    uint32_t *p = dv__vec_push(&a->node, sizeof *p, 1, bud);
    if (p == NULL)
        return DV__NONE;
    *p = DV__NONE;
    return (uint32_t)(a->node.n - 1);
}

bool dv__nfa_edge(dv__nfa *a, uint32_t from, dv__nedge e, dv__budget *bud)
{
    if (from == DV__NONE || e.to == DV__NONE)
        return false;
    dv__nedge *p = dv__vec_push(&a->edge, sizeof *p, 1, bud);
    if (p == NULL)
        return false;
    uint32_t *first = &DV__AT(a->node, uint32_t, from);
    *p = e;
    p->next = *first;
    *first = (uint32_t)(a->edge.n - 1);
    return true;
}

void dv__nfa_free(dv__nfa *a, dv__budget *bud)
{
    dv__vec_free(&a->node, sizeof(uint32_t), bud);
    dv__vec_free(&a->edge, sizeof(dv__nedge), bud);
}
