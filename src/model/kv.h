/* SPDX-License-Identifier: MIT */
/* KV cache: fixed-size, reference-counted pages of DV_KV_PAGE positions, each holding K and V of every layer, and sequences that are
 * lists of pages. A page is allocated when its first position is needed. One thread owns a cache and all its sequences. */
#ifndef DV_MODEL_KV_H
#define DV_MODEL_KV_H

#include "drover/error.h"
#include "kern/kern.h"

enum { DV_KV_PAGE = 64 }; /* positions; a multiple of DV_KV_GROUP */

typedef struct dv_kv_page {
    struct dv_kv_page *next_free; /* while unused */
    uint32_t refs;
    uint8_t *data; /* [n_layer][n_head_kv]{ K, V }, layouts as in kern/kern.h */
} dv_kv_page;

typedef struct dv_kv {
    dv_kv_type type;
    uint32_t n_layer, n_head_kv, hd_k, hd_v;
    size_t k_bytes, v_bytes; /* of one head in one page */
    size_t page_bytes;
    uint32_t n_pages;   /* allocated, spare ones included */
    uint32_t max_pages; /* 0: as many as memory holds; a caller may set it */
    dv_kv_page *free_list;
} dv_kv;

typedef struct dv_kv_seq {
    dv_kv *kv;
    dv_kv_page **pages;
    uint32_t n_pages, cap_pages;
} dv_kv_seq;

/** Shape of a cache; allocates nothing. hd_k and hd_v as kern/kern.h wants them. Errors: DV_EUNSUPPORTED. */
int dv_kv_init(dv_kv *kv, dv_kv_type type, uint32_t n_layer, uint32_t n_head_kv, uint32_t hd_k, uint32_t hd_v,
               dv_err *err);
/** Frees pages kept for reuse; every sequence must be closed before. */
void dv_kv_fini(dv_kv *kv);
/** Bytes of one position in all layers. */
size_t dv_kv_token_bytes(const dv_kv *kv);

/** An empty sequence that can grow to max_pos positions. */
int dv_kv_seq_open(dv_kv_seq *s, dv_kv *kv, uint32_t max_pos, dv_err *err);
void dv_kv_seq_close(dv_kv_seq *s);
/** Make positions [0, n_pos) storable. Errors: DV_ECONTEXT beyond max_pos, DV_EBUSY if that takes more than max_pages, DV_ENOMEM (pages got
 *  so far stay). */
int dv_kv_seq_reserve(dv_kv_seq *s, uint32_t n_pos, dv_err *err);
/** Give back pages that hold only positions >= n_pos. */
void dv_kv_seq_truncate(dv_kv_seq *s, uint32_t n_pos);

/**
 * A page without content. Sharing pages is the caller's business: what is stored at a position of a page with several references is seen
 * by all of them, so a sequence may share the pages before the one it stores to.
 * @return  0, DV_EBUSY at max_pages, DV_ENOMEM
 */
int dv_kv_page_new(dv_kv *kv, dv_kv_page **out);
static inline dv_kv_page *dv_kv_page_ref(dv_kv_page *p)
{
    p->refs++;
    return p;
}
void dv_kv_page_unref(dv_kv *kv, dv_kv_page *p);
/** Append a page to a sequence, which takes over the caller's reference. The sequence must have room for it. */
void dv_kv_seq_add_page(dv_kv_seq *s, dv_kv_page *p);

/** K of one head in page `page` of the sequence. */
static inline uint8_t *dv_kv_k(const dv_kv_seq *s, uint32_t page, uint32_t layer, uint32_t head)
{
    const dv_kv *kv = s->kv;
    return s->pages[page]->data + ((size_t)layer * kv->n_head_kv + head) * (kv->k_bytes + kv->v_bytes);
}
/** V of the same. */
static inline uint8_t *dv_kv_v(const dv_kv_seq *s, uint32_t page, uint32_t layer, uint32_t head)
{
    return dv_kv_k(s, page, layer, head) + s->kv->k_bytes;
}

#endif
