/* SPDX-License-Identifier: MIT */
/* The parts of the API server that need no connection: who may ask, routes, fields, JSON bounds, error bodies, workers. */
#include "api/auth.h"
#include "api/gen.h"
#include "api/route.h"
#include "base/json.h"
#include "base/work.h"
#include "web/body.h"
#include "web/guard.h"
#include "web/problem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_host(void **state)
{
    static const char *const names[] = {"Drover.Example"};
    static const char *const lo[] = {"127.0.0.1", "::1"}, *const all[] = {"127.0.0.1", "0.0.0.0"};
    dv_guard loop = {.listens = lo, .n_listens = 2},
             wide = {.listens = all, .n_listens = 2, .hosts = names, .n_hosts = 1};
    static const char *const good[] = {"localhost", "LOCALHOST:1", "127.0.0.1",   "127.1.2.3:65535",
                                       "[::1]",     "[::1]:80",    "x.localhost", "localhost:"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "localhost.",
                                      "localhost.evil",
                                      "evil",
                                      "127.0.0.1.evil",
                                      "127.1",
                                      "0x7f.0.0.1",
                                      "[::1",
                                      "[::1]x",
                                      "[::1%1]",
                                      "::1",
                                      "localhost:8x",
                                      "localhost:80:80",
                                      "127.0.0.1@evil",
                                      "localhost/",
                                      "\xff",
                                      "xlocalhost",
                                      ".localhost",
                                      "2130706433"};
    for (size_t i = 0; i < DV_ARRAY_LEN(good); i++)
        assert_true(dv_guard_host(&loop, good[i]) && dv_guard_host(&wide, good[i]));
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        assert_false(dv_guard_host(&loop, bad[i]) || dv_guard_host(&wide, bad[i]));
    assert_false(dv_guard_host(&loop, NULL));
    assert_false(dv_guard_host(&loop, "192.168.1.5:8081"));
    assert_true(dv_guard_host(&wide, "192.168.1.5:8081"));
    assert_true(dv_guard_host(&wide, "[fe80::1]:8081"));
    assert_true(dv_guard_host(&wide, "drover.example:1"));
    assert_false(dv_guard_host(&loop, "drover.example:1"));
}

static void test_origin(void **state)
{
    static const char *const sites[] = {"https://app.example"}, *const any[] = {"*"};
    dv_guard none = {0}, one = {.origins = sites, .n_origins = 1}, all = {.origins = any, .n_origins = 1};
    assert_true(dv_guard_origin(&none, "http://localhost:8081", "localhost:8081", false));
    assert_false(dv_guard_origin(&none, "https://localhost:8081", "localhost:8081", false));
    assert_false(dv_guard_origin(&none, "http://localhost:8082", "localhost:8081", false));
    assert_false(dv_guard_origin(&none, "http://localhost:8081.evil", "localhost:8081", false));
    assert_false(dv_guard_origin(&none, "null", "localhost:8081", false));
    assert_false(dv_guard_origin(&none, "", "", false));
    assert_true(dv_guard_origin(&one, "https://app.example", "localhost", false));
    assert_false(dv_guard_origin(&one, "https://app.example.evil", "localhost", false));
    assert_false(dv_guard_origin(&one, "http://app.example", "localhost", false));
    assert_true(dv_guard_origin(&all, "https://whatever", "localhost", false));
    assert_false(dv_guard_origin_named(&all, "https://whatever", "localhost", false));
    assert_false(dv_guard_origin_named(&all, "*", "localhost", false));
    assert_true(dv_guard_origin_named(&none, "https://localhost:8081", "localhost:8081", true));
    assert_false(dv_guard_origin(&none, "http://localhost:8081", "localhost:8081", true));
}

static void test_key(void **state)
{
    static const char *const keys[] = {"alpha", "beta-key"};
    dv_api_options open = {0}, locked = {.keys = keys, .n_keys = 2};
    assert_true(dv__auth_key(&open, NULL, NULL));
    assert_false(dv__auth_key(&locked, NULL, NULL));
    assert_true(dv__auth_key(&locked, "Bearer alpha", NULL));
    assert_true(dv__auth_key(&locked, "bearer  beta-key", NULL));
    assert_true(dv__auth_key(&locked, NULL, "beta-key"));
    assert_true(dv__auth_key(&locked, "Basic x", "alpha"));
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearer alph",
                                      "Bearer alphaalpha",
                                      "Bearer alpha ",
                                      "alpha",
                                      "Bearer Alpha",
                                      "Bearer alpha,beta-key"};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++)
        assert_false(dv__auth_key(&locked, bad[i], NULL));
    assert_false(dv__auth_key(&locked, "Bearer nope", "alpha")); /* one that is wrong is not made up for */
    assert_false(dv__auth_key(&locked, NULL, ""));
}

static void test_routes(void **state)
{
    char allow[64];
    const char *tail = NULL;
    assert_non_null(dv__route_find(DV_HTTP_POST, "/v1/chat/completions", allow, &tail));
    assert_ptr_equal(dv__route_find(DV_HTTP_POST, "/chat/completions", allow, &tail),
                     dv__route_find(DV_HTTP_POST, "/v1/chat/completions", allow, &tail));
    assert_ptr_equal(dv__route_find(DV_HTTP_HEAD, "/health", allow, &tail),
                     dv__route_find(DV_HTTP_GET, "/v1/health", allow, &tail));
    assert_null(dv__route_find(DV_HTTP_GET, "/v1/chat/completions", allow, &tail));
    assert_string_equal(allow, "POST");
    assert_null(dv__route_find(DV_HTTP_DELETE, "/v1/models", allow, &tail));
    assert_string_equal(allow, "GET, HEAD");
    assert_non_null(dv__route_find(DV_HTTP_GET, "/v1/models/a/b.gguf", allow, &tail));
    assert_string_equal(tail, "a/b.gguf");
    static const char *const none[] = {"",           "/",           "*",
                                       "/v1",        "/v1/",        "/v1/models/",
                                       "/models/",   "/v1/chat",    "/v1/chat/completions/",
                                       "/V1/models", "/v1//models", "/v1/v1/models",
                                       "/ealth"};
    for (size_t i = 0; i < DV_ARRAY_LEN(none); i++) {
        assert_null(dv__route_find(DV_HTTP_GET, none[i], allow, &tail));
        assert_string_equal(allow, "");
    }
}

static json_t *parse(const char *text)
{
    dv_err err = {0};
    json_t *v;
    assert_int_equal(dv_body_parse(text, strlen(text), &v, &err), 0);
    return v;
}

static int read_fields(const char *text, dv__gen *g, dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&dv__fields_gen, &dv__fields_meta};
    json_t *v = parse(text);
    *g = (dv__gen){.top_k = 40, .max_tokens = DV__GEN_UNSET};
    *c = (dv__call){0};
    *err = (dv_err){0};
    int rc = dv__fields_read(c, v, NULL, tables, 2, g, err);
    json_decref(v);
    return rc;
}

static void test_fields(void **state)
{
    dv__gen g;
    dv__call c;
    dv_err err;
    assert_int_equal(read_fields("{}", &g, &c, &err), 0);
    assert_int_equal(
        read_fields(
            "{\"temperature\":0.5,\"top_k\":7.0,\"seed\":9007199254740992,\"max_tokens\":null,\"stream\":true,\"user\":\"x\"}",
            &g, &c, &err),
        0);
    assert_true(g.sampling.temperature == 0.5f && g.top_k == 7 && g.seed == INT64_C(9007199254740992) && g.stream &&
                g.max_tokens == DV__GEN_UNSET);
    static const struct {
        const char *text, *param;
    } bad[] = {
        {"{\"temperature\":-0.001}", "temperature"},
        {"{\"temperature\":\"0\"}", "temperature"},
        {"{\"temperature\":1e300}", "temperature"},
        {"{\"top_k\":1.5}", "top_k"},
        {"{\"top_k\":-2}", "top_k"},
        {"{\"top_k\":2147483648}", "top_k"},
        {"{\"top_k\":9223372036854775807}", "top_k"},
        {"{\"seed\":9007199254740994}", "seed"},
        {"{\"seed\":-9223372036854775808}", "seed"},
        {"{\"seed\":1e308}", "seed"},
        {"{\"repeat_penalty\":0}", "repeat_penalty"},
        {"{\"stream\":0}", "stream"},
        {"{\"n_discard\":-1}", "n_discard"},
        {"{\"id_slot\":256}", "id_slot"},
        {"{\"mirostat\":1}", "mirostat"},
        {"{\"store\":true}", "store"},
        {"{\"service_tier\":\"fl\"}", "service_tier"},
        {"{\"metadata\":[]}", "metadata"},
        {"{\"lora\":[]}", "lora"},
        {"{\"unknown\":null}", "unknown"},
        {"{\"\":1}", ""},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        assert_int_equal(read_fields(bad[i].text, &g, &c, &err), DV_EINVAL);
        assert_string_equal(c.param, bad[i].param);
        assert_int_equal(strncmp(err.msg, bad[i].param, strlen(bad[i].param)), 0);
    }
}

static void test_json(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[]",
                                      "1",
                                      "null",
                                      "{}{}",
                                      "{\"a\":1,\"a\":1}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{'a':1}",
                                      "{\"a\":01}",
                                      "{\"a\":1e999}",
                                      "{\"a\":9223372036854775808}",
                                      "\xef\xbb\xbf{}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\n\"}"};
    json_t *v;
    for (size_t i = 0; i < DV_ARRAY_LEN(bad); i++) {
        dv_err err = {0};
        assert_int_equal(dv_body_parse(bad[i], strlen(bad[i]), &v, &err), DV_EFORMAT);
        assert_null(v);
    }
    for (int depth = 63; depth <= 64; depth++) { /* and the object around it */
        char text[256] = "{\"a\":";
        dv_err err = {0};
        for (int i = 0; i < depth; i++)
            strcat(text, "[");
        strcat(text, "\"]]]]\\\"[[[[\"");
        for (int i = 0; i < depth; i++)
            strcat(text, "]");
        strcat(text, "}");
        assert_int_equal(dv_body_parse(text, strlen(text), &v, &err), depth == 63 ? 0 : DV_ELIMIT);
        json_decref(v);
    }
    size_t n = 2 * (size_t)DV_BODY_MAX_VALUES + 16;
    char *many = malloc(n);
    assert_non_null(many);
    memset(many, ',', n);
    dv_err err = {0};
    assert_int_equal(dv_body_parse(many, n, &v, &err), DV_ELIMIT);
    free(many);
}

typedef struct hostile {
    const char *head, *unit, *tail; /* unit: repeated; its "%" is a number */
    size_t n;
    int code;
} hostile;

static dv_buf hostile_body(const hostile *h)
{
    dv_buf b = {0};
    const char *number = strchr(h->unit, '%');
    dv_buf_adds(&b, h->head);
    for (size_t i = 0; i < h->n; i++)
        if (number != NULL)
            dv_buf_printf(&b, "%.*s%zx%s", (int)(number - h->unit), h->unit, i, number + 1);
        else
            dv_buf_adds(&b, h->unit);
    dv_buf_adds(&b, h->tail);
    assert_int_equal(b.code, 0);
    return b;
}

/* Texts of little length and many values, and the longest ones that there can be: none takes more than the bound, and what is refused
 * leaves nothing behind. */
static void test_json_memory(void **state)
{
    const size_t most = DV_BODY_MAX_VALUES - 8, longest = DV_HTTP_MAX_BODY - 64;
    const hostile rows[] = {
        {"", "[", "", longest, DV_ELIMIT},
        {"{\"a\":", "{\"a\":", "", longest / 5, DV_ELIMIT},
        {"{\"z\":0", ",\"%\":0", "}", 4 * most, DV_ELIMIT},
        {"{\"z\":0", ",\"%\":0", "}", most, DV_ELIMIT},
        {"{\"z\":0", ",\"%\":0", "}", most / 2, 0},
        {"{\"a\":[0", ",{}", "]}", most / 2, DV_ELIMIT},
        {"{\"a\":[0", ",{\"a\":0}", "]}", most / 3, DV_ELIMIT},
        {"{\"a\":[0", ",[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "]}", most / 17, DV_ELIMIT},
        {"{\"a\":[0", ",[]", "]}", most / 2, 0},
        {"{\"a\":[0", ",7", "]}", most, 0},
        {"{\"a\":[0", ",\"\"", "]}", most, 0},
        {"{\"a\":\"", "x", "\"}", longest, 0},
        {"{\"a\":\"", "\\u00e9", "\"}", longest / 6, 0},
        {"{\"a\":\"", "\\n", "\"}", longest / 2, 0},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_buf b = hostile_body(&rows[i]);
        json_t *v;
        dv_err err = {0};
        assert_int_equal(dv_mem_used(DV_MEM_JSON), 0);
        dv_mem_peak_reset(DV_MEM_JSON);
        int rc = dv_body_parse(b.data, b.len, &v, &err);
        if (rc != rows[i].code || dv_mem_peak(DV_MEM_JSON) > DV_BODY_MAX_JSON + 4096 ||
            (rc != 0 && dv_mem_used(DV_MEM_JSON) > 0))
            fail_msg("row %zu: %d %s, %zu MiB", i, rc, err.msg, dv_mem_peak(DV_MEM_JSON) >> 20);
        json_decref(v);
        dv_buf_fini(&b);
    }
}

/* Requests that are being answered keep theirs: then no further one is parsed. */
static void test_json_of_all(void **state)
{
    const hostile large = {"{\"a\":[0", ",[]", "]}", (DV_BODY_MAX_VALUES - 8) / 2, 0};
    dv_buf b = hostile_body(&large);
    json_t *kept[16] = {0}, *v;
    dv_err err = {0};
    int rc = 0;
    size_t n = 0;
    for (; rc == 0 && n < 16; n += rc == 0)
        rc = dv_body_parse(b.data, b.len, &kept[n], &err);
    assert_int_equal(rc, DV_EBUSY);
    assert_true(n >= 2 && dv_mem_used(DV_MEM_JSON) <= DV_BODY_MAX_JSONS + DV_BODY_MAX_JSON);
    while (n > 0)
        json_decref(kept[--n]);
    assert_int_equal(dv_mem_used(DV_MEM_JSON), 0);
    assert_int_equal(dv_body_parse("{}", 2, &v, &err), 0);
    json_decref(v);
    dv_buf_fini(&b);
}

static void test_problem(void **state)
{
    dv_problem p = {.status = 400, .text = "a \"quoted\"\r\nline\x1b", .param = "x[0]"};
    dv_buf b;
    json_t *v;
    for (int shape = 0; shape < DV_STYLE_N; shape++) {
        dv_err err = {0};
        dv_buf_init(&b, 0);
        assert_int_equal(dv_problem_body(&b, (dv_style)shape, &p, "id"), 0);
        assert_null(strchr(b.data, '\n'));
        assert_int_equal(dv_body_parse(b.data, b.len, &v, &err), 0);
        const json_t *e = json_object_get(v, "error");
        assert_string_equal(json_string_value(json_object_get(e, "message")), p.text);
        assert_string_equal(json_string_value(json_object_get(e, "type")), "invalid_request_error");
        json_decref(v);
        dv_buf_fini(&b);
    }
    p = (dv_problem){.status = 503, .text = "x"};
    dv_buf_init(&b, 0);
    dv_problem_body(&b, DV_STYLE_ANTHROPIC, &p, "id");
    assert_non_null(strstr(b.data, "overloaded_error"));
    dv_buf_clear(&b);
    p.status = 418; /* one without a row */
    dv_problem_body(&b, DV_STYLE_OPENAI, &p, "id");
    assert_non_null(strstr(b.data, "\"invalid_request_error\",\"param\":null,\"code\":418"));
    dv_buf_fini(&b);
}

/* A worker that is held up, so that the queue behind it fills. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool open, entered;
    int n;
} gate;

static void pass(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->lock);
    g->entered = true;
    pthread_cond_broadcast(&g->change);
    while (!g->open)
        pthread_cond_wait(&g->change, &g->lock);
    g->n++;
    pthread_mutex_unlock(&g->lock);
}

static void test_work(void **state)
{
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};
    dv_work *w = NULL;
    dv_err err = {0};
    assert_int_equal(dv_work_open(&w, 1, 3, &err), 0);
    assert_true(dv_work_idle(w));
    assert_int_equal(dv_work_add(w, pass, &g), 0);
    pthread_mutex_lock(&g.lock);
    while (!g.entered)
        pthread_cond_wait(&g.change, &g.lock);
    pthread_mutex_unlock(&g.lock);
    for (int i = 0; i < 3; i++)
        assert_int_equal(dv_work_add(w, pass, &g), 0);
    assert_int_equal(dv_work_add(w, pass, &g), DV_EBUSY);
    assert_false(dv_work_idle(w));
    pthread_mutex_lock(&g.lock);
    g.open = true;
    pthread_cond_broadcast(&g.change);
    pthread_mutex_unlock(&g.lock);
    dv_work_close(&w); /* what waits is done first */
    assert_int_equal(g.n, 4);
    assert_null(w);
    dv_work_close(&w);
    for (uint64_t n = 1; n < 3; n++) {
        dv_mem_fail_after(n);
        assert_int_equal(dv_work_open(&w, 2, 3, NULL), DV_ENOMEM);
        dv_mem_fail_after(0);
        assert_null(w);
    }
}

int main(void)
{
    dv_json_use_mem();
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),        cmocka_unit_test(test_origin),      cmocka_unit_test(test_key),
        cmocka_unit_test(test_routes),      cmocka_unit_test(test_fields),      cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_memory), cmocka_unit_test(test_json_of_all), cmocka_unit_test(test_problem),
        cmocka_unit_test(test_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
