/* SPDX-License-Identifier: MIT */
/* One JSON value, byte by byte: where it ends and whether it is well-formed (RFC 8259; no lone surrogates, since readers refuse
 * them). Constant memory, no allocation. Private to src/chat. */
#ifndef DV_CHAT_JSCAN_H
#define DV_CHAT_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DV__JSCAN_DEPTH = 64 }; /* nesting of objects and arrays */

typedef enum dv__jscan_result {
    DV__JSCAN_BAD = -1,  /* this byte cannot be here */
    DV__JSCAN_MORE = 0,  /* go on */
    DV__JSCAN_DONE = 1,  /* the value ends with this byte */
    DV__JSCAN_BEFORE = 2 /* the value, a number, ended before this byte */
} dv__jscan_result;

typedef struct dv__jscan {
    uint8_t state;
    uint8_t key;      /* the string being read is a key */
    uint8_t digits;   /* hexadecimal digits still to come */
    uint8_t low;      /* the second half of a surrogate pair must follow */
    uint16_t unit;    /* value of these digits so far */
    const char *rest; /* of true, false, null */
    unsigned depth;
    uint64_t object; /* bit per level: an object, not an array */
} dv__jscan;

/** A value, perhaps behind white space, is expected. */
void dv__jscan_init(dv__jscan *s);
/** The next byte. After anything but MORE, s must be initialised again. */
dv__jscan_result dv__jscan_byte(dv__jscan *s, unsigned char c);

#endif
