/* SPDX-License-Identifier: MIT */
/* A chunked body: decoded at once and byte by byte it gives the same data, verdict and end. */
#include "target.h"

#include "base/buf.h"
#include "http/chunked.h"

#include <string.h>

static dv__parsed decode(const char *p, size_t n, size_t step, dv_buf *out, size_t *used, dv__chunked *c)
{
    dv__parsed got = DV__PARSE_MORE;
    *c = (dv__chunked){0};
    *used = 0;
    while (*used < n && got == DV__PARSE_MORE) {
        size_t piece = DV_MIN(step, n - *used), k = 0, len;
        const char *data;
        got = dv__chunked_feed(c, p + *used, piece, &k, &data, &len);
        DV_FUZZ_CHECK(k > 0 && k <= piece);
        DV_FUZZ_CHECK(len == 0 || (data >= p + *used && data + len <= p + *used + k));
        if (len > 0)
            dv_buf_add(out, data, len);
        *used += k;
    }
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_buf a, b;
    size_t used_a, used_b;
    dv__chunked ca, cb;
    dv_buf_init(&a, 0);
    dv_buf_init(&b, 0);
    dv__parsed got = decode((const char *)data, size, size, &a, &used_a, &ca);
    DV_FUZZ_CHECK(decode((const char *)data, size, 1, &b, &used_b, &cb) == got);
    DV_FUZZ_CHECK(used_a == used_b && ca.state == cb.state && ca.left == cb.left && ca.why == cb.why);
    DV_FUZZ_CHECK((got == DV__PARSE_REFUSED) == (ca.why != NULL));
    if (a.code == 0 && b.code == 0)
        DV_FUZZ_CHECK(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
    dv_buf_fini(&a);
    dv_buf_fini(&b);
    return 0;
}
