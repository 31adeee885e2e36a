/* SPDX-License-Identifier: MIT */
/* Rotary position embedding: the angle per position of each pair, with the scalings that GGUF files describe.
 * Sources: RoFormer (Su et al. 2021); YaRN (Peng et al. 2023) sections 3.2 and 3.4; LongRoPE (Ding et al. 2024). */
#include "base/err.h"
#include "model/arch.h"

#include <math.h>
#include <string.h>

static int rope_alloc(dv_model *m, dv_rope *r, bool neox, uint32_t n_rot, dv_err *err)
{
    *r = (dv_rope){.n_rot = n_rot, .neox = neox, .magnitude = 1.0};
    r->freq = dv_arena_calloc(&m->arena, n_rot / 2 + 1, sizeof *r->freq);
    return r->freq != NULL ? 0 : dv_fail(err, DV_ENOMEM, "RoPE table: %s", dv_error_text(DV_ENOMEM));
}

int dv__rope_plain(dv_model *m, dv_rope *r, bool neox, uint32_t n_rot, double base, dv_err *err)
{
    int rc = rope_alloc(m, r, neox, n_rot, err);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n_rot / 2; i++)
        r->freq[i] = pow(base, -2.0 * i / n_rot);
    return 0;
}

/* YaRN: the pair index at which a wave turns n_turns times within the original context. */
static double yarn_dim(uint32_t n_rot, double n_ctx, double n_turns, double base)
{
    return n_rot * log(n_ctx / (n_turns * 2 * 3.14159265358979323846)) / (2 * log(base));
}

/* Fast waves keep their angle, slow ones are interpolated, with a ramp between. */
static void apply_yarn(dv_rope *r, double base, double factor, double n_ctx_orig)
{
    double low = fmax(0, floor(yarn_dim(r->n_rot, n_ctx_orig, 32, base)));
    double high = fmin(r->n_rot - 1.0, ceil(yarn_dim(r->n_rot, n_ctx_orig, 1, base)));
    for (uint32_t i = 0; i < r->n_rot / 2; i++) {
        double ramp = fmin(1, fmax(0, (i - low) / fmax(0.001, high - low)));
        r->freq[i] = r->freq[i] * (1 - ramp) + r->freq[i] / factor * ramp;
    }
    r->magnitude *= 1 + 0.1 * log(factor);
}

static bool is(dv_str s, const char *text) { return strlen(text) == s.n && memcmp(s.p, text, s.n) == 0; }

int dv__load_rope(dv_model *m, dv_rope *r, bool neox, const float *factors, dv_err *err)
{
    uint32_t n_rot, n_ctx_orig;
    float base, factor, attn_factor;
    int rc;
    if ((rc = dv__key_opt_u32(m, "rope.dimension_count", 0, m->hp.hd_k, m->hp.hd_k, &n_rot, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "rope.freq_base", 1.0f, 1e12f, 10000.0f, &base, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "rope.scaling.factor", 0.0f, 1e6f, 0.0f, &factor, err)) != 0 ||
        (rc = dv__key_opt_f32(m, "rope.scaling.attn_factor", 0.0f, 1e3f, 1.0f, &attn_factor, err)) != 0 ||
        (rc = dv__key_opt_u32(m, "rope.scaling.original_context_length", 1, 1u << 28, m->hp.n_ctx_train, &n_ctx_orig,
                              err)) != 0)
        return rc;
    if (n_rot % 2 != 0)
        return dv_fail(err, DV_EFORMAT, "%s.rope.dimension_count %u is odd", m->arch->name, n_rot);
    if ((rc = dv__rope_plain(m, r, neox, n_rot, base, err)) != 0)
        return rc;
    r->magnitude = attn_factor;

    char key[64] = "";
    dv_str type = {"none", 4};
    memcpy(key, m->arch->name, strlen(m->arch->name));
    memcpy(key + strlen(key), ".rope.scaling.type", sizeof ".rope.scaling.type");
    if ((rc = dv_gguf_opt_str(m->gguf, key, type, &type, err)) != 0)
        return rc;
    if (factor == 0.0f) /* not given */
        factor = 1.0f;
    if (is(type, "linear"))
        for (uint32_t i = 0; i < n_rot / 2; i++)
            r->freq[i] /= factor;
    else if (is(type, "yarn") && factor > 1.0f && base > 1.0f)
        apply_yarn(r, base, factor, n_ctx_orig);
    else if (!is(type, "none") && !is(type, "yarn") && !is(type, "longrope") && !is(type, "llama3"))
        return dv_fail(err, DV_EUNSUPPORTED, "%s \"%.*s\" is not supported", key, (int)DV_MIN(type.n, 64), type.p);
    for (uint32_t i = 0; factors != NULL && i < n_rot / 2; i++) {
        if (!(factors[i] > 0))
            return dv_fail(err, DV_EFORMAT, "RoPE factor %u is not positive", i);
        r->freq[i] /= (double)factors[i];
    }
    return 0;
}
