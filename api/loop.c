/* The event loop: epoll, and a tick for what waits for time. */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define EVENTS 64

int64_t
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool
loop_open(Loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->now_ms = clock_us() / 1000;
	loop->next_tick_ms = loop->now_ms;
	return loop->epoll_fd >= 0;
}

void
loop_close(Loop *loop)
{
	close(loop->epoll_fd);
}

/*
 * Watches the descriptor, or changes what it is watched for. libpq may close
 * its socket and open another under the same number, so the kernel is asked
 * rather than our memory.
 */
bool
loop_watch(Loop *loop, Watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events,.data.ptr = watch};

	if (watch->fd >= 0 && watch->fd != fd)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = fd;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	return errno == ENOENT && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Call this before the descriptor is closed. */
void
loop_unwatch(Loop *loop, Watch *watch)
{
	if (watch->fd >= 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
}

/*
 * Waits for at most that long, or the next tick, and serves what is ready.
 * True when a tick is due.
 */
bool
loop_turn(Loop *loop, int64_t wait_ms)
{
	struct epoll_event events[EVENTS];
	int64_t		until_tick = loop->next_tick_ms - clock_us() / 1000;
	int			n;

	if (until_tick < 0)
		until_tick = 0;
	if (wait_ms < 0 || wait_ms > until_tick)
		wait_ms = until_tick;
	n = epoll_wait(loop->epoll_fd, events, EVENTS, (int) wait_ms);
	loop->now_ms = clock_us() / 1000;
	for (int i = 0; i < n; i++)
	{
		Watch	   *watch = events[i].data.ptr;

		/* An earlier event of this batch may have ended this one. */
		if (watch->fd >= 0)
			watch->ready(watch, events[i].events);
	}
	if (loop->now_ms < loop->next_tick_ms)
		return false;
	loop->next_tick_ms = loop->now_ms + TICK_MS;
	return true;
}
