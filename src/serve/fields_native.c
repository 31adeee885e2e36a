/* SPDX-License-Identifier: MIT */
/* llama-server's own routes. */
#include "serve/fields.h"

/* clang-format off */

/* ---- /completion, /infill ---- */

static const dv__field image_fields[] = {
    F_NAME("data", DV__URL_LEN, "In base64."),
    F_INT("id", 0, INT_MOST, "Its number in the prompt."),
};
static const dv__schema image_schema = F_SCHEMA("ImageData", image_fields, NULL, "An image.");
static const dv__field image_item = {.types = T_OBJ, .of = &image_schema};
static const dv__field media_item = {.types = T_STR, .max_len = DV__URL_LEN};

#define NATIVE_FIELDS                                                                                    \
    F_INT("max_completion_tokens", -1, INT_MOST, "Another name of n_predict."),                          \
    F("logprobs", T_INT | T_BOOL, .min = 0, .max = 1024, .help = "Another name of n_probs."),            \
    F("image_data", T_ARR, .max_len = DV__PARTS, .item = &image_item, .help = "Replaced by multimodal_data."), \
    F("multimodal_data", T_ARR, .max_len = DV__PARTS, .item = &media_item, .help = "Files of the prompt, in base64."), \
    F_TEXT("system_prompt", "Not supported any more.")

static const dv__field completion_rows[] = {
    F_PROMPT,
    NATIVE_FIELDS,
    F_BOOL("echo", "Show the prompt too."),
    F_RESPONSE_FORMAT,
    F_STREAM_OPTIONS,
};
const dv__schema dv__schema_completion = F_SCHEMA("NativeCompletionRequest", completion_rows, &dv__part_generation, "A text that the model goes on with.");

static const dv__field extra_fields[] = {
    F_NAME("filename", 4096, "Its name."),
    F("text", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "What is in it."),
    F_NAME("time", 64, "Without effect."),
};
static const dv__schema extra_schema = F_SCHEMA("InfillFile", extra_fields, NULL, "Another file of the project.");
static const dv__field extra_item = {.types = T_OBJ, .of = &extra_schema};
static const dv__field infill_rows[] = {
    F("input_prefix", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "What is before the place."),
    F("input_suffix", T_STR, .flags = DV__F_TEXT | DV__F_REQUIRED, .help = "What is behind it."),
    F("input_extra", T_ARR, .max_len = 1024, .item = &extra_item, .help = "Other files of the project."),
    F_TEXT("prompt", "How the middle begins."),
    NATIVE_FIELDS,
};
const dv__schema dv__schema_infill = F_SCHEMA("InfillRequest", infill_rows, &dv__part_generation, "A text with a place that the model fills in.");

/* ---- text and tokens ---- */

static const dv__field content_item = {.types = T_STR | T_INT, .flags = DV__F_TEXT, .min = 0, .max = INT_MOST};
static const dv__field tokenize_rows[] = {
    F("content", T_STR | T_ARR, .flags = DV__F_TEXT | DV__F_REQUIRED, .max_len = DV__LISTED, .item = &content_item, .help = "A text, or a list of texts and tokens."),
    F_BOOL("add_special", "With the tokens that begin and end a text."),
    F_BOOL("parse_special", "Control tokens may be written in it."),
    F_BOOL("with_pieces", "With the text of each token."),
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
};
const dv__schema dv__schema_tokenize = F_SCHEMA("TokenizeRequest", tokenize_rows, NULL, "A text of which the tokens are wanted.");

static const dv__field detokenize_rows[] = {
    F("tokens", T_ARR, .flags = DV__F_REQUIRED, .max_len = DV__LISTED, .item = &dv__part_token, .help = "Numbers of tokens."),
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
};
const dv__schema dv__schema_detokenize = F_SCHEMA("DetokenizeRequest", detokenize_rows, NULL, "Tokens of which the text is wanted.");

/* ---- slots, and what is asked about a model ---- */

static const dv__field slot_rows[] = {
    F_NAME("filename", 128, "A file in the folder for slots: letters, digits and ._-+@=."),
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
};
const dv__schema dv__schema_slot_action = F_SCHEMA("SlotActionRequest", slot_rows, NULL, "The file of a slot.");

static const dv__field model_query_rows[] = {
    F_NAME("model", DV__MODEL_LEN, "Name or alias of a model."),
    F_BOOL("autoload", "Load it if it is not."),
};
const dv__schema dv__schema_model_query = F_SCHEMA("ModelQuery", model_query_rows, NULL, NULL);

static const dv__field slots_query_rows[] = {
    F("fail_on_no_slot", T_INT | T_BOOL, .min = 0, .max = 1, .help = "503 when no slot is free."),
};
const dv__schema dv__schema_slots_query = F_SCHEMA("SlotsQuery", slots_query_rows, &dv__schema_model_query, NULL);

static const dv__field slot_query_rows[] = {
    F("action", T_STR, .flags = DV__F_REQUIRED, .words = "save|restore|erase", .help = "What to do with the slot."),
};
const dv__schema dv__schema_slot_query = F_SCHEMA("SlotQuery", slot_query_rows, &dv__schema_model_query, NULL);
