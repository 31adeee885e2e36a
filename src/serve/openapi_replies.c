/* SPDX-License-Identifier: MIT */
/* What successes look like. These forms check nothing; they are for people, and for programs that are made of the document. Further fields may come at any
 * time. */
#include "serve/fields.h"
#include "serve/openapi.h"

#include <string.h>

/* clang-format off */

#define OBJECT(n, s, about) F(n, T_OBJ, .of = &(s), .help = about)
#define ARRAY(n, i, about) F(n, T_ARR, .item = &(i), .help = about)
#define TEXT(n, about) F(n, T_STR, .help = about)
#define TEXT_OR_NULL(n, about) F(n, T_STR, .flags = DV__F_NULL, .help = about)
#define COUNT(n, about) F(n, T_INT, .min = 0, .max = 9007199254740992.0, .help = about)
#define NUMBER(n, about) F(n, T_NUM, .help = about)
#define FORM(title, rows) static const dv__schema rows##_form = F_SCHEMA(title, rows, NULL, NULL)

static const dv__field any_object = {.types = T_OBJ}, any_string = {.types = T_STR}, any_number = {.types = T_NUM};

/* ---- errors ---- */

static const dv__field error_detail[] = {
    TEXT("message", "A sentence; about a field it begins with its place."),
    TEXT("type", "invalid_request_error, authentication_error..."),
    TEXT_OR_NULL("param", "The field."),
    F("code", T_INT | T_STR, .flags = DV__F_NULL, .min = 0, .max = 999, .help = "The status."),
};
FORM("ErrorDetail", error_detail);
static const dv__field error[] = {OBJECT("error", error_detail_form, "What went wrong.")};
FORM("Error", error);
static const dv__field anthropic_detail[] = {TEXT("type", "invalid_request_error, rate_limit_error..."), TEXT("message", "A sentence.")};
FORM("AnthropicErrorDetail", anthropic_detail);
static const dv__field anthropic_error[] = {
    F_WORD("type", "error", "Always error."),
    OBJECT("error", anthropic_detail_form, "What went wrong."),
    TEXT("request_id", "Of the request."),
};
FORM("AnthropicError", anthropic_error);

/* ---- answers of models ---- */

static const dv__field usage[] = {
    COUNT("prompt_tokens", "Of the prompt."),
    COUNT("completion_tokens", "Of the answer."),
    COUNT("total_tokens", "Of both."),
    F_FREE("prompt_tokens_details", "cached_tokens: those that did not have to be computed."),
    F_FREE("completion_tokens_details", "reasoning_tokens: those of thoughts."),
};
FORM("Usage", usage);
static const dv__field answer_message[] = {
    F_WORD("role", "assistant", "Always assistant."),
    TEXT_OR_NULL("content", "The answer."),
    TEXT("reasoning_content", "Thoughts."),
    ARRAY("tool_calls", any_object, "Calls: id, type, function.name, function.arguments."),
    TEXT_OR_NULL("refusal", "Always null."),
};
FORM("ChatCompletionMessage", answer_message);
static const dv__field chat_choice[] = {
    COUNT("index", "Of n."),
    OBJECT("message", answer_message_form, "The answer."),
    F("logprobs", T_OBJ, .flags = DV__F_NULL, .help = "Of the tokens."),
    TEXT_OR_NULL("finish_reason", "stop, length, tool_calls."),
};
FORM("ChatCompletionChoice", chat_choice);
static const dv__field chat_choice_item = {.types = T_OBJ, .of = &chat_choice_form};
static const dv__field chat_completion[] = {
    TEXT("id", "chatcmpl-..."),
    F_WORD("object", "chat.completion", "Always chat.completion."),
    COUNT("created", "Seconds since 1970."),
    TEXT("model", "As it was asked for."),
    TEXT_OR_NULL("system_fingerprint", "Of the server."),
    ARRAY("choices", chat_choice_item, "The answers."),
    OBJECT("usage", usage_form, "Tokens."),
    F_FREE("timings", "As llama-server has them."),
};
FORM("ChatCompletion", chat_completion);
static const dv__field completion[] = {
    TEXT("id", "cmpl-..."),
    TEXT("object", "text_completion."),
    COUNT("created", "Seconds since 1970."),
    TEXT("model", "As it was asked for."),
    ARRAY("choices", any_object, "OpenAI's: text, index, logprobs, finish_reason."),
    OBJECT("usage", usage_form, "Tokens."),
    TEXT("content", "llama-server's: the answer."),
    ARRAY("tokens", any_number, "The answer's tokens."),
    F_BOOL("stop", "Whether it is complete."),
    TEXT("stop_type", "eos, word, limit."),
    TEXT("stopping_word", "Which stop string it was."),
    COUNT("tokens_predicted", "Of the answer."),
    COUNT("tokens_evaluated", "Of the prompt."),
    F_FREE("generation_settings", "What was set."),
    F_FREE("timings", "As llama-server has them."),
};
FORM("Completion", completion);
static const dv__field embedding[] = {
    F_WORD("object", "embedding", "Always embedding."),
    COUNT("index", "Of the input."),
    F("embedding", T_ARR | T_STR, .item = &any_number, .help = "Numbers, or base64."),
};
FORM("Embedding", embedding);
static const dv__field embedding_item = {.types = T_OBJ, .of = &embedding_form};
static const dv__field embeddings[] = {
    F_WORD("object", "list", "Always list."),
    ARRAY("data", embedding_item, "One for each input."),
    TEXT("model", "As it was asked for."),
    OBJECT("usage", usage_form, "Tokens."),
};
FORM("EmbeddingList", embeddings);
static const dv__field response[] = {
    TEXT("id", "resp_..."),
    F_WORD("object", "response", "Always response."),
    COUNT("created_at", "Seconds since 1970."),
    F_WORD("status", "completed|incomplete|in_progress|failed|queued|cancelled", "How far it is."),
    TEXT("model", "As it was asked for."),
    ARRAY("output", any_object, "Items: reasoning, message, function_call."),
    F("error", T_OBJ, .flags = DV__F_NULL, .help = "What went wrong."),
    F("incomplete_details", T_OBJ, .flags = DV__F_NULL, .help = "Why it is incomplete."),
    F("usage", T_OBJ, .flags = DV__F_NULL, .help = "input_tokens, output_tokens, total_tokens."),
};
FORM("Response", response);
static const dv__field message[] = {
    TEXT("id", "msg_..."),
    F_WORD("type", "message", "Always message."),
    F_WORD("role", "assistant", "Always assistant."),
    TEXT("model", "As it was asked for."),
    ARRAY("content", any_object, "Blocks: thinking, text, tool_use."),
    TEXT_OR_NULL("stop_reason", "end_turn, max_tokens, stop_sequence, tool_use, model_context_window_exceeded."),
    TEXT_OR_NULL("stop_sequence", "Which one it was."),
    F_FREE("usage", "input_tokens, output_tokens, cache_read_input_tokens."),
};
FORM("Message", message);
static const dv__field token_count[] = {COUNT("input_tokens", "Of the prompt."), TEXT("object", "response.input_tokens, of responses.")};
FORM("TokenCount", token_count);
static const dv__field token_item = {.types = T_INT | T_OBJ, .min = 0, .max = INT_MOST};
static const dv__field tokens[] = {ARRAY("tokens", token_item, "Numbers, or objects with id and piece.")};
FORM("Tokens", tokens);
static const dv__field text[] = {TEXT("content", "The text.")};
FORM("Text", text);
static const dv__field prompt[] = {TEXT("prompt", "What the model would see.")};
FORM("Prompt", prompt);
static const dv__field rerank[] = {ARRAY("results", any_object, "index, relevance_score."), F_FREE("usage", "Tokens.")};
FORM("Rerank", rerank);

/* ---- engines ---- */

static const dv__field props[] = {
    F_FREE("default_generation_settings", "What is set if a request says nothing."),
    COUNT("total_slots", "Places for sequences."),
    TEXT("model_alias", "Its name."),
    TEXT("model_path", "Its file."),
    TEXT("chat_template", "Of the model."),
    TEXT("build_info", "Of the server."),
};
FORM("Props", props);
static const dv__field slot[] = {COUNT("id", "Its number."), COUNT("n_ctx", "Tokens of context."), F_BOOL("is_processing", "Whether it is busy."), F_FREE("params", "What is set.")};
FORM("Slot", slot);
static const dv__field slot_item = {.types = T_OBJ, .of = &slot_form};
static const dv__field slot_action[] = {
    COUNT("id_slot", "Which slot."),
    TEXT("filename", "The file."),
    COUNT("n_saved", "Tokens that were saved."),
    COUNT("n_restored", "Tokens that were restored."),
    COUNT("n_erased", "Tokens that were forgotten."),
};
FORM("SlotAction", slot_action);

/* ---- the service ---- */

static const dv__field status[] = {F_WORD("status", "ok", "Always ok.")};
FORM("Status", status);
static const dv__field health[] = {
    F_WORD("status", "ok|degraded|unavailable", "All in all."),
    F_BOOL("live", "The process answers."),
    F_BOOL("ready", "Requests can be served."),
    TEXT("version", "Of drover."),
    COUNT("uptime_ms", "Since the start."),
    F_FREE("checks", "By name: ok, latency_us, detail."),
};
FORM("Health", health);
static const dv__field model[] = {
    TEXT("id", "Its name."),
    F_WORD("object", "model", "Always model."),
    COUNT("created", "Seconds since 1970."),
    TEXT("owned_by", "drover."),
    ARRAY("aliases", any_string, "Its other names."),
    F_FREE("status", "Whether it is loaded."),
    F_FREE("meta", "n_ctx_train, n_embd, n_params, size."),
};
FORM("Model", model);
static const dv__field model_item = {.types = T_OBJ, .of = &model_form};
static const dv__field model_list[] = {F_WORD("object", "list", "Always list."), ARRAY("data", model_item, "The models.")};
FORM("ModelList", model_list);
static const dv__field model_info[] = {
    TEXT("name", "Its name."),
    ARRAY("aliases", any_string, "Its other names."),
    TEXT("state", "Of what runs it."),
    TEXT("backend", "native, upstream, remote."),
    TEXT_OR_NULL("profile", "Its profile."),
    F_BOOL("default", "Whether it is the default one."),
    F_BOOL("pinned", "Whether it stays loaded."),
    COUNT("size", "Bytes of its file."),
    COUNT("modified", "Seconds since 1970."),
    COUNT("memory_estimate", "Bytes that it will take."),
    TEXT_OR_NULL("architecture", "Of the model."),
    TEXT_OR_NULL("quantization", "Of its weights."),
    COUNT("parameters", "How many."),
    COUNT("context_length", "Tokens that it was trained for."),
    COUNT("embedding_length", "Numbers of an embedding."),
    TEXT_OR_NULL("problem", "Why it cannot be used."),
    TEXT_OR_NULL("file", "For admins."),
};
FORM("ModelInfo", model_info);
static const dv__field model_info_item = {.types = T_OBJ, .of = &model_info_form};
static const dv__field models[] = {ARRAY("models", model_info_item, "The models.")};
FORM("Models", models);
static const dv__field instance[] = {
    TEXT("model", "Its name."),
    TEXT_OR_NULL("profile", "Its profile."),
    TEXT("backend", "native, upstream, remote."),
    TEXT("state", "What it does."),
    COUNT("pid", "Of its process; 0: none."),
    COUNT("running", "Requests that run."),
    COUNT("waiting", "Requests that wait."),
    COUNT("places", "Requests that can run."),
    COUNT("memory_estimate", "Bytes."),
    COUNT("memory_resident", "Bytes."),
    COUNT("memory_anonymous", "Bytes."),
    COUNT("loaded_ms", "When, in milliseconds since 1970."),
    COUNT("used_ms", "When it answered last."),
    COUNT("expires_ms", "When it is unloaded; 0: never."),
    COUNT("load_time_ms", "How long loading took."),
    COUNT("starts", "How often it was started."),
    COUNT("crashes", "How often it ended by itself."),
    COUNT("health_us", "Latency of the last check."),
    TEXT_OR_NULL("last_error", "Why it ended last."),
};
FORM("Instance", instance);
static const dv__field instance_item = {.types = T_OBJ, .of = &instance_form};
static const dv__field instances[] = {
    COUNT("budget", "Bytes that there are for models."),
    COUNT("used", "Bytes that they take."),
    ARRAY("instances", instance_item, "What runs."),
};
FORM("Instances", instances);
static const dv__field profile[] = {
    TEXT("name", "Its name."),
    TEXT("for", "What it is for."),
    COUNT("context", "Tokens."),
    COUNT("batch", "Tokens of a step."),
    COUNT("threads", "0: all cores."),
    COUNT("parallel", "Requests at one time."),
    F_BOOL("speculation", "Whether tokens are guessed."),
};
FORM("Profile", profile);
static const dv__field profile_item = {.types = T_OBJ, .of = &profile_form};
static const dv__field profiles[] = {ARRAY("profiles", profile_item, "The profiles.")};
FORM("Profiles", profiles);
static const dv__field done[] = {TEXT_OR_NULL("model", "Which one."), F_BOOL("success", "Always true.")};
FORM("Done", done);

/* ---- keys, users, the audit log ---- */

static const dv__field key[] = {
    COUNT("id", "Its number."),
    TEXT("name", "Its name."),
    TEXT("prefix", "How it begins."),
    COUNT("owner", "User, or 0."),
    COUNT("created_ms", "When, in milliseconds since 1970."),
    COUNT("used_ms", "When it was used last; 0: never."),
    COUNT("revoked_ms", "When it was revoked; 0: never."),
    ARRAY("routes", any_string, "What it may call."),
    ARRAY("models", any_string, "Which models."),
    F_BOOL("admin", "Whether it is an admin's."),
    COUNT("requests_per_minute", "0: the server's limit."),
    COUNT("tokens_per_minute", "0: the server's limit."),
    COUNT("concurrency", "0: the server's limit."),
    COUNT("max_context", "0: the model's."),
    COUNT("expires_ms", "0: never."),
};
FORM("Key", key);
static const dv__field key_item = {.types = T_OBJ, .of = &key_form};
static const dv__field key_list[] = {ARRAY("keys", key_item, "The keys.")};
FORM("KeyList", key_list);
static const dv__field key_created[] = {COUNT("id", "Its number."), TEXT("key", "The key: it is not shown again.")};
FORM("KeyCreated", key_created);
static const dv__field user[] = {
    COUNT("id", "His number."),
    TEXT("name", "His name."),
    TEXT("role", "What he may do."),
    COUNT("created_ms", "When, in milliseconds since 1970."),
    COUNT("login_ms", "When he logged in last; 0: never."),
};
FORM("User", user);
static const dv__field user_item = {.types = T_OBJ, .of = &user_form};
static const dv__field user_list[] = {ARRAY("users", user_item, "The users.")};
FORM("UserList", user_list);
static const dv__field session[] = {OBJECT("user", user_form, "Who is logged in."), TEXT("csrf_token", "That pages send along, as X-CSRF-Token.")};
FORM("Session", session);
static const dv__field audit_list[] = {ARRAY("rows", any_object, "Rows: seq, time, who, what, outcome.")};
FORM("AuditList", audit_list);
static const dv__field audit_report[] = {
    F_BOOL("ok", "Whether the chain holds."),
    ARRAY("problems", any_object, "seq and text."),
    COUNT("rows", "That were checked."),
    COUNT("lines", "Of the file."),
    COUNT("first", "The oldest row."),
    COUNT("last", "The newest one."),
};
FORM("AuditReport", audit_report);

/* ---- all of them ---- */

#define OF(title, rows, about) {title, {.types = T_OBJ, .of = &rows##_form, .help = about}}

static const dv__reply_form forms[] = {
    OF("Error", error, "What went wrong."),
    OF("AnthropicError", anthropic_error, "What went wrong."),
    OF("ChatCompletion", chat_completion, "An answer; a stream has chunks of it, and ends with [DONE]."),
    OF("Completion", completion, "An answer, in OpenAI's or in llama-server's form."),
    {"Embeddings", {.types = T_OBJ | T_ARR, .of = &embeddings_form, .item = &any_object, .help = "A vector for each text: OpenAI's form, or llama-server's list."}},
    OF("Response", response, "A response; a stream has events of it."),
    OF("Message", message, "A message; a stream has events of it."),
    OF("TokenCount", token_count, "How many tokens the prompt has."),
    OF("Tokens", tokens, "The tokens."),
    OF("Text", text, "The text."),
    OF("Prompt", prompt, "The prompt."),
    OF("Rerank", rerank, "The documents in their order."),
    OF("Props", props, "What a model's server is."),
    {"Slots", {.types = T_ARR, .item = &slot_item, .help = "The slots."}},
    OF("SlotAction", slot_action, "What was done."),
    OF("Status", status, "Requests are taken."),
    OF("Health", health, "How the service is."),
    OF("Model", model, "The model."),
    OF("ModelList", model_list, "The models."),
    OF("ModelInfo", model_info, "The model."),
    OF("Models", models, "The models."),
    OF("Instances", instances, "What runs."),
    OF("Profiles", profiles, "The profiles."),
    OF("Done", done, "It is done."),
    OF("Key", key, "The key, without itself."),
    OF("KeyCreated", key_created, "The key, which is not shown again."),
    OF("KeyList", key_list, "The keys."),
    OF("User", user, "The user."),
    OF("UserList", user_list, "The users."),
    OF("Session", session, "The session."),
    OF("AuditList", audit_list, "Rows of the audit log."),
    OF("AuditReport", audit_report, "What the check found."),
    {"OpenApi", {.types = T_OBJ, .help = "This document."}},
    {"Metrics", {.types = T_STR, .help = "Metrics in the format of Prometheus."}},
    {"Empty", {.types = 0, .help = "Done."}},
};

/* clang-format on */

const dv__reply_form *dv__reply_form_find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(forms); i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

const dv__reply_form *dv__reply_form_error(dv_style style) { return &forms[style == DV_STYLE_ANTHROPIC ? 1 : 0]; }
