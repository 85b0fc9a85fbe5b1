/* From path, query and JSON body to the parameters of a route's statement. */
#ifndef RAPPORTD_PARAMS_H
#define RAPPORTD_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog.h"
#include "text.h"

#define MAX_JSON_DEPTH 32

/* What is wrong with a request. */
typedef struct Refusal
{
	const char *code;
	const char *detail;			/* or NULL */
} Refusal;

extern bool path_split(Arena *arena, const char *path, size_t length, Path *split);
extern const char **params_bind(const Route *route, const Path *path, const char *query,
								const char *body, size_t body_length, size_t extra,
								Arena *arena, Refusal *refusal);

#endif
