/* SPDX-License-Identifier: MIT */
/* From spelling to bytes: the byte-level alphabet of GPT-2 undone, U+2581 as a space, <0xNN> as a byte. All pieces are
 * made at open, so that decoding is a look-up. */
#include "tok/vocab.h"

#include "base/err.h"
#include "base/utf8.h"

#include <string.h>

/* GPT-2's alphabet: printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and up. */
static bool stands_for_itself(unsigned b) { return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae; }

uint32_t dv__cp_of_byte(unsigned char b)
{
    uint32_t n = 0;
    if (stands_for_itself(b))
        return b;
    for (unsigned i = 0; i < b; i++)
        n += !stands_for_itself(i);
    return 0x100 + n;
}

int dv__byte_of_cp(uint32_t cp)
{
    if (cp < 0x100)
        return stands_for_itself(cp) ? (int)cp : -1;
    /* 0x00-0x20, 0x7f-0xa0, 0xad */
    uint32_t k = cp - 0x100;
    return k <= 0x20 ? (int)k : k <= 0x42 ? (int)(k - 0x21 + 0x7f) : k == 0x43 ? 0xad : -1;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

int dv__byte_token(dv_str s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>' || hex(s.p[3]) < 0 || hex(s.p[4]) < 0)
        return -1;
    return hex(s.p[3]) * 16 + hex(s.p[4]);
}

static size_t put_byte_level(dv_str s, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        int k = dv_utf8_decode(s.p + i, s.n - i, &cp);
        int b = k > 0 ? dv__byte_of_cp(cp) : -1;
        size_t used = k > 0 ? (size_t)k : 1;
        if (b >= 0)
            out[len++] = (char)b;
        else
            for (size_t j = 0; j < used; j++) /* not in the alphabet: some files spell added tokens plainly */
                out[len++] = s.p[i + j];
        i += used;
    }
    return len;
}

static size_t put_spaces(dv_str s, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < s.n; len++) {
        bool space = s.n - i >= 3 && memcmp(s.p + i, "\xe2\x96\x81", 3) == 0;
        out[len] = space ? ' ' : s.p[i];
        i += space ? 3 : 1;
    }
    return len;
}

/* Writes at most text.n bytes. */
static size_t put_piece(const dv_tok *t, uint32_t id, char *out)
{
    dv_str s = t->sym[id];
    if (t->flag[id] & DV__TOK_WHOLE) {
        memcpy(out, s.p, s.n);
        return s.n;
    }
    if (!t->spm)
        return put_byte_level(s, out);
    if (t->type[id] != DV_TOK_BYTE)
        return put_spaces(s, out);
    out[0] = (char)dv__byte_token(s);
    return 1;
}

int dv__pieces_load(dv_tok *t, dv_err *err)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++)
        total += t->sym[i].n;
    if (total > UINT32_MAX)
        return dv_fail(err, DV_ELIMIT, "tokenizer.ggml.tokens has %llu bytes", (unsigned long long)total);
    t->piece = dv_alloc(DV_MEM_TOK, total);
    t->piece_at = dv_alloc_array(DV_MEM_TOK, (size_t)t->n_vocab + 1, sizeof *t->piece_at);
    if (t->piece == NULL || t->piece_at == NULL)
        return dv_fail(err, DV_ENOMEM, "out of memory for the text of %u tokens", (unsigned)t->n_vocab);
    uint32_t at = 0;
    for (uint32_t i = 0; i < t->n_vocab; i++) {
        t->piece_at[i] = at;
        if (t->sym[i].n > 0)
            at += (uint32_t)put_piece(t, i, t->piece + at);
    }
    t->piece_at[t->n_vocab] = at;
    return 0;
}

dv_str dv_tok_piece(const dv_tok *t, int32_t id)
{
    if (id < 0 || (uint32_t)id >= t->n_vocab)
        return (dv_str){"", 0};
    return (dv_str){t->piece + t->piece_at[id], t->piece_at[id + 1] - t->piece_at[id]};
}
