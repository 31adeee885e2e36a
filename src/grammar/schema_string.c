/* SPDX-License-Identifier: MIT */
/* Strings: length, pattern and format. */
#include "grammar/schema.h"

#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

/* Formats as patterns; each is a subset of what the format allows that every validator takes. RFC 3339 for dates and times. */
#define YEAR "[0-9]{4}"
#define LEAP "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                                                                     \
    "(?:" YEAR                                                                                                                   \
    "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP \
    "-02-29)"
#define TIME "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOST LABEL "(?:\\." LABEL "){0,5}"
#define H16 "[0-9a-fA-F]{1,4}"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"duration",
     "P(?:[0-9]{1,4}W|(?:[0-9]{1,4}Y(?:[0-9]{1,4}M(?:[0-9]{1,4}D)?)?|[0-9]{1,4}M(?:[0-9]{1,4}D)?|[0-9]{1,4}D)"
     "(?:T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))?"
     "|T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))"},
    {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
    {"email", "[A-Za-z0-9_+-]{1,32}(?:\\.[A-Za-z0-9_+-]{1,16}){0,2}@" LABEL "(?:\\." LABEL "){1,4}"},
    {"hostname", HOST},
    {"ipv4", OCTET "(?:\\." OCTET "){3}"},
    {"ipv6", "(?:" H16 ":){7}" H16 "|(?:" H16 ":){1,6}:" H16 "|::" H16 "(?::" H16 "){0,5}|::"},
    {"uri", "https?://" HOST "(?::[1-9][0-9]{1,3})?(?:/[A-Za-z0-9._~-]{0,200}){0,20}(?:\\?[A-Za-z0-9._~=&-]{1,200})?"},
};

static dv_gx format_of(dv__schema *s, const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(formats); i++)
        if (strcmp(name, formats[i].name) == 0)
            return dv__regex(s->b, formats[i].pattern, strlen(formats[i].pattern), true, true);
    return dv__schema_refuse(
        s, "format",
        "cannot be enforced: known are date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, "
        "uri");
}

static dv_gx pattern_of(dv__schema *s, const json_t *v)
{
    dv_err *err = &s->b->err;
    if (!json_is_string(v))
        return dv__schema_refuse(s, "pattern", "is not a string");
    dv_gx x = dv__regex(s->b, json_string_value(v), json_string_length(v), false, true);
    if (err->code == DV_EINVAL && strncmp(err->msg, "schema ", 7) != 0)
        dv_err_prefix(err, "schema keyword 'pattern' at %s", dv_buf_str(&s->path));
    return x;
}

/* The texts that all of pattern and format allow, as content of a JSON string; DV_GX_NONE if there is neither. */
enum { NO_CONTENT = -2 };

static dv_gx content_of(dv__schema *s, const json_t *schema)
{
    const json_t *patterns = json_object_get(schema, "pattern"), *format = json_object_get(schema, "format"), *v;
    dv_gx x = NO_CONTENT;
    size_t i;
    if (format != NULL && !json_is_string(format))
        return dv__schema_refuse(s, "format", "is not a string");
    if (format != NULL)
        x = format_of(s, json_string_value(format));
    json_array_foreach(patterns, i, v)
    {
        dv_gx p = pattern_of(s, v);
        x = p < 0 || x == -1 ? -1 : x == NO_CONTENT ? p : dv__x_and(s->b, x, p);
    }
    return x;
}

static bool lengths(dv__schema *s, const json_t *schema, uint32_t *min, uint32_t *max)
{
    *min = 0;
    *max = DV__INF;
    if (!dv__schema_uint(s, schema, "minLength", min) || !dv__schema_uint(s, schema, "maxLength", max))
        return false;
    return *min <= *max || dv__schema_refuse(s, "minLength", "is greater than maxLength") >= 0;
}

dv_gx dv__schema_content(dv__schema *s, const json_t *schema)
{
    uint32_t min, max;
    dv_gx x = lengths(s, schema, &min, &max) ? content_of(s, schema) : -1;
    if (x == -1 || (x >= 0 && min == 0 && max >= DV__INF))
        return x;
    dv_gx any = dv__x_json_class(s->b, (dv__range[]){{0, 0x10ffff}}, 1);
    any = dv_gx_repeat(s->b, any, min, max < DV__INF ? max : DV_GRAMMAR_UNBOUNDED);
    return x == NO_CONTENT ? any : dv__x_and(s->b, x, any);
}

dv_gx dv__schema_string(dv__schema *s, const json_t *schema)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    uint32_t min, max;
    bool some;
    if (!lengths(s, schema, &min, &max))
        return -1;
    if (pattern == NULL && json_object_get(schema, "format") == NULL)
        return dv__json_string(s->b, min, max);
    dv_gx x = dv__schema_content(s, schema);
    if (x < 0 || !dv__x_overlap(s->b, x, -1, &some))
        return -1;
    if (!some)
        return dv__schema_refuse(s, pattern != NULL ? "pattern" : "format",
                                 "leaves no string together with the other keywords");
    dv_gx quote = dv__x_str(s->b, "\"");
    return dv__rule_of(s->b, dv_buf_str(&s->path), DV__RULE_PLAIN, dv_gx_seq(s->b, (dv_gx[]){quote, x, quote}, 3));
}

static bool has_any(const json_t *schema, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (json_object_get(schema, *keys) != NULL)
            return true;
    return false;
}

static int number_passes(dv__schema *s, const json_t *schema, double v)
{
    dv__bound store[2];
    const dv__bound *lo, *hi;
    if (json_object_get(schema, "multipleOf") != NULL)
        return dv__schema_refuse(s, "multipleOf", "cannot be enforced");
    if (!dv__schema_bounds(s, schema, store, &lo, &hi))
        return -1;
    return (lo == NULL || (lo->exclusive ? v > lo->v : v >= lo->v)) &&
           (hi == NULL || (hi->exclusive ? v < hi->v : v <= hi->v));
}

static int string_passes(dv__schema *s, const json_t *schema, const json_t *v)
{
    uint32_t min, max;
    const size_t n = dv_utf8_count(json_string_value(v), json_string_length(v));
    if (!lengths(s, schema, &min, &max))
        return -1;
    dv_gx x = content_of(s, schema);
    bool some = true;
    if (x == -1)
        return -1;
    if (x >= 0 && !dv__x_overlap(s->b, x, dv__json_text(s->b, json_string_value(v), json_string_length(v)), &some))
        return -1;
    return some && n >= min && n <= max;
}

int dv__schema_passes(dv__schema *s, const json_t *schema, const json_t *v)
{
    static const char *const object[] = {"properties",
                                         "required",
                                         "additionalProperties",
                                         "patternProperties",
                                         "propertyNames",
                                         "minProperties",
                                         "maxProperties",
                                         "unevaluatedProperties",
                                         NULL};
    static const char *const array[] = {"items",       "prefixItems",      "minItems", "maxItems",
                                        "uniqueItems", "unevaluatedItems", NULL};
    if (json_is_string(v))
        return string_passes(s, schema, v);
    if (json_is_number(v))
        return number_passes(s, schema, json_number_value(v));
    if ((json_is_object(v) && has_any(schema, object)) || (json_is_array(v) && has_any(schema, array)))
        return dv__schema_refuse(s, "enum",
                                 "(or const) with objects or lists beside keywords for them cannot be enforced");
    return 1;
}
