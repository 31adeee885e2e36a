/* SPDX-License-Identifier: MIT */
/* What goes wrong, as the client sees it: the one place where a failure becomes a status and a body in the style of an API. */
#ifndef DV_WEB_PROBLEM_H
#define DV_WEB_PROBLEM_H

#include "http/server.h"

/** How the errors of an API look. */
typedef enum dv_style {
    DV_STYLE_OPENAI, /**< OpenAI's, llama-server's, and that of drover's own API */
    DV_STYLE_ANTHROPIC,
    DV_STYLE_N
} dv_style;

enum {
    DV_PROBLEM_RETRY_S = 1
}; /**< after which a client that found no room should come again: soon, since a place gets free with every answer */

typedef struct dv_problem {
    int status;
    const char *type;         /**< of llama-server's and OpenAI's style; static; NULL: what goes with the status */
    const char *code;         /**< of OpenAI's style; static; NULL: the status */
    const char *text;         /**< a sentence; may be of the client's making in parts: it is escaped */
    const char *param;        /**< field that it is about; NULL or "": none */
    uint32_t n_prompt, n_ctx; /**< of an exceed_context_size_error */
    unsigned retry_after;     /**< seconds, for 429 and 503; 0: not said */
} dv_problem;

/** Append the body of an error, one line of JSON. */
int dv_problem_body(dv_buf *b, dv_style style, const dv_problem *p, const char *request_id);
/** Append the event that tells of a failure within an event stream. */
int dv_problem_event(dv_buf *b, dv_style style, const dv_problem *p, const char *request_id);
/** Reply with it, on a request that has no reply yet. */
void dv_problem_reply(dv_http_req *req, dv_style style, const dv_problem *p);

#endif
