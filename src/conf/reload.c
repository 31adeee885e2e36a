/* SPDX-License-Identifier: MIT */
#include "conf/reload.h"

#include "base/err.h"

#include <stdio.h>
#include <string.h>

/* ---- the list of changes ---- */

/* The list doubles in the arena; it is short. */
static int add(dv__load *l, dv_conf_changes *changes, const dv_conf_change *c)
{
    size_t n = changes->n;
    if ((n & (n - 1)) == 0) {
        dv_conf_change *v = dv_arena_calloc(&l->conf->arena, n > 0 ? 2 * n : 1, sizeof *v);
        if (v == NULL)
            return DV_ENOMEM;
        if (n > 0)
            memcpy(v, changes->v, n * sizeof *v);
        changes->v = v;
    }
    ((dv_conf_change *)(uintptr_t)changes->v)[changes->n++] = *c;
    return 0;
}

static int keep_text(dv__load *l, dv_buf *b, const char **out)
{
    *out = b->code == 0 ? dv_arena_strndup(&l->conf->arena, dv_buf_str(b), b->len) : NULL;
    dv_buf_fini(b);
    return *out != NULL ? 0 : DV_ENOMEM;
}

static int value(dv__load *l, const dv_conf_option *o, const void *object, const char **out)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_conf_value_text(&b, o, object);
    return keep_text(l, &b, out);
}

static int add_value(dv__load *l, dv_conf_changes *changes, const char *name, const dv_conf_option *o, const void *from,
                     const void *to, bool restart)
{
    dv_conf_change c = {.restart = restart};
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, name);
    int rc = keep_text(l, &b, &c.name);
    rc = rc != 0 ? rc : value(l, o, from, &c.from);
    rc = rc != 0 ? rc : value(l, o, to, &c.to);
    return rc != 0 ? rc : add(l, changes, &c);
}

/* ---- what cannot be reloaded ---- */

static size_t n_listed(const dv_conf *c)
{
    size_t n = 0;
    while (n < c->n_listeners && !c->listeners[n].shorthand)
        n++;
    return n;
}

/* The old list, without certificates that were tls.cert and are to be again what that is now. */
static int copy_listeners(dv__load *l, const dv_conf *old)
{
    dv_conf *c = &l->conf->pub;
    size_t n, listed = n_listed(old);
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_LISTENER, &n);
    c->n_listeners = 0;
    for (size_t i = 0; i < listed; i++) {
        const dv_conf_listener *from = &old->listeners[i];
        int rc = dv__conf_element(l, DV_CONF_LISTENER, i, &from->where);
        for (size_t k = 0; k < n && rc == 0; k++)
            if (!from->tls_shared || o[k].type != DV_CONF_PATH)
                rc = dv__conf_copy(l, &o[k], &c->listeners[i], &o[k], from);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int listener_texts(dv__load *l, const dv_conf *c, const char **out)
{
    const dv_conf_option *api = dv_conf_option_find("listeners.*.api");
    dv_buf b;
    dv_buf_init(&b, 0);
    for (size_t i = 0; i < n_listed(c); i++) {
        dv_buf_printf(&b, "%s%s (", i > 0 ? ", " : "", c->listeners[i].address.text);
        dv_conf_value_text(&b, api, &c->listeners[i]);
        dv_buf_adds(&b, ")");
    }
    return keep_text(l, &b, out);
}

static int keep_listeners(dv__load *l, const dv_conf *old, dv_conf_changes *changes)
{
    const dv_conf *c = &l->conf->pub;
    size_t n, listed = n_listed(old);
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_LISTENER, &n);
    bool same = c->n_listeners == listed; /* shorthands are not there yet */
    for (size_t i = 0; i < listed && same; i++)
        for (size_t k = 0; k < n && same; k++)
            same = o[k].reload || dv__conf_equal(&o[k], &old->listeners[i], &c->listeners[i]);
    if (same)
        return 0;
    dv_conf_change change = {.name = "listeners", .restart = true};
    int rc = listener_texts(l, old, &change.from);
    rc = rc != 0 ? rc : listener_texts(l, c, &change.to);
    rc = rc != 0 ? rc : add(l, changes, &change);
    return rc != 0 ? rc : copy_listeners(l, old);
}

int dv__conf_keep_old(dv__load *l, const dv_conf *old, dv_conf_changes *changes)
{
    dv_conf *c = &l->conf->pub;
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_TOP, &n);
    *changes = (dv_conf_changes){0};
    for (size_t i = 0; i < n; i++) {
        if (o[i].reload || dv__conf_equal(&o[i], old, c))
            continue;
        int rc = add_value(l, changes, o[i].name, &o[i], old, c, true);
        rc = rc != 0 ? rc : dv__conf_copy(l, &o[i], c, &o[i], old);
        if (rc != 0)
            return rc;
    }
    return keep_listeners(l, old, changes);
}

/* ---- what is reloaded ---- */

static int compare_objects(dv__load *l, dv_conf_changes *changes, dv_conf_scope scope, const char *name,
                           const void *old, const void *new)
{
    char full[256];
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    for (size_t i = 0; i < n; i++) {
        if (dv__conf_equal(&o[i], old, new))
            continue;
        snprintf(full, sizeof full, "%s%s%s", name, name[0] != 0 ? "." : "",
                 scope == DV_CONF_TOP ? o[i].name : strrchr(o[i].name, '.') + 1);
        int rc = add_value(l, changes, full, &o[i], old, new, false);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Elements are the same ones by name. What stands for one in the list: a model's place, a profile's purpose. */
static const char *name_of(dv_conf_scope scope, const void *object)
{
    return scope == DV_CONF_MODEL ? ((const dv_conf_model *)object)->name : ((const dv_conf_profile *)object)->name;
}

static const char *summary_of(dv_conf_scope scope, const void *object)
{
    const dv_conf_model *m = object;
    if (scope == DV_CONF_MODEL)
        return m->path != NULL ? m->path : m->url;
    const dv_conf_profile *p = object;
    return p->what != NULL ? p->what : p->name;
}

static const void *find(const dv_conf *c, dv_conf_scope scope, const char *name)
{
    size_t n = scope == DV_CONF_MODEL ? c->n_models : c->n_profiles;
    for (size_t i = 0; i < n; i++)
        if (strcmp(name_of(scope, dv__conf_at(c, scope, i)), name) == 0)
            return dv__conf_at(c, scope, i);
    return NULL;
}

/* One that came or went: old or new is NULL. */
static int add_element(dv__load *l, dv_conf_changes *changes, dv_conf_scope scope, const char *name, const void *old,
                       const void *new)
{
    dv_conf_change c = {0};
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, name);
    int rc = keep_text(l, &b, &c.name);
    if (rc == 0) {
        dv_buf_adds(&b, summary_of(scope, old != NULL ? old : new));
        rc = keep_text(l, &b, old != NULL ? &c.from : &c.to);
    }
    return rc == 0 ? add(l, changes, &c) : rc;
}

static int compare_lists(dv__load *l, const dv_conf *old, dv_conf_scope scope, const char *list,
                         dv_conf_changes *changes)
{
    const dv_conf *c = &l->conf->pub;
    size_t n_old = scope == DV_CONF_MODEL ? old->n_models : old->n_profiles;
    size_t n_new = scope == DV_CONF_MODEL ? c->n_models : c->n_profiles;
    char name[160];
    int rc = 0;
    for (size_t i = 0; i < n_old && rc == 0; i++) {
        const void *was = dv__conf_at(old, scope, i), *is = find(c, scope, name_of(scope, was));
        snprintf(name, sizeof name, "%s.%s", list, name_of(scope, was));
        rc = is == NULL ? add_element(l, changes, scope, name, was, NULL)
                        : compare_objects(l, changes, scope, name, was, is);
    }
    for (size_t i = 0; i < n_new && rc == 0; i++) {
        const void *is = dv__conf_at(c, scope, i);
        snprintf(name, sizeof name, "%s.%s", list, name_of(scope, is));
        if (find(old, scope, name_of(scope, is)) == NULL)
            rc = add_element(l, changes, scope, name, NULL, is);
    }
    return rc;
}

int dv__conf_compare(dv__load *l, const dv_conf *old, dv_conf_changes *changes)
{
    const dv_conf *c = &l->conf->pub;
    char name[160];
    int rc = compare_objects(l, changes, DV_CONF_TOP, "", old, c);
    for (size_t i = 0; i < old->n_listeners && i < c->n_listeners && rc == 0; i++) {
        snprintf(name, sizeof name, "listeners.%zu", i);
        if (!c->listeners[i].shorthand && !c->listeners[i].tls_shared)
            rc = compare_objects(l, changes, DV_CONF_LISTENER, name, &old->listeners[i], &c->listeners[i]);
    }
    if (rc == 0)
        rc = compare_lists(l, old, DV_CONF_PROFILE, "profiles", changes);
    return rc == 0 ? compare_lists(l, old, DV_CONF_MODEL, "models", changes) : rc;
}

int dv_conf_reload(dv_conf **out, const dv_conf *old, const dv_conf_input *in, dv_conf_changes *changes, dv_err *err)
{
    return dv__conf_open(out, old, in, changes, err);
}
