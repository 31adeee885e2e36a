/* SPDX-License-Identifier: MIT */
/* The structs that options are fields of, reached through the table. */
#include "base/err.h"
#include "conf/load.h"

#include <string.h>

/* The structs, and where dv_conf has their arrays. */
static const struct {
    const char *name;
    size_t size, max, where, list, count;
} scopes[DV_CONF_SCOPE_N] = {
    [DV_CONF_LISTENER] = {"listeners", sizeof(dv_conf_listener), DV_CONF_LISTENERS_MAX,
                          offsetof(dv_conf_listener, where), offsetof(dv_conf, listeners),
                          offsetof(dv_conf, n_listeners)},
    [DV_CONF_PROFILE] = {"profiles", sizeof(dv_conf_profile), DV_CONF_PROFILES_MAX, offsetof(dv_conf_profile, where),
                         offsetof(dv_conf, profiles), offsetof(dv_conf, n_profiles)},
    [DV_CONF_MODEL] = {"models", sizeof(dv_conf_model), DV_CONF_MODELS_MAX, offsetof(dv_conf_model, where),
                       offsetof(dv_conf, models), offsetof(dv_conf, n_models)},
};

_Static_assert(offsetof(dv_conf, src) == 0 && offsetof(dv_conf_listener, src) == 0 &&
                   offsetof(dv_conf_profile, src) == 0 && offsetof(dv_conf_model, src) == 0,
               "dv_conf_source_of finds the sources at the beginning");

const void *dv__conf_at(const dv_conf *c, dv_conf_scope scope, size_t index)
{
    if (scope == DV_CONF_TOP)
        return c;
    char *const *list = (char *const *)((const char *)c + scopes[scope].list);
    return *list + index * scopes[scope].size;
}

void *dv__conf_object(dv__load *l, dv_conf_scope scope, size_t index)
{
    return (void *)(uintptr_t)dv__conf_at(&l->conf->pub, scope, index);
}

size_t *dv__conf_count(dv__load *l, dv_conf_scope scope)
{
    return (size_t *)((char *)&l->conf->pub + scopes[scope].count);
}

/* Arrays grow by doubling; what they were before stays in the arena until the end. */
static int grow(dv__load *l, dv_conf_scope scope)
{
    size_t n = *dv__conf_count(l, scope), cap = l->caps[scope];
    if (n < cap)
        return 0;
    cap = DV_MAX(2 * cap, (size_t)4);
    void *all = dv_arena_calloc(&l->conf->arena, cap, scopes[scope].size);
    if (all == NULL)
        return DV_ENOMEM;
    if (n > 0)
        memcpy(all, dv__conf_object(l, scope, 0), n * scopes[scope].size);
    memcpy((char *)&l->conf->pub + scopes[scope].list, &all, sizeof all);
    l->caps[scope] = cap;
    return 0;
}

int dv__conf_element(dv__load *l, dv_conf_scope scope, size_t index, const dv_conf_source *where)
{
    size_t *n = dv__conf_count(l, scope);
    if (index < *n)
        return 0;
    if (index >= scopes[scope].max)
        return dv__conf_fail(l, DV_ELIMIT, where, "there are more than %zu %s", scopes[scope].max, scopes[scope].name);
    int rc = grow(l, scope);
    if (rc != 0)
        return rc;
    void *object = dv__conf_object(l, scope, (*n)++);
    rc = dv__conf_keep_source(l, where, (dv_conf_source *)((char *)object + scopes[scope].where));
    return rc != 0 ? rc : dv__conf_init_object(l, scope, object);
}

dv_conf_source *dv__conf_source(const dv_conf_option *o, void *object)
{
    return (dv_conf_source *)(uintptr_t)dv_conf_source_of(o, object);
}

bool dv__conf_given(const dv_conf_option *o, const void *object)
{
    dv_conf_from from = dv_conf_source_of(o, object)->from;
    return from != DV_CONF_FROM_DEFAULT && from != DV_CONF_FROM_PROFILE;
}

int dv__conf_keep_source(dv__load *l, const dv_conf_source *s, dv_conf_source *out)
{
    *out = *s;
    /* Most values come from the one file, whose name is in the arena. */
    if (s->name == NULL || s->name == l->file)
        return 0;
    out->name = dv_arena_strndup(&l->conf->arena, s->name, strlen(s->name));
    return out->name != NULL ? 0 : DV_ENOMEM;
}

int dv__conf_init_object(dv__load *l, dv_conf_scope scope, void *object)
{
    static const dv_conf_source from_default = {0};
    size_t n, index = 0;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    dv_conf_source *src = dv_arena_calloc(&l->conf->arena, n, sizeof *src);
    if (src == NULL)
        return DV_ENOMEM;
    *(const dv_conf_source **)object = src;
    if (scope != DV_CONF_TOP)
        index = *dv__conf_count(l, scope) - 1;
    for (size_t i = 0; i < n; i++) {
        int rc = o[i].def[0] != 0 ? dv__conf_set(l, (dv__slot){&o[i], index}, o[i].def, &from_default) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- copies and comparisons ---- */

static const void *field_of(const dv_conf_option *o, const void *object) { return (const char *)object + o->offset; }

static int copy_string(dv__load *l, const char **to, const char *from)
{
    *to = from != NULL ? dv_arena_strndup(&l->conf->arena, from, strlen(from)) : NULL;
    return from == NULL || *to != NULL ? 0 : DV_ENOMEM;
}

static int copy_list(dv__load *l, dv_conf_list *to, const dv_conf_list *from)
{
    const char **v = from->n > 0 ? dv_arena_calloc(&l->conf->arena, from->n, sizeof *v) : NULL;
    int rc = v != NULL || from->n == 0 ? 0 : DV_ENOMEM;
    for (size_t i = 0; i < from->n && rc == 0; i++)
        rc = copy_string(l, &v[i], from->v[i]);
    *to = (dv_conf_list){.v = v, .n = rc == 0 ? from->n : 0};
    return rc;
}

static int copy_address(dv__load *l, dv_conf_address *to, const dv_conf_address *from)
{
    *to = (dv_conf_address){.text = "off", .port = from->port};
    int rc = copy_string(l, &to->text, from->text);
    rc = rc != 0 ? rc : copy_string(l, &to->host, from->host);
    return rc != 0 ? rc : copy_string(l, &to->path, from->path);
}

int dv__conf_copy(dv__load *l, const dv_conf_option *o_to, void *to, const dv_conf_option *o_from, const void *from)
{
    void *dst = (char *)to + o_to->offset;
    const void *src = field_of(o_from, from);
    int rc = 0;
    switch (o_to->type) {
    case DV_CONF_BOOL: *(bool *)dst = *(const bool *)src; break;
    case DV_CONF_ENUM: *(int *)dst = *(const int *)src; break;
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION: *(int64_t *)dst = *(const int64_t *)src; break;
    case DV_CONF_NUM: *(double *)dst = *(const double *)src; break;
    case DV_CONF_STRING:
    case DV_CONF_PATH: rc = copy_string(l, dst, *(const char *const *)src); break;
    case DV_CONF_LIST: rc = copy_list(l, dst, src); break;
    case DV_CONF_ADDRESS: rc = copy_address(l, dst, src); break;
    case DV_CONF_TYPE_N: break;
    }
    return rc != 0 ? rc : dv__conf_keep_source(l, dv_conf_source_of(o_from, from), dv__conf_source(o_to, to));
}

static bool same_string(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_list(const dv_conf_list *a, const dv_conf_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = strcmp(a->v[i], b->v[i]) == 0;
    return same;
}

bool dv__conf_equal(const dv_conf_option *o, const void *a, const void *b)
{
    const void *x = field_of(o, a), *y = field_of(o, b);
    switch (o->type) {
    case DV_CONF_BOOL: return *(const bool *)x == *(const bool *)y;
    case DV_CONF_ENUM: return *(const int *)x == *(const int *)y;
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION: return *(const int64_t *)x == *(const int64_t *)y;
    case DV_CONF_NUM: return memcmp(x, y, sizeof(double)) == 0;
    case DV_CONF_STRING:
    case DV_CONF_PATH: return same_string(*(const char *const *)x, *(const char *const *)y);
    case DV_CONF_LIST: return same_list(x, y);
    case DV_CONF_ADDRESS: return same_string(((const dv_conf_address *)x)->text, ((const dv_conf_address *)y)->text);
    case DV_CONF_TYPE_N: break;
    }
    return false;
}
