/* SPDX-License-Identifier: MIT */
#include "tools/shape.h"

#include "base/attr.h"

#include <stdio.h>
#include <string.h>

/* The tiny models: rows are multiples of 256 where nothing else is said (K-quants need it), queries share KV heads, and each has what
 * sets its architecture apart. Contexts are small so that a session's cache is small. */
/* clang-format off */
static const synth_shape shapes[] = {
    {.name = "llama-3.2-3b", .about = "Llama 3.2 3B", .arch = "llama", .n_vocab = 128256, .n_embd = 3072, .n_layer = 28, .n_ff = 8192,
     .n_head = 24, .n_head_kv = 8, .head_dim = 128, .n_ctx = 131072, .rope_base = 500000, .eps = 1e-5f, .tied = true, .rope_freqs = true},
    {.name = "phi-4-14b", .about = "Phi-4 14B", .arch = "phi3", .n_vocab = 100352, .n_embd = 5120, .n_layer = 40, .n_ff = 17920,
     .n_head = 40, .n_head_kv = 10, .head_dim = 128, .n_ctx = 16384, .n_ctx_orig = 16384, .rope_base = 250000, .eps = 1e-5f, .fused = true},
    {.name = "qwen3-0.6b", .about = "Qwen3 0.6B", .arch = "qwen3", .n_vocab = 151936, .n_embd = 1024, .n_layer = 28, .n_ff = 3072,
     .n_head = 16, .n_head_kv = 8, .head_dim = 128, .n_ctx = 40960, .rope_base = 1000000, .eps = 1e-6f, .tied = true, .qk_norm = true},
    {.name = "tinyllama-1.1b", .about = "TinyLlama 1.1B", .arch = "llama", .n_vocab = 32000, .n_embd = 2048, .n_layer = 22, .n_ff = 5632,
     .n_head = 32, .n_head_kv = 4, .head_dim = 64, .n_ctx = 2048, .rope_base = 10000, .eps = 1e-5f},

    {.name = "tiny-llama", .about = "four queries to a KV head", .arch = "llama", .n_vocab = 4096, .n_embd = 256, .n_layer = 4,
     .n_ff = 768, .n_head = 8, .n_head_kv = 2, .head_dim = 32, .n_ctx = 1024, .rope_base = 10000, .eps = 1e-5f},
    {.name = "tiny-llama-rope-freqs", .about = "RoPE frequency factors, tied embeddings", .arch = "llama", .n_vocab = 4096, .n_embd = 256,
     .n_layer = 3, .n_ff = 512, .n_head = 4, .n_head_kv = 2, .head_dim = 64, .n_ctx = 1024, .rope_base = 500000, .eps = 1e-5f,
     .tied = true, .rope_freqs = true},
    {.name = "tiny-mistral", .about = "rows that are no multiple of 256, heads wider than the model", .arch = "llama", .n_vocab = 4096,
     .n_embd = 320, .n_layer = 3, .n_ff = 704, .n_head = 6, .n_head_kv = 2, .head_dim = 64, .n_ctx = 1024, .rope_base = 1000000,
     .eps = 1e-5f},
    {.name = "tiny-qwen2", .about = "biases on q, k and v", .arch = "qwen2", .n_vocab = 4096, .n_embd = 256, .n_layer = 3, .n_ff = 768,
     .n_head = 4, .n_head_kv = 2, .head_dim = 64, .n_ctx = 1024, .rope_base = 1000000, .eps = 1e-6f, .tied = true, .qkv_bias = true},
    {.name = "tiny-qwen3", .about = "norms on q and k, heads wider than the model", .arch = "qwen3", .n_vocab = 4096, .n_embd = 256,
     .n_layer = 3, .n_ff = 768, .n_head = 8, .n_head_kv = 4, .head_dim = 64, .n_ctx = 1024, .rope_base = 1000000, .eps = 1e-6f,
     .tied = true, .qk_norm = true},
    {.name = "tiny-qwen3moe", .about = "8 experts, 2 used", .arch = "qwen3moe", .n_vocab = 4096, .n_embd = 256, .n_layer = 3, .n_ff = 512,
     .n_head = 8, .n_head_kv = 2, .head_dim = 64, .n_ctx = 1024, .n_expert = 8, .n_expert_used = 2, .n_ff_exp = 256,
     .rope_base = 1000000, .eps = 1e-6f, .qk_norm = true},
    {.name = "tiny-phi3", .about = "fused matrices, sliding window, RoPE factors with the short ones in use", .arch = "phi3",
     .n_vocab = 4096, .n_embd = 256, .n_layer = 3, .n_ff = 512, .n_head = 4, .n_head_kv = 2, .head_dim = 64, .n_ctx = 1024,
     .n_ctx_orig = 1024, .window = 512, .rope_base = 10000, .rope_attn = 1.19f, .eps = 1e-5f, .fused = true, .rope_long = true},
    {.name = "tiny-phi3-long", .about = "the same with the long factors in use", .arch = "phi3", .n_vocab = 4096, .n_embd = 256,
     .n_layer = 3, .n_ff = 512, .n_head = 4, .n_head_kv = 4, .head_dim = 64, .n_ctx = 1024, .n_ctx_orig = 64, .window = 512,
     .rope_base = 10000, .rope_attn = 1.19f, .eps = 1e-5f, .fused = true, .rope_long = true},
    {.name = "tiny-gemma3", .about = "five windowed layers to a global one, four norms a layer", .arch = "gemma3", .n_vocab = 4096,
     .n_embd = 256, .n_layer = 7, .n_ff = 512, .n_head = 4, .n_head_kv = 1, .head_dim = 128, .n_ctx = 1024, .window = 64,
     .rope_base = 1000000, .rope_linear = 8, .eps = 1e-6f, .tied = true, .qk_norm = true, .post_norm = true},
};
/* clang-format on */

const synth_shape *synth_shapes(size_t *n)
{
    *n = DV_ARRAY_LEN(shapes);
    return shapes;
}

const synth_shape *synth_shape_find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(shapes); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* Keys below general.* carry the architecture's name in front. */
static const char *arch_key(char buf[128], const synth_shape *s, const char *key)
{
    snprintf(buf, 128, "%s.%s", s->arch, key);
    return buf;
}

static void put_u32(dv_gguf_writer *w, const synth_shape *s, const char *key, uint32_t v)
{
    char buf[128];
    dv_gguf_put_u32(w, arch_key(buf, s, key), v);
}

static void put_f32(dv_gguf_writer *w, const synth_shape *s, const char *key, float v)
{
    char buf[128];
    dv_gguf_put_f32(w, arch_key(buf, s, key), v);
}

static int put_str(dv_gguf_writer *w, const char *key, const char *v) { return dv_gguf_put_str(w, key, v, strlen(v)); }

int synth_shape_put(dv_gguf_writer *w, const synth_shape *s, uint32_t n_vocab, uint32_t file_type)
{
    char buf[128];
    put_str(w, "general.architecture", s->arch);
    /* The shape goes into the description: llama.cpp adjusts vocabularies by certain words in general.name, "phi3" among them. */
    put_str(w, "general.name", "random weights");
    put_str(w, "general.description", s->name);
    dv_gguf_put_u32(w, "general.file_type", file_type);
    dv_gguf_put_u32(w, "general.quantization_version", 2);
    put_u32(w, s, "context_length", s->n_ctx);
    put_u32(w, s, "embedding_length", s->n_embd);
    put_u32(w, s, "block_count", s->n_layer);
    put_u32(w, s, "feed_forward_length", s->n_ff);
    put_u32(w, s, "attention.head_count", s->n_head);
    put_u32(w, s, "attention.head_count_kv", s->n_head_kv);
    put_u32(w, s, "attention.key_length", s->head_dim);
    put_u32(w, s, "attention.value_length", s->head_dim);
    put_f32(w, s, "attention.layer_norm_rms_epsilon", s->eps);
    put_u32(w, s, "rope.dimension_count", s->head_dim);
    put_f32(w, s, "rope.freq_base", s->rope_base);
    put_u32(w, s, "vocab_size", n_vocab);
    if (strcmp(s->arch, "phi3") == 0 || s->window) /* 0 in Phi-4: no window, unlike Phi-3 */
        put_u32(w, s, "attention.sliding_window", s->window);
    if (s->n_ctx_orig)
        put_u32(w, s, "rope.scaling.original_context_length", s->n_ctx_orig);
    if (s->rope_attn != 0)
        put_f32(w, s, "rope.scaling.attn_factor", s->rope_attn);
    if (s->rope_linear != 0) {
        put_str(w, arch_key(buf, s, "rope.scaling.type"), "linear");
        put_f32(w, s, "rope.scaling.factor", s->rope_linear);
    }
    if (s->n_expert) {
        put_u32(w, s, "expert_count", s->n_expert);
        put_u32(w, s, "expert_used_count", s->n_expert_used);
        put_u32(w, s, "expert_feed_forward_length", s->n_ff_exp);
    }
    return dv_gguf_put_u32(w, "general.alignment", 32);
}
