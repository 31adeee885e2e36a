/* SPDX-License-Identifier: MIT */
/* Spellings shared by the AVX-512 files. Only types and static functions: nothing here may reach a caller built for an
 * older CPU. */
#ifndef DV_KERN_X86_UTIL_AVX512_H
#define DV_KERN_X86_UTIL_AVX512_H

#include "base/attr.h"

#define DV__PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define UNROLL(n) DV__PRAGMA(clang loop unroll(full))
#else
#define UNROLL(n) DV__PRAGMA(GCC unroll n)
#endif

#endif
