/* SPDX-License-Identifier: MIT */
/* JSON Schema: which texts are of a schema and which are not, by example and, for numbers and lengths, by trying them all; what is refused and
 * by which name. Random texts of many schemas are validated by another program in tests/peer/schema. */
#include "base/json.h"
#include "base/rng.h"
#include "grammar_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static dv_grammar *compile(const char *schema)
{
    json_error_t bad;
    dv_err err = {0};
    dv_grammar *g = NULL;
    json_t *j = json_loads(schema, JSON_DECODE_ANY, &bad);
    if (j == NULL)
        fail_msg("%s: %s", schema, bad.text);
    if (dv_grammar_from_schema(&g, j, NULL, NULL, &err) != 0)
        fail_msg("%s: %s", schema, err.msg);
    json_decref(j);
    return g;
}

static void check(const char *schema, const char *const *yes, const char *const *no)
{
    dv_grammar *g = compile(schema);
    for (; *yes != NULL; yes++)
        if (!gu_matches(g, *yes, strlen(*yes)))
            fail_msg("%s refuses %s", schema, *yes);
    for (; *no != NULL; no++)
        if (gu_matches(g, *no, strlen(*no)))
            fail_msg("%s accepts %s", schema, *no);
    dv_grammar_unref(&g);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void types_and_constants(void **state)
{
    check("{\"type\":\"boolean\"}", LIST("true", "false"), LIST("True", "1", "", "null"));
    check("{\"type\":[\"null\",\"integer\"]}", LIST("null", "-12", "0"), LIST("1.5", "01", "-0", "true"));
    check("{\"type\":\"number\"}", LIST("0", "-0.5", "1e5", "12.25E-3"), LIST("01", ".5", "1.", "+1", "1e", "NaN"));
    check("{\"type\":\"string\"}", LIST("\"\"", "\"\\n\\u00e9\\ud83d\\ude00\xc3\xa9\"", "\"\\/\""),
          LIST("\"", "\"\n\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\x\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"a\"b"));
    check("{\"enum\":[\"a\\\"b\",1.5,null,[1,{\"x\":2}]]}",
          LIST("\"a\\\"b\"", "1.5", "null", "[1,{\"x\":2}]", "[ 1, {\"x\": 2}]"),
          LIST("\"a\"", "1", "[1]", "[1,{\"x\":3}]"));
    check("{\"enum\":[1,5,\"x\",10],\"type\":\"integer\",\"minimum\":4}", LIST("5", "10"), LIST("1", "\"x\""));
    check("{}", LIST("{}", "[]", "{\"a\":[1,{\"b\":null}]}", "3"), LIST("", "{", "[1,]", "{\"a\":1,}", "{a:1}"));
}

/* Every integer around the bounds, and numbers that are written another way. */
static void integer_ranges_are_exact(void **state)
{
    static const int bounds[][2] = {{0, 0},    {0, 9},     {5, 120}, {-7, 3},     {-120, -99}, {99, 101},
                                    {-1, 110}, {-110, -1}, {17, 17}, {-130, 130}, {100, 109},  {10, 99}};
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++) {
        char text[128];
        snprintf(text, sizeof text, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", bounds[k][0], bounds[k][1]);
        dv_grammar *g = compile(text);
        for (int v = -140; v <= 140; v++) {
            const int n = snprintf(text, sizeof text, "%d", v);
            assert_int_equal(gu_matches(g, text, (size_t)n), v >= bounds[k][0] && v <= bounds[k][1]);
        }
        assert_false(gu_matches(g, "00", 2));
        assert_false(gu_matches(g, "-0", 2));
        dv_grammar_unref(&g);
    }
    check("{\"type\":\"integer\",\"exclusiveMinimum\":2.5,\"exclusiveMaximum\":5}", LIST("3", "4"), LIST("2", "5"));
    check("{\"type\":\"integer\",\"minimum\":-9007199254740991}", LIST("-9007199254740991", "5"),
          LIST("-9007199254740992"));
}

static void number_ranges_are_exact(void **state)
{
    dv_grammar_vocab *v = NULL;
    assert_int_equal(gu_byte_vocab(&v), 0);
    static const double bounds[][2] = {{0, 1},      {-1, 1},     {0.5, 0.75}, {-0.25, 0.125}, {1.5, 1.5},
                                       {9.9, 10.1}, {-2.05, -1}, {-1, 0},     {0.05, 0.06}};
    for (int k = 0; k < (int)(4 * sizeof bounds / sizeof *bounds); k++) {
        const double lo = bounds[k / 4][0], hi = bounds[k / 4][1];
        const bool open_lo = k & 1, open_hi = k & 2;
        char text[160];
        if (lo >= hi && (open_lo || open_hi))
            continue;
        snprintf(text, sizeof text, "{\"type\":\"number\",\"%s\":%g,\"%s\":%g}",
                 open_lo ? "exclusiveMinimum" : "minimum", lo, open_hi ? "exclusiveMaximum" : "maximum", hi);
        dv_grammar *g = compile(text);
        for (int m = -2200; m <= 10400; m++) {
            const int n = snprintf(text, sizeof text, "%s%d.%03d", m < 0 ? "-" : "", abs(m) / 1000, abs(m) % 1000);
            const double d = strtod(text, NULL);
            const bool want = (open_lo ? d > lo : d >= lo) && (open_hi ? d < hi : d <= hi);
            if (gu_matches_of(v, g, text, (size_t)n) != want)
                fail_msg("%s in %d: %g..%g: %d", text, k, lo, hi, want);
        }
        dv_grammar_unref(&g);
    }
    dv_grammar_vocab_unref(&v);
}

static void lengths_count_characters(void **state)
{
    static const char *const units[] = {"a",   "\xc3\xa9", "\xf0\x9f\x98\x80", "\\n", "\\u0041", "\\ud83d\\ude00",
                                        "\\\""};
    dv_grammar *g = compile("{\"type\":\"string\",\"minLength\":2,\"maxLength\":4}");
    dv_rng rng;
    dv_rng_seed(&rng, 5);
    for (int n = 0; n <= 6; n++)
        for (int k = 0; k < 50; k++) {
            char text[128] = "\"";
            for (int i = 0; i < n; i++)
                strcat(text, units[dv_rng_below(&rng, 7)]);
            strcat(text, "\"");
            assert_int_equal(gu_matches(g, text, strlen(text)), n >= 2 && n <= 4);
        }
    dv_grammar_unref(&g);
    check("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":2,\"maxItems\":3}",
          LIST("[1,2]", "[10, 2,3]", "[ 1,2 ]"), LIST("[]", "[1]", "[1,2,3,4]", "[1,2,]"));
    check("{\"type\":\"array\",\"maxItems\":0}", LIST("[]", "[ ]"), LIST("[1]"));
    check(
        "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},\"maxItems\":3}",
        LIST("[\"a\",1]", "[\"a\",1,null]"), LIST("[\"a\"]", "[1,\"a\"]", "[\"a\",1,null,null]"));
}

static void objects(void **state)
{
    check(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"boolean\"}},\"required\":[\"b\"]}",
        LIST("{\"b\":null}", "{\"a\":1,\"b\":null}", "{\"b\":null,\"c\":true}",
             "{ \"a\": 1, \"b\": null, \"c\": false }"),
        LIST("{}", "{\"a\":1}", "{\"b\":null,\"a\":1}", "{\"b\":null,\"b\":null}", "{\"b\":null,\"d\":1}",
             "{\"b\":null,}"));
    check("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
          LIST("{}", "{\"x\":1}", "{\"x\":1,\"y\":2,\"\":3}"),
          LIST("{\"x\":\"\"}", "{\"x\":1,\"x\":2}", "{\"x\":1,\"y\":2,\"x\":3}"));
    check("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"additionalProperties\":true}",
          LIST("{}", "{\"a\":1,\"ab\":[]}", "{\"b\":{\"a\":1}}"),
          LIST("{\"a\":\"\"}", "{\"b\":1,\"a\":1}", "{\"a\":1,\"a\":1}", "{\"b\":1,\"b\":1}"));
    check(
        "{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"string\"}}",
        LIST("{\"x-a\":1,\"y\":\"\"}"), LIST("{\"x-a\":\"\"}", "{\"y\":1}"));
    check(
        "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1,\"maxProperties\":2}",
        LIST("{\"a\":1}", "{\"a\":1,\"b\":2}"), LIST("{}", "{\"a\":1,\"b\":2,\"c\":3}"));
    check(
        "{\"type\":\"object\",\"propertyNames\":{\"enum\":[\"a\",\"b\"]},\"additionalProperties\":{\"type\":\"integer\"}}",
        LIST("{}", "{\"a\":1,\"b\":2}"), LIST("{\"c\":1}"));
    check("{\"required\":[\"k\"],\"properties\":{\"k\":false,\"j\":true},\"type\":[\"object\",\"null\"]}", LIST("null"),
          LIST("{}", "{\"k\":1}"));
}

static void refused(const char *schema, const char *part)
{
    json_error_t bad;
    dv_err err = {0};
    dv_grammar *g;
    json_t *j = json_loads(schema, JSON_DECODE_ANY, &bad);
    assert_non_null(j);
    const int rc = dv_grammar_from_schema(&g, j, NULL, NULL, &err);
    if (rc == 0 || strstr(err.msg, part) == NULL)
        fail_msg("%s: %d '%s' does not say '%s'", schema, rc, err.msg, part);
    json_decref(j);
}

/* All objects of some of four properties and up to two other keys, against all limits. */
static void properties_are_counted(void **state)
{
    static const char *const required[] = {"[]", "[\"c\"]", "[\"a\",\"d\"]"};
    static const unsigned needed[] = {0, 4, 9};
    for (unsigned i = 0; i < 3 * 2 * 7 * 7; i++) {
        const unsigned min = i % 7, max = i / 7 % 7, open = i / 49 % 2, r = i / 98;
        char schema[256], text[128];
        snprintf(
            schema, sizeof schema,
            "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":1},\"c\":{\"const\":1},\"d\":{\"const\":1}},"
            "\"required\":%s,\"additionalProperties\":%s,\"minProperties\":%u,\"maxProperties\":%u}",
            required[r], open ? "{\"const\":1}" : "false", min, max);
        const unsigned n_needed = (unsigned)__builtin_popcount(needed[r]);
        if (min > max || n_needed > max || (!open && min > 4)) {
            refused(schema, min > max || n_needed > max ? "'maxProperties'" : "'minProperties'");
            continue;
        }
        dv_grammar *g = compile(schema);
        for (unsigned set = 0; set < 16; set++)
            for (unsigned more = 0; more <= 2; more++) {
                size_t n = 0;
                text[n++] = '{';
                for (unsigned k = 0; k < 4; k++)
                    if (set >> k & 1)
                        n += (size_t)snprintf(text + n, sizeof text - n, "%s\"%c\":1", n > 1 ? "," : "", 'a' + (int)k);
                for (unsigned k = 0; k < more; k++)
                    n += (size_t)snprintf(text + n, sizeof text - n, "%s\"x%u\":1", n > 1 ? "," : "", k);
                text[n++] = '}';
                const unsigned count = (unsigned)__builtin_popcount(set) + more;
                const bool good = (set & needed[r]) == needed[r] && (open || more == 0) && count >= min && count <= max;
                if (gu_matches(g, text, n) != good)
                    fail_msg("%s: %.*s", schema, (int)n, text);
            }
        dv_grammar_unref(&g);
    }
    /* One that can never be there does not count. */
    check(
        "{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":{\"const\":1},\"c\":{\"const\":1}},\"minProperties\":2}",
        LIST("{\"b\":1,\"c\":1}"), LIST("{}", "{\"b\":1}", "{\"c\":1}", "{\"a\":1,\"b\":1}"));
    refused(
        "{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":true},\"minProperties\":2,\"additionalProperties\":false}",
        "");
    /* What would be too much to count. */
    refused("{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":true,\"maxProperties\":65}",
            "'maxProperties'");
    refused("{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":true,\"minProperties\":65}",
            "'minProperties'");
    dv_buf many = {0};
    dv_buf_adds(&many, "{\"type\":\"object\",\"maxProperties\":32,\"properties\":{");
    for (int i = 0; i < 33; i++)
        dv_buf_printf(&many, "%s\"p%d\":true", i > 0 ? "," : "", i);
    dv_buf_adds(&many, "}}");
    refused(dv_buf_str(&many), "'maxProperties'");
    dv_buf_fini(&many);
}

/* In an open object no key comes twice, also where one token has the end of a key and more. */
static void keys_are_unique_across_tokens(void **state)
{
    static const char *const spelled[] = {"{\"", "ab", "\":1", ",\"", "\":1,\"", "ab\":1", "\":1,\"ab\":1}",
                                          "c",   "}",  "\":1}"};
    enum { N = sizeof spelled / sizeof *spelled + 1 };
    dv_grammar_token token[N] = {0};
    dv_grammar_vocab *v;
    dv_grammar_state s;
    dv_grammar *g = compile("{\"type\":\"object\",\"additionalProperties\":{\"const\":1}}");
    uint32_t mask;
    for (int i = 0; i < N - 1; i++)
        token[i] = (dv_grammar_token){.p = spelled[i], .n = strlen(spelled[i])};
    token[N - 1] = (dv_grammar_token){.p = "</s>", .n = 4, .special = true, .end = true};
    assert_int_equal(dv_grammar_vocab_open(&v, token, N, NULL), 0);
    assert_int_equal(dv_grammar_state_init(&s, g, v, NULL), 0);
    static const int first[] = {0, 1};
    for (int i = 0; i < 2; i++)
        assert_int_equal(dv_grammar_state_accept(&s, first[i], NULL), 0);
    assert_int_equal(dv_grammar_state_mask(&s, &mask, NULL), 0);
    assert_true(mask & 1u << 4);
    assert_false(mask & 1u << 6); /* ab, and again ab */
    assert_int_equal(dv_grammar_state_accept(&s, 6, NULL), DV_EINVAL);
    assert_int_equal(dv_grammar_state_accept(&s, 4, NULL), 0);
    assert_int_equal(dv_grammar_state_accept(&s, 1, NULL), 0);
    assert_int_equal(dv_grammar_state_mask(&s, &mask, NULL), 0);
    assert_int_equal(mask, 0x1ab); /* all that goes on with the key, and not what ends it */
    assert_int_equal(dv_grammar_state_accept(&s, 7, NULL), 0);
    assert_int_equal(dv_grammar_state_mask(&s, &mask, NULL), 0);
    assert_true(mask & 1u << 9);
    dv_grammar_state_fini(&s);
    dv_grammar_unref(&g);
    dv_grammar_vocab_unref(&v);
}

static void combinations_and_references(void **state)
{
    check("{\"anyOf\":[{\"type\":\"string\",\"maxLength\":1},{\"type\":\"null\"}]}", LIST("\"a\"", "null"),
          LIST("\"ab\"", "1"));
    check("{\"oneOf\":[{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":7}]}", LIST("3", "7"),
          LIST("5"));
    check(
        "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"minimum\":5}}}],\"type\":\"object\"}",
        LIST("{\"a\":5}"), LIST("{}", "{\"a\":4}"));
    check(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
        LIST("{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"), LIST("{}"));
    check(
        "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"}}},\"required\":[\"k\"]}}}",
        LIST("{\"k\":[]}", "{\"k\":[{\"k\":[{\"k\":[]}]},{\"k\":[]}]}"), LIST("{}", "{\"k\":[{}]}"));
    check("{\"type\":\"string\",\"nullable\":true}", LIST("null", "\"\""), LIST("1"));
}

static void patterns_and_formats(void **state)
{
    check("{\"type\":\"string\",\"pattern\":\"b+\"}", LIST("\"b\"", "\"abbc\"", "\"\\n\\\"b\""),
          LIST("\"\"", "\"a\"", "\"b"));
    check("{\"type\":\"string\",\"pattern\":\"^a|b$\"}", LIST("\"ax\"", "\"xb\""), LIST("\"xa\"", "\"bx\""));
    check("{\"type\":\"string\",\"pattern\":\"^[^\\\"a]{1,2}$\",\"minLength\":2}", LIST("\"bb\"", "\"\\\\\\n\""),
          LIST("\"b\"", "\"\\\"b\"", "\"ab\""));
    check("{\"type\":\"string\",\"format\":\"date\"}", LIST("\"2024-02-29\"", "\"2000-02-29\"", "\"2023-12-31\""),
          LIST("\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\""));
    check("{\"type\":\"string\",\"format\":\"uuid\"}", LIST("\"123e4567-e89b-12d3-a456-426614174000\""),
          LIST("\"123e4567\""));
}

static void what_cannot_be_enforced_is_refused_by_name(void **state)
{
    static const char *const keys[] = {
        "not", "if", "contains", "dependentRequired", "dependentSchemas", "minContains", "frobnicate", "$dynamicRef"};
    char text[200], name[40];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(text, sizeof text, "{\"type\":\"object\",\"properties\":{\"p\":{\"%s\":{}}}}", keys[i]);
        snprintf(name, sizeof name, "schema keyword '%s' at #/properties/p", keys[i]);
        refused(text, name);
    }
    refused("{\"type\":\"array\",\"uniqueItems\":true}", "'uniqueItems'");
    refused("{\"type\":\"number\",\"multipleOf\":0.1}", "'multipleOf'");
    refused("{\"type\":\"string\",\"format\":\"idn-email\"}", "'format'");
    refused("{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "'pattern' at #");
    refused("{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", "back references");
    refused("{\"type\":\"string\",\"pattern\":\"\\\\bx\"}", "\\b");
    refused("{\"type\":\"string\",\"pattern\":\"a(^b)\"}", "anchor");
    refused("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "'oneOf'");
    refused("{\"$ref\":\"http://x/y\"}", "'$ref'");
    refused("{\"$ref\":\"#/nope\"}", "'$ref'");
    refused("{\"type\":\"wrong\"}", "'type'");
    refused("{\"type\":\"string\",\"minLength\":-1}", "'minLength'");
    refused("{\"minimum\":\"a\",\"type\":\"number\"}", "'minimum'");
    refused("{\"enum\":[]}", "'enum'");
    refused("{\"enum\":[\"a\"],\"type\":\"integer\"}", "'enum'");
    refused("{\"allOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "");
    refused("{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "nothing matches");
    refused("{\"required\":[\"z\"],\"properties\":{},\"additionalProperties\":false}", "'required'");
    refused("{\"type\":\"string\",\"pattern\":\"^a{5}$\",\"maxLength\":3}", "'pattern'");
    refused("false", "nothing matches");
    refused("3", "object or a boolean");
}

static void hostile_schemas_end_in_an_error(void **state)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    refused("{\"$ref\":\"#\"}", "nothing matches");
    refused("{\"allOf\":[{\"$ref\":\"#\"}]}", "");
    refused(
        "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"allOf\":[{\"$ref\":\"#/$defs/a\"}]}}}",
        "");
    refused("{\"type\":\"string\",\"pattern\":\"^(([a-z]{1,1000}){1,1000}){1,1000}$\"}", "");
    refused("{\"type\":\"string\",\"pattern\":\"(x+x+)+y.{0,60}[ab].{60}$\"}", "");
    for (int i = 0; i < 400; i++)
        dv_buf_adds(&b, "{\"items\":");
    dv_buf_adds(&b, "{}");
    for (int i = 0; i < 400; i++)
        dv_buf_adds(&b, "}");
    refused(b.data, "nested");
    dv_buf_clear(&b);
    dv_buf_adds(&b, "{\"enum\":[\"x\"");
    while (b.len < 1200000)
        dv_buf_printf(&b, ",\"value number %zu\"", b.len);
    dv_buf_adds(&b, "]}");
    refused(b.data, "bytes");
    dv_buf_fini(&b);
    check("{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":100000}", LIST("[]", "[null]"), LIST("[1]"));
}

static void tool_calls_by_the_builder(void **state)
{
    dv_grammar_builder *b;
    dv_grammar *g;
    dv_err err = {0};
    json_t *args =
        json_loads("{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"integer\"}},\"required\":[\"q\"]}", 0, NULL);
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    dv_gx call = dv_gx_seq(b,
                           (dv_gx[]){dv_gx_literal(b, "{\"name\":\"f\",\"arguments\":", 24),
                                     dv_gx_schema(b, args, NULL), dv_gx_literal(b, "}</call>", 8)},
                           3);
    dv_grammar_trigger t = {.text = "<call>", .n = 6, .special = true, .then = call};
    dv_gx root = dv_gx_seq(
        b,
        (dv_gx[]){dv_gx_repeat(b, dv_gx_text(b, &t, 1, false), 0, DV_GRAMMAR_UNBOUNDED), dv_gx_text(b, NULL, 0, true)},
        2);
    assert_int_equal(dv_grammar_build(&g, b, root, &err), 0);
    dv_grammar_builder_close(&b);
    dv_grammar_vocab *v = NULL;
    dv_grammar_state s;
    uint32_t mask[GU_WORDS];
    assert_int_equal(gu_byte_vocab(&v), 0);
    assert_int_equal(dv_grammar_state_init(&s, g, v, NULL), 0);
    assert_int_equal(dv_grammar_state_accept_bytes(&s, "hi <cal", 7, NULL), 0);
    assert_int_equal(dv_grammar_state_accept(&s, GU_CALL, NULL), 0);
    dv_buf forced;
    dv_buf_init(&forced, 0);
    assert_int_equal(dv_grammar_state_mask(&s, mask, NULL), 0);
    dv_grammar_state_fini(&s);
    dv_buf_fini(&forced);
    dv_grammar_unref(&g);
    /* Strict: with no free text behind, a call is exactly what the schema says. */
    assert_int_equal(dv_grammar_builder_open(&b, NULL, NULL), 0);
    dv_gx one = dv_gx_seq(b,
                          (dv_gx[]){dv_gx_special(b, "<call>", 6), dv_gx_literal(b, "{\"arguments\":", 13),
                                    dv_gx_schema(b, args, NULL), dv_gx_literal(b, "}", 1)},
                          4);
    assert_int_equal(dv_grammar_build(&g, b, dv_gx_repeat(b, one, 1, 2), &err), 0);
    dv_grammar_builder_close(&b);
    assert_int_equal(dv_grammar_state_init(&s, g, v, NULL), 0);
    assert_int_equal(dv_grammar_state_mask(&s, mask, NULL), 0);
    assert_true(mask[GU_CALL / 32] >> GU_CALL % 32 & 1);
    assert_int_equal(dv_grammar_state_accept(&s, GU_CALL, NULL), 0);
    assert_int_equal(dv_grammar_state_forced(&s, 100, &forced, NULL), 0);
    assert_string_equal(dv_buf_str(&forced), "{\"arguments\":{");
    assert_int_equal(dv_grammar_state_accept_bytes(&s, "{\"arguments\":{\"q\":7}}", 21, NULL), 0);
    assert_true(dv_grammar_state_can_end(&s));
    assert_int_equal(dv_grammar_state_accept(&s, GU_END, NULL), 0);
    assert_true(dv_grammar_state_is_done(&s));
    dv_grammar_state_fini(&s);
    dv_buf_fini(&forced);
    dv_grammar_unref(&g);
    dv_grammar_vocab_unref(&v);
    json_decref(args);
}

/* A machine with hardly any room starts again and again, and the masks stay the same. */
static void masks_survive_a_full_cache(void **state)
{
    static const char text[] = "{\"k\":[1,{\"abc\":\"x\\ny\",\"d\":null}],\"e\":-1.5e3,\"f\":[[],{}]}";
    const dv_grammar_limits small = {.max_cache = 150000};
    dv_grammar *g[2];
    dv_grammar_vocab *v = NULL;
    dv_grammar_state s[2];
    assert_int_equal(gu_byte_vocab(&v), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dv_grammar_json_object(&g[i], NULL, i == 0 ? NULL : &small, NULL), 0);
        assert_int_equal(dv_grammar_state_init(&s[i], g[i], v, NULL), 0);
    }
    for (const char *p = text; *p != 0; p++) {
        uint32_t mask[2][GU_WORDS];
        for (int i = 0; i < 2; i++) {
            assert_int_equal(dv_grammar_state_mask(&s[i], mask[i], NULL), 0);
            assert_int_equal(dv_grammar_state_accept(&s[i], (unsigned char)*p, NULL), 0);
        }
        assert_memory_equal(mask[0], mask[1], sizeof mask[0]);
    }
    assert_true(dv_grammar_state_can_end(&s[1]));
    for (int i = 0; i < 2; i++) {
        dv_grammar_state_fini(&s[i]);
        dv_grammar_unref(&g[i]);
    }
    dv_grammar_vocab_unref(&v);
}

static void the_cache_gives_the_same_grammar(void **state)
{
    dv_grammar_cache *c;
    dv_grammar *g[4];
    json_t *j = json_pack("{s:s}", "type", "integer");
    const size_t used = dv_mem_used(DV_MEM_GRAMMAR);
    assert_int_equal(dv_grammar_cache_open(&c, 2, NULL, NULL), 0);
    assert_int_equal(dv_grammar_cache_schema(c, &g[0], j, NULL, NULL), 0);
    assert_int_equal(dv_grammar_cache_schema(c, &g[1], j, NULL, NULL), 0);
    assert_ptr_equal(g[0], g[1]);
    assert_int_equal(dv_grammar_cache_gbnf(c, &g[2], "root ::= \"a\"", 12, NULL), 0);
    assert_int_equal(dv_grammar_cache_put(c, "k", 1, g[2], NULL), 0); /* the schema goes */
    assert_int_equal(dv_grammar_cache_get(c, &g[3], "k", 1), 0);
    assert_ptr_equal(g[3], g[2]);
    dv_grammar_unref(&g[1]);
    assert_int_equal(dv_grammar_cache_schema(c, &g[1], j, NULL, NULL), 0);
    assert_ptr_not_equal(g[1], g[0]);
    dv_err err = {0};
    dv_grammar *bad;
    assert_int_equal(dv_grammar_cache_gbnf(c, &bad, "x", 1, &err), DV_EFORMAT);
    for (int i = 0; i < 4; i++)
        dv_grammar_unref(&g[i]);
    dv_grammar_cache_close(&c);
    json_decref(j);
    assert_int_equal(dv_mem_used(DV_MEM_GRAMMAR), used);
}

int main(void)
{
    dv_json_use_mem(); /* so that its allocations fail in turn, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_and_constants),
        cmocka_unit_test(integer_ranges_are_exact),
        cmocka_unit_test(number_ranges_are_exact),
        cmocka_unit_test(lengths_count_characters),
        cmocka_unit_test(objects),
        cmocka_unit_test(properties_are_counted),
        cmocka_unit_test(keys_are_unique_across_tokens),
        cmocka_unit_test(combinations_and_references),
        cmocka_unit_test(patterns_and_formats),
        cmocka_unit_test(what_cannot_be_enforced_is_refused_by_name),
        cmocka_unit_test(hostile_schemas_end_in_an_error),
        cmocka_unit_test(tool_calls_by_the_builder),
        cmocka_unit_test(masks_survive_a_full_cache),
        cmocka_unit_test(the_cache_gives_the_same_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
