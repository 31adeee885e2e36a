/* SPDX-License-Identifier: MIT */
/* What goes out before a request's body, checked and copied: URL and fields. */
#ifndef DV_CLIENT_OUTGOING_H
#define DV_CLIENT_OUTGOING_H

#include "base/buf.h"
#include "client/client.h"

#include <curl/curl.h>

typedef struct dv__outgoing {
    dv_buf text;              /**< one block that never moves, for it may hold secrets */
    const char *url;          /**< in text, as the next two */
    const char *socket;       /**< NULL: none */
    const char *ca_file;      /**< NULL: the system's */
    const char *method;       /**< static */
    struct curl_slist *lines; /**< "Name: value"; owned, not libcurl's */
} dv__outgoing;

/** Errors: DV_EINVAL (what cannot be sent; err never quotes a value), DV_ENOMEM. After a failure o is empty. */
int dv__outgoing_init(dv__outgoing *o, const dv_fetch_target *to, const dv_fetch_request *rq, dv_err *err);
/** Wipes what it frees. */
void dv__outgoing_fini(dv__outgoing *o);

#endif
