/* The bounds that inner tuples of the index hold. */
#ifndef MATCH_BOUNDS_H
#define MATCH_BOUNDS_H

#include "match/key.h"

/* Of a key, or of bounds: a copy. */
extern void match_bounds_of(const void *value, MatchBounds *bounds);

/* Widens a so that it covers b. */
extern void match_bounds_add(MatchBounds *a, const MatchBounds *b);

#endif
