/* SPDX-License-Identifier: MIT */
#include "cli/password.h"

#include "base/attr.h"
#include "base/err.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* One line, byte by byte: what follows it stays in the pipe. */
static int read_line(char out[DV_CLI_PASSWORD_CAP], size_t *n, dv_err *err)
{
    ssize_t k = 0;
    char c = 0;
    *n = 0;
    while (*n < DV_CLI_PASSWORD_CAP - 1 && (k = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
        out[(*n)++] = c;
    out[*n] = 0;
    if (k < 0)
        return errno == EINTR ? dv_fail(err, DV_ECANCELED, "interrupted")
                              : dv_fail(err, DV_EIO, "standard input: %s", strerror(errno));
    if (k == 0 && *n == 0)
        return dv_fail(err, DV_EINVAL, "a password is needed on standard input");
    if (k == 1 && c != '\n')
        return dv_fail(err, DV_EINVAL, "the password is too long");
    return 0;
}

static volatile sig_atomic_t caught;

static void on_signal(int sig) { caught = sig; }

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* With echo off; whatever ends the program meanwhile, the terminal is as it was. */
static int ask(const char *what, char out[DV_CLI_PASSWORD_CAP], size_t *n, dv_err *err)
{
    struct termios old, quiet;
    struct sigaction before[DV_ARRAY_LEN(signals)], catch = {.sa_handler = on_signal};
    if (tcgetattr(STDIN_FILENO, &old) != 0)
        return dv_fail(err, DV_EIO, "the terminal: %s", strerror(errno));
    caught = 0;
    for (size_t i = 0; i < DV_ARRAY_LEN(signals); i++)
        sigaction(signals[i], &catch, &before[i]);
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    fprintf(stderr, "%s: ", what);
    int rc = read_line(out, n, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    fprintf(stderr, "\n");
    for (size_t i = 0; i < DV_ARRAY_LEN(signals); i++)
        sigaction(signals[i], &before[i], NULL);
    if (caught != 0)
        raise(caught);
    return rc;
}

int dv_cli_password(const char *what, char out[DV_CLI_PASSWORD_CAP], size_t *n, dv_err *err)
{
    char again[DV_CLI_PASSWORD_CAP];
    size_t n_again = 0;
    if (isatty(STDIN_FILENO) == 0)
        return read_line(out, n, err);
    int rc = ask(what, out, n, err);
    rc = rc != 0 ? rc : ask("The same again", again, &n_again, err);
    if (rc == 0 && (*n != n_again || memcmp(out, again, *n) != 0))
        rc = dv_fail(err, DV_EINVAL, "the two are not the same");
    sodium_memzero(again, sizeof again);
    return rc;
}
