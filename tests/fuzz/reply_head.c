/* SPDX-License-Identifier: MIT */
/* The head of another server's reply, in lines: what is kept of it holds what the header promises. */
#include "target.h"

#include "client/head.h"
#include "http/server.h"

#include <string.h>
#include <strings.h>

static void check(const dv__reply_head *h)
{
    DV_FUZZ_CHECK(h->status == 0 || (h->status >= 100 && h->status < 600 && h->status != 101));
    DV_FUZZ_CHECK(!h->complete || h->status >= 200);
    DV_FUZZ_CHECK(h->n_fields <= DV__REPLY_FIELDS && h->text.len <= DV__REPLY_HEAD);
    for (unsigned i = 0; i < h->n_fields; i++) {
        const char *name = h->text.data + h->fields[i].name, *value = h->text.data + h->fields[i].value;
        DV_FUZZ_CHECK(dv_http_is_token(name, strlen(name)) && dv_http_is_value(value, strlen(value)));
        DV_FUZZ_CHECK(h->fields[i].value + strlen(value) < h->text.len);
        DV_FUZZ_CHECK(dv__reply_head_get(h, name) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    dv__reply_head h;
    int code = 0;
    dv__reply_head_init(&h);
    while (p < end && code == 0) {
        dv_err err = {0};
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t n = line_end != NULL ? (size_t)(line_end - p) + 1 : (size_t)(end - p);
        bool complete = h.complete;
        unsigned n_fields = h.n_fields;
        code = dv__reply_head_line(&h, p, n, &err);
        DV_FUZZ_CHECK((code == 0) == (err.code == 0));
        DV_FUZZ_CHECK(!complete || (h.complete && h.n_fields == n_fields));
        p += n;
        if (code == 0)
            check(&h);
    }
    dv__reply_head_fini(&h);
    return 0;
}
