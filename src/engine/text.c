/* SPDX-License-Identifier: MIT */
/* The engine's tokenizer and chat template, behind the public interface. */
#include "base/err.h"
#include "engine/session.h"

static int64_t give_ids(dv_ids *ids, int rc, uint32_t *out, size_t cap)
{
    int64_t n = rc != 0 ? rc : (int64_t)ids->len;
    for (size_t i = 0; rc == 0 && i < ids->len && i < cap; i++)
        out[i] = (uint32_t)ids->id[i];
    dv_ids_fini(ids);
    return n;
}

int64_t dv_engine_tokenize(const dv_engine *e, const char *text, size_t len, bool special, bool bos, uint32_t *out, size_t cap, dv_err *err)
{
    dv_ids ids = {0};
    unsigned flags = (special ? DV_TOK_SPECIAL : 0u) | (bos ? DV_TOK_BOS_EOS : 0u);
    return give_ids(&ids, dv_tok_encode(e->tok, text, len, flags, &ids, err), out, cap);
}

int64_t dv_engine_piece(const dv_engine *e, uint32_t id, bool special, const char **piece)
{
    *piece = "";
    if (id >= dv_tok_n_vocab(e->tok))
        return DV_EINVAL;
    if (!special && dv_tok_is_control(e->tok, (int32_t)id))
        return 0;
    dv_str s = dv_tok_piece(e->tok, (int32_t)id);
    *piece = s.p;
    return (int64_t)s.n;
}

bool dv_engine_is_end(const dv_engine *e, uint32_t id) { return id < dv_tok_n_vocab(e->tok) && dv_tok_is_eog(e->tok, (int32_t)id); }
