/* SPDX-License-Identifier: MIT */
/* The table for people: the example file and the reference. */
#include "conf/load.h"
#include "conf/write.h"

#include <string.h>

enum { WIDTH = 120 };

static void range(dv_buf *b, const dv_conf_option *o, const char *what)
{
    dv_conf_option plain = *o;
    plain.words = NULL;
    dv_buf_adds(b, what);
    if (o->max == DV_CONF_FOREVER) {
        dv_buf_adds(b, " from ");
        dv__conf_number_text(b, &plain, o->min);
    } else {
        dv_buf_adds(b, ", ");
        dv__conf_number_text(b, &plain, o->min);
        dv_buf_adds(b, " to ");
        dv__conf_number_text(b, &plain, o->max);
    }
    if (o->words != NULL)
        dv_buf_printf(b, " or %s", o->words);
}

int dv__conf_type_text(dv_buf *b, const dv_conf_option *o)
{
    switch (o->type) {
    case DV_CONF_BOOL: return dv_buf_adds(b, "true or false");
    case DV_CONF_INT: range(b, o, "whole number"); break;
    case DV_CONF_SIZE: range(b, o, "size"); break;
    case DV_CONF_DURATION: range(b, o, "time"); break;
    case DV_CONF_NUM:
        return dv_buf_printf(b, o->open_min ? "number, above %lld, to %lld" : "number, %lld to %lld", (long long)o->min,
                             (long long)o->max);
    case DV_CONF_STRING: return dv_buf_adds(b, "text");
    case DV_CONF_PATH: return dv_buf_adds(b, "path");
    case DV_CONF_LIST: return dv_buf_adds(b, "list");
    case DV_CONF_ADDRESS: return dv_buf_adds(b, "address");
    case DV_CONF_ENUM:
        for (const char *w = o->words; *w != 0; w++)
            if (*w == '|')
                dv_buf_adds(b, ", ");
            else
                dv_buf_addc(b, *w);
        break;
    case DV_CONF_TYPE_N: break;
    }
    return b->code;
}

int dv__conf_default_text(dv_buf *b, const dv_conf_option *o)
{
    if (o->def_shown != NULL)
        return dv_buf_adds(b, o->def_shown);
    return dv_buf_adds(b, o->def[0] != 0 ? o->def : "none");
}

/* Other programs' variables and the own one. */
static void variables(dv_buf *b, const dv_conf_option *o, const char *quote)
{
    char own[DV_CONF_ENV_LEN];
    for (const char *w = o->env; w != NULL && *w != 0;) {
        size_t n = strcspn(w, " ");
        dv_buf_printf(b, "%s%.*s%s, ", quote, (int)n, w, quote);
        w += n + (w[n] != 0);
    }
    dv_buf_printf(b, "%s%s%s", quote, dv_conf_env_name(o, own), quote);
}

static void flags(dv_buf *b, const dv_conf_option *o, const char *quote)
{
    if (o->flag == NULL)
        return;
    if (o->short_flag != 0)
        dv_buf_printf(b, "%s-%c%s, ", quote, o->short_flag, quote);
    dv_buf_printf(b, "%s--%s%s", quote, o->flag, quote);
    if (o->type == DV_CONF_BOOL)
        dv_buf_printf(b, ", %s--no-%s%s", quote, o->flag, quote);
}

static bool begins_section(const dv_conf_option *o, size_t i)
{
    size_t len = dv__conf_section(&o[i]);
    return i == 0 || dv__conf_section(&o[i - 1]) != len || memcmp(o[i - 1].name, o[i].name, len) != 0;
}

/* ---- the example ---- */

/* Comment lines of up to WIDTH characters. */
static void comment(dv_buf *b, const char *indent, const char *text)
{
    size_t at = 0;
    while (*text != 0) {
        size_t n = strcspn(text, " ");
        if (at == 0 || at + 1 + n > WIDTH) {
            dv_buf_printf(b, "%s%s#", at > 0 ? "\n" : "", indent);
            at = strlen(indent) + 1;
        }
        dv_buf_printf(b, " %.*s", (int)n, text);
        at += 1 + n;
        text += n + (text[n] != 0);
    }
    dv_buf_addc(b, '\n');
}

static void explain(dv_buf *b, const char *indent, const dv_conf_option *o)
{
    dv_buf text;
    dv_buf_init(&text, 0);
    dv_buf_printf(&text, "%s (", o->help);
    dv__conf_type_text(&text, o);
    if (o->def_shown != NULL)
        dv_buf_printf(&text, "; default: %s", o->def_shown);
    dv_buf_adds(&text, "). ");
    variables(&text, o, "");
    if (o->flag != NULL)
        dv_buf_adds(&text, ", ");
    flags(&text, o, "");
    if (text.code != 0)
        b->code = text.code;
    comment(b, indent, dv_buf_str(&text));
    dv_buf_fini(&text);
}

/* Its default as YAML; what is computed only when drover runs is left empty. */
static void default_value(dv_buf *b, const dv_conf_option *o, const void *object)
{
    if ((o->type == DV_CONF_STRING || o->type == DV_CONF_PATH) && o->def[0] == 0)
        dv_buf_adds(b, "''");
    else
        dv__conf_value_yaml(b, o, object);
}

static void example_top(dv_buf *b, const dv_conf *c)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(DV_CONF_TOP, &n);
    for (size_t i = 0; i < n; i++) {
        size_t len = dv__conf_section(&o[i]);
        const char *indent = len > 0 ? "  " : "";
        dv_buf_addc(b, '\n');
        if (len > 0 && begins_section(o, i))
            dv_buf_printf(b, "%.*s:\n", (int)len, o[i].name);
        explain(b, indent, &o[i]);
        dv_buf_printf(b, "%s#%s: ", indent, dv__conf_leaf(&o[i]));
        default_value(b, &o[i], c);
        dv_buf_addc(b, '\n');
    }
}

/* The option that makes an element one comes first. */
static void example_element(dv_buf *b, dv_conf_scope scope, const dv_conf_option *first, const char *first_value,
                            const void *object)
{
    size_t n;
    const dv_conf_option *o = dv_conf_options_of(scope, &n);
    dv_buf_printf(b, "\n%.*s:\n", (int)dv__conf_section(o), o->name);
    explain(b, "  ", first);
    dv_buf_printf(b, "  #- %s: %s\n", dv__conf_leaf(first), first_value);
    for (size_t i = 0; i < n; i++) {
        if (&o[i] == first)
            continue;
        dv_buf_addc(b, '\n');
        explain(b, "    ", &o[i]);
        dv_buf_printf(b, "    #%s: ", dv__conf_leaf(&o[i]));
        default_value(b, &o[i], object);
        dv_buf_addc(b, '\n');
    }
}

int dv_conf_write_example(dv_buf *b)
{
    static const char some[] =
        "listeners: [{address: 127.0.0.1:9}]\nprofiles: [{name: mine}]\nmodels: [{path: /x.gguf}]\n";
    const dv_conf_input in = {.text = some, .len = sizeof some - 1};
    dv_conf *c;
    int rc = dv_conf_open(&c, &in, NULL);
    if (rc != 0)
        return b->code = rc;
    dv_buf_adds(
        b,
        "# drover.yaml: what `drover serve` does. Lines that are commented out show the defaults. `drover config --check FILE` checks\n"
        "# a file, `drover config` shows what is in effect and where it comes from.\n");
    example_top(b, c);
    example_element(b, DV_CONF_LISTENER, dv_conf_option_find("listeners.*.address"), "127.0.0.1:9000",
                    &c->listeners[0]);
    example_element(b, DV_CONF_PROFILE, dv_conf_option_find("profiles.*.name"), "mine",
                    dv_conf_find_profile(c, "mine"));
    example_element(b, DV_CONF_MODEL, dv_conf_option_find("models.*.path"), "Llama-3.2-3B-Instruct-Q4_K_M.gguf",
                    &c->models[0]);
    dv_conf_close(&c);
    return b->code;
}

/* ---- the reference ---- */

static void cell(dv_buf *b, int (*write)(dv_buf *b, const dv_conf_option *o), const dv_conf_option *o)
{
    dv_buf_adds(b, " | ");
    write(b, o);
}

static void row(dv_buf *b, const dv_conf_option *o)
{
    dv_buf_printf(b, "| `%s`", o->name);
    cell(b, dv__conf_type_text, o);
    cell(b, dv__conf_default_text, o);
    dv_buf_adds(b, " | ");
    variables(b, o, "`");
    dv_buf_adds(b, o->flag != NULL ? ", " : "");
    flags(b, o, "`");
    dv_buf_printf(b, " | %s%s%s |\n", o->help, o->secret ? ". Never shown" : "",
                  o->reload ? "" : ". *Needs a restart*");
}

int dv_conf_write_reference(dv_buf *b)
{
    const dv_conf_option *o = dv_conf_option_at(0);
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        size_t len = dv__conf_section(&o[i]);
        if (begins_section(o, i)) {
            if (len > 0)
                dv_buf_printf(b, "\n### %.*s\n\n", (int)len, o[i].name);
            else
                dv_buf_adds(b, "### General\n\n");
            dv_buf_adds(b,
                        "| option | type | default | variables, flags | meaning |\n| --- | --- | --- | --- | --- |\n");
        }
        row(b, &o[i]);
    }
    return b->code;
}
