/* SPDX-License-Identifier: MIT */
/* Speculation without a second model: what followed the last tokens when they stood in the context before is likely to follow again
 * (prompt lookup). Guesses are verified by the model, so they change the speed and nothing else. */
#ifndef DV_SCHED_DRAFT_H
#define DV_SCHED_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DV__DRAFT_MAX = 8, DV__DRAFT_GRAM = 3 };

typedef struct dv__draft {
    uint32_t *last; /**< [mask + 1] position behind the latest n-gram of a hash; 0: none */
    uint32_t mask;
    uint32_t n_seen; /**< tokens entered */
    uint32_t length; /**< tokens to guess now, adapted to what is accepted */
    uint32_t pause;  /**< steps without guessing */
    uint32_t misses; /**< in a row */
} dv__draft;

/** @param max_tokens  of the sequence. Errors: DV_ENOMEM. */
int dv__draft_open(dv__draft *d, uint32_t max_tokens);
void dv__draft_close(dv__draft *d);
/**
 * Guess what follows tokens[0..n). Enters the tokens that are new since the last call.
 * @param max  room in guess, at most DV__DRAFT_MAX are written
 * @return     guessed tokens
 */
uint32_t dv__draft_guess(dv__draft *d, const uint32_t *tokens, uint32_t n, uint32_t max, uint32_t *guess);
/** How many of n guessed tokens were right. */
void dv__draft_learn(dv__draft *d, uint32_t n, uint32_t n_right);

#endif
