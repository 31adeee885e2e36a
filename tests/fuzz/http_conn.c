/* SPDX-License-Identifier: MIT */
/* A whole connection with a small application: the client's bytes at once, one by one, and in sevens lead to the same
 * requests and the same replies. */
#include "target.h"

#include "../unit/http_fake.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/req.h"

#include <string.h>

typedef struct app {
    dv_http_req *held;
    unsigned heads, ends, gone;
} app;

static void on_head(void *arg, dv_http_req *r)
{
    app *a = arg;
    a->heads++;
    if (strncmp(dv_http_path(r), "/d", 2) == 0)
        dv_http_reply(r, 401, NULL, NULL, 0);
}

static void on_request(void *arg, dv_http_req *r)
{
    app *a = arg;
    size_t len;
    const char *body = dv_http_body(r, &len);
    const char *q = dv_http_query(r, "q");
    switch (dv_http_path(r)[1]) {
    case 's':
        dv_http_stream_begin(r, 200, "text/plain");
        dv_http_stream_write(r, body, len);
        dv_http_stream_end(r);
        break;
    case 'a':
        dv_http_stream_begin(r, 200, NULL);
        dv_http_stream_write(r, body, len);
        dv_http_abort(r);
        break;
    case 'h':
        dv_http_unref(a->held);
        a->held = dv_http_ref(r);
        break;
    case 'n': break; /* nobody answers */
    default: dv_http_add_header(r, "X-Q", q != NULL ? q : "none"); dv_http_reply(r, 200, "text/plain", body, len);
    }
}

static void on_gone(void *arg, dv_http_req *r) { ((app *)arg)->gone++; }
static void on_end(void *arg, dv_http_req *r) { ((app *)arg)->ends++; }

/* The time goes on between two runs. Bodies may have zeros in them. */
static void mask_dates(dv_buf *b)
{
    static const char name[] = "\r\nDate: ";
    const size_t n = sizeof name - 1;
    for (size_t at = 0; at < b->len;) {
        char *p = memmem(b->data + at, b->len - at, name, n);
        if (p == NULL)
            return;
        at = (size_t)(p - b->data) + n;
        memset(b->data + at, 'D', DV_MIN((size_t)DV__DATE_LEN, b->len - at));
    }
}

static void run(const char *p, size_t n, size_t step, fake *f, app *a)
{
    dv_http_options o;
    dv__core k;
    dv_http_options_init(&o);
    o.max_head = 2048;
    o.max_uri = 256;
    o.max_fields = 16;
    o.max_body = 2048;
    o.max_bodies = 1 << 20;
    o.max_ahead = 2048;
    o.arg = a;
    o.on_head = on_head;
    o.on_request = on_request;
    o.on_gone = on_gone;
    o.on_end = on_end;
    *a = (app){0};
    dv__core_init(&k, &o);
    k.id_prefix = 1;
    if (fake_open(f, &k)) {
        fake_send(f, p, n, step);
        if (a->held != NULL)
            dv_http_reply(a->held, 200, NULL, "later", 5);
        dv__core_run_ready(&k);
        DV_FUZZ_CHECK(f->closed || f->in.len <= o.max_ahead);
        if (!f->closed)
            dv__conn_eof(f->conn);
        if (!f->closed)
            dv__conn_error(f->conn);
    }
    dv_http_unref(a->held);
    dv__core_fini(&k);
    DV_FUZZ_CHECK(k.conns == NULL && atomic_load(&k.n_conns) == 0 && a->heads == a->ends && a->gone <= a->ends);
    mask_dates(&f->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t steps[] = {1, 7};
    fake once, cut;
    app a, b;
    if (size > 1 << 14)
        return 0;
    run((const char *)data, size, size > 0 ? size : 1, &once, &a);
    for (size_t i = 0; i < DV_ARRAY_LEN(steps); i++) {
        run((const char *)data, size, steps[i], &cut, &b);
        /* Where allocations fail from some point on, they fail at different places. */
        void *probe = dv_alloc(DV_MEM_HTTP, 1);
        if (probe != NULL) {
            DV_FUZZ_CHECK(a.heads == b.heads && once.out.len == cut.out.len);
            DV_FUZZ_CHECK(once.out.len == 0 || memcmp(once.out.data, cut.out.data, cut.out.len) == 0);
        }
        dv_free(probe);
        dv_buf_fini(&cut.in);
        dv_buf_fini(&cut.out);
    }
    dv_buf_fini(&once.in);
    dv_buf_fini(&once.out);
    return 0;
}
