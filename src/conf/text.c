/* SPDX-License-Identifier: MIT */
/* Values and their sources for people. */
#include "conf/load.h"

#include <string.h>

static const char *word_at(const char *words, int index, size_t *n)
{
    for (; index > 0; index--)
        words += strcspn(words, "|") + 1;
    *n = strcspn(words, "|");
    return words;
}

static void list_text(dv_buf *b, const dv_conf_option *o, const dv_conf_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (i > 0)
            dv_buf_addc(b, o->sep);
        dv_buf_adds(b, list->v[i]);
    }
}

int dv_conf_value_text(dv_buf *b, const dv_conf_option *o, const void *object)
{
    const void *field = (const char *)object + o->offset;
    const char *text;
    size_t n;
    switch (o->type) {
    case DV_CONF_BOOL: return dv_buf_adds(b, *(const bool *)field ? "true" : "false");
    case DV_CONF_INT:
    case DV_CONF_SIZE:
    case DV_CONF_DURATION: dv__conf_number_text(b, o, *(const int64_t *)field); break;
    case DV_CONF_NUM: return dv_buf_printf(b, "%.15g", *(const double *)field);
    case DV_CONF_STRING:
    case DV_CONF_PATH:
        text = *(const char *const *)field;
        return dv_buf_adds(b, text == NULL ? "" : o->secret ? "***" : text);
    case DV_CONF_ENUM: text = word_at(o->words, *(const int *)field, &n); return dv_buf_add(b, text, n);
    case DV_CONF_LIST: list_text(b, o, field); break;
    case DV_CONF_ADDRESS: return dv_buf_adds(b, ((const dv_conf_address *)field)->text);
    case DV_CONF_TYPE_N: break;
    }
    return b->code;
}

int dv_conf_source_text(dv_buf *b, const dv_conf_source *s)
{
    switch (s->from) {
    case DV_CONF_FROM_FILE: return dv_buf_printf(b, "%s:%u:%u", s->name, (unsigned)s->line, (unsigned)s->column);
    case DV_CONF_FROM_PROFILE: return dv_buf_printf(b, "profile %s", s->name);
    case DV_CONF_FROM_ENV:
    case DV_CONF_FROM_FLAG: return dv_buf_adds(b, s->name);
    default: return dv_buf_adds(b, "default");
    }
}
