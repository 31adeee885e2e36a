/* SPDX-License-Identifier: MIT */
/* Global functions, and the attributes of loops and of stateful callables. */
#include "tok/tmpl_eval.h"

#include <stdio.h>

const dv__fn_row *dv__row_find(const dv__fn_row *rows, size_t n_rows, const char *name, size_t n)
{
    for (size_t i = 0; i < n_rows; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0)
            return &rows[i];
    return NULL;
}

static val g_raise(dv__ev *ev, val self, const dv__args *a)
{
    const val *v = dv__arg(a, 0, "message");
    val text = v != NULL ? dv__text(ev, *v) : dv__lit("the template refused the conversation");
    if (text.kind != V_STR)
        return text;
    return dv__fail(ev, DV_ETEMPLATE, "%.*s", (int)DV_MIN(text.u.s.n, (size_t)240), text.u.s.p);
}

static val g_range(dv__ev *ev, val self, const dv__args *a)
{
    int64_t from = 0, to = dv__arg_int(ev, a, 0, "start", 0), step = dv__arg_int(ev, a, 2, "step", 1);
    if (a->n == 0)
        return dv__fail(ev, DV_EINVAL, "range() needs an argument");
    if (a->n > 1) {
        from = to;
        to = dv__arg_int(ev, a, 1, "stop", 0);
    }
    if (step == 0)
        return dv__fail(ev, DV_EINVAL, "the step of range() is 0");
    uint64_t width = step > 0    ? (to > from ? (uint64_t)to - (uint64_t)from : 0)
                     : from > to ? (uint64_t)from - (uint64_t)to
                                 : 0;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step, n = width / stride + (width % stride != 0);
    if (n > DV_TMPL_MAX_RANGE)
        return dv__fail(ev, DV_ELIMIT, "range() of more than %d items", DV_TMPL_MAX_RANGE);
    dv__list *l = dv__new_list(ev, (size_t)n);
    for (uint64_t i = 0; i < n && ev->code == 0; i++)
        dv__push(ev, l, dv__int((int64_t)((uint64_t)from + i * (uint64_t)step)));
    return dv__list_val(l);
}

static void add_entry(dv__ev *ev, dv__dict *d, val key, val v)
{
    if (key.kind == V_UNDEF || key.kind > V_STR)
        dv__fail(ev, DV_EINVAL, "%s cannot be a key", dv__kind_name(key));
    else
        dv__put(ev, d, key, v);
}

/* namespace(...) and dict(...): a mapping or pairs, then keyword arguments. */
static val make_dict(dv__ev *ev, const dv__args *a, dv__kind kind)
{
    dv__dict *d = dv__new_dict(ev);
    if (d == NULL)
        return dv__undef();
    if (a->n > 0 && a->pos[0].kind == V_DICT) {
        for (size_t i = 0; i < a->pos[0].u.d->n && ev->code == 0; i++)
            add_entry(ev, d, a->pos[0].u.d->at[i].key, a->pos[0].u.d->at[i].v);
    } else if (a->n > 0) {
        const dv__list *pairs = dv__items(ev, a->pos[0], "dict() or namespace()");
        for (size_t i = 0; pairs != NULL && i < pairs->n && ev->code == 0; i++) {
            const dv__list *p = dv__items(ev, pairs->at[i], "dict() or namespace()");
            if (p == NULL || p->n != 2)
                return dv__fail(ev, DV_EINVAL, "dict() and namespace() need pairs");
            add_entry(ev, d, p->at[0], p->at[1]);
        }
    }
    for (size_t i = 0; i < a->n_kw && ev->code == 0; i++)
        add_entry(ev, d, a->kw[i].key, a->kw[i].v);
    return (val){.kind = (uint8_t)kind, .u.d = d};
}

static val g_namespace(dv__ev *ev, val self, const dv__args *a) { return make_dict(ev, a, V_NS); }
static val g_dict(dv__ev *ev, val self, const dv__args *a) { return make_dict(ev, a, V_DICT); }

/* ---- joiner and cycler: state 0.. in the function value; a cycler's self is its list ------------------------------------ */

static val stateful(dv__ev *ev, val self)
{
    dv__func *f = dv__alloc(ev, sizeof *f);
    if (f == NULL || ev->code != 0)
        return dv__undef();
    *f = (dv__func){.self = self};
    return (val){.kind = V_FUNC, .u.fn = f};
}

static val g_joiner(dv__ev *ev, val self, const dv__args *a)
{
    return stateful(ev, dv__arg_str(ev, a, 0, "sep", ", "));
}

static val g_cycler(dv__ev *ev, val self, const dv__args *a)
{
    dv__list *l = dv__new_list(ev, a->n);
    if (a->n == 0)
        return dv__fail(ev, DV_EINVAL, "cycler() needs arguments");
    for (size_t i = 0; i < a->n; i++)
        dv__push(ev, l, a->pos[i]);
    return stateful(ev, dv__list_val(l));
}

val dv__joiner_next(dv__ev *ev, dv__func *f, const dv__args *a)
{
    if (f->self.kind == V_STR)
        return f->state++ == 0 ? dv__lit("") : f->self;
    return dv__fail(ev, DV_EINVAL, "a cycler is not called itself: use its next()");
}

/* The cycler is found through self, a function value. */
static val m_cycler_next(dv__ev *ev, val self, const dv__args *a)
{
    dv__func *f = self.u.fn;
    val v = f->self.u.l->at[f->state];
    f->state = (f->state + 1) % (int64_t)f->self.u.l->n;
    return v;
}

static val m_cycler_reset(dv__ev *ev, val self, const dv__args *a)
{
    self.u.fn->state = 0;
    return dv__none();
}

val dv__func_attr(dv__ev *ev, val fn, val name)
{
    static const dv__fn_row rows[] = {{"next", m_cycler_next, false}, {"reset", m_cycler_reset, false}};
    const dv__func *f = fn.u.fn;
    if (f->macro != NULL && dv__is(name, "name"))
        return dv__strn(f->macro->sym->p, f->macro->sym->n);
    if (f->macro == NULL && f->row == NULL && f->self.kind == V_LIST) {
        if (dv__is(name, "current"))
            return f->self.u.l->at[f->state];
        const dv__fn_row *row = dv__row_find(rows, DV_ARRAY_LEN(rows), name.u.s.p, name.u.s.n);
        dv__func *g = row != NULL ? dv__alloc(ev, sizeof *g) : NULL;
        if (g != NULL) {
            *g = (dv__func){.row = row, .self = fn};
            return (val){.kind = V_FUNC, .u.fn = g};
        }
    }
    return dv__undef();
}

/* ---- loop ---------------------------------------------------------------------------------------------------------- */

static val m_cycle(dv__ev *ev, val self, const dv__args *a)
{
    return a->n > 0 ? a->pos[self.u.loop->i % a->n] : dv__fail(ev, DV_EINVAL, "loop.cycle() needs arguments");
}

static val m_changed(dv__ev *ev, val self, const dv__args *a)
{
    dv__loop *l = self.u.loop;
    dv__list *now = dv__new_list(ev, a->n);
    for (size_t i = 0; i < a->n; i++)
        dv__push(ev, now, a->pos[i]);
    val v = dv__list_val(now);
    bool changed = !l->has_changed || !dv__equal(ev, l->changed, v);
    l->changed = v;
    l->has_changed = true;
    return dv__bool(changed);
}

val dv__loop_attr(dv__ev *ev, dv__loop *l, val name, bool *found)
{
    static const dv__fn_row rows[] = {{"cycle", m_cycle, false}, {"changed", m_changed, false}};
    size_t n = l->items->n;
    const struct {
        const char *name;
        val v;
    } attrs[] = {
        {"index", dv__int((int64_t)l->i + 1)},
        {"index0", dv__int((int64_t)l->i)},
        {"revindex", dv__int((int64_t)(n - l->i))},
        {"revindex0", dv__int((int64_t)(n - l->i) - 1)},
        {"first", dv__bool(l->i == 0)},
        {"last", dv__bool(l->i + 1 >= n)},
        {"length", dv__int((int64_t)n)},
        {"depth", dv__int((int64_t)l->depth0 + 1)},
        {"depth0", dv__int((int64_t)l->depth0)},
        {"previtem", l->i > 0 && l->i <= n ? l->items->at[l->i - 1] : dv__undef()},
        {"nextitem", l->i + 1 < n ? l->items->at[l->i + 1] : dv__undef()},
    };
    *found = true;
    for (size_t i = 0; i < DV_ARRAY_LEN(attrs); i++)
        if (dv__is(name, attrs[i].name))
            return attrs[i].v;
    const dv__fn_row *row = dv__row_find(rows, DV_ARRAY_LEN(rows), name.u.s.p, name.u.s.n);
    dv__func *f = row != NULL ? dv__alloc(ev, sizeof *f) : NULL;
    *found = f != NULL;
    if (f == NULL)
        return dv__undef();
    *f = (dv__func){.row = row, .self = {.kind = V_LOOP, .u.loop = l}};
    return (val){.kind = V_FUNC, .u.fn = f};
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

typedef struct civil {
    int64_t year;
    int month, day, hour, minute, second, weekday, yearday; /* month and day from 1, weekday 0 Sunday, yearday from 1 */
} civil;

/* Days since 1970 to a date of the proleptic Gregorian calendar, counting in 400-year eras that begin on a first of March. */
static civil civil_time(int64_t t)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    t = DV_MAX(-((int64_t)1 << 40), DV_MIN(t, (int64_t)1 << 40));
    int64_t days = t / 86400, rest = t % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    civil c = {.year = yoe + era * 400 + (mp >= 10),
               .month = (int)(mp < 10 ? mp + 3 : mp - 9),
               .day = (int)(doy - (153 * mp + 2) / 5 + 1)};
    bool leap = (c.year % 4 == 0 && c.year % 100 != 0) || c.year % 400 == 0;
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.second = (int)(rest % 60);
    c.weekday = (int)(((days + 4) % 7 + 7) % 7);
    c.yearday = before[c.month - 1] + c.day + (leap && c.month > 2);
    return c;
}

static void add_time(dv__sb *b, const civil *c, char spec)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    char t[64] = "";
    int h12 = c->hour % 12 == 0 ? 12 : c->hour % 12;
    long long y = c->year;
    switch (spec) {
    case 'Y': snprintf(t, sizeof t, "%lld", y); break;
    case 'y': snprintf(t, sizeof t, "%02lld", (y % 100 + 100) % 100); break;
    case 'm': snprintf(t, sizeof t, "%02d", c->month); break;
    case 'd': snprintf(t, sizeof t, "%02d", c->day); break;
    case 'e': snprintf(t, sizeof t, "%2d", c->day); break;
    case 'j': snprintf(t, sizeof t, "%03d", c->yearday); break;
    case 'H': snprintf(t, sizeof t, "%02d", c->hour); break;
    case 'I': snprintf(t, sizeof t, "%02d", h12); break;
    case 'M': snprintf(t, sizeof t, "%02d", c->minute); break;
    case 'S': snprintf(t, sizeof t, "%02d", c->second); break;
    case 'p': snprintf(t, sizeof t, "%s", c->hour < 12 ? "AM" : "PM"); break;
    case 'A': snprintf(t, sizeof t, "%s", days[c->weekday]); break;
    case 'a': snprintf(t, sizeof t, "%.3s", days[c->weekday]); break;
    case 'B': snprintf(t, sizeof t, "%s", months[c->month - 1]); break;
    case 'b':
    case 'h': snprintf(t, sizeof t, "%.3s", months[c->month - 1]); break;
    case 'w': snprintf(t, sizeof t, "%d", c->weekday); break;
    case 'u': snprintf(t, sizeof t, "%d", c->weekday == 0 ? 7 : c->weekday); break;
    case 'F': snprintf(t, sizeof t, "%lld-%02d-%02d", y, c->month, c->day); break;
    case 'D': snprintf(t, sizeof t, "%02d/%02d/%02lld", c->month, c->day, (y % 100 + 100) % 100); break;
    case 'T': snprintf(t, sizeof t, "%02d:%02d:%02d", c->hour, c->minute, c->second); break;
    case 'R': snprintf(t, sizeof t, "%02d:%02d", c->hour, c->minute); break;
    case 'n': snprintf(t, sizeof t, "\n"); break;
    case 't': snprintf(t, sizeof t, "\t"); break;
    case '%': snprintf(t, sizeof t, "%%"); break;
    case 'Z':
    case 'z': break;
    default: snprintf(t, sizeof t, "%%%c", spec);
    }
    dv__sb_adds(b, t, true);
}

static val g_strftime(dv__ev *ev, val self, const dv__args *a)
{
    val fmt = dv__arg_str(ev, a, 0, "format", NULL);
    civil c = civil_time(ev->now);
    dv__sb b = dv__sb_new(ev);
    for (size_t i = 0; fmt.kind == V_STR && i < fmt.u.s.n && ev->code == 0; i++) {
        bool spec = fmt.u.s.p[i] == '%' && i + 1 < fmt.u.s.n && (unsigned char)fmt.u.s.p[i + 1] < 0x80;
        if (!spec) {
            dv__sb_str(&b, dv__sub(fmt, i, 1));
            continue;
        }
        i++;
        i += fmt.u.s.p[i] == '-' && i + 1 < fmt.u.s.n; /* "%-d": without the leading zero */
        size_t from = b.n;
        add_time(&b, &c, fmt.u.s.p[i]);
        if (fmt.u.s.p[i - 1] == '-' && ev->code == 0 && b.n > from + 1 && b.p[from] == '0') {
            memmove(b.p + from, b.p + from + 1, b.n - from - 1);
            b.n--;
        }
    }
    return dv__sb_val(&b);
}

const dv__fn_row *dv__global_find(const char *name, size_t n)
{
    static const dv__fn_row rows[] = {
        {"raise_exception", g_raise, false}, {"range", g_range, false},
        {"namespace", g_namespace, false},   {"dict", g_dict, false},
        {"joiner", g_joiner, false},         {"cycler", g_cycler, false},
        {"strftime_now", g_strftime, false},
    };
    return dv__row_find(rows, DV_ARRAY_LEN(rows), name, n);
}
