/*
 * Hooks: how a change acts on a topic further to the right.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_run_hooks_sql);

/* The functions registered for the event, in order, as a list of Oids. */
static List *
find_hooks(const char *event)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(event);
	CoreUser	user;
	List	   *calls = NIL;

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan,
				   "SELECT call::pg_catalog.regprocedure::pg_catalog.oid"
				   " FROM rapport.hook"
				   " WHERE event OPERATOR(pg_catalog.=) $1"
				   " ORDER BY ord, call",
				   1, &type);
	if (SPI_execute_plan(plan, &value, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the hooks of \"%s\"", event);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		call = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		calls = lappend_oid(calls, DatumGetObjectId(call));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	core_restore_user(&user);
	return calls;
}

static void
run_hooks(const char *event, Datum ids)
{
	ListCell   *cell;

	foreach(cell, find_hooks(event))
	{
		LOCAL_FCINFO(fcinfo, 1);
		FmgrInfo	call;

		/* Not OidFunctionCall1(): a void function in SQL returns null. */
		fmgr_info(lfirst_oid(cell), &call);
		InitFunctionCallInfoData(*fcinfo, &call, 1, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = ids;
		fcinfo->args[0].isnull = false;
		FunctionCallInvoke(fcinfo);
	}
}

void
core_run_hooks(const char *event, int n, const int64 *ids)
{
	Datum	   *elements = palloc(n * sizeof(Datum));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	run_hooks(event, PointerGetDatum(construct_array(elements, n, INT8OID,
													 sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

Datum
core_run_hooks_sql(PG_FUNCTION_ARGS)
{
	run_hooks(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_DATUM(1));
	PG_RETURN_VOID();
}
