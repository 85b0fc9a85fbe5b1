/* What can be configured: environment RAPPORT_*, then the ini file, then the default. */
#ifndef RAPPORTD_CONFIG_H
#define RAPPORTD_CONFIG_H

#include <stdbool.h>

typedef struct Config
{
	char	   *listen;
	char	   *database;
	char	   *cors_origins;
	char	   *log_level;
	int			read_connections;
	int			read_depth;
	int			write_connections;
	int			write_depth;
	int			heavy_connections;
	int			heavy_depth;
	int			queue_length;
	int			queue_ms;
	int			prepared;
	int			max_body;
	int			max_uri;
	int			max_headers;
	int			max_clients;
	int			max_clients_per_address;
	int			request_seconds;
	int			idle_seconds;
	int			answer_seconds;
	int			drain_seconds;
	int			connect_seconds;
	int			poll_seconds;
} Config;

extern bool config_load(Config *config, const char *file);
extern void config_free(Config *config);
extern void config_help(void);

#endif
