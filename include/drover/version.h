/* SPDX-License-Identifier: MIT */
#ifndef DROVER_VERSION_H
#define DROVER_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the linked library, "major.minor.patch". Static string. */
const char *dv_version(void);

#ifdef __cplusplus
}
#endif
#endif
