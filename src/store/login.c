/* SPDX-License-Identifier: MIT */
/* Logging in, and counting of failures. */
#include "store/login.h"

#include "base/err.h"

#include <sodium.h>
#include <string.h>

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60000,
    FORGET_MS = 86400000,
    ROWS_MAX = 20000,
    ROWS_DROP = 2000,
    COUNT_EVERY = 64
};

const dv__throttle dv__throttle_user = {5, 5 * MINUTE_MS};
const dv__throttle dv__throttle_address = {20, 15 * MINUTE_MS};

/* ---- failures ---- */

void dv__throttle_key(dv_store *s, char kind, const char *name, size_t n, uint8_t out[DV__MAC])
{
    char text[1 + 128];
    text[0] = kind;
    n = DV_MIN(n, sizeof text - 1);
    memcpy(text + 1, name, n);
    dv__secret_mac(&s->secret, DV__FOR_LOGINS, text, n + 1, out);
}

/* Wait after n failures: 1, 2, 4... seconds once the free ones are used up. */
static uint64_t delay_ms(const dv__throttle *t, int64_t n)
{
    int64_t over = n - t->free_tries;
    if (over <= 0)
        return 0;
    return over > 20 ? t->max_ms : DV_MIN((uint64_t)SECOND_MS << (over - 1), t->max_ms);
}

uint64_t dv__throttle_wait(dv_conn *c, const dv__throttle *t, const uint8_t key[DV__MAC], uint64_t now)
{
    uint64_t wait = 0;
    dv_stmt *st = dv_stmt_get(c, "SELECT n, until_ms FROM login_failures WHERE who = ?1");
    dv_stmt_blob(st, 1, key, DV__MAC);
    if (dv_stmt_row(st)) {
        uint64_t until = (uint64_t)dv_stmt_get_int(st, 1);
        wait = until > now ? until - now : 0;
        /* A clock that was set back does not make anybody wait longer than the rule. */
        wait = DV_MIN(wait, delay_ms(t, dv_stmt_get_int(st, 0)));
    }
    dv_stmt_end(st);
    return wait;
}

/* Names and addresses that nobody has can be thought up without end. */
static void make_room(dv_conn *c)
{
    if (randombytes_uniform(COUNT_EVERY) != 0)
        return;
    dv_stmt *st = dv_stmt_get(c, "SELECT count(*) FROM login_failures");
    bool full = dv_stmt_row(st) && dv_stmt_get_int(st, 0) > ROWS_MAX;
    dv_stmt_end(st);
    if (!full)
        return;
    st = dv_stmt_get(
        c, "DELETE FROM login_failures WHERE who IN (SELECT who FROM login_failures ORDER BY n, last_ms LIMIT ?1)");
    dv_stmt_int(st, 1, ROWS_DROP);
    dv_stmt_run(st);
}

void dv__throttle_count(dv_conn *c, const dv__throttle *t, const uint8_t key[DV__MAC], uint64_t now)
{
    int64_t n = 0;
    dv_stmt *st = dv_stmt_get(c, "SELECT n, last_ms FROM login_failures WHERE who = ?1");
    dv_stmt_blob(st, 1, key, DV__MAC);
    if (dv_stmt_row(st) && (uint64_t)dv_stmt_get_int(st, 1) + FORGET_MS > now)
        n = DV_MIN(dv_stmt_get_int(st, 0), INT64_C(1000000));
    dv_stmt_end(st);
    st = dv_stmt_get(c, "INSERT INTO login_failures (who, n, last_ms, until_ms) VALUES (?1, ?2, ?3, ?4)"
                        " ON CONFLICT DO UPDATE SET n = ?2, last_ms = ?3, until_ms = ?4");
    dv_stmt_blob(st, 1, key, DV__MAC);
    dv_stmt_int(st, 2, n + 1);
    dv_stmt_int(st, 3, (int64_t)now);
    dv_stmt_int(st, 4, (int64_t)(now + delay_ms(t, n + 1)));
    dv_stmt_run(st);
    make_room(c);
}

void dv__throttle_forget(dv_conn *c, const uint8_t key[DV__MAC], bool all)
{
    dv_stmt *st =
        all ? dv_stmt_get(c, "DELETE FROM login_failures WHERE who = ?1")
            : dv_stmt_get(c, "UPDATE login_failures SET n = max(0, n - 1), until_ms = last_ms WHERE who = ?1");
    dv_stmt_blob(st, 1, key, DV__MAC);
    dv_stmt_run(st);
}

void dv__logins_prune(dv_store *s)
{
    dv_conn *c;
    dv_err ignored = {0}; /* the next time will do */
    uint64_t now = s->wall_ms();
    if (now < FORGET_MS || dv_db_write(s->db, &c, &ignored) != 0)
        return;
    dv_stmt *st = dv_stmt_get(c, "DELETE FROM login_failures WHERE last_ms < ?1");
    dv_stmt_int(st, 1, (int64_t)(now - FORGET_MS));
    dv_stmt_run(st);
    dv_db_commit(&c, &ignored);
}

/* ---- logging in ---- */

typedef struct attempt {
    const dv_login *in;
    char name[DV_NAME_MAX + 1]; /**< "" if nobody can have it */
    uint8_t user_key[DV__MAC], address_key[DV__MAC];
    bool by_address;
    int64_t id; /**< 0: no such user */
    char hash[DV__PASSWORD_HASH];
} attempt;

static dv_audit_who who(const attempt *a)
{
    return (dv_audit_who){.kind = a->in->address != NULL ? DV_AUDIT_ADDRESS : DV_AUDIT_ANONYMOUS,
                          .id = a->in->address,
                          .address = a->in->address,
                          .request = a->in->request};
}

/* Count the try and read the user, or find that it must wait. Returns the wait. */
static uint64_t begin(dv_conn *c, attempt *a, uint64_t now)
{
    uint64_t wait = dv__throttle_wait(c, &dv__throttle_user, a->user_key, now);
    if (a->by_address)
        wait = DV_MAX(wait, dv__throttle_wait(c, &dv__throttle_address, a->address_key, now));
    if (wait > 0)
        return wait;
    dv__throttle_count(c, &dv__throttle_user, a->user_key, now);
    if (a->by_address)
        dv__throttle_count(c, &dv__throttle_address, a->address_key, now);
    dv_stmt *st = dv_stmt_get(c, "SELECT id, password FROM users WHERE name = ?1");
    dv_stmt_str(st, 1, a->name);
    if (dv_stmt_row(st)) {
        a->id = dv_stmt_get_int(st, 0);
        dv_stmt_get_str(st, 1, a->hash, sizeof a->hash);
    }
    dv_stmt_end(st);
    return 0;
}

static int refused(dv_store *s, const attempt *a, int code, const char *text, dv_err *err)
{
    dv_audit_who by = who(a);
    /* The name only if it is somebody's: else it may be a password typed into the wrong field. */
    dv_audit_entry e = {.who = by,
                        .action = "login",
                        .outcome = code == DV_ERATE ? DV_AUDIT_LIMITED : DV_AUDIT_DENIED,
                        .detail = a->id != 0 ? a->name : NULL};
    dv_audit_log(s, &e, NULL, NULL, NULL);
    return dv_fail(err, code, "%s", text);
}

/* Hash anew with today's parameters. Should it fail, the next login does it. */
static void renew_hash(dv_store *s, const attempt *a, char out[DV__PASSWORD_HASH])
{
    dv_store_tuning t = dv__store_tuning(s);
    out[0] = 0;
    if (crypto_pwhash_argon2id_str_needs_rehash(a->hash, t.password_ops, t.password_bytes) != 0 &&
        dv__password_hash(s, "", a->in->password, a->in->n_password, out, NULL) != 0)
        out[0] = 0;
}

/* The password was right. The row is read again: the user may be gone, or have another password, since. */
static int succeed(dv_store *s, const attempt *a, dv_err *err)
{
    char fresh[DV__PASSWORD_HASH];
    dv_conn *c;
    renew_hash(s, a, fresh);
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "UPDATE users SET login_ms = ?3, password = ?4 WHERE id = ?1 AND password = ?2");
    dv_stmt_int(st, 1, a->id);
    dv_stmt_str(st, 2, a->hash);
    dv_stmt_int(st, 3, (int64_t)s->wall_ms());
    dv_stmt_str(st, 4, fresh[0] != 0 ? fresh : a->hash);
    if (dv_stmt_run(st) == 0 && dv_conn_changes(c) == 0)
        dv_conn_fail(c, DV_EAUTH, "the name or the password is wrong");
    dv__throttle_forget(c, a->user_key, true);
    if (a->by_address)
        dv__throttle_forget(c, a->address_key, false);
    dv_audit_who by = who(a);
    by.kind = DV_AUDIT_USER;
    by.id = a->name;
    dv__audit_in(s, c, &by, "login", DV_AUDIT_OK, "%s", "");
    rc = dv_db_commit(&c, err);
    if (rc == 0)
        dv__audit_committed(s);
    return rc;
}

/* Nobody looked at the password: it was no try. */
static void uncount(dv_store *s, const attempt *a)
{
    dv_conn *c;
    if (dv_db_write(s->db, &c, NULL) != 0)
        return;
    dv__throttle_forget(c, a->user_key, false);
    if (a->by_address)
        dv__throttle_forget(c, a->address_key, false);
    dv_db_commit(&c, NULL);
}

static void set_up(dv_store *s, attempt *a, const dv_login *in)
{
    *a = (attempt){.in = in, .by_address = in->address != NULL};
    /* Names that nobody can have go the same way as those that nobody has. */
    if (dv_user_name(a->name, in->name, in->n_name, NULL) == 0)
        dv__throttle_key(s, 'u', a->name, strlen(a->name), a->user_key);
    else
        dv__throttle_key(s, 'u', in->name, in->n_name, a->user_key);
    if (a->by_address)
        dv__throttle_key(s, 'a', in->address, strlen(in->address), a->address_key);
}

int dv_user_login(dv_store *s, const dv_login *in, dv_user *out, uint32_t *retry_s, dv_err *err)
{
    attempt a;
    dv_conn *c;
    bool ok = false;
    *retry_s = 0;
    *out = (dv_user){0};
    set_up(s, &a, in);
    int rc = dv_db_write(s->db, &c, err);
    if (rc != 0)
        return rc;
    uint64_t wait = begin(c, &a, s->wall_ms());
    rc = dv_db_commit(&c, err);
    if (rc == 0 && wait > 0) {
        *retry_s = (uint32_t)((wait + SECOND_MS - 1) / SECOND_MS);
        return refused(s, &a, DV_ERATE, "too many failed logins: wait", err);
    }
    if (rc == 0) {
        rc = dv__password_check(s, a.id != 0 ? a.hash : NULL, in->password, in->n_password, &ok, err);
        if (rc != 0)
            uncount(s, &a);
    }
    if (rc == 0 && !ok)
        rc = refused(s, &a, DV_EAUTH, "the name or the password is wrong", err);
    if (rc == 0)
        rc = succeed(s, &a, err);
    if (rc == 0)
        rc = dv_user_get(s, a.id, out, err);
    sodium_memzero(a.hash, sizeof a.hash);
    return rc;
}
