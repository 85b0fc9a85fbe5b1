/* From path, query and JSON body to the parameters of a route's statement. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "params.h"

#define NAME_SHOWN 60			/* bytes of a client's own name that an answer repeats */

static const char *const type_names[] = {"a string", "an integer", "a number", "true or false", "JSON"};

static bool
refuse(Refusal *refusal, const char *code, const char *detail)
{
	refusal->code = code;
	refusal->detail = detail;
	return false;
}

/* A name that came from the client, cut to what an answer should repeat. */
static const char *
shown(Arena *arena, const char *name)
{
	size_t		length = strlen(name);

	if (length <= NAME_SHOWN)
		return name;
	length = NAME_SHOWN;
	while (length > 0 && ((unsigned char) name[length] & 0xc0) == 0x80)
		length--;
	return arena_printf(arena, "%.*s...", (int) length, name);
}

/*
 * Splits a path into decoded segments; an escaped slash stays inside its
 * segment. False when it is not one a client could mean.
 */
bool
path_split(Arena *arena, const char *path, size_t length, Path *split)
{
	const char *end = path + length;

	split->nsegments = 0;
	while (path < end && *path == '/')
	{
		const char *start = ++path;
		char	   *segment;

		while (path < end && *path != '/')
			path++;
		segment = percent_decode(arena, start, (size_t) (path - start), false);
		if (segment == NULL)
			return false;
		if (split->nsegments == MAX_SEGMENTS)
		{
			/* Deeper than any route: found nowhere. */
			split->nsegments = 0;
			return true;
		}
		split->segments[split->nsegments++] = segment;
	}
	return true;
}

static bool
wrong_type(const Param *param, Arena *arena, Refusal *refusal)
{
	return refuse(refusal, "wrong_type", arena_printf(arena, "%s must be %s%s.", param->name,
													  param->array ? "an array, each element " : "", type_names[param->type]));
}

static bool
out_of_range(const Param *param, Arena *arena, Refusal *refusal)
{
	return refuse(refusal, "out_of_range", arena_printf(arena, "%s is out of the range of its type.", param->name));
}

/* A number as JSON writes it, which PostgreSQL reads as well. */
static bool
json_number_syntax(const char *text, bool integer)
{
	if (*text == '-')
		text++;
	if (*text < '0' || *text > '9')
		return false;
	text += strspn(text, "0123456789");
	if (integer)
		return *text == '\0';
	if (*text == '.')
	{
		if (strspn(++text, "0123456789") == 0)
			return false;
		text += strspn(text, "0123456789");
	}
	if (*text == 'e' || *text == 'E')
	{
		text++;
		if (*text == '+' || *text == '-')
			text++;
		if (strspn(text, "0123456789") == 0)
			return false;
		text += strspn(text, "0123456789");
	}
	return *text == '\0';
}

/* Checks a value from the path or the query, where everything is text. */
static bool
check_text(const Param *param, const char *text, Arena *arena, Refusal *refusal)
{
	long long	number;

	switch (param->type)
	{
		case TYPE_INTEGER:
			if (!json_number_syntax(text, true))
				return wrong_type(param, arena, refusal);
			errno = 0;
			number = strtoll(text, NULL, 10);
			if (errno != 0 || number < param->minimum || number > param->maximum)
				return out_of_range(param, arena, refusal);
			return true;
		case TYPE_NUMBER:
			if (!json_number_syntax(text, false))
				return wrong_type(param, arena, refusal);
			if (!isfinite(strtod(text, NULL)))
				return out_of_range(param, arena, refusal);
			return true;
		case TYPE_BOOLEAN:
			if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
				return wrong_type(param, arena, refusal);
			return true;
		case TYPE_JSON:
			{
				json_t	   *value = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

				json_decref(value);
				return value != NULL ? true : wrong_type(param, arena, refusal);
			}
		case TYPE_TEXT:
			break;
	}
	return true;
}

/* An element of an array literal: always quoted. */
static void
add_element(Buffer *literal, const char *text)
{
	buffer_text(literal, literal->length == 0 ? "{\"" : ",\"");
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			buffer_char(literal, '\\');
		buffer_char(literal, *text);
	}
	buffer_char(literal, '"');
}

static const char *
end_array(Buffer *literal, Arena *arena)
{
	const char *text;

	buffer_text(literal, literal->length == 0 ? "{}" : "}");
	text = arena_copy(arena, literal->data, literal->length);
	buffer_free(literal);
	return text;
}

/* The text of one JSON value that is not null; NULL, with a refusal, when it does not fit. */
static const char *
scalar(const Param *param, const json_t *value, Arena *arena, Refusal *refusal)
{
	char	   *dumped;
	const char *text;

	switch (param->type)
	{
		case TYPE_INTEGER:
			if (!json_is_integer(value))
				break;
			if (json_integer_value(value) < param->minimum || json_integer_value(value) > param->maximum)
			{
				out_of_range(param, arena, refusal);
				return NULL;
			}
			return arena_printf(arena, "%lld", (long long) json_integer_value(value));
		case TYPE_NUMBER:
			if (json_is_integer(value))
				return arena_printf(arena, "%lld", (long long) json_integer_value(value));
			if (json_is_real(value))
				return arena_printf(arena, "%.17g", json_real_value(value));
			break;
		case TYPE_BOOLEAN:
			if (json_is_boolean(value))
				return json_is_true(value) ? "true" : "false";
			break;
		case TYPE_JSON:
			dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
			if (dumped == NULL)
				break;
			text = arena_copy(arena, dumped, strlen(dumped));
			free(dumped);
			return text;
		case TYPE_TEXT:
			if (json_is_string(value))
				return arena_copy(arena, json_string_value(value), json_string_length(value));
			break;
	}
	wrong_type(param, arena, refusal);
	return NULL;
}

static const char *
from_json(const Param *param, const json_t *value, Arena *arena, Refusal *refusal)
{
	Buffer		literal = {0};

	if (!param->array)
		return scalar(param, value, arena, refusal);
	if (!json_is_array(value))
	{
		wrong_type(param, arena, refusal);
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const char *element = scalar(param, json_array_get(value, i), arena, refusal);

		if (element == NULL)
		{
			buffer_free(&literal);
			return NULL;
		}
		add_element(&literal, element);
	}
	return end_array(&literal, arena);
}

/* Nesting of arrays and objects, counted before the recursive parser sees the text. */
static bool
too_deep(const char *body, size_t length)
{
	int			depth = 0;
	bool		in_string = false;

	for (size_t i = 0; i < length; i++)
	{
		char		c = body[i];

		if (in_string)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > MAX_JSON_DEPTH)
				return true;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return false;
}

/* The body as a JSON object, to be released; NULL with a refusal when it is none. */
static json_t *
parse_body(const char *body, size_t length, Arena *arena, Refusal *refusal)
{
	json_error_t error;
	json_t	   *json;

	if (length == 0)
		return json_object();
	if (too_deep(body, length))
	{
		refuse(refusal, "invalid_json", arena_printf(arena, "It is nested deeper than %d.", MAX_JSON_DEPTH));
		return NULL;
	}
	json = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (json == NULL)
	{
		switch (json_error_code(&error))
		{
			case json_error_numeric_overflow:
				refuse(refusal, "out_of_range", arena_printf(arena, "A number before byte %d is too large.", error.position));
				break;
			case json_error_null_character:
			case json_error_null_byte_in_key:
				refuse(refusal, "invalid_value", "A string contains the character U+0000.");
				break;
			case json_error_duplicate_key:
				refuse(refusal, "invalid_json", "An object has two members of the same name.");
				break;
			case json_error_invalid_utf8:
				refuse(refusal, "invalid_json", "It is not UTF-8.");
				break;
			default:
				refuse(refusal, "invalid_json", arena_printf(arena, "It stops being JSON at line %d, column %d.", error.line, error.column));
				break;
		}
		return NULL;
	}
	if (!json_is_object(json))
	{
		json_decref(json);
		refuse(refusal, "wrong_type", "The body must be a JSON object.");
		return NULL;
	}
	return json;
}

static const Param *
find_param(const Route *route, ParamPlace place, const char *name, int *position)
{
	for (int i = 0; i < route->nparams; i++)
	{
		if (route->params[i].place == place && strcmp(route->params[i].name, name) == 0)
		{
			*position = i;
			return &route->params[i];
		}
	}
	return NULL;
}

static bool
bind_path(const Route *route, const Path *path, const char **values, Arena *arena, Refusal *refusal)
{
	for (int i = 0; i < route->nparams; i++)
	{
		const Param *param = &route->params[i];

		if (param->place != IN_PATH)
			continue;
		values[i] = path->segments[param->segment];
		if (!check_text(param, values[i], arena, refusal))
			return false;
	}
	return true;
}

static bool
bind_query(const Route *route, const char *query, const char **values, Arena *arena, Refusal *refusal)
{
	Buffer	   *arrays = arena_alloc(arena, ((size_t) route->nparams + 1) * sizeof(Buffer));
	bool		fits = true;

	memset(arrays, 0, ((size_t) route->nparams + 1) * sizeof(Buffer));
	while (fits && query != NULL && *query != '\0')
	{
		size_t		length = strcspn(query, "&");
		const char *equals = memchr(query, '=', length);
		size_t		name_length = equals != NULL ? (size_t) (equals - query) : length;
		char	   *name;
		char	   *value;
		const Param *param;
		int			position;

		if (length == 0)
		{
			query++;
			continue;
		}
		name = percent_decode(arena, query, name_length, true);
		value = equals != NULL ? percent_decode(arena, equals + 1, length - name_length - 1, true) : arena_copy(arena, "", 0);
		query += length + (query[length] == '&');
		if (name == NULL || value == NULL)
		{
			fits = refuse(refusal, "bad_request", "The query is not UTF-8 with right percent-encoding.");
			break;
		}
		param = find_param(route, IN_QUERY, name, &position);
		if (param == NULL)
			fits = refuse(refusal, "unknown_field", arena_printf(arena, "There is no query parameter \"%s\".", shown(arena, name)));
		else if (!param->array && values[position] != NULL)
			fits = refuse(refusal, "invalid_value", arena_printf(arena, "%s is given twice.", param->name));
		else
		{
			fits = check_text(param, value, arena, refusal);
			if (fits && param->array)
				add_element(&arrays[position], value);
			else
				values[position] = value;
		}
	}
	for (int i = 0; i < route->nparams; i++)
	{
		if (arrays[i].length == 0)
			continue;
		values[i] = end_array(&arrays[i], arena);
	}
	return fits;
}

static bool
bind_body(const Route *route, const char *body, size_t length, const char **values, Arena *arena, Refusal *refusal)
{
	json_t	   *json = parse_body(body, length, arena, refusal);
	const char *name;
	json_t	   *value;
	bool		fits = json != NULL;

	if (fits && route->takes_whole)
	{
		/* As it came: numbers keep their digits, the database reads it itself. */
		for (int i = 0; i < route->nparams; i++)
		{
			if (route->params[i].place != IN_WHOLE)
				continue;
			if (length > 0)
				values[i] = body;
			else if (route->params[i].required)
				fits = refuse(refusal, "invalid_json", "The body is empty.");
		}
		json_decref(json);
		return fits;
	}
	if (fits)
	{
		json_object_foreach(json, name, value)
		{
			int			position;
			const Param *param = find_param(route, IN_BODY, name, &position);

			if (param == NULL)
				fits = refuse(refusal, "unknown_field", arena_printf(arena, "There is no field \"%s\".", shown(arena, name)));
			else if (!json_is_null(value))
			{
				values[position] = from_json(param, value, arena, refusal);
				fits = values[position] != NULL;
			}
			if (!fits)
				break;
		}
	}
	json_decref(json);
	return fits;
}

/*
 * The values of the statement's parameters, in order, as text; NULL stands for
 * NULL. There is room for extra more. Returns NULL, with a refusal, when the
 * request does not fit the route. The body must end in a NUL.
 */
const char **
params_bind(const Route *route, const Path *path, const char *query, const char *body, size_t body_length,
			size_t extra, Arena *arena, Refusal *refusal)
{
	size_t		count = (size_t) route->nparams + extra + 1;
	const char **values = arena_alloc(arena, count * sizeof(char *));

	memset(values, 0, count * sizeof(char *));
	if (!bind_path(route, path, values, arena, refusal)
		|| !bind_query(route, query, values, arena, refusal)
		|| !bind_body(route, body, body_length, values, arena, refusal))
		return NULL;
	for (int i = 0; i < route->nparams; i++)
	{
		if (route->params[i].required && values[i] == NULL)
		{
			refuse(refusal, "missing_field", arena_printf(arena, "%s is missing.", route->params[i].name));
			return NULL;
		}
	}
	return values;
}
