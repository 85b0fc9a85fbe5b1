/*
 * The attributes of a profile by their codes. The catalogue is read once a
 * query, in its snapshot.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "core/core.h"
#include "profile/profile.h"

PG_FUNCTION_INFO_V1(profile_attributes_shown);

#define OPTIONS 64
#define ATTRIBUTES 37			/* numbered from 1 */

typedef struct ProfileAttribute
{
	char	   *code;			/* NULL: there is none of that number */
	int			slot;			/* -1: a choice */
	Datum		minimum;
	Datum		step;
	char	   *options[OPTIONS];
} ProfileAttribute;

static uint64
run(SPIPlanPtr *plan, const char *sql)
{
	core_keep_plan(plan, sql, 0, NULL);
	if (SPI_execute_plan(*plan, NULL, NULL, true, 0) < 0)
		elog(ERROR, "could not read the attributes");
	return SPI_processed;
}

static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

ProfileAttribute *
profile_read_attributes(MemoryContext context)
{
	static SPIPlanPtr plans[2];
	ProfileAttribute *catalogue = MemoryContextAllocZero(context, ATTRIBUTES * sizeof(ProfileAttribute));
	MemoryContext before;
	uint64		n;
	bool		isnull;

	SPI_connect();
	n = run(&plans[0], "SELECT attribute_id, code, coalesce(slot, -1)::smallint, coalesce(minimum, 0), coalesce(step, 0) FROM rapport.attribute");
	before = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < n; i++)
	{
		ProfileAttribute *attribute = &catalogue[DatumGetInt16(column(i, 1, &isnull))];

		attribute->code = TextDatumGetCString(column(i, 2, &isnull));
		attribute->slot = DatumGetInt16(column(i, 3, &isnull));
		attribute->minimum = PointerGetDatum(DatumGetNumericCopy(column(i, 4, &isnull)));
		attribute->step = PointerGetDatum(DatumGetNumericCopy(column(i, 5, &isnull)));
	}
	MemoryContextSwitchTo(before);
	n = run(&plans[1], "SELECT attribute_id, option, code FROM rapport.attribute_option");
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < n; i++)
		catalogue[DatumGetInt16(column(i, 1, &isnull))].options[DatumGetInt16(column(i, 2, &isnull))] =
			TextDatumGetCString(column(i, 3, &isnull));
	MemoryContextSwitchTo(before);
	SPI_finish();
	return catalogue;
}

typedef struct Elements
{
	int			n;
	Datum	   *values;
	bool	   *nulls;
} Elements;

static Elements
elements_of(ArrayType *array)
{
	Elements	elements;

	deconstruct_array(array, INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &elements.values, &elements.nulls, &elements.n);
	return elements;
}

static bool
has(const Elements *elements, int index)
{
	return index <= elements->n && !elements->nulls[index - 1];
}

static bool
shown(const ProfileAttribute *attribute, int id, const Elements *traits, const Elements *numbers, JsonbValue *value)
{
	int			option = has(traits, id) ? DatumGetInt16(traits->values[id - 1]) : 0;

	if (option > 0 && option < OPTIONS && attribute->options[option] != NULL)
	{
		value->type = jbvString;
		value->val.string.val = attribute->options[option];
		value->val.string.len = strlen(attribute->options[option]);
		return true;
	}
	if (attribute->slot < 0 || !has(numbers, attribute->slot + 1))
		return false;
	value->type = jbvNumeric;
	value->val.numeric = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, DirectFunctionCall2(
		numeric_add, attribute->minimum, DirectFunctionCall2(
		numeric_mul, attribute->step, NumericGetDatum(int64_to_numeric(DatumGetInt16(numbers->values[attribute->slot])))))));
	return true;
}

Jsonb *
profile_show_attributes(const ProfileAttribute *catalogue, ArrayType *trait_array, ArrayType *number_array)
{
	Elements	traits = elements_of(trait_array);
	Elements	numbers = elements_of(number_array);
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int id = 1; id < ATTRIBUTES; id++)
	{
		const ProfileAttribute *attribute = &catalogue[id];
		JsonbValue	key;
		JsonbValue	value;

		if (attribute->code == NULL || !shown(attribute, id, &traits, &numbers, &value))
			continue;
		key.type = jbvString;
		key.val.string.val = attribute->code;
		key.val.string.len = strlen(attribute->code);
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* attributes_shown(traits, numbers) */
Datum
profile_attributes_shown(PG_FUNCTION_ARGS)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = profile_read_attributes(fcinfo->flinfo->fn_mcxt);
	PG_RETURN_JSONB_P(profile_show_attributes(fcinfo->flinfo->fn_extra, PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1)));
}
