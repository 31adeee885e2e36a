/* SPDX-License-Identifier: MIT */
/* GET /v1/models and /v1/models/ID: the one model that is served. */
#include "api/reply.h"
#include "api/route.h"
#include "base/err.h"

#include <string.h>

static void put_model(dv_buf *b, const dv_api *api)
{
    const dv_engine_info *i = dv_engine_get_info(api->engine);
    dv_buf_adds(b, "{\"id\":");
    dv__put_str(b, api->model);
    dv_buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"drover\",\"aliases\":[",
                  (long long)api->started);
    dv__put_str(b, api->model);
    dv_buf_printf(
        b,
        "],\"tags\":[],\"meta\":{\"n_vocab\":%u,\"n_ctx\":%u,\"n_ctx_train\":%u,\"n_embd\":%u,\"n_params\":%llu,"
        "\"size\":%llu}}",
        i->n_vocab, i->n_ctx, i->n_ctx_train, i->n_embd, (unsigned long long)i->n_params,
        (unsigned long long)i->file_bytes);
}

static int reply(dv__call *c, dv_buf *b)
{
    int rc = dv__call_json(c, 200, b);
    dv_buf_fini(b);
    return rc;
}

static int get_models(dv__call *c, dv_err *err)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"object\":\"list\",\"data\":[");
    put_model(&b, c->api);
    dv_buf_adds(&b, "]}");
    return reply(c, &b);
}

static int get_model(dv__call *c, dv_err *err)
{
    dv_buf b;
    if (strcmp(c->tail, c->api->model) != 0)
        return dv_fail(err, DV_ENOENT, "there is no model '%s' here", c->tail);
    dv_buf_init(&b, 0);
    put_model(&b, c->api);
    return reply(c, &b);
}

static const dv__route routes[] = {
    {DV_HTTP_GET, "/v1/models", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, get_models},
    {DV_HTTP_GET, "/v1/models/*", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, get_model},
};
const dv__routes dv__routes_models = {routes, DV_ARRAY_LEN(routes)};
