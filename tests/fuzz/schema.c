/* SPDX-License-Identifier: MIT */
/* JSON Schemas: the input is one; what compiles is walked. Two of the three kinds of white space, by the length of the input. */
#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dv_grammar_schema_options options = {.space = size % 2 ? DV_GRAMMAR_SPACE_FREE : DV_GRAMMAR_SPACE_COMPACT};
    json_error_t bad;
    json_t *schema = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &bad);
    dv_grammar *g = NULL;
    dv_err err = {0};
    if (schema == NULL)
        return 0;
    int rc = dv_grammar_from_schema(&g, schema, &options, &gw_limits, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (g != NULL) && (rc == 0 || err.msg[0] != 0));
    if (rc == 0)
        gw_walk(g, data, size);
    dv_grammar_unref(&g);
    json_decref(schema);
    return 0;
}
