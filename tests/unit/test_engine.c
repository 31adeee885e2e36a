/* SPDX-License-Identifier: MIT */
/* Whole models through the public interface: a prediction depends on the tokens before it and on nothing else, sessions keep their
 * promises, memory stays where it was said to be. */
#include "base/cpu.h"
#include "base/mem.h"
#include "drover/engine.h"
#include "engine/session.h"
#include "model_files.h"

#include <math.h>

enum { N_PROMPT = 90 }; /* more than a KV page and a query block, no multiple of anything */

static const char *const shapes[] = {"tiny-llama", "tiny-llama-rope-freqs", "tiny-mistral", "tiny-qwen2",
                                     "tiny-qwen3", "tiny-qwen3moe",         "tiny-phi3",    "tiny-phi3-long",
                                     "tiny-gemma3"};

static dv_engine *open_engine(const char *path, dv_engine_options o)
{
    dv_engine *e;
    dv_err err = {0};
    if (dv_engine_open(&e, path, &o, &err) != 0)
        fail_msg("%s: %s", path, err.msg);
    return e;
}

static dv_session *open_session(dv_engine *e)
{
    dv_session *s;
    dv_err err = {0};
    if (dv_session_open(&s, e, NULL, &err) != 0)
        fail_msg("%s", err.msg);
    return s;
}

static void prompt(const dv_engine *e, uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)((i * 7919 + 17) % dv_engine_get_info(e)->n_vocab);
}

static void append(dv_session *s, const uint32_t *ids, size_t n)
{
    dv_err err = {0};
    if (dv_session_append(s, ids, n, NULL, NULL, &err) != 0)
        fail_msg("%s", err.msg);
}

/* Logits after the prompt, appended in pieces of `piece` tokens; the caller frees. */
static float *predict(const char *path, dv_engine_options o, size_t piece)
{
    dv_engine *e = open_engine(path, o);
    dv_session *s = open_session(e);
    uint32_t ids[N_PROMPT];
    prompt(e, ids, N_PROMPT);
    for (size_t i = 0; i < N_PROMPT; i += piece)
        append(s, ids + i, N_PROMPT - i < piece ? N_PROMPT - i : piece);
    size_t bytes = dv_engine_get_info(e)->n_vocab * sizeof(float);
    float *copy = malloc(bytes);
    memcpy(copy, dv_session_logits(s), bytes);
    dv_session_close(&s);
    dv_engine_close(&e);
    return copy;
}

static void same_bits_whatever_the_way(void **state)
{
    (void)state;
    static const struct {
        dv_engine_options o;
        size_t piece;
    } ways[] = {
        {{.threads = 1, .ctx = 128}, 1},
        {{.threads = 3, .ctx = 256}, 7},
        {{.threads = 2, .ctx = 128, .batch = 16}, 90},
        {{.threads = 1, .ctx = 128}, 64},
        {{.threads = 2, .ctx = 128, .batch = 1}, 90},
    };
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++) {
        mf_path p = mf_model(shapes[m], m % 2 ? "Q4_K_M" : "Q8_0");
        float *want = predict(p.at, (dv_engine_options){.threads = 2, .ctx = 128}, N_PROMPT);
        for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
            float *got = predict(p.at, ways[w].o, ways[w].piece);
            assert_memory_equal(got, want, 4096 * sizeof(float));
            free(got);
        }
        free(want);
    }
}

static void same_bits_on_every_cpu_level(void **state)
{
    (void)state;
    static const char *const levels[] = {"c", "avx2", "avx-vnni", "avx512", "avx512-vnni"};
    static const char *const quants[] = {"F32", "BF16", "Q4_K_M", "Q5_K_S", "Q6_K", "IQ4_XS", "Q4_0", "Q2_K", "Q5_1"};
    for (size_t q = 0; q < sizeof quants / sizeof *quants; q++) {
        mf_path p = mf_model(shapes[q % (sizeof shapes / sizeof *shapes)], quants[q]);
        float *want = predict(p.at, (dv_engine_options){.threads = 1, .ctx = 128}, N_PROMPT);
        assert_true(isfinite(want[0]));
        for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
            float *got = predict(p.at, (dv_engine_options){.threads = 2, .ctx = 128, .cpu_mask = levels[l]}, N_PROMPT);
            assert_memory_equal(got, want, 4096 * sizeof(float));
            free(got);
        }
        free(want);
    }
}

static void other_sessions_change_nothing(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-llama", "Q4_K_M");
    dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 2, .ctx = 256});
    uint32_t n_vocab = dv_engine_get_info(e)->n_vocab, ids[N_PROMPT];
    prompt(e, ids, N_PROMPT);
    dv_session *a = open_session(e), *b = open_session(e);
    for (size_t i = 0; i < N_PROMPT; i++) {
        append(a, ids + i, 1);
        append(b, ids + (i * 31) % N_PROMPT, 1);
    }
    dv_session *c = open_session(e);
    append(c, ids, N_PROMPT);
    assert_memory_equal(dv_session_logits(a), dv_session_logits(c), n_vocab * sizeof(float));
    dv_session_close(&a);
    dv_session_close(&b);
    dv_session_close(&c);
    dv_engine_close(&e);
}

static void truncate_and_sync_compute_only_what_differs(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-gemma3", "Q8_0");
    dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 2, .ctx = 256});
    uint32_t n_vocab = dv_engine_get_info(e)->n_vocab, ids[200];
    dv_err err = {0};
    prompt(e, ids, 200);
    dv_session *s = open_session(e), *fresh = open_session(e);
    append(s, ids + 50, 70); /* other content, so that stale cache entries exist */
    assert_int_equal(dv_session_truncate(s, 0, &err), 0);
    assert_null(dv_session_logits(s));
    assert_int_equal(dv_session_sync(s, ids, 150, NULL, NULL, &err), 0);
    assert_int_equal(dv_session_sync(s, ids, 150, NULL, NULL, &err), 150);
    assert_int_equal(dv_session_sync(s, ids, 200, NULL, NULL, &err), 150);
    ids[100]++;
    assert_int_equal(dv_session_sync(s, ids, 130, NULL, NULL, &err), 100);
    assert_int_equal(dv_session_n_tokens(s), 130);
    append(fresh, ids, 130);
    assert_memory_equal(dv_session_logits(s), dv_session_logits(fresh), n_vocab * sizeof(float));
    assert_int_equal(dv_session_sync(s, ids, 60, NULL, NULL, &err), 59); /* the last token's logits are gone */
    assert_int_equal(dv_session_truncate(s, 61, &err), DV_EINVAL);
    dv_session_close(&s);
    dv_session_close(&fresh);
    dv_engine_close(&e);
}

static int stop_after_first(void *arg, size_t done, size_t total)
{
    (void)total;
    *(size_t *)arg = done;
    return 1;
}

static void append_refuses_and_keeps(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-qwen2", "Q4_0");
    dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 1, .ctx = 64, .batch = 16});
    dv_session *s = open_session(e);
    uint32_t ids[65];
    size_t done = 0;
    prompt(e, ids, 65);
    dv_err err = {0};
    assert_int_equal(dv_session_append(s, ids, 65, NULL, NULL, &err), DV_ECONTEXT);
    assert_non_null(strstr(err.msg, "64"));
    assert_int_equal(dv_session_n_tokens(s), 0);
    assert_int_equal(dv_session_append(s, ids, 0, NULL, NULL, NULL), DV_EINVAL);
    ids[3] = dv_engine_get_info(e)->n_vocab;
    err = (dv_err){0};
    assert_int_equal(dv_session_append(s, ids, 10, NULL, NULL, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "token 3"));
    ids[3] = 0;
    assert_int_equal(dv_session_append(s, ids, 40, stop_after_first, &done, NULL), DV_ECANCELED);
    assert_int_equal(done, 14); /* 40 tokens in three steps of about the same size */
    assert_int_equal(dv_session_n_tokens(s), 14);
    assert_null(dv_session_logits(s));
    append(s, ids + 14, 50);
    assert_int_equal(dv_session_append(s, ids, 1, NULL, NULL, NULL), DV_ECONTEXT);
    assert_non_null(dv_session_logits(s)); /* a refused append changes nothing */
    dv_session_close(&s);
    dv_engine_close(&e);
}

static void several_sessions_in_a_step(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-llama", "Q4_K_M");
    dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 2, .ctx = 32, .batch = 16});
    size_t n_vocab = dv_engine_get_info(e)->n_vocab;
    float *logits = malloc(17 * n_vocab * sizeof *logits);
    dv_session *s[17], *alone = open_session(e);
    uint32_t ids[32];
    prompt(e, ids, 32);
    for (size_t i = 0; i < 17; i++)
        s[i] = open_session(e);
    for (size_t i = 0; i < 3; i++)
        append(s[i], ids + i, 5 + 10 * i);
    for (size_t step = 0; step < 3; step++)
        assert_int_equal(dv_session_append_each(s, ids + step, 3, logits, NULL), 0);
    assert_null(dv_session_logits(s[0]));
    for (size_t i = 0; i < 3; i++) {
        uint32_t n = dv_session_n_tokens(s[i]);
        assert_int_equal(n, 8 + 10 * i);
        assert_int_equal(dv_session_truncate(alone, 0, NULL), 0);
        append(alone, dv_session_tokens(s[i]), n);
        assert_memory_equal(dv_session_logits(alone), logits + i * n_vocab, n_vocab * sizeof *logits);
    }
    dv_err err = {0};
    append(s[2], ids, 4); /* which fills it */
    assert_int_equal(dv_session_append_each(s, ids, 3, logits, &err), DV_ECONTEXT);
    assert_int_equal(dv_session_append_each(s, ids, 0, logits, NULL), DV_EINVAL);
    assert_int_equal(dv_session_append_each(s, ids, 17, logits, NULL), DV_EINVAL); /* more than a step takes */
    ids[1] = (uint32_t)n_vocab;
    assert_int_equal(dv_session_append_each(s, ids, 2, logits, NULL), DV_EINVAL);
    assert_int_equal(dv_session_n_tokens(s[0]), 8);
    for (size_t i = 0; i < 17; i++)
        dv_session_close(&s[i]);
    dv_session_close(&alone);
    free(logits);
    dv_engine_close(&e);
}

static void decoding_allocates_only_cache_pages(void **state)
{
    (void)state;
    static const char *const some[] = {"tiny-llama", "tiny-qwen3moe", "tiny-gemma3"};
    for (size_t m = 0; m < sizeof some / sizeof *some; m++) {
        mf_path p = mf_model(some[m], "Q4_K_M");
        dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 2, .ctx = 256});
        dv_session *s = open_session(e);
        uint32_t ids[70];
        prompt(e, ids, 70);
        append(s, ids, 3);
        uint64_t before = dv_mem_count();
        for (int i = 0; i < 60; i++) {
            uint32_t id;
            assert_int_equal(dv_session_sample(s, &id, NULL), 0);
            append(s, &id, 1);
        }
        assert_int_equal(dv_mem_count(), before);
        dv_session_close(&s);
        dv_engine_close(&e);
    }
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
}

static double distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += (a[i] - b[i]) * (double)(a[i] - b[i]);
        s += a[i] * (double)a[i];
    }
    return sqrt(d / s);
}

/* By default f16, and f32 where the matrices are; f16 is near to f32 but not the same. What it rounds changes how later activations
 * round, too. */
static void cache_formats(void **state)
{
    (void)state;
    static const char *const quants[] = {"F32", "F16", "Q8_0", "Q4_K_M"};
    for (size_t m = 0; m < sizeof quants / sizeof *quants; m++) {
        mf_path p = mf_model(shapes[m], quants[m]);
        float *by_default = predict(p.at, (dv_engine_options){.threads = 1, .ctx = 128}, N_PROMPT);
        float *f16 = predict(p.at, (dv_engine_options){.threads = 2, .ctx = 128, .kv_format = DV_KV_FORMAT_F16}, 11);
        float *f32 = predict(p.at, (dv_engine_options){.threads = 2, .ctx = 128, .kv_format = DV_KV_FORMAT_F32}, 11);
        double d = distance(f16, f32, 4096);
        assert_true(d > 0 && d < 0.02);
        assert_memory_equal(by_default, m == 0 ? f32 : f16, 4096 * sizeof(float));
        free(by_default);
        free(f16);
        free(f32);
    }
}

static void cache_format_tells_in_bytes(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-llama", "Q8_0");
    uint64_t bytes[DV_KV_FORMAT_N];
    for (dv_kv_format f = 0; f < DV_KV_FORMAT_N; f++) {
        dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 1, .ctx = 64, .kv_format = f});
        bytes[f] = dv_engine_get_info(e)->kv_bytes_per_token;
        dv_engine_close(&e);
    }
    assert_int_equal(bytes[DV_KV_FORMAT_AUTO], bytes[DV_KV_FORMAT_F16]);
    assert_int_equal(bytes[DV_KV_FORMAT_F32], 2 * bytes[DV_KV_FORMAT_F16]);
    assert_int_equal(bytes[DV_KV_FORMAT_Q8_0] * 64, bytes[DV_KV_FORMAT_F16] * 34);
}

/* LongRoPE's factors depend on the context: the default one counts as if it had been asked for. */
static void default_context_is_a_context(void **state)
{
    (void)state;
    static const char *const phi[] = {"tiny-phi3", "tiny-phi3-long"};
    for (size_t m = 0; m < sizeof phi / sizeof *phi; m++) {
        mf_path p = mf_model(phi[m], "Q8_0");
        float *by_default = predict(p.at, (dv_engine_options){.threads = 1}, N_PROMPT);
        float *asked = predict(p.at, (dv_engine_options){.threads = 1, .ctx = 1024}, N_PROMPT);
        float *longer = predict(p.at, (dv_engine_options){.threads = 1, .ctx = 4096}, N_PROMPT);
        assert_memory_equal(by_default, asked, 4096 * sizeof(float));
        assert_int_equal(memcmp(longer, asked, 4096 * sizeof(float)) == 0, m == 1); /* both are long, or only one */
        free(by_default);
        free(asked);
        free(longer);
    }
}

static void q8_cache_is_close_to_f16(void **state)
{
    (void)state;
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++) {
        mf_path p = mf_model(shapes[m], m % 2 ? "Q4_K_M" : "Q8_0");
        float *f16 = predict(p.at, (dv_engine_options){.threads = 1, .ctx = 128}, N_PROMPT);
        float *q8 = predict(p.at, (dv_engine_options){.threads = 2, .ctx = 128, .kv_format = DV_KV_FORMAT_Q8_0}, 11);
        double d = distance(f16, q8, 4096);
        assert_true(d > 0 && d < 0.05);
        free(f16);
        free(q8);
    }
}

typedef struct seen {
    size_t n;
    float first, last;
} seen;

static int see(void *arg, size_t i, const float *logits)
{
    seen *s = arg;
    assert_int_equal(i, s->n++);
    if (i == 0)
        s->first = logits[5];
    s->last = logits[5];
    return 0;
}

static void score_sees_what_append_computes(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-phi3", "Q6_K");
    dv_engine *e = open_engine(p.at, (dv_engine_options){.threads = 2, .ctx = 128, .batch = 48});
    dv_session *a = open_session(e), *b = open_session(e);
    uint32_t ids[N_PROMPT];
    seen s = {0};
    prompt(e, ids, N_PROMPT);
    assert_int_equal(dv_session_score(a, ids, N_PROMPT, see, &s, NULL), 0);
    assert_int_equal(s.n, N_PROMPT);
    append(b, ids, 1);
    assert_true(s.first == dv_session_logits(b)[5]);
    append(b, ids + 1, N_PROMPT - 1);
    assert_true(s.last == dv_session_logits(b)[5]);
    assert_memory_equal(dv_session_logits(a), dv_session_logits(b), 4096 * sizeof(float));
    dv_session_close(&a);
    dv_session_close(&b);
    dv_engine_close(&e);
}

static void out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    mf_path p = mf_model("tiny-qwen3moe", "Q8_0");
    for (uint64_t n = 1;; n++) {
        dv_engine *e = NULL;
        dv_session *s = NULL;
        dv_err err = {0};
        uint32_t ids[3] = {1, 2, 3};
        dv_mem_fail_after(n);
        int rc = dv_engine_open(&e, p.at, &(dv_engine_options){.threads = 2, .ctx = 128}, &err);
        if (rc == 0)
            rc = dv_session_open(&s, e, NULL, &err);
        if (rc == 0)
            rc = dv_session_append(s, ids, 3, NULL, NULL, &err);
        dv_mem_fail_after(0);
        dv_session_close(&s);
        dv_engine_close(&e);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
        if (rc == 0)
            break;
        assert_int_equal(rc, DV_ENOMEM);
        assert_int_equal(err.code, DV_ENOMEM);
        assert_true(n < 100000);
    }
}

static int remove_files(void **state)
{
    (void)state;
    mf_remove_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_whatever_the_way),
        cmocka_unit_test(same_bits_on_every_cpu_level),
        cmocka_unit_test(other_sessions_change_nothing),
        cmocka_unit_test(truncate_and_sync_compute_only_what_differs),
        cmocka_unit_test(append_refuses_and_keeps),
        cmocka_unit_test(several_sessions_in_a_step),
        cmocka_unit_test(decoding_allocates_only_cache_pages),
        cmocka_unit_test(default_context_is_a_context),
        cmocka_unit_test(cache_formats),
        cmocka_unit_test(cache_format_tells_in_bytes),
        cmocka_unit_test(q8_cache_is_close_to_f16),
        cmocka_unit_test(score_sees_what_append_computes),
        cmocka_unit_test(out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
