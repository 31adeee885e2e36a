/* SPDX-License-Identifier: MIT */
#ifndef DV_LIMIT_REDIS_URL_H
#define DV_LIMIT_REDIS_URL_H

#include "drover/error.h"

#include <stdint.h>

typedef struct dv__redis_url {
    char *host;     /**< without brackets; NULL: path */
    uint16_t port;  /**< 6379 if there is none */
    char *path;     /**< of a unix socket */
    char *user;     /**< NULL: none */
    char *password; /**< NULL: none */
    unsigned db;
} dv__redis_url;

/**
 * redis://[[user]:password@]host[:port][/db], unix:///path. Errors: DV_EINVAL, DV_EUNSUPPORTED (TLS), DV_ENOMEM; err never
 * quotes the URL.
 */
int dv__redis_url_parse(dv__redis_url *u, const char *text, dv_err *err);
/** Wipes the password. */
void dv__redis_url_fini(dv__redis_url *u);

#endif
