/* SPDX-License-Identifier: MIT */
/* Opening a vocabulary: tokens, types and scores out of the metadata, every length and value checked, and the table
 * from spelling to token. Spellings stay in the mapped file. */
#include "tok/vocab.h"

#include "base/err.h"
#include "base/num.h"
#include "tok/pre.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

uint64_t dv__hash(const char *p, size_t n)
{
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++)
        h = dv__hash_step(h, p[i]);
    return h;
}

int32_t dv__sym_find(const dv_tok *t, const char *p, size_t n, uint64_t hash)
{
    uint64_t m = dv__hash_mix(hash);
    uint32_t tag = (uint32_t)(m >> 32);
    for (size_t i = m & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        uint32_t s = t->slot[i].sym1;
        if (s == 0)
            return -1;
        if (t->slot[i].tag == tag && t->sym[s - 1].n == n && memcmp(t->sym[s - 1].p, p, n) == 0)
            return (int32_t)(s - 1);
    }
}

static void sym_insert(dv_tok *t, uint32_t sym)
{
    uint64_t m = dv__hash_mix(dv__hash(t->sym[sym].p, t->sym[sym].n));
    size_t i = m & t->slot_mask;
    while (t->slot[i].sym1 != 0)
        i = (i + 1) & t->slot_mask;
    t->slot[i].tag = (uint32_t)(m >> 32);
    t->slot[i].sym1 = sym + 1;
}

/* Make room for n symbols. Of the ones that exist, those with a new spelling go into the new table. */
static int sym_reserve(dv_tok *t, size_t n)
{
    size_t n_slot = 4;
    while (n_slot < 2 * n)
        n_slot *= 2;
    dv_str *sym = dv_realloc(DV_MEM_TOK, t->sym, n * sizeof *sym);
    if (sym == NULL)
        return DV_ENOMEM;
    t->sym = sym;
    struct dv__slot *slot = dv_calloc(DV_MEM_TOK, n_slot, sizeof *slot);
    if (slot == NULL)
        return DV_ENOMEM;
    dv_free(t->slot);
    t->slot = slot;
    t->slot_mask = n_slot - 1;
    t->sym_cap = (uint32_t)n;
    for (uint32_t i = 0; i < t->n_sym; i++)
        /* An empty spelling matches nothing; of tokens with the same spelling the first one counts. */
        if (sym[i].n > 0 && dv__sym_find(t, sym[i].p, sym[i].n, dv__hash(sym[i].p, sym[i].n)) < 0)
            sym_insert(t, i);
    return 0;
}

int32_t dv__sym_add(dv_tok *t, dv_str s)
{
    if (t->n_sym == t->sym_cap && sym_reserve(t, (size_t)t->n_sym + t->n_sym / 2) != 0)
        return -1;
    t->sym[t->n_sym] = s;
    sym_insert(t, t->n_sym);
    return (int32_t)t->n_sym++;
}

void dv__tok_note(dv_tok *t, const char *fmt, ...)
{
    size_t len = strlen(t->note);
    va_list ap;
    va_start(ap, fmt);
    if (len + 40 < sizeof t->note) {
        if (len > 0)
            memcpy(t->note + len, "; ", 3), len += 2;
        vsnprintf(t->note + len, sizeof t->note - len, fmt, ap);
    }
    va_end(ap);
}

/* An array of n elements under key; *out is NULL if absent and not required. */
static int find_array(const dv_tok *t, const char *key, uint64_t n, bool required, const dv_gguf_kv **out, dv_err *err)
{
    const dv_gguf_kv *kv = dv_gguf_find(t->g, key);
    *out = kv;
    if (kv == NULL)
        return required ? dv_fail(err, DV_EFORMAT, "%s is missing", key) : 0;
    if (dv_gguf_kv_type(kv) != DV_GGUF_ARR)
        return dv_fail(err, DV_EFORMAT, "%s is not an array", key);
    if (dv_gguf_kv_len(kv) != n)
        return dv_fail(err, DV_EFORMAT, "%s has %llu elements, but the vocabulary has %llu tokens", key,
                       (unsigned long long)dv_gguf_kv_len(kv), (unsigned long long)n);
    return 0;
}

static int load_tokens(dv_tok *t, dv_err *err)
{
    static const char key[] = "tokenizer.ggml.tokens";
    const dv_gguf_kv *kv = dv_gguf_find(t->g, key);
    if (kv == NULL)
        return dv_fail(err, DV_EFORMAT, "%s is missing", key);
    if (dv_gguf_kv_type(kv) != DV_GGUF_ARR || dv_gguf_kv_elem_type(kv) != DV_GGUF_STR)
        return dv_fail(err, DV_EFORMAT, "%s is not an array of strings", key);
    uint64_t n = dv_gguf_kv_len(kv);
    if (n == 0 || n > DV_TOK_MAX_VOCAB)
        return dv_fail(err, n == 0 ? DV_EFORMAT : DV_ELIMIT, "%s has %llu elements (1 to %d are possible)", key,
                       (unsigned long long)n, (int)DV_TOK_MAX_VOCAB);
    t->n_vocab = t->n_sym = (uint32_t)n;
    t->sym = dv_alloc_array(DV_MEM_TOK, n, sizeof *t->sym);
    t->type = dv_alloc(DV_MEM_TOK, n);
    t->flag = dv_calloc(DV_MEM_TOK, n, 1);
    if (t->sym == NULL || t->type == NULL || t->flag == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %llu tokens", (unsigned long long)n);
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        if (!dv_gguf_kv_str(kv, i, &t->sym[i]))
            return dv_fail(err, DV_EFORMAT, "%s[%u] cannot be read", key, (unsigned)i);
        if (t->sym[i].n > DV__TOK_MAX_TEXT_LEN)
            return dv_fail(err, DV_ELIMIT, "%s[%u] has %zu bytes (at most %d)", key, (unsigned)i, t->sym[i].n,
                           (int)DV__TOK_MAX_TEXT_LEN);
    }
    return 0;
}

static int load_types(dv_tok *t, dv_err *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const dv_gguf_kv *kv;
    int rc = find_array(t, key, t->n_vocab, false, &kv, err);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        int64_t v = DV_TOK_NORMAL;
        if (kv != NULL && !dv_gguf_kv_i64(kv, i, &v))
            return dv_fail(err, DV_EFORMAT, "%s[%u] is not an integer", key, (unsigned)i);
        if (kv != NULL && (v < 0 || v > DV_TOK_BYTE))
            return dv_fail(err, DV_EFORMAT, "%s[%u] is %lld (0 to 6 are possible)", key, (unsigned)i, (long long)v);
        /* 0, "undefined", is what some converters write for padding tokens. */
        t->type[i] = v == 0 ? DV_TOK_UNUSED : (uint8_t)v;
        if (kv == NULL && t->spm && dv__byte_token(t->sym[i]) >= 0)
            t->type[i] = DV_TOK_BYTE;
    }
    return 0;
}

/* `llama`: scores, the tokens of single bytes, and what hashing substrings needs. */
static int load_spm(dv_tok *t, dv_err *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const dv_gguf_kv *kv;
    int rc = find_array(t, key, t->n_vocab, true, &kv, err);
    if (rc != 0)
        return rc;
    t->score = dv_alloc_array(DV_MEM_TOK, t->n_vocab, sizeof *t->score);
    t->power = dv_alloc_array(DV_MEM_TOK, DV__TOK_MAX_TEXT_LEN + 1, sizeof *t->power);
    if (t->score == NULL || t->power == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for the scores of %u tokens", (unsigned)t->n_vocab);
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        double v;
        if (!dv_gguf_kv_f64(kv, i, &v) || isnan(v))
            return dv_fail(err, DV_EFORMAT, "%s[%u] is not a number", key, (unsigned)i);
        t->score[i] = (float)v;
    }
    t->power[0] = 1;
    for (size_t i = 1; i <= DV__TOK_MAX_TEXT_LEN; i++)
        t->power[i] = t->power[i - 1] * DV__HASH_BASE;

    for (int b = 0; b < 256; b++)
        t->byte_sym[b] = -1;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        int b = dv__byte_token(t->sym[i]);
        if (t->type[i] == DV_TOK_BYTE && b < 0)
            return dv_fail(err, DV_EFORMAT,
                           "tokenizer.ggml.tokens[%u] is of the type byte, but \"%.*s\" is not of the form <0xNN>",
                           (unsigned)i, (int)DV_MIN(t->sym[i].n, (size_t)40), t->sym[i].p);
        if (b >= 0 && t->type[i] != DV_TOK_CONTROL && t->byte_sym[b] < 0)
            t->byte_sym[b] = (int32_t)i;
    }
    return 0;
}

static int build_table(dv_tok *t, dv_err *err)
{
    for (uint32_t i = 0; i < t->n_vocab; i++)
        t->max_len = DV_MAX(t->max_len, t->sym[i].n);
    /* Byte-level vocabularies add the spellings of bytes that are no tokens, and few others. */
    if (sym_reserve(t, (size_t)t->n_vocab + 512) != 0)
        return dv_fail(err, DV_ENOMEM, "out of memory for %u tokens", (unsigned)t->n_vocab);
    return 0;
}

static int load_all(dv_tok *t, dv_err *err)
{
    dv_str model;
    int rc = dv_gguf_get_str(t->g, "tokenizer.ggml.model", &model, err);
    if (rc == DV_ENOENT)
        return err != NULL ? err->code = DV_EFORMAT : DV_EFORMAT;
    if (rc != 0)
        return rc;
    t->spm = model.n == 5 && memcmp(model.p, "llama", 5) == 0;
    if (!t->spm && !(model.n == 4 && memcmp(model.p, "gpt2", 4) == 0))
        return dv_fail(err, DV_EUNSUPPORTED,
                       "tokenizer.ggml.model is \"%.*s\", which is not supported (supported: gpt2, llama)",
                       (int)DV_MIN(model.n, (size_t)60), model.p);
    t->space_prefix = t->adds_bos = t->spm;
    if ((rc = load_tokens(t, err)) != 0 || (rc = build_table(t, err)) != 0 || (rc = load_types(t, err)) != 0)
        return rc;
    if ((rc = t->spm ? load_spm(t, err) : dv__pre_load(t, err)) != 0)
        return rc;
    if ((rc = dv_gguf_opt_bool(t->g, "tokenizer.ggml.add_space_prefix", t->space_prefix, &t->space_prefix, err)) != 0)
        return rc;
    if ((rc = dv__roles_load(t, err)) != 0)
        return rc;
    if ((rc = t->spm ? dv__spm_load(t, err) : dv__bpe_load(t, err)) != 0)
        return rc;
    if ((rc = dv__whole_load(t, err)) != 0)
        return rc;
    return dv__pieces_load(t, err);
}

int dv_tok_open(dv_tok **out, const dv_gguf *g, dv_err *err)
{
    *out = NULL;
    dv_tok *t = dv_calloc(DV_MEM_TOK, 1, sizeof *t);
    if (t == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for a tokenizer");
    t->g = g;
    int rc = load_all(t, err);
    if (rc != 0) {
        dv_tok_close(&t);
        return rc;
    }
    *out = t;
    return 0;
}

void dv_tok_close(dv_tok **tp)
{
    dv_tok *t = *tp;
    if (t == NULL)
        return;
    dv__pre_free(t->pre);
    dv_free(t->pre_name);
    dv_free(t->sym);
    dv_free(t->type);
    dv_free(t->flag);
    dv_free(t->score);
    dv_free(t->eog);
    dv_free(t->slot);
    dv_free(t->power);
    dv_free(t->joins);
    dv_free(t->extra);
    dv_free(t->merge);
    dv_free(t->whole);
    dv_free(t->piece);
    dv_free(t->piece_at);
    dv_free(t);
    *tp = NULL;
}

static bool valid(const dv_tok *t, int32_t id) { return id >= 0 && (uint32_t)id < t->n_vocab; }

const char *dv_tok_note(const dv_tok *t) { return t->note; }
const char *dv_tok_model(const dv_tok *t) { return t->spm ? "llama" : "gpt2"; }
const char *dv_tok_pre(const dv_tok *t) { return t->pre_name != NULL ? t->pre_name : ""; }
size_t dv_tok_n_vocab(const dv_tok *t) { return t->n_vocab; }
bool dv_tok_adds_bos(const dv_tok *t) { return t->adds_bos; }
bool dv_tok_adds_eos(const dv_tok *t) { return t->adds_eos; }

int32_t dv_tok_role_id(const dv_tok *t, dv_tok_role role)
{
    return (unsigned)role < DV_TOK_ROLE_N ? t->role[role] : -1;
}

dv_tok_type dv_tok_type_of(const dv_tok *t, int32_t id)
{
    return valid(t, id) ? (dv_tok_type)t->type[id] : (dv_tok_type)0;
}

bool dv_tok_is_markup(const dv_tok *t, int32_t id)
{
    return valid(t, id) && t->type[id] == DV_TOK_USER && (t->flag[id] & DV__TOK_GUARDED) != 0;
}

bool dv_tok_is_control(const dv_tok *t, int32_t id)
{
    return valid(t, id) && (t->type[id] == DV_TOK_CONTROL || t->type[id] == DV_TOK_UNKNOWN);
}

bool dv_tok_is_eog(const dv_tok *t, int32_t id) { return valid(t, id) && (t->flag[id] & DV__TOK_EOG) != 0; }

const int32_t *dv_tok_eog(const dv_tok *t, size_t *n)
{
    *n = t->n_eog;
    return t->eog;
}

int32_t dv_tok_find(const dv_tok *t, const char *text, size_t n)
{
    int32_t id = n > 0 ? dv__sym_find(t, text, n, dv__hash(text, n)) : -1;
    return valid(t, id) ? id : -1;
}

dv_str dv_tok_text(const dv_tok *t, int32_t id) { return valid(t, id) ? t->sym[id] : (dv_str){"", 0}; }
