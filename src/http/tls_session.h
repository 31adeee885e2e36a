/* SPDX-License-Identifier: MIT */
#ifndef DV_HTTP_TLS_SESSION_H
#define DV_HTTP_TLS_SESSION_H

#include "http/tls.h"

#include <openssl/types.h>

/** The server's side of one connection, with the files in use now; NULL when out of memory. */
SSL *dv__tls_session(dv_http_tls *t);

#endif
