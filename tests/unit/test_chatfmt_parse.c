/* SPDX-License-Identifier: MIT */
/* Answers of every format, whole and broken, cut in every way. */
#include "base/json.h"
#include "chatfmt_util.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "chat/jscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const sources[] = {"x",       tmpl_llama3,   tmpl_qwen,       tmpl_mistral, tmpl_mistral_args,
                                      tmpl_phi4, tmpl_deepseek, tmpl_deepseek31, tmpl_gemma,   tmpl_harmony};
static dv_chatfmt *formats[DV_CHATFMT_N];
static dv_chattools tools;

static int setup(void **state)
{
    dv_err err = {0};
    json_t *list = json_loads(
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]",
        0, NULL);
    int r = dv_chattools_from_openai(&tools, list, NULL, NULL, &err);
    json_decref(list);
    for (int k = 0; r == 0 && k < DV_CHATFMT_N; k++) {
        r = dv_chatfmt_open_text(&formats[k], sources[k], NULL, NULL, NULL, NULL, &err);
        if (r == 0 && dv_chatfmt_kind_of(formats[k]) != (dv_chatfmt_kind)k) {
            fprintf(stderr, "kind %d is taken for %s\n", k, dv_chatfmt_kind_name(dv_chatfmt_kind_of(formats[k])));
            r = -1;
        }
    }
    return r;
}

static int teardown(void **state)
{
    for (int k = 0; k < DV_CHATFMT_N; k++)
        dv_chatfmt_close(&formats[k]);
    dv_chattools_fini(&tools);
    return 0;
}

/* step 0: at once; n: n characters at a time; -1: random pieces. */
static void feed(const dv_chatfmt *f, dv_chatfmt_parser_options o, const char *text, int step, event_log *log)
{
    dv_chatfmt_parser *p;
    dv_rng rng;
    size_t n = strlen(text), i = 0;
    dv_rng_seed(&rng, n);
    o.on_event = log_event;
    o.arg = log;
    *log = (event_log){.last = -1};
    assert_int_equal(dv_chatfmt_parser_open(&p, f, &o, NULL), 0);
    while (i < n) {
        size_t k = 0, left = step == 0 ? n : step > 0 ? (size_t)step : 1 + dv_rng_below(&rng, 9);
        for (uint32_t cp; left > 0 && i + k < n; left--)
            k += (size_t)dv_utf8_decode(text + i + k, n - i - k, &cp);
        assert_int_equal(dv_chatfmt_push(p, text + i, k), 0);
        i += k;
    }
    assert_int_equal(dv_chatfmt_finish(p), 0);
    dv_chatfmt_parser_close(&p);
}

static void expect_with(const dv_chatfmt *f, dv_chatfmt_parser_options o, const char *text, const char *want)
{
    static const int steps[] = {0, 1, 2, 3, 7, -1};
    for (size_t i = 0; i < DV_ARRAY_LEN(steps); i++) {
        event_log log;
        feed(f, o, text, steps[i], &log);
        if (strcmp(log_text(&log), want) != 0)
            fail_msg("%s, step %d: %s\n want %s\n  got %s", dv_chatfmt_kind_name(dv_chatfmt_kind_of(f)), steps[i], text,
                     want, log_text(&log));
        dv_buf_fini(&log.text);
    }
}

/* The same while it streams and as a whole. */
static void expect(dv_chatfmt_kind kind, const char *text, const char *want)
{
    expect_with(formats[kind], (dv_chatfmt_parser_options){.tools = &tools}, text, want);
    expect_with(formats[kind], (dv_chatfmt_parser_options){.tools = &tools, .whole_calls = true}, text, want);
}

/* Broken inside the arguments: what has been handed out stays; as a whole it is content. */
static void expect_broken(dv_chatfmt_kind kind, const char *text, const char *want, const char *whole)
{
    expect_with(formats[kind], (dv_chatfmt_parser_options){.tools = &tools}, text, want);
    expect_with(formats[kind], (dv_chatfmt_parser_options){.tools = &tools, .whole_calls = true}, text, whole);
}

#define CALL_F "B0  fA({\"a\":1})E+"
#define BOTH "B0  fA({\"a\":1})E+B1  gA({})E+"

static void content_is_kept(void **state)
{
    for (int k = 0; k < DV_CHATFMT_N; k++) {
        expect((dv_chatfmt_kind)k, "", "");
        expect((dv_chatfmt_kind)k, "Hello, w\xc3\xb6rld.", "C(Hello, w\xc3\xb6rld.)");
        if (k != DV_CHATFMT_HARMONY)
            expect((dv_chatfmt_kind)k, "  two\n\n lines <b>\n", "C(  two\n\n lines <b>\n)");
        expect((dv_chatfmt_kind)k, "a < b <t <tool [ [TOOL functool <| {x", "C(a < b <t <tool [ [TOOL functool <| {x)");
    }
    char spaces[203] = "x";
    memset(spaces + 1, ' ', 200);
    spaces[201] = 'y';
    char want[210];
    snprintf(want, sizeof want, "C(%s)", spaces);
    expect(DV_CHATFMT_HERMES, spaces, want);
}

static void hermes(void **state)
{
    expect(DV_CHATFMT_HERMES, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>", CALL_F);
    expect(DV_CHATFMT_HERMES, "Let me see.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>",
           "C(Let me see.)" CALL_F);
    expect(
        DV_CHATFMT_HERMES,
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n",
        BOTH);
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>\nDone. ",
           CALL_F "C(Done. )");
    expect(DV_CHATFMT_HERMES,
           "<tool_call>{\"id\": 7, \"name\":\"f\",\"arguments\":{\"a\":1}, \"x\": [1, {}]}</tool_call>", CALL_F);
    expect(DV_CHATFMT_HERMES,
           "<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}</tool_call>",
           CALL_F);
    expect(DV_CHATFMT_HERMES, "<tool_call>[{\"name\":\"f\",\"arguments\":{\"a\":1}}, {\"name\":\"g\"}]</tool_call>",
           BOTH);
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"\\u0067\"}</tool_call>", "B0  gA({})E+");
    /* a name that is no tool of the request is for the client to refuse */
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"zzz\",\"arguments\":{}}</tool_call>", "B0  zzzA({})E+");
    /* markers inside of strings are text */
    expect(DV_CHATFMT_HERMES,
           "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call> <tool_call>\"}}</tool_call>",
           "B0  fA({\"a\":\"</tool_call> <tool_call>\"})E+");
}

static void hermes_broken(void **state)
{
    static const char *const never[] = {
        "<tool_call>",
        "<tool_call>\n",
        "<tool_call> not JSON </tool_call>",
        "<tool_call>{\"name\":\"f\"",
        "<tool_call>{\"name\":7,\"arguments\":{}}</tool_call>",
        "<tool_call>{\"name\":\"\",\"arguments\":{}}</tool_call>",
        "<tool_call>{\"name\":\"f\",\"arguments\":\"{}\"}</tool_call>",
        "<tool_call>{\"arguments\":{},\"name\":\"f\"}</tool_call>",
        "<tool_call>{\"name\":\"f\" \"arguments\":{}}</tool_call>",
        "<tool_call><tool_call><tool_call>",
        "text <tool_ca",
    };
    char want[200];
    for (size_t i = 0; i < DV_ARRAY_LEN(never); i++) {
        snprintf(want, sizeof want, "C(%s)", never[i]);
        expect(DV_CHATFMT_HERMES, never[i], want);
    }
    /* a good one behind a bad one */
    expect(DV_CHATFMT_HERMES, "<tool_call>x <tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>",
           "C(<tool_call>x)" CALL_F);
    /* cut behind the arguments: the call is complete */
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}", CALL_F);
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}\n</tool_", CALL_F);
    expect(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}\nand so on",
           CALL_F "C(}\nand so on)");
    /* broken inside */
    expect_broken(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x", "B0  fA({\"a\":\"x)E-",
                  "C(<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"x)");
    expect_broken(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":}}</tool_call>",
                  "B0  fA({\"a\":)E-C(}}</tool_call>)",
                  "C(<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":}}</tool_call>)");
    expect_broken(DV_CHATFMT_HERMES, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"\\ud800x\"}}</tool_call>",
                  "B0  fA({\"a\":\"\\ud800)E-C(x\"}}</tool_call>)",
                  "C(<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"\\ud800x\"}}</tool_call>)");
}

static void thoughts(void **state)
{
    const dv_chatfmt *f = formats[DV_CHATFMT_HERMES];
    dv_chatfmt_parser_options in = {.tools = &tools, .in_thinking = true},
                              keep = {.tools = &tools, .keep_thinking = true};
    expect(DV_CHATFMT_HERMES, "<think>\nhm\n</think>\n\nYes.", "R(hm)C(Yes.)");
    expect(DV_CHATFMT_HERMES, "\n<think>a\nb</think>", "R(a\nb)");
    expect(DV_CHATFMT_HERMES, "<think>\n\n</think>\n\nYes.", "C(Yes.)");
    expect(DV_CHATFMT_HERMES, "<think>a <b </think", "R(a <b </think)");
    expect(DV_CHATFMT_HERMES, "No <think>a</think>", "C(No <think>a</think>)");
    expect(DV_CHATFMT_HERMES, "<think>x</think><think>y</think>", "R(x)C(<think>y</think>)");
    expect(DV_CHATFMT_HERMES, "<think>x</think>\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>",
           "R(x)" CALL_F);
    expect_with(f, in, "\nhm </think>\n\n  Yes.", "R(hm)C(Yes.)");
    expect_with(f, in, "hm <tool_call>", "R(hm <tool_call>)");
    expect_with(f, keep, "<think>\nhm\n</think>\n\nYes.", "C(<think>\nhm\n</think>\n\nYes.)");
    dv_chatfmt *m = NULL;
    assert_int_equal(dv_chatfmt_open_text(&m, tmpl_magistral, NULL, NULL, NULL, NULL, NULL), 0);
    expect_with(m, (dv_chatfmt_parser_options){.tools = &tools}, "[THINK]a[/THINK]b", "R(a)C(b)");
    dv_chatfmt_close(&m);
}

static void without_tools_all_is_content(void **state)
{
    static const char call[] = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>";
    dv_chattools none = tools;
    none.choice = DV_TOOLCHOICE_NONE;
    char want[100];
    snprintf(want, sizeof want, "C(%s)", call);
    expect_with(formats[DV_CHATFMT_HERMES], (dv_chatfmt_parser_options){0}, call, want);
    expect_with(formats[DV_CHATFMT_HERMES], (dv_chatfmt_parser_options){.tools = &none}, call, want);
}

static void llama3(void **state)
{
    expect(DV_CHATFMT_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\":1}}", CALL_F);
    expect(DV_CHATFMT_LLAMA3, "\n {\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"a\":1}}", CALL_F);
    expect(DV_CHATFMT_LLAMA3, "{\"type\": \"function\", \"function\": \"f\", \"parameters\": {\"a\":1}}", CALL_F);
    expect(DV_CHATFMT_LLAMA3, "<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\":1}}", CALL_F);
    expect(DV_CHATFMT_LLAMA3, "Sure: <|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\":1}}", "C(Sure:)" CALL_F);
    expect(DV_CHATFMT_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\":1}}; {\"name\": \"g\", \"parameters\": {}}",
           BOTH);
    expect(DV_CHATFMT_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\":1}}\n{\"name\": \"g\", \"parameters\": {}}",
           BOTH);
    expect(DV_CHATFMT_LLAMA3, "```json\n{\"name\": \"f\", \"parameters\": {\"a\":1}}\n```", CALL_F);
    /* JSON that is no call of a tool of the request */
    expect(DV_CHATFMT_LLAMA3, "{\"name\": \"Bob\", \"parameters\": {}}", "C({\"name\": \"Bob\", \"parameters\": {}})");
    expect(DV_CHATFMT_LLAMA3, " {\"name\": \"f\"}", "C( {\"name\": \"f\"})");
    expect(DV_CHATFMT_LLAMA3, "So {\"name\": \"f\", \"parameters\": {}}",
           "C(So {\"name\": \"f\", \"parameters\": {}})");
    expect(DV_CHATFMT_LLAMA3, "<|python_tag|>print(1)", "C(<|python_tag|>print(1))");
    expect(DV_CHATFMT_LLAMA3, "[1, 2]", "C([1, 2])");
    expect(DV_CHATFMT_LLAMA3, "```\ncode\n```", "C(```\ncode\n```)");
    expect(DV_CHATFMT_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"a\":1}}; and", CALL_F "C(; and)");
}

static void mistral(void **state)
{
    for (int k = DV_CHATFMT_MISTRAL; k <= DV_CHATFMT_MISTRAL_ARGS; k++) {
        dv_chatfmt_kind kind = (dv_chatfmt_kind)k;
        expect(kind, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\":1}, \"id\": \"abcdefghi\"}]", CALL_F);
        expect(kind, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\":1}}, {\"name\": \"g\", \"arguments\": {}}]",
               BOTH);
        expect(kind, "[TOOL_CALLS]f[ARGS]{\"a\":1}", CALL_F);
        expect(kind, "[TOOL_CALLS]f{\"a\":1}[TOOL_CALLS]g[ARGS] {}", BOTH);
        expect(kind, "Hm. [TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{\"a\":1}", "C(Hm.)" CALL_F);
        expect(kind, "[TOOL_CALLS]", "C([TOOL_CALLS])");
        expect(kind, "[TOOL_CALLS]f g{}", "C([TOOL_CALLS]f g{})");
        expect(kind, "[TOOL_CALLS]f[ARGS][1]", "C([TOOL_CALLS]f[ARGS][1])");
        expect(kind, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\":1}}, 7]", CALL_F "C(, 7])");
        expect_broken(kind, "[TOOL_CALLS]f[ARGS]{\"a\"", "B0  fA({\"a\")E-", "C([TOOL_CALLS]f[ARGS]{\"a\")");
    }
}

static void phi4(void **state)
{
    expect(DV_CHATFMT_PHI4, "functools[{\"name\": \"f\", \"arguments\": {\"a\":1}}]", CALL_F);
    expect(DV_CHATFMT_PHI4,
           "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\":1}}, {\"name\":\"g\"}]<|/tool_call|>", BOTH);
    expect(DV_CHATFMT_PHI4, "import functools\nx", "C(import functools\nx)");
}

static void deepseek(void **state)
{
    for (int k = DV_CHATFMT_DEEPSEEK; k <= DV_CHATFMT_DEEPSEEK_31; k++) {
        dv_chatfmt_kind kind = (dv_chatfmt_kind)k;
        expect(kind, DS_CALLS DS_CALL "function" DS_SEP "f\n```json\n{\"a\":1}\n```" DS_CALL_END DS_CALLS_END, CALL_F);
        expect(kind,
               "Ok. " DS_CALLS DS_CALL "function" DS_SEP "f\n```json\n{\"a\":1}\n```" DS_CALL_END "\n" DS_CALL
               "function" DS_SEP "g\n```json\n{}\n```" DS_CALL_END DS_CALLS_END,
               "C(Ok.)" BOTH);
        expect(kind,
               DS_CALLS DS_CALL "f" DS_SEP "{\"a\":1}" DS_CALL_END DS_CALL "g" DS_SEP "{}" DS_CALL_END DS_CALLS_END,
               BOTH);
        expect(kind, DS_CALL "function" DS_SEP "f\n```json\n{\"a\":1}", CALL_F);
        expect(kind, DS_CALLS "x", "C(" DS_CALLS "x)");
        expect(kind, "<think>a</think>b", "R(a)C(b)");
    }
}

static void generic_and_gemma(void **state)
{
    for (int k = 0; k < 2; k++) {
        dv_chatfmt_kind kind = k == 0 ? DV_CHATFMT_GENERIC : DV_CHATFMT_GEMMA;
        expect(kind, "{\"tool_calls\": [{\"name\": \"f\", \"arguments\": {\"a\":1}}]}", CALL_F);
        expect(kind,
               "{\"tool_calls\": [{\"name\": \"f\", \"arguments\": {\"a\":1}}, {\"name\": \"g\", \"arguments\": {}}]}",
               BOTH);
        expect(kind, "```json\n{\"tool_calls\": [{\"name\": \"f\", \"arguments\": {\"a\":1}}]}\n```\n", CALL_F);
        expect(kind, "[{\"name\": \"f\", \"parameters\": {\"a\":1}}, {\"name\": \"g\", \"parameters\": {}}]", BOTH);
        expect(kind, "```tool_code\n{\"name\": \"f\", \"parameters\": {\"a\":1}}\n```", CALL_F);
        expect(kind, "{\"tool_calls\": 7}", "C({\"tool_calls\": 7})");
        expect(kind, "{\"tool_calls\": []}", "C({\"tool_calls\": []})");
        expect(kind, "{\"answer\": 1}", "C({\"answer\": 1})");
    }
}

static void harmony(void **state)
{
    dv_chatfmt_kind k = DV_CHATFMT_HARMONY;
    expect(k, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
           "R(hm)C(Yes.)");
    expect(k, "<|channel|>final<|message|>a < b\n", "C(a < b\n)");
    expect(
        k,
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\":1}<|call|>",
        "R(hm)" CALL_F);
    expect(k, " to=functions.f<|channel|>commentary json<|message|> {\"a\":1}<|call|>", CALL_F);
    expect(k, "<|channel|>commentary<|message|>First this.<|end|><|start|>assistant<|channel|>final<|message|>Then.",
           "C(First this.Then.)");
    expect(
        k,
        "<|channel|>commentary to=functions.f<|message|>{\"a\":1}<|end|><|start|>assistant to=functions.g<|channel|>commentary<|message|>{}<|call|>",
        BOTH);
    expect(k, "<|channel|>commentary to=functions.f<|message|>no JSON", "C(no JSON)");
    expect(k, "<|channel|>commentary to=functions.f<|mess", "");
    expect_broken(k, "<|channel|>commentary to=functions.f<|message|>{\"a\":", "B0  fA({\"a\":)E-",
                  "C(<|channel|>commentary to=functions.f<|message|>{\"a\":)");
    expect_with(formats[k], (dv_chatfmt_parser_options){.keep_thinking = true},
                "<|channel|>analysis<|message|>hm<|end|>", "C(hm)");
}

/* ---- ids, control tokens, limits, errors ---------------------------------------------------------------------------- */

static void ids_repeat(void **state)
{
    static const char hermes_call[] = "<tool_call>{\"name\":\"f\"}</tool_call>", mistral_call[] = "[TOOL_CALLS]f{}";
    json_t *a = NULL, *b = NULL, *c = NULL, *m = NULL;
    dv_chatfmt_parser_options o = {.tools = &tools, .seed = 1}, other = {.tools = &tools, .seed = 2};
    assert_int_equal(dv_chatfmt_parse(formats[DV_CHATFMT_HERMES], &o, hermes_call, strlen(hermes_call), &a, NULL), 0);
    assert_int_equal(dv_chatfmt_parse(formats[DV_CHATFMT_HERMES], &o, hermes_call, strlen(hermes_call), &b, NULL), 0);
    assert_int_equal(dv_chatfmt_parse(formats[DV_CHATFMT_HERMES], &other, hermes_call, strlen(hermes_call), &c, NULL),
                     0);
    assert_int_equal(dv_chatfmt_parse(formats[DV_CHATFMT_MISTRAL], &o, mistral_call, strlen(mistral_call), &m, NULL),
                     0);
    assert_true(json_equal(a, b));
    assert_false(json_equal(a, c));
    const char *id = json_string_value(json_object_get(json_array_get(json_object_get(a, "tool_calls"), 0), "id"));
    assert_int_equal(strlen(id), 29);
    assert_memory_equal(id, "call_", 5);
    assert_int_equal(
        strlen(json_string_value(json_object_get(json_array_get(json_object_get(m, "tool_calls"), 0), "id"))), 9);
    assert_true(json_is_null(json_object_get(a, "content")));
    json_decref(a);
    json_decref(b);
    json_decref(c);
    json_decref(m);
}

static void a_whole_answer(void **state)
{
    static const char text[] = "<think>hm</think>Hi <tool_call>{\"name\":\"f\",\"arguments\":{\"a\": 1}}</tool_call>";
    json_t *m = NULL;
    assert_int_equal(dv_chatfmt_parse(formats[DV_CHATFMT_HERMES], &(dv_chatfmt_parser_options){.tools = &tools}, text,
                                      strlen(text), &m, NULL),
                     0);
    json_object_del(json_array_get(json_object_get(m, "tool_calls"), 0), "id");
    char *got = json_dumps(m, JSON_COMPACT);
    assert_string_equal(
        got,
        "{\"role\":\"assistant\",\"content\":\"Hi\",\"reasoning_content\":\"hm\",\"tool_calls\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}}]}");
    free(got);
    json_decref(m);
}

static void markers_may_be_control_tokens(void **state)
{
    event_log log = {.last = -1};
    dv_chatfmt_parser *p;
    dv_chatfmt_parser_options o = {.tools = &tools, .on_event = log_event, .arg = &log};
    assert_int_equal(dv_chatfmt_parser_open(&p, formats[DV_CHATFMT_MISTRAL], &o, NULL), 0);
    dv_chatfmt_push(p, "Hm.", 3);
    dv_chatfmt_push_control(p, "<unused7>", 9);
    dv_chatfmt_push_control(p, "[TOOL_CALLS]", 12);
    dv_chatfmt_push(p, "f", 1);
    dv_chatfmt_push_control(p, "[ARGS]", 6);
    dv_chatfmt_push(p, "{\"a\":1}", 7);
    dv_chatfmt_push_control(p, "[TOOL_CALLS]", 12);
    dv_chatfmt_push(p, "?", 1);
    assert_int_equal(dv_chatfmt_n_calls(p), 1);
    assert_int_equal(dv_chatfmt_finish(p), 0);
    assert_string_equal(log_text(&log), "C(Hm.)" CALL_F "C([TOOL_CALLS]?)");
    dv_chatfmt_parser_close(&p);
    dv_buf_fini(&log.text);
}

static void bytes_that_are_no_text(void **state)
{
    event_log log = {.last = -1};
    dv_chatfmt_parser *p;
    dv_chatfmt_parser_options o = {.tools = &tools, .on_event = log_event, .arg = &log};
    assert_int_equal(dv_chatfmt_parser_open(&p, formats[DV_CHATFMT_HERMES], &o, NULL), 0);
    assert_int_equal(dv_chatfmt_push(p, "a\xfa\xff\xc3", 4), 0); /* 0xfa would be a marker */
    assert_int_equal(dv_chatfmt_finish(p), 0);
    assert_string_equal(log_text(&log), "C(a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd)");
    dv_chatfmt_parser_close(&p);
    dv_buf_fini(&log.text);
}

static void heads_and_calls_are_bounded(void **state)
{
    dv_buf text, want;
    dv_buf_init(&text, 0);
    dv_buf_init(&want, 0);
    dv_buf_adds(&text, "<tool_call>{\"x\":\"");
    for (int i = 0; i < DV_CHATFMT_MAX_HEAD; i++)
        dv_buf_addc(&text, 'y');
    dv_buf_adds(&text, "\",\"name\":\"f\",\"arguments\":{}}</tool_call>");
    dv_buf_printf(&want, "C(%s)", text.data);
    expect(DV_CHATFMT_HERMES, text.data, want.data);

    dv_buf_clear(&text);
    dv_buf_clear(&want);
    dv_buf_adds(&text, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"");
    for (int i = 0; i < DV_CHATFMT_MAX_CALL; i++)
        dv_buf_addc(&text, 'y');
    dv_buf_adds(&text, "\"}}</tool_call>");
    dv_buf_printf(&want, "C(%s)", text.data);
    event_log log;
    feed(formats[DV_CHATFMT_HERMES], (dv_chatfmt_parser_options){.tools = &tools, .whole_calls = true}, text.data, 0,
         &log);
    assert_string_equal(log_text(&log), want.data);
    dv_buf_fini(&log.text);
    dv_buf_fini(&text);
    dv_buf_fini(&want);
}

/* Every marker opens an attempt that fails late; work must not grow with their product. */
static void hostile_answers_take_linear_time(void **state)
{
    static const char *const units[] = {"<tool_call>",
                                        "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":[",
                                        "<think>",
                                        " ",
                                        "[TOOL_CALLS]f[ARGS]{\"",
                                        "{\"name\":\"f\",\"parameters\":{",
                                        "<|start|>",
                                        "<|channel|>x<|end|>"};
    for (size_t u = 0; u < DV_ARRAY_LEN(units); u++) {
        dv_buf text;
        dv_buf_init(&text, 0);
        while (text.len < 300000)
            dv_buf_adds(&text, units[u]);
        for (int k = 0; k < DV_CHATFMT_N; k++) {
            event_log log;
            feed(formats[k], (dv_chatfmt_parser_options){.tools = &tools, .whole_calls = true}, text.data, 3, &log);
            assert_int_equal(log.text.code, 0);
            dv_buf_fini(&log.text);
        }
        dv_buf_fini(&text);
    }
}

static int refuse(void *arg, const dv_chatfmt_event *ev) { return DV_ECANCELED; }

static void the_callback_can_stop_it(void **state)
{
    dv_chatfmt_parser *p;
    dv_chatfmt_parser_options o = {.on_event = refuse};
    assert_int_equal(dv_chatfmt_parser_open(&p, formats[DV_CHATFMT_HERMES], &o, NULL), 0);
    assert_int_equal(dv_chatfmt_push(p, "hello", 5), DV_ECANCELED);
    assert_int_equal(dv_chatfmt_push(p, "hello", 5), DV_ECANCELED);
    assert_int_equal(dv_chatfmt_finish(p), DV_ECANCELED);
    dv_chatfmt_parser_close(&p);
    dv_chatfmt_parser_close(&p);
}

static void *json_alloc(size_t n) { return dv_alloc(DV_MEM_TOK, n); }

/* jansson's allocations included. */
static void memory_runs_out(void **state)
{
    json_set_alloc_funcs(json_alloc, dv_free);
    static const char text[] = "<think>hm</think>Hi <tool_call>{\"name\":\"f\",\"arguments\":{\"a\": 1}}</tool_call>";
    for (uint64_t n = 1;; n++) {
        json_t *m = NULL;
        dv_chatfmt *f = NULL;
        dv_err err = {0};
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        dv_mem_fail_after(n);
        int r = dv_chatfmt_open_text(&f, tmpl_qwen, NULL, NULL, NULL, NULL, &err);
        if (r == 0)
            r = dv_chatfmt_parse(f, &(dv_chatfmt_parser_options){.tools = &tools}, text, strlen(text), &m, &err);
        dv_mem_fail_after(0);
        dv_chatfmt_close(&f);
        json_decref(m);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        if (r == 0)
            break;
        assert_int_equal(r, DV_ENOMEM);
        assert_int_equal(err.code, DV_ENOMEM);
    }
    json_set_alloc_funcs(malloc, free);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

/* jansson is the oracle: the scanner must agree on what is one whole value. */
static void scanner_agrees_with_a_reader(void **state)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "{\"a\":1}",
                                        " [1, 2.5e-3, -0, true, false, null, \"x\"]",
                                        "{\"a\":{\"b\":[{}]}}",
                                        "\"\\u00e9\\ud83d\\ude00\\n\"",
                                        "[1,]",
                                        "{,}",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{a:1}",
                                        "[01]",
                                        "[1.]",
                                        "[.5]",
                                        "[+1]",
                                        "[1e]",
                                        "[-]",
                                        "tru",
                                        "nul",
                                        "[tru]",
                                        "\"\\x\"",
                                        "\"\\ud800\"",
                                        "\"\\udc00\"",
                                        "\"\\ud800\\n\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\x01\"",
                                        "[}",
                                        "{]",
                                        "]",
                                        "[\"a\" \"b\"]",
                                        "{\"a\":1,}",
                                        "[1 2]",
                                        "{\"a\" 1}",
                                        "[-1E+2,0.0,10]",
                                        "\"\\u12\"",
                                        "[[[[",
                                        "{\"a\":[1,{\"b\":null}],\"c\":\"\"}",
                                        "\"\\\"\\\\\\/\\b\\f\\r\\t\"",
                                        "[\t1\r\n]",
                                        "{\"a\":tru}",
                                        "[nulll]"};
    for (size_t i = 0; i < DV_ARRAY_LEN(texts); i++) {
        size_t n = strlen(texts[i]), at = 0;
        dv__jscan scan;
        dv__jscan_result r = DV__JSCAN_MORE;
        dv__jscan_init(&scan);
        while (r == DV__JSCAN_MORE && at < n)
            r = dv__jscan_byte(&scan, (unsigned char)texts[i][at++]);
        json_t *j = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        if ((r == DV__JSCAN_DONE && at == n) != (j != NULL))
            fail_msg("%s: %d", texts[i], r);
        json_decref(j);
    }
    dv__jscan deep;
    dv__jscan_init(&deep);
    for (int i = 0; i < DV__JSCAN_DEPTH; i++)
        assert_int_equal(dv__jscan_byte(&deep, '['), DV__JSCAN_MORE);
    assert_int_equal(dv__jscan_byte(&deep, '['), DV__JSCAN_BAD);
    dv__jscan_init(&deep);
    assert_int_equal(dv__jscan_byte(&deep, '7'), DV__JSCAN_MORE);
    assert_int_equal(dv__jscan_byte(&deep, ','), DV__JSCAN_BEFORE);
}

int main(void)
{
    dv_json_use_mem(); /* so that its allocations fail in turn, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_kept),
        cmocka_unit_test(hermes),
        cmocka_unit_test(hermes_broken),
        cmocka_unit_test(thoughts),
        cmocka_unit_test(without_tools_all_is_content),
        cmocka_unit_test(llama3),
        cmocka_unit_test(mistral),
        cmocka_unit_test(phi4),
        cmocka_unit_test(deepseek),
        cmocka_unit_test(generic_and_gemma),
        cmocka_unit_test(harmony),
        cmocka_unit_test(ids_repeat),
        cmocka_unit_test(a_whole_answer),
        cmocka_unit_test(markers_may_be_control_tokens),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(heads_and_calls_are_bounded),
        cmocka_unit_test(hostile_answers_take_linear_time),
        cmocka_unit_test(the_callback_can_stop_it),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(scanner_agrees_with_a_reader),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
