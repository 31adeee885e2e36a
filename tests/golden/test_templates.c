/* SPDX-License-Identifier: MIT */
/* Templates, conversations and snippets of the template language against what @huggingface/jinja and Python's jinja2 made
 * of them (tests/peer/templates writes these files). */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "tok/tmpl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static void load_text(dv_buf *b, const char *name)
{
    char path[1024];
    dv_err err = {0};
    snprintf(path, sizeof path, "%s/%s", DV_TEMPLATE_DIR, name);
    dv_buf_init(b, 0);
    if (dv_file_read(b, path, &err) != 0)
        fail_msg("%s", err.msg);
}

static json_t *load_json(const char *name)
{
    dv_buf b;
    json_error_t e;
    load_text(&b, name);
    json_t *j = json_loadb(dv_buf_str(&b), b.len, JSON_ALLOW_NUL, &e);
    if (j == NULL)
        fail_msg("%s: %s", name, e.text);
    dv_buf_fini(&b);
    return j;
}

static dv_value *context_of(dv_arena *a, json_t *j)
{
    dv_value *v = NULL;
    dv_err err = {0};
    char *text = json_dumps(j, 0);
    assert_non_null(text);
    if (dv_value_from_json(&v, a, text, strlen(text), 0, 0, &err) != 0)
        fail_msg("%s", err.msg);
    free(text);
    return v;
}

static int render(const char *src, size_t len, const dv_value *context, dv_tmpl_dialect dialect, int64_t now,
                  dv_buf *out, dv_err *err)
{
    dv_tmpl *t = NULL;
    dv_tmpl_opts opts = {.dialect = dialect, .now = now};
    int r = dv_tmpl_parse(&t, src, len, NULL, err);
    if (r == 0)
        r = dv_tmpl_render(t, context, &opts, out, NULL, err);
    dv_tmpl_free(&t);
    return r;
}

/* want: a string; an object {"refused": message}; null: nothing is checked. Returns 1 if it was wrong. */
static int check(const char *what, const char *src, size_t len, const dv_value *context, dv_tmpl_dialect dialect,
                 int64_t now, json_t *want)
{
    dv_buf out;
    dv_err err = {0};
    int wrong = 0;
    dv_buf_init(&out, 0);
    int r = render(src, len, context, dialect, now, &out, &err);
    if (json_is_string(want)) {
        size_t n = json_string_length(want);
        wrong = r != 0 || out.len != n || memcmp(dv_buf_str(&out), json_string_value(want), n) != 0;
    } else if (json_is_object(want)) {
        wrong =
            r == 0 || (r == DV_ETEMPLATE && strcmp(err.msg, json_string_value(json_object_get(want, "refused"))) != 0);
    }
    if (wrong)
        print_error("%s\n  want %s\n  got  %s\n", what, json_is_string(want) ? json_string_value(want) : "(an error)",
                    r == 0 ? dv_buf_str(&out) : err.msg);
    dv_buf_fini(&out);
    return wrong;
}

static void templates_equal_the_reference(void **state)
{
    (void)state;
    json_t *file = load_json("conversations.json"), *expected = load_json("expected.json"), *c, *want;
    int64_t now = json_integer_value(json_object_get(file, "now"));
    const char *name;
    size_t i, n = 0;
    int wrong = 0;
    json_object_foreach(expected, name, want)
    {
        char path[256];
        dv_buf src;
        snprintf(path, sizeof path, "%s.jinja", name);
        load_text(&src, path);
        json_array_foreach(json_object_get(file, "conversations"), i, c)
        {
            dv_arena a;
            char what[512];
            const char *conv = json_string_value(json_object_get(c, "name"));
            json_t *context = json_object_get(c, "context");
            json_object_update(context, json_object_get(file, "tokens"));
            dv_arena_init(&a, DV_MEM_TOK, 0);
            snprintf(what, sizeof what, "%s / %s", name, conv);
            wrong += check(what, dv_buf_str(&src), src.len, context_of(&a, context), DV_TMPL_HF, now,
                           json_object_get(want, conv));
            dv_arena_fini(&a);
            n++;
        }
        dv_buf_fini(&src);
    }
    json_decref(file);
    json_decref(expected);
    assert_true(n > 200);
    assert_int_equal(wrong, 0);
}

static void snippets_equal(const char *expected_name, dv_tmpl_dialect dialect)
{
    json_t *file = load_json("snippets.json"), *expected = load_json(expected_name), *s;
    json_t *snippets = json_object_get(file, "snippets");
    int64_t now = json_integer_value(json_object_get(file, "now"));
    size_t i, n = 0;
    int wrong = 0;
    dv_arena a;
    dv_arena_init(&a, DV_MEM_TOK, 0);
    dv_value *context = context_of(&a, json_object_get(file, "context"));
    assert_int_equal(json_array_size(snippets), json_array_size(expected));
    json_array_foreach(snippets, i, s)
    {
        json_t *want = json_array_get(expected, i);
        n += json_is_string(want);
        wrong += check(json_string_value(s), json_string_value(s), json_string_length(s), context, dialect, now, want);
    }
    dv_arena_fini(&a);
    json_decref(file);
    json_decref(expected);
    assert_true(n > 500);
    assert_int_equal(wrong, 0);
}

static void snippets_equal_the_reference(void **state)
{
    (void)state;
    snippets_equal("snippets-hf.json", DV_TMPL_HF);
}

static void snippets_equal_jinja2(void **state)
{
    (void)state;
    snippets_equal("snippets-python.json", DV_TMPL_PYTHON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_equal_the_reference),
        cmocka_unit_test(snippets_equal_the_reference),
        cmocka_unit_test(snippets_equal_jinja2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
