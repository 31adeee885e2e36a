/* SPDX-License-Identifier: MIT */
/* Tokens and syntax tree of a template; everything lives in the template's arena and is never changed after parsing. */
#ifndef DV_TOK_TMPL_AST_H
#define DV_TOK_TMPL_AST_H

#include "tok/tmpl_value.h"

/** An identifier; equal names of one template share one symbol. */
typedef struct dv__sym {
    const char *p;
    size_t n;
    const struct dv__sym *next; /* hash chain */
} dv__sym;

typedef enum dv__tok_type {
    TK_TEXT, /* p, n: the text */
    TK_STMT, /* {% */
    TK_STMT_END,
    TK_EXPR, /* {{ */
    TK_EXPR_END,
    TK_NAME, /* p, n */
    TK_STR,  /* p, n: decoded */
    TK_INT,
    TK_FLOAT,
    TK_OP, /* op: a character, or one of the OP_ codes */
    TK_EOF
} dv__tok_type;

/* Operators of more than one character; the others are their character. Word operators are made by the parser. */
enum { OP_FLOORDIV = 128, OP_POW, OP_LE, OP_GE, OP_EQ, OP_NE, OP_IN, OP_NOT_IN };

typedef struct dv__token {
    uint8_t type, op;
    uint32_t pos; /* offset in the source */
    const char *p;
    size_t n;
    union {
        int64_t i;
        double f;
    } num;
} dv__token;

typedef enum dv__node_kind {
    /* statements */
    N_TEXT,         /* lit */
    N_OUTPUT,       /* a: expression */
    N_IF,           /* a: condition, b: body, c: another N_IF or a list of statements (else) */
    N_FOR,          /* a: target, b: iterable, c: filter, body, other; flag: recursive */
    N_SET,          /* a: target, b: expression, or body with c: filter chain of N_FILTER nodes on NULL operand */
    N_MACRO,        /* sym: name, list: N_PARAM, body; flags: takes varargs, kwargs */
    N_CALL_BLOCK,   /* a: N_CALL, b: the anonymous N_MACRO */
    N_FILTER_BLOCK, /* a: filter chain, body */
    N_WITH,         /* list: N_ASSIGN pairs, body */
    N_BREAK,
    N_CONTINUE,
    N_DO, /* a */
    /* expressions */
    N_CONST,     /* lit */
    N_NAME,      /* sym */
    N_LIST,      /* list */
    N_TUPLE,     /* list */
    N_DICT,      /* list: N_PAIR */
    N_PAIR,      /* a: key, b: value */
    N_ATTR,      /* a.sym */
    N_INDEX,     /* a[b] */
    N_SLICE,     /* a[b:c:body] */
    N_CALL,      /* a(list) */
    N_ARG_KW,    /* sym = a; also N_PARAM with a default */
    N_ARG_STAR,  /* *a */
    N_ARG_STAR2, /* **a */
    N_FILTER,    /* a | name(list); fn */
    N_TEST,      /* a is name(list); fn; flag: negated */
    N_NOT,
    N_NEG,
    N_POS,
    N_AND,
    N_OR,
    N_BIN,     /* a op b */
    N_COMPARE, /* a, list of N_OPERAND */
    N_OPERAND, /* op a */
    N_COND,    /* b if a else c; c may be NULL */
    N_PARAM,   /* sym, a: default or NULL */
    N_ASSIGN   /* a: target, b: expression */
} dv__node_kind;

typedef struct dv__node dv__node;
struct dv__node {
    uint8_t kind, op;
    bool flag;            /* see the kinds */
    bool varargs, kwargs; /* N_MACRO: its body names them */
    uint32_t pos;
    dv__node *next; /* in the list that holds this node */
    dv__node *a, *b, *c;
    dv__node *list, *body, *other;
    const dv__sym *sym;
    const void *fn; /* N_FILTER, N_TEST: table row, NULL when unknown (an error only when reached) */
    val lit;
};

struct dv_tmpl {
    dv_arena arena;
    const char *src; /* newlines normalised */
    size_t len;
    dv__node *root;
    const dv__sym *sym_loop, *sym_caller, *sym_varargs, *sym_kwargs;
    unsigned max_depth;
};

/** Source text to tokens, whitespace control and comments done. 0 or an error code with err filled. */
int dv__tmpl_lex(dv_arena *a, const char *src, size_t len, dv__token **out, size_t *n_out, dv_err *err);

/** Report a failure at a source offset: "template line:column: ...". Returns code. */
int dv__tmpl_fail_at(dv_err *err, int code, const char *src, size_t len, size_t pos, const char *fmt, ...)
    DV_PRINTF(6, 7);

/** Characters that strip(), trim and whitespace control remove. */
bool dv__is_space(uint32_t cp);
/** Bytes of white space at the start, at the end of s. */
size_t dv__space_left(const char *s, size_t n);
size_t dv__space_right(const char *s, size_t n);

#endif
