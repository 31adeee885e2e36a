/* SPDX-License-Identifier: MIT */
/* Requests of the three APIs to internal messages and tools: what they become, and what is refused with which words. */
#include "base/json.h"
#include "base/mem.h"
#include "chat/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef enum api { OPENAI, ANTHROPIC, RESPONSES } api;

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *j = text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e) : NULL;
    if (text != NULL && j == NULL)
        fail_msg("%s: %s", text, e.text);
    return j;
}

static int convert(api a, const char *messages, const char *system, json_t **out, dv_err *err)
{
    json_t *m = parse(messages), *s = parse(system);
    int r = a == OPENAI      ? dv_chatmsg_from_openai(m, out, err)
            : a == ANTHROPIC ? dv_chatmsg_from_anthropic(m, s, out, err)
                             : dv_chatmsg_from_responses(m, s, out, err);
    json_decref(m);
    json_decref(s);
    assert_int_equal(r, err->code);
    assert_true((r == 0) == (*out != NULL));
    return r;
}

static void gives_with(api a, const char *messages, const char *system, const char *want)
{
    json_t *out = NULL, *expected = parse(want);
    dv_err err = {0};
    if (convert(a, messages, system, &out, &err) != 0)
        fail_msg("%s: %s", messages, err.msg);
    if (!json_equal(out, expected)) {
        char *text = json_dumps(out, JSON_COMPACT);
        fail_msg("%s\nwant %s\n got %s", messages, want, text);
    }
    json_decref(out);
    json_decref(expected);
}

static void gives(api a, const char *messages, const char *want) { gives_with(a, messages, NULL, want); }

static void refused(api a, const char *messages, const char *want)
{
    json_t *out = NULL;
    dv_err err = {0};
    if (convert(a, messages, NULL, &out, &err) == 0)
        fail_msg("%s is accepted", messages != NULL ? messages : "(absent)");
    if (strncmp(err.msg, want, strlen(want)) != 0)
        fail_msg("%s\nwant %s\n got %s", messages, want, err.msg);
}

#define USER "{\"role\":\"user\",\"content\":\"q\"}"
#define OUT_CALL(args) "{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" args "\"}}"

static void openai_messages(void **state)
{
    gives(OPENAI, "[" USER "]", "[" USER "]");
    gives(
        OPENAI,
        "[{\"role\":\"developer\",\"content\":\"s\"},{\"role\":\"user\",\"name\":\"ann\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}]}]",
        "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"name\":\"ann\",\"content\":\"a\\nb\"}]");
    gives(OPENAI,
          "[" USER
          ",{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"annotations\":[],\"tool_calls\":[" OUT_CALL(
              "{\\\"a\\\": 1}") "]},"
                                "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"r\"}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" OUT_CALL(
              "{\\\"a\\\": 1}") "]},"
                                "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"r\"}]");
    /* arguments as an object, and none at all */
    gives(
        OPENAI,
        "[" USER
        ",{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}]",
        "[" USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" OUT_CALL("{\\\"a\\\":1}") "]}]");
    gives(OPENAI, "[" USER ",{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL("") "]}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" OUT_CALL("{}") "]}]");
    gives(OPENAI, "[" USER ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"hm\"}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"hm\"}]");
    gives(OPENAI, "[" USER ",{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":\"no\"}]");
    /* numbers that jansson does not hold stay as they are */
    gives(OPENAI,
          "[" USER ",{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL(
              " {\\\"a\\\":[1e999,123456789012345678901234567890]} ") "]}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" OUT_CALL(
              " {\\\"a\\\":[1e999,123456789012345678901234567890]} ") "]}]");
    gives(OPENAI, "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]");
}

static void openai_refusals(void **state)
{
    refused(OPENAI, NULL, "messages is missing");
    refused(OPENAI, "{}", "messages must be a list");
    refused(OPENAI, "[]", "messages is empty");
    refused(OPENAI, "[7]", "messages[0] must be an object");
    refused(OPENAI, "[{\"content\":\"q\"}]", "messages[0].role is missing");
    refused(OPENAI, "[{\"role\":7,\"content\":\"q\"}]", "messages[0].role must be a string");
    refused(OPENAI, "[" USER ",{\"role\":\"robot\",\"content\":\"q\"}]", "messages[1].role \"robot\" is not known");
    refused(OPENAI, "[{\"role\":\"user\"}]", "messages[0].content is missing");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":null}]", "messages[0].content is missing");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":7}]", "messages[0].content must be a string or a list");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":[7]}]", "messages[0].content[0] must be an object");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]", "messages[0].content[0].type is missing");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]",
            "messages[0].content[0].text must be a string");
    refused(
        OPENAI,
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{}}]}]",
        "messages[0].content[1]: images are not supported");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]",
            "messages[0].content[0]: audio is not supported");
    refused(OPENAI, "[{\"role\":\"user\",\"content\":[{\"type\":\"tex\",\"text\":\"\"}]}]",
            "messages[0].content[0].type \"tex\" is not");
    refused(OPENAI, "[{\"role\":\"assistant\"}]", "messages[0].content is missing");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[]}]", "messages[0].content is missing");
    refused(OPENAI, "[{\"role\":\"assistant\",\"content\":\"\",\"function_call\":{}}]",
            "messages[0].function_call is not supported");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":7}]", "messages[0].tool_calls must be a list");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[7]}]", "messages[0].tool_calls[0] must be an object");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]",
            "messages[0].tool_calls[0].id is missing");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"\",\"function\":{}}]}]",
            "messages[0].tool_calls[0].id is empty");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"type\":\"custom\"}]}]",
            "messages[0].tool_calls[0].type must be");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\"}]}]",
            "messages[0].tool_calls[0].function must be an object");
    refused(
        OPENAI,
        "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"a b\",\"arguments\":\"{}\"}}]}]",
        "messages[0].tool_calls[0].function.name must be made of");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"a\"}}]}]",
            "messages[0].tool_calls[0].function.arguments is missing");
    refused(OPENAI, "[" USER "," USER ",{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL("{\\\"a\\\":") "]}]",
            "messages[2].tool_calls[0].function.arguments is not valid JSON: ");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL("{\\\"a\\\":1e999") "]}]",
            "messages[0].tool_calls[0].function.arguments is not valid JSON: ");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL("[1]") "]}]",
            "messages[0].tool_calls[0].function.arguments is not a JSON object");
    refused(OPENAI, "[{\"role\":\"assistant\",\"tool_calls\":[" OUT_CALL("{}") "," OUT_CALL("{}") "]}]",
            "messages[0].tool_calls[1]: two tool calls have the id \"c1\"");
    refused(OPENAI, "[{\"role\":\"tool\",\"content\":\"x\"}]", "messages[0].tool_call_id is missing");
    refused(OPENAI, "[{\"role\":\"tool\",\"content\":\"x\",\"tool_call_id\":\"c9\"}]",
            "messages[0].tool_call_id \"c9\" answers no tool call");
}

static void anthropic_messages(void **state)
{
    gives_with(ANTHROPIC, "[" USER "]", "\"s\"", "[{\"role\":\"system\",\"content\":\"s\"}," USER "]");
    gives_with(ANTHROPIC, "[" USER "]",
               "[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{}},{\"type\":\"text\",\"text\":\"b\"}]",
               "[{\"role\":\"system\",\"content\":\"a\\nb\"}," USER "]");
    gives(
        ANTHROPIC,
        "[" USER
        ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"},{\"type\":\"redacted_thinking\",\"data\":\"\"},"
        "{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"a\":1}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]},"
        "{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}]",
        "[" USER ",{\"role\":\"assistant\",\"content\":\"t\",\"reasoning_content\":\"hm\",\"tool_calls\":[" OUT_CALL(
            "{\\\"a\\\":1}") "]},"
                             "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"r\"},{\"role\":\"user\",\"content\":\"x\\ny\"}]");
    gives(
        ANTHROPIC,
        "[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"is_error\":true,\"content\":\"no\"}]}]",
        "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" OUT_CALL(
            "{}") "]},"
                  "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"Error: no\"}]");
}

static void anthropic_refusals(void **state)
{
    refused(ANTHROPIC, "[{\"role\":\"system\",\"content\":\"x\"}]", "messages[0].role \"system\" is not known");
    refused(ANTHROPIC, "[{\"role\":\"user\"}]", "messages[0].content is missing");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":{}}]", "messages[0].content must be a string or a list");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]",
            "messages[0].content[0]: images are not supported");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]",
            "messages[0].content[0]: documents are not");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\"}]}]",
            "messages[0].content[0].type \"tool_use\" is not");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}]",
            "messages[0].content[0].tool_use_id is missing");
    refused(ANTHROPIC, "[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"z\"}]}]",
            "messages[0].content[0].tool_use_id \"z\" answers no tool call");
    refused(
        ANTHROPIC,
        "[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":\"{}\"}]}]",
        "messages[0].content[0].input must be an object");
    refused(ANTHROPIC, "[{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\"}]}]",
            "messages[0].content[0].thinking must be a string");
}

static void responses_items(void **state)
{
    gives_with(RESPONSES, "\"q\"", "\"be brief\"", "[{\"role\":\"system\",\"content\":\"be brief\"}," USER "]");
    gives(
        RESPONSES,
        "[" USER
        ",{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[]}]}]",
        "[" USER ",{\"role\":\"assistant\",\"content\":\"a\"}]");
    /* the items of one answer are one message */
    gives(RESPONSES,
          "[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"q\"}]},"
          "{\"type\":\"reasoning\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}]},"
          "{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"t\"},"
          "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{}\"},"
          "{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"r\"}]",
          "[" USER ",{\"role\":\"assistant\",\"content\":\"t\",\"reasoning_content\":\"hm\",\"tool_calls\":[" OUT_CALL(
              "{}") "]},"
                    "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"name\":\"f\",\"content\":\"r\"}]");
    gives(RESPONSES, "[{\"type\":\"reasoning\",\"encrypted_content\":\"zz\",\"summary\":[]}," USER "]", "[" USER "]");
}

static void responses_refusals(void **state)
{
    refused(RESPONSES, NULL, "input is missing");
    refused(RESPONSES, "7", "input must be a string or a list");
    refused(RESPONSES, "[]", "input is empty");
    refused(RESPONSES, "[{\"type\":\"item_reference\",\"id\":\"x\"}]",
            "input[0].type \"item_reference\" is not supported");
    refused(RESPONSES, "[{\"role\":\"tool\",\"content\":\"x\"}]", "input[0].role \"tool\" is not known");
    refused(RESPONSES, "[{\"role\":\"user\",\"content\":[{\"type\":\"input_image\"}]}]",
            "input[0].content[0]: images are not supported");
    refused(RESPONSES, "[{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\"}]",
            "input[0].arguments is missing");
    refused(RESPONSES, "[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"\"}]",
            "input[0].call_id \"c\" answers no tool call");
}

/* ---- tools --------------------------------------------------------------------------------------------------------- */

static int read_tools(api a, const char *tools, const char *choice, const char *parallel, dv_chattools *t, dv_err *err)
{
    json_t *list = parse(tools), *c = parse(choice), *p = parse(parallel);
    int r = a == OPENAI      ? dv_chattools_from_openai(t, list, c, p, err)
            : a == ANTHROPIC ? dv_chattools_from_anthropic(t, list, c, err)
                             : dv_chattools_from_responses(t, list, c, p, err);
    json_decref(list);
    json_decref(c);
    json_decref(p);
    assert_int_equal(r, err->code);
    return r;
}

static void tools_refused(api a, const char *tools, const char *choice, const char *want)
{
    dv_chattools t;
    dv_err err = {0};
    if (read_tools(a, tools, choice, NULL, &t, &err) == 0)
        fail_msg("%s, %s: accepted", tools, choice);
    assert_null(t.list);
    if (strncmp(err.msg, want, strlen(want)) != 0)
        fail_msg("%s, %s\nwant %s\n got %s", tools, choice, want, err.msg);
}

#define OPENAI_TOOLS \
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"},\"strict\":true}}]"
#define RESPONSES_TOOLS "[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}]"
#define ANTHROPIC_TOOLS "[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]"

static void tools_of_all_apis(void **state)
{
    static const struct {
        api a;
        const char *tools, *choice, *parallel;
        dv_toolchoice want;
        bool one;
    } rows[] = {
        {OPENAI, OPENAI_TOOLS, NULL, NULL, DV_TOOLCHOICE_AUTO, false},
        {OPENAI, OPENAI_TOOLS, "\"auto\"", "false", DV_TOOLCHOICE_AUTO, true},
        {OPENAI, OPENAI_TOOLS, "\"none\"", "null", DV_TOOLCHOICE_NONE, false},
        {OPENAI, OPENAI_TOOLS, "\"required\"", "true", DV_TOOLCHOICE_REQUIRED, false},
        {OPENAI, OPENAI_TOOLS, "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}", NULL, DV_TOOLCHOICE_NAMED,
         false},
        {RESPONSES, RESPONSES_TOOLS, "{\"type\":\"function\",\"name\":\"f\"}", NULL, DV_TOOLCHOICE_NAMED, false},
        {ANTHROPIC, ANTHROPIC_TOOLS, NULL, NULL, DV_TOOLCHOICE_AUTO, false},
        {ANTHROPIC, ANTHROPIC_TOOLS, "{\"type\":\"any\",\"disable_parallel_tool_use\":true}", NULL,
         DV_TOOLCHOICE_REQUIRED, true},
        {ANTHROPIC, ANTHROPIC_TOOLS, "{\"type\":\"tool\",\"name\":\"f\"}", NULL, DV_TOOLCHOICE_NAMED, false},
        {ANTHROPIC, ANTHROPIC_TOOLS, "{\"type\":\"none\"}", NULL, DV_TOOLCHOICE_NONE, false},
        /* What changes nothing. */
        {OPENAI,
         "[{\"type\":\"function\",\"cache_control\":{},\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"},"
         "\"strict\":false,\"new\":null}}]",
         NULL, NULL, DV_TOOLCHOICE_AUTO, false},
        {RESPONSES,
         "[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"},\"strict\":null,\"async\":false,"
         "\"defer_loading\":false,\"allowed_callers\":[\"direct\"],\"output_schema\":null}]",
         NULL, NULL, DV_TOOLCHOICE_AUTO, false},
        {ANTHROPIC,
         "[{\"type\":\"custom\",\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"cache_control\":{\"type\":"
         "\"ephemeral\"},\"eager_input_streaming\":true,\"strict\":true,\"defer_loading\":false}]",
         NULL, NULL, DV_TOOLCHOICE_AUTO, false},
    };
    json_t *want = parse(
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"\",\"parameters\":{\"type\":\"object\"}}}]");
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_chattools t;
        dv_err err = {0};
        if (read_tools(rows[i].a, rows[i].tools, rows[i].choice, rows[i].parallel, &t, &err) != 0)
            fail_msg("row %zu: %s", i, err.msg);
        assert_true(json_equal(t.list, want));
        assert_int_equal(t.choice, rows[i].want);
        assert_int_equal(t.parallel, !rows[i].one);
        assert_true((t.name != NULL) == (t.choice == DV_TOOLCHOICE_NAMED));
        dv_chattools_fini(&t);
    }
    json_decref(want);
    dv_chattools t;
    dv_err err = {0};
    assert_int_equal(read_tools(OPENAI, "[]", NULL, NULL, &t, &err), 0);
    assert_null(t.list);
    assert_int_equal(t.choice, DV_TOOLCHOICE_NONE);
}

static void tools_refusals(void **state)
{
    tools_refused(OPENAI, "{}", NULL, "tools must be a list");
    tools_refused(OPENAI, "[7]", NULL, "tools[0] must be an object");
    tools_refused(OPENAI, "[{\"type\":\"custom\"}]", NULL, "tools[0].type \"custom\" is not supported");
    tools_refused(OPENAI, "[{\"type\":\"function\"}]", NULL, "tools[0].function must be an object");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{}}]", NULL, "tools[0].function.name is missing");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{\"name\":\"a\\\"b\"}}]", NULL,
                  "tools[0].function.name must be made of");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":7}}]", NULL,
                  "tools[0].function.parameters must be an object");
    tools_refused(RESPONSES, "[{\"type\":\"web_search\"}]", NULL, "tools[0].type \"web_search\" is not supported");
    tools_refused(ANTHROPIC, "[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]", NULL,
                  "tools[0].type \"bash_20250124\" is not supported");
    tools_refused(ANTHROPIC, "[{\"name\":\"f\"},{\"name\":\"f\"}]", NULL, "tools[1].name: two tools are called \"f\"");
    tools_refused(OPENAI, NULL, "\"required\"", "tool_choice asks for a tool call, but there are no tools");
    tools_refused(OPENAI, OPENAI_TOOLS, "\"sometimes\"", "tool_choice must be");
    tools_refused(OPENAI, OPENAI_TOOLS, "\"any\"", "tool_choice must be");
    tools_refused(OPENAI, OPENAI_TOOLS, "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}",
                  "tool_choice.function.name \"g\" is none of the tools");
    tools_refused(OPENAI, OPENAI_TOOLS, "{\"type\":\"function\"}", "tool_choice.function must be an object");
    tools_refused(ANTHROPIC, ANTHROPIC_TOOLS, "\"auto\"", "tool_choice must be an object");
    /* What is said of a tool and would not be heeded. */
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"examples\":[]}}]", NULL,
                  "tools[0].function.examples: this field is not known here");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"name\":\"g\",\"function\":{\"name\":\"f\"}}]", NULL,
                  "tools[0].name: this field is not known here");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"name description\":1}}]", NULL,
                  "tools[0].function.name description: this field is not known here");
    tools_refused(OPENAI, "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":\"yes\"}}]", NULL,
                  "tools[0].function.strict must be a boolean");
    tools_refused(RESPONSES, "[{\"type\":\"function\",\"name\":\"f\",\"output_schema\":{}}]", NULL,
                  "tools[0].output_schema: this field is not known here");
    tools_refused(RESPONSES, "[{\"type\":\"function\",\"name\":\"f\",\"async\":true}]", NULL,
                  "tools[0].async must be false");
    tools_refused(ANTHROPIC, "[{\"name\":\"f\",\"input_examples\":[{}]}]", NULL, "tools[0].input_examples: ");
    tools_refused(ANTHROPIC, "[{\"name\":\"f\",\"defer_loading\":true}]", NULL, "tools[0].defer_loading must be false");
    tools_refused(ANTHROPIC, "[{\"name\":\"f\",\"allowed_callers\":[\"direct\",\"code_execution_20250825\"]}]", NULL,
                  "tools[0].allowed_callers must be [\"direct\"]");
    tools_refused(OPENAI, OPENAI_TOOLS, "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"x\":1}}",
                  "tool_choice.function.x: ");
    tools_refused(OPENAI, OPENAI_TOOLS, "{\"type\":\"function\",\"x\":1,\"function\":{\"name\":\"f\"}}",
                  "tool_choice.x: ");
    tools_refused(RESPONSES, RESPONSES_TOOLS, "{\"type\":\"function\",\"x\":1,\"name\":\"f\"}", "tool_choice.x: ");
    tools_refused(ANTHROPIC, ANTHROPIC_TOOLS, "{\"type\":\"auto\",\"name\":\"f\"}", "tool_choice.name: ");
    tools_refused(ANTHROPIC, ANTHROPIC_TOOLS, "{\"type\":\"required\"}", "tool_choice.type must be");
    dv_chattools t;
    dv_err err = {0};
    assert_int_equal(read_tools(OPENAI, OPENAI_TOOLS, NULL, "7", &t, &err), DV_EINVAL);
    assert_string_equal(err.msg, "parallel_tool_calls must be a boolean");
}

static void counts_are_bounded(void **state)
{
    json_t *list = json_array(), *out;
    dv_err err = {0};
    for (int i = 0; i <= DV_CHAT_MAX_MESSAGES; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", "user", "content", "q"));
    assert_int_equal(dv_chatmsg_from_openai(list, &out, &err), DV_ELIMIT);
    json_decref(list);
    list = json_array();
    for (int i = 0; i <= DV_CHAT_MAX_TOOLS; i++)
        json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", "x"));
    dv_chattools t;
    err = (dv_err){0};
    assert_int_equal(dv_chattools_from_openai(&t, list, NULL, NULL, &err), DV_ELIMIT);
    json_decref(list);
}

static void *json_alloc(size_t n) { return dv_alloc(DV_MEM_TOK, n); }

/* Every allocation of jansson's and of drover's fails in turn, for each API. */
static void memory_runs_out(void **state)
{
    static const char *const messages[] = {
        "[{\"role\":\"system\",\"content\":\"s\"}," USER
        ",{\"role\":\"assistant\",\"reasoning_content\":\"h\",\"tool_calls\":[" OUT_CALL(
            "{\\\"a\\\":1}") "]},"
                             "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]",
        "[" USER
        ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},{\"type\":\"text\",\"text\":\"t\"},"
        "{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"a\":1}}]},{\"role\":\"user\",\"content\":["
        "{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":\"r\"},{\"type\":\"text\",\"text\":\"x\"}]}]",
        "[" USER
        ",{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"h\"}]},{\"role\":\"assistant\",\"content\":\"a\"},"
        "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\",\"call_id\":\"c1\",\"output\":\"r\"}]"};
    static const char *const tools[] = {OPENAI_TOOLS, ANTHROPIC_TOOLS, RESPONSES_TOOLS};
    json_set_alloc_funcs(json_alloc, dv_free);
    for (int a = OPENAI; a <= RESPONSES; a++) {
        json_t *m = parse(messages[a]), *t = parse(tools[a]), *system = parse("\"s\"");
        int r = DV_ENOMEM;
        for (uint64_t n = 1; r != 0; n++) {
            json_t *out = NULL;
            dv_chattools tt = {0};
            dv_err err = {0};
            size_t used = dv_mem_used(DV_MEM_CAT_N);
            dv_mem_fail_after(n);
            r = a == OPENAI      ? dv_chatmsg_from_openai(m, &out, &err)
                : a == ANTHROPIC ? dv_chatmsg_from_anthropic(m, system, &out, &err)
                                 : dv_chatmsg_from_responses(m, system, &out, &err);
            if (r == 0)
                r = a == OPENAI      ? dv_chattools_from_openai(&tt, t, NULL, NULL, &err)
                    : a == ANTHROPIC ? dv_chattools_from_anthropic(&tt, t, NULL, &err)
                                     : dv_chattools_from_responses(&tt, t, NULL, NULL, &err);
            dv_mem_fail_after(0);
            json_decref(out);
            dv_chattools_fini(&tt);
            assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
            assert_int_equal(r, err.code);
            if (r != 0 && r != DV_ENOMEM)
                fail_msg("api %d, allocation %d: %s", a, (int)n, err.msg);
        }
        json_decref(m);
        json_decref(t);
        json_decref(system);
    }
    json_set_alloc_funcs(malloc, free);
}

int main(void)
{
    dv_json_use_mem(); /* so that its allocations fail in turn, too */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_messages),    cmocka_unit_test(openai_refusals), cmocka_unit_test(anthropic_messages),
        cmocka_unit_test(anthropic_refusals), cmocka_unit_test(responses_items), cmocka_unit_test(responses_refusals),
        cmocka_unit_test(tools_of_all_apis),  cmocka_unit_test(tools_refusals),  cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
