/* SPDX-License-Identifier: MIT */
#ifndef DROVER_VERSION_H
#define DROVER_VERSION_H

#include "drover/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the linked library, "major.minor.patch". Static string. */
DV_API const char *dv_version(void);

#ifdef __cplusplus
}
#endif
#endif
