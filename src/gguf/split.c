/* SPDX-License-Identifier: MIT */
#include "gguf/split.h"

#include "base/mem.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>

static bool digits(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

dv__split dv__split_parse(const char *path)
{
    size_t n = strlen(path);
    dv__split s = {0};
    if (n < DV__SPLIT_TAIL)
        return s;
    s.stem = n - DV__SPLIT_TAIL;
    const char *t = path + s.stem;
    if (t[0] != '-' || !digits(t + 1, &s.no) || memcmp(t + 6, "-of-", 4) != 0 || !digits(t + 10, &s.count) ||
        strcmp(t + 15, ".gguf") != 0)
        return (dv__split){0};
    return s.no >= 1 && s.no <= s.count && s.count <= DV_GGUF_MAX_SPLIT ? s : (dv__split){0};
}

char *dv__split_path(const char *path, const dv__split *s, uint32_t no)
{
    char *out = dv_alloc(DV_MEM_GGUF, s->stem + DV__SPLIT_TAIL + 1);
    if (out == NULL)
        return NULL;
    char tail[64];
    snprintf(tail, sizeof tail, "-%05" PRIu32 "-of-%05" PRIu32 ".gguf", no, s->count);
    memcpy(out, path, s->stem);
    memcpy(out + s->stem, tail, DV__SPLIT_TAIL + 1);
    return out;
}

int dv_gguf_file_path(dv_buf *out, const char *path, uint32_t no)
{
    dv__split s = dv__split_parse(path);
    if (no < 1 || no > DV_MAX(s.count, 1u))
        return DV_ENOENT;
    if (s.count == 0)
        return dv_buf_adds(out, path);
    char *part = dv__split_path(path, &s, no);
    int rc = part != NULL ? dv_buf_adds(out, part) : DV_ENOMEM;
    dv_free(part);
    return rc;
}

static int get(const dv__part *part, const char *key, bool required, uint64_t *out, dv_err *err)
{
    const dv_gguf_kv *kv = dv__part_find(part, key);
    if (kv == NULL && !required)
        return 0;
    if (kv == NULL)
        return dv_fail(err, DV_EFORMAT, "its name says that it is part of a split model, but it has no key \"%s\"",
                       key);
    if (dv_gguf_kv_type(kv) == DV_GGUF_ARR || !dv_gguf_kv_u64(kv, 0, out))
        return dv_fail(err, DV_EFORMAT, "key \"%s\" is no unsigned integer", key);
    return 0;
}

int dv__split_check(const dv__part *part, uint32_t no, uint32_t count, uint64_t *n_tensors, dv_err *err)
{
    bool split = count > 1;
    uint64_t has_no = 0, has_count = 0;
    int rc = get(part, "split.count", split, &has_count, err);
    if (rc == 0 && split)
        rc = get(part, "split.no", true, &has_no, err);
    if (rc == 0 && split)
        rc = get(part, "split.tensors.count", true, n_tensors, err);
    if (rc != 0)
        return rc;
    if (!split && has_count > 1)
        return dv_fail(err, DV_EFORMAT,
                       "key \"split.count\" says that this is one of %" PRIu64
                       " parts; open a file named like x-00001-of-%05" PRIu64 ".gguf",
                       has_count, has_count);
    if (split && has_count != count)
        return dv_fail(err, DV_EFORMAT, "key \"split.count\" is %" PRIu64 ", the file's name says %" PRIu32, has_count,
                       count);
    if (split && has_no != no - 1)
        return dv_fail(err, DV_EFORMAT, "key \"split.no\" is %" PRIu64 ", in part %" PRIu32 " it must be %" PRIu32,
                       has_no, no, no - 1);
    return 0;
}
