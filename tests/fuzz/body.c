/* SPDX-License-Identifier: MIT */
/* Bodies of requests against every table, the first byte says which: what is refused has a sentence that begins with its place, what is repaired passes,
 * and so does what passed once. */
#include "target.h"

#include "base/attr.h"
#include "base/json.h"
#include "base/utf8.h"
#include "serve/schema.h"

#include <string.h>

static const dv__schema *const tables[] = {
    &dv__schema_chat,         &dv__schema_completions,     &dv__schema_embeddings, &dv__schema_responses,
    &dv__schema_messages,     &dv__schema_completion,      &dv__schema_infill,     &dv__schema_tokenize,
    &dv__schema_detokenize,   &dv__schema_response_tokens, &dv__schema_rerank,     &dv__schema_native_embeddings,
    &dv__schema_count_tokens, &dv__schema_slot_action,
};

static int check(const dv__schema *s, json_t *v, bool repair, dv__check *out)
{
    const dv__text_rules rules = {.repair = repair, .max_text = 4096};
    dv_err err = {0};
    int rc = dv__schema_check(s, v, &rules, out, &err);
    size_t n = strlen(out->param);
    DV_FUZZ_CHECK(rc == err.code && (rc == 0) == (err.msg[0] == 0) && dv_utf8_valid(out->param, n));
    if (rc != 0 && rc != DV_ENOMEM)
        DV_FUZZ_CHECK(n > 0 && strncmp(err.msg, out->param, n) == 0 && err.msg[n] == ':');
    DV_FUZZ_CHECK(rc == 0 || rc == DV_EINVAL || rc == DV_ELIMIT || rc == DV_ENOMEM);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t e;
    dv__check out;
    if (size == 0)
        return 0;
    const dv__schema *s = tables[data[0] % DV_ARRAY_LEN(tables)];
    json_t *v = json_loadb((const char *)data + 1, size - 1, JSON_REJECT_DUPLICATES, &e);
    if (json_is_object(v)) {
        bool good = check(s, v, false, &out) == 0;
        DV_FUZZ_CHECK(!out.repaired && out.text_bytes <= size);
        int rc = check(s, v, true, &out);
        DV_FUZZ_CHECK(!good || (!out.repaired && rc != DV_EINVAL && rc != DV_ELIMIT));
        if (rc == 0) {
            rc = check(s, v, false, &out);
            DV_FUZZ_CHECK(rc == 0 || rc == DV_ENOMEM);
        }
    }
    json_decref(v);
    return 0;
}
