/* SPDX-License-Identifier: MIT */
/* Requests of the three chat APIs (OpenAI Chat Completions, OpenAI Responses, Anthropic Messages) to one internal list of
 * messages and one list of tools. Pure functions from JSON to JSON: nothing is kept, any thread may call them.
 *
 * Internal messages are OpenAI's, made regular; a key that is absent has no value:
 *   {"role": "system" | "user",  "content": string}
 *   {"role": "assistant", "content": string or null, "reasoning_content": string,
 *    "tool_calls": [{"id": string, "type": "function", "function": {"name": string, "arguments": string}}]}
 *   {"role": "tool", "tool_call_id": string, "name": string, "content": string}
 * "arguments" is the text of a JSON object as the client sent it. Content parts are joined, "developer" is "system", null
 * and absent are the same. The history is checked: a tool message answers a call before it, the calls of a message have
 * different ids. Keys that are not known are ignored; content that drover cannot see (images, audio, files) is refused by name.
 *
 * Errors: DV_EINVAL with a sentence that begins with the path of the field ("messages[2].tool_calls[0].function.arguments is
 * not valid JSON"); DV_ELIMIT; DV_ENOMEM. Whatever the errors say of a field is safe to send back to the client. */
#ifndef DV_CHAT_MESSAGE_H
#define DV_CHAT_MESSAGE_H

#include "drover/error.h"

#include <jansson.h>
#include <stdbool.h>

enum {
    DV_CHAT_MAX_MESSAGES = 16384, /**< messages or input items of a request */
    DV_CHAT_MAX_PARTS = 16384,    /**< content parts of a message */
    DV_CHAT_MAX_CALLS = 256,      /**< tool calls of a message */
    DV_CHAT_MAX_TOOLS = 256,      /**< tools of a request */
    DV_CHAT_MAX_NAME = 64         /**< bytes of a tool's name; letters, digits, '_', '-' and '.' */
};

/**
 * The messages of /v1/chat/completions.
 * @param messages  the field "messages"; borrowed
 * @param out       a new reference; NULL on failure
 */
int dv_chatmsg_from_openai(const json_t *messages, json_t **out, dv_err *err);

/**
 * The messages of /v1/messages: content blocks text, thinking, redacted_thinking (dropped), tool_use, tool_result.
 * @param messages  the field "messages"; borrowed
 * @param system    the field "system", a string or a list of text blocks; NULL: absent
 */
int dv_chatmsg_from_anthropic(const json_t *messages, const json_t *system, json_t **out, dv_err *err);

/**
 * The messages of /v1/responses: items message, function_call, function_call_output, reasoning; a string is one user message.
 * @param input         the field "input"; borrowed
 * @param instructions  the field "instructions", a string; NULL: absent
 */
int dv_chatmsg_from_responses(const json_t *input, const json_t *instructions, json_t **out, dv_err *err);

/** Who decides whether tools are called. */
typedef enum dv_toolchoice {
    DV_TOOLCHOICE_AUTO,     /**< the model */
    DV_TOOLCHOICE_NONE,     /**< no calls; the model is not shown the tools either */
    DV_TOOLCHOICE_REQUIRED, /**< at least one call, of any tool */
    DV_TOOLCHOICE_NAMED,    /**< exactly one call, of the tool `name` */
    DV_TOOLCHOICE_N
} dv_toolchoice;

/** The tools of a request. Zero-initialised: no tools. dv_chattools_fini drops it. */
typedef struct dv_chattools {
    json_t *list; /**< owned; [{"type": "function", "function": {"name", "description", "parameters"}}]; NULL: none.
                               "parameters" is always there and is an object */
    dv_toolchoice choice; /**< DV_TOOLCHOICE_NONE when list is NULL */
    const char *name;     /**< of DV_TOOLCHOICE_NAMED; borrowed from list; otherwise NULL */
    bool parallel;        /**< more than one call in an answer is allowed */
} dv_chattools;

/**
 * Fields "tools", "tool_choice" and "parallel_tool_calls" of a chat completion; each may be NULL (absent) or JSON null.
 * DV_EINVAL also for a tool_choice that names no tool of the list or that needs tools when there are none, and for tools of
 * the same name. out is filled only on success.
 */
int dv_chattools_from_openai(dv_chattools *out, const json_t *tools, const json_t *choice, const json_t *parallel,
                             dv_err *err);
/** The same for /v1/responses, whose tools and choice are flat: {"type": "function", "name", "parameters"}. */
int dv_chattools_from_responses(dv_chattools *out, const json_t *tools, const json_t *choice, const json_t *parallel,
                                dv_err *err);
/** The same for /v1/messages: tools with input_schema, choice auto, any, tool or none with disable_parallel_tool_use. */
int dv_chattools_from_anthropic(dv_chattools *out, const json_t *tools, const json_t *choice, dv_err *err);
void dv_chattools_fini(dv_chattools *t);

#endif
