/* SPDX-License-Identifier: MIT */
/* Jobs: checked and copied on the caller's thread, reported on the scheduler's. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/stop.h"
#include "sched/impl.h"

#include <string.h>

double dv__ms_since(uint64_t ns) { return (double)(dv_clock_ns() - ns) / 1e6; }

uint64_t dv_job_id(const dv_job *j) { return j->id; }

dv_job *dv_job_ref(dv_job *j)
{
    /* Relaxed: who adds a reference holds one, so the job cannot be freed meanwhile. */
    atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
    return j;
}

static void job_free(dv_job *j)
{
    for (size_t i = 0; i < j->p.n_stop; i++)
        dv_free((void *)(uintptr_t)j->p.stop[i]);
    dv_free((void *)(uintptr_t)j->p.stop);
    dv_free((void *)(uintptr_t)j->p.prompt);
    dv_free((void *)(uintptr_t)j->p.sampling.bias);
    dv_free((void *)(uintptr_t)j->p.cut);
    dv_grammar_unref(&j->p.grammar);
    dv_free(j);
}

void dv_job_unref(dv_job **job)
{
    dv_job *j = *job;
    *job = NULL;
    /* Acquire and release: the last one sees what the others did to the job before they let go. */
    if (j != NULL && atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) == 1)
        job_free(j);
}

static int copy_stop(dv_job *j, const dv_job_params *p)
{
    if (p->n_stop == 0)
        return 0;
    char **stop = dv_calloc(DV_MEM_SESSION, p->n_stop, sizeof *stop);
    if (stop == NULL)
        return DV_ENOMEM;
    j->p.stop = (const char *const *)stop;
    for (; j->p.n_stop < p->n_stop; j->p.n_stop++)
        if ((stop[j->p.n_stop] = dv_strndup(DV_MEM_SESSION, p->stop[j->p.n_stop], strlen(p->stop[j->p.n_stop]))) ==
            NULL)
            return DV_ENOMEM;
    return 0;
}

static void *copy_array(const void *p, size_t n, size_t size, int *rc)
{
    void *copy = dv_alloc_array(DV_MEM_SESSION, n, size);
    if (copy == NULL)
        *rc = DV_ENOMEM;
    else if (n > 0)
        memcpy(copy, p, n * size);
    return copy;
}

static int job_new(dv_job **out, dv_sched *s, const dv_job_params *p, dv_err *err)
{
    dv_job *j = dv_calloc(DV_MEM_SESSION, 1, sizeof *j);
    if (j == NULL)
        return dv_fail(err, DV_ENOMEM, "request: %s", dv_error_text(DV_ENOMEM));
    j->refs = 2; /* the caller's and the scheduler's */
    j->sched = s;
    j->p = *p;
    j->p.grammar = p->grammar != NULL ? dv_grammar_ref(p->grammar) : NULL;
    j->p.stop = NULL;
    j->p.n_stop = 0;
    int rc = copy_stop(j, p);
    j->p.prompt = copy_array(p->prompt, p->n_prompt, sizeof *p->prompt, &rc);
    j->p.sampling.bias = copy_array(p->sampling.bias, p->sampling.n_bias, sizeof *p->sampling.bias, &rc);
    j->p.cut = copy_array(p->cut, p->n_cut, sizeof *p->cut, &rc);
    if (rc != 0) {
        job_free(j);
        return dv_fail(err, rc, "request: %s", dv_error_text(rc));
    }
    *out = j;
    return 0;
}

static int check_prompt(const dv_engine_info *info, const dv_job_params *p, dv_err *err)
{
    if (p->n_prompt == 0)
        return dv_fail(err, DV_EINVAL, "the prompt has no tokens");
    if (p->n_prompt > info->n_ctx || (p->n_prompt == info->n_ctx && p->kind == DV_JOB_GENERATE && !p->no_tokens))
        return dv_fail(err, DV_ECONTEXT,
                       "the request has %zu tokens, which exceeds the available context size of %u tokens", p->n_prompt,
                       info->n_ctx);
    for (size_t i = 0; i < p->n_prompt; i++)
        if (p->prompt[i] >= info->n_vocab)
            return dv_fail(err, DV_EINVAL, "prompt: token %zu has id %u, the vocabulary has %u", i, p->prompt[i],
                           info->n_vocab);
    return 0;
}

static int check_params(const dv_sched *s, const dv_job_params *p, dv_err *err)
{
    const dv_engine_info *info = &s->engine->info;
    int rc = check_prompt(info, p, err);
    if (rc != 0)
        return rc;
    if (p->kind == DV_JOB_EMBED)
        return 0;
    if (p->n < 1 || p->n > DV_JOB_MAX_CHOICES)
        return dv_fail(err, DV_EINVAL, "n: %u is not between 1 and %d", p->n, DV_JOB_MAX_CHOICES);
    if (p->n_top > DV_JOB_MAX_TOP)
        return dv_fail(err, DV_EINVAL, "top_logprobs: %u is more than %d", p->n_top, DV_JOB_MAX_TOP);
    if (p->slot >= (int)s->o.parallel)
        return dv_fail(err, DV_EINVAL, "id_slot: there is no slot %d, only 0 to %u", p->slot, s->o.parallel - 1);
    if ((rc = dv_sampling_check(&p->sampling, info->n_vocab, err)) != 0)
        return rc;
    return dv_stop_check(p->stop, p->n_stop, err);
}

/* Whether there is room in the queue. Counts a refusal. */
static int take_place(dv_sched *s, dv_err *err)
{
    if (s->stop || s->draining) {
        s->stats.n_refused++;
        return dv_fail(err, DV_EBUSY, "the server is shutting down");
    }
    if (s->n_waiting >= s->o.queue) {
        s->stats.n_refused++;
        return dv_fail(err, DV_EBUSY, "the queue is full (%u requests wait)", s->n_waiting);
    }
    return 0;
}

int dv_sched_submit(dv_sched *s, const dv_job_params *p, dv_job **out, dv_err *err)
{
    dv_job *j = NULL;
    *out = NULL;
    /* Before anything costs time: a full queue says so at once. */
    pthread_mutex_lock(&s->mutex);
    int rc = take_place(s, err);
    pthread_mutex_unlock(&s->mutex);
    if (rc != 0 || (rc = check_params(s, p, err)) != 0 || (rc = job_new(&j, s, p, err)) != 0)
        return rc;
    pthread_mutex_lock(&s->mutex);
    if ((rc = take_place(s, err)) != 0) {
        pthread_mutex_unlock(&s->mutex);
        job_free(j);
        return rc;
    }
    j->id = ++s->next_job;
    j->submitted_ns = dv_clock_ns();
    j->timing.n_prompt = (uint32_t)p->n_prompt;
    if (p->kind == DV_JOB_EMBED)
        j->p.n = 1;
    *(s->inbox_last != NULL ? &s->inbox_last->next : &s->inbox_first) = j;
    s->inbox_last = j;
    s->n_waiting++;
    s->n_jobs++;
    s->stats.n_jobs++;
    *out = j; /* before the scheduler can see the job */
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

/* The flag says what is wanted, the poke that somebody should look. */
static void set_flag(dv_job *j, atomic_bool *flag, bool value)
{
    dv_sched *s = j->sched;
    atomic_store_explicit(flag, value, memory_order_relaxed); /* ordered by the mutex below */
    pthread_mutex_lock(&s->mutex);
    s->poked = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

void dv_job_cancel(dv_job *j) { set_flag(j, &j->canceled, true); }
void dv_job_pause(dv_job *j) { set_flag(j, &j->paused, true); }
void dv_job_resume(dv_job *j) { set_flag(j, &j->paused, false); }

void dv__job_event(dv_job *j, dv_job_event *ev)
{
    if (j->dead)
        return;
    if (j->prompt_done_ns != 0)
        j->timing.predicted_ms = dv__ms_since(j->prompt_done_ns);
    ev->timing = &j->timing;
    if (j->p.on_event(j->p.arg, j, ev) != 0)
        atomic_store_explicit(&j->canceled, true, memory_order_relaxed); /* read by this thread */
}

void dv__job_end(dv_job *j, int code, const dv_err *err)
{
    dv_sched *s = j->sched;
    dv_job_event ev = {.type = DV_JOB_END, .code = code, .err = err, .timing = &j->timing};
    if (j->prompt_done_ns != 0)
        j->timing.predicted_ms = dv__ms_since(j->prompt_done_ns);
    s->now.n_done += code == 0;
    s->now.n_canceled += code == DV_ECANCELED;
    s->now.n_failed += code != 0 && code != DV_ECANCELED;
    dv__publish(s); /* who looks after the end sees this job counted */
    j->p.on_event(j->p.arg, j, &ev);
    pthread_mutex_lock(&s->mutex);
    s->n_jobs--;
    pthread_mutex_unlock(&s->mutex);
    dv_job_unref(&j);
}
