/* SPDX-License-Identifier: MIT */
/* Texts of requests: what is repaired passes the check and was left as it was if it passed before; HTML can be put between tags and quotes. */
#include "target.h"

#include "base/utf8.h"
#include "serve/schema.h"

#include <string.h>

static void repair(const char *s, size_t n, bool good)
{
    size_t at;
    const char *what;
    dv_buf b;
    dv_buf_init(&b, 0);
    if (dv__text_repair(&b, s, n) == 0) {
        DV_FUZZ_CHECK(dv__text_check(dv_buf_str(&b), b.len, 3 * n, false, &at, &what) == 0);
        DV_FUZZ_CHECK(!good || (b.len == n && memcmp(dv_buf_str(&b), s, n) == 0));
    }
    dv_buf_clear(&b);
    if (dv__text_repair_utf8(&b, s, n) == 0) {
        DV_FUZZ_CHECK(dv_utf8_valid(dv_buf_str(&b), b.len));
        DV_FUZZ_CHECK(!dv_utf8_valid(s, n) || (b.len == n && memcmp(dv_buf_str(&b), s, n) == 0));
    }
    dv_buf_clear(&b);
    if (dv__text_html(&b, s, n) == 0)
        DV_FUZZ_CHECK(strpbrk(dv_buf_str(&b), "<>\"'") == NULL && strlen(dv_buf_str(&b)) == b.len);
    dv_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data, *what;
    size_t at;
    bool good = dv__text_check(s, size, size, false, &at, &what) == 0;
    DV_FUZZ_CHECK(good == (what == NULL) && at <= size);
    if (dv__text_check(s, size, size, true, &at, &what) == 0) {
        DV_FUZZ_CHECK(good);
        for (size_t i = 0; i < size;) {
            int k = dv_utf8_printable(s + i, size - i);
            DV_FUZZ_CHECK(k > 0);
            i += (size_t)k;
        }
    }
    repair(s, size, good);
    return 0;
}
