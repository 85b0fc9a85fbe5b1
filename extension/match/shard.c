/* Where a key stands on the curve, and which stretches of it a query asks. */
#include "postgres.h"

#include "fmgr.h"

#include "match/curve.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_key_position);
PG_FUNCTION_INFO_V1(match_query_reaches);
PG_FUNCTION_INFO_V1(match_query_viewer);

/* curve_position(key) */
Datum
match_key_position(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);

	if (!match_is_leaf(key))
		match_invalid("the key is not a person's", NULL);
	PG_RETURN_INT64((int64) match_curve_position(key->at));
}

/* match_query_reaches(query, low, high) */
Datum
match_query_reaches(PG_FUNCTION_ARGS)
{
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(0);
	int64		low = PG_GETARG_INT64(1);
	int64		high = PG_GETARG_INT64(2);

	if (low < 0 || low > high)
		match_invalid("the stretch of the curve is not valid", "It must be two positions from 0, the lower one first.");
	/* Without a place on one side both must go everywhere. */
	if (query->reach == MATCH_EVERYWHERE)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(match_has_place(&query->viewer) &&
				   match_curve_reaches((uint64) low, (uint64) high, query->viewer.at, query->reach));
}

/* match_query_viewer(query) */
Datum
match_query_viewer(PG_FUNCTION_ARGS)
{
	const MatchKey *viewer = &PG_GETARG_MATCH_QUERY(0)->viewer;
	MatchKey   *copy = palloc(match_size(viewer));

	memcpy(copy, viewer, match_size(viewer));
	PG_RETURN_POINTER(copy);
}
