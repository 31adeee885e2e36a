/* SPDX-License-Identifier: MIT */
/* A child process: started clean, read, waited for on the loop, killed with all of its own children.
 *
 * It has nothing of ours: no descriptor but its three standard streams, no environment but what it is given, a process group of its own, and it
 * dies with us. What it writes is cut into lines; one that floods is slowed down by its own pipe, since no more than so much is read in a second.
 *
 * Threads: the loop's only; it must be the thread that called dv__child_start, or the child ends when that one does. */
#ifndef DV_FLEET_CHILD_H
#define DV_FLEET_CHILD_H

#include "drover/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event;
struct event_base;

enum {
    DV__LINE_MAX = 16 << 10,          /**< bytes of a line; the rest of a longer one is dropped */
    DV__OUTPUT_PER_SECOND = 512 << 10 /**< bytes that are read of a child's output */
};

/** What is run. Everything is borrowed for the call. */
typedef struct dv__command {
    const char *file;        /**< absolute path of the program */
    const char *const *argv; /**< NULL-terminated */
    const char *const *env;  /**< NULL-terminated "NAME=value" */
    const char *dir;         /**< working folder; NULL: "/" */
    uint64_t max_data;       /**< bytes of writable memory of its own (RLIMIT_DATA); 0: no limit */
    unsigned max_cpu_s;      /**< seconds of CPU time; 0: no limit */
    bool plain;              /**< no limit of the above holds: builds with sanitizers need memory of their own */
} dv__command;

typedef struct dv__child {
    struct event_base *base;
    void *arg;
    /** A line without its end, terminated; any bytes but line feeds and NUL. */
    void (*on_line)(void *arg, const char *line, size_t n);
    /** It ended, and everything it wrote was read. status: as of waitpid. The child may be started again. */
    void (*on_exit)(void *arg, int status);
    pid_t pid; /**< 0: none runs */
    int pidfd, out;
    struct event *on_end, *on_output, *on_pause;
    uint64_t window_ns;
    size_t window_bytes;
    char *line; /**< [DV__LINE_MAX + 1] */
    size_t len;
    bool cut; /**< the rest of this line is dropped */
} dv__child;

/**
 * Start. base, arg and the callbacks are set, the rest is zero or left from an earlier run. Callbacks come from the loop.
 * Errors: DV_ENOENT, DV_EACCES (of the program; err says so), DV_ENOMEM, DV_EIO.
 */
int dv__child_start(dv__child *c, const dv__command *cmd, dv_err *err);
/** Send a signal to it and to all of its own. Nothing happens if none runs. */
void dv__child_signal(const dv__child *c, int signo);
/** Kill and wait for it; no callback comes any more. */
void dv__child_fini(dv__child *c);
/** "exited with status 3", "was killed by signal 9 (Killed)": behind a name. Returns buf. */
const char *dv__child_status(int status, char *buf, size_t cap);

#endif
