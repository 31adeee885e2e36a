/* SPDX-License-Identifier: MIT */
/* Byte-level BPE: the table of merges by symbol, and the encoding of one word after the other. */
#include "tok/vocab.h"

#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"
#include "tok/pre.h"
#include "tok/work.h"

#include <string.h>

static const char merges_key[] = "tokenizer.ggml.merges";

static size_t merge_slot(const dv_tok *t, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    return (size_t)(h * UINT64_C(0xbf58476d1ce4e5b9) >> 20) & t->merge_mask;
}

bool dv__bpe_pair(const dv_tok *t, const dv__sym *left, const dv__sym *right, int32_t *out, uint32_t *rank)
{
    for (size_t i = merge_slot(t, left->id, right->id);; i = (i + 1) & t->merge_mask) {
        const dv__merge *m = &t->merge[i];
        if (m->left < 0)
            return false;
        if (m->left == left->id && m->right == right->id) {
            *out = m->out;
            *rank = m->rank;
            return true;
        }
    }
}

/* A merge keeps the rank at which its pair is first listed. */
static void merge_add(dv_tok *t, dv__merge m)
{
    size_t i = merge_slot(t, m.left, m.right);
    while (t->merge[i].left >= 0) {
        if (t->merge[i].left == m.left && t->merge[i].right == m.right)
            return;
        i = (i + 1) & t->merge_mask;
    }
    t->merge[i] = m;
}

/* The symbol of a spelling; a new one if there is none yet; -1 when out of memory. s must live as long as t. */
static int32_t intern(dv_tok *t, dv_str s, uint64_t hash)
{
    int32_t id = dv__sym_find(t, s.p, s.n, hash);
    return id >= 0 ? id : dv__sym_add(t, s);
}

/* Where the two parts of a merge are separated: the first space behind the first byte; 0 if it is malformed. */
static size_t split_at(dv_str s)
{
    const char *p = s.n > 2 ? memchr(s.p + 1, ' ', s.n - 2) : NULL;
    return p != NULL ? (size_t)(p - s.p) : 0;
}

enum { BATCH = 32 };

/* One merge on its way into the table. */
typedef struct pending {
    dv_str part[3]; /* left, right, both joined */
    uint64_t hash[3];
    dv__merge m;
} pending;

static int parse_merge(const dv_gguf_kv *kv, uint32_t i, pending *x, dv_err *err)
{
    dv_str s = {"", 0};
    size_t at = dv_gguf_kv_str(kv, i, &s) ? split_at(s) : 0;
    if (at == 0)
        return dv_fail(err, DV_EFORMAT, "%s[%u] is \"%.*s\": not two parts separated by a space", merges_key,
                       (unsigned)i, (int)DV_MIN(s.n, (size_t)40), s.p);
    x->part[0] = (dv_str){s.p, at};
    x->part[1] = (dv_str){s.p + at + 1, s.n - at - 1};
    x->hash[0] = x->hash[2] = dv__hash(s.p, at);
    x->hash[1] = 0;
    for (size_t j = at + 1; j < s.n; j++) {
        x->hash[1] = dv__hash_step(x->hash[1], s.p[j]);
        x->hash[2] = dv__hash_step(x->hash[2], s.p[j]);
    }
    x->m.rank = i;
    return 0;
}

/* The symbol that will be compared with a spelling of this hash, if there is any. */
static uint32_t candidate(const dv_tok *t, uint64_t hash)
{
    uint64_t m = dv__hash_mix(hash);
    size_t i = m & t->slot_mask;
    while (t->slot[i].sym1 != 0 && t->slot[i].tag != (uint32_t)(m >> 32))
        i = (i + 1) & t->slot_mask;
    return t->slot[i].sym1 != 0 ? t->slot[i].sym1 - 1 : 0;
}

/* The tables are larger than the caches: fetch what n merges need before any of them waits for it. */
static void prefetch(const dv_tok *t, const pending *x, size_t n)
{
    uint32_t sym[3 * BATCH];
    for (size_t i = 0; i < 3 * n; i++)
        __builtin_prefetch(&t->slot[dv__hash_mix(x[i / 3].hash[i % 3]) & t->slot_mask]);
    for (size_t i = 0; i < 3 * n; i++)
        __builtin_prefetch(&t->sym[sym[i] = candidate(t, x[i / 3].hash[i % 3])]);
    for (size_t i = 0; i < 3 * n; i++)
        __builtin_prefetch(t->sym[sym[i]].p);
}

/* Every part and every result of a merge becomes a symbol, so that merging compares numbers only. */
static int intern_merge(dv_tok *t, pending *x, char **extra)
{
    uint32_t before = t->n_sym;
    memcpy(*extra, x->part[0].p, x->part[0].n);
    memcpy(*extra + x->part[0].n, x->part[1].p, x->part[1].n);
    x->part[2] = (dv_str){*extra, x->part[0].n + x->part[1].n};
    x->m.out = intern(t, x->part[2], x->hash[2]);
    if (t->n_sym > before)
        *extra += x->part[2].n;
    x->m.left = intern(t, x->part[0], x->hash[0]);
    x->m.right = intern(t, x->part[1], x->hash[1]);
    if (x->m.out < 0 || x->m.left < 0 || x->m.right < 0)
        return DV_ENOMEM;
    __builtin_prefetch(&t->merge[merge_slot(t, x->m.left, x->m.right)]);
    return 0;
}

static int load_merges(dv_tok *t, const dv_gguf_kv *kv, uint32_t n, char *extra, dv_err *err)
{
    pending batch[BATCH];
    for (uint32_t i = 0; i < n;) {
        uint32_t k = DV_MIN(n - i, (uint32_t)BATCH);
        for (uint32_t j = 0; j < k; j++) {
            int rc = parse_merge(kv, i + j, &batch[j], err);
            if (rc != 0)
                return rc;
        }
        prefetch(t, batch, k);
        for (uint32_t j = 0; j < k; j++)
            if (intern_merge(t, &batch[j], &extra) != 0)
                return dv_fail(err, DV_ENOMEM, "out of memory for %u merges", (unsigned)n);
        for (uint32_t j = 0; j < k; j++)
            merge_add(t, batch[j].m);
        i += k;
    }
    return 0;
}

int dv__bpe_load(dv_tok *t, dv_err *err)
{
    const dv_gguf_kv *kv = dv_gguf_find(t->g, merges_key);
    if (kv == NULL)
        return dv_fail(err, DV_EFORMAT, "%s is missing", merges_key);
    if (dv_gguf_kv_type(kv) != DV_GGUF_ARR || dv_gguf_kv_elem_type(kv) != DV_GGUF_STR)
        return dv_fail(err, DV_EFORMAT, "%s is not an array of strings", merges_key);
    uint64_t n = dv_gguf_kv_len(kv), bytes = 4 * 256;
    if (n > DV_TOK_MAX_VOCAB)
        return dv_fail(err, DV_ELIMIT, "%s has %llu elements (at most %d)", merges_key, (unsigned long long)n,
                       (int)DV_TOK_MAX_VOCAB);
    for (uint64_t i = 0; i < n; i++) {
        dv_str s = {"", 0};
        if (dv_gguf_kv_str(kv, i, &s) && s.n > DV__TOK_MAX_TEXT_LEN)
            return dv_fail(err, DV_ELIMIT, "%s[%llu] has %zu bytes (at most %d)", merges_key, (unsigned long long)i,
                           s.n, (int)DV__TOK_MAX_TEXT_LEN);
        bytes += s.n;
    }
    size_t n_slot = 4;
    while (n_slot < 2 * n)
        n_slot *= 2;
    t->extra = dv_alloc(DV_MEM_TOK, bytes);
    t->merge = dv_alloc_array(DV_MEM_TOK, n_slot, sizeof *t->merge);
    if (t->extra == NULL || t->merge == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %llu merges", (unsigned long long)n);
    t->merge_mask = n_slot - 1;
    memset(t->merge, 0xff, n_slot * sizeof *t->merge);
    char *extra = t->extra;
    for (unsigned b = 0; b < 256; b++) {
        size_t len = (size_t)dv_utf8_encode(dv__cp_of_byte((unsigned char)b), extra);
        t->byte_sym[b] = intern(t, (dv_str){extra, len}, dv__hash(extra, len));
        if (t->byte_sym[b] < 0)
            return dv_fail(err, DV_ENOMEM, "out of memory for the bytes");
        extra += len;
    }
    return load_merges(t, kv, (uint32_t)n, extra, err);
}

/* A symbol that is no token, or one that text must not become: the tokens of its bytes, as far as there are any. */
static int put_bytes(const dv_tok *t, dv__work *w, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->byte_sym[(unsigned char)s[i]];
        if ((uint32_t)id >= t->n_vocab || (t->flag[id] & DV__TOK_GUARDED))
            id = t->role[DV_TOK_UNK];
        int rc = id >= 0 ? dv_ids_add(w->out, &id, 1) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static bool usable(const dv_tok *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->n_vocab && !(t->flag[id] & DV__TOK_GUARDED);
}

/* The token that a whole word is, -1 if it is none. */
static int32_t whole_word(const dv_tok *t, const char *s, size_t n)
{
    uint64_t h = 0;
    char spell[512];
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        dv_str c = t->sym[t->byte_sym[(unsigned char)s[i]]];
        if (len + c.n > sizeof spell || len + c.n > t->max_len)
            return -1;
        for (size_t j = 0; j < c.n; j++)
            h = dv__hash_step(h, spell[len++] = c.p[j]);
    }
    int32_t id = dv__sym_find(t, spell, len, h);
    return usable(t, id) ? id : -1;
}

static int encode_word(const dv_tok *t, dv__work *w, const char *s, size_t n)
{
    if (n > DV_TOK_MAX_WORD)
        return DV_ELIMIT;
    int32_t id = n == 1 ? t->byte_sym[(unsigned char)s[0]] : t->ignore_merges ? whole_word(t, s, n) : -1;
    if (usable(t, id))
        return dv_ids_add(w->out, &id, 1);
    int rc = dv__work_reserve(w, n);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        w->sym[i] = (dv__sym){.at = (uint32_t)i, .len = 1, .id = t->byte_sym[(unsigned char)s[i]]};
    w->n_sym = n;
    dv__merge_all(t, w);
    for (int32_t i = 0; i >= 0 && rc == 0; i = w->sym[i].next) {
        const dv__sym *x = &w->sym[i];
        rc = usable(t, x->id) ? dv_ids_add(w->out, &x->id, 1) : put_bytes(t, w, s + x->at, x->len);
    }
    return rc;
}

/* Length of the longest valid stretch at s; 0 if it begins with an invalid byte. */
static size_t valid_len(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        int k = (unsigned char)s[i] < 0x80 ? 1 : dv_utf8_decode(s + i, n - i, &cp);
        if (k <= 0)
            break;
        i += (size_t)k;
    }
    return i;
}

int dv__bpe_encode(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err)
{
    int rc = 0;
    while (n > 0 && rc == 0) {
        size_t len = valid_len(s, n);
        if (len > 0) {
            if ((rc = dv__pre_split(t->pre, w, s, len, err)) != 0)
                return rc;
            for (size_t i = 0, at = 0; i < w->n_cut && rc == 0; at += w->cut[i++])
                rc = encode_word(t, w, s + at, w->cut[i]);
        } else {
            /* Invalid bytes are a word of their own: expressions see characters only. */
            do {
                len++;
            } while (len < n && valid_len(s + len, DV_MIN(n - len, (size_t)4)) == 0);
            rc = encode_word(t, w, s, len);
        }
        s += len;
        n -= len;
    }
    return dv__work_fail(rc, err);
}
