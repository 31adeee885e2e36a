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
    const dv_chattools *tools;
    dv_grammar_builder *b;
    bool one; /* a single call */
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

/* Where the vocabulary has the marker as a control token, only that will do: its letters are content to the parser. */
static dv_gx mark(maker *m, int which)
{
    const char *text = m->f->mark[which];
    char rule[40];
    if (!m->f->control[which])
        return dv_gx_special(m->b, text, strlen(text));
    int n = snprintf(rule, sizeof rule, "root ::= <[%d]>", (int)dv_tok_find(m->f->tok, text, strlen(text)));
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
    dv_grammar *none = NULL; /* says what is wrong */
    int r = dv_grammar_build(&none, m->b, *out, err);
    dv_grammar_unref(&none);
    dv_err_prefix(err, "tools[%zu] (%s)", i, json_string_value(json_object_get(fn, "name")));
    return r != 0 ? r : DV_EINTERNAL;
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
    dv_gx text = m->f->mark[DV__MARK_BEGIN] != NULL ? until(m, DV__MARK_BEGIN, calls, true) : any_text(m);
    dv_gx marked = m->f->mark[DV__MARK_BEGIN] != NULL ? seq2(m, mark(m, DV__MARK_BEGIN), calls) : calls;
    return seq2(m, space(m), maybe(m, dv_gx_alt(m->b, (dv_gx[]){calls, marked, no_plain_call(m, text)}, 3)));
}

/* Analysis, and then a call in the commentary channel. */
static dv_gx harmony_answer(maker *m, dv_gx call, bool must)
{
    dv_gx to = seq2(m, lit(m, " to=functions."), call);
    if (!must) {
        const dv_grammar_trigger t = {.text = " to=functions.", .n = 14, .then = call};
        return dv_gx_text(m->b, &t, 1, true);
    }
    dv_gx next = seq2(m, mark(m, DV__MARK_BEGIN), lit(m, "assistant"));
    dv_gx head = seq3(m, mark(m, DV__MARK_BEGIN2), lit(m, "analysis"), mark(m, DV__MARK_SEP));
    dv_gx commentary = alt2(m, to, seq3(m, mark(m, DV__MARK_BEGIN2), lit(m, "commentary"), to));
    return alt2(m, commentary, seq2(m, head, until(m, DV__MARK_END, seq2(m, next, commentary), false)));
}

/* Thoughts in front of the rest. */
static dv_gx with_thoughts(maker *m, dv_gx rest, bool in_thinking, bool must)
{
    if (m->f->mark[DV__MARK_UNTHINK] == NULL)
        return rest;
    dv_gx thoughts = until(m, DV__MARK_UNTHINK, seq2(m, space(m), rest), !must);
    if (in_thinking)
        return thoughts;
    return alt2(m, rest, seq3(m, regex(m, "[ \\n]?"), mark(m, DV__MARK_THINK), thoughts));
}

static dv_gx answer(maker *m, dv_gx call, bool in_thinking)
{
    bool must = m->tools->choice != DV_TOOLCHOICE_AUTO;
    if (m->f->kind == DV_CHATFMT_HARMONY)
        return harmony_answer(m, call, must);
    dv_gx rest;
    if (dv__chatfmt_is_plain(m->f->kind)) {
        dv_gx calls = plain_calls(m, call);
        rest = must ? calls : plain_answer(m, calls);
    } else {
        int open = opening_mark(m->f);
        dv_gx calls = calls_behind_mark(m, call);
        if (open == DV__MARK_BEGIN2)
            calls = seq2(m, calls, mark(m, DV__MARK_END2));
        rest = must ? seq2(m, mark(m, open), calls) : until(m, open, calls, true);
    }
    return with_thoughts(m, rest, in_thinking, must);
}

int dv_chatfmt_grammar(const dv_chatfmt *f, const dv_chattools *tools, bool in_thinking, dv_grammar **out, dv_err *err)
{
    maker m = {.f = f, .tools = tools};
    dv_gx call = -1;
    *out = NULL;
    if (tools == NULL || tools->list == NULL || tools->choice == DV_TOOLCHOICE_NONE)
        return 0;
    /* A template that shows one call at a time belongs to a model that makes one at a time. */
    m.one = !tools->parallel || tools->choice == DV_TOOLCHOICE_NAMED || (f->caps.calls && !f->caps.parallel);
    int r = dv_grammar_builder_open(&m.b, NULL, err);
    if (r == 0)
        r = any_call(&m, &call, err);
    if (r == 0)
        r = dv_grammar_build(out, m.b, answer(&m, call, in_thinking), err);
    dv_grammar_builder_close(&m.b);
    return r;
}
