/* SPDX-License-Identifier: MIT */
/* What an answer may be, as a grammar: thoughts, then calls of tools or the text that was asked for. */
#ifndef DV_CHAT_CONSTRAINT_H
#define DV_CHAT_CONSTRAINT_H

#include "chat/format.h"
#include "grammar/grammar.h"

typedef struct dv_chatfmt_answer {
    const dv_chattools *tools;   /**< NULL: none */
    bool in_thinking, may_think; /**< from dv_chatfmt_text */
    /* What the answer is if it is no call, at most one of them; none: any text. */
    const char
        *gbnf; /**< terminated. One that spells the format's thoughts itself is the grammar of all of the answer */
    const json_t *schema; /**< JSON that is valid under it */
    bool object;          /**< any JSON object */
    const char *field;    /**< where these come from, for errors about them; NULL: "grammar" */
} dv_chatfmt_answer;

/**
 * The grammar of an answer. Thoughts are free, where there may be any; what was asked for comes behind them.
 * Tools, required or named: calls whose arguments match the tools' schemas, and nothing else. auto: free text in which a call that is opened is
 * well-formed and matches; or, where the text is constrained, calls or that text. No tools or choice none: that text.
 * @param limits  NULL: the defaults
 * @param out     a new reference; NULL if anything goes
 * Errors: what dv_grammar refuses, with "tools[i] (name)" or the field in front; DV_ELIMIT, DV_ENOMEM.
 */
int dv_chatfmt_grammar(const dv_chatfmt *f, const dv_chatfmt_answer *a, const dv_grammar_limits *limits,
                       dv_grammar **out, dv_err *err);

#endif
