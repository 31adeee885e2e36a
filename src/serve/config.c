/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "serve/exchange.h"

static void config_free(dv__config *c)
{
    dv_conf_close(&c->conf);
    dv_free(c->listens);
    dv_free(c->proxies);
    dv_free(c);
}

/* What requests look up, in the shape that they need. */
static int derive(dv__config *c)
{
    const dv_conf *conf = c->conf;
    const dv_conf_list *hosts = &conf->security.allowed_hosts, *origins = &conf->security.allowed_origins,
                       *proxies = &conf->security.trusted_proxies;
    size_t n = 0;
    c->listens = dv_calloc(DV_MEM_API, conf->n_listeners + 1, sizeof *c->listens);
    c->proxies = dv_calloc(DV_MEM_API, proxies->n + 1, sizeof *c->proxies);
    if (c->listens == NULL || c->proxies == NULL)
        return DV_ENOMEM;
    for (size_t i = 0; i < conf->n_listeners; i++)
        if (conf->listeners[i].address.host != NULL)
            c->listens[n++] = conf->listeners[i].address.host;
    for (size_t i = 0; i < proxies->n; i++)
        c->n_proxies += dv_net_parse(proxies->v[i], &c->proxies[c->n_proxies]);
    c->guard = (dv_guard){.listens = c->listens,
                          .n_listens = n,
                          .hosts = hosts->v,
                          .n_hosts = hosts->n,
                          .origins = origins->v,
                          .n_origins = origins->n};
    c->keyless = dv_conf_loopback_keyless(conf);
    return 0;
}

int dv__config_new(dv__config **out, dv_conf *conf, dv_err *err)
{
    *out = NULL;
    dv__config *c = dv_calloc(DV_MEM_API, 1, sizeof *c);
    if (c == NULL) {
        dv_conf_close(&conf);
        return dv_fail(err, DV_ENOMEM, "configuration: %s", dv_error_text(DV_ENOMEM));
    }
    atomic_init(&c->refs, 1);
    c->conf = conf;
    int rc = derive(c);
    if (rc != 0) {
        config_free(c);
        return dv_fail(err, rc, "configuration: %s", dv_error_text(rc));
    }
    *out = c;
    return 0;
}

dv__config *dv__config_ref(dv__config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed); /* relaxed: the caller holds one already */
    return c;
}

void dv__config_unref(dv__config *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        config_free(c);
}
