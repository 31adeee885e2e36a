/* SPDX-License-Identifier: MIT */
/* Input items of OpenAI's Responses API. Items of one answer (reasoning, message, calls) become one message. */
#include "base/err.h"
#include "chat/history.h"

#include <string.h>

static int say(dv__history *h, const char *key, const json_t *content, const char *what, const char *at, dv_err *err)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    int r = dv__history_content(&text, content, what, at, err);
    if (r == 0 && (text.len > 0 || strcmp(key, "content") == 0))
        r = dv__history_say(h, key, &text, err);
    dv_buf_fini(&text);
    return r;
}

static int message_item(dv__history *h, const json_t *item, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *role;
    const json_t *content = dv__chat_get(item, "content");
    int r = dv__chat_need_str(&role, item, "role", at, err);
    if (r != 0)
        return r;
    if (content == NULL)
        return dv_fail(err, DV_EINVAL, "%s.content is missing", at);
    dv__chat_path(sub, "%s.content", at);
    if (strcmp(role, "assistant") == 0) {
        /* After content of the same turn another message begins; after thoughts alone it goes on. */
        bool join = h->turn != NULL && json_is_null(json_object_get(h->turn, "content")) &&
                    json_object_get(h->turn, "tool_calls") == NULL;
        r = dv__history_turn(h, join, err);
        return r == 0 ? say(h, "content", content, "output_text text refusal", sub, err) : r;
    }
    bool system = strcmp(role, "system") == 0 || strcmp(role, "developer") == 0;
    if (!system && strcmp(role, "user") != 0)
        return dv_fail(err, DV_EINVAL, "%s.role \"%.40s\" is not known: it is system, developer, user or assistant", at,
                       role);
    dv_buf text;
    dv_buf_init(&text, 0);
    r = dv__history_content(&text, content, "input_text text output_text", sub, err);
    if (r == 0)
        r = dv__history_add(h, system ? "system" : "user", &text, NULL, err);
    dv_buf_fini(&text);
    return r;
}

static int call_item(dv__history *h, const json_t *item, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *id, *name;
    const json_t *arguments = dv__chat_get(item, "arguments");
    int r = dv__chat_need_str(&id, item, "call_id", at, err);
    if (r == 0)
        r = dv__chat_need_str(&name, item, "name", at, err);
    if (r == 0)
        r = dv__chat_check_name(name, dv__chat_path(sub, "%s.name", at), err);
    if (r != 0)
        return r;
    if (arguments == NULL)
        return dv_fail(err, DV_EINVAL, "%s.arguments is missing", at);
    r = dv__history_turn(h, true, err);
    return r == 0 ? dv__history_call(h, id, name, arguments, at, dv__chat_path(sub, "%s.arguments", at), err) : r;
}

static int output_item(dv__history *h, const json_t *item, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *id;
    const json_t *output = dv__chat_get(item, "output");
    int r = dv__chat_need_str(&id, item, "call_id", at, err);
    if (r != 0)
        return r;
    if (output == NULL)
        return dv_fail(err, DV_EINVAL, "%s.output is missing", at);
    dv_buf text;
    dv_buf_init(&text, 0);
    r = dv__history_content(&text, output, "input_text output_text text", dv__chat_path(sub, "%s.output", at), err);
    if (r == 0)
        r = dv__history_result(h, id, dv__chat_path(sub, "%s.call_id", at), &text, err);
    dv_buf_fini(&text);
    return r;
}

/* The thoughts themselves if they are there, else their summary; what is encrypted is not for this server. */
static int reasoning_item(dv__history *h, const json_t *item, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const json_t *content = dv__chat_get(item, "content"), *summary = dv__chat_get(item, "summary");
    int r = dv__history_turn(h, true, err);
    if (r == 0 && json_array_size(content) > 0)
        return say(h, "reasoning_content", content, "reasoning_text text", dv__chat_path(sub, "%s.content", at), err);
    if (r == 0 && summary != NULL)
        return say(h, "reasoning_content", summary, "summary_text text", dv__chat_path(sub, "%s.summary", at), err);
    return r;
}

static int one_item(dv__history *h, const json_t *item, const char *at, dv_err *err)
{
    static const struct {
        const char *type;
        int (*read)(dv__history *, const json_t *, const char *, dv_err *);
    } types[] = {{"message", message_item},
                 {"function_call", call_item},
                 {"function_call_output", output_item},
                 {"reasoning", reasoning_item}};
    if (!json_is_object(item))
        return dv_fail(err, DV_EINVAL, "%s must be an object", at);
    const json_t *type = dv__chat_get(item, "type");
    if (type == NULL && dv__chat_get(item, "role") != NULL)
        return message_item(h, item, at, err);
    for (size_t i = 0; i < DV_ARRAY_LEN(types); i++)
        if (dv__chat_is(type, types[i].type))
            return types[i].read(h, item, at, err);
    return dv_fail(err, DV_EINVAL, "%s.type \"%.40s\" is not supported", at,
                   json_is_string(type) ? json_string_value(type) : "");
}

/* A turn that only had thoughts, all of them encrypted, says nothing. */
static void drop_empty(dv__history *h)
{
    for (size_t i = json_array_size(h->list); i-- > 0;) {
        const json_t *m = json_array_get(h->list, i);
        if (json_object_size(m) == 2 && json_is_null(json_object_get(m, "content")))
            json_array_remove(h->list, i);
    }
}

static int add_instructions(dv__history *h, const json_t *instructions, dv_err *err)
{
    if (instructions == NULL || json_is_null(instructions))
        return 0;
    if (!json_is_string(instructions))
        return dv_fail(err, DV_EINVAL, "instructions must be a string");
    dv_buf text;
    dv_buf_init(&text, 0);
    dv_buf_add(&text, json_string_value(instructions), json_string_length(instructions));
    int r = dv__history_add(h, "system", &text, NULL, err);
    dv_buf_fini(&text);
    return r;
}

static int all_items(dv__history *h, const json_t *input, dv_err *err)
{
    size_t n = json_array_size(input);
    int r = 0;
    if (n > DV_CHAT_MAX_MESSAGES)
        return dv_fail(err, DV_ELIMIT, "%zu input items; the limit is %d", n, DV_CHAT_MAX_MESSAGES);
    for (size_t i = 0; r == 0 && i < n; i++) {
        char at[DV__PATH];
        r = one_item(h, json_array_get(input, i), dv__chat_path(at, "input[%zu]", i), err);
    }
    drop_empty(h);
    if (r == 0 && json_array_size(h->list) == 0)
        return dv_fail(err, DV_EINVAL, "input is empty");
    return r;
}

int dv_chatmsg_from_responses(const json_t *input, const json_t *instructions, json_t **out, dv_err *err)
{
    dv_buf text;
    *out = NULL;
    if (!json_is_array(input) && !json_is_string(input))
        return dv_fail(err, DV_EINVAL,
                       input == NULL ? "input is missing" : "input must be a string or a list of items");
    dv__history h;
    int r = dv__history_init(&h, err);
    if (r == 0)
        r = add_instructions(&h, instructions, err);
    if (r == 0 && json_is_array(input)) {
        r = all_items(&h, input, err);
    } else if (r == 0) {
        dv_buf_init(&text, 0);
        dv_buf_add(&text, json_string_value(input), json_string_length(input));
        r = dv__history_add(&h, "user", &text, NULL, err);
        dv_buf_fini(&text);
    }
    if (r == 0)
        *out = json_incref(h.list);
    dv__history_fini(&h);
    return r;
}
