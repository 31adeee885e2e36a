/* SPDX-License-Identifier: MIT */
/* Internal messages to what a template takes. The list is built anew; texts are shared with the request. */
#include "base/err.h"
#include "chat/format_impl.h"
#include "chat/history.h"

#include <string.h>

typedef struct adapter {
    const dv_chatfmt *f;
    const json_t *in;
    size_t n;
    json_t *out;
    dv_buf front; /* system text that waits for the first user message */
    dv_err *err;
} adapter;

static int no_memory(adapter *a) { return dv_fail(a->err, DV_ENOMEM, "no memory for a conversation"); }

static json_t *content_value(const adapter *a, json_t *text)
{
    if (!a->f->caps.part_content || !json_is_string(text))
        return text;
    return json_pack("[{s:s, s:o}]", "type", "text", "text", text);
}

/* Text of a message before it; NULL if it cannot be added to. */
static const json_t *mergeable(const adapter *a, const char *role)
{
    const json_t *m = json_array_get(a->out, json_array_size(a->out) - 1);
    if (!a->f->caps.alternate || m == NULL || !dv__chat_is(json_object_get(m, "role"), role) ||
        json_object_get(m, "tool_calls") != NULL || strcmp(role, "tool") == 0)
        return NULL;
    const json_t *text = json_object_get(m, "content");
    return json_is_string(text) ? text : json_object_get(json_array_get(text, 0), "text");
}

/* Add a message of some role with text, or to the one before it where roles must alternate. name: may be NULL. */
static int say(adapter *a, const char *role, const char *text, size_t n, const json_t *name)
{
    const json_t *before = mergeable(a, role);
    dv_buf all;
    dv_buf_init(&all, 0);
    if (before != NULL) {
        dv_buf_add(&all, json_string_value(before), json_string_length(before));
        dv_buf_adds(&all, "\n\n");
    } else if (strcmp(role, "user") == 0 && a->front.len > 0) {
        dv_buf_add(&all, a->front.data, a->front.len);
        dv_buf_adds(&all, "\n\n");
        dv_buf_clear(&a->front);
    }
    dv_buf_add(&all, text, n);
    json_t *content = content_value(a, dv__chat_text(&all));
    dv_buf_fini(&all);
    if (before != NULL)
        return dv__chat_put(json_array_get(a->out, json_array_size(a->out) - 1), "content", content, a->err);
    json_t *m = json_pack("{s:s}", "role", role);
    int r = dv__chat_push(a->out, m, a->err);
    if (r != 0)
        json_decref(content);
    else
        r = dv__chat_put(m, "content", content, a->err);
    return r == 0 && name != NULL ? dv__chat_put(m, "name", json_incref((json_t *)name), a->err) : r;
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

/* Mistral's templates refuse ids that are not nine letters or digits; others become nine by a hash (FNV-1a). */
static json_t *fit_id(const adapter *a, const json_t *id)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *s = json_string_value(id);
    bool mistral = a->f->kind == DV_CHATFMT_MISTRAL || a->f->kind == DV_CHATFMT_MISTRAL_ARGS;
    if (!mistral || (strlen(s) == 9 && strspn(s, alphabet) == 9))
        return json_incref((json_t *)id);
    uint64_t h = 0xcbf29ce484222325u;
    char nine[9];
    for (; *s != 0; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    for (size_t i = 0; i < sizeof nine; i++, h /= 62)
        nine[i] = alphabet[h % 62];
    return json_stringn(nine, sizeof nine);
}

/* As text, or as an object; numbers that JSON readers find too large become floating-point ones, or stay text. */
static json_t *fit_arguments(const adapter *a, const json_t *text)
{
    if (!a->f->caps.object_arguments)
        return json_incref((json_t *)text);
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    json_t *obj = json_loadb(s, n, JSON_ALLOW_NUL, NULL);
    if (obj == NULL)
        obj = json_loadb(s, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    return obj != NULL ? obj : json_incref((json_t *)text);
}

static json_t *fit_call(const adapter *a, const json_t *call)
{
    const json_t *fn = json_object_get(call, "function");
    return json_pack("{s:o, s:s, s:{s:O, s:o}}", "id", fit_id(a, json_object_get(call, "id")), "type", "function",
                     "function", "name", json_object_get(fn, "name"), "arguments",
                     fit_arguments(a, json_object_get(fn, "arguments")));
}

/* The thoughts, under both names that templates read. */
static int add_reasoning(adapter *a, json_t *m, const json_t *from)
{
    const json_t *text = json_object_get(from, "reasoning_content");
    int r = text != NULL ? dv__chat_put(m, "reasoning_content", json_incref((json_t *)text), a->err) : 0;
    return r == 0 && text != NULL ? dv__chat_put(m, "thinking", json_incref((json_t *)text), a->err) : r;
}

/* A message with the calls [from, to) of m; the first one has its content and thoughts. */
static int add_calls(adapter *a, const json_t *m, size_t from, size_t to)
{
    const json_t *text = json_object_get(m, "content"), *list = json_object_get(m, "tool_calls");
    bool has_text = from == 0 && json_string_length(text) > 0;
    if (has_text && a->f->caps.null_content) { /* the template would show one or the other */
        int r = say(a, "assistant", json_string_value(text), json_string_length(text), NULL);
        if (r != 0)
            return r;
        has_text = false;
    }
    json_t *content = has_text ? json_incref((json_t *)text) : a->f->no_null ? json_string("") : json_null();
    json_t *calls = json_array(), *out = json_pack("{s:s}", "role", "assistant");
    int r = dv__chat_push(a->out, out, a->err);
    if (r != 0) {
        json_decref(content);
        json_decref(calls);
        return r;
    }
    r = dv__chat_put(out, "tool_calls", calls, a->err);
    int r2 = dv__chat_put(out, "content", content_value(a, content), a->err);
    for (size_t i = from; r == 0 && i < to; i++)
        r = dv__chat_push(calls, fit_call(a, json_array_get(list, i)), a->err);
    if (r == 0 && from == 0)
        r = add_reasoning(a, out, m);
    return r != 0 ? r : r2;
}

static int add_result(adapter *a, const json_t *m)
{
    const json_t *text = json_object_get(m, "content"), *name = json_object_get(m, "name");
    if (a->f->caps.results) {
        int r = say(a, "tool", json_string_value(text), json_string_length(text), name);
        json_t *last = json_array_get(a->out, json_array_size(a->out) - 1);
        return r == 0 ? dv__chat_put(last, "tool_call_id", fit_id(a, json_object_get(m, "tool_call_id")), a->err) : r;
    }
    dv_buf all;
    dv_buf_init(&all, 0);
    dv_buf_printf(&all, "Result of the tool %s:\n", json_string_value(name));
    dv_buf_add(&all, json_string_value(text), json_string_length(text));
    int r = all.code == 0 ? say(a, "user", all.data, all.len, NULL) : no_memory(a);
    dv_buf_fini(&all);
    return r;
}

/* Call, its result, call, its result, for templates that take one call at a time. *i is moved over the results. */
static int one_by_one(adapter *a, const json_t *m, size_t *i)
{
    const json_t *list = json_object_get(m, "tool_calls");
    size_t end = *i + 1;
    while (end < a->n && dv__chat_is(json_object_get(json_array_get(a->in, end), "role"), "tool"))
        end++;
    int r = 0;
    for (size_t k = 0; r == 0 && k < json_array_size(list); k++) {
        const char *id = json_string_value(json_object_get(json_array_get(list, k), "id"));
        r = add_calls(a, m, k, k + 1);
        for (size_t j = *i + 1; r == 0 && j < end; j++)
            if (dv__chat_is(json_object_get(json_array_get(a->in, j), "tool_call_id"), id))
                r = add_result(a, json_array_get(a->in, j));
    }
    *i = end - 1;
    return r;
}

/* Calls as text of the answer. */
static int spell_calls(adapter *a, const json_t *m)
{
    const json_t *text = json_object_get(m, "content");
    dv_buf all;
    dv_buf_init(&all, 0);
    dv_buf_add(&all, json_string_value(text), json_string_length(text));
    if (all.len > 0)
        dv_buf_adds(&all, "\n");
    dv__chatfmt_spell_calls(a->f->kind, json_object_get(m, "tool_calls"), &all);
    int r = all.code == 0 ? say(a, "assistant", all.data, all.len, NULL) : no_memory(a);
    dv_buf_fini(&all);
    return r;
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

static int assistant(adapter *a, const json_t *m, size_t *i)
{
    const json_t *list = json_object_get(m, "tool_calls"), *text = json_object_get(m, "content");
    size_t n = json_array_size(list);
    if (n > 0 && !a->f->caps.calls)
        return spell_calls(a, m);
    if (n > 1 && !a->f->caps.parallel)
        return one_by_one(a, m, i);
    if (n > 0)
        return add_calls(a, m, 0, n);
    int r = say(a, "assistant", json_is_string(text) ? json_string_value(text) : "", json_string_length(text), NULL);
    return r == 0 ? add_reasoning(a, json_array_get(a->out, json_array_size(a->out) - 1), m) : r;
}

static int one_message(adapter *a, size_t *i)
{
    const json_t *m = json_array_get(a->in, *i), *role = json_object_get(m, "role");
    const json_t *text = json_object_get(m, "content");
    if (dv__chat_is(role, "assistant"))
        return assistant(a, m, i);
    if (dv__chat_is(role, "tool"))
        return add_result(a, m);
    /* Where roles alternate there is no place for a system message but the first. */
    bool system =
        dv__chat_is(role, "system") && a->f->caps.system && !(a->f->caps.alternate && json_array_size(a->out) > 0);
    return say(a, system ? "system" : "user", json_string_value(text), json_string_length(text),
               json_object_get(m, "name"));
}

/* All system messages at the beginning, and the description of the tools, as one. *i is moved over them. */
static int system_first(adapter *a, const dv_chattools *tools, size_t *i)
{
    dv_buf all;
    dv_buf_init(&all, 0);
    for (; *i < a->n && dv__chat_is(json_object_get(json_array_get(a->in, *i), "role"), "system"); (*i)++) {
        const json_t *text = json_object_get(json_array_get(a->in, *i), "content");
        if (all.len > 0)
            dv_buf_adds(&all, "\n\n");
        dv_buf_add(&all, json_string_value(text), json_string_length(text));
    }
    bool any = *i > 0, describe = tools != NULL && tools->list != NULL && tools->choice != DV_TOOLCHOICE_NONE;
    if (describe && !a->f->caps.tools) {
        if (all.len > 0)
            dv_buf_adds(&all, "\n\n");
        dv__chatfmt_describe(a->f->kind, tools, &all);
        any = true;
    }
    int r = all.code != 0 ? no_memory(a) : 0;
    if (r == 0 && any && a->f->caps.system)
        r = say(a, "system", dv_buf_str(&all), all.len, NULL);
    else if (r == 0 && any && dv_buf_add(&a->front, dv_buf_str(&all), all.len) != 0)
        r = no_memory(a);
    dv_buf_fini(&all);
    return r;
}

int dv__chatfmt_adapt(const dv_chatfmt *f, const dv_chatfmt_input *in, size_t n_msgs, json_t **out, dv_err *err)
{
    adapter a = {.f = f, .in = in->messages, .n = n_msgs, .out = json_array(), .err = err};
    size_t i = 0;
    *out = NULL;
    dv_buf_init(&a.front, 0);
    int r = a.out != NULL ? system_first(&a, in->tools, &i) : no_memory(&a);
    for (; r == 0 && i < n_msgs; i++)
        r = one_message(&a, &i);
    if (r == 0 && a.front.len > 0) /* nobody else has said anything */
        r = say(&a, "user", "", 0, NULL);
    if (r == 0)
        *out = a.out;
    else
        json_decref(a.out);
    dv_buf_fini(&a.front);
    return r;
}
