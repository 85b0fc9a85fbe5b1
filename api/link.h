/* One non-blocking connection to the database that is made again when it is lost. */
#ifndef RAPPORTD_LINK_H
#define RAPPORTD_LINK_H

#include <libpq-fe.h>

#include "config.h"
#include "loop.h"

typedef enum LinkState
{
	LINK_CLOSED,				/* not wanted */
	LINK_DOWN,					/* waits for retry_at */
	LINK_CONNECTING,
	LINK_UP
} LinkState;

typedef struct Link Link;
struct Link
{
	Watch		watch;
	Loop	   *loop;
	const Config *config;
	const char *name;			/* for the log */
	PGconn	   *conn;
	LinkState	state;
	int			failures;		/* in a row */
	bool		full;			/* the socket takes no more now */
	int64_t		retry_at;
	int64_t		give_up_at;		/* while connecting */
	void		(*up) (Link *link);
	void		(*input) (Link *link);	/* take results while PQisBusy() is false */
	void		(*down) (Link *link);	/* the connection is gone, link->conn is NULL */
	void		(*notice) (Link *link, const PGresult *notice);
	void	   *owner;
};

extern PGconn *link_connect_now(const Config *config);
extern void link_open(Link *link);
extern void link_close(Link *link);
extern void link_again(Link *link);
extern void link_fail(Link *link, const char *why);
extern void link_flush(Link *link);
extern void link_tick(Link *link);

#endif
