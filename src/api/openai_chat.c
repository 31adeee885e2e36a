/* SPDX-License-Identifier: MIT */
/* POST /v1/chat/completions: OpenAI's fields and those that llama-server adds. */
#include "api/chat.h"
#include "api/reply.h"
#include "base/err.h"

#include <string.h>

enum { TOP_MAX = 20 };

#define AT(field) offsetof(dv__chat, field)

/* clang-format off */
static const dv__field rows[] = {
    {"messages", DV__FIELD_LIST, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"tools", DV__FIELD_LIST, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"tool_choice", DV__FIELD_JSON, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"parallel_tool_calls", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"parse_tool_calls", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, "true"},
    {"n", DV__FIELD_U32, AT(gen.n), 1, DV_JOB_MAX_CHOICES, false, NULL},
    {"logprobs", DV__FIELD_BOOL, AT(gen.logprobs), 0, 0, false, NULL},
    {"top_logprobs", DV__FIELD_U32, AT(gen.top_logprobs), 0, TOP_MAX, false, NULL},
    {"max_completion_tokens", DV__FIELD_I64, AT(gen.max_completion_tokens), 1, 2147483647, false, NULL},
    {"response_format", DV__FIELD_OBJECT, AT(gen.response_format), 0, 0, false, NULL},
    {"stream_options", DV__FIELD_OBJECT, AT(gen.stream_options), 0, 0, false, NULL},
    {"reasoning_effort", DV__FIELD_STR, AT(effort), 0, 0, false, "none|minimal|low|medium|high|xhigh"},
    {"chat_template_kwargs", DV__FIELD_OBJECT, AT(kwargs), 0, 0, false, NULL},
    {"reasoning_format", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 0, false, "auto|none|deepseek"},
    {"add_generation_prompt", DV__FIELD_BOOL, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"verbosity", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 0, false, "medium"},
    {"modalities", DV__FIELD_LIST, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"prediction", DV__FIELD_OBJECT, DV__FIELD_NOWHERE, 0, 0, false, NULL},
    {"audio", DV__FIELD_REFUSED, 0, 0, 0, false, "models with a voice are not supported"},
    {"web_search_options", DV__FIELD_REFUSED, 0, 0, 0, false, "there is no web search here"},
    {"functions", DV__FIELD_REFUSED, 0, 0, 0, false, "is replaced by tools"},
    {"function_call", DV__FIELD_REFUSED, 0, 0, 0, false, "is replaced by tool_choice"},
};
/* clang-format on */

static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};

/* ---- writing ---- */

static void put_ids(dv_buf *b, const dv__call *c, const char *object)
{
    const dv__chat *chat = c->state;
    dv_buf_printf(b, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", dv_http_id(c->req),
                  object, (long long)chat->created);
    dv__put_str(b, dv__call_model(c));
    dv_buf_printf(b, ",\"system_fingerprint\":\"%s\"", dv__fingerprint());
}

/* Entries of the tokens so far; they belong to the chunk that is being written. */
static void put_logprobs(dv_buf *b, dv__choice *ch)
{
    if (!ch->chat->gen.logprobs) {
        dv_buf_adds(b, ",\"logprobs\":null");
        return;
    }
    dv_buf_adds(b, ",\"logprobs\":{\"content\":[");
    dv_buf_add(b, dv_buf_str(&ch->logprobs), ch->logprobs.len);
    dv_buf_adds(b, "],\"refusal\":null}");
    dv_buf_clear(&ch->logprobs);
}

static void begin_chunk(dv__call *c, const dv__choice *ch)
{
    dv__sse_begin(&c->out);
    put_ids(&c->out, c, "chat.completion.chunk");
    dv_buf_printf(&c->out, ",\"choices\":[{\"index\":%u,\"delta\":{", ch->index);
}

/* llama-server's numbers so far: with every chunk if they were asked for, else with a choice's last one if no chunk with the usage follows. */
static void put_timings_so_far(dv_buf *b, const dv__choice *ch, bool last)
{
    const dv__chat *chat = ch->chat;
    dv_job_timing t = chat->timing;
    if (!chat->gen.timings && (!last || chat->gen.include_usage))
        return;
    t.n_predicted = ch->n_tokens;
    dv__put_timings(b, &t);
}

static int end_chunk(dv__call *c, dv__choice *ch, const char *finish)
{
    const dv__chat *chat = c->state;
    dv_buf_addc(&c->out, '}');
    put_logprobs(&c->out, ch);
    if (finish != NULL)
        dv_buf_printf(&c->out, ",\"finish_reason\":\"%s\"}]", finish);
    else
        dv_buf_adds(&c->out, ",\"finish_reason\":null}]");
    if (chat->gen.include_usage)
        dv_buf_adds(&c->out, ",\"usage\":null");
    put_timings_so_far(&c->out, ch, finish != NULL);
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
    return c->out.code;
}

static int write_begin(dv__call *c, dv__choice *ch)
{
    begin_chunk(c, ch);
    dv_buf_adds(&c->out, "\"role\":\"assistant\",\"content\":null},\"logprobs\":null,\"finish_reason\":null}]");
    const dv__chat *chat = c->state;
    dv_buf_adds(&c->out, chat->gen.include_usage ? ",\"usage\":null}" : "}");
    dv__sse_end(&c->out);
    return c->out.code;
}

static int write_event(dv__call *c, dv__choice *ch, const dv_chatfmt_event *ev)
{
    dv_buf *b = &c->out;
    if (ev->type == DV_CHATFMT_CALL_END)
        return 0;
    begin_chunk(c, ch);
    switch (ev->type) {
    case DV_CHATFMT_CONTENT:
    case DV_CHATFMT_REASONING:
        dv_buf_adds(b, ev->type == DV_CHATFMT_CONTENT ? "\"content\":" : "\"reasoning_content\":");
        dv_buf_json_str(b, ev->text, ev->n);
        break;
    case DV_CHATFMT_CALL_BEGIN:
        dv_buf_printf(b, "\"tool_calls\":[{\"index\":%u,\"id\":", ev->index);
        dv__put_str(b, ev->id);
        dv_buf_adds(b, ",\"type\":\"function\",\"function\":{\"name\":");
        dv__put_str(b, ev->name);
        dv_buf_adds(b, ",\"arguments\":\"\"}}]");
        break;
    case DV_CHATFMT_CALL_ARGS:
        dv_buf_printf(b, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", ev->index);
        dv_buf_json_str(b, ev->text, ev->n);
        dv_buf_adds(b, "}}]");
        break;
    default: break;
    }
    return end_chunk(c, ch, NULL);
}

static int write_progress(dv__call *c, const dv_job_event *ev)
{
    dv__sse_begin(&c->out);
    put_ids(&c->out, c, "chat.completion.chunk");
    dv_buf_adds(&c->out, ",\"choices\":[]");
    dv__put_progress(&c->out, c, ev);
    dv_buf_addc(&c->out, '}');
    dv__sse_end(&c->out);
    return c->out.code;
}

static int write_end(dv__call *c, dv__choice *ch)
{
    begin_chunk(c, ch);
    return end_chunk(c, ch, dv__finish_reason(ch->reason, dv_chatfmt_n_calls(ch->parser) > 0));
}

static void put_message(dv_buf *b, dv__choice *ch)
{
    bool calls = ch->calls.len > 0;
    dv_buf_adds(b, "{\"role\":\"assistant\",\"content\":");
    if (calls && ch->content.len == 0)
        dv_buf_adds(b, "null");
    else
        dv_buf_json_str(b, dv_buf_str(&ch->content), ch->content.len);
    if (ch->reasoning.len > 0) {
        dv_buf_adds(b, ",\"reasoning_content\":");
        dv_buf_json_str(b, ch->reasoning.data, ch->reasoning.len);
    }
    if (calls)
        dv_buf_printf(b, ",\"tool_calls\":[%s]", ch->calls.data);
    dv_buf_adds(b, ",\"refusal\":null}");
}

static void put_choice(dv_buf *b, dv__choice *ch)
{
    dv_buf_printf(b, "%s{\"index\":%u,\"message\":", ch->index > 0 ? "," : "", ch->index);
    put_message(b, ch);
    put_logprobs(b, ch);
    dv_buf_printf(b, ",\"finish_reason\":\"%s\"}", dv__finish_reason(ch->reason, ch->calls.len > 0));
}

/* The chunk with the usage if it was asked for, then the end. llama-server's timings go with the last chunk. */
static int write_stream_done(dv__call *c)
{
    const dv__chat *chat = c->state;
    if (chat->gen.include_usage) {
        dv__sse_begin(&c->out);
        put_ids(&c->out, c, "chat.completion.chunk");
        dv_buf_adds(&c->out, ",\"choices\":[]");
        dv__put_usage(&c->out, dv__run_timing(c));
        dv__put_timings(&c->out, dv__run_timing(c));
        dv_buf_addc(&c->out, '}');
        dv__sse_end(&c->out);
    }
    dv__sse_begin(&c->out);
    dv_buf_adds(&c->out, "[DONE]");
    dv__sse_end(&c->out);
    return c->out.code;
}

static int write_done(dv__call *c)
{
    dv__chat *chat = c->state;
    if (c->stream)
        return write_stream_done(c);
    put_ids(&c->out, c, "chat.completion");
    dv_buf_adds(&c->out, ",\"choices\":[");
    for (uint32_t i = 0; i < chat->gen.n; i++)
        put_choice(&c->out, &chat->choice[i]);
    dv_buf_addc(&c->out, ']');
    dv__put_usage(&c->out, dv__run_timing(c));
    dv__put_timings(&c->out, dv__run_timing(c));
    return dv_buf_addc(&c->out, '}');
}

static const dv__chat_writer writer = {
    .begin = write_begin,
    .event = write_event,
    .progress = write_progress,
    .end = write_end,
    .done = write_done,
};

/* ---- reading ---- */

/* A last message of the assistant's without calls is the beginning of the answer, as llama-server has it. */
static bool ends_with_answer(const json_t *messages)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return role != NULL && strcmp(role, "assistant") == 0 && json_array_size(json_object_get(last, "tool_calls")) == 0;
}

static int check(dv__call *c, dv__chat *chat, dv_err *err)
{
    const json_t *modalities = json_object_get(c->body, "modalities");
    const char *format = json_string_value(json_object_get(c->body, "reasoning_format"));
    size_t i;
    json_t *v;
    json_array_foreach(modalities, i,
                       v) if (!json_is_string(v) || strcmp(json_string_value(v), "text") !=
                                                        0) return dv__param_fail(c, err, "modalities",
                                                                                 "only text is supported");
    if (chat->gen.top_logprobs > 0 && !chat->gen.logprobs)
        return dv__param_fail(c, err, "top_logprobs", "needs logprobs");
    if (chat->gen.n_probs > 0)
        chat->gen.logprobs = true;
    chat->keep_thinking = format != NULL && strcmp(format, "none") == 0;
    chat->no_answer_prompt = json_is_false(json_object_get(c->body, "add_generation_prompt"));
    return 0;
}

int dv__chat_read_openai(dv__call *c, dv__chat *chat, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields, &dv__fields_gen, &dv__fields_meta};
    const json_t *body = c->body, *messages = json_object_get(body, "messages");
    int rc = dv__fields_read(c, body, NULL, tables, DV_ARRAY_LEN(tables), chat, err);
    if (rc == 0 && json_array_size(messages) == 0)
        rc = dv__param_fail(c, err, "messages", "a list of at least one message is needed");
    if (rc == 0)
        rc = dv_chatmsg_from_openai(messages, &chat->messages, err);
    if (rc == 0)
        rc =
            dv_chattools_from_openai(&chat->tools, json_object_get(body, "tools"), json_object_get(body, "tool_choice"),
                                     json_object_get(body, "parallel_tool_calls"), err);
    if (rc == 0)
        rc = check(c, chat, err);
    chat->continue_last = ends_with_answer(chat->messages);
    return rc == 0 ? dv__chat_vars(chat, err) : rc;
}

static int post_chat(dv__call *c, dv_err *err)
{
    int rc = dv__chat_check(c, err);
    if (rc != 0)
        return rc;
    dv__chat *chat = dv__chat_new(c, &writer);
    if (chat == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    rc = dv__chat_read_openai(c, chat, err);
    return rc == 0 ? dv__chat_start(chat, err) : rc;
}

static const dv__route chat_routes[] = {
    {DV_HTTP_POST, "/v1/chat/completions", DV__ROUTE_JSON | DV__ROUTE_JOB | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_chat},
};
const dv__routes dv__routes_chat = {chat_routes, DV_ARRAY_LEN(chat_routes)};
