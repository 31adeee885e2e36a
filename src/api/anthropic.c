/* SPDX-License-Identifier: MIT */
/* POST /v1/messages and /v1/messages/count_tokens. Beside Anthropic's own fields those of sampling are taken that llama-server adds to
 * every API. */
#include "api/anthropic.h"
#include "api/reply.h"
#include "base/err.h"

#include <string.h>

enum { THINKING_MIN = 1024 }; /* the least budget that clients may set */

#define AT(field) offsetof(dv__chat, field)
#define NOWHERE DV__FIELD_NOWHERE

/* clang-format off */
static const dv__field rows[] = {
    {"model", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"messages", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"system", DV__FIELD_JSON, NOWHERE, 0, 0, false, NULL},
    {"tools", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"tool_choice", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"thinking", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"output_config", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"max_tokens", DV__FIELD_I64, AT(gen.max_tokens), 1, 2147483647, false, NULL},
    {"temperature", DV__FIELD_F32, AT(gen.sampling.temperature), 0, 1, false, NULL},
    {"stop_sequences", DV__FIELD_LIST, AT(gen.stop_json), 0, 0, false, NULL},
    {"chat_template_kwargs", DV__FIELD_OBJECT, AT(kwargs), 0, 0, false, NULL},
    /* Without effect: every prefix is kept as long as there is room for it, and there is one tier, one speed and one place. */
    {"cache_control", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"metadata", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"service_tier", DV__FIELD_STR, NOWHERE, 0, 0, false, "auto|standard_only"},
    {"speed", DV__FIELD_STR, NOWHERE, 0, 0, false, "standard"},
    {"user_profile_id", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"workspace_id", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"container", DV__FIELD_REFUSED, 0, 0, 0, false, "there are no containers here"},
    {"inference_geo", DV__FIELD_REFUSED, 0, 0, 0, false, "there is only this machine"},
    {"diagnostics", DV__FIELD_REFUSED, 0, 0, 0, false, "is not supported"},
    {"context_management", DV__FIELD_REFUSED, 0, 0, 0, false, "is not supported"},
    {"mcp_servers", DV__FIELD_REFUSED, 0, 0, 0, false, "tools are called by the client"},
    {"stop", DV__FIELD_REFUSED, 0, 0, 0, false, "is called stop_sequences here"},
    {"n_predict", DV__FIELD_REFUSED, 0, 0, 0, false, "is called max_tokens here"},
    {"n_probs", DV__FIELD_REFUSED, 0, 0, 0, false, "this API has no place for log-probabilities"},
    {"timings_per_token", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"},
    {"return_progress", DV__FIELD_BOOL, NOWHERE, 0, 0, false, "false"},
};

static const dv__field count_rows[] = {
    {"model", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"messages", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"system", DV__FIELD_JSON, NOWHERE, 0, 0, false, NULL},
    {"tools", DV__FIELD_LIST, NOWHERE, 0, 0, false, NULL},
    {"tool_choice", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"thinking", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"output_config", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"chat_template_kwargs", DV__FIELD_OBJECT, AT(kwargs), 0, 0, false, NULL},
    {"cache_control", DV__FIELD_OBJECT, NOWHERE, 0, 0, false, NULL},
    {"speed", DV__FIELD_STR, NOWHERE, 0, 0, false, "standard"},
    {"user_profile_id", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
    {"workspace_id", DV__FIELD_STR, NOWHERE, 0, 1024, false, NULL},
};
/* clang-format on */

static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};
static const dv__fields count_fields = {count_rows, DV_ARRAY_LEN(count_rows)};

/* ---- thinking ---- */

typedef struct thinking {
    const char *type, *display;
    int64_t budget;
} thinking;

static const dv__field thinking_rows[] = {
    {"type", DV__FIELD_STR, offsetof(thinking, type), 0, 0, false, "enabled|disabled|adaptive"},
    {"budget_tokens", DV__FIELD_I64, offsetof(thinking, budget), THINKING_MIN, 2147483647, false, NULL},
    {"display", DV__FIELD_STR, offsetof(thinking, display), 0, 0, false, "summarized"},
};
static const dv__fields thinking_fields = {thinking_rows, DV_ARRAY_LEN(thinking_rows)};

/* "adaptive" leaves it to the model. Thoughts are part of max_tokens, which is the only bound that there is for them. */
static int read_thinking(dv__call *c, dv__chat *chat, dv_err *err)
{
    static const dv__fields *const tables[] = {&thinking_fields};
    const json_t *v = json_object_get(c->body, "thinking");
    const dv_chatfmt_caps *caps = dv_chatfmt_caps_of(c->api->fmt);
    thinking t = {.budget = -1};
    if (v == NULL || json_is_null(v))
        return 0;
    int rc = dv__fields_read(c, v, "thinking", tables, 1, &t, err);
    if (rc != 0)
        return rc;
    if (t.type == NULL)
        return dv__param_fail(c, err, "thinking.type", "is needed");
    if (strcmp(t.type, "adaptive") == 0)
        return 0;
    chat->effort_field = "thinking";
    if (strcmp(t.type, "disabled") == 0) {
        chat->effort = "none";
        return 0;
    }
    if (t.budget < 0)
        return dv__param_fail(c, err, "thinking.budget_tokens", "is needed");
    if (chat->gen.max_tokens != DV__GEN_UNSET && t.budget >= chat->gen.max_tokens)
        return dv__param_fail(c, err, "thinking.budget_tokens", "must be less than max_tokens");
    if (!caps->thinking && !caps->enable_thinking)
        return dv__param_fail(c, err, "thinking", "this model does not think");
    if (caps->enable_thinking)
        chat->effort = "medium";
    return 0;
}

/* ---- output_config ---- */

typedef struct output {
    const char *effort;
    const json_t *format;
} output;

static const dv__field output_rows[] = {
    {"effort", DV__FIELD_STR, offsetof(output, effort), 0, 0, false, "low|medium|high|xhigh|max"},
    {"format", DV__FIELD_OBJECT, offsetof(output, format), 0, 0, false, NULL},
};
static const dv__fields output_fields = {output_rows, DV_ARRAY_LEN(output_rows)};

static int read_output_format(dv__call *c, dv__chat *chat, const json_t *format, dv_err *err)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format == NULL)
        return 0;
    if (type == NULL || strcmp(type, "json_schema") != 0)
        return dv__param_fail(c, err, "output_config.format.type", "must be json_schema");
    if (!json_is_object(json_object_get(format, "schema")))
        return dv__param_fail(c, err, "output_config.format.schema", "an object is needed");
    chat->gen.schema = json_object_get(format, "schema");
    chat->gen.schema_field = "output_config.format.schema";
    return 0;
}

/* "high" is what is done without this field. */
static int read_output(dv__call *c, dv__chat *chat, dv_err *err)
{
    static const dv__fields *const tables[] = {&output_fields};
    const json_t *v = json_object_get(c->body, "output_config");
    const dv_chatfmt_caps *caps = dv_chatfmt_caps_of(c->api->fmt);
    output o = {0};
    if (v == NULL || json_is_null(v))
        return 0;
    int rc = dv__fields_read(c, v, "output_config", tables, 1, &o, err);
    if (rc != 0)
        return rc;
    bool any = caps->reasoning_effort || caps->enable_thinking,
         high = o.effort != NULL && strcmp(o.effort, "high") == 0;
    bool off = chat->effort != NULL && strcmp(chat->effort, "none") == 0;
    if (o.effort != NULL && off && !high)
        return dv__param_fail(c, err, "output_config.effort", "does not go with thinking that is disabled");
    if (o.effort != NULL && !off && (any || !high)) {
        chat->effort = strcmp(o.effort, "max") == 0 ? "xhigh" : o.effort;
        chat->effort_field = "output_config.effort";
    }
    return read_output_format(c, chat, o.format, err);
}

/* ---- requests ---- */

static int check_max_tokens(dv__call *c, const dv__chat *chat, dv_err *err)
{
    if (chat->gen.max_tokens == DV__GEN_UNSET)
        return dv__param_fail(c, err, "max_tokens", "is needed");
    return 0;
}

/* A last message of the assistant's is the beginning of the answer. */
static bool ends_with_answer(const json_t *messages)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return role != NULL && strcmp(role, "assistant") == 0 && json_array_size(json_object_get(last, "tool_calls")) == 0;
}

static int read_chat(dv__call *c, dv__chat *chat, const dv__fields *const *tables, size_t n, bool count, dv_err *err)
{
    const json_t *body = c->body;
    chat->gen.stop_field = "stop_sequences";
    int rc = dv__fields_read(c, body, NULL, tables, n, chat, err);
    if (rc == 0 && !count)
        rc = check_max_tokens(c, chat, err);
    if (rc == 0)
        rc = dv_chatmsg_from_anthropic(json_object_get(body, "messages"), json_object_get(body, "system"),
                                       &chat->messages, err);
    if (rc == 0)
        rc = dv_chattools_from_anthropic(&chat->tools, json_object_get(body, "tools"),
                                         json_object_get(body, "tool_choice"), err);
    if (rc == 0)
        rc = read_thinking(c, chat, err);
    if (rc == 0)
        rc = read_output(c, chat, err);
    if (rc != 0)
        return rc;
    chat->continue_last = ends_with_answer(chat->messages);
    return dv__chat_vars(chat, err);
}

static int new_chat(dv__call *c, dv__chat **out, dv_err *err)
{
    int rc = dv__chat_check(c, err);
    if (rc != 0)
        return rc;
    *out = dv__chat_new(c, &dv__anthropic_writer);
    return *out != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}

static int post_messages(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &dv__fields_gen};
    dv__chat *chat;
    int rc = new_chat(c, &chat, err);
    if (rc == 0)
        rc = read_chat(c, chat, tables, DV_ARRAY_LEN(tables), false, err);
    if (rc == 0)
        rc = dv__anthropic_prepare(chat, err);
    return rc == 0 ? dv__chat_start(chat, err) : rc;
}

static int post_count(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&count_fields};
    dv__chat *chat;
    uint32_t *ids;
    size_t n;
    dv_buf b;
    int rc = new_chat(c, &chat, err);
    if (rc == 0)
        rc = read_chat(c, chat, tables, 1, true, err);
    if (rc == 0)
        rc = dv__chat_prompt(chat, &ids, &n, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"input_tokens\":%zu}", n);
    rc = dv__call_json(c, 200, &b);
    dv_buf_fini(&b);
    return rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/v1/messages", DV__ROUTE_JSON | DV__ROUTE_JOB, DV_STYLE_ANTHROPIC, post_messages},
    {DV_HTTP_POST, "/v1/messages/count_tokens", DV__ROUTE_JSON, DV_STYLE_ANTHROPIC, post_count},
};
const dv__routes dv__routes_anthropic = {routes, DV_ARRAY_LEN(routes)};
