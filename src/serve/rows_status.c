/* SPDX-License-Identifier: MIT */
/* Whether the service lives, is ready, and what it stands on: the only routes that strangers may ask. They tell no names and no paths. */
#include "base/attr.h"
#include "base/clock.h"
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <string.h>

static bool is_ready(const dv_serve *s, const dv_store_health *db) { return !s->draining && db->readable; }

static void put_check(dv_buf *b, const char *name, bool ok, uint64_t latency_us, const char *why)
{
    dv_buf_printf(b, "%s\"%s\":{\"ok\":%s,\"latency_us\":%" PRIu64, b->data[b->len - 1] == '{' ? "" : ",", name,
                  ok ? "true" : "false", latency_us);
    if (why != NULL && why[0] != 0) {
        dv_buf_adds(b, ",\"detail\":");
        dv_buf_json_str(b, why, strlen(why));
    }
    dv_buf_addc(b, '}');
}

static const char *store_text(int code)
{
    switch (code) {
    case 0: return NULL;
    case DV_ENOSPC: return "the disk is full: reading works";
    case DV_EBUSY: return "another program holds the database";
    default: return "writing fails";
    }
}

typedef struct engines {
    unsigned ready, starting, broken;
    uint64_t slowest_us;
} engines;

static bool count_engine(void *arg, const dv_instance_info *i)
{
    engines *e = arg;
    e->ready += i->state == DV_INSTANCE_READY;
    e->starting += i->state == DV_INSTANCE_STARTING;
    e->broken += i->state == DV_INSTANCE_BROKEN || i->state == DV_INSTANCE_WAITING;
    e->slowest_us = DV_MAX(e->slowest_us, i->health_us);
    return true;
}

static void put_engines(dv_buf *b, dv_serve *s)
{
    engines e = {0};
    dv_fleet_instances(s->fleet, count_engine, &e);
    dv_buf_printf(b, ",\"engines\":{\"ok\":%s,\"latency_us\":%" PRIu64 ",\"ready\":%u,\"starting\":%u,\"failing\":%u}",
                  e.broken == 0 ? "true" : "false", e.slowest_us, e.ready, e.starting, e.broken);
}

static int get_api_health(dv__xchg *x, dv_err *err)
{
    dv_serve *s = x->s;
    dv_store_health db;
    dv_rate_health rate;
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_store_health_get(s->o.store, &db);
    dv_rate_health_get(s->rate, &rate);
    bool ready = is_ready(s, &db);
    dv_buf_printf(
        &b, "{\"status\":\"%s\",\"live\":true,\"ready\":%s,\"version\":\"%s\",\"uptime_ms\":%" PRIu64 ",\"checks\":{",
        !ready                             ? "unavailable"
        : db.code != 0 || s->audit_blocked ? "degraded"
                                           : "ok",
        ready ? "true" : "false", DV_VERSION, dv_clock_wall_ms() - s->started_ms);
    put_check(&b, "database", db.readable && db.code == 0, db.read_us,
              db.readable ? store_text(db.code) : "it cannot be read");
    put_check(&b, "audit_log", !s->audit_blocked, 0, s->audit_blocked ? "rows wait and no more are taken" : NULL);
    if (rate.shared)
        put_check(&b, "redis", rate.ok, rate.latency_us, rate.ok ? NULL : "it does not answer");
    put_engines(&b, s);
    dv_buf_adds(&b, "}}");
    return dv__xchg_json(x, ready ? 200 : 503, &b);
}

static int get_live(dv__xchg *x, dv_err *err)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"status\":\"ok\"}");
    return dv__xchg_json(x, 200, &b);
}

/* As llama-server says it: 200 as long as requests are taken. */
static int get_health(dv__xchg *x, dv_err *err)
{
    if (!x->s->draining)
        return get_live(x, err);
    dv_problem p = {.status = 503, .text = "the server is shutting down", .retry_after = DV_PROBLEM_RETRY_S};
    dv__xchg_problem(x, &p);
    return 0;
}

/* Made once: it is the same for everybody, and anybody may ask for it. */
static int get_openapi(dv__xchg *x, dv_err *err)
{
    dv__xchg_headers(x);
    int rc = dv_http_reply(x->req, 200, "application/json; charset=utf-8", x->s->document.data, x->s->document.len);
    return rc == DV_ECANCELED ? 0 : rc;
}

#define OPEN .flags = DV__ROW_PUBLIC | DV__ROW_ALWAYS, .group = DV__GROUP_STATUS

static const dv__row rows[] = {
    {DV_HTTP_GET, "/health", DV_CONF_API_OPENAI, OPEN, .handle = get_health,
     .summary = "Whether requests are taken, as llama-server", .reply = "Status"},
    {DV_HTTP_GET, "/v1/health", DV_CONF_API_OPENAI, OPEN, .handle = get_health, .summary = "The same",
     .reply = "Status"},
    {DV_HTTP_GET, "/api/health", DV_CONF_API_APP, OPEN, .handle = get_api_health,
     .summary = "Liveness, readiness, and what the service stands on", .reply = "Health"},
    {DV_HTTP_GET, "/api/health/live", DV_CONF_API_APP, OPEN, .handle = get_live,
     .summary = "Liveness: the process answers", .reply = "Status"},
    {DV_HTTP_GET, "/api/health/ready", DV_CONF_API_APP, OPEN, .handle = get_api_health,
     .summary = "Readiness: 503 while it cannot serve", .reply = "Health"},
    {DV_HTTP_GET, "/api/openapi.json", DV_CONF_API_APP, .flags = DV__ROW_PUBLIC | DV__ROW_ALWAYS,
     .group = DV__GROUP_APP, .handle = get_openapi, .summary = "This document", .reply = "OpenApi"},
    {DV_HTTP_GET, "/metrics", DV_CONF_API_OPENAI, .group = DV__GROUP_METRICS, .flags = DV__ROW_ALWAYS,
     .handle = dv__metrics, .summary = "Prometheus metrics of service and engines", .reply = "Metrics",
     .type = "text/plain"},
};

const dv__rows dv__rows_status = {rows, DV_ARRAY_LEN(rows)};
