/* SPDX-License-Identifier: MIT */
/* Messages of OpenAI's Chat Completions. */
#include "chat/message.h"

#include "base/err.h"
#include "chat/history.h"

#include <string.h>

static const char text_parts[] = "text refusal";

static int one_call(dv__history *h, const json_t *call, const char *at, dv_err *err)
{
    char sub[DV__PATH], name_at[DV__PATH], args_at[DV__PATH];
    const char *id, *name;
    if (!json_is_object(call))
        return dv_fail(err, DV_EINVAL, "%s must be an object", at);
    const json_t *type = dv__chat_get(call, "type"), *fn = dv__chat_get(call, "function");
    if (type != NULL && !dv__chat_is(type, "function"))
        return dv_fail(err, DV_EINVAL, "%s.type must be \"function\"", at);
    int r = dv__chat_need_str(&id, call, "id", at, err);
    if (r != 0)
        return r;
    if (!json_is_object(fn))
        return dv_fail(err, DV_EINVAL, "%s.function must be an object", at);
    dv__chat_path(sub, "%s.function", at);
    if ((r = dv__chat_need_str(&name, fn, "name", sub, err)) != 0 ||
        (r = dv__chat_check_name(name, dv__chat_path(name_at, "%s.name", sub), err)) != 0)
        return r;
    const json_t *arguments = dv__chat_get(fn, "arguments");
    if (arguments == NULL)
        return dv_fail(err, DV_EINVAL, "%s.arguments is missing", sub);
    return dv__history_call(h, id, name, arguments, at, dv__chat_path(args_at, "%s.arguments", sub), err);
}

static int calls(dv__history *h, const json_t *list, const char *at, dv_err *err)
{
    if (!json_is_array(list))
        return dv_fail(err, DV_EINVAL, "%s.tool_calls must be a list", at);
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
        char sub[DV__PATH];
        r = one_call(h, json_array_get(list, i), dv__chat_path(sub, "%s.tool_calls[%zu]", at, i), err);
    }
    return r;
}

static int assistant(dv__history *h, const json_t *m, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const json_t *content = dv__chat_get(m, "content"), *list = dv__chat_get(m, "tool_calls");
    const json_t *reasoning = dv__chat_get(m, "reasoning_content"), *refusal = dv__chat_get(m, "refusal");
    static const char *const refused[] = {"function_call", "audio"};
    for (size_t i = 0; i < DV_ARRAY_LEN(refused); i++)
        if (dv__chat_get(m, refused[i]) != NULL)
            return dv_fail(err, DV_EINVAL, "%s.%s is not supported", at, refused[i]);
    if (reasoning != NULL && !json_is_string(reasoning))
        return dv_fail(err, DV_EINVAL, "%s.reasoning_content must be a string", at);
    if (content == NULL)
        content = refusal;
    if (content == NULL && reasoning == NULL && json_array_size(list) == 0 && (list == NULL || json_is_array(list)))
        return dv_fail(err, DV_EINVAL, "%s.content is missing: an assistant's message has content or tool_calls", at);
    dv_buf text;
    dv_buf_init(&text, 0);
    int r = dv__history_turn(h, false, err);
    if (r == 0 && reasoning != NULL)
        r = dv__chat_put(h->turn, "reasoning_content", json_incref((json_t *)reasoning), err);
    if (r == 0 && content != NULL &&
        (r = dv__history_content(&text, content, text_parts, dv__chat_path(sub, "%s.content", at), err)) == 0)
        r = dv__history_say(h, "content", &text, err);
    if (r == 0 && list != NULL)
        r = calls(h, list, at, err);
    dv_buf_fini(&text);
    return r;
}

/* "developer" is what newer models call "system". NULL: no role that is known. */
static const char *role_of(const char *role)
{
    static const char *const same[] = {"system", "user", "assistant", "tool"};
    for (size_t i = 0; i < DV_ARRAY_LEN(same); i++)
        if (strcmp(role, same[i]) == 0)
            return same[i];
    return strcmp(role, "developer") == 0 ? "system" : NULL;
}

static int other(dv__history *h, const json_t *m, const char *role, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *id = NULL;
    const json_t *content = dv__chat_get(m, "content"), *name = dv__chat_get(m, "name");
    bool tool = strcmp(role, "tool") == 0;
    dv_buf text;
    int r = tool ? dv__chat_need_str(&id, m, "tool_call_id", at, err) : 0;
    if (r != 0)
        return r;
    if (name != NULL && !json_is_string(name))
        return dv_fail(err, DV_EINVAL, "%s.name must be a string", at);
    if (content == NULL)
        return dv_fail(err, DV_EINVAL, "%s.content is missing", at);
    dv_buf_init(&text, 0);
    r = dv__history_content(&text, content, text_parts, dv__chat_path(sub, "%s.content", at), err);
    if (r == 0 && tool)
        r = dv__history_result(h, id, dv__chat_path(sub, "%s.tool_call_id", at), &text, err);
    else if (r == 0)
        r = dv__history_add(h, role, &text, json_string_value(name), err);
    dv_buf_fini(&text);
    return r;
}

static int message(dv__history *h, const json_t *m, const char *at, dv_err *err)
{
    const char *spelled;
    if (!json_is_object(m))
        return dv_fail(err, DV_EINVAL, "%s must be an object", at);
    int r = dv__chat_need_str(&spelled, m, "role", at, err);
    if (r != 0)
        return r;
    const char *role = role_of(spelled);
    if (role == NULL)
        return dv_fail(err, DV_EINVAL,
                       "%s.role \"%.40s\" is not known: it is system, developer, user, assistant or tool", at, spelled);
    return strcmp(role, "assistant") == 0 ? assistant(h, m, at, err) : other(h, m, role, at, err);
}

int dv_chatmsg_from_openai(const json_t *messages, json_t **out, dv_err *err)
{
    *out = NULL;
    if (!json_is_array(messages))
        return dv_fail(err, DV_EINVAL, messages == NULL ? "messages is missing" : "messages must be a list");
    size_t n = json_array_size(messages);
    if (n == 0)
        return dv_fail(err, DV_EINVAL, "messages is empty");
    if (n > DV_CHAT_MAX_MESSAGES)
        return dv_fail(err, DV_ELIMIT, "%zu messages; the limit is %d", n, DV_CHAT_MAX_MESSAGES);
    dv__history h;
    int r = dv__history_init(&h, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        char at[DV__PATH];
        r = message(&h, json_array_get(messages, i), dv__chat_path(at, "messages[%zu]", i), err);
    }
    if (r == 0)
        *out = json_incref(h.list);
    dv__history_fini(&h);
    return r;
}
