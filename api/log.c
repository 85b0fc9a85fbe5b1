/* The log: one JSON object a line, on stdout. Never tokens, bodies or query values. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "text.h"

#define FLUSH_AT 65536

static LogLevel threshold = LOG_INFO;
static _Thread_local Buffer pending;
static _Thread_local bool line_wanted;

void
log_threshold(const char *name)
{
	threshold = strcmp(name, "error") == 0 ? LOG_ERROR : strcmp(name, "warn") == 0 ? LOG_WARN : LOG_INFO;
}

bool
log_wanted(LogLevel level)
{
	return level >= threshold;
}

/* Starts a line; log_text() and its kin add to it, log_end() ends it. */
void
log_begin(LogLevel level, const char *event)
{
	static const char *const names[] = {"info", "warn", "error"};
	static _Thread_local time_t second;
	static _Thread_local char date[32];
	struct timespec now;

	line_wanted = log_wanted(level);
	if (!line_wanted)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second)
	{
		struct tm	utc;

		second = now.tv_sec;
		gmtime_r(&second, &utc);
		strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
	}
	buffer_printf(&pending, "{\"at\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":", date, now.tv_nsec / 1000000, names[level]);
	buffer_json(&pending, event);
}

static void
begin_key(const char *key)
{
	buffer_char(&pending, ',');
	buffer_json(&pending, key);
	buffer_char(&pending, ':');
}

/* Adds a text; NULL adds nothing, what is not UTF-8 is replaced. */
void
log_text(const char *key, const char *value)
{
	if (!line_wanted || value == NULL)
		return;
	begin_key(key);
	buffer_json(&pending, utf8_valid(value, strlen(value)) ? value : "(not UTF-8)");
}

void
log_number(const char *key, int64_t value)
{
	if (!line_wanted)
		return;
	begin_key(key);
	buffer_printf(&pending, "%lld", (long long) value);
}

void
log_ms(const char *key, int64_t microseconds)
{
	if (!line_wanted)
		return;
	begin_key(key);
	buffer_printf(&pending, "%lld.%03d", (long long) (microseconds / 1000), (int) (microseconds % 1000));
}

void
log_end(void)
{
	if (!line_wanted)
		return;
	buffer_text(&pending, "}\n");
	if (pending.length >= FLUSH_AT)
		log_flush();
}

/* Writes what has gathered: once a turn of the loop. A reader that is gone loses lines, nothing else. */
void
log_flush(void)
{
	size_t		written = 0;

	while (written < pending.length)
	{
		ssize_t		n = write(STDOUT_FILENO, pending.data + written, pending.length - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		written += (size_t) n;
	}
	pending.length = 0;
}
