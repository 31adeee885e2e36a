/* SPDX-License-Identifier: MIT */
#include "serve/usage.h"

#include "base/attr.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_DIGITS = 10 };

typedef struct counter {
    const char *key;
    size_t len;
    size_t at; /**< in dv__usage */
} counter;

#define KEY(text, field)                                             \
    {                                                                \
        "\"" text "\":", sizeof text + 2, offsetof(dv__usage, field) \
    }

static const counter counters[] = {KEY("prompt_tokens", tokens_in),    KEY("completion_tokens", tokens_out),
                                   KEY("input_tokens", tokens_in),     KEY("output_tokens", tokens_out),
                                   KEY("tokens_evaluated", tokens_in), KEY("tokens_predicted", tokens_out)};

/* The number at s[0..n), after blanks; false if there is none or its end is not there yet. */
static bool number_at(const char *s, size_t n, uint64_t *v)
{
    size_t i = 0, from;
    *v = 0;
    while (i < n && s[i] == ' ')
        i++;
    for (from = i; i < n && i - from < MAX_DIGITS && isdigit((unsigned char)s[i]); i++)
        *v = *v * 10 + (uint64_t)(s[i] - '0');
    return i > from && i < n && !isdigit((unsigned char)s[i]);
}

static void look_at(dv__usage *u, const char *s, size_t n)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(counters); i++) {
        uint64_t v;
        const counter *c = &counters[i];
        if (n > c->len && memcmp(s, c->key, c->len) == 0 && number_at(s + c->len, n - c->len, &v))
            memcpy((char *)u + c->at, &v, sizeof v);
    }
}

static void scan(dv__usage *u, const char *s, size_t n)
{
    for (const char *p = s; (p = memchr(p, '"', n - (size_t)(p - s))) != NULL; p++)
        look_at(u, p, n - (size_t)(p - s));
}

static uint64_t count_events(const char *p, size_t n)
{
    static const char data[] = "data:";
    uint64_t found = 0;
    const char *end = p + n;
    while ((p = memmem(p, (size_t)(end - p), data, sizeof data - 1)) != NULL) {
        found++;
        p += sizeof data - 1;
    }
    return found;
}

/* A key and its number are shorter than what is kept, so the seam of two pieces is read with some of both. */
void dv__usage_feed(dv__usage *u, const char *p, size_t n)
{
    char seam[2 * DV__USAGE_KEEP];
    size_t head = DV_MIN(n, (size_t)DV__USAGE_KEEP);
    memcpy(seam, u->tail, u->n_tail);
    memcpy(seam + u->n_tail, p, head);
    scan(u, seam, u->n_tail + head);
    if (n > DV__USAGE_KEEP)
        scan(u, p, n);
    u->pieces += count_events(p, n);
    size_t have = u->n_tail + head, keep = DV_MIN(n >= DV__USAGE_KEEP ? n : have, (size_t)DV__USAGE_KEEP);
    memcpy(u->tail, n >= DV__USAGE_KEEP ? p + n - keep : seam + have - keep, keep);
    u->n_tail = keep;
}
