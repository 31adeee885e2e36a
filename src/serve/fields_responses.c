/* SPDX-License-Identifier: MIT */
/* POST /v1/responses and /v1/responses/input_tokens. What comes from hosted tools (searches, shells, images) is passed on as it is. */
#include "serve/fields.h"

/* clang-format off */

/* ---- items ---- */

static const dv__field part_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .max_len = 64, .help = "input_text, output_text, input_image, reasoning_text..."),
    F_TEXT("text", "Its text."),
    F_TEXT("refusal", "Why the model did not answer."),
    F_NAME("image_url", DV__URL_LEN, "http:, https: or data:."),
    F_WORD("detail", "auto|low|high|original", "How closely to look."),
    F_NAME("file_id", DV__ID_LEN, "A file that was sent before."),
    F_NAME("file_url", DV__URL_LEN, "Where the file is."),
    F_NAME("file_data", DV__URL_LEN, "In base64."),
    F_NAME("filename", 1024, "Its name."),
    F_FREE("input_audio", "Sounds."),
    F_ANY("annotations", "Without effect."),
    F_ANY("logprobs", "Without effect."),
    F_ANY("parsed", "Without effect: what clients made of an answer."),
    F_FREE("prompt_cache_breakpoint", "Without effect."),
};
static const dv__schema part_schema = F_SCHEMA("ResponsePart", part_fields, NULL, "A part of an item.");
static const dv__field part_item = {.types = T_OBJ, .of = &part_schema};

#define F_PARTS(n, about) F(n, T_STR | T_ARR, .flags = DV__F_TEXT, .max_len = DV__PARTS, .item = &part_item, .help = about)

static const dv__field item_fields[] = {
    F_NAME("type", 64, "message, function_call, function_call_output, reasoning...; absent: message."),
    F_NAME("id", DV__ID_LEN, "That the server gave it."),
    F_WORD("status", "in_progress|completed|incomplete|searching|interpreting|generating|calling|failed", "How far it is."),
    F_WORD("role", "system|developer|user|assistant", "Who says it."),
    F_PARTS("content", "A text, or a list of parts."),
    F_WORD("phase", "commentary|final_answer", "Which part of an answer it is."),
    F_NAME("call_id", DV__ID_LEN, "A call, or what it is the result of."),
    F_NAME("name", DV__ID_LEN, "Of the function."),
    F_NAME("namespace", DV__ID_LEN, "Where the function is."),
    F("arguments", T_STR | T_OBJ, .flags = DV__F_TEXT, .help = "JSON, as a text or as it is."),
    F_ANY("parsed_arguments", "Without effect: what clients made of the arguments."),
    F("output", T_STR | T_ARR | T_OBJ, .flags = DV__F_TEXT, .max_len = DV__PARTS, .help = "A result: a text, a list of parts, or what a hosted tool gave."),
    F_PARTS("summary", "Of thoughts."),
    F_NAME("encrypted_content", DV__URL_LEN, "For the server that made it."),
    F_TEXT("input", "Of a custom tool."),
    F_BOOL("async", "Whether the call is waited for."),
    F_ANY("caller", "Who called."),
    F_ANY("action", "Of a hosted tool."),
    F_ANY("actions", "Of a hosted tool."),
    F_ANY("operation", "Of a hosted tool."),
    F_ANY("environment", "Of a hosted tool."),
    F_ANY("execution", "Of a hosted tool."),
    F_ANY("queries", "Of a hosted tool."),
    F_ANY("results", "Of a hosted tool."),
    F_ANY("result", "Of a hosted tool."),
    F_ANY("outputs", "Of a hosted tool."),
    F_ANY("error", "Of a hosted tool."),
    F_ANY("tools", "Of a hosted tool."),
    F_TEXT("code", "Of a hosted tool."),
    F_NAME("container_id", DV__ID_LEN, "Of a hosted tool."),
    F_NAME("server_label", DV__ID_LEN, "Of a hosted tool."),
    F_NAME("fingerprint", DV__LABEL_LEN, "Of a hosted tool."),
    F_NAME("approval_request_id", DV__ID_LEN, "Of a hosted tool."),
    F_BOOL("approve", "Whether a call is allowed."),
    F_TEXT("reason", "Why."),
    F_INT("max_output_length", 0, 9007199254740992.0, "Of a hosted tool."),
    F_ANY("acknowledged_safety_checks", "Of a hosted tool."),
    F_ANY("pending_safety_checks", "Of a hosted tool."),
    F_TEXT("revised_prompt", "Of an image."),
    F_NAME("background", 64, "Of an image."),
    F_NAME("output_format", 64, "Of an image."),
    F_NAME("quality", 64, "Of an image."),
    F_NAME("size", 64, "Of an image."),
    F_ANY("svg_usage", "Of an image."),
    F_ANY("reasoning", "A change of what is set."),
    F_ANY("text", "A change of what is set."),
};
static const dv__schema item_schema = F_SCHEMA("ResponseItem", item_fields, NULL, "A message, a call, a result or thoughts.");
static const dv__field input_item = {.types = T_STR | T_OBJ, .flags = DV__F_TEXT, .of = &item_schema};

/* ---- tools ---- */

static const dv__field tool_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .max_len = 64, .help = "function; hosted tools are refused by servers without them."),
    F_NAME("name", DV__ID_LEN, "Of the function."),
    F_TEXT("description", "What it does."),
    F("parameters", T_OBJ, .flags = DV__F_TEXT, .help = "A JSON Schema of its arguments."),
    F_BOOL("strict", "Whether the schema binds the model."),
    F_ANY("output_schema", "A JSON Schema of its result."),
    F_ANY("format", "Of a custom tool."),
    F_BOOL("async", "Whether calls are waited for."),
    F_BOOL("defer_loading", "Whether it is loaded when it is needed."),
    F_ANY("allowed_callers", "Who may call it."),
    F_ANY("tools", "Of a namespace."),
    F_ANY("execution", "Of a hosted tool."),
    F_ANY("container", "Of a hosted tool."),
    F_ANY("environment", "Of a hosted tool."),
    F_ANY("filters", "Of a hosted tool."),
    F_ANY("ranking_options", "Of a hosted tool."),
    F_ANY("vector_store_ids", "Of a hosted tool."),
    F_ANY("max_num_results", "Of a hosted tool."),
    F_ANY("user_location", "Of a hosted tool."),
    F_ANY("search_context_size", "Of a hosted tool."),
    F_ANY("search_content_types", "Of a hosted tool."),
    F_ANY("external_web_access", "Of a hosted tool."),
    F_ANY("display_height", "Of a hosted tool."),
    F_ANY("display_width", "Of a hosted tool."),
    F_ANY("allowed_tools", "Of a server of tools."),
    F_ANY("authorization", "Of a server of tools."),
    F_ANY("connector_id", "Of a server of tools."),
    F_ANY("headers", "Of a server of tools."),
    F_ANY("require_approval", "Of a server of tools."),
    F_ANY("server_description", "Of a server of tools."),
    F_ANY("server_label", "Of a server of tools."),
    F_ANY("server_url", "Of a server of tools."),
    F_ANY("tunnel_id", "Of a server of tools."),
    F_ANY("action", "Of images."),
    F_ANY("background", "Of images."),
    F_ANY("complexity", "Of images."),
    F_ANY("frame_count", "Of images."),
    F_ANY("frame_duration_ms", "Of images."),
    F_ANY("input_fidelity", "Of images."),
    F_ANY("input_image_mask", "Of images."),
    F_ANY("model", "Of images."),
    F_ANY("moderation", "Of images."),
    F_ANY("output_compression", "Of images."),
    F_ANY("output_format", "Of images."),
    F_ANY("partial_images", "Of images."),
    F_ANY("quality", "Of images."),
    F_ANY("size", "Of images."),
    F_ANY("svg", "Of images."),
};
static const dv__schema tool_schema = F_SCHEMA("ResponseTool", tool_fields, NULL, "A tool that the model may call.");
static const dv__field tool_item = {.types = T_OBJ, .of = &tool_schema};
static const dv__field choice_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .max_len = 64, .help = "function, allowed_tools..."),
    F_NAME("name", DV__ID_LEN, "Of the function."),
    F_WORD("mode", "auto|required", "Of allowed_tools."),
    F("tools", T_ARR, .max_len = DV__TOOLS, .help = "Of allowed_tools."),
    F_NAME("server_label", DV__ID_LEN, "Of a server of tools."),
};
static const dv__schema choice_schema = F_SCHEMA("ResponseToolChoice", choice_fields, NULL, "A tool that must be called.");

/* ---- settings ---- */

static const dv__field reasoning_fields[] = {
    F_WORD("effort", "none|minimal|low|medium|high|xhigh|max", "How much to think."),
    F_WORD("summary", "auto|concise|detailed", "Of the thoughts."),
    F_WORD("generate_summary", "auto|concise|detailed", "Another name of summary."),
    F_WORD("context", "auto|current_turn|all_turns", "Which thoughts the model sees again."),
    F_NAME("mode", 64, "standard or pro."),
};
static const dv__schema reasoning_schema = F_SCHEMA("ReasoningConfig", reasoning_fields, NULL, "How the model thinks.");
static const dv__field format_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "text|json_object|json_schema", .help = "What the answer must be."),
    F_NAME("name", DV__ID_LEN, "Of the schema."),
    F_TEXT("description", "What the schema is for."),
    F_FREE("schema", "A JSON Schema."),
    F_BOOL("strict", "Whether it binds the answer."),
};
static const dv__schema format_schema = F_SCHEMA("ResponseTextFormat", format_fields, NULL, "What the answer must be.");
static const dv__field text_fields[] = {
    F("format", T_OBJ, .of = &format_schema, .help = "What the answer must be."),
    F_WORD("verbosity", "low|medium|high", "How long answers are."),
};
static const dv__schema text_schema = F_SCHEMA("ResponseTextConfig", text_fields, NULL, "What the answer is like.");
static const dv__field include_item = {.types = T_STR, .words =
    "file_search_call.results|web_search_call.results|web_search_call.action.sources|message.input_image.image_url|"
    "computer_call_output.output.image_url|code_interpreter_call.outputs|reasoning.encrypted_content|message.output_text.logprobs"};
static const dv__field management_item = {.types = T_OBJ};

/* ---- requests ---- */

#define SHARED_FIELDS                                                                                                             \
    F("input", T_STR | T_ARR, .flags = DV__F_TEXT, .max_len = DV__MESSAGES, .item = &input_item, .help = "A text, or a list of items."), \
    F_TEXT("instructions", "What a system message would say."),                                                                   \
    F("tools", T_ARR, .max_len = DV__TOOLS, .item = &tool_item, .help = "What the model may call."),                              \
    F("tool_choice", T_STR | T_OBJ, .words = "none|auto|required", .of = &choice_schema, .help = "Whether it must."),             \
    F_BOOL("parallel_tool_calls", "Whether it may call several at once."),                                                        \
    F("reasoning", T_OBJ, .of = &reasoning_schema, .help = "How the model thinks."),                                              \
    F("text", T_OBJ, .of = &text_schema, .help = "What the answer is like."),                                                     \
    F_WORD("truncation", "auto|disabled", "Whether a conversation that is too long is cut."),                                     \
    F_NAME("previous_response_id", DV__ID_LEN, "A response that was stored."),                                                    \
    F("conversation", T_STR | T_OBJ, .help = "A conversation that was stored.")

static const dv__field rows[] = {
    SHARED_FIELDS,
    F_INT("max_output_tokens", -1, INT_MOST, "Most tokens of the answer."),
    F("include", T_ARR, .max_len = 64, .item = &include_item, .help = "What else the answer shows."),
    F_STREAM_OPTIONS,
    F_BOOL("background", "Answer later."),
    F_INT("top_logprobs", 0, 1024, "Log-probabilities, with so many alternatives."),
    F_FREE("prompt", "A prompt that was stored."),
    F_FREE("moderation", "Checks of input and output."),
    F("context_management", T_ARR, .max_len = 64, .item = &management_item, .help = "What becomes of a context that is too long."),
    F_INT("max_tool_calls", 0, INT_MOST, "Most calls of hosted tools."),
    F_FREE("access_programs", "For hosted models."),
    F_FREE("image", "How images are kept."),
    F_INT("max_completion_tokens", -1, INT_MOST, "Called max_output_tokens here."),
    F_RESPONSE_FORMAT,
};
const dv__schema dv__schema_responses = F_SCHEMA("ResponseRequest", rows, &dv__part_generation, "A conversation that the model goes on with.");

static const dv__field token_rows[] = {
    SHARED_FIELDS,
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
    F_NAME("personality", 64, "Of the answer."),
};
const dv__schema dv__schema_response_tokens = F_SCHEMA("ResponseTokensRequest", token_rows, NULL, "A conversation of which the tokens are counted.");
