/* SPDX-License-Identifier: MIT */
#include "api/auth.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

enum { KEY_HASH = 32 };

static void hash_key(unsigned char out[KEY_HASH], const char *key)
{
    crypto_generichash(out, KEY_HASH, (const unsigned char *)key, strlen(key), NULL, 0);
}

/* Hashes are compared, all of them: how much of a key is right, and which one, takes no time of its own. */
static bool known_key(const dv_api_options *o, const char *given)
{
    unsigned char ours[KEY_HASH], theirs[KEY_HASH];
    bool found = false;
    hash_key(theirs, given);
    for (size_t i = 0; i < o->n_keys; i++) {
        hash_key(ours, o->keys[i]);
        found |= sodium_memcmp(ours, theirs, KEY_HASH) == 0;
    }
    return found;
}

bool dv__auth_key(const dv_api_options *o, const char *authorization, const char *x_api_key)
{
    static const char bearer[] = "Bearer ";
    size_t n = sizeof bearer - 1;
    if (o->n_keys == 0)
        return true;
    if (authorization != NULL && strncasecmp(authorization, bearer, n) == 0)
        return known_key(o, authorization + n + strspn(authorization + n, " "));
    return x_api_key != NULL && known_key(o, x_api_key);
}
