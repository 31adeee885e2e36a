/* SPDX-License-Identifier: MIT */
/* One rendering: options to evaluator, evaluator's result to the caller's buffer. */
#include "tok/tmpl_eval.h"

#include "base/err.h"
#include "base/mem.h"

void dv_spans_fini(dv_spans *s)
{
    dv_free(s->at);
    *s = (dv_spans){0};
}

static int add_span(dv_spans *s, size_t offset, size_t len, bool trusted)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 32;
        dv_span *p = dv_realloc(DV_MEM_TOK, s->at, cap * sizeof *p);
        if (p == NULL)
            return DV_ENOMEM;
        s->at = p;
        s->cap = cap;
    }
    s->at[s->n++] = (dv_span){offset, len, trusted};
    return 0;
}

static int fill_spans(dv_spans *s, val v)
{
    s->n = 0;
    for (size_t i = 0, k; i < v.u.s.n; i += k) {
        bool trusted = dv__trusted(v, i, 1);
        k = v.u.s.n - i;
        if (v.u.s.mask != NULL) {
            const uint8_t *end = memchr(v.u.s.mask + i, !trusted, k);
            k = end != NULL ? (size_t)(end - v.u.s.mask) - i : k;
        }
        int r = add_span(s, i, k, trusted);
        if (r != 0)
            return r;
    }
    return 0;
}

static int deliver(val v, dv_buf *out, dv_spans *spans, dv_err *err)
{
    int r = dv_buf_add(out, v.u.s.p, v.u.s.n);
    if (r == 0 && spans != NULL)
        r = fill_spans(spans, v);
    return r == 0 ? 0 : dv_fail(err, r, "%s for the output of the template", r == DV_ELIMIT ? "no room" : "no memory");
}

int dv_tmpl_render(const dv_tmpl *t, const dv_value *context, const dv_tmpl_opts *opts, dv_buf *out, dv_spans *spans,
                   dv_err *err)
{
    static const dv_tmpl_opts none;
    const dv_tmpl_opts *o = opts != NULL ? opts : &none;
    if (context != NULL && context->kind != V_DICT)
        return dv_fail(err, DV_EINVAL, "the context of a template must be a dict");
    dv__ev ev = {
        .t = t,
        .ctx = context != NULL ? context->u.d : NULL,
        .steps = o->max_steps != 0 ? o->max_steps : DV_TMPL_MAX_STEPS,
        .max_output = o->max_output != 0 ? o->max_output : DV_TMPL_MAX_OUTPUT,
        .max_depth = o->max_depth != 0 ? o->max_depth : DV_TMPL_MAX_CALL_DEPTH,
        .py = o->dialect == DV_TMPL_PYTHON,
        .now = o->now,
        .err = err,
    };
    dv_arena_init(&ev.arena, DV_MEM_TOK, o->max_memory != 0 ? o->max_memory : DV_TMPL_MAX_MEMORY);
    dv__sb sb = dv__sb_new(&ev);
    if (dv__exec(&ev, &ev.root, t->root, &sb) != FLOW_NEXT)
        dv__fail(&ev, DV_EINVAL, "break or continue outside of a loop");
    int r = ev.code;
    if (r == 0)
        r = deliver(dv__sb_val(&sb), out, spans, err);
    dv_arena_fini(&ev.arena);
    return r;
}
