/* SPDX-License-Identifier: MIT */
/* Loops that keep one part of a core busy. */
#ifndef DV_BENCH_ROOFLINE_H
#define DV_BENCH_ROOFLINE_H

#include <stddef.h>
#include <stdint.h>

enum { ROOF_READ_STEP = 1 << 14 };

typedef struct roof_read {
    unsigned cpu;     /**< flags that are needed */
    unsigned streams; /**< that are read in turn; 1: one byte after the other */
    /** Read bytes (a multiple of ROOF_READ_STEP) at p, aligned to a page. */
    void (*run)(const uint8_t *p, size_t bytes);
} roof_read;

typedef struct roof_multiply {
    const char *with, *of; /**< "vpdpbusd-512", "int8" */
    unsigned cpu;          /**< flags that are needed */
    unsigned macs;         /**< multiply-adds of a round */
    void (*run)(uint64_t rounds);
} roof_multiply;

/* The widest ways to read first. Both end with an entry whose run is NULL. */
extern const roof_read roof_reads[];
extern const roof_multiply roof_multiplies[];

#endif
