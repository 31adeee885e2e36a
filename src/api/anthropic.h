/* SPDX-License-Identifier: MIT */
/* The insides of Anthropic's Messages API: how a chat is written as content blocks. */
#ifndef DV_API_ANTHROPIC_H
#define DV_API_ANTHROPIC_H

#include "api/chat.h"

/** Streams: message_start, ping, blocks with their deltas, message_delta, message_stop; else one message. */
extern const dv__chat_writer dv__anthropic_writer;
/** What the writer needs, before the chat starts. Errors: DV_ENOMEM. */
int dv__anthropic_prepare(dv__chat *chat, dv_err *err);

#endif
