/* SPDX-License-Identifier: MIT */
#include "api/constraint.h"

#include "base/err.h"

#include <stdio.h>
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

/* Schemas follow with their compiler. */
static int compile(const source *s, bool thinking, dv_grammar **out, dv_err *err)
{
    if (s->gbnf == NULL || thinking)
        return dv_fail(err, DV_EINVAL, "is not supported yet");
    return dv_grammar_from_gbnf(out, s->gbnf, strlen(s->gbnf), NULL, err);
}

int dv__constraint_compile(dv__call *c, dv__gen *g, bool thinking, dv_err *err)
{
    source s = {.field = "grammar"};
    int rc = find_source(c, g, &s, err);
    if (rc != 0 || s.none)
        return rc;
    rc = compile(&s, thinking, &g->grammar, err);
    if (rc == 0 || rc == DV_ENOMEM)
        return rc;
    if (c->param[0] == 0)
        snprintf(c->param, sizeof c->param, "%s", s.field);
    return dv_err_prefix(err, "%s", s.field);
}
