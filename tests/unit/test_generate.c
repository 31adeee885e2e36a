/* SPDX-License-Identifier: MIT */
/* The token loop through the public interface, with the model that ships with drover: what ends it, what it hands out and when, that it
 * can go on, and that it does not allocate. */
#include "base/mem.h"
#include "base/utf8.h"
#include "drover/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char question[] = "What is a llama?";
static dv_engine *engine;

typedef struct talk {
    char text[4096];
    size_t len, n_text;
    uint32_t ids[512], n_ids;
    uint32_t cancel_at_token; /* stop at the n-th token, 0: never */
    size_t cancel_at_text;    /* stop at the n-th piece of text */
    uint64_t allocations;     /* when the second token came */
} talk;

static int on_text(void *arg, const char *text, size_t len)
{
    talk *t = arg;
    assert_true(len > 0 && len < sizeof t->text - t->len && dv_utf8_valid(text, len));
    memcpy(t->text + t->len, text, len);
    t->len += len;
    t->text[t->len] = 0;
    return ++t->n_text == t->cancel_at_text;
}

static int on_token(void *arg, uint32_t id)
{
    talk *t = arg;
    assert_true(t->n_ids < sizeof t->ids / sizeof *t->ids);
    t->ids[t->n_ids++] = id;
    if (t->n_ids == 2)
        t->allocations = dv_mem_count();
    return t->n_ids == t->cancel_at_token;
}

static dv_session *ask(const dv_sampling *sampling)
{
    dv_message m = {.role = "user", .content = question, .content_len = strlen(question)};
    uint32_t ids[64];
    dv_session *s;
    dv_err err = {0};
    int64_t n = dv_engine_chat_tokens(engine, &m, 1, true, ids, 64, &err);
    assert_in_range(n, 5, 64);
    assert_int_equal(dv_session_open(&s, engine, sampling, &err), 0);
    assert_int_equal(dv_session_append(s, ids, (size_t)n, NULL, NULL, &err), 0);
    return s;
}

static dv_sampling greedy(void)
{
    dv_sampling c = dv_sampling_default();
    c.temperature = 0;
    return c;
}

static dv_generate_result generate(dv_session *s, talk *t, uint32_t max_tokens, const char *const *stop, size_t n_stop)
{
    dv_generate_options o = {
        .max_tokens = max_tokens, .stop = stop, .n_stop = n_stop, .on_text = on_text, .on_token = on_token, .arg = t};
    dv_generate_result r;
    dv_err err = {0};
    if (dv_session_generate(s, &o, &r, &err) != 0)
        fail_msg("%s", err.msg);
    return r;
}

static int open_model(void **state)
{
    dv_engine_options o = {.threads = 2};
    dv_err err = {0};
    if (dv_engine_open(&engine, "models/pocket-dictionary.gguf", &o, &err) != 0)
        fail_msg("%s", err.msg);
    return 0;
}

static int close_model(void **state)
{
    dv_engine_close(&engine);
    assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
    return 0;
}

static void test_end(void **state)
{
    dv_sampling c = greedy();
    dv_session *s = ask(&c);
    uint32_t before = dv_session_n_tokens(s);
    talk t = {0};
    dv_generate_result r = generate(s, &t, 0, NULL, 0);
    assert_int_equal(r.reason, DV_STOP_END);
    assert_int_equal(r.n_tokens, t.n_ids);
    assert_true(dv_engine_is_end(engine, t.ids[t.n_ids - 1]));
    assert_int_equal(dv_session_n_tokens(s), before + t.n_ids - 1); /* the end token is not in the session */
    assert_memory_equal(dv_session_tokens(s) + before, t.ids, (t.n_ids - 1) * sizeof *t.ids);
    assert_int_equal(strncmp(t.text, "llama (noun): ", 14), 0);
    assert_true(t.n_text > 10); /* it came in pieces */
    assert_non_null(dv_session_logits(s));
    dv_session_close(&s);
}

static void test_length_goes_on(void **state)
{
    dv_sampling c = dv_sampling_default();
    c.temperature = 1;
    c.seed = 5;
    dv_session *s = ask(&c);
    talk whole = {0}, parts = {0};
    dv_generate_result r = generate(s, &whole, 24, NULL, 0);
    dv_session_close(&s);
    s = ask(&c);
    for (int i = 0; i < 8; i++) {
        r = generate(s, &parts, 3, NULL, 0);
        if (r.reason == DV_STOP_END)
            break;
        assert_int_equal(r.reason, DV_STOP_LENGTH);
        assert_int_equal(r.n_tokens, 3);
    }
    assert_string_equal(parts.text, whole.text);
    assert_int_equal(parts.n_ids, whole.n_ids);
    dv_session_close(&s);
}

static void test_stop_string(void **state)
{
    dv_sampling c = greedy();
    talk full = {0};
    dv_session *s = ask(&c);
    generate(s, &full, 0, NULL, 0);
    for (size_t from = 0; from < full.len; from += 7) {
        for (size_t len = 1; len <= 13 && from + len <= full.len; len += 4) {
            char word[16] = "";
            const char *stop[] = {"never in it", word};
            memcpy(word, full.text + from, len);
            talk t = {0};
            assert_int_equal(dv_session_truncate(s, 0, NULL), 0);
            dv_session_close(&s);
            s = ask(&c);
            dv_generate_result r = generate(s, &t, 0, stop, 2);
            assert_int_equal(r.reason, DV_STOP_STRING);
            size_t want = (size_t)(strstr(full.text, word) - full.text);
            assert_int_equal(t.len, want);
            assert_memory_equal(t.text, full.text, want);
        }
    }
    dv_session_close(&s);
}

static void test_held_text_comes_at_the_end(void **state)
{
    dv_sampling c = greedy();
    talk full = {0}, t = {0};
    dv_session *s = ask(&c);
    generate(s, &full, 0, NULL, 0);
    dv_session_close(&s);
    char word[16] = ""; /* the answer's last letters and one more: begun and never complete */
    snprintf(word, sizeof word, "%s!", full.text + full.len - 5);
    s = ask(&c);
    assert_int_equal(generate(s, &t, 0, (const char *[]){word}, 1).reason, DV_STOP_END);
    assert_string_equal(t.text, full.text);
    dv_session_close(&s);
}

static void test_context(void **state)
{
    dv_logit_bias bias[8];
    dv_sampling c = greedy();
    c.bias = bias;
    for (uint32_t id = 0; id < dv_engine_get_info(engine)->n_vocab && c.n_bias < 8; id++)
        if (dv_engine_is_end(engine, id))
            bias[c.n_bias++] = (dv_logit_bias){id, -INFINITY};
    dv_session *s = ask(&c);
    talk t = {0};
    uint32_t before = dv_session_n_tokens(s), ctx = dv_engine_get_info(engine)->n_ctx;
    dv_generate_result r = generate(s, &t, 0, NULL, 0);
    assert_int_equal(r.reason, DV_STOP_CONTEXT);
    assert_int_equal(dv_session_n_tokens(s), ctx);
    assert_int_equal(r.n_tokens, ctx - before + 1); /* the last token has its text but no room */
    dv_session_close(&s);
}

static void test_cancel(void **state)
{
    dv_sampling c = greedy();
    for (uint32_t n = 1; n <= 4; n++) {
        dv_session *s = ask(&c);
        talk t = {.cancel_at_token = n};
        uint32_t before = dv_session_n_tokens(s);
        assert_int_equal(generate(s, &t, 0, NULL, 0).reason, DV_STOP_CANCELED);
        assert_int_equal(t.n_ids, n);
        assert_int_equal(dv_session_n_tokens(s), before + n - 1);
        t = (talk){.cancel_at_text = n};
        assert_int_equal(generate(s, &t, 0, NULL, 0).reason, DV_STOP_CANCELED);
        assert_int_equal(t.n_text, n);
        dv_session_close(&s);
    }
}

static void test_no_allocation(void **state)
{
    for (int kind = 0; kind < 4; kind++) {
        dv_sampling c = dv_sampling_default();
        c.temperature = kind == 0 ? 0 : 2;
        c.top_k = kind == 1 ? 40 : 0;
        c.frequency_penalty = 0.5f;
        c.typical_p = kind == 3 ? 0.5f : 1;
        dv_session *s = ask(&c);
        talk t = {0};
        generate(s, &t, 40, (const char *[]){"zebra"}, 1); /* 53 tokens fit in the first page of the cache */
        assert_true(t.n_ids > 2);
        assert_int_equal(dv_mem_count(), t.allocations);
        dv_session_close(&s);
    }
}

static void test_refusals(void **state)
{
    dv_session *s;
    dv_err err = {0};
    dv_generate_result r;
    uint32_t id;
    assert_int_equal(dv_session_open(&s, engine, NULL, &err), 0);
    assert_int_equal(dv_session_generate(s, NULL, &r, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "no logits"));
    assert_int_equal(dv_session_sample(s, &id, NULL), DV_EINVAL);
    dv_generate_options o = {.stop = (const char *[]){""}, .n_stop = 1};
    err = (dv_err){0};
    assert_int_equal(dv_session_generate(s, &o, &r, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "empty"));
    dv_sampling c = greedy();
    c.top_p = 2;
    err = (dv_err){0};
    assert_int_equal(dv_session_set_sampling(s, &c, &err), DV_EINVAL);
    assert_non_null(strstr(err.msg, "top_p"));
    dv_session_close(&s);
    assert_int_equal(dv_session_open(&s, engine, &c, &err), DV_EINVAL);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),           cmocka_unit_test(test_length_goes_on),
        cmocka_unit_test(test_stop_string),   cmocka_unit_test(test_context),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_held_text_comes_at_the_end),
        cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("generate", tests, open_model, close_model);
}
