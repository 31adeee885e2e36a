/* SPDX-License-Identifier: MIT */
/* What a request may say: one table of fields for each body and each set of query parameters. The same tables check requests, say what is wrong
 * with them, and become the schemas of the OpenAPI document. They say what is well formed; what a model or a backend cannot do is for it to refuse. */
#ifndef DV_SERVE_SCHEMA_H
#define DV_SERVE_SCHEMA_H

#include "drover/error.h"
#include "http/server.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct dv__schema dv__schema;
typedef struct dv__field dv__field;

/* Types of a value; a field may have several. */
enum {
    DV__T_BOOL = 1u << 0,
    DV__T_INT = 1u << 1, /**< a whole number, also written 1.0 */
    DV__T_NUM = 1u << 2,
    DV__T_STR = 1u << 3,
    DV__T_ARR = 1u << 4, /**< elements are `item` */
    DV__T_OBJ = 1u << 5, /**< fields are `of`; NULL: any object (a JSON Schema, metadata) */
    DV__T_ANY = (1u << 6) - 1
};

/* Flags of a field. */
enum {
    DV__F_REQUIRED = 1u << 0,
    DV__F_TEXT =
        1u
        << 1, /**< a text for a model: dv__text_check with the rules for prompts; else a string is an identifier, with stricter ones */
    DV__F_SECRET = 1u << 2, /**< a password: not checked for characters, never shown */
    DV__F_NULL =
        1u << 3, /**< null says something of its own; elsewhere it is the same as absent, for a required field too */
};

struct dv__field {
    const char *name; /**< "*": any name that is not listed (the values of a map) */
    unsigned types, flags;
    double min, max; /**< of numbers; both 0: not checked */
    /** Bytes of a string, elements of an array, members of an object. If the field may be one of these two, they are not a string's: that is then what the
     * array's elements may be, or as long as any. max 0: the server's own limits. */
    unsigned long long min_len, max_len;
    const char *words; /**< of a string: "auto|none|required"; NULL: any */
    const dv__schema *of;
    const dv__field *item; /**< of an array; NULL: anything */
    const char *help;      /**< for people who read the OpenAPI document; NULL: none */
};

struct dv__schema {
    const char *name;        /**< in the document: "ChatCompletionRequest" */
    const dv__field *fields; /**< [n] */
    size_t n;
    const dv__schema *base; /**< further fields; NULL: none */
    const char *help;
};

/** What becomes of texts. */
typedef struct dv__text_rules {
    bool repair;     /**< replace what must not be in a text by U+FFFD; else refuse it */
    size_t max_text; /**< bytes of a text for a model */
} dv__text_rules;

/** Where a check stopped. */
typedef struct dv__check {
    char param[96]; /**< "messages[2].content"; "" for the body itself */
    bool repaired;  /**< some text was changed, so the body must be written anew */
    bool has_text;
    size_t text_bytes; /**< of all texts for a model, for estimates */
} dv__check;

/**
 * Check a body against its table. Depth and size were bounded when it was parsed; takes linear time. Texts are repaired in place if the rules say so.
 * Errors: DV_EINVAL (a sentence that names the field), DV_ELIMIT, DV_ENOMEM.
 */
int dv__schema_check(const dv__schema *s, json_t *body, const dv__text_rules *rules, dv__check *out, dv_err *err);
/** Check the parameters of a query against a table of fields, whose values are read as their types ("true", "12"). NULL: there may be none.
 *  Errors: DV_EINVAL. */
int dv__schema_check_query(const dv__schema *s, const dv_http_req *req, dv__check *out, dv_err *err);

/**
 * The one function that says what a text may be (sanitize_text). UTF-8 as RFC 3629; not NUL, not C0 controls but tab, line feed and carriage return, not
 * DEL and C1 controls, not the controls that change the direction of text or hide it (U+202A..202E, U+2066..2069, U+FFF9..FFFB, tags U+E0000..E007F).
 * Identifiers may have no control characters at all, nothing that dv_utf8_printable refuses.
 * @return 0; DV_EFORMAT, with *at the offset of the first byte that is wrong and *what a static sentence; DV_ELIMIT (longer than max)
 */
int dv__text_check(const char *s, size_t n, size_t max, bool identifier, size_t *at, const char **what);
/** Append s with U+FFFD for each thing that dv__text_check refuses in a prompt. Returns b->code. */
int dv__text_repair(dv_buf *b, const char *s, size_t n);
/** Append s with U+FFFD for what is no UTF-8, one for each maximal subpart (Unicode 3.9), and nothing else changed: for JSON that is not parsed yet.
 *  Returns b->code. */
int dv__text_repair_utf8(dv_buf *b, const char *s, size_t n);
/** Append s for HTML, in text and in quoted attributes: & < > " ' escaped, and replaced what dv__text_check refuses in a prompt. Returns b->code. */
int dv__text_html(dv_buf *b, const char *s, size_t n);

/* The tables, one file for each family of routes. */
extern const dv__schema dv__schema_chat, dv__schema_completions, dv__schema_embeddings, dv__schema_responses,
    dv__schema_response_tokens, dv__schema_messages, dv__schema_count_tokens, dv__schema_completion, dv__schema_infill,
    dv__schema_native_embeddings, dv__schema_rerank, dv__schema_tokenize, dv__schema_detokenize,
    dv__schema_apply_template, dv__schema_slot_action, dv__schema_slot_query, dv__schema_slots_query,
    dv__schema_model_query;

#endif
