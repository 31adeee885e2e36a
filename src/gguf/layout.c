/* SPDX-License-Identifier: MIT */
/* Where tensor data lie: inside the file, aligned, and no byte belonging to two tensors. */
#include "base/mem.h"
#include "base/num.h"
#include "gguf/part.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static int DV_PRINTF(3, 4) fail(const dv_gguf_tensor *t, dv_err *err, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return dv_fail(err, DV_EFORMAT, "tensor \"%.*s\" (%s): %s", (int)DV_MIN(t->name.n, 100), t->name.p,
                   dv_type_name(t->type), text);
}

static int place(dv_gguf_tensor *t, uint64_t at, uint32_t alignment, const uint8_t *data, uint64_t n_data, dv_err *err)
{
    if (at % alignment != 0)
        return fail(t, err, "offset %" PRIu64 " is no multiple of the alignment %" PRIu32, at, alignment);
    if (at > n_data)
        return fail(t, err, "offset %" PRIu64 " is beyond the %" PRIu64 " bytes of data", at, n_data);
    const dv_type_info *type = dv_type_get(t->type);
    if (type == NULL)
        return 0; /* its size is unknown; whoever wants the data finds none and says so */
    uint64_t bytes;
    if (t->ne[0] % type->block_len != 0)
        return fail(t, err, "rows of %" PRIu64 " elements are no whole number of blocks of %" PRIu32, t->ne[0],
                    type->block_len);
    bool fits = dv_type_row_bytes(t->type, t->ne[0], &bytes);
    for (int i = 1; i < DV_GGUF_MAX_DIMS; i++)
        fits = fits && dv_mul_u64(bytes, t->ne[i], &bytes);
    if (!fits)
        return fail(t, err, "its size overflows 64 bits");
    if (bytes > n_data - at)
        return fail(t, err, "%" PRIu64 " bytes at offset %" PRIu64 " end beyond the %" PRIu64 " bytes of data", bytes,
                    at, n_data);
    t->n_bytes = bytes;
    t->data = data + at;
    return 0;
}

/* Order of tensors by their place. Sorting takes no memory and, being a heap sort, no longer for a hostile order. */
typedef struct order {
    uint32_t *item;
    const uint64_t *at;
    const dv_gguf_tensor *tensors;
} order;

/* An empty range (of an unsupported type) sorts before a range at the same place, so that it never hides an overlap. */
static bool less(const order *o, uint32_t a, uint32_t b)
{
    return o->at[a] != o->at[b] ? o->at[a] < o->at[b] : o->tensors[a].n_bytes < o->tensors[b].n_bytes;
}

static void sift(const order *o, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && less(o, o->item[child], o->item[child + 1]))
            child++;
        if (!less(o, o->item[root], o->item[child]))
            return;
        uint32_t tmp = o->item[root];
        o->item[root] = o->item[child];
        o->item[child] = tmp;
    }
}

static void heap_sort(const order *o, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(o, i, n);
    while (n-- > 1) {
        uint32_t tmp = o->item[0];
        o->item[0] = o->item[n];
        o->item[n] = tmp;
        sift(o, 0, n);
    }
}

static bool in_order(const order *o, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (less(o, (uint32_t)i, (uint32_t)i - 1))
            return false;
    return true;
}

static int check_overlap(const order *o, size_t n, dv_err *err)
{
    uint64_t end = 0; /* of the ranges so far; they are disjoint, so the last one ends last */
    for (size_t i = 0; i < n; i++) {
        uint32_t k = o->item != NULL ? o->item[i] : (uint32_t)i;
        const dv_gguf_tensor *t = &o->tensors[k];
        if (o->at[k] < end)
            return fail(t, err, "its data at offset %" PRIu64 " overlap another tensor's, which end at %" PRIu64,
                        o->at[k], end);
        end = o->at[k] + t->n_bytes;
    }
    return 0;
}

int dv__layout_check(const dv__part *part, const uint64_t *at, const uint8_t *data, uint64_t n_data, dv_err *err)
{
    size_t n = part->n_tensors;
    for (size_t i = 0; i < n; i++) {
        int rc = place(&part->tensors[i], at[i], part->alignment, data, n_data, err);
        if (rc != 0)
            return rc;
    }
    order o = {.at = at, .tensors = part->tensors};
    if (in_order(&o, n)) /* as every known writer leaves them */
        return check_overlap(&o, n, err);
    o.item = dv_alloc_array(DV_MEM_GGUF, n, sizeof *o.item);
    if (o.item == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        o.item[i] = (uint32_t)i;
    heap_sort(&o, n);
    int rc = check_overlap(&o, n, err);
    dv_free(o.item);
    return rc;
}
