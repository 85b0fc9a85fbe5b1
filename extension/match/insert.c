/*
 * The insertion of match_gist: the way down is GiST's, with the penalty computed
 * in place instead of through the function manager, and it writes less to the
 * log. Bounds that grow are logged by the bytes that change, if they stand right
 * above the leaf mostly in one record with the key, and a split by the half that
 * moves; GiST logs the whole tuple, in a record of its own, and both halves. A
 * full leaf is cleared of dead rows before it is split. What happens seldom is
 * left to gistinsert(): the root to be split, a split to be finished, keys or
 * bounds of another format, nulls, an index without a log or of several columns.
 *
 * The protocol is that of access/gist/gist.c. One page is locked at a time, first
 * shared; who has to change it locks it again and looks at it anew. A page whose
 * NSN is above the LSN that its parent had when its downlink was read was split
 * since, and its downlink may not cover the key: the way starts again at the root
 * (GiST goes back to the parent; the root is as right and needs no stack). A
 * parent grows before the page below it gets the key, or with it, so that at any
 * time, after a crash too, bounds are too large at worst. Growing advances the
 * LSN of the page, as others expect who compare it before and after they change
 * locks: that is why an index without a log is left out. Whoever splits a page
 * holds it and waits for its parent, so nobody who holds a parent waits for a
 * page below.
 *
 * Bytes are logged by generic WAL. wal_consistency_checking does not spare hints
 * in its records, as it does in GiST's, so leaves with entries marked as dead
 * are changed by GiST alone; inner pages have no hints.
 */
#include "postgres.h"

#include <math.h>

#include "access/gist_private.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "match/bounds.h"
#include "match/insert.h"
#include "match/penalty.h"
#include "match/value.h"

/*
 * A full leaf is cleared of dead rows instead of split if it has so many of them:
 * then as many keys find room before the rows are looked at again, and with less
 * it is split, and has room too. The look ends where fewer than one in so many
 * was dead.
 */
#define LEAST_DEAD 4
#define SEARCH_SHARE 16

/* More levels than an index can have: half of a page is a dozen downlinks at least. */
#define MOST_LEVELS 16

typedef enum Outcome
{
	DONE,
	DOWN,						/* the page below is next */
	CHANGE,						/* lock the page exclusively, and look again */
	AGAIN,						/* from the root */
	LEFT_TO_GIST
} Outcome;

typedef struct Insertion
{
	Relation	index;
	Relation	table;
	IndexTuple	tuple;
	MatchExtent extent;			/* of the key */
	MatchBounds bounds;
	int			lane;
	BlockNumber path[MOST_LEVELS];	/* from the root: pages with the downlink of the next, when it was read */
	int			level;			/* of the page that is looked at, from the root */
	XLogRecPtr	parent;			/* the LSN of the page above when the downlink was read */
	XLogRecPtr	chosen_at;		/* the LSN at which the page below was chosen, if it was */
	OffsetNumber chosen;
	BlockNumber below;			/* the page that was chosen, if a parent has to grow */
	Buffer		child;			/* the same, pinned */
} Insertion;

#define FRAGMENT_HEADER (2 * sizeof(OffsetNumber))

/*
 * What is to be changed on a page, in the form of generic WAL: offset, length,
 * bytes. GenericXLogFinish() would find the same by comparing all of the page
 * with a copy, which takes a tenth of an update. There is room for a tuple and
 * for all line pointers of a page.
 */
typedef struct Delta
{
	Buffer		buffer;
	const char *image;			/* all of a new page instead, if not NULL */
	int			size;
	char		fragments[512 + MaxIndexTuplesPerPage * sizeof(ItemIdData)];
} Delta;

static void
begin_delta(Delta *delta, Buffer buffer)
{
	delta->buffer = buffer;
	delta->image = NULL;
	delta->size = 0;
}

static void
add_fragment(Delta *delta, OffsetNumber at, const void *bytes, OffsetNumber length)
{
	OffsetNumber header[2] = {at, length};

	Assert(delta->size + FRAGMENT_HEADER + length <= sizeof(delta->fragments));
	memcpy(delta->fragments + delta->size, header, FRAGMENT_HEADER);
	memcpy(delta->fragments + delta->size + FRAGMENT_HEADER, bytes, length);
	delta->size += FRAGMENT_HEADER + length;
}

/* Of bytes for some place on the page those that differ, close ones together. */
static void
add_difference(Delta *delta, Page page, OffsetNumber at, const void *bytes, int length)
{
	const char *old = (const char *) page + at;
	const char *new = bytes;
	int			end;

	for (int i = 0; i < length; i = end)
	{
		end = i + sizeof(uint64);
		if (end <= length && memcmp(old + i, new + i, sizeof(uint64)) == 0)
			continue;
		end = i + 1;
		if (old[i] == new[i])
			continue;
		for (int j = end; j < length && j - end <= (int) FRAGMENT_HEADER; j++)
		{
			if (old[j] != new[j])
				end = j + 1;
		}
		add_fragment(delta, at + i, new + i, end - i);
	}
}

/* Changes pages and logs them, in one record. */
static void
change(const Delta *deltas, int n)
{
	XLogRecPtr	lsn;

	START_CRIT_SECTION();
	XLogBeginInsert();
	for (int i = 0; i < n; i++)
	{
		const Delta *delta = &deltas[i];
		Page		page = BufferGetPage(delta->buffer);
		OffsetNumber header[2];

		if (delta->image != NULL)
		{
			memcpy(page, delta->image, BLCKSZ);
			MarkBufferDirty(delta->buffer);
			XLogRegisterBuffer(i, delta->buffer, REGBUF_STANDARD | REGBUF_FORCE_IMAGE);
			continue;
		}
		for (const char *at = delta->fragments; at < delta->fragments + delta->size; at += FRAGMENT_HEADER + header[1])
		{
			memcpy(header, at, FRAGMENT_HEADER);
			memcpy((char *) page + header[0], at + FRAGMENT_HEADER, header[1]);
		}
		MarkBufferDirty(delta->buffer);
		XLogRegisterBuffer(i, delta->buffer, REGBUF_STANDARD);
		XLogRegisterBufData(i, (char *) delta->fragments, delta->size);
	}
	lsn = XLogInsert(RM_GENERIC_ID, 0);
	for (int i = 0; i < n; i++)
		PageSetLSN(BufferGetPage(deltas[i].buffer), lsn);
	END_CRIT_SECTION();
}

/* Where between two tuples there is room for one, since others went when the page was split; 0 if there is none. */
static LocationIndex
find_gap(Page page, Size size)
{
	LocationIndex ends[BLCKSZ / MAXIMUM_ALIGNOF] = {0}; /* of the tuple that begins there */
	Size		end = ((PageHeader) page)->pd_upper;

	if (PageGetExactFreeSpace(page) < sizeof(ItemIdData))
		return 0;
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i = OffsetNumberNext(i))
	{
		ItemId		id = PageGetItemId(page, i);

		ends[ItemIdGetOffset(id) / MAXIMUM_ALIGNOF] = MAXALIGN(ItemIdGetOffset(id) + ItemIdGetLength(id));
	}
	for (Size at = end; at + MAXIMUM_ALIGNOF <= ((PageHeader) page)->pd_special; at = Max(at + MAXIMUM_ALIGNOF, end))
	{
		if (ends[at / MAXIMUM_ALIGNOF] != 0)
			end = ends[at / MAXIMUM_ALIGNOF];
		else if (at + MAXIMUM_ALIGNOF - end == size)
			return end;
	}
	return 0;
}

/* Where on a page without garbage there is room for a tuple, in free space or in a gap; 0 if there is none. */
static LocationIndex
find_place(Page page, Size size)
{
	if (PageGetFreeSpace(page) >= size)
		return ((PageHeader) page)->pd_upper - size;
	return find_gap(page, size);
}

/* The tuple at a place that find_place() gave. */
static void
put_tuple(Delta *delta, Page page, LocationIndex place, IndexTuple tuple)
{
	LocationIndex lower = ((PageHeader) page)->pd_lower;
	LocationIndex upper = ((PageHeader) page)->pd_upper;
	LocationIndex ends[2] = {lower + sizeof(ItemIdData), Min(upper, place)};
	ItemIdData	id;

	StaticAssertStmt(offsetof(PageHeaderData, pd_upper) == offsetof(PageHeaderData, pd_lower) + sizeof(LocationIndex),
					 "both are changed at once");
	add_difference(delta, page, offsetof(PageHeaderData, pd_lower), ends, sizeof(ends));
	/* What free space holds is not the same where the log is replayed; what gaps hold is. */
	ItemIdSetNormal(&id, place, IndexTupleSize(tuple));
	add_fragment(delta, lower, &id, sizeof(id));
	if (place < upper)
		add_fragment(delta, place, tuple, IndexTupleSize(tuple));
	else
		add_difference(delta, page, place, tuple, IndexTupleSize(tuple));
}

/* Bounds that can grow in their place, or NULL. There is one column, so where it stands needs no descriptor. */
static inline const MatchBounds *
bounds_at(Page page, OffsetNumber offset)
{
	IndexTuple	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));
	const MatchBounds *bounds = (const MatchBounds *) ((const char *) tuple + MAXALIGN(sizeof(IndexTupleData)));

	if ((tuple->t_info & (INDEX_SIZE_MASK | INDEX_NULL_MASK)) != MAXALIGN(sizeof(IndexTupleData)) + sizeof(MatchBounds) ||
		!VARATT_IS_4B_U(bounds) ||
		bounds->head != MATCH_BOUNDS || match_size(bounds) != sizeof(MatchBounds))
		return NULL;
	return bounds;
}

/*
 * The downlink of the least penalty, of equals any; 0 if one is not for us. Most
 * of an insertion's time goes by here, so of most downlinks only so much is
 * looked at as shows that others are better.
 */
static OffsetNumber
choose(const Insertion *in, Page page)
{
	/* A key is a point; a copy, so that it stays in registers. */
	int32		at[3] = {in->extent.low[0], in->extent.low[1], in->extent.low[2]};
	MatchExtent key = {at, at, in->extent.mode_min, in->extent.mode_max,
		in->extent.born_min, in->extent.born_max, in->extent.tagged, in->extent.lanes};
	int			lane = in->lane;
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	OffsetNumber best = InvalidOffsetNumber;
	float		least = INFINITY;
	uint64		most = PG_UINT64_MAX;	/* who grows more costs more */

	for (OffsetNumber i = FirstOffsetNumber; i <= last; i = OffsetNumberNext(i))
	{
		const MatchBounds *bounds = bounds_at(page, i);
		MatchExtent extent;
		uint64		growth;
		float		penalty;

		if (bounds == NULL)
			return InvalidOffsetNumber;
		extent = match_extent_of(bounds, lane);
		if (extent.lanes != key.lanes && least < MATCH_LANE_PENALTY)
			continue;
		growth = match_growth(&extent, &key);
		if (growth > most)
			continue;
		penalty = match_penalty(&extent, &key, growth);
		if (penalty < least || (penalty == least && pg_prng_bool(&pg_global_prng_state)))
		{
			best = i;
			least = penalty;
			most = (uint64) ((double) least * MATCH_UNIT) + 1;
		}
	}
	return best;
}

/*
 * Takes the leaf below a parent that is to grow into the same record, if nobody
 * has it locked, it has room, and it is not one that was split since. False if
 * the key has to go its way after the parent has grown.
 */
static bool
leaf_joins(const Insertion *in, Page parent, Delta *delta)
{
	Page		page = BufferGetPage(in->child);
	LocationIndex place = 0;

	if (!ConditionalLockBuffer(in->child))
		return false;
	gistcheckpage(in->index, in->child);
	if (GistPageIsLeaf(page) && !GistPageIsDeleted(page) && !GistFollowRight(page) && !GistPageHasGarbage(page) &&
		GistPageGetNSN(page) <= PageGetLSN(parent))
		place = find_place(page, IndexTupleSize(in->tuple));
	if (place == 0)
	{
		LockBuffer(in->child, GIST_UNLOCK);
		return false;
	}
	CheckForSerializableConflictIn(in->index, NULL, BufferGetBlockNumber(in->child));
	begin_delta(delta, in->child);
	put_tuple(delta, page, place, in->tuple);
	return true;
}

static Outcome
visit_inner(Insertion *in, Buffer buffer, bool exclusive)
{
	Page		page = BufferGetPage(buffer);
	XLogRecPtr	lsn = exclusive ? PageGetLSN(page) : BufferGetLSNAtomic(buffer);
	BlockNumber below;
	const MatchBounds *old;
	MatchBounds wide;

	if (in->chosen_at != lsn)
	{
		in->chosen = choose(in, page);
		if (in->chosen == InvalidOffsetNumber)
			return LEFT_TO_GIST;
		in->chosen_at = lsn;
	}
	below = ItemPointerGetBlockNumber(&((IndexTuple) PageGetItem(page, PageGetItemId(page, in->chosen)))->t_tid);
	old = bounds_at(page, in->chosen);
	wide = *old;
	match_bounds_add(&wide, &in->bounds);
	if (memcmp(&wide, old, sizeof(wide)) != 0)
	{
		Delta		deltas[2];

		if (!exclusive)
		{
			in->below = below;
			return CHANGE;
		}
		CheckForSerializableConflictIn(in->index, NULL, in->path[in->level]);
		begin_delta(&deltas[0], buffer);
		add_difference(&deltas[0], page, (const char *) old - (const char *) page, &wide, sizeof(wide));
		if (in->below == below && leaf_joins(in, page, &deltas[1]))
		{
			change(deltas, 2);
			LockBuffer(in->child, GIST_UNLOCK);
			return DONE;
		}
		change(deltas, 1);
	}
	if (in->level + 1 == MOST_LEVELS)
		return LEFT_TO_GIST;
	in->path[++in->level] = below;
	in->parent = lsn;
	in->chosen_at = InvalidXLogRecPtr;
	return DOWN;
}

/* How much room a leaf has when what is marked as dead is deleted. */
static Size
room_of(Page page)
{
	Size		room = PageGetFreeSpace(page);

	if (GistPageHasGarbage(page))
	{
		for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i = OffsetNumberNext(i))
		{
			ItemId		id = PageGetItemId(page, i);

			if (ItemIdIsDead(id))
				room += ItemIdGetLength(id) + sizeof(ItemIdData);
		}
	}
	return room;
}

/*
 * Marks the entries of a full leaf whose rows nobody can see any more, as scans
 * of GiST do, if that is worth it. Returns whether it did.
 */
static bool
find_dead(const Insertion *in, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	SnapshotData anybody;
	IndexFetchTableData *fetch = table_index_fetch_begin(in->table);
	TupleTableSlot *slot = table_slot_create(in->table, NULL);
	OffsetNumber dead[MaxIndexTuplesPerPage];
	int			found = 0;

	InitNonVacuumableSnapshot(anybody, GlobalVisTestFor(in->table));
	for (OffsetNumber i = FirstOffsetNumber; i <= last && i <= SEARCH_SHARE * (found + 1); i = OffsetNumberNext(i))
	{
		ItemPointerData row = ((IndexTuple) PageGetItem(page, PageGetItemId(page, i)))->t_tid;
		bool		again = false;

		if (!table_index_fetch_tuple(fetch, &row, &anybody, slot, &again, NULL))
			dead[found++] = i;
	}
	ExecDropSingleTupleTableSlot(slot);
	table_index_fetch_end(fetch);
	if (found < LEAST_DEAD)
		return false;
	for (int i = 0; i < found; i++)
		ItemIdMarkDead(PageGetItemId(page, dead[i]));
	GistMarkPageHasGarbage(page);
	MarkBufferDirtyHint(buffer, true);
	return true;
}

/* The downlink to a page among those of another; 0 if it is not there. */
static OffsetNumber
find_downlink(Page page, BlockNumber block)
{
	for (OffsetNumber i = FirstOffsetNumber; i <= PageGetMaxOffsetNumber(page); i = OffsetNumberNext(i))
	{
		IndexTuple	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, i));

		if (ItemPointerGetBlockNumber(&tuple->t_tid) == block)
			return i;
	}
	return InvalidOffsetNumber;
}

/* How the operator class splits what is on a leaf; false if it holds a null. */
static bool
pick_split(const Insertion *in, Page page, GIST_SPLITVEC *halves)
{
	int			n = PageGetMaxOffsetNumber(page);
	GistEntryVector *entries = palloc0(GEVHDRSZ + (n + 1) * sizeof(GISTENTRY));

	entries->n = n + 1;			/* the first is not used */
	for (OffsetNumber i = FirstOffsetNumber; i <= n; i++)
	{
		IndexTuple	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, i));
		bool		null;
		Datum		key = index_getattr(tuple, 1, RelationGetDescr(in->index), &null);

		if (null)
			return false;
		gistentryinit(entries->vector[i], key, in->index, page, i, true);
	}
	FunctionCall2(index_getprocinfo(in->index, 1, GIST_PICKSPLIT_PROC), PointerGetDatum(entries), PointerGetDatum(halves));
	return true;
}

/*
 * Changes pages of which one is new; it is compressed whatever wal_compression
 * says: keys of a page are so alike that almost half of it goes. By LZ4 or not at
 * all: pglz would be a fifth of the insertion.
 */
static void
change_compressed(const Delta *deltas, int n)
{
	int			setting = wal_compression;

	if (setting == WAL_COMPRESSION_NONE)
		wal_compression = CORE_QUICK_COMPRESSION;
	change(deltas, n);			/* which does not fail, or the server does */
	wal_compression = setting;
}

/*
 * Splits a full page, without the tuple that is to go in, in one record of three
 * pages: the smaller half goes to a new page, and the parent gets its downlink.
 * The larger half stays where it lies, so that of its page only line pointers
 * are logged; find_gap() finds the space between. GiST logs both halves. A full
 * parent is split instead, and the page when the way comes here again.
 *
 * There is no state in between, and so no follow-right flag. The page's NSN has
 * to be above the LSN of any parent read before, and above where the log was
 * when a VACUUM began that must find the moved half, and not above the LSN that
 * the parent gets; the log is between the two now.
 */
static Outcome
split(Insertion *in, Buffer buffer, int level)
{
	Page		page = BufferGetPage(buffer);
	GISTPageOpaque opaque = GistPageGetOpaque(page);
	Buffer		parent;
	Buffer		other;
	OffsetNumber downlink;
	LocationIndex place;
	GIST_SPLITVEC halves;
	bool		left_moves;
	OffsetNumber *moved;
	OffsetNumber *kept;
	int			moving;
	int			keeping;
	union
	{
		IndexTupleData header;
		char		bytes[sizeof(IndexTupleData) + sizeof(MatchBounds)];
	}			link;
	Page		above;
	PGAlignedBlock image;
	GISTPageOpaqueData after;
	LocationIndex lower;
	ItemIdData	ids[MaxIndexTuplesPerPage];
	Delta		deltas[3];

	if (level == 0 || GistPageHasGarbage(page) || !pick_split(in, page, &halves))
		return LEFT_TO_GIST;
	left_moves = halves.spl_nleft < halves.spl_nright;
	moved = left_moves ? halves.spl_left : halves.spl_right;
	moving = left_moves ? halves.spl_nleft : halves.spl_nright;
	kept = left_moves ? halves.spl_right : halves.spl_left;
	keeping = left_moves ? halves.spl_nright : halves.spl_nleft;

	/* From a child to its parent, as GiST goes when it splits. */
	parent = ReadBuffer(in->index, in->path[level - 1]);
	LockBuffer(parent, GIST_EXCLUSIVE);
	gistcheckpage(in->index, parent);
	above = BufferGetPage(parent);
	if (GistFollowRight(above) || GistPageIsLeaf(above) ||
		(downlink = find_downlink(above, in->path[level])) == InvalidOffsetNumber || bounds_at(above, downlink) == NULL)
	{
		UnlockReleaseBuffer(parent);
		return LEFT_TO_GIST;
	}
	place = find_place(above, sizeof(link));
	if (place == 0)
	{
		Outcome		outcome = split(in, parent, level - 1);

		UnlockReleaseBuffer(parent);
		return outcome;
	}
	CheckForSerializableConflictIn(in->index, NULL, in->path[level]);
	CheckForSerializableConflictIn(in->index, NULL, in->path[level - 1]);
	other = core_gist_new_buffer(in->index, in->table);
	PredicateLockPageSplit(in->index, in->path[level], BufferGetBlockNumber(other));

	gistinitpage(image.data, GistPageIsLeaf(page) ? F_LEAF : 0);
	GistPageGetOpaque(image.data)->rightlink = opaque->rightlink;
	GistPageSetNSN(image.data, GistPageGetNSN(page));
	for (int i = 0; i < moving; i++)
	{
		ItemId		id = PageGetItemId(page, moved[i]);

		if (PageAddItem(image.data, PageGetItem(page, id), ItemIdGetLength(id), InvalidOffsetNumber, false, false) == InvalidOffsetNumber)
			elog(ERROR, "half of a page does not fit into a page of index \"%s\"", RelationGetRelationName(in->index));
	}
	begin_delta(&deltas[0], other);
	deltas[0].image = image.data;

	begin_delta(&deltas[1], buffer);
	lower = SizeOfPageHeaderData + keeping * sizeof(ItemIdData);
	add_difference(&deltas[1], page, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	for (int i = 0; i < keeping; i++)
		ids[i] = *PageGetItemId(page, kept[i]);
	add_difference(&deltas[1], page, SizeOfPageHeaderData, ids, keeping * sizeof(ItemIdData));
	after = *opaque;
	after.rightlink = BufferGetBlockNumber(other);
	PageXLogRecPtrSet(after.nsn, GetXLogInsertRecPtr() + 1);
	add_difference(&deltas[1], page, (const char *) opaque - (const char *) page, &after, sizeof(after));

	begin_delta(&deltas[2], parent);
	memcpy(&link, PageGetItem(above, PageGetItemId(above, downlink)), sizeof(link));
	memcpy(link.bytes + sizeof(IndexTupleData), DatumGetPointer(left_moves ? halves.spl_ldatum : halves.spl_rdatum), sizeof(MatchBounds));
	ItemPointerSetBlockNumber(&link.header.t_tid, BufferGetBlockNumber(other));
	add_difference(&deltas[2], above, (const char *) bounds_at(above, downlink) - (const char *) above,
				   DatumGetPointer(left_moves ? halves.spl_rdatum : halves.spl_ldatum), sizeof(MatchBounds));
	put_tuple(&deltas[2], above, place, &link.header);
	change_compressed(deltas, lengthof(deltas));

	UnlockReleaseBuffer(other);
	UnlockReleaseBuffer(parent);
	return AGAIN;
}

static Outcome
visit_leaf(Insertion *in, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	Size		needed = IndexTupleSize(in->tuple) + sizeof(ItemIdData);	/* as GiST counts */
	List	   *none;

	if (room_of(page) < needed)
	{
		LocationIndex place = GistPageHasGarbage(page) ? 0 : find_place(page, IndexTupleSize(in->tuple));

		if (place != 0)
		{
			Delta		delta;

			begin_delta(&delta, buffer);
			CheckForSerializableConflictIn(in->index, NULL, in->path[in->level]);
			put_tuple(&delta, page, place, in->tuple);
			change(&delta, 1);
			return DONE;
		}
		if (!find_dead(in, buffer) || room_of(page) < needed)
		{
			MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "match_gist split", ALLOCSET_DEFAULT_SIZES);
			MemoryContext old = MemoryContextSwitchTo(context);
			Outcome		outcome = split(in, buffer, in->level);

			MemoryContextSwitchTo(old);
			MemoryContextDelete(context);
			return outcome;
		}
	}
	CheckForSerializableConflictIn(in->index, NULL, in->path[in->level]);
	/* Deletes what is marked first, if it must. It does not split, so it asks for no rules. */
	gistplacetopage(in->index, 0, NULL, buffer, &in->tuple, 1, InvalidOffsetNumber, NULL, InvalidBuffer, &none,
					true, in->table, false);
	return DONE;
}

static Outcome
visit(Insertion *in, Buffer buffer, bool exclusive)
{
	Page		page = BufferGetPage(buffer);

	if (GistFollowRight(page))
		return LEFT_TO_GIST;
	if (GistPageIsDeleted(page) || (in->level > 0 && in->parent < GistPageGetNSN(page)))
		return AGAIN;
	if (!GistPageIsLeaf(page))
		return visit_inner(in, buffer, exclusive);
	return exclusive ? visit_leaf(in, buffer) : CHANGE;
}

static Outcome
descend(Insertion *in)
{
	Outcome		outcome;

	in->path[0] = GIST_ROOT_BLKNO;
	in->level = 0;
	in->chosen_at = InvalidXLogRecPtr;
	do
	{
		Buffer		buffer = ReadBuffer(in->index, in->path[in->level]);

		in->below = InvalidBlockNumber;
		LockBuffer(buffer, GIST_SHARE);
		gistcheckpage(in->index, buffer);
		outcome = visit(in, buffer, false);
		if (outcome == CHANGE)
		{
			LockBuffer(buffer, GIST_UNLOCK);
			/* Now, as others wait for who reads a file and holds a lock. */
			if (in->below != InvalidBlockNumber)
				in->child = ReadBuffer(in->index, in->below);
			LockBuffer(buffer, GIST_EXCLUSIVE);
			outcome = visit(in, buffer, true);
			if (in->below != InvalidBlockNumber)
				ReleaseBuffer(in->child);
		}
		UnlockReleaseBuffer(buffer);
	} while (outcome == DOWN);
	return outcome;
}

bool
match_insert(Relation index, Datum *values, bool *nulls, ItemPointer row, Relation table,
			 IndexUniqueCheck unique, bool unchanged, struct IndexInfo *info)
{
	const void *key = DatumGetPointer(values[0]);

	if (RelationNeedsWAL(index) && IndexRelationGetNumberOfAttributes(index) == 1 && !nulls[0] &&
		VARATT_IS_4B_U(key) && MATCH_KIND(((const MatchKey *) key)->head) == MATCH_KEY &&
		index_getprocinfo(index, 1, GIST_UNION_PROC)->fn_addr == match_gist_union &&
		index_getprocinfo(index, 1, GIST_PICKSPLIT_PROC)->fn_addr == match_gist_picksplit &&
		index_getprocinfo(index, 1, GIST_PENALTY_PROC)->fn_addr == match_gist_penalty)
	{
		Insertion	in = {.index = index, .table = table};
		Outcome		outcome;

		in.lane = match_gist_lane(index_getprocinfo(index, 1, GIST_PENALTY_PROC));
		in.extent = match_extent_of(key, in.lane);
		match_bounds_of(key, &in.bounds);
		in.tuple = index_form_tuple(RelationGetDescr(index), values, nulls);
		in.tuple->t_tid = *row;
		do
		{
			CHECK_FOR_INTERRUPTS();
			outcome = descend(&in);
		} while (outcome == AGAIN);
		pfree(in.tuple);
		if (outcome == DONE)
			return false;
	}
	return gistinsert(index, values, nulls, row, table, unique, unchanged, info);
}
