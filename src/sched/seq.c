/* SPDX-License-Identifier: MIT */
/* The life of a sequence: begun in a free slot, handed out token by token, ended with its pages kept as a prefix. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "sched/impl.h"

#include <string.h>

static uint32_t tokens_needed(const dv_sched *s, const dv_job *j)
{
    uint64_t n_ctx = s->engine->info.n_ctx, n = j->p.n_prompt;
    if (j->p.kind == DV_JOB_EMBED || j->p.no_tokens)
        return (uint32_t)n;
    return (uint32_t)(j->p.max_tokens == 0 ? n_ctx : DV_MIN(n_ctx, n + j->p.max_tokens));
}

/* Choice i of a request draws as a request with seed + i would. */
static int begin_sampling(dv_sched *s, dv__seq *q, dv_err *err)
{
    const dv_job_params *p = &q->job->p;
    dv_sampling sampling = p->sampling;
    sampling.seed += q->index;
    int rc = dv_sampler_init(&q->sampler, s->engine->info.n_vocab, &sampling, err);
    if (rc == 0)
        rc = dv_answer_start(&q->answer, s->engine->tok, p->keep_control ? DV_DETOK_CONTROL : 0, p->stop, p->n_stop,
                             err);
    if (rc == 0 && p->grammar != NULL) {
        if (s->vocab == NULL)
            rc = dv_grammar_vocab_from_tok(&s->vocab, s->engine->tok, err);
        if (rc == 0)
            rc = dv_grammar_state_init(&q->grammar, p->grammar, s->vocab, err);
    }
    if (rc == 0 && !s->o.no_speculation && !p->no_speculation && dv__draft_open(&q->draft, q->cap) != 0)
        rc = dv_fail(err, DV_ENOMEM, "speculation: %s", dv_error_text(DV_ENOMEM));
    dv_sampler_set_history(&q->sampler, q->tokens, q->n_tok);
    return rc;
}

static void release(dv__seq *q)
{
    dv_kv_seq_close(&q->kv);
    dv_sampler_fini(&q->sampler);
    dv_grammar_state_fini(&q->grammar);
    dv__draft_close(&q->draft);
    dv_free(q->pool);
    q->pool = NULL;
    q->job = NULL;
}

int dv__seq_begin(dv_sched *s, dv__seq *q, dv_job *j, dv_err *err)
{
    uint32_t n_prompt = (uint32_t)j->p.n_prompt, cap = tokens_needed(s, j);
    uint32_t *tokens = dv_alloc_array(DV_MEM_SESSION, cap, sizeof *tokens);
    if (tokens == NULL)
        return dv_fail(err, DV_ENOMEM, "sequence: %s", dv_error_text(DV_ENOMEM));
    memcpy(tokens, j->p.prompt, n_prompt * sizeof *tokens);
    dv_free(q->tokens);
    dv_answer answer = q->answer; /* its buffer is used again */
    *q = (dv__seq){.job = j,
                   .index = j->n_begun,
                   .slot = q->slot,
                   .order = s->next_order++,
                   .tokens = tokens,
                   .n_tok = n_prompt,
                   .cap = cap,
                   .n_prompt = n_prompt,
                   .n_max = cap - n_prompt,
                   .answer = answer};
    int rc = dv_kv_seq_open(&q->kv, &s->engine->kv, cap, err);
    if (rc == 0 && j->p.kind == DV_JOB_EMBED) {
        q->pool = dv_calloc(DV_MEM_SESSION, s->engine->info.n_embd, sizeof *q->pool);
        rc = q->pool != NULL ? 0 : dv_fail(err, DV_ENOMEM, "embedding: %s", dv_error_text(DV_ENOMEM));
    } else if (rc == 0) {
        rc = begin_sampling(s, q, err);
    }
    if (rc != 0) {
        release(q);
        q->n_tok = 0;
        return rc;
    }
    if (j->n_begun++ == 0) {
        j->started_ns = dv_clock_ns();
        j->timing.queue_ms = (double)(j->started_ns - j->submitted_ns) / 1e6;
    }
    return 0;
}

static void keep_prefix(dv_sched *s, dv__seq *q)
{
    if (!s->o.no_prefix_cache && !q->job->p.no_cache && q->n_kv > 0)
        dv__prefix_put(&s->prefix, &q->kv, q->tokens, q->n_kv, true, false);
}

void dv__seq_end(dv_sched *s, dv__seq *q)
{
    keep_prefix(s, q);
    q->n_tok = DV_MIN(q->n_tok, q->n_kv); /* what a slot file can hold */
    release(q);
}

void dv__seq_evict(dv_sched *s, dv__seq *q)
{
    keep_prefix(s, q);
    dv_kv_seq_truncate(&q->kv, 0);
    q->n_kv = 0;
    q->begun = false;
    q->evicted = true;
    s->now.n_preempted++;
}

/* --- the end of choices and jobs --- */

/* Every sequence of a job but `except` is ended; the job gets its last event. */
void dv__seq_fail(dv_sched *s, dv_job *j, int code, const dv_err *err)
{
    for (uint32_t i = 0; i < s->n_seq; i++)
        if (s->seq[i].job == j)
            dv__seq_end(s, &s->seq[i]);
    dv__job_end(j, code, err);
}

static void job_over_if_all_ended(dv_job *j)
{
    if (++j->n_ended == j->p.n)
        dv__job_end(j, 0, NULL);
}

static void hand_out_text(dv__seq *q, size_t n)
{
    dv_job_event ev = {.type = DV_JOB_TEXT, .index = q->index, .text = q->answer.text.data, .len = n};
    if (n == 0)
        return;
    dv__job_event(q->job, &ev);
    dv_answer_take(&q->answer, n);
}

/* What is held back comes out, since nothing that belongs to it will follow. @return false: out of memory, the job has failed */
static bool release_text(dv_sched *s, dv__seq *q)
{
    size_t n;
    if (dv_answer_finish(&q->answer, &n) == 0) {
        hand_out_text(q, n);
        return true;
    }
    dv_err err = {0};
    dv_fail(&err, DV_ENOMEM, "text: %s", dv_error_text(DV_ENOMEM));
    dv__seq_fail(s, q->job, err.code, &err);
    return false;
}

void dv__seq_finish(dv_sched *s, dv__seq *q, dv_stop reason)
{
    dv_job *j = q->job;
    dv_job_event ev = {.type = DV_JOB_CHOICE, .index = q->index, .slot = q->slot, .reason = reason};
    if (j->p.kind == DV_JOB_GENERATE) {
        if (reason != DV_STOP_STRING && !release_text(s, q))
            return;
        ev.reason = q->answer.hit != NULL ? DV_STOP_STRING : reason;
        ev.stop_string = q->answer.hit;
    }
    dv__job_event(j, &ev);
    dv__seq_end(s, q);
    job_over_if_all_ended(j);
}

/* --- handing out --- */

static bool is_cut(const dv_job_params *p, uint32_t id)
{
    for (size_t i = 0; i < p->n_cut; i++)
        if (p->cut[i] == id)
            return true;
    return false;
}

/* Whether the choice has written for longer than it may. n bytes of text are new. */
static bool is_late(dv__seq *q, size_t n)
{
    uint32_t ms = q->job->p.line_ms;
    if (ms == 0)
        return false;
    if (q->first_ns == 0)
        q->first_ns = dv_clock_ns();
    q->has_line |= memchr(dv_buf_str(&q->answer.text), '\n', n) != NULL;
    return q->has_line && dv__ms_since(q->first_ns) > ms;
}

/* One token. @return whether the choice goes on */
static bool deliver_one(dv_sched *s, dv__seq *q, const dv__drawn *d)
{
    dv_job *j = q->job;
    dv_stop reason = dv__sample_is_end(s, q, d->id) ? DV_STOP_END : DV_STOP_NONE;
    j->timing.n_predicted++;
    s->now.n_predicted_tokens++;
    if ((reason == DV_STOP_END || is_cut(&j->p, d->id)) && !release_text(s, q))
        return false;
    if (q->answer.hit != NULL) { /* an unfinished character was the rest of a stop string */
        dv__seq_finish(s, q, DV_STOP_STRING);
        return false;
    }
    dv_job_event ev = {.type = DV_JOB_TOKEN,
                       .index = q->index,
                       .id = d->id,
                       .at = q->n_predicted++,
                       .logprob = d->logprob,
                       .top = d->top,
                       .n_top = d->n_top,
                       .reason = reason};
    dv__job_event(j, &ev);
    if (reason == DV_STOP_END) {
        dv__seq_finish(s, q, reason);
        return false;
    }
    q->tokens[q->n_tok++] = d->id;
    size_t n;
    if (dv_answer_push(&q->answer, d->id, &n) != 0) {
        dv_err err = {0};
        dv_fail(&err, DV_ENOMEM, "text: %s", dv_error_text(DV_ENOMEM));
        dv__seq_fail(s, j, err.code, &err);
        return false;
    }
    bool late = is_late(q, n);
    hand_out_text(q, n);
    reason = q->answer.hit != NULL                                       ? DV_STOP_STRING
             : late                                                      ? DV_STOP_LENGTH
             : j->p.max_tokens != 0 && q->n_predicted == j->p.max_tokens ? DV_STOP_LENGTH
             : q->n_tok == q->cap                                        ? DV_STOP_CONTEXT
                                                                         : DV_STOP_NONE;
    if (reason == DV_STOP_NONE)
        return true;
    dv__seq_finish(s, q, reason);
    return false;
}

void dv__seq_deliver(dv_sched *s, dv__seq *q)
{
    dv_job *j = q->job;
    if (q->code != 0 && q->n_drawn == 0) {
        dv__seq_fail(s, j, q->code, &q->err);
        return;
    }
    uint32_t n_right = q->n_drawn - 1;
    /* The guesses that were right are computed already; what follows them is given back. */
    q->n_kv -= q->n_guess - n_right;
    dv_kv_seq_truncate(&q->kv, q->n_kv);
    if (q->n_guess > 0) {
        dv__draft_learn(&q->draft, q->n_guess, n_right);
        j->timing.n_drafted += q->n_guess;
        j->timing.n_accepted += n_right;
        s->now.n_drafted += q->n_guess;
        s->now.n_accepted += n_right;
    }
    for (uint32_t i = 0; i < q->n_drawn; i++)
        if (!deliver_one(s, q, &q->drawn[i]))
            return;
    if (q->code != 0)
        dv__seq_fail(s, j, q->code, &q->err);
}
