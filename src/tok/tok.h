/* SPDX-License-Identifier: MIT */
/* Text to token ids and back, with the vocabulary of a GGUF file. Two kinds of tokenizer: `gpt2` (byte-level BPE behind
 * a pre-tokenizer of regular expressions) and `llama` (SentencePiece-style: merges by score, byte fallback, space
 * prefix).
 *
 * Safety: text that is not marked as trusted can never become a control token, whatever the vocabulary says: control
 * and unknown tokens are matched only in trusted bytes and are never the result of merging ordinary text. Tokens that a
 * file calls "user defined" are matched everywhere (models are trained that way: runs of spaces, HTML tags), except
 * those that are chat markup by their look ("<|...|>", "<tool_call>"): these count as control tokens here.
 *
 * Every call is linear or n log n in the length of the text, whatever the text. Invalid UTF-8 is kept byte for byte. */
#ifndef DV_TOK_TOK_H
#define DV_TOK_TOK_H

#include "base/buf.h"
#include "base/mem.h"
#include "drover/error.h"
#include "gguf/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DV_TOK_MAX_VOCAB = 1 << 22, /**< tokens of a vocabulary */
    DV_TOK_MAX_SPECIAL = 256,   /**< bytes of a token that is matched as a whole */
    DV_TOK_MAX_TEXT = 1 << 28,  /**< bytes of one text */
    DV_TOK_MAX_WORD =
        1 << 22 /**< bytes of it without a place that no token reaches across: merging takes 50 times as much */
};

/** The vocabulary and its rules. Immutable after dv_tok_open: any number of threads may use it at once. */
typedef struct dv_tok dv_tok;

/** What a token is; the values of tokenizer.ggml.token_type. */
typedef enum dv_tok_type {
    DV_TOK_NORMAL = 1,
    DV_TOK_UNKNOWN = 2,
    DV_TOK_CONTROL = 3,
    DV_TOK_USER = 4, /**< matched as a whole before everything else */
    DV_TOK_UNUSED = 5,
    DV_TOK_BYTE = 6 /**< "<0xNN>" of a `llama` vocabulary */
} dv_tok_type;

/** Tokens with a role. */
typedef enum dv_tok_role {
    DV_TOK_BOS, /**< begin of a text */
    DV_TOK_EOS, /**< end of a text */
    DV_TOK_EOT, /**< end of a turn */
    DV_TOK_EOM, /**< end of a message that expects a tool's answer */
    DV_TOK_UNK,
    DV_TOK_SEP,
    DV_TOK_PAD,
    DV_TOK_MASK,
    DV_TOK_FIM_PRE, /**< fill in the middle: prefix, suffix, middle, padding, repository, file separator */
    DV_TOK_FIM_SUF,
    DV_TOK_FIM_MID,
    DV_TOK_FIM_PAD,
    DV_TOK_FIM_REP,
    DV_TOK_FIM_SEP,
    DV_TOK_ROLE_N
} dv_tok_role;

/** A growable list of token ids. Zero-initialise; dv_ids_fini frees. */
typedef struct dv_ids {
    int32_t *id; /**< owned; [len] */
    size_t len;
    size_t cap;
    size_t max; /**< no more than these; 0: any number */
} dv_ids;

void dv_ids_fini(dv_ids *ids);
/** Append n ids; 0, DV_ENOMEM or DV_ECONTEXT (more than max); ids are then unchanged. */
int dv_ids_add(dv_ids *ids, const int32_t *id, size_t n);

/**
 * Read the tokenizer of an open file (tensors are not needed).
 * @param g    borrowed: must stay open until dv_tok_close
 * @param err  names the key, and the index for an array
 * @return     0; DV_EUNSUPPORTED for a tokenizer.ggml.model or .pre that is not known (the message lists the known
 *             ones); DV_EFORMAT for a key that is missing, of the wrong type or length, or holds an impossible value;
 *             DV_ELIMIT; DV_ENOMEM
 */
int dv_tok_open(dv_tok **out, const dv_gguf *g, dv_err *err);
void dv_tok_close(dv_tok **t);

/** What dv_tok_open had to assume or ignore, for a log line ("tokenizer.ggml.pre is missing: ..."); "" if nothing. */
const char *dv_tok_note(const dv_tok *t);
/** "gpt2" or "llama". */
const char *dv_tok_model(const dv_tok *t);
/** Name of the pre-tokenizer in use, as the file spells it; "" for `llama`. */
const char *dv_tok_pre(const dv_tok *t);

/* Flags of encoding. */
enum {
    DV_TOK_BOS_EOS = 1u << 0, /**< put BOS in front and EOS behind where the model wants them */
    DV_TOK_SPECIAL = 1u << 1  /**< the text is trusted: control tokens written in it are parsed */
};

/**
 * Append the tokens of a text.
 * @param text   any bytes, NUL included; may be NULL if len is 0
 * @param out    appended to; on failure as before the call
 * @return       0; DV_ELIMIT (longer than DV_TOK_MAX_TEXT, or one word longer than DV_TOK_MAX_WORD); DV_ECONTEXT (more tokens than
 *               out->max); DV_ENOMEM
 * A byte that a vocabulary cannot express becomes its unknown token, or nothing if there is none; complete byte-level
 * vocabularies express every byte and give the text back exactly.
 */
int dv_tok_encode(const dv_tok *t, const char *text, size_t len, unsigned flags, dv_ids *out, dv_err *err);

/** A stretch of a text; trusted (from a template) or not (from a user). */
typedef struct dv_tok_part {
    const char *p;
    size_t n;
    bool trusted;
} dv_tok_part;

/**
 * As dv_tok_encode, for the concatenation of parts: merging sees one text, but a control token is recognised only where
 * all its bytes are trusted. flags: DV_TOK_BOS_EOS; DV_TOK_SPECIAL makes every part trusted.
 */
int dv_tok_encode_parts(const dv_tok *t, const dv_tok_part *parts, size_t n_parts, unsigned flags, dv_ids *out,
                        dv_err *err);

size_t dv_tok_n_vocab(const dv_tok *t);
/** Id of a role, -1 if the vocabulary has none. */
int32_t dv_tok_role_id(const dv_tok *t, dv_tok_role role);
/** Whether DV_TOK_BOS_EOS adds BOS or EOS. */
bool dv_tok_adds_bos(const dv_tok *t);
bool dv_tok_adds_eos(const dv_tok *t);
/** Type of a token after corrections (a well-known end token is a control token whatever the file says); 0 for an id
 * that is none. */
dv_tok_type dv_tok_type_of(const dv_tok *t, int32_t id);
/** Control or unknown: what decoding leaves out. */
bool dv_tok_is_control(const dv_tok *t, int32_t id);
/** Whether a token is text to decoding and yet markup of chat templates, such as a user-defined "<tool_call>" or "<|channel|>". */
bool dv_tok_is_markup(const dv_tok *t, int32_t id);
/** Whether generation ends with this token: EOS, EOT, EOM and the well-known end tokens. */
bool dv_tok_is_eog(const dv_tok *t, int32_t id);
/** All of these, [*n] ascending; a few. Borrowed. */
const int32_t *dv_tok_eog(const dv_tok *t, size_t *n);
/** Id of the token that the file spells like this (byte-level spelling, U+2581 for a space); -1 if there is none. */
int32_t dv_tok_find(const dv_tok *t, const char *text, size_t n);
/** The spelling in the file. Empty for an id that is none. Borrowed. */
dv_str dv_tok_text(const dv_tok *t, int32_t id);

/**
 * Bytes of a token: byte-level spelling undone, U+2581 as a space, "<0xNN>" as its byte; the text of a control token as
 * it is. A token may be a part of a character. Empty for an id that is none. Borrowed from t.
 */
dv_str dv_tok_piece(const dv_tok *t, int32_t id);

/* Flags of decoding. */
enum {
    DV_DETOK_CONTROL = 1u << 0, /**< write control tokens as text; otherwise they are left out */
    DV_DETOK_START = 1u << 1    /**< a text starts here: take back the space that encoding puts in front of one */
};

/** A stream of tokens becoming text; lives in the caller's memory. Nothing in it allocates but the growth of the
 * output. */
typedef struct dv_detok {
    const dv_tok *t;
    unsigned flags;
    bool strip; /**< the next space is the one that encoding added */
    uint8_t n_held;
    char held[4]; /**< bytes of a character whose rest has not come yet */
} dv_detok;

void dv_detok_init(dv_detok *d, const dv_tok *t, unsigned flags);
/**
 * Append the text of the next token. Only whole characters are written and the output is always valid UTF-8: bytes that
 * cannot become a character are written as U+FFFD.
 * @return  0 or the sticky code of out
 */
int dv_detok_push(dv_detok *d, int32_t id, dv_buf *out);
/** End of the stream: an unfinished character is written as U+FFFD. d is as after dv_detok_init. */
int dv_detok_flush(dv_detok *d, dv_buf *out);
/** Append the text of n tokens, as a stream and its flush. */
int dv_tok_decode(const dv_tok *t, const int32_t *id, size_t n, unsigned flags, dv_buf *out);

#endif
