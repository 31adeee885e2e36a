/* SPDX-License-Identifier: MIT */
/* How a set of products becomes parts for the pool. First every distinct input is quantised, parts being runs of tokens, into blocks laid
 * out [super-block][token], so that one gemm call reads consecutive blocks. Then each part takes one chunk of columns (tokens) and one or
 * more groups of 32 rows through all super-blocks: unpack a tile, multiply it with the chunk's columns, add up in the thread's scratch.
 *
 * An output element goes through the same operations in the same order however the work is cut, which is what makes results
 * independent of the batch and of the thread count. */
#include "kern/matmul.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_JOBS = 128, /* jobs planned at once; more run one slice after the other */
    CHUNK_BYTES =
        1 << 20,          /* activations of a chunk: they are read once per row group and should stay in the L2 cache */
    CHUNK_MIN = 64,       /* but so many columns at least, or unpacking the weights again for each chunk would show */
    CHUNK_MAX = 256,      /* bounds the accumulators in a thread's scratch */
    CHUNK_STEP = 8,       /* chunks are equal up to this, which suits the column blocking of the kernels */
    UNPACK_COLS = 8,      /* an unpacked tile costs about as much as multiplying it with so many columns, */
    STREAM_COLS = 2,      /* and reading the weights from memory, for few columns, about as much as this */
    PART_COST = 1 << 22,  /* multiply-adds below which a part is not worth its hand-out */
    PARTS_PER_THREAD = 4, /* but that many parts are kept for balance */
    QUANT_ELEMENTS = 1 << 14 /* elements of a part of the quantisation */
};

typedef struct input {
    const dv_mm_job *job; /* x, ldx, n_tok, w->n_in and w->fine are those of every job that shares it */
    dv_act_block *blocks; /* [n_sb][columns] */
    size_t first_part;
    uint32_t tok_per_part;
} input;

typedef struct plan {
    const dv_mm_job *job;
    const dv_act_block *blocks; /* NULL for float weights */
    size_t first_part;
    uint32_t columns; /* of the input: the tokens, or two for each */
    uint32_t chunk;   /* columns */
    uint32_t groups_per_part;
    uint32_t row_parts; /* parts of one chunk */
} plan;

typedef struct scratch {
    union {
        dv_tile q;
        DV_ALIGNED(64) float f[DV_FTILE_K * DV_TILE_ROWS];
    } tile;
    DV_ALIGNED(64) float acc[CHUNK_MAX * DV_TILE_ROWS];
} scratch;

struct dv_mm {
    const dv_kern *kern;
    dv_pool *pool;
    dv_act_block *blocks;
    size_t n_blocks;
    scratch *scratch; /* [threads] */
    size_t n_inputs, n_plans, quant_parts, mul_parts;
    input inputs[MAX_JOBS];
    plan plans[MAX_JOBS];
};

static uint32_t div_up(uint32_t a, uint32_t b) { return a / b + (a % b != 0); }

static bool is_float(const dv_mat *w) { return dv_type_shape(w->type) == DV_SHAPE_FLOAT; }

static bool is_fine(const dv_mat *w) { return w->fine && !is_float(w); }

static uint32_t columns(const dv_mm_job *job) { return is_fine(job->w) ? 2 * job->n_tok : job->n_tok; }

/* --- planning, by the owner thread --- */

static bool same_input(const dv_mm_job *a, const dv_mm_job *b)
{
    return a->x == b->x && a->ldx == b->ldx && a->n_tok == b->n_tok && a->w->n_in == b->w->n_in &&
           a->w->fine == b->w->fine;
}

/* Blocks for the job's quantised input, shared with the job before where it is the same; NULL when they do not fit any more. */
static const dv_act_block *plan_input(dv_mm *mm, const dv_mm_job *job, size_t *used)
{
    if (mm->n_inputs > 0 && same_input(mm->inputs[mm->n_inputs - 1].job, job))
        return mm->inputs[mm->n_inputs - 1].blocks;
    size_t need = (size_t)div_up(job->w->n_in, DV_SB) * columns(job);
    if (need > mm->n_blocks - *used)
        return NULL;
    uint32_t tokens = DV_MAX(QUANT_ELEMENTS / DV_MAX(job->w->n_in, 1u), 1u);
    input *in = &mm->inputs[mm->n_inputs++];
    *in = (input){.job = job, .blocks = mm->blocks + *used, .first_part = mm->quant_parts, .tok_per_part = tokens};
    mm->quant_parts += div_up(job->n_tok, tokens);
    *used += need;
    return in->blocks;
}

static uint32_t chunk_columns(const dv_mm_job *job, uint32_t n_cols, bool is_f)
{
    size_t column_bytes = is_f ? job->w->n_in * sizeof(float) : div_up(job->w->n_in, DV_SB) * sizeof(dv_act_block);
    size_t most = DV_MIN(DV_MAX(CHUNK_BYTES / DV_MAX(column_bytes, 1u), (size_t)CHUNK_MIN), (size_t)CHUNK_MAX);
    uint32_t n_chunks = div_up(n_cols, (uint32_t)most);
    uint32_t chunk = div_up(div_up(n_cols, n_chunks), CHUNK_STEP) * CHUNK_STEP;
    return DV_MIN(chunk, (uint32_t)most / CHUNK_STEP * CHUNK_STEP);
}

static void plan_job(dv_mm *mm, const dv_mm_job *job, const dv_act_block *blocks)
{
    uint32_t n_cols = columns(job), chunk = chunk_columns(job, n_cols, blocks == NULL);
    uint32_t n_groups = div_up(job->w->n_out, DV_TILE_ROWS);
    uint64_t group_cost = (uint64_t)DV_TILE_ROWS * DV_MAX(job->w->n_in, 1u) *
                          (n_cols <= DV_GEMV_COLS ? n_cols + STREAM_COLS : DV_MIN(chunk, n_cols) + UNPACK_COLS);
    uint32_t most = n_groups / (dv_pool_threads(mm->pool) * PARTS_PER_THREAD);
    uint32_t groups = (uint32_t)DV_MIN(PART_COST / group_cost, (uint64_t)most);
    plan *p = &mm->plans[mm->n_plans++];
    *p = (plan){.job = job,
                .blocks = blocks,
                .first_part = mm->mul_parts,
                .columns = n_cols,
                .chunk = chunk,
                .groups_per_part = DV_MAX(groups, 1u)};
    p->row_parts = div_up(n_groups, p->groups_per_part);
    mm->mul_parts += (size_t)p->row_parts * div_up(n_cols, chunk);
}

/* Plans as many jobs as fit; returns how many. */
static size_t plan_jobs(dv_mm *mm, const dv_mm_job *jobs, size_t n_jobs)
{
    size_t i, used = 0;
    mm->n_inputs = mm->n_plans = mm->quant_parts = mm->mul_parts = 0;
    for (i = 0; i < n_jobs && mm->n_plans < MAX_JOBS; i++) {
        const dv_act_block *blocks = NULL;
        if (jobs[i].n_tok == 0 || jobs[i].w->n_out == 0)
            continue;
        if (!is_float(jobs[i].w) && (blocks = plan_input(mm, &jobs[i], &used)) == NULL)
            break;
        plan_job(mm, &jobs[i], blocks);
    }
    return i;
}

/* --- parts, by any thread --- */

/* The row x of n elements into pairs of blocks, out[i * stride] and the one after it: x, and what that lost. */
static void quant_fine(const dv_kern *kern, const float *x, uint32_t n, dv_act_block *out, size_t stride)
{
    for (uint32_t at = 0; at < n; at += DV_SB, out += stride) {
        uint32_t n_k = DV_MIN(n - at, (uint32_t)DV_SB);
        float rest[DV_SB];
        kern->quant_act(x + at, n_k, out, 1);
        for (uint32_t i = 0; i < n_k; i++)
            rest[i] = x[at + i] - out->d[i / DV_ACT_GROUP] * (float)out->q[i];
        kern->quant_act(rest, n_k, out + 1, 1);
    }
}

static void quant_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const dv_mm *mm = arg;
    const input *in = &mm->inputs[mm->n_inputs - 1];
    while (part < in->first_part)
        in--;
    const dv_mm_job *job = in->job;
    uint32_t at = (uint32_t)(part - in->first_part) * in->tok_per_part, end = DV_MIN(at + in->tok_per_part, job->n_tok);
    (void)n_parts;
    (void)thread;
    for (; at < end; at++) {
        const float *x = job->x + at * job->ldx;
        if (is_fine(job->w))
            quant_fine(mm->kern, x, job->w->n_in, in->blocks + 2 * (size_t)at, columns(job));
        else
            mm->kern->quant_act(x, job->w->n_in, in->blocks + at, job->n_tok);
    }
}

/* Rows to multiply, in tiles of some columns. */
typedef struct strip {
    const uint8_t *w; /* of the first tile */
    size_t row_bytes, tile_bytes;
    uint32_t n_rows, n_tiles;
    const uint8_t *after; /* the rows that this thread will probably read next */
} strip;

/* The rows of tile i, which may lie in the next strip, as something to prefetch. */
static dv_ahead tile_at(const strip *s, uint32_t i)
{
    const uint8_t *w =
        i < s->n_tiles ? s->w + i * s->tile_bytes : s->after + DV_MIN(i - s->n_tiles, s->n_tiles - 1) * s->tile_bytes;
    return (dv_ahead){.w = w, .row_bytes = s->row_bytes, .n_rows = s->n_rows, .len = (uint32_t)s->tile_bytes + 63};
}

static size_t int_tile_bytes(dv_type type)
{
    const dv_type_info *info = dv_type_get(type);
    return (size_t)DV_SB / info->block_len * info->block_bytes;
}

static uint32_t tile_columns(uint32_t n_in, uint32_t tile, uint32_t step) { return DV_MIN(n_in - tile * step, step); }

/* Few columns: rows row..row+n_rows, in runs of DV_GEMV_ROWS, of columns col..col+n_cols into acc. */
static void multiply_few(const dv_mm *mm, const plan *p, strip s, uint32_t col, uint32_t n_cols, float *acc)
{
    const dv_mat *w = p->job->w;
    const uint8_t *after = s.after;
    for (uint32_t left = s.n_rows; left > 0; left -= DV_GEMV_ROWS, acc += DV_GEMV_ROWS) {
        s.after = left > DV_GEMV_ROWS ? s.w + DV_GEMV_ROWS * s.row_bytes : after;
        for (uint32_t i = 0; i < s.n_tiles; i++)
            mm->kern->gemv[w->type](s.w + i * s.tile_bytes, s.row_bytes, tile_columns(w->n_in, i, DV_SB),
                                    tile_at(&s, i + DV_GEMV_AHEAD).w, p->blocks + (size_t)i * p->columns + col, n_cols,
                                    acc);
        s.w += DV_GEMV_ROWS * s.row_bytes;
    }
}

/* Rows row..row+n_rows of columns col..col+n_cols into acc. */
static void multiply_int(const dv_mm *mm, const plan *p, strip s, uint32_t col, uint32_t n_cols, scratch *to)
{
    const dv_mat *w = p->job->w;
    s.tile_bytes = int_tile_bytes(w->type);
    s.n_tiles = div_up(w->n_in, DV_SB);
    if (n_cols <= DV_GEMV_COLS && s.n_rows % DV_GEMV_ROWS == 0 && mm->kern->gemv[w->type] != NULL) {
        multiply_few(mm, p, s, col, n_cols, to->acc);
        return;
    }
    for (uint32_t i = 0; i < s.n_tiles; i++) {
        uint32_t n_k = tile_columns(w->n_in, i, DV_SB);
        dv_ahead ahead = tile_at(&s, i + DV_GEMM_AHEAD);
        mm->kern->unpack[w->type](s.w + i * s.tile_bytes, s.row_bytes, s.n_rows, n_k, &to->tile.q);
        mm->kern->gemm[dv_type_shape(w->type)](&to->tile.q, n_k, p->blocks + (size_t)i * p->columns + col, n_cols,
                                               &ahead, to->acc);
    }
}

/* 32 rows are more streams than hardware prefetchers follow: so half of the next tile is asked for before unpacking and half before
 * multiplying. */
static void multiply_float(const dv_mm *mm, const plan *p, strip s, uint32_t col, uint32_t n_cols, scratch *to)
{
    const dv_mm_job *job = p->job;
    const dv_mat *w = job->w;
    s.tile_bytes = (size_t)DV_FTILE_K * dv_type_get(w->type)->block_bytes;
    s.n_tiles = div_up(w->n_in, DV_FTILE_K);
    for (uint32_t i = 0; i < s.n_tiles; i++) {
        uint32_t n_k = tile_columns(w->n_in, i, DV_FTILE_K);
        dv_ahead ahead = tile_at(&s, i + 1);
        dv_ahead_fetch(&ahead, 0, 2);
        mm->kern->unpackf[w->type](s.w + i * s.tile_bytes, s.row_bytes, s.n_rows, n_k, to->tile.f);
        dv_ahead_fetch(&ahead, 1, 2);
        mm->kern->gemmf(to->tile.f, n_k, job->x + col * job->ldx + i * DV_FTILE_K, job->ldx, n_cols, to->acc);
    }
}

/* One row group of one chunk, from the weights to y. after: see strip */
static void multiply_group(const dv_mm *mm, const plan *p, uint32_t row, uint32_t col, const uint8_t *after, scratch *s)
{
    const dv_mm_job *job = p->job;
    const dv_mat *w = job->w;
    uint32_t n_rows = DV_MIN(w->n_out - row, (uint32_t)DV_TILE_ROWS), n_cols = DV_MIN(p->columns - col, p->chunk);
    strip rows = {.w = w->data + row * w->row_bytes, .row_bytes = w->row_bytes, .n_rows = n_rows, .after = after};
    memset(s->acc, 0, n_cols * DV_TILE_ROWS * sizeof s->acc[0]);
    if (p->blocks != NULL)
        multiply_int(mm, p, rows, col, n_cols, s);
    else
        multiply_float(mm, p, rows, col, n_cols, s);
    if (is_fine(job->w)) {
        /* The pairs of columns become one, from the front. */
        n_cols /= 2;
        col /= 2;
        for (uint32_t c = 0; c < n_cols; c++)
            for (uint32_t r = 0; r < DV_TILE_ROWS; r++)
                s->acc[c * DV_TILE_ROWS + r] =
                    s->acc[2 * c * DV_TILE_ROWS + r] + s->acc[(2 * c + 1) * DV_TILE_ROWS + r];
    }
    for (uint32_t c = 0; c < n_cols; c++)
        memcpy(job->y + (col + c) * job->ldy + row, s->acc + c * DV_TILE_ROWS, n_rows * sizeof s->acc[0]);
}

/* The plan that a part belongs to: the last one that starts at or before it. */
static const plan *find_plan(const dv_mm *mm, size_t part)
{
    size_t lo = 0, hi = mm->n_plans;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (mm->plans[mid].first_part <= part)
            lo = mid;
        else
            hi = mid;
    }
    return &mm->plans[lo];
}

static const uint8_t *group_rows(const plan *p, uint32_t group)
{
    const dv_mat *w = p->job->w;
    return w->data + DV_MIN(group * DV_TILE_ROWS, w->n_out - 1) * w->row_bytes;
}

static void multiply_part(void *arg, size_t part, size_t n_parts, unsigned thread)
{
    const dv_mm *mm = arg;
    const plan *p = find_plan(mm, part);
    size_t local = part - p->first_part;
    uint32_t col = (uint32_t)(local / p->row_parts) * p->chunk,
             group = (uint32_t)(local % p->row_parts) * p->groups_per_part, end = group + p->groups_per_part;
    /* Threads of about the same speed take parts in turn. */
    const uint8_t *next_part = group_rows(p, group + p->groups_per_part * dv_pool_threads(mm->pool));
    (void)n_parts;
    for (; group < end && group * DV_TILE_ROWS < p->job->w->n_out; group++)
        multiply_group(mm, p, group * DV_TILE_ROWS, col, group + 1 < end ? group_rows(p, group + 1) : next_part,
                       &mm->scratch[thread]);
}

void dv_mm_run(dv_mm *mm, const dv_mm_job *jobs, size_t n_jobs)
{
    while (n_jobs > 0) {
        size_t n = plan_jobs(mm, jobs, n_jobs);
        if (n == 0)
            abort(); /* the caller's input exceeds what it declared to dv_mm_open; going on would overrun the buffer */
        if (mm->quant_parts > 0)
            dv_pool_run(mm->pool, quant_part, mm, mm->quant_parts);
        if (mm->mul_parts > 0)
            dv_pool_run(mm->pool, multiply_part, mm, mm->mul_parts);
        jobs += n;
        n_jobs -= n;
    }
}

int dv_mm_open(dv_mm **out, const dv_kern *kern, dv_pool *pool, size_t max_in_total, dv_err *err)
{
    *out = NULL;
    dv_mm *mm = dv_calloc(DV_MEM_SCRATCH, 1, sizeof *mm);
    if (mm == NULL)
        return dv_fail(err, DV_ENOMEM, "matrix product: %s", dv_error_text(DV_ENOMEM));
    mm->kern = kern;
    mm->pool = pool;
    mm->n_blocks = dv_div_up(max_in_total, DV_SB);
    mm->blocks = dv_alloc_array(DV_MEM_SCRATCH, mm->n_blocks, sizeof *mm->blocks);
    mm->scratch = dv_alloc_array(DV_MEM_SCRATCH, dv_pool_threads(pool), sizeof *mm->scratch);
    if (mm->blocks == NULL || mm->scratch == NULL) {
        dv_mm_close(&mm);
        return dv_fail(err, DV_ENOMEM, "matrix product: no memory for %zu inputs of 256 elements",
                       dv_div_up(max_in_total, DV_SB));
    }
    *out = mm;
    return 0;
}

void dv_mm_close(dv_mm **mm)
{
    if (*mm == NULL)
        return;
    dv_free((*mm)->blocks);
    dv_free((*mm)->scratch);
    dv_free(*mm);
    *mm = NULL;
}
