/* SPDX-License-Identifier: MIT */
/* A bounds-checked cursor over little-endian bytes. The first failure sticks with its offset; afterwards every read
 * gives zero, so a parser reads straight on and looks at the code where it would loop, allocate or follow a value. */
#ifndef DV_GGUF_CURSOR_H
#define DV_GGUF_CURSOR_H

#include "base/err.h"
#include "gguf/gguf.h"

#include <string.h>

/* The file is little-endian and values are copied out of it unchanged. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian machines are not supported");

typedef struct dv__cur {
    const uint8_t *p; /**< first byte of the file; borrowed */
    size_t len;       /**< bytes in the file */
    size_t pos;       /**< next byte to read, <= len */
    int code;         /**< 0 or the code of the first failure */
    dv_err *err;      /**< gets the text of the first failure; may be NULL */
} dv__cur;

/** Bytes not yet read. */
static inline size_t dv__cur_left(const dv__cur *c) { return c->len - c->pos; }

/** Record a failure unless one is recorded already; returns the recorded code. */
int dv__cur_fail(dv__cur *c, int code, const char *fmt, ...) DV_PRINTF(3, 4);

/** The next n bytes, or NULL with "the file ends inside <what>". */
const uint8_t *dv__cur_bytes(dv__cur *c, uint64_t n, const char *what);
uint32_t dv__cur_u32(dv__cur *c, const char *what);
uint64_t dv__cur_u64(dv__cur *c, const char *what);
/** A length and that many bytes; DV_ELIMIT if more than max. On failure p is NULL. */
dv_str dv__cur_str(dv__cur *c, uint64_t max, const char *what);
/** A string that names something: 1..max bytes and none of them NUL, so that it is the same name as a C string. */
dv_str dv__cur_name(dv__cur *c, uint64_t max, const char *what);

/** Load a value from any address. */
static inline uint32_t dv__ld_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t dv__ld_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
