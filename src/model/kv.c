/* SPDX-License-Identifier: MIT */
#include "model/kv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

int dv_kv_init(dv_kv *kv, dv_kv_type type, uint32_t n_layer, uint32_t n_head_kv, uint32_t hd_k, uint32_t hd_v,
               dv_err *err)
{
    static const char *const names[DV_KV_TYPE_N] = {[DV_KV_F16] = "f16", [DV_KV_Q8_0] = "q8_0", [DV_KV_F32] = "f32"};
    uint32_t unit = type == DV_KV_Q8_0 ? DV_KV_Q8_BLOCK : 16;
    if (hd_k % unit != 0 || hd_v % unit != 0)
        return dv_fail(err, DV_EUNSUPPORTED,
                       "a KV cache in %s needs head sizes that are multiples of %u (this model: %u and %u)",
                       names[type], unit, hd_k, hd_v);
    *kv = (dv_kv){.type = type, .n_layer = n_layer, .n_head_kv = n_head_kv, .hd_k = hd_k, .hd_v = hd_v};
    kv->k_bytes = dv_kv_bytes(type, hd_k, DV_KV_PAGE);
    kv->v_bytes = dv_kv_bytes(type, hd_v, DV_KV_PAGE);
    kv->page_bytes = (kv->k_bytes + kv->v_bytes) * n_layer * n_head_kv;
    return 0;
}

void dv_kv_fini(dv_kv *kv)
{
    for (dv_kv_page *p = kv->free_list, *next; p != NULL; p = next) {
        next = p->next_free;
        dv_free(p->data);
        dv_free(p);
    }
    kv->free_list = NULL;
}

size_t dv_kv_token_bytes(const dv_kv *kv) { return kv->page_bytes / DV_KV_PAGE; }

int dv_kv_page_new(dv_kv *kv, dv_kv_page **out)
{
    dv_kv_page *p = kv->free_list;
    if (p != NULL) {
        kv->free_list = p->next_free;
    } else {
        if (kv->max_pages != 0 && kv->n_pages >= kv->max_pages)
            return DV_EBUSY;
        p = dv_calloc(DV_MEM_KV, 1, sizeof *p);
        if (p == NULL)
            return DV_ENOMEM;
        /* Zeroed: kernels read whole groups of 16 positions, and what lies beyond the last one must be finite. */
        p->data = dv_calloc(DV_MEM_KV, 1, kv->page_bytes);
        if (p->data == NULL) {
            dv_free(p);
            return DV_ENOMEM;
        }
        kv->n_pages++;
    }
    p->refs = 1;
    *out = p;
    return 0;
}

/* A page given back is freed at once unless it is the only spare one: a session that grows and shrinks around a page border would
 * otherwise allocate each time. */
void dv_kv_page_unref(dv_kv *kv, dv_kv_page *p)
{
    if (--p->refs > 0)
        return;
    if (kv->free_list == NULL) {
        p->next_free = NULL;
        kv->free_list = p;
        return;
    }
    dv_free(p->data);
    dv_free(p);
    kv->n_pages--;
}

int dv_kv_seq_open(dv_kv_seq *s, dv_kv *kv, uint32_t max_pos, dv_err *err)
{
    *s = (dv_kv_seq){.kv = kv, .cap_pages = max_pos / DV_KV_PAGE + (max_pos % DV_KV_PAGE != 0)};
    s->pages = dv_calloc(DV_MEM_KV, s->cap_pages, sizeof *s->pages);
    return s->pages != NULL ? 0 : dv_fail(err, DV_ENOMEM, "KV cache: %s", dv_error_text(DV_ENOMEM));
}

void dv_kv_seq_close(dv_kv_seq *s)
{
    if (s->pages != NULL)
        dv_kv_seq_truncate(s, 0);
    dv_free(s->pages);
    *s = (dv_kv_seq){0};
}

int dv_kv_seq_reserve(dv_kv_seq *s, uint32_t n_pos, dv_err *err)
{
    uint32_t want = n_pos / DV_KV_PAGE + (n_pos % DV_KV_PAGE != 0);
    if (want > s->cap_pages)
        return dv_fail(err, DV_ECONTEXT, "the context holds %u positions, %u are needed", s->cap_pages * DV_KV_PAGE,
                       n_pos);
    while (s->n_pages < want) {
        int rc = dv_kv_page_new(s->kv, &s->pages[s->n_pages]);
        if (rc == DV_EBUSY)
            return dv_fail(err, rc, "KV cache: all %u pages are in use", s->kv->max_pages);
        if (rc != 0)
            return dv_fail(err, rc, "KV cache: no memory for another page of %zu bytes", s->kv->page_bytes);
        s->n_pages++;
    }
    return 0;
}

void dv_kv_seq_truncate(dv_kv_seq *s, uint32_t n_pos)
{
    uint32_t keep = n_pos / DV_KV_PAGE + (n_pos % DV_KV_PAGE != 0);
    while (s->n_pages > keep)
        dv_kv_page_unref(s->kv, s->pages[--s->n_pages]);
}

void dv_kv_seq_add_page(dv_kv_seq *s, dv_kv_page *p) { s->pages[s->n_pages++] = p; }
