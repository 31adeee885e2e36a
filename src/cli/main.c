/* SPDX-License-Identifier: MIT */
/* The drover program: finds the command and makes sure that what it printed arrived. */
#include "base/attr.h"
#include "base/json.h"
#include "base/word.h"
#include "cli/cmd.h"
#include "drover/version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const dv_cmd *const commands[] = {
    &dv_cmd_serve,    &dv_cmd_run,    &dv_cmd_engine, &dv_cmd_score,   &dv_cmd_bench,    &dv_cmd_list,
    &dv_cmd_ps,       &dv_cmd_show,   &dv_cmd_load,   &dv_cmd_unload,  &dv_cmd_switch,   &dv_cmd_config,
    &dv_cmd_profiles, &dv_cmd_doctor, &dv_cmd_info,   &dv_cmd_inspect, &dv_cmd_tokenize, &dv_cmd_key,
    &dv_cmd_user,     &dv_cmd_audit,  &dv_cmd_backup, &dv_cmd_restore,
};

/* Errors of the program itself read "drover: sentence". */
static int program_error(const char *text, const char *word, const char *hint)
{
    fprintf(stderr, "drover: %s '%s'", text, word);
    if (hint != NULL)
        fprintf(stderr, ", did you mean '%s'?", hint);
    fprintf(stderr, "\nTry 'drover --help'.\n");
    return DV_EXIT_USAGE;
}

static void print_help(FILE *to)
{
    fprintf(to, "Usage: drover COMMAND [OPTIONS]\n\nRun language models on this machine's CPU.\n\nCommands:\n");
    for (size_t i = 0; i < DV_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to,
            "\n'drover COMMAND --help' or 'drover help COMMAND' says more; 'drover --version' tells the version.\n");
}

static const dv_cmd *find_command(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_LEN(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[DV_ARRAY_LEN(commands)];
    for (size_t i = 0; i < DV_ARRAY_LEN(commands); i++)
        names[i] = commands[i]->name;
    char safe[64]; /* printable, so that nothing in it reaches a terminal as a command */
    snprintf(safe, sizeof safe, "%s", name);
    for (char *p = safe; *p != 0; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return program_error(name[0] == '-' ? "unknown option" : "unknown command", safe,
                         dv_word_nearest(safe, names, DV_ARRAY_LEN(names)));
}

static int help_command(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stdout);
        return DV_EXIT_OK;
    }
    const dv_cmd *cmd = find_command(argv[1]);
    if (cmd == NULL)
        return unknown_command(argv[1]);
    char help[] = "--help";
    char *args[] = {argv[1], help, NULL};
    return cmd->run(cmd, 2, args);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return DV_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0)
        return help_command(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_command(1, argv);
    if (strcmp(argv[1], "--version") == 0) {
        printf("drover %s\n", dv_version());
        return DV_EXIT_OK;
    }
    const dv_cmd *cmd = find_command(argv[1]);
    return cmd != NULL ? cmd->run(cmd, argc - 1, argv + 1) : unknown_command(argv[1]);
}

/* A standard stream that is closed must not become the number of the next file opened: put something there that fails. */
static void occupy_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            _exit(DV_EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    dv_json_use_mem();
    signal(SIGPIPE, SIG_IGN); /* a reader that left is a failed write, seen below and by the commands */
    int code = dispatch(argc, argv);
    if (dv_cmd_flush())
        return code;
    int error = dv_cmd_output_error();
    if (error != EPIPE) /* a reader that has seen enough is no news */
        fprintf(stderr, "drover: cannot write standard output: %s\n", strerror(error));
    return code == DV_EXIT_OK ? DV_EXIT_FAILURE : code;
}
