/* SPDX-License-Identifier: MIT */
/* Expressions: what GBNF, regular expressions, schemas and the builder's callers make, and what is compiled. They are numbered parts
 * of a builder, never changed once made. Every function returns -1 after an error, which stays in b->err. */
#ifndef DV_GRAMMAR_EXPR_H
#define DV_GRAMMAR_EXPR_H

#include "grammar/grammar.h"
#include "grammar/vec.h"

typedef enum dv__expr_kind {
    DV__X_EMPTY,
    DV__X_FAIL,   /* matches nothing */
    DV__X_LIT,    /* bytes */
    DV__X_CLASS,  /* one character of some ranges, in UTF-8 */
    DV__X_SEQ,    /* kids */
    DV__X_ALT,    /* kids */
    DV__X_REPEAT, /* kid at, min..max times */
    DV__X_REF,    /* rule at */
    DV__X_TERM,   /* token at */
    DV__X_TEXT,   /* triggers; min: the term of markup in it. See text.c */
    DV__X_AND,    /* two kids without references: in both */
    DV__X_MINUS,  /* two kids without references: in the first only */
    DV__X_MARK    /* nothing, but marks what is behind or before it: flag is a DV__MARK_ */
} dv__expr_kind;

/* Counted rules: the machine counts items instead of having a copy of the states per item. */
enum {
    DV__MARK_MORE = 1u << 0,  /* what follows needs room for another item */
    DV__MARK_EXIT = 1u << 1,  /* what follows needs enough items */
    DV__MARK_COUNT = 1u << 2, /* what went before was an item */
    DV__MARK_ALL = 7u
};

enum { DV__MAX_EXPR_DEPTH = 800, DV__INF = 0x7fffffff };

typedef struct dv__expr {
    uint8_t kind, flag;
    uint16_t depth;
    uint32_t at, n; /* stretch of the kids, bytes or ranges; or as above */
    uint32_t min, max;
} dv__expr;

typedef struct dv__range {
    uint32_t lo, hi;
} dv__range;

typedef enum dv__rule_kind {
    DV__RULE_PLAIN,
    DV__RULE_COUNTED, /* starts with need = min and room = max */
    DV__RULE_KEY      /* its text is remembered, and must differ from the others of the object that calls it */
} dv__rule_kind;

typedef struct dv__rule_src {
    dv_gx body; /* -1: not defined yet */
    uint8_t kind;
    uint32_t name_at, name_n;
    int32_t same_as; /* -1, or a rule whose automaton this one shares */
    uint32_t min, max;
} dv__rule_src;

/* A token that a grammar names. */
typedef struct dv__term {
    uint32_t text_at, text_n; /* spelling, if id is -1 */
    int32_t id;
    bool negated;  /* any token but this one */
    bool optional; /* there is another way if the vocabulary has no such token */
    bool markup;   /* any markup token that has none of these texts in it, with a NUL behind each */
} dv__term;

typedef struct dv__trigger_src {
    uint32_t text_at, text_n;
    int32_t term; /* -1: none */
    dv_gx then;
} dv__trigger_src;

struct dv_grammar_builder {
    dv_grammar_limits limits;
    dv_err err;
    dv__budget bud;
    size_t source; /* bytes of texts so far */
    dv__vec expr, kid, byte, range, rule, term, trigger;
    dv_gx json_any[3], json_object[3], json_string, json_int, json_num; /* -1: not made yet */
};

/* Defaults filled in. */
dv_grammar_limits dv__limits(const dv_grammar_limits *l);
/* Whether b has failed. */
static inline bool dv__failed(const dv_grammar_builder *b) { return b->err.code != 0; }
/* Counts a source text; false when there is too much. */
bool dv__source(dv_grammar_builder *b, size_t len);

dv_gx dv__x_empty(dv_grammar_builder *b);
dv_gx dv__x_fail(dv_grammar_builder *b);
/* One character of r[0..n), in any order; sorted and merged in place. Surrogates are left out. */
dv_gx dv__x_class(dv_grammar_builder *b, dv__range *r, size_t n, bool negated);
dv_gx dv__x_and(dv_grammar_builder *b, dv_gx x, dv_gx y);
dv_gx dv__x_minus(dv_grammar_builder *b, dv_gx x, dv_gx y);
dv_gx dv__x_mark(dv_grammar_builder *b, unsigned mark);
dv_gx dv__x_ref(dv_grammar_builder *b, int32_t rule);
dv_gx dv__x_term(dv_grammar_builder *b, dv__term t);
static inline dv_gx dv__x_seq2(dv_grammar_builder *b, dv_gx x, dv_gx y) { return dv_gx_seq(b, (dv_gx[]){x, y}, 2); }
static inline dv_gx dv__x_alt2(dv_grammar_builder *b, dv_gx x, dv_gx y) { return dv_gx_alt(b, (dv_gx[]){x, y}, 2); }
static inline dv_gx dv__x_opt(dv_grammar_builder *b, dv_gx x) { return dv_gx_repeat(b, x, 0, 1); }
dv_gx dv__x_str(dv_grammar_builder *b, const char *s);

/* A new rule without a body; -1 after an error. name is copied, may be NULL. */
int32_t dv__rule_new(dv_grammar_builder *b, const char *name, size_t n, dv__rule_kind kind);
void dv__rule_body(dv_grammar_builder *b, int32_t rule, dv_gx body);
/* A rule with a body, and the reference to it. */
dv_gx dv__rule_of(dv_grammar_builder *b, const char *name, dv__rule_kind kind, dv_gx body);
/* The automaton of a counted rule with other bounds; the reference to it. */
dv_gx dv__rule_counted(dv_grammar_builder *b, int32_t rule, uint32_t min, uint32_t max);

/* Sort, merge, and leave out surrogates and what is above U+10FFFF; the new number. */
size_t dv__ranges_normal(dv__range *r, size_t n);
/* What is not in the normal ranges r[0..n), into out[n + 1]; the number. Surrogates are in neither. */
size_t dv__ranges_not(const dv__range *r, size_t n, dv__range *out);

/* product.c: whether some text is in both, or x has any text at all if y is -1. */
bool dv__x_overlap(dv_grammar_builder *b, dv_gx x, dv_gx y, bool *yes);

/* regex.c: the expression of a regular expression, matched anywhere unless it is anchored, or as a whole. json: of the content of a JSON string
 * whose value matches. */
dv_gx dv__regex(dv_grammar_builder *b, const char *text, size_t len, bool whole, bool json);

#endif
