/* SPDX-License-Identifier: MIT */
/* A client of the scheduler, for its tests: what it asked for and what came back, and what a session of its own would have drawn. */
#ifndef DV_TEST_SCHED_CLIENT_H
#define DV_TEST_SCHED_CLIENT_H

#include "base/clock.h"
#include "base/rng.h"
#include "engine/session.h"
#include "model_files.h"
#include "sched/sched.h"

#include <math.h>
#include <pthread.h>

enum { CTX = 512, MAX_IDS = 512, MAX_BIAS = 64 };

/* One request and what came back. */
typedef struct client {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    dv_job *job;
    uint32_t prompt[MAX_IDS], n_prompt;
    dv_job_params p;
    uint32_t ids[4][MAX_IDS], n_ids[4];
    dv_stop reason[4];
    float logprob[MAX_IDS], prompt_logprob[MAX_IDS];
    uint32_t n_prompt_logprobs, n_top;
    dv_buf text, trace; /* trace: pieces of text and tokens in their order, "{ab}12 3 {c}" */
    float embedding[256];
    dv_job_timing timing, token_timing; /* token_timing: as of the last token */
    int code, ended, started, progress;
    unsigned order; /* in which the requests of a program began */
    char message[400];
    uint32_t cancel_at, pause_at; /* tokens; 0: never */
    bool hold_at_start;           /* the scheduler stands still until release() */
    struct client *beside;        /* its tokens at each PROGRESS */
    uint32_t seen[64], n_done[64];
} client;

static inline void on_token(client *c, const dv_job_event *ev)
{
    if (ev->n_top > 0)
        assert_true(ev->top[0].logprob >= ev->logprob);
    c->n_top = ev->n_top;
    c->logprob[ev->at] = ev->logprob;
    if (ev->reason == DV_STOP_END)
        return;
    assert_int_equal(ev->at, c->n_ids[ev->index]);
    c->ids[ev->index][c->n_ids[ev->index]++] = ev->id;
}

static unsigned next_order;

static inline int on_event(void *arg, dv_job *job, const dv_job_event *ev)
{
    client *c = arg;
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    assert_false(c->ended);
    switch (ev->type) {
    case DV_JOB_STARTED:
        c->started++;
        c->order = next_order++;
        while (c->hold_at_start) {
            pthread_cond_broadcast(&c->cond);
            pthread_cond_wait(&c->cond, &c->mutex);
        }
        break;
    case DV_JOB_PROGRESS:
        if (c->beside != NULL && c->progress < 64)
            c->seen[c->progress] = c->beside->n_ids[0];
        if (c->progress < 64)
            c->n_done[c->progress] = ev->n_done;
        c->progress++;
        break;
    case DV_JOB_PROMPT:
        assert_int_equal(ev->at, c->n_prompt_logprobs + 1);
        assert_int_equal(ev->id, c->prompt[ev->at]);
        c->prompt_logprob[ev->at] = ev->logprob;
        c->n_prompt_logprobs++;
        break;
    case DV_JOB_TOKEN:
        on_token(c, ev);
        dv_buf_printf(&c->trace, "%u ", ev->id);
        c->token_timing = *ev->timing;
        if (c->pause_at != 0 && c->n_ids[0] >= c->pause_at)
            dv_job_pause(job);
        rc = c->cancel_at != 0 && c->n_ids[0] >= c->cancel_at;
        break;
    case DV_JOB_TEXT:
        dv_buf_printf(&c->trace, "{%.*s}", (int)ev->len, ev->text);
        if (ev->index == 0)
            dv_buf_add(&c->text, ev->text, ev->len);
        break;
    case DV_JOB_CHOICE: c->reason[ev->index] = ev->reason; break;
    case DV_JOB_EMBEDDING: memcpy(c->embedding, ev->embedding, ev->n_embd * sizeof(float)); break;
    case DV_JOB_END:
        c->code = ev->code;
        c->ended = 1;
        if (ev->err != NULL)
            snprintf(c->message, sizeof c->message, "%s", ev->err->msg);
        break;
    }
    c->timing = *ev->timing;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

static inline client *client_new(uint64_t seed, uint32_t n_prompt, uint32_t n_predict)
{
    client *c = calloc(1, sizeof *c);
    dv_rng rng;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->cond, NULL);
    dv_rng_seed(&rng, seed);
    c->n_prompt = n_prompt;
    for (uint32_t i = 0; i < n_prompt; i++)
        c->prompt[i] = (uint32_t)dv_rng_below(&rng, 4000);
    c->p = (dv_job_params){.prompt = c->prompt,
                           .n_prompt = n_prompt,
                           .sampling = dv_sampling_default(),
                           .n = 1,
                           .max_tokens = n_predict,
                           .slot = -1,
                           .on_event = on_event,
                           .arg = c,
                           .ignore_end = true};
    c->p.sampling.temperature = seed % 2 != 0 ? 0.9f : 0;
    c->p.sampling.seed = seed;
    return c;
}

static inline void client_free(client *c)
{
    dv_job_unref(&c->job);
    dv_buf_fini(&c->text);
    dv_buf_fini(&c->trace);
    free(c);
}

static inline void submit(dv_sched *s, client *c)
{
    dv_err err = {0};
    if (dv_sched_submit(s, &c->p, &c->job, &err) != 0)
        fail_msg("%s", err.msg);
}

static inline void wait_end(client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->ended)
        pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static inline void wait_started(client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->started)
        pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static inline void release(client *c)
{
    pthread_mutex_lock(&c->mutex);
    c->hold_at_start = false;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

/* Until it has so many tokens. */
static inline void wait_tokens(client *c, uint32_t n)
{
    pthread_mutex_lock(&c->mutex);
    while (c->n_ids[0] < n && !c->ended)
        pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static inline void run(dv_sched *s, client *c)
{
    submit(s, c);
    wait_end(c);
    assert_string_equal(c->message, "");
    assert_int_equal(c->code, 0);
}

static inline dv_engine *open_engine(const char *shape, const char *quant, unsigned threads, dv_kv_format kv)
{
    dv_engine *e;
    dv_err err = {0};
    mf_path p = mf_model(shape, quant);
    const dv_engine_options o = {.threads = threads, .ctx = CTX, .kv_format = kv};
    if (dv_engine_open(&e, p.at, &o, &err) != 0)
        fail_msg("%s", err.msg);
    return e;
}

static inline dv_sched *open_sched(dv_engine *e, const dv_sched_options *o)
{
    dv_sched *s;
    dv_err err = {0};
    if (dv_sched_open(&s, e, o, &err) != 0)
        fail_msg("%s", err.msg);
    return s;
}

/* What a session of its own draws. */
static inline uint32_t alone(dv_engine *e, const client *c, uint32_t choice, uint32_t *ids)
{
    dv_session *s;
    dv_err err = {0};
    dv_sampling sampling = c->p.sampling;
    dv_logit_bias bias[MAX_BIAS]; /* the end tokens forbidden, as ignore_end does it */
    uint32_t n = 0;
    sampling.seed += choice;
    if (sampling.n_bias > 0)
        memcpy(bias, sampling.bias, sampling.n_bias * sizeof *bias);
    for (uint32_t id = 0; id < dv_engine_get_info(e)->n_vocab; id++)
        if (dv_engine_is_end(e, id)) {
            assert_true(sampling.n_bias < MAX_BIAS);
            bias[sampling.n_bias++] = (dv_logit_bias){id, -INFINITY};
        }
    sampling.bias = bias;
    assert_int_equal(dv_session_open(&s, e, &sampling, &err), 0);
    assert_int_equal(dv_session_append(s, c->prompt, c->n_prompt, NULL, NULL, &err), 0);
    while (n < c->p.max_tokens) {
        assert_int_equal(dv_session_sample(s, &ids[n], &err), 0);
        if (dv_session_append(s, &ids[n++], 1, NULL, NULL, &err) != 0)
            break;
    }
    dv_session_close(&s);
    return n;
}

static inline void same_as_alone(dv_engine *e, client *c)
{
    uint32_t ids[MAX_IDS];
    for (uint32_t i = 0; i < c->p.n; i++) {
        uint32_t n = alone(e, c, i, ids);
        assert_int_equal(c->n_ids[i], n);
        assert_memory_equal(c->ids[i], ids, n * sizeof *ids);
    }
}

static inline int clean_up(void **state)
{
    (void)state;
    mf_remove_all();
    return 0;
}

#endif
