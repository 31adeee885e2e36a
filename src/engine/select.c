/* SPDX-License-Identifier: MIT */
#include "engine/select.h"

#include "base/attr.h"

#include <float.h>
#include <math.h>

enum { LANES = 16, GROUP = 64, SMALL = 24 };

uint32_t dv__select_next(const float *l, uint32_t i, uint32_t n, float bound)
{
    /* Whole groups without a branch per element: nearly all of a vocabulary is passed over here. */
    for (; i + GROUP <= n; i += GROUP) {
        int hit = 0;
        for (uint32_t j = 0; j < GROUP; j++)
            hit |= l[i + j] >= bound;
        if (hit)
            break;
    }
    while (i < n && !(l[i] >= bound))
        i++;
    return i;
}

float dv__select_max(const float *l, uint32_t n)
{
    float lane[LANES], best = -INFINITY;
    for (uint32_t j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lane[j] = l[i + j] > lane[j] ? l[i + j] : lane[j];
    for (; i < n; i++)
        best = l[i] > best ? l[i] : best;
    for (uint32_t j = 0; j < LANES; j++)
        best = DV_MAX(best, lane[j]);
    return best;
}

static bool better(const dv_sampler_cand *a, const dv_sampler_cand *b)
{
    return a->key > b->key || (a->key == b->key && a->id < b->id);
}

static void swap(dv_sampler_cand *a, dv_sampler_cand *b)
{
    dv_sampler_cand t = *a;
    *a = *b;
    *b = t;
}

static void insertion_sort(dv_sampler_cand *c, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && better(&c[j], &c[j - 1]); j--)
            swap(&c[j], &c[j - 1]);
}

/* Sift c[i] down in a heap whose top is the worst, so that sorting puts the best first. */
static void sift(dv_sampler_cand *c, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(&c[child], &c[child + 1]))
            child++;
        if (!better(&c[i], &c[child]))
            return;
        swap(&c[i], &c[child]);
    }
}

static void heap_sort(dv_sampler_cand *c, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(c, i, n);
    for (size_t end = n; end-- > 1;) {
        swap(&c[0], &c[end]);
        sift(c, 0, end);
    }
}

/* Move a pivot near the median so that everything before it is better and everything behind it worse; returns its index. */
static size_t partition(dv_sampler_cand *c, size_t n)
{
    size_t mid = n / 2;
    if (better(&c[mid], &c[0]))
        swap(&c[mid], &c[0]);
    if (better(&c[n - 1], &c[mid]))
        swap(&c[n - 1], &c[mid]);
    if (better(&c[mid], &c[0]))
        swap(&c[mid], &c[0]);
    dv_sampler_cand pivot = c[mid];
    swap(&c[mid], &c[n - 1]);
    size_t at = 0;
    for (size_t i = 0; i + 1 < n; i++)
        if (better(&c[i], &pivot))
            swap(&c[i], &c[at++]);
    swap(&c[at], &c[n - 1]);
    return at;
}

size_t dv__select_mass(dv_sampler_cand *c, size_t n, double mass)
{
    size_t lo = 0, hi = n; /* c[0..lo) is in, c[hi..n) is out */
    double have = 0;       /* of c[0..lo) */
    for (unsigned depth = 0; hi - lo > SMALL; depth++) {
        if (depth > 64) { /* pivots that always miss: an input made for it */
            heap_sort(c + lo, hi - lo);
            break;
        }
        size_t mid = lo + partition(c + lo, hi - lo);
        double part = 0;
        for (size_t i = lo; i <= mid; i++)
            part += (double)c[i].p;
        if (have + part >= mass) {
            if (mid + 1 == hi) { /* the pivot was the worst of them: without it there is progress */
                if (have + part - (double)c[mid].p < mass)
                    return hi;
                hi = mid;
            } else {
                hi = mid + 1;
            }
        } else {
            have += part;
            lo = mid + 1;
        }
    }
    if (hi - lo <= SMALL)
        insertion_sort(c + lo, hi - lo);
    for (; lo < hi && (have < mass || lo == 0); lo++)
        have += (double)c[lo].p;
    return lo;
}
