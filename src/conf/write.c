/* SPDX-License-Identifier: MIT */
#include "conf/write.h"

#include "conf/load.h"

#include <ctype.h>
#include <string.h>

size_t dv__conf_section(const dv_conf_option *o)
{
    const char *dot = strchr(o->name, '.');
    return dot != NULL ? (size_t)(dot - o->name) : 0;
}

const char *dv__conf_leaf(const dv_conf_option *o)
{
    const char *dot = strrchr(o->name, '.');
    return dot != NULL ? dot + 1 : o->name;
}

/* ---- YAML ---- */

/* May it stand without quotes, and be the same text? */
static bool is_plain(const char *s, bool in_list)
{
    if (!isalnum((unsigned char)s[0]) && s[0] != '/')
        return false;
    for (const char *p = s; *p != 0; p++) {
        bool colon = *p == ':' && !in_list && (isalnum((unsigned char)p[1]) || p[1] == '/');
        if (!isalnum((unsigned char)*p) && strchr("_./+-", *p) == NULL && !colon)
            return false;
    }
    return strcasecmp(s, "null") != 0;
}

static void scalar(dv_buf *b, const char *s, bool in_list)
{
    if (is_plain(s, in_list)) {
        dv_buf_adds(b, s);
        return;
    }
    dv_buf_addc(b, '\'');
    for (; *s != 0; s++) {
        if (*s == '\'')
            dv_buf_addc(b, '\'');
        dv_buf_addc(b, *s);
    }
    dv_buf_addc(b, '\'');
}

int dv__conf_value_yaml(dv_buf *b, const dv_conf_option *o, const void *object)
{
    dv_buf text;
    if (o->type == DV_CONF_LIST) {
        const dv_conf_list *list = (const dv_conf_list *)((const char *)object + o->offset);
        dv_buf_addc(b, '[');
        for (size_t i = 0; i < list->n; i++) {
            dv_buf_adds(b, i > 0 ? ", " : "");
            scalar(b, list->v[i], true);
        }
        return dv_buf_addc(b, ']');
    }
    dv_buf_init(&text, 0);
    if (dv_conf_value_text(&text, o, object) == 0)
        scalar(b, dv_buf_str(&text), false);
    else
        b->code = text.code;
    dv_buf_fini(&text);
    return b->code;
}

static void line(dv_buf *b, const char *indent, const dv_conf_option *o, const void *object)
{
    dv_buf_printf(b, "%s%s: ", indent, dv__conf_leaf(o));
    dv__conf_value_yaml(b, o, object);
    dv_buf_adds(b, "  # ");
    dv_conf_source_text(b, dv_conf_source_of(o, object));
    dv_buf_addc(b, '\n');
}

static void top(dv_buf *b, const dv_conf *c)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_TOP, &n);
    for (size_t i = 0; i < n; i++) {
        size_t len = dv__conf_section(&o[i]);
        bool begins =
            len > 0 && (i == 0 || dv__conf_section(&o[i - 1]) != len || memcmp(o[i - 1].name, o[i].name, len) != 0);
        if (begins)
            dv_buf_printf(b, "%.*s:\n", (int)len, o[i].name);
        line(b, len > 0 ? "  " : "", &o[i], c);
    }
}

static void element(dv_buf *b, dv_conf_scope scope, const void *object)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    for (size_t i = 0; i < n; i++)
        line(b, i == 0 ? "  - " : "    ", &o[i], object);
}

/* What the file cannot say twice is left out: certificates that are shared are not those of the listener. */
static void listener(dv_buf *b, const dv_conf_listener *p)
{
    dv_conf_listener own = *p;
    if (p->tls_shared)
        own.tls_cert = own.tls_key = NULL;
    element(b, DV_CONF_LISTENER, &own);
}

int dv_conf_write_yaml(dv_buf *b, const dv_conf *c)
{
    const char *head = "listeners:\n";
    top(b, c);
    for (size_t i = 0; i < c->n_listeners; i++) {
        if (c->listeners[i].shorthand)
            continue;
        dv_buf_adds(b, head);
        listener(b, &c->listeners[i]);
        head = "";
    }
    head = "profiles:\n";
    for (size_t i = 0; i < c->n_profiles; i++) {
        if (!c->profiles[i].listed)
            continue;
        dv_buf_adds(b, head);
        element(b, DV_CONF_PROFILE, &c->profiles[i]);
        head = "";
    }
    head = "models:\n";
    for (size_t i = 0; i < c->n_models; i++) {
        if (c->models[i].shorthand)
            continue;
        dv_buf_adds(b, head);
        element(b, DV_CONF_MODEL, &c->models[i]);
        head = "";
    }
    return b->code;
}

/* ---- JSON ---- */

static void json_text(dv_buf *b, const char *s) { dv_buf_json_log(b, s, strlen(s)); }

static void json_value(dv_buf *b, const dv_conf_option *o, const void *object)
{
    const void *field = (const char *)object + o->offset;
    const dv_conf_list *list = field;
    int64_t number;
    dv_buf text;
    switch (o->type) {
    case DV_CONF_BOOL: dv_buf_adds(b, *(const bool *)field ? "true" : "false"); return;
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION:
        number = *(const int64_t *)field;
        if (number == DV_CONF_FOREVER)
            dv_buf_adds(b, "null");
        else
            dv_buf_printf(b, "%lld", (long long)number);
        return;
    case DV_CONF_NUM: dv_conf_value_text(b, o, object); return;
    case DV_CONF_LIST:
        dv_buf_addc(b, '[');
        for (size_t i = 0; i < list->n; i++) {
            dv_buf_adds(b, i > 0 ? "," : "");
            json_text(b, list->v[i]);
        }
        dv_buf_addc(b, ']');
        return;
    default: break;
    }
    if ((o->type == DV_CONF_STRING || o->type == DV_CONF_PATH) && *(const char *const *)field == NULL) {
        dv_buf_adds(b, "null");
        return;
    }
    dv_buf_init(&text, 0);
    dv_conf_value_text(&text, o, object);
    json_text(b, dv_buf_str(&text));
    b->code = b->code != 0 ? b->code : text.code;
    dv_buf_fini(&text);
}

static void json_source(dv_buf *b, const dv_conf_source *s)
{
    static const char *const kinds[DV_CONF_FROM_N] = {"default", "profile", "file", "env", "flag"};
    dv_buf_printf(b, "{\"kind\":\"%s\"", kinds[s->from]);
    if (s->name != NULL) {
        dv_buf_adds(b, ",\"name\":");
        json_text(b, s->name);
    }
    if (s->from == DV_CONF_FROM_FILE)
        dv_buf_printf(b, ",\"line\":%u,\"column\":%u", (unsigned)s->line, (unsigned)s->column);
    dv_buf_addc(b, '}');
}

/* "name":{"value":...,"text":...,"source":{...}}, for each option; the text of numbers with units. */
static void json_object(dv_buf *b, dv_conf_scope scope, const void *object)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    for (size_t i = 0; i < n; i++) {
        dv_buf_printf(b, "%s\"%s\":{\"value\":", i > 0 ? "," : "",
                      scope == DV_CONF_TOP ? o[i].name : dv__conf_leaf(&o[i]));
        json_value(b, &o[i], object);
        if (o[i].type == DV_CONF_SIZE || o[i].type == DV_CONF_DURATION) {
            dv_buf_adds(b, ",\"text\":\"");
            dv_conf_value_text(b, &o[i], object); /* digits, units and the table's words */
            dv_buf_addc(b, '"');
        }
        dv_buf_adds(b, ",\"source\":");
        json_source(b, dv_conf_source_of(&o[i], object));
        dv_buf_printf(b, ",\"reload\":%s}", o[i].reload ? "true" : "false");
    }
}

int dv_conf_write_json(dv_buf *b, const dv_conf *c)
{
    dv_buf_adds(b, "{\"options\":{");
    json_object(b, DV_CONF_TOP, c);
    dv_buf_adds(b, "},\"listeners\":[");
    for (size_t i = 0; i < c->n_listeners; i++) {
        dv_buf_printf(b, "%s{\"shorthand\":%s,", i > 0 ? "," : "", c->listeners[i].shorthand ? "true" : "false");
        json_object(b, DV_CONF_LISTENER, &c->listeners[i]);
        dv_buf_addc(b, '}');
    }
    dv_buf_adds(b, "],\"profiles\":[");
    for (size_t i = 0; i < c->n_profiles; i++) {
        dv_buf_printf(b, "%s{\"own\":%s,", i > 0 ? "," : "", c->profiles[i].own ? "true" : "false");
        json_object(b, DV_CONF_PROFILE, &c->profiles[i]);
        dv_buf_addc(b, '}');
    }
    dv_buf_adds(b, "],\"models\":[");
    for (size_t i = 0; i < c->n_models; i++) {
        dv_buf_printf(b, "%s{\"shorthand\":%s,", i > 0 ? "," : "", c->models[i].shorthand ? "true" : "false");
        json_object(b, DV_CONF_MODEL, &c->models[i]);
        dv_buf_addc(b, '}');
    }
    return dv_buf_adds(b, "]}");
}
