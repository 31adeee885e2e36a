/* SPDX-License-Identifier: MIT */
/* Methods of strings. */
#include "base/utf8.h"
#include "tok/tmpl_eval.h"

static val m_upper(dv__ev *ev, val s, const dv__args *a) { return dv__u_upper(ev, s); }
static val m_lower(dv__ev *ev, val s, const dv__args *a) { return dv__u_lower(ev, s); }
static val m_title(dv__ev *ev, val s, const dv__args *a) { return dv__u_title(ev, s, true); }
static val m_capitalize(dv__ev *ev, val s, const dv__args *a) { return dv__u_capitalize(ev, s); }

static val m_swapcase(dv__ev *ev, val s, const dv__args *a)
{
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0, k; i < s.u.s.n && dv__charge(ev, 1); i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        val c = dv__sub(s, i, k), up = dv__u_upper(ev, c);
        dv__sb_str(&b, ev->code == 0 && dv__same_bytes(up, c) ? dv__u_lower(ev, c) : up);
    }
    return dv__sb_val(&b);
}

static val strip(dv__ev *ev, val s, const dv__args *a, bool left, bool right)
{
    const val *chars = dv__arg(a, 0, "chars");
    /* The default dialect knows no set of characters: white space it is. */
    val set = ev->py && chars != NULL && chars->kind == V_STR ? *chars : dv__undef();
    if (chars != NULL && chars->kind != V_STR && chars->kind != V_NONE)
        return dv__fail(ev, DV_EINVAL, "strip() needs a string, not %s", dv__kind_name(*chars));
    return dv__charge(ev, s.u.s.n / 64) ? dv__u_strip(s, set, left, right) : dv__undef();
}

static val m_strip(dv__ev *ev, val s, const dv__args *a) { return strip(ev, s, a, true, true); }
static val m_lstrip(dv__ev *ev, val s, const dv__args *a) { return strip(ev, s, a, true, false); }
static val m_rstrip(dv__ev *ev, val s, const dv__args *a) { return strip(ev, s, a, false, true); }

static bool has_affix(val s, val t, bool end)
{
    return t.kind == V_STR && t.u.s.n <= s.u.s.n &&
           memcmp(s.u.s.p + (end ? s.u.s.n - t.u.s.n : 0), t.u.s.p, t.u.s.n) == 0;
}

static val affix_test(dv__ev *ev, val s, const dv__args *a, bool end)
{
    const val *t = dv__arg(a, 0, NULL);
    bool hit = false;
    if (t == NULL || (t->kind != V_STR && t->kind != V_LIST))
        return dv__fail(ev, DV_EINVAL, "startswith() and endswith() need a string or a tuple of strings");
    if (t->kind == V_STR)
        return dv__bool(has_affix(s, *t, end));
    for (size_t i = 0; i < t->u.l->n && !hit && dv__charge(ev, 1); i++)
        hit = has_affix(s, t->u.l->at[i], end);
    return dv__bool(hit);
}

static val m_startswith(dv__ev *ev, val s, const dv__args *a) { return affix_test(ev, s, a, false); }
static val m_endswith(dv__ev *ev, val s, const dv__args *a) { return affix_test(ev, s, a, true); }

static val remove_affix(dv__ev *ev, val s, const dv__args *a, bool end)
{
    val t = dv__arg_str(ev, a, 0, NULL, NULL);
    if (ev->code != 0 || !has_affix(s, t, end))
        return s;
    return dv__sub(s, end ? 0 : t.u.s.n, s.u.s.n - t.u.s.n);
}

static val m_removeprefix(dv__ev *ev, val s, const dv__args *a) { return remove_affix(ev, s, a, false); }
static val m_removesuffix(dv__ev *ev, val s, const dv__args *a) { return remove_affix(ev, s, a, true); }

static val m_split(dv__ev *ev, val s, const dv__args *a)
{
    const val *sep = dv__arg(a, 0, "sep");
    if (sep != NULL && sep->kind != V_STR && sep->kind != V_NONE)
        return dv__fail(ev, DV_EINVAL, "split() needs a string, not %s", dv__kind_name(*sep));
    return dv__list_val(dv__u_split(ev, s, sep != NULL ? *sep : dv__undef(), dv__arg_int(ev, a, 1, "maxsplit", -1)));
}

/* From the right: split fully, then join the parts that are too many back into the first (they are adjacent slices). */
static val m_rsplit(dv__ev *ev, val s, const dv__args *a)
{
    int64_t max = dv__arg_int(ev, a, 1, "maxsplit", -1);
    dv__args only_sep = {.pos = a->pos, .n = DV_MIN(a->n, (size_t)1), .kw = a->kw, .n_kw = a->n_kw};
    val v = m_split(ev, s, &only_sep);
    if (v.kind != V_LIST || max < 0 || v.u.l->n <= (size_t)max + 1)
        return v;
    size_t keep = (size_t)max, first = v.u.l->n - keep;
    val head = v.u.l->at[0], tail = v.u.l->at[first - 1];
    size_t from = (size_t)(head.u.s.p - s.u.s.p), to = (size_t)(tail.u.s.p - s.u.s.p) + tail.u.s.n;
    dv__list *out = dv__new_list(ev, keep + 1);
    dv__push(ev, out, dv__sub(s, from, to - from));
    for (size_t i = first; i < v.u.l->n; i++)
        dv__push(ev, out, v.u.l->at[i]);
    return dv__list_val(out);
}

static val m_splitlines(dv__ev *ev, val s, const dv__args *a)
{
    bool keep = dv__arg_bool(a, 0, "keepends", false);
    dv__list *out = dv__new_list(ev, 0);
    for (size_t i = 0, start = 0; i < s.u.s.n && dv__charge(ev, 1);) {
        uint32_t cp;
        size_t k = dv__u_len(s, i, &cp), end = i;
        bool brk = (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
        i += k;
        if (brk && cp == '\r' && i < s.u.s.n && s.u.s.p[i] == '\n')
            i++;
        if (brk || i >= s.u.s.n) {
            size_t to = brk && !keep ? end : i;
            dv__push(ev, out, dv__sub(s, start, to - start));
            start = i;
        }
    }
    return dv__list_val(out);
}

static val partition(dv__ev *ev, val s, const dv__args *a, bool right)
{
    val sep = dv__arg_str(ev, a, 0, "sep", NULL);
    dv__list *out = dv__new_list(ev, 3);
    if (ev->code != 0 || sep.u.s.n == 0)
        return dv__fail(ev, DV_EINVAL, "partition() with an empty separator");
    size_t at = right ? dv__u_rfind(ev, s, sep) : dv__u_find(ev, s, sep, 0);
    bool hit = at != SIZE_MAX;
    val none = dv__lit("");
    dv__push(ev, out, hit ? dv__sub(s, 0, at) : right ? none : s);
    dv__push(ev, out, hit ? dv__sub(s, at, sep.u.s.n) : none);
    dv__push(ev, out, hit ? dv__sub(s, at + sep.u.s.n, s.u.s.n - at - sep.u.s.n) : right ? s : none);
    val v = dv__list_val(out);
    v.tuple = true;
    return v;
}

static val m_partition(dv__ev *ev, val s, const dv__args *a) { return partition(ev, s, a, false); }
static val m_rpartition(dv__ev *ev, val s, const dv__args *a) { return partition(ev, s, a, true); }

static val m_replace(dv__ev *ev, val s, const dv__args *a)
{
    val old = dv__arg_str(ev, a, 0, "old", NULL), new = dv__arg_str(ev, a, 1, "new", NULL);
    int64_t count = dv__arg_int(ev, a, 2, "count", -1);
    return ev->code == 0 ? dv__u_replace(ev, s, old, new, count) : dv__undef();
}

/* The part of s between the optional character positions start and end. */
static val window(dv__ev *ev, val s, const dv__args *a, size_t *skipped)
{
    int64_t n = a->n > 1 ? (int64_t)dv__u_count(s) : 0, from = dv__arg_int(ev, a, 1, NULL, 0),
            to = dv__arg_int(ev, a, 2, NULL, n);
    *skipped = 0;
    if (a->n < 2 || !dv__charge(ev, s.u.s.n / 16))
        return s;
    from = DV_MAX(from < 0 ? from + n : from, (int64_t)0);
    to = DV_MIN(to < 0 ? to + n : to, n);
    size_t x = dv__u_offset(s, (size_t)DV_MIN(from, n)), y = to > from ? dv__u_offset(s, (size_t)to) : x;
    *skipped = (size_t)DV_MIN(from, n);
    return dv__sub(s, x, y - x);
}

static val search(dv__ev *ev, val s, const dv__args *a, bool right, bool must)
{
    size_t skipped;
    val needle = dv__arg_str(ev, a, 0, NULL, NULL), w = window(ev, s, a, &skipped);
    if (ev->code != 0)
        return dv__undef();
    size_t at = right ? dv__u_rfind(ev, w, needle) : dv__u_find(ev, w, needle, 0);
    if (at == SIZE_MAX)
        return must ? dv__fail(ev, DV_EINVAL, "the text to find is not there") : dv__int_of(s, -1);
    return dv__int_of(s, (int64_t)(skipped + dv_utf8_count(w.u.s.p, at)));
}

static val m_find(dv__ev *ev, val s, const dv__args *a) { return search(ev, s, a, false, false); }
static val m_rfind(dv__ev *ev, val s, const dv__args *a) { return search(ev, s, a, true, false); }
static val m_index(dv__ev *ev, val s, const dv__args *a) { return search(ev, s, a, false, true); }
static val m_rindex(dv__ev *ev, val s, const dv__args *a) { return search(ev, s, a, true, true); }

static val m_count(dv__ev *ev, val s, const dv__args *a)
{
    size_t skipped;
    val needle = dv__arg_str(ev, a, 0, NULL, NULL), w = window(ev, s, a, &skipped);
    int64_t n = 0;
    if (ev->code != 0)
        return dv__undef();
    if (needle.u.s.n == 0)
        return dv__int_of(s, (int64_t)dv__u_count(w) + 1);
    for (size_t i = 0; (i = dv__u_find(ev, w, needle, i)) != SIZE_MAX; i += needle.u.s.n)
        n++;
    return dv__int_of(s, n);
}

static val m_join(dv__ev *ev, val s, const dv__args *a)
{
    const val *v = dv__arg(a, 0, NULL);
    const dv__list *l = v != NULL ? dv__items(ev, *v, "join()") : NULL;
    dv__sb b = dv__sb_new(ev);
    if (v == NULL)
        return dv__fail(ev, DV_EINVAL, "join() needs a list");
    for (size_t i = 0; l != NULL && i < l->n && ev->code == 0; i++) {
        if (i > 0)
            dv__sb_str(&b, s);
        dv__text_add(&b, l->at[i]);
    }
    return dv__sb_val(&b);
}

/* ---- padding ------------------------------------------------------------------------------------------------------- */

static val pad(dv__ev *ev, val s, const dv__args *a, int where)
{
    int64_t width = dv__arg_int(ev, a, 0, "width", 0), n = (int64_t)dv__u_count(s);
    val fill = dv__arg_str(ev, a, 1, "fillchar", " ");
    dv__sb b = dv__sb_new(ev);
    if (ev->code != 0 || dv__u_count(fill) != 1)
        return dv__fail(ev, DV_EINVAL, "padding needs one character");
    int64_t total = width > n ? width - n : 0;
    int64_t left = where < 0 ? 0 : where > 0 ? total : total / 2 + (total & width & 1);
    for (int64_t i = 0; i < left && ev->code == 0; i++)
        dv__sb_str(&b, fill);
    dv__sb_str(&b, s);
    for (int64_t i = left; i < total && ev->code == 0; i++)
        dv__sb_str(&b, fill);
    return dv__sb_val(&b);
}

static val m_ljust(dv__ev *ev, val s, const dv__args *a) { return pad(ev, s, a, -1); }
static val m_rjust(dv__ev *ev, val s, const dv__args *a) { return pad(ev, s, a, 1); }
static val m_center(dv__ev *ev, val s, const dv__args *a) { return pad(ev, s, a, 0); }

static val m_zfill(dv__ev *ev, val s, const dv__args *a)
{
    int64_t width = dv__arg_int(ev, a, 0, "width", 0), n = (int64_t)dv__u_count(s);
    bool sign = s.u.s.n > 0 && (s.u.s.p[0] == '-' || s.u.s.p[0] == '+');
    dv__sb b = dv__sb_new(ev);
    if (sign)
        dv__sb_str(&b, dv__sub(s, 0, 1));
    if (width > n)
        dv__sb_fill(&b, '0', (size_t)(width - n), s.trusted && s.u.s.mask == NULL);
    dv__sb_str(&b, dv__sub(s, sign, s.u.s.n - sign));
    return dv__sb_val(&b);
}

static val m_expandtabs(dv__ev *ev, val s, const dv__args *a)
{
    int64_t size = dv__arg_int(ev, a, 0, "tabsize", 8), col = 0;
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0, k; i < s.u.s.n && dv__charge(ev, 1); i += k) {
        k = dv__u_len(s, i, NULL);
        char c = s.u.s.p[i];
        if (c != '\t') {
            dv__sb_str(&b, dv__sub(s, i, k));
            col = c == '\n' || c == '\r' ? 0 : col + 1;
        } else if (size > 0) {
            dv__sb_fill(&b, ' ', (size_t)(size - col % size), dv__trusted(s, i, 1));
            col += size - col % size;
        }
    }
    return dv__sb_val(&b);
}

/* ---- character classes --------------------------------------------------------------------------------------------- */

/* True if no character lacks all of `every`; with `some`, one at least is of it and none of `never`. */
static val class_test(dv__ev *ev, val s, unsigned every, unsigned some, unsigned never)
{
    bool seen = some == 0;
    if (s.u.s.n == 0 || !dv__charge(ev, s.u.s.n / 8))
        return dv__bool(false);
    for (size_t i = 0, k; i < s.u.s.n; i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        unsigned c = dv__u_class(cp);
        if ((every != 0 && (c & every) == 0) || (c & never) != 0)
            return dv__bool(false);
        seen |= (c & some) != 0;
    }
    return dv__bool(seen);
}

static val m_isalpha(dv__ev *ev, val s, const dv__args *a) { return class_test(ev, s, DV__C_ALPHA, 0, 0); }
static val m_isdigit(dv__ev *ev, val s, const dv__args *a) { return class_test(ev, s, DV__C_DIGIT, 0, 0); }
static val m_isalnum(dv__ev *ev, val s, const dv__args *a)
{
    return class_test(ev, s, DV__C_ALPHA | DV__C_DIGIT, 0, 0);
}
static val m_isspace(dv__ev *ev, val s, const dv__args *a) { return class_test(ev, s, DV__C_SPACE, 0, 0); }
static val m_isupper(dv__ev *ev, val s, const dv__args *a) { return class_test(ev, s, 0, DV__C_UPPER, DV__C_LOWER); }
static val m_islower(dv__ev *ev, val s, const dv__args *a) { return class_test(ev, s, 0, DV__C_LOWER, DV__C_UPPER); }

static val m_isascii(dv__ev *ev, val s, const dv__args *a)
{
    for (size_t i = 0; i < s.u.s.n; i++)
        if ((unsigned char)s.u.s.p[i] >= 0x80)
            return dv__bool(false);
    return dv__bool(true);
}

static val m_istitle(dv__ev *ev, val s, const dv__args *a)
{
    bool inside = false, seen = false;
    for (size_t i = 0, k; i < s.u.s.n && dv__charge(ev, 1); i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        unsigned c = dv__u_class(cp);
        if (((c & DV__C_UPPER) && inside) || ((c & DV__C_LOWER) && !inside))
            return dv__bool(false);
        inside = (c & (DV__C_UPPER | DV__C_LOWER)) != 0;
        seen |= inside;
    }
    return dv__bool(seen);
}

const dv__fn_row *dv__method_rows_str(size_t *n)
{
    /* clang-format off */
    static const dv__fn_row rows[] = {
        {"strip", m_strip, false}, {"lstrip", m_lstrip, false}, {"rstrip", m_rstrip, false}, {"split", m_split, false},
        {"startswith", m_startswith, false}, {"endswith", m_endswith, false}, {"replace", m_replace, false},
        {"upper", m_upper, false}, {"lower", m_lower, false}, {"casefold", m_lower, false}, {"title", m_title, false},
        {"capitalize", m_capitalize, false}, {"swapcase", m_swapcase, false}, {"rsplit", m_rsplit, false},
        {"splitlines", m_splitlines, false}, {"partition", m_partition, false}, {"rpartition", m_rpartition, false},
        {"removeprefix", m_removeprefix, false}, {"removesuffix", m_removesuffix, false}, {"find", m_find, false},
        {"rfind", m_rfind, false}, {"index", m_index, false}, {"rindex", m_rindex, false}, {"count", m_count, false},
        {"join", m_join, false}, {"format", dv__str_format, false}, {"ljust", m_ljust, false}, {"rjust", m_rjust, false},
        {"center", m_center, false}, {"zfill", m_zfill, false}, {"expandtabs", m_expandtabs, false},
        {"isalpha", m_isalpha, false}, {"isdigit", m_isdigit, false}, {"isdecimal", m_isdigit, false},
        {"isnumeric", m_isdigit, false}, {"isalnum", m_isalnum, false}, {"isspace", m_isspace, false},
        {"isupper", m_isupper, false}, {"islower", m_islower, false}, {"istitle", m_istitle, false},
        {"isascii", m_isascii, false},
    };
    /* clang-format on */
    *n = DV_ARRAY_LEN(rows);
    return rows;
}
