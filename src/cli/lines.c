/* SPDX-License-Identifier: MIT */
/* Questions from a pipe or a file: each line is one, and gets its answer without a history, so that the answers depend neither on the
 * order of the lines nor on what else is asked. */
#include "base/err.h"
#include "cli/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 24, READ_BYTES = 1 << 16 };

/* Answer one line of len bytes; empty ones are passed over. 0 or an error. */
static int answer_line(dv_talk *t, const dv_sampling *sampling, const char *line, size_t len, dv_err *err)
{
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    if (len == 0)
        return 0;
    int code = dv_session_set_sampling(t->session, sampling, err);
    if (code == 0)
        code = dv_talk_ask(t, line, len, err);
    dv_talk_clear(t);
    return code;
}

/* Answer all complete lines in b and remove them. */
static int answer_lines(dv_talk *t, const dv_sampling *sampling, dv_buf *b, bool at_end, int *exit_code)
{
    char *newline;
    while (b->len > 0 && ((newline = memchr(b->data, '\n', b->len)) != NULL || at_end)) {
        size_t len = newline != NULL ? (size_t)(newline - b->data) : b->len;
        dv_err err = {0};
        int code = answer_line(t, sampling, b->data, len, &err);
        dv_buf_shift(b, len + (newline != NULL));
        if (code == 0)
            continue;
        *exit_code = dv_cmd_output_error() != 0 ? DV_EXIT_FAILURE : dv_cmd_fail_err(t->cmd, &err);
        if (code != DV_ECONTEXT && code != DV_ETEMPLATE) /* one question may fail, the others go on */
            return code;
        putchar('\n'); /* answers keep standing on the lines of their questions */
    }
    return 0;
}

int dv_lines_run(dv_talk *t, const dv_sampling *sampling)
{
    dv_buf b;
    int exit_code = DV_EXIT_OK, code = 0;
    dv_buf_init(&b, LINE_MAX_BYTES);
    for (ssize_t n = 1; code == 0 && n > 0;) {
        if (dv_buf_reserve(&b, READ_BYTES) != 0) {
            exit_code =
                dv_cmd_fail(t->cmd, b.code == DV_ELIMIT ? "a line is longer than %d bytes" : "out of memory for a line",
                            LINE_MAX_BYTES - READ_BYTES);
            break;
        }
        n = read(STDIN_FILENO, b.data + b.len, READ_BYTES);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0) {
            exit_code = dv_cmd_fail(t->cmd, "cannot read standard input: %s", strerror(errno));
            break;
        }
        b.len += (size_t)n;
        code = answer_lines(t, sampling, &b, n == 0, &exit_code);
    }
    dv_buf_fini(&b);
    return exit_code;
}
