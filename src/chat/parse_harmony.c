/* SPDX-License-Identifier: MIT */
/* Heads of Harmony messages: <|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>, in which the
 * recipient may also stand behind the role. The prompt ends with <|start|>assistant, so an answer begins in the middle of one. */
#include "base/attr.h"
#include "chat/parse_impl.h"

#include <string.h>

/* What closes a message, and white space. */
static dv__look skip_ends(dv__cur *c)
{
    static const int ends[] = {DV__MARK_END, DV__MARK_END2, DV__MARK_THINK};
    for (size_t k = 0; k < DV_ARRAY_LEN(ends);) {
        dv__cur_space(c);
        if (c->i == c->n)
            return DV__LOOK_NEED;
        dv__look r = dv__cur_mark(c, ends[k]);
        if (r == DV__LOOK_NEED)
            return r;
        k = r == DV__LOOK_OK ? 0 : k + 1;
    }
    return DV__LOOK_OK;
}

/* Whether a head begins here. */
static dv__look begins(const dv__cur *at)
{
    static const int marks[] = {DV__MARK_BEGIN, DV__MARK_BEGIN2, DV__MARK_SEP, DV__MARK_SEP2};
    dv__cur c = *at;
    dv__look all = dv__cur_lit(&c, "to=");
    for (size_t k = 0; k < DV_ARRAY_LEN(marks) && all != DV__LOOK_OK; k++) {
        dv__look r = dv__cur_mark(&c, marks[k]);
        all = r == DV__LOOK_BAD ? all : r;
    }
    return all;
}

/* A word of the head that begins with prefix; "" if there is none. */
static void word_after(const char *s, size_t n, const char *prefix, char out[DV__NAME_MAX + 1])
{
    size_t len = strlen(prefix), k = 0;
    out[0] = 0;
    for (size_t i = 0; i + len <= n; i++) {
        if (memcmp(s + i, prefix, len) != 0)
            continue;
        for (i += len; i + k < n && k < DV__NAME_MAX; k++) {
            char ch = s[i + k];
            if (dv__chat_space(ch) || ch == '<' || (unsigned char)ch >= DV__MARK_BYTE)
                break;
            out[k] = ch;
        }
        out[k] = 0;
        return;
    }
}

/* The channel is the word behind the last <|channel|>. */
static void read_channel(dv_chatfmt_parser *p, const char *s, size_t n)
{
    bool analysis = false;
    for (size_t i = 0; i < n; i++) {
        dv__cur c = {.f = p->f, .s = s, .n = n, .i = i};
        if (dv__cur_mark(&c, DV__MARK_BEGIN2) == DV__LOOK_OK) {
            dv__cur_space(&c);
            analysis = dv__cur_lit(&c, "analysis") == DV__LOOK_OK;
        }
    }
    p->channel = analysis && !p->o.keep_thinking ? DV_CHATFMT_REASONING : DV_CHATFMT_CONTENT;
}

dv__look dv__harmony_header(dv_chatfmt_parser *p, const char *s, size_t n, size_t *len)
{
    dv__cur c = {.f = p->f, .s = s, .n = n};
    p->name[0] = 0;
    *len = 0;
    dv__look r = skip_ends(&c);
    if (r != DV__LOOK_OK)
        return r;
    *len = c.i;
    if ((r = begins(&c)) != DV__LOOK_OK)
        return r;
    size_t from = c.i;
    for (;; c.i++) {
        size_t at = c.i;
        if (at == n)
            return DV__LOOK_NEED;
        r = dv__cur_mark(&c, DV__MARK_SEP);
        if (r == DV__LOOK_NEED)
            return r;
        if (r == DV__LOOK_OK) {
            read_channel(p, s + from, at - from);
            word_after(s + from, at - from, "to=functions.", p->name);
            break;
        }
    }
    size_t body = c.i;
    if (p->name[0] != 0) {
        dv__cur_space(&c);
        if (c.i == n)
            return DV__LOOK_NEED;
        if (s[c.i] != '{')
            p->name[0] = 0;
        else
            body = c.i;
    }
    *len = body;
    return DV__LOOK_OK;
}
