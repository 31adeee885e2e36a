/* SPDX-License-Identifier: MIT */
/* The attention cache from the hyperparameters alone, so that it also works for architectures drover does not run: per
 * layer and token one key and one value row of head_count_kv heads. */
#include "base/err.h"
#include "base/num.h"
#include "cli/inspect.h"

#include <stdio.h>

enum { MAX_LAYERS = 1 << 16, MAX_HEADS = 1 << 20, MAX_WIDTH = 1 << 30 };

typedef struct shape {
    const dv_gguf *g;
    const char *arch;
    uint32_t n_layer;
    const dv_gguf_kv *n_head_kv; /* one number, or one per layer */
    uint32_t key_len, value_len; /* of one head */
} shape;

static const char *key_of(const shape *s, const char *name, char buf[192])
{
    snprintf(buf, 192, "%s.%s", s->arch, name);
    return buf;
}

static int get(const shape *s, const char *name, uint32_t max, uint32_t *out, dv_err *err)
{
    char key[192];
    return dv_gguf_get_u32(s->g, key_of(s, name, key), 1, max, out, err);
}

static const dv_gguf_kv *find(const shape *s, const char *name)
{
    char key[192];
    return dv_gguf_find(s->g, key_of(s, name, key));
}

/* Heads whose rows layer il caches. */
static int heads_at(const shape *s, uint32_t il, uint64_t *out, dv_err *err)
{
    uint64_t i = dv_gguf_kv_type(s->n_head_kv) == DV_GGUF_ARR ? il : 0;
    if (!dv_gguf_kv_u64(s->n_head_kv, i, out) || *out > MAX_HEADS)
        return dv_fail(err, DV_EFORMAT, "the number of KV heads of layer %u is missing or impossible", (unsigned)il);
    return 0;
}

/* Length of a head where the file does not state it: the width shared out among the heads. */
static int default_head_len(const shape *s, uint32_t *out, dv_err *err)
{
    uint32_t width, n_head;
    int rc = get(s, "embedding_length", MAX_WIDTH, &width, err);
    if (rc == 0)
        rc = get(s, "attention.head_count", MAX_HEADS, &n_head, err);
    if (rc == 0)
        *out = width / n_head;
    return rc;
}

static int head_lens(shape *s, dv_err *err)
{
    bool has_key = find(s, "attention.key_length") != NULL, has_value = find(s, "attention.value_length") != NULL;
    uint32_t len = 0;
    int rc = has_key && has_value ? 0 : default_head_len(s, &len, err);
    s->key_len = s->value_len = len;
    if (rc == 0 && has_key)
        rc = get(s, "attention.key_length", MAX_WIDTH, &s->key_len, err);
    if (rc == 0 && has_value)
        rc = get(s, "attention.value_length", MAX_WIDTH, &s->value_len, err);
    return rc;
}

static int read_shape(shape *s, dv_err *err)
{
    int rc = get(s, "block_count", MAX_LAYERS, &s->n_layer, err);
    if (rc != 0)
        return rc;
    s->n_head_kv = find(s, "attention.head_count_kv");
    if (s->n_head_kv == NULL) /* every query head has its own */
        s->n_head_kv = find(s, "attention.head_count");
    if (s->n_head_kv == NULL)
        return dv_fail(err, DV_ENOENT, "key \"%s.attention.head_count\" is missing", s->arch);
    return head_lens(s, err);
}

/* Bytes of all layers for one token; false if rows are no whole blocks of the type, or on overflow. */
static bool token_bytes(const shape *s, uint32_t type, uint64_t *out, dv_err *err)
{
    *out = 0;
    for (uint32_t il = 0; il < s->n_layer; il++) {
        uint64_t n_head, k, v;
        if (heads_at(s, il, &n_head, err) != 0 || !dv_type_row_bytes(type, s->key_len, &k) ||
            !dv_type_row_bytes(type, s->value_len, &v))
            return false;
        if (!dv_mul_u64(n_head, k + v, &k) || !dv_add_u64(*out, k, out))
            return false;
    }
    return true;
}

static int choose_context(const shape *s, uint64_t *n_ctx, dv_err *err)
{
    uint32_t trained = DV__INSPECT_CONTEXT;
    int rc = find(s, "context_length") != NULL ? get(s, "context_length", UINT32_MAX, &trained, err) : 0;
    if (*n_ctx == 0)
        *n_ctx = DV_MIN(trained, (uint32_t)DV__INSPECT_CONTEXT);
    return rc;
}

void dv__inspect_memory_of(dv__inspect_memory *m, const dv_gguf *g, uint64_t n_ctx)
{
    char arch[128];
    dv_str name;
    shape s = {.g = g, .arch = arch};
    *m = (dv__inspect_memory){.n_ctx = n_ctx};
    if (dv_gguf_get_str(g, "general.architecture", &name, &m->why) != 0)
        return;
    snprintf(arch, sizeof arch, "%.*s", (int)DV_MIN(name.n, sizeof arch - 1), name.p);
    uint64_t f32, q8_0;
    if (read_shape(&s, &m->why) != 0 || choose_context(&s, &m->n_ctx, &m->why) != 0)
        return;
    if (!token_bytes(&s, DV_TYPE_F32, &f32, &m->why) || !dv_mul_u64(f32, m->n_ctx, &m->kv_f32)) {
        dv_fail(&m->why, DV_ELIMIT, "the size overflows");
        return;
    }
    m->known = true;
    m->kv_f16 = m->kv_f32 / 2;
    m->has_q8_0 = token_bytes(&s, DV_TYPE_Q8_0, &q8_0, NULL) && dv_mul_u64(q8_0, m->n_ctx, &m->kv_q8_0);
}
