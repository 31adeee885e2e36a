/* SPDX-License-Identifier: MIT */
/* The state machine. Nothing here is called from outside but through dv__fleet_step. */
#include "fleet/impl.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_PER_SECOND = 50, KEY_BYTES = 24 };

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

static void forget_secrets(dv__instance *in)
{
    explicit_bzero(in->bearer, sizeof in->bearer);
    in->target = (dv_fetch_target){0};
}

void dv__instance_free(dv__instance *in)
{
    dv__health_end(in);
    dv__child_fini(&in->child);
    if (in->socket[0] != 0)
        unlink(in->socket);
    forget_secrets(in);
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

/* ---- what it says ---- */

/* Lines of the native engine begin with a time and a level: "2026-01-01T00:00:00.000Z warn text". */
static int level_of(const char **line)
{
    static const char *const names[] = {"error ", "warn ", "info ", "debug "};
    const char *s = strchr(*line, ' ');
    if (s == NULL || s - *line != 24 || (*line)[23] != 'Z')
        return -1;
    for (int i = 0; i < 4; i++)
        if (strncmp(s + 1, names[i], strlen(names[i])) == 0) {
            *line = s + 1 + strlen(names[i]);
            return i;
        }
    return -1;
}

/* Whether one more line may be logged in this second; what was left out is told first. */
static bool may_log(dv__instance *in, uint64_t now)
{
    if (now - in->lines_window_ns >= 1000 * DV__MS) {
        if (in->lines_dropped > 0)
            dv__fleet_log(in->f, DV_HTTP_LOG_WARN, "%s: %u lines of its output were left out", in->m->name,
                          in->lines_dropped);
        in->lines_window_ns = now;
        in->lines = in->lines_dropped = 0;
    }
    if (in->lines < LINES_PER_SECOND)
        return ++in->lines;
    in->lines_dropped++;
    return false;
}

static void on_line(void *arg, const char *line, size_t n)
{
    dv__instance *in = arg;
    int level = level_of(&line);
    snprintf(in->last_line, sizeof in->last_line, "%s", line);
    if (may_log(in, dv_clock_ns()))
        dv__fleet_log(in->f, level >= 0 ? level : DV_HTTP_LOG_DEBUG, "%s: %s", in->m->name, line);
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
    dv_fail(&err, DV_EIO, "%s failed %u times in a row and is left alone for %lld s: %s", in->m->name, recent,
            (long long)(c->supervision.cooldown_ms + 999) / 1000, in->last_error.msg);
    in->last_error = err;
    dv__fleet_log(in->f, DV_HTTP_LOG_ERROR, "%s", err.msg);
    dv__use_fail_waiting(in, DV_EIO, &err, 0);
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
    forget_secrets(in);
    dv__fleet_log(in->f, DV_HTTP_LOG_INFO, "%s: unloaded", in->m->name);
    dv__fleet_event(in->f, "model.unload", in->m->name, 0, "");
}

static void on_ended(void *arg, int status)
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

/* ---- beginning ---- */

static void new_key(dv__instance *in)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char raw[KEY_BYTES];
    if (getentropy(raw, sizeof raw) != 0)
        abort(); /* there is no system without it */
    for (size_t i = 0; i < sizeof raw; i++) {
        in->bearer[2 * i] = hex[raw[i] >> 4];
        in->bearer[2 * i + 1] = hex[raw[i] & 15];
    }
    in->bearer[2 * sizeof raw] = 0;
    explicit_bzero(raw, sizeof raw);
}

static int prepare_remote(dv__instance *in, dv_err *err)
{
    const dv_conf_model *cm = in->m->cm;
    if (cm == NULL || cm->url == NULL)
        return dv_fail(err, DV_ENOENT, "it is not configured any more");
    int rc = dv_conf_read_key(cm, NULL, in->bearer, sizeof in->bearer, err);
    if (rc != 0)
        return rc;
    if ((size_t)snprintf(in->base, sizeof in->base, "%s", cm->url) >= sizeof in->base)
        return dv_fail(err, DV_ELIMIT, "its url is too long");
    in->target = (dv_fetch_target){.base = in->base, .bearer = in->bearer[0] != 0 ? in->bearer : NULL};
    in->places = (unsigned)DV_MAX(in->run.parallel, 1);
    return 0;
}

static int start_child(dv__instance *in, dv_err *err)
{
    dv_fleet *f = in->f;
    bool native = in->backend == DV_CONF_BACKEND_NATIVE;
    dv__argv a;
    if ((size_t)snprintf(in->socket, sizeof in->socket, "%s/e%llu.sock", f->o.run_dir,
                         (unsigned long long)++f->serial) >= sizeof in->socket)
        return dv_fail(err, DV_ELIMIT, "the path of the run folder is too long");
    unlink(in->socket);
    if (!native)
        new_key(in);
    snprintf(in->base, sizeof in->base, "http://localhost");
    in->target = (dv_fetch_target){.base = in->base, .socket = in->socket, .bearer = native ? NULL : in->bearer};
    in->places = (unsigned)in->run.parallel + 1; /* so that it has the next one at hand */
    in->child.base = f->base;
    in->child.arg = in;
    in->child.on_line = on_line;
    in->child.on_exit = on_ended;
    int rc = native ? dv__argv_native(&a, in, err) : dv__argv_upstream(&a, in, err);
    if (rc == 0)
        rc = dv__child_start(&in->child, &a.cmd, err);
    in->command_hash = a.hash;
    dv__argv_fini(&a);
    return rc;
}

void dv__instance_start(dv__instance *in, uint64_t now)
{
    dv_err err = {0};
    in->state = DV_INSTANCE_STARTING;
    in->started_ns = now;
    in->starts++;
    in->deadline_ns = now + (uint64_t)in->f->conf->supervision.start_ms * DV__MS;
    in->last_line[0] = in->why_killed[0] = 0;
    in->outdated = false;
    int rc = in->backend == DV_CONF_BACKEND_REMOTE ? prepare_remote(in, &err) : start_child(in, &err);
    if (rc != 0) {
        dv__instance_failed(in, err.msg, now);
        return;
    }
    dv__fleet_log(in->f, DV_HTTP_LOG_DEBUG, "%s: starting (%s, pid %d)", in->m->name, in->profile_name,
                  (int)in->child.pid);
    dv__health_begin(in, now);
}

void dv__instance_compare(dv__instance *in)
{
    dv__argv a;
    dv_err err = {0};
    if (!dv__instance_loaded(in))
        return;
    if (in->m->gone || (in->backend != DV_CONF_BACKEND_REMOTE && !in->m->has_file)) {
        in->outdated = true;
        return;
    }
    dv_conf_run run = in->run, now;
    dv__registry_run(in->f, in->m, in->profile, &now);
    in->run = now; /* how long it stays takes effect at once; what it was started with is in the hash */
    if (in->backend == DV_CONF_BACKEND_REMOTE) {
        in->outdated = in->m->cm == NULL || in->m->cm->url == NULL || strcmp(in->m->cm->url, in->base) != 0;
        return;
    }
    int rc = in->backend == DV_CONF_BACKEND_NATIVE ? dv__argv_native(&a, in, &err) : dv__argv_upstream(&a, in, &err);
    in->outdated = rc == 0 ? a.hash != in->command_hash : in->outdated;
    dv__argv_fini(&a);
    if (in->outdated)
        in->run.parallel = run.parallel;
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
            dv__until(next, in->deadline_ns);
            if (in->state == DV_INSTANCE_BROKEN)
                dv__use_fail_waiting(in, DV_EIO, &in->last_error, 0);
            break;
        }
        in->state = DV_INSTANCE_STOPPED;
        step_stopped(in);
        break;
    default: step_stopped(in); break;
    }
    dv__use_step(in, now, next);
}
