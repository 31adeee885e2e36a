/* SPDX-License-Identifier: MIT */
/* Orders: load, unload, switch. Each is finished in a step, never before its call has returned. */
#include "base/err.h"
#include "base/mem.h"
#include "fleet/impl.h"

#include <string.h>

typedef enum order_what { ORDER_LOAD, ORDER_UNLOAD } order_what;

struct dv__order {
    TAILQ_ENTRY(dv__order) link;
    dv_fleet *f;
    order_what what;
    bool pin, choose;
    char *model;
    dv_use *use;
    bool finished;
    int code;
    dv_err err;
    void (*done)(void *arg, int code, const dv_err *err);
    void *arg;
};

static void free_order(dv__order *o)
{
    dv_use_release(&o->use, DV_USE_OK);
    dv_free(o->model);
    dv_free(o);
}

static dv__order *new_order(dv_fleet *f, const char *model, void (*done)(void *, int, const dv_err *), void *arg)
{
    dv__order *o = dv_calloc(DV_MEM_FLEET, 1, sizeof *o);
    if (o == NULL)
        return NULL;
    *o = (dv__order){.f = f, .done = done, .arg = arg, .model = dv_strndup(DV_MEM_FLEET, model, strlen(model))};
    if (o->model != NULL)
        return o;
    dv_free(o);
    return NULL;
}

static void finish(dv__order *o)
{
    TAILQ_REMOVE(&o->f->orders, o, link);
    if (o->done != NULL)
        o->done(o->arg, o->code, &o->err);
    free_order(o);
}

/* ---- load, switch ---- */

static void unload_idle(dv_fleet *f, const dv__model *m)
{
    dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link)
        if (in->m == m && !dv__instance_pinned(in))
            dv__instance_leave(in, "another model is the default now");
}

/* The new one is ready: it takes the old one's place. */
static void make_default(dv__order *o)
{
    dv_fleet *f = o->f;
    dv__model *old = dv__registry_default(f), *new = o->use != NULL ? dv__registry_find(f, o->model) : NULL;
    if (new == NULL)
        return;
    dv_free(f->chosen);
    f->chosen = o->model;
    o->model = NULL;
    if (old != NULL && old != new)
        unload_idle(f, old);
    dv__fleet_event(f, "model.switch", new->name, 0, old != NULL ? old->name : "");
}

static void on_ready(void *arg, int code, const dv_err *err)
{
    dv__order *o = arg;
    o->code = code;
    o->err = *err;
    if (code == 0 && o->pin)
        o->use->in->pinned = true;
    if (code == 0 && o->choose)
        make_default(o);
    finish(o);
}

static int load(dv_fleet *f, const char *model, int profile, bool pin, bool choose,
                void (*done)(void *arg, int code, const dv_err *err), void *arg, dv_err *err)
{
    dv__model *m = dv__registry_find(f, model);
    if (m == NULL)
        return dv_fail(err, DV_ENOENT, "there is no such model");
    dv__order *o = new_order(f, m->name, done, arg);
    if (o == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    o->what = ORDER_LOAD;
    o->pin = pin;
    o->choose = choose;
    const dv_use_ask ask = {.model = m->name, .profile = profile, .arg = o, .ready = on_ready};
    int rc = dv_use_begin(f, &ask, &o->use, err);
    if (rc != 0)
        free_order(o);
    else
        TAILQ_INSERT_TAIL(&f->orders, o, link);
    return rc;
}

int dv_fleet_load(dv_fleet *f, const char *model, int profile, bool pin,
                  void (*done)(void *arg, int code, const dv_err *err), void *arg, dv_err *err)
{
    return load(f, model, profile, pin, false, done, arg, err);
}

int dv_fleet_switch(dv_fleet *f, const char *model, int profile, void (*done)(void *arg, int code, const dv_err *err),
                    void *arg, dv_err *err)
{
    return load(f, model, profile, false, true, done, arg, err);
}

/* ---- unload ---- */

int dv_fleet_unload(dv_fleet *f, const char *model, bool force, void (*done)(void *arg, int code, const dv_err *err),
                    void *arg, dv_err *err)
{
    dv__model *m = dv__registry_find(f, model);
    dv__instance *in;
    if (m == NULL)
        return dv_fail(err, DV_ENOENT, "there is no such model");
    dv__order *o = new_order(f, m->name, done, arg);
    if (o == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    o->what = ORDER_UNLOAD;
    TAILQ_INSERT_TAIL(&f->orders, o, link);
    TAILQ_FOREACH (in, &f->instances, link) {
        if (in->m != m)
            continue;
        in->pinned = false;
        in->force = force && dv__instance_loaded(in);
        dv__instance_leave(in, "it was told to");
    }
    dv__fleet_kick(f);
    return 0;
}

/* Those that were told to go are gone. One that is wanted again may be on its way back already. */
static bool is_unloaded(const dv__order *o)
{
    const dv__instance *in;
    TAILQ_FOREACH (in, &o->f->instances, link)
        if (in->state == DV_INSTANCE_DRAINING && strcmp(in->m->name, o->model) == 0)
            return false;
    return true;
}

void dv__order_step(dv_fleet *f)
{
    dv__order *o, *after;
    for (o = TAILQ_FIRST(&f->orders); o != NULL; o = after) {
        after = TAILQ_NEXT(o, link);
        if (o->what == ORDER_UNLOAD)
            o->finished = o->finished || is_unloaded(o);
    }
    for (;;) { /* a callback may give further orders */
        TAILQ_FOREACH (o, &f->orders, link)
            if (o->finished)
                break;
        if (o == NULL)
            return;
        finish(o);
    }
}

void dv__order_fini(dv_fleet *f)
{
    dv__order *o;
    while ((o = TAILQ_FIRST(&f->orders)) != NULL) {
        TAILQ_REMOVE(&f->orders, o, link);
        free_order(o);
    }
}

void dv_fleet_rescan(dv_fleet *f)
{
    for (size_t i = 0; i < f->n_models; i++) /* what could not be read may have had its reasons */
        if (f->models[i]->desc.state == DV__DESC_DONE && !f->models[i]->desc.usable)
            f->models[i]->desc.state = DV__DESC_WANTED;
    f->rescan_ns = 0;
    dv__fleet_kick(f);
}
