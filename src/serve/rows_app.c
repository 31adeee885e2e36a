/* SPDX-License-Identifier: MIT */
/* The app API: models, what runs them, profiles; loading, unloading and switching. */
#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "serve/listing.h"
#include "serve/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_num(dv_buf *b, const char *key, uint64_t v) { dv_buf_printf(b, ",\"%s\":%" PRIu64, key, v); }
static void put_bool(dv_buf *b, const char *key, bool v) { dv_buf_printf(b, ",\"%s\":%s", key, v ? "true" : "false"); }

static const char *backend_name(int backend)
{
    static const char *const names[DV_CONF_BACKEND_N] = {"auto", "native", "upstream", "remote"};
    return backend >= 0 && backend < DV_CONF_BACKEND_N ? names[backend] : "";
}

static const char *profile_name(const dv__xchg *x, int profile)
{
    const dv_conf *c = x->cfg->conf;
    return profile >= 0 && (size_t)profile < c->n_profiles ? c->profiles[profile].name : NULL;
}

/* ---- models ---- */

static void put_model(dv_buf *b, const dv__xchg *x, const dv_model_info *m)
{
    dv_buf_adds(b, "{\"name\":");
    dv_buf_json_str(b, m->name, strlen(m->name));
    dv_buf_adds(b, ",\"aliases\":");
    dv__put_list(b, m->aliases.v, m->aliases.n);
    dv__put_text(b, "state", dv_instance_state_name(m->state));
    dv__put_text(b, "backend", backend_name(m->backend));
    dv__put_text(b, "profile", profile_name(x, m->profile));
    put_bool(b, "default", m->is_default);
    put_bool(b, "pinned", m->pin);
    put_num(b, "size", m->file_bytes);
    put_num(b, "modified", m->modified_s);
    put_num(b, "memory_estimate", m->estimate_bytes);
    dv__put_text(b, "architecture", m->architecture);
    dv__put_text(b, "quantization", m->quantization);
    put_num(b, "parameters", m->parameters);
    put_num(b, "context_length", m->context_train);
    put_num(b, "embedding_length", m->embedding);
    dv__put_text(b, "problem", m->problem);
    if (x->who.admin)
        dv__put_text(b, "file", m->path != NULL ? m->path : m->url);
    dv_buf_addc(b, '}');
}

static int get_models(dv__xchg *x, dv_err *err) { return dv__reply_models(x, "{\"models\":[", put_model); }
static int get_model(dv__xchg *x, dv_err *err) { return dv__reply_model(x, put_model, err); }

/* ---- instances ---- */

typedef struct list {
    dv__xchg *x;
    dv_buf *b;
    unsigned n;
} list;

static bool put_instance(void *arg, const dv_instance_info *i)
{
    list *l = arg;
    dv_buf *b = l->b;
    if (!dv__who_may_model(l->x, i->model))
        return true;
    dv_buf_adds(b, l->n++ > 0 ? ",{\"model\":" : "{\"model\":");
    dv_buf_json_str(b, i->model, strlen(i->model));
    dv__put_text(b, "profile", profile_name(l->x, i->profile));
    dv__put_text(b, "backend", backend_name(i->backend));
    dv__put_text(b, "state", dv_instance_state_name(i->state));
    put_num(b, "pid", (uint64_t)i->pid);
    put_num(b, "running", i->busy);
    put_num(b, "waiting", i->waiting);
    put_num(b, "places", i->places);
    put_num(b, "memory_estimate", i->estimate_bytes);
    put_num(b, "memory_resident", i->rss_bytes);
    put_num(b, "memory_anonymous", i->anon_bytes);
    put_num(b, "loaded_ms", i->loaded_wall_ms);
    put_num(b, "used_ms", i->used_wall_ms);
    put_num(b, "expires_ms", i->expires_wall_ms);
    put_num(b, "load_time_ms", i->load_ms);
    put_num(b, "starts", i->starts);
    put_num(b, "crashes", i->crashes);
    put_num(b, "health_us", i->health_us);
    dv__put_text(b, "last_error", i->last_error);
    dv_buf_addc(b, '}');
    return true;
}

static int get_instances(dv__xchg *x, dv_err *err)
{
    dv_buf b;
    dv_fleet_stats st;
    dv_buf_init(&b, 0);
    list l = {.x = x, .b = &b};
    dv_fleet_stats_get(x->s->fleet, &st);
    dv_buf_printf(&b, "{\"budget\":%" PRIu64 ",\"used\":%" PRIu64 ",\"instances\":[", st.budget_bytes, st.used_bytes);
    dv_fleet_instances(x->s->fleet, put_instance, &l);
    dv_buf_adds(&b, "]}");
    return dv__xchg_json(x, 200, &b);
}

/* ---- profiles ---- */

static void put_profile(dv_buf *b, const dv_conf_profile *p)
{
    const dv_conf_run *r = &p->run;
    dv_buf_adds(b, "{\"name\":");
    dv_buf_json_str(b, p->name, strlen(p->name));
    dv__put_text(b, "for", p->what);
    put_num(b, "context", (uint64_t)r->context);
    put_num(b, "batch", (uint64_t)r->batch);
    put_num(b, "threads", (uint64_t)r->threads);
    put_num(b, "parallel", (uint64_t)r->parallel);
    put_bool(b, "speculation", r->speculation);
    dv_buf_addc(b, '}');
}

static int get_profiles(dv__xchg *x, dv_err *err)
{
    const dv_conf *c = x->cfg->conf;
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"profiles\":[");
    for (size_t i = 0; i < c->n_profiles; i++) {
        dv_buf_adds(&b, i > 0 ? "," : "");
        put_profile(&b, &c->profiles[i]);
    }
    dv_buf_adds(&b, "]}");
    return dv__xchg_json(x, 200, &b);
}

/* ---- orders ---- */

/* An order outlives the client that gave it: the answer goes to him if he is still there. */
typedef struct order {
    dv__xchg *x;
    dv_http_req *req; /* a reference */
} order;

static void on_done(void *arg, int code, const dv_err *err)
{
    order *o = arg;
    dv__xchg *x = o->x;
    dv_http_req *req = o->req;
    dv_free(o);
    if (code == 0) {
        dv_buf b;
        dv_buf_init(&b, 0);
        dv_buf_adds(&b, "{\"model\":");
        dv_buf_json_str(&b, x->model, strlen(x->model));
        dv_buf_adds(&b, ",\"success\":true}");
        (void)dv__xchg_json(x, 200, &b);
    } else if (!x->ended) {
        dv__xchg_fail(x, err);
    }
    dv_http_unref(req);
}

static order *order_new(dv__xchg *x, dv_err *err)
{
    order *o = dv_calloc(DV_MEM_API, 1, sizeof *o);
    if (o == NULL) {
        dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
        return NULL;
    }
    o->x = x;
    x->of_model = true;
    o->req = dv_http_ref(x->req);
    return o;
}

static int order_begun(order *o, int rc)
{
    if (rc != 0) {
        dv_http_unref(o->req);
        dv_free(o);
    }
    return rc;
}

static int find_model(dv__xchg *x, const char **name, dv_err *err)
{
    const char *asked = json_string_value(json_object_get(x->body, "model"));
    *name = dv_fleet_resolve(x->s->fleet, asked != NULL ? asked : "");
    if (*name == NULL || !dv__who_may_model(x, *name))
        return dv_fail(err, DV_ENOENT, "the model '%s' does not exist", asked != NULL ? asked : "");
    snprintf(x->model, sizeof x->model, "%s", *name);
    return 0;
}

static int find_profile(const dv__xchg *x, int *profile, dv_err *err)
{
    const char *name = json_string_value(json_object_get(x->body, "profile"));
    const dv_conf *c = x->cfg->conf;
    *profile = -1;
    for (size_t i = 0; name != NULL && i < c->n_profiles; i++)
        if (strcmp(c->profiles[i].name, name) == 0)
            *profile = (int)i;
    return name == NULL || *profile >= 0 ? 0 : dv_fail(err, DV_EINVAL, "profile: there is no profile '%s'", name);
}

/* What the orders have in common: the model and the profile that the body names, and somebody to tell. */
static int begin_order(dv__xchg *x, const char **name, int *profile, order **o, dv_err *err)
{
    int rc = find_model(x, name, err);
    if (rc == 0)
        rc = find_profile(x, profile, err);
    if (rc == 0 && (*o = order_new(x, err)) == NULL)
        rc = DV_ENOMEM;
    return rc;
}

static int post_load(dv__xchg *x, dv_err *err)
{
    const char *name;
    int profile;
    order *o;
    int rc = begin_order(x, &name, &profile, &o, err);
    bool pin = json_is_true(json_object_get(x->body, "pin"));
    return rc != 0 ? rc : order_begun(o, dv_fleet_load(x->s->fleet, name, profile, pin, on_done, o, err));
}

static int post_unload(dv__xchg *x, dv_err *err)
{
    const char *name;
    int profile;
    order *o;
    int rc = begin_order(x, &name, &profile, &o, err);
    bool force = json_is_true(json_object_get(x->body, "force"));
    return rc != 0 ? rc : order_begun(o, dv_fleet_unload(x->s->fleet, name, force, on_done, o, err));
}

static int post_switch(dv__xchg *x, dv_err *err)
{
    const char *name;
    int profile;
    order *o;
    int rc = begin_order(x, &name, &profile, &o, err);
    return rc != 0 ? rc : order_begun(o, dv_fleet_switch(x->s->fleet, name, profile, on_done, o, err));
}

static int post_rescan(dv__xchg *x, dv_err *err)
{
    dv_fleet_rescan(x->s->fleet);
    return get_models(x, err);
}

/* ---- tables ---- */

#define MODEL_FIELD                                                                                                \
    {                                                                                                              \
        .name = "model", .types = DV__T_STR, .flags = DV__F_REQUIRED, .min_len = 1, .max_len = DV__MODEL_NAME - 1, \
        .help = "name or alias"                                                                                    \
    }
#define PROFILE_FIELD                                                                                                \
    {                                                                                                                \
        .name = "profile", .types = DV__T_STR, .max_len = 64, .help = "name of a profile; the model's own if absent" \
    }

static const dv__field load_fields[] = {
    MODEL_FIELD, PROFILE_FIELD, {.name = "pin", .types = DV__T_BOOL, .help = "keep it loaded until it is unloaded"}};
static const dv__field unload_fields[] = {
    MODEL_FIELD, {.name = "force", .types = DV__T_BOOL, .help = "do not wait for running answers"}};
static const dv__field switch_fields[] = {MODEL_FIELD, PROFILE_FIELD};

static const dv__schema load_schema = {.name = "LoadRequest", .fields = load_fields, .n = DV_ARRAY_LEN(load_fields)};
static const dv__schema unload_schema = {
    .name = "UnloadRequest", .fields = unload_fields, .n = DV_ARRAY_LEN(unload_fields)};
static const dv__schema switch_schema = {
    .name = "SwitchRequest", .fields = switch_fields, .n = DV_ARRAY_LEN(switch_fields)};

#define APP .api = DV_CONF_API_APP, .style = DV_STYLE_OPENAI
#define ORDER .group = DV__GROUP_ADMIN, .flags = DV__ROW_ADMIN | DV__ROW_WRITE

static const dv__row rows[] = {
    {DV_HTTP_GET, "/api/models", APP, .group = DV__GROUP_MODELS, .flags = DV__ROW_ALWAYS, .handle = get_models,
     .summary = "Models: files, URLs, what they need", .reply = "Models"},
    {DV_HTTP_GET, "/api/models/{model*}", APP, .group = DV__GROUP_MODELS, .flags = DV__ROW_ALWAYS, .handle = get_model,
     .summary = "One model", .reply = "ModelInfo"},
    {DV_HTTP_GET, "/api/instances", APP, .group = DV__GROUP_MODELS, .flags = DV__ROW_ALWAYS, .handle = get_instances,
     .summary = "What runs, and what it takes", .reply = "Instances"},
    {DV_HTTP_GET, "/api/profiles", APP, .group = DV__GROUP_APP, .flags = DV__ROW_ALWAYS, .handle = get_profiles,
     .summary = "Profiles", .reply = "Profiles"},
    {DV_HTTP_POST, "/api/models/load", APP, ORDER, .body = &load_schema, .handle = post_load, .summary = "Load a model",
     .reply = "Done"},
    {DV_HTTP_POST, "/models/load", APP, ORDER, .body = &load_schema, .handle = post_load,
     .summary = "The same, as llama-server's router", .reply = "Done"},
    {DV_HTTP_POST, "/api/models/unload", APP, ORDER, .body = &unload_schema, .handle = post_unload,
     .summary = "Unload a model", .reply = "Done"},
    {DV_HTTP_POST, "/models/unload", APP, ORDER, .body = &unload_schema, .handle = post_unload,
     .summary = "The same, as llama-server's router", .reply = "Done"},
    {DV_HTTP_POST, "/api/models/rescan", APP, ORDER, .handle = post_rescan, .summary = "Look at the models folder now",
     .reply = "Models"},
    {DV_HTTP_POST, "/api/switch", APP, ORDER, .body = &switch_schema, .handle = post_switch,
     .summary = "Make a model the default one, loaded", .reply = "Done"},
};

const dv__rows dv__rows_app = {rows, DV_ARRAY_LEN(rows)};
