/* SPDX-License-Identifier: MIT */
/* From rows of logits to drawn tokens. Sequences are sampled side by side; a sequence's rows (its token and the guesses behind it) one
 * after the other, each as it would be without guessing: the same mask, history and random number. */
#include "base/err.h"
#include "sched/impl.h"

#include <math.h>
#include <string.h>

static bool better(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

/* Insert into top[0..n), which is sorted. */
static void offer(dv_job_prob *top, uint32_t *n, uint32_t cap, const float *logits, uint32_t id)
{
    uint32_t i = *n < cap ? (*n)++ : cap - 1;
    for (; i > 0 && better(logits, id, top[i - 1].id); i--)
        top[i] = top[i - 1];
    top[i].id = id;
}

double dv__sample_probs(const float *logits, uint32_t n_vocab, uint32_t n_top, dv__drawn *out)
{
    float max = -INFINITY;
    double sum = 0;
    out->n_top = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        max = logits[i] > max ? logits[i] : max;
        if (n_top > 0 && !isnan(logits[i]) && (out->n_top < n_top || better(logits, i, out->top[n_top - 1].id)))
            offer(out->top, &out->n_top, n_top, logits, i);
    }
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += (double)expf(logits[i] - max);
    double log_sum = log(sum) + (double)max;
    for (uint32_t i = 0; i < out->n_top; i++)
        out->top[i].logprob = (float)((double)logits[out->top[i].id] - log_sum);
    return log_sum;
}

/* Whether a mask allows any token that is not one of these, which ascend. */
static bool allows_others(const uint32_t *mask, size_t n_words, const int32_t *id, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n_words; i++) {
        uint32_t word = mask[i];
        for (; at < n && (uint32_t)id[at] / 32 == i; at++)
            word &= ~(UINT32_C(1) << (id[at] % 32));
        if (word != 0)
            return true;
    }
    return false;
}

/* mask: what a grammar allows, or NULL. A text that is complete ends although no end was wanted: nothing else may follow it. */
static void forbid_ends(const dv_sched *s, float *logits, const uint32_t *mask)
{
    uint32_t n_vocab = s->engine->info.n_vocab;
    size_t n;
    const int32_t *end = dv_tok_eog(s->engine->tok, &n);
    if (mask != NULL && !allows_others(mask, dv_grammar_mask_words(n_vocab), end, n))
        return;
    for (size_t i = 0; i < n; i++)
        if ((uint32_t)end[i] < n_vocab)
            logits[end[i]] = -INFINITY;
}

/* Errors: DV_EINTERNAL if the text can neither go on nor end, and those of the grammar. */
static int apply_grammar(const dv_sched *s, dv__seq *q, float *logits, dv_err *err)
{
    uint32_t n_vocab = s->engine->info.n_vocab;
    uint32_t *mask = s->masks + (size_t)(q - s->seq) * dv_grammar_mask_words(n_vocab);
    int rc = dv_grammar_state_mask(&q->grammar, mask, err);
    if (rc != 0)
        return rc;
    if (q->job->p.ignore_end)
        forbid_ends(s, logits, mask);
    if (dv_grammar_mask_logits(mask, logits, n_vocab) > 0)
        return 0;
    return dv_fail(err, DV_EINTERNAL, "the constraint allows no token here, and no end of the answer");
}

/* One of the tokens that are left. */
static int pick(dv__seq *q, const float *logits, uint32_t *id, dv_err *err)
{
    dv_err why = {0};
    int rc = dv_sampler_draw(&q->sampler, logits, id, &why);
    if (rc == 0)
        return 0;
    return dv_fail(err, rc, "%s%s", why.msg,
                   q->job->p.grammar != NULL ? " among the tokens that the constraint allows (see logit_bias)" : "");
}

/* What the token was drawn from, in place of the model's own distribution. */
static void give_post_probs(const dv__seq *q, dv__drawn *d)
{
    dv_sampler_cand top[DV_JOB_MAX_TOP];
    float p;
    d->n_top = dv_sampler_probs(&q->sampler, d->id, top, q->job->p.n_top, &p);
    d->logprob = logf(p);
    for (uint32_t i = 0; i < d->n_top; i++)
        d->top[i] = (dv_job_prob){.id = top[i].id, .logprob = logf(top[i].p)};
}

/* What follows row i of the sequence. */
static int draw(const dv_sched *s, dv__seq *q, uint32_t i, dv_err *err)
{
    const dv_job_params *p = &q->job->p;
    uint32_t n_vocab = s->engine->info.n_vocab;
    float *logits = s->logits + (size_t)(q->first_logits + i) * n_vocab;
    dv__drawn *d = &q->drawn[i];
    dv__drawn probs = {0};
    double norm = 0;
    int rc = 0;
    d->n_top = 0;
    d->logprob = 0;
    if (p->logprobs && !p->post_probs) /* before the logits are changed */
        norm = dv__sample_probs(logits, n_vocab, p->n_top, &probs);
    if (p->grammar == NULL && p->ignore_end)
        forbid_ends(s, logits, NULL);
    if (p->grammar != NULL && (rc = apply_grammar(s, q, logits, err)) != 0)
        return rc;
    if ((rc = pick(q, logits, &d->id, err)) != 0)
        return rc;
    if (p->grammar != NULL && (rc = dv_grammar_state_accept(&q->grammar, (int32_t)d->id, err)) != 0)
        return rc;
    if (p->logprobs && p->post_probs)
        give_post_probs(q, d);
    dv_sampler_accept(&q->sampler, d->id);
    if (p->logprobs && !p->post_probs) {
        d->logprob =
            (float)((double)logits[d->id] - norm); /* what was drawn was not masked, so its logit is the model's own */
        d->n_top = probs.n_top;
        memcpy(d->top, probs.top, probs.n_top * sizeof *probs.top);
    }
    return 0;
}

bool dv__sample_is_end(const dv_sched *s, const dv__seq *q, uint32_t id)
{
    return dv_tok_is_eog(s->engine->tok, (int32_t)id) &&
           (!q->job->p.ignore_end || dv_grammar_state_is_done(&q->grammar));
}

/* Whether the sequence ends with this token, as far as tokens alone tell: what follows it must not be drawn. */
static bool ends(const dv_sched *s, const dv__seq *q, uint32_t id, uint32_t n_drawn)
{
    return dv__sample_is_end(s, q, id) || q->n_predicted + n_drawn >= q->n_max;
}

static void sample_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    dv_sched *s = arg;
    dv__seq *q = s->batch_seq[part];
    (void)n_parts;
    (void)thread;
    if (!q->wants_logits)
        return;
    for (uint32_t i = 0; i <= q->n_guess; i++) {
        q->code = draw(s, q, i, &q->err);
        if (q->code != 0)
            return;
        uint32_t id = q->drawn[q->n_drawn++].id;
        if (i == q->n_guess || id != q->guess[i] || ends(s, q, id, q->n_drawn))
            return;
    }
}

void dv__sample_all(dv_sched *s) { dv_pool_run(s->engine->pool, sample_part, s, s->n_batch_seq); }
