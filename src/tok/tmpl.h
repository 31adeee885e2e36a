/* SPDX-License-Identifier: MIT */
/* Chat templates: an interpreter for the Jinja language as model files use it. A parsed template is immutable and may be
 * rendered by many threads at once; a rendering reads nothing but the context it is given and is bounded in steps, nesting,
 * memory and output. Every output byte is known to be trusted (the template's own text, or a string that the caller vouched
 * for) or not (a conversation's text), so that a tokenizer can refuse to see control tokens in what a user wrote.
 *
 * Two dialects: the default renders as the JavaScript implementation @huggingface/jinja does, the other as Python's jinja2.
 * Where they differ is listed in docs/templates.md. */
#ifndef DV_TOK_TMPL_H
#define DV_TOK_TMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- values -------------------------------------------------------------------------------------------------------- */

/**
 * A value for a template: none, bool, int, float, string, list or dict. It lives in the arena it was made in and is never
 * changed by a rendering. Makers return NULL when the arena is full; list and dict makers accept a NULL item and then
 * return DV_ENOMEM, so a whole tree can be built with one check at the end.
 */
typedef struct dv_value dv_value;
struct json_t; /* jansson's */

dv_value *dv_value_none(dv_arena *a);
dv_value *dv_value_bool(dv_arena *a, bool b);
dv_value *dv_value_int(dv_arena *a, int64_t i);
dv_value *dv_value_float(dv_arena *a, double f);
/** A copy of n bytes. trusted: its text may become control tokens (bos_token and the like); anything a client sent is not. */
dv_value *dv_value_str(dv_arena *a, const char *s, size_t n, bool trusted);
/** The same without a copy: s must outlive the arena's use. */
dv_value *dv_value_str_ref(dv_arena *a, const char *s, size_t n, bool trusted);
dv_value *dv_value_list(dv_arena *a);
dv_value *dv_value_dict(dv_arena *a);
/** Append item (by value: later changes of item do not show). DV_EINVAL if list is no list. */
int dv_value_push(dv_arena *a, dv_value *list, const dv_value *item);
/** Set a key; an existing key keeps its place. Key order is kept. DV_EINVAL if dict is no dict. */
int dv_value_set(dv_arena *a, dv_value *dict, const char *key, size_t key_len, const dv_value *item);
/** Item of a dict, borrowed; NULL if absent or dict is no dict. */
const dv_value *dv_value_get(const dv_value *dict, const char *key);
/** Set every key of `from` in dict. DV_EINVAL if either is no dict. */
int dv_value_merge(dv_arena *a, dv_value *dict, const dv_value *from);
/**
 * A copy of a list of messages in which the "role" of a message is trusted if known says so, and untrusted if not. Items
 * that are no dicts stay; everything else is shared. NULL when out of memory.
 */
dv_value *dv_value_trust_roles(dv_arena *a, const dv_value *messages, bool (*known)(const char *s, size_t n));
/** True for NULL too. */
bool dv_value_is_none(const dv_value *v);
bool dv_value_is_list(const dv_value *v);
/** Items of a list or entries of a dict; 0 for anything else. */
size_t dv_value_len(const dv_value *v);

enum {
    DV_VALUE_MAX_DEPTH = 64,     /**< default nesting of JSON input */
    DV_VALUE_MAX_JSON = 64 << 20 /**< default bytes of JSON input */
};

/**
 * Parse JSON text: integers stay integers, key order is kept, every string is untrusted.
 * @param max_len, max_depth  0: the defaults above
 * Errors: DV_EFORMAT (with line and column), DV_ELIMIT, DV_ENOMEM.
 */
int dv_value_from_json(dv_value **out, dv_arena *a, const char *json, size_t len, size_t max_len, unsigned max_depth,
                       dv_err *err);

/** The same from a tree that jansson has read; every string is untrusted. max_depth 0: the default. */
int dv_value_from_tree(dv_value **out, dv_arena *a, struct json_t *tree, unsigned max_depth, dv_err *err);

/* ---- templates ----------------------------------------------------------------------------------------------------- */

typedef struct dv_tmpl dv_tmpl;

/** Limits of parsing; 0 in a field: the default. */
typedef struct dv_tmpl_limits {
    size_t max_source;  /**< bytes of template text; default DV_TMPL_MAX_SOURCE */
    size_t max_memory;  /**< bytes of syntax tree; default DV_TMPL_MAX_TREE */
    unsigned max_depth; /**< nesting of blocks and expressions; default DV_TMPL_MAX_NESTING */
} dv_tmpl_limits;

enum {
    DV_TMPL_MAX_SOURCE = 1 << 20,
    DV_TMPL_MAX_TREE = 128 << 20,
    DV_TMPL_MAX_NESTING = 200,
    DV_TMPL_MAX_STEPS = 20 * 1000 * 1000,
    DV_TMPL_MAX_OUTPUT = 64 << 20,
    DV_TMPL_MAX_MEMORY = 512 << 20,
    DV_TMPL_MAX_CALL_DEPTH = 800,
    DV_TMPL_MAX_RANGE = 100000 /**< items of range(); not an option, jinja2's sandbox has the same */
};

typedef enum dv_tmpl_dialect {
    DV_TMPL_HF,     /**< as @huggingface/jinja renders */
    DV_TMPL_PYTHON, /**< as Python's jinja2 renders */
    DV_TMPL_DIALECT_N
} dv_tmpl_dialect;

/** Options of a rendering; 0 in a limit: the default. */
typedef struct dv_tmpl_opts {
    uint64_t max_steps; /**< evaluated nodes plus bytes moved / 64; default DV_TMPL_MAX_STEPS */
    size_t max_output;  /**< bytes of output, and of any one string; default DV_TMPL_MAX_OUTPUT */
    size_t max_memory;  /**< bytes of values; default DV_TMPL_MAX_MEMORY */
    unsigned max_depth; /**< nesting of evaluation (calls, loops, expressions); default DV_TMPL_MAX_CALL_DEPTH */
    dv_tmpl_dialect dialect;
    int64_t now; /**< for strftime_now: seconds since 1970, already moved to the time zone to show */
} dv_tmpl_opts;

/** A run of output bytes with one origin; runs are in order, adjacent and cover the output. */
typedef struct dv_span {
    size_t offset, len;
    bool trusted; /**< control tokens may be parsed in it */
} dv_span;

typedef struct dv_spans {
    dv_span *at; /**< owned */
    size_t n, cap;
} dv_spans;

/** Free the array; zero-initialise a dv_spans before its first use. */
void dv_spans_fini(dv_spans *s);

/**
 * Parse a template.
 * @param src     len bytes of UTF-8, copied
 * @param limits  NULL: defaults
 * Errors: DV_EFORMAT (with "line:column"), DV_EUNSUPPORTED (include, import, extends, block), DV_ELIMIT, DV_ENOMEM.
 * Threads: the result is immutable.
 */
int dv_tmpl_parse(dv_tmpl **out, const char *src, size_t len, const dv_tmpl_limits *limits, dv_err *err);
/** Accepts NULL and nulls the pointer. */
void dv_tmpl_free(dv_tmpl **t);

/**
 * Render t.
 * @param context  a dict whose keys are the template's variables; NULL: none
 * @param opts     NULL: defaults
 * @param out      output is appended; its own limit holds too; on failure it may hold nothing new
 * @param spans    NULL, or replaced: offsets count from the start of this rendering's output
 * Errors: DV_ETEMPLATE (raise_exception, with its message), DV_EINVAL (a type error, an unknown filter, ...: with "line:column"),
 * DV_EUNSUPPORTED, DV_ELIMIT (steps, depth, output, memory), DV_ENOMEM.
 */
int dv_tmpl_render(const dv_tmpl *t, const dv_value *context, const dv_tmpl_opts *opts, dv_buf *out, dv_spans *spans,
                   dv_err *err);

#endif
