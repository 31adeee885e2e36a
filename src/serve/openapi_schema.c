/* SPDX-License-Identifier: MIT */
/* Tables of fields as JSON Schemas (draft 2020-12). A field that may be several things becomes alternatives. What a table bounds in bytes, the schema
 * bounds in characters, of which there are never more: it lets pass what the table lets pass. */
#include "base/attr.h"
#include "serve/field.h"
#include "serve/openapi.h"

#include <math.h>
#include <string.h>

void dv__openapi_text(dv_buf *b, bool comma, const char *key, const char *text)
{
    if (text == NULL)
        return;
    dv_buf_printf(b, "%s\"%s\":", comma ? "," : "", key);
    dv_buf_json_str(b, text, strlen(text));
}

void dv__openapi_ref(dv_buf *b, dv__openapi_set *set, const dv__schema *s, bool open)
{
    size_t i = 0;
    while (i < set->n && set->schema[i] != s)
        i++;
    if (i == set->n && i < DV__OPENAPI_SCHEMAS) {
        set->schema[i] = s;
        set->open[i] = open;
        set->n++;
    } else if (i == DV__OPENAPI_SCHEMAS) {
        set->full = true;
    }
    dv_buf_printf(b, "\"$ref\":\"#/components/schemas/%s\"", s->name);
}

/* ---- the parts of a value ---- */

static void put_number(dv_buf *b, const char *key, double v)
{
    if (!isfinite(v))
        return;
    dv_buf_printf(b, ",\"%s\":", key);
    if (v == floor(v) && fabs(v) <= (double)DV__FIELD_MAX_INT)
        dv_buf_printf(b, "%.0f", v);
    else
        dv_buf_json_num(b, v);
}

static void put_length(dv_buf *b, const char *key, unsigned long long n)
{
    if (n != 0)
        dv_buf_printf(b, ",\"%s\":%llu", key, n);
}

static void put_words(dv_buf *b, const char *words, bool nullable)
{
    dv_buf_adds(b, ",\"enum\":[");
    for (bool first = true;; first = false) {
        size_t n = strcspn(words, "|");
        dv_buf_adds(b, first ? "" : ",");
        dv_buf_json_str(b, words, n);
        if (words[n] == 0)
            break;
        words += n + 1;
    }
    dv_buf_adds(b, nullable ? ",null]" : "]");
}

static void put_string(dv_buf *b, const dv__field *f, bool nullable)
{
    const dv__field *own = dv__field_alone(f);
    bool plain = (own->types & (DV__T_ARR | DV__T_OBJ)) == 0;
    if (own->words != NULL) {
        put_words(b, own->words, nullable);
        return;
    }
    if (plain && own->min_len == 1) /* a length in bytes says nothing else of characters */
        put_length(b, "minLength", 1);
    if (plain)
        put_length(b, "maxLength", own->max_len);
    if (own->flags & DV__F_SECRET)
        dv_buf_adds(b, ",\"format\":\"password\",\"writeOnly\":true");
}

static void put_array(dv_buf *b, dv__openapi_set *set, const dv__field *f, bool open)
{
    put_length(b, "minItems", f->min_len);
    put_length(b, "maxItems", f->max_len);
    if (f->item == NULL)
        return;
    dv_buf_adds(b, ",\"items\":");
    dv__openapi_value(b, set, f->item, (f->item->flags & DV__F_NULL) != 0, open);
}

static void put_range(dv_buf *b, const dv__field *f)
{
    double min, max;
    dv__field_bounds(f, &min, &max);
    put_number(b, "minimum", min);
    put_number(b, "maximum", max);
}

/* One of the things that f may be. null: it may be that too. */
static void put_part(dv_buf *b, dv__openapi_set *set, const dv__field *f, unsigned type, bool null, bool open)
{
    static const char *const names[] = {"boolean", "integer", "number", "string", "array", "object"};
    unsigned i = 0;
    while (1u << i != type)
        i++;
    if (type == DV__T_OBJ && f->of != NULL) {
        dv__openapi_ref(b, set, f->of, open);
        return;
    }
    dv_buf_printf(b, null ? "\"type\":[\"%s\",\"null\"]" : "\"type\":\"%s\"", names[i]);
    switch (type) {
    case DV__T_INT:
    case DV__T_NUM: put_range(b, f); break;
    case DV__T_STR: put_string(b, f, null); break;
    case DV__T_ARR: put_array(b, set, f, open); break;
    case DV__T_OBJ:
        put_length(b, "minProperties", f->min_len);
        put_length(b, "maxProperties", f->max_len);
        break;
    default: break;
    }
}

static void put_parts(dv_buf *b, dv__openapi_set *set, const dv__field *f, unsigned types, bool null, bool open)
{
    bool first = true;
    dv_buf_adds(b, "\"anyOf\":[");
    for (unsigned type = 1; type <= DV__T_OBJ; type <<= 1) {
        if ((types & type) == 0)
            continue;
        dv_buf_adds(b, first ? "{" : ",{");
        put_part(b, set, f, type, false, open);
        dv_buf_addc(b, '}');
        first = false;
    }
    dv_buf_adds(b, null ? ",{\"type\":\"null\"}]" : "]");
}

void dv__openapi_value(dv_buf *b, dv__openapi_set *set, const dv__field *f, bool nullable, bool open)
{
    unsigned types = f->types & DV__T_NUM ? f->types & ~(unsigned)DV__T_INT : f->types;
    bool any = f->types == DV__T_ANY && f->of == NULL && f->item == NULL;
    bool one = (types & (types - 1)) == 0, ref = one && types == DV__T_OBJ && f->of != NULL;
    size_t begun = b->len;
    dv_buf_addc(b, '{');
    if (one && !(ref && nullable))
        put_part(b, set, f, types, nullable, open);
    else if (!any)
        put_parts(b, set, f, types, nullable, open);
    dv__openapi_text(b, b->len > begun + 1, "description", f->help);
    dv_buf_addc(b, '}');
}

/* ---- tables ---- */

static bool is_nullable(const dv__field *f, bool open)
{
    return (f->flags & DV__F_NULL) != 0 || (!open && (f->flags & DV__F_REQUIRED) == 0);
}

/* Field i of s and its bases; NULL behind the last one. Those that another one of the same name hides are skipped by the caller. */
static const dv__field *field_at(const dv__schema *s, size_t i)
{
    while (s != NULL && i >= s->n) {
        i -= s->n;
        s = s->base;
    }
    return s != NULL ? &s->fields[i] : NULL;
}

static bool is_shown(const dv__schema *s, const dv__field *f)
{
    return f->name[0] != '*' && dv__field_find(s, f->name) == f;
}

static void put_required(dv_buf *b, const dv__schema *s)
{
    const dv__field *f;
    bool first = true;
    for (size_t i = 0; (f = field_at(s, i)) != NULL; i++) {
        if ((f->flags & DV__F_REQUIRED) == 0 || !is_shown(s, f))
            continue;
        dv_buf_adds(b, first ? ",\"required\":[" : ",");
        dv_buf_json_str(b, f->name, strlen(f->name));
        first = false;
    }
    dv_buf_adds(b, first ? "" : "]");
}

static void put_table(dv_buf *b, dv__openapi_set *set, const dv__schema *s, bool open)
{
    const dv__field *f, *rest = dv__field_find(s, "*");
    bool first = true;
    dv_buf_printf(b, "\"%s\":{\"type\":\"object\"", s->name);
    dv__openapi_text(b, true, "description", s->help);
    dv_buf_adds(b, ",\"properties\":{");
    for (size_t i = 0; (f = field_at(s, i)) != NULL; i++) {
        if (!is_shown(s, f))
            continue;
        dv_buf_adds(b, first ? "" : ",");
        dv_buf_json_str(b, f->name, strlen(f->name));
        dv_buf_addc(b, ':');
        dv__openapi_value(b, set, f, is_nullable(f, open), open);
        first = false;
    }
    dv_buf_addc(b, '}');
    put_required(b, s);
    if (rest != NULL) {
        dv_buf_adds(b, ",\"additionalProperties\":");
        dv__openapi_value(b, set, rest, is_nullable(rest, open), open);
    } else if (!open) {
        dv_buf_adds(b, ",\"additionalProperties\":false");
    }
    dv_buf_addc(b, '}');
}

void dv__openapi_schemas(dv_buf *b, dv__openapi_set *set)
{
    for (size_t i = 0; i < set->n; i++) { /* grows */
        dv_buf_adds(b, i > 0 ? "," : "");
        put_table(b, set, set->schema[i], set->open[i]);
    }
}
