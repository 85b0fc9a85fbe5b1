/*
 * The insertion of match_gist: one that takes the way down GiST would take, but
 * chooses by the penalty itself instead of through the function manager, and
 * logs bounds that grow as the bytes that change instead of as a tuple; those
 * are most of what an insertion changes besides its leaf. Pages, their locks and
 * every other record are GiST's, and so is what happens seldom: a page that must
 * be split, a split to be finished, keys or bounds of another format, an index
 * without a log or of several columns are left to gistinsert().
 *
 * The protocol is that of access/gist/gist.c. One page is locked at a time, first
 * shared; who has to change it locks it again and looks at it anew. A page whose
 * NSN is above the LSN that its parent had when its downlink was read was split
 * since, and its downlink may not cover the key: the way starts again at the root
 * (GiST goes back to the parent; it is as right and needs no stack). A parent
 * grows before the page below it gets the key, so that whoever finds the key
 * missing between the two, after a crash too, has bounds that are too large at
 * worst. Growing advances the LSN of the page, as any other inserter expects who
 * compares it between two locks: that is why an index without a log is left out.
 *
 * The bytes are logged by generic WAL. Its check of consistency knows nothing of
 * the hints on a page of GiST, but inner pages have none: leaves are GiST's.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/gist_private.h"
#include "access/tableam.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
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
	BlockNumber block;
	XLogRecPtr	parent;			/* the LSN of the page above when the downlink was read */
	XLogRecPtr	chosen_at;		/* the LSN at which the page below was chosen, if it was */
	OffsetNumber chosen;
	Size		needed;			/* what the tuple takes of a page */
} Insertion;

/* Bounds that can grow in their place, or NULL. */
static inline const MatchBounds *
bounds_at(const Insertion *in, Page page, OffsetNumber offset)
{
	IndexTuple	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));
	bool		null;
	Datum		value = index_getattr(tuple, 1, RelationGetDescr(in->index), &null);
	const void *bounds = DatumGetPointer(value);

	if (null || GistTupleIsInvalid(tuple) || !VARATT_IS_4B_U(bounds) ||
		((const MatchBounds *) bounds)->head != MATCH_BOUNDS || match_size(bounds) != sizeof(MatchBounds))
		return NULL;
	return bounds;
}

/* The downlink of the least penalty, of equals any; 0 if one is not for us. */
static OffsetNumber
choose(const Insertion *in, Page page)
{
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	OffsetNumber best = InvalidOffsetNumber;
	float		least = 0;

	for (OffsetNumber i = FirstOffsetNumber; i <= last; i = OffsetNumberNext(i))
	{
		const MatchBounds *bounds = bounds_at(in, page, i);
		MatchExtent extent;
		float		penalty;

		if (bounds == NULL)
			return InvalidOffsetNumber;
		extent = match_extent_of(bounds, in->lane);
		penalty = match_penalty(&extent, &in->extent);
		if (best == InvalidOffsetNumber || penalty < least ||
			(penalty == least && pg_prng_bool(&pg_global_prng_state)))
		{
			best = i;
			least = penalty;
		}
	}
	return best;
}

static Outcome
visit_inner(Insertion *in, Buffer buffer, bool exclusive)
{
	Page		page = BufferGetPage(buffer);
	XLogRecPtr	lsn = exclusive ? PageGetLSN(page) : BufferGetLSNAtomic(buffer);
	IndexTuple	tuple;
	const MatchBounds *old;
	MatchBounds wide;

	if (in->chosen_at != lsn)
	{
		in->chosen = choose(in, page);
		if (in->chosen == InvalidOffsetNumber)
			return LEFT_TO_GIST;
		in->chosen_at = lsn;
	}
	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, in->chosen));
	old = bounds_at(in, page, in->chosen);
	wide = *old;
	match_bounds_add(&wide, &in->bounds);
	if (memcmp(&wide, old, sizeof(wide)) != 0)
	{
		GenericXLogState *state;

		if (!exclusive)
			return CHANGE;
		CheckForSerializableConflictIn(in->index, NULL, in->block);
		state = GenericXLogStart(in->index);
		memcpy((char *) GenericXLogRegisterBuffer(state, buffer, 0) + ((const char *) old - (const char *) page),
			   &wide, sizeof(wide));
		GenericXLogFinish(state);
	}
	in->block = ItemPointerGetBlockNumber(&tuple->t_tid);
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

static Outcome
visit_leaf(Insertion *in, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	List	   *split;

	if (room_of(page) < in->needed && !(find_dead(in, buffer) && room_of(page) >= in->needed))
		return LEFT_TO_GIST;
	CheckForSerializableConflictIn(in->index, NULL, in->block);
	/* Deletes what is marked first, if it must. It does not split, so it asks for no rules. */
	gistplacetopage(in->index, 0, NULL, buffer, &in->tuple, 1, InvalidOffsetNumber, NULL, InvalidBuffer, &split,
					true, in->table, false);
	return DONE;
}

static Outcome
visit(Insertion *in, Buffer buffer, bool exclusive)
{
	Page		page = BufferGetPage(buffer);

	if (GistFollowRight(page))
		return LEFT_TO_GIST;
	if (GistPageIsDeleted(page) || (in->block != GIST_ROOT_BLKNO && in->parent < GistPageGetNSN(page)))
		return AGAIN;
	if (!GistPageIsLeaf(page))
		return visit_inner(in, buffer, exclusive);
	return exclusive ? visit_leaf(in, buffer) : CHANGE;
}

static Outcome
descend(Insertion *in)
{
	Outcome		outcome;

	in->block = GIST_ROOT_BLKNO;
	in->chosen_at = InvalidXLogRecPtr;
	do
	{
		Buffer		buffer = ReadBuffer(in->index, in->block);

		LockBuffer(buffer, GIST_SHARE);
		gistcheckpage(in->index, buffer);
		outcome = visit(in, buffer, false);
		if (outcome == CHANGE)
		{
			LockBuffer(buffer, GIST_UNLOCK);
			LockBuffer(buffer, GIST_EXCLUSIVE);
			outcome = visit(in, buffer, true);
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
		index_getprocinfo(index, 1, GIST_PENALTY_PROC)->fn_addr == match_gist_penalty)
	{
		Insertion	in = {.index = index, .table = table};
		Outcome		outcome;

		in.lane = match_gist_lane(index_getprocinfo(index, 1, GIST_PENALTY_PROC));
		in.extent = match_extent_of(key, in.lane);
		match_bounds_of(key, &in.bounds);
		in.tuple = index_form_tuple(RelationGetDescr(index), values, nulls);
		in.tuple->t_tid = *row;
		in.needed = IndexTupleSize(in.tuple) + sizeof(ItemIdData);
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
