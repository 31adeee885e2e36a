/* SPDX-License-Identifier: MIT */
/* Requests that have an instance or wait for one. Jobs wait in a fair queue for one of its places; what only asks it something needs it ready. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <string.h>

/* ---- waiting ---- */

static void leave_queue(dv_use *u)
{
    dv__instance *in = u->in;
    if (u->job) {
        dv_fair_remove(in->queue, &u->fair);
        TAILQ_REMOVE(&in->jobs, u, link);
    } else {
        TAILQ_REMOVE(&in->looks, u, link);
    }
    in->n_waiting--;
    u->f->n_waiting--;
}

static int join_queue(dv_use *u, uint64_t identity, uint64_t cost)
{
    dv__instance *in = u->in;
    if (u->job) {
        int rc = dv_fair_put(in->queue, &u->fair, identity, cost);
        if (rc != 0)
            return rc;
        TAILQ_INSERT_TAIL(&in->jobs, u, link);
    } else {
        TAILQ_INSERT_TAIL(&in->looks, u, link);
    }
    in->n_waiting++;
    u->f->n_waiting++;
    return 0;
}

/* It has been decided: the callback comes when it is its turn. It waits no more. */
static void conclude(dv_use *u, int code, const dv_err *err)
{
    u->code = code;
    u->state = DV__USE_DUE;
    if (err != NULL)
        u->err = *err;
    if (code != 0 && u->err.code == 0)
        dv_fail(&u->err, code, "%s", dv_error_text(code));
    TAILQ_INSERT_TAIL(&u->f->due, u, link);
}

static void fail(dv_use *u, int code, const dv_err *err)
{
    leave_queue(u);
    conclude(u, code, err);
    dv__fleet_kick(u->f);
}

static void give(dv_use *u, uint64_t now)
{
    dv__instance *in = u->in;
    u->ready_ns = now;
    u->load_ns = in->ready_ns > u->begun_ns ? in->ready_ns - u->begun_ns : 0;
    u->place = u->job;
    u->epoch = in->epoch;
    in->busy += u->job;
    in->given++;
    in->used_ns = now;
    in->used_wall_ms = dv_clock_wall_ms();
    conclude(u, 0, NULL);
}

static bool serves(const dv__instance *in) { return in->state == DV_INSTANCE_READY && !in->suspect; }

static void give_places(dv__instance *in, uint64_t now)
{
    dv_use *u;
    while ((u = TAILQ_FIRST(&in->looks)) != NULL) {
        leave_queue(u);
        give(u, now);
    }
    while (in->busy < in->places && (u = (dv_use *)dv_fair_peek(in->queue)) != NULL) {
        (void)dv_fair_take(in->queue);
        leave_queue(u);
        give(u, now);
    }
}

/* Until when the first of a list may wait. Time that an instance needs to load does not count, but for a bound of its own. */
static uint64_t patience(const dv__instance *in, const dv_use *u)
{
    const dv_conf *c = in->f->conf;
    uint64_t queue = (uint64_t)c->limits.queue_ms * DV__MS, start = (uint64_t)c->supervision.start_ms * DV__MS;
    if (in->state == DV_INSTANCE_READY)
        return DV_MAX(u->begun_ns, in->ready_ns) + queue;
    return u->begun_ns + queue + (in->no_room ? 0 : start);
}

static void time_out(dv__instance *in, dv__uses *list, uint64_t now, uint64_t *next)
{
    dv_use *u;
    while ((u = TAILQ_FIRST(list)) != NULL) {
        uint64_t until = patience(in, u);
        if (now < until) {
            dv__until(next, until);
            return;
        }
        dv_err err = {0};
        dv_fail(&err, DV_EBUSY, in->no_room ? "%s: no memory became free for it" : "%s: no place became free in time",
                in->m->name);
        fail(u, DV_EBUSY, &err);
    }
}

void dv__use_step(dv__instance *in, uint64_t now, uint64_t *next)
{
    if (serves(in))
        give_places(in, now);
    time_out(in, &in->jobs, now, next);
    time_out(in, &in->looks, now, next);
}

static void fail_list(dv__uses *list, int code, const dv_err *err, unsigned starts)
{
    dv_use *u, *after;
    for (u = TAILQ_FIRST(list); u != NULL; u = after) {
        after = TAILQ_NEXT(u, link);
        if (starts == 0 || ++u->failed_starts >= starts)
            fail(u, code, err);
    }
}

void dv__use_fail_waiting(dv__instance *in, int code, const dv_err *err, unsigned starts)
{
    fail_list(&in->jobs, code, err, starts);
    fail_list(&in->looks, code, err, starts);
}

void dv__use_lost(dv__instance *in)
{
    in->busy = in->given = 0;
    in->epoch++;
}

void dv__use_deliver(dv_fleet *f)
{
    dv_use *u;
    while ((u = TAILQ_FIRST(&f->due)) != NULL) {
        TAILQ_REMOVE(&f->due, u, link);
        u->state = u->code == 0 ? DV__USE_HELD : DV__USE_FAILED;
        if (u->code == 0)
            TAILQ_INSERT_TAIL(&u->in->held, u, link);
        u->ready(u->arg, u->code, &u->err); /* u may be gone afterwards */
    }
}

/* ---- the interface ---- */

static int refuse_queue(dv_fleet *f, const dv__instance *in, dv_err *err)
{
    return dv_fail(err, DV_EBUSY, "%s: %u requests are waiting already", in->m->name, f->n_waiting);
}

/* Whoever gets a place as soon as the model is loaded waits for that and not in the queue. */
static bool will_have_place(const dv__instance *in)
{
    return in->state != DV_INSTANCE_READY && in->n_waiting < DV_MAX(in->places, 2);
}

int dv__use_begin_at(dv_fleet *f, dv__instance *in, const dv_use_ask *ask, dv_use **out, dv_err *err)
{
    bool now = serves(in) && (!ask->job || (in->busy < in->places && dv_fair_len(in->queue) == 0));
    if (!now && f->n_waiting >= (uint64_t)f->conf->limits.queue && !will_have_place(in))
        return refuse_queue(f, in, err);
    dv_use *u = dv_calloc(DV_MEM_FLEET, 1, sizeof *u);
    if (u == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    *u = (dv_use){.f = f, .in = in, .job = ask->job, .begun_ns = dv_clock_ns(), .arg = ask->arg, .ready = ask->ready};
    if (now) {
        give(u, u->begun_ns);
    } else if (join_queue(u, ask->identity, ask->cost != 0 ? ask->cost : 1) != 0) {
        dv_free(u);
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    in->n_uses++;
    *out = u;
    dv__fleet_kick(f);
    return 0;
}

int dv_use_begin(dv_fleet *f, const dv_use_ask *ask, dv_use **out, dv_err *err)
{
    *out = NULL;
    if (f->draining)
        return dv_fail(err, DV_ECANCELED, "the server is shutting down");
    dv__model *m = dv__registry_find(f, ask->model);
    if (m == NULL)
        return dv_fail(err, DV_ENOENT,
                       ask->model == NULL || ask->model[0] == 0 ? "there is no model" : "there is no such model");
    dv__instance *in = ask->no_load ? dv__instance_find(f, m, ask->profile) : dv__instance_get(f, m, ask->profile);
    if (ask->no_load && (in == NULL || in->state != DV_INSTANCE_READY))
        return dv_fail(err, DV_ENOENT, "%s is not loaded", m->name);
    if (in == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    return dv__use_begin_at(f, in, ask, out, err);
}

static bool is_ready(const dv_use *u) { return u->state == DV__USE_HELD; }

const dv_fetch_target *dv_use_target(const dv_use *u) { return &u->in->target; }
const char *dv_use_model(const dv_use *u) { return is_ready(u) ? u->in->m->name : NULL; }
int dv_use_backend(const dv_use *u) { return u->in->backend; }

const char *dv_use_remote_name(const dv_use *u)
{
    const dv__instance *in = u->in;
    if (in->backend != DV_CONF_BACKEND_REMOTE)
        return NULL;
    return in->m->cm != NULL && in->m->cm->remote_name != NULL ? in->m->cm->remote_name : in->m->name;
}

uint64_t dv_use_waited_ms(const dv_use *u, uint64_t *load_ms)
{
    if (load_ms != NULL)
        *load_ms = u->load_ns / DV__MS;
    return u->ready_ns > u->begun_ns ? (u->ready_ns - u->begun_ns) / DV__MS : 0;
}

static void give_back(dv_use *u)
{
    dv__instance *in = u->in;
    if (u->epoch == in->epoch) {
        in->busy -= u->place;
        in->given--;
    }
    in->used_ns = dv_clock_ns();
    in->used_wall_ms = dv_clock_wall_ms();
}

void dv_use_release(dv_use **out, dv_use_result result)
{
    dv_use *u = *out;
    if (u == NULL)
        return;
    *out = NULL;
    switch (u->state) {
    case DV__USE_WAITS: leave_queue(u); break;
    case DV__USE_DUE: TAILQ_REMOVE(&u->f->due, u, link); break;
    case DV__USE_HELD: TAILQ_REMOVE(&u->in->held, u, link); break;
    case DV__USE_FAILED: break;
    }
    if (u->ready_ns != 0)
        give_back(u);
    if (result != DV_USE_OK && u->ready_ns != 0 && u->epoch == u->in->epoch)
        dv__health_doubt(u->in);
    dv__fleet_kick(u->f);
    u->in->n_uses--;
    dv_free(u);
}
