/* SPDX-License-Identifier: MIT */
/* TLS for listeners (dv_http_where.tls): a certificate and its key from files, which may be replaced while connections run. TLS 1.2 and 1.3 with forward
 * secrecy and authenticated encryption only, "http/1.1" by ALPN (RFC 7301), no renegotiation, no compression, no early data. */
#ifndef DV_HTTP_TLS_H
#define DV_HTTP_TLS_H

#include "http/server.h"

typedef enum dv_http_tls_version { DV_HTTP_TLS_1_2, DV_HTTP_TLS_1_3 } dv_http_tls_version;

typedef struct dv_http_tls_options {
    const char *cert_file;           /**< PEM: the server's certificate, then the intermediate ones */
    const char *key_file;            /**< PEM, without a passphrase */
    dv_http_tls_version min_version; /**< clients that offer less are refused */
    /** As in dv_http_options, for what is no error: a key that others may read, a certificate that is not valid today. May be NULL. */
    void (*log)(void *arg, int level, const char *text);
    void *arg;
} dv_http_tls_options;

/**
 * @param o  used in this call only
 * Errors, which name the file: DV_ENOENT, DV_EACCES, DV_EIO, DV_EINVAL (no regular file), DV_ELIMIT (over 1 MiB), DV_EFORMAT (no PEM of that kind, a
 * passphrase, a weak key, a key that is not the certificate's), DV_ENOMEM.
 */
int dv_http_tls_open(dv_http_tls **out, const dv_http_tls_options *o, dv_err *err);
/** The same for a dv_http_tls in use, by any thread: connections from now on get the new files and version, those that are there go on with the old
 * ones. On failure nothing changes. */
int dv_http_tls_reload(dv_http_tls *t, const dv_http_tls_options *o, dv_err *err);
/** After the servers that listen with it. *t may be NULL, becomes NULL. */
void dv_http_tls_close(dv_http_tls **t);

/** When the certificate in use ends, in seconds since 1970. Any thread. */
int64_t dv_http_tls_expires(dv_http_tls *t);

#endif
