/* SPDX-License-Identifier: MIT */
/* GET /props, and the routes of llama-server that drover has nothing for: they say so. */
#include "api/reply.h"
#include "api/route.h"
#include "api/settings.h"
#include "base/err.h"

#include <string.h>

static int reply(dv__call *c, dv_buf *b)
{
    int rc = dv__call_json(c, 200, b);
    dv_buf_fini(b);
    return rc;
}

static const char *yes_no(bool v) { return v ? "true" : "false"; }

static void put_caps(dv_buf *b, const dv_chatfmt_caps *k)
{
    dv_buf_printf(b,
                  "{\"supports_object_arguments\":%s,\"supports_parallel_tool_calls\":%s,"
                  "\"supports_preserve_reasoning\":%s,\"supports_reasoning_effort\":%s,\"supports_string_content\":%s,"
                  "\"supports_system_role\":%s,\"supports_tool_calls\":%s,\"supports_tools\":%s,"
                  "\"supports_typed_content\":%s}",
                  yes_no(k->object_arguments), yes_no(k->parallel), yes_no(k->thinking), yes_no(k->reasoning_effort),
                  yes_no(!k->part_content), yes_no(k->system), yes_no(k->calls), yes_no(k->tools),
                  yes_no(k->part_content));
}

static void put_template(dv_buf *b, const dv_api *api)
{
    dv_buf_adds(b, ",\"chat_template\":");
    if (api->fmt == NULL) {
        dv_buf_adds(b, "\"\",\"chat_template_caps\":{}");
        return;
    }
    dv__put_str(b, dv_chatfmt_source(api->fmt));
    dv_buf_adds(b, ",\"chat_template_caps\":");
    put_caps(b, dv_chatfmt_caps_of(api->fmt));
}

static void put_token(dv_buf *b, const dv_api *api, const char *name, dv_tok_role role)
{
    dv_buf_printf(b, ",\"%s\":", name);
    dv__put_piece(b, api->engine->tok, (uint32_t)dv_tok_role_id(api->engine->tok, role));
}

static int get_props(dv__call *c, dv_err *err)
{
    const dv_api *api = c->api;
    const dv_engine_info *info = dv_engine_get_info(api->engine);
    dv_sched_stats st;
    dv_buf b;
    dv_sched_get_stats(api->sched, &st, NULL);
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "{\"default_generation_settings\":{\"params\":");
    dv__put_default_settings(&b, api);
    dv_buf_printf(&b, ",\"n_ctx\":%u},\"total_slots\":%u,\"model_alias\":", info->n_ctx, st.n_slots);
    dv__put_str(&b, api->model);
    dv_buf_adds(&b, ",\"model_path\":");
    dv__put_str(&b, api->o.model_path != NULL ? api->o.model_path : "");
    dv_buf_printf(&b,
                  ",\"modalities\":{\"vision\":false,\"video\":false,\"audio\":false},\"endpoint_slots\":%s,"
                  "\"endpoint_props\":false,\"endpoint_metrics\":%s,\"ui\":false,\"ui_settings\":{}",
                  yes_no(api->o.slots), yes_no(api->o.metrics));
    put_template(&b, api);
    put_token(&b, api, "bos_token", DV_TOK_BOS);
    put_token(&b, api, "eos_token", DV_TOK_EOS);
    dv_buf_printf(&b, ",\"build_info\":\"%s\",\"is_sleeping\":false,\"cors_proxy_enabled\":false}", dv__fingerprint());
    return reply(c, &b);
}

static int post_props(dv__call *c, dv_err *err)
{
    return dv_fail(err, DV_EUNSUPPORTED, "this server's settings cannot be changed while it runs");
}

static int get_adapters(dv__call *c, dv_err *err)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    dv_buf_adds(&b, "[]");
    return reply(c, &b);
}

static int post_adapters(dv__call *c, dv_err *err)
{
    return dv_fail(err, DV_EUNSUPPORTED, "adapters are not supported");
}

static int post_rerank(dv__call *c, dv_err *err) { return dv_fail(err, DV_EUNSUPPORTED, "reranking is not supported"); }

static const dv__route routes[] = {
    {DV_HTTP_GET, "/props", DV__ROUTE_INLINE, DV_STYLE_OPENAI, get_props},
    {DV_HTTP_POST, "/props", DV__ROUTE_INLINE, DV_STYLE_OPENAI, post_props},
    {DV_HTTP_GET, "/lora-adapters", DV__ROUTE_INLINE, DV_STYLE_OPENAI, get_adapters},
    {DV_HTTP_POST, "/lora-adapters", DV__ROUTE_INLINE, DV_STYLE_OPENAI, post_adapters},
    {DV_HTTP_POST, "/v1/rerank", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_rerank},
    {DV_HTTP_POST, "/v1/reranking", DV__ROUTE_INLINE | DV__ROUTE_BARE, DV_STYLE_OPENAI, post_rerank},
};
const dv__routes dv__routes_props = {routes, DV_ARRAY_LEN(routes)};
