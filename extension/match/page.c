/*
 * A page of discover(): the ordered scan, and what it shows of each person that
 * comes from the two keys alone.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "core/core.h"
#include "match/cursor.h"
#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_page);

typedef struct Hit
{
	int64		id;
	const MatchKey *key;
	double		cost;
} Hit;

/* Of equal costs the lower id comes first. */
static int
compare_hits(const void *a, const void *b)
{
	const Hit  *x = a;
	const Hit  *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

#define SCAN(condition) \
	"SELECT c.person_id, c.key, c.key OPERATOR(rapport.<->) $1 FROM rapport.candidate AS c" \
	" WHERE c.key OPERATOR(rapport.@@) $1" condition \
	" ORDER BY c.key OPERATOR(rapport.<->) $1 FETCH FIRST ($2) ROWS WITH TIES"

/* The best first, and nobody but those who fit: at most size of them, in memory of SPI. */
static Hit *
scan(FunctionCallInfo fcinfo, int *n)
{
	static SPIPlanPtr plans[2];
	/* Of tags the index knows bits alone. */
	bool		by_tags = ARR_NDIM(PG_GETARG_ARRAYTYPE_P(5)) > 0 || PG_GETARG_INT32(6) > 0;
	static Oid	types[5] = {InvalidOid, INT4OID, TEXTARRAYOID, TEXTARRAYOID, INT4OID};
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	int			size = PG_GETARG_INT32(1);
	Hit		   *hits;
	bool		isnull;

	/* Another one, if the extension was dropped and made again. */
	if (types[0] != type)
		plans[0] = plans[1] = NULL;
	types[0] = type;
	core_keep_plan(&plans[by_tags], by_tags ? SCAN(
				   " AND (SELECT p.tags @> $4 AND (SELECT count(*) FROM unnest(p.tags) AS t WHERE t = ANY ($3)) >= $5"
				   " FROM rapport.profile AS p WHERE p.person_id = c.person_id)") : SCAN(""), by_tags ? 5 : 2, types);
	if (SPI_execute_plan(plans[by_tags], (Datum[]) {
		PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(4), PG_GETARG_DATUM(5), PG_GETARG_DATUM(6)
	}, NULL, true, 0) < 0)
		elog(ERROR, "could not read a page");
	hits = palloc((SPI_processed + 1) * sizeof(Hit));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];

		hits[i].id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		hits[i].key = DatumGetMatchKey(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		hits[i].cost = DatumGetFloat8(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
	}
	/* Cut here, not by the scan: those of equal costs come in any order. */
	qsort(hits, SPI_processed, sizeof(Hit), compare_hits);
	*n = Min((int) SPI_processed, size);
	return hits;
}

/* match_page(query, page_size, scope, bucket_km, own_tags, asked_tags, shared_tags) */
Datum
match_page(PG_FUNCTION_ARGS)
{
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(0);
	const MatchSealer *sealer = match_sealer(fcinfo->flinfo, PG_GETARG_TEXT_PP(2));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *buckets;
	bool	   *nulls;
	int			n_buckets = match_array(fcinfo, 3, MATCH_BUCKETS, "bucket_km", &buckets, &nulls);
	Hit		   *hits;
	int			n;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	hits = scan(fcinfo, &n);
	for (int i = 0; i < n; i++)
	{
		const Hit  *hit = &hits[i];
		double		score = match_leaf_score(hit->key, query);
		bool		placed = match_has_place(hit->key) && match_has_place(&query->viewer);
		char		place[DOUBLE_SHORTEST_DECIMAL_LEN + MAXINT8LEN + 2];
		int			size = double_to_shortest_decimal_bufn(hit->cost, place);
		int			km = 0;
		bool		near = placed && match_bucket_of(match_distance_km(hit->key, &query->viewer) * 1000, buckets, nulls, n_buckets, &km);

		place[size++] = ' ';
		size += pg_lltoa(hit->id, place + size);
		tuplestore_putvalues(result->setResult, result->setDesc, (Datum[]) {
			Int64GetDatum(hit->id), Int32GetDatum(km), Float8GetDatum(match_units(Max(0, Min(score, 1)), 2) / 100.0),
			PointerGetDatum(match_shown_terms(hit->key, query)), PointerGetDatum(match_seal(sealer, place, size))
		}, (bool[]) {false, !near, false, false, false});
	}
	SPI_finish();
	PG_RETURN_NULL();
}
