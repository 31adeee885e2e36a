/* SPDX-License-Identifier: MIT */
/* A table of routes with one of each kind, and with all tables of fields, for tests of the document that is made of them. */
#ifndef DV_TEST_SERVE_ROWS_H
#define DV_TEST_SERVE_ROWS_H

#include "base/attr.h"
#include "serve/row.h"

static const dv__field secret_rows[] = {
    {.name = "name", .types = DV__T_STR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = 64, .help = "Who."},
    {.name = "password", .types = DV__T_STR, .flags = DV__F_REQUIRED | DV__F_SECRET, .min_len = 8, .max_len = 256},
};
static const dv__schema secret_schema = {.name = "LoginRequest", .fields = secret_rows, .n = DV_ARRAY_LEN(secret_rows)};

#define POST_ROW(where, schema, what)                                                                        \
    {                                                                                                        \
        .verb = DV_HTTP_POST, .path = where, .group = DV__GROUP_CHAT, .flags = DV__ROW_JOB, .body = &schema, \
        .summary = "a \"line\"", .reply = what                                                               \
    }
static const dv__row test_rows[] = {
    {.verb = DV_HTTP_GET,
     .path = "/health",
     .group = DV__GROUP_STATUS,
     .flags = DV__ROW_PUBLIC | DV__ROW_ALWAYS,
     .summary = "Health",
     .reply = "Status"},
    {.verb = DV_HTTP_GET,
     .path = "/v1/models",
     .group = DV__GROUP_MODELS,
     .flags = DV__ROW_BARE,
     .query = &dv__schema_model_query,
     .summary = "Models",
     .reply = "ModelList"},
    {.verb = DV_HTTP_GET,
     .path = "/v1/models/{model*}",
     .group = DV__GROUP_MODELS,
     .flags = DV__ROW_BARE,
     .summary = "A model",
     .reply = "Model"},
    {.verb = DV_HTTP_POST,
     .path = "/v1/chat/completions",
     .group = DV__GROUP_CHAT,
     .flags = DV__ROW_JOB | DV__ROW_BARE,
     .body = &dv__schema_chat,
     .summary = "Chat",
     .reply = "ChatCompletion"},
    {.verb = DV_HTTP_POST,
     .path = "/v1/completions",
     .api = DV_CONF_API_OPENAI,
     .group = DV__GROUP_COMPLETIONS,
     .flags = DV__ROW_JOB | DV__ROW_BARE,
     .body = &dv__schema_completions,
     .summary = "Text",
     .reply = "Completion"},
    {.verb = DV_HTTP_POST,
     .path = "/completions",
     .group = DV__GROUP_COMPLETIONS,
     .flags = DV__ROW_JOB,
     .body = &dv__schema_completion,
     .summary = "Text",
     .reply = "Completion"},
    {.verb = DV_HTTP_POST,
     .path = "/v1/messages",
     .group = DV__GROUP_CHAT,
     .style = DV_STYLE_ANTHROPIC,
     .flags = DV__ROW_JOB,
     .body = &dv__schema_messages,
     .summary = "Messages",
     .reply = "Message"},
    POST_ROW("/v1/embeddings", dv__schema_embeddings, "Embeddings"),
    POST_ROW("/embeddings", dv__schema_native_embeddings, "Embeddings"),
    POST_ROW("/v1/rerank", dv__schema_rerank, "Rerank"),
    POST_ROW("/v1/responses", dv__schema_responses, "Response"),
    POST_ROW("/v1/responses/input_tokens", dv__schema_response_tokens, "TokenCount"),
    POST_ROW("/v1/messages/count_tokens", dv__schema_count_tokens, "TokenCount"),
    POST_ROW("/infill", dv__schema_infill, "Completion"),
    POST_ROW("/tokenize", dv__schema_tokenize, "Tokens"),
    POST_ROW("/detokenize", dv__schema_detokenize, "Text"),
    POST_ROW("/apply-template", dv__schema_apply_template, "Prompt"),
    {.verb = DV_HTTP_GET,
     .path = "/props",
     .group = DV__GROUP_SLOTS,
     .query = &dv__schema_model_query,
     .summary = "Properties",
     .reply = "Props"},
    {.verb = DV_HTTP_GET,
     .path = "/slots",
     .group = DV__GROUP_SLOTS,
     .query = &dv__schema_slots_query,
     .summary = "Slots",
     .reply = "Slots"},
    {.verb = DV_HTTP_POST,
     .path = "/slots/{slot}",
     .group = DV__GROUP_ADMIN,
     .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_OPTIONAL,
     .body = &dv__schema_slot_action,
     .query = &dv__schema_slot_query,
     .summary = "Slot",
     .reply = "SlotAction"},
    {.verb = DV_HTTP_GET,
     .path = "/metrics",
     .group = DV__GROUP_METRICS,
     .summary = "Metrics",
     .reply = "Metrics",
     .type = "text/plain"},
    {.verb = DV_HTTP_POST,
     .path = "/api/login",
     .group = DV__GROUP_APP,
     .flags = DV__ROW_LOGIN,
     .body = &secret_schema,
     .summary = "Log in",
     .reply = "Session"},
    {.verb = DV_HTTP_GET,
     .path = "/api/session",
     .group = DV__GROUP_APP,
     .flags = DV__ROW_SESSION,
     .summary = "Session",
     .reply = "Session"},
    {.verb = DV_HTTP_GET,
     .path = "/api/keys",
     .group = DV__GROUP_ADMIN,
     .flags = DV__ROW_ADMIN,
     .summary = "Keys",
     .reply = "KeyList"},
    {.verb = DV_HTTP_DELETE,
     .path = "/api/keys/{id}",
     .group = DV__GROUP_ADMIN,
     .flags = DV__ROW_ADMIN | DV__ROW_WRITE,
     .summary = "Revoke",
     .reply = "Empty"},
    {.verb = DV_HTTP_PATCH,
     .path = "/api/users/{name}",
     .group = DV__GROUP_ADMIN,
     .flags = DV__ROW_ADMIN | DV__ROW_WRITE,
     .body = &secret_schema,
     .summary = "Change",
     .reply = "a sentence about it"},
};

const dv__row *dv__row_at(size_t i) { return i < DV_ARRAY_LEN(test_rows) ? &test_rows[i] : NULL; }

const char *dv__group_name(dv__group g)
{
    static const char *const names[] = {
#define GROUP_NAME(id, name, help) name,
        DV__GROUPS(GROUP_NAME)
#undef GROUP_NAME
    };
    return names[g];
}

#endif
