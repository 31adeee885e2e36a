/* SPDX-License-Identifier: MIT */
/* A request's body up to its fields, and with the first line taken as a Host, an Origin and a key: whatever is refused has a sentence, what is
 * accepted is in its range, and an error's body is JSON again, as are the settings that a reply shows. */
#include "target.h"

#include "api/auth.h"
#include "api/gen.h"
#include "api/settings.h"
#include "web/body.h"
#include "web/guard.h"
#include "web/problem.h"

#include <string.h>

static void check_guard(const char *line)
{
    static const char *const keys[] = {"a-key"}, *const sites[] = {"https://a.example"};
    dv_api_options o = {.keys = keys, .n_keys = 1};
    dv_guard g = {.origins = sites, .n_origins = 1};
    if (dv_guard_host(&g, line))
        DV_FUZZ_CHECK(strncasecmp(line, "127.", 4) == 0 || strncmp(line, "[::1]", 5) == 0 ||
                      strcasestr(line, "localhost") != NULL);
    if (dv__auth_key(&o, NULL, line))
        DV_FUZZ_CHECK(strcmp(line, keys[0]) == 0);
    if (dv_guard_origin(&g, line, "localhost", false))
        DV_FUZZ_CHECK(strcasecmp(line, sites[0]) == 0 || strcasecmp(line, "http://localhost") == 0);
}

static void check_problem(const dv_err *err, const char *param)
{
    dv_problem p = {.status = 400, .text = err->msg, .param = param};
    dv_buf b;
    json_t *v;
    DV_FUZZ_CHECK(err->code != 0 && err->msg[0] != 0);
    dv_buf_init(&b, 0);
    int rc = dv_problem_body(&b, DV_STYLE_OPENAI, &p, "");
    if (rc == 0) {
        rc = dv_body_parse(b.data, b.len, &v, NULL);
        DV_FUZZ_CHECK(rc == 0 || rc == DV_ENOMEM);
        json_decref(v);
    }
    dv_buf_fini(&b);
}

static void check_settings(dv__call *c, const dv__gen *g, const json_t *samplers)
{
    dv_buf b;
    json_t *v;
    dv_err err = {0};
    dv_buf_init(&b, 0);
    dv__put_settings(&b, g, NULL);
    if (b.code == 0) {
        int rc = dv_body_parse(b.data, b.len, &v, NULL);
        DV_FUZZ_CHECK(rc == 0 || rc == DV_ENOMEM);
        json_decref(v);
    }
    dv_buf_fini(&b);
    if (dv__settings_check_samplers(c, samplers, &err) != 0)
        check_problem(&err, c->param);
}

static void check_body(const char *text, size_t n)
{
    static const dv__fields *const tables[] = {&dv__fields_gen, &dv__fields_meta};
    dv__gen g = {.n = 1};
    dv__call c = {0};
    dv_err err = {0};
    json_t *v;
    if (dv_body_parse(text, n, &v, &err) != 0) {
        check_problem(&err, "");
        return;
    }
    if (dv__fields_read(&c, v, NULL, tables, 2, &g, &err) != 0)
        check_problem(&err, c.param);
    check_settings(&c, &g, json_object_get(v, "samplers"));
    DV_FUZZ_CHECK(g.sampling.temperature >= 0 && g.sampling.temperature <= 100 && g.top_k >= -1 && g.seed >= -1 &&
                  g.n_probs <= DV_JOB_MAX_TOP);
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[256];
    size_t n = 0;
    while (n < size && n < sizeof line - 1 && data[n] >= 0x20 && data[n] < 0x7f)
        n++;
    memcpy(line, data, n);
    line[n] = 0;
    check_guard(line);
    check_body((const char *)data, size);
    return 0;
}
