/* HTTP: libmicrohttpd under our own loop, with the checks it leaves out. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "request.h"

#define POOL_BYTES 24576		/* of one connection: target, headers, and what is read ahead */
#define MAX_HEADERS 64
#define MAX_DROPPED (1024 * 1024)	/* of an oversized body, so that the client reads its 413 */
#define MAX_ID 64

typedef enum ClientState
{
	CLIENT_IDLE,				/* no request, or not its first line yet */
	CLIENT_READING,
	CLIENT_WORKING,				/* the database is at it; it has timeouts of its own */
	CLIENT_WRITING
} ClientState;

/* A client's connection. */
struct Client
{
	Client	   *previous;
	Client	   *next;
	int			fd;
	ClientState state;
	int64_t		deadline;
};

struct Http
{
	Front	   *front;
	struct MHD_Daemon *daemon;
	Watch		watch;			/* of MHD's own epoll */
	Client	   *clients;
	int			active;			/* requests under way */
};

static void
set_state(Request *request, ClientState state, int seconds)
{
	request->client->state = state;
	request->client->deadline = request->front->loop.now_ms + seconds * 1000;
}

/* Connections */

static void
on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	Http	   *http = context;
	Client	   *client = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		client = checked_calloc(1, sizeof *client);
		client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		client->state = CLIENT_IDLE;
		client->deadline = http->front->loop.now_ms + http->front->config->request_seconds * 1000;
		client->next = http->clients;
		if (client->next != NULL)
			client->next->previous = client;
		http->clients = client;
		*socket_context = client;
		return;
	}
	if (client == NULL)
		return;
	if (client->previous != NULL)
		client->previous->next = client->next;
	else
		http->clients = client->next;
	if (client->next != NULL)
		client->next->previous = client->previous;
	free(client);
	*socket_context = NULL;
}

/* Requests */

/* A client's own request id, if it is harmless in a log; else a new one. */
static const char *
request_id(Request *request, const char *given)
{
	static _Thread_local uint64_t pool[64];
	static _Thread_local size_t left;
	uint64_t	high;
	uint64_t	low;

	if (given != NULL)
	{
		size_t		length = strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._");

		if (length > 0 && length <= MAX_ID && given[length] == '\0')
			return arena_copy(&request->arena, given, length);
	}
	if (left == 0)
	{
		if (getrandom(pool, sizeof pool, 0) != (ssize_t) sizeof pool)
			abort();
		left = sizeof pool / sizeof pool[0];
	}
	high = pool[--left];
	low = pool[--left];
	return arena_printf(&request->arena, "%016llx%016llx", (unsigned long long) high, (unsigned long long) low);
}

/* The first line has come: a request begins. The target is still as it was sent. */
static void *
on_target(void *context, const char *target, struct MHD_Connection *connection)
{
	Http	   *http = context;
	Request    *request = checked_calloc(1, sizeof *request);
	size_t		length = strlen(target);

	request->front = http->front;
	request->connection = connection;
	request->client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	request->started_us = clock_us();
	request->target = arena_copy(&request->arena, target, length);
	request->method = "";
	request->id = "";
	http->active++;
	set_state(request, CLIENT_READING, http->front->config->request_seconds);
	return request;
}

/* What the headers say about how the request is to be read. */
typedef struct Framing
{
	size_t		bytes;
	int			count;
	int			hosts;
	int			lengths;
	int			codings;
	int			singles;		/* headers given twice that have one value */
	bool		chunked;
	bool		malformed;
	const char *length;
} Framing;

static enum MHD_Result
look_at_header(void *context, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value, size_t value_size)
{
	static const char *const once[] = {"Authorization", "Content-Type", "Idempotency-Key", "Content-Encoding", "Origin"};
	Framing    *framing = context;

	framing->bytes += key_size + value_size + 4;
	framing->count++;
	if (key_size == 0
		|| strspn(key, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != key_size)
		framing->malformed = true;
	for (size_t i = 0; i < value_size; i++)
		if (((unsigned char) value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			framing->malformed = true;
	/* MHD 0.9.75 appends a folded line to the name, and then no longer knows the header. */
	if ((strncasecmp(key, "Content-Length", 14) == 0 && key_size != 14)
		|| (strncasecmp(key, "Transfer-Encoding", 17) == 0 && key_size != 17))
		framing->malformed = true;
	if (strcasecmp(key, "Host") == 0)
		framing->hosts++;
	else if (strcasecmp(key, "Content-Length") == 0)
	{
		framing->lengths++;
		framing->length = value;
	}
	else if (strcasecmp(key, "Transfer-Encoding") == 0)
	{
		framing->codings++;
		framing->chunked = strcasecmp(value, "chunked") == 0;
	}
	else
	{
		for (size_t i = 0; i < sizeof once / sizeof once[0]; i++)
			if (strcasecmp(key, once[i]) == 0)
				framing->singles += (framing->singles & (1 << (8 + i))) != 0 ? 1 : 1 << (8 + i);
	}
	return MHD_YES;
}

/* Refuses in a way that leaves no doubt about where the next request begins. */
static void
reject(Request *request, const char *code, const char *detail)
{
	request->last = true;
	answer_problem(request, code, detail);
}

/* Splits the target into path and query; false when it is none that we serve. */
static bool
read_target(Request *request)
{
	const char *target = request->target;

	for (const char *c = target; *c != '\0'; c++)
		if (*c <= 0x20 || *c >= 0x7f || *c == '#')
			return false;
	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0)
	{
		target = strchr(target, ':') + 3;
		target += strcspn(target, "/?");
	}
	if (*target != '/')
		return false;
	request->path = target;
	request->path_length = strcspn(target, "?");
	request->query = target[request->path_length] == '?' ? target + request->path_length + 1 : NULL;
	return true;
}

/* The origin if it may call from a browser, else NULL. */
static const char *
allowed_origin(Request *request)
{
	const char *list = request->front->config->cors_origins;
	const char *origin = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Origin");
	size_t		length;

	if (origin == NULL)
		return NULL;
	if (strcmp(list, "*") == 0)
		return "*";
	length = strlen(origin);
	while (*list != '\0')
	{
		size_t		item;

		list += strspn(list, ", ");
		item = strcspn(list, ", ");
		if (item == length && item > 0 && memcmp(list, origin, item) == 0)
			return arena_copy(&request->arena, origin, length);
		list += item;
	}
	return NULL;
}

/*
 * The headers have come. What cannot be read safely is answered here and ends
 * the connection; everything else is judged when the body is there.
 */
static void
look_at_headers(Request *request, const char *method, const char *version)
{
	const Config *config = request->front->config;
	Framing		framing = {0};
	bool		http11 = strcmp(version, "HTTP/1.1") == 0;

	request->begun = true;
	request->head = strcmp(method, "HEAD") == 0;
	request->method = request->head ? "GET" : arena_copy(&request->arena, method, strlen(method));
	request->id = request_id(request, MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Request-Id"));
	if (config->cors_origins[0] != '\0')
		request->origin = allowed_origin(request);
	MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, look_at_header, &framing);

	if (!http11 && strcmp(version, "HTTP/1.0") != 0)
		reject(request, "bad_request", "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
	else if (framing.malformed)
		reject(request, "bad_request", "A header is malformed.");
	else if (framing.hosts > 1 || (http11 && framing.hosts == 0))
		reject(request, "bad_request", "There must be one Host header.");
	else if (framing.lengths > 1 || framing.codings > 1 || (framing.lengths > 0 && framing.codings > 0))
		reject(request, "bad_request", "The length of the body is given in more than one way.");
	else if (framing.codings > 0 && (!framing.chunked || !http11))
		reject(request, "bad_request", "The only transfer coding is chunked, in HTTP/1.1.");
	else if ((framing.singles & 0xff) > 0)
		reject(request, "bad_request", "A header that has one value is given twice.");
	else if (strlen(request->target) > (size_t) config->max_uri)
		reject(request, "uri_too_long", NULL);
	else if (framing.bytes > (size_t) config->max_headers || framing.count > MAX_HEADERS)
		reject(request, "headers_too_large", NULL);
	else if (!read_target(request))
		reject(request, "bad_request", "The request target is malformed.");
	else if (framing.length != NULL)
	{
		unsigned long long length = strtoull(framing.length, NULL, 10);

		if (length > MAX_DROPPED)
			reject(request, "too_large", NULL);
		else if (length > (unsigned long long) config->max_body)
		{
			if (MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Expect") != NULL)
				reject(request, "too_large", NULL);
			request->oversized = true;
		}
	}
}

/* Takes a piece of the body; false when there is more than we are willing to drop. */
static bool
take_body(Request *request, const char *data, size_t size)
{
	if (!request->oversized && request->body.length + size > (size_t) request->front->config->max_body)
	{
		request->oversized = true;
		request->dropped = request->body.length;
		buffer_free(&request->body);
	}
	if (!request->oversized)
	{
		buffer_bytes(&request->body, data, size);
		return true;
	}
	request->dropped += size;
	return request->dropped <= MAX_DROPPED + (size_t) request->front->config->max_body;
}

static enum MHD_Result
send_answer(Request *request)
{
	enum MHD_Result queued = MHD_queue_response(request->connection, request->status, request->response);

	MHD_destroy_response(request->response);
	request->response = NULL;
	request->finished = true;
	set_state(request, CLIENT_WRITING, request->front->config->answer_seconds);
	return queued;
}

static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
		   const char *upload_data, size_t *upload_size, void **request_context)
{
	Request    *request = *request_context;

	if (request == NULL || request->finished)
		return MHD_NO;
	if (request->response != NULL)
		return send_answer(request);
	if (!request->begun)
	{
		look_at_headers(request, method, version);
		return request->response != NULL ? send_answer(request) : MHD_YES;
	}
	if (*upload_size > 0)
	{
		bool		taken = take_body(request, upload_data, *upload_size);

		*upload_size = 0;
		return taken ? MHD_YES : MHD_NO;
	}
	if (request->oversized)
		answer_problem(request, "too_large", NULL);
	else
		request_dispatch(request);
	if (request->response != NULL)
		return send_answer(request);
	request->waiting = true;
	set_state(request, CLIENT_WORKING, 0);
	MHD_suspend_connection(connection);
	return MHD_YES;
}

static void
log_request(Request *request, bool complete)
{
	LogLevel	level = request->status >= 500 ? LOG_WARN : LOG_INFO;

	if (!log_wanted(level) || (request->status == 200 && strncmp(request->pattern != NULL ? request->pattern : "", "/health/", 8) == 0))
		return;
	log_begin(level, "request");
	log_text("method", request->head ? "HEAD" : request->method);
	log_text("path", request->pattern);
	if (request->status != 0)
		log_number("status", request->status);
	log_text("code", request->code);
	log_ms("ms", clock_us() - request->started_us);
	log_number("bytes", (int64_t) request->bytes);
	log_text("request_id", request->id);
	if (request->job.person != 0)
		log_number("person", request->job.person);
	if (request->job.attempts > 1)
		log_number("attempts", request->job.attempts);
	if (!complete)
		log_text("ended", request->status != 0 ? "the client left" : "the request broke off");
	log_end();
}

/*
 * A client that has ended its side before MHD read the request: MHD waits for
 * an event that has passed already. Shutting down our side makes another.
 */
static void
notice_end(int fd)
{
	char		next;

	if (recv(fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		shutdown(fd, SHUT_RD);
}

static void
on_completed(void *context, struct MHD_Connection *connection, void **request_context, enum MHD_RequestTerminationCode how)
{
	Http	   *http = context;
	Request    *request = *request_context;

	if (request == NULL)
		return;
	*request_context = NULL;
	if (request->response != NULL)
		MHD_destroy_response(request->response);
	if (request->begun)
		log_request(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		notice_end(request->client->fd);
	set_state(request, CLIENT_IDLE, http->front->config->idle_seconds);
	catalog_release(request->job.catalog);
	buffer_free(&request->body);
	arena_free(&request->arena);
	free(request);
	http->active--;
}

/* MHD would decode %2f and %00 before we see where a segment ends. */
static size_t
keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static void
on_message(void *context, const char *format, va_list args)
{
	/* What MHD has to say is about single clients, and not in our terms. */
}

static void
on_ready(Watch *watch, uint32_t events)
{
	/* http_run() follows in the same turn. */
}

/* The daemon */

static int
listen_unix(const char *path, char *bound, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int			fd;

	if (strlen(path) >= sizeof address.sun_path)
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	/* A socket that nobody listens on is left over from a crash. */
	if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode))
	{
		int			probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (probe >= 0 && connect(probe, (struct sockaddr *) &address, sizeof address) < 0 && errno == ECONNREFUSED)
			unlink(path);
		if (probe >= 0)
			close(probe);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && (bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || listen(fd, 1024) < 0))
	{
		int			error = errno;

		close(fd);
		errno = error;
		fd = -1;
	}
	snprintf(bound, size, "unix:%s", path);
	return fd;
}

/*
 * Opens the listening socket of "address:port", "[address]:port", "*:port" or
 * "unix:/path"; bound tells where it is, with the port the system chose for 0.
 * -1, with a message on stderr, when that fails.
 */
int
http_listen(const char *address, char *bound, size_t size)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,.ai_socktype = SOCK_STREAM,.ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	const char *colon = strrchr(address, ':');
	char		host[256];
	size_t		length;
	int			fd = -1;
	int			error;

	if (strncmp(address, "unix:", 5) == 0)
	{
		fd = listen_unix(address + 5, bound, size);
		if (fd < 0)
			fprintf(stderr, "rapportd: cannot listen on %s: %s\n", address, strerror(errno));
		return fd;
	}
	length = colon != NULL ? (size_t) (colon - address) : 0;
	if (length == 0 || length >= sizeof host)
	{
		fprintf(stderr, "rapportd: listen takes address:port, [address]:port, *:port or unix:/path, not \"%s\"\n", address);
		return -1;
	}
	if (address[0] == '[' && address[length - 1] == ']')
	{
		address++;
		length -= 2;
	}
	memcpy(host, address, length);
	host[length] = '\0';
	error = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, colon + 1, &hints, &found);
	if (error != 0)
	{
		fprintf(stderr, "rapportd: cannot listen on %s: %s\n", address, gai_strerror(error));
		return -1;
	}
	for (struct addrinfo *one = found; one != NULL && fd < 0; one = one->ai_next)
	{
		int			on = 1;

		fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind(fd, one->ai_addr, one->ai_addrlen) < 0 || listen(fd, 1024) < 0)
		{
			fprintf(stderr, "rapportd: cannot listen on %s: %s\n", address, strerror(errno));
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	if (fd >= 0)
	{
		struct sockaddr_storage name;
		socklen_t	name_length = sizeof name;
		char		port[16] = "";

		getsockname(fd, (struct sockaddr *) &name, &name_length);
		getnameinfo((struct sockaddr *) &name, name_length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
		snprintf(bound, size, strchr(host, ':') != NULL ? "http://[%s]:%s" : "http://%s:%s", host, port);
	}
	return fd;
}

/* Serves the socket, which MHD then owns. NULL when MHD does not start. */
Http *
http_start(Front *front, int listen_fd)
{
	const Config *config = front->config;
	Http	   *http = checked_calloc(1, sizeof *http);
	const union MHD_DaemonInfo *info;

	http->front = front;
	http->watch.fd = -1;
	http->watch.ready = on_ready;
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
									on_request, http,
									MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
									MHD_OPTION_LISTEN_SOCKET, listen_fd,
									MHD_OPTION_CONNECTION_LIMIT, (unsigned) config->max_clients,
									MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned) config->max_clients_per_address,
									MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) POOL_BYTES,
									MHD_OPTION_STRICT_FOR_CLIENT, MHD_STRICTNESS,
									MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
									MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
									MHD_OPTION_URI_LOG_CALLBACK, on_target, http,
									MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
									MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
									MHD_OPTION_END);
	info = http->daemon != NULL ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL || !loop_watch(&front->loop, &http->watch, info->epoll_fd, EPOLLIN))
	{
		free(http);
		return NULL;
	}
	return http;
}

/* How long the loop may wait for HTTP's sake; -1: as long as it likes. */
int64_t
http_wait_ms(Http *http)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	return MHD_get_timeout(http->daemon, &timeout) == MHD_YES ? (int64_t) timeout : -1;
}

void
http_run(Http *http)
{
	MHD_run(http->daemon);
}

/* Ends connections whose request or answer takes too long: MHD itself only knows inactivity. */
void
http_tick(Http *http)
{
	int64_t		now = http->front->loop.now_ms;

	for (Client *client = http->clients; client != NULL; client = client->next)
		if (client->state != CLIENT_WORKING && client->deadline <= now)
			shutdown(client->fd, SHUT_RDWR);
}

/* No new connections; those without a request end. */
void
http_drain(Http *http)
{
	int			fd = MHD_quiesce_daemon(http->daemon);

	if (fd >= 0)
		close(fd);
	for (Client *client = http->clients; client != NULL; client = client->next)
		if (client->state == CLIENT_IDLE)
			shutdown(client->fd, SHUT_RD);
}

/* How many requests are under way. */
int
http_active(const Http *http)
{
	return http->active;
}

/* Nothing may wait for the database any more. */
void
http_stop(Http *http)
{
	loop_unwatch(&http->front->loop, &http->watch);
	MHD_stop_daemon(http->daemon);
	free(http);
}
