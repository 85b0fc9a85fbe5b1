/*
 * Errors are registered in rapport.error_code; code and SQL raise them by
 * their code, and the front turns them into problem+json.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_fail_sql);

/* Raises the error of that code; detail may be NULL. */
pg_noreturn static void
raise_error(const char *code, const char *detail)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(code);
	CoreUser	user;
	char	   *status;
	char	   *title;
	char	   *hint;

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan,
				   "SELECT status, title, hint"
				   " FROM rapport.error_code"
				   " WHERE code OPERATOR(pg_catalog.=) $1",
				   1, &type);
	if (SPI_execute_plan(plan, &value, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "error code \"%s\" is not registered", code);
	status = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	title = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	hint = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	status = MemoryContextStrdup(caller, status);
	title = MemoryContextStrdup(caller, title);
	if (hint != NULL)
		hint = MemoryContextStrdup(caller, hint);
	SPI_finish();
	core_restore_user(&user);

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE('R', 'P', status[0], status[1], status[2])),
			 errmsg("%s", title),
			 detail != NULL ? errdetail("%s", detail) : 0,
			 hint != NULL ? errhint("%s", hint) : 0,
			 errhidestmt(true),	/* the log gets no password or position */
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, code)));
}

void
core_fail(const char *code, const char *detail,...)
{
	StringInfoData text;

	if (detail == NULL)
		raise_error(code, NULL);
	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, detail);
		needed = appendStringInfoVA(&text, detail, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	raise_error(code, text.data);
}

Datum
core_fail_sql(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the error code must not be null")));
	raise_error(text_to_cstring(PG_GETARG_TEXT_PP(0)),
				PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
}
