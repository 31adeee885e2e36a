/* SPDX-License-Identifier: MIT */
#include "serve/metrics.h"

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <ctype.h>
#include <string.h>

enum { MAX_ENGINES = 64, MAX_TEXT = 1 << 20, ENGINE_MS = 1000 };

/* One engine that is asked. */
typedef struct engine {
    struct gather *all;
    dv_use *use;
    dv_fetch *fetch;
    char model[DV__MODEL_NAME];
    dv_buf text;
    dv_use_ask ask;
    bool done;
} engine;

typedef struct gather {
    dv__xchg *x;
    unsigned n, left;
    engine e[];
} gather;

/* ---- merging ---- */

static bool name_char(char c) { return isalnum((unsigned char)c) || c == '_' || c == ':'; }

static void put_label(dv_buf *b, const char *s)
{
    for (; *s != 0; s++) {
        if (*s == '\n')
            dv_buf_adds(b, "\\n");
        else if (*s == '\\' || *s == '"')
            dv_buf_printf(b, "\\%c", *s);
        else
            dv_buf_addc(b, *s);
    }
}

/* name{a="b"} 1  ->  name{a="b",model="m"} 1 */
static void put_sample(dv_buf *b, const char *s, size_t n, const char *model)
{
    size_t i = 0;
    while (i < n && name_char(s[i]))
        i++;
    if (i == 0 || i == n || (s[i] != ' ' && s[i] != '{'))
        return;
    const char *close = s[i] == '{' ? memrchr(s, '}', n) : NULL;
    if (s[i] == '{' && close == NULL)
        return;
    size_t head = close != NULL ? (size_t)(close - s) : i, rest = close != NULL ? head + 1 : i;
    dv_buf_add(b, s, head);
    dv_buf_adds(b, close == NULL ? "{" : s[head - 1] == '{' ? "" : ",");
    dv_buf_adds(b, "model=\"");
    put_label(b, model);
    dv_buf_adds(b, "\"}");
    dv_buf_add(b, s + rest, n - rest);
    dv_buf_addc(b, '\n');
}

/* "# HELP name ...": once for all engines. */
static void put_comment(dv_buf *b, dv_buf *seen, const char *s, size_t n)
{
    char line[256];
    if (n < 7 || n >= sizeof line - 2 || (memcmp(s, "# HELP ", 7) != 0 && memcmp(s, "# TYPE ", 7) != 0))
        return;
    size_t len = 7;
    while (len < n && name_char(s[len]))
        len++;
    memcpy(line, s, len);
    line[len] = '\n';
    line[len + 1] = 0;
    if (strstr(dv_buf_str(seen), line) != NULL)
        return;
    dv_buf_adds(seen, line);
    dv_buf_add(b, s, n);
    dv_buf_addc(b, '\n');
}

int dv__metrics_merge(dv_buf *b, dv_buf *seen, const char *text, size_t n, const char *model)
{
    for (const char *end = text + n; text < end;) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t len = (size_t)((nl != NULL ? nl : end) - text);
        if (len > 0 && dv_utf8_valid(text, len)) {
            if (text[0] == '#')
                put_comment(b, seen, text, len);
            else
                put_sample(b, text, len, model);
        }
        text += len + 1;
    }
    return b->code;
}

/* ---- the service's own ---- */

static void put(dv_buf *b, const char *name, const char *type, const char *help, double v)
{
    dv_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
    dv_buf_json_num(b, v);
    dv_buf_addc(b, '\n');
}

static double total(const atomic_ullong *v) { return (double)atomic_load_explicit(v, memory_order_relaxed); }

static void put_service(dv_buf *b, dv_serve *s)
{
    static const char *const classes[] = {"gone", "1xx", "2xx", "3xx", "4xx", "5xx"};
    dv_fleet_stats f;
    dv_store_health db;
    dv_fleet_stats_get(s->fleet, &f);
    dv_store_health_get(s->o.store, &db);
    dv_buf_adds(
        b,
        "# HELP drover_service_replies_total Replies by class of status\n# TYPE drover_service_replies_total counter\n");
    for (size_t i = 0; i < DV_ARRAY_LEN(classes); i++)
        dv_buf_printf(b, "drover_service_replies_total{class=\"%s\"} %.0f\n", classes[i], total(&s->totals.status[i]));
    put(b, "drover_service_limited_total", "counter", "Requests refused by a limit", total(&s->totals.limited));
    put(b, "drover_service_retried_total", "counter", "Requests tried again on a new engine",
        total(&s->totals.retried));
    put(b, "drover_service_prompt_tokens_total", "counter", "Tokens of prompts", total(&s->totals.tokens_in));
    put(b, "drover_service_answer_tokens_total", "counter", "Tokens of answers", total(&s->totals.tokens_out));
    put(b, "drover_service_connections", "gauge", "Open connections", dv_http_connections(s->http));
    put(b, "drover_service_requests_running", "gauge", "Requests that run or wait", dv_share_total(s->share));
    put(b, "drover_service_models", "gauge", "Models", f.models);
    put(b, "drover_service_engines_ready", "gauge", "Instances that are ready", f.ready);
    put(b, "drover_service_engines_broken", "gauge", "Instances that do not start", f.broken);
    put(b, "drover_service_residency_bytes", "gauge", "Estimated memory of instances", (double)f.used_bytes);
    put(b, "drover_service_residency_budget_bytes", "gauge", "Memory that they may take", (double)f.budget_bytes);
    put(b, "drover_service_audit_queue", "gauge", "Audit rows that wait for the disk", (double)db.audit_queue);
    put(b, "drover_service_audit_refused_total", "counter", "Audit rows that were refused",
        total(&s->totals.audit_refused));
    put(b, "drover_service_uptime_seconds", "gauge", "Time since the start",
        (double)(dv_clock_wall_ms() - s->started_ms) / 1000);
}

/* ---- asking the engines ---- */

static void gather_free(gather *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        dv_fetch_cancel(&g->e[i].fetch);
        dv_use_release(&g->e[i].use, DV_USE_OK);
        dv_buf_fini(&g->e[i].text);
    }
    dv_free(g);
}

static void on_stop(dv__xchg *x)
{
    gather_free(x->waiting);
    x->waiting = NULL;
}

static void answer(gather *g)
{
    dv__xchg *x = g->x;
    dv_buf b, seen;
    dv_buf_init(&b, 0);
    dv_buf_init(&seen, 0);
    put_service(&b, x->s);
    for (unsigned i = 0; i < g->n; i++)
        if (g->e[i].text.code == 0 && g->e[i].text.len > 0)
            dv__metrics_merge(&b, &seen, g->e[i].text.data, g->e[i].text.len, g->e[i].model);
    x->stop = NULL;
    x->waiting = NULL;
    gather_free(g);
    dv_buf_fini(&seen);
    dv__xchg_headers(x);
    if (b.code == 0)
        (void)dv_http_reply(x->req, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
    else
        (void)dv_http_reply(x->req, 500, NULL, NULL, 0);
    dv_buf_fini(&b);
}

static void engine_done(engine *e)
{
    gather *g = e->all;
    e->done = true;
    if (--g->left == 0)
        answer(g);
}

static size_t on_data(void *arg, dv_fetch *f, const char *p, size_t n)
{
    engine *e = arg;
    return dv_buf_add(&e->text, p, n) == 0 ? n : SIZE_MAX;
}

static void on_end(void *arg, dv_fetch *f, dv_fetch_end end, const char *why)
{
    engine *e = arg;
    if (end != DV_FETCH_OK || dv_fetch_status(f) != 200)
        dv_buf_clear(&e->text);
    e->fetch = NULL;
    dv_use_release(&e->use, DV_USE_OK);
    engine_done(e);
}

static void on_ready(void *arg, int code, const dv_err *err)
{
    engine *e = arg;
    const dv_fetch_request rq = {.verb = DV_HTTP_GET,
                                 .path = "/metrics",
                                 .head_ms = ENGINE_MS,
                                 .silence_ms = ENGINE_MS,
                                 .arg = e,
                                 .on_data = on_data,
                                 .on_end = on_end};
    dv_err ignored = {0};
    bool ask = code == 0 && dv_use_backend(e->use) != DV_CONF_BACKEND_REMOTE;
    if (ask && dv_fetch_start(e->all->x->s->client, dv_use_target(e->use), &rq, &e->fetch, &ignored) == 0)
        return;
    dv_use_release(&e->use, DV_USE_OK);
    engine_done(e);
}

static bool add_engine(void *arg, const dv_instance_info *i)
{
    gather *g = arg;
    if (i->state != DV_INSTANCE_READY || i->backend == DV_CONF_BACKEND_REMOTE || g->n == MAX_ENGINES)
        return true;
    engine *e = &g->e[g->n++];
    e->all = g;
    strncpy(e->model, i->model, sizeof e->model - 1);
    dv_buf_init(&e->text, MAX_TEXT);
    e->ask = (dv_use_ask){.model = e->model, .profile = i->profile, .no_load = true, .arg = e, .ready = on_ready};
    return true;
}

int dv__metrics(dv__xchg *x, dv_err *err)
{
    if (!x->cfg->conf->metrics.enabled)
        return dv_fail(err, DV_EUNSUPPORTED, "metrics are off (metrics.enabled)");
    gather *g = dv_calloc(DV_MEM_API, 1, sizeof *g + MAX_ENGINES * sizeof g->e[0]);
    if (g == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    g->x = x;
    dv_fleet_instances(x->s->fleet, add_engine, g);
    x->waiting = g;
    x->stop = on_stop;
    g->left = g->n + 1; /* one for ourselves, so that no answer goes out before all are asked */
    for (unsigned i = 0; i < g->n; i++) {
        dv_err ignored = {0};
        if (dv_use_begin(x->s->fleet, &g->e[i].ask, &g->e[i].use, &ignored) != 0)
            g->left--;
    }
    if (--g->left == 0)
        answer(g);
    return 0;
}
