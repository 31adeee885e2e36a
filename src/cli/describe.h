/* SPDX-License-Identifier: MIT */
/* What `drover engine --describe` does. Its line is an object: usable (the file could be read), native (the engine runs it), problem (why not),
 * facts, and in plans the estimate of each --plan in turn. The exit status is 0 also for a file that cannot be used. */
#ifndef DV_CLI_DESCRIBE_H
#define DV_CLI_DESCRIBE_H

#include "cli/cmd.h"

extern const dv_cmd dv_cmd_describe;

#endif
