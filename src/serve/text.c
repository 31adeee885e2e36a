/* SPDX-License-Identifier: MIT */
/* What a text may be, and how one is repaired or written for HTML. */
#include "base/utf8.h"
#include "serve/schema.h"

static const char invalid[] = "invalid UTF-8", control[] = "a control character";

/* NULL: it may be in a prompt. */
static const char *refused(uint32_t cp)
{
    if (cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\r')
        return control;
    if (cp >= 0x7f && cp < 0xa0)
        return control;
    if ((cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069))
        return "a character that changes the direction of text";
    if ((cp >= 0xfff9 && cp <= 0xfffb) || (cp >= 0xe0000 && cp <= 0xe007f))
        return "a character that hides text";
    return NULL;
}

static const char *refused_in_name(uint32_t cp)
{
    const char *what = cp == '\t' || cp == '\n' || cp == '\r' ? control : refused(cp);
    if (what == NULL && (cp == 0x2028 || cp == 0x2029))
        return "a separator of lines";
    return what;
}

int dv__text_check(const char *s, size_t n, size_t max, bool identifier, size_t *at, const char **what)
{
    *at = 0;
    *what = NULL;
    if (n > max) {
        *at = max;
        *what = "more bytes than there may be";
        return DV_ELIMIT;
    }
    for (size_t i = 0; i < n;) {
        uint32_t cp = (unsigned char)s[i];
        int k = cp >= 0x20 && cp < 0x7f ? 1 : dv_utf8_decode(s + i, n - i, &cp);
        if (k < 0)
            *what = invalid;
        else if (cp < 0x20 || cp >= 0x7f)
            *what = identifier ? refused_in_name(cp) : refused(cp);
        if (*what != NULL) {
            *at = i;
            return DV_EFORMAT;
        }
        i += (size_t)k;
    }
    return 0;
}

/* The bytes at s, which begin no character, that one U+FFFD stands for: as many as begin one that could have been, else one. Unicode 3.9, "U+FFFD
 * Substitution of Maximal Subparts", with the second bytes of its table 3-7. */
static size_t subpart(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned c = p[0], low = 0x80, high = 0xbf;
    size_t want = c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 1;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    size_t i = 1;
    while (i < want && i < n && p[i] >= low && p[i] <= high) {
        low = 0x80;
        high = 0xbf;
        i++;
    }
    return i;
}

static const char *no_bytes(uint32_t cp) { return NULL; }

/* What HTML needs escaped, NULL for anything else. */
static const char *entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

/* Append s with U+FFFD for what is no UTF-8 and for what refuse refuses. Runs of what is fine are copied whole. */
static int replace(dv_buf *b, const char *s, size_t n, const char *(*refuse)(uint32_t cp), bool html)
{
    size_t done = 0;
    for (size_t i = 0; i < n && b->code == 0;) {
        uint32_t cp = (unsigned char)s[i];
        int k = cp >= 0x20 && cp < 0x7f ? 1 : dv_utf8_decode(s + i, n - i, &cp);
        const char *with = k < 0 || refuse(cp) != NULL ? "\xef\xbf\xbd" : html ? entity(s[i]) : NULL;
        size_t used = k > 0 ? (size_t)k : subpart(s + i, n - i);
        if (with != NULL) {
            dv_buf_add(b, s + done, i - done);
            dv_buf_adds(b, with);
            done = i + used;
        }
        i += used;
    }
    return dv_buf_add(b, s + done, n - done);
}

int dv__text_repair(dv_buf *b, const char *s, size_t n) { return replace(b, s, n, refused, false); }

int dv__text_repair_utf8(dv_buf *b, const char *s, size_t n) { return replace(b, s, n, no_bytes, false); }

int dv__text_html(dv_buf *b, const char *s, size_t n) { return replace(b, s, n, refused, true); }
