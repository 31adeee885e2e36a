/* SPDX-License-Identifier: MIT */
/* Marks what the shared library exports; everything else in it is hidden. */
#ifndef DROVER_EXPORT_H
#define DROVER_EXPORT_H

#if defined(__GNUC__)
#define DV_API __attribute__((visibility("default")))
#else
#define DV_API
#endif

#endif
