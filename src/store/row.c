/* SPDX-License-Identifier: MIT */
#include "store/row.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const kinds[DV_AUDIT_KIND_N] = {"anonymous", "address", "key", "user", "command", "system"};
static const char *const outcomes[DV_AUDIT_OUTCOME_N] = {"ok", "denied", "limited", "invalid", "failed", "canceled"};

const char *dv_audit_kind_name(dv_audit_kind k) { return (unsigned)k < DV_AUDIT_KIND_N ? kinds[k] : "?"; }

const char *dv_audit_outcome_name(dv_audit_outcome o) { return (unsigned)o < DV_AUDIT_OUTCOME_N ? outcomes[o] : "?"; }

/* ---- copies ---- */

/* s as UTF-8 of at most max bytes, broken bytes as U+FFFD; out NULL: only count. Returns bytes without the NUL. */
static size_t clean(char *out, const char *s, size_t max)
{
    size_t n = s != NULL ? strnlen(s, max + 4) : 0, o = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int k = dv_utf8_decode(s + i, n - i, &cp);
        const char *from = k > 0 ? s + i : "\xef\xbf\xbd";
        size_t len = k > 0 ? (size_t)k : 3;
        if (o + len > max)
            break;
        if (out != NULL)
            memcpy(out + o, from, len);
        o += len;
        i += k > 0 ? (size_t)k : 1;
    }
    if (out != NULL)
        out[o] = 0;
    return o;
}

enum { TEXTS = 7 };

dv__entry *dv__entry_copy(const dv_audit_entry *e, bool prompt)
{
    const char *from[TEXTS] = {e->who.id, e->who.address, e->who.request,           e->action,
                               e->model,  e->detail,      prompt ? e->prompt : NULL};
    static const size_t max[TEXTS] = {DV_AUDIT_TEXT, DV_AUDIT_TEXT,   DV_AUDIT_TEXT,  DV_AUDIT_TEXT,
                                      DV_AUDIT_TEXT, DV_AUDIT_DETAIL, DV_AUDIT_PROMPT};
    size_t bytes = sizeof(dv__entry);
    for (int i = 0; i < TEXTS; i++)
        bytes += clean(NULL, from[i], max[i]) + 1;
    dv__entry *copy = dv_alloc(DV_MEM_STORE, bytes);
    if (copy == NULL)
        return NULL;
    *copy = (dv__entry){.e = *e, .bytes = bytes};
    const char **to[TEXTS] = {&copy->e.who.id, &copy->e.who.address, &copy->e.who.request, &copy->e.action,
                              &copy->e.model,  &copy->e.detail,      &copy->e.prompt};
    char *at = copy->text;
    for (int i = 0; i < TEXTS; i++) {
        *to[i] = at;
        at += clean(at, from[i], max[i]) + 1;
    }
    /* What no column or line could hold. */
    copy->e.tokens_in = DV_MIN(e->tokens_in, (uint64_t)INT64_MAX);
    copy->e.tokens_out = DV_MIN(e->tokens_out, (uint64_t)INT64_MAX);
    return copy;
}

/* ---- text ---- */

static void add_hex(dv_buf *b, const char *name, const uint8_t hash[DV__HASH])
{
    char hex[2 * DV__HASH + 1];
    sodium_bin2hex(hex, sizeof hex, hash, DV__HASH);
    dv_buf_printf(b, ",\"%s\":\"%s\"", name, hex);
}

/* What is empty is left out: lines stay short. */
static void add_str(dv_buf *b, const char *name, const char *s)
{
    if (s == NULL || s[0] == 0)
        return;
    dv_buf_printf(b, ",\"%s\":", name);
    dv_buf_json_log(b, s, strlen(s));
}

static void add_num(dv_buf *b, const char *name, uint64_t v)
{
    if (v != 0)
        dv_buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)v);
}

static void add_time(dv_buf *b, uint64_t wall_ms)
{
    char stamp[32];
    struct tm tm;
    time_t s = (time_t)(wall_ms / 1000);
    if (gmtime_r(&s, &tm) == NULL || strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        stamp[0] = 0; /* only years that no calendar has */
    dv_buf_printf(b, ",\"time\":\"%s.%03uZ\"", stamp, (unsigned)(wall_ms % 1000));
}

int dv__row_text(dv_buf *b, const dv_audit_row *r)
{
    const dv_audit_entry *e = &r->entry;
    dv_buf_printf(b, "{\"seq\":%llu", (unsigned long long)r->seq);
    add_hex(b, "prev", r->prev);
    add_time(b, r->wall_ms);
    add_num(b, "mono_ns", r->mono_ns);
    add_str(b, "run", r->run);
    add_str(b, "kind", dv_audit_kind_name(e->who.kind));
    add_str(b, "id", e->who.id);
    add_str(b, "address", e->who.address);
    add_str(b, "request", e->who.request);
    add_str(b, "action", e->action);
    add_str(b, "outcome", dv_audit_outcome_name(e->outcome));
    if (e->status != 0)
        dv_buf_printf(b, ",\"status\":%d", e->status);
    add_num(b, "tokens_in", e->tokens_in);
    add_num(b, "tokens_out", e->tokens_out);
    add_str(b, "model", e->model);
    add_str(b, "detail", e->detail);
    add_str(b, "prompt", e->prompt);
    return dv_buf_addc(b, '}');
}

void dv__row_hash(const char *text, size_t n, uint8_t hash[DV__HASH])
{
    crypto_generichash(hash, DV__HASH, (const unsigned char *)text, n, NULL, 0);
}

int dv__row_seal(dv_buf *b, const uint8_t hash[DV__HASH])
{
    if (b->code != 0)
        return b->code;
    b->len--; /* the brace that ends the text */
    add_hex(b, "hash", hash);
    return dv_buf_addc(b, '}');
}

int dv_audit_row_json(dv_buf *b, const dv_audit_row *r)
{
    dv__row_text(b, r);
    return dv__row_seal(b, r->hash);
}

/* ---- lines ---- */

enum { HEX = 2 * DV__HASH };

/* Digits at s[0..n), no leading zero, at most INT64_MAX; bytes used, 0: no number. */
static size_t parse_num(const char *s, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    for (; i < n && i < 18 && s[i] >= '0' && s[i] <= '9'; i++)
        *out = *out * 10 + (uint64_t)(s[i] - '0');
    return s[0] == '0' ? 0 : i;
}

static bool parse_hex(const char *s, uint8_t out[DV__HASH])
{
    size_t got = 0;
    return sodium_hex2bin(out, DV__HASH, s, HEX, NULL, &got, NULL) == 0 && got == DV__HASH;
}

bool dv__line_parse(dv__line *out, const char *s, size_t n)
{
    static const char begin[] = "{\"seq\":", prev[] = ",\"prev\":\"", end[] = ",\"hash\":\"";
    enum { BEGIN = sizeof begin - 1, PREV = sizeof prev - 1, END = sizeof end - 1, TAIL = END + HEX + 2 };
    *out = (dv__line){0};
    if (n < BEGIN + 1 + PREV + HEX + 1 + TAIL || memcmp(s, begin, BEGIN) != 0)
        return false;
    size_t at = BEGIN, k = parse_num(s + at, n - at - TAIL, &out->seq);
    at += k;
    const char *tail = s + n - TAIL;
    if (k == 0 || n - at < PREV + HEX + 1 + TAIL || memcmp(s + at, prev, PREV) != 0 || s[at + PREV + HEX] != '"' ||
        !parse_hex(s + at + PREV, out->prev))
        return false;
    if (memcmp(tail, end, END) != 0 || !parse_hex(tail + END, out->hash) || memcmp(s + n - 2, "\"}", 2) != 0)
        return false;
    uint8_t own[DV__HASH];
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, DV__HASH);
    crypto_generichash_update(&h, (const unsigned char *)s, n - TAIL);
    crypto_generichash_update(&h, (const unsigned char *)"}", 1);
    crypto_generichash_final(&h, own, DV__HASH);
    out->intact = memcmp(own, out->hash, DV__HASH) == 0;
    return true;
}
