/*
 * A request of rapportd from its headers to the job for the database, or to the
 * answer. The input is a request as on the wire, with line feeds for ends of
 * line; libmicrohttpd and the database are played here. What goes to the
 * database must be of its parameters' types; what goes to the client must be
 * JSON with harmless headers.
 */
#include "fuzz.h"

/* Their functions are static; all of them together are what is tested. */
#include "dispatch.c"
#include "http.c"

#include <errno.h>
#include <jansson.h>
#include <math.h>

#define MAX_LINES 80

/*
 * The client's side: headers, and what is answered.
 */

static struct
{
	char	   *names[MAX_LINES];
	char	   *values[MAX_LINES];
	int			n;
}			headers;
static char response;			/* its address stands for any */
static int	responses;
static Job *submitted;

const char *
MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key)
{
	for (int i = 0; i < headers.n; i++)
	{
		if (strcasecmp(headers.names[i], key) == 0)
			return headers.values[i];
	}
	return NULL;
}

int
MHD_get_connection_values_n(struct MHD_Connection *connection, enum MHD_ValueKind kind,
							MHD_KeyValueIteratorN iterator, void *context)
{
	for (int i = 0; i < headers.n; i++)
		iterator(context, kind, headers.names[i], strlen(headers.names[i]), headers.values[i], strlen(headers.values[i]));
	return headers.n;
}

static struct MHD_Response *
respond(size_t size, const char *body)
{
	responses++;
	if (size > 0)
	{
		json_t	   *json = json_loadb(body, size, 0, NULL);

		fuzz_check(json_is_object(json));
		json_decref(json);
	}
	return (struct MHD_Response *) &response;
}

struct MHD_Response *
MHD_create_response_from_buffer(size_t size, void *body, enum MHD_ResponseMemoryMode mode)
{
	return respond(size, body);
}

enum MHD_Result
MHD_add_response_header(struct MHD_Response *to, const char *name, const char *value)
{
	fuzz_check(to != NULL && *name != '\0' && strlen(value) < 4096);
	for (const char *c = value; *c != '\0'; c++)
		fuzz_check((unsigned char) *c >= 0x20 && *c != 0x7f);
	return MHD_YES;
}

enum MHD_Result
MHD_del_response_header(struct MHD_Response *from, const char *name, const char *value)
{
	return MHD_YES;
}

void
MHD_destroy_response(struct MHD_Response *gone)
{
	responses--;
}

/*
 * The database's side.
 */

const char *
control_trouble(const Control *control)
{
	return NULL;
}

bool
control_refuses(const Control *control)
{
	return false;
}

bool
db_ready(const Db *db)
{
	return true;
}

static void
check_scalar(const Param *param, const char *text)
{
	char	   *end;

	fuzz_check(utf8_valid(text, strlen(text)));
	switch (param->type)
	{
		case TYPE_INTEGER:
			{
				long long	number;

				errno = 0;
				number = strtoll(text, &end, 10);
				fuzz_check(errno == 0 && end != text && *end == '\0');
				fuzz_check(number >= param->minimum && number <= param->maximum);
				break;
			}
		case TYPE_NUMBER:
			fuzz_check(strspn(text, "0123456789+-.eE") == strlen(text) && strlen(text) > 0);
			fuzz_check(isfinite(strtod(text, &end)) && *end == '\0');
			break;
		case TYPE_BOOLEAN:
			fuzz_check(strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
			break;
		case TYPE_JSON:
			{
				json_t	   *json = json_loads(text, JSON_DECODE_ANY, NULL);

				fuzz_check(json != NULL);
				json_decref(json);
				break;
			}
		case TYPE_TEXT:
			break;
	}
}

/* Reads {"...","..."} as PostgreSQL does. */
static void
check_array(const Param *param, const char *literal)
{
	char	   *element = malloc(strlen(literal) + 1);

	fuzz_check(*literal == '{');
	if (strcmp(literal, "{}") == 0)
	{
		free(element);
		return;
	}
	do
	{
		size_t		n = 0;

		fuzz_check(literal[1] == '"');
		for (literal += 2; *literal != '"'; literal++)
		{
			if (*literal == '\\')
				literal++;
			fuzz_check(*literal != '\0');
			element[n++] = *literal;
		}
		element[n] = '\0';
		check_scalar(param, element);
		literal++;
	} while (*literal == ',');
	fuzz_check(strcmp(literal, "}") == 0);
	free(element);
}

bool
db_submit(Db *db, Job *job)
{
	const Route *route = job->route;
	const Request *request = (const Request *) job;

	fuzz_check(submitted == NULL);
	submitted = job;
	fuzz_check(job->nvalues == route->nparams + (job->once ? 2 : 0));
	fuzz_check(route->anonymous == (job->token == NULL) && !(job->once && route->statement_once == NULL));
	for (int i = 0; i < route->nparams; i++)
	{
		const Param *param = &route->params[i];

		if (job->values[i] == NULL)
		{
			fuzz_check(!param->required);
			continue;
		}
		if (param->type == TYPE_INTEGER && !param->array)
			fuzz_damage((char *) job->values[i] + strlen(job->values[i]));
		if (param->place == IN_WHOLE)
			fuzz_check(strlen(job->values[i]) == request->body.length);
		if (param->array)
			check_array(param, job->values[i]);
		else
			check_scalar(param, job->values[i]);
	}
	if (job->once)
	{
		for (const char *c = job->values[route->nparams]; *c != '\0'; c++)
			fuzz_check(*c > ' ' && *c < 0x7f);
		fuzz_check(utf8_valid(job->values[route->nparams + 1], strlen(job->values[route->nparams + 1])));
	}
	job->outcome = JOB_UNAVAILABLE;
	return false;
}

/*
 * What is served: every type, and every place of a parameter.
 */

static Catalog *
catalog(void)
{
	static const char *const columns[] = {"method", "path", "operation", "role", "lane", "read_only", "timeout_ms",
	"success", "params", "statement", "statement_once"};
	static const char *const routes[][3] = {
		{"GET", "/v1/discover", "[{\"name\":\"mode\",\"in\":\"query\",\"type\":\"text\"},{\"name\":\"page_size\",\"in\":\"query\",\"type\":\"integer\"}]"},
		{"GET", "/v1/things", "[{\"name\":\"a\",\"in\":\"query\",\"type\":\"text[]\"},{\"name\":\"i\",\"in\":\"query\",\"type\":\"smallint[]\"},"
		"{\"name\":\"j\",\"in\":\"query\",\"type\":\"jsonb\"},{\"name\":\"b\",\"in\":\"query\",\"type\":\"boolean\"},{\"name\":\"n\",\"in\":\"query\",\"type\":\"real\"}]"},
		{"POST", "/v1/people/{person_id}/like", "[{\"name\":\"person_id\",\"in\":\"path\",\"type\":\"bigint\",\"required\":true},{\"name\":\"mode\",\"in\":\"body\",\"type\":\"text\"}]"},
		{"PUT", "/v1/things/{id}", "[{\"name\":\"id\",\"in\":\"path\",\"type\":\"text\",\"required\":true},{\"name\":\"t\",\"in\":\"body\",\"type\":\"text[]\"},"
		"{\"name\":\"i\",\"in\":\"body\",\"type\":\"integer\",\"required\":true},{\"name\":\"n\",\"in\":\"body\",\"type\":\"double precision\"},"
		"{\"name\":\"b\",\"in\":\"body\",\"type\":\"boolean\"},{\"name\":\"j\",\"in\":\"body\",\"type\":\"jsonb\"},"
		"{\"name\":\"js\",\"in\":\"body\",\"type\":\"jsonb[]\"},{\"name\":\"is\",\"in\":\"body\",\"type\":\"bigint[]\"}]"},
		{"PATCH", "/v1/me", "[{\"name\":\"body\",\"in\":\"whole\",\"type\":\"jsonb\",\"required\":true}]"},
		{"POST", "/v1/sign-in", "[{\"name\":\"email\",\"in\":\"body\",\"type\":\"text\",\"required\":true},{\"name\":\"password\",\"in\":\"body\",\"type\":\"text\",\"required\":true}]"},
		{"DELETE", "/v1/sessions/current", "[]"},
	};
	static const char *const error_columns[] = {"code", "status", "title", "hint"};
	PGresAttDesc attributes[11] = {0};
	PGresult   *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresult   *errors = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	Catalog    *made;
	char	   *why = NULL;

	for (int i = 0; i < 11; i++)
		attributes[i].name = (char *) columns[i];
	PQsetResultAttrs(rows, 11, attributes);
	for (int i = 0; i < (int) (sizeof routes / sizeof routes[0]); i++)
	{
		const char *cells[] = {routes[i][0], routes[i][1], "an operation", strstr(routes[i][1], "sign") != NULL ? "anon" : "user",
		"write", "f", "1000", "200", routes[i][2], "SELECT", strcmp(routes[i][0], "GET") == 0 ? NULL : "SELECT once"};

		for (int column = 0; column < 11; column++)
			PQsetvalue(rows, i, column, (char *) cells[column], cells[column] != NULL ? (int) strlen(cells[column]) : -1);
	}
	for (int i = 0; i < 4; i++)
		attributes[i].name = (char *) error_columns[i];
	PQsetResultAttrs(errors, 4, attributes);
	made = catalog_make("1", rows, errors, "{}", &why);
	fuzz_check(made != NULL);
	PQclear(rows);
	PQclear(errors);
	return made;
}

/* Cuts the text before the next such character and returns what lies before; NULL at its end. */
static char *
cut(char **text, char at)
{
	char	   *start = *text;
	char	   *end = start != NULL ? strchr(start, at) : NULL;

	*text = end != NULL ? end + 1 : NULL;
	if (end != NULL)
		*end = '\0';
	return start;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char origins[] = "https://a.example, https://b.example";
	static const Config config = {.cors_origins = origins,.max_body = 4096,.max_uri = 1024,.max_headers = 8192};
	static Front front = {.config = &config};
	Client		client = {0};
	Request		request = {.front = &front,.client = &client,.method = "",.id = ""};
	char	   *head = malloc(size + 1);
	char	   *body;
	char	   *rest = head;
	char	   *line;
	const char *method;
	const char *version;

	if (front.catalog == NULL)
	{
		log_threshold("error");
		front.catalog = catalog();
	}
	fuzz_plant(data, size);
	memcpy(head, data, size);
	head[size] = '\0';
	body = strstr(head, "\n\n");
	if (body != NULL)
	{
		body[1] = '\0';
		body += 2;
	}
	line = cut(&rest, '\n');
	method = cut(&line, ' ');
	request.target = cut(&line, ' ');
	version = line;
	headers.n = 0;
	while (headers.n < MAX_LINES && (line = cut(&rest, '\n')) != NULL && *line != '\0')
	{
		headers.names[headers.n] = cut(&line, ':');
		headers.values[headers.n++] = line != NULL ? line + strspn(line, " ") : "";
	}
	submitted = NULL;
	responses = 0;
	if (request.target != NULL && version != NULL)
	{
		look_at_headers(&request, method, version);
		/* In two pieces, as it may come. */
		for (int piece = 0; piece < 2 && request.response == NULL && body != NULL; piece++)
		{
			size_t		length = size - (size_t) (body - head);

			if (piece == 0 ? length / 2 > 0 : length - length / 2 > 0)
				take_body(&request, piece == 0 ? body : body + length / 2, piece == 0 ? length / 2 : length - length / 2);
		}
		if (request.response == NULL && request.oversized)
			answer_problem(&request, "too_large", NULL);
		else if (request.response == NULL)
			request_dispatch(&request);
		fuzz_check(request.response != NULL && responses == 1);
		fuzz_check(request.status == 204 || request.status == 200 || request.status == 304
				   || (request.status >= 400 && request.status <= 503 && request.status != 500));
		fuzz_check((request.code != NULL) == (request.status >= 400));
	}
	catalog_release(request.job.catalog);
	buffer_free(&request.body);
	arena_free(&request.arena);
	free(head);
	return 0;
}
