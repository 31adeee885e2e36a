/* SPDX-License-Identifier: MIT */
/* Grammars of answers: which texts they allow, and that the parser makes of those what was asked for. */
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "chat/constraint.h"
#include "chatfmt_util.h"
#include "grammar_util.h"

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
static json_t *schema;
static dv_grammar_vocab *vocab;

static json_t *parse(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    return v;
}

static int setup(void **state)
{
    json_t *list = parse(
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\","
        "\"minimum\":0,\"maximum\":9}},\"required\":[\"a\"],\"additionalProperties\":false}}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"g\",\"parameters\":{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}}}]");
    assert_int_equal(dv_chattools_from_openai(&tools, list, NULL, NULL, NULL), 0);
    json_decref(list);
    schema = parse(
        "{\"type\":\"object\",\"properties\":{\"x\":{\"enum\":[1,2]}},\"required\":[\"x\"],\"additionalProperties\":false}");
    for (int k = 0; k < DV_CHATFMT_N; k++)
        assert_int_equal(dv_chatfmt_open_text(&formats[k], sources[k], NULL, NULL, NULL, NULL, NULL), 0);
    return gu_byte_vocab(&vocab);
}

static int teardown(void **state)
{
    for (int k = 0; k < DV_CHATFMT_N; k++)
        dv_chatfmt_close(&formats[k]);
    dv_chattools_fini(&tools);
    json_decref(schema);
    dv_grammar_vocab_unref(&vocab);
    return 0;
}

static dv_grammar *compile(const dv_chatfmt *f, const dv_chatfmt_answer *a)
{
    dv_grammar *g = NULL;
    dv_err err = {0};
    if (dv_chatfmt_grammar(f, a, NULL, &g, &err) != 0)
        fail_msg("%s: %s", dv_chatfmt_kind_name(dv_chatfmt_kind_of(f)), err.msg);
    return g;
}

/* What the parser makes of a text. */
static void expect_parts(const dv_chatfmt *f, const dv_chatfmt_answer *a, const char *text, size_t n, event_log *log)
{
    dv_chatfmt_parser *p;
    const dv_chatfmt_parser_options o = {.tools = a->tools,
                                         .in_thinking = a->in_thinking,
                                         .calls_first = a->tools != NULL && a->schema != NULL,
                                         .on_event = log_event,
                                         .arg = log};
    *log = (event_log){.last = -1};
    assert_int_equal(dv_chatfmt_parser_open(&p, f, &o, NULL), 0);
    assert_int_equal(dv_chatfmt_push(p, text, n), 0);
    assert_int_equal(dv_chatfmt_finish(p), 0);
    dv_chatfmt_parser_close(&p);
}

/* Texts of a format and what they are, "" if they are not allowed. */
typedef struct row {
    dv_chatfmt_kind kind;
    dv_toolchoice choice; /* NONE: no tools */
    bool in, may;         /* thoughts */
    char form;            /* of the text: 's'chema, 'o'bject, 'g'rammar, 0: any */
    const char *text, *parts;
} row;

#define Q DV_CHATFMT_HERMES
#define H DV_CHATFMT_HARMONY
#define NO DV_TOOLCHOICE_NONE
#define AUTO DV_TOOLCHOICE_AUTO
#define MUST DV_TOOLCHOICE_REQUIRED
#define CALL "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"
#define CALL_G "B0  gA({})E+"

static const row rows[] = {
    /* A form behind thoughts. */
    {Q, NO, false, true, 's', "{\"x\":1}", "C({\"x\":1})"},
    {Q, NO, false, true, 's', "<think>\nhm {\n</think>\n\n{\"x\":1}", "R(hm {)C({\"x\":1})"},
    {Q, NO, false, true, 's', "\n<think></think>{\"x\":2}", "C({\"x\":2})"},
    {Q, NO, false, true, 's', "<think>hm</think>{\"x\":3}", ""},
    {Q, NO, false, true, 's', "<think>hm</think>\n\n\n\n\n\n{\"x\":1}", ""},
    {Q, NO, false, true, 's', "<think>hm</think>", ""},
    {Q, NO, false, true, 's', "hm<think></think>{\"x\":1}", ""},
    {Q, NO, false, true, 's', "<think>hm</think>{\"x\":1}<think>", ""},
    {Q, NO, true, true, 's', "hm </think>{\"x\":1}", "R(hm)C({\"x\":1})"},
    {Q, NO, true, true, 's', "{\"x\":1}", ""},
    {Q, NO, false, false, 's', "{\"x\":1}", "C({\"x\":1})"},
    {Q, NO, false, false, 's', "<think>hm</think>{\"x\":1}", ""},
    {Q, NO, true, true, 'o', "</think> {\"b\": []}", "C({\"b\": []})"},
    {Q, NO, false, true, 'g', "<think>hm</think>yes", "R(hm)C(yes)"},
    {Q, NO, false, true, 'g', "no", ""},
    {DV_CHATFMT_MISTRAL_ARGS, NO, false, true, 's', "{\"x\":1}", "C({\"x\":1})"}, /* a template without thoughts */
    {DV_CHATFMT_MISTRAL_ARGS, NO, false, true, 's', "<think>hm</think>{\"x\":1}", ""},
    /* Calls that must be made. */
    {Q, MUST, false, true, 0, CALL, CALL_G},
    {Q, MUST, false, true, 0,
     "<think>hm</think>\n" CALL "\n<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}</tool_call>",
     "R(hm)B0  gA({})E+B1  fA({\"a\": 1})E+"},
    {Q, MUST, false, false, 0, "<think>hm</think>" CALL, ""},
    {Q, MUST, true, true, 0, "hm</think>" CALL, "R(hm)" CALL_G},
    {Q, MUST, true, true, 0, CALL, ""},
    {Q, MUST, false, true, 0, "Sure. " CALL, ""},
    {Q, MUST, false, true, 0, "", ""},
    {Q, MUST, false, true, 0, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 10}}</tool_call>", ""},
    {Q, MUST, false, true, 's', CALL, CALL_G}, /* then the form does not matter */
    {Q, MUST, false, true, 's', "{\"x\":1}", ""},
    /* Calls that may be made. */
    {Q, AUTO, false, true, 0, "Sure. " CALL, "C(Sure.)" CALL_G},
    {Q, AUTO, false, true, 0, "<think>hm</think>Hi", "R(hm)C(Hi)"},
    {Q, AUTO, false, true, 0, "<tool_call>{\"name\": \"h\", \"arguments\": {}}</tool_call>", ""},
    {Q, AUTO, false, true, 's', CALL, CALL_G},
    {Q, AUTO, false, true, 's', "<think>hm</think>\n" CALL, "R(hm)" CALL_G},
    {Q, AUTO, false, true, 's', "<think>hm</think>\n{\"x\":1}", "R(hm)C({\"x\":1})"},
    {Q, AUTO, false, true, 's', "{\"x\":1}", "C({\"x\":1})"},
    {Q, AUTO, false, true, 's', "{\"x\":1}" CALL, ""},
    {Q, AUTO, false, true, 's', "Sure. " CALL, ""},
    {Q, AUTO, false, false, 's', "<think>hm</think>" CALL, ""},
    {DV_CHATFMT_LLAMA3, AUTO, false, false, 's', "{\"name\": \"g\", \"parameters\": {}}", CALL_G},
    {DV_CHATFMT_LLAMA3, AUTO, false, false, 's', "<|python_tag|>{\"name\": \"g\", \"parameters\": {}}", CALL_G},
    {DV_CHATFMT_LLAMA3, AUTO, false, false, 's', "{\"x\":2}", "C({\"x\":2})"},
    {DV_CHATFMT_LLAMA3, AUTO, false, false, 's', "{\"name\": \"h\", \"parameters\": {}}", ""},
    {DV_CHATFMT_GENERIC, AUTO, false, false, 's', "{\"tool_calls\": [{\"name\": \"g\", \"arguments\": {}}]}", CALL_G},
    {DV_CHATFMT_GENERIC, AUTO, false, false, 's', "{\"x\":2}", "C({\"x\":2})"},
    /* Channels. */
    {H, NO, false, true, 's', "<|channel|>final<|message|>{\"x\":1}", "C({\"x\":1})"},
    {H, NO, false, true, 's', "<|channel|>final <|constrain|>json<|message|>{\"x\":1}", "C({\"x\":1})"},
    {H, NO, false, true, 's',
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{\"x\":1}",
     "R(hm)C({\"x\":1})"},
    {H, NO, false, true, 's', "{\"x\":1}", ""},
    {H, NO, false, true, 's', "<|channel|>final<|message|>{\"x\":3}", ""},
    {H, NO, false, true, 's', "<|channel|>analysis<|message|>hm", ""},
    {H, AUTO, false, true, 's',
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.g <|constrain|>json<|message|>{}",
     "R(hm)" CALL_G},
    {H, AUTO, false, true, 's', "<|channel|>final<|message|>{\"x\":1}", "C({\"x\":1})"},
    {H, MUST, false, true, 's', "<|channel|>commentary to=functions.g<|message|>{}", CALL_G},
    {H, MUST, false, true, 's', "<|channel|>final<|message|>{\"x\":1}", ""},
};

static dv_chatfmt_answer answer_of(const row *r)
{
    tools.choice = r->choice;
    return (dv_chatfmt_answer){.tools = r->choice != NO ? &tools : NULL,
                               .in_thinking = r->in,
                               .may_think = r->may,
                               .schema = r->form == 's' ? schema : NULL,
                               .object = r->form == 'o',
                               .gbnf = r->form == 'g' ? "root ::= \"yes\"" : NULL};
}

static void texts_of_each_format(void **state)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        const row *r = &rows[i];
        const dv_chatfmt_answer a = answer_of(r);
        dv_grammar *g = compile(formats[r->kind], &a);
        event_log log = {.last = -1};
        const bool good = gu_matches_of(vocab, g, r->text, strlen(r->text));
        if (good)
            expect_parts(formats[r->kind], &a, r->text, strlen(r->text), &log);
        if (good != (r->parts[0] != 0) || strcmp(log_text(&log), r->parts) != 0)
            fail_msg("row %zu: %s: %s, %s", i, r->text, good ? "allowed" : "not allowed", log_text(&log));
        dv_buf_fini(&log.text);
        dv_grammar_unref(&g);
    }
}

static void nothing_asked_for_is_no_grammar(void **state)
{
    dv_grammar *g = NULL;
    tools.choice = DV_TOOLCHOICE_NONE;
    const dv_chatfmt_answer a = {.tools = &tools, .may_think = true};
    assert_int_equal(dv_chatfmt_grammar(formats[Q], &a, NULL, &g, NULL), 0);
    assert_null(g);
}

/* A grammar that has the words of thoughts in it is of the whole answer. */
static void grammars_may_spell_thoughts(void **state)
{
    static const struct {
        dv_chatfmt_kind kind;
        const char *gbnf, *text;
    } own[] = {{Q, "root ::= \"<think>a</think>b\"", "<think>a</think>b"},
               {Q, "root ::= \"a</think>b\"", "a</think>b"},
               {H, "root ::= \"<|channel|>final<|message|>b\"", "<|channel|>final<|message|>b"}};
    for (size_t i = 0; i < DV_ARRAY_LEN(own); i++) {
        dv_chatfmt_answer a = {.gbnf = own[i].gbnf, .may_think = true, .in_thinking = i == 1};
        dv_grammar *g = compile(formats[own[i].kind], &a);
        assert_true(gu_matches_of(vocab, g, own[i].text, strlen(own[i].text)));
        assert_false(gu_matches_of(vocab, g, "<think>c</think>", 16));
        dv_grammar_unref(&g);
    }
}

/* A random text of the grammar; false if it has become too long. */
static bool walk(dv_grammar *g, dv_rng *rng, dv_buf *out)
{
    dv_grammar_state s;
    assert_int_equal(dv_grammar_state_init(&s, g, vocab, NULL), 0);
    dv_buf_clear(out);
    while (!dv_grammar_state_is_done(&s) && out->len < 1500) {
        uint32_t mask[GU_WORDS];
        int ids[GU_N];
        size_t n = 0;
        assert_int_equal(dv_grammar_state_mask(&s, mask, NULL), 0);
        for (int i = 0; i < GU_N; i++)
            if (mask[i / 32] >> i % 32 & 1)
                ids[n++] = i;
        assert_true(n > 0);
        const int id =
            mask[GU_END / 32] >> GU_END % 32 & 1 && dv_rng_below(rng, 4) == 0 ? GU_END : ids[dv_rng_below(rng, n)];
        assert_int_equal(dv_grammar_state_accept(&s, id, NULL), 0);
        if (id != GU_END)
            dv_buf_addc(out, (char)id);
    }
    const bool done = dv_grammar_state_is_done(&s);
    dv_grammar_state_fini(&s);
    return done;
}

/* Whatever a grammar lets through, the parser finds complete calls of tools, or the form, and nothing besides. */
static void the_parser_agrees(void **state)
{
    dv_rng rng;
    dv_buf text = {0};
    size_t n = 0;
    dv_rng_seed(&rng, 7);
    for (int i = 0; i < 4 * DV_CHATFMT_N * 40; i++) {
        const row r = {.kind = (dv_chatfmt_kind)(i / 4 % DV_CHATFMT_N),
                       .choice = i % 2 != 0 ? MUST : AUTO,
                       .form = 's',
                       .may = i % 4 > 1};
        const dv_chatfmt_answer a = answer_of(&r);
        dv_grammar *g = compile(formats[r.kind], &a);
        event_log log;
        if (walk(g, &rng, &text)) {
            n++;
            expect_parts(formats[r.kind], &a, text.data, text.len, &log);
            const char *parts = log_text(&log), *calls = strstr(parts, "B0 "), *content = strstr(parts, "C(");
            bool good = (calls != NULL) != (content != NULL) && strstr(parts, "E-") == NULL &&
                        (r.choice == AUTO || calls != NULL);
            if (content != NULL) {
                json_t *v = json_loadb(content + 2, strlen(content) - 3, 0, NULL);
                good &= json_is_integer(json_object_get(v, "x"));
                json_decref(v);
            }
            if (!good)
                fail_msg("%s: %s: %s", dv_chatfmt_kind_name(r.kind), dv_buf_str(&text), parts);
            dv_buf_fini(&log.text);
        }
        dv_grammar_unref(&g);
    }
    dv_buf_fini(&text);
    if (n < 800)
        fail_msg("only %zu texts", n);
}

static void errors_name_their_place(void **state)
{
    dv_grammar *g;
    json_t *bad = parse("{\"not\":{}}");
    dv_err err = {0};
    tools.choice = AUTO;
    dv_chatfmt_answer a = {.tools = &tools, .schema = bad, .field = "response_format.json_schema"};
    assert_int_equal(dv_chatfmt_grammar(formats[Q], &a, NULL, &g, &err), DV_EINVAL);
    assert_true(strncmp(err.msg, "response_format.json_schema: ", 29) == 0 && strstr(err.msg, "'not'") != NULL);
    json_t *fn = json_object_get(json_array_get(tools.list, 1), "function"),
           *was = json_incref(json_object_get(fn, "parameters"));
    json_object_set(fn, "parameters", bad);
    err = (dv_err){0};
    a.schema = schema;
    assert_int_equal(dv_chatfmt_grammar(formats[Q], &a, NULL, &g, &err), DV_EINVAL);
    assert_true(strncmp(err.msg, "tools[1] (g): ", 14) == 0);
    json_object_set_new(fn, "parameters", was);
    err = (dv_err){0};
    assert_int_equal(dv_chatfmt_grammar(formats[Q], &a, &(dv_grammar_limits){.max_states = 3}, &g, &err), DV_ELIMIT);
    assert_null(g);
    json_decref(bad);
}

static void memory_runs_out(void **state)
{
    tools.choice = AUTO;
    const dv_chatfmt_answer a = {.tools = &tools, .schema = schema, .may_think = true};
    int rc = DV_ENOMEM;
    for (uint64_t n = 1; rc == DV_ENOMEM; n++) {
        dv_grammar *g = NULL;
        dv_err err = {0};
        dv_mem_fail_after(n);
        rc = dv_chatfmt_grammar(formats[Q], &a, NULL, &g, &err);
        dv_mem_fail_after(0);
        assert_int_equal(rc, err.code);
        assert_true((rc == 0) == (g != NULL));
        dv_grammar_unref(&g);
        if (rc != 0 && rc != DV_ENOMEM)
            fail_msg("allocation %u: %s", (unsigned)n, err.msg);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
    dv_json_use_mem(); /* so that its allocations fail in turn, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_each_format),        cmocka_unit_test(nothing_asked_for_is_no_grammar),
        cmocka_unit_test(grammars_may_spell_thoughts), cmocka_unit_test(the_parser_agrees),
        cmocka_unit_test(errors_name_their_place),     cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests_name("chatfmt-answer", tests, setup, teardown);
}
