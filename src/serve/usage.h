/* SPDX-License-Identifier: MIT */
/* How many tokens an answer took, read from its bytes as they pass by: the counts that OpenAI's, Anthropic's and llama-server's replies have. Keys are
 * looked for with their quotes, and a quote inside a JSON text is always escaped, so nothing that a model writes into a text looks like one. */
#ifndef DV_SERVE_USAGE_H
#define DV_SERVE_USAGE_H

#include <stddef.h>
#include <stdint.h>

enum { DV__USAGE_KEEP = 64 };

typedef struct dv__usage {
    uint64_t tokens_in, tokens_out; /**< the last ones said; 0: none */
    uint64_t pieces;                /**< events with data so far: at least so many tokens, if nothing is said */
    char tail[DV__USAGE_KEEP];      /**< the end of what came so far, for keys across pieces */
    size_t n_tail;
} dv__usage;

void dv__usage_feed(dv__usage *u, const char *p, size_t n);

#endif
