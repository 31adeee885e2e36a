/* SPDX-License-Identifier: MIT */
/* The tokenizer of the shipped model: ids as llama.cpp gives them, and random texts there and back. */
#include "base/rng.h"
#include "base/utf8.h"
#include "tok/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static dv_gguf *g;
static dv_tok *t;

static int open_model(void **state)
{
    dv_err err = {0};
    if (dv_gguf_open(&g, "models/pocket-dictionary.gguf", &err) != 0 || dv_tok_open(&t, g, &err) != 0) {
        print_error("%s\n", err.msg);
        return -1;
    }
    return 0;
}

static int close_model(void **state)
{
    dv_tok_close(&t);
    dv_gguf_close(&g);
    return 0;
}

static const struct {
    const char *text;
    unsigned flags;
    int32_t ids[80]; /* ended by -1 */
} rows[] = {
    {"What is a llama?", 0, {288, 299, 259, 1792, 63, -1}},
    {"Hello, y'all! How are you \xf0\x9f\x98\x81 ?\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8"
     "apple\xe5\xb7\xa5\xe4\xbd\x9c"
     "1314151\xe5\xa4\xa9\xef\xbd\x9e",
     0,
     {1009, 44,  514, 39,  473, 33,  2282, 457, 312, 782, 32,  240, 159, 152, 129, 32,
      63,   230, 136, 145, 230, 131, 179,  229, 156, 168, 625, 328, 229, 183, 165, 228,
      189,  156, 49,  51,  49,  52,  49,   53,  49,  229, 164, 169, 239, 189, 158, -1}},
    {"a  b\n\n\tc  ", 0, {97, 32, 293, 10, 10, 9, 99, 32, 32, -1}},
    {"I've WE'RE 'tis", 0, {73, 39, 296, 1880, 69, 39, 82, 69, 32, 39, 282, 115, -1}},
    {"12345 3.14", 0, {49, 50, 51, 52, 53, 3143, 46, 49, 52, -1}},
    {"<|im_start|>user\nWhat is a dog?<|im_end|>\n<|im_start|>assistant\n",
     0,
     {60,  124, 418, 95,  258, 1207, 124, 62,  269, 10, 288, 299,  259, 3807, 63,  60, 124,
      418, 95,  558, 124, 62,  10,   60,  124, 418, 95, 258, 1207, 124, 62,   270, 10, -1}},
    {"<|im_start|>user\nWhat is a dog?<|im_end|>\n<|im_start|>assistant\n",
     DV_TOK_SPECIAL,
     {4094, 269, 10, 288, 299, 259, 3807, 63, 4095, 10, 4094, 270, 10, -1}},
    {"na\xc3\xafve \xc3\x89"
     "COLE \xd0\xbd\xd0\xb5\xd1\x89\xd0\xbe",
     0,
     {2231, 195, 175, 296, 32, 195, 137, 67, 79, 76, 69, 32, 208, 189, 208, 181, 209, 137, 208, 190, -1}},
    {"", 0, {-1}},
};

static void ids_are_the_known_ones(void **state)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_ids ids = {0};
        dv_err err = {0};
        assert_int_equal(dv_tok_encode(t, rows[i].text, strlen(rows[i].text), rows[i].flags, &ids, &err), 0);
        size_t n = 0;
        while (rows[i].ids[n] >= 0)
            n++;
        if (ids.len != n || (n > 0 && memcmp(ids.id, rows[i].ids, n * sizeof *ids.id) != 0))
            fail_msg("row %zu: \"%s\"", i, rows[i].text);
        dv_ids_fini(&ids);
    }
}

/* A text of random characters of every length, or of random bytes. */
static size_t random_text(dv_rng *r, char *text, size_t max, bool valid)
{
    static const uint32_t below[] = {0x80, 0x80, 0x80, 0x800, 0x3100, 0xffff, 0x110000};
    size_t n = 0, want = dv_rng_below(r, max - 4);
    while (n < want) {
        if (valid)
            n += (size_t)dv_utf8_encode((uint32_t)dv_rng_below(r, below[dv_rng_below(r, DV_ARRAY_LEN(below))]),
                                        text + n);
        else
            text[n++] = (char)dv_rng_below(r, 256);
    }
    return n;
}

static void random_texts_come_back(void **state)
{
    dv_rng r;
    dv_buf pieces, stream;
    dv_ids ids = {0};
    char text[600];
    dv_rng_seed(&r, 11);
    dv_buf_init(&pieces, 0);
    dv_buf_init(&stream, 0);
    for (int i = 0; i < 4000; i++) {
        bool valid = i % 4 != 0;
        size_t n = random_text(&r, text, sizeof text, valid);
        dv_err err = {0};
        ids.len = 0;
        dv_buf_clear(&pieces);
        dv_buf_clear(&stream);
        assert_int_equal(dv_tok_encode(t, text, n, i % 2 ? DV_TOK_SPECIAL : 0, &ids, &err), 0);
        for (size_t k = 0; k < ids.len; k++) {
            dv_str s = dv_tok_piece(t, ids.id[k]);
            dv_buf_add(&pieces, s.p, s.n);
        }
        assert_int_equal(pieces.len, n);
        if (n > 0)
            assert_memory_equal(pieces.data, text, n);
        assert_int_equal(dv_tok_decode(t, ids.id, ids.len, DV_DETOK_CONTROL, &stream), 0);
        if (valid) {
            assert_int_equal(stream.len, n);
            if (n > 0)
                assert_memory_equal(stream.data, text, n);
        }
        assert_true(dv_utf8_valid(dv_buf_str(&stream), stream.len));
    }
    dv_ids_fini(&ids);
    dv_buf_fini(&pieces);
    dv_buf_fini(&stream);
}

static void streaming_equals_decoding_at_once(void **state)
{
    dv_rng r;
    dv_buf once, stream;
    dv_rng_seed(&r, 12);
    dv_buf_init(&once, 0);
    dv_buf_init(&stream, 0);
    dv_buf_reserve(&stream, 1 << 16);
    for (int i = 0; i < 500; i++) {
        int32_t ids[64];
        dv_detok d;
        dv_buf_clear(&once);
        dv_buf_clear(&stream);
        dv_detok_init(&d, t, 0);
        for (int k = 0; k < 64; k++)
            ids[k] = (int32_t)dv_rng_below(&r, i % 2 ? 300 : dv_tok_n_vocab(t)) - (i % 7 == 0);
        uint64_t before = dv_mem_count();
        for (int k = 0; k < 64; k++) {
            dv_detok_push(&d, ids[k], &stream);
            assert_true(dv_utf8_valid(dv_buf_str(&stream), stream.len));
        }
        dv_detok_flush(&d, &stream);
        assert_int_equal(dv_mem_count(), before);
        dv_tok_decode(t, ids, 64, 0, &once);
        assert_string_equal(dv_buf_str(&once), dv_buf_str(&stream));
    }
    dv_buf_fini(&once);
    dv_buf_fini(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_the_known_ones),
        cmocka_unit_test(random_texts_come_back),
        cmocka_unit_test(streaming_equals_decoding_at_once),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
