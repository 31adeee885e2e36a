/* SPDX-License-Identifier: MIT */
/* Who may be in memory. What an instance takes is what it was estimated to take when it is full: a cache that is empty now will not be. Weights
 * that several instances of a file share count once. */
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RETRY_MS = 500,
    FRESH_MS = 1000,
    PATIENCE_MS = 2000, /* so long a model waits for others to be idle by themselves, and so long it stays at least */
    UPSTREAM_EXTRA_MIB = 256
};

static unsigned long long mib(uint64_t bytes) { return (unsigned long long)((bytes + (1 << 20) - 1) >> 20); }

void dv__residency_measure(dv__instance *in, uint64_t now)
{
    char path[64], line[256];
    unsigned long long kib;
    if (in->child.pid != 0 && in->measured_ns != 0 && now - in->measured_ns < FRESH_MS * DV__MS)
        return;
    in->rss_now = in->anonymous_now = 0;
    in->measured_ns = now;
    snprintf(path, sizeof path, "/proc/%d/status", (int)in->child.pid);
    FILE *file = in->child.pid > 0 ? fopen(path, "re") : NULL;
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
            in->rss_now = kib << 10;
        else if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            in->anonymous_now = kib << 10;
    }
    fclose(file);
}

/* ---- what is taken ---- */

static bool counts(const dv__instance *in) { return dv__instance_loaded(in) && in->backend != DV_CONF_BACKEND_REMOTE; }

typedef struct sum {
    uint64_t bytes;
    unsigned n; /* instances */
} sum;

/* Of the instances that are loaded and for which skip is not set; leaving: those that are on their way out count too. */
static sum sum_of(const dv_fleet *f, const dv__instance *except, bool leaving)
{
    sum s = {0};
    const dv__instance *in, *other;
    TAILQ_FOREACH (in, &f->instances, link) {
        if (!counts(in) || in->evicted || in == except || (!leaving && in->state == DV_INSTANCE_DRAINING))
            continue;
        bool shared = false;
        for (other = TAILQ_FIRST(&f->instances); other != in; other = TAILQ_NEXT(other, link))
            shared |= other->m == in->m && counts(other) && !other->evicted && other != except &&
                      (leaving || other->state != DV_INSTANCE_DRAINING);
        s.bytes += in->anonymous + (shared ? 0 : in->weights);
        s.n++;
    }
    return s;
}

/* What in needs beside these. */
static uint64_t need_of(const dv_fleet *f, const dv__instance *in, bool leaving)
{
    const dv__instance *other;
    TAILQ_FOREACH (other, &f->instances, link)
        if (other != in && other->m == in->m && counts(other) && !other->evicted &&
            (leaving || other->state != DV_INSTANCE_DRAINING))
            return in->anonymous;
    return in->anonymous + in->weights;
}

uint64_t dv__residency_used(const dv_fleet *f) { return sum_of(f, NULL, true).bytes; }

uint64_t dv__residency_budget(dv_fleet *f, uint64_t now, uint64_t *ever)
{
    const dv_conf *c = f->conf;
    uint64_t reserve = (uint64_t)c->residency.reserve_bytes, ours = 0;
    dv__instance *in;
    dv_limits l;
    if (c->residency.bytes > 0)
        return *ever = (uint64_t)c->residency.bytes;
    dv_limits_read(&l, "");
    TAILQ_FOREACH (in, &f->instances, link) {
        in->measured_ns = 0;
        dv__residency_measure(in, now);
        ours += in->anonymous_now;
    }
    *ever = l.mem > reserve ? l.mem - reserve : 0;
    uint64_t free_now = l.mem_available + ours > reserve ? l.mem_available + ours - reserve : 0;
    return DV_MIN(free_now, *ever);
}

uint64_t dv__residency_budget_about(dv_fleet *f, uint64_t now)
{
    uint64_t ever;
    if (f->budget_ns == 0 || now - f->budget_ns >= FRESH_MS * DV__MS) {
        f->budget_now = dv__residency_budget(f, now, &ever);
        f->budget_ns = now;
    }
    return f->budget_now;
}

/* ---- what is to come ---- */

static void estimate(dv__instance *in)
{
    const dv__model *m = in->m;
    in->weights = in->anonymous = 0;
    if (in->backend == DV_CONF_BACKEND_REMOTE)
        return;
    in->weights = m->id.bytes;
    in->anonymous = m->desc.anonymous[in->profile];
    if (in->backend == DV_CONF_BACKEND_UPSTREAM)
        in->anonymous += (uint64_t)UPSTREAM_EXTRA_MIB << 20;
}

/* ---- making room ---- */

static uint64_t since(const dv__instance *in)
{
    const dv_use *a = TAILQ_FIRST(&in->jobs), *b = TAILQ_FIRST(&in->looks);
    return DV_MIN(a != NULL ? a->begun_ns : DV__NEVER, b != NULL ? b->begun_ns : DV__NEVER);
}

typedef struct room {
    dv_fleet *f;
    dv__instance *in; /* for which */
    uint64_t now;
    uint64_t budget, taken;   /* taken: by those that come first and wait for others to leave */
    unsigned models, n_taken; /* at one time; 0: any number */
} room;

static bool is_idle(const room *r, const dv__instance *in)
{
    return in->state == DV_INSTANCE_READY && counts(in) && in->given == 0 && in->n_waiting == 0 && !in->evicted &&
           !dv__instance_pinned(in);
}

/* Under load no model is ever idle. One whose requests came later than those that wait for its memory takes no further ones, and goes when its answers
 * are finished: they are never cut. */
static bool must_yield(const room *r, const dv__instance *in)
{
    const uint64_t patience = PATIENCE_MS * DV__MS;
    return in->state == DV_INSTANCE_READY && counts(in) && !in->evicted && !dv__instance_pinned(in) &&
           since(r->in) != DV__NEVER && r->now - since(r->in) > patience && r->now - in->ready_ns > patience &&
           since(in) > since(r->in);
}

static bool fits(const room *r, bool leaving)
{
    sum s = sum_of(r->f, r->in, leaving);
    return s.bytes + r->taken + need_of(r->f, r->in, leaving) <= r->budget &&
           (r->models == 0 || s.n + r->n_taken < r->models);
}

static int by_use(const void *a, const void *b)
{
    const dv__instance *x = *(dv__instance *const *)a, *y = *(dv__instance *const *)b;
    return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

/* The least recently used ones that together make room, and of these none that the others do without. v: [n] idle ones by use. False: all of
 * them are not enough. */
static bool choose(const room *r, dv__instance **v, size_t n)
{
    size_t k = 0;
    while (!fits(r, false) && k < n)
        v[k++]->evicted = true;
    if (!fits(r, false)) {
        for (size_t i = 0; i < k; i++)
            v[i]->evicted = false;
        return false;
    }
    for (size_t i = k; i-- > 0;) { /* the most recently used of them may stay first */
        v[i]->evicted = false;
        v[i]->evicted = !fits(r, false);
    }
    return true;
}

static bool make_room(const room *r, bool (*may_go)(const room *r, const dv__instance *in))
{
    enum { MANY = 512 };
    dv__instance *v[MANY], *in;
    size_t n = 0;
    TAILQ_FOREACH (in, &r->f->instances, link)
        if (in != r->in && n < MANY && may_go(r, in))
            v[n++] = in;
    if (n > 1)
        qsort(v, n, sizeof(dv__instance *), by_use);
    if (!choose(r, v, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (v[i]->evicted) {
            v[i]->evicted = false; /* from here on its state says so */
            dv__instance_leave(v[i], "others need its memory");
        }
    return true;
}

/* ---- starting ---- */

static uint64_t pinned_bytes(const dv_fleet *f, const dv__instance *except)
{
    uint64_t bytes = 0;
    const dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link)
        if (in != except && counts(in) && dv__instance_pinned(in))
            bytes += in->anonymous + (in->m != except->m ? in->weights : 0);
    return bytes;
}

static bool can_never(dv_fleet *f, dv__instance *in, uint64_t ever)
{
    uint64_t pinned = pinned_bytes(f, in), all = in->anonymous + in->weights;
    dv_err err = {0};
    if (all + pinned <= ever)
        return false;
    if (pinned > 0)
        dv_fail(&err, DV_ELIMIT,
                "%s needs %llu MiB (weights %llu, the rest %llu); of the budget of %llu MiB, pinned models have %llu",
                in->m->name, mib(all), mib(in->weights), mib(in->anonymous), mib(ever), mib(pinned));
    else
        dv_fail(&err, DV_ELIMIT,
                "%s needs %llu MiB (weights %llu, the rest %llu), more than the budget of %llu MiB: a smaller context, "
                "fewer sequences or kv_type q8_0 need less",
                in->m->name, mib(all), mib(in->weights), mib(in->anonymous), mib(ever));
    in->last_error = err;
    in->restart = false;
    dv__use_fail_waiting(in, DV_ELIMIT, &err, 0);
    return true;
}

static void wait_for_room(dv__instance *in, uint64_t now, uint64_t *next)
{
    if (!in->no_room)
        dv__fleet_log(in->f, DV_HTTP_LOG_DEBUG, "%s: waits for %llu MiB", in->m->name,
                      mib(in->anonymous + in->weights));
    in->no_room = true;
    dv__until(next, now + RETRY_MS * DV__MS); /* others may have given memory back */
}

/* False: it has to wait. What it waits for, others that come later must not take, if it is on its way. */
static bool has_room(room *r, uint64_t *next)
{
    if (fits(r, true))
        return true;
    if (fits(r, false) || make_room(r, is_idle) || make_room(r, must_yield)) {
        r->taken += need_of(r->f, r->in, false);
        r->n_taken++;
    }
    wait_for_room(r->in, r->now, next);
    return false;
}

static void try_start(room *r, uint64_t *next)
{
    dv__instance *in = r->in;
    uint64_t ever;
    dv__registry_run(r->f, in->m, in->profile, &in->run);
    estimate(in);
    if (in->backend != DV_CONF_BACKEND_REMOTE) {
        r->budget = dv__residency_budget(r->f, r->now, &ever);
        if (can_never(r->f, in, ever) || !has_room(r, next))
            return;
    }
    in->no_room = false;
    dv__instance_start(in, r->now);
    dv__fleet_kick(r->f);
}

/* Nothing is known about a file that was not looked at yet; the step that follows goes on. */
static bool is_described(const dv__instance *in) { return in->m->path == NULL || in->m->desc.state == DV__DESC_DONE; }

void dv__residency_step(dv_fleet *f, uint64_t now, uint64_t *next)
{
    dv__instance *in;
    room r = {.f = f, .now = now, .models = (unsigned)f->conf->residency.models};
    TAILQ_FOREACH (in, &f->instances, link)
        in->tried = !dv__instance_wanted(in) || in->state != DV_INSTANCE_STOPPED || !is_described(in) || in->m->gone;
    for (;;) { /* who has waited longest comes first */
        r.in = NULL;
        TAILQ_FOREACH (in, &f->instances, link)
            if (!in->tried && (r.in == NULL || since(in) < since(r.in)))
                r.in = in;
        if (r.in == NULL)
            return;
        r.in->tried = true;
        try_start(&r, next);
    }
}
