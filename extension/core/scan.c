/*
 * Reading rows by their primary key without a plan: to start and end an
 * executor costs several times what it takes to find the row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/core.h"

/* Locks are kept until the transaction ends, as the executor keeps them. */
void
core_scan_begin(CoreScan *scan, const char *table, Snapshot snapshot, int n, const CoreKey *keys)
{
	ScanKeyData where[INDEX_MAX_KEYS];

	scan->table = table_open(get_relname_relid(table, get_namespace_oid("rapport", false)), AccessShareLock);
	if (!scan->table->rd_indexvalid)
		list_free(RelationGetIndexList(scan->table));
	scan->index = index_open(scan->table->rd_pkindex, AccessShareLock);
	for (int i = 0; i < n; i++)
		ScanKeyEntryInitialize(&where[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   scan->index->rd_indcollation[i], keys[i].equal, keys[i].value);
	scan->snapshot = RegisterSnapshot(snapshot);
	scan->slot = table_slot_create(scan->table, NULL);
	scan->scan = core_index_beginscan(scan->table, scan->index, scan->snapshot, n, 0);
	index_rescan(scan->scan, where, n, NULL, 0);
}

TupleTableSlot *
core_scan_next(CoreScan *scan)
{
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot) ? scan->slot : NULL;
}

void
core_scan_end(CoreScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, NoLock);
	table_close(scan->table, NoLock);
}
