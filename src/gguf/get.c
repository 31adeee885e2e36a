/* SPDX-License-Identifier: MIT */
/* Typed look-up of single values, with a range and an error that names the key. */
#include "gguf/kv.h"

#include <inttypes.h>

/* The pair if it is a scalar; *rc says why not. */
static const dv_gguf_kv *scalar(const dv_gguf *g, const char *key, int *rc, dv_err *err)
{
    const dv_gguf_kv *kv = dv_gguf_find(g, key);
    *rc = 0;
    if (kv == NULL)
        *rc = dv_fail(err, DV_ENOENT, "key \"%s\" is missing", key);
    else if (kv->type == DV_GGUF_ARR)
        *rc = dv_fail(err, DV_EFORMAT, "key \"%s\" is an array, one value is expected", key);
    return *rc == 0 ? kv : NULL;
}

static int wrong_type(const dv_gguf_kv *kv, const char *key, const char *want, dv_err *err)
{
    return dv_fail(err, DV_EFORMAT, "key \"%s\" is of type %s, %s is expected", key, dv__vtype_name(kv->type), want);
}

int dv_gguf_get_u32(const dv_gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t *out, dv_err *err)
{
    int rc;
    const dv_gguf_kv *kv = scalar(g, key, &rc, err);
    if (kv == NULL)
        return rc;
    uint64_t u;
    int64_t s;
    if (!dv_gguf_kv_u64(kv, 0, &u)) {
        if (dv_gguf_kv_i64(kv, 0, &s))
            return dv_fail(err, DV_EFORMAT, "key \"%s\" is %" PRId64 ", not in %" PRIu32 " to %" PRIu32, key, s, min,
                           max);
        return wrong_type(kv, key, "an integer", err);
    }
    if (u < min || u > max)
        return dv_fail(err, DV_EFORMAT, "key \"%s\" is %" PRIu64 ", not in %" PRIu32 " to %" PRIu32, key, u, min, max);
    *out = (uint32_t)u;
    return 0;
}

int dv_gguf_get_f32(const dv_gguf *g, const char *key, float min, float max, float *out, dv_err *err)
{
    int rc;
    const dv_gguf_kv *kv = scalar(g, key, &rc, err);
    if (kv == NULL)
        return rc;
    double v;
    if (!dv_gguf_kv_f64(kv, 0, &v))
        return wrong_type(kv, key, "a number", err);
    if (!(v >= (double)min && v <= (double)max)) /* NaN is in no range */
        return dv_fail(err, DV_EFORMAT, "key \"%s\" is %g, not in %g to %g", key, v, (double)min, (double)max);
    *out = (float)v;
    return 0;
}

int dv_gguf_get_bool(const dv_gguf *g, const char *key, bool *out, dv_err *err)
{
    int rc;
    const dv_gguf_kv *kv = scalar(g, key, &rc, err);
    if (kv == NULL)
        return rc;
    return dv_gguf_kv_bool(kv, 0, out) ? 0 : wrong_type(kv, key, "a bool", err);
}

int dv_gguf_get_str(const dv_gguf *g, const char *key, dv_str *out, dv_err *err)
{
    int rc;
    const dv_gguf_kv *kv = scalar(g, key, &rc, err);
    if (kv == NULL)
        return rc;
    return dv_gguf_kv_str(kv, 0, out) ? 0 : wrong_type(kv, key, "a string", err);
}

int dv_gguf_opt_u32(const dv_gguf *g, const char *key, uint32_t min, uint32_t max, uint32_t fallback, uint32_t *out,
                    dv_err *err)
{
    *out = fallback;
    return dv_gguf_find(g, key) != NULL ? dv_gguf_get_u32(g, key, min, max, out, err) : 0;
}

int dv_gguf_opt_f32(const dv_gguf *g, const char *key, float min, float max, float fallback, float *out, dv_err *err)
{
    *out = fallback;
    return dv_gguf_find(g, key) != NULL ? dv_gguf_get_f32(g, key, min, max, out, err) : 0;
}

int dv_gguf_opt_bool(const dv_gguf *g, const char *key, bool fallback, bool *out, dv_err *err)
{
    *out = fallback;
    return dv_gguf_find(g, key) != NULL ? dv_gguf_get_bool(g, key, out, err) : 0;
}

int dv_gguf_opt_str(const dv_gguf *g, const char *key, dv_str fallback, dv_str *out, dv_err *err)
{
    *out = fallback;
    return dv_gguf_find(g, key) != NULL ? dv_gguf_get_str(g, key, out, err) : 0;
}
