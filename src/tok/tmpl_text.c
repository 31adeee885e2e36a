/* SPDX-License-Identifier: MIT */
/* Values as text: what {{ x }} prints, Python's repr, JSON. */
#include "base/utf8.h"
#include "tok/tmpl_eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Shortest digits that read back as v: text like "d.ddde+XX" taken apart. */
static int shortest(char digits[24], int *exp10, double v)
{
    char text[40];
    for (int p = 0; p <= 16; p++) {
        snprintf(text, sizeof text, "%.*e", p, v);
        if (strtod(text, NULL) == v)
            break;
    }
    int n = 0;
    const char *s = text;
    for (; *s != 'e' && *s != 0; s++)
        if (*s >= '0' && *s <= '9')
            digits[n++] = *s;
    *exp10 = *s == 'e' ? atoi(s + 1) : 0;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

void dv__float_text(char out[64], double v, bool py)
{
    char digits[24];
    int exp10, o = 0;
    if (isnan(v) || isinf(v)) {
        snprintf(out, 64, "%s%s", v < 0 ? "-" : "", isnan(v) ? (py ? "nan" : "NaN") : py ? "inf" : "Infinity");
        return;
    }
    int n = shortest(digits, &exp10, fabs(v));
    if (signbit(v) && (v != 0 || py))
        out[o++] = '-';
    if (exp10 < (py ? -4 : -6) || exp10 >= (py ? 16 : 21)) {
        out[o++] = digits[0];
        if (n > 1)
            o += snprintf(out + o, 64 - (size_t)o, ".%s", digits + 1);
        snprintf(out + o, 64 - (size_t)o, py ? "e%c%02d" : "e%c%d", exp10 < 0 ? '-' : '+', abs(exp10));
        return;
    }
    if (exp10 < 0) {
        out[o++] = '0';
        out[o++] = '.';
        for (int z = exp10 + 1; z < 0; z++)
            out[o++] = '0';
    }
    for (int i = 0; i < n || i <= exp10; i++) {
        if (i == exp10 + 1 && exp10 >= 0)
            out[o++] = '.';
        out[o++] = i < n ? digits[i] : '0';
    }
    if (py && exp10 >= n - 1) {
        out[o++] = '.';
        out[o++] = '0';
    }
    out[o] = 0;
}

static void add_number(dv__sb *b, val v, bool json)
{
    char text[72];
    if (v.kind == V_INT) {
        snprintf(text, sizeof text, "%" PRId64, v.u.i);
    } else {
        bool py = b->ev->py;
        dv__float_text(text, v.u.f, py);
        if (!py && !json && isfinite(v.u.f) && v.u.f == floor(v.u.f)) { /* {{ 1.0 }} keeps its point, JSON does not */
            if (v.u.f == 0 && signbit(v.u.f))
                strcpy(text, "-0");
            if (strpbrk(text, "e.") == NULL)
                strcat(text, ".0");
        }
        if (json && !isfinite(v.u.f))
            strcpy(text, !py ? "null" : isnan(v.u.f) ? "NaN" : v.u.f < 0 ? "-Infinity" : "Infinity");
    }
    dv__sb_adds(b, text, v.trusted);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static void add_u_escape(dv__sb *b, unsigned unit, bool trusted)
{
    char text[8];
    snprintf(text, sizeof text, "\\u%04x", unit & 0xffffu);
    dv__sb_add(b, text, 6, trusted);
}

static void json_char(dv__sb *b, val s, size_t i, size_t k, uint32_t cp, bool ascii)
{
    static const char plain[] = "\"\\\n\r\t\b\f", letter[] = "\"\\nrtbf";
    bool trusted = dv__trusted(s, i, k);
    const char *hit = cp != 0 && cp < 0x80 ? strchr(plain, (int)cp) : NULL;
    if (hit != NULL) {
        char text[2] = {'\\', letter[hit - plain]};
        dv__sb_add(b, text, 2, trusted);
    } else if (cp < 0x20 || (ascii && cp >= 0x7f && cp < 0x10000)) {
        add_u_escape(b, cp, trusted);
    } else if (ascii && cp >= 0x10000) {
        add_u_escape(b, 0xd800 + ((cp - 0x10000) >> 10), trusted);
        add_u_escape(b, 0xdc00 + ((cp - 0x10000) & 0x3ff), trusted);
    } else {
        dv__sb_str(b, dv__sub(s, i, k));
    }
}

static void json_str(dv__sb *b, val s, bool ascii)
{
    size_t plain = 0, i = 0;
    dv__sb_adds(b, "\"", s.u.s.mask == NULL && s.trusted);
    while (i < s.u.s.n && b->ev->code == 0) {
        uint32_t cp;
        size_t k = dv__u_len(s, i, &cp);
        if (cp < 0x20 || cp == '"' || cp == '\\' || (ascii && cp >= 0x7f)) {
            dv__sb_str(b, dv__sub(s, plain, i - plain));
            json_char(b, s, i, k, cp, ascii);
            plain = i + k;
        }
        i += k;
    }
    dv__sb_str(b, dv__sub(s, plain, s.u.s.n - plain));
    dv__sb_adds(b, "\"", s.u.s.mask == NULL && s.trusted);
}

static void json_break(dv__sb *b, const dv__json_opts *o, unsigned level, bool trusted)
{
    if (o->indent <= 0)
        return;
    dv__sb_adds(b, "\n", trusted);
    dv__sb_fill(b, ' ', (size_t)o->indent * level, trusted);
}

static bool deeper(dv__ev *ev)
{
    if (ev->depth >= ev->max_depth)
        dv__fail(ev, DV_ELIMIT, "a value is nested too deeply");
    else if (dv__charge(ev, 1))
        ev->depth++;
    else
        return false;
    return ev->code == 0;
}

static void json_at(dv__sb *b, val v, const dv__json_opts *o, unsigned level);

static void json_list(dv__sb *b, const dv__list *l, const dv__json_opts *o, unsigned level)
{
    bool trusted = !l->outside;
    dv__sb_adds(b, "[", trusted);
    for (size_t i = 0; i < l->n && b->ev->code == 0; i++) {
        if (i > 0)
            dv__sb_str(b, o->item_sep);
        json_break(b, o, level + 1, trusted);
        json_at(b, l->at[i], o, level + 1);
    }
    if (l->n > 0)
        json_break(b, o, level, trusted);
    dv__sb_adds(b, "]", trusted);
}

static dv__entry *sorted_entries(dv__ev *ev, const dv__dict *d)
{
    dv__entry *e = d->n > 0 ? dv__alloc(ev, d->n * sizeof *e) : NULL;
    for (size_t i = 0; e != NULL && i < d->n; i++)
        e[i] = d->at[i];
    if (e != NULL)
        dv__sort(ev, e, d->n, false, false);
    return e;
}

static void json_key(dv__sb *b, val key, const dv__json_opts *o)
{
    if (key.kind == V_STR) {
        json_str(b, key, o->ascii);
        return;
    }
    dv__sb_adds(b, "\"", key.trusted);
    json_at(b, key, o, 0);
    dv__sb_adds(b, "\"", key.trusted);
}

static void json_dict(dv__sb *b, const dv__dict *d, const dv__json_opts *o, unsigned level)
{
    bool trusted = !d->outside;
    const dv__entry *at = o->sort_keys ? sorted_entries(b->ev, d) : d->at;
    dv__sb_adds(b, "{", trusted);
    for (size_t i = 0; i < d->n && b->ev->code == 0; i++) {
        if (i > 0)
            dv__sb_str(b, o->item_sep);
        json_break(b, o, level + 1, trusted);
        json_key(b, at[i].key, o);
        dv__sb_str(b, o->key_sep);
        json_at(b, at[i].v, o, level + 1);
    }
    if (d->n > 0)
        json_break(b, o, level, trusted);
    dv__sb_adds(b, "}", trusted);
}

static void json_at(dv__sb *b, val v, const dv__json_opts *o, unsigned level)
{
    if (!deeper(b->ev))
        return;
    switch (v.kind) {
    case V_UNDEF: dv__sb_adds(b, o->show_undefined ? "undefined" : "null", true); break;
    case V_NONE: dv__sb_adds(b, "null", v.trusted); break;
    case V_BOOL: dv__sb_adds(b, v.u.b ? "true" : "false", v.trusted); break;
    case V_INT:
    case V_FLOAT: add_number(b, v, true); break;
    case V_STR: json_str(b, v, o->ascii); break;
    case V_LIST: json_list(b, v.u.l, o, level); break;
    case V_DICT:
    case V_NS: json_dict(b, v.u.d, o, level); break;
    default: dv__fail(b->ev, DV_EINVAL, "cannot write %s as JSON", dv__kind_name(v));
    }
    b->ev->depth--;
}

/* Separators written by the renderer are trusted only between the template's own values. */
void dv__json_add(dv__sb *b, val v, const dv__json_opts *o)
{
    dv__json_opts p = *o;
    bool outside = (v.kind == V_LIST && v.u.l->outside) || (v.kind == V_DICT && v.u.d->outside);
    if (outside)
        p.item_sep.trusted = p.key_sep.trusted = false;
    json_at(b, v, &p, 0);
}

/* ---- Python's repr ------------------------------------------------------------------------------------------------- */

static void repr_str(dv__sb *b, val s)
{
    bool uniform = s.u.s.mask == NULL && s.trusted;
    char quote = memchr(s.u.s.p, '\'', s.u.s.n) != NULL && memchr(s.u.s.p, '"', s.u.s.n) == NULL ? '"' : '\'';
    dv__sb_add(b, &quote, 1, uniform);
    for (size_t i = 0, k; i < s.u.s.n && b->ev->code == 0; i += k) {
        uint32_t cp;
        char text[16];
        k = dv__u_len(s, i, &cp);
        bool trusted = dv__trusted(s, i, k);
        if (cp == (uint32_t)quote || cp == '\\')
            snprintf(text, sizeof text, "\\%c", (char)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            snprintf(text, sizeof text, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if (cp < 0x20 || (cp >= 0x7f && cp <= 0xa0) || cp == 0xad)
            snprintf(text, sizeof text, "\\x%02x", (unsigned)cp);
        else if (cp == 0x2028 || cp == 0x2029 || cp == 0xfeff || (cp >= 0x200b && cp <= 0x200f))
            snprintf(text, sizeof text, "\\u%04x", (unsigned)cp);
        else {
            dv__sb_str(b, dv__sub(s, i, k));
            continue;
        }
        dv__sb_adds(b, text, trusted);
    }
    dv__sb_add(b, &quote, 1, uniform);
}

static void repr_list(dv__sb *b, val v)
{
    const dv__list *l = v.u.l;
    bool trusted = !l->outside;
    dv__sb_adds(b, v.tuple ? "(" : "[", trusted);
    for (size_t i = 0; i < l->n && b->ev->code == 0; i++) {
        if (i > 0)
            dv__sb_adds(b, ", ", trusted);
        dv__repr_add(b, l->at[i]);
    }
    dv__sb_adds(b, v.tuple ? l->n == 1 ? ",)" : ")" : "]", trusted);
}

static void repr_dict(dv__sb *b, const dv__dict *d, bool ns)
{
    bool trusted = !d->outside;
    dv__sb_adds(b, ns ? "<Namespace {" : "{", trusted);
    for (size_t i = 0; i < d->n && b->ev->code == 0; i++) {
        if (i > 0)
            dv__sb_adds(b, ", ", trusted);
        dv__repr_add(b, d->at[i].key);
        dv__sb_adds(b, ": ", trusted);
        dv__repr_add(b, d->at[i].v);
    }
    dv__sb_adds(b, ns ? "}>" : "}", trusted);
}

void dv__repr_add(dv__sb *b, val v)
{
    if (!deeper(b->ev))
        return;
    switch (v.kind) {
    case V_UNDEF: dv__sb_adds(b, "Undefined", true); break;
    case V_NONE: dv__sb_adds(b, "None", v.trusted); break;
    case V_BOOL: dv__sb_adds(b, v.u.b ? "True" : "False", v.trusted); break;
    case V_INT:
    case V_FLOAT: add_number(b, v, false); break;
    case V_STR: repr_str(b, v); break;
    case V_LIST: repr_list(b, v); break;
    case V_DICT:
    case V_NS: repr_dict(b, v.u.d, v.kind == V_NS); break;
    case V_FUNC: dv__sb_adds(b, "<function>", true); break;
    default: dv__sb_adds(b, "<loop>", true);
    }
    b->ev->depth--;
}

/* ---- what {{ x }} prints ------------------------------------------------------------------------------------------- */

void dv__text_add(dv__sb *b, val v)
{
    dv__json_opts o = {.item_sep = dv__lit(", "), .key_sep = dv__lit(": "), .show_undefined = true};
    switch (v.kind) {
    case V_UNDEF: return;
    case V_STR: dv__sb_str(b, v); return;
    case V_INT:
    case V_FLOAT: add_number(b, v, false); return;
    default: break;
    }
    if (b->ev->py)
        dv__repr_add(b, v);
    else if (v.kind == V_BOOL)
        dv__sb_adds(b, v.u.b ? "true" : "false", v.trusted);
    else if (v.kind == V_LIST || v.kind == V_DICT || v.kind == V_NS)
        dv__json_add(b, v, &o);
    else if (v.kind != V_NONE)
        dv__repr_add(b, v);
}

val dv__text(dv__ev *ev, val v)
{
    if (v.kind == V_STR)
        return v;
    dv__sb b = dv__sb_new(ev);
    dv__text_add(&b, v);
    return dv__sb_val(&b);
}
