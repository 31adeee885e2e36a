/* SPDX-License-Identifier: MIT */
/* Makes GGUF files byte by byte, good and bad, for the tests of the reader; independent of the writer under test. */
#ifndef DV_TEST_GGUF_MAKE_H
#define DV_TEST_GGUF_MAKE_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static inline void mk_u8(dv_buf *b, unsigned v) { dv_buf_addc(b, (char)v); }
static inline void mk_u32(dv_buf *b, uint32_t v) { dv_buf_add(b, &v, sizeof v); }
static inline void mk_u64(dv_buf *b, uint64_t v) { dv_buf_add(b, &v, sizeof v); }

static inline void mk_strn(dv_buf *b, const char *s, size_t n)
{
    mk_u64(b, n);
    dv_buf_add(b, s, n);
}

static inline void mk_str(dv_buf *b, const char *s) { mk_strn(b, s, strlen(s)); }

static inline void mk_head(dv_buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    dv_buf_init(b, 0);
    dv_buf_adds(b, "GGUF");
    mk_u32(b, version);
    mk_u64(b, n_tensors);
    mk_u64(b, n_kv);
}

/* Key and type; the value follows. */
static inline void mk_key(dv_buf *b, const char *key, uint32_t type)
{
    mk_str(b, key);
    mk_u32(b, type);
}

static inline void mk_kv_u32(dv_buf *b, const char *key, uint32_t v)
{
    mk_key(b, key, DV_GGUF_U32);
    mk_u32(b, v);
}

static inline void mk_tensor(dv_buf *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne,
                             uint64_t offset)
{
    mk_str(b, name);
    mk_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        mk_u64(b, ne[i]);
    mk_u32(b, type);
    mk_u64(b, offset);
}

static inline void mk_pad(dv_buf *b, size_t align)
{
    while (b->len % align != 0)
        mk_u8(b, 0);
}

static inline void mk_zeros(dv_buf *b, size_t n)
{
    while (n-- > 0)
        mk_u8(b, 0);
}

/* Peak memory of one open in relation to the file: directories are larger than their bytes in the file, but by a
 * constant. */
enum { MK_PEAK_FACTOR = 8, MK_PEAK_BASE = 2048 };

/* Opens bytes; checks what must hold for any bytes at all. Returns the code; *g is NULL unless it is 0. */
static inline int mk_open(dv_gguf **g, const void *data, size_t len, dv_err *err)
{
    size_t used = dv_mem_used(DV_MEM_GGUF);
    *err = (dv_err){0};
    dv_mem_peak_reset(DV_MEM_GGUF);
    int rc = dv_gguf_open_mem(g, data, len, err);
    assert_true(dv_mem_peak(DV_MEM_GGUF) - used <= MK_PEAK_FACTOR * len + MK_PEAK_BASE);
    assert_int_equal(rc, err->code);
    if (rc == 0) {
        assert_non_null(*g);
        assert_string_equal(err->msg, "");
    } else {
        assert_null(*g);
        assert_string_not_equal(err->msg, "");
        assert_int_equal(dv_mem_used(DV_MEM_GGUF), used);
    }
    return rc;
}

/* The bytes must be refused with this code and a text that contains `say`. Frees b. */
static inline void mk_refused(dv_buf *b, int code, const char *say)
{
    dv_gguf *g;
    dv_err err;
    assert_int_equal(b->code, 0);
    int rc = mk_open(&g, b->data, b->len, &err);
    if (rc != code || strstr(err.msg, say) == NULL)
        print_error("expected %s with \"%s\", got %s: %s\n", dv_error_name(code), say, dv_error_name(rc), err.msg);
    assert_int_equal(rc, code);
    assert_non_null(strstr(err.msg, say));
    dv_buf_fini(b);
}

/* The bytes must open. They stay b's, and g needs them. */
static inline dv_gguf *mk_opens(dv_buf *b)
{
    dv_gguf *g;
    dv_err err;
    assert_int_equal(b->code, 0);
    if (mk_open(&g, b->data, b->len, &err) != 0)
        print_error("unexpected: %s\n", err.msg);
    assert_non_null(g);
    return g;
}

static inline void mk_close(dv_gguf **g, dv_buf *b)
{
    dv_gguf_close(g);
    assert_null(*g);
    dv_buf_fini(b);
}

/* A small file with something of everything. Offsets of its length fields go to at[], when not NULL; returns how
 * many. */
static inline size_t mk_good(dv_buf *b, size_t at[16])
{
    size_t scratch[16], n = 0;
    at = at != NULL ? at : scratch;
    mk_head(b, 3, 2, 5);
    at[n++] = 8;
    at[n++] = 16;
    at[n++] = b->len;
    mk_key(b, "general.architecture", DV_GGUF_STR);
    at[n++] = b->len;
    mk_str(b, "llama");
    mk_key(b, "ids", DV_GGUF_ARR);
    mk_u32(b, DV_GGUF_I32);
    at[n++] = b->len;
    mk_u64(b, 3);
    for (int i = -1; i < 2; i++)
        mk_u32(b, (uint32_t)i);
    mk_key(b, "words", DV_GGUF_ARR);
    mk_u32(b, DV_GGUF_STR);
    at[n++] = b->len;
    mk_u64(b, 3);
    mk_str(b, "one");
    mk_str(b, "");
    at[n++] = b->len;
    mk_strn(b, "\0\xff", 2);
    mk_key(b, "nested", DV_GGUF_ARR);
    mk_u32(b, DV_GGUF_ARR);
    at[n++] = b->len;
    mk_u64(b, 2);
    mk_u32(b, DV_GGUF_BOOL);
    at[n++] = b->len;
    mk_u64(b, 1);
    mk_u8(b, 1);
    mk_u32(b, DV_GGUF_STR);
    at[n++] = b->len;
    mk_u64(b, 1);
    mk_str(b, "deep");
    mk_key(b, "flag", DV_GGUF_BOOL);
    mk_u8(b, 1);
    at[n++] = b->len;
    mk_tensor(b, "a.weight", DV_TYPE_F32, 2, (const uint64_t[]){3, 2}, 0);
    mk_tensor(b, "b.weight", DV_TYPE_Q8_0, 1, (const uint64_t[]){32}, 32);
    mk_pad(b, 32);
    for (int i = 0; i < 6; i++) {
        float v = (float)i;
        dv_buf_add(b, &v, sizeof v);
    }
    mk_pad(b, 32);
    for (int i = 0; i < 34; i++)
        mk_u8(b, (unsigned)i);
    return n;
}

#endif
