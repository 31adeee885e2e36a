/* SPDX-License-Identifier: MIT */
/* What every request to generate may say, in every API: llama-server takes its own parameters with all of them. Its internal ones (chat_format, chat_parser,
 * generation_prompt, grammar_type, the tags of its reasoning budget) are not here on purpose: they are between its layers, and no client's to set. */
#include "serve/fields.h"

/* clang-format off */

const dv__field dv__part_stop = {.types = T_STR, .flags = DV__F_TEXT, .min_len = 1, .max_len = 4096};
const dv__field dv__part_text = {.types = T_STR, .flags = DV__F_TEXT};
const dv__field dv__part_token = {.types = T_INT, .min = 0, .max = INT_MOST};

static const dv__field name_item = {.types = T_STR, .max_len = 256};

/* ---- prompts ---- */

static const dv__field media_item = {.types = T_STR, .max_len = DV__URL_LEN};
static const dv__field prompt_object_fields[] = {
    F("prompt_string", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "The text, with a marker for each file."),
    F("multimodal_data", T_ARR, .max_len = DV__PARTS, .item = &media_item, .help = "The files, in base64."),
};
const dv__schema dv__part_prompt_object = F_SCHEMA("PromptObject", prompt_object_fields, NULL, "A prompt with images or sounds, for models that take them.");

static const dv__field prompt_part = {.types = T_STR | T_INT, .flags = DV__F_TEXT, .min = 0, .max = INT_MOST};
const dv__field dv__part_prompt = {.types = T_STR | T_INT | T_ARR | T_OBJ, .flags = DV__F_TEXT, .min = 0, .max = INT_MOST,
                                   .max_len = DV__LISTED, .item = &prompt_part, .of = &dv__part_prompt_object};

/* ---- logit_bias: {"15043": -1, "Hello": false} or [[15043, 1.0], ["Hello", false]] ---- */

static const dv__field bias_part = {.types = T_STR | T_NUM | T_BOOL, .flags = DV__F_TEXT, .min = -1e9, .max = 1e9};
static const dv__field bias_item = {.types = T_ARR, .min_len = 2, .max_len = 2, .item = &bias_part};
static const dv__field bias_fields[] = {F("*", T_NUM | T_BOOL, .min = -1e9, .max = 1e9, .help = "A bias, or false: never this token.")};
static const dv__schema bias_schema = F_SCHEMA("LogitBias", bias_fields, NULL, "Biases by token; a text stands for its tokens.");

/* ---- adapters, lazy grammars ---- */

static const dv__field lora_fields[] = {
    F("id", T_INT, .flags = DV__F_REQUIRED, .min = 0, .max = 65535, .help = "Number of the adapter."),
    F("scale", T_NUM, .flags = DV__F_REQUIRED, .min = -1000, .max = 1000, .help = "How much of it."),
};
static const dv__schema lora_schema = F_SCHEMA("LoraScale", lora_fields, NULL, "An adapter and its weight.");
static const dv__field lora_item = {.types = T_OBJ, .of = &lora_schema};
static const dv__field trigger_fields[] = {
    F_INT("type", 0, 16, "What kind of trigger it is."),
    F_TEXT("value", "The word or the pattern."),
    F_INT("token", 0, INT_MOST, "The token."),
};
static const dv__schema trigger_schema = F_SCHEMA("GrammarTrigger", trigger_fields, NULL, "What a lazy grammar begins with.");
static const dv__field trigger_item = {.types = T_OBJ, .of = &trigger_schema};

/* ---- all of them ---- */

static const dv__field generation_fields[] = {
    F_NUM("temperature", 0, 100, "0: always the most likely token."),
    F_NUM("top_p", 0, 1, "Only the most likely tokens that have this share together."),
    F_INT("top_k", -1, INT_MOST, "Only so many tokens; below 1: all."),
    F_NUM("min_p", 0, 1, "Only tokens with this share of the most likely one's probability."),
    F_NUM("typical_p", 0, 1, "Locally typical sampling."),
    F_NUM("typ_p", 0, 1, "Another name of typical_p."),
    F_NUM("top_n_sigma", -1, 1000, "Only tokens within so many standard deviations of the best; below 0: off."),
    F_NUM("xtc_probability", 0, 1, "How often the most likely tokens are left out."),
    F_NUM("xtc_threshold", 0, 1, "From which probability on."),
    F_NUM("dynatemp_range", 0, 100, "How far the temperature may move."),
    F_NUM("dynatemp_exponent", 0, 100, "How it moves with the entropy."),
    F_NUM("repeat_penalty", 0, 100, "For tokens that are there already; 1: none."),
    F_INT("repeat_last_n", -1, INT_MOST, "Among so many last tokens; -1: as many as can be."),
    F_NUM("presence_penalty", -100, 100, "For tokens that are there already."),
    F_NUM("frequency_penalty", -100, 100, "The same for each time that they are there."),
    F_NUM("dry_multiplier", 0, 100, "For sequences that repeat; 0: off."),
    F_NUM("dry_base", 0, 100, "Growth of that penalty with the length."),
    F_INT("dry_allowed_length", 0, INT_MOST, "Up to this length there is none."),
    F_INT("dry_penalty_last_n", -1, INT_MOST, "Among so many last tokens."),
    F("dry_sequence_breakers", T_ARR, .max_len = 1024, .item = &dv__part_text, .help = "Texts that end a sequence."),
    F_INT("mirostat", 0, 2, "0: off."),
    F_NUM("mirostat_tau", 0, 100, "Its entropy."),
    F_NUM("mirostat_eta", 0, 100, "Its learning rate."),
    F_NUM("adaptive_target", -1000, 1, "Probability that tokens shall have; below 0: off."),
    F_NUM("adaptive_decay", 0, 1, "How slowly that adapts."),
    F_INT("min_keep", 0, INT_MOST, "Tokens that samplers leave at least."),
    F_INT("seed", -9007199254740992.0, 9007199254740992.0, "Same seed, same answer; -1: a random one."),
    F("samplers", T_STR | T_ARR, .max_len = 64, .item = &name_item, .help = "Samplers in their order: names, or a letter for each."),
    F_BOOL("backend_sampling", "Sample where the model runs."),
    F("logit_bias", T_OBJ | T_ARR, .max_len = DV__BIASES, .of = &bias_schema, .item = &bias_item, .help = "Biases of tokens, as an object or as a list of pairs."),
    F("stop", T_STR | T_ARR, .max_len = DV__STOPS, .item = &dv__part_stop, .help = "Texts that end the answer, and are not part of it."),
    F_BOOL("ignore_eos", "Never draw a token that ends the answer."),
    F_INT("max_tokens", -1, INT_MOST, "Most tokens of the answer; -1: as many as there is room for."),
    F_INT("n_predict", -1, INT_MOST, "Another name of max_tokens."),
    F_INT("n", 1, 128, "Answers to each prompt."),
    F_INT("n_cmpl", 1, 128, "Another name of n."),
    F_INT("n_probs", 0, 1024, "Log-probabilities, with so many alternatives."),
    F_BOOL("post_sampling_probs", "Probabilities after all samplers instead."),
    F_BOOL("stream", "Send the answer while it is made, as events."),
    F_BOOL("timings_per_token", "Timings in every event."),
    F_BOOL("return_progress", "Events that tell how far the prompt is."),
    F_BOOL("return_tokens", "The answer's tokens too."),
    F_INT("sse_ping_interval", -1, INT_MOST, "Seconds of silence until a comment is sent."),
    F_BOOL("verbose", "Details of what was computed."),
    F("response_fields", T_ARR, .max_len = 1024, .item = &name_item, .help = "Only these fields of the answer."),
    F_TEXT("grammar", "A grammar in GBNF that the answer follows."),
    F("json_schema", T_OBJ | T_BOOL, .help = "A JSON Schema that the answer is valid for."),
    F_BOOL("grammar_lazy", "Follow the grammar from a trigger on only."),
    F("grammar_triggers", T_ARR, .max_len = 1024, .item = &trigger_item, .help = "What it begins with."),
    F("preserved_tokens", T_ARR, .max_len = 1024, .item = &dv__part_text, .help = "Control tokens that are shown."),
    F_BOOL("cache_prompt", "Use what was computed before, and keep it."),
    F_INT("n_cache_reuse", 0, INT_MOST, "Least length of a part that is used again at another place."),
    F_INT("id_slot", -1, 65535, "The slot to run in; -1: any."),
    F_INT("n_keep", -1, INT_MOST, "Tokens that stay when the context shifts."),
    F_INT("n_discard", 0, INT_MOST, "Tokens that go then."),
    F_INT("n_indent", 0, INT_MOST, "Least indentation of lines."),
    F_INT("t_max_prompt_ms", -1, 9007199254740992.0, "Most time for the prompt."),
    F_INT("t_max_predict_ms", -1, 9007199254740992.0, "Most time for the answer."),
    F("lora", T_ARR, .max_len = 256, .item = &lora_item, .help = "Adapters to use."),
    F_INT("speculative.n_max", 0, 65536, "Most tokens to guess."),
    F_INT("speculative.n_min", 0, 65536, "Fewest tokens to guess."),
    F_NUM("speculative.p_min", 0, 1, "Least probability of a guess."),
    F_NAME("speculative.type", 64, "How to guess."),
    F_WORD("reasoning_format", "auto|none|deepseek|deepseek-legacy", "Where thoughts are shown; none: in the content."),
    F_BOOL("reasoning_control", "Thoughts can be ended from outside."),
    F_INT("reasoning_budget_tokens", -1, INT_MOST, "Most tokens of thoughts; -1: no bound."),
    F_INT("thinking_budget_tokens", -1, INT_MOST, "Another name of reasoning_budget_tokens."),
    F_TEXT("reasoning_budget_message", "What ends thoughts that are too long."),
    F("chat_template_kwargs", T_OBJ, .flags = DV__F_TEXT, .help = "Variables of the chat template."),
};
const dv__schema dv__part_generation = F_SCHEMA("Generation", generation_fields, &dv__part_meta, NULL);

static const dv__field meta_fields[] = {
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model; absent: the default one."),
    F_NAME("user", DV__LABEL_LEN, "Who the request is for."),
    F_FREE("metadata", "Anything that the client wants to keep with it."),
    F_NAME("safety_identifier", DV__LABEL_LEN, "Who the request is for."),
    F_NAME("prompt_cache_key", DV__LABEL_LEN, "Requests with the same beginning."),
    F_WORD("prompt_cache_retention", "in-memory|in_memory|24h", "How long a beginning is kept."),
    F_FREE("prompt_cache_options", "How beginnings are kept."),
    F_WORD("service_tier", "auto|default|flex|scale|priority|fast|ultrafast|standard_only", "Which tier serves it."),
    F_BOOL("store", "Keep the answer."),
};
const dv__schema dv__part_meta = F_SCHEMA("Meta", meta_fields, NULL, NULL);

/* ---- what chats and completions share ---- */

static const dv__field stream_fields[] = {
    F_BOOL("include_usage", "An event with the usage, at the end."),
    F_BOOL("include_obfuscation", "Padding against those who watch the lengths of packets."),
};
const dv__schema dv__part_stream_options = F_SCHEMA("StreamOptions", stream_fields, NULL, "What a stream also tells.");

static const dv__field schema_fields[] = {
    F_NAME("name", DV__ID_LEN, "Its name."),
    F_TEXT("description", "What it is for."),
    F_BOOL("strict", "Whether it binds the answer."),
    F("schema", T_OBJ | T_BOOL, .help = "A JSON Schema."),
};
const dv__schema dv__part_json_schema = F_SCHEMA("NamedJsonSchema", schema_fields, NULL, "A JSON Schema with a name.");

static const dv__field format_fields[] = {
    F("type", T_STR, .flags = DV__F_REQUIRED, .words = "text|json_object|json_schema", .help = "What the answer must be."),
    F("json_schema", T_OBJ, .of = &dv__part_json_schema, .help = "For json_schema."),
    F("schema", T_OBJ | T_BOOL, .help = "A JSON Schema, for json_object too."),
};
const dv__schema dv__part_response_format = F_SCHEMA("ResponseFormat", format_fields, NULL, "What the answer must be.");
