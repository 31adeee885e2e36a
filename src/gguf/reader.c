/* SPDX-License-Identifier: MIT */
/* A model as one directory of metadata and tensors, over one part or several. The metadata are those of the first
 * part. */
#include "base/mem.h"
#include "base/num.h"
#include "gguf/gguf.h"
#include "gguf/split.h"

#include <inttypes.h>

struct dv_gguf {
    dv__part *parts; /* owned, n_parts */
    size_t n_parts;
    dv_gguf_tensor *tensors; /* owned; of all parts in order */
    size_t n_tensors;
    dv__names names; /* over tensors */
    uint64_t n_bytes;
};

static int new_gguf(dv_gguf **out, size_t n_parts, dv_err *err)
{
    dv_gguf *g = dv_calloc(DV_MEM_GGUF, 1, sizeof *g);
    if (g != NULL)
        g->parts = dv_calloc(DV_MEM_GGUF, n_parts, sizeof *g->parts);
    if (g == NULL || g->parts == NULL) {
        dv_free(g);
        return dv_fail(err, DV_ENOMEM, "out of memory");
    }
    g->n_parts = n_parts;
    *out = g;
    return 0;
}

/* The parts' tensors as one array; the only part's array is taken as it is. */
static int collect_tensors(dv_gguf *g, dv_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_parts; i++) {
        n += g->parts[i].n_tensors; /* at most 2^10 parts with 2^20 each */
        if (!dv_add_u64(g->n_bytes, g->parts[i].map.len, &g->n_bytes))
            return dv_fail(err, DV_ELIMIT, "the sum of file sizes overflows");
    }
    if (n > DV_GGUF_MAX_TENSORS)
        return dv_fail(err, DV_ELIMIT, "%zu tensors in all parts, the limit is %d", n, DV_GGUF_MAX_TENSORS);
    g->n_tensors = n;
    if (g->n_parts == 1) {
        g->tensors = g->parts[0].tensors;
        g->parts[0].tensors = NULL;
        return 0;
    }
    g->tensors = dv_alloc_array(DV_MEM_GGUF, n, sizeof *g->tensors);
    if (g->tensors == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for %zu tensors", n);
    dv_gguf_tensor *to = g->tensors;
    for (size_t i = 0; i < g->n_parts; i++) {
        dv__part *part = &g->parts[i];
        if (part->n_tensors > 0)
            memcpy(to, part->tensors, part->n_tensors * sizeof *to);
        to += part->n_tensors;
        dv_free(part->tensors);
        part->tensors = NULL;
    }
    return 0;
}

static int index_tensors(dv_gguf *g, dv_err *err)
{
    int rc = dv__names_init(&g->names, sizeof *g->tensors, g->n_tensors);
    for (size_t i = 0; rc == 0 && i < g->n_tensors; i++) {
        uint32_t found = 0;
        rc = dv__names_add(&g->names, g->tensors, (uint32_t)i, &found);
        if (rc == 0 && found != i)
            return dv_fail(err, DV_EFORMAT, "tensor \"%.*s\" occurs twice", (int)g->tensors[i].name.n,
                           g->tensors[i].name.p);
    }
    return rc == 0 ? 0 : dv_fail(err, rc, "out of memory for %zu tensor names", g->n_tensors);
}

static int open_part(dv_gguf *g, const char *path, uint32_t no, uint64_t *n_tensors, dv_err *err)
{
    dv__part *part = &g->parts[no - 1];
    uint32_t count = (uint32_t)g->n_parts;
    int rc = dv_map_open(&part->map, path, err); /* its texts name the path */
    if (rc != 0)
        return count > 1 ? dv_err_prefix(err, "part %" PRIu32 " of %" PRIu32, no, count) : rc;
    rc = dv__part_read(part, err);
    if (rc == 0)
        rc = dv__split_check(part, no, count, n_tensors, err);
    return rc == 0 ? 0 : dv_err_prefix(err, "%s", path);
}

static int open_parts(dv_gguf *g, const char *path, const dv__split *split, dv_err *err)
{
    uint64_t stated = 0, first = 0;
    for (uint32_t no = 1; no <= g->n_parts; no++) {
        char *name = dv__split_path(path, split, no);
        if (name == NULL)
            return dv_fail(err, DV_ENOMEM, "out of memory");
        int rc = open_part(g, name, no, &stated, err);
        dv_free(name);
        if (rc != 0)
            return rc;
        if (no > 1 && stated != first)
            return dv_fail(err, DV_EFORMAT,
                           "%s: key \"split.tensors.count\" is %" PRIu64 " in part 1 and %" PRIu64 " in part %" PRIu32,
                           path, first, stated, no);
        first = stated;
    }
    int rc = collect_tensors(g, err);
    if (rc == 0 && stated != g->n_tensors)
        rc = dv_fail(err, DV_EFORMAT, "key \"split.tensors.count\" is %" PRIu64 ", but the parts have %zu tensors",
                     stated, g->n_tensors);
    return rc == 0 ? 0 : dv_err_prefix(err, "%s", path);
}

/* dv_err_prefix must see only this call's failure, so work on a fresh record and hand it over at the end. */
static int finish(dv_gguf **out, dv_gguf *g, int rc, const dv_err *e, dv_err *err)
{
    if (rc != 0) {
        dv_gguf_close(&g);
        return dv_fail(err, rc, "%s", e->msg);
    }
    *out = g;
    return 0;
}

int dv_gguf_open(dv_gguf **out, const char *path, dv_err *err)
{
    dv_err e = {0};
    dv_gguf *g = NULL;
    dv__split split = dv__split_parse(path);
    *out = NULL;
    int rc = new_gguf(&g, split.count > 1 ? split.count : 1, &e);
    if (rc == 0 && split.count > 1) {
        rc = open_parts(g, path, &split, &e);
    } else if (rc == 0) {
        uint64_t unused;
        rc = open_part(g, path, 1, &unused, &e);
        if (rc == 0 && (rc = collect_tensors(g, &e)) != 0)
            dv_err_prefix(&e, "%s", path);
    }
    if (rc == 0 && (rc = index_tensors(g, &e)) != 0)
        dv_err_prefix(&e, "%s", path);
    return finish(out, g, rc, &e, err);
}

int dv_gguf_open_mem(dv_gguf **out, const void *data, size_t len, dv_err *err)
{
    dv_err e = {0};
    dv_gguf *g = NULL;
    uint64_t unused;
    *out = NULL;
    int rc = new_gguf(&g, 1, &e);
    if (rc == 0) {
        g->parts[0].map = (dv_map){.data = data, .len = len};
        g->parts[0].borrowed = true;
        rc = dv__part_read(&g->parts[0], &e);
    }
    if (rc == 0)
        rc = dv__split_check(&g->parts[0], 1, 1, &unused, &e);
    if (rc == 0)
        rc = collect_tensors(g, &e);
    if (rc == 0)
        rc = index_tensors(g, &e);
    return finish(out, g, rc, &e, err);
}

void dv_gguf_close(dv_gguf **pg)
{
    dv_gguf *g = *pg;
    if (g == NULL)
        return;
    for (size_t i = 0; i < g->n_parts; i++)
        dv__part_fini(&g->parts[i]);
    dv__names_fini(&g->names);
    dv_free(g->tensors);
    dv_free(g->parts);
    dv_free(g);
    *pg = NULL;
}

uint32_t dv_gguf_version(const dv_gguf *g) { return g->parts[0].version; }

uint64_t dv_gguf_alignment(const dv_gguf *g) { return g->parts[0].alignment; }

uint64_t dv_gguf_file_bytes(const dv_gguf *g) { return g->n_bytes; }

size_t dv_gguf_n_tensors(const dv_gguf *g) { return g->n_tensors; }

const dv_gguf_tensor *dv_gguf_tensor_at(const dv_gguf *g, size_t i) { return i < g->n_tensors ? &g->tensors[i] : NULL; }

const dv_gguf_tensor *dv_gguf_find_tensor(const dv_gguf *g, const char *name)
{
    uint32_t at = dv__names_find(&g->names, g->tensors, name, strlen(name));
    return at != DV__NAMES_NONE ? &g->tensors[at] : NULL;
}

size_t dv_gguf_n_kv(const dv_gguf *g) { return g->parts[0].n_kv; }

const dv_gguf_kv *dv_gguf_kv_at(const dv_gguf *g, size_t i) { return i < g->parts[0].n_kv ? &g->parts[0].kv[i] : NULL; }

const dv_gguf_kv *dv_gguf_find(const dv_gguf *g, const char *key) { return dv__part_find(&g->parts[0], key); }
