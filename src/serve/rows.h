/* SPDX-License-Identifier: MIT */
/* The families of routes, in the order in which they are asked. */
#ifndef DV_SERVE_ROWS_H
#define DV_SERVE_ROWS_H

#include "serve/row.h"

extern const dv__rows dv__rows_status, dv__rows_openai, dv__rows_anthropic, dv__rows_native, dv__rows_app,
    dv__rows_keys, dv__rows_users, dv__rows_audit;

#endif
