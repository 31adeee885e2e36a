/* SPDX-License-Identifier: MIT */
/* Conversations as tokens. Until a template interpreter is behind this, every conversation is laid out as ChatML. */
#include "base/err.h"
#include "engine/session.h"

#include <string.h>

int64_t dv_engine_chat_tokens(const dv_engine *e, const dv_message *messages, size_t n, bool answer, uint32_t *out, size_t cap, dv_err *err)
{
    dv_tok_part *parts = dv_alloc_array(DV_MEM_TOK, n + 1, 5 * sizeof *parts);
    if (parts == NULL)
        return dv_fail(err, DV_ENOMEM, "conversation: %s", dv_error_text(DV_ENOMEM));
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        parts[k++] = (dv_tok_part){.p = "<|im_start|>", .n = 12, .trusted = true};
        parts[k++] = (dv_tok_part){.p = messages[i].role, .n = strlen(messages[i].role), .trusted = true};
        parts[k++] = (dv_tok_part){.p = "\n", .n = 1, .trusted = true};
        parts[k++] = (dv_tok_part){.p = messages[i].content, .n = messages[i].content_len};
        parts[k++] = (dv_tok_part){.p = "<|im_end|>\n", .n = 11, .trusted = true};
    }
    if (answer)
        parts[k++] = (dv_tok_part){.p = "<|im_start|>assistant\n", .n = 22, .trusted = true};
    dv_ids ids = {0};
    int64_t result = dv_tok_encode_parts(e->tok, parts, k, DV_TOK_BOS_EOS, &ids, err);
    if (result == 0)
        result = (int64_t)ids.len;
    for (size_t i = 0; i < ids.len && i < cap; i++)
        out[i] = (uint32_t)ids.id[i];
    dv_ids_fini(&ids);
    dv_free(parts);
    return result;
}
