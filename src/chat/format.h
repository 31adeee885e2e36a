/* SPDX-License-Identifier: MIT */
/* How a model writes thoughts and tool calls, found out from its chat template, and conversations made to fit that template.
 *
 * A request goes: message.h (its JSON to internal messages and tools), dv_chatfmt_render (to the prompt's text),
 * dv_chatfmt_encode (to tokens), constraint.h (what the answer may be), parser.h (the answer to its parts). */
#ifndef DV_CHAT_FORMAT_H
#define DV_CHAT_FORMAT_H

#include "base/buf.h"
#include "chat/message.h"
#include "gguf/gguf.h"
#include "tok/chat.h"
#include "tok/tok.h"

/** How an answer spells a tool call. */
typedef enum dv_chatfmt_kind {
    DV_CHATFMT_GENERIC,      /**< {"tool_calls": [{"name", "arguments"}]}, tools described in the system message */
    DV_CHATFMT_LLAMA3,       /**< {"name", "parameters"}, perhaps behind <|python_tag|> */
    DV_CHATFMT_HERMES,       /**< <tool_call>{"name", "arguments"}</tool_call>: Hermes, Qwen */
    DV_CHATFMT_MISTRAL,      /**< [TOOL_CALLS][{"name", "arguments"}] */
    DV_CHATFMT_MISTRAL_ARGS, /**< [TOOL_CALLS]name[ARGS]{...} */
    DV_CHATFMT_PHI4,         /**< functools[{"name", "arguments"}] or <|tool_call|>[...]<|/tool_call|> */
    DV_CHATFMT_DEEPSEEK,     /**< <｜tool▁calls▁begin｜>..., V3 and R1, arguments in a fence */
    DV_CHATFMT_DEEPSEEK_31,  /**< the same, arguments bare: V3.1 */
    DV_CHATFMT_GEMMA,   /**< {"name", "parameters"}, perhaps in a fence; tools described in the first user message */
    DV_CHATFMT_HARMONY, /**< channels analysis, commentary, final: gpt-oss */
    DV_CHATFMT_N
} dv_chatfmt_kind;

/** What the template does with a conversation, found by rendering small ones. */
typedef struct dv_chatfmt_caps {
    bool system;           /**< shows a system message */
    bool tools;            /**< shows the tools */
    bool calls;            /**< shows tool calls of the history */
    bool results;          /**< shows messages of role tool */
    bool parallel;         /**< takes several calls in one message */
    bool object_arguments; /**< wants arguments as an object, not as text */
    bool null_content;     /**< shows calls only when the content is null */
    bool alternate;        /**< refuses two messages of the same role in a row */
    bool part_content;     /**< wants content as a list of parts */
    bool thinking;         /**< knows <think> or a like of it */
    bool enable_thinking;  /**< reads the variable enable_thinking */
    bool reasoning_effort; /**< reads the variable reasoning_effort */
} dv_chatfmt_caps;

/** The templates of one model and what is known about them. Immutable: any number of threads may use it at once. */
typedef struct dv_chatfmt dv_chatfmt;

/**
 * Read the chat template of a model file (ChatML if it has none) and find out its format.
 * @param g    borrowed until dv_chatfmt_close
 * @param tok  tells which markers are control tokens; borrowed until dv_chatfmt_close; NULL: none are
 * Errors: as dv_chat_open.
 */
int dv_chatfmt_open(dv_chatfmt **out, const dv_gguf *g, const dv_tok *tok, dv_err *err);
/** The same from texts, which are copied. tmpl NULL: ChatML; tool_tmpl, bos, eos, tok may be NULL. */
int dv_chatfmt_open_text(dv_chatfmt **out, const char *tmpl, const char *tool_tmpl, const char *bos, const char *eos,
                         const dv_tok *tok, dv_err *err);
/** Accepts NULL and nulls the pointer. */
void dv_chatfmt_close(dv_chatfmt **f);

dv_chatfmt_kind dv_chatfmt_kind_of(const dv_chatfmt *f);
/** "hermes" and the like; static string. "?" for a number that is none. */
const char *dv_chatfmt_kind_name(dv_chatfmt_kind kind);
const dv_chatfmt_caps *dv_chatfmt_caps_of(const dv_chatfmt *f);
/** Source text of the main template (ChatML's if the file has none), for /props. Borrowed, terminated. */
const char *dv_chatfmt_source(const dv_chatfmt *f);

/** What is rendered. */
typedef struct dv_chatfmt_input {
    const json_t *messages;    /**< internal messages (message.h); borrowed */
    const dv_chattools *tools; /**< NULL: none */
    const json_t *vars; /**< object of further template variables (enable_thinking, reasoning_effort, ...); NULL */
    bool add_generation_prompt; /**< end with the start of an assistant's answer */
    bool continue_last; /**< the last message is an assistant's, without calls: the answer goes on where it ends */
} dv_chatfmt_input;

/** A rendered conversation. Zero-initialise; dv_chatfmt_text_fini frees. */
typedef struct dv_chatfmt_text {
    dv_buf text;
    dv_spans spans;   /**< which bytes of it are trusted */
    bool in_thinking; /**< the prompt has opened the thoughts already: the answer begins inside them */
    bool
        may_think; /**< thoughts may come: these, or ones that the answer opens. The prompt has not closed them, nor begun the text behind them */
} dv_chatfmt_text;

void dv_chatfmt_text_fini(dv_chatfmt_text *t);

/**
 * Make the conversation fit the template and render it: a system message that the template has no place for goes into the
 * first user message, tools that it does not know are described in the system message, tool calls and results that it does not
 * know become text, arguments are text or objects as it wants them, messages are merged where roles must alternate.
 * @param opts  NULL: defaults
 * @param out   replaced
 * Errors: DV_EINVAL (a field of the request, with its path), DV_ETEMPLATE (the template's own refusal), DV_ELIMIT, DV_ENOMEM.
 */
int dv_chatfmt_render(const dv_chatfmt *f, const dv_chatfmt_input *in, const dv_tmpl_opts *opts, dv_chatfmt_text *out,
                      dv_err *err);
/** Tokens of a rendered conversation, appended to out; BOS is put in front where the tokenizer wants one and there is none. */
int dv_chatfmt_encode(const dv_chatfmt *f, const dv_tok *tok, const dv_chatfmt_text *text, dv_ids *out, dv_err *err);

#endif
