/* SPDX-License-Identifier: MIT */
/* A connection without a socket: a transport in memory, for tests and the fuzzer. */
#ifndef DV_TEST_HTTP_FAKE_H
#define DV_TEST_HTTP_FAKE_H

#include "base/attr.h"
#include "base/buf.h"
#include "http/conn.h"

#include <stdint.h>
#include <string.h>

typedef struct fake {
    dv__conn *conn;
    dv_buf in;    /* what the client sent and nobody took */
    dv_buf out;   /* everything that was written */
    size_t taken; /* bytes of out that the client's socket took */
    bool stuck;   /* the client does not read */
    bool finished, closed, reset, offering;
    unsigned deadline_ms;
} fake;

static int fake_write(void *io, const void *p, size_t n)
{
    fake *f = io;
    int code = dv_buf_add(&f->out, p, n);
    if (code == 0 && !f->stuck)
        f->taken = f->out.len;
    return code;
}

static size_t fake_pending(void *io)
{
    fake *f = io;
    return f->out.len - f->taken;
}

static uint64_t fake_taken(void *io) { return ((fake *)io)->taken; }

static void fake_deadline(void *io, unsigned ms) { ((fake *)io)->deadline_ms = ms; }
static void fake_finish(void *io) { ((fake *)io)->finished = true; }

static void fake_close(void *io, bool reset)
{
    fake *f = io;
    f->closed = true;
    f->reset = reset;
    f->conn = NULL;
}

static void fake_offer(fake *f)
{
    f->offering = true;
    while (f->in.len > 0 && !f->closed) {
        size_t used = dv__conn_input(f->conn, f->in.data, f->in.len);
        if (used == DV__CONN_CLOSED || used == 0)
            break;
        dv_buf_shift(&f->in, used);
    }
    f->offering = false;
    if (!f->closed)
        dv__conn_waiting(f->conn, f->in.len);
}

static void fake_resume(void *io)
{
    fake *f = io;
    if (!f->offering)
        fake_offer(f);
}

static const dv__io_ops fake_ops = {.write = fake_write,
                                    .pending = fake_pending,
                                    .taken = fake_taken,
                                    .deadline = fake_deadline,
                                    .finish = fake_finish,
                                    .resume = fake_resume,
                                    .close = fake_close};

/* Whether there is a connection now. */
static inline bool fake_open(fake *f, dv__core *k)
{
    *f = (fake){0};
    dv_buf_init(&f->in, 0);
    dv_buf_init(&f->out, 0);
    const dv__peer peer = {.text = "test"};
    f->conn = dv__conn_new(k, &fake_ops, f, &peer);
    f->closed = f->conn == NULL;
    return !f->closed;
}

/* Close from the outside if it is open still. */
static inline void fake_fini(fake *f)
{
    if (!f->closed)
        dv__conn_error(f->conn);
    dv_buf_fini(&f->in);
    dv_buf_fini(&f->out);
}

/* The client sends n bytes in pieces of step, each of them memory of its own size. */
static inline void fake_send(fake *f, const char *p, size_t n, size_t step)
{
    for (size_t at = 0; at < n && !f->closed; at += step) {
        if (dv_buf_add(&f->in, p + at, DV_MIN(step, n - at)) != 0)
            return;
        fake_offer(f);
    }
}

/* The client reads everything. */
static inline void fake_read(fake *f)
{
    f->stuck = false;
    while (!f->closed && f->taken < f->out.len) {
        f->taken = f->out.len;
        dv__conn_output(f->conn);
    }
}

#endif
