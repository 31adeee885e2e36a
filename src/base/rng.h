/* SPDX-License-Identifier: MIT */
/* Seeded random numbers, the same on every machine: xoshiro256** (Blackman and Vigna 2018), seeded by SplitMix64. Not for secrets. */
#ifndef DV_BASE_RNG_H
#define DV_BASE_RNG_H

#include <stdint.h>

typedef struct dv_rng {
    uint64_t s[4];
} dv_rng;

void dv_rng_seed(dv_rng *r, uint64_t seed);
uint64_t dv_rng_u64(dv_rng *r);
/** Uniform in [0, 1) with 53 random bits. */
double dv_rng_double(dv_rng *r);
/** Uniform in [0, n), n > 0, without modulo bias. */
uint64_t dv_rng_below(dv_rng *r, uint64_t n);
/** Standard normal (polar method). */
double dv_rng_normal(dv_rng *r);

#endif
