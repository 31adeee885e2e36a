/* SPDX-License-Identifier: MIT */
/* Opening and closing of the data folder, and how it is. */
#include "store/store.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/migrate.h"
#include "store/store_impl.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DB_FILE "drover.db"

enum { SET_UP_TRIES = 100, SET_UP_PAUSE_MS = 50 };

/* ---- settings ---- */

static dv_store_tuning with_defaults(const dv_store_tuning *t)
{
    dv_store_tuning d = *t;
    d.audit_days = d.audit_days != 0 ? d.audit_days : 90;
    d.audit_file_bytes = d.audit_file_bytes != 0 ? d.audit_file_bytes : 64u << 20;
    d.session_idle_s = d.session_idle_s != 0 ? d.session_idle_s : 12 * 3600;
    d.session_max_s = d.session_max_s != 0 ? d.session_max_s : 7 * 86400;
    d.password_ops = d.password_ops != 0 ? d.password_ops : crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE;
    d.password_bytes = d.password_bytes != 0 ? d.password_bytes : crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE;
    return d;
}

void dv_store_tune(dv_store *s, const dv_store_tuning *t)
{
    pthread_mutex_lock(&s->tune_mu);
    s->tuning = with_defaults(t);
    pthread_mutex_unlock(&s->tune_mu);
}

dv_store_tuning dv__store_tuning(dv_store *s)
{
    pthread_mutex_lock(&s->tune_mu);
    dv_store_tuning t = s->tuning;
    pthread_mutex_unlock(&s->tune_mu);
    return t;
}

void dv__store_log(dv_store *s, dv_store_log_level level, const char *fmt, ...)
{
    char text[512];
    dv_err safe = {0}; /* dv_fail escapes what could forge a line */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dv_fail(&safe, DV_EINVAL, "%s", text);
    if (s->log != NULL)
        s->log(s->log_arg, level, safe.msg);
}

const char *dv_store_dir(const dv_store *s) { return s->folder.path; }

dv_db *dv_store_db(dv_store *s) { return s->db; }

/* ---- opening ---- */

static int open_folder(dv_store *s, const dv_store_options *o, dv_err *err)
{
    dv_buf dir;
    dv_buf_init(&dir, 0);
    int rc = o->dir != NULL ? dv_buf_adds(&dir, o->dir) : dv_store_default_dir(&dir, err);
    if (rc == 0)
        rc = dv__folder_open(&s->folder, dv_buf_str(&dir), o->create, err);
    else
        dv_fail(err, rc, "%s", dv_error_text(rc));
    dv_buf_fini(&dir);
    if (rc == 0)
        rc = dv__folder_lock(&s->folder, DV__LOCK_USE, false, err);
    if (rc == 0 && o->server)
        rc = dv__folder_lock(&s->folder, DV__LOCK_SERVER, true, err);
    if (rc == 0 && o->server)
        dv__folder_sign(&s->folder);
    return rc;
}

/* Where several make a new database at once, SQLite tells some of them without waiting that it is locked while it changes to WAL. */
static int open_in_turn(dv_db **db, const char *path, bool create, dv_err *err)
{
    uint64_t give_up_ns = dv_clock_ns() + (uint64_t)DV__BUSY_MS * 1000000;
    for (;;) {
        dv_err e = {0};
        int rc = dv__db_open(db, path, create, &e);
        if (rc != DV_EBUSY || dv_clock_ns() >= give_up_ns)
            return rc != 0 ? dv_fail(err, rc, "%s", e.msg) : 0;
        nanosleep(&(struct timespec){.tv_nsec = SET_UP_PAUSE_MS * 1000000}, NULL);
    }
}

/* The file is made here, for the owner only; SQLite gives the files beside it the same permissions. */
static int open_db(dv_store *s, bool create, dv_err *err)
{
    int fd = dv__file_open(&s->folder, DB_FILE, create ? O_RDWR | O_CREAT : O_RDWR, err);
    if (fd == DV_ENOENT)
        return dv_fail(err, DV_ENOENT, "%s: there is no drover data in this folder", s->folder.path);
    if (fd < 0)
        return fd;
    close(fd);
    char *path = dv__folder_path(&s->folder, DB_FILE);
    int rc = path != NULL ? open_in_turn(&s->db, path, create, err)
                          : dv_fail(err, DV_ENOMEM, "%s: %s", s->folder.path, dv_error_text(DV_ENOMEM));
    dv_free(path);
    return rc;
}

/* Only one process sets up or changes the schema. A command waits for another one, but not for a server. */
static int lock_for_set_up(dv_store *s, dv_err *err)
{
    for (int i = 0;; i++) {
        dv_err e = {0};
        int rc = dv__folder_lock(&s->folder, DV__LOCK_SERVER, true, &e);
        if (rc != DV_EBUSY || i == SET_UP_TRIES)
            return rc != 0 ? dv_fail(err, rc, "%s, and the database has to be brought up to date", e.msg) : 0;
        nanosleep(&(struct timespec){.tv_nsec = SET_UP_PAUSE_MS * 1000000}, NULL);
    }
}

static int set_up(dv_store *s, dv_err *err)
{
    dv_buf saved;
    dv_buf_init(&saved, 0);
    int rc = s->server ? 0 : lock_for_set_up(s, err);
    if (rc != 0)
        return rc;
    rc = dv__migrate(s->db, dv__migrations, dv__n_migrations, &saved, err);
    if (saved.len > 0)
        dv__store_log(s, DV_STORE_LOG_INFO, "the database was brought up to date; the old one is %s",
                      dv_buf_str(&saved));
    if (rc == 0)
        rc = dv__secret_load(&s->secret, &s->folder, s->db, err);
    if (!s->server)
        dv__folder_unlock(&s->folder, DV__LOCK_SERVER);
    dv_buf_fini(&saved);
    return rc;
}

/* Whether there is nothing to set up. */
static int is_ready(dv_store *s, bool *ready, dv_err *err)
{
    int version = 0;
    dv_conn *c;
    int rc = dv__migrate_version(s->db, dv__migrations, dv__n_migrations, &version, err);
    *ready = false;
    if (rc != 0 || (size_t)version < dv__n_migrations)
        return rc;
    rc = dv_db_read(s->db, &c, err);
    if (rc != 0)
        return rc;
    dv_stmt *st = dv_stmt_get(c, "SELECT 1 FROM meta WHERE name = 'secret'");
    *ready = dv_stmt_row(st);
    dv_stmt_end(st);
    return dv_db_commit(&c, err);
}

static int prepare(dv_store *s, dv_err *err)
{
    bool ready;
    int rc = is_ready(s, &ready, err);
    if (rc != 0)
        return rc;
    return ready ? dv__secret_load(&s->secret, &s->folder, s->db, err) : set_up(s, err);
}

static void init(dv_store *s, const dv_store_options *o)
{
    s->folder = (dv__folder){.fd = -1, .lock = -1};
    s->server = o->server;
    s->log = o->log;
    s->log_arg = o->log_arg;
    s->wall_ms = o->wall_ms != NULL ? o->wall_ms : dv_clock_wall_ms;
    s->tuning = with_defaults(&o->tuning);
    pthread_mutex_init(&s->tune_mu, NULL);
    pthread_mutex_init(&s->hashing.mu, NULL);
    pthread_cond_init(&s->hashing.freed, NULL);
    pthread_mutex_init(&s->seen.mu, NULL);
    dv__keys_init(s);
}

static void fini(dv_store *s)
{
    dv__keys_fini(s);
    dv__db_close(&s->db);
    dv__secret_wipe(&s->secret);
    dv__folder_close(&s->folder);
    pthread_mutex_destroy(&s->tune_mu);
    pthread_mutex_destroy(&s->hashing.mu);
    pthread_cond_destroy(&s->hashing.freed);
    pthread_mutex_destroy(&s->seen.mu);
    dv_free(s);
}

int dv_store_open(dv_store **out, const dv_store_options *o, dv_err *err)
{
    dv_err own = {0};
    err = err != NULL ? err : &own;
    *out = NULL;
    int rc = dv__sqlite_start(err);
    if (rc != 0)
        return rc;
    dv_store *s = dv_calloc(DV_MEM_STORE, 1, sizeof *s);
    if (s == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    init(s, o);
    rc = open_folder(s, o, err);
    rc = rc != 0 ? rc : open_db(s, o->create, err);
    rc = rc != 0 ? rc : prepare(s, err);
    rc = rc != 0 ? rc : dv__keys_refresh(s, true, err);
    if (rc != 0) {
        fini(s);
        return rc;
    }
    rc = dv__audit_open(s, err);
    if (rc != 0)
        dv_store_close(&s);
    *out = s;
    return rc;
}

void dv_store_close(dv_store **s)
{
    if (*s == NULL)
        return;
    dv__audit_close(*s);
    fini(*s);
    *s = NULL;
}

/* ---- how it is ---- */

void dv_store_health_get(dv_store *s, dv_store_health *out)
{
    dv_err e = {0};
    struct statvfs vfs;
    *out = (dv_store_health){0};
    out->readable = dv__keys_probe(s, &out->read_us, &e) == 0;
    dv_err state = dv__db_state(s->db);
    out->code = state.code;
    memcpy(out->text, state.msg, sizeof out->text);
    if (!out->readable) {
        out->code = out->code != 0 ? out->code : e.code;
        memcpy(out->text, e.msg, sizeof out->text);
    }
    if (fstatvfs(s->folder.fd, &vfs) == 0)
        out->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    pthread_mutex_lock(&s->audit.mu);
    out->audit_queue = s->audit.queued - s->audit.settled;
    out->audit_lost = s->audit.lost;
    if (out->code == 0 && s->audit.failing != 0) {
        out->code = s->audit.failing;
        snprintf(out->text, sizeof out->text, "the audit log cannot be written: %s", dv_error_text(out->code));
    }
    pthread_mutex_unlock(&s->audit.mu);
}

int dv_store_check(dv_store *s, dv_err *err)
{
    dv_conn *c;
    int rc = dv__db_conn_open(&c, s->db, DV__SQLITE_READ, err);
    if (rc != 0)
        return rc;
    rc = dv__sqlite_check(c->h, s->db->path, err);
    dv__db_conn_close(&c);
    return rc;
}
