/*
 * Rows of our own tables, by their primary key and without a plan: to start and
 * end an executor costs several times what it takes to find or write the row.
 *
 * Whatever the executor would do besides, for a trigger, a policy or a check that
 * somebody has added, is not done here: core_open_plain() tells such tables, and
 * their callers use statements.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/core.h"

/* Locks are kept until the transaction ends, as the executor keeps them. */
static Relation
open_table(const char *name, LOCKMODE mode)
{
	return table_open(core_table(name), mode);
}

/*
 * Reading.
 */

void
core_scan_open(CoreScan *scan, Relation table, Snapshot snapshot, int n, const CoreKey *keys)
{
	if (!table->rd_indexvalid)
		list_free(RelationGetIndexList(table));
	scan->table = table;
	scan->index = index_open(table->rd_pkindex, AccessShareLock);
	scan->snapshot = RegisterSnapshot(snapshot);
	scan->slot = table_slot_create(table, NULL);
	scan->scan = core_index_beginscan(table, scan->index, scan->snapshot, n, 0);
	core_scan_seek(scan, n, keys);
}

void
core_scan_close(CoreScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
}

void
core_scan_begin(CoreScan *scan, const char *table, Snapshot snapshot, int n, const CoreKey *keys)
{
	core_scan_open(scan, open_table(table, AccessShareLock), snapshot, n, keys);
}

void
core_scan_seek(CoreScan *scan, int n, const CoreKey *keys)
{
	ScanKeyData where[INDEX_MAX_KEYS];

	for (int i = 0; i < n; i++)
		ScanKeyEntryInitialize(&where[i], 0, i + 1, keys[i].or_more ? BTGreaterEqualStrategyNumber : BTEqualStrategyNumber,
							   InvalidOid, scan->index->rd_indcollation[i], keys[i].equal, keys[i].value);
	index_rescan(scan->scan, where, n, NULL, 0);
}

/*
 * The page of a row, pinned: the slot's own where that is it. The table's own fetch
 * would prune the page as soon as less than the fillfactor is free, which after an
 * update it always is: here only a page that is nearly full is pruned.
 */
static Buffer
pin_page(Relation table, Buffer own, BlockNumber number)
{
	Buffer		buffer;
	Page		page;

	if (BufferIsValid(own) && BufferGetBlockNumber(own) == number)
	{
		IncrBufferRefCount(own);
		return own;
	}
	buffer = ReadBuffer(table, number);
	page = BufferGetPage(buffer);
	if (PageIsFull(page) || PageGetHeapFreeSpace(page) < BLCKSZ / 10)
		heap_page_prune_opt(table, buffer);
	return buffer;
}

/* Puts the version of a row that the snapshot sees into the slot, if there is one. */
static bool
fetch(CoreScan *scan, ItemPointer tid)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;
	Buffer		buffer = pin_page(scan->table, slot->buffer, ItemPointerGetBlockNumber(tid));
	HeapTuple	tuple = &slot->base.tupdata;
	bool		all_dead;
	bool		found;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(tid, scan->table, buffer, scan->snapshot, tuple, &all_dead, true);
	tuple->t_self = *tid;
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (found)
	{
		pgstat_count_heap_fetch(scan->index);
		ExecStorePinnedBufferHeapTuple(tuple, scan->slot, buffer);
	}
	else
	{
		ReleaseBuffer(buffer);
		scan->scan->kill_prior_tuple = all_dead && !scan->scan->xactStartedInRecovery;
	}
	return found;
}

TupleTableSlot *
core_scan_next(CoreScan *scan)
{
	ItemPointer tid;

	if (scan->table->rd_tableam != GetHeapamTableAmRoutine())
		return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot) ? scan->slot : NULL;
	while ((tid = index_getnext_tid(scan->scan, ForwardScanDirection)) != NULL)
	{
		if (fetch(scan, tid))
			return scan->slot;
	}
	ExecClearTuple(scan->slot);
	return NULL;
}

void
core_scan_end(CoreScan *scan)
{
	core_scan_close(scan);
	table_close(scan->table, NoLock);
}

/*
 * Writing.
 */

/* Foreign keys that refer to the table watch its key, which nobody here changes. */
static bool
has_triggers(Relation table)
{
	for (int i = 0; table->trigdesc != NULL && i < table->trigdesc->numtriggers; i++)
	{
		if (RI_FKey_trigger_type(table->trigdesc->triggers[i].tgfoid) != RI_TRIGGER_PK)
			return true;
	}
	return false;
}

Relation
core_open_plain(const char *name, int columns)
{
	Relation	table = open_table(name, RowExclusiveLock);
	TupleConstr *constraints = RelationGetDescr(table)->constr;

	if (table->rd_rel->relkind == RELKIND_RELATION &&
		!table->rd_rel->relrowsecurity &&
		table->rd_rules == NULL &&
		RelationGetNumberOfAttributes(table) == columns &&
		(constraints == NULL || (constraints->num_check == 0 && !constraints->has_generated_stored)) &&
		!has_triggers(table))
		return table;
	table_close(table, NoLock);
	return NULL;
}

static TupleTableSlot *
make_row(Relation table, const Datum *values, const bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(table);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);

	memcpy(slot->tts_values, values, desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, desc->natts * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
}

/* Whether its primary key is the only index, and nobody has added another. */
static bool
has_only_key(Relation table)
{
	List	   *indexes = RelationGetIndexList(table);
	bool		only = list_length(indexes) == 1 && linitial_oid(indexes) == table->rd_pkindex;

	list_free(indexes);
	return only;
}

/* Inserts a row and its key; whether the key is new, as far as that was asked. */
static bool
insert_with_key(Relation table, TupleTableSlot *slot, IndexUniqueCheck check)
{
	Relation	index = index_open(table->rd_pkindex, RowExclusiveLock);
	IndexInfo  *info = BuildIndexInfo(index);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	bool		is_new;

	table_tuple_insert(table, slot, GetCurrentCommandId(true), 0, NULL);
	FormIndexDatum(info, slot, NULL, values, nulls);
	is_new = index_insert(index, values, nulls, &slot->tts_tid, table, check, false, info);
	index_close(index, NoLock);
	CommandCounterIncrement();
	return is_new;
}

/* Inserts a row and its entries in all indexes, whose functions are run with the owner's rights. */
static void
insert_with_indexes(Relation table, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	CoreUser	user;

	core_enter(&user);
	InitResultRelInfo(target, table, 0, NULL, 0);
	ExecOpenIndices(target, false);
	ExecSimpleRelationInsert(target, estate, slot);
	ExecCloseIndices(target);
	core_leave(&user);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}

void
core_insert(Relation table, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = make_row(table, values, nulls);

	PreventCommandIfReadOnly("INSERT");
	if (has_only_key(table))
		insert_with_key(table, slot, UNIQUE_CHECK_YES);
	else
		insert_with_indexes(table, slot);
	ExecDropSingleTupleTableSlot(slot);
}

bool
core_insert_if_new(Relation table, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot;
	bool		is_new;

	PreventCommandIfReadOnly("INSERT");
	if (!has_only_key(table))
		return false;
	slot = make_row(table, values, nulls);
	is_new = insert_with_key(table, slot, UNIQUE_CHECK_PARTIAL);
	if (!is_new)
	{
		simple_table_tuple_delete(table, &slot->tts_tid, InvalidSnapshot);
		CommandCounterIncrement();
	}
	ExecDropSingleTupleTableSlot(slot);
	return is_new;
}

/* The entries of a new version that its indexes cannot reach from the old one. */
static void
insert_into_indexes(Relation table, TupleTableSlot *slot, CoreUpdateIndexes which)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	CoreUser	user;

	core_enter(&user);
	InitResultRelInfo(target, table, 0, NULL, 0);
	ExecOpenIndices(target, false);
	list_free(core_insert_index_tuples(target, slot, estate, which));
	ExecCloseIndices(target);
	core_leave(&user);
	FreeExecutorState(estate);
}

static bool
key_holds(Relation index, TupleTableSlot *slot, int n, const CoreKey *keys)
{
	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, index->rd_index->indkey.values[i], &isnull);

		if (isnull || !DatumGetBool(OidFunctionCall2Coll(keys[i].equal, index->rd_indcollation[i], value, keys[i].value)))
			return false;
	}
	return true;
}

/*
 * As UPDATE does: a version that another transaction has replaced meanwhile is
 * waited for and followed to the last one, which is what is changed, if it still
 * is to be.
 */
bool
core_update_row(CoreScan *scan, int n, const CoreKey *keys, CoreChange change, void *state)
{
	Relation	table = scan->table;
	TupleDesc	desc = RelationGetDescr(table);
	TupleTableSlot *old = scan->slot;
	TupleTableSlot *slot;
	bool		found;

	PreventCommandIfReadOnly("UPDATE");
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	do
	{
		CoreUpdateIndexes indexes;
		LockTupleMode mode;
		TM_FailureData failure;
		TM_Result	result;

		ExecClearTuple(slot);
		slot_getallattrs(old);
		memcpy(slot->tts_values, old->tts_values, desc->natts * sizeof(Datum));
		memcpy(slot->tts_isnull, old->tts_isnull, desc->natts * sizeof(bool));
		found = change(slot->tts_values, slot->tts_isnull, state);
		if (!found)
			break;
		ExecStoreVirtualTuple(slot);
		result = table_tuple_update(table, &old->tts_tid, slot, GetCurrentCommandId(true), scan->snapshot,
									InvalidSnapshot, true, &failure, &mode, &indexes);
		if (result == TM_Ok)
		{
			if (indexes != CORE_UPDATE_NO_INDEXES)
				insert_into_indexes(table, slot, indexes);
			CommandCounterIncrement();
			break;
		}
		if ((result == TM_Updated || result == TM_Deleted) && IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		if (result == TM_Updated)
		{
			ItemPointerData tid = old->tts_tid;

			result = table_tuple_lock(table, &tid, scan->snapshot, old, GetCurrentCommandId(false), mode,
									  LockWaitBlock, TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
		}
		if (result != TM_Ok && result != TM_Deleted)
			elog(ERROR, "could not update a row of \"%s\": %d", RelationGetRelationName(table), (int) result);
		found = result == TM_Ok && key_holds(scan->index, old, n, keys);
	} while (found);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

bool
core_update(Relation table, Snapshot snapshot, int n, const CoreKey *keys, CoreChange change, void *state)
{
	CoreScan	scan;
	bool		found;

	core_scan_open(&scan, table, snapshot, n, keys);
	found = core_scan_next(&scan) != NULL && core_update_row(&scan, n, keys, change, state);
	core_scan_close(&scan);
	return found;
}
