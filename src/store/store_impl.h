/* SPDX-License-Identifier: MIT */
/* What the parts of a store share. Locks are taken in this order, each is held for moments: the database's writer, keys.watch_mu, keys.mu; the others
 * are never held together with another. */
#ifndef DV_STORE_STORE_IMPL_H
#define DV_STORE_STORE_IMPL_H

#include "store/chain.h"
#include "store/db_impl.h"
#include "store/files.h"
#include "store/lines.h"
#include "store/secret.h"
#include "store/session.h"

#include <pthread.h>

/** Live keys by their hashes, and the connection that notices changes. */
typedef struct dv__keys {
    pthread_mutex_t mu;
    struct dv__key **slot; /**< [cap] open addressing; cap is a power of two */
    size_t cap, n;
    uint64_t fresh_ns;        /**< when the table was last known to be right; under mu */
    pthread_mutex_t watch_mu; /**< the three below */
    dv_conn *watch;
    int64_t data_version, keys_version;
} dv__keys;

/** Rows that wait to be written. */
typedef struct dv__audit {
    pthread_mutex_t mu;
    pthread_cond_t wake; /**< the thread has something to do */
    pthread_cond_t done; /**< rows were written, or failed to be */
    dv__entry *head, *tail;
    uint64_t n, bytes, lost;
    uint64_t told;            /**< of lost; the log has a row that says so */
    uint64_t queued, settled; /**< counts since the start; settled: written or given up */
    int failing;              /**< what writing fails for now */
    bool kick, stop, running;
    pthread_t thread;
    char run[17];
    uint64_t start_wall_ms, start_ns;
    pthread_mutex_t lines_mu; /**< lines and the anchor's file; without a server any thread writes them */
    dv__lines lines;
    int anchor; /**< of the file audit.head; -1: not open */
    bool lines_behind;
} dv__audit;

/** How many passwords are hashed at a time. */
typedef struct dv__hashing {
    pthread_mutex_t mu;
    pthread_cond_t freed;
    int running, waiting;
} dv__hashing;

enum { DV__SEEN = 512 };

typedef struct dv__seen_row {
    uint8_t hash[DV__MAC];
    uint64_t ms;
} dv__seen_row;

/** When sessions were used last, until it is written. */
typedef struct dv__seen {
    pthread_mutex_t mu;
    size_t n;
    dv__seen_row v[DV__SEEN];
} dv__seen;

struct dv_store {
    dv__folder folder;
    dv_db *db;
    dv__secret secret;
    bool server;
    void (*log)(void *arg, dv_store_log_level level, const char *text);
    void *log_arg;
    uint64_t (*wall_ms)(void);
    pthread_mutex_t tune_mu;
    dv_store_tuning tuning; /**< with defaults filled in */
    dv__keys keys;
    dv__audit audit;
    dv__hashing hashing;
    dv__seen seen;
};

dv_store_tuning dv__store_tuning(dv_store *s);
void dv__store_log(dv_store *s, dv_store_log_level level, const char *fmt, ...) DV_PRINTF(3, 4);

/* ---- audit.c, audit_thread.c ---- */

/** Files and, for a server, the thread; records when the log is not as it was left. */
int dv__audit_open(dv_store *s, dv_err *err);
/** Write what waits, five seconds at most. */
void dv__audit_close(dv_store *s);
/** Append a row in the caller's transaction; detail as printf. A failure is the connection's. by may be NULL: drover itself. */
void dv__audit_in(dv_store *s, dv_conn *c, const dv_audit_who *by, const char *action, dv_audit_outcome outcome,
                  const char *detail, ...) DV_PRINTF(6, 7);
/** After such a transaction was committed: its lines and the head's file follow. */
void dv__audit_committed(dv_store *s);
/** Write rows of a list in one transaction; lines gets their lines, first and last their numbers. */
int dv__audit_write(dv_store *s, const dv__entry *list, dv_buf *lines, dv__chain *chain, uint64_t *first, dv_err *err);
/** The lines of rows that were committed, then the head. lines_mu is not held. */
void dv__audit_follow(dv_store *s, const dv_buf *lines, const dv__chain *chain, uint64_t first);
/** What both records of the log's end say. text is "" if they agree with the rows; chain is what the table says. */
int dv__audit_compare(dv_store *s, dv__chain *chain, char *text, size_t cap, dv_err *err);
/** Bring files up to date with the database. */
void dv__audit_catch_up(dv_store *s);
/** Remove rows that are too old. */
void dv__audit_prune(dv_store *s);
int dv__audit_start(dv_store *s, dv_err *err);
void dv__audit_stop(dv_store *s);

/* ---- key_cache.c, key.c, session.c, login.c ---- */

void dv__keys_init(dv_store *s);
void dv__keys_fini(dv_store *s);
/** See what changed; force: even if nothing seems to. Errors: those of reading. */
int dv__keys_refresh(dv_store *s, bool force, dv_err *err);
/** After keys were revoked: they must not be found any more, here and now. Should reading fail, the table is not trusted until it works. */
void dv__keys_revoked(dv_store *s);
/** Write when keys were used last. */
void dv__keys_save_used(dv_store *s);
/** A query on the watching connection. *us: how long it took. Errors: those of reading. */
int dv__keys_probe(dv_store *s, uint64_t *us, dv_err *err);
void dv__seen_save(dv_store *s);
/** Remove sessions that ended and failures that are forgotten. */
void dv__logins_prune(dv_store *s);
void dv__sessions_prune(dv_store *s);
/** End all sessions of a user, in the caller's transaction. */
void dv__sessions_end(dv_conn *c, int64_t user);

#endif
