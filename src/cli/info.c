/* SPDX-License-Identifier: MIT */
/* drover info: what this program is and what it may use of this machine. */
#include "base/buf.h"
#include "base/cpu.h"
#include "base/limits.h"
#include "cli/cmd.h"
#include "cli/format.h"
#include "drover/version.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct values {
    int cpu_mask;
    bool json;
} values;

static const dv_opt opts[] = {
    DV_OPT_ROW_CPU_MASK(values, cpu_mask),
    {.name = "json", .type = DV_OPT_FLAG, .offset = offsetof(values, json), .help = "One JSON object"},
};

static void print_json(const char *used, const char *detected)
{
    dv_buf b;
    dv_buf_init(&b, 0);
    const char *cpu = dv_cpu_model_name();
    dv_buf_printf(&b, "{\"version\":\"%s\",\"cpu\":", dv_version());
    dv_buf_json_str(&b, cpu, strlen(cpu));
    dv_buf_printf(
        &b,
        ",\"cpu_level\":\"%s\",\"cpu_level_detected\":\"%s\",\"cores\":%u,\"memory_bytes\":%llu,\"memory_available_bytes\":%llu}",
        used, detected, dv_limits_get()->cores, (unsigned long long)dv_limits_get()->mem,
        (unsigned long long)dv_limits_get()->mem_available);
    printf("%s\n", dv_buf_str(&b));
    dv_buf_fini(&b);
}

static int run(const dv_cmd *cmd, int argc, char **argv)
{
    values v;
    size_t n_args;
    int code;
    if (!dv_opt_parse(cmd, argc, argv, &v, sizeof v, &n_args, &code))
        return code;
    unsigned detected = dv_cpu_detect(), used = detected;
    const char *mask = dv_cpu_mask_name(v.cpu_mask);
    if (mask != NULL)
        used &= (unsigned)dv_cpu_level_parse(mask);
    const char *used_name = dv_cpu_level_name(used), *detected_name = dv_cpu_level_name(detected);
    if (v.json) {
        print_json(used_name, detected_name);
        return DV_EXIT_OK;
    }
    char limit[DV_FORMAT_BYTES_LEN], available[DV_FORMAT_BYTES_LEN];
    printf("drover     %s\n", dv_version());
    printf("CPU        %s\n", dv_cpu_model_name()[0] ? dv_cpu_model_name() : "unknown");
    printf("kernels    %s (best here: %s)\n", used_name, detected_name);
    printf("cores      %u\n", dv_limits_get()->cores);
    printf("memory     %s, %s available\n", dv_format_bytes(limit, dv_limits_get()->mem),
           dv_format_bytes(available, dv_limits_get()->mem_available));
    return DV_EXIT_OK;
}

const dv_cmd dv_cmd_info = {
    .name = "info",
    .args = "",
    .summary = "Show the version, the CPU level in use, cores and memory",
    .details = "Cores and memory are what this process may use: its CPU affinity and its cgroup's limits count.",
    .opts = opts,
    .n_opts = DV_ARRAY_LEN(opts),
    .run = run,
};
