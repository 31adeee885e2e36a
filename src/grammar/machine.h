/* SPDX-License-Identifier: MIT */
/* A grammar at work on one vocabulary. What is possible at a point of a text is a set of configurations: a state of a rule, with the stack of
 * calls that wait for it. Stacks are shared: a context is the set of all frames that wait for one rule entered at one point, so the number of
 * configurations stays small however ambiguous a grammar is. Sets and contexts are interned (equal ones have one number), and what a
 * byte does to a set is remembered: the machine turns into a deterministic automaton where it is used.
 *
 * A machine only grows. When it has reached its limit its grammar starts another one, and states move over at their next use.
 * Everything here runs under the grammar's lock. */
#ifndef DV_GRAMMAR_MACHINE_H
#define DV_GRAMMAR_MACHINE_H

#include "grammar/pda.h"
#include "grammar/vocab.h"

/* A state of a rule with its counters, and what waits for the rule's end. A frame has the same form: where to go on. */
typedef struct dv__config {
    uint32_t q;    /* state of the grammar; DV__Q_END in a frame: the whole text ends */
    uint32_t need; /* items that are still needed, and room for more: counted rules */
    uint32_t room;
    uint32_t key; /* of a key rule: its text so far; of others: the keys that the object has; DV__UNTRACKED */
    uint32_t ctx;
} dv__config;

#define DV__Q_END UINT32_MAX
#define DV__UNTRACKED UINT32_MAX

enum {
    DV__S_DEAD = 0, /* the set without configurations that is no end */
    DV__S_MAX = 1 << 28,
    DV__CTX_BOTTOM = 0, /* one frame, the end */
    DV__KEY_NONE = 0,
    DV__KEY_EMPTY = 1 /* text without bytes */
};
#define DV__S_NEW UINT32_MAX         /* a successor that was not computed yet */
#define DV__S_ERROR (UINT32_MAX - 1) /* m->bud.err says why */

/* Interned arrays of configurations. */
typedef struct dv__item {
    uint32_t at, n;
    uint32_t tag; /* of a set: whether the text may end; of a context: its depth */
} dv__item;

typedef struct dv__store {
    dv__vec pool; /* dv__config */
    dv__vec item; /* dv__item */
    dv__vec slot; /* uint32_t: item + 1 by hash */
} dv__store;

/* Texts as chains of bytes, and sets of texts as chains of texts. */
typedef struct dv__key {
    uint32_t parent, last; /* last: a byte, or a text */
    uint8_t of_set;
} dv__key;

typedef struct dv__need {
    uint32_t token, items;
} dv__need;

/* A node of the trie where the rule may end. */
typedef struct dv__pop {
    uint32_t node, items;
} dv__pop;

/* What may follow at a state of a rule, up to the end of the rule, wherever the rule was called. */
typedef struct dv__local {
    uint32_t *bits; /* tokens; NULL: see list */
    dv__need *list; /* tokens by the items that they need, if there are few or if they are counted */
    size_t n_list;
    dv__pop *pop;
    size_t n_pop;
    uint32_t max_items;
    bool whole; /* too many ends: not used */
} dv__local;

typedef struct dv__mask {
    uint32_t *bits; /* NULL: see list */
    uint32_t *list;
    uint32_t n_list;
} dv__mask;

struct dv__machine {
    dv_grammar *g;       /* borrowed; every state holds a reference */
    dv_grammar_vocab *v; /* a reference */
    size_t refs;         /* states */
    dv__budget bud;
    int32_t *term_token; /* [n_term] -1: none */
    dv__store sets, ctxs;
    dv__vec next; /* uint32_t *: per set, [n_class] or NULL */
    dv__vec mask; /* dv__mask *: per set, or NULL */
    dv__vec keys; /* dv__key */
    dv__vec key_slot;
    uint32_t *local; /* [n_state] index + 1 into locals */
    dv__vec locals;  /* dv__local */
    uint32_t start;  /* set */
    uint32_t hole;   /* context of local masks: some callers, half as deep as they may be */
    uint32_t *path;  /* [DV__MAX_TOKEN + 2] sets on the way of a walk */
    /* Work space of a step. */
    dv__vec kernel, out, frames; /* dv__config */
    dv__vec pend;                /* frames that call a rule, chained */
    dv__vec heap;                /* uint32_t: ranks of rules with such frames */
    uint32_t *pend_of;           /* [n_rule] by rank: first pending frame + 1 */
    uint32_t *rule_of;           /* [n_rule] by rank */
};

/* intern.c: numbers of equal things are equal; DV__S_ERROR after an error. */
uint32_t dv__store_add(dv__store *s, const dv__config *c, size_t n, uint32_t tag, dv__budget *bud);
uint32_t dv__key_add(dv__machine *m, uint32_t parent, uint32_t last, bool of_set);
/* Whether a set of keys has a text. */
bool dv__key_in(const dv__machine *m, uint32_t set, uint32_t text);
/* Whether it has the text that ends in the bytes p[0..n) behind the text `head`. */
bool dv__key_in_bytes(const dv__machine *m, uint32_t set, uint32_t head, const char *p, size_t n);

/* machine.c */
int dv__machine_make(dv__machine **out, dv_grammar *g, dv_grammar_vocab *v, dv_err *err);
/* The set after a byte; DV__S_DEAD, DV__S_ERROR. literal: only on ways on which the grammar asks for this byte by itself. */
uint32_t dv__machine_step(dv__machine *m, uint32_t set, uint8_t byte, bool literal);
uint32_t dv__machine_next_slow(dv__machine *m, uint32_t set, uint8_t byte);
static inline uint32_t dv__machine_next(dv__machine *m, uint32_t set, uint8_t byte)
{
    const uint32_t *row = DV__AT(m->next, uint32_t *, set);
    const uint32_t to = row != NULL ? row[m->g->class_of[byte]] : DV__S_NEW;
    return DV_LIKELY(to != DV__S_NEW) ? to : dv__machine_next_slow(m, set, byte);
}
/* The set of m->kernel with everything that it implies. end: the text may end for other reasons already. */
uint32_t dv__machine_close(dv__machine *m, bool end);
/* Add to the kernel, once. */
bool dv__machine_put(dv__machine *m, dv__config c);
/* The number of sorted configurations that are a set. */
uint32_t dv__machine_intern(dv__machine *m, const dv__config *c, size_t n, bool end);
/* Add to the kernel what waits for a rule that ends in configuration c; *end: the text may end. */
bool dv__machine_pop(dv__machine *m, const dv__config *c, bool *end);
/* move.c: the same set in another machine of the same grammar. */
uint32_t dv__machine_move(dv__machine *to, const dv__machine *from, uint32_t set);

static inline const dv__item *dv__set(const dv__machine *m, uint32_t s) { return &DV__AT(m->sets.item, dv__item, s); }
static inline const dv__config *dv__set_at(const dv__machine *m, uint32_t s, uint32_t i)
{
    return &DV__AT(m->sets.pool, dv__config, dv__set(m, s)->at + i);
}
static inline uint8_t dv__flags(const dv__machine *m, uint32_t q) { return m->g->state[q].flags; }

/* Local masks are made for this depth of calls, and used up to it: so they never promise room that is not there. */
static inline uint32_t dv__local_depth(const dv__machine *m) { return m->g->limits.max_stack / 2 + 1; }

/* markup.c: whether a token may stand in the free text of a term. */
bool dv__markup_in_text(const dv__machine *m, const dv__term *t, uint32_t token);
/* The set after a markup token that the grammar spells out; DV__S_DEAD, DV__S_ERROR. */
uint32_t dv__markup_token(dv__machine *m, uint32_t set, uint32_t token);
/* Add the markup tokens that the grammar spells out behind a set. */
bool dv__markup_mask(dv__machine *m, uint32_t set, uint32_t *out);

/* local.c: the local mask of a state, computed at first use; NULL after an error. */
const dv__local *dv__machine_local(dv__machine *m, uint32_t q);
/* mask.c: tokens that may follow a set, without those that end; added to out. */
bool dv__machine_mask(dv__machine *m, uint32_t set, uint32_t *out);
/* Adds the tokens below a node, or all if node is DV__NONE, that lead somewhere from a set. */
bool dv__machine_walk(dv__machine *m, uint32_t node, uint32_t set, uint32_t *out);
/* The set after a token; DV__S_DEAD, DV__S_ERROR. */
uint32_t dv__machine_token(dv__machine *m, uint32_t set, uint32_t token);

#endif
