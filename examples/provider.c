/* SPDX-License-Identifier: MIT */
/* Chat with a model file, for which an engine is started, or with a server:
 *   cc provider.c $(pkg-config --cflags --libs drover-provider) -o provider
 *   ./provider MODEL.gguf
 *   API_KEY=secret ./provider https://llm.example.org/v1 NAME-OF-MODEL
 * A line is a question; Ctrl-C stops an answer, Ctrl-D ends. */
#include <drover/provider.h>
#include <drover/version.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TURNS = 100, LINE_SIZE = 4096 };

/* The conversation so far; texts are our own copies. */
static dv_provider_message messages[2 * MAX_TURNS];
static size_t n_messages;

static volatile sig_atomic_t interrupted;
static void on_interrupt(int signo) { interrupted = 1; }

static int print_text(void *arg, const char *text, size_t len)
{
    (void)arg;
    fwrite(text, 1, len, stdout);
    return fflush(stdout) != 0 || interrupted; /* anything but 0 stops the answer */
}

static int remember(const char *role, const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        return DV_ENOMEM;
    strcpy(copy, text);
    messages[n_messages].role = role;
    messages[n_messages++].text = copy;
    return 0;
}

/* One question and its answer. What was said before is sent again: the server knows it, and computes only what is new. */
static int turn(dv_provider *provider, const char *question, dv_err *err)
{
    dv_provider_stream stream = {.on_text = print_text};
    dv_provider_result result;
    int code = remember("user", question);
    dv_provider_request request = dv_provider_request_default();
    request.messages = messages;
    request.n_messages = n_messages;
    request.temperature = 0; /* the same answer every time */
    interrupted = 0;
    if (code == 0)
        code = dv_provider_generate_stream(provider, &request, &stream, &result, err);
    if (code != 0)
        return code;
    putchar('\n');
    fprintf(stderr, "[%s: %llu tokens read, %llu of them known, %llu written%s]\n", result.model,
            (unsigned long long)result.prompt_tokens, (unsigned long long)result.cached_tokens,
            (unsigned long long)result.completion_tokens, result.finish == DV_FINISH_CANCELED ? ", stopped" : "");
    return remember("assistant", result.text);
}

static int chat(dv_provider *provider, dv_err *err)
{
    char line[LINE_SIZE];
    int code = 0;
    while (code == 0 && n_messages < 2 * MAX_TURNS && fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] != 0)
            code = turn(provider, line, err);
    }
    for (size_t i = 0; i < n_messages; i++)
        free((char *)messages[i].text);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s MODEL.gguf|URL [NAME] (libdrover-provider %s)\n", argv[0], dv_version());
        return 2;
    }
    dv_provider_options options = {.key = getenv("API_KEY"), .model = argc > 2 ? argv[2] : NULL};
    dv_provider *provider;
    dv_err err = {0};
    signal(SIGINT, on_interrupt);
    int code = dv_provider_open(&provider, argv[1], &options, &err);
    if (code == 0)
        code = chat(provider, &err);
    if (code != 0)
        fprintf(stderr, "%s\n", err.msg[0] != 0 ? err.msg : dv_error_text(code));
    dv_provider_close(&provider);
    return code != 0;
}
