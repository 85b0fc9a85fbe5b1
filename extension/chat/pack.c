/*
 * Where the rows of an inbox lie: PostgreSQL puts a new row where there is room,
 * pack_inboxes() puts those of a person together.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "utils/rel.h"

#include "core/compat.h"

PG_FUNCTION_INFO_V1(chat_empty_page);

/* As the server adds a page: it is not logged before a row is on it. */
static BlockNumber
add_page(Relation table)
{
	Buffer		buffer;
	BlockNumber block;

	LockRelationForExtension(table, ExclusiveLock);
	buffer = ReadBufferExtended(table, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, NULL);
	PageInit(BufferGetPage(buffer), BufferGetPageSize(buffer), 0);
	MarkBufferDirty(buffer);
	block = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);
	UnlockRelationForExtension(table, ExclusiveLock);
	return block;
}

/*
 * empty_page(table): the server tries first the page that is the target of the
 * relation; where that is wrong, or forgotten, a row merely lies elsewhere.
 */
Datum
chat_empty_page(PG_FUNCTION_ARGS)
{
	Relation	table = table_open(PG_GETARG_OID(0), RowExclusiveLock);
	BlockNumber block = GetPageWithFreeSpace(table, MaxHeapTupleSize);

	if (block == InvalidBlockNumber)
		block = add_page(table);
	/* Nobody else is to be sent there; VACUUM counts anew what is free. */
	RecordPageWithFreeSpace(table, block, 0);
	RelationSetTargetBlock(table, block);
	table_close(table, NoLock);
	PG_RETURN_VOID();
}
