/* The packed seen set: see packed.h. */
#include "match/packed.h"

#include <string.h>

#define ID_BITS 53
#define REST_BITS 47
#define PARTS_MAX 10
#define DAY_BITS_MAX 16
#define HEAD 5

static const uint64_t factor = 0x1779B97F4A7C15;
static const uint64_t inverse = 0x1E83E19937733D;	/* times factor: 1 modulo 2^53 */

static inline uint64_t
mix(uint64_t id)
{
	id = id * factor & MATCH_ID_MAX;
	id ^= id >> 27;
	return id * factor & MATCH_ID_MAX;
}

int
match_bucket(int64_t id, uint64_t *rest)
{
	uint64_t	mixed = mix((uint64_t) id);

	*rest = mixed & ((UINT64_C(1) << REST_BITS) - 1);
	return (int) (mixed >> REST_BITS);
}

int64_t
match_unmix(int bucket, uint64_t rest)
{
	uint64_t	id = ((uint64_t) bucket << REST_BITS | rest) * inverse & MATCH_ID_MAX;

	id ^= id >> 27;
	return (int64_t) (id * inverse & MATCH_ID_MAX);
}

/* A bucket, opened. */
typedef struct Bucket
{
	int			part_bits;
	int			day_bits;
	int			width;			/* of an entry, in bytes */
	uint16_t	first;
	uint32_t	n;
	const uint8_t *starts;
	const uint8_t *entries;
} Bucket;

static inline uint16_t
get16(const uint8_t *at)
{
	return (uint16_t) (at[0] | at[1] << 8);
}

static inline void
put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t) value;
	at[1] = (uint8_t) (value >> 8);
}

static inline size_t
starts_size(int part_bits)
{
	return 2 * (((size_t) 1 << part_bits) - 1);
}

static inline int
entry_width(int part_bits, int day_bits)
{
	return (REST_BITS - part_bits + day_bits + 7) / 8;
}

static inline Bucket
open_bucket(const uint8_t *data, size_t size)
{
	Bucket		bucket;

	bucket.part_bits = data[1];
	bucket.day_bits = data[2];
	bucket.width = entry_width(bucket.part_bits, bucket.day_bits);
	bucket.first = get16(data + 3);
	bucket.starts = data + HEAD;
	bucket.entries = bucket.starts + starts_size(bucket.part_bits);
	bucket.n = (uint32_t) ((data + size - bucket.entries) / bucket.width);
	return bucket;
}

static inline uint64_t
entry(const Bucket *bucket, uint32_t i)
{
	const uint8_t *at = bucket->entries + (size_t) i * bucket->width;
	uint64_t	value = 0;

	for (int byte = bucket->width - 1; byte >= 0; byte--)
		value = value << 8 | at[byte];
	return value;
}

/* The entries before a part. */
static inline uint32_t
start(const Bucket *bucket, uint32_t part)
{
	if (part == 0)
		return 0;
	return part >> bucket->part_bits ? bucket->n : get16(bucket->starts + 2 * (part - 1));
}

static inline uint16_t
until(const Bucket *bucket, uint64_t value)
{
	uint32_t	code = (uint32_t) value & ((1U << bucket->day_bits) - 1);

	return code == 0 ? 0 : (uint16_t) (bucket->first + code - 1);
}

size_t
match_pack_room(uint32_t n)
{
	return HEAD + starts_size(0) + 8 * (size_t) n;
}

size_t
match_pack(int bucket, const MatchSeen *entries, uint32_t n, uint8_t *out)
{
	uint16_t	first = UINT16_MAX;
	uint16_t	last = 0;
	int			part_bits = 0;
	int			day_bits = 0;
	int			width;
	uint8_t    *at;
	uint32_t	part = 0;

	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++)
	{
		uint16_t	day = MATCH_SEEN_UNTIL(entries[i]);

		if (day != 0 && day < first)
			first = day;
		if (day > last)
			last = day;
	}
	if (last == 0)
		first = 0;
	else
	{
		while (((last - first + 1) >> day_bits) != 0)
			day_bits++;
	}
	for (int bits = 1; bits <= PARTS_MAX; bits++)
	{
		if (starts_size(bits) + (size_t) n * entry_width(bits, day_bits) <
			starts_size(part_bits) + (size_t) n * entry_width(part_bits, day_bits))
			part_bits = bits;
	}
	width = entry_width(part_bits, day_bits);

	out[0] = (uint8_t) bucket;
	out[1] = (uint8_t) part_bits;
	out[2] = (uint8_t) day_bits;
	put16(out + 3, first);
	at = out + HEAD + starts_size(part_bits);
	for (uint32_t i = 0; i < n; i++)
	{
		uint64_t	rest = MATCH_SEEN_REST(entries[i]);
		uint16_t	day = MATCH_SEEN_UNTIL(entries[i]);
		uint64_t	value = rest & ((UINT64_C(1) << (REST_BITS - part_bits)) - 1);

		for (; part < rest >> (REST_BITS - part_bits); part++)
			put16(out + HEAD + 2 * part, i);
		value = value << day_bits | (day == 0 ? 0 : (uint64_t) (day - first + 1));
		for (int byte = 0; byte < width; byte++, value >>= 8)
			*at++ = (uint8_t) value;
	}
	for (; part < (1U << part_bits) - 1; part++)
		put16(out + HEAD + 2 * part, n);
	return (size_t) (at - out);
}

const char *
match_pack_check(int number, const uint8_t *data, size_t size, bool full)
{
	static const char broken[] = "A packed bucket is broken.";
	Bucket		bucket;
	uint32_t	parts;
	int			descends;
	int			bits;

	if (size < HEAD || data[0] != number || data[1] > PARTS_MAX || data[2] > DAY_BITS_MAX ||
		size < HEAD + starts_size(data[1]))
		return broken;
	bucket = open_bucket(data, size);
	if (bucket.n == 0 || bucket.n > MATCH_SEEN_BUCKET_MAX ||
		bucket.entries + (size_t) bucket.n * bucket.width != data + size)
		return broken;
	if (bucket.day_bits == 0 ? bucket.first != 0 :
		bucket.first == 0 || bucket.first + (1U << (bucket.day_bits - 1)) - 1 > UINT16_MAX)
		return broken;
	parts = 1U << bucket.part_bits;
	/* Every bucket comes by here for every deck: no branch in the loop. */
	descends = parts > 1 && get16(bucket.starts + 2 * (parts - 2)) > bucket.n;
	for (uint32_t part = 2; part < parts; part++)
		descends |= get16(bucket.starts + 2 * (part - 2)) > get16(bucket.starts + 2 * (part - 1));
	if (descends)
		return broken;
	if (!full)
		return NULL;
	bits = REST_BITS - bucket.part_bits + bucket.day_bits;
	for (uint32_t part = 0; part < parts; part++)
	{
		for (uint32_t i = start(&bucket, part); i < start(&bucket, part + 1); i++)
		{
			uint64_t	value = entry(&bucket, i);
			uint32_t	code = (uint32_t) value & ((1U << bucket.day_bits) - 1);

			if (value >> bits != 0 || (code != 0 && bucket.first + code - 1 > UINT16_MAX))
				return broken;
			if (i > start(&bucket, part) && value >> bucket.day_bits <= entry(&bucket, i - 1) >> bucket.day_bits)
				return "The entries of a packed bucket are not in ascending order.";
		}
	}
	return NULL;
}

uint32_t
match_pack_count(const uint8_t *data, size_t size)
{
	return open_bucket(data, size).n;
}

void
match_unpack(const uint8_t *data, size_t size, MatchSeen *out)
{
	Bucket		bucket = open_bucket(data, size);
	uint32_t	part = 0;

	for (uint32_t i = 0; i < bucket.n; i++)
	{
		uint64_t	value = entry(&bucket, i);

		while (i >= start(&bucket, part + 1))
			part++;
		out[i] = MATCH_SEEN((uint64_t) part << (REST_BITS - bucket.part_bits) | value >> bucket.day_bits,
							until(&bucket, value));
	}
}

bool
match_section_has(const MatchSection *section, int64_t id, int32_t today)
{
	uint64_t	rest;
	uint64_t	wanted;
	Bucket		bucket;
	int			number;
	uint32_t	from;
	uint32_t	low;
	uint32_t	high;

	if (id < 0 || id > MATCH_ID_MAX)
		return false;
	number = match_bucket(id, &rest);
	from = number == 0 ? 0 : section->ends[number - 1];
	if (from == section->ends[number])
		return false;
	bucket = open_bucket(section->data + from, section->ends[number] - from);
	wanted = rest & ((UINT64_C(1) << (REST_BITS - bucket.part_bits)) - 1);
	low = start(&bucket, (uint32_t) (rest >> (REST_BITS - bucket.part_bits)));
	high = start(&bucket, (uint32_t) (rest >> (REST_BITS - bucket.part_bits)) + 1);
	while (low < high)
	{
		uint32_t	middle = (low + high) / 2;
		uint64_t	value = entry(&bucket, middle);
		uint64_t	found = value >> bucket.day_bits;

		if (found == wanted)
		{
			uint16_t	day = until(&bucket, value);

			return day == 0 || day - 1 > today;
		}
		if (found < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}
