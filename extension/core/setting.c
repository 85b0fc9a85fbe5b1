/*
 * Settings: the value of this database, or the default.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_setting_sql);

/* The numbers of columns. */
#define SETTING_DEFAULT_VALUE 3
#define SETTING_VALUE 2

/* The column value of the row of that name; NULL if there is none. */
static char *
value_in(const char *table, int column, Datum name)
{
	CoreScan	scan;
	TupleTableSlot *slot;
	char	   *value = NULL;
	bool		isnull;

	core_scan_begin(&scan, table, GetActiveSnapshot(), 1, &(CoreKey) {F_TEXTEQ, name});
	slot = core_scan_next(&scan);
	if (slot != NULL)
		value = TextDatumGetCString(slot_getattr(slot, column, &isnull));
	core_scan_end(&scan);
	return value;
}

char *
core_setting(const char *name)
{
	Datum		key = CStringGetTextDatum(name);
	char	   *value = value_in("setting_default", SETTING_DEFAULT_VALUE, key);
	char	   *own = value != NULL ? value_in("setting", SETTING_VALUE, key) : NULL;

	return own != NULL ? own : value;
}

Datum
core_setting_sql(PG_FUNCTION_ARGS)
{
	char	   *value = core_setting(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(value));
}
