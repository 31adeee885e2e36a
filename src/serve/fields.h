/* SPDX-License-Identifier: MIT */
/* How the tables of fields are written, and the parts that several of them share. The tables know what drover's engine, llama-server and OpenAI's and
 * Anthropic's clients know: a field that no backend takes is refused here, one that only some of them take is refused by the others. Ranges are the widest
 * that make sense to any of them. */
#ifndef DV_SERVE_FIELDS_H
#define DV_SERVE_FIELDS_H

#include "base/attr.h"
#include "serve/schema.h"

#define T_BOOL DV__T_BOOL
#define T_INT DV__T_INT
#define T_NUM DV__T_NUM
#define T_STR DV__T_STR
#define T_ARR DV__T_ARR
#define T_OBJ DV__T_OBJ
#define T_ANY DV__T_ANY

/* A row: name, types, and what else there is to say of it. */
#define F(n, t, ...)                           \
    {                                          \
        .name = (n), .types = (t), __VA_ARGS__ \
    }
#define F_BOOL(n, about) F(n, T_BOOL, .help = about)
#define F_INT(n, low, high, about) F(n, T_INT, .min = (low), .max = (high), .help = about)
#define F_NUM(n, low, high, about) F(n, T_NUM, .min = (low), .max = (high), .help = about)
#define F_NAME(n, most, about) F(n, T_STR, .max_len = (most), .help = about)
#define F_WORD(n, list, about) F(n, T_STR, .words = list, .help = about)
#define F_TEXT(n, about) F(n, T_STR, .flags = DV__F_TEXT, .help = about)
#define F_FREE(n, about) F(n, T_OBJ, .help = about)
#define F_ANY(n, about) F(n, T_ANY, .help = about)

/* The table of an object: F_TABLE(chat, "ChatCompletionRequest", chat_fields, &base, "help"). */
#define F_SCHEMA(title, rows, under, about)                                                          \
    {                                                                                                \
        .name = (title), .fields = (rows), .n = DV_ARRAY_LEN(rows), .base = (under), .help = (about) \
    }

#define INT_MOST 2147483647
enum {
    DV__MODEL_LEN = 1024,   /**< bytes of a model's name */
    DV__ID_LEN = 1024,      /**< of identifiers that clients keep: of calls, messages, files */
    DV__LABEL_LEN = 4096,   /**< of what describes a request for others */
    DV__URL_LEN = 33554432, /**< of a URL, which may hold its data: what a body may have */
    DV__MESSAGES = 16384,   /**< messages or items of a conversation */
    DV__PARTS = 4096,       /**< parts of a message */
    DV__TOOLS = 1024,       /**< tools, and calls of one message */
    DV__LISTED = 1048576,   /**< tokens, texts */
    DV__STOPS = 128,        /**< stop strings */
    DV__BIASES = 65536,     /**< entries of logit_bias */
};

/* Fields of all requests that generate: sampling, limits, constraints; below them what is said for others: model, user, metadata. */
extern const dv__schema dv__part_generation, dv__part_meta;
/* Elements of lists. */
extern const dv__field dv__part_stop, dv__part_text, dv__part_token, dv__part_message, dv__part_chat_tool,
    dv__part_prompt;
/* Objects. */
extern const dv__schema dv__part_response_format, dv__part_prompt_object, dv__part_stream_options, dv__part_json_schema;

#define F_STREAM_OPTIONS F("stream_options", T_OBJ, .of = &dv__part_stream_options, .help = "What a stream also tells.")
#define F_RESPONSE_FORMAT \
    F("response_format", T_OBJ, .of = &dv__part_response_format, .help = "What the answer must be.")
#define F_PROMPT                                                                                    \
    F("prompt", T_STR | T_ARR | T_OBJ, .flags = DV__F_TEXT | DV__F_REQUIRED, .max_len = DV__LISTED, \
      .item = &dv__part_prompt, .of = &dv__part_prompt_object,                                      \
      .help = "A text, a list of tokens, a mix of both, or a list of these.")

#endif
