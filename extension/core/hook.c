/*
 * Hooks: how a change acts on a topic further to the right.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_run_hooks_sql);

/* Columns of rapport.hook, whose key is (event, ord, call). */
#define CALL 3

/* The functions registered for the event, in order, as a list of Oids. */
static List *
find_hooks(const char *event)
{
	CoreKey		key = {F_TEXTEQ, CStringGetTextDatum(event)};
	CoreScan	scan;
	TupleTableSlot *slot;
	List	   *calls = NIL;

	core_scan_begin(&scan, "hook", GetActiveSnapshot(), 1, &key);
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		char	   *call = TextDatumGetCString(slot_getattr(slot, CALL, &isnull));
		CoreUser	user;

		core_become_owner(&user);
		calls = lappend_oid(calls, DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(call))));
		core_restore_user(&user);
	}
	core_scan_end(&scan);
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
