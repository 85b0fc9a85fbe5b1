/* What can be configured: environment RAPPORT_*, then the ini file, then the default. */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "text.h"

typedef struct Option
{
	const char *name;
	bool		number;
	size_t		offset;
	const char *fallback;
	int			minimum;
	int			maximum;
	const char *help;
} Option;

#define TEXT(field, fallback, help) {#field, false, offsetof(Config, field), fallback, 0, 0, help}
#define NUMBER(field, fallback, low, high, help) {#field, true, offsetof(Config, field), fallback, low, high, help}

static const Option options[] = {
	TEXT(listen, "127.0.0.1:8080", "address:port, [address]:port, *:port or unix:/path"),
	TEXT(database, "", "libpq connection string; PGHOST, PGDATABASE ... fill what it leaves out, the user is rapport_api"),
	TEXT(cors_origins, "", "origins browsers may call from, by commas, or *; none: no CORS headers"),
	TEXT(log_level, "info", "info: every request; warn: 5xx and trouble; error"),
	NUMBER(read_connections, "2", 1, 64, "database connections for reads"),
	NUMBER(read_depth, "16", 1, 256, "requests in the pipeline of one of them"),
	NUMBER(write_connections, "8", 1, 256, "database connections for writes"),
	NUMBER(write_depth, "2", 1, 64, "requests in the pipeline of one of them"),
	NUMBER(heavy_connections, "2", 1, 64, "database connections for slow work such as password hashing"),
	NUMBER(heavy_depth, "1", 1, 64, "requests in the pipeline of one of them"),
	NUMBER(queue_length, "512", 1, 100000, "requests that may wait in each lane; more get 503"),
	NUMBER(queue_ms, "3000", 1, 60000, "longest wait in a lane, milliseconds"),
	NUMBER(prepared, "1", 0, 1, "keep prepared statements; 0 behind a pooler in transaction mode"),
	NUMBER(max_body, "65536", 1024, 16777216, "largest request body, bytes"),
	NUMBER(max_uri, "4096", 256, 8192, "longest request target, bytes"),
	NUMBER(max_headers, "16384", 1024, 16384, "request headers together, bytes"),
	NUMBER(max_clients, "4096", 1, 65536, "open client connections"),
	NUMBER(max_clients_per_address, "0", 0, 65536, "of one address; 0: no limit (a proxy is one address)"),
	NUMBER(request_seconds, "10", 1, 600, "a request must have arrived within"),
	NUMBER(idle_seconds, "60", 1, 3600, "a kept-alive connection may idle for"),
	NUMBER(answer_seconds, "30", 1, 600, "an answer must have been taken within"),
	NUMBER(drain_seconds, "10", 0, 600, "at stop, requests may take this long to finish"),
	NUMBER(connect_seconds, "5", 1, 60, "a database connection must be made within"),
	NUMBER(poll_seconds, "5", 1, 3600, "how often the extension's version is looked up"),
};
#define OPTIONS (sizeof options / sizeof options[0])

/* Sets one option from text; false, with a message on stderr, when it does not fit. */
static bool
set_option(Config *config, const Option *option, const char *value, const char *origin)
{
	char	   *field = (char *) config + option->offset;
	char	   *end;
	long		number;

	if (!option->number)
	{
		free(*(char **) field);
		*(char **) field = checked_strdup(value);
		return true;
	}
	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number < option->minimum || number > option->maximum)
	{
		fprintf(stderr, "rapportd: %s: %s takes a number from %d to %d, not \"%s\"\n",
				origin, option->name, option->minimum, option->maximum, value);
		return false;
	}
	*(int *) field = (int) number;
	return true;
}

static int
ini_value(void *context, const char *section, const char *name, const char *value)
{
	if (strcmp(section, "rapportd") != 0)
	{
		fprintf(stderr, "rapportd: the only section is [rapportd], not [%s]\n", section);
		return 0;
	}
	for (size_t i = 0; i < OPTIONS; i++)
		if (strcmp(name, options[i].name) == 0)
			return set_option(context, &options[i], value, "configuration file");
	fprintf(stderr, "rapportd: there is no option \"%s\"\n", name);
	return 0;
}

static void
variable_name(const Option *option, char *name, size_t size)
{
	snprintf(name, size, "RAPPORT_%s", option->name);
	for (char *c = name; *c != '\0'; c++)
		*c = (char) toupper((unsigned char) *c);
}

/* Fills the configuration; false, with messages on stderr, when something does not fit. */
bool
config_load(Config *config, const char *file)
{
	bool		fits = true;

	memset(config, 0, sizeof *config);
	for (size_t i = 0; i < OPTIONS; i++)
		set_option(config, &options[i], options[i].fallback, "default");
	if (file != NULL)
	{
		int			line = ini_parse(file, ini_value, config);

		if (line < 0)
			fprintf(stderr, "rapportd: cannot read %s\n", file);
		else if (line > 0)
			fprintf(stderr, "rapportd: %s, line %d is not right\n", file, line);
		if (line != 0)
			return false;
	}
	for (size_t i = 0; i < OPTIONS; i++)
	{
		char		name[64];
		const char *value;

		variable_name(&options[i], name, sizeof name);
		value = getenv(name);
		if (value != NULL)
			fits &= set_option(config, &options[i], value, name);
	}
	if (strcmp(config->log_level, "info") != 0 && strcmp(config->log_level, "warn") != 0 && strcmp(config->log_level, "error") != 0)
	{
		fprintf(stderr, "rapportd: log_level takes info, warn or error, not \"%s\"\n", config->log_level);
		fits = false;
	}
	return fits;
}

/* Frees the texts, also after config_load() said false. */
void
config_free(Config *config)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (!options[i].number)
			free(*(char **) ((char *) config + options[i].offset));
}

void
config_help(void)
{
	for (size_t i = 0; i < OPTIONS; i++)
	{
		char		name[64];

		variable_name(&options[i], name, sizeof name);
		printf("  %-33s %s", name, options[i].help);
		if (options[i].fallback[0] != '\0')
			printf(" (%s)", options[i].fallback);
		printf("\n");
	}
}
