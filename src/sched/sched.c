/* SPDX-License-Identifier: MIT */
/* Opening and closing, and the loop of the scheduler's thread. */
#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "sched/impl.h"

#include <sodium.h>
#include <string.h>

enum { PARALLEL_DEFAULT = 4, QUEUE_DEFAULT = 64, QUEUE_MAX = 65536, SLICE_DEFAULT = 64 };
static const uint64_t cache_dir_default = UINT64_C(4) << 30;

void dv__publish(dv_sched *s)
{
    const dv_kv *kv = &s->engine->kv;
    dv_sched_stats *now = &s->now;
    now->n_running = 0;
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->n_seq; i++) {
        const dv__seq *q = &s->seq[i];
        now->n_running += q->job != NULL;
        if (!dv__has_slot(s, q))
            continue;
        dv_slot_info *info = &s->slot_info[q->slot];
        *info = (dv_slot_info){.n_tokens = q->n_tok, .speculative = !s->o.no_speculation};
        if (q->job == NULL)
            continue;
        info->job = q->job->id;
        info->n_prompt = q->n_prompt;
        info->n_prompt_done = DV_MIN(q->n_kv, q->n_prompt);
        info->n_cached = q->job->timing.n_cached;
        info->n_predicted = q->n_predicted;
    }
    now->n_slots = s->o.parallel;
    now->n_queue_max = s->o.queue;
    now->n_queued = s->n_waiting;
    now->kv_pages_max = kv->max_pages;
    now->kv_pages_used = kv->n_pages;
    now->kv_pages_cached = s->prefix.n_nodes;
    now->kv_page_bytes = kv->page_bytes;
    if (s->snapshot != NULL)
        dv__snapshot_counts(s->snapshot, &now->n_snapshot_hits, &now->n_snapshot_writes, &now->n_snapshot_rejects);
    now->n_jobs = s->stats.n_jobs; /* these two are counted by who submits */
    now->n_refused = s->stats.n_refused;
    s->stats = *now;
    pthread_mutex_unlock(&s->mutex);
}

static void run_commands(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    dv__command *c = s->command;
    s->command = NULL;
    pthread_mutex_unlock(&s->mutex);
    for (dv__command *next; c != NULL; c = next) {
        next = c->next; /* c is its caller's again as soon as it is done */
        int code = c->run(s, c);
        pthread_mutex_lock(&s->mutex);
        c->code = code;
        c->done = true;
        pthread_cond_broadcast(&s->done);
        pthread_mutex_unlock(&s->mutex);
    }
}

static void wait_for_work(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    while (!s->stop && s->inbox_first == NULL && s->command == NULL && !s->poked)
        pthread_cond_wait(&s->wake, &s->mutex);
    s->poked = false;
    pthread_mutex_unlock(&s->mutex);
}

static bool stopping(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    bool stop = s->stop;
    pthread_mutex_unlock(&s->mutex);
    return stop;
}

/* Whatever is still there ends now. */
static void cancel_all(dv_sched *s)
{
    dv__take_inbox(s);
    for (dv_job *j = s->queue; j != NULL; j = j->next)
        atomic_store(&j->canceled, true);
    for (uint32_t i = 0; i < s->n_seq; i++)
        if (s->seq[i].job != NULL)
            atomic_store(&s->seq[i].job->canceled, true);
    dv__drop_canceled(s);
}

static void *loop(void *arg)
{
    dv_sched *s = arg;
    while (!stopping(s)) {
        run_commands(s);
        if (dv__step(s)) {
            if (s->snapshot != NULL)
                dv__snapshot_poll(s->snapshot);
            dv__publish(s);
            continue;
        }
        dv__publish(s);
        wait_for_work(s);
    }
    run_commands(s);
    cancel_all(s);
    dv__publish(s);
    return NULL;
}

static int check_options(dv_sched_options *o, const dv_engine *e, dv_err *err)
{
    o->parallel = o->parallel != 0 ? o->parallel : PARALLEL_DEFAULT;
    o->queue = o->queue != 0 ? o->queue : QUEUE_DEFAULT;
    o->slice = o->slice != 0 ? o->slice : SLICE_DEFAULT;
    o->cache_dir_bytes = o->cache_dir_bytes != 0 ? o->cache_dir_bytes : cache_dir_default;
    if (e->model == NULL)
        return dv_fail(err, DV_EINVAL, "the engine was opened for its vocabulary only");
    if (o->parallel > DV__PARALLEL_MAX)
        return dv_fail(err, DV_EINVAL, "parallel: %u is not between 1 and %d", o->parallel, DV__PARALLEL_MAX);
    if (o->queue > QUEUE_MAX)
        return dv_fail(err, DV_EINVAL, "queue: %u is not between 1 and %d", o->queue, QUEUE_MAX);
    /* Every sequence has a row in each step. */
    if (o->parallel >= e->forward->max_tok)
        return dv_fail(err, DV_EINVAL, "parallel: %u sequences do not fit into a batch of %u tokens", o->parallel,
                       e->forward->max_tok);
    return 0;
}

static int set_pages(dv_sched *s, dv_err *err)
{
    dv_kv *kv = &s->engine->kv;
    uint64_t ctx_pages = dv_div_up(s->engine->info.n_ctx, DV_KV_PAGE);
    uint64_t pages = s->o.kv_bytes != 0 ? s->o.kv_bytes / kv->page_bytes : ctx_pages;
    if (pages < ctx_pages)
        return dv_fail(err, DV_EINVAL, "kv_bytes: %llu hold %llu tokens, fewer than the context of %u",
                       (unsigned long long)s->o.kv_bytes, (unsigned long long)(pages * DV_KV_PAGE),
                       s->engine->info.n_ctx);
    pages += s->o.cache_bytes / kv->page_bytes;
    kv->max_pages = (uint32_t)DV_MIN(pages, (uint64_t)UINT32_MAX);
    return 0;
}

static int alloc_work(dv_sched *s, dv_err *err)
{
    const dv_engine_info *info = &s->engine->info;
    s->max_rows = DV_MAX(s->o.parallel + DV__GUESSED_ROWS, (uint32_t)DV__PROMPT_ROWS);
    s->max_rows = DV_MIN(s->max_rows, s->engine->forward->max_tok);
    s->n_seq = s->o.parallel + DV__PARKED;
    s->seq = dv_calloc(DV_MEM_SESSION, s->n_seq, sizeof *s->seq);
    s->slot_info = dv_calloc(DV_MEM_SESSION, s->o.parallel, sizeof *s->slot_info);
    s->batch_seq = dv_calloc(DV_MEM_SESSION, s->o.parallel, sizeof(dv__seq *));
    s->rows = dv_calloc(DV_MEM_SESSION, s->max_rows, sizeof *s->rows);
    s->logits = dv_alloc_array(DV_MEM_SCRATCH, (size_t)s->max_rows * info->n_vocab, sizeof *s->logits);
    s->masks = dv_calloc(DV_MEM_SCRATCH, s->n_seq * dv_grammar_mask_words(info->n_vocab), sizeof *s->masks);
    s->hidden = dv_calloc(DV_MEM_SCRATCH, info->n_embd, sizeof *s->hidden);
    if (s->seq == NULL || s->slot_info == NULL || s->batch_seq == NULL || s->rows == NULL || s->logits == NULL ||
        s->masks == NULL || s->hidden == NULL)
        return dv_fail(err, DV_ENOMEM, "scheduler: no memory for %u sequences", s->o.parallel);
    for (uint32_t i = 0; i < s->n_seq; i++)
        s->seq[i].slot = i;
    return 0;
}

static int open_snapshots(dv_sched *s, dv_err *err)
{
    dv__kvfile_id id;
    if (s->o.cache_dir == NULL || s->o.no_prefix_cache)
        return 0;
    dv__kvfile_identify(&id, s->engine->gguf, &s->engine->kv);
    return dv__snapshot_open(&s->snapshot, s->o.cache_dir, s->o.cache_dir_bytes, &id, &s->prefix, s->o.log,
                             s->o.log_arg, err);
}

int dv_sched_open(dv_sched **out, dv_engine *e, const dv_sched_options *o, dv_err *err)
{
    static const dv_sched_options defaults = {0};
    *out = NULL;
    dv_sched *s = dv_calloc(DV_MEM_SESSION, 1, sizeof *s);
    if (s == NULL || sodium_init() < 0) {
        dv_free(s);
        return dv_fail(err, DV_ENOMEM, "scheduler: %s", dv_error_text(DV_ENOMEM));
    }
    s->engine = e;
    s->o = o != NULL ? *o : defaults;
    s->next_order = 1;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->done, NULL);
    dv__prefix_init(&s->prefix, &e->kv);
    int rc = check_options(&s->o, e, err);
    rc = rc != 0 ? rc : set_pages(s, err);
    rc = rc != 0 ? rc : alloc_work(s, err);
    rc = rc != 0 ? rc : open_snapshots(s, err);
    if (rc == 0) {
        dv__publish(s);
        s->running = pthread_create(&s->thread, NULL, loop, s) == 0;
        rc = s->running ? 0 : dv_fail(err, DV_EIO, "scheduler: no thread");
    }
    if (rc != 0) {
        dv_sched_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void dv_sched_close(dv_sched **ps)
{
    dv_sched *s = *ps;
    if (s == NULL)
        return;
    if (s->running) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    dv__snapshot_close(&s->snapshot, true);
    for (uint32_t i = 0; i < s->n_seq && s->seq != NULL; i++) {
        dv_free(s->seq[i].tokens);
        dv_answer_fini(&s->seq[i].answer);
    }
    dv__prefix_clear(&s->prefix);
    dv_grammar_vocab_unref(&s->vocab);
    dv_free(s->seq);
    dv_free(s->slot_info);
    dv_free(s->batch_seq);
    dv_free(s->rows);
    dv_free(s->logits);
    dv_free(s->masks);
    dv_free(s->hidden);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->done);
    dv_free(s);
    *ps = NULL;
}

void dv_sched_drain(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    s->draining = true;
    pthread_mutex_unlock(&s->mutex);
}

uint32_t dv_sched_n_jobs(dv_sched *s)
{
    pthread_mutex_lock(&s->mutex);
    uint32_t n = s->n_jobs;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

void dv_sched_get_stats(dv_sched *s, dv_sched_stats *out, dv_slot_info *slots)
{
    pthread_mutex_lock(&s->mutex);
    *out = s->stats;
    out->n_queued = s->n_waiting;
    if (slots != NULL)
        memcpy(slots, s->slot_info, s->o.parallel * sizeof *slots);
    pthread_mutex_unlock(&s->mutex);
}
