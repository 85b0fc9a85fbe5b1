/*
 * The rules and the score, and all arithmetic of both: one translation unit,
 * compiled without contraction, so that the index, the operators and every
 * SIMD path agree in the last bit. Free of PostgreSQL headers.
 */
#include "match/packed.h"
#include "match/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define HAVE_X86
#include <immintrin.h>
#endif

/* GCC is told on the command line; the compiler of the bitcode here. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

/* What rounding may add to the sum of the terms, with room to spare. */
#define BOUND_MARGIN 1e-12
#define TIE_WEIGHT 1e-9
#define DAYS_A_YEAR 365.25

/*
 * SIMD. Each path gives the same two masks and the same sum.
 */

/* Bit i of *forward: traits[i] & accept[i]; of *back: own[i] & wants[i]. */
typedef void (*LanesFunction) (const uint8_t *traits, const uint8_t *accept,
							   const uint8_t *own, const uint8_t *wants,
							   uint32_t *forward, uint32_t *back);
typedef int32_t (*DotFunction) (const int8_t *a, const int8_t *b, int n);

static inline void
lanes_scalar(const uint8_t *traits, const uint8_t *accept,
			 const uint8_t *own, const uint8_t *wants,
			 uint32_t *forward, uint32_t *back)
{
	uint32_t	f = 0;
	uint32_t	b = 0;

	for (int i = 0; i < MATCH_LANES; i++)
	{
		f |= (uint32_t) ((traits[i] & accept[i]) != 0) << i;
		b |= (uint32_t) ((own[i] & wants[i]) != 0) << i;
	}
	*forward = f;
	*back = b;
}

static int32_t
dot_scalar(const int8_t *a, const int8_t *b, int n)
{
	int32_t		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (int32_t) a[i] * b[i];
	return sum;
}

#ifdef HAVE_X86

static inline uint32_t
lanes_half_sse2(const uint8_t *a, const uint8_t *b)
{
	__m128i		both = _mm_and_si128(_mm_loadu_si128((const __m128i *) a),
									 _mm_loadu_si128((const __m128i *) b));

	return (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(both, _mm_setzero_si128())) ^ 0xFFFF;
}

static inline void
lanes_sse2(const uint8_t *traits, const uint8_t *accept,
		   const uint8_t *own, const uint8_t *wants,
		   uint32_t *forward, uint32_t *back)
{
	*forward = lanes_half_sse2(traits, accept) | lanes_half_sse2(traits + 16, accept + 16) << 16;
	*back = lanes_half_sse2(own, wants) | lanes_half_sse2(own + 16, wants + 16) << 16;
}

static int32_t
dot_sse2(const int8_t *a, const int8_t *b, int n)
{
	__m128i		sum = _mm_setzero_si128();
	int32_t		part[4];
	int			i;

	for (i = 0; i + 16 <= n; i += 16)
	{
		__m128i		x = _mm_loadu_si128((const __m128i *) (a + i));
		__m128i		y = _mm_loadu_si128((const __m128i *) (b + i));

		sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8),
												_mm_srai_epi16(_mm_unpacklo_epi8(y, y), 8)));
		sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(x, x), 8),
												_mm_srai_epi16(_mm_unpackhi_epi8(y, y), 8)));
	}
	_mm_storeu_si128((__m128i *) part, sum);
	return part[0] + part[1] + part[2] + part[3] + dot_scalar(a + i, b + i, n - i);
}

__attribute__((target("avx2")))
static inline void
lanes_avx2(const uint8_t *traits, const uint8_t *accept,
		   const uint8_t *own, const uint8_t *wants,
		   uint32_t *forward, uint32_t *back)
{
	__m256i		zero = _mm256_setzero_si256();
	__m256i		f = _mm256_and_si256(_mm256_loadu_si256((const __m256i *) traits),
									 _mm256_loadu_si256((const __m256i *) accept));
	__m256i		b = _mm256_and_si256(_mm256_loadu_si256((const __m256i *) own),
									 _mm256_loadu_si256((const __m256i *) wants));

	*forward = ~(uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(f, zero));
	*back = ~(uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(b, zero));
}

__attribute__((target("avx2")))
static int32_t
dot_avx2(const int8_t *a, const int8_t *b, int n)
{
	__m256i		sum = _mm256_setzero_si256();
	int32_t		part[8];
	int			i;

	for (i = 0; i + 16 <= n; i += 16)
		sum = _mm256_add_epi32(sum,
							   _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (a + i))),
												 _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (b + i)))));
	_mm256_storeu_si256((__m256i *) part, sum);
	return part[0] + part[1] + part[2] + part[3] + part[4] + part[5] + part[6] + part[7] +
		dot_scalar(a + i, b + i, n - i);
}

#endif

static LanesFunction lanes = lanes_scalar;
static DotFunction dot = dot_scalar;

/*
 * The last lanes of the attributes none of whose lanes is in passed. A lane
 * whose bit in continuation is set belongs to the attribute of the lane before.
 */
static inline uint32_t
groups_failed(uint32_t passed, uint32_t continuation)
{
	uint32_t	c = continuation;

	/* Carries a pass up to the last lane, over 1, 2, 4 ... lanes. */
	for (int shift = 1; c != 0; shift *= 2)
	{
		passed |= (passed << shift) & c;
		c &= c << shift;
	}
	return ~(passed | continuation >> 1);
}

/* exp(-x) for x >= 0, to about 1e-14, from operations that are exact everywhere. */
static inline double
decay(double x)
{
	/* 2^(-i/32). */
	static const double powers[] = {
		0x1.0000000000000p+0, 0x1.f50765b6e4540p-1, 0x1.ea4afa2a490dap-1, 0x1.dfc97337b9b5fp-1,
		0x1.d5818dcfba487p-1, 0x1.cb720dcef9069p-1, 0x1.c199bdd85529cp-1, 0x1.b7f76f2fb5e47p-1,
		0x1.ae89f995ad3adp-1, 0x1.a5503b23e255dp-1, 0x1.9c49182a3f090p-1, 0x1.93737b0cdc5e5p-1,
		0x1.8ace5422aa0dbp-1, 0x1.82589994cce13p-1, 0x1.7a11473eb0187p-1, 0x1.71f75e8ec5f74p-1,
		0x1.6a09e667f3bcdp-1, 0x1.6247eb03a5585p-1, 0x1.5ab07dd485429p-1, 0x1.5342b569d4f82p-1,
		0x1.4bfdad5362a27p-1, 0x1.44e086061892dp-1, 0x1.3dea64c123422p-1, 0x1.371a7373aa9cbp-1,
		0x1.306fe0a31b715p-1, 0x1.29e9df51fdee1p-1, 0x1.2387a6e756238p-1, 0x1.1d4873168b9aap-1,
		0x1.172b83c7d517bp-1, 0x1.11301d0125b51p-1, 0x1.0b5586cf9890fp-1, 0x1.059b0d3158574p-1
	};
	double		r;
	double		square;
	int64_t		n;
	union
	{
		uint64_t	bits;
		double		value;
	}			power;

	if (x >= 700)
		return 0;
	n = (int64_t) (x * 46.16624130844683 + 0.5);
	/* ln 2 / 32 in two parts; the first has 21 zero bits at the end. */
	r = (n * 0x1.62e42fee00000p-6 - x) + n * 0x1.a39ef35793c76p-38;
	square = r * r;
	power.bits = (uint64_t) (1023 - (n >> 5)) << 52;
	return power.value * powers[n & 31] *
		((1 + r) + square * ((0.5 + r * (1.0 / 6)) + square * ((1.0 / 24) + r * (1.0 / 120))));
}

/* 1 / (1 + exp(-x)) */
static inline double
logistic(double x)
{
	double		e;

	if (x >= 0)
		return 1 / (1 + decay(x));
	e = decay(-x);
	return e / (1 + e);
}

/* A number in [0, 1) that depends on the person and the day. */
static double
mix(int64_t id, int32_t day)
{
	uint64_t	x = (uint64_t) id + 0x9E3779B97F4A7C15 * ((uint64_t) (uint32_t) day + 1);

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
	x = (x ^ x >> 27) * 0x94D049BB133111EB;
	x ^= x >> 31;
	return (double) (x >> 11) * (1.0 / 9007199254740992.0);
}

static inline uint64_t
square(int64_t x)
{
	return (uint64_t) (x * x);
}

/* The squared chord between two places, at most 2^62 and a little. */
static inline uint64_t
chord_squared(const int32_t *a, const int32_t *b)
{
	return square((int64_t) a[0] - b[0]) + square((int64_t) a[1] - b[1]) + square((int64_t) a[2] - b[2]);
}

static inline uint64_t
gap_squared(int32_t at, int32_t low, int32_t high)
{
	if (at < low)
		return square((int64_t) low - at);
	if (at > high)
		return square((int64_t) at - high);
	return 0;
}

static inline uint64_t
box_squared(const MatchBounds *bounds, const int32_t *at)
{
	return gap_squared(at[0], bounds->low[0], bounds->high[0]) +
		gap_squared(at[1], bounds->low[1], bounds->high[1]) +
		gap_squared(at[2], bounds->low[2], bounds->high[2]);
}

static inline bool
within(uint64_t squared, uint32_t reach)
{
	return reach == MATCH_EVERYWHERE || squared <= (uint64_t) reach * reach;
}

static inline bool
number_accepted(int16_t number, int16_t min, int16_t max, bool unset)
{
	return number == MATCH_NUMBER_UNSET ? unset : number >= min && number <= max;
}

/* Whether an id is in a table of mask + 1 slots that is not full. */
static inline bool
is_in(const int64_t *slots, uint32_t mask, int64_t id)
{
	for (uint64_t slot = (uint64_t) id * 0x9E3779B97F4A7C15 >> 32;; slot++)
	{
		int64_t		found = slots[slot & mask];

		if (found == id)
			return true;
		if (found == MATCH_SEEN_FREE)
			return false;
	}
}

bool
match_is_seen(const MatchQuery *query, int64_t id)
{
	return (query->seen_count > 0 && is_in(query->seen, query->seen_mask, id)) ||
		(query->packed_size > 0 && match_section_has(match_section(query), id, query->today));
}

static inline bool
has_liked(const MatchQuery *query, int64_t id)
{
	return query->liked_count > 0 &&
		is_in(query->seen + match_seen_slots(query->seen_count), query->liked_mask, id);
}

/*
 * The terms. Those that bounds have too take what both can give.
 */

static inline double
decayed(MatchDecay kind, double over, double rate)
{
	if (over <= 0)
		return 1;
	switch (kind)
	{
		case MATCH_GAUSS:
			return decay(over * over * rate);
		case MATCH_EXP:
			return decay(over * rate);
		default:
			over *= rate;
			return over < 1 ? 1 - over : 0;
	}
}

/* The rate at which decayed() is at_scale where over is scale. */
static double
decay_rate(MatchDecay kind, double scale, double at_scale)
{
	switch (kind)
	{
		case MATCH_GAUSS:
			return -log(at_scale) / (scale * scale);
		case MATCH_EXP:
			return -log(at_scale) / scale;
		default:
			return (1 - at_scale) / scale;
	}
}

double
match_decay(MatchDecay kind, double over, double at_scale)
{
	return decayed(kind, over, decay_rate(kind, 1, at_scale));
}

/* squared is a squared chord. */
static inline double
distance_term(const MatchQuery *query, uint64_t squared)
{
	if (query->decay == MATCH_GAUSS && query->offset == 0)
		return decay((double) squared * query->rate);
	return decayed(query->decay, sqrt((double) squared) - query->offset, query->rate);
}

static inline double
age_term(const MatchQuery *query, uint16_t born)
{
	double		off = (double) born - query->age_origin;

	return decay(off * off * query->age_rate);
}

/* Days since a day of a key, 0 if it is yet to come; unknown is very long ago. */
static inline int32_t
days_since(const MatchQuery *query, uint16_t day)
{
	int32_t		days = query->today + 1 - (int32_t) day;

	if (day == 0)
		return INT32_MAX;
	return days > 0 ? days : 0;
}

static inline double
recency_term(const MatchQuery *query, uint16_t active)
{
	return active == 0 ? 0 : decay(days_since(query, active) * query->recency_rate);
}

static inline double
newcomer_term(const MatchQuery *query, uint16_t joined)
{
	double		days = days_since(query, joined);

	return days < query->newcomer_days ? 1 - days / query->newcomer_days : 0;
}

static inline bool
has_tag(const uint8_t *tags, uint8_t bit)
{
	return tags[bit >> 3] >> (bit & 7) & 1;
}

/* At most max of the viewer's tags, and those that weigh most. */
static inline double
tags_term(const MatchQuery *query, const uint8_t *tags, int max)
{
	double		sum = 0;

	for (int i = 0; i < query->tag_count && max > 0; i++)
	{
		if (has_tag(tags, query->tag_bits[i]))
		{
			sum += query->tag_weights[i];
			max--;
		}
	}
	sum *= query->tag_share;
	return sum < 1 ? sum : 1;
}

static bool
shares_tags(const MatchQuery *query, const uint8_t *tags)
{
	int			shared = 0;

	for (int i = 0; i < query->tag_count; i++)
	{
		if (has_tag(tags, query->tag_bits[i]))
			shared += query->tag_numbers[i];
	}
	return shared >= query->shared_min;
}

/* Whether all the bits that are asked for are there. */
static inline bool
has_asked(const MatchQuery *query, const uint8_t *tags)
{
	uint64_t	asked[2];
	uint64_t	there[2];

	/* 14 bytes as two words that overlap. */
	memcpy(&asked[0], query->asked_tags, 8);
	memcpy(&asked[1], query->asked_tags + MATCH_TAG_BYTES - 8, 8);
	memcpy(&there[0], tags, 8);
	memcpy(&there[1], tags + MATCH_TAG_BYTES - 8, 8);
	return ((asked[0] & ~there[0]) | (asked[1] & ~there[1])) == 0;
}

static inline double
embedding_term(const MatchQuery *query, const MatchKey *key)
{
	int			n = match_dimensions(key);
	int			m = match_dimensions(&query->viewer);
	double		product = dot(key->embedding, query->viewer.embedding, n < m ? n : m) * (1.0 / (127.0 * 127.0));

	return product <= -1 ? 0 : product >= 1 ? 1 : (1 + product) * 0.5;
}

/* The wishes that the lanes meet, and those numbers between min and max that are set. */
static double
soft_term(const MatchQuery *query, const uint8_t *traits, const int16_t *min, const int16_t *max)
{
	double		sum = 0;
	uint32_t	passed;
	uint32_t	unused;

	if (query->soft_lanes != 0)
	{
		uint32_t	c = query->continuation;

		lanes(traits, query->soft, traits, query->soft, &passed, &unused);
		/* Carries a pass down to the first lane, over 1, 2, 4 ... lanes. */
		for (int shift = 1; c != 0; shift *= 2)
		{
			passed |= (passed & c) >> shift;
			c &= c << shift;
		}
		for (passed &= query->soft_lanes; passed != 0; passed &= passed - 1)
			sum += query->soft_weights[__builtin_ctz(passed)];
	}
	if (query->soft_numbers)
	{
		for (int i = 0; i < MATCH_NUMBERS; i++)
		{
			if (min[i] != MATCH_NUMBER_UNSET &&
				max[i] >= query->soft_number_min[i] && min[i] <= query->soft_number_max[i])
				sum += query->soft_weights[MATCH_LANES + i];
		}
	}
	sum *= query->soft_share;
	return sum < 1 ? sum : 1;
}

static inline double
diversity_term(const MatchQuery *query, int64_t id)
{
	return mix(id ^ (int64_t) ((uint64_t) query->viewer.id << 11), query->today);
}

#define SCALAR(byte) ((byte) * (1.0 / 255))

static double
leaf_term(const MatchKey *key, const MatchQuery *query, MatchTerm term)
{
	switch (term)
	{
		case MATCH_DISTANCE:
			return match_has_place(key) ? distance_term(query, chord_squared(key->at, query->viewer.at)) : 0;
		case MATCH_AGE:
			return key->born == MATCH_BORN_UNSET ? 0 : age_term(query, key->born);
		case MATCH_TAGS:
			return tags_term(query, key->tags, MATCH_QUERY_TAGS);
		case MATCH_EMBEDDING:
			return embedding_term(query, key);
		case MATCH_SOFT:
			return soft_term(query, key->traits, key->numbers, key->numbers);
		case MATCH_RECENCY:
			return recency_term(query, key->active);
		case MATCH_QUALITY:
			return SCALAR(key->quality);
		case MATCH_DESIRABILITY:
			return SCALAR(key->desirability);
		case MATCH_SELECTIVITY:
			return SCALAR(key->selectivity);
		case MATCH_NEWCOMER:
			return newcomer_term(query, key->joined);
		case MATCH_DIVERSITY:
			return diversity_term(query, key->id);
	}
	return 0;
}

/* The most that a key below the bounds can have. */
static double
bounds_term(const MatchBounds *bounds, const MatchQuery *query, MatchTerm term)
{
	switch (term)
	{
		case MATCH_DISTANCE:
			return distance_term(query, box_squared(bounds, query->viewer.at));
		case MATCH_AGE:
			if (bounds->born_min > bounds->born_max)
				return 0;
			if (query->age_origin < bounds->born_min)
				return age_term(query, bounds->born_min);
			if (query->age_origin > bounds->born_max)
				return age_term(query, bounds->born_max);
			return 1;
		case MATCH_TAGS:
			return tags_term(query, bounds->tags, bounds->tags_max);
		case MATCH_SOFT:
			return soft_term(query, bounds->traits, bounds->number_min, bounds->number_max);
		case MATCH_RECENCY:
			return recency_term(query, bounds->active);
		case MATCH_QUALITY:
			return SCALAR(bounds->quality);
		case MATCH_DESIRABILITY:
			return SCALAR(bounds->desirability);
		case MATCH_SELECTIVITY:
			return SCALAR(bounds->selectivity);
		case MATCH_NEWCOMER:
			return newcomer_term(query, bounds->joined);
		case MATCH_EMBEDDING:
		case MATCH_DIVERSITY:
			break;
	}
	return 1;
}

/* The scalars as log odds. */
static inline double
odds(double slope, uint8_t byte)
{
	return slope * (byte * (2.0 / 255) - 1);
}

/*
 * From the sum of the terms to 1 - score; every step is monotone. The
 * reciprocal score is the chance that the viewer likes the other times the
 * chance of the reverse: logistic in the sum, in how much the one is liked and
 * in how easily the other likes.
 */
static inline double
cost_of(const MatchQuery *query, double sum, uint8_t desirability, uint8_t selectivity, uint8_t price)
{
	if (query->family == MATCH_RECIPROCAL)
		sum = logistic(query->odds_forward + query->slope * sum + odds(query->desirability_slope, desirability)) *
			logistic(query->odds_back + query->slope * sum + odds(query->selectivity_slope, selectivity));
	return 1 - (sum - query->price * SCALAR(price));
}

/* What comes before the cost in the order asked for; squared is a squared chord, if placed. */
static inline double
order_of(const MatchQuery *query, bool placed, uint64_t squared, uint16_t joined, uint16_t active)
{
	int			bucket = 0;

	switch (query->order)
	{
		case MATCH_NEAREST:
			while (bucket < MATCH_BUCKETS && query->buckets[bucket] != 0 &&
				   (!placed || !within(squared, query->buckets[bucket])))
				bucket++;
			return placed ? bucket : bucket + 1;
		case MATCH_NEWEST:
			return days_since(query, joined);
		case MATCH_ACTIVE:
			return days_since(query, active);
		default:
			return 0;
	}
}

/* The cost is between -1 and 3: so it decides only among equals of the order. */
static inline double
in_order(double order, double cost)
{
	return order + 0.2 * (1 + cost);
}

/* 1 - score, less what being liked saves. */
static inline double
plain_cost(const MatchKey *key, const MatchQuery *query)
{
	double		sum = 0;
	double		cost;

	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (query->share[i] > 0)
			sum += query->share[i] * leaf_term(key, query, i);
	}
	cost = cost_of(query, sum, key->desirability, key->selectivity, key->price);
	return has_liked(query, key->id) ? cost - query->boost : cost;
}

double
match_leaf_score(const MatchKey *key, const MatchQuery *query)
{
	return 1 - plain_cost(key, query);
}

double
match_leaf_cost(const MatchKey *key, const MatchQuery *query)
{
	double		cost = plain_cost(key, query) + TIE_WEIGHT * mix(key->id, query->today);

	if (query->order == MATCH_BEST)
		return cost;
	return in_order(order_of(query, match_has_place(key) && match_has_place(&query->viewer),
							 chord_squared(key->at, query->viewer.at), key->joined, key->active), cost);
}

static inline bool
is_beyond(double cost, int64_t id, const MatchQuery *query)
{
	switch (query->after)
	{
		case MATCH_AFTER_COST:
			return cost > query->after_cost;
		case MATCH_AFTER_COST_ID:
			return cost > query->after_cost || (cost == query->after_cost && id > query->after_id);
		default:
			return true;
	}
}

/* Whether both accept each other in all but the lanes; cheap tests first. */
static inline bool
is_in_ranges(const MatchKey *key, const MatchQuery *query)
{
	/* One branch instead of seven that nobody can predict. */
	return !((key->mode != query->viewer.mode) |
			 (key->born < query->born_min) | (key->born > query->born_max) |
			 (key->age_min > query->age_low) | (key->age_max < query->age_high) |
			 (key->active < query->active_since) | (key->joined < query->joined_since));
}

static inline bool
is_near(const MatchKey *key, const MatchQuery *query)
{
	uint64_t	squared;

	if (!match_has_place(key) || !match_has_place(&query->viewer))
		return (query->reach & key->reach) == MATCH_EVERYWHERE;
	squared = chord_squared(key->at, query->viewer.at);
	return within(squared, query->reach) && within(squared, key->reach);
}

static bool
numbers_fit(const MatchKey *key, const MatchQuery *query)
{
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		if (!number_accepted(key->numbers[i], query->number_min[i], query->number_max[i],
							 query->number_unset >> i & 1) ||
			!number_accepted(query->viewer.numbers[i], key->number_min[i], key->number_max[i],
							 key->head >> i & 1))
			return false;
	}
	return true;
}

static inline bool
has_reserve(const MatchKey *key, const MatchQuery *query)
{
	return is_near(key, query) &&
		((query->numbers_open && query->numbers_unset && (key->head & 0x0F) == 0x0F) || numbers_fit(key, query)) &&
		has_asked(query, key->tags) &&
		(query->shared_min == 0 || shares_tags(query, key->tags)) &&
		key->id != query->viewer.id &&
		(query->after == MATCH_AFTER_NONE || is_beyond(match_leaf_cost(key, query), key->id, query));
}

/* No key below the bounds passes if this does not; the lanes are left out. */
static inline bool
bounds_in_ranges(const MatchBounds *bounds, const MatchQuery *query)
{
	uint64_t	squared;

	if ((query->viewer.mode < bounds->mode_min) | (query->viewer.mode > bounds->mode_max) |
		(bounds->age_min > query->age_low) | (bounds->age_max < query->age_high) |
		(bounds->active < query->active_since) | (bounds->joined < query->joined_since))
		return false;
	/* A window that is not open takes nobody without a birth date. */
	if (query->born_max != MATCH_BORN_UNSET &&
		(bounds->born_max < query->born_min || bounds->born_min > query->born_max))
		return false;
	if (match_has_place(&query->viewer))
	{
		squared = box_squared(bounds, query->viewer.at);
		if (!within(squared, query->reach) || !within(squared, bounds->reach))
			return false;
	}
	else if ((query->reach & bounds->reach) != MATCH_EVERYWHERE)
		return false;
	if (!query->numbers_open)
	{
		for (int i = 0; i < MATCH_NUMBERS; i++)
		{
			if ((query->number_unset >> i & 1) == 0 &&
				(bounds->number_max[i] < query->number_min[i] || bounds->number_min[i] > query->number_max[i]))
				return false;
		}
	}
	return has_asked(query, bounds->tags) && (query->shared_min == 0 || shares_tags(query, bounds->tags));
}

static inline bool
lanes_fit(uint32_t forward, uint32_t back, uint32_t continuation)
{
	return (forward & back) == UINT32_MAX ||
		(groups_failed(forward, continuation) | groups_failed(back, continuation)) == 0;
}

/* The same once for each path, so that the lanes are compared in line. */
#define DEFINE_ACCEPTS(path, attributes) \
attributes static bool \
leaf_fits_##path(const MatchKey *key, const MatchQuery *query) \
{ \
	uint32_t	forward; \
	uint32_t	back; \
\
	if (!is_in_ranges(key, query)) \
		return false; \
	lanes_##path(key->traits, query->accept, query->viewer.traits, key->wants, &forward, &back); \
	return lanes_fit(forward, back, query->continuation) && has_reserve(key, query); \
} \
\
attributes static bool \
bounds_accept_##path(const MatchBounds *bounds, const MatchQuery *query) \
{ \
	uint32_t	forward; \
	uint32_t	back; \
\
	if (!bounds_in_ranges(bounds, query)) \
		return false; \
	lanes_##path(bounds->traits, query->accept, query->viewer.traits, bounds->wants, &forward, &back); \
	return lanes_fit(forward, back, query->continuation); \
}

DEFINE_ACCEPTS(scalar, )
#ifdef HAVE_X86
DEFINE_ACCEPTS(sse2, )
DEFINE_ACCEPTS(avx2, __attribute__((target("avx2"))))
#endif

static bool (*leaf_fits) (const MatchKey *, const MatchQuery *) = leaf_fits_scalar;
static bool (*bounds_accept) (const MatchBounds *, const MatchQuery *) = bounds_accept_scalar;

bool
match_leaf_fits(const MatchKey *key, const MatchQuery *query)
{
	return leaf_fits(key, query);
}

bool
match_leaf_accepts(const MatchKey *key, const MatchQuery *query)
{
	return leaf_fits(key, query) && !match_is_seen(query, key->id);
}

bool
match_bounds_accept(const MatchBounds *bounds, const MatchQuery *query)
{
	return bounds_accept(bounds, query);
}

double
match_bounds_cost(const MatchBounds *bounds, const MatchQuery *query)
{
	double		sum = 0;
	double		cost;

	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (query->share[i] > 0)
			sum += query->share[i] * bounds_term(bounds, query, i);
	}
	cost = cost_of(query, sum, bounds->desirability, bounds->selectivity, bounds->price) - BOUND_MARGIN;
	if (query->liked_count > 0)
		cost -= query->boost;
	if (query->order == MATCH_BEST)
		return cost;
	return in_order(order_of(query, match_has_place(&query->viewer), box_squared(bounds, query->viewer.at),
							 bounds->joined, bounds->active), cost);
}

/*
 * Choosing a path.
 */

bool
match_simd_available(MatchSimd path)
{
	switch (path)
	{
		case MATCH_SIMD_AUTO:
		case MATCH_SIMD_SCALAR:
			return true;
#ifdef HAVE_X86
		case MATCH_SIMD_SSE2:
			return true;
		case MATCH_SIMD_AVX2:
			__builtin_cpu_init();
			return __builtin_cpu_supports("avx2") != 0;
#endif
		default:
			return false;
	}
}

#define USE(path) \
	(lanes = lanes_##path, dot = dot_##path, \
	 leaf_fits = leaf_fits_##path, bounds_accept = bounds_accept_##path)

void
match_simd_use(MatchSimd path)
{
	if (path == MATCH_SIMD_AUTO)
		path = match_simd_available(MATCH_SIMD_AVX2) ? MATCH_SIMD_AVX2 :
			match_simd_available(MATCH_SIMD_SSE2) ? MATCH_SIMD_SSE2 : MATCH_SIMD_SCALAR;
	switch (path)
	{
#ifdef HAVE_X86
		case MATCH_SIMD_SSE2:
			USE(sse2);
			break;
		case MATCH_SIMD_AVX2:
			USE(avx2);
			break;
#endif
		default:
			USE(scalar);
			break;
	}
}

void
match_terms(const MatchKey *key, const MatchQuery *query, double *terms)
{
	for (int i = 0; i < MATCH_TERMS; i++)
		terms[i] = query->share[i] > 0 ? leaf_term(key, query, i) : 0;
}

void
match_report(const MatchKey *key, const MatchQuery *query, MatchReport *report)
{
	const MatchKey *viewer = &query->viewer;
	uint32_t	failed[2];
	uint64_t	squared;
	bool		placed = match_has_place(key) && match_has_place(viewer);

	memset(report, 0, sizeof(*report));
	report->accepts = match_leaf_accepts(key, query);
	report->cost = match_leaf_cost(key, query);
	report->score = match_leaf_score(key, query);
	report->liked = has_liked(query, key->id);
	report->mode = key->mode == viewer->mode;
	report->other = key->id != viewer->id;
	report->active = key->active >= query->active_since;
	report->joined = key->joined >= query->joined_since;
	report->tags = has_asked(query, key->tags) && (query->shared_min == 0 || shares_tags(query, key->tags));
	report->unseen = !match_is_seen(query, key->id);
	report->beyond = is_beyond(report->cost, key->id, query);
	report->age[0] = key->born >= query->born_min && key->born <= query->born_max;
	report->age[1] = key->age_min <= query->age_low && key->age_max >= query->age_high;
	squared = chord_squared(key->at, viewer->at);
	report->distance[0] = placed ? within(squared, query->reach) : query->reach == MATCH_EVERYWHERE;
	report->distance[1] = placed ? within(squared, key->reach) : key->reach == MATCH_EVERYWHERE;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		report->number[0][i] = number_accepted(key->numbers[i], query->number_min[i], query->number_max[i],
											   query->number_unset >> i & 1);
		report->number[1][i] = number_accepted(viewer->numbers[i], key->number_min[i], key->number_max[i],
											   key->head >> i & 1);
	}
	lanes(key->traits, query->accept, viewer->traits, key->wants, &failed[0], &failed[1]);
	for (int side = 0; side < 2; side++)
	{
		uint32_t	last = groups_failed(failed[side], query->continuation);

		for (int i = 0; i < MATCH_LANES; i++)
		{
			int			first = i;

			if ((last >> i & 1) == 0)
				continue;
			while (first > 0 && (query->continuation >> first & 1) != 0)
				first--;
			report->lanes_failed[side] |= (uint32_t) 1 << first;
		}
	}
	match_terms(key, query, report->terms);
}

/*
 * Building a query.
 */

/* Days since 2000-01-01 of a date of the proleptic Gregorian calendar. */
static int32_t
day_of(int32_t year, int32_t month, int32_t day)
{
	int32_t		y = month > 2 ? year : year - 1;
	int32_t		era = (y >= 0 ? y : y - 399) / 400;
	int32_t		of_era = y - era * 400;
	int32_t		of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730425;
}

static void
date_of(int32_t days, int32_t *year, int32_t *month, int32_t *day)
{
	int32_t		z = days + 730425;
	int32_t		era = (z >= 0 ? z : z - 146096) / 146097;
	int32_t		of_era = z - era * 146097;
	int32_t		y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int32_t		of_year = of_era - (365 * y + y / 4 - y / 100);
	int32_t		m = (5 * of_year + 2) / 153;

	*day = of_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = y + era * 400 + (*month <= 2);
}

/* The same date that many years earlier; 29 February may become the 28th. */
static int32_t
years_before(int32_t today, int32_t years)
{
	int32_t		year;
	int32_t		month;
	int32_t		day;

	date_of(today, &year, &month, &day);
	year -= years;
	if (month == 2 && day == 29 && !(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
		day = 28;
	return day_of(year, month, day);
}

int32_t
match_years_between(int32_t born, int32_t today)
{
	int32_t		year[2];
	int32_t		month[2];
	int32_t		day[2];

	date_of(born, &year[0], &month[0], &day[0]);
	date_of(today, &year[1], &month[1], &day[1]);
	return year[1] - year[0] - (month[1] * 32 + day[1] < month[0] * 32 + day[0]);
}

static int
compare_ids(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

uint32_t
match_seen_slots(uint32_t n)
{
	uint32_t	slots = 8;

	if (n == 0)
		return 0;
	while (slots < 2 * (uint64_t) n)
		slots *= 2;
	return slots;
}

uint32_t
match_sort_ids(int64_t *ids, uint32_t n)
{
	uint32_t	count = 0;

	if (n > 0)
		qsort(ids, n, sizeof(*ids), compare_ids);
	for (uint32_t i = 0; i < n; i++)
	{
		if (count == 0 || ids[i] != ids[count - 1])
			ids[count++] = ids[i];
	}
	return count;
}

/* Fills the table for n different ids; returns its mask. */
static uint32_t
fill_slots(int64_t *slots, const int64_t *ids, uint32_t n)
{
	uint32_t	size = match_seen_slots(n);
	uint32_t	mask = size > 0 ? size - 1 : 0;

	for (uint32_t i = 0; i < size; i++)
		slots[i] = MATCH_SEEN_FREE;
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	slot = (uint64_t) ids[i] * 0x9E3779B97F4A7C15 >> 32;

		while (slots[slot & mask] != MATCH_SEEN_FREE)
			slot++;
		slots[slot & mask] = ids[i];
	}
	return mask;
}

void
match_query_finish(MatchQuery *query, const int64_t *seen, uint32_t n, const int64_t *liked, uint32_t m)
{
	const MatchKey *viewer = &query->viewer;
	double		total = 0;
	double		soft_total = 0;
	double		tag_total = 0;
	double		unit_km = MATCH_EARTH_KM / MATCH_UNIT;
	double		available[MATCH_TERMS];
	double		share_left = 1;

	/* Who is accepted at which age, as days of birth. */
	query->born_min = 0;
	query->born_max = MATCH_BORN_UNSET;
	if (viewer->age_max != MATCH_AGE_OPEN || viewer->age_min > 0)
	{
		if (viewer->age_max != MATCH_AGE_OPEN)
		{
			int32_t		code = years_before(query->today, viewer->age_max + 1) + 1 + MATCH_BORN_EPOCH;

			query->born_min = code < 0 ? 0 : code > UINT16_MAX ? UINT16_MAX : code;
		}
		query->born_max = MATCH_BORN_MAX;
		if (viewer->age_min > 0)
		{
			int32_t		code = years_before(query->today, viewer->age_min) + MATCH_BORN_EPOCH;

			query->born_max = code > MATCH_BORN_MAX ? MATCH_BORN_MAX : code < 0 ? 0 : code;
			/* Nobody in the calendar is that old. */
			if (code < 0)
				query->born_min = UINT16_MAX;
		}
	}
	query->age_low = 0;
	query->age_high = MATCH_AGE_OPEN;
	if (viewer->born != MATCH_BORN_UNSET)
	{
		int32_t		age = match_years_between((int32_t) viewer->born - MATCH_BORN_EPOCH, query->today);

		query->age_low = query->age_high = age < 0 ? 0 : age >= MATCH_AGE_OPEN ? MATCH_AGE_OPEN - 1 : age;
	}

	query->numbers_open = (query->number_unset & 0x0F) == 0x0F;
	query->numbers_unset = true;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		if (query->number_min[i] > MATCH_NUMBER_MIN || query->number_max[i] < MATCH_NUMBER_MAX)
			query->numbers_open = false;
		if (viewer->numbers[i] != MATCH_NUMBER_UNSET)
			query->numbers_unset = false;
	}

	/* The terms. */
	query->soft_lanes = 0;
	query->soft_numbers = false;
	for (int i = 0; i < MATCH_LANES + MATCH_NUMBERS; i++)
	{
		soft_total += query->soft_weights[i];
		if (!(query->soft_weights[i] > 0))
			continue;
		if (i < MATCH_LANES)
			query->soft_lanes |= (uint32_t) 1 << i;
		else
			query->soft_numbers = true;
	}
	query->soft_share = soft_total > 0 ? 1 / soft_total : 0;
	for (int i = 0; i < query->tag_count; i++)
		tag_total += query->tag_weights[i];
	query->tag_share = tag_total > 0 ? 1 / tag_total : 0;
	query->odds_forward = query->bias + odds(query->selectivity_slope, viewer->selectivity);
	query->odds_back = query->bias + odds(query->desirability_slope, viewer->desirability);
	query->offset = query->offset_km / unit_km;
	query->rate = decay_rate(query->decay, query->scale_km / unit_km, query->at_scale);
	query->age_origin = viewer->born != MATCH_BORN_UNSET ? viewer->born :
		0.5 * ((double) query->born_min + query->born_max);
	if (query->age_origin < query->born_min)
		query->age_origin = query->born_min;
	if (query->age_origin > query->born_max)
		query->age_origin = query->born_max;
	query->age_rate = 0.6931471805599453 / (query->age_scale * DAYS_A_YEAR * query->age_scale * DAYS_A_YEAR);
	query->recency_rate = 0.6931471805599453 / query->half_life;

	for (int i = 0; i < MATCH_TERMS; i++)
		available[i] = query->weights[i];
	if (!match_has_place(viewer))
		available[MATCH_DISTANCE] = 0;
	if (viewer->born == MATCH_BORN_UNSET && viewer->age_min == 0 && viewer->age_max == MATCH_AGE_OPEN)
		available[MATCH_AGE] = 0;
	if (!(tag_total > 0))
		available[MATCH_TAGS] = 0;
	if (match_dimensions(viewer) == 0)
		available[MATCH_EMBEDDING] = 0;
	if (!(soft_total > 0))
		available[MATCH_SOFT] = 0;
	/* What changes by the day has its share whatever else the viewer has, so that it is bounded. */
	available[MATCH_DIVERSITY] = 0;
	share_left -= query->weights[MATCH_DIVERSITY];
	for (int i = 0; i < MATCH_TERMS; i++)
		total += available[i];
	for (int i = 0; i < MATCH_TERMS; i++)
		query->share[i] = total > 0 ? available[i] / total * share_left : 0;
	query->share[MATCH_DIVERSITY] = query->weights[MATCH_DIVERSITY];

	query->seen_count = n;
	query->seen_mask = fill_slots(query->seen, seen, n);
	query->liked_count = m;
	query->liked_mask = fill_slots(query->seen + match_seen_slots(n), liked, m);
}

/*
 * Distances.
 */

uint32_t
match_reach(double km)
{
	double		half = km / (2 * MATCH_EARTH_KM);

	if (half >= M_PI_2)
		return MATCH_EVERYWHERE;
	return (uint32_t) llround(2 * sin(half) * MATCH_UNIT);
}

static double
chord_km(double chord)
{
	double		half = chord * 0.5 / MATCH_UNIT;

	return 2 * MATCH_EARTH_KM * asin(half < 1 ? half : 1);
}

double
match_distance_km(const MatchKey *a, const MatchKey *b)
{
	return chord_km(sqrt((double) chord_squared(a->at, b->at)));
}

double
match_reach_km(uint32_t reach)
{
	return chord_km(reach);
}

double
match_latitude(const MatchKey *key)
{
	double		level = sqrt((double) key->at[0] * key->at[0] + (double) key->at[1] * key->at[1]);

	return atan2(key->at[2], level) * (180 / M_PI);
}

double
match_longitude(const MatchKey *key)
{
	return atan2(key->at[1], key->at[0]) * (180 / M_PI);
}
