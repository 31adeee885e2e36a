/* SPDX-License-Identifier: MIT */
/* Who asks. From the head of a request alone: its peer, the proxies that are trusted to tell of another one, a key, a cookie. */
#include "base/err.h"
#include "serve/exchange.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t a[16]) { return memcmp(a, mapped, sizeof mapped) == 0; }

static bool is_loopback(const uint8_t a[16])
{
    static const uint8_t one[16] = {[15] = 1};
    return is_v4(a) ? a[12] == 127 : memcmp(a, one, sizeof one) == 0;
}

void dv__who_address(const uint8_t addr[16], char id[DV__IDENTITY], char text[64])
{
    char host[INET6_ADDRSTRLEN];
    uint8_t net[16] = {0};
    inet_ntop(is_v4(addr) ? AF_INET : AF_INET6, is_v4(addr) ? addr + 12 : addr, host, sizeof host);
    snprintf(text, 64, "%s", host);
    if (is_v4(addr)) {
        snprintf(id, DV__IDENTITY, "ip:%s", host);
        return;
    }
    memcpy(net, addr, 8); /* a guest has a whole network of 64 bits (RFC 4291 2.5.4) */
    inet_ntop(AF_INET6, net, host, sizeof host);
    snprintf(id, DV__IDENTITY, "ip:%s/64", host);
}

/* An address as X-Forwarded-For spells it: maybe with a port, brackets, a zone. s is cut up. */
static bool parse_address(char *s, uint8_t out[16])
{
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = 0;
    s += strspn(s, " \t");
    if (s[0] == '[') {
        s++;
        char *end = strchr(s, ']');
        if (end == NULL)
            return false;
        *end = 0;
    } else if (strchr(s, '.') != NULL && strchr(s, ':') != NULL && strchr(s, ':') == strrchr(s, ':')) {
        *strchr(s, ':') = 0;
    }
    char *zone = strchr(s, '%');
    if (zone != NULL)
        *zone = 0;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, s, out + 12) == 1 || inet_pton(AF_INET6, s, out) == 1;
}

static bool trusted(const dv__config *c, const uint8_t addr[16])
{
    for (size_t i = 0; i < c->n_proxies; i++)
        if (dv_net_has(&c->proxies[i], addr))
            return true;
    return false;
}

/* The client behind trusted proxies: the last address in X-Forwarded-For that is not such a proxy. What stands before it could be anybody's
 * invention. *addr stays what it is if there is none. True if a proxy was passed. */
static bool behind_proxies(const dv__xchg *x, uint8_t addr[16])
{
    const char *name, *value;
    char list[1024] = "";
    if (!trusted(x->cfg, addr))
        return false;
    for (size_t i = 0; dv_http_field(x->req, i, &name, &value); i++)
        if (strcasecmp(name, "X-Forwarded-For") == 0) {
            size_t n = strlen(list);
            if (n + strlen(value) + 2 > sizeof list)
                return true; /* longer than any chain of ours: believe none of it */
            snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? "," : "", value);
        }
    for (char *comma; list[0] != 0; *comma = 0) {
        uint8_t hop[16];
        comma = strrchr(list, ',');
        if (!parse_address(comma != NULL ? comma + 1 : list, hop))
            break;
        memcpy(addr, hop, sizeof hop);
        if (comma == NULL || !trusted(x->cfg, addr))
            break;
    }
    return true;
}

static uint64_t hash_id(const char *id)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; a collision shares a fair share, nothing else */
    for (; *id != 0; id++)
        h = (h ^ (uint8_t)*id) * 1099511628211u;
    return h;
}

/* The address that the request is from, as an identity. Returns whether nobody but this machine can have sent it. */
static bool find_address(dv__xchg *x)
{
    dv__who *w = &x->who;
    uint8_t addr[16];
    if (!dv_http_address(x->req, addr)) {
        w->kind = DV__WHO_LOCAL; /* a unix socket: its permissions say who may */
        snprintf(w->id, sizeof w->id, "local");
        return true;
    }
    bool passed = behind_proxies(x, addr);
    w->kind = DV__WHO_ADDRESS;
    dv__who_address(addr, w->id, w->address);
    snprintf(w->address_net, sizeof w->address_net, "%s", w->id + strlen("ip:"));
    return !passed && is_loopback(addr);
}

/* The credential in a header, and its length; NULL: none. */
static const char *find_credential(const dv__xchg *x, size_t *n)
{
    static const char bearer[] = "Bearer ";
    const char *h = dv_http_header(x->req, "Authorization");
    if (h != NULL && strncasecmp(h, bearer, sizeof bearer - 1) == 0)
        h += sizeof bearer - 1;
    else
        h = dv_http_header(x->req, "X-Api-Key");
    if (h == NULL)
        return NULL;
    h += strspn(h, " ");
    *n = strlen(h);
    return h;
}

static int find_key(dv__xchg *x, const char *text, size_t n, dv_err *err)
{
    dv__who *w = &x->who;
    int rc = dv_key_find(x->s->o.store, text, n, &w->key, err);
    if (rc != 0)
        return rc;
    w->kind = DV__WHO_KEY;
    w->admin = w->key->scope.admin;
    w->may_write = true;
    snprintf(w->id, sizeof w->id, "key:%lld", (long long)w->key->id);
    return 0;
}

/* RFC 6265 5.4 */
const char *dv__who_cookie(const dv__xchg *x, size_t *n)
{
    static const char name[] = "drover_session=";
    const char *h = dv_http_header(x->req, "Cookie");
    while (h != NULL) {
        h += strspn(h, "; ");
        if (strncmp(h, name, sizeof name - 1) == 0) {
            *n = strcspn(h + sizeof name - 1, ";");
            return h + sizeof name - 1;
        }
        h = strchr(h, ';');
    }
    return NULL;
}

static bool safe_method(const dv__xchg *x)
{
    dv_http_verb v = dv_http_method(x->req);
    return v == DV_HTTP_GET || v == DV_HTTP_HEAD || v == DV_HTTP_OPTIONS;
}

/* A browser sends the cookie whoever made the page: only a page of ours has the token, and only the pages that were named may read. */
static int check_page(const dv__xchg *x, const char *cookie, size_t n, dv_err *err)
{
    const char *token = dv_http_header(x->req, "X-CSRF-Token"), *origin = dv_http_header(x->req, "Origin");
    if (origin != NULL &&
        !dv_guard_origin_named(&x->cfg->guard, origin, dv_http_header(x->req, "Host"), dv_http_is_tls(x->req)))
        return dv_fail(err, DV_EACCES, "pages of this Origin may not use a session");
    if (safe_method(x))
        return 0;
    if (token == NULL || !dv_session_csrf_ok(x->s->o.store, cookie, n, token, strlen(token)))
        return dv_fail(err, DV_EACCES, "the field X-CSRF-Token is missing or wrong (GET /api/session tells it)");
    return 0;
}

static int find_user(dv__xchg *x, const char *cookie, size_t n, dv_err *err)
{
    dv__who *w = &x->who;
    int rc = dv_session_find(x->s->o.store, cookie, n, &w->session, err);
    if (rc != 0 || (rc = check_page(x, cookie, n, err)) != 0)
        return rc;
    w->kind = DV__WHO_USER;
    w->admin = w->session.user.role == DV_ROLE_ADMIN;
    w->may_write = w->session.user.role != DV_ROLE_VIEWER;
    snprintf(w->id, sizeof w->id, "user:%lld", (long long)w->session.user.id);
    return 0;
}

/* Clients of local servers send some key, since their libraries want one: nobody's key is nobody, where nobody needs one. One that looks like
 * ours is meant as one. */
static bool meant_as_key(const char *text, size_t n) { return n >= 3 && memcmp(text, "dv_", 3) == 0; }

int dv__who_find(dv__xchg *x, dv_err *err)
{
    dv__who *w = &x->who;
    size_t n = 0;
    bool own = find_address(x), open = own && x->cfg->keyless;
    int rc = 0;
    const char *text = find_credential(x, &n);
    if (text != NULL && !(open && !meant_as_key(text, n)))
        rc = find_key(x, text, n, err);
    else if ((text = dv__who_cookie(x, &n)) != NULL)
        rc = find_user(x, text, n, err);
    if (rc == DV_EAUTH && w->kind != DV__WHO_USER && (x->row == NULL || (x->row->flags & DV__ROW_LOGIN) != 0) &&
        find_credential(x, &n) == NULL)
        rc = 0; /* an old cookie does not keep anybody from logging in */
    w->hash = hash_id(w->id);
    if (rc != 0)
        return rc;
    if (w->kind == DV__WHO_KEY || w->kind == DV__WHO_USER)
        return 0;
    if (open) {
        w->may_write = true;
        return 0;
    }
    w->kind = DV__WHO_NONE;
    return 0;
}

int dv__who_may(dv__xchg *x, dv_err *err)
{
    const dv__row *r = x->row;
    const dv__who *w = &x->who;
    if ((r->flags & (DV__ROW_PUBLIC | DV__ROW_LOGIN)) != 0)
        return 0;
    if (w->kind == DV__WHO_NONE)
        return dv_fail(err, DV_EAUTH, "Invalid API Key");
    if ((r->flags & DV__ROW_SESSION) != 0 && w->kind != DV__WHO_USER)
        return dv_fail(err, DV_EAUTH, "this needs a session: POST /api/login");
    bool admin = (r->flags & DV__ROW_ADMIN) != 0;
    if (w->kind == DV__WHO_KEY && !dv_scope_route(&w->key->scope, dv__group_name(r->group), r->path, admin))
        return dv_fail(err, DV_EACCES, "this API key may not use %s (its scope)", r->path);
    if (admin && !w->admin)
        return dv_fail(err, DV_EACCES, "only admins may use %s", r->path);
    if ((r->flags & (DV__ROW_WRITE | DV__ROW_JOB)) != 0 && !w->may_write)
        return dv_fail(err, DV_EACCES, "viewers may not use %s", r->path);
    return 0;
}

bool dv__who_may_model(const dv__xchg *x, const char *model)
{
    return x->who.kind != DV__WHO_KEY || dv_scope_model(&x->who.key->scope, model);
}

void dv__who_fini(dv__who *w)
{
    dv_key_unref(w->key);
    w->key = NULL;
}
