/* SPDX-License-Identifier: MIT */
/* What the store reads that others may have written: lines and the head of the audit log, names, patterns; and what it writes of texts of clients.
 * The first byte says which. */
#include "target.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "store/chain.h"
#include "store/key.h"
#include "store/row.h"
#include "store/user.h"

#include <string.h>

static void read_line(const char *s, size_t n)
{
    dv__line line;
    if (dv__line_parse(&line, s, n))
        DV_FUZZ_CHECK(line.seq > 0 && n > 2 && s[0] == '{' && s[n - 1] == '}');
}

static void read_head(const char *s, size_t n)
{
    static const dv__secret secret;
    char again[DV__ANCHOR_LEN + 1];
    dv__chain chain;
    if (!dv__anchor_parse(&secret, s, n, &chain))
        return;
    dv__anchor_text(&secret, &chain, again);
    dv__chain twice;
    DV_FUZZ_CHECK(dv__anchor_parse(&secret, again, DV__ANCHOR_LEN, &twice) && twice.seq == chain.seq);
}

static void read_name(const char *s, size_t n)
{
    char name[DV_NAME_MAX + 1], again[DV_NAME_MAX + 1];
    if (dv_user_name(name, s, n, NULL) != 0)
        return;
    DV_FUZZ_CHECK(strlen(name) == n && dv_user_name(again, name, n, NULL) == 0 && strcmp(name, again) == 0);
}

/* Every way to match, for short texts of ASCII. */
static bool match(const char *p, const char *text, size_t n)
{
    if (*p == 0)
        return n == 0;
    if (*p == '*')
        return match(p + 1, text, n) || (n > 0 && match(p, text + 1, n - 1));
    return n > 0 && (*p == '?' || *p == *text) && match(p + 1, text + 1, n - 1);
}

static void match_pattern(const char *s, size_t n)
{
    char pattern[DV_SCOPE_PATTERN + 1];
    size_t k = strnlen(s, n), rest = k < n ? n - k - 1 : 0;
    bool ascii = true;
    if (k > DV_SCOPE_PATTERN)
        return;
    memcpy(pattern, s, k);
    pattern[k] = 0;
    const char *text = s + n - rest;
    bool is = dv_pattern_match(pattern, text, rest);
    for (size_t i = 0; i < rest; i++)
        ascii = ascii && (text[i] & 0x80) == 0;
    if (ascii && k <= 9 && rest <= 9)
        DV_FUZZ_CHECK(is == match(pattern, text, rest));
}

/* A text anywhere in a row leaves one line of printable characters, which is its own proof. */
static void write_row(const char *s, size_t n)
{
    char text[2048];
    dv_buf b;
    dv__line line;
    dv_audit_row r = {.seq = 7, .wall_ms = 1700000000000, .run = "0"};
    n = n < sizeof text - 1 ? n : sizeof text - 1;
    memcpy(text, s, n);
    text[n] = 0;
    dv_audit_entry e = {
        .who = {DV_AUDIT_KEY, text, text, text}, .action = text, .model = text, .detail = text, .prompt = text};
    dv__entry *copy = dv__entry_copy(&e, n % 2 == 0);
    if (copy == NULL)
        return;
    r.entry = copy->e;
    dv_buf_init(&b, 0);
    if (dv__row_text(&b, &r) == 0) {
        dv__row_hash(b.data, b.len, r.hash);
        dv__row_seal(&b, r.hash);
    }
    if (b.code == 0) {
        DV_FUZZ_CHECK(b.len <= DV__LINE_MAX && dv__line_parse(&line, b.data, b.len) && line.intact && line.seq == 7);
        for (size_t i = 0; i < b.len;) {
            int k = dv_utf8_printable(b.data + i, b.len - i);
            DV_FUZZ_CHECK(k > 0);
            i += (size_t)k;
        }
    }
    dv_buf_fini(&b);
    dv_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(const char *s, size_t n) = {read_line, read_head, read_name, match_pattern, write_row};
    if (size > 0)
        parts[data[0] % (sizeof parts / sizeof parts[0])]((const char *)data + 1, size - 1);
    return 0;
}
