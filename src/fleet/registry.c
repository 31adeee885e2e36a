/* SPDX-License-Identifier: MIT */
/* Which models there are: those of the configuration, then files of the folder whose names are not taken. */
#include "base/clock.h"
#include "base/mem.h"
#include "conf/options.h"
#include "fleet/impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SETTLE_MS = 2000 }; /* a file that cannot be read and that changed less long ago may still be on its way */

/* ---- the list ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(dv__model *const *)a)->name, (*(dv__model *const *)b)->name);
}

static dv__model *find_entry(const dv_fleet *f, const char *name)
{
    for (size_t i = 0; i < f->n_models; i++)
        if (!f->models[i]->gone && strcmp(f->models[i]->name, name) == 0)
            return f->models[i];
    return NULL;
}

static void free_model(dv__model *m)
{
    dv__describe_forget(m->f, m);
    dv_free(m->name);
    dv_free(m->path);
    dv_free(m);
}

static dv__model *add_entry(dv_fleet *f, const char *name)
{
    if (f->n_models == f->models_cap) {
        size_t cap = f->models_cap != 0 ? 2 * f->models_cap : 32;
        dv__model **v = dv_realloc(DV_MEM_FLEET, f->models, cap * sizeof(dv__model *));
        if (v == NULL)
            return NULL;
        f->models = v;
        f->models_cap = cap;
    }
    dv__model *m = dv_calloc(DV_MEM_FLEET, 1, sizeof *m);
    if (m == NULL)
        return NULL;
    m->f = f;
    m->name = dv_strndup(DV_MEM_FLEET, name, strlen(name));
    if (m->name == NULL) {
        dv_free(m);
        return NULL;
    }
    f->models[f->n_models++] = m;
    return m;
}

static bool same_id(const dv__file_id *a, const dv__file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->bytes == b->bytes && a->modified_ns == b->modified_ns;
}

/* The model is this file now; another one than before must be looked at. */
static int set_file(dv__model *m, const char *path, const dv__file_id *id)
{
    if (m->path == NULL || strcmp(m->path, path) != 0) {
        char *copy = dv_strndup(DV_MEM_FLEET, path, strlen(path));
        if (copy == NULL)
            return DV_ENOMEM;
        dv_free(m->path);
        m->path = copy;
        m->has_file = false;
    }
    if (id == NULL) {
        m->has_file = false;
        return 0;
    }
    if (m->has_file && same_id(&m->id, id))
        return 0;
    uint64_t now = dv_clock_ns(), wall_ns = dv_clock_wall_ms() * DV__MS;
    bool old = id->modified_ns + SETTLE_MS * DV__MS < wall_ns;
    dv__describe_forget(m->f, m);
    m->id = *id;
    m->has_file = true;
    m->young = !old;
    m->hidden = m->young && m->cm == NULL;
    m->settled_ns = old ? now : now + SETTLE_MS * DV__MS;
    m->desc = (dv__desc){.state = DV__DESC_WANTED};
    return 0;
}

static void set_remote(dv__model *m)
{
    dv_free(m->path);
    m->path = NULL;
    m->has_file = false;
}

static int update_named(dv_fleet *f, const dv_conf_model *cm)
{
    dv__file_id id;
    dv__model *m = find_entry(f, cm->name);
    if (m == NULL)
        m = add_entry(f, cm->name);
    if (m == NULL)
        return DV_ENOMEM;
    m->cm = cm;
    if (cm->path == NULL) {
        set_remote(m);
        return 0;
    }
    return set_file(m, cm->path, dv__scan_file(cm->path, &id) ? &id : NULL);
}

/* Is a file of the folder one that the configuration has under another name? */
static bool is_named_file(const dv_fleet *f, const dv__file_id *id)
{
    for (size_t i = 0; i < f->n_models; i++) {
        const dv__model *m = f->models[i];
        if (m->cm != NULL && m->has_file && m->id.dev == id->dev && m->id.ino == id->ino)
            return true;
    }
    return false;
}

/* Is m what the folder has under this name? */
static bool is_in_folder(const dv__files *fs, const dv__model *m)
{
    for (size_t i = 0; m->path != NULL && i < fs->n; i++)
        if (strcmp(fs->v[i].path, m->path) == 0)
            return strcmp(fs->v[i].name, m->name) == 0;
    return false;
}

static int update_files(dv_fleet *f, const dv__files *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        const dv__file *file = &fs->v[i];
        if (dv_conf_find_model(f->conf, file->name) != NULL || is_named_file(f, &file->id))
            continue;
        if (i > 0 && strcmp(fs->v[i - 1].name, file->name) == 0) /* a split model beside a whole one */
            continue;
        dv__model *m = find_entry(f, file->name);
        if (m == NULL)
            m = add_entry(f, file->name);
        if (m == NULL || set_file(m, file->path, &file->id) != 0)
            return DV_ENOMEM;
    }
    return 0;
}

/* Names that are in neither any more. */
static void drop_others(dv_fleet *f, const dv__files *fs)
{
    for (size_t i = 0; i < f->n_models; i++) {
        dv__model *m = f->models[i];
        if (m->gone || m->cm != NULL)
            continue;
        m->gone = !is_in_folder(fs, m) || dv_conf_find_model(f->conf, m->name) != NULL || is_named_file(f, &m->id);
        if (m->gone)
            dv__describe_forget(f, m);
    }
}

int dv__registry_update(dv_fleet *f)
{
    dv__files fs;
    dv_err err = {0};
    int rc = dv__scan_folder(&fs, f->conf->models_dir, &err);
    if (rc == DV_ENOMEM)
        goto end;
    if (rc != 0)
        dv__fleet_log(f, DV_HTTP_LOG_WARN, "%s", err.msg);
    rc = 0;
    for (size_t i = 0; i < f->n_models; i++)
        f->models[i]->cm = NULL;
    for (size_t i = 0; i < f->conf->n_models && rc == 0; i++)
        rc = update_named(f, &f->conf->models[i]);
    if (rc == 0)
        drop_others(f, &fs);
    if (rc == 0)
        rc = update_files(f, &fs);
    if (f->n_models > 1)
        qsort(f->models, f->n_models, sizeof(dv__model *), by_name);
    dv__instance *in;
    TAILQ_FOREACH (in, &f->instances, link)
        dv__instance_compare(in);
end:
    dv__files_fini(&fs);
    dv__fleet_kick(f);
    return rc;
}

void dv__registry_sweep(dv_fleet *f)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_models; i++) {
        dv__model *m = f->models[i];
        if (m->gone && m->n_instances == 0)
            free_model(m);
        else
            f->models[n++] = m;
    }
    f->n_models = n;
}

void dv__registry_fini(dv_fleet *f)
{
    for (size_t i = 0; i < f->n_models; i++)
        free_model(f->models[i]);
    dv_free(f->models);
    f->models = NULL;
    f->n_models = f->models_cap = 0;
}

/* ---- looking up ---- */

/* Whoever names a file that came just now waits until it is known whether it is whole. */
static bool visible(const dv__model *m) { return !m->gone && (!m->hidden || m->desc.state != DV__DESC_DONE); }

/* Name and aliases of n bytes. */
static bool is_called(const dv__model *m, const char *name, size_t n)
{
    if (strlen(m->name) == n && memcmp(m->name, name, n) == 0)
        return true;
    for (size_t i = 0; m->cm != NULL && i < m->cm->aliases.n; i++)
        if (strlen(m->cm->aliases.v[i]) == n && memcmp(m->cm->aliases.v[i], name, n) == 0)
            return true;
    return false;
}

/* The name of its file. */
static bool is_file_name(const dv__model *m, const char *name)
{
    const char *slash = m->path != NULL ? strrchr(m->path, '/') : NULL;
    return slash != NULL && strcmp(slash + 1, name) == 0;
}

dv__model *dv__registry_default(dv_fleet *f)
{
    const char *names[] = {f->chosen, f->conf->default_model};
    for (size_t i = 0; i < DV_ARRAY_LEN(names); i++) {
        dv__model *m = names[i] != NULL && names[i][0] != 0 ? dv__registry_find(f, names[i]) : NULL;
        if (m != NULL)
            return m;
    }
    for (size_t i = 0; i < f->n_models; i++)
        if (visible(f->models[i]))
            return f->models[i];
    return NULL;
}

dv__model *dv__registry_find(dv_fleet *f, const char *name)
{
    if (name == NULL || name[0] == 0)
        return dv__registry_default(f);
    size_t n = strlen(name);
    for (size_t i = 0; i < f->n_models; i++)
        if (visible(f->models[i]) && is_called(f->models[i], name, n))
            return f->models[i];
    if (n <= 5 || strcasecmp(name + n - 5, ".gguf") != 0)
        return NULL;
    for (size_t i = 0; i < f->n_models; i++)
        if (visible(f->models[i]) && (is_called(f->models[i], name, n - 5) || is_file_name(f->models[i], name)))
            return f->models[i];
    return NULL;
}

/* ---- how a model runs ---- */

static size_t size_of(dv_conf_type type)
{
    switch (type) {
    case DV_CONF_BOOL: return sizeof(bool);
    case DV_CONF_ENUM: return sizeof(int);
    case DV_CONF_NUM: return sizeof(double);
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION: return sizeof(int64_t);
    default: return 0;
    }
}

/* The row of a model or of `defaults` that fills the field at offset of a dv_conf_run. */
static const dv_conf_option *row_of(dv_conf_scope scope, size_t offset)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    for (size_t i = 0; i < n; i++)
        if (o[i].offset == offset)
            return &o[i];
    return NULL;
}

void dv__registry_run(const dv_fleet *f, const dv__model *m, int profile, dv_conf_run *out)
{
    const dv_conf *c = f->conf;
    size_t n, base = m->cm != NULL ? offsetof(dv_conf_model, run) : offsetof(dv_conf, defaults);
    const void *object = m->cm != NULL ? (const void *)m->cm : c;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_PROFILE, &n);
    *out = m->cm != NULL ? m->cm->run : c->defaults;
    if (profile < 0 || (size_t)profile >= c->n_profiles)
        return;
    out->profile = c->profiles[profile].name;
    for (size_t i = 0; i < n; i++) {
        if (!o[i].inherit || o[i].offset < offsetof(dv_conf_profile, run))
            continue;
        size_t at = o[i].offset - offsetof(dv_conf_profile, run);
        const dv_conf_option *row = row_of(m->cm != NULL ? DV_CONF_MODEL : DV_CONF_TOP, base + at);
        if (row != NULL && dv_conf_source_of(row, object)->from == DV_CONF_FROM_PROFILE)
            memcpy((char *)out + at, (const char *)&c->profiles[profile].run + at, size_of(o[i].type));
    }
}

int dv__registry_own_profile(const dv_fleet *f, const dv__model *m)
{
    const char *name = m->cm != NULL ? m->cm->run.profile : f->conf->defaults.profile;
    const dv_conf_profile *p = name != NULL ? dv_conf_find_profile(f->conf, name) : NULL;
    return p != NULL ? (int)(p - f->conf->profiles) : 0;
}

static int backend_of_file(const dv_fleet *f, const dv__model *m, const char **why)
{
    char program[4096];
    int wanted = m->cm != NULL ? m->cm->backend : DV_CONF_BACKEND_AUTO;
    if (!m->has_file) {
        *why = "its file is not there";
        return wanted;
    }
    if (m->desc.state != DV__DESC_DONE)
        return wanted;
    if (!m->desc.usable)
        *why = m->desc.problem;
    if (wanted != DV_CONF_BACKEND_AUTO) {
        if (wanted == DV_CONF_BACKEND_NATIVE && !m->desc.native)
            *why = m->desc.problem;
        return wanted;
    }
    if (m->desc.native)
        return DV_CONF_BACKEND_NATIVE;
    if (!dv__argv_find_upstream(f, m, program, sizeof program))
        *why = m->desc.problem;
    return DV_CONF_BACKEND_UPSTREAM;
}

int dv__registry_backend(const dv_fleet *f, const dv__model *m, const char **why)
{
    const char *dummy;
    why = why != NULL ? why : &dummy;
    *why = NULL;
    if (m->path == NULL)
        return DV_CONF_BACKEND_REMOTE;
    return backend_of_file(f, m, why);
}
