/* SPDX-License-Identifier: MIT */
/* Sampling parameters: defaults and ranges. */
#include "base/err.h"
#include "engine/sampler.h"

#include <float.h>

dv_sampling dv_sampling_default(void)
{
    return (dv_sampling){.temperature = 0.8f,
                         .top_k = 40,
                         .top_p = 0.95f,
                         .min_p = 0.05f,
                         .typical_p = 1,
                         .repeat_penalty = 1,
                         .penalty_last_n = 64};
}

int dv_sampling_check(const dv_sampling *c, uint32_t n_vocab, dv_err *err)
{
    if (!(c->temperature >= 0 && c->temperature <= FLT_MAX))
        return dv_fail(err, DV_EINVAL, "temperature must be a number from 0 up, not %g", (double)c->temperature);
    if (!(c->top_p > 0 && c->top_p <= 1))
        return dv_fail(err, DV_EINVAL, "top_p must be above 0 and up to 1, not %g", (double)c->top_p);
    if (!(c->min_p >= 0 && c->min_p <= 1))
        return dv_fail(err, DV_EINVAL, "min_p must be from 0 to 1, not %g", (double)c->min_p);
    if (!(c->typical_p > 0 && c->typical_p <= 1))
        return dv_fail(err, DV_EINVAL, "typical_p must be above 0 and up to 1, not %g", (double)c->typical_p);
    if (!(c->repeat_penalty > 0 && c->repeat_penalty <= FLT_MAX))
        return dv_fail(err, DV_EINVAL, "repeat_penalty must be above 0, not %g", (double)c->repeat_penalty);
    if (!(c->presence_penalty >= -2 && c->presence_penalty <= 2))
        return dv_fail(err, DV_EINVAL, "presence_penalty must be from -2 to 2, not %g", (double)c->presence_penalty);
    if (!(c->frequency_penalty >= -2 && c->frequency_penalty <= 2))
        return dv_fail(err, DV_EINVAL, "frequency_penalty must be from -2 to 2, not %g", (double)c->frequency_penalty);
    if (c->penalty_last_n > DV_SAMPLER_MAX_LAST_N)
        return dv_fail(err, DV_EINVAL, "penalty_last_n must be at most %d, not %u", DV_SAMPLER_MAX_LAST_N,
                       c->penalty_last_n);
    if (c->n_bias > DV_SAMPLER_MAX_BIAS || (c->n_bias > 0 && c->bias == NULL))
        return dv_fail(err, DV_EINVAL, "bias must list at most %d tokens", DV_SAMPLER_MAX_BIAS);
    for (size_t i = 0; i < c->n_bias; i++) {
        if (c->bias[i].id >= n_vocab)
            return dv_fail(err, DV_EINVAL, "bias names token %u, the vocabulary has %u", c->bias[i].id, n_vocab);
        if (!(c->bias[i].bias <= FLT_MAX))
            return dv_fail(err, DV_EINVAL, "bias of token %u must be a number or -infinity", c->bias[i].id);
    }
    return 0;
}
