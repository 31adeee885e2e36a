/* SPDX-License-Identifier: MIT */
/* Opening a format, and rendering with it. */
#include "base/err.h"
#include "base/mem.h"
#include "chat/format_impl.h"
#include "chat/history.h"

#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* The tool template, if there is one, tells the format of calls. */
static int finish_open(dv_chatfmt **out, dv_chatfmt *f, dv_str tmpl, dv_str tool, int r, dv_err *err)
{
    char *tool_text = NULL;
    if (r == 0 && (f->source = dv_strndup(DV_MEM_TOK, tmpl.p, tmpl.n)) == NULL)
        r = DV_ENOMEM;
    if (r == 0 && tool.p != NULL && (tool_text = dv_strndup(DV_MEM_TOK, tool.p, tool.n)) == NULL)
        r = DV_ENOMEM;
    if (r == 0) {
        dv__chatfmt_detect(f, tool_text != NULL ? tool_text : f->source);
        r = dv__chatfmt_probe(f, err);
    }
    dv_free(tool_text);
    if (r == 0)
        *out = f;
    else
        dv_chatfmt_close(&f);
    return r == 0 ? 0 : dv_fail(err, r, "no memory for a chat template");
}

static dv_chatfmt *new_format(const dv_tok *tok)
{
    dv_chatfmt *f = dv_calloc(DV_MEM_TOK, 1, sizeof *f);
    if (f != NULL)
        f->tok = tok;
    return f;
}

static dv_str str_of(const char *s) { return (dv_str){s, s != NULL ? strlen(s) : 0}; }

int dv_chatfmt_open_text(dv_chatfmt **out, const char *tmpl, const char *tool_tmpl, const char *bos, const char *eos,
                         const dv_tok *tok, dv_err *err)
{
    *out = NULL;
    dv_chatfmt *f = new_format(tok);
    if (f == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a chat template");
    int r = dv_chat_open_text(&f->chat, tmpl, tool_tmpl, bos, eos, err);
    return finish_open(out, f, str_of(tmpl != NULL ? tmpl : dv_chat_fallback()), str_of(tool_tmpl), r, err);
}

/* Absent and not a string are the same here: dv_chat_open has said no to the latter. */
static dv_str template_of(const dv_gguf *g, const char *key)
{
    const dv_gguf_kv *kv = dv_gguf_find(g, key);
    dv_str s = {NULL, 0};
    return kv != NULL && dv_gguf_kv_str(kv, 0, &s) ? s : (dv_str){NULL, 0};
}

int dv_chatfmt_open(dv_chatfmt **out, const dv_gguf *g, const dv_tok *tok, dv_err *err)
{
    *out = NULL;
    dv_chatfmt *f = new_format(tok);
    if (f == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a chat template");
    int r = dv_chat_open(&f->chat, g, tok, err);
    dv_str tmpl = template_of(g, "tokenizer.chat_template");
    if (r == 0 && dv_chat_is_fallback(f->chat))
        tmpl = str_of(dv_chat_fallback());
    return finish_open(out, f, tmpl, template_of(g, "tokenizer.chat_template.tool_use"), r, err);
}

void dv_chatfmt_close(dv_chatfmt **f)
{
    if (f == NULL || *f == NULL)
        return;
    dv_chat_close(&(*f)->chat);
    dv_free((*f)->source);
    dv_free(*f);
    *f = NULL;
}

dv_chatfmt_kind dv_chatfmt_kind_of(const dv_chatfmt *f) { return f->kind; }
const dv_chatfmt_caps *dv_chatfmt_caps_of(const dv_chatfmt *f) { return &f->caps; }
const char *dv_chatfmt_source(const dv_chatfmt *f) { return f->source; }

/* ---- rendering ----------------------------------------------------------------------------------------------------- */

void dv_chatfmt_text_fini(dv_chatfmt_text *t)
{
    dv_buf_fini(&t->text);
    dv_spans_fini(&t->spans);
    t->in_thinking = t->may_think = false;
}

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t len = strlen(end);
    return n >= len && memcmp(s + n - len, end, len) == 0;
}

/* What the prompt's last word says: the marker that opens thoughts, or the one that closes them. */
static void find_thinking(const dv_chatfmt *f, dv_chatfmt_text *t)
{
    const char *think = f->mark[DV__MARK_THINK], *unthink = f->mark[DV__MARK_UNTHINK];
    size_t n = t->text.len;
    t->may_think = f->kind == DV_CHATFMT_HARMONY;
    if (unthink == NULL)
        return;
    while (n > 0 && strchr(" \n\t\r", t->text.data[n - 1]) != NULL)
        n--;
    t->in_thinking = ends_with(t->text.data, n, think);
    t->may_think = t->in_thinking || !ends_with(t->text.data, n, unthink);
}

/* An answer that the client has begun: thoughts that it opens or leaves open go on, behind other text there are none. */
static void find_begun_thinking(const dv_chatfmt *f, dv_chatfmt_text *t, const char *begun)
{
    const char *think = f->mark[DV__MARK_THINK], *unthink = f->mark[DV__MARK_UNTHINK];
    if (unthink == NULL || begun[strspn(begun, " \n\t\r")] == 0)
        return;
    bool opens = strncmp(begun + strspn(begun, " \n\t\r"), think, strlen(think)) == 0;
    t->in_thinking = (t->in_thinking || (t->may_think && opens)) && strstr(begun, unthink) == NULL;
    t->may_think = t->in_thinking;
}

/* Templates call the same switch by two names. */
static int make_vars(dv_value **out, dv_arena *a, const json_t *vars, dv_err *err)
{
    *out = NULL;
    if (vars == NULL)
        return 0;
    if (!json_is_object(vars))
        return dv_fail(err, DV_EINVAL, "the template's variables must be an object");
    int r = dv_value_from_tree(out, a, (json_t *)vars, 0, err);
    const dv_value *on = r == 0 ? dv_value_get(*out, "enable_thinking") : NULL;
    if (on != NULL && dv_value_get(*out, "thinking") == NULL)
        r = dv_value_set(a, *out, "thinking", 8, on);
    return r;
}

static int render(const dv_chatfmt *f, const dv_chatfmt_input *in, json_t *messages, const dv_tmpl_opts *opts,
                  dv_chatfmt_text *out, dv_err *err)
{
    dv_arena a;
    dv_value *m = NULL, *t = NULL, *vars = NULL;
    bool tools = in->tools != NULL && in->tools->choice != DV_TOOLCHOICE_NONE && f->caps.tools;
    dv_arena_init(&a, DV_MEM_TOK, 0);
    int r = dv_value_from_tree(&m, &a, messages, 0, err);
    if (r == 0 && tools && in->tools->list != NULL)
        r = dv_value_from_tree(&t, &a, in->tools->list, 0, err);
    if (r == 0)
        r = make_vars(&vars, &a, in->vars, err);
    dv_chat_request req = {.messages = m,
                           .tools = t,
                           .extra = vars,
                           .add_generation_prompt = in->add_generation_prompt || in->continue_last};
    if (r == 0)
        r = dv_chat_render(f->chat, &req, opts, &out->text, &out->spans, err);
    dv_arena_fini(&a);
    return r == 0 ? 0 : dv_fail(err, r, "no memory for a conversation");
}

/* The begun answer, which is text of the client. */
static int append_answer(dv_chatfmt_text *out, const json_t *last, dv_err *err)
{
    const json_t *content = json_object_get(last, "content");
    size_t n = json_string_length(content);
    if (n == 0)
        return 0;
    if (out->spans.n == out->spans.cap) {
        size_t cap = out->spans.cap + 1;
        dv_span *p = dv_realloc(DV_MEM_TOK, out->spans.at, cap * sizeof *p);
        if (p == NULL)
            return dv_fail(err, DV_ENOMEM, "no memory for a conversation");
        out->spans.at = p;
        out->spans.cap = cap;
    }
    out->spans.at[out->spans.n++] = (dv_span){.offset = out->text.len, .len = n};
    int r = dv_buf_add(&out->text, json_string_value(content), n);
    return r == 0 ? 0 : dv_fail(err, r, "no memory for a conversation");
}

int dv_chatfmt_render(const dv_chatfmt *f, const dv_chatfmt_input *in, const dv_tmpl_opts *opts, dv_chatfmt_text *out,
                      dv_err *err)
{
    json_t *messages = NULL;
    size_t n = json_array_size(in->messages);
    const json_t *last = in->continue_last ? json_array_get(in->messages, n - 1) : NULL;
    dv_chatfmt_text_fini(out);
    if (in->continue_last &&
        (!dv__chat_is(json_object_get(last, "role"), "assistant") || json_object_get(last, "tool_calls") != NULL))
        return dv_fail(err, DV_EINVAL, "only an assistant's message without tool calls can be continued");
    int r = dv__chatfmt_adapt(f, in, n - (last != NULL), &messages, err);
    if (r == 0)
        r = render(f, in, messages, opts, out, err);
    json_decref(messages);
    if (r == 0)
        find_thinking(f, out);
    if (r == 0 && last != NULL)
        r = append_answer(out, last, err);
    if (r == 0 && json_string_length(json_object_get(last, "content")) > 0)
        find_begun_thinking(f, out, json_string_value(json_object_get(last, "content")));
    if (r != 0)
        dv_chatfmt_text_fini(out);
    return r;
}

int dv_chatfmt_encode(const dv_chatfmt *f, const dv_tok *tok, const dv_chatfmt_text *text, dv_ids *out, dv_err *err)
{
    return dv_chat_encode_text(f->chat, tok, &text->text, &text->spans, out, err);
}
