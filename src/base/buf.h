/* SPDX-License-Identifier: MIT */
/* The one growable byte buffer. Errors stick: after a failed append the buffer keeps what it had and code says why. */
#ifndef DV_BASE_BUF_H
#define DV_BASE_BUF_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dv_buf {
    char *data;   /**< owned; data[len] == 0 whenever data is not NULL */
    size_t len;   /**< bytes used */
    size_t cap;   /**< bytes allocated */
    size_t limit; /**< most bytes it may hold; 0: no limit */
    int code;     /**< 0, DV_ENOMEM or DV_ELIMIT, sticky */
} dv_buf;

/** An empty buffer without allocation. limit 0: none. */
void dv_buf_init(dv_buf *b, size_t limit);
void dv_buf_fini(dv_buf *b);
/** Keep the allocation, drop content and error. */
void dv_buf_clear(dv_buf *b);
/** Make room for n more bytes; 0 or the sticky code. */
int dv_buf_reserve(dv_buf *b, size_t n);
int dv_buf_add(dv_buf *b, const void *p, size_t n);
int dv_buf_addc(dv_buf *b, char c);
int dv_buf_adds(dv_buf *b, const char *s);
int dv_buf_printf(dv_buf *b, const char *fmt, ...) DV_PRINTF(2, 3);
/** Remove the first n bytes. */
void dv_buf_shift(dv_buf *b, size_t n);
/** Terminated content, never NULL; stays owned by b. */
const char *dv_buf_str(dv_buf *b);

/** Append s for people to read: what dv_utf8_printable refuses becomes \xNN, so that it can neither steer a terminal nor forge a line. */
int dv_buf_escaped(dv_buf *b, const char *s, size_t n);

/** Append s as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. RFC 8259 section 7. */
int dv_buf_json_str(dv_buf *b, const char *s, size_t n);
/** The same for a log: what dv_utf8_printable refuses (C1 controls, separators, changes of direction) becomes \u escapes too. */
int dv_buf_json_log(dv_buf *b, const char *s, size_t n);
/** Append a JSON number, shortest form that reads back as the same double; NaN and infinities as null. */
int dv_buf_json_num(dv_buf *b, double v);

#endif
