/*
 * Text form of match_key and match_query. Free of PostgreSQL headers, so that
 * it can be fuzzed.
 */
#include "match/packed.h"
#include "match/score.h"
#include "match/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum FieldType
{
	FIELD_I8,
	FIELD_U8,
	FIELD_NIBBLE,				/* the low half of a byte whose high half stays */
	FIELD_I16,
	FIELD_U16,
	FIELD_I32,
	FIELD_U32,
	FIELD_I64,
	FIELD_HEX8,					/* bytes */
	FIELD_FLOAT,
	FIELD_DOUBLE
} FieldType;

typedef struct Field
{
	const char *name;
	FieldType	type;
	size_t		offset;
	int			count;
} Field;

#define KEY_FIELD(name, type, member, count) {name, type, offsetof(MatchKey, member), count}
#define QUERY_FIELD(name, type, member, count) {name, type, offsetof(MatchQuery, member), count}

/* Order and names are the format: they stay as they are in version 1. */
static const Field key_fields[] = {
	KEY_FIELD("id", FIELD_I64, id, 1),
	KEY_FIELD("mode", FIELD_U8, mode, 1),
	KEY_FIELD("at", FIELD_I32, at, 3),
	KEY_FIELD("reach", FIELD_U32, reach, 1),
	KEY_FIELD("born", FIELD_U16, born, 1),
	KEY_FIELD("age_min", FIELD_U8, age_min, 1),
	KEY_FIELD("age_max", FIELD_U8, age_max, 1),
	KEY_FIELD("active", FIELD_U16, active, 1),
	KEY_FIELD("desirability", FIELD_U8, desirability, 1),
	KEY_FIELD("selectivity", FIELD_U8, selectivity, 1),
	KEY_FIELD("price", FIELD_U8, price, 1),
	KEY_FIELD("quality", FIELD_U8, quality, 1),
	KEY_FIELD("numbers", FIELD_I16, numbers, MATCH_NUMBERS),
	KEY_FIELD("number_min", FIELD_I16, number_min, MATCH_NUMBERS),
	KEY_FIELD("number_max", FIELD_I16, number_max, MATCH_NUMBERS),
	KEY_FIELD("number_unset", FIELD_NIBBLE, head, 1),
	KEY_FIELD("joined", FIELD_U16, joined, 1),
	KEY_FIELD("tags", FIELD_HEX8, tags, MATCH_TAG_BYTES),
	KEY_FIELD("traits", FIELD_HEX8, traits, MATCH_LANES),
	KEY_FIELD("wants", FIELD_HEX8, wants, MATCH_LANES),
	{NULL}
};

static const Field query_fields[] = {
	QUERY_FIELD("today", FIELD_I32, today, 1),
	QUERY_FIELD("continuation", FIELD_U32, continuation, 1),
	QUERY_FIELD("after", FIELD_U8, after, 1),
	QUERY_FIELD("after_cost", FIELD_DOUBLE, after_cost, 1),
	QUERY_FIELD("after_id", FIELD_I64, after_id, 1),
	QUERY_FIELD("active_since", FIELD_U16, active_since, 1),
	QUERY_FIELD("joined_since", FIELD_U16, joined_since, 1),
	QUERY_FIELD("reach", FIELD_U32, reach, 1),
	QUERY_FIELD("order", FIELD_U8, order, 1),
	QUERY_FIELD("buckets", FIELD_U32, buckets, MATCH_BUCKETS),
	QUERY_FIELD("family", FIELD_U8, family, 1),
	QUERY_FIELD("bias", FIELD_DOUBLE, bias, 1),
	QUERY_FIELD("slope", FIELD_DOUBLE, slope, 1),
	QUERY_FIELD("desirability_slope", FIELD_DOUBLE, desirability_slope, 1),
	QUERY_FIELD("selectivity_slope", FIELD_DOUBLE, selectivity_slope, 1),
	QUERY_FIELD("price", FIELD_DOUBLE, price, 1),
	QUERY_FIELD("boost", FIELD_DOUBLE, boost, 1),
	QUERY_FIELD("decay", FIELD_U8, decay, 1),
	QUERY_FIELD("scale_km", FIELD_DOUBLE, scale_km, 1),
	QUERY_FIELD("offset_km", FIELD_DOUBLE, offset_km, 1),
	QUERY_FIELD("at_scale", FIELD_DOUBLE, at_scale, 1),
	QUERY_FIELD("age_scale", FIELD_DOUBLE, age_scale, 1),
	QUERY_FIELD("half_life", FIELD_DOUBLE, half_life, 1),
	QUERY_FIELD("newcomer_days", FIELD_DOUBLE, newcomer_days, 1),
	QUERY_FIELD("weights", FIELD_FLOAT, weights, MATCH_TERMS),
	QUERY_FIELD("number_min", FIELD_I16, number_min, MATCH_NUMBERS),
	QUERY_FIELD("number_max", FIELD_I16, number_max, MATCH_NUMBERS),
	QUERY_FIELD("number_unset", FIELD_NIBBLE, number_unset, 1),
	QUERY_FIELD("soft_number_min", FIELD_I16, soft_number_min, MATCH_NUMBERS),
	QUERY_FIELD("soft_number_max", FIELD_I16, soft_number_max, MATCH_NUMBERS),
	QUERY_FIELD("accept", FIELD_HEX8, accept, MATCH_LANES),
	QUERY_FIELD("soft", FIELD_HEX8, soft, MATCH_LANES),
	QUERY_FIELD("soft_weights", FIELD_FLOAT, soft_weights, MATCH_LANES + MATCH_NUMBERS),
	QUERY_FIELD("asked_tags", FIELD_HEX8, asked_tags, MATCH_TAG_BYTES),
	QUERY_FIELD("shared_min", FIELD_U8, shared_min, 1),
	QUERY_FIELD("tag_count", FIELD_U8, tag_count, 1),
	QUERY_FIELD("tag_bits", FIELD_U8, tag_bits, MATCH_QUERY_TAGS),
	QUERY_FIELD("tag_numbers", FIELD_U8, tag_numbers, MATCH_QUERY_TAGS),
	QUERY_FIELD("tag_weights", FIELD_FLOAT, tag_weights, MATCH_QUERY_TAGS),
	{NULL}
};

/*
 * Writing.
 */

static char *
put_field(char *out, const Field *field, const void *value)
{
	const uint8_t *at = (const uint8_t *) value + field->offset;

	out += sprintf(out, ";%s=", field->name);
	for (int i = 0; i < field->count; i++)
	{
		if (i > 0 && field->type != FIELD_HEX8)
			*out++ = ',';
		switch (field->type)
		{
			case FIELD_I8:
				out += sprintf(out, "%d", ((const int8_t *) at)[i]);
				break;
			case FIELD_U8:
				out += sprintf(out, "%d", at[i]);
				break;
			case FIELD_NIBBLE:
				out += sprintf(out, "%d", at[i] & 0x0F);
				break;
			case FIELD_I16:
				out += sprintf(out, "%d", ((const int16_t *) at)[i]);
				break;
			case FIELD_U16:
				out += sprintf(out, "%d", ((const uint16_t *) at)[i]);
				break;
			case FIELD_I32:
				out += sprintf(out, "%ld", (long) ((const int32_t *) at)[i]);
				break;
			case FIELD_U32:
				out += sprintf(out, "%lu", (unsigned long) ((const uint32_t *) at)[i]);
				break;
			case FIELD_I64:
				out += sprintf(out, "%lld", (long long) ((const int64_t *) at)[i]);
				break;
			case FIELD_HEX8:
				out += sprintf(out, "%02x", at[i]);
				break;
			case FIELD_FLOAT:
				out += sprintf(out, "%.9g", ((const float *) at)[i]);
				break;
			case FIELD_DOUBLE:
				out += sprintf(out, "%.17g", ((const double *) at)[i]);
				break;
		}
	}
	return out;
}

size_t
match_key_format(const MatchKey *key, char *out)
{
	char	   *end = out;

	*end++ = '1';
	for (const Field *field = key_fields; field->name != NULL; field++)
		end = put_field(end, field, key);
	end = put_field(end, &(Field) KEY_FIELD("embedding", FIELD_I8, embedding, match_dimensions(key)), key);
	*end = '\0';
	return end - out;
}

static char *
put_ids(char *out, const int64_t *slots, uint32_t count, int64_t *ids)
{
	uint32_t	size = match_seen_slots(count);
	uint32_t	n = 0;

	for (uint32_t i = 0; i < size; i++)
	{
		if (slots[i] != MATCH_SEEN_FREE)
			ids[n++] = slots[i];
	}
	n = match_sort_ids(ids, n);
	for (uint32_t i = 0; i < n; i++)
		out += sprintf(out, i > 0 ? ",%lld" : "%lld", (long long) ids[i]);
	return out;
}

size_t
match_query_format(const MatchQuery *query, int64_t *ids, char *out)
{
	char	   *end = out;
	const MatchSection *section = match_section(query);

	*end++ = '1';
	for (const Field *field = query_fields; field->name != NULL; field++)
		end = put_field(end, field, query);
	end += sprintf(end, ";key=(");
	end += match_key_format(&query->viewer, end);
	end += sprintf(end, ");seen=");
	end = put_ids(end, query->seen, query->seen_count, ids);
	end += sprintf(end, ";liked=");
	end = put_ids(end, query->seen + match_seen_slots(query->seen_count), query->liked_count, ids);
	if (query->packed_size > 0)
	{
		end += sprintf(end, ";packed=");
		for (uint32_t bucket = 0, i = 0; bucket < MATCH_SEEN_BUCKETS; bucket++)
		{
			if (bucket > 0)
				*end++ = ',';
			for (; i < section->ends[bucket]; i++)
				end += sprintf(end, "%02x", section->data[i]);
		}
	}
	*end = '\0';
	return end - out;
}

/*
 * Reading.
 */

typedef struct Reader
{
	const char *at;
	const char *end;
	const char *wrong;			/* what is wrong, once something is */
} Reader;

static bool
take(Reader *reader, const char *word)
{
	size_t		size = strlen(word);

	if (reader->wrong != NULL)
		return false;
	if ((size_t) (reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
	{
		reader->wrong = "A field is missing, misspelt or out of order.";
		return false;
	}
	reader->at += size;
	return true;
}

static bool
next_is(const Reader *reader, char c)
{
	return reader->wrong == NULL && reader->at < reader->end && *reader->at == c;
}

static int64_t
take_integer(Reader *reader, int64_t min, int64_t max)
{
	bool		negative = false;
	uint64_t	magnitude = 0;
	int			digits = 0;

	if (reader->wrong != NULL)
		return min;
	if (next_is(reader, '-'))
	{
		negative = true;
		reader->at++;
	}
	for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++)
	{
		if (++digits > 19)
			break;
		magnitude = magnitude * 10 + (*reader->at - '0');
	}
	if (digits == 0)
		reader->wrong = "A whole number is expected.";
	else if (digits > 19 ||
			 (negative ? magnitude > (min < 0 ? (uint64_t) -(min + 1) + 1 : 0) : max < 0 || magnitude > (uint64_t) max))
		reader->wrong = "A number is out of range.";
	if (reader->wrong != NULL)
		return min;
	if (!negative)
		return (int64_t) magnitude;
	return magnitude == 0 ? 0 : -(int64_t) (magnitude - 1) - 1;
}

static uint64_t
take_hex(Reader *reader, int digits)
{
	uint64_t	value = 0;

	for (int i = 0; i < digits && reader->wrong == NULL; i++)
	{
		char		c = reader->at < reader->end ? *reader->at : '\0';

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t) (c - 'a' + 10);
		else
		{
			reader->wrong = "Lower-case hexadecimal digits are expected.";
			return 0;
		}
		reader->at++;
	}
	return value;
}

/* A finite decimal number: digits, sign, point and exponent, and nothing else. */
static double
take_double(Reader *reader)
{
	char		digits[40];
	size_t		size = 0;
	char	   *end;
	double		value;

	if (reader->wrong != NULL)
		return 0;
	while (reader->at + size < reader->end && size < sizeof(digits) - 1 &&
		   reader->at[size] != '\0' && strchr("0123456789+-.e", reader->at[size]) != NULL)
	{
		digits[size] = reader->at[size];
		size++;
	}
	digits[size] = '\0';
	value = strtod(digits, &end);
	if (size == 0 || *end != '\0' || !isfinite(value))
	{
		reader->wrong = "A finite number is expected.";
		return 0;
	}
	reader->at += size;
	return value;
}

static void
take_field(Reader *reader, const Field *field, void *value)
{
	uint8_t    *at = (uint8_t *) value + field->offset;

	take(reader, ";");
	take(reader, field->name);
	take(reader, "=");
	for (int i = 0; i < field->count && reader->wrong == NULL; i++)
	{
		if (i > 0 && field->type != FIELD_HEX8)
			take(reader, ",");
		switch (field->type)
		{
			case FIELD_I8:
				((int8_t *) at)[i] = (int8_t) take_integer(reader, INT8_MIN, INT8_MAX);
				break;
			case FIELD_U8:
				at[i] = (uint8_t) take_integer(reader, 0, UINT8_MAX);
				break;
			case FIELD_NIBBLE:
				at[i] = (at[i] & 0xF0) | ((uint8_t) take_integer(reader, 0, 0x0F) & 0x0F);
				break;
			case FIELD_I16:
				((int16_t *) at)[i] = (int16_t) take_integer(reader, INT16_MIN, INT16_MAX);
				break;
			case FIELD_U16:
				((uint16_t *) at)[i] = (uint16_t) take_integer(reader, 0, UINT16_MAX);
				break;
			case FIELD_I32:
				((int32_t *) at)[i] = (int32_t) take_integer(reader, INT32_MIN, INT32_MAX);
				break;
			case FIELD_U32:
				((uint32_t *) at)[i] = (uint32_t) take_integer(reader, 0, UINT32_MAX);
				break;
			case FIELD_I64:
				((int64_t *) at)[i] = take_integer(reader, INT64_MIN, INT64_MAX);
				break;
			case FIELD_HEX8:
				at[i] = (uint8_t) take_hex(reader, 2);
				break;
			case FIELD_FLOAT:
				{
					double		wide = take_double(reader);

					if (fabs(wide) > 1e30)
						reader->wrong = "A number is out of range.";
					else
						((float *) at)[i] = (float) wide;
					break;
				}
			case FIELD_DOUBLE:
				((double *) at)[i] = take_double(reader);
				break;
		}
	}
}

static void
take_key(Reader *reader, MatchKey *key)
{
	int			n = 0;

	memset(key, 0, sizeof(*key));
	key->head = MATCH_KEY;
	take(reader, "1");
	for (const Field *field = key_fields; field->name != NULL; field++)
		take_field(reader, field, key);
	take(reader, ";embedding=");
	while (reader->wrong == NULL && reader->at < reader->end && *reader->at != ')')
	{
		if (n == MATCH_EMBEDDING_MAX)
		{
			reader->wrong = "The embedding is too long.";
			return;
		}
		if (n > 0)
			take(reader, ",");
		key->embedding[n++] = (int8_t) take_integer(reader, -127, 127);
	}
	match_set_size(key, MATCH_KEY_FIXED + n);
	if (reader->wrong == NULL)
		reader->wrong = match_key_check(key);
}

static const char *
finish(Reader *reader)
{
	if (reader->wrong == NULL && reader->at != reader->end)
		reader->wrong = "There is more than one value.";
	return reader->wrong;
}

const char *
match_key_parse(const char *text, size_t size, MatchKey *key)
{
	Reader		reader = {text, text + size, NULL};

	take_key(&reader, key);
	return finish(&reader);
}

/* Ids in ascending order, up to a semicolon or the end. */
static uint32_t
take_ids(Reader *reader, int64_t *ids)
{
	uint32_t	n = 0;

	while (reader->wrong == NULL && reader->at < reader->end && *reader->at != ';')
	{
		int64_t		id;

		if (n > 0)
			take(reader, ",");
		id = take_integer(reader, INT64_MIN + 1, INT64_MAX);
		if (reader->wrong == NULL && n > 0 && id <= ids[n - 1])
			reader->wrong = "The ids are not in ascending order.";
		if (reader->wrong == NULL)
			ids[n++] = id;
	}
	return n;
}

/* The size of the section taken. */
static uint32_t
take_section(Reader *reader, MatchSection *section)
{
	uint32_t	used = 0;

	for (int bucket = 0; bucket < MATCH_SEEN_BUCKETS; bucket++)
	{
		uint32_t	from = used;

		if (bucket > 0)
			take(reader, ",");
		while (reader->wrong == NULL && reader->at < reader->end && *reader->at != ',')
			section->data[used++] = (uint8_t) take_hex(reader, 2);
		section->ends[bucket] = used;
		if (reader->wrong == NULL && used > from)
			reader->wrong = match_pack_check(bucket, section->data + from, used - from, true);
	}
	if (reader->wrong == NULL && used == 0)
		reader->wrong = "There is nothing in the packed buckets.";
	while (used % 8 != 0)
		section->data[used++] = 0;
	return (uint32_t) sizeof(*section) + used;
}

const char *
match_query_parse(const char *text, size_t size, MatchQuery *query, int64_t *ids, uint32_t *n, uint32_t *m,
				  struct MatchSection *section)
{
	Reader		reader = {text, text + size, NULL};

	memset(query, 0, sizeof(*query));
	query->version = MATCH_QUERY_1;
	take(&reader, "1");
	for (const Field *field = query_fields; field->name != NULL; field++)
		take_field(&reader, field, query);
	take(&reader, ";key=(");
	if (reader.wrong == NULL)
		take_key(&reader, &query->viewer);
	take(&reader, ");seen=");
	*n = take_ids(&reader, ids);
	take(&reader, ";liked=");
	*m = take_ids(&reader, ids + *n);
	if (reader.wrong == NULL && reader.at < reader.end)
	{
		take(&reader, ";packed=");
		if (reader.wrong == NULL)
			query->packed_size = take_section(&reader, section);
	}
	if (reader.wrong == NULL)
		reader.wrong = match_query_check(query);
	return finish(&reader);
}

/*
 * Checking.
 */

const char *
match_key_check(const MatchKey *key)
{
	double		norm = 0;

	if (MATCH_KIND(key->head) != MATCH_KEY)
		return "The version is not known.";
	if (key->id == INT64_MIN)
		return "The id is out of range.";
	for (int i = 0; i < 3; i++)
		norm += (double) key->at[i] * key->at[i];
	norm = sqrt(norm);
	if (norm != 0 && fabs(norm - MATCH_UNIT) > 4)
		return "The place is not on the sphere.";
	if (key->reach > (uint32_t) 2 * MATCH_UNIT && key->reach != MATCH_EVERYWHERE)
		return "The reach is out of range.";
	if (key->age_min > key->age_max)
		return "The accepted ages are the wrong way round.";
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		if (key->number_min[i] < MATCH_NUMBER_MIN)
			return "A lower end of a number is out of range.";
	}
	return NULL;
}

static bool
is_between(double value, double min, double max)
{
	return value >= min && value <= max;
}

const char *
match_query_check(const MatchQuery *query)
{
	if (query->version != MATCH_QUERY_1)
		return "The version is not known.";
	if (query->today < -1000000 || query->today > 1000000)
		return "The day is out of range.";
	if (query->continuation & 1)
		return "The first lane continues no other.";
	if (query->after > MATCH_AFTER_COST_ID || !isfinite(query->after_cost))
		return "The cursor is not valid.";
	if (query->decay > MATCH_LINEAR)
		return "The decay is not known.";
	if (!is_between(query->scale_km, 0.001, 100000))
		return "scale_km is not between 0.001 and 100000.";
	if (!is_between(query->offset_km, 0, 100000))
		return "offset_km is not between 0 and 100000.";
	if (!is_between(query->at_scale, 0.001, 0.999))
		return "at_scale is not between 0.001 and 0.999.";
	if (!is_between(query->age_scale, 0.01, 1000))
		return "age_scale_years is not between 0.01 and 1000.";
	if (!is_between(query->half_life, 0.01, 100000))
		return "half_life_days is not between 0.01 and 100000.";
	if (!is_between(query->newcomer_days, 1, 100000))
		return "newcomer_days is not between 1 and 100000.";
	if (query->family > MATCH_RECIPROCAL)
		return "The family is not known.";
	if (!is_between(query->bias, -20, 20))
		return "bias is not between -20 and 20.";
	if (!is_between(query->slope, 0, 100) || !is_between(query->desirability_slope, 0, 100) ||
		!is_between(query->selectivity_slope, 0, 100))
		return "A slope is not between 0 and 100.";
	if (!is_between(query->price, 0, 1))
		return "price is not between 0 and 1.";
	if (!is_between(query->boost, 0, 1))
		return "boost is not between 0 and 1.";
	if (query->order > MATCH_ACTIVE)
		return "The order is not known.";
	if (query->reach > (uint32_t) 2 * MATCH_UNIT && query->reach != MATCH_EVERYWHERE)
		return "The reach is out of range.";
	for (int i = 1; i < MATCH_BUCKETS; i++)
	{
		if (query->buckets[i] != 0 && query->buckets[i] <= query->buckets[i - 1])
			return "The buckets do not rise.";
	}
	if (query->tag_count > MATCH_QUERY_TAGS)
		return "There are too many tags.";
	for (int i = 0; i < MATCH_QUERY_TAGS; i++)
	{
		if (query->tag_bits[i] >= 8 * MATCH_TAG_BYTES)
			return "A tag is out of range.";
		if (!is_between(query->tag_weights[i], 0, 1e6) || (i > 0 && query->tag_weights[i] > query->tag_weights[i - 1]))
			return "The weights of tags are out of range or rise.";
		if (query->tag_weights[i] > 0 && query->tag_weights[i] < 1e-6F)
			return "A weight of a tag is neither 0 nor between 0.000001 and 1000000.";
	}
	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (!is_between(query->weights[i], 0, 1e6) || (query->weights[i] > 0 && query->weights[i] < 1e-6F))
			return "A weight is neither 0 nor between 0.000001 and 1000000.";
	}
	if (query->weights[MATCH_DIVERSITY] > MATCH_DIVERSITY_MAX)
		return "diversity is not between 0 and 0.25.";
	for (int i = 0; i < MATCH_LANES + MATCH_NUMBERS; i++)
	{
		if (!is_between(query->soft_weights[i], 0, 1e6) || (query->soft_weights[i] > 0 && query->soft_weights[i] < 1e-6F))
			return "A soft weight is neither 0 nor between 0.000001 and 1000000.";
	}
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		if (query->number_min[i] < MATCH_NUMBER_MIN || query->soft_number_min[i] < MATCH_NUMBER_MIN)
			return "A lower end of a number is out of range.";
	}
	return NULL;
}
