/* SPDX-License-Identifier: MIT */
/* Merging: a heap of candidate pairs over a linked list of symbols. Each merge adds at most two pairs, so a stretch of
 * n symbols costs O(n log n) whatever it holds. Pairs whose parts have changed are recognised when they come up. */
#include "tok/work.h"

#include "base/err.h"
#include "base/num.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

void dv__work_init(dv__work *w, dv_ids *out)
{
    *w = (dv__work){.out = out};
    dv_buf_init(&w->joined, 0);
    dv_buf_init(&w->spaced, 0);
}

void dv__work_fini(dv__work *w)
{
    dv_free(w->sym);
    dv_free(w->heap);
    dv_free(w->hash);
    dv_free(w->cut);
    dv_free(w->cut2);
    pcre2_match_data_free(w->match);
    dv_buf_fini(&w->joined);
    dv_buf_fini(&w->spaced);
}

int dv__work_fail(int rc, dv_err *err)
{
    if (rc == DV_ELIMIT)
        return dv_fail(err, rc, "a word of the text is longer than %d bytes", DV_TOK_MAX_WORD);
    return rc != 0 ? dv_fail(err, rc, "%s while tokenizing", dv_error_text(rc)) : 0;
}

int dv__grow(void **p, size_t *cap, size_t n, size_t size)
{
    size_t bytes, want;
    if (n <= *cap)
        return 0;
    want = DV_MAX(DV_MAX(n, *cap + *cap / 2), (size_t)32);
    if (!dv_mul_size(want, size, &bytes))
        return DV_ENOMEM;
    void *q = dv_realloc(DV_MEM_TOK, *p, bytes);
    if (q == NULL)
        return DV_ENOMEM;
    *p = q;
    *cap = want;
    return 0;
}

int dv__work_reserve(dv__work *w, size_t n)
{
    /* n - 1 pairs at first; a merge takes one and adds two, and there are at most n - 1 merges. */
    int rc = dv__grow((void **)&w->sym, &w->sym_cap, n, sizeof *w->sym);
    return rc != 0 ? rc : dv__grow((void **)&w->heap, &w->heap_cap, 2 * n, sizeof *w->heap);
}

static void heap_down(dv__pair *h, size_t n, size_t i)
{
    dv__pair x = h[i];
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= n)
            break;
        if (c + 1 < n && h[c + 1].key < h[c].key)
            c++;
        if (h[c].key >= x.key)
            break;
        h[i] = h[c];
        i = c;
    }
    h[i] = x;
}

static void heap_push(dv__work *w, dv__pair x)
{
    size_t i = w->n_heap++;
    while (i > 0) {
        size_t up = (i - 1) / 2;
        if (w->heap[up].key <= x.key)
            break;
        w->heap[i] = w->heap[up];
        i = up;
    }
    w->heap[i] = x;
}

static bool make_pair(const dv_tok *t, const dv__work *w, int32_t left, dv__pair *pair)
{
    const dv__sym *a = &w->sym[left], *b = &w->sym[a->next];
    uint32_t rank = 0;
    int32_t out = -1;
    if (t->spm ? !dv__spm_pair(t, w, a, b, &out, &rank) : !dv__bpe_pair(t, a, b, &out, &rank))
        return false;
    *pair = (dv__pair){.key = (uint64_t)rank << 32 | (uint32_t)left, .len = a->len + b->len, .out = out};
    return true;
}

static void offer(const dv_tok *t, dv__work *w, int32_t left)
{
    dv__pair pair;
    if (left >= 0 && w->sym[left].next >= 0 && make_pair(t, w, left, &pair))
        heap_push(w, pair);
}

void dv__merge_all(const dv_tok *t, dv__work *w)
{
    int32_t n = (int32_t)w->n_sym;
    w->n_heap = 0;
    for (int32_t i = 0; i < n; i++) {
        w->sym[i].prev = i - 1;
        w->sym[i].next = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 0; i + 1 < n; i++)
        if (make_pair(t, w, i, &w->heap[w->n_heap]))
            w->n_heap++;
    for (size_t i = w->n_heap / 2; i-- > 0;)
        heap_down(w->heap, w->n_heap, i);

    while (w->n_heap > 0) {
        dv__pair top = w->heap[0];
        w->heap[0] = w->heap[--w->n_heap];
        if (w->n_heap > 0)
            heap_down(w->heap, w->n_heap, 0);
        int32_t left = (int32_t)(uint32_t)top.key;
        dv__sym *a = &w->sym[left];
        /* Symbols only grow, and the right one goes only by merging into this left one: same length, same pair. */
        if (a->len == 0 || a->next < 0 || a->len + w->sym[a->next].len != top.len)
            continue;
        dv__sym *b = &w->sym[a->next];
        a->len = top.len;
        a->id = top.out;
        a->next = b->next;
        if (b->next >= 0)
            w->sym[b->next].prev = left;
        b->len = 0;
        offer(t, w, a->prev);
        offer(t, w, left);
    }
}
