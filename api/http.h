/* HTTP: libmicrohttpd under our own loop, with the checks it leaves out. */
#ifndef RAPPORTD_HTTP_H
#define RAPPORTD_HTTP_H

#include <stdbool.h>

#include "catalog.h"
#include "config.h"
#include "control.h"
#include "db.h"
#include "loop.h"

typedef struct Http Http;
typedef struct Request Request;

/* What one loop serves with. The catalogue is NULL until the database was seen. */
typedef struct Front
{
	const Config *config;
	Loop		loop;
	Catalog    *catalog;
	Control    *control;
	Db		   *db;
	Http	   *http;
	bool		draining;
} Front;

extern int	http_listen(const char *address, char *bound, size_t size);
extern Http *http_start(Front *front, int listen_fd);
extern int64_t http_wait_ms(Http *http);
extern void http_run(Http *http);
extern void http_tick(Http *http);
extern void http_drain(Http *http);
extern int	http_active(const Http *http);
extern void http_stop(Http *http);

#endif
