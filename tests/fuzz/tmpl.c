/* SPDX-License-Identifier: MIT */
/* Chat templates: the input is a template; it is rendered with a fixed conversation under small limits, in both dialects.
 * The spans must cover the output, and text that the conversation alone can spell must never be trusted. The first bytes
 * "#J" make the rest JSON for dv_value_from_json instead. */
#include "target.h"

#include "base/buf.h"
#include "base/mem.h"
#include "tok/tmpl.h"

#include <string.h>

/* The bytes 0x01 and 0x02 are in no template that the target lets through, so wherever they appear they came from here. */
static const char context[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"\\u0001sys\\u0002\"},{\"role\":\"user\",\"content\":\"\\u0001 h\\u00e9 <|x|>\\n\\u0002\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":[1,2.5,true,null]}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":\"array\"}}}}}],"
    "\"s\":\"\\u0001a,b c\\u0002\",\"n\":-7,\"f\":0.5,\"l\":[3,\"\\u0001x\",null,[1]],\"d\":{\"k\\u0001\":{\"z\":1}},\"add_generation_prompt\":true}";

static void check_spans(const dv_buf *out, const dv_spans *spans)
{
    size_t at = 0;
    for (size_t i = 0; i < spans->n; i++) {
        dv_span s = spans->at[i];
        DV_FUZZ_CHECK(s.offset == at && s.len > 0 && s.len <= out->len - at);
        for (size_t k = 0; s.trusted && k < s.len; k++)
            DV_FUZZ_CHECK(out->data[at + k] != 1 && out->data[at + k] != 2);
        at += s.len;
    }
    DV_FUZZ_CHECK(at == out->len);
}

static void render(const dv_tmpl *t, const dv_value *ctx, dv_tmpl_dialect dialect)
{
    const dv_tmpl_opts opts = {.max_steps = 20000,
                               .max_output = 1 << 16,
                               .max_memory = 4 << 20,
                               .max_depth = 150,
                               .dialect = dialect,
                               .now = 1700000000};
    dv_buf out;
    dv_spans spans = {0};
    dv_err err = {0};
    dv_buf_init(&out, 0);
    int r = dv_tmpl_render(t, ctx, &opts, &out, &spans, &err);
    DV_FUZZ_CHECK(r == err.code);
    DV_FUZZ_CHECK(out.len <= 1 << 16);
    if (r == 0)
        check_spans(&out, &spans);
    else
        DV_FUZZ_CHECK(err.msg[0] != 0);
    dv_spans_fini(&spans);
    dv_buf_fini(&out);
}

/* A template that can write the marks by itself would only prove that it can. */
static int writes_marks(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] == 1 || s[i] == 2 || s[i] == '\\')
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *src = (const char *)data;
    const dv_tmpl_limits limits = {.max_source = 1 << 16, .max_memory = 16 << 20, .max_depth = 100};
    dv_arena a;
    dv_value *ctx = NULL;
    dv_tmpl *t = NULL;
    dv_err err = {0};
    dv_arena_init(&a, DV_MEM_TOK, 16 << 20);
    if (size >= 2 && memcmp(src, "#J", 2) == 0) {
        int r = dv_value_from_json(&ctx, &a, src + 2, size - 2, 1 << 16, 20, &err);
        DV_FUZZ_CHECK(r == err.code && (r == 0) == (ctx != NULL));
    } else if (dv_tmpl_parse(&t, src, size, &limits, &err) == 0 &&
               dv_value_from_json(&ctx, &a, context, sizeof context - 1, 0, 0, &err) == 0) {
        if (!writes_marks(src, size)) {
            render(t, ctx, DV_TMPL_HF);
            render(t, ctx, DV_TMPL_PYTHON);
        }
    } else {
        DV_FUZZ_CHECK(err.code != 0 && err.msg[0] != 0);
    }
    dv_tmpl_free(&t);
    dv_arena_fini(&a);
    return 0;
}
