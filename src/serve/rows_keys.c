/* SPDX-License-Identifier: MIT */
/* API keys for admins. A key itself is in one reply only: that to its making. */
#include "base/attr.h"
#include "base/err.h"
#include "serve/listing.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void put_patterns(dv_buf *b, const char *name, const dv_patterns *p)
{
    dv_buf_printf(b, ",\"%s\":", name);
    dv__put_list(b, p->v, p->n);
}

static void put_scope(dv_buf *b, const dv_scope *s)
{
    put_patterns(b, "routes", &s->routes);
    put_patterns(b, "models", &s->models);
    dv_buf_printf(b,
                  ",\"admin\":%s,\"requests_per_minute\":%" PRIu32 ",\"tokens_per_minute\":%" PRIu32
                  ",\"concurrency\":%" PRIu32,
                  s->admin ? "true" : "false", s->requests_per_min, s->tokens_per_min, s->concurrency);
    dv_buf_printf(b, ",\"max_context\":%" PRIu32 ",\"expires_ms\":%" PRIu64, s->max_context, s->expires_ms);
}

static void put_key(dv_buf *b, const dv_key *k)
{
    dv_buf_printf(b, "{\"id\":%" PRId64 ",\"name\":", k->id);
    dv_buf_json_str(b, k->name, strlen(k->name));
    dv_buf_adds(b, ",\"prefix\":");
    dv_buf_json_str(b, k->prefix, strlen(k->prefix));
    dv_buf_printf(b,
                  ",\"owner\":%" PRId64 ",\"created_ms\":%" PRIu64 ",\"used_ms\":%" PRIu64 ",\"revoked_ms\":%" PRIu64,
                  k->owner, k->created_ms, k->used_ms, k->revoked_ms);
    put_scope(b, &k->scope);
    dv_buf_addc(b, '}');
}

static int get_keys(dv__xchg *x, dv_err *err)
{
    dv_key_list list;
    dv_buf b;
    int rc = dv_key_list_get(x->s->o.store, &list, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"keys\":[");
    for (size_t i = 0; i < list.n; i++) {
        dv_buf_adds(&b, i > 0 ? "," : "");
        put_key(&b, list.v[i]);
    }
    dv_buf_adds(&b, "]}");
    dv_key_list_fini(&list);
    return dv__xchg_json(x, 200, &b);
}

static uint32_t number(const json_t *body, const char *name)
{
    json_int_t v = json_is_real(json_object_get(body, name)) ? (json_int_t)json_real_value(json_object_get(body, name))
                                                             : json_integer_value(json_object_get(body, name));
    return v > 0 ? (uint32_t)v : 0;
}

/* The table has bounded their number and length. v has room for all of them. */
static dv_patterns patterns(const json_t *body, const char *name, const char *v[DV_SCOPE_PATTERNS])
{
    const json_t *list = json_object_get(body, name);
    dv_patterns p = {.v = v};
    for (size_t i = 0; i < json_array_size(list) && p.n < DV_SCOPE_PATTERNS; i++)
        v[p.n++] = json_string_value(json_array_get(list, i));
    return p;
}

static int post_key(dv__xchg *x, dv_err *err)
{
    const char *routes[DV_SCOPE_PATTERNS], *models[DV_SCOPE_PATTERNS];
    const json_t *o = x->body;
    const dv_key_spec spec = {.name = json_string_value(json_object_get(o, "name")),
                              .scope = {.routes = patterns(o, "routes", routes),
                                        .models = patterns(o, "models", models),
                                        .admin = json_is_true(json_object_get(o, "admin")),
                                        .requests_per_min = number(o, "requests_per_minute"),
                                        .tokens_per_min = number(o, "tokens_per_minute"),
                                        .concurrency = number(o, "concurrency"),
                                        .max_context = number(o, "max_context"),
                                        .expires_ms = (uint64_t)json_number_value(json_object_get(o, "expires_ms"))}};
    const dv_audit_who who = dv__xchg_who(x);
    char key[DV_KEY_LEN + 1];
    int64_t id;
    dv_buf b;
    int rc = dv_key_create(x->s->o.store, &spec, &who, key, &id, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"id\":%" PRId64 ",\"key\":\"%s\"}", id, key);
    sodium_memzero(key, sizeof key);
    return dv__xchg_json(x, 201, &b);
}

static int delete_key(dv__xchg *x, dv_err *err)
{
    char text[24], *end;
    int rc = dv__xchg_param(x, 0, text, sizeof text, err);
    if (rc != 0)
        return rc;
    long long id = strtoll(text, &end, 10);
    if (*end != 0 || text[0] < '0' || text[0] > '9')
        return dv_fail(err, DV_ENOENT, "there is no such key");
    const dv_audit_who who = dv__xchg_who(x);
    rc = dv_key_revoke(x->s->o.store, id, &who, err);
    if (rc != 0)
        return rc;
    dv__xchg_headers(x);
    return dv_http_reply(x->req, 204, NULL, NULL, 0) == DV_ENOMEM ? DV_ENOMEM : 0;
}

static const dv__field pattern = {.types = DV__T_STR, .min_len = 1, .max_len = DV_SCOPE_PATTERN - 1};
#define PATTERNS(n, h)                                                                           \
    {                                                                                            \
        .name = n, .types = DV__T_ARR, .max_len = DV_SCOPE_PATTERNS, .item = &pattern, .help = h \
    }
#define COUNT(n, h)                                                             \
    {                                                                           \
        .name = n, .types = DV__T_INT, .min = 0, .max = 4294967295.0, .help = h \
    }

static const dv__field fields[] = {
    {.name = "name", .types = DV__T_STR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = DV_NAME_MAX},
    PATTERNS("routes", "groups of routes, or paths with *; absent: all that need no admin"),
    PATTERNS("models", "names of models with *; absent: all"),
    {.name = "admin", .types = DV__T_BOOL},
    COUNT("requests_per_minute", "0: the server's limit"),
    COUNT("tokens_per_minute", "0: the server's limit"),
    COUNT("concurrency", "requests at one time; 0: the server's limit"),
    COUNT("max_context", "tokens of prompt and answer; 0: the model's"),
    {.name = "expires_ms",
     .types = DV__T_INT,
     .min = 0,
     .max = 9007199254740991.0,
     .help = "milliseconds since 1970; 0: never"},
};
static const dv__schema schema = {.name = "KeyRequest", .fields = fields, .n = DV_ARRAY_LEN(fields)};

#define KEYS .api = DV_CONF_API_APP, .style = DV_STYLE_OPENAI, .group = DV__GROUP_ADMIN
static const dv__row rows[] = {
    {DV_HTTP_GET, "/api/keys", KEYS, .flags = DV__ROW_ADMIN | DV__ROW_WORK, .handle = get_keys,
     .summary = "All keys, revoked ones too", .reply = "KeyList"},
    {DV_HTTP_POST, "/api/keys", KEYS, .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_WORK, .body = &schema,
     .handle = post_key, .summary = "Make a key, which is shown once", .reply = "KeyCreated"},
    {DV_HTTP_DELETE, "/api/keys/{id}", KEYS, .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_WORK,
     .handle = delete_key, .summary = "Revoke a key", .reply = "Empty"},
};
const dv__rows dv__rows_keys = {rows, DV_ARRAY_LEN(rows)};
