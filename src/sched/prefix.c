/* SPDX-License-Identifier: MIT */
#include "sched/prefix.h"

#include "base/attr.h"
#include "base/mem.h"

#include <sodium.h>
#include <string.h>

enum { COPY_MIN = 8 /* tokens for which a page is copied: fewer are computed faster than the copy is made */ };

/* --- nodes --- */

static void unlink_used(dv__prefix *t, dv__node *n)
{
    *(n->older != NULL ? &n->older->newer : &t->oldest) = n->newer;
    *(n->newer != NULL ? &n->newer->older : &t->newest) = n->older;
}

static void link_newest(dv__prefix *t, dv__node *n)
{
    n->older = t->newest;
    n->newer = NULL;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = n;
    t->newest = n;
}

/* From n up to the root, so that a parent is never older than its children. */
static void touch(dv__prefix *t, dv__node *n)
{
    for (; n != &t->root; n = n->parent) {
        unlink_used(t, n);
        link_newest(t, n);
    }
}

static void chain_key(const dv__node *parent, const uint32_t *ids, uint8_t key[16])
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, 16);
    crypto_generichash_update(&h, parent->key, 16);
    crypto_generichash_update(&h, (const unsigned char *)ids, DV_KV_PAGE * sizeof *ids);
    crypto_generichash_final(&h, key, 16);
}

/* Takes over the reference to page; NULL when there is no memory (the page is then given back: a cache may forget). */
static dv__node *add_node(dv__prefix *t, dv__node *parent, const uint32_t *ids, uint32_t n_tok, dv_kv_page *page)
{
    dv__node *n = dv_calloc(DV_MEM_KV, 1, sizeof *n);
    if (n == NULL) {
        dv_kv_page_unref(t->kv, page);
        return NULL;
    }
    n->parent = parent;
    n->page = page;
    n->n_tok = n_tok;
    memcpy(n->tokens, ids, n_tok * sizeof *ids);
    if (n_tok == DV_KV_PAGE)
        chain_key(parent, ids, n->key);
    n->next = parent->child;
    parent->child = n;
    link_newest(t, n);
    t->n_nodes++;
    return n;
}

/* Take a leaf out of the tree; the caller has its page's reference now. */
static dv_kv_page *remove_leaf(dv__prefix *t, dv__node *n)
{
    dv_kv_page *page = n->page;
    dv__node **link = &n->parent->child;
    while (*link != n)
        link = &(*link)->next;
    *link = n->next;
    unlink_used(t, n);
    t->n_nodes--;
    dv_free(n);
    return page;
}

static uint32_t common_prefix(const dv__node *n, const uint32_t *ids, uint32_t len)
{
    uint32_t i = 0, end = DV_MIN(len, n->n_tok);
    while (i < end && n->tokens[i] == ids[i])
        i++;
    return i;
}

static dv__node *full_child(const dv__node *n, const uint32_t *ids)
{
    for (dv__node *c = n->child; c != NULL; c = c->next)
        if (c->n_tok == DV_KV_PAGE && memcmp(c->tokens, ids, sizeof c->tokens) == 0)
            return c;
    return NULL;
}

static dv__node *closest_child(const dv__node *n, const uint32_t *ids, uint32_t len, uint32_t *common)
{
    dv__node *best = NULL;
    *common = 0;
    for (dv__node *c = n->child; c != NULL; c = c->next) {
        uint32_t k = common_prefix(c, ids, len);
        if (k > *common) {
            *common = k;
            best = c;
        }
    }
    return best;
}

/* --- the tree --- */

void dv__prefix_init(dv__prefix *t, dv_kv *kv) { *t = (dv__prefix){.kv = kv}; }

void dv__prefix_clear(dv__prefix *t)
{
    /* Newest last: a leaf is always older than its parent, or became one. */
    while (t->oldest != NULL) {
        dv__node *n = t->oldest;
        while (n->child != NULL)
            n = n->child;
        dv_kv_page_unref(t->kv, remove_leaf(t, n));
    }
}

bool dv__prefix_evict(dv__prefix *t)
{
    for (dv__node *n = t->oldest; n != NULL; n = n->newer)
        if (n->child == NULL && n->page->refs == 1) {
            dv_kv_page_unref(t->kv, remove_leaf(t, n));
            return true;
        }
    return false;
}

/* A sequence that holds a page holds those before it, so no node below one with a single reference is shared. */
uint32_t dv__prefix_evictable(const dv__prefix *t)
{
    uint32_t n = 0;
    for (const dv__node *c = t->oldest; c != NULL; c = c->newer)
        n += c->page->refs == 1;
    return n;
}

static dv__node *find_elsewhere(dv__prefix *t, dv__node *parent, const uint32_t *ids)
{
    uint8_t key[16];
    dv_kv_page *page;
    if (t->find == NULL)
        return NULL;
    chain_key(parent, ids, key);
    if (!t->find(t->find_arg, parent, ids, key, &page))
        return NULL;
    dv__node *n = add_node(t, parent, ids, DV_KV_PAGE, page);
    if (n != NULL)
        n->saved = n->of_prompt = true;
    return n;
}

uint32_t dv__prefix_match(const dv__prefix *t, const uint32_t *ids, uint32_t n)
{
    const dv__node *at = &t->root;
    uint32_t pos = 0, common;
    while (n - pos >= DV_KV_PAGE) {
        const dv__node *c = full_child(at, ids + pos);
        if (c == NULL)
            break;
        at = c;
        pos += DV_KV_PAGE;
    }
    closest_child(at, ids + pos, n - pos, &common);
    return pos + (common >= COPY_MIN ? common : 0);
}

/* The sequence's last page from a node that matches in its first `common` positions. */
static bool take_part(dv__prefix *t, dv_kv_seq *seq, dv__node *from, uint32_t common)
{
    dv_kv_page *page;
    touch(t, from);
    from->n_hits++;
    if (common == from->n_tok && from->child == NULL && from->page->refs == 1 && from->n_tok < DV_KV_PAGE) {
        dv_kv_seq_add_page(seq, remove_leaf(t, from));
        return true;
    }
    dv_kv_page *source = dv_kv_page_ref(from->page);
    int rc;
    while ((rc = dv_kv_page_new(t->kv, &page)) == DV_EBUSY && dv__prefix_evict(t))
        continue;
    if (rc == 0) {
        memcpy(page->data, source->data, t->kv->page_bytes);
        dv_kv_seq_add_page(seq, page);
    }
    dv_kv_page_unref(t->kv, source);
    return rc == 0;
}

uint32_t dv__prefix_take(dv__prefix *t, dv_kv_seq *seq, const uint32_t *ids, uint32_t n)
{
    dv__node *at = &t->root;
    uint32_t pos = 0, common;
    while (n - pos >= DV_KV_PAGE) {
        dv__node *c = full_child(at, ids + pos);
        if (c == NULL && (c = find_elsewhere(t, at, ids + pos)) == NULL)
            break;
        c->n_hits++;
        dv_kv_seq_add_page(seq, dv_kv_page_ref(c->page));
        at = c;
        pos += DV_KV_PAGE;
    }
    touch(t, at);
    dv__node *part = closest_child(at, ids + pos, n - pos, &common);
    if (common >= COPY_MIN && take_part(t, seq, part, common))
        pos += common;
    return pos;
}

/* A partial leaf says nothing that a longer sibling does not say. */
static void remove_covered(dv__prefix *t, dv__node *parent, const uint32_t *ids, uint32_t n_tok)
{
    for (dv__node *c = parent->child, *next; c != NULL; c = next) {
        next = c->next;
        if (c->n_tok < n_tok && common_prefix(c, ids, n_tok) == c->n_tok)
            dv_kv_page_unref(t->kv, remove_leaf(t, c));
    }
}

void dv__prefix_put(dv__prefix *t, dv_kv_seq *seq, const uint32_t *ids, uint32_t n, bool partial, bool of_prompt)
{
    dv__node *at = &t->root;
    uint32_t i = 0, rest = n % DV_KV_PAGE, common;
    for (; i < n / DV_KV_PAGE; i++) {
        const uint32_t *part = ids + (size_t)i * DV_KV_PAGE;
        dv__node *c = full_child(at, part);
        if (c == NULL) {
            remove_covered(t, at, part, DV_KV_PAGE);
            c = add_node(t, at, part, DV_KV_PAGE, dv_kv_page_ref(seq->pages[i]));
        } else if (c->page != seq->pages[i]) {
            /* The same tokens at the same positions: the same bits. One copy is enough. */
            dv_kv_page_unref(t->kv, seq->pages[i]);
            seq->pages[i] = dv_kv_page_ref(c->page);
        }
        if (c == NULL)
            break;
        c->of_prompt = c->of_prompt || of_prompt;
        at = c;
    }
    const uint32_t *tail = ids + (size_t)i * DV_KV_PAGE;
    if (partial && rest > 0 && i == n / DV_KV_PAGE) {
        closest_child(at, tail, rest, &common);
        if (common < rest) {
            remove_covered(t, at, tail, rest);
            dv__node *c = add_node(t, at, tail, rest, dv_kv_page_ref(seq->pages[i]));
            at = c != NULL ? c : at;
        }
    }
    touch(t, at);
}
