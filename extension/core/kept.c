/*
 * What is kept in memory of the tables: which they are, and what stands in the
 * small ones that only functions of ours write, which say so (forget_kept()). It
 * is told through the server's own messages about changed tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_forget_kept);

/* A table's, where nothing reads it, or what was read. */
typedef struct Kept
{
	struct
	{
		CoreRead	read;
		char		name[NAMEDATALEN];
	}			key;
	Oid			table;
	struct varlena *value;
} Kept;

static MemoryContext memory = NULL;
static HTAB *entries = NULL;
static List *watched = NIL;		/* the tables that entries depend on */
static bool outdated = false;
static uint64 changes = 0;		/* of any table, told so far */

static void
note_change(Datum unused, Oid table)
{
	changes++;
	if (!OidIsValid(table) || list_member_oid(watched, table))
		outdated = true;
}

/* Begins anew where there is nothing or it may be wrong. */
static void
prepare(void)
{
	HASHCTL		control = {.keysize = sizeof(((Kept *) NULL)->key), .entrysize = sizeof(Kept)};

	if (memory == NULL)
	{
		CacheRegisterRelcacheCallback(note_change, (Datum) 0);
		memory = AllocSetContextCreate(TopMemoryContext, "rapport: kept", ALLOCSET_SMALL_SIZES);
	}
	else if (!outdated)
		return;
	entries = NULL;
	watched = NIL;
	outdated = false;
	MemoryContextReset(memory);
	control.hcxt = memory;
	entries = hash_create("rapport: kept", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* The entry, entered where that is asked; NULL if there is none or cannot be one. */
static Kept *
find(CoreRead read, const char *name, HASHACTION action)
{
	Kept		wanted;

	memset(&wanted.key, 0, sizeof(wanted.key));
	wanted.key.read = read;
	if (strlcpy(wanted.key.name, name, NAMEDATALEN) >= NAMEDATALEN)
		return NULL;
	return hash_search(entries, &wanted.key, action, NULL);
}

Oid
core_table(const char *name)
{
	Kept	   *kept;
	uint64		before;
	Oid			table;

	prepare();
	kept = find(NULL, name, HASH_FIND);
	if (kept != NULL)
		return kept->table;
	before = changes;
	table = get_relname_relid(name, get_namespace_oid("rapport", false));
	if (OidIsValid(table) && changes == before)
	{
		MemoryContext old = MemoryContextSwitchTo(memory);

		watched = lappend_oid(watched, table);
		MemoryContextSwitchTo(old);
		find(NULL, name, HASH_ENTER)->table = table;
	}
	return table;
}

/* Whether whoever writes says so: the functions of 0.1.0 do not, nor do scripts and restores. */
static bool
is_told(void)
{
	return !creating_extension &&
		SearchSysCacheExists3(PROCNAMEARGSNSP, CStringGetDatum("forget_kept"), PointerGetDatum(buildoidvector(NULL, 0)),
							  ObjectIdGetDatum(get_namespace_oid("rapport", false)));
}

struct varlena *
core_kept(CoreRead read, const char *name)
{
	Kept	   *kept;
	uint64		before;
	struct varlena *value;

	AcceptInvalidationMessages();
	prepare();
	kept = find(read, name, HASH_FIND);
	if (kept != NULL)
		return memcpy(palloc(VARSIZE(kept->value)), kept->value, VARSIZE(kept->value));
	before = changes;
	value = read(name);
	if (value != NULL && is_told() && changes == before)
	{
		struct varlena *copy = MemoryContextAlloc(memory, VARSIZE(value));

		kept = find(read, name, HASH_ENTER);
		if (kept != NULL)
			kept->value = memcpy(copy, value, VARSIZE(value));
	}
	return value;
}

Datum
core_forget_kept(PG_FUNCTION_ARGS)
{
	static const char *const tables[] = {"setting", "setting_default", "hook"};

	/* A command that changes something: its end tells this backend. */
	GetCurrentCommandId(true);
	for (int i = 0; i < (int) lengthof(tables); i++)
		CacheInvalidateRelcacheByRelid(core_table(tables[i]));
	PG_RETURN_VOID();
}
