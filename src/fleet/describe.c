/* SPDX-License-Identifier: MIT */
/* One file at a time is looked at, by a child that has given up its rights before it reads the first byte. Whatever the child says may be said by
 * the file: it is text of a limited length, numbers of a limited size, and nothing more. */
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { TIME_MS = 20 * 1000, JSON_BYTES = 1 << 20 };

#define BYTES_MAX (UINT64_C(1) << 50)

/* ---- what the child says ---- */

static void take_text(char *out, size_t cap, const json_t *v)
{
    dv_err safe = {0}; /* dv_fail escapes what could steer a terminal */
    dv_fail(&safe, DV_EINVAL, "%s", json_is_string(v) ? json_string_value(v) : "");
    snprintf(out, cap, "%.*s", (int)cap - 1, safe.msg);
}

static uint64_t take_number(const json_t *v)
{
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : 0;
    return n > 0 ? DV_MIN((uint64_t)n, BYTES_MAX) : 0;
}

static void take_answer(dv__desc *d, const json_t *j)
{
    const json_t *plans = json_object_get(j, "plans");
    d->usable = json_is_true(json_object_get(j, "usable"));
    d->native = d->usable && json_is_true(json_object_get(j, "native"));
    take_text(d->architecture, sizeof d->architecture, json_object_get(j, "architecture"));
    take_text(d->quantization, sizeof d->quantization, json_object_get(j, "quantization"));
    take_text(d->problem, sizeof d->problem, json_object_get(j, "problem"));
    if (!d->native && d->problem[0] == 0)
        snprintf(d->problem, sizeof d->problem, "it cannot be used");
    d->parameters = take_number(json_object_get(j, "parameters"));
    d->context_train = take_number(json_object_get(j, "context_length"));
    d->embedding = take_number(json_object_get(j, "embedding_length"));
    for (size_t i = 0; i < json_array_size(plans) && i < DV__PROFILES_MAX; i++)
        d->anonymous[i] = take_number(json_object_get(json_array_get(plans, i), "anonymous_bytes"));
}

static void on_line(void *arg, const char *line, size_t n)
{
    dv_fleet *f = arg;
    dv__describer *d = &f->describer;
    json_error_t e;
    bool no_memory;
    if (line[0] != '{' || d->answered) {
        dv_err safe = {0};
        dv_fail(&safe, DV_EINVAL, "%s", line);
        dv__fleet_log(f, DV_HTTP_LOG_DEBUG, "%s: %s", d->m != NULL ? d->m->name : "?", safe.msg);
        return;
    }
    dv_json_bound_begin(JSON_BYTES);
    json_t *j = dv_json_load(line, n, JSON_REJECT_DUPLICATES, &e, &no_memory);
    dv_json_bound_end();
    if (json_is_object(j)) {
        take_answer(&d->desc, j);
        d->answered = true;
    }
    json_decref(j);
}

/* ---- the child ---- */

static void finish(dv_fleet *f, const char *problem)
{
    dv__describer *d = &f->describer;
    dv__model *m = d->m;
    d->m = NULL;
    if (m == NULL) /* the file is another one by now */
        return;
    if (!d->answered) {
        d->desc = (dv__desc){0};
        snprintf(d->desc.problem, sizeof d->desc.problem, "%.*s", (int)sizeof d->desc.problem - 1, problem);
    }
    uint64_t begun_ns = m->desc.begun_ns;
    m->desc = d->desc;
    m->desc.begun_ns = begun_ns;
    m->desc.state = DV__DESC_DONE;
    if (!m->desc.usable && dv_clock_ns() >= m->settled_ns)
        dv__fleet_log(f, DV_HTTP_LOG_WARN, "%s: %s", m->name, m->desc.problem);
    dv__fleet_kick(f);
}

static void on_ended(void *arg, int status)
{
    dv_fleet *f = arg;
    char how[96], problem[DV__TEXT];
    if (f->describer.late)
        snprintf(problem, sizeof problem, "looking at the file took too long");
    else
        snprintf(problem, sizeof problem, "the file is damaged or hostile: the process that looked at it %s",
                 dv__child_status(status, how, sizeof how));
    finish(f, problem);
    dv__fleet_kick(f);
}

static void begin(dv_fleet *f, dv__model *m, uint64_t now)
{
    dv__describer *d = &f->describer;
    dv__argv a;
    dv_err err = {0};
    d->child.base = f->base;
    d->child.arg = f;
    d->child.on_line = on_line;
    d->child.on_exit = on_ended;
    d->m = m;
    d->late = d->answered = false;
    d->desc = (dv__desc){0};
    d->deadline_ns = now + DV_MIN((uint64_t)f->conf->supervision.start_ms, (uint64_t)TIME_MS) * DV__MS;
    m->desc.state = DV__DESC_RUNNING;
    m->desc.begun_ns = now;
    int rc = dv__argv_describe(&a, m, &err);
    if (rc == 0)
        rc = dv__child_start(&d->child, &a.cmd, &err);
    dv__argv_fini(&a);
    if (rc == 0)
        return;
    char problem[sizeof err.msg + 64];
    snprintf(problem, sizeof problem, "the file cannot be looked at: %s", err.msg);
    finish(f, problem);
}

/* ---- which one ---- */

/* A file that could not be read while it was new is looked at again once it has not changed for a while. */
static bool is_due(dv__model *m, uint64_t now, uint64_t *next)
{
    if (m->gone || !m->has_file || m->desc.state == DV__DESC_RUNNING)
        return false;
    if (m->desc.state == DV__DESC_WANTED)
        return true;
    if (m->desc.usable || m->desc.begun_ns >= m->settled_ns)
        return false;
    dv__until(next, m->settled_ns);
    return now >= m->settled_ns;
}

/* What came a moment ago and cannot be read may be half a file. */
static void hide(dv__model *m)
{
    bool done = m->desc.state == DV__DESC_DONE && (m->desc.usable || m->desc.begun_ns >= m->settled_ns);
    m->hidden = m->cm == NULL && m->young && !done;
}

/* First those that somebody waits for. */
static dv__model *choose(dv_fleet *f, uint64_t now, uint64_t *next)
{
    dv__model *first = NULL;
    dv__instance *in;
    for (size_t i = 0; i < f->n_models; i++)
        if (is_due(f->models[i], now, next) && first == NULL)
            first = f->models[i];
    TAILQ_FOREACH (in, &f->instances, link)
        if (dv__instance_wanted(in) && is_due(in->m, now, next))
            return in->m;
    return first;
}

void dv__describe_step(dv_fleet *f, uint64_t now, uint64_t *next)
{
    dv__describer *d = &f->describer;
    if (d->child.pid != 0) {
        if (now >= d->deadline_ns && !d->late) {
            d->late = true;
            dv__child_signal(&d->child, SIGKILL);
        }
        if (!d->late)
            dv__until(next, d->deadline_ns);
    }
    dv__model *m = f->draining ? NULL : choose(f, now, next);
    if (m != NULL && d->child.pid == 0)
        begin(f, m, now);
    for (size_t i = 0; i < f->n_models; i++)
        hide(f->models[i]);
}

void dv__describe_forget(dv_fleet *f, dv__model *m)
{
    if (f->describer.m == m)
        f->describer.m = NULL; /* what the child says is nobody's any more */
}

void dv__describe_fini(dv_fleet *f)
{
    dv__child_fini(&f->describer.child);
    f->describer.m = NULL;
}
