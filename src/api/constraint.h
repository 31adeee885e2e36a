/* SPDX-License-Identifier: MIT */
/* What an answer may be: grammar, json_schema, response_format and tools of a request to a compiled grammar. Compiled grammars are kept
 * and found again by their source. Errors: DV_EINVAL naming the field (two constraints at once, an unknown type, a keyword that cannot be
 * enforced), those of grammars. */
#ifndef DV_API_CONSTRAINT_H
#define DV_API_CONSTRAINT_H

#include "api/gen.h"

/** Sets g->grammar for an answer that is plain text. */
int dv__constraint_text(dv__call *c, dv__gen *g, dv_err *err);
/**
 * For an answer in a chat: thoughts first, and calls of tools. Sets g->grammar, g->calls_first.
 * @param prompt  what its end says about thoughts
 */
int dv__constraint_chat(dv__call *c, dv__gen *g, const dv_chattools *tools, const dv_chatfmt_text *prompt, dv_err *err);

#endif
