/* SPDX-License-Identifier: MIT */
/* The checker of bodies and queries on a small table: what is refused, and that the sentence names it. */
#include "base/attr.h"
#include "base/json.h"
#include "base/mem.h"
#define dv__field dv__head_field /* private to its folder there too */
#include "http/req.h"
#undef dv__field
#include "serve/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define R "\xef\xbf\xbd"

static const dv__schema part, tree;
static const dv__field part_fields[] = {
    {.name = "type", .types = DV__T_STR, .flags = DV__F_REQUIRED, .words = "text|image"},
    {.name = "text", .types = DV__T_STR, .flags = DV__F_TEXT},
};
static const dv__schema part = {.name = "Part", .fields = part_fields, .n = DV_ARRAY_LEN(part_fields)};
static const dv__field part_item = {.types = DV__T_OBJ, .of = &part};

static const dv__field message_fields[] = {
    {.name = "role", .types = DV__T_STR, .flags = DV__F_REQUIRED},
    {.name = "content",
     .types = DV__T_STR | DV__T_ARR,
     .flags = DV__F_REQUIRED | DV__F_TEXT | DV__F_NULL,
     .max_len = 3,
     .item = &part_item},
    {.name = "schema", .types = DV__T_OBJ, .flags = DV__F_TEXT},
};
static const dv__schema message = {.name = "Message", .fields = message_fields, .n = DV_ARRAY_LEN(message_fields)};
static const dv__field message_item = {.types = DV__T_OBJ, .of = &message};

static const dv__field tree_fields[] = {{.name = "sub", .types = DV__T_OBJ, .of = &tree}};
static const dv__schema tree = {.name = "Tree", .fields = tree_fields, .n = 1};

static const dv__field bias_fields[] = {{.name = "*", .types = DV__T_NUM | DV__T_BOOL, .min = -100, .max = 100}};
static const dv__schema biases = {.name = "Biases", .fields = bias_fields, .n = 1};

static const dv__field stop_item = {.types = DV__T_STR, .flags = DV__F_TEXT, .min_len = 1, .max_len = 8};
static const dv__field base_fields[] = {
    {.name = "model", .types = DV__T_STR, .max_len = 16},
    {.name = "n", .types = DV__T_INT, .min = 1, .max = 128}, /* shadowed */
};
static const dv__schema base = {.name = "Base", .fields = base_fields, .n = DV_ARRAY_LEN(base_fields)};
static const dv__field fields[] = {
    {.name = "messages",
     .types = DV__T_ARR,
     .flags = DV__F_REQUIRED,
     .min_len = 1,
     .max_len = 4,
     .item = &message_item},
    {.name = "temperature", .types = DV__T_NUM, .min = 0, .max = 2},
    {.name = "any_number", .types = DV__T_NUM},
    {.name = "n", .types = DV__T_INT, .min = 1, .max = 8},
    {.name = "seed", .types = DV__T_INT},
    {.name = "stream", .types = DV__T_BOOL},
    {.name = "stop", .types = DV__T_STR | DV__T_ARR, .max_len = 2, .item = &stop_item},
    {.name = "logit_bias", .types = DV__T_OBJ | DV__T_ARR, .max_len = 2, .of = &biases},
    {.name = "bias", .types = DV__T_OBJ, .max_len = 2, .of = &biases},
    {.name = "effort", .types = DV__T_STR, .words = "low|medium|high"},
    {.name = "only", .types = DV__T_STR, .words = "this"},
    {.name = "password", .types = DV__T_STR, .flags = DV__F_SECRET, .min_len = 4, .max_len = 12},
    {.name = "metadata", .types = DV__T_OBJ},
    {.name = "tree", .types = DV__T_OBJ, .of = &tree},
};
static const dv__schema schema = {.name = "Request", .fields = fields, .n = DV_ARRAY_LEN(fields), .base = &base};

static const dv__text_rules refuse = {.max_text = 64}, mend = {.repair = true, .max_text = 64};

static json_t *load(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (v == NULL)
        fail_msg("%s: %s", text, e.text);
    return v;
}

/* The sentence, "" if there is none. */
static const char *said(const char *text, const dv__text_rules *rules, dv__check *out)
{
    static dv_err err;
    json_t *v = load(text);
    err = (dv_err){0};
    int rc = dv__schema_check(&schema, v, rules, out, &err);
    assert_int_equal(rc, err.code);
    json_decref(v);
    return err.msg;
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void accepted(void **state)
{
    static const char *const good[] = {
        "{" M "}",
        "{" M ",\"model\":\"a\",\"temperature\":0,\"n\":1,\"stream\":true,\"effort\":\"low\",\"only\":\"this\"}",
        "{" M ",\"model\":null,\"temperature\":null,\"stop\":null,\"effort\":null,\"tree\":null}",
        "{" M ",\"n\":8.0,\"seed\":9007199254740992,\"temperature\":2}",
        "{" M ",\"seed\":-9007199254740992,\"any_number\":1e308}",
        "{" M ",\"seed\":1e3,\"any_number\":-9223372036854775808}",
        "{" M ",\"stop\":\"a\\n\"}",
        "{" M ",\"stop\":[\"12345678\",\"b\"]}",
        "{" M ",\"stop\":[]}",
        "{" M ",\"logit_bias\":{\"a\":1,\"c\":-100}}",
        "{" M ",\"logit_bias\":[1,[2]]}",
        "{" M ",\"bias\":{\"\":1,\"\xc3\xa9\":true}}",
        "{" M ",\"password\":\"\\u0001\\u001b\\u202e\"}",
        "{" M ",\"metadata\":{\"a\":{\"b\":[1,null,\"x\\ny\",{\"c\":2.5}]}}}",
        "{" M ",\"tree\":{\"sub\":{\"sub\":{\"sub\":{}}}}}",
        "{\"messages\":[{\"role\":\"user\",\"content\":null}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"longer than three\"}]}",
    };
    dv__check out;
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++) {
        assert_string_equal(said(good[i], &refuse, &out), "");
        assert_string_equal(out.param, "");
        assert_false(out.repaired);
    }
}

static const struct refusal {
    const char *body, *says;
} refusals[] = {
    {"[]", "the body must be a JSON object"},
    {"{}", "messages: is needed"},
    {"{\"messages\":null}", "messages: is needed"},
    {"{\"messages\":[]}", "messages: must not be empty"},
    {"{\"messages\":{}}", "messages: must be a list"},
    {"{\"messages\":[null]}", "messages[0]: must be an object"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"b\"},{\"role\":\"a\",\"contnt\":\"b\"}]}",
     "messages[1].contnt: unknown field, did you mean 'content'?"},
    {"{\"messages\":[{\"role\":\"a\"}]}", "messages[0].content: is needed"},
    {"{\"messages\":[{\"role\":null,\"content\":\"\"}]}", "messages[0].role: is needed"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":5}]}", "messages[0].content: must be a string or a list"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":[{\"type\":\"txt\"}]}]}",
     "messages[0].content[0].type: must be one of text, image"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":[{\"type\":\"text\",\"text\":[]}]}]}",
     "messages[0].content[0].text: must be a string"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":[1]}]}", "messages[0].content[0]: must be an object"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":[{},{},{},{}]}]}",
     "messages[0].content: must have at most 3 elements"},
    {"{\"messages\":[1,2,3,4,5]}", "messages: must have at most 4 elements"},
    {"{\"messages\":[{\"role\":\"a\\nb\",\"content\":\"\"}]}", "messages[0].role: has a control character at byte 1"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"b\\u001b\"}]}",
     "messages[0].content: has a control character at byte 1"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"\\u202e\"}]}",
     "messages[0].content: has a character that changes the direction of text at byte 0"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"\","
     "\"schema\":{\"properties\":{\"x\":{\"description\":\"\\udb40\\udc41\"}}}}]}",
     "messages[0].schema.properties.x.description: has a character that hides text at byte 0"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"\",\"schema\":{\"a\\u0007\":1}}]}",
     "messages[0].schema.a\\x07: the field's name has a control character at byte 1"},
    {"{\"messages\":[{\"role\":\"a\",\"content\":\"0123456789012345678901234567890123456789012345678901234567890123x\"}]}",
     "messages[0].content: is longer than 64 bytes"},
    {"{" M ",\"frobnicate\":1}", "frobnicate: unknown field"},
    {"{" M ",\"frobnicate\":null}", "frobnicate: unknown field"},
    {"{" M ",\"temprature\":1}", "temprature: unknown field, did you mean 'temperature'?"},
    {"{" M ",\"modle\":1}", "modle: unknown field, did you mean 'model'?"},
    {"{" M ",\"\":1}", "\"\": unknown field"},
    {"{" M ",\"a\\u001b[31mb\":1}", "a\\x1b[31mb: unknown field"},
    {"{" M ",\"\\u202ex\":1}", "\\xe2\\x80\\xaex: unknown field"},
    {"{" M ",\"*\":1}", "*: unknown field"},
    {"{" M ",\"temperature\":\"1\"}", "temperature: must be a number"},
    {"{" M ",\"temperature\":true}", "temperature: must be a number"},
    {"{" M ",\"temperature\":-0.001}", "temperature: must be a number from 0 to 2"},
    {"{" M ",\"temperature\":2.5}", "temperature: must be a number from 0 to 2"},
    {"{" M ",\"temperature\":1e308}", "temperature: must be a number from 0 to 2"},
    {"{" M ",\"temperature\":9007199254740993}", "temperature: must be a number from 0 to 2"},
    {"{" M ",\"n\":0}", "n: must be a whole number from 1 to 8"},
    {"{" M ",\"n\":9}", "n: must be a whole number from 1 to 8"},
    {"{" M ",\"n\":-1}", "n: must be a whole number from 1 to 8"},
    {"{" M ",\"n\":1.5}", "n: must be a whole number from 1 to 8"},
    {"{" M ",\"n\":\"1\"}", "n: must be a whole number"},
    {"{" M ",\"n\":2147483648}", "n: must be a whole number from 1 to 8"},
    {"{" M ",\"seed\":9007199254740993}", "seed: must be a whole number from -9007199254740992 to 9007199254740992"},
    {"{" M ",\"seed\":-9007199254740993}", "seed: must be a whole number from -9007199254740992 to 9007199254740992"},
    {"{" M ",\"seed\":9223372036854775807}", "seed: must be a whole number from -9007199254740992 to 9007199254740992"},
    {"{" M ",\"seed\":1e308}", "seed: must be a whole number from -9007199254740992 to 9007199254740992"},
    {"{" M ",\"seed\":0.5}", "seed: must be a whole number from -9007199254740992 to 9007199254740992"},
    {"{" M ",\"stream\":1}", "stream: must be true or false"},
    {"{" M ",\"stream\":\"true\"}", "stream: must be true or false"},
    {"{" M ",\"stop\":\"\"}", "stop: must not be empty"},
    {"{" M ",\"stop\":\"123456789\"}", "stop: is longer than 8 bytes"},
    {"{" M ",\"stop\":[\"a\",\"\"]}", "stop[1]: must not be empty"},
    {"{" M ",\"stop\":[\"a\",5]}", "stop[1]: must be a string"},
    {"{" M ",\"stop\":[\"a\",null]}", "stop[1]: must be a string"},
    {"{" M ",\"stop\":[\"a\",\"b\",\"c\"]}", "stop: must have at most 2 elements"},
    {"{" M ",\"stop\":{}}", "stop: must be a string or a list"},
    {"{" M ",\"logit_bias\":{\"7\":101}}", "logit_bias.7: must be a number from -100 to 100"},
    {"{" M ",\"logit_bias\":{\"7\":\"x\"}}", "logit_bias.7: must be a number or true or false"},
    {"{" M ",\"logit_bias\":[1,2,3]}", "logit_bias: must have at most 2 elements"},
    {"{" M ",\"logit_bias\":5}", "logit_bias: must be a list or an object"},
    {"{" M ",\"bias\":{\"a\":1,\"b\":1,\"c\":1}}", "bias: must have at most 2 fields"},
    {"{" M ",\"bias\":{\"\\u0085\":1}}", "bias.\\xc2\\x85: the field's name has a control character at byte 0"},
    {"{" M ",\"effort\":\"LOW\"}", "effort: must be one of low, medium, high"},
    {"{" M ",\"effort\":\"low|medium\"}", "effort: must be one of low, medium, high"},
    {"{" M ",\"effort\":\"\"}", "effort: must be one of low, medium, high"},
    {"{" M ",\"only\":\"that\"}", "only: must be this"},
    {"{" M ",\"model\":\"12345678901234567\"}", "model: is longer than 16 bytes"},
    {"{" M ",\"model\":\"a\\u2028\"}", "model: has a separator of lines at byte 1"},
    {"{" M ",\"model\":[]}", "model: must be a string"},
    {"{" M ",\"password\":\"abc\"}", "password: must have at least 4 bytes"},
    {"{" M ",\"password\":\"1234567890123\"}", "password: is longer than 12 bytes"},
    {"{" M ",\"metadata\":[]}", "metadata: must be an object"},
    {"{" M ",\"metadata\":{\"a\":[\"\\u0001\"]}}", "metadata.a[0]: has a control character at byte 0"},
    {"{" M ",\"tree\":{\"sub\":{\"sub\":{\"sub\":{\"sup\":1}}}}}",
     "tree.sub.sub.sub.sup: unknown field, did you mean 'sub'?"},
};

static void refused(void **state)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(refusals); i++) {
        const struct refusal *r = &refusals[i];
        dv__check out;
        assert_string_equal(said(r->body, &refuse, &out), r->says);
        size_t n = strlen(out.param);
        if (r->body[0] == '{')
            assert_true(n > 0 && strncmp(r->says, out.param, n) == 0 && r->says[n] == ':');
    }
}

/* Long names and deep places are cut, at the front, between characters. */
static void long_places(void **state)
{
    char name[3000], body[9000], deep[2000] = "{" M ",\"tree\":";
    dv__check out;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    snprintf(body, sizeof body, "{" M ",\"%s\":1}", name);
    assert_string_equal(said(body, &refuse, &out),
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...: unknown field");
    for (size_t i = 1; i < 201; i += 2) /* not at 0: a cut shall fall into a character */
        memcpy(name + i, "\xc3\xa9", 2);
    name[201] = 0;
    snprintf(body, sizeof body, "{" M ",\"metadata\":{\"%s\":{\"%s\":{\"bad\":\"\\u0001\"}}}}", name, name);
    const char *text = said(body, &refuse, &out);
    assert_int_equal(strncmp(out.param, "...", 3), 0);
    assert_non_null(strstr(out.param, ".bad"));
    json_t *utf8 = json_string(out.param);
    assert_non_null(utf8);
    json_decref(utf8);
    assert_non_null(strstr(text, "has a control character at byte 0"));
    for (int i = 0; i < 140; i++)
        strcat(deep, "{\"sub\":");
    strcat(deep, "{}");
    for (int i = 0; i < 141; i++)
        strcat(deep, "}");
    text = said(deep, &refuse, &out);
    assert_non_null(strstr(text, "is nested too deeply"));
    assert_true(strlen(out.param) < sizeof out.param);
}

static void counted(void **state)
{
    dv__check out;
    said("{\"messages\":[{\"role\":\"user\",\"content\":\"12345\",\"schema\":{\"ab\":[\"cde\",1]}},"
         "{\"role\":\"x\",\"content\":[{\"type\":\"text\",\"text\":\"123\"}]}],\"metadata\":{\"x\":\"yyyyyyyy\"}}",
         &refuse, &out);
    assert_true(out.has_text);
    assert_int_equal(out.text_bytes, 5 + 2 + 3 + 3);
    said("{\"messages\":[{\"role\":\"user\",\"content\":null}]}", &refuse, &out);
    assert_false(out.has_text);
    assert_int_equal(out.text_bytes, 0);
}

static void repaired(void **state)
{
    dv__check out;
    dv_err err = {0};
    json_t *v =
        load("{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0001\\u202eb\"}],\"metadata\":{\"k\":[\"\\u0007\"]},"
             "\"stop\":[\"\\u007f\"]}");
    assert_int_equal(dv__schema_check(&schema, v, &mend, &out, &err), 0);
    assert_true(out.repaired);
    assert_int_equal(out.text_bytes, 8 + 3);
    char *text = json_dumps(v, JSON_COMPACT);
    assert_string_equal(text, "{\"messages\":[{\"role\":\"user\",\"content\":\"a" R R "b\"}],\"metadata\":{\"k\":[\"" R
                              "\"]},\"stop\":[\"" R "\"]}");
    free(text);
    assert_int_equal(dv__schema_check(&schema, v, &refuse, &out, &err), 0); /* what is repaired passes */
    assert_false(out.repaired);
    json_decref(v);
    /* Names are never repaired, nor is what gets too long by it. */
    assert_string_equal(said("{" M ",\"model\":\"a\\u0001\"}", &mend, &out),
                        "model: has a control character at byte 1");
    assert_string_equal(said("{" M ",\"metadata\":{\"\\u0001\":1}}", &mend, &out),
                        "metadata.\\x01: the field's name has a control character at byte 0");
    assert_string_equal(said("{" M ",\"stop\":\"1\\u0001\\u0001\\u0001\"}", &mend, &out),
                        "stop: is longer than 8 bytes");
    assert_string_equal(said("{" M ",\"stop\":\"12345678\\u0001\"}", &mend, &out), "stop: is longer than 8 bytes");
}

static void no_memory(void **state)
{
    static const char *const bodies[] = {"{" M ",\"frobnicate\":1}",
                                         "{\"messages\":[{\"role\":\"user\",\"content\":\"\\u0001\"}]}"};
    for (size_t i = 0; i < 2; i++) {
        json_t *v = load(bodies[i]);
        dv__check out;
        dv_err err = {0};
        dv_mem_fail_after(1);
        int rc = dv__schema_check(&schema, v, &mend, &out, &err);
        dv_mem_fail_after(0);
        assert_int_equal(rc, DV_ENOMEM);
        assert_int_equal(err.code, DV_ENOMEM);
        json_decref(v);
    }
}

/* ---- queries ---- */

static const dv__field query_fields[] = {
    {.name = "action", .types = DV__T_STR, .flags = DV__F_REQUIRED, .words = "save|restore"},
    {.name = "limit", .types = DV__T_INT, .min = 1, .max = 1000},
    {.name = "after", .types = DV__T_STR, .max_len = 8, .min_len = 1},
    {.name = "all", .types = DV__T_BOOL},
    {.name = "since", .types = DV__T_INT | DV__T_STR, .min = 0, .max = 99, .words = "now|ever"},
    {.name = "rate", .types = DV__T_NUM, .min = 0, .max = 1},
};
static const dv__schema query = {.name = "Query", .fields = query_fields, .n = DV_ARRAY_LEN(query_fields)};

static const char *asked(const dv__schema *s, const char *target, dv__check *out)
{
    static dv_err err;
    static char decoded[4096];
    dv_http_req req = {0};
    const char *why;
    assert_int_equal(dv__target_parse(&req.target, target, DV_HTTP_GET, NULL, decoded, &why), 0);
    err = (dv_err){0};
    int rc = dv__schema_check_query(s, &req, out, &err);
    assert_int_equal(rc, err.code);
    assert_true(err.code == 0 || err.code == DV_EINVAL);
    return err.msg;
}

static void queries(void **state)
{
    static const struct refusal cases[] = {
        {"/?action=save", ""},
        {"/?action=restore&limit=1000&after=x%20y&all=true&rate=0.5", ""},
        {"/?action=save&all=0&since=12&limit=1e2", ""},
        {"/?action=save&since=now", ""},
        {"/?action=save&&", "\"\": unknown parameter"},
        {"/", "action: is needed"},
        {"/?limit=5", "action: is needed"},
        {"/?action", "action: must be one of save, restore"},
        {"/?action=erase", "action: must be one of save, restore"},
        {"/?action=save&action=restore", "action: is given twice"},
        {"/?action=save&limit=0", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=1.5", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=0x10", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=nan", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=1e999", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&limit=%205", "limit: must be a whole number from 1 to 1000"},
        {"/?action=save&after=", "after: must have at least 1 bytes"},
        {"/?action=save&after=123456789", "after: is longer than 8 bytes"},
        {"/?action=save&after=%1b", "after: has a control character at byte 0"},
        {"/?action=save&after=a%ff", "after: has invalid UTF-8 at byte 1"},
        {"/?action=save&all=yes", "all: must be true or false"},
        {"/?action=save&since=100", "since: must be one of now, ever"},
        {"/?action=save&rate=2", "rate: must be a number from 0 to 1"},
        {"/?action=save&acton=1", "acton: unknown parameter"},
        {"/?%1b%ff=1", "\\x1b\\xff: unknown parameter"},
    };
    dv__check out;
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++) {
        assert_string_equal(asked(&query, cases[i].body, &out), cases[i].says);
        assert_int_equal(out.param[0] == 0, cases[i].says[0] == 0);
    }
    assert_string_equal(asked(NULL, "/", &out), "");
    assert_string_equal(asked(NULL, "/?a=1", &out), "a: unknown parameter");
}

static void many_parameters(void **state)
{
    static const dv__field any[] = {{.name = "*", .types = DV__T_STR}};
    static const dv__schema all = {.name = "All", .fields = any, .n = 1};
    char target[2000] = "/?";
    dv__check out;
    for (int i = 0; i < 64; i++)
        snprintf(target + strlen(target), 32, "p%d=%d&", i, i);
    assert_string_equal(asked(&all, target, &out), "");
    strcat(target, "last=1");
    assert_string_equal(asked(&all, target, &out), "last: there are more than 64 parameters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted), cmocka_unit_test(refused),         cmocka_unit_test(long_places),
        cmocka_unit_test(counted),  cmocka_unit_test(repaired),        cmocka_unit_test(no_memory),
        cmocka_unit_test(queries),  cmocka_unit_test(many_parameters),
    };
    return cmocka_run_group_tests_name("serve-schema", tests, NULL, NULL);
}
