/* SPDX-License-Identifier: MIT */
/* Constrained decoding: which tokens may come next. GBNF, JSON Schema, "any JSON object" and compositions of them (tool
 * calls) compile to one automaton over bytes with a stack. It fails closed: what cannot be enforced is refused when it
 * is compiled, with the name of the keyword or rule.
 *
 *   dv_grammar         a compiled grammar; immutable for its users, shared by any number of requests and threads
 *   dv_grammar_vocab   the tokens of a model as a trie of their bytes; made once per tokenizer
 *   dv_grammar_state   a place in a grammar: one per sequence, two words, cheap to copy
 *
 * docs/constrained.md says what of GBNF and JSON Schema is supported and how it works. */
#ifndef DV_GRAMMAR_GRAMMAR_H
#define DV_GRAMMAR_GRAMMAR_H

#include "base/buf.h"
#include "drover/error.h"
#include "tok/tok.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dv_grammar dv_grammar;
typedef struct dv_grammar_vocab dv_grammar_vocab;
typedef struct dv_grammar_builder dv_grammar_builder;

/** What a grammar may cost. A member that is 0 stands for its default. */
typedef struct dv_grammar_limits {
    size_t max_source;   /**< bytes of a GBNF or schema text; default 1 MiB, as are all texts of one builder together */
    size_t max_memory;   /**< bytes while compiling; default 64 MiB */
    uint32_t max_rules;  /**< default 20,000 */
    uint32_t max_nodes;  /**< parts of expressions, repetitions written out; default 2,000,000 */
    uint32_t max_states; /**< states of all rules; default 250,000 */
    uint32_t max_depth;  /**< nesting of the text's parentheses or schemas, default 100 */
    uint32_t max_stack;  /**< nesting of what is generated: calls of rules that wait for their end; default 512 */
    size_t max_cache;    /**< bytes of masks and lazily made states, per grammar; default 64 MiB */
} dv_grammar_limits;

/** White space that a schema's JSON may have between its tokens. */
typedef enum dv_grammar_space {
    DV_GRAMMAR_SPACE_FREE,    /**< nothing, one blank, or a line end and up to 20 blanks or tabs */
    DV_GRAMMAR_SPACE_ONE,     /**< nothing or one blank, behind ':' and ',' only */
    DV_GRAMMAR_SPACE_COMPACT, /**< nothing */
} dv_grammar_space;

typedef struct dv_grammar_schema_options {
    dv_grammar_space space;
} dv_grammar_schema_options;

/**
 * Compile a grammar in GBNF; its start is the rule `root`.
 * @param text    borrowed for the call
 * @param limits  NULL: the defaults
 * @return  0; DV_EFORMAT with line and column of what is malformed; DV_EINVAL with the rule's name if a rule is not defined, is
 *          left-recursive or never ends; DV_ELIMIT; DV_ENOMEM. *out is then NULL.
 */
int dv_grammar_from_gbnf(dv_grammar **out, const char *text, size_t len, const dv_grammar_limits *limits, dv_err *err);

/**
 * Compile a JSON Schema: JSON texts that are valid under it.
 * @param schema   borrowed for the call: an object or a boolean
 * @param options  NULL: the defaults
 * @return  0; DV_EINVAL "schema keyword 'x' at #/path ..." for a keyword that is malformed, cannot be enforced, or for a schema
 *          that no value satisfies; DV_ELIMIT; DV_ENOMEM
 */
int dv_grammar_from_schema(dv_grammar **out, const json_t *schema, const dv_grammar_schema_options *options,
                           const dv_grammar_limits *limits, dv_err *err);

/** Any JSON object; as dv_grammar_from_schema. */
int dv_grammar_json_object(dv_grammar **out, const dv_grammar_schema_options *options, const dv_grammar_limits *limits,
                           dv_err *err);

dv_grammar *dv_grammar_ref(dv_grammar *g);
/** Drops the reference and sets *g to NULL; *g may be NULL. Any thread. */
void dv_grammar_unref(dv_grammar **g);
/** Bytes of the automaton and its caches now. */
size_t dv_grammar_bytes(dv_grammar *g);

/* ---- Compositions ----
 * A builder makes expressions, numbered, and a grammar of one of them. Its errors stick: after the first, every call returns -1
 * and dv_grammar_build reports it. An expression may be used several times. One thread. */

typedef int32_t dv_gx; /**< an expression of a builder; -1 after an error */

#define DV_GRAMMAR_UNBOUNDED UINT32_MAX

int dv_grammar_builder_open(dv_grammar_builder **out, const dv_grammar_limits *limits, dv_err *err);
void dv_grammar_builder_close(dv_grammar_builder **b);
/** Compile; the builder can be used further or closed. Errors as dv_grammar_from_gbnf. */
int dv_grammar_build(dv_grammar **out, dv_grammar_builder *b, dv_gx root, dv_err *err);

/** These bytes, however tokens cut them. */
dv_gx dv_gx_literal(dv_grammar_builder *b, const char *text, size_t n);
/** The control or markup token that the vocabulary spells like this, or else (also if there is no such token) the text itself. For
 * markup such as "<tool_call>". */
dv_gx dv_gx_special(dv_grammar_builder *b, const char *text, size_t n);
dv_gx dv_gx_seq(dv_grammar_builder *b, const dv_gx *x, size_t n);
dv_gx dv_gx_alt(dv_grammar_builder *b, const dv_gx *x, size_t n);
/** max may be DV_GRAMMAR_UNBOUNDED. */
dv_gx dv_gx_repeat(dv_grammar_builder *b, dv_gx x, uint32_t min, uint32_t max);
/** The language of a GBNF text; its rules are its own. */
dv_gx dv_gx_gbnf(dv_grammar_builder *b, const char *text, size_t len);
dv_gx dv_gx_schema(dv_grammar_builder *b, const json_t *schema, const dv_grammar_schema_options *options);
dv_gx dv_gx_json_object(dv_grammar_builder *b, const dv_grammar_schema_options *options);
/** A regular expression, matched as a whole; the same subset as a schema's `pattern`. */
dv_gx dv_gx_regex(dv_grammar_builder *b, const char *text, size_t len);

/** What ends a stretch of free text. */
typedef struct dv_grammar_trigger {
    const char *text; /**< not empty */
    size_t n;
    bool special; /**< also the control or markup token of this spelling */
    dv_gx then;   /**< what follows the trigger */
} dv_grammar_trigger;

/**
 * Any bytes and any markup tokens up to the first trigger, the trigger, and what follows it.
 * @param may_end  the text may also end without a trigger
 * With no triggers may_end must be true: this is any text.
 */
dv_gx dv_gx_text(dv_grammar_builder *b, const dv_grammar_trigger *trigger, size_t n, bool may_end);

/* ---- Tokens ---- */

/** One token of a vocabulary. */
typedef struct dv_grammar_token {
    const char *p; /**< its bytes; of a special one its spelling */
    size_t n;
    bool special; /**< produced only where a grammar names it */
    bool
        markup; /**< text that means something to chat templates: produced in free text (dv_gx_text), where a grammar names it, and where
                       every byte of it is spelled out by the grammar; never as one of the characters that a class or a schema's
                       string allows */
    bool end;   /**< ends the generation: allowed where the grammar may end, and nowhere else */
} dv_grammar_token;

/** @param token  [n] borrowed for the call. A token without bytes is never allowed.
 *  @return  0; DV_EINVAL if no token ends the generation; DV_ELIMIT; DV_ENOMEM */
int dv_grammar_vocab_open(dv_grammar_vocab **out, const dv_grammar_token *token, size_t n, dv_err *err);
/** The vocabulary of a tokenizer, which may be closed afterwards. */
int dv_grammar_vocab_from_tok(dv_grammar_vocab **out, const dv_tok *t, dv_err *err);
dv_grammar_vocab *dv_grammar_vocab_ref(dv_grammar_vocab *v);
void dv_grammar_vocab_unref(dv_grammar_vocab **v);
size_t dv_grammar_vocab_n(const dv_grammar_vocab *v);
/** 32-bit words of a mask. */
static inline size_t dv_grammar_mask_words(size_t n_vocab) { return (n_vocab + 31) / 32; }

/* ---- A place in a grammar ----
 * A state belongs to one thread at a time. States of one grammar share its caches under a lock of the grammar. */

typedef struct dv_grammar_state {
    struct dv__machine *m; /**< NULL: no grammar, or finished with */
    uint32_t at;
    bool done; /**< an end token was accepted */
} dv_grammar_state;

/**
 * The start of a grammar; takes references to both.
 * @return  0; DV_EINVAL if the grammar names a token that the vocabulary does not have; DV_ELIMIT; DV_ENOMEM
 */
int dv_grammar_state_init(dv_grammar_state *s, dv_grammar *g, dv_grammar_vocab *v, dv_err *err);
/** s becomes a copy of from, independent of it; s is uninitialised or after fini. Cannot fail. */
void dv_grammar_state_copy(dv_grammar_state *s, const dv_grammar_state *from);
void dv_grammar_state_fini(dv_grammar_state *s);
/**
 * Bit i of out: token i may come next. When the state is done no bit is set.
 * @param out  [dv_grammar_mask_words(n_vocab)]; token i is bit i % 32 of word i / 32
 * @return  0; DV_ELIMIT when the grammar costs more than its limits here; DV_ENOMEM; out is then all zero
 */
int dv_grammar_state_mask(dv_grammar_state *s, uint32_t *out, dv_err *err);
/** Logits of tokens that a mask leaves out become -infinity. @return how many tokens it allows */
size_t dv_grammar_mask_logits(const uint32_t *mask, float *logits, size_t n_vocab);
/** Go on by a token. @return 0; DV_EINVAL if the token is not allowed here (s is unchanged); DV_ELIMIT; DV_ENOMEM */
int dv_grammar_state_accept(dv_grammar_state *s, int32_t token, dv_err *err);
/** Go on by bytes, as if some token had them; all or nothing. Errors as dv_grammar_state_accept. */
int dv_grammar_state_accept_bytes(dv_grammar_state *s, const char *p, size_t n, dv_err *err);
/** Append the bytes that must come next whatever the model says, up to max; appends nothing where there is a choice, where the grammar
 * may end, or where a control token may come. s does not move. */
int dv_grammar_state_forced(dv_grammar_state *s, size_t max, dv_buf *out, dv_err *err);
/** Whether the generation may end here. */
bool dv_grammar_state_can_end(const dv_grammar_state *s);
/** Whether it has ended: an end token was accepted. */
bool dv_grammar_state_is_done(const dv_grammar_state *s);

/* ---- Grammars by their source ---- */

typedef struct dv_grammar_cache dv_grammar_cache;

/** Keeps up to n compiled grammars and about 64 MiB of them, least recently used out first. All calls are thread-safe. */
int dv_grammar_cache_open(dv_grammar_cache **out, size_t n, const dv_grammar_limits *limits, dv_err *err);
void dv_grammar_cache_close(dv_grammar_cache **c);
/** As dv_grammar_from_gbnf; *out is a reference of the caller's own. Failures are not kept. */
int dv_grammar_cache_gbnf(dv_grammar_cache *c, dv_grammar **out, const char *text, size_t len, dv_err *err);
/** As dv_grammar_from_schema; the order of properties is a part of the key. */
int dv_grammar_cache_schema(dv_grammar_cache *c, dv_grammar **out, const json_t *schema,
                            const dv_grammar_schema_options *options, dv_err *err);
/** A grammar that the caller makes with a builder if it is not there: found by a key of any bytes. *out is NULL and 0 is returned when
 * it is not there; then make it and dv_grammar_cache_put it. */
int dv_grammar_cache_get(dv_grammar_cache *c, dv_grammar **out, const char *key, size_t n);
int dv_grammar_cache_put(dv_grammar_cache *c, const char *key, size_t n, dv_grammar *g, dv_err *err);

#endif
