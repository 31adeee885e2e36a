/* SPDX-License-Identifier: MIT */
/* Metadata and the tensor directory are collected in memory, because the header counts both; they go out before the
 * first tensor data, which are streamed. What the reader would refuse is refused here. */
#include "gguf/write.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"
#include "gguf/kv.h"
#include "gguf/names.h"
#include "gguf/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_BYTES = 1 << 18 }; /* output is collected to this size before a write */

/* Names written so far; the table finds duplicates. */
typedef struct seen {
    dv_str *item;
    size_t n, cap;
    dv__names table;
} seen;

struct dv_gguf_writer {
    int fd;
    char *path;
    uint32_t alignment;
    dv_err err;     /* the first failure */
    dv_arena names; /* copies of keys and tensor names */
    seen keys, tensors;
    dv_buf kv, dir;    /* the two sections before the data */
    uint64_t *n_bytes; /* [tensors.cap] size of each tensor */
    uint64_t next_at;  /* offset for the next described tensor */
    bool streaming;    /* header and sections are out */
    bool complete;     /* the file is good and stays */
    size_t current;    /* tensor whose data come next */
    uint64_t written;  /* bytes of it so far */
    dv_buf out;        /* not yet written to fd */
};

static int fail_io(dv_gguf_writer *w, int e)
{
    int code = e == EACCES || e == EPERM ? DV_EACCES : e == ENOENT || e == ENOTDIR ? DV_ENOENT : DV_EIO;
    return dv_fail(&w->err, code, "%s: %s", w->path, strerror(e));
}

static int fail_mem(dv_gguf_writer *w) { return dv_fail(&w->err, DV_ENOMEM, "%s: out of memory", w->path); }

static int seen_reserve(dv_gguf_writer *w, seen *s)
{
    if (s->table.cap == 0 && dv__names_init(&s->table, sizeof *s->item, 0) != 0)
        return fail_mem(w);
    if (s->n < s->cap)
        return 0;
    size_t cap = s->cap == 0 ? 64 : 2 * s->cap;
    dv_str *item = dv_realloc(DV_MEM_GGUF, s->item, cap * sizeof *item);
    if (item == NULL)
        return fail_mem(w);
    s->item = item;
    if (s == &w->tensors) {
        uint64_t *n_bytes = dv_realloc(DV_MEM_GGUF, w->n_bytes, cap * sizeof *n_bytes);
        if (n_bytes == NULL)
            return fail_mem(w);
        w->n_bytes = n_bytes;
    }
    s->cap = cap;
    return 0;
}

static int add_name(dv_gguf_writer *w, seen *s, const char *what, const char *p, size_t n, size_t max)
{
    if (w->err.code != 0)
        return w->err.code;
    if (w->streaming)
        return dv_fail(&w->err, DV_EINVAL, "%s \"%.*s\" comes after the first tensor data", what, (int)DV_MIN(n, 100),
                       p);
    if (n == 0 || n > max)
        return dv_fail(&w->err, DV_EINVAL, "%s of %zu bytes, 1 to %zu are allowed", what, n, max);
    if (s->n >= (s == &w->keys ? DV_GGUF_MAX_KV : DV_GGUF_MAX_TENSORS))
        return dv_fail(&w->err, DV_ELIMIT, "too many entries at %s \"%.*s\"", what, (int)DV_MIN(n, 100), p);
    if (seen_reserve(w, s) != 0)
        return w->err.code;
    const char *copy = dv_arena_strndup(&w->names, p, n);
    uint32_t found;
    if (copy == NULL)
        return fail_mem(w);
    s->item[s->n] = (dv_str){copy, n};
    if (dv__names_add(&s->table, s->item, (uint32_t)s->n, &found) != 0)
        return fail_mem(w);
    if (found != s->n)
        return dv_fail(&w->err, DV_EINVAL, "%s \"%.*s\" is given twice", what, (int)DV_MIN(n, 100), p);
    s->n++;
    return 0;
}

static void seen_fini(seen *s)
{
    dv__names_fini(&s->table);
    dv_free(s->item);
}

static void add_u32(dv_buf *b, uint32_t v) { dv_buf_add(b, &v, sizeof v); }

static void add_u64(dv_buf *b, uint64_t v) { dv_buf_add(b, &v, sizeof v); }

static void add_str(dv_buf *b, const char *p, size_t n)
{
    add_u64(b, n);
    dv_buf_add(b, p, n);
}

/* Buffers stick to their first failure; fetch it after a pair or a row. */
static int check_buf(dv_gguf_writer *w, const dv_buf *b) { return b->code == 0 ? 0 : fail_mem(w); }

static int begin_kv_n(dv_gguf_writer *w, const char *key, size_t n, uint32_t type)
{
    if (add_name(w, &w->keys, "key", key, n, DV_GGUF_MAX_KEY) != 0)
        return w->err.code;
    add_str(&w->kv, key, n);
    add_u32(&w->kv, type);
    return 0;
}

static int begin_kv(dv_gguf_writer *w, const char *key, uint32_t type) { return begin_kv_n(w, key, strlen(key), type); }

static int put(dv_gguf_writer *w, const char *key, dv_gguf_vtype type, const void *v, size_t n)
{
    if (begin_kv(w, key, type) != 0)
        return w->err.code;
    dv_buf_add(&w->kv, v, n);
    return check_buf(w, &w->kv);
}

int dv_gguf_put_u32(dv_gguf_writer *w, const char *key, uint32_t v) { return put(w, key, DV_GGUF_U32, &v, sizeof v); }

int dv_gguf_put_u64(dv_gguf_writer *w, const char *key, uint64_t v) { return put(w, key, DV_GGUF_U64, &v, sizeof v); }

int dv_gguf_put_i32(dv_gguf_writer *w, const char *key, int32_t v) { return put(w, key, DV_GGUF_I32, &v, sizeof v); }

int dv_gguf_put_f32(dv_gguf_writer *w, const char *key, float v) { return put(w, key, DV_GGUF_F32, &v, sizeof v); }

int dv_gguf_put_bool(dv_gguf_writer *w, const char *key, bool v)
{
    uint8_t byte = v;
    return put(w, key, DV_GGUF_BOOL, &byte, 1);
}

int dv_gguf_put_str(dv_gguf_writer *w, const char *key, const char *p, size_t n)
{
    if (begin_kv(w, key, DV_GGUF_STR) != 0)
        return w->err.code;
    add_str(&w->kv, p, n);
    return check_buf(w, &w->kv);
}

int dv_gguf_put_array(dv_gguf_writer *w, const char *key, dv_gguf_vtype elem, const void *data, uint64_t n)
{
    size_t bytes = dv__vtype_bytes(elem);
    if (w->err.code == 0 && (bytes == 0 || !dv_mul_size(n, bytes, &bytes)))
        return dv_fail(&w->err, DV_EINVAL, "key \"%s\": an array of %" PRIu64 " elements of type %s cannot be written",
                       key, n, dv__vtype_name(elem));
    if (begin_kv(w, key, DV_GGUF_ARR) != 0)
        return w->err.code;
    add_u32(&w->kv, elem);
    add_u64(&w->kv, n);
    dv_buf_add(&w->kv, data, bytes);
    return check_buf(w, &w->kv);
}

int dv_gguf_put_str_array(dv_gguf_writer *w, const char *key, const dv_str *items, uint64_t n)
{
    if (begin_kv(w, key, DV_GGUF_ARR) != 0)
        return w->err.code;
    add_u32(&w->kv, DV_GGUF_STR);
    add_u64(&w->kv, n);
    for (uint64_t i = 0; i < n && w->kv.code == 0; i++)
        add_str(&w->kv, items[i].p, items[i].n);
    return check_buf(w, &w->kv);
}

/* Keys that describe the file they are in, not the model. */
static bool own_key(dv_str key)
{
    static const char alignment[] = "general.alignment", split[] = "split.";
    return (key.n == sizeof alignment - 1 && memcmp(key.p, alignment, key.n) == 0) ||
           (key.n >= sizeof split - 1 && memcmp(key.p, split, sizeof split - 1) == 0);
}

int dv_gguf_put_kv(dv_gguf_writer *w, const dv_gguf_kv *kv)
{
    if (own_key(kv->key))
        return w->err.code;
    if (begin_kv_n(w, kv->key.p, kv->key.n, kv->type) != 0)
        return w->err.code;
    dv_buf_add(&w->kv, kv->value, (size_t)kv->n_bytes);
    return check_buf(w, &w->kv);
}

static bool tensor_bytes(uint32_t type, uint32_t n_dims, const uint64_t *ne, uint64_t *out)
{
    if (n_dims < 1 || n_dims > DV_GGUF_MAX_DIMS || ne[0] == 0 || !dv_type_row_bytes(type, ne[0], out))
        return false;
    for (uint32_t i = 1; i < n_dims; i++)
        if (ne[i] == 0 || !dv_mul_u64(*out, ne[i], out))
            return false;
    return true;
}

int dv_gguf_add_tensor(dv_gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne)
{
    uint64_t bytes, next;
    if (w->err.code != 0)
        return w->err.code;
    if (!tensor_bytes(type, n_dims, ne, &bytes) || !dv_add_u64(w->next_at, bytes, &next) ||
        !dv_align_u64(next, w->alignment, &next))
        return dv_fail(&w->err, DV_EINVAL, "tensor \"%s\" of type %s: impossible shape or type", name,
                       dv_type_name(type));
    if (add_name(w, &w->tensors, "tensor", name, strlen(name), DV_GGUF_MAX_NAME) != 0)
        return w->err.code;
    add_str(&w->dir, name, strlen(name));
    add_u32(&w->dir, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        add_u64(&w->dir, ne[i]);
    add_u32(&w->dir, type);
    add_u64(&w->dir, w->next_at);
    w->n_bytes[w->tensors.n - 1] = bytes;
    w->next_at = next;
    return check_buf(w, &w->dir);
}

static int write_all(dv_gguf_writer *w, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = write(w->fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_io(w, errno);
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int flush(dv_gguf_writer *w)
{
    int rc = write_all(w, w->out.data, w->out.len);
    dv_buf_clear(&w->out);
    return rc;
}

/* Small pieces are collected, large ones go straight through. */
static int emit(dv_gguf_writer *w, const void *data, size_t n)
{
    if (n > OUT_BYTES - w->out.len && flush(w) != 0)
        return w->err.code;
    if (n >= OUT_BYTES)
        return write_all(w, data, n);
    return dv_buf_add(&w->out, data, n) == 0 ? 0 : fail_mem(w);
}

static int pad(dv_gguf_writer *w, uint64_t from)
{
    static const uint8_t zeros[4096];
    uint64_t left = (w->alignment - from % w->alignment) % w->alignment;
    for (; left > 0 && w->err.code == 0; left -= DV_MIN(left, sizeof zeros))
        emit(w, zeros, (size_t)DV_MIN(left, sizeof zeros));
    return w->err.code;
}

static int start_data(dv_gguf_writer *w)
{
    dv_buf head;
    dv_buf_init(&head, 0);
    dv_buf_add(&head, "GGUF", 4);
    add_u32(&head, 3);
    add_u64(&head, w->tensors.n);
    add_u64(&head, w->keys.n);
    w->streaming = true;
    if (check_buf(w, &head) == 0 && emit(w, head.data, head.len) == 0 && emit(w, w->kv.data, w->kv.len) == 0 &&
        emit(w, w->dir.data, w->dir.len) == 0)
        pad(w, head.len + w->kv.len + w->dir.len);
    dv_buf_fini(&head);
    dv_buf_fini(&w->kv);
    dv_buf_fini(&w->dir);
    return w->err.code;
}

int dv_gguf_write_data(dv_gguf_writer *w, const void *data, size_t n)
{
    const char *p = data;
    if (w->err.code == 0 && !w->streaming)
        start_data(w);
    while (n > 0 && w->err.code == 0) {
        if (w->current >= w->tensors.n)
            return dv_fail(&w->err, DV_EINVAL, "%s: %zu bytes of data more than the tensors have", w->path, n);
        uint64_t total = w->n_bytes[w->current];
        size_t k = (size_t)DV_MIN(total - w->written, n);
        emit(w, p, k);
        p += k;
        n -= k;
        w->written += k;
        if (w->written == total) {
            pad(w, total);
            w->current++;
            w->written = 0;
        }
    }
    return w->err.code;
}

/* Truncating waits until the path is known to be a regular file: nobody's device or FIFO is written to or, later,
 * removed. */
static int open_file(dv_gguf_writer *w)
{
    struct stat st;
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (w->fd < 0)
        return fail_io(w, errno);
    bool regular = fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode);
    if (regular && ftruncate(w->fd, 0) == 0)
        return 0;
    int e = errno;
    close(w->fd);
    w->fd = -1;
    return regular ? fail_io(w, e) : dv_fail(&w->err, DV_EINVAL, "%s: not a regular file", w->path);
}

static void destroy(dv_gguf_writer **pw)
{
    dv_gguf_writer *w = *pw;
    if (w->fd >= 0)
        close(w->fd);
    seen_fini(&w->keys);
    seen_fini(&w->tensors);
    dv_arena_fini(&w->names);
    dv_buf_fini(&w->kv);
    dv_buf_fini(&w->dir);
    dv_buf_fini(&w->out);
    dv_free(w->n_bytes);
    dv_free(w->path);
    dv_free(w);
    *pw = NULL;
}

int dv_gguf_writer_open(dv_gguf_writer **out, const char *path, uint32_t alignment, dv_err *err)
{
    *out = NULL;
    if (!dv_is_pow2(alignment) || alignment < DV__ALIGN_MIN || alignment > DV__ALIGN_MAX)
        return dv_fail(err, DV_EINVAL, "alignment %" PRIu32 " is not a power of two from %d to %d", alignment,
                       DV__ALIGN_MIN, DV__ALIGN_MAX);
    dv_gguf_writer *w = dv_calloc(DV_MEM_GGUF, 1, sizeof *w);
    if (w == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory");
    w->fd = -1;
    w->alignment = alignment;
    dv_arena_init(&w->names, DV_MEM_GGUF, 0);
    dv_buf_init(&w->kv, 0);
    dv_buf_init(&w->dir, 0);
    dv_buf_init(&w->out, 0);
    w->path = dv_strndup(DV_MEM_GGUF, path, strlen(path));
    if (w->path == NULL)
        dv_fail(&w->err, DV_ENOMEM, "out of memory");
    else if (open_file(w) == 0 && alignment != DV__ALIGN_DEFAULT)
        dv_gguf_put_u32(w, "general.alignment", alignment);
    if (w->err.code == 0) {
        *out = w;
        return 0;
    }
    int rc = dv_fail(err, w->err.code, "%s", w->err.msg);
    dv_gguf_writer_close(&w);
    return rc;
}

void dv_gguf_writer_close(dv_gguf_writer **pw)
{
    dv_gguf_writer *w = *pw;
    if (w == NULL)
        return;
    if (w->fd >= 0 && !w->complete)
        unlink(w->path);
    destroy(pw);
}

int dv_gguf_writer_finish(dv_gguf_writer **pw, dv_err *err)
{
    dv_gguf_writer *w = *pw;
    if (w->err.code == 0 && !w->streaming)
        start_data(w);
    if (w->err.code == 0 && w->current < w->tensors.n) {
        const dv_str *name = &w->tensors.item[w->current];
        dv_fail(&w->err, DV_EINVAL, "tensor \"%.*s\" has %" PRIu64 " of its %" PRIu64 " bytes of data", (int)name->n,
                name->p, w->written, w->n_bytes[w->current]);
    }
    if (w->err.code == 0)
        flush(w);
    if (w->err.code == 0 && fsync(w->fd) != 0)
        fail_io(w, errno);
    w->complete = w->err.code == 0;
    int rc = w->err.code == 0 ? 0 : dv_fail(err, w->err.code, "%s", w->err.msg);
    dv_gguf_writer_close(pw);
    return rc;
}
