/* SPDX-License-Identifier: MIT */
#include "api/route.h"

#include <stdio.h>
#include <string.h>

static const dv__routes *const families[] = {
    &dv__routes_status,     &dv__routes_models, &dv__routes_chat,      &dv__routes_completions,
    &dv__routes_embeddings, &dv__routes_native, &dv__routes_infill,    &dv__routes_text,
    &dv__routes_slots,      &dv__routes_props,  &dv__routes_anthropic, &dv__routes_responses,
};

/* The part of path that stands for the '*' of pattern, "" for an exact match, NULL if they do not match. */
static const char *match(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] == '*')
        return strncmp(pattern, path, n - 1) == 0 && path[n - 1] != 0 ? path + n - 1 : NULL;
    return strcmp(pattern, path) == 0 ? "" : NULL;
}

static const char *match_route(const dv__route *r, const char *path)
{
    const char *tail = match(r->path, path);
    if (tail == NULL && (r->flags & DV__ROUTE_BARE) != 0)
        tail = match(r->path + strlen("/v1"), path);
    return tail;
}

static void add_method(char allow[64], const char *name)
{
    size_t n = strlen(allow);
    snprintf(allow + n, 64 - n, "%s%s", n > 0 ? ", " : "", name);
}

static void add_allowed(char allow[64], dv_http_verb verb)
{
    switch (verb) {
    case DV_HTTP_GET:
        add_method(allow, "GET");
        add_method(allow, "HEAD");
        break;
    case DV_HTTP_POST: add_method(allow, "POST"); break;
    case DV_HTTP_DELETE: add_method(allow, "DELETE"); break;
    default: break;
    }
}

const dv__route *dv__route_find(dv_http_verb verb, const char *path, char allow[64], const char **tail)
{
    allow[0] = 0;
    if (verb == DV_HTTP_HEAD)
        verb = DV_HTTP_GET;
    for (size_t f = 0; f < DV_ARRAY_LEN(families); f++)
        for (size_t i = 0; i < families[f]->n; i++) {
            const dv__route *r = &families[f]->row[i];
            const char *found = match_route(r, path);
            if (found == NULL)
                continue;
            if (r->verb == verb) {
                *tail = found;
                return r;
            }
            add_allowed(allow, r->verb);
        }
    return NULL;
}
