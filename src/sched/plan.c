/* SPDX-License-Identifier: MIT */
/* Memory before it is needed: what the file's header and the options come to, against what there is. */
#include "base/err.h"
#include "base/limits.h"
#include "base/num.h"
#include "sched/impl.h"

/* OVERHEAD: threads, tables, the C library. MARGIN: what requests may need for a moment; asked for at the start, not a part of what an engine takes. */
enum { PARALLEL_DEFAULT = 4, BYTES_PER_TOKEN_OF_VOCAB = 160, OVERHEAD = 3 << 19, MARGIN = 24 << 20 };

static uint64_t mib(uint64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

int dv_sched_plan_of(const dv_gguf *g, const dv_engine_options *eo, const dv_sched_options *so, dv_sched_plan *plan,
                     dv_err *err)
{
    const dv_limits *l = dv_limits_get();
    dv_model *m;
    dv_kv kv;
    int rc = dv_model_open(&m, g, eo->ctx, err);
    if (rc != 0)
        return rc;
    const dv_hparams *hp = &m->hp;
    uint64_t ctx = eo->ctx != 0 ? eo->ctx : dv_ctx_default(hp);
    uint64_t parallel = so->parallel != 0 ? so->parallel : PARALLEL_DEFAULT;
    rc = dv_kv_init(&kv, dv_engine_kv_type(eo->kv_format, m), hp->n_layer, hp->n_head_kv, hp->hd_k, hp->hd_v, err);
    if (rc == 0) {
        uint64_t kv_bytes = so->kv_bytes != 0 ? so->kv_bytes : dv_div_up(ctx, DV_KV_PAGE) * kv.page_bytes;
        *plan = (dv_sched_plan){.weights = dv_gguf_file_bytes(g), .limit = l->mem, .available = l->mem_available};
        plan->kv = kv_bytes + so->cache_bytes;
        plan->scratch = dv_forward_bytes(m, eo->threads != 0 ? eo->threads : l->cores, eo->batch, (uint32_t)ctx);
        plan->logits = (parallel * 2 + DV__PARKED + DV__GUESSED_ROWS) * hp->n_vocab *
                       sizeof(float); /* rows, and a sampler's weights for each sequence */
        plan->vocab = (uint64_t)hp->n_vocab * BYTES_PER_TOKEN_OF_VOCAB;
        plan->anonymous = plan->kv + plan->scratch + plan->logits + plan->vocab + OVERHEAD;
    }
    dv_model_close(&m);
    return rc;
}

int dv_sched_plan_memory(const char *path, const dv_engine_options *eo, const dv_sched_options *so, dv_sched_plan *plan,
                         dv_err *err)
{
    dv_gguf *g;
    int rc = dv_gguf_open(&g, path, err);
    if (rc != 0)
        return rc;
    rc = dv_sched_plan_of(g, eo, so, plan, err);
    dv_gguf_close(&g);
    if (rc != 0)
        return rc;
    if (plan->anonymous + MARGIN > plan->available)
        return dv_fail(
            err, DV_ENOMEM,
            "%llu MiB are needed beside the weights (KV cache %llu, work space %llu, logits %llu, vocabulary %llu), "
            "%llu MiB are available: a smaller context or q8_0 for the KV cache needs less",
            (unsigned long long)mib(plan->anonymous + MARGIN), (unsigned long long)mib(plan->kv),
            (unsigned long long)mib(plan->scratch), (unsigned long long)mib(plan->logits),
            (unsigned long long)mib(plan->vocab), (unsigned long long)mib(plan->available));
    if (plan->anonymous + plan->weights > plan->limit)
        return dv_fail(
            err, DV_ENOMEM,
            "the weights (%llu MiB) and %llu MiB beside them exceed the memory of %llu MiB: every token would be "
            "read from disk",
            (unsigned long long)mib(plan->weights), (unsigned long long)mib(plan->anonymous),
            (unsigned long long)mib(plan->limit));
    return 0;
}
