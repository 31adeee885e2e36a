/* SPDX-License-Identifier: MIT */
/* A server's reply, as a stream of events or as one object: fed at once and byte by byte it gives the same answer and verdict, and what a
 * server reports becomes an error whatever it is. The first byte says which. */
#include "target.h"

#include "base/utf8.h"
#include "provider/answer.h"

#include <string.h>

typedef struct heard {
    dv_buf text, reasoning;
} heard;

static int on_text(void *arg, const char *text, size_t len)
{
    DV_FUZZ_CHECK(dv_utf8_valid(text, len));
    return dv_buf_add(&((heard *)arg)->text, text, len);
}

static int on_reasoning(void *arg, const char *text, size_t len)
{
    return dv_buf_add(&((heard *)arg)->reasoning, text, len);
}

static int feed(dv__answer *a, bool events, const char *p, size_t n, size_t step)
{
    dv_err err = {0};
    int rc = 0;
    for (size_t at = 0; at < n && rc == 0; at += step)
        rc = dv__answer_feed(a, events, p + at, DV_MIN(step, n - at), &err);
    if (rc == 0)
        rc = dv__answer_end(a, events, &err);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (err.msg[0] == 0));
    return rc;
}

/* A callback that has no memory cancels. */
static bool starved(int rc) { return rc == DV_ENOMEM || rc == DV_ECANCELED; }

static void check_same(const dv_buf *a, const dv_buf *b)
{
    DV_FUZZ_CHECK(a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    heard h = {0};
    dv_err err = {0};
    dv__answer a, b;
    const dv_provider_stream stream = {.on_text = on_text, .on_reasoning = on_reasoning, .arg = &h};
    if (size == 0)
        return 0;
    bool events = data[0] != 'j';
    const char *p = (const char *)data + 1;
    dv__answer_init(&a, &stream);
    dv__answer_init(&b, NULL);
    int rc = feed(&a, events, p, size - 1, size), again = feed(&b, events, p, size - 1, 1);
    /* Where no memory is left the two may get differently far. */
    if (!starved(rc) && !starved(again)) {
        DV_FUZZ_CHECK(again == rc);
        check_same(&a.text, &b.text);
        check_same(&a.reasoning, &b.reasoning);
        check_same(&a.text, &h.text);
        check_same(&a.reasoning, &h.reasoning);
        DV_FUZZ_CHECK(a.finish == b.finish && a.prompt_tokens == b.prompt_tokens && a.done == b.done);
        dv__answer_reset(&b);
        again = feed(&b, events, p, size - 1, 3);
        DV_FUZZ_CHECK(starved(again) || (again == rc && b.text.len == a.text.len));
    }
    DV_FUZZ_CHECK(dv__answer_error(500, p, size - 1, &err) < 0 && err.msg[0] != 0);
    dv__answer_fini(&a);
    dv__answer_fini(&b);
    dv_buf_fini(&h.text);
    dv_buf_fini(&h.reasoning);
    return 0;
}
