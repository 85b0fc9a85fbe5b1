/*
 * plant.c
 *	  Bugs for the builds of PostgreSQL that check themselves to find:
 *	  "test/run cassert" shows first that they do.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(plant);

/* plant(bug text): commits the bug; what survives it is the answer. */
Datum
plant(PG_FUNCTION_ARGS)
{
	char	   *bug = text_to_cstring(PG_GETARG_TEXT_PP(0));
	volatile int past = 20;
	char	   *answer = "nothing";

	if (strcmp(bug, "overrun") == 0)
	{
		volatile char *chunk = palloc(past);

		chunk[past] = 'x';
		pfree((void *) chunk);
	}
	else if (strcmp(bug, "assertion") == 0)
		Assert(past == 0);
	else if (strcmp(bug, "stale") == 0)
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));

		answer = NameStr(((Form_pg_proc) GETSTRUCT(tuple))->proname);
		ReleaseSysCache(tuple);
		AcceptInvalidationMessages();
	}
	else if (strcmp(bug, "address") == 0)
	{
		volatile char *block = malloc(past);

		block[past] = 'x';
		free((void *) block);
	}
	else if (strcmp(bug, "undefined") == 0)
		past = 1 << (2 * past);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(answer, strnlen(answer, NAMEDATALEN)));
}
