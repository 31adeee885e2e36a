/* SPDX-License-Identifier: MIT */
/* Reading metadata pairs, and access to their values. Everything is checked while reading, so access needs no error. */
#include "gguf/kv.h"

#include "base/mem.h"

#include <inttypes.h>

static const struct {
    const char *name;
    uint8_t bytes;     /* fixed size; 0: none */
    uint8_t min_bytes; /* fewest bytes in a file */
} vtypes[DV_GGUF_VTYPE_N] = {
    [DV_GGUF_U8] = {"u8", 1, 1},      [DV_GGUF_I8] = {"i8", 1, 1},
    [DV_GGUF_U16] = {"u16", 2, 2},    [DV_GGUF_I16] = {"i16", 2, 2},
    [DV_GGUF_U32] = {"u32", 4, 4},    [DV_GGUF_I32] = {"i32", 4, 4},
    [DV_GGUF_F32] = {"f32", 4, 4},    [DV_GGUF_BOOL] = {"bool", 1, 1},
    [DV_GGUF_STR] = {"string", 0, 8}, [DV_GGUF_ARR] = {"array", 0, DV__ARRAY_HEADER},
    [DV_GGUF_U64] = {"u64", 8, 8},    [DV_GGUF_I64] = {"i64", 8, 8},
    [DV_GGUF_F64] = {"f64", 8, 8},
};

uint32_t dv__vtype_bytes(uint32_t type) { return type < DV_GGUF_VTYPE_N ? vtypes[type].bytes : 0; }

const char *dv__vtype_name(uint32_t type) { return type < DV_GGUF_VTYPE_N ? vtypes[type].name : "?"; }

static void check_bools(dv__cur *c, const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; p != NULL && i < n; i++) {
        if (p[i] > 1) {
            dv__cur_fail(c, DV_EFORMAT, "a bool at byte %zu is %u, not 0 or 1", (size_t)(p + i - c->p), p[i]);
            return;
        }
    }
}

static void skip_fixed(dv__cur *c, uint32_t type, uint64_t n)
{
    /* n fits the file by its caller's check, so the product cannot overflow. */
    const uint8_t *p = dv__cur_bytes(c, n * vtypes[type].bytes, "a value");
    if (type == DV_GGUF_BOOL)
        check_bools(c, p, n);
}

/* Type and count of an array; the count is possible in what is left of the file. */
static uint64_t read_array_header(dv__cur *c, uint32_t *elem)
{
    size_t at = c->pos;
    *elem = dv__cur_u32(c, "an array's element type");
    uint64_t n = dv__cur_u64(c, "an array's length");
    if (c->code == 0 && *elem >= DV_GGUF_VTYPE_N)
        dv__cur_fail(c, DV_EFORMAT, "unknown array element type %" PRIu32 " at byte %zu", *elem, at);
    if (c->code == 0 && n > dv__cur_left(c) / vtypes[*elem].min_bytes)
        dv__cur_fail(c, DV_EFORMAT,
                     "an array at byte %zu says it has %" PRIu64
                     " elements of type %s, but only %zu bytes are left in the file",
                     at, n, vtypes[*elem].name, dv__cur_left(c));
    return c->code == 0 ? n : 0;
}

/* depth counts the arrays around this one. Each level reads its 12 bytes of header, so time stays linear in the
 * file. */
static void skip_array(dv__cur *c, int depth)
{
    uint32_t elem;
    size_t at = c->pos;
    if (depth >= DV_GGUF_MAX_ARRAY_DEPTH) {
        dv__cur_fail(c, DV_ELIMIT, "arrays nested more than %d deep at byte %zu", DV_GGUF_MAX_ARRAY_DEPTH, at);
        return;
    }
    uint64_t n = read_array_header(c, &elem);
    if (c->code != 0)
        return;
    if (vtypes[elem].bytes != 0) {
        skip_fixed(c, elem, n);
        return;
    }
    for (uint64_t i = 0; i < n && c->code == 0; i++) {
        if (elem == DV_GGUF_STR)
            dv__cur_str(c, UINT64_MAX, "a string");
        else
            skip_array(c, depth + 1);
    }
}

static void read_strings(dv__cur *c, dv_gguf_kv *kv)
{
    /* Every string has 8 bytes of length in the file, so this is no larger than the array itself. */
    kv->str_at = dv_alloc_array(DV_MEM_GGUF, (size_t)kv->len, sizeof *kv->str_at);
    if (kv->str_at == NULL) {
        dv__cur_fail(c, DV_ENOMEM, "out of memory for an index of %" PRIu64 " strings", kv->len);
        return;
    }
    for (uint64_t i = 0; i < kv->len && c->code == 0; i++) {
        kv->str_at[i] = (uint64_t)(c->p + c->pos - kv->value);
        dv__cur_str(c, UINT64_MAX, "a string");
    }
}

static void read_array(dv__cur *c, dv_gguf_kv *kv)
{
    uint32_t elem;
    size_t at = c->pos;
    uint64_t n = read_array_header(c, &elem);
    kv->elem = elem;
    kv->len = n;
    if (c->code != 0)
        return;
    if (elem == DV_GGUF_STR) {
        read_strings(c, kv);
    } else {
        c->pos = at;
        skip_array(c, 0);
    }
}

int dv__kv_read(dv__cur *c, dv_gguf_kv *kv)
{
    *kv = (dv_gguf_kv){.elem = DV_GGUF_VTYPE_N, .len = 1};
    kv->key = dv__cur_name(c, DV_GGUF_MAX_KEY, "a metadata key");
    if (c->code != 0)
        return c->code;
    size_t at = c->pos;
    kv->type = dv__cur_u32(c, "a value type");
    kv->value = c->p + c->pos;
    if (c->code == 0 && kv->type >= DV_GGUF_VTYPE_N)
        dv__cur_fail(c, DV_EFORMAT, "unknown value type %" PRIu32 " at byte %zu", kv->type, at);
    else if (c->code == 0 && kv->type == DV_GGUF_ARR)
        read_array(c, kv);
    else if (c->code == 0 && kv->type == DV_GGUF_STR)
        dv__cur_str(c, UINT64_MAX, "a string");
    else if (c->code == 0)
        skip_fixed(c, kv->type, 1);
    if (c->code != 0) {
        dv__kv_fini(kv);
        /* A key may be 64 KiB long; its beginning leaves room for what is wrong. */
        dv_err_prefix(c->err, "key \"%.*s\"", (int)DV_MIN(kv->key.n, 100), kv->key.p);
        return c->code;
    }
    kv->n_bytes = (uint64_t)(c->p + c->pos - kv->value);
    return 0;
}

void dv__kv_fini(dv_gguf_kv *kv)
{
    dv_free(kv->str_at);
    kv->str_at = NULL;
}

dv_str dv_gguf_kv_key(const dv_gguf_kv *kv) { return kv->key; }

dv_gguf_vtype dv_gguf_kv_type(const dv_gguf_kv *kv) { return (dv_gguf_vtype)kv->type; }

dv_gguf_vtype dv_gguf_kv_elem_type(const dv_gguf_kv *kv) { return (dv_gguf_vtype)kv->elem; }

uint64_t dv_gguf_kv_len(const dv_gguf_kv *kv) { return kv->len; }

/* Address and type of fixed-size element i, NULL if there is none. */
static const uint8_t *elem_at(const dv_gguf_kv *kv, uint64_t i, uint32_t *type)
{
    bool array = kv->type == DV_GGUF_ARR;
    *type = array ? kv->elem : kv->type;
    if (i >= kv->len || vtypes[*type].bytes == 0)
        return NULL;
    return kv->value + (array ? DV__ARRAY_HEADER : 0) + i * vtypes[*type].bytes;
}

/* An integer of any width as 64 bits; negative says how to read them. */
static bool int_at(const dv_gguf_kv *kv, uint64_t i, uint64_t *bits, bool *negative)
{
    uint32_t type;
    const uint8_t *p = elem_at(kv, i, &type);
    if (p == NULL)
        return false;
    uint16_t u16 = 0;
    int64_t s = 0;
    switch (type) {
    case DV_GGUF_U8: s = p[0]; break;
    case DV_GGUF_I8: s = (int8_t)p[0]; break;
    case DV_GGUF_U16:
    case DV_GGUF_I16:
        memcpy(&u16, p, sizeof u16);
        s = type == DV_GGUF_U16 ? u16 : (int16_t)u16;
        break;
    case DV_GGUF_U32: s = dv__ld_u32(p); break;
    case DV_GGUF_I32: s = (int32_t)dv__ld_u32(p); break;
    case DV_GGUF_U64:
    case DV_GGUF_I64: s = (int64_t)dv__ld_u64(p); break;
    default: return false;
    }
    *bits = (uint64_t)s;
    *negative = s < 0 && type != DV_GGUF_U64;
    return true;
}

bool dv_gguf_kv_u64(const dv_gguf_kv *kv, uint64_t i, uint64_t *out)
{
    uint64_t bits;
    bool negative;
    if (!int_at(kv, i, &bits, &negative) || negative)
        return false;
    *out = bits;
    return true;
}

bool dv_gguf_kv_i64(const dv_gguf_kv *kv, uint64_t i, int64_t *out)
{
    uint64_t bits;
    bool negative;
    if (!int_at(kv, i, &bits, &negative) || (!negative && bits > INT64_MAX))
        return false;
    *out = (int64_t)bits;
    return true;
}

bool dv_gguf_kv_f64(const dv_gguf_kv *kv, uint64_t i, double *out)
{
    uint32_t type;
    const uint8_t *p = elem_at(kv, i, &type);
    if (p != NULL && type == DV_GGUF_F64) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    if (p != NULL && type == DV_GGUF_F32) {
        float f;
        memcpy(&f, p, sizeof f);
        *out = (double)f;
        return true;
    }
    int64_t v;
    if (!dv_gguf_kv_i64(kv, i, &v) || v > (INT64_C(1) << 53) || v < -(INT64_C(1) << 53))
        return false;
    *out = (double)v;
    return true;
}

bool dv_gguf_kv_bool(const dv_gguf_kv *kv, uint64_t i, bool *out)
{
    uint32_t type;
    const uint8_t *p = elem_at(kv, i, &type);
    if (p == NULL || type != DV_GGUF_BOOL)
        return false;
    *out = p[0] != 0;
    return true;
}

bool dv_gguf_kv_str(const dv_gguf_kv *kv, uint64_t i, dv_str *out)
{
    const uint8_t *p = kv->value;
    if (i >= kv->len)
        return false;
    if (kv->str_at != NULL)
        p += kv->str_at[i];
    else if (kv->type != DV_GGUF_STR)
        return false;
    *out = (dv_str){(const char *)p + 8, (size_t)dv__ld_u64(p)};
    return true;
}

const void *dv_gguf_kv_raw(const dv_gguf_kv *kv)
{
    return kv->type == DV_GGUF_ARR && vtypes[kv->elem].bytes != 0 ? kv->value + DV__ARRAY_HEADER : NULL;
}
