/* SPDX-License-Identifier: MIT */
/* Tokenizers: a text for a small vocabulary, a vocabulary made from the input, or a GGUF file that has one. The first
 * byte chooses. Whatever comes out must be tokens, untrusted text must give no control token, and decoding gives valid
 * UTF-8. */
#include "target.h"

#include "../unit/vocab_make.h"

static const char *const pres[] = {"default",        "gpt-2",       "llama-bpe", "qwen2",     "qwen35", "deepseek-llm",
                                   "deepseek-coder", "deepseek-v3", "smollm",    "falcon",    "tekken", "gpt-4o",
                                   "seed-coder",     "bloom",       "viking",    "bailingmoe"};

static void check_decode(const dv_tok *t, const dv_ids *ids)
{
    dv_buf once, stream;
    dv_detok d;
    dv_buf_init(&once, 0);
    dv_buf_init(&stream, 0);
    dv_detok_init(&d, t, DV_DETOK_CONTROL | DV_DETOK_START);
    for (size_t i = 0; i < ids->len; i++) {
        dv_detok_push(&d, ids->id[i], &stream);
        DV_FUZZ_CHECK(i > 64 || dv_utf8_valid(dv_buf_str(&stream), stream.len));
    }
    dv_detok_flush(&d, &stream);
    DV_FUZZ_CHECK(dv_utf8_valid(dv_buf_str(&stream), stream.len));
    int rc = dv_tok_decode(t, ids->id, ids->len, DV_DETOK_CONTROL | DV_DETOK_START, &once);
    if (rc == 0 && stream.code == 0)
        DV_FUZZ_CHECK(once.len == stream.len && memcmp(dv_buf_str(&once), dv_buf_str(&stream), once.len) == 0);
    dv_buf_fini(&once);
    dv_buf_fini(&stream);
}

/* bytes: the vocabulary knows every byte, so that nothing may be lost. */
static void check_text(const dv_tok *t, const char *s, size_t n, bool bytes)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        dv_ids ids = {0}, again = {0};
        dv_err err = {0};
        bool trusted = (flags & DV_TOK_SPECIAL) != 0;
        dv_tok_part parts[3] = {{s, n / 3, trusted}, {s + n / 3, 0, false}, {s + n / 3, n - n / 3, trusted}};
        int rc = dv_tok_encode(t, s, n, flags, &ids, &err);
        DV_FUZZ_CHECK(rc == err.code && (rc == 0 || ids.len == 0));
        if (rc == 0 && dv_tok_encode_parts(t, parts, 3, flags & DV_TOK_BOS_EOS, &again, &err) == 0)
            DV_FUZZ_CHECK(ids.len == again.len &&
                          (ids.len == 0 || memcmp(ids.id, again.id, ids.len * sizeof *ids.id) == 0));
        size_t at = 0;
        for (size_t i = 0; i < ids.len; i++) {
            int32_t id = ids.id[i];
            DV_FUZZ_CHECK(id >= 0 && (size_t)id < dv_tok_n_vocab(t));
            DV_FUZZ_CHECK(flags != 0 || !dv_tok_is_control(t, id) || id == dv_tok_role_id(t, DV_TOK_UNK));
            dv_str p = dv_tok_piece(t, id);
            if (bytes && !(flags & DV_TOK_BOS_EOS))
                DV_FUZZ_CHECK(p.n <= n - at && memcmp(p.p, s + at, p.n) == 0);
            at += p.n;
        }
        DV_FUZZ_CHECK(rc != 0 || !bytes || (flags & DV_TOK_BOS_EOS) || at == n);
        check_decode(t, &ids);
        dv_ids_fini(&ids);
        dv_ids_fini(&again);
    }
}

static void add_usual(vm *v)
{
    static const char *const words[] = {"the", " ", "  ", "\n\n", "<think>",     "in",
                                        "er",  "0", "aa", "aaaa", "\xe4\xb8\xad"};
    vm_add(v, "<|im_start|>", DV_TOK_CONTROL, 0);
    vm_add(v, "<|im_end|>", DV_TOK_CONTROL, 0);
    for (size_t i = 0; i < DV_ARRAY_LEN(words); i++)
        vm_add(v, words[i], i < 5 ? DV_TOK_USER : DV_TOK_NORMAL, -(float)i);
    vm_merge(v, "t h");
    vm_merge(v, "th e");
    vm_merge(v, "\xc4\xa0 the");
    vm_merge(v, "a a");
    vm_merge(v, "aa aa");
    vm_merge(v, "< |");
    vm_merge(v, "<| i");
}

static void fixed_vocab(unsigned kind, const char *s, size_t n)
{
    bool spm = kind >= DV_ARRAY_LEN(pres);
    vm *v = spm ? vm_spm() : vm_bpe(pres[kind]);
    dv_gguf *g;
    dv_tok *t;
    dv_err err = {0};
    add_usual(v);
    if (vm_open(v, &g, &t, &err) == 0)
        check_text(t, s, n, !spm);
    else
        DV_FUZZ_CHECK(err.code == DV_ENOMEM || v->file.code != 0 || v->kv.code != 0);
    dv_tok_close(&t);
    dv_gguf_close(&g);
    vm_free(v);
}

/* One byte of the input; 0 at its end. */
static unsigned take(const uint8_t **p, const uint8_t *end) { return *p < end ? *(*p)++ : 0; }

/* Tokens and merges made of the input's bytes, then its rest as the text. */
static void made_vocab(const uint8_t *p, const uint8_t *end)
{
    enum { MAX_MADE = 200 };
    static char text[MAX_MADE][24];
    unsigned kind = take(&p, end);
    vm *v = kind % 2 ? vm_spm() : vm_bpe(pres[kind / 2 % DV_ARRAY_LEN(pres)]);
    unsigned n = take(&p, end) % MAX_MADE;
    if (kind & 64)
        v->n = 0; /* no tokens for the bytes */
    for (unsigned i = 0; i < n; i++) {
        unsigned head = take(&p, end), len = head % 8;
        size_t at = 0;
        for (unsigned k = 0; k < len; k++) {
            unsigned b = take(&p, end);
            if (b != 0 && (b < 0x80 || (kind & 32)))
                text[i][at++] = (char)b;
            else if (b != 0)
                at += (size_t)dv_utf8_encode(0x2500 + b, text[i] + at);
        }
        text[i][at] = 0;
        if (head / 8 % 3 == 0 && !(kind % 2))
            vm_merge(v, text[i]);
        else
            vm_add(v, text[i], (int)(head / 24 % 7), (float)(int)head - 128);
    }
    if (kind & 16)
        vm_put_u32(v, "tokenizer.ggml.bos_token_id", take(&p, end));
    dv_gguf *g;
    dv_tok *t;
    dv_err err = {0};
    int rc = vm_open(v, &g, &t, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (t != NULL));
    if (rc == 0)
        check_text(t, (const char *)p, (size_t)(end - p), false);
    dv_tok_close(&t);
    dv_gguf_close(&g);
    vm_free(v);
}

static void file_vocab(const uint8_t *data, size_t size)
{
    static const char text[] = "<s>Hello  world's 123\n\n<|im_end|>\xe4\xb8\xad\xff <0x41>abc";
    dv_gguf *g;
    dv_tok *t = NULL;
    dv_err err = {0};
    int rc = dv_gguf_open_mem(&g, data, size, &err);
    if (rc == 0)
        rc = dv_tok_open(&t, g, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (t != NULL) && (rc == 0) == (err.msg[0] == 0));
    if (rc == 0) {
        check_text(t, text, sizeof text - 1, false);
        check_text(t, (const char *)data, DV_MIN(size, (size_t)300), false);
    }
    dv_tok_close(&t);
    dv_gguf_close(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned kind = data[0];
    if (kind < 2 * DV_ARRAY_LEN(pres) + 16)
        fixed_vocab(kind % (DV_ARRAY_LEN(pres) + 4), (const char *)data + 1, size - 1);
    else if (kind < 128)
        made_vocab(data + 1, data + size);
    else
        file_vocab(data + 1, size - 1);
    return 0;
}
