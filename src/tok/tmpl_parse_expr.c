/* SPDX-License-Identifier: MIT */
/* Expressions: conditional, or, and, not, comparison, + - ~, * / // %, **, filters and tests, sign, postfix, primary. */
#include "tok/tmpl_eval.h"
#include "tok/tmpl_parse.h"

static dv__node *binary(dv__parser *p, dv__node_kind kind, unsigned op, dv__node *a)
{
    dv__node *n = dv__p_node(p, kind);
    if (n == NULL)
        return NULL;
    n->op = (uint8_t)op;
    n->a = a;
    dv__p_next(p);
    return n;
}

/* "=" ends a positional argument's name: name = value. */
static dv__node *argument(dv__parser *p)
{
    if (dv__p_is_op(p, '*') || dv__p_is_op(p, OP_POW)) {
        dv__node *n = dv__p_node(p, dv__p_is_op(p, '*') ? N_ARG_STAR : N_ARG_STAR2);
        dv__p_next(p);
        return n != NULL && (n->a = dv__p_expr(p)) != NULL ? n : NULL;
    }
    if (p->tok[0].type == TK_NAME && p->tok[1].type == TK_OP && p->tok[1].op == '=') {
        dv__node *n = dv__p_node(p, N_ARG_KW);
        if (n == NULL || (n->sym = dv__p_sym(p)) == NULL)
            return NULL;
        dv__p_next(p);
        return (n->a = dv__p_expr(p)) != NULL ? n : NULL;
    }
    return dv__p_expr(p);
}

/* Arguments after "(", the ")" included, into *list. */
static bool arguments(dv__parser *p, dv__node **list)
{
    bool keyword = false;
    while (!dv__p_take_op(p, ')')) {
        dv__node *n = argument(p);
        if (n == NULL)
            return false;
        if (n->kind == N_ARG_KW || n->kind == N_ARG_STAR2)
            keyword = true;
        else if (keyword && n->kind != N_ARG_STAR)
            return dv__p_fail(p, "a positional argument follows a keyword argument");
        *list = n;
        list = &n->next;
        if (!dv__p_take_op(p, ',') && !dv__p_is_op(p, ')'))
            return dv__p_fail(p, "expected , or ) in the arguments");
    }
    return true;
}

static dv__node *list_literal(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_LIST), **tail = n != NULL ? &n->list : NULL;
    dv__p_next(p);
    while (n != NULL && !dv__p_take_op(p, ']')) {
        if ((*tail = dv__p_expr(p)) == NULL)
            return NULL;
        tail = &(*tail)->next;
        if (!dv__p_take_op(p, ',') && !dv__p_is_op(p, ']') && !dv__p_fail(p, "expected , or ] in a list"))
            return NULL;
    }
    return n;
}

static dv__node *dict_literal(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_DICT), **tail = n != NULL ? &n->list : NULL;
    dv__p_next(p);
    while (n != NULL && !dv__p_take_op(p, '}')) {
        dv__node *pair = dv__p_node(p, N_PAIR);
        if (pair == NULL || (pair->a = dv__p_expr(p)) == NULL || !dv__p_expect_op(p, ':', "expected : after a key") ||
            (pair->b = dv__p_expr(p)) == NULL)
            return NULL;
        *tail = pair;
        tail = &pair->next;
        if (!dv__p_take_op(p, ',') && !dv__p_is_op(p, '}') && !dv__p_fail(p, "expected , or } in a dict"))
            return NULL;
    }
    return n;
}

static dv__node *string_literal(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_CONST);
    if (n == NULL)
        return NULL;
    const dv__token *first = p->tok;
    size_t total = 0;
    for (; p->tok->type == TK_STR; dv__p_next(p))
        total += p->tok->n;
    n->lit = dv__strn(first->p, first->n);
    if (p->tok - first > 1) {
        char *s = dv_arena_alloc(&p->t->arena, total + 1), *o = s;
        if (s == NULL) {
            dv__p_nomem(p, total + 1);
            return NULL;
        }
        for (; first < p->tok; o += first->n, first++)
            if (first->n > 0)
                memcpy(o, first->p, first->n);
        n->lit = dv__strn(s, total);
    }
    return n;
}

/* true, false and none, in both spellings, are constants. */
static bool constant_name(const dv__parser *p, val *out)
{
    if (dv__p_is_name(p, "true") || dv__p_is_name(p, "True"))
        *out = dv__bool(true);
    else if (dv__p_is_name(p, "false") || dv__p_is_name(p, "False"))
        *out = dv__bool(false);
    else if (dv__p_is_name(p, "none") || dv__p_is_name(p, "None"))
        *out = dv__none();
    else
        return false;
    return true;
}

static dv__node *name_or_constant(dv__parser *p)
{
    val v;
    bool constant = constant_name(p, &v);
    dv__node *n = dv__p_node(p, constant ? N_CONST : N_NAME);
    if (n == NULL)
        return NULL;
    if (constant) {
        n->lit = v;
        dv__p_next(p);
        return n;
    }
    if ((n->sym = dv__p_sym(p)) == NULL)
        return NULL;
    if (p->macro != NULL) {
        p->macro->varargs |= n->sym == p->t->sym_varargs;
        p->macro->kwargs |= n->sym == p->t->sym_kwargs;
    }
    return n;
}

static dv__node *parenthesised(dv__parser *p)
{
    dv__node *n;
    dv__p_next(p);
    if (dv__p_is_op(p, ')')) {
        n = dv__p_node(p, N_TUPLE);
        dv__p_next(p);
        return n;
    }
    n = dv__p_tuple(p);
    return n != NULL && dv__p_expect_op(p, ')', "expected )") ? n : NULL;
}

dv__node *dv__p_primary(dv__parser *p)
{
    dv__node *n;
    switch (p->tok->type) {
    case TK_NAME: return name_or_constant(p);
    case TK_STR: return string_literal(p);
    case TK_INT:
    case TK_FLOAT:
        n = dv__p_node(p, N_CONST);
        if (n != NULL)
            n->lit = p->tok->type == TK_INT ? dv__int(p->tok->num.i) : dv__float(p->tok->num.f);
        dv__p_next(p);
        return n;
    case TK_OP:
        if (p->tok->op == '(')
            return parenthesised(p);
        if (p->tok->op == '[')
            return list_literal(p);
        if (p->tok->op == '{')
            return dict_literal(p);
        break;
    default: break;
    }
    dv__p_fail(p, "expected an expression");
    return NULL;
}

static dv__node *subscript(dv__parser *p, dv__node *object)
{
    dv__node *n = dv__p_node(p, N_INDEX), *part[3] = {0};
    int colons = 0;
    if (n == NULL)
        return NULL;
    n->a = object;
    dv__p_next(p);
    while (!dv__p_take_op(p, ']')) {
        if (dv__p_take_op(p, ':')) {
            if (++colons > 2) {
                dv__p_fail(p, "a slice has at most three parts");
                return NULL;
            }
            continue;
        }
        if (part[colons] != NULL) {
            dv__p_fail(p, "expected ]");
            return NULL;
        }
        if ((part[colons] = colons == 0 ? dv__p_tuple(p) : dv__p_expr(p)) == NULL)
            return NULL;
    }
    if (colons == 0 && part[0] == NULL) {
        dv__p_fail(p, "expected an index");
        return NULL;
    }
    n->kind = colons > 0 ? N_SLICE : N_INDEX;
    n->b = part[0];
    n->c = part[1];
    n->body = part[2];
    return n;
}

static dv__node *attribute(dv__parser *p, dv__node *object)
{
    dv__p_next(p);
    dv__node *n = dv__p_node(p, p->tok->type == TK_INT ? N_INDEX : N_ATTR);
    if (n == NULL)
        return NULL;
    n->a = object;
    if (p->tok->type == TK_INT)
        return (n->b = dv__p_primary(p)) != NULL ? n : NULL;
    return (n->sym = dv__p_sym(p)) != NULL ? n : NULL;
}

static dv__node *call(dv__parser *p, dv__node *callee)
{
    dv__node *n = dv__p_node(p, N_CALL);
    if (n == NULL)
        return NULL;
    n->a = callee;
    dv__p_next(p);
    return arguments(p, &n->list) ? n : NULL;
}

dv__node *dv__p_postfix(dv__parser *p, dv__node *n)
{
    while (n != NULL && p->tok->type == TK_OP) {
        if (p->tok->op == '.')
            n = attribute(p, n);
        else if (p->tok->op == '[')
            n = subscript(p, n);
        else if (p->tok->op == '(')
            n = call(p, n);
        else
            break;
    }
    return n;
}

dv__node *dv__p_filter(dv__parser *p, dv__node *operand)
{
    dv__node *n = dv__p_node(p, N_FILTER);
    if (n == NULL || (n->sym = dv__p_sym(p)) == NULL)
        return NULL;
    n->a = operand;
    n->fn = dv__filter_find(n->sym->p, n->sym->n);
    if (dv__p_take_op(p, '(') && !arguments(p, &n->list))
        return NULL;
    return n;
}

/* A test may take one argument without parentheses: x is divisibleby 3. */
static bool bare_argument(const dv__parser *p, const dv__node *test)
{
    static const char *const not_args[] = {"else", "or", "and", "if", "in", "not", "is"};
    if (test->fn == NULL || !((const dv__fn_row *)test->fn)->arg)
        return false;
    for (size_t i = 0; i < DV_ARRAY_LEN(not_args); i++)
        if (dv__p_is_name(p, not_args[i]))
            return false;
    return p->tok->type == TK_NAME || p->tok->type == TK_STR || p->tok->type == TK_INT || p->tok->type == TK_FLOAT ||
           dv__p_is_op(p, '[') || dv__p_is_op(p, '{');
}

static dv__node *test(dv__parser *p, dv__node *operand)
{
    dv__node *n = dv__p_node(p, N_TEST);
    if (n == NULL)
        return NULL;
    dv__p_next(p);
    n->a = operand;
    n->flag = dv__p_take_name(p, "not");
    if ((n->sym = dv__p_sym(p)) == NULL)
        return NULL;
    n->fn = dv__test_find(n->sym->p, n->sym->n);
    if (dv__p_take_op(p, '('))
        return arguments(p, &n->list) ? n : NULL;
    if (bare_argument(p, n) && (n->list = dv__p_postfix(p, dv__p_primary(p))) == NULL)
        return NULL;
    return n;
}

dv__node *dv__p_filters(dv__parser *p, dv__node *n, bool tests)
{
    while (n != NULL) {
        if (dv__p_take_op(p, '|'))
            n = dv__p_filter(p, n);
        else if (tests && dv__p_is_name(p, "is"))
            n = test(p, n);
        else if (dv__p_is_op(p, '('))
            n = call(p, n);
        else
            break;
    }
    return n;
}

static dv__node *signed_primary(dv__parser *p)
{
    dv__node *n = NULL;
    if (!dv__p_enter(p))
        return NULL;
    if (dv__p_is_op(p, '-') || dv__p_is_op(p, '+')) {
        n = binary(p, dv__p_is_op(p, '-') ? N_NEG : N_POS, 0, NULL);
        if (n != NULL && (n->a = signed_primary(p)) == NULL)
            n = NULL;
    } else {
        n = dv__p_postfix(p, dv__p_primary(p));
    }
    p->depth--;
    return n;
}

static dv__node *unary(dv__parser *p) { return dv__p_filters(p, signed_primary(p), true); }

static dv__node *power(dv__parser *p)
{
    dv__node *n = unary(p);
    while (n != NULL && dv__p_is_op(p, OP_POW)) {
        n = binary(p, N_BIN, OP_POW, n);
        if (n == NULL || (n->b = unary(p)) == NULL)
            return NULL;
    }
    return n;
}

static dv__node *product(dv__parser *p)
{
    dv__node *n = power(p);
    while (n != NULL &&
           (dv__p_is_op(p, '*') || dv__p_is_op(p, '/') || dv__p_is_op(p, OP_FLOORDIV) || dv__p_is_op(p, '%'))) {
        n = binary(p, N_BIN, p->tok->op, n);
        if (n == NULL || (n->b = power(p)) == NULL)
            return NULL;
    }
    return n;
}

static dv__node *sum(dv__parser *p)
{
    dv__node *n = product(p);
    while (n != NULL && (dv__p_is_op(p, '+') || dv__p_is_op(p, '-') || dv__p_is_op(p, '~'))) {
        n = binary(p, N_BIN, p->tok->op, n);
        if (n == NULL || (n->b = product(p)) == NULL)
            return NULL;
    }
    return n;
}

/* The comparison operator at the current token, passed; 0 if there is none. */
static unsigned compare_op(dv__parser *p)
{
    unsigned op = p->tok->type == TK_OP ? p->tok->op : 0;
    if (op == '<' || op == '>' || op == OP_LE || op == OP_GE || op == OP_EQ || op == OP_NE) {
        dv__p_next(p);
        return op;
    }
    if (dv__p_take_name(p, "in"))
        return OP_IN;
    if (dv__p_is_name(p, "not") && p->tok[1].type == TK_NAME && p->tok[1].n == 2 && memcmp(p->tok[1].p, "in", 2) == 0) {
        dv__p_next(p);
        dv__p_next(p);
        return OP_NOT_IN;
    }
    return 0;
}

static dv__node *comparison(dv__parser *p)
{
    dv__node *first = sum(p), *n = NULL, **tail = NULL;
    for (unsigned op; first != NULL && (op = compare_op(p)) != 0;) {
        if (n == NULL) {
            if ((n = dv__p_node(p, N_COMPARE)) == NULL)
                return NULL;
            n->a = first;
            tail = &n->list;
        }
        dv__node *o = dv__p_node(p, N_OPERAND);
        if (o == NULL || (o->a = sum(p)) == NULL)
            return NULL;
        o->op = (uint8_t)op;
        *tail = o;
        tail = &o->next;
    }
    return n != NULL ? n : first;
}

static dv__node *negation(dv__parser *p)
{
    if (!dv__p_is_name(p, "not"))
        return comparison(p);
    if (!dv__p_enter(p))
        return NULL;
    dv__node *n = binary(p, N_NOT, 0, NULL);
    if (n != NULL && (n->a = negation(p)) == NULL)
        n = NULL;
    p->depth--;
    return n;
}

static dv__node *conjunction(dv__parser *p)
{
    dv__node *n = negation(p);
    while (n != NULL && dv__p_is_name(p, "and")) {
        n = binary(p, N_AND, 0, n);
        if (n == NULL || (n->b = negation(p)) == NULL)
            return NULL;
    }
    return n;
}

dv__node *dv__p_or(dv__parser *p)
{
    dv__node *n = conjunction(p);
    while (n != NULL && dv__p_is_name(p, "or")) {
        n = binary(p, N_OR, 0, n);
        if (n == NULL || (n->b = conjunction(p)) == NULL)
            return NULL;
    }
    return n;
}

dv__node *dv__p_expr(dv__parser *p)
{
    if (!dv__p_enter(p))
        return NULL;
    dv__node *n = dv__p_or(p);
    while (n != NULL && dv__p_is_name(p, "if")) {
        dv__node *cond = binary(p, N_COND, 0, NULL);
        if (cond == NULL || (cond->a = dv__p_or(p)) == NULL)
            return NULL;
        cond->b = n;
        if (dv__p_take_name(p, "else") && (cond->c = dv__p_expr(p)) == NULL)
            return NULL;
        n = cond;
    }
    p->depth--;
    return n;
}

/* True where an expression list ends, so that a comma before it is a trailing one. */
static bool at_end(const dv__parser *p)
{
    return p->tok->type == TK_STMT_END || p->tok->type == TK_EXPR_END || dv__p_is_op(p, ')') || dv__p_is_op(p, ']') ||
           dv__p_is_op(p, '=') || dv__p_is_name(p, "in");
}

static dv__node *sequence(dv__parser *p, dv__node *(*item)(dv__parser *))
{
    dv__node *first = item(p);
    if (first == NULL || !dv__p_is_op(p, ','))
        return first;
    dv__node *n = dv__p_node(p, N_TUPLE), **tail = &first->next;
    if (n == NULL)
        return NULL;
    n->list = first;
    while (dv__p_take_op(p, ',') && !at_end(p)) {
        if ((*tail = item(p)) == NULL)
            return NULL;
        tail = &(*tail)->next;
    }
    return n;
}

dv__node *dv__p_tuple(dv__parser *p) { return sequence(p, dv__p_expr); }

/* A name, name.attribute, or a parenthesised list of targets. */
dv__node *dv__p_target_item(dv__parser *p)
{
    if (dv__p_is_op(p, '(')) {
        if (!dv__p_enter(p))
            return NULL;
        dv__p_next(p);
        dv__node *n = dv__p_target(p);
        p->depth--;
        return n != NULL && dv__p_expect_op(p, ')', "expected )") ? n : NULL;
    }
    dv__node *n = dv__p_node(p, N_NAME);
    if (n == NULL || (n->sym = dv__p_sym(p)) == NULL)
        return NULL;
    return dv__p_is_op(p, '.') ? attribute(p, n) : n;
}

dv__node *dv__p_target(dv__parser *p) { return sequence(p, dv__p_target_item); }
