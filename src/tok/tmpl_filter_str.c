/* SPDX-License-Identifier: MIT */
/* Filters on strings. What is no string is taken as its text, as jinja2 does. */
#include "tok/tmpl_eval.h"

#include <stdio.h>

/* The operand as text; undefined after a failure. */
static val text_of(dv__ev *ev, val v) { return dv__text(ev, v); }

static val f_upper(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    return ev->code == 0 ? dv__u_upper(ev, s) : s;
}

static val f_lower(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    return ev->code == 0 ? dv__u_lower(ev, s) : s;
}

static val f_title(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    return ev->code == 0 ? dv__u_title(ev, s, false) : s;
}

static val f_capitalize(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    return ev->code == 0 ? dv__u_capitalize(ev, s) : s;
}

static val f_trim(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    const val *chars = dv__arg(a, 0, "chars");
    if (ev->code != 0 || !dv__charge(ev, s.u.s.n / 64))
        return dv__undef();
    return dv__u_strip(s, chars != NULL ? *chars : dv__undef(), true, true);
}

static val f_string(dv__ev *ev, val v, const dv__args *a) { return text_of(ev, v); }
static val f_safe(dv__ev *ev, val v, const dv__args *a) { return v; }

static val f_replace(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v), old = dv__arg_str(ev, a, 0, "old", NULL), new = dv__arg_str(ev, a, 1, "new", NULL);
    int64_t count = dv__arg_int(ev, a, 2, "count", -1);
    return ev->code == 0 ? dv__u_replace(ev, s, old, new, count) : dv__undef();
}

static val f_escape(dv__ev *ev, val v, const dv__args *a)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    val s = text_of(ev, v);
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0; ev->code == 0 && i < s.u.s.n;) {
        size_t k = i;
        while (k < s.u.s.n && (s.u.s.p[k] == 0 || strchr(from, s.u.s.p[k]) == NULL))
            k++;
        dv__sb_str(&b, dv__sub(s, i, k - i));
        if (k < s.u.s.n)
            dv__sb_adds(&b, to[strchr(from, s.u.s.p[k]) - from], dv__trusted(s, k, 1));
        i = k + 1;
    }
    return dv__sb_val(&b);
}

static val f_indent(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v), pad = dv__undef();
    const val *width = dv__arg(a, 0, "width");
    bool first = dv__arg_bool(a, 1, "first", false), blank = dv__arg_bool(a, 2, "blank", false);
    dv__sb b = dv__sb_new(ev), spaces = dv__sb_new(ev);
    if (width != NULL && width->kind == V_STR) {
        pad = *width;
    } else {
        int64_t n = dv__arg_int(ev, a, 0, "width", 4);
        dv__sb_fill(&spaces, ' ', n > 0 ? (size_t)n : 0, true);
        pad = dv__sb_val(&spaces);
    }
    for (size_t i = 0, line = 0; ev->code == 0 && i <= s.u.s.n; line++) {
        const char *nl = memchr(s.u.s.p + i, '\n', s.u.s.n - i);
        size_t end = nl != NULL ? (size_t)(nl - s.u.s.p) : s.u.s.n;
        if ((line > 0 || first) && (end > i || blank))
            dv__sb_str(&b, pad);
        dv__sb_str(&b, dv__sub(s, i, end - i + (nl != NULL)));
        i = end + 1;
    }
    return dv__sb_val(&b);
}

static val f_center(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    int64_t width = dv__arg_int(ev, a, 0, "width", 80);
    if (ev->code != 0)
        return dv__undef();
    val w = dv__int(width);
    dv__args one = {.pos = &w, .n = 1};
    return dv__method_find(V_STR, "center", 6)->fn(ev, s, &one);
}

static val f_wordcount(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    int64_t n = 0;
    bool inside = false;
    if (ev->code != 0 || !dv__charge(ev, s.u.s.n / 8))
        return dv__undef();
    for (size_t i = 0, k; i < s.u.s.n; i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        bool alnum = cp == '_' || (dv__u_class(cp) & (DV__C_ALPHA | DV__C_DIGIT)) != 0;
        n += alnum && !inside;
        inside = alnum;
    }
    return dv__int_of(s, n);
}

static val f_format(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    if (ev->code != 0)
        return dv__undef();
    dv__dict named = {.at = a->kw, .n = a->n_kw};
    return dv__percent_format(ev, s, a->pos, a->n, a->n_kw > 0 ? &named : NULL);
}

static val f_truncate(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v), end = dv__arg_str(ev, a, 2, "end", "...");
    int64_t length = dv__arg_int(ev, a, 0, "length", 255), leeway = dv__arg_int(ev, a, 3, "leeway", 5);
    bool kill = dv__arg_bool(a, 1, "killwords", false);
    if (ev->code != 0 || !dv__charge(ev, s.u.s.n / 8))
        return dv__undef();
    int64_t n_end = (int64_t)dv__u_count(end);
    if (length < n_end || leeway < 0)
        return dv__fail(ev, DV_EINVAL, "truncate: the length is too small");
    if ((uint64_t)dv__u_count(s) <= (uint64_t)length + (uint64_t)leeway)
        return s;
    val head = dv__sub(s, 0, dv__u_offset(s, (size_t)(length - n_end)));
    if (!kill) {
        const char *space = memrchr(head.u.s.p, ' ', head.u.s.n);
        if (space != NULL)
            head = dv__sub(head, 0, (size_t)(space - head.u.s.p));
    }
    return dv__binary(ev, '~', head, end);
}

/* One paragraph line of wordwrap: words are filled up to width; a longer word is cut if cut is set. */
static void wrap_line(dv__sb *b, val line, size_t width, val brk, bool cut)
{
    dv__ev *ev = b->ev;
    while (dv__u_count(line) > width && dv__charge(ev, 1 + line.u.s.n / 16)) {
        size_t limit = dv__u_offset(line, width), at = SIZE_MAX;
        for (size_t i = 0; i <= limit && i < line.u.s.n; i++)
            if (line.u.s.p[i] == ' ' && i > 0)
                at = i;
        if (at == SIZE_MAX && !cut) {
            const char *space = memchr(line.u.s.p + limit, ' ', line.u.s.n - limit);
            if (space == NULL)
                break;
            at = (size_t)(space - line.u.s.p);
        }
        bool at_space = at != SIZE_MAX;
        at = at_space ? at : limit;
        dv__sb_str(b, dv__sub(line, 0, at));
        dv__sb_str(b, brk);
        line = dv__sub(line, at + at_space, line.u.s.n - at - at_space);
    }
    dv__sb_str(b, line);
}

static val f_wordwrap(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v), brk = dv__arg_str(ev, a, 2, "wrapstring", "\n");
    int64_t width = dv__arg_int(ev, a, 0, "width", 79);
    bool cut = dv__arg_bool(a, 1, "break_long_words", true);
    dv__sb b = dv__sb_new(ev);
    if (ev->code == 0 && width < 1)
        return dv__fail(ev, DV_EINVAL, "wordwrap: the width is too small");
    for (size_t i = 0; ev->code == 0 && i < s.u.s.n;) {
        const char *nl = memchr(s.u.s.p + i, '\n', s.u.s.n - i);
        size_t end = nl != NULL ? (size_t)(nl - s.u.s.p) : s.u.s.n;
        if (i > 0)
            dv__sb_str(&b, brk);
        wrap_line(&b, dv__sub(s, i, end - i), (size_t)width, brk, cut);
        i = end + 1;
    }
    return dv__sb_val(&b);
}

static void add_quoted(dv__sb *b, val s, bool slash)
{
    for (size_t i = 0; i < s.u.s.n && b->ev->code == 0; i++) {
        unsigned char c = (unsigned char)s.u.s.p[i];
        bool plain = (c < 0x80 && (dv__u_class(c) & (DV__C_ALPHA | DV__C_DIGIT)) != 0) || strchr("_.-~", c) != NULL;
        char text[8];
        snprintf(text, sizeof text,
                 (plain && c != 0) || (slash && c == '/') ? "%c"
                 : !slash && c == ' '                     ? "+"
                                                          : "%%%02X",
                 c);
        dv__sb_adds(b, text, dv__trusted(s, i, 1));
    }
}

static val f_urlencode(dv__ev *ev, val v, const dv__args *a)
{
    dv__sb b = dv__sb_new(ev);
    if (v.kind == V_STR || (v.kind != V_DICT && v.kind != V_LIST)) {
        val s = text_of(ev, v);
        if (ev->code == 0)
            add_quoted(&b, s, true);
        return dv__sb_val(&b);
    }
    size_t n = v.kind == V_DICT ? v.u.d->n : v.u.l->n;
    for (size_t i = 0; i < n && ev->code == 0; i++) {
        val pair = v.kind == V_DICT ? dv__pair(ev, v.u.d->at[i].key, v.u.d->at[i].v) : v.u.l->at[i];
        if (pair.kind != V_LIST || pair.u.l->n != 2)
            return dv__fail(ev, DV_EINVAL, "urlencode needs pairs");
        for (int k = 0; k < 2; k++) {
            val s = text_of(ev, pair.u.l->at[k]);
            dv__sb_adds(&b, k == 1 ? "=" : i > 0 ? "&" : "", true);
            if (ev->code == 0)
                add_quoted(&b, s, false);
        }
    }
    return dv__sb_val(&b);
}

static val f_striptags(dv__ev *ev, val v, const dv__args *a)
{
    val s = text_of(ev, v);
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0; ev->code == 0 && i < s.u.s.n;) {
        const char *lt = memchr(s.u.s.p + i, '<', s.u.s.n - i);
        const char *gt = lt != NULL ? memchr(lt, '>', s.u.s.n - (size_t)(lt - s.u.s.p)) : NULL;
        size_t end = gt != NULL ? (size_t)(lt - s.u.s.p) : s.u.s.n;
        dv__sb_str(&b, dv__sub(s, i, end - i));
        i = gt != NULL ? (size_t)(gt - s.u.s.p) + 1 : s.u.s.n;
    }
    val t = dv__sb_val(&b);
    dv__list *words = ev->code == 0 ? dv__u_split(ev, t, dv__undef(), -1) : NULL;
    dv__sb out = dv__sb_new(ev);
    for (size_t i = 0; words != NULL && i < words->n && ev->code == 0; i++) {
        dv__sb_adds(&out, i > 0 ? " " : "", true);
        dv__sb_str(&out, words->at[i]);
    }
    return dv__sb_val(&out);
}

const dv__fn_row *dv__filter_rows_str(size_t *n)
{
    /* clang-format off */
    static const dv__fn_row rows[] = {
        {"upper", f_upper, false}, {"lower", f_lower, false}, {"title", f_title, false}, {"capitalize", f_capitalize, false},
        {"trim", f_trim, false}, {"string", f_string, false}, {"safe", f_safe, false}, {"replace", f_replace, false},
        {"escape", f_escape, false}, {"e", f_escape, false}, {"forceescape", f_escape, false}, {"indent", f_indent, false},
        {"center", f_center, false}, {"wordcount", f_wordcount, false}, {"format", f_format, false},
        {"truncate", f_truncate, false}, {"wordwrap", f_wordwrap, false}, {"urlencode", f_urlencode, false},
        {"striptags", f_striptags, false},
    };
    /* clang-format on */
    *n = DV_ARRAY_LEN(rows);
    return rows;
}
