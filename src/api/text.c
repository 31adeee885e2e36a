/* SPDX-License-Identifier: MIT */
/* llama-server's routes about text: /tokenize, /detokenize, /apply-template. */
#include "api/chat.h"
#include "api/params.h"
#include "api/reply.h"
#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

typedef struct text_request {
    const json_t *content, *tokens;
    bool add_special, parse_special, with_pieces;
} text_request;

#define AT(field) offsetof(text_request, field)

static const dv__field tokenize_rows[] = {
    {"content", DV__FIELD_JSON, AT(content), 0, 0, false, NULL},
    {"add_special", DV__FIELD_BOOL, AT(add_special), 0, 0, false, NULL},
    {"parse_special", DV__FIELD_BOOL, AT(parse_special), 0, 0, false, NULL},
    {"with_pieces", DV__FIELD_BOOL, AT(with_pieces), 0, 0, false, NULL},
    {"model", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
};
static const dv__fields tokenize_fields = {tokenize_rows, DV_ARRAY_LEN(tokenize_rows)};

static const dv__field detokenize_rows[] = {
    {"tokens", DV__FIELD_LIST, AT(tokens), 0, 0, false, NULL},
    {"model", DV__FIELD_STR, DV__FIELD_NOWHERE, 0, 1024, false, NULL},
};
static const dv__fields detokenize_fields = {detokenize_rows, DV_ARRAY_LEN(detokenize_rows)};

static int reply(dv__call *c, dv_buf *b)
{
    int rc = dv__call_json(c, 200, b);
    dv_buf_fini(b);
    return rc;
}

static int add_id(dv__call *c, const json_t *v, const char *name, dv_ids *ids, dv_err *err)
{
    int64_t id;
    size_t n = dv_tok_n_vocab(c->api->engine->tok);
    if (!dv__json_whole(v, 0, (double)n - 1, &id))
        return dv__param_fail(c, err, name, "a token must be a whole number from 0 to %zu", n - 1);
    int32_t one = (int32_t)id;
    int rc = dv_ids_add(ids, &one, 1);
    return rc == 0 ? 0 : dv_fail(err, rc, "%s", dv_error_text(rc));
}

/* ---- /tokenize ---- */

static int add_part(dv__call *c, const text_request *r, const json_t *part, bool first, dv_ids *ids, dv_err *err)
{
    unsigned flags = (r->parse_special ? DV_TOK_SPECIAL : 0u) | (first && r->add_special ? DV_TOK_BOS_EOS : 0u);
    if (!json_is_string(part))
        return add_id(c, part, "content", ids, err);
    return dv_tok_encode(c->api->engine->tok, json_string_value(part), json_string_length(part), flags, ids, err);
}

/* A text, or a list of texts and tokens. */
static int encode(dv__call *c, const text_request *r, dv_ids *ids, dv_err *err)
{
    size_t i;
    json_t *part;
    int rc = 0;
    if (json_is_string(r->content))
        return add_part(c, r, r->content, true, ids, err);
    if (!json_is_array(r->content))
        return dv__param_fail(c, err, "content", "must be a text, or a list of texts and tokens");
    json_array_foreach((json_t *)r->content, i, part)
    {
        if ((rc = add_part(c, r, part, i == 0, ids, err)) != 0)
            break;
    }
    return rc;
}

/* The bytes of a token that is no text by itself, as a list of numbers. */
static void put_piece(dv_buf *b, const dv_tok *tok, int32_t id)
{
    dv_str s = dv_tok_piece(tok, id);
    dv_buf_printf(b, "{\"id\":%d,\"piece\":", id);
    if (dv_utf8_valid(s.p, s.n)) {
        dv_buf_json_str(b, s.p, s.n);
    } else {
        for (size_t i = 0; i < s.n; i++)
            dv_buf_printf(b, i > 0 ? ",%u" : "[%u", (unsigned)(unsigned char)s.p[i]);
        dv_buf_addc(b, ']');
    }
    dv_buf_addc(b, '}');
}

static int post_tokenize(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&tokenize_fields};
    text_request r = {.parse_special = true};
    dv_ids ids = {.max = DV_API_MAX_LISTED};
    int rc = dv__fields_read(c, c->body, NULL, tables, 1, &r, err);
    if (rc == 0 && r.content == NULL)
        rc = dv__param_fail(c, err, "content", "is needed");
    if (rc == 0)
        rc = encode(c, &r, &ids, err);
    if (rc == DV_ECONTEXT) {
        *err = (dv_err){0};
        rc = dv__param_fail(c, err, "content", "may have at most %d tokens", DV_API_MAX_LISTED);
    }
    if (rc == 0) {
        dv_buf b;
        dv_buf_init(&b, DV_API_MAX_REPLY);
        dv_buf_adds(&b, "{\"tokens\":[");
        for (size_t i = 0; i < ids.len; i++) {
            dv_buf_adds(&b, i > 0 ? "," : "");
            if (r.with_pieces)
                put_piece(&b, c->api->engine->tok, ids.id[i]);
            else
                dv_buf_printf(&b, "%d", ids.id[i]);
        }
        dv_buf_adds(&b, "]}");
        rc = reply(c, &b);
    }
    dv_ids_fini(&ids);
    return rc;
}

/* ---- /detokenize ---- */

static int post_detokenize(dv__call *c, dv_err *err)
{
    static const dv__fields *const tables[] = {&detokenize_fields};
    text_request r = {0};
    dv_ids ids = {0};
    dv_buf text, b;
    size_t i;
    json_t *v;
    dv_buf_init(&text, DV_API_MAX_REPLY);
    int rc = dv__fields_read(c, c->body, NULL, tables, 1, &r, err);
    if (rc == 0 && r.tokens == NULL)
        rc = dv__param_fail(c, err, "tokens", "is needed");
    if (rc == 0 && json_array_size(r.tokens) > DV_API_MAX_LISTED)
        rc = dv__param_fail(c, err, "tokens", "there may be at most %d", DV_API_MAX_LISTED);
    json_array_foreach((json_t *)r.tokens, i, v) if (rc == 0) rc = add_id(c, v, "tokens", &ids, err);
    if (rc == 0)
        rc = dv_tok_decode(c->api->engine->tok, ids.id, ids.len, DV_DETOK_CONTROL, &text);
    if (rc == 0) {
        dv_buf_init(&b, DV_API_MAX_REPLY);
        dv_buf_adds(&b, "{\"content\":");
        dv_buf_json_str(&b, dv_buf_str(&text), text.len);
        dv_buf_addc(&b, '}');
        rc = reply(c, &b);
    }
    dv_buf_fini(&text);
    dv_ids_fini(&ids);
    return rc;
}

/* ---- /apply-template ---- */

/* The prompt that /v1/chat/completions would make of the same request. */
static int post_apply_template(dv__call *c, dv_err *err)
{
    static const dv__chat_writer none = {0};
    int rc = dv__chat_check(c, err);
    if (rc != 0)
        return rc;
    dv__chat *chat = dv__chat_new(c, &none);
    if (chat == NULL)
        return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM));
    dv_chatfmt_text text = {0};
    rc = dv__chat_read_openai(c, chat, err);
    if (rc == 0)
        rc = dv__chat_render(chat, &text, err);
    if (rc == 0) {
        dv_buf b;
        dv_buf_init(&b, DV_API_MAX_REPLY);
        dv_buf_adds(&b, "{\"prompt\":");
        dv_buf_json_str(&b, dv_buf_str(&text.text), text.text.len);
        dv_buf_addc(&b, '}');
        rc = reply(c, &b);
    }
    dv_chatfmt_text_fini(&text);
    return rc;
}

static const dv__route routes[] = {
    {DV_HTTP_POST, "/tokenize", DV__ROUTE_JSON, DV_STYLE_OPENAI, post_tokenize},
    {DV_HTTP_POST, "/detokenize", DV__ROUTE_JSON, DV_STYLE_OPENAI, post_detokenize},
    {DV_HTTP_POST, "/apply-template", DV__ROUTE_JSON, DV_STYLE_OPENAI, post_apply_template},
};
const dv__routes dv__routes_text = {routes, DV_ARRAY_LEN(routes)};
