/* How keys and queries arrive in and leave SQL functions. */
#ifndef MATCH_VALUE_H
#define MATCH_VALUE_H

#include "fmgr.h"
#include "utils/jsonb.h"
#include "core/compat.h"
#include "match/key.h"

/*
 * Both types are STORAGE plain, so values come flat and aligned, unless
 * somebody changed the storage of a column of his own.
 */
static inline const void *
match_flat(Datum value)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);

	return VARATT_IS_4B_U(stored) ? stored : PG_DETOAST_DATUM_COPY(value);
}

/* A key or bounds of another format as this library would have written it. */
extern const void *match_convert(const void *value);

static inline const void *
match_stored(Datum value)
{
	const void *flat = match_flat(value);

	return match_is_current(flat) ? flat : match_convert(flat);
}

#define DatumGetMatchKey(value) ((const MatchKey *) match_stored(value))
#define DatumGetMatchQuery(value) ((const MatchQuery *) match_flat(value))
#define PG_GETARG_MATCH_KEY(n) DatumGetMatchKey(PG_GETARG_DATUM(n))
#define PG_GETARG_MATCH_QUERY(n) DatumGetMatchQuery(PG_GETARG_DATUM(n))

/* By this an index is known as one of match_key_ops. */
extern PGDLLEXPORT Datum match_gist_consistent(PG_FUNCTION_ARGS);

/*
 * The elements of a one-dimensional array argument without gaps in its type:
 * none if the argument is NULL. More than max elements are an error that names
 * what. Both arrays are palloc'd.
 */
extern int	match_array(FunctionCallInfo fcinfo, int arg, int max, const char *what,
						Datum **elements, bool **nulls);

/* The first of the buckets that the distance does not exceed; false if it exceeds them all. */
extern bool match_bucket_of(double metres, const Datum *bucket_km, const bool *nulls, int n, int *km);

/* What a score or a term of it is in units of 10^-digits, as numeric rounds it. */
extern int64 match_units(double given, int digits);

/* The terms of the score as they may be shown: score_parts() of match_explain(). */
extern Jsonb *match_shown_terms(const MatchKey *key, const MatchQuery *query);

/* match_key_raw() and match_query(), as SQL calls them. */
#define MATCH_ARGUMENTS_MAX 24
extern Datum match_key_build_raw(PG_FUNCTION_ARGS);
extern Datum match_query_build(PG_FUNCTION_ARGS);

/* match_query(key, today): every other argument as if not given. */
extern MatchQuery *match_plain_query(const MatchKey *key, int32 today);

/* Raises an error of class 22 about an argument. */
pg_noreturn extern void match_invalid(const char *message, const char *detail);

#endif
