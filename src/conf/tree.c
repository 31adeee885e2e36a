/* SPDX-License-Identifier: MIT */
/* libyaml's events are turned into nodes one by one, so a bound is met before anything deeper or larger is read. libyaml has its own
 * allocator (malloc) and needs no more than a small multiple of the text. */
#include "conf/tree.h"

#include "base/err.h"
#include "base/utf8.h"

#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    dv_arena *arena;
    const char *shown;
    const char *text;
    size_t len;
    dv_err *err;
    dv__yaml *root;
    dv__yaml *open[DV__YAML_DEPTH];      /* containers around the next node */
    const dv__yaml *key[DV__YAML_DEPTH]; /* of a map: the key whose value comes next */
    size_t depth, n_nodes;
} reader;

/* libyaml's marks count from 0. */
static int fail_at(reader *r, int code, yaml_mark_t at, const char *what)
{
    return dv_fail(r->err, code, "%s:%zu:%zu: %s", r->shown, at.line + 1, at.column + 1, what);
}

/* Where a byte is that cannot be read: such errors come without a mark. */
static yaml_mark_t mark_of(const reader *r, size_t offset)
{
    yaml_mark_t at = {0};
    for (size_t i = 0; i < offset && i < r->len; i++) {
        if (r->text[i] == '\n') {
            at.line++;
            at.column = 0;
        } else if ((r->text[i] & 0xc0) != 0x80) {
            at.column++;
        }
    }
    return at;
}

/* The character at a mark, or 0. */
static char char_at(const reader *r, yaml_mark_t at)
{
    size_t i = 0;
    for (; at.line > 0 && i < r->len; i++)
        at.line -= r->text[i] == '\n';
    for (; at.column > 0 && i < r->len; i++)
        at.column -= i + 1 == r->len || (r->text[i + 1] & 0xc0) != 0x80;
    return i < r->len ? r->text[i] : 0;
}

static int fail_parser(reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem != NULL ? p->problem : "it cannot be read";
    if (p->error == YAML_MEMORY_ERROR)
        return dv_fail(r->err, DV_ENOMEM, "%s: %s", r->shown, dv_error_text(DV_ENOMEM));
    if (p->error == YAML_READER_ERROR)
        return fail_at(r, DV_EFORMAT, mark_of(r, p->problem_offset), "not UTF-8 text, or a control character");
    if (p->error == YAML_SCANNER_ERROR && char_at(r, p->problem_mark) == '\t')
        return fail_at(r, DV_EFORMAT, p->problem_mark, "a tab; lines are indented with blanks");
    if (p->context != NULL)
        return dv_fail(r->err, DV_EFORMAT, "%s:%zu:%zu: not YAML: %s, %s that begins at %zu:%zu", r->shown,
                       p->problem_mark.line + 1, p->problem_mark.column + 1, problem, p->context,
                       p->context_mark.line + 1, p->context_mark.column + 1);
    return dv_fail(r->err, DV_EFORMAT, "%s:%zu:%zu: not YAML: %s", r->shown, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, problem);
}

static bool has_control(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        int k = dv_utf8_printable(s + i, n - i);
        if (k <= 0)
            return true;
        i += (size_t)k;
    }
    return false;
}

static bool is_null(const yaml_event_t *e, const char *s)
{
    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (s[0] == 0 || strcmp(s, "~") == 0 || strcmp(s, "null") == 0 || strcmp(s, "Null") == 0 ||
            strcmp(s, "NULL") == 0);
}

static int read_scalar(reader *r, const yaml_event_t *e, dv__yaml *node)
{
    const char *s = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    if (n > DV__YAML_SCALAR)
        return fail_at(r, DV_ELIMIT, e->start_mark, "a value of more than 4096 bytes");
    if (has_control(s, n))
        return fail_at(r, DV_EFORMAT, e->start_mark, "a value with a line end or another control character");
    node->text = dv_arena_strndup(r->arena, s, n);
    node->len = n;
    node->null = is_null(e, s);
    return node->text != NULL ? 0 : DV_ENOMEM;
}

static int make_node(reader *r, const yaml_event_t *e, dv__yaml_kind kind, dv__yaml **out)
{
    if (++r->n_nodes > DV__YAML_NODES)
        return fail_at(r, DV_ELIMIT, e->start_mark, "more than 65536 values");
    dv__yaml *node = dv_arena_calloc(r->arena, 1, sizeof *node);
    if (node == NULL)
        return DV_ENOMEM;
    node->kind = kind;
    node->line = (uint32_t)e->start_mark.line + 1;
    node->column = (uint32_t)e->start_mark.column + 1;
    *out = node;
    return kind == DV__YAML_TEXT ? read_scalar(r, e, node) : 0;
}

/* A key is remembered until its value comes. */
static int take_key(reader *r, const yaml_event_t *e, const dv__yaml *node)
{
    const dv__yaml *map = r->open[r->depth - 1];
    if (node->kind != DV__YAML_TEXT)
        return fail_at(r, DV_EFORMAT, e->start_mark, "a key that is no word");
    if (node->len > DV__YAML_KEY || node->len == 0)
        return fail_at(r, DV_EFORMAT, e->start_mark, "a key that is no word of up to 64 bytes");
    if (map->n >= DV__YAML_KEYS)
        return fail_at(r, DV_ELIMIT, e->start_mark, "more than 1024 keys in one place");
    for (const dv__yaml *have = map->first; have != NULL; have = have->next)
        if (strcmp(have->key->text, node->text) == 0)
            return dv_fail(r->err, DV_EFORMAT, "%s:%u:%u: '%s' is here for the second time, the first is at %u:%u",
                           r->shown, (unsigned)node->line, (unsigned)node->column, node->text,
                           (unsigned)have->key->line, (unsigned)have->key->column);
    r->key[r->depth - 1] = node;
    return 0;
}

static int add_node(reader *r, const yaml_event_t *e, dv__yaml *node)
{
    if (r->depth == 0) {
        r->root = node;
        return 0;
    }
    dv__yaml *parent = r->open[r->depth - 1];
    if (parent->kind == DV__YAML_MAP && r->key[r->depth - 1] == NULL)
        return take_key(r, e, node);
    node->key = r->key[r->depth - 1];
    r->key[r->depth - 1] = NULL;
    *(parent->last != NULL ? &parent->last->next : &parent->first) = node;
    parent->last = node;
    parent->n++;
    return 0;
}

static int take_node(reader *r, const yaml_event_t *e, dv__yaml_kind kind, const yaml_char_t *anchor,
                     const yaml_char_t *tag)
{
    dv__yaml *node = NULL;
    if (anchor != NULL)
        return fail_at(r, DV_EFORMAT, e->start_mark, "anchors (&name) are not taken: write the value out");
    if (tag != NULL)
        return fail_at(r, DV_EFORMAT, e->start_mark, "tags (!name) are not taken");
    int rc = make_node(r, e, kind, &node);
    if (rc == 0)
        rc = add_node(r, e, node);
    if (rc != 0 || kind == DV__YAML_TEXT)
        return rc;
    if (r->depth == DV__YAML_DEPTH)
        return fail_at(r, DV_ELIMIT, e->start_mark, "nested more than 12 deep");
    r->key[r->depth] = NULL;
    r->open[r->depth++] = node;
    return 0;
}

/* *done: the stream has ended. */
static int take_event(reader *r, const yaml_event_t *e, bool *done)
{
    switch (e->type) {
    case YAML_STREAM_END_EVENT: *done = true; return 0;
    case YAML_DOCUMENT_START_EVENT:
        return r->root == NULL ? 0 : fail_at(r, DV_EFORMAT, e->start_mark, "a second document; a file has one");
    case YAML_ALIAS_EVENT:
        return fail_at(r, DV_EFORMAT, e->start_mark, "aliases (*name) are not taken: write the value out");
    case YAML_SCALAR_EVENT: return take_node(r, e, DV__YAML_TEXT, e->data.scalar.anchor, e->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        return take_node(r, e, DV__YAML_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return take_node(r, e, DV__YAML_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: r->depth--; return 0;
    default: return 0;
    }
}

static int read_events(reader *r)
{
    bool done = false;
    int rc = 0;
    while (rc == 0 && !done) {
        yaml_event_t e;
        if (yaml_parser_parse(&r->parser, &e) == 0)
            return fail_parser(r);
        rc = take_event(r, &e, &done);
        yaml_event_delete(&e);
    }
    return rc;
}

int dv__yaml_parse(dv__yaml **root, dv_arena *a, const char *shown, const char *text, size_t len, dv_err *err)
{
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark is no part of the first line */
        text += 3;
        len -= 3;
    }
    reader r = {.arena = a, .shown = shown, .text = text, .len = len, .err = err};
    int rc = DV_ENOMEM;
    *root = NULL;
    if (yaml_parser_initialize(&r.parser) != 0) {
        yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING); /* or a mark at its beginning could make it UTF-16 */
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
        rc = read_events(&r);
        yaml_parser_delete(&r.parser);
    }
    /* An empty document is one null. */
    if (rc == 0 && r.root != NULL && !(r.root->kind == DV__YAML_TEXT && r.root->null))
        *root = r.root;
    return rc == DV_ENOMEM ? dv_fail(err, rc, "%s: %s", shown, dv_error_text(rc)) : rc;
}
