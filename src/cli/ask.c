/* SPDX-License-Identifier: MIT */
/* Where the service is, and who asks it. */
#include "cli/ask.h"

#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/config_args.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define KEY_VARIABLE "DROVER_API_KEY"
#define URL_VARIABLE "DROVER_URL"

/* ---- the address ---- */

static int set_socket(dv_ask *a, const char *path, dv_err *err)
{
    if (path[0] == 0 || strlen(path) > 107)
        return dv_fail(err, DV_EINVAL, "unix:%s: the path of a socket has 1 to 107 bytes", path);
    snprintf(a->socket, sizeof a->socket, "%s", path);
    snprintf(a->shown, sizeof a->shown, "unix:%s", path);
    snprintf(a->base, sizeof a->base, "http://localhost");
    return 0;
}

/* A literal of a loopback address, or a name that can be nothing else (RFC 6761 6.3). */
static bool is_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    char bare[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    bool bracket = host[0] == '[';
    if (n - 2 * bracket < sizeof bare && bracket) {
        memcpy(bare, host + 1, n - 2);
        bare[n - 2] = 0;
        return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcasecmp(host, "localhost") == 0 || (n > 10 && strcasecmp(host + n - 10, ".localhost") == 0);
}

/* What an address may not have, and what it must. */
static bool read_parts(CURLU *u, const char *url, char **scheme, char **host, char **port)
{
    char *none;
    static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK)
        return false;
    for (size_t i = 0; i < DV_ARRAY_LEN(unwanted); i++)
        if (curl_url_get(u, unwanted[i], &none, 0) == CURLUE_OK) {
            curl_free(none);
            return false;
        }
    if (curl_url_get(u, CURLUPART_PATH, &none, 0) == CURLUE_OK) {
        bool path = strcmp(none, "/") != 0;
        curl_free(none);
        if (path)
            return false;
    }
    return curl_url_get(u, CURLUPART_SCHEME, scheme, 0) == CURLUE_OK &&
           curl_url_get(u, CURLUPART_HOST, host, 0) == CURLUE_OK &&
           curl_url_get(u, CURLUPART_PORT, port, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

static bool is_plain(const char *s)
{
    for (; *s != 0; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

int dv_ask_url(dv_ask *a, const char *url, bool *local, dv_err *err)
{
    static const char unix_scheme[] = "unix:";
    char *scheme = NULL, *host = NULL, *port = NULL;
    *local = true;
    if (strncmp(url, unix_scheme, sizeof unix_scheme - 1) == 0)
        return set_socket(a, url + sizeof unix_scheme - 1, err);
    CURLU *u = curl_url();
    if (u == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    int rc = 0;
    bool ok = strlen(url) < sizeof a->base - 8 && is_plain(url) && read_parts(u, url, &scheme, &host, &port) &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (ok) {
        *local = is_local(host);
        snprintf(a->base, sizeof a->base, "%s://%s:%s", scheme, host, port);
        snprintf(a->shown, sizeof a->shown, "%s", a->base);
    } else {
        rc = dv_fail(err, DV_EINVAL,
                     "the address of a drover is http://HOST:PORT, https://HOST:PORT or unix:PATH, not '%s'", url);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return rc;
}

int dv_ask_listener(dv_ask *a, const dv_conf_listener *l, dv_err *err)
{
    char url[DV_ASK_URL_CAP];
    bool local;
    a->configured = true;
    if (l->address.path != NULL)
        return set_socket(a, l->address.path, err);
    if (l->address.port == 0)
        return dv_fail(err, DV_EINVAL, "the configuration's listener %s may be at any port: say where it is with --url",
                       l->address.text);
    /* What listens everywhere listens here. */
    const char *host = strcmp(l->address.host, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(l->address.host, "::") == 0    ? "::1"
                                                               : l->address.host;
    bool v6 = strchr(host, ':') != NULL;
    snprintf(url, sizeof url, "http%s://%s%s%s:%u", l->tls_cert != NULL ? "s" : "", v6 ? "[" : "", host, v6 ? "]" : "",
             l->address.port);
    if (l->tls_cert != NULL)
        snprintf(a->cert, sizeof a->cert, "%s", l->tls_cert);
    return dv_ask_url(a, url, &local, err);
}

/* Every listener serves everything: the app API's own one, else any. */
static const dv_conf_listener *choose_listener(const dv_conf *c)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        if (c->listeners[i].api == DV_CONF_API_APP)
            return &c->listeners[i];
    return c->n_listeners > 0 ? &c->listeners[0] : NULL;
}

/* ---- the key ---- */

/* Visible ASCII with blanks around it; the text is not quoted in errors. */
static int take_key(dv_ask *a, const char *text, const char *from, dv_err *err)
{
    text += strspn(text, " \t\r\n");
    size_t n = strcspn(text, " \t\r\n");
    if (n == 0 || n >= sizeof a->key || text[n + strspn(text + n, " \t\r\n")] != 0)
        return dv_fail(err, DV_EINVAL, "%s: there must be one API key in it", from);
    memcpy(a->key, text, n);
    a->key[n] = 0;
    if (!is_plain(a->key)) {
        explicit_bzero(a->key, sizeof a->key);
        return dv_fail(err, DV_EINVAL, "%s: what is in it is no API key", from);
    }
    snprintf(a->key_from, sizeof a->key_from, "%s", from);
    return 0;
}

static int read_key_file(dv_ask *a, const char *path, dv_err *err)
{
    dv_buf b;
    dv_buf_init(&b, 4 * DV_ASK_KEY_CAP);
    int rc = dv_file_read(&b, path, err);
    if (rc == 0)
        rc = take_key(a, dv_buf_str(&b), path, err);
    else if (err != NULL && strstr(err->msg, path) == NULL)
        dv_err_prefix(err, "%s", path);
    if (b.data != NULL)
        explicit_bzero(b.data, b.cap);
    dv_buf_fini(&b);
    return rc;
}

/* What a service wrote there at its first start. Somebody else's is none of ours. */
static int read_admin_key(dv_ask *a, const char *data_dir, dv_err *err)
{
    char path[PATH_MAX];
    dv_err own = {0};
    if (snprintf(path, sizeof path, "%s/admin.key", data_dir) >= (int)sizeof path)
        return 0;
    int rc = read_key_file(a, path, &own);
    if (rc == DV_ENOENT || rc == DV_EACCES) {
        snprintf(a->key_missing, sizeof a->key_missing, "%s", rc == DV_EACCES ? path : "");
        return 0;
    }
    return rc == 0 ? 0 : dv_fail(err, rc, "%s", own.msg);
}

/* ---- all of it ---- */

static int find(dv_ask *a, const dv_ask_opts *o, const dv_config_args *args, dv_err *err)
{
    const char *url = o->url != NULL ? o->url : dv_conf_env(args->input.env, URL_VARIABLE);
    const char *key = dv_conf_env(args->input.env, KEY_VARIABLE);
    dv_conf *c = NULL;
    bool local = true;
    int rc = url != NULL ? dv_ask_url(a, url, &local, err) : 0;
    if (rc == 0 && o->key_file != NULL)
        rc = read_key_file(a, o->key_file, err);
    else if (rc == 0 && key != NULL)
        rc = take_key(a, key, KEY_VARIABLE, err);
    /* Somebody else's server is not given the key of the one here; and a configuration that nothing is wanted of may be wrong. */
    bool wants_key = a->key[0] == 0 && local;
    if (rc == 0 && (url == NULL || wants_key))
        rc = dv_conf_open(&c, &args->input, err);
    if (rc == 0 && url == NULL)
        rc = choose_listener(c) != NULL
                 ? dv_ask_listener(a, choose_listener(c), err)
                 : dv_fail(err, DV_EINVAL, "the configuration has no listener: say where drover serve is with --url");
    if (rc == 0 && wants_key)
        rc = read_admin_key(a, c->data_dir, err);
    dv_conf_close(&c);
    return rc;
}

bool dv_ask_parse(const dv_cmd *cmd, int argc, char **argv, void *values, size_t size, dv_ask_opts *o, dv_ask *a,
                  size_t *n_args, int *exit_code)
{
    dv_config_args args;
    dv_err err = {0};
    *a = (dv_ask){0};
    if (!dv_config_parse_file(cmd, argc, argv, values, size, &args, n_args, exit_code))
        return false;
    int rc = o->ca_file != NULL && strlen(o->ca_file) >= sizeof a->ca
                 ? dv_fail(&err, DV_EINVAL, "--ca-file: the path is too long")
                 : 0;
    if (o->ca_file != NULL)
        snprintf(a->ca, sizeof a->ca, "%s", o->ca_file);
    if (rc == 0)
        rc = find(a, o, &args, &err);
    if (rc == 0)
        return true;
    *exit_code = dv_cmd_fail_err(cmd, &err);
    dv_ask_close(a);
    return false;
}

void dv_ask_close(dv_ask *a) { explicit_bzero(a->key, sizeof a->key); }

/* ---- answers ---- */

void dv_ask_path(dv_buf *b, const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p != 0; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                     strchr("-._~:", *p) != NULL;
        dv_buf_printf(b, plain ? "%c" : "%%%02X", *p);
    }
}

int dv_ask_print_json(const dv_cmd *cmd, const json_t *v)
{
    dv_buf b, safe;
    dv_buf_init(&b, 0);
    dv_buf_init(&safe, 0);
    dv_json_dump(&b, v, JSON_COMPACT | JSON_ENSURE_ASCII);
    /* ASCII has one control character that JSON leaves as it is. */
    for (const char *p = dv_buf_str(&b), *del; b.code == 0 && p != NULL; p = del != NULL ? del + 1 : NULL) {
        del = strchr(p, 0x7f);
        dv_buf_add(&safe, p, del != NULL ? (size_t)(del - p) : strlen(p));
        dv_buf_adds(&safe, del != NULL ? "\\u007f" : "\n");
    }
    safe.code = safe.code != 0 ? safe.code : b.code;
    dv_buf_fini(&b);
    return dv_config_print(cmd, &safe);
}

const char *dv_ask_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

uint64_t dv_ask_number(const json_t *object, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(object, name));
    return v > 0 ? (uint64_t)v : 0;
}

int dv_ask_array(const json_t *object, const char *name, const json_t **out, dv_err *err)
{
    *out = json_object_get(object, name);
    return json_is_array(*out) ? 0 : dv_ask_fail_shape(err);
}

int dv_ask_fail_shape(dv_err *err)
{
    return dv_fail(err, DV_EFORMAT,
                   "the server's answer is not what drover serve says: it is another program, or another version");
}

int dv_ask_no_model(dv_err *err)
{
    size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, "; `drover list` shows those that do");
    return DV_ENOENT;
}
