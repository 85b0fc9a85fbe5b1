/*
 * The binary form of match_key and match_query, shared by the files of this
 * topic. Free of PostgreSQL headers: text.c and score.c build without them.
 *
 * Both values are varlena with a 4-byte header, 8-byte aligned, never toasted.
 */
#ifndef MATCH_KEY_H
#define MATCH_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATCH_LANES 32
#define MATCH_NUMBERS 4
#define MATCH_EMBEDDING_MAX 32
#define MATCH_TERMS 7
/* Leading lanes that the inner keys of the index keep. */
#define MATCH_BOUND_LANES 8

/* One unit of a coordinate: the radius of the earth is 2^30 of them. */
#define MATCH_UNIT 1073741824
#define MATCH_EARTH_KM 6371.0088
/* The reach of who goes everywhere. */
#define MATCH_EVERYWHERE UINT32_MAX

#define MATCH_BORN_UNSET UINT16_MAX
/* Day 0 of born is 1900-01-01: that many days before 2000-01-01. */
#define MATCH_BORN_EPOCH 36524
#define MATCH_BORN_MAX (UINT16_MAX - 1)
#define MATCH_AGE_OPEN UINT8_MAX
#define MATCH_NUMBER_UNSET INT16_MIN
#define MATCH_NUMBER_MIN (INT16_MIN + 1)
#define MATCH_NUMBER_MAX INT16_MAX

/* The high half of the byte "head". */
#define MATCH_KEY_1 0x10
#define MATCH_BOUNDS_1 0xF0
#define MATCH_KIND(head) ((head) & 0xF0)

/* A person: what the tables and the leaves of the index hold. */
typedef struct MatchKey
{
	uint32_t	header;
	uint8_t		head;			/* kind and version; low half: the numbers that
								 * may be unset in those I accept */
	uint8_t		mode;
	uint8_t		age_min;		/* ages I accept, in completed years */
	uint8_t		age_max;
	int64_t		id;
	int32_t		at[3];			/* unit vector of my place; 0 0 0 for none */
	uint32_t	reach;			/* greatest chord to those I accept */
	uint16_t	born;			/* days since 1900-01-01 */
	uint16_t	active;			/* last active day, 1 + days since 2000-01-01 */
	uint8_t		desirability;
	uint8_t		selectivity;
	uint8_t		price;
	uint8_t		quality;
	int16_t		numbers[MATCH_NUMBERS];
	int16_t		number_min[MATCH_NUMBERS];
	int16_t		number_max[MATCH_NUMBERS];
	uint64_t	tags;			/* one bit a tag, by hash */
	uint8_t		traits[MATCH_LANES];
	uint8_t		wants[MATCH_LANES];
	int8_t		embedding[MATCH_EMBEDDING_MAX]; /* as many as the size has room for */
} MatchKey;

#define MATCH_KEY_FIXED offsetof(MatchKey, embedding)

/* What all keys below an inner tuple of the index have in common. */
typedef struct MatchBounds
{
	uint32_t	header;
	uint8_t		head;
	uint8_t		mode_min;
	uint8_t		mode_max;
	uint8_t		unused;
	int32_t		low[3];
	int32_t		high[3];
	uint32_t	reach;
	uint16_t	born_min;		/* of those set: min > max if none is */
	uint16_t	born_max;
	uint16_t	active;
	uint8_t		age_min;
	uint8_t		age_max;
	uint8_t		desirability;
	uint8_t		selectivity;
	uint8_t		price;			/* the lowest; of all other scalars the highest */
	uint8_t		quality;
	int16_t		number_min[MATCH_NUMBERS];	/* of those set, like born */
	int16_t		number_max[MATCH_NUMBERS];
	uint8_t		traits[MATCH_BOUND_LANES];
	uint8_t		wants[MATCH_BOUND_LANES];
} MatchBounds;

typedef enum MatchTerm
{
	MATCH_DISTANCE,
	MATCH_AGE,
	MATCH_TAGS,
	MATCH_EMBEDDING,
	MATCH_SOFT,
	MATCH_RECENCY,
	MATCH_QUALITY
} MatchTerm;

typedef enum MatchDecay
{
	MATCH_GAUSS,
	MATCH_EXP,
	MATCH_LINEAR
} MatchDecay;

typedef enum MatchAfter
{
	MATCH_AFTER_NONE,
	MATCH_AFTER_COST,
	MATCH_AFTER_COST_ID
} MatchAfter;

/* The viewer's side. The first part is given, the second follows from it. */
typedef struct MatchQuery
{
	uint32_t	header;
	uint8_t		version;
	uint8_t		decay;			/* MatchDecay */
	uint8_t		after;			/* MatchAfter */
	uint8_t		number_unset;
	int32_t		today;			/* days since 2000-01-01 */
	uint32_t	continuation;	/* bit i: lane i continues lane i - 1; bit 0 is 0 */
	double		after_cost;
	int64_t		after_id;
	double		weights[MATCH_TERMS];
	double		scale_km;
	double		offset_km;
	double		at_scale;		/* the distance term at offset + scale */
	double		age_scale;		/* years after which the age term is one half */
	double		half_life;		/* days after which the recency term is */
	uint16_t	active_since;
	int16_t		number_min[MATCH_NUMBERS];
	int16_t		number_max[MATCH_NUMBERS];
	int16_t		soft_number_min[MATCH_NUMBERS];
	int16_t		soft_number_max[MATCH_NUMBERS];
	uint8_t		accept[MATCH_LANES];
	uint8_t		soft[MATCH_LANES];
	float		soft_weights[MATCH_LANES + MATCH_NUMBERS];

	/* From here on: match_query_finish(). */
	uint16_t	born_min;
	uint16_t	born_max;
	uint8_t		age_low;		/* my age twice, or 0 and 255 without a birth date */
	uint8_t		age_high;
	bool		numbers_open;	/* I accept any number */
	bool		numbers_unset;	/* I have none */
	bool		has_soft;
	bool		has_embedding;
	uint64_t	accept_bound;	/* the leading lanes */
	uint64_t	traits_bound;
	double		share[MATCH_TERMS]; /* of the score; they add up to 1 */
	double		offset;			/* in units of the coordinates */
	double		rate;			/* of the decay, per unit or unit squared */
	double		age_origin;
	double		age_rate;
	double		recency_rate;
	double		tag_share;
	double		soft_share;
	uint32_t	seen_count;
	uint32_t	seen_mask;		/* slots - 1; slots is 0 or a power of 2 */
	MatchKey	viewer;
	int64_t		seen[];			/* open addressing; MATCH_SEEN_FREE = free */
} MatchQuery;

#define MATCH_QUERY_1 1
#define MATCH_SEEN_FREE INT64_MIN

static inline uint32_t
match_size(const void *value)
{
	uint32_t	header = *(const uint32_t *) value;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return header >> 2;
#else
	return header & 0x3FFFFFFF;
#endif
}

static inline void
match_set_size(void *value, uint32_t size)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	*(uint32_t *) value = size << 2;
#else
	*(uint32_t *) value = size;
#endif
}

static inline int
match_dimensions(const MatchKey *key)
{
	return (int) (match_size(key) - MATCH_KEY_FIXED);
}

static inline bool
match_is_leaf(const void *value)
{
	return MATCH_KIND(((const MatchKey *) value)->head) != MATCH_BOUNDS_1;
}

static inline bool
match_has_place(const MatchKey *key)
{
	return (key->at[0] | key->at[1] | key->at[2]) != 0;
}

#endif
