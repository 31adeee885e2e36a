/* SPDX-License-Identifier: MIT */
#include "fleet/impl.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RESCAN_MS = 30 * 1000, RESCAN_YOUNG_MS = 500, LOG_MAX = 1024 };

/* ---- saying something ---- */

void dv__fleet_log(dv_fleet *f, int level, const char *fmt, ...)
{
    char raw[LOG_MAX];
    va_list ap;
    if (f->o.log == NULL)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    dv_buf b;
    dv_buf_init(&b, 0);
    if (dv_buf_escaped(&b, raw, DV_MIN((size_t)n, sizeof raw - 1)) == 0)
        f->o.log(f->o.arg, level, dv_buf_str(&b));
    dv_buf_fini(&b);
}

void dv__fleet_event(dv_fleet *f, const char *what, const char *model, int code, const char *detail)
{
    if (f->o.event != NULL)
        f->o.event(f->o.arg, what, model, code, detail);
}

/* ---- step ---- */

void dv__fleet_kick(dv_fleet *f) { event_active(f->on_kick, EV_TIMEOUT, 0); }

static void arm(dv_fleet *f, uint64_t now, uint64_t next)
{
    if (next == DV__NEVER) {
        event_del(f->on_timer);
        return;
    }
    uint64_t us = next > now ? (next - now) / 1000 + 1 : 1;
    const struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    event_add(f->on_timer, &tv);
}

static void step_folder(dv_fleet *f, uint64_t now, uint64_t *next)
{
    bool young = false;
    if (f->draining)
        return;
    if (now >= f->rescan_ns) {
        dv__scan_watch(f);
        if (dv__registry_update(f) != 0)
            dv__fleet_log(f, DV_HTTP_LOG_ERROR, "no memory to look at the models folder");
        f->rescan_ns = now + RESCAN_MS * DV__MS;
    }
    for (size_t i = 0; i < f->n_models; i++)
        young |= f->models[i]->hidden;
    if (young)
        f->rescan_ns = DV_MIN(f->rescan_ns, now + RESCAN_YOUNG_MS * DV__MS);
    dv__until(next, f->rescan_ns);
}

/* Instances that nothing is known about and that nobody uses are only names. */
static void sweep(dv_fleet *f)
{
    dv__instance *in, *after;
    for (in = TAILQ_FIRST(&f->instances); in != NULL; in = after) {
        after = TAILQ_NEXT(in, link);
        if (in->state == DV_INSTANCE_STOPPED && in->n_uses == 0 && in->child.pid == 0 && !in->restart &&
            (in->m->gone || in->crashes == 0))
            dv__instance_free(in);
    }
    dv__registry_sweep(f);
}

static bool is_drained(dv_fleet *f)
{
    const dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link)
        if (in->child.pid != 0)
            return false;
    return true;
}

static void finish_drain(dv_fleet *f)
{
    void (*done)(void *arg) = f->drained;
    if (done == NULL || !is_drained(f))
        return;
    f->drained = NULL;
    done(f->drained_arg);
}

static void step(dv_fleet *f)
{
    uint64_t now = dv_clock_ns(), next = DV__NEVER;
    dv__instance *in;
    step_folder(f, now, &next);
    dv__describe_step(f, now, &next);
    TAILQ_FOREACH (in, &f->instances, link)
        dv__instance_step(in, now, &next);
    dv__residency_step(f, now, &next);
    dv__use_deliver(f);
    dv__order_step(f);
    sweep(f);
    arm(f, dv_clock_ns(), next);
    if (f->draining)
        finish_drain(f);
}

static void on_kick(evutil_socket_t fd, short what, void *arg) { step(arg); }

/* ---- life ---- */

static int make_events(dv_fleet *f)
{
    f->on_kick = event_new(f->base, -1, 0, on_kick, f);
    f->on_timer = event_new(f->base, -1, 0, on_kick, f);
    return f->on_kick != NULL && f->on_timer != NULL ? 0 : DV_ENOMEM;
}

static int preload(dv_fleet *f)
{
    for (size_t i = 0; i < f->n_models; i++) {
        dv__model *m = f->models[i];
        if (m->cm == NULL || !m->cm->preload)
            continue;
        dv__instance *in = dv__instance_get(f, m, -1);
        if (in == NULL)
            return DV_ENOMEM;
        in->restart = in->state == DV_INSTANCE_STOPPED;
    }
    return 0;
}

static int open_parts(dv_fleet *f)
{
    int rc = make_events(f);
    if (rc == 0)
        rc = dv__registry_update(f);
    if (rc == 0)
        rc = preload(f);
    if (rc == 0)
        dv__scan_watch(f);
    return rc;
}

int dv_fleet_open(dv_fleet **out, const dv_fleet_options *o, dv_err *err)
{
    uint64_t seed;
    *out = NULL;
    if (o->run_dir == NULL || o->run_dir[0] != '/')
        return dv_fail(err, DV_EINVAL, "the run folder must be an absolute path");
    dv_fleet *f = dv_calloc(DV_MEM_FLEET, 1, sizeof *f);
    if (f == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    f->o = *o;
    /* In a child that was forked it is ours until it is replaced, also when the file has another version in it by now. */
    f->program = o->program != NULL ? o->program : "/proc/self/exe";
    f->conf = o->conf;
    f->base = dv_http_base(o->http);
    f->watch_fd = -1;
    f->rescan_ns = dv_clock_ns() + RESCAN_MS * DV__MS;
    f->describer.child.pidfd = f->describer.child.out = -1;
    TAILQ_INIT(&f->instances);
    TAILQ_INIT(&f->due);
    TAILQ_INIT(&f->orders);
    if (getentropy(&seed, sizeof seed) != 0)
        seed = dv_clock_ns();
    dv_rng_seed(&f->rng, seed);
    int rc = open_parts(f);
    if (rc != 0) {
        dv_fleet_close(&f);
        return dv_fail(err, rc, "%s", dv_error_text(rc));
    }
    dv__fleet_kick(f);
    *out = f;
    return 0;
}

static void free_event(struct event **e)
{
    if (*e != NULL)
        event_free(*e);
    *e = NULL;
}

void dv_fleet_close(dv_fleet **out)
{
    dv_fleet *f = *out;
    if (f == NULL)
        return;
    *out = NULL;
    dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link)
        dv__child_signal(&in->child, SIGKILL); /* all at once, then one after the other is waited for */
    dv__order_fini(f);
    dv__describe_fini(f);
    while ((in = TAILQ_FIRST(&f->instances)) != NULL)
        dv__instance_free(in);
    dv__registry_fini(f);
    dv__scan_fini(f);
    free_event(&f->on_kick);
    free_event(&f->on_timer);
    dv_free(f->chosen);
    dv_free(f);
}

void dv_fleet_drain(dv_fleet *f, void (*done)(void *arg), void *arg)
{
    dv__instance *in;
    dv_err err = {0};
    f->draining = true;
    f->drained = done;
    f->drained_arg = arg;
    dv__describe_fini(f);
    dv_fail(&err, DV_ECANCELED, "the server is shutting down");
    TAILQ_FOREACH (in, &f->instances, link) {
        dv__use_fail_waiting(in, DV_ECANCELED, &err, 0);
        dv__instance_leave(in, "the server is shutting down");
    }
    dv__fleet_kick(f);
}

/* Profiles are known by their place in the list, which may be another one now. */
static void find_profile_again(dv__instance *in)
{
    const dv_conf *c = in->f->conf;
    const dv_conf_profile *p = dv_conf_find_profile(c, in->profile_name);
    in->profile = p != NULL ? (int)(p - c->profiles) : dv__registry_own_profile(in->f, in->m);
    in->outdated = in->outdated || p == NULL;
}

void dv_fleet_configure(dv_fleet *f, const dv_conf *conf)
{
    dv__instance *in;
    f->conf = f->o.conf = conf;
    TAILQ_FOREACH (in, &f->instances, link)
        find_profile_again(in);
    if (dv__registry_update(f) != 0)
        f->rescan_ns = 0;
    for (size_t i = 0; i < f->n_models; i++) {
        dv__describe_forget(f, f->models[i]); /* what it would take depends on the configuration */
        f->models[i]->desc.state = DV__DESC_WANTED;
    }
    (void)preload(f);
    dv__fleet_kick(f);
}
