/* SPDX-License-Identifier: MIT */
/* The routes: every method and path that is served, who may call it and what it does. A family of routes is a file with a table of rows
 * and a line in route.c. */
#ifndef DV_API_ROUTE_H
#define DV_API_ROUTE_H

#include "api/call.h"

/* Flags of a route. */
enum {
    DV__ROUTE_PUBLIC = 1u << 0, /**< no key is needed */
    DV__ROUTE_INLINE = 1u << 1, /**< quick and without a body: handled on the I/O thread */
    DV__ROUTE_JSON = 1u << 2,   /**< has a JSON object as its body, parsed before the handler runs */
    DV__ROUTE_JOB = 1u << 3,    /**< submits jobs: refused at once while the queue is full */
    DV__ROUTE_BARE = 1u << 4,   /**< also served without "/v1" in front */
    DV__ROUTE_ALWAYS = 1u << 5, /**< served while draining too */
};

struct dv__route {
    dv_http_verb verb; /**< a GET route serves HEAD too */
    const char *path;  /**< exact; or ending in '*', which stands for one character or more */
    unsigned flags;
    dv_style style;
    /** On a worker (or the I/O thread, see flags): reply or start jobs. A failure is replied in the route's shape. */
    int (*handle)(dv__call *c, dv_err *err);
};

/** A family of routes. */
typedef struct dv__routes {
    const dv__route *row;
    size_t n;
} dv__routes;

extern const dv__routes dv__routes_status, dv__routes_models, dv__routes_chat, dv__routes_completions,
    dv__routes_embeddings, dv__routes_native, dv__routes_infill, dv__routes_text, dv__routes_slots, dv__routes_props,
    dv__routes_anthropic, dv__routes_responses;

/**
 * Find the route of a request.
 * @param allow  of at least 64 bytes; the methods of the path, for 405: "GET, HEAD"; "" if there is no such path
 * @param tail   what stands for the '*'
 * @return NULL: no such path or not this method
 */
const dv__route *dv__route_find(dv_http_verb verb, const char *path, char allow[64], const char **tail);

#endif
