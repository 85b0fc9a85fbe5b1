/*
 * Statements of an update script that are the database's own, not the
 * extension's.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(core_outside_extension_sql);

/*
 * The server takes every grant that a script makes for one of the extension's,
 * which a dump leaves out.
 */
Datum
core_outside_extension_sql(PG_FUNCTION_ARGS)
{
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		in_script = creating_extension;

	creating_extension = false;
	PG_TRY();
	{
		int			result;

		SPI_connect();
		result = SPI_execute(statement, false, 0);
		if (result < 0)
			elog(ERROR, "could not run \"%s\": %s", statement, SPI_result_code_string(result));
		SPI_finish();
	}
	PG_FINALLY();
	{
		creating_extension = in_script;
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}
