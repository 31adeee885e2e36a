/* SPDX-License-Identifier: MIT */
#include "web/body.h"

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

/* Bounds of a text's JSON before anything is built of it: a value costs many times its text. */
static int measure(const char *s, size_t n, dv_err *err)
{
    size_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted) {
            quoted = s[i] != '"';
            i += s[i] == '\\';
            continue;
        }
        switch (s[i]) {
        case '"': quoted = true; break;
        case '[':
        case '{':
            values++;
            if (++depth > DV_BODY_MAX_DEPTH)
                return dv_fail(err, DV_ELIMIT, "the body's JSON is nested more than %d deep", DV_BODY_MAX_DEPTH);
            break;
        case ']':
        case '}': depth -= depth > 0; break;
        case ',': values++; break;
        default: break;
        }
        if (values > DV_BODY_MAX_VALUES)
            return dv_fail(err, DV_ELIMIT, "the body's JSON has more than %d values", DV_BODY_MAX_VALUES);
    }
    return 0;
}

int dv_body_parse(const char *text, size_t n, json_t **out, dv_err *err)
{
    json_error_t e;
    bool no_memory;
    *out = NULL;
    if (n == 0)
        return dv_fail(err, DV_EFORMAT, "the body is empty: a JSON object is needed");
    int rc = measure(text, n, err);
    if (rc != 0)
        return rc;
    if (dv_mem_used(DV_MEM_JSON) > DV_BODY_MAX_JSONS)
        return dv_fail(err, DV_EBUSY, "the requests that are being answered take all the memory there is for them");
    dv_json_bound_begin(DV_BODY_MAX_JSON);
    json_t *v = dv_json_load(text, n, JSON_REJECT_DUPLICATES, &e, &no_memory);
    if (dv_json_bound_end() && v == NULL)
        return dv_fail(err, DV_ELIMIT, "the body's JSON takes more than %d MiB of memory", DV_BODY_MAX_JSON >> 20);
    if (no_memory)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    if (v == NULL)
        return dv_fail(err, DV_EFORMAT, "the body is not valid JSON: %s at line %d, column %d", e.text, e.line,
                       e.column);
    if (json_is_object(v)) {
        *out = v;
        return 0;
    }
    json_decref(v);
    return dv_fail(err, DV_EFORMAT, "the body must be a JSON object");
}
