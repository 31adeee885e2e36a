/* SPDX-License-Identifier: MIT */
/* Pieces of JSON that several APIs write. They append to a buffer, whose error sticks. */
#ifndef DV_API_REPLY_H
#define DV_API_REPLY_H

#include "api/call.h"

/** A JSON string of a terminated text. */
void dv__put_str(dv_buf *b, const char *text);
/** The JSON text of v, compact. */
void dv__put_json(dv_buf *b, const json_t *v);
/** ,"usage":{...} of OpenAI. */
void dv__put_usage(dv_buf *b, const dv_job_timing *t);
/** ,"timings":{...} of llama-server. */
void dv__put_timings(dv_buf *b, const dv_job_timing *t);
/** ,"prompt_progress":{...} of llama-server: a STARTED or PROGRESS event. */
void dv__put_progress(dv_buf *b, const dv__call *c, const dv_job_event *ev);
/** {"id","token","logprob","bytes"} and, with n_top > 0 or always, "top_logprobs": one token of OpenAI's logprobs. */
void dv__put_token(dv_buf *b, const dv_tok *tok, const dv_job_event *ev);
/** A log-probability; one of nothing as a very small number, since JSON has no infinity. */
void dv__put_logprob(dv_buf *b, float v);
/** The text of a token: what of it is no UTF-8 as U+FFFD. */
void dv__put_piece(dv_buf *b, const dv_tok *tok, uint32_t id);
/** "stop", "length"; calls: the answer calls tools. */
const char *dv__finish_reason(dv_stop reason, bool calls);
/** "b0.1.0", the fingerprint of answers. */
const char *dv__fingerprint(void);

#endif
