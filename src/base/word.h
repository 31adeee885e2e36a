/* SPDX-License-Identifier: MIT */
/* Words and numbers as people write them: on command lines, in configuration, in the environment. */
#ifndef DV_BASE_WORD_H
#define DV_BASE_WORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Strict decimal: digits only, no sign, no blanks; false when it is something else or does not fit. */
bool dv_word_u64(const char *s, uint64_t *out);
/** Strict decimal number with optional sign, fraction and exponent; finite. */
bool dv_word_double(const char *s, double *out);
/** Index of s among the words of "a|b|c", or -1. */
int dv_word_index(const char *words, const char *s);
/** The word of words[n] that a mistyped one probably means; NULL when none is near. */
const char *dv_word_nearest(const char *word, const char *const *words, size_t n);

#endif
