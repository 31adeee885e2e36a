/* SPDX-License-Identifier: MIT */
/* Strings by character. Bytes that are no UTF-8 count as one character each and pass through unchanged. */
#include "base/utf8.h"
#include "tok/tmpl_eval.h"

size_t dv__u_len(val s, size_t i, uint32_t *cp)
{
    uint32_t c = 0xfffd;
    int k = dv_utf8_decode(s.u.s.p + i, s.u.s.n - i, &c);
    if (cp != NULL)
        *cp = k > 0 ? c : 0xfffd;
    return k > 0 ? (size_t)k : 1;
}

size_t dv__u_count(val s) { return dv_utf8_count(s.u.s.p, s.u.s.n); }

size_t dv__u_offset(val s, size_t k)
{
    size_t i = 0;
    while (k-- > 0 && i < s.u.s.n)
        i += dv__u_len(s, i, NULL);
    return i;
}

/* One character through a case mapping; a byte that is no UTF-8 stays. */
static void add_mapped(dv__sb *b, val s, size_t i, size_t k, uint32_t cp, bool upper)
{
    bool trusted = dv__trusted(s, i, k);
    if (cp < 0x80) {
        bool change = upper ? cp >= 'a' && cp <= 'z' : cp >= 'A' && cp <= 'Z';
        char c = (char)(change ? cp ^ 0x20 : cp);
        dv__sb_add(b, &c, 1, trusted);
    } else if (k == 1) {
        dv__sb_add(b, s.u.s.p + i, 1, trusted);
    } else if (upper && cp == 0xdf) {
        dv__sb_add(b, "SS", 2, trusted); /* the one common letter whose capital is two */
    } else {
        dv__sb_cp(b, upper ? dv__u_cp_upper(cp) : dv__u_cp_lower(cp), trusted);
    }
}

static val map_case(dv__ev *ev, val s, bool upper)
{
    dv__sb b = dv__sb_new(ev);
    if (!dv__charge(ev, s.u.s.n / 8))
        return dv__undef();
    for (size_t i = 0, k; i < s.u.s.n && ev->code == 0; i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        add_mapped(&b, s, i, k, cp, upper);
    }
    return dv__sb_val(&b);
}

val dv__u_upper(dv__ev *ev, val s) { return map_case(ev, s, true); }
val dv__u_lower(dv__ev *ev, val s) { return map_case(ev, s, false); }

/* Does a word start after cp? The default dialect knows ASCII words only and leaves the rest of a word alone. */
static bool ends_word(const dv__ev *ev, uint32_t cp, bool method)
{
    if (!ev->py)
        return !(cp < 0x80 && (cp == '_' || (dv__u_class(cp) & (DV__C_ALPHA | DV__C_DIGIT)) != 0));
    if (method)
        return (dv__u_class(cp) & DV__C_ALPHA) == 0;
    return dv__is_space(cp) || (cp < 0x80 && cp != 0 && strchr("-({[<", (int)cp) != NULL);
}

val dv__u_title(dv__ev *ev, val s, bool method)
{
    dv__sb b = dv__sb_new(ev);
    bool start = true;
    if (!dv__charge(ev, s.u.s.n / 8))
        return dv__undef();
    for (size_t i = 0, k; i < s.u.s.n && ev->code == 0; i += k) {
        uint32_t cp;
        k = dv__u_len(s, i, &cp);
        bool end = ends_word(ev, cp, method);
        if (start && method && ev->py && cp == 0xdf)
            dv__sb_add(&b, "Ss", 2, dv__trusted(s, i, k));
        else if (ev->py || (start && !end))
            add_mapped(&b, s, i, k, cp, start);
        else
            dv__sb_str(&b, dv__sub(s, i, k));
        start = end;
    }
    return dv__sb_val(&b);
}

val dv__u_capitalize(dv__ev *ev, val s)
{
    dv__sb b = dv__sb_new(ev);
    uint32_t cp;
    if (s.u.s.n == 0)
        return s;
    size_t k = dv__u_len(s, 0, &cp);
    add_mapped(&b, s, 0, k, cp, true);
    val rest = dv__sub(s, k, s.u.s.n - k);
    dv__sb_str(&b, ev->py ? dv__u_lower(ev, rest) : rest);
    return dv__sb_val(&b);
}

static bool in_set(val set, const char *p, size_t n) { return n > 0 && memmem(set.u.s.p, set.u.s.n, p, n) != NULL; }

val dv__u_strip(val s, val chars, bool left, bool right)
{
    size_t from = 0, to = s.u.s.n;
    if (chars.kind != V_STR) {
        from = left ? dv__space_left(s.u.s.p, to) : 0;
        to -= right ? dv__space_right(s.u.s.p + from, to - from) : 0;
        return dv__sub(s, from, to - from);
    }
    while (left && from < to) {
        size_t k = dv__u_len(s, from, NULL);
        if (!in_set(chars, s.u.s.p + from, k))
            break;
        from += k;
    }
    while (right && from < to) {
        size_t i = to - 1;
        while (i > from && to - i < 4 && ((unsigned char)s.u.s.p[i] & 0xc0) == 0x80)
            i--;
        if (!in_set(chars, s.u.s.p + i, to - i))
            break;
        to = i;
    }
    return dv__sub(s, from, to - from);
}

size_t dv__u_find(dv__ev *ev, val s, val needle, size_t from)
{
    if (from > s.u.s.n)
        return SIZE_MAX;
    const char *hit = memmem(s.u.s.p + from, s.u.s.n - from, needle.u.s.p, needle.u.s.n);
    size_t at = hit != NULL ? (size_t)(hit - s.u.s.p) : s.u.s.n;
    return dv__charge(ev, 1 + (at - from) / 64) && hit != NULL ? at : SIZE_MAX;
}

size_t dv__u_rfind(dv__ev *ev, val s, val needle)
{
    size_t m = needle.u.s.n;
    if (m > s.u.s.n)
        return SIZE_MAX;
    for (size_t i = s.u.s.n - m + 1; i-- > 0;) {
        if (!dv__charge(ev, 1 + m / 64))
            return SIZE_MAX;
        if (memcmp(s.u.s.p + i, needle.u.s.p, m) == 0)
            return i;
    }
    return SIZE_MAX;
}

val dv__u_replace(dv__ev *ev, val s, val old, val new, int64_t count)
{
    dv__sb b = dv__sb_new(ev);
    size_t i = 0;
    if (count == 0)
        return s;
    if (old.u.s.n == 0) { /* between all characters */
        for (size_t k; ev->code == 0 && count != 0; count -= count > 0) {
            dv__charge(ev, 1);
            dv__sb_str(&b, new);
            if (i >= s.u.s.n)
                return dv__sb_val(&b);
            k = dv__u_len(s, i, NULL);
            dv__sb_str(&b, dv__sub(s, i, k));
            i += k;
        }
    }
    while (old.u.s.n > 0 && count != 0 && ev->code == 0) {
        size_t hit = dv__u_find(ev, s, old, i);
        if (hit == SIZE_MAX)
            break;
        dv__sb_str(&b, dv__sub(s, i, hit - i));
        dv__sb_str(&b, new);
        i = hit + old.u.s.n;
        count -= count > 0;
    }
    if (b.n == 0 && i == 0)
        return ev->code == 0 ? s : dv__undef();
    dv__sb_str(&b, dv__sub(s, i, s.u.s.n - i));
    return dv__sb_val(&b);
}

/* On runs of white space: no empty parts; the last part keeps its trailing space when max is reached. */
static void split_space(dv__ev *ev, val s, int64_t max, dv__list *out)
{
    size_t i = dv__space_left(s.u.s.p, s.u.s.n);
    while (i < s.u.s.n && ev->code == 0) {
        if (max >= 0 && out->n >= (size_t)max) {
            dv__push(ev, out, dv__sub(s, i, s.u.s.n - i));
            return;
        }
        size_t start = i;
        while (i < s.u.s.n) {
            uint32_t cp;
            size_t k = dv__u_len(s, i, &cp);
            if (dv__is_space(cp))
                break;
            i += k;
        }
        dv__charge(ev, (i - start) / 16);
        dv__push(ev, out, dv__sub(s, start, i - start));
        i += dv__space_left(s.u.s.p + i, s.u.s.n - i);
    }
}

dv__list *dv__u_split(dv__ev *ev, val s, val sep, int64_t max)
{
    dv__list *out = dv__new_list(ev, 4);
    if (out == NULL)
        return NULL;
    if (sep.kind != V_STR) {
        split_space(ev, s, max, out);
        return out;
    }
    if (sep.u.s.n == 0) {
        dv__fail(ev, DV_EINVAL, "split() with an empty separator");
        return NULL;
    }
    size_t i = 0;
    for (size_t hit; ev->code == 0 && (max < 0 || out->n < (size_t)max); i = hit + sep.u.s.n) {
        hit = dv__u_find(ev, s, sep, i);
        if (hit == SIZE_MAX)
            break;
        dv__push(ev, out, dv__sub(s, i, hit - i));
    }
    dv__push(ev, out, dv__sub(s, i, s.u.s.n - i));
    return out;
}

dv__list *dv__u_chars(dv__ev *ev, val s)
{
    dv__list *out = dv__new_list(ev, 0);
    for (size_t i = 0, k; out != NULL && i < s.u.s.n && ev->code == 0; i += k) {
        k = dv__u_len(s, i, NULL);
        dv__push(ev, out, dv__sub(s, i, k));
    }
    return out;
}
