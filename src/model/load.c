/* SPDX-License-Identifier: MIT */
/* From a GGUF directory to a bound model: every hyperparameter is range-checked and every tensor's type and shape compared with what
 * the hyperparameters call for, so that the passes can trust them. */
#include "base/err.h"
#include "base/num.h"
#include "model/arch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const dv_arch *const archs[] = {
    &dv__arch_llama, &dv__arch_qwen2, &dv__arch_qwen3, &dv__arch_phi3, &dv__arch_gemma3, &dv__arch_qwen3moe,
};

enum { KEY_MAX = 128 };

static const char *full_key(const dv_model *m, const char *key, char buf[KEY_MAX])
{
    snprintf(buf, KEY_MAX, "%s.%s", m->arch->name, key);
    return buf;
}

int dv__key_u32(dv_model *m, const char *key, uint32_t min, uint32_t max, uint32_t *out, dv_err *err)
{
    char buf[KEY_MAX];
    return dv_gguf_get_u32(m->gguf, full_key(m, key, buf), min, max, out, err);
}

int dv__key_opt_u32(dv_model *m, const char *key, uint32_t min, uint32_t max, uint32_t fallback, uint32_t *out,
                    dv_err *err)
{
    char buf[KEY_MAX];
    return dv_gguf_opt_u32(m->gguf, full_key(m, key, buf), min, max, fallback, out, err);
}

int dv__key_opt_f32(dv_model *m, const char *key, float min, float max, float fallback, float *out, dv_err *err)
{
    char buf[KEY_MAX];
    return dv_gguf_opt_f32(m->gguf, full_key(m, key, buf), min, max, fallback, out, err);
}

/* A count that files give once or per layer; drover's architectures have the same in every layer. */
static int key_uniform_u32(dv_model *m, const char *key, uint32_t min, uint32_t max, uint32_t fallback, uint32_t *out,
                           dv_err *err)
{
    char buf[KEY_MAX];
    const dv_gguf_kv *kv = dv_gguf_find(m->gguf, full_key(m, key, buf));
    if (kv == NULL || dv_gguf_kv_elem_type(kv) == DV_GGUF_VTYPE_N)
        return fallback == 0 ? dv__key_u32(m, key, min, max, out, err)
                             : dv__key_opt_u32(m, key, min, max, fallback, out, err);
    uint64_t first, v;
    if (!dv_gguf_kv_u64(kv, 0, &first))
        return dv_fail(err, DV_EFORMAT, "%s: not a list of counts", buf);
    for (uint64_t i = 0; i < dv_gguf_kv_len(kv); i++) {
        if (!dv_gguf_kv_u64(kv, i, &v) || v < min || v > max)
            return dv_fail(err, DV_EFORMAT, "%s[%" PRIu64 "]: not between %u and %u", buf, i, min, max);
        if (v != first)
            return dv_fail(err, DV_EUNSUPPORTED, "%s differs from layer to layer, which is not supported", buf);
    }
    *out = (uint32_t)first;
    return 0;
}

int dv__load_common(dv_model *m, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    int rc;
    if ((rc = dv__key_u32(m, "embedding_length", 1, 1u << 18, &hp->n_embd, err)) != 0 ||
        (rc = dv__key_u32(m, "block_count", 1, 4096, &hp->n_layer, err)) != 0 ||
        (rc = key_uniform_u32(m, "attention.head_count", 1, 4096, 0, &hp->n_head, err)) != 0 ||
        (rc = key_uniform_u32(m, "attention.head_count_kv", 1, 4096, hp->n_head, &hp->n_head_kv, err)) != 0 ||
        (rc = key_uniform_u32(m, "feed_forward_length", 1, 1u << 20, 0, &hp->n_ff, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "context_length", 1, 1u << 28, 2048, &hp->n_ctx_train, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "attention.layer_norm_rms_epsilon", 0, 1, 1e-5f, &hp->norm_eps, err)) != 0)
        return rc;
    uint32_t hd = hp->n_embd / hp->n_head;
    if (hp->n_embd % hp->n_head != 0 &&
        dv_gguf_find(m->gguf, full_key(m, "attention.key_length", (char[KEY_MAX]){0})) == NULL)
        return dv_fail(err, DV_EFORMAT, "%s.embedding_length %u is not a multiple of attention.head_count %u",
                       m->arch->name, hp->n_embd, hp->n_head);
    if (hp->n_head % hp->n_head_kv != 0)
        return dv_fail(err, DV_EFORMAT, "%s.attention.head_count %u is not a multiple of head_count_kv %u",
                       m->arch->name, hp->n_head, hp->n_head_kv);
    if ((rc = dv__key_opt_u32(m, "attention.key_length", 1, 1024, DV_MAX(hd, 1u), &hp->hd_k, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "attention.value_length", 1, 1024, hp->hd_k, &hp->hd_v, err)) != 0)
        return rc;
    if (hp->hd_k % 16 != 0 || hp->hd_v % 16 != 0 || hp->hd_k > 1024)
        return dv_fail(err, DV_EUNSUPPORTED, "head size %u (values: %u) is not a multiple of 16 up to 1024", hp->hd_k,
                       hp->hd_v);
    hp->attn_scale = (float)(1.0 / sqrt(hp->hd_k));
    hp->embd_scale = 1.0f;
    m->layers = dv_arena_calloc(&m->arena, hp->n_layer, sizeof *m->layers);
    return m->layers != NULL ? 0 : dv_fail(err, DV_ENOMEM, "layers: %s", dv_error_text(DV_ENOMEM));
}

static const char *tensor_name(char buf[DV_GGUF_MAX_NAME + 1], int il, const char *name, const char *suffix)
{
    if (il < 0)
        snprintf(buf, DV_GGUF_MAX_NAME + 1, "%s.%s", name, suffix);
    else
        snprintf(buf, DV_GGUF_MAX_NAME + 1, "blk.%d.%s.%s", il, name, suffix);
    return buf;
}

/* The tensor of that name with exactly these dimensions (fastest first; missing ones are 1), of a type drover computes with. */
static int find_tensor(dv_model *m, const dv_gguf_tensor **out, const char *name, const uint64_t ne[3], int need,
                       dv_err *err)
{
    const dv_gguf_tensor *t = dv_gguf_find_tensor(m->gguf, name);
    *out = t;
    if (t == NULL)
        return need == DV__OPTIONAL ? 0 : dv_fail(err, DV_EFORMAT, "tensor %s is missing", name);
    if (t->data == NULL || dv_type_get(t->type) == NULL)
        return dv_fail(err, DV_EUNSUPPORTED, "tensor %s has type %s (%u), which is not supported", name,
                       dv_type_name(t->type), t->type);
    if (t->ne[0] != ne[0] || t->ne[1] != ne[1] || t->ne[2] != ne[2] || t->ne[3] != 1)
        return dv_fail(err, DV_EFORMAT,
                       "tensor %s has shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "], expected [%" PRIu64 ", %" PRIu64
                       ", %" PRIu64 "]",
                       name, t->ne[0], t->ne[1], t->ne[2], ne[0], ne[1], ne[2]);
    return 0;
}

static int bind_mat(dv_mat *out, const dv_gguf_tensor *t, uint32_t n_in, uint32_t n_out, dv_err *err)
{
    uint64_t row;
    if (!dv_type_row_bytes(t->type, n_in, &row))
        return dv_fail(err, DV_EFORMAT, "tensor %.*s: rows of %u elements are not whole blocks of %s", (int)t->name.n,
                       t->name.p, n_in, dv_type_name(t->type));
    *out = (dv_mat){.data = t->data, .row_bytes = row, .type = (dv_type)t->type, .n_in = n_in, .n_out = n_out};
    return 0;
}

int dv__load_mat(dv_model *m, dv_mat *out, int il, const char *name, uint32_t n_in, uint32_t n_out, int need,
                 dv_err *err)
{
    char buf[DV_GGUF_MAX_NAME + 1];
    const dv_gguf_tensor *t;
    const uint64_t ne[3] = {n_in, n_out, 1};
    int rc = find_tensor(m, &t, tensor_name(buf, il, name, "weight"), ne, need, err);
    *out = (dv_mat){0};
    return rc != 0 || t == NULL ? rc : bind_mat(out, t, n_in, n_out, err);
}

/* The first expert of a stack [n_expert][n_out][n_in], and the distance to the next. */
static int load_experts(dv_model *m, dv_mat *out, size_t *stride, int il, const char *name, uint32_t n_in,
                        uint32_t n_out, dv_err *err)
{
    char buf[DV_GGUF_MAX_NAME + 1];
    const dv_gguf_tensor *t;
    const uint64_t ne[3] = {n_in, n_out, m->hp.n_expert};
    int rc = find_tensor(m, &t, tensor_name(buf, il, name, "weight"), ne, DV__REQUIRED, err);
    if (rc != 0 || (rc = bind_mat(out, t, n_in, n_out, err)) != 0)
        return rc;
    *stride = out->row_bytes * n_out;
    return 0;
}

int dv__load_vec(dv_model *m, const float **out, int il, const char *name, const char *suffix, uint32_t n, int need,
                 dv_err *err)
{
    char buf[DV_GGUF_MAX_NAME + 1];
    const dv_gguf_tensor *t;
    const uint64_t ne[3] = {n, 1, 1};
    uint64_t bytes;
    *out = NULL;
    int rc = find_tensor(m, &t, tensor_name(buf, il, name, suffix), ne, need, err);
    if (rc != 0 || t == NULL)
        return rc;
    if (!dv_type_row_bytes(t->type, n, &bytes))
        return dv_fail(err, DV_EFORMAT, "tensor %s: %u elements are not whole blocks of %s", buf, n,
                       dv_type_name(t->type));
    if (t->type == DV_TYPE_F32 && (uintptr_t)t->data % sizeof(float) == 0) {
        *out = (const float *)(const void *)t->data;
        return 0;
    }
    float *copy = dv_arena_calloc(&m->arena, n, sizeof *copy);
    if (copy == NULL)
        return dv_fail(err, DV_ENOMEM, "tensor %s: %s", buf, dv_error_text(DV_ENOMEM));
    dv_dequant_row((dv_type)t->type, t->data, copy, n);
    *out = copy;
    return 0;
}

dv_mat dv__mat_rows(const dv_mat *w, uint32_t first, uint32_t n)
{
    dv_mat part = *w;
    part.data += first * w->row_bytes;
    part.n_out = n;
    return part;
}

int dv__load_ends(dv_model *m, dv_err *err)
{
    const dv_gguf_tensor *t = dv_gguf_find_tensor(m->gguf, "token_embd.weight");
    if (t == NULL)
        return dv_fail(err, DV_EFORMAT, "tensor token_embd.weight is missing");
    if (t->ne[1] < 1 || t->ne[1] > 1u << 24)
        return dv_fail(err, DV_EFORMAT, "tensor token_embd.weight: a vocabulary of %" PRIu64 " is not between 1 and %u",
                       t->ne[1], 1u << 24);
    m->hp.n_vocab = (uint32_t)t->ne[1];
    int rc = dv__load_mat(m, &m->tok_embd, -1, "token_embd", m->hp.n_embd, m->hp.n_vocab, DV__REQUIRED, err);
    if (rc == 0)
        rc = dv__load_mat(m, &m->output, -1, "output", m->hp.n_embd, m->hp.n_vocab, DV__OPTIONAL, err);
    if (rc == 0 && m->output.data == NULL)
        m->output = m->tok_embd;
    return rc != 0 ? rc
                   : dv__load_vec(m, &m->output_norm, -1, "output_norm", "weight", m->hp.n_embd, DV__REQUIRED, err);
}

static int load_qkv_fused(dv_model *m, uint32_t il, dv_err *err)
{
    const dv_hparams *hp = &m->hp;
    dv_layer *l = &m->layers[il];
    uint32_t nq = hp->n_head * hp->hd_k, nk = hp->n_head_kv * hp->hd_k, nv = hp->n_head_kv * hp->hd_v;
    dv_mat all;
    int rc = dv__load_mat(m, &all, (int)il, "attn_qkv", hp->n_embd, nq + nk + nv, DV__OPTIONAL, err);
    if (rc != 0)
        return rc;
    if (all.data == NULL) /* some converters write the three apart */
        return dv__load_attention(m, il, 0, err);
    l->wq = dv__mat_rows(&all, 0, nq);
    l->wk = dv__mat_rows(&all, nq, nk);
    l->wv = dv__mat_rows(&all, nq + nk, nv);
    return 0;
}

int dv__load_attention(dv_model *m, uint32_t il, unsigned features, dv_err *err)
{
    const dv_hparams *hp = &m->hp;
    dv_layer *l = &m->layers[il];
    uint32_t nq = hp->n_head * hp->hd_k, nk = hp->n_head_kv * hp->hd_k, nv = hp->n_head_kv * hp->hd_v;
    int i = (int)il, rc, bias = features & DV__ATTN_BIAS ? DV__REQUIRED : DV__OPTIONAL;
    l->rope = &m->rope;
    if ((rc = dv__load_vec(m, &l->attn_norm, i, "attn_norm", "weight", hp->n_embd, DV__REQUIRED, err)) != 0 ||
        (rc = dv__load_mat(m, &l->wo, i, "attn_output", hp->n_head * hp->hd_v, hp->n_embd, DV__REQUIRED, err)) != 0)
        return rc;
    if (features & DV__ATTN_FUSED) {
        if ((rc = load_qkv_fused(m, il, err)) != 0)
            return rc;
    } else if ((rc = dv__load_mat(m, &l->wq, i, "attn_q", hp->n_embd, nq, DV__REQUIRED, err)) != 0 ||
               (rc = dv__load_mat(m, &l->wk, i, "attn_k", hp->n_embd, nk, DV__REQUIRED, err)) != 0 ||
               (rc = dv__load_mat(m, &l->wv, i, "attn_v", hp->n_embd, nv, DV__REQUIRED, err)) != 0) {
        return rc;
    }
    if ((features & (DV__ATTN_BIAS | DV__ATTN_BIAS_OPTIONAL)) &&
        ((rc = dv__load_vec(m, &l->bq, i, "attn_q", "bias", nq, bias, err)) != 0 ||
         (rc = dv__load_vec(m, &l->bk, i, "attn_k", "bias", nk, bias, err)) != 0 ||
         (rc = dv__load_vec(m, &l->bv, i, "attn_v", "bias", nv, bias, err)) != 0 ||
         (rc = dv__load_vec(m, &l->bo, i, "attn_output", "bias", hp->n_embd, DV__OPTIONAL, err)) != 0))
        return rc;
    if ((features & DV__ATTN_QK_NORM) &&
        ((rc = dv__load_vec(m, &l->q_norm, i, "attn_q_norm", "weight", hp->hd_k, DV__REQUIRED, err)) != 0 ||
         (rc = dv__load_vec(m, &l->k_norm, i, "attn_k_norm", "weight", hp->hd_k, DV__REQUIRED, err)) != 0))
        return rc;
    return 0;
}

int dv__load_ffn(dv_model *m, uint32_t il, bool fused, dv_err *err)
{
    const dv_hparams *hp = &m->hp;
    dv_layer *l = &m->layers[il];
    int i = (int)il, rc;
    if ((rc = dv__load_vec(m, &l->ffn_norm, i, "ffn_norm", "weight", hp->n_embd, DV__REQUIRED, err)) != 0 ||
        (rc = dv__load_mat(m, &l->w_down, i, "ffn_down", hp->n_ff, hp->n_embd, DV__REQUIRED, err)) != 0)
        return rc;
    if (fused) {
        dv_mat both;
        if ((rc = dv__load_mat(m, &both, i, "ffn_up", hp->n_embd, 2 * hp->n_ff, DV__REQUIRED, err)) != 0)
            return rc;
        l->w_gate = dv__mat_rows(&both, 0, hp->n_ff);
        l->w_up = dv__mat_rows(&both, hp->n_ff, hp->n_ff);
        return 0;
    }
    if ((rc = dv__load_mat(m, &l->w_gate, i, "ffn_gate", hp->n_embd, hp->n_ff, DV__REQUIRED, err)) != 0)
        return rc;
    return dv__load_mat(m, &l->w_up, i, "ffn_up", hp->n_embd, hp->n_ff, DV__REQUIRED, err);
}

int dv__load_moe(dv_model *m, uint32_t il, uint32_t n_ff_expert, dv_err *err)
{
    dv_hparams *hp = &m->hp;
    dv_layer *l = &m->layers[il];
    int i = (int)il, rc;
    if ((rc = dv__load_vec(m, &l->ffn_norm, i, "ffn_norm", "weight", hp->n_embd, DV__REQUIRED, err)) != 0 ||
        (rc = dv__load_mat(m, &l->router, i, "ffn_gate_inp", hp->n_embd, hp->n_expert, DV__REQUIRED, err)) != 0 ||
        (rc = load_experts(m, &l->w_gate, &l->gate_stride, i, "ffn_gate_exps", hp->n_embd, n_ff_expert, err)) != 0 ||
        (rc = load_experts(m, &l->w_up, &l->up_stride, i, "ffn_up_exps", hp->n_embd, n_ff_expert, err)) != 0)
        return rc;
    return load_experts(m, &l->w_down, &l->down_stride, i, "ffn_down_exps", n_ff_expert, hp->n_embd, err);
}

/* A layer number beyond block_count means that file and metadata do not belong together. */
static int check_layer_count(const dv_model *m, dv_err *err)
{
    for (size_t i = 0; i < dv_gguf_n_tensors(m->gguf); i++) {
        const dv_str name = dv_gguf_tensor_at(m->gguf, i)->name;
        uint64_t il = 0;
        size_t p = 4;
        if (name.n < 5 || memcmp(name.p, "blk.", 4) != 0)
            continue;
        for (; p < name.n && p < 14 && name.p[p] >= '0' && name.p[p] <= '9'; p++)
            il = il * 10 + (uint64_t)(name.p[p] - '0');
        if (p > 4 && il >= m->hp.n_layer)
            return dv_fail(err, DV_EFORMAT, "tensor %.*s lies beyond %s.block_count %u", (int)name.n, name.p,
                           m->arch->name, m->hp.n_layer);
    }
    return 0;
}

/* Where the rounding of activations shows most for the work that finer ones cost (docs/numerics.md). Types with blocks of 32 are compared
 * with programs that round activations per 32 too, where the lead of groups of 16 is small; and a small error that changes the choice of experts is a large one. */
static void choose_fine(dv_model *m)
{
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        dv_mat *wo = &m->layers[i].wo;
        wo->fine = dv_type_get(wo->type)->block_len == 32 || m->hp.n_expert > 0;
        m->output.fine |= wo->fine;
    }
}

static int find_arch(const dv_arch **out, const dv_gguf *g, dv_err *err)
{
    dv_str name;
    int rc = dv_gguf_get_str(g, "general.architecture", &name, err);
    if (rc != 0)
        return rc;
    char known[160] = "";
    for (size_t i = 0; i < DV_ARRAY_LEN(archs); i++) {
        if (strlen(archs[i]->name) == name.n && memcmp(archs[i]->name, name.p, name.n) == 0) {
            *out = archs[i];
            return 0;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", archs[i]->name);
    }
    return dv_fail(err, DV_EUNSUPPORTED, "general.architecture \"%.*s\" is not known; known are: %s",
                   (int)DV_MIN(name.n, 64), name.p, known);
}

int dv_model_open(dv_model **out, const dv_gguf *g, uint32_t n_ctx, dv_err *err)
{
    *out = NULL;
    const dv_arch *arch = NULL;
    int rc = find_arch(&arch, g, err);
    if (rc != 0)
        return rc;
    dv_model *m = dv_calloc(DV_MEM_MODEL, 1, sizeof *m);
    if (m == NULL)
        return dv_fail(err, DV_ENOMEM, "model: %s", dv_error_text(DV_ENOMEM));
    m->arch = arch;
    m->gguf = g;
    dv_arena_init(&m->arena, DV_MEM_MODEL, 0);
    rc = arch->load(m, n_ctx, err);
    if (rc == 0)
        rc = check_layer_count(m, err);
    if (rc != 0) {
        dv_model_close(&m);
        return rc;
    }
    choose_fine(m);
    *out = m;
    return 0;
}

void dv_model_close(dv_model **m)
{
    if (*m == NULL)
        return;
    dv_arena_fini(&(*m)->arena);
    dv_free(*m);
    *m = NULL;
}
