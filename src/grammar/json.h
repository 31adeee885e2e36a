/* SPDX-License-Identifier: MIT */
/* The parts of JSON texts as expressions (RFC 8259). */
#ifndef DV_GRAMMAR_JSON_H
#define DV_GRAMMAR_JSON_H

#include "grammar/expr.h"

/* regex.c: a character of some ranges as a JSON string spells it, raw or with the shortest escape. */
dv_gx dv__x_json_class(dv_grammar_builder *b, dv__range *r, size_t n);

/* json.c: white space inside of brackets, and behind ',' and ':'. */
dv_gx dv__json_space(dv_grammar_builder *b, dv_grammar_space space, bool behind);
/* A string of min..max characters with its quotes; max DV__INF: no bound. */
dv_gx dv__json_string(dv_grammar_builder *b, uint32_t min, uint32_t max);
dv_gx dv__json_integer(dv_grammar_builder *b);
dv_gx dv__json_number(dv_grammar_builder *b);
dv_gx dv__json_value(dv_grammar_builder *b, dv_grammar_space space);
dv_gx dv__json_object(dv_grammar_builder *b, dv_grammar_space space);
/* A text as a JSON string, without quotes. */
dv_gx dv__json_text(dv_grammar_builder *b, const char *s, size_t n);
/* Exactly this value. */
dv_gx dv__json_const(dv_grammar_builder *b, dv_grammar_space space, const json_t *v, uint32_t depth);
/* Any content of a key: no escapes. */
dv_gx dv__json_key_text(dv_grammar_builder *b);

/* A list of pairs or items, with or without brackets around it: first item, then ',' and further ones. The body of a rule of its
 * own if it is counted. item: a reference to a rule if it is counted. */
dv_gx dv__json_list(dv_grammar_builder *b, dv_grammar_space space, const char *open, dv_gx item, const char *close,
                    uint32_t min, uint32_t max);
/* "key" : value with a key rule whose text ends in the quote. */
dv_gx dv__json_pair(dv_grammar_builder *b, dv_grammar_space space, dv_gx key, dv_gx value);

/* number.c: decimal numbers of a range; NULL: no bound on this side. The error of a bound that cannot be used is left to the caller: -1 without
 * an error in b. */
typedef struct dv__bound {
    double v;
    bool exclusive;
} dv__bound;
dv_gx dv__json_range(dv_grammar_builder *b, const dv__bound *lo, const dv__bound *hi);
dv_gx dv__json_int_range(dv_grammar_builder *b, int64_t lo, int64_t hi);
#define DV__INT_MAX INT64_C(999999999999999999) /* 18 digits */

#endif
