/*
 * Requests to the database: two prepared statements and one Sync each, in the
 * pipelines of a few connections. Each lane has its own connections and queue,
 * so that slow work holds up nothing else.
 */
#ifndef RAPPORTD_DB_H
#define RAPPORTD_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "catalog.h"
#include "config.h"
#include "loop.h"

typedef enum JobOutcome
{
	JOB_ANSWERED,				/* result has the route's one row, committed */
	JOB_REFUSED,				/* result has the error; nothing was changed */
	JOB_FULL,					/* the queue is full */
	JOB_EXPIRED,				/* waited too long in the queue */
	JOB_UNAVAILABLE,			/* no database; not sent */
	JOB_LOST					/* sent, outcome unknown */
} JobOutcome;

typedef struct Job Job;
struct Job
{
	/* Filled by the caller; must live until done() is called. */
	Catalog    *catalog;
	const Route *route;
	bool		once;			/* use statement_once */
	const char *token;			/* or NULL */
	const char **values;		/* of the parameters, as text; NULL is NULL */
	int			nvalues;
	void		(*done) (Job *job);

	/* The outcome; result belongs to the job and may be NULL. */
	JobOutcome	outcome;
	PGresult   *result;
	int64_t		person;			/* who acted; 0: nobody, or not known */
	int			attempts;

	/* Of db.c. */
	Job		   *next;
	int64_t		expires_at;
	int			prepares;		/* results of Parse that come first */
	bool		prepares_begin;
	int			results;		/* seen so far */
	PGresult   *row;
	PGresult   *error;
	int			failed_at;		/* results before the error */
	bool		unsure;			/* the commit may not have reached the standby */
};

typedef struct Db Db;

/* reload is called when prepared statements no longer fit the database. */
extern Db  *db_make(const Config *config, Loop *loop, void (*reload) (void *context), void *context);
extern void db_free(Db *db);
extern void db_use(Db *db, unsigned generation);
extern bool db_submit(Db *db, Job *job);
extern bool db_ready(const Db *db);
extern void db_tick(Db *db);
extern void db_abandon(Db *db);

#endif
