/* SPDX-License-Identifier: MIT */
/* Life of the service: opening, signals, reloading, draining. */
#include "serve/serve.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "http/tls.h"
#include "serve/exchange.h"
#include "serve/gate.h"
#include "serve/log.h"
#include "serve/openapi.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { TICK_MS = 100, AUDIT_PROBE_MS = 1000 };

/* ---- options of the parts ---- */

static dv_http_options http_options(dv_serve *s, const dv_conf *c)
{
    dv_http_options o;
    dv_http_options_init(&o);
    o.max_head = (size_t)c->limits.head_bytes;
    o.max_body = (size_t)c->limits.body_bytes;
    o.max_bodies = (size_t)c->limits.bodies_bytes;
    o.max_connections = (unsigned)c->limits.connections;
    o.max_per_address = (unsigned)c->limits.connections_per_address;
    o.head_timeout_ms = (unsigned)c->limits.head_ms;
    o.body_timeout_ms = (unsigned)c->limits.body_ms;
    o.idle_timeout_ms = (unsigned)c->limits.idle_ms;
    o.write_stall_ms = (unsigned)c->limits.stall_ms;
    o.arg = s;
    o.on_head = dv__gate_head;
    o.on_request = dv__gate_request;
    o.on_gone = dv__gate_gone;
    o.on_writable = dv__gate_writable;
    o.on_end = dv__gate_end;
    o.on_refuse = dv__gate_refuse;
    o.log = dv__gate_log;
    return o;
}

static dv_share_options share_options(const dv_conf *c)
{
    return (dv_share_options){.memory_reserve = (uint64_t)c->limits.memory_reserve_bytes,
                              .cpu_load = (unsigned)c->limits.cpu_load};
}

static uint32_t seconds(int64_t ms)
{
    return ms == DV_CONF_FOREVER || ms / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ms / 1000);
}

static void tune_store(dv_serve *s, const dv_conf *c)
{
    const int64_t day_ms = 24 * 3600 * 1000;
    const dv_store_tuning t = {
        .audit_days = c->audit.keep_ms == DV_CONF_FOREVER ? UINT32_MAX : (uint32_t)(c->audit.keep_ms / day_ms),
        .audit_file_bytes = (uint64_t)c->audit.file_bytes,
        .audit_prompts = c->audit.prompts,
        .session_idle_s = seconds(c->security.session_idle_ms),
        .session_max_s = seconds(c->security.session_ms)};
    dv_store_tune(s->o.store, &t);
}

/* ---- opening ---- */

static void fleet_log(void *arg, int level, const char *text)
{
    dv_serve *s = arg;
    dv__log_line(s->log, level, text, NULL, 0);
}

static void fleet_event(void *arg, const char *what, const char *model, int code, const char *detail)
{
    dv__record_event(arg, what, model, code, detail);
}

static int open_parts(dv_serve *s, dv_err *err)
{
    const dv_conf *c = s->cfg->conf;
    dv_http_options ho = http_options(s, c);
    dv_share_options so = share_options(c);
    int rc = dv_http_open(&s->http, &ho, err);
    if (rc == 0)
        rc = dv_client_open(&s->client, s->http, err);
    const dv_rate_options ro = {.http = s->http,
                                .redis_url = c->redis.url,
                                .prefix = c->redis.prefix,
                                .timeout_ms = (unsigned)c->redis.timeout_ms,
                                .refuse_on_failure = c->redis.on_failure == DV_CONF_REDIS_REFUSE,
                                .log = dv__gate_log,
                                .log_arg = s};
    if (rc == 0)
        rc = dv_rate_open(&s->rate, &ro, err);
    if (rc == 0)
        rc = dv_share_open(&s->share, &so, err);
    if (rc == 0)
        rc = dv_work_open(&s->work, DV__WORKERS, DV__BACKLOG, err);
    return rc;
}

static int open_fleet(dv_serve *s, dv_err *err)
{
    const dv_fleet_options fo = {.conf = s->cfg->conf,
                                 .http = s->http,
                                 .client = s->client,
                                 .program = s->o.program,
                                 .run_dir = s->o.run_dir,
                                 .log = fleet_log,
                                 .event = fleet_event,
                                 .arg = s};
    return dv_fleet_open(&s->fleet, &fo, err);
}

static dv_http_tls_options tls_options(dv_serve *s, const dv_conf *c, const dv_conf_listener *l)
{
    return (dv_http_tls_options){.cert_file = l->tls_cert,
                                 .key_file = l->tls_key,
                                 .min_version =
                                     c->tls.min_version == DV_CONF_TLS_1_3 ? DV_HTTP_TLS_1_3 : DV_HTTP_TLS_1_2,
                                 .log = dv__gate_log,
                                 .arg = s};
}

static int listen_at(dv_serve *s, const dv_conf_listener *l, size_t i, dv_err *err)
{
    struct dv__place *p = &s->listeners[i];
    p->api = (dv_conf_api)l->api;
    const dv_http_tls_options to = tls_options(s, s->cfg->conf, l);
    int rc = l->tls_cert != NULL ? dv_http_tls_open(&p->tls, &to, err) : 0;
    if (rc != 0)
        return rc;
    const dv_http_where w = {.host = l->address.host,
                             .port = l->address.port,
                             .path = l->address.path,
                             .mode = 0600,
                             .tag = (int)i,
                             .tls = p->tls};
    return dv_http_listen(s->http, &w, &p->port, err);
}

static int listen_all(dv_serve *s, dv_err *err)
{
    const dv_conf *c = s->cfg->conf;
    s->listeners = dv_calloc(DV_MEM_API, c->n_listeners + 1, sizeof *s->listeners);
    if (s->listeners == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    s->n_listeners = c->n_listeners;
    for (size_t i = 0; i < c->n_listeners; i++) {
        int rc = listen_at(s, &c->listeners[i], i, err);
        if (rc != 0)
            return dv_err_prefix(err, "%s", c->listeners[i].address.text);
    }
    return 0;
}

/* Whoever can be reached by others must ask for keys: some key must exist, or nobody could be told from anybody. */
static int check_exposure(dv_serve *s, dv_err *err)
{
    const dv_conf *c = s->cfg->conf;
    dv_key_list keys;
    size_t live = 0, exposed = 0;
    for (size_t i = 0; i < c->n_listeners; i++)
        exposed += !c->listeners[i].loopback;
    if (exposed == 0 || c->insecure)
        return 0;
    int rc = dv_key_list_get(s->o.store, &keys, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < keys.n; i++)
        live += keys.v[i]->revoked_ms == 0;
    dv_key_list_fini(&keys);
    return live > 0 ? 0
                    : dv_fail(err, DV_EINVAL,
                              "other machines can reach a listener, and there is no API key (drover key create)");
}

/* ---- reloading ---- */

static void reload_tls(dv_serve *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        dv_err err = {0};
        const dv_conf_listener *l = i < s->cfg->conf->n_listeners ? &s->cfg->conf->listeners[i] : NULL;
        if (s->listeners[i].tls == NULL || l == NULL || l->tls_cert == NULL)
            continue;
        const dv_http_tls_options to = tls_options(s, s->cfg->conf, l);
        if (dv_http_tls_reload(s->listeners[i].tls, &to, &err) != 0)
            dv__log_printf(s->log, DV_CONF_LOG_ERROR, "certificate not reloaded, the old one goes on: %s", err.msg);
    }
}

static void apply(dv_serve *s, dv__config *next)
{
    dv__config *old = s->cfg;
    const dv_conf *c = next->conf;
    dv_err err = {0};
    s->cfg = next;
    dv_share_options so = share_options(c);
    dv_share_tune(s->share, &so);
    dv_http_set_max_per_address(s->http, (unsigned)c->limits.connections_per_address);
    tune_store(s, c);
    dv_fleet_configure(s->fleet, c);
    if (dv__log_reopen(s->log, c, &err) != 0)
        dv__log_printf(s->log, DV_CONF_LOG_ERROR, "%s", err.msg);
    reload_tls(s);
    dv__config_unref(old);
}

static void log_changes(dv_serve *s, const dv_conf_changes *changes)
{
    for (size_t i = 0; i < changes->n; i++) {
        const dv_conf_change *c = &changes->v[i];
        dv__log_printf(s->log, c->restart ? DV_CONF_LOG_WARN : DV_CONF_LOG_INFO, "reload: %s: %s -> %s%s", c->name,
                       c->from != NULL ? c->from : "none", c->to != NULL ? c->to : "none",
                       c->restart ? " needs a restart" : "");
    }
}

static void on_hup(void *arg, int signo)
{
    dv_serve *s = arg;
    dv_conf *conf = NULL;
    dv_conf_changes changes = {0};
    dv__config *next;
    dv_err err = {0};
    int rc = s->o.reload != NULL ? s->o.reload(s->o.reload_arg, s->cfg->conf, &conf, &changes, &err) : DV_EUNSUPPORTED;
    if (rc == 0)
        rc = dv__config_new(&next, conf, &err);
    if (rc != 0) {
        dv__log_printf(s->log, DV_CONF_LOG_ERROR, "reload: the old configuration goes on: %s", err.msg);
        dv__record_event(s, "config.reload", NULL, rc, err.msg);
        return;
    }
    log_changes(s, &changes);
    apply(s, next);
    dv__record_event(s, "config.reload", NULL, 0, NULL);
}

/* ---- draining ---- */

static void on_fleet_gone(void *arg)
{
    dv_serve *s = arg;
    s->fleet_gone = true;
}

/* Answers first, then the engines, then the connections. */
static void drain_step(dv_serve *s)
{
    bool late = dv_clock_ns() >= s->drain_end_ns;
    if (!s->fleet_draining && (s->n_active == 0 || late)) {
        s->fleet_draining = true;
        dv_fleet_drain(s->fleet, on_fleet_gone, s);
    }
    if (s->fleet_gone && !s->stopping) {
        s->stopping = true;
        dv_http_drain(s->http, late ? 0 : 1000);
    }
}

static void on_term(void *arg, int signo)
{
    dv_serve *s = arg;
    uint64_t now = dv_clock_ns();
    if (s->draining) { /* the second one */
        s->drain_end_ns = now;
        dv__log_printf(s->log, DV_CONF_LOG_WARN, "stopping at once");
    } else {
        s->draining = true;
        s->drain_end_ns = now + (uint64_t)s->cfg->conf->drain_ms * 1000000u;
        dv__log_printf(s->log, DV_CONF_LOG_INFO, "draining: %u requests run", s->n_active);
    }
    drain_step(s);
}

/* While the audit log takes nothing, see whether it does again. */
static void probe_audit(dv_serve *s)
{
    dv_store_health h;
    if (!s->audit_blocked)
        return;
    dv_store_health_get(s->o.store, &h);
    s->audit_blocked = h.code != 0 && h.audit_queue > 0;
}

static void on_tick(void *arg)
{
    dv_serve *s = arg;
    if (++s->ticks % (AUDIT_PROBE_MS / TICK_MS) == 0)
        probe_audit(s);
    if (s->draining)
        drain_step(s);
}

/* ---- life ---- */

static int open_all(dv_serve *s, dv_err *err)
{
    int rc = dv__log_open(&s->log, s->cfg->conf, err);
    if (rc == 0)
        rc = check_exposure(s, err);
    if (rc == 0 && (rc = dv__openapi_write(&s->document, DV_VERSION)) != 0)
        dv_fail(err, rc, "%s", dv_error_text(rc));
    if (rc == 0)
        rc = open_parts(s, err);
    if (rc == 0)
        rc = listen_all(s, err);
    if (rc == 0)
        rc = open_fleet(s, err);
    if (rc == 0 &&
        (dv_http_on_signal(s->http, SIGTERM, on_term, s) != 0 || dv_http_on_signal(s->http, SIGINT, on_term, s) != 0 ||
         dv_http_on_signal(s->http, SIGHUP, on_hup, s) != 0 || dv_http_timer(s->http, TICK_MS, on_tick, s) != 0))
        rc = dv_fail(err, DV_EIO, "no event loop");
    return rc;
}

int dv_serve_open(dv_serve **out, const dv_serve_options *o, dv_err *err)
{
    *out = NULL;
    dv_serve *s = dv_calloc(DV_MEM_API, 1, sizeof *s);
    if (s == NULL) {
        dv_conf *conf = o->conf;
        dv_conf_close(&conf);
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    }
    s->o = *o;
    s->o.conf = NULL;
    s->started_ms = dv_clock_wall_ms();
    dv_buf_init(&s->document, 0);
    int rc = dv__config_new(&s->cfg, o->conf, err);
    if (rc == 0)
        rc = open_all(s, err);
    if (rc != 0) {
        dv_serve_close(&s);
        return rc;
    }
    tune_store(s, s->cfg->conf);
    *out = s;
    return 0;
}

int dv_serve_run(dv_serve *s)
{
    dv__record_event(s, "serve.start", NULL, 0, DV_VERSION);
    int rc = dv_http_run(s->http);
    dv__record_event(s, "serve.stop", NULL, rc, NULL);
    return rc;
}

void dv_serve_close(dv_serve **serve)
{
    dv_serve *s = *serve;
    if (s == NULL)
        return;
    *serve = NULL;
    dv_work_close(&s->work);
    if (s->http != NULL)
        dv_http_finish(
            s->http); /* what workers have posted, and exchanges that are left, while everything they use is there */
    dv_fleet_close(&s->fleet);
    dv_client_close(&s->client);
    dv_rate_close(&s->rate);
    dv_http_close(&s->http);
    dv_share_close(&s->share);
    for (size_t i = 0; i < s->n_listeners; i++)
        dv_http_tls_close(&s->listeners[i].tls);
    dv_free(s->listeners);
    dv_buf_fini(&s->document);
    dv__config_unref(s->cfg);
    dv__log_close(&s->log);
    dv_free(s);
}

int dv_serve_addresses(dv_buf *b, const dv_serve *s)
{
    static const char *const names[DV_CONF_API_N] = {"OpenAI, Anthropic, llama-server", "app", "WebSocket", "Chroma",
                                                     "Ollama"};
    const dv_conf *c = s->cfg->conf;
    for (size_t i = 0; i < c->n_listeners && i < s->n_listeners; i++) {
        const dv_conf_address *a = &c->listeners[i].address;
        bool v6 = a->host != NULL && strchr(a->host, ':') != NULL;
        if (a->host == NULL)
            dv_buf_printf(b, "unix:%s", a->path);
        else
            dv_buf_printf(b, "%s://%s%s%s:%u", s->listeners[i].tls != NULL ? "https" : "http", v6 ? "[" : "", a->host,
                          v6 ? "]" : "", s->listeners[i].port);
        dv_buf_printf(b, " (%s)\n", names[c->listeners[i].api]);
    }
    return b->code;
}
