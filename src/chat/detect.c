/* SPDX-License-Identifier: MIT */
/* Which format a template's source speaks of, and what the template does with small conversations. */
#include "base/attr.h"
#include "base/err.h"
#include "chat/format_impl.h"

#include <string.h>

#define BAR "\xef\xbd\x9c" /* U+FF5C, full-width bar */
#define LOW "\xe2\x96\x81" /* U+2581 */
#define DS(word) "<" BAR word BAR ">"

typedef struct kind_row {
    const char *name;
    const char *mark[DV__MARK_N];
} kind_row;

static const kind_row kinds[DV_CHATFMT_N] = {
    [DV_CHATFMT_GENERIC] = {"generic", {0}},
    [DV_CHATFMT_LLAMA3] = {"llama3", {[DV__MARK_BEGIN] = "<|python_tag|>"}},
    [DV_CHATFMT_HERMES] = {"hermes", {[DV__MARK_BEGIN] = "<tool_call>", [DV__MARK_END] = "</tool_call>"}},
    [DV_CHATFMT_MISTRAL] =
        {"mistral", {[DV__MARK_BEGIN] = "[TOOL_CALLS]", [DV__MARK_SEP] = "[ARGS]", [DV__MARK_SEP2] = "[CALL_ID]"}},
    [DV_CHATFMT_MISTRAL_ARGS] =
        {"mistral-args", {[DV__MARK_BEGIN] = "[TOOL_CALLS]", [DV__MARK_SEP] = "[ARGS]", [DV__MARK_SEP2] = "[CALL_ID]"}},
    [DV_CHATFMT_PHI4] =
        {"phi4",
         {[DV__MARK_BEGIN] = "functools", [DV__MARK_BEGIN2] = "<|tool_call|>", [DV__MARK_END2] = "<|/tool_call|>"}},
    [DV_CHATFMT_DEEPSEEK] = {"deepseek",
                             {[DV__MARK_BEGIN] = DS("tool" LOW "calls" LOW "begin"),
                              [DV__MARK_BEGIN2] = DS("tool" LOW "call" LOW "begin"),
                              [DV__MARK_SEP] = DS("tool" LOW "sep"),
                              [DV__MARK_END] = DS("tool" LOW "call" LOW "end"),
                              [DV__MARK_END2] = DS("tool" LOW "calls" LOW "end")}},
    [DV_CHATFMT_DEEPSEEK_31] = {"deepseek-3.1",
                                {[DV__MARK_BEGIN] = DS("tool" LOW "calls" LOW "begin"),
                                 [DV__MARK_BEGIN2] = DS("tool" LOW "call" LOW "begin"),
                                 [DV__MARK_SEP] = DS("tool" LOW "sep"),
                                 [DV__MARK_END] = DS("tool" LOW "call" LOW "end"),
                                 [DV__MARK_END2] = DS("tool" LOW "calls" LOW "end")}},
    [DV_CHATFMT_GEMMA] = {"gemma", {0}},
    [DV_CHATFMT_HARMONY] = {"harmony",
                            {[DV__MARK_BEGIN] = "<|start|>",
                             [DV__MARK_BEGIN2] = "<|channel|>",
                             [DV__MARK_SEP] = "<|message|>",
                             [DV__MARK_SEP2] = "<|constrain|>",
                             [DV__MARK_END] = "<|end|>",
                             [DV__MARK_END2] = "<|call|>",
                             [DV__MARK_THINK] = "<|return|>"}},
};

const char *dv_chatfmt_kind_name(dv_chatfmt_kind kind)
{
    return (unsigned)kind < DV_CHATFMT_N ? kinds[kind].name : "?";
}

bool dv__chatfmt_is_plain(dv_chatfmt_kind kind)
{
    return kind == DV_CHATFMT_GENERIC || kind == DV_CHATFMT_LLAMA3 || kind == DV_CHATFMT_GEMMA;
}

/* ---- source -------------------------------------------------------------------------------------------------------- */

/* Words of a template that tell the format; the first row of which all are there counts. */
typedef struct hint {
    dv_chatfmt_kind kind;
    const char *has, *and_has;
} hint;

static const hint hints[] = {
    {DV_CHATFMT_HARMONY, "<|channel|>", "<|message|>"},
    {DV_CHATFMT_DEEPSEEK, DS("tool" LOW "calls" LOW "begin"), "```json"},
    {DV_CHATFMT_DEEPSEEK_31, DS("tool" LOW "calls" LOW "begin"), NULL},
    {DV_CHATFMT_MISTRAL_ARGS, "[TOOL_CALLS]", "[ARGS]"},
    {DV_CHATFMT_MISTRAL, "[TOOL_CALLS]", NULL},
    {DV_CHATFMT_GENERIC, "<tool_call>", "<arg_key>"}, /* calls as XML, which drover does not read */
    {DV_CHATFMT_GENERIC, "<tool_call>", "<function="},
    {DV_CHATFMT_HERMES, "<tool_call>", NULL},
    {DV_CHATFMT_PHI4, "functools", NULL},
    {DV_CHATFMT_PHI4, "<|tool_call|>", NULL},
    {DV_CHATFMT_PHI4, "<|tool|>", "<|/tool|>"},
    {DV_CHATFMT_LLAMA3, "<|start_header_id|>", "ipython"},
    {DV_CHATFMT_LLAMA3, "<|python_tag|>", NULL},
    {DV_CHATFMT_GEMMA, "<start_of_turn>", NULL},
};

static bool has(const char *text, const char *word) { return word == NULL || strstr(text, word) != NULL; }

static void detect_thinking(dv_chatfmt *f, const char *tmpl)
{
    bool brackets = has(tmpl, "[THINK]") && has(tmpl, "[/THINK]");
    f->caps.enable_thinking = has(tmpl, "enable_thinking");
    f->caps.reasoning_effort = has(tmpl, "reasoning_effort");
    f->caps.thinking = f->kind == DV_CHATFMT_HARMONY || has(tmpl, "</think>") || brackets;
    if (f->kind == DV_CHATFMT_HARMONY || !f->caps.thinking)
        return;
    f->mark[DV__MARK_THINK] = brackets ? "[THINK]" : "<think>";
    f->mark[DV__MARK_UNTHINK] = brackets ? "[/THINK]" : "</think>";
}

void dv__chatfmt_detect(dv_chatfmt *f, const char *tmpl)
{
    f->kind = DV_CHATFMT_GENERIC;
    for (size_t i = 0; i < DV_ARRAY_LEN(hints); i++) {
        if (!has(tmpl, hints[i].has) || !has(tmpl, hints[i].and_has))
            continue;
        f->kind = hints[i].kind;
        break;
    }
    memcpy(f->mark, kinds[f->kind].mark, sizeof f->mark);
    detect_thinking(f, tmpl);
    for (int m = 0; m < DV__MARK_N && f->tok != NULL; m++) {
        int32_t id = f->mark[m] != NULL ? dv_tok_find(f->tok, f->mark[m], strlen(f->mark[m])) : -1;
        f->control[m] = m > DV__MARK_UNTHINK && id >= 0 && dv_tok_is_control(f->tok, id);
    }
}

/* ---- probes -------------------------------------------------------------------------------------------------------- */

static const char tools_json[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"dv_tool\",\"description\":\"d\",\"parameters\":"
    "{\"type\":\"object\",\"properties\":{\"dv_key\":{\"type\":\"string\",\"description\":\"d\"}},\"required\":[\"dv_key\"]}}}]";

#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define CALL(id, name, args) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":" args "}}"
#define CALLS(content, calls) "{\"role\":\"assistant\",\"content\":" content ",\"tool_calls\":[" calls "]}"
#define RESULT(id, name, text) \
    "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"name\":\"" name "\",\"content\":\"" text "\"}"
#define REST "{\"role\":\"assistant\",\"content\":\"a\"}," USER("q")
#define AS_TEXT "\"{\\\"dv_key\\\":\\\"dv_value\\\"}\""
#define AS_OBJECT "{\"dv_key\":\"dv_value\"}"
#define HISTORY(content, args)                                                                              \
    "[" USER("q") "," CALLS(content, CALL("abcdefghi", "dv_tool", args)) "," RESULT("abcdefghi", "dv_tool", \
                                                                                    "dv_result") "," REST "]"
#define TWO_CALLS(args) CALL("abcdefghi", "dv_tool", args) "," CALL("abcdefghj", "dv_other", args)
#define TWO_RESULTS RESULT("abcdefghi", "dv_tool", "dv_result") "," RESULT("abcdefghj", "dv_other", "dv_more")
#define TWO(content, args) "[" USER("q") "," CALLS(content, TWO_CALLS(args)) "," TWO_RESULTS "," REST "]"

/* Render; the text is in out if that worked. Only running out of memory is a failure. */
static int probe(const dv_chatfmt *f, const char *messages, bool tools, dv_buf *out)
{
    const dv_tmpl_opts opts = {.max_steps = 1000000, .max_output = 1 << 20, .max_memory = 32 << 20};
    dv_value *m = NULL, *t = NULL;
    dv_arena a;
    dv_arena_init(&a, DV_MEM_TOK, 0);
    dv_buf_clear(out);
    int r = dv_value_from_json(&m, &a, messages, strlen(messages), 0, 0, NULL);
    if (r == 0 && tools)
        r = dv_value_from_json(&t, &a, tools_json, sizeof tools_json - 1, 0, 0, NULL);
    dv_chat_request req = {.messages = m, .tools = t, .add_generation_prompt = true};
    if (r == 0)
        r = dv_chat_render(f->chat, &req, &opts, out, NULL, NULL);
    dv_arena_fini(&a);
    if (r != 0)
        dv_buf_clear(out);
    return r == DV_ENOMEM ? r : 0;
}

static int shows(const dv_chatfmt *f, const char *messages, const char *word, const char *and_word, dv_buf *out,
                 bool *yes)
{
    int r = probe(f, messages, false, out);
    *yes = r == 0 && has(dv_buf_str(out), word) && has(dv_buf_str(out), and_word);
    return r;
}

/* Arguments must stand there as they are, not as a JSON string. */
static bool shows_call(dv_buf *out, bool object)
{
    const char *text = dv_buf_str(out);
    return has(text, "dv_tool") && !has(text, "\\\"dv_key") && has(text, object ? "dv_key" : AS_OBJECT) &&
           has(text, "dv_value");
}

static int probe_calls(dv_chatfmt *f, dv_buf *out)
{
    static const struct {
        const char *messages;
        bool object, no_null;
    } forms[] = {{HISTORY("null", AS_TEXT), false, false},
                 {HISTORY("null", AS_OBJECT), true, false},
                 {HISTORY("\"\"", AS_TEXT), false, true},
                 {HISTORY("\"\"", AS_OBJECT), true, true}};
    for (size_t i = 0; i < DV_ARRAY_LEN(forms) && !f->caps.calls; i++) {
        int r = probe(f, forms[i].messages, false, out);
        if (r != 0)
            return r;
        if (!shows_call(out, forms[i].object))
            continue;
        f->caps.calls = true;
        f->caps.object_arguments = forms[i].object;
        f->no_null = forms[i].no_null;
        f->caps.results = has(dv_buf_str(out), "dv_result");
    }
    if (!f->caps.calls)
        return 0;
    static const char *const two[2][2] = {{TWO("null", AS_TEXT), TWO("null", AS_OBJECT)},
                                          {TWO("\"\"", AS_TEXT), TWO("\"\"", AS_OBJECT)}};
    bool object = f->caps.object_arguments, shown = false;
    int r = probe(f, object ? HISTORY("\"dv_text\"", AS_OBJECT) : HISTORY("\"dv_text\"", AS_TEXT), false, out);
    f->caps.null_content = !f->no_null && r == 0 && !(shows_call(out, object) && has(dv_buf_str(out), "dv_text"));
    if (r == 0)
        r = shows(f, two[f->no_null][object], "dv_tool", "dv_other", out, &shown);
    f->caps.parallel = r == 0 && shown;
    return r;
}

static int probe_all(dv_chatfmt *f, dv_buf *out)
{
    bool user, part, twice = false;
    int r = shows(f, "[{\"role\":\"system\",\"content\":\"dv_system\"}," USER("dv_user") "]", "dv_system", "dv_user",
                  out, &f->caps.system);
    if (r == 0)
        r = shows(f, "[" USER("dv_user") "]", "dv_user", NULL, out, &user);
    if (r == 0) {
        r = probe(f, "[" USER("dv_user") "," USER("dv_more") "]", false, out);
        twice = out->len > 0;
    }
    if (r == 0)
        r = shows(f, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"dv_user\"}]}]", "dv_user", NULL,
                  out, &part);
    if (r == 0)
        r = probe(f, "[" USER("q") "]", true, out);
    if (r != 0)
        return r;
    f->caps.tools = has(dv_buf_str(out), "dv_tool");
    f->caps.alternate = user && !twice;
    f->caps.part_content = !user && part;
    return probe_calls(f, out);
}

int dv__chatfmt_probe(dv_chatfmt *f, dv_err *err)
{
    dv_buf out;
    dv_buf_init(&out, 0);
    int r = probe_all(f, &out);
    dv_buf_fini(&out);
    /* A template with tools in a form that is not known: drover's own is used throughout. */
    if (f->kind == DV_CHATFMT_GENERIC)
        f->caps.tools = f->caps.calls = false;
    if (!f->caps.calls)
        f->caps.results = f->caps.parallel = f->caps.object_arguments = f->caps.null_content = false;
    return r == 0 ? 0 : dv_fail(err, r, "no memory for a chat template");
}
