/*
 * The seen set in the database: rapport.swipe holds the latest swipes as rows,
 * the tail, and rapport.seen the others in packed buckets. Whoever writes holds
 * the lock of the person's swipes in the mode, the row of rapport.swiper.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/core.h"
#include "match/packed.h"
#include "match/score.h"
#include "match/seen.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_query_see);
PG_FUNCTION_INFO_V1(match_seen_fold);
PG_FUNCTION_INFO_V1(match_seen_forget);
PG_FUNCTION_INFO_V1(match_seen_unpack);

/* As many of the latest swipes are never folded, for rewind(). */
#define KEEP 16

typedef enum
{
	TAIL,
	BUCKET,
	ADD,
	REPLACE,
	REMOVE,
	FOLDED,
	N_STATEMENTS
} Statement;

static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[4];
}			statements[N_STATEMENTS] = {
	[TAIL] = {
		"SELECT other_id, at, expires FROM rapport.swipe WHERE person_id = $1 AND mode = $2",
		2, {INT8OID, INT2OID}
	},
	[BUCKET] = {
		"SELECT data FROM rapport.seen WHERE person_id = $1 AND mode = $2 AND bucket = $3",
		3, {INT8OID, INT2OID, INT2OID}
	},
	[ADD] = {
		"INSERT INTO rapport.seen (person_id, mode, bucket, data) VALUES ($1, $2, $3, $4)",
		4, {INT8OID, INT2OID, INT2OID, BYTEAOID}
	},
	[REPLACE] = {
		"UPDATE rapport.seen SET data = $4 WHERE person_id = $1 AND mode = $2 AND bucket = $3",
		4, {INT8OID, INT2OID, INT2OID, BYTEAOID}
	},
	[REMOVE] = {
		"DELETE FROM rapport.seen WHERE person_id = $1 AND mode = $2 AND bucket = $3",
		3, {INT8OID, INT2OID, INT2OID}
	},
	[FOLDED] = {
		"DELETE FROM rapport.swipe WHERE person_id = $1 AND mode = $2 AND other_id = ANY ($3)",
		3, {INT8OID, INT2OID, INT8ARRAYOID}
	},
};

static SPIPlanPtr
plan_of(Statement statement)
{
	static SPIPlanPtr plans[N_STATEMENTS];

	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs,
				   statements[statement].types);
	return plans[statement];
}

static uint64
run(Statement statement, Datum *values)
{
	if (SPI_execute_plan(plan_of(statement), values, NULL, false, 0) < 0)
		elog(ERROR, "statement %d of the seen set failed", (int) statement);
	return SPI_processed;
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

/* The bytes of a bucket, checked as far as reading it needs. */
static bytea *
checked_bucket(Datum data, int bucket)
{
	bytea	   *bytes = DatumGetByteaPP(data);
	const char *wrong = match_pack_check(bucket, (uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), false);

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("bucket %d of a seen set is not valid", bucket),
				 errdetail("%s", wrong)));
	return bytes;
}

/*
 * Reading, into a query, row by row from where it lies.
 */

/* Columns of the tables. */
enum
{
	OTHER_ID = 2,				/* of swipe, block and blocked_by */
	SWIPE_EXPIRES = 4,
	SEEN_BUCKET = 3,
	SEEN_DATA = 4
};

typedef struct Ids
{
	int64	   *ids;
	uint32		n;
	uint32		room;
} Ids;

/* Adds the people in the rows; where expires is a column, but those of days before today. */
static void
add_ids(Ids *to, const char *table, int n_keys, const CoreKey *keys, int expires, DateADT today)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, table, GetActiveSnapshot(), n_keys, keys);
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull = true;

		if (expires != 0 && DatumGetDateADT(slot_getattr(slot, expires, &isnull)) <= today && !isnull)
			continue;
		if (to->n == to->room)
			to->ids = repalloc_huge(to->ids, (to->room *= 2) * sizeof(int64));
		to->ids[to->n++] = DatumGetInt64(slot_getattr(slot, OTHER_ID, &isnull));
	}
	core_scan_end(&scan);
}

/* A query that is being built, and its section of buckets. */
typedef struct Building
{
	char	   *query;
	Size		room;
	Size		used;
	Size		section;		/* where it begins; 0 before the first bucket */
	int			bucket;			/* the next */
} Building;

/* The buckets that are not there, up to the next one that is. */
static void
skip_to(Building *building, int bucket)
{
	MatchSection *section = (MatchSection *) (building->query + building->section);

	for (; building->bucket < bucket; building->bucket++)
		section->ends[building->bucket] = building->used - building->section - sizeof(MatchSection);
}

static void
add_bucket(Building *building, int bucket, const bytea *bytes)
{
	Size		size = VARSIZE_ANY_EXHDR(bytes);

	if (building->section == 0)
	{
		building->section = building->used;
		building->used += sizeof(MatchSection);
		/* Buckets are about as big as each other. */
		building->room = building->used + MATCH_SEEN_BUCKETS * (size + size / 4 + 64);
		building->query = repalloc_huge(building->query, building->room);
	}
	if (building->used + size + sizeof(int64) > building->room)
	{
		building->room = 2 * (building->room + size);
		building->query = repalloc_huge(building->query, building->room);
	}
	skip_to(building, bucket);
	memcpy(building->query + building->used, VARDATA_ANY(bytes), size);
	building->used += size;
	skip_to(building, bucket + 1);
}

static void
add_buckets(Building *building, Datum person, Datum mode)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, "seen", GetActiveSnapshot(), 2, (CoreKey[]) {{F_INT8EQ, person}, {F_INT2EQ, mode}});
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		int			bucket = DatumGetInt16(slot_getattr(slot, SEEN_BUCKET, &isnull));

		add_bucket(building, bucket, checked_bucket(slot_getattr(slot, SEEN_DATA, &isnull), bucket));
	}
	core_scan_end(&scan);
	if (building->section == 0)
		return;
	skip_to(building, MATCH_SEEN_BUCKETS);
	while (building->used % sizeof(int64) != 0)
		building->query[building->used++] = 0;
}

/* The ids in a table of a query; returns how many. */
static uint32
table_ids(const int64 *slots, uint32 count, int64 *ids)
{
	uint32		n = 0;

	for (uint32 i = 0; i < match_seen_slots(count); i++)
	{
		if (slots[i] != MATCH_SEEN_FREE)
			ids[n++] = slots[i];
	}
	return n;
}

/*
 * All in one snapshot, the caller's: what is folded meanwhile is read in one of
 * its two places.
 */
MatchQuery *
match_see(const MatchQuery *given, Datum person, Datum mode)
{
	CoreKey		keys[] = {{F_INT8EQ, person}, {F_INT2EQ, mode}};
	Ids			hidden = {.room = given->seen_count + 512};
	Building	building = {0};
	MatchQuery *query;
	Size		begin_packed;
	int64	   *liked;
	uint32		n_liked;

	hidden.ids = palloc(hidden.room * sizeof(int64));
	hidden.n = table_ids(given->seen, given->seen_count, hidden.ids);
	add_ids(&hidden, "swipe", 2, keys, SWIPE_EXPIRES, given->today);
	add_ids(&hidden, "block", 1, keys, 0, 0);
	add_ids(&hidden, "blocked_by", 1, keys, 0, 0);
	hidden.n = match_sort_ids(hidden.ids, hidden.n);
	liked = palloc(given->liked_count * sizeof(int64) + 1);
	n_liked = match_sort_ids(liked, table_ids(given->seen + match_seen_slots(given->seen_count), given->liked_count, liked));

	begin_packed = offsetof(MatchQuery, seen) +
		(match_seen_slots(hidden.n) + match_seen_slots(n_liked)) * sizeof(int64);
	building.query = palloc(begin_packed);
	building.used = begin_packed;
	add_buckets(&building, person, mode);
	query = (MatchQuery *) building.query;
	memcpy(query, given, offsetof(MatchQuery, seen));
	match_set_size(query, building.used);
	query->packed_size = building.used - begin_packed;
	match_query_finish(query, hidden.ids, hidden.n, liked, n_liked);
	pfree(hidden.ids);
	pfree(liked);
	return query;
}

/* match_query_see(query, person_id, mode) RETURNS match_query */
Datum
match_query_see(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(match_see(PG_GETARG_MATCH_QUERY(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)));
}

/*
 * Writing.
 */

static int
compare_entries(const void *a, const void *b)
{
	MatchSeen	x = *(const MatchSeen *) a;
	MatchSeen	y = *(const MatchSeen *) b;

	return (x > y) - (x < y);
}

/*
 * The entries of a bucket, with room for as many more; *n of them, 0 if there
 * is no such row.
 */
static MatchSeen *
read_bucket(Datum person, Datum mode, int bucket, uint32 more, uint32 *n)
{
	MatchSeen  *entries;
	bytea	   *bytes;
	bool		isnull;

	*n = 0;
	if (run(BUCKET, (Datum[]) {person, mode, Int16GetDatum(bucket)}) == 0)
		return palloc((more + 1) * sizeof(MatchSeen));
	bytes = checked_bucket(column(0, 1, &isnull), bucket);
	*n = match_pack_count((uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	entries = palloc((*n + more) * sizeof(MatchSeen));
	match_unpack((uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), entries);
	return entries;
}

/* Stores n entries as the bucket, which exists or not. */
static void
write_bucket(Datum person, Datum mode, int bucket, bool exists, const MatchSeen *entries, uint32 n)
{
	bytea	   *bytes = palloc(VARHDRSZ + match_pack_room(n));
	Size		size = match_pack(bucket, entries, n, (uint8 *) VARDATA(bytes));

	SET_VARSIZE(bytes, VARHDRSZ + size);
	if (n > 0)
		run(exists ? REPLACE : ADD, (Datum[]) {person, mode, Int16GetDatum(bucket), PointerGetDatum(bytes)});
	else if (exists)
		run(REMOVE, (Datum[]) {person, mode, Int16GetDatum(bucket)});
	pfree(bytes);
}

typedef struct TailRow
{
	int64		id;
	TimestampTz at;
	MatchSeen	entry;
	int			bucket;			/* -1: stays a row */
} TailRow;

static int
newest_first(const void *a, const void *b)
{
	const TailRow *x = a;
	const TailRow *y = b;

	return (x->at < y->at) - (x->at > y->at);
}

/* The latest keep of them stay rows. */
static TailRow *
read_tail(Datum person, Datum mode, uint64 keep, uint64 *n)
{
	TailRow    *rows;

	*n = run(TAIL, (Datum[]) {person, mode});
	rows = palloc((*n + 1) * sizeof(TailRow));
	for (uint64 i = 0; i < *n; i++)
	{
		TailRow    *row = &rows[i];
		bool		isnull;
		int64		until;
		uint64		rest;

		row->id = DatumGetInt64(column(i, 1, &isnull));
		row->at = DatumGetTimestampTz(column(i, 2, &isnull));
		until = (int64) DatumGetDateADT(column(i, 3, &isnull)) + 1;
		if (isnull)
			until = 0;
		/* The rest of an id or a day out of their range is in no bucket. */
		if (row->id < 0 || row->id > MATCH_ID_MAX || (!isnull && until < 1) || until > PG_UINT16_MAX)
		{
			row->bucket = -1;
			continue;
		}
		row->bucket = match_bucket(row->id, &rest);
		row->entry = MATCH_SEEN(rest, until);
	}
	qsort(rows, *n, sizeof(TailRow), newest_first);
	for (uint64 i = 0; i < *n && i < keep; i++)
		rows[i].bucket = -1;
	return rows;
}

/*
 * Puts the rows of one bucket into it; returns how many, or 0 if they do not
 * fit. None of them is in it: whoever is swiped is taken out first. What
 * expired before yesterday is dropped; a deck may go on with the day before.
 */
static uint32
fold_bucket(Datum person, Datum mode, int bucket, TailRow *rows, uint64 n_rows, uint32 folding)
{
	DateADT		today = core_today();
	uint32		n_old;
	uint32		n_merged;
	uint32		n = 0;
	MatchSeen  *entries = read_bucket(person, mode, bucket, folding, &n_old);
	Datum	   *ids = palloc(folding * sizeof(Datum));
	uint32		taken = 0;

	for (uint64 i = 0; i < n_rows; i++)
	{
		if (rows[i].bucket != bucket)
			continue;
		ids[taken] = Int64GetDatum(rows[i].id);
		entries[n_old + taken++] = rows[i].entry;
	}
	n_merged = n_old + taken;
	qsort(entries, n_merged, sizeof(MatchSeen), compare_entries);
	for (uint32 i = 0; i < n_merged; i++)
	{
		uint16		until = MATCH_SEEN_UNTIL(entries[i]);

		if (until == 0 || until >= today)
			entries[n++] = entries[i];
	}
	if (n > MATCH_SEEN_BUCKET_MAX)
		return 0;
	write_bucket(person, mode, bucket, n_old > 0, entries, n);
	run(FOLDED, (Datum[]) {person, mode, PointerGetDatum(construct_array(ids, taken, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))});
	pfree(entries);
	pfree(ids);
	return taken;
}

/* seen_fold(person_id, mode, leave) RETURNS integer */
Datum
match_seen_fold(PG_FUNCTION_ARGS)
{
	Datum		person = PG_GETARG_DATUM(0);
	Datum		mode = PG_GETARG_DATUM(1);
	int64		leave = PG_GETARG_INT32(2);
	uint32		counts[MATCH_SEEN_BUCKETS] = {0};
	uint64		n;
	uint64		left;
	TailRow    *rows;

	SPI_connect();
	rows = read_tail(person, mode, Min(KEEP, Max(leave, 0)), &n);
	left = n;
	for (uint64 i = 0; i < n; i++)
	{
		if (rows[i].bucket >= 0)
			counts[rows[i].bucket]++;
	}
	while ((int64) left > leave)
	{
		int			fullest = 0;

		CHECK_FOR_INTERRUPTS();
		for (int bucket = 1; bucket < MATCH_SEEN_BUCKETS; bucket++)
		{
			if (counts[bucket] > counts[fullest])
				fullest = bucket;
		}
		if (counts[fullest] == 0)
			break;
		left -= fold_bucket(person, mode, fullest, rows, n, counts[fullest]);
		counts[fullest] = 0;
	}
	SPI_finish();
	PG_RETURN_INT32((int32) left);
}

/* seen_forget(person_id, mode, other_id) RETURNS boolean */
Datum
match_seen_forget(PG_FUNCTION_ARGS)
{
	Datum		person = PG_GETARG_DATUM(0);
	Datum		mode = PG_GETARG_DATUM(1);
	int64		other = PG_GETARG_INT64(2);
	bool		found = false;
	uint64		rest;
	int			bucket;
	uint32		n;
	MatchSeen  *entries;

	if (other < 0 || other > MATCH_ID_MAX)
		PG_RETURN_BOOL(false);
	bucket = match_bucket(other, &rest);
	SPI_connect();
	entries = read_bucket(person, mode, bucket, 0, &n);
	for (uint32 i = 0; i < n && !found; i++)
	{
		if (MATCH_SEEN_REST(entries[i]) != rest)
			continue;
		memmove(&entries[i], &entries[i + 1], (n - i - 1) * sizeof(MatchSeen));
		write_bucket(person, mode, bucket, true, entries, n - 1);
		found = true;
	}
	SPI_finish();
	PG_RETURN_BOOL(found);
}

/* seen_unpack(data) RETURNS TABLE (other_id, expires) */
Datum
match_seen_unpack(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	const uint8 *data = (uint8 *) VARDATA_ANY(bytes);
	Size		size = VARSIZE_ANY_EXHDR(bytes);
	uint32		n;
	MatchSeen  *entries;
	int			bucket;

	bucket = size > 0 ? data[0] : 0;
	if (bucket >= MATCH_SEEN_BUCKETS || match_pack_check(bucket, data, size, true) != NULL)
		match_invalid("this is not a bucket of a seen set", NULL);
	InitMaterializedSRF(fcinfo, 0);
	n = match_pack_count(data, size);
	entries = palloc(n * sizeof(MatchSeen));
	match_unpack(data, size, entries);
	for (uint32 i = 0; i < n; i++)
	{
		uint16		until = MATCH_SEEN_UNTIL(entries[i]);
		Datum		values[2] = {
			Int64GetDatum(match_unmix(bucket, MATCH_SEEN_REST(entries[i]))),
			DateADTGetDatum(until - 1)
		};
		bool		nulls[2] = {false, until == 0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PG_RETURN_NULL();
}
