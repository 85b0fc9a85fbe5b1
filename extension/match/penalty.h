/* What taking a key into a subtree of the index costs: of gist.c and insert.c. */
#ifndef MATCH_PENALTY_H
#define MATCH_PENALTY_H

#include "fmgr.h"
#include "match/key.h"

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

/*
 * What taking b into a costs: first of all other people than those already
 * there by mode and by the clustering lane, then a larger box of place and age.
 */
static inline float
match_penalty(const MatchExtent *a, const MatchExtent *b)
{
	uint64		growth = MATCH_DAY_UNITS * (Max(a->born_min - b->born_min, 0) + Max(b->born_max - a->born_max, 0));
	uint64		edges = 0;
	int			modes = Max(a->mode_max, b->mode_max) - Min(a->mode_min, b->mode_min);
	double		others = 0;

	for (int i = 0; i < 3; i++)
	{
		/* A difference of 32 bits has room in them, without its sign. */
		growth += a->low[i] > b->low[i] ? (uint32) a->low[i] - (uint32) b->low[i] : 0;
		growth += b->high[i] > a->high[i] ? (uint32) b->high[i] - (uint32) a->high[i] : 0;
		edges += (uint32) a->high[i] - (uint32) a->low[i];
	}
	if (modes != 0)
		others += 1000.0 * modes;
	if (a->lanes != b->lanes)
		others += 50.0 * __builtin_popcount(b->lanes & ~a->lanes) + 5.0 * __builtin_popcount(a->lanes & ~b->lanes);
	if (a->tagged != b->tagged)
		others += 0.01;
	return others + ((double) (int64) growth + 0.001 * (double) (int64) edges) * (1.0 / MATCH_UNIT);
}

#endif
