/*
 * The access method match_gist: GiST, an insertion of our own (insert.c), and a
 * scan of our own for what GiST does most slowly, WHERE key @@ query ORDER BY
 * key <-> query with one query. It walks the same pages in the same order under
 * the same locks (access/gist/gistget.c and the README beside it say why), but
 * calls the rules directly instead of through the function manager, twice a
 * tuple, and queues 32 bytes for each tuple instead of an allocation. Everything
 * else is GiST's.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/gist_private.h"
#include "access/gistscan.h"
#include "access/relscan.h"
#include "catalog/pg_am.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "core/compat.h"
#include "match/insert.h"
#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_gist_handler);

/* Strategies of match_key_ops. */
#define ACCEPTS 1
#define COST 2

#define FIRST_ROOM 1024

/* A page that is still to be read, or a row that is still to be returned. */
typedef struct Entry
{
	double		cost;			/* none below the page costs less */
	int64		id;				/* of the person, for a row */
	XLogRecPtr	parent;			/* of the page above, when the pointer was read */
	BlockNumber block;
	OffsetNumber offset;		/* 0 for a page */
} Entry;

typedef struct Walk
{
	void	   *gist;			/* what GiST keeps there */
	const MatchQuery *query;	/* NULL: the scan is left to GiST */
	bool		begun;
	MemoryContext keys;			/* what one page needs */
	/* A heap: the cheapest first, of equals the rows. */
	Entry	   *items;
	size_t		count;
	size_t		room;
} Walk;

static inline bool
comes_before(const Entry *a, const Entry *b)
{
	return a->cost < b->cost || (a->cost == b->cost && a->offset != 0 && b->offset == 0);
}

static void
push(Walk *walk, Entry entry)
{
	size_t		at = walk->count++;

	if (at == walk->room)
		walk->items = repalloc_huge(walk->items, (walk->room *= 2) * sizeof(Entry));
	while (at > 0 && comes_before(&entry, &walk->items[(at - 1) / 2]))
	{
		walk->items[at] = walk->items[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	walk->items[at] = entry;
}

static Entry
pop(Walk *walk)
{
	Entry		first = walk->items[0];
	Entry		last = walk->items[--walk->count];
	size_t		at = 0;
	size_t		child;

	while ((child = 2 * at + 1) < walk->count)
	{
		if (child + 1 < walk->count && comes_before(&walk->items[child + 1], &walk->items[child]))
			child++;
		if (!comes_before(&walk->items[child], &last))
			break;
		walk->items[at] = walk->items[child];
		at = child;
	}
	walk->items[at] = last;
	return first;
}

/* Queues what a page leads to and the query does not exclude. */
static void
read_page(IndexScanDesc desc, Walk *walk, const Entry *entry)
{
	Relation	index = desc->indexRelation;
	const MatchQuery *query = walk->query;
	Buffer		buffer = ReadBuffer(index, entry->block);
	Page		page;
	GISTPageOpaque opaque;
	OffsetNumber last;
	bool		is_leaf;
	XLogRecPtr	lsn;
	MemoryContext old;

	LockBuffer(buffer, GIST_SHARE);
	PredicateLockPage(index, entry->block, desc->xs_snapshot);
	gistcheckpage(index, buffer);
	page = BufferGetPage(buffer);
	core_test_old_snapshot(desc->xs_snapshot, index, page);
	opaque = GistPageGetOpaque(page);

	/* It was split since its parent was read: the other half is to the right. */
	if (entry->parent != InvalidXLogRecPtr && opaque->rightlink != InvalidBlockNumber &&
		(GistFollowRight(page) || entry->parent < GistPageGetNSN(page)))
		push(walk, (Entry) {entry->cost, 0, entry->parent, opaque->rightlink});
	if (GistPageIsDeleted(page))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}

	old = MemoryContextSwitchTo(walk->keys);
	is_leaf = GistPageIsLeaf(page);
	lsn = BufferGetLSNAtomic(buffer);
	last = PageGetMaxOffsetNumber(page);
	for (OffsetNumber i = FirstOffsetNumber; i <= last; i = OffsetNumberNext(i))
	{
		ItemId		id = PageGetItemId(page, i);
		IndexTuple	tuple = (IndexTuple) PageGetItem(page, id);
		bool		null;
		Datum		value;
		const void *key;

		if (desc->ignore_killed_tuples && ItemIdIsDead(id))
			continue;
		value = index_getattr(tuple, 1, RelationGetDescr(index), &null);
		if (null)
			continue;
		key = match_stored(value);
		if (!is_leaf)
		{
			if (match_bounds_accept(key, query))
				push(walk, (Entry) {match_bounds_cost(key, query), 0, lsn, ItemPointerGetBlockNumber(&tuple->t_tid)});
		}
		else if (match_leaf_fits(key, query))
			push(walk, (Entry) {match_leaf_cost(key, query), ((const MatchKey *) key)->id, lsn,
				ItemPointerGetBlockNumber(&tuple->t_tid),
				ItemPointerGetOffsetNumber(&tuple->t_tid)});
	}
	MemoryContextSwitchTo(old);
	UnlockReleaseBuffer(buffer);
	MemoryContextReset(walk->keys);
}

/* Calls a function of GiST's on a scan, with what GiST keeps there in its place. */
#define WITH_GIST(desc, call) \
	do { \
		Walk	   *walk_ = (desc)->opaque; \
		(desc)->opaque = walk_->gist; \
		call; \
		(desc)->opaque = walk_; \
	} while (0)

static IndexScanDesc
begin_scan(Relation index, int keys, int orders)
{
	IndexScanDesc desc = gistbeginscan(index, keys, orders);
	Walk	   *walk = palloc0(sizeof(Walk));

	walk->gist = desc->opaque;
	walk->keys = AllocSetContextCreate(CurrentMemoryContext, "match_gist page", ALLOCSET_SMALL_SIZES);
	desc->opaque = walk;
	return desc;
}

/* The one query that a scan filters and sorts by, if it does that and nothing else, by our rules. */
static const MatchQuery *
only_query(IndexScanDesc desc)
{
	ScanKey		key = desc->keyData;
	ScanKey		order = desc->orderByData;
	const MatchQuery *query;
	const MatchQuery *other;

	if (desc->numberOfKeys != 1 || desc->numberOfOrderBys != 1 || desc->xs_want_itup ||
		((key->sk_flags | order->sk_flags) & SK_ISNULL) != 0 ||
		key->sk_attno != 1 || order->sk_attno != 1 ||
		key->sk_strategy != ACCEPTS || order->sk_strategy != COST ||
		index_getprocinfo(desc->indexRelation, 1, GIST_CONSISTENT_PROC)->fn_addr != match_gist_consistent)
		return NULL;
	query = DatumGetMatchQuery(key->sk_argument);
	other = DatumGetMatchQuery(order->sk_argument);
	if (query != other && (match_size(query) != match_size(other) || memcmp(query, other, match_size(query)) != 0))
		return NULL;
	return query;
}

static void
rescan(IndexScanDesc desc, ScanKey keys, int nkeys, ScanKey orders, int norders)
{
	Walk	   *walk = desc->opaque;
	MemoryContext old;

	WITH_GIST(desc, gistrescan(desc, keys, nkeys, orders, norders));
	old = MemoryContextSwitchTo(GetMemoryChunkContext(walk));
	walk->query = only_query(desc);
	MemoryContextSwitchTo(old);
	walk->begun = false;
	walk->count = 0;
}

static bool
get_tuple(IndexScanDesc desc, ScanDirection direction)
{
	Walk	   *walk = desc->opaque;
	bool		found;

	if (walk->query == NULL)
	{
		WITH_GIST(desc, found = gistgettuple(desc, direction));
		return found;
	}
	if (!walk->begun)
	{
		core_count_index_scan(desc);
		if (walk->items == NULL)
		{
			walk->room = FIRST_ROOM;
			walk->items = MemoryContextAlloc(GetMemoryChunkContext(walk), walk->room * sizeof(Entry));
		}
		push(walk, (Entry) {-get_float8_infinity(), 0, InvalidXLogRecPtr, GIST_ROOT_BLKNO});
		walk->begun = true;
	}
	while (walk->count > 0)
	{
		Entry		entry = pop(walk);

		if (entry.offset != 0)
		{
			/* Asked of those alone who would be next: of many seen, a search through memory. */
			if (match_is_seen(walk->query, entry.id))
				continue;
			ItemPointerSet(&desc->xs_heaptid, entry.block, entry.offset);
			desc->xs_recheck = false;
			desc->xs_recheckorderby = false;
			desc->xs_orderbyvals[0] = Float8GetDatum(entry.cost);
			desc->xs_orderbynulls[0] = false;
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		read_page(desc, walk, &entry);
	}
	return false;
}

static int64
get_bitmap(IndexScanDesc desc, TIDBitmap *bitmap)
{
	int64		rows;

	WITH_GIST(desc, rows = gistgetbitmap(desc, bitmap));
	return rows;
}

static void
end_scan(IndexScanDesc desc)
{
	Walk	   *walk = desc->opaque;

	desc->opaque = walk->gist;
	gistendscan(desc);
	MemoryContextDelete(walk->keys);
	if (walk->items != NULL)
		pfree(walk->items);
	pfree(walk);
}

static IndexBuildResult *
build(Relation heap, Relation index, IndexInfo *info)
{
	Oid			own = index->rd_rel->relam;
	IndexBuildResult *result;

	/* The sort of a build asks for the number of GiST. */
	index->rd_rel->relam = GIST_AM_OID;
	PG_TRY();
	{
		result = gistbuild(heap, index, info);
	}
	PG_FINALLY();
	{
		index->rd_rel->relam = own;
	}
	PG_END_TRY();
	return result;
}

Datum
match_gist_handler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = (IndexAmRoutine *) DatumGetPointer(OidFunctionCall0(F_GISTHANDLER));

	routine->ambuild = build;
	routine->aminsert = match_insert;
	routine->ambeginscan = begin_scan;
	routine->amrescan = rescan;
	routine->amgettuple = get_tuple;
	routine->amgetbitmap = get_bitmap;
	routine->amendscan = end_scan;
	PG_RETURN_POINTER(routine);
}
