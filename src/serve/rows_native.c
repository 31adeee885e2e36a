/* SPDX-License-Identifier: MIT */
/* The routes of llama-server. Those about an engine take the model from `model` in the query, those about a text from the body. */
#include "base/attr.h"
#include "base/err.h"
#include "serve/exchange.h"
#include "serve/rows.h"

static int not_there(dv__xchg *x, dv_err *err) { return dv_fail(err, DV_EUNSUPPORTED, "this is not supported"); }

#define NATIVE .api = DV_CONF_API_OPENAI, .style = DV_STYLE_OPENAI
#define RUNS .flags = DV__ROW_JOB, .handle = dv__proxy
#define TEXT .group = DV__GROUP_TOKENS, .handle = dv__proxy_light

static const dv__row rows[] = {
    {DV_HTTP_POST, "/completion", NATIVE, .group = DV__GROUP_COMPLETIONS, RUNS, .body = &dv__schema_completion,
     .summary = "Go on from a prompt, as llama-server", .reply = "Completion"},
    {DV_HTTP_POST, "/completions", NATIVE, .group = DV__GROUP_COMPLETIONS, RUNS, .body = &dv__schema_completion,
     .summary = "The same", .reply = "Completion"},
    {DV_HTTP_POST, "/infill", NATIVE, .group = DV__GROUP_COMPLETIONS, RUNS, .body = &dv__schema_infill,
     .summary = "Fill in a middle", .reply = "Completion"},
    {DV_HTTP_POST, "/embedding", NATIVE, .group = DV__GROUP_EMBEDDINGS, RUNS, .body = &dv__schema_native_embeddings,
     .summary = "Embeddings, as llama-server", .reply = "Embeddings"},
    {DV_HTTP_POST, "/embeddings", NATIVE, .group = DV__GROUP_EMBEDDINGS, RUNS, .body = &dv__schema_native_embeddings,
     .summary = "The same", .reply = "Embeddings"},
    {DV_HTTP_POST, "/tokenize", NATIVE, TEXT, .body = &dv__schema_tokenize, .summary = "Text to tokens",
     .reply = "Tokens"},
    {DV_HTTP_POST, "/detokenize", NATIVE, TEXT, .body = &dv__schema_detokenize, .summary = "Tokens to text",
     .reply = "Text"},
    {DV_HTTP_POST, "/apply-template", NATIVE, TEXT, .body = &dv__schema_apply_template,
     .summary = "The prompt that a chat would become", .reply = "Prompt"},
    {DV_HTTP_GET, "/props", NATIVE, .group = DV__GROUP_SLOTS, .query = &dv__schema_model_query,
     .handle = dv__proxy_light, .summary = "What a model's server is", .reply = "Props"},
    {DV_HTTP_GET, "/slots", NATIVE, .group = DV__GROUP_SLOTS, .query = &dv__schema_slots_query,
     .handle = dv__proxy_loaded, .summary = "What the slots of a loaded model do", .reply = "Slots"},
    {DV_HTTP_POST, "/slots/{slot}", NATIVE, .group = DV__GROUP_ADMIN,
     .flags = DV__ROW_ADMIN | DV__ROW_WRITE | DV__ROW_OPTIONAL, .body = &dv__schema_slot_action,
     .query = &dv__schema_slot_query, .handle = dv__proxy_loaded, .summary = "Save, restore or erase a slot",
     .reply = "SlotAction"},
    {DV_HTTP_GET, "/lora-adapters", NATIVE, .group = DV__GROUP_SLOTS, .query = &dv__schema_model_query,
     .handle = dv__proxy_light, .summary = "LoRA adapters: none", .reply = "a list"},
    {DV_HTTP_POST, "/v1/rerank", NATIVE, .group = DV__GROUP_EMBEDDINGS, .flags = DV__ROW_BARE | DV__ROW_OPTIONAL,
     .body = &dv__schema_rerank, .handle = not_there, .summary = "Not supported: 501", .reply = "Rerank"},
    {DV_HTTP_POST, "/v1/reranking", NATIVE, .group = DV__GROUP_EMBEDDINGS, .flags = DV__ROW_BARE | DV__ROW_OPTIONAL,
     .body = &dv__schema_rerank, .handle = not_there, .summary = "Not supported: 501", .reply = "Rerank"},
};

const dv__rows dv__rows_native = {rows, DV_ARRAY_LEN(rows)};
