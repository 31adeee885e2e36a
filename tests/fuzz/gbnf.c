/* SPDX-License-Identifier: MIT */
/* Grammars in GBNF: the input is one; what compiles is walked. */
#include "grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_grammar *g;
    dv_err err = {0};
    int rc = dv_grammar_from_gbnf(&g, (const char *)data, size, &gw_limits, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (g != NULL) && (rc == 0 || err.msg[0] != 0));
    if (rc == 0)
        gw_walk(g, data, size);
    dv_grammar_unref(&g);
    return 0;
}
