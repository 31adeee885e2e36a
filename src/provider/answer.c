/* SPDX-License-Identifier: MIT */
#include "provider/answer.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/json.h"

#include <string.h>

void dv__answer_init(dv__answer *a, const dv_provider_stream *stream)
{
    *a = (dv__answer){.stream = stream};
    dv__sse_init(&a->sse);
    dv_buf_init(&a->text, DV__ANSWER_MAX);
    dv_buf_init(&a->reasoning, DV__ANSWER_MAX);
    dv_buf_init(&a->model, 1024);
    dv_buf_init(&a->whole, DV__WHOLE_MAX);
}

void dv__answer_fini(dv__answer *a)
{
    dv__sse_fini(&a->sse);
    dv_buf_fini(&a->text);
    dv_buf_fini(&a->reasoning);
    dv_buf_fini(&a->model);
    dv_buf_fini(&a->whole);
}

void dv__answer_reset(dv__answer *a)
{
    dv__sse_reset(&a->sse);
    dv_buf_clear(&a->text);
    dv_buf_clear(&a->reasoning);
    dv_buf_clear(&a->model);
    dv_buf_clear(&a->whole);
    a->finish = DV_FINISH_NONE;
    a->prompt_tokens = a->completion_tokens = a->cached_tokens = 0;
    a->ended = a->done = a->delivered = false;
}

/* ---- what a server reports ---- */

static int code_of_status(int status)
{
    switch (status) {
    case 400:
    case 409:
    case 422: return DV_EINVAL;
    case 401: return DV_EAUTH;
    case 403: return DV_EACCES;
    case 404: return DV_ENOENT;
    case 413: return DV_ELIMIT;
    case 429: return DV_ERATE;
    case 503: return DV_EBUSY;
    case 405:
    case 415:
    case 501: return DV_EUNSUPPORTED;
    case 507: return DV_ENOSPC;
    default: return status >= 300 && status < 400 ? DV_EUNSUPPORTED : DV_EIO;
    }
}

static bool is_context(const json_t *error)
{
    const char *type = json_string_value(json_object_get(error, "type"));
    const char *code = json_string_value(json_object_get(error, "code"));
    return (type != NULL && strcmp(type, "exceed_context_size_error") == 0) ||
           (code != NULL && strcmp(code, "context_length_exceeded") == 0);
}

/* {"error": {"message"}} as OpenAI has it, {"error": "text"}, {"message"}, {"detail": "text"}: as others do. */
static int report(int status, const json_t *body, dv_err *err)
{
    const json_t *error = json_object_get(body, "error");
    const json_t *inner = json_is_object(error) ? error : body;
    const char *text = json_string_value(error);
    if (text == NULL)
        text = json_string_value(json_object_get(inner, "message"));
    if (text == NULL)
        text = json_string_value(json_object_get(inner, "detail"));
    if (status == 0 && json_is_integer(json_object_get(inner, "code"))) {
        json_int_t code = json_integer_value(json_object_get(inner, "code"));
        status = code >= 300 && code < 600 ? (int)code : 0;
    }
    int rc = is_context(inner) ? DV_ECONTEXT : status != 0 ? code_of_status(status) : DV_EIO;
    if (status == 0)
        return dv_fail(err, rc, "the server reports: %s", text != NULL ? text : "an error");
    return dv_fail(err, rc, "the server reports (%d): %s", status, text != NULL ? text : dv_error_text(rc));
}

int dv__answer_error(int status, const char *body, size_t n, dv_err *err)
{
    json_error_t e;
    bool no_memory;
    json_t *v = dv_json_load(body, n, 0, &e, &no_memory);
    if (no_memory)
        return dv_fail(err, DV_ENOMEM, "a reply: %s", dv_error_text(DV_ENOMEM));
    int rc = report(status, v, err); /* knows what to do without */
    json_decref(v);
    return rc;
}

/* ---- text ---- */

static int put(dv__answer *a, dv_buf *b, const char *text, size_t n, dv_err *err)
{
    if (n == 0)
        return 0;
    int rc = dv_buf_add(b, text, n);
    if (rc != 0)
        return dv_fail(err, rc, "the answer: %s", dv_error_text(rc));
    const dv_provider_stream *s = a->stream;
    int (*tell)(void *, const char *, size_t) = s == NULL ? NULL : b == &a->text ? s->on_text : s->on_reasoning;
    if (tell == NULL)
        return 0;
    a->delivered = true;
    if (tell(s->arg, text, n) == 0)
        return 0;
    return dv_fail(err, DV_ECANCELED, "%s", dv_error_text(DV_ECANCELED));
}

/* A field that is missing or null says nothing; one of another type is not an answer. */
static int put_field(dv__answer *a, dv_buf *b, const json_t *object, const char *key, dv_err *err)
{
    const json_t *v = json_object_get(object, key);
    if (v == NULL || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return dv_fail(err, DV_EFORMAT, "the server's answer has a \"%s\" that is no text", key);
    return put(a, b, json_string_value(v), json_string_length(v), err);
}

static void set_finish(dv__answer *a, const char *reason)
{
    a->ended = true;
    a->finish = strcmp(reason, "stop") == 0     ? DV_FINISH_STOP
                : strcmp(reason, "length") == 0 ? DV_FINISH_LENGTH
                                                : DV_FINISH_OTHER;
}

static int take_choice(dv__answer *a, const json_t *choice, dv_err *err)
{
    const json_t *index = json_object_get(choice, "index");
    if (json_is_integer(index) && json_integer_value(index) != 0)
        return 0; /* nobody asked for others */
    const json_t *part = json_object_get(choice, "delta");
    if (!json_is_object(part))
        part = json_object_get(choice, "message");
    int rc = put_field(a, &a->text, choice, "text", err);
    if (rc == 0)
        rc = put_field(a, &a->reasoning, part, "reasoning_content", err);
    if (rc == 0)
        rc = put_field(a, &a->text, part, "content", err);
    const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
    if (rc == 0 && reason != NULL)
        set_finish(a, reason);
    return rc;
}

static void take_count(const json_t *object, const char *key, uint64_t *out)
{
    json_int_t v = json_integer_value(json_object_get(object, key));
    if (v > 0)
        *out = (uint64_t)v;
}

static int take_object(dv__answer *a, const json_t *v, dv_err *err)
{
    const json_t *choices = json_object_get(v, "choices"), *usage = json_object_get(v, "usage");
    const json_t *error = json_object_get(v, "error");
    if (error != NULL && !json_is_null(error))
        return report(0, v, err);
    if (!json_is_array(choices))
        return dv_fail(err, DV_EFORMAT, "the server's answer has no \"choices\"");
    const char *model = json_string_value(json_object_get(v, "model"));
    if (model != NULL && a->model.len == 0 && dv_buf_adds(&a->model, model) == DV_ENOMEM)
        return dv_fail(err, DV_ENOMEM, "the answer: %s", dv_error_text(DV_ENOMEM));
    take_count(usage, "prompt_tokens", &a->prompt_tokens);
    take_count(usage, "completion_tokens", &a->completion_tokens);
    take_count(json_object_get(usage, "prompt_tokens_details"), "cached_tokens", &a->cached_tokens);
    int rc = 0;
    for (size_t i = 0; i < json_array_size(choices) && rc == 0; i++)
        rc = take_choice(a, json_array_get(choices, i), err);
    return rc;
}

static int take_json(dv__answer *a, const char *p, size_t n, dv_err *err)
{
    json_error_t e;
    bool no_memory;
    json_t *v = dv_json_load(p, n, JSON_ALLOW_NUL, &e, &no_memory);
    if (no_memory)
        return dv_fail(err, DV_ENOMEM, "the answer: %s", dv_error_text(DV_ENOMEM));
    if (!json_is_object(v)) {
        json_decref(v);
        return dv_fail(err, DV_EFORMAT, "the server's answer is no JSON object: %s",
                       v == NULL ? e.text : "another value");
    }
    int rc = take_object(a, v, err);
    json_decref(v);
    return rc;
}

/* ---- the reply's body ---- */

typedef struct feeding {
    dv__answer *a;
    dv_err *err;
} feeding;

static int on_event(void *arg, const char *data, size_t len)
{
    const feeding *f = arg;
    if (f->a->done)
        return 0;
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        f->a->done = true;
        return 0;
    }
    return take_json(f->a, data, len, f->err);
}

int dv__answer_feed(dv__answer *a, bool events, const char *p, size_t n, dv_err *err)
{
    dv_err why = {0};
    feeding f = {a, &why};
    if (a->done)
        return 0;
    int rc = events ? dv__sse_feed(&a->sse, p, n, on_event, &f) : dv_buf_add(&a->whole, p, n);
    if (rc == DV_ELIMIT && why.code == 0)
        return dv_fail(err, rc, "the server sends more at once than is taken of it");
    if (rc != 0)
        return dv_fail(err, rc, "%s", why.code != 0 ? why.msg : dv_error_text(rc));
    return 0;
}

int dv__answer_end(dv__answer *a, bool events, dv_err *err)
{
    if (events ? !a->done && !a->ended : a->whole.len == 0)
        return dv_fail(err, DV_EIO, "the server ended its answer in the middle");
    a->done = true;
    return events ? 0 : take_json(a, dv_buf_str(&a->whole), a->whole.len, err);
}
