/* SPDX-License-Identifier: MIT */
/* POST /v1/completions. */
#include "serve/fields.h"

/* clang-format off */

static const dv__field rows[] = {
    F_PROMPT,
    F_TEXT("suffix", "What comes behind the answer."),
    F_BOOL("echo", "Show the prompt too."),
    F("logprobs", T_INT | T_BOOL, .min = 0, .max = 1024, .help = "Log-probabilities, with so many alternatives."),
    F_INT("best_of", 1, 128, "Answers to choose from."),
    F_INT("max_completion_tokens", -1, INT_MOST, "Another name of max_tokens."),
    F_RESPONSE_FORMAT,
    F_STREAM_OPTIONS,
};
const dv__schema dv__schema_completions = F_SCHEMA("CompletionRequest", rows, &dv__part_generation, "A text that the model goes on with.");
