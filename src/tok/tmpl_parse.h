/* SPDX-License-Identifier: MIT */
/* State shared by the statement and the expression parser. */
#ifndef DV_TOK_TMPL_PARSE_H
#define DV_TOK_TMPL_PARSE_H

#include "tok/tmpl_ast.h"

enum { DV__SYM_BUCKETS = 256 };

typedef struct dv__parser {
    dv_tmpl *t;
    const dv__token *tok; /* the current token; the last one is TK_EOF and is never passed */
    dv__node *macro;      /* innermost macro or call block around the current token */
    unsigned depth, max_depth;
    const dv__sym *syms[DV__SYM_BUCKETS];
    dv_err *err;
    int code;
} dv__parser;

/** Record a failure at the current token; always false. */
bool dv__p_fail(dv__parser *p, const char *what);
/** Record that n bytes for the tree could not be had. */
void dv__p_nomem(dv__parser *p, size_t n);
/** One level deeper; false (and an error) beyond the limit. Undo with p->depth--. */
bool dv__p_enter(dv__parser *p);
bool dv__p_is_op(const dv__parser *p, unsigned op);
bool dv__p_is_name(const dv__parser *p, const char *word);
/** Pass the current token if it is that operator. */
bool dv__p_take_op(dv__parser *p, unsigned op);
bool dv__p_take_name(dv__parser *p, const char *word);
bool dv__p_expect_op(dv__parser *p, unsigned op, const char *what);
void dv__p_next(dv__parser *p);
/** A node at the current token; NULL when out of memory (recorded). */
dv__node *dv__p_node(dv__parser *p, dv__node_kind kind);
/** The symbol of the current token, which must be a name, and pass it; NULL after an error. */
const dv__sym *dv__p_sym(dv__parser *p);
const dv__sym *dv__p_intern(dv__parser *p, const char *s, size_t n);

/* Each returns NULL after an error. */
dv__node *dv__p_expr(dv__parser *p);        /* with a conditional */
dv__node *dv__p_or(dv__parser *p);          /* without one */
dv__node *dv__p_tuple(dv__parser *p);       /* an expression, or several with commas as a tuple */
dv__node *dv__p_target(dv__parser *p);      /* what set, for and with assign to */
dv__node *dv__p_target_item(dv__parser *p); /* one of them, without commas */
dv__node *dv__p_postfix(dv__parser *p, dv__node *n);
dv__node *dv__p_primary(dv__parser *p);
/** "| name(args)" chains onto n, and "is" tests if tests is set. */
dv__node *dv__p_filters(dv__parser *p, dv__node *n, bool tests);
/** The filter whose name is the current token, applied to n. */
dv__node *dv__p_filter(dv__parser *p, dv__node *n);

#endif
