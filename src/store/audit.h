/* SPDX-License-Identifier: MIT */
/* The audit log: who did what, when, with which outcome. A row is in the database and a line of JSON in audit.jsonl, both written by one
 * writer. Rows are chained: each holds the BLAKE2b-256 of the row before it and of its own text. Where the chain ends is kept apart from
 * the rows, sealed with the folder's secret, in a table and in a file, so rows that are changed, removed, added or cut off are found.
 * Texts of clients are escaped (dv_buf_json_log) and cut to their limits: nothing in them can end a line or steer a terminal. */
#ifndef DV_STORE_AUDIT_H
#define DV_STORE_AUDIT_H

#include "base/buf.h"
#include "store/store.h"

/** What kind of identity acted. */
typedef enum dv_audit_kind {
    DV_AUDIT_ANONYMOUS,
    DV_AUDIT_ADDRESS, /**< known by its address only */
    DV_AUDIT_KEY,     /**< an API key; id: its name or number, never the key */
    DV_AUDIT_USER,    /**< a session; id: the user's name */
    DV_AUDIT_COMMAND, /**< drover's command line; id: the system's user */
    DV_AUDIT_SYSTEM,  /**< drover itself */
    DV_AUDIT_KIND_N
} dv_audit_kind;

typedef enum dv_audit_outcome {
    DV_AUDIT_OK,
    DV_AUDIT_DENIED,  /**< not allowed: no key, no scope, wrong password */
    DV_AUDIT_LIMITED, /**< a rate or resource limit */
    DV_AUDIT_INVALID, /**< a request that makes no sense */
    DV_AUDIT_FAILED,  /**< drover's or a backend's fault */
    DV_AUDIT_CANCELED,
    DV_AUDIT_OUTCOME_N
} dv_audit_outcome;

/** Longest texts in bytes; longer ones are cut at a character. */
enum {
    DV_AUDIT_TEXT = 128,    /* id, action, request, address, model */
    DV_AUDIT_DETAIL = 1024, /* detail */
    DV_AUDIT_PROMPT = 16384 /* prompt */
};

/** Who acts. Texts may be NULL (nothing is known) and are copied. */
typedef struct dv_audit_who {
    dv_audit_kind kind;
    const char *id;
    const char *address;
    const char *request; /**< request id */
} dv_audit_who;

typedef struct dv_audit_entry {
    dv_audit_who who;
    const char *action; /**< "POST /v1/chat/completions", "key.create" */
    dv_audit_outcome outcome;
    int status; /**< HTTP status; 0: none */
    uint64_t tokens_in, tokens_out;
    const char *model;
    const char *detail;
    const char *prompt; /**< kept only with dv_store_tuning.audit_prompts */
} dv_audit_entry;

/** A row as it was written. */
typedef struct dv_audit_row {
    uint64_t seq;     /**< 1, 2, 3... without gaps: the order of events, whatever the clock does */
    uint64_t wall_ms; /**< wall clock, may jump */
    uint64_t mono_ns; /**< monotonic clock; comparable between rows of one run */
    char run[17];     /**< random, of the process */
    dv_audit_entry entry;
    uint8_t prev[32], hash[32];
} dv_audit_row;

/** Where the chain ends. */
typedef struct dv_audit_head {
    uint64_t first; /**< oldest row that is kept; 0: the log is empty */
    uint64_t seq;   /**< newest row; 0: none was ever written */
    uint8_t hash[32];
} dv_audit_head;

/** rc is 0: the row is on the disk; else it is lost (the store closed while the disk was full). On the thread that writes. */
typedef void (*dv_audit_done)(void *arg, int rc);

/**
 * Record e (copied). A server only queues it here, in about a microsecond; the row is durable when done is called. Without a server it is
 * committed before this returns. done may be NULL.
 * Errors: DV_EBUSY: too many rows wait, because the disk is full or slow (health says which; 65,536 rows or 32 MiB): nothing was recorded and done
 * will not be called; that rows were lost, and how many, becomes a row "audit.lost" when there is place again; DV_ENOMEM; without a server those of writing.
 */
int dv_audit_log(dv_store *s, const dv_audit_entry *e, dv_audit_done done, void *arg, dv_err *err);
/**
 * Whether rows can be written: 0, or what writing them fails for at the moment (DV_ENOSPC: the disk is full; DV_EBUSY: another program holds the
 * database, or the queue has no place). Takes well under a microsecond: for who must not act unless it is recorded, before he acts.
 */
int dv_audit_state(dv_store *s);
/** Wait until everything logged so far is on the disk. Errors: DV_EBUSY (not within timeout_ms), with what writing fails for. */
int dv_audit_flush(dv_store *s, uint32_t timeout_ms, dv_err *err);

typedef struct dv_audit_filter {
    uint64_t after_seq;          /**< only rows with a larger seq */
    uint64_t since_ms, until_ms; /**< wall clock, [since, until); 0: no bound */
    const char *id, *action;     /**< exactly; NULL: any */
    uint32_t limit;              /**< the newest so many; 0: 1000 */
    bool oldest;                 /**< the oldest so many instead: with after_seq, page by page through everything */
} dv_audit_filter;

/** Call row for rows that match, oldest first; it returns false to stop. The row is borrowed. Errors: those of reading. */
int dv_audit_query(dv_store *s, const dv_audit_filter *f, bool (*row)(void *arg, const dv_audit_row *r), void *arg,
                   dv_err *err);
/** Append the row as its line in audit.jsonl has it, without the line feed. Returns b->code. */
int dv_audit_row_json(dv_buf *b, const dv_audit_row *r);

/** A problem that verification found; seq is the row (0: none in particular), file a file name or NULL for the database, line its line. */
typedef struct dv_audit_problem {
    uint64_t seq;
    const char *file;
    uint64_t line;
    const char *text;
} dv_audit_problem;

typedef struct dv_audit_report {
    dv_audit_head head;
    uint64_t rows, lines, problems;
    uint64_t
        behind; /**< rows that audit.jsonl does not have yet, since a crash or a full disk: a server writes them at its start */
} dv_audit_report;

/**
 * Check every row, every line of audit*.jsonl, and both records of where the chain ends.
 * @param known  a head that was noted elsewhere before: the chain must still hold it; may be NULL
 * @param found  called for each problem; may be NULL
 * @return 0 also when there are problems (report->problems); else those of reading
 */
int dv_audit_verify(dv_store *s, const dv_audit_head *known, void (*found)(void *arg, const dv_audit_problem *p),
                    void *arg, dv_audit_report *report, dv_err *err);

/** "key" and the like; static. */
const char *dv_audit_kind_name(dv_audit_kind k);
const char *dv_audit_outcome_name(dv_audit_outcome o);

#endif
