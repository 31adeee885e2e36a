/* SPDX-License-Identifier: MIT */
/* The provider against servers that answer well, badly, or not at all. */
#include "base/json.h"
#include "provider_util.h"

#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
#define DELTA(text)                                                                   \
    "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text \
    "\"},\"finish_reason\":null}]}\n\n"
#define FINISH(why) "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}\n\n"
#define USAGE \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\n"
#define DONE "data: [DONE]\n\n"
#define GOOD EVENTS DELTA("Hel") DELTA("lo") FINISH("stop") USAGE DONE
#define BAD(status, fields, body) "HTTP/1.1 " status " X\r\nConnection: close\r\n" fields "\r\n" body

static const dv_provider_message question = {"user", "Hi"};

typedef struct heard {
    char text[256];
    size_t n, calls, stop_after;
} heard;

static int on_text(void *arg, const char *text, size_t len)
{
    heard *h = arg;
    size_t k = len < sizeof h->text - 1 - h->n ? len : sizeof h->text - 1 - h->n;
    memcpy(h->text + h->n, text, k);
    h->n += k;
    return ++h->calls == h->stop_after;
}

static dv_provider *open_url(const fake *f)
{
    dv_provider *p;
    dv_err err = {0};
    /* Long times, for machines that are busy: who waits for them in vain fails the test. */
    const dv_provider_options o = {.silence_ms = 60000, .key = "secret-key"};
    assert_int_equal(dv_provider_open(&p, f->url, &o, &err), 0);
    return p;
}

typedef struct expected {
    const char *bytes;
    fake_then then;
    const char *again;
    int code;
    const char *text; /* that came until then */
    unsigned requests;
    const char *says; /* is in the error; NULL: anything */
} expected;

static const expected replies[] = {
    /* What must be understood. */
    {GOOD, FAKE_HOLD, NULL, 0, "Hello", 1, NULL},
    {EVENTS
     "\xef\xbb\xbf: comment\r\nevent: x\r\nid: 1\r\nretry: 5\r\ndata:{\"choices\":\r\ndata: [{\"delta\":{\"content\":\"Hello\"}}]}\r\n\r\n"
     "data: [DONE]\r\n\r\n",
     FAKE_HOLD, NULL, 0, "Hello", 1, NULL},
    {EVENTS "data: {\"choices\":[{\"text\":\"Hello\"}]}\r\rdata: [DONE]\r\r", FAKE_HOLD, NULL, 0, "Hello", 1, NULL},
    {EVENTS DELTA("Hello") FINISH("stop"), FAKE_CLOSE, NULL, 0, "Hello", 1, NULL},
    {EVENTS DELTA("Hello") DONE, FAKE_REPEAT, "data: rubbish\n\n", 0, "Hello", 1, NULL},
    {EVENTS DELTA("Hello") "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}\n\n" DONE, FAKE_HOLD,
     NULL, 0, "Hello", 1, NULL},
    {EVENTS DELTA("a\\u0000b") DONE, FAKE_HOLD, NULL, 0, "a", 1, NULL},
    {JSON "{\"choices\":[{\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}", FAKE_CLOSE, NULL, 0,
     "Hello", 1, NULL},
    {JSON "{\"choices\":[{\"message\":{\"content\":null},\"finish_reason\":\"tool_calls\"}]}", FAKE_CLOSE, NULL, 0, "",
     1, NULL},
    {"HTTP/1.1 100 Continue\r\n\r\n" GOOD, FAKE_HOLD, NULL, 0, "Hello", 1, NULL},
    /* Gone: asked again as long as nothing was handed out. */
    {"", FAKE_CLOSE, NULL, DV_EIO, "", 2, NULL},
    {"", FAKE_RESET, NULL, DV_EIO, "", 2, NULL},
    {"HTTP/1.1 200 OK\r\nContent-", FAKE_CLOSE, NULL, DV_EIO, "", 2, NULL},
    {EVENTS, FAKE_CLOSE, NULL, DV_EIO, "", 2, "in the middle"},
    {EVENTS, FAKE_RESET, NULL, DV_EIO, "", 2, NULL},
    {EVENTS DELTA("Hel"), FAKE_CLOSE, NULL, DV_EIO, "Hel", 1, "in the middle"},
    {EVENTS DELTA("Hel") "data: {\"choi", FAKE_CLOSE, NULL, DV_EIO, "Hel", 1, "in the middle"},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5000\r\n\r\n" DELTA("Hel"), FAKE_CLOSE,
     NULL, DV_EIO, "Hel", 1, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndat", FAKE_CLOSE,
     NULL, DV_EIO, "", 2, NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"choices\":[]}", FAKE_CLOSE, NULL, DV_EIO, "", 2, NULL},
    /* No HTTP, or no answer. */
    {"SSH-2.0-OpenSSH_9.2\r\n", FAKE_CLOSE, NULL, DV_EFORMAT, "", 1, "no HTTP"},
    {"\x16\x03\x01\x02", FAKE_CLOSE, NULL, DV_EFORMAT, "", 1, NULL},
    {EVENTS "data: rubbish\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "", 1, "no JSON"},
    {EVENTS "data: [1,2]\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "", 1, NULL},
    {EVENTS "data:\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "", 1, NULL},
    {EVENTS "data: {}\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "", 1, "choices"},
    {EVENTS "data: {\"choices\":{}}\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "", 1, "choices"},
    {EVENTS DELTA("Hel") "data: {\"choices\":[{\"delta\":{\"content\":5}}]}\n\n", FAKE_HOLD, NULL, DV_EFORMAT, "Hel", 1,
     "content"},
    {EVENTS DELTA("Hel") DELTA("l\xff"), FAKE_HOLD, NULL, DV_EFORMAT, "Hel", 1, NULL},
    {EVENTS DELTA("\\ud800"), FAKE_HOLD, NULL, DV_EFORMAT, "", 1, NULL},
    {JSON "<html>", FAKE_CLOSE, NULL, DV_EFORMAT, "", 1, NULL},
    {JSON "", FAKE_CLOSE, NULL, DV_EIO, "", 2, "in the middle"},
    /* Without end. */
    {EVENTS "data: ", FAKE_REPEAT, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", DV_ELIMIT, "", 1, NULL},
    {EVENTS, FAKE_REPEAT, "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", DV_ELIMIT, "", 1, NULL},
    {EVENTS, FAKE_REPEAT, "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r", DV_ELIMIT, "", 1, NULL},
    {JSON, FAKE_REPEAT, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", DV_ELIMIT, "", 1, NULL},
    {"HTTP/1.1 200 OK\r\n", FAKE_REPEAT, "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", DV_ELIMIT,
     "", 1, "head"},
    {"", FAKE_REPEAT, "HTTP/1.1 100 Continue\r\n\r\n", DV_ELIMIT, "", 1, "head"},
    /* What servers report. */
    {BAD("400", "", "{\"error\":{\"message\":\"temperature: too hot\",\"type\":\"invalid_request_error\"}}"),
     FAKE_CLOSE, NULL, DV_EINVAL, "", 1, "too hot"},
    {BAD("400", "", "{\"error\":{\"message\":\"long\",\"type\":\"exceed_context_size_error\"}}"), FAKE_CLOSE, NULL,
     DV_ECONTEXT, "", 1, "long"},
    {BAD("400", "", "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}}"), FAKE_CLOSE, NULL,
     DV_ECONTEXT, "", 1, "long"},
    {BAD("422", "", "{\"detail\":\"no\"}"), FAKE_CLOSE, NULL, DV_EINVAL, "", 1, "422): no"},
    {BAD("401", "WWW-Authenticate: Basic\r\n", "{\"error\":\"who?\"}"), FAKE_CLOSE, NULL, DV_EAUTH, "", 1, "who?"},
    {BAD("403", "", ""), FAKE_CLOSE, NULL, DV_EACCES, "", 1, "403"},
    {BAD("404", "", "{\"error\":{\"message\":\"no model 'x'\"}}"), FAKE_CLOSE, NULL, DV_ENOENT, "", 1, "no model 'x'"},
    {BAD("413", "", ""), FAKE_CLOSE, NULL, DV_ELIMIT, "", 1, NULL},
    {BAD("429", "", "{\"message\":\"slow down\"}"), FAKE_CLOSE, NULL, DV_ERATE, "", 1, "slow down"},
    {BAD("500", "", "<html>\x1b[2J</html>"), FAKE_CLOSE, NULL, DV_EIO, "", 1, "500"},
    {BAD("500", "", "{\"error\":{\"message\":5}}"), FAKE_CLOSE, NULL, DV_EIO, "", 1, "500"},
    {BAD("500", "", "{\"error\":{\"message\":\"a\\u001b[2Jb\\nc\"}}"), FAKE_CLOSE, NULL, DV_EIO, "", 1,
     "a\\x1b[2Jb\\x0ac"},
    {BAD("500", "Content-Length: 9\r\n", "{\"er"), FAKE_CLOSE, NULL, DV_EIO, "", 2, NULL},
    {"HTTP/1.1 500 X\r\n\r\n", FAKE_REPEAT, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", DV_EIO, "", 1, NULL},
    {BAD("501", "", ""), FAKE_CLOSE, NULL, DV_EUNSUPPORTED, "", 1, NULL},
    {BAD("503", "", "{\"error\":{\"message\":\"Loading model\"}}"), FAKE_CLOSE, NULL, DV_EBUSY, "", 1, "Loading"},
    {BAD("302", "Location: http://127.0.0.1:1/\r\n", ""), FAKE_CLOSE, NULL, DV_EUNSUPPORTED, "", 1, "302"},
    {EVENTS DELTA("Hel") "data: {\"error\":{\"message\":\"lost it\",\"code\":503}}\n\n", FAKE_HOLD, NULL, DV_EBUSY,
     "Hel", 1, "lost it"},
    {EVENTS "data: {\"error\":\"bad\"}\n\n", FAKE_HOLD, NULL, DV_EIO, "", 1, "bad"},
    {JSON "{\"error\":{\"message\":\"in disguise\"}}", FAKE_CLOSE, NULL, DV_EIO, "", 1, "in disguise"},
};

static void test_replies(void **state)
{
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        const expected *e = &replies[i];
        const fake_script script = {e->bytes, e->then, e->again};
        fake f;
        heard h = {0};
        dv_err err = {0};
        dv_provider_result r;
        const dv_provider_stream s = {.on_text = on_text, .arg = &h};
        dv_provider_request rq = ask(&question);
        fake_open(&f, &script, 1);
        dv_provider_options o = {.silence_ms = 60000};
        dv_provider *p;
        /* A server that never ends its error is left to the clock. */
        if (strstr(e->bytes, " 500 X\r\n\r\n") != NULL)
            o.total_ms = 300;
        assert_int_equal(dv_provider_open(&p, f.url, &o, NULL), 0);
        int code = dv_provider_generate_stream(p, &rq, &s, &r, &err);
        unsigned n = atomic_load(&f.n_requests);
        if (code != e->code || strcmp(r.text, e->text) != 0 || strcmp(h.text, e->text) != 0 || n != e->requests ||
            (code != 0) != (err.msg[0] != 0) || (e->says != NULL && strstr(err.msg, e->says) == NULL) ||
            r.retried != (n > 1))
            fail_msg("reply %zu: %d, \"%s\", \"%s\", %u requests: %s\n%.200s", i, code, r.text, h.text, n, err.msg,
                     e->bytes);
        assert_true(r.len >= strlen(r.text));
        dv_provider_close(&p);
        assert_null(p);
        fake_close(&f);
    }
}

static void test_counts(void **state)
{
    const fake_script script = {GOOD, FAKE_CLOSE, NULL};
    fake f;
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
    assert_string_equal(r.text, "Hello");
    assert_string_equal(r.model, "m");
    assert_string_equal(r.reasoning, "");
    assert_int_equal(r.len, 5);
    assert_int_equal(r.finish, DV_FINISH_STOP);
    assert_int_equal(r.prompt_tokens, 7);
    assert_int_equal(r.completion_tokens, 2);
    assert_int_equal(r.cached_tokens, 5);
    assert_int_equal(r.status, 200);
    assert_false(r.retried);
    assert_int_equal(dv_provider_generate(p, &rq, NULL, NULL), 0);
    assert_int_equal(dv_provider_engine_pid(p), 0);
    dv_provider_close(&p);
    fake_close(&f);
}

static void test_reasoning(void **state)
{
    const fake_script script = {
        EVENTS "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"content\":\"\"}}]}\n\n" DELTA("ok")
            FINISH("length") DONE,
        FAKE_HOLD, NULL};
    fake f;
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    heard text = {0}, thoughts = {0};
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    dv_provider_stream s = {.on_text = on_text, .arg = &text};
    assert_int_equal(dv_provider_generate_stream(p, &rq, &s, &r, NULL), 0);
    assert_string_equal(text.text, "ok");
    assert_string_equal(r.reasoning, "hm");
    assert_int_equal(r.finish, DV_FINISH_LENGTH);
    s = (dv_provider_stream){.on_reasoning = on_text, .arg = &thoughts};
    assert_int_equal(dv_provider_generate_stream(p, &rq, &s, &r, NULL), 0);
    assert_string_equal(thoughts.text, "hm");
    assert_string_equal(r.text, "ok");
    dv_provider_close(&p);
    fake_close(&f);
}

/* A server that is gone and comes back. Without a callback, nothing was handed out however much has come. */
static void test_again(void **state)
{
    static const fake_script back[] = {{"", FAKE_RESET, NULL}, {GOOD, FAKE_CLOSE, NULL}};
    static const fake_script cut[] = {{EVENTS DELTA("Hex"), FAKE_CLOSE, NULL}, {GOOD, FAKE_CLOSE, NULL}};
    const fake_script *const both[] = {back, cut};
    for (size_t i = 0; i < 2; i++) {
        fake f;
        dv_provider_result r;
        dv_err err = {0};
        dv_provider_request rq = ask(&question);
        fake_open(&f, both[i], 2);
        dv_provider *p = open_url(&f);
        assert_int_equal(dv_provider_generate(p, &rq, &r, &err), 0);
        assert_string_equal(r.text, "Hello");
        assert_true(r.retried);
        assert_int_equal(err.code, 0);
        assert_int_equal(atomic_load(&f.n_requests), 2);
        dv_provider_close(&p);
        fake_close(&f);
    }
}

static void test_nobody(void **state)
{
    dv_provider *p;
    dv_err err = {0};
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    fake f;
    const fake_script script = {GOOD, FAKE_CLOSE, NULL};
    fake_open(&f, &script, 1);
    fake_close(&f); /* its port is nobody's */
    p = open_url(&f);
    assert_int_equal(dv_provider_generate(p, &rq, &r, &err), DV_EIO);
    assert_true(r.retried);
    assert_int_equal(r.status, 0);
    dv_provider_close(&p);
    assert_int_equal(dv_provider_open(&p, "unix:/nonexistent/sock", NULL, NULL), 0);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EIO);
    dv_provider_close(&p);
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *bytes;
        unsigned s;
    } rows[] = {{BAD("429", "Retry-After: 7\r\n", "{}"), 7},
                {BAD("429", "retry-after:9\r\n", "{}"), 9},
                {BAD("503", "Retry-After: 99999999999999999999\r\n", "{}"), 86400},
                {BAD("503", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", "{}"), 0},
                {BAD("503", "Retry-After:\r\n", "{}"), 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const fake_script script = {rows[i].bytes, FAKE_CLOSE, NULL};
        fake f;
        dv_provider_result r;
        dv_provider_request rq = ask(&question);
        fake_open(&f, &script, 1);
        dv_provider *p = open_url(&f);
        int code = dv_provider_generate(p, &rq, &r, NULL);
        assert_true(code == DV_ERATE || code == DV_EBUSY);
        assert_int_equal(r.retry_after_s, rows[i].s);
        assert_int_equal(atomic_load(&f.n_requests), 1);
        dv_provider_close(&p);
        fake_close(&f);
    }
}

/* Silent for ever, and never silent but never done. */
static void test_slow(void **state)
{
    static const fake_script scripts[] = {
        {"", FAKE_HOLD, NULL}, {EVENTS DELTA("Hel"), FAKE_HOLD, NULL}, {EVENTS, FAKE_REPEAT, ": still here\n\n"}};
    const dv_provider_options options[] = {{.silence_ms = 150}, {.silence_ms = 150}, {.total_ms = 300}};
    for (size_t i = 0; i < 3; i++) {
        fake f;
        dv_provider *p;
        dv_err err = {0};
        dv_provider_result r;
        dv_provider_request rq = ask(&question);
        fake_open(&f, &scripts[i], 1);
        assert_int_equal(dv_provider_open(&p, f.url, &options[i], NULL), 0);
        assert_int_equal(dv_provider_generate(p, &rq, &r, &err), DV_EIO);
        assert_string_equal(r.text, i == 1 ? "Hel" : "");
        assert_non_null(strstr(err.msg, " ms"));
        assert_int_equal(atomic_load(&f.n_requests), 1);
        dv_provider_close(&p);
        fake_close(&f);
    }
}

/* An answer without end is cut at what is taken of one. */
static void test_endless_answer(void **state)
{
    static char again[(64 << 10) + 256], text[64 << 10];
    memset(text, 'y', sizeof text - 1);
    snprintf(again, sizeof again, "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n", text);
    const fake_script script = {EVENTS, FAKE_REPEAT, again};
    fake f;
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_ELIMIT);
    assert_in_range(r.len, 15 << 20, 16 << 20);
    dv_provider_close(&p);
    fake_close(&f);
}

/* ---- what is sent ---- */

static void test_request(void **state)
{
    const fake_script script = {GOOD, FAKE_CLOSE, NULL};
    const dv_provider_message messages[] = {{"system", "Be \"brief\"\n"}, {"user", "Hi \xc3\xa9"}};
    const char *const stop[] = {"END", "\n"};
    fake f;
    dv_provider *p;
    char base[96];
    fake_open(&f, &script, 1);
    snprintf(base, sizeof base, "%s/x/v1//", f.url);
    const dv_provider_options o = {.key = "k-1", .model = "one", .profile = "fast", .silence_ms = 60000};
    assert_int_equal(dv_provider_open(&p, base, &o, NULL), 0);
    dv_provider_request rq = dv_provider_request_default();
    rq.messages = messages;
    rq.n_messages = 2;
    rq.max_tokens = 5;
    rq.temperature = 0.5;
    rq.top_p = 0.25;
    rq.seed = 42;
    rq.stop = stop;
    rq.n_stop = 2;
    rq.json_schema = "{ \"type\": \"object\" }";
    assert_int_equal(dv_provider_generate(p, &rq, NULL, NULL), 0);
    assert_non_null(strstr(f.last, "POST /x/v1/chat/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(f.last, "\r\nAuthorization: Bearer k-1\r\n"));
    assert_non_null(strstr(f.last, "\r\nX-Drover-Profile: fast\r\n"));
    assert_non_null(strstr(f.last, "\r\nContent-Type: application/json\r\n"));
    assert_string_equal(
        strstr(f.last, "\r\n\r\n") + 4,
        "{\"model\":\"one\",\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"brief\\\"\\n\"},"
        "{\"role\":\"user\",\"content\":\"Hi \xc3\xa9\"}],\"max_tokens\":5,\"temperature\":0.5,\"top_p\":0.25,\"seed\":42,"
        "\"stop\":[\"END\",\"\\n\"],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
        "\"strict\":true,\"schema\":{ \"type\": \"object\" }}},\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    rq = dv_provider_request_default();
    rq.prompt = "Once";
    rq.model = "two";
    rq.profile = "quality";
    assert_int_equal(dv_provider_generate(p, &rq, NULL, NULL), 0);
    assert_non_null(strstr(f.last, "POST /x/v1/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(f.last, "\r\nX-Drover-Profile: quality\r\n"));
    assert_string_equal(
        strstr(f.last, "\r\n\r\n") + 4,
        "{\"model\":\"two\",\"prompt\":\"Once\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    dv_provider_close(&p);
    fake_close(&f);
}

static void test_bad_requests(void **state)
{
    const dv_provider_message bad_role = {NULL, "x"}, bad_text = {"user", "\xff"};
    const char *many[17] = {"x"}, *null[] = {NULL};
    const fake_script script = {GOOD, FAKE_CLOSE, NULL};
    fake f;
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    const dv_provider_request bad[] = {
        {0},
        {.messages = &question},
        {.n_messages = 1},
        {.messages = &bad_role, .n_messages = 1},
        {.messages = &bad_text, .n_messages = 1},
        {.messages = &question, .n_messages = 1, .prompt = "too"},
        {.prompt = "\xc3"},
        {.prompt = "x", .temperature = 0.0 / 0.0},
        {.prompt = "x", .top_p = 1.5},
        {.prompt = "x", .top_p = -1},
        {.prompt = "x", .stop = many, .n_stop = 17},
        {.prompt = "x", .stop = null, .n_stop = 1},
        {.prompt = "x", .n_stop = 1},
        {.prompt = "x", .json_schema = "{"},
        {.prompt = "x", .json_schema = "{},\"max_tokens\":1"},
        {.prompt = "x", .json_schema = "5"},
        {.prompt = "x", .json_schema = "{\"a\":1,\"a\":2}"},
        {.prompt = "x", .model = "\xff"},
        {.prompt = "x", .profile = "fast\r\nX-Evil: 1"},
        {.prompt = "x", .profile = ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dv_err err = {0};
        dv_provider_result r;
        if (dv_provider_generate(p, &bad[i], &r, &err) != DV_EINVAL || err.msg[0] == 0 || r.text[0] != 0)
            fail_msg("request %zu: %s", i, err.msg);
    }
    assert_int_equal(atomic_load(&f.n_requests), 0);
    dv_provider_close(&p);
    dv_provider_close(&p);
    dv_provider_close(NULL);
    fake_close(&f);
}

static void test_bad_targets(void **state)
{
    static const struct {
        const char *target;
        dv_provider_options o;
        int code;
    } bad[] = {
        {NULL, {0}, DV_EINVAL},
        {"", {0}, DV_EINVAL},
        {"http://", {0}, DV_EINVAL},
        {"http:///v1", {0}, DV_EINVAL},
        {"http://user:pw@host/", {0}, DV_EINVAL},
        {"http://host/?q", {0}, DV_EINVAL},
        {"http://host/#f", {0}, DV_EINVAL},
        {"http://ho st/", {0}, DV_EINVAL},
        {"http://host\r\nX: y/", {0}, DV_EINVAL},
        {"unix:relative", {0}, DV_EINVAL},
        {"unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         {0},
         DV_EINVAL},
        {"ftp://host/", {0}, DV_ENOENT}, /* a file of this name */
        {"http://host", {.key = ""}, DV_EINVAL},
        {"http://host", {.key = "a b"}, DV_EINVAL},
        {"http://host", {.key = "a\r\nX: y"}, DV_EINVAL},
        {"http://host", {.model = ""}, DV_EINVAL},
        {"http://host", {.model = "\xff"}, DV_EINVAL},
        {"http://host", {.profile = "a b"}, DV_EINVAL},
        {"/nonexistent/model.gguf", {0}, DV_ENOENT},
        {"/", {0}, DV_EINVAL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dv_err err = {0};
        dv_provider *p;
        int code = dv_provider_open(&p, bad[i].target, &bad[i].o, &err);
        if (code != bad[i].code || err.msg[0] == 0 || p != NULL)
            fail_msg("target %zu: %d %s", i, code, err.msg);
        assert_null(strstr(err.msg, "pw@"));
    }
}

/* ---- cancel, two calls at once ---- */

typedef struct canceler {
    dv_provider *p;
    const fake *f;
} canceler;

static void *cancel_soon(void *arg)
{
    const canceler *c = arg;
    const struct timespec tick = {.tv_nsec = 1000000};
    while (atomic_load(&c->f->n_requests) == 0)
        nanosleep(&tick, NULL);
    dv_provider_cancel(c->p);
    return NULL;
}

static void test_cancel_thread(void **state)
{
    static const fake_script scripts[] = {{"", FAKE_HOLD, NULL}, {GOOD, FAKE_CLOSE, NULL}};
    fake f;
    pthread_t t;
    dv_err err = {0};
    dv_provider_result r;
    const dv_provider_model *models;
    size_t n;
    dv_provider_request rq = ask(&question);
    for (int i = 0; i < 2; i++) {
        fake_open(&f, scripts, 2);
        dv_provider *p = open_url(&f);
        canceler c = {p, &f};
        dv_provider_cancel(p); /* of nothing: changes nothing */
        assert_int_equal(pthread_create(&t, NULL, cancel_soon, &c), 0);
        if (i == 0) {
            assert_int_equal(dv_provider_generate(p, &rq, &r, &err), 0);
            assert_int_equal(r.finish, DV_FINISH_CANCELED);
            assert_int_equal(err.code, 0);
        } else {
            assert_int_equal(dv_provider_models(p, &models, &n, &err), DV_ECANCELED);
        }
        pthread_join(t, NULL);
        assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), 0);
        assert_string_equal(r.text, "Hello");
        dv_provider_close(&p);
        fake_close(&f);
    }
}

static void test_cancel_callback(void **state)
{
    const fake_script script = {EVENTS DELTA("a") DELTA("b") DELTA("c"), FAKE_HOLD, NULL};
    fake f;
    dv_err err = {0};
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    heard h = {.stop_after = 2};
    const dv_provider_stream s = {.on_text = on_text, .arg = &h};
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    assert_int_equal(dv_provider_generate_stream(p, &rq, &s, &r, &err), 0);
    assert_int_equal(r.finish, DV_FINISH_CANCELED);
    assert_string_equal(r.text, "ab");
    assert_string_equal(h.text, "ab");
    assert_int_equal(err.code, 0);
    dv_provider_close(&p);
    fake_close(&f);
}

static int call_again(void *arg, const char *text, size_t len)
{
    dv_provider *p = arg;
    dv_provider_request rq = ask(&question);
    dv_provider_result r;
    const dv_provider_model *m;
    dv_provider_model one;
    size_t n;
    assert_int_equal(dv_provider_generate(p, &rq, &r, NULL), DV_EBUSY);
    assert_string_equal(r.text, "");
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), DV_EBUSY);
    assert_int_equal(dv_provider_model_info(p, NULL, &one, NULL), DV_EBUSY);
    assert_int_equal(dv_provider_switch_model(p, "x", NULL, NULL), DV_EBUSY);
    return 0;
}

static void test_busy(void **state)
{
    const fake_script script = {GOOD, FAKE_CLOSE, NULL};
    fake f;
    dv_provider_result r;
    dv_provider_request rq = ask(&question);
    fake_open(&f, &script, 1);
    dv_provider *p = open_url(&f);
    const dv_provider_stream s = {.on_text = call_again, .arg = p};
    assert_int_equal(dv_provider_generate_stream(p, &rq, &s, &r, NULL), 0);
    assert_string_equal(r.text, "Hello");
    dv_provider_close(&p);
    fake_close(&f);
}

/* ---- models ---- */

#define DROVER_LIST                                                                                                      \
    JSON                                                                                                                 \
        "{\"models\":[{\"name\":\"a\",\"state\":\"ready\",\"size\":9,\"parameters\":8,\"context_length\":7,"             \
        "\"architecture\":\"llama\",\"quantization\":\"Q8_0\"},{\"name\":\"b\",\"state\":\"unloaded\",\"default\":true," \
        "\"architecture\":null},{\"name\":5},{}]}"
#define OPENAI_LIST                                                                                                         \
    JSON                                                                                                                    \
        "{\"object\":\"list\",\"data\":[{\"id\":\"a\",\"meta\":{\"n_ctx\":6,\"n_ctx_train\":7,\"n_params\":8,\"size\":9}}," \
        "{\"id\":\"b\",\"status\":{\"value\":\"unloaded\"}},{\"id\":\"c\",\"meta\":null,\"size\":-1}]}"

static void test_models(void **state)
{
    static const fake_script drover[] = {{DROVER_LIST, FAKE_CLOSE, NULL}};
    static const fake_script openai[] = {{BAD("404", "", "{}"), FAKE_CLOSE, NULL}, {OPENAI_LIST, FAKE_CLOSE, NULL}};
    static const fake_script web[] = {
        {JSON "<html>", FAKE_CLOSE, NULL}, {OPENAI_LIST, FAKE_CLOSE, NULL}, {JSON "{\"data\":[]}", FAKE_CLOSE, NULL}};
    const dv_provider_model *m;
    dv_provider_model one;
    size_t n;
    fake f;
    dv_err err = {0};

    fake_open(&f, drover, 1);
    dv_provider *p = open_url(&f);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(m[0].name, "a");
    assert_string_equal(m[0].arch, "llama");
    assert_string_equal(m[0].quantization, "Q8_0");
    assert_true(m[0].loaded && !m[0].is_default && !m[1].loaded && m[1].is_default);
    assert_true(m[0].bytes == 9 && m[0].n_params == 8 && m[0].n_ctx_train == 7 && m[0].n_ctx == 0);
    assert_int_equal(dv_provider_model_info(p, NULL, &one, NULL), 0);
    assert_string_equal(one.name, "b");
    assert_string_equal(one.arch, "");
    assert_int_equal(dv_provider_model_info(p, "a", &one, NULL), 0);
    assert_string_equal(one.name, "a");
    assert_int_equal(dv_provider_model_info(p, "z", &one, &err), DV_ENOENT);
    assert_string_equal(one.name, "");
    assert_non_null(strstr(f.last, "GET /api/models HTTP/1.1\r\n"));
    dv_provider_close(&p);
    fake_close(&f);

    fake_open(&f, openai, 2);
    p = open_url(&f);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_true(m[0].n_ctx == 6 && m[0].n_ctx_train == 7 && m[0].n_params == 8 && m[0].bytes == 9 && m[0].loaded);
    assert_true(!m[1].loaded && m[2].loaded && m[2].bytes == 0);
    assert_non_null(strstr(f.last, "GET /v1/models HTTP/1.1\r\n"));
    assert_int_equal(dv_provider_model_info(p, NULL, &one, NULL), DV_EINVAL);
    dv_provider_close(&p);
    fake_close(&f);

    fake_open(&f, web, 3);
    p = open_url(&f);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(dv_provider_models(p, &m, &n, NULL), 0);
    assert_int_equal(n, 0);
    dv_provider_close(&p);
    fake_close(&f);
}

static void test_switch(void **state)
{
    static const fake_script service[] = {{JSON "{\"model\":\"b\",\"success\":true}", FAKE_CLOSE, NULL},
                                          {GOOD, FAKE_CLOSE, NULL}};
    static const fake_script plain[] = {{BAD("404", "", "{}"), FAKE_CLOSE, NULL},
                                        {BAD("404", "", "{}"), FAKE_CLOSE, NULL},
                                        {OPENAI_LIST, FAKE_CLOSE, NULL},
                                        {GOOD, FAKE_CLOSE, NULL}};
    static const fake_script none[] = {{BAD("404", "", "{}"), FAKE_CLOSE, NULL}, {DROVER_LIST, FAKE_CLOSE, NULL}};
    static const fake_script denied[] = {{BAD("403", "", "{\"error\":{\"message\":\"not yours\"}}"), FAKE_CLOSE, NULL}};
    static const struct {
        const fake_script *scripts;
        size_t n;
        const char *model;
        int code;
        unsigned requests;
    } rows[] = {
        {service, 2, "b", 0, 1}, {plain, 4, "c", 0, 3}, {none, 2, "zz", DV_ENOENT, 2}, {denied, 1, "b", DV_EACCES, 1}};
    for (size_t i = 0; i < 4; i++) {
        fake f;
        char want[64];
        dv_err err = {0};
        dv_provider_request rq = ask(&question);
        fake_open(&f, rows[i].scripts, rows[i].n);
        dv_provider *p = open_url(&f);
        assert_int_equal(dv_provider_switch_model(p, NULL, NULL, NULL), DV_EINVAL);
        assert_int_equal(dv_provider_switch_model(p, "x", "a b", NULL), DV_EINVAL);
        assert_int_equal(dv_provider_switch_model(p, rows[i].model, "fast", &err), rows[i].code);
        assert_int_equal(atomic_load(&f.n_requests), rows[i].requests);
        if (i == 0)
            assert_non_null(strstr(f.last, "{\"model\":\"b\",\"profile\":\"fast\"}"));
        if (rows[i].code == 0) {
            assert_int_equal(dv_provider_generate(p, &rq, NULL, NULL), 0);
            snprintf(want, sizeof want, "{\"model\":\"%s\",", rows[i].model);
            assert_non_null(strstr(f.last, want));
            assert_non_null(strstr(f.last, "X-Drover-Profile: fast\r\n"));
        } else {
            assert_true(err.msg[0] != 0);
        }
        dv_provider_close(&p);
        fake_close(&f);
    }
}

/* ---- memory ---- */

/* Every allocation fails in turn, and each is an error that leaves nothing behind. */
static void test_no_memory(void **state)
{
    const fake_script script = {GOOD, FAKE_CLOSE, NULL}, list = {DROVER_LIST, FAKE_CLOSE, NULL};
    dv_provider_request rq = ask(&question);
    rq.json_schema = "{\"type\":\"string\"}";
    for (int models = 0; models < 2; models++) {
        fake f;
        int code = DV_ENOMEM, fails = 0;
        fake_open(&f, models ? &list : &script, 1);
        for (uint64_t n = 1; code != 0; n++) {
            const dv_provider_options o = {.key = "k", .model = "m", .profile = "fast", .silence_ms = 60000};
            dv_provider *p;
            dv_err err = {0};
            const dv_provider_model *m;
            size_t count;
            dv_mem_fail_after(n);
            code = dv_provider_open(&p, f.url, &o, &err);
            if (code == 0)
                code = models ? dv_provider_models(p, &m, &count, &err) : dv_provider_generate(p, &rq, NULL, &err);
            dv_mem_fail_after(0);
            dv_provider_close(&p);
            if (code != 0)
                fails++;
            if ((code != 0 && code != DV_ENOMEM) || (code != 0) != (err.msg[0] != 0))
                fail_msg("allocation %llu: %d %s", (unsigned long long)n, code, err.msg);
            assert_int_equal(dv_mem_used(DV_MEM_CLIENT), 0);
            assert_int_equal(dv_mem_used(DV_MEM_BASE), 0);
        }
        assert_true(fails > 10);
        fake_close(&f);
    }
}

static int nothing_left(void **state)
{
    return dv_mem_used(DV_MEM_CLIENT) == 0 && dv_mem_used(DV_MEM_BASE) == 0 && dv_mem_used(DV_MEM_JSON) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_endless_answer),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_cancel_thread),
        cmocka_unit_test(test_cancel_callback),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_no_memory),
    };
    dv_json_use_mem();
    return cmocka_run_group_tests(tests, NULL, nothing_left);
}
