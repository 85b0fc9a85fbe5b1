/*
 * Refuses to drop the extension while people exist, however the drop reaches
 * it: by name, or cascading from its schema, its owner or PostGIS.
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_guard_drop);

static bool allow_drop = false;

/*
 * What the command that is running must not drop, and the table that says why.
 * The event trigger looks, as long as the tables are there; the drop itself is
 * refused by the access hook, which sees what a command comes to in the end.
 */
static Oid	guarded = InvalidOid;
static char peopled[2 * NAMEDATALEN];
static object_access_hook_type next_hook = NULL;

static void
guard_access(ObjectAccessType access, Oid class, Oid object, int part, void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class, object, part, arg);
	if (access == OAT_DROP && class == ExtensionRelationId && object == guarded && !allow_drop)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"rapport\" is not dropped while people exist"),
				 errdetail("Table %s has rows, which the drop would delete.", peopled),
				 errhint("Dump first: pg_dump -Fc -f FILE DATABASE. Then, as a superuser, SET rapport.allow_drop = on.")));
}

void
core_guard_init(void)
{
	DefineCustomBoolVariable("rapport.allow_drop",
							 "Whether the extension may be dropped while people exist.",
							 NULL,
							 &allow_drop,
							 false,
							 PGC_SUSET, GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);
	next_hook = object_access_hook;
	object_access_hook = guard_access;
}

Datum
core_guard_drop(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	CoreUser	user;
	char	   *table;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		elog(ERROR, "not called by the event trigger manager");
	guarded = InvalidOid;
	/* An install or update script finds the tables half made. */
	if (allow_drop || creating_extension)
		PG_RETURN_NULL();

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan, "SELECT rapport.table_with_people()", 0, NULL);
	if (SPI_execute_plan(plan, NULL, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not look for people");
	table = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (table != NULL)
	{
		strlcpy(peopled, table, sizeof(peopled));
		guarded = get_extension_oid("rapport", false);
	}
	SPI_finish();
	core_restore_user(&user);
	PG_RETURN_NULL();
}
