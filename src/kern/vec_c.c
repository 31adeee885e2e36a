/* SPDX-License-Identifier: MIT */
/* Element-wise operations and normalisation, C reference. */
#include "kern/exp.h"
#include "kern/init_c.h"

#include <math.h>

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *y)
{
    float lane[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++)
            lane[j] += lane[j + half];
    float r = 1.0f / sqrtf(lane[0] / (float)n + eps);
    for (uint32_t i = 0; i < n; i++)
        y[i] = w != NULL ? x[i] * r * w[i] : x[i] * r;
}

static void silu_mul(const float *g, const float *u, uint32_t n, float *y)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = dv_silu_ref(g[i]) * u[i];
}

static void gelu_mul(const float *g, const float *u, uint32_t n, float *y)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = dv_gelu_ref(g[i]) * u[i];
}

static void add(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void mul(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] *= x[i];
}

static void axpy(float *y, float a, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

static void rotate(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    *a = fmaf(x, c, -(y * s));
    *b = fmaf(y, c, x * s);
}

static void rope_norm(float *x, uint32_t n_rot, const float *cs)
{
    for (uint32_t i = 0; i < n_rot / 2; i++)
        rotate(&x[2 * i], &x[2 * i + 1], cs[2 * i], cs[2 * i + 1]);
}

static void rope_neox(float *x, uint32_t n_rot, const float *cs)
{
    for (uint32_t i = 0; i < n_rot / 2; i++)
        rotate(&x[i], &x[i + n_rot / 2], cs[2 * i], cs[2 * i + 1]);
}

void dv__kern_init_c_vec(dv_kern *k)
{
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->add = add;
    k->mul = mul;
    k->axpy = axpy;
    k->rope_norm = rope_norm;
    k->rope_neox = rope_neox;
}
