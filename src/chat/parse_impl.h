/* SPDX-License-Identifier: MIT */
/* Inside of dv_chatfmt_parser. Private to src/chat.
 *
 * Text waits in `in` until it is clear what it is. A control token that is a marker stands there as one byte, DV__MARK_BYTE and
 * the marker's number, which no UTF-8 text contains. */
#ifndef DV_CHAT_PARSE_IMPL_H
#define DV_CHAT_PARSE_IMPL_H

#include "base/rng.h"
#include "chat/format_impl.h"
#include "chat/jscan.h"
#include "chat/parser.h"

enum {
    DV__MARK_BYTE = 0xf8,
    DV__NAME_MAX = 256,  /* bytes of a name that a model writes */
    DV__HEADER_MAX = 512 /* bytes of the head of a Harmony message */
};

/* What a look at waiting text says. */
typedef enum dv__look {
    DV__LOOK_BAD = -1, /* it is not that */
    DV__LOOK_OK = 0,   /* it is that */
    DV__LOOK_NEED = 1  /* it may become that */
} dv__look;

typedef enum dv__step {
    DV__STEP_WAIT, /* more text is needed */
    DV__STEP_MORE  /* go on with what there is */
} dv__step;

typedef enum dv__style {
    DV__STYLE_ONE,  /* {"name", "arguments"} */
    DV__STYLE_LIST, /* [{"name", "arguments"}, ...] */
    DV__STYLE_WRAP, /* {"tool_calls": [{"name", "arguments"}, ...]} */
    DV__STYLE_NAME, /* name[ARGS]{...} */
    DV__STYLE_FENCE /* name, fence, {...}, fence; or name, {...} */
} dv__style;

typedef enum dv__state {
    DV__IN_CONTENT,
    DV__IN_THOUGHTS,
    DV__IN_HEAD, /* of a call: everything in front of its arguments */
    DV__IN_ARGS,
    DV__IN_TAIL,   /* of a call: what closes it */
    DV__IN_HEADER, /* of a message (Harmony) */
    DV__IN_BODY    /* of a message (Harmony) */
} dv__state;

struct dv_chatfmt_parser {
    const dv_chatfmt *f;
    dv_chatfmt_parser_options o;
    json_t *tools; /* a reference; NULL: calls are not looked for */
    dv_rng rng;
    dv_buf in;
    size_t mark; /* what is before has been handed out; what follows may still become content */
    size_t pos;  /* read so far */
    int code;    /* sticky */

    dv__state state;
    bool at_start;   /* no content yet */
    bool after_call; /* nothing but white space since a call */
    bool skip_space; /* white space is dropped until something else comes */
    bool thought;    /* thoughts have been */
    size_t n_space;  /* white space that was handed out just before `mark`, too much to be held */
    unsigned n_long; /* long failed attempts at a call */

    size_t open;     /* bytes from mark that opened the call: they become content if it is none */
    size_t args_at;  /* where its arguments begin */
    dv__style style; /* of the call */
    unsigned nest;   /* objects around the arguments */
    bool fenced, next;
    bool begun; /* CALL_BEGIN has been handed out, CALL_END has not */
    dv__jscan scan;
    char name[DV__NAME_MAX + 1];
    char id[32];
    unsigned n_calls;
    dv_chatfmt_event_type channel; /* of the Harmony message */
};

/* What stands in front of arguments. */
typedef struct dv__head {
    size_t len;   /* bytes up to the arguments */
    bool no_args; /* there are none; len is behind what says so */
} dv__head;

/* A position in waiting text. */
typedef struct dv__cur {
    const dv_chatfmt *f;
    const char *s;
    size_t n, i;
} dv__cur;

bool dv__chat_space(char c);
/** A marker at the cursor; OK moves over it. */
dv__look dv__cur_mark(dv__cur *c, int mark);
/** White space, which may be absent. */
void dv__cur_space(dv__cur *c);
/** A literal. */
dv__look dv__cur_lit(dv__cur *c, const char *text);

/** Read the head of a call at s[0..n), behind what opened it; fills name, style, nest, fenced of p. */
dv__look dv__call_head(dv_chatfmt_parser *p, const char *s, size_t n, dv__head *out);
/** Read what closes a call; *next: another call of the same list follows behind a separator of one byte. */
dv__look dv__call_tail(const dv_chatfmt_parser *p, const char *s, size_t n, size_t *len, bool *next);
/**
 * Head of a Harmony message, behind what closed the one before, up to and with <|message|>: its channel into p->channel, the tool
 * it calls into p->name ("" for none; otherwise arguments begin at *len). BAD: there is no head at *len.
 */
dv__look dv__harmony_header(dv_chatfmt_parser *p, const char *s, size_t n, size_t *len);

#endif
