/* SPDX-License-Identifier: MIT */
/* Live keys in memory. A connection of its own sees by data_version, without reading a page, that somebody committed something; then the number
 * that the triggers on api_keys count tells whether it was about keys. Both are looked at four times a second by a server's thread, by whoever looks for
 * a key when nobody looked for a tenth of a second, and, so that a new key is known at once, by whoever does not find one. */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/key_impl.h"

#include <sodium.h>
#include <string.h>

enum { FRESH_MS = 100, WAIT_MS = 300, MISS_MS = 10, STALE_MS = 5000, BUSY_MS = 50, MS = 1000000 };

void dv__keys_init(dv_store *s)
{
    pthread_mutex_init(&s->keys.mu, NULL);
    pthread_mutex_init(&s->keys.watch_mu, NULL);
    s->keys.data_version = s->keys.keys_version = -1;
}

static void drop_table(dv__key **slot, size_t cap)
{
    for (size_t i = 0; slot != NULL && i < cap; i++)
        if (slot[i] != NULL)
            dv_key_unref(&slot[i]->key);
    dv_free(slot);
}

void dv__keys_fini(dv_store *s)
{
    drop_table(s->keys.slot, s->keys.cap);
    dv__db_conn_close(&s->keys.watch);
    pthread_mutex_destroy(&s->keys.mu);
    pthread_mutex_destroy(&s->keys.watch_mu);
}

/* ---- the table ---- */

/* Hashes are keyed, so nobody outside can choose where a key lands, nor learn from the time of a search where one is. */
static dv__key **find_slot(dv__key **slot, size_t cap, const uint8_t hash[DV__MAC])
{
    uint64_t h;
    memcpy(&h, hash, sizeof h);
    size_t i = (size_t)h & (cap - 1);
    while (slot[i] != NULL && sodium_memcmp(slot[i]->hash, hash, DV__MAC) != 0)
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

/* When it was used last may be known better here than in the database. */
static void keep_used(dv__keys *old, dv__key *k)
{
    dv__key *had = old->cap > 0 ? *find_slot(old->slot, old->cap, k->hash) : NULL;
    if (had == NULL)
        return;
    uint64_t used = atomic_load_explicit(&had->used_ms, memory_order_relaxed); /* a statistic, it orders nothing */
    if (used > k->saved_ms)
        atomic_store_explicit(&k->used_ms, used, memory_order_relaxed);
}

typedef struct table {
    dv__key **slot;
    size_t cap, n;
} table;

static int read_table(dv_conn *c, table *t)
{
    dv_stmt *st = dv_stmt_get(c, "SELECT count(*) FROM api_keys WHERE revoked_ms = 0");
    size_t n = dv_stmt_row(st) ? (size_t)dv_stmt_get_int(st, 0) : 0;
    dv_stmt_end(st);
    if (n > DV_KEYS_MAX)
        return dv_conn_fail(c, DV_ELIMIT, "there are more than %d keys", DV_KEYS_MAX);
    for (t->cap = 16; t->cap < 2 * n;)
        t->cap *= 2;
    t->slot = dv_calloc(DV_MEM_STORE, t->cap, sizeof *t->slot);
    if (t->slot == NULL)
        return dv_conn_fail(c, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    st = dv_stmt_get(c, "SELECT " DV__KEY_COLUMNS " FROM api_keys WHERE revoked_ms = 0");
    while (t->n < n && dv_stmt_row(st)) {
        dv__key *k = dv__key_row(st, c);
        if (k == NULL)
            break;
        *find_slot(t->slot, t->cap, k->hash) = k;
        t->n++;
    }
    dv_stmt_end(st);
    return dv_conn_code(c);
}

static void use_table(dv__keys *keys, const table *t)
{
    table old = {.slot = keys->slot, .cap = keys->cap};
    pthread_mutex_lock(&keys->mu);
    for (size_t i = 0; i < t->cap; i++)
        if (t->slot[i] != NULL)
            keep_used(keys, t->slot[i]);
    keys->slot = t->slot;
    keys->cap = t->cap;
    keys->n = t->n;
    pthread_mutex_unlock(&keys->mu);
    drop_table(old.slot, old.cap);
}

/* ---- watching ---- */

static int64_t keys_version(dv_conn *c)
{
    dv_stmt *st = dv_stmt_get(c, "SELECT value FROM meta WHERE name = 'keys_version'");
    int64_t v = dv_stmt_row(st) ? dv_stmt_get_int(st, 0) : -1;
    dv_stmt_end(st);
    return v;
}

static int reload(dv__keys *keys)
{
    dv_conn *c = keys->watch;
    table t = {0};
    dv_stmt_run(dv_stmt_get(c, "BEGIN"));
    int64_t version = keys_version(c);
    int rc = read_table(c, &t);
    dv_err e = c->err;
    dv__db_conn_reset(c);
    dv_stmt_run(dv_stmt_get(c, "ROLLBACK"));
    c->err = e;
    if (rc != 0) {
        drop_table(t.slot, t.cap);
        return rc;
    }
    use_table(keys, &t);
    keys->keys_version = version;
    return 0;
}

/* watch_mu is held. */
static int look(dv_store *s, bool force)
{
    dv__keys *keys = &s->keys;
    dv_conn *c = keys->watch;
    int64_t data = dv__db_conn_version(c);
    bool changed = data != keys->data_version && dv_conn_code(c) == 0 && keys_version(c) != keys->keys_version;
    if (dv_conn_code(c) == 0 && (changed || force))
        reload(keys);
    if (dv_conn_code(c) == 0)
        keys->data_version = data;
    return dv_conn_code(c);
}

static int refresh_locked(dv_store *s, bool force, dv_err *err)
{
    dv__keys *keys = &s->keys;
    uint64_t now = dv_clock_ns();
    int rc = keys->watch != NULL ? 0 : dv__db_conn_open(&keys->watch, s->db, DV__SQLITE_READ, err);
    if (rc != 0)
        return rc;
    sqlite3_busy_timeout(keys->watch->h, BUSY_MS); /* an event loop may be waiting */
    rc = look(s, force);
    if (rc != 0)
        dv_fail(err, rc, "%s", keys->watch->err.msg);
    dv__db_conn_reset(keys->watch);
    if (rc == 0) {
        pthread_mutex_lock(&keys->mu);
        keys->fresh_ns = now;
        pthread_mutex_unlock(&keys->mu);
    }
    return rc;
}

int dv__keys_refresh(dv_store *s, bool force, dv_err *err)
{
    pthread_mutex_lock(&s->keys.watch_mu);
    int rc = refresh_locked(s, force, err);
    pthread_mutex_unlock(&s->keys.watch_mu);
    return rc;
}

void dv__keys_revoked(dv_store *s)
{
    if (dv__keys_refresh(s, true, NULL) == 0)
        return;
    pthread_mutex_lock(&s->keys.mu);
    s->keys.fresh_ns = 0;
    pthread_mutex_unlock(&s->keys.mu);
}

int dv__keys_probe(dv_store *s, uint64_t *us, dv_err *err)
{
    dv__keys *keys = &s->keys;
    pthread_mutex_lock(&keys->watch_mu);
    uint64_t start = dv_clock_ns();
    int rc = keys->watch != NULL && keys_version(keys->watch) >= 0 ? 0 : DV_EIO;
    *us = (dv_clock_ns() - start) / 1000;
    if (rc != 0 && keys->watch != NULL) {
        rc = keys->watch->err.code != 0 ? keys->watch->err.code : DV_ECORRUPT;
        dv_fail(err, rc, "%s", keys->watch->err.msg[0] != 0 ? keys->watch->err.msg : dv_error_text(rc));
        dv__db_conn_reset(keys->watch);
    }
    pthread_mutex_unlock(&keys->watch_mu);
    return rc;
}

static uint64_t age_ms(dv__keys *keys)
{
    pthread_mutex_lock(&keys->mu);
    uint64_t age = (dv_clock_ns() - keys->fresh_ns) / MS;
    pthread_mutex_unlock(&keys->mu);
    return age;
}

/* Refuse to answer from a table that nobody could confirm for too long. Only one caller at a time looks; others wait only if they must. */
static int make_fresh(dv_store *s, dv_err *err)
{
    dv__keys *keys = &s->keys;
    dv_err e = {0};
    uint64_t age = age_ms(keys);
    if (age < FRESH_MS)
        return 0;
    if (age < WAIT_MS) {
        if (pthread_mutex_trylock(&keys->watch_mu) != 0)
            return 0;
    } else {
        pthread_mutex_lock(&keys->watch_mu);
    }
    int rc = refresh_locked(s, false, &e);
    pthread_mutex_unlock(&keys->watch_mu);
    if (rc == 0 || age < STALE_MS)
        return 0;
    return dv_fail(err, DV_EIO, "API keys cannot be checked: %s", e.msg);
}

/* Whether the table may have become another one. However many wrong keys come, this looks a hundred times a second. */
static bool look_again(dv_store *s)
{
    dv__keys *keys = &s->keys;
    bool looked = false;
    if (age_ms(keys) < MISS_MS)
        return false;
    pthread_mutex_lock(&keys->watch_mu);
    if (age_ms(keys) >= MISS_MS)
        looked = refresh_locked(s, false, NULL) == 0;
    else
        looked = true; /* somebody else, while this one waited */
    pthread_mutex_unlock(&keys->watch_mu);
    return looked;
}

/* ---- finding ---- */

static const dv_key *lookup(dv__keys *keys, const uint8_t hash[DV__MAC], uint64_t now)
{
    const dv_key *found = NULL;
    pthread_mutex_lock(&keys->mu);
    dv__key *k = *find_slot(keys->slot, keys->cap, hash);
    if (k != NULL && (k->key.scope.expires_ms == 0 || now < k->key.scope.expires_ms)) {
        atomic_store_explicit(&k->used_ms, now, memory_order_relaxed); /* a statistic, it orders nothing */
        found = dv_key_ref(&k->key);
    }
    pthread_mutex_unlock(&keys->mu);
    return found;
}

int dv_key_find(dv_store *s, const char *text, size_t n, const dv_key **out, dv_err *err)
{
    uint8_t hash[DV__MAC];
    *out = NULL;
    int rc = make_fresh(s, err);
    if (rc != 0)
        return rc;
    uint64_t now = s->wall_ms();
    if (n == DV_KEY_LEN && memcmp(text, "dv_", 3) == 0) {
        dv__key_hash(s, text, n, hash);
        *out = lookup(&s->keys, hash, now);
        if (*out == NULL && look_again(s))
            *out = lookup(&s->keys, hash, now);
    }
    return *out != NULL ? 0 : dv_fail(err, DV_EAUTH, "the API key is not valid");
}

const dv_key *dv_key_ref(const dv_key *k)
{
    atomic_fetch_add_explicit(&((dv__key *)(uintptr_t)k)->refs, 1, memory_order_relaxed);
    return k;
}

void dv_key_unref(const dv_key *k)
{
    dv__key *key = (dv__key *)(uintptr_t)k;
    /* acq_rel: what other holders did with it comes before it is freed. */
    if (key != NULL && atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) == 1)
        dv_free(key);
}

/* ---- when they were used ---- */

enum { SAVE_MAX = 256 };

/* Some whose time the database does not have yet. */
static size_t unsaved(dv__keys *keys, int64_t id[SAVE_MAX], uint64_t used[SAVE_MAX])
{
    size_t n = 0;
    pthread_mutex_lock(&keys->mu);
    for (size_t i = 0; i < keys->cap && n < SAVE_MAX; i++) {
        dv__key *k = keys->slot[i];
        uint64_t ms = k != NULL ? atomic_load_explicit(&k->used_ms, memory_order_relaxed) : 0;
        if (k == NULL || ms <= k->saved_ms)
            continue;
        id[n] = k->key.id;
        used[n++] = k->saved_ms = ms;
    }
    pthread_mutex_unlock(&keys->mu);
    return n;
}

void dv__keys_save_used(dv_store *s)
{
    int64_t id[SAVE_MAX];
    uint64_t used[SAVE_MAX];
    dv_err ignored = {0}; /* a time that is lost is written at the next use */
    dv_conn *c;
    for (size_t n = SAVE_MAX; n == SAVE_MAX;) {
        n = unsaved(&s->keys, id, used);
        if (n == 0 || dv_db_write(s->db, &c, &ignored) != 0)
            return;
        for (size_t i = 0; i < n; i++) {
            dv_stmt *st = dv_stmt_get(c, "UPDATE api_keys SET used_ms = ?2 WHERE id = ?1 AND used_ms < ?2");
            dv_stmt_int(st, 1, id[i]);
            dv_stmt_int(st, 2, (int64_t)used[i]);
            dv_stmt_run(st);
        }
        if (dv_db_commit(&c, &ignored) != 0)
            return;
    }
}
