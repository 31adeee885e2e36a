/* SPDX-License-Identifier: MIT */
/* Answers of /v1/responses. An item is open from its first piece until something of another kind comes. A whole response is made by the
 * same steps as a stream, without the events. */
#include "api/reply.h"
#include "api/responses.h"
#include "base/err.h"

#include <string.h>

typedef enum item_kind { ITEM_NONE, ITEM_MESSAGE, ITEM_REASONING, ITEM_CALL } item_kind;

/* ch->own[0] has the items that are complete, ch->own[1] the text of the open one. */
typedef struct output {
    uint32_t sequence; /* number of the next event */
    uint32_t index;    /* of the open item, or of the next one */
    item_kind kind;
    const char *call_id, *name; /* of a call */
} output;

static const struct {
    const char *prefix, *part, *delta, *done, *key;
} kinds[] = {
    [ITEM_MESSAGE] = {"msg", "output_text", "response.output_text.delta", "response.output_text.done", "text"},
    [ITEM_REASONING] = {"rs", "reasoning_text", "response.reasoning_text.delta", "response.reasoning_text.done",
                        "text"},
    [ITEM_CALL] = {"fc", NULL, "response.function_call_arguments.delta", "response.function_call_arguments.done",
                   "arguments"},
};

/* ---- events ---- */

/* False if there are none, because the answer is no stream. */
static bool begin_event(dv__call *c, output *o, const char *name)
{
    if (!c->stream)
        return false;
    dv_buf_printf(&c->out, "event: %s\n", name);
    dv__sse_begin(&c->out);
    dv_buf_printf(&c->out, "{\"type\":\"%s\",\"sequence_number\":%u", name, o->sequence++);
    return true;
}

static void end_event(dv__call *c)
{
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
}

static void put_item_id(dv_buf *b, const dv__call *c, const output *o)
{
    dv_buf_printf(b, "\"%s_%s%u\"", kinds[o->kind].prefix, dv_http_id(c->req), o->index);
}

/* An event of the open item's only part. */
static bool begin_part_event(dv__call *c, output *o, const char *name)
{
    if (!begin_event(c, o, name))
        return false;
    dv_buf_adds(&c->out, ",\"item_id\":");
    put_item_id(&c->out, c, o);
    dv_buf_printf(&c->out, ",\"output_index\":%u", o->index);
    if (o->kind != ITEM_CALL)
        dv_buf_adds(&c->out, ",\"content_index\":0");
    return true;
}

/* ---- items ---- */

static void put_part(dv_buf *b, const output *o, const char *text, size_t n)
{
    dv_buf_printf(b, "{\"type\":\"%s\",\"text\":", kinds[o->kind].part);
    dv_buf_json_str(b, text, n);
    dv_buf_adds(b, o->kind == ITEM_MESSAGE ? ",\"annotations\":[],\"logprobs\":[]}" : "}");
}

/* text: NULL while it is being written. */
static void put_item(dv_buf *b, const dv__call *c, const output *o, const char *status, const char *text, size_t n)
{
    static const char *const types[] = {
        [ITEM_MESSAGE] = "message", [ITEM_REASONING] = "reasoning", [ITEM_CALL] = "function_call"};
    dv_buf_adds(b, "{\"id\":");
    put_item_id(b, c, o);
    dv_buf_printf(b, ",\"type\":\"%s\",\"status\":\"%s\"", types[o->kind], status);
    if (o->kind == ITEM_CALL) {
        dv_buf_adds(b, ",\"call_id\":");
        dv__put_str(b, o->call_id);
        dv_buf_adds(b, ",\"name\":");
        dv__put_str(b, o->name);
        dv_buf_adds(b, ",\"arguments\":");
        dv_buf_json_str(b, text != NULL ? text : "", n);
        dv_buf_addc(b, '}');
        return;
    }
    dv_buf_adds(b, o->kind == ITEM_MESSAGE ? ",\"role\":\"assistant\"" : ",\"summary\":[]");
    dv_buf_adds(b, ",\"content\":[");
    if (text != NULL)
        put_part(b, o, text, n);
    dv_buf_adds(b, "]}");
}

static void end_item_events(dv__call *c, output *o, const char *status, const char *text, size_t n)
{
    if (begin_part_event(c, o, kinds[o->kind].done)) {
        dv_buf_printf(&c->out, ",\"%s\":", kinds[o->kind].key);
        dv_buf_json_str(&c->out, text, n);
        if (o->kind == ITEM_MESSAGE) {
            dv_buf_adds(&c->out, ",\"logprobs\":[]");
        } else if (o->kind == ITEM_CALL) {
            dv_buf_adds(&c->out, ",\"name\":");
            dv__put_str(&c->out, o->name);
        }
        end_event(c);
    }
    if (o->kind != ITEM_CALL && begin_part_event(c, o, "response.content_part.done")) {
        dv_buf_adds(&c->out, ",\"part\":");
        put_part(&c->out, o, text, n);
        end_event(c);
    }
    if (begin_event(c, o, "response.output_item.done")) {
        dv_buf_printf(&c->out, ",\"output_index\":%u,\"item\":", o->index);
        put_item(&c->out, c, o, status, text, n);
        end_event(c);
    }
}

static int close_item(dv__call *c, dv__choice *ch, const char *status)
{
    output *o = ch->more;
    dv_buf *items = &ch->own[0], *text = &ch->own[1];
    if (o->kind == ITEM_NONE)
        return 0;
    end_item_events(c, o, status, dv_buf_str(text), text->len);
    dv_buf_adds(items, items->len > 0 ? "," : "");
    put_item(items, c, o, status, dv_buf_str(text), text->len);
    int code = text->code;
    dv_buf_clear(text);
    o->kind = ITEM_NONE;
    o->index++;
    return code != 0 ? code : items->code != 0 ? items->code : c->out.code;
}

static int open_item(dv__call *c, dv__choice *ch, item_kind kind)
{
    output *o = ch->more;
    if (o->kind == kind && kind != ITEM_CALL)
        return 0;
    int rc = close_item(c, ch, "completed");
    o->kind = kind;
    if (begin_event(c, o, "response.output_item.added")) {
        dv_buf_printf(&c->out, ",\"output_index\":%u,\"item\":", o->index);
        put_item(&c->out, c, o, "in_progress", NULL, 0);
        end_event(c);
    }
    if (kind != ITEM_CALL && begin_part_event(c, o, "response.content_part.added")) {
        dv_buf_adds(&c->out, ",\"part\":");
        put_part(&c->out, o, "", 0);
        end_event(c);
    }
    return rc != 0 ? rc : c->out.code;
}

static int add_text(dv__call *c, dv__choice *ch, const char *text, size_t n)
{
    output *o = ch->more;
    dv_buf_add(&ch->own[1], text, n);
    if (begin_part_event(c, o, kinds[o->kind].delta)) {
        dv_buf_adds(&c->out, ",\"delta\":");
        dv_buf_json_str(&c->out, text, n);
        dv_buf_adds(&c->out, o->kind == ITEM_MESSAGE ? ",\"logprobs\":[]" : "");
        end_event(c);
    }
    return ch->own[1].code != 0 ? ch->own[1].code : c->out.code;
}

/* The event's strings are gone when the item is closed. */
static int open_call(dv__call *c, dv__choice *ch, const char *id, const char *name)
{
    output *o = ch->more;
    int rc = close_item(c, ch, "completed");
    o->call_id = dv_arena_strndup(&c->arena, id, strlen(id));
    o->name = dv_arena_strndup(&c->arena, name, strlen(name));
    if (rc != 0 || o->call_id == NULL || o->name == NULL)
        return rc != 0 ? rc : DV_ENOMEM;
    return open_item(c, ch, ITEM_CALL);
}

static int write_event(dv__call *c, dv__choice *ch, const dv_chatfmt_event *ev)
{
    int rc = 0;
    switch (ev->type) {
    case DV_CHATFMT_CONTENT: rc = open_item(c, ch, ITEM_MESSAGE); break;
    case DV_CHATFMT_REASONING: rc = open_item(c, ch, ITEM_REASONING); break;
    case DV_CHATFMT_CALL_BEGIN: return open_call(c, ch, ev->id, ev->name);
    case DV_CHATFMT_CALL_ARGS: break;
    case DV_CHATFMT_CALL_END: return close_item(c, ch, ev->complete ? "completed" : "incomplete");
    default: return 0;
    }
    return rc != 0 ? rc : add_text(c, ch, ev->text, ev->n);
}

/* ---- the response around the items ---- */

static void put_echo(dv_buf *b, const dv__call *c, const char *key, const char *otherwise)
{
    const json_t *v = json_object_get(c->body, key);
    dv_buf_printf(b, ",\"%s\":", key);
    if (v != NULL && !json_is_null(v))
        dv__put_json(b, v);
    else
        dv_buf_adds(b, otherwise);
}

static void put_usage(dv_buf *b, const dv__chat *chat, const dv__choice *ch)
{
    dv_buf_printf(
        b,
        ",\"usage\":{\"input_tokens\":%u,\"input_tokens_details\":{\"cached_tokens\":%u},\"output_tokens\":%u,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%u},\"total_tokens\":%llu}",
        chat->n_prompt, chat->n_cached, ch->n_tokens, ch->n_reasoning,
        (unsigned long long)chat->n_prompt + ch->n_tokens);
}

static void put_settings(dv_buf *b, const dv__call *c, const dv__chat *chat)
{
    const dv_sampling *s = &chat->gen.sampling;
    put_echo(b, c, "instructions", "null");
    put_echo(b, c, "max_output_tokens", "null");
    put_echo(b, c, "metadata", "{}");
    put_echo(b, c, "parallel_tool_calls", "true");
    put_echo(b, c, "reasoning", "{\"effort\":null,\"summary\":null}");
    put_echo(b, c, "text", "{\"format\":{\"type\":\"text\"}}");
    put_echo(b, c, "tool_choice", "\"auto\"");
    put_echo(b, c, "tools", "[]");
    put_echo(b, c, "user", "null");
    put_echo(b, c, "prompt_cache_key", "null");
    put_echo(b, c, "safety_identifier", "null");
    dv_buf_adds(b, ",\"temperature\":");
    dv_buf_json_num(b, (double)s->temperature);
    dv_buf_adds(b, ",\"top_p\":");
    dv_buf_json_num(b, (double)s->top_p);
    dv_buf_adds(b, ",\"top_logprobs\":0,\"truncation\":\"disabled\",\"service_tier\":\"default\",\"store\":false,"
                   "\"background\":false,\"conversation\":null,\"previous_response_id\":null,\"prompt\":null");
}

void dv__put_response(dv_buf *b, const dv__call *c, const char *status, dv__choice *ch)
{
    const dv__chat *chat = c->state;
    bool over = strcmp(status, "in_progress") != 0, cut = strcmp(status, "incomplete") == 0;
    dv_buf_printf(b, "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"model\":",
                  dv_http_id(c->req), (long long)chat->created, status);
    dv__put_str(b, dv__call_model(c));
    if (over)
        dv_buf_printf(b, ",\"completed_at\":%lld", (long long)time(NULL));
    else
        dv_buf_adds(b, ",\"completed_at\":null");
    dv_buf_printf(b, ",\"error\":null,\"incomplete_details\":%s,\"output\":[",
                  cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
    dv_buf_add(b, dv_buf_str(&ch->own[0]), ch->own[0].len);
    dv_buf_addc(b, ']');
    put_settings(b, c, chat);
    if (over)
        put_usage(b, chat, ch);
    else
        dv_buf_adds(b, ",\"usage\":null");
    dv_buf_addc(b, '}');
}

static int put_response_event(dv__call *c, dv__choice *ch, const char *name, const char *status, bool over)
{
    if (begin_event(c, ch->more, name)) {
        dv_buf_adds(&c->out, ",\"response\":");
        dv__put_response(&c->out, c, status, ch);
        if (over)
            dv__put_timings(&c->out, dv__run_timing(c));
        end_event(c);
    }
    return c->out.code;
}

static int write_begin(dv__call *c, dv__choice *ch)
{
    put_response_event(c, ch, "response.created", "in_progress", false);
    return put_response_event(c, ch, "response.in_progress", "in_progress", false);
}

static bool is_cut(const dv__choice *ch) { return ch->reason == DV_STOP_LENGTH || ch->reason == DV_STOP_CONTEXT; }

/* ---- whole responses ---- */

static int replay_text(dv__call *c, dv__choice *ch, item_kind kind, const dv_buf *text)
{
    int rc = text->len > 0 ? open_item(c, ch, kind) : 0;
    return rc == 0 && text->len > 0 ? add_text(c, ch, text->data, text->len) : rc;
}

/* Calls were gathered as a list in the shape of chat completions. */
static int replay_calls(dv__call *c, dv__choice *ch)
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
        const json_t *fn = json_object_get(call, "function"), *args = json_object_get(fn, "arguments");
        const char *id = json_string_value(json_object_get(call, "id"));
        if (rc == 0)
            rc = open_call(c, ch, id, json_string_value(json_object_get(fn, "name")));
        if (rc == 0)
            rc = add_text(c, ch, json_string_value(args), json_string_length(args));
    }
    json_decref(calls);
    dv_buf_fini(&list);
    return rc;
}

static int replay(dv__call *c, dv__choice *ch)
{
    int rc = replay_text(c, ch, ITEM_REASONING, &ch->reasoning);
    if (rc == 0)
        rc = replay_text(c, ch, ITEM_MESSAGE, &ch->content);
    if (rc == 0 && ch->calls.len > 0)
        rc = replay_calls(c, ch);
    return rc;
}

static int write_done(dv__call *c)
{
    dv__chat *chat = c->state;
    dv__choice *ch = &chat->choice[0];
    const char *status = is_cut(ch) ? "incomplete" : "completed";
    int rc = c->stream ? 0 : replay(c, ch);
    if (rc == 0)
        rc = close_item(c, ch, status);
    if (rc != 0)
        return rc;
    if (c->stream)
        return put_response_event(c, ch, is_cut(ch) ? "response.incomplete" : "response.completed", status, true);
    dv__put_response(&c->out, c, status, ch);
    return c->out.code;
}

/* body is an object with "error". */
static void write_broken(dv__call *c, const char *body)
{
    dv__chat *chat = c->state;
    if (begin_event(c, chat->choice[0].more, "error")) {
        dv_buf_addc(&c->out, ',');
        dv_buf_adds(&c->out, body + 1);
        dv__sse_end(&c->out);
    }
}

const dv__chat_writer dv__responses_writer = {
    .begin = write_begin,
    .event = write_event,
    .done = write_done,
    .broken = write_broken,
};

int dv__responses_prepare(dv__chat *chat, dv_err *err)
{
    chat->choice[0].more = dv_arena_calloc(&chat->call->arena, 1, sizeof(output));
    return chat->choice[0].more != NULL ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}
