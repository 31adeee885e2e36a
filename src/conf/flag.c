/* SPDX-License-Identifier: MIT */
/* Values from the command line, which was taken apart by the caller. */
#include "base/word.h"
#include "conf/load.h"

#include <stdio.h>
#include <string.h>

bool dv__conf_find_slot(const char *name, dv__slot *out)
{
    char pattern[160], digits[8];
    uint64_t index = 0;
    size_t at = strcspn(name, "0123456789"), n = strspn(name + at, "0123456789");
    *out = (dv__slot){.o = dv_conf_option_find(name)};
    if (out->o != NULL)
        return out->o->scope == DV_CONF_TOP;
    if (n == 0 || n > 4 || strlen(name) >= sizeof pattern || name[at + n] != '.')
        return false;
    snprintf(digits, sizeof digits, "%.*s", (int)n, name + at);
    snprintf(pattern, sizeof pattern, "%.*s*%s", (int)at, name, name + at + n);
    out->o = dv_conf_option_find(pattern);
    if (out->o == NULL || !dv_word_u64(digits, &index))
        return false;
    out->index = (size_t)index;
    return true;
}

static int unknown(dv__load *l, const dv_conf_flag *f, const dv_conf_source *s)
{
    const char *list[DV_CONF_OPTIONS_MAX];
    size_t n = 0;
    for (size_t i = 0; dv_conf_option_at(i) != NULL && n < DV_ARRAY_LEN(list); i++)
        list[n++] = dv_conf_option_at(i)->name;
    const char *near = dv_word_nearest(f->option, list, n);
    if (near != NULL && strcmp(near, f->option) == 0)
        return dv__conf_fail(l, DV_EINVAL, s, "unknown option '%s': * stands for a number", f->option);
    if (near != NULL)
        return dv__conf_fail(l, DV_EINVAL, s, "unknown option '%s', did you mean '%s'?", f->option, near);
    return dv__conf_fail(l, DV_EINVAL, s, "unknown option '%s'", f->option);
}

static int load_flag(dv__load *l, const dv_conf_flag *f)
{
    dv_conf_source s = {.from = DV_CONF_FROM_FLAG, .name = f->shown};
    dv__slot slot;
    if (!dv__conf_find_slot(f->option, &slot))
        return unknown(l, f, &s);
    if (slot.o->scope != DV_CONF_TOP && slot.index > *dv__conf_count(l, slot.o->scope))
        return dv__conf_fail(l, DV_EINVAL, &s, "there is no element %zu before '%s': they are counted from 0",
                             slot.index - 1, f->option);
    int rc = slot.o->scope != DV_CONF_TOP ? dv__conf_element(l, slot.o->scope, slot.index, &s) : 0;
    if (rc != 0)
        return rc;
    return slot.o->type == DV_CONF_LIST ? dv__conf_add(l, slot, f->text, &s) : dv__conf_set(l, slot, f->text, &s);
}

int dv__conf_load_flags(dv__load *l)
{
    int rc = 0;
    for (size_t i = 0; i < l->in->n_flags && rc == 0; i++)
        rc = load_flag(l, &l->in->flags[i]);
    return rc;
}
