/* SPDX-License-Identifier: MIT */
/* What was read becomes what is meant: relative paths, defaults that are computed, profiles, shorthands. */
#include "conf/form.h"
#include "conf/load.h"
#include "conf/profile.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- paths ---- */

static int join(dv__load *l, const char *folder, const char *name, const char **out)
{
    size_t n = strlen(folder) + strlen(name) + 2;
    bool slash = folder[0] != 0 && folder[strlen(folder) - 1] == '/';
    char *p = dv_arena_alloc(&l->conf->arena, n);
    if (p == NULL)
        return DV_ENOMEM;
    snprintf(p, n, "%s%s%s", folder, slash ? "" : "/", name);
    *out = p;
    return 0;
}

/* What a relative path is relative to; "" if that is not known. */
static const char *base_of(const dv__load *l, const dv_conf_option *o, const dv_conf_source *s)
{
    if (o->scope == DV_CONF_MODEL && strcmp(o->name, "models.*.path") == 0)
        return l->conf->pub.models_dir;
    return s->from == DV_CONF_FROM_FILE ? l->folder : l->in->dir != NULL ? l->in->dir : "";
}

static int resolve_path(dv__load *l, const dv_conf_option *o, const dv_conf_source *s, const char **path)
{
    const char *home = dv_conf_env(l->in->env, "HOME"), *base = base_of(l, o, s);
    if (*path == NULL || (*path)[0] == '/')
        return 0;
    if ((*path)[0] == '~' && ((*path)[1] == '/' || (*path)[1] == 0)) {
        if (home == NULL)
            return dv__conf_fail(l, DV_EINVAL, s, "%s begins with ~, and HOME is not set", o->name);
        return join(l, home, *path + 1 + ((*path)[1] == '/'), path);
    }
    while ((*path)[0] == '.' && (*path)[1] == '/')
        *path += 2;
    return base[0] != 0 ? join(l, base, *path, path) : 0;
}

static int resolve_address(dv__load *l, const dv_conf_option *o, const dv_conf_source *s, dv_conf_address *a)
{
    const char *path = a->path;
    int rc = resolve_path(l, o, s, &path);
    if (rc != 0 || path == a->path)
        return rc;
    char *text = dv_arena_alloc(&l->conf->arena, strlen(path) + sizeof "unix:");
    if (text == NULL)
        return DV_ENOMEM;
    memcpy(text, "unix:", 5);
    memcpy(text + 5, path, strlen(path) + 1);
    a->text = text;
    a->path = text + 5;
    return 0;
}

static int resolve_paths(dv__load *l, dv_conf_scope scope, size_t index)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n), *end = o + n;
    void *object = dv__conf_object(l, scope, index);
    for (int rc; o < end; o++) {
        const dv_conf_source *s = dv_conf_source_of(o, object);
        void *field = (char *)object + o->offset;
        rc = 0;
        if (o->type == DV_CONF_PATH)
            rc = resolve_path(l, o, s, field);
        else if (o->type == DV_CONF_ADDRESS)
            rc = resolve_address(l, o, s, field);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- defaults that are computed ---- */

static int default_data_dir(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    const char *xdg = dv_conf_env(l->in->env, "XDG_DATA_HOME"), *home = dv_conf_env(l->in->env, "HOME");
    if (geteuid() == 0 || (home == NULL && xdg == NULL)) {
        c->data_dir = "/var/lib/drover";
        return 0;
    }
    /* XDG Base Directory Specification 0.8: a relative one is to be ignored. */
    if (xdg != NULL && xdg[0] == '/')
        return join(l, xdg, "drover", &c->data_dir);
    return join(l, home != NULL ? home : "/", ".local/share/drover", &c->data_dir);
}

/* systemd makes both folders and names them in variables, which the table has. */
static int default_run_dir(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    const char *xdg = dv_conf_env(l->in->env, "XDG_RUNTIME_DIR");
    if (geteuid() == 0) {
        c->run_dir = "/run/drover";
        return 0;
    }
    if (xdg != NULL && xdg[0] == '/')
        return join(l, xdg, "drover", &c->run_dir);
    return join(l, c->data_dir, "run", &c->run_dir);
}

static int default_paths(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    int rc = c->data_dir == NULL ? default_data_dir(l) : 0;
    if (rc == 0 && c->models_dir == NULL)
        rc = join(l, c->data_dir, "models", &c->models_dir);
    if (rc == 0 && c->run_dir == NULL)
        rc = default_run_dir(l);
    return rc;
}

/* `defaults`: what is not given is its profile's. */
static int resolve_defaults(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    const dv_conf_option *named = dv_conf_option_find("defaults.profile");
    const dv_conf_profile *profile;
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_TOP, &n);
    int rc =
        dv__conf_named_profile(l, (dv__slot){named, 0}, c->defaults.profile, dv_conf_source_of(named, c), &profile);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (o[i].inherit && !dv__conf_given(&o[i], c))
            rc = dv__conf_from_profile(l, &o[i], c, profile);
    return rc;
}

int dv__conf_resolve_top(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    int rc = resolve_paths(l, DV_CONF_TOP, 0);
    if (rc == 0)
        rc = default_paths(l);
    if (rc == 0)
        rc = dv__conf_resolve_profiles(l);
    if (rc == 0)
        rc = resolve_defaults(l);
    for (size_t i = 0; i < c->n_listeners && rc == 0; i++)
        rc = resolve_paths(l, DV_CONF_LISTENER, i);
    return rc;
}

/* ---- listeners ---- */

static int add_shorthand_listener(dv__load *l, int api, const dv_conf_option *o)
{
    static const dv_conf_option *address;
    dv_conf *c = &l->conf->pub;
    const dv_conf_source *s = dv_conf_source_of(o, c);
    int rc = dv__conf_element(l, DV_CONF_LISTENER, c->n_listeners, s);
    if (rc != 0)
        return rc;
    dv_conf_listener *new = &c->listeners[c->n_listeners - 1];
    address = dv_conf_option_find("listeners.*.address");
    new->api = api;
    new->shorthand = true;
    return dv__conf_copy(l, address, new, o, c);
}

static int add_shorthand_listeners(dv__load *l)
{
    const dv_conf_option *first = dv_conf_option_find("listen.openai");
    int rc = 0;
    for (int api = 0; api < DV_CONF_API_N && rc == 0; api++)
        if (strcmp(l->conf->pub.listen[api].text, "off") != 0)
            rc = add_shorthand_listener(l, api, first + api);
    return rc;
}

static void finish_listener(const dv_conf *c, dv_conf_listener *p)
{
    p->loopback = p->address.host == NULL || dv__host_is_loopback(p->address.host, strlen(p->address.host));
    p->tls_shared = p->tls_cert == NULL && p->tls_key == NULL && p->address.host != NULL && c->tls.cert != NULL;
    if (!p->tls_shared)
        return;
    p->tls_cert = c->tls.cert;
    p->tls_key = c->tls.key;
}

/* ---- models ---- */

/* What a model does not say: what `defaults` says, else its profile, else the default. */
static int inherit(dv__load *l, dv_conf_model *m, size_t index)
{
    const dv_conf *c = &l->conf->pub;
    const dv_conf_profile *profile = NULL;
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_MODEL, &n), *end = o + n;
    const dv_conf_option *named = dv_conf_option_find("models.*.profile");
    int rc = 0;
    for (; o < end && rc == 0; o++) {
        char name[64];
        if (!o->inherit)
            continue;
        snprintf(name, sizeof name, "defaults.%s", strrchr(o->name, '.') + 1);
        const dv_conf_option *d = dv_conf_option_find(name);
        if (!dv__conf_given(o, m) && dv__conf_given(d, c))
            rc = dv__conf_copy(l, o, m, d, c);
        else if (!dv__conf_given(o, m) && profile != NULL)
            rc = dv__conf_from_profile(l, o, m, profile);
        /* The profile itself is the first of these rows, so that it is known for the others. */
        if (rc == 0 && o == named)
            rc = dv__conf_named_profile(l, (dv__slot){o, index}, m->run.profile, dv_conf_source_of(o, m), &profile);
    }
    return rc;
}

/* "models/Llama-3.2-3B.gguf": "Llama-3.2-3B"; of a split file, without "-00001-of-00003". */
static int name_of_file(dv__load *l, const char *path, const char **out)
{
    const char *base = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    size_t n = strlen(base);
    if (n > 5 && strcasecmp(base + n - 5, ".gguf") == 0)
        n -= 5;
    unsigned i, all;
    char tail[16];
    if (n > 15) {
        memcpy(tail, base + n - 15, 15);
        tail[15] = 0;
        int end = 0;
        if (sscanf(tail, "-%5u-of-%5u%n", &i, &all, &end) == 2 && end == 15)
            n -= 15;
    }
    *out = dv_arena_strndup(&l->conf->arena, base, n);
    return *out != NULL ? 0 : DV_ENOMEM;
}

/* A slash at its end would be doubled by the paths that are put behind it. */
static int trim_url(dv__load *l, const char **url)
{
    size_t n = *url != NULL ? strlen(*url) : 0, all = n;
    while (n > 0 && (*url)[n - 1] == '/')
        n--;
    if (n == all)
        return 0;
    *url = dv_arena_strndup(&l->conf->arena, *url, n);
    return *url != NULL ? 0 : DV_ENOMEM;
}

static int finish_model(dv__load *l, size_t index)
{
    dv_conf_model *m = &l->conf->pub.models[index];
    int rc = resolve_paths(l, DV_CONF_MODEL, index);
    if (rc == 0)
        rc = trim_url(l, &m->url);
    if (rc == 0)
        rc = inherit(l, m, index);
    if (rc == 0 && m->name == NULL && m->path != NULL)
        rc = name_of_file(l, m->path, &m->name);
    if (m->url != NULL && m->backend == DV_CONF_BACKEND_AUTO)
        m->backend = DV_CONF_BACKEND_REMOTE;
    bool upstream = m->backend == DV_CONF_BACKEND_UPSTREAM || m->backend == DV_CONF_BACKEND_AUTO;
    if (rc == 0 && upstream && m->upstream_program == NULL)
        rc = dv__conf_copy(l, dv_conf_option_find("models.*.upstream_program"), m,
                           dv_conf_option_find("upstream.program"), &l->conf->pub);
    return rc;
}

static bool same_place(const dv_conf_listener *p, const dv__url *url)
{
    if (p->address.host == NULL || p->address.port != url->port)
        return false;
    bool any = strcmp(p->address.host, "0.0.0.0") == 0 || strcmp(p->address.host, "::") == 0;
    size_t n = strlen(p->address.host);
    return ((any || p->loopback) && dv__host_is_loopback(url->host, url->host_len)) ||
           (n == url->host_len && strncasecmp(p->address.host, url->host, n) == 0);
}

bool dv__conf_is_self(const dv_conf *c, const char *text)
{
    dv__url url;
    if (!dv__url_parse(text, &url))
        return false;
    for (size_t i = 0; i < c->n_listeners; i++)
        if (same_place(&c->listeners[i], &url))
            return true;
    return false;
}

static int add_shorthand_model(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    const dv_conf_option *path = dv_conf_option_find("model"), *url = dv_conf_option_find("model_url");
    /* People come with the address of the llama-server that drover now stands in for. */
    if (c->model_url != NULL && dv__conf_is_self(c, c->model_url))
        c->model_url = NULL;
    if (c->model == NULL && c->model_url == NULL)
        return 0;
    const dv_conf_source *s = dv_conf_source_of(c->model_url != NULL ? url : path, c);
    int rc = dv__conf_element(l, DV_CONF_MODEL, c->n_models, s);
    if (rc != 0)
        return rc;
    dv_conf_model *m = &c->models[c->n_models - 1];
    m->shorthand = true;
    if (c->model != NULL)
        rc = name_of_file(l, c->model, &m->name);
    else
        m->name = "default";
    if (rc == 0 && c->model_url != NULL)
        rc = dv__conf_copy(l, dv_conf_option_find("models.*.url"), m, url, c);
    else if (rc == 0)
        rc = dv__conf_copy(l, dv_conf_option_find("models.*.path"), m, path, c);
    return rc;
}

int dv__conf_resolve_lists(dv__load *l)
{
    dv_conf *c = &l->conf->pub;
    int rc = add_shorthand_listeners(l);
    for (size_t i = 0; i < c->n_listeners && rc == 0; i++)
        finish_listener(c, &c->listeners[i]);
    if (rc == 0)
        rc = trim_url(l, &c->model_url);
    if (rc == 0)
        rc = add_shorthand_model(l);
    for (size_t i = 0; i < c->n_models && rc == 0; i++)
        rc = finish_model(l, i);
    if (rc == 0 && c->default_model == NULL && c->n_models > 0)
        c->default_model = c->models[c->models[c->n_models - 1].shorthand ? c->n_models - 1 : 0].name;
    return rc;
}
