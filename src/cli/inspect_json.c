/* SPDX-License-Identifier: MIT */
/* The report as one JSON object. Metadata are a list and not an object: keys of a file are bytes, and two that are no
 * UTF-8 could become the same name. */
#include "cli/inspect.h"

#include <inttypes.h>
#include <string.h>

static void put_element(dv_buf *b, const dv_gguf_kv *kv, uint64_t i)
{
    dv_gguf_vtype type = dv_gguf_kv_type(kv) == DV_GGUF_ARR ? dv_gguf_kv_elem_type(kv) : dv_gguf_kv_type(kv);
    uint64_t u;
    int64_t s;
    double f;
    bool flag;
    dv_str str;
    if (dv_gguf_kv_str(kv, i, &str))
        dv_buf_json_str(b, str.p, str.n);
    else if (dv_gguf_kv_bool(kv, i, &flag))
        dv_buf_adds(b, flag ? "true" : "false");
    else if ((type == DV_GGUF_F32 || type == DV_GGUF_F64) && dv_gguf_kv_f64(kv, i, &f))
        dv_buf_json_num(b, f);
    else if (dv_gguf_kv_u64(kv, i, &u))
        dv_buf_printf(b, "%" PRIu64, u);
    else if (dv_gguf_kv_i64(kv, i, &s))
        dv_buf_printf(b, "%" PRId64, s);
    else
        dv_buf_adds(b, "null"); /* an array in an array */
}

static void put_kv(dv_buf *b, const dv_gguf_kv *kv)
{
    dv_str key = dv_gguf_kv_key(kv);
    dv_buf_adds(b, "{\"key\":");
    dv_buf_json_str(b, key.p, key.n);
    dv_buf_printf(b, ",\"type\":\"%s\",", dv__inspect_vtype_name(dv_gguf_kv_type(kv)));
    if (dv_gguf_kv_type(kv) != DV_GGUF_ARR) {
        dv_buf_adds(b, "\"value\":");
        put_element(b, kv, 0);
        dv_buf_addc(b, '}');
        return;
    }
    uint64_t n = dv_gguf_kv_len(kv), shown = n <= DV__INSPECT_HEAD ? n : DV__INSPECT_HEAD;
    dv_buf_printf(b, "\"element_type\":\"%s\",\"length\":%" PRIu64 ",\"elided\":%" PRIu64 ",\"value\":[",
                  dv__inspect_vtype_name(dv_gguf_kv_elem_type(kv)), n, n - shown);
    for (uint64_t i = 0; i < shown; i++) {
        dv_buf_adds(b, i > 0 ? "," : "");
        put_element(b, kv, i);
    }
    dv_buf_adds(b, "]}");
}

static void put_tensor(dv_buf *b, const dv_gguf_tensor *t)
{
    dv_buf_adds(b, "{\"name\":");
    dv_buf_json_str(b, t->name.p, t->name.n);
    dv_buf_printf(b, ",\"type\":\"%s\",\"type_id\":%" PRIu32 ",\"shape\":[", dv_type_name(t->type), t->type);
    for (uint32_t d = 0; d < t->n_dims; d++)
        dv_buf_printf(b, "%s%" PRIu64, d > 0 ? "," : "", t->ne[d]);
    if (t->data != NULL)
        dv_buf_printf(b, "],\"bytes\":%" PRIu64 ",\"supported\":true}", t->n_bytes);
    else
        dv_buf_adds(b, "],\"bytes\":null,\"supported\":false}");
}

static void put_types(dv_buf *b, const dv__inspect *in)
{
    bool first = true;
    for (size_t i = 0; i <= DV__INSPECT_TYPES; i++) {
        const dv__inspect_type *t = &in->types[i];
        if (t->n_tensors == 0)
            continue;
        dv_buf_printf(b, "%s{\"type\":\"%s\",\"tensors\":%zu,\"elements\":%" PRIu64 ",\"bytes\":", first ? "" : ",",
                      i < DV__INSPECT_TYPES ? dv_type_name(t->id) : "others", t->n_tensors, t->n_elements);
        if (dv_type_get(t->id) != NULL)
            dv_buf_printf(b, "%" PRIu64 "}", t->n_bytes);
        else
            dv_buf_adds(b, "null}");
        first = false;
    }
}

static void put_memory(dv_buf *b, const dv__inspect *in)
{
    const dv__inspect_memory *m = &in->memory;
    dv_buf_printf(b, "{\"weights_bytes\":%" PRIu64, in->weight_bytes);
    if (m->known)
        dv_buf_printf(b, ",\"context\":%" PRIu64 ",\"kv_f32_bytes\":%" PRIu64 ",\"kv_f16_bytes\":%" PRIu64, m->n_ctx,
                      m->kv_f32, m->kv_f16);
    if (m->has_q8_0)
        dv_buf_printf(b, ",\"kv_q8_0_bytes\":%" PRIu64, m->kv_q8_0);
    dv_buf_addc(b, '}');
}

void dv__inspect_json(dv_buf *b, const dv__inspect *in)
{
    const dv_gguf *g = in->gguf;
    dv_buf_adds(b, "{\"file\":");
    dv_buf_json_str(b, in->path, strlen(in->path));
    dv_buf_printf(b,
                  ",\"version\":%" PRIu32 ",\"alignment\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"elements\":%" PRIu64
                  ",\"metadata\":[",
                  dv_gguf_version(g), dv_gguf_alignment(g), dv_gguf_file_bytes(g), in->n_elements);
    for (size_t i = 0; i < dv_gguf_n_kv(g) && b->code == 0; i++) {
        dv_buf_adds(b, i > 0 ? ",\n" : "\n");
        put_kv(b, dv_gguf_kv_at(g, i));
    }
    dv_buf_adds(b, "],\n\"tensors\":[");
    for (size_t i = 0; i < dv_gguf_n_tensors(g) && b->code == 0; i++) {
        dv_buf_adds(b, i > 0 ? ",\n" : "\n");
        put_tensor(b, dv_gguf_tensor_at(g, i));
    }
    dv_buf_adds(b, "],\n\"types\":[");
    put_types(b, in);
    dv_buf_adds(b, "],\n\"memory\":");
    put_memory(b, in);
    dv_buf_adds(b, "}\n");
}
