/* SPDX-License-Identifier: MIT */
#include "limit/rate.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "limit/redis.h"
#include "limit/table.h"

#include <sodium.h>
#include <string.h>

enum { MAX_KEYS = 262144, FAILED_RETRY_MS = 1000 };

struct dv_rate {
    dv__table *table;
    dv__redis *redis; /* NULL: embedded */
    uint64_t (*now_ms)(void);
    uint64_t now_ns; /* never goes back */
    bool refuse_on_failure, closing;
};

struct dv_rate_ask {
    dv_rate *r;
    dv__redis_ask *inner;
    dv_rate_key key;
    dv_rate_rule rule;
    uint64_t cost;
    void (*done)(void *arg, const dv_rate_answer *a); /* NULL: a charge */
    void *arg;
    dv_rate_ask **slot; /* of the caller; may be NULL */
};

dv_rate_key dv_rate_key_of(const char *rule, const char *identity)
{
    dv_rate_key key;
    crypto_generichash_state s;
    crypto_generichash_init(&s, NULL, 0, sizeof key.hash);
    crypto_generichash_update(&s, (const uint8_t *)rule,
                              strlen(rule) + 1); /* with its end: no two pairs are the same bytes */
    crypto_generichash_update(&s, (const uint8_t *)identity, strlen(identity));
    crypto_generichash_final(&s, key.hash, sizeof key.hash);
    return key;
}

int dv_rate_open(dv_rate **out, const dv_rate_options *o, dv_err *err)
{
    *out = NULL;
    dv_rate *r = dv_calloc(DV_MEM_LIMIT, 1, sizeof *r);
    if (r != NULL)
        r->table = dv__table_new(o->max_keys != 0 ? o->max_keys : MAX_KEYS);
    if (r == NULL || r->table == NULL) {
        dv_rate_close(&r);
        return dv_fail(err, DV_ENOMEM, "rate limits: %s", dv_error_text(DV_ENOMEM));
    }
    r->now_ms = o->now_ms;
    r->now_ns = 1;
    r->refuse_on_failure = o->refuse_on_failure;
    int code = o->redis_url != NULL && o->redis_url[0] != 0 ? dv__redis_open(&r->redis, o, err) : 0;
    if (code != 0)
        dv_rate_close(&r);
    *out = r;
    return code;
}

void dv_rate_close(dv_rate **rate)
{
    dv_rate *r = *rate;
    if (r == NULL)
        return;
    *rate = NULL;
    r->closing = true;
    dv__redis_close(&r->redis);
    dv__table_free(r->table);
    dv_free(r);
}

/* A clock that is set back stands still until it is where it was. */
static uint64_t now(dv_rate *r)
{
    uint64_t ns = r->now_ms != NULL ? r->now_ms() * 1000000u : dv_clock_ns();
    if (ns > r->now_ns)
        r->now_ns = ns;
    return r->now_ns;
}

/* rule is of dv__gcra_rule, with a limit. */
static void count_here(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost, bool charge,
                       dv_rate_answer *a)
{
    uint64_t ns = now(r);
    a->shared = false;
    dv__gcra_take(dv__table_get(r->table, key, ns), rule, ns, cost, charge, a);
}

static const dv_rate_answer no_limit = {.allowed = true, .remaining = UINT64_MAX};

/* What is said where Redis should have. */
static dv_rate_answer instead(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost)
{
    dv_rate_answer a = {.retry_ms = FAILED_RETRY_MS, .reset_ms = FAILED_RETRY_MS};
    if (!r->refuse_on_failure)
        count_here(r, key, rule, cost, false, &a);
    return a;
}

static void on_answer(void *arg, const dv_rate_answer *answer)
{
    dv_rate_ask *ask = arg;
    const dv_rate_ask was = *ask;
    if (was.slot != NULL)
        *was.slot = NULL;
    dv_free(ask);
    if (was.r->closing)
        return;
    dv_rate_answer a;
    if (was.done == NULL) {
        if (answer == NULL)
            count_here(was.r, &was.key, &was.rule, was.cost, true, &a);
        return;
    }
    a = answer != NULL ? *answer : instead(was.r, &was.key, &was.rule, was.cost);
    was.done(was.arg, &a);
}

/* Whether Redis is asked; then on_answer is called later. want is without inner. */
static bool ask_redis(dv_rate *r, const dv_rate_ask *want)
{
    dv_rate_ask *ask = r->redis != NULL ? dv_alloc(DV_MEM_LIMIT, sizeof *ask) : NULL;
    if (ask == NULL)
        return false;
    *ask = *want;
    const dv__redis_call call = {.key = want->key,
                                 .rule = want->rule,
                                 .cost = want->cost,
                                 .charge = want->done == NULL,
                                 .done = on_answer,
                                 .arg = ask};
    ask->inner = dv__redis_call_start(r->redis, &call);
    if (ask->inner == NULL) {
        dv_free(ask);
        return false;
    }
    if (ask->slot != NULL)
        *ask->slot = ask;
    return true;
}

void dv_rate_take(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost,
                  void (*done)(void *arg, const dv_rate_answer *a), void *arg, dv_rate_ask **ask)
{
    const dv_rate_ask want = {
        .r = r, .key = *key, .rule = dv__gcra_rule(rule), .cost = cost, .done = done, .arg = arg, .slot = ask};
    dv_rate_answer a = no_limit;
    if (ask != NULL)
        *ask = NULL;
    if (rule->limit != 0) {
        if (ask_redis(r, &want))
            return;
        if (r->redis != NULL)
            a = instead(r, key, &want.rule, cost);
        else
            count_here(r, key, &want.rule, cost, false, &a);
    }
    done(arg, &a);
}

void dv_rate_take_here(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost, dv_rate_answer *a)
{
    const dv_rate_rule bounded = dv__gcra_rule(rule);
    *a = no_limit;
    if (rule->limit != 0)
        count_here(r, key, &bounded, cost, false, a);
}

void dv_rate_cancel(dv_rate_ask **ask)
{
    dv_rate_ask *a = *ask;
    *ask = NULL;
    if (a == NULL)
        return;
    dv__redis_call_forget(a->inner);
    dv_free(a);
}

void dv_rate_charge(dv_rate *r, const dv_rate_key *key, const dv_rate_rule *rule, uint64_t cost)
{
    const dv_rate_ask want = {.r = r, .key = *key, .rule = dv__gcra_rule(rule), .cost = cost};
    dv_rate_answer a;
    if (rule->limit != 0 && cost > 0 && !ask_redis(r, &want))
        count_here(r, key, &want.rule, cost, true, &a);
}

void dv_rate_health_get(dv_rate *r, dv_rate_health *out)
{
    if (r->redis != NULL)
        dv__redis_health(r->redis, out);
    else
        *out = (dv_rate_health){.ok = true, .text = "embedded"};
}
