/* SPDX-License-Identifier: MIT */
/* Configurations: the input is a drover.yaml, and behind a NUL lines for the environment ("NAME=value") and for flags ("limits.queue=10").
 * What is refused has a sentence that begins with the place; what is accepted reads back as it was written. */
#include "base/file.h"
#include "conf/write.h"
#include "target.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES = 16 };

typedef struct lines {
    const char *env[MAX_LINES + 1];
    dv_conf_flag flags[MAX_LINES];
    size_t n_env, n_flags;
} lines;

/* Variables begin with a capital. text is cut up. */
static void take_lines(lines *l, char *text)
{
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        if (isupper((unsigned char)line[0]) && l->n_env < MAX_LINES) {
            l->env[l->n_env++] = line;
        } else if (equals != NULL && l->n_flags < MAX_LINES) {
            *equals = 0;
            l->flags[l->n_flags++] = (dv_conf_flag){.option = line, .text = equals + 1, .shown = "--set"};
        }
    }
}

static void check_refusal(int rc, const dv_err *err, const dv_conf *c)
{
    DV_FUZZ_CHECK(c == NULL && rc == err->code && err->msg[0] != 0);
    for (const char *p = err->msg; *p != 0; p++)
        DV_FUZZ_CHECK((unsigned char)*p >= ' ');
}

/* A secret is not written, and a list of long texts may be longer than a file may be. */
static bool can_be_written(const dv_conf *c, const dv_buf *b)
{
    return c->redis.url == NULL && b->code == 0 && b->len <= DV_CONF_FILE_MAX;
}

/* What was written is read instead of everything, on top of what is in effect: nothing changes. */
static void check_again(const dv_conf *c)
{
    dv_buf b;
    dv_conf *again = NULL;
    dv_conf_changes changes;
    dv_err err = {0};
    dv_buf_init(&b, 0);
    dv_conf_write_yaml(&b, c);
    if (can_be_written(c, &b)) {
        const dv_conf_input in = {.text = dv_buf_str(&b), .len = b.len};
        int rc = dv_conf_reload(&again, c, &in, &changes, &err);
        DV_FUZZ_CHECK(rc == DV_ENOMEM || (rc == 0 && changes.n == 0));
    }
    dv_conf_close(&again);
    b.len = 0;
    dv_conf_write_json(&b, c);
    dv_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lines l = {.n_env = 0};
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    char *rest = nul != NULL ? strndup((const char *)nul + 1, size - len - 1) : NULL;
    if (rest != NULL)
        take_lines(&l, rest);
    const dv_conf_input in = {
        .text = (const char *)data, .len = len, .env = l.env, .dir = "/cwd", .flags = l.flags, .n_flags = l.n_flags};
    dv_conf *c;
    dv_err err = {0};
    int rc = dv_conf_open(&c, &in, &err);
    if (rc == 0)
        check_again(c);
    else
        check_refusal(rc, &err, c);
    dv_conf_close(&c);
    free(rest);
    return 0;
}
