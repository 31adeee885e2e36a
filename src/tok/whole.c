/* SPDX-License-Identifier: MIT */
/* Tokens that are matched as a whole before any merging: control, unknown and user-defined ones. They are kept in the
 * order of their bytes; a match narrows the range of candidates byte by byte, so a position costs no more than the
 * longest token. */
#include "tok/vocab.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b, void *tok)
{
    const dv_tok *t = tok;
    uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
    dv_str x = t->sym[ia], y = t->sym[ib];
    int c = memcmp(x.p, y.p, DV_MIN(x.n, y.n));
    if (c != 0)
        return c;
    return x.n != y.n ? (x.n < y.n ? -1 : 1) : (ia > ib) - (ia < ib);
}

static bool is_whole(const dv_tok *t, uint32_t id)
{
    return (t->type[id] == DV_TOK_CONTROL || t->type[id] == DV_TOK_USER || t->type[id] == DV_TOK_UNKNOWN) &&
           t->sym[id].n > 0;
}

int dv__whole_load(dv_tok *t, dv_err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        if (!is_whole(t, i))
            continue;
        if (t->sym[i].n > DV_TOK_MAX_SPECIAL)
            return dv_fail(err, DV_ELIMIT,
                           "tokenizer.ggml.tokens[%u] is a control or user-defined token of %zu bytes (at most %d)",
                           (unsigned)i, t->sym[i].n, (int)DV_TOK_MAX_SPECIAL);
        t->flag[i] |= DV__TOK_WHOLE;
        n++;
    }
    t->whole = dv_alloc_array(DV_MEM_TOK, n, sizeof *t->whole);
    if (t->whole == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %u control tokens", (unsigned)n);
    uint32_t k = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++)
        if (t->flag[i] & DV__TOK_WHOLE)
            t->whole[k++] = i;
    qsort_r(t->whole, n, sizeof *t->whole, by_bytes, t);
    k = 0;
    for (unsigned b = 0; b < 256; b++) {
        t->whole_at[b] = k;
        while (k < n && (unsigned char)t->sym[t->whole[k]].p[0] == b)
            k++;
    }
    t->whole_at[256] = n;
    return 0;
}

/* First of the candidates lo..hi whose byte at depth is >= b; all of them are longer than depth. */
static uint32_t lower(const dv_tok *t, uint32_t lo, uint32_t hi, size_t depth, unsigned b)
{
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)t->sym[t->whole[mid]].p[depth] < b)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int32_t dv__whole_match(const dv_tok *t, const char *s, size_t n, size_t n_trusted)
{
    if (n == 0)
        return -1;
    unsigned b = (unsigned char)s[0];
    uint32_t lo = t->whole_at[b], hi = t->whole_at[b + 1];
    int32_t best = -1;
    for (size_t depth = 1; lo < hi; depth++) {
        /* The ones that end here come first; of several with the same spelling the lowest id. */
        if (t->sym[t->whole[lo]].n == depth) {
            uint32_t id = t->whole[lo];
            if (!(t->flag[id] & DV__TOK_GUARDED) || depth <= n_trusted)
                best = (int32_t)id;
            while (lo < hi && t->sym[t->whole[lo]].n == depth)
                lo++;
        }
        if (depth >= n)
            break;
        b = (unsigned char)s[depth];
        lo = lower(t, lo, hi, depth, b);
        hi = lower(t, lo, hi, depth, b + 1);
    }
    return best;
}
