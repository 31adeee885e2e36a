/* SPDX-License-Identifier: MIT */
/* Vocabularies that are wrong on purpose: each costs one error that names the key, or is harmless; and memory that runs
 * out. */
#include "base/rng.h"
#include "vocab_make.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void refused(vm *v, int code, const char *says)
{
    dv_gguf *g;
    dv_tok *t;
    dv_err err = {0};
    size_t used = dv_mem_used(DV_MEM_TOK);
    int rc = vm_open(v, &g, &t, &err);
    if (rc != code || strstr(err.msg, says) == NULL)
        fail_msg("%d \"%s\" instead of %d \"%s\"", rc, err.msg, code, says);
    assert_int_equal(err.code, code);
    assert_null(t);
    assert_int_equal(dv_mem_used(DV_MEM_TOK), used);
    dv_gguf_close(&g);
    vm_free(v);
}

static void wrong_models(void **state)
{
    (void)state;
    vm *v = vm_bpe("gpt-2");
    v->model = NULL;
    refused(v, DV_EFORMAT, "tokenizer.ggml.model");
    v = vm_bpe("gpt-2");
    v->model = "bert";
    refused(v, DV_EUNSUPPORTED, "\"bert\", which is not supported (supported: gpt2, llama)");
    v = vm_bpe("kimi-k9");
    refused(v, DV_EUNSUPPORTED, "\"kimi-k9\", which is not known");
    v = vm_bpe("gpt-2 phi-2");
    refused(v, DV_EUNSUPPORTED, "tokenizer.ggml.pre");
    v = vm_bpe(NULL);
    vm_put_u32(v, "tokenizer.ggml.pre", 3);
    refused(v, DV_EFORMAT, "tokenizer.ggml.pre");
    v = vm_bpe("gpt-2");
    vm_put_u32(v, "tokenizer.ggml.add_bos_token", 3);
    refused(v, DV_EFORMAT, "tokenizer.ggml.add_bos_token");
}

static void wrong_lengths(void **state)
{
    (void)state;
    vm *v = vm_bpe("gpt-2");
    v->no_tokens = true;
    refused(v, DV_EFORMAT, "tokenizer.ggml.tokens is missing");
    v = vm_bpe("gpt-2");
    v->n = 0;
    refused(v, DV_EFORMAT, "tokenizer.ggml.tokens has 0 elements");
    v = vm_bpe("gpt-2");
    v->no_tokens = true;
    vm_array(v, "tokenizer.ggml.tokens", DV_GGUF_I32, 0);
    refused(v, DV_EFORMAT, "tokenizer.ggml.tokens is not an array of strings");
    v = vm_bpe("gpt-2");
    v->n_type = 5;
    refused(v, DV_EFORMAT, "tokenizer.ggml.token_type has 5 elements, but the vocabulary has 256 tokens");
    v = vm_spm();
    v->n_type = v->n + 1;
    refused(v, DV_EFORMAT, "tokenizer.ggml.token_type has 260 elements");
    v = vm_spm();
    v->n_score = 0;
    refused(v, DV_EFORMAT, "tokenizer.ggml.scores is missing");
    v = vm_spm();
    v->n_score = 258;
    refused(v, DV_EFORMAT, "tokenizer.ggml.scores has 258 elements");
    v = vm_bpe("gpt-2");
    v->no_merges = true;
    refused(v, DV_EFORMAT, "tokenizer.ggml.merges is missing");
    v = vm_bpe("gpt-2");
    v->no_merges = true;
    vm_put_str(v, "tokenizer.ggml.merges", "a b");
    refused(v, DV_EFORMAT, "tokenizer.ggml.merges is not an array of strings");
}

static void wrong_values(void **state)
{
    (void)state;
    static const char *bad_bytes[] = {"<0x-1>", "<0x100>", "<0x4>", "<0xZZ>", "<0xff>", "0x41", "", "<0x41", "<0x 1>"};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad_bytes); i++) {
        vm *v = vm_spm();
        v->token[3 + 0x41] = (dv_str){bad_bytes[i], strlen(bad_bytes[i])};
        refused(v, DV_EFORMAT, "tokenizer.ggml.tokens[68] is of the type byte");
    }
    static const char *bad_merges[] = {"", " ", "  ", "ab", " ab", "ab ", "a"};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad_merges); i++) {
        vm *v = vm_bpe("gpt-2");
        vm_merge(v, "a b");
        vm_merge(v, bad_merges[i]);
        refused(v, DV_EFORMAT, "tokenizer.ggml.merges[1]");
    }
    static const int32_t bad_types[] = {-1, 7, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < DV_ARRAY_LEN(bad_types); i++) {
        vm *v = vm_bpe("gpt-2");
        v->type[9] = bad_types[i];
        refused(v, DV_EFORMAT, "tokenizer.ggml.token_type[9]");
    }
    vm *v = vm_spm();
    v->score[7] = NAN;
    refused(v, DV_EFORMAT, "tokenizer.ggml.scores[7] is not a number");
    static const char *keys[] = {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"};
    for (size_t i = 0; i < DV_ARRAY_LEN(keys); i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s", keys[i]);
        v = vm_bpe("gpt-2");
        vm_put_u32(v, key, 256);
        refused(v, DV_EFORMAT, key);
        v = vm_spm();
        vm_put_str(v, key, "1");
        refused(v, DV_EFORMAT, key);
    }
    char *big = malloc(DV__TOK_MAX_TEXT_LEN + 2);
    memset(big, 'x', DV__TOK_MAX_TEXT_LEN + 1);
    big[DV__TOK_MAX_TEXT_LEN + 1] = 0;
    v = vm_bpe("gpt-2");
    vm_add(v, big, 1, 0);
    refused(v, DV_ELIMIT, "tokenizer.ggml.tokens[256] has 65536 bytes");
    v = vm_bpe("gpt-2");
    big[1] = ' ';
    vm_merge(v, big);
    refused(v, DV_ELIMIT, "tokenizer.ggml.merges[0] has 65536 bytes");
    v = vm_bpe("gpt-2");
    big[300] = 0;
    vm_add(v, big, DV_TOK_CONTROL, 0);
    refused(v, DV_ELIMIT, "tokenizer.ggml.tokens[256] is a control or user-defined token of 300 bytes");
    free(big);
}

/* Odd, but no harm: encoding and decoding work. */
static void odd_but_usable(void **state)
{
    (void)state;
    dv_rng r;
    dv_rng_seed(&r, 3);
    for (int kind = 0; kind < 40; kind++) {
        vm *v = kind % 2 ? vm_spm() : vm_bpe("llama-bpe");
        size_t n = v->n;
        for (int i = 0; i < 300; i++) {
            /* Empty, duplicate, invalid and overlapping spellings of random types and scores. */
            static const char *texts[] = {"",
                                          "a",
                                          "ab",
                                          "abc",
                                          "bc",
                                          "\xff",
                                          "\xe4\xb8",
                                          "\xe2\x96\x81",
                                          "\xe2\x96\x81\xe2\x96\x81",
                                          "<0x41>",
                                          "<|x|>",
                                          "\n",
                                          "xx",
                                          "xxxx",
                                          "\xc4\xa0",
                                          "\xc4\xa0\x61"};
            static const float scores[] = {0, -1, 1e30f, -INFINITY, INFINITY, -0.0f};
            int type = 1 + (int)dv_rng_below(&r, 5);
            vm_add(v, texts[dv_rng_below(&r, DV_ARRAY_LEN(texts))], type,
                   scores[dv_rng_below(&r, DV_ARRAY_LEN(scores))]);
        }
        for (int i = 0; i < 40 && !(kind % 2); i++) {
            static const char *merges[] = {"a b",       "b c",        "ab c", "a bc", "x x",          "xx xx",
                                           "\xff \xff", "\xc4\xa0 a", "< |",  "a  b", "\xe4\xb8 \xad"};
            vm_merge(v, merges[dv_rng_below(&r, DV_ARRAY_LEN(merges))]);
        }
        dv_gguf *g;
        dv_tok *t;
        dv_err err = {0};
        if (vm_open(v, &g, &t, &err) != 0)
            fail_msg("%s", err.msg);
        for (int k = 0; k < 50; k++) {
            char text[200];
            size_t len = dv_rng_below(&r, sizeof text);
            for (size_t i = 0; i < len; i++)
                text[i] = "abcx \n<|>0A41\xe4\xb8\xad\xff\xe2\x96\x81"[dv_rng_below(&r, 20)];
            dv_ids ids = {0};
            dv_buf b;
            dv_buf_init(&b, 0);
            assert_int_equal(dv_tok_encode(t, text, len, k % 2 ? DV_TOK_SPECIAL : 0, &ids, &err), 0);
            for (size_t i = 0; i < ids.len; i++) {
                assert_in_range(ids.id[i], 0, n + 300);
                assert_false(k % 2 == 0 && dv_tok_is_control(t, ids.id[i]) &&
                             ids.id[i] != dv_tok_role_id(t, DV_TOK_UNK));
            }
            assert_int_equal(dv_tok_decode(t, ids.id, ids.len, DV_DETOK_CONTROL | DV_DETOK_START, &b), 0);
            assert_true(dv_utf8_valid(dv_buf_str(&b), b.len));
            dv_buf_fini(&b);
            dv_ids_fini(&ids);
        }
        dv_tok_close(&t);
        dv_gguf_close(&g);
        vm_free(v);
    }
}

static void much_text_ends_in_a_limit(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        vm *v = kind ? vm_spm() : vm_bpe("default");
        vm_add(v, kind ? "\xe2\x96\x81\xe2\x96\x81" : "aa", 1, -1); /* so that blanks, or letters, may be one word */
        vm_merge(v, "a a");
        dv_gguf *g;
        dv_tok *t;
        dv_err err = {0};
        assert_int_equal(vm_open(v, &g, &t, &err), 0);
        dv_ids ids = {0};
        assert_int_equal(dv_tok_encode(t, "b c d e f", 9, 0, &ids, &err), 0);
        ids.max = 2 * ids.len; /* as many again, and no more */
        assert_int_equal(dv_tok_encode(t, "b c d e f", 9, 0, &ids, &err), 0);
        assert_int_equal(ids.len, ids.max);
        ids.max++;
        assert_int_equal(dv_tok_encode(t, "b c", 3, 0, &ids, &err), DV_ECONTEXT);
        assert_int_equal(err.code, DV_ECONTEXT);
        assert_int_equal(ids.len + 1, ids.max);
        dv_ids_fini(&ids);
        char *word = malloc(DV_TOK_MAX_WORD + 1);
        memset(word, kind ? ' ' : 'a', DV_TOK_MAX_WORD + 1);
        err = (dv_err){0};
        assert_int_equal(dv_tok_encode(t, word, DV_TOK_MAX_WORD + 1, 0, &ids, &err), DV_ELIMIT);
        assert_non_null(strstr(err.msg, "a word of the text is longer"));
        dv_ids_fini(&ids);
        free(word);
        dv_tok_close(&t);
        dv_gguf_close(&g);
        vm_free(v);
    }
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        vm *v = kind ? vm_spm() : vm_bpe("default");
        vm_add(v, "ab", 1, -1);
        vm_add(v, "<|x|>", DV_TOK_CONTROL, -1);
        vm_merge(v, "a b");
        vm_finish(v);
        dv_gguf *g;
        dv_err err = {0};
        assert_int_equal(dv_gguf_open_mem(&g, v->file.data, v->file.len, &err), 0);
        size_t used = dv_mem_used(DV_MEM_CAT_N);
        int failures = 0;
        for (uint64_t n = 1;; n++) {
            static const dv_tok_part parts[] = {{"abab 12\xff", 8, false}, {"<|x|>ab", 7, true}};
            dv_tok *t = NULL;
            dv_ids ids = {0};
            err = (dv_err){0};
            dv_mem_fail_after(n);
            int rc = dv_tok_open(&t, g, &err);
            if (rc == 0)
                rc = dv_tok_encode_parts(t, parts, 2, 0, &ids, &err);
            dv_mem_fail_after(0);
            dv_ids_fini(&ids);
            dv_tok_close(&t);
            assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
            if (rc == 0)
                break;
            assert_int_equal(rc, DV_ENOMEM);
            assert_int_equal(err.code, DV_ENOMEM);
            failures++;
        }
        assert_true(failures > 10);
        dv_gguf_close(&g);
        vm_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_models),
        cmocka_unit_test(wrong_lengths),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(odd_but_usable),
        cmocka_unit_test(much_text_ends_in_a_limit),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
