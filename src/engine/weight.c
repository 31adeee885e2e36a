/* SPDX-License-Identifier: MIT */
#include "engine/weight.h"

#include "base/attr.h"

#include <float.h>
#include <math.h>

enum { LANES = 16, BLOCK = 1024 };

static const float least = -87.0f; /* exp of it is still a normal number */

/* x where all bits of keep are set, 0 where none is. */
DV_INLINE float mask(float x, int32_t keep)
{
    union {
        float f;
        int32_t i;
    } v = {.f = x};
    v.i &= keep;
    return v.f;
}

/* All bits if x is in [least, 0], none otherwise. */
DV_INLINE int32_t in_range(float x) { return -(int32_t)((x >= least) & (x <= 0.0f)); }

DV_INLINE float scaled(float logit, float max, float temperature)
{
    return ((logit > FLT_MAX ? FLT_MAX : logit) - max) / temperature;
}

/* Straight code that computes first and masks at the end. Cody-Waite reduction, Taylor polynomial on [-ln 2 / 2, ln 2 / 2]. */
DV_INLINE float weight(float x)
{
    int32_t keep = in_range(x);
    float arg = mask(x, keep);
    float n = (arg * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounds to an integer */
    float r = (arg - n * 0.693359375f) + n * 2.12194440e-4f;
    float y = 1.0f / 5040;
    y = y * r + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    union {
        int32_t i;
        float f;
    } scale = {.i = ((int32_t)n + 127) * (1 << 23)};
    return mask(y * scale.f, keep);
}

DV_INLINE float log_of(float logit, float max, float temperature)
{
    float x = scaled(logit, max, temperature);
    return mask(x, in_range(x));
}

float dv__weight(float x) { return weight(x); }

float dv__weight_log(float logit, float max, float temperature) { return log_of(logit, max, temperature); }

void dv__weights_fill(float *w, const float *logits, uint32_t n, float max, float temperature)
{
    for (uint32_t i = 0; i < n; i++) {
        float l = logits[i];
        w[i] = weight(scaled(l, max, temperature));
    }
}

double dv__weights_sum(const float *w, uint32_t n, float bound)
{
    double total = 0;
    for (uint32_t i = 0; i < n; i += BLOCK) {
        float lane[LANES] = {0};
        uint32_t end = DV_MIN(n - i, (uint32_t)BLOCK), j = 0;
        for (; j + LANES <= end; j += LANES)
            for (uint32_t k = 0; k < LANES; k++)
                lane[k] += w[i + j + k] >= bound ? w[i + j + k] : 0.0f;
        for (; j < end; j++)
            lane[j % LANES] += w[i + j] >= bound ? w[i + j] : 0.0f;
        for (uint32_t k = 0; k < LANES; k++)
            total += (double)lane[k];
    }
    return total;
}

double dv__weights_sum_log(const float *w, const float *logits, uint32_t n, float max, float temperature)
{
    double total = 0;
    for (uint32_t i = 0; i < n; i += BLOCK) {
        float lane[LANES] = {0};
        uint32_t end = DV_MIN(n - i, (uint32_t)BLOCK), j = 0;
        for (; j + LANES <= end; j += LANES)
            for (uint32_t k = 0; k < LANES; k++)
                lane[k] += w[i + j + k] * log_of(logits[i + j + k], max, temperature);
        for (; j < end; j++)
            lane[j % LANES] += w[i + j] * log_of(logits[i + j], max, temperature);
        for (uint32_t k = 0; k < LANES; k++)
            total += (double)lane[k];
    }
    return total;
}

uint32_t dv__weights_draw(const float *w, uint32_t n, double u)
{
    double point = u * dv__weights_sum(w, n, 0), sum = 0;
    uint32_t id = 0, i = 0;
    for (; i < n; i += BLOCK) { /* pass over whole blocks first */
        double block = dv__weights_sum(w + i, DV_MIN(n - i, (uint32_t)BLOCK), 0);
        if (sum + block > point)
            break;
        sum += block;
    }
    if (i >= n) { /* rounding left the point beyond the end: the last token with weight */
        i = 0;
        sum = -INFINITY;
    }
    for (; i < n; i++) {
        if (!(w[i] > 0))
            continue;
        id = i;
        sum += (double)w[i];
        if (sum > point)
            break;
    }
    return id;
}
