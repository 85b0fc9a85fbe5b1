/*
 * Hooks: how a change acts on a topic further to the right.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_run_hooks_sql);

/* Columns of rapport.hook, whose key is (event, ord, call). */
#define CALL 3

/* The functions registered for the event, in order, by name. */
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

		calls = lappend(calls, TextDatumGetCString(slot_getattr(slot, CALL, &isnull)));
	}
	core_scan_end(&scan);
	return calls;
}

static void
call_hook(const char *name, Datum ids)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	call;

	fmgr_info(DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(name))), &call);
	/* Not OidFunctionCall1(): a void function in SQL returns null. */
	InitFunctionCallInfoData(*fcinfo, &call, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ids;
	fcinfo->args[0].isnull = false;
	FunctionCallInvoke(fcinfo);
}

static void
call_hooks(const List *names, Datum ids)
{
	ListCell   *cell;

	foreach(cell, names)
		call_hook(lfirst(cell), ids);
}

void
core_run_hooks(const char *event, int n, const int64 *ids)
{
	List	   *names = find_hooks(event);
	Datum	   *elements;
	CoreUser	user;

	if (names == NIL)
		return;
	elements = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	core_enter(&user);
	call_hooks(names, PointerGetDatum(construct_array(elements, n, INT8OID,
													  sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	core_leave(&user);
}

Datum
core_run_hooks_sql(PG_FUNCTION_ARGS)
{
	call_hooks(find_hooks(text_to_cstring(PG_GETARG_TEXT_PP(0))), PG_GETARG_DATUM(1));
	PG_RETURN_VOID();
}
