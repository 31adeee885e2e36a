/* SPDX-License-Identifier: MIT */
/* Formats found out from templates, and conversations made to fit them. */
#include "base/json.h"
#include "chatfmt_util.h"
#include "vocab_make.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static dv_chatfmt *open_format(const char *tmpl)
{
    dv_chatfmt *f = NULL;
    dv_err err = {0};
    if (dv_chatfmt_open_text(&f, tmpl, NULL, "<s>", "</s>", NULL, &err) != 0)
        fail_msg("%s", err.msg);
    return f;
}

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = json_loads(text, JSON_DECODE_ANY, &e);
    if (j == NULL)
        fail_msg("%s: %s", text, e.text);
    return j;
}

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\"}}}]"

/* messages: OpenAI's. */
static int render(const dv_chatfmt *f, const char *messages, const char *tools, const char *choice, const char *vars,
                  bool continue_last, dv_chatfmt_text *out, dv_err *err)
{
    json_t *m = parse(messages), *t = tools != NULL ? parse(tools) : NULL, *c = choice != NULL ? parse(choice) : NULL;
    json_t *v = vars != NULL ? parse(vars) : NULL, *internal = NULL;
    dv_chattools tt;
    if (dv_chattools_from_openai(&tt, t, c, NULL, err) != 0 || dv_chatmsg_from_openai(m, &internal, err) != 0)
        fail_msg("%s", err->msg);
    dv_chatfmt_input in = {
        .messages = internal, .tools = &tt, .vars = v, .add_generation_prompt = true, .continue_last = continue_last};
    int r = dv_chatfmt_render(f, &in, NULL, out, err);
    json_decref(m);
    json_decref(t);
    json_decref(c);
    json_decref(v);
    json_decref(internal);
    dv_chattools_fini(&tt);
    return r;
}

static void gives(const char *tmpl, const char *messages, const char *tools, const char *want)
{
    dv_chatfmt *f = open_format(tmpl);
    dv_chatfmt_text out = {0};
    dv_err err = {0};
    if (render(f, messages, tools, NULL, NULL, false, &out, &err) != 0)
        fail_msg("%s: %s", messages, err.msg);
    assert_string_equal(dv_buf_str(&out.text), want);
    dv_chatfmt_text_fini(&out);
    dv_chatfmt_close(&f);
}

#define SYSTEM "{\"role\":\"system\",\"content\":\"S\"}"
#define USER "{\"role\":\"user\",\"content\":\"Q\"}"
#define CALL(id, args) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"get\",\"arguments\":\"" args "\"}}"
#define CALLS(content, list) "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[" list "]}"
#define RESULT(id, text) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"
#define ARGS "{\\\"a\\\":1}"

static void capabilities(void **state)
{
    static const struct {
        const char *tmpl;
        dv_chatfmt_kind kind;
        const char *
            caps; /* s system, t tools, c calls, r results, p parallel, o object, n null content, a alternate, h thinking, e, f */
    } rows[] = {
        {NULL, DV_CHATFMT_GENERIC, "s"},
        {tmpl_qwen, DV_CHATFMT_HERMES, "stcrphe"},
        {tmpl_llama3, DV_CHATFMT_LLAMA3, "stcron"},
        {tmpl_deepseek, DV_CHATFMT_DEEPSEEK, "scrpnh"},
        {tmpl_gemma, DV_CHATFMT_GEMMA, "a"},
        {tmpl_mistral, DV_CHATFMT_MISTRAL, "stcrpn"},
        {tmpl_phi4, DV_CHATFMT_PHI4, "s"},
        {tmpl_harmony, DV_CHATFMT_HARMONY, "stcronhf"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_chatfmt *f = open_format(rows[i].tmpl);
        const dv_chatfmt_caps *c = dv_chatfmt_caps_of(f);
        const bool have[] = {c->system,           c->tools,        c->calls,     c->results,  c->parallel,
                             c->object_arguments, c->null_content, c->alternate, c->thinking, c->enable_thinking,
                             c->reasoning_effort, c->part_content};
        char got[16] = "", *p = got;
        for (size_t k = 0; k < DV_ARRAY_LEN(have); k++)
            if (have[k])
                *p++ = "stcrponahefx"[k];
        assert_string_equal(dv_chatfmt_kind_name(dv_chatfmt_kind_of(f)), dv_chatfmt_kind_name(rows[i].kind));
        if (strcmp(got, rows[i].caps) != 0)
            fail_msg("%s: want %s, got %s", dv_chatfmt_kind_name(rows[i].kind), rows[i].caps, got);
        dv_chatfmt_close(&f);
    }
}

static void templates_that_do_nothing_useful(void **state)
{
    static const char *const odd[] = {"", "{{ raise_exception('no') }}",
                                      "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}",
                                      "{{ messages[0].content[0].text }}"};
    for (size_t i = 0; i < DV_ARRAY_LEN(odd); i++) {
        dv_chatfmt *f = open_format(odd[i]);
        assert_int_equal(dv_chatfmt_caps_of(f)->part_content, i == 3);
        assert_string_equal(dv_chatfmt_source(f), odd[i]);
        dv_chatfmt_close(&f);
    }
    dv_chatfmt *f = NULL;
    dv_err err = {0};
    assert_int_equal(dv_chatfmt_open_text(&f, "{{", NULL, NULL, NULL, NULL, &err), DV_EFORMAT);
    assert_null(f);
    gives(odd[3], "[" USER "]", NULL, "Q");
}

static void conversations_that_fit(void **state)
{
    gives(
        tmpl_qwen,
        "[" SYSTEM "," USER
        "," CALLS("\"T\"", CALL("c1", ARGS) "," CALL("c2", "{}")) "," RESULT("c1", "R") "," RESULT("c2", "R2") "]",
        NULL,
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nT\n<tool_call>\n{\"name\": \"get\", "
        "\"arguments\": {\"a\":1}}\n</tool_call>\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call><|im_end|>\n"
        "<|im_start|>user\n<tool_response>R</tool_response><|im_end|>\n<|im_start|>user\n<tool_response>R2</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n");
    gives(
        tmpl_qwen, "[" USER "]", TOOLS,
        "<|im_start|>system\n<tools>{\"type\": \"function\", \"function\": {\"name\": \"get\", \"description\": \"\", \"parameters\": {\"type\": "
        "\"object\"}}}</tools> <tool_call><|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n");
    gives(
        tmpl_qwen, "[" USER ",{\"role\":\"assistant\",\"content\":\"A\",\"reasoning_content\":\"hm\"}," USER "]", NULL,
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\nA<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n");
}

static void calls_one_by_one(void **state)
{
    gives(
        tmpl_llama3,
        "[" USER
        "," CALLS("null", CALL("c1", ARGS) "," CALL("c2", "{}")) "," RESULT("c2", "R2") "," RESULT("c1", "R1") "]",
        NULL,
        "<s><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get\", \"parameters\": {\"a\": 1}}<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\nR1<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"get\", \"parameters\": {}}<|eot_id|>"
        "<|start_header_id|>ipython<|end_header_id|>\n\nR2<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
}

static void content_and_calls_apart(void **state)
{
    gives(tmpl_deepseek, "[" USER "," CALLS("\"T\"", CALL("c1", ARGS)) "," RESULT("c1", "R") "]", NULL,
          DS("User") "Q" DS("Assistant") "T" DS("Assistant") DS_CALLS DS_CALL
          "function" DS_SEP "get\n```json\n{\"a\":1}\n```" DS_CALL_END DS_CALLS_END "<out>R</out>" DS("Assistant") " ");
}

static void ids_of_nine(void **state)
{
    dv_chatfmt *f = open_format(tmpl_mistral);
    dv_chatfmt_text out = {0};
    dv_err err = {0};
    assert_int_equal(render(f,
                            "[" USER "," CALLS("null", CALL("call_long", ARGS) "," CALL("abcDEF123", "{}")) "," RESULT(
                                "call_long", "R") "]",
                            NULL, NULL, NULL, false, &out, &err),
                     0);
    const char *text = dv_buf_str(&out.text), *id = strstr(text, "\"id\": \"");
    assert_non_null(id);
    assert_non_null(strstr(text, "\"id\": \"abcDEF123\""));
    char result[40];
    snprintf(result, sizeof result, "[TOOL_RESULTS]%.9s R", id + 7);
    assert_non_null(strstr(text, result));
    dv_chatfmt_text_fini(&out);
    dv_chatfmt_close(&f);
}

static void no_place_for_system_and_calls(void **state)
{
    gives(tmpl_gemma, "[" SYSTEM "," USER "," USER "]", NULL,
          "<s><start_of_turn>user\nS\n\nQ\n\nQ<end_of_turn>\n<start_of_turn>model\n");
    gives(tmpl_gemma, "[" SYSTEM "]", NULL, "<s><start_of_turn>user\nS<end_of_turn>\n<start_of_turn>model\n");
    gives(
        tmpl_gemma, "[" USER "," CALLS("\"T\"", CALL("c1", ARGS)) "," RESULT("c1", "R") "]", NULL,
        "<s><start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\nT\n{\"name\": \"get\", \"parameters\": {\"a\":1}}<end_of_turn>\n"
        "<start_of_turn>user\nResult of the tool get:\nR<end_of_turn>\n<start_of_turn>model\n");
    gives(
        NULL, "[" USER "," CALLS("null", CALL("c1", ARGS)) "," RESULT("c1", "R") "]", NULL,
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n{\"tool_calls\": [{\"name\": \"get\", \"arguments\": {\"a\":1}}]}<|im_end|>\n"
        "<|im_start|>user\nResult of the tool get:\nR<|im_end|>\n<|im_start|>assistant\n");
    /* a later system message keeps its place, as a user's where roles alternate */
    gives(tmpl_gemma, "[" USER "," SYSTEM "]", NULL,
          "<s><start_of_turn>user\nQ\n\nS<end_of_turn>\n<start_of_turn>model\n");
}

static void tools_in_words(void **state)
{
    static const char *const templates[] = {NULL, tmpl_gemma, tmpl_deepseek};
    static const char *const forms[] = {
        "{\"tool_calls\": [{\"name\": \"tool\"",
        "{\"name\": \"tool\", \"parameters\": ", DS_CALL "function" DS_SEP "tool\n```json"};
    static const char *const choices[] = {"\"auto\"", "\"required\"",
                                          "{\"type\":\"function\",\"function\":{\"name\":\"get\"}}", "\"none\""};
    static const char *const words[] = {"answer in plain text", "must call a tool now", "must call the tool get now"};
    for (size_t i = 0; i < DV_ARRAY_LEN(templates); i++) {
        dv_chatfmt *f = open_format(templates[i]);
        for (size_t c = 0; c < DV_ARRAY_LEN(choices); c++) {
            dv_chatfmt_text out = {0};
            dv_err err = {0};
            assert_int_equal(render(f, "[" SYSTEM "," USER "]", TOOLS, choices[c], NULL, false, &out, &err), 0);
            bool shown = strstr(dv_buf_str(&out.text), forms[i]) != NULL &&
                         strstr(dv_buf_str(&out.text), "{\"name\": \"get\"") != NULL;
            assert_int_equal(shown, c < 3);
            if (c < 3)
                assert_non_null(strstr(dv_buf_str(&out.text), words[c]));
            assert_non_null(strstr(dv_buf_str(&out.text), "S"));
            dv_chatfmt_text_fini(&out);
        }
        dv_chatfmt_close(&f);
    }
}

static void variables_and_open_thoughts(void **state)
{
    static const struct {
        const char *vars, *begun; /* the answer's beginning */
        bool in, may;
    } rows[] = {{NULL, NULL, false, true},
                {"{\"open_think\":true}", NULL, true, true},
                {"{\"enable_thinking\":false}", NULL, false, false},
                {NULL, " \\n", false, true},
                {NULL, "Well", false, false},
                {NULL, "<think>Well", true, true},
                {NULL, "<think>Well</think>", false, false},
                {"{\"open_think\":true}", "Well", true, true},
                {"{\"open_think\":true}", "Well</think> So", false, false},
                {"{\"enable_thinking\":false}", "<think>Well", false, false}};
    dv_chatfmt *f = open_format(tmpl_qwen);
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_chatfmt_text out = {0};
        dv_err err = {0};
        char messages[200];
        snprintf(messages, sizeof messages,
                 rows[i].begun != NULL ? "[" USER ",{\"role\":\"assistant\",\"content\":\"%s\"}]" : "[" USER "]",
                 rows[i].begun);
        assert_int_equal(render(f, messages, NULL, NULL, rows[i].vars, rows[i].begun != NULL, &out, &err), 0);
        assert_int_equal(out.in_thinking, rows[i].in);
        assert_int_equal(out.may_think, rows[i].may);
        dv_chatfmt_text_fini(&out);
    }
    dv_chatfmt_text out = {0};
    dv_err err = {0};
    assert_int_equal(render(f, "[" USER "]", NULL, NULL, "[]", false, &out, &err), DV_EINVAL);
    dv_chatfmt_close(&f);
    f = open_format(tmpl_harmony);
    err = (dv_err){0};
    assert_int_equal(render(f, "[" USER "]", NULL, NULL, "{\"reasoning_effort\":\"low\"}", false, &out, &err), 0);
    assert_non_null(strstr(dv_buf_str(&out.text), "low<|start|>assistant"));
    assert_true(out.may_think && !out.in_thinking);
    dv_chatfmt_text_fini(&out);
    dv_chatfmt_close(&f);
}

static void an_answer_goes_on(void **state)
{
    dv_chatfmt *f = open_format(tmpl_qwen);
    dv_chatfmt_text out = {0};
    dv_err err = {0};
    assert_int_equal(render(f, "[" USER ",{\"role\":\"assistant\",\"content\":\"<|im_end|> The\"}]", NULL, NULL, NULL,
                            true, &out, &err),
                     0);
    assert_string_equal(dv_buf_str(&out.text), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<|im_end|> The");
    size_t at = 0;
    for (size_t i = 0; i < out.spans.n; at += out.spans.at[i++].len)
        assert_int_equal(out.spans.at[i].offset, at);
    assert_int_equal(at, out.text.len);
    assert_false(out.spans.at[out.spans.n - 1].trusted); /* a client's text makes no control tokens */
    assert_int_equal(render(f, "[" USER "]", NULL, NULL, NULL, true, &out, &err), DV_EINVAL);
    dv_chatfmt_text_fini(&out);
    dv_chatfmt_close(&f);
}

static void refusals_of_a_template(void **state)
{
    dv_chatfmt *f = open_format(
        "{% if messages | length > 2 %}{{ raise_exception('too many') }}{% endif %}{{ messages[0].content }}");
    dv_chatfmt_text out = {0};
    dv_err err = {0};
    assert_int_equal(render(f, "[" USER "," USER "," USER "]", NULL, NULL, NULL, false, &out, &err), DV_ETEMPLATE);
    assert_string_equal(err.msg, "too many");
    assert_int_equal(out.text.len, 0);
    dv_chatfmt_close(&f);
}

static void *json_alloc(size_t n) { return dv_alloc(DV_MEM_TOK, n); }

/* jansson's allocations included. */
static void memory_runs_out(void **state)
{
    json_set_alloc_funcs(json_alloc, dv_free);
    for (uint64_t n = 1;; n++) {
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        json_t *internal = parse("[" SYSTEM "," USER "," CALLS("\"T\"", CALL("c1", ARGS)) "," RESULT("c1", "R") "]");
        json_t *m = NULL;
        dv_chatfmt *f = NULL;
        dv_chatfmt_text out = {0};
        dv_err err = {0};
        dv_mem_fail_after(n);
        int r = dv_chatfmt_open_text(&f, tmpl_gemma, NULL, NULL, NULL, NULL, &err);
        if (r == 0)
            r = dv_chatmsg_from_openai(internal, &m, &err);
        if (r == 0)
            r = dv_chatfmt_render(f, &(dv_chatfmt_input){.messages = m, .add_generation_prompt = true}, NULL, &out,
                                  &err);
        dv_mem_fail_after(0);
        dv_chatfmt_text_fini(&out);
        dv_chatfmt_close(&f);
        json_decref(m);
        json_decref(internal);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        assert_int_equal(r, err.code);
        if (r == 0)
            break;
        if (r != DV_ENOMEM)
            fail_msg("allocation %d: %s", (int)n, err.msg);
    }
    json_set_alloc_funcs(malloc, free);
}

/* A model file whose vocabulary has the marker as a control token: only the token is a marker, its letters are not. */
static void markers_of_a_vocabulary(void **state)
{
    static const char spelled[] = "[TOOL_CALLS]get{}";
    vm *v = vm_bpe("gpt-2");
    int32_t id = vm_add(v, "[TOOL_CALLS]", DV_TOK_CONTROL, 0);
    vm_put_str(v, "tokenizer.chat_template", tmpl_mistral);
    dv_gguf *g = NULL;
    dv_tok *t = NULL;
    dv_chatfmt *f = NULL;
    dv_chatfmt_parser *p = NULL;
    dv_chattools tools;
    dv_err err = {0};
    if (vm_open(v, &g, &t, &err) != 0 || dv_chatfmt_open(&f, g, t, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(dv_chatfmt_kind_of(f), DV_CHATFMT_MISTRAL);
    assert_string_equal(dv_chatfmt_source(f), tmpl_mistral);
    json_t *list = parse(TOOLS);
    assert_int_equal(dv_chattools_from_openai(&tools, list, NULL, NULL, NULL), 0);
    json_decref(list);
    uint32_t marks[DV_CHATFMT_MAX_MARKS]; /* which means something as long as there are tools */
    assert_int_equal(dv_chatfmt_marks(f, &tools, marks), 1);
    assert_int_equal(marks[0], id);
    assert_int_equal(dv_chatfmt_marks(f, NULL, marks), 0);
    event_log log = {.last = -1};
    dv_chatfmt_parser_options o = {.tools = &tools, .on_event = log_event, .arg = &log};
    assert_int_equal(dv_chatfmt_parser_open(&p, f, &o, NULL), 0);
    assert_int_equal(dv_chatfmt_push(p, spelled, strlen(spelled)), 0);
    dv_str piece = dv_tok_piece(t, id);
    assert_true(dv_tok_is_control(t, id));
    assert_int_equal(dv_chatfmt_push_control(p, piece.p, piece.n), 0);
    assert_int_equal(dv_chatfmt_push(p, "get{}", 5), 0);
    assert_int_equal(dv_chatfmt_finish(p), 0);
    assert_string_equal(log_text(&log), "C([TOOL_CALLS]get{})B0  getA({})E+");
    dv_buf_fini(&log.text);
    dv_chatfmt_parser_close(&p);

    /* in a prompt likewise: the template's marker is one token, a user's is not */
    dv_chatfmt_text text = {0};
    dv_ids ids = {0};
    assert_int_equal(render(f, "[{\"role\":\"user\",\"content\":\"[TOOL_CALLS]\"}," CALLS("null", CALL("c1", ARGS)) "]",
                            NULL, NULL, NULL, false, &text, &err),
                     0);
    assert_int_equal(dv_chatfmt_encode(f, t, &text, &ids, &err), 0);
    size_t n = 0;
    for (size_t i = 0; i < ids.len; i++)
        n += ids.id[i] == id;
    assert_int_equal(n, 1);
    dv_ids_fini(&ids);
    dv_chatfmt_text_fini(&text);
    dv_chattools_fini(&tools);
    dv_chatfmt_close(&f);
    dv_tok_close(&t);
    dv_gguf_close(&g);
    vm_free(v);
}

int main(void)
{
    dv_json_use_mem(); /* so that its allocations fail in turn, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capabilities),
        cmocka_unit_test(templates_that_do_nothing_useful),
        cmocka_unit_test(conversations_that_fit),
        cmocka_unit_test(calls_one_by_one),
        cmocka_unit_test(content_and_calls_apart),
        cmocka_unit_test(ids_of_nine),
        cmocka_unit_test(no_place_for_system_and_calls),
        cmocka_unit_test(tools_in_words),
        cmocka_unit_test(variables_and_open_thoughts),
        cmocka_unit_test(an_answer_goes_on),
        cmocka_unit_test(refusals_of_a_template),
        cmocka_unit_test(markers_of_a_vocabulary),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
