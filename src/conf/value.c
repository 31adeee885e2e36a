/* SPDX-License-Identifier: MIT */
/* One text to one value, the same way for every source. */
#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"
#include "base/word.h"
#include "conf/form.h"
#include "conf/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_MAX = 64, LINE_MAX_LEN = 400 };

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

/* Largest first. */
static const unit size_units[] = {{"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20},
                                  {"KiB", 1 << 10},          {"B", 1},         {NULL, 0}};
static const unit time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

static const unit *units_of(const dv_conf_option *o)
{
    static const unit none[] = {{NULL, 0}};
    return o->type == DV_CONF_SIZE ? size_units : o->type == DV_CONF_DURATION ? time_units : none;
}

/* ---- errors ---- */

static int fail(dv__load *l, int code, const dv_conf_source *s, const char *name, const char *fmt, va_list ap)
{
    char text[LINE_MAX_LEN], where[LINE_MAX_LEN] = "";
    vsnprintf(text, sizeof text, fmt, ap);
    if (s != NULL && s->from == DV_CONF_FROM_FILE)
        snprintf(where, sizeof where, "%s:%u:%u: ", s->name, (unsigned)s->line, (unsigned)s->column);
    else if (s != NULL && s->name != NULL)
        snprintf(where, sizeof where, "%s: ", s->name);
    return dv_fail(l->err, code, "%s%s%s", where, name, text);
}

int dv__conf_fail(dv__load *l, int code, const dv_conf_source *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = fail(l, code, s, "", fmt, ap);
    va_end(ap);
    return rc;
}

int dv__conf_fail_option(dv__load *l, dv__slot slot, const dv_conf_source *s, const char *fmt, ...)
{
    char name[160];
    const char *star = strchr(slot.o->name, '*');
    if (star != NULL)
        snprintf(name, sizeof name, "%.*s%zu%s ", (int)(star - slot.o->name), slot.o->name, slot.index, star + 1);
    else
        snprintf(name, sizeof name, "%s ", slot.o->name);
    va_list ap;
    va_start(ap, fmt);
    int rc = fail(l, DV_EINVAL, s, name, fmt, ap);
    va_end(ap);
    return rc;
}

/* ", not 'TEXT'", shortened; nothing for a secret. */
static const char *but_is(const dv_conf_option *o, const char *text, char buf[SHOWN_MAX + 16])
{
    size_t n = strlen(text);
    bool cut = n > SHOWN_MAX;
    n = DV_MIN(n, (size_t)SHOWN_MAX);
    snprintf(buf, SHOWN_MAX + 16, ", not '%.*s%s'", (int)(n - dv_utf8_incomplete(text, n)), text, cut ? "..." : "");
    return o->secret ? "" : buf;
}

static int must_be(dv__load *l, dv__slot slot, const dv_conf_source *s, const char *what, const char *text)
{
    char is[SHOWN_MAX + 16];
    return dv__conf_fail_option(l, slot, s, "must be %s%s", what, but_is(slot.o, text, is));
}

/* ---- numbers ---- */

void dv__conf_number_text(dv_buf *b, const dv_conf_option *o, int64_t v)
{
    const unit *u = units_of(o);
    if (o->words != NULL && v == o->word_value) {
        dv_buf_adds(b, o->words);
        return;
    }
    while (u->name != NULL && u->factor > 1 && (v == 0 || v % u->factor != 0))
        u++;
    dv_buf_printf(b, "%lld%s", (long long)(u->name != NULL ? v / u->factor : v), u->name != NULL ? u->name : "");
}

static int bad_number(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s)
{
    const dv_conf_option *o = slot.o;
    char is[SHOWN_MAX + 16];
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, o->type == DV_CONF_INT    ? "a whole number"
                    : o->type == DV_CONF_SIZE ? "a size such as 512MiB"
                                              : "a time such as 30s");
    dv_buf_adds(&b, o->max < INT64_MAX ? " from " : " of at least ");
    dv_conf_option plain = *o; /* its bounds as numbers, even if a word stands for one */
    plain.words = NULL;
    dv__conf_number_text(&b, &plain, o->min);
    if (o->max < INT64_MAX) {
        dv_buf_adds(&b, " to ");
        dv__conf_number_text(&b, &plain, o->max);
    }
    if (o->words != NULL)
        dv_buf_printf(&b, " or %s", o->words);
    int rc = b.code != 0 ? b.code : dv__conf_fail_option(l, slot, s, "must be %s%s", b.data, but_is(o, text, is));
    dv_buf_fini(&b);
    return rc;
}

static bool parse_number(const dv_conf_option *o, const char *text, int64_t *out)
{
    char digits[24];
    const unit *u = units_of(o);
    bool negative = text[0] == '-' && o->min < 0;
    text += negative;
    size_t n = strspn(text, "0123456789");
    uint64_t v;
    if (n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    if (!dv_word_u64(digits, &v))
        return false;
    text += n;
    if (text[0] == ' ' && text[1] != 0)
        text++;
    /* Bytes may lack a unit, and so may nothing at all. */
    bool bare = text[0] == 0 && (o->type != DV_CONF_DURATION || v == 0);
    while (!bare && u->name != NULL && strcmp(u->name, text) != 0)
        u++;
    if ((!bare && u->name == NULL) || !dv_mul_u64(v, bare ? 1 : (uint64_t)u->factor, &v) || v > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static int set_number(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, int64_t *out)
{
    const dv_conf_option *o = slot.o;
    int64_t v;
    if (o->words != NULL && strcmp(text, o->words) == 0)
        v = o->word_value;
    else if (!parse_number(o, text, &v) || v < o->min || v > o->max)
        return bad_number(l, slot, text, s);
    *out = v;
    return 0;
}

static int set_num(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, double *out)
{
    const dv_conf_option *o = slot.o;
    char what[80];
    double v, min = (double)o->min, max = (double)o->max;
    if (dv_word_double(text, &v) && (o->open_min ? v > min : v >= min) && v <= max) {
        /* Not more digits than are shown: what is written out means the same. */
        snprintf(what, sizeof what, "%.15g", v);
        return dv_word_double(what, out) ? 0 : DV_EINTERNAL;
    }
    snprintf(what, sizeof what, o->open_min ? "a number above %g and up to %g" : "a number from %g to %g", min, max);
    return must_be(l, slot, s, what, text);
}

/* ---- the other types ---- */

static int set_bool(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < DV_ARRAY_LEN(words); i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 != 0;
            return 0;
        }
    return must_be(l, slot, s, "true or false", text);
}

static int set_enum(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, int *out)
{
    char what[160];
    int v = dv_word_index(slot.o->words, text);
    if (v < 0) {
        snprintf(what, sizeof what, "one of %s", slot.o->words);
        return must_be(l, slot, s, what, text);
    }
    *out = v;
    return 0;
}

/* What a text may never be, whatever it is for. */
static int check_text(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s)
{
    size_t n = strlen(text);
    if (n > DV_CONF_TEXT_MAX)
        return dv__conf_fail_option(l, slot, s, "is longer than %d bytes", DV_CONF_TEXT_MAX);
    for (size_t i = 0; i < n;) {
        int k = dv_utf8_printable(text + i, n - i);
        if (k <= 0)
            return dv__conf_fail_option(l, slot, s, "is not UTF-8, or has control characters");
        i += (size_t)k;
    }
    return 0;
}

static int check_form(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s)
{
    const char *wrong = slot.o->check != NULL ? slot.o->check(text) : NULL;
    char is[SHOWN_MAX + 16];
    if (wrong == NULL)
        return 0;
    const char *shown = but_is(slot.o, text, is);
    if (shown[0] == 0)
        return dv__conf_fail_option(l, slot, s, "%s", wrong);
    return dv__conf_fail_option(l, slot, s, "has %s, which %s", shown + strlen(", not "), wrong);
}

static int set_string(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, const char **out)
{
    int rc = text[0] != 0 ? check_form(l, slot, text, s) : 0;
    if (rc != 0)
        return rc;
    *out = text[0] != 0 ? dv_arena_strndup(&l->conf->arena, text, strlen(text)) : NULL;
    return text[0] == 0 || *out != NULL ? 0 : DV_ENOMEM;
}

/* [host]:port, host:port or port into a; host is not terminated yet. */
static bool parse_tcp(const char *text, const char **host, size_t *len, uint16_t *port)
{
    const char *colon = strrchr(text, ':'), *digits = colon != NULL ? colon + 1 : text;
    uint64_t v;
    if (!dv_word_u64(digits, &v) || v > 65535)
        return false;
    *port = (uint16_t)v;
    *host = colon != NULL ? text : "127.0.0.1";
    *len = colon != NULL ? (size_t)(colon - text) : strlen(*host);
    bool brackets = *len > 2 && (*host)[0] == '[' && (*host)[*len - 1] == ']';
    *host += brackets;
    *len -= brackets ? 2 : 0;
    return brackets == (memchr(*host, ':', *len) != NULL);
}

static int set_address(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s, dv_conf_address *out)
{
    static const char what[] = "HOST:PORT, [IPV6]:PORT, unix:PATH or off";
    dv_arena *a = &l->conf->arena;
    const char *host = NULL;
    size_t len = 0;
    *out = (dv_conf_address){.text = "off"};
    if (strcmp(text, "off") == 0)
        return 0;
    if (strncmp(text, "unix:", 5) == 0 && text[5] != 0) {
        out->text = dv_arena_strndup(a, text, strlen(text));
        out->path = out->text != NULL ? out->text + 5 : NULL;
        return out->text != NULL ? 0 : DV_ENOMEM;
    }
    if (!parse_tcp(text, &host, &len, &out->port))
        return must_be(l, slot, s, what, text);
    char *name = dv_arena_strndup(a, host, len), *shown = dv_arena_alloc(a, len + sizeof "[]:65535");
    if (name == NULL || shown == NULL)
        return DV_ENOMEM;
    if (dv__form_host(name) != NULL)
        return must_be(l, slot, s, what, text);
    snprintf(shown, len + sizeof "[]:65535", strchr(name, ':') != NULL ? "[%s]:%u" : "%s:%u", name,
             (unsigned)out->port);
    out->host = name;
    out->text = shown;
    return 0;
}

static int set_elements(dv__load *l, dv__slot slot, const dv_conf_list *have, const char *const *v, size_t n,
                        const dv_conf_source *s, dv_conf_list *out)
{
    size_t before = have != NULL ? have->n : 0;
    if (before + n > DV_CONF_LIST_MAX)
        return dv__conf_fail_option(l, slot, s, "has more than %d elements", DV_CONF_LIST_MAX);
    const char **all = dv_arena_calloc(&l->conf->arena, before + n + 1, sizeof *all);
    if (all == NULL)
        return DV_ENOMEM;
    for (size_t i = 0; i < before; i++)
        all[i] = have->v[i];
    for (size_t i = 0; i < n; i++) {
        int rc = check_text(l, slot, v[i], s);
        rc = rc != 0 ? rc : check_form(l, slot, v[i], s);
        if (rc != 0)
            return rc;
        if ((all[before + i] = dv_arena_strndup(&l->conf->arena, v[i], strlen(v[i]))) == NULL)
            return DV_ENOMEM;
    }
    *out = (dv_conf_list){.v = all, .n = before + n};
    return 0;
}

/* Cut "a, b" into its elements; text is written to. Empty ones are dropped. */
static size_t split(char *text, char sep, const char **v, size_t max)
{
    const char seps[] = {sep, ' ', 0};
    size_t n = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, seps, &rest); word != NULL && n < max; word = strtok_r(NULL, seps, &rest))
        v[n++] = word;
    return n;
}

static int set_split(dv__load *l, dv__slot slot, const dv_conf_list *have, const char *text, const dv_conf_source *s,
                     dv_conf_list *out)
{
    const char *v[DV_CONF_LIST_MAX + 1];
    char *copy = dv_arena_strndup(&l->conf->arena, text, strlen(text));
    if (copy == NULL)
        return DV_ENOMEM;
    size_t n = split(copy, slot.o->sep, v, DV_ARRAY_LEN(v));
    return set_elements(l, slot, have, v, n, s, out);
}

static int set_field(dv__load *l, dv__slot slot, void *field, const char *text, const dv_conf_source *s)
{
    switch (slot.o->type) {
    case DV_CONF_BOOL: return set_bool(l, slot, text, s, field);
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION: return set_number(l, slot, text, s, field);
    case DV_CONF_NUM: return set_num(l, slot, text, s, field);
    case DV_CONF_STRING:
    case DV_CONF_PATH: return set_string(l, slot, text, s, field);
    case DV_CONF_ENUM: return set_enum(l, slot, text, s, field);
    case DV_CONF_LIST: return set_split(l, slot, NULL, text, s, field);
    case DV_CONF_ADDRESS: return set_address(l, slot, text, s, field);
    case DV_CONF_TYPE_N: break;
    }
    return DV_EINTERNAL;
}

static void *field_of(dv__load *l, dv__slot slot, void **object)
{
    *object = dv__conf_object(l, slot.o->scope, slot.index);
    return (char *)*object + slot.o->offset;
}

int dv__conf_set(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s)
{
    void *object, *field = field_of(l, slot, &object);
    int rc = check_text(l, slot, text, s);
    if (rc == 0)
        rc = set_field(l, slot, field, text, s);
    return rc != 0 ? rc : dv__conf_keep_source(l, s, dv__conf_source(slot.o, object));
}

int dv__conf_add(dv__load *l, dv__slot slot, const char *text, const dv_conf_source *s)
{
    void *object;
    dv_conf_list *list = field_of(l, slot, &object);
    dv_conf_source *now = dv__conf_source(slot.o, object);
    int rc = check_text(l, slot, text, s);
    if (rc == 0)
        rc = set_split(l, slot, now->from == s->from ? list : NULL, text, s, list);
    return rc != 0 ? rc : dv__conf_keep_source(l, s, now);
}

int dv__conf_set_list(dv__load *l, dv__slot slot, const char *const *v, size_t n, const dv_conf_source *s)
{
    void *object;
    dv_conf_list *list = field_of(l, slot, &object);
    int rc = set_elements(l, slot, NULL, v, n, s, list);
    return rc != 0 ? rc : dv__conf_keep_source(l, s, dv__conf_source(slot.o, object));
}
