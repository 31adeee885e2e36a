/* SPDX-License-Identifier: MIT */
/* Which tokens have a role, end a generation, or must never come out of a user's text. Files state a part of this in
 * their metadata; the rest is known by the names that model families use. */
#include "tok/vocab.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

typedef struct role_row {
    const char *key;     /* of the metadata, without "tokenizer.ggml." */
    const char *old_key; /* a former name of the key; NULL: none */
    bool strict;         /* an impossible id is an error; otherwise ignored with a note, as such files are in use */
    const char *names;   /* spellings that have the role if the key is absent, best first, separated by spaces */
} role_row;

#define BAR "\xef\xbd\x9c" /* U+FF5C, full-width bar */
#define LOW "\xe2\x96\x81" /* U+2581 */
#define DS_END "<" BAR "end" LOW "of" LOW "sentence" BAR ">"

static const role_row rows[DV_TOK_ROLE_N] = {
    [DV_TOK_BOS] = {"bos_token_id", NULL, true, ""},
    [DV_TOK_EOS] = {"eos_token_id", NULL, true, ""},
    [DV_TOK_EOT] =
        {"eot_token_id", NULL, true,
         "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> <|end_of_text|> <EOT> _<EOT> [EOT] " DS_END
         " <end_of_utterance>"},
    [DV_TOK_EOM] = {"eom_token_id", NULL, true, "<|eom_id|>"},
    [DV_TOK_UNK] = {"unknown_token_id", NULL, false, ""},
    [DV_TOK_SEP] = {"seperator_token_id", NULL, false, ""},
    [DV_TOK_PAD] = {"padding_token_id", NULL, false, ""},
    [DV_TOK_MASK] = {"mask_token_id", NULL, false, ""},
    [DV_TOK_FIM_PRE] = {"fim_pre_token_id", "prefix_token_id", false,
                        "<|fim_prefix|> <fim-prefix> <fim_prefix> <" BAR "fim" LOW "begin" BAR "> <PRE> " LOW
                        "<PRE> <|code_prefix|> <|prefix|>"},
    [DV_TOK_FIM_SUF] = {"fim_suf_token_id", "suffix_token_id", false,
                        "<|fim_suffix|> <fim-suffix> <fim_suffix> <" BAR "fim" LOW "hole" BAR "> <SUF> " LOW
                        "<SUF> <|code_suffix|> <|suffix|>"},
    [DV_TOK_FIM_MID] = {"fim_mid_token_id", "middle_token_id", false,
                        "<|fim_middle|> <fim-middle> <fim_middle> <" BAR "fim" LOW "end" BAR "> <MID> " LOW
                        "<MID> <|code_middle|> <|middle|>"},
    [DV_TOK_FIM_PAD] = {"fim_pad_token_id", NULL, false, "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]"},
    [DV_TOK_FIM_REP] = {"fim_rep_token_id", NULL, false, "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>"},
    [DV_TOK_FIM_SEP] = {"fim_sep_token_id", NULL, false, "<|file_sep|>"},
};

/* End a generation under these names, whatever their type says. */
static const char eog_names[] =
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> "
    "<|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <turn|> <|tool_response> " DS_END;
/* The same, unless they are ordinary text in this vocabulary: HTML has such tags. */
static const char eog_names_marked[] = "</s> <eos>";

/* Markup of chat templates that files may list as user-defined tokens and that has no bars. */
static const char markup_names[] =
    "<tool_call> </tool_call> <tool_response> </tool_response> <tools> </tools> <think> </think> <start_of_turn> "
    "<end_of_turn> <start_of_image> <end_of_image> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CALLS] "
    "[TOOL_RESULTS] [/TOOL_RESULTS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CONTENT] [ARGS] [CALL_ID] [THINK] "
    "[/THINK] <s> </s> <bos> <eos>";

/* Harmony's structure, which a reader of the answer needs to see as text. */
static const char shown_names[] = "<|channel|> <|message|> <|start|> <|constrain|>";

/* Calls fn for each of the names that is a token. */
static void for_names(dv_tok *t, const char *names, void (*fn)(dv_tok *, int32_t, void *), void *arg)
{
    while (*names != 0) {
        size_t n = strcspn(names, " ");
        int32_t id = dv_tok_find(t, names, n);
        if (id >= 0)
            fn(t, id, arg);
        names += n + strspn(names + n, " ");
    }
}

static void set_role(dv_tok *t, int32_t id, void *role)
{
    if (*(int32_t *)role < 0) {
        *(int32_t *)role = id;
        t->type[id] = DV_TOK_CONTROL;
    }
}

static void set_eog(dv_tok *t, int32_t id, void *unused)
{
    t->flag[id] |= DV__TOK_EOG;
    t->type[id] = DV_TOK_CONTROL;
}

static void set_eog_marked(dv_tok *t, int32_t id, void *unused)
{
    if (t->type[id] != DV_TOK_NORMAL)
        set_eog(t, id, unused);
}

static void set_shown(dv_tok *t, int32_t id, void *unused) { t->type[id] = DV_TOK_USER; }

static void set_guarded(dv_tok *t, int32_t id, void *unused)
{
    if (t->type[id] == DV_TOK_USER)
        t->flag[id] |= DV__TOK_GUARDED;
}

static int32_t find_name(const dv_tok *t, const char *name) { return dv_tok_find(t, name, strlen(name)); }

/* "<|...|>", also with full-width bars. */
static bool has_bars(dv_str s)
{
    static const char wide_open[] = "<" BAR, wide_close[] = BAR ">";
    return (s.n >= 4 && memcmp(s.p, "<|", 2) == 0 && memcmp(s.p + s.n - 2, "|>", 2) == 0) ||
           (s.n >= 8 && memcmp(s.p, wide_open, 4) == 0 && memcmp(s.p + s.n - 4, wide_close, 4) == 0);
}

static int load_role(dv_tok *t, int role, dv_err *err)
{
    const role_row *r = &rows[role];
    char key[64] = "tokenizer.ggml.";
    strcat(key, r->key);
    const dv_gguf_kv *kv = dv_gguf_find(t->g, key);
    if (kv == NULL && r->old_key != NULL) {
        strcpy(key + 15, r->old_key);
        kv = dv_gguf_find(t->g, key);
    }
    int64_t v = -1;
    if (kv == NULL)
        return 0;
    if (dv_gguf_kv_type(kv) == DV_GGUF_ARR || !dv_gguf_kv_i64(kv, 0, &v))
        return dv_fail(err, DV_EFORMAT, "%s is not a token id", key);
    if (v >= 0 && v < t->n_vocab)
        t->role[role] = (int32_t)v;
    else if (v == -1 || v == UINT32_MAX)
        t->role[role] = -1; /* how some converters write "none" */
    else if (r->strict)
        return dv_fail(err, DV_EFORMAT, "%s is %lld, but the vocabulary has %u tokens", key, (long long)v,
                       (unsigned)t->n_vocab);
    else
        dv__tok_note(t, "%s is %lld and is ignored: the vocabulary has %u tokens", key, (long long)v,
                     (unsigned)t->n_vocab);
    return 0;
}

/* Adding BOS or EOS needs one. */
static int load_adds(dv_tok *t, const char *key, int role, bool *adds, dv_err *err)
{
    bool stated = dv_gguf_find(t->g, key) != NULL;
    int rc = dv_gguf_opt_bool(t->g, key, *adds, adds, err);
    if (rc == 0 && *adds && t->role[role] < 0) {
        if (stated)
            dv__tok_note(t, "%s is ignored: the file names no such token", key);
        *adds = false;
    }
    return rc;
}

/* Phi-3 marks its special tokens as swallowing white space behind them, which files do not say. */
static void apply_rstrip(dv_tok *t)
{
    dv_str name = {"", 0};
    dv_err ignored = {0};
    char low[64];
    if (dv_gguf_opt_str(t->g, "general.name", name, &name, &ignored) != 0)
        return;
    size_t n = DV_MIN(name.n, sizeof low - 1);
    for (size_t i = 0; i < n; i++)
        low[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] + 32) : name.p[i] == 0 ? ' ' : name.p[i];
    low[n] = 0;
    if (strstr(low, "phi-3") == NULL && strstr(low, "phi3") == NULL)
        return;
    int32_t unk = find_name(t, "<unk>"), bos = find_name(t, "<s>"), end = find_name(t, "<|endoftext|>");
    for (uint32_t i = 0; i < t->n_vocab; i++)
        if ((t->type[i] == DV_TOK_CONTROL || t->type[i] == DV_TOK_USER || t->type[i] == DV_TOK_UNKNOWN) &&
            (int32_t)i != unk && (int32_t)i != bos && (int32_t)i != end)
            t->flag[i] |= DV__TOK_RSTRIP;
}

static void finish_eog(dv_tok *t)
{
    static const dv_tok_role ends[] = {DV_TOK_EOS,     DV_TOK_EOT,     DV_TOK_EOM,
                                       DV_TOK_FIM_PAD, DV_TOK_FIM_REP, DV_TOK_FIM_SEP};
    for_names(t, eog_names, set_eog, NULL);
    for_names(t, eog_names_marked, set_eog_marked, NULL);
    for_names(t, shown_names, set_shown, NULL);
    for (size_t i = 0; i < DV_ARRAY_LEN(ends); i++)
        if (t->role[ends[i]] >= 0)
            t->flag[t->role[ends[i]]] |= DV__TOK_EOG;
    /* Harmony (gpt-oss): <|end|> ends a message, not the answer. */
    int32_t end = find_name(t, "<|end|>");
    bool call = find_name(t, "<|call|>") >= 0 || find_name(t, "<|calls|>") >= 0;
    if (end >= 0 && call && (find_name(t, "<|return|>") >= 0 || find_name(t, "<|flush|>") >= 0)) {
        t->flag[end] &= (uint8_t)~DV__TOK_EOG;
        t->type[end] = DV_TOK_USER;
    }
}

/* Who forbids these does so for every token that is drawn, and a vocabulary is large. */
static int list_eog(dv_tok *t, dv_err *err)
{
    for (uint32_t i = 0; i < t->n_vocab; i++)
        t->n_eog += (t->flag[i] & DV__TOK_EOG) != 0;
    t->eog = dv_alloc_array(DV_MEM_TOK, t->n_eog, sizeof *t->eog);
    if (t->eog == NULL)
        return dv_fail(err, DV_ENOMEM, "tokenizer: %s", dv_error_text(DV_ENOMEM));
    for (uint32_t i = 0, n = 0; i < t->n_vocab; i++)
        if ((t->flag[i] & DV__TOK_EOG) != 0)
            t->eog[n++] = (int32_t)i;
    return 0;
}

int dv__roles_load(dv_tok *t, dv_err *err)
{
    for (int r = 0; r < DV_TOK_ROLE_N; r++)
        t->role[r] = -1;
    if (t->spm) {
        /* SentencePiece's own defaults, for files that do not say. */
        t->role[DV_TOK_UNK] = 0;
        t->role[DV_TOK_BOS] = t->n_vocab > 1 ? 1 : -1;
        t->role[DV_TOK_EOS] = t->n_vocab > 2 ? 2 : -1;
    }
    for (int r = 0; r < DV_TOK_ROLE_N; r++) {
        int rc = load_role(t, r, err);
        if (rc != 0)
            return rc;
        for_names(t, rows[r].names, set_role, &t->role[r]);
    }
    int rc = load_adds(t, "tokenizer.ggml.add_bos_token", DV_TOK_BOS, &t->adds_bos, err);
    if (rc == 0)
        rc = load_adds(t, "tokenizer.ggml.add_eos_token", DV_TOK_EOS, &t->adds_eos, err);
    if (rc != 0)
        return rc;
    finish_eog(t);
    apply_rstrip(t);
    for (uint32_t i = 0; i < t->n_vocab; i++)
        if (t->type[i] == DV_TOK_CONTROL || t->type[i] == DV_TOK_UNKNOWN ||
            (t->type[i] == DV_TOK_USER && has_bars(t->sym[i])))
            t->flag[i] |= DV__TOK_GUARDED;
    for_names(t, markup_names, set_guarded, NULL);
    for (int r = DV_TOK_EOS; r <= DV_TOK_EOM; r++)
        if (t->role[r] >= 0)
            t->flag[t->role[r]] |= DV__TOK_GUARDED;
    return list_eog(t, err);
}
