/* SPDX-License-Identifier: MIT */
#include "serve/listing.h"

#include "base/err.h"

#include <string.h>

typedef struct list {
    dv__xchg *x;
    dv__put_model put;
    dv_buf b;
    unsigned n;
} list;

static bool add(void *arg, const dv_model_info *m)
{
    list *l = arg;
    if (!dv__who_may_model(l->x, m->name))
        return true;
    dv_buf_adds(&l->b, l->n++ > 0 ? "," : "");
    l->put(&l->b, l->x, m);
    return true;
}

int dv__reply_models(dv__xchg *x, const char *before, dv__put_model put)
{
    list l = {.x = x, .put = put};
    dv_buf_init(&l.b, 0);
    dv_buf_adds(&l.b, before);
    dv_fleet_models(x->s->fleet, add, &l);
    dv_buf_adds(&l.b, "]}");
    return dv__xchg_json(x, 200, &l.b);
}

int dv__reply_model(dv__xchg *x, dv__put_model put, dv_err *err)
{
    char name[DV__MODEL_NAME];
    list l = {.x = x, .put = put};
    int rc = dv__xchg_param(x, 0, name, sizeof name, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&l.b, 0);
    (void)dv_fleet_model(x->s->fleet, name, add, &l);
    if (l.n > 0)
        return dv__xchg_json(x, 200, &l.b);
    dv_buf_fini(&l.b);
    return dv_fail(err, DV_ENOENT, "the model '%s' does not exist", name);
}

void dv__put_text(dv_buf *b, const char *key, const char *text)
{
    dv_buf_printf(b, ",\"%s\":", key);
    if (text != NULL && text[0] != 0)
        dv_buf_json_str(b, text, strlen(text));
    else
        dv_buf_adds(b, "null");
}

void dv__put_list(dv_buf *b, const char *const *v, size_t n)
{
    dv_buf_addc(b, '[');
    for (size_t i = 0; i < n; i++) {
        dv_buf_adds(b, i > 0 ? "," : "");
        dv_buf_json_str(b, v[i], strlen(v[i]));
    }
    dv_buf_addc(b, ']');
}
