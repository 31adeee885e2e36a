/* SPDX-License-Identifier: MIT */
/* What goes wrong, as the client sees it: the one place where a failure becomes a status and a body in the shape of an API. */
#ifndef DV_API_PROBLEM_H
#define DV_API_PROBLEM_H

#include "api/route.h"

typedef struct dv__problem {
    int status;
    const char *type;         /**< of llama-server's and OpenAI's shape; static; NULL: what goes with the status */
    const char *text;         /**< a sentence; may be of the client's making in parts: it is escaped */
    const char *param;        /**< field that it is about; NULL or "": none */
    uint32_t n_prompt, n_ctx; /**< of an exceed_context_size_error */
    unsigned retry_after;     /**< seconds, for 503; 0: not said */
} dv__problem;

/** From a failure of a call. Points into c and err. */
dv__problem dv__problem_of(const dv__call *c, const dv_err *err);
/** Append the body of an error, one line of JSON. */
int dv__problem_body(dv_buf *b, dv__shape shape, const dv__problem *p, const char *request_id);
/** Reply with it, on a request that has no reply yet. */
void dv__problem_reply(dv_http_req *req, dv__shape shape, const dv__problem *p);

#endif
