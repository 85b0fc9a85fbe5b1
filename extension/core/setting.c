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
static struct varlena *
value_in(const char *table, int column, Datum name, Snapshot snapshot)
{
	CoreScan	scan;
	TupleTableSlot *slot;
	struct varlena *value = NULL;
	bool		isnull;

	core_scan_begin(&scan, table, snapshot, 1, &(CoreKey) {F_TEXTEQ, name});
	slot = core_scan_next(&scan);
	if (slot != NULL)
		value = PG_DETOAST_DATUM_COPY(slot_getattr(slot, column, &isnull));
	core_scan_end(&scan);
	return value;
}

static struct varlena *
read_setting(const char *name, Snapshot snapshot)
{
	Datum		key = CStringGetTextDatum(name);
	struct varlena *value = value_in("setting_default", SETTING_DEFAULT_VALUE, key, snapshot);
	struct varlena *own = value != NULL ? value_in("setting", SETTING_VALUE, key, snapshot) : NULL;

	return own != NULL ? own : value;
}

char *
core_setting(const char *name)
{
	struct varlena *value = core_kept(read_setting, name);

	return value == NULL ? NULL : TextDatumGetCString(PointerGetDatum(value));
}

Datum
core_setting_sql(PG_FUNCTION_ARGS)
{
	struct varlena *value = core_kept(read_setting, text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (value == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(value);
}
