/* SPDX-License-Identifier: MIT */
/* What no single option can say. Each rule names the option that it would change. */
#include "base/err.h"
#include "conf/form.h"
#include "conf/load.h"

#include <stdlib.h>
#include <string.h>

enum { RUN_DIR_MAX = 82 };

static dv__slot slot_of(const char *name, size_t index) { return (dv__slot){dv_conf_option_find(name), index}; }

static const dv_conf_source *source_of(const char *name, const void *object)
{
    return dv_conf_source_of(dv_conf_option_find(name), object);
}

/* ---- numbers ---- */

static int check_order(dv__load *l, const char *low, int64_t low_value, const char *high, int64_t high_value)
{
    const dv_conf *c = &l->conf->pub;
    if (low_value <= high_value)
        return 0;
    /* The one that was given is the one to change. */
    bool low_given = dv__conf_given(dv_conf_option_find(low), c);
    const char *name = low_given ? low : high, *other = low_given ? high : low;
    return dv__conf_fail_option(l, slot_of(name, 0), source_of(name, c), "must not be %s %s",
                                low_given ? "more than" : "less than", other);
}

static int check_numbers(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    int rc = check_order(l, "limits.body_size", c->limits.body_bytes, "limits.bodies_size", c->limits.bodies_bytes);
    if (rc == 0)
        rc = check_order(l, "supervision.backoff_min", c->supervision.backoff_min_ms, "supervision.backoff_max",
                         c->supervision.backoff_max_ms);
    if (rc == 0)
        rc = check_order(l, "security.session_idle", c->security.session_idle_ms, "security.session_time",
                         c->security.session_ms);
    return rc;
}

/* ---- listeners ---- */

static int check_pair(dv__load *l, const char *cert, const char *key, size_t index, const void *object, bool has_cert,
                      bool has_key)
{
    if (has_cert == has_key)
        return 0;
    const char *name = has_cert ? cert : key;
    return dv__conf_fail_option(l, slot_of(name, index), source_of(name, object), "needs %s beside it",
                                strrchr(has_cert ? key : cert, '.') + 1);
}

/* Who is told where: a shorthand by its own name. */
static int fail_listener(dv__load *l, const dv_conf_listener *p, size_t index, const char *what)
{
    static const char *const names[DV_CONF_API_N] = {"listen.openai", "listen.app", "listen.websocket", "listen.chroma",
                                                     "listen.ollama"};
    const char *name = p->shorthand ? names[p->api] : "listeners.*.address";
    const dv_conf_source *s = source_of("listeners.*.address", p);
    return dv__conf_fail_option(l, slot_of(name, index), s->from == DV_CONF_FROM_DEFAULT ? &p->where : s, "%s", what);
}

static int check_listener(dv__load *l, size_t index)
{
    const dv_conf *c = &l->conf->pub;
    const dv_conf_listener *p = &c->listeners[index];
    if (strcmp(p->address.text, "off") == 0)
        return fail_listener(l, p, index, "must be given, as HOST:PORT, [IPV6]:PORT or unix:PATH");
    if (p->address.path != NULL && strlen(p->address.path) > 107)
        return fail_listener(l, p, index, "has a path of more than 107 bytes");
    if (p->address.path != NULL && p->tls_cert != NULL)
        return fail_listener(l, p, index, "is a unix socket: there is no TLS on it");
    if (!p->loopback && p->tls_cert == NULL && !c->insecure)
        return fail_listener(l, p, index,
                             "can be reached from other machines: set tls.cert and tls.key, or say --insecure");
    for (size_t i = 0; i < index; i++)
        if (strcmp(c->listeners[i].address.text, p->address.text) == 0 &&
            (p->address.path != NULL || p->address.port != 0))
            return fail_listener(l, p, index, "is listened on already");
    return check_pair(l, "listeners.*.tls_cert", "listeners.*.tls_key", index, p, p->tls_cert != NULL,
                      p->tls_key != NULL);
}

static int check_listeners(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    int rc = check_pair(l, "tls.cert", "tls.key", 0, c, c->tls.cert != NULL, c->tls.key != NULL);
    for (size_t i = 0; i < c->n_listeners && rc == 0; i++)
        rc = check_listener(l, i);
    if (rc == 0 && c->n_listeners == 0)
        return dv__conf_fail_option(l, slot_of("listen.openai", 0), source_of("listen.openai", c),
                                    "must not be off when everything else is: there is nothing to listen on");
    return rc;
}

/* ---- models ---- */

static int fail_model(dv__load *l, const dv_conf_model *m, size_t index, const char *name, const char *what)
{
    const dv_conf_source *s = source_of(name, m);
    return dv__conf_fail_option(l, slot_of(name, index), s->from == DV_CONF_FROM_DEFAULT ? &m->where : s, "%s", what);
}

static bool is_allowed(const dv_conf *c, const dv__url *url)
{
    dv__url have;
    if (dv__host_is_loopback(url->host, url->host_len))
        return true;
    for (size_t i = 0; i < c->remote.allow.n; i++)
        if (dv__url_parse(c->remote.allow.v[i], &have) && dv__url_same_origin(&have, url))
            return true;
    return false;
}

static int check_url(dv__load *l, const dv_conf_model *m, size_t index)
{
    dv__url url;
    bool has_key = m->key_env != NULL || m->key_file != NULL;
    if (!dv__url_parse(m->url, &url)) /* it was checked when it was read */
        return DV_EINTERNAL;
    if (dv__conf_is_self(&l->conf->pub, m->url))
        return fail_model(l, m, index, "models.*.url", "is this server itself");
    if (!is_allowed(&l->conf->pub, &url))
        return fail_model(l, m, index, "models.*.url", "is at a server that is not among remote.allow");
    if (has_key && !url.https && !dv__host_is_loopback(url.host, url.host_len))
        return fail_model(l, m, index, "models.*.url", "must be https: a key is not sent in the clear");
    return 0;
}

static int check_place(dv__load *l, const dv_conf_model *m, size_t index)
{
    bool remote = m->backend == DV_CONF_BACKEND_REMOTE;
    if (m->path == NULL && m->url == NULL)
        return fail_model(l, m, index, "models.*.path", "or url must be given");
    if (m->path != NULL && m->url != NULL)
        return fail_model(l, m, index, "models.*.url", "and path are both given");
    if (remote && m->url == NULL)
        return fail_model(l, m, index, "models.*.backend", "is remote, which needs a url, not a path");
    if (!remote && m->url != NULL)
        return fail_model(l, m, index, "models.*.backend", "must be remote for a url");
    if (m->name == NULL)
        return fail_model(l, m, index, "models.*.name", "must be given for a url");
    if (dv__form_name(m->name) != NULL) /* made of a file's name */
        return fail_model(l, m, index, "models.*.name", "must be given: the file's name cannot be one");
    return 0;
}

/* Options that mean nothing for the kind of model it is. */
static int check_kind(dv__load *l, const dv_conf_model *m, size_t index)
{
    bool upstream = m->backend == DV_CONF_BACKEND_UPSTREAM || m->backend == DV_CONF_BACKEND_AUTO;
    if (m->url == NULL && m->key_env != NULL)
        return fail_model(l, m, index, "models.*.key_env", "is for models with a url");
    if (m->url == NULL && m->key_file != NULL)
        return fail_model(l, m, index, "models.*.key_file", "is for models with a url");
    if (m->url == NULL && m->remote_name != NULL)
        return fail_model(l, m, index, "models.*.remote_name", "is for models with a url");
    if (m->key_env != NULL && m->key_file != NULL)
        return fail_model(l, m, index, "models.*.key_file", "and key_env are both given");
    if (m->url != NULL && m->chat_template != NULL)
        return fail_model(l, m, index, "models.*.chat_template", "is for models with a path");
    if (!upstream && m->upstream_program != NULL)
        return fail_model(l, m, index, "models.*.upstream_program", "is for models whose backend is upstream or auto");
    if (!upstream && m->upstream_flags.n > 0)
        return fail_model(l, m, index, "models.*.upstream_flags", "is for models whose backend is upstream or auto");
    return 0;
}

typedef struct name_use {
    const char *name;
    size_t model;
} name_use;

static int by_name(const void *a, const void *b)
{
    const name_use *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : x->model < y->model ? -1 : x->model > y->model;
}

/* Names and aliases are one name space. Sorted, since there may be many. */
static int check_names(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    size_t n = 0, all = 0;
    for (size_t i = 0; i < c->n_models; i++)
        all += 1 + c->models[i].aliases.n;
    name_use *uses = dv_arena_calloc(&l->conf->arena, all + 1, sizeof *uses);
    if (uses == NULL)
        return DV_ENOMEM;
    for (size_t i = 0; i < c->n_models; i++) {
        uses[n++] = (name_use){c->models[i].name, i};
        for (size_t k = 0; k < c->models[i].aliases.n; k++)
            uses[n++] = (name_use){c->models[i].aliases.v[k], i};
    }
    qsort(uses, n, sizeof *uses, by_name);
    for (size_t i = 1; i < n; i++) {
        const dv_conf_model *m = &c->models[uses[i].model];
        if (strcmp(uses[i - 1].name, uses[i].name) != 0)
            continue;
        const char *option = strcmp(m->name, uses[i].name) == 0 && uses[i - 1].model != uses[i].model
                                 ? "models.*.name"
                                 : "models.*.aliases";
        const dv_conf_source *s = source_of(option, m);
        return dv__conf_fail_option(l, slot_of(option, uses[i].model), s->from == DV_CONF_FROM_DEFAULT ? &m->where : s,
                                    "has '%s', which is the name of another one already", uses[i].name);
    }
    return 0;
}

static int check_models(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    int rc = 0;
    for (size_t i = 0; i < c->n_models && rc == 0; i++) {
        rc = check_place(l, &c->models[i], i);
        if (rc == 0 && c->models[i].url != NULL)
            rc = check_url(l, &c->models[i], i);
        if (rc == 0)
            rc = check_kind(l, &c->models[i], i);
    }
    return rc == 0 ? check_names(l) : rc;
}

/* ---- paths ---- */

static int check_program(dv__load *l, dv__slot slot, const char *program, const void *object)
{
    const dv_conf_source *s = dv_conf_source_of(slot.o, object);
    if (program == NULL)
        return dv__conf_fail_option(l, slot, s, "must not be empty");
    if (program[0] != '/' && strchr(program, '/') != NULL)
        return dv__conf_fail_option(l, slot, s, "must be an absolute path, or a name without a slash");
    return 0;
}

static int check_programs(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    int rc = check_program(l, slot_of("upstream.program", 0), c->upstream.program, c);
    for (size_t i = 0; i < c->n_models && rc == 0; i++)
        if (c->models[i].upstream_program != NULL)
            rc =
                check_program(l, slot_of("models.*.upstream_program", i), c->models[i].upstream_program, &c->models[i]);
    return rc;
}

/* Engines' sockets are in it: sun_path has 108 bytes. */
static int check_run_dir(dv__load *l)
{
    const dv_conf *c = &l->conf->pub;
    if (strlen(c->run_dir) <= RUN_DIR_MAX)
        return 0;
    return dv__conf_fail_option(l, slot_of("run_dir", 0), source_of("run_dir", c),
                                "must be a path of up to %d bytes: sockets are in it", RUN_DIR_MAX);
}

int dv__conf_check_rules(dv__load *l)
{
    int rc = check_numbers(l);
    if (rc == 0)
        rc = check_listeners(l);
    if (rc == 0)
        rc = check_models(l);
    if (rc == 0)
        rc = check_programs(l);
    return rc == 0 ? check_run_dir(l) : rc;
}
