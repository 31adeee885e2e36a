/* SPDX-License-Identifier: MIT */
/* How commands print: tables, counts, times. */
#include "cli/format.h"
#include "cli/table.h"

#include "base/attr.h"
#include "base/mem.h"
#include "drover/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void counts(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {{0, "0"},
                 {999, "999"},
                 {1000, "1.0K"},
                 {1049, "1.0K"},
                 {99949, "99.9K"},
                 {99950, "100K"},
                 {999499, "999K"},
                 {999500, "1.0M"},
                 {596049920, "596M"},
                 {3212749888, "3.2B"},
                 {UINT64_C(70553706496), "70.6B"},
                 {UINT64_C(671026419200), "671B"},
                 {UINT64_MAX, "18446744T"}};
    char buf[DV_FORMAT_COUNT_LEN];
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++)
        assert_string_equal(dv_format_count(buf, cases[i].n), cases[i].text);
}

static void spans(void **state)
{
    (void)state;
    enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };
    static const struct {
        uint64_t s;
        const char *text;
    } cases[] = {{0, "0 seconds"},
                 {1, "1 second"},
                 {119, "119 seconds"},
                 {120, "2 minutes"},
                 {2 * HOUR - 1, "119 minutes"},
                 {2 * HOUR, "2 hours"},
                 {2 * DAY - 1, "47 hours"},
                 {2 * DAY, "2 days"},
                 {14 * DAY - 1, "13 days"},
                 {14 * DAY, "2 weeks"},
                 {91 * DAY, "13 weeks"},
                 {92 * DAY, "3 months"},
                 {730 * DAY, "23 months"},
                 {731 * DAY, "2 years"},
                 {UINT64_MAX, "584554049253 years"}};
    char buf[DV_FORMAT_SPAN_LEN];
    for (size_t i = 0; i < DV_ARRAY_LEN(cases); i++)
        assert_string_equal(dv_format_span(buf, cases[i].s), cases[i].text);
}

static void put_rows(dv_table *t)
{
    static const char *const titles[] = {"NAME", ">SIZE", ""};
    dv_table_init(t, titles, DV_ARRAY_LEN(titles));
    static const char *const cells[] = {"a", "1 B", "default", "h\303\251\303\251llo", NULL, NULL, "x\x1b[m\n",
                                        "",  "",    "half"};
    for (size_t i = 0; i < DV_ARRAY_LEN(cells); i++)
        dv_table_cell(t, cells[i]);
}

static void tables(void **state)
{
    (void)state;
    dv_table t;
    dv_buf b;
    dv_buf_init(&b, 0);
    put_rows(&t);
    assert_int_equal(dv_table_write(&b, &t), 0);
    assert_string_equal(dv_buf_str(&b), "NAME         SIZE\n"
                                        "a             1 B  default\n"
                                        "h\303\251\303\251llo          -\n"
                                        "x\\x1b[m\\x0a     -\n");
    dv_buf_fini(&b);
    dv_table_fini(&t);
}

static void tables_without_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        dv_table t;
        dv_buf b;
        dv_buf_init(&b, 0);
        dv_mem_fail_after(n);
        put_rows(&t);
        int rc = dv_table_write(&b, &t);
        dv_mem_fail_after(0);
        size_t len = b.len;
        dv_buf_fini(&b);
        dv_table_fini(&t);
        if (rc == 0 && n > 1 && len > 0)
            break;
        assert_int_equal(rc, DV_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(spans),
        cmocka_unit_test(tables),
        cmocka_unit_test(tables_without_memory),
    };
    return cmocka_run_group_tests_name("cli-format", tests, NULL, NULL);
}
