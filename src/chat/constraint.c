/* SPDX-License-Identifier: MIT */
/* The grammar of an answer: thoughts, text, calls. It is a part of what parser.h understands: the spelling that models are trained on,
 * and, where calls have no marker in front, no other JSON that the parser would take for a call. */
#include "chat/constraint.h"

#include "base/err.h"
#include "chat/format_impl.h"
#include "chat/history.h"

#include <stdio.h>
#include <string.h>

typedef struct maker {
    const dv_chatfmt *f;
    const dv_chatfmt_answer *a;
    const dv_chattools *tools; /* NULL: no calls */
    dv_grammar_builder *b;
    bool one;   /* a single call */
    bool must;  /* nothing but calls */
    dv_gx text; /* what the text must be; -1: anything */
} maker;

enum { MAX_PARTS = 6 }; /* of a call */

/* ---- shorthands: errors stick in the builder ------------------------------------------------------------------------ */

static dv_gx lit(maker *m, const char *text) { return dv_gx_literal(m->b, text, strlen(text)); }
static dv_gx regex(maker *m, const char *text) { return dv_gx_regex(m->b, text, strlen(text)); }
static dv_gx maybe(maker *m, dv_gx x) { return dv_gx_repeat(m->b, x, 0, 1); }
static dv_gx alt2(maker *m, dv_gx x, dv_gx y) { return dv_gx_alt(m->b, (dv_gx[]){x, y}, 2); }
static dv_gx seq2(maker *m, dv_gx x, dv_gx y) { return dv_gx_seq(m->b, (dv_gx[]){x, y}, 2); }
static dv_gx seq3(maker *m, dv_gx x, dv_gx y, dv_gx z) { return dv_gx_seq(m->b, (dv_gx[]){x, y, z}, 3); }
static dv_gx space(maker *m) { return regex(m, "[ \\t\\r\\n]*"); }
static dv_gx any_text(maker *m) { return dv_gx_text(m->b, NULL, 0, true); }

/* Where the vocabulary has the marker as a token, only that will do: models do not spell it, and to the parser the letters of a control token
 * are content. */
static dv_gx mark(maker *m, int which)
{
    const char *text = m->f->mark[which];
    const dv_tok *tok = m->f->tok;
    int32_t id = tok != NULL ? dv_tok_find(tok, text, strlen(text)) : -1;
    char rule[40];
    if (id < 0 || !(dv_tok_is_control(tok, id) || dv_tok_is_markup(tok, id)))
        return dv_gx_literal(m->b, text, strlen(text));
    int n = snprintf(rule, sizeof rule, "root ::= <[%d]>", (int)id);
    return dv_gx_gbnf(m->b, rule, (size_t)n);
}

static dv_gx until(maker *m, int which, dv_gx then, bool may_end)
{
    const char *text = m->f->mark[which];
    const dv_grammar_trigger t = {.text = text, .n = strlen(text), .special = true, .then = then};
    return dv_gx_text(m->b, &t, 1, may_end);
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

/* How a call is spelled around its name and arguments. The schema's own JSON follows `key`. */
typedef struct form {
    const char *open, *key, *close;
} form;

static form form_of(dv_chatfmt_kind kind)
{
    switch (kind) {
    case DV_CHATFMT_LLAMA3:
    case DV_CHATFMT_GEMMA: return (form){"{\"name\": \"", "\", \"parameters\": ", "}"};
    case DV_CHATFMT_MISTRAL_ARGS: return (form){"", NULL, ""};
    case DV_CHATFMT_DEEPSEEK: return (form){"function", NULL, "\n```"};
    case DV_CHATFMT_DEEPSEEK_31: return (form){"", NULL, ""};
    case DV_CHATFMT_HARMONY: return (form){"", NULL, ""};
    default: return (form){"{\"name\": \"", "\", \"arguments\": ", "}"};
    }
}

/* The builder's error, which sticks. */
static int what_is_wrong(maker *m, dv_err *err)
{
    dv_grammar *none = NULL;
    int r = dv_grammar_build(&none, m->b, -1, err);
    dv_grammar_unref(&none);
    return r != 0 ? r : DV_EINTERNAL;
}

/* Arguments are an object even where the schema does not say so. */
static int arguments(maker *m, size_t i, dv_gx *out, dv_err *err)
{
    static const char *const says[] = {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"};
    const json_t *fn = json_object_get(json_array_get(m->tools->list, i), "function");
    json_t *schema = json_object_get(fn, "parameters"), *own = NULL;
    bool said = false;
    for (size_t k = 0; k < DV_ARRAY_LEN(says); k++)
        said |= json_object_get(schema, says[k]) != NULL;
    if (!said) {
        own = json_copy(schema);
        if (own == NULL || json_object_set_new(own, "type", json_string("object")) != 0) {
            json_decref(own);
            return dv_fail(err, DV_ENOMEM, "no memory for a grammar");
        }
    }
    *out = dv_gx_schema(m->b, own != NULL ? own : schema, NULL);
    json_decref(own);
    if (*out >= 0)
        return 0;
    int r = what_is_wrong(m, err);
    dv_err_prefix(err, "tools[%zu] (%s)", i, json_string_value(json_object_get(fn, "name")));
    return r;
}

/* What stands between the name and the arguments, per format. */
static dv_gx separator(maker *m, const form *f)
{
    if (f->key != NULL)
        return lit(m, f->key);
    if (m->f->kind == DV_CHATFMT_DEEPSEEK)
        return lit(m, "\n```json\n");
    dv_gx sep = mark(m, DV__MARK_SEP);
    if (m->f->kind != DV_CHATFMT_HARMONY)
        return sep;
    dv_gx json = seq3(m, lit(m, " "), mark(m, DV__MARK_SEP2), lit(m, "json"));
    dv_gx channel = seq2(m, mark(m, DV__MARK_BEGIN2), lit(m, "commentary"));
    return seq3(m, maybe(m, channel), maybe(m, alt2(m, json, lit(m, " json"))), sep);
}

/* One call of tool i. */
static int one_call(maker *m, size_t i, dv_gx *out, dv_err *err)
{
    const json_t *fn = json_object_get(json_array_get(m->tools->list, i), "function");
    form f = form_of(m->f->kind);
    dv_gx args = -1, part[MAX_PARTS];
    size_t n = 0;
    int r = arguments(m, i, &args, err);
    if (r != 0)
        return r;
    if (f.open[0] != 0)
        part[n++] = lit(m, f.open);
    if (m->f->kind == DV_CHATFMT_DEEPSEEK)
        part[n++] = mark(m, DV__MARK_SEP);
    part[n++] = lit(m, json_string_value(json_object_get(fn, "name")));
    part[n++] = separator(m, &f);
    part[n++] = args;
    if (f.close[0] != 0)
        part[n++] = lit(m, f.close);
    *out = dv_gx_seq(m->b, part, n);
    return 0;
}

/* A call of any tool that may be called. */
static int any_call(maker *m, dv_gx *out, dv_err *err)
{
    dv_gx each[DV_CHAT_MAX_TOOLS];
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(m->tools->list); i++) {
        const json_t *fn = json_object_get(json_array_get(m->tools->list, i), "function");
        if (m->tools->choice == DV_TOOLCHOICE_NAMED && !dv__chat_is(json_object_get(fn, "name"), m->tools->name))
            continue;
        int r = one_call(m, i, &each[n++], err);
        if (r != 0)
            return r;
    }
    *out = dv_gx_alt(m->b, each, n);
    return 0;
}

/* x, or x between x, as many as may be. */
static dv_gx list_of(maker *m, dv_gx x, dv_gx between)
{
    return m->one ? x : seq2(m, x, dv_gx_repeat(m->b, seq2(m, between, x), 0, DV_GRAMMAR_UNBOUNDED));
}

static dv_gx in_brackets(maker *m, dv_gx call)
{
    return seq3(m, lit(m, "["), list_of(m, call, lit(m, ", ")), lit(m, "]"));
}

/* All calls of an answer, behind what opens the first one. */
static dv_gx calls_behind_mark(maker *m, dv_gx call)
{
    dv_gx more, one;
    switch (m->f->kind) {
    case DV_CHATFMT_HERMES:
        one = dv_gx_seq(m->b, (dv_gx[]){regex(m, "\n?"), call, regex(m, "\n?"), mark(m, DV__MARK_END)}, 4);
        more = seq3(m, regex(m, "\n?"), mark(m, DV__MARK_BEGIN), one);
        break;
    case DV_CHATFMT_MISTRAL_ARGS:
        one = call;
        more = seq2(m, mark(m, DV__MARK_BEGIN), call);
        break;
    case DV_CHATFMT_DEEPSEEK:
    case DV_CHATFMT_DEEPSEEK_31:
        one = seq3(m, mark(m, DV__MARK_BEGIN2), call, mark(m, DV__MARK_END));
        return seq2(m, list_of(m, one, regex(m, "\n?")), mark(m, DV__MARK_END2));
    default: return seq2(m, regex(m, " ?"), in_brackets(m, call));
    }
    return m->one ? one : seq2(m, one, dv_gx_repeat(m->b, more, 0, DV_GRAMMAR_UNBOUNDED));
}

/* Calls without a mark in front. */
static dv_gx plain_calls(maker *m, dv_gx call)
{
    if (m->f->kind == DV_CHATFMT_GENERIC)
        return seq3(m, lit(m, "{\"tool_calls\": "), in_brackets(m, call), lit(m, "}"));
    return list_of(m, call, lit(m, m->f->kind == DV_CHATFMT_GEMMA ? "\n" : "; "));
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

/* Phi-4 writes calls behind a control token if it has that, and behind a word otherwise. */
static int opening_mark(const dv_chatfmt *f)
{
    const char *token = f->kind == DV_CHATFMT_PHI4 ? f->mark[DV__MARK_BEGIN2] : NULL;
    bool has = token != NULL && f->tok != NULL && dv_tok_find(f->tok, token, strlen(token)) >= 0;
    return has ? DV__MARK_BEGIN2 : DV__MARK_BEGIN;
}

/* Text that the parser cannot take for a call: what its first bytes may be, up to where that is clear. */
static dv_gx no_plain_call(maker *m, dv_gx rest)
{
    dv_gx brace = seq2(m, regex(m, "\\{[ \\t\\r\\n]*"), regex(m, "([^ \\t\\r\\n\"]|\"[^ntf])"));
    dv_gx in_list = alt2(m, brace, regex(m, "[^ \\t\\r\\n{]"));
    dv_gx bracket = seq2(m, regex(m, "\\[[ \\t\\r\\n]*"), in_list);
    dv_gx opened = seq2(m, regex(m, "```[a-z_]*[ \\t\\r\\n]*"), alt2(m, brace, bracket));
    dv_gx word = regex(m, "```[a-z_]*([^a-z_ \\t\\r\\n{\\[]|[ \\t\\r\\n]+[^ \\t\\r\\n{\\[])");
    dv_gx fenced = alt2(m, opened, word);
    const dv_gx first[] = {regex(m, "[^ \\t\\r\\n{\\[`]"), brace, bracket, fenced, regex(m, "`{1,2}[^`]")};
    return seq2(m, dv_gx_alt(m->b, first, DV_ARRAY_LEN(first)), rest);
}

/* auto, without a mark in front of calls. */
static dv_gx plain_answer(maker *m, dv_gx calls)
{
    bool mark_too = m->f->mark[DV__MARK_BEGIN] != NULL;
    dv_gx marked = mark_too ? seq2(m, mark(m, DV__MARK_BEGIN), calls) : calls;
    if (m->text >= 0)
        return dv_gx_alt(m->b, (dv_gx[]){m->text, calls, marked}, mark_too ? 3 : 2);
    dv_gx text = mark_too ? until(m, DV__MARK_BEGIN, calls, true) : any_text(m);
    return seq2(m, space(m), maybe(m, dv_gx_alt(m->b, (dv_gx[]){calls, marked, no_plain_call(m, text)}, 3)));
}

/* Harmony, whose answers begin in the head of a message: perhaps analysis, and then a call in the commentary channel or the final text. */
static dv_gx harmony_answer(maker *m, dv_gx call)
{
    dv_gx to = m->tools != NULL ? seq2(m, lit(m, " to=functions."), call) : -1, last[3];
    size_t n = 0;
    if (m->text < 0 && !m->must) {
        const dv_grammar_trigger t = {.text = " to=functions.", .n = 14, .then = call};
        return dv_gx_text(m->b, &t, 1, true);
    }
    if (m->tools != NULL) {
        last[n++] = to;
        last[n++] = seq3(m, mark(m, DV__MARK_BEGIN2), lit(m, "commentary"), to);
    }
    if (!m->must) {
        dv_gx json = seq3(m, lit(m, " "), mark(m, DV__MARK_SEP2), lit(m, "json"));
        dv_gx head = seq3(m, mark(m, DV__MARK_BEGIN2), lit(m, "final"), maybe(m, json));
        last[n++] = seq3(m, head, mark(m, DV__MARK_SEP), m->text);
    }
    dv_gx answer = dv_gx_alt(m->b, last, n);
    dv_gx next = seq2(m, mark(m, DV__MARK_BEGIN), lit(m, "assistant"));
    dv_gx head = seq3(m, mark(m, DV__MARK_BEGIN2), lit(m, "analysis"), mark(m, DV__MARK_SEP));
    return alt2(m, answer, seq2(m, head, until(m, DV__MARK_END, seq2(m, next, answer), false)));
}

/* Thoughts in front of the rest. */
static dv_gx with_thoughts(maker *m, dv_gx rest)
{
    if (m->f->mark[DV__MARK_UNTHINK] == NULL || !(m->a->may_think || m->a->in_thinking))
        return rest;
    bool may_end = !m->must && m->text < 0;
    /* Not any amount of space: a model that is at a loss would go on with it for ever. */
    dv_gx thoughts = until(m, DV__MARK_UNTHINK, seq2(m, regex(m, "[ \\t\\r\\n]{0,4}"), rest), may_end);
    if (m->a->in_thinking)
        return thoughts;
    return alt2(m, rest, seq3(m, regex(m, "[ \\n]?"), mark(m, DV__MARK_THINK), thoughts));
}

/* Behind the thoughts. */
static dv_gx calls_or_text(maker *m, dv_gx call)
{
    if (m->tools == NULL)
        return m->text;
    if (dv__chatfmt_is_plain(m->f->kind)) {
        dv_gx calls = plain_calls(m, call);
        return m->must ? calls : plain_answer(m, calls);
    }
    int open = opening_mark(m->f);
    dv_gx calls = calls_behind_mark(m, call);
    if (open == DV__MARK_BEGIN2)
        calls = seq2(m, calls, mark(m, DV__MARK_END2));
    dv_gx marked = seq2(m, mark(m, open), calls);
    if (m->must)
        return marked;
    return m->text >= 0 ? alt2(m, m->text, marked) : until(m, open, calls, true);
}

/* Whether a grammar says itself how thoughts are written. */
static bool spells_thoughts(const dv_chatfmt *f, const char *gbnf)
{
    static const int marks[] = {DV__MARK_THINK, DV__MARK_UNTHINK, DV__MARK_BEGIN2, DV__MARK_SEP};
    size_t first = f->kind == DV_CHATFMT_HARMONY ? 2 : 0;
    for (size_t i = first; gbnf != NULL && i < first + 2; i++)
        if (f->mark[marks[i]] != NULL && strstr(gbnf, f->mark[marks[i]]) != NULL)
            return true;
    return false;
}

static int make_text(maker *m, dv_err *err)
{
    const dv_chatfmt_answer *a = m->a;
    m->text = -1;
    if (a->gbnf == NULL && a->schema == NULL && !a->object)
        return 0;
    m->text = a->gbnf != NULL     ? dv_gx_gbnf(m->b, a->gbnf, strlen(a->gbnf))
              : a->schema != NULL ? dv_gx_schema(m->b, a->schema, NULL)
                                  : dv_gx_json_object(m->b, NULL);
    if (m->text >= 0)
        return 0;
    int r = what_is_wrong(m, err);
    dv_err_prefix(err, "%s", a->field != NULL ? a->field : "grammar");
    return r;
}

static int build(maker *m, dv_grammar **out, dv_err *err)
{
    dv_gx call = -1, all;
    int r = make_text(m, err);
    if (r == 0 && m->tools != NULL)
        r = any_call(m, &call, err);
    if (r != 0)
        return r;
    if (m->text >= 0 && m->tools == NULL && spells_thoughts(m->f, m->a->gbnf))
        all = m->text;
    else if (m->f->kind == DV_CHATFMT_HARMONY)
        all = harmony_answer(m, call);
    else
        all = with_thoughts(m, calls_or_text(m, call));
    return dv_grammar_build(out, m->b, all, err);
}

int dv_chatfmt_grammar(const dv_chatfmt *f, const dv_chatfmt_answer *a, const dv_grammar_limits *limits,
                       dv_grammar **out, dv_err *err)
{
    const dv_chattools *tools = a->tools;
    maker m = {.f = f, .a = a};
    *out = NULL;
    if (tools != NULL && tools->list != NULL && tools->choice != DV_TOOLCHOICE_NONE) {
        m.tools = tools;
        m.must = tools->choice != DV_TOOLCHOICE_AUTO;
        /* A template that shows one call at a time belongs to a model that makes one at a time. */
        m.one = !tools->parallel || tools->choice == DV_TOOLCHOICE_NAMED || (f->caps.calls && !f->caps.parallel);
    }
    if (m.tools == NULL && a->gbnf == NULL && a->schema == NULL && !a->object)
        return 0;
    int r = dv_grammar_builder_open(&m.b, limits, err);
    if (r == 0)
        r = build(&m, out, err);
    dv_grammar_builder_close(&m.b);
    return r;
}
