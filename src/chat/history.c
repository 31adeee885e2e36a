/* SPDX-License-Identifier: MIT */
#include "chat/history.h"

#include "base/err.h"
#include "base/json.h"
#include "chat/jscan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dv__chat_path(char out[DV__PATH], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out, DV__PATH, fmt, ap);
    va_end(ap);
    return out;
}

const json_t *dv__chat_get(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_null(v) ? NULL : v;
}

int dv__chat_put(json_t *obj, const char *key, json_t *value, dv_err *err)
{
    return json_object_set_new(obj, key, value) == 0 ? 0 : dv_fail(err, DV_ENOMEM, "no memory for a conversation");
}

int dv__chat_push(json_t *list, json_t *value, dv_err *err)
{
    return json_array_append_new(list, value) == 0 ? 0 : dv_fail(err, DV_ENOMEM, "no memory for a conversation");
}

json_t *dv__chat_text(dv_buf *b) { return b->code == 0 ? json_stringn(dv_buf_str(b), b->len) : NULL; }

bool dv__chat_is(const json_t *string, const char *text)
{
    return json_is_string(string) && strcmp(json_string_value(string), text) == 0;
}

int dv__chat_need_str(const char **out, const json_t *obj, const char *key, const char *at, dv_err *err)
{
    const json_t *v = dv__chat_get(obj, key);
    if (v == NULL)
        return dv_fail(err, DV_EINVAL, "%s.%s is missing", at, key);
    if (!json_is_string(v))
        return dv_fail(err, DV_EINVAL, "%s.%s must be a string", at, key);
    *out = json_string_value(v);
    if (**out == 0)
        return dv_fail(err, DV_EINVAL, "%s.%s is empty", at, key);
    return 0;
}

int dv__chat_check_name(const char *name, const char *at, dv_err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t n = strlen(name);
    if (n > DV_CHAT_MAX_NAME)
        return dv_fail(err, DV_EINVAL, "%s is longer than %d bytes", at, DV_CHAT_MAX_NAME);
    if (n == 0 || strspn(name, allowed) != n)
        return dv_fail(err, DV_EINVAL, "%s must be made of letters, digits, '_', '-' and '.'", at);
    return 0;
}

int dv__history_init(dv__history *h, dv_err *err)
{
    *h = (dv__history){.list = json_array(), .names = json_object()};
    if (h->list != NULL && h->names != NULL)
        return 0;
    dv__history_fini(h);
    return dv_fail(err, DV_ENOMEM, "no memory for a conversation");
}

void dv__history_fini(dv__history *h)
{
    json_decref(h->list);
    json_decref(h->names);
    *h = (dv__history){0};
}

bool dv__chat_in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    if (strchr(word, ' ') != NULL)
        return false;
    for (const char *p = list; n > 0 && (p = strstr(p, word)) != NULL; p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}

static int refuse_part(const char *type, const char *at, dv_err *err)
{
    const char *what = strstr(type, "image") != NULL                                      ? "images are"
                       : strstr(type, "audio") != NULL                                    ? "audio is"
                       : strstr(type, "file") != NULL || strstr(type, "document") != NULL ? "files are"
                                                                                          : NULL;
    if (what != NULL)
        return dv_fail(err, DV_EINVAL, "%s: %s not supported (type \"%.40s\")", at, what, type);
    return dv_fail(err, DV_EINVAL, "%s.type \"%.40s\" is not supported", at, type);
}

int dv__history_content(dv_buf *out, const json_t *content, const char *what, const char *at, dv_err *err)
{
    if (json_is_string(content))
        return dv_buf_add(out, json_string_value(content), json_string_length(content)) == 0
                   ? 0
                   : dv_fail(err, out->code, "no memory for a conversation");
    if (!json_is_array(content))
        return dv_fail(err, DV_EINVAL, "%s must be a string or a list of content parts", at);
    size_t n = json_array_size(content);
    if (n > DV_CHAT_MAX_PARTS)
        return dv_fail(err, DV_ELIMIT, "%s has %zu parts; the limit is %d", at, n, DV_CHAT_MAX_PARTS);
    for (size_t i = 0; i < n; i++) {
        char part_at[DV__PATH];
        const json_t *part = json_array_get(content, i);
        const char *type;
        dv__chat_path(part_at, "%s[%zu]", at, i);
        if (!json_is_object(part))
            return dv_fail(err, DV_EINVAL, "%s must be an object", part_at);
        int r = dv__chat_need_str(&type, part, "type", part_at, err);
        if (r != 0)
            return r;
        if (!dv__chat_in_list(what, type))
            return refuse_part(type, part_at, err);
        const char *key = strcmp(type, "refusal") == 0    ? "refusal"
                          : strcmp(type, "thinking") == 0 ? "thinking"
                                                          : "text";
        const json_t *text = dv__chat_get(part, key);
        if (!json_is_string(text))
            return dv_fail(err, DV_EINVAL, "%s.%s must be a string", part_at, key);
        if (i > 0)
            dv_buf_addc(out, '\n');
        if (dv_buf_add(out, json_string_value(text), json_string_length(text)) != 0)
            return dv_fail(err, out->code, "no memory for a conversation");
    }
    return 0;
}

/* A new message at the end of the list; borrowed. */
static json_t *new_message(dv__history *h, const char *role, dv_err *err)
{
    json_t *m = json_pack("{s:s}", "role", role);
    h->turn = NULL;
    return dv__chat_push(h->list, m, err) == 0 ? m : NULL;
}

int dv__history_add(dv__history *h, const char *role, dv_buf *content, const char *name, dv_err *err)
{
    json_t *m = new_message(h, role, err);
    int r = m != NULL ? dv__chat_put(m, "content", dv__chat_text(content), err) : DV_ENOMEM;
    if (r == 0 && name != NULL)
        r = dv__chat_put(m, "name", json_string(name), err);
    return r;
}

int dv__history_result(dv__history *h, const char *id, const char *id_at, dv_buf *content, dv_err *err)
{
    const char *name = json_string_value(json_object_get(h->names, id));
    if (name == NULL)
        return dv_fail(err, DV_EINVAL, "%s \"%.64s\" answers no tool call before it", id_at, id);
    int r = dv__history_add(h, "tool", content, name, err);
    return r == 0 ? dv__chat_put(json_array_get(h->list, json_array_size(h->list) - 1), "tool_call_id", json_string(id),
                                 err)
                  : r;
}

int dv__history_turn(dv__history *h, bool join, dv_err *err)
{
    if (join && h->turn != NULL)
        return 0;
    json_t *m = new_message(h, "assistant", err);
    int r = m != NULL ? dv__chat_put(m, "content", json_null(), err) : DV_ENOMEM;
    h->turn = r == 0 ? m : NULL;
    return r;
}

int dv__history_say(dv__history *h, const char *key, dv_buf *text, dv_err *err)
{
    const json_t *before = json_object_get(h->turn, key);
    if (!json_is_string(before))
        return dv__chat_put(h->turn, key, dv__chat_text(text), err);
    dv_buf all;
    dv_buf_init(&all, 0);
    dv_buf_add(&all, json_string_value(before), json_string_length(before));
    dv_buf_addc(&all, '\n');
    dv_buf_add(&all, dv_buf_str(text), text->len);
    int r = dv__chat_put(h->turn, key, dv__chat_text(&all), err);
    dv_buf_fini(&all);
    return r;
}

static bool well_formed_object(const char *s, size_t n)
{
    size_t i = strspn(s, " \t\r\n");
    dv__jscan scan;
    dv__jscan_result r = DV__JSCAN_MORE;
    dv__jscan_init(&scan);
    if (i == n || s[i] != '{')
        return false;
    while (r == DV__JSCAN_MORE && i < n)
        r = dv__jscan_byte(&scan, (unsigned char)s[i++]);
    return r == DV__JSCAN_DONE && i + strspn(s + i, " \t\r\n") == n;
}

/* The text of a JSON object. Numbers may be larger than jansson holds: they stay text. */
static int check_object(const char *s, size_t n, const char *at, dv_err *err)
{
    json_error_t e;
    json_t *parsed = json_loadb(s, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    bool object = json_is_object(parsed);
    json_decref(parsed);
    if (parsed != NULL)
        return object ? 0 : dv_fail(err, DV_EINVAL, "%s is not a JSON object", at);
    int code = (int)json_error_code(&e);
    if (!well_formed_object(s, n) || code == json_error_null_byte_in_key)
        return dv_fail(err, DV_EINVAL, "%s is not valid JSON: %s", at, e.text);
    if (code == json_error_numeric_overflow)
        return 0;
    return dv_fail(err, DV_ENOMEM, "no memory for a conversation"); /* whatever jansson calls it */
}

/* The arguments as the text of a JSON object; a new reference. */
static int arguments_text(json_t **out, const json_t *arguments, const char *at, dv_err *err)
{
    if (json_is_object(arguments)) {
        dv_buf text;
        dv_buf_init(&text, 0);
        dv_json_dump(&text, arguments, JSON_COMPACT);
        *out = dv__chat_text(&text);
        dv_buf_fini(&text);
        return *out != NULL ? 0 : dv_fail(err, DV_ENOMEM, "no memory for a conversation");
    }
    if (!json_is_string(arguments))
        return dv_fail(err, DV_EINVAL, "%s must be a string that holds a JSON object", at);
    const char *s = json_string_value(arguments);
    size_t n = json_string_length(arguments);
    if (strspn(s, " \t\r\n") == n) { /* how some clients write "no arguments" */
        s = "{}";
        n = 2;
    }
    int r = check_object(s, n, at, err);
    if (r != 0)
        return r;
    *out = json_stringn(s, n);
    return *out != NULL ? 0 : dv_fail(err, DV_ENOMEM, "no memory for a conversation");
}

static bool has_id(const json_t *calls, const char *id)
{
    for (size_t i = 0; i < json_array_size(calls); i++)
        if (dv__chat_is(json_object_get(json_array_get(calls, i), "id"), id))
            return true;
    return false;
}

int dv__history_call(dv__history *h, const char *id, const char *name, const json_t *arguments, const char *at,
                     const char *args_at, dv_err *err)
{
    json_t *calls = json_object_get(h->turn, "tool_calls"), *text = NULL;
    int r = 0;
    if (calls == NULL) {
        r = dv__chat_put(h->turn, "tool_calls", json_array(), err);
        calls = json_object_get(h->turn, "tool_calls");
    }
    if (r == 0 && json_array_size(calls) >= DV_CHAT_MAX_CALLS)
        r = dv_fail(err, DV_ELIMIT, "%s: more than %d tool calls in one message", at, DV_CHAT_MAX_CALLS);
    if (r == 0 && has_id(calls, id))
        r = dv_fail(err, DV_EINVAL, "%s: two tool calls have the id \"%.64s\"", at, id);
    if (r == 0)
        r = arguments_text(&text, arguments, args_at, err);
    if (r == 0)
        r = dv__chat_push(calls,
                          json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", id, "type", "function", "function", "name", name,
                                    "arguments", text),
                          err);
    return r == 0 ? dv__chat_put(h->names, id, json_string(name), err) : r;
}
