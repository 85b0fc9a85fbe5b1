/*
 * What the database says about its REST surface: routes, errors, the OpenAPI
 * document. Immutable once loaded; shared by reference count, so that requests
 * under way keep theirs when a new one is swapped in.
 */
#ifndef RAPPORTD_CATALOG_H
#define RAPPORTD_CATALOG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "text.h"

typedef enum LaneKind
{
	LANE_READ,
	LANE_WRITE,
	LANE_HEAVY,
	LANES
} LaneKind;

typedef enum ParamPlace
{
	IN_PATH,
	IN_QUERY,
	IN_BODY,
	IN_WHOLE					/* the body as it came */
} ParamPlace;

typedef enum ParamType
{
	TYPE_TEXT,					/* and all types whose input is left to the database */
	TYPE_INTEGER,				/* of minimum .. maximum */
	TYPE_NUMBER,
	TYPE_BOOLEAN,
	TYPE_JSON
} ParamType;

typedef struct Param
{
	const char *name;
	ParamPlace	place;
	ParamType	type;
	bool		array;
	bool		required;
	int64_t		minimum;
	int64_t		maximum;
	int			segment;		/* of the path, for IN_PATH */
} Param;

typedef struct Segment
{
	const char *text;			/* literal, or the name of the parameter */
	bool		param;
} Segment;

typedef struct Route
{
	const char *method;
	const char *path;
	const char *operation;
	const char *statement;
	const char *statement_once; /* or NULL */
	const char *timeout_ms;
	int			timeout;
	int			success;
	int			index;			/* names the prepared statements */
	LaneKind	lane;
	bool		read_only;
	bool		anonymous;		/* tokens are not looked at */
	Segment    *segments;
	int			nsegments;
	Param	   *params;
	int			nparams;
	bool		takes_whole;
} Route;

typedef struct ErrorCode
{
	const char *code;
	int			status;
	const char *title;
	const char *hint;			/* or NULL */
} ErrorCode;

typedef struct Catalog
{
	int			references;
	unsigned	generation;
	uint64_t	hash;			/* of all it was made from */
	const char *version;
	Route	   *routes;			/* literal paths before parameters */
	int			nroutes;
	ErrorCode  *errors;			/* by code */
	int			nerrors;
	const char *openapi;
	size_t		openapi_length;
	const char *openapi_etag;
	Arena		arena;
} Catalog;

/* A request's path, split and decoded. */
#define MAX_SEGMENTS 16
typedef struct Path
{
	const char *segments[MAX_SEGMENTS];
	int			nsegments;
} Path;

extern Catalog *catalog_make(const char *version, const PGresult *routes, const PGresult *errors,
							 const char *openapi, char **why);
extern Catalog *catalog_share(Catalog *catalog);
extern void catalog_release(Catalog *catalog);
extern const Route *catalog_route(const Catalog *catalog, const char *method, const Path *path, Buffer *allowed);
extern const ErrorCode *catalog_error(const Catalog *catalog, const char *code);

#endif
