/* SPDX-License-Identifier: MIT */
/* Answers of /v1/messages. A block is open from its first piece until something of another kind comes; blocks are numbered from 0. */
#include "api/anthropic.h"
#include "api/reply.h"
#include "base/err.h"

#include <string.h>

typedef enum block_kind { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL } block_kind;

/* Of a stream. */
typedef struct blocks {
    uint32_t index; /* of the open block, or of the next one */
    block_kind kind;
} blocks;

static void begin_event(dv_buf *b, const char *name)
{
    dv_buf_printf(b, "event: %s\n", name);
    dv__sse_begin(b);
    dv_buf_printf(b, "{\"type\":\"%s\"", name);
}

static int end_event(dv_buf *b)
{
    dv_buf_addc(b, '}');
    dv__sse_end(b);
    return b->code;
}

/* ---- the message around the blocks ---- */

/* Tokens that were computed and those that were not are told apart, and add up to the prompt. */
static void put_usage(dv_buf *b, uint32_t n_prompt, uint32_t n_cached, const dv__choice *ch)
{
    dv_buf_printf(b,
                  ",\"usage\":{\"input_tokens\":%u,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%u,"
                  "\"output_tokens\":%u,\"output_tokens_details\":{\"thinking_tokens\":%u},\"cache_creation\":null,"
                  "\"server_tool_use\":null,\"inference_geo\":null,\"service_tier\":\"standard\",\"speed\":null}",
                  n_prompt - DV_MIN(n_cached, n_prompt), n_cached, ch->n_tokens, ch->n_reasoning);
}

static void put_head(dv_buf *b, const dv__call *c)
{
    dv_buf_printf(b, "\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", dv_http_id(c->req));
    dv__put_str(b, dv__call_model(c));
}

/* "stop_reason" and what goes with it, without braces. */
static void put_stop(dv_buf *b, const dv__choice *ch, bool calls)
{
    const char *reason = "end_turn";
    if (ch->reason == DV_STOP_STRING)
        reason = "stop_sequence";
    else if (ch->reason == DV_STOP_LENGTH)
        reason = "max_tokens";
    else if (ch->reason == DV_STOP_CONTEXT)
        reason = "model_context_window_exceeded";
    else if (calls)
        reason = "tool_use";
    dv_buf_printf(b, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (ch->reason == DV_STOP_STRING && ch->stop_string != NULL)
        dv__put_str(b, ch->stop_string);
    else
        dv_buf_adds(b, "null");
    dv_buf_adds(b, ",\"stop_details\":null,\"container\":null");
}

/* ---- streams ---- */

static int write_begin(dv__call *c, dv__choice *ch)
{
    const dv__chat *chat = c->state;
    dv_buf *b = &c->out;
    begin_event(b, "message_start");
    dv_buf_adds(b, ",\"message\":{");
    put_head(b, c);
    dv_buf_adds(b,
                ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"stop_details\":null,\"container\":null,"
                "\"diagnostics\":null");
    put_usage(b, chat->n_prompt, chat->n_cached, ch);
    dv_buf_addc(b, '}');
    end_event(b);
    begin_event(b, "ping");
    return end_event(b);
}

static void begin_block_event(dv_buf *b, const blocks *k, const char *name)
{
    begin_event(b, name);
    dv_buf_printf(b, ",\"index\":%u", k->index);
}

/* Thoughts end with a signature, which clients send back with them; there is nothing here that it could prove. */
static int close_block(dv_buf *b, blocks *k)
{
    if (k->kind == BLOCK_NONE)
        return 0;
    if (k->kind == BLOCK_THINKING) {
        begin_block_event(b, k, "content_block_delta");
        dv_buf_adds(b, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"\"}");
        end_event(b);
    }
    begin_block_event(b, k, "content_block_stop");
    k->kind = BLOCK_NONE;
    k->index++;
    return end_event(b);
}

static void open_block(dv_buf *b, blocks *k, block_kind kind, const dv_chatfmt_event *ev)
{
    if (k->kind == kind && kind != BLOCK_TOOL)
        return;
    close_block(b, k);
    k->kind = kind;
    begin_block_event(b, k, "content_block_start");
    if (kind == BLOCK_TEXT) {
        dv_buf_adds(b, ",\"content_block\":{\"type\":\"text\",\"text\":\"\",\"citations\":null}");
    } else if (kind == BLOCK_THINKING) {
        dv_buf_adds(b, ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    } else {
        dv_buf_adds(b, ",\"content_block\":{\"type\":\"tool_use\",\"id\":");
        dv__put_str(b, ev->id);
        dv_buf_adds(b, ",\"name\":");
        dv__put_str(b, ev->name);
        dv_buf_adds(b, ",\"input\":{}}");
    }
    end_event(b);
}

static int put_delta(dv_buf *b, const blocks *k, const char *type, const char *key, const dv_chatfmt_event *ev)
{
    begin_block_event(b, k, "content_block_delta");
    dv_buf_printf(b, ",\"delta\":{\"type\":\"%s\",\"%s\":", type, key);
    dv_buf_json_str(b, ev->text, ev->n);
    dv_buf_addc(b, '}');
    return end_event(b);
}

static int write_event(dv__call *c, dv__choice *ch, const dv_chatfmt_event *ev)
{
    dv_buf *b = &c->out;
    blocks *k = ch->more;
    switch (ev->type) {
    case DV_CHATFMT_CONTENT: open_block(b, k, BLOCK_TEXT, ev); return put_delta(b, k, "text_delta", "text", ev);
    case DV_CHATFMT_REASONING:
        open_block(b, k, BLOCK_THINKING, ev);
        return put_delta(b, k, "thinking_delta", "thinking", ev);
    case DV_CHATFMT_CALL_BEGIN: open_block(b, k, BLOCK_TOOL, ev); return b->code;
    case DV_CHATFMT_CALL_ARGS: return put_delta(b, k, "input_json_delta", "partial_json", ev);
    case DV_CHATFMT_CALL_END: return close_block(b, k);
    default: return 0;
    }
}

static int write_end(dv__call *c, dv__choice *ch)
{
    const dv__chat *chat = c->state;
    dv_buf *b = &c->out;
    close_block(b, ch->more);
    begin_event(b, "message_delta");
    dv_buf_adds(b, ",\"delta\":{");
    put_stop(b, ch, dv_chatfmt_n_calls(ch->parser) > 0);
    dv_buf_addc(b, '}');
    put_usage(b, chat->n_prompt, chat->n_cached, ch);
    return end_event(b);
}

static void write_broken(dv__call *c, const char *body)
{
    dv_buf_adds(&c->out, "event: error\n");
    dv__sse_begin(&c->out);
    dv_buf_adds(&c->out, body);
    dv__sse_end(&c->out);
}

/* ---- whole messages ---- */

/* Calls were gathered in OpenAI's shape, with the arguments as text; here they are the object itself. */
static int put_calls(dv_buf *b, dv__choice *ch, const char *comma)
{
    dv_buf list;
    size_t i;
    json_t *call, *calls = NULL;
    dv_buf_init(&list, 0);
    dv_buf_printf(&list, "[%s]", dv_buf_str(&ch->calls));
    if (list.code == 0)
        calls = json_loadb(list.data, list.len, 0, NULL);
    int rc = calls != NULL ? 0 : DV_ENOMEM;
    json_array_foreach(calls, i, call)
    {
        const json_t *fn = json_object_get(call, "function");
        dv_buf_printf(b, "%s{\"type\":\"tool_use\",\"id\":", i > 0 ? "," : comma);
        dv__put_json(b, json_object_get(call, "id"));
        dv_buf_adds(b, ",\"name\":");
        dv__put_json(b, json_object_get(fn, "name"));
        dv_buf_adds(b, ",\"input\":");
        dv_buf_adds(b, json_string_value(json_object_get(fn, "arguments")));
        dv_buf_addc(b, '}');
    }
    json_decref(calls);
    dv_buf_fini(&list);
    return rc;
}

static int put_content(dv_buf *b, dv__choice *ch)
{
    const char *comma = "";
    dv_buf_adds(b, ",\"content\":[");
    if (ch->reasoning.len > 0) {
        dv_buf_adds(b, "{\"type\":\"thinking\",\"thinking\":");
        dv_buf_json_str(b, ch->reasoning.data, ch->reasoning.len);
        dv_buf_adds(b, ",\"signature\":\"\"}");
        comma = ",";
    }
    if (ch->content.len > 0) {
        dv_buf_printf(b, "%s{\"type\":\"text\",\"text\":", comma);
        dv_buf_json_str(b, ch->content.data, ch->content.len);
        dv_buf_adds(b, ",\"citations\":null}");
        comma = ",";
    }
    int rc = ch->calls.len > 0 ? put_calls(b, ch, comma) : 0;
    dv_buf_addc(b, ']');
    return rc;
}

static int write_done(dv__call *c)
{
    dv__chat *chat = c->state;
    dv__choice *ch = &chat->choice[0];
    dv_buf *b = &c->out;
    if (c->stream) {
        begin_event(b, "message_stop");
        return end_event(b);
    }
    dv_buf_addc(b, '{');
    put_head(b, c);
    int rc = put_content(b, ch);
    dv_buf_addc(b, ',');
    put_stop(b, ch, ch->calls.len > 0);
    dv_buf_adds(b, ",\"diagnostics\":null");
    put_usage(b, chat->n_prompt, chat->n_cached, ch);
    dv_buf_addc(b, '}');
    return rc != 0 ? rc : b->code;
}

const dv__chat_writer dv__anthropic_writer = {
    .begin = write_begin,
    .event = write_event,
    .end = write_end,
    .done = write_done,
    .broken = write_broken,
};

int dv__anthropic_prepare(dv__chat *chat, dv_err *err)
{
    chat->choice[0].more = dv_arena_calloc(&chat->call->arena, 1, sizeof(blocks));
    return chat->choice[0].more != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}
