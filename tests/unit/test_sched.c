/* SPDX-License-Identifier: MIT */
/* The scheduler: whatever runs beside it, a request gets the tokens that a session of its own would get. */
#include "base/clock.h"
#include "base/rng.h"
#include "engine/session.h"
#include "model_files.h"
#include "sched/sched.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

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
    char message[400];
    uint32_t cancel_at; /* tokens; 0: never */
    bool pause_at_start;
} client;

static void on_token(client *c, const dv_job_event *ev)
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

static int on_event(void *arg, dv_job *job, const dv_job_event *ev)
{
    client *c = arg;
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    assert_false(c->ended);
    switch (ev->type) {
    case DV_JOB_STARTED:
        c->started++;
        if (c->pause_at_start)
            dv_job_pause(job);
        break;
    case DV_JOB_PROGRESS: c->progress++; break;
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

static client *client_new(uint64_t seed, uint32_t n_prompt, uint32_t n_predict)
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

static void client_free(client *c)
{
    dv_job_unref(&c->job);
    dv_buf_fini(&c->text);
    dv_buf_fini(&c->trace);
    free(c);
}

static void submit(dv_sched *s, client *c)
{
    dv_err err = {0};
    if (dv_sched_submit(s, &c->p, &c->job, &err) != 0)
        fail_msg("%s", err.msg);
}

static void wait_end(client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->ended)
        pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void wait_started(client *c)
{
    pthread_mutex_lock(&c->mutex);
    while (!c->started)
        pthread_cond_wait(&c->cond, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void run(dv_sched *s, client *c)
{
    submit(s, c);
    wait_end(c);
    assert_string_equal(c->message, "");
    assert_int_equal(c->code, 0);
}

static dv_engine *open_engine(const char *shape, const char *quant, unsigned threads, dv_kv_format kv)
{
    dv_engine *e;
    dv_err err = {0};
    mf_path p = mf_model(shape, quant);
    const dv_engine_options o = {.threads = threads, .ctx = CTX, .kv_format = kv};
    if (dv_engine_open(&e, p.at, &o, &err) != 0)
        fail_msg("%s", err.msg);
    return e;
}

static dv_sched *open_sched(dv_engine *e, const dv_sched_options *o)
{
    dv_sched *s;
    dv_err err = {0};
    if (dv_sched_open(&s, e, o, &err) != 0)
        fail_msg("%s", err.msg);
    return s;
}

/* What a session of its own draws. */
static uint32_t alone(dv_engine *e, const client *c, uint32_t choice, uint32_t *ids)
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

static void same_as_alone(dv_engine *e, client *c)
{
    uint32_t ids[MAX_IDS];
    for (uint32_t i = 0; i < c->p.n; i++) {
        uint32_t n = alone(e, c, i, ids);
        assert_int_equal(c->n_ids[i], n);
        assert_memory_equal(c->ids[i], ids, n * sizeof *ids);
    }
}

/* Sixteen prompts at once, in the order that happens to be; twice, so that the second time they are in the prefix cache. */
static void many_get_what_they_get_alone(void **state)
{
    (void)state;
    static const struct {
        const char *shape, *quant;
        dv_kv_format kv;
    } models[] = {{"tiny-llama", "Q4_K_M", DV_KV_FORMAT_F16},
                  {"tiny-gemma3", "Q8_0", DV_KV_FORMAT_AUTO},
                  {"tiny-qwen3moe", "Q6_K", DV_KV_FORMAT_Q8_0}};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        dv_engine *e = open_engine(models[m].shape, models[m].quant, 2, models[m].kv),
                  *ref = open_engine(models[m].shape, models[m].quant, 1, models[m].kv);
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 5, .slice = 48, .cache_bytes = 1 << 30});
        for (int round = 0; round < 2; round++) {
            client *c[16];
            for (uint32_t i = 0; i < 16; i++) {
                c[i] = client_new(i + 1, 1 + i * 23 % 300, 24);
                submit(s, c[i]);
            }
            for (uint32_t i = 0; i < 16; i++) {
                wait_end(c[i]);
                same_as_alone(ref, c[i]);
                if (round == 1 && c[i]->n_prompt > 1)
                    assert_true(c[i]->timing.n_cached >= (c[i]->n_prompt - 1) / 64 * 64);
                client_free(c[i]);
            }
        }
        dv_sched_close(&s);
        dv_engine_close(&e);
        dv_engine_close(&ref);
    }
}

/* Many agents with one system prompt, all at once: it is computed once. */
static void a_shared_prefix_is_computed_once(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 6, .cache_bytes = 1 << 30});
    client *c[6];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(77, 230, 12);
        c[i]->p.sampling.seed = i;
        for (uint32_t k = 200; k < 230; k++) /* their own questions */
            c[i]->prompt[k] = (k * 17 + i * 301) % 4000;
        submit(s, c[i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        wait_end(c[i]);
        same_as_alone(ref, c[i]);
        assert_true(i == 0 || c[i]->timing.n_cached >= 192);
        client_free(c[i]);
    }
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_prompt_tokens, 6 * 230);
    assert_int_equal(st.n_prompt_computed + st.n_cached_tokens, 6 * 230);
    assert_true(st.n_prompt_computed <= 230 + 5 * (230 - 192));
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static void choices_share_their_prompt(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    for (uint32_t parallel = 1; parallel <= 4; parallel += 3) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = parallel, .cache_bytes = 1 << 30});
        client *c = client_new(5, 150, 16);
        dv_sched_stats st;
        c->p.n = 4;
        run(s, c);
        same_as_alone(ref, c);
        dv_sched_get_stats(s, &st, NULL);
        assert_int_equal(st.n_prompt_computed, 150 + 3); /* the last token of each, for its logits */
        assert_int_equal(c->timing.n_predicted, 64);
        client_free(c);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* Text that repeats is guessed; the tokens are those of no guessing, greedy and drawn. */
static void speculation_changes_nothing_but_steps(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    uint64_t steps[2], accepted = 0;
    for (int off = 0; off < 2; off++) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .no_speculation = off});
        dv_sched_stats st;
        for (uint32_t i = 0; i < 6; i++) {
            client *c = client_new(i, 120, 150);
            for (uint32_t k = 0; k < 120; k++)
                c->prompt[k] = 100 + k % (7 + i);
            /* A strong bias makes even a random model repeat itself, and drawing makes the guesses fail now and then. */
            dv_logit_bias bias[3] = {{100, 60}, {101, 60}, {102, 60.5f}};
            c->p.sampling.bias = bias;
            c->p.sampling.n_bias = i < 2 ? 0 : 3;
            run(s, c);
            same_as_alone(ref, c);
            accepted += c->timing.n_accepted;
            assert_true(c->timing.n_accepted <= c->timing.n_drafted);
            client_free(c);
        }
        dv_sched_get_stats(s, &st, NULL);
        steps[off] = st.n_steps;
        dv_sched_close(&s);
    }
    assert_true(accepted > 100);
    assert_true(steps[0] < steps[1]);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* Far fewer pages than the sequences want at once: some give way and come back. */
static void giving_way_changes_nothing(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 6}); /* 8 pages of 64 */
    client *c[6];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(i + 1, 100 + i * 10, 180);
        submit(s, c[i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        wait_end(c[i]);
        same_as_alone(ref, c[i]);
        client_free(c[i]);
    }
    dv_sched_get_stats(s, &st, NULL);
    assert_true(st.n_preempted > 0);
    assert_true(st.kv_pages_used <= 8);
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static void context_and_length_end_an_answer(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, NULL);
    client *c = client_new(1, 500, 0);
    run(s, c);
    assert_int_equal(c->reason[0], DV_STOP_CONTEXT);
    assert_int_equal(c->n_ids[0], 12);
    client_free(c);
    c = client_new(1, 10, 3);
    run(s, c);
    assert_int_equal(c->reason[0], DV_STOP_LENGTH);
    assert_int_equal(c->n_ids[0], 3);
    client_free(c);
    c = client_new(1, 100, 3);
    c->p.no_tokens = true;
    run(s, c);
    assert_int_equal(c->n_ids[0], 0);
    assert_int_equal(c->reason[0], DV_STOP_LENGTH);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, NULL);
    client *c = client_new(1, 20, 3);
    dv_err err;
    dv_job_params good = c->p;
    const char *empty[] = {""};
    uint32_t foreign[] = {1, 1u << 30}, many[CTX + 1] = {0};
    struct {
        dv_job_params p;
        int code;
        const char *what;
    } bad[9] = {{good, DV_EINVAL, "no tokens"},    {good, DV_EINVAL, "vocabulary"}, {good, DV_ECONTEXT, "513 tokens"},
                {good, DV_ECONTEXT, "512 tokens"}, {good, DV_EINVAL, "n: 0"},       {good, DV_EINVAL, "n: 33"},
                {good, DV_EINVAL, "top_logprobs"}, {good, DV_EINVAL, "id_slot"},    {good, DV_EINVAL, "stop"}};
    bad[0].p.n_prompt = 0;
    bad[1].p.prompt = foreign;
    bad[1].p.n_prompt = 2;
    bad[2].p.prompt = bad[3].p.prompt = many;
    bad[2].p.n_prompt = CTX + 1;
    bad[3].p.n_prompt = CTX;
    bad[4].p.n = 0;
    bad[5].p.n = 33;
    bad[6].p.n_top = DV_JOB_MAX_TOP + 1;
    bad[7].p.slot = 4;
    bad[8].p.stop = empty;
    bad[8].p.n_stop = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (dv_err){0};
        assert_int_equal(dv_sched_submit(s, &bad[i].p, &c->job, &err), bad[i].code);
        assert_null(c->job);
        if (strstr(err.msg, bad[i].what) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i].what);
    }
    dv_sched_drain(s);
    assert_int_equal(dv_sched_submit(s, &good, &c->job, NULL), DV_EBUSY);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void a_full_queue_says_so(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1, .queue = 2});
    client *c[5];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 5; i++)
        c[i] = client_new(i + 1, 30, 100);
    c[0]->pause_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    submit(s, c[1]);
    submit(s, c[2]);
    assert_int_equal(dv_sched_submit(s, &c[3]->p, &c[3]->job, NULL), DV_EBUSY);
    dv_job_cancel(c[1]->job); /* a place becomes free */
    wait_end(c[1]);
    assert_int_equal(c[1]->code, DV_ECANCELED);
    submit(s, c[4]);
    dv_job_resume(c[0]->job);
    wait_end(c[0]);
    wait_end(c[2]);
    wait_end(c[4]);
    assert_int_equal(c[0]->code + c[2]->code + c[4]->code, 0);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_refused, 1);
    while (dv_sched_n_jobs(s) > 0) /* counted down behind the last event */
        usleep(1000);
    for (uint32_t i = 0; i < 5; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* Queued, in prefill, decoding, paused: whoever leaves frees everything. */
static void canceled_jobs_free_everything(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .slice = 16, .no_prefix_cache = true});
    client *c[8];
    dv_sched_stats st;
    for (uint32_t i = 0; i < 8; i++) {
        c[i] = client_new(i + 1, 300, 200);
        c[i]->cancel_at = i % 2 == 0 ? 5 : 0;
        c[i]->pause_at_start = i == 3;
        submit(s, c[i]);
    }
    for (uint32_t i = 1; i < 8; i += 2)
        dv_job_cancel(c[i]->job);
    for (uint32_t i = 0; i < 8; i++) {
        wait_end(c[i]);
        assert_int_equal(c[i]->code, DV_ECANCELED);
        assert_true(c[i]->n_ids[0] <= 5 + 8); /* guesses of the same step count */
        client_free(c[i]);
    }
    client *last = client_new(9, 20, 4);
    run(s, last);
    client_free(last);
    dv_sched_get_stats(s, &st, NULL);
    assert_int_equal(st.n_running, 0);
    assert_true(st.kv_pages_used <= 1); /* the spare one */
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void closing_ends_what_runs(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c[6];
    for (uint32_t i = 0; i < 6; i++) {
        c[i] = client_new(i + 1, 100, 400);
        submit(s, c[i]);
    }
    wait_started(c[0]);
    dv_sched_close(&s);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(c[i]->ended);
        client_free(c[i]);
    }
    dv_engine_close(&e);
}

static void higher_priority_goes_first(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1});
    client *c[4];
    for (uint32_t i = 0; i < 4; i++) {
        c[i] = client_new(i + 1, 20, 20);
        c[i]->p.priority = i == 3;
    }
    c[0]->pause_at_start = true;
    submit(s, c[0]);
    wait_started(c[0]);
    for (uint32_t i = 1; i < 4; i++)
        submit(s, c[i]);
    dv_job_resume(c[0]->job);
    for (uint32_t i = 0; i < 4; i++)
        wait_end(c[i]);
    assert_true(c[3]->timing.queue_ms < c[1]->timing.queue_ms);
    assert_true(c[1]->timing.queue_ms < c[2]->timing.queue_ms);
    for (uint32_t i = 0; i < 4; i++)
        client_free(c[i]);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

typedef struct scores {
    float *rows;
    uint32_t n_vocab;
} scores;

static int keep_row(void *arg, size_t i, const float *logits)
{
    scores *s = arg;
    dv_logits_to_logprobs(logits, s->n_vocab, s->rows + i * s->n_vocab);
    return 0;
}

static void log_probabilities_are_the_models(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    uint32_t n_vocab = dv_engine_get_info(e)->n_vocab, all[MAX_IDS];
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .slice = 32});
    for (uint64_t seed = 1; seed <= 2; seed++) {
        client *c = client_new(seed, 90, 30);
        c->p.logprobs = c->p.prompt_logprobs = true;
        c->p.n_top = 5;
        c->p.sampling.repeat_penalty = 1.3f;
        run(s, c);
        assert_int_equal(c->n_prompt_logprobs, 89);
        assert_int_equal(c->n_top, 5);
        memcpy(all, c->prompt, 90 * sizeof *all);
        memcpy(all + 90, c->ids[0], 30 * sizeof *all);
        scores sc = {malloc((size_t)120 * n_vocab * sizeof(float)), n_vocab};
        dv_session *one;
        assert_int_equal(dv_session_open(&one, ref, NULL, NULL), 0);
        assert_int_equal(dv_session_score(one, all, 120, keep_row, &sc, NULL), 0);
        for (uint32_t i = 1; i < 120; i++) {
            float want = sc.rows[(size_t)(i - 1) * n_vocab + all[i]],
                  got = i < 90 ? c->prompt_logprob[i] : c->logprob[i - 90];
            assert_true(fabsf(want - got) < 1e-4f);
        }
        dv_session_close(&one);
        free(sc.rows);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

/* With top_k of 1 there is one token that can be drawn, and it is certain, whatever the model thought of it. */
static void probabilities_after_sampling(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1});
    for (uint32_t top_k = 1; top_k <= 4; top_k += 3) {
        client *c = client_new(1, 20, 8);
        c->p.logprobs = c->p.post_probs = true;
        c->p.n_top = 10;
        c->p.sampling.temperature = 5;
        c->p.sampling.min_p = 0;
        c->p.sampling.top_p = 1;
        c->p.sampling.top_k = top_k;
        run(s, c);
        assert_int_equal(c->n_top, top_k);
        for (uint32_t i = 0; i < 8; i++)
            assert_true(top_k == 1 ? c->logprob[i] == 0 : c->logprob[i] < 0 && c->logprob[i] > -10);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* A limit of time ends a text at the first chance after it had a line end, and no other text. */
static void time_ends_texts_of_lines(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 1, .no_speculation = true});
    uint32_t newline;
    assert_int_equal(dv_engine_tokenize(e, "\n", 1, false, false, &newline, 1, NULL), 1);
    for (int lines = 0; lines < 2; lines++) {
        client *c = client_new(2, 20, 0);
        dv_logit_bias bias = {newline, lines ? 1000 : -INFINITY};
        c->p.sampling.bias = &bias;
        c->p.sampling.n_bias = 1;
        c->p.line_ms = 1;
        run(s, c);
        assert_int_equal(c->reason[0], lines ? DV_STOP_LENGTH : DV_STOP_CONTEXT);
        assert_true(lines ? c->n_ids[0] < CTX - 20 : c->n_ids[0] >= CTX - 20);
        client_free(c);
    }
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void embeddings_do_not_depend_on_slices(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    uint32_t n_embd = dv_engine_get_info(e)->n_embd;
    float want[256];
    assert_true(n_embd <= 256);
    for (uint32_t slice = 512; slice >= 7; slice /= 8) {
        dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 3, .slice = slice});
        client *other = client_new(9, 40, 400), *c = client_new(3, 300, 1);
        submit(s, other); /* decodes beside it, so that there are slices */
        wait_started(other);
        c->p.kind = DV_JOB_EMBED;
        run(s, c);
        double norm = 0;
        for (uint32_t i = 0; i < n_embd; i++)
            norm += (double)c->embedding[i] * (double)c->embedding[i];
        assert_true(norm > 0);
        if (slice == 512)
            memcpy(want, c->embedding, sizeof want);
        assert_memory_equal(want, c->embedding, n_embd * sizeof *want);
        client_free(c);
        dv_job_cancel(other->job);
        wait_end(other);
        client_free(other);
        dv_sched_close(&s);
    }
    dv_engine_close(&e);
}

static void grammars_bind_answers(void **state)
{
    (void)state;
    static const char text[] = "root ::= \"yes\" | \"no\" | [0-9]{3}";
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 3});
    dv_grammar *g;
    dv_err err = {0};
    if (dv_grammar_from_gbnf(&g, text, strlen(text), NULL, &err) != 0)
        fail_msg("%s", err.msg);
    for (uint64_t seed = 0; seed < 12; seed++) {
        client *c = client_new(seed, 30, 20);
        c->p.ignore_end = false;
        c->p.grammar = g;
        run(s, c);
        const char *t = dv_buf_str(&c->text);
        assert_int_equal(c->reason[0], DV_STOP_END);
        assert_true(strcmp(t, "yes") == 0 || strcmp(t, "no") == 0 || (strlen(t) == 3 && strspn(t, "0123456789") == 3));
        client_free(c);
    }
    dv_grammar_unref(&g);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static dv_grammar *gbnf(const char *text, const dv_grammar_limits *limits)
{
    dv_grammar *g;
    dv_err err = {0};
    if (dv_grammar_from_gbnf(&g, text, strlen(text), limits, &err) != 0)
        fail_msg("%s", err.msg);
    return g;
}

static void run_to_failure(dv_sched *s, client *c, const char *says)
{
    submit(s, c);
    wait_end(c);
    assert_int_equal(c->code, DV_EINTERNAL);
    if (strstr(c->message, says) == NULL)
        fail_msg("%s", c->message);
    client_free(c);
}

/* A text that a grammar has led into a corner: an error, for every way to sample, and never a token that was not allowed. */
static void a_grammar_without_a_way_on_is_an_error(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    static const char nested[] = "root ::= \"(\" a \")\"\na ::= \"(\" b \")\"\nb ::= \"(\" c \")\"\nc ::= \"(\" \")\"";
    dv_grammar *deep = gbnf(nested, &(dv_grammar_limits){.max_stack = 2}), *word = gbnf("root ::= \"7\"", NULL);
    static const dv_sampling ways[] = {{.temperature = 0},
                                       {.temperature = 1, .top_k = 40},
                                       {.temperature = 1, .min_p = 0.1f},
                                       {.temperature = 1},
                                       {.temperature = 1, .top_p = 0.9f, .typical_p = 0.9f}};
    dv_logit_bias bias[MAX_BIAS];
    size_t n_bias = 0;
    for (uint32_t id = 0; id < dv_engine_get_info(e)->n_vocab; id++) {
        const char *p;
        if (dv_engine_piece(e, id, true, &p) == 1 && p[0] == '7')
            bias[n_bias++] = (dv_logit_bias){id, -INFINITY};
    }
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        client *c = client_new(i, 30, 200);
        dv_sampling sampling = dv_sampling_default();
        sampling.temperature = ways[i].temperature;
        sampling.top_k = ways[i].top_k;
        sampling.min_p = ways[i].min_p;
        sampling.top_p = ways[i].top_p > 0 ? ways[i].top_p : 1;
        sampling.typical_p = ways[i].typical_p > 0 ? ways[i].typical_p : 1;
        c->p.sampling = sampling;
        c->p.grammar = deep;
        c->p.ignore_end = i % 2 != 0;
        run_to_failure(s, c, "the constraint allows no token here");
        c = client_new(i, 30, 200);
        c->p.sampling = sampling;
        c->p.sampling.bias = bias;
        c->p.sampling.n_bias = n_bias;
        c->p.grammar = word;
        run_to_failure(s, c, "logit_bias");
    }
    client *c = client_new(1, 30, 20); /* a text that is complete ends, although no end was wanted */
    c->p.grammar = word;
    run(s, c);
    assert_string_equal(dv_buf_str(&c->text), "7");
    assert_int_equal(c->reason[0], DV_STOP_END);
    client_free(c);
    dv_grammar_unref(&deep);
    dv_grammar_unref(&word);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* The order of texts and tokens of an answer that a grammar dictates: "ab" or half a character, a control token, "cd", the end. */
static void check_order(dv_sched *s, uint32_t ctl, const char *text, const char *stop, bool cut, const char *want)
{
    dv_grammar_builder *b;
    dv_grammar *g;
    char name[40];
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    int n = snprintf(name, sizeof name, "root ::= <[%u]>", ctl);
    dv_gx part[] = {dv_gx_literal(b, text, strlen(text)), dv_gx_gbnf(b, name, (size_t)n), dv_gx_literal(b, "cd", 2)};
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_seq(b, part, 3), NULL), 0);
    dv_grammar_builder_close(&b);
    client *c = client_new(2, 30, 20);
    c->p.grammar = g;
    c->p.stop = &stop;
    c->p.n_stop = 1;
    c->p.cut = &ctl;
    c->p.n_cut = cut;
    run(s, c);
    dv_buf trace = {0}; /* of the tokens only that one: how many the others are is the vocabulary's business */
    for (const char *at = dv_buf_str(&c->trace); *at != 0;) {
        if (*at == '{') {
            size_t k = strcspn(at, "}");
            dv_buf_add(&trace, at + 1, k - 1);
            at += k + 1;
        } else {
            char *end;
            if (strtoul(at, &end, 10) == ctl)
                dv_buf_addc(&trace, '#');
            at = end + 1;
        }
    }
    assert_string_equal(dv_buf_str(&trace), want);
    dv_buf_fini(&trace);
    client_free(c);
    dv_grammar_unref(&g);
}

static void held_text_comes_before_what_cuts_it(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    uint32_t ctl = 0;
    while (!dv_tok_is_control(e->tok, (int32_t)ctl) || dv_engine_is_end(e, ctl))
        ctl++;
    check_order(s, ctl, "ab", "abX", true, "ab#cd");
    check_order(s, ctl, "ab", "abcX", true, "ab#cd");
    check_order(s, ctl, "ab", "abcdX", false, "#abcd"); /* not told so, the text is one */
    check_order(s, ctl, "ab", "cdX", true, "ab#cd");    /* the end lets go, too */
    check_order(s, ctl, "\xc3", "X", true, "\xef\xbf\xbd#cd");
    check_order(s, ctl, "\xc3", "\xef\xbf\xbd", true, ""); /* and with it the answer is over */
    dv_sched_close(&s);
    dv_engine_close(&e);
}

static void timings_are_there_all_along(void **state)
{
    (void)state;
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c = client_new(1, 30, 400);
    c->cancel_at = 5; /* what it then knows comes from the last token */
    submit(s, c);
    wait_end(c);
    assert_int_equal(c->code, DV_ECANCELED);
    assert_true(c->token_timing.prompt_ms > 0 && c->token_timing.predicted_ms > 0);
    assert_int_equal(c->token_timing.n_predicted, 5);
    client_free(c);
    dv_sched_close(&s);
    dv_engine_close(&e);
}

/* --- files --- */

static void make_dir(char dir[160], const char *name)
{
    snprintf(dir, 160, "%s/%s", mf_folder(), name);
    mkdir(dir, 0700);
}

/* Change one byte of every .kv file; returns how many there are. */
static int damage_files(const char *dir, long at)
{
    char path[512];
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".kv") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n++;
        FILE *f = at >= 0 ? fopen(path, "r+b") : NULL;
        if (f == NULL)
            continue;
        fseek(f, at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 0x20, f);
        fclose(f);
    }
    closedir(d);
    return n;
}

static uint32_t ask_after_restart(const char *dir, const char *shape, uint64_t *rejects)
{
    dv_engine *e = open_engine(shape, "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine(shape, "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2, .cache_dir = dir});
    client *c = client_new(42, 260, 10);
    dv_sched_stats st;
    run(s, c);
    same_as_alone(ref, c);
    uint32_t n_cached = c->timing.n_cached;
    client_free(c);
    dv_sched_get_stats(s, &st, NULL);
    *rejects = st.n_snapshot_rejects;
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
    return n_cached;
}

static void snapshots_survive_a_restart(void **state)
{
    (void)state;
    char dir[160];
    uint64_t rejects;
    make_dir(dir, "snapshots");
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
    assert_int_equal(damage_files(dir, -1), 4);
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 256);
    assert_int_equal(rejects, 0);
    assert_int_equal(ask_after_restart(dir, "tiny-qwen3", &rejects), 0); /* another model's are not even found */
    assert_int_equal(damage_files(dir, -1), 8);
    /* A bit in the head, in the tokens, in a page, in the checksum. */
    static const long places[] = {9, 41, 100, 90000};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        damage_files(dir, places[i]);
        assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
        assert_int_equal(rejects, 1); /* the first of the chain; what follows it is not looked for */
        /* It was written anew, but the others of the chain are still bad. */
        char cmd[256];
        snprintf(cmd, sizeof cmd, "rm -f '%s'/*", dir);
        assert_int_equal(system(cmd), 0);
        assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 0);
    }
    assert_int_equal(ask_after_restart(dir, "tiny-llama", &rejects), 256);
}

static void slots_are_saved_and_restored(void **state)
{
    (void)state;
    char dir[160], path[200];
    uint32_t n;
    uint64_t bytes, restored;
    dv_err err = {0};
    make_dir(dir, "slots");
    snprintf(path, sizeof path, "%s/one.kv", dir);
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 2, DV_KV_FORMAT_F16),
              *ref = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s = open_sched(e, &(dv_sched_options){.parallel = 2});
    client *c = client_new(7, 150, 9);
    c->p.slot = 1;
    run(s, c);
    assert_int_equal(dv_sched_slot_save(s, 0, path, &n, &bytes, &err), DV_EINVAL);
    assert_int_equal(dv_sched_slot_save(s, 2, path, &n, &bytes, NULL), DV_EINVAL);
    assert_int_equal(dv_sched_slot_save(s, 1, path, &n, &bytes, NULL), 0);
    assert_int_equal(n, 158); /* the last token was never computed */
    dv_sched_close(&s);

    s = open_sched(e, &(dv_sched_options){.parallel = 2});
    assert_int_equal(dv_sched_slot_restore(s, 0, "/nowhere/at.all", &n, &restored, NULL), DV_ENOENT);
    assert_int_equal(dv_sched_slot_restore(s, 0, "/dev/zero", &n, &restored, NULL), DV_EFORMAT);
    assert_int_equal(dv_sched_slot_restore(s, 0, path, &n, &restored, NULL), 0);
    assert_int_equal(n, 158);
    assert_int_equal(bytes, restored);
    client *again = client_new(7, 150, 9);
    run(s, again);
    same_as_alone(ref, again);
    assert_int_equal(again->timing.n_cached, 149);
    assert_int_equal(dv_sched_slot_erase(s, 0, &n, NULL), 0);
    dv_sched_close(&s);

    /* Every place where a bit can flip: refused, and the slot is as it was. */
    s = open_sched(e, &(dv_sched_options){.parallel = 2});
    for (long at = 0; at < (long)bytes; at += at < 800 ? 1 : 9973) {
        damage_files(dir, at);
        assert_int_equal(dv_sched_slot_restore(s, 0, path, &n, &restored, NULL), DV_EFORMAT);
        damage_files(dir, at);
    }
    for (uint64_t len = 0; len < bytes; len += len < 100 ? 1 : 30011) { /* cut short */
        char part[220], cmd[600];
        snprintf(part, sizeof part, "%s/part", dir);
        snprintf(cmd, sizeof cmd, "head -c %llu '%s' > '%s'", (unsigned long long)len, path, part);
        assert_int_equal(system(cmd), 0);
        assert_int_equal(dv_sched_slot_restore(s, 0, part, &n, &restored, NULL), DV_EFORMAT);
    }
    client_free(c);
    c = client_new(7, 150, 9);
    run(s, c);
    same_as_alone(ref, c);
    assert_int_equal(c->timing.n_cached, 0);
    client_free(c);
    client_free(again);
    dv_sched_close(&s);
    dv_engine_close(&e);
    dv_engine_close(&ref);
}

static void memory_is_planned(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-llama", "Q4_K_M");
    dv_sched_plan plan;
    dv_err err = {0};
    assert_int_equal(dv_sched_plan_memory(p.at, &(dv_engine_options){.ctx = CTX}, &(dv_sched_options){0}, &plan, &err),
                     0);
    dv_engine *e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    assert_int_equal(plan.kv, dv_engine_get_info(e)->kv_bytes_per_token * CTX);
    dv_engine_close(&e);
    assert_int_equal(dv_sched_plan_memory(p.at, &(dv_engine_options){.ctx = 1 << 22},
                                          &(dv_sched_options){.kv_bytes = UINT64_C(1) << 50}, &plan, &err),
                     DV_ENOMEM);
    assert_non_null(strstr(err.msg, "MiB are available"));
    err = (dv_err){0};
    e = open_engine("tiny-llama", "Q4_K_M", 1, DV_KV_FORMAT_F16);
    dv_sched *s;
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.kv_bytes = 1000}, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "kv_bytes"));
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.parallel = 257}, NULL), DV_EINVAL);
    assert_int_equal(dv_sched_open(&s, e, &(dv_sched_options){.cache_dir = "/nowhere"}, NULL), DV_ENOENT);
    dv_engine_close(&e);
}

static int clean_up(void **state)
{
    (void)state;
    mf_remove_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_get_what_they_get_alone),
        cmocka_unit_test(a_shared_prefix_is_computed_once),
        cmocka_unit_test(choices_share_their_prompt),
        cmocka_unit_test(speculation_changes_nothing_but_steps),
        cmocka_unit_test(giving_way_changes_nothing),
        cmocka_unit_test(context_and_length_end_an_answer),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(canceled_jobs_free_everything),
        cmocka_unit_test(closing_ends_what_runs),
        cmocka_unit_test(higher_priority_goes_first),
        cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(probabilities_after_sampling),
        cmocka_unit_test(time_ends_texts_of_lines),
        cmocka_unit_test(embeddings_do_not_depend_on_slices),
        cmocka_unit_test(grammars_bind_answers),
        cmocka_unit_test(a_grammar_without_a_way_on_is_an_error),
        cmocka_unit_test(held_text_comes_before_what_cuts_it),
        cmocka_unit_test(timings_are_there_all_along),
        cmocka_unit_test(snapshots_survive_a_restart),
        cmocka_unit_test(slots_are_saved_and_restored),
        cmocka_unit_test(memory_is_planned),
    };
    return cmocka_run_group_tests_name("sched", tests, NULL, clean_up);
}
