/*
 * Settings of the module, the clock, kept plans, and the switch to the owner's
 * rights.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_now_sql);
PG_FUNCTION_INFO_V1(core_today_sql);

/* rapport.now: a time in ISO 8601 that replaces the clock; empty for none. */
static char *clock_setting = NULL;

void
core_init(void)
{
	DefineCustomStringVariable("rapport.now",
							   "The time that all rules go by, for tests; empty for the real one.",
							   NULL,
							   &clock_setting,
							   "",
							   PGC_SUSET, GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);
	core_guard_init();
}

TimestampTz
core_now(void)
{
	if (clock_setting == NULL || clock_setting[0] == '\0')
		return GetCurrentTransactionStartTimestamp();
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(clock_setting),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

DateADT
core_today(void)
{
	TimestampTz now = core_now();
	int64		day = now / USECS_PER_DAY;

	if (now % USECS_PER_DAY < 0)
		day--;
	return (DateADT) day;
}

Datum
core_now_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(core_now());
}

Datum
core_today_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATEADT(core_today());
}

void
core_become_owner(CoreUser *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(get_role_oid("rapport_owner", false),
						   saved->context | SECURITY_LOCAL_USERID_CHANGE);
}

void
core_restore_user(const CoreUser *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

void
core_enter(CoreUser *saved)
{
	core_become_owner(saved);
	saved->settings = NewGUCNestLevel();
	set_config_option("search_path", "pg_catalog, rapport, pg_temp", PGC_USERSET, PGC_S_SESSION,
					  GUC_ACTION_SAVE, true, 0, false);
}

void
core_leave(const CoreUser *saved)
{
	AtEOXact_GUC(true, saved->settings);
	core_restore_user(saved);
}

void
core_keep_plan(SPIPlanPtr *plan, const char *query, int nargs, const Oid *types)
{
	SPIPlanPtr	made;

	if (*plan != NULL)
		return;
	made = SPI_prepare_cursor(query, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);
	if (made == NULL || SPI_keepplan(made) != 0)
		elog(ERROR, "could not prepare: %s", query);
	*plan = made;
}
