/* SPDX-License-Identifier: MIT */
/* libcurl's memory: counted like all else, wiped when it is freed (keys pass through its buffers), with a small reserve: where
 * libcurl 7.88 cannot get the few hundred bytes of a hash's entry it leaves the hash in a state that divides by zero later. */
#ifndef DV_CLIENT_MEMORY_H
#define DV_CLIENT_MEMORY_H

#include <stdint.h>

/** Start libcurl; once for each dv__curl_fini. Errors: DV_EIO. */
int dv__curl_init(void);
void dv__curl_fini(void);
/** Allocations that libcurl did not get so far, or from the reserve only. */
uint64_t dv__curl_failures(void);

#endif
