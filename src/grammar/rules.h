/* SPDX-License-Identifier: MIT */
/* The steps of compiling, and what they share: see compile.c. */
#ifndef DV_GRAMMAR_RULES_H
#define DV_GRAMMAR_RULES_H

#include "grammar/pda.h"

typedef struct dv__compile {
    dv_grammar_builder *b;
    uint32_t n_rule;
    uint8_t *used;     /* [n_rule] reached from the root */
    uint8_t *nullable; /* [n_rule] */
    uint32_t *start;   /* [n_rule] state of all; DV__NONE: not used */
    dv__vec order;     /* uint32_t: rules as they were reached */
    dv__dfa all;       /* every rule's automaton, one after the other */
    uint32_t *owner;   /* [all.n] rule */
    uint8_t *alive;    /* [all.n] the end of the rule can be reached */
    uint8_t *some;     /* [n_rule] a rule that matches more than nothing */
    uint32_t *rank;    /* [n_rule] callers at the beginning first */
} dv__compile;

/* rules.c: which rules are used and may be empty; an error for one that is not defined. */
bool dv__rules_find(dv__compile *c, uint32_t root);
/* trim.c: states from which the end cannot be reached; an error if a used rule never ends. */
bool dv__rules_trim(dv__compile *c, uint32_t root);
/* order.c: the order of rules by what they begin with; an error for left recursion. */
bool dv__rules_order(dv__compile *c);
/* "rule 'name'", for messages; in buf. */
const char *dv__rule_name(const dv_grammar_builder *b, uint32_t rule, char *buf, size_t size);

#endif
