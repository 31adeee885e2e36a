/* SPDX-License-Identifier: MIT */
/* Conversations to text or tokens, with the chat template of a model file. Texts of a conversation are untrusted: whatever
 * they spell, no control token comes of it. */
#ifndef DV_TOK_CHAT_H
#define DV_TOK_CHAT_H

#include "gguf/gguf.h"
#include "tok/tmpl.h"
#include "tok/tok.h"

typedef struct dv_chat_msg {
    const char
        *role; /**< terminated. "system", "user", "assistant", "tool", "developer", "function" and "ipython" may be
                                spelled into control tokens by a template ("<|user|>"), any other role may not */
    const char *content; /**< content_len bytes; NULL: none */
    size_t content_len;
    const dv_value *content_parts; /**< a list of parts, used instead of content; NULL */
    const char *reasoning;         /**< what the assistant thought, reasoning_len bytes; NULL */
    size_t reasoning_len;
    const dv_value *
        tool_calls; /**< a list in the shape of OpenAI's, arguments parsed to a dict where the template wants one; NULL */
    const char *tool_call_id; /**< terminated; NULL */
    const char *name;         /**< terminated; NULL */
} dv_chat_msg;

typedef struct dv_chat_request {
    const dv_chat_msg *msgs;
    size_t n_msgs;
    const dv_value
        *messages; /**< a list of dicts, used instead of msgs (from JSON, say); roles are vouched for as above */
    const dv_value *tools;     /**< a list of function definitions; NULL: none */
    const dv_value *documents; /**< NULL: none */
    const dv_value
        *extra; /**< a dict of further variables (enable_thinking, ...); NULL. It cannot replace the ones above
                                     nor bos_token, eos_token and add_generation_prompt */
    bool add_generation_prompt; /**< end with the start of an assistant's answer */
} dv_chat_request;

/** The templates of one model. Immutable: any number of threads may render at once. */
typedef struct dv_chat dv_chat;

/**
 * Read the templates of a model file: tokenizer.chat_template, and tokenizer.chat_template.tool_use for conversations with
 * tools if there is one. Without either, ChatML.
 * @param g    used during the call only
 * @param tok  gives bos_token and eos_token; used during the call only; NULL: both are empty
 * Errors: DV_EFORMAT, DV_EUNSUPPORTED, DV_ELIMIT (the template, with line and column), DV_ENOMEM.
 */
int dv_chat_open(dv_chat **out, const dv_gguf *g, const dv_tok *tok, dv_err *err);
/** The same from texts. tmpl NULL: ChatML; tool_tmpl, bos, eos may be NULL. */
int dv_chat_open_text(dv_chat **out, const char *tmpl, const char *tool_tmpl, const char *bos, const char *eos,
                      dv_err *err);
void dv_chat_close(dv_chat **c);
/** The file has no template: ChatML is used. */
bool dv_chat_is_fallback(const dv_chat *c);
/** Source text of ChatML as it is used then. Static string. */
const char *dv_chat_fallback(void);

/** Render to text. Errors and parameters as dv_tmpl_render; DV_EINVAL if a part of the request has the wrong type. */
int dv_chat_render(const dv_chat *c, const dv_chat_request *r, const dv_tmpl_opts *opts, dv_buf *out, dv_spans *spans,
                   dv_err *err);
/**
 * Tokens of a rendered text. BOS is put in front where the tokenizer wants one and the text begins with none.
 * @param out  appended to; on failure as before the call
 */
int dv_chat_encode_text(const dv_chat *c, const dv_tok *tok, const dv_buf *text, const dv_spans *spans, dv_ids *out,
                        dv_err *err);
/**
 * Render and tokenize. BOS is put in front where the tokenizer wants one and the template wrote none.
 * @param out  appended to
 */
int dv_chat_encode(const dv_chat *c, const dv_tok *tok, const dv_chat_request *r, const dv_tmpl_opts *opts, dv_ids *out,
                   dv_err *err);

#endif
