/* SPDX-License-Identifier: MIT */
/* drover.yaml through the table: its sections are the parts of the options' names. */
#include "base/file.h"
#include "base/err.h"
#include "base/word.h"
#include "conf/load.h"
#include "conf/tree.h"

#include <stdio.h>
#include <string.h>

enum { NAME_LEN = 160, SIBLINGS_MAX = 128 };

/* Where in the table's names a map of the file is: "", "limits", "models.*"; what its values are fields of. */
typedef struct place {
    char prefix[NAME_LEN];
    size_t index;
} place;

/* Prefixes are sections of the table, which are short. */
static void join_name(char out[NAME_LEN], const char *prefix, const char *word)
{
    snprintf(out, NAME_LEN, "%.80s%s%.64s", prefix, prefix[0] != 0 ? "." : "", word);
}

static dv_conf_source source_at(const dv__load *l, const dv__yaml *node)
{
    return (dv_conf_source){.from = DV_CONF_FROM_FILE, .name = l->file, .line = node->line, .column = node->column};
}

static int fail_at(dv__load *l, const dv__yaml *node, const char *what, const char *name)
{
    dv_conf_source s = source_at(l, node);
    return dv__conf_fail(l, DV_EINVAL, &s, "%s %s", name, what);
}

/* Is this the beginning of some option's name, up to a dot? */
static bool is_section(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        const char *have = dv_conf_option_at(i)->name;
        if (strncmp(have, name, n) == 0 && have[n] == '.')
            return true;
    }
    return false;
}

/* DV_CONF_TOP: name is no list. */
static dv_conf_scope list_scope(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; dv_conf_option_at(i) != NULL; i++) {
        const dv_conf_option *o = dv_conf_option_at(i);
        if (strncmp(o->name, name, n) == 0 && strncmp(o->name + n, ".*.", 3) == 0)
            return o->scope;
    }
    return DV_CONF_TOP;
}

/* The words that may stand in a place, for suggestions. */
static size_t siblings(const place *at, char names[SIBLINGS_MAX][DV__YAML_KEY], const char *list[SIBLINGS_MAX])
{
    size_t n = 0, skip = strlen(at->prefix);
    for (size_t i = 0; dv_conf_option_at(i) != NULL && n < SIBLINGS_MAX; i++) {
        const char *name = dv_conf_option_at(i)->name;
        if (skip > 0 && (strncmp(name, at->prefix, skip) != 0 || name[skip] != '.'))
            continue;
        name += skip + (skip > 0);
        snprintf(names[n], DV__YAML_KEY, "%.*s", (int)strcspn(name, "."), name);
        list[n] = names[n];
        n += n == 0 || strcmp(names[n - 1], names[n]) != 0;
    }
    return n;
}

static int unknown_key(dv__load *l, const place *at, const dv__yaml *key)
{
    char names[SIBLINGS_MAX][DV__YAML_KEY];
    const char *list[SIBLINGS_MAX];
    dv_conf_source s = source_at(l, key);
    const char *near = dv_word_nearest(key->text, list, siblings(at, names, list));
    const char *in = at->prefix[0] != 0 ? " in " : "";
    if (near != NULL)
        return dv__conf_fail(l, DV_EINVAL, &s, "unknown key '%s'%s%s, did you mean '%s'?", key->text, in, at->prefix,
                             near);
    if (strchr(key->text, '.') != NULL && at->prefix[0] == 0 && dv_conf_option_find(key->text) != NULL)
        return dv__conf_fail(l, DV_EINVAL, &s, "unknown key '%s': write '%.*s:' and the rest below it, indented",
                             key->text, (int)strcspn(key->text, "."), key->text);
    return dv__conf_fail(l, DV_EINVAL, &s, "unknown key '%s'%s%s", key->text, in, at->prefix);
}

/* ---- values ---- */

static int read_list(dv__load *l, dv__slot slot, const dv__yaml *node)
{
    const char *v[DV_CONF_LIST_MAX] = {NULL};
    dv_conf_source s = source_at(l, node);
    size_t n = 0;
    if (node->kind == DV__YAML_TEXT && node->null)
        return dv__conf_set_list(l, slot, v, 0, &s);
    if (node->kind != DV__YAML_LIST)
        return dv__conf_fail_option(l, slot, &s, "must be a list: [A, B], or a line '- A' for each");
    if (node->n > DV_CONF_LIST_MAX)
        return dv__conf_fail_option(l, slot, &s, "has more than %d elements", DV_CONF_LIST_MAX);
    for (const dv__yaml *e = node->first; e != NULL; e = e->next) {
        dv_conf_source at = source_at(l, e);
        if (e->kind != DV__YAML_TEXT || e->null)
            return dv__conf_fail_option(l, slot, &at, "must be a list of texts");
        if (slot.o->check != NULL && slot.o->check(e->text) != NULL) /* so that the element's place is told */
            return dv__conf_set_list(l, slot, &e->text, 1, &at);
        v[n++] = e->text;
    }
    return dv__conf_set_list(l, slot, v, n, &s);
}

static int read_value(dv__load *l, dv__slot slot, const dv__yaml *node)
{
    dv_conf_source s = source_at(l, node);
    if (slot.o->type == DV_CONF_LIST)
        return read_list(l, slot, node);
    if (node->kind != DV__YAML_TEXT)
        return dv__conf_fail_option(l, slot, &s, "must be one value, not a %s",
                                    node->kind == DV__YAML_MAP ? "section" : "list");
    if (node->null)
        return dv__conf_fail_option(l, slot, &s, "has no value; without the line it has its default");
    return dv__conf_set(l, slot, node->text, &s);
}

/* ---- sections ---- */

static int read_map(dv__load *l, const place *at, const dv__yaml *map);

static int read_elements(dv__load *l, const char *name, dv_conf_scope scope, const dv__yaml *node)
{
    place in = {.index = 0};
    join_name(in.prefix, name, "*");
    if (node->kind != DV__YAML_LIST)
        return fail_at(l, node, "must be a list: '- ' in front of the first line of each element", name);
    for (const dv__yaml *e = node->first; e != NULL; e = e->next, in.index++) {
        dv_conf_source s = source_at(l, e);
        if (e->kind != DV__YAML_MAP)
            return fail_at(l, e, "must be a list of sections, '- name: ...'", name);
        int rc = dv__conf_element(l, scope, in.index, &s);
        if (rc == 0)
            rc = read_map(l, &in, e);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_section(dv__load *l, const char *name, const dv__yaml *node)
{
    place in = {.index = 0};
    if (node->kind == DV__YAML_TEXT && node->null) /* all of its lines are comments */
        return 0;
    if (list_scope(name) != DV_CONF_TOP)
        return read_elements(l, name, list_scope(name), node);
    if (node->kind != DV__YAML_MAP)
        return fail_at(l, node, "must be a section: its values are lines below it, indented", name);
    join_name(in.prefix, "", name);
    return read_map(l, &in, node);
}

/* The table's names are two words deep, or three with a list: so deep this calls itself. */
static int read_map(dv__load *l, const place *at, const dv__yaml *map)
{
    for (const dv__yaml *node = map->first; node != NULL; node = node->next) {
        char name[NAME_LEN];
        join_name(name, at->prefix, node->key->text);
        const dv_conf_option *o = strpbrk(node->key->text, ".*") == NULL ? dv_conf_option_find(name) : NULL;
        int rc;
        if (o != NULL)
            rc = read_value(l, (dv__slot){o, at->index}, node);
        else if (strpbrk(node->key->text, ".*") == NULL && is_section(name))
            rc = read_section(l, name, node);
        else
            rc = unknown_key(l, at, node->key);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_tree(dv__load *l, const char *text, size_t len)
{
    const place top = {.index = 0};
    dv_arena nodes;
    dv__yaml *root;
    dv_arena_init(&nodes, DV_MEM_CONF, 0);
    int rc = dv__yaml_parse(&root, &nodes, l->file, text, len, l->err);
    if (rc == 0 && root != NULL && root->kind != DV__YAML_MAP)
        rc = fail_at(l, root, "must be sections and 'name: value' lines", "the file");
    else if (rc == 0 && root != NULL)
        rc = read_map(l, &top, root);
    dv_arena_wipe(&nodes);
    dv_arena_fini(&nodes);
    return rc;
}

int dv__conf_load_file(dv__load *l)
{
    dv_buf b;
    int rc = 0;
    if (l->in->file == NULL && l->in->text == NULL)
        return 0;
    dv_buf_init(&b, DV_CONF_FILE_MAX);
    if (l->in->text == NULL) {
        dv_buf_reserve(&b, DV_CONF_FILE_MAX); /* at once: a growing one would leave copies of secrets behind */
        rc = dv_file_read(&b, l->in->file, l->err);
        if (rc != 0 && strncmp(l->err->msg, l->in->file, strlen(l->in->file)) != 0)
            dv_err_prefix(l->err, "%s", l->file);
        rc = rc == 0 ? read_tree(l, dv_buf_str(&b), b.len) : rc;
    } else if (l->in->len > DV_CONF_FILE_MAX) {
        rc = dv_fail(l->err, DV_ELIMIT, "%s: it is larger than %d bytes", l->file, DV_CONF_FILE_MAX);
    } else {
        rc = read_tree(l, l->in->text, l->in->len);
    }
    if (b.data != NULL)
        explicit_bzero(b.data, b.cap);
    dv_buf_fini(&b);
    return rc;
}
