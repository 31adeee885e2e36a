/* SPDX-License-Identifier: MIT */
/* Scratch of one call of encode, and the merging that both kinds of tokenizer share. */
#ifndef DV_TOK_WORK_H
#define DV_TOK_WORK_H

#include "tok/vocab.h"

/* A stretch of the text that is one symbol at present; a doubly linked list, since merging joins neighbours. */
typedef struct dv__sym {
    uint32_t at, len; /* len 0: merged into its left neighbour */
    int32_t id;       /* symbol, -1 if the stretch is none */
    int32_t prev, next;
} dv__sym;

/* Two neighbours that may be merged. key orders them: what goes first in the upper half, the left one's place in the
 * lower. */
typedef struct dv__pair {
    uint64_t key;
    uint32_t len; /* of both: tells whether one of them has changed since */
    int32_t out;
} dv__pair;

typedef struct dv__work {
    const char *text; /* what the symbols point into */
    dv__sym *sym;
    size_t n_sym, sym_cap;
    dv__pair *heap;
    size_t n_heap, heap_cap;
    uint64_t *hash; /* spm: hashes of all prefixes of text */
    size_t hash_cap;
    uint32_t *cut, *cut2;
    size_t n_cut, cut_cap, cut2_cap;
    void *match;   /* pcre2_match_data */
    dv_buf joined; /* the parts as one text */
    dv_buf spaced; /* spm: the text with U+2581 for spaces */
    dv_ids *out;
} dv__work;

void dv__work_init(dv__work *w, dv_ids *out);
void dv__work_fini(dv__work *w);
/* Make *p an array of at least n elements of the given size, contents kept; 0 or DV_ENOMEM. */
int dv__grow(void **p, size_t *cap, size_t n, size_t size);
/* Room for n symbols and every pair they can make. */
int dv__work_reserve(dv__work *w, size_t n);
/* Link w->sym[0..n_sym) and merge until nothing more can be. */
void dv__merge_all(const dv_tok *t, dv__work *w);

/* What two neighbours would merge into: false if nothing, else the symbol and the rank (lowest first). */
bool dv__bpe_pair(const dv_tok *t, const dv__sym *left, const dv__sym *right, int32_t *out, uint32_t *rank);
bool dv__spm_pair(const dv_tok *t, const dv__work *w, const dv__sym *left, const dv__sym *right, int32_t *out,
                  uint32_t *rank);

/* What went wrong in words; rc. */
int dv__work_fail(int rc, dv_err *err);
/* Append the tokens of s[0..n), which holds no token that is matched as a whole. */
int dv__bpe_encode(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err);
int dv__spm_encode(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err);

#endif
