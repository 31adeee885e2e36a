/* SPDX-License-Identifier: MIT */
/* Where the data folder is when nobody says. XDG Base Directory Specification 0.8. */
#include "base/err.h"
#include "store/store.h"

#include <stdlib.h>
#include <unistd.h>

static int add(dv_buf *out, const char *folder, const char *rest, dv_err *err)
{
    int rc = dv_buf_adds(out, folder);
    rc = rc != 0 ? rc : dv_buf_adds(out, rest);
    return rc != 0 ? dv_fail(err, rc, "%s", dv_error_text(rc)) : 0;
}

int dv_store_default_dir(dv_buf *out, dv_err *err)
{
    const char *dir = getenv("DROVER_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (dir != NULL && dir[0] != 0)
        return dir[0] == '/' ? add(out, dir, "", err)
                             : dv_fail(err, DV_EINVAL, "DROVER_DATA_DIR must be an absolute path, not '%s'", dir);
    if (geteuid() == 0)
        return add(out, "/var/lib/drover", "", err);
    if (xdg != NULL && xdg[0] == '/') /* a relative one is to be ignored */
        return add(out, xdg, "/drover", err);
    if (home != NULL && home[0] == '/')
        return add(out, home, "/.local/share/drover", err);
    return dv_fail(err, DV_ENOENT, "there is no home folder: name the data folder with --data-dir or DROVER_DATA_DIR");
}
