/* SPDX-License-Identifier: MIT */
/* Answers: the first byte chooses the format and the options, the second how the rest, the answer, is cut. Cut or not, as a stream or as
 * a whole, the events must be the same; begun calls end; complete arguments are JSON that a reader takes; without calls
 * and thoughts every byte that is no white space must come out again. */
#include "target.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "chat/parser.h"

#include <string.h>

#define DS_CALLS                    \
    "<\xef\xbd\x9ctool\xe2\x96\x81" \
    "calls\xe2\x96\x81"             \
    "begin\xef\xbd\x9c>"

static const char *const templates[] = {"x",
                                        "<|start_header_id|>ipython",
                                        "<tool_call></think>",
                                        "[TOOL_CALLS]",
                                        "[TOOL_CALLS][ARGS][THINK][/THINK]",
                                        "functools",
                                        DS_CALLS "```json",
                                        DS_CALLS "</think>",
                                        "<start_of_turn>",
                                        "<|channel|><|message|>"};

/* Events as text, and what must hold of them on the way. */
typedef struct record {
    dv_buf text, args, content;
    int last;
    bool open, called;
    unsigned n;
} record;

static void check_args(record *r, bool complete)
{
    if (r->args.code != 0)
        return;
    json_error_t e;
    json_t *j = json_loadb(dv_buf_str(&r->args), r->args.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &e);
    int code = j == NULL ? (int)json_error_code(&e) : 0;
    bool reader_limit =
        code == json_error_numeric_overflow || code == json_error_null_byte_in_key || code == json_error_out_of_memory;
    DV_FUZZ_CHECK((j != NULL && json_is_object(j)) == complete || reader_limit);
    json_decref(j);
}

static int on_event(void *arg, const dv_chatfmt_event *ev)
{
    record *r = arg;
    bool delta = ev->type != DV_CHATFMT_CALL_BEGIN && ev->type != DV_CHATFMT_CALL_END;
    bool in_call = ev->type == DV_CHATFMT_CALL_ARGS || ev->type == DV_CHATFMT_CALL_END;
    DV_FUZZ_CHECK(r->open == in_call && ev->type < DV_CHATFMT_EVENT_N);
    DV_FUZZ_CHECK(!delta || (ev->n > 0 && dv_utf8_valid(ev->text, ev->n)));
    if (!delta || r->last != (int)ev->type)
        dv_buf_printf(&r->text, "|%d:", (int)ev->type);
    r->last = (int)ev->type;
    if (delta)
        dv_buf_add(&r->text, ev->text, ev->n);
    if (ev->type == DV_CHATFMT_CONTENT)
        dv_buf_add(&r->content, ev->text, ev->n);
    else
        r->called = true;
    if (ev->type == DV_CHATFMT_CALL_BEGIN) {
        DV_FUZZ_CHECK(ev->index == r->n && ev->name[0] != 0);
        dv_buf_printf(&r->text, "%s %s", ev->id, ev->name);
        dv_buf_clear(&r->args);
        r->open = true;
    } else if (ev->type == DV_CHATFMT_CALL_ARGS) {
        dv_buf_add(&r->args, ev->text, ev->n);
    } else if (ev->type == DV_CHATFMT_CALL_END) {
        check_args(r, ev->complete);
        dv_buf_printf(&r->text, "%d", ev->complete);
        r->open = false;
        r->n++;
    }
    return 0;
}

/* step 0: at once; otherwise pieces of 1 to step characters. */
static int run(const dv_chatfmt *f, dv_chatfmt_parser_options o, const char *s, size_t n, unsigned step, record *r)
{
    dv_chatfmt_parser *p = NULL;
    *r = (record){.last = -1};
    o.on_event = on_event;
    o.arg = r;
    int rc = dv_chatfmt_parser_open(&p, f, &o, NULL);
    unsigned k = 0;
    for (size_t i = 0, len; rc == 0 && i < n; i += len) {
        unsigned left = step > 0 ? 1 + k++ % step : 0;
        uint32_t cp;
        for (len = step > 0 ? 0 : n; left > 0 && i + len < n; left--) {
            int w = dv_utf8_decode(s + i + len, n - i - len, &cp);
            len += w > 0 ? (size_t)w : 1;
        }
        rc = dv_chatfmt_push(p, s + i, len);
    }
    if (rc == 0)
        rc = dv_chatfmt_finish(p);
    DV_FUZZ_CHECK(rc == 0 || rc == DV_ENOMEM);
    DV_FUZZ_CHECK(rc != 0 || (!r->open && dv_chatfmt_n_calls(p) == r->n));
    dv_chatfmt_parser_close(&p);
    return rc;
}

static void fini(record *r)
{
    dv_buf_fini(&r->text);
    dv_buf_fini(&r->args);
    dv_buf_fini(&r->content);
}

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Nothing is lost and nothing added but white space. */
static void check_content(const record *r, const char *s, size_t n)
{
    size_t a = 0, b = 0;
    for (; a < n || b < r->content.len; a++, b++) {
        while (a < n && space(s[a]))
            a++;
        while (b < r->content.len && space(r->content.data[b]))
            b++;
        DV_FUZZ_CHECK((a < n) == (b < r->content.len) && (a >= n || s[a] == r->content.data[b]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dv_chatfmt *f = NULL;
    json_t *list = json_pack("[{s:s, s:{s:s}}, {s:s, s:{s:s}}]", "type", "function", "function", "name", "f", "type",
                             "function", "function", "name", "g");
    dv_chattools tools;
    record a = {0}, b = {0};
    if (size >= 2 && dv_chattools_from_openai(&tools, list, NULL, NULL, NULL) == 0) {
        const char *s = (const char *)data + 2;
        size_t n = size - 2, n_templates = sizeof templates / sizeof templates[0];
        dv_chatfmt_parser_options o = {.tools = &tools,
                                       .whole_calls = data[0] & 0x80,
                                       .in_thinking = data[0] & 0x40,
                                       .keep_thinking = data[0] & 0x20,
                                       .calls_first = data[1] & 0x80};
        int rc = dv_chatfmt_open_text(&f, templates[(data[0] & 0x1f) % n_templates], NULL, NULL, NULL, NULL, NULL);
        if (rc == 0 && run(f, o, s, n, 0, &a) == 0 && run(f, o, s, n, 1 + data[1] % 16, &b) == 0 && a.text.code == 0 &&
            b.text.code == 0) {
            DV_FUZZ_CHECK(a.text.len == b.text.len &&
                          (a.text.len == 0 || memcmp(a.text.data, b.text.data, a.text.len) == 0));
            if (!a.called && a.content.code == 0 && dv_utf8_valid(s, n) &&
                dv_chatfmt_kind_of(f) != DV_CHATFMT_HARMONY && memmem(s, n, "think>", 6) == NULL &&
                memmem(s, n, "THINK]", 6) == NULL)
                check_content(&a, s, n);
        }
        dv_chattools_fini(&tools);
    }
    fini(&a);
    fini(&b);
    dv_chatfmt_close(&f);
    json_decref(list);
    return 0;
}
