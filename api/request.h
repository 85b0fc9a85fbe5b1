/* One HTTP request, from its first line to its last byte. */
#ifndef RAPPORTD_REQUEST_H
#define RAPPORTD_REQUEST_H

#include "http.h"
#include "mhd.h"
#include "text.h"

typedef struct Client Client;

struct Request
{
	Job			job;			/* first: done() casts */
	Front	   *front;
	struct MHD_Connection *connection;
	Client	   *client;
	Arena		arena;
	const char *target;			/* as it came */
	const char *path;			/* of the target, path_length bytes */
	size_t		path_length;
	const char *query;			/* or NULL */
	const char *method;			/* GET for HEAD */
	bool		head;
	bool		begun;			/* headers were looked at */
	bool		oversized;		/* the body is read and dropped */
	bool		waiting;		/* suspended until the database answers */
	bool		finished;		/* an answer is queued */
	bool		last;			/* close the connection after the answer */
	const char *id;
	const char *origin;			/* allowed by CORS, or NULL */
	Buffer		body;
	size_t		dropped;		/* bytes of an oversized body */
	const char *pattern;		/* of the path, for the log */
	struct MHD_Response *response;
	unsigned	status;
	const char *code;			/* of the error answered, or NULL */
	size_t		bytes;
	int64_t		started_us;
};

/* answer.c */
extern void answer_result(Request *request, unsigned status, const char *type, PGresult *result, int column);
extern void answer_copy(Request *request, unsigned status, const char *type, const char *body, size_t length);
extern void answer_empty(Request *request, unsigned status);
extern void answer_problem(Request *request, const char *code, const char *detail);
extern void answer_header(Request *request, const char *name, const char *value);

/* dispatch.c */
extern void request_dispatch(Request *request);

/* builtin.c */
extern bool builtin_dispatch(Request *request, Buffer *allowed);

#endif
