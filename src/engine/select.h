/* SPDX-License-Identifier: MIT */
/* Searching and choosing among many candidates without sorting them. */
#ifndef DV_ENGINE_SELECT_H
#define DV_ENGINE_SELECT_H

#include "engine/sampler.h"

/** First index in [i, n) with l[index] >= bound, or n. NaN is never found. */
uint32_t dv__select_next(const float *l, uint32_t i, uint32_t n, float bound);
/** Largest of l[0..n), NaN and -infinity left out; -infinity if nothing is left. */
float dv__select_max(const float *l, uint32_t n);

/**
 * Reorder c[0..n) so that the best come first (larger key, then smaller id), as far as needed to say how many of them it takes until
 * their p add up to mass.
 * @return that number, 1..n (n if all together are less than mass); n > 0. O(n) on average, O(n log n) at worst.
 */
size_t dv__select_mass(dv_sampler_cand *c, size_t n, double mass);

#endif
