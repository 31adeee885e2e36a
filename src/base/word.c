/* SPDX-License-Identifier: MIT */
#include "base/word.h"

#include "base/attr.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX_LEN = 64 };

bool dv_word_u64(const char *s, uint64_t *out)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0 || s[n] != 0)
        return false;
    errno = 0;
    unsigned long long v = strtoull(s, NULL, 10);
    *out = v;
    return errno == 0;
}

bool dv_word_double(const char *s, double *out)
{
    /* strtod alone would take blanks, hexadecimal, "inf" and "nan". */
    if (s[0] == 0 || s[strspn(s, "0123456789+-.eE")] != 0)
        return false;
    char *end = NULL;
    double v = strtod(s, &end);
    *out = v;
    return end != s && *end == 0 && isfinite(v);
}

/* Edit distance of two short words with swaps of neighbours counted as one. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][WORD_MAX_LEN + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX_LEN || nb > WORD_MAX_LEN)
        return WORD_MAX_LEN;
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        cur[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = up[j - 1] + (a[i - 1] != b[j - 1]);
            best = DV_MIN(best, DV_MIN(up[j], cur[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = DV_MIN(best, up2[j - 2] + 1);
            cur[j] = best;
        }
    }
    return row[na % 3][nb];
}

const char *dv_word_nearest(const char *word, const char *const *words, size_t n)
{
    size_t len = strlen(word), best = len < 3 ? 1 : len < 6 ? 2 : 3;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i]);
        if (d <= best && d < strlen(words[i])) {
            found = words[i];
            best = d - (d > 0);
        }
    }
    return found;
}

int dv_word_index(const char *words, const char *s)
{
    size_t len = strlen(s);
    for (int i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == len && memcmp(words, s, n) == 0)
            return i;
        if (words[n] == 0)
            return -1;
        words += n + 1;
    }
}
