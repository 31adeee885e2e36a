/* SPDX-License-Identifier: MIT */
/* Is it there, and does it answer? A child is asked for /health on its socket, a remote for its list of models. */
#include "base/clock.h"
#include "base/err.h"
#include "fleet/impl.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_MS = 5, PAUSE_MAX_MS = 250, TRIES = 3, REMOTE_MIN_MS = 30 * 1000 };

static bool is_remote(const dv__instance *in) { return in->backend == DV_CONF_BACKEND_REMOTE; }

static uint64_t interval_ns(const dv__instance *in)
{
    uint64_t ms = (uint64_t)in->f->conf->supervision.health_interval_ms;
    return (is_remote(in) ? DV_MAX(ms, (uint64_t)REMOTE_MIN_MS) : ms) * DV__MS;
}

/* ---- one check ---- */

static size_t on_data(void *arg, dv_fetch *fetch, const char *p, size_t n) { return n; }

static void on_head(void *arg, dv_fetch *fetch) { ((dv__instance *)arg)->probe_status = dv_fetch_status(fetch); }

static void on_end(void *arg, dv_fetch *fetch, dv_fetch_end end, const char *why)
{
    dv__instance *in = arg;
    int status = in->probe_status;
    in->probe = NULL;
    in->health_us = (dv_clock_ns() - in->probe_begun_ns) / 1000;
    bool answers = end == DV_FETCH_OK && status != 0;
    /* While it starts, a child says 503 until the model is loaded. A remote that refuses the question is there. */
    bool ok = answers &&
              (in->state == DV_INSTANCE_STARTING && !is_remote(in) ? status == 200 : status < 500 || !is_remote(in));
    in->probe_result = ok ? DV__PROBE_OK : DV__PROBE_NO;
    if (!ok && is_remote(in)) {
        in->last_error = (dv_err){0};
        if (answers)
            dv_fail(&in->last_error, DV_EIO, "it answers with status %d", status);
        else
            dv_fail(&in->last_error, DV_EIO, "%s", why);
    }
    dv__fleet_kick(in->f);
}

static void ask(dv__instance *in, uint64_t now)
{
    const dv_conf *c = in->f->conf;
    /* Several tries fit into the time that it may be silent; a child that starts, or a remote, may take longer. */
    uint64_t ms =
        (uint64_t)(is_remote(in) ? c->remote.connect_ms : c->supervision.health_ms) / (is_remote(in) ? 1 : TRIES);
    const dv_fetch_request rq = {
        .verb = DV_HTTP_GET,
        .path = is_remote(in) ? "/models" : "/health",
        .connect_ms = (unsigned)DV_MAX(ms, 10),
        .head_ms = (unsigned)DV_MAX(ms, 10),
        .silence_ms = (unsigned)DV_MAX(ms, 10),
        .arg = in,
        .on_head = on_head,
        .on_data = on_data,
        .on_end = on_end,
    };
    dv_err err = {0};
    in->probe_status = 0;
    in->probe_begun_ns = now;
    in->probe_result = DV__PROBE_NONE;
    if (dv_fetch_start(in->f->o.client, &in->target, &rq, &in->probe, &err) == 0)
        return;
    in->probe = NULL;
    in->probe_result = DV__PROBE_NO;
    in->last_error = err;
    dv__fleet_kick(in->f);
}

void dv__health_begin(dv__instance *in, uint64_t now)
{
    in->probe_next_ns = now;
    in->probe_pause_ns = FIRST_MS * DV__MS;
    in->probe_result = DV__PROBE_NONE;
    in->probe_failures = 0;
    in->silent_since_ns = 0;
}

void dv__health_doubt(dv__instance *in)
{
    if (in->state != DV_INSTANCE_READY)
        return;
    if (!in->suspect && in->probe != NULL)
        dv_fetch_cancel(&in->probe); /* it was asked before there was a doubt */
    if (!in->suspect)
        in->probe_next_ns = 0;
    in->suspect = true;
    dv__fleet_kick(in->f);
}

void dv__health_end(dv__instance *in)
{
    if (in->probe != NULL)
        dv_fetch_cancel(&in->probe);
    in->probe = NULL;
    in->probe_result = DV__PROBE_NONE;
}

/* ---- what came of it ---- */

static void became_ready(dv__instance *in, uint64_t now)
{
    in->state = DV_INSTANCE_READY;
    in->ready_ns = in->used_ns = now;
    in->load_ns = now - in->started_ns;
    in->loaded_wall_ms = in->used_wall_ms = dv_clock_wall_ms();
    in->restart = false;
    in->last_error = (dv_err){0};
    dv__fleet_log(in->f, DV_HTTP_LOG_INFO, "%s: ready after %llu ms (%s)", in->m->name,
                  (unsigned long long)(in->load_ns / DV__MS), in->profile_name);
    dv__fleet_event(in->f, "model.load", in->m->name, 0, in->profile_name);
}

static void answered(dv__instance *in, uint64_t now)
{
    in->suspect = false;
    in->probe_failures = 0;
    in->silent_since_ns = 0;
    in->probe_pause_ns = FIRST_MS * DV__MS;
    in->probe_next_ns = now + interval_ns(in);
    if (in->state == DV_INSTANCE_STARTING)
        became_ready(in, now);
}

/* It hangs: it goes, and whoever waits gets another one. */
static void give_up(dv__instance *in, uint64_t now)
{
    snprintf(in->why_killed, sizeof in->why_killed, "it did not answer for %llu ms",
             (unsigned long long)((now - in->silent_since_ns) / DV__MS));
    in->probe_next_ns = DV__NEVER;
    if (in->child.pid != 0) {
        in->suspect = true;
        dv__child_signal(&in->child, SIGKILL);
    } else {
        char why[DV__TEXT];
        snprintf(why, sizeof why, "%s", in->last_error.msg[0] != 0 ? in->last_error.msg : in->why_killed);
        dv__instance_failed(in, why, now);
    }
}

static void not_answered(dv__instance *in, uint64_t now)
{
    uint64_t bound = (uint64_t)in->f->conf->supervision.health_ms * DV__MS;
    if (in->probe_failures++ == 0)
        in->silent_since_ns = in->probe_begun_ns;
    in->suspect = in->state == DV_INSTANCE_READY;
    if (in->state == DV_INSTANCE_READY && in->probe_failures >= TRIES && now - in->silent_since_ns >= bound) {
        give_up(in, now);
        return;
    }
    if (in->state == DV_INSTANCE_STARTING && is_remote(in) && in->probe_failures >= TRIES) {
        give_up(in, now);
        return;
    }
    in->probe_next_ns = now + in->probe_pause_ns;
    in->probe_pause_ns = DV_MIN(2 * in->probe_pause_ns, PAUSE_MAX_MS * DV__MS);
}

void dv__health_step(dv__instance *in, uint64_t now, uint64_t *next)
{
    dv__probe_result r = in->probe_result;
    in->probe_result = DV__PROBE_NONE;
    if (r == DV__PROBE_OK)
        answered(in, now);
    else if (r == DV__PROBE_NO)
        not_answered(in, now);
    if (in->state != DV_INSTANCE_STARTING && in->state != DV_INSTANCE_READY)
        return;
    if (in->probe == NULL && in->probe_result == DV__PROBE_NONE && now >= in->probe_next_ns)
        ask(in, now);
    else if (in->probe == NULL)
        dv__until(next, in->probe_next_ns);
}
