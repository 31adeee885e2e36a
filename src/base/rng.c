/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include <math.h>

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

void dv_rng_seed(dv_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

uint64_t dv_rng_u64(dv_rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

double dv_rng_double(dv_rng *r) { return (double)(dv_rng_u64(r) >> 11) * 0x1p-53; }

uint64_t dv_rng_below(dv_rng *r, uint64_t n)
{
    uint64_t skip = -n % n, v; /* 2^64 mod n values would favour the small results */
    do
        v = dv_rng_u64(r);
    while (v < skip);
    return v % n;
}

double dv_rng_normal(dv_rng *r)
{
    double u, v, q;
    do {
        u = 2 * dv_rng_double(r) - 1;
        v = 2 * dv_rng_double(r) - 1;
        q = u * u + v * v;
    } while (q >= 1 || q == 0);
    return u * sqrt(-2 * log(q) / q);
}
