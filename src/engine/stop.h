/* SPDX-License-Identifier: MIT */
/* Stop strings in a growing text. The outcome does not depend on how the text was cut into pieces: the string that is complete first
 * wins, and of several complete at the same byte the one that began first. */
#ifndef DV_ENGINE_STOP_H
#define DV_ENGINE_STOP_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { DV_STOP_MAX_STRINGS = 16, DV_STOP_MAX_LEN = 256 };

/** Whether these can be stop strings: at most 16, each valid UTF-8 of 1..256 bytes. Errors: DV_EINVAL naming which. */
int dv_stop_check(const char *const *stop, size_t n, dv_err *err);

/**
 * @param stop  [n], checked
 * @param text  valid UTF-8 that was not released yet
 * @param hit   set to whether a stop string is in text
 * @return      bytes of text that are final: with a hit those before it, else all but the longest end that may still become a stop
 *              string; always whole characters
 */
size_t dv__stop_scan(const char *const *stop, size_t n, const char *text, size_t len, bool *hit);

#endif
