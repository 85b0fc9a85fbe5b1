/*
 * The GiST operator class match_key_ops. Leaves hold keys, inner tuples bounds;
 * both are values of type match_key and tell themselves apart, so they are
 * stored as they are.
 *
 * An index clusters by one lane, the first unless its option says another:
 * USING match_gist (key rapport.match_key_ops (lane = 3)). Bounds hold all lanes, so
 * this decides how much a scan has to read, and never what it finds.
 */
#include "postgres.h"

#include <math.h>

#include "access/gist.h"
#include "access/reloptions.h"
#include "access/stratnum.h"
#include "fmgr.h"
#include "utils/sortsupport.h"

#include "match/bounds.h"
#include "match/penalty.h"
#include "match/score.h"
#include "match/value.h"

PG_FUNCTION_INFO_V1(match_gist_consistent);
PG_FUNCTION_INFO_V1(match_gist_distance);
PG_FUNCTION_INFO_V1(match_gist_union);
PG_FUNCTION_INFO_V1(match_gist_penalty);
PG_FUNCTION_INFO_V1(match_gist_picksplit);
PG_FUNCTION_INFO_V1(match_gist_same);
PG_FUNCTION_INFO_V1(match_gist_sortsupport);
PG_FUNCTION_INFO_V1(match_gist_compress);
PG_FUNCTION_INFO_V1(match_gist_options);

/*
 * The Hilbert curve goes over the faces of a cube around the earth, by so many
 * bits of either coordinate: 400 m, finer than the cells that places are in.
 */
#define CURVE_BITS 15
/*
 * Within a region of the curve (2^-8 of a face's edge, 50 km) leaves go by
 * whether there are tags, by age in classes of 2^10 days, then on along the
 * curve: in a big city that halves the pages of an ordered scan, elsewhere a
 * region has less than a page. Who has no tags can share none, so that half of
 * the leaves has a lower bound of the score.
 */
#define REGION_BITS 8
#define AGE_SHIFT 10
#define AGE_BITS 6
#define REST_BITS (2 * (CURVE_BITS - REGION_BITS))
/* A longer edge of a box than a region's. */
#define REGION_UNITS (2LL * MATCH_UNIT >> REGION_BITS)
/* A split leaves at least one in so many of the tuples on each side. */
#define LEAST_SHARE 4

/* Room for tuples on a page, and how much of it a build fills. */
#define PAGE_ROOM (BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(GISTPageOpaqueData)))
#define FILLED 0.8

typedef struct MatchOptions
{
	int32		header;
	int			lane;
} MatchOptions;

Datum
match_gist_options(PG_FUNCTION_ARGS)
{
	local_relopts *options = (local_relopts *) PG_GETARG_POINTER(0);

	init_local_reloptions(options, sizeof(MatchOptions));
	add_local_int_reloption(options, "lane", "lane to cluster by", 0, 0, MATCH_LANES - 1, offsetof(MatchOptions, lane));
	PG_RETURN_VOID();
}

int
match_gist_lane(FmgrInfo *function)
{
	static const MatchOptions by_first;

	if (function->fn_extra == NULL)
		function->fn_extra = has_fn_opclass_options(function) ? (void *) get_fn_opclass_options(function) : (void *) &by_first;
	return ((const MatchOptions *) function->fn_extra)->lane;
}

Datum
match_gist_consistent(PG_FUNCTION_ARGS)
{
	GISTENTRY  *entry = (GISTENTRY *) PG_GETARG_POINTER(0);
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(1);
	bool	   *recheck = (bool *) PG_GETARG_POINTER(4);
	const void *key = match_stored(entry->key);

	*recheck = false;
	if (match_is_leaf(key))
		PG_RETURN_BOOL(match_leaf_accepts(key, query));
	PG_RETURN_BOOL(match_bounds_accept(key, query));
}

Datum
match_gist_distance(PG_FUNCTION_ARGS)
{
	GISTENTRY  *entry = (GISTENTRY *) PG_GETARG_POINTER(0);
	const MatchQuery *query = PG_GETARG_MATCH_QUERY(1);
	bool	   *recheck = (bool *) PG_GETARG_POINTER(4);
	const void *key = match_stored(entry->key);

	*recheck = false;
	if (match_is_leaf(key))
		PG_RETURN_FLOAT8(match_leaf_cost(key, query));
	PG_RETURN_FLOAT8(match_bounds_cost(key, query));
}

static MatchBounds *
bounds_of_all(const GISTENTRY *entries, int n)
{
	MatchBounds *all = palloc(sizeof(MatchBounds));
	MatchBounds one;

	match_bounds_of(match_stored(entries[0].key), all);
	for (int i = 1; i < n; i++)
	{
		const void *value = match_stored(entries[i].key);

		if (match_is_leaf(value))
		{
			match_bounds_of(value, &one);
			value = &one;
		}
		match_bounds_add(all, value);
	}
	return all;
}

Datum
match_gist_union(PG_FUNCTION_ARGS)
{
	GistEntryVector *entries = (GistEntryVector *) PG_GETARG_POINTER(0);
	int		   *size = (int *) PG_GETARG_POINTER(1);

	*size = sizeof(MatchBounds);
	PG_RETURN_POINTER(bounds_of_all(entries->vector, entries->n));
}

Datum
match_gist_same(PG_FUNCTION_ARGS)
{
	const MatchKey *a = PG_GETARG_MATCH_KEY(0);
	const MatchKey *b = PG_GETARG_MATCH_KEY(1);
	bool	   *same = (bool *) PG_GETARG_POINTER(2);

	*same = match_size(a) == match_size(b) && memcmp(a, b, match_size(a)) == 0;
	PG_RETURN_POINTER(same);
}

/* Most of the time of an insertion by GiST goes by here. */
Datum
match_gist_penalty(PG_FUNCTION_ARGS)
{
	float	   *penalty = (float *) PG_GETARG_POINTER(2);
	int			lane = match_gist_lane(fcinfo->flinfo);
	MatchExtent a = match_extent_of(match_stored(((GISTENTRY *) PG_GETARG_POINTER(0))->key), lane);
	MatchExtent b = match_extent_of(match_stored(((GISTENTRY *) PG_GETARG_POINTER(1))->key), lane);

	*penalty = match_penalty(&a, &b, match_growth(&a, &b));
	PG_RETURN_POINTER(penalty);
}

/*
 * The order of the leaves: mode, the clustering lane, the region, whether there are
 * tags, the age, the rest of the Hilbert curve, the other lanes, the id.
 */

/*
 * Every support function is told the options of its index but the one that
 * sorts (PostgreSQL 15 to 18). compress is, and is called for each key of a
 * build right before the sort gets it: here it leaves the lane to sort by.
 */
static int	sort_lane;

Datum
match_gist_compress(PG_FUNCTION_ARGS)
{
	sort_lane = match_gist_lane(fcinfo->flinfo);
	PG_RETURN_POINTER(PG_GETARG_POINTER(0));
}

/* How far along the curve a place is: 3 bits of the face, 2 * CURVE_BITS on it. */
static uint64
curve_position(const int32 *at)
{
	int			axis = 0;
	int64		half;
	uint64		x[2];
	uint64		position;
	uint32		state = 0;

	for (int i = 1; i < 3; i++)
	{
		if (llabs(at[i]) > llabs(at[axis]))
			axis = i;
	}
	half = llabs(at[axis]);
	if (half == 0)
		return 0;
	for (int i = 0; i < 2; i++)
	{
		uint64		from_edge = (uint64) (at[(axis + 1 + i) % 3] + half);

		x[i] = Min((from_edge << CURVE_BITS) / (2 * half), (1 << CURVE_BITS) - 1);
	}
	position = 2 * axis + (at[axis] < 0);
	/* Warren, "Hacker's Delight", chapter 16: by tables of 2 bits. */
	for (int bit = CURVE_BITS - 1; bit >= 0; bit--)
	{
		uint32		row = state << 2 | (x[0] >> bit & 1) << 1 | (x[1] >> bit & 1);

		position = position << 2 | (0x361E9CB4U >> 2 * row & 3);
		state = 0x8FE65831U >> 2 * row & 3;
	}
	return position;
}

/* 40 bits: the region on the curve, tags or none, the class of age, and where in the region. */
static uint64
leading_position(const MatchKey *key)
{
	uint64		position = curve_position(key->at);
	uint64		age = Min(key->born >> AGE_SHIFT, (1 << AGE_BITS) - 1);
	uint64		region = position >> REST_BITS;
	uint64		rest = position & ((UINT64CONST(1) << REST_BITS) - 1);

	return ((region << 1 | match_has_tags(key)) << AGE_BITS | age) << REST_BITS | rest;
}

static int
compare_keys(const MatchKey *a, const MatchKey *b, int lane)
{
	int			order;

	if (a->mode != b->mode)
		return a->mode < b->mode ? -1 : 1;
	if (a->traits[lane] != b->traits[lane])
		return a->traits[lane] < b->traits[lane] ? -1 : 1;
	if (a->wants[lane] != b->wants[lane])
		return a->wants[lane] < b->wants[lane] ? -1 : 1;
	if (memcmp(a->at, b->at, sizeof(a->at)) != 0 || a->born != b->born || match_has_tags(a) != match_has_tags(b))
	{
		uint64		p = leading_position(a);
		uint64		q = leading_position(b);

		if (p != q)
			return p < q ? -1 : 1;
	}
	order = memcmp(a->traits, b->traits, MATCH_LANES);
	if (order == 0)
		order = memcmp(a->wants, b->wants, MATCH_LANES);
	if (order != 0)
		return order;
	return (a->id > b->id) - (a->id < b->id);
}

/* The first 64 bits of the order. */
static uint64
leading_bits(const MatchKey *key, int lane)
{
	return (uint64) key->mode << 56 | (uint64) key->traits[lane] << 48 | (uint64) key->wants[lane] << 40 | leading_position(key);
}

/* How far apart two neighbours of the order are by their first 64 bits, 0 to 4. */
static int
step_between(uint64 a, uint64 b)
{
	uint64		differ = a ^ b;

	return (differ >> 40 != 0) + (differ >> (REST_BITS + AGE_BITS + 1) != 0) + (differ >> (REST_BITS + AGE_BITS) != 0) +
		(differ >> REST_BITS != 0);
}

static int
compare_full(Datum x, Datum y, SortSupport ssup)
{
	return compare_keys(DatumGetMatchKey(x), DatumGetMatchKey(y), sort_lane);
}

static int
compare_abbreviated(Datum x, Datum y, SortSupport ssup)
{
	return (x > y) - (x < y);
}

/* Datum is that wide wherever this is used. */
static Datum
abbreviate(Datum value, SortSupport ssup)
{
	return (Datum) leading_bits(DatumGetMatchKey(value), sort_lane);
}

static bool
never_abort(int memtupcount, SortSupport ssup)
{
	return false;
}

Datum
match_gist_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = compare_full;
	if (ssup->abbreviate && sizeof(Datum) == 8)
	{
		ssup->comparator = compare_abbreviated;
		ssup->abbrev_converter = abbreviate;
		ssup->abbrev_abort = never_abort;
		ssup->abbrev_full_comparator = compare_full;
	}
	PG_RETURN_VOID();
}

/*
 * Splitting a page that is full: where the modes differ, else where the
 * clustering lane does, else in a region by tags, else across the longest edge of place
 * and age. Each as near to the middle as it goes.
 */

typedef struct SplitItem
{
	int64		rank;
	MatchBounds *bounds;
	OffsetNumber offset;
} SplitItem;

static int
compare_items(const void *a, const void *b)
{
	const SplitItem *x = a;
	const SplitItem *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (int) x->offset - (int) y->offset;
}

/*
 * Sorts by rank, and gives the place nearest to the middle where it changes, or
 * 0 if that leaves less than n / least on a side.
 */
static int
split_at_change(SplitItem *items, int n, int least)
{
	int			best = 0;
	int			same = 1;

	while (same < n && items[same].rank == items[0].rank)
		same++;
	if (same == n)
		return 0;
	qsort(items, n, sizeof(SplitItem), compare_items);
	for (int i = 1; i < n; i++)
	{
		if (items[i].rank != items[i - 1].rank && abs(2 * i - n) < abs(2 * best - n))
			best = i;
	}
	return best >= Max(n / least, 1) && n - best >= Max(n / least, 1) ? best : 0;
}

/* Twice the middle of an edge of the bounds: of three of place and one of age. */
static int64
middle_of(const MatchBounds *bounds, int axis)
{
	if (axis < 3)
		return (int64) bounds->low[axis] + bounds->high[axis];
	return ((int64) bounds->born_min + Max(bounds->born_max, bounds->born_min)) * MATCH_DAY_UNITS;
}

static int
find_split(SplitItem *items, int n, int lane)
{
	int			split;
	int64		longest = -1;
	int			axis = 0;

	for (int i = 0; i < n; i++)
		items[i].rank = items[i].bounds->mode_min * 256 + items[i].bounds->mode_max;
	if ((split = split_at_change(items, n, n)) > 0)
		return split;

	for (int i = 0; i < n; i++)
		items[i].rank = items[i].bounds->traits[lane] * 256 + items[i].bounds->wants[lane];
	if ((split = split_at_change(items, n, 2 * LEAST_SHARE)) > 0)
		return split;

	for (int i = 0; i < 4; i++)
	{
		int64		low = PG_INT64_MAX;
		int64		high = PG_INT64_MIN;

		for (int j = 0; j < n; j++)
		{
			int64		middle = middle_of(items[j].bounds, i);

			low = Min(low, middle);
			high = Max(high, middle);
		}
		if (high - low > longest)
		{
			longest = high - low;
			axis = i;
		}
	}
	if (axis == 3 || longest < 2 * REGION_UNITS)
	{
		for (int i = 0; i < n; i++)
			items[i].rank = items[i].bounds->tags_max > 0;
		if ((split = split_at_change(items, n, 2 * LEAST_SHARE)) > 0)
			return split;
	}
	for (int i = 0; i < n; i++)
		items[i].rank = middle_of(items[i].bounds, axis);
	split = split_at_change(items, n, LEAST_SHARE);
	return split > 0 ? split : n / 2;
}

static Size
tuple_size(const GISTENTRY *entry)
{
	return MAXALIGN(sizeof(IndexTupleData) + match_size(match_stored(entry->key))) + sizeof(ItemIdData);
}

/*
 * A build that sorts hands over some pages of tuples in their order, to be
 * split until each part has room on a page: the first of even parts, ending
 * where the order makes its greatest step nearby. Returns 0 if this is a page
 * that is full and one tuple more, which is to be split as it goes best.
 */
static int
find_cut(const GistEntryVector *entries, int n, int lane, bool *rest_fits)
{
	Size		size = 0;
	Size		largest = 0;
	int			parts;
	int			middle;
	int			first;
	int			last;
	int			best = 0;
	int			best_step = -1;
	uint64		before = 0;

	for (int i = FirstOffsetNumber; i <= n; i++)
	{
		Size		one = tuple_size(&entries->vector[i]);

		size += one;
		largest = Max(largest, one);
	}
	if (size <= PAGE_ROOM + 2 * largest)
		return 0;
	parts = Max((int) rint(size / (FILLED * PAGE_ROOM)), 2);
	middle = n / parts;
	last = Min(middle * 5 / 4, (int) (PAGE_ROOM / largest));
	first = Max(middle * 3 / 4, 1);
	for (int i = first; i <= last + 1; i++)
	{
		const void *value = match_stored(entries->vector[i].key);
		uint64		bits = match_is_leaf(value) ? leading_bits(value, lane) : 0;
		int			step = step_between(before, bits);

		before = bits;
		if (i > first && (step > best_step || (step == best_step && abs(i - 1 - middle) < abs(best - middle))))
		{
			best = i - 1;
			best_step = step;
		}
	}
	best = Max(best, 1);
	for (int i = FirstOffsetNumber; i <= best; i++)
		size -= tuple_size(&entries->vector[i]);
	*rest_fits = size <= PAGE_ROOM;
	return best;
}

static Datum
fill_side(const SplitItem *items, int n, OffsetNumber *offsets)
{
	MatchBounds *all = palloc(sizeof(MatchBounds));

	*all = *items[0].bounds;
	offsets[0] = items[0].offset;
	for (int i = 1; i < n; i++)
	{
		match_bounds_add(all, items[i].bounds);
		offsets[i] = items[i].offset;
	}
	return PointerGetDatum(all);
}

/* The tuples in the order they have, up to the cut and from there on. */
static void
split_at_cut(const GistEntryVector *entries, int n, int cut, bool rest_fits, GIST_SPLITVEC *vector)
{
	for (int i = 0; i < cut; i++)
		vector->spl_left[i] = FirstOffsetNumber + i;
	for (int i = cut; i < n; i++)
		vector->spl_right[i - cut] = FirstOffsetNumber + i;
	vector->spl_nleft = cut;
	vector->spl_nright = n - cut;
	vector->spl_ldatum = PointerGetDatum(bounds_of_all(entries->vector + FirstOffsetNumber, cut));
	/* What is to be split again needs no bounds: its parts will have theirs. */
	vector->spl_rdatum = PointerGetDatum(bounds_of_all(entries->vector + FirstOffsetNumber + cut, rest_fits ? n - cut : 1));
}

static void
split_full_page(const GistEntryVector *entries, int n, int lane, GIST_SPLITVEC *vector)
{
	SplitItem  *items = palloc(n * sizeof(SplitItem));
	MatchBounds *bounds = palloc(n * sizeof(MatchBounds));

	for (int i = 0; i < n; i++)
	{
		items[i].offset = i + FirstOffsetNumber;
		items[i].bounds = &bounds[i];
		match_bounds_of(match_stored(entries->vector[i + FirstOffsetNumber].key), &bounds[i]);
	}
	vector->spl_nleft = find_split(items, n, lane);
	vector->spl_nright = n - vector->spl_nleft;
	vector->spl_ldatum = fill_side(items, vector->spl_nleft, vector->spl_left);
	vector->spl_rdatum = fill_side(items + vector->spl_nleft, vector->spl_nright, vector->spl_right);
	pfree(bounds);
	pfree(items);
}

Datum
match_gist_picksplit(PG_FUNCTION_ARGS)
{
	GistEntryVector *entries = (GistEntryVector *) PG_GETARG_POINTER(0);
	GIST_SPLITVEC *vector = (GIST_SPLITVEC *) PG_GETARG_POINTER(1);
	int			n = entries->n - 1; /* the first is not used */
	int			lane = match_gist_lane(fcinfo->flinfo);
	bool		rest_fits;
	int			cut = find_cut(entries, n, lane, &rest_fits);

	vector->spl_left = palloc((n + 1) * sizeof(OffsetNumber));
	vector->spl_right = palloc((n + 1) * sizeof(OffsetNumber));
	if (cut > 0)
		split_at_cut(entries, n, cut, rest_fits, vector);
	else
		split_full_page(entries, n, lane, vector);
	vector->spl_ldatum_exists = false;
	vector->spl_rdatum_exists = false;
	PG_RETURN_POINTER(vector);
}
