/* SPDX-License-Identifier: MIT */
/* Template text to tokens: trim_blocks and lstrip_blocks are on, as chat templates expect; "-" strips all white space on its
 * side of a tag, "+" keeps it. {% generation %} tags leave no trace. Positions are offsets in the normalised source. */
#include "base/err.h"
#include "base/utf8.h"
#include "tok/tmpl_ast.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int dv__tmpl_fail_at(dv_err *err, int code, const char *src, size_t len, size_t pos, const char *fmt, ...)
{
    char text[280];
    size_t line = 1, col = 1;
    for (size_t i = 0; i < pos && i < len; i++) {
        col = src[i] == '\n' ? 1 : col + (((unsigned char)src[i] & 0xc0) != 0x80);
        line += src[i] == '\n';
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return dv_fail(err, code, "template %zu:%zu: %s", line, col, text);
}

bool dv__is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000 || cp == 0xfeff;
}

size_t dv__space_left(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp = 0;
        int k = dv_utf8_decode(s + i, n - i, &cp);
        if (k <= 0 || !dv__is_space(cp))
            break;
        i += (size_t)k;
    }
    return i;
}

size_t dv__space_right(const char *s, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t i = end - 1;
        while (i > 0 && end - i < 4 && ((unsigned char)s[i] & 0xc0) == 0x80)
            i--;
        uint32_t cp = 0;
        int k = dv_utf8_decode(s + i, end - i, &cp);
        if (k <= 0 || (size_t)k != end - i || !dv__is_space(cp))
            break;
        end = i;
    }
    return n - end;
}

typedef struct lexer {
    dv_arena *arena;
    const char *src;
    size_t len, pos;
    dv__token *at;
    size_t n, cap;
    size_t strippable; /* text tokens from this index on are joined to the text before the next tag */
    bool strip, trim;  /* what the last tag asks of the text that follows: all white space, one newline */
    dv_err *err;
    int code;
} lexer;

static bool fail(lexer *x, size_t pos, int code, const char *what)
{
    if (x->code == 0)
        x->code = dv__tmpl_fail_at(x->err, code, x->src, x->len, pos, "%s", what);
    return false;
}

static dv__token *push(lexer *x, dv__tok_type type, size_t pos)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 64;
        dv__token *p = dv_arena_alloc(x->arena, cap * sizeof *p);
        if (p == NULL) {
            fail(x, pos, dv__arena_why(x->arena, cap * sizeof *p), "no memory for the template");
            return NULL;
        }
        if (x->n > 0)
            memcpy(p, x->at, x->n * sizeof *p);
        x->at = p;
        x->cap = cap;
    }
    dv__token *t = &x->at[x->n++];
    *t = (dv__token){.type = (uint8_t)type, .pos = (uint32_t)pos};
    return t;
}

static bool at(const lexer *x, size_t pos, const char *s)
{
    size_t n = strlen(s);
    return x->len - DV_MIN(pos, x->len) >= n && memcmp(x->src + pos, s, n) == 0;
}

static bool add_text(lexer *x, size_t from, size_t to)
{
    if (from >= to)
        return true;
    dv__token *t = push(x, TK_TEXT, from);
    if (t == NULL)
        return false;
    t->p = x->src + from;
    t->n = to - from;
    return true;
}

/* What a tag at `pos` does to the text before it: "{%-" takes all white space, "{%" and "{#" the line's indentation. */
static void strip_before(lexer *x, bool all)
{
    while (x->n > x->strippable) {
        dv__token *t = &x->at[x->n - 1];
        if (all)
            t->n -= dv__space_right(t->p, t->n);
        else
            while (t->n > 0 && (t->p[t->n - 1] == ' ' || t->p[t->n - 1] == '\t'))
                t->n--;
        if (t->n > 0)
            return;
        x->n--;
    }
}

static bool only_blanks_before(const lexer *x, size_t pos)
{
    while (pos > 0 && (x->src[pos - 1] == ' ' || x->src[pos - 1] == '\t'))
        pos--;
    return pos == 0 || x->src[pos - 1] == '\n';
}

/* Positions around a tag "{% word %}" that stands alone, for raw and generation. False if it is not that tag. */
typedef struct word_tag {
    size_t end;
    bool strip_left, keep_left, strip_right, keep_right;
} word_tag;

static bool match_word_tag(const lexer *x, size_t pos, const char *word, word_tag *out)
{
    size_t p = pos;
    if (!at(x, p, "{%"))
        return false;
    p += 2;
    *out = (word_tag){.strip_left = at(x, p, "-"), .keep_left = at(x, p, "+")};
    p += out->strip_left || out->keep_left;
    p += dv__space_left(x->src + p, x->len - p);
    if (!at(x, p, word))
        return false;
    p += strlen(word);
    p += dv__space_left(x->src + p, x->len - p);
    out->strip_right = at(x, p, "-");
    out->keep_right = at(x, p, "+");
    p += out->strip_right || out->keep_right;
    out->end = p + 2;
    return at(x, p, "%}");
}

static void before_tag(lexer *x, size_t pos, bool strip, bool keep)
{
    if (strip)
        strip_before(x, true);
    else if (!keep && only_blanks_before(x, pos))
        strip_before(x, false);
}

static bool lex_raw(lexer *x, const word_tag *open)
{
    size_t start = open->end;
    word_tag close;
    for (size_t p = start;; p++) {
        const char *hit = p < x->len ? memmem(x->src + p, x->len - p, "{%", 2) : NULL;
        if (hit == NULL)
            return fail(x, x->pos, DV_EFORMAT, "missing {% endraw %}");
        p = (size_t)(hit - x->src);
        if (!match_word_tag(x, p, "endraw", &close))
            continue;
        if (open->strip_right) /* jinja2 leaves the newline after a plain {% raw %} alone */
            start += dv__space_left(x->src + start, p - start);
        x->strippable = x->n;
        if (!add_text(x, start, p))
            return false;
        before_tag(x, p, close.strip_left, close.keep_left);
        x->strippable = x->n;
        x->pos = close.end;
        x->strip = close.strip_right;
        x->trim = !close.keep_right;
        return true;
    }
}

static bool lex_comment(lexer *x)
{
    size_t pos = x->pos;
    const char *hit = x->len - pos > 2 ? memmem(x->src + pos + 2, x->len - pos - 2, "#}", 2) : NULL;
    if (hit == NULL)
        return fail(x, pos, DV_EFORMAT, "missing end of comment");
    size_t end = (size_t)(hit - x->src);
    before_tag(x, pos, at(x, pos + 2, "-"), at(x, pos + 2, "+"));
    x->strip = end > pos + 2 && x->src[end - 1] == '-';
    x->trim = !(end > pos + 2 && x->src[end - 1] == '+');
    x->strippable = x->n;
    x->pos = end + 2;
    return true;
}

/* ---- inside a tag -------------------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* \xNN, \uNNNN, \UNNNNNNNN at p (on the letter); returns characters used after the backslash, 0 if malformed. */
static size_t hex_escape(const char *p, size_t n, uint32_t *cp)
{
    size_t digits = p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : 8;
    *cp = 0;
    if (n < digits + 1)
        return 0;
    for (size_t i = 1; i <= digits; i++) {
        int d = hex_value(p[i]);
        if (d < 0)
            return 0;
        *cp = *cp << 4 | (uint32_t)d;
    }
    return digits + 1;
}

/* One escape at src[i] (after the backslash) into out; returns characters used, 0 for a malformed one. */
static size_t unescape(const char *s, size_t n, char *out, size_t *o)
{
    static const char from[] = "ntrbfva'\"\\0", to[] = "\n\t\r\b\f\v\a'\"\\";
    const char *hit = s[0] != 0 ? strchr(from, s[0]) : NULL;
    uint32_t cp, low;
    if (s[0] == '\n')
        return 1;
    if (hit != NULL && *hit != '0') {
        out[(*o)++] = to[hit - from];
        return 1;
    }
    if (s[0] >= '0' && s[0] <= '7') {
        size_t k = 0;
        for (cp = 0; k < 3 && k < n && s[k] >= '0' && s[k] <= '7'; k++)
            cp = cp * 8 + (uint32_t)(s[k] - '0');
        *o += (size_t)dv_utf8_encode(cp, out + *o);
        return k;
    }
    if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U') {
        size_t k = hex_escape(s, n, &cp);
        if (k == 0)
            return 0;
        if (cp >= 0xd800 && cp < 0xdc00 && n >= k + 6 && s[k] == '\\' && s[k + 1] == 'u' &&
            hex_escape(s + k + 1, n - k - 1, &low) == 5 && low >= 0xdc00 && low < 0xe000) {
            cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
            k += 6;
        }
        *o += (size_t)dv_utf8_encode(cp, out + *o);
        return k;
    }
    out[(*o)++] = '\\'; /* unknown: kept as it stands, like Python */
    out[(*o)++] = s[0];
    return 1;
}

static bool lex_string(lexer *x)
{
    size_t start = x->pos, i = start + 1;
    char quote = x->src[start];
    bool escapes = false;
    while (i < x->len && x->src[i] != quote) {
        escapes |= x->src[i] == '\\';
        i += x->src[i] == '\\' ? 2 : 1;
    }
    if (i >= x->len)
        return fail(x, start, DV_EFORMAT, "missing end of string");
    dv__token *t = push(x, TK_STR, start);
    if (t == NULL)
        return false;
    t->p = x->src + start + 1;
    t->n = i - start - 1;
    x->pos = i + 1;
    if (!escapes)
        return true;
    /* An escape never decodes to more bytes than it is written with, but for \NNN, which may need as many. */
    char *out = dv_arena_alloc(x->arena, t->n + 4);
    size_t o = 0, end = i;
    if (out == NULL)
        return fail(x, start, dv__arena_why(x->arena, t->n + 4), "no memory for the template");
    for (i = start + 1; i < end;) {
        if (x->src[i] != '\\') {
            out[o++] = x->src[i++];
            continue;
        }
        size_t k = unescape(x->src + i + 1, end - i - 1, out, &o);
        if (k == 0)
            return fail(x, i, DV_EFORMAT, "malformed escape in a string");
        i += k + 1;
    }
    t->p = out;
    t->n = o;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool lex_number(lexer *x, bool after_dot)
{
    char text[64];
    size_t start = x->pos, i = start, o = 0;
    bool is_float = false;
    int base = 10;
    if (at(x, i, "0x") || at(x, i, "0X") || at(x, i, "0o") || at(x, i, "0O") || at(x, i, "0b") || at(x, i, "0B")) {
        char c = (char)(x->src[i + 1] | 0x20);
        base = c == 'x' ? 16 : c == 'o' ? 8 : 2;
        i += 2;
    }
    for (; i < x->len; i++) {
        char c = x->src[i];
        bool fraction = c == '.' && !is_float && !after_dot && i + 1 < x->len && is_digit(x->src[i + 1]);
        bool exponent = (c == 'e' || c == 'E') && base == 10 && !after_dot && i + 1 < x->len &&
                        (is_digit(x->src[i + 1]) ||
                         (i + 2 < x->len && (x->src[i + 1] == '-' || x->src[i + 1] == '+') && is_digit(x->src[i + 2])));
        if (c == '_' && i + 1 < x->len && hex_value(x->src[i + 1]) >= 0)
            continue;
        if (!is_digit(c) && !(base == 16 && hex_value(c) >= 0) && !(fraction && base == 10) && !exponent)
            break;
        if (o + 3 > sizeof text)
            return fail(x, start, DV_EFORMAT, "number is too long");
        is_float |= fraction || exponent;
        text[o++] = c;
        if (exponent)
            text[o++] = x->src[++i];
    }
    text[o] = 0;
    dv__token *t = push(x, is_float ? TK_FLOAT : TK_INT, start);
    if (t == NULL)
        return false;
    x->pos = i;
    char *end;
    unsigned long long v = strtoull(text, &end, base);
    if (!is_float && (*end != 0 || o == 0))
        return fail(x, start, DV_EFORMAT, "malformed number");
    if (!is_float && v <= INT64_MAX) {
        t->num.i = (int64_t)v;
    } else if (base != 10) {
        return fail(x, start, DV_EFORMAT, "number is too large");
    } else {
        t->type = TK_FLOAT;
        t->num.f = strtod(text, NULL);
    }
    return true;
}

static bool lex_op(lexer *x)
{
    static const struct {
        char text[3];
        uint8_t op;
    } two[] = {{"//", OP_FLOORDIV}, {"**", OP_POW}, {"<=", OP_LE}, {">=", OP_GE}, {"==", OP_EQ}, {"!=", OP_NE}};
    uint8_t op = (uint8_t)x->src[x->pos];
    size_t n = 1;
    for (size_t i = 0; i < DV_ARRAY_LEN(two); i++) {
        if (at(x, x->pos, two[i].text)) {
            op = two[i].op;
            n = 2;
        }
    }
    if (op < 128 && (op == 0 || strchr("+-*/%~<>=(){}[].,:|", op) == NULL))
        return fail(x, x->pos, DV_EFORMAT, "unexpected character");
    dv__token *t = push(x, TK_OP, x->pos);
    if (t == NULL)
        return false;
    t->op = op;
    x->pos += n;
    return true;
}

/* Everything up to the end of the tag that was just opened. */
static bool lex_tag(lexer *x, bool stmt)
{
    const char *close = stmt ? "%}" : "}}";
    size_t start = x->pos, braces = 0;
    while (x->code == 0) {
        x->pos += dv__space_left(x->src + x->pos, x->len - x->pos);
        if (x->pos >= x->len)
            return fail(x, start, DV_EFORMAT, stmt ? "missing %}" : "missing }}");
        char c = x->src[x->pos];
        bool sign = (c == '-' || c == '+') && at(x, x->pos + 1, close);
        if (braces == 0 && (sign || at(x, x->pos, close))) {
            if (push(x, stmt ? TK_STMT_END : TK_EXPR_END, x->pos) == NULL)
                return false;
            x->pos += 2 + (size_t)sign;
            x->strip = sign && c == '-';
            x->trim = stmt && !(sign && c == '+');
            x->strippable = x->n;
            return true;
        }
        if (c == '\'' || c == '"') {
            lex_string(x);
        } else if (is_digit(c)) {
            lex_number(x, x->n > 0 && x->at[x->n - 1].type == TK_OP && x->at[x->n - 1].op == '.');
        } else if (is_word(c)) {
            dv__token *t = push(x, TK_NAME, x->pos);
            if (t == NULL)
                return false;
            t->p = x->src + x->pos;
            while (x->pos < x->len && is_word(x->src[x->pos]))
                x->pos++;
            t->n = x->pos - t->pos;
        } else {
            braces += c == '{';
            braces -= c == '}' && braces > 0;
            lex_op(x);
        }
    }
    return false;
}

static bool lex_open(lexer *x)
{
    size_t pos = x->pos;
    word_tag tag;
    if (at(x, pos, "{#"))
        return lex_comment(x);
    if (match_word_tag(x, pos, "generation", &tag) || match_word_tag(x, pos, "endgeneration", &tag)) {
        before_tag(x, pos, tag.strip_left, tag.keep_left);
        x->pos = tag.end;
        x->strip = tag.strip_right;
        x->trim = !tag.keep_right;
        return true;
    }
    bool stmt = at(x, pos, "{%"), strip = at(x, pos + 2, "-"), keep = at(x, pos + 2, "+");
    before_tag(x, pos, strip, keep || !stmt);
    if (match_word_tag(x, pos, "raw", &tag))
        return lex_raw(x, &tag);
    if (push(x, stmt ? TK_STMT : TK_EXPR, pos) == NULL)
        return false;
    x->pos += 2 + (size_t)(strip || (keep && stmt));
    return lex_tag(x, stmt);
}

/* The next "{%", "{{" or "{#"; len if there is none. */
static size_t find_open(const lexer *x, size_t pos)
{
    while (pos < x->len) {
        const char *hit = memchr(x->src + pos, '{', x->len - pos);
        if (hit == NULL)
            break;
        pos = (size_t)(hit - x->src);
        if (pos + 1 < x->len && (hit[1] == '%' || hit[1] == '{' || hit[1] == '#'))
            return pos;
        pos++;
    }
    return x->len;
}

int dv__tmpl_lex(dv_arena *a, const char *src, size_t len, dv__token **out, size_t *n_out, dv_err *err)
{
    lexer x = {.arena = a, .src = src, .len = len, .err = err};
    while (x.code == 0) {
        size_t open = find_open(&x, x.pos), from = x.pos;
        if (x.strip)
            from += dv__space_left(src + from, open - from);
        else if (x.trim && from < open && src[from] == '\n')
            from++;
        /* Only white space after a stripping tag keeps stripping across a tag that leaves no trace. */
        x.strip = x.trim = false;
        x.pos = open;
        if (!add_text(&x, from, open) || open == len || !lex_open(&x))
            break;
    }
    if (x.code == 0)
        push(&x, TK_EOF, len);
    *out = x.at;
    *n_out = x.n;
    return x.code;
}
