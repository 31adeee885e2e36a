/* SPDX-License-Identifier: MIT */
/* Anthropic's POST /v1/messages and /v1/messages/count_tokens. What comes from hosted tools is passed on as it is. */
#include "serve/fields.h"

/* clang-format off */

/* ---- blocks ---- */

static const dv__schema block_schema;

static const dv__field cache_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "ephemeral", .help = "What kind of cache."),
    F_WORD("ttl", "5m|1h", "For how long."),
    F_ANY("scope", "For whom."),
};
static const dv__schema cache_schema = F_SCHEMA("CacheControl", cache_fields, NULL, "Without effect: every prefix is kept as long as there is room.");
#define F_CACHE F("cache_control", T_OBJ, .of = &cache_schema, .help = "Without effect: every prefix is kept as long as there is room.")

static const dv__field nested_item = {.types = T_OBJ, .of = &block_schema};
static const dv__field source_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "base64|url|file|text|content", .help = "Where it is."),
    F_NAME("media_type", 128, "image/png..."),
    F("data", T_STR, .flags = DV__F_TEXT, .max_len = DV__URL_LEN, .help = "In base64, or the text."),
    F_NAME("url", DV__URL_LEN, "Where it is."),
    F_NAME("file_id", DV__ID_LEN, "A file that was sent before."),
    F("content", T_STR | T_ARR, .flags = DV__F_TEXT, .max_len = DV__PARTS, .item = &nested_item, .help = "A text, or a list of blocks."),
};
static const dv__schema source_schema = F_SCHEMA("BlockSource", source_fields, NULL, "Where an image or a document is.");

static const dv__field block_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .max_len = 64, .help = "text, thinking, tool_use, tool_result, image, document..."),
    F_TEXT("text", "Of type text."),
    F_TEXT("thinking", "Of type thinking."),
    F_NAME("signature", DV__URL_LEN, "Of type thinking."),
    F("data", T_STR, .max_len = DV__URL_LEN, .help = "Of type redacted_thinking."),
    F_NAME("id", DV__ID_LEN, "Of type tool_use."),
    F_NAME("name", DV__ID_LEN, "Of type tool_use."),
    F("input", T_OBJ, .flags = DV__F_TEXT, .help = "Of type tool_use."),
    F_NAME("tool_use_id", DV__ID_LEN, "The call that it is the result of."),
    F("content", T_STR | T_ARR | T_OBJ, .flags = DV__F_TEXT, .max_len = DV__PARTS, .item = &nested_item, .help = "Of a result: a text, a list of blocks, or what a hosted tool gave."),
    F_BOOL("is_error", "Whether the call failed."),
    F("source", T_OBJ | T_STR, .of = &source_schema, .help = "Of an image or a document."),
    F_TEXT("title", "Of a document."),
    F_TEXT("context", "Of a document."),
    F_ANY("citations", "Of a document, or within a text."),
    F_CACHE,
    F_ANY("caller", "Who called."),
    F_NAME("toolset_name", DV__ID_LEN, "Where the tool is."),
    F_NAME("tool_name", DV__ID_LEN, "Of type tool_reference."),
    F_ANY("transformations", "Of an image."),
    F_NAME("file_id", DV__ID_LEN, "Of a hosted tool."),
    F_NAME("server_name", DV__ID_LEN, "Of a hosted tool."),
    F_NAME("mcp_server_name", DV__ID_LEN, "Of a hosted tool."),
    F_NAME("url", DV__URL_LEN, "Of a hosted tool."),
    F_NAME("page_age", 256, "Of a hosted tool."),
    F_NAME("retrieved_at", 256, "Of a hosted tool."),
    F_NAME("encrypted_content", DV__URL_LEN, "Of a hosted tool."),
    F_NAME("error_code", 128, "Of a hosted tool."),
    F_ANY("tabs", "Of a hosted tool."),
    F_ANY("state_changes", "Of a hosted tool."),
    F_ANY("tools", "Of a hosted tool."),
    F_ANY("tool_changes", "Of a hosted tool."),
    F_ANY("trigger", "Of a hosted tool."),
    F_ANY("from", "Of a hosted tool."),
    F_ANY("to", "Of a hosted tool."),
    F_ANY("stop_reason", "Of a hosted tool."),
};
static const dv__schema block_schema = F_SCHEMA("MessageBlock", block_fields, NULL, "A block of a message.");

/* ---- messages, tools ---- */

static const dv__field message_fields[] = {
    F("role", T_STR, .flags = DV__F_REQUIRED, .words = "user|assistant|system", .help = "Who says it."),
    F("content", T_STR | T_ARR, .flags = DV__F_TEXT | DV__F_REQUIRED, .max_len = DV__PARTS, .item = &nested_item, .help = "A text, or a list of blocks."),
};
static const dv__schema message_schema = F_SCHEMA("MessageParam", message_fields, NULL, "A message of a conversation.");
static const dv__field message_item = {.types = T_OBJ, .of = &message_schema};

static const dv__field tool_fields[] = {
    F_NAME("type", 64, "custom; hosted tools are refused by servers without them."),
    F_NAME("name", DV__ID_LEN, "Letters, digits, '_', '-' and '.'."),
    F_TEXT("description", "What it does."),
    F("input_schema", T_OBJ, .flags = DV__F_TEXT, .help = "A JSON Schema of its input."),
    F("input_examples", T_ARR, .flags = DV__F_TEXT, .max_len = 1024, .help = "Inputs that it may have."),
    F_BOOL("strict", "Whether the schema binds the model."),
    F_BOOL("defer_loading", "Whether it is loaded when it is needed."),
    F_BOOL("eager_input_streaming", "Whether its input comes as it is made."),
    F_ANY("allowed_callers", "Who may call it."),
    F_CACHE,
    F_ANY("allowed_domains", "Of a hosted tool."),
    F_ANY("blocked_domains", "Of a hosted tool."),
    F_ANY("caching", "Of a hosted tool."),
    F_ANY("citations", "Of a hosted tool."),
    F_ANY("configs", "Of a hosted tool."),
    F_ANY("default_config", "Of a hosted tool."),
    F_ANY("display_height_px", "Of a hosted tool."),
    F_ANY("display_number", "Of a hosted tool."),
    F_ANY("display_width_px", "Of a hosted tool."),
    F_ANY("enable_zoom", "Of a hosted tool."),
    F_ANY("max_characters", "Of a hosted tool."),
    F_ANY("max_content_tokens", "Of a hosted tool."),
    F_ANY("max_tokens", "Of a hosted tool."),
    F_ANY("max_uses", "Of a hosted tool."),
    F_ANY("mcp_server_name", "Of a hosted tool."),
    F_ANY("model", "Of a hosted tool."),
    F_ANY("response_inclusion", "Of a hosted tool."),
    F_ANY("tools", "Of a hosted tool."),
    F_ANY("url_sources", "Of a hosted tool."),
    F_ANY("use_cache", "Of a hosted tool."),
    F_ANY("user_location", "Of a hosted tool."),
};
static const dv__schema tool_schema = F_SCHEMA("MessageTool", tool_fields, NULL, "A tool that the model may call.");
static const dv__field tool_item = {.types = T_OBJ, .of = &tool_schema};
static const dv__field choice_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "auto|any|tool|none", .help = "Whether one must be called."),
    F_NAME("name", DV__ID_LEN, "Of type tool."),
    F_BOOL("disable_parallel_tool_use", "Only one at a time."),
};
static const dv__schema choice_schema = F_SCHEMA("MessageToolChoice", choice_fields, NULL, "Whether a tool must be called.");

/* ---- settings ---- */

static const dv__field thinking_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "enabled|disabled|adaptive|between_tools", .help = "Whether to think."),
    F_INT("budget_tokens", 0, INT_MOST, "Most tokens of thoughts."),
    F_WORD("display", "summarized|omitted", "What is shown of them."),
};
static const dv__schema thinking_schema = F_SCHEMA("ThinkingConfig", thinking_fields, NULL, "Whether the model thinks.");
static const dv__field format_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "json_schema", .help = "What the answer must be."),
    F("schema", T_OBJ, .flags = DV__F_REQUIRED, .help = "A JSON Schema."),
    F_NAME("name", DV__ID_LEN, "Of the schema."),
};
static const dv__schema format_schema = F_SCHEMA("MessageOutputFormat", format_fields, NULL, "What the answer must be.");
static const dv__field output_fields[] = {
    F_WORD("effort", "low|medium|high|xhigh|max", "How much to do."),
    F("format", T_OBJ, .of = &format_schema, .help = "What the answer must be."),
    F_FREE("task_budget", "Most tokens of a task."),
};
static const dv__schema output_schema = F_SCHEMA("MessageOutputConfig", output_fields, NULL, "What the answer is like.");
static const dv__field server_item = {.types = T_OBJ};
static const dv__field beta_item = {.types = T_STR, .max_len = 128};

/* ---- requests ---- */

#define SHARED_FIELDS                                                                                                           \
    F("messages", T_ARR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = DV__MESSAGES, .item = &message_item, .help = "The conversation."), \
    F("system", T_STR | T_ARR, .flags = DV__F_TEXT, .max_len = DV__PARTS, .item = &nested_item, .help = "What comes before it."), \
    F("tools", T_ARR, .max_len = DV__TOOLS, .item = &tool_item, .help = "What the model may call."),                            \
    F("tool_choice", T_OBJ, .of = &choice_schema, .help = "Whether it must."),                                                  \
    F("thinking", T_OBJ, .of = &thinking_schema, .help = "Whether it thinks."),                                                 \
    F("output_config", T_OBJ, .of = &output_schema, .help = "What the answer is like."),                                        \
    F("output_format", T_OBJ, .of = &format_schema, .help = "Another place for output_config.format."),                         \
    F_CACHE,                                                                                                                    \
    F_WORD("speed", "standard|fast", "How fast."),                                                                              \
    F_NAME("user_profile_id", DV__MODEL_LEN, "Without effect."),                                                                \
    F_NAME("workspace_id", DV__MODEL_LEN, "Without effect."),                                                                   \
    F_FREE("context_management", "What becomes of a context that is too long."),                                                \
    F_FREE("compaction", "What becomes of a context that is too long."),                                                        \
    F_ANY("billing_policy", "Of hosted models."),                                                                               \
    F("mcp_servers", T_ARR, .max_len = 64, .item = &server_item, .help = "Servers of tools."),                                  \
    F("betas", T_ARR, .max_len = 64, .item = &beta_item, .help = "Without effect.")

static const dv__field rows[] = {
    SHARED_FIELDS,
    F("max_tokens", T_INT, .flags = DV__F_REQUIRED, .min = 0, .max = INT_MOST, .help = "Most tokens of the answer."),
    F("stop_sequences", T_ARR, .max_len = DV__STOPS, .item = &dv__part_stop, .help = "Texts that end the answer."),
    F("container", T_STR | T_OBJ, .help = "Of hosted tools."),
    F_NAME("inference_geo", 64, "Of hosted models."),
    F_FREE("diagnostics", "Of hosted models."),
    F("fallback_credit_token", T_STR | T_OBJ, .help = "Of hosted models."),
    F_ANY("fallbacks", "Of hosted models."),
    F_FREE("thread", "Of hosted models."),
};
const dv__schema dv__schema_messages = F_SCHEMA("MessageRequest", rows, &dv__part_generation, "A conversation that the model goes on with.");

static const dv__field count_rows[] = {
    SHARED_FIELDS,
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
    F("chat_template_kwargs", T_OBJ, .flags = DV__F_TEXT, .help = "Variables of the chat template."),
};
const dv__schema dv__schema_count_tokens = F_SCHEMA("CountTokensRequest", count_rows, NULL, "A conversation of which the tokens are counted.");
