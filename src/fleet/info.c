/* SPDX-License-Identifier: MIT */
/* What there is, for lists and metrics. */
#include "base/clock.h"
#include "fleet/impl.h"

#include <string.h>

/* How alive: of several instances of a model, the one to show. */
static int rank(dv_instance_state s)
{
    static const int ranks[DV_INSTANCE_STATE_N] = {
        [DV_INSTANCE_STOPPED] = 0, [DV_INSTANCE_BROKEN] = 1,   [DV_INSTANCE_DRAINING] = 2,
        [DV_INSTANCE_WAITING] = 3, [DV_INSTANCE_STARTING] = 4, [DV_INSTANCE_READY] = 5};
    return ranks[s];
}

static dv_instance_state state_of(const dv_fleet *f, const dv__model *m)
{
    const dv__instance *own = dv__instance_find(f, m, -1), *in;
    dv_instance_state s = own != NULL ? own->state : DV_INSTANCE_STOPPED;
    TAILQ_FOREACH (in, &f->instances, link)
        if (in->m == m && rank(in->state) > rank(s))
            s = in->state;
    return s;
}

static bool show(dv_fleet *f, const dv__model *m, bool (*fn)(void *arg, const dv_model_info *m), void *arg)
{
    const char *why;
    dv_model_info i = {
        .name = m->name,
        .path = m->path,
        .backend = dv__registry_backend(f, m, &why),
        .profile = dv__registry_own_profile(f, m),
        .is_default = dv__registry_default(f) == m,
        .from_folder = m->cm == NULL,
        .state = state_of(f, m),
        .architecture = m->desc.architecture,
        .quantization = m->desc.quantization,
        .problem = why != NULL ? why : "",
        .parameters = m->desc.parameters,
        .context_train = m->desc.context_train,
        .embedding = m->desc.embedding,
    };
    if (m->cm != NULL) {
        i.aliases = m->cm->aliases;
        i.url = m->cm->url;
        i.pin = m->cm->pin;
    }
    if (m->has_file) {
        i.file_bytes = m->id.bytes;
        i.modified_s = m->id.modified_ns / 1000000000;
        if (m->desc.state == DV__DESC_DONE && m->desc.usable)
            i.estimate_bytes = m->id.bytes + m->desc.anonymous[i.profile];
    }
    return fn(arg, &i);
}

void dv_fleet_models(dv_fleet *f, bool (*fn)(void *arg, const dv_model_info *m), void *arg)
{
    for (size_t i = 0; i < f->n_models; i++)
        if (!f->models[i]->gone && !f->models[i]->hidden && !show(f, f->models[i], fn, arg))
            return;
}

bool dv_fleet_model(dv_fleet *f, const char *name, bool (*fn)(void *arg, const dv_model_info *m), void *arg)
{
    const dv__model *m = dv__registry_find(f, name);
    if (m != NULL)
        (void)show(f, m, fn, arg);
    return m != NULL;
}

const char *dv_fleet_resolve(dv_fleet *f, const char *name)
{
    const dv__model *m = dv__registry_find(f, name);
    return m != NULL ? m->name : NULL;
}

static uint64_t expires(const dv__instance *in)
{
    if (in->state != DV_INSTANCE_READY || dv__instance_pinned(in) || in->run.keep_alive_ms == DV_CONF_FOREVER)
        return 0;
    return (in->given > 0 ? dv_clock_wall_ms() : in->used_wall_ms) + (uint64_t)in->run.keep_alive_ms;
}

void dv_fleet_instances(dv_fleet *f, bool (*fn)(void *arg, const dv_instance_info *i), void *arg)
{
    uint64_t now = dv_clock_ns();
    dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link) {
        dv__residency_measure(in, now);
        dv_instance_info i = {
            .model = in->m->name,
            .profile = in->profile,
            .backend = in->backend,
            .state = in->state,
            .pid = (int)in->child.pid,
            .busy = in->busy,
            .waiting = in->n_waiting,
            .places = in->places,
            .estimate_bytes = in->anonymous + in->weights,
            .rss_bytes = in->rss_now,
            .anon_bytes = in->anonymous_now,
            .loaded_wall_ms = in->loaded_wall_ms,
            .used_wall_ms = in->used_wall_ms,
            .expires_wall_ms = expires(in),
            .load_ms = in->load_ns / DV__MS,
            .starts = in->starts,
            .crashes = in->crashes,
            .last_error = in->last_error.msg,
            .health_us = in->health_us,
        };
        if (!fn(arg, &i))
            return;
    }
}

void dv_fleet_stats_get(dv_fleet *f, dv_fleet_stats *out)
{
    const dv__instance *in;
    *out = (dv_fleet_stats){.budget_bytes = dv__residency_budget_about(f, dv_clock_ns()),
                            .used_bytes = dv__residency_used(f)};
    for (size_t i = 0; i < f->n_models; i++)
        out->models += !f->models[i]->gone && !f->models[i]->hidden;
    TAILQ_FOREACH (in, &f->instances, link) {
        out->ready += in->state == DV_INSTANCE_READY;
        out->starting += in->state == DV_INSTANCE_STARTING;
        out->broken += in->state == DV_INSTANCE_BROKEN;
    }
}
