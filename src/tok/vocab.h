/* SPDX-License-Identifier: MIT */
/* The inside of a dv_tok, shared by the files of this folder. */
#ifndef DV_TOK_VOCAB_H
#define DV_TOK_VOCAB_H

#include "tok/tok.h"

enum { DV__TOK_MAX_TEXT_LEN = 65535 }; /* bytes of the spelling of a token or merge */

/* Flags of a token beside its type. */
enum {
    DV__TOK_EOG = 1u << 0,
    DV__TOK_GUARDED = 1u << 1, /* never made from untrusted text */
    DV__TOK_RSTRIP = 1u << 2,  /* swallows white space behind it */
    DV__TOK_WHOLE = 1u << 3    /* matched as a whole, before any merging */
};

typedef struct dv__merge {
    int32_t left, right; /* symbols; left -1: free slot */
    uint32_t rank;
    int32_t out;
} dv__merge;

typedef struct dv__pre dv__pre;

/* Symbols are the tokens, 0..n_vocab-1, and behind them the spellings that only merges know: intermediate results that
 * are no tokens themselves. */
struct dv_tok {
    const dv_gguf *g;
    bool spm;
    bool adds_bos, adds_eos;
    bool space_prefix;  /* spm: a space in front of a text */
    bool ignore_merges; /* bpe: a whole pre-token that is a token is taken as it is */
    uint32_t n_vocab;
    uint32_t n_sym, sym_cap;
    dv_str *sym;   /* [n_sym] spelling; borrowed from g or from extra */
    uint8_t *type; /* [n_vocab] dv_tok_type */
    uint8_t *flag; /* [n_vocab] */
    float *score;  /* [n_vocab], spm */
    int32_t role[DV_TOK_ROLE_N];
    int32_t *eog; /* [n_eog] tokens with that flag, ascending */
    size_t n_eog;

    /* Spelling to symbol: open addressing, a slot holds symbol + 1 and the upper half of the hash. */
    struct dv__slot {
        uint32_t tag, sym1;
    } * slot;
    size_t slot_mask; /* of a table that is at most half full */
    uint64_t *power;  /* [max_len + 1] powers of the hash base, for hashes of substrings */
    size_t max_len;   /* longest spelling that text can become */
    uint8_t *joins;   /* [256][32] spm: bit (a, b): in some token, a character ends in a and the next begins with b */
    char *extra;      /* spellings of symbols made by joining, bpe */

    int32_t byte_sym[256]; /* bpe: symbol of a byte; spm: its token, -1 if there is none */
    dv__merge *merge;
    size_t merge_mask;

    uint32_t *whole;        /* tokens matched as a whole, in the order of their bytes */
    uint32_t whole_at[257]; /* the ones that begin with byte b: whole_at[b]..whole_at[b + 1] */

    char *piece;        /* decoded bytes of all tokens */
    uint32_t *piece_at; /* [n_vocab + 1] */

    char *pre_name; /* NULL: none */
    dv__pre *pre;
    char note[256];
};

/* Hash of a spelling: polynomial modulo 2^64, so that two prefix hashes give that of any stretch. */
#define DV__HASH_BASE UINT64_C(0x9e3779b97f4a7c55)
static inline uint64_t dv__hash_step(uint64_t h, char c) { return h * DV__HASH_BASE + (unsigned char)c + 1; }
uint64_t dv__hash(const char *p, size_t n);
/* Where a spelling is looked for: upper half the tag, lower bits the slot. The polynomial is weak in its low bits; a
 * multiplication and shifts spread it. */
static inline uint64_t dv__hash_mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}
/* Symbol with this spelling and hash, -1 if there is none. */
int32_t dv__sym_find(const dv_tok *t, const char *p, size_t n, uint64_t hash);
/* Add a symbol; its number, or -1 when out of memory. s stays borrowed. */
int32_t dv__sym_add(dv_tok *t, dv_str s);

/* Add a sentence to the note; what does not fit is dropped. */
void dv__tok_note(dv_tok *t, const char *fmt, ...) DV_PRINTF(2, 3);

/* roles.c: types corrected by well-known names, roles, end-of-generation and guarded tokens. */
int dv__roles_load(dv_tok *t, dv_err *err);
/* whole.c: the list of tokens matched as a whole. */
int dv__whole_load(dv_tok *t, dv_err *err);
/* The longest whole token at s[0..n), -1 if there is none; guarded ones must fit into the first n_trusted bytes. */
int32_t dv__whole_match(const dv_tok *t, const char *s, size_t n, size_t n_trusted);
/* bpe.c */
int dv__bpe_load(dv_tok *t, dv_err *err);
/* spm.c: which neighbours can become one token at all. */
int dv__spm_load(dv_tok *t, dv_err *err);
/* piece.c: decoded bytes of every token. */
int dv__pieces_load(dv_tok *t, dv_err *err);
/* The byte that a character of a byte-level spelling stands for, -1 if it stands for none; and back. */
int dv__byte_of_cp(uint32_t cp);
uint32_t dv__cp_of_byte(unsigned char b);
/* Value of a spelling of the form <0xNN>, -1 for any other. */
int dv__byte_token(dv_str text);

#endif
