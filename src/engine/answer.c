/* SPDX-License-Identifier: MIT */
#include "engine/answer.h"

#include "base/err.h"
#include "engine/stop.h"

#include <string.h>

enum {
    TEXT_RESERVE = 4096
}; /* a stop string and a token: more is rarely held, so that the token loop does not allocate */

int dv_answer_start(dv_answer *a, const dv_tok *t, unsigned flags, const char *const *stop, size_t n_stop, dv_err *err)
{
    int code = dv_stop_check(stop, n_stop, err);
    if (code != 0)
        return code;
    dv_buf_clear(&a->text);
    if (dv_buf_reserve(&a->text, TEXT_RESERVE) != 0)
        return dv_fail(err, DV_ENOMEM, "text: %s", dv_error_text(DV_ENOMEM));
    dv_detok_init(&a->detok, t, flags);
    a->stop = stop;
    a->n_stop = n_stop;
    a->hit = NULL;
    return 0;
}

void dv_answer_fini(dv_answer *a) { dv_buf_fini(&a->text); }

/* The string that is complete first of those that begin at p. */
static const char *string_at(const dv_answer *a, const char *p, size_t len)
{
    const char *best = NULL;
    for (size_t i = 0; i < a->n_stop; i++) {
        size_t n = strlen(a->stop[i]);
        if (n <= len && memcmp(p, a->stop[i], n) == 0 && (best == NULL || n < strlen(best)))
            best = a->stop[i];
    }
    return best;
}

static size_t scan(dv_answer *a)
{
    bool hit;
    const char *text = dv_buf_str(&a->text);
    size_t n = dv__stop_scan(a->stop, a->n_stop, text, a->text.len, &hit);
    if (hit)
        a->hit = string_at(a, text + n, a->text.len - n);
    return n;
}

int dv_answer_push(dv_answer *a, uint32_t id, size_t *n)
{
    *n = 0;
    if (dv_detok_push(&a->detok, (int32_t)id, &a->text) != 0)
        return a->text.code;
    *n = scan(a);
    return 0;
}

int dv_answer_finish(dv_answer *a, size_t *n)
{
    *n = 0;
    if (a->hit != NULL)
        return 0;
    if (dv_detok_flush(&a->detok, &a->text) != 0)
        return a->text.code;
    *n = scan(a); /* the flush may have completed a stop string */
    if (a->hit == NULL)
        *n = a->text.len;
    return 0;
}

void dv_answer_take(dv_answer *a, size_t n) { dv_buf_shift(&a->text, n); }
