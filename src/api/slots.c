/* SPDX-License-Identifier: MIT */
/* GET /slots, and POST /slots/N?action=save|restore|erase with files in the folder that the server was started with. Such a file holds
 * what people said to the model, so its name is one plain component and nothing that is said about it tells what else is in the folder. */
#include "api/params.h"
#include "api/reply.h"
#include "api/route.h"
#include "api/settings.h"
#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 128, PATH_BYTES = 4096 };

static int reply(dv__call *c, dv_buf *b)
{
    int rc = dv__call_json(c, 200, b);
    dv_buf_fini(b);
    return rc;
}

/* ---- GET /slots ---- */

/* The prompt's counts are of the sequence that runs; an idle slot has none. "params" are the server's defaults. */
static void put_slot(dv_buf *b, const dv_api *api, uint32_t i, const dv_slot_info *s)
{
    bool busy = s->job != 0;
    dv_buf_printf(b,
                  "{\"id\":%u,\"n_ctx\":%u,\"speculative\":%s,\"is_processing\":%s,\"id_task\":%lld,"
                  "\"n_prompt_tokens\":%u,\"n_prompt_tokens_processed\":%u,\"n_prompt_tokens_cache\":%u,\"params\":",
                  i, dv_engine_get_info(api->engine)->n_ctx, s->speculative ? "true" : "false", busy ? "true" : "false",
                  busy ? (long long)s->job : -1LL, busy ? s->n_prompt : s->n_tokens,
                  s->n_prompt_done - DV_MIN(s->n_cached, s->n_prompt_done), s->n_cached);
    dv__put_default_settings(b, api);
    dv_buf_printf(b,
                  ",\"next_token\":[{\"has_next_token\":%s,\"has_new_line\":false,\"n_remain\":-1,\"n_decoded\":%u}]}",
                  busy ? "true" : "false", s->n_predicted);
}

static int get_slots(dv__call *c, dv_err *err)
{
    dv_sched_stats st;
    dv_slot_info *slots;
    dv_buf b;
    if (!c->api->o.slots)
        return dv_fail(err, DV_EUNSUPPORTED, "this server does not show its slots: it was started with --no-slots");
    dv_sched_get_stats(c->api->sched, &st, NULL);
    slots = dv_arena_calloc(&c->arena, st.n_slots, sizeof *slots);
    if (slots == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_sched_get_stats(c->api->sched, &st, slots);
    const char *fail = dv_http_query(c->req, "fail_on_no_slot");
    if (fail != NULL && strcmp(fail, "0") != 0 && st.n_running >= st.n_slots)
        return dv_fail(err, DV_EBUSY, "no slot available");
    dv_buf_init(&b, 0);
    dv_buf_addc(&b, '[');
    for (uint32_t i = 0; i < st.n_slots; i++) {
        dv_buf_adds(&b, i > 0 ? "," : "");
        put_slot(&b, c->api, i, &slots[i]);
    }
    dv_buf_addc(&b, ']');
    return reply(c, &b);
}

/* ---- POST /slots/N ---- */

typedef struct slot_request {
    const char *filename;
    uint32_t slot;
    char path[PATH_BYTES];
} slot_request;

static const dv__field rows[] = {
    {"filename", DV__FIELD_STR, offsetof(slot_request, filename), 0, NAME_MAX_BYTES, false, NULL},
    {"model", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
};
static const dv__fields fields = {rows, DV_ARRAY_LEN(rows)};

static bool read_number(const char *text, uint32_t *out)
{
    size_t n = strlen(text);
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out = *out * 10 + (uint32_t)(text[i] - '0');
    return n > 0 && n <= 4 && strspn(text, "0123456789") == n;
}

/* Letters, digits and a little more: such a name is a file of this folder, on every system, and cannot steer a terminal. */
static bool is_plain(const char *name)
{
    static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@= ";
    size_t n = strlen(name);
    return n > 0 && name[0] != '.' && name[0] != ' ' && name[n - 1] != ' ' && strspn(name, ok) == n;
}

static int read_name(dv__call *c, slot_request *r, dv_err *err)
{
    static const dv__fields *const tables[] = {&fields};
    int rc = dv__call_parse(c, err);
    if (rc == 0)
        rc = dv__fields_read(c, c->body, NULL, tables, 1, r, err);
    if (rc != 0)
        return rc;
    if (r->filename == NULL)
        return dv__param_fail(c, err, "filename", "is needed");
    if (!is_plain(r->filename))
        return dv__param_fail(c, err, "filename",
                              "must be a plain name of letters, digits and ._-+@= that does not begin with a dot");
    if (snprintf(r->path, sizeof r->path, "%s/%s", c->api->o.slot_save_path, r->filename) >= (int)sizeof r->path)
        return dv__param_fail(c, err, "filename", "is too long");
    return 0;
}

/* Whatever is wrong with the file, whether it is there or what it is: the client is told the same. */
static int file_failure(dv__call *c, int rc, const char *what, dv_err *err)
{
    if (rc == DV_EBUSY || rc == DV_ENOMEM)
        return rc;
    dv__api_log(c->api, DV_HTTP_LOG_WARN, "slot %s: %s: %s", c->tail, what, err->msg);
    *err = (dv_err){0};
    if (strcmp(what, "save") == 0)
        return dv_fail(err, DV_EINVAL, "the slot could not be saved: it holds nothing, or the file cannot be written");
    return dv_fail(err, DV_EINVAL,
                   "the slot could not be restored: there is no such file of this model, or no room for it");
}

static int save(dv__call *c, slot_request *r, dv_err *err)
{
    uint32_t n;
    uint64_t bytes, begun = dv_clock_ns();
    dv_buf b;
    int rc = read_name(c, r, err);
    if (rc != 0)
        return rc;
    rc = dv_sched_slot_save(c->api->sched, r->slot, r->path, &n, &bytes, err);
    if (rc != 0)
        return file_failure(c, rc, "save", err);
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"id_slot\":%u,\"filename\":", r->slot);
    dv__put_str(&b, r->filename);
    dv_buf_printf(&b, ",\"n_saved\":%u,\"n_written\":%llu,\"timings\":{\"save_ms\":%.3f}}", n,
                  (unsigned long long)bytes, (double)(dv_clock_ns() - begun) / 1e6);
    return reply(c, &b);
}

static int restore(dv__call *c, slot_request *r, dv_err *err)
{
    uint32_t n;
    uint64_t bytes, begun = dv_clock_ns();
    dv_buf b;
    int rc = read_name(c, r, err);
    if (rc != 0)
        return rc;
    rc = dv_sched_slot_restore(c->api->sched, r->slot, r->path, &n, &bytes, err);
    if (rc != 0)
        return file_failure(c, rc, "restore", err);
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"id_slot\":%u,\"filename\":", r->slot);
    dv__put_str(&b, r->filename);
    dv_buf_printf(&b, ",\"n_restored\":%u,\"n_read\":%llu,\"timings\":{\"restore_ms\":%.3f}}", n,
                  (unsigned long long)bytes, (double)(dv_clock_ns() - begun) / 1e6);
    return reply(c, &b);
}

/* A body is not needed; one that says something is refused, as it would not be heeded. */
static int erase(dv__call *c, slot_request *r, dv_err *err)
{
    uint32_t n;
    size_t len;
    dv_buf b;
    int rc = 0;
    (void)dv_http_body(c->req, &len);
    if (len > 0 && (rc = dv__call_parse(c, err)) == 0)
        rc = dv__fields_read(c, c->body, NULL, NULL, 0, r, err);
    if (rc != 0)
        return rc;
    rc = dv_sched_slot_erase(c->api->sched, r->slot, &n, err);
    if (rc != 0)
        return rc;
    dv_buf_init(&b, 0);
    dv_buf_printf(&b, "{\"id_slot\":%u,\"n_erased\":%u}", r->slot, n);
    return reply(c, &b);
}

static int post_slot(dv__call *c, dv_err *err)
{
    static const struct {
        const char *name;
        int (*run)(dv__call *, slot_request *, dv_err *);
    } actions[] = {{"save", save}, {"restore", restore}, {"erase", erase}};
    const char *action = dv_http_query(c->req, "action");
    dv_sched_stats st;
    if (c->api->o.slot_save_path == NULL)
        return dv_fail(err, DV_EUNSUPPORTED, "this server does not save slots: start it with --slot-save-path");
    slot_request *r = dv_arena_calloc(&c->arena, 1, sizeof *r);
    if (r == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_sched_get_stats(c->api->sched, &st, NULL);
    if (!read_number(c->tail, &r->slot) || r->slot >= st.n_slots)
        return dv_fail(err, DV_EINVAL, "there is no such slot, only 0 to %u", st.n_slots - 1);
    for (size_t i = 0; i < DV_ARRAY_LEN(actions); i++)
        if (action != NULL && strcmp(action, actions[i].name) == 0)
            return actions[i].run(c, r, err);
    return dv__param_fail(c, err, "action", "must be save, restore or erase");
}

static const dv__route routes[] = {
    {DV_HTTP_GET, "/slots", DV__ROUTE_INLINE, DV_STYLE_OPENAI, get_slots},
    {DV_HTTP_POST, "/slots/*", 0, DV_STYLE_OPENAI, post_slot},
};
const dv__routes dv__routes_slots = {routes, DV_ARRAY_LEN(routes)};
