/* SPDX-License-Identifier: MIT */
/* A vocabulary of single bytes, and whether a grammar matches a text, for tests of grammars. */
#ifndef DV_TEST_GRAMMAR_UTIL_H
#define DV_TEST_GRAMMAR_UTIL_H

#include "grammar/grammar.h"

/* Token b is byte b; 256 ends; 257 is the special token <call>. */
enum { GU_END = 256, GU_CALL = 257, GU_N = 258, GU_WORDS = (GU_N + 31) / 32 };

static inline int gu_byte_vocab(dv_grammar_vocab **v)
{
    static char byte[256];
    dv_grammar_token token[GU_N] = {0};
    for (int i = 0; i < 256; i++) {
        byte[i] = (char)i;
        token[i] = (dv_grammar_token){.p = &byte[i], .n = 1};
    }
    token[GU_END] = (dv_grammar_token){.p = "<end>", .n = 5, .special = true, .end = true};
    token[GU_CALL] = (dv_grammar_token){.p = "<call>", .n = 6, .special = true};
    return dv_grammar_vocab_open(v, token, GU_N, NULL);
}

/* Whether p[0..n) is a whole text of the grammar. */
static inline bool gu_matches_of(dv_grammar_vocab *v, dv_grammar *g, const char *p, size_t n)
{
    dv_grammar_state s = {0};
    bool ok = dv_grammar_state_init(&s, g, v, NULL) == 0 && dv_grammar_state_accept_bytes(&s, p, n, NULL) == 0 &&
              dv_grammar_state_can_end(&s);
    dv_grammar_state_fini(&s);
    return ok;
}

static inline bool gu_matches(dv_grammar *g, const char *p, size_t n)
{
    dv_grammar_vocab *v = NULL;
    const bool ok = gu_byte_vocab(&v) == 0 && gu_matches_of(v, g, p, n);
    dv_grammar_vocab_unref(&v);
    return ok;
}

#endif
