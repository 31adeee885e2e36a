/* SPDX-License-Identifier: MIT */
#ifndef DV_BASE_BASE64_H
#define DV_BASE_BASE64_H

#include "base/buf.h"

/** Append n bytes as base64 with padding. RFC 4648 section 4. */
int dv_buf_base64(dv_buf *b, const void *p, size_t n);

#endif
