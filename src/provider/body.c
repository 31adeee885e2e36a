/* SPDX-License-Identifier: MIT */
#include "provider/body.h"

#include "base/err.h"
#include "base/json.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { STOP_MAX = 16 };

bool dv__is_word(const char *s)
{
    if (s[0] == 0)
        return false;
    for (; *s != 0; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

static int check_text(const char *field, const char *text, dv_err *err)
{
    if (text == NULL)
        return dv_fail(err, DV_EINVAL, "%s: is NULL", field);
    return dv_utf8_valid(text, strlen(text)) ? 0 : dv_fail(err, DV_EINVAL, "%s: is not UTF-8", field);
}

static int check_texts(const dv_provider_request *rq, dv_err *err)
{
    int rc = 0;
    if (rq->prompt != NULL)
        rc = rq->n_messages > 0 ? dv_fail(err, DV_EINVAL, "prompt: there are messages, too")
                                : check_text("prompt", rq->prompt, err);
    else if (rq->n_messages == 0 || rq->messages == NULL)
        rc = dv_fail(err, DV_EINVAL, "messages: there are none, and no prompt");
    for (size_t i = 0; i < rq->n_messages && rc == 0; i++) {
        rc = check_text("role", rq->messages[i].role, err);
        if (rc == 0)
            rc = check_text("text", rq->messages[i].text, err);
        if (rc != 0)
            rc = dv_err_prefix(err, "messages[%zu]", i);
    }
    if (rc == 0 && (rq->n_stop > STOP_MAX || (rq->n_stop > 0 && rq->stop == NULL)))
        rc = dv_fail(err, DV_EINVAL, "stop: there are more than %d texts, or none", STOP_MAX);
    for (size_t i = 0; i < rq->n_stop && rc == 0; i++)
        rc = check_text("stop", rq->stop[i], err);
    return rc;
}

static int check_numbers(const dv_provider_request *rq, dv_err *err)
{
    if (!isfinite(rq->temperature))
        return dv_fail(err, DV_EINVAL, "temperature: is no number");
    if (!(rq->top_p >= 0 && rq->top_p <= 1))
        return dv_fail(err, DV_EINVAL, "top_p: is not between 0 and 1");
    return 0;
}

static void put_key(dv_buf *b, const char *key)
{
    if (b->data[b->len - 1] != '{')
        dv_buf_addc(b, ',');
    dv_buf_printf(b, "\"%s\":", key);
}

static void put_str(dv_buf *b, const char *key, const char *text)
{
    put_key(b, key);
    dv_buf_json_str(b, text, strlen(text));
}

static void put_messages(dv_buf *b, const dv_provider_request *rq)
{
    put_key(b, "messages");
    for (size_t i = 0; i < rq->n_messages; i++) {
        dv_buf_adds(b, i == 0 ? "[{" : ",{");
        put_str(b, "role", rq->messages[i].role);
        put_str(b, "content", rq->messages[i].text);
        dv_buf_addc(b, '}');
    }
    dv_buf_addc(b, ']');
}

static void put_sampling(dv_buf *b, const dv_provider_request *rq)
{
    if (rq->max_tokens > 0) {
        put_key(b, "max_tokens");
        dv_buf_printf(b, "%" PRIu32, rq->max_tokens);
    }
    if (rq->temperature >= 0) {
        put_key(b, "temperature");
        dv_buf_json_num(b, rq->temperature);
    }
    if (rq->top_p > 0) {
        put_key(b, "top_p");
        dv_buf_json_num(b, rq->top_p);
    }
    if (rq->seed >= 0) {
        put_key(b, "seed");
        dv_buf_printf(b, "%" PRId64, rq->seed);
    }
    for (size_t i = 0; i < rq->n_stop; i++) {
        if (i == 0)
            put_key(b, "stop");
        dv_buf_addc(b, i == 0 ? '[' : ',');
        dv_buf_json_str(b, rq->stop[i], strlen(rq->stop[i]));
    }
    if (rq->n_stop > 0)
        dv_buf_addc(b, ']');
}

/* The schema goes out as it is written, once it is known to be one JSON value and nothing behind it. */
static int put_schema(dv_buf *b, const char *schema, dv_err *err)
{
    json_error_t e;
    bool no_memory;
    json_t *v = dv_json_load(schema, strlen(schema), JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e, &no_memory);
    bool ok = json_is_object(v) || json_is_boolean(v);
    json_decref(v);
    if (no_memory)
        return dv_fail(err, DV_ENOMEM, "json_schema: %s", dv_error_text(DV_ENOMEM));
    if (!ok)
        return dv_fail(err, DV_EINVAL, "json_schema: %s", v == NULL ? e.text : "is neither an object nor a boolean");
    put_key(b, "response_format");
    dv_buf_adds(b, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":");
    dv_buf_adds(b, schema);
    dv_buf_adds(b, "}}");
    return 0;
}

int dv__body_write(dv_buf *b, const dv_provider_request *rq, const char *model, dv_err *err)
{
    int rc = check_texts(rq, err);
    if (rc == 0)
        rc = check_numbers(rq, err);
    if (rc == 0 && model != NULL)
        rc = check_text("model", model, err);
    if (rc != 0)
        return rc;
    if (dv_buf_addc(b, '{') == 0) {
        if (model != NULL)
            put_str(b, "model", model);
        if (rq->prompt != NULL)
            put_str(b, "prompt", rq->prompt);
        else
            put_messages(b, rq);
        put_sampling(b, rq);
        if (rq->json_schema != NULL)
            rc = put_schema(b, rq->json_schema, err);
        dv_buf_adds(b, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    }
    if (rc == 0 && b->code != 0)
        rc = dv_fail(err, b->code, "a request: %s", dv_error_text(b->code));
    return rc;
}
