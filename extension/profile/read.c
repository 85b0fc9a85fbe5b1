/*
 * Reads the JSON that people and imports send: a profile and a preference,
 * each applied to what is stored. The rules stand here once; the caller decides
 * what a problem means (an update fails with the first, an import rejects the
 * row with all of them).
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "core/core.h"
#include "profile/profile.h"

PG_FUNCTION_INFO_V1(profile_read_profile);
PG_FUNCTION_INFO_V1(profile_read_preference);
PG_FUNCTION_INFO_V1(profile_read_place);
PG_FUNCTION_INFO_V1(profile_read_date);
PG_FUNCTION_INFO_V1(profile_clean_text_sql);

#define MAX_NAME 60
#define MAX_ABOUT 2000
#define MAX_TAG 40
#define MAX_TAGS 50
#define MAX_DIMENSIONS 32
#define MAX_ATTRIBUTES 36		/* 32 lanes and 4 numbers */
#define MAX_NUMBERS 4
#define MAX_OPTION 63
#define MAX_AGE 120
#define FIRST_BIRTH_YEAR 1900
#define MAX_DISTANCE_KM 20040	/* half way round the earth */
#define MAX_PROBLEMS 20
#define MAX_QUOTED 60

#define STRENGTH_TWO_WAY 1
#define STRENGTH_ONE_WAY 2
#define STRENGTH_SOFT 3

/* An attribute as rapport.profile_rules() describes it. */
typedef struct Attribute
{
	int			id;
	int			slot;			/* -1 for a choice */
	double		minimum;
	double		maximum;
	double		step;
	JsonbContainer *options;	/* code: number, for a choice */
} Attribute;

/* An array of SQL with one element an attribute or slot, element i at i - 1. */
typedef struct Cells
{
	int			size;
	Datum		values[MAX_ATTRIBUTES];
	bool		nulls[MAX_ATTRIBUTES];
} Cells;

typedef struct Reader
{
	JsonbContainer *attributes; /* code: description */
	int			minimum_age;
	int			n_problems;
	Datum		problems[MAX_PROBLEMS];
} Reader;

/* Notes "code: detail"; beyond MAX_PROBLEMS nothing is added. */
static void
problem(Reader *reader, const char *code, const char *detail,...)
			pg_attribute_printf(3, 4);

static void
problem(Reader *reader, const char *code, const char *detail,...)
{
	char		text[512];
	va_list		args;

	if (reader->n_problems == MAX_PROBLEMS)
		return;
	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	reader->problems[reader->n_problems++] = CStringGetTextDatum(psprintf("%s: %s", code, text));
}

/* The string in quotes, cut at a length fit for a message. */
static char *
quote(const char *bytes, int size)
{
	int			shown = pg_mbcliplen(bytes, size, MAX_QUOTED);

	return psprintf("\"%.*s%s\"", shown, bytes, shown < size ? "..." : "");
}

static char *
quote_string(const JsonbValue *value)
{
	return quote(value->val.string.val, value->val.string.len);
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

static bool
is_array(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data);
}

static bool
is_key(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) && memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* A JSON number as double; infinite where it is too large for one. */
static double
number_of(const JsonbValue *value)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

/* Whether the value is a whole number that fits int; it goes to *number. */
static bool
whole_number(const JsonbValue *value, int *number)
{
	double		given;

	if (value->type != jbvNumeric)
		return false;
	given = number_of(value);
	if (!(given >= PG_INT32_MIN && given <= PG_INT32_MAX && given == rint(given)))
		return false;
	*number = (int) given;
	return true;
}

static bool
find_number(JsonbContainer *object, const char *name, double *number)
{
	JsonbValue	storage;
	JsonbValue *found = getKeyJsonValueFromContainer(object, name, strlen(name), &storage);

	if (found == NULL || found->type != jbvNumeric)
		return false;
	*number = number_of(found);
	return true;
}

/* Reads the rules; *body must be an object, else (NULL too) that is the only problem. */
static bool
start(Reader *reader, Jsonb *body, Jsonb *rules)
{
	JsonbValue	storage;
	JsonbValue *attributes;
	double		age;

	reader->n_problems = 0;
	attributes = rules == NULL ? NULL :
		getKeyJsonValueFromContainer(&rules->root, "attributes", strlen("attributes"), &storage);
	if (attributes == NULL || !is_object(attributes) || !find_number(&rules->root, "minimum_age", &age))
		elog(ERROR, "the rules are not those of rapport.profile_rules()");
	reader->attributes = attributes->val.binary.data;
	reader->minimum_age = (int) age;
	if (body == NULL || !JB_ROOT_IS_OBJECT(body))
	{
		problem(reader, "wrong_type", "The body must be an object.");
		return false;
	}
	return true;
}

/* The members of an object, for next_member(); NULL, which has none, and a problem for any other value. */
static JsonbIterator *
members_of(Reader *reader, const char *name, const JsonbValue *value)
{
	if (is_object(value))
		return JsonbIteratorInit(value->val.binary.data);
	problem(reader, "wrong_type", "%s is an object.", name);
	return NULL;
}

static bool
next_member(JsonbIterator **it, JsonbValue *key, JsonbValue *value)
{
	JsonbIteratorToken token = JsonbIteratorNext(it, key, true);

	if (token == WJB_BEGIN_OBJECT)
		token = JsonbIteratorNext(it, key, true);
	if (token != WJB_KEY)
		return false;
	(void) JsonbIteratorNext(it, value, true);
	return true;
}

/* Looks the attribute up; an unknown one is a problem. */
static bool
find_attribute(Reader *reader, const JsonbValue *code, Attribute *attribute)
{
	JsonbValue	storage;
	JsonbValue	options;
	JsonbValue *found;
	JsonbContainer *object;
	double		number = 0;

	found = getKeyJsonValueFromContainer(reader->attributes, code->val.string.val, code->val.string.len, &storage);
	if (found == NULL)
	{
		problem(reader, "unknown_attribute", "%s is not an attribute.", quote_string(code));
		return false;
	}
	object = found->val.binary.data;
	if (!find_number(object, "id", &number) || number < 1 || number > MAX_ATTRIBUTES)
		elog(ERROR, "attribute %s has no valid id", quote_string(code));
	attribute->id = (int) number;
	attribute->slot = -1;
	if (find_number(object, "slot", &number))
	{
		if (number < 0 || number >= MAX_NUMBERS)
			elog(ERROR, "attribute %s has no valid slot", quote_string(code));
		attribute->slot = (int) number;
		if (!find_number(object, "minimum", &attribute->minimum) ||
			!find_number(object, "maximum", &attribute->maximum) ||
			!find_number(object, "step", &attribute->step))
			elog(ERROR, "attribute %s has no range", quote_string(code));
		return true;
	}
	found = getKeyJsonValueFromContainer(object, "options", strlen("options"), &options);
	if (found == NULL || !is_object(found))
		elog(ERROR, "attribute %s has no options", quote_string(code));
	attribute->options = found->val.binary.data;
	return true;
}

/* The number of the option; an unknown one, or another type, is a problem and 0. */
static int
find_option(Reader *reader, const JsonbValue *code, const Attribute *attribute, const JsonbValue *option)
{
	JsonbValue	storage;
	JsonbValue *found;
	double		number;

	if (option->type != jbvString)
	{
		problem(reader, "wrong_type", "%s takes the code of an option.", quote_string(code));
		return 0;
	}
	found = getKeyJsonValueFromContainer(attribute->options, option->val.string.val, option->val.string.len, &storage);
	if (found == NULL)
	{
		problem(reader, "unknown_option", "%s is not an option of %s.", quote_string(option), quote_string(code));
		return 0;
	}
	number = found->type == jbvNumeric ? number_of(found) : 0;
	if (number < 1 || number > MAX_OPTION)
		elog(ERROR, "option %s has no valid number", quote_string(option));
	return (int) number;
}

/* The code of a number, or -1 and a problem. */
static int
number_code(Reader *reader, const JsonbValue *code, const Attribute *attribute, const JsonbValue *value)
{
	double		given;

	if (value->type != jbvNumeric)
	{
		problem(reader, "wrong_type", "%s takes a number.", quote_string(code));
		return -1;
	}
	given = number_of(value);
	if (!(given >= attribute->minimum && given <= attribute->maximum))
	{
		problem(reader, "out_of_range", "%s lies between %g and %g.", quote_string(code),
				attribute->minimum, attribute->maximum);
		return -1;
	}
	return (int) rint((given - attribute->minimum) / attribute->step);
}

/* Unpacks an array of the stored row; absent elements are null. */
static void
open_cells(Cells *cells, HeapTupleHeader stored, const char *column, Oid type, int type_size, char align)
{
	Datum		array = 0;
	bool		isnull = true;
	Datum	   *values;
	bool	   *nulls;

	cells->size = 0;
	for (int i = 0; i < MAX_ATTRIBUTES; i++)
		cells->nulls[i] = true;
	if (stored != NULL)
		array = GetAttributeByName(stored, column, &isnull);
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(array), type, type_size, true, align, &values, &nulls, &cells->size);
	cells->size = Min(cells->size, MAX_ATTRIBUTES);
	memcpy(cells->values, values, cells->size * sizeof(Datum));
	memcpy(cells->nulls, nulls, cells->size * sizeof(bool));
}

static void
set_cell(Cells *cells, int index, Datum value)
{
	cells->values[index - 1] = value;
	cells->nulls[index - 1] = false;
	cells->size = Max(cells->size, index);
}

static void
clear_cell(Cells *cells, int index)
{
	cells->nulls[index - 1] = true;
}

/* Packs the cells, without the unset ones at the end. */
static Datum
close_cells(Cells *cells, Oid type, int type_size, char align)
{
	int			lower = 1;

	while (cells->size > 0 && cells->nulls[cells->size - 1])
		cells->size--;
	if (cells->size == 0)
		return PointerGetDatum(construct_empty_array(type));
	return PointerGetDatum(construct_md_array(cells->values, cells->nulls, 1, &cells->size, &lower,
											  type, type_size, true, align));
}

/*
 * Reads yyyy-mm-dd. Years before 1 and after 9999, infinities and days that
 * the calendar does not have are no dates.
 */
static bool
parse_date(const char *bytes, int size, DateADT *date)
{
	int			part[3] = {0};

	if (size != 10 || bytes[4] != '-' || bytes[7] != '-')
		return false;
	for (int i = 0, n = 0; i < size; i++)
	{
		if (i == 4 || i == 7)
			n++;
		else if (bytes[i] < '0' || bytes[i] > '9')
			return false;
		else
			part[n] = part[n] * 10 + (bytes[i] - '0');
	}
	if (part[0] < 1 || part[1] < 1 || part[1] > MONTHS_PER_YEAR ||
		part[2] < 1 || part[2] > day_tab[isleap(part[0])][part[1] - 1])
		return false;
	*date = date2j(part[0], part[1], part[2]) - POSTGRES_EPOCH_JDATE;
	return true;
}

/* Completed years; somebody born on 29 February grows older on 1 March. */
static int
age_on(DateADT birth, DateADT today)
{
	int			y0,
				m0,
				d0,
				y1,
				m1,
				d1;

	j2date(birth + POSTGRES_EPOCH_JDATE, &y0, &m0, &d0);
	j2date(today + POSTGRES_EPOCH_JDATE, &y1, &m1, &d1);
	return y1 - y0 - (m1 < m0 || (m1 == m0 && d1 < d0));
}

static void
read_birth_date(Reader *reader, const JsonbValue *value, Datum *result)
{
	DateADT		date;
	DateADT		today = core_today();
	int			age;

	if (value->type != jbvString)
	{
		problem(reader, "wrong_type", "birth_date is a date, yyyy-mm-dd.");
		return;
	}
	if (!parse_date(value->val.string.val, value->val.string.len, &date))
	{
		problem(reader, "invalid_value", "birth_date is not a date, yyyy-mm-dd, of the calendar.");
		return;
	}
	age = age_on(date, today);
	if (date > today || date < date2j(FIRST_BIRTH_YEAR, 1, 1) - POSTGRES_EPOCH_JDATE || age > MAX_AGE)
		problem(reader, "out_of_range", "birth_date is in the future, or more than %d years ago.", MAX_AGE);
	else if (age < reader->minimum_age)
		problem(reader, "under_age", "The minimum age is %d years.", reader->minimum_age);
	else
		*result = DateADTGetDatum(date);
}

/*
 * A text of the profile. NULL after a problem; NULL for a blank one where that
 * is allowed.
 */
static text *
read_text(Reader *reader, const char *name, const JsonbValue *value, int max_characters, bool lines, bool blank)
{
	text	   *clean = NULL;

	if (value->type != jbvString)
	{
		problem(reader, "wrong_type", "%s is a string.", name);
		return NULL;
	}
	switch (profile_clean_text(value->val.string.val, value->val.string.len, max_characters, lines, &clean))
	{
		case PROFILE_TEXT_OK:
			break;
		case PROFILE_TEXT_BLANK:
			if (!blank)
				problem(reader, "invalid_value", "%s has nothing to see in it.", name);
			break;
		case PROFILE_TEXT_CONTROL:
			problem(reader, "invalid_value", "%s contains a control character.", name);
			break;
		case PROFILE_TEXT_MARKS:
			problem(reader, "invalid_value", "%s has too many combining marks in a row.", name);
			break;
		case PROFILE_TEXT_LONG:
			problem(reader, "out_of_range", "%s has at most %d characters.", name, max_characters);
			break;
	}
	return clean;
}

/* Tags in lower case, each once, in the order given. */
static Datum
read_tags(Reader *reader, const JsonbValue *value)
{
	Datum		tags[MAX_TAGS];
	int			n = 0;
	uint32		given;

	if (!is_array(value))
	{
		problem(reader, "wrong_type", "tags is an array of strings.");
		return 0;
	}
	given = JsonContainerSize(value->val.binary.data);
	if (given > MAX_TAGS)
	{
		problem(reader, "out_of_range", "A profile has at most %d tags.", MAX_TAGS);
		return 0;
	}
	for (uint32 i = 0; i < given; i++)
	{
		text	   *tag = read_text(reader, "a tag", getIthJsonbValueFromContainer(value->val.binary.data, i),
									MAX_TAG, false, false);
		bool		known = false;

		if (tag == NULL)
			continue;
		tag = DatumGetTextPP(DirectFunctionCall1Coll(lower, DEFAULT_COLLATION_OID, PointerGetDatum(tag)));
		for (int j = 0; j < n && !known; j++)
			known = DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, tags[j], PointerGetDatum(tag)));
		if (!known)
			tags[n++] = PointerGetDatum(tag);
	}
	return PointerGetDatum(construct_array(tags, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
read_embedding(Reader *reader, const JsonbValue *value)
{
	Datum		numbers[MAX_DIMENSIONS];
	uint32		given;

	if (!is_array(value))
	{
		problem(reader, "wrong_type", "embedding is an array of numbers.");
		return 0;
	}
	given = JsonContainerSize(value->val.binary.data);
	if (given < 1 || given > MAX_DIMENSIONS)
	{
		problem(reader, "out_of_range", "An embedding has 1 to %d numbers.", MAX_DIMENSIONS);
		return 0;
	}
	for (uint32 i = 0; i < given; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);
		float4		number;

		if (element->type != jbvNumeric)
		{
			problem(reader, "wrong_type", "embedding is an array of numbers.");
			return 0;
		}
		number = (float4) number_of(element);
		if (!(number >= -1 && number <= 1))
		{
			problem(reader, "out_of_range", "The numbers of an embedding lie between -1 and 1.");
			return 0;
		}
		numbers[i] = Float4GetDatum(number);
	}
	return PointerGetDatum(construct_array(numbers, given, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

static void
read_attributes(Reader *reader, const JsonbValue *value, Cells *traits, Cells *numbers)
{
	JsonbIterator *it = members_of(reader, "attributes", value);
	JsonbValue	code;
	JsonbValue	answer;

	while (next_member(&it, &code, &answer))
	{
		Attribute	attribute;
		int			number;

		if (!find_attribute(reader, &code, &attribute))
			continue;
		if (attribute.slot < 0)
		{
			if (answer.type == jbvNull)
				clear_cell(traits, attribute.id);
			else if ((number = find_option(reader, &code, &attribute, &answer)) > 0)
				set_cell(traits, attribute.id, Int16GetDatum(number));
		}
		else
		{
			if (answer.type == jbvNull)
				clear_cell(numbers, attribute.slot + 1);
			else if ((number = number_code(reader, &code, &attribute, &answer)) >= 0)
				set_cell(numbers, attribute.slot + 1, Int16GetDatum(number));
		}
	}
}

/* The problems as text[], or NULL. */
static Datum
close_problems(Reader *reader, bool *isnull)
{
	*isnull = reader->n_problems == 0;
	if (*isnull)
		return 0;
	return PointerGetDatum(construct_array(reader->problems, reader->n_problems, TEXTOID, -1, false, TYPALIGN_INT));
}

static TupleDesc
result_desc(FunctionCallInfo fcinfo, int columns)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != columns)
		elog(ERROR, "the result must be a row of %d columns", columns);
	return BlessTupleDesc(desc);
}

/*
 * read_profile(stored profile, body jsonb, rules jsonb): the columns of the
 * profile after the change, and the problems.
 */
Datum
profile_read_profile(PG_FUNCTION_ARGS)
{
	enum
	{
		NAME, BIRTH_DATE, ABOUT, TRAITS, NUMBERS, TAGS, EMBEDDING, PAUSED, PROBLEMS, COLUMNS
	};
	static const char *const columns[] = {"display_name", "birth_date", "about", "traits", "numbers",
	"tags", "embedding", "paused"};
	HeapTupleHeader stored = PG_ARGISNULL(0) ? NULL : PG_GETARG_HEAPTUPLEHEADER(0);
	Jsonb	   *body = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	TupleDesc	desc = result_desc(fcinfo, COLUMNS);
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS];
	Cells		traits;
	Cells		numbers;
	Reader		reader;

	for (int i = 0; i < PROBLEMS; i++)
	{
		nulls[i] = true;
		if (stored != NULL)
			values[i] = GetAttributeByName(stored, columns[i], &nulls[i]);
	}
	open_cells(&traits, stored, "traits", INT2OID, sizeof(int16), TYPALIGN_SHORT);
	open_cells(&numbers, stored, "numbers", INT2OID, sizeof(int16), TYPALIGN_SHORT);

	if (start(&reader, body, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2)))
	{
		JsonbIterator *it = JsonbIteratorInit(&body->root);
		JsonbValue	key;
		JsonbValue	value;

		while (next_member(&it, &key, &value))
		{
			Datum		given = 0;
			int			column;

			if (is_key(&key, "attributes"))
			{
				read_attributes(&reader, &value, &traits, &numbers);
				continue;
			}
			if (is_key(&key, "paused"))
			{
				if (value.type != jbvBool)
					problem(&reader, "wrong_type", "paused is true or false.");
				else
				{
					values[PAUSED] = BoolGetDatum(value.val.boolean);
					nulls[PAUSED] = false;
				}
				continue;
			}
			if (is_key(&key, "display_name"))
			{
				column = NAME;
				if (value.type != jbvNull)
					given = PointerGetDatum(read_text(&reader, "display_name", &value, MAX_NAME, false, false));
			}
			else if (is_key(&key, "about"))
			{
				column = ABOUT;
				if (value.type != jbvNull)
					given = PointerGetDatum(read_text(&reader, "about", &value, MAX_ABOUT, true, true));
			}
			else if (is_key(&key, "tags"))
			{
				column = TAGS;
				if (value.type != jbvNull)
					given = read_tags(&reader, &value);
			}
			else if (is_key(&key, "embedding"))
			{
				column = EMBEDDING;
				if (value.type != jbvNull)
					given = read_embedding(&reader, &value);
			}
			else if (is_key(&key, "birth_date"))
			{
				/* 1 January 2000 is 0, so the sign of absence is nulls[]. */
				nulls[BIRTH_DATE] = value.type == jbvNull;
				if (value.type != jbvNull)
					read_birth_date(&reader, &value, &values[BIRTH_DATE]);
				continue;
			}
			else
			{
				problem(&reader, "unknown_field", "%s is not a field of a profile.", quote_string(&key));
				continue;
			}
			values[column] = given;
			nulls[column] = given == 0;
		}
	}

	values[TRAITS] = close_cells(&traits, INT2OID, sizeof(int16), TYPALIGN_SHORT);
	values[NUMBERS] = close_cells(&numbers, INT2OID, sizeof(int16), TYPALIGN_SHORT);
	nulls[TRAITS] = nulls[NUMBERS] = false;
	if (nulls[TAGS])
		values[TAGS] = PointerGetDatum(construct_empty_array(TEXTOID));
	nulls[TAGS] = false;
	if (nulls[PAUSED])
		values[PAUSED] = BoolGetDatum(false);
	nulls[PAUSED] = false;
	values[PROBLEMS] = close_problems(&reader, &nulls[PROBLEMS]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * The options of accepts as a mask, bit 0 for null. False after a problem.
 */
static bool
read_mask(Reader *reader, const JsonbValue *code, const Attribute *attribute, const JsonbValue *value, uint64 *mask)
{
	uint32		given;

	if (!is_array(value))
	{
		problem(reader, "wrong_type", "%s takes an array of options.", quote_string(code));
		return false;
	}
	given = JsonContainerSize(value->val.binary.data);
	if (given < 1 || given > MAX_OPTION + 1)
	{
		problem(reader, "out_of_range", "%s takes 1 to %d options.", quote_string(code), MAX_OPTION + 1);
		return false;
	}
	*mask = 0;
	for (uint32 i = 0; i < given; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(value->val.binary.data, i);
		int			option = 0;

		if (element->type != jbvNull && (option = find_option(reader, code, attribute, element)) == 0)
			return false;
		*mask |= UINT64CONST(1) << option;
	}
	return true;
}

static void
read_accepts(Reader *reader, const JsonbValue *value, Cells *accepts)
{
	JsonbIterator *it = members_of(reader, "accepts", value);
	JsonbValue	code;
	JsonbValue	answer;

	while (next_member(&it, &code, &answer))
	{
		Attribute	attribute;
		uint64		mask;

		if (!find_attribute(reader, &code, &attribute))
			continue;
		if (attribute.slot >= 0)
			problem(reader, "wrong_type", "%s is a number and goes into ranges.", quote_string(&code));
		else if (answer.type == jbvNull)
			clear_cell(accepts, attribute.id);
		else if (read_mask(reader, &code, &attribute, &answer, &mask))
			set_cell(accepts, attribute.id, Int64GetDatum((int64) mask));
	}
}

static void
read_ranges(Reader *reader, const JsonbValue *value, Cells *lowest, Cells *highest, Cells *unset)
{
	JsonbIterator *it = members_of(reader, "ranges", value);
	JsonbValue	code;
	JsonbValue	answer;

	while (next_member(&it, &code, &answer))
	{
		Attribute	attribute;
		int			size;
		int			bound[2];
		JsonbValue *end;

		if (!find_attribute(reader, &code, &attribute))
			continue;
		if (attribute.slot < 0)
		{
			problem(reader, "wrong_type", "%s is a choice and goes into accepts.", quote_string(&code));
			continue;
		}
		if (answer.type == jbvNull)
		{
			clear_cell(lowest, attribute.slot + 1);
			clear_cell(highest, attribute.slot + 1);
			clear_cell(unset, attribute.slot + 1);
			continue;
		}
		size = is_array(&answer) ? (int) JsonContainerSize(answer.val.binary.data) : 0;
		if (size < 2 || size > 3 ||
			(size == 3 && getIthJsonbValueFromContainer(answer.val.binary.data, 2)->type != jbvNull))
		{
			problem(reader, "wrong_type", "ranges takes [lowest, highest] for %s, and null as a third to accept no answer too.",
					quote_string(&code));
			continue;
		}
		bound[0] = 0;
		bound[1] = (int) rint((attribute.maximum - attribute.minimum) / attribute.step);
		for (int i = 0; i < 2; i++)
		{
			end = getIthJsonbValueFromContainer(answer.val.binary.data, i);
			if (end->type != jbvNull)
				bound[i] = number_code(reader, &code, &attribute, end);
		}
		if (bound[0] < 0 || bound[1] < 0)
			continue;
		if (bound[0] > bound[1])
		{
			problem(reader, "out_of_range", "The lowest %s accepted is above the highest.", quote_string(&code));
			continue;
		}
		set_cell(lowest, attribute.slot + 1, Int16GetDatum(bound[0]));
		set_cell(highest, attribute.slot + 1, Int16GetDatum(bound[1]));
		set_cell(unset, attribute.slot + 1, BoolGetDatum(size == 3));
	}
}

static void
read_strengths(Reader *reader, const JsonbValue *value, Cells *strengths)
{
	JsonbIterator *it = members_of(reader, "strengths", value);
	JsonbValue	code;
	JsonbValue	answer;

	while (next_member(&it, &code, &answer))
	{
		Attribute	attribute;

		if (!find_attribute(reader, &code, &attribute))
			continue;
		if (answer.type == jbvNull)
			clear_cell(strengths, attribute.id);
		else if (answer.type != jbvString)
			problem(reader, "wrong_type", "strengths takes a string for %s.", quote_string(&code));
		else if (is_key(&answer, "two_way"))
			set_cell(strengths, attribute.id, Int16GetDatum(STRENGTH_TWO_WAY));
		else if (is_key(&answer, "one_way"))
			set_cell(strengths, attribute.id, Int16GetDatum(STRENGTH_ONE_WAY));
		else if (is_key(&answer, "soft"))
			set_cell(strengths, attribute.id, Int16GetDatum(STRENGTH_SOFT));
		else
			problem(reader, "invalid_value", "A strength is two_way, one_way or soft.");
	}
}

/* Ages [lowest, highest], null for an open end, into two columns. */
static void
read_ages(Reader *reader, const JsonbValue *value, Datum *values, bool *nulls)
{
	int			bound[2] = {reader->minimum_age, MAX_AGE};

	if (value->type == jbvNull)
	{
		nulls[0] = nulls[1] = true;
		return;
	}
	if (!is_array(value) || JsonContainerSize(value->val.binary.data) != 2)
	{
		problem(reader, "wrong_type", "age is [lowest, highest] in years.");
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		JsonbValue *end = getIthJsonbValueFromContainer(value->val.binary.data, i);

		nulls[i] = end->type == jbvNull;
		if (nulls[i])
			continue;
		if (end->type != jbvNumeric)
		{
			problem(reader, "wrong_type", "age is [lowest, highest] in years.");
			return;
		}
		if (!whole_number(end, &bound[i]) || bound[i] < reader->minimum_age || bound[i] > MAX_AGE)
		{
			problem(reader, "out_of_range", "Ages are whole years from %d to %d.", reader->minimum_age, MAX_AGE);
			return;
		}
		values[i] = Int16GetDatum(bound[i]);
	}
	if (bound[0] > bound[1])
		problem(reader, "out_of_range", "The lowest age accepted is above the highest.");
}

/*
 * read_preference(stored preference, body jsonb, rules jsonb): the columns of
 * the preference after the change, and the problems.
 */
Datum
profile_read_preference(PG_FUNCTION_ARGS)
{
	enum
	{
		ENABLED, ACCEPTS, STRENGTHS, NUMBER_MIN, NUMBER_MAX, NUMBER_UNSET, AGE_MIN, AGE_MAX, DISTANCE, PROBLEMS, COLUMNS
	};
	static const char *const columns[] = {"enabled", "accepts", "strengths", "number_min", "number_max",
	"number_unset", "age_min", "age_max", "max_distance_km"};
	HeapTupleHeader stored = PG_ARGISNULL(0) ? NULL : PG_GETARG_HEAPTUPLEHEADER(0);
	Jsonb	   *body = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	TupleDesc	desc = result_desc(fcinfo, COLUMNS);
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS];
	Cells		accepts;
	Cells		strengths;
	Cells		lowest;
	Cells		highest;
	Cells		unset;
	Reader		reader;

	for (int i = 0; i < PROBLEMS; i++)
	{
		nulls[i] = true;
		if (stored != NULL)
			values[i] = GetAttributeByName(stored, columns[i], &nulls[i]);
	}
	open_cells(&accepts, stored, "accepts", INT8OID, sizeof(int64), TYPALIGN_DOUBLE);
	open_cells(&strengths, stored, "strengths", INT2OID, sizeof(int16), TYPALIGN_SHORT);
	open_cells(&lowest, stored, "number_min", INT2OID, sizeof(int16), TYPALIGN_SHORT);
	open_cells(&highest, stored, "number_max", INT2OID, sizeof(int16), TYPALIGN_SHORT);
	open_cells(&unset, stored, "number_unset", BOOLOID, sizeof(bool), TYPALIGN_CHAR);

	if (start(&reader, body, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2)))
	{
		JsonbIterator *it = JsonbIteratorInit(&body->root);
		JsonbValue	key;
		JsonbValue	value;

		while (next_member(&it, &key, &value))
		{
			int			distance;

			if (is_key(&key, "enabled"))
			{
				if (value.type != jbvBool)
					problem(&reader, "wrong_type", "enabled is true or false.");
				else
				{
					values[ENABLED] = BoolGetDatum(value.val.boolean);
					nulls[ENABLED] = false;
				}
			}
			else if (is_key(&key, "accepts"))
				read_accepts(&reader, &value, &accepts);
			else if (is_key(&key, "ranges"))
				read_ranges(&reader, &value, &lowest, &highest, &unset);
			else if (is_key(&key, "strengths"))
				read_strengths(&reader, &value, &strengths);
			else if (is_key(&key, "age"))
				read_ages(&reader, &value, &values[AGE_MIN], &nulls[AGE_MIN]);
			else if (is_key(&key, "max_distance_km"))
			{
				nulls[DISTANCE] = value.type == jbvNull;
				if (value.type == jbvNull)
					continue;
				if (value.type != jbvNumeric)
					problem(&reader, "wrong_type", "max_distance_km is a number.");
				else if (!whole_number(&value, &distance) || distance < 1 || distance > MAX_DISTANCE_KM)
					problem(&reader, "out_of_range", "max_distance_km is a whole number from 1 to %d, or null for everywhere.",
							MAX_DISTANCE_KM);
				else
					values[DISTANCE] = Int32GetDatum(distance);
			}
			else
				problem(&reader, "unknown_field", "%s is not a field of a preference.", quote_string(&key));
		}
	}

	values[ACCEPTS] = close_cells(&accepts, INT8OID, sizeof(int64), TYPALIGN_DOUBLE);
	values[STRENGTHS] = close_cells(&strengths, INT2OID, sizeof(int16), TYPALIGN_SHORT);
	values[NUMBER_MIN] = close_cells(&lowest, INT2OID, sizeof(int16), TYPALIGN_SHORT);
	values[NUMBER_MAX] = close_cells(&highest, INT2OID, sizeof(int16), TYPALIGN_SHORT);
	values[NUMBER_UNSET] = close_cells(&unset, BOOLOID, sizeof(bool), TYPALIGN_CHAR);
	for (int i = ACCEPTS; i <= NUMBER_UNSET; i++)
		nulls[i] = false;
	if (nulls[ENABLED])
		values[ENABLED] = BoolGetDatum(true);
	nulls[ENABLED] = false;
	values[PROBLEMS] = close_problems(&reader, &nulls[PROBLEMS]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* A JSON number, or a string that is one; NaN for anything else. */
static double
lenient_number(Jsonb *json)
{
	JsonbValue	value;
	char	   *string;
	char	   *end;
	double		number;

	if (!JsonbExtractScalar(&json->root, &value))
		return NAN;
	if (value.type == jbvNumeric)
		return number_of(&value);
	if (value.type != jbvString || value.val.string.len == 0)
		return NAN;
	string = pnstrdup(value.val.string.val, value.val.string.len);
	number = strtod(string, &end);
	return *end == '\0' ? number : NAN;
}

/* read_place(latitude jsonb, longitude jsonb, metres integer, margin double precision, current bigint): the cell, or NULL. */
Datum
profile_read_place(PG_FUNCTION_ARGS)
{
	int64		cell;

	for (int i = 0; i < 4; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	cell = profile_grid_cell(lenient_number(PG_GETARG_JSONB_P(0)), lenient_number(PG_GETARG_JSONB_P(1)), PG_GETARG_INT32(2),
							 PG_GETARG_FLOAT8(3), PG_ARGISNULL(4) ? 0 : PG_GETARG_INT64(4));
	if (cell == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(cell);
}

/* read_date(text): the date of yyyy-mm-dd, or NULL. */
Datum
profile_read_date(PG_FUNCTION_ARGS)
{
	text	   *given = PG_GETARG_TEXT_PP(0);
	DateADT		date;

	if (!parse_date(VARDATA_ANY(given), VARSIZE_ANY_EXHDR(given), &date))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(date);
}

/* clean_text(name text, value text, max_characters integer, lines boolean) */
Datum
profile_clean_text_sql(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	text	   *value = PG_GETARG_TEXT_PP(1);
	int			max_characters = PG_GETARG_INT32(2);
	text	   *clean = NULL;

	switch (profile_clean_text(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), max_characters, PG_GETARG_BOOL(3), &clean))
	{
		case PROFILE_TEXT_OK:
			break;
		case PROFILE_TEXT_BLANK:
			core_fail("invalid_value", "%s has nothing to see in it.", name);
		case PROFILE_TEXT_CONTROL:
			core_fail("invalid_value", "%s contains a control character.", name);
		case PROFILE_TEXT_MARKS:
			core_fail("invalid_value", "%s has too many combining marks in a row.", name);
		case PROFILE_TEXT_LONG:
			core_fail("out_of_range", "%s has at most %d characters.", name, max_characters);
	}
	PG_RETURN_TEXT_P(clean);
}
