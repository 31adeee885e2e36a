/* SPDX-License-Identifier: MIT */
#include "engine/session.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"

#include <math.h>
#include <string.h>

enum { SCORE_ROWS = 16 }; /* rows of logits held at a time when every position is wanted */

int dv_session_open(dv_session **out, dv_engine *e, const dv_sampling *sampling, dv_err *err)
{
    *out = NULL;
    if (e->model == NULL)
        return dv_fail(err, DV_EINVAL, "the engine was opened for its vocabulary only");
    dv_session *s = dv_calloc(DV_MEM_SESSION, 1, sizeof *s);
    if (s == NULL)
        return dv_fail(err, DV_ENOMEM, "session: %s", dv_error_text(DV_ENOMEM));
    s->engine = e;
    e->n_sessions++;
    s->tokens = dv_alloc_array(DV_MEM_SESSION, e->info.n_ctx, sizeof *s->tokens);
    s->logits = dv_alloc_array(DV_MEM_SESSION, e->info.n_vocab, sizeof *s->logits);
    int rc =
        s->tokens != NULL && s->logits != NULL ? 0 : dv_fail(err, DV_ENOMEM, "session: %s", dv_error_text(DV_ENOMEM));
    if (rc == 0)
        rc = dv_kv_seq_open(&s->seq, &e->kv, e->info.n_ctx, err);
    if (rc == 0)
        rc = dv_sampler_init(&s->sampler, e->info.n_vocab, sampling, err);
    if (rc != 0) {
        dv_session_close(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void dv_session_close(dv_session **ps)
{
    dv_session *s = *ps;
    if (s == NULL)
        return;
    dv_sampler_fini(&s->sampler);
    dv_kv_seq_close(&s->seq);
    dv_answer_fini(&s->answer);
    dv_free(s->tokens);
    dv_free(s->logits);
    s->engine->n_sessions--;
    dv_free(s);
    *ps = NULL;
}

int dv_session_set_sampling(dv_session *s, const dv_sampling *sampling, dv_err *err)
{
    dv_sampler fresh;
    int rc = dv_sampler_init(&fresh, s->engine->info.n_vocab, sampling, err);
    if (rc != 0)
        return rc;
    dv_sampler_fini(&s->sampler);
    s->sampler = fresh;
    dv_sampler_set_history(&s->sampler, s->tokens, s->n_tokens);
    return 0;
}

uint32_t dv_session_n_tokens(const dv_session *s) { return s->n_tokens; }
const uint32_t *dv_session_tokens(const dv_session *s) { return s->tokens; }
const float *dv_session_logits(const dv_session *s) { return s->has_logits ? s->logits : NULL; }

static int check_append(const dv_session *s, const uint32_t *ids, size_t n, dv_err *err)
{
    const dv_engine_info *info = &s->engine->info;
    if (n == 0)
        return dv_fail(err, DV_EINVAL, "no tokens to append");
    if (n > info->n_ctx - s->n_tokens)
        return dv_fail(err, DV_ECONTEXT, "%u tokens in the session and %zu more exceed the context of %u", s->n_tokens,
                       n, info->n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= info->n_vocab)
            return dv_fail(err, DV_EINVAL, "token %zu: id %u is outside the vocabulary of %u", i, ids[i],
                           info->n_vocab);
    return 0;
}

/* Tokens of the next step when n are left: steps of about the same size, since a short last one reads all weights for little. */
static uint32_t step_size(const dv_forward *f, size_t n)
{
    size_t n_steps = dv_div_up(n, f->max_tok);
    return (uint32_t)dv_div_up(n, n_steps);
}

/* One forward step over n <= max_tok tokens, appended to the session. */
static int step(dv_session *s, const uint32_t *ids, uint32_t n, dv_err *err)
{
    dv_engine *e = s->engine;
    int rc = dv_kv_seq_reserve(&s->seq, s->n_tokens + n, err);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        e->batch[i] = (dv_batch_token){.id = ids[i], .pos = s->n_tokens + i, .seq = &s->seq};
    dv_forward_run(e->forward, e->batch, n);
    for (uint32_t i = 0; i < n; i++) {
        s->tokens[s->n_tokens++] = ids[i];
        dv_sampler_accept(&s->sampler, ids[i]);
    }
    return 0;
}

int dv_session_append(dv_session *s, const uint32_t *ids, size_t n,
                      int (*on_step)(void *arg, size_t done, size_t total), void *arg, dv_err *err)
{
    dv_forward *f = s->engine->forward;
    int rc = check_append(s, ids, n, err);
    if (rc != 0)
        return rc;
    s->has_logits = false;
    for (size_t done = 0; done < n;) {
        uint32_t now = step_size(f, n - done);
        if ((rc = step(s, ids + done, now, err)) != 0)
            return rc;
        done += now;
        if (done == n) {
            const uint32_t last = now - 1;
            dv_forward_logits(f, &last, 1, s->logits);
            s->has_logits = true;
        }
        if (on_step != NULL && on_step(arg, done, n) != 0 && done < n)
            return dv_fail(err, DV_ECANCELED, "stopped after %zu of %zu tokens", done, n);
    }
    return 0;
}

int dv_session_append_each(dv_session *const *s, const uint32_t *ids, uint32_t n, float *logits, dv_err *err)
{
    uint32_t rows[DV_SESSION_EACH_MAX];
    if (n == 0 || n > DV_SESSION_EACH_MAX || n > s[0]->engine->forward->max_tok)
        return dv_fail(err, DV_EINVAL, "%u sessions in a step", n);
    dv_engine *e = s[0]->engine;
    for (uint32_t i = 0; i < n; i++) {
        int rc = check_append(s[i], &ids[i], 1, err);
        if (rc == 0)
            rc = dv_kv_seq_reserve(&s[i]->seq, s[i]->n_tokens + 1, err);
        if (rc != 0)
            return rc;
        e->batch[i] = (dv_batch_token){.id = ids[i], .pos = s[i]->n_tokens, .seq = &s[i]->seq};
        rows[i] = i;
    }
    dv_forward_run(e->forward, e->batch, n);
    dv_forward_logits(e->forward, rows, n, logits);
    for (uint32_t i = 0; i < n; i++) {
        s[i]->tokens[s[i]->n_tokens++] = ids[i];
        dv_sampler_accept(&s[i]->sampler, ids[i]);
        s[i]->has_logits = false;
    }
    return 0;
}

int dv_session_score(dv_session *s, const uint32_t *ids, size_t n,
                     int (*on_position)(void *arg, size_t i, const float *logits), void *arg, dv_err *err)
{
    dv_forward *f = s->engine->forward;
    size_t n_vocab = s->engine->info.n_vocab;
    int rc = check_append(s, ids, n, err);
    if (rc != 0)
        return rc;
    uint32_t max_rows = DV_MIN((uint32_t)SCORE_ROWS, f->max_tok);
    float *rows = dv_alloc_array(DV_MEM_SESSION, max_rows * n_vocab, sizeof *rows);
    if (rows == NULL)
        return dv_fail(err, DV_ENOMEM, "logits: %s", dv_error_text(DV_ENOMEM));
    s->has_logits = false;
    uint32_t index[SCORE_ROWS];
    for (size_t done = 0; done < n && rc == 0;) {
        uint32_t now = step_size(f, n - done);
        rc = step(s, ids + done, now, err);
        for (uint32_t i = 0; i < now && rc == 0; i += max_rows) {
            uint32_t k = DV_MIN(now - i, max_rows);
            for (uint32_t r = 0; r < k; r++)
                index[r] = i + r;
            dv_forward_logits(f, index, k, rows);
            for (uint32_t r = 0; r < k && rc == 0; r++)
                if (on_position(arg, done + i + r, rows + r * n_vocab) != 0)
                    rc = dv_fail(err, DV_ECANCELED, "stopped after %zu of %zu tokens", done + i + r + 1, n);
            if (rc == 0 && done + i + k == n) {
                memcpy(s->logits, rows + (k - 1) * n_vocab, n_vocab * sizeof *rows);
                s->has_logits = true;
            }
        }
        done += now;
    }
    dv_free(rows);
    return rc;
}

int dv_session_truncate(dv_session *s, uint32_t n, dv_err *err)
{
    if (n > s->n_tokens)
        return dv_fail(err, DV_EINVAL, "cannot keep %u of %u tokens", n, s->n_tokens);
    if (n == s->n_tokens)
        return 0;
    s->n_tokens = n;
    s->has_logits = false;
    dv_kv_seq_truncate(&s->seq, n);
    dv_sampler_set_history(&s->sampler, s->tokens, n);
    return 0;
}

int64_t dv_session_sync(dv_session *s, const uint32_t *ids, size_t n,
                        int (*on_step)(void *arg, size_t done, size_t total), void *arg, dv_err *err)
{
    if (n == 0)
        return dv_fail(err, DV_EINVAL, "no tokens to hold");
    if (n > s->engine->info.n_ctx)
        return dv_fail(err, DV_ECONTEXT, "%zu tokens exceed the context of %u", n, s->engine->info.n_ctx);
    uint32_t keep = 0;
    while (keep < s->n_tokens && keep < n && s->tokens[keep] == ids[keep])
        keep++;
    if (keep == n && keep == s->n_tokens && s->has_logits)
        return keep;
    keep = (uint32_t)DV_MIN((size_t)keep, n - 1); /* the last token's logits are wanted */
    int rc = dv_session_truncate(s, keep, err);
    if (rc == 0)
        rc = dv_session_append(s, ids + keep, n - keep, on_step, arg, err);
    return rc != 0 ? rc : (int64_t)keep;
}

int dv_session_logprobs(const dv_session *s, float *out, dv_err *err)
{
    if (!s->has_logits)
        return dv_fail(err, DV_EINVAL, "the session has no logits");
    dv_logits_to_logprobs(s->logits, s->engine->info.n_vocab, out);
    return 0;
}

void dv_logits_to_logprobs(const float *logits, uint32_t n, float *out)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    double log_sum = log(sum) + max;
    for (uint32_t i = 0; i < n; i++)
        out[i] = (float)(logits[i] - log_sum);
}
