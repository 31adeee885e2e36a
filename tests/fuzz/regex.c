/* SPDX-License-Identifier: MIT */
/* Patterns: the input is one, as a schema has it and as a whole by the builder. */
#include "grammar_walk.h"

static void as_regex(const uint8_t *data, size_t size)
{
    dv_grammar_builder *b;
    dv_grammar *g = NULL;
    dv_err err = {0};
    if (dv_grammar_builder_open(&b, &gw_limits, &err) != 0)
        return;
    int rc = dv_grammar_build(&g, b, dv_gx_regex(b, (const char *)data, size), &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (g != NULL) && (rc == 0 || err.msg[0] != 0));
    if (rc == 0)
        gw_walk(g, data, size);
    dv_grammar_builder_close(&b);
    dv_grammar_unref(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_regex(data, size);
    json_t *schema = json_object(), *pattern = json_stringn((const char *)data, size);
    dv_grammar *g = NULL;
    dv_err err = {0};
    if (schema != NULL && pattern != NULL && json_object_set_new(schema, "pattern", pattern) == 0 &&
        dv_grammar_from_schema(&g, schema, NULL, &gw_limits, &err) == 0)
        gw_walk(g, data, size);
    dv_grammar_unref(&g);
    json_decref(schema);
    return 0;
}
