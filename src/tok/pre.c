/* SPDX-License-Identifier: MIT */
/* The known pre-tokenizers and their expressions. They are those of the models' own tokenizers as llama.cpp runs them,
 * so that ids agree with what GGUF users expect. Written for PCRE2 with three rules:
 * - white space is an explicit class (Unicode's White_Space), as \s of PCRE2 and of other engines differ in U+0085
 *   and U+180E;
 * - nothing may backtrack more than once over a stretch, or hold one stack frame per character: a text of a million
 *   equal characters takes linear time;
 * - end of input means the end of the piece that the former expression left. */
#include "tok/pre.h"

#include "base/err.h"
#include "tok/vocab.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_RE = 6, MATCH_LIMIT = 50 * 1000 * 1000 };

#define WS "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S "[" WS "]"
#define NOT_S "[^" WS "]"
/* The last alternatives of most: lines with the white space before them; of a run all but the last, if a word follows. */
#define LINES S "*[\\r\\n]+"
#define SPACES S "+(?!" NOT_S ")|" S "+"
#define APOSTROPHE "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"

#define GPT2 "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" SPACES
#define CL100K(digits, tail) \
    APOSTROPHE "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^" WS "\\p{L}\\p{N}]+" tail "|" LINES "|" SPACES
#define LLAMA3 CL100K("\\p{N}{1,3}", "[\\r\\n]*")
#define QWEN2 CL100K("\\p{N}", "[\\r\\n]*")
#define QWEN35 \
    APOSTROPHE "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" WS "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" SPACES

/* Words begin at an upper-case letter. Only ASCII letters have a case here: the others count as both. Marks are no
 * letters. */
#define UPPER "[^a-z\\P{L}]"
#define LOWER "[^A-Z\\P{L}]"
#define CASED(suffix, digits)                                                                                \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix \
    "|" digits "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n/]*|" LINES "|" SPACES

/* U+0800 to U+4E00 without the white space in it, ideographs, and Hangul to the end of its plane. */
#define CJK                                                                                                              \
    "[\\x{800}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}" \
    "\\x{3001}-\\x{9fa5}\\x{ac00}-\\x{d7ff}]+"

#define KANA_HAN "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"
#define DEEPSEEK3 \
    "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" SPACES

/* Letters of scripts with case, as DeepSeek LLM lists them. */
#define DEEPSEEK_LETTERS                                                                                                 \
    "[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}\\x{295}-\\x{2af}"    \
    "\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}"       \
    "\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}"         \
    "\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}" \
    "\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}"  \
    "\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}"  \
    "\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"  \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}"   \
    "\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"   \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}"  \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}" \
    "\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"          \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+"

#define NOT_STOP "[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]"

typedef struct pre_row {
    const char *names; /* as in tokenizer.ggml.pre, separated by spaces; the first one is the kind's own */
    bool ignore_merges;
    bool adds_bos; /* unless the file says otherwise */
    const char *re[MAX_RE];
} pre_row;

/* clang-format off */
static const pre_row rows[] = {
    {"default", false, false, {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert jina-es jina-de jina-v2-es "
     "jina-v2-de jina-v1-en jina-v2-code roberta-bpe", false, false, {GPT2}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", true, true, {LLAMA3}},
    {"dbrx smaug-bpe glm4 chatglm-bpe", false, false, {LLAMA3}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", false, false, {QWEN2}},
    {"qwen35", false, false, {QWEN35}},
    {"deepseek-llm", false, false,
     /* \s+$: only where a run begins, or each of its characters would run to the end of it. */
     {"[\\r\\n]", S "?" DEEPSEEK_LETTERS, S "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3001}\\x{3002}]+",
      "(?<!" S ")" S "++\\z", CJK, "\\p{N}+"}},
    {"deepseek-coder", false, false, {"[\\r\\n]", S "?\\p{L}+", S "?\\p{P}+", CJK, "\\p{N}"}},
    {"deepseek-v3 hunyuan-dense joyai-llm", false, false, {"\\p{N}{1,3}", KANA_HAN, DEEPSEEK3}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b", false, false, {"\\p{N}", GPT2}},
    {"falcon", false, false, {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"tekken", true, true, {CASED("", "\\p{N}")}},
    {"gpt-4o llama4 kanana2 minimax-m2", false, false, {CASED("(?:" APOSTROPHE ")?", "\\p{N}{1,3}")}},
    {"bailingmoe bailingmoe2 llada-moe", false, false, {CL100K("\\p{N}", "[\\r\\n]*")}},
    {"seed-coder", false, false,
     {APOSTROPHE "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^" WS "\\p{L}\\p{N}\\r\\n]+|" LINES "|" SPACES}},
    {"poro-chat bloom gpt3-finnish", false, false, {" ?" NOT_STOP "+"}},
    {"viking", false, false, {" ?" NOT_STOP "+", "\\p{N}"}},
};
/* clang-format on */

struct dv__pre {
    int n_re;
    pcre2_code *re[MAX_RE];
    pcre2_general_context *general;
    pcre2_match_context *limits;
};

static void *pcre_alloc(size_t n, void *unused) { return dv_alloc(DV_MEM_TOK, n); }
static void pcre_free(void *p, void *unused) { dv_free(p); }

static const pre_row *find_row(dv_str name)
{
    for (size_t r = 0; r < DV_ARRAY_LEN(rows); r++) {
        for (const char *p = rows[r].names; *p != 0;) {
            size_t n = strcspn(p, " ");
            if (n == name.n && memcmp(p, name.p, n) == 0)
                return &rows[r];
            p += n + strspn(p + n, " ");
        }
    }
    return NULL;
}

static int unknown(dv_str name, dv_err *err)
{
    char known[200];
    size_t len = 0;
    for (size_t r = 0; r < DV_ARRAY_LEN(rows); r++) {
        size_t n = strcspn(rows[r].names, " ");
        if (len + n + 3 > sizeof known)
            break;
        if (len > 0)
            memcpy(known + len, ", ", 2), len += 2;
        memcpy(known + len, rows[r].names, n);
        len += n;
    }
    return dv_fail(err, DV_EUNSUPPORTED,
                   "tokenizer.ggml.pre is \"%.*s\", which is not known (known, with their relatives: %.*s)",
                   (int)DV_MIN(name.n, (size_t)40), name.p, (int)len, known);
}

static int compile(dv__pre *pre, const pre_row *row, dv_err *err)
{
    pre->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *cc = pre->general != NULL ? pcre2_compile_context_create(pre->general) : NULL;
    pre->limits = pre->general != NULL ? pcre2_match_context_create(pre->general) : NULL;
    int rc = cc == NULL || pre->limits == NULL ? DV_ENOMEM : 0;
    if (rc == 0)
        pcre2_set_match_limit(pre->limits, MATCH_LIMIT);
    for (int i = 0; rc == 0 && i < MAX_RE && row->re[i] != NULL; i++) {
        int code;
        PCRE2_SIZE at;
        pcre2_code *re = pcre2_compile((PCRE2_SPTR)row->re[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NO_UTF_CHECK,
                                       &code, &at, cc);
        if (re == NULL) {
            rc = code == PCRE2_ERROR_HEAP_FAILED ? DV_ENOMEM : DV_EINTERNAL;
            break;
        }
        pre->re[pre->n_re++] = re;
        /* Without executable memory (a hardened system) the interpreter does the same, slower. */
        (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(cc);
    return rc == 0 ? 0 : dv_fail(err, rc, "the pre-tokenizer does not compile: %s", dv_error_text(rc));
}

int dv__pre_load(dv_tok *t, dv_err *err)
{
    static const char key[] = "tokenizer.ggml.pre";
    dv_str name = {"default", 7};
    int rc = dv_gguf_opt_str(t->g, key, name, &name, err);
    if (rc != 0)
        return rc;
    if (dv_gguf_find(t->g, key) == NULL || name.n == 0) {
        dv__tok_note(t, "%s is missing and \"default\" is used: answers may suffer", key);
        name = (dv_str){"default", 7};
    }
    const pre_row *row = find_row(name);
    if (row == NULL)
        return unknown(name, err);
    t->ignore_merges = row->ignore_merges;
    t->adds_bos = row->adds_bos;
    t->pre = dv_calloc(DV_MEM_TOK, 1, sizeof *t->pre);
    t->pre_name = dv_strndup(DV_MEM_TOK, name.p, name.n);
    if (t->pre == NULL || t->pre_name == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for the pre-tokenizer");
    return compile(t->pre, row, err);
}

void dv__pre_free(dv__pre *pre)
{
    if (pre == NULL)
        return;
    for (int i = 0; i < pre->n_re; i++)
        pcre2_code_free(pre->re[i]);
    pcre2_match_context_free(pre->limits);
    pcre2_general_context_free(pre->general);
    dv_free(pre);
}

static int cut_add(dv__work *w, size_t *n, size_t len)
{
    if (len == 0)
        return 0;
    if (*n == w->cut2_cap && dv__grow((void **)&w->cut2, &w->cut2_cap, *n + 1, sizeof *w->cut2) != 0)
        return DV_ENOMEM;
    w->cut2[(*n)++] = (uint32_t)len;
    return 0;
}

/* Cut one piece: matches and what lies between them. */
static int cut_piece(const dv__pre *pre, const pcre2_code *re, dv__work *w, const char *s, size_t n, size_t *n_out)
{
    const PCRE2_SIZE *ovec = pcre2_get_ovector_pointer(w->match);
    size_t done = 0;
    int rc = 0;
    while (done < n && rc == 0) {
        uint32_t opt = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
        int m = pcre2_match(re, (PCRE2_SPTR)s, n, done, opt, w->match, pre->limits);
        if (m == PCRE2_ERROR_JIT_STACKLIMIT)
            m = pcre2_match(re, (PCRE2_SPTR)s, n, done, opt | PCRE2_NO_JIT, w->match, pre->limits);
        if (m == PCRE2_ERROR_NOMATCH)
            break;
        if (m < 0)
            return m == PCRE2_ERROR_NOMEMORY || m == PCRE2_ERROR_HEAPLIMIT ? DV_ENOMEM : DV_ELIMIT;
        rc = cut_add(w, n_out, ovec[0] - done);
        if (rc == 0)
            rc = cut_add(w, n_out, ovec[1] - ovec[0]);
        done = ovec[1];
    }
    return rc != 0 ? rc : cut_add(w, n_out, n - done);
}

int dv__pre_split(const dv__pre *pre, dv__work *w, const char *s, size_t n, dv_err *err)
{
    int rc = dv__grow((void **)&w->cut, &w->cut_cap, 1, sizeof *w->cut);
    if (w->match == NULL)
        w->match = pcre2_match_data_create(1, pre->general);
    if (rc != 0 || w->match == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory while tokenizing");
    w->cut[0] = (uint32_t)n;
    w->n_cut = 1;
    for (int i = 0; i < pre->n_re; i++) {
        size_t n_out = 0, at = 0;
        for (size_t k = 0; k < w->n_cut && rc == 0; at += w->cut[k++])
            rc = cut_piece(pre, pre->re[i], w, s + at, w->cut[k], &n_out);
        if (rc != 0)
            return dv_fail(err, rc, "%s while tokenizing", dv_error_text(rc));
        /* The new pieces take the place of the old ones. */
        uint32_t *cut = w->cut;
        size_t cap = w->cut_cap;
        w->cut = w->cut2;
        w->cut_cap = w->cut2_cap;
        w->cut2 = cut;
        w->cut2_cap = cap;
        w->n_cut = n_out;
    }
    return 0;
}
