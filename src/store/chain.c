/* SPDX-License-Identifier: MIT */
#include "store/chain.h"

#include "base/err.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the head ---- */

static void seal(const dv__secret *s, const dv__chain *c, uint8_t mac[DV__MAC])
{
    uint8_t text[2 * 8 + 2 * DV__HASH];
    for (int i = 0; i < 8; i++) {
        text[i] = (uint8_t)(c->first >> (8 * i));
        text[8 + i] = (uint8_t)(c->seq >> (8 * i));
    }
    memcpy(text + 16, c->first_prev, DV__HASH);
    memcpy(text + 16 + DV__HASH, c->hash, DV__HASH);
    dv__secret_mac(s, DV__FOR_AUDIT, text, sizeof text, mac);
}

static void get_hash(dv_stmt *st, int col, uint8_t out[DV__HASH])
{
    size_t n;
    const void *p = dv_stmt_get_blob(st, col, &n);
    memset(out, 0, DV__HASH);
    if (n == DV__HASH)
        memcpy(out, p, DV__HASH);
}

static bool load_head(dv_conn *c, const dv__secret *s, dv__chain *out)
{
    uint8_t want[DV__MAC], have[DV__MAC];
    bool ok = true;
    dv_stmt *st = dv_stmt_get(c, "SELECT first, first_prev, seq, hash, mac FROM audit_head WHERE one = 1");
    if (dv_stmt_row(st)) {
        out->first = (uint64_t)dv_stmt_get_int(st, 0);
        get_hash(st, 1, out->first_prev);
        out->seq = (uint64_t)dv_stmt_get_int(st, 2);
        get_hash(st, 3, out->hash);
        get_hash(st, 4, have);
        seal(s, out, want);
        ok = memcmp(want, have, DV__MAC) == 0;
    }
    dv_stmt_end(st);
    return ok;
}

void dv__chain_load(dv_conn *c, const dv__secret *s, dv__chain *out, bool *sound)
{
    *out = (dv__chain){0};
    bool ok = load_head(c, s, out);
    dv_stmt *st = dv_stmt_get(c, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    if (dv_stmt_row(st) && (uint64_t)dv_stmt_get_int(st, 0) > out->seq) {
        ok = false;
        out->seq = (uint64_t)dv_stmt_get_int(st, 0);
        get_hash(st, 1, out->hash);
        if (out->first == 0)
            out->first = 1;
    }
    dv_stmt_end(st);
    if (sound != NULL)
        *sound = ok;
}

void dv__chain_save(dv_conn *c, const dv__secret *s, const dv__chain *chain)
{
    uint8_t mac[DV__MAC];
    seal(s, chain, mac);
    dv_stmt *st =
        dv_stmt_get(c, "INSERT INTO audit_head (one, first, first_prev, seq, hash, mac) VALUES (1, ?1, ?2, ?3, ?4, ?5)"
                       " ON CONFLICT (one) DO UPDATE SET first = ?1, first_prev = ?2, seq = ?3, hash = ?4, mac = ?5");
    dv_stmt_int(st, 1, (int64_t)chain->first);
    dv_stmt_blob(st, 2, chain->first_prev, DV__HASH);
    dv_stmt_int(st, 3, (int64_t)chain->seq);
    dv_stmt_blob(st, 4, chain->hash, DV__HASH);
    dv_stmt_blob(st, 5, mac, DV__MAC);
    dv_stmt_run(st);
}

/* ---- rows ---- */

static void insert(dv_conn *c, const dv_audit_row *r)
{
    const dv_audit_entry *e = &r->entry;
    dv_stmt *st =
        dv_stmt_get(c, "INSERT INTO audit (" DV__ROW_COLUMNS
                       ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)");
    dv_stmt_int(st, 1, (int64_t)r->seq);
    dv_stmt_int(st, 2, (int64_t)r->wall_ms);
    dv_stmt_int(st, 3, (int64_t)r->mono_ns);
    dv_stmt_str(st, 4, r->run);
    dv_stmt_str(st, 5, dv_audit_kind_name(e->who.kind));
    dv_stmt_str(st, 6, e->who.id);
    dv_stmt_str(st, 7, e->who.address);
    dv_stmt_str(st, 8, e->who.request);
    dv_stmt_str(st, 9, e->action);
    dv_stmt_str(st, 10, dv_audit_outcome_name(e->outcome));
    dv_stmt_int(st, 11, e->status);
    dv_stmt_int(st, 12, (int64_t)e->tokens_in);
    dv_stmt_int(st, 13, (int64_t)e->tokens_out);
    dv_stmt_str(st, 14, e->model);
    dv_stmt_str(st, 15, e->detail);
    dv_stmt_str(st, 16, e->prompt);
    dv_stmt_blob(st, 17, r->prev, DV__HASH);
    dv_stmt_blob(st, 18, r->hash, DV__HASH);
    dv_stmt_run(st);
}

void dv__chain_add(dv_conn *c, dv__chain *chain, const dv__entry *e, const char *run, dv_buf *lines)
{
    dv_audit_row r = {.seq = chain->seq + 1, .wall_ms = e->wall_ms, .mono_ns = e->mono_ns, .entry = e->e};
    size_t start = lines->len;
    snprintf(r.run, sizeof r.run, "%s", run);
    memcpy(r.prev, chain->hash, DV__HASH);
    if (dv__row_text(lines, &r) != 0) {
        dv_conn_fail(c, lines->code, "a row of the audit log: %s", dv_error_text(lines->code));
        return;
    }
    dv__row_hash(lines->data + start, lines->len - start, r.hash);
    dv__row_seal(lines, r.hash);
    dv_buf_addc(lines, '\n');
    insert(c, &r);
    if (lines->code != 0)
        dv_conn_fail(c, lines->code, "a row of the audit log: %s", dv_error_text(lines->code));
    if (chain->first == 0) {
        chain->first = r.seq;
        memcpy(chain->first_prev, r.prev, DV__HASH);
    }
    chain->seq = r.seq;
    memcpy(chain->hash, r.hash, DV__HASH);
}

static dv_audit_kind find_kind(const char *s)
{
    int k = 0;
    while (k < DV_AUDIT_KIND_N && strcmp(s, dv_audit_kind_name((dv_audit_kind)k)) != 0)
        k++;
    return (dv_audit_kind)k;
}

static dv_audit_outcome find_outcome(const char *s)
{
    int k = 0;
    while (k < DV_AUDIT_OUTCOME_N && strcmp(s, dv_audit_outcome_name((dv_audit_outcome)k)) != 0)
        k++;
    return (dv_audit_outcome)k;
}

/* A text as drover writes it: valid UTF-8 without NUL, which is what its JSON can hold without loss. */
static const char *text(dv_stmt *st, int col, bool *exact)
{
    size_t n;
    const char *s = dv_stmt_get_text(st, col, &n);
    *exact = *exact && strlen(s) == n && dv_utf8_valid(s, n);
    return s;
}

static int get_status(dv_stmt *st, bool *exact)
{
    int64_t v = dv_stmt_get_int(st, 10);
    *exact = *exact && v >= INT_MIN && v <= INT_MAX;
    return (int)v;
}

bool dv__chain_row(dv_stmt *st, dv_audit_row *out)
{
    bool exact = true;
    const char *run = text(st, 3, &exact), *kind = text(st, 4, &exact), *outcome = text(st, 9, &exact);
    *out = (dv_audit_row){.seq = (uint64_t)dv_stmt_get_int(st, 0),
                          .wall_ms = (uint64_t)dv_stmt_get_int(st, 1),
                          .mono_ns = (uint64_t)dv_stmt_get_int(st, 2)};
    out->entry = (dv_audit_entry){.who = {.kind = find_kind(kind),
                                          .id = text(st, 5, &exact),
                                          .address = text(st, 6, &exact),
                                          .request = text(st, 7, &exact)},
                                  .action = text(st, 8, &exact),
                                  .outcome = find_outcome(outcome),
                                  .status = get_status(st, &exact),
                                  .tokens_in = (uint64_t)dv_stmt_get_int(st, 11),
                                  .tokens_out = (uint64_t)dv_stmt_get_int(st, 12),
                                  .model = text(st, 13, &exact),
                                  .detail = text(st, 14, &exact),
                                  .prompt = text(st, 15, &exact)};
    snprintf(out->run, sizeof out->run, "%s", run);
    get_hash(st, 16, out->prev);
    get_hash(st, 17, out->hash);
    return exact && strcmp(out->run, run) == 0 && strcmp(dv_audit_kind_name(out->entry.who.kind), kind) == 0 &&
           strcmp(dv_audit_outcome_name(out->entry.outcome), outcome) == 0;
}

uint64_t dv__chain_prune(dv_conn *c, dv__chain *chain, uint64_t before_ms, uint64_t max)
{
    uint64_t n = 0, last = 0;
    uint8_t hash[DV__HASH];
    dv_stmt *st = dv_stmt_get(c, "SELECT seq, wall_ms, hash FROM audit WHERE seq < ?1 ORDER BY seq LIMIT ?2");
    dv_stmt_int(st, 1, (int64_t)chain->seq);
    dv_stmt_int(st, 2, (int64_t)max);
    while (dv_stmt_row(st)) {
        if ((uint64_t)dv_stmt_get_int(st, 1) >= before_ms)
            break;
        last = (uint64_t)dv_stmt_get_int(st, 0);
        get_hash(st, 2, hash);
        n++;
    }
    dv_stmt_end(st);
    if (n == 0)
        return 0;
    st = dv_stmt_get(c, "DELETE FROM audit WHERE seq <= ?1");
    dv_stmt_int(st, 1, (int64_t)last);
    dv_stmt_run(st);
    chain->first = last + 1;
    memcpy(chain->first_prev, hash, DV__HASH);
    return n;
}

/* ---- the head in a file ---- */

void dv__anchor_text(const dv__secret *s, const dv__chain *chain, char out[DV__ANCHOR_LEN + 1])
{
    uint8_t mac[DV__MAC];
    char first[2 * DV__HASH + 1], hash[2 * DV__HASH + 1], sealed[2 * DV__MAC + 1];
    seal(s, chain, mac);
    sodium_bin2hex(first, sizeof first, chain->first_prev, DV__HASH);
    sodium_bin2hex(hash, sizeof hash, chain->hash, DV__HASH);
    sodium_bin2hex(sealed, sizeof sealed, mac, DV__MAC);
    snprintf(out, DV__ANCHOR_LEN + 1, "%020" PRIu64 " %s %020" PRIu64 " %s %s\n", chain->first, first, chain->seq, hash,
             sealed);
}

static bool hex(const char *s, uint8_t out[DV__HASH])
{
    size_t got = 0;
    return sodium_hex2bin(out, DV__HASH, s, 2 * DV__HASH, NULL, &got, NULL) == 0 && got == DV__HASH;
}

bool dv__anchor_parse(const dv__secret *s, const char *text, size_t n, dv__chain *out)
{
    uint8_t mac[DV__MAC], want[DV__MAC];
    char digits[21] = "";
    *out = (dv__chain){0};
    if (n != DV__ANCHOR_LEN)
        return false;
    memcpy(digits, text, 20);
    out->first = strtoull(digits, NULL, 10);
    memcpy(digits, text + 86, 20);
    out->seq = strtoull(digits, NULL, 10);
    if (!hex(text + 21, out->first_prev) || !hex(text + 107, out->hash) || !hex(text + 172, mac))
        return false;
    seal(s, out, want);
    return memcmp(mac, want, DV__MAC) == 0;
}
