/* SPDX-License-Identifier: MIT */
#include "chat/jscan.h"

#include <string.h>

enum {
    VALUE,  /* a value must come */
    ITEM1,  /* a value or the end of an empty array */
    KEY1,   /* a key or the end of an empty object */
    KEY,    /* a key must come */
    COLON,  /* after a key */
    AFTER,  /* after a value inside something */
    STRING, /* inside a string */
    ESCAPE, /* after a backslash */
    HEX,    /* inside \u */
    MINUS,  /* after '-' */
    ZERO,   /* after a leading 0 */
    DIGITS, /* of the integer part */
    POINT,  /* after '.' */
    FRACTION,
    EXP,  /* after 'e' */
    SIGN, /* after the exponent's sign */
    EXPONENT,
    WORD /* true, false, null */
};

void dv__jscan_init(dv__jscan *s) { *s = (dv__jscan){.state = VALUE}; }

static bool space(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool digit(unsigned char c) { return c >= '0' && c <= '9'; }

static dv__jscan_result next(dv__jscan *s, int state)
{
    s->state = (uint8_t)state;
    return DV__JSCAN_MORE;
}

/* A value has ended. */
static dv__jscan_result ended(dv__jscan *s) { return s->depth == 0 ? DV__JSCAN_DONE : next(s, AFTER); }

static dv__jscan_result open_level(dv__jscan *s, bool object)
{
    if (s->depth == DV__JSCAN_DEPTH)
        return DV__JSCAN_BAD;
    s->object = s->object << 1 | object;
    s->depth++;
    return next(s, object ? KEY1 : ITEM1);
}

static dv__jscan_result close_level(dv__jscan *s, unsigned char c)
{
    if (s->depth == 0 || (c == '}') != (s->object & 1))
        return DV__JSCAN_BAD;
    s->object >>= 1;
    s->depth--;
    return ended(s);
}

static dv__jscan_result open_string(dv__jscan *s, bool key)
{
    s->key = key;
    s->low = false;
    return next(s, STRING);
}

static dv__jscan_result word(dv__jscan *s, const char *rest)
{
    s->rest = rest;
    return next(s, WORD);
}

static dv__jscan_result value(dv__jscan *s, unsigned char c)
{
    switch (c) {
    case '{': return open_level(s, true);
    case '[': return open_level(s, false);
    case '"': return open_string(s, false);
    case '-': return next(s, MINUS);
    case '0': return next(s, ZERO);
    case 't': return word(s, "rue");
    case 'f': return word(s, "alse");
    case 'n': return word(s, "ull");
    default: return digit(c) ? next(s, DIGITS) : space(c) ? DV__JSCAN_MORE : DV__JSCAN_BAD;
    }
}

static dv__jscan_result after(dv__jscan *s, unsigned char c)
{
    if (c == ',')
        return next(s, s->object & 1 ? KEY : VALUE);
    return c == '}' || c == ']' ? close_level(s, c) : space(c) ? DV__JSCAN_MORE : DV__JSCAN_BAD;
}

static dv__jscan_result string(dv__jscan *s, unsigned char c)
{
    if (s->low && c != '\\')
        return DV__JSCAN_BAD;
    if (c == '\\')
        return next(s, ESCAPE);
    if (c == '"')
        return s->key ? next(s, COLON) : ended(s);
    return c >= 0x20 && c < 0xf8 ? DV__JSCAN_MORE : DV__JSCAN_BAD;
}

static dv__jscan_result escape(dv__jscan *s, unsigned char c)
{
    if (c == 'u') {
        s->digits = 4;
        s->unit = 0;
        return next(s, HEX);
    }
    return !s->low && c != 0 && strchr("\"\\/bfnrt", c) != NULL ? next(s, STRING) : DV__JSCAN_BAD;
}

static dv__jscan_result hex(dv__jscan *s, unsigned char c)
{
    int v = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v < 0)
        return DV__JSCAN_BAD;
    s->unit = (uint16_t)(s->unit << 4 | v);
    if (--s->digits > 0)
        return DV__JSCAN_MORE;
    bool is_low = (s->unit & 0xfc00) == 0xdc00;
    if (is_low != (bool)s->low)
        return DV__JSCAN_BAD;
    s->low = (s->unit & 0xfc00) == 0xd800;
    return next(s, STRING);
}

/* A number can end here. */
static dv__jscan_result number_end(dv__jscan *s, unsigned char c)
{
    if (s->depth == 0)
        return DV__JSCAN_BEFORE;
    s->state = AFTER;
    return after(s, c);
}

static dv__jscan_result number(dv__jscan *s, unsigned char c)
{
    bool e = c == 'e' || c == 'E';
    switch (s->state) {
    case MINUS: return digit(c) ? next(s, c == '0' ? ZERO : DIGITS) : DV__JSCAN_BAD;
    case ZERO:
    case DIGITS:
        if (s->state == DIGITS && digit(c))
            return DV__JSCAN_MORE;
        return c == '.' ? next(s, POINT) : e ? next(s, EXP) : number_end(s, c);
    case POINT: return digit(c) ? next(s, FRACTION) : DV__JSCAN_BAD;
    case FRACTION: return digit(c) ? DV__JSCAN_MORE : e ? next(s, EXP) : number_end(s, c);
    case EXP:
        if (c == '+' || c == '-')
            return next(s, SIGN);
        return digit(c) ? next(s, EXPONENT) : DV__JSCAN_BAD;
    case SIGN: return digit(c) ? next(s, EXPONENT) : DV__JSCAN_BAD;
    default: return digit(c) ? DV__JSCAN_MORE : number_end(s, c);
    }
}

dv__jscan_result dv__jscan_byte(dv__jscan *s, unsigned char c)
{
    switch (s->state) {
    case VALUE: return value(s, c);
    case ITEM1: return c == ']' ? close_level(s, c) : value(s, c);
    case KEY1:
        if (c == '}')
            return close_level(s, c);
        return c == '"' ? open_string(s, true) : space(c) ? DV__JSCAN_MORE : DV__JSCAN_BAD;
    case KEY: return c == '"' ? open_string(s, true) : space(c) ? DV__JSCAN_MORE : DV__JSCAN_BAD;
    case COLON: return c == ':' ? next(s, VALUE) : space(c) ? DV__JSCAN_MORE : DV__JSCAN_BAD;
    case AFTER: return after(s, c);
    case STRING: return string(s, c);
    case ESCAPE: return escape(s, c);
    case HEX: return hex(s, c);
    case WORD:
        if (c != (unsigned char)*s->rest)
            return DV__JSCAN_BAD;
        return *++s->rest == 0 ? ended(s) : DV__JSCAN_MORE;
    default: return number(s, c);
    }
}
