/* SPDX-License-Identifier: MIT */
/* Tools and calls in words, for templates that have no place for them. */
#include "base/attr.h"
#include "base/json.h"
#include "chat/format_impl.h"
#include "chat/history.h"

#include <string.h>

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"
#define DS(word) "<" BAR word BAR ">"

/* How the calls of an answer are spelled: before all, before each, key of the arguments, after each, between, after all. */
typedef struct spelling {
    const char *open, *each, *key, *close, *between, *end;
} spelling;

/* Before a name and behind it come quotes; key NULL: the arguments follow the name at once. */
static const spelling spellings[DV_CHATFMT_N] = {
    [DV_CHATFMT_GENERIC] = {"{\"tool_calls\": [", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]}"},
    [DV_CHATFMT_LLAMA3] = {"", "{\"name\": \"", "\", \"parameters\": ", "}", "; ", ""},
    [DV_CHATFMT_HERMES] = {"", "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "\n", ""},
    [DV_CHATFMT_MISTRAL] = {"[TOOL_CALLS][", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"},
    [DV_CHATFMT_MISTRAL_ARGS] = {"", "[TOOL_CALLS]", "[ARGS]", "", "", ""},
    [DV_CHATFMT_PHI4] = {"functools[", "{\"name\": \"", "\", \"arguments\": ", "}", ", ", "]"},
    [DV_CHATFMT_DEEPSEEK] = {DS("tool" LOW "calls" LOW "begin"),
                             DS("tool" LOW "call" LOW "begin") "function" DS("tool" LOW "sep"), "\n```json\n",
                             "\n```" DS("tool" LOW "call" LOW "end"), "\n", DS("tool" LOW "calls" LOW "end")},
    [DV_CHATFMT_DEEPSEEK_31] = {DS("tool" LOW "calls" LOW "begin"), DS("tool" LOW "call" LOW "begin"),
                                DS("tool" LOW "sep"), DS("tool" LOW "call" LOW "end"), "",
                                DS("tool" LOW "calls" LOW "end")},
    [DV_CHATFMT_GEMMA] = {"", "{\"name\": \"", "\", \"parameters\": ", "}", "\n", ""},
    [DV_CHATFMT_HARMONY] = {"", "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", "<|call|>", "",
                            ""},
};

static void spell_one(const spelling *s, const char *name, const char *args, size_t n_args, dv_buf *out)
{
    dv_buf_adds(out, s->each);
    dv_buf_adds(out, name);
    dv_buf_adds(out, s->key);
    dv_buf_add(out, args, n_args);
    dv_buf_adds(out, s->close);
}

void dv__chatfmt_spell_calls(dv_chatfmt_kind kind, const json_t *calls, dv_buf *out)
{
    const spelling *s = &spellings[kind];
    dv_buf_adds(out, s->open);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *fn = json_object_get(json_array_get(calls, i), "function"), *a = json_object_get(fn, "arguments");
        if (i > 0)
            dv_buf_adds(out, s->between);
        spell_one(s, json_string_value(json_object_get(fn, "name")), json_string_value(a), json_string_length(a), out);
    }
    dv_buf_adds(out, s->end);
}

void dv__chatfmt_describe(dv_chatfmt_kind kind, const dv_chattools *tools, dv_buf *out)
{
    static const char arguments[] = "{\"parameter\": \"value\"}";
    const spelling *s = &spellings[kind];
    dv_buf_adds(out, "You can call these tools:\n");
    for (size_t i = 0; i < json_array_size(tools->list); i++) {
        dv_json_dump(out, json_object_get(json_array_get(tools->list, i), "function"), 0);
        dv_buf_addc(out, '\n');
    }
    dv_buf_adds(out,
                "\nTo call a tool, answer with this and nothing else, with the name and the parameters of the tool:\n");
    dv_buf_adds(out, s->open);
    spell_one(s, "tool", arguments, sizeof arguments - 1, out);
    dv_buf_adds(out, s->end);
    if (tools->choice == DV_TOOLCHOICE_REQUIRED)
        dv_buf_adds(out, "\nYou must call a tool now.");
    else if (tools->choice == DV_TOOLCHOICE_NAMED)
        dv_buf_printf(out, "\nYou must call the tool %s now.", tools->name);
    else
        dv_buf_adds(out, "\nWhen no tool helps, answer in plain text.");
}
