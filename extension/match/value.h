/* How keys and queries arrive in and leave SQL functions. */
#ifndef MATCH_VALUE_H
#define MATCH_VALUE_H

#include "fmgr.h"
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

/* match_query(key, today): every other argument as if not given. */
extern MatchQuery *match_plain_query(const MatchKey *key, int32 today);

/* Raises an error of class 22 about an argument. */
pg_noreturn extern void match_invalid(const char *message, const char *detail);

#endif
