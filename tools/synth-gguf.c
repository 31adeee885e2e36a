/* SPDX-License-Identifier: MIT */
/* synth-gguf: write a model with random weights in the shape of a real one, to measure speed and to compare implementations. */
#include "base/limits.h"
#include "drover/error.h"
#include "tools/plan.h"
#include "tools/synth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *f)
{
    size_t n;
    const synth_shape *s = synth_shapes(&n);
    fputs("usage: synth-gguf SHAPE QUANT OUT.gguf [--seed N] [--vocab FILE.gguf] [--threads N] [--hash]\n"
          "       synth-gguf --types SHAPE QUANT\n\n"
          "Writes a model with random weights. The same arguments give the same bytes everywhere.\n\n"
          "  --seed N      another model (default 1)\n"
          "  --vocab FILE  copy the vocabulary of a GGUF file instead of making one up\n"
          "  --threads N   threads to use (default: all cores)\n"
          "  --hash        print the FNV-1a hash of the file\n"
          "  --types       only list the tensors and their types\n\nSHAPE is one of\n",
          f);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "  %-22s %s\n", s[i].name, s[i].about);
    fputs("QUANT is a mixture as files are published in:\n ", f);
    for (size_t i = 0; synth_mix_name(i); i++)
        fprintf(f, " %s", synth_mix_name(i));
    fputs("\nor pure-TYPE for one type in all matrices: pure-Q2_K, pure-IQ4_NL, ...\n", f);
}

static int fail(const dv_err *err)
{
    fprintf(stderr, "synth-gguf: %s\n", err->msg);
    return 1;
}

static int list_types(const char *shape, const char *quant)
{
    dv_err err = {0};
    synth_mix mix;
    synth_plan plan;
    const synth_shape *s = synth_shape_find(shape);
    if (!s || !synth_mix_parse(quant, &mix)) {
        fprintf(stderr, "synth-gguf: unknown %s: %s\n", s ? "quantisation" : "shape", s ? quant : shape);
        return 1;
    }
    if (synth_plan_open(&plan, s, &mix, s->n_vocab, &err))
        return fail(&err);
    for (size_t i = 0; i < plan.n; i++)
        printf("%s %s\n", plan.tensors[i].name, dv_type_name(plan.tensors[i].type));
    synth_plan_close(&plan);
    return 0;
}

typedef struct args {
    const char *pos[3];
    int n_pos;
    synth_options o;
    bool hash, types;
} args;

static bool parse_number(const char *s, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno || end == s || *end || *s == '-' || v > max)
        return false;
    *out = v;
    return true;
}

/* One argument, with its value in `value` (NULL if there is none). Returns how many were used, 0 for a bad one. */
static int parse_one(args *a, const char *arg, const char *value)
{
    uint64_t n;
    if (strcmp(arg, "--hash") == 0) {
        a->hash = true;
    } else if (strcmp(arg, "--types") == 0) {
        a->types = true;
    } else if (strcmp(arg, "--seed") == 0 && value) {
        return parse_number(value, UINT64_MAX, &a->o.seed) ? 2 : 0;
    } else if (strcmp(arg, "--vocab") == 0 && value) {
        a->o.vocab = value;
        return 2;
    } else if (strcmp(arg, "--threads") == 0 && value) {
        bool ok = parse_number(value, 256, &n) && n > 0;
        a->o.threads = ok ? (unsigned)n : 0;
        return ok ? 2 : 0;
    } else if (arg[0] != '-' && a->n_pos < 3) {
        a->pos[a->n_pos++] = arg;
    } else {
        return 0;
    }
    return 1;
}

static int run(const args *a)
{
    dv_err err = {0};
    uint64_t h;
    if (synth_write(a->pos[2], &a->o, &err))
        return fail(&err);
    if (!a->hash)
        return 0;
    if (synth_hash(a->pos[2], &h, &err))
        return fail(&err);
    printf("%016" PRIx64 "\n", h);
    return 0;
}

int main(int argc, char **argv)
{
    args a = {.o = {.seed = 1, .threads = dv_limits_get()->cores}};
    for (int i = 1, used; i < argc; i += used) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            return 0;
        }
        used = parse_one(&a, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (used == 0) {
            fprintf(stderr, "synth-gguf: bad argument or value: %s (see --help)\n", argv[i]);
            return 2;
        }
    }
    if (a.n_pos != (a.types ? 2 : 3)) {
        usage(stderr);
        return 2;
    }
    if (a.types)
        return list_types(a.pos[0], a.pos[1]);
    a.o.shape = a.pos[0];
    a.o.quant = a.pos[1];
    return run(&a);
}
