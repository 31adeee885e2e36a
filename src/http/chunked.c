/* SPDX-License-Identifier: MIT */
#include "http/chunked.h"

#include "base/attr.h"

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LINE, NAME, VALUE, LINE_LF, LAST_LF, END };
enum { SIZE_DIGITS = 8 };

static dv__parsed refuse(dv__chunked *c, const char *why)
{
    c->why = why;
    return DV__PARSE_REFUSED;
}

static dv__parsed size_byte(dv__chunked *c, char b)
{
    int digit = dv__hex(b);
    if (digit >= 0 && c->digits == SIZE_DIGITS)
        return refuse(c, "a chunk size has over 8 digits");
    if (digit >= 0) {
        c->digits++;
        c->left = c->left << 4 | (uint64_t)digit;
        return DV__PARSE_MORE;
    }
    if (c->digits == 0 || (b != ';' && b != '\r'))
        return refuse(c, "malformed chunk size");
    c->state = b == ';' ? EXTENSION : SIZE_LF;
    return DV__PARSE_MORE;
}

/* Bytes that are checked and dropped: extensions of a size, and trailer fields. */
static dv__parsed extra_byte(dv__chunked *c, char b)
{
    if (++c->extra > DV__CHUNKED_EXTRA)
        return refuse(c, "too many chunk extensions or trailers");
    switch (c->state) {
    case EXTENSION:
        if (b == '\r')
            c->state = SIZE_LF;
        else if (!dv_http_is_value(&b, 1))
            return refuse(c, "malformed chunk extension");
        return DV__PARSE_MORE;
    case LINE:
        c->state = b == '\r' ? LAST_LF : NAME;
        return b == '\r' || dv_http_is_token(&b, 1) ? DV__PARSE_MORE : refuse(c, "malformed trailer");
    case NAME:
        c->state = b == ':' ? VALUE : NAME;
        return b == ':' || dv_http_is_token(&b, 1) ? DV__PARSE_MORE : refuse(c, "malformed trailer");
    default: /* VALUE */
        c->state = b == '\r' ? LINE_LF : VALUE;
        return b == '\r' || dv_http_is_value(&b, 1) ? DV__PARSE_MORE : refuse(c, "malformed trailer");
    }
}

/* One byte that is not data. */
static dv__parsed frame_byte(dv__chunked *c, char b)
{
    static const struct {
        char want;
        uint8_t next;
    } fixed[] = {[SIZE_LF] = {'\n', DATA},
                 [DATA_CR] = {'\r', DATA_LF},
                 [DATA_LF] = {'\n', SIZE},
                 [LINE_LF] = {'\n', LINE},
                 [LAST_LF] = {'\n', END}};
    if (c->state == SIZE)
        return size_byte(c, b);
    if (c->state >= DV_ARRAY_LEN(fixed) || fixed[c->state].want == 0)
        return extra_byte(c, b);
    if (b != fixed[c->state].want)
        return refuse(c, "a chunk's line does not end in CR LF");
    if (c->state == SIZE_LF && c->left == 0)
        c->state = LINE;
    else
        c->state = fixed[c->state].next;
    if (c->state == SIZE)
        c->digits = 0;
    return c->state == END ? DV__PARSE_DONE : DV__PARSE_MORE;
}

dv__parsed dv__chunked_feed(dv__chunked *c, const char *p, size_t n, size_t *used, const char **data, size_t *data_len)
{
    *data = NULL;
    *data_len = 0;
    for (size_t i = 0; i < n; i++) {
        if (c->state == DATA) {
            size_t run = (size_t)DV_MIN(c->left, (uint64_t)(n - i));
            *data = p + i;
            *data_len = run;
            *used = i + run;
            c->left -= run;
            c->state = c->left == 0 ? DATA_CR : DATA;
            return DV__PARSE_MORE;
        }
        dv__parsed r = frame_byte(c, p[i]);
        if (r != DV__PARSE_MORE) {
            *used = i + 1;
            return r;
        }
    }
    *used = n;
    return DV__PARSE_MORE;
}
