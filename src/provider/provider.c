/* SPDX-License-Identifier: MIT */
#include "base/attr.h"
#include "base/err.h"
#include "base/utf8.h"
#include "conf/conf.h"
#include "provider/body.h"
#include "provider/impl.h"

#include <string.h>

enum { CONNECT_MS = 10000, START_MS = 120000, SILENCE_MS = 120000, URL_MAX = 2048, NAME_MAX_LEN = 1024 };

int dv__set_text(char **to, const char *s, dv_err *err)
{
    char *copy = s != NULL ? dv_strndup(DV_MEM_CLIENT, s, strlen(s)) : NULL;
    if (s != NULL && copy == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_free(*to);
    *to = copy;
    return 0;
}

int dv__check_profile(const dv_provider *p, const char *profile, dv_err *err)
{
    if (profile == NULL)
        return 0;
    if (p->is_owned && dv_conf_own_profile(profile) == NULL)
        return dv_fail(err, DV_EINVAL, "profile: there is no profile '%s'", profile);
    return dv__is_word(profile) ? 0 : dv_fail(err, DV_EINVAL, "profile: is empty or not printable ASCII");
}

static const char *keep(dv_provider *p, const char *s, size_t n, const char *more, dv_err *err)
{
    char *copy = dv_arena_alloc(&p->arena, n + strlen(more) + 1);
    if (copy == NULL) {
        dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        return NULL;
    }
    memcpy(copy, s, n);
    memcpy(copy + n, more, strlen(more) + 1);
    return copy;
}

/* "http://host" is its API at /v1; "http://host/x/v1" has drover's own API at /x. */
static int set_url(dv_provider *p, const char *url, size_t scheme, dv_err *err)
{
    size_t n = strlen(url), host = strcspn(url + scheme, "/");
    while (n > scheme && url[n - 1] == '/')
        n--;
    /* An @ would make what is before it a name and a password, and what is behind it the host. */
    if (n > URL_MAX || host == 0 || n <= scheme || !dv__is_word(url) || strpbrk(url, "?#\\\"<>") != NULL ||
        memchr(url + scheme, '@', host) != NULL)
        return dv_fail(err, DV_EINVAL, "the URL of a server is http:// or https://, a host, and maybe a path");
    bool bare = n == scheme + host, v1 = !bare && n >= 3 && memcmp(url + n - 3, "/v1", 3) == 0;
    p->api = keep(p, url, n, bare ? "/v1" : "", err);
    p->root = p->api != NULL ? keep(p, url, v1 ? n - 3 : n, "", err) : NULL;
    return p->root != NULL ? 0 : DV_ENOMEM;
}

static int set_socket(dv_provider *p, const char *path, dv_err *err)
{
    if (path[0] != '/' || strlen(path) >= DV__SOCKET_MAX)
        return dv_fail(err, DV_EINVAL, "the path of a unix socket is absolute and shorter than %d bytes",
                       DV__SOCKET_MAX);
    p->socket = keep(p, path, strlen(path), "", err);
    return p->socket != NULL ? set_url(p, "http://localhost", 7, err) : DV_ENOMEM;
}

static int set_target(dv_provider *p, const char *target, const dv_provider_options *o, dv_err *err)
{
    if (strncmp(target, "http://", 7) == 0 || strncmp(target, "https://", 8) == 0)
        return set_url(p, target, target[4] == ':' ? 7 : 8, err);
    if (strncmp(target, "unix:", 5) == 0)
        return set_socket(p, target + 5, err);
    p->is_owned = true;
    int rc = set_url(p, "http://localhost", 7, err);
    if (rc == 0)
        rc = dv__owned_open(&p->owned, target, o, err);
    p->socket = p->owned.socket;
    return rc;
}

static int set_secrets(dv_provider *p, const dv_provider_options *o, dv_err *err)
{
    if (o->ca_file != NULL && (p->ca_file = keep(p, o->ca_file, strlen(o->ca_file), "", err)) == NULL)
        return DV_ENOMEM;
    if (o->key == NULL || p->is_owned)
        return 0;
    if (!dv__is_word(o->key))
        return dv_fail(err, DV_EINVAL, "key: is empty or not visible ASCII");
    return dv__set_text(&p->key, o->key, err);
}

static int set_names(dv_provider *p, const dv_provider_options *o, dv_err *err)
{
    if (o->model != NULL &&
        (o->model[0] == 0 || strlen(o->model) > NAME_MAX_LEN || !dv_utf8_valid(o->model, strlen(o->model))))
        return dv_fail(err, DV_EINVAL, "model: is empty, too long or not UTF-8");
    int rc = dv__check_profile(p, o->profile, err);
    if (rc == 0 && !p->is_owned)
        rc = dv__set_text(&p->model, o->model, err);
    return rc == 0 ? dv__set_text(&p->profile, o->profile, err) : rc;
}

static int open_wire(dv_provider *p, const dv_provider_options *o, dv_err *err)
{
    p->silence_ms = o->silence_ms;
    p->total_ms = o->total_ms;
    p->wire.socket = p->socket;
    p->wire.key = p->key;
    p->wire.ca_file = p->ca_file;
    p->wire.connect_ms = o->connect_ms;
    return dv__wire_init(&p->wire, err);
}

/* The engine is started as it would be for the first call. */
static int start_owned(dv_provider *p, dv_err *err)
{
    int rc = dv__wire_begin(&p->wire, err);
    if (rc == 0)
        rc = dv__owned_ensure(&p->owned, &p->wire, p->profile, err);
    atomic_store(&p->pid, p->owned.process.there ? (int)p->owned.process.pid : 0);
    dv__wire_end(&p->wire);
    return rc;
}

int dv_provider_open(dv_provider **out, const char *target, const dv_provider_options *options, dv_err *err)
{
    dv_provider_options o = options != NULL ? *options : (dv_provider_options){0};
    *out = NULL;
    if (target == NULL || target[0] == 0)
        return dv_fail(err, DV_EINVAL, "there is neither a URL nor a file");
    dv_provider *p = dv_calloc(DV_MEM_CLIENT, 1, sizeof *p);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    o.connect_ms = o.connect_ms != 0 ? o.connect_ms : CONNECT_MS;
    o.start_ms = o.start_ms != 0 ? o.start_ms : START_MS;
    o.silence_ms = o.silence_ms != 0 ? o.silence_ms : SILENCE_MS;
    dv_arena_init(&p->arena, DV_MEM_CLIENT, 0);
    dv_arena_init(&p->list_arena, DV_MEM_CLIENT, 0);
    dv__answer_init(&p->answer, NULL);
    int rc = set_target(p, target, &o, err);
    if (rc == 0)
        rc = set_secrets(p, &o, err);
    if (rc == 0)
        rc = set_names(p, &o, err);
    if (rc == 0)
        rc = open_wire(p, &o, err);
    if (rc == 0 && p->is_owned)
        rc = start_owned(p, err);
    *out = p;
    if (rc != 0)
        dv_provider_close(out);
    return rc;
}

void dv_provider_close(dv_provider **provider)
{
    dv_provider *p = provider != NULL ? *provider : NULL;
    if (p == NULL)
        return;
    if (p->is_owned)
        dv__owned_close(&p->owned);
    dv__wire_fini(&p->wire);
    dv__answer_fini(&p->answer);
    if (p->key != NULL)
        explicit_bzero(p->key, strlen(p->key));
    dv_free(p->key);
    dv_free(p->model);
    dv_free(p->profile);
    dv_arena_fini(&p->list_arena);
    dv_arena_fini(&p->arena);
    dv_free(p);
    *provider = NULL;
}

void dv_provider_cancel(dv_provider *p) { dv__wire_cancel(&p->wire); }

int dv_provider_engine_pid(dv_provider *p) { return atomic_load(&p->pid); }
