/*
 * A Hilbert curve through the cube around the earth: places that are near each
 * other on it are near each other. Partitions and shards go by it, so that a
 * position is the same in every release; the index has an order of its own.
 * Free of PostgreSQL headers.
 */
#ifndef MATCH_CURVE_H
#define MATCH_CURVE_H

#include "match/key.h"

/* Bits of a coordinate that the curve goes by: a cell has an edge of 6 m. */
#define MATCH_CURVE_BITS 21
/* The last position. */
#define MATCH_CURVE_END (UINT64_MAX >> 1)

extern uint64_t match_curve_position(const int32_t *at);

/* Whether a stretch of the curve, ends included, has a point within the chord reach of a place. */
extern bool match_curve_reaches(uint64_t low, uint64_t high, const int32_t *at, uint32_t reach);

#endif
