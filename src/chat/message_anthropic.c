/* SPDX-License-Identifier: MIT */
/* Messages of Anthropic's API: content blocks, in their order, to messages. */
#include "base/err.h"
#include "chat/history.h"

#include <string.h>

/* User text that waits for its message, as results of tools may stand between two texts. */
static int flush_user(dv__history *h, dv_buf *text, bool *any, dv_err *err)
{
    int r = *any ? dv__history_add(h, "user", text, NULL, err) : 0;
    dv_buf_clear(text);
    *any = false;
    return r;
}

static int tool_result(dv__history *h, const json_t *block, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *id;
    const json_t *content = dv__chat_get(block, "content"), *is_error = dv__chat_get(block, "is_error");
    if (is_error != NULL && !json_is_boolean(is_error))
        return dv_fail(err, DV_EINVAL, "%s.is_error must be a boolean", at);
    int r = dv__chat_need_str(&id, block, "tool_use_id", at, err);
    if (r != 0)
        return r;
    dv_buf text;
    dv_buf_init(&text, 0);
    if (json_is_true(is_error)) /* no template knows failed calls, so the model is told in words */
        dv_buf_adds(&text, "Error: ");
    if (content != NULL)
        r = dv__history_content(&text, content, "text", dv__chat_path(sub, "%s.content", at), err);
    if (r == 0)
        r = dv__history_result(h, id, dv__chat_path(sub, "%s.tool_use_id", at), &text, err);
    dv_buf_fini(&text);
    return r;
}

static int tool_use(dv__history *h, const json_t *block, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *id, *name;
    const json_t *input = dv__chat_get(block, "input");
    int r = dv__chat_need_str(&id, block, "id", at, err);
    if (r == 0)
        r = dv__chat_need_str(&name, block, "name", at, err);
    if (r == 0)
        r = dv__chat_check_name(name, dv__chat_path(sub, "%s.name", at), err);
    if (r != 0)
        return r;
    if (!json_is_object(input))
        return dv_fail(err, DV_EINVAL, "%s.input must be an object", at);
    return dv__history_call(h, id, name, input, at, dv__chat_path(sub, "%s.input", at), err);
}

/* A block that is one piece of text; dv__history_content wants a list. */
static int block_text(dv_buf *out, const json_t *block, const char *key, const char *at, dv_err *err)
{
    const json_t *text = dv__chat_get(block, key);
    if (!json_is_string(text))
        return dv_fail(err, DV_EINVAL, "%s.%s must be a string", at, key);
    return dv_buf_add(out, json_string_value(text), json_string_length(text)) == 0
               ? 0
               : dv_fail(err, out->code, "no memory for a conversation");
}

static int refuse_block(const json_t *block, const char *type, const char *at, dv_err *err)
{
    if (strcmp(type, "image") == 0 || strcmp(type, "document") == 0)
        return dv_fail(err, DV_EINVAL, "%s: %ss are not supported", at, type);
    return dv_fail(err, DV_EINVAL, "%s.type \"%.40s\" is not supported here", at, type);
}

static int user_block(dv__history *h, const json_t *block, const char *type, dv_buf *text, bool *any, const char *at,
                      dv_err *err)
{
    if (strcmp(type, "text") == 0) {
        if (*any)
            dv_buf_addc(text, '\n');
        *any = true;
        return block_text(text, block, "text", at, err);
    }
    if (strcmp(type, "tool_result") != 0)
        return refuse_block(block, type, at, err);
    int r = flush_user(h, text, any, err);
    return r == 0 ? tool_result(h, block, at, err) : r;
}

static int assistant_block(dv__history *h, const json_t *block, const char *type, const char *at, dv_err *err)
{
    if (strcmp(type, "tool_use") == 0)
        return tool_use(h, block, at, err);
    if (strcmp(type, "redacted_thinking") == 0) /* encrypted for another server: nothing that a model could read */
        return 0;
    bool thinking = strcmp(type, "thinking") == 0;
    if (!thinking && strcmp(type, "text") != 0)
        return refuse_block(block, type, at, err);
    dv_buf text;
    dv_buf_init(&text, 0);
    int r = block_text(&text, block, thinking ? "thinking" : "text", at, err);
    if (r == 0)
        r = dv__history_say(h, thinking ? "reasoning_content" : "content", &text, err);
    dv_buf_fini(&text);
    return r;
}

static int blocks(dv__history *h, const json_t *content, bool user, const char *at, dv_err *err)
{
    dv_buf text;
    bool any = false;
    int r = 0;
    size_t n = json_array_size(content);
    if (n > DV_CHAT_MAX_PARTS)
        return dv_fail(err, DV_ELIMIT, "%s has %zu blocks; the limit is %d", at, n, DV_CHAT_MAX_PARTS);
    dv_buf_init(&text, 0);
    for (size_t i = 0; r == 0 && i < n; i++) {
        char sub[DV__PATH];
        const json_t *block = json_array_get(content, i);
        const char *type;
        dv__chat_path(sub, "%s[%zu]", at, i);
        if (!json_is_object(block))
            r = dv_fail(err, DV_EINVAL, "%s must be an object", sub);
        else if ((r = dv__chat_need_str(&type, block, "type", sub, err)) == 0)
            r = user ? user_block(h, block, type, &text, &any, sub, err) : assistant_block(h, block, type, sub, err);
    }
    if (r == 0)
        r = flush_user(h, &text, &any, err);
    dv_buf_fini(&text);
    return r;
}

static int plain(dv__history *h, const json_t *content, bool user, dv_err *err)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    dv_buf_add(&text, json_string_value(content), json_string_length(content));
    int r = user ? dv__history_add(h, "user", &text, NULL, err) : dv__history_say(h, "content", &text, err);
    dv_buf_fini(&text);
    return r;
}

static int message(dv__history *h, const json_t *m, const char *at, dv_err *err)
{
    char sub[DV__PATH];
    const char *role;
    if (!json_is_object(m))
        return dv_fail(err, DV_EINVAL, "%s must be an object", at);
    int r = dv__chat_need_str(&role, m, "role", at, err);
    if (r != 0)
        return r;
    bool user = strcmp(role, "user") == 0;
    if (!user && strcmp(role, "assistant") != 0)
        return dv_fail(err, DV_EINVAL, "%s.role \"%.40s\" is not known: it is user or assistant", at, role);
    const json_t *content = dv__chat_get(m, "content");
    if (content == NULL)
        return dv_fail(err, DV_EINVAL, "%s.content is missing", at);
    if (!json_is_string(content) && !json_is_array(content))
        return dv_fail(err, DV_EINVAL, "%s.content must be a string or a list of content blocks", at);
    if (!user && (r = dv__history_turn(h, false, err)) != 0)
        return r;
    return json_is_string(content) ? plain(h, content, user, err)
                                   : blocks(h, content, user, dv__chat_path(sub, "%s.content", at), err);
}

static int add_system(dv__history *h, const json_t *system, dv_err *err)
{
    if (system == NULL || json_is_null(system))
        return 0;
    dv_buf text;
    dv_buf_init(&text, 0);
    int r = dv__history_content(&text, system, "text", "system", err);
    if (r == 0 && text.len > 0)
        r = dv__history_add(h, "system", &text, NULL, err);
    dv_buf_fini(&text);
    return r;
}

int dv_chatmsg_from_anthropic(const json_t *messages, const json_t *system, json_t **out, dv_err *err)
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
    if (r == 0)
        r = add_system(&h, system, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        char at[DV__PATH];
        r = message(&h, json_array_get(messages, i), dv__chat_path(at, "messages[%zu]", i), err);
    }
    if (r == 0)
        *out = json_incref(h.list);
    dv__history_fini(&h);
    return r;
}
