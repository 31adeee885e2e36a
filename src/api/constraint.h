/* SPDX-License-Identifier: MIT */
/* What an answer may be: grammar, json_schema and response_format of a request to a compiled grammar. */
#ifndef DV_API_CONSTRAINT_H
#define DV_API_CONSTRAINT_H

#include "api/gen.h"

/**
 * Sets g->grammar. Compiled grammars are kept and found again by their source.
 * @param thinking  thoughts come first, free up to their end tag
 * Errors: DV_EINVAL naming the field (two constraints at once, an unknown type, a keyword that cannot be enforced).
 */
int dv__constraint_compile(dv__call *c, dv__gen *g, bool thinking, dv_err *err);

/** The same for the calls that an answer may have: after dv__constraint_compile, which it does not go with. */
int dv__constraint_tools(dv__call *c, dv__gen *g, const dv_chattools *tools, bool thinking, dv_err *err);

#endif
