/* SPDX-License-Identifier: MIT */
/* Requests: the first byte chooses the API and a template, the rest is JSON, {"messages", "system", "tools", "tool_choice", "vars"}. It becomes
 * messages that are rendered, or an error with a text. No byte of a message may be trusted by the rendering. */
#include "target.h"

#include "base/mem.h"
#include "chat/format.h"

#include <string.h>

/* They write no byte 0x01 or 0x02 themselves. */
static const char *const templates[] = {
    NULL,
    "{% for m in messages %}<start_of_turn>{{ m.role }}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('x') }}{% endif %}{{ m.content }}{% endfor %}",
    "{{ tools | tojson }}{% for m in messages %}<tool_call>{{ m.role }}{{ m.content or '' }}{{ m.reasoning_content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.name }}{{ c.function.arguments }}{% endfor %}{% endfor %}",
    "{% for m in messages %}<|start_header_id|>ipython{{ m.role }}{{ m.content or '' }}{% if m.tool_calls %}{% if m.tool_calls | length > 1 %}"
    "{{ raise_exception('one') }}{% endif %}{{ m.tool_calls[0].function.name }}{{ m.tool_calls[0].function.arguments | tojson }}{% endif %}{% endfor %}",
    "{% for m in messages %}[TOOL_CALLS]{{ m.content[0].text }}{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}{% endfor %}"};

static void check_spans(const dv_chatfmt_text *t)
{
    size_t at = 0;
    for (size_t i = 0; i < t->spans.n; i++) {
        dv_span s = t->spans.at[i];
        DV_FUZZ_CHECK(s.offset == at && s.len <= t->text.len - at);
        for (size_t k = 0; s.trusted && k < s.len; k++)
            DV_FUZZ_CHECK(t->text.data[at + k] != 1 && t->text.data[at + k] != 2);
        at += s.len;
    }
    DV_FUZZ_CHECK(at == t->text.len);
}

static int convert(unsigned api, const json_t *j, json_t **messages, dv_chattools *tools, dv_err *err)
{
    const json_t *m = json_object_get(j, "messages"), *s = json_object_get(j, "system"),
                 *t = json_object_get(j, "tools");
    const json_t *c = json_object_get(j, "tool_choice");
    int r = api == 0   ? dv_chatmsg_from_openai(m, messages, err)
            : api == 1 ? dv_chatmsg_from_anthropic(m, s, messages, err)
                       : dv_chatmsg_from_responses(m, s, messages, err);
    DV_FUZZ_CHECK((r == 0) == (*messages != NULL));
    if (r == 0)
        r = api == 0   ? dv_chattools_from_openai(tools, t, c, NULL, err)
            : api == 1 ? dv_chattools_from_anthropic(tools, t, c, err)
                       : dv_chattools_from_responses(tools, t, c, NULL, err);
    return r;
}

static int render(const json_t *j, const char *tmpl, json_t *messages, const dv_chattools *tools, dv_err *err)
{
    const dv_tmpl_opts opts = {.max_steps = 100000, .max_output = 1 << 20, .max_memory = 8 << 20};
    dv_chatfmt *f = NULL;
    dv_chatfmt_text text = {0};
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    dv_chatfmt_input in = {.messages = messages,
                           .tools = tools,
                           .vars = json_object_get(j, "vars"),
                           .add_generation_prompt = true,
                           .continue_last = json_is_string(json_object_get(last, "content")) &&
                                            json_object_get(last, "tool_calls") == NULL &&
                                            strcmp(json_string_value(json_object_get(last, "role")), "assistant") == 0};
    int r = dv_chatfmt_open_text(&f, tmpl, NULL, NULL, NULL, NULL, err);
    if (r == 0)
        r = dv_chatfmt_render(f, &in, &opts, &text, err);
    if (r == 0)
        check_spans(&text);
    dv_chatfmt_text_fini(&text);
    dv_chatfmt_close(&f);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    json_t *j = json_loadb((const char *)data + 1, size - 1, JSON_ALLOW_NUL, NULL), *messages = NULL;
    dv_chattools tools = {0};
    dv_err err = {0};
    if (j != NULL) {
        int r = convert(data[0] % 3, j, &messages, &tools, &err);
        if (r == 0)
            r = render(j, templates[data[0] / 3 % (sizeof templates / sizeof templates[0])], messages, &tools, &err);
        DV_FUZZ_CHECK(r == err.code && (r == 0 || err.msg[0] != 0));
    }
    dv_chattools_fini(&tools);
    json_decref(messages);
    json_decref(j);
    return 0;
}
