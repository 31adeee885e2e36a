/* SPDX-License-Identifier: MIT */
/* The automaton of one rule. First nondeterministic, as the expression is written; then deterministic, where one byte has one successor.
 * Calls of rules and named tokens stay edges of their own beside the bytes. */
#ifndef DV_GRAMMAR_NFA_H
#define DV_GRAMMAR_NFA_H

#include "grammar/expr.h"

typedef enum dv__edge_kind { DV__E_EPS, DV__E_BYTE, DV__E_CALL, DV__E_TERM } dv__edge_kind;

typedef struct dv__nedge {
    uint8_t kind, lo, hi, mark; /* mark: of an empty edge */
    uint32_t what;              /* rule or token */
    uint32_t to;
    uint32_t next; /* of the same node, DV__NONE at the end */
} dv__nedge;

#define DV__NONE UINT32_MAX

typedef struct dv__nfa {
    dv__vec node; /* uint32_t: the first edge */
    dv__vec edge; /* dv__nedge */
} dv__nfa;

/* A byte edge of a deterministic automaton; those of a state are sorted and disjoint. */
typedef struct dv__byte_edge {
    uint8_t lo, hi, mark;
    bool lit; /* one byte, which the grammar asks for by itself: not one of a class */
    uint32_t to;
} dv__byte_edge;

typedef struct dv__sym_edge {
    uint32_t what; /* rule or token */
    uint32_t to;
    uint8_t mark;
} dv__sym_edge;

typedef struct dv__dstate {
    uint32_t byte0, call0, term0; /* where its edges begin; they end where those of the next state begin */
    uint8_t accept;
} dv__dstate;

/* State 0 is the start; one more state than n ends the lists. */
typedef struct dv__dfa {
    uint32_t n;
    dv__vec state, byte, call, term;
} dv__dfa;

uint32_t dv__nfa_node(dv__nfa *a, dv__budget *bud);
bool dv__nfa_edge(dv__nfa *a, uint32_t from, dv__nedge e, dv__budget *bud);
static inline bool dv__nfa_eps(dv__nfa *a, uint32_t from, uint32_t to, unsigned mark, dv__budget *bud)
{
    return dv__nfa_edge(a, from, (dv__nedge){.kind = DV__E_EPS, .mark = (uint8_t)mark, .to = to}, bud);
}
void dv__nfa_free(dv__nfa *a, dv__budget *bud);

/* build.c: add x between two nodes; false after an error. */
bool dv__nfa_build(dv_grammar_builder *b, dv__nfa *a, dv_gx x, uint32_t from, uint32_t to);
/* text.c: the same for free text. */
bool dv__nfa_text(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to);

/* dfa.c: what the nodes from `from` on accept by reaching `to`; a call of a rule with nullable[rule] may be passed over. */
bool dv__dfa_make(dv__dfa *out, const dv__nfa *a, uint32_t from, uint32_t to, const uint8_t *nullable,
                  uint32_t max_states, dv__budget *bud);
void dv__dfa_free(dv__dfa *d, dv__budget *bud);
/* product.c: x and y, or x without y, as a part of a; both are expressions without references. */
bool dv__nfa_product(dv_grammar_builder *b, dv__nfa *a, const dv__expr *x, uint32_t from, uint32_t to);

/* pack.c, compile.c */
typedef struct dv__rule {
    uint32_t start;
    uint32_t need, room; /* of a counted rule */
    uint32_t order;      /* a rule is behind those that may begin with a call of it */
    uint8_t kind;        /* dv__rule_kind */
    uint8_t nullable;
} dv__rule;

#endif
