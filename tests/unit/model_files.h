/* SPDX-License-Identifier: MIT */
/* Tiny models for tests: written once per test program into its temporary folder, and variants with one thing changed. */
#ifndef DV_TEST_MODEL_FILES_H
#define DV_TEST_MODEL_FILES_H

#include "gguf/gguf.h"
#include "gguf/write.h"
#include "tools/synth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct mf_path {
    char at[128];
} mf_path;

static inline const char *mf_folder(void)
{
    static char dir[64];
    if (dir[0] == 0) {
        strcpy(dir, "/tmp/drover-test-XXXXXX");
        assert_non_null(mkdtemp(dir));
    }
    return dir;
}

/* The path of a tiny model, made if it is not there yet. */
static inline mf_path mf_model(const char *shape, const char *quant)
{
    mf_path p;
    snprintf(p.at, sizeof p.at, "%s/%s-%s.gguf", mf_folder(), shape, quant);
    if (access(p.at, F_OK) != 0) {
        dv_err err = {0};
        const synth_options o = {.shape = shape, .quant = quant, .seed = 1, .threads = 1};
        if (synth_write(p.at, &o, &err) != 0)
            fail_msg("%s", err.msg);
    }
    return p;
}

static inline void mf_remove_all(void)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", mf_folder());
    if (system(cmd) != 0)
        print_message("could not remove %s\n", mf_folder());
}

/* What to change in a copy: a metadata pair to leave out or to set, a tensor to leave out, rename, reshape or retype. */
typedef struct mf_change {
    const char *drop_key;
    const char *set_u32; /* key */
    uint32_t u32;
    const char *set_f32; /* key */
    float f32;
    const char *set_str; /* key */
    const char *str;
    const char *tensor; /* name */
    const char *rename; /* NULL: leave it out unless reshaped */
    uint64_t ne0, ne1;  /* 0: as it is */
} mf_change;

static inline bool mf_is(dv_str s, const char *text)
{
    return text != NULL && strlen(text) == s.n && memcmp(s.p, text, s.n) == 0;
}

/* A copy of a model with a change; tensor data of a changed shape is zero. */
static inline mf_path mf_changed(const char *from, const mf_change *c)
{
    static unsigned number;
    mf_path p;
    dv_err err = {0};
    dv_gguf *g;
    dv_gguf_writer *w;
    snprintf(p.at, sizeof p.at, "%s/changed-%u.gguf", mf_folder(), number++);
    assert_int_equal(dv_gguf_open(&g, from, &err), 0);
    assert_int_equal(dv_gguf_writer_open(&w, p.at, 32, &err), 0);
    for (size_t i = 0; i < dv_gguf_n_kv(g); i++) {
        dv_str key = dv_gguf_kv_key(dv_gguf_kv_at(g, i));
        if (!mf_is(key, c->drop_key) && !mf_is(key, c->set_u32) && !mf_is(key, c->set_f32) && !mf_is(key, c->set_str))
            dv_gguf_put_kv(w, dv_gguf_kv_at(g, i));
    }
    if (c->set_u32 != NULL)
        dv_gguf_put_u32(w, c->set_u32, c->u32);
    if (c->set_f32 != NULL)
        dv_gguf_put_f32(w, c->set_f32, c->f32);
    if (c->set_str != NULL)
        dv_gguf_put_str(w, c->set_str, c->str, strlen(c->str));
    for (int data = 0; data < 2; data++)
        for (size_t i = 0; i < dv_gguf_n_tensors(g); i++) {
            const dv_gguf_tensor *t = dv_gguf_tensor_at(g, i);
            char name[DV_GGUF_MAX_NAME + 1];
            uint64_t ne[DV_GGUF_MAX_DIMS], bytes;
            bool hit = mf_is(t->name, c->tensor), reshape = hit && (c->ne0 != 0 || c->ne1 != 0);
            if (hit && c->rename == NULL && !reshape)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)t->name.n, t->name.p);
            memcpy(ne, t->ne, sizeof ne);
            ne[0] = reshape && c->ne0 != 0 ? c->ne0 : ne[0];
            ne[1] = reshape && c->ne1 != 0 ? c->ne1 : ne[1];
            assert_true(dv_type_row_bytes(t->type, ne[0], &bytes));
            bytes *= ne[1] * ne[2] * ne[3];
            if (!data) {
                dv_gguf_add_tensor(w, hit && c->rename != NULL ? c->rename : name, t->type, t->n_dims, ne);
            } else if (reshape) {
                void *zero = calloc(1, bytes);
                dv_gguf_write_data(w, zero, bytes);
                free(zero);
            } else {
                dv_gguf_write_data(w, t->data, bytes);
            }
        }
    if (dv_gguf_writer_finish(&w, &err) != 0)
        fail_msg("%s", err.msg);
    dv_gguf_close(&g);
    return p;
}

#endif
