/* SPDX-License-Identifier: MIT */
/* Bias and penalties change few tokens: these are kept in a short sorted list beside the logits, so that the logits themselves are only
 * read. With top-k the candidates are collected in one pass over a bound that rises; without it the weights of the whole vocabulary
 * are computed once, and filters gather from these only what they can keep. */
#include "engine/sampler.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/select.h"
#include "engine/weight.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_CAND = 256 };

/* Set-up. */

static int compare_bias(const void *a, const void *b)
{
    const dv_logit_bias *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

int dv_sampler_init(dv_sampler *s, uint32_t n_vocab, const dv_sampling *cfg, dv_err *err)
{
    memset(s, 0, sizeof *s);
    dv_sampling c = cfg != NULL ? *cfg : dv_sampling_default();
    if (n_vocab == 0)
        return dv_fail(err, DV_EINVAL, "the vocabulary is empty");
    int code = dv_sampling_check(&c, n_vocab, err);
    if (code != 0)
        return code;
    if (c.top_k >= n_vocab)
        c.top_k = 0;
    s->cfg = c;
    s->n_vocab = n_vocab;
    s->cfg.bias = NULL;
    bool greedy = c.temperature == 0;
    s->cap_cand = greedy ? 1 : c.top_k > 0 ? DV_MAX((size_t)MIN_CAND, 2 * (size_t)c.top_k) : n_vocab;
    dv_logit_bias *bias = dv_alloc_array(DV_MEM_SESSION, c.n_bias, sizeof *bias);
    s->cfg.bias = bias;
    s->last = dv_alloc_array(DV_MEM_SESSION, c.penalty_last_n, sizeof *s->last);
    s->seen = dv_alloc_array(DV_MEM_SESSION, c.penalty_last_n, sizeof *s->seen);
    s->mods = dv_alloc_array(DV_MEM_SESSION, c.n_bias + c.penalty_last_n, sizeof *s->mods);
    s->cand = dv_alloc_array(DV_MEM_SESSION, s->cap_cand, sizeof *s->cand);
    s->weight = dv_alloc_array(DV_MEM_SESSION, !greedy && c.top_k == 0 ? n_vocab : 0, sizeof *s->weight);
    if (bias == NULL || s->last == NULL || s->seen == NULL || s->mods == NULL || s->cand == NULL || s->weight == NULL) {
        dv_sampler_fini(s);
        return dv_fail(err, DV_ENOMEM, "out of memory for the sampler");
    }
    if (c.n_bias > 0) {
        memcpy(bias, c.bias, c.n_bias * sizeof *bias);
        qsort(bias, c.n_bias, sizeof *bias, compare_bias);
    }
    dv_sampler_reset(s);
    return 0;
}

void dv_sampler_fini(dv_sampler *s)
{
    dv_free((void *)s->cfg.bias);
    dv_free(s->last);
    dv_free(s->seen);
    dv_free(s->mods);
    dv_free(s->cand);
    dv_free(s->weight);
    memset(s, 0, sizeof *s);
}

void dv_sampler_reset(dv_sampler *s)
{
    dv_rng_seed(&s->rng, s->cfg.seed);
    s->n_last = s->at = s->n_seen = 0;
}

/* The window of the penalties. */

/* Index of the first entry whose id is not below id. */
static uint32_t seen_index(const dv_sampler *s, uint32_t id)
{
    uint32_t lo = 0, hi = s->n_seen;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->seen[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void see(dv_sampler *s, uint32_t id)
{
    uint32_t i = seen_index(s, id);
    if (i == s->n_seen || s->seen[i].id != id) {
        memmove(&s->seen[i + 1], &s->seen[i], (s->n_seen - i) * sizeof *s->seen);
        s->seen[i] = (dv_sampler_seen){.id = id};
        s->n_seen++;
    }
    s->seen[i].count++;
}

static void forget(dv_sampler *s, uint32_t id)
{
    uint32_t i = seen_index(s, id);
    if (--s->seen[i].count == 0) {
        s->n_seen--;
        memmove(&s->seen[i], &s->seen[i + 1], (s->n_seen - i) * sizeof *s->seen);
    }
}

void dv_sampler_accept(dv_sampler *s, uint32_t id)
{
    uint32_t cap = s->cfg.penalty_last_n;
    if (cap == 0 || id >= s->n_vocab)
        return;
    if (s->n_last == cap)
        forget(s, s->last[s->at]);
    else
        s->n_last++;
    s->last[s->at] = id;
    s->at = (s->at + 1) % cap;
    see(s, id);
}

void dv_sampler_set_history(dv_sampler *s, const uint32_t *ids, size_t n)
{
    s->n_last = s->at = s->n_seen = 0;
    for (size_t i = n > s->cfg.penalty_last_n ? n - s->cfg.penalty_last_n : 0; i < n; i++)
        dv_sampler_accept(s, ids[i]);
}

/* Logits with bias and penalties. */

static bool has_penalties(const dv_sampling *c)
{
    return c->repeat_penalty != 1 || c->presence_penalty != 0 || c->frequency_penalty != 0;
}

static float clamp_inf(float l) { return l > FLT_MAX ? FLT_MAX : l; }

/* Merge the sorted lists of biased and seen tokens into s->mods. */
static void make_mods(dv_sampler *s, const float *logits)
{
    const dv_sampling *c = &s->cfg;
    uint32_t n_seen = has_penalties(c) ? s->n_seen : 0, n = 0;
    size_t b = 0;
    for (uint32_t i = 0; b < c->n_bias || i < n_seen;) {
        uint32_t id = b < c->n_bias && (i == n_seen || c->bias[b].id <= s->seen[i].id) ? c->bias[b].id : s->seen[i].id;
        float l = clamp_inf(logits[id]);
        for (; b < c->n_bias && c->bias[b].id == id; b++)
            l += c->bias[b].bias;
        if (i < n_seen && s->seen[i].id == id) {
            l = l > 0 ? l / c->repeat_penalty : l * c->repeat_penalty;
            l -= c->presence_penalty + c->frequency_penalty * (float)s->seen[i++].count;
        }
        s->mods[n++] = (dv_sampler_mod){.id = id, .logit = clamp_inf(l)};
    }
    s->n_mods = n;
}

static bool is_mod(const dv_sampler *s, uint32_t id)
{
    uint32_t lo = 0, hi = s->n_mods;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->mods[mid].id == id)
            return true;
        if (s->mods[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

/* Greedy. */

static bool greedy(const dv_sampler *s, const float *logits, uint32_t *id)
{
    float best = -FLT_MAX;
    bool found = false;
    for (uint32_t i = 0; i < s->n_mods; i++) {
        if (s->mods[i].logit > best || (!found && s->mods[i].logit == best)) {
            best = s->mods[i].logit;
            *id = s->mods[i].id;
            found = true;
        }
    }
    uint32_t n = s->n_vocab;
    for (uint32_t i = dv__select_next(logits, 0, n, best); i < n; i = dv__select_next(logits, i + 1, n, best)) {
        float l = clamp_inf(logits[i]);
        if ((found && l == best && i > *id) || is_mod(s, i))
            continue;
        best = l;
        *id = i;
        found = true;
    }
    return found;
}

/* Candidates. */

static void keep_top_k(dv_sampler *s, float *bound)
{
    if (s->n_cand <= s->cfg.top_k)
        return;
    s->n_cand = dv__select_mass(s->cand, s->n_cand, s->cfg.top_k); /* each counts 1 */
    *bound = s->cand[0].key;
    for (size_t i = 1; i < s->n_cand; i++)
        *bound = DV_MIN(*bound, s->cand[i].key);
}

static void offer(dv_sampler *s, uint32_t id, float logit, float *bound)
{
    if (!(logit >= *bound))
        return;
    if (s->n_cand == s->cap_cand)
        keep_top_k(s, bound);
    s->cand[s->n_cand++] = (dv_sampler_cand){.id = id, .key = logit, .p = 1};
}

/* With top-k: the k best tokens with their weights. */
static void gather_top_k(dv_sampler *s, const float *logits)
{
    float bound = -FLT_MAX;
    s->n_cand = 0;
    for (uint32_t i = 0; i < s->n_mods; i++)
        offer(s, s->mods[i].id, s->mods[i].logit, &bound);
    uint32_t n = s->n_vocab;
    for (uint32_t i = dv__select_next(logits, 0, n, bound); i < n; i = dv__select_next(logits, i + 1, n, bound))
        if (!is_mod(s, i))
            offer(s, i, clamp_inf(logits[i]), &bound);
    keep_top_k(s, &bound);
    float max = -FLT_MAX;
    for (size_t i = 0; i < s->n_cand; i++)
        max = DV_MAX(max, s->cand[i].key);
    for (size_t i = 0; i < s->n_cand; i++)
        s->cand[i].p = dv__weight((s->cand[i].key - max) / s->cfg.temperature);
}

/* Largest logit with bias and penalties; -infinity if no token is usable. */
static float max_logit(const dv_sampler *s, const float *logits)
{
    if (s->n_mods == 0)
        return clamp_inf(dv__select_max(logits, s->n_vocab));
    float max = -INFINITY;
    for (uint32_t i = 0; i < s->n_mods; i++)
        max = s->mods[i].logit > max ? s->mods[i].logit : max;
    /* A modified token's own logit does not count, however large. */
    uint32_t n = s->n_vocab;
    for (uint32_t i = dv__select_next(logits, 0, n, max); i < n; i = dv__select_next(logits, i + 1, n, max))
        if (!is_mod(s, i))
            max = clamp_inf(logits[i]);
    return max;
}

/* Without top-k, and min-p the only filter: the bound is known beforehand, and only what reaches it gets a weight. */
static void gather_min_p(dv_sampler *s, const float *logits, float max)
{
    const dv_sampling *c = &s->cfg;
    uint32_t n = s->n_vocab;
    double reach =
        (log((double)c->min_p) - 1e-4) * (double)c->temperature; /* a little more than needed: filter_min_p decides */
    float bound = (float)DV_MAX((double)max + reach, -(double)FLT_MAX);
    s->n_cand = 0;
    for (uint32_t i = 0; i < s->n_mods; i++)
        if (s->mods[i].logit >= bound)
            s->cand[s->n_cand++] =
                (dv_sampler_cand){.id = s->mods[i].id, .p = dv__weight((s->mods[i].logit - max) / c->temperature)};
    for (uint32_t i = dv__select_next(logits, 0, n, bound); i < n; i = dv__select_next(logits, i + 1, n, bound))
        if (!is_mod(s, i))
            s->cand[s->n_cand++] =
                (dv_sampler_cand){.id = i, .p = dv__weight((clamp_inf(logits[i]) - max) / c->temperature)};
}

/* Without top-k: s->weight for the whole vocabulary. */
static void weigh_all(dv_sampler *s, const float *logits, float max)
{
    dv__weights_fill(s->weight, logits, s->n_vocab, max, s->cfg.temperature);
    for (uint32_t i = 0; i < s->n_mods; i++)
        s->weight[s->mods[i].id] = dv__weight((s->mods[i].logit - max) / s->cfg.temperature);
}

/* Mean of ln weight over all tokens, each with its probability: ln total minus the entropy. */
static double mean_log_weights(const dv_sampler *s, const float *logits, float max, double total)
{
    const float t = s->cfg.temperature;
    double sum = dv__weights_sum_log(s->weight, logits, s->n_vocab, max, t);
    for (uint32_t i = 0; i < s->n_mods; i++) { /* these have another logit than the one just used */
        uint32_t id = s->mods[i].id;
        double wrong = (double)dv__weight_log(logits[id], max, t),
               right = (double)dv__weight_log(s->mods[i].logit, max, t);
        sum += (double)s->weight[id] * (right - wrong);
    }
    return sum / total;
}

/* Without top-k: the candidates are the weights from lo to hi. */
static void gather_between(dv_sampler *s, float lo, float hi)
{
    const float *w = s->weight;
    s->n_cand = 0;
    for (uint32_t i = dv__select_next(w, 0, s->n_vocab, lo); i < s->n_vocab;
         i = dv__select_next(w, i + 1, s->n_vocab, lo))
        if (w[i] <= hi)
            s->cand[s->n_cand++] = (dv_sampler_cand){.id = i, .key = w[i], .p = w[i]};
}

/* Without top-k and typical-p: what top-p and min-p can keep. */
static void gather_likely(dv_sampler *s, double total)
{
    const dv_sampling *c = &s->cfg;
    float bound = DV_MAX(c->min_p, FLT_MIN); /* the largest weight is 1 */
    if (c->top_p < 1) {
        float t = 1.0f / 64; /* the few above this are nearly always enough */
        while (t > bound && dv__weights_sum(s->weight, s->n_vocab, t) < (double)c->top_p * total)
            t /= 16;
        bound = DV_MAX(bound, t);
    }
    gather_between(s, bound, 1);
}

/* Without top-k: what typical-p can keep, the weights w with |ln w - mean_log| below the smallest tried bound that is enough. */
static void gather_typical(dv_sampler *s, double total, double mean_log)
{
    double want = (double)s->cfg.typical_p * total * (1 + 1e-6);
    for (double reach = 0.5; reach < 200; reach *= 2) {
        float lo = (float)fmax(exp(mean_log - reach), (double)FLT_MIN), hi = (float)fmin(exp(mean_log + reach), 1);
        if (dv__weights_sum(s->weight, s->n_vocab, lo) - dv__weights_sum(s->weight, s->n_vocab, nextafterf(hi, 2)) >=
            want) {
            gather_between(s, lo, hi);
            return;
        }
    }
    gather_between(s, FLT_MIN, 1);
}

/* Filters. */

static double sum_cand(const dv_sampler *s)
{
    double total = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        total += (double)s->cand[i].p;
    return total;
}

static double mean_log_cand(const dv_sampler *s, double total)
{
    double sum = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        sum += s->cand[i].p > 0 ? (double)s->cand[i].p * (double)logf(s->cand[i].p) : 0;
    return sum / total;
}

/* Locally typical sampling: Meister et al. 2022, section 3. With p = w / total, |-ln p - entropy| is |ln w - mean of ln w|. */
static double filter_typical(dv_sampler *s, double total, double mean_log)
{
    for (size_t i = 0; i < s->n_cand; i++)
        s->cand[i].key = s->cand[i].p > 0 ? -fabsf(logf(s->cand[i].p) - (float)mean_log) : -INFINITY;
    s->n_cand = dv__select_mass(s->cand, s->n_cand, (double)s->cfg.typical_p * total);
    for (size_t i = 0; i < s->n_cand; i++)
        s->cand[i].key = s->cand[i].p;
    return sum_cand(s);
}

static void filter_min_p(dv_sampler *s)
{
    float max = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        max = DV_MAX(max, s->cand[i].p);
    size_t n = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        if (s->cand[i].p >= s->cfg.min_p * max)
            s->cand[n++] = s->cand[i];
    s->n_cand = n;
}

/* The filters after typical-p; total is the weight that top-p is a part of. */
static void filter_likely(dv_sampler *s, double total)
{
    if (s->cfg.top_p < 1)
        s->n_cand = dv__select_mass(s->cand, s->n_cand, (double)s->cfg.top_p * total);
    if (s->cfg.min_p > 0)
        filter_min_p(s);
}

/* Draw. A token is taken when the running sum passes a random point, so one without weight never is; the last one with weight stands in
 * when rounding leaves the point beyond the end. */

static uint32_t draw_cand(dv_sampler *s)
{
    double point = dv_rng_double(&s->rng) * sum_cand(s), sum = 0;
    uint32_t id = s->cand[0].id;
    for (size_t i = 0; i < s->n_cand; i++) {
        if (!(s->cand[i].p > 0))
            continue;
        id = s->cand[i].id;
        sum += (double)s->cand[i].p;
        if (sum > point)
            break;
    }
    return id;
}

static bool draw_top_k(dv_sampler *s, const float *logits, uint32_t *id)
{
    gather_top_k(s, logits);
    if (s->n_cand == 0)
        return false;
    double total = sum_cand(s);
    if (s->cfg.typical_p < 1)
        total = filter_typical(s, total, mean_log_cand(s, total));
    filter_likely(s, total);
    *id = draw_cand(s);
    return true;
}

static bool draw_all(dv_sampler *s, const float *logits, uint32_t *id)
{
    const dv_sampling *c = &s->cfg;
    float max = max_logit(s, logits);
    if (!(max >= -FLT_MAX))
        return false;
    if (c->min_p > 0 && c->top_p == 1 && c->typical_p == 1) {
        gather_min_p(s, logits, max);
        filter_min_p(s);
        *id = draw_cand(s);
        return true;
    }
    weigh_all(s, logits, max);
    if (c->top_p == 1 && c->typical_p == 1) {
        s->n_cand = 0; /* none was left out: the weights are all there is */
        *id = dv__weights_draw(s->weight, s->n_vocab, dv_rng_double(&s->rng));
        return true;
    }
    double total = dv__weights_sum(s->weight, s->n_vocab, 0);
    if (c->typical_p < 1) {
        double mean_log = mean_log_weights(s, logits, max, total);
        gather_typical(s, total, mean_log);
        total = filter_typical(s, total, mean_log);
    } else {
        gather_likely(s, total);
    }
    filter_likely(s, total);
    *id = draw_cand(s);
    return true;
}

int dv_sampler_draw(dv_sampler *s, const float *logits, uint32_t *id, dv_err *err)
{
    make_mods(s, logits);
    bool ok = s->cfg.temperature == 0 ? greedy(s, logits, id)
              : s->cfg.top_k > 0      ? draw_top_k(s, logits, id)
                                      : draw_all(s, logits, id);
    return ok ? 0 : dv_fail(err, DV_EINTERNAL, "the model produced no usable logits");
}

/* Insert into top[0..n), which is sorted. */
static uint32_t add_top(dv_sampler_cand *top, uint32_t n, uint32_t cap, uint32_t id, float p)
{
    if (!(p > 0) || cap == 0 || (n == cap && p <= top[n - 1].p))
        return n;
    uint32_t i = n < cap ? n++ : cap - 1;
    for (; i > 0 && p > top[i - 1].p; i--)
        top[i] = top[i - 1];
    top[i] = (dv_sampler_cand){.id = id, .key = p, .p = p};
    return n;
}

uint32_t dv_sampler_probs(const dv_sampler *s, uint32_t id, dv_sampler_cand *top, uint32_t n, float *p)
{
    bool all = s->n_cand == 0, greedy = s->cfg.temperature == 0;
    uint32_t n_top = 0, n_from = greedy ? 0 : all ? s->n_vocab : (uint32_t)s->n_cand;
    double total = greedy ? 1 : all ? dv__weights_sum(s->weight, s->n_vocab, 0) : sum_cand(s);
    *p = greedy ? 1 : 0;
    if (greedy)
        n_top = add_top(top, 0, n, id, 1);
    for (uint32_t i = 0; i < n_from; i++) {
        uint32_t from = all ? i : s->cand[i].id;
        float prob = (float)((double)(all ? s->weight[i] : s->cand[i].p) / total);
        if (from == id)
            *p = prob;
        n_top = add_top(top, n_top, n, from, prob);
    }
    return n_top;
}
