/* SPDX-License-Identifier: MIT */
/* The document of the API: its parts, for a table of routes with one of each kind. Validators of others judge the whole in tests/e2e/openapi.test.mjs. */
#include "base/mem.h"
#include "serve/openapi.h"
#include "serve_rows.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *document(void)
{
    json_error_t e;
    dv_buf b;
    dv_buf_init(&b, 0);
    assert_int_equal(dv__openapi_write(&b, "1.2.3\"\n"), 0);
    json_t *v = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &e);
    if (v == NULL)
        fail_msg("%s at %d: %.60s", e.text, e.position, b.data + (e.position > 30 ? e.position - 30 : 0));
    assert_null(strchr(b.data, '\n'));
    dv_buf_fini(&b);
    return v;
}

/* "a>b>c" below v; NULL if it is not there. */
static json_t *at(json_t *v, const char *path)
{
    char key[128];
    while (v != NULL && *path != 0) {
        size_t n = strcspn(path, ">");
        assert_true(n < sizeof key);
        memcpy(key, path, n);
        key[n] = 0;
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
        path += n + (path[n] == '>');
    }
    return v;
}

static void assert_json(json_t *doc, const char *path, const char *want)
{
    json_t *v = at(doc, path);
    if (v == NULL)
        fail_msg("%s is not there", path);
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    assert_string_equal(text, want);
    free(text);
}

/* Every reference leads somewhere; returns their number. */
static size_t check_refs(json_t *doc, json_t *v)
{
    const char *key;
    json_t *sub;
    size_t i, n = 0;
    json_array_foreach(v, i, sub) n += check_refs(doc, sub);
    json_object_foreach(v, key, sub)
    {
        n += check_refs(doc, sub);
        if (strcmp(key, "$ref") != 0 || !json_is_string(sub))
            continue;
        char path[256];
        const char *text = json_string_value(sub);
        assert_int_equal(strncmp(text, "#/", 2), 0);
        size_t len = strlen(text + 2);
        assert_true(len < sizeof path);
        for (size_t k = 0; k <= len; k++)
            path[k] = text[2 + k] == '/' ? '>' : text[2 + k];
        if (at(doc, path) == NULL)
            fail_msg("%s leads nowhere", text);
        n++;
    }
    return n;
}

static void whole(void **state)
{
    json_t *doc = document();
    assert_json(doc, "openapi", "\"3.1.0\"");
    assert_json(doc, "info>version", "\"1.2.3\\\"\\n\"");
    assert_true(check_refs(doc, doc) > 100);
    assert_int_equal(json_array_size(at(doc, "tags")), DV__GROUP_N);
    json_decref(doc);
}

/* Each row is there, under its path and, where it has one, under that without /v1. */
static void routes(void **state)
{
    static const char *const verbs[DV_HTTP_VERB_N] = {
        [DV_HTTP_GET] = "get", [DV_HTTP_POST] = "post", [DV_HTTP_PATCH] = "patch", [DV_HTTP_DELETE] = "delete"};
    json_t *doc = document(), *paths = at(doc, "paths");
    for (size_t i = 0; i < DV_ARRAY_LEN(test_rows); i++) {
        const dv__row *r = &test_rows[i];
        char path[64], *star;
        strcpy(path, r->path);
        if ((star = strchr(path, '*')) != NULL)
            memmove(star, star + 1, strlen(star));
        assert_non_null(json_object_get(json_object_get(paths, path), verbs[r->verb]));
        if (r->flags & DV__ROW_BARE)
            assert_non_null(json_object_get(json_object_get(paths, path + 3), verbs[r->verb]));
    }
    json_decref(doc);
}

static void operations(void **state)
{
    json_t *doc = document();
    assert_json(doc, "paths>/v1/models/{model}>get>parameters",
                "[{\"description\":\"It may have slashes.\",\"in\":\"path\",\"name\":\"model\",\"required\":true,"
                "\"schema\":{\"minLength\":1,\"type\":\"string\"}}]");
    assert_json(doc, "paths>/v1/models/{model}>get>operationId", "\"get_v1_models_model\"");
    assert_json(doc, "paths>/slots/{slot}>post>parameters>1",
                "{\"description\":\"What to do with the slot.\",\"in\":\"query\",\"name\":\"action\",\"required\":true,"
                "\"schema\":{\"enum\":[\"save\",\"restore\",\"erase\"],\"type\":\"string\"}}");
    assert_json(doc, "paths>/slots/{slot}>post>requestBody>required", "false");
    assert_json(doc, "paths>/v1/chat/completions>post>requestBody>required", "true");
    assert_json(doc, "paths>/v1/chat/completions>post>requestBody>content>application/json>schema",
                "{\"$ref\":\"#/components/schemas/ChatCompletionRequest\"}");
    /* Which of two rows with the same path answers depends on the listener. */
    assert_json(doc, "paths>/completions>post>requestBody>content>application/json>schema",
                "{\"anyOf\":[{\"$ref\":\"#/components/schemas/CompletionRequest\"},"
                "{\"$ref\":\"#/components/schemas/NativeCompletionRequest\"}]}");
    assert_json(doc, "paths>/v1/chat/completions>post>responses>2XX>content>text/event-stream",
                "{\"schema\":{\"type\":\"string\"}}");
    assert_null(at(doc, "paths>/v1/embeddings>post>responses>2XX>content>text/event-stream"));
    assert_json(doc, "paths>/v1/messages>post>responses>400",
                "{\"$ref\":\"#/components/responses/AnthropicBadRequest\"}");
    assert_json(doc, "paths>/metrics>get>responses>2XX>content>text/plain>schema>type", "\"string\"");
    assert_json(doc, "paths>/api/keys/{id}>delete>responses>2XX", "{\"description\":\"Done.\"}");
    assert_json(doc, "paths>/api/users/{name}>patch>responses>2XX>description", "\"a sentence about it\"");
    assert_null(at(doc, "paths>/health>get>requestBody"));
    assert_null(at(doc, "paths>/health>get>responses>401"));
    assert_null(at(doc, "paths>/health>get>responses>400"));
    json_decref(doc);
}

static void identities(void **state)
{
    json_t *doc = document();
    assert_json(doc, "paths>/health>get>security", "[]");
    assert_json(doc, "paths>/health>get>x-drover-public", "true");
    assert_json(doc, "paths>/api/login>post>security", "[]");
    assert_json(doc, "paths>/api/login>post>x-drover-public", "false");
    assert_json(doc, "paths>/api/session>get>security", "[{\"cookie\":[]}]");
    assert_json(doc, "paths>/api/keys>get>security", "[{\"bearer\":[]},{\"apiKey\":[]},{\"cookie\":[]}]");
    assert_json(doc, "paths>/api/keys>get>x-drover-admin", "true");
    assert_json(doc, "paths>/api/keys>get>x-drover-group", "\"admin\"");
    assert_json(doc, "paths>/v1/chat/completions>post>x-drover-admin", "false");
    json_decref(doc);
}

static void schemas(void **state)
{
#define S "components>schemas>"
    json_t *doc = document();
    assert_json(doc, S "ChatCompletionRequest>additionalProperties", "false");
    assert_json(doc, S "ChatCompletionRequest>required", "[\"messages\"]");
    assert_json(doc, S "MessageRequest>required", "[\"messages\",\"max_tokens\"]");
    assert_json(
        doc, S "ChatCompletionRequest>properties>n",
        "{\"description\":\"Answers to each prompt.\",\"maximum\":128,\"minimum\":1,\"type\":[\"integer\",\"null\"]}");
    assert_json(doc, S "ChatCompletionRequest>properties>top_p>type", "[\"number\",\"null\"]");
    assert_json(doc, S "ChatCompletionRequest>properties>seed>maximum", "9007199254740992");
    assert_json(doc, S "ChatCompletionRequest>properties>verbosity>enum", "[\"low\",\"medium\",\"high\",null]");
    assert_json(doc, S "ChatCompletionRequest>properties>tool_choice>anyOf",
                "[{\"enum\":[\"none\",\"auto\",\"required\",\"any\"],\"type\":\"string\"},"
                "{\"$ref\":\"#/components/schemas/ChatToolChoice\"},{\"type\":\"null\"}]");
    assert_json(
        doc, S "ChatCompletionRequest>properties>stop>anyOf",
        "[{\"maxLength\":4096,\"minLength\":1,\"type\":\"string\"},"
        "{\"items\":{\"maxLength\":4096,\"minLength\":1,\"type\":\"string\"},\"maxItems\":128,\"type\":\"array\"},"
        "{\"type\":\"null\"}]");
    assert_json(doc, S "LogitBias>additionalProperties>anyOf>0>type", "\"boolean\"");
    assert_json(doc, S "LogitBias>properties", "{}");
    assert_json(doc, S "LoginRequest>properties>password",
                "{\"format\":\"password\",\"maxLength\":256,\"type\":\"string\",\"writeOnly\":true}");
    assert_json(doc, S "ChatMessage>properties>parsed",
                "{\"description\":\"Without effect: what clients made of an answer.\"}");
    assert_null(at(doc, S "Model>additionalProperties"));
    assert_json(doc, S "ErrorDetail>properties>param>type", "[\"string\",\"null\"]");
    assert_json(doc, S "ErrorDetail>properties>message>type", "\"string\"");
    json_decref(doc);
}

static void no_memory(void **state)
{
    for (uint64_t i = 1; i < 40; i += 3) {
        dv_buf b;
        dv_buf_init(&b, 0);
        dv_mem_fail_after(i);
        int rc = dv__openapi_write(&b, "1");
        dv_mem_fail_after(0);
        assert_true(rc == DV_ENOMEM || rc == 0);
        if (i == 1)
            assert_int_equal(rc, DV_ENOMEM);
        dv_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),      cmocka_unit_test(routes),  cmocka_unit_test(operations),
        cmocka_unit_test(identities), cmocka_unit_test(schemas), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("serve-openapi", tests, NULL, NULL);
}
