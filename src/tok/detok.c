/* SPDX-License-Identifier: MIT */
/* Tokens to text as a stream: characters come out whole, and the space that encoding put in front is taken back. */
#include "tok/tok.h"

#include "base/utf8.h"
#include "tok/vocab.h"

#include <string.h>

static const char bad_char[] = "\xef\xbf\xbd";

void dv_detok_init(dv_detok *d, const dv_tok *t, unsigned flags)
{
    *d = (dv_detok){.t = t, .flags = flags, .strip = t->space_prefix && (flags & DV_DETOK_START) != 0};
}

/* Length of the part that cannot become a character at s[0..n): as much of one as is there, so that a cut character
 * gives one U+FFFD however it was cut into tokens (Unicode 3.9, maximal subparts). */
static size_t bad_len(const char *s, size_t n)
{
    for (size_t k = DV_MIN(n, (size_t)3); k > 1; k--)
        if (dv_utf8_incomplete(s, k) == k)
            return k;
    return 1;
}

/* Append s; what is no character becomes U+FFFD. Returns how many bytes at the end wait for the rest of their
 * character. */
static size_t put(dv_buf *out, const char *s, size_t n)
{
    size_t wait = dv_utf8_incomplete(s, n), good = 0, i = 0;
    n -= wait;
    while (i < n) {
        uint32_t cp;
        int k = dv_utf8_decode(s + i, n - i, &cp);
        if (k > 0) {
            i += (size_t)k;
            continue;
        }
        dv_buf_add(out, s + good, i - good);
        dv_buf_add(out, bad_char, 3);
        i += bad_len(s + i, n - i);
        good = i;
    }
    dv_buf_add(out, s + good, n - good);
    return wait;
}

int dv_detok_push(dv_detok *d, int32_t id, dv_buf *out)
{
    dv_str s = dv_tok_piece(d->t, id);
    if (id >= 0 && (uint32_t)id < d->t->n_vocab && (d->t->flag[id] & DV__TOK_WHOLE)) {
        /* A character cannot go on behind a token that is matched as a whole. */
        dv_detok was = *d;
        dv_detok_flush(d, out);
        d->strip = d->t->space_prefix && (was.flags & DV_DETOK_START) != 0;
        if (dv_tok_is_control(d->t, id) && !(d->flags & DV_DETOK_CONTROL))
            return out->code;
    } else if (d->strip && s.n > 0) {
        if (s.p[0] == ' ')
            s.p++, s.n--;
        d->strip = false;
    }
    /* First complete the held character, byte by byte; the rest goes out in one piece. */
    while (d->n_held > 0 && s.n > 0) {
        char c[8];
        size_t n = d->n_held;
        memcpy(c, d->held, n);
        c[n++] = *s.p++;
        s.n--;
        size_t wait = put(out, c, n);
        memcpy(d->held, c + n - wait, wait);
        d->n_held = (uint8_t)wait;
    }
    if (s.n > 0) {
        size_t wait = put(out, s.p, s.n);
        memcpy(d->held, s.p + s.n - wait, wait);
        d->n_held = (uint8_t)wait;
    }
    return out->code;
}

int dv_detok_flush(dv_detok *d, dv_buf *out)
{
    if (d->n_held > 0)
        dv_buf_add(out, bad_char, 3);
    dv_detok_init(d, d->t, d->flags);
    return out->code;
}

int dv_tok_decode(const dv_tok *t, const int32_t *id, size_t n, unsigned flags, dv_buf *out)
{
    dv_detok d;
    dv_detok_init(&d, t, flags);
    for (size_t i = 0; i < n; i++)
        dv_detok_push(&d, id[i], out);
    return dv_detok_flush(&d, out);
}
