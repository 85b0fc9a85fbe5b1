/* One non-blocking connection to the database that is made again when it is lost. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "link.h"
#include "log.h"

#define FIRST_RETRY_MS 100
#define LAST_RETRY_MS 5000

/*
 * Connects, or begins to. What stands before dbname the connection string may
 * override; what stands behind it may not be changed. NULL without memory.
 */
static PGconn *
start(const Config *config, bool wait)
{
	const char *const names[] = {"user", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	"dbname", "client_encoding", "application_name", NULL};
	const char *const values[] = {"rapport_api", "10", "5", "3", "15000",
	config->database[0] != '\0' ? config->database : NULL, "UTF8", "rapportd", NULL};

	return wait ? PQconnectdbParams(names, values, 1) : PQconnectStartParams(names, values, 1);
}

/* Connects and waits for it, before there is a loop. */
PGconn *
link_connect_now(const Config *config)
{
	return start(config, true);
}

static void
take_notice(void *context, const PGresult *notice)
{
	Link	   *link = context;

	if (link->notice != NULL)
		link->notice(link, notice);
}

/* Closes the connection; the state is left to the caller. */
static void
drop(Link *link)
{
	loop_unwatch(link->loop, &link->watch);
	PQfinish(link->conn);
	link->conn = NULL;
}

/* The connection is lost or could not be made: closes it and plans the next attempt. */
void
link_fail(Link *link, const char *why)
{
	LinkState	was = link->state;
	int64_t		wait = LAST_RETRY_MS;
	char		reason[200];
	char	   *line;

	/* The first line: what follows may tell more than a log should keep. */
	strncpy(reason, why, sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	line = strchr(reason, '\n');
	if (line != NULL)
		*line = '\0';

	drop(link);
	link->state = LINK_DOWN;
	/* A connection that was good is made again at once. */
	if (was == LINK_UP)
		wait = 0;
	else if (link->failures < 6)
		wait = FIRST_RETRY_MS << link->failures;
	link->failures++;
	link->retry_at = link->loop->now_ms + wait * 3 / 4 + random() % (wait / 2 + 1);
	if (was == LINK_UP || link->failures == 1 || link->failures % 20 == 0)
	{
		log_begin(LOG_WARN, was == LINK_UP ? "database connection lost" : "no database connection");
		log_text("connection", link->name);
		log_text("reason", reason);
		log_number("failures", link->failures);
		log_end();
	}
	if (was == LINK_UP)
		link->down(link);
}

static void
connected(Link *link)
{
	PQsetnonblocking(link->conn, 1);
	link->state = LINK_UP;
	link->failures = 0;
	link->full = false;
	loop_watch(link->loop, &link->watch, PQsocket(link->conn), EPOLLIN);
	link->up(link);
}

static void
poll_connection(Link *link)
{
	switch (PQconnectPoll(link->conn))
	{
		case PGRES_POLLING_OK:
			connected(link);
			break;
		case PGRES_POLLING_READING:
			loop_watch(link->loop, &link->watch, PQsocket(link->conn), EPOLLIN);
			break;
		case PGRES_POLLING_WRITING:
			loop_watch(link->loop, &link->watch, PQsocket(link->conn), EPOLLOUT);
			break;
		default:
			link_fail(link, PQerrorMessage(link->conn));
			break;
	}
}

static void
link_ready(Watch *watch, uint32_t events)
{
	Link	   *link = watch->owner;

	if (link->state == LINK_CONNECTING)
	{
		poll_connection(link);
		return;
	}
	if (events & EPOLLOUT)
		link_flush(link);
	if (link->state == LINK_UP && (events & ~(uint32_t) EPOLLOUT) != 0)
	{
		/* What came before the end of the connection is still taken. */
		int			alive = PQconsumeInput(link->conn);

		link->input(link);
		if (link->state == LINK_UP && (!alive || PQstatus(link->conn) == CONNECTION_BAD))
			link_fail(link, PQerrorMessage(link->conn));
	}
}

static void
attempt(Link *link)
{
	link->conn = start(link->config, false);
	link->state = LINK_CONNECTING;
	link->give_up_at = link->loop->now_ms + link->config->connect_seconds * 1000;
	if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD)
	{
		link_fail(link, link->conn != NULL ? PQerrorMessage(link->conn) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(link->conn, take_notice, link);
	loop_watch(link->loop, &link->watch, PQsocket(link->conn), EPOLLOUT);
}

/* Starts to keep a connection; the caller has filled the callbacks. */
void
link_open(Link *link)
{
	link->watch.fd = -1;
	link->watch.owner = link;
	link->watch.ready = link_ready;
	link->failures = 0;
	attempt(link);
}

void
link_close(Link *link)
{
	if (link->conn != NULL)
		drop(link);
	link->state = LINK_CLOSED;
}

/* Changes a connection without work for a new one, at once. */
void
link_again(Link *link)
{
	drop(link);
	link->failures = 0;
	attempt(link);
}

/* Sends what libpq holds; asks for the rest when the socket is full. */
void
link_flush(Link *link)
{
	int			left = PQflush(link->conn);

	if (left < 0)
		link_fail(link, PQerrorMessage(link->conn));
	else if (link->full != (left > 0))
	{
		link->full = left > 0;
		loop_watch(link->loop, &link->watch, PQsocket(link->conn), link->full ? EPOLLIN | EPOLLOUT : EPOLLIN);
	}
}

void
link_tick(Link *link)
{
	if (link->state == LINK_DOWN && link->loop->now_ms >= link->retry_at)
		attempt(link);
	else if (link->state == LINK_CONNECTING && link->loop->now_ms >= link->give_up_at)
		link_fail(link, "the connection was not made in time");
}
