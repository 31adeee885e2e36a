/* SPDX-License-Identifier: MIT */
/* Copies and restoring. A copy is made beside its final name and appears under it when it is whole, checked and on the disk. */
#include "store/backup.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/migrate.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DB_FILE "drover.db"

static int fail_errno(dv_err *err, const char *path, int e)
{
    return dv_fail(err, dv_errno_code(e), "%s: %s", path, strerror(e));
}

/* ---- files ---- */

/* The folder of path, opened; and its real path for SQLite, which takes no links. */
static int open_parent(const char *path, char real[PATH_MAX], int *fd, dv_err *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash != NULL ? (size_t)(slash - path) : 0;
    if (strlen(path) >= sizeof parent - 16 || path[0] == 0 || (slash != NULL && slash[1] == 0))
        return dv_fail(err, DV_EINVAL, "'%s' is not the name of a file", path);
    if (slash == NULL)
        memcpy(parent, ".", 2);
    else if (n == 0)
        memcpy(parent, "/", 2);
    else
        snprintf(parent, sizeof parent, "%.*s", (int)n, path);
    if (realpath(parent, real) == NULL)
        return fail_errno(err, parent, errno);
    *fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd < 0 ? fail_errno(err, parent, errno) : 0;
}

/* A file for the owner only, where SQLite will make a database. */
static int make_empty(const char *path, dv_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(err, path, errno);
    close(fd);
    return 0;
}

static int sync_file(const char *path, dv_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int e = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e != 0 ? fail_errno(err, path, e) : 0;
}

static void remove_db(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[PATH_MAX + 128];
    for (size_t i = 0; i < DV_ARRAY_LEN(ends); i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

/* ---- copies ---- */

static int count(sqlite3 *h, const char *sql, const char *path, uint64_t *out, dv_err *err)
{
    sqlite3_int64 n = 0;
    int rc = dv__sqlite_int(h, sql, path, &n, err);
    *out = (uint64_t)n;
    return rc;
}

static int describe(sqlite3 *h, const char *path, dv_backup_info *info, dv_err *err)
{
    uint64_t version = 0, pages = 0, size = 0;
    int rc = count(h, "SELECT count(*) FROM api_keys WHERE revoked_ms = 0", path, &info->keys, err);
    rc = rc != 0 ? rc : count(h, "SELECT count(*) FROM users", path, &info->users, err);
    rc = rc != 0 ? rc : count(h, "SELECT ifnull(max(seq), 0) FROM audit", path, &info->audit_seq, err);
    rc = rc != 0 ? rc : count(h, "SELECT max(version) FROM migrations", path, &version, err);
    rc = rc != 0 ? rc : count(h, "PRAGMA page_count", path, &pages, err);
    rc = rc != 0 ? rc : count(h, "PRAGMA page_size", path, &size, err);
    info->version = (int)version;
    info->bytes = pages * size;
    return rc;
}

static int put_secret(sqlite3 *h, const dv__secret *secret, const char *path, dv_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, "INSERT INTO meta (name, value) VALUES ('backup_secret', ?1)", -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(st, 1, secret->master, DV__SECRET, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : dv__sqlite_fail(h, rc, path, err);
}

/* Copy from h into the file temp, one file without a WAL, checked. secret, info: may be NULL. */
static int copy_into(sqlite3 *from, const char *temp, const dv__secret *secret, dv_backup_info *info, dv_err *err)
{
    sqlite3 *to = NULL;
    int rc = make_empty(temp, err);
    rc = rc != 0 ? rc : dv__sqlite_open(&to, temp, DV__SQLITE_WRITE, err);
    rc = rc != 0 ? rc : dv__sqlite_copy(from, to, temp, err);
    rc = rc != 0 ? rc : dv__sqlite_exec(to, "PRAGMA journal_mode=DELETE", temp, err);
    if (rc == 0 && secret != NULL)
        rc = put_secret(to, secret, temp, err);
    rc = rc != 0 ? rc : dv__sqlite_check(to, temp, err);
    if (rc == 0 && info != NULL)
        rc = describe(to, temp, info, err);
    sqlite3_close(to);
    return rc != 0 ? rc : sync_file(temp, err);
}

/* A copy under its name, which nobody else's file has. */
static int copy_to(dv_db *db, const char *path, const dv__secret *secret, dv_backup_info *info, dv_err *err)
{
    char real[PATH_MAX], temp[PATH_MAX + 64], final[PATH_MAX + NAME_MAX + 2];
    int dir = -1;
    dv_conn *c = NULL;
    int rc = open_parent(path, real, &dir, err);
    if (rc != 0)
        return rc;
    const char *name = path + strlen(path);
    while (name > path && name[-1] != '/')
        name--;
    snprintf(temp, sizeof temp, "%s/.drover-%08x%08x.part", real, randombytes_random(), randombytes_random());
    snprintf(final, sizeof final, "%s/%s", real, name);
    if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = dv_fail(err, DV_EEXIST, "%s: there is such a file already", path);
    rc = rc != 0 ? rc : dv__db_conn_open(&c, db, DV__SQLITE_READ, err);
    rc = rc != 0 ? rc : copy_into(c->h, temp, secret, info, err);
    dv__db_conn_close(&c);
    /* link(2) does not replace what came meanwhile; where the file system has none, the name is taken by a rename. */
    if (rc == 0 && link(temp, final) != 0 && (errno == EEXIST || rename(temp, final) != 0))
        rc = fail_errno(err, path, errno);
    remove_db(temp);
    if (rc == 0 && fsync(dir) != 0)
        rc = fail_errno(err, path, errno);
    close(dir);
    return rc;
}

int dv__db_copy_to(dv_db *db, const char *path, dv_err *err) { return copy_to(db, path, NULL, NULL, err); }

int dv_backup(dv_store *s, const char *path, const dv_audit_who *by, dv_backup_info *info, dv_err *err)
{
    *info = (dv_backup_info){0};
    int rc = copy_to(s->db, path, &s->secret, info, err);
    if (rc != 0)
        return rc;
    dv_audit_entry e = {.action = "store.backup", .detail = path};
    e.who = by != NULL ? *by : (dv_audit_who){.kind = DV_AUDIT_SYSTEM};
    return dv_audit_log(s, &e, NULL, NULL, err);
}

/* ---- restoring ---- */

typedef struct restore {
    const char *path; /**< of the backup, as it was given */
    dv__folder folder;
    char *db, *temp;
    char stamp[32];
    uint8_t secret[DV__SECRET];
    bool has_secret;
    dv_audit_head old; /**< of the log that is replaced */
} restore;

/* The file as it is, into a new one of the folder. */
static int fetch(restore *r, dv_backup_info *info, dv_err *err)
{
    char real[PATH_MAX];
    sqlite3 *from = NULL;
    sqlite3_int64 id = 0;
    if (realpath(r->path, real) == NULL)
        return fail_errno(err, r->path, errno);
    int rc = dv__sqlite_open(&from, real, DV__SQLITE_FOREIGN, err);
    rc = rc != 0 ? rc : dv__sqlite_int(from, "PRAGMA application_id", r->path, &id, err);
    if (rc == 0 && id != DV__APPLICATION_ID)
        rc = dv_fail(err, DV_EFORMAT, "%s: this is not a backup of drover", r->path);
    rc = rc != 0 ? rc : copy_into(from, r->temp, NULL, info, err);
    sqlite3_close(from);
    return rc;
}

static void take_secret(restore *r, dv_conn *c)
{
    size_t n = 0;
    dv_stmt *st = dv_stmt_get(c, "SELECT value FROM meta WHERE name = 'backup_secret'");
    const void *p = dv_stmt_row(st) ? dv_stmt_get_blob(st, 0, &n) : NULL;
    r->has_secret = p != NULL && n == DV__SECRET;
    if (r->has_secret)
        memcpy(r->secret, p, DV__SECRET);
    dv_stmt_end(st);
}

/* Take the secret out of the copy; sessions of that time and what was counted then are over. */
static int clean_copy(restore *r, dv_err *err)
{
    dv_db *db;
    dv_conn *c;
    int version = 0;
    int rc = dv__db_open(&db, r->temp, false, err);
    if (rc != 0)
        return rc;
    rc = dv__migrate_version(db, dv__migrations, dv__n_migrations, &version, err);
    if (rc == 0 && version == 0)
        rc = dv_fail(err, DV_EFORMAT, "%s: this is not a backup of drover", r->path);
    rc = rc != 0 ? rc : dv_db_write(db, &c, err);
    if (rc == 0) {
        take_secret(r, c);
        dv_stmt_run(dv_stmt_get(c, "DELETE FROM meta WHERE name = 'backup_secret'"));
        dv_stmt_run(dv_stmt_get(c, "DELETE FROM sessions"));
        dv_stmt_run(dv_stmt_get(c, "DELETE FROM login_failures"));
        rc = dv_db_commit(&c, err);
    }
    if (rc == 0)
        rc = dv__sqlite_exec(db->writer->h, "PRAGMA wal_checkpoint(TRUNCATE)", r->temp, err);
    dv__db_close(&db);
    return rc;
}

/* The database that is replaced: everything into its one file, if it still can. */
static void settle_old(restore *r)
{
    dv_db *db;
    dv_conn *c;
    dv_err ignored = {0}; /* it may be damaged: that is why somebody restores */
    if (dv__db_open(&db, r->db, false, &ignored) != 0)
        return;
    if (dv_db_read(db, &c, &ignored) == 0) {
        size_t n = 0;
        dv_stmt *st = dv_stmt_get(c, "SELECT seq, hash FROM audit_head");
        if (dv_stmt_row(st)) {
            r->old.seq = (uint64_t)dv_stmt_get_int(st, 0);
            const void *hash = dv_stmt_get_blob(st, 1, &n);
            memcpy(r->old.hash, hash, DV_MIN(n, sizeof r->old.hash));
        }
        dv_db_commit(&c, &ignored);
    }
    dv__sqlite_exec(db->writer->h, "PRAGMA wal_checkpoint(TRUNCATE)", r->db, &ignored);
    dv__db_close(&db);
}

/* Under their new name the database and its WAL belong together as before. */
static int keep_old(restore *r, dv_buf *old, dv_err *err)
{
    static const char *const ends[] = {"", "-wal"};
    char to[64], from[32];
    for (size_t i = 0; i < DV_ARRAY_LEN(ends); i++) {
        snprintf(from, sizeof from, DB_FILE "%s", ends[i]);
        snprintf(to, sizeof to, DB_FILE ".old-%s%s", r->stamp, ends[i]);
        if (linkat(r->folder.fd, from, r->folder.fd, to, 0) != 0 && errno != ENOENT)
            return fail_errno(err, to, errno);
    }
    return dv_buf_printf(old, "%s/" DB_FILE ".old-%s", r->folder.path, r->stamp) == 0
               ? 0
               : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}

/* From the moment on when the WAL is gone the old database is the one in its file; with the rename it is the new one. A crash between
 * them leaves the old one, whole unless it was damaged before. */
static int exchange(restore *r, dv_err *err)
{
    int dir = r->folder.fd;
    if ((unlinkat(dir, DB_FILE "-wal", 0) != 0 && errno != ENOENT) ||
        (unlinkat(dir, DB_FILE "-shm", 0) != 0 && errno != ENOENT) || rename(r->temp, r->db) != 0 || fsync(dir) != 0)
        return fail_errno(err, r->db, errno);
    return 0;
}

static int put_in_place(restore *r, dv_buf *old, dv_err *err)
{
    bool had = access(r->db, F_OK) == 0;
    int rc = r->has_secret ? dv__secret_add(&r->folder, r->secret, err) : 0;
    if (rc == 0 && had) {
        settle_old(r);
        rc = keep_old(r, old, err);
    }
    rc = rc != 0 ? rc : exchange(r, err);
    if (rc == 0) {
        rc = dv__lines_set_aside(&r->folder, r->stamp, err);
        unlinkat(r->folder.fd, "audit.head", 0);
    }
    return rc;
}

/* The time, with a number behind it where another restore of the same second left its files. */
static void choose_stamp(restore *r, const char *time)
{
    char name[64];
    for (unsigned n = 1; n < 1000; n++) {
        snprintf(r->stamp, sizeof r->stamp, n == 1 ? "%s" : "%s-%u", time, n);
        snprintf(name, sizeof name, DB_FILE ".old-%s", r->stamp);
        if (faccessat(r->folder.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            return;
    }
}

static int begin(restore *r, const char *dir, dv_err *err)
{
    dv_buf path;
    time_t now = time(NULL);
    struct tm tm;
    char stamp[20];
    dv_buf_init(&path, 0);
    int rc = dir != NULL ? dv_buf_adds(&path, dir) : dv_store_default_dir(&path, err);
    rc =
        rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : dv__folder_open(&r->folder, dv_buf_str(&path), true, err);
    dv_buf_fini(&path);
    rc = rc != 0 ? rc : dv__folder_lock(&r->folder, DV__LOCK_USE, true, err);
    if (rc != 0)
        return rc;
    dv__folder_sign(&r->folder);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    choose_stamp(r, stamp);
    r->db = dv__folder_path(&r->folder, DB_FILE);
    r->temp = dv__folder_path(&r->folder, DB_FILE ".restore");
    if (r->db == NULL || r->temp == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    remove_db(r->temp); /* of a restore that was interrupted */
    return 0;
}

/* The new log begins with what it replaces; its files are written anew. */
static int record(const restore *r, const char *dir, const dv_audit_who *by, dv_err *err)
{
    char hex[2 * DV__HASH + 1], text[PATH_MAX + 160];
    dv_store *s;
    const dv_store_options o = {.dir = dir};
    int rc = dv_store_open(&s, &o, err);
    if (rc != 0)
        return rc;
    sodium_bin2hex(hex, sizeof hex, r->old.hash, DV__HASH);
    snprintf(text, sizeof text, "in the place of a log that ended with row %" PRIu64 " %s; from %s", r->old.seq, hex,
             r->path);
    dv_audit_entry e = {.action = "store.restore", .detail = text};
    e.who = by != NULL ? *by : (dv_audit_who){.kind = DV_AUDIT_SYSTEM};
    rc = dv_audit_log(s, &e, NULL, NULL, err);
    dv_store_close(&s);
    return rc;
}

int dv_restore(const char *dir, const char *path, const dv_audit_who *by, dv_backup_info *info, dv_buf *old,
               dv_err *err)
{
    restore r = {.path = path, .folder = {.fd = -1, .lock = -1}};
    *info = (dv_backup_info){0};
    int rc = dv__sqlite_start(err);
    rc = rc != 0 ? rc : begin(&r, dir, err);
    rc = rc != 0 ? rc : fetch(&r, info, err);
    rc = rc != 0 ? rc : clean_copy(&r, err);
    if (r.temp != NULL) { /* everything is in the one file now */
        char name[PATH_MAX];
        snprintf(name, sizeof name, "%s-wal", r.temp);
        unlink(name);
        snprintf(name, sizeof name, "%s-shm", r.temp);
        unlink(name);
    }
    rc = rc != 0 ? rc : put_in_place(&r, old, err);
    if (r.temp != NULL)
        remove_db(r.temp);
    dv__folder_close(&r.folder);
    rc = rc != 0 ? rc : record(&r, dir, by, err);
    sodium_memzero(r.secret, sizeof r.secret);
    dv_free(r.db);
    dv_free(r.temp);
    return rc;
}
