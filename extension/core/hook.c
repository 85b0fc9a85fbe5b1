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

/* The functions registered for the event, in order, by name: text[]. */
static struct varlena *
read_hooks(const char *event, Snapshot snapshot)
{
	CoreKey		key = {F_TEXTEQ, CStringGetTextDatum(event)};
	ArrayBuildState *calls = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, "hook", snapshot, 1, &key);
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		Datum		call = slot_getattr(slot, CALL, &isnull);

		calls = accumArrayResult(calls, call, isnull, TEXTOID, CurrentMemoryContext);
	}
	core_scan_end(&scan);
	return (struct varlena *) DatumGetPointer(makeArrayResult(calls, CurrentMemoryContext));
}

static void
call_hook(Datum name, Datum ids)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	call;

	fmgr_info(DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(TextDatumGetCString(name)))), &call);
	/* Not OidFunctionCall1(): a void function in SQL returns null. */
	InitFunctionCallInfoData(*fcinfo, &call, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ids;
	fcinfo->args[0].isnull = false;
	FunctionCallInvoke(fcinfo);
}

/* The functions to call for the event; how many. */
static int
find_hooks(const char *event, Datum **names)
{
	int			n;

	deconstruct_array((ArrayType *) core_kept(read_hooks, event), TEXTOID, -1, false, TYPALIGN_INT, names, NULL, &n);
	return n;
}

static void
call_hooks(int n, const Datum *names, Datum ids)
{
	for (int i = 0; i < n; i++)
		call_hook(names[i], ids);
}

void
core_run_hooks(const char *event, int n, const int64 *ids)
{
	Datum	   *names;
	int			n_hooks = find_hooks(event, &names);
	Datum	   *elements;
	CoreUser	user;

	if (n_hooks == 0)
		return;
	elements = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(ids[i]);
	core_enter(&user);
	call_hooks(n_hooks, names, PointerGetDatum(construct_array(elements, n, INT8OID,
															   sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	core_leave(&user);
}

Datum
core_run_hooks_sql(PG_FUNCTION_ARGS)
{
	Datum	   *names;
	int			n = find_hooks(text_to_cstring(PG_GETARG_TEXT_PP(0)), &names);

	call_hooks(n, names, PG_GETARG_DATUM(1));
	PG_RETURN_VOID();
}
