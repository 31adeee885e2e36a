/* SPDX-License-Identifier: MIT */
/* The YAML reader by itself: what a tree looks like, and every way in which a file may be bad. */
#include "base/buf.h"
#include "base/mem.h"
#include "conf/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "{key@1:1=text@1:6, ...}" */
static void show(dv_buf *b, const dv__yaml *node)
{
    if (node->kind == DV__YAML_TEXT) {
        dv_buf_printf(b, node->null ? "null" : "'%s'", node->text);
    } else {
        dv_buf_adds(b, node->kind == DV__YAML_MAP ? "{" : "[");
        for (const dv__yaml *e = node->first; e != NULL; e = e->next) {
            if (e->key != NULL)
                dv_buf_printf(b, "%s@%u:%u=", e->key->text, e->key->line, e->key->column);
            show(b, e);
            dv_buf_printf(b, "@%u:%u%s", e->line, e->column, e->next != NULL ? ", " : "");
        }
        dv_buf_adds(b, node->kind == DV__YAML_MAP ? "}" : "]");
    }
}

static int parse(const char *text, size_t len, dv_buf *out, dv_err *err)
{
    dv_arena a;
    dv__yaml *root = NULL;
    dv_arena_init(&a, DV_MEM_CONF, 0);
    int rc = dv__yaml_parse(&root, &a, "f", text, len, err);
    assert_int_equal(rc, err->code);
    if (rc == 0 && root != NULL)
        show(out, root);
    dv_arena_fini(&a);
    return rc;
}

static void expect(const char *text, const char *want)
{
    dv_buf b;
    dv_err err = {0};
    dv_buf_init(&b, 0);
    if (parse(text, strlen(text), &b, &err) != 0)
        fail_msg("%s", err.msg);
    assert_string_equal(dv_buf_str(&b), want);
    dv_buf_fini(&b);
}

static void refuse_n(const char *text, size_t len, int code, const char *says)
{
    dv_buf b;
    dv_err err = {0};
    dv_buf_init(&b, 0);
    int rc = parse(text, len, &b, &err);
    if (rc == 0)
        fail_msg("taken: %s", text);
    assert_string_equal(err.msg, says);
    assert_int_equal(rc, code);
    dv_buf_fini(&b);
}

static void refuse(const char *text, int code, const char *says) { refuse_n(text, strlen(text), code, says); }

static void trees(void **state)
{
    expect("", "");
    expect("# only this\n", "");
    expect("---\n", "");
    expect("--- ~\n...\n", "");
    expect("\xef\xbb\xbf"
           "a: b\n",
           "{a@1:1='b'@1:4}");
    expect("%YAML 1.1\n---\na: b\n", "{a@3:1='b'@3:4}");
    expect("a: 1\nb:\n  c: [x, 'y z', \"\\u00e9\"]\n  d:\n",
           "{a@1:1='1'@1:4, b@2:1={c@3:3=['x'@3:7, 'y z'@3:10, '\xc3\xa9'@3:17]@3:6, d@4:3=null@4:5}@3:3}");
    expect("- a\n- \n- 'null'\n- null\n", "['a'@1:3, null@2:2, 'null'@3:3, null@4:3]");
    expect("\xc3\xa9: x\n", "{\xc3\xa9@1:1='x'@1:4}");
    expect("a: two\n  lines\n", "{a@1:1='two lines'@1:4}"); /* folded: no line end is left */
    expect("<<: x\n", "{<<@1:1='x'@1:5}");                  /* no merge keys: a word like any other */
    expect("a\r\n", "'a'");
}

static void what_is_not_taken(void **state)
{
    refuse("a: &x 1\n", DV_EFORMAT, "f:1:4: anchors (&name) are not taken: write the value out");
    refuse("a: 1\nb: &x [1]\n", DV_EFORMAT, "f:2:4: anchors (&name) are not taken: write the value out");
    refuse("&x a: 1\n", DV_EFORMAT, "f:1:1: anchors (&name) are not taken: write the value out");
    refuse("a: *x\n", DV_EFORMAT, "f:1:4: aliases (*name) are not taken: write the value out");
    refuse("a: !!str 1\n", DV_EFORMAT, "f:1:4: tags (!name) are not taken");
    refuse("a: !x {}\n", DV_EFORMAT, "f:1:4: tags (!name) are not taken");
    refuse("a: 1\n---\nb: 2\n", DV_EFORMAT, "f:2:1: a second document; a file has one");
    refuse("---\n---\na: 1\n", DV_EFORMAT, "f:2:1: a second document; a file has one");
    refuse("[a]: b\n", DV_EFORMAT, "f:1:1: a key that is no word");
    refuse("? {a: b}\n: c\n", DV_EFORMAT, "f:1:3: a key that is no word");
    refuse("'': b\n", DV_EFORMAT, "f:1:1: a key that is no word of up to 64 bytes");
    refuse("a: 1\nb: 2\na: 3\n", DV_EFORMAT, "f:3:1: 'a' is here for the second time, the first is at 1:1");
    refuse("- {a: 1, 'a': 2}\n", DV_EFORMAT, "f:1:10: 'a' is here for the second time, the first is at 1:4");
    refuse("a: |\n  x\n  y\n", DV_EFORMAT, "f:1:4: a value with a line end or another control character");
    refuse("a: \"\\0\"\n", DV_EFORMAT, "f:1:4: a value with a line end or another control character");
    refuse("a: \"\\e[0m\"\n", DV_EFORMAT, "f:1:4: a value with a line end or another control character");
    refuse("a: \"\\u202e\"\n", DV_EFORMAT, "f:1:4: a value with a line end or another control character");
    refuse("a: \xe2\x80\xae"
           "x\n",
           DV_EFORMAT, "f:1:4: a value with a line end or another control character");
}

static void what_is_no_yaml(void **state)
{
    refuse("a: [1\n", DV_EFORMAT,
           "f:2:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence that begins at 1:4");
    refuse("a: b: c\n", DV_EFORMAT, "f:1:5: not YAML: mapping values are not allowed in this context");
    refuse("a:\n\tb: 1\n", DV_EFORMAT, "f:2:1: a tab; lines are indented with blanks");
    refuse("\xef\xbb\xbf\xc3\xa9:\n  \xc3\xa9: 1\n  \tb: 1\n", DV_EFORMAT,
           "f:3:3: a tab; lines are indented with blanks");
    refuse(
        "a: @x\n", DV_EFORMAT,
        "f:1:4: not YAML: found character that cannot start any token, while scanning for the next token that begins at 1:4");
    refuse("a: 'x\n", DV_EFORMAT,
           "f:2:1: not YAML: found unexpected end of stream, while scanning a quoted scalar that begins at 1:4");
    refuse("a: 1\n b: 2\n", DV_EFORMAT, "f:2:3: not YAML: mapping values are not allowed in this context");
    refuse("a: 1\nb: \xff\n", DV_EFORMAT, "f:2:4: not UTF-8 text, or a control character");
    refuse("a: \xc3\xa9\xc3\xa9 \xed\xa0\x80\n", DV_EFORMAT, "f:1:7: not UTF-8 text, or a control character");
    refuse("a: \x01\n", DV_EFORMAT, "f:1:4: not UTF-8 text, or a control character");
    refuse_n("a: 1\n\0", 6, DV_EFORMAT, "f:2:1: not UTF-8 text, or a control character");
    refuse_n("\xff\xfe"
             "a\0:\0 \0b\0",
             10, DV_EFORMAT, "f:1:1: not UTF-8 text, or a control character");
    refuse("%TAG ! tag:x\na: 1\n", DV_EFORMAT, "f:2:1: not YAML: did not find expected <document start>");
}

/* text repeated n times between head and tail */
static char *repeat(const char *head, const char *text, size_t n, const char *tail)
{
    size_t len = strlen(text);
    char *all = malloc(strlen(head) + n * len + strlen(tail) + 1), *at;
    assert_non_null(all);
    at = stpcpy(all, head);
    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, text);
    strcpy(at, tail);
    return all;
}

static void refuse_taken(char *text, int code, const char *says)
{
    refuse(text, code, says);
    free(text);
}

static void bounds(void **state)
{
    refuse_taken(repeat("", "[", DV__YAML_DEPTH + 1, ""), DV_ELIMIT, "f:1:13: nested more than 12 deep");
    refuse_taken(repeat("", "[", 500000, ""), DV_ELIMIT, "f:1:13: nested more than 12 deep");
    refuse_taken(repeat("", "{a: ", 100000, ""), DV_ELIMIT, "f:1:49: nested more than 12 deep");
    refuse_taken(repeat("", "- ", 100000, ""), DV_ELIMIT, "f:1:25: nested more than 12 deep");
    refuse_taken(repeat("", "? ", 100000, ""), DV_EFORMAT, "f:1:3: a key that is no word");
    refuse_taken(repeat("a: ", "x", DV__YAML_SCALAR + 1, "\n"), DV_ELIMIT, "f:1:4: a value of more than 4096 bytes");
    refuse_taken(repeat("a: ", "x", 1000000, "\n"), DV_ELIMIT, "f:1:4: a value of more than 4096 bytes");
    refuse_taken(repeat("a: '", "x ", 500000, "'\n"), DV_ELIMIT, "f:1:4: a value of more than 4096 bytes");
    refuse_taken(repeat("", "k", DV__YAML_KEY + 1, ": 1\n"), DV_EFORMAT,
                 "f:1:1: a key that is no word of up to 64 bytes");
    refuse_taken(repeat("", "- x\n", DV__YAML_NODES, ""), DV_ELIMIT, "f:65536:3: more than 65536 values");
    char keys[32 * (DV__YAML_KEYS + 1)], *at = keys;
    for (int i = 0; i <= DV__YAML_KEYS; i++)
        at += sprintf(at, "k%d: v\n", i);
    refuse(keys, DV_ELIMIT, "f:1025:1: more than 1024 keys in one place");

    /* As much as may be is taken. */
    char *text = repeat("a: ", "x", DV__YAML_SCALAR, "\n");
    dv_err err = {0};
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(parse(text, strlen(text), &b, &err), 0);
    free(text);
    text = repeat("", "[", DV__YAML_DEPTH, "]]]]]]]]]]]]");
    assert_int_equal(parse(text, strlen(text), &b, &err), 0);
    free(text);
    dv_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees),
        cmocka_unit_test(what_is_not_taken),
        cmocka_unit_test(what_is_no_yaml),
        cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
