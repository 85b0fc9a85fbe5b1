/* What rapportd answers itself: health, and the OpenAPI document. */
#include <stdio.h>
#include <string.h>

#include "request.h"

static void
health_live(Request *request)
{
	static const char body[] = "{\"status\":\"live\"}";

	answer_copy(request, 200, "application/json", body, sizeof body - 1);
}

/* Ready: the routes are known, every lane has a connection, and no stop is under way. */
static void
health_ready(Request *request)
{
	Front	   *front = request->front;
	const char *trouble = front->draining ? "the server is stopping" : control_trouble(front->control);
	char	   *body;

	if (trouble == NULL && front->catalog == NULL)
		trouble = "the routes are being loaded";
	if (trouble == NULL && !db_ready(front->db))
		trouble = "the connections to the database are being made";
	if (trouble != NULL)
	{
		answer_problem(request, "unavailable", trouble);
		return;
	}
	body = arena_printf(&request->arena, "{\"status\":\"ready\",\"version\":\"%s\",\"extension\":\"%s\"}",
						RAPPORT_VERSION, front->catalog->version);
	answer_copy(request, 200, "application/json", body, strlen(body));
}

static void
openapi(Request *request)
{
	Catalog    *catalog = request->front->catalog;
	const char *known = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "If-None-Match");

	if (catalog == NULL)
	{
		answer_problem(request, "unavailable", NULL);
		return;
	}
	if (known != NULL && (strcmp(known, "*") == 0 || strstr(known, catalog->openapi_etag) != NULL))
		answer_empty(request, 304);
	else
		answer_copy(request, 200, "application/json", catalog->openapi, catalog->openapi_length);
	MHD_del_response_header(request->response, "Cache-Control", "no-store");
	answer_header(request, "Cache-Control", "no-cache");
	answer_header(request, "ETag", catalog->openapi_etag);
}

static const struct
{
	const char *path;
	void		(*answer) (Request *request);
}			builtins[] = {
	{"/health/live", health_live},
	{"/health/ready", health_ready},
	{"/openapi.json", openapi},
};

/* True when the path is ours: then it is answered, or allowed has its methods. */
bool
builtin_dispatch(Request *request, Buffer *allowed)
{
	for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++)
	{
		if (strlen(builtins[i].path) != request->path_length
			|| memcmp(builtins[i].path, request->path, request->path_length) != 0)
			continue;
		request->pattern = builtins[i].path;
		if (strcmp(request->method, "GET") == 0)
			builtins[i].answer(request);
		else
			buffer_text(allowed, "GET, HEAD");
		return true;
	}
	return false;
}
