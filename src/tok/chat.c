/* SPDX-License-Identifier: MIT */
/* Chat templates of a model: which one to use, and the variables it sees. */
#include "tok/chat.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

struct dv_chat {
    dv_tmpl *main, *tool; /* tool may be NULL */
    char *bos, *eos;
    bool fallback;
};

static const char chatml[] =
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static int parse(dv_tmpl **out, dv_str text, const char *key, dv_err *err)
{
    int r = dv_tmpl_parse(out, text.p, text.n, NULL, err);
    if (r != 0)
        dv_err_prefix(err, "%s", key);
    return r;
}

static int open_strs(dv_chat **out, dv_str tmpl, dv_str tool, dv_str bos, dv_str eos, dv_err *err)
{
    *out = NULL;
    dv_chat *c = dv_calloc(DV_MEM_TOK, 1, sizeof *c);
    if (c == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a chat template");
    c->fallback = tmpl.p == NULL;
    c->bos = dv_strndup(DV_MEM_TOK, bos.p, bos.n);
    c->eos = dv_strndup(DV_MEM_TOK, eos.p, eos.n);
    int r = c->bos == NULL || c->eos == NULL ? dv_fail(err, DV_ENOMEM, "no memory for a chat template") : 0;
    if (r == 0)
        r = parse(&c->main, c->fallback ? (dv_str){chatml, sizeof chatml - 1} : tmpl, "tokenizer.chat_template", err);
    if (r == 0 && tool.p != NULL)
        r = parse(&c->tool, tool, "tokenizer.chat_template.tool_use", err);
    if (r == 0)
        *out = c;
    else
        dv_chat_close(&c);
    return r;
}

static dv_str str_of(const char *s) { return (dv_str){s, s != NULL ? strlen(s) : 0}; }

int dv_chat_open_text(dv_chat **out, const char *tmpl, const char *tool_tmpl, const char *bos, const char *eos,
                      dv_err *err)
{
    return open_strs(out, str_of(tmpl), str_of(tool_tmpl), str_of(bos), str_of(eos), err);
}

static int get_template(const dv_gguf *g, const char *key, dv_str *out, dv_err *err)
{
    const dv_gguf_kv *kv = dv_gguf_find(g, key);
    *out = (dv_str){NULL, 0};
    if (kv != NULL && !dv_gguf_kv_str(kv, 0, out))
        return dv_fail(err, DV_EFORMAT, "%s must be a string", key);
    if (kv != NULL && out->p == NULL)
        out->p = "";
    return 0;
}

static dv_str token_text(const dv_tok *tok, dv_tok_role role)
{
    int32_t id = tok != NULL ? dv_tok_role_id(tok, role) : -1;
    return id >= 0 ? dv_tok_piece(tok, id) : (dv_str){NULL, 0};
}

int dv_chat_open(dv_chat **out, const dv_gguf *g, const dv_tok *tok, dv_err *err)
{
    dv_str tmpl, tool;
    *out = NULL;
    int r = get_template(g, "tokenizer.chat_template", &tmpl, err);
    if (r == 0)
        r = get_template(g, "tokenizer.chat_template.tool_use", &tool, err);
    return r == 0 ? open_strs(out, tmpl, tool, token_text(tok, DV_TOK_BOS), token_text(tok, DV_TOK_EOS), err) : r;
}

void dv_chat_close(dv_chat **c)
{
    if (c == NULL || *c == NULL)
        return;
    dv_tmpl_free(&(*c)->main);
    dv_tmpl_free(&(*c)->tool);
    dv_free((*c)->bos);
    dv_free((*c)->eos);
    dv_free(*c);
    *c = NULL;
}

bool dv_chat_is_fallback(const dv_chat *c) { return c->fallback; }
const char *dv_chat_fallback(void) { return chatml; }

/* ---- variables ----------------------------------------------------------------------------------------------------- */

/* Roles every template knows; a template that spells a control token around a role ("<|user|>") needs them trusted. */
static bool known_role(const char *s, size_t n)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer", "function", "ipython"};
    for (size_t i = 0; i < DV_ARRAY_LEN(roles); i++)
        if (strlen(roles[i]) == n && memcmp(roles[i], s, n) == 0)
            return true;
    return false;
}

static int set(dv_arena *a, dv_value *dict, const char *key, const dv_value *v)
{
    return dv_value_set(a, dict, key, strlen(key), v);
}

static int set_str(dv_arena *a, dv_value *dict, const char *key, const char *s, size_t n, bool trusted)
{
    return s != NULL ? set(a, dict, key, dv_value_str_ref(a, s, n, trusted)) : 0;
}

static dv_value *message(dv_arena *a, const dv_chat_msg *m)
{
    dv_value *d = dv_value_dict(a);
    size_t n_role = m->role != NULL ? strlen(m->role) : 0;
    bool tool_calls = m->tool_calls != NULL;
    int r = set_str(a, d, "role", n_role > 0 ? m->role : "", n_role, known_role(n_role > 0 ? m->role : "", n_role));
    if (r == 0 && m->content_parts != NULL)
        r = set(a, d, "content", m->content_parts);
    else if (r == 0)
        r = m->content != NULL ? set_str(a, d, "content", m->content, m->content_len, false)
                               : set(a, d, "content", dv_value_none(a));
    if (r == 0)
        r = set_str(a, d, "reasoning_content", m->reasoning, m->reasoning_len, false); /* Qwen, DeepSeek */
    if (r == 0)
        r = set_str(a, d, "thinking", m->reasoning, m->reasoning_len, false); /* gpt-oss */
    if (r == 0 && tool_calls)
        r = set(a, d, "tool_calls", m->tool_calls);
    if (r == 0 && m->tool_call_id != NULL)
        r = set_str(a, d, "tool_call_id", m->tool_call_id, strlen(m->tool_call_id), false);
    if (r == 0 && m->name != NULL)
        r = set_str(a, d, "name", m->name, strlen(m->name), false);
    return r == 0 ? d : NULL;
}

static int add_messages(dv_arena *a, dv_value *context, const dv_chat_request *r, dv_err *err)
{
    dv_value *list = dv_value_list(a);
    if (r->messages != NULL) {
        if (!dv_value_is_list(r->messages))
            return dv_fail(err, DV_EINVAL, "messages must be a list");
        list = dv_value_trust_roles(a, r->messages, known_role);
    }
    int code = list != NULL ? 0 : DV_ENOMEM;
    for (size_t i = 0; r->messages == NULL && code == 0 && i < r->n_msgs; i++)
        code = dv_value_push(a, list, message(a, &r->msgs[i]));
    if (code == 0)
        code = set(a, context, "messages", list);
    return code == 0 ? 0 : dv_fail(err, code, "no memory for the messages");
}

static int add_rest(const dv_chat *c, dv_arena *a, dv_value *context, const dv_chat_request *r)
{
    int code = set(a, context, "tools", r->tools != NULL ? r->tools : dv_value_none(a));
    if (code == 0)
        code = set(a, context, "documents", r->documents != NULL ? r->documents : dv_value_none(a));
    if (code == 0)
        code = set(a, context, "add_generation_prompt", dv_value_bool(a, r->add_generation_prompt));
    if (code == 0)
        code = set_str(a, context, "bos_token", c->bos, strlen(c->bos), true);
    if (code == 0)
        code = set_str(a, context, "eos_token", c->eos, strlen(c->eos), true);
    return code;
}

int dv_chat_render(const dv_chat *c, const dv_chat_request *r, const dv_tmpl_opts *opts, dv_buf *out, dv_spans *spans,
                   dv_err *err)
{
    dv_arena a;
    dv_arena_init(&a, DV_MEM_TOK, 0);
    dv_value *context = dv_value_dict(&a);
    int code = context != NULL ? 0 : dv_fail(err, DV_ENOMEM, "no memory for a conversation");
    if (code == 0 && r->extra != NULL && (code = dv_value_merge(&a, context, r->extra)) != 0)
        dv_fail(err, code, code == DV_EINVAL ? "the extra variables must be a dict" : "no memory for a conversation");
    if (code == 0)
        code = add_messages(&a, context, r, err);
    if (code == 0 && (code = add_rest(c, &a, context, r)) != 0)
        dv_fail(err, code, "no memory for a conversation");
    bool tools = c->tool != NULL && dv_value_len(r->tools) > 0;
    if (code == 0)
        code = dv_tmpl_render(tools ? c->tool : c->main, context, opts, out, spans, err);
    dv_arena_fini(&a);
    return code;
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

int dv_chat_encode_text(const dv_chat *c, const dv_tok *tok, const dv_buf *text, const dv_spans *spans, dv_ids *out,
                        dv_err *err)
{
    dv_tok_part *parts = dv_alloc_array(DV_MEM_TOK, spans->n + 1, sizeof *parts);
    if (parts == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a conversation");
    for (size_t i = 0; i < spans->n; i++)
        parts[i] = (dv_tok_part){
            .p = text->data + spans->at[i].offset, .n = spans->at[i].len, .trusted = spans->at[i].trusted};
    size_t n_bos = strlen(c->bos), before = out->len;
    bool has_bos = n_bos > 0 && spans->n > 0 && spans->at[0].trusted && spans->at[0].len >= n_bos &&
                   memcmp(text->data, c->bos, n_bos) == 0;
    int32_t bos = dv_tok_role_id(tok, DV_TOK_BOS);
    int r = 0;
    if (!has_bos && dv_tok_adds_bos(tok) && bos >= 0 && (r = dv_ids_add(out, &bos, 1)) != 0)
        dv_fail(err, r, "no memory for a conversation");
    if (r == 0)
        r = dv_tok_encode_parts(tok, parts, spans->n, 0, out, err);
    if (r != 0)
        out->len = before;
    dv_free(parts);
    return r;
}

int dv_chat_encode(const dv_chat *c, const dv_tok *tok, const dv_chat_request *r, const dv_tmpl_opts *opts, dv_ids *out,
                   dv_err *err)
{
    dv_buf text;
    dv_spans spans = {0};
    dv_buf_init(&text, 0);
    int code = dv_chat_render(c, r, opts, &text, &spans, err);
    if (code == 0)
        code = dv_chat_encode_text(c, tok, &text, &spans, out, err);
    dv_spans_fini(&spans);
    dv_buf_fini(&text);
    return code;
}
