/* SPDX-License-Identifier: MIT */
#include "sched/draft.h"

#include "base/attr.h"
#include "base/mem.h"
#include "drover/error.h"

#include <string.h>

enum { TABLE_MIN = 256, LENGTH_START = 4, PAUSE_MAX = 64 };

int dv__draft_open(dv__draft *d, uint32_t max_tokens)
{
    uint32_t size = TABLE_MIN;
    while (size < max_tokens && size < 1u << 20)
        size *= 2;
    *d = (dv__draft){.mask = size - 1, .length = LENGTH_START};
    d->last = dv_calloc(DV_MEM_SESSION, size, sizeof *d->last);
    return d->last != NULL ? 0 : DV_ENOMEM;
}

void dv__draft_close(dv__draft *d)
{
    dv_free(d->last);
    d->last = NULL;
}

static uint32_t slot_of(const dv__draft *d, const uint32_t *gram)
{
    uint64_t h = 0;
    for (int i = 0; i < DV__DRAFT_GRAM; i++)
        h = (h ^ gram[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & d->mask;
}

/* Enter all n-grams that end before position n - 1, so that the last one finds an earlier place and not itself. */
static void enter(dv__draft *d, const uint32_t *tokens, uint32_t n)
{
    for (uint32_t end = DV_MAX(d->n_seen, (uint32_t)DV__DRAFT_GRAM); end < n; end++)
        d->last[slot_of(d, tokens + end - DV__DRAFT_GRAM)] = end;
    d->n_seen = DV_MAX(d->n_seen, n);
}

uint32_t dv__draft_guess(dv__draft *d, const uint32_t *tokens, uint32_t n, uint32_t max, uint32_t *guess)
{
    enter(d, tokens, n);
    if (d->pause > 0) {
        d->pause--;
        return 0;
    }
    if (n <= DV__DRAFT_GRAM)
        return 0;
    const uint32_t *gram = tokens + n - DV__DRAFT_GRAM;
    uint32_t from = d->last[slot_of(d, gram)];
    if (from == 0 || memcmp(tokens + from - DV__DRAFT_GRAM, gram, DV__DRAFT_GRAM * sizeof *gram) != 0)
        return 0;
    uint32_t count = DV_MIN(DV_MIN(max, d->length), (uint32_t)DV__DRAFT_MAX);
    for (uint32_t i = 0; i < count; i++) /* a period shorter than the guess repeats itself */
        guess[i] = from + i < n ? tokens[from + i] : guess[from + i - n];
    return count;
}

void dv__draft_learn(dv__draft *d, uint32_t n, uint32_t n_right)
{
    if (n == 0)
        return;
    if (n_right == n) {
        d->length = DV_MIN(2 * DV_MAX(d->length, 1u), (uint32_t)DV__DRAFT_MAX);
    } else {
        d->length = n_right + 1;
    }
    if (n_right > 0) {
        d->misses = 0;
        return;
    }
    d->misses = DV_MIN(d->misses + 1, 10u);
    d->pause = DV_MIN(1u << d->misses, (uint32_t)PAUSE_MAX);
}
