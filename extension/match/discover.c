/*
 * discover(): the people who fit, in order, and what is shown of each of them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "account/account.h"
#include "core/core.h"
#include "match/cursor.h"
#include "match/score.h"
#include "match/value.h"
#include "match/viewer.h"
#include "profile/profile.h"

PG_FUNCTION_INFO_V1(match_discover);

/* The arguments. */
enum
{
	MODE,
	PAGE_SIZE,
	AFTER,
	SORT,
	FIRST_FILTER,
	SCORING = 11,
	N_FILTERS = SCORING - FIRST_FILTER
};

/* The columns of the profile. */
enum
{
	DISPLAY_NAME = 2,
	BIRTH_DATE,
	ABOUT,
	TRAITS = 10,
	NUMBERS,
	TAGS
};

typedef enum
{
	MODE_OF,
	FILTERS,
	FILTERED,
	SCAN,
	SCAN_BY_TAGS,
	N_STATEMENTS
} Statement;

#define SELECT_CANDIDATES(condition) \
	"SELECT c.person_id, c.key, c.key OPERATOR(rapport.<->) $1 FROM rapport.candidate AS c" \
	" WHERE c.key OPERATOR(rapport.@@) $1" condition \
	" ORDER BY c.key OPERATOR(rapport.<->) $1 FETCH FIRST ($2) ROWS WITH TIES"

/* InvalidOid is the type match_query. */
static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[N_FILTERS];
}			statements[N_STATEMENTS] = {
	[MODE_OF] = {"SELECT rapport.match_mode($1, $2)", 2, {INT8OID, TEXTOID}},
	[FILTERS] = {
		"SELECT rapport.match_filters($1, $2, $3, $4, $5, $6, $7)",
		7, {INT4OID, BOOLOID, INT4OID, INT4OID, JSONBOID, TEXTARRAYOID, INT4OID}
	},
	[FILTERED] = {
		"SELECT rapport.match_filtered($1, $2, $3, $4, $5), ARRAY(SELECT jsonb_array_elements_text($2 -> 'tags')),"
		" coalesce(($2 ->> 'min_shared_tags')::integer, 0)",
		5, {InvalidOid, JSONBOID, TEXTARRAYOID, DATEOID, TEXTOID}
	},
	[SCAN] = {SELECT_CANDIDATES(""), 2, {InvalidOid, INT4OID}},
	/* Of tags the index knows bits alone. */
	[SCAN_BY_TAGS] = {
		SELECT_CANDIDATES(" AND (SELECT p.tags @> $4 AND (SELECT count(*) FROM unnest(p.tags) AS t WHERE t = ANY ($3)) >= $5"
						  " FROM rapport.profile AS p WHERE p.person_id = c.person_id)"),
		5, {InvalidOid, INT4OID, TEXTARRAYOID, TEXTARRAYOID, INT4OID}
	},
};

/* Runs a statement in the snapshot of the caller; nulls may be NULL. */
static void
run(Statement statement, Datum *values, const char *nulls)
{
	static SPIPlanPtr plans[N_STATEMENTS];
	static Oid	query_type;
	Oid			now = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("match_query"),
									  ObjectIdGetDatum(get_namespace_oid("rapport", false)));
	Oid			types[N_FILTERS];

	/* Another one, if the extension was dropped and made again. */
	if (now != query_type)
		memset(plans, 0, sizeof(plans));
	query_type = now;
	for (int i = 0; i < statements[statement].nargs; i++)
		types[i] = OidIsValid(statements[statement].types[i]) ? statements[statement].types[i] : query_type;
	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs, types);
	if (SPI_execute_plan(plans[statement], values, nulls, true, 0) < 0)
		elog(ERROR, "statement %d of discover() failed", (int) statement);
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

/* A call of discover(). */
typedef struct Call
{
	FunctionCallInfo fcinfo;
	int			size;
	MatchDeck	deck;
	Datum		asked_tags;		/* text[]: who is found has all of them; 0 for none */
	Datum		shared_tags;	/* integer: and as many of one's own */
} Call;

static int
page_size(FunctionCallInfo fcinfo)
{
	int			size = PG_ARGISNULL(PAGE_SIZE) ? 20 : PG_GETARG_INT32(PAGE_SIZE);

	if (size < 1 || size > 100)
		core_fail("out_of_range", "page_size takes 1 to 100.");
	return size;
}

/* match_filters() of the arguments; NULL for none. */
static Jsonb *
filters_of(FunctionCallInfo fcinfo)
{
	Datum		values[N_FILTERS];
	char		nulls[N_FILTERS];
	bool		isnull = true;
	bool		none = true;
	Datum		filters;

	for (int i = 0; i < N_FILTERS; i++)
	{
		values[i] = PG_GETARG_DATUM(FIRST_FILTER + i);
		nulls[i] = PG_ARGISNULL(FIRST_FILTER + i) ? 'n' : ' ';
		none = none && PG_ARGISNULL(FIRST_FILTER + i);
	}
	if (none)
		return NULL;
	run(FILTERS, values, nulls);
	filters = column(0, 1, &isnull);
	return isnull ? NULL : DatumGetJsonbP(filters);
}

/* Narrows and orders the question as the arguments say. */
static void
apply_filters(Call *call, Jsonb *filters)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	char		nulls[] = {' ', filters == NULL ? 'n' : ' ', ' ', ' ', PG_ARGISNULL(SORT) ? 'n' : ' '};
	bool		isnull;

	if (filters == NULL && PG_ARGISNULL(SORT))
		return;
	run(FILTERED, (Datum[]) {
		PointerGetDatum(call->deck.query), JsonbPGetDatum(filters), call->deck.tags, DateADTGetDatum(call->deck.day), PG_GETARG_DATUM(SORT)
	}, nulls);
	call->deck.query = DatumGetMatchQuery(column(0, 1, &isnull));
	call->asked_tags = column(0, 2, &isnull);
	call->shared_tags = column(0, 3, &isnull);
}

static void
begin_call(Call *call)
{
	FunctionCallInfo fcinfo = call->fcinfo;
	Datum		me = Int64GetDatum(account_acting_person());
	Datum		mode = 0;
	Jsonb	   *filters;
	bool		isnull;

	call->size = page_size(fcinfo);
	if (!PG_ARGISNULL(MODE))
	{
		run(MODE_OF, (Datum[]) {me, PG_GETARG_DATUM(MODE)}, NULL);
		mode = column(0, 1, &isnull);
	}
	filters = filters_of(fcinfo);
	match_begin_deck(&call->deck, fcinfo->flinfo, me, mode, PG_ARGISNULL(SCORING) ? 0 : PG_GETARG_DATUM(SCORING), filters,
					 PG_ARGISNULL(SORT) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(SORT)),
					 PG_ARGISNULL(AFTER) ? NULL : PG_GETARG_TEXT_PP(AFTER));
	apply_filters(call, filters);
}

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

/* The best first, and nobody but those who fit; *n of them. */
static Hit *
find(const Call *call, int *n)
{
	bool		by_tags = call->asked_tags != 0 &&
		(ARR_NDIM(DatumGetArrayTypeP(call->asked_tags)) > 0 || DatumGetInt32(call->shared_tags) > 0);
	Hit		   *hits;
	bool		isnull;

	run(by_tags ? SCAN_BY_TAGS : SCAN, (Datum[]) {
		PointerGetDatum(call->deck.query), Int32GetDatum(call->size), call->deck.tags, call->asked_tags, call->shared_tags
	}, NULL);
	hits = palloc((SPI_processed + 1) * sizeof(Hit));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		hits[i].id = DatumGetInt64(column(i, 1, &isnull));
		hits[i].key = DatumGetMatchKey(column(i, 2, &isnull));
		hits[i].cost = DatumGetFloat8(column(i, 3, &isnull));
	}
	/* Cut here, not by the scan: those of equal costs come in any order. */
	qsort(hits, SPI_processed, sizeof(Hit), compare_hits);
	*n = Min((int) SPI_processed, call->size);
	return hits;
}

/* An array of text, taken apart. */
typedef struct Texts
{
	Datum	   *values;
	int			n;
} Texts;

static Texts
texts_of(Datum array)
{
	Texts		texts;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts.values, NULL, &texts.n);
	return texts;
}

static bool
is_one_of(Datum wanted, const Texts *texts)
{
	const text *one = (const text *) DatumGetPointer(wanted);

	for (int i = 0; i < texts->n; i++)
	{
		const text *other = (const text *) DatumGetPointer(texts->values[i]);

		if (VARSIZE_ANY_EXHDR(one) == VARSIZE_ANY_EXHDR(other) &&
			memcmp(VARDATA_ANY(one), VARDATA_ANY(other), VARSIZE_ANY_EXHDR(one)) == 0)
			return true;
	}
	return false;
}

/* Those of their tags that are mine too, in their order. */
static Datum
shared_tags(Datum theirs, const Texts *mine)
{
	Texts		texts = texts_of(theirs);
	int			n = 0;

	for (int i = 0; i < texts.n; i++)
	{
		if (is_one_of(texts.values[i], mine))
			texts.values[n++] = texts.values[i];
	}
	return PointerGetDatum(construct_array(texts.values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* What does not change from row to row. */
typedef struct Showing
{
	const Call *call;
	const MatchSealer *sealer;
	const ProfileAttribute *attributes;
	Texts		mine;			/* my tags */
	Datum	   *bucket_km;
	bool	   *bucket_nulls;
	int			n_buckets;
	DateADT		today;
} Showing;

/* The cursor that goes on after somebody. */
static Datum
cursor_of(const Showing *showing, const Hit *hit)
{
	char		place[DOUBLE_SHORTEST_DECIMAL_LEN + MAXINT8LEN + 2];
	int			size = double_to_shortest_decimal_bufn(hit->cost, place);

	place[size++] = ' ';
	size += pg_lltoa(hit->id, place + size);
	return PointerGetDatum(match_seal(showing->sealer, place, size));
}

/* A row of the answer: what follows from the two keys, and what the profile says. */
static void
show(const Showing *showing, const Hit *hit, TupleTableSlot *profile)
{
	ReturnSetInfo *result = (ReturnSetInfo *) showing->call->fcinfo->resultinfo;
	const MatchQuery *query = showing->call->deck.query;
	double		score = match_leaf_score(hit->key, query);
	bool		placed = match_has_place(hit->key) && match_has_place(&query->viewer);
	int			km = 0;
	bool		near = placed && match_bucket_of(match_distance_km(hit->key, &query->viewer) * 1000, showing->bucket_km,
												 showing->bucket_nulls, showing->n_buckets, &km);
	Datum		values[10];
	bool		nulls[10] = {false};

	values[0] = Int64GetDatum(hit->id);
	values[1] = slot_getattr(profile, DISPLAY_NAME, &nulls[1]);
	values[2] = slot_getattr(profile, BIRTH_DATE, &nulls[2]);
	if (!nulls[2])
		values[2] = Int32GetDatum(match_years_between(DatumGetDateADT(values[2]), showing->today));
	values[3] = Int32GetDatum(km);
	nulls[3] = !near;
	values[4] = Float8GetDatum(match_units(Max(0, Min(score, 1)), 2) / 100.0);
	values[5] = shared_tags(slot_getattr(profile, TAGS, &nulls[5]), &showing->mine);
	values[6] = PointerGetDatum(profile_show_attributes(showing->attributes,
														DatumGetArrayTypeP(slot_getattr(profile, TRAITS, &nulls[6])),
														DatumGetArrayTypeP(slot_getattr(profile, NUMBERS, &nulls[6]))));
	values[7] = slot_getattr(profile, ABOUT, &nulls[7]);
	values[8] = PointerGetDatum(match_shown_terms(hit->key, query));
	values[9] = cursor_of(showing, hit);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* discover(mode, page_size, after, sort, the filters, scoring) */
Datum
match_discover(PG_FUNCTION_ARGS)
{
	Call		call = {.fcinfo = fcinfo};
	Showing		showing = {.call = &call};
	CoreScan	profiles;
	Hit		   *hits;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	begin_call(&call);
	hits = find(&call, &n);
	if (n > 0)
	{
		showing.sealer = match_sealer(fcinfo->flinfo, call.deck.scope);
		showing.attributes = profile_read_attributes(CurrentMemoryContext);
		showing.mine = texts_of(call.deck.tags);
		showing.today = core_today();
		deconstruct_array(DatumGetArrayTypeP(call.deck.bucket_km), INT4OID, sizeof(int32), true, TYPALIGN_INT,
						  &showing.bucket_km, &showing.bucket_nulls, &showing.n_buckets);
		core_scan_begin(&profiles, "profile", GetActiveSnapshot(), 1, &(CoreKey) {F_INT8EQ, Int64GetDatum(hits[0].id)});
		for (int i = 0; i < n; i++)
		{
			TupleTableSlot *profile;

			core_scan_seek(&profiles, 1, &(CoreKey) {F_INT8EQ, Int64GetDatum(hits[i].id)});
			profile = core_scan_next(&profiles);
			if (profile != NULL)
				show(&showing, &hits[i], profile);
		}
		core_scan_end(&profiles);
	}
	SPI_finish();
	PG_RETURN_NULL();
}
