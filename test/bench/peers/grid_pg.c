/* The grid as functions of SQL, so that it takes turns with the others; its time is taken inside. */
#include "postgres.h"

#include <time.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "grid.h"
#include "match/score.h"
#include "match/value.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(peer_grid_load);
PG_FUNCTION_INFO_V1(peer_grid_ask);

static Grid *grid;

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
	struct timespec began;
	struct timespec ended;
	int			n;

	if (grid == NULL)
		elog(ERROR, "the grid is empty");
	if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	clock_gettime(CLOCK_MONOTONIC, &began);
	n = brute ? grid_brute_force(grid, query, k, hits) : grid_search(grid, query, k, hits);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	for (int i = 0; i < n; i++)
		ids[i] = Int64GetDatum(hits[i].id);
	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
	values[1] = Float8GetDatum((ended.tv_sec - began.tv_sec) * 1e3 + (ended.tv_nsec - began.tv_nsec) / 1e6);
	values[2] = Int64GetDatum(grid_visited(grid));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}
