/*
 * The grid: people sorted by facet (mode, first trait, first want), cubes of
 * the space around the earth and age, in buckets of at most BUCKET_MAX. A cube
 * with more is cut in eight, down to CELL_MIN; beyond that by age. A search
 * goes over the bounds of the buckets, then through those that can hold
 * somebody good enough, best bound first. What is tested in single precision
 * lets too many pass, never too few; the last word have the rules and the score
 * of the extension, for the few who are left.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "grid.h"
#include "match/score.h"

#define BUCKET_MAX 256
/* Edge of the smallest cube: 2^20 units are 6 km. */
#define CELL_MIN 20
#define GROUP 64
/* More than rounding to single precision moves a coordinate. */
#define SLACK 256.0f
/* More than single precision takes from a score. */
#define SCORE_SLACK 2e-5f
#define LEVELS 2048

/* One cache line a person. */
typedef struct Lanes
{
	uint8_t		traits[MATCH_LANES];
	uint8_t		wants[MATCH_LANES];
} Lanes;

typedef struct Facet
{
	uint8_t		mode;
	uint8_t		trait;
	uint8_t		want;
	int			first;			/* buckets */
	int			count;
} Facet;

struct Grid
{
	size_t		n;
	void	   *keys;
	const MatchKey **key;
	/* By person, in order; each with room for 32 more. */
	int32_t    *at[3];
	float	   *reach_2;
	uint16_t   *born;
	uint16_t   *active;
	uint8_t    *age_min;
	uint8_t    *age_max;
	uint8_t    *quality;
	uint64_t   *tags[2];
	Lanes	   *lanes;
	/* By bucket. */
	int			buckets;
	int			room;
	int		   *first;			/* people; one more than buckets */
	float	   *low[3];
	float	   *high[3];
	float	   *far_2;			/* the greatest reach */
	float	   *born_low;
	float	   *born_high;
	float	   *ages_low;
	float	   *ages_high;
	float	   *fresh;			/* the last active day */
	float	   *best;			/* quality */
	int			facets;
	Facet	   *facet;
	/* Of a search. */
	float	   *bound;
	int		   *order;
	size_t		visited;
};

static void *
lines(size_t size)
{
	return aligned_alloc(64, (size + 4096 + 63) / 64 * 64);
}

/*
 * Building
 */

static int
compare_facets(const void *a, const void *b)
{
	const MatchKey *x = *(const MatchKey *const *) a;
	const MatchKey *y = *(const MatchKey *const *) b;

	if (x->mode != y->mode)
		return x->mode < y->mode ? -1 : 1;
	if (x->traits[0] != y->traits[0])
		return x->traits[0] < y->traits[0] ? -1 : 1;
	return (x->wants[0] > y->wants[0]) - (x->wants[0] < y->wants[0]);
}

static int
compare_born(const void *a, const void *b)
{
	const MatchKey *x = *(const MatchKey *const *) a;
	const MatchKey *y = *(const MatchKey *const *) b;

	if (x->born != y->born)
		return x->born < y->born ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static int
octant(const MatchKey *key, int bits)
{
	int			part = 0;

	for (int i = 0; i < 3; i++)
		part = part << 1 | (((int64_t) key->at[i] + MATCH_UNIT) >> bits & 1);
	return part;
}

static int
compare_octants(const void *a, const void *b, void *bits)
{
	return octant(*(const MatchKey *const *) a, *(int *) bits) - octant(*(const MatchKey *const *) b, *(int *) bits);
}

static int
add_bucket(Grid *grid, size_t first)
{
	if (grid->buckets + 1 >= grid->room)
	{
		int		   *larger = realloc(grid->first, 2 * grid->room * sizeof(int));

		if (larger == NULL)
			return -1;
		grid->first = larger;
		grid->room *= 2;
	}
	grid->first[grid->buckets++] = (int) first;
	return 0;
}

/* Cuts people that share a cube of edge 2^(bits + 1) into buckets. */
static int
divide(Grid *grid, size_t first, size_t end, int bits)
{
	const MatchKey **key = grid->key;
	size_t		n = end - first;

	if (n <= BUCKET_MAX || bits < CELL_MIN)
	{
		size_t		parts = (n + BUCKET_MAX - 1) / BUCKET_MAX;

		qsort(key + first, n, sizeof(*key), compare_born);
		for (size_t i = 0; i < parts; i++)
		{
			if (add_bucket(grid, first + n * i / parts) != 0)
				return -1;
		}
		return 0;
	}
	qsort_r(key + first, n, sizeof(*key), compare_octants, &bits);
	while (first < end)
	{
		size_t		next = first + 1;

		while (next < end && octant(key[next], bits) == octant(key[first], bits))
			next++;
		if (divide(grid, first, next, bits - 1) != 0)
			return -1;
		first = next;
	}
	return 0;
}

static float
squared_reach(uint32_t reach)
{
	return reach == MATCH_EVERYWHERE ? INFINITY : ((float) reach + SLACK) * ((float) reach + SLACK);
}

static void
set_bounds(Grid *grid, int b)
{
	for (int i = 0; i < 3; i++)
	{
		grid->low[i][b] = INFINITY;
		grid->high[i][b] = -INFINITY;
	}
	grid->far_2[b] = 0;
	grid->born_low[b] = UINT16_MAX;
	grid->born_high[b] = 0;
	grid->ages_low[b] = UINT8_MAX;
	grid->ages_high[b] = 0;
	grid->fresh[b] = 0;
	grid->best[b] = 0;
	for (int p = grid->first[b]; p < grid->first[b + 1]; p++)
	{
		for (int i = 0; i < 3; i++)
		{
			grid->low[i][b] = fminf(grid->low[i][b], (float) grid->at[i][p]);
			grid->high[i][b] = fmaxf(grid->high[i][b], (float) grid->at[i][p]);
		}
		grid->far_2[b] = fmaxf(grid->far_2[b], grid->reach_2[p]);
		grid->born_low[b] = fminf(grid->born_low[b], grid->born[p]);
		grid->born_high[b] = fmaxf(grid->born_high[b], grid->born[p]);
		grid->ages_low[b] = fminf(grid->ages_low[b], grid->age_min[p]);
		grid->ages_high[b] = fmaxf(grid->ages_high[b], grid->age_max[p]);
		grid->fresh[b] = fmaxf(grid->fresh[b], grid->active[p]);
		grid->best[b] = fmaxf(grid->best[b], grid->quality[p]);
	}
}

static void
tag_words(const uint8_t *tags, uint64_t *low, uint64_t *high)
{
	*high = 0;
	memcpy(low, tags, sizeof(*low));
	memcpy(high, tags + sizeof(*low), MATCH_TAG_BYTES - sizeof(*low));
}

Grid *
grid_build(void *keys, size_t n)
{
	Grid	   *grid = calloc(1, sizeof(Grid));
	const char *at = keys;
	float	  **by_bucket[] = {&grid->low[0], &grid->low[1], &grid->low[2], &grid->high[0], &grid->high[1], &grid->high[2],
		&grid->far_2, &grid->born_low, &grid->born_high, &grid->ages_low, &grid->ages_high, &grid->fresh, &grid->best,
	&grid->bound};

	grid->n = n;
	grid->keys = keys;
	grid->key = malloc((n + 1) * sizeof(*grid->key));
	grid->room = 1024;
	grid->first = malloc(grid->room * sizeof(int));
	grid->facet = malloc(65536 * sizeof(Facet));
	for (size_t i = 0; i < n; i++)
	{
		grid->key[i] = (const MatchKey *) at;
		at += (match_size(at) + 7) / 8 * 8;
	}
	qsort(grid->key, n, sizeof(*grid->key), compare_facets);
	for (size_t first = 0; first < n;)
	{
		size_t		end = first + 1;
		Facet	   *facet = &grid->facet[grid->facets++];

		while (end < n && compare_facets(&grid->key[first], &grid->key[end]) == 0)
			end++;
		facet->mode = grid->key[first]->mode;
		facet->trait = grid->key[first]->traits[0];
		facet->want = grid->key[first]->wants[0];
		facet->first = grid->buckets;
		if (divide(grid, first, end, 31) != 0)
			return NULL;
		facet->count = grid->buckets - facet->first;
		first = end;
	}
	grid->first[grid->buckets] = (int) n;

	for (int i = 0; i < 3; i++)
		grid->at[i] = lines(n * sizeof(int32_t));
	grid->reach_2 = lines(n * sizeof(float));
	grid->born = lines(n * sizeof(uint16_t));
	grid->active = lines(n * sizeof(uint16_t));
	grid->age_min = lines(n);
	grid->age_max = lines(n);
	grid->quality = lines(n);
	grid->tags[0] = lines(n * sizeof(uint64_t));
	grid->tags[1] = lines(n * sizeof(uint64_t));
	grid->lanes = lines(n * sizeof(Lanes));
	for (size_t p = 0; p < n; p++)
	{
		const MatchKey *key = grid->key[p];

		for (int i = 0; i < 3; i++)
			grid->at[i][p] = key->at[i];
		grid->reach_2[p] = squared_reach(key->reach);
		grid->born[p] = key->born;
		grid->active[p] = key->active;
		grid->age_min[p] = key->age_min;
		grid->age_max[p] = key->age_max;
		grid->quality[p] = key->quality;
		tag_words(key->tags, &grid->tags[0][p], &grid->tags[1][p]);
		memcpy(grid->lanes[p].traits, key->traits, MATCH_LANES);
		memcpy(grid->lanes[p].wants, key->wants, MATCH_LANES);
	}
	for (size_t i = 0; i < sizeof(by_bucket) / sizeof(*by_bucket); i++)
		*by_bucket[i] = lines(grid->buckets * sizeof(float));
	grid->order = lines(grid->buckets * sizeof(int));
	for (int b = 0; b < grid->buckets; b++)
		set_bounds(grid, b);
	return grid;
}

void
grid_free(Grid *grid)
{
	if (grid == NULL)
		return;
	for (int i = 0; i < 3; i++)
	{
		free(grid->at[i]);
		free(grid->low[i]);
		free(grid->high[i]);
	}
	free(grid->reach_2);
	free(grid->born);
	free(grid->active);
	free(grid->age_min);
	free(grid->age_max);
	free(grid->quality);
	free(grid->tags[0]);
	free(grid->tags[1]);
	free(grid->lanes);
	free(grid->far_2);
	free(grid->born_low);
	free(grid->born_high);
	free(grid->ages_low);
	free(grid->ages_high);
	free(grid->fresh);
	free(grid->best);
	free(grid->bound);
	free(grid->order);
	free(grid->first);
	free(grid->facet);
	free(grid->key);
	free(grid->keys);
	free(grid);
}

/*
 * Searching
 */

typedef struct Search
{
	const MatchQuery *query;
	int			k;
	int			count;
	GridHit    *hits;			/* a heap, the worst first */
	float		good_enough;	/* a lower score is of no use */
	/* The viewer in single precision. */
	float		at[3];
	float		reach_2;
	bool		placed;
	uint16_t	born_min;
	uint16_t	born_max;
	uint16_t	active_since;
	uint8_t		age_low;
	uint8_t		age_high;
	uint64_t	tags[2];
	float		share[MATCH_TERMS];
	float		rate;
	float		offset;
	float		age_origin;
	float		age_rate;
	float		recency_rate;
	float		today;
	float		tag_share;
	float		open_share;		/* of the terms that are not worked out here */
	bool		single_lane;	/* the first attribute is the first lane */
} Search;

static inline bool
worse(const GridHit *a, const GridHit *b)
{
	return a->cost > b->cost || (a->cost == b->cost && a->id > b->id);
}

static void
sift_down(GridHit *hits, int n, int i)
{
	GridHit		moved = hits[i];

	for (int child; (child = 2 * i + 1) < n; i = child)
	{
		if (child + 1 < n && worse(&hits[child + 1], &hits[child]))
			child++;
		if (!worse(&hits[child], &moved))
			break;
		hits[i] = hits[child];
	}
	hits[i] = moved;
}

static void
add_hit(Search *s, double cost, int64_t id)
{
	GridHit		hit = {cost, id};

	if (s->count < s->k)
	{
		int			i = s->count++;

		for (int parent; i > 0 && worse(&hit, &s->hits[parent = (i - 1) / 2]); i = parent)
			s->hits[i] = s->hits[parent];
		s->hits[i] = hit;
	}
	else if (worse(&s->hits[0], &hit))
	{
		s->hits[0] = hit;
		sift_down(s->hits, s->k, 0);
	}
	if (s->count == s->k)
		s->good_enough = (float) (1 - s->hits[0].cost) - SCORE_SLACK;
}

static void
begin(Search *s, const MatchQuery *query, int k, GridHit *hits)
{
	const MatchKey *viewer = &query->viewer;

	s->query = query;
	s->k = k;
	s->count = 0;
	s->hits = hits;
	s->good_enough = -INFINITY;
	for (int i = 0; i < 3; i++)
		s->at[i] = (float) viewer->at[i];
	s->placed = match_has_place(viewer);
	s->reach_2 = s->placed ? squared_reach(query->reach) : INFINITY;
	s->born_min = query->born_min;
	s->born_max = query->born_max;
	s->active_since = query->active_since;
	s->age_low = query->age_low;
	s->age_high = query->age_high;
	tag_words(viewer->tags, &s->tags[0], &s->tags[1]);
	for (int i = 0; i < MATCH_TERMS; i++)
		s->share[i] = (float) query->share[i];
	s->rate = (float) query->rate;
	s->offset = (float) query->offset;
	s->age_origin = (float) query->age_origin;
	s->age_rate = (float) query->age_rate;
	s->recency_rate = (float) query->recency_rate;
	s->today = (float) (query->today + 1);
	/* The weight of the heaviest for each that is shared. */
	s->tag_share = (float) query->tag_share * query->tag_weights[0] * s->share[MATCH_TAGS];
	s->open_share = s->share[MATCH_SOFT] + s->share[MATCH_EMBEDDING] + s->share[MATCH_DESIRABILITY] +
		s->share[MATCH_SELECTIVITY] + s->share[MATCH_NEWCOMER] + s->share[MATCH_DIVERSITY] +
		(query->liked_count > 0 ? (float) query->boost : 0);
	s->single_lane = (query->continuation & 2) == 0;
}

static int
compare_hits(const void *a, const void *b)
{
	const GridHit *x = a;
	const GridHit *y = b;

	return worse(x, y) - worse(y, x);
}

static int
end(Search *s)
{
	qsort(s->hits, s->count, sizeof(GridHit), compare_hits);
	return s->count;
}

#define AVX __attribute__((target("avx2,fma,popcnt")))
#define AVX_INLINE static inline __attribute__((always_inline, target("avx2,fma,popcnt")))

/* exp(-x) for x >= 0 within 3e-6. */
AVX_INLINE __m256
decays(__m256 x)
{
	__m256		t = _mm256_mul_ps(_mm256_min_ps(x, _mm256_set1_ps(80)), _mm256_set1_ps(-1.44269504f));
	__m256		n = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
	__m256		f = _mm256_sub_ps(t, n);
	__m256		p = _mm256_set1_ps(0.00133336f);

	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.00961813f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.05550411f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.24022651f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.69314718f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
	return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

AVX_INLINE __m256
square_8(__m256 x)
{
	return _mm256_mul_ps(x, x);
}

/* The distance term of squared chords. */
AVX_INLINE __m256
near_8(const Search *s, __m256 squared)
{
	__m256		over = _mm256_max_ps(_mm256_sub_ps(_mm256_sqrt_ps(squared), _mm256_set1_ps(s->offset)), _mm256_setzero_ps());
	__m256		rate = _mm256_set1_ps(s->rate);

	switch (s->query->decay)
	{
		case MATCH_GAUSS:
			return decays(_mm256_mul_ps(square_8(over), rate));
		case MATCH_EXP:
			return decays(_mm256_mul_ps(over, rate));
		default:
			return _mm256_max_ps(_mm256_setzero_ps(), _mm256_fnmadd_ps(over, rate, _mm256_set1_ps(1)));
	}
}

/* A bound of the score from what is known of eight people or buckets; off is the age's distance from the best. */
AVX_INLINE __m256
score_8(const Search *s, __m256 squared, __m256 off, __m256 active, __m256 quality)
{
	__m256		score = _mm256_set1_ps(s->open_share);
	__m256		days = _mm256_max_ps(_mm256_setzero_ps(), _mm256_sub_ps(_mm256_set1_ps(s->today), active));

	score = _mm256_fmadd_ps(_mm256_set1_ps(s->share[MATCH_DISTANCE]), near_8(s, squared), score);
	score = _mm256_fmadd_ps(_mm256_set1_ps(s->share[MATCH_AGE]), decays(_mm256_mul_ps(square_8(off), _mm256_set1_ps(s->age_rate))), score);
	score = _mm256_fmadd_ps(_mm256_set1_ps(s->share[MATCH_RECENCY]), decays(_mm256_mul_ps(days, _mm256_set1_ps(s->recency_rate))), score);
	return _mm256_fmadd_ps(_mm256_set1_ps(s->share[MATCH_QUALITY] * (1.0f / 255)), quality, score);
}

AVX_INLINE float
one_of(__m256 x, int i)
{
	return ((const float *) &x)[i];
}

AVX_INLINE bool
lanes_pass(const Lanes *lanes, const MatchQuery *query, __m256i accept, __m256i own)
{
	__m256i		zero = _mm256_setzero_si256();
	__m256i		forward = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_load_si256((const __m256i *) lanes->traits), accept), zero);
	__m256i		back = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_load_si256((const __m256i *) lanes->wants), own), zero);

	/* An attribute of several lanes is left to the rules. */
	return (((uint32_t) _mm256_movemask_epi8(forward) | (uint32_t) _mm256_movemask_epi8(back)) &
			~(query->continuation | query->continuation >> 1)) == 0;
}

/* People first to end - 1. */
AVX static void
visit(Grid *grid, Search *s, int first, int end)
{
	const MatchQuery *query = s->query;
	__m256i		accept = _mm256_loadu_si256((const __m256i *) query->accept);
	__m256i		own = _mm256_loadu_si256((const __m256i *) query->viewer.traits);
	__m256i		age_low = _mm256_set1_epi8((char) s->age_low);
	__m256i		age_high = _mm256_set1_epi8((char) s->age_high);
	__m256i		born_min = _mm256_set1_epi16((short) s->born_min);
	__m256i		born_max = _mm256_set1_epi16((short) s->born_max);
	float		tags_share = s->share[MATCH_TAGS];

	grid->visited += end - first;
	for (int p = first; p < end; p += 32)
	{
		__m256i		least = _mm256_loadu_si256((const __m256i *) (grid->age_min + p));
		__m256i		most = _mm256_loadu_si256((const __m256i *) (grid->age_max + p));
		__m256i		ages = _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(least, age_low), least),
											_mm256_cmpeq_epi8(_mm256_max_epu8(most, age_high), most));
		__m256i		b0 = _mm256_loadu_si256((const __m256i *) (grid->born + p));
		__m256i		b1 = _mm256_loadu_si256((const __m256i *) (grid->born + p + 16));
		__m256i		in0 = _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(b0, born_min), b0),
										   _mm256_cmpeq_epi16(_mm256_min_epu16(b0, born_max), b0));
		__m256i		in1 = _mm256_and_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(b1, born_min), b1),
										   _mm256_cmpeq_epi16(_mm256_min_epu16(b1, born_max), b1));
		__m256i		in = _mm256_permute4x64_epi64(_mm256_packs_epi16(in0, in1), 0xD8);
		uint32_t	left = (uint32_t) _mm256_movemask_epi8(_mm256_and_si256(ages, in));

		if (end - p < 32)
			left &= (1U << (end - p)) - 1;
		for (int part = 0; left != 0; part++, left >>= 8)
		{
			int			q = p + 8 * part;
			uint32_t	some = left & 0xFF;
			__m256		squared = _mm256_setzero_ps();
			__m256		score;

			if (some == 0)
				continue;
			if (s->placed)
			{
				for (int i = 0; i < 3; i++)
					squared = _mm256_add_ps(squared, square_8(_mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *) (grid->at[i] + q))),
																			_mm256_set1_ps(s->at[i]))));
				some &= (uint32_t) _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(squared, _mm256_set1_ps(s->reach_2), _CMP_LE_OQ),
																   _mm256_cmp_ps(squared, _mm256_loadu_ps(grid->reach_2 + q), _CMP_LE_OQ)));
				if (some == 0)
					continue;
			}
			score = score_8(s, squared,
							_mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) (grid->born + q)))),
										  _mm256_set1_ps(s->age_origin)),
							_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) (grid->active + q)))),
							_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (grid->quality + q)))));
			some &= (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(score, _mm256_set1_ps(s->good_enough - tags_share), _CMP_GE_OQ));
			for (; some != 0; some &= some - 1)
			{
				int			i = __builtin_ctz(some);
				const MatchKey *key;
				double		cost;

				int			shared = (int) (_mm_popcnt_u64(grid->tags[0][q + i] & s->tags[0]) +
										_mm_popcnt_u64(grid->tags[1][q + i] & s->tags[1]));

				if (one_of(score, i) + s->tag_share * (float) shared < s->good_enough ||
					grid->active[q + i] < s->active_since ||
					!lanes_pass(&grid->lanes[q + i], query, accept, own))
					continue;
				key = grid->key[q + i];
				if (s->count == s->k && (cost = match_leaf_cost(key, query)) > s->hits[0].cost)
					continue;
				if (match_leaf_accepts(key, query))
					add_hit(s, match_leaf_cost(key, query), key->id);
			}
		}
	}
}

/* The bounds of eight buckets: what a person in them can reach, or -1 where nobody fits. */
AVX_INLINE __m256
bound_8(const Grid *grid, const Search *s, int b)
{
	__m256		zero = _mm256_setzero_ps();
	__m256		squared = zero;
	__m256		low = _mm256_loadu_ps(grid->born_low + b);
	__m256		high = _mm256_loadu_ps(grid->born_high + b);
	__m256		fresh = _mm256_loadu_ps(grid->fresh + b);
	__m256		origin = _mm256_set1_ps(s->age_origin);
	__m256		fits;
	__m256		off;

	if (s->placed)
	{
		for (int i = 0; i < 3; i++)
		{
			__m256		at = _mm256_set1_ps(s->at[i]);
			__m256		gap = _mm256_max_ps(_mm256_sub_ps(_mm256_loadu_ps(grid->low[i] + b), at),
											_mm256_sub_ps(at, _mm256_loadu_ps(grid->high[i] + b)));

			squared = _mm256_add_ps(squared, square_8(_mm256_max_ps(zero, _mm256_sub_ps(gap, _mm256_set1_ps(SLACK)))));
		}
	}
	fits = _mm256_and_ps(_mm256_cmp_ps(squared, _mm256_set1_ps(s->reach_2), _CMP_LE_OQ),
						 _mm256_cmp_ps(squared, _mm256_loadu_ps(grid->far_2 + b), _CMP_LE_OQ));
	fits = _mm256_and_ps(fits, _mm256_and_ps(_mm256_cmp_ps(high, _mm256_set1_ps(s->born_min), _CMP_GE_OQ),
											 _mm256_cmp_ps(low, _mm256_set1_ps(s->born_max), _CMP_LE_OQ)));
	fits = _mm256_and_ps(fits, _mm256_and_ps(_mm256_cmp_ps(_mm256_loadu_ps(grid->ages_low + b), _mm256_set1_ps(s->age_low), _CMP_LE_OQ),
											 _mm256_cmp_ps(_mm256_loadu_ps(grid->ages_high + b), _mm256_set1_ps(s->age_high), _CMP_GE_OQ)));
	fits = _mm256_and_ps(fits, _mm256_cmp_ps(fresh, _mm256_set1_ps(s->active_since), _CMP_GE_OQ));
	if (_mm256_testz_ps(fits, fits))
		return _mm256_set1_ps(-1);
	off = _mm256_max_ps(zero, _mm256_max_ps(_mm256_sub_ps(low, origin), _mm256_sub_ps(origin, high)));
	return _mm256_blendv_ps(_mm256_set1_ps(-1),
							_mm256_add_ps(score_8(s, squared, off, fresh, _mm256_loadu_ps(grid->best + b)), _mm256_set1_ps(s->share[MATCH_TAGS])),
							fits);
}

static inline int
level_of(float bound)
{
	int			level = (int) ((1 - bound) * LEVELS);

	return level < 0 ? 0 : level < LEVELS ? level : LEVELS - 1;
}

AVX int
grid_search(Grid *grid, const MatchQuery *query, int k, GridHit *hits)
{
	Search		search;
	Search	   *s = &search;
	int			starts[LEVELS + 1] = {0};
	int		   *sorted = grid->order;
	int			n = 0;

	begin(s, query, k, hits);
	grid->visited = 0;
	if (k <= 0)
		return 0;

	for (int f = 0; f < grid->facets; f++)
	{
		const Facet *facet = &grid->facet[f];
		int			last = facet->first + facet->count;

		if (facet->mode != query->viewer.mode ||
			(s->single_lane && ((facet->trait & query->accept[0]) == 0 || (facet->want & query->viewer.traits[0]) == 0)))
			continue;
		for (int b = facet->first; b < last; b += 8)
		{
			__m256		bound = bound_8(grid, s, b);
			int			some = _mm256_movemask_ps(_mm256_cmp_ps(bound, _mm256_setzero_ps(), _CMP_GE_OQ));

			if (last - b < 8)
				some &= (1 << (last - b)) - 1;
			for (; some != 0; some &= some - 1)
			{
				int			i = __builtin_ctz(some);

				grid->bound[n] = one_of(bound, i);
				sorted[n++] = b + i;
				starts[level_of(one_of(bound, i)) + 1]++;
			}
		}
	}

	/* The best first, in levels. */
	{
		int			by_level[n + 1];

		for (int i = 0; i < LEVELS; i++)
			starts[i + 1] += starts[i];
		for (int i = 0; i < n; i++)
			by_level[starts[level_of(grid->bound[i])]++] = i;
		for (int i = 0; i < n; i++)
		{
			int			at = by_level[i];

			if (grid->bound[at] < s->good_enough)
			{
				/* Of the same level another may still do. */
				if (level_of(grid->bound[at]) > level_of(s->good_enough))
					break;
				continue;
			}
			visit(grid, s, grid->first[sorted[at]], grid->first[sorted[at] + 1]);
		}
	}
	return end(s);
}

int
grid_brute_force(Grid *grid, const MatchQuery *query, int k, GridHit *hits)
{
	Search		search;

	begin(&search, query, k, hits);
	grid->visited = 0;
	if (k <= 0)
		return 0;
	visit(grid, &search, 0, (int) grid->n);
	return end(&search);
}

size_t
grid_visited(const Grid *grid)
{
	return grid->visited;
}
