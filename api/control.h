/*
 * The connection that asks the database what to serve: the extension's version
 * every few seconds, and the catalogue when that, or an operator, says so.
 */
#ifndef RAPPORTD_CONTROL_H
#define RAPPORTD_CONTROL_H

#include <stdbool.h>

#include "catalog.h"
#include "config.h"
#include "loop.h"

typedef struct Control Control;

/* changed is called with each new catalogue; the callee takes the reference. */
extern Control *control_make(const Config *config, Loop *loop, void (*changed) (void *context, Catalog *catalog), void *context);
extern void control_free(Control *control);
extern void control_reload(Control *control);
extern void control_tick(Control *control);
extern const char *control_trouble(const Control *control);
extern bool control_refuses(const Control *control);
extern bool version_served(const char *version);
extern bool control_check(const Config *config);

#endif
