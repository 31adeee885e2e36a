/* SPDX-License-Identifier: MIT */
#include "api/constraint.h"

#include "base/err.h"
#include "chat/constraint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The one constraint of a request. */
typedef struct source {
    const char *field;    /* that it came from */
    const char *gbnf;     /* or */
    const json_t *schema; /* or, if both are NULL, any JSON object */
    bool none;
} source;

static int from_response_format(dv__call *c, const json_t *f, source *s, dv_err *err)
{
    const json_t *js = json_object_get(f, "json_schema"), *schema = json_object_get(f, "schema");
    const char *type = json_string_value(json_object_get(f, "type"));
    s->field = "response_format";
    if (type != NULL && strcmp(type, "json_object") == 0) {
        s->schema = schema; /* llama-server's extension */
        return 0;
    }
    if (type == NULL || strcmp(type, "json_schema") != 0)
        return dv__param_fail(c, err, "response_format.type", "must be text, json_object or json_schema");
    s->field = "response_format.json_schema";
    if (js != NULL && !json_is_object(js))
        return dv__param_fail(c, err, s->field, "must be an object");
    if (js != NULL)
        schema = json_object_get(js, "schema");
    s->schema = schema;
    if (schema == NULL)
        return dv__param_fail(c, err, "response_format.json_schema.schema", "is needed");
    return 0;
}

static int find_source(dv__call *c, const dv__gen *g, source *s, dv_err *err)
{
    const char *type = json_string_value(json_object_get(g->response_format, "type"));
    bool format = g->response_format != NULL && (type == NULL || strcmp(type, "text") != 0);
    if ((g->gbnf != NULL && g->gbnf[0] != 0) + (g->schema != NULL) + format > 1)
        return dv__param_fail(c, err, g->gbnf != NULL ? "grammar" : "json_schema",
                              "contradicts another constraint of the request");
    *s = (source){.field = "grammar", .gbnf = g->gbnf};
    if (g->schema != NULL)
        *s = (source){.field = g->schema_field != NULL ? g->schema_field : "json_schema", .schema = g->schema};
    else if (format)
        return from_response_format(c, g->response_format, s, err);
    else
        s->none = g->gbnf[0] == 0;
    return 0;
}

static int compile_plain(dv__call *c, const source *s, dv_grammar **out, dv_err *err)
{
    dv_grammar_cache *cache = c->api->grammars;
    if (s->gbnf != NULL)
        return dv_grammar_cache_gbnf(cache, out, s->gbnf, strlen(s->gbnf), err);
    if (s->schema != NULL)
        return dv_grammar_cache_schema(cache, out, s->schema, NULL, err);
    static const char key[] = "any object";
    int rc = dv_grammar_cache_get(cache, out, key, sizeof key);
    if (rc != 0 || *out != NULL)
        return rc;
    rc = dv_grammar_json_object(out, NULL, NULL, err);
    return rc == 0 ? dv_grammar_cache_put(cache, key, sizeof key, *out, err) : rc;
}

/* Thoughts up to their end, blank space, and then what is asked for. */
static int compile_behind_thoughts(const source *s, dv_grammar **out, dv_err *err)
{
    static const char end[] = "</think>";
    dv_grammar_builder *b = NULL;
    int rc = dv_grammar_builder_open(&b, NULL, err);
    if (rc != 0)
        return rc;
    dv_gx answer = s->gbnf != NULL     ? dv_gx_gbnf(b, s->gbnf, strlen(s->gbnf))
                   : s->schema != NULL ? dv_gx_schema(b, s->schema, NULL)
                                       : dv_gx_json_object(b, NULL);
    dv_gx newline = dv_gx_repeat(b, dv_gx_literal(b, "\n", 1), 0, 2);
    dv_gx parts[] = {newline, answer};
    dv_grammar_trigger trigger = {.text = end, .n = sizeof end - 1, .special = true, .then = dv_gx_seq(b, parts, 2)};
    rc = dv_grammar_build(out, b, dv_gx_text(b, &trigger, 1, false), err);
    dv_grammar_builder_close(&b);
    return rc;
}

int dv__constraint_compile(dv__call *c, dv__gen *g, bool thinking, dv_err *err)
{
    source s = {.field = "grammar"};
    int rc = find_source(c, g, &s, err);
    if (rc != 0 || s.none)
        return rc;
    rc = thinking ? compile_behind_thoughts(&s, &g->grammar, err) : compile_plain(c, &s, &g->grammar, err);
    if (rc == 0 || rc == DV_ENOMEM)
        return rc;
    if (c->param[0] == 0)
        snprintf(c->param, sizeof c->param, "%s", s.field);
    return dv_err_prefix(err, "%s", s.field);
}

/* Tools are compiled in the order and spelling of the request: the same agent sends the same text. */
static int tools_key(const dv_chattools *t, bool thinking, dv_buf *key)
{
    char *list = json_dumps(t->list, JSON_COMPACT);
    dv_buf_printf(key, "tools %d %d %d %s\n", (int)t->choice, t->parallel, thinking, t->name != NULL ? t->name : "");
    if (list == NULL)
        return DV_ENOMEM;
    dv_buf_adds(key, list);
    free(list);
    return key->code;
}

int dv__constraint_tools(dv__call *c, dv__gen *g, const dv_chattools *tools, bool thinking, dv_err *err)
{
    dv_grammar_cache *cache = c->api->grammars;
    dv_buf key;
    if (tools->list == NULL || tools->choice == DV_TOOLCHOICE_NONE)
        return 0;
    if (g->gbnf != NULL && g->grammar != NULL && tools->choice == DV_TOOLCHOICE_AUTO)
        return 0; /* whoever writes a grammar says what calls look like too */
    if (g->grammar != NULL)
        return dv__param_fail(c, err, "tools",
                              "do not go with a constrained answer (response_format, json_schema, grammar)");
    dv_buf_init(&key, 0);
    int rc = tools_key(tools, thinking, &key);
    if (rc == 0)
        rc = dv_grammar_cache_get(cache, &g->grammar, key.data, key.len);
    if (rc == 0 && g->grammar == NULL) {
        rc = dv_chatfmt_grammar(c->api->fmt, tools, thinking, &g->grammar, err);
        if (rc == 0)
            rc = dv_grammar_cache_put(cache, key.data, key.len, g->grammar, err);
    }
    dv_buf_fini(&key);
    if (rc == 0 || rc == DV_ENOMEM)
        return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
    if (c->param[0] == 0)
        snprintf(c->param, sizeof c->param, "tools");
    return dv_err_prefix(err, "tools");
}
