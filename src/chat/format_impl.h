/* SPDX-License-Identifier: MIT */
/* Inside of dv_chatfmt. Private to src/chat. */
#ifndef DV_CHAT_FORMAT_IMPL_H
#define DV_CHAT_FORMAT_IMPL_H

#include "chat/format.h"

/* What a marker is for; a format has some of them. */
enum {
    DV__MARK_THINK,   /* thoughts open */
    DV__MARK_UNTHINK, /* thoughts close */
    DV__MARK_BEGIN,   /* a call or a list of calls opens; Harmony: <|start|> */
    DV__MARK_BEGIN2,  /* another way, or one call of a list; Harmony: <|channel|> */
    DV__MARK_SEP,     /* between a call's name and its arguments; Harmony: <|message|> */
    DV__MARK_SEP2,    /* Mistral: an id follows; Harmony: <|constrain|> */
    DV__MARK_END,     /* a call closes; Harmony: <|end|> */
    DV__MARK_END2,    /* the list of calls closes; Harmony: <|call|> */
    DV__MARK_N
};

struct dv_chatfmt {
    dv_chat *chat;
    char *source; /* owned */
    const dv_tok *tok;
    dv_chatfmt_kind kind;
    dv_chatfmt_caps caps;
    const char *mark[DV__MARK_N]; /* static strings; NULL: the format has none */
    bool no_null;                 /* content of a message with calls must be text */
    /* The vocabulary has it as a control token, and text that spells it is no marker. Not for thoughts: they do no harm. */
    bool control[DV__MARK_N];
};

/** Kind, markers and what the source tells of capabilities. tmpl: terminated. */
void dv__chatfmt_detect(dv_chatfmt *f, const char *tmpl);
/** Find out the other capabilities by rendering small conversations. Errors: DV_ENOMEM. */
int dv__chatfmt_probe(dv_chatfmt *f, dv_err *err);
/**
 * The messages as the template wants them, the tools described where it does not show them.
 * @param out  a new reference
 */
int dv__chatfmt_adapt(const dv_chatfmt *f, const dv_chatfmt_input *in, size_t n_msgs, json_t **out, dv_err *err);
/** Append the description of tools: what they are, how to call them, whether one must be called. */
void dv__chatfmt_describe(dv_chatfmt_kind kind, const dv_chattools *tools, dv_buf *out);
/** Append tool calls as the model would have written them; Errors: the sticky code of out. */
void dv__chatfmt_spell_calls(dv_chatfmt_kind kind, const json_t *calls, dv_buf *out);
/** Whether calls stand in plain JSON, without a marker in front. */
bool dv__chatfmt_is_plain(dv_chatfmt_kind kind);

#endif
