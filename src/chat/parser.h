/* SPDX-License-Identifier: MIT */
/* A model's answer, as it arrives, to content, reasoning and tool calls.
 *
 * What has been handed out is never taken back: text that may be the start of a marker is held until it is clear what it is,
 * and a tool call begins only when its name is complete and its arguments have begun. What is no well-formed call stays content,
 * byte for byte. White space around thoughts and calls is dropped. How the text is cut into pieces makes no difference to the
 * events but for where deltas are cut. Linear in the length of the text. */
#ifndef DV_CHAT_PARSER_H
#define DV_CHAT_PARSER_H

#include "chat/format.h"

enum {
    DV_CHATFMT_MAX_HEAD = 4096,    /**< bytes in front of the arguments of a call */
    DV_CHATFMT_MAX_CALL = 1 << 20, /**< bytes of a call that is held back as a whole */
    DV_CHATFMT_MAX_SPACE = 64,     /**< bytes of white space held back in front of a marker */
    DV_CHATFMT_MAX_DEPTH = 64      /**< nesting of arguments */
};

typedef enum dv_chatfmt_event_type {
    DV_CHATFMT_CONTENT,    /**< text */
    DV_CHATFMT_REASONING,  /**< text */
    DV_CHATFMT_CALL_BEGIN, /**< index, id, name */
    DV_CHATFMT_CALL_ARGS,  /**< index, text: a piece of the JSON object's text, as the model wrote it */
    DV_CHATFMT_CALL_END,   /**< index, complete */
    DV_CHATFMT_EVENT_N
} dv_chatfmt_event_type;

/** One event. Strings are borrowed until the callback returns. */
typedef struct dv_chatfmt_event {
    dv_chatfmt_event_type type;
    unsigned index;   /**< of the call: 0, 1, ... */
    const char *id;   /**< of CALL_BEGIN; terminated */
    const char *name; /**< of CALL_BEGIN; terminated */
    const char *text; /**< n bytes of UTF-8, n > 0, of deltas; not terminated */
    size_t n;
    bool complete; /**< of CALL_END: the arguments are one whole JSON object; otherwise they stop in the middle */
} dv_chatfmt_event;

typedef struct dv_chatfmt_parser dv_chatfmt_parser;

typedef struct dv_chatfmt_parser_options {
    const dv_chattools
        *tools; /**< tools of the request; used during open only; NULL, empty or choice none: no call is recognised */
    bool in_thinking;   /**< from dv_chatfmt_text: the answer begins inside thoughts */
    bool keep_thinking; /**< thoughts are not split out: they stay content, tags included */
    bool calls_first;   /**< an answer that begins as content has no calls: what looks like one in it is content */
    bool whole_calls;   /**< hand out a call only when it is complete: one that is broken off stays content too */
    uint64_t seed;      /**< of the ids of calls: the same seed gives the same ids */
    void *arg;
    int (*on_event)(void *arg, const dv_chatfmt_event *ev); /**< not 0: the call that led here returns this */
} dv_chatfmt_parser_options;

/** f is borrowed until close. One thread at a time. Errors: DV_ENOMEM. */
int dv_chatfmt_parser_open(dv_chatfmt_parser **out, const dv_chatfmt *f, const dv_chatfmt_parser_options *o,
                           dv_err *err);
/** Accepts NULL and nulls the pointer. */
void dv_chatfmt_parser_close(dv_chatfmt_parser **p);

/**
 * The next piece of text.
 * @param text  n bytes; whole characters, as dv_detok_push writes them (anything that is not UTF-8 becomes U+FFFD)
 * @return      0; DV_ENOMEM; what on_event returned. After a failure the parser can only be closed.
 */
int dv_chatfmt_push(dv_chatfmt_parser *p, const char *text, size_t n);
/**
 * A control token (dv_tok_is_control), which decoding leaves out of the text: a marker of the format, or nothing.
 * @param text  the token's text (dv_tok_piece)
 */
int dv_chatfmt_push_control(dv_chatfmt_parser *p, const char *text, size_t n);
/** The end of the answer: what was held is handed out. */
int dv_chatfmt_finish(dv_chatfmt_parser *p);
/** At most so many markers of a format are tokens. */
enum { DV_CHATFMT_MAX_MARKS = 8 };
/**
 * The control tokens that dv_chatfmt_push_control makes something of: text does not go across them.
 * @param tools  as in dv_chatfmt_parser_options
 * @return       how many are in out
 */
size_t dv_chatfmt_marks(const dv_chatfmt *f, const dv_chattools *tools, uint32_t out[DV_CHATFMT_MAX_MARKS]);
/** Calls begun so far: finish_reason is "tool_calls" if there are any. */
unsigned dv_chatfmt_n_calls(const dv_chatfmt_parser *p);

/**
 * A whole answer at once, to {"role": "assistant", "content": string or null, "reasoning_content": string, "tool_calls": [...]}
 * in OpenAI's shape; keys without a value are absent. o->on_event is not used and whole_calls is taken as set.
 * @param out  a new reference; NULL on failure
 */
int dv_chatfmt_parse(const dv_chatfmt *f, const dv_chatfmt_parser_options *o, const char *text, size_t n, json_t **out,
                     dv_err *err);

#endif
