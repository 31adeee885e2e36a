/* SPDX-License-Identifier: MIT */
/* Numbers of a range, digit by digit: while the digits are those of a bound, the next one is bounded by it; once they differ, any may follow. */
#include "grammar/json.h"

#include "base/err.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FRACTION = 17 };

/* A bound without its sign: whole part and fraction digits. */
typedef struct decimal {
    uint64_t whole;
    char fraction[MAX_FRACTION + 2];
    bool exclusive;
} decimal;

static dv_gx digit_class(dv_grammar_builder *b, char lo, char hi, uint32_t min, uint32_t max)
{
    return dv_gx_repeat(b, dv__x_class(b, (dv__range[]){{(unsigned char)lo, (unsigned char)hi}}, 1, false), min, max);
}

static dv_gx digit(dv_grammar_builder *b, char c) { return dv_gx_literal(b, &c, 1); }

/* Digits of the same number as in lo and hi, from the i-th on, of a number in lo..hi; NULL: no bound any more. */
static dv_gx same_length(dv_grammar_builder *b, const char *lo, const char *hi, uint32_t n)
{
    dv_gx part[3];
    size_t n_part = 0;
    if (n == 0)
        return dv__x_empty(b);
    if (lo == NULL && hi == NULL)
        return digit_class(b, '0', '9', n, n);
    const char from = lo != NULL ? *lo : '0', to = hi != NULL ? *hi : '9';
    if (lo != NULL && hi != NULL && from == to)
        return dv__x_seq2(b, digit(b, from), same_length(b, lo + 1, hi + 1, n - 1));
    if (lo != NULL)
        part[n_part++] = dv__x_seq2(b, digit(b, from), same_length(b, lo + 1, NULL, n - 1));
    const char a = (char)(from + (lo != NULL)), z = (char)(to - (hi != NULL));
    if (a <= z)
        part[n_part++] = dv__x_seq2(b, digit_class(b, a, z, 1, 1), same_length(b, NULL, NULL, n - 1));
    if (hi != NULL)
        part[n_part++] = dv__x_seq2(b, digit(b, to), same_length(b, NULL, hi + 1, n - 1));
    return dv_gx_alt(b, part, n_part);
}

static dv_gx whole_range(dv_grammar_builder *b, uint64_t lo, uint64_t hi)
{
    dv_gx part[20];
    size_t n_part = 0;
    if (lo > hi)
        return dv__x_fail(b);
    for (uint64_t first = lo, next; first <= hi; first = next) {
        char a[24], z[24];
        const int n = snprintf(a, sizeof a, "%llu", (unsigned long long)first);
        next = first == 0 ? 10 : 1;
        for (int i = 0; first != 0 && i < n; i++)
            next *= 10;
        snprintf(z, sizeof z, "%llu", (unsigned long long)DV_MIN(hi, next - 1));
        part[n_part++] = same_length(b, a, z, (uint32_t)n);
    }
    return dv_gx_alt(b, part, n_part);
}

dv_gx dv__json_int_range(dv_grammar_builder *b, int64_t lo, int64_t hi)
{
    dv_gx part[2];
    size_t n = 0;
    if (lo < 0)
        part[n++] = dv__x_seq2(b, dv__x_str(b, "-"), whole_range(b, hi < 0 ? (uint64_t)-hi : 1, (uint64_t)-lo));
    if (hi >= 0)
        part[n++] = whole_range(b, lo > 0 ? (uint64_t)lo : 0, (uint64_t)hi);
    return lo > hi ? dv__x_fail(b) : dv_gx_alt(b, part, n);
}

/* Whether digits from p on are all zero. */
static bool zeros(const char *p) { return p[strspn(p, "0")] == 0; }

/* The digits behind the point, up to `left` more, given that those before are equal to lo's and hi's (NULL: they differ already). */
static dv_gx fraction_digits(dv_grammar_builder *b, const char *lo, bool lo_ex, const char *hi, bool hi_ex,
                             uint32_t left, bool may_be_empty)
{
    dv_gx part[4];
    size_t n_part = 0;
    if (lo != NULL && !lo_ex && zeros(lo))
        lo = NULL;
    if (hi != NULL && hi_ex && zeros(hi))
        return dv__x_fail(b);
    if (lo == NULL && hi == NULL)
        return digit_class(b, '0', '9', !may_be_empty, left);
    if (may_be_empty && lo == NULL)
        part[n_part++] = dv__x_empty(b);
    if (left == 0)
        return dv_gx_alt(b, part, n_part);
    const char from = lo != NULL && *lo != 0 ? *lo : '0', to = hi == NULL ? '9' : *hi != 0 ? *hi : '0';
    const char *lo1 = lo != NULL && *lo != 0 ? lo + 1 : lo, *hi1 = hi != NULL && *hi != 0 ? hi + 1 : hi;
    if (from > to)
        return dv_gx_alt(b, part, n_part);
    if (from == to && lo != NULL && hi != NULL) {
        part[n_part++] = dv__x_seq2(b, digit(b, from), fraction_digits(b, lo1, lo_ex, hi1, hi_ex, left - 1, true));
        return dv_gx_alt(b, part, n_part);
    }
    if (lo != NULL)
        part[n_part++] = dv__x_seq2(b, digit(b, from), fraction_digits(b, lo1, lo_ex, NULL, false, left - 1, true));
    const char a = (char)(from + (lo != NULL)), z = (char)(to - (hi != NULL));
    if (a <= z)
        part[n_part++] = dv__x_seq2(b, digit_class(b, a, z, 1, 1), digit_class(b, '0', '9', 0, left - 1));
    if (hi != NULL)
        part[n_part++] = dv__x_seq2(b, digit(b, to), fraction_digits(b, NULL, false, hi1, hi_ex, left - 1, true));
    return dv_gx_alt(b, part, n_part);
}

/* Nothing or a point and digits, between the fractions of lo and hi. */
static dv_gx fraction(dv_grammar_builder *b, const decimal *lo, const decimal *hi, uint32_t n)
{
    const char *l = lo != NULL ? lo->fraction : NULL, *h = hi != NULL ? hi->fraction : NULL;
    const bool lx = lo != NULL && lo->exclusive, hx = hi != NULL && hi->exclusive;
    dv_gx some = dv__x_seq2(b, dv__x_str(b, "."), fraction_digits(b, l, lx, h, hx, n, false));
    const bool none = (l == NULL || (zeros(l) && !lx)) && (h == NULL || !zeros(h) || !hx);
    return none ? dv__x_opt(b, some) : some;
}

static bool above(const decimal *x, const decimal *y)
{
    return x->whole != y->whole ? x->whole > y->whole : strcmp(x->fraction, y->fraction) > 0;
}

static dv_gx magnitude(dv_grammar_builder *b, const decimal *lo, const decimal *hi, uint32_t n)
{
    if (above(lo, hi))
        return dv__x_fail(b);
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)lo->whole);
    dv_gx low = dv__x_str(b, text);
    if (lo->whole == hi->whole)
        return dv__x_seq2(b, low, fraction(b, lo, hi, n));
    snprintf(text, sizeof text, "%llu", (unsigned long long)hi->whole);
    dv_gx part[3] = {dv__x_seq2(b, low, fraction(b, lo, NULL, n)),
                     dv__x_seq2(b, dv__x_str(b, text), fraction(b, NULL, hi, n)), -1};
    if (hi->whole - lo->whole < 2)
        return dv_gx_alt(b, part, 2);
    part[2] = dv__x_seq2(b, whole_range(b, lo->whole + 1, hi->whole - 1), fraction(b, NULL, NULL, n));
    return dv_gx_alt(b, part, 3);
}

/* The shortest decimals that read back as v; false if that takes too many. */
static bool parse(double v, bool exclusive, decimal *d)
{
    char text[64];
    v = fabs(v);
    if (!(v < 1e15))
        return false;
    for (int k = 0; k <= MAX_FRACTION; k++) {
        snprintf(text, sizeof text, "%.*f", k, v);
        if (strtod(text, NULL) != v)
            continue;
        const char *point = strchr(text, '.');
        *d = (decimal){.whole = strtoull(text, NULL, 10), .exclusive = exclusive};
        snprintf(d->fraction, sizeof d->fraction, "%.17s", point != NULL ? point + 1 : "");
        return true;
    }
    return false;
}

static uint32_t n_digits(uint64_t v)
{
    uint32_t n = 1;
    for (; v >= 10; v /= 10)
        n++;
    return n;
}

/* A validator compares doubles. Numbers of up to 15 digits are different doubles if they are different numbers, so near a bound there are no
 * more digits than that; a bound that needs more itself is the nearest double to no such number. */
static uint32_t fraction_room(const decimal *lo, const decimal *hi)
{
    uint32_t n = 12;
    for (int i = 0; i < 2; i++) {
        const decimal *d = i == 0 ? lo : hi;
        if (d == NULL)
            continue;
        const uint32_t room = 15 - n_digits(d->whole);
        n = DV_MIN(n, room);
    }
    for (int i = 0; i < 2; i++) {
        const decimal *d = i == 0 ? lo : hi;
        n = d != NULL ? DV_MAX(n, (uint32_t)strlen(d->fraction)) : n;
    }
    return DV_MAX(n, 1u);
}

dv_gx dv__json_range(dv_grammar_builder *b, const dv__bound *lo, const dv__bound *hi)
{
    decimal l = {0}, h = {0};
    const decimal zero = {0}, free_end = {.whole = UINT64_C(999999999999999)};
    if ((lo != NULL && !parse(lo->v, lo->exclusive, &l)) || (hi != NULL && !parse(hi->v, hi->exclusive, &h)))
        return -1;
    const uint32_t n = fraction_room(lo != NULL ? &l : NULL, hi != NULL ? &h : NULL);
    const bool hi_negative = hi != NULL && (hi->v < 0 || (hi->v <= 0 && hi->exclusive));
    dv_gx part[2];
    size_t n_part = 0;
    if (lo == NULL || lo->v < 0) {
        dv_gx m = magnitude(b, hi_negative ? &h : &zero, lo != NULL ? &l : &free_end, n);
        part[n_part++] = dv__x_seq2(b, dv__x_str(b, "-"), m);
    }
    if (!hi_negative) {
        dv_gx m = magnitude(b, lo != NULL && lo->v >= 0 ? &l : &zero, hi != NULL ? &h : &free_end, n);
        part[n_part++] = m;
    }
    return dv_gx_alt(b, part, n_part);
}
