/* SPDX-License-Identifier: MIT */
/* The server before, while and after it gets its model, over real connections. */
#include "api/server.h"
#include "base/json.h"
#include "engine/session.h"
#include "model_files.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

typedef struct server {
    dv_api *api;
    dv_engine *engine;
    dv_sched *sched;
    uint16_t port;
    pthread_t thread;
    int rc;
} server;

static void *run(void *arg)
{
    server *s = arg;
    s->rc = dv_api_run(s->api);
    return NULL;
}

static void start(server *s, const dv_api_options *o)
{
    dv_err err = {0};
    *s = (server){0};
    if (dv_api_open(&s->api, o, &err) != 0 || dv_api_listen_tcp(s->api, "127.0.0.1", 0, &s->port, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void load(server *s)
{
    dv_err err = {0};
    mf_path p = mf_model("tiny-llama", "Q8_0");
    if (dv_engine_open(&s->engine, p.at, &(dv_engine_options){.threads = 1, .ctx = 256}, &err) != 0 ||
        dv_sched_open(&s->sched, s->engine, NULL, &err) != 0)
        fail_msg("%s", err.msg);
}

static void finish(server *s)
{
    dv_api_stop(s->api);
    pthread_join(s->thread, NULL);
    assert_int_equal(s->rc, 0);
    dv_sched_close(&s->sched);
    dv_api_close(&s->api);
    dv_engine_close(&s->engine);
}

/* The whole reply to a request that closes. */
static dv_buf ask(const server *s, const char *line, const char *fields, const char *body)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    dv_buf b = {0};
    char piece[4096];
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    dv_buf_printf(&b, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s", line, fields);
    if (body != NULL)
        dv_buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    dv_buf_printf(&b, "\r\n%s", body != NULL ? body : "");
    assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
    dv_buf_clear(&b);
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
        dv_buf_add(&b, piece, (size_t)n);
    close(fd);
    return b;
}

static void expect(const server *s, const char *line, const char *fields, const char *body, int status,
                   const char *says)
{
    dv_buf b = ask(s, line, fields, body);
    char first[32];
    snprintf(first, sizeof first, "HTTP/1.1 %d ", status);
    if (strncmp(dv_buf_str(&b), first, strlen(first)) != 0 || strstr(dv_buf_str(&b), says) == NULL)
        fail_msg("%s: %s", line, dv_buf_str(&b));
    dv_buf_fini(&b);
}

static void a_server_without_a_model_says_so(void **state)
{
    static const char *const keys[] = {"secret"};
    static const char loading[] =
        "{\"error\":{\"message\":\"Loading model\",\"type\":\"unavailable_error\",\"param\":null,\"code\":503}}";
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":2}",
                      key[] = "Authorization: Bearer secret\r\n";
    server s;
    start(&s, &(dv_api_options){
                  .sampling = dv_sampling_default(), .keys = keys, .n_keys = 1, .metrics = true, .slots = true});
    expect(&s, "GET /health", "", NULL, 503, loading);
    expect(&s, "GET /health", "", NULL, 503, "\r\nRetry-After: ");
    expect(&s, "GET /v1/health", "", NULL, 503, loading);
    static const char *const lines[] = {"GET /props",     "GET /slots",        "GET /metrics",
                                        "GET /v1/models", "GET /no/such/path", "DELETE /health"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        expect(&s, lines[i], key, NULL, 503, loading);
    expect(&s, "POST /v1/chat/completions", key, body, 503, loading);
    expect(&s, "POST /v1/messages", key, body, 503,
           "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Loading model\"}");
    /* Who may ask is looked at all the same. */
    expect(&s, "POST /v1/chat/completions", "", body, 401, "Invalid API Key");
    expect(&s, "GET /health", "Origin: http://evil.example\r\n", NULL, 403, "Origin");
    expect(&s, "OPTIONS /health", "", NULL, 204, "Allow: ");
    load(&s);
    assert_int_equal(dv_api_serve(s.api, s.engine, s.sched, NULL), 0);
    expect(&s, "GET /health", "", NULL, 200, "{\"status\":\"ok\"}");
    expect(&s, "GET /no/such/path", key, NULL, 404, "not_found_error");
    expect(&s, "POST /v1/chat/completions", key, body, 200, "\"chat.completion\"");
    expect(&s, "GET /metrics", key, NULL, 200, "llamacpp:");
    finish(&s);
}

/* Asked for while requests come in, which see one state or the other. */
static void *hammer(void *arg)
{
    server *s = arg;
    for (bool ok = false; !ok;) {
        dv_buf b = ask(s, "POST /tokenize", "", "{\"content\":\"a b\"}");
        ok = strncmp(b.data, "HTTP/1.1 200 ", 13) == 0;
        assert_true(ok || strncmp(b.data, "HTTP/1.1 503 ", 13) == 0);
        dv_buf_fini(&b);
    }
    return NULL;
}

static void a_model_comes_while_requests_do(void **state)
{
    pthread_t clients[3];
    server s;
    start(&s, &(dv_api_options){0});
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, hammer, &s), 0);
    load(&s);
    assert_int_equal(dv_api_serve(s.api, s.engine, s.sched, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(clients[i], NULL);
    finish(&s);
}

static void a_server_may_end_without_a_model(void **state)
{
    server s;
    dv_err err = {0};
    start(&s, &(dv_api_options){0});
    expect(&s, "GET /health", "", NULL, 503, "Loading model");
    finish(&s);
    assert_int_equal(dv_api_open(&s.api, &(dv_api_options){.chat_template = "{% if %}"}, &err), 0);
    load(&s);
    assert_int_not_equal(dv_api_serve(s.api, s.engine, s.sched, &err), 0);
    assert_non_null(strstr(err.msg, "chat template: "));
    dv_sched_close(&s.sched);
    dv_api_close(&s.api);
    dv_engine_close(&s.engine);
}

static int clean_up(void **state)
{
    mf_remove_all();
    return 0;
}

int main(void)
{
    dv_json_use_mem();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_without_a_model_says_so),
        cmocka_unit_test(a_model_comes_while_requests_do),
        cmocka_unit_test(a_server_may_end_without_a_model),
    };
    return cmocka_run_group_tests_name("api-serve", tests, NULL, clean_up);
}
