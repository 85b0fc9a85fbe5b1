/*
 * What a program could do that is nothing but this search: the people in
 * memory, in arrays, tested eight and 32 at a time, on one thread. No storage,
 * no transactions, no updates. Free of PostgreSQL headers.
 */
#ifndef GRID_H
#define GRID_H

#include "match/key.h"

typedef struct Grid Grid;

typedef struct GridHit
{
	double		cost;
	int64_t		id;
} GridHit;

/*
 * Takes n keys one after the other, each padded to 8 bytes; the grid owns them
 * then. NULL when memory is short. The query must be finished.
 */
extern Grid *grid_build(void *keys, size_t n);
extern void grid_free(Grid *grid);

/* The best k, best first; returns how many. Both give the same answer. */
extern int	grid_search(Grid *grid, const MatchQuery *query, int k, GridHit *hits);
extern int	grid_brute_force(Grid *grid, const MatchQuery *query, int k, GridHit *hits);

/* People looked at by the last search. */
extern size_t grid_visited(const Grid *grid);

#endif
