/*
 * The parts of a score for any caller of SQL.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_decay_gauss);
PG_FUNCTION_INFO_V1(match_decay_exp);
PG_FUNCTION_INFO_V1(match_decay_linear);
PG_FUNCTION_INFO_V1(match_score);
PG_FUNCTION_INFO_V1(match_percentage);
PG_FUNCTION_INFO_V1(match_distance_bucket);

static void
require(bool holds, const char *what, const char *rule)
{
	if (!holds)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", what),
				 errhint("%s must be %s.", what, rule)));
}

/* decay_*(value, origin, scale, offset, decay) */
static double
decay_of(FunctionCallInfo fcinfo, MatchDecay kind)
{
	double		value = PG_GETARG_FLOAT8(0);
	double		origin = PG_GETARG_FLOAT8(1);
	double		scale = PG_GETARG_FLOAT8(2);
	double		offset = PG_GETARG_FLOAT8(3);
	double		at_scale = PG_GETARG_FLOAT8(4);

	require(!isnan(value), "value", "a number");
	require(isfinite(origin), "origin", "a finite number");
	require(isfinite(scale) && scale > 0, "scale", "finite and more than 0");
	require(isfinite(offset) && offset >= 0, "offset", "finite and 0 or more");
	require(at_scale > 0 && at_scale < 1, "decay", "more than 0 and less than 1");
	return match_decay(kind, (fabs(value - origin) - offset) / scale, at_scale);
}

Datum
match_decay_gauss(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(decay_of(fcinfo, MATCH_GAUSS));
}

Datum
match_decay_exp(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(decay_of(fcinfo, MATCH_EXP));
}

Datum
match_decay_linear(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(decay_of(fcinfo, MATCH_LINEAR));
}

/* match_score(key, query) */
Datum
match_score(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);

	PG_RETURN_FLOAT8(match_leaf_score(key, PG_GETARG_MATCH_QUERY(1)));
}

static double
share_of_score(const MatchQuery *viewer, const MatchQuery *other)
{
	double		score = match_leaf_score(&other->viewer, viewer);

	return score < 0 ? 0 : score > 1 ? 1 : score;
}

/* match_percentage(one, other) */
Datum
match_percentage(PG_FUNCTION_ARGS)
{
	const MatchQuery *one = PG_GETARG_MATCH_QUERY(0);
	const MatchQuery *other = PG_GETARG_MATCH_QUERY(1);

	PG_RETURN_FLOAT8(100 * sqrt(share_of_score(one, other) * share_of_score(other, one)));
}

bool
match_bucket_of(double metres, const Datum *bucket_km, const bool *nulls, int n, int *km)
{
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			match_invalid("bucket_km has no NULL elements", NULL);
		*km = DatumGetInt32(bucket_km[i]);
		if (metres <= *km * 1000.0)
			return true;
	}
	return false;
}

/* distance_bucket(metres, bucket_km) */
Datum
match_distance_bucket(PG_FUNCTION_ARGS)
{
	Datum	   *buckets;
	bool	   *nulls;
	int			n = match_array(fcinfo, 1, MATCH_BUCKETS, "bucket_km", &buckets, &nulls);
	int			km;

	if (!match_bucket_of(PG_GETARG_FLOAT8(0), buckets, nulls, n, &km))
		PG_RETURN_NULL();
	PG_RETURN_INT32(km);
}
