/* SPDX-License-Identifier: MIT */
/* Error codes shared by every layer. One row of DV_ERR_MAP gives the code, its name, a text for people and the HTTP
 * status that a server answers with. Functions that can fail return 0 or one of these negative codes. */
#ifndef DROVER_ERROR_H
#define DROVER_ERROR_H

#include "drover/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, message, http status) */
#define DV_ERR_MAP(X)                                                    \
    X(EINVAL, -1, "invalid argument", 400)                               \
    X(ENOMEM, -2, "out of memory", 503)                                  \
    X(EIO, -3, "input/output error", 500)                                \
    X(ENOENT, -4, "not found", 404)                                      \
    X(EFORMAT, -5, "malformed input", 400)                               \
    X(ELIMIT, -6, "a limit was exceeded", 400)                           \
    X(EUNSUPPORTED, -7, "not supported", 501)                            \
    X(ECONTEXT, -8, "the context is full", 400)                          \
    X(ECANCELED, -9, "canceled", 499)                                    \
    X(EBUSY, -10, "busy, try again later", 503)                          \
    X(EACCES, -11, "permission denied", 403)                             \
    X(ETEMPLATE, -12, "the chat template refused the conversation", 400) \
    X(EINTERNAL, -13, "internal error", 500)                             \
    X(ENOSPC, -14, "no space left", 507)                                 \
    X(ECORRUPT, -15, "stored data is damaged", 500)                      \
    X(EEXIST, -16, "exists already", 409)                                \
    X(EAUTH, -17, "not authenticated", 401)                              \
    X(ERATE, -18, "too many requests", 429)

enum dv_error_code {
    DV_OK = 0,
#define DV_ERR_ENUM(name, value, message, status) DV_##name = value,
    DV_ERR_MAP(DV_ERR_ENUM)
#undef DV_ERR_ENUM
};

/** First failure of an operation: code and a sentence that names the field, key or offset. Zero-initialise before use. */
typedef struct dv_err {
    int code;      /**< 0, or a DV_E* code */
    char msg[324]; /**< UTF-8, always terminated, control characters from the input escaped */
} dv_err;

/** Name of a code ("DV_EINVAL"), or "DV_E?" for a number that is none. Static string. */
DV_API const char *dv_error_name(int code);
/** Text of a code for people. Static string. */
DV_API const char *dv_error_text(int code);
/** HTTP status of a code; 500 for a number that is none. */
DV_API int dv_error_http_status(int code);

#ifdef __cplusplus
}
#endif
#endif
