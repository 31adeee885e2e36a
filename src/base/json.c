/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include "base/mem.h"
#include "drover/error.h"

/* Of the thread that parses; frees of other threads' values meanwhile only make it larger. */
static _Thread_local size_t left;
static _Thread_local bool bounded, reached;
static _Thread_local bool failed; /* some allocation, since dv_json_load began */

static void *take(size_t n)
{
    void *p = !bounded || n <= left ? dv_mem_plain_alloc(DV_MEM_JSON, n) : NULL;
    size_t got = dv_mem_plain_size(p);
    if (bounded && (n > left || got > left)) {
        reached = true;
        dv_mem_plain_free(DV_MEM_JSON, p);
        p = NULL;
    }
    left -= bounded && p != NULL ? got : 0;
    failed |= p == NULL;
    return p;
}

static void give_back(void *p)
{
    left += bounded ? dv_mem_plain_size(p) : 0;
    dv_mem_plain_free(DV_MEM_JSON, p);
}

void dv_json_use_mem(void)
{
    json_set_alloc_funcs(take, give_back);
    json_object_seed(0);
}

void dv_json_bound_begin(size_t bytes)
{
    left = bytes;
    bounded = true;
    reached = false;
}

bool dv_json_bound_end(void)
{
    bounded = false;
    return reached;
}

json_t *dv_json_load(const char *text, size_t n, size_t flags, json_error_t *e, bool *no_memory)
{
    failed = false;
    json_t *v = json_loadb(text, n, flags, e);
    *no_memory = v == NULL && (failed || e->text[0] == 0 || json_error_code(e) == json_error_out_of_memory);
    return v;
}

static int add(const char *text, size_t n, void *b) { return dv_buf_add(b, text, n); }

int dv_json_dump(dv_buf *b, const json_t *v, size_t flags)
{
    if (json_dump_callback(v, add, b, flags | JSON_ENCODE_ANY) != 0 && b->code == 0)
        b->code = DV_ENOMEM;
    return b->code;
}
