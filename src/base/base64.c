/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

int dv_buf_base64(dv_buf *b, const void *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = p;
    for (size_t i = 0; i < n && b->code == 0; i += 3) {
        size_t k = DV_MIN(n - i, (size_t)3);
        uint32_t v = (uint32_t)s[i] << 16 | (k > 1 ? (uint32_t)s[i + 1] << 8 : 0u) | (k > 2 ? s[i + 2] : 0u);
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], k > 1 ? digits[v >> 6 & 63] : '=',
                       k > 2 ? digits[v & 63] : '='};
        dv_buf_add(b, out, 4);
    }
    return b->code;
}
