/* Requests to the database: two prepared statements and one Sync each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "link.h"
#include "log.h"

#define ATTEMPTS 4				/* one, and three retries */
#define GRACE_MS 5000			/* past a statement's own timeout the connection is given up */
#define MAX_ROUTES 1024

static const char begin_statement[] = "SELECT rapport.request_begin($1, $2, $3)";

typedef struct Lane Lane;

typedef struct Pipe
{
	Link		link;			/* first: callbacks cast */
	Lane	   *lane;
	Job		   *first;			/* sent, in order */
	Job		   *last;
	int			inflight;
	int64_t		head_since;		/* the first job has been the first since */
	unsigned	generation;		/* of the catalogue whose statements are kept */
	bool		stale;			/* to be made anew when nothing is in flight */
	bool		begin_prepared;
	bool		prepared[2][MAX_ROUTES];	/* plain, once; set when Parse was sent */
} Pipe;

struct Lane
{
	Db		   *db;
	const char *name;
	Pipe	   *pipes;
	int			npipes;
	int			depth;
	Job		   *first;			/* waiting */
	Job		   *last;
	int			waiting;
	int64_t		next_refusal_log;
};

struct Db
{
	const Config *config;
	Loop	   *loop;
	void		(*reload) (void *context);
	void	   *context;
	unsigned	generation;		/* 0: not opened yet */
	Lane		lanes[LANES];
};

static void pump(Lane *lane);

static void
finish(Job *job, JobOutcome outcome, PGresult *result)
{
	job->outcome = outcome;
	job->result = result;
	if (result != job->row)
		PQclear(job->row);
	if (result != job->error)
		PQclear(job->error);
	job->row = NULL;
	job->error = NULL;
	job->done(job);
}

/* Sends a job down a connection; after a failure the connection is lost, and the job with it. */
static void
send_job(Pipe *pipe, Job *job)
{
	PGconn	   *conn = pipe->link.conn;
	const Route *route = job->route;
	const char *statement = job->once ? route->statement_once : route->statement;
	const char *begin_values[3] = {job->token, route->read_only ? "t" : "f", route->timeout_ms};
	bool		keep = pipe->lane->db->config->prepared && job->catalog->generation == pipe->generation
		&& route->index < MAX_ROUTES;
	char		name[32] = "";
	bool		sent = true;

	job->next = NULL;
	job->attempts++;
	job->prepares = 0;
	job->prepares_begin = false;
	job->results = 0;
	job->person = 0;
	job->unsure = false;
	if (pipe->last != NULL)
		pipe->last->next = job;
	else
	{
		pipe->first = job;
		pipe->head_since = pipe->link.loop->now_ms;
	}
	pipe->last = job;
	pipe->inflight++;

	if (keep)
	{
		/* Parse comes first: an error of request_begin would skip it. */
		snprintf(name, sizeof name, "%c%d", job->once ? 'o' : 'r', route->index);
		if (!pipe->begin_prepared)
		{
			sent = PQsendPrepare(conn, "begin", begin_statement, 0, NULL);
			pipe->begin_prepared = true;
			job->prepares_begin = true;
			job->prepares++;
		}
		if (sent && !pipe->prepared[job->once][route->index])
		{
			sent = PQsendPrepare(conn, name, statement, 0, NULL);
			pipe->prepared[job->once][route->index] = true;
			job->prepares++;
		}
		sent = sent && PQsendQueryPrepared(conn, "begin", 3, begin_values, NULL, NULL, 0)
			&& PQsendQueryPrepared(conn, name, job->nvalues, job->values, NULL, NULL, 0);
	}
	else
		sent = PQsendQueryParams(conn, begin_statement, 3, NULL, begin_values, NULL, NULL, 0)
			&& PQsendQueryParams(conn, statement, job->nvalues, NULL, job->values, NULL, NULL, 0);
	sent = sent && PQpipelineSync(conn);
	if (sent)
		link_flush(&pipe->link);
	else
		link_fail(&pipe->link, PQerrorMessage(conn));
}

/* The connection with the least in flight that has room; NULL when none has. */
static Pipe *
choose_pipe(Lane *lane)
{
	Pipe	   *best = NULL;

	for (int i = 0; i < lane->npipes; i++)
	{
		Pipe	   *pipe = &lane->pipes[i];

		if (pipe->link.state == LINK_UP && !pipe->stale && pipe->inflight < lane->depth
			&& (best == NULL || pipe->inflight < best->inflight))
			best = pipe;
	}
	return best;
}

/* Whether waiting has a point: a connection is up, or being changed for a new one. */
static bool
lane_alive(const Lane *lane)
{
	for (int i = 0; i < lane->npipes; i++)
	{
		const Link *link = &lane->pipes[i].link;

		if (link->state == LINK_UP || (link->state == LINK_CONNECTING && link->failures == 0))
			return true;
	}
	return false;
}

static void
pump(Lane *lane)
{
	while (lane->first != NULL)
	{
		Pipe	   *pipe = choose_pipe(lane);
		Job		   *job = lane->first;

		if (pipe == NULL)
			return;
		lane->first = job->next;
		if (lane->first == NULL)
			lane->last = NULL;
		lane->waiting--;
		send_job(pipe, job);
	}
}

/* Puts a job that was sent before at the head of its lane's queue. */
static void
again(Lane *lane, Job *job)
{
	PQclear(job->row);
	PQclear(job->error);
	job->row = NULL;
	job->error = NULL;
	job->next = lane->first;
	lane->first = job;
	if (lane->last == NULL)
		lane->last = job;
	lane->waiting++;
}

static Job *
shift(Pipe *pipe)
{
	Job		   *job = pipe->first;

	pipe->first = job->next;
	if (pipe->first == NULL)
		pipe->last = NULL;
	pipe->inflight--;
	pipe->head_since = pipe->link.loop->now_ms;
	return job;
}

/*
 * Whether the error says that our prepared statements are not the session's;
 * sets the record straight, of the statement that failed and of those that
 * were skipped after it.
 */
static bool
statements_differ(Pipe *pipe, Job *job, const char *state)
{
	bool	   *prepared = &pipe->prepared[job->once][job->route->index < MAX_ROUTES ? job->route->index : 0];
	bool		parsing = job->failed_at < job->prepares;
	bool		begin = parsing ? job->prepares_begin && job->failed_at == 0 : job->failed_at == job->prepares;
	const char *function;

	if (parsing)
	{
		bool		there = strcmp(state, "42P05") == 0;

		if (begin)
			pipe->begin_prepared = there;
		*prepared = there && (!begin || job->prepares == 1);
		if (!there)
			pipe->lane->db->reload(pipe->lane->db->context);
		return there;
	}
	if (strcmp(state, "26000") == 0)
	{
		*(begin ? &pipe->begin_prepared : prepared) = false;
		return true;
	}
	function = PQresultErrorField(job->error, PG_DIAG_SOURCE_FUNCTION);
	if (strcmp(state, "0A000") == 0 && function != NULL && strcmp(function, "RevalidateCachedQuery") == 0)
	{
		/* The type of the result changed: an update of the extension. */
		pipe->stale = true;
		pipe->lane->db->reload(pipe->lane->db->context);
		return true;
	}
	return false;
}

/* The Sync of the first job has come: its transaction is over. */
static void
conclude(Pipe *pipe)
{
	Job		   *job = shift(pipe);

	if (job->error == NULL)
	{
		if (job->unsure)
			finish(job, JOB_LOST, NULL);
		else
			finish(job, JOB_ANSWERED, job->row);
	}
	else
	{
		const char *state = PQresultErrorField(job->error, PG_DIAG_SQLSTATE);
		bool		differ;

		if (state == NULL)
			state = "";
		differ = statements_differ(pipe, job, state);
		if ((differ || strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0) && job->attempts < ATTEMPTS)
			again(pipe->lane, job);
		else
			finish(job, JOB_REFUSED, job->error);
	}
}

static void
pipe_input(Link *link)
{
	Pipe	   *pipe = (Pipe *) link;

	while (link->state == LINK_UP && pipe->first != NULL && !PQisBusy(link->conn))
	{
		PGresult   *result = PQgetResult(link->conn);
		Job		   *job = pipe->first;

		if (result == NULL)
		{
			if (PQstatus(link->conn) == CONNECTION_BAD)
				break;
			continue;
		}
		switch (PQresultStatus(result))
		{
			case PGRES_PIPELINE_SYNC:
				PQclear(result);
				conclude(pipe);
				break;
			case PGRES_TUPLES_OK:
				if (job->results++ == job->prepares && PQntuples(result) == 1)
				{
					job->person = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
					PQclear(result);
				}
				else
				{
					PQclear(job->row);
					job->row = result;
				}
				break;
			case PGRES_COMMAND_OK:
			case PGRES_PIPELINE_ABORTED:
				job->results++;
				PQclear(result);
				break;
			default:
				if (job->error == NULL)
				{
					job->failed_at = job->results;
					job->error = result;
				}
				else
					PQclear(result);
				job->results++;
				break;
		}
	}
	if (link->state == LINK_UP && pipe->stale && pipe->inflight == 0)
		link_again(link);
	pump(pipe->lane);
}

static void
pipe_up(Link *link)
{
	Pipe	   *pipe = (Pipe *) link;

	pipe->generation = pipe->lane->db->generation;
	pipe->stale = false;
	pipe->begin_prepared = false;
	memset(pipe->prepared, 0, sizeof pipe->prepared);
	if (!PQenterPipelineMode(link->conn))
		link_fail(link, PQerrorMessage(link->conn));
	else
		pump(pipe->lane);
}

/*
 * The connection is lost. What changes nothing is sent again over another; of
 * a write nobody knows whether it was committed, and the client is told so.
 */
static void
pipe_down(Link *link)
{
	Pipe	   *pipe = (Pipe *) link;
	Job		   *jobs = pipe->first;
	Job		   *retry = NULL;

	pipe->first = NULL;
	pipe->last = NULL;
	pipe->inflight = 0;
	while (jobs != NULL)
	{
		Job		   *job = jobs;

		jobs = job->next;
		if (job->route->read_only && job->attempts < 2)
		{
			job->next = retry;
			retry = job;
		}
		else
			finish(job, JOB_LOST, NULL);
	}
	while (retry != NULL)
	{
		Job		   *job = retry;

		retry = job->next;
		again(pipe->lane, job);
	}
	if (!lane_alive(pipe->lane))
	{
		while (pipe->lane->first != NULL)
		{
			Job		   *job = pipe->lane->first;

			pipe->lane->first = job->next;
			if (pipe->lane->first == NULL)
				pipe->lane->last = NULL;
			pipe->lane->waiting--;
			finish(job, job->attempts > 0 && !job->route->read_only ? JOB_LOST : JOB_UNAVAILABLE, NULL);
		}
	}
	else
		pump(pipe->lane);
}

/*
 * A cancelled wait for the synchronous standby is only a notice, but the write
 * is then not acknowledged. Told by the function that reports it, which no
 * translation changes.
 */
static void
pipe_notice(Link *link, const PGresult *notice)
{
	Pipe	   *pipe = (Pipe *) link;
	const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);

	if (pipe->first != NULL && function != NULL && strcmp(function, "SyncRepWaitForLSN") == 0)
		pipe->first->unsure = true;
}

Db *
db_make(const Config *config, Loop *loop, void (*reload) (void *context), void *context)
{
	static const char *const names[LANES] = {"read", "write", "heavy"};
	const int	sizes[LANES] = {config->read_connections, config->write_connections, config->heavy_connections};
	const int	depths[LANES] = {config->read_depth, config->write_depth, config->heavy_depth};
	Db		   *db = checked_calloc(1, sizeof *db);

	db->config = config;
	db->loop = loop;
	db->reload = reload;
	db->context = context;
	for (int kind = 0; kind < LANES; kind++)
	{
		Lane	   *lane = &db->lanes[kind];

		lane->db = db;
		lane->name = names[kind];
		lane->depth = depths[kind];
		lane->npipes = sizes[kind];
		lane->pipes = checked_calloc((size_t) lane->npipes, sizeof(Pipe));
		for (int i = 0; i < lane->npipes; i++)
		{
			Pipe	   *pipe = &lane->pipes[i];

			pipe->lane = lane;
			pipe->link.loop = loop;
			pipe->link.config = config;
			pipe->link.name = lane->name;
			pipe->link.watch.fd = -1;
			pipe->link.up = pipe_up;
			pipe->link.input = pipe_input;
			pipe->link.down = pipe_down;
			pipe->link.notice = pipe_notice;
		}
	}
	return db;
}

void
db_free(Db *db)
{
	for (int kind = 0; kind < LANES; kind++)
	{
		for (int i = 0; i < db->lanes[kind].npipes; i++)
			link_close(&db->lanes[kind].pipes[i].link);
		free(db->lanes[kind].pipes);
	}
	free(db);
}

/*
 * Serves the catalogue of that generation: opens the connections, or makes
 * those of another generation anew as soon as nothing is in flight on them.
 */
void
db_use(Db *db, unsigned generation)
{
	if (generation == db->generation)
		return;
	db->generation = generation;
	for (int kind = 0; kind < LANES; kind++)
	{
		for (int i = 0; i < db->lanes[kind].npipes; i++)
		{
			Pipe	   *pipe = &db->lanes[kind].pipes[i];

			if (pipe->link.state == LINK_CLOSED)
				link_open(&pipe->link);
			else if (pipe->link.state == LINK_UP)
			{
				pipe->stale = true;
				if (pipe->inflight == 0)
					link_again(&pipe->link);
			}
		}
	}
}

/*
 * Takes a job and calls its done() later, or says false and leaves the reason
 * in job->outcome.
 */
bool
db_submit(Db *db, Job *job)
{
	Lane	   *lane = &db->lanes[job->route->lane];
	Pipe	   *pipe;

	job->attempts = 0;
	job->result = NULL;
	job->row = NULL;
	job->error = NULL;
	job->expires_at = db->loop->now_ms + db->config->queue_ms;
	pipe = lane->first == NULL ? choose_pipe(lane) : NULL;
	if (pipe != NULL)
	{
		send_job(pipe, job);
		return true;
	}
	if (!lane_alive(lane))
	{
		job->outcome = JOB_UNAVAILABLE;
		return false;
	}
	if (lane->waiting >= db->config->queue_length)
	{
		job->outcome = JOB_FULL;
		if (db->loop->now_ms >= lane->next_refusal_log)
		{
			log_begin(LOG_WARN, "queue full");
			log_text("lane", lane->name);
			log_number("waiting", lane->waiting);
			log_end();
			lane->next_refusal_log = db->loop->now_ms + 1000;
		}
		return false;
	}
	job->next = NULL;
	if (lane->last != NULL)
		lane->last->next = job;
	else
		lane->first = job;
	lane->last = job;
	lane->waiting++;
	return true;
}

/* Whether every lane has a connection. */
bool
db_ready(const Db *db)
{
	for (int kind = 0; kind < LANES; kind++)
	{
		bool		up = false;

		for (int i = 0; i < db->lanes[kind].npipes; i++)
			up |= db->lanes[kind].pipes[i].link.state == LINK_UP;
		if (!up)
			return false;
	}
	return true;
}

/* Reconnects, ends waits that are too long, gives up connections that no longer answer. */
void
db_tick(Db *db)
{
	int64_t		now = db->loop->now_ms;

	for (int kind = 0; kind < LANES; kind++)
	{
		Lane	   *lane = &db->lanes[kind];

		for (int i = 0; i < lane->npipes; i++)
		{
			Pipe	   *pipe = &lane->pipes[i];

			if (pipe->link.state == LINK_UP && pipe->first != NULL
				&& now > pipe->head_since + pipe->first->route->timeout + GRACE_MS)
				link_fail(&pipe->link, "no answer in time");
			link_tick(&pipe->link);
		}
		while (lane->first != NULL && lane->first->expires_at <= now)
		{
			Job		   *job = lane->first;

			lane->first = job->next;
			if (lane->first == NULL)
				lane->last = NULL;
			lane->waiting--;
			finish(job, JOB_EXPIRED, NULL);
		}
	}
}

/* Ends every job at once, at the end of a stop. */
void
db_abandon(Db *db)
{
	for (int kind = 0; kind < LANES; kind++)
	{
		Lane	   *lane = &db->lanes[kind];

		for (int i = 0; i < lane->npipes; i++)
		{
			Pipe	   *pipe = &lane->pipes[i];

			link_close(&pipe->link);
			while (pipe->first != NULL)
				finish(shift(pipe), JOB_LOST, NULL);
		}
		while (lane->first != NULL)
		{
			Job		   *job = lane->first;

			lane->first = job->next;
			finish(job, JOB_UNAVAILABLE, NULL);
		}
		lane->last = NULL;
		lane->waiting = 0;
	}
}
