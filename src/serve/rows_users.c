/* SPDX-License-Identifier: MIT */
/* Users and their sessions. A login answers with a cookie that scripts cannot read, and with the token that pages send along. */
#include "base/attr.h"
#include "base/err.h"
#include "serve/exchange.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *body, const char *name, size_t *n)
{
    const json_t *v = json_object_get(body, name);
    *n = json_string_length(v);
    return json_string_value(v);
}

static void put_user(dv_buf *b, const dv_user *u)
{
    dv_buf_printf(b, "{\"id\":%" PRId64 ",\"name\":", u->id);
    dv_buf_json_str(b, u->name, strlen(u->name));
    dv_buf_printf(b, ",\"role\":\"%s\",\"created_ms\":%" PRIu64 ",\"login_ms\":%" PRIu64 "}", dv_role_name(u->role),
                  u->created_ms, u->login_ms);
}

static int no_content(dv__xchg *x)
{
    dv__xchg_headers(x);
    return dv_http_reply(x->req, 204, NULL, NULL, 0) == DV_ENOMEM ? DV_ENOMEM : 0;
}

/* ---- sessions ---- */

static const char *cookie_of(const dv__xchg *x, size_t *n)
{
    const char *v = dv__who_cookie(x, n);
    if (v == NULL)
        *n = 0;
    return v;
}

/* value "": the cookie ends. RFC 6265bis: the prefix is not used, so that it works without TLS on this machine. */
static void set_cookie(dv__xchg *x, const char *value)
{
    char text[256];
    snprintf(text, sizeof text, "drover_session=%s; Path=/; HttpOnly; SameSite=Strict%s%s", value,
             value[0] == 0 ? "; Max-Age=0" : "", dv_http_is_tls(x->req) ? "; Secure" : "");
    (void)dv_http_add_header(x->req, "Set-Cookie", text);
}

static int put_session(dv__xchg *x, const dv_user *u, const char *id, size_t n, dv_err *err)
{
    char token[DV_CSRF_LEN + 1];
    dv_buf b;
    int rc = dv_session_csrf(x->s->o.store, id, n, token);
    if (rc != 0)
        return dv_fail(err, rc, "%s", dv_error_text(rc));
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"user\":");
    put_user(&b, u);
    dv_buf_printf(&b, ",\"csrf_token\":\"%s\"}", token);
    return dv__xchg_json(x, 200, &b);
}

static int post_login(dv__xchg *x, dv_err *err)
{
    size_t n_old;
    const char *old = cookie_of(x, &n_old);
    dv_login in = {.address = x->who.address[0] != 0 ? x->who.address_net : NULL, .request = dv_http_id(x->req)};
    in.name = text_of(x->body, "name", &in.n_name);
    in.password = text_of(x->body, "password", &in.n_password);
    char id[DV_SESSION_LEN + 1];
    dv_user u;
    uint32_t retry_s = 0;
    int rc = dv_user_login(x->s->o.store, &in, &u, &retry_s, err);
    if (rc == DV_ERATE) {
        x->retry_s = retry_s;
        return rc;
    }
    if (rc == DV_EAUTH) {
        *err = (dv_err){0};
        return dv_fail(err, DV_EAUTH, "wrong name or password");
    }
    if (rc == 0)
        rc = dv_session_begin(x->s->o.store, u.id, old, n_old, x->who.address, id, err);
    if (rc != 0)
        return rc;
    set_cookie(x, id);
    return put_session(x, &u, id, strlen(id), err);
}

static int post_logout(dv__xchg *x, dv_err *err)
{
    size_t n;
    const char *id = cookie_of(x, &n);
    const dv_audit_who who = dv__xchg_who(x);
    int rc = dv_session_end(x->s->o.store, id, n, &who, err);
    if (rc != 0)
        return rc;
    set_cookie(x, "");
    return no_content(x);
}

static int get_session(dv__xchg *x, dv_err *err)
{
    size_t n;
    const char *id = cookie_of(x, &n);
    return put_session(x, &x->who.session.user, id, n, err);
}

/* ---- users ---- */

static int get_users(dv__xchg *x, dv_err *err)
{
    dv_user_list list;
    dv_buf b;
    int rc = dv_user_list_get(x->s->o.store, &list, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"users\":[");
    for (size_t i = 0; i < list.n; i++) {
        dv_buf_adds(&b, i > 0 ? "," : "");
        put_user(&b, &list.v[i]);
    }
    dv_buf_adds(&b, "]}");
    dv_user_list_fini(&list);
    return dv__xchg_json(x, 200, &b);
}

static int post_user(dv__xchg *x, dv_err *err)
{
    size_t n, n_password, n_role;
    const char *name = text_of(x->body, "name", &n), *password = text_of(x->body, "password", &n_password),
               *role = text_of(x->body, "role", &n_role);
    const dv_audit_who who = dv__xchg_who(x);
    dv_role r = DV_ROLE_USER;
    dv_user u;
    int64_t id;
    dv_buf b;
    if (role != NULL && !dv_role_parse(role, &r))
        return dv_fail(err, DV_EINVAL, "role: '%s' is none", role);
    int rc = dv_user_add(x->s->o.store, name, n, r, password, n_password, &who, &id, err);
    if (rc == 0)
        rc = dv_user_get(x->s->o.store, id, &u, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    put_user(&b, &u);
    return dv__xchg_json(x, 201, &b);
}

static int find_user(dv__xchg *x, dv_user *u, dv_err *err)
{
    char name[DV_NAME_MAX + 1];
    int rc = dv__xchg_param(x, 0, name, sizeof name, err);
    return rc != 0 ? rc : dv_user_find(x->s->o.store, name, strlen(name), u, err);
}

static int patch_user(dv__xchg *x, dv_err *err)
{
    size_t n_password, n_role;
    const char *password = text_of(x->body, "password", &n_password), *role = text_of(x->body, "role", &n_role);
    const dv_audit_who who = dv__xchg_who(x);
    dv_role r = DV_ROLE_USER;
    dv_user u;
    dv_buf b;
    if (role != NULL && !dv_role_parse(role, &r))
        return dv_fail(err, DV_EINVAL, "role: '%s' is none", role);
    int rc = find_user(x, &u, err);
    if (rc == 0 && role != NULL)
        rc = dv_user_set_role(x->s->o.store, u.id, r, &who, err);
    if (rc == 0 && password != NULL)
        rc = dv_user_set_password(x->s->o.store, u.id, password, n_password, &who, err);
    if (rc == 0)
        rc = dv_user_get(x->s->o.store, u.id, &u, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    put_user(&b, &u);
    return dv__xchg_json(x, 200, &b);
}

static int delete_user(dv__xchg *x, dv_err *err)
{
    const dv_audit_who who = dv__xchg_who(x);
    dv_user u;
    int rc = find_user(x, &u, err);
    if (rc == 0)
        rc = dv_user_delete(x->s->o.store, u.id, &who, err);
    return rc != 0 ? rc : no_content(x);
}

#define ROLE                                                                \
    {                                                                       \
        .name = "role", .types = DV__T_STR, .words = "viewer|user|admin",   \
        .help = "viewer: may look; user: may run models; admin: everything" \
    }
#define PASSWORD(more)                                                                                     \
    {                                                                                                      \
        .name = "password", .types = DV__T_STR, .flags = DV__F_SECRET | (more), .max_len = DV_PASSWORD_MAX \
    }
#define NAME                                                                                              \
    {                                                                                                     \
        .name = "name", .types = DV__T_STR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = DV_NAME_MAX \
    }

static const dv__field login_fields[] = {NAME, PASSWORD(DV__F_REQUIRED)};
static const dv__field user_fields[] = {NAME, PASSWORD(DV__F_REQUIRED), ROLE};
static const dv__field patch_fields[] = {PASSWORD(0), ROLE};
static const dv__schema login_schema = {
    .name = "LoginRequest", .fields = login_fields, .n = DV_ARRAY_LEN(login_fields)};
static const dv__schema user_schema = {.name = "UserRequest", .fields = user_fields, .n = DV_ARRAY_LEN(user_fields)};
static const dv__schema patch_schema = {.name = "UserPatch", .fields = patch_fields, .n = DV_ARRAY_LEN(patch_fields)};

#define USERS .api = DV_CONF_API_APP, .style = DV_STYLE_OPENAI, .group = DV__GROUP_ADMIN
#define SESSION .api = DV_CONF_API_APP, .style = DV_STYLE_OPENAI, .group = DV__GROUP_APP
static const dv__row rows[] = {
    {DV_HTTP_POST, "/api/login", SESSION, .flags = DV__ROW_LOGIN | DV__ROW_WORK, .body = &login_schema,
     .handle = post_login, .summary = "Begin a session: sets a cookie", .reply = "Session"},
    {DV_HTTP_POST, "/api/logout", SESSION, .flags = DV__ROW_SESSION | DV__ROW_WORK | DV__ROW_ALWAYS,
     .handle = post_logout, .summary = "End the session", .reply = "Empty"},
    {DV_HTTP_GET, "/api/session", SESSION, .flags = DV__ROW_SESSION, .handle = get_session,
     .summary = "Who is logged in, and the token for pages", .reply = "Session"},
    {DV_HTTP_GET, "/api/users", USERS, .flags = DV__ROW_ADMIN | DV__ROW_WORK, .handle = get_users,
     .summary = "All users", .reply = "UserList"},
    {DV_HTTP_POST, "/api/users", USERS, .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_WORK, .body = &user_schema,
     .handle = post_user, .summary = "Add a user", .reply = "User"},
    {DV_HTTP_PATCH, "/api/users/{name}", USERS, .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_WORK,
     .body = &patch_schema, .handle = patch_user, .summary = "Change a user's password or role", .reply = "User"},
    {DV_HTTP_DELETE, "/api/users/{name}", USERS, .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_WORK,
     .handle = delete_user, .summary = "Remove a user, his sessions and his keys", .reply = "Empty"},
};
const dv__rows dv__rows_users = {rows, DV_ARRAY_LEN(rows)};
