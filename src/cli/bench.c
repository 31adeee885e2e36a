/* SPDX-License-Identifier: MIT */
/* drover bench: tokens per second of prefill (pp: a prompt of N tokens in one go) and of decoding (tg: N tokens one by one), each from an
 * empty session, after one run to warm up. Loading and opening are outside the clock. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/format.h"
#include "cli/load.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { REPEAT_MAX = 1000, TOKENS_MAX = 1 << 20 };

typedef struct values {
    dv_load_opts load;
    uint64_t n_prompt, n_gen, repeat;
    int output;
} values;

enum { OUTPUT_MD, OUTPUT_JSON };

/* clang-format off */
static const dv_opt opts[] = {
    DV_OPT_ROWS_LOAD(values, load),
    {.name = "n-prompt", .short_name = 'p', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, n_prompt), .max = TOKENS_MAX, .def = "512",
     .help = "Tokens of the prefill test; 0: skip it"},
    {.name = "n-gen", .short_name = 'n', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, n_gen), .max = TOKENS_MAX, .def = "128",
     .help = "Tokens of the decode test; 0: skip it"},
    {.name = "repetitions", .short_name = 'r', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, repeat), .min = 1, .max = REPEAT_MAX, .def = "5",
     .help = "Measured runs of each test"},
    {.name = "output", .short_name = 'o', .type = DV_OPT_CHOICE, .value = "md|json", .offset = offsetof(values, output), .def = "md",
     .help = "A Markdown table, or one JSON object a line"},
};
/* clang-format on */

typedef struct bench {
    dv_session *session;
    const dv_engine_info *info;
    uint32_t *ids; /* random tokens, as many as the longer test wants */
    double *rates; /* [repeat] */
} bench;

/* One run from an empty session; nanoseconds, or an error. */
static int64_t measure(const bench *b, size_t n, bool one_by_one, dv_err *err)
{
    int code = dv_session_truncate(b->session, 0, err);
    uint64_t start = dv_clock_ns();
    for (size_t i = 0, k = one_by_one ? 1 : n; i < n && code == 0; i += k)
        code = dv_session_append(b->session, b->ids + i, k, NULL, NULL, err);
    return code != 0 ? code : (int64_t)(dv_clock_ns() - start);
}

static void print_result(const bench *b, const values *v, const char *path, const char *test, dv_stats s)
{
    if (v->output == OUTPUT_MD) {
        char size[DV_FORMAT_BYTES_LEN];
        dv_buf name;
        dv_buf_init(&name, 0);
        dv_buf_escaped(&name, path, strlen(path));
        printf("| %s | %s | %.2f M | %s | %u | %s | %.2f | %.2f .. %.2f |\n", dv_buf_str(&name),
               dv_format_bytes(size, b->info->file_bytes), (double)b->info->n_params / 1e6, b->info->cpu_level,
               b->info->threads, test, s.median, s.min, s.max);
        dv_buf_fini(&name);
    } else {
        dv_buf name;
        dv_buf_init(&name, 0);
        dv_buf_json_str(&name, path, strlen(path));
        printf(
            "{\"test\":\"%s\",\"tokens_per_second\":{\"min\":%.3f,\"median\":%.3f,\"max\":%.3f},\"threads\":%u,\"model\":%s,\"cpu_level\":\"%s\"}\n",
            test, s.min, s.median, s.max, b->info->threads, dv_buf_str(&name), b->info->cpu_level);
        dv_buf_fini(&name);
    }
    dv_cmd_flush();
}

static int run_test(bench *b, const values *v, const char *path, size_t n, bool one_by_one, dv_err *err)
{
    char test[32];
    if (n == 0)
        return 0;
    snprintf(test, sizeof test, "%s%zu", one_by_one ? "tg" : "pp", n);
    int64_t ns = measure(b, n, one_by_one, err);
    for (uint64_t i = 0; i < v->repeat && ns >= 0; i++) {
        ns = measure(b, n, one_by_one, err);
        b->rates[i] = ns < 0 ? 0 : dv_per_second(n, (uint64_t)ns);
    }
    if (ns < 0)
        return (int)ns;
    print_result(b, v, path, test, dv_stats_of(b->rates, v->repeat));
    return 0;
}

static int run_tests(dv_engine *engine, const values *v, const char *path, size_t n_ids, dv_err *err)
{
    bench b = {.info = dv_engine_get_info(engine)};
    dv_rng rng;
    dv_rng_seed(&rng, 1);
    b.ids = dv_alloc_array(DV_MEM_BASE, n_ids, sizeof *b.ids);
    b.rates = dv_alloc_array(DV_MEM_BASE, v->repeat, sizeof *b.rates);
    int code = b.ids != NULL && b.rates != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    for (size_t i = 0; i < n_ids && code == 0; i++)
        b.ids[i] = (uint32_t)dv_rng_below(&rng, b.info->n_vocab);
    if (code == 0)
        code = dv_session_open(&b.session, engine, NULL, err);
    if (code == 0 && v->output == OUTPUT_MD)
        printf(
            "| model | size | params | kernels | threads | test | t/s median | t/s min .. max |\n|---|---|---|---|---|---|---|---|\n");
    if (code == 0)
        code = run_test(&b, v, path, v->n_prompt, false, err);
    if (code == 0)
        code = run_test(&b, v, path, v->n_gen, true, err);
    dv_session_close(&b.session);
    dv_free(b.ids);
    dv_free(b.rates);
    return code;
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    size_t n_ids = DV_MAX(v.n_prompt, v.n_gen);
    if (n_ids == 0)
        return dv_cmd_usage(cmd, "-p 0 and -n 0 together leave nothing to measure");
    if (v.load.ctx == 0)
        v.load.ctx = n_ids;
    dv_engine *engine = NULL;
    dv_err err = {0};
    const char *path;
    code = dv_load(&engine, &v.load, &path, &err);
    if (code == 0)
        code = run_tests(engine, &v, path, n_ids, &err);
    dv_engine_close(&engine);
    return code == 0 ? DV_EXIT_OK : dv_cmd_fail_err(cmd, &err);
}

const dv_cmd dv_cmd_bench = {
    .name = "bench",
    .args = "",
    .summary = "Measure tokens per second",
    .details =
        "ppN: a prompt of N random tokens from an empty session. tgN: N tokens, one after the other. Each test runs once to\n"
        "warm up and then -r times.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
