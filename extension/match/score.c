/*
 * The rules and the score, and all arithmetic of both: one translation unit,
 * compiled without contraction, so that the index, the operators and every
 * SIMD path agree in the last bit. Free of PostgreSQL headers.
 */
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

static void
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

static void
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
static void
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

void
match_simd_use(MatchSimd path)
{
	if (path == MATCH_SIMD_AUTO)
		path = match_simd_available(MATCH_SIMD_AVX2) ? MATCH_SIMD_AVX2 :
			match_simd_available(MATCH_SIMD_SSE2) ? MATCH_SIMD_SSE2 : MATCH_SIMD_SCALAR;
	lanes = lanes_scalar;
	dot = dot_scalar;
#ifdef HAVE_X86
	if (path == MATCH_SIMD_SSE2)
	{
		lanes = lanes_sse2;
		dot = dot_sse2;
	}
	if (path == MATCH_SIMD_AVX2)
	{
		lanes = lanes_avx2;
		dot = dot_avx2;
	}
#endif
}

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

/* exp(-x) for x >= 0, to about 1e-15, from operations that are exact everywhere. */
static double
decay(double x)
{
	static const double inverse[] = {
		1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
		1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600
	};
	double		r;
	double		sum;
	int64_t		n;
	union
	{
		uint64_t	bits;
		double		value;
	}			power;

	if (x >= 700)
		return 0;
	n = (int64_t) (x * 1.4426950408889634 + 0.5);
	/* ln 2 in two parts; the first has 21 zero bits at the end. */
	r = (n * 6.93147180369123816490e-01 - x) + n * 1.90821492927058770002e-10;
	sum = inverse[12];
	for (int i = 11; i >= 0; i--)
		sum = sum * r + inverse[i];
	power.bits = (uint64_t) (1023 - n) << 52;
	return sum * power.value;
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

static bool
is_seen(const MatchQuery *query, int64_t id)
{
	uint64_t	slot;

	if (query->seen_count == 0)
		return false;
	for (slot = (uint64_t) id * 0x9E3779B97F4A7C15 >> 32;; slot++)
	{
		int64_t		found = query->seen[slot & query->seen_mask];

		if (found == id)
			return true;
		if (found == MATCH_SEEN_FREE)
			return false;
	}
}

/* The distance term; squared is a squared chord. */
static inline double
distance_term(const MatchQuery *query, uint64_t squared)
{
	double		over = sqrt((double) squared) - query->offset;

	if (over <= 0)
		return 1;
	switch (query->decay)
	{
		case MATCH_GAUSS:
			return decay(over * over * query->rate);
		case MATCH_EXP:
			return decay(over * query->rate);
		default:
			over *= query->rate;
			return over < 1 ? 1 - over : 0;
	}
}

static inline double
age_term(const MatchQuery *query, uint16_t born)
{
	double		off = (double) born - query->age_origin;

	return decay(off * off * query->age_rate);
}

static inline double
recency_term(const MatchQuery *query, uint16_t active)
{
	int32_t		days = query->today + 1 - (int32_t) active;

	if (active == 0)
		return 0;
	return days > 0 ? decay(days * query->recency_rate) : 1;
}

static inline double
tags_term(const MatchQuery *query, uint64_t tags)
{
	return __builtin_popcountll(tags & query->viewer.tags) * query->tag_share;
}

static inline double
embedding_term(const MatchQuery *query, const MatchKey *key)
{
	int			n = match_dimensions(key);
	int			m = match_dimensions(&query->viewer);
	double		product = dot(key->embedding, query->viewer.embedding, n < m ? n : m) * (1.0 / (127.0 * 127.0));

	return product <= -1 ? 0 : product >= 1 ? 1 : (1 + product) * 0.5;
}

static double
soft_term(const MatchQuery *query, const MatchKey *key)
{
	double		sum = 0;
	uint32_t	passed;
	uint32_t	failed;
	uint32_t	unused;
	int			first = 0;

	lanes(key->traits, query->soft, key->traits, query->soft, &passed, &unused);
	failed = groups_failed(passed, query->continuation);
	for (int last = 0; last < MATCH_LANES; last++)
	{
		if (last + 1 < MATCH_LANES && (query->continuation >> (last + 1) & 1) != 0)
			continue;
		if ((failed >> last & 1) == 0)
			sum += query->soft_weights[first];
		first = last + 1;
	}
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		if (number_accepted(key->numbers[i], query->soft_number_min[i], query->soft_number_max[i], false))
			sum += query->soft_weights[MATCH_LANES + i];
	}
	sum *= query->soft_share;
	return sum < 1 ? sum : 1;
}

static inline double
leaf_term(const MatchKey *key, const MatchQuery *query, MatchTerm term)
{
	switch (term)
	{
		case MATCH_DISTANCE:
			return match_has_place(key) ? distance_term(query, chord_squared(key->at, query->viewer.at)) : 0;
		case MATCH_AGE:
			return key->born == MATCH_BORN_UNSET ? 0 : age_term(query, key->born);
		case MATCH_TAGS:
			return tags_term(query, key->tags);
		case MATCH_EMBEDDING:
			return embedding_term(query, key);
		case MATCH_SOFT:
			return soft_term(query, key);
		case MATCH_RECENCY:
			return recency_term(query, key->active);
		case MATCH_QUALITY:
			return key->quality * (1.0 / 255);
	}
	return 0;
}

double
match_leaf_cost(const MatchKey *key, const MatchQuery *query)
{
	double		score = 0;

	for (int i = 0; i < MATCH_TERMS; i++)
	{
		if (query->share[i] > 0)
			score += query->share[i] * leaf_term(key, query, i);
	}
	return 1 - score + TIE_WEIGHT * mix(key->id, query->today);
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

bool
match_leaf_accepts(const MatchKey *key, const MatchQuery *query)
{
	const MatchKey *viewer = &query->viewer;
	uint32_t	forward;
	uint32_t	back;
	uint64_t	squared;

	if (key->mode != viewer->mode)
		return false;
	lanes(key->traits, query->accept, viewer->traits, key->wants, &forward, &back);
	if ((forward & back) != UINT32_MAX &&
		(groups_failed(forward, query->continuation) | groups_failed(back, query->continuation)) != 0)
		return false;
	if (key->born < query->born_min || key->born > query->born_max ||
		key->age_min > query->age_low || key->age_max < query->age_high)
		return false;
	if (key->active < query->active_since)
		return false;
	if (match_has_place(key) && match_has_place(viewer))
	{
		squared = chord_squared(key->at, viewer->at);
		if (!within(squared, viewer->reach) || !within(squared, key->reach))
			return false;
	}
	else if ((viewer->reach & key->reach) != MATCH_EVERYWHERE)
		return false;
	if (!query->numbers_open || !(query->numbers_unset && (key->head & 0x0F) == 0x0F))
	{
		for (int i = 0; i < MATCH_NUMBERS; i++)
		{
			if (!number_accepted(key->numbers[i], query->number_min[i], query->number_max[i],
								 query->number_unset >> i & 1) ||
				!number_accepted(viewer->numbers[i], key->number_min[i], key->number_max[i],
								 key->head >> i & 1))
				return false;
		}
	}
	if (key->id == viewer->id)
		return false;
	if (query->after != MATCH_AFTER_NONE && !is_beyond(match_leaf_cost(key, query), key->id, query))
		return false;
	return !is_seen(query, key->id);
}

/* Bit i: byte i of x is not 0; the lanes beyond pass. */
static uint32_t
lanes_of_bound(uint64_t x)
{
	uint32_t	passed = ~(uint32_t) 0xFF;
	uint8_t		bytes[MATCH_BOUND_LANES];

	memcpy(bytes, &x, sizeof(bytes));
	for (int i = 0; i < MATCH_BOUND_LANES; i++)
		passed |= (uint32_t) (bytes[i] != 0) << i;
	return passed;
}

static inline bool
has_zero_byte(uint64_t x)
{
	return ((x - 0x0101010101010101) & ~x & 0x8080808080808080) != 0;
}

bool
match_bounds_accept(const MatchBounds *bounds, const MatchQuery *query)
{
	const MatchKey *viewer = &query->viewer;
	uint64_t	forward;
	uint64_t	back;
	uint64_t	squared;

	if (viewer->mode < bounds->mode_min || viewer->mode > bounds->mode_max)
		return false;
	memcpy(&forward, bounds->traits, sizeof(forward));
	memcpy(&back, bounds->wants, sizeof(back));
	forward &= query->accept_bound;
	back &= query->traits_bound;
	if ((has_zero_byte(forward) || has_zero_byte(back)) &&
		(groups_failed(lanes_of_bound(forward), query->continuation) |
		 groups_failed(lanes_of_bound(back), query->continuation)) != 0)
		return false;
	/* A window that is not open takes nobody without a birth date. */
	if (query->born_max != MATCH_BORN_UNSET &&
		(bounds->born_max < query->born_min || bounds->born_min > query->born_max))
		return false;
	if (bounds->age_min > query->age_low || bounds->age_max < query->age_high)
		return false;
	if (bounds->active < query->active_since)
		return false;
	if (match_has_place(viewer))
	{
		squared = box_squared(bounds, viewer->at);
		if (!within(squared, viewer->reach) || !within(squared, bounds->reach))
			return false;
	}
	else if ((viewer->reach & bounds->reach) != MATCH_EVERYWHERE)
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
	return true;
}

double
match_bounds_cost(const MatchBounds *bounds, const MatchQuery *query)
{
	double		score = 0;

	for (int i = 0; i < MATCH_TERMS; i++)
	{
		double		best = 1;

		if (!(query->share[i] > 0))
			continue;
		switch (i)
		{
			case MATCH_DISTANCE:
				best = distance_term(query, box_squared(bounds, query->viewer.at));
				break;
			case MATCH_AGE:
				if (bounds->born_min > bounds->born_max)
					best = 0;
				else if (query->age_origin < bounds->born_min)
					best = age_term(query, bounds->born_min);
				else if (query->age_origin > bounds->born_max)
					best = age_term(query, bounds->born_max);
				break;
			case MATCH_RECENCY:
				best = recency_term(query, bounds->active);
				break;
			case MATCH_QUALITY:
				best = bounds->quality * (1.0 / 255);
				break;
			default:
				break;
		}
		score += query->share[i] * best;
	}
	return 1 - score - BOUND_MARGIN;
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
	report->mode = key->mode == viewer->mode;
	report->other = key->id != viewer->id;
	report->active = key->active >= query->active_since;
	report->unseen = !is_seen(query, key->id);
	report->beyond = is_beyond(report->cost, key->id, query);
	report->age[0] = key->born >= query->born_min && key->born <= query->born_max;
	report->age[1] = key->age_min <= query->age_low && key->age_max >= query->age_high;
	squared = chord_squared(key->at, viewer->at);
	report->distance[0] = placed ? within(squared, viewer->reach) : viewer->reach == MATCH_EVERYWHERE;
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
	for (int i = 0; i < MATCH_TERMS; i++)
		report->terms[i] = query->share[i] > 0 ? leaf_term(key, query, i) : 0;
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

/* Completed years on a day; the birthday of 29 February is 1 March in other years. */
static int32_t
years_between(int32_t born, int32_t today)
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

static void
fill_seen(MatchQuery *query, int64_t *seen, uint32_t n)
{
	uint32_t	slots = match_seen_slots(n);

	query->seen_count = 0;
	query->seen_mask = slots > 0 ? slots - 1 : 0;
	for (uint32_t i = 0; i < slots; i++)
		query->seen[i] = MATCH_SEEN_FREE;
	if (n > 0)
		qsort(seen, n, sizeof(*seen), compare_ids);
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	slot = (uint64_t) seen[i] * 0x9E3779B97F4A7C15 >> 32;

		while (query->seen[slot & query->seen_mask] != MATCH_SEEN_FREE)
			slot++;
		query->seen[slot & query->seen_mask] = seen[i];
		query->seen_count++;
	}
}

void
match_query_finish(MatchQuery *query, int64_t *seen, uint32_t n)
{
	const MatchKey *viewer = &query->viewer;
	double		total = 0;
	double		soft_total = 0;
	double		unit_km = MATCH_EARTH_KM / MATCH_UNIT;
	double		available[MATCH_TERMS];
	double		lost;

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
		int32_t		age = years_between((int32_t) viewer->born - MATCH_BORN_EPOCH, query->today);

		query->age_low = query->age_high = age < 0 ? 0 : age >= MATCH_AGE_OPEN ? MATCH_AGE_OPEN - 1 : age;
	}

	memcpy(&query->accept_bound, query->accept, sizeof(query->accept_bound));
	memcpy(&query->traits_bound, viewer->traits, sizeof(query->traits_bound));
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
	for (int i = 0; i < MATCH_LANES + MATCH_NUMBERS; i++)
		soft_total += query->soft_weights[i];
	query->has_soft = soft_total > 0;
	query->soft_share = query->has_soft ? 1 / soft_total : 0;
	query->has_embedding = match_dimensions(viewer) > 0;
	query->tag_share = viewer->tags != 0 ? 1.0 / __builtin_popcountll(viewer->tags) : 0;
	lost = -log(query->at_scale);
	query->offset = query->offset_km / unit_km;
	switch (query->decay)
	{
		case MATCH_GAUSS:
			query->rate = lost / ((query->scale_km / unit_km) * (query->scale_km / unit_km));
			break;
		case MATCH_EXP:
			query->rate = lost / (query->scale_km / unit_km);
			break;
		default:
			query->rate = (1 - query->at_scale) / (query->scale_km / unit_km);
			break;
	}
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
	if (viewer->tags == 0)
		available[MATCH_TAGS] = 0;
	if (!query->has_embedding)
		available[MATCH_EMBEDDING] = 0;
	if (!query->has_soft)
		available[MATCH_SOFT] = 0;
	for (int i = 0; i < MATCH_TERMS; i++)
		total += available[i];
	for (int i = 0; i < MATCH_TERMS; i++)
		query->share[i] = total > 0 ? available[i] / total : 0;

	fill_seen(query, seen, n);
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
