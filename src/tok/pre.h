/* SPDX-License-Identifier: MIT */
/* Pre-tokenizers of byte-level BPE: regular expressions that cut a text into words, one after the other, each within
 * the pieces that the former left. What an expression does not match is a piece too. */
#ifndef DV_TOK_PRE_H
#define DV_TOK_PRE_H

#include "tok/tok.h"
#include "tok/work.h"

/* Choose the row for tokenizer.ggml.pre, compile it, and set what the row says about the vocabulary. */
int dv__pre_load(dv_tok *t, dv_err *err);
void dv__pre_free(dv__pre *pre);

/**
 * Cut s (valid UTF-8, n > 0): w->cut holds the lengths of the pieces in order, w->n_cut their number.
 * @return  0, DV_ENOMEM, or DV_ELIMIT if an expression ran into its match limit
 */
int dv__pre_split(const dv__pre *pre, dv__work *w, const char *s, size_t n, dv_err *err);

#endif
