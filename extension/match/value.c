/*
 * The types match_key and match_query: input and output, and the functions that
 * build them.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"

#include "match/packed.h"
#include "match/score.h"
#include "match/text.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_key_in);
PG_FUNCTION_INFO_V1(match_key_out);
PG_FUNCTION_INFO_V1(match_key_recv);
PG_FUNCTION_INFO_V1(match_key_send);
PG_FUNCTION_INFO_V1(match_query_in);
PG_FUNCTION_INFO_V1(match_query_out);
PG_FUNCTION_INFO_V1(match_query_recv);
PG_FUNCTION_INFO_V1(match_query_send);
PG_FUNCTION_INFO_V1(match_key_eq);
PG_FUNCTION_INFO_V1(match_key_ne);
PG_FUNCTION_INFO_V1(match_key_build);
PG_FUNCTION_INFO_V1(match_key_build_raw);
PG_FUNCTION_INFO_V1(match_query_build);
PG_FUNCTION_INFO_V1(match_query_filter);
PG_FUNCTION_INFO_V1(match_query_relax);
PG_FUNCTION_INFO_V1(match_trait_lanes);
PG_FUNCTION_INFO_V1(match_want_lanes);
PG_FUNCTION_INFO_V1(match_lane_continuation);

/* The version byte of the binary forms, which hold the text. */
#define BINARY_VERSION 1
#define SEEN_MAX 10000000
#define TAGS_MAX 1000

void
match_invalid(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 detail ? errdetail("%s", detail) : 0));
}

/*
 * Text and binary forms
 */

static MatchKey *
key_from_text(const char *text, size_t size)
{
	MatchKey   *key = palloc0(sizeof(MatchKey));
	const char *wrong = match_key_parse(text, size, key);

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "match_key"),
				 errdetail("%s", wrong)));
	return key;
}

/*
 * A query of the first part with room for the ids, and then with its second
 * part; section may be NULL where packed_size is 0.
 */
static MatchQuery *
complete_query(const MatchQuery *given, const int64 *seen, uint32 n, const int64 *liked, uint32 m,
			   const MatchSection *section)
{
	size_t		total = offsetof(MatchQuery, seen) + (match_seen_slots(n) + match_seen_slots(m)) * sizeof(int64) +
		given->packed_size;
	MatchQuery *query;

	if (n > SEEN_MAX || m > SEEN_MAX)
		match_invalid("too many ids", NULL);
	query = palloc0(total);
	memcpy(query, given, offsetof(MatchQuery, seen));
	match_set_size(query, total);
	match_query_finish(query, seen, n, liked, m);
	if (query->packed_size > 0)
		memcpy(unconstify(MatchSection *, match_section(query)), section, query->packed_size);
	return query;
}

static MatchQuery *
query_from_text(const char *text, size_t size)
{
	MatchQuery	given;
	MatchQuery *query;
	MatchSection *section = palloc(MATCH_SECTION_ROOM(size));
	int64	   *ids;
	uint32		n = 2;
	uint32		m;
	const char *wrong;

	for (size_t i = 0; i < size; i++)
		n += text[i] == ',';
	ids = palloc(n * sizeof(int64));
	wrong = match_query_parse(text, size, &given, ids, &n, &m, section);
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "match_query"),
				 errdetail("%s", wrong)));
	query = complete_query(&given, ids, n, ids + n, m, section);
	pfree(section);
	pfree(ids);
	return query;
}

const void *
match_convert(const void *value)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("match key of an unknown format"),
			 errdetail("Its first byte is %02X.", ((const MatchKey *) value)->head),
			 errhint("It was written by a newer version of rapport.")));
}

static char *
key_to_text(const MatchKey *key)
{
	char	   *text = palloc(MATCH_KEY_TEXT_MAX);

	if (!match_is_leaf(key))
		return pstrdup("bounds of an index");
	match_key_format(key, text);
	return text;
}

static char *
query_to_text(const MatchQuery *query)
{
	char	   *text = palloc(MATCH_QUERY_TEXT_MAX + 22 * ((Size) query->seen_count + query->liked_count) +
							   2 * (Size) query->packed_size);
	int64	   *ids = palloc((Max(query->seen_count, query->liked_count) + 1) * sizeof(int64));

	match_query_format(query, ids, text);
	pfree(ids);
	return text;
}

Datum
match_key_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);

	PG_RETURN_POINTER(key_from_text(text, strlen(text)));
}

Datum
match_key_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(key_to_text(PG_GETARG_MATCH_KEY(0)));
}

Datum
match_query_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);

	PG_RETURN_POINTER(query_from_text(text, strlen(text)));
}

Datum
match_query_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(query_to_text(PG_GETARG_MATCH_QUERY(0)));
}

static const char *
binary_text(StringInfo buffer, int *size)
{
	if (pq_getmsgbyte(buffer) != BINARY_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("unknown version of a binary value")));
	*size = buffer->len - buffer->cursor;
	return pq_getmsgbytes(buffer, *size);
}

static bytea *
binary_of(const char *text)
{
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	pq_sendbyte(&buffer, BINARY_VERSION);
	pq_sendbytes(&buffer, text, strlen(text));
	return pq_endtypsend(&buffer);
}

Datum
match_key_recv(PG_FUNCTION_ARGS)
{
	int			size;
	const char *text = binary_text((StringInfo) PG_GETARG_POINTER(0), &size);

	PG_RETURN_POINTER(key_from_text(text, size));
}

Datum
match_key_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(binary_of(key_to_text(PG_GETARG_MATCH_KEY(0))));
}

Datum
match_query_recv(PG_FUNCTION_ARGS)
{
	int			size;
	const char *text = binary_text((StringInfo) PG_GETARG_POINTER(0), &size);

	PG_RETURN_POINTER(query_from_text(text, size));
}

Datum
match_query_send(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(binary_of(query_to_text(PG_GETARG_MATCH_QUERY(0))));
}

/* As stored: a key in an older format is not what it would be now, and rebuild_keys() sees it. */
static bool
same_bits(const MatchKey *a, const MatchKey *b)
{
	return match_size(a) == match_size(b) && memcmp(a, b, match_size(a)) == 0;
}

Datum
match_key_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(same_bits(match_flat(PG_GETARG_DATUM(0)), match_flat(PG_GETARG_DATUM(1))));
}

Datum
match_key_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!same_bits(match_flat(PG_GETARG_DATUM(0)), match_flat(PG_GETARG_DATUM(1))));
}

/*
 * Arguments
 */

int
match_array(FunctionCallInfo fcinfo, int arg, int max, const char *what,
			Datum **elements, bool **nulls)
{
	ArrayType  *array;
	int16		size;
	bool		by_value;
	char		align;
	int			n;

	*elements = NULL;
	*nulls = NULL;
	if (PG_ARGISNULL(arg))
		return 0;
	array = PG_GETARG_ARRAYTYPE_P(arg);
	if (ARR_NDIM(array) == 0)
		return 0;
	if (ARR_NDIM(array) != 1 || ARR_LBOUND(array)[0] != 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must be a one-dimensional array from 1", what)));
	if (ARR_DIMS(array)[0] > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has too many elements", what),
				 errdetail("It has %d, at most %d are possible.", ARR_DIMS(array)[0], max)));
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &size, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), size, by_value, align, elements, nulls, &n);
	return n;
}

static int64
checked(int64 value, int64 min, int64 max, const char *what)
{
	if (value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", what),
				 errdetail("It must be between %lld and %lld.", (long long) min, (long long) max)));
	return value;
}

/* Refuses NaN too. */
static double
checked_float(double value, double min, double max, const char *what)
{
	if (!(value >= min && value <= max))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s is out of range", what),
				 errdetail("It must be between %g and %g.", min, max)));
	return value;
}

static int64
integer_element(Oid type, Datum element)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(element);
		case INT4OID:
			return DatumGetInt32(element);
		default:
			return DatumGetInt64(element);
	}
}

/* Up to max integers within range into out, which keeps its value where the array has NULL or nothing. */
static void
integers(FunctionCallInfo fcinfo, int arg, Oid type, int max, int64 low, int64 high,
		 const char *what, int64 *out)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, arg, max, what, &elements, &nulls);

	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			out[i] = checked(integer_element(type, elements[i]), low, high, what);
	}
}

/* Ranges of numbers and which of them take people without the number. */
static void
number_ranges(FunctionCallInfo fcinfo, int min_arg, int max_arg, int unset_arg, Oid type,
			  int16 *min, int16 *max, uint8 *unset)
{
	int64		values[MATCH_NUMBERS];
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	for (int i = 0; i < MATCH_NUMBERS; i++)
		values[i] = MATCH_NUMBER_MIN;
	integers(fcinfo, min_arg, type, MATCH_NUMBERS, MATCH_NUMBER_MIN, MATCH_NUMBER_MAX, "number_min", values);
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		min[i] = values[i];
		values[i] = MATCH_NUMBER_MAX;
	}
	integers(fcinfo, max_arg, type, MATCH_NUMBERS, MATCH_NUMBER_MIN, MATCH_NUMBER_MAX, "number_max", values);
	*unset = 0;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		max[i] = values[i];
		/* Whoever asks for nothing takes people without the number. */
		if (min[i] == MATCH_NUMBER_MIN && max[i] == MATCH_NUMBER_MAX)
			*unset |= 1 << i;
	}
	if (unset_arg < 0)
		return;
	n = match_array(fcinfo, unset_arg, MATCH_NUMBERS, "number_unset", &elements, &nulls);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			continue;
		if (DatumGetBool(elements[i]))
			*unset |= 1 << i;
		else
			*unset &= ~(1 << i);
	}
}

/* Copies 32 bytes, or fills them if the argument is NULL. */
static void
lane_bytes(FunctionCallInfo fcinfo, int arg, uint8 fill, const char *what, uint8 *out)
{
	bytea	   *bytes;

	if (PG_ARGISNULL(arg))
	{
		memset(out, fill, MATCH_LANES);
		return;
	}
	bytes = PG_GETARG_BYTEA_PP(arg);
	if (VARSIZE_ANY_EXHDR(bytes) != MATCH_LANES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have %d bytes", what, MATCH_LANES)));
	memcpy(out, VARDATA_ANY(bytes), MATCH_LANES);
}

static uint16
born_of(DateADT date)
{
	return checked(date + (int64) MATCH_BORN_EPOCH, 0, MATCH_BORN_MAX,
				   "the birth date, as days since 1900-01-01,");
}

/* A day as active and joined hold it. */
static uint16
day_of(DateADT date)
{
	return Min(Max(date, 0), UINT16_MAX - 1) + 1;
}

static uint8
scalar_of(FunctionCallInfo fcinfo, int arg, double fallback, const char *what)
{
	double		value = PG_ARGISNULL(arg) ? fallback : PG_GETARG_FLOAT8(arg);

	return (uint8) lrint(checked_float(value, 0, 1, what) * 255);
}

static void
set_place(FunctionCallInfo fcinfo, int arg, MatchKey *key)
{
	double		latitude;
	double		longitude;

	if (PG_ARGISNULL(arg) != PG_ARGISNULL(arg + 1))
		match_invalid("a place needs both latitude and longitude", NULL);
	if (PG_ARGISNULL(arg))
		return;
	latitude = checked_float(PG_GETARG_FLOAT8(arg), -90, 90, "latitude") * (M_PI / 180);
	longitude = checked_float(PG_GETARG_FLOAT8(arg + 1), -180, 180, "longitude") * (M_PI / 180);
	key->at[0] = (int32) lrint(cos(latitude) * cos(longitude) * MATCH_UNIT);
	key->at[1] = (int32) lrint(cos(latitude) * sin(longitude) * MATCH_UNIT);
	key->at[2] = (int32) lrint(sin(latitude) * MATCH_UNIT);
}

static uint8
tag_bit(Datum tag)
{
	text	   *word = DatumGetTextPP(tag);

	return hash_bytes_extended((unsigned char *) VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word), 0) %
		(8 * MATCH_TAG_BYTES);
}

static void
set_tags(FunctionCallInfo fcinfo, int arg, MatchKey *key)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, arg, TAGS_MAX, "tags", &elements, &nulls);

	for (int i = 0; i < n; i++)
	{
		uint8		bit;

		if (nulls[i])
			continue;
		bit = tag_bit(elements[i]);
		key->tags[bit >> 3] |= 1 << (bit & 7);
	}
}

static void
set_embedding(FunctionCallInfo fcinfo, int arg, MatchKey *key)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, arg, MATCH_EMBEDDING_MAX, "embedding", &elements, &nulls);

	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			match_invalid("an embedding has no NULL elements", NULL);
		key->embedding[i] = (int8) lrint(checked_float(DatumGetFloat4(elements[i]), -1, 1,
													   "a component of the embedding") * 127);
	}
	match_set_size(key, MATCH_KEY_FIXED + n);
}

static void
set_reach(FunctionCallInfo fcinfo, int arg, MatchKey *key)
{
	key->reach = PG_ARGISNULL(arg) ? MATCH_EVERYWHERE :
		match_reach(checked_float(PG_GETARG_FLOAT8(arg), 0, INFINITY, "max_distance_km"));
}

static void
set_ages(MatchKey *key, int64 min, int64 max)
{
	if (min > max)
		match_invalid("the accepted ages are the wrong way round", NULL);
	key->age_min = Min(checked(min, 0, INT32_MAX, "age_min"), MATCH_AGE_OPEN);
	key->age_max = Min(max, MATCH_AGE_OPEN);
}

static MatchKey *
new_key(int64 id, int64 mode)
{
	MatchKey   *key = palloc0(sizeof(MatchKey));

	key->head = MATCH_KEY;
	key->id = checked(id, PG_INT64_MIN + 1, PG_INT64_MAX, "id");
	key->mode = checked(mode, 0, UINT8_MAX, "mode");
	key->born = MATCH_BORN_UNSET;
	for (int i = 0; i < MATCH_NUMBERS; i++)
		key->numbers[i] = MATCH_NUMBER_UNSET;
	return key;
}

static void
set_numbers(FunctionCallInfo fcinfo, int arg, int min_arg, int max_arg, int unset_arg, Oid type, MatchKey *key)
{
	int64		values[MATCH_NUMBERS];
	uint8		unset;

	for (int i = 0; i < MATCH_NUMBERS; i++)
		values[i] = MATCH_NUMBER_UNSET;
	integers(fcinfo, arg, type, MATCH_NUMBERS, MATCH_NUMBER_MIN, MATCH_NUMBER_MAX, "numbers", values);
	for (int i = 0; i < MATCH_NUMBERS; i++)
		key->numbers[i] = values[i];
	number_ranges(fcinfo, min_arg, max_arg, unset_arg, type, key->number_min, key->number_max, &unset);
	key->head |= unset;
}

/* Raises an error if a required argument is NULL. */
static void
need(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", what)));
}

/* match_key(): the arguments are those of the SQL function, in order. */
Datum
match_key_build(PG_FUNCTION_ARGS)
{
	MatchKey   *key;
	int64		values[MATCH_LANES];

	need(fcinfo, 0, "id");
	key = new_key(PG_GETARG_INT64(0), PG_ARGISNULL(4) ? 1 : PG_GETARG_INT32(4));
	set_place(fcinfo, 1, key);
	if (!PG_ARGISNULL(3))
		key->born = born_of(PG_GETARG_DATEADT(3));
	memset(values, 0, sizeof(values));
	integers(fcinfo, 5, INT4OID, MATCH_LANES, 0, 7, "traits", values);
	for (int i = 0; i < MATCH_LANES; i++)
	{
		key->traits[i] = 1 << values[i];
		values[i] = UINT8_MAX;
	}
	integers(fcinfo, 6, INT4OID, MATCH_LANES, 0, UINT8_MAX, "wants", values);
	for (int i = 0; i < MATCH_LANES; i++)
		key->wants[i] = values[i];
	key->age_max = MATCH_AGE_OPEN;
	if (!PG_ARGISNULL(7))
	{
		RangeType  *range = PG_GETARG_RANGE_P(7);
		TypeCacheEntry *type = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
		RangeBound	low;
		RangeBound	high;
		bool		empty;

		range_deserialize(type, range, &low, &high, &empty);
		if (empty)
			match_invalid("the accepted ages are empty", NULL);
		/* The canonical form of an int4range: from low up to, not including, high. */
		set_ages(key, low.infinite ? 0 : DatumGetInt32(low.val),
				 high.infinite ? MATCH_AGE_OPEN : (int64) DatumGetInt32(high.val) - 1);
	}
	set_reach(fcinfo, 8, key);
	set_numbers(fcinfo, 9, 10, 11, 12, INT4OID, key);
	if (!PG_ARGISNULL(13))
		key->active = day_of(PG_GETARG_DATEADT(13));
	set_tags(fcinfo, 14, key);
	set_embedding(fcinfo, 15, key);
	key->quality = scalar_of(fcinfo, 16, 0.5, "quality");
	key->desirability = scalar_of(fcinfo, 17, 0.5, "desirability");
	key->selectivity = scalar_of(fcinfo, 18, 0.5, "selectivity");
	key->price = scalar_of(fcinfo, 19, 0, "price");
	if (!PG_ARGISNULL(20))
		key->joined = day_of(PG_GETARG_DATEADT(20));
	PG_RETURN_POINTER(key);
}

/* match_key_raw(): likewise. */
Datum
match_key_build_raw(PG_FUNCTION_ARGS)
{
	MatchKey   *key;

	need(fcinfo, 0, "id");
	need(fcinfo, 1, "mode");
	key = new_key(PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	set_place(fcinfo, 2, key);
	if (!PG_ARGISNULL(4))
		key->born = born_of(PG_GETARG_DATEADT(4));
	lane_bytes(fcinfo, 5, 0x01, "traits", key->traits);
	lane_bytes(fcinfo, 6, 0xFF, "wants", key->wants);
	set_numbers(fcinfo, 7, 8, 9, 16, INT2OID, key);
	set_ages(key, PG_ARGISNULL(10) ? 0 : PG_GETARG_INT32(10),
			 PG_ARGISNULL(11) ? MATCH_AGE_OPEN : PG_GETARG_INT32(11));
	set_reach(fcinfo, 12, key);
	if (!PG_ARGISNULL(13))
		key->active = day_of(PG_GETARG_DATEADT(13));
	set_tags(fcinfo, 14, key);
	set_embedding(fcinfo, 15, key);
	key->quality = scalar_of(fcinfo, 17, 0.5, "quality");
	key->desirability = scalar_of(fcinfo, 18, 0.5, "desirability");
	key->selectivity = scalar_of(fcinfo, 19, 0.5, "selectivity");
	key->price = scalar_of(fcinfo, 20, 0, "price");
	if (!PG_ARGISNULL(21))
		key->joined = day_of(PG_GETARG_DATEADT(21));
	PG_RETURN_POINTER(key);
}

/*
 * match_query()
 */

static const char *const weight_names[MATCH_TERMS] = {
	"distance", "age", "tags", "embedding", "soft", "recency", "quality", "desirability", "selectivity", "newcomer", "diversity"
};

static const float default_weights[MATCH_TERMS] = {
	[MATCH_DISTANCE] = 0.35, [MATCH_AGE] = 0.1, [MATCH_TAGS] = 0.15, [MATCH_EMBEDDING] = 0.1,
	[MATCH_SOFT] = 0.1, [MATCH_RECENCY] = 0.1, [MATCH_QUALITY] = 0.1
};

static const struct
{
	const char *name;
	size_t		offset;
	double		fallback;
}			scales[] = {
	{"scale_km", offsetof(MatchQuery, scale_km), 25},
	{"offset_km", offsetof(MatchQuery, offset_km), 0},
	{"at_scale", offsetof(MatchQuery, at_scale), 0.5},
	{"age_scale_years", offsetof(MatchQuery, age_scale), 5},
	{"half_life_days", offsetof(MatchQuery, half_life), 14},
	{"newcomer_days", offsetof(MatchQuery, newcomer_days), 14},
	{"bias", offsetof(MatchQuery, bias), -4},
	{"slope", offsetof(MatchQuery, slope), 6},
	{"desirability_slope", offsetof(MatchQuery, desirability_slope), 2},
	{"selectivity_slope", offsetof(MatchQuery, selectivity_slope), 2},
	{"price", offsetof(MatchQuery, price), 0},
	{"boost", offsetof(MatchQuery, boost), 0},
};

static const char *const family_names[] = {"weighted", "reciprocal"};
static const char *const order_names[] = {"best", "nearest", "newest", "active"};
static const char *const decay_names[] = {"gauss", "exp", "linear"};

/* Which of the words that is, or an error that lists them. */
static int
choice(const char *word, size_t size, const char *const *words, int n, const char *what)
{
	StringInfoData list;

	for (int i = 0; i < n; i++)
	{
		if (strlen(words[i]) == size && memcmp(words[i], word, size) == 0)
			return i;
	}
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, i == 0 ? "%s" : i < n - 1 ? ", %s" : " or %s", words[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be %s", what, list.data)));
}

static bool
is_word(const JsonbValue *value, const char *word)
{
	return value->type == jbvString && value->val.string.len == (int) strlen(word) &&
		memcmp(value->val.string.val, word, value->val.string.len) == 0;
}

static int
json_choice(const JsonbValue *value, const char *const *words, int n, const char *what)
{
	bool		text = value->type == jbvString;

	return choice(text ? value->val.string.val : "", text ? value->val.string.len : 0, words, n, what);
}

static double
json_number(const JsonbValue *value, const char *name)
{
	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a number", name)));
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

static void
unknown_weight(const JsonbValue *key)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < MATCH_TERMS; i++)
		appendStringInfo(&known, "%s, ", weight_names[i]);
	for (int i = 0; i < (int) lengthof(scales); i++)
		appendStringInfo(&known, "%s, ", scales[i].name);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown weight \"%s\"", pnstrdup(key->val.string.val, key->val.string.len)),
			 errhint("There are %sdecay and family.", known.data)));
}

static void
set_weight(MatchQuery *query, const JsonbValue *key, const JsonbValue *value)
{
	if (is_word(key, "decay"))
	{
		query->decay = json_choice(value, decay_names, lengthof(decay_names), "decay");
		return;
	}
	if (is_word(key, "family"))
	{
		query->family = json_choice(value, family_names, lengthof(family_names), "family");
		return;
	}
	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (is_word(key, weight_names[i]))
		{
			query->weights[i] = checked_float(json_number(value, weight_names[i]), 0,
											  i == MATCH_DIVERSITY ? MATCH_DIVERSITY_MAX : 1e6, weight_names[i]);
			return;
		}
	}
	for (int i = 0; i < (int) lengthof(scales); i++)
	{
		if (is_word(key, scales[i].name))
		{
			*(double *) ((char *) query + scales[i].offset) = json_number(value, scales[i].name);
			return;
		}
	}
	unknown_weight(key);
}

static void
set_weights(MatchQuery *query, Jsonb *weights)
{
	JsonbIterator *iterator;
	JsonbValue	key;
	JsonbValue	value;
	JsonbIteratorToken token;

	memcpy(query->weights, default_weights, sizeof(query->weights));
	for (int i = 0; i < (int) lengthof(scales); i++)
		*(double *) ((char *) query + scales[i].offset) = scales[i].fallback;
	if (weights == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(weights))
		match_invalid("weights must be an object", NULL);
	iterator = JsonbIteratorInit(&weights->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &value, true);
		set_weight(query, &key, &value);
	}
}

typedef struct QueryTag
{
	float		weight;
	int			bit;
	int			number;
} QueryTag;

/* Heaviest first. */
static int
compare_tags(const void *a, const void *b)
{
	const QueryTag *x = a;
	const QueryTag *y = b;

	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	return x->bit - y->bit;
}

/* Adds the tags of the viewer by their bits: those given, else those of the key. */
static void
collect_tags(FunctionCallInfo fcinfo, int arg, const MatchKey *key, QueryTag *tags)
{
	Datum	   *elements;
	Datum	   *weights;
	bool	   *nulls;
	bool	   *weight_nulls;
	int			n = match_array(fcinfo, arg, TAGS_MAX, "tags", &elements, &nulls);
	int			m = match_array(fcinfo, arg + 1, TAGS_MAX, "tag_weights", &weights, &weight_nulls);

	for (int bit = 0; bit < 8 * MATCH_TAG_BYTES; bit++)
	{
		tags[bit] = (QueryTag) {.bit = bit};
		if (PG_ARGISNULL(arg) && (key->tags[bit >> 3] >> (bit & 7) & 1))
			tags[bit].number = tags[bit].weight = 1;
	}
	for (int i = 0; i < n; i++)
	{
		int			bit;

		if (nulls[i])
			continue;
		bit = tag_bit(elements[i]);
		tags[bit].number = Min(tags[bit].number + 1, UINT8_MAX);
		tags[bit].weight += i < m && !weight_nulls[i] ?
			checked_float(DatumGetFloat4(weights[i]), 0, 1000, "a weight of a tag") : 1;
	}
}

static void
set_query_tags(FunctionCallInfo fcinfo, int arg, const MatchKey *key, MatchQuery *query)
{
	QueryTag	tags[8 * MATCH_TAG_BYTES];
	int			left_out = 0;

	collect_tags(fcinfo, arg, key, tags);
	qsort(tags, lengthof(tags), sizeof(*tags), compare_tags);
	for (int i = 0; i < (int) lengthof(tags) && tags[i].number > 0; i++)
	{
		if (i >= MATCH_QUERY_TAGS)
		{
			left_out += tags[i].number;
			continue;
		}
		query->tag_bits[i] = tags[i].bit;
		query->tag_numbers[i] = tags[i].number;
		query->tag_weights[i] = tags[i].weight;
		query->tag_count++;
	}
	/* Those left out may be shared: bits never refuse who has enough. */
	if (!PG_ARGISNULL(arg + 2))
		query->shared_min = Max(checked(PG_GETARG_INT32(arg + 2), 0, UINT8_MAX, "shared_tags") - left_out, 0);
}

static void
set_buckets(FunctionCallInfo fcinfo, int arg, MatchQuery *query)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, arg, MATCH_BUCKETS, "bucket_km", &elements, &nulls);

	memset(query->buckets, 0, sizeof(query->buckets));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			match_invalid("bucket_km has no NULL elements", NULL);
		query->buckets[i] = match_reach(checked_float(DatumGetFloat8(elements[i]), 0.001, 100000, "a bucket"));
	}
}

static void
set_soft_weights(FunctionCallInfo fcinfo, int arg, MatchQuery *query)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (PG_ARGISNULL(arg))
	{
		for (int i = 0; i < MATCH_LANES; i++)
			query->soft_weights[i] = query->soft[i] != UINT8_MAX && (query->continuation >> i & 1) == 0;
		for (int i = 0; i < MATCH_NUMBERS; i++)
			query->soft_weights[MATCH_LANES + i] = query->soft_number_min[i] > MATCH_NUMBER_MIN ||
				query->soft_number_max[i] < MATCH_NUMBER_MAX;
		return;
	}
	n = match_array(fcinfo, arg, MATCH_LANES + MATCH_NUMBERS, "soft_weights", &elements, &nulls);
	for (int i = 0; i < n; i++)
	{
		/* Lanes that continue another have no weight of their own. */
		if (!nulls[i] && (i >= MATCH_LANES || (query->continuation >> i & 1) == 0))
			query->soft_weights[i] = checked_float(DatumGetFloat4(elements[i]), 0, 1e6, "a soft weight");
	}
}

/* The ids of an argument, sorted and each once. */
static int64 *
id_set(FunctionCallInfo fcinfo, int arg, const char *what, uint32 *n)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count = match_array(fcinfo, arg, SEEN_MAX, what, &elements, &nulls);
	int64	   *ids = palloc((count + 1) * sizeof(int64));

	*n = 0;
	for (int i = 0; i < count; i++)
	{
		/* No key has the smallest id. */
		if (!nulls[i] && DatumGetInt64(elements[i]) != PG_INT64_MIN)
			ids[(*n)++] = DatumGetInt64(elements[i]);
	}
	*n = match_sort_ids(ids, *n);
	return ids;
}

static void
set_query_numbers(FunctionCallInfo fcinfo, const MatchKey *key, MatchQuery *query)
{
	number_ranges(fcinfo, 14, 15, -1, INT2OID, query->soft_number_min, query->soft_number_max, &query->number_unset);
	if (PG_ARGISNULL(11) && PG_ARGISNULL(12) && PG_ARGISNULL(13))
	{
		memcpy(query->number_min, key->number_min, sizeof(query->number_min));
		memcpy(query->number_max, key->number_max, sizeof(query->number_max));
		query->number_unset = key->head & 0x0F;
	}
	else
		number_ranges(fcinfo, 11, 12, 13, INT2OID, query->number_min, query->number_max, &query->number_unset);
}

static void
set_cursor(FunctionCallInfo fcinfo, MatchQuery *query)
{
	if (PG_ARGISNULL(8))
	{
		if (!PG_ARGISNULL(9))
			match_invalid("after_id needs after_cost", NULL);
		return;
	}
	query->after = PG_ARGISNULL(9) ? MATCH_AFTER_COST : MATCH_AFTER_COST_ID;
	query->after_cost = PG_GETARG_FLOAT8(8);
	query->after_id = PG_ARGISNULL(9) ? 0 : PG_GETARG_INT64(9);
}

/* The order of an argument, by the buckets of the one after. */
static void
set_order(FunctionCallInfo fcinfo, int arg, MatchQuery *query)
{
	set_buckets(fcinfo, arg + 1, query);
	if (!PG_ARGISNULL(arg))
	{
		text	   *order = PG_GETARG_TEXT_PP(arg);

		query->order = choice(VARDATA_ANY(order), VARSIZE_ANY_EXHDR(order), order_names, lengthof(order_names), "sort");
	}
	if (query->order == MATCH_NEAREST && query->buckets[0] == 0)
		match_invalid("the order nearest needs bucket_km", NULL);
}

/* match_query(): the arguments are those of the SQL function, in order. */
Datum
match_query_build(PG_FUNCTION_ARGS)
{
	const MatchKey *key;
	MatchQuery	query;
	int64	   *seen;
	int64	   *liked;
	uint32		n;
	uint32		m;
	const char *wrong;

	need(fcinfo, 0, "key");
	need(fcinfo, 1, "today");
	key = PG_GETARG_MATCH_KEY(0);
	if (!match_is_leaf(key))
		match_invalid("the key is not a person's", NULL);
	memset(&query, 0, sizeof(query));
	query.version = MATCH_QUERY_1;
	memcpy(&query.viewer, key, match_size(key));
	query.today = checked(PG_GETARG_DATEADT(1), -1000000, 1000000, "today");
	lane_bytes(fcinfo, 2, 0, "accept_wants", query.accept);
	if (PG_ARGISNULL(2))
		memcpy(query.accept, key->wants, MATCH_LANES);
	lane_bytes(fcinfo, 3, 0xFF, "soft_wants", query.soft);
	query.continuation = PG_ARGISNULL(5) ? 0 : (uint32) PG_GETARG_INT32(5);
	set_query_numbers(fcinfo, key, &query);
	set_soft_weights(fcinfo, 4, &query);
	set_weights(&query, PG_ARGISNULL(6) ? NULL : PG_GETARG_JSONB_P(6));
	set_cursor(fcinfo, &query);
	if (!PG_ARGISNULL(10))
		query.active_since = day_of(PG_GETARG_DATEADT(10));
	set_query_tags(fcinfo, 16, key, &query);
	if (!PG_ARGISNULL(19))
		query.joined_since = day_of(PG_GETARG_DATEADT(19));
	query.reach = PG_ARGISNULL(20) ? key->reach :
		match_reach(checked_float(PG_GETARG_FLOAT8(20), 0, INFINITY, "radius_km"));
	set_order(fcinfo, 21, &query);
	wrong = match_query_check(&query);
	if (wrong != NULL)
		match_invalid("the query is not valid", wrong);
	seen = id_set(fcinfo, 7, "seen", &n);
	liked = id_set(fcinfo, 23, "liked", &m);
	PG_RETURN_POINTER(complete_query(&query, seen, n, liked, m, NULL));
}

MatchQuery *
match_plain_query(const MatchKey *key, int32 today)
{
	LOCAL_FCINFO(fcinfo, MATCH_ARGUMENTS_MAX);

	InitFunctionCallInfoData(*fcinfo, NULL, MATCH_ARGUMENTS_MAX, InvalidOid, NULL, NULL);
	for (int i = 0; i < MATCH_ARGUMENTS_MAX; i++)
	{
		fcinfo->args[i].value = (Datum) 0;
		fcinfo->args[i].isnull = i > 1;
	}
	fcinfo->args[0].value = PointerGetDatum(key);
	fcinfo->args[1].value = Int32GetDatum(today);
	return (MatchQuery *) DatumGetPointer(match_query_build(fcinfo));
}

/*
 * What one call asks beyond the viewer's preferences. Nothing of this takes part
 * in what follows from the first part of a query.
 */

static MatchQuery *
copy_query(const MatchQuery *query)
{
	MatchQuery *copy = palloc(match_size(query));

	memcpy(copy, query, match_size(query));
	return copy;
}

/* The bits of tags that are asked for, and how many of the viewer's own are to be shared. */
static void
ask_for_tags(FunctionCallInfo fcinfo, int arg, MatchQuery *query)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n = match_array(fcinfo, arg, TAGS_MAX, "tags", &elements, &nulls);
	int			counted = 0;

	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
		{
			int			bit = tag_bit(elements[i]);

			query->asked_tags[bit >> 3] |= 1 << (bit & 7);
		}
	}
	if (PG_ARGISNULL(arg + 1))
		return;
	for (int i = 0; i < query->tag_count; i++)
		counted += query->tag_numbers[i];
	/* Tags that the query does not count may be shared: bits never refuse who has enough. */
	query->shared_min = Max(checked(PG_GETARG_INT32(arg + 1), 0, UINT8_MAX, "shared_tags") -
							(PG_ARGISNULL(arg + 2) ? 0 : Max(PG_GETARG_INT32(arg + 2) - counted, 0)), 0);
}

/*
 * match_query_filter(query, accept_wants, active_since, joined_since, radius_km,
 * tags, shared_tags, own_tags, sort, bucket_km)
 */
Datum
match_query_filter(PG_FUNCTION_ARGS)
{
	MatchQuery *query;
	uint8		accept[MATCH_LANES];
	const char *wrong;

	need(fcinfo, 0, "query");
	query = copy_query(PG_GETARG_MATCH_QUERY(0));
	lane_bytes(fcinfo, 1, 0xFF, "accept_wants", accept);
	for (int i = 0; i < MATCH_LANES; i++)
		query->accept[i] &= accept[i];
	if (!PG_ARGISNULL(2))
		query->active_since = Max(query->active_since, day_of(PG_GETARG_DATEADT(2)));
	if (!PG_ARGISNULL(3))
		query->joined_since = Max(query->joined_since, day_of(PG_GETARG_DATEADT(3)));
	if (!PG_ARGISNULL(4))
		query->reach = match_reach(checked_float(PG_GETARG_FLOAT8(4), 0, INFINITY, "radius_km"));
	ask_for_tags(fcinfo, 5, query);
	if (!PG_ARGISNULL(8))
		set_order(fcinfo, 8, query);
	wrong = match_query_check(query);
	if (wrong != NULL)
		match_invalid("the query is not valid", wrong);
	PG_RETURN_POINTER(query);
}

/* match_query_relax(query, rule, place) */
Datum
match_query_relax(PG_FUNCTION_ARGS)
{
	static const char *const rules[] = {"age", "distance", "lane", "number"};
	MatchQuery *query = copy_query(PG_GETARG_MATCH_QUERY(0));
	text	   *rule = PG_GETARG_TEXT_PP(1);
	int			place = PG_GETARG_INT32(2);

	switch (choice(VARDATA_ANY(rule), VARSIZE_ANY_EXHDR(rule), rules, lengthof(rules), "rule"))
	{
		case 0:
			query->viewer.age_min = 0;
			query->viewer.age_max = MATCH_AGE_OPEN;
			query->born_min = 0;
			query->born_max = MATCH_BORN_UNSET;
			break;
		case 1:
			query->reach = MATCH_EVERYWHERE;
			break;
		case 2:
			place = checked(place, 0, MATCH_LANES - 1, "a lane");
			do
				query->accept[place++] = 0xFF;
			while (place < MATCH_LANES && (query->continuation >> place & 1) != 0);
			break;
		default:
			place = checked(place, 0, MATCH_NUMBERS - 1, "a number");
			query->number_min[place] = MATCH_NUMBER_MIN;
			query->number_max[place] = MATCH_NUMBER_MAX;
			query->number_unset |= 1 << place;
			break;
	}
	PG_RETURN_POINTER(query);
}

/*
 * Lanes of attributes
 */

typedef struct LaneMap
{
	int			n;				/* attributes */
	int		   *first;			/* -1: not a choice */
	int		   *count;
} LaneMap;

#define ATTRIBUTES_MAX 10000

static LaneMap
lane_map(FunctionCallInfo fcinfo, int arg)
{
	LaneMap		map;
	Datum	   *first;
	Datum	   *count;
	bool	   *first_null;
	bool	   *count_null;
	uint32		used = 0;
	int			n = match_array(fcinfo, arg, ATTRIBUTES_MAX, "lane_of", &first, &first_null);

	if (match_array(fcinfo, arg + 1, ATTRIBUTES_MAX, "lanes_of", &count, &count_null) != n)
		match_invalid("lane_of and lanes_of differ in length", NULL);
	map.n = n;
	map.first = palloc((n + 1) * sizeof(int));
	map.count = palloc((n + 1) * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		map.first[i] = -1;
		map.count[i] = 0;
		if (first_null[i])
			continue;
		map.first[i] = checked(DatumGetInt16(first[i]), 0, MATCH_LANES - 1, "a lane");
		map.count[i] = checked(count_null[i] ? 1 : DatumGetInt16(count[i]), 1,
							   Min(8, MATCH_LANES - map.first[i]), "the number of lanes");
		for (int lane = map.first[i]; lane < map.first[i] + map.count[i]; lane++)
		{
			if (used >> lane & 1)
				match_invalid("two attributes share a lane", NULL);
			used |= (uint32) 1 << lane;
		}
	}
	return map;
}

static bytea *
lanes_result(uint8 **lanes, uint8 fill)
{
	bytea	   *result = palloc(VARHDRSZ + MATCH_LANES);

	SET_VARSIZE(result, VARHDRSZ + MATCH_LANES);
	*lanes = (uint8 *) VARDATA(result);
	memset(*lanes, fill, MATCH_LANES);
	return result;
}

/* trait_lanes(traits, lane_of, lanes_of) */
Datum
match_trait_lanes(PG_FUNCTION_ARGS)
{
	LaneMap		map = lane_map(fcinfo, 1);
	Datum	   *options;
	bool	   *nulls;
	int			n = match_array(fcinfo, 0, ATTRIBUTES_MAX, "traits", &options, &nulls);
	uint8	   *lanes;
	bytea	   *result = lanes_result(&lanes, 0x01);

	for (int i = 0; i < map.n; i++)
	{
		int			option = 0;

		if (map.first[i] < 0)
			continue;
		if (i < n && !nulls[i])
			option = checked(DatumGetInt16(options[i]), 0, 8 * map.count[i] - 1, "an option");
		memset(lanes + map.first[i], 0, map.count[i]);
		lanes[map.first[i] + option / 8] = 1 << option % 8;
	}
	PG_RETURN_BYTEA_P(result);
}

/* want_lanes(accepts, use, lane_of, lanes_of) */
Datum
match_want_lanes(PG_FUNCTION_ARGS)
{
	LaneMap		map = lane_map(fcinfo, 2);
	Datum	   *accepts;
	Datum	   *use;
	bool	   *accepts_null;
	bool	   *use_null;
	int			n = match_array(fcinfo, 0, ATTRIBUTES_MAX, "accepts", &accepts, &accepts_null);
	int			used = match_array(fcinfo, 1, ATTRIBUTES_MAX, "use", &use, &use_null);
	bool		use_all = PG_ARGISNULL(1);
	uint8	   *lanes;
	bytea	   *result = lanes_result(&lanes, 0xFF);

	for (int i = 0; i < map.n && i < n; i++)
	{
		if (map.first[i] < 0 || accepts_null[i])
			continue;
		if (!use_all && (i >= used || use_null[i] || !DatumGetBool(use[i])))
			continue;
		for (int lane = 0; lane < map.count[i]; lane++)
			lanes[map.first[i] + lane] = (uint64) DatumGetInt64(accepts[i]) >> (8 * lane) & 0xFF;
	}
	PG_RETURN_BYTEA_P(result);
}

/* lane_continuation(lane_of, lanes_of) */
Datum
match_lane_continuation(PG_FUNCTION_ARGS)
{
	LaneMap		map = lane_map(fcinfo, 0);
	uint32		continuation = 0;

	for (int i = 0; i < map.n; i++)
	{
		for (int lane = 1; lane < map.count[i]; lane++)
			continuation |= (uint32) 1 << (map.first[i] + lane);
	}
	PG_RETURN_INT32((int32) continuation);
}
