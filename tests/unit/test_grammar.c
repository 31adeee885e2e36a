/* SPDX-License-Identifier: MIT */
/* Grammars against a matcher that knows nothing of automata: random grammars, random vocabularies, and every token tried at every point of
 * random walks. Then what GBNF texts mean, and what is refused. */
#include "base/rng.h"
#include "grammar_util.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- The other matcher: positions where an expression can end, as bits; hungry if it could go on behind the text. ---- */

enum { MAX_NODES = 200, MAX_RULES = 4, MAX_LEN = 26 };

typedef enum { LIT, CLASS, SEQ, ALT, REPEAT, REF } kind;
typedef struct node {
    kind kind;
    char text[4];
    int kid[3], n_kid, min, max, rule;
} node;

typedef struct toy {
    node node[MAX_NODES];
    int n, root[MAX_RULES], n_rule;
    dv_rng rng;
} toy;

static int make_node(toy *t, node x)
{
    assert_true(t->n < MAX_NODES);
    t->node[t->n] = x;
    return t->n++;
}

static int random_lit(toy *t)
{
    node x = {.kind = LIT};
    for (size_t i = 0, n = 1 + dv_rng_below(&t->rng, 3); i < n; i++)
        x.text[i] = (char)('a' + dv_rng_below(&t->rng, 3));
    return make_node(t, x);
}

static int random_expr(toy *t, int depth)
{
    node x = {0};
    switch (depth == 0 ? dv_rng_below(&t->rng, 2) : dv_rng_below(&t->rng, 7)) {
    case 0: return random_lit(t);
    case 1:
        x.kind = CLASS;
        x.text[0] = (char)('a' + dv_rng_below(&t->rng, 2));
        x.text[1] = (char)(x.text[0] + 1);
        break;
    case 2:
    case 3:
        x.kind = SEQ;
        x.n_kid = 2 + (int)dv_rng_below(&t->rng, 2);
        break;
    case 4:
        x.kind = ALT;
        x.n_kid = 2 + (int)dv_rng_below(&t->rng, 2);
        break;
    case 5:
        x.kind = REPEAT;
        x.n_kid = 1;
        x.min = (int)dv_rng_below(&t->rng, 3);
        x.max = dv_rng_below(&t->rng, 3) == 0 ? -1 : x.min + (int)dv_rng_below(&t->rng, 3);
        break;
    default:
        /* A rule begins with a literal and is optional where it is used, so that nothing is left-recursive or endless. */
        x.kind = REPEAT;
        x.n_kid = 1;
        x.max = 1;
        x.kid[0] = make_node(t, (node){.kind = REF, .rule = (int)dv_rng_below(&t->rng, (uint64_t)t->n_rule)});
        return make_node(t, x);
    }
    for (int i = 0; i < x.n_kid; i++)
        x.kid[i] = random_expr(t, depth - 1);
    return make_node(t, x);
}

static void random_toy(toy *t, uint64_t seed)
{
    t->n = 0;
    dv_rng_seed(&t->rng, seed);
    t->n_rule = 1 + (int)dv_rng_below(&t->rng, MAX_RULES);
    for (int r = 0; r < t->n_rule; r++) {
        node x = {.kind = SEQ, .n_kid = 2};
        x.kid[0] = random_lit(t);
        x.kid[1] = random_expr(t, 2);
        t->root[r] = make_node(t, x);
    }
}

static void print_expr(const toy *t, int i, dv_buf *out)
{
    const node *x = &t->node[i];
    switch (x->kind) {
    case LIT: dv_buf_printf(out, "\"%s\"", x->text); return;
    case CLASS: dv_buf_printf(out, "[%c-%c]", x->text[0], x->text[1]); return;
    case REF: dv_buf_printf(out, x->rule == 0 ? "root" : "r%d", x->rule); return;
    case REPEAT:
        dv_buf_adds(out, "(");
        print_expr(t, x->kid[0], out);
        if (x->max < 0)
            dv_buf_printf(out, "){%d,}", x->min);
        else
            dv_buf_printf(out, "){%d,%d}", x->min, x->max);
        return;
    case SEQ:
    case ALT:
        dv_buf_adds(out, "(");
        for (int k = 0; k < x->n_kid; k++) {
            dv_buf_adds(out, k == 0 ? "" : x->kind == ALT ? " | " : " ");
            print_expr(t, x->kid[k], out);
        }
        dv_buf_adds(out, ")");
        return;
    }
}

static void print_toy(const toy *t, dv_buf *out)
{
    for (int r = 0; r < t->n_rule; r++) {
        if (r == 0)
            dv_buf_adds(out, "root ::= ");
        else
            dv_buf_printf(out, "r%d ::= ", r);
        print_expr(t, t->root[r], out);
        dv_buf_adds(out, "\n");
    }
}

typedef struct input {
    const toy *t;
    const char *p;
    int n;
    bool hungry;
    bool known[MAX_NODES][MAX_LEN + 16]; /* ends from one position */
    uint64_t ends[MAX_NODES][MAX_LEN + 16];
} input;

static uint64_t match(input *in, int i, uint64_t from);

static uint64_t match_repeat(input *in, const node *x, uint64_t from)
{
    uint64_t ends = x->min == 0 ? from : 0, seen = 0;
    for (int k = 1; from != 0 && (x->max < 0 || k <= x->max); k++) {
        from = match(in, x->kid[0], from);
        if (k >= x->min) {
            from &= k > x->min + 64 ? ~seen : UINT64_MAX;
            if (k > x->min && (from & ~seen) == 0)
                return ends | from;
            seen |= from;
            ends |= from;
        }
    }
    return ends;
}

static uint64_t match_chars(input *in, const node *x, uint64_t from)
{
    uint64_t ends = 0;
    const int n = x->kind == LIT ? (int)strlen(x->text) : 1;
    for (int at = 0; at <= in->n; at++) {
        int k = 0;
        if (!(from >> at & 1))
            continue;
        while (
            k < n && at + k < in->n &&
            (x->kind == LIT ? in->p[at + k] == x->text[k] : in->p[at + k] >= x->text[0] && in->p[at + k] <= x->text[1]))
            k++;
        if (k == n)
            ends |= (uint64_t)1 << (at + n);
        else if (at + k == in->n)
            in->hungry = true;
    }
    return ends;
}

static uint64_t match_at(input *in, const node *x, uint64_t from)
{
    uint64_t ends = 0;
    switch (x->kind) {
    case LIT:
    case CLASS: return match_chars(in, x, from);
    case SEQ:
        for (int k = 0; k < x->n_kid; k++)
            from = match(in, x->kid[k], from);
        return from;
    case ALT:
        for (int k = 0; k < x->n_kid; k++)
            ends |= match(in, x->kid[k], from);
        return ends;
    case REPEAT: return match_repeat(in, x, from);
    case REF: return match(in, in->t->root[x->rule], from);
    }
    return 0;
}

static uint64_t match(input *in, int i, uint64_t from)
{
    uint64_t ends = 0;
    for (int at = 0; at <= in->n; at++) {
        if (!(from >> at & 1))
            continue;
        if (!in->known[i][at]) {
            in->ends[i][at] = match_at(in, &in->t->node[i], (uint64_t)1 << at);
            in->known[i][at] = true;
        }
        ends |= in->ends[i][at];
    }
    return ends;
}

/* 0: no beginning of a text of the grammar; 1: a beginning; 3: also a whole text. */
static int judge(const toy *t, const char *p, size_t n)
{
    static input in;
    memset(&in, 0, sizeof in);
    in.t = t;
    in.p = p;
    in.n = (int)n;
    const uint64_t ends = match(&in, t->root[0], 1);
    return ends >> n & 1 ? 3 : in.hungry ? 1 : 0;
}

/* ---- Comparing ---- */

enum { N_TOKENS = 60 };

static dv_grammar_vocab *random_vocab(dv_rng *rng, char text[N_TOKENS][8])
{
    dv_grammar_token token[N_TOKENS] = {0};
    dv_grammar_vocab *v = NULL;
    for (int i = 0; i < N_TOKENS; i++) {
        const size_t n = i < 4 ? 1 : 1 + dv_rng_below(rng, 6);
        for (size_t k = 0; k < n; k++)
            text[i][k] = (char)('a' + (i < 4 ? (uint64_t)i : dv_rng_below(rng, 4)));
        token[i] = (dv_grammar_token){.p = text[i], .n = n};
    }
    token[N_TOKENS - 1].special = token[N_TOKENS - 1].end = true;
    token[N_TOKENS - 2].special = true;
    token[N_TOKENS - 3].n = 0;
    assert_int_equal(dv_grammar_vocab_open(&v, token, N_TOKENS, NULL), 0);
    return v;
}

static bool allowed(const uint32_t *mask, int id) { return mask[id / 32] >> id % 32 & 1; }

static void check_token(const toy *t, const dv_grammar_state *s, const uint32_t *mask, int id, const char *text,
                        const char *token)
{
    char all[MAX_LEN + 16];
    const size_t n = (size_t)snprintf(all, sizeof all, "%s%.*s", text, id == N_TOKENS - 3 ? 0 : 8, token);
    bool want = judge(t, all, n) != 0;
    if (id == N_TOKENS - 1)
        want = judge(t, text, strlen(text)) == 3;
    else if (id >= N_TOKENS - 3)
        want = false;
    if (allowed(mask, id) != want) {
        dv_buf g;
        dv_buf_init(&g, 0);
        print_toy(t, &g);
        print_message("%s after '%s' token %d '%s': %d\n", dv_buf_str(&g), text, id, token, want);
        dv_buf_fini(&g);
    }
    assert_int_equal(allowed(mask, id), want);
    dv_grammar_state copy;
    dv_grammar_state_copy(&copy, s);
    assert_int_equal(dv_grammar_state_accept(&copy, id, NULL), want ? 0 : DV_EINVAL);
    dv_grammar_state_fini(&copy);
}

static void compare_walk(const toy *t, dv_grammar *g, dv_grammar_vocab *v, char token[N_TOKENS][8], dv_rng *rng)
{
    char text[MAX_LEN + 16] = "";
    uint32_t mask[2];
    dv_grammar_state s;
    assert_int_equal(dv_grammar_state_init(&s, g, v, NULL), 0);
    while (!dv_grammar_state_is_done(&s) && strlen(text) < MAX_LEN - 8) {
        int ids[N_TOKENS], n = 0;
        assert_int_equal(dv_grammar_state_mask(&s, mask, NULL), 0);
        assert_int_equal(dv_grammar_state_can_end(&s), judge(t, text, strlen(text)) == 3);
        for (int i = 0; i < N_TOKENS; i++) {
            check_token(t, &s, mask, i, text, token[i]);
            if (allowed(mask, i))
                ids[n++] = i;
        }
        dv_buf forced;
        dv_buf_init(&forced, 0);
        assert_int_equal(dv_grammar_state_forced(&s, 8, &forced, NULL), 0);
        for (size_t i = 0; i < forced.len; i++) {
            char all[MAX_LEN + 16];
            for (char c = 'a'; c <= 'd'; c++) {
                const int k = snprintf(all, sizeof all, "%s%.*s%c", text, (int)i, forced.data, c);
                assert_int_equal(judge(t, all, (size_t)k) != 0, c == forced.data[i]);
            }
        }
        dv_buf_fini(&forced);
        assert_true(n > 0);
        const int id = ids[dv_rng_below(rng, (uint64_t)n)];
        assert_int_equal(dv_grammar_state_accept(&s, id, NULL), 0);
        if (id < N_TOKENS - 3)
            strncat(text, token[id], 8);
    }
    dv_grammar_state_fini(&s);
}

static void masks_equal_trying_every_token(void **state)
{
    toy *t = malloc(sizeof *t);
    for (uint64_t seed = 1; seed <= 600; seed++) {
        char token[N_TOKENS][8] = {{0}};
        dv_grammar *g;
        dv_buf text;
        dv_err err = {0};
        random_toy(t, seed);
        dv_buf_init(&text, 0);
        print_toy(t, &text);
        if (dv_grammar_from_gbnf(&g, text.data, text.len, NULL, &err) != 0)
            fail_msg("%s: %s", text.data, err.msg);
        dv_grammar_vocab *v = random_vocab(&t->rng, token);
        for (int k = 0; k < 4; k++)
            compare_walk(t, g, v, token, &t->rng);
        dv_grammar_unref(&g);
        dv_grammar_vocab_unref(&v);
        dv_buf_fini(&text);
    }
    free(t);
}

/* ---- GBNF ---- */

static void matches(const char *grammar, const char *const *yes, const char *const *no)
{
    dv_err err = {0};
    dv_grammar *g;
    if (dv_grammar_from_gbnf(&g, grammar, strlen(grammar), NULL, &err) != 0)
        fail_msg("%s: %s", grammar, err.msg);
    for (; *yes != NULL; yes++)
        if (!gu_matches(g, *yes, strlen(*yes)))
            fail_msg("%s refuses '%s'", grammar, *yes);
    for (; *no != NULL; no++)
        if (gu_matches(g, *no, strlen(*no)))
            fail_msg("%s accepts '%s'", grammar, *no);
    dv_grammar_unref(&g);
}

#define MATCHES(grammar, ...) matches(grammar, (const char *[]){__VA_ARGS__, NULL}, (const char *[]){REFUSED, NULL})

static void gbnf_means_what_it_says(void **state)
{
#define REFUSED "", "ab", "\xc3", "\xff"
    MATCHES("root ::= [^a]", "b", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80");
    MATCHES("root ::= .", "a", "\n", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf");
#undef REFUSED
#define REFUSED "", "a", "aaaaa", "b"
    MATCHES("root ::= \"a\"{2,4}", "aa", "aaa", "aaaa");
    MATCHES("root ::= \"a\" a\na ::= \"a\" (\"a\" \"a\"?)?", "aa", "aaa", "aaaa");
#undef REFUSED
#define REFUSED "x", "\"", "\\", "\xc3\xa9x", "-", "q", "\xed\xa0\x80"
    MATCHES("root ::= \"\\x41\\u00e9\\U0001F600\\t\\n\\r\\\"\\\\\"", "A\xc3\xa9\xf0\x9f\x98\x80\t\n\r\"\\");
    MATCHES("root ::= [a\\-\\]] [\\u00e0-\\u00ef] [0-9-]", "-\xc3\xa9-",
            "]\xc3\xa0"
            "7");
    MATCHES("# begins\n\nroot  ::= # why\n  yes # x\n\nyes-no ::= \"b\"\nyes ::= (\n  \"a\" | # one\n  yes-no\n)+", "a",
            "ba", "aab");
    MATCHES("root ::= ()", "");
    MATCHES("root ::= \"a\" |", "", "a");
    MATCHES("root ::= (\"a\"*)* (\"b\"?){0,3} c*\nc ::= \"c\"? ", "", "aaabbc", "cccc", "b");
    MATCHES("root ::= [a] root | \"b\"", "b", "aaaaab");
    MATCHES("root ::= \"(\" root \")\" root | \"\"", "", "()", "(())()", "((()))");
    MATCHES("root ::= [\\u0000-\\U0010FFFF] \"z\"", "az", "\xee\x80\x80z", "-z");
#undef REFUSED
#define REFUSED "a", "ab", "ba", "aaab"
    MATCHES("root ::= e{0,} \"b\"\ne ::= | \"a\" e \"a\"", "b", "aab", "aaaab");
#undef REFUSED
}

static void refused(const char *grammar, int code, const char *part)
{
    dv_err err = {0};
    dv_grammar *g;
    assert_int_equal(dv_grammar_from_gbnf(&g, grammar, strlen(grammar), NULL, &err), code);
    assert_null(g);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: '%s' does not say '%s'", grammar, err.msg, part);
}

static void bad_gbnf_is_refused_by_name(void **state)
{
    refused("", DV_EINVAL, "'root' is not defined");
    refused("foo ::= \"a\"", DV_EINVAL, "'root' is not defined");
    refused("root ::= foo", DV_EINVAL, "'foo' is not defined");
    refused("root ::= \"a", DV_EFORMAT, "line 1, column 12");
    refused("root ::= [a", DV_EFORMAT, "column 12");
    refused("root ::= [z-a]", DV_EFORMAT, "range");
    refused("root ::= \"a\"{3,2}", DV_EFORMAT, "column 13");
    refused("root ::= \"a\"{99999999999}", DV_EFORMAT, "too large");
    refused("root ::= \"a\"{,2}", DV_EFORMAT, "number");
    refused("root ::= (\"a\"", DV_EFORMAT, "parenthesis");
    refused("root ::= \"a\")", DV_EFORMAT, "end of the rule");
    refused("root ::= * \"a\"", DV_EFORMAT, "missing");
    refused("root = \"a\"", DV_EFORMAT, "'::='");
    refused("root ::= \"\\q\"", DV_EFORMAT, "escape");
    refused("root ::= \"\\uD800\"", DV_EFORMAT, "Unicode");
    refused("root ::= \"\\x4\"", DV_EFORMAT, "hexadecimal");
    refused("root ::= \"\xff\"", DV_EFORMAT, "UTF-8");
    refused("root ::= \"a\"\nroot ::= \"b\"", DV_EFORMAT, "line 2, column 1");
    refused("root ::= ! \"a\"", DV_EFORMAT, "'!'");
    refused("root ::= <[1>", DV_EFORMAT, "']>'");
    refused("root ::= <a", DV_EFORMAT, "'>'");
    refused("root ::= root | \"a\"", DV_EINVAL, "'root' is left-recursive");
    refused("root ::= a\na ::= b \"x\" | \"y\"\nb ::= \"q\"? a", DV_EINVAL, "left-recursive");
    refused("root ::= \"a\" b\nb ::= \"c\" b", DV_EINVAL, "'b' never ends");
    refused("root ::= [a] b | [c] []\nb ::= \"c\" b", DV_EINVAL, "nothing matches");
}

static void hostile_grammars_end_in_a_limit(void **state)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    refused("root ::= (((\"a\"{100}){100}){100}){100}", DV_ELIMIT, "");
    refused("root ::= ([a-z]{0,100000}){0,100000}", DV_ELIMIT, "");
    refused("root ::= [ab]* \"a\" [ab]{60}", DV_ELIMIT, "");
    for (int i = 0; i < 300000; i++)
        dv_buf_adds(&b, i == 0 ? "root ::= \"a\"" : "*");
    refused(b.data, DV_ELIMIT, "nested");
    dv_buf_clear(&b);
    dv_buf_adds(&b, "root ::= ");
    for (int i = 0; i < 100000; i++)
        dv_buf_adds(&b, "(");
    refused(b.data, DV_ELIMIT, "nested");
    dv_buf_clear(&b);
    for (int i = 0; i < 15000; i++)
        dv_buf_printf(&b, i == 0 ? "root ::= r1 | \"x\"\n" : "r%d ::= r%d | r%d\n", i, i + 1, i + 2);
    dv_buf_adds(&b, "r15000 ::= \"a\"\nr15001 ::= r1");
    refused(b.data, DV_EINVAL, "left-recursive");
    dv_buf_clear(&b);
    while (b.len <= 1 << 20)
        dv_buf_adds(&b, "# a comment\n");
    refused(b.data, DV_ELIMIT, "bytes");
    dv_buf_fini(&b);
}

/* Every allocation fails in turn; nothing stays behind. */
static void out_of_memory_is_an_error(void **state)
{
    static const char text[] = "root ::= (\"a\" x){1,3} [^b]\nx ::= \"(\" root \")\" | \"\"";
    const size_t used = dv_mem_used(DV_MEM_CAT_N);
    int failed = 0;
    for (uint64_t n = 1;; n++) {
        dv_grammar *g = NULL;
        dv_grammar_vocab *v = NULL;
        dv_grammar_state s = {0};
        uint32_t mask[16];
        dv_mem_fail_after(n);
        int rc = gu_byte_vocab(&v);
        rc = rc != 0 ? rc : dv_grammar_from_gbnf(&g, text, sizeof text - 1, NULL, NULL);
        rc = rc != 0 ? rc : dv_grammar_state_init(&s, g, v, NULL);
        for (const char *p = "a(ax)"; rc == 0 && *p != 0; p++) {
            rc = dv_grammar_state_mask(&s, mask, NULL);
            rc = rc != 0 ? rc : dv_grammar_state_accept(&s, *p, NULL);
        }
        dv_mem_fail_after(0);
        dv_grammar_state_fini(&s);
        dv_grammar_unref(&g);
        dv_grammar_vocab_unref(&v);
        assert_int_equal(dv_mem_used(DV_MEM_CAT_N), used);
        if (rc == 0)
            break;
        assert_int_equal(rc, DV_ENOMEM);
        failed++;
    }
    assert_true(failed > 50);
}

static void logits_are_masked(void **state)
{
    (void)state;
    for (size_t n = 1; n < 70; n += 3) {
        uint32_t mask[3] = {0xdeadbeef, 0x12345678, 0xffffffff};
        float logits[72];
        size_t allowed = 0;
        for (size_t i = 0; i < 72; i++)
            logits[i] = (float)i;
        size_t told = dv_grammar_mask_logits(mask, logits, n);
        for (size_t i = 0; i < 72; i++) {
            bool set = i >= n || (mask[i / 32] >> (i % 32) & 1) != 0;
            allowed += set && i < n;
            assert_true(set ? logits[i] == (float)i : logits[i] == -INFINITY);
        }
        assert_int_equal(told, allowed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_equal_trying_every_token),
        cmocka_unit_test(gbnf_means_what_it_says),
        cmocka_unit_test(bad_gbnf_is_refused_by_name),
        cmocka_unit_test(hostile_grammars_end_in_a_limit),
        cmocka_unit_test(logits_are_masked),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
