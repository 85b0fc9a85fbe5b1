/* The connection that asks the database what to serve. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "link.h"
#include "log.h"

#define STEP_MS 10000			/* longest wait for one answer */

typedef enum Step
{
	STEP_IDLE,
	STEP_VERSION,
	STEP_ROUTES,
	STEP_ERRORS,
	STEP_OPENAPI
} Step;

/* Asked in this order; the functions take nothing and change nothing. */
static const char *const questions[] = {
	[STEP_VERSION] = "SELECT rapport.api_version()",
	[STEP_ROUTES] = "SELECT * FROM rapport.routes()",
	[STEP_ERRORS] = "SELECT * FROM rapport.error_codes()",
	[STEP_OPENAPI] = "SET LOCAL ROLE rapport_anon; SELECT rapport.openapi()::text",
};

struct Control
{
	Link		link;			/* first: callbacks cast */
	const Config *config;
	Loop	   *loop;
	void		(*changed) (void *context, Catalog *catalog);
	void	   *context;
	Step		step;
	int64_t		step_ends;
	int64_t		next_poll;
	bool		reload;			/* load even if the version is the same */
	char	   *version;
	uint64_t	hash;			/* of the catalogue in use */
	PGresult   *routes;
	PGresult   *errors;
	char		trouble[200];	/* why nothing can be served; empty: nothing is wrong */
	char		logged[200];
};

/* "0.1" of "0.1.0" */
static size_t
minor_length(const char *version)
{
	const char *dot = strchr(version, '.');

	if (dot == NULL)
		return strlen(version);
	return (size_t) (dot - version) + 1 + strcspn(dot + 1, ".-+");
}

/* Whether this rapportd serves an extension of that version: the same major and minor number. */
bool
version_served(const char *version)
{
	size_t		length = minor_length(RAPPORT_VERSION);

	return minor_length(version) == length && strncmp(version, RAPPORT_VERSION, length) == 0;
}

static void
explain_version(char *text, size_t size, const char *version)
{
	snprintf(text, size, "rapportd %s serves the extension rapport %.*s.x, not %.40s",
			 RAPPORT_VERSION, (int) minor_length(RAPPORT_VERSION), RAPPORT_VERSION, version);
}

static void
settle(Control *control)
{
	PQclear(control->routes);
	PQclear(control->errors);
	control->routes = NULL;
	control->errors = NULL;
	control->step = STEP_IDLE;
	control->next_poll = control->loop->now_ms + control->config->poll_seconds * 1000;
}

/*
 * Notes what is wrong, in our words: anybody may read it. Logged once, until it
 * is another thing, with what the database said if it said something.
 */
static void
trouble(Control *control, const char *what, const char *said)
{
	snprintf(control->trouble, sizeof control->trouble, "%s", what);
	if (strcmp(control->logged, control->trouble) != 0)
	{
		log_begin(LOG_ERROR, "cannot serve this database");
		log_text("reason", control->trouble);
		log_text("message", said);
		log_end();
		strcpy(control->logged, control->trouble);
	}
	control->reload = true;
	settle(control);
}

/*
 * Whether the error is of the moment (lost races, no resources, cancelled), so
 * that it says nothing about the catalogue in use.
 */
static bool
passing(const char *state)
{
	static const char *const classes[] = {"08", "40", "53", "55", "57"};

	for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
		if (strncmp(state, classes[i], 2) == 0)
			return true;
	return false;
}

static void
ask(Control *control, Step step)
{
	control->step = step;
	control->step_ends = control->loop->now_ms + STEP_MS;
	if (!PQsendQuery(control->link.conn, questions[step]))
		link_fail(&control->link, PQerrorMessage(control->link.conn));
	else
		link_flush(&control->link);
}

static void
take_catalog(Control *control, const char *openapi)
{
	char	   *why = NULL;
	Catalog    *catalog = catalog_make(control->version, control->routes, control->errors, openapi, &why);

	if (catalog == NULL)
	{
		trouble(control, why, NULL);
		free(why);
		return;
	}
	control->trouble[0] = '\0';
	control->logged[0] = '\0';
	control->reload = false;
	settle(control);
	if (catalog->hash == control->hash)
	{
		catalog_release(catalog);
		return;
	}
	control->hash = catalog->hash;
	log_begin(LOG_INFO, "routes loaded");
	log_text("extension", catalog->version);
	log_number("routes", catalog->nroutes);
	log_end();
	control->changed(control->context, catalog);
}

/* One answer has come; the next question follows from it. */
static void
take_answer(Control *control, PGresult *result)
{
	const char *value;

	if (PQresultStatus(result) == PGRES_COMMAND_OK)
	{
		PQclear(result);
		return;
	}
	if (PQresultStatus(result) != PGRES_TUPLES_OK || (control->step != STEP_ROUTES && control->step != STEP_ERRORS && PQntuples(result) != 1))
	{
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		char		text[200];

		if (state != NULL && passing(state))
		{
			log_begin(LOG_WARN, "the routes could not be looked up");
			log_text("sqlstate", state);
			log_end();
			PQclear(result);
			settle(control);
			return;
		}
		/* 3F000, 42883: no schema, no function. */
		if (state != NULL && control->step == STEP_VERSION && (strcmp(state, "3F000") == 0 || strcmp(state, "42883") == 0))
			snprintf(text, sizeof text, "the database has no extension rapport that rapportd %s can serve", RAPPORT_VERSION);
		else
			snprintf(text, sizeof text, "the database does not answer %s", questions[control->step]);
		trouble(control, text, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		PQclear(result);
		return;
	}
	switch (control->step)
	{
		case STEP_VERSION:
			value = PQgetvalue(result, 0, 0);
			if (!version_served(value))
			{
				char		text[200];

				explain_version(text, sizeof text, value);
				trouble(control, text, NULL);
			}
			else
			{
				if (control->version == NULL || strcmp(control->version, value) != 0)
				{
					free(control->version);
					control->version = checked_strdup(value);
					control->reload = true;
				}
				if (!control->reload)
					settle(control);
			}
			PQclear(result);
			break;
		case STEP_ROUTES:
			control->routes = result;
			break;
		case STEP_ERRORS:
			control->errors = result;
			break;
		case STEP_OPENAPI:
			take_catalog(control, PQgetvalue(result, 0, 0));
			PQclear(result);
			break;
		case STEP_IDLE:
			PQclear(result);
			break;
	}
}

static void
control_input(Link *link)
{
	Control    *control = (Control *) link;

	while (link->state == LINK_UP && !PQisBusy(link->conn))
	{
		PGresult   *result = PQgetResult(link->conn);

		if (result != NULL)
		{
			take_answer(control, result);
			continue;
		}
		/* The answer is whole: on to the next question. */
		if (control->step == STEP_VERSION && control->reload)
			ask(control, STEP_ROUTES);
		else if (control->step == STEP_ROUTES && control->routes != NULL)
			ask(control, STEP_ERRORS);
		else if (control->step == STEP_ERRORS && control->errors != NULL)
			ask(control, STEP_OPENAPI);
		else
			break;
	}
}

static void
control_up(Link *link)
{
	Control    *control = (Control *) link;

	control->reload = true;
	ask(control, STEP_VERSION);
}

static void
control_down(Link *link)
{
	settle((Control *) link);
}

Control *
control_make(const Config *config, Loop *loop, void (*changed) (void *context, Catalog *catalog), void *context)
{
	Control    *control = checked_calloc(1, sizeof *control);

	control->config = config;
	control->loop = loop;
	control->changed = changed;
	control->context = context;
	control->link.loop = loop;
	control->link.config = config;
	control->link.name = "control";
	control->link.up = control_up;
	control->link.input = control_input;
	control->link.down = control_down;
	link_open(&control->link);
	return control;
}

void
control_free(Control *control)
{
	settle(control);
	link_close(&control->link);
	free(control->version);
	free(control);
}

/* Asks for the catalogue again, soon; many calls are one. */
void
control_reload(Control *control)
{
	control->reload = true;
	control->next_poll = 0;
}

void
control_tick(Control *control)
{
	if (control->link.state != LINK_UP)
		link_tick(&control->link);
	else if (control->step != STEP_IDLE)
	{
		if (control->loop->now_ms > control->step_ends)
			link_fail(&control->link, "no answer in time");
	}
	else if (control->loop->now_ms >= control->next_poll)
		ask(control, STEP_VERSION);
}

/* Why nothing can be served, for an operator; NULL when nothing is wrong. */
const char *
control_trouble(const Control *control)
{
	if (control->trouble[0] != '\0')
		return control->trouble;
	if (control->link.state != LINK_UP)
		return "there is no connection to the database";
	return NULL;
}

/* Whether the database was found to be one that this rapportd must not serve. */
bool
control_refuses(const Control *control)
{
	return control->trouble[0] != '\0';
}

/* For --check: connects, and says on stdout or stderr what is found. */
bool
control_check(const Config *config)
{
	PGconn	   *conn = link_connect_now(config);
	PGresult   *answers[STEP_OPENAPI + 1] = {0};
	Catalog    *catalog = NULL;
	char	   *why = NULL;
	bool		served;

	if (conn == NULL || PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "rapportd: %s", conn != NULL ? PQerrorMessage(conn) : "out of memory\n");
		PQfinish(conn);
		return false;
	}
	for (Step step = STEP_VERSION; step <= STEP_OPENAPI; step++)
	{
		char		text[200];

		if (step == STEP_OPENAPI)
		{
			PQclear(PQexec(conn, "SET ROLE rapport_anon"));
			answers[step] = PQexec(conn, "SELECT rapport.openapi()::text");
		}
		else
			answers[step] = PQexec(conn, questions[step]);
		if (PQresultStatus(answers[step]) != PGRES_TUPLES_OK)
		{
			why = checked_strdup(PQerrorMessage(conn));
			break;
		}
		if (step == STEP_VERSION && !version_served(PQgetvalue(answers[step], 0, 0)))
		{
			explain_version(text, sizeof text, PQgetvalue(answers[step], 0, 0));
			why = checked_strdup(text);
			break;
		}
	}
	if (why == NULL)
		catalog = catalog_make(PQgetvalue(answers[STEP_VERSION], 0, 0), answers[STEP_ROUTES], answers[STEP_ERRORS],
							   PQgetvalue(answers[STEP_OPENAPI], 0, 0), &why);
	if (catalog != NULL)
		printf("rapportd %s serves the extension rapport %s in database %s: %d routes\n",
			   RAPPORT_VERSION, catalog->version, PQdb(conn), catalog->nroutes);
	else
		fprintf(stderr, "rapportd: %s\n", why);
	for (Step step = STEP_VERSION; step <= STEP_OPENAPI; step++)
		PQclear(answers[step]);
	free(why);
	PQfinish(conn);
	served = catalog != NULL;
	catalog_release(catalog);
	return served;
}
