/* SPDX-License-Identifier: MIT */
/* Prefix cache: a radix tree over token ids whose nodes are KV pages. A node's page holds the positions of up to DV_KV_PAGE tokens that
 * follow its parent's; only a leaf may hold fewer. Full pages are shared as they are. Of a page that matches in part, or that is a partial
 * leaf, a sequence gets a copy (unless the leaf's page is nobody else's: then it is taken out of the tree). Belongs to the scheduler's
 * thread. */
#ifndef DV_SCHED_PREFIX_H
#define DV_SCHED_PREFIX_H

#include "model/kv.h"

#include <stdbool.h>

typedef struct dv__node {
    struct dv__node *parent, *child, *next; /* first child, next sibling */
    struct dv__node *older, *newer;         /* all nodes by last use */
    dv_kv_page *page;                       /* a reference */
    uint32_t n_tok;                         /* 1..DV_KV_PAGE */
    uint32_t n_hits;                        /* sequences that found it */
    bool of_prompt;                         /* all of it was a prompt's */
    bool saved;                             /* is on disk, or being written */
    uint8_t key[16];                        /* hash of all tokens from the root to its end, of a full node */
    uint32_t tokens[DV_KV_PAGE];
} dv__node;

typedef struct dv__prefix {
    dv_kv *kv;
    dv__node root; /* without page */
    dv__node *oldest, *newest;
    uint32_t n_nodes;
    /* Another source of full nodes (snapshots on disk): makes the page of the node that would follow `parent`, or returns false. */
    bool (*find)(void *arg, const dv__node *parent, const uint32_t tokens[DV_KV_PAGE], const uint8_t key[16],
                 dv_kv_page **page);
    void *find_arg;
} dv__prefix;

void dv__prefix_init(dv__prefix *t, dv_kv *kv);
/** Forget everything. */
void dv__prefix_clear(dv__prefix *t);

/**
 * Begin a sequence, which is empty, with the longest prefix of ids[0..n) that is there.
 * @return  positions it holds now, at most n
 */
uint32_t dv__prefix_take(dv__prefix *t, dv_kv_seq *seq, const uint32_t *ids, uint32_t n);
/** Positions that dv__prefix_take would find in memory, without changing anything. */
uint32_t dv__prefix_match(const dv__prefix *t, const uint32_t *ids, uint32_t n);
/**
 * Keep positions [0, n) of a sequence. They are shared from now on: the sequence may store behind them, and not to them again. (It may go
 * on in a partial last page: others get a copy of what is before n.)
 * @param partial    keep a partial last page too
 * @param of_prompt  these are a prompt's
 */
void dv__prefix_put(dv__prefix *t, dv_kv_seq *seq, const uint32_t *ids, uint32_t n, bool partial, bool of_prompt);
/** Free one page: of the leaf that was not used for the longest time and that no sequence shares. @return false if there is none. */
bool dv__prefix_evict(dv__prefix *t);
/** Pages that evicting could free. */
uint32_t dv__prefix_evictable(const dv__prefix *t);

#endif
