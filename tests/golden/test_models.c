/* SPDX-License-Identifier: MIT */
/* drover's predictions against the exact ones of tests/golden/models/: tiny random models of every architecture, made here with
 * tools/synth-gguf. The limit of each distance is the one that llama.cpp itself has to the exact values on the same quantised file. */
#include "drover/engine.h"
#include "tools/synth.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_PROMPT = 256, MAX_VOCAB = 4096 };

static json_t *load(const char *name)
{
    char path[512];
    json_error_t e;
    snprintf(path, sizeof(path), "%s/%s.json", DV_GOLDEN_MODELS, name);
    json_t *j = json_load_file(path, 0, &e);
    if (!j)
        fail_msg("%s: %s, line %d", path, e.text, e.line);
    return j;
}

/* The model, and the proof that it is the one the golden values were made for. */
static void make_model(const char *path, const json_t *shape, const json_t *file)
{
    dv_err err = {0};
    uint64_t hash = 0;
    char hex[17];
    synth_options o = {.shape = json_string_value(json_object_get(shape, "shape")),
                       .quant = json_string_value(json_object_get(file, "quant")),
                       .seed = (uint64_t)json_integer_value(json_object_get(shape, "seed")),
                       .threads = 2};
    if (synth_write(path, &o, &err) || synth_hash(path, &hash, &err))
        fail_msg("%s", err.msg);
    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)hash);
    if (strcmp(hex, json_string_value(json_object_get(file, "fnv1a"))) != 0)
        fail_msg(
            "%s %s: synth-gguf writes another file than the golden values are for; run tests/golden/models/generate.sh",
            o.shape, o.quant);
}

static void predict(dv_engine *engine, const json_t *prompt, float *logprobs)
{
    dv_err err = {0};
    dv_session *s = NULL;
    uint32_t ids[MAX_PROMPT];
    size_t n = json_array_size(prompt);
    assert_true(n > 0 && n <= MAX_PROMPT);
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)json_integer_value(json_array_get(prompt, i));
    if (dv_session_open(&s, engine, NULL, &err) || dv_session_append(s, ids, n, NULL, NULL, &err) ||
        dv_session_logprobs(s, logprobs, &err))
        fail_msg("%s", err.msg);
    dv_session_close(&s);
}

static double distance(const json_t *prediction, const float *logprobs)
{
    const json_t *ids = json_object_get(prediction, "ids"), *exact = json_object_get(prediction, "logprobs");
    double sum = 0;
    size_t n = json_array_size(ids);
    assert_true(n > 0 && n == json_array_size(exact));
    for (size_t i = 0; i < n; i++) {
        double d =
            (double)logprobs[json_integer_value(json_array_get(ids, i))] - json_real_value(json_array_get(exact, i));
        sum += d * d;
    }
    return sqrt(sum / (double)n);
}

/* One file of a shape; returns the number of predictions that are too far off. */
static int check_file(const json_t *shape, const json_t *file)
{
    char path[] = "/tmp/test_models_XXXXXX";
    int fd = mkstemp(path), bad = 0;
    assert_true(fd >= 0);
    close(fd);
    make_model(path, shape, file);
    dv_err err = {0};
    dv_engine *engine = NULL;
    dv_engine_options o = {.threads = 1, .ctx = (uint32_t)json_integer_value(json_object_get(shape, "context"))};
    if (dv_engine_open(&engine, path, &o, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(dv_engine_get_info(engine)->n_vocab, MAX_VOCAB);
    static float logprobs[MAX_VOCAB];
    const json_t *prompts = json_object_get(shape, "prompts"), *predictions = json_object_get(file, "predictions");
    assert_true(json_array_size(prompts) == json_array_size(predictions));
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const json_t *prompt = json_array_get(prompts, i), *p = json_array_get(predictions, i);
        predict(engine, prompt, logprobs);
        double d = distance(p, logprobs), limit = json_real_value(json_object_get(p, "limit"));
        bool ok = d <= limit;
        bad += !ok;
        if (!ok || getenv("DV_GOLDEN_VERBOSE"))
            print_message("%s %s after %zu tokens: distance %.3e, limit %.3e%s\n",
                          json_string_value(json_object_get(shape, "shape")),
                          json_string_value(json_object_get(file, "quant")), json_array_size(prompt), d, limit,
                          ok ? "" : ": TOO FAR");
    }
    dv_engine_close(&engine);
    unlink(path);
    return bad;
}

static void check_shape(void **state)
{
    json_t *shape = load(*state), *file;
    size_t i;
    int bad = 0;
    json_array_foreach(json_object_get(shape, "files"), i, file) bad += check_file(shape, file);
    json_decref(shape);
    assert_int_equal(bad, 0);
}

#define SHAPE(name)                                                                      \
    {                                                                                    \
        "log-probabilities of " name, check_shape, NULL, NULL, (void *)(uintptr_t)(name) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHAPE("tiny-llama"),  SHAPE("tiny-llama-rope-freqs"), SHAPE("tiny-mistral"), SHAPE("tiny-qwen2"),
        SHAPE("tiny-qwen3"),  SHAPE("tiny-qwen3moe"),         SHAPE("tiny-phi3"),    SHAPE("tiny-phi3-long"),
        SHAPE("tiny-gemma3"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
