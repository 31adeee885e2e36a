/* SPDX-License-Identifier: MIT */
#include "drover/version.h"

const char *dv_version(void) { return DV_VERSION; }
