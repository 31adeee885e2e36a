/* SPDX-License-Identifier: MIT */
/* The shipped model's greedy answers to fifty questions, against llama.cpp's: template, tokenizer, model and generation at once. */
#include "drover/engine.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PROMPT = 256 };

typedef struct answer {
    char text[4096];
    size_t len;
} answer;

static int on_text(void *arg, const char *text, size_t len)
{
    answer *a = arg;
    assert_true(a->len + len < sizeof(a->text));
    memcpy(a->text + a->len, text, len);
    a->len += len;
    a->text[a->len] = '\0';
    return 0;
}

static void ask(dv_engine *engine, const char *question, answer *a)
{
    dv_err err = {0};
    dv_session *s = NULL;
    uint32_t ids[MAX_PROMPT];
    dv_sampling greedy = dv_sampling_default();
    greedy.temperature = 0;
    dv_message m = {.role = "user", .content = question, .content_len = strlen(question)};
    int64_t n = dv_engine_chat_tokens(engine, &m, 1, true, ids, MAX_PROMPT, &err);
    if (n < 0)
        fail_msg("%s", err.msg);
    assert_true(n <= MAX_PROMPT);
    dv_generate_options g = {.max_tokens = 128, .on_text = on_text, .arg = a};
    dv_generate_result r;
    a->len = 0;
    a->text[0] = '\0';
    if (dv_session_open(&s, engine, &greedy, &err) || dv_session_append(s, ids, (size_t)n, NULL, NULL, &err) ||
        dv_session_generate(s, &g, &r, &err))
        fail_msg("%s", err.msg);
    dv_session_close(&s);
}

static void check_answers(void **state)
{
    (void)state;
    dv_err err = {0};
    dv_engine *engine = NULL;
    dv_engine_options o = {.threads = 1};
    if (dv_engine_open(&engine, DV_MODEL, &o, &err))
        fail_msg("%s", err.msg);
    json_error_t e;
    json_t *rows = json_load_file(DV_GOLDEN_MODELS "/answers.json", 0, &e), *row;
    if (!rows)
        fail_msg("answers.json: %s, line %d", e.text, e.line);
    size_t i;
    int bad = 0;
    json_array_foreach(rows, i, row)
    {
        const char *question = json_string_value(json_object_get(row, "question")),
                   *want = json_string_value(json_object_get(row, "answer"));
        answer a;
        ask(engine, question, &a);
        if (strcmp(a.text, want) != 0) {
            bad++;
            print_message("%s\n  llama.cpp: %s\n  drover:    %s\n", question, want, a.text);
        }
    }
    assert_int_equal(i, 50);
    json_decref(rows);
    dv_engine_close(&engine);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(check_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
