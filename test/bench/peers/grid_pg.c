/*
 * The grid as functions of SQL, so that it takes turns with the others, its time
 * taken inside; the clock of all; and a counter of leaf tuples.
 */
#include "postgres.h"

#include <time.h>

#include "access/gist.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "grid.h"
#include "match/score.h"
#include "match/value.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(peer_count_leaves);
PG_FUNCTION_INFO_V1(peer_counted_consistent);
PG_FUNCTION_INFO_V1(peer_cpu_ms);
PG_FUNCTION_INFO_V1(peer_grid_load);
PG_FUNCTION_INFO_V1(peer_grid_ask);

static Grid *grid;

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

Datum
peer_cpu_ms(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(cpu_ms());
}

/* peer.grid_load(query text) returns bigint: takes in the keys that the query gives. */
Datum
peer_grid_load(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Portal		portal;
	size_t		size = 0;
	size_t		room = 1 << 20;
	size_t		n = 0;
	char	   *keys = malloc(room);

	match_simd_use(MATCH_SIMD_AUTO);
	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, 10000);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			const MatchKey *key = DatumGetMatchKey(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
			size_t		one = MAXALIGN(match_size(key));

			if (size + one > room)
			{
				room *= 2;
				keys = realloc(keys, room);
				if (keys == NULL)
					elog(ERROR, "out of memory");
			}
			memset(keys + size + one - 8, 0, 8);
			memcpy(keys + size, key, match_size(key));
			size += one;
			n++;
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	grid_free(grid);
	grid = grid_build(keys, n);
	if (grid == NULL)
		elog(ERROR, "out of memory");
	PG_RETURN_INT64(n);
}

/* peer.grid_ask(asked match_query, k integer, brute boolean, OUT ids bigint[], OUT ms float8, OUT visited bigint) */
Datum
peer_grid_ask(PG_FUNCTION_ARGS)
{
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(0);
	int			k = PG_GETARG_INT32(1);
	bool		brute = PG_GETARG_BOOL(2);
	GridHit    *hits = palloc((k + 1) * sizeof(GridHit));
	Datum	   *ids = palloc((k + 1) * sizeof(Datum));
	Datum		values[3];
	bool		nulls[3] = {false};
	TupleDesc	row;
	double		began;
	double		ended;
	int			n;

	if (grid == NULL)
		elog(ERROR, "the grid is empty");
	if (query->family != MATCH_WEIGHTED || query->order != MATCH_BEST)
		elog(ERROR, "the grid knows the best by weight only");
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	began = cpu_ms();
	n = brute ? grid_brute_force(grid, query, k, hits) : grid_search(grid, query, k, hits);
	ended = cpu_ms();
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(hits[i].id);
	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
	values[1] = Float8GetDatum(ended - began);
	values[2] = Int64GetDatum(grid_visited(grid));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}

/*
 * Leaf tuples that GiST tests: bench.counted_consistent stands in an operator
 * class for the function that bench.count_leaves(regprocedure) was given, which
 * also tells how many there were since it was called last.
 */
static FmgrInfo counted;
static int64 leaves;

Datum
peer_count_leaves(PG_FUNCTION_ARGS)
{
	int64		n = leaves;

	fmgr_info_cxt(PG_GETARG_OID(0), &counted, TopMemoryContext);
	leaves = 0;
	PG_RETURN_INT64(n);
}

Datum
peer_counted_consistent(PG_FUNCTION_ARGS)
{
	GISTENTRY  *entry = (GISTENTRY *) PG_GETARG_POINTER(0);
	FmgrInfo   *own = fcinfo->flinfo;
	Datum		result;

	if (GIST_LEAF(entry))
		leaves++;
	fcinfo->flinfo = &counted;
	result = FunctionCallInvoke(fcinfo);
	fcinfo->flinfo = own;
	return result;
}
