/* rapportd: REST over the functions of the extension rapport. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http.h"
#include "log.h"

typedef struct Signals
{
	Watch		watch;			/* first: callbacks cast */
	Front	   *front;
	int			stops;			/* how often a stop was asked for */
} Signals;

static void
on_signal(Watch *watch, uint32_t events)
{
	Signals    *signals = (Signals *) watch;
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof info) == (ssize_t) sizeof info)
	{
		if (info.ssi_signo == SIGHUP)
			control_reload(signals->front->control);
		else
			signals->stops++;
	}
}

static void
on_catalog(void *context, Catalog *catalog)
{
	Front	   *front = context;

	catalog_release(front->catalog);
	front->catalog = catalog;
	db_use(front->db, catalog->generation);
}

static void
on_reload(void *context)
{
	Front	   *front = context;

	control_reload(front->control);
}

/*
 * Every connection is a descriptor: takes all that there are, and leaves enough
 * of them for the database whatever clients do.
 */
static void
share_descriptors(Config *config)
{
	/* A connection to the database may need a second one while it is made; the rest is our own. */
	int			reserved = 2 * (config->read_connections + config->write_connections + config->heavy_connections + 1) + 16;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= (rlim_t) reserved + (rlim_t) config->max_clients)
		return;
	config->max_clients = limit.rlim_cur > (rlim_t) reserved ? (int) limit.rlim_cur - reserved : 1;
	log_begin(LOG_WARN, "fewer clients than configured: there are not enough descriptors");
	log_number("descriptors", (int64_t) limit.rlim_cur);
	log_number("max_clients", config->max_clients);
	log_end();
}

static void
turn(Front *front)
{
	if (loop_turn(&front->loop, http_wait_ms(front->http)))
	{
		control_tick(front->control);
		db_tick(front->db);
		http_tick(front->http);
	}
	http_run(front->http);
	log_flush();
}

/* Serves until SIGTERM or SIGINT, then lets requests finish; a second signal ends that. */
static int
serve(const Config *config)
{
	Front		front = {.config = config};
	Signals		signals = {.watch = {.fd = -1,.ready = on_signal},.front = &front};
	sigset_t	set;
	char		bound[300];
	int64_t		until;
	int			fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	srandom((unsigned) clock_us() ^ (unsigned) getpid());

	fd = http_listen(config->listen, bound, sizeof bound);
	if (fd < 0)
		return 1;
	if (!loop_open(&front.loop)
		|| !loop_watch(&front.loop, &signals.watch, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), EPOLLIN)
		|| (front.http = http_start(&front, fd)) == NULL)
	{
		fprintf(stderr, "rapportd: cannot start: %s\n", strerror(errno));
		return 1;
	}
	front.db = db_make(config, &front.loop, on_reload, &front);
	front.control = control_make(config, &front.loop, on_catalog, &front);
	log_begin(LOG_INFO, "listening");
	log_text("address", bound);
	log_text("version", RAPPORT_VERSION);
	log_number("pid", getpid());
	log_end();
	log_flush();

	while (signals.stops == 0)
		turn(&front);

	log_begin(LOG_INFO, "stopping");
	log_number("requests", http_active(front.http));
	log_end();
	front.draining = true;
	http_drain(front.http);
	until = front.loop.now_ms + config->drain_seconds * 1000;
	while (http_active(front.http) > 0 && signals.stops == 1 && front.loop.now_ms < until)
		turn(&front);
	db_abandon(front.db);
	turn(&front);
	log_begin(LOG_INFO, "stopped");
	log_number("requests", http_active(front.http));
	log_end();
	http_stop(front.http);
	control_free(front.control);
	db_free(front.db);
	catalog_release(front.catalog);
	loop_close(&front.loop);
	close(signals.watch.fd);
	log_flush();
	return 0;
}

static void
help(void)
{
	printf("rapportd serves the extension rapport over REST.\n\n"
		   "  rapportd [-c FILE] [--check]\n\n"
		   "  -c, --config FILE   read options from the section [rapportd] of an ini file;\n"
		   "                      names as below, in lower case, without RAPPORT_\n"
		   "  --check             look at the configuration and the database, then exit\n"
		   "  --version           print the version and exit\n"
		   "  --help              print this and exit\n\n"
		   "Options, from the environment (default):\n\n");
	config_help();
	printf("\nSIGHUP reads the routes again, SIGTERM and SIGINT stop when requests are done.\n");
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0}
	};
	const char *file = NULL;
	bool		check = false;
	Config		config;
	int			option;
	int			status;

	while ((option = getopt_long(argc, argv, "c:", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'c':
				file = optarg;
				break;
			case 'k':
				check = true;
				break;
			case 'h':
				help();
				return 0;
			case 'v':
				printf("rapportd %s\n", RAPPORT_VERSION);
				return 0;
			default:
				return 2;
		}
	}
	if (optind < argc)
	{
		fprintf(stderr, "rapportd: takes no argument \"%s\"; see --help\n", argv[optind]);
		return 2;
	}
	if (!config_load(&config, file))
		status = 2;
	else if (check)
		status = control_check(&config) ? 0 : 1;
	else
	{
		log_threshold(config.log_level);
		share_descriptors(&config);
		status = serve(&config);
	}
	config_free(&config);
	return status;
}
