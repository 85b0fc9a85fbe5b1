/* The log: one JSON object a line, on stdout. Never tokens, bodies or query values. */
#ifndef RAPPORTD_LOG_H
#define RAPPORTD_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum LogLevel
{
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR
} LogLevel;

extern void log_threshold(const char *name);
extern bool log_wanted(LogLevel level);
extern void log_begin(LogLevel level, const char *event);
extern void log_text(const char *key, const char *value);
extern void log_number(const char *key, int64_t value);
extern void log_ms(const char *key, int64_t microseconds);
extern void log_end(void);
extern void log_flush(void);

#endif
