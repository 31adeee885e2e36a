/* SPDX-License-Identifier: MIT */
/* How an instance is started, and what it says while it runs. */
#include "base/clock.h"
#include "base/err.h"
#include "fleet/impl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_PER_SECOND = 50, KEY_BYTES = 24 };

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

/* ---- beginning ---- */

void dv__instance_forget_target(dv__instance *in)
{
    explicit_bzero(in->bearer, sizeof in->bearer);
    in->target = (dv_fetch_target){0};
}

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
    in->target = (dv_fetch_target){.base = in->base,
                                   .bearer = in->bearer[0] != 0 ? in->bearer : NULL,
                                   .public_only = in->f->o.conf->remote.public_only};
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
    in->child.on_exit = dv__instance_ended;
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
    in->measured_ns = 0;
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
