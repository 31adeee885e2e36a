/* SPDX-License-Identifier: MIT */
/* Makes the metadata of small vocabularies in memory, for tests and fuzz targets of the tokenizers. */
#ifndef DV_TEST_VOCAB_MAKE_H
#define DV_TEST_VOCAB_MAKE_H

#include "base/buf.h"
#include "base/utf8.h"
#include "tok/tok.h"
#include "tok/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VM_MAX = 2048 };

/* What goes into the file; change any of it between vm_bpe or vm_spm and vm_open. */
typedef struct vm {
    const char *model, *pre; /* NULL: no such key */
    dv_str token[VM_MAX];
    int32_t type[VM_MAX];
    float score[VM_MAX];
    size_t n, n_type, n_score; /* n_type, n_score: (size_t)-1 is n, 0 leaves the key out */
    const char *merge[VM_MAX];
    size_t n_merge;
    bool no_merges, no_tokens;
    char spell[256][8];
    dv_buf kv; /* further pairs */
    uint64_t n_kv;
    dv_buf file; /* after vm_open; must outlive the reader */
} vm;

static inline void vm_u32(dv_buf *b, uint32_t v) { dv_buf_add(b, &v, sizeof v); }
static inline void vm_u64(dv_buf *b, uint64_t v) { dv_buf_add(b, &v, sizeof v); }

static inline void vm_str(dv_buf *b, const char *s, size_t n)
{
    vm_u64(b, n);
    dv_buf_add(b, s, n);
}

static inline void vm_key(vm *v, const char *key, uint32_t type)
{
    vm_str(&v->kv, key, strlen(key));
    vm_u32(&v->kv, type);
    v->n_kv++;
}

static inline void vm_put_u32(vm *v, const char *key, uint32_t x)
{
    vm_key(v, key, DV_GGUF_U32);
    vm_u32(&v->kv, x);
}

static inline void vm_put_bool(vm *v, const char *key, bool x)
{
    vm_key(v, key, DV_GGUF_BOOL);
    dv_buf_addc(&v->kv, (char)x);
}

static inline void vm_put_str(vm *v, const char *key, const char *s)
{
    vm_key(v, key, DV_GGUF_STR);
    vm_str(&v->kv, s, strlen(s));
}

static inline void vm_array(vm *v, const char *key, uint32_t elem, uint64_t n)
{
    vm_key(v, key, DV_GGUF_ARR);
    vm_u32(&v->kv, elem);
    vm_u64(&v->kv, n);
}

static inline int32_t vm_add(vm *v, const char *text, int type, float score)
{
    v->token[v->n] = (dv_str){text, strlen(text)};
    v->type[v->n] = type;
    v->score[v->n] = score;
    return (int32_t)v->n++;
}

static inline void vm_merge(vm *v, const char *merge) { v->merge[v->n_merge++] = merge; }

static inline vm *vm_new(const char *model)
{
    vm *v = calloc(1, sizeof *v);
    v->model = model;
    v->n_type = v->n_score = (size_t)-1;
    dv_buf_init(&v->kv, 0);
    dv_buf_init(&v->file, 0);
    return v;
}

static inline void vm_free(vm *v)
{
    dv_buf_fini(&v->kv);
    dv_buf_fini(&v->file);
    free(v);
}

/* A byte-level vocabulary whose token b is the byte b. */
static inline vm *vm_bpe(const char *pre)
{
    vm *v = vm_new("gpt2");
    v->pre = pre;
    v->n_score = 0;
    for (unsigned b = 0; b < 256; b++) {
        v->spell[b][dv_utf8_encode(dv__cp_of_byte((unsigned char)b), v->spell[b])] = 0;
        vm_add(v, v->spell[b], DV_TOK_NORMAL, 0);
    }
    return v;
}

/* A `llama` vocabulary: <unk>, <s>, </s>, and byte b as token 3 + b. */
static inline vm *vm_spm(void)
{
    vm *v = vm_new("llama");
    v->no_merges = true;
    vm_add(v, "<unk>", DV_TOK_UNKNOWN, 0);
    vm_add(v, "<s>", DV_TOK_CONTROL, 0);
    vm_add(v, "</s>", DV_TOK_CONTROL, 0);
    for (unsigned b = 0; b < 256; b++) {
        snprintf(v->spell[b], sizeof v->spell[b], "<0x%02X>", b);
        vm_add(v, v->spell[b], DV_TOK_BYTE, 0);
    }
    return v;
}

/* Write the file into v->file. */
static inline void vm_finish(vm *v)
{
    if (v->model != NULL)
        vm_put_str(v, "tokenizer.ggml.model", v->model);
    if (v->pre != NULL)
        vm_put_str(v, "tokenizer.ggml.pre", v->pre);
    if (!v->no_tokens) {
        vm_array(v, "tokenizer.ggml.tokens", DV_GGUF_STR, v->n);
        for (size_t i = 0; i < v->n; i++)
            vm_str(&v->kv, v->token[i].p, v->token[i].n);
    }
    size_t n_type = v->n_type == (size_t)-1 ? v->n : v->n_type, n_score = v->n_score == (size_t)-1 ? v->n : v->n_score;
    if (n_type > 0) {
        vm_array(v, "tokenizer.ggml.token_type", DV_GGUF_I32, n_type);
        dv_buf_add(&v->kv, v->type, n_type * sizeof *v->type);
    }
    if (n_score > 0) {
        vm_array(v, "tokenizer.ggml.scores", DV_GGUF_F32, n_score);
        dv_buf_add(&v->kv, v->score, n_score * sizeof *v->score);
    }
    if (!v->no_merges) {
        vm_array(v, "tokenizer.ggml.merges", DV_GGUF_STR, v->n_merge);
        for (size_t i = 0; i < v->n_merge; i++)
            vm_str(&v->kv, v->merge[i], strlen(v->merge[i]));
    }
    dv_buf_adds(&v->file, "GGUF");
    vm_u32(&v->file, 3);
    vm_u64(&v->file, 0);
    vm_u64(&v->file, v->n_kv);
    dv_buf_add(&v->file, v->kv.data, v->kv.len);
}

static inline int vm_open(vm *v, dv_gguf **g, dv_tok **t, dv_err *err)
{
    vm_finish(v);
    *g = NULL;
    *t = NULL;
    int rc = dv_gguf_open_mem(g, v->file.data, v->file.len, err);
    return rc != 0 ? rc : dv_tok_open(t, *g, err);
}

#endif
