/* SPDX-License-Identifier: MIT */
/* The routes of Anthropic's API. */
#include "base/attr.h"
#include "serve/exchange.h"
#include "serve/rows.h"

#define ANTHROPIC .api = DV_CONF_API_OPENAI, .style = DV_STYLE_ANTHROPIC

static const dv__row rows[] = {
    {DV_HTTP_POST, "/v1/messages", ANTHROPIC, .group = DV__GROUP_CHAT, .flags = DV__ROW_JOB, .handle = dv__proxy,
     .body = &dv__schema_messages, .summary = "Answer a chat, as Anthropic's messages", .reply = "Message"},
    {DV_HTTP_POST, "/v1/messages/count_tokens", ANTHROPIC, .group = DV__GROUP_TOKENS, .handle = dv__proxy_light,
     .body = &dv__schema_count_tokens, .summary = "How many tokens a message has", .reply = "TokenCount"},
};

const dv__rows dv__rows_anthropic = {rows, DV_ARRAY_LEN(rows)};
