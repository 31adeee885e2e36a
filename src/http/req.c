/* SPDX-License-Identifier: MIT */
#include "http/req.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Bytes of bodies and large replies that this process holds: not the server's, since requests may outlive it. Relaxed: a limit, it
 * orders nothing. */
static atomic_size_t held;

bool dv__req_hold(const dv__core *k, size_t n)
{
    size_t before = atomic_fetch_add_explicit(&held, n, memory_order_relaxed);
    if (n <= k->o.max_bodies && before <= k->o.max_bodies - n)
        return true;
    dv__req_release(n);
    return false;
}

void dv__req_release(size_t n) { atomic_fetch_sub_explicit(&held, n, memory_order_relaxed); }

dv_http_req *dv__req_new(dv__core *k)
{
    dv_http_req *r = dv_calloc(DV_MEM_HTTP, 1, sizeof *r);
    if (r == NULL)
        return NULL;
    atomic_init(&r->refs, 1);
    r->core = k;
    r->server = k->server;
    dv__head_init(&r->head, &k->o);
    dv_buf_init(&r->raw, k->o.max_head + 1); /* the byte that is too much must be seen */
    dv_buf_init(&r->body, k->o.max_body);
    dv_buf_init(&r->type, 1024);
    dv_buf_init(&r->fields, 16 << 10);
    dv_buf_init(&r->out, 0);
    pthread_mutex_init(&r->mutex, NULL);
    snprintf(r->id, sizeof r->id, "%016" PRIx64 "%08" PRIx32, k->id_prefix, k->id_next++);
    return r;
}

static void req_free(dv_http_req *r)
{
    if (r->destroy != NULL)
        r->destroy(r->user);
    dv_http_drop_body(r);
    dv_buf_fini(&r->raw);
    dv_buf_fini(&r->type);
    dv_buf_fini(&r->fields);
    dv_buf_fini(&r->out);
    dv__req_release(r->out_counted);
    dv_free(r->decoded);
    pthread_mutex_destroy(&r->mutex);
    dv_free(r);
}

dv_http_req *dv_http_ref(dv_http_req *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed); /* relaxed: the caller holds one already */
    return r;
}

void dv_http_unref(dv_http_req *r)
{
    if (r != NULL && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        req_free(r);
}

int dv__req_target(dv_http_req *r, const char **why)
{
    const char *target = dv_http_target(r), *host = r->head.host != 0 ? r->raw.data + r->head.host : NULL;
    r->decoded = dv_alloc(DV_MEM_HTTP, 2 * strlen(target) + 4);
    if (r->decoded == NULL)
        return DV_ENOMEM;
    return dv__target_parse(&r->target, target, r->head.verb, host, r->decoded, why);
}

dv_http_verb dv_http_method(const dv_http_req *r) { return r->head.verb; }
const char *dv_http_method_text(const dv_http_req *r) { return r->raw.data + r->head.method; }
const char *dv_http_path(const dv_http_req *r) { return r->target.path; }
const char *dv_http_target(const dv_http_req *r) { return r->raw.data + r->head.target; }
const char *dv_http_peer(const dv_http_req *r) { return r->peer.text; }
bool dv_http_is_unix(const dv_http_req *r) { return r->peer.is_unix; }
bool dv_http_is_tls(const dv_http_req *r) { return r->peer.tls; }
int dv_http_tag(const dv_http_req *r) { return r->peer.tag; }
const char *dv_http_id(const dv_http_req *r) { return r->id; }
uint64_t dv_http_begun_ns(const dv_http_req *r) { return r->begun_ns; }
dv_http_server *dv_http_server_of(const dv_http_req *r) { return r->server; }
void *dv_http_user(const dv_http_req *r) { return r->user; }

bool dv_http_address(const dv_http_req *r, uint8_t addr[16])
{
    if (r->peer.has_addr)
        memcpy(addr, r->peer.addr, 16);
    return r->peer.has_addr;
}

int dv_http_limit_body(dv_http_req *r, size_t max)
{
    if (!r->deciding || max == 0)
        return DV_EINVAL;
    r->body.limit = DV_MIN(r->body.limit, max);
    return r->head.length > r->body.limit ? DV_ELIMIT : 0;
}

void dv_http_set_user(dv_http_req *r, void *user, void (*destroy)(void *user))
{
    r->user = user;
    r->destroy = destroy;
}

bool dv_http_param(const dv_http_req *r, size_t i, const char **name, const char **value)
{
    if (i >= r->target.n_params)
        return false;
    *name = r->target.params;
    *value = *name + strlen(*name) + 1;
    while (i-- > 0) {
        *name = *value + strlen(*value) + 1;
        *value = *name + strlen(*name) + 1;
    }
    return true;
}

const char *dv_http_query(const dv_http_req *r, const char *name)
{
    const char *p = r->target.params;
    for (unsigned i = 0; i < r->target.n_params; i++) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

bool dv_http_field(const dv_http_req *r, size_t i, const char **name, const char **value)
{
    if (i >= r->head.n_fields)
        return false;
    *name = r->raw.data + r->head.fields[i].name;
    *value = r->raw.data + r->head.fields[i].value;
    return true;
}

const char *dv_http_header(const dv_http_req *r, const char *name)
{
    const char *key, *value;
    for (size_t i = 0; dv_http_field(r, i, &key, &value); i++)
        if (strcasecmp(key, name) == 0)
            return value;
    return NULL;
}

const char *dv_http_body(const dv_http_req *r, size_t *len)
{
    *len = r->body.len;
    return r->body.data != NULL ? r->body.data : "";
}

int dv__req_add_body(dv_http_req *r, const char *p, size_t n)
{
    if (!dv__req_hold(r->core, n))
        return DV_EBUSY;
    r->counted += n;
    return dv_buf_add(&r->body, p, n);
}

void dv_http_drop_body(dv_http_req *r)
{
    dv_buf_fini(&r->body);
    dv__req_release(r->counted);
    r->counted = 0;
}

bool dv__req_orphan(dv_http_req *r)
{
    pthread_mutex_lock(&r->mutex);
    bool none = r->state == DV__REPLY_NONE;
    pthread_mutex_unlock(&r->mutex);
    return none && atomic_load_explicit(&r->refs, memory_order_acquire) == 1;
}
