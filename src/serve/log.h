/* SPDX-License-Identifier: MIT */
/* The service's log: a line for each thing that happened, as JSON or as text. Nothing from outside can end a line or steer a terminal. Any thread. */
#ifndef DV_SERVE_LOG_H
#define DV_SERVE_LOG_H

#include "base/buf.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dv__log dv__log;

/** A further field of a line. */
typedef struct dv__log_field {
    const char *name; /**< an identifier */
    const char *text; /**< NULL: it is the number */
    double number;
} dv__log_field;

/** Errors: those of opening the file. */
int dv__log_open(dv__log **out, const dv_conf *conf, dv_err *err);
void dv__log_close(dv__log **l);
/** Another level, format or file; the file is opened anew in any case (it may have been moved away). On failure the old one goes on. */
int dv__log_reopen(dv__log *l, const dv_conf *conf, dv_err *err);
bool dv__log_wants(const dv__log *l, int level);
/** level: dv_conf_log_level, the same numbers as DV_HTTP_LOG_*. */
void dv__log_line(dv__log *l, int level, const char *message, const dv__log_field *fields, size_t n);
void dv__log_printf(dv__log *l, int level, const char *fmt, ...) DV_PRINTF(3, 4);

#endif
