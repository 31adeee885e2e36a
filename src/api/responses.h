/* SPDX-License-Identifier: MIT */
/* The insides of OpenAI's Responses API: how a chat is written as output items. */
#ifndef DV_API_RESPONSES_H
#define DV_API_RESPONSES_H

#include "api/chat.h"

/** Streams: response.created, response.in_progress, the events of each item, response.completed or response.incomplete; else one response. */
extern const dv__chat_writer dv__responses_writer;
/** What the writer needs, before the chat starts. Errors: DV_ENOMEM. */
int dv__responses_prepare(dv__chat *chat, dv_err *err);

/** The response object of an answer: all that the request set is shown again. */
void dv__put_response(dv_buf *b, const dv__call *c, const char *status, dv__choice *ch);

#endif
