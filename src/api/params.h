/* SPDX-License-Identifier: MIT */
/* Reading a request's fields by tables: name, type, range, and where the value goes. A field that is in no table of its route is
 * refused by name, so nothing that a client asks for is ignored without its knowing. */
#ifndef DV_API_PARAMS_H
#define DV_API_PARAMS_H

#include "api/call.h"

typedef enum dv__field_type {
    DV__FIELD_BOOL,
    DV__FIELD_U32,     /**< whole number in [min, max] */
    DV__FIELD_I64,     /**< the same, with a sign */
    DV__FIELD_F32,     /**< number in [min, max], above min with open_min */
    DV__FIELD_STR,     /**< const char *, borrowed from the body; one of `words` if there are any */
    DV__FIELD_JSON,    /**< const json_t *, borrowed from the body: the handler looks into it */
    DV__FIELD_OBJECT,  /**< the same, an object */
    DV__FIELD_LIST,    /**< the same, a list */
    DV__FIELD_REFUSED, /**< known, and not supported: `words` says why */
    DV__FIELD_TYPE_N
} dv__field_type;

#define DV__FIELD_NOWHERE SIZE_MAX /* checked, but without effect here: docs/api.md says why */

typedef struct dv__field {
    const char *name;
    dv__field_type type;
    size_t at;       /**< offset in the target, or DV__FIELD_NOWHERE */
    double min, max; /**< numbers; strings: most bytes (0: 1 MiB) */
    bool open_min;
    const char *words; /**< "low|high" */
} dv__field;

typedef struct dv__fields {
    const dv__field *row;
    size_t n;
} dv__fields;

/**
 * Read the fields of obj. Null is the same as absent: the target keeps what it has.
 * @param path    of obj in the request, "stream_options"; NULL: the request itself
 * @param tables  [n]; a name's first row counts
 * Errors: DV_EINVAL naming the field, also in c->param.
 */
int dv__fields_read(dv__call *c, const json_t *obj, const char *path, const dv__fields *const *tables, size_t n,
                    void *target, dv_err *err);

/** Record that a field is wrong: "name: sentence", DV_EINVAL. */
int dv__param_fail(dv__call *c, dv_err *err, const char *name, const char *fmt, ...) DV_PRINTF(4, 5);

/** Whole number of a JSON integer, or of a real without a fraction; false if v is neither or out of [min, max]. */
bool dv__json_whole(const json_t *v, double min, double max, int64_t *out);

#endif
