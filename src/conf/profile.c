/* SPDX-License-Identifier: MIT */
#include "conf/profile.h"

#include "base/word.h"

#include <stdio.h>
#include <string.h>

const dv_conf_profile *dv_conf_find_profile(const dv_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_profiles; i++)
        if (strcmp(conf->profiles[i].name, name) == 0)
            return &conf->profiles[i];
    return NULL;
}

dv_sampling dv_conf_sampling(const dv_conf_run *run)
{
    return (dv_sampling){
        .temperature = (float)run->temperature,
        .top_k = (uint32_t)run->top_k,
        .top_p = (float)run->top_p,
        .min_p = (float)run->min_p,
        .typical_p = (float)run->typical_p,
        .repeat_penalty = (float)run->repeat_penalty,
        .presence_penalty = (float)run->presence_penalty,
        .frequency_penalty = (float)run->frequency_penalty,
        .penalty_last_n = (uint32_t)run->repeat_last_n,
    };
}

int dv__conf_named_profile(dv__load *l, dv__slot slot, const char *name, const dv_conf_source *s,
                           const dv_conf_profile **out)
{
    const dv_conf *c = &l->conf->pub;
    const char *names[DV__PROFILE_N + DV_CONF_PROFILES_MAX];
    size_t n = 0;
    *out = dv_conf_find_profile(c, name != NULL ? name : "");
    if (*out != NULL)
        return 0;
    while (n < c->n_profiles && n < DV_ARRAY_LEN(names)) {
        names[n] = c->profiles[n].name;
        n++;
    }
    const char *near = name != NULL ? dv_word_nearest(name, names, n) : NULL;
    if (near != NULL)
        return dv__conf_fail_option(l, slot, s, "has '%s', which is no profile, did you mean '%s'?", name, near);
    return dv__conf_fail_option(l, slot, s, "has '%s', which is no profile; `drover profiles` lists them",
                                name != NULL ? name : "");
}

/* ---- the list ---- */

static const dv_conf_option *row_of(const char *leaf)
{
    char name[64];
    snprintf(name, sizeof name, "profiles.*.%s", leaf);
    return dv_conf_option_find(name);
}

int dv__conf_from_profile(dv__load *l, const dv_conf_option *o, void *object, const dv_conf_profile *profile)
{
    const dv_conf_option *row = row_of(strrchr(o->name, '.') + 1);
    if (row == NULL || !row->inherit)
        return 0;
    int rc = dv__conf_copy(l, o, object, row, profile);
    *dv__conf_source(o, object) = (dv_conf_source){.from = DV_CONF_FROM_PROFILE, .name = profile->name};
    return rc;
}

static int add_own(dv__load *l, int i)
{
    size_t n;
    dv_conf *c = &l->conf->pub;
    dv_conf_profile *p = &c->profiles[c->n_profiles++];
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_PROFILE, &n);
    dv_conf_source *src = dv_arena_calloc(&l->conf->arena, n, sizeof *src);
    if (src == NULL)
        return DV_ENOMEM;
    *p = *dv__profile_own(i);
    p->src = src;
    p->own = true;
    for (size_t k = 0; k < n; k++)
        if (o[k].inherit)
            src[k] = (dv_conf_source){.from = DV_CONF_FROM_PROFILE, .name = p->name};
    return 0;
}

/* Element k of the list, checked and with everything from its base, takes its place. */
static int add_listed(dv__load *l, dv_conf_profile *p, size_t k)
{
    dv_conf *c = &l->conf->pub;
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_PROFILE, &n), *base_row = row_of("base");
    const dv__slot name = {row_of("name"), k};
    const dv_conf_profile *base;
    if (p->name == NULL)
        return dv__conf_fail_option(l, name, &p->where, "must be given");
    dv_conf_profile *have = (dv_conf_profile *)(uintptr_t)dv_conf_find_profile(c, p->name);
    if (have != NULL && have->listed)
        return dv__conf_fail_option(l, name, dv_conf_source_of(name.o, p), "is '%s' for the second time", p->name);
    const char *from = p->base != NULL ? p->base
                       : have != NULL  ? have->name
                                       : dv__profile_own(DV__PROFILE_BALANCED)->name;
    int rc = dv__conf_named_profile(l, (dv__slot){base_row, k}, from, dv_conf_source_of(base_row, p), &base);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (o[i].inherit && !dv__conf_given(&o[i], p))
            rc = dv__conf_from_profile(l, &o[i], p, base);
    if (rc != 0)
        return rc;
    p->listed = true;
    p->own = have != NULL;
    if (have != NULL && p->what == NULL)
        p->what = have->what;
    *(have != NULL ? have : &c->profiles[c->n_profiles++]) = *p;
    return 0;
}

int dv__conf_resolve_profiles(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    dv_conf_profile *listed = c->profiles;
    size_t n = c->n_profiles;
    int rc = 0;
    c->n_profiles = 0;
    c->profiles = dv_arena_calloc(&l->conf->arena, DV__PROFILE_N + n, sizeof *c->profiles);
    if (c->profiles == NULL)
        return DV_ENOMEM;
    for (int i = 0; i < DV__PROFILE_N && rc == 0; i++)
        rc = add_own(l, i);
    for (size_t k = 0; k < n && rc == 0; k++)
        rc = add_listed(l, &listed[k], k);
    return rc;
}
