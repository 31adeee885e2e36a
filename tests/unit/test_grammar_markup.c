/* SPDX-License-Identifier: MIT */
/* Tokens that are text and markup of chats at once: where a grammar lets them stand. */
#include "grammar/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { END = 256, CALL, MARK, MORE, TEXT, N, WORDS = (N + 31) / 32 };

static dv_grammar_vocab *vocab;

/* Single bytes, an end, a control token, two markup tokens, and ordinary text that looks like one. */
static int open_vocab(void **state)
{
    static char byte[256];
    dv_grammar_token token[N] = {0};
    for (int i = 0; i < 256; i++) {
        byte[i] = (char)i;
        token[i] = (dv_grammar_token){.p = &byte[i], .n = 1};
    }
    token[END] = (dv_grammar_token){.p = "<end>", .n = 5, .special = true, .end = true};
    token[CALL] = (dv_grammar_token){.p = "<call>", .n = 6, .special = true};
    token[MARK] = (dv_grammar_token){.p = "<mark>", .n = 6, .markup = true};
    token[MORE] = (dv_grammar_token){.p = "<more>", .n = 6, .markup = true};
    token[TEXT] = (dv_grammar_token){.p = "<text>", .n = 6};
    return dv_grammar_vocab_open(&vocab, token, N, NULL);
}

static int close_vocab(void **state)
{
    dv_grammar_vocab_unref(&vocab);
    return 0;
}

/* Behind the bytes of `before` exactly those of MARK, MORE and TEXT may come that are named ("M", "O", "T"); and trying says the same. */
static void allowed_of(dv_grammar_state *s, const char *before, const char *want)
{
    static const struct {
        int id;
        char name;
    } rows[] = {{MARK, 'M'}, {MORE, 'O'}, {TEXT, 'T'}, {CALL, 'C'}};
    uint32_t mask[WORDS];
    char got[8] = "";
    size_t n = 0;
    assert_int_equal(dv_grammar_state_mask(s, mask, NULL), 0);
    for (int i = 0; i < N; i++) {
        dv_grammar_state copy;
        dv_grammar_state_copy(&copy, s);
        const bool bit = mask[i / 32] >> i % 32 & 1;
        if ((dv_grammar_state_accept(&copy, i, NULL) == 0) != bit)
            fail_msg("token %d behind '%s': mask %d", i, before, bit);
        dv_grammar_state_fini(&copy);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (mask[rows[i].id / 32] >> rows[i].id % 32 & 1)
            got[n++] = rows[i].name;
    if (strcmp(got, want) != 0)
        fail_msg("behind '%s': %s, not %s", before, got, want);
}

static void allowed(dv_grammar *g, const char *before, const char *want)
{
    dv_grammar_state s;
    assert_int_equal(dv_grammar_state_init(&s, g, vocab, NULL), 0);
    assert_int_equal(dv_grammar_state_accept_bytes(&s, before, strlen(before), NULL), 0);
    allowed_of(&s, before, want);
    dv_grammar_state_fini(&s);
}

/* What may come once a token was taken. */
static void allowed_behind(dv_grammar *g, int id, const char *want, const char *then, bool goes)
{
    dv_grammar_state s;
    assert_int_equal(dv_grammar_state_init(&s, g, vocab, NULL), 0);
    assert_int_equal(dv_grammar_state_accept(&s, id, NULL), 0);
    allowed_of(&s, "a token", want);
    assert_int_equal(dv_grammar_state_accept_bytes(&s, then, strlen(then), NULL) == 0, goes);
    dv_grammar_state_fini(&s);
}

static dv_grammar *gbnf(const char *text)
{
    dv_grammar *g;
    dv_err err = {0};
    if (dv_grammar_from_gbnf(&g, text, strlen(text), NULL, &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    return g;
}

static dv_grammar *schema(const char *text)
{
    dv_grammar *g;
    dv_err err = {0};
    json_t *j = json_loads(text, 0, NULL);
    if (dv_grammar_from_schema(&g, j, NULL, NULL, &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    json_decref(j);
    return g;
}

static void strings_of_schemas_have_none(void **state)
{
    dv_grammar *g = schema("{\"type\":\"string\"}");
    allowed(g, "\"", "T");
    allowed(g, "\"ab", "T");
    dv_grammar_unref(&g);
    g = schema("{\"type\":\"string\",\"maxLength\":9}");
    allowed(g, "\"ab", "T");
    dv_grammar_unref(&g);
    g = schema(
        "{\"type\":\"object\",\"additionalProperties\":true,\"properties\":{\"<x\":{}}}"); /* keys but that one */
    allowed(g, "{\"", "T");
    dv_grammar_unref(&g);
    assert_int_equal(dv_grammar_json_object(&g, NULL, NULL, NULL), 0);
    allowed(g, "{\"", "T");
    allowed(g, "{\"a\":[", "");
    dv_grammar_unref(&g);
}

static void what_is_spelled_out_has(void **state)
{
    dv_grammar *g = schema("{\"enum\":[\"<mark>\",\"a<more>b\"]}");
    allowed(g, "\"", "M");
    allowed(g, "\"a", "O");
    dv_grammar_unref(&g);
    g = gbnf("root ::= \"<mark>\" [a-z<>]*");
    allowed(g, "", "M");
    allowed(g, "<mark>", "T");
    allowed_behind(g, MARK, "T", "a", true);
    dv_grammar_unref(&g);
    g = gbnf(
        "root ::= [a-z<>]+ | \"<mark>x\""); /* the class alone is not enough, and what follows is what was spelled out */
    allowed(g, "", "MT");
    allowed_behind(g, MARK, "T", "x", true);
    dv_grammar_unref(&g);
    g = gbnf("root ::= \"<\" m [>]\nm ::= \"mark\" | \"mo\" \"re\""); /* in pieces, and in several rules */
    allowed(g, "", "MO");
    dv_grammar_unref(&g);
    g = gbnf("root ::= \"<mark>\" | \"<markup>\"");
    allowed(g, "", "M");
    allowed_behind(g, MARK, "", "x", false);
    dv_grammar_unref(&g);
    g = gbnf("root ::= [<] \"mar\" [j-l] \">\""); /* one of three letters is no spelling */
    allowed(g, "", "");
    dv_grammar_unref(&g);
}

static void named_tokens(void **state)
{
    dv_grammar *g = gbnf("root ::= <mark> \"a\" | <more> \"b\"");
    allowed(g, "", "MO");
    allowed_behind(g, MORE, "", "b", true);
    allowed_behind(g, MORE, "", "a", false);
    dv_grammar_unref(&g);
    g = gbnf("root ::= !<mark>");
    allowed(g, "", "OT");
    dv_grammar_unref(&g);
    g = gbnf("root ::= !<call>");
    allowed(g, "", "MOT");
    dv_grammar_unref(&g);
    dv_grammar_builder *b;
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_special(b, "<mark>", 6), NULL), 0);
    allowed(g, "", "M");
    allowed(g, "<m", "");
    dv_grammar_unref(&g);
    dv_grammar_builder_close(&b);
}

static void free_text_has(void **state)
{
    dv_grammar_builder *b;
    dv_grammar *g;
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_text(b, NULL, 0, true), NULL), 0);
    allowed(g, "", "MOT");
    allowed(g, "ab<", "MOT");
    dv_grammar_unref(&g);
    /* Up to a trigger that is one itself. */
    dv_grammar_trigger t = {.text = "<mark>", .n = 6, .special = true, .then = dv_gx_literal(b, "!", 1)};
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_text(b, &t, 1, false), NULL), 0);
    allowed(g, "a<m", "MOT");
    allowed(g, "a<mark>", "");
    allowed_behind(g, MORE, "MOT", "<mark>!", true);
    allowed_behind(g, MARK, "", "!", true);
    allowed_behind(g, MARK, "", "a", false);
    dv_grammar_unref(&g);
    /* Up to one that is in some of them, one that is a control token, and both at once. */
    dv_grammar_trigger two[] = {{.text = "or", .n = 2, .then = t.then},
                                {.text = "<call>", .n = 6, .special = true, .then = t.then}};
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_text(b, two, 2, true), NULL), 0);
    allowed(g, "a", "MTC");
    dv_grammar_unref(&g);
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_text(b, two + 1, 1, true), NULL), 0);
    allowed(g, "a", "MOTC");
    dv_grammar_unref(&g);
    dv_grammar_builder_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_of_schemas_have_none),
        cmocka_unit_test(what_is_spelled_out_has),
        cmocka_unit_test(named_tokens),
        cmocka_unit_test(free_text_has),
    };
    return cmocka_run_group_tests(tests, open_vocab, close_vocab);
}
