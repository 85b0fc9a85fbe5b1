/* The event loop: epoll, and a tick for what waits for time. */
#ifndef RAPPORTD_LOOP_H
#define RAPPORTD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define TICK_MS 100

typedef struct Watch Watch;
struct Watch
{
	int			fd;				/* -1: not watched */
	void		(*ready) (Watch *watch, uint32_t events);
	void	   *owner;
};

typedef struct Loop
{
	int			epoll_fd;
	int64_t		now_ms;			/* monotonic, taken after each wait */
	int64_t		next_tick_ms;
} Loop;

extern bool loop_open(Loop *loop);
extern void loop_close(Loop *loop);
extern bool loop_watch(Loop *loop, Watch *watch, int fd, uint32_t events);
extern void loop_unwatch(Loop *loop, Watch *watch);
extern bool loop_turn(Loop *loop, int64_t wait_ms);
extern int64_t clock_us(void);

#endif
