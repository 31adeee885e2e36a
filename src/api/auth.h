/* SPDX-License-Identifier: MIT */
/* Whether a request has one of the server's keys. */
#ifndef DV_API_AUTH_H
#define DV_API_AUTH_H

#include "api/server.h"

/** Whether one of the keys is in `Authorization: Bearer` or `x-api-key`; either may be NULL. Takes the same time whichever key it is and
 *  however much of it is right. True if the server has no keys. */
bool dv__auth_key(const dv_api_options *o, const char *authorization, const char *x_api_key);

#endif
