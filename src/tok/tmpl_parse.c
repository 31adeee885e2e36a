/* SPDX-License-Identifier: MIT */
/* Statements, and the state of the parser. */
#include "tok/tmpl_parse.h"

#include "base/err.h"
#include "base/mem.h"
#include "tok/tmpl_eval.h"

/* ---- state --------------------------------------------------------------------------------------------------------- */

static bool fail_code(dv__parser *p, int code, const char *what)
{
    if (p->code == 0)
        p->code = dv__tmpl_fail_at(p->err, code, p->t->src, p->t->len, p->tok->pos, "%s", what);
    return false;
}

bool dv__p_fail(dv__parser *p, const char *what) { return fail_code(p, DV_EFORMAT, what); }

void dv__p_nomem(dv__parser *p, size_t n)
{
    fail_code(p, dv__arena_why(&p->t->arena, n), "no memory for the template");
}

bool dv__p_enter(dv__parser *p)
{
    return ++p->depth <= p->max_depth || fail_code(p, DV_ELIMIT, "the template is nested too deeply");
}

bool dv__p_is_op(const dv__parser *p, unsigned op) { return p->tok->type == TK_OP && p->tok->op == op; }

static bool tok_is(const dv__token *t, const char *word)
{
    return t->type == TK_NAME && t->n == strlen(word) && memcmp(t->p, word, t->n) == 0;
}

bool dv__p_is_name(const dv__parser *p, const char *word) { return tok_is(p->tok, word); }

void dv__p_next(dv__parser *p)
{
    if (p->tok->type != TK_EOF)
        p->tok++;
}

bool dv__p_take_op(dv__parser *p, unsigned op)
{
    bool hit = dv__p_is_op(p, op);
    if (hit)
        dv__p_next(p);
    return hit;
}

bool dv__p_take_name(dv__parser *p, const char *word)
{
    bool hit = dv__p_is_name(p, word);
    if (hit)
        dv__p_next(p);
    return hit;
}

bool dv__p_expect_op(dv__parser *p, unsigned op, const char *what)
{
    return dv__p_take_op(p, op) || dv__p_fail(p, what);
}

dv__node *dv__p_node(dv__parser *p, dv__node_kind kind)
{
    dv__node *n = dv_arena_calloc(&p->t->arena, 1, sizeof *n);
    if (n == NULL) {
        dv__p_nomem(p, sizeof *n);
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->pos = p->tok->pos;
    return n;
}

const dv__sym *dv__p_intern(dv__parser *p, const char *s, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619u;
    const dv__sym **bucket = &p->syms[h % DV__SYM_BUCKETS];
    for (const dv__sym *y = *bucket; y != NULL; y = y->next)
        if (y->n == n && memcmp(y->p, s, n) == 0)
            return y;
    dv__sym *y = dv_arena_alloc(&p->t->arena, sizeof *y);
    if (y == NULL) {
        dv__p_nomem(p, sizeof *y);
        return NULL;
    }
    *y = (dv__sym){s, n, *bucket};
    return *bucket = y;
}

const dv__sym *dv__p_sym(dv__parser *p)
{
    if (p->tok->type != TK_NAME) {
        dv__p_fail(p, "expected a name");
        return NULL;
    }
    const dv__sym *y = dv__p_intern(p, p->tok->p, p->tok->n);
    dv__p_next(p);
    return y;
}

/* ---- statements ---------------------------------------------------------------------------------------------------- */

static dv__node *statement(dv__parser *p);

static bool stmt_end(dv__parser *p)
{
    if (p->tok->type != TK_STMT_END)
        return dv__p_fail(p, "expected %}");
    dv__p_next(p);
    return true;
}

/* Statements up to a tag that begins with one of the words, which stays current (on its word). */
static bool block(dv__parser *p, dv__node **tail, const char *const *ends)
{
    const dv__token *open = p->tok;
    while (p->tok->type != TK_EOF) {
        if (p->tok->type == TK_STMT) {
            for (const char *const *e = ends; *e != NULL; e++) {
                if (tok_is(p->tok + 1, *e)) {
                    dv__p_next(p);
                    return true;
                }
            }
        }
        if ((*tail = statement(p)) == NULL)
            return false;
        tail = &(*tail)->next;
    }
    if (ends[0] == NULL)
        return true;
    p->tok = open;
    return p->code == 0 && dv__tmpl_fail_at(p->err, p->code = DV_EFORMAT, p->t->src, p->t->len, open->pos,
                                            "the block that begins before here has no {%% %s %%}", ends[0]) == 0;
}

/* A block that ends with one word and "%}". */
static bool block_to(dv__parser *p, dv__node **list, const char *word)
{
    const char *const ends[] = {word, NULL};
    if (!block(p, list, ends))
        return false;
    dv__p_next(p);
    return stmt_end(p);
}

static dv__node *parse_if(dv__parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    dv__node *first = NULL, **tail = &first;
    for (;;) {
        dv__node *n = dv__p_node(p, N_IF);
        if (n == NULL || (n->a = dv__p_tuple(p)) == NULL || !stmt_end(p) || !block(p, &n->body, ends))
            return NULL;
        *tail = n;
        tail = &n->c;
        if (!dv__p_take_name(p, "elif"))
            break;
    }
    dv__node *last = first;
    while (last->c != NULL)
        last = last->c;
    if (dv__p_take_name(p, "else"))
        return stmt_end(p) && block_to(p, &last->other, "endif") ? first : NULL;
    dv__p_next(p);
    return stmt_end(p) ? first : NULL;
}

static dv__node *parse_for(dv__parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    dv__node *n = dv__p_node(p, N_FOR);
    if (n == NULL || (n->a = dv__p_target(p)) == NULL)
        return NULL;
    if (!dv__p_take_name(p, "in")) {
        dv__p_fail(p, "expected \"in\"");
        return NULL;
    }
    n->b = dv__p_or(p);
    if (n->b != NULL && dv__p_is_op(p, ',')) { /* for x in 1, 2 */
        dv__node *t = dv__p_node(p, N_TUPLE), **tail = &n->b->next;
        if (t == NULL)
            return NULL;
        t->list = n->b;
        while (dv__p_take_op(p, ',') && p->tok->type != TK_STMT_END) {
            if ((*tail = dv__p_or(p)) == NULL)
                return NULL;
            tail = &(*tail)->next;
        }
        n->b = t;
    }
    if (n->b != NULL && dv__p_take_name(p, "if")) {
        n->c = dv__p_or(p);
        if (n->c != NULL && dv__p_take_name(p, "else")) { /* for x in a if b else c */
            dv__node *cond = dv__p_node(p, N_COND);
            if (cond == NULL || (cond->c = dv__p_expr(p)) == NULL)
                return NULL;
            cond->a = n->c;
            cond->b = n->b;
            n->b = cond;
            n->c = NULL;
        } else if (n->c == NULL) {
            return NULL;
        }
    }
    n->flag = dv__p_take_name(p, "recursive");
    if (n->b == NULL || !stmt_end(p) || !block(p, &n->body, ends))
        return NULL;
    if (dv__p_take_name(p, "else"))
        return stmt_end(p) && block_to(p, &n->other, "endfor") ? n : NULL;
    dv__p_next(p);
    return stmt_end(p) ? n : NULL;
}

static dv__node *parse_set(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_SET);
    if (n == NULL || (n->a = dv__p_target(p)) == NULL)
        return NULL;
    if (dv__p_take_op(p, '='))
        return (n->b = dv__p_tuple(p)) != NULL && stmt_end(p) ? n : NULL;
    if (dv__p_take_op(p, '|') && (n->c = dv__p_filters(p, dv__p_filter(p, NULL), false)) == NULL)
        return NULL;
    return stmt_end(p) && block_to(p, &n->body, "endset") ? n : NULL;
}

/* "(a, b=1)" into n->list. */
static bool parameters(dv__parser *p, dv__node *n)
{
    dv__node **tail = &n->list;
    bool defaults = false;
    while (!dv__p_take_op(p, ')')) {
        dv__node *q = dv__p_node(p, N_PARAM);
        if (q == NULL || (q->sym = dv__p_sym(p)) == NULL)
            return false;
        for (dv__node *o = n->list; o != NULL; o = o->next)
            if (o->sym == q->sym)
                return dv__p_fail(p, "two parameters have the same name");
        if (dv__p_take_op(p, '=')) {
            defaults = true;
            if ((q->a = dv__p_expr(p)) == NULL)
                return false;
        } else if (defaults) {
            return dv__p_fail(p, "a parameter without default follows one with a default");
        }
        *tail = q;
        tail = &q->next;
        if (!dv__p_take_op(p, ',') && !dv__p_is_op(p, ')'))
            return dv__p_fail(p, "expected , or ) in the parameters");
    }
    return true;
}

/* Parameters that are called varargs or kwargs are ordinary ones. */
static bool macro_body(dv__parser *p, dv__node *n, const char *end)
{
    dv__node *outer = p->macro;
    p->macro = n;
    bool ok = block_to(p, &n->body, end);
    p->macro = outer;
    if (outer != NULL) {
        outer->varargs |= n->varargs;
        outer->kwargs |= n->kwargs;
    }
    for (dv__node *q = n->list; q != NULL; q = q->next) {
        n->varargs &= q->sym != p->t->sym_varargs;
        n->kwargs &= q->sym != p->t->sym_kwargs;
    }
    return ok;
}

static dv__node *parse_macro(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_MACRO);
    if (n == NULL || (n->sym = dv__p_sym(p)) == NULL || !dv__p_expect_op(p, '(', "expected ( after the macro's name") ||
        !parameters(p, n) || !stmt_end(p))
        return NULL;
    return macro_body(p, n, "endmacro") ? n : NULL;
}

static dv__node *parse_call(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_CALL_BLOCK), *m = dv__p_node(p, N_MACRO);
    if (n == NULL || m == NULL)
        return NULL;
    m->sym = p->t->sym_caller;
    if (dv__p_take_op(p, '(') && !parameters(p, m))
        return NULL;
    n->b = m;
    if ((n->a = dv__p_postfix(p, dv__p_primary(p))) == NULL)
        return NULL;
    if (n->a->kind != N_CALL) {
        dv__p_fail(p, "expected a call");
        return NULL;
    }
    return stmt_end(p) && macro_body(p, m, "endcall") ? n : NULL;
}

static dv__node *parse_filter_block(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_FILTER_BLOCK);
    if (n == NULL || (n->a = dv__p_filters(p, dv__p_filter(p, NULL), false)) == NULL || !stmt_end(p))
        return NULL;
    return block_to(p, &n->body, "endfilter") ? n : NULL;
}

static dv__node *parse_with(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_WITH), **tail = n != NULL ? &n->list : NULL;
    while (n != NULL && p->tok->type != TK_STMT_END) {
        dv__node *q = dv__p_node(p, N_ASSIGN);
        if (q == NULL || (q->a = dv__p_target_item(p)) == NULL || !dv__p_expect_op(p, '=', "expected = in with") ||
            (q->b = dv__p_expr(p)) == NULL)
            return NULL;
        *tail = q;
        tail = &q->next;
        if (!dv__p_take_op(p, ',') && p->tok->type != TK_STMT_END) {
            dv__p_fail(p, "expected , or %} in with");
            return NULL;
        }
    }
    return n != NULL && stmt_end(p) && block_to(p, &n->body, "endwith") ? n : NULL;
}

static dv__node *parse_break(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_BREAK);
    return n != NULL && stmt_end(p) ? n : NULL;
}

static dv__node *parse_continue(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_CONTINUE);
    return n != NULL && stmt_end(p) ? n : NULL;
}

static dv__node *parse_do(dv__parser *p)
{
    dv__node *n = dv__p_node(p, N_DO);
    return n != NULL && (n->a = dv__p_tuple(p)) != NULL && stmt_end(p) ? n : NULL;
}

/* A template is one text and reaches nothing else. */
static dv__node *parse_refused(dv__parser *p)
{
    fail_code(p, DV_EUNSUPPORTED, "include, import, from, extends, block and autoescape are not supported");
    return NULL;
}

static dv__node *tag(dv__parser *p)
{
    static const struct {
        const char *word;
        dv__node *(*parse)(dv__parser *);
    } rows[] = {{"if", parse_if},
                {"for", parse_for},
                {"set", parse_set},
                {"macro", parse_macro},
                {"call", parse_call},
                {"filter", parse_filter_block},
                {"with", parse_with},
                {"break", parse_break},
                {"continue", parse_continue},
                {"do", parse_do},
                {"include", parse_refused},
                {"import", parse_refused},
                {"from", parse_refused},
                {"extends", parse_refused},
                {"block", parse_refused},
                {"autoescape", parse_refused}};
    dv__p_next(p);
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        if (dv__p_is_name(p, rows[i].word)) {
            if (rows[i].parse != parse_refused)
                dv__p_next(p);
            return rows[i].parse(p);
        }
    }
    dv__p_fail(p, "unknown statement");
    return NULL;
}

static dv__node *statement(dv__parser *p)
{
    dv__node *n = NULL;
    uint32_t pos;
    if (!dv__p_enter(p))
        return NULL;
    switch (p->tok->type) {
    case TK_TEXT:
        if ((n = dv__p_node(p, N_TEXT)) != NULL)
            n->lit = dv__strn(p->tok->p, p->tok->n);
        dv__p_next(p);
        break;
    case TK_EXPR:
        n = dv__p_node(p, N_OUTPUT);
        dv__p_next(p);
        if (n != NULL &&
            ((n->a = dv__p_tuple(p)) == NULL || (p->tok->type != TK_EXPR_END && !dv__p_fail(p, "expected }}"))))
            n = NULL;
        else
            dv__p_next(p);
        break;
    case TK_STMT:
        pos = p->tok->pos;
        if ((n = tag(p)) != NULL)
            n->pos = pos;
        break;
    default: dv__p_fail(p, "unexpected token");
    }
    p->depth--;
    return n;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

/* A copy with every line ending as \n and one trailing newline dropped, as jinja2 reads its source. */
static int copy_source(dv_tmpl *t, const char *src, size_t len, dv_err *err)
{
    char *s = dv_arena_alloc(&t->arena, len + 1);
    size_t o = 0;
    if (s == NULL)
        return dv_fail(err, dv__arena_why(&t->arena, len + 1), "no memory for a template of %zu bytes", len);
    for (size_t i = 0; i < len; i++) {
        if (src[i] == '\r') {
            s[o++] = '\n';
            i += i + 1 < len && src[i + 1] == '\n';
        } else {
            s[o++] = src[i];
        }
    }
    o -= o > 0 && s[o - 1] == '\n';
    s[o] = 0;
    t->src = s;
    t->len = o;
    return 0;
}

static int parse_tokens(dv_tmpl *t, unsigned max_depth, dv_err *err)
{
    static const char *const no_end[] = {NULL};
    dv__token *tok;
    size_t n_tok;
    int r = dv__tmpl_lex(&t->arena, t->src, t->len, &tok, &n_tok, err);
    if (r != 0)
        return r;
    dv__parser *p = dv_calloc(DV_MEM_TOK, 1, sizeof *p);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory to parse a template");
    p->t = t;
    p->tok = tok;
    p->max_depth = max_depth;
    p->err = err;
    if ((t->sym_loop = dv__p_intern(p, "loop", 4)) != NULL && (t->sym_caller = dv__p_intern(p, "caller", 6)) != NULL &&
        (t->sym_varargs = dv__p_intern(p, "varargs", 7)) != NULL &&
        (t->sym_kwargs = dv__p_intern(p, "kwargs", 6)) != NULL)
        block(p, &t->root, no_end);
    r = p->code;
    dv_free(p);
    return r;
}

int dv_tmpl_parse(dv_tmpl **out, const char *src, size_t len, const dv_tmpl_limits *limits, dv_err *err)
{
    static const dv_tmpl_limits none;
    const dv_tmpl_limits *l = limits != NULL ? limits : &none;
    size_t max_source = DV_MIN(l->max_source != 0 ? l->max_source : DV_TMPL_MAX_SOURCE, (size_t)UINT32_MAX);
    *out = NULL;
    if (len > max_source)
        return dv_fail(err, DV_ELIMIT, "the template has %zu bytes, the limit is %zu", len, max_source);
    dv_tmpl *t = dv_calloc(DV_MEM_TOK, 1, sizeof *t);
    if (t == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for a template");
    dv_arena_init(&t->arena, DV_MEM_TOK, l->max_memory != 0 ? l->max_memory : DV_TMPL_MAX_TREE);
    int r = copy_source(t, src, len, err);
    if (r == 0)
        r = parse_tokens(t, l->max_depth != 0 ? l->max_depth : DV_TMPL_MAX_NESTING, err);
    if (r == 0)
        *out = t;
    else
        dv_tmpl_free(&t);
    return r;
}

void dv_tmpl_free(dv_tmpl **t)
{
    if (t == NULL || *t == NULL)
        return;
    dv_arena_fini(&(*t)->arena);
    dv_free(*t);
    *t = NULL;
}
