/* SPDX-License-Identifier: MIT */
/* The evaluator's state and what its files share. The first failure sticks in ev->code; after it every function returns
 * undefined or false quickly, so bodies read straight and only loops and users of a result look at it. */
#ifndef DV_TOK_TMPL_EVAL_H
#define DV_TOK_TMPL_EVAL_H

#include "tok/tmpl_ast.h"

typedef struct dv__binding {
    const dv__sym *sym;
    val v;
    struct dv__binding *next;
} dv__binding;

typedef struct dv__env {
    struct dv__env *parent;
    dv__binding *vars;
} dv__env;

typedef struct dv__ev {
    const dv_tmpl *t;
    const dv__dict *ctx; /* may be NULL */
    dv_arena arena;
    dv__env root;
    uint64_t steps; /* left */
    size_t max_output;
    unsigned depth, max_depth;
    bool py; /* DV_TMPL_PYTHON */
    int64_t now;
    size_t pos; /* source offset of what is being evaluated, for messages */
    int code;
    dv_err *err;
} dv__ev;

/** Arguments of a call, evaluated. */
typedef struct dv__args {
    val *pos;
    size_t n;
    dv__entry *kw;
    size_t n_kw;
} dv__args;

/** A filter, test, method or global function; self is the operand or object. */
typedef val (*dv__fn)(dv__ev *ev, val self, const dv__args *a);

typedef struct dv__fn_row {
    const char *name;
    dv__fn fn;
    bool arg; /* tests: takes an argument, which may stand without parentheses */
} dv__fn_row;

struct dv__func {
    const dv__fn_row *row; /* a built-in function or bound method, with self; or NULL */
    val self;
    const dv__node *macro; /* a macro, or the body of a call block */
    dv__env *env;          /* where it was defined */
    int64_t state;         /* of a joiner or cycler */
};

struct dv__loop {
    const dv__list *items;
    size_t i;
    unsigned depth0;
    const dv__node *node;
    dv__env *env;
    val changed;
    bool has_changed;
};

typedef enum dv__flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE } dv__flow;

/* ---- runtime (tmpl_rt.c) ------------------------------------------------------------------------------------------- */

/** Record a failure at ev->pos; returns undefined for the caller to return. */
val dv__fail(dv__ev *ev, int code, const char *fmt, ...) DV_PRINTF(3, 4);
/** Spend steps; false (and a failure) when there are none left. */
bool dv__charge(dv__ev *ev, size_t n);
/** Arena memory, charged; NULL after a failure. */
void *dv__alloc(dv__ev *ev, size_t n);
bool dv__truth(val v);

/* A string under construction, with the origin of its bytes. */
typedef struct dv__sb {
    dv__ev *ev;
    char *p;
    uint8_t *mask; /* NULL while all bytes are alike */
    size_t n, cap;
    bool trusted; /* of all bytes, when there is no mask and n > 0 */
} dv__sb;

static inline dv__sb dv__sb_new(dv__ev *ev) { return (dv__sb){.ev = ev}; }
void dv__sb_add(dv__sb *b, const char *p, size_t n, bool trusted);
void dv__sb_adds(dv__sb *b, const char *s, bool trusted);
void dv__sb_cp(dv__sb *b, uint32_t cp, bool trusted);
/** Append a V_STR with its origins. */
void dv__sb_str(dv__sb *b, val s);
void dv__sb_fill(dv__sb *b, char c, size_t n, bool trusted);
/** The string so far; the builder must not grow afterwards. */
val dv__sb_val(const dv__sb *b);
/** True if all bytes of s in [from, from + n) are trusted. */
bool dv__trusted(val s, size_t from, size_t n);

/* A list under construction. */
dv__list *dv__new_list(dv__ev *ev, size_t cap);
void dv__push(dv__ev *ev, dv__list *l, val v);
static inline val dv__list_val(dv__list *l) { return l != NULL ? (val){.kind = V_LIST, .u.l = l} : dv__undef(); }
val dv__pair(dv__ev *ev, val a, val b);
dv__dict *dv__new_dict(dv__ev *ev);
/** Set a key. d may be NULL after a failure. */
void dv__put(dv__ev *ev, dv__dict *d, val key, val v);
/** A number that says something about s: trusted only if s is. */
static inline val dv__int_of(val s, int64_t i)
{
    val v = dv__int(i);
    v.trusted = s.kind != V_STR ? s.trusted : s.u.s.mask == NULL && s.trusted;
    return v;
}

/* Arguments by position or name: NULL or the default if absent. */
const val *dv__arg(const dv__args *a, size_t i, const char *name);
bool dv__arg_bool(const dv__args *a, size_t i, const char *name, bool def);
int64_t dv__arg_int(dv__ev *ev, const dv__args *a, size_t i, const char *name, int64_t def);
val dv__arg_str(dv__ev *ev, const dv__args *a, size_t i, const char *name, const char *def);

/** What "for" and the sequence filters walk over: a list as it is, keys of a mapping, characters of a string; NULL: failed. */
const dv__list *dv__items(dv__ev *ev, val v, const char *who);

/* ---- text (tmpl_text.c) -------------------------------------------------------------------------------------------- */

typedef struct dv__json_opts {
    int indent;            /* 0: one line */
    val item_sep, key_sep; /* strings */
    bool sort_keys, ascii, show_undefined;
} dv__json_opts;

void dv__text_add(dv__sb *b, val v);
/** v as text: a string stays itself. */
val dv__text(dv__ev *ev, val v);
/** Python's repr of v. */
void dv__repr_add(dv__sb *b, val v);
void dv__json_add(dv__sb *b, val v, const dv__json_opts *o);
/** As Python (repr) or JavaScript (toString) writes it. */
void dv__float_text(char out[64], double v, bool py);

/* ---- strings by character (tmpl_ustr.c) ---------------------------------------------------------------------------- */

/** Bytes of the character at s[i], 1 for a byte that is no UTF-8; i < n. cp may be NULL. */
size_t dv__u_len(val s, size_t i, uint32_t *cp);
size_t dv__u_count(val s);
/** Offset of character k, counting from 0; the length if there are fewer. */
size_t dv__u_offset(val s, size_t k);
val dv__u_upper(dv__ev *ev, val s);
val dv__u_lower(dv__ev *ev, val s);
val dv__u_strip(val s, val chars, bool left, bool right); /* chars undefined: white space */
/** Offset of needle in s at or after from; SIZE_MAX if absent. */
size_t dv__u_find(dv__ev *ev, val s, val needle, size_t from);
size_t dv__u_rfind(dv__ev *ev, val s, val needle);
val dv__u_replace(dv__ev *ev, val s, val old, val new, int64_t count);
dv__list *dv__u_split(dv__ev *ev, val s, val sep, int64_t max);
dv__list *dv__u_chars(dv__ev *ev, val s);
/** A capital at the start of every word; Python's method and jinja2's filter differ in what separates words. */
val dv__u_title(dv__ev *ev, val s, bool method);
val dv__u_capitalize(dv__ev *ev, val s);

/* Characters (tmpl_case.c): simple case mappings, and classes as a set of flags. */
enum { DV__C_ALPHA = 1, DV__C_DIGIT = 2, DV__C_SPACE = 4, DV__C_UPPER = 8, DV__C_LOWER = 16 };
uint32_t dv__u_cp_upper(uint32_t cp);
uint32_t dv__u_cp_lower(uint32_t cp);
unsigned dv__u_class(uint32_t cp);

/* ---- operators (tmpl_ops.c) ---------------------------------------------------------------------------------------- */

bool dv__equal(dv__ev *ev, val a, val b);
/** -1, 0, 1; a failure if the kinds do not compare. */
int dv__order(dv__ev *ev, val a, val b, bool fold_case);
bool dv__contains(dv__ev *ev, val container, val item);
val dv__binary(dv__ev *ev, unsigned op, val a, val b);
val dv__negate(dv__ev *ev, val a, bool minus);
/** "%"-formatting. */
val dv__percent_format(dv__ev *ev, val fmt, const val *args, size_t n, const dv__dict *named);
/** Stable merge sort with dv__order on keys; at[i].key is compared, at[i].v carried. */
void dv__sort(dv__ev *ev, dv__entry *at, size_t n, bool fold_case, bool reverse);

/* ---- evaluation (tmpl_expr.c, tmpl_exec.c) -------------------------------------------------------------------------- */

val dv__eval(dv__ev *ev, dv__env *env, const dv__node *n);
val dv__call(dv__ev *ev, dv__env *env, val fn, const dv__args *a);
/** Evaluate an argument list. */
void dv__eval_args(dv__ev *ev, dv__env *env, const dv__node *list, dv__args *out);
/** A filter chain that was parsed without operand, applied to v. */
val dv__filter_chain(dv__ev *ev, dv__env *env, const dv__node *n, val v);
/** object.name: key, attribute or method; undefined if there is none. */
val dv__attr(dv__ev *ev, val object, val name, bool item_first);
val dv__index(dv__ev *ev, val object, val key);
/** "a.b.0" */
val dv__attr_path(dv__ev *ev, val object, val path);

dv__flow dv__exec(dv__ev *ev, dv__env *env, const dv__node *list, dv__sb *out);
val dv__call_macro(dv__ev *ev, dv__env *env, const dv__func *f, const dv__args *a);
val dv__call_loop(dv__ev *ev, dv__loop *loop, const dv__args *a);
void dv__assign(dv__ev *ev, dv__env *env, const dv__node *target, val v);
void dv__bind(dv__ev *ev, dv__env *env, const dv__sym *sym, val v);
dv__env *dv__env_new(dv__ev *ev, dv__env *parent);

/* ---- tables -------------------------------------------------------------------------------------------------------- */

const dv__fn_row *dv__row_find(const dv__fn_row *rows, size_t n_rows, const char *name, size_t n);
const dv__fn_row *dv__filter_find(const char *name, size_t n);
const dv__fn_row *dv__test_find(const char *name, size_t n);
const dv__fn_row *dv__global_find(const char *name, size_t n);
/** Method of a string, list or mapping; NULL if it has none of that name. */
const dv__fn_row *dv__method_find(dv__kind kind, const char *name, size_t n);
/** The rows of the filter files, for dv__filter_find. */
const dv__fn_row *dv__filter_rows_str(size_t *n);
const dv__fn_row *dv__filter_rows_seq(size_t *n);
const dv__fn_row *dv__method_rows_str(size_t *n);
/** Python's str.format. */
val dv__str_format(dv__ev *ev, val self, const dv__args *a);
/** Attribute of a loop, a joiner or a cycler. */
val dv__loop_attr(dv__ev *ev, dv__loop *l, val name, bool *found);
val dv__func_attr(dv__ev *ev, val fn, val name);
val dv__joiner_next(dv__ev *ev, dv__func *f, const dv__args *a);

#endif
