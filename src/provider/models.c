/* SPDX-License-Identifier: MIT */
/* What models a server has, and asking for another one. */
#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"
#include "provider/body.h"
#include "provider/impl.h"

#include <string.h>

enum { MODELS_MAX = 4096 };

/* ---- one JSON object as a reply ---- */

static int on_data(void *arg, dv__transfer *t, const char *p, size_t n, bool *enough) { return dv_buf_add(arg, p, n); }

static void on_again(void *arg) { dv_buf_clear(arg); }

/* *out: to be released. */
static int ask_json(dv_provider *p, dv__question *q, json_t **out, dv_err *err)
{
    dv_err why = {0};
    dv_buf reply;
    dv_buf_init(&reply, DV__WHOLE_MAX);
    *out = NULL;
    q->silence_ms = p->silence_ms;
    q->total_ms = p->total_ms;
    q->profile = p->is_owned ? p->profile : NULL;
    q->on_data = on_data;
    q->on_again = on_again;
    q->arg = &reply;
    int rc = dv__ask(p, q, &why);
    if (rc == 0) {
        json_error_t e;
        bool no_memory;
        *out = dv_json_load(dv_buf_str(&reply), reply.len, 0, &e, &no_memory);
        if (no_memory)
            rc = dv_fail(&why, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        else if (*out == NULL)
            rc = dv_fail(&why, DV_EFORMAT, "the server's reply is no JSON: %s", e.text);
    }
    dv_buf_fini(&reply);
    return rc != 0 ? dv_fail(err, rc, "%s", why.msg[0] != 0 ? why.msg : dv_error_text(rc)) : 0;
}

/* ---- lists ---- */

typedef struct list {
    dv_arena arena;
    dv_provider_model *v; /* in arena */
    size_t n;
} list;

static const char *keep(list *l, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? dv_arena_strndup(&l->arena, json_string_value(v), json_string_length(v)) : "";
}

static uint64_t number(const json_t *object, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(object, key));
    return v > 0 ? (uint64_t)v : 0;
}

static bool is_status(const json_t *status, const char *is)
{
    const char *s = json_string_value(json_is_object(status) ? json_object_get(status, "value") : status);
    return s == NULL || strcmp(s, is) == 0;
}

/* An element of GET /v1/models: OpenAI's, with what llama-server and drover add to it. */
static void of_openai(list *l, const json_t *v, dv_provider_model *m)
{
    const json_t *meta = json_object_get(v, "meta");
    *m = (dv_provider_model){.name = keep(l, v, "id"),
                             .arch = "",
                             .quantization = "",
                             .n_ctx = number(meta, "n_ctx"),
                             .n_ctx_train = number(meta, "n_ctx_train"),
                             .n_params = number(meta, "n_params"),
                             .bytes = number(meta, "size"),
                             .loaded = is_status(json_object_get(v, "status"), "loaded")};
}

/* An element of GET /api/models of drover's service. */
static void of_drover(list *l, const json_t *v, dv_provider_model *m)
{
    *m = (dv_provider_model){.name = keep(l, v, "name"),
                             .arch = keep(l, v, "architecture"),
                             .quantization = keep(l, v, "quantization"),
                             .n_ctx_train = number(v, "context_length"),
                             .n_params = number(v, "parameters"),
                             .bytes = number(v, "size"),
                             .loaded = is_status(json_object_get(v, "state"), "ready"),
                             .is_default = json_is_true(json_object_get(v, "default"))};
}

static int read_list(list *l, const json_t *array, void (*read)(list *, const json_t *, dv_provider_model *),
                     dv_err *err)
{
    size_t n = json_array_size(array);
    if (n > MODELS_MAX)
        return dv_fail(err, DV_ELIMIT, "the server has more than %d models", MODELS_MAX);
    l->v = dv_arena_calloc(&l->arena, n + 1, sizeof *l->v);
    bool ok = l->v != NULL;
    for (size_t i = 0; i < n && ok; i++) {
        dv_provider_model *m = &l->v[l->n];
        read(l, json_array_get(array, i), m);
        ok = m->name != NULL && m->arch != NULL && m->quantization != NULL;
        l->n += ok && m->name[0] != 0;
    }
    if (ok && l->n == 1)
        l->v[0].is_default = true;
    return ok ? 0 : dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
}

static int ask_openai(dv_provider *p, list *l, dv_err *err)
{
    json_t *v;
    dv__question q = {.base = p->api, .path = "/models"};
    int rc = ask_json(p, &q, &v, err);
    const json_t *data = json_object_get(v, "data");
    if (rc == 0)
        rc = json_is_array(data) ? read_list(l, data, of_openai, err)
                                 : dv_fail(err, DV_EFORMAT, "the server's list of models has no \"data\"");
    json_decref(v);
    return rc;
}

/* *known: the server has such a list; then the result counts. */
static int ask_drover(dv_provider *p, list *l, bool *known, dv_err *err)
{
    json_t *v;
    dv_err why = {0};
    dv__question q = {.base = p->root, .path = "/api/models"};
    int rc = ask_json(p, &q, &v, &why);
    const json_t *models = json_object_get(v, "models");
    *known = json_is_array(models);
    if (*known)
        rc = read_list(l, models, of_drover, &why);
    json_decref(v);
    /* What would keep the other list from being had, too. */
    *known |= rc == DV_ECANCELED || rc == DV_ENOMEM || (rc == DV_EIO && q.t.status == 0);
    return rc != 0 && *known ? dv_fail(err, rc, "%s", why.msg) : 0;
}

/* The new list takes the place of the old one. */
static int load(dv_provider *p, dv_err *err)
{
    list l = {0};
    bool known = false;
    dv_arena_init(&l.arena, DV_MEM_CLIENT, 0);
    int rc = p->is_owned ? 0 : ask_drover(p, &l, &known, err);
    if (!known)
        rc = ask_openai(p, &l, err);
    dv_arena_fini(&p->list_arena);
    p->list_arena = l.arena;
    p->list = l.v;
    p->n_list = rc == 0 ? l.n : 0;
    return rc;
}

static const dv_provider_model *find(const dv_provider *p, const char *name)
{
    for (size_t i = 0; i < p->n_list; i++)
        if (name != NULL ? strcmp(p->list[i].name, name) == 0 : p->list[i].is_default)
            return &p->list[i];
    return NULL;
}

int dv_provider_models(dv_provider *p, const dv_provider_model **out, size_t *n, dv_err *err)
{
    *out = NULL;
    *n = 0;
    int rc = dv__wire_begin(&p->wire, err);
    if (rc != 0)
        return rc;
    rc = load(p, err);
    *out = p->list;
    *n = p->n_list;
    dv__wire_end(&p->wire);
    return rc;
}

int dv_provider_model_info(dv_provider *p, const char *name, dv_provider_model *out, dv_err *err)
{
    *out = (dv_provider_model){.name = "", .arch = "", .quantization = ""};
    int rc = dv__wire_begin(&p->wire, err);
    if (rc != 0)
        return rc;
    const char *asked = name != NULL ? name : p->model;
    rc = load(p, err);
    const dv_provider_model *m = rc == 0 ? find(p, asked) : NULL;
    if (m != NULL)
        *out = *m;
    else if (rc == 0 && asked != NULL)
        rc = dv_fail(err, DV_ENOENT, "the server has no model '%s'", asked);
    else if (rc == 0)
        rc = dv_fail(err, DV_EINVAL, "the server does not say which of its %zu models is the default", p->n_list);
    dv__wire_end(&p->wire);
    return rc;
}

/* ---- another model ---- */

static int switch_owned(dv_provider *p, const char *model, const char *profile, dv_err *err)
{
    dv__owned *o = &p->owned;
    char before[PATH_MAX], file[PATH_MAX], *had = NULL;
    int rc = dv__owned_file(model, file, err);
    if (rc == 0 && profile != NULL)
        rc = dv__set_text(&had, p->profile, err);
    if (rc == 0 && profile != NULL)
        rc = dv__set_text(&p->profile, profile, err);
    if (rc != 0) {
        dv_free(had);
        return rc;
    }
    memcpy(before, o->model, sizeof before);
    memcpy(o->model, file, strlen(file) + 1);
    dv__owned_stop(o); /* before the next one: there may not be room for both */
    rc = dv__owned_ensure(o, &p->wire, p->profile, err);
    if (rc != 0) {
        dv__process_stop(&o->process, 0);
        memcpy(o->model, before, sizeof before);
        if (profile != NULL) {
            dv_free(p->profile);
            p->profile = had;
            had = NULL;
        }
    }
    dv_free(had);
    atomic_store(&p->pid, o->process.there ? (int)o->process.pid : 0);
    return rc;
}

/* *known: the server can switch; then the result counts. */
static int ask_switch(dv_provider *p, const char *model, const char *profile, bool *known, dv_err *err)
{
    json_t *v = NULL;
    dv_err why = {0};
    dv_buf body;
    dv_buf_init(&body, 0);
    dv_buf_adds(&body, "{\"model\":");
    dv_buf_json_str(&body, model, strlen(model));
    if (profile != NULL) {
        dv_buf_adds(&body, ",\"profile\":");
        dv_buf_json_str(&body, profile, strlen(profile));
    }
    dv_buf_addc(&body, '}');
    dv__question q = {.base = p->root, .path = "/api/switch", .body = body.data, .n_body = body.len};
    int rc = body.code != 0 ? dv_fail(&why, body.code, "%s", dv_error_text(body.code)) : ask_json(p, &q, &v, &why);
    if (rc == 0 && !json_is_true(json_object_get(v, "success")))
        rc = dv_fail(&why, DV_EUNSUPPORTED, "the server does not say that it has switched");
    *known = rc != DV_ENOENT && rc != DV_EUNSUPPORTED;
    json_decref(v);
    dv_buf_fini(&body);
    return rc != 0 && *known ? dv_fail(err, rc, "%s", why.msg) : 0;
}

/* A server that does not know how to switch has all its models, and requests say which. Where there is no such path and where there is
 * no such model look alike: the list tells. */
static int switch_remote(dv_provider *p, const char *model, const char *profile, dv_err *err)
{
    bool known;
    int rc = ask_switch(p, model, profile, &known, err);
    if (!known) {
        rc = load(p, err);
        if (rc == 0 && find(p, model) == NULL)
            rc = dv_fail(err, DV_ENOENT, "the server has no model '%s'", model);
    }
    if (rc == 0 && profile != NULL)
        rc = dv__set_text(&p->profile, profile, err);
    return rc == 0 ? dv__set_text(&p->model, model, err) : rc;
}

int dv_provider_switch_model(dv_provider *p, const char *model, const char *profile, dv_err *err)
{
    if (model == NULL || model[0] == 0)
        return dv_fail(err, DV_EINVAL, "model: there is none");
    int rc = dv__check_profile(p, profile, err);
    if (rc == 0)
        rc = dv__wire_begin(&p->wire, err);
    if (rc != 0)
        return rc;
    rc = p->is_owned ? switch_owned(p, model, profile, err) : switch_remote(p, model, profile, err);
    dv__wire_end(&p->wire);
    return rc;
}
