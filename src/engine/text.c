/* SPDX-License-Identifier: MIT */
/* The engine's tokenizer and chat template, behind the public interface. */
#include "base/err.h"
#include "base/mem.h"
#include "engine/session.h"

#include <time.h>

enum { MAX_MESSAGES = 1 << 16 };

static int64_t give_ids(dv_ids *ids, int rc, uint32_t *out, size_t cap)
{
    int64_t n = rc != 0 ? rc : (int64_t)ids->len;
    for (size_t i = 0; rc == 0 && i < ids->len && i < cap; i++)
        out[i] = (uint32_t)ids->id[i];
    dv_ids_fini(ids);
    return n;
}

int64_t dv_engine_tokenize(const dv_engine *e, const char *text, size_t len, bool special, bool bos, uint32_t *out,
                           size_t cap, dv_err *err)
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

bool dv_engine_is_end(const dv_engine *e, uint32_t id)
{
    return id < dv_tok_n_vocab(e->tok) && dv_tok_is_eog(e->tok, (int32_t)id);
}

/* Seconds since 1970 as the local clock shows them: templates write the date of today. */
static int64_t local_now(void)
{
    time_t now = time(NULL);
    struct tm tm;
    return localtime_r(&now, &tm) != NULL ? (int64_t)now + tm.tm_gmtoff : (int64_t)now;
}

int64_t dv_engine_chat_tokens(const dv_engine *e, const dv_message *messages, size_t n, bool answer, uint32_t *out,
                              size_t cap, dv_err *err)
{
    if (e->chat == NULL)
        return dv_fail(err, e->chat_err.code, "%s", e->chat_err.msg);
    if (n > MAX_MESSAGES)
        return dv_fail(err, DV_ELIMIT, "%zu messages are more than %d", n, MAX_MESSAGES);
    dv_chat_msg *msgs = dv_calloc(DV_MEM_TOK, n, sizeof *msgs);
    if (msgs == NULL)
        return dv_fail(err, DV_ENOMEM, "messages: %s", dv_error_text(DV_ENOMEM));
    for (size_t i = 0; i < n; i++)
        msgs[i] = (dv_chat_msg){
            .role = messages[i].role, .content = messages[i].content, .content_len = messages[i].content_len};
    const dv_chat_request r = {.msgs = msgs, .n_msgs = n, .add_generation_prompt = answer};
    const dv_tmpl_opts opts = {.now = local_now()};
    dv_ids ids = {0};
    int rc = dv_chat_encode(e->chat, e->tok, &r, &opts, &ids, err);
    dv_free(msgs);
    return give_ids(&ids, rc, out, cap);
}
