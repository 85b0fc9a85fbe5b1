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

/* Bits of a coordinate that the Hilbert curve goes by. */
#define CURVE_BITS 21
/*
 * Within a region of the curve (2^-8 of the cube's edge, 50 km) leaves go by
 * whether there are tags, by age in classes of 2^10 days, then on along the
 * curve: in a big city that halves the pages of an ordered scan, elsewhere a
 * region has less than a page. Who has no tags can share none, so that half of
 * the leaves has a lower bound of the score.
 */
#define REGION_BITS 8
#define AGE_SHIFT 10
#define AGE_BITS 6
/* A longer edge of a box than a region's. */
#define REGION_UNITS (2LL * MATCH_UNIT >> REGION_BITS)
/* What a day of birth weighs against a place in a split: a year is 8 km. */
#define DAY_UNITS (MATCH_UNIT / 6371 * 8 / 365)
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

static int
lane_of(FunctionCallInfo fcinfo)
{
	return PG_HAS_OPCLASS_OPTIONS() ? ((const MatchOptions *) PG_GET_OPCLASS_OPTIONS())->lane : 0;
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

Datum
match_gist_union(PG_FUNCTION_ARGS)
{
	GistEntryVector *entries = (GistEntryVector *) PG_GETARG_POINTER(0);
	int		   *size = (int *) PG_GETARG_POINTER(1);
	MatchBounds *all = palloc(sizeof(MatchBounds));
	MatchBounds one;

	match_bounds_of(match_stored(entries->vector[0].key), all);
	for (int i = 1; i < entries->n; i++)
	{
		match_bounds_of(match_stored(entries->vector[i].key), &one);
		match_bounds_add(all, &one);
	}
	*size = sizeof(MatchBounds);
	PG_RETURN_POINTER(all);
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

static const uint8 no_tags[MATCH_TAG_BYTES];

/* What a penalty goes by, of a key or of bounds, without a copy. */
typedef struct Extent
{
	const int32 *low;
	const int32 *high;
	int			mode_min;
	int			mode_max;
	int			born_min;
	int			born_max;
	bool		tagged;
} Extent;

static Extent
extent_of(const void *value)
{
	const MatchKey *key = value;
	const MatchBounds *bounds = value;

	if (match_is_leaf(value))
		return (Extent) {key->at, key->at, key->mode, key->mode,
			key->born, key->born == MATCH_BORN_UNSET ? 0 : key->born, memcmp(key->tags, no_tags, sizeof(no_tags)) != 0};
	return (Extent) {bounds->low, bounds->high, bounds->mode_min, bounds->mode_max,
		bounds->born_min, bounds->born_max, bounds->tags_max > 0};
}

static int
bits_outside(uint8 a, uint8 b)
{
	return __builtin_popcount(a & ~b);
}

/*
 * What taking in a key costs: first of all other people than those already
 * there by mode and by the clustering lane, then a larger box of place and age.
 */
Datum
match_gist_penalty(PG_FUNCTION_ARGS)
{
	const void *there = match_stored(((GISTENTRY *) PG_GETARG_POINTER(0))->key);
	const void *new = match_stored(((GISTENTRY *) PG_GETARG_POINTER(1))->key);
	float	   *penalty = (float *) PG_GETARG_POINTER(2);
	int			lane = lane_of(fcinfo);
	const uint8 *lanes = (const uint8 *) there + offsetof(MatchKey, traits);
	const uint8 *new_lanes = (const uint8 *) new + offsetof(MatchKey, traits);
	uint8		traits = lanes[lane];
	uint8		wants = lanes[MATCH_LANES + lane];
	uint8		new_traits = new_lanes[lane];
	uint8		new_wants = new_lanes[MATCH_LANES + lane];
	Extent		a = extent_of(there);
	Extent		b = extent_of(new);
	int			modes = Max(a.mode_max, b.mode_max) - Min(a.mode_min, b.mode_min);
	int			apart = bits_outside(new_traits, traits) + bits_outside(new_wants, wants);
	double		growth = 0;
	double		edges = 0;

	for (int i = 0; i < 3; i++)
	{
		growth += (double) Max((int64) a.low[i] - b.low[i], 0) + Max((int64) b.high[i] - a.high[i], 0);
		edges += (double) ((int64) a.high[i] - a.low[i]);
	}
	growth += (double) DAY_UNITS * (Max(a.born_min - b.born_min, 0) + Max(b.born_max - a.born_max, 0));
	*penalty = 1000.0 * modes + 50.0 * apart +
		5.0 * (bits_outside(traits, new_traits) + bits_outside(wants, new_wants)) +
		0.01 * (a.tagged != b.tagged) +
		(growth + 0.001 * edges) / MATCH_UNIT;
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
	sort_lane = lane_of(fcinfo);
	PG_RETURN_POINTER(PG_GETARG_POINTER(0));
}

/* How far along a Hilbert curve through the cube around the earth a place is. */
static uint64
curve_position(const int32 *at)
{
	uint32		x[3];
	uint32		t;
	uint64		position = 0;

	/* Skilling, "Programming the Hilbert curve", AIP 707, 2004. */
	for (int i = 0; i < 3; i++)
	{
		int64		shifted = ((int64) at[i] + MATCH_UNIT) >> (31 - CURVE_BITS);

		x[i] = (uint32) Min(Max(shifted, 0), (1 << CURVE_BITS) - 1);
	}
	for (uint32 q = 1U << (CURVE_BITS - 1); q > 1; q >>= 1)
	{
		uint32		p = q - 1;

		for (int i = 0; i < 3; i++)
		{
			if (x[i] & q)
				x[0] ^= p;
			else
			{
				t = (x[0] ^ x[i]) & p;
				x[0] ^= t;
				x[i] ^= t;
			}
		}
	}
	x[1] ^= x[0];
	x[2] ^= x[1];
	t = 0;
	for (uint32 q = 1U << (CURVE_BITS - 1); q > 1; q >>= 1)
	{
		if (x[2] & q)
			t ^= q - 1;
	}
	for (int bit = CURVE_BITS - 1; bit >= 0; bit--)
	{
		for (int i = 0; i < 3; i++)
			position = position << 1 | ((x[i] ^ t) >> bit & 1);
	}
	return position;
}

/* 40 bits: the region on the curve, tags or none, the class of age, and where in the region. */
static uint64
leading_position(const MatchKey *key)
{
	uint64		position = curve_position(key->at);
	uint64		age = Min(key->born >> AGE_SHIFT, (1 << AGE_BITS) - 1);
	uint64		region = position >> (3 * (CURVE_BITS - REGION_BITS));
	uint64		rest = position & ((UINT64CONST(1) << 3 * (CURVE_BITS - REGION_BITS)) - 1);
	uint64		tagged = memcmp(key->tags, no_tags, sizeof(no_tags)) != 0;
	int			left = 40 - 3 * REGION_BITS - 1 - AGE_BITS;

	return ((region << 1 | tagged) << AGE_BITS | age) << left | rest >> (3 * (CURVE_BITS - REGION_BITS) - left);
}

static int
compare_keys(const MatchKey *a, const MatchKey *b, int lane)
{
	uint64		p = leading_position(a);
	uint64		q = leading_position(b);
	int			order;

	if (a->mode != b->mode)
		return a->mode < b->mode ? -1 : 1;
	if (a->traits[lane] != b->traits[lane])
		return a->traits[lane] < b->traits[lane] ? -1 : 1;
	if (a->wants[lane] != b->wants[lane])
		return a->wants[lane] < b->wants[lane] ? -1 : 1;
	if (p != q)
		return p < q ? -1 : 1;
	p = curve_position(a->at);
	q = curve_position(b->at);
	if (p != q)
		return p < q ? -1 : 1;
	order = memcmp(a->traits, b->traits, MATCH_LANES);
	if (order == 0)
		order = memcmp(a->wants, b->wants, MATCH_LANES);
	if (order != 0)
		return order;
	return (a->id > b->id) - (a->id < b->id);
}

/* How far apart two neighbours of the order are, 0 to 4. */
static int
step_between(const MatchKey *a, const MatchKey *b, int lane)
{
	uint64		p = leading_position(a);
	uint64		q = leading_position(b);
	int			left = 40 - 3 * REGION_BITS;

	if (a->mode != b->mode || a->traits[lane] != b->traits[lane] || a->wants[lane] != b->wants[lane])
		return 4;
	if (p >> left != q >> left)
		return 3;
	if (p >> (left - 1) != q >> (left - 1))
		return 2;
	return p >> (left - 1 - AGE_BITS) != q >> (left - 1 - AGE_BITS);
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

/* The first 64 bits of the order; Datum is that wide wherever this is used. */
static Datum
abbreviate(Datum value, SortSupport ssup)
{
	const MatchKey *key = DatumGetMatchKey(value);

	return (Datum) ((uint64) key->mode << 56 | (uint64) key->traits[sort_lane] << 48 | (uint64) key->wants[sort_lane] << 40 |
					leading_position(key));
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
	OffsetNumber offset;
	int64		rank;
	MatchBounds bounds;
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
 * The place nearest to the middle where the rank changes, or 0 if that leaves
 * less than n / least on a side.
 */
static int
split_at_change(const SplitItem *items, int n, int least)
{
	int			best = 0;

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
	return ((int64) bounds->born_min + Max(bounds->born_max, bounds->born_min)) * DAY_UNITS;
}

static int
find_split(SplitItem *items, int n, int lane)
{
	int			split;
	int64		longest = -1;
	int			axis = 0;

	for (int i = 0; i < n; i++)
		items[i].rank = items[i].bounds.mode_min * 256 + items[i].bounds.mode_max;
	qsort(items, n, sizeof(SplitItem), compare_items);
	if ((split = split_at_change(items, n, n)) > 0)
		return split;

	for (int i = 0; i < n; i++)
		items[i].rank = items[i].bounds.traits[lane] * 256 + items[i].bounds.wants[lane];
	qsort(items, n, sizeof(SplitItem), compare_items);
	if ((split = split_at_change(items, n, 2 * LEAST_SHARE)) > 0)
		return split;

	for (int i = 0; i < 4; i++)
	{
		int64		low = PG_INT64_MAX;
		int64		high = PG_INT64_MIN;

		for (int j = 0; j < n; j++)
		{
			int64		middle = middle_of(&items[j].bounds, i);

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
			items[i].rank = items[i].bounds.tags_max > 0;
		qsort(items, n, sizeof(SplitItem), compare_items);
		if ((split = split_at_change(items, n, 2 * LEAST_SHARE)) > 0)
			return split;
	}
	for (int i = 0; i < n; i++)
		items[i].rank = middle_of(&items[i].bounds, axis);
	qsort(items, n, sizeof(SplitItem), compare_items);
	split = split_at_change(items, n, LEAST_SHARE);
	return split > 0 ? split : n / 2;
}

/*
 * A build that sorts hands over some pages of tuples in their order, to be
 * split until each part has room on a page: the first of even parts, ending
 * where the order makes its greatest step nearby. Returns 0 if this is a page
 * that is full and one tuple more, which is to be split as it goes best.
 */
static int
find_cut(const GistEntryVector *entries, int n, int lane)
{
	Size		size = 0;
	Size		largest = 0;
	int			parts;
	int			middle;
	int			best = 0;
	int			best_step = -1;

	for (int i = FirstOffsetNumber; i <= n; i++)
	{
		Size		one = MAXALIGN(sizeof(IndexTupleData) + match_size(match_stored(entries->vector[i].key))) + sizeof(ItemIdData);

		size += one;
		largest = Max(largest, one);
	}
	if (size <= PAGE_ROOM + 2 * largest)
		return 0;
	parts = Max((int) rint(size / (FILLED * PAGE_ROOM)), 2);
	middle = n / parts;
	for (int i = Max(middle * 3 / 4, 1); i <= Min(middle * 5 / 4, (int) (PAGE_ROOM / largest)); i++)
	{
		const void *before = match_stored(entries->vector[i].key);
		const void *after = match_stored(entries->vector[i + 1].key);
		int			step = match_is_leaf(before) && match_is_leaf(after) ? step_between(before, after, lane) : 0;

		if (step > best_step || (step == best_step && abs(i - middle) < abs(best - middle)))
		{
			best = i;
			best_step = step;
		}
	}
	return Max(best, 1);
}

static Datum
fill_side(const SplitItem *items, int n, OffsetNumber *offsets)
{
	MatchBounds *all = palloc(sizeof(MatchBounds));

	*all = items[0].bounds;
	offsets[0] = items[0].offset;
	for (int i = 1; i < n; i++)
	{
		match_bounds_add(all, &items[i].bounds);
		offsets[i] = items[i].offset;
	}
	return PointerGetDatum(all);
}

Datum
match_gist_picksplit(PG_FUNCTION_ARGS)
{
	GistEntryVector *entries = (GistEntryVector *) PG_GETARG_POINTER(0);
	GIST_SPLITVEC *vector = (GIST_SPLITVEC *) PG_GETARG_POINTER(1);
	int			n = entries->n - 1; /* the first is not used */
	SplitItem  *items = palloc(n * sizeof(SplitItem));
	int			lane = lane_of(fcinfo);

	for (int i = 0; i < n; i++)
	{
		items[i].offset = i + FirstOffsetNumber;
		match_bounds_of(match_stored(entries->vector[i + FirstOffsetNumber].key), &items[i].bounds);
	}
	vector->spl_nleft = find_cut(entries, n, lane);
	if (vector->spl_nleft == 0)
		vector->spl_nleft = find_split(items, n, lane);
	vector->spl_nright = n - vector->spl_nleft;
	vector->spl_left = palloc((n + 1) * sizeof(OffsetNumber));
	vector->spl_right = palloc((n + 1) * sizeof(OffsetNumber));
	vector->spl_ldatum = fill_side(items, vector->spl_nleft, vector->spl_left);
	vector->spl_rdatum = fill_side(items + vector->spl_nleft, vector->spl_nright, vector->spl_right);
	vector->spl_ldatum_exists = false;
	vector->spl_rdatum_exists = false;
	pfree(items);
	PG_RETURN_POINTER(vector);
}
