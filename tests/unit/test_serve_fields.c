/* SPDX-License-Identifier: MIT */
/* The tables themselves: every field says what it must, and the requests of serve_requests.json, as clients send them, are taken or refused by name. */
#include "base/attr.h"
#include "serve/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    const dv__schema *schema;
} tables[] = {
#define TABLE(name)               \
    {                             \
#name, &dv__schema_##name \
    }
    TABLE(chat),       TABLE(completions),     TABLE(embeddings),  TABLE(native_embeddings), TABLE(rerank),
    TABLE(responses),  TABLE(response_tokens), TABLE(messages),    TABLE(count_tokens),      TABLE(completion),
    TABLE(infill),     TABLE(tokenize),        TABLE(detokenize),  TABLE(apply_template),    TABLE(slot_action),
    TABLE(slot_query), TABLE(slots_query),     TABLE(model_query),
#undef TABLE
};

static const dv__schema *table_of(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(tables); i++)
        if (strcmp(tables[i].name, name) == 0)
            return tables[i].schema;
    fail_msg("no table %s", name);
    return NULL;
}

static json_t *requests(const char *kind)
{
    json_error_t e;
    json_t *all = json_load_file(DV_REQUESTS, JSON_REJECT_DUPLICATES, &e);
    if (all == NULL)
        fail_msg("%s:%d: %s", DV_REQUESTS, e.line, e.text);
    json_t *v = json_incref(json_object_get(all, kind));
    json_decref(all);
    assert_non_null(v);
    return v;
}

static const dv__text_rules rules = {.max_text = 1 << 20};

static void accepted(void **state)
{
    json_t *all = requests("accepted"), *list, *body;
    const char *name;
    size_t i, n = 0;
    json_object_foreach(all, name, list)
    {
        json_array_foreach(list, i, body)
        {
            dv__check out;
            dv_err err = {0};
            if (dv__schema_check(table_of(name), body, &rules, &out, &err) != 0)
                fail_msg("%s %zu: %s", name, i, err.msg);
            assert_false(out.repaired);
            n++;
        }
    }
    assert_true(n >= 60);
    json_decref(all);
}

static void refused(void **state)
{
    json_t *all = requests("refused"), *list, *pair;
    const char *name;
    size_t i;
    json_object_foreach(all, name, list)
    {
        json_array_foreach(list, i, pair)
        {
            dv__check out;
            dv_err err = {0};
            int rc = dv__schema_check(table_of(name), json_array_get(pair, 1), &rules, &out, &err);
            assert_string_equal(err.msg, json_string_value(json_array_get(pair, 0)));
            assert_true(rc == DV_EINVAL || rc == DV_ELIMIT);
            assert_true(out.param[0] != 0 && strncmp(err.msg, out.param, strlen(out.param)) == 0);
        }
    }
    json_decref(all);
}

/* ---- the tables ---- */

enum { MAX_SCHEMAS = 256 };

typedef struct walk {
    const dv__schema *seen[MAX_SCHEMAS];
    size_t n;
} walk;

static void visit(walk *w, const dv__schema *s);

static void check_field(walk *w, const dv__schema *s, const dv__field *f, bool item)
{
    const char *name = f->name != NULL ? f->name : "(element)";
    if (f->types == 0 || (f->types & ~(unsigned)DV__T_ANY) != 0)
        fail_msg("%s.%s has no type", s->name, name);
    bool any = f->types == DV__T_ANY;
    if (!item && f->help == NULL)
        fail_msg("%s.%s has no help", s->name, name);
    if (!any && (f->types & (DV__T_INT | DV__T_NUM)) != 0 && f->min >= f->max)
        fail_msg("%s.%s has no range", s->name, name);
    if (f->words != NULL && (f->types & DV__T_STR) == 0)
        fail_msg("%s.%s has words but is no string", s->name, name);
    if (f->of != NULL && (f->types & DV__T_OBJ) == 0)
        fail_msg("%s.%s has fields but is no object", s->name, name);
    if (f->item != NULL && (f->types & DV__T_ARR) == 0)
        fail_msg("%s.%s has elements but is no list", s->name, name);
    if (!any && (f->types & DV__T_ARR) != 0 && f->max_len == 0)
        fail_msg("%s.%s is a list without an end", s->name, name);
    if (f->max_len != 0 && f->min_len > f->max_len)
        fail_msg("%s.%s has no length", s->name, name);
    if (f->of != NULL)
        visit(w, f->of);
    if (f->item != NULL)
        check_field(w, s, f->item, true);
}

static void visit(walk *w, const dv__schema *s)
{
    for (size_t i = 0; i < w->n; i++) {
        if (w->seen[i] == s)
            return;
        if (strcmp(w->seen[i]->name, s->name) == 0)
            fail_msg("two tables are called %s", s->name);
    }
    assert_true(w->n < MAX_SCHEMAS);
    assert_int_equal(strspn(s->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), strlen(s->name));
    w->seen[w->n++] = s;
    for (size_t i = 0; i < s->n; i++) {
        const dv__field *f = &s->fields[i];
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->fields[k].name, f->name) == 0)
                fail_msg("%s.%s is there twice", s->name, f->name);
        check_field(w, s, f, false);
    }
    if (s->base != NULL)
        visit(w, s->base);
}

static void sound(void **state)
{
    walk w = {.n = 0};
    for (size_t i = 0; i < DV_ARRAY_LEN(tables); i++)
        visit(&w, tables[i].schema);
    assert_true(w.n > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepted), cmocka_unit_test(refused), cmocka_unit_test(sound)};
    return cmocka_run_group_tests_name("serve-fields", tests, NULL, NULL);
}
