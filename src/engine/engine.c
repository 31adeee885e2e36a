/* SPDX-License-Identifier: MIT */
#include "base/cpu.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/session.h"

#include <string.h>

enum { CTX_MAX = 1 << 22, BATCH_MAX = 4096 };

static int check_options(const dv_engine_options *o, unsigned *cpu, dv_err *err)
{
    *cpu = dv_cpu_detect();
    if (o->cpu_mask != NULL) {
        int mask = dv_cpu_level_parse(o->cpu_mask);
        if (mask < 0)
            return dv_fail(err, DV_EINVAL, "cpu_mask: \"%s\" is none of c, avx2, avx-vnni, avx512, avx512-vnni",
                           o->cpu_mask);
        *cpu &= (unsigned)mask;
    }
    if (o->threads > 256)
        return dv_fail(err, DV_EINVAL, "threads: %u is not between 1 and 256", o->threads);
    if (o->batch > BATCH_MAX)
        return dv_fail(err, DV_EINVAL, "batch: %u is not between 1 and %d", o->batch, BATCH_MAX);
    if (o->ctx > CTX_MAX)
        return dv_fail(err, DV_EINVAL, "ctx: %u is not between 1 and %d", o->ctx, CTX_MAX);
    if ((unsigned)o->kv_format >= DV_KV_FORMAT_N)
        return dv_fail(err, DV_EINVAL, "kv_format: %d is unknown", (int)o->kv_format);
    return 0;
}

static char *copy_str(const dv_gguf *g, const char *key)
{
    dv_str s;
    if (dv_gguf_opt_str(g, key, (dv_str){"", 0}, &s, NULL) != 0)
        s = (dv_str){"", 0};
    return dv_strndup(DV_MEM_BASE, s.p, s.n);
}

dv_kv_type dv_engine_kv_type(dv_kv_format format, const dv_model *m)
{
    const dv_layer *l = &m->layers[0];
    switch (format) {
    case DV_KV_FORMAT_F16: return DV_KV_F16;
    case DV_KV_FORMAT_Q8_0: return DV_KV_Q8_0;
    case DV_KV_FORMAT_F32: return DV_KV_F32;
    default: break;
    }
    /* Nothing else is rounded when a model's weights are F32, so rounding what they compute to f16 would be its only error. */
    return l->wk.type == DV_TYPE_F32 && l->wv.type == DV_TYPE_F32 ? DV_KV_F32 : DV_KV_F16;
}

static int load_model(dv_engine *e, const dv_engine_options *o, dv_err *err)
{
    int rc = dv_model_open(&e->model, e->gguf, o->ctx, err);
    if (rc != 0)
        return rc;
    const dv_hparams *hp = &e->model->hp;
    if (hp->n_vocab != dv_tok_n_vocab(e->tok))
        return dv_fail(err, DV_EFORMAT, "tokenizer.ggml.tokens has %zu entries, token_embd.weight has %u rows",
                       dv_tok_n_vocab(e->tok), hp->n_vocab);
    uint32_t ctx = o->ctx != 0 ? o->ctx : dv_ctx_default(hp);
    dv_kv_type kv_type = dv_engine_kv_type(o->kv_format, e->model);
    if ((rc = dv_kv_init(&e->kv, kv_type, hp->n_layer, hp->n_head_kv, hp->hd_k, hp->hd_v, err)) != 0 ||
        (rc = dv_pool_open(&e->pool, e->info.threads, err)) != 0)
        return rc;
    uint32_t batch = DV_MIN(o->batch != 0 ? o->batch : (uint32_t)DV_BATCH_DEFAULT, ctx);
    if ((rc = dv_forward_open(&e->forward, e->model, &e->kern, e->pool, batch, ctx, err)) != 0)
        return rc;
    e->batch = dv_calloc(DV_MEM_SCRATCH, e->forward->max_tok, sizeof *e->batch);
    if (e->batch == NULL)
        return dv_fail(err, DV_ENOMEM, "batch: %s", dv_error_text(DV_ENOMEM));
    e->info.n_embd = hp->n_embd;
    e->info.n_layer = hp->n_layer;
    e->info.n_ctx_train = hp->n_ctx_train;
    e->info.n_ctx = ctx;
    e->info.kv_bytes_per_token = dv_kv_token_bytes(&e->kv);
    return 0;
}

/* A broken template is reported when a conversation wants it: everything else works without. */
static int open_chat(dv_engine *e, dv_err *err)
{
    int rc = dv_chat_open(&e->chat, e->gguf, e->tok, &e->chat_err);
    if (rc != DV_ENOMEM)
        return 0;
    return dv_fail(err, rc, "%s", e->chat_err.msg);
}

static void fill_info(dv_engine *e)
{
    e->info.arch = e->arch;
    e->info.name = e->name;
    e->info.cpu_level = dv_cpu_level_name(e->kern.cpu);
    e->info.n_vocab = (uint32_t)dv_tok_n_vocab(e->tok);
    e->info.template_is_fallback = e->chat != NULL && dv_chat_is_fallback(e->chat);
    e->info.file_bytes = dv_gguf_file_bytes(e->gguf);
    for (size_t i = 0; i < dv_gguf_n_tensors(e->gguf); i++) {
        const dv_gguf_tensor *t = dv_gguf_tensor_at(e->gguf, i);
        e->info.n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
}

int dv_engine_open(dv_engine **out, const char *path, const dv_engine_options *options, dv_err *err)
{
    static const dv_engine_options defaults = {0};
    const dv_engine_options *o = options != NULL ? options : &defaults;
    unsigned cpu;
    *out = NULL;
    int rc = check_options(o, &cpu, err);
    if (rc != 0)
        return rc;
    dv_engine *e = dv_calloc(DV_MEM_BASE, 1, sizeof *e);
    if (e == NULL)
        return dv_fail(err, DV_ENOMEM, "engine: %s", dv_error_text(DV_ENOMEM));
    dv_kern_init(&e->kern, cpu);
    e->info.threads = o->threads != 0 ? o->threads : DV_MIN(dv_limits_get()->cores, 256u);
    if ((rc = dv_gguf_open(&e->gguf, path, err)) != 0 || (rc = dv_tok_open(&e->tok, e->gguf, err)) != 0 ||
        (rc = open_chat(e, err)) != 0)
        goto fail;
    e->arch = copy_str(e->gguf, "general.architecture");
    e->name = copy_str(e->gguf, "general.name");
    if (e->arch == NULL || e->name == NULL) {
        rc = dv_fail(err, DV_ENOMEM, "engine: %s", dv_error_text(DV_ENOMEM));
        goto fail;
    }
    if (!o->vocab_only && (rc = load_model(e, o, err)) != 0)
        goto fail;
    fill_info(e);
    *out = e;
    return 0;
fail:
    dv_engine_close(&e);
    return rc;
}

void dv_engine_close(dv_engine **pe)
{
    dv_engine *e = *pe;
    if (e == NULL)
        return;
    dv_free(e->batch);
    dv_forward_close(&e->forward);
    dv_pool_close(&e->pool);
    dv_kv_fini(&e->kv);
    dv_model_close(&e->model);
    dv_chat_close(&e->chat);
    dv_tok_close(&e->tok);
    dv_gguf_close(&e->gguf);
    dv_free(e->arch);
    dv_free(e->name);
    dv_free(e);
    *pe = NULL;
}

const dv_engine_info *dv_engine_get_info(const dv_engine *e) { return &e->info; }
