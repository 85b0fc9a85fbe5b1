/*
 * Whether an index of match_key_ops is right: match_index_check().
 *
 * It takes the locks of a reader, so others may write meanwhile. Rows are those
 * of one snapshot, taken before the tree is walked: each of them must be there,
 * whatever splits. What looks wrong about a page is looked at once more with
 * the page and its parent locked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/gist_private.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplesort.h"

#include "core/core.h"
#include "match/bounds.h"
#include "match/score.h"
#include "match/text.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_index_check);

/* In gist.c: what tells an index of ours. */

/* Viewers whose ordered scans are compared, and the rows of each. */
#define SAMPLES 8
#define SAMPLE_ROWS 500

/* Columns of what is sorted. */
#define ENTRY_TID 0
#define ENTRY_HASH 1
#define ENTRY_BLOCK 2
#define ENTRY_COLUMNS 3

typedef struct Hit
{
	double		cost;
	int64		tid;
} Hit;

/* The best rows of one viewer by brute force. */
typedef struct Sample
{
	MatchQuery *query;
	int64		accepted;
	int			n;
	Hit			hits[2 * SAMPLE_ROWS];
} Sample;

/* A page to visit, as its parent tells. */
typedef struct Task
{
	BlockNumber block;
	BlockNumber parent;
	XLogRecPtr	parent_lsn;		/* when the parent was read; invalid for the root */
	int			level;			/* 1 for the root */
	bool		bounded;
	MatchBounds bounds;			/* if bounded; else every key below is null */
} Task;

typedef struct Check
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	Snapshot	snapshot;
	BufferAccessStrategy strategy;
	int64		rows;
	int64		pages;
	int			depth;
	int64		problems;
	char	   *first_problem;
	bool		unsound;		/* something that scans cannot be let loose on */
	pg_prng_state random;
	int			keys;			/* rows with a key so far */
	int			samples;
	MatchKey   *viewers[SAMPLES];
	Sample	   *sample[SAMPLES];
	Tuplesortstate *rows_sorted;
	Tuplesortstate *leaves_sorted;
	TupleTableSlot *entry;
	uint8	   *visited;		/* a bit a block */
	BlockNumber visited_size;
	List	   *tasks;
	MemoryContext context;
} Check;

static void problem(Check *check, const char *format,...) pg_attribute_printf(2, 3);

static void
problem(Check *check, const char *format,...)
{
	if (check->problems++ == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(check->context);
		StringInfoData text;

		initStringInfo(&text);
		for (;;)
		{
			va_list		args;
			int			needed;

			va_start(args, format);
			needed = appendStringInfoVA(&text, format, args);
			va_end(args);
			if (needed == 0)
				break;
			enlargeStringInfo(&text, needed);
		}
		check->first_problem = text.data;
		MemoryContextSwitchTo(old);
	}
}

/*
 * Rows
 */

static Tuplesortstate *
begin_sort(TupleDesc desc)
{
	AttrNumber	columns[] = {ENTRY_TID + 1};
	Oid			operators[] = {Int8LessOperator};
	Oid			collations[] = {InvalidOid};
	bool		nulls_first[] = {false};

	return tuplesort_begin_heap(desc, 1, columns, operators, collations, nulls_first, maintenance_work_mem, NULL, 0);
}

static int64
hash_of(const void *key, bool null)
{
	return null ? 0 : (int64) hash_bytes_extended(key, (int) match_size(key), 0);
}

static void
put_entry(Check *check, Tuplesortstate *sort, ItemPointer tid, int64 hash, BlockNumber block)
{
	TupleTableSlot *slot = check->entry;

	ExecClearTuple(slot);
	slot->tts_values[ENTRY_TID] = Int64GetDatum(itemptr_encode(tid));
	slot->tts_values[ENTRY_HASH] = Int64GetDatum(hash);
	slot->tts_values[ENTRY_BLOCK] = Int64GetDatum((int64) block);
	memset(slot->tts_isnull, 0, ENTRY_COLUMNS * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort, slot);
}

/* The first pass over the table: its rows, and whom to ask for. */
static void
see_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	Check	   *check = state;
	const MatchKey *key = isnull[0] ? NULL : match_stored(values[0]);
	int			place;

	check->rows++;
	put_entry(check, check->rows_sorted, tid, hash_of(key, isnull[0]), InvalidBlockNumber);
	if (key == NULL)
		return;
	/* Each row is as likely as any other to stay in the sample. */
	place = check->keys++;
	if (place >= SAMPLES)
		place = (int) pg_prng_uint64_range(&check->random, 0, check->keys - 1);
	if (place < SAMPLES)
	{
		MatchKey   *copy = MemoryContextAlloc(check->context, match_size(key));

		memcpy(copy, key, match_size(key));
		if (check->viewers[place] != NULL)
			pfree(check->viewers[place]);
		check->viewers[place] = copy;
	}
}

static int
compare_hits(const void *a, const void *b)
{
	const Hit  *x = a;
	const Hit  *y = b;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	return (x->tid > y->tid) - (x->tid < y->tid);
}

static void
keep_best(Sample *sample)
{
	qsort(sample->hits, sample->n, sizeof(Hit), compare_hits);
	sample->n = Min(sample->n, SAMPLE_ROWS);
}

/* The second pass: brute force. */
static void
ask_row(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	Check	   *check = state;
	const MatchKey *key;

	if (isnull[0])
		return;
	key = match_stored(values[0]);
	for (int i = 0; i < check->samples; i++)
	{
		Sample	   *sample = check->sample[i];

		if (!match_leaf_accepts(key, sample->query))
			continue;
		sample->accepted++;
		sample->hits[sample->n].cost = match_leaf_cost(key, sample->query);
		sample->hits[sample->n].tid = itemptr_encode(tid);
		if (++sample->n == lengthof(sample->hits))
			keep_best(sample);
	}
}

static void
scan_rows(Check *check, IndexBuildCallback callback)
{
	TableScanDesc scan = table_beginscan_strat(check->heap, check->snapshot, 0, NULL, true, false);

	/* Ends the scan as well, and asserts that synchronising is left to how it was begun. */
	table_index_build_scan(check->heap, check->index, check->info, true, false, callback, check, scan);
}

/*
 * Pages
 */

/* A page as it is in the index and sound enough to look at its items. */
static bool
page_is_sound(Check *check, Page page, BlockNumber block)
{
	PageHeader	header = (PageHeader) page;
	const char *wrong = NULL;

	if (PageIsNew(page))
		wrong = "is empty";
	else if (header->pd_lower < SizeOfPageHeaderData || header->pd_lower > header->pd_upper ||
			 header->pd_upper > header->pd_special ||
			 header->pd_special != BLCKSZ - MAXALIGN(sizeof(GISTPageOpaqueData)) ||
			 GistPageGetOpaque(page)->gist_page_id != GIST_PAGE_ID)
		wrong = "is not a page of a GiST index";
	if (wrong == NULL)
		return true;
	problem(check, "page %u %s", block, wrong);
	check->unsound = true;
	return false;
}

/* A copy to look at without a lock. */
static bool
read_page(Check *check, BlockNumber block, char *page, XLogRecPtr *lsn)
{
	Buffer		buffer;

	if (block >= RelationGetNumberOfBlocks(check->index))
	{
		problem(check, "page %u is beyond the end of the index", block);
		check->unsound = true;
		return false;
	}
	buffer = ReadBufferExtended(check->index, MAIN_FORKNUM, block, RBM_NORMAL, check->strategy);
	LockBuffer(buffer, GIST_SHARE);
	memcpy(page, BufferGetPage(buffer), BLCKSZ);
	*lsn = BufferGetLSNAtomic(buffer);
	UnlockReleaseBuffer(buffer);
	return page_is_sound(check, page, block);
}

/* An item of a page, or NULL with a problem if it is none; its key, or NULL for a null. */
static IndexTuple
read_item(Check *check, Page page, BlockNumber block, OffsetNumber offset, const void **value)
{
	ItemId		id = PageGetItemId(page, offset);
	IndexTuple	item;
	bool		null;
	Datum		datum;
	size_t		room;

	*value = NULL;
	if (!ItemIdHasStorage(id) || ItemIdGetOffset(id) < ((PageHeader) page)->pd_upper ||
		ItemIdGetOffset(id) != MAXALIGN(ItemIdGetOffset(id)) ||
		ItemIdGetOffset(id) + ItemIdGetLength(id) > ((PageHeader) page)->pd_special ||
		ItemIdGetLength(id) < sizeof(IndexTupleData))
		goto unsound;
	item = (IndexTuple) PageGetItem(page, id);
	if (IndexTupleSize(item) > ItemIdGetLength(id) || GistTupleIsInvalid(item))
		goto unsound;
	datum = index_getattr(item, 1, RelationGetDescr(check->index), &null);
	if (null)
		return item;
	room = IndexTupleSize(item) - ((char *) DatumGetPointer(datum) - (char *) item);
	if ((char *) DatumGetPointer(datum) + VARHDRSZ > (char *) item + IndexTupleSize(item) ||
		!VARATT_IS_4B_U(DatumGetPointer(datum)) || match_size(DatumGetPointer(datum)) > room)
		goto unsound;
	*value = DatumGetPointer(datum);
	if (GistPageIsLeaf(page) ?
		match_size(*value) < MATCH_KEY_FIXED || match_size(*value) > sizeof(MatchKey) || match_key_check(*value) != NULL :
		match_size(*value) != sizeof(MatchBounds) || match_is_leaf(*value))
		goto unsound;
	return item;

unsound:
	problem(check, "item %u of page %u holds no %s", offset, block, GistPageIsLeaf(page) ? "key" : "bounds");
	check->unsound = true;
	return NULL;
}

/* What is wrong about an item below those bounds, or NULL. */
static const char *
not_covered(Check *check, const Task *task, const void *value)
{
	MatchBounds one;
	MatchBounds all;

	if (value == NULL)
		return NULL;			/* bounds cover nulls */
	if (!task->bounded)
		return "has a key where the parent says that there is none";
	all = task->bounds;
	match_bounds_of(value, &one);
	match_bounds_add(&all, &one);
	if (memcmp(&all, &task->bounds, sizeof(all)) != 0)
		return "is outside of the bounds of the parent";
	/* The same in the words of scans: nothing is pruned, and nothing comes late. */
	for (int i = 0; i < check->samples; i++)
	{
		const MatchQuery *query = check->sample[i]->query;
		bool		leaf = match_is_leaf(value);

		if (!(leaf ? match_leaf_accepts(value, query) : match_bounds_accept(value, query)))
			continue;
		if (!match_bounds_accept(&task->bounds, query))
			return "fits somebody whom the parent leaves out";
		if (leaf && match_bounds_cost(&task->bounds, query) > match_leaf_cost(value, query))
			return "costs less than the parent says";
	}
	return NULL;
}

/* Reports what the parent does not cover, or only tells whether there is any. */
static bool
is_covered(Check *check, Page page, const Task *task, bool report)
{
	bool		covered = true;

	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
	{
		const void *value;
		const char *wrong;

		if (GistPageIsLeaf(page) && ItemIdIsDead(PageGetItemId(page, i)))
			continue;
		if (read_item(check, page, task->block, i, &value) == NULL)
			continue;
		wrong = not_covered(check, task, value);
		if (wrong == NULL)
			continue;
		covered = false;
		if (report)
			problem(check, "item %u of page %u %s, page %u", i, task->block, wrong, task->parent);
	}
	return covered;
}

/* The item of a page that leads to a block, or 0. */
static OffsetNumber
find_downlink(Page page, BlockNumber block)
{
	if (PageIsNew(page) || GistPageIsLeaf(page) || GistPageIsDeleted(page))
		return 0;
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
	{
		IndexTuple	item = (IndexTuple) PageGetItem(page, PageGetItemId(page, i));

		if (ItemPointerGetBlockNumber(&item->t_tid) == block)
			return i;
	}
	return 0;
}

/*
 * Reads a page and what its parent says of it at one moment: an insert widens
 * the parent first, so what was read before may be narrower. Page before parent
 * is the order in which GiST locks. False if the parent was split meanwhile and
 * leads there no more, which proves nothing.
 */
static bool
read_again(Check *check, Task *task, char *page)
{
	Buffer		child = ReadBuffer(check->index, task->block);
	Buffer		parent;
	OffsetNumber place;
	bool		known;

	LockBuffer(child, GIST_SHARE);
	memcpy(page, BufferGetPage(child), BLCKSZ);
	parent = ReadBuffer(check->index, task->parent);
	LockBuffer(parent, GIST_SHARE);
	/* Without a downlink, in an unfinished split, the bounds are those of the page before. */
	known = BufferGetLSNAtomic(parent) == task->parent_lsn;
	for (;;)
	{
		Page		above = BufferGetPage(parent);
		BlockNumber next;

		place = find_downlink(above, task->block);
		if (place != 0 || known || PageIsNew(above))
			break;
		next = GistPageGetOpaque(above)->rightlink;
		UnlockReleaseBuffer(parent);
		parent = InvalidBuffer;
		if (next == InvalidBlockNumber)
			break;
		CHECK_FOR_INTERRUPTS();
		parent = ReadBuffer(check->index, next);
		LockBuffer(parent, GIST_SHARE);
	}
	if (place != 0)
	{
		const void *value;

		task->parent = BufferGetBlockNumber(parent);
		if (read_item(check, BufferGetPage(parent), task->parent, place, &value) != NULL)
		{
			task->bounded = value != NULL;
			if (value != NULL)
				memcpy(&task->bounds, value, sizeof(task->bounds));
		}
	}
	if (BufferIsValid(parent))
		UnlockReleaseBuffer(parent);
	UnlockReleaseBuffer(child);
	return place != 0 || known;
}

/* Marks a page as visited; false if it was. */
static bool
visit(Check *check, BlockNumber block)
{
	if (block >= check->visited_size)
	{
		BlockNumber size = Max(block + 1, RelationGetNumberOfBlocks(check->index));
		BlockNumber bytes = size / 8 + 1;
		BlockNumber before = check->visited_size == 0 ? 0 : check->visited_size / 8 + 1;

		check->visited = check->visited == NULL ? MemoryContextAllocHuge(check->context, bytes) :
			repalloc_huge(check->visited, bytes);
		memset(check->visited + before, 0, bytes - before);
		check->visited_size = size;
	}
	if (check->visited[block / 8] >> block % 8 & 1)
		return false;
	check->visited[block / 8] |= 1 << block % 8;
	return true;
}

static void
add_task(Check *check, const Task *task)
{
	MemoryContext old = MemoryContextSwitchTo(check->context);
	Task	   *copy = palloc(sizeof(Task));

	*copy = *task;
	check->tasks = lappend(check->tasks, copy);
	MemoryContextSwitchTo(old);
}

static void
check_page(Check *check, Task *task)
{
	char	   *page = palloc(BLCKSZ);
	XLogRecPtr	lsn;
	bool		leaf;

	if (!visit(check, task->block))
	{
		problem(check, "page %u is reached twice", task->block);
		check->unsound = true;	/* there may be a circle */
		return;
	}
	if (!read_page(check, task->block, page, &lsn))
		return;
	check->pages++;

	/* Who comes from the parent must find what was split off since. */
	if (!XLogRecPtrIsInvalid(task->parent_lsn) &&
		(GistFollowRight(page) || task->parent_lsn < GistPageGetNSN(page)) &&
		GistPageGetOpaque(page)->rightlink != InvalidBlockNumber)
	{
		Task		right = *task;

		right.block = GistPageGetOpaque(page)->rightlink;
		add_task(check, &right);
	}
	if (GistPageIsDeleted(page))
		return;

	leaf = GistPageIsLeaf(page);
	if (leaf && check->depth == 0)
		check->depth = task->level;
	if (check->depth > 0 && leaf != (task->level == check->depth))
	{
		problem(check, "page %u is %s at level %d of %d", task->block, leaf ? "a leaf" : "an inner page", task->level, check->depth);
		check->unsound = true;
	}
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i++)
	{
		const void *value;
		IndexTuple	item;

		if (leaf && ItemIdIsDead(PageGetItemId(page, i)))
			continue;
		item = read_item(check, page, task->block, i, &value);
		if (item == NULL)
			continue;
		if (leaf)
			put_entry(check, check->leaves_sorted, &item->t_tid, hash_of(value, value == NULL), task->block);
		else
		{
			Task		child = {.block = ItemPointerGetBlockNumber(&item->t_tid), .parent = task->block,
			.parent_lsn = lsn, .level = task->level + 1, .bounded = value != NULL};

			if (value != NULL)
				memcpy(&child.bounds, value, sizeof(child.bounds));
			add_task(check, &child);
		}
	}
	if (task->level > 1 && !is_covered(check, page, task, false) &&
		read_again(check, task, page) && page_is_sound(check, page, task->block))
		is_covered(check, page, task, true);
}

static void
walk(Check *check)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "page", ALLOCSET_DEFAULT_SIZES);
	Task		root = {.block = GIST_ROOT_BLKNO, .parent = InvalidBlockNumber, .level = 1};

	add_task(check, &root);
	while (check->tasks != NIL)
	{
		Task	   *task = llast(check->tasks);
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		check->tasks = list_delete_last(check->tasks);
		old = MemoryContextSwitchTo(context);
		check_page(check, task);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		pfree(task);
	}
	MemoryContextDelete(context);
}

/*
 * Rows against leaves
 */

/*
 * A leaf for a row that the snapshot does not see is dead, or new; but it must
 * lead to something. VACUUM takes leaves away before rows, so the lock on the
 * leaf makes this certain.
 */
static void
check_unseen(Check *check, ItemPointer tid, BlockNumber block)
{
	Buffer		leaf = ReadBufferExtended(check->index, MAIN_FORKNUM, block, RBM_NORMAL, check->strategy);
	bool		found = false;
	const char *wrong = NULL;
	Page		page;

	LockBuffer(leaf, GIST_SHARE);
	page = BufferGetPage(leaf);
	if (!PageIsNew(page) && GistPageIsLeaf(page) && !GistPageIsDeleted(page))
	{
		for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page) && !found; i++)
		{
			ItemId		id = PageGetItemId(page, i);

			found = !ItemIdIsDead(id) && ItemPointerEquals(&((IndexTuple) PageGetItem(page, id))->t_tid, tid);
		}
	}
	if (found && check->heap->rd_rel->relam == HEAP_TABLE_AM_OID)
	{
		if (ItemPointerGetBlockNumberNoCheck(tid) >= RelationGetNumberOfBlocks(check->heap))
			wrong = "is beyond the end of the table";
		else
		{
			Buffer		buffer = ReadBufferExtended(check->heap, MAIN_FORKNUM, ItemPointerGetBlockNumberNoCheck(tid), RBM_NORMAL,
													check->strategy);
			OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(tid);

			LockBuffer(buffer, BUFFER_LOCK_SHARE);
			page = BufferGetPage(buffer);
			if (PageIsNew(page) || offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page) ||
				!ItemIdIsUsed(PageGetItemId(page, offset)))
				wrong = "does not exist";
			else if (ItemIdIsNormal(PageGetItemId(page, offset)) &&
					 HeapTupleHeaderIsHeapOnly((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset))))
				wrong = "is in the middle of a chain of updates";
			UnlockReleaseBuffer(buffer);
		}
	}
	UnlockReleaseBuffer(leaf);
	if (wrong == NULL)
		return;
	problem(check, "page %u leads to the row (%u,%u), which %s", block, ItemPointerGetBlockNumberNoCheck(tid),
			ItemPointerGetOffsetNumberNoCheck(tid), wrong);
	check->unsound = true;
}

static bool
next_entry(Tuplesortstate *sort, TupleTableSlot *slot)
{
	if (!tuplesort_gettupleslot(sort, true, false, slot, NULL))
		return false;
	slot_getallattrs(slot);
	return true;
}

static int64
entry_value(TupleTableSlot *slot, int column)
{
	return DatumGetInt64(slot->tts_values[column]);
}

static void
compare_rows(Check *check, TupleDesc desc)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *leaf = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	bool		more;

	tuplesort_performsort(check->rows_sorted);
	tuplesort_performsort(check->leaves_sorted);
	more = next_entry(check->leaves_sorted, leaf);
	for (;;)
	{
		bool		any = next_entry(check->rows_sorted, row);
		int64		tid = any ? entry_value(row, ENTRY_TID) : PG_INT64_MAX;
		ItemPointerData place;
		int			found = 0;

		CHECK_FOR_INTERRUPTS();
		while (more && entry_value(leaf, ENTRY_TID) < tid)
		{
			CHECK_FOR_INTERRUPTS();
			itemptr_decode(&place, entry_value(leaf, ENTRY_TID));
			check_unseen(check, &place, (BlockNumber) entry_value(leaf, ENTRY_BLOCK));
			more = next_entry(check->leaves_sorted, leaf);
		}
		if (!any)
			break;
		itemptr_decode(&place, tid);
		for (; more && entry_value(leaf, ENTRY_TID) == tid; more = next_entry(check->leaves_sorted, leaf))
		{
			if (++found == 2)
				problem(check, "the row (%u,%u) is in the index twice, on page %u as well", ItemPointerGetBlockNumber(&place),
						ItemPointerGetOffsetNumber(&place), (BlockNumber) entry_value(leaf, ENTRY_BLOCK));
			if (entry_value(leaf, ENTRY_HASH) != entry_value(row, ENTRY_HASH))
				problem(check, "page %u has another key than the row (%u,%u)", (BlockNumber) entry_value(leaf, ENTRY_BLOCK),
						ItemPointerGetBlockNumber(&place), ItemPointerGetOffsetNumber(&place));
		}
		if (found == 0)
			problem(check, "the row (%u,%u) is not in the index", ItemPointerGetBlockNumber(&place),
					ItemPointerGetOffsetNumber(&place));
	}
	ExecDropSingleTupleTableSlot(row);
	ExecDropSingleTupleTableSlot(leaf);
}

/*
 * Ordered scans
 */

static int
compare_tids(const void *a, const void *b)
{
	const Hit  *x = a;
	const Hit  *y = b;

	return (x->tid > y->tid) - (x->tid < y->tid);
}

/* The operators of the class, as keys of a scan. */
static void
scan_keys(Check *check, ScanKey where, ScanKey order)
{
	Oid			family = check->index->rd_opfamily[0];
	Oid			key_type = check->index->rd_opcintype[0];
	Oid			query_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("match_query"),
											 ObjectIdGetDatum(get_namespace_oid("rapport", false)));
	Oid			accepts = get_opfamily_member(family, key_type, query_type, 1);
	Oid			cost = get_opfamily_member(family, key_type, query_type, 2);

	if (!OidIsValid(accepts) || !OidIsValid(cost))
		elog(ERROR, "the operators of match_key_ops are missing");
	ScanKeyEntryInitialize(where, 0, 1, 1, query_type, InvalidOid, get_opcode(accepts), (Datum) 0);
	ScanKeyEntryInitialize(order, SK_ORDER_BY, 1, 2, query_type, InvalidOid, get_opcode(cost), (Datum) 0);
}

static void
compare_scan(Check *check, int number, ScanKey where, ScanKey order)
{
	Sample	   *sample = check->sample[number];
	EState	   *estate = CreateExecutorState();
	TupleTableSlot *slot = table_slot_create(check->heap, NULL);
	Hit		   *hits = palloc(SAMPLE_ROWS * sizeof(Hit));
	int			n = 0;
	IndexScanDesc scan;

	keep_best(sample);
	where->sk_argument = order->sk_argument = PointerGetDatum(sample->query);
	GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
	scan = core_index_beginscan(check->heap, check->index, check->snapshot, 1, 1);
	index_rescan(scan, where, 1, order, 1);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		const MatchKey *key;

		CHECK_FOR_INTERRUPTS();
		if (n == SAMPLE_ROWS)
			break;
		ResetPerTupleExprContext(estate);
		FormIndexDatum(check->info, slot, estate, values, isnull);
		key = isnull[0] ? NULL : match_stored(values[0]);
		if (key == NULL || !match_leaf_accepts(key, sample->query))
		{
			problem(check, "an ordered scan finds the row (%u,%u), which does not fit", ItemPointerGetBlockNumber(&slot->tts_tid),
					ItemPointerGetOffsetNumber(&slot->tts_tid));
			n = -1;
			break;
		}
		hits[n].cost = match_leaf_cost(key, sample->query);
		hits[n].tid = itemptr_encode(&slot->tts_tid);
		if (n >= sample->n || hits[n].cost != sample->hits[n].cost)
			break;
		n++;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	if (n < 0)
		return;
	if (n < sample->n)
	{
		problem(check, "an ordered scan for the viewer " INT64_FORMAT " differs from brute force after %d rows of %d",
				sample->query->viewer.id, n, sample->n);
		return;
	}
	/* The costs are those of the best; so are the rows, if no row came twice. */
	qsort(hits, n, sizeof(Hit), compare_tids);
	for (int i = 1; i < n; i++)
	{
		if (hits[i].tid == hits[i - 1].tid)
		{
			problem(check, "an ordered scan for the viewer " INT64_FORMAT " finds a row twice", sample->query->viewer.id);
			break;
		}
	}
	pfree(hits);
}

/*
 * The function
 */

static void
open_relations(Check *check, Oid id)
{
	Oid			table = IndexGetRelation(id, true);

	if (OidIsValid(table))
		check->heap = try_table_open(table, AccessShareLock);
	check->index = try_relation_open(id, AccessShareLock);
	if (check->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", id)));
	if (check->heap == NULL || check->index->rd_rel->relkind != RELKIND_INDEX ||
		check->index->rd_indam->ambulkdelete != gistbulkdelete ||
		index_getprocinfo(check->index, 1, GIST_CONSISTENT_PROC)->fn_addr != match_gist_consistent)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an index of match_key", RelationGetRelationName(check->index))));
	if (RELATION_IS_OTHER_TEMP(check->index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is a temporary index of another session", RelationGetRelationName(check->index))));
	if (!check->index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the index \"%s\" is not complete", RelationGetRelationName(check->index)),
				 errhint("Drop it, or REINDEX it.")));
}

static TupleDesc
entry_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ENTRY_COLUMNS);

	for (int i = 1; i <= ENTRY_COLUMNS; i++)
		TupleDescInitEntry(desc, i, NULL, INT8OID, -1, 0);
	return desc;
}

Datum
match_index_check(PG_FUNCTION_ARGS)
{
	Check		check = {0};
	DateADT		today = core_today();
	TupleDesc	desc;
	ScanKeyData where;
	ScanKeyData order;
	Oid			user;
	int			security;
	int			nest_level;
	Datum		values[5];
	bool		nulls[5] = {0};

	InitMaterializedSRF(fcinfo, 0);
	open_relations(&check, PG_GETARG_OID(0));

	/* Expressions and predicates of the index run as the owner of the table. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(check.heap->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION);

	check.context = CurrentMemoryContext;
	check.strategy = GetAccessStrategy(BAS_BULKREAD);
	check.info = BuildIndexInfo(check.index);
	check.info->ii_Concurrent = true;	/* by snapshot, without a stronger lock */
	check.snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (IsolationUsesXactSnapshot() && check.index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(check.index->rd_indextuple->t_data), check.snapshot->xmin))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the index \"%s\" is newer than the snapshot of this transaction", RelationGetRelationName(check.index))));
	pg_prng_seed(&check.random, 1);
	desc = entry_desc();
	check.entry = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	check.rows_sorted = begin_sort(desc);
	check.leaves_sorted = begin_sort(desc);

	scan_rows(&check, see_row);
	check.samples = Min(check.keys, SAMPLES);
	for (int i = 0; i < check.samples; i++)
	{
		check.sample[i] = palloc0(sizeof(Sample));
		check.sample[i]->query = match_plain_query(check.viewers[i], today);
	}
	walk(&check);
	compare_rows(&check, desc);
	tuplesort_end(check.rows_sorted);
	tuplesort_end(check.leaves_sorted);
	ExecDropSingleTupleTableSlot(check.entry);
	if (!check.unsound && check.samples > 0)
	{
		scan_rows(&check, ask_row);
		scan_keys(&check, &where, &order);
		for (int i = 0; i < check.samples; i++)
			compare_scan(&check, i, &where, &order);
	}

	UnregisterSnapshot(check.snapshot);
	FreeAccessStrategy(check.strategy);
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, security);
	relation_close(check.index, AccessShareLock);
	table_close(check.heap, AccessShareLock);

	values[0] = Int64GetDatum(check.rows);
	values[1] = Int64GetDatum(check.pages);
	values[2] = Int32GetDatum(check.depth);
	values[3] = Int64GetDatum(check.problems);
	nulls[4] = check.first_problem == NULL;
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(check.first_problem);
	tuplestore_putvalues(((ReturnSetInfo *) fcinfo->resultinfo)->setResult, ((ReturnSetInfo *) fcinfo->resultinfo)->setDesc, values, nulls);
	return (Datum) 0;
}
