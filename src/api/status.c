/* SPDX-License-Identifier: MIT */
/* GET /health and /metrics. */
#include "api/reply.h"
#include "api/route.h"
#include "base/err.h"
#include "base/mem.h"

#include <string.h>

static int get_health(dv__call *c, dv_err *err)
{
    static const char ok[] = "{\"status\":\"ok\"}";
    if (atomic_load_explicit(&c->api->draining, memory_order_relaxed))
        return dv_fail(err, DV_EBUSY, "the server is shutting down");
    (void)dv_http_reply(c->req, 200, "application/json; charset=utf-8", ok, sizeof ok - 1);
    return 0;
}

/* ---- Prometheus text format, version 0.0.4. Names and labels are ours: nothing of a request gets in. ---- */

static void put_head(dv_buf *b, const char *name, const char *type, const char *help)
{
    dv_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put(dv_buf *b, const char *name, const char *type, const char *help, double v)
{
    put_head(b, name, type, help);
    dv_buf_printf(b, "%s ", name);
    dv_buf_json_num(b, v);
    dv_buf_addc(b, '\n');
}

static double per(double n, double d) { return d > 0 ? n / d : 0; }

/* The names that llama-server's users have in their dashboards. */
static void put_llama(dv_buf *b, const dv_sched_stats *s)
{
    double computed = (double)s->n_prompt_computed, predicted = (double)s->n_predicted_tokens;
    put(b, "llamacpp:prompt_tokens_total", "counter", "Prompt tokens computed", computed);
    put(b, "llamacpp:prompt_seconds_total", "counter", "Time spent on prompts", s->prompt_seconds);
    put(b, "llamacpp:tokens_predicted_total", "counter", "Tokens generated", predicted);
    put(b, "llamacpp:tokens_predicted_seconds_total", "counter", "Time spent on generating", s->predicted_seconds);
    put(b, "llamacpp:n_decode_total", "counter", "Steps of the model", (double)s->n_steps);
    put(b, "llamacpp:n_busy_slots_per_decode", "gauge", "Mean number of tokens in a step",
        per((double)s->n_step_tokens, (double)s->n_steps));
    put(b, "llamacpp:prompt_tokens_seconds", "gauge", "Prompt tokens per second", per(computed, s->prompt_seconds));
    put(b, "llamacpp:predicted_tokens_seconds", "gauge", "Generated tokens per second",
        per(predicted, s->predicted_seconds));
    put(b, "llamacpp:kv_cache_usage_ratio", "gauge", "Part of the KV pages in use",
        per((double)s->kv_pages_used, (double)s->kv_pages_max));
    put(b, "llamacpp:requests_processing", "gauge", "Requests running", s->n_running);
    put(b, "llamacpp:requests_deferred", "gauge", "Requests waiting", s->n_queued);
}

static void put_jobs(dv_buf *b, const dv_sched_stats *s)
{
    put(b, "drover_slots", "gauge", "Sequences at once", s->n_slots);
    put(b, "drover_queue_limit", "gauge", "Requests that may wait", s->n_queue_max);
    put(b, "drover_jobs_total", "counter", "Jobs taken", (double)s->n_jobs);
    put(b, "drover_jobs_done_total", "counter", "Jobs completed", (double)s->n_done);
    put(b, "drover_jobs_canceled_total", "counter", "Jobs whose client left", (double)s->n_canceled);
    put(b, "drover_jobs_failed_total", "counter", "Jobs that failed", (double)s->n_failed);
    put(b, "drover_jobs_refused_total", "counter", "Jobs refused because the queue was full", (double)s->n_refused);
    put(b, "drover_prompt_tokens_total", "counter", "Prompt tokens, cached ones too", (double)s->n_prompt_tokens);
    put(b, "drover_cached_tokens_total", "counter", "Prompt tokens taken from the prefix cache",
        (double)s->n_cached_tokens);
    put(b, "drover_drafted_tokens_total", "counter", "Tokens guessed by speculation", (double)s->n_drafted);
    put(b, "drover_accepted_tokens_total", "counter", "Guessed tokens that were right", (double)s->n_accepted);
    put(b, "drover_preempted_total", "counter", "Sequences set aside for lack of pages", (double)s->n_preempted);
    put(b, "drover_kv_pages", "gauge", "KV pages there are", (double)s->kv_pages_max);
    put(b, "drover_kv_pages_used", "gauge", "KV pages in use", (double)s->kv_pages_used);
    put(b, "drover_kv_pages_cached", "gauge", "KV pages kept for prefixes", (double)s->kv_pages_cached);
    put(b, "drover_kv_page_bytes", "gauge", "Bytes of a KV page", (double)s->kv_page_bytes);
    put(b, "drover_snapshot_hits_total", "counter", "Prefixes found on disk", (double)s->n_snapshot_hits);
    put(b, "drover_snapshot_writes_total", "counter", "Prefixes written to disk", (double)s->n_snapshot_writes);
    put(b, "drover_snapshot_rejects_total", "counter", "Prefix files that were damaged or foreign",
        (double)s->n_snapshot_rejects);
}

static void put_http(dv_buf *b, const dv_api *api)
{
    const dv__counters *n = &api->count;
    put(b, "drover_http_connections", "gauge", "Connections open", dv_http_connections(api->http));
    put(b, "drover_http_refused_total", "counter", "Requests refused because of load or draining",
        (double)atomic_load(&n->refused));
    put_head(b, "drover_http_requests_total", "counter",
             "Requests by the first digit of their status; 0: the client left before");
    for (int i = 0; i <= 5; i++)
        dv_buf_printf(b, "drover_http_requests_total{class=\"%d\"} %llu\n", i, atomic_load(&n->status[i]));
}

static void put_memory(dv_buf *b)
{
    put_head(b, "drover_memory_bytes", "gauge", "Anonymous memory by what it is for");
    for (int i = 0; i < DV_MEM_CAT_N; i++)
        dv_buf_printf(b, "drover_memory_bytes{category=\"%s\"} %zu\n", dv_mem_name((dv_mem_cat)i),
                      dv_mem_used((dv_mem_cat)i));
}

static int get_metrics(dv__call *c, dv_err *err)
{
    dv_sched_stats st;
    dv_buf b;
    if (!c->api->o.metrics)
        return dv_fail(err, DV_EUNSUPPORTED, "this server has no metrics: start it with --metrics");
    dv_sched_get_stats(c->api->sched, &st, NULL);
    dv_buf_init(&b, 0);
    put_llama(&b, &st);
    put_jobs(&b, &st);
    put_http(&b, c->api);
    put_memory(&b);
    int rc = b.code;
    if (rc == 0)
        (void)dv_http_reply(c->req, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
    dv_buf_fini(&b);
    return rc;
}

static const dv__route routes[] = {
    {DV_HTTP_GET, "/v1/health", DV__ROUTE_PUBLIC | DV__ROUTE_INLINE | DV__ROUTE_BARE | DV__ROUTE_ALWAYS,
     DV_STYLE_OPENAI, get_health},
    {DV_HTTP_GET, "/metrics", DV__ROUTE_INLINE | DV__ROUTE_ALWAYS, DV_STYLE_OPENAI, get_metrics},
};
const dv__routes dv__routes_status = {routes, DV_ARRAY_LEN(routes)};
