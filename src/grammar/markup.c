/* SPDX-License-Identifier: MIT */
/* Markup of chat templates that vocabularies list as text, such as "<tool_call>". A model that writes such a token means the markup, so it is no way to
 * write the same characters in a string: it stands where a grammar spells out all its bytes, in free text, and where it is named. */
#include "grammar/machine.h"

#include <string.h>

bool dv__markup_in_text(const dv__machine *m, const dv__term *t, uint32_t token)
{
    const dv_grammar_vocab *v = m->v;
    const char *p = v->byte + v->at[token], *text = m->g->term_text + t->text_at;
    const size_t len = v->at[token + 1] - v->at[token];
    if ((v->flag[token] & DV__TOKEN_MARKUP) == 0)
        return false;
    for (size_t i = 0; i < t->text_n; i += strlen(text + i) + 1)
        if (memmem(p, len, text + i, strlen(text + i)) != NULL)
            return false;
    return true;
}

/* As dv__machine_step, by bytes that the grammar spells out. */
static uint32_t step(dv__machine *m, uint32_t set, uint8_t byte)
{
    return set == DV__S_DEAD || set == DV__S_ERROR ? set : dv__machine_step(m, set, byte, true);
}

uint32_t dv__markup_token(dv__machine *m, uint32_t set, uint32_t token)
{
    const dv_grammar_vocab *v = m->v;
    for (uint32_t i = v->at[token]; i < v->at[token + 1]; i++)
        set = step(m, set, (uint8_t)v->byte[i]);
    return set;
}

static uint32_t common(const dv_grammar_vocab *v, uint32_t a, uint32_t b)
{
    const uint32_t n = DV_MIN(v->at[a + 1] - v->at[a], v->at[b + 1] - v->at[b]);
    uint32_t i = 0;
    while (i < n && v->byte[v->at[a] + i] == v->byte[v->at[b] + i])
        i++;
    return i;
}

/* The tokens are sorted, so a walk begins where it parts from the one before. */
bool dv__markup_mask(dv__machine *m, uint32_t set, uint32_t *out)
{
    const dv_grammar_vocab *v = m->v;
    uint32_t known = 0; /* m->path[0..known] is right for the token before */
    m->path[0] = set;
    for (uint32_t i = 0; i < v->n_markup; i++) {
        const uint32_t id = v->markup[i], len = v->at[id + 1] - v->at[id];
        uint32_t d = i == 0 ? 0 : DV_MIN(known, common(v, v->markup[i - 1], id));
        for (; d < len && m->path[d] != DV__S_DEAD; d++)
            if ((m->path[d + 1] = step(m, m->path[d], (uint8_t)v->byte[v->at[id] + d])) == DV__S_ERROR)
                return false;
        known = d;
        if (m->path[d] != DV__S_DEAD)
            out[id / 32] |= (uint32_t)1 << id % 32;
    }
    return true;
}
