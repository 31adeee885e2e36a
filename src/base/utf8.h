/* SPDX-License-Identifier: MIT */
/* UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef DV_BASE_UTF8_H
#define DV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Decode the character at s[0..n).
 * @return  bytes used (1-4); 0 when n is 0; -1 when the bytes are not UTF-8 (skip one byte to go on)
 */
int dv_utf8_decode(const char *s, size_t n, uint32_t *cp);
/** Encode cp (a valid scalar value) into out; returns bytes written, 1-4. Invalid values are written as U+FFFD. */
int dv_utf8_encode(uint32_t cp, char out[4]);
bool dv_utf8_valid(const char *s, size_t n);
/**
 * Bytes (1-4) of the character at s[0..n) if it may go to a terminal or a log as it is; 0 if it must be escaped: no UTF-8,
 * a control character, a line or paragraph separator, or one that changes the direction of text around it.
 */
int dv_utf8_printable(const char *s, size_t n);
/** Bytes at the end of s[0..n) that begin a character whose rest is missing (0-3): hold them back when streaming. */
size_t dv_utf8_incomplete(const char *s, size_t n);
/** Number of characters; an invalid byte counts as one. */
size_t dv_utf8_count(const char *s, size_t n);

#endif
