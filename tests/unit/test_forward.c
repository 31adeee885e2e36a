/* SPDX-License-Identifier: MIT */
/* Batches of several sequences: each gets the bits that it gets alone. And the KV cache's pages. */
#include "base/cpu.h"
#include "base/mem.h"
#include "model/forward.h"
#include "model_files.h"

enum { CTX = 192, N_SEQ = 3 };

typedef struct rig {
    dv_gguf *g;
    dv_model *m;
    dv_pool *pool;
    dv_kern kern;
    dv_forward *f;
    dv_kv kv;
    dv_kv_seq seq[N_SEQ];
} rig;

static void rig_open(rig *r, const char *path, dv_kv_type type)
{
    dv_err err = {0};
    *r = (rig){0};
    dv_kern_init(&r->kern, dv_cpu_detect());
    if (dv_gguf_open(&r->g, path, &err) != 0 || dv_model_open(&r->m, r->g, CTX, &err) != 0 ||
        dv_pool_open(&r->pool, 2, &err) != 0 || dv_forward_open(&r->f, r->m, &r->kern, r->pool, 128, CTX, &err) != 0 ||
        dv_kv_init(&r->kv, type, r->m->hp.n_layer, r->m->hp.n_head_kv, r->m->hp.hd_k, r->m->hp.hd_v, &err) != 0)
        fail_msg("%s", err.msg);
    for (int i = 0; i < N_SEQ; i++)
        assert_int_equal(dv_kv_seq_open(&r->seq[i], &r->kv, CTX, &err), 0);
}

static void rig_close(rig *r)
{
    for (int i = 0; i < N_SEQ; i++)
        dv_kv_seq_close(&r->seq[i]);
    dv_kv_fini(&r->kv);
    dv_forward_close(&r->f);
    dv_pool_close(&r->pool);
    dv_model_close(&r->m);
    dv_gguf_close(&r->g);
}

static uint32_t token_of(int seq, uint32_t pos) { return (pos * 131 + (uint32_t)seq * 977 + 5) % 4096; }

/* Append to batch b the tokens [from, to) of a sequence. */
static uint32_t put(rig *r, dv_batch_token *b, uint32_t n, int seq, uint32_t from, uint32_t to)
{
    assert_int_equal(dv_kv_seq_reserve(&r->seq[seq], to, NULL), 0);
    for (uint32_t pos = from; pos < to; pos++)
        b[n++] = (dv_batch_token){.id = token_of(seq, pos), .pos = pos, .seq = &r->seq[seq]};
    return n;
}

static void mixed_batches_equal_single_ones(void **state)
{
    (void)state;
    static const char *const shapes[] = {"tiny-llama", "tiny-gemma3", "tiny-qwen3moe", "tiny-phi3"};
    for (size_t m = 0; m < sizeof shapes / sizeof *shapes; m++) {
        mf_path p = mf_model(shapes[m], "Q4_K_M");
        rig alone, mixed;
        dv_kv_type type = (dv_kv_type)(m % DV_KV_TYPE_N);
        dv_batch_token b[128];
        rig_open(&alone, p.at, type);
        rig_open(&mixed, p.at, type);
        uint32_t n_vocab = alone.m->hp.n_vocab;
        float *want = malloc(N_SEQ * n_vocab * sizeof(float)), *got = malloc(N_SEQ * n_vocab * sizeof(float));
        static const uint32_t length[N_SEQ] = {90, 41, 70};
        for (int s = 0; s < N_SEQ; s++) {
            uint32_t n = put(&alone, b, 0, s, 0, length[s]);
            dv_forward_run(alone.f, b, n);
            dv_forward_logits(alone.f, (uint32_t[]){n - 1}, 1, want + (size_t)s * n_vocab);
        }
        /* A long prefill in slices while the others decode, then the last tokens of all three in one batch. */
        uint32_t n = put(&mixed, b, 0, 1, 0, 30);
        n = put(&mixed, b, n, 2, 0, 69);
        dv_forward_run(mixed.f, b, n);
        for (uint32_t i = 0; i < 10; i++) {
            n = put(&mixed, b, 0, 0, i * 8, i * 8 + 8);
            n = put(&mixed, b, n, 1, 30 + i, 31 + i);
            dv_forward_run(mixed.f, b, n);
        }
        n = put(&mixed, b, 0, 0, 80, 90);
        n = put(&mixed, b, n, 2, 69, 70);
        n = put(&mixed, b, n, 1, 40, 41);
        dv_forward_run(mixed.f, b, n);
        dv_forward_logits(mixed.f, (uint32_t[]){9, 11, 10}, 3, got);
        assert_memory_equal(got, want, N_SEQ * n_vocab * sizeof(float));
        free(want);
        free(got);
        rig_close(&alone);
        rig_close(&mixed);
    }
}

static void pages_come_and_go(void **state)
{
    (void)state;
    dv_kv kv;
    dv_kv_seq s;
    dv_err err = {0};
    assert_int_equal(dv_kv_init(&kv, DV_KV_Q8_0, 2, 2, 48, 64, &err), DV_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "48"));
    err = (dv_err){0};
    assert_int_equal(dv_kv_init(&kv, DV_KV_F32, 2, 2, 48, 40, &err), DV_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "in f32"));
    assert_int_equal(dv_kv_init(&kv, DV_KV_F32, 2, 3, 48, 64, NULL), 0);
    assert_int_equal(dv_kv_token_bytes(&kv), 2 * 3 * (48 + 64) * 4);
    assert_int_equal(dv_kv_init(&kv, DV_KV_F16, 2, 3, 48, 64, NULL), 0);
    assert_int_equal(dv_kv_token_bytes(&kv), 2 * 3 * (48 + 64) * 2);
    assert_int_equal(dv_kv_seq_open(&s, &kv, 200, NULL), 0);
    size_t empty = dv_mem_used(DV_MEM_KV);
    assert_int_equal(dv_kv_seq_reserve(&s, 1, NULL), 0);
    size_t one = dv_mem_used(DV_MEM_KV) - empty;
    assert_int_equal(dv_kv_seq_reserve(&s, DV_KV_PAGE, NULL), 0);
    assert_int_equal(dv_mem_used(DV_MEM_KV) - empty, one);
    assert_int_equal(dv_kv_seq_reserve(&s, 200, NULL), 0);
    assert_int_equal(s.n_pages, 4);
    err = (dv_err){0};
    assert_int_equal(dv_kv_seq_reserve(&s, 4 * DV_KV_PAGE + 1, &err), DV_ECONTEXT);
    dv_kv_seq_truncate(&s, DV_KV_PAGE + 1);
    assert_int_equal(s.n_pages, 2);
    uint64_t count = dv_mem_count();
    assert_int_equal(dv_kv_seq_reserve(&s, 2 * DV_KV_PAGE + 1, NULL), 0); /* the spare page, not a new one */
    assert_int_equal(dv_mem_count(), count);
    dv_kv_seq_close(&s);
    dv_kv_fini(&kv);
    assert_int_equal(dv_mem_used(DV_MEM_KV), 0);
}

static int remove_files(void **state)
{
    (void)state;
    mf_remove_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixed_batches_equal_single_ones),
        cmocka_unit_test(pages_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
