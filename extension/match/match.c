/*
 * The operators of match_key, what explains them, and the setting of the SIMD
 * path.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "match/match.h"
#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_accepts);
PG_FUNCTION_INFO_V1(match_cost);
PG_FUNCTION_INFO_V1(match_explain);
PG_FUNCTION_INFO_V1(match_distance_m);
PG_FUNCTION_INFO_V1(match_key_parts);

static int	simd_setting = MATCH_SIMD_AUTO;

static const struct config_enum_entry simd_options[] = {
	{"auto", MATCH_SIMD_AUTO, false},
	{"avx2", MATCH_SIMD_AVX2, false},
	{"sse2", MATCH_SIMD_SSE2, false},
	{"scalar", MATCH_SIMD_SCALAR, false},
	{NULL, 0, false}
};

static const char *const term_names[MATCH_TERMS] = {
	"distance", "age", "tags", "embedding", "soft", "recency", "quality", "desirability", "selectivity", "newcomer", "diversity"
};

static bool
check_simd(int *path, void **extra, GucSource source)
{
	if (match_simd_available(*path))
		return true;
	GUC_check_errdetail("This machine does not have it.");
	return false;
}

static void
assign_simd(int path, void *extra)
{
	match_simd_use(path);
}

void
match_init(void)
{
	DefineCustomEnumVariable("rapport.simd",
							 "The instructions that keys are compared with, for tests; the result is the same.",
							 NULL,
							 &simd_setting,
							 MATCH_SIMD_AUTO,
							 simd_options,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 check_simd, assign_simd, NULL);
}

/* match_key @@ match_query */
Datum
match_accepts(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);

	PG_RETURN_BOOL(match_leaf_accepts(key, PG_GETARG_MATCH_QUERY(1)));
}

/* match_key <-> match_query */
Datum
match_cost(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);

	PG_RETURN_FLOAT8(match_leaf_cost(key, PG_GETARG_MATCH_QUERY(1)));
}

Datum
match_distance_m(PG_FUNCTION_ARGS)
{
	const MatchKey *a = PG_GETARG_MATCH_KEY(0);
	const MatchKey *b = PG_GETARG_MATCH_KEY(1);

	if (!match_has_place(a) || !match_has_place(b))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(match_distance_km(a, b) * 1000);
}

/*
 * Building jsonb
 */

static void
put_name(JsonbParseState **state, const char *name)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, name);
	value.val.string.len = strlen(name);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Adds a member, or an element of an array if there is no name. */
static void
put_value(JsonbParseState **state, const char *name, JsonbValue *value)
{
	if (name != NULL)
		put_name(state, name);
	pushJsonbValue(state, name != NULL ? WJB_VALUE : WJB_ELEM, value);
}

static void
put_bool(JsonbParseState **state, const char *name, bool given)
{
	put_value(state, name, &(JsonbValue) {.type = jbvBool, .val.boolean = given});
}

static void
put_integer(JsonbParseState **state, const char *name, int64 given)
{
	put_value(state, name, &(JsonbValue) {.type = jbvNumeric, .val.numeric = int64_to_numeric(given)});
}

static void
put_double(JsonbParseState **state, const char *name, double given)
{
	Datum		number = DirectFunctionCall1(float8_numeric, Float8GetDatum(given));

	put_value(state, name, &(JsonbValue) {.type = jbvNumeric, .val.numeric = DatumGetNumeric(number)});
}

static void
put_null(JsonbParseState **state, const char *name)
{
	put_value(state, name, &(JsonbValue) {.type = jbvNull});
}

static void
put_side(JsonbParseState **state, const char *name, const MatchReport *report, int side)
{
	put_name(state, name);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	put_bool(state, "age", report->age[side]);
	put_bool(state, "distance", report->distance[side]);
	put_name(state, "numbers");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < MATCH_NUMBERS; i++)
		put_bool(state, NULL, report->number[side][i]);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	put_name(state, "lanes_failed");
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < MATCH_LANES; i++)
	{
		if (report->lanes_failed[side] >> i & 1)
			put_integer(state, NULL, i);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

Datum
match_explain(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(1);
	const MatchKey *viewer = &query->viewer;
	JsonbParseState *state = NULL;
	MatchReport report;

	if (!match_is_leaf(key))
		match_invalid("the key is not a person's", NULL);
	match_report(key, query, &report);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	put_bool(&state, "accepts", report.accepts);
	put_double(&state, "cost", report.cost);
	put_double(&state, "score", report.score);
	put_bool(&state, "liked", report.liked);
	if (match_has_place(key) && match_has_place(viewer))
		put_double(&state, "distance_m", match_distance_km(key, viewer) * 1000);
	else
		put_null(&state, "distance_m");
	put_name(&state, "rules");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	put_bool(&state, "mode", report.mode);
	put_bool(&state, "other", report.other);
	put_bool(&state, "active", report.active);
	put_bool(&state, "joined", report.joined);
	put_bool(&state, "tags", report.tags);
	put_bool(&state, "unseen", report.unseen);
	put_bool(&state, "beyond", report.beyond);
	put_side(&state, "viewer", &report, 0);
	put_side(&state, "candidate", &report, 1);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	put_name(&state, "parts");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (!(query->share[i] > 0))
			continue;
		put_name(&state, term_names[i]);
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		put_double(&state, "weight", query->share[i]);
		put_double(&state, "value", report.terms[i]);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

int64
match_units(double given, int digits)
{
	double		scale = digits == 1 ? 10 : 100;
	double		units = given * scale;
	Datum		rounded;

	/* Away from the halves the digits that numeric takes of a double make no difference. */
	if (units >= 0 && units < 1e6 && fabs(units - floor(units) - 0.5) > 1e-6)
		return (int64) floor(units + 0.5);
	rounded = DirectFunctionCall2(numeric_round, DirectFunctionCall1(float8_numeric, Float8GetDatum(given)), Int32GetDatum(digits));
	return (int64) rint(DatumGetFloat8(DirectFunctionCall1(numeric_float8, rounded)) * scale);
}

Jsonb *
match_shown_terms(const MatchKey *key, const MatchQuery *query)
{
	JsonbParseState *state = NULL;
	double		terms[MATCH_TERMS];

	match_terms(key, query, terms);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < MATCH_TERMS; i++)
	{
		/* Of the distance less, as distances leave only in steps. */
		int			digits = i == MATCH_DISTANCE ? 1 : 2;

		if (query->share[i] > 0)
			put_value(&state, term_names[i],
					  &(JsonbValue) {.type = jbvNumeric, .val.numeric = int64_div_fast_to_numeric(match_units(terms[i], digits), digits)});
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
put_bytes(JsonbParseState **state, const char *name, const uint8 *bytes, int n)
{
	put_name(state, name);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
		put_integer(state, NULL, bytes[i]);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static void
put_days(JsonbParseState **state, const char *name, int64 day, bool unset)
{
	if (unset)
		put_null(state, name);
	else
		put_integer(state, name, day);
}

Datum
match_key_parts(PG_FUNCTION_ARGS)
{
	const MatchKey *key = PG_GETARG_MATCH_KEY(0);
	JsonbParseState *state = NULL;

	if (!match_is_leaf(key))
		match_invalid("the key is not a person's", NULL);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	put_integer(&state, "id", key->id);
	put_integer(&state, "mode", key->mode);
	if (match_has_place(key))
	{
		put_double(&state, "latitude", match_latitude(key));
		put_double(&state, "longitude", match_longitude(key));
	}
	else
	{
		put_null(&state, "latitude");
		put_null(&state, "longitude");
	}
	if (key->reach == MATCH_EVERYWHERE)
		put_null(&state, "max_distance_km");
	else
		put_double(&state, "max_distance_km", match_reach_km(key->reach));
	put_days(&state, "born", (int64) key->born - MATCH_BORN_EPOCH, key->born == MATCH_BORN_UNSET);
	put_days(&state, "active", (int64) key->active - 1, key->active == 0);
	put_integer(&state, "age_min", key->age_min);
	put_integer(&state, "age_max", key->age_max);
	put_double(&state, "quality", key->quality / 255.0);
	put_double(&state, "desirability", key->desirability / 255.0);
	put_double(&state, "selectivity", key->selectivity / 255.0);
	put_double(&state, "price", key->price / 255.0);
	put_name(&state, "numbers");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		put_days(&state, "value", key->numbers[i], key->numbers[i] == MATCH_NUMBER_UNSET);
		put_days(&state, "min", key->number_min[i], key->number_min[i] == MATCH_NUMBER_MIN);
		put_days(&state, "max", key->number_max[i], key->number_max[i] == MATCH_NUMBER_MAX);
		put_bool(&state, "unset", key->head >> i & 1);
		pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	put_days(&state, "joined", (int64) key->joined - 1, key->joined == 0);
	put_integer(&state, "tags", match_tag_number(key->tags));
	put_integer(&state, "dimensions", match_dimensions(key));
	put_bytes(&state, "traits", key->traits, MATCH_LANES);
	put_bytes(&state, "wants", key->wants, MATCH_LANES);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}
