/* SPDX-License-Identifier: MIT */
/* The head of a reply, line by line as libcurl hands it over, kept as fields: RFC 9112 sections 4 and 5, strictly. What another
 * server sends is as hostile as what a client sends. */
#ifndef DV_CLIENT_HEAD_H
#define DV_CLIENT_HEAD_H

#include "base/buf.h"
#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DV__REPLY_FIELDS = 128, DV__REPLY_HEAD = 64 << 10 };

typedef struct dv__reply_head {
    int status;    /**< 0: no status line yet */
    bool complete; /**< the final head's empty line was there; what comes later are trailers, which are dropped */
    size_t bytes;  /**< of all lines so far: interim heads and trailers count too */
    dv_buf text;   /**< names and values, each terminated */
    unsigned n_fields;
    struct {
        uint32_t name, value; /**< offsets in text */
    } fields[DV__REPLY_FIELDS];
} dv__reply_head;

void dv__reply_head_init(dv__reply_head *h);
void dv__reply_head_fini(dv__reply_head *h);
/** One line with its end. Errors: DV_EFORMAT, DV_ELIMIT, DV_ENOMEM. */
int dv__reply_head_line(dv__reply_head *h, const char *line, size_t n, dv_err *err);
/** First value of a name in any case; NULL if it is not there. */
const char *dv__reply_head_get(const dv__reply_head *h, const char *name);

#endif
