/* SPDX-License-Identifier: MIT */
#include "engine/stop.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

int dv_stop_check(const char *const *stop, size_t n, dv_err *err)
{
    if (n > DV_STOP_MAX_STRINGS || (n > 0 && stop == NULL))
        return dv_fail(err, DV_EINVAL, "stop must list at most %d strings, not %zu", DV_STOP_MAX_STRINGS, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = stop[i] != NULL ? strnlen(stop[i], DV_STOP_MAX_LEN + 1) : 0;
        if (len == 0)
            return dv_fail(err, DV_EINVAL, "stop string %zu is empty", i + 1);
        if (len > DV_STOP_MAX_LEN)
            return dv_fail(err, DV_EINVAL, "stop string %zu is longer than %d bytes", i + 1, DV_STOP_MAX_LEN);
        if (!dv_utf8_valid(stop[i], len))
            return dv_fail(err, DV_EINVAL, "stop string %zu is not valid UTF-8", i + 1);
    }
    return 0;
}

/* Length of the longest end of text that begins the string but is not all of it. */
static size_t begun(const char *stop, size_t stop_len, const char *text, size_t len)
{
    size_t k = DV_MIN(stop_len - 1, len);
    while (k > 0 && memcmp(text + len - k, stop, k) != 0)
        k--;
    return k;
}

size_t dv__stop_scan(const char *const *stop, size_t n, const char *text, size_t len, bool *hit)
{
    size_t start = 0, end = len + 1, hold = 0;
    for (size_t i = 0; i < n; i++) {
        size_t stop_len = strlen(stop[i]);
        const char *p = memmem(text, len, stop[i], stop_len);
        if (p == NULL) {
            hold = DV_MAX(hold, begun(stop[i], stop_len, text, len));
            continue;
        }
        size_t at = (size_t)(p - text);
        if (at + stop_len < end || (at + stop_len == end && at < start)) {
            start = at;
            end = at + stop_len;
        }
    }
    *hit = end <= len;
    return *hit ? start : len - hold;
}
