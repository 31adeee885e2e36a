/* SPDX-License-Identifier: MIT */
/* Metadata and tensors that do not fit together: each is refused with an error that names the key or the tensor. */
#include "base/mem.h"
#include "drover/engine.h"
#include "model_files.h"

typedef struct bad {
    const char *shape;
    mf_change change;
    int code;
    const char *say;
} bad;

/* clang-format off */
static const bad cases[] = {
    {"tiny-llama", {.set_str = "general.architecture", .str = "mamba"}, DV_EUNSUPPORTED, "llama, qwen2, qwen3, phi3, gemma3, qwen3moe"},
    {"tiny-llama", {.set_str = "general.architecture", .str = "x\x1b[31m"}, DV_EUNSUPPORTED, "\\x1b"},
    {"tiny-llama", {.drop_key = "general.architecture"}, DV_ENOENT, "general.architecture"},
    {"tiny-llama", {.drop_key = "llama.embedding_length"}, DV_ENOENT, "llama.embedding_length"},
    {"tiny-llama", {.set_u32 = "llama.attention.head_count", .u32 = 0}, DV_EFORMAT, "llama.attention.head_count"},
    {"tiny-llama", {.set_u32 = "llama.attention.head_count_kv", .u32 = 0}, DV_EFORMAT, "head_count_kv"},
    {"tiny-llama", {.set_u32 = "llama.attention.head_count_kv", .u32 = 3}, DV_EFORMAT, "head_count_kv"},
    {"tiny-llama", {.set_u32 = "llama.attention.head_count", .u32 = 0xffffffffu}, DV_EFORMAT, "llama.attention.head_count"},
    {"tiny-llama", {.set_u32 = "llama.block_count", .u32 = 0}, DV_EFORMAT, "llama.block_count"},
    {"tiny-llama", {.set_u32 = "llama.block_count", .u32 = 4000}, DV_EFORMAT, "is missing"},
    {"tiny-llama", {.set_u32 = "llama.block_count", .u32 = 1}, DV_EFORMAT, "block_count"},
    {"tiny-llama", {.set_u32 = "llama.block_count", .u32 = 0x80000000u}, DV_EFORMAT, "llama.block_count"},
    {"tiny-llama", {.set_u32 = "llama.embedding_length", .u32 = 0}, DV_EFORMAT, "llama.embedding_length"},
    {"tiny-llama", {.set_u32 = "llama.embedding_length", .u32 = 1u << 31}, DV_EFORMAT, "llama.embedding_length"},
    {"tiny-llama", {.set_u32 = "llama.embedding_length", .u32 = 512}, DV_EFORMAT, "token_embd.weight"},
    {"tiny-llama", {.set_str = "llama.embedding_length", .str = "256"}, DV_EFORMAT, "llama.embedding_length"},
    {"tiny-llama", {.set_u32 = "llama.feed_forward_length", .u32 = 0}, DV_EFORMAT, "llama.feed_forward_length"},
    {"tiny-llama", {.set_u32 = "llama.feed_forward_length", .u32 = 257}, DV_EFORMAT, "ffn_"},
    {"tiny-llama", {.set_u32 = "llama.attention.key_length", .u32 = 17}, DV_EUNSUPPORTED, "multiple of 16"},
    {"tiny-llama", {.set_u32 = "llama.attention.key_length", .u32 = 0}, DV_EFORMAT, "key_length"},
    {"tiny-llama", {.set_u32 = "llama.rope.dimension_count", .u32 = 7}, DV_EFORMAT, "rope.dimension_count"},
    {"tiny-llama", {.set_u32 = "llama.rope.dimension_count", .u32 = 100000}, DV_EFORMAT, "rope.dimension_count"},
    {"tiny-llama", {.set_f32 = "llama.rope.freq_base", .f32 = 0}, DV_EFORMAT, "rope.freq_base"},
    {"tiny-llama", {.set_f32 = "llama.rope.freq_base", .f32 = -1e38f}, DV_EFORMAT, "rope.freq_base"},
    {"tiny-llama", {.set_f32 = "llama.attention.layer_norm_rms_epsilon", .f32 = -1}, DV_EFORMAT, "layer_norm_rms_epsilon"},
    {"tiny-llama", {.set_str = "llama.rope.scaling.type", .str = "spiral"}, DV_EUNSUPPORTED, "rope.scaling.type"},
    {"tiny-llama", {.tensor = "output_norm.weight"}, DV_EFORMAT, "output_norm.weight is missing"},
    {"tiny-llama", {.tensor = "token_embd.weight"}, DV_EFORMAT, "token_embd.weight is missing"},
    {"tiny-llama", {.tensor = "blk.1.attn_q.weight"}, DV_EFORMAT, "blk.1.attn_q.weight is missing"},
    {"tiny-llama", {.tensor = "blk.0.ffn_norm.weight", .rename = "blk.77.ffn_norm.weight"}, DV_EFORMAT, "ffn_norm.weight"},
    {"tiny-llama", {.tensor = "blk.0.attn_v.weight", .ne1 = 32}, DV_EFORMAT, "blk.0.attn_v.weight"},
    {"tiny-llama", {.tensor = "blk.0.attn_output.weight", .ne0 = 32}, DV_EFORMAT, "blk.0.attn_output.weight"},
    {"tiny-llama", {.tensor = "token_embd.weight", .ne1 = 4000}, DV_EFORMAT, "output.weight"},
    {"tiny-qwen3moe", {.set_u32 = "qwen3moe.expert_count", .u32 = 0}, DV_EFORMAT, "expert_count"},
    {"tiny-qwen3moe", {.set_u32 = "qwen3moe.expert_count", .u32 = 100000}, DV_EFORMAT, "expert_count"},
    {"tiny-qwen3moe", {.set_u32 = "qwen3moe.expert_used_count", .u32 = 0}, DV_EFORMAT, "expert_used_count"},
    {"tiny-qwen3moe", {.set_u32 = "qwen3moe.expert_used_count", .u32 = 9}, DV_EFORMAT, "expert_used_count"},
    {"tiny-qwen3moe", {.set_u32 = "qwen3moe.expert_count", .u32 = 4}, DV_EFORMAT, "ffn_gate_inp"},
    {"tiny-gemma3", {.set_u32 = "gemma3.attention.sliding_window", .u32 = 0xffffffffu}, DV_EFORMAT, "sliding_window"},
    {"tiny-gemma3", {.set_u32 = "gemma3.attention.sliding_window_pattern", .u32 = 0}, DV_EFORMAT, "sliding_window_pattern"},
    {"tiny-phi3", {.set_u32 = "phi3.rope.scaling.original_context_length", .u32 = 0}, DV_EFORMAT, "original_context_length"},
    {"tiny-phi3", {.tensor = "blk.0.attn_qkv.weight", .ne1 = 64}, DV_EFORMAT, "blk.0.attn_qkv.weight"},
};
/* clang-format on */

static void each_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bad *b = &cases[i];
        mf_path p = mf_changed(mf_model(b->shape, "Q8_0").at, &b->change);
        dv_engine *e;
        dv_err err = {0};
        int rc = dv_engine_open(&e, p.at, &(dv_engine_options){.threads = 1}, &err);
        if (rc != b->code || strstr(err.msg, b->say) == NULL)
            print_error("case %zu: expected %s with \"%s\", got %s: %s\n", i, dv_error_name(b->code), b->say,
                        dv_error_name(rc), err.msg);
        assert_int_equal(rc, b->code);
        assert_non_null(strstr(err.msg, b->say));
        assert_null(e);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), 0);
        unlink(p.at);
    }
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        dv_engine_options o;
        const char *say;
    } bad_options[] = {
        {{.threads = 257}, "threads"},
        {{.cpu_mask = "sse9"}, "cpu_mask"},
        {{.ctx = 0xffffffffu}, "ctx"},
        {{.batch = 100000}, "batch"},
        {{.kv_format = (dv_kv_format)9}, "kv_format"},
    };
    mf_path p = mf_model("tiny-llama", "Q8_0");
    for (size_t i = 0; i < sizeof bad_options / sizeof *bad_options; i++) {
        dv_engine *e;
        dv_err err = {0};
        assert_int_equal(dv_engine_open(&e, p.at, &bad_options[i].o, &err), DV_EINVAL);
        assert_non_null(strstr(err.msg, bad_options[i].say));
    }
}

static void a_vocabulary_needs_no_tensors(void **state)
{
    (void)state;
    mf_path p = mf_changed(mf_model("tiny-llama", "Q8_0").at, &(mf_change){.tensor = "output_norm.weight"});
    dv_engine *e;
    dv_session *s;
    dv_err err = {0};
    assert_int_equal(dv_engine_open(&e, p.at, &(dv_engine_options){.vocab_only = true}, &err), 0);
    uint32_t ids[8];
    assert_true(dv_engine_tokenize(e, "hello", 5, false, false, ids, 8, &err) > 0);
    assert_int_equal(dv_session_open(&s, e, NULL, &err), DV_EINVAL);
    dv_engine_close(&e);
}

static int remove_files(void **state)
{
    (void)state;
    mf_remove_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_refused_by_name),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_vocabulary_needs_no_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
