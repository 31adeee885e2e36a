/* SPDX-License-Identifier: MIT */
/* The data folder of `drover serve`: one SQLite database (API keys, users, sessions, audit log), a file of secrets, the audit log as JSON
 * lines, and a lock. dv_store is the handle to all of it; key.h, user.h, session.h, audit.h and backup.h say what it can do.
 *
 * Threads: everything may be called from any thread. Calls that write wait for the disk (a commit is an fsync) and for other writers, up
 * to five seconds; an event loop makes them on a worker. What an event loop may call itself: dv_key_find, dv_session_find, dv_audit_log and
 * dv_store_health.
 *
 * Several processes: one server and any number of commands use a folder at the same time; each sees what the others commit. */
#ifndef DV_STORE_STORE_H
#define DV_STORE_STORE_H

#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dv_store dv_store;

/** What may be changed while the store is open (dv_store_tune). 0 in a field is its default. */
typedef struct dv_store_tuning {
    uint32_t audit_days;       /**< audit rows older than this are removed; default 90; UINT32_MAX: never */
    uint64_t audit_file_bytes; /**< the JSON lines file is set aside at this size; default 64 MiB */
    bool audit_prompts;        /**< keep dv_audit_entry.prompt; off: it is never written */
    uint32_t session_idle_s;   /**< a session unused for so long has ended; default 12 hours */
    uint32_t session_max_s;    /**< a session ends so long after login; default 7 days */
    uint32_t password_ops;     /**< Argon2id passes; default libsodium's interactive limit, 2 */
    uint64_t password_bytes;   /**< Argon2id memory; default libsodium's interactive limit, 64 MiB */
} dv_store_tuning;

typedef enum dv_store_log_level { DV_STORE_LOG_ERROR, DV_STORE_LOG_WARN, DV_STORE_LOG_INFO } dv_store_log_level;

typedef struct dv_store_options {
    const char *dir; /**< the folder; NULL: dv_store_default_dir() */
    bool create;     /**< make folder and database if they are not there; else they must be */
    bool server; /**< be the one server of the folder: audit rows of many requests are committed together by a thread */
    dv_store_tuning tuning;
    /** What the store does by itself and cannot return (retries, set-aside files); NULL: silent. Any thread; text is one line, escaped. */
    void (*log)(void *arg, dv_store_log_level level, const char *text);
    void *log_arg;
    uint64_t (*wall_ms)(void); /**< the wall clock; NULL: dv_clock_wall_ms. Tests make it jump */
} dv_store_options;

/**
 * Open the data folder; with create it is made (0700, files 0600). Schemas of older versions are brought up to date; the database is
 * copied to drover.db.before-N first.
 * Errors: DV_ENOENT (no such folder or database, and no create); DV_EACCES (permissions; others may write to the folder or read a file of it);
 * DV_EBUSY (a server or a restore has the folder); DV_EUNSUPPORTED (made by a newer drover); DV_ECORRUPT (damaged: restore a backup);
 * DV_EFORMAT (not drover's database, or the secrets of another one); DV_ENOSPC, DV_EIO, DV_ENOMEM.
 */
int dv_store_open(dv_store **out, const dv_store_options *o, dv_err *err);
/** Write what waits (at most for five seconds) and close; nobody uses s or things found in it but keys (dv_key_unref) any more. */
void dv_store_close(dv_store **s);
void dv_store_tune(dv_store *s, const dv_store_tuning *t);
/** The folder's real path; borrowed. */
const char *dv_store_dir(const dv_store *s);

/** Append the folder used when none is named: $DROVER_DATA_DIR; for root /var/lib/drover; $XDG_DATA_HOME/drover; ~/.local/share/drover.
 *  Errors: DV_ENOENT (no home folder), DV_EINVAL ($DROVER_DATA_DIR is not an absolute path), DV_ENOMEM. */
int dv_store_default_dir(dv_buf *out, dv_err *err);

/** How the store is. Reading goes on whenever it can; code tells what does not. */
typedef struct dv_store_health {
    int code; /**< 0; DV_ENOSPC: full, only reading works; DV_EBUSY: another program holds the database; DV_ECORRUPT, DV_EACCES,
                               DV_EIO: writing fails for that reason */
    bool readable;        /**< a query answered just now */
    uint64_t read_us;     /**< how long it took */
    uint64_t free_bytes;  /**< of the file system, for this user */
    uint64_t audit_queue; /**< audit rows that wait to be written; they are retried until there is space */
    uint64_t audit_lost;  /**< audit rows refused since the start because the queue was full */
    char text[324];       /**< for people; "" when code is 0 and readable */
} dv_store_health;

/** A query of a few microseconds, and what writers saw last. While writing fails a server tries again by itself, so code gets 0 without
 *  anybody's help. */
void dv_store_health_get(dv_store *s, dv_store_health *out);
/** Read the whole database and report damage. Takes about a second for each GB. Errors: DV_ECORRUPT (err says what is damaged), and reading's. */
int dv_store_check(dv_store *s, dv_err *err);

#endif
