/* SPDX-License-Identifier: MIT */
#include "cli/group.h"

#include "base/word.h"
#include "cli/cmd.h"

#include <stdio.h>
#include <string.h>

enum { LIST_MAX = 16 };

/* The second word of a command's name. */
static const char *second(const dv_cmd *cmd)
{
    const char *blank = strchr(cmd->name, ' ');
    return blank != NULL ? blank + 1 : cmd->name;
}

static void print_help(const dv_cmd *cmd, const dv_cmd *const *list, size_t n)
{
    printf("Usage: drover %s COMMAND [OPTIONS]\n\n%s.\n\nCommands:\n", cmd->name, cmd->summary);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", second(list[i]), list[i]->args);
        printf("  %-26s  %s\n", left, list[i]->summary);
    }
    printf("\nOptions:\n  %-26s  Show this text\n\n'drover %s COMMAND --help' says more.\n", "-h, --help", cmd->name);
    if (cmd->details != NULL)
        printf("%s\n", cmd->details);
}

static int unknown(const dv_cmd *cmd, const dv_cmd *const *list, size_t n, const char *word)
{
    const char *names[LIST_MAX];
    for (size_t i = 0; i < n && i < LIST_MAX; i++)
        names[i] = second(list[i]);
    const char *hint = dv_word_nearest(word, names, n < LIST_MAX ? n : LIST_MAX);
    if (word[0] == '-')
        return dv_cmd_usage(cmd, "unknown option '%s'", word);
    if (hint != NULL)
        return dv_cmd_usage(cmd, "unknown command '%s', did you mean '%s'?", word, hint);
    return dv_cmd_usage(cmd, "unknown command '%s'", word);
}

int dv_group_run(const dv_cmd *cmd, const dv_cmd *const *list, size_t n, int argc, char **argv)
{
    if (argc < 2)
        return dv_cmd_usage(cmd, "a command is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(cmd, list, n);
        return DV_EXIT_OK;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(argv[1], second(list[i])) == 0)
            return list[i]->run(list[i], argc - 1, argv + 1);
    return unknown(cmd, list, n, argv[1]);
}
