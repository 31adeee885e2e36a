/* SPDX-License-Identifier: MIT */
#include "api/constraint.h"

#include "api/reply.h"
#include "base/err.h"
#include "chat/constraint.h"

#include <stdio.h>
#include <string.h>

/* The one constraint of a request. */
typedef struct source {
    const char *field;    /* that it came from */
    const char *gbnf;     /* or */
    const json_t *schema; /* or, if both are NULL, any JSON object */
    bool none;
} source;

typedef struct format {
    const char *type;
    const json_t *schema, *json_schema;
} format;

static const dv__field format_rows[] = {
    {"type", DV__FIELD_STR, offsetof(format, type), 0, 0, false, "text|json_object|json_schema"},
    {"schema", DV__FIELD_JSON, offsetof(format, schema), 0, 0, false, NULL}, /* llama-server's extension */
    {"json_schema", DV__FIELD_OBJECT, offsetof(format, json_schema), 0, 0, false, NULL},
};
static const dv__field schema_rows[] = {
    {"name", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 256, false, NULL},
    {"description", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"strict", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, NULL}, /* a schema always binds the answer */
    {"schema", DV__FIELD_JSON, offsetof(format, schema), 0, 0, false, NULL},
};
static const dv__fields format_fields = {format_rows, DV_ARRAY_LEN(format_rows)};
static const dv__fields schema_fields = {schema_rows, DV_ARRAY_LEN(schema_rows)};

static int from_response_format(dv__call *c, const json_t *v, source *s, dv_err *err)
{
    static const dv__fields *const outer[] = {&format_fields}, *const inner[] = {&schema_fields};
    static const char nested[] = "response_format.json_schema";
    format f = {0};
    int rc = dv__fields_read(c, v, "response_format", outer, 1, &f, err);
    if (rc == 0 && f.type == NULL)
        rc = dv__param_fail(c, err, "response_format.type", "must be text, json_object or json_schema");
    if (rc != 0)
        return rc;
    bool text = strcmp(f.type, "text") == 0, object = strcmp(f.type, "json_object") == 0;
    if ((text && (f.schema != NULL || f.json_schema != NULL)) || (object && f.json_schema != NULL))
        return dv__param_fail(c, err, "response_format.type", "does not go with the schema beside it");
    if (f.json_schema != NULL)
        rc = dv__fields_read(c, f.json_schema, nested, inner, 1, &f, err);
    *s = (source){.field = object ? "response_format" : nested, .schema = f.schema, .none = text};
    if (rc == 0 && !text && !object && f.schema == NULL)
        return dv__param_fail(c, err, "response_format.json_schema.schema", "is needed");
    return rc;
}

static int find_source(dv__call *c, const dv__gen *g, source *s, dv_err *err)
{
    *s = (source){.none = true};
    int rc = g->response_format != NULL ? from_response_format(c, g->response_format, s, err) : 0;
    bool gbnf = g->gbnf != NULL && g->gbnf[0] != 0;
    if (rc == 0 && gbnf + (g->schema != NULL) + !s->none > 1)
        return dv__param_fail(c, err, gbnf ? "grammar" : "json_schema",
                              "contradicts another constraint of the request");
    if (g->schema != NULL)
        *s = (source){.field = g->schema_field != NULL ? g->schema_field : "json_schema", .schema = g->schema};
    else if (gbnf)
        *s = (source){.field = "grammar", .gbnf = g->gbnf};
    return rc;
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

/* An error names the field that it is about. */
static int blame(dv__call *c, const char *field, int rc, dv_err *err)
{
    size_t n = strlen(field);
    if (rc == 0 || rc == DV_ENOMEM)
        return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
    bool said = strncmp(err->msg, field, n) == 0 || strncmp(err->msg, "tools[", 6) == 0;
    if (c->param[0] == 0 && strncmp(err->msg, "tools[", 6) != 0)
        snprintf(c->param, sizeof c->param, "%s", field);
    return said ? rc : dv_err_prefix(err, "%s", field);
}

int dv__constraint_text(dv__call *c, dv__gen *g, dv_err *err)
{
    source s;
    int rc = find_source(c, g, &s, err);
    if (rc != 0 || s.none)
        return rc;
    return blame(c, s.field, compile_plain(c, &s, &g->grammar, err), err);
}

/* Everything that the grammar of an answer depends on. The same agent sends its tools and schemas in the same order and spelling. */
static int answer_key(const dv_chatfmt_answer *a, dv_buf *key)
{
    const dv_chattools *t = a->tools;
    dv_buf_printf(key, "answer %d %d", a->in_thinking, a->may_think);
    if (t != NULL) {
        dv_buf_printf(key, " tools %d %d %s ", (int)t->choice, t->parallel, t->name != NULL ? t->name : "");
        dv__put_json(key, t->list);
    }
    if (a->schema != NULL) {
        dv_buf_adds(key, " schema ");
        dv__put_json(key, a->schema);
    } else if (a->gbnf != NULL) {
        dv_buf_printf(key, " gbnf %s", a->gbnf);
    } else if (a->object) {
        dv_buf_adds(key, " object");
    }
    return key->code;
}

static int compile_answer(dv__call *c, const dv_chatfmt_answer *a, dv_grammar **out, dv_err *err)
{
    const dv_api *api = c->api;
    dv_buf key;
    dv_buf_init(&key, 0);
    int rc = answer_key(a, &key);
    if (rc == 0)
        rc = dv_grammar_cache_get(api->grammars, out, key.data, key.len);
    if (rc == 0 && *out == NULL) {
        rc = dv_chatfmt_grammar(api->fmt, a, &api->grammar_limits, out, err);
        if (rc == 0 && *out != NULL)
            rc = dv_grammar_cache_put(api->grammars, key.data, key.len, *out, err);
    }
    dv_buf_fini(&key);
    return rc;
}

int dv__constraint_chat(dv__call *c, dv__gen *g, const dv_chattools *tools, const dv_chatfmt_text *prompt, dv_err *err)
{
    source s;
    int rc = find_source(c, g, &s, err);
    if (rc != 0)
        return rc;
    bool calls = tools->list != NULL && tools->choice != DV_TOOLCHOICE_NONE;
    if (calls && s.gbnf != NULL && tools->choice != DV_TOOLCHOICE_AUTO)
        return dv__param_fail(c, err, "grammar", "does not go with a tool_choice that demands a call");
    if (s.gbnf != NULL)
        calls = false; /* whoever writes a grammar says what calls look like too */
    if (!calls && s.none)
        return 0;
    g->calls_first = calls && !s.none;
    if (!calls && !prompt->may_think)
        return blame(c, s.field, compile_plain(c, &s, &g->grammar, err), err);
    const dv_chatfmt_answer a = {
        .tools = calls ? tools : NULL,
        .in_thinking = prompt->in_thinking,
        .may_think = prompt->may_think,
        .gbnf = s.gbnf,
        .schema = s.schema,
        .object = !s.none && s.gbnf == NULL && s.schema == NULL,
        .field = s.field,
    };
    rc = compile_answer(c, &a, &g->grammar, err);
    bool text = !calls || (rc != 0 && !s.none && strncmp(err->msg, s.field, strlen(s.field)) == 0);
    return blame(c, text ? s.field : "tools", rc, err);
}
