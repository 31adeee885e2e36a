/* SPDX-License-Identifier: MIT */
/* What stands around the arguments of a call, per format. These functions look at text that waits: they keep no state but what
 * they find, and are called again when more text has come; heads and tails are short (DV_CHATFMT_MAX_HEAD). */
#include "chat/parse_impl.h"

#include "base/attr.h"

#include <string.h>

#define TRY(x)                    \
    do {                          \
        dv__look look_ = (x);     \
        if (look_ != DV__LOOK_OK) \
            return look_;         \
    } while (0)

bool dv__chat_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void dv__cur_space(dv__cur *c)
{
    while (c->i < c->n && dv__chat_space(c->s[c->i]))
        c->i++;
}

dv__look dv__cur_lit(dv__cur *c, const char *text)
{
    size_t len = strlen(text), have = DV_MIN(c->n - c->i, len);
    if (memcmp(c->s + c->i, text, have) != 0)
        return DV__LOOK_BAD;
    if (have < len)
        return DV__LOOK_NEED;
    c->i += len;
    return DV__LOOK_OK;
}

dv__look dv__cur_mark(dv__cur *c, int mark)
{
    if (c->f->mark[mark] == NULL)
        return DV__LOOK_BAD;
    if (c->i < c->n && (unsigned char)c->s[c->i] == DV__MARK_BYTE + mark) {
        c->i++;
        return DV__LOOK_OK;
    }
    if (c->f->control[mark])
        return c->i == c->n ? DV__LOOK_NEED : DV__LOOK_BAD;
    return dv__cur_lit(c, c->f->mark[mark]);
}

static dv__look peek(const dv__cur *c, char *out)
{
    if (c->i == c->n)
        return DV__LOOK_NEED;
    *out = c->s[c->i];
    return DV__LOOK_OK;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

/* Any value. */
static dv__look value(dv__cur *c)
{
    dv__jscan scan;
    dv__jscan_init(&scan);
    for (; c->i < c->n; c->i++) {
        dv__jscan_result r = dv__jscan_byte(&scan, (unsigned char)c->s[c->i]);
        if (r == DV__JSCAN_BAD)
            return DV__LOOK_BAD;
        c->i += r == DV__JSCAN_DONE;
        if (r != DV__JSCAN_MORE)
            return DV__LOOK_OK;
    }
    return DV__LOOK_NEED;
}

/* A string of at most DV__NAME_MAX bytes, none of them NUL. */
static dv__look string(dv__cur *c, char out[DV__NAME_MAX + 1])
{
    char first;
    TRY(peek(c, &first));
    size_t from = c->i;
    if (first != '"')
        return DV__LOOK_BAD;
    TRY(value(c));
    size_t len = c->i - from - 2;
    if (memchr(c->s + from, '\\', len + 2) == NULL) {
        if (len <= DV__NAME_MAX) {
            memcpy(out, c->s + from + 1, len);
            out[len] = 0;
        }
        return len <= DV__NAME_MAX ? DV__LOOK_OK : DV__LOOK_BAD;
    }
    json_t *j = json_loadb(c->s + from, c->i - from, JSON_DECODE_ANY, NULL);
    const char *text = json_string_value(j);
    size_t n = json_string_length(j);
    bool good = text != NULL && n <= DV__NAME_MAX;
    if (good)
        memcpy(out, text, n + 1);
    json_decref(j);
    return good ? DV__LOOK_OK : DV__LOOK_BAD;
}

static dv__look key(dv__cur *c, char out[DV__NAME_MAX + 1])
{
    TRY(string(c, out));
    dv__cur_space(c);
    TRY(dv__cur_lit(c, ":"));
    dv__cur_space(c);
    return DV__LOOK_OK;
}

/* A key that is not looked for, with its value. */
static dv__look member(dv__cur *c)
{
    char ignored;
    TRY(peek(c, &ignored));
    if (ignored != '"')
        return DV__LOOK_BAD;
    TRY(value(c));
    dv__cur_space(c);
    TRY(dv__cur_lit(c, ":"));
    return value(c);
}

static bool one_of(const char *s, const char *a, const char *b) { return strcmp(s, a) == 0 || strcmp(s, b) == 0; }

/* A key of a call and what belongs to it. *done: the arguments begin at the cursor. */
static dv__look call_member(dv_chatfmt_parser *p, dv__cur *c, bool *named, bool *done)
{
    char name[DV__NAME_MAX + 1], first;
    size_t at = c->i;
    dv__look r = key(c, name);
    if (r == DV__LOOK_BAD) { /* a long key, perhaps */
        c->i = at;
        return member(c);
    }
    TRY(r);
    TRY(peek(c, &first));
    if (one_of(name, "arguments", "parameters")) {
        *done = *named && first == '{';
        return *done ? DV__LOOK_OK : DV__LOOK_BAD;
    }
    if (first == '"' && !*named && one_of(name, "name", "function")) {
        *named = true;
        return string(c, p->name);
    }
    if (first == '{' && !*named && p->nest == 1 && strcmp(name, "function") == 0) {
        c->i++;
        p->nest++;
        return DV__LOOK_OK;
    }
    return value(c);
}

/* Plain JSON is a call only if its first key may be "name", "type" or "function": the grammar of an answer (constraint.c), which lets
 * other JSON pass as content, counts on that. */
static dv__look first_key(dv__cur *c)
{
    char ch;
    dv__cur_space(c);
    dv__cur at = *c;
    TRY(dv__cur_lit(&at, "\""));
    TRY(peek(&at, &ch));
    return ch == 'n' || ch == 't' || ch == 'f' ? DV__LOOK_OK : DV__LOOK_BAD;
}

/* {"name": "f", "arguments": and the like; an object that only has a name is a call without arguments where a marker says so. */
static dv__look call_object(dv_chatfmt_parser *p, dv__cur *c, dv__head *out)
{
    bool named = false, done = false;
    p->nest = 1;
    dv__cur_space(c);
    TRY(dv__cur_lit(c, "{"));
    if (dv__chatfmt_is_plain(p->f->kind))
        TRY(first_key(c));
    for (;;) {
        unsigned nest = p->nest;
        char ch;
        dv__cur_space(c);
        TRY(call_member(p, c, &named, &done));
        if (done)
            break;
        if (p->nest != nest) /* inside "function" now */
            continue;
        dv__cur_space(c);
        TRY(peek(c, &ch));
        if (ch != ',' && ch != '}')
            return DV__LOOK_BAD;
        c->i++;
        if (ch == '}') {
            p->nest--;
            out->no_args = true;
            break;
        }
    }
    out->len = c->i;
    return named && p->name[0] != 0 && !(out->no_args && dv__chatfmt_is_plain(p->f->kind)) ? DV__LOOK_OK : DV__LOOK_BAD;
}

/* ---- heads --------------------------------------------------------------------------------------------------------- */

/* A name up to a marker or another byte; without white space. */
static dv__look bare_name(dv__cur *c, char out[DV__NAME_MAX + 1])
{
    size_t n = 0;
    for (; c->i + n < c->n; n++) {
        unsigned char ch = (unsigned char)c->s[c->i + n];
        bool good = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_' ||
                    ch == '-' || ch == '.';
        if (good && n < DV__NAME_MAX)
            continue;
        if (good || n == 0)
            return DV__LOOK_BAD;
        memcpy(out, c->s + c->i, n);
        out[n] = 0;
        c->i += n;
        return DV__LOOK_OK;
    }
    return DV__LOOK_NEED;
}

/* A list of calls or one call. */
static dv__look list_or_one(dv_chatfmt_parser *p, dv__cur *c, dv__head *out)
{
    char ch;
    dv__cur_space(c);
    TRY(peek(c, &ch));
    p->style = ch == '[' ? DV__STYLE_LIST : DV__STYLE_ONE;
    c->i += ch == '[';
    return call_object(p, c, out);
}

/* name, perhaps [CALL_ID] and an id, [ARGS], arguments. */
static dv__look mistral_head(dv_chatfmt_parser *p, dv__cur *c, dv__head *out)
{
    char ch, id[DV__NAME_MAX + 1];
    dv__cur_space(c);
    TRY(peek(c, &ch));
    if (ch == '[')
        return list_or_one(p, c, out);
    p->style = DV__STYLE_NAME;
    TRY(bare_name(c, p->name));
    dv__look r = dv__cur_mark(c, DV__MARK_SEP2);
    if (r == DV__LOOK_OK) {
        TRY(bare_name(c, id));
        TRY(dv__cur_mark(c, DV__MARK_SEP));
    } else if (r == DV__LOOK_NEED || dv__cur_mark(c, DV__MARK_SEP) == DV__LOOK_NEED) {
        return DV__LOOK_NEED;
    }
    dv__cur_space(c);
    out->len = c->i;
    TRY(peek(c, &ch));
    return ch == '{' ? DV__LOOK_OK : DV__LOOK_BAD;
}

/* V3: [calls begin] call begin, "function", separator, name, line, fence. V3.1: [calls begin] call begin, name, separator. */
static dv__look deepseek_head(dv_chatfmt_parser *p, dv__cur *c, bool list, dv__head *out)
{
    char ch;
    p->style = DV__STYLE_FENCE;
    p->fenced = false;
    dv__cur_space(c);
    if (list)
        TRY(dv__cur_mark(c, DV__MARK_BEGIN2));
    TRY(bare_name(c, p->name));
    TRY(dv__cur_mark(c, DV__MARK_SEP));
    dv__cur_space(c);
    TRY(peek(c, &ch));
    if (ch != '{') {
        TRY(bare_name(c, p->name));
        dv__cur_space(c);
        TRY(dv__cur_lit(c, "```json"));
        dv__cur_space(c);
        p->fenced = true;
        TRY(peek(c, &ch));
    }
    out->len = c->i;
    return ch == '{' ? DV__LOOK_OK : DV__LOOK_BAD;
}

/* ``` and a word, as models like to put around JSON. */
static dv__look open_fence(dv__cur *c)
{
    TRY(dv__cur_lit(c, "```"));
    while (c->i < c->n && ((c->s[c->i] >= 'a' && c->s[c->i] <= 'z') || c->s[c->i] == '_'))
        c->i++;
    dv__cur_space(c);
    return DV__LOOK_OK;
}

/* {"tool_calls": [ of the generic form; BAD leaves the cursor where it was. */
static dv__look wrapper(dv__cur *c)
{
    char name[DV__NAME_MAX + 1];
    dv__cur w = *c;
    TRY(dv__cur_lit(&w, "{"));
    dv__cur_space(&w);
    TRY(key(&w, name));
    if (strcmp(name, "tool_calls") != 0)
        return DV__LOOK_BAD;
    TRY(dv__cur_lit(&w, "["));
    *c = w;
    return DV__LOOK_OK;
}

static bool is_tool(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *fn = json_object_get(json_array_get(tools, i), "function");
        if (strcmp(json_string_value(json_object_get(fn, "name")), name) == 0)
            return true;
    }
    return false;
}

/* JSON without a marker is a call only if it names a tool of the request. */
static dv__look plain_head(dv_chatfmt_parser *p, dv__cur *c, dv__head *out)
{
    char ch;
    dv__cur_space(c);
    TRY(peek(c, &ch));
    p->fenced = ch == '`';
    if (p->fenced)
        TRY(open_fence(c));
    dv__look r = wrapper(c);
    if (r == DV__LOOK_NEED)
        return r;
    if (r == DV__LOOK_OK) {
        p->style = DV__STYLE_WRAP;
        TRY(call_object(p, c, out));
    } else {
        TRY(list_or_one(p, c, out));
    }
    return is_tool(p->tools, p->name) ? DV__LOOK_OK : DV__LOOK_BAD;
}

dv__look dv__call_head(dv_chatfmt_parser *p, const char *s, size_t n, dv__head *out)
{
    dv__cur c = {.f = p->f, .s = s, .n = n};
    *out = (dv__head){0};
    p->name[0] = 0;
    if (p->next) {
        TRY(call_object(p, &c, out));
        return !dv__chatfmt_is_plain(p->f->kind) || is_tool(p->tools, p->name) ? DV__LOOK_OK : DV__LOOK_BAD;
    }
    p->fenced = false;
    switch (p->f->kind) {
    case DV_CHATFMT_MISTRAL:
    case DV_CHATFMT_MISTRAL_ARGS: return mistral_head(p, &c, out);
    case DV_CHATFMT_DEEPSEEK:
    case DV_CHATFMT_DEEPSEEK_31: {
        dv__cur opened = {.f = p->f, .s = p->in.data + p->mark, .n = p->open};
        dv__cur_space(&opened);
        return deepseek_head(p, &c, dv__cur_mark(&opened, DV__MARK_BEGIN) == DV__LOOK_OK, out);
    }
    case DV_CHATFMT_HERMES:
    case DV_CHATFMT_PHI4: return list_or_one(p, &c, out);
    default: return plain_head(p, &c, out);
    }
}

/* ---- tails --------------------------------------------------------------------------------------------------------- */

/* The rest of the objects around the arguments. */
static dv__look close_objects(dv__cur *c, unsigned n)
{
    char ch;
    while (n > 0) {
        dv__cur_space(c);
        TRY(peek(c, &ch));
        c->i++;
        if (ch == '}') {
            n--;
        } else if (ch == ',') {
            dv__cur_space(c);
            TRY(member(c));
        } else {
            return DV__LOOK_BAD;
        }
    }
    return DV__LOOK_OK;
}

static dv__look close_list(dv__cur *c, bool *next, size_t *at)
{
    char ch;
    dv__cur_space(c);
    TRY(peek(c, &ch));
    if (ch != ',' && ch != ']')
        return DV__LOOK_BAD;
    *next = ch == ',';
    *at = c->i;
    c->i += ch == ']';
    return DV__LOOK_OK;
}

/* What the format wants behind a call or a list of calls. */
static dv__look close_all(const dv_chatfmt_parser *p, dv__cur *c)
{
    if (p->style == DV__STYLE_NAME)
        return DV__LOOK_OK;
    dv__cur_space(c);
    if (p->fenced)
        TRY(dv__cur_lit(c, "```"));
    if (p->f->kind != DV_CHATFMT_HERMES && p->style != DV__STYLE_FENCE)
        return DV__LOOK_OK;
    dv__cur_space(c);
    return dv__cur_mark(c, DV__MARK_END);
}

dv__look dv__call_tail(const dv_chatfmt_parser *p, const char *s, size_t n, size_t *len, bool *next)
{
    dv__cur c = {.f = p->f, .s = s, .n = n};
    bool list = p->style == DV__STYLE_LIST || p->style == DV__STYLE_WRAP;
    *next = false;
    if (list || p->style == DV__STYLE_ONE)
        TRY(close_objects(&c, p->nest));
    if (list)
        TRY(close_list(&c, next, len));
    if (*next)
        return DV__LOOK_OK;
    if (p->style == DV__STYLE_WRAP)
        TRY(close_objects(&c, 1));
    TRY(close_all(p, &c));
    *len = c.i;
    return DV__LOOK_OK;
}
