/*
 * What is kept in memory of the tables: which they are, and what stands in the
 * small ones that only functions of ours write, which say so (forget_kept()). It
 * is told through the server's own messages about changed tables.
 */
#include "postgres.h"

#include "access/transam.h"
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
#include "utils/snapmgr.h"
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
	TransactionId xmax;			/* of the snapshot it was read with, as the next two */
	uint32		n_running;
	TransactionId *running;
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

/* Keeps what is committed now, if it is still so after it has been read; NULL if not. */
static Kept *
keep(CoreRead read, const char *name)
{
	/* Not GetLatestSnapshot(), which parallel workers may not take. */
	Snapshot	latest = RegisterSnapshot(GetCatalogSnapshot(core_table("setting")));
	uint64		before = changes;
	struct varlena *value = read(name, latest);
	Kept	   *kept = NULL;

	if (value != NULL && changes == before)
	{
		void	   *copy = MemoryContextAlloc(memory, VARSIZE(value));
		void	   *running = MemoryContextAlloc(memory, latest->xcnt * sizeof(TransactionId));

		kept = find(read, name, HASH_ENTER);
		if (kept != NULL)
		{
			kept->value = memcpy(copy, value, VARSIZE(value));
			kept->xmax = latest->xmax;
			kept->n_running = latest->xcnt;
			kept->running = running;
			for (uint32 i = 0; i < latest->xcnt; i++)
				kept->running[i] = latest->xip[i];
		}
	}
	UnregisterSnapshot(latest);
	return kept;
}

/* Whether a snapshot sees whatever the one saw with which the value was read. */
static bool
is_as_new(Snapshot snapshot, const Kept *kept)
{
	if (TransactionIdFollowsOrEquals(snapshot->xmin, kept->xmax))
		return true;
	if (snapshot->takenDuringRecovery || TransactionIdPrecedes(snapshot->xmax, kept->xmax))
		return false;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
	{
		bool		ran = !TransactionIdPrecedes(snapshot->xip[i], kept->xmax);

		for (uint32 j = 0; !ran && j < kept->n_running; j++)
			ran = kept->running[j] == snapshot->xip[i];
		if (!ran)
			return false;
	}
	return true;
}

struct varlena *
core_kept(CoreRead read, const char *name)
{
	Snapshot	snapshot = GetActiveSnapshot();
	Kept	   *kept;

	AcceptInvalidationMessages();
	prepare();
	kept = find(read, name, HASH_FIND);
	if (kept == NULL && is_told())
		kept = keep(read, name);
	/* Statements that began before see what was then: no answer is half of the one and half of the other. */
	if (kept == NULL || !is_as_new(snapshot, kept))
		return read(name, snapshot);
	return memcpy(palloc(VARSIZE(kept->value)), kept->value, VARSIZE(kept->value));
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
