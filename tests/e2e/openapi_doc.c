/* SPDX-License-Identifier: MIT */
/* Prints the document of a table of routes with one of each kind. */
#include "../unit/serve_rows.h"
#include "serve/openapi.h"

#include <stdio.h>

int main(void)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    int rc = dv__openapi_write(&b, "1.2.3");
    if (rc == 0 && fwrite(b.data, 1, b.len, stdout) != b.len)
        rc = DV_EIO;
    dv_buf_fini(&b);
    return rc != 0;
}
