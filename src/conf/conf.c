/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include "base/err.h"
#include "base/file.h"
#include "conf/load.h"
#include "conf/reload.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_PATH_MAX = 120, KEY_FILE_MAX = 16384 };

/* The file's name for messages, which have little room, and its folder. */
static int name_file(dv__load *l)
{
    const char *file = l->in->file != NULL ? l->in->file : "drover.yaml", *dir = l->in->dir;
    dv_arena *a = &l->conf->arena;
    size_t n = strlen(file);
    char *folder = NULL;
    if (n > SHOWN_PATH_MAX) {
        char *shown = dv_arena_alloc(a, SHOWN_PATH_MAX + 4);
        if (shown != NULL)
            snprintf(shown, SHOWN_PATH_MAX + 4, "...%s", file + n - SHOWN_PATH_MAX);
        l->file = shown;
    } else {
        l->file = dv_arena_strndup(a, file, n);
    }
    const char *slash = strrchr(file, '/');
    size_t len = slash != NULL ? (size_t)(slash - file) + (slash == file) : 0, dir_len = dir != NULL ? strlen(dir) : 0;
    if (file[0] == '/')
        folder = dv_arena_strndup(a, file, len);
    else if ((folder = dv_arena_alloc(a, dir_len + len + 2)) != NULL)
        snprintf(folder, dir_len + len + 2, "%s%s%.*s", dir_len > 0 ? dir : "", dir_len > 0 && len > 0 ? "/" : "",
                 (int)len, file);
    l->folder = folder;
    return l->file != NULL && folder != NULL ? 0 : DV_ENOMEM;
}

static int read_all(dv__load *l)
{
    int rc = dv__conf_init_object(l, DV_CONF_TOP, &l->conf->pub);
    if (rc == 0)
        rc = name_file(l);
    if (rc == 0)
        rc = dv__conf_load_file(l);
    if (rc == 0)
        rc = dv__conf_load_env(l);
    if (rc == 0)
        rc = dv__conf_load_flags(l);
    if (rc == 0)
        rc = dv__conf_check_env(l);
    return rc == 0 ? dv__conf_resolve_top(l) : rc;
}

int dv__conf_open(dv_conf **out, const dv_conf *old, const dv_conf_input *in, dv_conf_changes *changes, dv_err *err)
{
    dv_err local = {0};
    *out = NULL;
    dv__conf *conf = dv_calloc(DV_MEM_CONF, 1, sizeof *conf);
    if (conf == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_arena_init(&conf->arena, DV_MEM_CONF, 0);
    dv__load l = {.conf = conf, .in = in, .err = err != NULL ? err : &local, .folder = ""};
    int rc = read_all(&l);
    if (rc == 0 && old != NULL)
        rc = dv__conf_keep_old(&l, old, changes);
    if (rc == 0)
        rc = dv__conf_resolve_lists(&l);
    if (rc == 0)
        rc = dv__conf_check_rules(&l);
    if (rc == 0 && old != NULL)
        rc = dv__conf_compare(&l, old, changes);
    *out = &conf->pub;
    if (rc == 0)
        return 0;
    dv_conf_close(out);
    return dv_fail(err, rc, "%s", dv_error_text(rc));
}

int dv_conf_open(dv_conf **out, const dv_conf_input *in, dv_err *err)
{
    return dv__conf_open(out, NULL, in, NULL, err);
}

void dv_conf_close(dv_conf **conf)
{
    if (*conf == NULL)
        return;
    dv__conf *c = (dv__conf *)*conf;
    dv_arena_wipe(&c->arena);
    dv_arena_fini(&c->arena);
    dv_free(c);
    *conf = NULL;
}

const dv_conf_model *dv_conf_find_model(const dv_conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_models; i++) {
        const dv_conf_model *m = &conf->models[i];
        if (strcmp(m->name, name) == 0)
            return m;
        for (size_t k = 0; k < m->aliases.n; k++)
            if (strcmp(m->aliases.v[k], name) == 0)
                return m;
    }
    return NULL;
}

bool dv_conf_loopback_keyless(const dv_conf *conf)
{
    if (conf->security.loopback_keyless != DV_CONF_KEYLESS_AUTO)
        return conf->security.loopback_keyless == DV_CONF_KEYLESS_YES;
    for (size_t i = 0; i < conf->n_listeners; i++)
        if (!conf->listeners[i].loopback)
            return false;
    return conf->security.trusted_proxies.n == 0;
}

/* ---- keys of remotes ---- */

static int take_key(const char *s, size_t n, const char *from, char *out, size_t cap, dv_err *err)
{
    static const char blanks[] = " \t\r\n";
    while (n > 0 && strchr(blanks, s[0]) != NULL && s[0] != 0)
        s++, n--;
    while (n > 0 && strchr(blanks, s[n - 1]) != NULL && s[n - 1] != 0)
        n--;
    if (n == 0)
        return dv_fail(err, DV_EINVAL, "%s: there is no key in it", from);
    if (n >= cap)
        return dv_fail(err, DV_ELIMIT, "%s: a key of more than %zu bytes", from, cap - 1);
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e)
            return dv_fail(err, DV_EINVAL, "%s: a key is one line of visible ASCII characters", from);
    memcpy(out, s, n);
    out[n] = 0;
    return 0;
}

int dv_conf_read_key(const dv_conf_model *model, const char *const *env, char *out, size_t cap, dv_err *err)
{
    out[0] = 0;
    if (model->key_env != NULL) {
        const char *text = dv_conf_env(env, model->key_env);
        if (text == NULL)
            return dv_fail(err, DV_ENOENT, "%s: there is no such variable, or nothing in it", model->key_env);
        return take_key(text, strlen(text), model->key_env, out, cap, err);
    }
    if (model->key_file == NULL)
        return 0;
    dv_buf b;
    dv_buf_init(&b, KEY_FILE_MAX);
    dv_buf_reserve(&b, KEY_FILE_MAX); /* once, so that no copy of it is left behind */
    int rc = dv_file_read(&b, model->key_file, err);
    if (rc == 0)
        rc = take_key(b.data, b.len, model->key_file, out, cap, err);
    if (b.data != NULL)
        explicit_bzero(b.data, b.cap);
    dv_buf_fini(&b);
    return rc;
}
