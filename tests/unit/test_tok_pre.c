/* SPDX-License-Identifier: MIT */
/* How every pre-tokenizer cuts texts into words. The words are written with a bar between them. They agree with llama.cpp
 * (tests/peer/tokenize.py compares at length), also where the model's own tokenizer differs: tekken and gpt-4o know no case
 * of letters outside ASCII there, so "\u00c9COLE" is cut. */
#include "tok/pre.h"
#include "vocab_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct row {
    const char *pre;
    const char *text;
    const char *words;
} row;

#define SPACE "a  b   c \n  d\t\te\n\n\nf \r\n g\xc2\xa0\xe3\x80\x80h "
#define WORD                                             \
    "I'm we'LL it'S don't x's 'tis caf\xc3\xa9 \xc3\x89" \
    "COLE camelCase"
#define NUMBER "a1 12345 3.14 \xd9\xa3\xd9\xa4 \xe2\x85\xa7x"
#define PUNCT "a!? (b) ...c $5+6 ~/d e_f #g\n\xe3\x80\x82h"
#define HAN                                \
    "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" \
    "apple\xe5\xb7\xa5\xe4\xbd\x9c 12\xe5\xa4\xa9 \xed\x95\x9c\xea\xb5\xad \xe3\x81\x82\xe3\x82\xa2"
#define MARK "e\xcc\x81x \xe0\xa4\xb9\xe0\xa4\xbf \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80 \x01\x02"

/* clang-format off */
static const row rows[] = {
    {"default", SPACE, "a| | b|  | c| \n | d|\t|\t|e|\n\n|\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80|h| "},
    {"default", WORD, "I|'|m| we|'|LL| it|'|S| don|'|t| x|'|s| |'|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"default", NUMBER, "a|1| |123|45| |3|.|14| |\xd9\xa3\xd9\xa4| |\xe2\x85\xa7|x"},
    {"default", PUNCT, "a|!?| |(|b|)| |...|c| |$|5|+|6| |~/|d| e|_|f| |#|g|\n|\xe3\x80\x82|h"},
    {"default", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"default", MARK, "e|\xcc\x81|x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"gpt-2", SPACE, "a| | b|  | c| \n | d|\t|\t|e|\n\n|\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80|h| "},
    {"gpt-2", WORD, "I|'m| we|'|LL| it|'|S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"gpt-2", NUMBER, "a|1| 12345| 3|.|14| \xd9\xa3\xd9\xa4| \xe2\x85\xa7|x"},
    {"gpt-2", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_|f| #|g|\n|\xe3\x80\x82|h"},
    {"gpt-2", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| 12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"gpt-2", MARK, "e|\xcc\x81|x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"llama-bpe", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"llama-bpe", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"llama-bpe", NUMBER, "a|1| |123|45| |3|.|14| |\xd9\xa3\xd9\xa4| |\xe2\x85\xa7|x"},
    {"llama-bpe", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"llama-bpe", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"llama-bpe", MARK, "e|\xcc\x81x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"qwen2", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"qwen2", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"qwen2", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"qwen2", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"qwen2", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"qwen2", MARK, "e|\xcc\x81x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"qwen35", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"qwen35", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"qwen35", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"qwen35", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"qwen35", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"qwen35", MARK, "e\xcc\x81x| \xe0\xa4\xb9\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"deepseek-llm", SPACE, "a| | b|  | c| |\n| | d|\t|\te|\n|\n|\n|f| |\r|\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"deepseek-llm", WORD, "I|'|m| we|'|LL| it|'|S| don|'|t| x|'|s| '|tis| caf|\xc3\xa9| \xc3\x89|COLE| camelCase"},
    {"deepseek-llm", NUMBER, "a|1| |12345| |3|.|14| |\xd9\xa3\xd9\xa4| |\xe2\x85\xa7|x"},
    {"deepseek-llm", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_|f| #|g|\n|\xe3\x80\x82|h"},
    {"deepseek-llm", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8|apple|\xe5\xb7\xa5\xe4\xbd\x9c| |12|\xe5\xa4\xa9| |\xed\x95\x9c\xea\xb5\xad| |\xe3\x81\x82\xe3\x82\xa2"},
    {"deepseek-llm", MARK, "e|\xcc\x81|x| |\xe0\xa4\xb9\xe0\xa4\xbf| \xf0\x9f\x98\x80|\xe2\x80\x8d|\xf0\x9f\x98\x80 \x01\x02"},
    {"deepseek-coder", SPACE, "a| | b|  | c| |\n| | d|\t|\te|\n|\n|\n|f| |\r|\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"deepseek-coder", WORD, "I|'|m| we|'|LL| it|'|S| don|'|t| x|'|s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"deepseek-coder", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"deepseek-coder", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~|/|d| e|_|f| #|g|\n|\xe3\x80\x82|h"},
    {"deepseek-coder", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8|apple|\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| |\xed\x95\x9c\xea\xb5\xad| |\xe3\x81\x82\xe3\x82\xa2"},
    {"deepseek-coder", MARK, "e|\xcc\x81|x| |\xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80|\xe2\x80\x8d|\xf0\x9f\x98\x80 \x01\x02"},
    {"deepseek-v3", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"deepseek-v3", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"deepseek-v3", NUMBER, "a|1| |123|45| |3|.|14| |\xd9\xa3\xd9\xa4| |\xe2\x85\xa7|x"},
    {"deepseek-v3", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82|h"},
    {"deepseek-v3", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8|apple|\xe5\xb7\xa5\xe4\xbd\x9c| |12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| |\xe3\x81\x82\xe3\x82\xa2"},
    {"deepseek-v3", MARK, "e\xcc\x81x| \xe0\xa4\xb9\xe0\xa4\xbf| \xf0\x9f\x98\x80|\xe2\x80\x8d|\xf0\x9f\x98\x80| |\x01\x02"},
    {"smollm", SPACE, "a| | b|  | c| \n | d|\t|\t|e|\n\n|\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80|h| "},
    {"smollm", WORD, "I|'m| we|'|LL| it|'|S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"smollm", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"smollm", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_|f| #|g|\n|\xe3\x80\x82|h"},
    {"smollm", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"smollm", MARK, "e|\xcc\x81|x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"falcon", SPACE, "a| | b|  | c| \n | d|\t|\t|e|\n\n|\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80|h| "},
    {"falcon", WORD, "I|'|m| we|'|LL| it|'|S| don|'|t| x|'|s| |'|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"falcon", NUMBER, "a|1| |123|45| 3|.|14| \xd9\xa3\xd9\xa4| \xe2\x85\xa7|x"},
    {"falcon", PUNCT, "a|!?| |(|b|)| |...|c| |$|5|+|6| |~/|d| e|_|f| |#|g|\n|\xe3\x80\x82|h"},
    {"falcon", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| 12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"falcon", MARK, "e|\xcc\x81|x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"tekken", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"tekken", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89|COLE| camel|Case"},
    {"tekken", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"tekken", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"tekken", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"tekken", MARK, "e|\xcc\x81x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"gpt-4o", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"gpt-4o", WORD, "I'm| we'LL| it'S| don't| x's| '|tis| caf\xc3\xa9| \xc3\x89|COLE| camel|Case"},
    {"gpt-4o", NUMBER, "a|1| |123|45| |3|.|14| |\xd9\xa3\xd9\xa4| |\xe2\x85\xa7|x"},
    {"gpt-4o", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"gpt-4o", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |12|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"gpt-4o", MARK, "e|\xcc\x81x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"seed-coder", SPACE, "a| | b|  | c| \n| | d|\t|\te|\n\n\n|f| \r\n| g|\xc2\xa0|\xe3\x80\x80h| "},
    {"seed-coder", WORD, "I|'m| we|'LL| it|'S| don|'t| x|'s| '|tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"seed-coder", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"seed-coder", PUNCT, "a|!?| (|b|)| ...|c| $|5|+|6| ~/|d| e|_f| #|g|\n|\xe3\x80\x82h"},
    {"seed-coder", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"seed-coder", MARK, "e|\xcc\x81x| \xe0\xa4\xb9|\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"bloom", SPACE, "a| | b|  | c| \n | d|\t\t|e|\n\n\n|f| \r\n| g|\xc2\xa0\xe3\x80\x80|h| "},
    {"bloom", WORD, "I'm| we'LL| it'S| don't| x's| 'tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"bloom", NUMBER, "a1| 12345| 3|.|14| \xd9\xa3\xd9\xa4| \xe2\x85\xa7x"},
    {"bloom", PUNCT, "a|!? (|b|) ...|c| $5+6| ~/d| e_f| #g|\n\xe3\x80\x82|h"},
    {"bloom", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| 12\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"bloom", MARK, "e\xcc\x81x| \xe0\xa4\xb9\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
    {"viking", SPACE, "a| | b|  | c| \n | d|\t\t|e|\n\n\n|f| \r\n| g|\xc2\xa0\xe3\x80\x80|h| "},
    {"viking", WORD, "I'm| we'LL| it'S| don't| x's| 'tis| caf\xc3\xa9| \xc3\x89" "COLE| camelCase"},
    {"viking", NUMBER, "a|1| |1|2|3|4|5| |3|.|1|4| |\xd9\xa3|\xd9\xa4| |\xe2\x85\xa7|x"},
    {"viking", PUNCT, "a|!? (|b|) ...|c| $|5|+|6| ~/d| e_f| #g|\n\xe3\x80\x82|h"},
    {"viking", HAN, "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8" "apple\xe5\xb7\xa5\xe4\xbd\x9c| |1|2|\xe5\xa4\xa9| \xed\x95\x9c\xea\xb5\xad| \xe3\x81\x82\xe3\x82\xa2"},
    {"viking", MARK, "e\xcc\x81x| \xe0\xa4\xb9\xe0\xa4\xbf| \xf0\x9f\x98\x80\xe2\x80\x8d\xf0\x9f\x98\x80| \x01\x02"},
};
/* clang-format on */

static void words_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vm *v = vm_bpe(rows[i].pre);
        dv_gguf *g;
        dv_tok *t;
        dv_err err = {0};
        if (vm_open(v, &g, &t, &err) != 0)
            fail_msg("%s: %s", rows[i].pre, err.msg);
        dv__work w;
        dv__work_init(&w, NULL);
        assert_int_equal(dv__pre_split(t->pre, &w, rows[i].text, strlen(rows[i].text), &err), 0);
        dv_buf b;
        dv_buf_init(&b, 0);
        size_t at = 0;
        for (size_t k = 0; k < w.n_cut; k++) {
            if (k > 0)
                dv_buf_addc(&b, '|');
            dv_buf_add(&b, rows[i].text + at, w.cut[k]);
            at += w.cut[k];
        }
        assert_int_equal(at, strlen(rows[i].text));
        if (strcmp(dv_buf_str(&b), rows[i].words) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", rows[i].pre, b.data, rows[i].words);
        dv_buf_fini(&b);
        dv__work_fini(&w);
        dv_tok_close(&t);
        dv_gguf_close(&g);
        vm_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_are_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
