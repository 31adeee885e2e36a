/* SPDX-License-Identifier: MIT */
/* JSON Schema (draft 2020-12, and 7 as clients send it) to expressions. A schema is first put into a normal form, with $ref and allOf
 * merged into it; then its alternatives and types are compiled. What cannot be enforced is an error that names the keyword. */
#ifndef DV_GRAMMAR_SCHEMA_H
#define DV_GRAMMAR_SCHEMA_H

#include "grammar/json.h"

enum { DV__SCHEMA_MAX_MERGE = 40, DV__SCHEMA_MAX_BRANCH = 256 };

typedef struct dv__schema {
    dv_grammar_builder *b;
    const json_t *root;
    dv_grammar_space space;
    json_t *rules; /* text of a reference, or of a merged schema, to its rule */
    dv_buf path;   /* "#/properties/x" */
    uint32_t depth;
    uint64_t n_merge; /* work of merging */
} dv__schema;

/* Types as bits; a number is DV__T_NUMBER | DV__T_INTEGER. */
enum {
    DV__T_NULL = 1u << 0,
    DV__T_BOOLEAN = 1u << 1,
    DV__T_INTEGER = 1u << 2,
    DV__T_NUMBER = 1u << 3, /* and not an integer */
    DV__T_STRING = 1u << 4,
    DV__T_ARRAY = 1u << 5,
    DV__T_OBJECT = 1u << 6,
    DV__T_ALL = 127u
};

/* schema.c: the values of a schema. */
dv_gx dv__schema_compile(dv__schema *s, const json_t *schema);
/* The same as a reference to a rule. */
dv_gx dv__schema_rule(dv__schema *s, const json_t *schema);
/* Fails with "schema keyword 'KEY' at PATH: what". */
dv_gx dv__schema_refuse(dv__schema *s, const char *key, const char *what);
/* Goes down into a member for messages; returns the length to go back to. */
size_t dv__schema_enter(dv__schema *s, const char *segment, size_t index);
void dv__schema_leave(dv__schema *s, size_t len);
/* A non-negative integer member: false after an error; *out stays if there is none. */
bool dv__schema_uint(dv__schema *s, const json_t *schema, const char *key, uint32_t *out);
/* Bounds of numbers; lo and hi point into store, or are NULL. */
bool dv__schema_bounds(dv__schema *s, const json_t *schema, dv__bound store[2], const dv__bound **lo,
                       const dv__bound **hi);

/* schema_merge.c: a new object with $ref and allOf resolved; NULL after an error. */
json_t *dv__schema_normal(dv__schema *s, const json_t *schema);
/* base without some keywords, and a branch. */
json_t *dv__schema_branch(dv__schema *s, const json_t *base, const char *without, const json_t *branch);
/* The schema that a reference names; NULL after an error. */
const json_t *dv__schema_find(dv__schema *s, const char *ref);
/* What a keyword is: 'a' annotation, 'k' known, 'r' known and refused, 0 unknown. */
char dv__schema_keyword(const char *key);

/* schema_string.c, schema_object.c, schema_disjoint.c */
dv_gx dv__schema_string(dv__schema *s, const json_t *schema);
/* What is between the quotes of such a string, with the shortest escapes. */
dv_gx dv__schema_content(dv__schema *s, const json_t *schema);
dv_gx dv__schema_object(dv__schema *s, const json_t *schema);
dv_gx dv__schema_array(dv__schema *s, const json_t *schema);
/* Type bits of a normal schema; 0 after an error, or if there is none. */
unsigned dv__schema_types(dv__schema *s, const json_t *schema);
unsigned dv__schema_type_of(const json_t *v);
/* Whether a value passes the keywords for its type: 1 yes, 0 no, -1 an error (a keyword that is not checked here). */
int dv__schema_passes(dv__schema *s, const json_t *schema, const json_t *v);
/* Whether no value is valid under both: known to be so. */
bool dv__schema_disjoint(dv__schema *s, const json_t *x, const json_t *y, int depth);

#endif
