/* SPDX-License-Identifier: MIT */
/* Weights exp((logit - max) / temperature) of a whole vocabulary: not normalised, the largest is 1, 0 for what cannot be drawn (NaN,
 * -infinity, less than e^-87 of the largest). Plain loops that compilers turn into vector code; sums add in a fixed order. */
#ifndef DV_ENGINE_WEIGHT_H
#define DV_ENGINE_WEIGHT_H

#include <stdint.h>

/** exp(x) for x in [-87, 0] to about 2 units in the last place; 0 for any other x and for NaN. */
float dv__weight(float x);
/** ln of a logit's weight, 0 if the weight is 0 or the logit is above max. +infinity counts as FLT_MAX. */
float dv__weight_log(float logit, float max, float temperature);

/** w[i] = weight of logits[i]; +infinity counts as FLT_MAX. */
void dv__weights_fill(float *w, const float *logits, uint32_t n, float max, float temperature);
/** Sum of the weights that are at least bound. */
double dv__weights_sum(const float *w, uint32_t n, float bound);
/** Sum of w[i] * dv__weight_log(logits[i]). */
double dv__weights_sum_log(const float *w, const float *logits, uint32_t n, float max, float temperature);
/** The index at which the running sum passes u, in [0, 1), of the whole; never one without weight. At least one weight is above 0. */
uint32_t dv__weights_draw(const float *w, uint32_t n, double u);

#endif
