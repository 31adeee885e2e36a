/* SPDX-License-Identifier: MIT */
/* The vocabulary of a synthetic model: copied from a GGUF file, or made up as a valid byte-level BPE of the wanted size. */
#ifndef DV_TOOLS_VOCAB_H
#define DV_TOOLS_VOCAB_H

#include "gguf/write.h"

/**
 * Write tokenizer.* of the file at path; if it has fewer tokens than n_want, unused ones are added (as converters do when the
 * embedding matrix is larger than the vocabulary).
 * @param n_vocab  receives the number of tokens, at least n_want
 * Errors: those of dv_gguf_open; DV_EFORMAT if it holds no vocabulary; DV_ENOMEM.
 */
int synth_vocab_copy(dv_gguf_writer *w, const char *path, uint32_t n_want, uint32_t *n_vocab, dv_err *err);

/**
 * Write a byte-level BPE: 256 bytes, random merges of letters, and at the end <|endoftext|>, <|im_start|>, <|im_end|>.
 * @param pre  tokenizer.ggml.pre
 * @param n    tokens in all, 259 to 2^20
 */
int synth_vocab_make(dv_gguf_writer *w, const char *pre, uint32_t n, uint64_t seed, dv_err *err);

#endif
