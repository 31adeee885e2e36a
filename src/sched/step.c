/* SPDX-License-Identifier: MIT */
/* One step: build a batch, compute it, sample, hand out. The sequences are served in order of priority, then of arrival: who is
 * served first takes pages from the prefix cache and, if that is not enough, from sequences behind it. */
#include "base/clock.h"
#include "base/err.h"
#include "sched/impl.h"

#include <string.h>

/* --- the batch --- */

/* Those that stand still come last: whatever they hold is there for the others. */
static bool before(const dv__seq *a, const dv__seq *b)
{
    if (a->still != b->still)
        return b->still;
    if (a->job->p.priority != b->job->p.priority)
        return a->job->p.priority > b->job->p.priority;
    return a->job->id != b->job->id ? a->job->id < b->job->id : a->index < b->index;
}

/* Running sequences in order of service. */
static uint32_t in_order(dv_sched *s, dv__seq **out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_seq; i++) {
        dv__seq *q = &s->seq[i];
        if (q->job == NULL)
            continue;
        q->still = !dv__has_slot(s, q) || dv__is_paused(q->job);
        uint32_t at = n++;
        for (; at > 0 && before(q, out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = q;
    }
    return n;
}

/* Pages for n_pos positions of order[i]; from the sequences behind it if need be. */
static int get_pages(dv_sched *s, dv__seq **order, uint32_t i, uint32_t n_order, uint32_t n_pos)
{
    int rc;
    while ((rc = dv_kv_seq_reserve(&order[i]->kv, n_pos, NULL)) == DV_EBUSY) {
        if (dv__prefix_evict(&s->prefix))
            continue;
        uint32_t victim = n_order;
        while (--victim > i && order[victim]->kv.n_pages == 0)
            continue;
        if (victim == i)
            break;
        dv__seq_evict(s, order[victim]);
    }
    return rc;
}

/* A sequence that gave its pages away comes back when there is room for all of it, or it would only push others out again. */
static bool may_return(const dv_sched *s, const dv__seq *q, bool is_first)
{
    const dv_kv *kv = &s->engine->kv;
    uint32_t free_pages = kv->max_pages - kv->n_pages + (kv->free_list != NULL) + dv__prefix_evictable(&s->prefix);
    return is_first || free_pages > q->n_tok / DV_KV_PAGE + 1;
}

static bool uses_cache(const dv_sched *s, const dv_job *j)
{
    return !s->o.no_prefix_cache && !j->p.no_cache && !j->p.prompt_logprobs && j->p.kind == DV_JOB_GENERATE;
}

/* Whether a sequence served before this one is computing a prompt that begins the same: then it is better to wait for it. */
static bool shares_with_earlier(const dv_sched *s, dv__seq **order, uint32_t i)
{
    const dv__seq *q = order[i];
    uint32_t have = dv__prefix_match(&s->prefix, q->tokens, q->n_tok - 1);
    for (uint32_t k = 0; k < i; k++) {
        const dv__seq *o = order[k];
        uint32_t same = 0, most = DV_MIN(o->n_tok, q->n_tok - 1);
        if (o->decoding || !uses_cache(s, o->job))
            continue;
        while (same < most && o->tokens[same] == q->tokens[same])
            same++;
        if (same / DV_KV_PAGE * DV_KV_PAGE >= have + DV_KV_PAGE)
            return true;
    }
    return false;
}

static void look_up_prefix(dv_sched *s, dv__seq *q)
{
    dv_job *j = q->job;
    q->begun = true;
    if (q->pool != NULL)
        memset(q->pool, 0, s->engine->info.n_embd * sizeof *q->pool);
    if (uses_cache(s, j))
        q->n_kv = dv__prefix_take(&s->prefix, &q->kv, q->tokens, q->n_tok - 1);
    if (q->evicted)
        return;
    j->timing.n_cached = q->index == 0 ? q->n_kv : j->timing.n_cached;
    s->now.n_prompt_tokens += q->n_prompt;
    s->now.n_cached_tokens += q->n_kv;
    if (q->index == 0) {
        dv_job_event ev = {.type = DV_JOB_STARTED, .slot = q->slot, .n_done = q->n_kv};
        dv__job_event(j, &ev);
    }
}

static void add_rows(dv_sched *s, dv__seq *q, uint32_t n)
{
    q->first_row = s->n_batch;
    q->n_rows = n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t pos = q->n_kv + i;
        s->engine->batch[s->n_batch++] = (dv_batch_token){
            .id = pos < q->n_tok ? q->tokens[pos] : q->guess[pos - q->n_tok], .pos = pos, .seq = &q->kv};
    }
    s->batch_seq[s->n_batch_seq++] = q;
}

typedef struct budget {
    uint32_t prefill; /* tokens */
    uint32_t guesses;
} budget;

/* What the next step may hold beside one token of each decoding sequence. */
static budget make_budget(const dv_sched *s, dv__seq **order, uint32_t n_order)
{
    uint32_t n_decoding = 0, n_prefill = 0, max = s->engine->forward->max_tok;
    for (uint32_t i = 0; i < n_order; i++)
        if (!order[i]->still)
            *(order[i]->decoding && !order[i]->evicted ? &n_decoding : &n_prefill) += 1;
    bool guess = n_prefill == 0 && n_decoding < DV__GUESSED_ROWS;
    return (budget){.prefill = DV_MIN(max - n_decoding, n_decoding > 0 ? s->o.slice : max),
                    .guesses = guess ? (DV__GUESSED_ROWS - n_decoding) / DV_MAX(n_decoding, 1u) : 0};
}

/* The next token of a decoding sequence, and guesses. */
static void add_decode(dv_sched *s, dv__seq **order, uint32_t i, uint32_t n_order, const budget *b)
{
    dv__seq *q = order[i];
    if (get_pages(s, order, i, n_order, q->n_tok) != 0) {
        dv__seq_evict(s, q);
        return;
    }
    uint32_t room = DV_MIN(q->cap - q->n_tok, q->n_max - q->n_predicted);
    if (q->draft.last != NULL && b->guesses > 0 && room > 1) {
        q->n_guess = dv__draft_guess(&q->draft, q->tokens, q->n_tok, DV_MIN(b->guesses, room - 1), q->guess);
        /* Guesses are not worth anybody's page. */
        if (q->n_guess > 0 && dv_kv_seq_reserve(&q->kv, q->n_tok + q->n_guess, NULL) != 0)
            q->n_guess = 0;
    }
    q->wants_logits = true;
    add_rows(s, q, 1 + q->n_guess);
}

/* A slice of what the sequence has not computed yet. */
static void add_prefill(dv_sched *s, dv__seq **order, uint32_t i, uint32_t n_order, budget *b)
{
    dv__seq *q = order[i];
    if (b->prefill == 0)
        return;
    if (!q->begun) {
        if ((q->evicted && !may_return(s, q, i == 0)) || (uses_cache(s, q->job) && shares_with_earlier(s, order, i)))
            return;
        look_up_prefix(s, q);
    }
    uint32_t n = DV_MIN(q->n_tok - q->n_kv, b->prefill);
    if (n > 0 && get_pages(s, order, i, n_order, q->n_kv + n) != 0) {
        dv__seq_evict(s, q);
        return;
    }
    b->prefill -= n;
    q->wants_logits = n > 0 && q->n_kv + n == q->n_tok && q->job->p.kind == DV_JOB_GENERATE && !q->job->p.no_tokens;
    add_rows(s, q, n);
}

static void build_batch(dv_sched *s, dv__seq **order, uint32_t n_order)
{
    budget b = make_budget(s, order, n_order);
    s->n_batch = s->n_batch_seq = 0;
    for (uint32_t i = 0; i < n_order; i++) {
        dv__seq *q = order[i];
        q->n_rows = q->n_guess = q->n_drawn = 0;
        q->wants_logits = false;
        q->code = 0;
        if (q->still)
            continue;
        if (q->decoding && !q->evicted)
            add_decode(s, order, i, n_order, &b);
        else
            add_prefill(s, order, i, n_order, &b);
    }
}

/* --- after the forward pass --- */

static void add_hidden(dv_sched *s, dv__seq *q)
{
    uint32_t n_embd = s->engine->info.n_embd;
    for (uint32_t r = 0; r < q->n_rows; r++) {
        dv_forward_hidden(s->engine->forward, q->first_row + r, s->hidden);
        for (uint32_t i = 0; i < n_embd; i++)
            q->pool[i] += (double)s->hidden[i];
    }
}

static void prompt_event(dv_sched *s, dv__seq *q, uint32_t at, const float *logits)
{
    dv__drawn d;
    double norm = dv__sample_probs(logits, s->engine->info.n_vocab, q->job->p.n_top, &d);
    uint32_t id = q->tokens[at];
    dv_job_event ev = {.type = DV_JOB_PROMPT,
                       .index = q->index,
                       .id = id,
                       .at = at,
                       .logprob = (float)((double)logits[id] - norm),
                       .top = d.top,
                       .n_top = d.n_top};
    dv__job_event(q->job, &ev);
}

/* Positions [n_kv, n_kv + n_rows) were computed; each predicts the next prompt token. */
static void score_prompt(dv_sched *s, dv__seq *q)
{
    uint32_t n_vocab = s->engine->info.n_vocab, rows[DV__PROMPT_ROWS];
    uint32_t pos = DV_MAX(q->n_kv, q->n_scored), end = DV_MIN(q->n_kv + q->n_rows, q->n_prompt - 1);
    while (pos < end) {
        uint32_t n = DV_MIN(end - pos, DV_MIN((uint32_t)DV__PROMPT_ROWS, s->max_rows));
        for (uint32_t i = 0; i < n; i++)
            rows[i] = q->first_row + (pos + i - q->n_kv);
        dv_forward_logits(s->engine->forward, rows, n, s->logits);
        for (uint32_t i = 0; i < n; i++)
            prompt_event(s, q, pos + i + 1, s->logits + (size_t)i * n_vocab);
        pos += n;
    }
    q->n_scored = DV_MAX(q->n_scored, end);
}

static void make_logits(dv_sched *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_batch_seq; i++) {
        dv__seq *q = s->batch_seq[i];
        if (!q->wants_logits)
            continue;
        q->first_logits = n;
        for (uint32_t r = q->n_rows - 1 - q->n_guess; r < q->n_rows; r++)
            s->rows[n++] = q->first_row + r;
    }
    if (n > 0)
        dv_forward_logits(s->engine->forward, s->rows, n, s->logits);
}

static void prompt_done(dv_sched *s, dv__seq *q)
{
    dv_job *j = q->job;
    if (q->decoding)
        return;
    q->decoding = true;
    if (q->index == 0) {
        j->prompt_done_ns = dv_clock_ns();
        j->timing.prompt_ms = (double)(j->prompt_done_ns - j->started_ns) / 1e6;
        j->shareable = true;
    }
    (void)s;
}

static void finish_embedding(dv_sched *s, dv__seq *q)
{
    uint32_t n = s->engine->info.n_embd;
    for (uint32_t i = 0; i < n; i++)
        s->hidden[i] = (float)(q->pool[i] / q->n_prompt);
    dv_job_event ev = {.type = DV_JOB_EMBEDDING, .embedding = s->hidden, .n_embd = n};
    dv__job_event(q->job, &ev);
    dv__seq_finish(s, q, DV_STOP_NONE);
}

/* The sequence moves on by the rows just computed. */
static void advance(dv_sched *s, dv__seq *q)
{
    dv_job *j = q->job;
    bool was_prefill = !q->decoding || q->evicted;
    q->n_kv += q->n_rows;
    if (!was_prefill)
        return;
    s->now.n_prompt_computed += q->evicted ? 0 : q->n_rows;
    if (uses_cache(s, j))
        dv__prefix_put(&s->prefix, &q->kv, q->tokens, q->n_kv, q->n_kv == q->n_tok, !q->decoding);
    if (q->index == 0 && !q->decoding) {
        dv_job_event ev = {.type = DV_JOB_PROGRESS, .n_done = q->n_kv};
        dv__job_event(j, &ev);
    }
    if (q->n_kv == q->n_tok) {
        q->evicted = false;
        prompt_done(s, q);
    }
}

static void hand_out(dv_sched *s, dv__seq *q)
{
    if (q->wants_logits)
        dv__seq_deliver(s, q);
    else if (q->decoding && q->pool != NULL)
        finish_embedding(s, q);
    else if (q->decoding && q->job->p.no_tokens)
        dv__seq_finish(s, q, DV_STOP_LENGTH);
}

static void count_step(dv_sched *s, uint64_t began)
{
    uint32_t n_decode = 0;
    double seconds = (double)(dv_clock_ns() - began) / 1e9;
    for (uint32_t i = 0; i < s->n_batch_seq; i++)
        n_decode += s->batch_seq[i]->decoding && !s->batch_seq[i]->evicted ? s->batch_seq[i]->n_rows : 0;
    s->now.n_steps++;
    s->now.n_step_tokens += s->n_batch;
    s->now.predicted_seconds += seconds * n_decode / DV_MAX(s->n_batch, 1u);
    s->now.prompt_seconds += seconds * (s->n_batch - n_decode) / DV_MAX(s->n_batch, 1u);
}

/* A sequence may end while others of its job are handed out: the slot is free then. */
static bool is_same(const dv__seq *q, uint64_t order) { return q->job != NULL && q->order == order; }

static void run_batch(dv_sched *s)
{
    uint64_t began = dv_clock_ns();
    if (s->n_batch > 0)
        dv_forward_run(s->engine->forward, s->engine->batch, s->n_batch);
    for (uint32_t i = 0; i < s->n_batch_seq; i++) {
        dv__seq *q = s->batch_seq[i];
        if (q->pool != NULL)
            add_hidden(s, q);
        else if (q->job->p.prompt_logprobs && !q->decoding)
            score_prompt(s, q);
    }
    make_logits(s);
    dv__sample_all(s);
    count_step(s, began);
    for (uint32_t i = 0; i < s->n_batch_seq; i++) {
        dv__seq *q = s->batch_seq[i];
        uint64_t order = q->order;
        if (q->job == NULL || q->n_rows == 0)
            continue;
        advance(s, q);
        if (is_same(q, order))
            hand_out(s, q);
    }
}

/* Nothing could be computed although the first in order may be: the system has no memory for its pages. Nobody is left to wait for, so it ends. */
static bool fail_first(dv_sched *s, dv__seq **order, uint32_t n_order)
{
    dv_err err = {0};
    if (n_order == 0 || order[0]->still)
        return false;
    dv_fail(&err, DV_ENOMEM, "KV cache: %s", dv_error_text(DV_ENOMEM));
    dv__seq_fail(s, order[0]->job, err.code, &err);
    return true;
}

bool dv__step(dv_sched *s)
{
    dv__seq *order[DV__SEQ_MAX];
    dv__take_inbox(s);
    dv__drop_canceled(s);
    dv__admit(s);
    uint32_t n_order = in_order(s, order);
    build_batch(s, order, n_order);
    if (s->n_batch_seq == 0)
        return fail_first(s, order, n_order);
    run_batch(s);
    return true;
}
