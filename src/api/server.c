/* SPDX-License-Identifier: MIT */
#include "api/server.h"

#include "api/auth.h"
#include "api/run.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/work.h"
#include "web/guard.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    TICK_MIN_MS = 20,
    TICK_MAX_MS = 200,
    CUT_MS = 2000,
    GRAMMARS = 64,
    GRAMMAR_BYTES = 16 << 20,
    TRIM_BYTES = 1 << 20
};

/* ---- heads ---- */

static void refuse(dv_http_req *req, dv_style shape, int status, const char *type, const char *text)
{
    dv_problem p = {.status = status, .type = type, .text = text, .retry_after = status == 503};
    dv_problem_reply(req, shape, &p);
}

static void refuse_busy(dv_api *api, dv_http_req *req, dv_style shape, const char *text)
{
    atomic_fetch_add_explicit(&api->count.refused, 1, memory_order_relaxed);
    refuse(req, shape, 503, NULL, text);
}

dv_guard dv__api_guard(const dv_api_options *o)
{
    return (dv_guard){.listens = &o->host,
                      .n_listens = o->host != NULL,
                      .hosts = o->hosts,
                      .n_hosts = o->n_hosts,
                      .origins = o->origins,
                      .n_origins = o->n_origins};
}

/* Host and Origin; true if the request may go on. A unix socket has file permissions, and browsers cannot reach it. */
static bool pass_browser_checks(dv_api *api, dv_http_req *req)
{
    const char *host = dv_http_header(req, "Host"), *origin = dv_http_header(req, "Origin");
    const dv_guard guard = dv__api_guard(&api->o);
    if (dv_http_is_unix(req))
        return true;
    if (!dv_guard_host(&guard, host)) {
        refuse(req, DV_STYLE_OPENAI, 403, NULL, "this Host is not served (--allow-host allows another)");
        return false;
    }
    if (origin == NULL)
        return true;
    if (!dv_guard_origin(&guard, origin, host, false)) {
        refuse(req, DV_STYLE_OPENAI, 403, NULL, "pages of this Origin may not call (--allow-origin allows them)");
        return false;
    }
    (void)dv_http_add_header(req, "Access-Control-Allow-Origin", origin);
    (void)dv_http_add_header(req, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
    (void)dv_http_add_header(req, "Vary", "Origin");
    return true;
}

/* OPTIONS, also a browser's question before a call (Fetch, CORS preflight): it carries no key. */
static void answer_options(dv_http_req *req, const char *allow)
{
    char methods[96];
    snprintf(methods, sizeof methods, "%s%sOPTIONS", allow, allow[0] != 0 ? ", " : "");
    (void)dv_http_add_header(req, "Allow", methods);
    if (dv_http_header(req, "Origin") != NULL) {
        const char *asked = dv_http_header(req, "Access-Control-Request-Headers");
        (void)dv_http_add_header(req, "Access-Control-Allow-Methods", methods);
        (void)dv_http_add_header(req, "Access-Control-Allow-Headers",
                                 asked != NULL ? asked : "Authorization, Content-Type, X-Api-Key");
        (void)dv_http_add_header(req, "Access-Control-Max-Age", "600");
    }
    (void)dv_http_reply(req, 204, NULL, NULL, 0);
}

/* Another method than the path has, or no such path. */
static void refuse_route(dv_http_req *req, const char *allow)
{
    if (allow[0] == 0) {
        refuse(req, DV_STYLE_OPENAI, 404, NULL, "File Not Found");
        return;
    }
    (void)dv_http_add_header(req, "Allow", allow);
    refuse(req, DV_STYLE_OPENAI, 405, NULL, "this path does not have this method");
}

/* Load is refused before the body is read: under load that is what keeps the answer quick. */
static bool pass_load(dv_api *api, dv_http_req *req, const dv__route *route)
{
    if (atomic_load_explicit(&api->draining, memory_order_relaxed) && (route->flags & DV__ROUTE_ALWAYS) == 0) {
        refuse_busy(api, req, route->style, "the server is shutting down");
        return false;
    }
    if ((route->flags & DV__ROUTE_JOB) == 0)
        return true;
    dv_sched_stats st;
    dv_sched_get_stats(api->sched, &st, NULL);
    if (st.n_queued < st.n_queue_max)
        return true;
    refuse_busy(api, req, route->style, "the queue is full, try again later");
    return false;
}

/* A body that would have to be unpacked could become any size. */
static bool pass_encoding(dv_http_req *req, const dv__route *route)
{
    const char *coding = dv_http_header(req, "Content-Encoding");
    if (coding == NULL || strcasecmp(coding, "identity") == 0)
        return true;
    refuse(req, route->style, 415, NULL, "Content-Encoding: compressed bodies are not taken");
    return false;
}

static void on_head(void *arg, dv_http_req *req)
{
    dv_api *api = arg;
    char allow[64];
    const char *tail = "";
    if (!pass_browser_checks(api, req))
        return;
    const dv__route *route = dv__route_find(dv_http_method(req), dv_http_path(req), allow, &tail);
    if (dv_http_method(req) == DV_HTTP_OPTIONS) {
        answer_options(req, allow);
        return;
    }
    bool open = route != NULL && (route->flags & DV__ROUTE_PUBLIC) != 0;
    const char *key = dv_http_header(req, "Authorization");
    if (!open && !dv__auth_key(&api->o, key, dv_http_header(req, "X-Api-Key"))) {
        (void)dv_http_add_header(req, "WWW-Authenticate", "Bearer");
        refuse(req, route != NULL ? route->style : DV_STYLE_OPENAI, 401, NULL, "Invalid API Key");
        return;
    }
    /* Acquire: what dv_api_serve has set up is seen by this thread, and by those that it hands requests to. */
    if (!atomic_load_explicit(&api->ready, memory_order_acquire)) {
        refuse(req, route != NULL ? route->style : DV_STYLE_OPENAI, 503, NULL, "Loading model");
        return;
    }
    if (route == NULL) {
        refuse_route(req, allow);
        return;
    }
    if (pass_encoding(req, route) && pass_load(api, req, route) && dv__call_new(api, req, route, tail) == NULL)
        refuse(req, route->style, 503, NULL, dv_error_text(DV_ENOMEM));
}

/* ---- requests ---- */

static void handle(dv__call *c)
{
    dv_err err = {0};
    int rc = 0;
    if ((c->route->flags & DV__ROUTE_JSON) != 0)
        rc = dv__call_parse(c, &err);
    if (rc == 0)
        rc = c->route->handle(c, &err);
    if (rc == 0)
        return;
    if (err.code == 0)
        dv_fail(&err, rc, "%s", dv__call_text(rc));
    dv__call_fail(c, &err);
}

static void work(void *arg)
{
    dv__call *c = arg;
    dv_http_req *req = c->req;
    size_t n;
    (void)dv_http_body(req, &n);
    if (!dv_http_gone(req))
        handle(c);
    dv_http_unref(req);
    if (n > TRIM_BYTES) /* a large body has taken many times its size for a moment */
        dv_mem_trim();
}

static void on_request(void *arg, dv_http_req *req)
{
    dv_api *api = arg;
    dv__call *c = dv_http_user(req);
    if (c == NULL)
        return;
    if ((c->route->flags & DV__ROUTE_INLINE) != 0) {
        handle(c);
        return;
    }
    dv_http_ref(req);
    if (dv_work_add(api->work, work, c) == 0)
        return;
    refuse_busy(api, req, c->route->style, "too many requests wait, try again later");
    dv_http_unref(req);
}

static void on_gone(void *arg, dv_http_req *req)
{
    dv__call *c = dv_http_user(req);
    if (c != NULL)
        dv__run_gone(c);
}

static void on_writable(void *arg, dv_http_req *req)
{
    dv__call *c = dv_http_user(req);
    if (c != NULL)
        dv__run_writable(c);
}

static void on_end(void *arg, dv_http_req *req)
{
    dv_api *api = arg;
    int status = dv_http_status(req);
    double ms = (double)(dv_clock_ns() - dv_http_begun_ns(req)) / 1e6;
    atomic_fetch_add_explicit(&api->count.status[status / 100], 1, memory_order_relaxed);
    dv__api_log(api, DV_HTTP_LOG_INFO, "%s %.16s %.256s %d %.1f ms %s", dv_http_peer(req), dv_http_method_text(req),
                dv_http_path(req), status != 0 ? status : 499, ms, dv_http_id(req));
}

static void on_refuse(void *arg, int status, const char *why, dv_buf *body, const char **content_type)
{
    dv_problem p = {.status = status, .text = why};
    *content_type = "application/json; charset=utf-8";
    (void)dv_problem_body(body, DV_STYLE_OPENAI, &p, "");
}

static void on_log(void *arg, int level, const char *text) { dv__api_log(arg, level, "%s", text); }

/* ---- life ---- */

static void on_tick(void *arg)
{
    dv_api *api = arg;
    dv__run_pings(api);
    if (api->drain_end_ns == 0)
        return;
    bool idle = !atomic_load(&api->ready) || (dv_sched_n_jobs(api->sched) == 0 && dv_work_idle(api->work));
    if (idle || dv_clock_ns() >= api->drain_end_ns) {
        api->drain_end_ns = 0;
        dv_http_drain(api->http, idle ? CUT_MS : 0);
    }
}

void dv_api_drain(dv_api *api)
{
    if (atomic_exchange(&api->draining, true)) {
        dv_http_stop(api->http);
        return;
    }
    dv__api_log(api, DV_HTTP_LOG_INFO, "draining: running answers may take %u s", api->o.drain_ms / 1000);
    if (atomic_load(&api->ready)) /* or else dv_api_serve sees that the server drains */
        dv_sched_drain(api->sched);
    api->drain_end_ns = dv_clock_ns() + (uint64_t)api->o.drain_ms * 1000000u;
}

static void on_signal(void *arg, int signo) { dv_api_drain(arg); }

static void set_defaults(dv_api_options *o)
{
    o->ping_ms = o->ping_ms != 0 ? o->ping_ms : DV_API_PING_MS;
    o->drain_ms = o->drain_ms != 0 ? o->drain_ms : DV_API_DRAIN_MS;
    o->workers = o->workers != 0 ? o->workers : DV_API_WORKERS;
}

static int open_http(dv_api *api, dv_err *err)
{
    dv_http_options o;
    dv_http_options_init(&o);
    o.server_name = "drover";
    o.arg = api;
    o.on_head = on_head;
    o.on_request = on_request;
    o.on_gone = on_gone;
    o.on_writable = on_writable;
    o.on_end = on_end;
    o.on_refuse = on_refuse;
    o.log = on_log;
    int rc = dv_http_open(&api->http, &o, err);
    unsigned tick = DV_MIN(DV_MAX(api->o.ping_ms / 2, (unsigned)TICK_MIN_MS), (unsigned)TICK_MAX_MS);
    if (rc == 0)
        rc = dv_http_timer(api->http, tick, on_tick, api);
    if (rc == 0)
        rc = dv_http_on_signal(api->http, SIGTERM, on_signal, api);
    if (rc == 0)
        rc = dv_http_on_signal(api->http, SIGINT, on_signal, api);
    return rc != 0 && err->code == 0 ? dv_fail(err, rc, "HTTP server: %s", dv_error_text(rc)) : rc;
}

/* The template that was given, or the file's. One that is broken must not keep completions and embeddings from being served. */
static int open_format(dv_api *api, dv_err *err)
{
    const dv_tok *tok = api->engine->tok;
    int rc;
    if (api->o.chat_template != NULL) {
        const char *text = strcmp(api->o.chat_template, "chatml") != 0 ? api->o.chat_template : NULL;
        dv_str bos = dv_tok_piece(tok, dv_tok_role_id(tok, DV_TOK_BOS)),
               eos = dv_tok_piece(tok, dv_tok_role_id(tok, DV_TOK_EOS));
        char *b = dv_strndup(DV_MEM_API, bos.p, bos.n), *e = dv_strndup(DV_MEM_API, eos.p, eos.n);
        rc = b == NULL || e == NULL ? dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM))
                                    : dv_chatfmt_open_text(&api->fmt, text, NULL, b, e, tok, err);
        dv_free(b);
        dv_free(e);
        return rc != 0 ? dv_err_prefix(err, "chat template") : 0;
    }
    rc = dv_chatfmt_open(&api->fmt, api->engine->gguf, tok, &api->chat_err);
    if (rc == DV_ENOMEM)
        return dv_fail(err, rc, "chat template: %s", dv_error_text(rc));
    if (rc != 0)
        dv__api_log(api, DV_HTTP_LOG_WARN, "the model's chat template cannot be used: %s", api->chat_err.msg);
    return 0;
}

static char *model_id(const dv_api_options *o)
{
    const char *path = o->model_path != NULL ? o->model_path : "model", *slash = strrchr(path, '/');
    const char *id = o->alias != NULL ? o->alias : slash != NULL ? slash + 1 : path;
    return dv_strndup(DV_MEM_API, id, strlen(id));
}

int dv_api_open(dv_api **out, const dv_api_options *o, dv_err *err)
{
    *out = NULL;
    dv_api *api = dv_calloc(DV_MEM_API, 1, sizeof *api);
    if (api == NULL)
        return dv_fail(err, DV_ENOMEM, "server: %s", dv_error_text(DV_ENOMEM));
    api->o = *o;
    set_defaults(&api->o);
    api->started = time(NULL);
    api->grammar_limits.max_cache = GRAMMAR_BYTES;
    pthread_mutex_init(&api->lock, NULL);
    int rc = 0;
    api->model = model_id(o);
    if (api->model == NULL)
        rc = dv_fail(err, DV_ENOMEM, "server: %s", dv_error_text(DV_ENOMEM));
    if (rc == 0)
        rc = dv_grammar_cache_open(&api->grammars, GRAMMARS, &api->grammar_limits, err);
    if (rc == 0)
        rc = dv_work_open(&api->work, api->o.workers, DV_API_BACKLOG, err);
    if (rc == 0)
        rc = open_http(api, err);
    if (rc != 0)
        dv_api_close(&api);
    *out = api;
    return rc;
}

int dv_api_serve(dv_api *api, dv_engine *engine, dv_sched *sched, dv_err *err)
{
    api->engine = engine;
    api->sched = sched;
    int rc = open_format(api, err);
    if (rc != 0)
        return rc;
    atomic_store(&api->ready, true);
    if (atomic_load(&api->draining)) /* a drain that began before could not tell it */
        dv_sched_drain(sched);
    return 0;
}

void dv_api_stop(dv_api *api) { dv_http_stop(api->http); }

void dv_api_close(dv_api **papi)
{
    dv_api *api = *papi;
    if (api == NULL)
        return;
    dv_work_close(&api->work);
    dv_http_close(&api->http);
    dv_grammar_cache_close(&api->grammars);
    dv_chatfmt_close(&api->fmt);
    pthread_mutex_destroy(&api->lock);
    dv_free(api->model);
    dv_free(api);
    *papi = NULL;
}

int dv_api_listen_tcp(dv_api *api, const char *host, uint16_t port, uint16_t *bound, dv_err *err)
{
    const dv_http_where w = {.host = host, .port = port};
    return dv_http_listen(api->http, &w, bound, err);
}

int dv_api_listen_unix(dv_api *api, const char *path, unsigned mode, dv_err *err)
{
    const dv_http_where w = {.path = path, .mode = mode};
    return dv_http_listen(api->http, &w, NULL, err);
}

int dv_api_run(dv_api *api)
{
    int rc = dv_http_run(api->http);
    dv_work_close(&api->work); /* its tasks use the scheduler, which is closed next */
    return rc;
}
