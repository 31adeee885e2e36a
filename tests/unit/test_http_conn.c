/* SPDX-License-Identifier: MIT */
/* Connections over memory: exchanges, early replies, streams, deadlines and ends, and every allocation failing in turn. */
#include "base/err.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/req.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "http_fake.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static dv__core core;
static dv_http_req *held; /* the request of a route that does not reply by itself, with a reference */
static unsigned n_heads, n_requests, n_gone, n_writable, n_ends;
static int end_status;
static uint64_t end_sent;

static void on_head(void *arg, dv_http_req *r)
{
    n_heads++;
    if (strcmp(dv_http_path(r), "/denied") == 0)
        dv_http_reply(r, 401, NULL, "no", 2);
    if (strcmp(dv_http_path(r), "/early-stream") == 0) {
        dv_http_stream_begin(r, 200, NULL);
        held = dv_http_ref(r);
    }
}

static void on_request(void *arg, dv_http_req *r)
{
    size_t len;
    const char *body = dv_http_body(r, &len);
    n_requests++;
    if (strcmp(dv_http_path(r), "/echo") == 0) {
        dv_http_reply(r, 200, "text/plain", body, len);
    } else if (strcmp(dv_http_path(r), "/stream") == 0) {
        dv_http_stream_begin(r, 200, "text/plain");
        held = dv_http_ref(r);
    } else if (strcmp(dv_http_path(r), "/held") == 0) {
        held = dv_http_ref(r);
    } else if (strcmp(dv_http_path(r), "/forgotten") != 0) {
        dv_http_reply(r, 204, NULL, NULL, 0);
    }
}

static void on_gone(void *arg, dv_http_req *r)
{
    n_gone++;
    assert_int_equal(dv_http_reply(r, 200, NULL, NULL, 0), DV_ECANCELED);
}

static void on_writable(void *arg, dv_http_req *r) { n_writable++; }

static void on_end(void *arg, dv_http_req *r)
{
    n_ends++;
    end_status = dv_http_status(r);
    end_sent = dv_http_bytes_sent(r);
}

static dv_http_options options(void)
{
    dv_http_options o;
    dv_http_options_init(&o);
    o.on_head = on_head;
    o.on_request = on_request;
    o.on_gone = on_gone;
    o.on_writable = on_writable;
    o.on_end = on_end;
    o.max_body = 1000;
    o.max_bodies = 4000;
    o.max_ahead = 4096;
    o.stream_queue_bytes = 4096;
    return o;
}

static void begin_with(fake *f, const dv_http_options *o)
{
    n_heads = n_requests = n_gone = n_writable = n_ends = 0;
    end_status = 0;
    held = NULL;
    dv__core_init(&core, o);
    assert_true(fake_open(f, &core));
}

static void begin(fake *f)
{
    dv_http_options o = options();
    begin_with(f, &o);
}

static void finish(fake *f)
{
    fake_fini(f);
    dv_http_unref(held);
    dv__core_fini(&core);
    assert_null(core.conns);
    assert_int_equal(atomic_load(&core.n_conns), 0);
    assert_int_equal(dv_mem_used(DV_MEM_HTTP), 0);
    assert_int_equal(n_ends, n_heads);
}

static void send_text(fake *f, const char *text) { fake_send(f, text, strlen(text), strlen(text)); }

/* How often a text is in the output. */
static unsigned count(fake *f, const char *text)
{
    unsigned n = 0;
    for (const char *p = dv_buf_str(&f->out); (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

/* The output ends like this. */
static bool ends(fake *f, const char *text)
{
    size_t n = strlen(text);
    return f->out.len >= n && memcmp(f->out.data + f->out.len - n, text, n) == 0;
}

static void sleep_ms(long ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static void test_pipeline(void **state)
{
    static const char text[] = GET(
        "/none") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                 "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n\r\n" GET(
                     "/none");
    for (size_t step = 1; step < sizeof text; step++) {
        fake f;
        begin(&f);
        fake_send(&f, text, sizeof text - 1, step);
        assert_int_equal(count(&f, "HTTP/1.1 204 No Content\r\n"), 2);
        assert_int_equal(count(&f, "HTTP/1.1 200 OK\r\n"), 2);
        assert_int_equal(count(&f, "Content-Length: 3\r\n"), 2);
        assert_int_equal(count(&f, "\r\n\r\nabcHTTP/1.1 200"), 1);
        assert_int_equal(count(&f, "\r\n\r\ndefHTTP/1.1 204"), 1);
        assert_int_equal(count(&f, "Connection: close"), 0);
        assert_int_equal(n_ends, 4);
        assert_int_equal(n_gone, 0);
        assert_false(f.closed);
        finish(&f);
    }
}

/* The second request waits for the first one's reply, which comes from elsewhere. */
static void test_later_reply(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, GET("/held") GET("/none"));
    assert_int_equal(n_requests, 1);
    assert_int_equal(f.out.len, 0);
    assert_int_equal(f.in.len, strlen(GET("/none")));
    assert_int_equal(dv_http_reply(held, 202, NULL, "x", 1), 0);
    assert_int_equal(dv_http_reply(held, 202, NULL, "x", 1), DV_EINVAL);
    dv__core_run_ready(&core);
    assert_int_equal(n_requests, 2);
    assert_int_equal(count(&f, "HTTP/1.1 202 Accepted\r\n"), 1);
    assert_int_equal(count(&f, "HTTP/1.1 204 No Content\r\n"), 1);
    assert_int_equal(dv_http_reply(held, 200, NULL, NULL, 0), DV_ECANCELED);
    assert_true(dv_http_gone(held));
    finish(&f);
}

static void test_states(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, GET("/held"));
    assert_int_equal(dv_http_stream_write(held, "x", 1), DV_EINVAL);
    assert_int_equal(dv_http_stream_end(held), DV_EINVAL);
    assert_int_equal(dv_http_reply(held, 199, NULL, NULL, 0), DV_EINVAL);
    assert_int_equal(dv_http_reply(held, 600, NULL, NULL, 0), DV_EINVAL);
    assert_int_equal(dv_http_reply(held, 200, "a\r\nb", NULL, 0), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "A b", "c"), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "", "c"), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "A", "c\r\nSet-Cookie: x"), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "A", "c\n"), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "content-length", "5"), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "A", "1"), 0);
    assert_int_equal(dv_http_stream_begin(held, 200, NULL), 0);
    assert_int_equal(dv_http_stream_begin(held, 200, NULL), DV_EINVAL);
    assert_int_equal(dv_http_add_header(held, "B", "1"), DV_EINVAL);
    assert_int_equal(dv_http_stream_end(held), 0);
    assert_int_equal(dv_http_stream_write(held, "x", 1), DV_EINVAL);
    dv__core_run_ready(&core);
    assert_int_equal(count(&f, "A: 1\r\n"), 1);
    assert_true(ends(&f, "\r\n\r\n0\r\n\r\n"));
    finish(&f);
}

static void test_headers_limit(void **state)
{
    fake f;
    char value[1001] = {0};
    begin(&f);
    send_text(&f, GET("/held"));
    memset(value, 'v', sizeof value - 1);
    int code = 0;
    for (int i = 0; i < 100 && code == 0; i++)
        code = dv_http_add_header(held, "A", value);
    assert_int_equal(code, DV_ELIMIT);
    assert_int_equal(dv_http_add_header(held, "Small", "1"), 0); /* what was refused has left nothing behind */
    assert_int_equal(dv_http_reply(held, 200, NULL, NULL, 0), 0);
    dv__core_run_ready(&core);
    assert_int_equal(count(&f, "v\r\nSmall: 1\r\n\r\n"), 1);
    finish(&f);
}

static void test_early_reply(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nsome");
    assert_int_equal(n_requests, 0);
    assert_int_equal(n_ends, 1);
    assert_int_equal(count(&f, "HTTP/1.1 401 Unauthorized\r\n"), 1);
    assert_int_equal(count(&f, "Connection: close\r\n"), 1);
    assert_true(f.finished && !f.closed); /* FIN, and then wait for the client's */
    send_text(&f, "more of the body" GET("/none"));
    assert_int_equal(f.in.len, 0);
    assert_int_equal(n_heads, 1);
    dv__conn_eof(f.conn);
    assert_true(f.closed && !f.reset);
    finish(&f);
    /* Without a body the connection can go on. */
    begin(&f);
    send_text(&f, GET("/denied") GET("/none"));
    assert_int_equal(n_requests, 1);
    assert_int_equal(count(&f, "Connection: close\r\n"), 0);
    finish(&f);
}

static void test_early_stream(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, "POST /early-stream HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    dv_http_stream_write(held, "abc", 3);
    dv__core_run_ready(&core);
    send_text(&f, "123456789" GET("/none"));
    assert_int_equal(n_requests, 0);
    assert_int_equal(count(&f, "Connection: close\r\n"), 1);
    dv_http_stream_end(held);
    dv__core_run_ready(&core);
    assert_true(ends(&f, "3\r\nabc\r\n0\r\n\r\n"));
    assert_true(f.finished);
    finish(&f);
}

static void test_expect(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(dv_buf_str(&f.out), "HTTP/1.1 100 Continue\r\n\r\n");
    send_text(&f, "ok");
    assert_true(ends(&f, "\r\n\r\nok"));
    finish(&f);
    const char *const refused[] = {
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
        "POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        begin(&f);
        send_text(&f, refused[i]);
        assert_int_equal(count(&f, "100 Continue"), 0);
        assert_int_equal(count(&f, i == 0 ? "HTTP/1.1 413 " : "HTTP/1.1 401 "), 1);
        finish(&f);
    }
}

static void test_body_limits(void **state)
{
    fake f;
    char chunk[700] = {0};
    int n = sprintf(chunk, "258\r\n%0600d\r\n", 0);
    begin(&f);
    send_text(&f, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    fake_send(&f, chunk, (size_t)n, 50);
    assert_int_equal(f.out.len, 0);
    fake_send(&f, chunk, (size_t)n, 50);
    assert_int_equal(count(&f, "HTTP/1.1 413 "), 1);
    assert_int_equal(n_requests, 0);
    finish(&f);
    /* All bodies together. */
    dv_http_options o = options();
    o.max_bodies = o.max_body;
    begin_with(&f, &o);
    fake g;
    assert_true(fake_open(&g, &core));
    send_text(&f, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 700\r\n\r\n");
    send_text(&g, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 700\r\n\r\n");
    fake_send(&f, chunk, 650, 650);
    fake_send(&g, chunk, 300, 300);
    assert_int_equal(g.out.len, 0);
    fake_send(&g, chunk, 300, 300);
    assert_int_equal(count(&g, "HTTP/1.1 503 "), 1);
    assert_int_equal(count(&g, "Retry-After: 1\r\n"), 1);
    fake_fini(&g);
    dv__core_run_ready(&core); /* its references go */
    fake_send(&f, chunk, 50, 50);
    assert_int_equal(count(&f, "HTTP/1.1 200 "), 1);
    finish(&f);
}

/* Large replies that nobody reads count until they are gone; small ones are always taken. */
static void test_replies_limit(void **state)
{
    static char big[90 << 10];
    fake f, g;
    dv_http_options o = options();
    o.max_bodies = 100 << 10;
    memset(big, 120, sizeof big);
    begin_with(&f, &o);
    assert_true(fake_open(&g, &core));
    f.stuck = true;
    send_text(&f, GET("/held"));
    assert_int_equal(dv_http_reply(held, 200, NULL, big, sizeof big), 0);
    dv_http_req *first = held;
    dv__core_run_ready(&core);
    send_text(&g, GET("/held"));
    assert_int_equal(dv_http_reply(held, 200, NULL, big, sizeof big), DV_EBUSY);
    assert_int_equal(dv_http_reply(held, 200, NULL, big, DV_HTTP_SMALL_REPLY), 0);
    dv_http_unref(held);
    held = NULL;
    dv__core_run_ready(&core);
    assert_int_equal(count(&g, "HTTP/1.1 200 "), 1);
    fake_read(&f);
    dv_http_unref(first);
    send_text(&g, GET("/held"));
    assert_int_equal(dv_http_reply(held, 200, NULL, big, sizeof big), 0);
    dv__core_run_ready(&core);
    assert_int_equal(count(&g, "HTTP/1.1 200 "), 2);
    fake_fini(&g);
    finish(&f);
}

static void test_head_and_old(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, "HEAD /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(count(&f, "Content-Length: 3\r\n"), 1);
    assert_true(ends(&f, "\r\n\r\n"));
    send_text(&f, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(dv_http_stream_write(held, "abc", 3), 0);
    assert_int_equal(dv_http_stream_end(held), 0);
    dv__core_run_ready(&core);
    assert_int_equal(count(&f, "abc"), 0);
    assert_int_equal(count(&f, "0\r\n\r\n"), 0);
    assert_false(f.closed);
    finish(&f);

    begin(&f);
    send_text(&f, "GET /stream HTTP/1.0\r\n\r\n");
    dv_http_stream_write(held, "abc", 3);
    dv__core_run_ready(&core);
    assert_int_equal(count(&f, "Transfer-Encoding"), 0);
    assert_int_equal(count(&f, "Connection: close\r\n"), 1);
    assert_false(f.closed);
    dv_http_stream_end(held);
    dv__core_run_ready(&core);
    assert_true(ends(&f, "\r\n\r\nabc"));
    assert_true(f.closed && !f.reset);
    finish(&f);
}

static void test_forgotten(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, GET("/forgotten"));
    assert_int_equal(count(&f, "HTTP/1.1 500 "), 1);
    assert_int_equal(end_status, 500);
    finish(&f);
}

static void test_abort(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, GET("/stream"));
    dv_http_stream_write(held, "abc", 3);
    dv_http_abort(held);
    dv__core_run_ready(&core);
    assert_true(ends(&f, "3\r\nabc\r\n"));
    assert_true(f.closed);
    assert_int_equal(n_gone, 0);
    assert_int_equal(n_ends, 1);
    finish(&f);

    begin(&f);
    send_text(&f, "GET /stream HTTP/1.0\r\n\r\n");
    dv_http_stream_write(held, "abc", 3);
    dv_http_abort(held);
    dv__core_run_ready(&core);
    assert_true(f.closed && f.reset);
    finish(&f);

    begin(&f);
    send_text(&f, GET("/held"));
    dv_http_abort(held);
    dv__core_run_ready(&core);
    assert_true(f.closed && f.reset);
    assert_int_equal(f.out.len, 0);
    finish(&f);
}

/* The client leaves: while a reply is pending, in a stream, in a body, and after everything was said. */
static void test_gone(void **state)
{
    static const struct {
        const char *text;
        unsigned gone, ends;
    } rows[] = {{GET("/held"), 1, 1},
                {GET("/stream"), 1, 1},
                {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 1, 1},
                {"GET / HT", 0, 0},
                {"", 0, 0},
                {GET("/none"), 0, 1}};
    for (size_t i = 0; i < 2 * DV_ARRAY_LEN(rows); i++) {
        fake f;
        begin(&f);
        send_text(&f, rows[i / 2].text);
        if (i % 2 == 0)
            dv__conn_eof(f.conn);
        else
            dv__conn_error(f.conn);
        assert_true(f.closed);
        assert_int_equal(n_gone, rows[i / 2].gone);
        assert_int_equal(n_ends, rows[i / 2].ends);
        if (held != NULL)
            assert_int_equal(dv_http_stream_write(held, "x", 1), DV_ECANCELED);
        finish(&f);
    }
}

/* What was said before the client closed its side still goes out. */
static void test_half_close_after_end(void **state)
{
    fake f;
    begin(&f);
    f.stuck = true;
    send_text(&f, GET("/none"));
    dv__conn_eof(f.conn);
    assert_false(f.closed);
    fake_read(&f);
    assert_true(f.closed && !f.reset);
    finish(&f);
}

static void test_back_pressure(void **state)
{
    static char piece[1000];
    fake f;
    begin(&f);
    send_text(&f, GET("/stream"));
    f.stuck = true;
    size_t n = 0;
    int code = 0;
    memset(piece, 'p', sizeof piece);
    while (code == 0 && n < 1000) {
        code = dv_http_stream_write(held, piece, sizeof piece);
        n += code == 0;
        dv__core_run_ready(&core);
    }
    assert_int_equal(code, DV_EBUSY);
    assert_true(n < 200); /* two bounds: the transport's and the queue's */
    assert_true(dv_http_stream_pending(held) > 64 << 10);
    assert_int_equal(n_writable, 0);
    fake_read(&f);
    assert_int_equal(n_writable, 1);
    assert_int_equal(dv_http_stream_pending(held), 0);
    assert_int_equal(dv_http_stream_write(held, piece, sizeof piece), 0);
    dv_http_stream_end(held);
    dv__core_run_ready(&core);
    assert_int_equal(count(&f, "3e8\r\n"), n + 1);
    assert_int_equal(n_ends, 1);
    assert_int_equal(end_sent, f.out.len);
    finish(&f);
}

static void test_stalled(void **state)
{
    dv_http_options o = options();
    o.write_stall_ms = 1;
    fake f;
    begin_with(&f, &o);
    send_text(&f, GET("/stream"));
    f.stuck = true;
    for (int i = 0; i < 9; i++)
        dv_http_stream_write(held, "0123456789abcdef", 16);
    dv__core_run_ready(&core);
    sleep_ms(3);
    dv__conn_timeout(f.conn);
    assert_true(f.closed && f.reset);
    assert_int_equal(n_gone, 1);
    assert_true(end_sent < f.out.len);
    finish(&f);
    /* Slow, but not too slow: every time some more is taken. */
    static char piece[20000];
    begin_with(&f, &o);
    send_text(&f, GET("/stream"));
    f.stuck = true;
    dv_http_stream_write(held, piece, sizeof piece);
    dv__core_run_ready(&core);
    for (int i = 0; i < 4; i++) {
        f.taken += 4096;
        sleep_ms(3);
        dv__conn_timeout(f.conn);
        assert_false(f.closed);
    }
    sleep_ms(3);
    dv__conn_timeout(f.conn);
    assert_true(f.closed);
    finish(&f);
}

/* Deadlines of the phases, with what the client is told. */
static void test_deadlines(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {{"", ""},
                {"GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 "},
                {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "HTTP/1.1 408 "},
                {GET("/none"), "HTTP/1.1 204 "},
                {"POST /denied HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 401 "}};
    dv_http_options o = options();
    o.head_timeout_ms = o.body_timeout_ms = o.idle_timeout_ms = o.linger_ms = 1;
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        fake f;
        begin_with(&f, &o);
        send_text(&f, rows[i].text);
        for (int k = 0; k < 3 && !f.closed; k++) { /* the phase, then what lingers after a 408 */
            sleep_ms(3);
            dv__conn_timeout(f.conn);
        }
        assert_true(f.closed);
        assert_int_equal(strncmp(dv_buf_str(&f.out), rows[i].says, strlen(rows[i].says)), 0);
        finish(&f);
    }
    /* A reply may take as long as it takes. */
    fake f;
    begin_with(&f, &o);
    send_text(&f, GET("/held"));
    sleep_ms(3);
    dv__conn_timeout(f.conn);
    assert_false(f.closed);
    finish(&f);
}

static void test_sent_ahead(void **state)
{
    fake f;
    begin(&f);
    send_text(&f, GET("/stream"));
    static char junk[3000];
    fake_send(&f, junk, sizeof junk, 100);
    assert_false(f.closed);
    fake_send(&f, junk, sizeof junk, 100);
    assert_true(f.closed);
    assert_int_equal(n_gone, 1);
    finish(&f);
}

static void test_drain(void **state)
{
    fake idle, busy;
    begin(&idle);
    assert_true(fake_open(&busy, &core));
    send_text(&busy, GET("/held"));
    atomic_store(&core.draining, true);
    dv__core_drain(&core);
    assert_true(idle.closed && !busy.closed);
    assert_int_equal(dv_http_reply(held, 200, NULL, "bye", 3), 0);
    dv__core_run_ready(&core);
    assert_int_equal(count(&busy, "Connection: close\r\n"), 1);
    assert_true(busy.closed && !busy.reset);
    fake_fini(&busy);
    finish(&idle);
}

static void test_evict(void **state)
{
    fake f, g, h;
    begin(&f);
    assert_true(fake_open(&g, &core) && fake_open(&h, &core));
    sleep_ms(2);
    send_text(&f, GET("/held"));
    send_text(&g, GET("/none")); /* idle since now */
    assert_true(dv__core_evict(&core));
    assert_true(h.closed && !g.closed);
    assert_true(dv__core_evict(&core));
    assert_true(g.closed);
    assert_false(dv__core_evict(&core));
    assert_false(f.closed);
    fake_fini(&g);
    fake_fini(&h);
    finish(&f);
}

static void refuse_json(void *arg, int status, const char *why, dv_buf *body, const char **type)
{
    *type = "application/json";
    dv_buf_printf(body, "{\"status\":%d,\"why\":", status);
    dv_buf_json_str(body, why, strlen(why));
    dv_buf_addc(body, '}');
}

static void test_refusal(void **state)
{
    dv_http_options o = options();
    o.on_refuse = refuse_json;
    fake f;
    begin_with(&f, &o);
    send_text(&f, "GET / HTTP/1.1\r\n\r\n" GET("/none"));
    assert_int_equal(count(&f, "HTTP/1.1 "), 1);
    assert_int_equal(count(&f, "Content-Type: application/json\r\n"), 1);
    assert_true(ends(&f, "{\"status\":400,\"why\":\"Host is missing\"}"));
    assert_int_equal(n_heads, 0);
    finish(&f);
}

static void scenario(fake *f)
{
    static const char text[] = GET(
        "/none") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                 "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n" GET(
                     "/stream");
    fake_send(f, text, sizeof text - 1, 7);
    if (held != NULL) {
        dv_http_stream_write(held, "abc", 3);
        dv__core_run_ready(&core);
        dv_http_stream_end(held);
        dv__core_run_ready(&core);
    }
    if (!f->closed)
        fake_send(f, "bad\r\n", 5, 1);
}

static void test_no_memory(void **state)
{
    fake f;
    begin(&f);
    uint64_t before = dv_mem_count();
    scenario(&f);
    uint64_t n = dv_mem_count() - before;
    assert_int_equal(count(&f, "HTTP/1.1 400 "), 1);
    finish(&f);
    assert_true(n > 10);
    for (uint64_t i = 1; i <= n; i++) {
        begin(&f);
        dv_mem_fail_after(i);
        scenario(&f);
        dv_mem_fail_after(0);
        finish(&f);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
    }
}

static unsigned n_destroyed;
static void destroy(void *p) { n_destroyed += *(unsigned *)p; }

static void test_user(void **state)
{
    unsigned one = 1;
    fake f;
    begin(&f);
    n_destroyed = 0;
    send_text(&f, GET("/held?x=1&y"));
    assert_null(dv_http_user(held));
    dv_http_set_user(held, &one, destroy);
    assert_ptr_equal(dv_http_user(held), &one);
    assert_string_equal(dv_http_query(held, "x"), "1");
    assert_string_equal(dv_http_query(held, "y"), "");
    assert_null(dv_http_query(held, "z"));
    assert_string_equal(dv_http_header(held, "hOST"), "a");
    assert_null(dv_http_header(held, "X"));
    assert_int_equal(strlen(dv_http_id(held)), 24);
    dv__conn_error(f.conn);
    assert_int_equal(n_destroyed, 0);
    dv_http_unref(held);
    held = NULL;
    assert_int_equal(n_destroyed, 1);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),      cmocka_unit_test(test_later_reply),
        cmocka_unit_test(test_states),        cmocka_unit_test(test_headers_limit),
        cmocka_unit_test(test_early_reply),   cmocka_unit_test(test_early_stream),
        cmocka_unit_test(test_expect),        cmocka_unit_test(test_body_limits),
        cmocka_unit_test(test_replies_limit), cmocka_unit_test(test_head_and_old),
        cmocka_unit_test(test_forgotten),     cmocka_unit_test(test_abort),
        cmocka_unit_test(test_gone),          cmocka_unit_test(test_half_close_after_end),
        cmocka_unit_test(test_back_pressure), cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_deadlines),     cmocka_unit_test(test_sent_ahead),
        cmocka_unit_test(test_drain),         cmocka_unit_test(test_evict),
        cmocka_unit_test(test_refusal),       cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
