/*
 * People as the tables hold them, made into keys and into the questions that
 * they ask. What a call needs of the catalogue it reads anew: a copy that is
 * kept may be older, or younger, than what the transaction sees.
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/core.h"
#include "match/cursor.h"
#include "match/score.h"
#include "match/seen.h"
#include "match/value.h"
#include "match/viewer.h"

PG_FUNCTION_INFO_V1(match_sides);
PG_FUNCTION_INFO_V1(match_side);
PG_FUNCTION_INFO_V1(match_scoring_weights);
PG_FUNCTION_INFO_V1(match_query_for);

/* As rapport.attribute and rapport.preference number them. */
#define ATTRIBUTES_MAX (MATCH_LANES + MATCH_NUMBERS)
#define TWO_WAY 1
#define ONE_WAY 2
#define SOFT 3

/* Up to as many likes are read by their primary key. */
#define FEW_LIKES 64

/* Extended WKB. */
#define WKB_POINT 1
#define WKB_SRID 0x20000000

/* What is found by more than a primary key, or not by C alone. */
typedef enum
{
	MISSING,
	TAG_WEIGHTS,
	LIKED,
	FIRST_MODE,
	N_STATEMENTS
} Statement;

static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[2];
}			statements[N_STATEMENTS] = {
	[MISSING] = {
		"SELECT m.step FROM (SELECT) AS one LEFT JOIN rapport.profile AS p ON p.person_id = $1"
		" CROSS JOIN LATERAL rapport.missing_steps(p) AS m ORDER BY m.step COLLATE \"C\"",
		1, {INT8OID}
	},
	[TAG_WEIGHTS] = {"SELECT t.weights FROM rapport.tag_weights($1) AS t", 1, {TEXTARRAYOID}},
	[LIKED] = {
		"SELECT other_id FROM rapport.like_received WHERE person_id = $1 AND mode = $2 ORDER BY at DESC, other_id DESC LIMIT 1000",
		2, {INT8OID, INT2OID}
	},
	[FIRST_MODE] = {"SELECT rapport.match_mode($1, NULL)", 1, {INT8OID}},
};

/* What is read of a person. */
typedef enum
{
	PERSON_ID,
	LATITUDE,
	LONGITUDE,
	BIRTH_DATE,
	TRAITS,
	NUMBERS,
	TAGS,
	EMBEDDING,
	ABOUT_SIZE,
	DISPLAY_NAME,
	JOINED_ON,
	PROFILE_UPDATED_AT,
	ACTIVE_ON,
	DESIRABILITY,
	SELECTIVITY,
	PRICE,
	/* In the order of rapport.preference after person_id. */
	MODE,
	ENABLED,
	ACCEPTS,
	STRENGTHS,
	NUMBER_MIN,
	NUMBER_MAX,
	NUMBER_UNSET,
	AGE_MIN,
	AGE_MAX,
	MAX_DISTANCE_KM,
	PREFERENCE_UPDATED_AT,
	N_COLUMNS
} Column;

/* The numbers of columns of the tables. */
enum
{
	PROFILE_PERSON_ID = 1,
	PROFILE_DISPLAY_NAME,
	PROFILE_BIRTH_DATE,
	PROFILE_ABOUT,
	PROFILE_PLACE = 6,
	PROFILE_TRAITS = 10,
	PROFILE_NUMBERS,
	PROFILE_TAGS,
	PROFILE_EMBEDDING,
	PROFILE_CREATED_AT = 15,
	PROFILE_UPDATED,
	LIKE_OTHER_ID = 2,
	PREFERENCE_MODE = 2,
	PREFERENCE_ENABLED = 3,
	ACTIVITY_ACTIVE_ON = 2,
	SCALAR_DESIRABILITY = 2,
	SCALAR_SELECTIVITY,
	SCALAR_PRICE,
	ATTRIBUTE_ID = 1,
	ATTRIBUTE_CODE,
	ATTRIBUTE_STRENGTH = 4,
	ATTRIBUTE_WEIGHT,
	ATTRIBUTE_LANE,
	ATTRIBUTE_LANES,
	ATTRIBUTE_SLOT,
	STEP_STEP = 1,
	STEP_REQUIRED,
	MODE_SCORING_NAME = 2,
	SCORING_WEIGHTS = 3,
	SCORING_OFFERED,
	TAG_ROUND_PEOPLE = 2
};

typedef struct Attribute
{
	int			id;
	int			lane;			/* -1: a number */
	int			lanes;
	int			slot;			/* -1: a choice */
	float		weight;
	int			strength;
	const text *code;
} Attribute;

typedef struct Catalogue
{
	int			n;
	int			last;			/* the highest id */
	Attribute	attribute[ATTRIBUTES_MAX];
} Catalogue;

/* An array of integers or booleans, by index from 1. */
typedef struct Elements
{
	int			n;
	Datum	   *values;
	bool	   *nulls;
} Elements;

/* A person in one mode. */
typedef struct Side
{
	NullableDatum column[N_COLUMNS];
	Elements		traits;
	Elements		numbers;
	Elements		accepts;
	Elements		strengths;
	Elements		number_min;
	Elements		number_max;
	Elements		number_unset;
} Side;

/* Runs a statement in the snapshot of the caller; returns how many rows SPI has. Values of 0 are NULL. */
static uint64
run(Statement statement, Datum first, Datum second)
{
	static SPIPlanPtr plans[N_STATEMENTS];
	Datum		values[2] = {first, second};
	char		nulls[2] = {first == 0 ? 'n' : ' ', second == 0 ? 'n' : ' '};

	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs,
				   statements[statement].types);
	if (SPI_execute_plan(plans[statement], values, nulls, true, 0) < 0)
		elog(ERROR, "statement %d of a viewer failed", (int) statement);
	return SPI_processed;
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

/* A column that outlives the scan. */
static NullableDatum
kept(TupleTableSlot *slot, int number)
{
	NullableDatum result;

	result.value = slot_getattr(slot, number, &result.isnull);
	if (!result.isnull && !TupleDescAttr(slot->tts_tupleDescriptor, number - 1)->attbyval)
		result.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(result.value));
	return result;
}

/* n columns from the one of that number of the one row with that key; NULL if there is none. */
static bool
read_row(const char *table, int n_keys, const CoreKey *keys, int number, int n, NullableDatum *columns)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, table, GetActiveSnapshot(), n_keys, keys);
	slot = core_scan_next(&scan);
	for (int i = 0; i < n; i++)
		columns[i] = slot != NULL ? kept(slot, number + i) : (NullableDatum) {0, true};
	core_scan_end(&scan);
	return slot != NULL;
}

/* The weights of a scoring profile that is offered; 0: of the one of the mode. */
static NullableDatum
weights_of(Datum mode, Datum scoring)
{
	NullableDatum name = {scoring, scoring == 0};

	if (name.isnull)
		read_row("mode_scoring", 1, &(CoreKey) {F_INT2EQ, mode}, MODE_SCORING_NAME, 1, &name);
	if (name.isnull)
		name.value = CStringGetTextDatum("default");
	/* A row of this database comes before the built-in one of its name. */
	for (int builtin = 0; builtin < 2; builtin++)
	{
		NullableDatum found[2];

		if (read_row("scoring_profile", 2, (CoreKey[]) {{F_TEXTEQ, name.value}, {F_BOOLEQ, BoolGetDatum(builtin)}}, SCORING_WEIGHTS, 2, found) &&
			(scoring == 0 || DatumGetBool(found[1].value)))
			return found[0];
	}
	core_fail("unknown_scoring", "%s is not offered.", scoring == 0 ? "" : quote_literal_cstr(TextDatumGetCString(scoring)));
}

static NullableDatum
given(Datum value)
{
	return (NullableDatum) {value, false};
}

static int
integer_of(TupleTableSlot *slot, int number, int fallback)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, number, &isnull);

	return isnull ? fallback : DatumGetInt16(value);
}

static void
read_catalogue(Catalogue *catalogue)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	catalogue->n = 0;
	catalogue->last = 0;
	core_scan_begin(&scan, "attribute", GetActiveSnapshot(), 0, NULL);
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		Attribute  *attribute = &catalogue->attribute[catalogue->n++];
		bool		isnull;
		const text *strength = DatumGetTextPP(slot_getattr(slot, ATTRIBUTE_STRENGTH, &isnull));

		attribute->id = integer_of(slot, ATTRIBUTE_ID, 0);
		attribute->lane = integer_of(slot, ATTRIBUTE_LANE, -1);
		attribute->lanes = integer_of(slot, ATTRIBUTE_LANES, 0);
		attribute->slot = integer_of(slot, ATTRIBUTE_SLOT, -1);
		attribute->weight = DatumGetFloat4(slot_getattr(slot, ATTRIBUTE_WEIGHT, &isnull));
		/* two_way, one_way or soft. */
		attribute->strength = *VARDATA_ANY(strength) == 't' ? TWO_WAY : *VARDATA_ANY(strength) == 'o' ? ONE_WAY : SOFT;
		attribute->code = DatumGetTextPP(kept(slot, ATTRIBUTE_CODE).value);
		catalogue->last = Max(catalogue->last, attribute->id);
	}
	core_scan_end(&scan);
}

static Elements
list_of(NullableDatum array, Oid type, int16 size, char align)
{
	Elements		list = {0};

	if (!array.isnull)
		deconstruct_array(DatumGetArrayTypeP(array.value), type, size, true, align, &list.values, &list.nulls, &list.n);
	return list;
}

static bool
has(const Elements *list, int index)
{
	return index <= list->n && !list->nulls[index - 1];
}

/*
 * A point's degrees, of its extended WKB: what PostGIS has a function for in C
 * is that of the type itself; those for coordinates are found by name alone.
 */
static void
set_place(TupleTableSlot *slot, Side *side)
{
	NullableDatum *latitude = &side->column[LATITUDE];
	NullableDatum *longitude = &side->column[LONGITUDE];
	bool		isnull;
	Datum		place = slot_getattr(slot, PROFILE_PLACE, &isnull);
	Oid			send;
	bool		varlena;
	bytea	   *wkb;
	uint32		type;
	const char *at;
	double		x;
	double		y;

	*latitude = *longitude = (NullableDatum) {0, true};
	if (isnull)
		return;
	getTypeBinaryOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, PROFILE_PLACE - 1)->atttypid, &send, &varlena);
	wkb = OidSendFunctionCall(send, place);
	at = VARDATA(wkb) + 1;
	memcpy(&type, at, sizeof(type));
	at += (type & WKB_SRID) != 0 ? 2 * sizeof(uint32) : sizeof(uint32);
	if (VARSIZE(wkb) != at + 2 * sizeof(double) - (char *) wkb || (type & ~WKB_SRID) != WKB_POINT)
		elog(ERROR, "a place is not a point");
	memcpy(&x, at, sizeof(x));
	memcpy(&y, at + sizeof(x), sizeof(y));
	/* An empty one. */
	if (isnan(x) || isnan(y))
		return;
	*longitude = given(Float8GetDatum(x));
	*latitude = given(Float8GetDatum(y));
}

/* What does not depend on the mode, of the person in that row of rapport.profile. */
static void
read_person(TupleTableSlot *profile, Side *side)
{
	NullableDatum *column = side->column;
	CoreKey		key;

	column[PERSON_ID] = kept(profile, PROFILE_PERSON_ID);
	set_place(profile, side);
	column[BIRTH_DATE] = kept(profile, PROFILE_BIRTH_DATE);
	column[TRAITS] = kept(profile, PROFILE_TRAITS);
	column[NUMBERS] = kept(profile, PROFILE_NUMBERS);
	column[TAGS] = kept(profile, PROFILE_TAGS);
	column[EMBEDDING] = kept(profile, PROFILE_EMBEDDING);
	/* Not read if it is long, and lies elsewhere. */
	column[ABOUT_SIZE].value = slot_getattr(profile, PROFILE_ABOUT, &column[ABOUT_SIZE].isnull);
	if (!column[ABOUT_SIZE].isnull)
		column[ABOUT_SIZE].value = Int32GetDatum(toast_raw_datum_size(column[ABOUT_SIZE].value) - VARHDRSZ);
	column[DISPLAY_NAME] = kept(profile, PROFILE_DISPLAY_NAME);
	column[JOINED_ON] = kept(profile, PROFILE_CREATED_AT);
	column[JOINED_ON].value = DirectFunctionCall1(timestamp_date, column[JOINED_ON].value);
	column[PROFILE_UPDATED_AT] = kept(profile, PROFILE_UPDATED);
	key = (CoreKey) {F_INT8EQ, column[PERSON_ID].value};
	read_row("activity", 1, &key, ACTIVITY_ACTIVE_ON, 1, &side->column[ACTIVE_ON]);
	if (read_row("match_scalar", 1, &key, SCALAR_DESIRABILITY, 3, &side->column[DESIRABILITY]))
	{
		for (Column i = DESIRABILITY; i <= PRICE; i++)
			side->column[i].value = Float8GetDatum(DatumGetFloat4(side->column[i].value));
	}
	side->traits = list_of(side->column[TRAITS], INT2OID, sizeof(int16), TYPALIGN_SHORT);
	side->numbers = list_of(side->column[NUMBERS], INT2OID, sizeof(int16), TYPALIGN_SHORT);
}

/* The preferences of the person, in one mode or (mode 0) in all, in their order. */
static void
begin_sides(CoreScan *scan, const Side *side, Datum mode)
{
	core_scan_begin(scan, "preference", GetActiveSnapshot(), mode == 0 ? 1 : 2,
					(CoreKey[]) {{F_INT8EQ, side->column[PERSON_ID].value}, {F_INT2EQ, mode}});
}

/* The next of them; those that are not enabled only where one mode was asked for. */
static bool
next_side(CoreScan *scan, Datum mode, Side *side)
{
	TupleTableSlot *slot;
	bool		isnull;

	do
	{
		slot = core_scan_next(scan);
		if (slot == NULL)
			return false;
	} while (mode == 0 && !DatumGetBool(slot_getattr(slot, PREFERENCE_ENABLED, &isnull)));
	for (Column i = MODE; i < N_COLUMNS; i++)
		side->column[i] = kept(slot, PREFERENCE_MODE + (i - MODE));
	for (Column i = AGE_MIN; i <= AGE_MAX; i++)
		side->column[i].value = Int32GetDatum(DatumGetInt16(side->column[i].value));
	side->column[MAX_DISTANCE_KM].value = Float8GetDatum(DatumGetInt32(side->column[MAX_DISTANCE_KM].value));
	side->accepts = list_of(side->column[ACCEPTS], INT8OID, sizeof(int64), TYPALIGN_DOUBLE);
	side->strengths = list_of(side->column[STRENGTHS], INT2OID, sizeof(int16), TYPALIGN_SHORT);
	side->number_min = list_of(side->column[NUMBER_MIN], INT2OID, sizeof(int16), TYPALIGN_SHORT);
	side->number_max = list_of(side->column[NUMBER_MAX], INT2OID, sizeof(int16), TYPALIGN_SHORT);
	side->number_unset = list_of(side->column[NUMBER_UNSET], BOOLOID, sizeof(bool), TYPALIGN_CHAR);
	return true;
}

/* A person in that mode or, for 0, the first they take part in; false if there is no such row. */
static bool
find_side(int64 id, Datum mode, Side *side)
{
	CoreScan	scan;
	TupleTableSlot *profile;
	bool		found;

	core_scan_begin(&scan, "profile", GetActiveSnapshot(), 1, &(CoreKey) {F_INT8EQ, Int64GetDatum(id)});
	profile = core_scan_next(&scan);
	found = profile != NULL;
	if (found)
		read_person(profile, side);
	core_scan_end(&scan);
	if (!found)
		return false;
	begin_sides(&scan, side, mode);
	found = next_side(&scan, mode, side);
	core_scan_end(&scan);
	return found;
}

/* What the preference does by this attribute. */
static int
strength_of(const Side *side, const Attribute *attribute)
{
	int			own = has(&side->strengths, attribute->id) ? DatumGetInt16(side->strengths.values[attribute->id - 1]) : 0;

	return own != 0 ? own : attribute->strength;
}

/* A function of value.c with its SQL arguments. */
static Datum
call(PGFunction function, int n, const NullableDatum *args)
{
	LOCAL_FCINFO(fcinfo, MATCH_ARGUMENTS_MAX);

	InitFunctionCallInfoData(*fcinfo, NULL, n, InvalidOid, NULL, NULL);
	memcpy(fcinfo->args, args, n * sizeof(NullableDatum));
	return function(fcinfo);
}

static uint8 *
new_lanes(uint8 fill, NullableDatum *lanes)
{
	bytea	   *bytes = palloc(VARHDRSZ + MATCH_LANES);

	SET_VARSIZE(bytes, VARHDRSZ + MATCH_LANES);
	*lanes = given(PointerGetDatum(bytes));
	return memset(VARDATA(bytes), fill, MATCH_LANES);
}

static void
set_trait(const Side *side, const Attribute *attribute, uint8 *traits)
{
	int			option = has(&side->traits, attribute->id) ? DatumGetInt16(side->traits.values[attribute->id - 1]) : 0;

	if (option < 0 || option >= 8 * attribute->lanes)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("an option is out of range"),
				 errdetail("It must be between 0 and %d.", 8 * attribute->lanes - 1)));
	memset(traits + attribute->lane, 0, attribute->lanes);
	traits[attribute->lane + option / 8] = 1 << option % 8;
}

static void
set_want(const Side *side, const Attribute *attribute, uint8 *wants)
{
	if (!has(&side->accepts, attribute->id))
		return;
	for (int i = 0; i < attribute->lanes; i++)
		wants[attribute->lane + i] = (uint64) DatumGetInt64(side->accepts.values[attribute->id - 1]) >> (8 * i) & 0xFF;
}

typedef struct Ranges
{
	Datum		min[MATCH_NUMBERS];
	Datum		max[MATCH_NUMBERS];
	Datum		unset[MATCH_NUMBERS];
	bool		no_min[MATCH_NUMBERS];
	bool		no_max[MATCH_NUMBERS];
} Ranges;

static void
open_ranges(Ranges *ranges)
{
	memset(ranges, 0, sizeof(*ranges));
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		ranges->unset[i] = BoolGetDatum(true);
		ranges->no_min[i] = ranges->no_max[i] = true;
	}
}

static void
set_range(const Side *side, const Attribute *attribute, Ranges *ranges)
{
	int			slot = attribute->slot;

	if (has(&side->number_min, slot + 1))
	{
		ranges->min[slot] = side->number_min.values[slot];
		ranges->no_min[slot] = false;
	}
	if (has(&side->number_max, slot + 1))
	{
		ranges->max[slot] = side->number_max.values[slot];
		ranges->no_max[slot] = false;
	}
	if (has(&side->number_unset, slot + 1))
		ranges->unset[slot] = side->number_unset.values[slot];
}

static NullableDatum
array_of(Datum *values, bool *nulls, Oid type, int16 size, char align)
{
	int			n = MATCH_NUMBERS;
	int			from = 1;

	return given(PointerGetDatum(construct_md_array(values, nulls, 1, &n, &from, type, size, true, align)));
}

/* How much a profile tells: half for the share of attributes answered, a quarter each for a text and for tags. */
static double
quality_of(const Side *side, const Catalogue *catalogue)
{
	const NullableDatum *about = &side->column[ABOUT_SIZE];
	bool		tags = ARR_NDIM(DatumGetArrayTypeP(side->column[TAGS].value)) > 0;
	double		share = 1;
	int			answers = 0;

	for (int i = 0; i < side->traits.n; i++)
		answers += !side->traits.nulls[i] && DatumGetInt16(side->traits.values[i]) != 0;
	for (int i = 0; i < side->numbers.n; i++)
		answers += !side->numbers.nulls[i];
	if (catalogue->last > 0)
		share = Min((double) answers / catalogue->last, 1);
	return 0.5 * share + (!about->isnull && DatumGetInt32(about->value) > 0 ? 0.25 : 0) +
		(tags ? 0.25 : 0);
}

/* The key of a side, in which filters up to the strength weakest count. */
static const MatchKey *
make_key(const Side *side, const Catalogue *catalogue, int weakest)
{
	const NullableDatum *of = side->column;
	NullableDatum traits;
	NullableDatum wants;
	uint8	   *trait_lanes = new_lanes(0x01, &traits);
	uint8	   *want_lanes = new_lanes(0xFF, &wants);
	Ranges		ranges;

	open_ranges(&ranges);
	for (int i = 0; i < catalogue->n; i++)
	{
		const Attribute *attribute = &catalogue->attribute[i];
		bool		hard = strength_of(side, attribute) <= weakest;

		if (attribute->lane >= 0)
			set_trait(side, attribute, trait_lanes);
		if (hard && attribute->lane >= 0)
			set_want(side, attribute, want_lanes);
		else if (hard)
			set_range(side, attribute, &ranges);
	}
	return (const MatchKey *) DatumGetPointer(call(match_key_build_raw, 22, (NullableDatum[]) {
		of[PERSON_ID], given(Int32GetDatum(DatumGetInt16(of[MODE].value))), of[LATITUDE], of[LONGITUDE], of[BIRTH_DATE], traits, wants,
		of[NUMBERS], array_of(ranges.min, ranges.no_min, INT2OID, sizeof(int16), TYPALIGN_SHORT),
		array_of(ranges.max, ranges.no_max, INT2OID, sizeof(int16), TYPALIGN_SHORT), of[AGE_MIN], of[AGE_MAX],
		of[MAX_DISTANCE_KM], of[ACTIVE_ON].isnull ? of[JOINED_ON] : of[ACTIVE_ON], of[TAGS], of[EMBEDDING],
		array_of(ranges.unset, NULL, BOOLOID, sizeof(bool), TYPALIGN_CHAR),
		given(Float8GetDatum(quality_of(side, catalogue))), of[DESIRABILITY], of[SELECTIVITY], of[PRICE], of[JOINED_ON]
	}));
}

/* What a question is besides the side it is asked from. */
typedef struct Asked
{
	NullableDatum day;
	NullableDatum seen;
	NullableDatum active_since;
	NullableDatum after_cost;
	NullableDatum after_id;
	NullableDatum weights;
	NullableDatum tag_weights;
} Asked;

static NullableDatum
tag_weights_of(const Side *side)
{
	NullableDatum weights = {0, true};
	NullableDatum counted;

	/* Until people are counted all weigh the same. */
	read_row("tag_round", 0, NULL, TAG_ROUND_PEOPLE, 1, &counted);
	if (counted.isnull || DatumGetInt64(counted.value) == 0)
		return weights;
	run(TAG_WEIGHTS, side->column[TAGS].value, 0);
	weights.value = column(0, 1, &weights.isnull);
	return weights;
}

/* The last who like the person, if the weights make anything of it. */
static NullableDatum
liked_by(const Side *side, NullableDatum weights)
{
	JsonbValue *boost = weights.isnull ? NULL : getKeyJsonValueFromContainer(&DatumGetJsonbP(weights.value)->root, "boost", 5, NULL);
	CoreScan	scan;
	TupleTableSlot *slot;
	Datum	   *ids;
	uint64		n = 0;
	bool		isnull;

	if (boost == NULL || boost->type != jbvNumeric ||
		!(DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(boost->val.numeric))) > 0))
		return (NullableDatum) {0, true};
	ids = palloc(FEW_LIKES * sizeof(Datum));
	core_scan_begin(&scan, "like_received", GetActiveSnapshot(), 2,
					(CoreKey[]) {{F_INT8EQ, side->column[PERSON_ID].value}, {F_INT2EQ, side->column[MODE].value}});
	while ((slot = core_scan_next(&scan)) != NULL && n < FEW_LIKES)
		ids[n++] = slot_getattr(slot, LIKE_OTHER_ID, &isnull);
	core_scan_end(&scan);
	if (slot != NULL)
	{
		n = run(LIKED, side->column[PERSON_ID].value, side->column[MODE].value);
		ids = palloc((n + 1) * sizeof(Datum));
		for (uint64 i = 0; i < n; i++)
			ids[i] = column(i, 1, &isnull);
	}
	return given(PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

static Datum
make_query(const Side *side, const Catalogue *catalogue, NullableDatum key, const Asked *asked)
{
	const NullableDatum absent = {0, true};
	NullableDatum soft;
	uint8	   *soft_lanes = new_lanes(0xFF, &soft);
	Datum		weights[ATTRIBUTES_MAX] = {0};
	uint32		continuation = 0;
	Ranges		ranges;

	open_ranges(&ranges);
	for (int i = 0; i < catalogue->n; i++)
	{
		const Attribute *attribute = &catalogue->attribute[i];

		for (int lane = 1; lane < attribute->lanes; lane++)
			continuation |= (uint32) 1 << (attribute->lane + lane);
		if (strength_of(side, attribute) != SOFT)
			continue;
		if (attribute->lane >= 0)
			set_want(side, attribute, soft_lanes);
		else
			set_range(side, attribute, &ranges);
		/* By first lane, then by number. */
		if (attribute->lane >= 0 ? has(&side->accepts, attribute->id) : has(&side->number_min, attribute->slot + 1))
			weights[attribute->lane >= 0 ? attribute->lane : MATCH_LANES + attribute->slot] = Float4GetDatum(attribute->weight);
	}
	return call(match_query_build, 24, (NullableDatum[]) {
		key, asked->day, absent, soft,
		given(PointerGetDatum(construct_array(weights, ATTRIBUTES_MAX, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT))),
		given(Int32GetDatum((int32) continuation)), asked->weights, asked->seen, asked->after_cost, asked->after_id, asked->active_since,
		absent, absent, absent,
		array_of(ranges.min, ranges.no_min, INT2OID, sizeof(int16), TYPALIGN_SHORT),
		array_of(ranges.max, ranges.no_max, INT2OID, sizeof(int16), TYPALIGN_SHORT),
		side->column[TAGS], asked->tag_weights, absent, absent, absent, absent, absent, liked_by(side, asked->weights)
	});
}

/* Whether a step is plainly done. Those that are not, missing_steps() decides. */
static bool
is_done(const Side *side, const Catalogue *catalogue, const text *step)
{
	static const struct
	{
		const char *step;
		Column		column;
	}			plain[] = {
		{"display_name", DISPLAY_NAME}, {"birth_date", BIRTH_DATE}, {"place", LATITUDE}, {"about", ABOUT_SIZE}, {"embedding", EMBEDDING}
	};
	const char *name = VARDATA_ANY(step);
	size_t		size = VARSIZE_ANY_EXHDR(step);

	for (int i = 0; i < (int) lengthof(plain); i++)
	{
		if (strlen(plain[i].step) == size && memcmp(plain[i].step, name, size) == 0)
			return !side->column[plain[i].column].isnull;
	}
	if (size == strlen("preferences") && memcmp(name, "preferences", size) == 0)
		return DatumGetBool(side->column[ENABLED].value);
	if (size <= strlen("attribute:") || memcmp(name, "attribute:", strlen("attribute:")) != 0)
		return false;
	name += strlen("attribute:");
	size -= strlen("attribute:");
	for (int i = 0; i < catalogue->n; i++)
	{
		const Attribute *attribute = &catalogue->attribute[i];

		if (VARSIZE_ANY_EXHDR(attribute->code) == size && memcmp(VARDATA_ANY(attribute->code), name, size) == 0)
			return attribute->lane >= 0 ?
				has(&side->traits, attribute->id) && DatumGetInt16(side->traits.values[attribute->id - 1]) > 0 :
				has(&side->numbers, attribute->slot + 1);
	}
	return false;
}

/* Whether every step that a table requires is plainly done, or not required by the table instead. */
static bool
are_done(const Side *side, const Catalogue *catalogue, const char *table, const char *instead)
{
	CoreScan	scan;
	TupleTableSlot *slot;
	bool		done = true;

	core_scan_begin(&scan, table, GetActiveSnapshot(), 0, NULL);
	while (done && (slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		Datum		step = slot_getattr(slot, STEP_STEP, &isnull);
		NullableDatum required;

		done = !DatumGetBool(slot_getattr(slot, STEP_REQUIRED, &isnull)) || is_done(side, catalogue, DatumGetTextPP(step)) ||
			(instead != NULL && read_row(instead, 1, &(CoreKey) {F_TEXTEQ, step}, STEP_REQUIRED, 1, &required) && !DatumGetBool(required.value));
	}
	core_scan_end(&scan);
	return done;
}

/* Fails if steps are missing that the profile needs; side is NULL if there is none. */
static void
check_complete(Datum person, const Side *side, const Catalogue *catalogue)
{
	StringInfoData steps;
	uint64		n;

	if (side != NULL && are_done(side, catalogue, "step_default", "required_step") && are_done(side, catalogue, "required_step", NULL))
		return;
	n = run(MISSING, person, 0);
	if (n == 0)
		return;
	initStringInfo(&steps);
	for (uint64 i = 0; i < n; i++)
		appendStringInfo(&steps, "%s%s", i > 0 ? ", " : "", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	core_fail("profile_incomplete", "Missing: %s.", steps.data);
}

/* Ends SPI; its memory goes, so the caller gets a copy. */
static Datum
finish_with(const void *value, Size size)
{
	void	   *copy = SPI_palloc(size);

	memcpy(copy, value, size);
	SPI_finish();
	return PointerGetDatum(copy);
}

/* match_sides(ids, weakest) */
Datum
match_sides(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, 0, INT_MAX, "ids", &elements, &nulls);
	int64	   *ids = palloc((n + 1) * sizeof(int64));
	uint32		n_ids = 0;
	CoreScan	profiles;
	MemoryContext one;
	Catalogue	catalogue;

	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			ids[n_ids++] = DatumGetInt64(elements[i]);
	}
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	read_catalogue(&catalogue);
	n_ids = match_sort_ids(ids, n_ids);
	core_scan_begin(&profiles, "profile", GetActiveSnapshot(), 1, &(CoreKey) {F_INT8EQ, Int64GetDatum(0)});
	one = AllocSetContextCreate(CurrentMemoryContext, "one side of a match", ALLOCSET_DEFAULT_SIZES);
	for (uint32 i = 0; i < n_ids; i++)
	{
		CoreScan	scan;
		TupleTableSlot *profile;
		MemoryContext all;
		Side		side;

		CHECK_FOR_INTERRUPTS();
		core_scan_seek(&profiles, 1, &(CoreKey) {F_INT8EQ, Int64GetDatum(ids[i])});
		profile = core_scan_next(&profiles);
		if (profile == NULL)
			continue;
		/* Not before: what the scan allocates lives as long as the scan. */
		all = MemoryContextSwitchTo(one);
		read_person(profile, &side);
		begin_sides(&scan, &side, 0);
		while (next_side(&scan, 0, &side))
			tuplestore_putvalues(result->setResult, result->setDesc, (Datum[]) {
				side.column[PERSON_ID].value, side.column[MODE].value,
				PointerGetDatum(make_key(&side, &catalogue, PG_GETARG_INT32(1)))
			}, (bool[]) {false, false, false});
		core_scan_end(&scan);
		MemoryContextSwitchTo(all);
		MemoryContextReset(one);
	}
	core_scan_end(&profiles);
	SPI_finish();
	PG_RETURN_NULL();
}

/* match_side(person_id, mode, weakest) */
Datum
match_side(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	const MatchKey *key;
	Catalogue	catalogue;
	Side		side;

	SPI_connect();
	read_catalogue(&catalogue);
	if (!find_side(id, PG_GETARG_DATUM(1), &side))
	{
		check_complete(Int64GetDatum(id), NULL, &catalogue);
		SPI_finish();
		PG_RETURN_NULL();
	}
	check_complete(Int64GetDatum(id), &side, &catalogue);
	key = make_key(&side, &catalogue, PG_GETARG_INT32(2));
	PG_RETURN_DATUM(finish_with(key, match_size(key)));
}

/* scoring_weights(mode, scoring) */
Datum
match_scoring_weights(PG_FUNCTION_ARGS)
{
	Jsonb	   *weights;

	SPI_connect();
	weights = DatumGetJsonbP(weights_of(PG_ARGISNULL(0) ? 0 : PG_GETARG_DATUM(0), PG_ARGISNULL(1) ? 0 : PG_GETARG_DATUM(1)).value);
	PG_RETURN_DATUM(finish_with(weights, VARSIZE(weights)));
}

/* match_query_for(person_id, mode, key, day, seen, active_since, after_cost, after_id, weights) */
Datum
match_query_for(PG_FUNCTION_ARGS)
{
	int64		id = PG_GETARG_INT64(0);
	Asked		asked = {
		.day = fcinfo->args[3], .seen = fcinfo->args[4], .active_since = fcinfo->args[5],
		.after_cost = fcinfo->args[6], .after_id = fcinfo->args[7], .weights = fcinfo->args[8]
	};
	Datum		query;
	Catalogue	catalogue;
	Side		side;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	SPI_connect();
	if (asked.weights.isnull)
		asked.weights = weights_of(PG_GETARG_DATUM(1), 0);
	read_catalogue(&catalogue);
	if (!find_side(id, PG_GETARG_DATUM(1), &side))
	{
		SPI_finish();
		PG_RETURN_NULL();
	}
	asked.tag_weights = tag_weights_of(&side);
	query = make_query(&side, &catalogue, fcinfo->args[2], &asked);
	PG_RETURN_DATUM(finish_with(DatumGetPointer(query), match_size(DatumGetPointer(query))));
}

/* What the cursors of a deck hold with; the day follows. */
static char *
scope_of(const Side *side, const Asked *asked, Jsonb *filters, const char *order)
{
	StringInfoData scope;
	Jsonb	   *weights = DatumGetJsonbP(asked->weights.value);
	Datum	   *tag_weights;
	int			n = 0;

	initStringInfo(&scope);
	appendStringInfo(&scope, "discover %lld %d %lld %lld %s ", (long long) DatumGetInt64(side->column[PERSON_ID].value),
					 DatumGetInt16(side->column[MODE].value),
					 (long long) DatumGetTimestampTz(side->column[PROFILE_UPDATED_AT].value),
					 (long long) DatumGetTimestampTz(side->column[PREFERENCE_UPDATED_AT].value), order);
	JsonbToCString(&scope, &weights->root, VARSIZE(weights));
	if (filters != NULL)
		JsonbToCString(&scope, &filters->root, VARSIZE(filters));
	if (!asked->tag_weights.isnull)
		deconstruct_array(DatumGetArrayTypeP(asked->tag_weights.value), FLOAT4OID, sizeof(float4), true, TYPALIGN_INT, &tag_weights, NULL, &n);
	/* They are tenths. */
	for (int i = 0; i < n; i++)
		appendStringInfo(&scope, " %.1f", DatumGetFloat4(tag_weights[i]));
	return scope.data;
}

/* Goes on after a cursor: a deck keeps the day it began with, over one midnight. */
static text *
go_on(FmgrInfo *caller, const char *scope, const text *cursor, DateADT today, Asked *asked)
{
	for (DateADT day = today; day >= today - 1; day--)
	{
		text	   *full = cstring_to_text(psprintf("%s %d", scope, day));
		text	   *place = match_unseal(match_sealer(caller, full), cursor);
		double		cost;
		long long	id;

		if (place == NULL)
			continue;
		if (sscanf(text_to_cstring(place), "%lf %lld", &cost, &id) != 2)
			elog(ERROR, "a cursor holds no place");
		asked->day = given(DateADTGetDatum(day));
		asked->after_cost = given(Float8GetDatum(cost));
		asked->after_id = given(Int64GetDatum(id));
		return full;
	}
	core_fail("invalid_cursor", "It goes on only with the mode, filters, order, profile and preferences it was made with.");
}

void
match_begin_deck(MatchDeck *deck, FmgrInfo *caller, Datum person, Datum mode, Datum scoring,
				 Jsonb *filters, const char *order, const text *cursor)
{
	const NullableDatum absent = {0, true};
	DateADT		today = core_today();
	int			active_days;
	char	   *buckets;
	char	   *scope;
	Datum		query;
	Catalogue	catalogue;
	Side		side;
	Asked		asked = {
		.day = given(DateADTGetDatum(today)), .seen = absent, .active_since = absent, .after_cost = absent, .after_id = absent
	};

	read_catalogue(&catalogue);
	if (!find_side(DatumGetInt64(person), mode, &side))
	{
		run(FIRST_MODE, person, 0);
		check_complete(person, NULL, &catalogue);
		elog(ERROR, "the person has no preference in the mode");
	}
	check_complete(person, &side, &catalogue);
	mode = side.column[MODE].value;
	asked.weights = weights_of(mode, scoring);
	asked.tag_weights = tag_weights_of(&side);
	buckets = core_setting("distance_buckets");
	active_days = pg_strtoint32(core_setting("active_within_days"));
	if (order == NULL)
		order = "best";
	scope = scope_of(&side, &asked, filters, strcmp(order, "nearest") == 0 ? buckets : order);
	deck->scope = cursor == NULL ? cstring_to_text(psprintf("%s %d", scope, today)) :
		go_on(caller, scope, cursor, today, &asked);
	if (active_days > 0)
		asked.active_since = given(DateADTGetDatum(DatumGetDateADT(asked.day.value) - active_days));
	query = make_query(&side, &catalogue, given(PointerGetDatum(make_key(&side, &catalogue, 2))), &asked);
	deck->query = match_see((const MatchQuery *) DatumGetPointer(query), person, mode);
	deck->day = DatumGetDateADT(asked.day.value);
	deck->tags = side.column[TAGS].value;
	deck->bucket_km = OidInputFunctionCall(F_ARRAY_IN, buckets, INT4OID, -1);
}
