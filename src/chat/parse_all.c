/* SPDX-License-Identifier: MIT */
/* A whole answer at once. */
#include "base/err.h"
#include "chat/history.h"
#include "chat/parser.h"

#include <string.h>

typedef struct collect {
    dv_buf content, reasoning, args;
    json_t *calls;
    char name[260], id[40]; /* of the call that is being read */
    dv_err *err;
} collect;

static int end_call(collect *c)
{
    json_t *fn = json_pack("{s:s}", "name", c->name);
    int r =
        dv__chat_push(c->calls, json_pack("{s:s, s:s, s:o}", "id", c->id, "type", "function", "function", fn), c->err);
    return r == 0 ? dv__chat_put(fn, "arguments", dv__chat_text(&c->args), c->err) : r;
}

static int on_event(void *arg, const dv_chatfmt_event *ev)
{
    collect *c = arg;
    switch (ev->type) {
    case DV_CHATFMT_CONTENT: return dv_buf_add(&c->content, ev->text, ev->n);
    case DV_CHATFMT_REASONING: return dv_buf_add(&c->reasoning, ev->text, ev->n);
    case DV_CHATFMT_CALL_ARGS: return dv_buf_add(&c->args, ev->text, ev->n);
    case DV_CHATFMT_CALL_BEGIN:
        memcpy(c->name, ev->name, strlen(ev->name) + 1);
        memcpy(c->id, ev->id, strlen(ev->id) + 1);
        dv_buf_clear(&c->args);
        return 0;
    default: return end_call(c);
    }
}

static int make_message(collect *c, json_t **out)
{
    bool calls = json_array_size(c->calls) > 0;
    json_t *m = json_pack("{s:s}", "role", "assistant");
    if (m == NULL)
        return dv_fail(c->err, DV_ENOMEM, "no memory for an answer");
    int r = dv__chat_put(m, "content", c->content.len > 0 || !calls ? dv__chat_text(&c->content) : json_null(), c->err);
    if (r == 0 && c->reasoning.len > 0)
        r = dv__chat_put(m, "reasoning_content", dv__chat_text(&c->reasoning), c->err);
    if (r == 0 && calls)
        r = dv__chat_put(m, "tool_calls", json_incref(c->calls), c->err);
    if (r == 0)
        *out = m;
    else
        json_decref(m);
    return r;
}

int dv_chatfmt_parse(const dv_chatfmt *f, const dv_chatfmt_parser_options *o, const char *text, size_t n, json_t **out,
                     dv_err *err)
{
    collect c = {.calls = json_array(), .err = err};
    dv_chatfmt_parser_options own = *o;
    dv_chatfmt_parser *p = NULL;
    own.whole_calls = true;
    own.on_event = on_event;
    own.arg = &c;
    *out = NULL;
    dv_buf_init(&c.content, 0);
    dv_buf_init(&c.reasoning, 0);
    dv_buf_init(&c.args, 0);
    int r = c.calls == NULL ? DV_ENOMEM : dv_chatfmt_parser_open(&p, f, &own, err);
    if (r == 0)
        r = dv_chatfmt_push(p, text, n);
    if (r == 0)
        r = dv_chatfmt_finish(p);
    if (r == 0)
        r = make_message(&c, out);
    dv_chatfmt_parser_close(&p);
    dv_buf_fini(&c.content);
    dv_buf_fini(&c.reasoning);
    dv_buf_fini(&c.args);
    json_decref(c.calls);
    return r == 0 ? 0 : dv_fail(err, r, "no memory for an answer");
}
