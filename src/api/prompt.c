/* SPDX-License-Identifier: MIT */
#include "api/prompt.h"

#include "base/err.h"

static int no_memory(dv_err *err) { return dv_fail(err, DV_ENOMEM, "%s", dv_error_text(DV_ENOMEM)); }

int dv__prompt_limit(dv__call *c, int rc, dv_err *err)
{
    if (rc != DV_ECONTEXT)
        return rc;
    *err = (dv_err){0};
    c->n_prompt = DV_API_MAX_TOKENS;
    return dv_fail(err, DV_ECONTEXT,
                   "the request exceeds the available context size: it has more than %d tokens, the context %u",
                   DV_API_MAX_TOKENS, dv_engine_get_info(c->api->engine)->n_ctx);
}

int dv__prompt_from_ids(dv__call *c, const dv_ids *ids, dv__prompt *out, dv_err *err)
{
    out->id = dv_arena_calloc(&c->arena, DV_MAX(ids->len, (size_t)1), sizeof *out->id);
    if (out->id == NULL)
        return no_memory(err);
    for (size_t i = 0; i < ids->len; i++)
        out->id[i] = (uint32_t)ids->id[i];
    out->n = ids->len;
    return 0;
}

/* EOS, which a few models want behind a text, would end it before it is gone on with. */
static int add_text(dv__call *c, const json_t *v, bool first, dv_ids *ids, dv_err *err)
{
    const dv_tok *tok = c->api->engine->tok;
    unsigned flags = DV_TOK_SPECIAL | (first ? (unsigned)DV_TOK_BOS_EOS : 0u);
    int rc = dv_tok_encode(tok, json_string_value(v), json_string_length(v), flags, ids, err);
    if (rc == 0 && first && dv_tok_adds_eos(tok) && ids->len > 0 &&
        ids->id[ids->len - 1] == dv_tok_role_id(tok, DV_TOK_EOS))
        ids->len--;
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

static int read_one(dv__call *c, const json_t *v, const char *name, bool mixed, dv__prompt *out, dv_err *err)
{
    dv_ids ids = {.max = DV_API_MAX_TOKENS};
    size_t i;
    json_t *part;
    int rc = 0;
    if (json_is_string(v))
        rc = add_text(c, v, true, &ids, err);
    else if (!json_is_array(v))
        rc = dv__param_fail(c, err, name, "must be a text, or a list of texts or of tokens");
    json_array_foreach((json_t *)v, i, part)
    {
        if (rc != 0)
            break;
        if (json_is_string(part) && mixed)
            rc = add_text(c, part, i == 0, &ids, err);
        else
            rc = add_id(c, part, name, &ids, err);
    }
    if (rc == 0 && ids.len == 0)
        rc = dv__param_fail(c, err, name, "must not be empty");
    if (rc == 0)
        rc = dv__prompt_from_ids(c, &ids, out, err);
    dv_ids_fini(&ids);
    return dv__prompt_limit(c, rc, err);
}

/* Whether a list is one prompt: it has tokens in it. A list of texts, or of lists, is one prompt each. */
static bool is_one(const json_t *v)
{
    size_t i;
    json_t *part;
    if (!json_is_array(v))
        return true;
    json_array_foreach((json_t *)v, i, part) if (json_is_number(part)) return true;
    return false;
}

int dv__prompts_read(dv__call *c, const json_t *v, const char *name, bool mixed, dv__prompts *out, dv_err *err)
{
    bool one = is_one(v);
    if (v == NULL || json_is_null(v))
        return dv__param_fail(c, err, name, "is needed");
    out->n = one ? 1 : json_array_size(v);
    if (out->n == 0 || out->n > DV_API_MAX_INPUTS)
        return dv__param_fail(c, err, name, "must have 1 to %d entries", DV_API_MAX_INPUTS);
    out->v = dv_arena_calloc(&c->arena, out->n, sizeof *out->v);
    if (out->v == NULL)
        return no_memory(err);
    int rc = one ? read_one(c, v, name, mixed, &out->v[0], err) : 0;
    for (size_t i = 0; !one && i < out->n && rc == 0; i++)
        rc = read_one(c, json_array_get(v, i), name, mixed, &out->v[i], err);
    return rc;
}
