/* SPDX-License-Identifier: MIT */
#include "store/sqlite.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

/* ---- once for the process ---- */

static void *mem_malloc(int n) { return n > 0 ? dv_alloc(DV_MEM_STORE, (size_t)n) : NULL; }
static void *mem_realloc(void *p, int n) { return dv_realloc(DV_MEM_STORE, p, (size_t)n); }
static int mem_size(void *p) { return p != NULL ? (int)dv_mem_size(p) : 0; }
static int mem_roundup(int n) { return (n + 7) & ~7; }
static int mem_init(void *arg) { return SQLITE_OK; }
static void mem_shutdown(void *arg) {}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int started;

/* Memory of SQLite is counted as everybody else's. Connections have no lock of their own: a connection belongs to one thread at a time. */
static void start(void)
{
    static const sqlite3_mem_methods mem = {.xMalloc = mem_malloc,
                                            .xFree = dv_free,
                                            .xRealloc = mem_realloc,
                                            .xSize = mem_size,
                                            .xRoundup = mem_roundup,
                                            .xInit = mem_init,
                                            .xShutdown = mem_shutdown};
    bool ok = sqlite3_config(SQLITE_CONFIG_MALLOC, &mem) == SQLITE_OK &&
              sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK && sqlite3_initialize() == SQLITE_OK &&
              sodium_init() >= 0;
    started = ok ? 0 : DV_EINTERNAL;
}

int dv__sqlite_start(dv_err *err)
{
    pthread_once(&once, start);
    return started != 0 ? dv_fail(err, started, "SQLite or libsodium cannot be set up") : 0;
}

/* ---- errors ---- */

/* What the system said. SQLite forgets it sometimes before it reports: quotas and limits of file sizes would look like a broken disk. Its files
 * remember. */
static int last_errno(sqlite3 *h)
{
    static const int which[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER}; /* the former is the WAL */
    int e = h != NULL ? sqlite3_system_errno(h) : 0;
    for (size_t i = 0; e == 0 && h != NULL && i < DV_ARRAY_LEN(which); i++) {
        sqlite3_file *f = NULL;
        if (sqlite3_file_control(h, "main", which[i], &f) == SQLITE_OK && f != NULL && f->pMethods != NULL)
            f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &e);
    }
    return e;
}

static int constraint_code(int rc)
{
    switch (rc) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return DV_EEXIST;
    default: return DV_EINVAL;
    }
}

int dv__sqlite_code(sqlite3 *h, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return 0;
    case SQLITE_FULL: return DV_ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: return DV_EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DV_ECORRUPT;
    case SQLITE_TOOBIG: return DV_ELIMIT;
    case SQLITE_CONSTRAINT: return constraint_code(rc);
    case SQLITE_MISMATCH: return DV_EINVAL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return DV_EACCES;
    case SQLITE_NOMEM: return DV_ENOMEM;
    case SQLITE_INTERRUPT: return DV_ECANCELED;
    case SQLITE_CANTOPEN: return h != NULL ? dv_errno_code(sqlite3_system_errno(h)) : DV_EIO;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return DV_ENOMEM;
        if (rc == SQLITE_IOERR_CORRUPTFS)
            return DV_ECORRUPT;
        return dv_errno_code(last_errno(h)) == DV_ENOSPC ? DV_ENOSPC : DV_EIO;
    default: return DV_EINTERNAL;
    }
}

int dv__sqlite_fail(sqlite3 *h, int rc, const char *path, dv_err *err)
{
    int code = dv__sqlite_code(h, rc), primary = rc & 0xff;
    int e = primary == SQLITE_IOERR ? last_errno(h) : h != NULL ? sqlite3_system_errno(h) : 0;
    const char *text = h != NULL ? sqlite3_errmsg(h) : sqlite3_errstr(rc);
    if (code == DV_ECORRUPT)
        return dv_fail(err, code, "%s: the database is damaged (%s); 'drover restore' puts a backup in its place", path,
                       text);
    if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && e != 0)
        return dv_fail(err, code, "%s: %s: %s", path, text, strerror(e));
    return dv_fail(err, code, "%s: %s", path, text);
}

/* ---- opening ---- */

/* What no statement of drover comes near, so that a damaged or hostile file cannot either. */
static void set_limits(sqlite3 *h)
{
    static const struct {
        int id, max;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, 16 << 20},
        {SQLITE_LIMIT_SQL_LENGTH, 64 << 10},
        {SQLITE_LIMIT_COLUMN, 64},
        {SQLITE_LIMIT_EXPR_DEPTH, 64},
        {SQLITE_LIMIT_COMPOUND_SELECT, 8},
        {SQLITE_LIMIT_VDBE_OP, 25000},
        {SQLITE_LIMIT_FUNCTION_ARG, 16},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 64},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 8},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(limits); i++)
        sqlite3_limit(h, limits[i].id, limits[i].max);
}

static int set_switches(sqlite3 *h, bool foreign)
{
    const struct {
        int id, on;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},   {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1}, {SQLITE_DBCONFIG_ENABLE_TRIGGER, !foreign},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},     {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(switches); i++) {
        int rc = sqlite3_db_config(h, switches[i].id, switches[i].on, NULL);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

/* No mapping: a file that is cut short would be SIGBUS. */
static int set_pragmas(sqlite3 *h, dv__sqlite_mode mode)
{
    int rc = sqlite3_busy_timeout(h, DV__BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            h,
            "PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
            "PRAGMA cache_size=-2000; PRAGMA journal_size_limit=16777216; PRAGMA secure_delete=ON;",
            NULL, NULL, NULL);
    if (rc == SQLITE_OK && (mode == DV__SQLITE_READ || mode == DV__SQLITE_FOREIGN))
        rc = sqlite3_exec(h, "PRAGMA query_only=ON", NULL, NULL, NULL);
    return rc;
}

int dv__sqlite_open(sqlite3 **h, const char *path, dv__sqlite_mode mode, dv_err *err)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
    flags |= mode == DV__SQLITE_FOREIGN ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= mode == DV__SQLITE_CREATE ? SQLITE_OPEN_CREATE : 0;
    *h = NULL;
    int code = dv__sqlite_start(err);
    if (code != 0)
        return code;
    int rc = sqlite3_open_v2(path, h, flags, NULL);
    if (rc == SQLITE_OK) {
        set_limits(*h);
        rc = set_switches(*h, mode == DV__SQLITE_FOREIGN);
    }
    if (rc == SQLITE_OK)
        rc = set_pragmas(*h, mode);
    if (rc == SQLITE_OK)
        return 0;
    code = dv__sqlite_fail(*h, rc, path, err);
    sqlite3_close(*h);
    *h = NULL;
    return code;
}

/* ---- whole statements ---- */

int dv__sqlite_exec(sqlite3 *h, const char *sql, const char *path, dv_err *err)
{
    int rc = sqlite3_exec(h, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : dv__sqlite_fail(h, rc, path, err);
}

int dv__sqlite_int(sqlite3 *h, const char *sql, const char *path, sqlite3_int64 *out, dv_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    int code = rc == SQLITE_ROW    ? 0
               : rc == SQLITE_DONE ? dv_fail(err, DV_EFORMAT, "%s: '%s' has no answer", path, sql)
                                   : dv__sqlite_fail(h, rc, path, err);
    sqlite3_finalize(st);
    return code;
}

/* Rows of a checking pragma are problems, but for the single "ok". */
static int check_rows(sqlite3 *h, const char *sql, const char *what, const char *path, dv_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    int code = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : dv__sqlite_fail(h, rc, path, err);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, 0) : NULL;
    if (text != NULL && strcmp(text, "ok") != 0)
        code = dv_fail(err, DV_ECORRUPT, "%s: the database is damaged: %s%s", path, what, text);
    sqlite3_finalize(st);
    return code;
}

int dv__sqlite_check(sqlite3 *h, const char *path, dv_err *err)
{
    int code = check_rows(h, "PRAGMA integrity_check(1)", "", path, err);
    return code != 0 ? code : check_rows(h, "PRAGMA foreign_key_check", "a reference to nothing in ", path, err);
}

int dv__sqlite_copy(sqlite3 *from, sqlite3 *to, const char *path, dv_err *err)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (b == NULL)
        return dv__sqlite_fail(to, sqlite3_extended_errcode(to), path, err);
    /* All in one step: it reads from one snapshot, which writers do not disturb. Page by page it would begin anew at each of their commits. */
    int rc = sqlite3_backup_step(b, -1);
    int end = sqlite3_backup_finish(b);
    if (rc == SQLITE_DONE && end == SQLITE_OK)
        return 0;
    return dv__sqlite_fail(to, end != SQLITE_OK ? end : rc, path, err);
}
