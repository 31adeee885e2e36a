/* SPDX-License-Identifier: MIT */
/* POST /v1/chat/completions and /apply-template. A message's role is one of a few words: templates write it between control tokens. */
#include "serve/fields.h"

/* clang-format off */

/* ---- parts of a message ---- */

static const dv__field url_fields[] = {
    F("url", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__URL_LEN, .help = "http:, https: or data:."),
    F_WORD("detail", "auto|low|high|original", "How closely to look."),
};
static const dv__schema url_schema = F_SCHEMA("MediaUrl", url_fields, NULL, "An image or a film.");
static const dv__field media_fields[] = {
    F("data", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__URL_LEN, .help = "In base64."),
    F_NAME("format", 32, "wav, mp3..."),
};
static const dv__schema media_schema = F_SCHEMA("MediaData", media_fields, NULL, "Sounds or films.");
static const dv__field file_fields[] = {
    F_NAME("file_data", DV__URL_LEN, "In base64."),
    F_NAME("file_id", DV__ID_LEN, "A file that was sent before."),
    F_NAME("filename", 1024, "Its name."),
};
static const dv__schema file_schema = F_SCHEMA("FileData", file_fields, NULL, "A file.");

static const dv__field part_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "text|refusal|image_url|input_audio|input_video|video_url|file", .help = "What it is."),
    F_TEXT("text", "Of type text."),
    F_TEXT("refusal", "Of type refusal."),
    F("image_url", T_OBJ, .of = &url_schema, .help = "Of type image_url."),
    F("video_url", T_OBJ, .of = &url_schema, .help = "Of type video_url."),
    F("input_audio", T_OBJ, .of = &media_schema, .help = "Of type input_audio."),
    F("input_video", T_OBJ, .of = &media_schema, .help = "Of type input_video."),
    F("file", T_OBJ, .of = &file_schema, .help = "Of type file."),
    F_FREE("cache_control", "Without effect."),
    F_FREE("prompt_cache_breakpoint", "Without effect."),
};
static const dv__schema part_schema = F_SCHEMA("ContentPart", part_fields, NULL, "A part of a message.");
static const dv__field part_item = {.types = T_OBJ, .of = &part_schema};

/* ---- calls ---- */

static const dv__field called_fields[] = {
    F("name", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__ID_LEN, .help = "Of the function."),
    F("arguments", T_STR | T_OBJ, .flags = DV__F_TEXT, .help = "JSON, as a text or as it is."),
    F_ANY("parsed_arguments", "Without effect: what clients made of the arguments."),
};
static const dv__schema called_schema = F_SCHEMA("FunctionCall", called_fields, NULL, "A function that was called.");
static const dv__field custom_called_fields[] = {
    F("name", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__ID_LEN, .help = "Of the tool."),
    F_TEXT("input", "Any text."),
};
static const dv__schema custom_called_schema = F_SCHEMA("CustomCall", custom_called_fields, NULL, "A custom tool that was called.");
static const dv__field call_fields[] = {
    F_NAME("id", DV__ID_LEN, "That the result names."),
    F_WORD("type", "function|custom", "What was called."),
    F("function", T_OBJ, .of = &called_schema, .help = "Of type function."),
    F("custom", T_OBJ, .of = &custom_called_schema, .help = "Of type custom."),
    F_INT("index", 0, 65535, "Without effect: its place in a stream."),
};
static const dv__schema call_schema = F_SCHEMA("ToolCall", call_fields, NULL, "A call in an assistant's message.");
static const dv__field call_item = {.types = T_OBJ, .of = &call_schema};

/* ---- messages ---- */

static const dv__field audio_fields[] = {
    F_NAME("id", DV__ID_LEN, "An answer that was heard."),
    F_NAME("data", DV__URL_LEN, "In base64."),
    F_INT("expires_at", 0, 9007199254740992.0, "Until when it is kept."),
    F_TEXT("transcript", "Its words."),
};
static const dv__schema audio_schema = F_SCHEMA("MessageAudio", audio_fields, NULL, "An answer that was heard.");
static const dv__field message_fields[] = {
    F("role", T_STR, .flags = DV__F_REQUIRED, .words = "system|developer|user|assistant|tool|function", .help = "Who says it."),
    F("content", T_STR | T_ARR, .flags = DV__F_TEXT | DV__F_NULL, .max_len = DV__PARTS, .item = &part_item, .help = "A text, or a list of parts."),
    F_NAME("name", DV__ID_LEN, "Of the speaker."),
    F_NAME("tool_call_id", DV__ID_LEN, "The call that it is the result of."),
    F("tool_calls", T_ARR, .max_len = DV__TOOLS, .item = &call_item, .help = "What the assistant called."),
    F_TEXT("reasoning_content", "What the assistant thought."),
    F_TEXT("reasoning", "The same by another name."),
    F_ANY("reasoning_details", "Without effect: what some servers say of it."),
    F("refusal", T_STR, .flags = DV__F_TEXT | DV__F_NULL, .help = "Why the assistant did not answer."),
    F("audio", T_OBJ, .of = &audio_schema, .help = "An answer that was heard."),
    F("function_call", T_OBJ, .of = &called_schema, .help = "Replaced by tool_calls."),
    F_ANY("annotations", "Without effect: what some servers say of an answer."),
    F_ANY("parsed", "Without effect: what clients made of an answer."),
    F_BOOL("prefix", "Without effect: that the answer goes on from here."),
    F_FREE("cache_control", "Without effect."),
};
static const dv__schema message_schema = F_SCHEMA("ChatMessage", message_fields, NULL, "A message of a conversation.");
const dv__field dv__part_message = {.types = T_OBJ, .of = &message_schema};

/* ---- tools ---- */

static const dv__field function_fields[] = {
    F("name", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__ID_LEN, .help = "Letters, digits, '_', '-' and '.'."),
    F_TEXT("description", "What it does."),
    F("parameters", T_OBJ, .flags = DV__F_TEXT, .help = "A JSON Schema of its arguments."),
    F_BOOL("strict", "Whether the schema binds the model."),
};
static const dv__schema function_schema = F_SCHEMA("FunctionDefinition", function_fields, NULL, "A function that the client runs.");
static const dv__field grammar_fields[] = {
    F_TEXT("definition", "The grammar."),
    F_WORD("syntax", "lark|regex", "Its language."),
};
static const dv__schema grammar_schema = F_SCHEMA("CustomToolGrammar", grammar_fields, NULL, "A grammar of a tool's input.");
static const dv__field input_format_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "text|grammar", .help = "What the input is."),
    F("grammar", T_OBJ, .of = &grammar_schema, .help = "Of type grammar."),
};
static const dv__schema input_format_schema = F_SCHEMA("CustomToolFormat", input_format_fields, NULL, "What a tool's input is.");
static const dv__field custom_fields[] = {
    F("name", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__ID_LEN, .help = "Its name."),
    F_TEXT("description", "What it does."),
    F("format", T_OBJ, .of = &input_format_schema, .help = "What its input is."),
};
static const dv__schema custom_schema = F_SCHEMA("CustomTool", custom_fields, NULL, "A tool that takes any text.");
static const dv__field tool_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "function|custom", .help = "What it is."),
    F("function", T_OBJ, .of = &function_schema, .help = "Of type function."),
    F("custom", T_OBJ, .of = &custom_schema, .help = "Of type custom."),
    F_FREE("cache_control", "Without effect."),
};
static const dv__schema tool_schema = F_SCHEMA("ChatTool", tool_fields, NULL, "A tool that the model may call.");
const dv__field dv__part_chat_tool = {.types = T_OBJ, .of = &tool_schema};

static const dv__field choice_name_fields[] = {F("name", T_STR, .flags = DV__F_REQUIRED, .max_len = DV__ID_LEN, .help = "Of a tool.")};
static const dv__schema choice_name_schema = F_SCHEMA("ToolName", choice_name_fields, NULL, "A tool by its name.");
static const dv__field allowed_item = {.types = T_OBJ};
static const dv__field allowed_fields[] = {
    F_WORD("mode", "auto|required", "Whether one must be called."),
    F("tools", T_ARR, .max_len = DV__TOOLS, .item = &allowed_item, .help = "Tools by type and name."),
};
static const dv__schema allowed_schema = F_SCHEMA("AllowedTools", allowed_fields, NULL, "Some of the tools.");
static const dv__field choice_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "function|custom|allowed_tools", .help = "What is chosen."),
    F("function", T_OBJ, .of = &choice_name_schema, .help = "Of type function."),
    F("custom", T_OBJ, .of = &choice_name_schema, .help = "Of type custom."),
    F("allowed_tools", T_OBJ, .of = &allowed_schema, .help = "Of type allowed_tools."),
};
static const dv__schema choice_schema = F_SCHEMA("ChatToolChoice", choice_fields, NULL, "A tool that must be called.");

/* ---- requests ---- */

static const dv__field modality_item = {.types = T_STR, .words = "text|audio"};
static const dv__field audio_out_fields[] = {
    F_NAME("format", 32, "wav, mp3..."),
    F("voice", T_STR | T_OBJ, .help = "Whose voice."),
};
static const dv__schema audio_out_schema = F_SCHEMA("AudioOutput", audio_out_fields, NULL, "How an answer sounds.");
static const dv__field prediction_fields[] = {
    F_WORD("type", "content", "What it is."),
    F("content", T_STR | T_ARR, .flags = DV__F_TEXT, .max_len = DV__PARTS, .item = &part_item, .help = "A text, or a list of parts."),
};
static const dv__schema prediction_schema = F_SCHEMA("Prediction", prediction_fields, NULL, "What much of the answer will be.");

static const dv__field chat_fields[] = {
    F("messages", T_ARR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = DV__MESSAGES, .item = &dv__part_message, .help = "The conversation."),
    F("tools", T_ARR, .max_len = DV__TOOLS, .item = &dv__part_chat_tool, .help = "What the model may call."),
    F("tool_choice", T_STR | T_OBJ, .words = "none|auto|required|any", .of = &choice_schema, .help = "Whether it must."),
    F_BOOL("parallel_tool_calls", "Whether it may call several at once."),
    F_BOOL("parse_tool_calls", "Whether calls are found in the answer."),
    F_BOOL("logprobs", "Log-probabilities of the tokens."),
    F_INT("top_logprobs", 0, 1024, "With so many alternatives."),
    F_INT("max_completion_tokens", -1, INT_MOST, "Most tokens of the answer."),
    F_RESPONSE_FORMAT,
    F_STREAM_OPTIONS,
    F_WORD("reasoning_effort", "none|minimal|low|medium|high|xhigh|max", "How much to think."),
    F_BOOL("add_generation_prompt", "Whether the template begins the answer."),
    F("continue_final_message", T_BOOL | T_STR, .max_len = 64, .help = "Whether the answer goes on from the last message."),
    F_BOOL("echo", "Show the beginning of the answer too."),
    F_WORD("verbosity", "low|medium|high", "How long answers are."),
    F("modalities", T_ARR, .max_len = 8, .item = &modality_item, .help = "What the answer is made of."),
    F("prediction", T_OBJ, .of = &prediction_schema, .help = "A hint to be faster."),
    F("audio", T_OBJ, .of = &audio_out_schema, .help = "How an answer sounds."),
    F_FREE("web_search_options", "A search in the web."),
    F_FREE("moderation", "Checks of input and output."),
    F("functions", T_ARR, .max_len = DV__TOOLS, .help = "Replaced by tools."),
    F("function_call", T_STR | T_OBJ, .of = &choice_name_schema, .words = "none|auto", .help = "Replaced by tool_choice."),
};
const dv__schema dv__schema_chat = F_SCHEMA("ChatCompletionRequest", chat_fields, &dv__part_generation, "A conversation that the model goes on with.");

const dv__schema dv__schema_apply_template = {.name = "ApplyTemplateRequest", .fields = NULL, .n = 0, .base = &dv__schema_chat,
                                              .help = "A chat of which the prompt is wanted."};
