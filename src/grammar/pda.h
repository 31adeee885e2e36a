/* SPDX-License-Identifier: MIT */
/* A compiled grammar: the deterministic automata of its rules in one numbering. */
#ifndef DV_GRAMMAR_PDA_H
#define DV_GRAMMAR_PDA_H

#include "grammar/nfa.h"

#include <pthread.h>

/* Flags of a state. */
enum {
    DV__ST_ACCEPT = 1u << 0, /* the rule may end here */
    DV__ST_LAST = 1u << 1,   /* it must: nothing leads on */
    DV__ST_KEY = 1u << 2,    /* of a key rule */
    DV__ST_LOCAL =
        1u << 3, /* what tokens may follow within the rule depends on nothing but the state and its counters */
    DV__ST_ITEMS = 1u << 4,  /* of a counted rule without calls */
    DV__ST_BETWEEN = 1u << 5 /* of such a rule, between two items */
};

typedef struct dv__pstate {
    uint32_t byte0, call0, term0;
    uint8_t flags;
} dv__pstate;

typedef struct dv__machine dv__machine;

struct dv_grammar {
    pthread_mutex_t lock; /* over refs, cur, every machine of this grammar */
    size_t refs;
    dv__machine *cur;
    dv_grammar_limits limits;

    /* Immutable from here on. */
    uint32_t n_state, n_rule, n_term;
    uint32_t root;       /* rule */
    dv__pstate *state;   /* [n_state + 1] */
    dv__byte_edge *byte; /* sorted per state */
    dv__sym_edge *call, *term;
    dv__rule *rule;
    dv__term *terms;
    char *term_text;
    uint32_t n_class; /* bytes fall into classes that no state tells apart */
    uint8_t class_of[256];
    uint8_t sample[256]; /* a byte of each class */
    size_t bytes;
};

/* compile.c */
int dv__pda_make(dv_grammar **out, dv_grammar_builder *b, dv_gx root, dv_err *err);
/* machine.c: the grammar's own caches are dropped with it. */
void dv__machine_free(dv__machine *m);

#endif
