/* SPDX-License-Identifier: MIT */
/* Formatting with a template: "%s" % x and "{}".format(x). Widths and precisions are bounded by the output limit. */
#include "tok/tmpl_eval.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FORMAT_MAX_WIDTH = 10000, FORMAT_MAX_PRECISION = 40 };

typedef struct spec {
    char fill[4];
    size_t n_fill;
    char align; /* 0, '<', '>', '^', '=' */
    char sign;  /* 0, '+', ' ' */
    bool alt, comma;
    int width, precision; /* -1: none */
    char type;            /* 0: none */
} spec;

static double as_double(val v) { return v.kind == V_FLOAT ? v.u.f : v.kind == V_INT ? (double)v.u.i : v.u.b; }

/* Digits of a number without sign into text. */
static bool digits(dv__ev *ev, const spec *f, val v, char *text, size_t cap, bool *negative)
{
    bool is_int = v.kind == V_INT || v.kind == V_BOOL;
    char type = f->type != 0 ? f->type : is_int ? 'd' : 'g';
    if (strchr("dioxXbu", type) != NULL && (is_int || (type != 'b' && f->type != 0))) {
        int64_t i = v.kind == V_FLOAT  ? (v.u.f > -9e18 && v.u.f < 9e18 ? (int64_t)v.u.f : 0)
                    : v.kind == V_BOOL ? v.u.b
                                       : v.u.i;
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        *negative = i < 0;
        if (type == 'b') {
            size_t n = 1, o = 0;
            while (n < 64 && u >> n != 0)
                n++;
            while (n-- > 0 && o + 1 < cap)
                text[o++] = (char)('0' + (u >> n & 1));
            text[o] = 0;
        } else if (type == 'x' || type == 'X' || type == 'o') {
            snprintf(text, cap,
                     type == 'x'   ? "%s%" PRIx64
                     : type == 'X' ? "%s%" PRIX64
                                   : "%s%" PRIo64,
                     f->alt ? type == 'o'   ? "0o"
                              : type == 'x' ? "0x"
                                            : "0X"
                            : "",
                     u);
        } else {
            snprintf(text, cap, "%" PRIu64, u);
        }
        return true;
    }
    double d = as_double(v);
    *negative = d < 0;
    d = d < 0 ? -d : d;
    int p = f->precision >= 0 ? f->precision : 6;
    switch (type) {
    case 'f':
    case 'F': snprintf(text, cap, "%.*f", p, d); return true;
    case 'e': snprintf(text, cap, "%.*e", p, d); return true;
    case 'E': snprintf(text, cap, "%.*E", p, d); return true;
    case 'g':
    case 'G':
        if (f->type == 0 && f->precision < 0)
            dv__float_text(text, d, true);
        else
            snprintf(text, cap, type == 'g' ? "%.*g" : "%.*G", p, d);
        return true;
    case '%': snprintf(text, cap, "%.*f%%", p, d * 100); return true;
    default: dv__fail(ev, DV_EINVAL, "unknown format \"%c\"", type); return false;
    }
}

static void add_commas(char *text, size_t cap)
{
    size_t n = strcspn(text, ".e%"), total = strlen(text);
    for (size_t i = n; i > 3;) {
        i -= 3;
        if (total + 2 > cap)
            return;
        memmove(text + i + 1, text + i, total - i + 1);
        text[i] = ',';
        total++;
    }
}

static void add_fill(dv__sb *b, const spec *f, size_t n)
{
    for (; n > 0 && b->ev->code == 0; n--)
        dv__sb_add(b, f->n_fill > 0 ? f->fill : " ", f->n_fill > 0 ? f->n_fill : 1, true);
}

static void add_padded(dv__sb *b, const spec *f, val sign, val body, char align)
{
    size_t n = dv__u_count(body) + sign.u.s.n, pad = f->width > 0 && (size_t)f->width > n ? (size_t)f->width - n : 0;
    size_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    if (align == '=') {
        dv__sb_str(b, sign);
        add_fill(b, f, pad);
        dv__sb_str(b, body);
        return;
    }
    add_fill(b, f, left);
    dv__sb_str(b, sign);
    dv__sb_str(b, body);
    add_fill(b, f, pad - left);
}

static void add_formatted(dv__sb *b, const spec *f, val v)
{
    dv__ev *ev = b->ev;
    char text[400];
    bool negative = false;
    bool number = (v.kind == V_INT || v.kind == V_FLOAT || v.kind == V_BOOL) && f->type != 's' && f->type != 'r';
    if (v.kind == V_BOOL && f->type == 0)
        number = false;
    if (number) {
        if (!digits(ev, f, v, text, sizeof text, &negative))
            return;
        if (f->comma)
            add_commas(text, sizeof text);
        val body = dv__lit(text), sign = dv__lit(negative ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "");
        body.trusted = v.trusted;
        add_padded(b, f, sign, body, f->align != 0 ? f->align : '>');
        return;
    }
    if (f->type != 0 && f->type != 's' && f->type != 'r') {
        dv__fail(ev, DV_EINVAL, "format \"%c\" does not take %s", f->type, dv__kind_name(v));
        return;
    }
    val s = v;
    if (f->type == 'r') {
        dv__sb r = dv__sb_new(ev);
        dv__repr_add(&r, v);
        s = dv__sb_val(&r);
    } else if (v.kind != V_STR) {
        s = dv__text(ev, v);
    }
    if (ev->code != 0)
        return;
    if (f->precision >= 0)
        s = dv__sub(s, 0, dv__u_offset(s, (size_t)f->precision));
    add_padded(b, f, dv__lit(""), s, f->align != 0 ? f->align : '<');
}

static int number_at(val s, size_t *i, int max, dv__ev *ev)
{
    int n = 0;
    for (; *i < s.u.s.n && s.u.s.p[*i] >= '0' && s.u.s.p[*i] <= '9'; (*i)++)
        if ((n = n * 10 + (s.u.s.p[*i] - '0')) > max) {
            dv__fail(ev, DV_ELIMIT, "a width or precision in a format is too large");
            return max;
        }
    return n;
}

/* ---- "%" ----------------------------------------------------------------------------------------------------------- */

val dv__percent_format(dv__ev *ev, val fmt, const val *args, size_t n, const dv__dict *named)
{
    dv__sb b = dv__sb_new(ev);
    size_t used = 0;
    for (size_t i = 0; i < fmt.u.s.n && dv__charge(ev, 1);) {
        const char *hit = memchr(fmt.u.s.p + i, '%', fmt.u.s.n - i);
        size_t end = hit != NULL ? (size_t)(hit - fmt.u.s.p) : fmt.u.s.n;
        dv__sb_str(&b, dv__sub(fmt, i, end - i));
        i = end + 1;
        if (hit == NULL)
            break;
        spec f = {.precision = -1};
        const val *v = NULL;
        if (i < fmt.u.s.n && fmt.u.s.p[i] == '(') {
            const char *close = memchr(fmt.u.s.p + i, ')', fmt.u.s.n - i);
            if (close == NULL || named == NULL)
                return dv__fail(ev, DV_EINVAL, "a named format needs a mapping");
            const dv__entry *e = dv__dict_finds(named, fmt.u.s.p + i + 1, (size_t)(close - fmt.u.s.p) - i - 1);
            if (e == NULL)
                return dv__fail(ev, DV_EINVAL, "a name in the format is not in the mapping");
            v = &e->v;
            i = (size_t)(close - fmt.u.s.p) + 1;
        }
        for (; i < fmt.u.s.n && fmt.u.s.p[i] != 0 && strchr("-+ 0#", fmt.u.s.p[i]) != NULL; i++) {
            char c = fmt.u.s.p[i];
            if (c == '-') {
                f.align = '<';
            } else if (c == '0' && f.align == 0) {
                f.align = '=';
                f.fill[0] = '0';
                f.n_fill = 1;
            } else if (c == '#') {
                f.alt = true;
            } else if (c != '0') {
                f.sign = c;
            }
        }
        f.width = number_at(fmt, &i, FORMAT_MAX_WIDTH, ev);
        if (i < fmt.u.s.n && fmt.u.s.p[i] == '.') {
            i++;
            f.precision = number_at(fmt, &i, FORMAT_MAX_PRECISION, ev);
        }
        if (i >= fmt.u.s.n || ev->code != 0)
            return dv__fail(ev, DV_EINVAL, "incomplete format");
        f.type = fmt.u.s.p[i++];
        if (f.type == '%') {
            dv__sb_adds(&b, "%", dv__trusted(fmt, i - 1, 1));
            continue;
        }
        if (v == NULL && used >= n)
            return dv__fail(ev, DV_EINVAL, "not enough arguments for the format");
        if (f.align == 0 && (f.type == 's' || f.type == 'r'))
            f.align = '>';
        add_formatted(&b, &f, v != NULL ? *v : args[used++]);
    }
    if (used < n && named == NULL)
        return dv__fail(ev, DV_EINVAL, "not all arguments are used by the format");
    return dv__sb_val(&b);
}

/* ---- "{}" ---------------------------------------------------------------------------------------------------------- */

/* [[fill]align][sign][#][0][width][,][.precision][type] */
static spec parse_spec(dv__ev *ev, val s)
{
    spec f = {.precision = -1};
    size_t i = 0, k = s.u.s.n > 0 ? dv__u_len(s, 0, NULL) : 0;
    if (k > 0 && k < s.u.s.n && strchr("<>^=", s.u.s.p[k]) != NULL && s.u.s.p[k] != 0) {
        memcpy(f.fill, s.u.s.p, k);
        f.n_fill = k;
        f.align = s.u.s.p[k];
        i = k + 1;
    } else if (k == 1 && s.u.s.p[0] != 0 && strchr("<>^=", s.u.s.p[0]) != NULL) {
        f.align = s.u.s.p[0];
        i = 1;
    }
    if (i < s.u.s.n && (s.u.s.p[i] == '+' || s.u.s.p[i] == ' ' || s.u.s.p[i] == '-'))
        f.sign = s.u.s.p[i++];
    if (i < s.u.s.n && s.u.s.p[i] == '#')
        f.alt = s.u.s.p[i++] == '#';
    if (i < s.u.s.n && s.u.s.p[i] == '0' && f.align == 0) {
        f.align = '=';
        f.fill[0] = '0';
        f.n_fill = 1;
    }
    f.width = number_at(s, &i, FORMAT_MAX_WIDTH, ev);
    if (i < s.u.s.n && (s.u.s.p[i] == ',' || s.u.s.p[i] == '_'))
        f.comma = s.u.s.p[i++] == ',';
    if (i < s.u.s.n && s.u.s.p[i] == '.') {
        i++;
        f.precision = number_at(s, &i, FORMAT_MAX_PRECISION, ev);
    }
    if (i < s.u.s.n)
        f.type = s.u.s.p[i++];
    if (i < s.u.s.n)
        dv__fail(ev, DV_EINVAL, "malformed format specification");
    return f;
}

/* The argument that a field's name (empty, digits or a word) stands for. */
static const val *field_arg(dv__ev *ev, const dv__args *a, val name, size_t *next)
{
    size_t i = 0;
    int k = number_at(name, &i, 1 << 20, ev);
    if (name.u.s.n == 0)
        return *next < a->n ? &a->pos[(*next)++] : NULL;
    if (i == name.u.s.n)
        return (size_t)k < a->n ? &a->pos[k] : NULL;
    for (i = 0; i < a->n_kw; i++)
        if (dv__same_bytes(a->kw[i].key, name))
            return &a->kw[i].v;
    return NULL;
}

static void add_field(dv__sb *b, const dv__args *a, val field, size_t *next)
{
    const char *colon = memchr(field.u.s.p, ':', field.u.s.n);
    size_t n = colon != NULL ? (size_t)(colon - field.u.s.p) : field.u.s.n, n_name = n;
    val spec_text = dv__sub(field, DV_MIN(n + 1, field.u.s.n), field.u.s.n - DV_MIN(n + 1, field.u.s.n));
    bool repr = n >= 2 && field.u.s.p[n - 2] == '!' && field.u.s.p[n - 1] == 'r';
    if (n >= 2 && field.u.s.p[n - 2] == '!')
        n_name -= 2;
    val name = dv__sub(field, 0, n_name);
    for (size_t i = 0; i < n_name; i++)
        if (strchr(".[{", name.u.s.p[i]) != NULL && name.u.s.p[i] != 0) {
            dv__fail(b->ev, DV_EUNSUPPORTED, "attributes in a format are not supported");
            return;
        }
    const val *v = field_arg(b->ev, a, name, next);
    if (v == NULL) {
        dv__fail(b->ev, DV_EINVAL, "a field of the format has no argument");
        return;
    }
    spec f = parse_spec(b->ev, spec_text);
    if (repr)
        f.type = 'r';
    if (b->ev->code == 0)
        add_formatted(b, &f, *v);
}

val dv__str_format(dv__ev *ev, val s, const dv__args *a)
{
    dv__sb b = dv__sb_new(ev);
    size_t next = 0;
    for (size_t i = 0; i < s.u.s.n && dv__charge(ev, 1);) {
        size_t end = i;
        while (end < s.u.s.n && s.u.s.p[end] != '{' && s.u.s.p[end] != '}')
            end++;
        dv__sb_str(&b, dv__sub(s, i, end - i));
        if (end >= s.u.s.n)
            break;
        if (end + 1 < s.u.s.n && s.u.s.p[end + 1] == s.u.s.p[end]) {
            dv__sb_str(&b, dv__sub(s, end, 1));
            i = end + 2;
            continue;
        }
        const char *close = s.u.s.p[end] == '{' ? memchr(s.u.s.p + end, '}', s.u.s.n - end) : NULL;
        if (close == NULL)
            return dv__fail(ev, DV_EINVAL, "single brace in a format");
        i = (size_t)(close - s.u.s.p) + 1;
        add_field(&b, a, dv__sub(s, end + 1, i - end - 2), &next);
    }
    return dv__sb_val(&b);
}
