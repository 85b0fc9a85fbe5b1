/* What the database says about its REST surface: routes, errors, the OpenAPI document. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "catalog.h"

/* Known before any database was seen; the database's own row wins. */
static const ErrorCode own_errors[] = {
	{"authentication_required", 401, "nobody is signed in", "Send \"Authorization: Bearer\" with an access token from sign-in."},
	{"bad_request", 400, "the request cannot be understood", NULL},
	{"conflict", 409, "the change conflicts with what is stored", NULL},
	{"forbidden", 403, "this role may not do that", NULL},
	{"headers_too_large", 431, "the request headers are too large", NULL},
	{"internal", 500, "internal error", "The log has the details under the request id."},
	{"invalid_json", 400, "the body is not valid JSON", "Send one JSON object in UTF-8, without duplicate keys."},
	{"invalid_token", 401, "the access token is not valid", NULL},
	{"invalid_value", 422, "a value is not valid", NULL},
	{"method_not_allowed", 405, "the method is not allowed here", "The Allow header lists the methods of this path."},
	{"missing_field", 422, "a required field is missing", NULL},
	{"not_found", 404, "not found", NULL},
	{"out_of_range", 422, "a value is out of range", NULL},
	{"timeout", 503, "the request took too long", "Try again in a moment."},
	{"too_large", 413, "the request is too large", "Send it in parts."},
	{"unavailable", 503, "the service is not available", "Try again in a moment."},
	{"unknown_field", 422, "a field is not known", NULL},
	{"unsupported_media_type", 415, "the body must be JSON", "Send \"Content-Type: application/json\"."},
	{"uri_too_long", 414, "the address is too long", NULL},
	{"wrong_type", 422, "a field has the wrong type", NULL},
};

static int
compare_errors(const void *a, const void *b)
{
	return strcmp(((const ErrorCode *) a)->code, ((const ErrorCode *) b)->code);
}

/* The registered error of that code; NULL when nobody knows it. The catalog may be NULL. */
const ErrorCode *
catalog_error(const Catalog *catalog, const char *code)
{
	ErrorCode	wanted = {.code = code};
	const ErrorCode *found = NULL;

	if (catalog != NULL && catalog->nerrors > 0)
		found = bsearch(&wanted, catalog->errors, (size_t) catalog->nerrors, sizeof wanted, compare_errors);
	if (found == NULL)
		found = bsearch(&wanted, own_errors, sizeof own_errors / sizeof own_errors[0], sizeof wanted, compare_errors);
	return found;
}

/*
 * Literal segments before parameters, so that /sessions/current is found
 * before /sessions/{session_id}.
 */
static int
compare_routes(const void *a, const void *b)
{
	const Route *left = a;
	const Route *right = b;

	if (left->nsegments != right->nsegments)
		return left->nsegments - right->nsegments;
	for (int i = 0; i < left->nsegments; i++)
	{
		const Segment *l = &left->segments[i];
		const Segment *r = &right->segments[i];
		int			order;

		if (l->param != r->param)
			return l->param ? 1 : -1;
		order = l->param ? 0 : strcmp(l->text, r->text);
		if (order != 0)
			return order;
	}
	return strcmp(left->method, right->method);
}

static const char *
copy_cell(Catalog *catalog, const PGresult *rows, int row, int column)
{
	const char *value = PQgetvalue(rows, row, column);

	if (PQgetisnull(rows, row, column))
		return NULL;
	return arena_copy(&catalog->arena, value, strlen(value));
}

/* Splits "/v1/people/{person_id}" into segments; false when it is no such pattern. */
static bool
split_pattern(Catalog *catalog, Route *route)
{
	const char *at = route->path;

	route->segments = arena_alloc(&catalog->arena, MAX_SEGMENTS * sizeof(Segment));
	while (*at == '/')
	{
		size_t		length = strcspn(++at, "/");
		bool		param = length > 2 && at[0] == '{' && at[length - 1] == '}';
		Segment    *segment = &route->segments[route->nsegments];

		if (route->nsegments == MAX_SEGMENTS || length == 0)
			return false;
		segment->param = param;
		segment->text = param ? arena_copy(&catalog->arena, at + 1, length - 2)
			: arena_copy(&catalog->arena, at, length);
		route->nsegments++;
		at += length;
	}
	return route->nsegments > 0 && *at == '\0';
}

static void
set_type(Param *param, const char *type)
{
	static const struct
	{
		const char *name;
		ParamType	type;
		int64_t		minimum;
		int64_t		maximum;
	}			types[] = {
		{"smallint", TYPE_INTEGER, INT16_MIN, INT16_MAX},
		{"integer", TYPE_INTEGER, INT32_MIN, INT32_MAX},
		{"bigint", TYPE_INTEGER, INT64_MIN, INT64_MAX},
		{"real", TYPE_NUMBER, 0, 0},
		{"double precision", TYPE_NUMBER, 0, 0},
		{"numeric", TYPE_NUMBER, 0, 0},
		{"boolean", TYPE_BOOLEAN, 0, 0},
		{"json", TYPE_JSON, 0, 0},
		{"jsonb", TYPE_JSON, 0, 0},
	};
	size_t		length = strlen(type);

	param->array = length > 2 && strcmp(type + length - 2, "[]") == 0;
	if (param->array)
		length -= 2;
	param->type = TYPE_TEXT;
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
	{
		if (strlen(types[i].name) != length || strncmp(types[i].name, type, length) != 0)
			continue;
		param->type = types[i].type;
		param->minimum = types[i].minimum;
		param->maximum = types[i].maximum;
	}
}

/* Reads the JSON list of a route's parameters; false when it is not as agreed. */
static bool
read_params(Catalog *catalog, Route *route, const char *text)
{
	json_t	   *list = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	bool		fits = json_is_array(list);

	route->nparams = fits ? (int) json_array_size(list) : 0;
	route->params = arena_alloc(&catalog->arena, ((size_t) route->nparams + 1) * sizeof(Param));
	memset(route->params, 0, ((size_t) route->nparams + 1) * sizeof(Param));
	for (int i = 0; fits && i < route->nparams; i++)
	{
		Param	   *param = &route->params[i];
		json_t	   *item = json_array_get(list, (size_t) i);
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *place = json_string_value(json_object_get(item, "in"));
		const char *type = json_string_value(json_object_get(item, "type"));

		fits = name != NULL && place != NULL && type != NULL;
		if (!fits)
			break;
		param->name = arena_copy(&catalog->arena, name, strlen(name));
		param->required = json_is_true(json_object_get(item, "required"));
		param->segment = -1;
		set_type(param, type);
		if (strcmp(place, "path") == 0)
		{
			param->place = IN_PATH;
			for (int s = 0; s < route->nsegments; s++)
				if (route->segments[s].param && strcmp(route->segments[s].text, name) == 0)
					param->segment = s;
			fits = param->segment >= 0;
		}
		else if (strcmp(place, "query") == 0)
			param->place = IN_QUERY;
		else if (strcmp(place, "body") == 0)
			param->place = IN_BODY;
		else if (strcmp(place, "whole") == 0)
		{
			param->place = IN_WHOLE;
			route->takes_whole = true;
		}
		else
			fits = false;
	}
	json_decref(list);
	return fits;
}

static uint64_t
hash_rows(uint64_t hash, const PGresult *rows)
{
	for (int row = 0; row < PQntuples(rows); row++)
		for (int column = 0; column < PQnfields(rows); column++)
			hash = hash_bytes(hash, PQgetvalue(rows, row, column), (size_t) PQgetlength(rows, row, column) + 1);
	return hash;
}

static bool
read_route(Catalog *catalog, Route *route, const PGresult *rows, int row, const int *columns)
{
	const char *role = PQgetvalue(rows, row, columns[3]);
	const char *lane = PQgetvalue(rows, row, columns[4]);

	route->method = copy_cell(catalog, rows, row, columns[0]);
	route->path = copy_cell(catalog, rows, row, columns[1]);
	route->operation = copy_cell(catalog, rows, row, columns[2]);
	route->anonymous = strcmp(role, "anon") == 0;
	route->lane = strcmp(lane, "read") == 0 ? LANE_READ : strcmp(lane, "heavy") == 0 ? LANE_HEAVY : LANE_WRITE;
	route->read_only = PQgetvalue(rows, row, columns[5])[0] == 't';
	route->timeout_ms = copy_cell(catalog, rows, row, columns[6]);
	route->timeout = route->timeout_ms != NULL ? atoi(route->timeout_ms) : 0;
	route->success = atoi(PQgetvalue(rows, row, columns[7]));
	route->statement = copy_cell(catalog, rows, row, columns[9]);
	route->statement_once = copy_cell(catalog, rows, row, columns[10]);
	return route->method != NULL && route->path != NULL && route->statement != NULL && route->timeout > 0
		&& route->success >= 200 && route->success <= 299
		&& split_pattern(catalog, route)
		&& read_params(catalog, route, PQgetvalue(rows, row, columns[8]));
}

/*
 * Makes a catalogue, with one reference, from rapport.routes(),
 * rapport.error_codes() and rapport.openapi(). NULL when they are not as
 * agreed; *why, to be freed, then says what.
 */
Catalog *
catalog_make(const char *version, const PGresult *routes, const PGresult *errors, const char *openapi, char **why)
{
	static const char *const names[] = {"method", "path", "operation", "role", "lane", "read_only", "timeout_ms",
	"success", "params", "statement", "statement_once"};
	static const char *const error_names[] = {"code", "status", "title", "hint"};
	static unsigned generation = 0;
	int			columns[sizeof names / sizeof names[0]];
	int			error_columns[sizeof error_names / sizeof error_names[0]];
	Catalog    *catalog = checked_calloc(1, sizeof *catalog);
	Buffer		text = {0};

	catalog->references = 1;
	catalog->generation = ++generation;
	catalog->version = arena_copy(&catalog->arena, version, strlen(version));
	catalog->hash = hash_rows(hash_rows(hash_bytes(HASH_SEED, version, strlen(version)), routes), errors);
	catalog->openapi_length = strlen(openapi);
	catalog->openapi = arena_copy(&catalog->arena, openapi, catalog->openapi_length);
	catalog->hash = hash_bytes(catalog->hash, openapi, catalog->openapi_length);
	catalog->openapi_etag = arena_printf(&catalog->arena, "\"%016llx\"",
										 (unsigned long long) hash_bytes(HASH_SEED, openapi, catalog->openapi_length));

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
	{
		columns[i] = PQfnumber(routes, names[i]);
		if (columns[i] < 0)
		{
			buffer_printf(&text, "rapport.routes() has no column %s", names[i]);
			goto refuse;
		}
	}
	for (size_t i = 0; i < sizeof error_names / sizeof error_names[0]; i++)
	{
		error_columns[i] = PQfnumber(errors, error_names[i]);
		if (error_columns[i] < 0)
		{
			buffer_printf(&text, "rapport.error_codes() has no column %s", error_names[i]);
			goto refuse;
		}
	}

	catalog->nroutes = PQntuples(routes);
	catalog->routes = checked_calloc((size_t) catalog->nroutes + 1, sizeof(Route));
	for (int row = 0; row < catalog->nroutes; row++)
	{
		if (!read_route(catalog, &catalog->routes[row], routes, row, columns))
		{
			buffer_printf(&text, "the route %s %s cannot be served",
						  PQgetvalue(routes, row, columns[0]), PQgetvalue(routes, row, columns[1]));
			goto refuse;
		}
	}
	qsort(catalog->routes, (size_t) catalog->nroutes, sizeof(Route), compare_routes);
	for (int i = 0; i < catalog->nroutes; i++)
		catalog->routes[i].index = i;

	catalog->nerrors = PQntuples(errors);
	catalog->errors = checked_calloc((size_t) catalog->nerrors + 1, sizeof(ErrorCode));
	for (int row = 0; row < catalog->nerrors; row++)
	{
		ErrorCode  *error = &catalog->errors[row];

		error->code = copy_cell(catalog, errors, row, error_columns[0]);
		error->status = atoi(PQgetvalue(errors, row, error_columns[1]));
		error->title = copy_cell(catalog, errors, row, error_columns[2]);
		error->hint = copy_cell(catalog, errors, row, error_columns[3]);
		if (error->code == NULL || error->title == NULL || error->status < 400 || error->status > 599)
		{
			buffer_printf(&text, "row %d of rapport.error_codes() is not right", row + 1);
			goto refuse;
		}
	}
	qsort(catalog->errors, (size_t) catalog->nerrors, sizeof(ErrorCode), compare_errors);
	return catalog;

refuse:
	*why = text.data;
	catalog_release(catalog);
	return NULL;
}

Catalog *
catalog_share(Catalog *catalog)
{
	if (catalog != NULL)
		catalog->references++;
	return catalog;
}

void
catalog_release(Catalog *catalog)
{
	if (catalog == NULL || --catalog->references > 0)
		return;
	free(catalog->routes);
	free(catalog->errors);
	arena_free(&catalog->arena);
	free(catalog);
}

static bool
path_fits(const Route *route, const Path *path)
{
	if (route->nsegments != path->nsegments)
		return false;
	for (int i = 0; i < path->nsegments; i++)
	{
		if (route->segments[i].param ? path->segments[i][0] == '\0'
			: strcmp(route->segments[i].text, path->segments[i]) != 0)
			return false;
	}
	return true;
}

/*
 * The route of a method and path; NULL when there is none. Then allowed lists
 * the methods the path has, by commas; it stays empty when it has none.
 */
const Route *
catalog_route(const Catalog *catalog, const char *method, const Path *path, Buffer *allowed)
{
	for (int i = 0; i < catalog->nroutes; i++)
		if (strcmp(catalog->routes[i].method, method) == 0 && path_fits(&catalog->routes[i], path))
			return &catalog->routes[i];
	for (int i = 0; i < catalog->nroutes; i++)
	{
		const char *other = catalog->routes[i].method;

		if (!path_fits(&catalog->routes[i], path) || (allowed->length > 0 && strstr(allowed->data, other) != NULL))
			continue;
		buffer_printf(allowed, "%s%s", allowed->length > 0 ? ", " : "", other);
		if (strcmp(other, "GET") == 0)
			buffer_text(allowed, ", HEAD");
	}
	return NULL;
}
