/* SPDX-License-Identifier: MIT */
#include "gguf/part.h"

#include "base/mem.h"
#include "base/num.h"

#include <inttypes.h>

enum { TENSOR_MIN_BYTES = 8 + 1 + 4 + 8 + 4 + 8 }; /* fewest bytes in the directory: name, dimensions, type, offset */

/* A count of things that each take at least min_bytes must fit what is left, or the file lies; checked before
 * allocating. */
static size_t read_count(dv__cur *c, const char *what, uint64_t max, size_t min_bytes)
{
    size_t at = c->pos;
    uint64_t n = dv__cur_u64(c, what);
    if (n > max)
        dv__cur_fail(c, DV_ELIMIT, "the number of %s at byte %zu is %" PRIu64 ", the limit is %" PRIu64, what, at, n,
                     max);
    else if (n > dv__cur_left(c) / min_bytes)
        dv__cur_fail(c, DV_EFORMAT,
                     "the number of %s at byte %zu is %" PRIu64 ", too many for the %zu bytes left in the file", what,
                     at, n, dv__cur_left(c));
    return c->code == 0 ? (size_t)n : 0;
}

static int read_version(dv__cur *c, uint32_t *version)
{
    const uint8_t *magic = dv__cur_bytes(c, 4, "the magic number");
    if (magic != NULL && memcmp(magic, "GGUF", 4) != 0)
        return dv__cur_fail(c, DV_EFORMAT, "not a GGUF file: it begins with the bytes %02x %02x %02x %02x", magic[0],
                            magic[1], magic[2], magic[3]);
    uint32_t v = dv__cur_u32(c, "the version");
    if (c->code == 0 && v == 1)
        return dv__cur_fail(c, DV_EUNSUPPORTED,
                            "GGUF version 1 is not supported; convert the model again, to version 3");
    if (v != 0 && (v & 0xffff) == 0)
        return dv__cur_fail(c, DV_EUNSUPPORTED,
                            "big-endian GGUF files are not supported (version field 0x%08" PRIx32 ")", v);
    if (v != 2 && v != 3)
        return dv__cur_fail(c, DV_EUNSUPPORTED, "GGUF version %" PRIu32 " is not supported; versions 2 and 3 are", v);
    *version = v;
    return c->code;
}

static int read_kvs(dv__cur *c, dv__part *part, size_t n_kv)
{
    part->kv = dv_alloc_array(DV_MEM_GGUF, n_kv, sizeof *part->kv);
    if (part->kv == NULL || dv__names_init(&part->keys, sizeof *part->kv, n_kv) != 0)
        return dv__cur_fail(c, DV_ENOMEM, "out of memory for %zu metadata pairs", n_kv);
    for (size_t i = 0; i < n_kv; i++) {
        dv_gguf_kv *kv = &part->kv[i];
        uint32_t found;
        if (dv__kv_read(c, kv) != 0)
            return c->code;
        part->n_kv++; /* from here on dv__part_fini frees it */
        if (dv__names_add(&part->keys, part->kv, (uint32_t)i, &found) != 0)
            return dv__cur_fail(c, DV_ENOMEM, "out of memory for metadata keys");
        if (found != i)
            return dv__cur_fail(c, DV_EFORMAT, "key \"%.*s\" occurs twice", (int)DV_MIN(kv->key.n, 100), kv->key.p);
    }
    return 0;
}

static int find_alignment(dv__cur *c, dv__part *part)
{
    const dv_gguf_kv *kv = dv__part_find(part, "general.alignment");
    uint64_t v = DV__ALIGN_DEFAULT;
    if (kv != NULL && (dv_gguf_kv_type(kv) == DV_GGUF_ARR || !dv_gguf_kv_u64(kv, 0, &v)))
        return dv__cur_fail(c, DV_EFORMAT, "key \"general.alignment\" is no unsigned integer");
    if (!dv_is_pow2(v) || v < DV__ALIGN_MIN || v > DV__ALIGN_MAX)
        return dv__cur_fail(c, DV_EFORMAT, "key \"general.alignment\" is %" PRIu64 ", not a power of two from %d to %d",
                            v, DV__ALIGN_MIN, DV__ALIGN_MAX);
    part->alignment = (uint32_t)v;
    return 0;
}

/* One row of the directory; its data are checked later, when the data section's place is known. */
static int read_tensor(dv__cur *c, dv_gguf_tensor *t, uint64_t *at)
{
    *t = (dv_gguf_tensor){.name = dv__cur_name(c, DV_GGUF_MAX_NAME, "a tensor name")};
    uint32_t n_dims = dv__cur_u32(c, "a tensor's number of dimensions");
    if (c->code != 0)
        return c->code;
    if (n_dims < 1 || n_dims > DV_GGUF_MAX_DIMS)
        return dv__cur_fail(c, DV_EFORMAT, "tensor \"%.*s\" has %" PRIu32 " dimensions, not 1 to %d", (int)t->name.n,
                            t->name.p, n_dims, DV_GGUF_MAX_DIMS);
    t->n_dims = n_dims;
    uint64_t product = 1;
    for (uint32_t i = 0; i < DV_GGUF_MAX_DIMS; i++) {
        t->ne[i] = i < n_dims ? dv__cur_u64(c, "a tensor's dimension") : 1;
        /* Counts of elements are used as signed 64-bit numbers everywhere; a product that fits makes each factor
         * fit. */
        bool fits = dv_mul_u64(product, t->ne[i], &product) && product <= INT64_MAX;
        if (c->code == 0 && (t->ne[i] == 0 || !fits))
            return dv__cur_fail(c, DV_EFORMAT, "tensor \"%.*s\": dimension %" PRIu32 " is %" PRIu64 ", %s",
                                (int)t->name.n, t->name.p, i, t->ne[i], t->ne[i] == 0 ? "not at least 1" : "too large");
    }
    t->type = dv__cur_u32(c, "a tensor's type");
    *at = dv__cur_u64(c, "a tensor's offset");
    return c->code;
}

static int read_tensors(dv__cur *c, dv__part *part, uint64_t *at)
{
    for (size_t i = 0; i < part->n_tensors; i++)
        if (read_tensor(c, &part->tensors[i], &at[i]) != 0)
            return c->code;
    /* Without tensors a file may end right here, unpadded. */
    uint64_t begin = c->pos;
    if (part->n_tensors > 0 && (!dv_align_u64(begin, part->alignment, &begin) || begin > c->len))
        return dv__cur_fail(c, DV_EFORMAT, "the tensor data begin at byte %" PRIu64 ", but the file ends at byte %zu",
                            begin, c->len);
    return dv__layout_check(part, at, c->p + begin, c->len - begin, c->err);
}

int dv__part_read(dv__part *part, dv_err *err)
{
    dv__cur c = {.p = part->map.data, .len = part->map.len, .err = err};
    if (read_version(&c, &part->version) != 0)
        return c.code;
    size_t n_tensors = read_count(&c, "tensors", DV_GGUF_MAX_TENSORS, TENSOR_MIN_BYTES);
    size_t n_kv = read_count(&c, "metadata pairs", DV_GGUF_MAX_KV, DV__KV_MIN_BYTES);
    if (c.code != 0 || read_kvs(&c, part, n_kv) != 0 || find_alignment(&c, part) != 0)
        return c.code;
    /* Again, with what the metadata left: the directory is larger than its bytes in the file, so be exact. */
    if (n_tensors > dv__cur_left(&c) / TENSOR_MIN_BYTES)
        return dv__cur_fail(&c, DV_EFORMAT, "%zu tensors do not fit in the %zu bytes after the metadata", n_tensors,
                            dv__cur_left(&c));
    uint64_t *at = dv_alloc_array(DV_MEM_GGUF, n_tensors, sizeof *at);
    part->tensors = dv_alloc_array(DV_MEM_GGUF, n_tensors, sizeof *part->tensors);
    if (at == NULL || part->tensors == NULL) {
        dv_free(at);
        return dv__cur_fail(&c, DV_ENOMEM, "out of memory for %zu tensors", n_tensors);
    }
    part->n_tensors = n_tensors;
    int rc = read_tensors(&c, part, at);
    dv_free(at);
    return rc;
}

void dv__part_fini(dv__part *part)
{
    for (size_t i = 0; i < part->n_kv; i++)
        dv__kv_fini(&part->kv[i]);
    dv__names_fini(&part->keys);
    dv_free(part->kv);
    dv_free(part->tensors);
    if (!part->borrowed)
        dv_map_close(&part->map);
    *part = (dv__part){0};
}

const dv_gguf_kv *dv__part_find(const dv__part *part, const char *key)
{
    uint32_t at = dv__names_find(&part->keys, part->kv, key, strlen(key));
    return at != DV__NAMES_NONE ? &part->kv[at] : NULL;
}
