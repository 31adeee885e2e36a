/* SPDX-License-Identifier: MIT */
/* drover run: answer one question, a question a line, or chat. */
#include "cli/run.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/word.h"
#include "cli/load.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct values {
    dv_load_opts load;
    const char *prompt, *system;
    bool raw;
    uint64_t n_predict, top_k, last_n, seed;
    double temp, top_p, min_p, typical_p, repeat, presence, frequency;
    dv_opt_list stop, bias;
} values;

/* clang-format off */
#define NUM(opt, field, lo, hi, text, default_) \
    {.name = opt, .type = DV_OPT_NUM, .value = "X", .offset = offsetof(values, field), .min = lo, .max = hi, .def = default_, .help = text}
/* clang-format on */

/* clang-format off */
static const dv_opt opts[] = {
    DV_OPT_ROWS_LOAD(values, load),
    {.name = "prompt", .short_name = 'p', .type = DV_OPT_STRING, .value = "TEXT", .offset = offsetof(values, prompt), .help = "Answer this and leave"},
    {.name = "system", .short_name = 's', .type = DV_OPT_STRING, .value = "TEXT", .offset = offsetof(values, system), .help = "System message"},
    {.name = "raw", .type = DV_OPT_FLAG, .offset = offsetof(values, raw),
     .help = "Send the prompt as it is, without chat template; special tokens written in it are parsed"},
    {.name = "predict", .short_name = 'n', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, n_predict), .max = 1 << 22, .def = "0",
     .help = "Longest answer in tokens; 0: until the model ends it or the context is full"},
    NUM("temp", temp, 0, 100, "Temperature; 0: always the most likely token", "0.8"),
    {.name = "top-k", .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, top_k), .max = 1 << 22, .def = "40",
     .help = "Draw from the N most likely tokens; 0: off"},
    {.name = "top-p", .type = DV_OPT_NUM, .value = "X", .offset = offsetof(values, top_p), .min = 0, .max = 1, .open_min = true, .def = "0.95",
     .help = "Draw from the fewest tokens that reach this probability together; 1: off"},
    NUM("min-p", min_p, 0, 1, "Drop tokens less likely than this part of the most likely one; 0: off", "0.05"),
    {.name = "typical-p", .type = DV_OPT_NUM, .value = "X", .offset = offsetof(values, typical_p), .min = 0, .max = 1, .open_min = true, .def = "1",
     .help = "Locally typical sampling; 1: off"},
    {.name = "repeat-penalty", .type = DV_OPT_NUM, .value = "X", .offset = offsetof(values, repeat), .min = 0, .max = 100, .open_min = true, .def = "1",
     .help = "Make seen tokens less likely by this factor; 1: off"},
    NUM("presence-penalty", presence, -2, 2, "Subtract this from the logit of seen tokens", "0"),
    NUM("frequency-penalty", frequency, -2, 2, "Subtract this for each time a token was seen", "0"),
    {.name = "repeat-last-n", .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, last_n), .max = 65536, .def = "64",
     .help = "Tokens that the penalties look back"},
    {.name = "stop", .type = DV_OPT_LIST, .value = "TEXT", .offset = offsetof(values, stop), .max = 16, .help = "End the answer before this text; may be repeated"},
    {.name = "logit-bias", .type = DV_OPT_LIST, .value = "ID=X", .offset = offsetof(values, bias), .max = DV_OPT_LIST_MAX,
     .help = "Add X to a token's logit, -inf forbids it; may be repeated"},
    {.name = "seed", .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, seed), .max = 9007199254740992.0, .def = "0",
     .help = "Start of the random numbers: same seed, same answer"},
};
/* clang-format on */

static bool parse_bias(const char *text, dv_logit_bias *out)
{
    char id[16];
    size_t n = strcspn(text, "=");
    uint64_t v;
    double x = -INFINITY;
    if (text[n] == 0 || n >= sizeof id)
        return false;
    memcpy(id, text, n);
    id[n] = 0;
    if (!dv_word_u64(id, &v) || v > UINT32_MAX ||
        (strcmp(text + n + 1, "-inf") != 0 && !dv_word_double(text + n + 1, &x)))
        return false;
    *out = (dv_logit_bias){.id = (uint32_t)v, .bias = (float)x};
    return true;
}

static dv_sampling sampling_of(const values *v, const dv_logit_bias *bias)
{
    return (dv_sampling){
        .temperature = (float)v->temp,
        .top_k = (uint32_t)v->top_k,
        .top_p = (float)v->top_p,
        .min_p = (float)v->min_p,
        .typical_p = (float)v->typical_p,
        .repeat_penalty = (float)v->repeat,
        .presence_penalty = (float)v->presence,
        .frequency_penalty = (float)v->frequency,
        .penalty_last_n = (uint32_t)v->last_n,
        .seed = v->seed,
        .bias = bias,
        .n_bias = v->bias.n,
    };
}

static int answer_prompt(dv_talk *t, const char *prompt, uint64_t load_ns)
{
    dv_err err = {0};
    char stats[160];
    if (dv_talk_ask(t, prompt, strlen(prompt), &err) != 0)
        return dv_cmd_output_error() != 0 ? DV_EXIT_FAILURE : dv_cmd_fail_err(t->cmd, &err);
    fprintf(stderr, "load %.0f ms; %s\n", (double)load_ns / 1e6, dv_talk_stats_text(&t->last, stats));
    return DV_EXIT_OK;
}

static int converse(const dv_cmd *cmd, const values *v, dv_engine *engine, const dv_sampling *sampling,
                    const char *path, uint64_t start)
{
    dv_talk t;
    dv_err err = {0};
    const dv_engine_info *info = dv_engine_get_info(engine);
    int code = dv_talk_init(&t, cmd, engine, sampling, &err);
    if (code == 0 && v->system != NULL)
        code = dv_talk_set_system(&t, v->system, strlen(v->system), &err);
    t.raw = v->raw;
    t.escape = isatty(STDOUT_FILENO);
    t.max_tokens = (uint32_t)v->n_predict;
    t.stop = v->stop.v;
    t.n_stop = v->stop.n;
    uint64_t load_ns = dv_clock_ns() - start;
    if (code == 0 && info->template_is_fallback && !v->raw)
        fprintf(stderr, "(the model has no chat template; ChatML is used)\n");
    if (code == 0 && info->n_ctx > info->n_ctx_train)
        fprintf(stderr, "(the model was trained for a context of %u tokens, not %u)\n", info->n_ctx_train, info->n_ctx);
    if (code != 0)
        code = dv_cmd_fail_err(cmd, &err);
    else if (v->prompt != NULL)
        code = answer_prompt(&t, v->prompt, load_ns);
    else if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        code = dv_chat_run(&t, path);
    else
        code = dv_lines_run(&t, sampling);
    dv_talk_fini(&t);
    return code;
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    static values v; /* its lists are too large for a stack frame to be pretty */
    dv_logit_bias bias[DV_OPT_LIST_MAX];
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    for (size_t i = 0; i < v.bias.n; i++)
        if (!parse_bias(v.bias.v[i], &bias[i]))
            return dv_cmd_usage(cmd, "--logit-bias must be ID=NUMBER or ID=-inf, not '%s'", v.bias.v[i]);
    for (size_t i = 0; i < v.stop.n; i++)
        if (v.stop.v[i][0] == 0)
            return dv_cmd_usage(cmd, "--stop must not be empty");
    if (v.raw && v.system != NULL)
        return dv_cmd_usage(cmd, "--raw sends no system message, so --system cannot go with it");
    dv_sampling sampling = sampling_of(&v, bias);
    dv_engine *engine = NULL;
    dv_err err = {0};
    const char *path;
    uint64_t start = dv_clock_ns();
    if (dv_load(&engine, &v.load, &path, &err) != 0)
        return dv_cmd_fail_err(cmd, &err);
    code = converse(cmd, &v, engine, &sampling, path, start);
    dv_engine_close(&engine);
    return code;
}

const dv_cmd dv_cmd_run = {
    .name = "run",
    .args = "",
    .summary = "Chat with a model, or let it answer questions",
    .details =
        "With -p, the answer alone goes to standard output and timings to standard error. Without -p, a terminal\n"
        "opens a chat; /help lists its commands. If standard input is not a terminal, each line of it is one\n"
        "question (blank lines are skipped) and gets one answer, without memory of the lines before.\n"
        "A conversation that outgrows the context loses its oldest turns; the system message stays.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
