/* SPDX-License-Identifier: MIT */
/* POST /v1/responses, without a memory: nothing is stored, so what would need a stored response is refused by name. */
#include "api/responses.h"
#include "base/err.h"

#include <string.h>

#define AT(field) offsetof(dv__chat, field)
#define NOWHERE DV__FIELD_NOWHERE

/* clang-format off */
static const dv__field rows[] = {
    {"input", DV__FIELD_JSON, NOWHERE, 0, 0, false, NULL},
    {"instructions", DV__FIELD_STR, NOWHERE, 0, 1 << 25, false, NULL},
    {"tools", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"tool_choice", DV__FIELD_JSON, NOWHERE, 0, 0, false, NULL},
    {"parallel_tool_calls", DV__FIELD_BOOL, NOWHERE, 0, 0, false, NULL},
    {"reasoning", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"text", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"truncation", DV__FIELD_STR, NOWHERE, 0, 0, false, "disabled"},
    {"previous_response_id", DV__FIELD_REFUSED, 0, 0, 0, false, "responses are not stored: send the whole conversation as input"},
    {"conversation", DV__FIELD_REFUSED, 0, 0, 0, false, "conversations are not stored: send the whole of it as input"},
};

/* Only of /v1/responses itself. */
static const dv__field create_rows[] = {
    {"max_output_tokens", DV__FIELD_I64, AT(gen.max_tokens), 1, 2147483647, false, NULL},
    {"temperature", DV__FIELD_F32, AT(gen.sampling.temperature), 0, 2, false, NULL},
    {"chat_template_kwargs", DV__FIELD_OBJECT, AT(kwargs), 0, 0, false, NULL},
    {"include", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"stream_options", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"background", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"},
    {"top_logprobs", DV__FIELD_U32, NOWHERE, 0, 0, false, NULL},
    /* Without effect: every prefix is kept as long as there is room for it. */
    {"prompt_cache_options", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"prompt", DV__FIELD_REFUSED, 0, 0, 0, false, "there are no stored prompts: send its text as instructions"},
    {"moderation", DV__FIELD_REFUSED, 0, 0, 0, false, "is not supported"},
    {"context_management", DV__FIELD_REFUSED, 0, 0, 0, false, "is not supported"},
    {"max_tool_calls", DV__FIELD_REFUSED, 0, 0, 0, false, "there are no tools that the server calls"},
    {"stop", DV__FIELD_REFUSED, 0, 0, 0, false, "this API has no stop strings"},
    {"max_tokens", DV__FIELD_REFUSED, 0, 0, 0, false, "is called max_output_tokens here"},
    {"n_predict", DV__FIELD_REFUSED, 0, 0, 0, false, "is called max_output_tokens here"},
    {"n_probs", DV__FIELD_REFUSED, 0, 0, 0, false, "log-probabilities are not part of responses"},
    {"timings_per_token", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"},
    {"return_progress", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"},
    {"response_format", DV__FIELD_REFUSED, 0, 0, 0, false, "is called text.format here"},
};

static const dv__field count_rows[] = {
    {"model", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"personality", DV__FIELD_REFUSED, 0, 0, 0, false, "is not supported"},
};
/* clang-format on */

static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};
static const dv__fields create_fields = {create_rows, DV_ARRAY_LEN(create_rows)};
static const dv__fields count_fields = {count_rows, DV_ARRAY_LEN(count_rows)};

/* A field that is an object itself; false if it is absent or null. */
static bool sub_object(const dv__call *c, const char *name, const json_t **out)
{
    *out = json_object_get(c->body, name);
    return *out != NULL && !json_is_null(*out);
}

/* ---- text ---- */

typedef struct text_config {
    const json_t *format;
} text_config;

typedef struct text_format {
    const char *type;
    const json_t *schema;
} text_format;

static const dv__field text_rows[] = {
    {"format", DV__FIELD_OBJECT, offsetof(text_config, format), 0, 0, false, NULL},
    {"verbosity", DV__FIELD_STR, NOWHERE, 0, 0, false, "medium"},
};
static const dv__fields text_fields = {text_rows, DV_ARRAY_LEN(text_rows)};

static const dv__field format_rows[] = {
    {"type", DV__FIELD_STR, offsetof(text_format, type), 0, 0, false, "text|json_object|json_schema"},
    {"name", DV__FIELD_STR, NOWHERE, 0, 64, false, NULL},
    {"description", DV__FIELD_STR, NOWHERE, 0, 0, false, NULL},
    {"schema", DV__FIELD_OBJECT, offsetof(text_format, schema), 0, 0, false, NULL},
    {"strict", DV__FIELD_BOOL, NOWHERE, 0, 0, false, NULL}, /* a schema always binds the answer */
};
static const dv__fields format_fields = {format_rows, DV_ARRAY_LEN(format_rows)};

static int read_format(dv__call *c, dv__chat *chat, const json_t *v, dv_err *err)
{
    static const dv__fields *const tables[] = {&format_fields};
    text_format f = {0};
    int rc = dv__fields_read(c, v, "text.format", tables, 1, &f, err);
    if (rc != 0)
        return rc;
    if (f.type == NULL)
        return dv__param_fail(c, err, "text.format.type", "is needed");
    if (strcmp(f.type, "json_object") == 0)
        chat->gen.response_format = v; /* spelled the same in chat completions */
    if (strcmp(f.type, "json_schema") != 0)
        return 0;
    if (f.schema == NULL)
        return dv__param_fail(c, err, "text.format.schema", "is needed");
    chat->gen.schema = f.schema;
    chat->gen.schema_field = "text.format.schema";
    return 0;
}

static int read_text(dv__call *c, dv__chat *chat, dv_err *err)
{
    static const dv__fields *const tables[] = {&text_fields};
    const json_t *v;
    text_config t = {0};
    if (!sub_object(c, "text", &v))
        return 0;
    int rc = dv__fields_read(c, v, "text", tables, 1, &t, err);
    return rc == 0 && t.format != NULL ? read_format(c, chat, t.format, err) : rc;
}

/* ---- reasoning ---- */

/* A summary "auto" is one if the server can make one; drover shows the thoughts themselves. */
static const dv__field reasoning_rows[] = {
    {"effort", DV__FIELD_STR, AT(effort), 0, 0, false, "none|minimal|low|medium|high|xhigh"},
    {"summary", DV__FIELD_STR, NOWHERE, 0, 0, false, "auto"},
    {"generate_summary", DV__FIELD_STR, NOWHERE, 0, 0, false, "auto"},
    {"context", DV__FIELD_STR, NOWHERE, 0, 0, false, "auto"},
    {"mode", DV__FIELD_STR, NOWHERE, 0, 0, false, "standard"},
};
static const dv__fields reasoning_fields = {reasoning_rows, DV_ARRAY_LEN(reasoning_rows)};

static int read_reasoning(dv__call *c, dv__chat *chat, dv_err *err)
{
    static const dv__fields *const tables[] = {&reasoning_fields};
    const json_t *v;
    chat->effort_field = "reasoning.effort";
    return sub_object(c, "reasoning", &v) ? dv__fields_read(c, v, "reasoning", tables, 1, chat, err) : 0;
}

/* ---- include, stream_options ---- */

/* The results of tools that are not there are included in full. Encrypted thoughts are for servers that do not show them: here they come
 * as they are, and can be sent back like that. */
static int check_include(dv__call *c, dv_err *err)
{
    static const char *const known[] = {"file_search_call.results",
                                        "web_search_call.results",
                                        "web_search_call.action.sources",
                                        "message.input_image.image_url",
                                        "computer_call_output.output.image_url",
                                        "code_interpreter_call.outputs",
                                        "reasoning.encrypted_content"};
    const json_t *list;
    size_t i;
    json_t *v;
    if (!sub_object(c, "include", &list))
        return 0;
    json_array_foreach((json_t *)list, i, v)
    {
        const char *name = json_string_value(v);
        bool ok = false;
        for (size_t k = 0; name != NULL && k < DV_ARRAY_LEN(known); k++)
            ok |= strcmp(name, known[k]) == 0;
        if (!ok)
            return dv__param_fail(c, err, "include", "%.64s is not supported",
                                  name != NULL ? name : "what is no string");
    }
    return 0;
}

static int check_stream_options(dv__call *c, dv_err *err)
{
    static const dv__field option_rows[] = {{"include_obfuscation", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"}};
    static const dv__fields option_fields = {option_rows, 1};
    static const dv__fields *const tables[] = {&option_fields};
    const json_t *v;
    return sub_object(c, "stream_options", &v) ? dv__fields_read(c, v, "stream_options", tables, 1, NULL, err) : 0;
}

/* ---- requests ---- */

static int read_chat(dv__call *c, dv__chat *chat, const dv__fields *const *tables, size_t n, dv_err *err)
{
    const json_t *body = c->body;
    int rc = dv__fields_read(c, body, NULL, tables, n, chat, err);
    if (rc == 0)
        rc = dv_chatmsg_from_responses(json_object_get(body, "input"), json_object_get(body, "instructions"),
                                       &chat->messages, err);
    if (rc == 0)
        rc = dv_chattools_from_responses(&chat->tools, json_object_get(body, "tools"),
                                         json_object_get(body, "tool_choice"),
                                         json_object_get(body, "parallel_tool_calls"), err);
    if (rc == 0)
        rc = read_text(c, chat, err);
    if (rc == 0)
        rc = read_reasoning(c, chat, err);
    if (rc == 0)
        rc = check_include(c, err);
    if (rc == 0)
        rc = check_stream_options(c, err);
    return rc == 0 ? dv__chat_vars(chat, err) : rc;
}

static int new_chat(dv__call *c, dv__chat **out, dv_err *err)
{
    int rc = dv__chat_check(c, err);
    if (rc != 0)
        return rc;
    *out = dv__chat_new(c, &dv__responses_writer);
    return *out != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}

static int post_responses(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &create_fields, &dv__fields_gen, &dv__fields_meta};
    dv__chat *chat;
    int rc = new_chat(c, &chat, err);
    if (rc == 0)
        rc = read_chat(c, chat, tables, DV_ARRAY_LEN(tables), err);
    if (rc == 0)
        rc = dv__responses_prepare(chat, err);
    return rc == 0 ? dv__chat_start(chat, err) : rc;
}

static int post_count(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &count_fields};
    dv__chat *chat;
    uint32_t *ids;
    size_t n;
    dv_buf b;
    int rc = new_chat(c, &chat, err);
    if (rc == 0)
        rc = read_chat(c, chat, tables, DV_ARRAY_LEN(tables), err);
    if (rc == 0)
        rc = dv__chat_prompt(chat, &ids, &n, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"object\":\"response.input_tokens\",\"input_tokens\":%zu}", n);
    rc = dv__call_json(c, 200, &b);
    dv_buf_fini(&b);
    return rc;
}

static int post_compact(dv__call *c, dv_err *err)
{
    return dv_fail(err, DV_EUNSUPPORTED, "compacting conversations is not supported");
}

static int not_stored(dv__call *c, dv_err *err)
{
    return dv_fail(err, DV_ENOENT, "there is no such response: responses are not stored");
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/v1/responses", DV__ROUTE_JSON | DV__ROUTE_JOB | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_responses},
    {DV_HTTP_POST, "/v1/responses/input_tokens", DV__ROUTE_JSON | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_count},
    {DV_HTTP_POST, "/v1/responses/compact", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_compact},
    {DV_HTTP_GET, "/v1/responses/*", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, not_stored},
    {DV_HTTP_DELETE, "/v1/responses/*", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, not_stored},
    {DV_HTTP_POST, "/v1/responses/*", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, not_stored},
};
const dv__routes dv__routes_responses = {routes, DV_ARRAY_LEN(routes)};
