/* SPDX-License-Identifier: MIT */
/* Ask a model one question through libdrover:
 *   cc answer.c $(pkg-config --cflags --libs drover) -o answer && ./answer MODEL.gguf 'What is a llama?' */
#include <drover/engine.h>
#include <drover/version.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_text(void *arg, const char *text, size_t len)
{
    (void)arg;
    return fwrite(text, 1, len, stdout) != len; /* anything but 0 stops the generation */
}

static int answer(dv_engine *engine, const char *question, dv_err *err)
{
    /* Greedy: the same answer every time. */
    dv_sampling sampling = dv_sampling_default();
    sampling.temperature = 0;
    dv_session *session;
    int code = dv_session_open(&session, engine, &sampling, err);
    if (code != 0)
        return code;

    /* The conversation as tokens. Called without room first, to learn how many there are. */
    dv_message messages[] = {{.role = "user", .content = question, .content_len = strlen(question)}};
    uint32_t *ids = NULL;
    int64_t n = dv_engine_chat_tokens(engine, messages, 1, true, NULL, 0, err);
    if (n > 0 && (ids = malloc((size_t)n * sizeof *ids)) != NULL)
        n = dv_engine_chat_tokens(engine, messages, 1, true, ids, (size_t)n, err);

    /* Let the model read it, then write. */
    dv_generate_options options = {.on_text = print_text};
    dv_generate_result result;
    code = n < 0 ? (int)n : ids == NULL ? DV_ENOMEM : dv_session_append(session, ids, (size_t)n, NULL, NULL, err);
    if (code == 0)
        code = dv_session_generate(session, &options, &result, err);
    if (code == 0)
        putchar('\n');
    free(ids);
    dv_session_close(&session);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.gguf QUESTION (libdrover %s)\n", argv[0], dv_version());
        return 2;
    }
    dv_engine *engine;
    dv_err err = {0};
    int code = dv_engine_open(&engine, argv[1], NULL, &err);
    if (code == 0)
        code = answer(engine, argv[2], &err);
    if (code != 0)
        fprintf(stderr, "%s\n", err.msg[0] != 0 ? err.msg : dv_error_text(code));
    dv_engine_close(&engine);
    return code != 0;
}
