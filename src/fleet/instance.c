/* SPDX-License-Identifier: MIT */
/* The state machine. Nothing here is called from outside but through dv__fleet_step. */
#include "fleet/impl.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[DV_INSTANCE_STATE_N] = {"stopped",  "starting", "ready",
                                                             "draining", "waiting",  "broken"};

const char *dv_instance_state_name(dv_instance_state s)
{
    return s >= 0 && s < DV_INSTANCE_STATE_N ? state_names[s] : "?";
}

/* ---- there is one, or not ---- */

static dv__instance *new_instance(dv_fleet *f, dv__model *m, int profile)
{
    dv__instance *in = dv_calloc(DV_MEM_FLEET, 1, sizeof *in);
    if (in == NULL)
        return NULL;
    in->queue = dv_fair_new(SIZE_MAX);
    if (in->queue == NULL) {
        dv_free(in);
        return NULL;
    }
    in->f = f;
    in->m = m;
    in->profile = profile;
    snprintf(in->profile_name, sizeof in->profile_name, "%s", f->conf->profiles[profile].name);
    TAILQ_INIT(&in->jobs);
    TAILQ_INIT(&in->looks);
    TAILQ_INIT(&in->held);
    in->child.pidfd = in->child.out = -1;
    m->n_instances++;
    TAILQ_INSERT_TAIL(&f->instances, in, link);
    return in;
}

dv__instance *dv__instance_find(const dv_fleet *f, const dv__model *m, int profile)
{
    dv__instance *in;
    profile = profile < 0 ? dv__registry_own_profile(f, m) : profile;
    TAILQ_FOREACH (in, &f->instances, link)
        if (in->m == m && in->profile == profile)
            return in;
    return NULL;
}

dv__instance *dv__instance_get(dv_fleet *f, dv__model *m, int profile)
{
    if (profile < 0 || (size_t)profile >= f->conf->n_profiles)
        profile = dv__registry_own_profile(f, m);
    dv__instance *in = dv__instance_find(f, m, profile);
    return in != NULL ? in : new_instance(f, m, profile);
}

void dv__instance_free(dv__instance *in)
{
    dv__health_end(in);
    dv__child_fini(&in->child);
    if (in->socket[0] != 0)
        unlink(in->socket);
    dv__instance_forget_target(in);
    TAILQ_REMOVE(&in->f->instances, in, link);
    in->m->n_instances--;
    dv_fair_free(in->queue);
    dv_free(in);
}

bool dv__instance_pinned(const dv__instance *in) { return in->pinned || (in->m->cm != NULL && in->m->cm->pin); }

bool dv__instance_loaded(const dv__instance *in)
{
    return in->state == DV_INSTANCE_STARTING || in->state == DV_INSTANCE_READY || in->state == DV_INSTANCE_DRAINING;
}

bool dv__instance_wanted(const dv__instance *in)
{
    bool may = in->state == DV_INSTANCE_STOPPED || in->state == DV_INSTANCE_WAITING;
    return may && !in->f->draining && (in->n_waiting > 0 || in->restart);
}

/* ---- failing ---- */

static unsigned recent_crashes(const dv__instance *in, uint64_t now)
{
    uint64_t window = (uint64_t)in->f->conf->supervision.crash_window_ms * DV__MS;
    unsigned n = 0;
    for (uint64_t i = 0; i < DV_MIN(in->crashes, (uint64_t)DV__CRASHES_MAX); i++)
        n += now - in->crash_ns[(in->crashes - 1 - i) % DV__CRASHES_MAX] <= window;
    return n;
}

/* None after the first failure of something that ran; then it doubles, and a part of it is left to chance, so that several do not come back together. */
static uint64_t pause_ns(dv__instance *in, unsigned recent, bool ran)
{
    const dv_conf *c = in->f->conf;
    uint64_t min = (uint64_t)c->supervision.backoff_min_ms, max = (uint64_t)c->supervision.backoff_max_ms;
    if (ran && recent <= 1)
        return 0;
    uint64_t ms = recent < 32 ? min << (recent - 1) : max;
    ms = DV_MIN(ms, DV_MAX(max, min));
    return (ms - ms / 4 + dv_rng_below(&in->f->rng, ms / 4 + 1)) * DV__MS;
}

static void forget_process(dv__instance *in)
{
    dv__health_end(in);
    dv__use_lost(in);
    if (in->socket[0] != 0)
        unlink(in->socket);
    in->suspect = in->term_sent = false;
    in->why_killed[0] = 0;
}

static void break_off(dv__instance *in, unsigned recent, uint64_t now)
{
    const dv_conf *c = in->f->conf;
    dv_err err = {0};
    in->state = DV_INSTANCE_BROKEN;
    in->restart = false;
    in->deadline_ns = now + (uint64_t)c->supervision.cooldown_ms * DV__MS;
    dv_fail(&err, DV_EBUSY, "%s failed %u times in a row and is left alone for %lld s: %s", in->m->name, recent,
            (long long)(c->supervision.cooldown_ms + 999) / 1000, in->last_error.msg);
    in->last_error = err;
    dv__fleet_log(in->f, DV_HTTP_LOG_ERROR, "%s", err.msg);
    dv__use_fail_waiting(in, DV_EBUSY, &err, 0);
}

void dv__instance_failed(dv__instance *in, const char *why, uint64_t now)
{
    bool ran = in->state == DV_INSTANCE_READY;
    uint64_t keep = (uint64_t)in->run.keep_alive_ms;
    bool used = ran && (keep == (uint64_t)DV_CONF_FOREVER || now - in->used_ns < keep * DV__MS);
    in->last_error = (dv_err){0};
    dv_fail(&in->last_error, DV_EIO, "%s", why);
    in->crash_ns[in->crashes++ % DV__CRASHES_MAX] = now;
    unsigned recent = recent_crashes(in, now);
    forget_process(in);
    in->restart = (in->restart || used) && (ran || dv__instance_pinned(in));
    dv__fleet_log(in->f, DV_HTTP_LOG_ERROR, "%s: %s", in->m->name, in->last_error.msg);
    dv__fleet_event(in->f, "model.crash", in->m->name, DV_EIO, in->last_error.msg);
    if (recent >= (unsigned)DV_MIN(in->f->conf->supervision.crash_limit, DV__CRASHES_MAX)) {
        break_off(in, recent, now);
        return;
    }
    in->state = DV_INSTANCE_WAITING;
    in->deadline_ns = now + pause_ns(in, recent, ran);
    if (!ran) { /* whoever has seen two tries fail need not see the third */
        dv_err err = {0};
        dv_fail(&err, DV_EIO, "%s does not start: %s", in->m->name, in->last_error.msg);
        dv__use_fail_waiting(in, DV_EIO, &err, 2);
    }
}

/* ---- ending ---- */

static void stopped(dv__instance *in)
{
    forget_process(in);
    in->state = DV_INSTANCE_STOPPED;
    in->force = in->outdated = false;
    in->restart = false;
    dv__instance_forget_target(in);
    dv__fleet_log(in->f, DV_HTTP_LOG_INFO, "%s: unloaded", in->m->name);
    dv__fleet_event(in->f, "model.unload", in->m->name, 0, "");
}

void dv__instance_ended(void *arg, int status)
{
    dv__instance *in = arg;
    char how[96], why[DV__TEXT];
    uint64_t now = dv_clock_ns();
    dv__fleet_kick(in->f);
    if (in->state == DV_INSTANCE_DRAINING) {
        stopped(in);
        return;
    }
    if (in->why_killed[0] != 0)
        snprintf(why, sizeof why, "%s", in->why_killed);
    else if (in->last_line[0] != 0)
        snprintf(why, sizeof why, "it %s: %s", dv__child_status(status, how, sizeof how), in->last_line);
    else
        snprintf(why, sizeof why, "it %s", dv__child_status(status, how, sizeof how));
    dv__instance_failed(in, why, now);
}

void dv__instance_leave(dv__instance *in, const char *why)
{
    in->restart = false;
    if (in->state == DV_INSTANCE_WAITING || in->state == DV_INSTANCE_BROKEN)
        in->state = DV_INSTANCE_STOPPED;
    if (in->state != DV_INSTANCE_READY && in->state != DV_INSTANCE_STARTING)
        return;
    dv__fleet_log(in->f, DV_HTTP_LOG_DEBUG, "%s: leaves: %s", in->m->name, why);
    in->state = DV_INSTANCE_DRAINING;
    in->term_sent = false;
    dv__fleet_kick(in->f);
}

static void step_draining(dv__instance *in, uint64_t now, uint64_t *next)
{
    if (in->given > 0 && !in->force && !in->f->draining)
        return;
    if (in->child.pid == 0) { /* a remote */
        stopped(in);
        return;
    }
    if (!in->term_sent) {
        in->term_sent = true;
        in->deadline_ns = now + (uint64_t)in->f->conf->supervision.stop_ms * DV__MS;
        dv__child_signal(&in->child, SIGTERM);
        if (in->force)
            dv__child_signal(&in->child, SIGINT); /* a second one: at once */
        dv__child_signal(&in->child, SIGCONT);
    }
    if (now >= in->deadline_ns) {
        dv__child_signal(&in->child, SIGKILL);
        in->deadline_ns = DV__NEVER;
    }
    dv__until(next, in->deadline_ns);
}

/* ---- step ---- */

static void step_starting(dv__instance *in, uint64_t now, uint64_t *next)
{
    dv__health_step(in, now, next);
    if (in->state != DV_INSTANCE_STARTING)
        return;
    if (now < in->deadline_ns) {
        dv__until(next, in->deadline_ns);
        return;
    }
    snprintf(in->why_killed, sizeof in->why_killed, "it was not ready after %lld s",
             (long long)in->f->conf->supervision.start_ms / 1000);
    in->deadline_ns = DV__NEVER;
    if (in->child.pid == 0)
        dv__instance_failed(in, in->why_killed, now);
    else
        dv__child_signal(&in->child, SIGKILL);
}

static void step_ready(dv__instance *in, uint64_t now, uint64_t *next)
{
    dv__health_step(in, now, next);
    if (in->state != DV_INSTANCE_READY || in->given > 0 || in->n_waiting > 0)
        return;
    if (in->outdated || in->m->gone) {
        dv__instance_leave(in, "it would be started otherwise now");
        in->restart = in->pinned && !in->m->gone;
        return;
    }
    if (dv__instance_pinned(in) || in->run.keep_alive_ms == DV_CONF_FOREVER)
        return;
    uint64_t until = in->used_ns + (uint64_t)in->run.keep_alive_ms * DV__MS;
    if (now >= until)
        dv__instance_leave(in, "it was idle");
    else
        dv__until(next, until);
}

/* Whoever waits for something that cannot be run is told why. */
static void refuse(dv__instance *in, int code, const char *why)
{
    dv_err err = {0};
    dv_fail(&err, code, "%s: %s", in->m->name, why);
    in->restart = false;
    dv__use_fail_waiting(in, code, &err, 0);
}

static void step_stopped(dv__instance *in)
{
    const char *why;
    if (!dv__instance_wanted(in))
        return;
    if (in->m->gone) {
        refuse(in, DV_ENOENT, "it is not there any more");
        return;
    }
    int backend = dv__registry_backend(in->f, in->m, &why);
    if (why != NULL)
        refuse(in, DV_EIO, why);
    else
        in->backend = backend;
}

void dv__instance_step(dv__instance *in, uint64_t now, uint64_t *next)
{
    switch (in->state) {
    case DV_INSTANCE_STARTING: step_starting(in, now, next); break;
    case DV_INSTANCE_READY: step_ready(in, now, next); break;
    case DV_INSTANCE_DRAINING: step_draining(in, now, next); break;
    case DV_INSTANCE_WAITING:
    case DV_INSTANCE_BROKEN:
        if (now < in->deadline_ns) {
            if (in->state == DV_INSTANCE_BROKEN)
                dv__use_fail_waiting(in, DV_EBUSY, &in->last_error, 0);
            break;
        }
        in->state = DV_INSTANCE_STOPPED;
        step_stopped(in);
        break;
    default: step_stopped(in); break;
    }
    if (in->state == DV_INSTANCE_WAITING || in->state == DV_INSTANCE_BROKEN) /* maybe only just */
        dv__until(next, in->deadline_ns);
    dv__use_step(in, now, next);
}
