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
#include <string.h>

#define MATCH_LANES 32
#define MATCH_NUMBERS 4
#define MATCH_EMBEDDING_MAX 32
#define MATCH_TERMS 11
#define MATCH_TAG_BYTES 14
/* The tags of the viewer that count: those that weigh most. */
#define MATCH_QUERY_TAGS 16
#define MATCH_BUCKETS 12
/* The most that the term which changes by the day may be of a score. */
#define MATCH_DIVERSITY_MAX 0.25F

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

/*
 * The high half of the byte "head": keys below 0x80, bounds from there. MATCH_KEY
 * and MATCH_BOUNDS are what is written; extension/update/README.md says how to
 * introduce the next.
 */
#define MATCH_KEY_1 0x10
#define MATCH_BOUNDS_1 0xF0
#define MATCH_KEY MATCH_KEY_1
#define MATCH_BOUNDS MATCH_BOUNDS_1
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
	uint16_t	joined;			/* day like active; 0 for unknown */
	uint8_t		tags[MATCH_TAG_BYTES];	/* one bit a tag, by hash */
	uint8_t		traits[MATCH_LANES];
	uint8_t		wants[MATCH_LANES];
	int8_t		embedding[MATCH_EMBEDDING_MAX]; /* as many as the size has room for */
} MatchKey;

#define MATCH_KEY_FIXED offsetof(MatchKey, embedding)

/*
 * What all keys below an inner tuple of the index have in common. Tags, traits
 * and wants stand where they do in a key.
 */
typedef struct MatchBounds
{
	uint32_t	header;
	uint8_t		head;
	uint8_t		mode_min;
	uint8_t		mode_max;
	uint8_t		tags_max;		/* the most tags of one key */
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
	uint16_t	joined;
	uint8_t		tags[MATCH_TAG_BYTES];
	uint8_t		traits[MATCH_LANES];
	uint8_t		wants[MATCH_LANES];
} MatchBounds;

typedef enum MatchTerm
{
	MATCH_DISTANCE,
	MATCH_AGE,
	MATCH_TAGS,
	MATCH_EMBEDDING,
	MATCH_SOFT,
	MATCH_RECENCY,
	MATCH_QUALITY,
	MATCH_DESIRABILITY,
	MATCH_SELECTIVITY,
	MATCH_NEWCOMER,
	MATCH_DIVERSITY
} MatchTerm;

/* How the terms make a score. */
typedef enum MatchFamily
{
	MATCH_WEIGHTED,				/* their sum */
	MATCH_RECIPROCAL			/* the chance that both like each other */
} MatchFamily;

typedef enum MatchOrder
{
	MATCH_BEST,
	MATCH_NEAREST,				/* by bucket of distance */
	MATCH_NEWEST,				/* by day joined */
	MATCH_ACTIVE				/* by day active */
} MatchOrder;

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
	uint8_t		family;			/* MatchFamily */
	uint8_t		order;			/* MatchOrder */
	uint8_t		shared_min;		/* tags that must be shared, as far as bits tell */
	uint8_t		tag_count;
	int32_t		today;			/* days since 2000-01-01 */
	uint32_t	continuation;	/* bit i: lane i continues lane i - 1; bit 0 is 0 */
	uint32_t	reach;			/* greatest chord to those the viewer asks for */
	double		after_cost;
	int64_t		after_id;
	double		scale_km;
	double		offset_km;
	double		at_scale;		/* the distance term at offset + scale */
	double		age_scale;		/* years after which the age term is one half */
	double		half_life;		/* days after which the recency term is */
	double		newcomer_days;	/* in which the newcomer term falls from 1 to 0 */
	double		bias;			/* of the log odds of a like, if reciprocal */
	double		slope;			/* of the log odds by the sum of the terms */
	double		desirability_slope;
	double		selectivity_slope;
	double		price;			/* what the price costs */
	double		boost;			/* what being liked saves */
	float		weights[MATCH_TERMS];
	float		soft_weights[MATCH_LANES + MATCH_NUMBERS];	/* by first lane, then numbers */
	float		tag_weights[MATCH_QUERY_TAGS];	/* falling */
	uint8_t		tag_bits[MATCH_QUERY_TAGS];
	uint8_t		tag_numbers[MATCH_QUERY_TAGS];	/* how many tags share the bit */
	uint32_t	buckets[MATCH_BUCKETS]; /* rising chords, at the end 0 */
	uint16_t	active_since;
	uint16_t	joined_since;
	int16_t		number_min[MATCH_NUMBERS];
	int16_t		number_max[MATCH_NUMBERS];
	int16_t		soft_number_min[MATCH_NUMBERS];
	int16_t		soft_number_max[MATCH_NUMBERS];
	uint8_t		accept[MATCH_LANES];
	uint8_t		soft[MATCH_LANES];
	uint8_t		asked_tags[MATCH_TAG_BYTES];	/* bits that all must be there */

	/* From here on: match_query_finish(). */
	uint16_t	born_min;
	uint16_t	born_max;
	uint8_t		age_low;		/* my age twice, or 0 and 255 without a birth date */
	uint8_t		age_high;
	bool		numbers_open;	/* I accept any number */
	bool		numbers_unset;	/* I have none */
	uint32_t	soft_lanes;		/* first lanes that have a soft weight */
	bool		soft_numbers;
	double		share[MATCH_TERMS]; /* of the score; they add up to 1 at most */
	double		offset;			/* in units of the coordinates */
	double		rate;			/* of the decay, per unit or unit squared */
	double		age_origin;
	double		age_rate;
	double		recency_rate;
	double		tag_share;
	double		soft_share;
	double		odds_forward;	/* what the log odds of the viewer's like start from */
	double		odds_back;
	uint32_t	seen_count;
	uint32_t	seen_mask;		/* slots - 1; slots is 0 or a power of 2 */
	uint32_t	liked_count;
	uint32_t	liked_mask;
	uint32_t	packed_size;	/* of the packed seen set, a multiple of 8; given too */
	uint32_t	unused;
	MatchKey	viewer;
	int64_t		seen[];			/* open addressing; MATCH_SEEN_FREE = free; then those
								 * who liked; then a MatchSection, if packed_size > 0 */
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

static inline const struct MatchSection *
match_section(const MatchQuery *query)
{
	return (const struct MatchSection *) ((const uint8_t *) query + match_size(query) - query->packed_size);
}

static inline int
match_dimensions(const MatchKey *key)
{
	return (int) (match_size(key) - MATCH_KEY_FIXED);
}

/* How many bits of tags are set. */
static inline int
match_tag_number(const uint8_t *tags)
{
	uint64_t	words[2] = {0};

	memcpy(words, tags, MATCH_TAG_BYTES);
	return __builtin_popcountll(words[0]) + __builtin_popcountll(words[1]);
}

static inline bool
match_is_leaf(const void *value)
{
	return ((const MatchKey *) value)->head < 0x80;
}

/* In the format that everything here reads. */
static inline bool
match_is_current(const void *value)
{
	uint8_t		kind = MATCH_KIND(((const MatchKey *) value)->head);

	return kind == MATCH_KEY || kind == MATCH_BOUNDS;
}

static inline bool
match_has_place(const MatchKey *key)
{
	return (key->at[0] | key->at[1] | key->at[2]) != 0;
}

#endif
