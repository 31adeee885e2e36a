/* SPDX-License-Identifier: MIT */
/* The tokens of a model as a trie of their bytes, flattened in preorder: a walk goes forward in memory, and what no longer
 * fits is skipped with everything below it. */
#ifndef DV_GRAMMAR_VOCAB_H
#define DV_GRAMMAR_VOCAB_H

#include "grammar/grammar.h"

#include <stdatomic.h>

enum { DV__MAX_TOKEN = 1024 }; /* bytes; longer tokens are never allowed */

typedef struct dv__trie_node {
    uint32_t skip;   /* the node behind the subtree */
    uint32_t token0; /* first of its tokens in order[]; they end where the next node's begin */
    uint16_t depth;  /* bytes from the root, at least 1 */
    uint8_t byte;
} dv__trie_node;

struct dv_grammar_vocab {
    atomic_size_t refs;
    uint32_t n; /* tokens */
    uint32_t n_node;
    dv__trie_node *node; /* [n_node + 1] */
    uint32_t *order;     /* ids of tokens with bytes that are not special nor markup, sorted by their bytes */
    uint32_t n_order;
    uint32_t *markup; /* the same of markup tokens */
    uint32_t n_markup;
    uint32_t *at; /* [n + 1] bytes of a token */
    char *byte;
    uint8_t *flag;        /* [n] */
    uint32_t *end, n_end; /* ids of tokens that end a generation */
    uint32_t *special, n_special;
    uint32_t max_len; /* longest token in the trie, or of markup */
};

enum {
    DV__TOKEN_SPECIAL = 1u << 0,
    DV__TOKEN_END = 1u << 1,
    DV__TOKEN_MARKUP = 1u << 2 /* and neither of the others */
};

/* The special or markup token of this spelling, or else the ordinary one; -1: none. */
int32_t dv__vocab_find(const dv_grammar_vocab *v, const char *p, size_t n);

#endif
