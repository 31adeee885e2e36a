/* SPDX-License-Identifier: MIT */
#include "sched/kvfile.h"

#include "base/err.h"
#include "base/mem.h"
#include "gguf/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, SUM = 32, SAMPLES = 4, SAMPLE_BYTES = 256, WRITE_CHUNK = 1 << 20 };

static const char magic[8] = "drvkvpg";

/* All of it little-endian, as is everything else that drover runs on. */
typedef struct head {
    char magic[8];
    uint32_t version, n_tok;
    uint8_t id[DV__KVFILE_HASH];
    uint8_t key[16];
    uint64_t page_bytes, n_pages;
} head;
_Static_assert(sizeof(head) == 80, "the layout of a file");

struct dv__kvfile_hash {
    crypto_generichash_state state;
};

/* --- identity --- */

static void add(crypto_generichash_state *h, const void *p, size_t n) { crypto_generichash_update(h, p, n); }

/* Scalars only: arrays are the tokenizer's, which the content of a page does not depend on, and factors that are tensors or derived. */
static void add_metadata(crypto_generichash_state *h, const dv_gguf *g)
{
    for (size_t i = 0; i < dv_gguf_n_kv(g); i++) {
        const dv_gguf_kv *kv = dv_gguf_kv_at(g, i);
        dv_str key = dv_gguf_kv_key(kv), text;
        uint64_t u;
        int64_t n;
        double f;
        bool b;
        add(h, key.p, key.n);
        if (dv_gguf_kv_u64(kv, 0, &u))
            add(h, &u, sizeof u);
        else if (dv_gguf_kv_i64(kv, 0, &n))
            add(h, &n, sizeof n);
        else if (dv_gguf_kv_f64(kv, 0, &f))
            add(h, &f, sizeof f);
        else if (dv_gguf_kv_bool(kv, 0, &b))
            add(h, &b, sizeof b);
        else if (dv_gguf_kv_str(kv, 0, &text))
            add(h, text.p, text.n);
    }
}

/* All of a large file would take seconds; a fine-tune changes every tensor. */
static void add_tensor(crypto_generichash_state *h, const dv_gguf_tensor *t)
{
    uint32_t type = (uint32_t)t->type;
    add(h, t->name.p, t->name.n);
    add(h, &type, sizeof type);
    add(h, t->ne, sizeof t->ne);
    for (uint64_t i = 0; i < SAMPLES && t->data != NULL; i++) {
        uint64_t at = t->n_bytes / SAMPLES * i, n = DV_MIN(t->n_bytes - at, (uint64_t)SAMPLE_BYTES);
        add(h, t->data + at, n);
    }
}

void dv__kvfile_identify(dv__kvfile_id *id, const dv_gguf *g, const dv_kv *kv)
{
    crypto_generichash_state h;
    uint64_t bytes = dv_gguf_file_bytes(g);
    const uint32_t shape[] = {VERSION, (uint32_t)kv->type, kv->n_layer, kv->n_head_kv, kv->hd_k, kv->hd_v, DV_KV_PAGE};
    crypto_generichash_init(&h, NULL, 0, sizeof id->hash);
    add(&h, shape, sizeof shape);
    add(&h, &bytes, sizeof bytes);
    add_metadata(&h, g);
    for (size_t i = 0; i < dv_gguf_n_tensors(g); i++)
        add_tensor(&h, dv_gguf_tensor_at(g, i));
    crypto_generichash_final(&h, id->hash, sizeof id->hash);
}

/* --- writing --- */

static int io_error(dv_err *err, const char *path)
{
    int e = errno;
    int code = e == ENOENT || e == ENOTDIR ? DV_ENOENT : e == EACCES || e == EPERM || e == EROFS ? DV_EACCES : DV_EIO;
    return dv_fail(err, code, "%s: %s", path, strerror(e));
}

typedef struct sink {
    int fd;
    crypto_generichash_state hash;
    uint64_t n;
} sink;

static int put(sink *s, const void *data, size_t n)
{
    const char *p = data;
    crypto_generichash_update(&s->hash, data, n);
    s->n += n;
    while (n > 0) {
        ssize_t k = write(s->fd, p, n < WRITE_CHUNK ? n : WRITE_CHUNK);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static int put_all(sink *s, const head *h, const uint32_t *tokens, dv_kv_page *const *pages)
{
    uint8_t sum[SUM];
    crypto_generichash_init(&s->hash, NULL, 0, SUM);
    int rc = put(s, h, sizeof *h);
    rc = rc != 0 ? rc : put(s, tokens, h->n_tok * sizeof *tokens);
    for (uint64_t i = 0; i < h->n_pages && rc == 0; i++)
        rc = put(s, pages[i]->data, h->page_bytes);
    if (rc != 0)
        return rc;
    crypto_generichash_state state = s->hash;
    crypto_generichash_final(&state, sum, SUM);
    return put(s, sum, SUM);
}

static uint32_t pages_of(uint32_t n_tok) { return n_tok / DV_KV_PAGE + (n_tok % DV_KV_PAGE != 0); }

int dv__kvfile_write(const char *path, const dv__kvfile_id *id, const dv_kv *kv, const uint8_t key[16],
                     const uint32_t *tokens, uint32_t n_tok, dv_kv_page *const *pages, uint64_t *n_bytes, dv_err *err)
{
    char temp[4096];
    head h = {.version = VERSION, .n_tok = n_tok, .page_bytes = kv->page_bytes, .n_pages = pages_of(n_tok)};
    memcpy(h.magic, magic, sizeof h.magic);
    memcpy(h.id, id->hash, sizeof h.id);
    memcpy(h.key, key, sizeof h.key);
    if (snprintf(temp, sizeof temp, "%s.%08x.part", path, randombytes_random()) >= (int)sizeof temp)
        return dv_fail(err, DV_EINVAL, "%s: the name is too long", path);
    /* What people said to the model is in there: for the owner only. */
    sink s = {.fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (s.fd < 0)
        return io_error(err, path);
    int rc = put_all(&s, &h, tokens, pages) != 0 ? io_error(err, path) : 0;
    if (close(s.fd) != 0 && rc == 0)
        rc = io_error(err, path);
    if (rc == 0 && rename(temp, path) != 0)
        rc = io_error(err, path);
    if (rc != 0)
        unlink(temp);
    *n_bytes = s.n;
    return rc;
}

/* --- reading --- */

static int get(dv__kvfile *f, void *data, size_t n, const char *what, dv_err *err)
{
    char *p = data;
    for (size_t left = n; left > 0;) {
        ssize_t k = read(f->fd, p, left);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return dv_fail(err, DV_EIO, "%s: %s", what, strerror(errno));
        if (k == 0)
            return dv_fail(err, DV_EFORMAT, "%s: the file ends early", what);
        p += k;
        left -= (size_t)k;
    }
    crypto_generichash_update(&f->hash->state, data, n);
    return 0;
}

static int check_head(const head *h, const dv__kvfile_id *id, const dv_kv *kv, uint32_t max_tok, uint64_t size,
                      dv_err *err)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return dv_fail(err, DV_EFORMAT, "not a file of KV pages");
    if (h->version != VERSION)
        return dv_fail(err, DV_EFORMAT, "version %u, this program reads %d", h->version, VERSION);
    if (memcmp(h->id, id->hash, sizeof h->id) != 0)
        return dv_fail(err, DV_EFORMAT, "made with another model or another KV format");
    if (h->n_tok == 0 || h->n_tok > max_tok)
        return dv_fail(err, DV_EFORMAT, "%u tokens, 1 to %u are possible", h->n_tok, max_tok);
    if (h->page_bytes != kv->page_bytes || h->n_pages != pages_of(h->n_tok))
        return dv_fail(err, DV_EFORMAT, "pages of another size");
    /* n_tok is checked, so nothing here overflows. */
    if (size != sizeof *h + (uint64_t)h->n_tok * sizeof(uint32_t) + h->n_pages * h->page_bytes + SUM)
        return dv_fail(err, DV_EFORMAT, "the file has %llu bytes, which is not what its head says",
                       (unsigned long long)size);
    return 0;
}

int dv__kvfile_open(dv__kvfile *f, const char *path, const dv__kvfile_id *id, const dv_kv *kv, uint32_t max_tok,
                    dv_err *err)
{
    head h;
    struct stat st;
    *f = (dv__kvfile){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)};
    if (f->fd < 0)
        return io_error(err, path);
    if (fstat(f->fd, &st) != 0)
        return io_error(err, path);
    if (!S_ISREG(st.st_mode))
        return dv_fail(err, DV_EFORMAT, "%s: not a regular file", path);
    f->hash = dv_calloc(DV_MEM_SESSION, 1, sizeof *f->hash);
    if (f->hash == NULL)
        return dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
    crypto_generichash_init(&f->hash->state, NULL, 0, SUM);
    int rc = get(f, &h, sizeof h, path, err);
    if (rc == 0)
        rc = check_head(&h, id, kv, max_tok, (uint64_t)st.st_size, err);
    if (rc != 0)
        return rc;
    f->tokens = dv_alloc_array(DV_MEM_SESSION, h.n_tok, sizeof *f->tokens);
    if (f->tokens == NULL)
        return dv_fail(err, DV_ENOMEM, "%s: %s", path, dv_error_text(DV_ENOMEM));
    memcpy(f->key, h.key, sizeof f->key);
    f->n_tok = h.n_tok;
    f->n_pages = (uint32_t)h.n_pages;
    f->n_bytes = (uint64_t)st.st_size;
    return get(f, f->tokens, h.n_tok * sizeof *f->tokens, path, err);
}

int dv__kvfile_page(dv__kvfile *f, uint8_t *data, const dv_kv *kv, dv_err *err)
{
    f->n_read++;
    return get(f, data, kv->page_bytes, "page", err);
}

int dv__kvfile_verify(dv__kvfile *f, dv_err *err)
{
    uint8_t want[SUM], sum[SUM];
    crypto_generichash_final(&f->hash->state, want, SUM);
    crypto_generichash_init(&f->hash->state, NULL, 0, SUM);
    int rc = get(f, sum, SUM, "checksum", err);
    if (rc == 0 && memcmp(sum, want, SUM) != 0)
        rc = dv_fail(err, DV_EFORMAT, "the checksum is wrong: the file is damaged");
    return rc;
}

void dv__kvfile_close(dv__kvfile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    dv_free(f->hash);
    dv_free(f->tokens);
    *f = (dv__kvfile){.fd = -1};
}
