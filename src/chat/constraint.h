/* SPDX-License-Identifier: MIT */
/* What an answer with tools may be, as a grammar. */
#ifndef DV_CHAT_CONSTRAINT_H
#define DV_CHAT_CONSTRAINT_H

#include "chat/format.h"
#include "grammar/grammar.h"

/**
 * The grammar of an answer to a request with tools. required, named: thoughts if the format has them, then calls whose arguments match
 * the tools' schemas. auto: free text, but a call that is opened is well-formed and matches. No tools or choice none: *out is NULL.
 * @param in_thinking  from dv_chatfmt_text
 * @param out          a new reference
 * Errors: what dv_grammar refuses (a schema keyword, with the tool's name in front), DV_ELIMIT, DV_ENOMEM.
 */
int dv_chatfmt_grammar(const dv_chatfmt *f, const dv_chattools *tools, bool in_thinking, dv_grammar **out, dv_err *err);

#endif
