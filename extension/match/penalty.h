/* What taking a key into a subtree of the index costs: of gist.c and insert.c. */
#ifndef MATCH_PENALTY_H
#define MATCH_PENALTY_H

#include "fmgr.h"
#include "match/key.h"
#include "port/pg_bitutils.h"

/* What a day of birth weighs against a place: a year is 8 km. */
#define MATCH_DAY_UNITS ((int64) MATCH_UNIT / 6371 * 8 / 365)

/* By these an index is known as one that grows by these rules. */
extern PGDLLEXPORT Datum match_gist_union(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum match_gist_penalty(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum match_gist_picksplit(PG_FUNCTION_ARGS);

/* The lane an index clusters by; looked up once for a function of an open index. */
extern int	match_gist_lane(FmgrInfo *function);

static inline bool
match_has_tags(const MatchKey *key)
{
	uint64		words[2];

	/* 14 bytes as two words that overlap. */
	memcpy(&words[0], key->tags, 8);
	memcpy(&words[1], key->tags + MATCH_TAG_BYTES - 8, 8);
	return (words[0] | words[1]) != 0;
}

/* What a penalty goes by, of a key or of bounds, without a copy. */
typedef struct MatchExtent
{
	const int32 *low;
	const int32 *high;
	int			mode_min;
	int			mode_max;
	int			born_min;
	int			born_max;
	bool		tagged;
	uint32		lanes;			/* of the clustering lane: traits, wants */
} MatchExtent;

static inline MatchExtent
match_extent_of(const void *value, int lane)
{
	const MatchKey *key = value;
	const MatchBounds *bounds = value;
	uint32		lanes = key->traits[lane] | (uint32) key->wants[lane] << 8; /* of bounds too */

	if (match_is_leaf(value))
		return (MatchExtent) {key->at, key->at, key->mode, key->mode,
			key->born, key->born == MATCH_BORN_UNSET ? 0 : key->born, match_has_tags(key), lanes};
	return (MatchExtent) {bounds->low, bounds->high, bounds->mode_min, bounds->mode_max,
		bounds->born_min, bounds->born_max, bounds->tags_max > 0, lanes};
}

/* How far a is above b, if it is. */
static inline uint64
match_beyond(int32 a, int32 b)
{
	int64		by = (int64) a - b;

	return Max(by, 0);
}

/* By how much the edges of a box of place and age grow that takes in b. Without loops, which compilers leave. */
static inline uint64
match_growth(const MatchExtent *a, const MatchExtent *b)
{
	return match_beyond(a->low[0], b->low[0]) + match_beyond(b->high[0], a->high[0]) +
		match_beyond(a->low[1], b->low[1]) + match_beyond(b->high[1], a->high[1]) +
		match_beyond(a->low[2], b->low[2]) + match_beyond(b->high[2], a->high[2]) +
		MATCH_DAY_UNITS * (match_beyond(a->born_min, b->born_min) + match_beyond(b->born_max, a->born_max));
}

/* 16 bits, without the instruction that not every processor has. */
static inline int
match_lane_bits(uint32 lanes)
{
	return pg_number_of_ones[lanes & 0xFF] + pg_number_of_ones[lanes >> 8];
}

/* The least that taking in a key of another clustering lane costs. */
#define MATCH_LANE_PENALTY 5.0

/*
 * What taking b into a costs: first of all other people than those already
 * there by mode and by the clustering lane, then a larger box of place and age.
 */
static inline float
match_penalty(const MatchExtent *a, const MatchExtent *b, uint64 growth)
{
	uint64		edges = match_beyond(a->high[0], a->low[0]) + match_beyond(a->high[1], a->low[1]) + match_beyond(a->high[2], a->low[2]);
	int			modes = Max(a->mode_max, b->mode_max) - Min(a->mode_min, b->mode_min);
	double		others = 0;

	if (modes != 0)
		others += 1000.0 * modes;
	if (a->lanes != b->lanes)
		others += 10.0 * MATCH_LANE_PENALTY * match_lane_bits(b->lanes & ~a->lanes) + MATCH_LANE_PENALTY * match_lane_bits(a->lanes & ~b->lanes);
	if (a->tagged != b->tagged)
		others += 0.01;
	return others + ((double) (int64) growth + 0.001 * (double) (int64) edges) * (1.0 / MATCH_UNIT);
}

#endif
