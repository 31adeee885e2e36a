/* SPDX-License-Identifier: MIT */
/* The document of the API: OpenAPI 3.1, made of the tables that route (row.h) and check (schema.h), so that it says what the service does. */
#ifndef DV_SERVE_OPENAPI_H
#define DV_SERVE_OPENAPI_H

#include "base/buf.h"
#include "serve/row.h"

/** Append the document, one line of JSON. Takes a few milliseconds and is the same every time. @return b->code; DV_ELIMIT too if there are more rows or
 *  tables than it has room for */
int dv__openapi_write(dv_buf *b, const char *version);

/* ---- private to openapi*.c ---- */

/** What a success looks like: the name that rows use, and a value of it. Members that are objects have tables, as requests have; they may have more fields
 * than these. */
typedef struct dv__reply_form {
    const char *name;
    dv__field form;
} dv__reply_form;

/** NULL: no form has this name. */
const dv__reply_form *dv__reply_form_find(const char *name);
/** Of the body of an error in a style. */
const dv__reply_form *dv__reply_form_error(dv_style style);

enum { DV__OPENAPI_SCHEMAS = 384 };

/** Tables that were referred to: they are written once. */
typedef struct dv__openapi_set {
    const dv__schema *schema[DV__OPENAPI_SCHEMAS];
    bool open[DV__OPENAPI_SCHEMAS]; /**< of replies: further fields are allowed, and no null but where it says so */
    size_t n;
    bool full;
} dv__openapi_set;

/** Append a reference to a table, which is then one of the set. */
void dv__openapi_ref(dv_buf *b, dv__openapi_set *set, const dv__schema *s, bool open);
/** Append the JSON Schema of a value. nullable: null is as good. */
void dv__openapi_value(dv_buf *b, dv__openapi_set *set, const dv__field *f, bool nullable, bool open);
/** Append "Name":{...} for each table of the set, those included that are found on the way. */
void dv__openapi_schemas(dv_buf *b, dv__openapi_set *set);
/** Append "key":"text", nothing if text is NULL. comma: begin with one. */
void dv__openapi_text(dv_buf *b, bool comma, const char *key, const char *text);

#endif
