/* SPDX-License-Identifier: MIT */
/* Users; how they log in is in login.c. */
#include "store/user.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/login.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <string.h>

static const char *const roles[DV_ROLE_N] = {"viewer", "user", "admin"};

const char *dv_role_name(dv_role r) { return (unsigned)r < DV_ROLE_N ? roles[r] : "?"; }

bool dv_role_parse(const char *s, dv_role *out)
{
    for (int r = 0; r < DV_ROLE_N; r++)
        if (strcmp(s, roles[r]) == 0) {
            *out = (dv_role)r;
            return true;
        }
    return false;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int dv_user_name(char out[DV_NAME_MAX + 1], const char *s, size_t n, dv_err *err)
{
    bool ok = n >= 1 && n <= DV_NAME_MAX && is_letter_or_digit(s[0]);
    out[0] = 0;
    for (size_t i = 0; i < n && ok; i++)
        ok = is_letter_or_digit(s[i]) || (s[i] != 0 && strchr("._@+-", s[i]) != NULL);
    if (!ok)
        return dv_fail(
            err, DV_EINVAL,
            "a user's name has 1 to %d letters, digits and characters of ._@+-, and begins with a letter or a digit",
            DV_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
    out[n] = 0;
    return 0;
}

/* ---- changes ---- */

static void insert(dv_conn *c, const char *name, dv_role role, const char *hash, uint64_t now)
{
    dv_stmt *st = dv_stmt_get(c, "SELECT 1 FROM users WHERE name = ?1");
    dv_stmt_str(st, 1, name);
    if (dv_stmt_row(st))
        dv_conn_fail(c, DV_EEXIST, "there is a user named '%s' already", name);
    dv_stmt_end(st);
    st = dv_stmt_get(c, "INSERT INTO users (name, role, password, created_ms) VALUES (?1, ?2, ?3, ?4)");
    dv_stmt_str(st, 1, name);
    dv_stmt_str(st, 2, dv_role_name(role));
    dv_stmt_str(st, 3, hash);
    dv_stmt_int(st, 4, (int64_t)now);
    dv_stmt_run(st);
}

int dv_user_add(dv_store *s, const char *name, size_t n, dv_role role, const char *password, size_t n_password,
                const dv_audit_who *by, int64_t *id, dv_err *err)
{
    char clean[DV_NAME_MAX + 1], hash[DV__PASSWORD_HASH];
    dv_conn *c;
    *id = 0;
    int rc = dv_user_name(clean, name, n, err);
    if (rc == 0 && (unsigned)role >= DV_ROLE_N)
        rc = dv_fail(err, DV_EINVAL, "there is no such role");
    rc = rc != 0 ? rc : dv__password_hash(s, clean, password, n_password, hash, err);
    rc = rc != 0 ? rc : dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    insert(c, clean, role, hash, s->wall_ms());
    int64_t new_id = dv_conn_last_id(c);
    dv__audit_in(s, c, by, "user.add", DV_AUDIT_OK, "user %" PRId64 " '%s', %s", new_id, clean, dv_role_name(role));
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        return rc;
    *id = new_id;
    dv__audit_committed(s);
    return 0;
}

/* Commit one change of a user, of which the last statement must have met him. */
static int finish(dv_store *s, dv_conn *c, int64_t id, const dv_audit_who *by, const char *action, const char *what,
                  dv_err *err)
{
    dv__audit_in(s, c, by, action, DV_AUDIT_OK, "user %" PRId64 "%s", id, what);
    int rc = dv_db_commit(&c, err);
    if (rc == 0)
        dv__audit_committed(s);
    return rc;
}

static void must_exist(dv_conn *c)
{
    if (dv_conn_code(c) == 0 && dv_conn_changes(c) == 0)
        dv_conn_fail(c, DV_ENOENT, "there is no such user");
}

int dv_user_set_password(dv_store *s, int64_t id, const char *password, size_t n_password, const dv_audit_who *by,
                         dv_err *err)
{
    char hash[DV__PASSWORD_HASH];
    dv_user u;
    dv_conn *c;
    int rc = dv_user_get(s, id, &u, err);
    rc = rc != 0 ? rc : dv__password_hash(s, u.name, password, n_password, hash, err);
    rc = rc != 0 ? rc : dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__sessions_end(c, id);
    dv_stmt *st = dv_stmt_get(c, "UPDATE users SET password = ?2 WHERE id = ?1");
    dv_stmt_int(st, 1, id);
    dv_stmt_str(st, 2, hash);
    dv_stmt_run(st);
    must_exist(c);
    return finish(s, c, id, by, "user.password", "", err);
}

int dv_user_set_role(dv_store *s, int64_t id, dv_role role, const dv_audit_who *by, dv_err *err)
{
    dv_conn *c;
    if ((unsigned)role >= DV_ROLE_N)
        return dv_fail(err, DV_EINVAL, "there is no such role");
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__sessions_end(c, id);
    dv_stmt *st = dv_stmt_get(c, "UPDATE users SET role = ?2 WHERE id = ?1");
    dv_stmt_int(st, 1, id);
    dv_stmt_str(st, 2, dv_role_name(role));
    dv_stmt_run(st);
    must_exist(c);
    return finish(s, c, id, by, "user.role",
                  role == DV_ROLE_ADMIN  ? ", admin"
                  : role == DV_ROLE_USER ? ", user"
                                         : ", viewer",
                  err);
}

int dv_user_delete(dv_store *s, int64_t id, const dv_audit_who *by, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    /* With this application's clock; the trigger does the same where somebody deletes without drover. */
    dv_stmt *st = dv_stmt_get(c, "UPDATE api_keys SET revoked_ms = ?2 WHERE owner = ?1 AND revoked_ms = 0");
    dv_stmt_int(st, 1, id);
    dv_stmt_int(st, 2, (int64_t)DV_MAX(s->wall_ms(), (uint64_t)1));
    dv_stmt_run(st);
    st = dv_stmt_get(c, "DELETE FROM users WHERE id = ?1");
    dv_stmt_int(st, 1, id);
    dv_stmt_run(st);
    must_exist(c);
    rc = finish(s, c, id, by, "user.delete", "", err);
    if (rc == 0)
        dv__keys_revoked(s);
    return rc;
}

/* ---- reading ---- */

#define COLUMNS "id, name, role, created_ms, login_ms"

static void get_row(dv_stmt *st, dv_conn *c, dv_user *out)
{
    char role[16];
    *out = (dv_user){.id = dv_stmt_get_int(st, 0),
                     .created_ms = (uint64_t)dv_stmt_get_int(st, 3),
                     .login_ms = (uint64_t)dv_stmt_get_int(st, 4)};
    dv_stmt_get_str(st, 1, out->name, sizeof out->name);
    dv_stmt_get_str(st, 2, role, sizeof role);
    if (!dv_role_parse(role, &out->role))
        dv_conn_fail(c, DV_ECORRUPT, "a user without a role");
}

static int one(dv_conn *c, dv_stmt *st, dv_user *out, dv_err *err)
{
    if (dv_stmt_row(st))
        get_row(st, c, out);
    else
        dv_conn_fail(c, DV_ENOENT, "there is no such user");
    dv_stmt_end(st);
    return dv_db_commit(&c, err);
}

int dv_user_get(dv_store *s, int64_t id, dv_user *out, dv_err *err)
{
    dv_conn *c;
    *out = (dv_user){0};
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT " COLUMNS " FROM users WHERE id = ?1");
    dv_stmt_int(st, 1, id);
    return one(c, st, out, err);
}

int dv_user_find(dv_store *s, const char *name, size_t n, dv_user *out, dv_err *err)
{
    char clean[DV_NAME_MAX + 1];
    dv_conn *c;
    *out = (dv_user){0};
    if (dv_user_name(clean, name, n, NULL) != 0)
        return dv_fail(err, DV_ENOENT, "there is no such user");
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT " COLUMNS " FROM users WHERE name = ?1");
    dv_stmt_str(st, 1, clean);
    return one(c, st, out, err);
}

int dv_user_list_get(dv_store *s, dv_user_list *out, dv_err *err)
{
    dv_conn *c;
    size_t cap = 0;
    *out = (dv_user_list){0};
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT " COLUMNS " FROM users ORDER BY name");
    while (dv_stmt_row(st)) {
        if (out->n == cap) {
            cap = cap * 2 + 16;
            dv_user *more = dv_realloc(DV_MEM_STORE, out->v, cap * sizeof *more);
            if (more == NULL) {
                dv_conn_fail(c, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
                break;
            }
            out->v = more;
        }
        get_row(st, c, &out->v[out->n++]);
    }
    dv_stmt_end(st);
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        dv_user_list_fini(out);
    return rc;
}

void dv_user_list_fini(dv_user_list *l)
{
    dv_free(l->v);
    *l = (dv_user_list){0};
}
