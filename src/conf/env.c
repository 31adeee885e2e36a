/* SPDX-License-Identifier: MIT */
/* Environment variables through the table: DROVER_ and the option's name, and for some options what other programs call them. */
#include "base/err.h"
#include "base/word.h"
#include "conf/load.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "DROVER_";

/* Not options, but known: where drover.yaml is, and what commands that talk to a server take. */
static const char others[] = "DROVER_CONFIG|DROVER_URL|DROVER_API_KEY";

const char *dv_conf_env(const char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return (*env)[n + 1] != 0 ? *env + n + 1 : NULL;
    return NULL;
}

static int set(dv__load *l, dv__slot slot, const char *name, const char *text)
{
    dv_conf_source s = {.from = DV_CONF_FROM_ENV, .name = name};
    return dv__conf_set(l, slot, text, &s);
}

/* Other programs give times without a unit, in seconds or milliseconds: nobody means 3 hours by 10000, nor 1 second by 1000. */
static int set_foreign(dv__load *l, dv__slot slot, const char *name, const char *text)
{
    char with_unit[40];
    uint64_t v;
    if (slot.o->type == DV_CONF_DURATION && dv_word_u64(text, &v)) {
        snprintf(with_unit, sizeof with_unit, "%llu%s", (unsigned long long)v, v >= 10000 ? "ms" : "s");
        text = with_unit;
    }
    return set(l, slot, name, text);
}

/* The own variable counts more than another program's. */
static int load_option(dv__load *l, const dv_conf_option *o)
{
    char name[DV_CONF_ENV_LEN];
    int rc = 0;
    for (const char *word = o->env; word != NULL && *word != 0 && rc == 0;) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(word, " "), word);
        const char *text = dv_conf_env(l->in->env, name);
        if (text != NULL)
            rc = set_foreign(l, (dv__slot){o, 0}, name, text);
        word += strcspn(word, " ");
        word += *word == ' ';
    }
    const char *own = dv_conf_env(l->in->env, dv_conf_env_name(o, name));
    if (rc == 0 && own != NULL)
        rc = set(l, (dv__slot){o, 0}, name, own);
    return rc;
}

/* ---- elements of lists: DROVER_MODELS_0_PATH ---- */

/* The option and the index that a variable of an element names. */
static bool find_element(const char *variable, dv__slot *out)
{
    char name[DV_CONF_ENV_LEN], pattern[DV_CONF_ENV_LEN];
    size_t n = strcspn(variable, "=");
    size_t at = strcspn(variable, "0123456789"), digits = strspn(variable + at, "0123456789");
    uint64_t index;
    if (n >= sizeof name || digits == 0 || digits > 4 || at + digits >= n || variable[at - (at > 0)] != '_')
        return false;
    snprintf(name, sizeof name, "%.*s", (int)digits, variable + at);
    if (!dv_word_u64(name, &index))
        return false;
    snprintf(name, sizeof name, "%.*sN%.*s", (int)at, variable, (int)(n - at - digits), variable + at + digits);
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        if (o->scope != DV_CONF_TOP && strcmp(dv_conf_env_name(o, pattern), name) == 0) {
            *out = (dv__slot){o, (size_t)index};
            return true;
        }
    }
    return false;
}

static int load_element(dv__load *l, const char *variable, dv__slot slot)
{
    char name[DV_CONF_ENV_LEN];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(variable, "="), variable);
    const char *text = dv_conf_env(l->in->env, name);
    if (text == NULL)
        return 0;
    dv_conf_source s = {.from = DV_CONF_FROM_ENV, .name = name};
    int rc = dv__conf_element(l, slot.o->scope, slot.index, &s);
    return rc != 0 ? rc : dv__conf_set(l, slot, text, &s);
}

/* By index, so that their order in the environment means nothing. A gap ends it: the rest is told as unknown. */
static int load_elements(dv__load *l, dv_conf_scope scope)
{
    bool found = true;
    for (size_t index = 0; found; index++) {
        found = index < *dv__conf_count(l, scope);
        for (const char *const *e = l->in->env; *e != NULL; e++) {
            dv__slot slot;
            if (strncmp(*e, prefix, sizeof prefix - 1) != 0 || !find_element(*e, &slot) || slot.o->scope != scope ||
                slot.index != index)
                continue;
            int rc = load_element(l, *e, slot);
            if (rc != 0)
                return rc;
            found = true;
        }
    }
    return 0;
}

/* ---- variables that mean nothing ---- */

/* Kubernetes tells every container about a service called drover, or drover-x: DROVER_PORT, DROVER_SERVICE_HOST, DROVER_PORT_8081_TCP... */
static bool is_kubernetes(const char *name)
{
    for (const char *p = name; (p = strstr(p, "_PORT")) != NULL; p++)
        if (p[5] == 0 || (p[5] == '_' && isdigit((unsigned char)p[6])))
            return true;
    return strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL;
}

/* Variables that models take their keys from may be called as their owner likes. */
static bool is_key(const dv__load *l, const char *name)
{
    const dv_conf *c = &l->conf->pub;
    for (size_t i = 0; i < c->n_models; i++)
        if (c->models[i].key_env != NULL && strcmp(c->models[i].key_env, name) == 0)
            return true;
    return false;
}

static bool is_known(dv__load *l, const char *name)
{
    char buf[DV_CONF_ENV_LEN];
    dv__slot slot;
    if (dv_word_index(others, name) >= 0 || is_kubernetes(name) || is_key(l, name))
        return true;
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++)
        if (dv_conf_option_at(i)->scope == DV_CONF_TOP &&
            strcmp(dv_conf_env_name(dv_conf_option_at(i), buf), name) == 0)
            return true;
    return find_element(name, &slot) && slot.index < *dv__conf_count(l, slot.o->scope);
}

static int unknown(dv__load *l, const char *name)
{
    enum { LEN = 64 };
    char buf[DV_CONF_ENV_LEN], names[DV_CONF_OPTIONS_MAX][LEN];
    const char *list[DV_CONF_OPTIONS_MAX];
    size_t n = 0;
    for (size_t i = 0; dv_conf_option_at(i) != NULL && n < DV_ARRAY_LEN(list); i++, n++) {
        snprintf(names[n], LEN, "%s", dv_conf_env_name(dv_conf_option_at(i), buf));
        list[n] = names[n];
    }
    dv__slot slot;
    const char *near = dv_word_nearest(name, list, n);
    if (find_element(name, &slot))
        return dv_fail(l->err, DV_EINVAL, "%s: there is no element %zu: they are counted from 0 without gaps", name,
                       slot.index - 1);
    if (near != NULL && strcmp(near, name) == 0)
        return dv_fail(l->err, DV_EINVAL, "%s: unknown variable: N stands for a number", name);
    if (near != NULL)
        return dv_fail(l->err, DV_EINVAL, "%s: unknown variable, did you mean %s?", name, near);
    return dv_fail(l->err, DV_EINVAL, "%s: unknown variable; those that begin with DROVER_ are for options", name);
}

static int find_unknown(dv__load *l)
{
    char name[DV_CONF_ENV_LEN];
    for (const char *const *e = l->in->env; *e != NULL; e++) {
        size_t n = strcspn(*e, "=");
        if (strncmp(*e, prefix, sizeof prefix - 1) != 0 || (*e)[n] == 0 || (*e)[n + 1] == 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)DV_MIN(n, sizeof name), *e);
        if (!is_known(l, name))
            return unknown(l, name);
    }
    return 0;
}

int dv__conf_load_env(dv__load *l)
{
    int rc = 0;
    if (l->in->env == NULL)
        return 0;
    for (size_t i = 0; dv_conf_option_at(i) != NULL && rc == 0; i++)
        if (dv_conf_option_at(i)->scope == DV_CONF_TOP)
            rc = load_option(l, dv_conf_option_at(i));
    for (int scope = DV_CONF_LISTENER; scope < DV_CONF_SCOPE_N && rc == 0; scope++)
        rc = load_elements(l, (dv_conf_scope)scope);
    return rc;
}

int dv__conf_check_env(dv__load *l) { return l->in->env != NULL ? find_unknown(l) : 0; }
