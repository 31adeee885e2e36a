/* SPDX-License-Identifier: MIT */
/* The chat in a terminal: line editing with a history, commands that begin with a slash. Ctrl-C stops an answer or clears the line,
 * Ctrl-D leaves. What was typed stays in memory: no history file. */
#include "base/err.h"
#include "base/utf8.h"
#include "base/word.h"
#include "cli/run.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

enum { HISTORY_LINES = 500, QUESTION_MAX = 1 << 20 };

typedef struct chat {
    dv_talk *talk;
    EditLine *el;
    History *history;
    bool continued; /* the line before ended with a backslash */
    bool leave;
} chat;

/* Commands. */

typedef struct chat_cmd {
    const char *name, *arg, *help;
    int (*run)(chat *c, const char *arg, dv_err *err);
} chat_cmd;

static int cmd_help(chat *c, const char *arg, dv_err *err);

static int cmd_clear(chat *c, const char *arg, dv_err *err)
{
    dv_talk_clear(c->talk);
    printf("(the conversation is forgotten)\n");
    return 0;
}

static int cmd_system(chat *c, const char *arg, dv_err *err)
{
    int code = dv_talk_set_system(c->talk, arg, strlen(arg), err);
    if (code == 0)
        printf(arg[0] != 0 ? "(the system message is set, the conversation starts anew)\n"
                           : "(no system message, the conversation starts anew)\n");
    return code;
}

static int cmd_stats(chat *c, const char *arg, dv_err *err)
{
    char text[160];
    const dv_engine_info *info = dv_engine_get_info(c->talk->engine);
    printf("last   %s\n", dv_talk_stats_text(&c->talk->last, text));
    printf("total  %s\n", dv_talk_stats_text(&c->talk->total, text));
    printf("context %u of %u tokens; %u threads, %s\n", dv_session_n_tokens(c->talk->session), info->n_ctx,
           info->threads, info->cpu_level);
    return 0;
}

static int cmd_quit(chat *c, const char *arg, dv_err *err)
{
    c->leave = true;
    return 0;
}

static const chat_cmd commands[] = {
    {"/help", "", "show this", cmd_help},
    {"/clear", "", "forget the conversation", cmd_clear},
    {"/system", " TEXT", "set the system message (nothing: none) and start anew", cmd_system},
    {"/stats", "", "show speed and how full the context is", cmd_stats},
    {"/quit", "", "leave, as does Ctrl-D", cmd_quit},
};

static int cmd_help(chat *c, const char *arg, dv_err *err)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(commands); i++)
        printf("%s%-*s %s\n", commands[i].name, (int)(14 - strlen(commands[i].name)), commands[i].arg,
               commands[i].help);
    printf("Ctrl-C stops an answer. A line that ends with \\ goes on in the next one.\n");
    return 0;
}

static int run_command(chat *c, const char *line, dv_err *err)
{
    const char *names[DV_ARRAY_LEN(commands)];
    char word[32];
    size_t n = strcspn(line, " \t");
    for (size_t i = 0; i < DV_ARRAY_LEN(commands); i++) {
        names[i] = commands[i].name;
        if (strlen(names[i]) == n && memcmp(line, names[i], n) == 0)
            return commands[i].run(c, line + n + strspn(line + n, " \t"), err);
    }
    snprintf(word, sizeof word, "%.*s", (int)DV_MIN(n, sizeof word - 1), line);
    const char *hint = dv_word_nearest(word, names, DV_ARRAY_LEN(names));
    return dv_fail(err, DV_EINVAL, "unknown command %s, did you mean %s?", word, hint != NULL ? hint : "/help");
}

/* Reading. */

static const char *prompt(EditLine *el)
{
    chat *c;
    el_get(el, EL_CLIENTDATA, &c);
    return c->continued ? "... " : "> ";
}

/* Read a question of one or more lines, without newline at its end. False at the end of input. */
static bool read_question(chat *c, dv_buf *q)
{
    dv_buf_clear(q);
    c->continued = false;
    for (;;) {
        int n = 0;
        dv_talk_interrupted = 0;
        const char *line = el_gets(c->el, &n);
        if (line == NULL || n <= 0) {
            putchar('\n');
            if (!dv_talk_interrupted)
                return false;
            dv_buf_clear(q);
            c->continued = false;
            continue;
        }
        size_t len = strcspn(line, "\r\n");
        c->continued = len > 0 && line[len - 1] == '\\';
        dv_buf_add(q, line, len - c->continued);
        if (!c->continued)
            return true;
        dv_buf_addc(q, '\n');
    }
}

static void remember(chat *c, const char *text)
{
    HistEvent event;
    if (text[0] != 0 && strchr(text, '\n') == NULL)
        history(c->history, &event, H_ENTER, text);
}

/* Libedit takes UTF-8 only in such a locale; a bare system has none set, but C.UTF-8 is always there. */
static void use_utf8(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static bool open_editor(chat *c)
{
    HistEvent event;
    use_utf8();
    c->history = history_init();
    c->el = el_init("drover", stdin, stdout, stderr);
    if (c->history == NULL || c->el == NULL)
        return false;
    history(c->history, &event, H_SETSIZE, HISTORY_LINES);
    history(c->history, &event, H_SETUNIQUE, 1);
    el_set(c->el, EL_CLIENTDATA, c);
    el_set(c->el, EL_PROMPT, prompt);
    el_set(c->el, EL_EDITOR, "emacs");
    el_set(c->el, EL_HIST, history, c->history);
    el_set(c->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(c->el, NULL); /* the user's own ~/.editrc */
    return true;
}

static void close_editor(chat *c)
{
    if (c->el != NULL)
        el_end(c->el);
    if (c->history != NULL)
        history_end(c->history);
}

static void on_interrupt(int sig) { dv_talk_interrupted = 1; }

static void greet(const dv_talk *t, const char *path)
{
    const dv_engine_info *info = dv_engine_get_info(t->engine);
    dv_buf name;
    dv_buf_init(&name, 0);
    dv_buf_escaped(&name, info->name[0] != 0 ? info->name : path, strlen(info->name[0] != 0 ? info->name : path));
    printf("%s, %.1f M parameters, context of %u tokens. /help lists the commands, Ctrl-D leaves.\n", dv_buf_str(&name),
           (double)info->n_params / 1e6, info->n_ctx);
    dv_buf_fini(&name);
}

/* Answer until the end of input. */
static int converse(chat *c)
{
    dv_buf q;
    int exit_code = DV_EXIT_OK;
    dv_buf_init(&q, QUESTION_MAX);
    while (!c->leave && exit_code == DV_EXIT_OK && read_question(c, &q)) {
        dv_err err = {0};
        const char *text = dv_buf_str(&q);
        size_t start = strspn(text, " \t\n");
        remember(c, text);
        if (text[start] == 0)
            continue;
        int code = q.code != 0      ? dv_fail(&err, q.code, "a question is longer than %d bytes", QUESTION_MAX)
                   : text[0] == '/' ? run_command(c, text, &err)
                                    : dv_talk_ask(c->talk, text + start, q.len - start, &err);
        if (code == DV_ECANCELED) /* stopped before the answer began */
            putchar('\n');
        else if (code != 0)
            dv_cmd_fail_err(c->talk->cmd, &err);
        if (code == DV_EIO)
            exit_code = DV_EXIT_FAILURE;
    }
    dv_buf_fini(&q);
    return exit_code;
}

int dv_chat_run(dv_talk *t, const char *path)
{
    chat c = {.talk = t};
    struct sigaction action = {.sa_handler = on_interrupt},
                     before; /* no SA_RESTART: reading a line is to be interrupted */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before);
    int exit_code = open_editor(&c) ? DV_EXIT_OK : dv_cmd_fail(t->cmd, "cannot set up line editing for this terminal");
    if (exit_code == DV_EXIT_OK) {
        greet(t, path);
        exit_code = converse(&c);
    }
    close_editor(&c);
    sigaction(SIGINT, &before, NULL);
    return exit_code;
}
