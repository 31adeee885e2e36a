/* SPDX-License-Identifier: MIT */
#include "tools/vocab.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

enum { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_UNUSED = 5 }; /* tokenizer.ggml.token_type */
enum { MAX_PIECE = 24, N_SPECIAL = 3 };

static bool key_is(dv_str k, const char *s) { return k.n == strlen(s) && memcmp(k.p, s, k.n) == 0; }

static dv_str str(const char *s) { return (dv_str){s, strlen(s)}; }

/* tokens, scores and token_type, longer than in the file. */
static int put_longer(dv_gguf_writer *w, const dv_gguf *g, dv_arena *a, uint64_t n_old, uint32_t n, dv_err *err)
{
    const dv_gguf_kv *tokens = dv_gguf_find(g, "tokenizer.ggml.tokens"),
                     *types = dv_gguf_find(g, "tokenizer.ggml.token_type");
    const dv_gguf_kv *scores = dv_gguf_find(g, "tokenizer.ggml.scores");
    dv_str *s = dv_arena_calloc(a, n, sizeof(*s));
    int32_t *t = dv_arena_calloc(a, n, sizeof(*t));
    float *f = dv_arena_calloc(a, n, sizeof(*f));
    if (!s || !t || !f)
        return dv_fail(err, DV_ENOMEM, "out of memory for a vocabulary of %u tokens", n);
    for (uint32_t i = 0; i < n; i++) {
        int64_t type = TOKEN_NORMAL;
        double score = 0;
        if (i < n_old) {
            dv_gguf_kv_str(tokens, i, &s[i]);
            if (types)
                dv_gguf_kv_i64(types, i, &type);
            if (scores)
                dv_gguf_kv_f64(scores, i, &score);
        } else {
            char name[32];
            snprintf(name, sizeof(name), "[PAD%u]", i);
            char *copy = dv_arena_strndup(a, name, strlen(name));
            if (!copy)
                return dv_fail(err, DV_ENOMEM, "out of memory for a vocabulary of %u tokens", n);
            s[i] = str(copy);
            type = TOKEN_UNUSED;
            score = -1000;
        }
        t[i] = (int32_t)type;
        f[i] = (float)score;
    }
    dv_gguf_put_str_array(w, "tokenizer.ggml.tokens", s, n);
    if (scores)
        dv_gguf_put_array(w, "tokenizer.ggml.scores", DV_GGUF_F32, f, n);
    return dv_gguf_put_array(w, "tokenizer.ggml.token_type", DV_GGUF_I32, t, n);
}

static int copy_from(dv_gguf_writer *w, const dv_gguf *g, dv_arena *a, uint32_t n_want, uint32_t *n_vocab, dv_err *err)
{
    const dv_gguf_kv *tokens = dv_gguf_find(g, "tokenizer.ggml.tokens");
    if (!tokens || dv_gguf_kv_elem_type(tokens) != DV_GGUF_STR || dv_gguf_kv_len(tokens) > 1u << 20)
        return dv_fail(err, DV_EFORMAT, "tokenizer.ggml.tokens is missing or is no list of up to 2^20 strings");
    uint64_t n_old = dv_gguf_kv_len(tokens);
    *n_vocab = n_old > n_want ? (uint32_t)n_old : n_want;
    for (size_t i = 0; i < dv_gguf_n_kv(g); i++) {
        const dv_gguf_kv *kv = dv_gguf_kv_at(g, i);
        dv_str k = dv_gguf_kv_key(kv);
        bool grows = key_is(k, "tokenizer.ggml.tokens") || key_is(k, "tokenizer.ggml.scores") ||
                     key_is(k, "tokenizer.ggml.token_type");
        if (k.n > 10 && memcmp(k.p, "tokenizer.", 10) == 0 && !grows)
            dv_gguf_put_kv(w, kv);
    }
    return put_longer(w, g, a, n_old, *n_vocab, err);
}

int synth_vocab_copy(dv_gguf_writer *w, const char *path, uint32_t n_want, uint32_t *n_vocab, dv_err *err)
{
    dv_gguf *g = NULL;
    dv_arena a;
    int rc = dv_gguf_open(&g, path, err);
    if (rc)
        return rc;
    dv_arena_init(&a, DV_MEM_BASE, 0);
    rc = copy_from(w, g, &a, n_want, n_vocab, err);
    dv_arena_fini(&a);
    dv_gguf_close(&g);
    return rc;
}

/* A vocabulary in the making. The set holds index + 1 of each piece, open addressing. */
typedef struct maker {
    dv_arena arena;
    dv_str *pieces, *merges;
    uint32_t *set;
    uint32_t n, n_merges, set_cap;
} maker;

/* Byte-level BPE writes each byte as a printable character: itself where it is one in Latin-1, else one from U+0100 on. */
static uint32_t byte_char(uint32_t byte)
{
    bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    if (printable)
        return byte;
    if (byte <= 32)
        return 256 + byte;
    return byte <= 160 ? 256 + 33 + (byte - 127) : 256 + 67;
}

static uint32_t hash(const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 16777619u;
    return h;
}

/* Add a piece; false if it is there already. */
static bool add_piece(maker *m, const char *s, size_t n)
{
    uint32_t i = hash(s, n) & (m->set_cap - 1);
    for (; m->set[i]; i = (i + 1) & (m->set_cap - 1)) {
        dv_str p = m->pieces[m->set[i] - 1];
        if (p.n == n && memcmp(p.p, s, n) == 0)
            return false;
    }
    char *copy = dv_arena_strndup(&m->arena, s, n);
    if (!copy)
        return false;
    m->pieces[m->n] = (dv_str){copy, n};
    m->set[i] = ++m->n;
    return true;
}

static void add_bytes(maker *m)
{
    for (uint32_t b = 0; b < 256; b++) {
        char s[4];
        int n = dv_utf8_encode(byte_char(b), s);
        add_piece(m, s, (size_t)n);
    }
}

/* One random merge of pieces that exist: letters as often as in English text, so that the pieces look like parts of words. */
static bool add_merge(maker *m, dv_rng *rng)
{
    static const char letters[] =
        "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummmwwffggyyppbbvkjxqz";
    uint32_t part[2];
    for (int i = 0; i < 2; i++) {
        uint64_t kind = dv_rng_below(rng, 8), n_merged = m->n - 256;
        if (kind == 0 && i == 0)
            part[i] = ' '; /* the piece of a space stands at index 32 */
        else if (kind < 5 || n_merged == 0)
            part[i] = (uint8_t)letters[dv_rng_below(rng, sizeof(letters) - 1)];
        else
            part[i] = 256 + (uint32_t)dv_rng_below(rng, n_merged);
    }
    dv_str a = m->pieces[part[0]], b = m->pieces[part[1]];
    char s[2 * MAX_PIECE + 1];
    bool space_inside = b.n >= 2 && memcmp(b.p, "\xc4\xa0", 2) == 0;
    if (space_inside || a.n + b.n > MAX_PIECE)
        return false;
    memcpy(s, a.p, a.n);
    memcpy(s + a.n, b.p, b.n);
    if (!add_piece(m, s, a.n + b.n))
        return false;
    memcpy(s, a.p, a.n);
    s[a.n] = ' ';
    memcpy(s + a.n + 1, b.p, b.n);
    char *merge = dv_arena_strndup(&m->arena, s, a.n + b.n + 1);
    if (merge)
        m->merges[m->n_merges++] = (dv_str){merge, a.n + b.n + 1};
    return true;
}

static int put_made(dv_gguf_writer *w, maker *m, const char *pre, uint32_t n, dv_err *err)
{
    int32_t *types = dv_arena_calloc(&m->arena, n, sizeof(*types));
    if (!types)
        return dv_fail(err, DV_ENOMEM, "out of memory for a vocabulary of %u tokens", n);
    for (uint32_t i = 0; i < n; i++)
        types[i] = i < n - N_SPECIAL ? TOKEN_NORMAL : TOKEN_CONTROL;
    dv_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    dv_gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre));
    dv_gguf_put_str_array(w, "tokenizer.ggml.tokens", m->pieces, n);
    dv_gguf_put_array(w, "tokenizer.ggml.token_type", DV_GGUF_I32, types, n);
    dv_gguf_put_str_array(w, "tokenizer.ggml.merges", m->merges, m->n_merges);
    dv_gguf_put_u32(w, "tokenizer.ggml.bos_token_id", n - 3);
    dv_gguf_put_u32(w, "tokenizer.ggml.eos_token_id", n - 1);
    dv_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", n - 3);
    return dv_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
}

static int make(dv_gguf_writer *w, maker *m, const char *pre, uint32_t n, uint64_t seed, dv_err *err)
{
    m->set_cap = 1024;
    while (m->set_cap < 2 * n)
        m->set_cap *= 2;
    m->pieces = dv_arena_calloc(&m->arena, n, sizeof(*m->pieces));
    m->merges = dv_arena_calloc(&m->arena, n, sizeof(*m->merges));
    m->set = dv_arena_calloc(&m->arena, m->set_cap, sizeof(*m->set));
    if (!m->pieces || !m->merges || !m->set)
        return dv_fail(err, DV_ENOMEM, "out of memory for a vocabulary of %u tokens", n);
    dv_rng rng;
    dv_rng_seed(&rng, seed);
    add_bytes(m);
    for (uint32_t tries = 0; m->n < n - N_SPECIAL; tries++) {
        add_merge(m, &rng);
        if (tries > 64 * n)
            return dv_fail(err, DV_ENOMEM, "could not make up %u tokens", n);
    }
    static const char *const special[N_SPECIAL] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
    for (int i = 0; i < N_SPECIAL; i++)
        m->pieces[m->n++] = str(special[i]);
    return put_made(w, m, pre, n, err);
}

int synth_vocab_make(dv_gguf_writer *w, const char *pre, uint32_t n, uint64_t seed, dv_err *err)
{
    if (n < 256 + N_SPECIAL || n > 1u << 20)
        return dv_fail(err, DV_EINVAL, "a made-up vocabulary has 259 to 2^20 tokens, not %u", n);
    maker m = {0};
    dv_arena_init(&m.arena, DV_MEM_BASE, 0);
    int rc = make(w, &m, pre, n, seed, err);
    dv_arena_fini(&m.arena);
    return rc;
}
