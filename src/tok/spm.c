/* SPDX-License-Identifier: MIT */
/* SentencePiece-style encoding: characters are merged while a pair makes a token, the one with the best score first;
 * what is no token in the end becomes the tokens of its bytes. Looking up a pair hashes no text: the hash of any stretch
 * follows from two prefix hashes. */
#include "tok/vocab.h"

#include "base/err.h"
#include "base/utf8.h"
#include "tok/work.h"

#include <string.h>

/* Higher scores first: the bits of a float, made to order like an integer, turned around. */
static uint32_t rank_of(float score)
{
    uint32_t u;
    score += 0.0f; /* -0 as 0 */
    memcpy(&u, &score, sizeof u);
    return u & 0x80000000u ? u : ~(u | 0x80000000u);
}

/* Text becomes neither a control token nor a byte's: "<0x41>" in a text is these six characters. */
static bool usable(const dv_tok *t, int32_t id)
{
    return id >= 0 && !(t->flag[id] & DV__TOK_GUARDED) && t->type[id] != DV_TOK_BYTE;
}

static int32_t find(const dv_tok *t, const dv__work *w, uint32_t at, uint32_t len)
{
    if (len > t->max_len)
        return -1;
    int32_t id = dv__sym_find(t, w->text + at, len, w->hash[at + len] - w->hash[at] * t->power[len]);
    return usable(t, id) ? id : -1;
}

bool dv__spm_pair(const dv_tok *t, const dv__work *w, const dv__sym *left, const dv__sym *right, int32_t *out, uint32_t *rank)
{
    int32_t id = find(t, w, left->at, left->len + right->len);
    if (id < 0)
        return false;
    *out = id;
    *rank = rank_of(t->score[id]);
    return true;
}

/* A character that is no token: its bytes, or one unknown token if the vocabulary lacks one of them. */
static int put_bytes(const dv_tok *t, dv__work *w, const dv__sym *x)
{
    int32_t id[4];
    size_t n = 0;
    for (; n < x->len && n < 4; n++) {
        id[n] = t->byte_sym[(unsigned char)w->text[x->at + n]];
        if (id[n] < 0) {
            id[0] = t->role[DV_TOK_UNK];
            return id[0] >= 0 ? dv_ids_add(w->out, id, 1) : 0;
        }
    }
    return dv_ids_add(w->out, id, n);
}

static int add_spaced(dv_buf *b, const char *s, size_t n, bool prefix)
{
    static const char mark[] = "\xe2\x96\x81";
    if (prefix)
        dv_buf_add(b, mark, 3);
    while (n > 0 && b->code == 0) {
        const char *space = memchr(s, ' ', n);
        size_t len = space != NULL ? (size_t)(space - s) : n;
        dv_buf_add(b, s, len);
        s += len;
        n -= len;
        if (n > 0) {
            dv_buf_add(b, mark, 3);
            s++;
            n--;
        }
    }
    return b->code;
}

int dv__spm_encode(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err)
{
    dv_buf_clear(&w->spaced);
    int rc = add_spaced(&w->spaced, s, n, t->space_prefix);
    w->text = w->spaced.data;
    n = w->spaced.len;
    if (rc == 0)
        rc = dv__grow((void **)&w->hash, &w->hash_cap, n + 1, sizeof *w->hash);
    if (rc == 0)
        rc = dv__work_reserve(w, dv_utf8_count(w->text, n));
    if (rc != 0)
        return dv_fail(err, rc, "out of memory while tokenizing");
    w->hash[0] = 0;
    for (size_t i = 0; i < n; i++)
        w->hash[i + 1] = dv__hash_step(w->hash[i], w->text[i]);
    w->n_sym = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int k = dv_utf8_decode(w->text + i, n - i, &cp);
        uint32_t len = k > 0 ? (uint32_t)k : 1;
        w->sym[w->n_sym++] = (dv__sym){.at = (uint32_t)i, .len = len, .id = find(t, w, (uint32_t)i, len)};
        i += len;
    }
    dv__merge_all(t, w);
    for (int32_t i = n > 0 ? 0 : -1; i >= 0 && rc == 0; i = w->sym[i].next) {
        const dv__sym *x = &w->sym[i];
        rc = x->id >= 0 ? dv_ids_add(w->out, &x->id, 1) : put_bytes(t, w, x);
    }
    return rc != 0 ? dv_fail(err, rc, "out of memory while tokenizing") : 0;
}
