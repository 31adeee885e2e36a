/* SPDX-License-Identifier: MIT */
#include "client/outgoing.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

enum { URL_MAX = 16 << 10, LINE_EXTRA = 4 };

static const char *const methods[DV_HTTP_VERB_N] = {
    [DV_HTTP_GET] = "GET", [DV_HTTP_HEAD] = "HEAD",   [DV_HTTP_POST] = "POST",
    [DV_HTTP_PUT] = "PUT", [DV_HTTP_PATCH] = "PATCH", [DV_HTTP_DELETE] = "DELETE"};

/* Printable ASCII only, and none of these. */
static bool plain(const char *s, size_t n, const char *none_of)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] >= 0x7f || strchr(none_of, s[i]) != NULL)
            return false;
    return true;
}

static int check_target(const dv_fetch_target *to, const char *path, dv_err *err)
{
    const char *base = to->base == NULL ? "" : to->base;
    size_t n = strlen(base), scheme = strncmp(base, "http://", 7) == 0 ? 7 : strncmp(base, "https://", 8) == 0 ? 8 : 0;
    size_t host = strcspn(base + scheme, "/");
    /* An @ would make what is before it a name and a password, and what is behind it the host. */
    if (scheme == 0 || host == 0 || n > URL_MAX || base[n - 1] == '/' || !plain(base, n, "?#\\") ||
        memchr(base + scheme, '@', host) != NULL)
        return dv_fail(
            err, DV_EINVAL,
            "the address of a server is not http:// or https://, a host, and maybe a path without a slash at its end");
    if (path == NULL || path[0] != '/' || strlen(path) > URL_MAX || !plain(path, strlen(path), "#\\"))
        return dv_fail(err, DV_EINVAL,
                       "the path of a request does not begin with / or has characters that a URL cannot have");
    if (to->socket != NULL && (to->socket[0] == 0 || to->public_only))
        return dv_fail(err, DV_EINVAL, "a unix socket has no name, or shall be public");
    if (to->bearer != NULL && (to->bearer[0] == 0 || !plain(to->bearer, strlen(to->bearer), "")))
        return dv_fail(err, DV_EINVAL, "a bearer token is empty or has characters that a token cannot have");
    return 0;
}

/* Fields that belong to the connection, or that libcurl makes from what it is told. */
static bool own_field(const char *name)
{
    static const char *const own[] = {
        "Host",    "Content-Length", "Connection",       "Transfer-Encoding",  "Expect", "Keep-Alive", "TE",
        "Trailer", "Upgrade",        "Proxy-Connection", "Proxy-Authorization"};
    for (size_t i = 0; i < DV_ARRAY_LEN(own); i++)
        if (strcasecmp(own[i], name) == 0)
            return true;
    return false;
}

/* *size grows by what the lines take. */
static int check_fields(const dv_fetch_target *to, const dv_fetch_request *rq, size_t *size, dv_err *err)
{
    for (size_t i = 0; i < rq->n_fields; i++) {
        const char *name = rq->fields[i].name, *value = rq->fields[i].value;
        if (!dv_http_is_token(name, strlen(name)) || own_field(name) ||
            (to->bearer != NULL && strcasecmp(name, "Authorization") == 0))
            return dv_fail(err, DV_EINVAL, "a request cannot be given a field \"%s\"", name);
        if (!dv_http_is_value(value, strlen(value)))
            return dv_fail(err, DV_EINVAL, "the value of field %s has control characters", name);
        *size += strlen(name) + strlen(value) + LINE_EXTRA;
    }
    return 0;
}

static size_t room(const char *s, size_t more) { return s != NULL ? strlen(s) + more : 0; }

static const char *copy(dv__outgoing *o, const char *a, const char *b, const char *c)
{
    size_t at = o->text.len;
    dv_buf_adds(&o->text, a);
    dv_buf_adds(&o->text, b);
    dv_buf_adds(&o->text, c);
    dv_buf_addc(&o->text, 0);
    return o->text.data + at; /* room was made before */
}

static void add_line(struct curl_slist *node, const char *line, bool first)
{
    node->data = (char *)(uintptr_t)line; /* libcurl reads it only */
    if (!first)
        node[-1].next = node;
}

static void add_lines(dv__outgoing *o, const dv_fetch_target *to, const dv_fetch_request *rq)
{
    struct curl_slist *node = o->lines;
    bool has_type = false;
    add_line(node++, "Expect:", true); /* never wait for a 100 */
    for (size_t i = 0; i < rq->n_fields; i++) {
        const char *name = rq->fields[i].name, *value = rq->fields[i].value;
        value += strspn(value, " \t");
        has_type |= strcasecmp(name, "Content-Type") == 0;
        /* "Name:" would take the field away; "Name;" is an empty one. */
        add_line(node++, value[0] == 0 ? copy(o, name, ";", "") : copy(o, name, ": ", value), false);
    }
    if (!has_type)
        add_line(node++, "Content-Type:", false); /* libcurl would say it is a form */
    if (to->bearer != NULL)
        add_line(node++, copy(o, "Authorization: Bearer ", to->bearer, ""), false);
}

int dv__outgoing_init(dv__outgoing *o, const dv_fetch_target *to, const dv_fetch_request *rq, dv_err *err)
{
    *o = (dv__outgoing){.method = (unsigned)rq->verb < DV_HTTP_VERB_N ? methods[rq->verb] : NULL};
    dv_buf_init(&o->text, 0);
    bool bodiless = rq->verb == DV_HTTP_GET || rq->verb == DV_HTTP_HEAD;
    if (o->method == NULL || rq->on_data == NULL || rq->on_end == NULL ||
        (rq->n_body > 0 && (rq->body == NULL || bodiless)))
        return dv_fail(err, DV_EINVAL, "a request has no method, no reader, or a body that its method cannot have");
    int code = check_target(to, rq->path, err);
    if (code != 0)
        return code;
    size_t size =
        room(to->base, 1) + room(rq->path, 1) + room(to->socket, 1) + room(to->ca_file, 1) + room(to->bearer, 32);
    code = check_fields(to, rq, &size, err);
    if (code != 0)
        return code;
    o->lines = dv_calloc(DV_MEM_CLIENT, rq->n_fields + 3, sizeof *o->lines);
    if (o->lines == NULL || dv_buf_reserve(&o->text, size) != 0) {
        dv__outgoing_fini(o);
        return dv_fail(err, DV_ENOMEM, "a request: %s", dv_error_text(DV_ENOMEM));
    }
    o->url = copy(o, to->base, rq->path, "");
    o->socket = to->socket != NULL ? copy(o, to->socket, "", "") : NULL;
    o->ca_file = to->ca_file != NULL ? copy(o, to->ca_file, "", "") : NULL;
    add_lines(o, to, rq);
    return 0;
}

void dv__outgoing_fini(dv__outgoing *o)
{
    if (o->text.data != NULL)
        explicit_bzero(o->text.data, o->text.cap);
    dv_buf_fini(&o->text);
    dv_free(o->lines);
    *o = (dv__outgoing){0};
}
