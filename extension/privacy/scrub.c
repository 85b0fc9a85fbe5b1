/*
 * What VACUUM leaves: it frees the space of removed rows and index entries, and
 * their bytes stay in it until something else is stored there.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xloginsert.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(privacy_scrub_table);

/* Zeroes the free space of a page; whether it held anything. */
static bool
scrub_page(Relation relation, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	int			lower = ((PageHeader) page)->pd_lower;
	int			upper = ((PageHeader) page)->pd_upper;
	bool		found = false;

	for (int i = lower; !PageIsNew(page) && !found && i < upper; i++)
		found = ((char *) page)[i] != 0;
	if (!found)
		return false;
	START_CRIT_SECTION();
	memset((char *) page + lower, 0, upper - lower);
	MarkBufferDirty(buffer);
	/* The whole page but for its free space: a standby clears it too. */
	if (RelationNeedsWAL(relation))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	return true;
}

/* Other access methods may keep something between the two marks of a page. */
static int64
scrub_relation(Oid oid)
{
	Relation	relation = relation_open(oid, ShareUpdateExclusiveLock);
	Oid			method = relation->rd_rel->relam;
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_VACUUM);
	int64		pages = 0;

	if (method == HEAP_TABLE_AM_OID || method == BTREE_AM_OID || method == GIST_AM_OID ||
		(method != InvalidOid && method == get_index_am_oid("match_gist", true)))
	{
		BlockNumber n_blocks = RelationGetNumberOfBlocks(relation);

		for (BlockNumber block = 0; block < n_blocks; block++)
		{
			Buffer		buffer;

			CHECK_FOR_INTERRUPTS();
			buffer = ReadBufferExtended(relation, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			pages += scrub_page(relation, buffer);
			UnlockReleaseBuffer(buffer);
		}
	}
	FreeAccessStrategy(strategy);
	relation_close(relation, NoLock);
	return pages;
}

static int64
scrub_table(Oid oid)
{
	Relation	table = table_open(oid, ShareUpdateExclusiveLock);
	List	   *indexes = RelationGetIndexList(table);
	Oid			toast = table->rd_rel->reltoastrelid;
	int64		pages = scrub_relation(oid);
	ListCell   *cell;

	foreach(cell, indexes)
		pages += scrub_relation(lfirst_oid(cell));
	if (OidIsValid(toast))
		pages += scrub_table(toast);
	table_close(table, NoLock);
	return pages;
}

/* Argument: a table; the pages cleared. */
Datum
privacy_scrub_table(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(scrub_table(PG_GETARG_OID(0)));
}
