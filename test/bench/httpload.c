/*
 * Loads an HTTP server: each of N keep-alive connections sends the request
 * read from stdin again as soon as it is answered.
 *
 *   httpload ADDRESS PORT CONNECTIONS SECONDS <request
 *
 * Prints answers a second, the median and 99th percentile of their times in
 * milliseconds, and how many had a status other than 2xx.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_TIMES 4000000

typedef struct Connection
{
	int			fd;
	double		sent;
	size_t		length;
	char		answer[65536];
} Connection;

static char request[16384];
static size_t request_length;

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static void
send_request(Connection *connection)
{
	connection->sent = now();
	connection->length = 0;
	if (write(connection->fd, request, request_length) != (ssize_t) request_length)
		fail("write");
}

/* Whether the answer is whole; an answer without a length is one without a body. */
static int
whole(const Connection *connection)
{
	const char *body = strstr(connection->answer, "\r\n\r\n");
	const char *length = strstr(connection->answer, "Content-Length: ");

	if (body == NULL)
		return 0;
	body += 4;
	return connection->length >= (size_t) (body - connection->answer)
		+ (length != NULL && length < body ? (size_t) atol(length + 16) : 0);
}

static int
compare(const void *a, const void *b)
{
	float		left = *(const float *) a;
	float		right = *(const float *) b;

	return (left > right) - (left < right);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int			count = argc == 5 ? atoi(argv[3]) : 0;
	double		seconds = argc == 5 ? atof(argv[4]) : 0;
	Connection *connections = calloc((size_t) count + 1, sizeof *connections);
	float	   *times = malloc(MAX_TIMES * sizeof *times);
	size_t		answers = 0;
	size_t		refused = 0;
	int			epoll_fd = epoll_create1(0);
	double		start;

	if (count < 1 || connections == NULL || times == NULL)
	{
		fprintf(stderr, "usage: httpload ADDRESS PORT CONNECTIONS SECONDS <request\n");
		return 2;
	}
	request_length = fread(request, 1, sizeof request, stdin);
	address.sin_port = htons((uint16_t) atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &address.sin_addr);
	start = now();
	for (int i = 0; i < count; i++)
	{
		struct epoll_event event = {.events = EPOLLIN,.data.ptr = &connections[i]};
		int			on = 1;

		connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(connections[i].fd, (struct sockaddr *) &address, sizeof address) < 0)
			fail("connect");
		setsockopt(connections[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event);
		send_request(&connections[i]);
	}
	while (now() - start < seconds && answers < MAX_TIMES)
	{
		struct epoll_event events[64];
		int			ready = epoll_wait(epoll_fd, events, 64, 100);

		for (int i = 0; i < ready && answers < MAX_TIMES; i++)
		{
			Connection *connection = events[i].data.ptr;
			ssize_t		n = read(connection->fd, connection->answer + connection->length,
								 sizeof connection->answer - 1 - connection->length);

			if (n <= 0)
				fail("read");
			connection->length += (size_t) n;
			connection->answer[connection->length] = '\0';
			if (!whole(connection))
				continue;
			times[answers++] = (float) (now() - connection->sent);
			refused += connection->answer[9] != '2';
			send_request(connection);
		}
	}
	seconds = now() - start;
	qsort(times, answers, sizeof *times, compare);
	printf("%.0f %.2f %.2f %zu\n", answers / seconds, answers > 0 ? times[answers / 2] * 1e3 : 0,
		   answers > 0 ? times[answers * 99 / 100] * 1e3 : 0, refused);
	return 0;
}
