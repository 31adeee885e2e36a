/* SPDX-License-Identifier: MIT */
/* From text to tokens: parts become one text, tokens that are matched as a whole are cut out, the stretches between
 * them are merged. Which bytes are trusted decides which whole tokens count. */
#include "tok/tok.h"

#include "base/err.h"
#include "base/num.h"
#include "tok/vocab.h"
#include "tok/work.h"

#include <string.h>

void dv_ids_fini(dv_ids *ids)
{
    dv_free(ids->id);
    *ids = (dv_ids){0};
}

int dv_ids_add(dv_ids *ids, const int32_t *id, size_t n)
{
    size_t need;
    if (ids->max != 0 && n > ids->max - DV_MIN(ids->len, ids->max))
        return DV_ECONTEXT;
    if (!dv_add_size(ids->len, n, &need) || dv__grow((void **)&ids->id, &ids->cap, need, sizeof *ids->id) != 0)
        return DV_ENOMEM;
    for (size_t i = 0; i < n; i++)
        ids->id[ids->len++] = id[i];
    return 0;
}

/* Where in the text trust ends, kept up to date while a position walks forward. */
typedef struct trust {
    const dv_tok_part *part;
    size_t n_part;
    size_t i;     /* part that holds the position */
    size_t begin; /* where it begins in the text */
    size_t end;   /* end of the trusted stretch from part i on, if it is trusted */
    size_t end_i; /* the part behind that stretch */
    bool all;
} trust;

/* Bytes from at on that are trusted. */
static size_t trusted_from(trust *r, size_t at, size_t n)
{
    if (r->all)
        return n - at;
    while (r->i < r->n_part && at >= r->begin + r->part[r->i].n)
        r->begin += r->part[r->i++].n;
    if (r->i >= r->n_part || !r->part[r->i].trusted)
        return 0;
    if (r->end_i <= r->i) {
        r->end = r->begin;
        for (r->end_i = r->i; r->end_i < r->n_part && (r->part[r->end_i].trusted || r->part[r->end_i].n == 0);
             r->end_i++)
            r->end += r->part[r->end_i].n;
    }
    return r->end - at;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static int encode_between(const dv_tok *t, dv__work *w, const char *s, size_t n, dv_err *err)
{
    if (n == 0)
        return 0;
    return t->spm ? dv__spm_encode(t, w, s, n, err) : dv__bpe_encode(t, w, s, n, err);
}

static int encode_text(const dv_tok *t, dv__work *w, const char *s, size_t n, trust *r, dv_err *err)
{
    size_t done = 0, i = 0;
    while (i < n) {
        unsigned b = (unsigned char)s[i];
        if (t->whole_at[b] == t->whole_at[b + 1]) {
            i++;
            continue;
        }
        int32_t id = dv__whole_match(t, s + i, n - i, trusted_from(r, i, n));
        if (id < 0) {
            i++;
            continue;
        }
        int rc = encode_between(t, w, s + done, i - done, err);
        if (rc == 0 && (rc = dv_ids_add(w->out, &id, 1)) != 0)
            dv_fail(err, rc, "%s while tokenizing", dv_error_text(rc));
        if (rc != 0)
            return rc;
        i += t->sym[id].n;
        while ((t->flag[id] & DV__TOK_RSTRIP) && i < n && is_space(s[i]))
            i++;
        done = i;
    }
    return encode_between(t, w, s + done, n - done, err);
}

/* The parts as one text; a single part stays where it is. */
static int join(dv__work *w, const dv_tok_part *parts, size_t n_parts, const char **s, size_t *n, dv_err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n_parts; i++)
        if (!dv_add_size(total, parts[i].n, &total) || total > DV_TOK_MAX_TEXT)
            return dv_fail(err, DV_ELIMIT, "the text is longer than %d bytes", (int)DV_TOK_MAX_TEXT);
    *n = total;
    *s = n_parts == 1 ? parts[0].p : "";
    if (n_parts <= 1 || total == 0)
        return 0;
    dv_buf_reserve(&w->joined, total);
    for (size_t i = 0; i < n_parts; i++)
        dv_buf_add(&w->joined, parts[i].p, parts[i].n);
    *s = w->joined.data;
    return w->joined.code != 0 ? dv_fail(err, DV_ENOMEM, "out of memory while tokenizing") : 0;
}

int dv_tok_encode_parts(const dv_tok *t, const dv_tok_part *parts, size_t n_parts, unsigned flags, dv_ids *out,
                        dv_err *err)
{
    dv__work w;
    trust r = {.part = parts, .n_part = n_parts, .all = (flags & DV_TOK_SPECIAL) != 0};
    const char *s = "";
    size_t n = 0, len_before = out->len;
    dv__work_init(&w, out);
    int rc = join(&w, parts, n_parts, &s, &n, err);
    if (rc == 0 && (flags & DV_TOK_BOS_EOS) && t->adds_bos)
        rc = dv_ids_add(out, &t->role[DV_TOK_BOS], 1);
    if (rc == 0)
        rc = encode_text(t, &w, s, n, &r, err);
    if (rc == 0 && (flags & DV_TOK_BOS_EOS) && t->adds_eos)
        rc = dv_ids_add(out, &t->role[DV_TOK_EOS], 1);
    dv__work_fini(&w);
    if (rc != 0) {
        out->len = len_before;
        dv_fail(err, rc, "%s while tokenizing", dv_error_text(rc));
    }
    return rc;
}

int dv_tok_encode(const dv_tok *t, const char *text, size_t len, unsigned flags, dv_ids *out, dv_err *err)
{
    dv_tok_part part = {.p = text, .n = len, .trusted = (flags & DV_TOK_SPECIAL) != 0};
    return dv_tok_encode_parts(t, &part, 1, flags, out, err);
}
