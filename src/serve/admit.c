/* SPDX-License-Identifier: MIT */
/* Limits of an identity: requests in a time, tokens in a minute, requests at one time. What a key says counts before what the configuration says. */
#include "base/err.h"
#include "serve/exchange.h"

#include <stdio.h>

enum { MINUTE_MS = 60 * 1000 };

static dv_rate_rule request_rule(const dv__xchg *x)
{
    const dv_conf *c = x->cfg->conf;
    if (x->who.kind == DV__WHO_KEY && x->who.key->scope.requests_per_min > 0)
        return (dv_rate_rule){.limit = x->who.key->scope.requests_per_min, .window_ms = MINUTE_MS};
    return (dv_rate_rule){.limit = (uint64_t)c->limits.requests,
                          .window_ms = (uint64_t)c->limits.window_ms,
                          .burst = (uint64_t)c->limits.burst};
}

static dv_rate_rule token_rule(const dv__xchg *x)
{
    uint64_t limit = (uint64_t)x->cfg->conf->limits.tokens_per_minute;
    if (x->who.kind == DV__WHO_KEY && x->who.key->scope.tokens_per_min > 0)
        limit = x->who.key->scope.tokens_per_min;
    return (dv_rate_rule){.limit = limit, .window_ms = MINUTE_MS};
}

static void refuse_rate(dv__xchg *x)
{
    uint64_t retry_s = (x->rate.retry_ms + 999) / 1000;
    dv_problem p = {.status = 429,
                    .code = "rate_limit_exceeded",
                    .text = "too many requests; try again later",
                    .retry_after = (unsigned)(retry_s < 1      ? 1
                                              : retry_s > 3600 ? 3600
                                                               : retry_s)};
    x->limited = true;
    dv__xchg_problem(x, &p);
}

static void on_rate(void *arg, const dv_rate_answer *a)
{
    dv__xchg *x = arg;
    bool waited = x->rate_wait;
    x->rate_wait = false;
    x->rate = *a;
    x->rate_said = true;
    if (!waited)
        return;
    if (!a->allowed)
        refuse_rate(x);
    else if (x->body_here && !x->ended)
        dv__check_start(x);
}

bool dv__admit_rate(dv__xchg *x)
{
    dv_rate_rule rule = request_rule(x);
    if (rule.limit == 0)
        return true;
    dv_rate_key key = dv_rate_key_of("requests", x->who.id);
    x->rate_limit = rule.limit;
    x->rate_window_ms = rule.window_ms;
    dv_rate_take(x->s->rate, &key, &rule, 1, on_rate, x, &x->rate_ask);
    if (!x->rate_said) {
        x->rate_wait = true;
        return true;
    }
    if (!x->rate.allowed)
        refuse_rate(x);
    return x->rate.allowed;
}

int dv__admit_claim(dv__xchg *x, dv_err *err)
{
    unsigned max = (unsigned)x->cfg->conf->limits.concurrency;
    if (x->who.kind == DV__WHO_KEY && x->who.key->scope.concurrency > 0)
        max = x->who.key->scope.concurrency;
    uint64_t total = (uint64_t)x->cfg->conf->limits.total_concurrency;
    int rc = 0;
    if (total > 0 && dv_share_total(x->s->share) >= total)
        rc = dv_fail(err, DV_EBUSY, "the server has as many requests as it takes (%llu); try again later",
                     (unsigned long long)total);
    else
        rc = dv_share_claim(x->s->share, &x->claim, x->who.hash, max, err);
    x->limited |= rc == DV_ERATE || rc == DV_EBUSY;
    return rc;
}

static void on_tokens(void *arg, const dv_rate_answer *a)
{
    dv__xchg *x = arg;
    x->limited |= !a->allowed;
    x->retry_s = a->allowed ? 0 : (unsigned)((a->retry_ms + 999) / 1000);
    dv__proxy_go(x, a->allowed);
}

/* Tokens are paid for when they are known, at the end: whoever is in debt waits. Here one is taken to see. */
void dv__admit_tokens(dv__xchg *x)
{
    dv_rate_rule rule = token_rule(x);
    dv_rate_key key = dv_rate_key_of("tokens", x->who.id);
    if (rule.limit == 0)
        dv__proxy_go(x, true);
    else
        dv_rate_take(x->s->rate, &key, &rule, 1, on_tokens, x, &x->rate_ask);
}

void dv__admit_end(dv__xchg *x)
{
    dv_rate_cancel(&x->rate_ask);
    dv_share_release(&x->claim);
    uint64_t used = x->tokens_in + x->tokens_out;
    dv_rate_rule rule = token_rule(x);
    if (rule.limit == 0 || used < 2)
        return;
    dv_rate_key key = dv_rate_key_of("tokens", x->who.id);
    dv_rate_charge(x->s->rate, &key, &rule, used - 1); /* one was taken at the start */
}
