/* SPDX-License-Identifier: MIT */
/* The ways in which drover run takes its questions from standard input. */
#ifndef DV_CLI_RUN_H
#define DV_CLI_RUN_H

#include "cli/talk.h"

/** A chat in the terminal, until Ctrl-D or /quit. Returns an exit code. */
int dv_chat_run(dv_talk *t, const char *path);

/** One question a line, each answered by itself; sampling starts anew for each. Returns an exit code. */
int dv_lines_run(dv_talk *t, const dv_sampling *sampling);

#endif
