/* SPDX-License-Identifier: MIT */
/* A walk through a grammar with small limits: at every step what the mask allows is accepted, and nothing else is. */
#ifndef DV_FUZZ_GRAMMAR_WALK_H
#define DV_FUZZ_GRAMMAR_WALK_H

#include "target.h"

#include "grammar/grammar.h"

#include <string.h>

enum { GW_BYTES = 256, GW_N = GW_BYTES + 14, GW_WORDS = (GW_N + 31) / 32, GW_STEPS = 24 };

static const dv_grammar_limits gw_limits = {.max_source = 1 << 15,
                                            .max_memory = 4 << 20,
                                            .max_rules = 500,
                                            .max_nodes = 50000,
                                            .max_states = 4000,
                                            .max_depth = 40,
                                            .max_stack = 24,
                                            .max_cache = 1 << 20};

static inline int gw_vocab(dv_grammar_vocab **v, dv_err *err)
{
    static char byte[GW_BYTES];
    static const char *const longer[] = {"ab", "{\"", "\":",  "\",\"",    "a\":1",
                                         "}}", "12",  "true", "\xc3\xa9", "\xf0\x9f"};
    dv_grammar_token token[GW_N] = {0};
    for (int i = 0; i < GW_BYTES; i++) {
        byte[i] = (char)i;
        token[i] = (dv_grammar_token){.p = &byte[i], .n = 1};
    }
    for (int i = 0; i < 10; i++)
        token[GW_BYTES + i] = (dv_grammar_token){.p = longer[i], .n = strlen(longer[i])};
    token[GW_N - 4] = (dv_grammar_token){.p = "<m>", .n = 3, .markup = true};
    token[GW_N - 3] = (dv_grammar_token){.p = "{\"a", .n = 3, .markup = true};
    token[GW_N - 2] = (dv_grammar_token){.p = "<t>", .n = 3, .special = true};
    token[GW_N - 1] = (dv_grammar_token){.p = "<e>", .n = 3, .special = true, .end = true};
    return dv_grammar_vocab_open(v, token, GW_N, err);
}

static inline void gw_try(const dv_grammar_state *s, int id, bool allowed)
{
    dv_grammar_state copy;
    dv_err err = {0};
    dv_grammar_state_copy(&copy, s);
    int rc = dv_grammar_state_accept(&copy, id, &err);
    DV_FUZZ_CHECK(rc == err.code);
    DV_FUZZ_CHECK(rc == DV_ELIMIT || rc == DV_ENOMEM || rc == (allowed ? 0 : DV_EINVAL));
    dv_grammar_state_fini(&copy);
}

/* choice: bytes that pick among what is allowed. */
static inline void gw_walk(dv_grammar *g, const uint8_t *choice, size_t n)
{
    dv_grammar_vocab *v = NULL;
    dv_grammar_state s = {0};
    dv_err err = {0};
    int rc = gw_vocab(&v, &err);
    rc = rc != 0 ? rc : dv_grammar_state_init(&s, g, v, &err);
    for (size_t step = 0; rc == 0 && step < GW_STEPS && !dv_grammar_state_is_done(&s); step++) {
        uint32_t mask[GW_WORDS];
        int ids[GW_N], k = 0;
        if ((rc = dv_grammar_state_mask(&s, mask, &err)) != 0)
            break;
        for (int i = 0; i < GW_N; i++) {
            const bool allowed = mask[i / 32] >> i % 32 & 1;
            gw_try(&s, i, allowed);
            if (allowed)
                ids[k++] = i;
        }
        if (k == 0)
            break; /* the limit of the stack can leave nothing */
        rc = dv_grammar_state_accept(&s, ids[(n > 0 ? choice[step % n] * 7u : 0) % (unsigned)k], &err);
    }
    DV_FUZZ_CHECK(rc == err.code);
    dv_grammar_state_fini(&s);
    dv_grammar_vocab_unref(&v);
}

#endif
