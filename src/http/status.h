/* SPDX-License-Identifier: MIT */
/* Small things of a reply's head. */
#ifndef DV_HTTP_STATUS_H
#define DV_HTTP_STATUS_H

#include "http/server.h"

#include <time.h>

enum { DV__DATE_LEN = 29 };

/** IMF-fixdate, RFC 9110 5.6.7, whatever the locale. */
void dv__http_date(char out[DV__DATE_LEN + 1], time_t t);

#endif
