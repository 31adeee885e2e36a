/* SPDX-License-Identifier: MIT */
/* Opens bytes as a GGUF file and touches everything that the directory hands out. */
#include "gguf/gguf.h"
#include "base/mem.h"
#include "target.h"

#include <string.h>

static volatile uint8_t sink;

static void touch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sink ^= ((const uint8_t *)p)[i];
}

static void walk_kv(const dv_gguf *g, const dv_gguf_kv *kv)
{
    dv_str key = dv_gguf_kv_key(kv);
    char *name = dv_strndup(DV_MEM_BASE, key.p, key.n);
    if (name != NULL)
        DV_FUZZ_CHECK(dv_gguf_find(g, name) == kv);
    dv_free(name);
    uint64_t n = dv_gguf_kv_len(kv);
    for (uint64_t i = 0; i <= n; i++) {
        uint64_t u;
        int64_t s;
        double f;
        bool b;
        dv_str str;
        bool is_u = dv_gguf_kv_u64(kv, i, &u), is_s = dv_gguf_kv_i64(kv, i, &s), is_f = dv_gguf_kv_f64(kv, i, &f);
        bool is_b = dv_gguf_kv_bool(kv, i, &b), is_str = dv_gguf_kv_str(kv, i, &str);
        DV_FUZZ_CHECK(!(is_u && is_s) || u == (uint64_t)s);
        DV_FUZZ_CHECK((is_u || is_s || is_f) + is_b + is_str <= 1);
        DV_FUZZ_CHECK(i < n || !(is_u || is_s || is_f || is_b || is_str));
        if (is_str)
            touch(str.p, str.n);
    }
    DV_FUZZ_CHECK(dv_gguf_kv_raw(kv) == NULL || dv_gguf_kv_type(kv) == DV_GGUF_ARR);
}

static void walk_tensor(const dv_gguf *g, const dv_gguf_tensor *t)
{
    char name[DV_GGUF_MAX_NAME + 1];
    DV_FUZZ_CHECK(t->name.n >= 1 && t->name.n <= DV_GGUF_MAX_NAME && t->n_dims >= 1 && t->n_dims <= DV_GGUF_MAX_DIMS);
    memcpy(name, t->name.p, t->name.n);
    name[t->name.n] = 0;
    DV_FUZZ_CHECK(dv_gguf_find_tensor(g, name) == t);
    DV_FUZZ_CHECK((t->data != NULL) == (dv_type_get(t->type) != NULL));
    touch(t->data, t->n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_err err = {0};
    dv_gguf *g;
    size_t used = dv_mem_used(DV_MEM_GGUF);
    int rc = dv_gguf_open_mem(&g, data, size, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (g != NULL) && (rc == 0) == (err.msg[0] == 0));
    if (rc != 0)
        return 0;
    DV_FUZZ_CHECK(dv_mem_used(DV_MEM_GGUF) - used <= 8 * size + 4096);
    for (size_t i = 0; i < dv_gguf_n_kv(g); i++)
        walk_kv(g, dv_gguf_kv_at(g, i));
    uint64_t total = 0;
    for (size_t i = 0; i < dv_gguf_n_tensors(g); i++) {
        walk_tensor(g, dv_gguf_tensor_at(g, i));
        total += dv_gguf_tensor_at(g, i)->n_bytes;
    }
    DV_FUZZ_CHECK(total <= size); /* nothing overlaps */
    dv_gguf_close(&g);
    return 0;
}
