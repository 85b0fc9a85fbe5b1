/*
 * Settings: the value of this database, or the default.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_setting_sql);

char *
core_setting(const char *name)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	MemoryContext caller = CurrentMemoryContext;
	Datum		argument = CStringGetTextDatum(name);
	CoreUser	user;
	char	   *value = NULL;

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan,
				   "SELECT COALESCE(s.value, d.value)"
				   " FROM rapport.setting_default AS d"
				   " LEFT JOIN rapport.setting AS s ON s.name OPERATOR(pg_catalog.=) d.name"
				   " WHERE d.name OPERATOR(pg_catalog.=) $1",
				   1, &type);
	if (SPI_execute_plan(plan, &argument, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the setting \"%s\"", name);
	if (SPI_processed == 1)
	{
		value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		if (value != NULL)
			value = MemoryContextStrdup(caller, value);
	}
	SPI_finish();
	core_restore_user(&user);
	return value;
}

Datum
core_setting_sql(PG_FUNCTION_ARGS)
{
	char	   *value = core_setting(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}
