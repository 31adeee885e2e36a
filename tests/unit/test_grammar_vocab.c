/* SPDX-License-Identifier: MIT */
/* Masks on real vocabularies: at every step of a random walk they say of every token what trying it says. And several threads on one grammar.
 * The larger vocabularies are in a folder shared by several projects; without it only the model in the repository is used. */
#include "base/rng.h"
#include "gguf/gguf.h"
#include "grammar/grammar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <pthread.h>

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":9},\"n\":{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":3},\"minItems\":1,\"maxItems\":2},\"any\":{},"
    "\"map\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"null\"}}},\"required\":[\"name\",\"tags\",\"map\"]}";

typedef struct model {
    dv_gguf *file;
    dv_tok *tok;
    dv_grammar_vocab *v;
} model;

static bool open_model(model *m, const char *path)
{
    struct stat st;
    dv_err err = {0};
    *m = (model){0};
    if (stat(path, &st) != 0)
        return false;
    if (dv_gguf_open(&m->file, path, &err) != 0 || dv_tok_open(&m->tok, m->file, &err) != 0 ||
        dv_grammar_vocab_from_tok(&m->v, m->tok, &err) != 0)
        fail_msg("%s: %s", path, err.msg);
    return true;
}

static void close_model(model *m)
{
    dv_grammar_vocab_unref(&m->v);
    dv_tok_close(&m->tok);
    dv_gguf_close(&m->file);
}

static dv_grammar *compile(void)
{
    dv_grammar *g = NULL;
    json_t *j = json_loads(schema, 0, NULL);
    assert_int_equal(dv_grammar_from_schema(&g, j, NULL, NULL, NULL), 0);
    json_decref(j);
    return g;
}

static bool bit(const uint32_t *mask, size_t i) { return mask[i / 32] >> i % 32 & 1; }

/* Every token that is allowed, and one of `every` of the others; the copy's machine is that of the state, so trying fills its tables. */
static void try_all(const dv_grammar_state *s, const uint32_t *mask, size_t n, size_t every, dv_rng *rng)
{
    for (size_t i = dv_rng_below(rng, every); i < n; i += every) {
        dv_grammar_state copy;
        dv_grammar_state_copy(&copy, s);
        const int rc = dv_grammar_state_accept(&copy, (int32_t)i, NULL);
        if ((rc == 0) != bit(mask, i))
            fail_msg("token %zu: mask %d, accept %d", i, bit(mask, i), rc);
        dv_grammar_state_fini(&copy);
    }
}

static void walk(model *m, dv_grammar *g, uint64_t seed, size_t every)
{
    const size_t n = dv_grammar_vocab_n(m->v);
    uint32_t *mask = calloc(dv_grammar_mask_words(n), sizeof *mask);
    int32_t *ids = calloc(n, sizeof *ids);
    dv_grammar_state s;
    dv_rng rng;
    dv_rng_seed(&rng, seed);
    assert_int_equal(dv_grammar_state_init(&s, g, m->v, NULL), 0);
    for (int step = 0; step < 60 && !dv_grammar_state_is_done(&s); step++) {
        size_t k = 0;
        assert_int_equal(dv_grammar_state_mask(&s, mask, NULL), 0);
        if (every > 0)
            try_all(&s, mask, n, every, &rng);
        for (size_t i = 0; i < n; i++)
            if (bit(mask, i))
                ids[k++] = (int32_t)i;
        assert_true(k > 0);
        const int32_t id = ids[dv_rng_below(&rng, k)];
        assert_true(!dv_tok_is_control(m->tok, id) || dv_tok_is_eog(m->tok, id));
        assert_false(dv_tok_is_markup(m->tok, id));
        assert_int_equal(dv_grammar_state_accept(&s, id, NULL), 0);
    }
    dv_grammar_state_fini(&s);
    free(ids);
    free(mask);
}

static void masks_of_the_bundled_model(void **state)
{
    model m;
    dv_grammar *g = compile();
    assert_true(open_model(&m, "models/pocket-dictionary.gguf"));
    for (uint64_t seed = 1; seed <= 3; seed++)
        walk(&m, g, seed, 1);
    dv_grammar_unref(&g);
    close_model(&m);
}

static void masks_of_large_vocabularies(void **state)
{
    static const char *const names[] = {"llama-bpe", "qwen2", "phi-3", "llama-spm"};
    const char *dir = getenv("DV_SHARED_VOCAB");
    int n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096];
        model m;
        snprintf(path, sizeof path, "%s/%s.gguf", dir != NULL ? dir : DV_SHARED_VOCAB_DIR, names[i]);
        if (!open_model(&m, path))
            continue;
        dv_grammar *g = compile();
        walk(&m, g, i + 1, 37);
        dv_grammar_unref(&g);
        close_model(&m);
        n++;
    }
    if (n == 0) /* not by skip(): what cmocka prints for it counts as a failure */
        print_message("# there are no large vocabularies here\n");
}

typedef struct job {
    model *m;
    dv_grammar *g;
    uint64_t seed;
} job;

static void *run_job(void *arg)
{
    job *j = arg;
    walk(j->m, j->g, j->seed, 0);
    return NULL;
}

static void threads_share_a_grammar(void **state)
{
    model m;
    pthread_t thread[4];
    job jobs[4];
    dv_grammar *g = compile();
    assert_true(open_model(&m, "models/pocket-dictionary.gguf"));
    for (int i = 0; i < 4; i++) {
        jobs[i] = (job){&m, g, (uint64_t)i};
        assert_int_equal(pthread_create(&thread[i], NULL, run_job, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    dv_grammar_unref(&g);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_of_the_bundled_model),
        cmocka_unit_test(masks_of_large_vocabularies),
        cmocka_unit_test(threads_share_a_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
