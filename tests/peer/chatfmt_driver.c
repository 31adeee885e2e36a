/* SPDX-License-Identifier: MIT */
/* Formats of published templates. Standard input: one JSON object a line, {"template": text, "bos": text, "eos": text, "messages": [...],
 * "tools": [...], "vars": {...}, "answer": text}, messages and tools as in OpenAI's API; standard output: one line for each, {"kind": name,
 * "caps": {...}, "text": prompt, "in_thinking": bool, "message": parsed answer} or with "error". */
#include "chat/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *str(const json_t *j, const char *key) { return json_string_value(json_object_get(j, key)); }

static json_t *caps_of(const dv_chatfmt *f)
{
    const dv_chatfmt_caps *c = dv_chatfmt_caps_of(f);
    return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "system", c->system, "tools", c->tools,
                     "calls", c->calls, "results", c->results, "parallel", c->parallel, "object_arguments",
                     c->object_arguments, "null_content", c->null_content, "alternate", c->alternate, "part_content",
                     c->part_content, "thinking", c->thinking);
}

static int render(const dv_chatfmt *f, const json_t *j, json_t *out, const dv_chattools *tools, dv_err *err)
{
    dv_chatfmt_text text = {0};
    json_t *messages = NULL, *m = NULL;
    const char *answer = str(j, "answer");
    int r = dv_chatmsg_from_openai(json_object_get(j, "messages"), &messages, err);
    dv_chatfmt_input in = {
        .messages = messages, .tools = tools, .vars = json_object_get(j, "vars"), .add_generation_prompt = true};
    if (r == 0)
        r = dv_chatfmt_render(f, &in, NULL, &text, err);
    if (r == 0) {
        json_object_set_new(out, "text", json_string(dv_buf_str(&text.text)));
        json_object_set_new(out, "in_thinking", json_boolean(text.in_thinking));
    }
    dv_chatfmt_parser_options o = {.tools = tools, .in_thinking = text.in_thinking};
    if (r == 0 && answer != NULL && (r = dv_chatfmt_parse(f, &o, answer, strlen(answer), &m, err)) == 0)
        json_object_set_new(out, "message", m);
    dv_chatfmt_text_fini(&text);
    json_decref(messages);
    return r;
}

static void one(const json_t *j)
{
    dv_chatfmt *f = NULL;
    dv_chattools tools = {0};
    dv_err err = {0};
    json_t *out = json_object();
    int r = dv_chatfmt_open_text(&f, str(j, "template"), NULL, str(j, "bos"), str(j, "eos"), NULL, &err);
    if (r == 0)
        r = dv_chattools_from_openai(&tools, json_object_get(j, "tools"), NULL, NULL, &err);
    if (r == 0) {
        json_object_set_new(out, "kind", json_string(dv_chatfmt_kind_name(dv_chatfmt_kind_of(f))));
        json_object_set_new(out, "caps", caps_of(f));
        r = render(f, j, out, &tools, &err);
    }
    if (r != 0)
        json_object_set_new(out, "error", json_string(err.msg));
    char *text = json_dumps(out, JSON_COMPACT);
    puts(text != NULL ? text : "{\"error\":\"no memory\"}");
    free(text);
    json_decref(out);
    dv_chattools_fini(&tools);
    dv_chatfmt_close(&f);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *j = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        one(j);
        json_decref(j);
    }
    free(line);
    return 0;
}
