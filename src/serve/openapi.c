/* SPDX-License-Identifier: MIT */
/* The document's frame: paths, operations, errors, ways to say who one is. */
#include "serve/openapi.h"

#include "base/attr.h"

#include <ctype.h>
#include <string.h>

/* A path that a row serves: its own, or that without "/v1". */
typedef struct entry {
    const dv__row *row;
    const char *path;
} entry;

enum { ENTRIES = 512 };

typedef struct doc {
    dv_buf *b;
    dv__openapi_set set;
    entry e[ENTRIES];
    size_t n;
} doc;

/* False if there are more than there is room for. */
static bool collect(doc *d)
{
    const dv__row *r;
    for (size_t k = 0; (r = dv__row_at(k)) != NULL; k++) {
        bool bare = (r->flags & DV__ROW_BARE) != 0;
        if (d->n + 2 > ENTRIES)
            return false;
        d->e[d->n++] = (entry){r, r->path};
        if (bare)
            d->e[d->n++] = (entry){r, r->path + strlen("/v1")};
    }
    return true;
}

static bool same(const entry *a, const entry *b)
{
    return strcmp(a->path, b->path) == 0 && a->row->verb == b->row->verb;
}

/* Whether an entry before this one has its path, and its method too. */
static bool seen(const doc *d, const entry *e, bool verb)
{
    for (const entry *k = d->e; k < e; k++)
        if (verb ? same(k, e) : strcmp(k->path, e->path) == 0)
            return true;
    return false;
}

/* ---- what goes in ---- */

/* "/v1/models/{model*}" is {model} in the document: it has no words for several segments. */
static void put_path(dv_buf *b, const char *path)
{
    dv_buf_addc(b, '"');
    for (; *path != 0; path++)
        if (*path != '*')
            dv_buf_addc(b, *path);
    dv_buf_addc(b, '"');
}

static void put_path_params(dv_buf *b, const char *path, bool *first)
{
    for (const char *p = strchr(path, '{'); p != NULL; p = strchr(p + 1, '{')) {
        size_t n = strcspn(p + 1, "*}");
        dv_buf_printf(
            b,
            "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,\"schema\":{\"type\":\"string\",\"minLength\":1}",
            *first ? "" : ",", (int)n, p + 1);
        if (p[1 + n] == '*')
            dv_buf_adds(b, ",\"description\":\"It may have slashes.\"");
        dv_buf_addc(b, '}');
        *first = false;
    }
}

static void put_query_params(dv_buf *b, dv__openapi_set *set, const dv__schema *s, bool *first)
{
    for (; s != NULL; s = s->base)
        for (size_t i = 0; i < s->n; i++) {
            const dv__field *f = &s->fields[i];
            dv__field bare = *f;
            bare.help = NULL;
            if (f->name[0] == '*')
                continue;
            dv_buf_printf(b, "%s{\"name\":\"%s\",\"in\":\"query\"", *first ? "" : ",", f->name);
            dv_buf_adds(b, f->flags & DV__F_REQUIRED ? ",\"required\":true,\"schema\":" : ",\"schema\":");
            dv__openapi_value(b, set, &bare, false, false);
            dv__openapi_text(b, true, "description", f->help);
            dv_buf_addc(b, '}');
            *first = false;
        }
}

static void put_params(dv_buf *b, dv__openapi_set *set, const entry *e)
{
    bool first = true;
    dv_buf_adds(b, ",\"parameters\":[");
    put_path_params(b, e->path, &first);
    put_query_params(b, set, e->row->query, &first);
    if (e->row->flags & DV__ROW_JOB) {
        dv_buf_adds(b, first ? "" : ",");
        dv_buf_adds(b, "{\"$ref\":\"#/components/parameters/Profile\"}");
    }
    dv_buf_addc(b, ']');
}

/* Of rows with the same path and method, which one answers depends on the listener: a body is what one of them takes. */
static unsigned count_bodies(const doc *d, const entry *e)
{
    unsigned n = 0;
    for (const entry *k = d->e; k < d->e + d->n; k++)
        n += same(k, e) && k->row->body != NULL;
    return n;
}

static void put_body(doc *d, const entry *e)
{
    dv_buf *b = d->b;
    unsigned n = count_bodies(d, e);
    bool first = true;
    if (n == 0)
        return;
    dv_buf_printf(b, ",\"requestBody\":{\"required\":%s,\"content\":{\"application/json\":{\"schema\":{",
                  e->row->flags & DV__ROW_OPTIONAL ? "false" : "true");
    dv_buf_adds(b, n > 1 ? "\"anyOf\":[" : "");
    for (const entry *k = d->e; k < d->e + d->n; k++) {
        if (!same(k, e) || k->row->body == NULL)
            continue;
        dv_buf_adds(b, n == 1 ? "" : first ? "{" : ",{");
        dv__openapi_ref(b, &d->set, k->row->body, false);
        dv_buf_adds(b, n == 1 ? "" : "}");
        first = false;
    }
    dv_buf_adds(b, n > 1 ? "]}}}}" : "}}}}");
}

/* ---- what comes out ---- */

typedef struct failure {
    int status;
    const char *name, *text;
} failure;

static const failure failures[] = {
    {400, "BadRequest", "The body or a parameter is wrong: the sentence begins with the place."},
    {401, "Unauthorized", "A key or a session is needed, or the one that came is none."},
    {403, "Forbidden", "Not with this key, from this page or to this host."},
    {404, "NotFound", "There is no such thing, or it is not for this key."},
    {413, "TooLarge", "The body is larger than the server takes."},
    {429, "TooManyRequests", "A limit is reached: Retry-After says when to come again."},
    {503, "Unavailable", "There is no room now, or no model: Retry-After says when to come again."},
};

static const char *const styles[DV_STYLE_N] = {[DV_STYLE_OPENAI] = "", [DV_STYLE_ANTHROPIC] = "Anthropic"};

static bool may_fail(const dv__row *r, int status)
{
    switch (status) {
    case 400: return r->body != NULL || r->query != NULL;
    case 401:
    case 429: return (r->flags & DV__ROW_PUBLIC) == 0;
    case 404: return (r->flags & DV__ROW_JOB) != 0 || strchr(r->path, '{') != NULL || r->body != NULL;
    case 413: return r->body != NULL;
    default: return true;
    }
}

static bool streams(const dv__row *r)
{
    bool found = false;
    for (const dv__schema *s = r->body; s != NULL && !found; s = s->base)
        for (size_t i = 0; i < s->n; i++)
            found |= strcmp(s->fields[i].name, "stream") == 0;
    return found && (r->flags & DV__ROW_JOB) != 0;
}

/* The form of a reply that is an object is its table; another one is written here. */
static void put_form(dv_buf *b, dv__openapi_set *set, const dv__reply_form *form)
{
    if (form == NULL)
        dv_buf_adds(b, "{}");
    else
        dv__openapi_value(b, set, &form->form, false, true);
}

static void put_success(dv_buf *b, dv__openapi_set *set, const dv__row *r)
{
    const dv__reply_form *form = r->reply != NULL ? dv__reply_form_find(r->reply) : NULL;
    const char *text = form != NULL && form->form.help != NULL ? form->form.help
                       : r->reply != NULL                      ? r->reply
                                                               : "Done.";
    dv_buf_adds(b, "\"2XX\":{");
    dv__openapi_text(b, false, "description", text);
    if (form != NULL && form->form.types == 0) { /* nothing */
        dv_buf_addc(b, '}');
        return;
    }
    dv_buf_printf(b, ",\"content\":{\"%s\":{\"schema\":", r->type != NULL ? r->type : "application/json");
    put_form(b, set, form);
    dv_buf_adds(b, streams(r) ? "},\"text/event-stream\":{\"schema\":{\"type\":\"string\"}}}}" : "}}}");
}

static void put_responses(dv_buf *b, dv__openapi_set *set, const dv__row *r)
{
    dv_buf_adds(b, ",\"responses\":{");
    put_success(b, set, r);
    for (size_t i = 0; i < DV_ARRAY_LEN(failures); i++)
        if (may_fail(r, failures[i].status))
            dv_buf_printf(b, ",\"%d\":{\"$ref\":\"#/components/responses/%s%s\"}", failures[i].status, styles[r->style],
                          failures[i].name);
    dv_buf_addc(b, '}');
}

static void put_all_failures(dv_buf *b, dv__openapi_set *set)
{
    for (unsigned style = 0; style < DV_STYLE_N; style++)
        for (size_t i = 0; i < DV_ARRAY_LEN(failures); i++) {
            const failure *f = &failures[i];
            dv_buf_printf(b, "%s\"%s%s\":{", style + i > 0 ? "," : "", styles[style], f->name);
            dv__openapi_text(b, false, "description", f->text);
            if (f->status == 429 || f->status == 503)
                dv_buf_adds(
                    b,
                    ",\"headers\":{\"Retry-After\":{\"description\":\"Seconds.\",\"schema\":{\"type\":\"integer\",\"minimum\":0}}}");
            dv_buf_adds(b, ",\"content\":{\"application/json\":{\"schema\":");
            put_form(b, set, dv__reply_form_error((dv_style)style));
            dv_buf_adds(b, "}}}");
        }
}

/* ---- operations ---- */

static const char *const verbs[DV_HTTP_VERB_N] = {
    [DV_HTTP_GET] = "get",     [DV_HTTP_POST] = "post",     [DV_HTTP_PUT] = "put",
    [DV_HTTP_PATCH] = "patch", [DV_HTTP_DELETE] = "delete",
};

/* "post_v1_chat_completions" */
static void put_id(dv_buf *b, const entry *e)
{
    dv_buf_printf(b, "{\"operationId\":\"%s", verbs[e->row->verb]);
    for (const char *p = e->path; *p != 0; p++)
        if (isalnum((unsigned char)*p))
            dv_buf_addc(b, *p);
        else if (*p == '/' || *p == '-' || *p == '_' || *p == '.')
            dv_buf_addc(b, '_');
    dv_buf_addc(b, '"');
}

static void put_security(dv_buf *b, const dv__row *r)
{
    if (r->flags & (DV__ROW_PUBLIC | DV__ROW_LOGIN))
        dv_buf_adds(b, ",\"security\":[]");
    else if (r->flags & DV__ROW_SESSION)
        dv_buf_adds(b, ",\"security\":[{\"cookie\":[]}]");
    else
        dv_buf_adds(b, ",\"security\":[{\"bearer\":[]},{\"apiKey\":[]},{\"cookie\":[]}]");
}

static void put_operation(doc *d, const entry *e)
{
    const dv__row *r = e->row;
    dv_buf *b = d->b;
    dv_buf_printf(b, "\"%s\":", verbs[r->verb]);
    put_id(b, e);
    dv_buf_printf(b, ",\"tags\":[\"%s\"]", dv__group_name(r->group));
    dv__openapi_text(b, true, "summary", r->summary);
    put_params(b, &d->set, e);
    put_body(d, e);
    put_responses(b, &d->set, r);
    put_security(b, r);
    dv_buf_printf(b, ",\"x-drover-group\":\"%s\",\"x-drover-admin\":%s,\"x-drover-public\":%s}",
                  dv__group_name(r->group), r->flags & DV__ROW_ADMIN ? "true" : "false",
                  r->flags & DV__ROW_PUBLIC ? "true" : "false");
}

static void put_path_item(doc *d, const entry *from)
{
    bool first = true;
    put_path(d->b, from->path);
    dv_buf_adds(d->b, ":{");
    for (const entry *e = from; e < d->e + d->n; e++) {
        if (strcmp(e->path, from->path) != 0 || verbs[e->row->verb] == NULL || seen(d, e, true))
            continue;
        dv_buf_adds(d->b, first ? "" : ",");
        put_operation(d, e);
        first = false;
    }
    dv_buf_addc(d->b, '}');
}

static void put_paths(doc *d)
{
    bool first = true;
    dv_buf_adds(d->b, ",\"paths\":{");
    for (const entry *e = d->e; e < d->e + d->n; e++) {
        if (seen(d, e, false))
            continue;
        dv_buf_adds(d->b, first ? "" : ",");
        put_path_item(d, e);
        first = false;
    }
    dv_buf_addc(d->b, '}');
}

/* ---- the frame ---- */

static void put_info(dv_buf *b, const char *version)
{
    static const char text[] =
        "Every GET route answers HEAD too. A field that a body's schema does not have is refused, and null is the same as absent. Lengths of texts "
        "are counted in bytes, and texts may have no control characters but tab, line feed and carriage return.";
    dv_buf_adds(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"drover\"");
    dv__openapi_text(b, true, "version", version);
    dv__openapi_text(b, true, "description", text);
    dv_buf_adds(b, ",\"license\":{\"name\":\"MIT\",\"identifier\":\"MIT\"}},\"servers\":[{\"url\":\"/\"}],\"tags\":[");
#define TAG(id, tag, about)                                                                     \
    dv_buf_adds(b, DV__GROUP_##id > 0 ? ",{\"name\":\"" tag "\",\"description\":\"" about "\"}" \
                                      : "{\"name\":\"" tag "\",\"description\":\"" about "\"}");
    DV__GROUPS(TAG)
#undef TAG
    dv_buf_addc(b, ']');
}

static void put_schemes(dv_buf *b)
{
    dv_buf_adds(
        b,
        "},\"parameters\":{\"Profile\":{\"name\":\"X-Drover-Profile\",\"in\":\"header\",\"schema\":{\"type\":\"string\"},"
        "\"description\":\"A profile for this request.\"}},"
        "\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"An API key.\"},"
        "\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\",\"description\":\"The same, as Anthropic's clients send it.\"},"
        "\"cookie\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"drover_session\","
        "\"description\":\"A user's session. What changes something needs the field X-CSRF-Token as well.\"}}}}");
}

int dv__openapi_write(dv_buf *b, const char *version)
{
    doc d = {.b = b};
    if (!collect(&d))
        return DV_ELIMIT;
    put_info(b, version);
    put_paths(&d);
    dv_buf_adds(b, ",\"components\":{\"responses\":{");
    put_all_failures(b, &d.set);
    dv_buf_adds(b, "},\"schemas\":{");
    dv__openapi_schemas(b, &d.set);
    put_schemes(b);
    return b->code != 0 ? b->code : d.set.full ? DV_ELIMIT : 0;
}
