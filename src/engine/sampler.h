/* SPDX-License-Identifier: MIT */
/* From logits to the next token, in the steps and the order that dv_sampling states. Everything is allocated by init; a draw allocates
 * nothing and, for the usual settings, reads the logits once and never sorts the vocabulary.
 *
 * Definitions. Tokens are ordered by logit, equal ones by id (the lower first). With p the softmax of logit / temperature over the
 * tokens that are left:
 *   top-k      the first k
 *   typical-p  ordered by |-ln p - entropy|: the fewest whose p add up to typical_p
 *   top-p      the fewest first ones whose p add up to top_p
 *   min-p      those with p >= min_p * (largest p)
 * At least one token is always left. A NaN logit is a token that cannot be drawn, as is -infinity; +infinity counts as FLT_MAX. */
#ifndef DV_ENGINE_SAMPLER_H
#define DV_ENGINE_SAMPLER_H

#include "base/rng.h"
#include "drover/engine.h"

enum { DV_SAMPLER_MAX_LAST_N = 65536, DV_SAMPLER_MAX_BIAS = 65536 };

typedef struct dv_sampler_cand {
    uint32_t id;
    float key; /**< what the present step orders by, larger is better */
    float p;   /**< weight: not normalised, the largest is 1 */
} dv_sampler_cand;

typedef struct dv_sampler_seen {
    uint32_t id, count;
} dv_sampler_seen;

typedef struct dv_sampler_mod {
    uint32_t id;
    float logit; /**< with bias and penalties */
} dv_sampler_mod;

typedef struct dv_sampler {
    dv_sampling cfg; /**< bias points to an own copy, sorted by id */
    uint32_t n_vocab;
    dv_rng rng;
    uint32_t *last;        /**< [penalty_last_n] ring of accepted ids */
    uint32_t n_last, at;   /**< ids in the ring, where the next one goes */
    dv_sampler_seen *seen; /**< [n_seen] distinct ids of the ring, sorted by id */
    uint32_t n_seen;
    dv_sampler_mod
        *mods; /**< [n_mods] tokens whose logit differs from the model's, sorted by id; made anew by each draw */
    uint32_t n_mods;
    dv_sampler_cand *cand;
    size_t n_cand, cap_cand;
    float *weight; /**< [n_vocab]; only without top-k */
} dv_sampler;

/** Whether every field is in its range. Errors: DV_EINVAL naming the first that is not. */
int dv_sampling_check(const dv_sampling *c, uint32_t n_vocab, dv_err *err);

/**
 * @param s    uninitialised memory; on failure nothing needs to be freed
 * @param cfg  NULL: defaults; bias is copied
 * Errors: DV_EINVAL naming the field; DV_ENOMEM.
 */
int dv_sampler_init(dv_sampler *s, uint32_t n_vocab, const dv_sampling *cfg, dv_err *err);
/** Idempotent; a zeroed sampler is fine. */
void dv_sampler_fini(dv_sampler *s);
/** Restart the random numbers from the seed and forget the accepted tokens. */
void dv_sampler_reset(dv_sampler *s);
/** A token joined the sequence (prompt or generated): penalties see it from now on. Ids outside the vocabulary are ignored. */
void dv_sampler_accept(dv_sampler *s, uint32_t id);
/** The sequence is now exactly ids[0..n): replaces all accepted tokens; the random state stays. */
void dv_sampler_set_history(dv_sampler *s, const uint32_t *ids, size_t n);
/**
 * Draw a token; it is not accepted yet. One random number per draw, none for greedy.
 * @param logits  [n_vocab], unchanged
 * Errors: DV_EINTERNAL if no logit is a usable number or bias forbids all that are.
 */
int dv_sampler_draw(dv_sampler *s, const float *logits, uint32_t *id, dv_err *err);
/**
 * The distribution that the last draw was made from.
 * @param id   a token, the one drawn say; *p is its probability, 0 if a step has left it out
 * @param top  [n] the most likely tokens with their probabilities in p, best first; those that have one above 0
 * @return     number of entries in top
 */
uint32_t dv_sampler_probs(const dv_sampler *s, uint32_t id, dv_sampler_cand *top, uint32_t n, float *p);

#endif
