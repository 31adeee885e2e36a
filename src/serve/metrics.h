/* SPDX-License-Identifier: MIT */
/* GET /metrics: the service's own numbers, and those of every instance that is ready with its model's name as a label. */
#ifndef DV_SERVE_METRICS_H
#define DV_SERVE_METRICS_H

#include "serve/exchange.h"

int dv__metrics(dv__xchg *x, dv_err *err);

/**
 * Merge an exposition (Prometheus text format 0.0.4) into b, with label model="..." added to each sample. What is no such line is left out. seen: names
 * whose HELP and TYPE are there already, one per line; appended to. Errors: b->code.
 */
int dv__metrics_merge(dv_buf *b, dv_buf *seen, const char *text, size_t n, const char *model);

#endif
