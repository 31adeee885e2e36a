/* SPDX-License-Identifier: MIT */
/* drover bench: tokens per second of prefill (pp: a prompt of N tokens in one go) and of decoding (tg: N tokens one by one, in one sequence
 * or in several that share each step), each from sessions that hold as many tokens as --n-depth says, after one run to warm up. Loading,
 * opening and filling are outside the clock. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/format.h"
#include "cli/load.h"
#include "engine/session.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { REPEAT_MAX = 1000, TOKENS_MAX = 1 << 20 };

typedef struct values {
    dv_load_opts load;
    uint64_t n_prompt, n_gen, n_depth, parallel, repeat;
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
    {.name = "n-depth", .short_name = 'd', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, n_depth), .max = TOKENS_MAX,
     .help = "Tokens that a sequence holds before each test"},
    {.name = "parallel", .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, parallel), .min = 1, .max = DV_SESSION_EACH_MAX, .def = "1",
     .help = "Sequences of the decode test, which then counts the tokens of all of them"},
    {.name = "repetitions", .short_name = 'r', .type = DV_OPT_UINT, .value = "N", .offset = offsetof(values, repeat), .min = 1, .max = REPEAT_MAX, .def = "5",
     .help = "Measured runs of each test"},
    {.name = "output", .short_name = 'o', .type = DV_OPT_CHOICE, .value = "md|json", .offset = offsetof(values, output), .def = "md",
     .help = "A Markdown table, or one JSON object a line"},
};
/* clang-format on */

typedef struct bench {
    dv_session *sessions[DV_SESSION_EACH_MAX];
    const dv_engine_info *info;
    uint32_t *ids; /* [n_ids] random tokens */
    size_t n_ids;
    float *logits; /* [parallel][n_vocab] */
    double *rates; /* [repeat] */
} bench;

typedef struct test {
    char name[48];
    size_t n;          /* tokens of a sequence */
    uint32_t n_decode; /* sequences that decode; 0: prefill of one */
    const char *path;
} test;

/* Every sequence gets other tokens. */
static int decode_step(const bench *b, size_t step, uint32_t n, dv_err *err)
{
    uint32_t ids[DV_SESSION_EACH_MAX];
    for (uint32_t i = 0; i < n; i++)
        ids[i] = b->ids[(step + 7 * (size_t)i) % b->n_ids];
    return dv_session_append_each(b->sessions, ids, n, b->logits, err);
}

/* One run from sessions cut to the depth; nanoseconds, or an error. */
static int64_t measure(const bench *b, const values *v, const test *t, dv_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < DV_MAX(t->n_decode, 1u) && code == 0; i++)
        code = dv_session_truncate(b->sessions[i], (uint32_t)v->n_depth, err);
    uint64_t start = dv_clock_ns();
    if (code == 0 && t->n_decode == 0)
        code = dv_session_append(b->sessions[0], b->ids, t->n, NULL, NULL, err);
    for (size_t i = 0; i < t->n && code == 0 && t->n_decode > 0; i++)
        code = decode_step(b, i, t->n_decode, err);
    return code != 0 ? code : (int64_t)(dv_clock_ns() - start);
}

static void print_result(const bench *b, const values *v, const test *t, dv_stats s)
{
    dv_buf path;
    dv_buf_init(&path, 0);
    if (v->output == OUTPUT_MD) {
        char size[DV_FORMAT_BYTES_LEN], depth[32] = "";
        if (v->n_depth > 0)
            snprintf(depth, sizeof depth, " @ d%llu", (unsigned long long)v->n_depth);
        dv_buf_escaped(&path, t->path, strlen(t->path));
        printf("| %s | %s | %.2f M | %s | %u | %s%s | %.2f | %.2f .. %.2f |\n", dv_buf_str(&path),
               dv_format_bytes(size, b->info->file_bytes), (double)b->info->n_params / 1e6, b->info->cpu_level,
               b->info->threads, t->name, depth, s.median, s.min, s.max);
    } else {
        dv_buf_json_str(&path, t->path, strlen(t->path));
        printf(
            "{\"test\":\"%s\",\"depth\":%llu,\"sequences\":%u,\"tokens_per_second\":{\"min\":%.3f,\"median\":%.3f,\"max\":%.3f},"
            "\"threads\":%u,\"model\":%s,\"cpu_level\":\"%s\"}\n",
            t->name, (unsigned long long)v->n_depth, DV_MAX(t->n_decode, 1u), s.min, s.median, s.max, b->info->threads,
            dv_buf_str(&path), b->info->cpu_level);
    }
    dv_buf_fini(&path);
    dv_cmd_flush();
}

static int run_test(const bench *b, const values *v, const test *t, dv_err *err)
{
    if (t->n == 0)
        return 0;
    int64_t ns = measure(b, v, t, err);
    for (uint64_t i = 0; i < v->repeat && ns >= 0; i++) {
        ns = measure(b, v, t, err);
        b->rates[i] = ns < 0 ? 0 : dv_per_second(t->n * DV_MAX(t->n_decode, 1u), (uint64_t)ns);
    }
    if (ns < 0)
        return (int)ns;
    print_result(b, v, t, dv_stats_of(b->rates, v->repeat));
    return 0;
}

static int run_tests(const bench *b, const values *v, const char *path, dv_err *err)
{
    test prefill = {.n = v->n_prompt, .path = path},
         decode = {.n = v->n_gen, .n_decode = (uint32_t)v->parallel, .path = path};
    snprintf(prefill.name, sizeof prefill.name, "pp%zu", prefill.n);
    int len = snprintf(decode.name, sizeof decode.name, "tg%zu", decode.n);
    if (decode.n_decode > 1)
        snprintf(decode.name + len, sizeof decode.name - (size_t)len, "x%u", decode.n_decode);
    if (v->output == OUTPUT_MD)
        printf(
            "| model | size | params | kernels | threads | test | t/s median | t/s min .. max |\n|---|---|---|---|---|---|---|---|\n");
    int code = run_test(b, v, &prefill, err);
    return code != 0 ? code : run_test(b, v, &decode, err);
}

/* A session for each sequence, filled to the depth. */
static int open_sessions(bench *b, dv_engine *engine, const values *v, dv_err *err)
{
    int code = 0;
    for (uint64_t i = 0; i < (v->n_gen > 0 ? v->parallel : 1) && code == 0; i++) {
        code = dv_session_open(&b->sessions[i], engine, NULL, err);
        if (code == 0 && v->n_depth > 0)
            code = dv_session_append(b->sessions[i], b->ids, v->n_depth, NULL, NULL, err);
    }
    return code;
}

static int bench_engine(dv_engine *engine, const values *v, const char *path, size_t n_ids, dv_err *err)
{
    bench b = {.info = dv_engine_get_info(engine), .n_ids = n_ids};
    dv_rng rng;
    dv_rng_seed(&rng, 1);
    b.ids = dv_alloc_array(DV_MEM_BASE, n_ids, sizeof *b.ids);
    b.rates = dv_alloc_array(DV_MEM_BASE, v->repeat, sizeof *b.rates);
    b.logits = dv_alloc_array(DV_MEM_BASE, v->parallel * b.info->n_vocab, sizeof *b.logits);
    int code = b.ids != NULL && b.rates != NULL && b.logits != NULL
                   ? 0
                   : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    for (size_t i = 0; i < n_ids && code == 0; i++)
        b.ids[i] = (uint32_t)dv_rng_below(&rng, b.info->n_vocab);
    if (code == 0)
        code = open_sessions(&b, engine, v, err);
    if (code == 0)
        code = run_tests(&b, v, path, err);
    for (size_t i = 0; i < v->parallel; i++)
        dv_session_close(&b.sessions[i]);
    dv_free(b.ids);
    dv_free(b.rates);
    dv_free(b.logits);
    return code;
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    size_t n_test = DV_MAX(v.n_prompt, v.n_gen);
    if (n_test == 0)
        return dv_cmd_usage(cmd, "-p 0 and -n 0 together leave nothing to measure");
    if (v.load.ctx == 0)
        v.load.ctx = v.n_depth + n_test;
    dv_engine *engine = NULL;
    dv_err err = {0};
    const char *path;
    code = dv_load(&engine, &v.load, &path, &err);
    if (code == 0)
        code = bench_engine(engine, &v, path, DV_MAX(n_test, v.n_depth), &err);
    dv_engine_close(&engine);
    return code == 0 ? DV_EXIT_OK : dv_cmd_fail_err(cmd, &err);
}

const dv_cmd dv_cmd_bench = {
    .name = "bench",
    .args = "",
    .summary = "Measure tokens per second",
    .details =
        "ppN: a prompt of N random tokens. tgN: N tokens, one after the other; tgNxM: the same in M sequences that share each\n"
        "step. dN: each after N other tokens. Each test runs once to warm up and then -r times.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
