/* SPDX-License-Identifier: MIT */
#include "store/session.h"

#include "base/err.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

enum { ID = 32, SEEN_EVERY_MS = 60000, SKEW_MS = 300000 };

/* The bytes of an id as it is written in a cookie; false if it is none. */
static bool parse(const char *id, size_t n, uint8_t out[ID])
{
    size_t got = 0;
    return id != NULL && n == DV_SESSION_LEN &&
           sodium_base642bin(out, ID, id, n, NULL, &got, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
           got == ID;
}

static bool hash_id(dv_store *s, const char *id, size_t n, uint8_t hash[DV__MAC])
{
    uint8_t raw[ID];
    bool ok = parse(id, n, raw);
    if (ok)
        dv__secret_mac(&s->secret, DV__FOR_SESSIONS, raw, ID, hash);
    sodium_memzero(raw, sizeof raw);
    return ok;
}

/* ---- beginning, ending ---- */

static void remove_hash(dv_conn *c, const uint8_t hash[DV__MAC])
{
    dv_stmt *st = dv_stmt_get(c, "DELETE FROM sessions WHERE hash = ?1");
    dv_stmt_blob(st, 1, hash, DV__MAC);
    dv_stmt_run(st);
}

void dv__sessions_end(dv_conn *c, int64_t user)
{
    dv_stmt *st = dv_stmt_get(c, "DELETE FROM sessions WHERE user = ?1");
    dv_stmt_int(st, 1, user);
    dv_stmt_run(st);
}

static void insert(dv_conn *c, const uint8_t hash[DV__MAC], int64_t user, const char *address, uint64_t now,
                   uint64_t expires)
{
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO sessions (hash, user, created_ms, seen_ms, expires_ms, address)"
                                 " SELECT ?1, id, ?3, ?3, ?4, ?5 FROM users WHERE id = ?2");
    dv_stmt_blob(st, 1, hash, DV__MAC);
    dv_stmt_int(st, 2, user);
    dv_stmt_int(st, 3, (int64_t)now);
    dv_stmt_int(st, 4, (int64_t)expires);
    dv_stmt_text(st, 5, address, strnlen(address, DV_AUDIT_TEXT));
    if (dv_stmt_run(st) == 0 && dv_conn_changes(c) == 0)
        dv_conn_fail(c, DV_ENOENT, "there is no such user");
    st = dv_stmt_get(c, "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE user = ?1 AND hash <> ?2"
                        " ORDER BY created_ms DESC LIMIT -1 OFFSET ?3)");
    dv_stmt_int(st, 1, user);
    dv_stmt_blob(st, 2, hash, DV__MAC);
    dv_stmt_int(st, 3, DV_SESSIONS_PER_USER - 1);
    dv_stmt_run(st);
}

int dv_session_begin(dv_store *s, int64_t user, const char *old, size_t n_old, const char *address,
                     char id[DV_SESSION_LEN + 1], dv_err *err)
{
    uint8_t raw[ID], hash[DV__MAC], old_hash[DV__MAC];
    char text[DV_SESSION_LEN + 1];
    dv_conn *c;
    uint64_t now = s->wall_ms();
    id[0] = 0;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    randombytes_buf(raw, sizeof raw);
    sodium_bin2base64(text, sizeof text, raw, ID, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(raw, sizeof raw);
    if (hash_id(s, old, n_old, old_hash))
        remove_hash(c, old_hash);
    hash_id(s, text, DV_SESSION_LEN, hash);
    insert(c, hash, user, address != NULL ? address : "", now,
           now + dv__store_tuning(s).session_max_s * UINT64_C(1000));
    rc = dv_db_commit(&c, err);
    if (rc == 0)
        memcpy(id, text, sizeof text);
    sodium_memzero(text, sizeof text);
    return rc;
}

int dv_session_end(dv_store *s, const char *id, size_t n, const dv_audit_who *by, dv_err *err)
{
    uint8_t hash[DV__MAC];
    dv_conn *c;
    if (!hash_id(s, id, n, hash))
        return 0;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    remove_hash(c, hash);
    bool was = dv_conn_code(c) == 0 && dv_conn_changes(c) > 0;
    if (was)
        dv__audit_in(s, c, by, "logout", DV_AUDIT_OK, "%s", "");
    rc = dv_db_commit(&c, err);
    if (rc == 0 && was)
        dv__audit_committed(s);
    return rc;
}

int dv_session_end_all(dv_store *s, int64_t user, const dv_audit_who *by, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv__sessions_end(c, user);
    dv__audit_in(s, c, by, "logout.all", DV_AUDIT_OK, "user %" PRId64 ", %" PRId64 " sessions", user,
                 dv_conn_changes(c));
    rc = dv_db_commit(&c, err);
    if (rc == 0)
        dv__audit_committed(s);
    return rc;
}

/* ---- finding ---- */

/* Written by the server's thread now and then; more than fit would be written later anyway. */
static void note_seen(dv_store *s, const uint8_t hash[DV__MAC], uint64_t now)
{
    dv__seen *seen = &s->seen;
    pthread_mutex_lock(&seen->mu);
    size_t i = 0;
    while (i < seen->n && memcmp(seen->v[i].hash, hash, DV__MAC) != 0)
        i++;
    if (i < DV__SEEN) {
        memcpy(seen->v[i].hash, hash, DV__MAC);
        seen->v[i].ms = now;
        seen->n = DV_MAX(seen->n, i + 1);
    }
    pthread_mutex_unlock(&seen->mu);
}

void dv__seen_save(dv_store *s)
{
    dv__seen_row v[DV__SEEN];
    dv_conn *c;
    dv_err ignored = {0}; /* they are noted again at the next use */
    pthread_mutex_lock(&s->seen.mu);
    size_t n = s->seen.n;
    memcpy(v, s->seen.v, n * sizeof *v);
    s->seen.n = 0;
    pthread_mutex_unlock(&s->seen.mu);
    if (n == 0 || dv_db_write(s->db, &c, &ignored) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        dv_stmt *st = dv_stmt_get(c, "UPDATE sessions SET seen_ms = ?2 WHERE hash = ?1");
        dv_stmt_blob(st, 1, v[i].hash, DV__MAC);
        dv_stmt_int(st, 2, (int64_t)v[i].ms);
        dv_stmt_run(st);
    }
    dv_db_commit(&c, &ignored);
}

/* Times in the future, beyond what clocks differ by, mean that the clock was set back: then nobody knows how old the session is. */
static bool is_alive(uint64_t created, uint64_t seen, uint64_t expires, uint64_t now, const dv_store_tuning *t)
{
    uint64_t latest = DV_MAX(created, seen);
    if (latest > now + SKEW_MS || now >= expires || now >= created + t->session_max_s * UINT64_C(1000))
        return false;
    return latest >= now || now - latest < t->session_idle_s * UINT64_C(1000);
}

static void get_user(dv_stmt *st, dv_conn *c, dv_user *u)
{
    char role[16];
    u->id = dv_stmt_get_int(st, 3);
    dv_stmt_get_str(st, 4, u->name, sizeof u->name);
    dv_stmt_get_str(st, 5, role, sizeof role);
    u->created_ms = (uint64_t)dv_stmt_get_int(st, 6);
    u->login_ms = (uint64_t)dv_stmt_get_int(st, 7);
    if (!dv_role_parse(role, &u->role))
        dv_conn_fail(c, DV_ECORRUPT, "a user without a role");
}

int dv_session_find(dv_store *s, const char *id, size_t n, dv_session *out, dv_err *err)
{
    uint8_t hash[DV__MAC];
    dv_conn *c;
    uint64_t now = s->wall_ms(), seen = 0;
    dv_store_tuning t = dv__store_tuning(s);
    bool found = false;
    *out = (dv_session){0};
    if (!hash_id(s, id, n, hash))
        return dv_fail(err, DV_EAUTH, "there is no such session");
    int rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st =
        dv_stmt_get(c, "SELECT s.created_ms, s.seen_ms, s.expires_ms, u.id, u.name, u.role, u.created_ms, u.login_ms"
                       " FROM sessions s JOIN users u ON u.id = s.user WHERE s.hash = ?1");
    dv_stmt_blob(st, 1, hash, DV__MAC);
    if (dv_stmt_row(st)) {
        out->created_ms = (uint64_t)dv_stmt_get_int(st, 0);
        seen = (uint64_t)dv_stmt_get_int(st, 1);
        out->expires_ms = (uint64_t)dv_stmt_get_int(st, 2);
        get_user(st, c, &out->user);
        found = is_alive(out->created_ms, seen, out->expires_ms, now, &t);
    }
    dv_stmt_end(st);
    rc = dv_db_commit(&c, err);
    if (rc == 0 && !found)
        rc = dv_fail(err, DV_EAUTH, "there is no such session");
    if (rc != 0)
        *out = (dv_session){0};
    else if (now > seen && now - seen >= SEEN_EVERY_MS)
        note_seen(s, hash, now);
    return rc;
}

void dv__sessions_prune(dv_store *s)
{
    dv_conn *c;
    dv_err ignored = {0}; /* the next time will do */
    uint64_t now = s->wall_ms(), idle = dv__store_tuning(s).session_idle_s * UINT64_C(1000);
    if (now < idle || dv_db_write(s->db, &c, &ignored) != 0)
        return;
    dv_stmt *st = dv_stmt_get(c, "DELETE FROM sessions WHERE expires_ms <= ?1 OR seen_ms <= ?2");
    dv_stmt_int(st, 1, (int64_t)now);
    dv_stmt_int(st, 2, (int64_t)(now - idle));
    dv_stmt_run(st);
    dv_db_commit(&c, &ignored);
}

/* ---- tokens of forms ---- */

int dv_session_csrf(dv_store *s, const char *id, size_t n, char token[DV_CSRF_LEN + 1])
{
    uint8_t raw[ID], mac[DV__MAC];
    token[0] = 0;
    if (!parse(id, n, raw))
        return DV_EAUTH;
    dv__secret_mac(&s->secret, DV__FOR_CSRF, raw, ID, mac);
    sodium_bin2base64(token, DV_CSRF_LEN + 1, mac, DV__MAC, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(raw, sizeof raw);
    return 0;
}

bool dv_session_csrf_ok(dv_store *s, const char *id, size_t n, const char *token, size_t n_token)
{
    char want[DV_CSRF_LEN + 1];
    return dv_session_csrf(s, id, n, want) == 0 && token != NULL && n_token == DV_CSRF_LEN &&
           sodium_memcmp(want, token, DV_CSRF_LEN) == 0;
}
