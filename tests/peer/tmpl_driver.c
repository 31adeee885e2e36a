/* SPDX-License-Identifier: MIT */
/* Renders templates for the comparison with other implementations. Standard input: one JSON object a line,
 * {"template": text, "context": {...}, "now": seconds, "dialect": "hf" | "python"}; standard output: one line for each,
 * {"output": text, "spans": [[length, trusted], ...]} or {"error": text, "code": name}. bos_token and eos_token are trusted. */
#include "base/buf.h"
#include "base/mem.h"
#include "tok/tmpl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int context_of(dv_value **out, dv_arena *a, json_t *j, dv_err *err)
{
    char *text = json_dumps(j, JSON_COMPACT);
    int r = text != NULL ? dv_value_from_json(out, a, text, strlen(text), 0, 0, err) : DV_ENOMEM;
    static const char *const trusted[] = {"bos_token", "eos_token"};
    for (size_t i = 0; r == 0 && i < 2; i++) {
        const char *s = json_string_value(json_object_get(j, trusted[i]));
        if (s != NULL)
            r = dv_value_set(a, *out, trusted[i], strlen(trusted[i]), dv_value_str(a, s, strlen(s), true));
    }
    free(text);
    return r;
}

static int render(json_t *j, dv_arena *a, dv_buf *out, dv_spans *spans, dv_err *err)
{
    json_t *src = json_object_get(j, "template"), *context = json_object_get(j, "context");
    const char *dialect = json_string_value(json_object_get(j, "dialect"));
    dv_tmpl_opts opts = {.now = json_integer_value(json_object_get(j, "now")),
                         .dialect = dialect != NULL && strcmp(dialect, "python") == 0 ? DV_TMPL_PYTHON : DV_TMPL_HF};
    dv_value *ctx = NULL;
    dv_tmpl *t = NULL;
    int r = context != NULL ? context_of(&ctx, a, context, err) : 0;
    if (r == 0)
        r = dv_tmpl_parse(&t, json_string_value(src) != NULL ? json_string_value(src) : "", json_string_length(src),
                          NULL, err);
    if (r == 0)
        r = dv_tmpl_render(t, ctx, &opts, out, spans, err);
    dv_tmpl_free(&t);
    return r;
}

static void answer(json_t *j)
{
    dv_arena a;
    dv_buf out, line;
    dv_spans spans = {0};
    dv_err err = {0};
    dv_arena_init(&a, DV_MEM_TOK, 0);
    dv_buf_init(&out, 0);
    dv_buf_init(&line, 0);
    int r = render(j, &a, &out, &spans, &err);
    if (r != 0) {
        dv_buf_adds(&line, "{\"error\":");
        dv_buf_json_str(&line, err.msg, strlen(err.msg));
        dv_buf_printf(&line, ",\"code\":\"%s\"}", dv_error_name(r));
    } else {
        dv_buf_adds(&line, "{\"output\":");
        dv_buf_json_str(&line, dv_buf_str(&out), out.len);
        dv_buf_adds(&line, ",\"spans\":[");
        for (size_t i = 0; i < spans.n; i++)
            dv_buf_printf(&line, "%s[%zu,%s]", i > 0 ? "," : "", spans.at[i].len,
                          spans.at[i].trusted ? "true" : "false");
        dv_buf_adds(&line, "]}");
    }
    puts(dv_buf_str(&line));
    dv_spans_fini(&spans);
    dv_buf_fini(&line);
    dv_buf_fini(&out);
    dv_arena_fini(&a);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    json_error_t e;
    while (getline(&line, &cap, stdin) > 0) {
        json_t *j = json_loads(line, 0, &e);
        if (j == NULL) {
            fprintf(stderr, "tmpl_driver: %s\n", e.text);
            free(line);
            return 1;
        }
        answer(j);
        json_decref(j);
    }
    free(line);
    return 0;
}
