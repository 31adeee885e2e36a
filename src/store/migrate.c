/* SPDX-License-Identifier: MIT */
#include "store/migrate.h"

#include "base/clock.h"
#include "base/err.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { HASH = 32, HASH_TEXT = 2 * HASH + 1 };

static void hash_text(const char *sql, char out[HASH_TEXT])
{
    unsigned char hash[HASH];
    crypto_generichash(hash, HASH, (const unsigned char *)sql, strlen(sql), NULL, 0);
    sodium_bin2hex(out, HASH_TEXT, hash, HASH);
}

static bool has_table(dv_conn *c)
{
    dv_stmt *st = dv_stmt_get(c, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'");
    bool found = dv_stmt_row(st);
    dv_stmt_end(st);
    return found;
}

/* Compare what was applied with the list; the connection fails if they differ. Returns the version. */
static int check_applied(dv_conn *c, const dv__migration *list, size_t n)
{
    int version = 0;
    if (!has_table(c))
        return 0;
    dv_stmt *st = dv_stmt_get(c, "SELECT version, hash FROM migrations ORDER BY version");
    while (dv_stmt_row(st)) {
        char want[HASH_TEXT], have[HASH_TEXT];
        int64_t v = dv_stmt_get_int(st, 0);
        dv_stmt_get_str(st, 1, have, sizeof have);
        if (v != ++version) {
            dv_conn_fail(c, DV_EFORMAT, "migration %d of the database is missing", version);
        } else if ((size_t)version > n) {
            dv_conn_fail(c, DV_EUNSUPPORTED,
                         "the database was made by a newer drover (schema %d or later, this one knows %zu)", version,
                         n);
        } else {
            hash_text(list[version - 1].sql, want);
            if (strcmp(want, have) != 0)
                dv_conn_fail(c, DV_EFORMAT, "migration %d (%s) is not what was applied to the database", version,
                             list[version - 1].name);
        }
    }
    return version;
}

int dv__migrate_version(dv_db *db, const dv__migration *list, size_t n, int *version, dv_err *err)
{
    dv_conn *c;
    int rc = dv_db_read(db, &c, err);
    if (rc != 0)
        return rc;
    *version = check_applied(c, list, n);
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        dv_err_prefix(err, "%s", db->path);
    return rc;
}

static void record(dv_conn *c, const dv__migration *m)
{
    char hash[HASH_TEXT];
    hash_text(m->sql, hash);
    dv_stmt *st = dv_stmt_get(c, "INSERT INTO migrations (version, name, hash, applied_ms) VALUES (?1, ?2, ?3, ?4)");
    dv_stmt_int(st, 1, m->version);
    dv_stmt_str(st, 2, m->name);
    dv_stmt_str(st, 3, hash);
    dv_stmt_int(st, 4, (int64_t)dv_clock_wall_ms());
    dv_stmt_run(st);
}

static int apply(dv_db *db, const dv__migration *list, size_t n, int version, dv_err *err)
{
    const dv__migration *m = &list[version];
    dv_conn *c;
    int rc = dv_db_write(db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt_run(dv_stmt_get(c, "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
                               " hash TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT"));
    if (check_applied(c, list, n) != version)
        dv_conn_fail(c, DV_EBUSY, "another process changes the schema");
    if (dv_conn_code(c) == 0)
        dv__sqlite_exec(c->h, m->sql, db->path, &c->err);
    record(c, m);
    rc = dv_db_commit(&c, err);
    if (rc != 0)
        dv_err_prefix(err, "migration %d (%s)", m->version, m->name);
    return rc;
}

/* A copy by the side, whole or not there. */
static int save(dv_db *db, int version, dv_buf *saved, dv_err *err)
{
    char name[24];
    snprintf(name, sizeof name, ".before-%d", version + 1);
    int rc = dv_buf_adds(saved, db->path);
    rc = rc != 0 ? rc : dv_buf_adds(saved, name);
    if (rc != 0)
        return dv_fail(err, rc, "%s: %s", db->path, dv_error_text(rc));
    return dv__db_copy_to(db, dv_buf_str(saved), err);
}

int dv__migrate(dv_db *db, const dv__migration *list, size_t n, dv_buf *saved, dv_err *err)
{
    int version = 0;
    int rc = dv__migrate_version(db, list, n, &version, err);
    if (rc == 0 && version > 0 && (size_t)version < n)
        rc = save(db, version, saved, err);
    for (; rc == 0 && (size_t)version < n; version++)
        rc = apply(db, list, n, version, err);
    return rc;
}
