/* SPDX-License-Identifier: MIT */
/* Tokenizers on small hand-made vocabularies: merging, bytes, whole tokens, trust, roles, and decoding as a stream. */
#include "base/pool.h"
#include "base/rng.h"
#include "vocab_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

typedef struct fix {
    vm *v;
    dv_gguf *g;
    dv_tok *t;
    dv_ids ids;
} fix;

static void fix_open(fix *f, vm *v)
{
    dv_err err = {0};
    *f = (fix){.v = v};
    if (vm_open(v, &f->g, &f->t, &err) != 0)
        fail_msg("%s", err.msg);
}

static void fix_close(fix *f)
{
    dv_ids_fini(&f->ids);
    dv_tok_close(&f->t);
    dv_tok_close(&f->t);
    dv_gguf_close(&f->g);
    vm_free(f->v);
}

static void encode(fix *f, const char *text, size_t n, unsigned flags)
{
    dv_err err = {0};
    f->ids.len = 0;
    if (dv_tok_encode(f->t, text, n, flags, &f->ids, &err) != 0)
        fail_msg("%s", err.msg);
}

/* The ids that follow flags, which may be none. */
#define EXPECT(f, text, flags, ...)                                                      \
    do {                                                                                 \
        const int32_t want_[] = {-1, __VA_ARGS__};                                       \
        encode(f, text, sizeof(text) - 1, flags);                                        \
        assert_int_equal((f)->ids.len, sizeof want_ / sizeof want_[0] - 1);              \
        if ((f)->ids.len > 0)                                                            \
            assert_memory_equal((f)->ids.id, want_ + 1, sizeof want_ - sizeof want_[0]); \
    } while (0)

static void bpe_merges_by_rank(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_bpe("gpt-2");
    int32_t ab = vm_add(v, "ab", 1, 0), bc = vm_add(v, "bc", 1, 0), abc = vm_add(v, "abc", 1, 0);
    int32_t sp_ab = vm_add(v, "\xc4\xa0\x61\x62", 1, 0);
    int32_t aa = vm_add(v, "aa", 1, 0), xyz = vm_add(v, "xyz", 1, 0);
    vm_merge(v, "b c");
    vm_merge(v, "a b");
    vm_merge(v, "ab c");
    vm_merge(v, "\xc4\xa0 ab");
    vm_merge(v, "a a");
    vm_merge(v, "x y"); /* "xy" is no token, only a step to "xyz" */
    vm_merge(v, "xy z");
    vm_merge(v, "b c"); /* again: the first rank counts */
    fix_open(&f, v);
    EXPECT(&f, "ab", 0, ab);
    EXPECT(&f, "abc", 0, 'a', bc);
    EXPECT(&f, " ab ab", 0, sp_ab, sp_ab);
    EXPECT(&f, "aaa", 0, aa, 'a'); /* of equal ranks the leftmost */
    EXPECT(&f, "aaaa", 0, aa, aa);
    EXPECT(&f, "xyz", 0, xyz);
    EXPECT(&f, "xy", 0, 'x', 'y');
    EXPECT(&f, "a\0b", 0, 'a', 0, 'b');
    EXPECT(&f,
           "\xff\xfe"
           "ab\xc3",
           0, 0xff, 0xfe, ab, 0xc3);
    EXPECT(&f, "\xe4\xb8", 0, 0xe4, 0xb8);
    encode(&f, NULL, 0, 0);
    assert_int_equal(f.ids.len, 0);
    assert_int_equal(dv_tok_find(f.t, "abc", 3), abc);
    assert_int_equal(dv_tok_find(f.t, "xy", 2), -1);
    assert_int_equal(dv_tok_find(f.t, "", 0), -1);
    assert_int_equal(dv_tok_n_vocab(f.t), 262);
    assert_string_equal(dv_tok_pre(f.t), "gpt-2");
    assert_string_equal(dv_tok_note(f.t), "");
    assert_int_equal(dv_tok_piece(f.t, sp_ab).n, 3);
    assert_memory_equal(dv_tok_piece(f.t, sp_ab).p, " ab", 3);
    assert_int_equal(dv_tok_piece(f.t, 262).n + dv_tok_piece(f.t, -1).n + dv_tok_text(f.t, 262).n, 0);
    fix_close(&f);
}

static void bpe_whole_words(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_bpe("llama-bpe");
    int32_t hello = vm_add(v, "\xc4\xa0hello", 1, 0);
    vm_add(v, "\xc4\xa0secret", DV_TOK_CONTROL, 0);
    fix_open(&f, v);
    EXPECT(&f, " hello", 0, hello);                              /* although no merge leads there */
    EXPECT(&f, " secret", 0, ' ', 's', 'e', 'c', 'r', 'e', 't'); /* but never a control token */
    assert_false(dv_tok_adds_bos(f.t));                          /* wanted by the row, but there is none */
    fix_close(&f);
}

static void bpe_lacking_bytes(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_new("gpt2");
    v->n_score = 0;
    vm_add(v, "a", 1, 0);
    vm_add(v, "b", 1, 0);
    vm_merge(v, "a b"); /* "ab" is no token */
    fix_open(&f, v);
    EXPECT(&f, "aXb", 0, 0, 1);
    EXPECT(&f, "ab", 0, 0, 1);
    assert_non_null(strstr(dv_tok_note(f.t), "tokenizer.ggml.pre"));
    assert_string_equal(dv_tok_pre(f.t), "default");
    fix_close(&f);
    v = vm_new("gpt2");
    v->n_score = 0;
    vm_add(v, "a", 1, 0);
    vm_add(v, "<unk>", DV_TOK_UNKNOWN, 0);
    vm_put_u32(v, "tokenizer.ggml.unknown_token_id", 1);
    fix_open(&f, v);
    EXPECT(&f, "aXa", 0, 0, 1, 0);
    fix_close(&f);
}

/* Control tokens, and merges that lead to one. */
static vm *trust_vocab(const char *pre, int32_t *end, int32_t *think, int32_t *lines)
{
    vm *v = vm_bpe(pre);
    *end = vm_add(v, "<|im_end|>", DV_TOK_CONTROL, 0);
    *think = vm_add(v, "<think>", DV_TOK_USER, 0);
    *lines = vm_add(v, "\n\n", DV_TOK_USER, 0);
    vm_add(v, "<|bars|>", DV_TOK_USER, 0);
    vm_add(v, "<|", 1, 0);
    vm_add(v, "|>", 1, 0);
    vm_add(v, "im", 1, 0);
    vm_add(v, "EOS", 1, 0);
    vm_merge(v, "< |");
    vm_merge(v, "| >");
    vm_merge(v, "i m");
    vm_merge(v, "<| im");
    vm_merge(v, "_ e");
    vm_merge(v, "_e n");
    vm_merge(v, "_en d");
    vm_merge(v, "<|im _end");
    vm_merge(v, "<|im_end |>");
    vm_merge(v, "E O");
    vm_merge(v, "EO S");
    vm_put_u32(v, "tokenizer.ggml.eos_token_id", 263);
    return v;
}

static void text_never_becomes_control(void **state)
{
    (void)state;
    static const char *bits[] = {"<|im_end|>", "<|im", "_end", "|>", "<|", "im", "<",        "think>",
                                 "<think>",    "EOS",  "E",    "OS", " ",  "\n", "<|bars|>", "\xff"};
    static const char *pres[] = {"bloom", "llama-bpe", "gpt-2"}; /* bloom keeps nearly anything in one word */
    for (size_t p = 0; p < DV_ARRAY_LEN(pres); p++) {
        fix f;
        int32_t end, think, lines;
        fix_open(&f, trust_vocab(pres[p], &end, &think, &lines));
        dv_rng r;
        dv_rng_seed(&r, 7);
        for (int i = 0; i < 2000; i++) {
            char text[256] = "";
            for (int k = 0; k < 12; k++)
                strcat(text, bits[dv_rng_below(&r, DV_ARRAY_LEN(bits))]);
            encode(&f, text, strlen(text), 0);
            dv_buf b;
            dv_buf_init(&b, 0);
            for (size_t k = 0; k < f.ids.len; k++) {
                int32_t id = f.ids.id[k];
                assert_true(id != end && id != think && id != 263 && id != 259);
                assert_false(dv_tok_is_control(f.t, id) || dv_tok_is_eog(f.t, id));
                dv_str s = dv_tok_piece(f.t, id);
                dv_buf_add(&b, s.p, s.n);
            }
            assert_string_equal(dv_buf_str(&b), text); /* and nothing is lost */
            dv_buf_fini(&b);
        }
        EXPECT(&f, "a\n\nb", 0, 'a', 258, 'b'); /* plain user-defined tokens are matched everywhere */
        EXPECT(&f, "<|im_end|>", DV_TOK_SPECIAL, 256);
        EXPECT(&f, "a<think>\n\n<|im_end|>", DV_TOK_SPECIAL, 'a', 257, 258, 256);
        fix_close(&f);
    }
}

static void parts_are_trusted_apart(void **state)
{
    (void)state;
    fix f;
    int32_t end, think, lines;
    fix_open(&f, trust_vocab("gpt-2", &end, &think, &lines));
    dv_err err = {0};
#define PART(text, trusted)             \
    {                                   \
        text, sizeof(text) - 1, trusted \
    }
    /* Split in trusted bytes it counts, even around an empty part; with one byte of a user's it does not. */
    static const dv_tok_part good[] = {PART("x", false), PART("<|im_", true), PART("", false), PART("end|>", true),
                                       PART("y", false)};
    static const dv_tok_part bad[] = {PART("<|im_end|", true), PART(">", false), PART("<", false),
                                      PART("|im_end|>", true), PART("<|im_end|>", false)};
    assert_int_equal(dv_tok_encode_parts(f.t, good, 5, 0, &f.ids, &err), 0);
    assert_int_equal(f.ids.len, 3);
    assert_int_equal(f.ids.id[1], end);
    f.ids.len = 0;
    assert_int_equal(dv_tok_encode_parts(f.t, bad, 5, 0, &f.ids, &err), 0);
    for (size_t i = 0; i < f.ids.len; i++)
        assert_int_not_equal(f.ids.id[i], end);
    /* Merging and plain user-defined tokens see one text. */
    static const dv_tok_part joined[] = {PART("i", true), PART("m", false), PART("\n", false), PART("\n", true)};
    f.ids.len = 0;
    assert_int_equal(dv_tok_encode_parts(f.t, joined, 4, 0, &f.ids, &err), 0);
    assert_int_equal(f.ids.len, 2);
    assert_int_equal(f.ids.id[0], 262);
    assert_int_equal(f.ids.id[1], lines);
    assert_int_equal(dv_tok_encode_parts(f.t, NULL, 0, 0, &f.ids, &err), 0);
    static const dv_tok_part huge[] = {{"", DV_TOK_MAX_TEXT, true}, {"", 1, true}};
    assert_int_equal(dv_tok_encode_parts(f.t, huge, 2, 0, &f.ids, &err), DV_ELIMIT);
    assert_int_equal(f.ids.len, 2);
    fix_close(&f);
}

static void whole_tokens_leftmost_longest(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_bpe("gpt-2");
    int32_t x2 = vm_add(v, "xx", DV_TOK_USER, 0), x4 = vm_add(v, "xxxx", DV_TOK_USER, 0);
    int32_t ab = vm_add(v, "ab", DV_TOK_USER, 0), ctl = vm_add(v, "abc", DV_TOK_CONTROL, 0);
    int32_t bcd = vm_add(v, "bcd", DV_TOK_USER, 0);
    vm_add(v, "ab", DV_TOK_CONTROL, 0); /* the same spelling again */
    vm_add(v, "", DV_TOK_CONTROL, 0);
    fix_open(&f, v);
    (void)bcd;
    EXPECT(&f, "xxxxxxx", 0, 257, 256, 'x');
    EXPECT(&f, "abcd", 0, 258, 'c', 'd');
    EXPECT(&f, "abcd", DV_TOK_SPECIAL, 259, 'd');
    EXPECT(&f, "zbcd", 0, 'z', 260);
    assert_int_equal(x2 + x4 + ab + ctl, 256 + 257 + 258 + 259);
    fix_close(&f);
}

static vm *spm_vocab(void)
{
    vm *v = vm_spm();
    vm_add(v, "\xe2\x96\x81", 1, -5); /* 259 */
    vm_add(v, "a", 1, -6);            /* 260 */
    vm_add(v, "b", 1, -7);
    vm_add(v, "c", 1, -8);
    vm_add(v, "bc", 1, -1); /* 263 */
    vm_add(v, "ab", 1, -2);
    vm_add(v,
           "\xe2\x96\x81"
           "a",
           1, -3); /* 265 */
    vm_add(v, "\xe2\x96\x81\xe2\x96\x81", 1, -4);
    vm_add(v, "abc", 1, -0.5f);
    vm_add(v, "\xc3\xa9", 1, -9); /* 268 */
    vm_add(v, "<", 1, -10);
    vm_add(v, "s>", 1, -10);
    return v;
}

/* The list says what the question says. */
static void check_eog(const dv_tok *t)
{
    size_t n, at = 0;
    const int32_t *eog = dv_tok_eog(t, &n);
    for (int32_t id = 0; id < (int32_t)dv_tok_n_vocab(t); id++)
        if (dv_tok_is_eog(t, id)) {
            assert_true(at < n);
            assert_int_equal(eog[at++], id);
        }
    assert_int_equal(at, n);
}

static void spm_merges_by_score(void **state)
{
    (void)state;
    fix f;
    vm *v = spm_vocab();
    vm_put_bool(v, "tokenizer.ggml.add_bos_token", true);
    fix_open(&f, v);
    EXPECT(&f, "abc", 0, 259, 267);
    EXPECT(&f, "ab", 0, 259, 264);
    EXPECT(&f, "abc", DV_TOK_BOS_EOS, 1, 259, 267);
    EXPECT(&f, "a", 0, 265);
    EXPECT(&f, "", 0, );
    EXPECT(&f, "", DV_TOK_BOS_EOS, 1);
    EXPECT(&f, "  a", 0, 266, 265);
    EXPECT(&f, "\xc3\xa9z\n", 0, 259, 268, 3 + 'z', 3 + '\n');
    EXPECT(&f, "\xe4\xb8\xad\xff", 0, 259, 3 + 0xe4, 3 + 0xb8, 3 + 0xad, 3 + 0xff);
    EXPECT(&f, "<s>", 0, 259, 269, 270);        /* "<" + "s>" would be the control token */
    EXPECT(&f, "<s>a", DV_TOK_SPECIAL, 1, 265); /* behind a whole token a text begins again */
    EXPECT(&f, "<0x41>", 0, 259, 269, 3 + '0', 3 + 'x', 3 + '4', 3 + '1', 3 + '>');
    assert_string_equal(dv_tok_model(f.t), "llama");
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_BOS), 1);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_EOS), 2);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_PAD), -1);
    assert_true(dv_tok_is_eog(f.t, 2));
    check_eog(f.t);
    dv_buf b;
    dv_buf_init(&b, 0);
    encode(&f, "<s>abc a\xe4\xb8\xad", 12, DV_TOK_SPECIAL);
    dv_tok_decode(f.t, f.ids.id, f.ids.len, DV_DETOK_START, &b);
    assert_string_equal(dv_buf_str(&b), "abc a\xe4\xb8\xad");
    dv_buf_clear(&b);
    dv_tok_decode(f.t, f.ids.id, f.ids.len, DV_DETOK_CONTROL, &b);
    assert_string_equal(dv_buf_str(&b), "<s> abc a\xe4\xb8\xad");
    dv_buf_fini(&b);
    fix_close(&f);

    v = spm_vocab();
    vm_put_bool(v, "tokenizer.ggml.add_space_prefix", false);
    vm_put_bool(v, "tokenizer.ggml.add_eos_token", true);
    v->type[3 + 'z'] = DV_TOK_UNUSED;
    v->token[3 + 'z'] = (dv_str){"[gone]", 6};
    fix_open(&f, v);
    EXPECT(&f, "abc", DV_TOK_BOS_EOS, 1, 267, 2);
    EXPECT(&f, "azb", 0, 260, 0, 261); /* no byte token: the unknown one */
    fix_close(&f);
}

static void spm_strips_behind_phi3_tokens(void **state)
{
    (void)state;
    fix f;
    vm *v = spm_vocab();
    vm_put_str(v, "general.name", "Phi-3-mini");
    vm_add(v, "<|user|>", DV_TOK_CONTROL, 0);
    fix_open(&f, v);
    EXPECT(&f, "<|user|> \n a", DV_TOK_SPECIAL, 271, 265);
    EXPECT(&f, "<s> a", DV_TOK_SPECIAL, 1, 259, 265);
    fix_close(&f);
}

static void roles_and_ends(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_bpe("qwen2");
    int32_t text_end = vm_add(v, "<|endoftext|>", DV_TOK_NORMAL, 0), im_end = vm_add(v, "<|im_end|>", DV_TOK_USER, 0);
    int32_t pre = vm_add(v, "<|fim_prefix|>", DV_TOK_CONTROL, 0), html = vm_add(v, "</s>", DV_TOK_NORMAL, 0);
    int32_t file = vm_add(v, "<|file_sep|>", DV_TOK_CONTROL, 0);
    vm_put_u32(v, "tokenizer.ggml.eos_token_id", (uint32_t)im_end);
    vm_put_u32(v, "tokenizer.ggml.bos_token_id", (uint32_t)text_end);
    vm_put_u32(v, "tokenizer.ggml.padding_token_id", 5000);
    vm_put_u32(v, "tokenizer.ggml.seperator_token_id", UINT32_MAX);
    fix_open(&f, v);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_EOS), im_end);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_EOT), im_end);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_BOS), text_end);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_FIM_PRE), pre);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_PAD), -1);
    assert_int_equal(dv_tok_role_id(f.t, DV_TOK_ROLE_N), -1);
    assert_non_null(strstr(dv_tok_note(f.t), "padding_token_id is 5000"));
    assert_true(dv_tok_is_eog(f.t, text_end) && dv_tok_is_eog(f.t, im_end) && dv_tok_is_eog(f.t, file));
    assert_false(dv_tok_is_eog(f.t, html) || dv_tok_is_eog(f.t, -1) || dv_tok_is_eog(f.t, 'a'));
    check_eog(f.t);
    assert_int_equal(dv_tok_type_of(f.t, text_end), DV_TOK_CONTROL); /* whatever the file says */
    assert_int_equal(dv_tok_type_of(f.t, html), DV_TOK_NORMAL);
    assert_int_equal(dv_tok_type_of(f.t, 100000), 0);
    assert_false(dv_tok_adds_bos(f.t));
    fix_close(&f);
}

static void harmony_messages_do_not_end_the_answer(void **state)
{
    (void)state;
    fix f;
    vm *v = vm_bpe("gpt-4o");
    int32_t end = vm_add(v, "<|end|>", DV_TOK_CONTROL, 0), ret = vm_add(v, "<|return|>", DV_TOK_CONTROL, 0);
    int32_t call = vm_add(v, "<|call|>", DV_TOK_CONTROL, 0), channel = vm_add(v, "<|channel|>", DV_TOK_CONTROL, 0);
    vm_put_u32(v, "tokenizer.ggml.eos_token_id", (uint32_t)ret);
    fix_open(&f, v);
    assert_false(dv_tok_is_eog(f.t, end));
    assert_true(dv_tok_is_eog(f.t, ret) && dv_tok_is_eog(f.t, call));
    check_eog(f.t);
    assert_false(dv_tok_is_control(f.t, channel)); /* shown */
    encode(&f, "<|channel|><|end|>", 18, 0);       /* but not to be forged */
    assert_int_equal(f.ids.len, 18);
    fix_close(&f);
}

static void stream_gives_whole_characters(void **state)
{
    (void)state;
    fix f;
    fix_open(&f, vm_bpe("gpt-2"));
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z", "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z"},
        {"\xe4\xb8", "\xef\xbf\xbd"},
        {"\xe4\xb8"
         "a",
         "\xef\xbf\xbd"
         "a"},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\xff\x80z", "\xef\xbf\xbd\xef\xbf\xbdz"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < DV_ARRAY_LEN(rows); i++) {
        dv_buf b;
        dv_detok d;
        dv_buf_init(&b, 0);
        dv_detok_init(&d, f.t, DV_DETOK_START);
        for (size_t k = 0; rows[i].in[k] != 0; k++) {
            dv_detok_push(&d, (unsigned char)rows[i].in[k], &b);
            assert_true(dv_utf8_valid(dv_buf_str(&b), b.len));
        }
        dv_detok_flush(&d, &b);
        assert_string_equal(dv_buf_str(&b), rows[i].out);
        dv_buf_fini(&b);
    }
    fix_close(&f);
}

static void long_runs_take_linear_time(void **state)
{
    (void)state;
    static const char *units[] = {"a",   " ",  "\n", "1", "!", "\xff", "\xe4\xb8\xad", "aA", "\xc3\x89\x41",
                                  " \n", "a ", "<",  "'"};
    size_t n = 1 << 20;
    char *text = malloc(n + 8);
    fix bpe[4], spm;
    static const char *pres[] = {"deepseek-llm", "tekken", "llama-bpe", "default"};
    for (int p = 0; p < 4; p++) {
        vm *v = vm_bpe(pres[p]);
        vm_add(v, "aa", 1, 0), vm_add(v, "aaaa", 1, 0);
        vm_merge(v, "a a"), vm_merge(v, "aa aa"), vm_merge(v, "aaaa aaaa"), vm_merge(v, "\xc4\xa0 \xc4\xa0");
        fix_open(&bpe[p], v);
    }
    vm *v = spm_vocab();
    vm_add(v, "aa", 1, -1), vm_add(v, "aaa", 1, -2), vm_add(v, "aaaa", 1, -3);
    fix_open(&spm, v);
    for (size_t u = 0; u < DV_ARRAY_LEN(units); u++) {
        size_t len = strlen(units[u]);
        for (size_t i = 0; i < n; i += len)
            memcpy(text + i, units[u], len);
        text[n - 1] = 'x';
        clock_t start = clock();
        for (int p = 0; p < 4; p++)
            encode(&bpe[p], text, n, DV_TOK_SPECIAL);
        encode(&spm, text, n, 0);
        /* Quadratic time would be hours; the bound leaves room for sanitizers on a slow machine. */
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 60);
    }
    for (int p = 0; p < 4; p++)
        fix_close(&bpe[p]);
    fix_close(&spm);
    free(text);
}

static void encode_in_thread(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const dv_tok *const *t = arg;
    static const char text[] = "the quick  brown fox's\n\n<|im_end|> 123 \xe4\xb8\xad abcabc";
    dv_ids ids = {0}, again = {0};
    for (int i = 0; i < 20; i++) {
        dv_err err = {0};
        ids.len = 0;
        if (dv_tok_encode(t[part % 2], text, sizeof text - 1, DV_TOK_SPECIAL, &ids, &err) != 0)
            abort();
        if (i == 0 && dv_ids_add(&again, ids.id, ids.len) != 0)
            abort();
        if (ids.len != again.len || memcmp(ids.id, again.id, ids.len * sizeof *ids.id) != 0)
            abort();
    }
    dv_ids_fini(&ids);
    dv_ids_fini(&again);
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    fix bpe, spm;
    dv_pool *pool;
    dv_err err = {0};
    int32_t end, think, lines;
    fix_open(&bpe, trust_vocab("llama-bpe", &end, &think, &lines));
    fix_open(&spm, spm_vocab());
    const dv_tok *t[] = {bpe.t, spm.t};
    assert_int_equal(dv_pool_open(&pool, 4, &err), 0);
    dv_pool_run(pool, encode_in_thread, t, 32);
    dv_pool_close(&pool);
    fix_close(&bpe);
    fix_close(&spm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_by_rank),
        cmocka_unit_test(bpe_whole_words),
        cmocka_unit_test(bpe_lacking_bytes),
        cmocka_unit_test(text_never_becomes_control),
        cmocka_unit_test(parts_are_trusted_apart),
        cmocka_unit_test(whole_tokens_leftmost_longest),
        cmocka_unit_test(spm_merges_by_score),
        cmocka_unit_test(spm_strips_behind_phi3_tokens),
        cmocka_unit_test(roles_and_ends),
        cmocka_unit_test(harmony_messages_do_not_end_the_answer),
        cmocka_unit_test(stream_gives_whole_characters),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(long_runs_take_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
