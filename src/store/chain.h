/* SPDX-License-Identifier: MIT */
/* The audit log in the database: rows and the head, changed together in the caller's transaction. Writers of several processes follow each
 * other because the head is read inside the transaction. */
#ifndef DV_STORE_CHAIN_H
#define DV_STORE_CHAIN_H

#include "store/db.h"
#include "store/row.h"
#include "store/secret.h"

typedef struct dv__chain {
    uint64_t first, seq;                          /**< 0: none */
    uint8_t first_prev[DV__HASH], hash[DV__HASH]; /**< zeros before the first row */
} dv__chain;

enum { DV__ANCHOR_LEN = 237 };

/** Read the head. Rows that somebody put behind it become part of the chain, so that it can go on. A failure is the connection's.
 *  @param sound  whether the head's seal is right and no row is behind it; may be NULL */
void dv__chain_load(dv_conn *c, const dv__secret *s, dv__chain *out, bool *sound);
/** Append a row to the database, and its line with a line feed to lines. */
void dv__chain_add(dv_conn *c, dv__chain *chain, const dv__entry *e, const char *run, dv_buf *lines);
/** Write the head. */
void dv__chain_save(dv_conn *c, const dv__secret *s, const dv__chain *chain);
/** Remove rows from the oldest on while they are older than before_ms, at most max. Returns how many. Not the newest row. */
uint64_t dv__chain_prune(dv_conn *c, dv__chain *chain, uint64_t before_ms, uint64_t max);

/** The columns that dv__chain_row reads, for a SELECT. */
#define DV__ROW_COLUMNS \
    "seq, wall_ms, mono_ns, run, kind, id, address, request, action, outcome, status, tokens_in, tokens_out, model, detail, prompt, prev, hash"
/** The row that st is at; texts live until its next one. False: a column holds what drover never writes (a text with NUL or broken UTF-8, an unknown
 *  name, a number too large), and out has some other value in its place, which the row's hash may not tell apart. */
bool dv__chain_row(dv_stmt *st, dv_audit_row *out);

/** The head as the file audit.head has it, and back; false if the text is none or its seal is wrong. */
void dv__anchor_text(const dv__secret *s, const dv__chain *chain, char out[DV__ANCHOR_LEN + 1]);
bool dv__anchor_parse(const dv__secret *s, const char *text, size_t n, dv__chain *out);

#endif
