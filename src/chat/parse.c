/* SPDX-License-Identifier: MIT */
/* The parser's states. Each looks at in[pos..], takes what is clear and says whether to go on. */
#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include "chat/parse_impl.h"

#include <string.h>

enum {
    LONG_CALL = 4096, /* bytes of an attempt at a call that are read twice if it fails */
    MAX_LONG = 64     /* such attempts after which no more calls are looked for, so that time stays linear */
};

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void emit(dv_chatfmt_parser *p, dv_chatfmt_event ev)
{
    if (p->code == 0)
        p->code = p->o.on_event(p->o.arg, &ev);
}

/* A delta of text; markers in it are spelled out. */
static void emit_text(dv_chatfmt_parser *p, dv_chatfmt_event_type type, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t from = i;
        while (i < n && (unsigned char)s[i] < DV__MARK_BYTE)
            i++;
        if (i > from)
            emit(p, (dv_chatfmt_event){.type = type, .index = p->n_calls, .text = s + from, .n = i - from});
        if (i < n) {
            const char *mark = p->f->mark[(unsigned char)s[i++] - DV__MARK_BYTE];
            emit(p, (dv_chatfmt_event){.type = type, .index = p->n_calls, .text = mark, .n = strlen(mark)});
        }
    }
}

static void make_id(dv_chatfmt_parser *p)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    bool nine = p->f->kind == DV_CHATFMT_MISTRAL || p->f->kind == DV_CHATFMT_MISTRAL_ARGS;
    size_t at = nine ? 0 : 5, end = nine ? 9 : 29;
    memcpy(p->id, "call_", 5);
    for (; at < end; at++)
        p->id[at] = alphabet[dv_rng_below(&p->rng, sizeof alphabet - 1)];
    p->id[end] = 0;
}

static void begin_call(dv_chatfmt_parser *p)
{
    make_id(p);
    p->begun = true;
    emit(p, (dv_chatfmt_event){.type = DV_CHATFMT_CALL_BEGIN, .index = p->n_calls, .id = p->id, .name = p->name});
}

static void end_call(dv_chatfmt_parser *p, bool complete)
{
    p->begun = false;
    emit(p, (dv_chatfmt_event){.type = DV_CHATFMT_CALL_END, .index = p->n_calls, .complete = complete});
    p->n_calls++;
}

/* ---- white space --------------------------------------------------------------------------------------------------- */

/* Hand out s[0..n) but for white space at its end that may turn out to stand in front of a marker. Returns what was kept. */
static size_t emit_but_space(dv_chatfmt_parser *p, dv_chatfmt_event_type type, const char *s, size_t n)
{
    size_t keep = 0;
    while (keep < n && dv__chat_space(s[n - 1 - keep]))
        keep++;
    if (keep < n)
        p->n_space = 0;
    if (p->n_space + keep > DV_CHATFMT_MAX_SPACE) {
        p->n_space += keep;
        keep = 0;
    }
    emit_text(p, type, s, n - keep);
    return keep;
}

/* Drop white space; true if something else follows. */
static bool skip_space(dv_chatfmt_parser *p)
{
    while (p->pos < p->in.len && dv__chat_space(p->in.data[p->pos]))
        p->pos++;
    p->mark = p->pos;
    return p->pos < p->in.len;
}

/* ---- content ------------------------------------------------------------------------------------------------------- */

static void look_for_call(dv_chatfmt_parser *p, size_t open)
{
    p->open = open;
    p->pos = p->mark + open;
    p->next = false;
    p->state = DV__IN_HEAD;
}

/* What opens something at s: the marker, or DV__MARK_N. NEED if that cannot be said yet. */
static dv__look opening(const dv_chatfmt_parser *p, const char *s, size_t n, bool first, int *mark, size_t *len)
{
    bool harmony = p->f->kind == DV_CHATFMT_HARMONY, need = false;
    bool calls = p->tools != NULL && (!p->o.calls_first || (first && (p->at_start || p->after_call)));
    const bool wanted[DV__MARK_N] = {
        [DV__MARK_THINK] = first && p->at_start && !p->thought && !p->o.keep_thinking && !harmony,
        [DV__MARK_BEGIN] = calls,
        [DV__MARK_BEGIN2] = calls,
        [DV__MARK_END] = first && p->after_call,
        [DV__MARK_END2] = first && p->after_call,
    };
    for (int m = 0; m < DV__MARK_N; m++) {
        dv__cur c = {.f = p->f, .s = s, .n = n};
        dv__look r = wanted[m] ? dv__cur_mark(&c, m) : DV__LOOK_BAD;
        need |= r == DV__LOOK_NEED;
        if (r == DV__LOOK_OK) {
            *mark = m;
            *len = c.i;
            return r;
        }
    }
    return need ? DV__LOOK_NEED : DV__LOOK_BAD;
}

static dv__step found(dv_chatfmt_parser *p, int mark, size_t space, size_t len)
{
    if (mark == DV__MARK_BEGIN || mark == DV__MARK_BEGIN2) {
        look_for_call(p, space + len);
        return DV__STEP_MORE;
    }
    p->mark = p->pos = p->mark + space + len;
    p->n_space = 0;
    p->skip_space = true;
    if (mark == DV__MARK_THINK)
        p->state = DV__IN_THOUGHTS;
    return DV__STEP_MORE;
}

/* Plain JSON that may be a call: at the very start, or behind another one. OK: the head is to be read; *len: what opened it. */
static dv__look plain_opening(const dv_chatfmt_parser *p, const char *s, size_t n, size_t *len)
{
    size_t i = 0;
    if (p->tools == NULL || !dv__chatfmt_is_plain(p->f->kind) || !(p->at_start || p->after_call))
        return DV__LOOK_BAD;
    while (i < n && i <= DV_CHATFMT_MAX_SPACE && dv__chat_space(s[i]))
        i++;
    if (i > DV_CHATFMT_MAX_SPACE)
        return DV__LOOK_BAD;
    if (p->after_call && i < n && (s[i] == ';' || s[i] == ',')) {
        i++;
        while (i < n && i <= DV_CHATFMT_MAX_SPACE && dv__chat_space(s[i]))
            i++;
        if (i < n && s[i] != '{')
            return DV__LOOK_BAD;
    }
    if (i == n)
        return DV__LOOK_NEED;
    *len = i;
    return s[i] == '{' || (p->at_start && (s[i] == '[' || s[i] == '`')) ? DV__LOOK_OK : DV__LOOK_BAD;
}

static dv__step content(dv_chatfmt_parser *p, bool final)
{
    int mark = DV__MARK_N;
    size_t len = 0, i = 0, space = 0, keep;
    if (p->skip_space && !skip_space(p))
        return DV__STEP_WAIT;
    const char *s = p->in.data + p->pos;
    size_t n = p->in.len - p->pos;
    if (n == 0)
        return DV__STEP_WAIT;
    dv__look r = p->n_space == 0 ? plain_opening(p, s, n, &len) : DV__LOOK_BAD;
    if (r == DV__LOOK_NEED && !final)
        return DV__STEP_WAIT;
    if (r == DV__LOOK_OK) {
        look_for_call(p, len);
        return DV__STEP_MORE;
    }
    p->skip_space = false;
    for (r = DV__LOOK_BAD; i < n; i++) {
        r = opening(p, s + i, n - i, space == i, &mark, &len);
        if (r == DV__LOOK_OK || (r == DV__LOOK_NEED && !final))
            break;
        space += space == i && dv__chat_space(s[i]);
    }
    if (space < i)
        p->at_start = p->after_call = false;
    keep = emit_but_space(p, DV_CHATFMT_CONTENT, s, i);
    p->mark += i - keep;
    if (r == DV__LOOK_OK && i < n)
        return found(p, mark, keep, len);
    if (final) {
        if (!p->after_call) /* white space behind the last call says nothing */
            emit_text(p, DV_CHATFMT_CONTENT, p->in.data + p->mark, p->in.len - p->mark);
        p->mark = p->in.len;
    }
    p->pos = p->mark;
    return DV__STEP_WAIT;
}

static dv__step thoughts(dv_chatfmt_parser *p, bool final)
{
    if (p->skip_space && !skip_space(p))
        return DV__STEP_WAIT;
    p->skip_space = false;
    const char *s = p->in.data + p->pos;
    size_t n = p->in.len - p->pos, i = 0;
    dv__cur c = {.f = p->f, .s = s, .n = n};
    dv__look r = DV__LOOK_BAD;
    for (; i < n; i++) {
        c.i = i;
        r = dv__cur_mark(&c, DV__MARK_UNTHINK);
        if (r == DV__LOOK_OK || (r == DV__LOOK_NEED && !final))
            break;
    }
    size_t keep = emit_but_space(p, DV_CHATFMT_REASONING, s, i);
    p->mark += i - keep;
    if (r == DV__LOOK_OK && i < n) {
        p->mark = p->pos + c.i;
        p->state = DV__IN_CONTENT;
        p->thought = p->skip_space = true;
        p->n_space = 0;
    } else if (final) {
        emit_text(p, DV_CHATFMT_REASONING, p->in.data + p->mark, p->in.len - p->mark);
        p->mark = p->in.len;
    }
    p->pos = p->mark;
    return r == DV__LOOK_OK && i < n ? DV__STEP_MORE : DV__STEP_WAIT;
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

static void to_content(dv_chatfmt_parser *p)
{
    bool harmony = p->f->kind == DV_CHATFMT_HARMONY;
    p->at_start = p->after_call = p->next = p->skip_space = false;
    p->state = harmony ? DV__IN_BODY : DV__IN_CONTENT;
    p->channel = DV_CHATFMT_CONTENT;
    p->n_space = 0;
}

/* It was no call: what opened it is content, and what follows is read again. */
static dv__step fail_call(dv_chatfmt_parser *p)
{
    if (p->pos - p->mark > LONG_CALL && ++p->n_long == MAX_LONG) {
        json_decref(p->tools);
        p->tools = NULL;
    }
    size_t n = p->open > 0 ? p->open : 1; /* plain JSON is opened by its own first byte */
    emit_text(p, DV_CHATFMT_CONTENT, p->in.data + p->mark, n);
    p->mark += n;
    p->pos = p->mark;
    to_content(p);
    return DV__STEP_MORE;
}

static dv__step after_args(dv_chatfmt_parser *p)
{
    end_call(p, true);
    p->mark = p->pos;
    p->state = DV__IN_TAIL;
    return DV__STEP_MORE;
}

/* The head is complete. */
static dv__step begin_args(dv_chatfmt_parser *p)
{
    dv__jscan_init(&p->scan);
    p->state = DV__IN_ARGS;
    p->args_at = p->pos;
    if (!p->o.whole_calls) {
        begin_call(p);
        p->mark = p->pos;
    }
    return DV__STEP_MORE;
}

static dv__step head(dv_chatfmt_parser *p, bool final)
{
    dv__head h;
    size_t n = p->in.len - p->pos;
    dv__look r = dv__call_head(p, p->in.data + p->pos, DV_MIN(n, (size_t)DV_CHATFMT_MAX_HEAD), &h);
    if (r == DV__LOOK_NEED && n < DV_CHATFMT_MAX_HEAD && !final)
        return DV__STEP_WAIT;
    if (r != DV__LOOK_OK)
        return fail_call(p);
    p->pos += h.len;
    if (h.no_args) {
        begin_call(p);
        emit_text(p, DV_CHATFMT_CALL_ARGS, "{}", 2);
        return after_args(p);
    }
    return begin_args(p);
}

/* Arguments that stop being JSON, or stop altogether. */
static dv__step broken(dv_chatfmt_parser *p)
{
    if (!p->begun)
        return fail_call(p);
    end_call(p, false);
    to_content(p);
    return DV__STEP_MORE;
}

static dv__step args(dv_chatfmt_parser *p, bool final)
{
    size_t from = p->pos;
    dv__jscan_result r = DV__JSCAN_MORE;
    while (r == DV__JSCAN_MORE && p->pos < p->in.len) {
        r = dv__jscan_byte(&p->scan, (unsigned char)p->in.data[p->pos]);
        p->pos += r != DV__JSCAN_BAD;
        if (!p->begun && p->pos - p->mark > DV_CHATFMT_MAX_CALL)
            r = DV__JSCAN_BAD;
    }
    if (p->begun) {
        emit_text(p, DV_CHATFMT_CALL_ARGS, p->in.data + from, p->pos - from);
        p->mark = p->pos;
    }
    if (r == DV__JSCAN_BAD || (r == DV__JSCAN_MORE && final))
        return broken(p);
    if (r == DV__JSCAN_MORE)
        return DV__STEP_WAIT;
    if (!p->begun) {
        begin_call(p);
        emit_text(p, DV_CHATFMT_CALL_ARGS, p->in.data + p->args_at, p->pos - p->args_at);
    }
    return after_args(p);
}

static dv__step tail(dv_chatfmt_parser *p, bool final)
{
    size_t n = p->in.len - p->pos, len = 0;
    bool next = false;
    dv__look r = DV__LOOK_OK;
    if (p->f->kind != DV_CHATFMT_HARMONY)
        r = dv__call_tail(p, p->in.data + p->pos, DV_MIN(n, (size_t)DV_CHATFMT_MAX_HEAD), &len, &next);
    if (r == DV__LOOK_NEED && n < DV_CHATFMT_MAX_HEAD && !final)
        return DV__STEP_WAIT;
    if (r == DV__LOOK_NEED && final) /* the answer was cut inside of it: that is no content */
        len = n;
    p->pos = p->mark += r == DV__LOOK_BAD ? 0 : len;
    p->after_call = p->skip_space = true;
    p->n_space = 0;
    p->state = p->f->kind == DV_CHATFMT_HARMONY ? DV__IN_HEADER : DV__IN_CONTENT;
    if (next) {
        look_for_call(p, 1);
        p->next = true;
    }
    return DV__STEP_MORE;
}

/* ---- Harmony ------------------------------------------------------------------------------------------------------- */

static dv__step header(dv_chatfmt_parser *p, bool final)
{
    size_t n = p->in.len - p->pos, len = 0;
    if (n == 0)
        return DV__STEP_WAIT;
    dv__look r = dv__harmony_header(p, p->in.data + p->pos, DV_MIN(n, (size_t)DV__HEADER_MAX), &len);
    if (r == DV__LOOK_NEED && n < DV__HEADER_MAX && !final)
        return DV__STEP_WAIT;
    if (r == DV__LOOK_NEED && final) { /* cut inside of it, or what closed the last message */
        p->mark = p->pos = p->in.len;
        return DV__STEP_WAIT;
    }
    if (r == DV__LOOK_OK && p->name[0] != 0 && p->tools != NULL) {
        p->open = len;
        p->pos += len;
        return begin_args(p);
    }
    p->state = DV__IN_BODY;
    p->mark = p->pos += len;
    if (r == DV__LOOK_OK)
        return DV__STEP_MORE;
    p->channel = DV_CHATFMT_CONTENT;
    char c = p->pos < p->in.len ? p->in.data[p->pos] : 'x';
    if (c == '<' || (unsigned char)c >= DV__MARK_BYTE) { /* a marker that opens nothing must not lead back here */
        emit_text(p, DV_CHATFMT_CONTENT, p->in.data + p->pos, 1);
        p->mark = ++p->pos;
    }
    return DV__STEP_MORE;
}

static dv__step body(dv_chatfmt_parser *p, bool final)
{
    static const uint8_t ends[] = {DV__MARK_END, DV__MARK_END2, DV__MARK_THINK, DV__MARK_BEGIN, DV__MARK_BEGIN2};
    const char *s = p->in.data + p->pos;
    size_t n = p->in.len - p->pos, i = 0;
    bool found_end = false, need = false;
    for (; i < n && !found_end && !need; i += !found_end && !need) {
        for (size_t k = 0; k < DV_ARRAY_LEN(ends) && !found_end; k++) {
            dv__cur c = {.f = p->f, .s = s, .n = n, .i = i};
            dv__look r = dv__cur_mark(&c, ends[k]);
            found_end = r == DV__LOOK_OK;
            need |= r == DV__LOOK_NEED && !final;
        }
    }
    emit_text(p, p->channel, s, i);
    p->mark = p->pos += i;
    if (found_end)
        p->state = DV__IN_HEADER;
    return found_end ? DV__STEP_MORE : DV__STEP_WAIT;
}

/* ---- feeding ------------------------------------------------------------------------------------------------------- */

static int run(dv_chatfmt_parser *p, bool final)
{
    static dv__step (*const states[])(dv_chatfmt_parser *, bool) = {
        [DV__IN_CONTENT] = content, [DV__IN_THOUGHTS] = thoughts, [DV__IN_HEAD] = head, [DV__IN_ARGS] = args,
        [DV__IN_TAIL] = tail,       [DV__IN_HEADER] = header,     [DV__IN_BODY] = body};
    if (p->in.code != 0)
        p->code = p->in.code;
    if (p->in.data == NULL)
        return p->code;
    while (p->code == 0 && states[p->state](p, final) == DV__STEP_MORE)
        continue;
    dv_buf_shift(&p->in, p->mark);
    p->pos -= p->mark;
    p->args_at -= DV_MIN(p->args_at, p->mark);
    p->mark = 0;
    return p->code;
}

int dv_chatfmt_push(dv_chatfmt_parser *p, const char *text, size_t n)
{
    if (p->code != 0)
        return p->code;
    for (size_t i = 0, from = 0; i < n && p->in.code == 0; from = i) {
        uint32_t cp;
        int k = 0;
        while (i < n && (k = dv_utf8_decode(text + i, n - i, &cp)) > 0)
            i += (size_t)k;
        dv_buf_add(&p->in, text + from, i - from);
        if (i < n) {
            dv_buf_adds(&p->in, "\xef\xbf\xbd");
            i++;
        }
    }
    return run(p, false);
}

/* Whether the parser looks for a marker. */
static bool is_read(const dv_chatfmt *f, int mark, bool tools)
{
    return f->mark[mark] != NULL && (f->kind == DV_CHATFMT_HARMONY || mark <= DV__MARK_UNTHINK || tools);
}

int dv_chatfmt_push_control(dv_chatfmt_parser *p, const char *text, size_t n)
{
    if (p->code != 0)
        return p->code;
    for (int m = 0; m < DV__MARK_N; m++) {
        const char *mark = p->f->mark[m];
        if (!is_read(p->f, m, p->tools != NULL) || strlen(mark) != n || memcmp(mark, text, n) != 0)
            continue;
        dv_buf_addc(&p->in, (char)(DV__MARK_BYTE + m));
        break;
    }
    return run(p, false);
}

static bool has_tools(const dv_chattools *t)
{
    return t != NULL && t->choice != DV_TOOLCHOICE_NONE && json_array_size(t->list) > 0;
}

size_t dv_chatfmt_marks(const dv_chatfmt *f, const dv_chattools *tools, uint32_t out[DV_CHATFMT_MAX_MARKS])
{
    size_t n = 0;
    _Static_assert((int)DV_CHATFMT_MAX_MARKS == (int)DV__MARK_N, "room for all of them");
    for (int m = 0; m < DV__MARK_N && f->tok != NULL; m++) {
        const char *mark = is_read(f, m, has_tools(tools)) ? f->mark[m] : "";
        int32_t id = mark[0] != 0 ? dv_tok_find(f->tok, mark, strlen(mark)) : -1;
        if (id >= 0 && dv_tok_is_control(f->tok, id))
            out[n++] = (uint32_t)id;
    }
    return n;
}

int dv_chatfmt_finish(dv_chatfmt_parser *p)
{
    if (p->code != 0)
        return p->code;
    return run(p, true);
}

unsigned dv_chatfmt_n_calls(const dv_chatfmt_parser *p) { return p->n_calls + p->begun; }

/* ---- opening ------------------------------------------------------------------------------------------------------- */

int dv_chatfmt_parser_open(dv_chatfmt_parser **out, const dv_chatfmt *f, const dv_chatfmt_parser_options *o,
                           dv_err *err)
{
    dv_chatfmt_parser *p = *out = dv_calloc(DV_MEM_TOK, 1, sizeof *p);
    if (p == NULL)
        return dv_fail(err, DV_ENOMEM, "no memory for an answer");
    p->f = f;
    p->o = *o;
    p->o.tools = NULL;
    dv_rng_seed(&p->rng, o->seed);
    dv_buf_init(&p->in, 0);
    if (has_tools(o->tools))
        p->tools = json_incref(o->tools->list);
    p->at_start = true;
    p->state = f->kind == DV_CHATFMT_HARMONY         ? DV__IN_HEADER
               : o->in_thinking && !o->keep_thinking ? DV__IN_THOUGHTS
                                                     : DV__IN_CONTENT;
    p->skip_space = p->state == DV__IN_THOUGHTS;
    return 0;
}

void dv_chatfmt_parser_close(dv_chatfmt_parser **p)
{
    if (p == NULL || *p == NULL)
        return;
    json_decref((*p)->tools);
    dv_buf_fini(&(*p)->in);
    dv_free(*p);
    *p = NULL;
}
