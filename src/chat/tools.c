/* SPDX-License-Identifier: MIT */
/* Tools and tool choice of the three APIs to one form. */
#include "base/err.h"
#include "chat/history.h"

#include <string.h>

/* Where the parts of a tool are in an API. */
typedef struct shape {
    bool nested;        /* inside "function" */
    const char *schema; /* key of the parameters' schema */
    const char *keys;   /* all that are understood */
} shape;

static const shape openai = {true, "parameters", "name description parameters"},
                   responses = {false, "parameters", "type name description parameters"},
                   anthropic = {false, "input_schema", "type name description input_schema"};

/* Whether a key of a tool says what is done anyway: prefixes are always kept, schemas always bind, arguments always stream. Else *must is what it
 * may be, NULL for a key that is not known. */
static bool is_so_anyway(const char *key, const json_t *v, const char **must)
{
    *must = NULL;
    if (json_is_null(v) || strcmp(key, "cache_control") == 0)
        return true;
    if (dv__chat_in_list("strict eager_input_streaming", key)) {
        *must = "a boolean";
        return json_is_boolean(v);
    }
    if (dv__chat_in_list("defer_loading async", key)) {
        *must = "false";
        return json_is_false(v);
    }
    if (strcmp(key, "allowed_callers") == 0) {
        *must = "[\"direct\"]";
        return json_array_size(v) == 1 && dv__chat_is(json_array_get(v, 0), "direct");
    }
    return false;
}

/* What a client says of a tool and nobody would see is refused. */
static int check_keys(const json_t *obj, const char *known, const char *at, dv_err *err)
{
    const char *key, *must;
    json_t *v;
    json_object_foreach((json_t *)obj, key, v)
    {
        if (dv__chat_in_list(known, key) || is_so_anyway(key, v, &must))
            continue;
        if (must != NULL)
            return dv_fail(err, DV_EINVAL, "%s.%s must be %s", at, key, must);
        return dv_fail(err, DV_EINVAL, "%s.%.64s: this field is not known here", at, key);
    }
    return 0;
}

static bool has_tool(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (dv__chat_is(json_object_get(json_object_get(json_array_get(list, i), "function"), "name"), name))
            return true;
    return false;
}

/* A schema of a tool without parameters. */
static json_t *no_parameters(void) { return json_pack("{s:s, s:{}}", "type", "object", "properties"); }

static int add_tool(json_t *list, const json_t *def, const shape *s, const char *at, dv_err *err)
{
    char name_at[DV__PATH];
    const char *name;
    const json_t *about = dv__chat_get(def, "description"), *schema = dv__chat_get(def, s->schema);
    int r = dv__chat_need_str(&name, def, "name", at, err);
    if (r == 0)
        r = dv__chat_check_name(name, dv__chat_path(name_at, "%s.name", at), err);
    if (r != 0)
        return r;
    if (has_tool(list, name))
        return dv_fail(err, DV_EINVAL, "%s.name: two tools are called \"%s\"", at, name);
    if (about != NULL && !json_is_string(about))
        return dv_fail(err, DV_EINVAL, "%s.description must be a string", at);
    if (schema != NULL && !json_is_object(schema))
        return dv_fail(err, DV_EINVAL, "%s.%s must be an object", at, s->schema);
    if ((r = check_keys(def, s->keys, at, err)) != 0)
        return r;
    json_t *fn = json_pack("{s:s}", "name", name);
    r = dv__chat_push(list, json_pack("{s:s, s:o}", "type", "function", "function", fn), err);
    if (r == 0) /* templates take the description for granted */
        r = dv__chat_put(fn, "description", about != NULL ? json_incref((json_t *)about) : json_string(""), err);
    if (r == 0)
        r = dv__chat_put(fn, "parameters", schema != NULL ? json_incref((json_t *)schema) : no_parameters(), err);
    return r;
}

static int read_tool(json_t *list, const json_t *tool, const shape *s, size_t i, dv_err *err)
{
    char at[DV__PATH], sub[DV__PATH];
    dv__chat_path(at, "tools[%zu]", i);
    if (!json_is_object(tool))
        return dv_fail(err, DV_EINVAL, "%s must be an object", at);
    const json_t *type = dv__chat_get(tool, "type"), *fn = dv__chat_get(tool, "function");
    bool custom = s == &anthropic && (type == NULL || dv__chat_is(type, "custom"));
    if (!custom && !(s != &anthropic && dv__chat_is(type, "function")))
        return dv_fail(err, DV_EINVAL, "%s.type \"%.40s\" is not supported: only tools that the client runs are", at,
                       json_is_string(type) ? json_string_value(type) : "");
    if (!s->nested)
        return add_tool(list, tool, s, at, err);
    if (!json_is_object(fn))
        return dv_fail(err, DV_EINVAL, "%s.function must be an object", at);
    int r = check_keys(tool, "type function", at, err);
    return r != 0 ? r : add_tool(list, fn, s, dv__chat_path(sub, "%s.function", at), err);
}

static int read_tools(dv_chattools *t, const json_t *tools, const shape *s, dv_err *err)
{
    if (tools == NULL || json_is_null(tools))
        return 0;
    if (!json_is_array(tools))
        return dv_fail(err, DV_EINVAL, "tools must be a list");
    size_t n = json_array_size(tools);
    if (n > DV_CHAT_MAX_TOOLS)
        return dv_fail(err, DV_ELIMIT, "%zu tools; the limit is %d", n, DV_CHAT_MAX_TOOLS);
    if (n == 0)
        return 0;
    t->list = json_array();
    int r = t->list != NULL ? 0 : dv_fail(err, DV_ENOMEM, "no memory for tools");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = read_tool(t->list, json_array_get(tools, i), s, i, err);
    return r;
}

static int choose_name(dv_chattools *t, const json_t *obj, const char *at, dv_err *err)
{
    const char *name;
    int r = dv__chat_need_str(&name, obj, "name", at, err);
    if (r != 0)
        return r;
    for (size_t i = 0; i < json_array_size(t->list); i++) {
        const json_t *own = json_object_get(json_object_get(json_array_get(t->list, i), "function"), "name");
        if (dv__chat_is(own, name))
            t->name = json_string_value(own);
    }
    if (t->name == NULL)
        return dv_fail(err, DV_EINVAL, "%s.name \"%.64s\" is none of the tools", at, name);
    t->choice = DV_TOOLCHOICE_NAMED;
    return 0;
}

static int choose_word(dv_chattools *t, const json_t *word, const char *at, const char *all, dv_err *err)
{
    t->choice = dv__chat_is(word, "auto")                                          ? DV_TOOLCHOICE_AUTO
                : dv__chat_is(word, "none")                                        ? DV_TOOLCHOICE_NONE
                : dv__chat_is(word, "required") && strstr(all, "required") != NULL ? DV_TOOLCHOICE_REQUIRED
                : dv__chat_is(word, "any") && strstr(all, "any") != NULL           ? DV_TOOLCHOICE_REQUIRED
                                                                                   : DV_TOOLCHOICE_N;
    return t->choice != DV_TOOLCHOICE_N ? 0 : dv_fail(err, DV_EINVAL, "%s must be %s", at, all);
}

static int check(dv_chattools *t, const char *at, dv_err *err)
{
    if (t->list == NULL && (t->choice == DV_TOOLCHOICE_REQUIRED || t->choice == DV_TOOLCHOICE_NAMED))
        return dv_fail(err, DV_EINVAL, "%s asks for a tool call, but there are no tools", at);
    if (t->list == NULL)
        t->choice = DV_TOOLCHOICE_NONE;
    return 0;
}

static int finish(dv_chattools *t, dv_chattools *out, int r)
{
    if (r == 0)
        *out = *t;
    else
        dv_chattools_fini(t);
    return r;
}

static int openai_choice(dv_chattools *t, const json_t *choice, const shape *s, dv_err *err)
{
    if (choice == NULL || json_is_null(choice))
        return 0;
    if (json_is_string(choice))
        return choose_word(t, choice, "tool_choice", "auto, none, required or a function", err);
    if (!json_is_object(choice) || !dv__chat_is(json_object_get(choice, "type"), "function"))
        return dv_fail(err, DV_EINVAL, "tool_choice must be auto, none, required or a function");
    const json_t *fn = s->nested ? dv__chat_get(choice, "function") : choice;
    if (!json_is_object(fn))
        return dv_fail(err, DV_EINVAL, "tool_choice.function must be an object");
    int r = check_keys(choice, s->nested ? "type function" : "type name", "tool_choice", err);
    if (r == 0 && s->nested)
        r = check_keys(fn, "name", "tool_choice.function", err);
    return r != 0 ? r : choose_name(t, fn, s->nested ? "tool_choice.function" : "tool_choice", err);
}

static int from_openai(dv_chattools *out, const json_t *tools, const json_t *choice, const json_t *parallel,
                       const shape *s, dv_err *err)
{
    dv_chattools t = {.parallel = true};
    *out = (dv_chattools){0};
    int r = read_tools(&t, tools, s, err);
    if (r == 0)
        r = openai_choice(&t, choice, s, err);
    if (r == 0 && parallel != NULL && !json_is_null(parallel)) {
        if (!json_is_boolean(parallel))
            r = dv_fail(err, DV_EINVAL, "parallel_tool_calls must be a boolean");
        t.parallel = json_is_true(parallel);
    }
    return finish(&t, out, r == 0 ? check(&t, "tool_choice", err) : r);
}

int dv_chattools_from_openai(dv_chattools *out, const json_t *tools, const json_t *choice, const json_t *parallel,
                             dv_err *err)
{
    return from_openai(out, tools, choice, parallel, &openai, err);
}

int dv_chattools_from_responses(dv_chattools *out, const json_t *tools, const json_t *choice, const json_t *parallel,
                                dv_err *err)
{
    return from_openai(out, tools, choice, parallel, &responses, err);
}

static int anthropic_choice(dv_chattools *t, const json_t *choice, dv_err *err)
{
    if (choice == NULL || json_is_null(choice))
        return 0;
    if (!json_is_object(choice))
        return dv_fail(err, DV_EINVAL, "tool_choice must be an object");
    const json_t *type = dv__chat_get(choice, "type"), *single = dv__chat_get(choice, "disable_parallel_tool_use");
    if (single != NULL && !json_is_boolean(single))
        return dv_fail(err, DV_EINVAL, "tool_choice.disable_parallel_tool_use must be a boolean");
    t->parallel = !json_is_true(single);
    bool named = dv__chat_is(type, "tool");
    int r = check_keys(choice, named ? "type name disable_parallel_tool_use" : "type disable_parallel_tool_use",
                       "tool_choice", err);
    if (r != 0)
        return r;
    if (named)
        return choose_name(t, choice, "tool_choice", err);
    return choose_word(t, type, "tool_choice.type", "auto, any, tool or none", err);
}

int dv_chattools_from_anthropic(dv_chattools *out, const json_t *tools, const json_t *choice, dv_err *err)
{
    dv_chattools t = {.parallel = true};
    *out = (dv_chattools){0};
    int r = read_tools(&t, tools, &anthropic, err);
    if (r == 0)
        r = anthropic_choice(&t, choice, err);
    return finish(&t, out, r == 0 ? check(&t, "tool_choice", err) : r);
}

void dv_chattools_fini(dv_chattools *t)
{
    json_decref(t->list);
    *t = (dv_chattools){0};
}
