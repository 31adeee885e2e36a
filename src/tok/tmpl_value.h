/* SPDX-License-Identifier: MIT */
/* The value of a template expression, private to src/tok. Values are passed by copy; lists, dicts and strings point into an
 * arena. Strings carry where each byte came from. */
#ifndef DV_TOK_TMPL_VALUE_H
#define DV_TOK_TMPL_VALUE_H

#include "tok/tmpl.h"

#include <string.h>

typedef enum dv__kind {
    V_UNDEF, /* s holds the name that was looked up, for messages */
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST,
    V_DICT,
    V_NS,
    V_FUNC,
    V_LOOP
} dv__kind;

typedef struct dv__list dv__list;
typedef struct dv__dict dv__dict;
typedef struct dv__func dv__func;
typedef struct dv__loop dv__loop;

struct dv_value {
    uint8_t kind;
    bool trusted; /* scalars; strings without mask */
    bool tuple;   /* V_LIST written as a tuple; matters only for Python's rendering */
    union {
        bool b;
        int64_t i;
        double f;
        struct {
            const char *p;
            size_t n;
            const uint8_t *mask; /* per byte: 1 trusted, 0 not; NULL: all alike, see trusted */
        } s;
        dv__list *l;
        dv__dict *d; /* V_DICT, V_NS */
        dv__func *fn;
        dv__loop *loop;
    } u;
};
typedef struct dv_value val;

struct dv__list {
    val *at;
    size_t n, cap;
    bool outside; /* made by the caller of the renderer: compares by identity in the default dialect */
};

typedef struct dv__entry {
    val key; /* a scalar, in practice a string */
    val v;
} dv__entry;

struct dv__dict {
    dv__entry *at;
    size_t n, cap;
    bool outside;
};

static inline val dv__undef(void) { return (val){.kind = V_UNDEF}; }
static inline val dv__none(void) { return (val){.kind = V_NONE, .trusted = true}; }
static inline val dv__bool(bool b) { return (val){.kind = V_BOOL, .trusted = true, .u.b = b}; }
static inline val dv__int(int64_t i) { return (val){.kind = V_INT, .trusted = true, .u.i = i}; }
static inline val dv__float(double f) { return (val){.kind = V_FLOAT, .trusted = true, .u.f = f}; }
static inline val dv__strn(const char *p, size_t n)
{
    return (val){.kind = V_STR, .trusted = true, .u.s = {p, n, NULL}};
}
static inline val dv__lit(const char *s) { return dv__strn(s, strlen(s)); }
/** Bytes [from, from + n) of a string, sharing its bytes and origins. */
static inline val dv__sub(val s, size_t from, size_t n)
{
    return (val){
        .kind = V_STR, .trusted = s.trusted, .u.s = {s.u.s.p + from, n, s.u.s.mask ? s.u.s.mask + from : NULL}};
}

static inline bool dv__is(val v, const char *s)
{
    return v.kind == V_STR && v.u.s.n == strlen(s) && memcmp(v.u.s.p, s, v.u.s.n) == 0;
}
static inline bool dv__is_seq(val v) { return v.kind == V_LIST; }
static inline bool dv__is_num(val v) { return v.kind == V_INT || v.kind == V_FLOAT; }
static inline bool dv__same_bytes(val a, val b)
{
    return a.u.s.n == b.u.s.n && (a.u.s.n == 0 || memcmp(a.u.s.p, b.u.s.p, a.u.s.n) == 0);
}

/** Why an arena gave no n bytes: DV_ELIMIT or DV_ENOMEM. */
static inline int dv__arena_why(const dv_arena *a, size_t n)
{
    return a->limit != 0 && (n > a->limit || a->used + 16 > a->limit - n) ? DV_ELIMIT : DV_ENOMEM;
}

/** Name of a value's kind for messages. */
const char *dv__kind_name(val v);

/* Containers, growing in an arena. 0 or DV_ENOMEM. */
dv__list *dv__list_new(dv_arena *a, size_t cap);
int dv__list_push(dv_arena *a, dv__list *l, val v);
dv__dict *dv__dict_new(dv_arena *a, size_t cap);
/** Entry with this key; NULL if absent. Linear: the caller charges steps. */
dv__entry *dv__dict_find(const dv__dict *d, val key);
dv__entry *dv__dict_finds(const dv__dict *d, const char *key, size_t n);
int dv__dict_set(dv_arena *a, dv__dict *d, val key, val v);
/** Append without looking for the key. */
int dv__dict_add(dv_arena *a, dv__dict *d, val key, val v);

#endif
