/* From a whole request to a job for the database, and from its outcome to the answer. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "params.h"
#include "request.h"

#define MAX_TOKEN 2048
#define MAX_KEY 200

static const char *
header(Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* Whether the body may be JSON: application/json, and UTF-8 if it says a charset. */
static bool
is_json(const char *type)
{
	size_t		length;

	if (type == NULL || strncasecmp(type, "application/json", 16) != 0)
		return false;
	type += 16;
	type += strspn(type, " \t");
	if (*type == '\0')
		return true;
	if (*type != ';')
		return false;
	type += 1 + strspn(type + 1, " \t");
	length = strcspn(type, " \t");
	if (type[length + strspn(type + length, " \t")] != '\0')
		return false;
	return (length == 13 && strncasecmp(type, "charset=utf-8", 13) == 0)
		|| (length == 15 && strncasecmp(type, "charset=\"utf-8\"", 15) == 0);
}

/*
 * The bearer token, or NULL without one. False when the header holds something
 * else, or what cannot be a token.
 */
static bool
bearer(const char *value, const char **token)
{
	size_t		length;

	*token = NULL;
	if (value == NULL)
		return true;
	if (strncasecmp(value, "Bearer ", 7) != 0)
		return false;
	value += 7 + strspn(value + 7, " ");
	length = strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=");
	if (length == 0 || length > MAX_TOKEN || value[length] != '\0')
		return false;
	*token = value;
	return true;
}

static bool
valid_key(const char *key)
{
	size_t		length = strlen(key);

	if (length == 0 || length > MAX_KEY)
		return false;
	for (; *key != '\0'; key++)
		if (*key < 0x21 || *key > 0x7e)
			return false;
	return true;
}

/* The error of a refused statement, in terms of the API. The log gets what the client does not. */
static void
answer_refused(Request *request, const PGresult *error)
{
	const char *state = PQresultErrorField(error, PG_DIAG_SQLSTATE);
	const char *code = "internal";
	const char *detail = NULL;

	if (state == NULL)
		state = "";
	if (strncmp(state, "RP", 2) == 0)
	{
		code = PQresultErrorField(error, PG_DIAG_CONSTRAINT_NAME);
		detail = PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL);
		if (code == NULL || catalog_error(request->job.catalog, code) == NULL)
		{
			code = "internal";
			detail = NULL;
		}
	}
	else if (strncmp(state, "22", 2) == 0)
	{
		code = "invalid_value";
		detail = "A value is not valid for its type.";
	}
	else if (strncmp(state, "23", 2) == 0)
		code = "conflict";
	else if (strcmp(state, "42501") == 0)
		code = request->job.token != NULL ? "forbidden" : "authentication_required";
	else if (strcmp(state, "57014") == 0)
		code = "timeout";
	/* A write that meets a standby, or a primary that was made read-only. */
	else if (strcmp(state, "25006") == 0 && !request->job.route->read_only)
		code = "unavailable";
	else if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0
			 || strncmp(state, "53", 2) == 0 || strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0)
		code = "unavailable";
	answer_problem(request, code, detail);

	if (request->status >= 500)
	{
		log_begin(request->status == 500 ? LOG_ERROR : LOG_WARN, "statement failed");
		log_text("request_id", request->id);
		log_text("operation", request->job.route->operation);
		log_text("sqlstate", state);
		log_text("message", PQresultErrorField(error, PG_DIAG_MESSAGE_PRIMARY));
		log_text("context", PQresultErrorField(error, PG_DIAG_CONTEXT));
		log_end();
	}
}

static void
answer_row(Request *request)
{
	PGresult   *result = request->job.result;

	if (result == NULL || PQntuples(result) != 1 || PQnfields(result) != 2)
	{
		log_begin(LOG_ERROR, "a route's statement did not return one row of two columns");
		log_text("request_id", request->id);
		log_text("operation", request->job.route->operation);
		log_end();
		answer_problem(request, "internal", NULL);
	}
	else if (!PQgetisnull(result, 0, 1))
		answer_problem(request, PQgetvalue(result, 0, 1), NULL);
	else if (PQgetisnull(result, 0, 0) || PQgetlength(result, 0, 0) == 0)
		answer_empty(request, 204);
	else
	{
		unsigned	status = (unsigned) request->job.route->success;

		answer_result(request, status == 204 ? 200 : status, "application/json", result, 0);
		return;
	}
	PQclear(result);
}

/* The outcome of a job becomes the answer. */
static void
job_done(Job *job)
{
	Request    *request = (Request *) job;

	switch (job->outcome)
	{
		case JOB_ANSWERED:
			answer_row(request);
			break;
		case JOB_REFUSED:
			answer_refused(request, job->result);
			PQclear(job->result);
			break;
		case JOB_FULL:
		case JOB_EXPIRED:
			answer_problem(request, "unavailable", "Too many requests are waiting.");
			break;
		case JOB_UNAVAILABLE:
			answer_problem(request, "unavailable", NULL);
			break;
		case JOB_LOST:
			answer_problem(request, "unavailable", job->route->read_only ? NULL
						   : "It is not known whether the change was made: send it again with the same Idempotency-Key, or look.");
			break;
	}
	job->result = NULL;
	if (request->waiting)
	{
		request->waiting = false;
		MHD_resume_connection(request->connection);
	}
}

static void
not_allowed(Request *request, Buffer *allowed)
{
	buffer_text(allowed, ", OPTIONS");
	if (strcmp(request->method, "OPTIONS") == 0)
	{
		answer_empty(request, 204);
		if (request->origin != NULL && header(request, "Access-Control-Request-Method") != NULL)
		{
			answer_header(request, "Access-Control-Allow-Methods", allowed->data);
			answer_header(request, "Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, X-Request-Id");
			answer_header(request, "Access-Control-Max-Age", "600");
		}
	}
	else
		answer_problem(request, "method_not_allowed", NULL);
	answer_header(request, "Allow", allowed->data);
}

/* Makes the job of a request that fits its route; answers the request when it does not. */
static bool
prepare_job(Request *request, const Path *path)
{
	Job		   *job = &request->job;
	const char *key = header(request, "Idempotency-Key");
	const char *encoding = header(request, "Content-Encoding");
	const char *body = request->body.length > 0 ? request->body.data : "";
	Refusal		refusal = {0};

	/* Before the body is judged: strangers learn nothing from it. */
	if (!job->route->anonymous)
	{
		if (!bearer(header(request, "Authorization"), &job->token))
		{
			answer_problem(request, "invalid_token", NULL);
			return false;
		}
		if (job->token == NULL)
		{
			answer_problem(request, "authentication_required", NULL);
			return false;
		}
	}
	if (request->body.length > 0
		&& (!is_json(header(request, "Content-Type")) || (encoding != NULL && strcasecmp(encoding, "identity") != 0)))
	{
		answer_problem(request, "unsupported_media_type", NULL);
		return false;
	}
	if (request->body.length > 0 && strcmp(request->method, "GET") == 0)
	{
		answer_problem(request, "bad_request", "GET takes no body.");
		return false;
	}
	if (key != NULL && !valid_key(key))
	{
		answer_problem(request, "invalid_value", "An idempotency key is 1 to 200 visible ASCII characters.");
		return false;
	}
	job->values = params_bind(job->route, path, request->query, body, request->body.length, 2, &request->arena, &refusal);
	if (job->values == NULL)
	{
		answer_problem(request, refusal.code, refusal.detail);
		return false;
	}
	job->nvalues = job->route->nparams;
	job->once = key != NULL && job->route->statement_once != NULL;
	if (job->once)
	{
		job->values[job->nvalues++] = key;
		job->values[job->nvalues++] = arena_printf(&request->arena, "%s %s %s", request->method, request->target, body);
	}
	job->done = job_done;
	return true;
}

/*
 * A request has arrived in full: answers it, or hands it to the database and
 * leaves request->response NULL.
 */
void
request_dispatch(Request *request)
{
	Front	   *front = request->front;
	Buffer		allowed = {0};
	Path		path;

	if (builtin_dispatch(request, &allowed))
	{
		if (request->response == NULL)
			not_allowed(request, &allowed);
	}
	else if (!path_split(&request->arena, request->path, request->path_length, &path))
		answer_problem(request, "bad_request", "The path is not UTF-8 with right percent-encoding.");
	else if (front->catalog == NULL)
		answer_problem(request, "unavailable", NULL);
	else
	{
		request->job.catalog = catalog_share(front->catalog);
		request->job.route = catalog_route(front->catalog, request->method, &path, &allowed);
		if (request->job.route != NULL)
		{
			request->pattern = request->job.route->path;
			if (control_refuses(front->control))
				answer_problem(request, "unavailable", NULL);
			else if (prepare_job(request, &path) && !db_submit(front->db, &request->job))
				job_done(&request->job);
		}
		else if (allowed.length > 0)
			not_allowed(request, &allowed);
		else
			answer_problem(request, "not_found", NULL);
	}
	buffer_free(&allowed);
}
