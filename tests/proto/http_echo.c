/* SPDX-License-Identifier: MIT */
/* A small application on the HTTP layer, for tests. It prints "port N" and "tls N" (0: none) once it listens, and serves until SIGTERM, which drains. SIGHUP reads the
 * files of TLS again.
 *
 *   usage: http_echo [unix=PATH] [cert=FILE key=FILE [tls=1.3]] [OPTION=N]...      OPTION: a number of dv_http_options, or drain_ms
 *
 *   GET /health          "ok", from the I/O thread              GET /slow?ms=N        "slow", from a worker after N ms
 *   any /echo            JSON about the request, and its body   GET /pending          nothing, ever
 *   GET /stream?n=&size=&ms=  n pieces, ms between them         GET /silent           a stream's head, and nothing, ever
 *   GET /broken          a stream that is aborted               GET /big?n=N          n bytes at once
 *   any /denied          401 before the body is read            GET /forgotten        no reply is made
 *   GET /flood           pieces as fast as they are taken       GET /stats            counters as JSON
 *   any /small           as /echo, 100 bytes of body at most */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/server.h"
#include "http/tls.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAG_TCP = 1, TAG_UNIX, TAG_TLS, SMALL = 100 };

static dv_http_server *server;
static dv_http_tls *tls;
static dv_http_tls_options tls_options;
static unsigned drain_ms = 3000;
static atomic_uint heads, requests, gone, ends, writable, workers;

/* A worker's request: it waits here until the queue has room again or the client is gone. */
typedef struct job {
    dv_http_req *req;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool room, gone;
} job;

static unsigned number(const dv_http_req *r, const char *name, unsigned fallback)
{
    const char *v = dv_http_query(r, name);
    return v != NULL ? (unsigned)strtoul(v, NULL, 10) : fallback;
}

static void job_tell(dv_http_req *r, bool is_gone)
{
    job *j = dv_http_user(r);
    if (j == NULL)
        return;
    pthread_mutex_lock(&j->mutex);
    j->room = true;
    j->gone = j->gone || is_gone;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->mutex);
}

static void on_gone(void *arg, dv_http_req *r)
{
    atomic_fetch_add(&gone, 1);
    job_tell(r, true);
}

static void on_writable(void *arg, dv_http_req *r)
{
    atomic_fetch_add(&writable, 1);
    job_tell(r, false);
}

static void on_end(void *arg, dv_http_req *r) { atomic_fetch_add(&ends, 1); }

static void job_destroy(void *p)
{
    job *j = p;
    pthread_mutex_destroy(&j->mutex);
    pthread_cond_destroy(&j->wake);
    free(j);
}

/* Wait up to ms (0: for ever) for room or the client's end. */
static void job_wait(job *j, unsigned ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += ms / 1000 + (end.tv_nsec + (long)(ms % 1000) * 1000000) / 1000000000;
    end.tv_nsec = (end.tv_nsec + (long)(ms % 1000) * 1000000) % 1000000000;
    pthread_mutex_lock(&j->mutex);
    while (!j->room && !j->gone) {
        if (ms == 0)
            pthread_cond_wait(&j->wake, &j->mutex);
        else if (pthread_cond_timedwait(&j->wake, &j->mutex, &end) != 0)
            break;
    }
    j->room = false;
    pthread_mutex_unlock(&j->mutex);
}

static int write_all(job *j, const char *piece, size_t size)
{
    int code;
    while ((code = dv_http_stream_write(j->req, piece, size)) == DV_EBUSY)
        job_wait(j, 0);
    return code;
}

static void stream(job *j)
{
    dv_http_req *r = j->req;
    bool flood = strcmp(dv_http_path(r), "/flood") == 0;
    unsigned n = number(r, "n", 3), ms = number(r, "ms", 0), size = number(r, "size", 16);
    char *piece = malloc(size + 1u);
    if (piece == NULL || dv_http_stream_begin(r, 200, "text/event-stream") != 0) {
        free(piece);
        return;
    }
    memset(piece, 'x', size);
    if (strcmp(dv_http_path(r), "/silent") == 0)
        job_wait(j, 0);
    for (unsigned i = 0; flood || i < n; i++) {
        if (ms > 0)
            job_wait(j, ms);
        if (write_all(j, piece, size) != 0)
            break;
    }
    dv_http_stream_end(r);
    free(piece);
}

static void *worker(void *arg)
{
    job *j = arg;
    dv_http_req *r = j->req;
    if (strcmp(dv_http_path(r), "/slow") == 0) {
        job_wait(j, number(r, "ms", 10));
        dv_http_reply(r, 200, "text/plain", "slow", 4);
    } else if (strcmp(dv_http_path(r), "/pending") == 0) {
        job_wait(j, 0);
    } else {
        stream(j);
    }
    dv_http_unref(r);
    atomic_fetch_sub(&workers, 1);
    return NULL;
}

static void start_worker(dv_http_req *r)
{
    pthread_t t;
    job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return;
    pthread_mutex_init(&j->mutex, NULL);
    pthread_cond_init(&j->wake, NULL);
    j->req = dv_http_ref(r);
    dv_http_set_user(r, j, job_destroy);
    atomic_fetch_add(&workers, 1);
    if (pthread_create(&t, NULL, worker, j) == 0) {
        pthread_detach(t);
        return;
    }
    atomic_fetch_sub(&workers, 1);
    dv_http_unref(r);
}

static void reply_buf(dv_http_req *r, const char *type, dv_buf *b)
{
    if (b->code == 0)
        dv_http_reply(r, 200, type, b->data, b->len);
    else
        dv_http_reply(r, 503, NULL, NULL, 0);
    dv_buf_fini(b);
}

static void pair(dv_buf *b, const char *name, const char *value)
{
    dv_buf_printf(b, ",\"%s\":", name);
    if (value != NULL)
        dv_buf_json_str(b, value, strlen(value));
    else
        dv_buf_adds(b, "null");
}

static void echo(dv_http_req *r)
{
    uint8_t addr[16];
    char text[INET6_ADDRSTRLEN];
    size_t len;
    const char *body = dv_http_body(r, &len);
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"length\":%zu,\"unix\":%s,\"tls\":%s,\"tag\":%d", len, dv_http_is_unix(r) ? "true" : "false",
                  dv_http_is_tls(r) ? "true" : "false", dv_http_tag(r));
    pair(&b, "method", dv_http_method_text(r));
    pair(&b, "path", dv_http_path(r));
    pair(&b, "target", dv_http_target(r));
    pair(&b, "q", dv_http_query(r, "q"));
    pair(&b, "host", dv_http_header(r, "HOST"));
    pair(&b, "peer", dv_http_peer(r));
    pair(&b, "address", dv_http_address(r, addr) ? inet_ntop(AF_INET6, addr, text, sizeof text) : NULL);
    pair(&b, "id", dv_http_id(r));
    dv_buf_adds(&b, ",\"body\":");
    dv_buf_json_str(&b, body, len < 4096 ? len : 4096);
    dv_buf_adds(&b, "}");
    dv_http_add_header(r, "X-Echo", "yes");
    reply_buf(r, "application/json", &b);
}

static void stats(dv_http_req *r)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_printf(
        &b,
        "{\"heads\":%u,\"requests\":%u,\"gone\":%u,\"ends\":%u,\"writable\":%u,\"workers\":%u,\"connections\":%u,"
        "\"memory\":%zu}",
        atomic_load(&heads), atomic_load(&requests), atomic_load(&gone), atomic_load(&ends), atomic_load(&writable),
        atomic_load(&workers), dv_http_connections(server), dv_mem_used(DV_MEM_CAT_N));
    reply_buf(r, "application/json", &b);
}

static void big(dv_http_req *r)
{
    size_t n = number(r, "n", 1000);
    char *p = calloc(1, n + 1);
    if (p != NULL)
        memset(p, 'b', n);
    dv_http_reply(r, p != NULL ? 200 : 503, "text/plain", p, p != NULL ? n : 0);
    free(p);
}

static void broken(dv_http_req *r)
{
    dv_http_stream_begin(r, 200, "text/plain");
    dv_http_stream_write(r, "half", 4);
    dv_http_abort(r);
}

static void health(dv_http_req *r) { dv_http_reply(r, 200, "text/plain", "ok", 2); }

static void on_request(void *arg, dv_http_req *r)
{
    static const struct {
        const char *path;
        void (*fn)(dv_http_req *r);
    } routes[] = {{"/health", health},        {"/echo", echo},          {"/slow", start_worker},
                  {"/stream", start_worker},  {"/flood", start_worker}, {"/big", big},
                  {"/silent", start_worker},  {"/broken", broken},      {"/stats", stats},
                  {"/pending", start_worker}, {"/small", echo},         {"*", echo}};
    atomic_fetch_add(&requests, 1);
    if (strcmp(dv_http_path(r), "/forgotten") == 0)
        return;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(dv_http_path(r), routes[i].path) == 0) {
            routes[i].fn(r);
            return;
        }
    }
    dv_http_reply(r, 404, "text/plain", "no such path", 12);
}

static void on_head(void *arg, dv_http_req *r)
{
    atomic_fetch_add(&heads, 1);
    if (strcmp(dv_http_path(r), "/denied") == 0)
        dv_http_reply(r, 401, "text/plain", "denied", 6);
    else if (strcmp(dv_http_path(r), "/small") == 0)
        dv_http_limit_body(r, SMALL);
}

static void on_log(void *arg, int level, const char *text) { fprintf(stderr, "%d %s\n", level, text); }

static void on_term(void *arg, int signo) { dv_http_drain(server, drain_ms); }

/* name=N into an option. */
static bool option(dv_http_options *o, const char *arg)
{
    const char *eq = strchr(arg, '=');
    unsigned v = eq != NULL ? (unsigned)strtoul(eq + 1, NULL, 10) : 0;
    const struct {
        const char *name;
        size_t *size;
        unsigned *number;
    } rows[] = {{"max_head", &o->max_head, NULL},
                {"max_uri", &o->max_uri, NULL},
                {"max_body", &o->max_body, NULL},
                {"max_bodies", &o->max_bodies, NULL},
                {"max_ahead", &o->max_ahead, NULL},
                {"stream_queue_bytes", &o->stream_queue_bytes, NULL},
                {"max_fields", NULL, &o->max_fields},
                {"max_connections", NULL, &o->max_connections},
                {"max_per_address", NULL, &o->max_per_address},
                {"head_timeout_ms", NULL, &o->head_timeout_ms},
                {"body_timeout_ms", NULL, &o->body_timeout_ms},
                {"idle_timeout_ms", NULL, &o->idle_timeout_ms},
                {"write_stall_ms", NULL, &o->write_stall_ms},
                {"linger_ms", NULL, &o->linger_ms},
                {"drain_ms", NULL, &drain_ms}};
    for (size_t i = 0; eq != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strlen(rows[i].name) != (size_t)(eq - arg) || strncmp(rows[i].name, arg, (size_t)(eq - arg)) != 0)
            continue;
        if (rows[i].size != NULL)
            *rows[i].size = v;
        else
            *rows[i].number = v;
        return true;
    }
    return false;
}

/* name=TEXT into a place to listen, or to TLS. */
static bool text_option(const char *arg, dv_http_where *file)
{
    const struct {
        const char *name;
        const char **to;
    } rows[] = {{"unix=", &file->path}, {"cert=", &tls_options.cert_file}, {"key=", &tls_options.key_file}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(arg, rows[i].name, strlen(rows[i].name)) != 0)
            continue;
        *rows[i].to = arg + strlen(rows[i].name);
        return true;
    }
    if (strcmp(arg, "tls=1.3") != 0)
        return false;
    tls_options.min_version = DV_HTTP_TLS_1_3;
    return true;
}

static void on_hup(void *arg, int signo)
{
    dv_err err = {0};
    int code = tls != NULL ? dv_http_tls_reload(tls, &tls_options, &err) : 0;
    fprintf(stderr, "reload: %s\n", code == 0 ? "done" : err.msg);
}

/* Open everything; the ports are printed. */
static int start(const dv_http_options *o, const dv_http_where *file, dv_err *err)
{
    const dv_http_where tcp = {.host = "127.0.0.1", .tag = TAG_TCP};
    dv_http_where safe = {.host = "127.0.0.1", .tag = TAG_TLS};
    uint16_t port = 0, tls_port = 0;
    int code = dv_http_open(&server, o, err);
    if (code == 0)
        code = dv_http_listen(server, &tcp, &port, err);
    if (code == 0 && file->path != NULL)
        code = dv_http_listen(server, file, NULL, err);
    if (code == 0 && tls_options.cert_file != NULL) {
        code = dv_http_tls_open(&tls, &tls_options, err);
        safe.tls = tls;
        if (code == 0)
            code = dv_http_listen(server, &safe, &tls_port, err);
    }
    if (code == 0)
        code = dv_http_on_signal(server, SIGTERM, on_term, NULL);
    if (code == 0)
        code = dv_http_on_signal(server, SIGHUP, on_hup, NULL);
    printf("port %u\ntls %u\n", port, tls_port);
    fflush(stdout);
    return code;
}

int main(int argc, char **argv)
{
    dv_http_options o;
    dv_err err = {0};
    dv_http_where file = {.mode = 0600, .tag = TAG_UNIX};
    dv_http_options_init(&o);
    o.server_name = "echo";
    o.on_head = on_head;
    o.on_request = on_request;
    o.on_gone = on_gone;
    o.on_writable = on_writable;
    o.on_end = on_end;
    o.log = tls_options.log = on_log;
    for (int i = 1; i < argc; i++) {
        if (!text_option(argv[i], &file) && !option(&o, argv[i])) {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }
    int code = start(&o, &file, &err);
    if (code != 0)
        fprintf(stderr, "%s\n", err.msg);
    else
        code = dv_http_run(server);
    dv_http_close(&server);
    dv_http_tls_close(&tls);
    /* Workers see that their client is gone and end; what they hold must not look like a leak. */
    while (atomic_load(&workers) > 0)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return code != 0;
}
