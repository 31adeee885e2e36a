/* SPDX-License-Identifier: MIT */
#include "serve/rows.h"

#include "base/attr.h"

#include <stdio.h>
#include <string.h>

static const dv__rows *const families[] = {
    &dv__rows_status, &dv__rows_openai, &dv__rows_anthropic, &dv__rows_native,
    &dv__rows_app,    &dv__rows_keys,   &dv__rows_users,     &dv__rows_audit,
};

static const char *const groups[] = {
#define GROUP_NAME(id, name, help) name,
    DV__GROUPS(GROUP_NAME)
#undef GROUP_NAME
};

const char *dv__group_name(dv__group g) { return g < DV__GROUP_N ? groups[g] : ""; }

const dv__row *dv__row_at(size_t i)
{
    for (size_t f = 0; f < DV_ARRAY_LEN(families); f++) {
        if (i < families[f]->n)
            return &families[f]->row[i];
        i -= families[f]->n;
    }
    return NULL;
}

/* Whether path is what pattern spells; p gets what stands for its names. */
static bool match(const char *pattern, const char *path, dv__params *p)
{
    p->n = 0;
    while (*pattern != 0) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        pattern = strchr(pattern, '}') + 1;
        size_t n = pattern[-2] == '*' ? strlen(path) : strcspn(path, "/");
        if (n == 0 || p->n == DV__ROW_PARAMS)
            return false;
        p->v[p->n] = path;
        p->len[p->n++] = n;
        path += n;
    }
    return *path == 0;
}

static bool match_row(const dv__row *r, const char *path, dv__params *p)
{
    return match(r->path, path, p) || ((r->flags & DV__ROW_BARE) != 0 && match(r->path + strlen("/v1"), path, p));
}

enum { ALLOW_LEN = 96 };

static void add_allowed(char allow[ALLOW_LEN], dv_http_verb verb)
{
    static const char *const names[DV_HTTP_VERB_N] = {[DV_HTTP_GET] = "GET, HEAD",
                                                      [DV_HTTP_POST] = "POST",
                                                      [DV_HTTP_PUT] = "PUT",
                                                      [DV_HTTP_PATCH] = "PATCH",
                                                      [DV_HTTP_DELETE] = "DELETE"};
    size_t n = strlen(allow);
    if (names[verb] != NULL && strstr(allow, names[verb]) == NULL)
        snprintf(allow + n, ALLOW_LEN - n, "%s%s", n > 0 ? ", " : "", names[verb]);
}

const dv__row *dv__rows_find(dv_http_verb verb, const char *path, dv_conf_api own, char allow[ALLOW_LEN],
                             dv__params *params)
{
    const dv__row *best = NULL;
    allow[0] = 0;
    if (verb == DV_HTTP_HEAD)
        verb = DV_HTTP_GET;
    for (size_t f = 0; f < DV_ARRAY_LEN(families); f++)
        for (size_t i = 0; i < families[f]->n; i++) {
            const dv__row *r = &families[f]->row[i];
            dv__params p;
            if (!match_row(r, path, &p))
                continue;
            add_allowed(allow, r->verb);
            if (r->verb == verb && (best == NULL || (r->api == own && best->api != own))) {
                best = r;
                *params = p;
            }
        }
    return best;
}
