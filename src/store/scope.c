/* SPDX-License-Identifier: MIT */
/* What a key may do. */
#include "base/utf8.h"
#include "store/key.h"

#include <string.h>

/* Bytes of the character at s, 1 if it is not UTF-8. */
static size_t character(const char *s, size_t n)
{
    uint32_t cp;
    int k = dv_utf8_decode(s, n, &cp);
    return k > 0 ? (size_t)k : 1;
}

bool dv_pattern_match(const char *pattern, const char *text, size_t n)
{
    const char *p = pattern, *star = NULL;
    size_t i = 0, from = 0;
    /* On a mismatch the last star takes one character more; earlier ones need not, since what follows them matched already. */
    while (i < n) {
        if (*p == '*') {
            star = p++;
            from = i;
        } else if (*p != 0 && (*p == '?' || *p == text[i])) {
            i += *p == '?' ? character(text + i, n - i) : 1;
            p++;
        } else if (star != NULL) {
            p = star + 1;
            i = ++from;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return *p == 0;
}

static bool any(const dv_patterns *list, const char *text, char first)
{
    for (size_t i = 0; i < list->n; i++)
        if ((first == 0 || (list->v[i][0] == '/') == (first == '/')) &&
            dv_pattern_match(list->v[i], text, strlen(text)))
            return true;
    return false;
}

bool dv_scope_route(const dv_scope *scope, const char *group, const char *path, bool needs_admin)
{
    if (needs_admin && !scope->admin)
        return false;
    return (group != NULL && any(&scope->routes, group, 'g')) || (path != NULL && any(&scope->routes, path, '/'));
}

bool dv_scope_model(const dv_scope *scope, const char *model) { return any(&scope->models, model, 0); }
