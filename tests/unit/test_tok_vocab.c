/* SPDX-License-Identifier: MIT */
/* Real tokenizers against their expected ids: NAME.gguf, NAME.gguf.inp (texts) and NAME.gguf.out (a line of ids each).
 * The folder is shared by several projects and no part of this one: without it the test is skipped, but a file that is
 * missing from it is a failure. */
#include "base/buf.h"
#include "base/file.h"
#include "tok/tok.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char separator[] = "\n__ggml_vocab_test__\n";

static const char *folder(void)
{
    const char *dir = getenv("DV_SHARED_VOCAB");
    return dir != NULL ? dir : DV_SHARED_VOCAB_DIR;
}

static void read_all(dv_buf *b, const char *name, const char *suffix)
{
    char path[4096];
    dv_err err = {0};
    snprintf(path, sizeof path, "%s/%s.gguf%s", folder(), name, suffix);
    dv_buf_init(b, 0);
    if (dv_file_read(b, path, &err) != 0)
        fail_msg("%s: %s", path, err.msg);
}

/* The ids of one line, and the start of the next line. */
static const char *parse_line(const char *p, dv_ids *ids)
{
    ids->len = 0;
    while (*p != 0 && *p != '\n') {
        char *end;
        int32_t id = (int32_t)strtol(p, &end, 10);
        assert_true(end > p);
        assert_int_equal(dv_ids_add(ids, &id, 1), 0);
        p = end + strspn(end, " ");
    }
    return *p == '\n' ? p + 1 : p;
}

static void ids_equal_the_expected_ones(void **state)
{
    const char *name = *state;
    char path[4096];
    dv_buf inp, out;
    dv_err err = {0};
    dv_gguf *g = NULL;
    dv_tok *t = NULL;
    read_all(&inp, name, ".inp");
    read_all(&out, name, ".out");
    snprintf(path, sizeof path, "%s/%s.gguf", folder(), name);
    if (dv_gguf_open(&g, path, &err) != 0 || dv_tok_open(&t, g, &err) != 0)
        fail_msg("%s", err.msg);
    assert_string_equal(dv_tok_note(t), "");

    dv_ids want = {0}, got = {0};
    size_t n = 0;
    const char *text = inp.data, *line = out.data;
    for (const char *end;
         (end = memmem(text, (size_t)(inp.data + inp.len - text), separator, sizeof separator - 1)) != NULL; n++) {
        line = parse_line(line, &want);
        got.len = 0;
        assert_int_equal(dv_tok_encode(t, text, (size_t)(end - text), 0, &got, &err), 0);
        if (got.len != want.len || memcmp(got.id, want.id, got.len * sizeof *got.id) != 0)
            fail_msg("text %zu: \"%.*s\"", n, (int)(end - text), text);
        text = end + sizeof separator - 1;
    }
    assert_true(n >= 40);
    assert_int_equal(*line, 0);
    dv_ids_fini(&want);
    dv_ids_fini(&got);
    dv_buf_fini(&inp);
    dv_buf_fini(&out);
    dv_tok_close(&t);
    dv_gguf_close(&g);
}

int main(void)
{
#define ROW(name)                                                                     \
    {                                                                                 \
        "ids_" name, ids_equal_the_expected_ones, NULL, NULL, (void *)(uintptr_t)name \
    }
    const struct CMUnitTest tests[] = {ROW("deepseek-llm"), ROW("gpt-2"), ROW("llama-bpe"),
                                       ROW("llama-spm"),    ROW("phi-3"), ROW("qwen2")};
    struct stat st;
    if (stat(folder(), &st) != 0) { /* not by skip(): what cmocka prints for it counts as a failure */
        printf("1..0 # SKIP %s does not exist\n", folder());
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
