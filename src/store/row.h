/* SPDX-License-Identifier: MIT */
/* A row of the audit log: its text in JSON, which is what is hashed, and its line in the file. */
#ifndef DV_STORE_ROW_H
#define DV_STORE_ROW_H

#include "store/audit.h"

enum {
    DV__HASH = 32,
    DV__LINE_MAX = 256 << 10 /* no line is longer: texts are bounded, and a byte becomes at most six */
};

/** An entry with texts of its own: repaired UTF-8, cut to their limits, never NULL. */
typedef struct dv__entry {
    struct dv__entry *next;
    dv_audit_entry e;
    uint64_t wall_ms, mono_ns;
    dv_audit_done done;
    void *arg;
    size_t bytes; /**< of memory */
    char text[];
} dv__entry;

/** A copy; freed by dv_free. NULL without memory. */
dv__entry *dv__entry_copy(const dv_audit_entry *e, bool prompt);

/** Append the row's text in JSON without its hash: {"seq":..., "prev":"..."...}. The same row gives the same bytes for ever. */
int dv__row_text(dv_buf *b, const dv_audit_row *r);
/** Hash of such a text: BLAKE2b-256. It covers the row before by "prev". */
void dv__row_hash(const char *text, size_t n, uint8_t hash[DV__HASH]);
/** Make the line of the text at the end of b: "hash" becomes its last member. */
int dv__row_seal(dv_buf *b, const uint8_t hash[DV__HASH]);

/** What a line says about its place in the chain. */
typedef struct dv__line {
    uint64_t seq;
    uint8_t prev[DV__HASH], hash[DV__HASH];
    bool intact; /**< the hash is that of the line's own text */
} dv__line;

/** Read the line at s[0..n), without its line feed; false if it does not look like one. */
bool dv__line_parse(dv__line *out, const char *s, size_t n);

#endif
