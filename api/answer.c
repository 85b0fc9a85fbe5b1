/* Answers: JSON, nothing, or a problem (RFC 9457), with the headers all of them carry. */
#include <string.h>

#include "request.h"

static void
free_result(void *result)
{
	PQclear(result);
}

void
answer_header(Request *request, const char *name, const char *value)
{
	MHD_add_response_header(request->response, name, value);
}

static void
answer(Request *request, unsigned status, const char *type, struct MHD_Response *response, size_t bytes)
{
	request->response = response;
	request->status = status;
	request->bytes = request->head ? 0 : bytes;
	if (type != NULL)
		answer_header(request, "Content-Type", type);
	answer_header(request, "Cache-Control", "no-store");
	answer_header(request, "X-Content-Type-Options", "nosniff");
	answer_header(request, "X-Request-Id", request->id);
	if (request->front->config->cors_origins[0] != '\0')
		answer_header(request, "Vary", "Origin");
	if (request->origin != NULL)
	{
		answer_header(request, "Access-Control-Allow-Origin", request->origin);
		answer_header(request, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After, ETag");
	}
	if (request->last || request->front->draining)
		answer_header(request, "Connection", "close");
}

/* Answers with a column of the first row, which is not copied: the answer takes the result. */
void
answer_result(Request *request, unsigned status, const char *type, PGresult *result, int column)
{
	size_t		length = (size_t) PQgetlength(result, 0, column);

	answer(request, status, type,
		   MHD_create_response_from_buffer_with_free_callback_cls(length, PQgetvalue(result, 0, column), free_result, result),
		   length);
}

void
answer_copy(Request *request, unsigned status, const char *type, const char *body, size_t length)
{
	answer(request, status, type,
		   MHD_create_response_from_buffer(length, (void *) body, MHD_RESPMEM_MUST_COPY), length);
}

void
answer_empty(Request *request, unsigned status)
{
	answer(request, status, NULL, MHD_create_response_from_buffer(0, (void *) "", MHD_RESPMEM_PERSISTENT), 0);
}

/* Answers with a registered error; the detail, a sentence for the client, may be NULL. */
void
answer_problem(Request *request, const char *code, const char *detail)
{
	const ErrorCode *error = catalog_error(request->front->catalog, code);
	Buffer		body = {0};

	if (error == NULL)
		error = catalog_error(NULL, "internal");
	/* The catalogue may be gone when the request is logged. */
	request->code = arena_copy(&request->arena, error->code, strlen(error->code));
	buffer_text(&body, "{\"type\":");
	buffer_json(&body, arena_printf(&request->arena, "urn:rapport:error:%s", error->code));
	buffer_text(&body, ",\"title\":");
	buffer_json(&body, error->title);
	buffer_printf(&body, ",\"status\":%d,\"code\":", error->status);
	buffer_json(&body, error->code);
	if (detail != NULL)
	{
		buffer_text(&body, ",\"detail\":");
		buffer_json(&body, detail);
	}
	if (error->hint != NULL)
	{
		buffer_text(&body, ",\"hint\":");
		buffer_json(&body, error->hint);
	}
	buffer_text(&body, ",\"request_id\":");
	buffer_json(&body, request->id);
	buffer_char(&body, '}');
	answer_copy(request, (unsigned) error->status, "application/problem+json", body.data, body.length);
	buffer_free(&body);
	if (error->status == 401)
		answer_header(request, "WWW-Authenticate",
					  strstr(error->code, "token") != NULL ? "Bearer error=\"invalid_token\"" : "Bearer");
	else if (error->status == 503)
		answer_header(request, "Retry-After", "1");
}
