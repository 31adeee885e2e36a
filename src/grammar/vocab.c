/* SPDX-License-Identifier: MIT */
#include "grammar/vocab.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>

static int compare(const dv_grammar_vocab *v, uint32_t a, uint32_t b)
{
    const size_t na = v->at[a + 1] - v->at[a], nb = v->at[b + 1] - v->at[b];
    const int r = memcmp(v->byte + v->at[a], v->byte + v->at[b], DV_MIN(na, nb));
    return r != 0 ? r : na != nb ? (na < nb ? -1 : 1) : a < b ? -1 : a > b;
}

static int by_bytes(const void *a, const void *b, void *v)
{
    return compare(v, *(const uint32_t *)a, *(const uint32_t *)b);
}

static uint32_t common(const dv_grammar_vocab *v, uint32_t a, uint32_t b)
{
    const uint32_t na = v->at[a + 1] - v->at[a], nb = v->at[b + 1] - v->at[b], n = DV_MIN(na, nb);
    const char *pa = v->byte + v->at[a], *pb = v->byte + v->at[b];
    uint32_t i = 0;
    while (i < n && pa[i] == pb[i])
        i++;
    return i;
}

/* Nodes that the i-th token in order adds: its bytes behind what it has in common with the one before it. */
static uint32_t shared(const dv_grammar_vocab *v, uint32_t i)
{
    return i == 0 ? 0 : common(v, v->order[i - 1], v->order[i]);
}

static uint32_t count_nodes(const dv_grammar_vocab *v)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_order; i++)
        n += v->at[v->order[i] + 1] - v->at[v->order[i]] - shared(v, i);
    return n;
}

/* open[d]: the node of depth d on the way to the token at hand. A node is closed when the next token leaves it. */
static void fill(dv_grammar_vocab *v)
{
    uint32_t open[DV__MAX_TOKEN + 1], depth = 0, n = 0;
    for (uint32_t i = 0; i < v->n_order; i++) {
        const uint32_t id = v->order[i], len = v->at[id + 1] - v->at[id], keep = shared(v, i);
        for (; depth > keep; depth--)
            v->node[open[depth]].skip = n;
        for (; depth < len; n++) {
            const uint8_t byte = (uint8_t)v->byte[v->at[id] + depth];
            open[++depth] = n;
            /* Until its own token comes, if it has one, a node's tokens begin where those of its subtree do. */
            v->node[n] = (dv__trie_node){.token0 = i, .depth = (uint16_t)depth, .byte = byte};
        }
    }
    for (; depth > 0; depth--)
        v->node[open[depth]].skip = n;
    v->node[n] = (dv__trie_node){.skip = n, .token0 = v->n_order};
}

static int build_trie(dv_grammar_vocab *v, dv_err *err)
{
    qsort_r(v->order, v->n_order, sizeof *v->order, by_bytes, v);
    qsort_r(v->markup, v->n_markup, sizeof *v->markup, by_bytes, v);
    v->n_node = count_nodes(v);
    v->node = dv_alloc_array(DV_MEM_GRAMMAR, (size_t)v->n_node + 1, sizeof *v->node);
    if (v->node == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for the trie of %u tokens", (unsigned)v->n);
    fill(v);
    return 0;
}

/* A token that is text. */
static void take_text(dv_grammar_vocab *v, uint32_t id, uint32_t len, bool markup)
{
    if (markup) {
        v->flag[id] = DV__TOKEN_MARKUP;
        v->markup[v->n_markup++] = id;
    } else {
        v->order[v->n_order++] = id;
    }
    v->max_len = DV_MAX(v->max_len, len);
}

static int take_tokens(dv_grammar_vocab *v, const dv_grammar_token *token, size_t n, dv_err *err)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += token[i].n;
    if (total > UINT32_MAX)
        return dv_fail(err, DV_ELIMIT, "a vocabulary of %llu bytes", (unsigned long long)total);
    v->byte = dv_alloc(DV_MEM_GRAMMAR, total);
    v->at = dv_alloc_array(DV_MEM_GRAMMAR, n + 1, sizeof *v->at);
    v->flag = dv_calloc(DV_MEM_GRAMMAR, n, 1);
    v->order = dv_alloc_array(DV_MEM_GRAMMAR, n, sizeof *v->order);
    v->end = dv_alloc_array(DV_MEM_GRAMMAR, n, sizeof *v->end);
    v->special = dv_alloc_array(DV_MEM_GRAMMAR, n, sizeof *v->special);
    v->markup = dv_alloc_array(DV_MEM_GRAMMAR, n, sizeof *v->markup);
    if (!v->byte || !v->at || !v->flag || !v->order || !v->end || !v->special || !v->markup)
        return dv_fail(err, DV_ENOMEM, "out of memory for %zu tokens", n);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        v->at[i] = at;
        if (token[i].n > 0)
            memcpy(v->byte + at, token[i].p, token[i].n);
        at += (uint32_t)token[i].n;
        v->flag[i] = (token[i].special ? DV__TOKEN_SPECIAL : 0) | (token[i].end ? DV__TOKEN_END : 0);
        if (token[i].end)
            v->end[v->n_end++] = i;
        else if (token[i].special)
            v->special[v->n_special++] = i;
        else if (token[i].n > 0 && token[i].n <= DV__MAX_TOKEN)
            take_text(v, i, (uint32_t)token[i].n, token[i].markup);
    }
    v->at[n] = at;
    return v->n_end > 0 ? 0 : dv_fail(err, DV_EINVAL, "the vocabulary has no token that ends a generation");
}

int dv_grammar_vocab_open(dv_grammar_vocab **out, const dv_grammar_token *token, size_t n, dv_err *err)
{
    *out = NULL;
    if (n > DV_TOK_MAX_VOCAB)
        return dv_fail(err, DV_ELIMIT, "a vocabulary of %zu tokens", n);
    dv_grammar_vocab *v = dv_calloc(DV_MEM_GRAMMAR, 1, sizeof *v);
    if (v == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for a vocabulary");
    atomic_init(&v->refs, 1);
    v->n = (uint32_t)n;
    int rc = take_tokens(v, token, n, err);
    if (rc == 0)
        rc = build_trie(v, err);
    if (rc != 0)
        dv_grammar_vocab_unref(&v);
    *out = v;
    return rc;
}

int dv_grammar_vocab_from_tok(dv_grammar_vocab **out, const dv_tok *t, dv_err *err)
{
    const size_t n = dv_tok_n_vocab(t);
    dv_grammar_token *token = dv_alloc_array(DV_MEM_GRAMMAR, n, sizeof *token);
    *out = NULL;
    if (token == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %zu tokens", n);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = (int32_t)i;
        const dv_str piece = dv_tok_piece(t, id);
        const dv_tok_type type = dv_tok_type_of(t, id);
        token[i] = (dv_grammar_token){.p = piece.p,
                                      .n = type == DV_TOK_UNUSED ? 0 : piece.n,
                                      .special = dv_tok_is_control(t, id),
                                      .markup = dv_tok_is_markup(t, id),
                                      .end = dv_tok_is_eog(t, id)};
    }
    int rc = dv_grammar_vocab_open(out, token, n, err);
    dv_free(token);
    return rc;
}

dv_grammar_vocab *dv_grammar_vocab_ref(dv_grammar_vocab *v)
{
    /* Relaxed: whoever adds a reference holds one already. */
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void dv_grammar_vocab_unref(dv_grammar_vocab **pv)
{
    dv_grammar_vocab *v = *pv;
    *pv = NULL;
    /* Release what this thread did with it, and acquire what all others did before it is freed. */
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    dv_free(v->node);
    dv_free(v->order);
    dv_free(v->at);
    dv_free(v->byte);
    dv_free(v->flag);
    dv_free(v->end);
    dv_free(v->special);
    dv_free(v->markup);
    dv_free(v);
}

size_t dv_grammar_vocab_n(const dv_grammar_vocab *v) { return v->n; }

int32_t dv__vocab_find(const dv_grammar_vocab *v, const char *p, size_t n)
{
    int32_t found = -1;
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->at[i + 1] - v->at[i] != n || memcmp(v->byte + v->at[i], p, n) != 0)
            continue;
        if (v->flag[i] != 0)
            return (int32_t)i;
        found = found < 0 ? (int32_t)i : found;
    }
    return found;
}
