/* SPDX-License-Identifier: MIT */
/* SentencePiece-style encoding: characters are merged while a pair makes a token, the one with the best score first;
 * what is no token in the end becomes the tokens of its bytes. Two things keep it fast: the text is cut wherever no
 * token reaches across (between most words), which changes nothing; and looking up a pair hashes no text, since the
 * hash of any stretch follows from two prefix hashes. */
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

bool dv__spm_pair(const dv_tok *t, const dv__work *w, const dv__sym *left, const dv__sym *right, int32_t *out,
                  uint32_t *rank)
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

/* The character at s: its length, and the bytes that stand for it on either side. U+2581 counts as one byte of its own,
 * 0xff, which no character begins with: it separates words. */
static size_t char_at(const char *s, size_t n, unsigned char *first, unsigned char *last)
{
    uint32_t cp = 0;
    int k = dv_utf8_decode(s, n, &cp);
    size_t len = k > 0 ? (size_t)k : 1;
    *first = cp == 0x2581 ? 0xff : (unsigned char)s[0];
    *last = cp == 0x2581 ? 0xff : (unsigned char)s[len - 1];
    return len;
}

int dv__spm_load(dv_tok *t, dv_err *err)
{
    t->joins = dv_calloc(DV_MEM_TOK, 256, 32);
    if (t->joins == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %u tokens", (unsigned)t->n_vocab);
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        dv_str s = t->sym[id];
        unsigned char before = 0, first, last;
        for (size_t i = 0; usable(t, (int32_t)id) && i < s.n; before = last) {
            size_t len = char_at(s.p + i, s.n - i, &first, &last);
            if (i > 0)
                t->joins[before * 32 + first / 8] |= (uint8_t)(1u << first % 8);
            i += len;
        }
    }
    return 0;
}

/* Length of the stretch at s that merging may treat alone: no token reaches across its end. */
static size_t stretch(const dv_tok *t, const char *s, size_t n, size_t *n_char)
{
    unsigned char before = 0, first, last;
    *n_char = 0;
    for (size_t i = 0; i < n; before = last, ++*n_char) {
        size_t len = char_at(s + i, n - i, &first, &last);
        if (i > 0 && !(t->joins[before * 32 + first / 8] & 1u << first % 8))
            return i;
        i += len;
    }
    return n;
}

static int encode_stretch(const dv_tok *t, dv__work *w, const char *s, size_t n, size_t n_char)
{
    if (n > DV_TOK_MAX_WORD)
        return DV_ELIMIT;
    int rc = dv__grow((void **)&w->hash, &w->hash_cap, n + 1, sizeof *w->hash);
    if (rc != 0 || (rc = dv__work_reserve(w, n_char)) != 0)
        return rc;
    w->text = s;
    w->hash[0] = 0;
    for (size_t i = 0; i < n; i++)
        w->hash[i + 1] = dv__hash_step(w->hash[i], s[i]);
    w->n_sym = 0;
    for (size_t i = 0; i < n;) {
        unsigned char first, last;
        uint32_t len = (uint32_t)char_at(s + i, n - i, &first, &last);
        w->sym[w->n_sym++] = (dv__sym){.at = (uint32_t)i, .len = len, .id = find(t, w, (uint32_t)i, len)};
        i += len;
    }
    dv__merge_all(t, w);
    for (int32_t i = 0; i >= 0 && rc == 0; i = w->sym[i].next) {
        const dv__sym *x = &w->sym[i];
        rc = x->id >= 0 ? dv_ids_add(w->out, &x->id, 1) : put_bytes(t, w, x);
    }
    return rc;
}

int dv__spm_encode(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err)
{
    dv_buf_clear(&w->spaced);
    int rc = add_spaced(&w->spaced, s, n, t->space_prefix);
    for (size_t at = 0; at < w->spaced.len && rc == 0;) {
        size_t n_char, len = stretch(t, w->spaced.data + at, w->spaced.len - at, &n_char);
        rc = encode_stretch(t, w, w->spaced.data + at, len, n_char);
        at += len;
    }
    return dv__work_fail(rc, err);
}
