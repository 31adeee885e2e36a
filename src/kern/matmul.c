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
    const dv_mm_job *job; /* x, ldx, n_tok and w->n_in are those of every job that shares it */
    dv_act_block *blocks; /* [n_sb][n_tok] */
    size_t first_part;
    uint32_t tok_per_part;
} input;

typedef struct plan {
    const dv_mm_job *job;
    const dv_act_block *blocks; /* NULL for float weights */
    size_t first_part;
    uint32_t chunk; /* columns */
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

/* --- planning, by the owner thread --- */

static bool same_input(const dv_mm_job *a, const dv_mm_job *b)
{
    return a->x == b->x && a->ldx == b->ldx && a->n_tok == b->n_tok && a->w->n_in == b->w->n_in;
}

/* Blocks for the job's quantised input, shared with the job before where it is the same; NULL when they do not fit any more. */
static const dv_act_block *plan_input(dv_mm *mm, const dv_mm_job *job, size_t *used)
{
    if (mm->n_inputs > 0 && same_input(mm->inputs[mm->n_inputs - 1].job, job))
        return mm->inputs[mm->n_inputs - 1].blocks;
    size_t need = (size_t)div_up(job->w->n_in, DV_SB) * job->n_tok;
    if (need > mm->n_blocks - *used)
        return NULL;
    uint32_t tokens = DV_MAX(QUANT_ELEMENTS / DV_MAX(job->w->n_in, 1u), 1u);
    input *in = &mm->inputs[mm->n_inputs++];
    *in = (input){.job = job, .blocks = mm->blocks + *used, .first_part = mm->quant_parts, .tok_per_part = tokens};
    mm->quant_parts += div_up(job->n_tok, tokens);
    *used += need;
    return in->blocks;
}

static uint32_t chunk_columns(const dv_mm_job *job, bool is_f)
{
    size_t column_bytes = is_f ? job->w->n_in * sizeof(float) : div_up(job->w->n_in, DV_SB) * sizeof(dv_act_block);
    size_t most = DV_MIN(DV_MAX(CHUNK_BYTES / DV_MAX(column_bytes, 1u), (size_t)CHUNK_MIN), (size_t)CHUNK_MAX);
    uint32_t n_chunks = div_up(job->n_tok, (uint32_t)most);
    uint32_t columns = div_up(div_up(job->n_tok, n_chunks), CHUNK_STEP) * CHUNK_STEP;
    return DV_MIN(columns, (uint32_t)most);
}

static void plan_job(dv_mm *mm, const dv_mm_job *job, const dv_act_block *blocks)
{
    uint32_t chunk = chunk_columns(job, blocks == NULL), n_groups = div_up(job->w->n_out, DV_TILE_ROWS);
    uint64_t group_cost =
        (uint64_t)DV_TILE_ROWS * DV_MAX(job->w->n_in, 1u) *
        (job->n_tok <= DV_GEMV_COLS ? job->n_tok + STREAM_COLS : DV_MIN(chunk, job->n_tok) + UNPACK_COLS);
    uint32_t most = n_groups / (dv_pool_threads(mm->pool) * PARTS_PER_THREAD);
    uint32_t groups = (uint32_t)DV_MIN(PART_COST / group_cost, (uint64_t)most);
    plan *p = &mm->plans[mm->n_plans++];
    *p = (plan){.job = job,
                .blocks = blocks,
                .first_part = mm->mul_parts,
                .chunk = chunk,
                .groups_per_part = DV_MAX(groups, 1u)};
    p->row_parts = div_up(n_groups, p->groups_per_part);
    mm->mul_parts += (size_t)p->row_parts * div_up(job->n_tok, chunk);
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
    for (; at < end; at++)
        mm->kern->quant_act(job->x + at * job->ldx, job->w->n_in, in->blocks + at, job->n_tok);
}

/* Rows of the tile that comes next. 32 rows are more streams than hardware prefetchers follow, and a tile's worth of requests at once is
 * more than a core can have in flight: so half is asked for before unpacking and half before multiplying (see bench/matmul.c). */
typedef struct ahead {
    const uint8_t *w; /* NULL: there is none */
    size_t row_bytes, tile_bytes;
} ahead;

static ahead tile_after(const dv_mat *w, const uint8_t *tile, size_t tile_bytes, uint32_t row, bool last_of_row)
{
    ahead a = {.w = tile + tile_bytes, .row_bytes = w->row_bytes, .tile_bytes = tile_bytes};
    if (last_of_row)
        a.w = w->n_out - row > DV_TILE_ROWS ? w->data + (row + DV_TILE_ROWS) * w->row_bytes : NULL;
    return a;
}

DV_INLINE void prefetch(ahead a, uint32_t first_row, uint32_t end_row)
{
    for (uint32_t r = first_row; r < end_row && a.w != NULL; r++) {
        /* The line that the tile shares with the one before it is there already. */
        uintptr_t p = (uintptr_t)a.w + r * a.row_bytes, end = p + a.tile_bytes;
        for (p = (p + 63) & ~(uintptr_t)63; p < end; p += 64)
            __builtin_prefetch((const void *)p);
    }
}

static size_t tile_row_bytes(const dv_mat *w)
{
    const dv_type_info *type = dv_type_get(w->type);
    return (size_t)DV_SB / type->block_len * type->block_bytes;
}

/* Few columns: rows row..row+n_rows, in runs of DV_GEMV_ROWS, of columns col..col+n_cols into acc.
 * after: the rows that this thread will probably read next */
static void multiply_few(const dv_mm *mm, const plan *p, uint32_t row, uint32_t n_rows, uint32_t col, uint32_t n_cols,
                         const uint8_t *after, float *acc)
{
    const dv_mat *w = p->job->w;
    const uint32_t n_tiles = div_up(w->n_in, DV_SB);
    const size_t sb_bytes = tile_row_bytes(w);
    dv_gemv_fn gemv = mm->kern->gemv[w->type];
    for (uint32_t r = 0; r < n_rows; r += DV_GEMV_ROWS) {
        const uint8_t *rows = w->data + (row + r) * w->row_bytes;
        const uint8_t *next = r + DV_GEMV_ROWS < n_rows ? rows + DV_GEMV_ROWS * w->row_bytes : after;
        for (uint32_t i = 0; i < n_tiles; i++) {
            uint32_t later = i + DV_GEMV_AHEAD;
            const uint8_t *ahead_at =
                later < n_tiles ? rows + later * sb_bytes : next + DV_MIN(later - n_tiles, n_tiles - 1) * sb_bytes;
            gemv(rows + i * sb_bytes, w->row_bytes, DV_MIN(w->n_in - i * DV_SB, (uint32_t)DV_SB), ahead_at,
                 p->blocks + (size_t)i * p->job->n_tok + col, n_cols, acc + r);
        }
    }
}

/* Rows row..row+n_rows of columns col..col+n_cols into acc. */
static void multiply_int(const dv_mm *mm, const plan *p, uint32_t row, uint32_t n_rows, uint32_t col, uint32_t n_cols,
                         const uint8_t *after, scratch *s)
{
    const dv_mat *w = p->job->w;
    const uint8_t *tile = w->data + row * w->row_bytes;
    const dv_act_block *x = p->blocks + col;
    size_t sb_bytes = tile_row_bytes(w);
    dv_unpack_fn unpack = mm->kern->unpack[w->type];
    dv_gemm_fn gemm = mm->kern->gemm[dv_type_shape(w->type)];
    if (n_cols <= DV_GEMV_COLS && n_rows % DV_GEMV_ROWS == 0 && mm->kern->gemv[w->type] != NULL) {
        multiply_few(mm, p, row, n_rows, col, n_cols, after, s->acc);
        return;
    }
    for (uint32_t k = 0; k < w->n_in; k += DV_SB, tile += sb_bytes, x += p->job->n_tok) {
        uint32_t n_k = DV_MIN(w->n_in - k, (uint32_t)DV_SB);
        ahead next = tile_after(w, tile, sb_bytes, row, w->n_in - k <= DV_SB);
        prefetch(next, 0, n_rows / 2);
        unpack(tile, w->row_bytes, n_rows, n_k, &s->tile.q);
        prefetch(next, n_rows / 2, n_rows);
        gemm(&s->tile.q, n_k, x, n_cols, s->acc);
    }
}

static void multiply_float(const dv_mm *mm, const plan *p, uint32_t row, uint32_t n_rows, uint32_t col, uint32_t n_cols,
                           scratch *s)
{
    const dv_mm_job *job = p->job;
    const dv_mat *w = job->w;
    const uint8_t *tile = w->data + row * w->row_bytes;
    size_t tile_bytes = (size_t)DV_FTILE_K * dv_type_get(w->type)->block_bytes;
    for (uint32_t k = 0; k < w->n_in; k += DV_FTILE_K, tile += tile_bytes) {
        uint32_t n_k = DV_MIN(w->n_in - k, (uint32_t)DV_FTILE_K);
        ahead next = tile_after(w, tile, tile_bytes, row, w->n_in - k <= DV_FTILE_K);
        prefetch(next, 0, n_rows / 2);
        mm->kern->unpackf[w->type](tile, w->row_bytes, n_rows, n_k, s->tile.f);
        prefetch(next, n_rows / 2, n_rows);
        mm->kern->gemmf(s->tile.f, n_k, job->x + col * job->ldx + k, job->ldx, n_cols, s->acc);
    }
}

/* One row group of one chunk, from the weights to y. after: as multiply_few wants it */
static void multiply_group(const dv_mm *mm, const plan *p, uint32_t row, uint32_t col, const uint8_t *after, scratch *s)
{
    const dv_mm_job *job = p->job;
    uint32_t n_rows = DV_MIN(job->w->n_out - row, (uint32_t)DV_TILE_ROWS), n_cols = DV_MIN(job->n_tok - col, p->chunk);
    memset(s->acc, 0, n_cols * DV_TILE_ROWS * sizeof s->acc[0]);
    if (p->blocks != NULL)
        multiply_int(mm, p, row, n_rows, col, n_cols, after, s);
    else
        multiply_float(mm, p, row, n_rows, col, n_cols, s);
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
