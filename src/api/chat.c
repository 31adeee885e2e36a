/* SPDX-License-Identifier: MIT */
#include "api/chat.h"

#include "api/constraint.h"
#include "api/prompt.h"
#include "api/reply.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static void chat_free(void *state)
{
    dv__chat *chat = state;
    for (size_t i = 0; i < DV_JOB_MAX_CHOICES; i++) {
        dv__choice *ch = &chat->choice[i];
        dv_chatfmt_parser_close(&ch->parser);
        dv_buf_fini(&ch->content);
        dv_buf_fini(&ch->reasoning);
        dv_buf_fini(&ch->calls);
        dv_buf_fini(&ch->logprobs);
        dv_buf_fini(&ch->own[0]);
        dv_buf_fini(&ch->own[1]);
    }
    dv__gen_fini(&chat->gen);
    dv_chattools_fini(&chat->tools);
    json_decref(chat->messages);
    json_decref(chat->vars);
    dv_free(chat);
}

dv__chat *dv__chat_new(dv__call *c, const dv__chat_writer *writer)
{
    dv__chat *chat = dv_calloc(DV_MEM_API, 1, sizeof *chat);
    if (chat == NULL)
        return NULL;
    chat->call = c;
    chat->writer = writer;
    chat->created = time(NULL);
    dv__gen_init(&chat->gen, c->api);
    c->state = chat;
    c->fini = chat_free;
    return chat;
}

int dv__chat_check(dv__call *c, dv_err *err)
{
    const dv_api *api = c->api;
    if (api->fmt != NULL)
        return 0;
    return dv_fail(err, DV_EUNSUPPORTED, "the model's chat template cannot be used: %s", api->chat_err.msg);
}

/* ---- template variables ---- */

static int set_var(dv__chat *chat, const char *key, json_t *value, dv_err *err)
{
    if (chat->vars == NULL)
        chat->vars = json_object();
    if (json_object_set_new(chat->vars, key, value) != 0)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    return 0;
}

/* An effort means something to templates that read it, and to those that can at least leave thinking away. */
static int apply_effort(dv__chat *chat, dv_err *err)
{
    const dv_chatfmt_caps *caps = dv_chatfmt_caps_of(chat->call->api->fmt);
    bool off = strcmp(chat->effort, "none") == 0 || strcmp(chat->effort, "minimal") == 0;
    if (caps->reasoning_effort && strcmp(chat->effort, "none") != 0)
        return set_var(chat, "reasoning_effort", json_string(chat->effort), err);
    if (caps->enable_thinking)
        return set_var(chat, "enable_thinking", json_boolean(!off), err);
    if (off && !caps->thinking)
        return 0;
    return dv__param_fail(chat->call, err, chat->effort_field != NULL ? chat->effort_field : "reasoning_effort",
                          "this model's thinking cannot be set");
}

int dv__chat_vars(dv__chat *chat, dv_err *err)
{
    const char *key;
    json_t *v;
    int rc = chat->effort != NULL ? apply_effort(chat, err) : 0;
    json_object_foreach((json_t *)chat->kwargs, key, v) if (rc == 0) rc = set_var(chat, key, json_incref(v), err);
    return rc;
}

/* ---- the prompt ---- */

static int copy_ids(dv__call *c, const dv_ids *ids, uint32_t **out, dv_err *err)
{
    *out = dv_arena_calloc(&c->arena, DV_MAX(ids->len, (size_t)1), sizeof **out);
    if (*out == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    for (size_t i = 0; i < ids->len; i++)
        (*out)[i] = (uint32_t)ids->id[i];
    return 0;
}

int dv__chat_render(dv__chat *chat, dv_chatfmt_text *text, dv_err *err)
{
    dv_chatfmt_input in = {
        .messages = chat->messages,
        .tools = &chat->tools,
        .vars = chat->vars,
        .add_generation_prompt = !chat->no_answer_prompt && !chat->continue_last,
        .continue_last = chat->continue_last,
    };
    return dv_chatfmt_render(chat->call->api->fmt, &in, NULL, text, err);
}

static int open_parsers(dv__chat *chat, bool in_thinking, dv_err *err);

int dv__chat_prompt(dv__chat *chat, uint32_t **ids, size_t *n, dv_err *err)
{
    dv__call *c = chat->call;
    dv_chatfmt_text text = {0};
    dv_ids list = {.max = DV_API_MAX_TOKENS};
    int rc = dv__chat_render(chat, &text, err);
    if (rc == 0)
        rc = dv__prompt_limit(c, dv_chatfmt_encode(c->api->fmt, c->api->engine->tok, &text, &list, err), err);
    if (rc == 0)
        rc = copy_ids(c, &list, ids, err);
    *n = list.len;
    if (rc == 0)
        rc = dv__gen_finish(c, &chat->gen, err);
    if (rc == 0)
        rc = dv__constraint_chat(c, &chat->gen, &chat->tools, &text, err);
    if (rc == 0)
        rc = open_parsers(chat, text.in_thinking, err);
    dv_ids_fini(&list);
    dv_chatfmt_text_fini(&text);
    return rc;
}

/* ---- from events of a job to those of the writer ---- */

static int begin_choice(dv__choice *ch)
{
    dv__call *c = ch->chat->call;
    if (ch->begun || !c->stream)
        return 0;
    ch->begun = true;
    return ch->chat->writer->begin != NULL ? ch->chat->writer->begin(c, ch) : 0;
}

static void keep_call(dv__choice *ch, const dv_chatfmt_event *ev)
{
    dv_buf *b = &ch->calls;
    switch (ev->type) {
    case DV_CHATFMT_CALL_BEGIN:
        dv_buf_adds(b, b->len > 0 ? ",{\"id\":" : "{\"id\":");
        dv_buf_json_str(b, ev->id, strlen(ev->id));
        dv_buf_adds(b, ",\"type\":\"function\",\"function\":{\"name\":");
        dv_buf_json_str(b, ev->name, strlen(ev->name));
        dv_buf_adds(b, ",\"arguments\":\"");
        break;
    case DV_CHATFMT_CALL_ARGS: { /* pieces of one string: without the quotes of each */
        size_t at = b->len;
        if (dv_buf_json_str(b, ev->text, ev->n) != 0)
            break;
        memmove(b->data + at, b->data + at + 1, b->len - at - 2);
        b->len -= 2;
        b->data[b->len] = 0;
        break;
    }
    case DV_CHATFMT_CALL_END: dv_buf_adds(b, "\"}}"); break;
    default: break;
    }
}

/* Not streamed: gathered until the end. */
static int keep_event(dv__choice *ch, const dv_chatfmt_event *ev)
{
    dv_buf *b = ev->type == DV_CHATFMT_CONTENT     ? &ch->content
                : ev->type == DV_CHATFMT_REASONING ? &ch->reasoning
                                                   : NULL;
    if (b != NULL)
        return dv_buf_add(b, ev->text, ev->n);
    keep_call(ch, ev);
    return ch->calls.code;
}

static int on_part(void *arg, const dv_chatfmt_event *ev)
{
    dv__choice *ch = arg;
    dv__call *c = ch->chat->call;
    ch->in_reasoning = ev->type == DV_CHATFMT_REASONING;
    if (!c->stream)
        return keep_event(ch, ev);
    return ch->chat->writer->event(c, ch, ev);
}

static int open_parsers(dv__chat *chat, bool in_thinking, dv_err *err)
{
    for (uint32_t i = 0; i < chat->gen.n; i++) {
        dv__choice *ch = &chat->choice[i];
        dv_chatfmt_parser_options o = {
            .tools = &chat->tools,
            .in_thinking = in_thinking,
            .keep_thinking = chat->keep_thinking,
            .calls_first = chat->gen.calls_first,
            .whole_calls = !chat->call->stream,
            .seed = chat->gen.sampling.seed + i,
            .arg = ch,
            .on_event = on_part,
        };
        ch->chat = chat;
        ch->index = i;
        ch->in_reasoning = in_thinking;
        int rc = dv_chatfmt_parser_open(&ch->parser, chat->call->api->fmt, &o, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int on_token(dv__choice *ch, const dv_job_event *ev)
{
    dv__chat *chat = ch->chat;
    const dv_tok *tok = chat->call->api->engine->tok;
    int rc = begin_choice(ch);
    ch->n_tokens++;
    ch->n_reasoning += ch->in_reasoning;
    if (chat->gen.logprobs && !dv_tok_is_eog(tok, (int32_t)ev->id)) {
        if (ch->logprobs.len > 0)
            dv_buf_addc(&ch->logprobs, ',');
        dv__put_token(&ch->logprobs, tok, ev);
        rc = rc != 0 ? rc : ch->logprobs.code;
    }
    if (rc == 0 && dv_tok_is_control(tok, (int32_t)ev->id)) {
        dv_str s = dv_tok_piece(tok, (int32_t)ev->id);
        rc = dv_chatfmt_push_control(ch->parser, s.p, s.n);
    }
    return rc;
}

static int on_choice(dv__choice *ch, const dv_job_event *ev)
{
    dv__chat *chat = ch->chat;
    int rc = begin_choice(ch);
    ch->reason = ev->reason;
    ch->stop_string = ev->stop_string;
    if (rc == 0)
        rc = dv_chatfmt_finish(ch->parser);
    if (rc == 0 && chat->call->stream && chat->writer->end != NULL)
        rc = chat->writer->end(chat->call, ch);
    return rc;
}

static int on_job_event(dv__call *c, uint32_t item, const dv_job_event *ev)
{
    dv__chat *chat = c->state;
    dv__choice *ch = &chat->choice[ev->index < chat->gen.n ? ev->index : 0];
    chat->timing = *ev->timing;
    switch (ev->type) {
    case DV_JOB_STARTED:
    case DV_JOB_PROGRESS:
        chat->n_cached = ev->timing->n_cached;
        chat->n_prompt = ev->timing->n_prompt;
        if (!c->stream || !chat->gen.progress || chat->writer->progress == NULL)
            return 0;
        return chat->writer->progress(c, ev);
    case DV_JOB_TOKEN: return on_token(ch, ev);
    case DV_JOB_TEXT: return dv_chatfmt_push(ch->parser, ev->text, ev->len);
    case DV_JOB_CHOICE: return on_choice(ch, ev);
    default: return 0;
    }
}

static int on_done(dv__call *c)
{
    dv__chat *chat = c->state;
    return chat->writer->done(c);
}

static void on_broken(dv__call *c, const char *body)
{
    dv__chat *chat = c->state;
    if (chat->writer->broken != NULL) {
        chat->writer->broken(c, body);
        return;
    }
    dv__sse_begin(&c->out);
    dv_buf_adds(&c->out, body);
    dv__sse_end(&c->out);
}

int dv__chat_start(dv__chat *chat, dv_err *err)
{
    static const dv__sink sink = {.event = on_job_event, .done = on_done, .broken = on_broken};
    uint32_t *ids;
    size_t n;
    int rc = dv__chat_prompt(chat, &ids, &n, err);
    if (rc != 0)
        return rc;
    dv_job_params *p = dv_arena_calloc(&chat->call->arena, 1, sizeof *p);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    *p = dv__gen_job(&chat->gen, ids, n);
    p->cut = chat->marks;
    p->n_cut = dv_chatfmt_marks(chat->call->api->fmt, &chat->tools, chat->marks);
    return dv__run_start(chat->call, &sink, p, 1, err);
}
