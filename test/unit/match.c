/*
 * Unit test of the C core of matching: parser, lanes, SIMD paths, bounds of the
 * arithmetic. Prints TAP.
 */
#include "match/bounds.h"
#include "match/curve.h"
#include "match/packed.h"
#include "match/score.h"
#include "match/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 42;
static int	tests;

static uint64_t
next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int64_t
between(int64_t low, int64_t high)
{
	return low + (int64_t) (next_random() % (uint64_t) (high - low + 1));
}

static void
check(bool passed, const char *name)
{
	printf("%sok %d - %s\n", passed ? "" : "not ", ++tests, name);
}

static void
random_key(MatchKey *key)
{
	double		z = (double) between(-1000000, 1000000) / 1000000;
	double		angle = (double) between(0, 6283185) / 1000000;
	double		level = sqrt(1 - z * z);
	int			n = (int) between(0, MATCH_EMBEDDING_MAX);

	memset(key, 0, sizeof(*key));
	match_set_size(key, MATCH_KEY_FIXED + n);
	key->head = MATCH_KEY | (uint8_t) between(0, 15);
	key->mode = (uint8_t) between(0, 2);
	key->age_max = (uint8_t) between(0, 255);
	key->age_min = (uint8_t) between(0, key->age_max);
	key->id = (int64_t) next_random() | 1;
	key->at[0] = (int32_t) lrint(level * cos(angle) * MATCH_UNIT);
	key->at[1] = (int32_t) lrint(level * sin(angle) * MATCH_UNIT);
	key->at[2] = (int32_t) lrint(z * MATCH_UNIT);
	key->reach = between(0, 1) ? MATCH_EVERYWHERE : (uint32_t) between(0, MATCH_UNIT);
	key->born = (uint16_t) next_random();
	key->active = (uint16_t) next_random();
	key->desirability = (uint8_t) next_random();
	key->selectivity = (uint8_t) next_random();
	key->price = (uint8_t) next_random();
	key->quality = (uint8_t) next_random();
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		key->numbers[i] = (int16_t) next_random();
		key->number_min[i] = (int16_t) between(MATCH_NUMBER_MIN, MATCH_NUMBER_MAX);
		key->number_max[i] = (int16_t) next_random();
	}
	key->joined = (uint16_t) next_random();
	for (int i = 0; i < MATCH_TAG_BYTES; i++)
		key->tags[i] = (uint8_t) (next_random() & next_random() & next_random());
	for (int i = 0; i < MATCH_LANES; i++)
	{
		key->traits[i] = (uint8_t) (1 << between(0, 7));
		key->wants[i] = (uint8_t) (next_random() | next_random());
	}
	for (int i = 0; i < n; i++)
		key->embedding[i] = (int8_t) between(-127, 127);
}

/* Some of what the SQL function takes, at random. */
static void
random_query(MatchQuery *query, const MatchKey *viewer)
{
	memset(query, 0, sizeof(*query));
	query->version = MATCH_QUERY_1;
	memcpy(&query->viewer, viewer, match_size(viewer));
	query->today = (int32_t) between(7000, 12000);
	query->continuation = (uint32_t) (next_random() & next_random()) & ~1U;
	query->decay = (uint8_t) between(0, 2);
	query->family = (uint8_t) between(0, 1);
	query->order = (uint8_t) between(0, 3);
	query->reach = viewer->reach;
	query->scale_km = (double) between(1, 2000);
	query->offset_km = (double) between(0, 10);
	query->at_scale = 0.5;
	query->age_scale = 5;
	query->half_life = 14;
	query->newcomer_days = (double) between(1, 10000);
	query->bias = (double) between(-20, 20);
	query->slope = (double) between(0, 100);
	query->desirability_slope = (double) between(0, 10);
	query->selectivity_slope = (double) between(0, 10);
	query->price = (double) between(0, 4) / 4;
	query->boost = (double) between(0, 4) / 4;
	for (int i = 0; i < MATCH_TERMS; i++)
		query->weights[i] = (float) between(0, 10) / 7;
	query->weights[MATCH_DIVERSITY] = MATCH_DIVERSITY_MAX * (float) between(0, 4) / 4;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		query->number_min[i] = query->soft_number_min[i] = MATCH_NUMBER_MIN;
		query->number_max[i] = query->soft_number_max[i] = MATCH_NUMBER_MAX;
	}
	query->number_unset = 15;
	for (int i = 0; i < 5; i++)
		query->buckets[i] = (uint32_t) (i + 1) * (MATCH_UNIT / 4);
	query->tag_count = (uint8_t) between(0, MATCH_QUERY_TAGS);
	for (int i = 0; i < query->tag_count; i++)
	{
		query->tag_bits[i] = (uint8_t) between(0, 8 * MATCH_TAG_BYTES - 1);
		query->tag_numbers[i] = (uint8_t) between(1, 3);
		query->tag_weights[i] = (float) (MATCH_QUERY_TAGS - i) / 3;
	}
	query->shared_min = (uint8_t) (between(0, 3) / 3);
	for (int i = (int) between(0, 2); i > 0; i--)
		query->asked_tags[between(0, MATCH_TAG_BYTES - 1)] |= (uint8_t) (1 << between(0, 7));
	memcpy(query->accept, viewer->wants, MATCH_LANES);
	for (int i = 0; i < MATCH_LANES; i++)
	{
		query->soft[i] = (uint8_t) next_random();
		query->soft_weights[i] = (query->continuation >> i & 1) == 0 ? (float) between(0, 3) : 0;
	}
	for (int i = 0; i < MATCH_NUMBERS; i++)
		query->soft_weights[MATCH_LANES + i] = (float) between(0, 1);
}

/* A whole query of its first part, in memory of its own; sorts the ids. */
static MatchQuery *
finished(const MatchQuery *given, int64_t *seen, uint32_t n, int64_t *liked, uint32_t m)
{
	size_t		size;
	MatchQuery *query;

	n = match_sort_ids(seen, n);
	m = match_sort_ids(liked, m);
	size = offsetof(MatchQuery, seen) + (match_seen_slots(n) + match_seen_slots(m)) * sizeof(int64_t);
	query = calloc(1, size);
	memcpy(query, given, offsetof(MatchQuery, seen));
	match_set_size(query, (uint32_t) size);
	match_query_finish(query, seen, n, liked, m);
	return query;
}

static MatchQuery *
new_query(const MatchKey *viewer, int64_t *liked, uint32_t m)
{
	MatchQuery	given;

	random_query(&given, viewer);
	return finished(&given, NULL, 0, liked, m);
}

static void
test_text(void)
{
	bool		same = true;
	bool		same_query = true;

	for (int round = 0; round < 2000; round++)
	{
		MatchKey	key;
		MatchKey	back;
		char		text[MATCH_KEY_TEXT_MAX];
		size_t		size;

		random_key(&key);
		size = match_key_format(&key, text);
		same &= size < MATCH_KEY_TEXT_MAX && match_key_parse(text, size, &back) == NULL &&
			match_size(&back) == match_size(&key) && memcmp(&back, &key, match_size(&key)) == 0;
	}
	check(same, "keys come back from their text bit for bit");

	for (int round = 0; round < 300; round++)
	{
		int64_t		ids[2][50];
		int64_t		back_ids[102];
		uint32_t	n = (uint32_t) between(0, 50);
		uint32_t	m = (uint32_t) between(0, 50);
		MatchKey	viewer;
		MatchQuery	given;
		MatchQuery *query;
		MatchQuery *back;
		char		text[MATCH_QUERY_TEXT_MAX + 100 * 22];
		size_t		size;

		random_key(&viewer);
		for (int i = 0; i < 50; i++)
		{
			ids[0][i] = between(-20, 1000000);
			ids[1][i] = between(-20, 40);
		}
		random_query(&given, &viewer);
		query = finished(&given, ids[0], n, ids[1], m);
		size = match_query_format(query, back_ids, text);
		same_query &= match_query_parse(text, size, &given, back_ids, &n, &m, NULL) == NULL;
		back = finished(&given, back_ids, n, back_ids + n, m);
		same_query &= match_size(back) == match_size(query) && memcmp(back, query, match_size(query)) == 0;
		free(query);
		free(back);
	}
	check(same_query, "queries come back from their text bit for bit");
}

static int
compare_entries(const void *a, const void *b)
{
	MatchSeen	x = *(const MatchSeen *) a;
	MatchSeen	y = *(const MatchSeen *) b;

	return (x > y) - (x < y);
}

/* A random bucket with n entries, some to expire within so many days. */
static uint32_t
random_bucket(int bucket, uint32_t n, int64_t days, MatchSeen *entries, uint8_t *out, size_t *size)
{
	uint32_t	distinct = 0;

	for (uint32_t i = 0; i < n; i++)
		entries[i] = MATCH_SEEN(next_random() >> between(17, 60),
								days > 0 && between(0, 3) > 0 ? (uint16_t) between(9000, 9000 + days) : 0);
	qsort(entries, n, sizeof(*entries), compare_entries);
	for (uint32_t i = 0; i < n; i++)
	{
		if (distinct == 0 || MATCH_SEEN_REST(entries[i]) != MATCH_SEEN_REST(entries[distinct - 1]))
			entries[distinct++] = entries[i];
	}
	*size = match_pack(bucket, entries, distinct, out);
	return distinct;
}

static void
test_packed(void)
{
	static MatchSeen entries[5000];
	static MatchSeen back[5000];
	static uint8_t data[8 * 5000 + 100];
	static uint64_t room[(sizeof(MatchSection) + sizeof(data)) / 8];
	MatchSection *section = (MatchSection *) room;
	bool		mixed = true;
	bool		same = true;
	bool		found = true;
	bool		refused = true;
	size_t		size;
	uint64_t	rest;
	uint32_t	n;

	for (int i = 0; i < 100000; i++)
	{
		int64_t		id = i < 1000 ? i : i < 2000 ? MATCH_ID_MAX - i : (int64_t) (next_random() & MATCH_ID_MAX);
		int			bucket = match_bucket(id, &rest);

		mixed &= bucket >= 0 && bucket < MATCH_SEEN_BUCKETS && rest >> 47 == 0 && match_unmix(bucket, rest) == id;
	}
	check(mixed, "ids come back from their buckets");

	for (int round = 0; round < 300; round++)
	{
		int64_t		days = (int64_t[]) {0, 1, 30, 50000}[round % 4];
		int			bucket = round % MATCH_SEEN_BUCKETS;

		n = random_bucket(bucket, (uint32_t) (round < 40 ? round : between(1, 5000)), days, entries, data, &size);
		if (n == 0)
		{
			same &= size == 0;
			continue;
		}
		same &= size <= match_pack_room(n) && match_pack_check(bucket, data, size, true) == NULL &&
			match_pack_count(data, size) == n;
		match_unpack(data, size, back);
		same &= memcmp(entries, back, n * sizeof(*entries)) == 0;

		/* All in one section, before and after the day; and others not. */
		memcpy(section->data, data, size);
		for (int i = 0; i < MATCH_SEEN_BUCKETS; i++)
			section->ends[i] = i < bucket ? 0 : (uint32_t) size;
		for (uint32_t i = 0; i < n; i++)
		{
			int64_t		id = match_unmix(bucket, MATCH_SEEN_REST(entries[i]));
			uint16_t	until = MATCH_SEEN_UNTIL(entries[i]);

			found &= match_section_has(section, id, until == 0 ? 60000 : until - 2) &&
				(until == 0 || !match_section_has(section, id, until - 1));
		}
		for (int i = 0; i < 1000; i++)
		{
			MatchSeen	wanted;
			int64_t		id = (int64_t) (next_random() & MATCH_ID_MAX);
			int			in = match_bucket(id, &rest);
			uint32_t	at = 0;

			wanted = MATCH_SEEN(rest, 0);
			while (at < n && MATCH_SEEN_REST(entries[at]) < MATCH_SEEN_REST(wanted))
				at++;
			found &= match_section_has(section, id, 0) ==
				(in == bucket && at < n && MATCH_SEEN_REST(entries[at]) == rest);
		}

		/* Any change is refused, or another valid bucket, in which all reads stay. */
		for (int i = 0; i < 50; i++)
		{
			uint8_t    *copy = malloc(size);
			size_t		cut = (size_t) between(0, 9) == 0 ? (size_t) between(0, (int64_t) size) : size;
			size_t		at = (size_t) between(0, (int64_t) size - 1);
			uint8_t    *exact;

			memcpy(copy, data, size);
			copy[between(0, 1) ? at : at % 20] = (uint8_t) next_random();
			exact = malloc(cut + 1);
			memcpy(exact + 1, copy, cut);
			if (match_pack_check(bucket, exact + 1, cut, false) == NULL)
			{
				uint32_t	count = match_pack_count(exact + 1, cut);
				MatchSeen  *out = malloc(count * sizeof(*out));

				match_unpack(exact + 1, cut, out);
				if (match_pack_check(bucket, exact + 1, cut, true) == NULL)
				{
					for (uint32_t j = 1; j < count; j++)
						refused &= MATCH_SEEN_REST(out[j - 1]) < MATCH_SEEN_REST(out[j]);
				}
				memcpy(section->data, exact + 1, cut);
				for (int j = bucket; j < MATCH_SEEN_BUCKETS; j++)
					section->ends[j] = (uint32_t) cut;
				for (int j = 0; j < 100; j++)
					match_section_has(section, match_unmix(bucket, next_random() >> 17), 9000);
				free(out);
			}
			free(exact);
			free(copy);
		}
	}
	check(same, "buckets come back from their packing");
	check(found, "those in a bucket are found until their day, and nobody else");
	check(refused, "a broken bucket is refused, or in order");

	for (uint32_t i = 0; i < 780; i++)
		entries[i] = MATCH_SEEN(next_random() >> 17, 0);
	qsort(entries, 780, sizeof(*entries), compare_entries);
	check(match_pack(0, entries, 780, data) <= 780 * 5.4, "a bucket of 50,000 takes 5.4 bytes a person");
}

/* Whatever the bytes are, the parser reads no other and takes no broken key. */
static void
test_fuzz(void)
{
	bool		sane = true;
	int			taken = 0;

	for (int round = 0; round < 60000; round++)
	{
		MatchKey	key;
		MatchKey	back;
		char		text[MATCH_KEY_TEXT_MAX];
		char	   *exact;
		size_t		size;

		random_key(&key);
		size = match_key_format(&key, text);
		for (int64_t change = between(1, 4); change > 0; change--)
		{
			size_t		at = (size_t) between(0, (int64_t) size - 1);

			switch (between(0, 3))
			{
				case 0:
					text[at] = (char) next_random();
					break;
				case 1:
					text[at] = "0123456789-.,;=ef"[between(0, 16)];
					break;
				case 2:
					memmove(text + at, text + at + 1, size - at);
					size -= size > 1;
					break;
				default:
					size = size > 1 && at % 7 == 0 ? at + 1 : size;
					break;
			}
		}
		exact = malloc(size);
		memcpy(exact, text, size);
		if (match_key_parse(exact, size, &back) == NULL)
		{
			taken++;
			sane &= match_key_check(&back) == NULL && match_size(&back) <= sizeof(MatchKey);
		}
		free(exact);
	}
	check(sane && taken > 0, "changed texts are refused or give valid keys");
}

static void
test_paths(void)
{
	bool		same = true;
	int			accepted = 0;

	for (int round = 0; round < 20000; round++)
	{
		MatchKey	viewer;
		MatchKey	key;
		MatchQuery *query;
		double		cost = 0;
		bool		accepts = false;

		random_key(&viewer);
		random_key(&key);
		key.mode = viewer.mode;
		if (between(0, 1))
		{
			memset(key.wants, 0xFF, MATCH_LANES);
			memset(viewer.wants, 0xFF, MATCH_LANES);
			key.reach = viewer.reach = MATCH_EVERYWHERE;
			key.age_min = viewer.age_min = 0;
			key.age_max = viewer.age_max = MATCH_AGE_OPEN;
			key.head |= 15;
			for (int i = 0; i < MATCH_NUMBERS; i++)
			{
				key.number_min[i] = MATCH_NUMBER_MIN;
				key.number_max[i] = MATCH_NUMBER_MAX;
			}
		}
		query = new_query(&viewer, &key.id, 1);
		for (MatchSimd path = MATCH_SIMD_SCALAR; path <= MATCH_SIMD_AVX2; path++)
		{
			double		this_cost;
			bool		this_accepts;

			if (!match_simd_available(path))
				continue;
			match_simd_use(path);
			this_cost = match_leaf_cost(&key, query);
			this_accepts = match_leaf_accepts(&key, query);
			if (path == MATCH_SIMD_SCALAR)
			{
				cost = this_cost;
				accepts = this_accepts;
				accepted += accepts;
			}
			same &= memcmp(&cost, &this_cost, sizeof(cost)) == 0 && accepts == this_accepts &&
				(query->order == MATCH_BEST ? cost > -1 - 1e-9 && cost < 2 + 1e-8 : cost > -1e-9 && cost < (double) INT32_MAX + 0.7);
		}
		free(query);
	}
	match_simd_use(MATCH_SIMD_AUTO);
	check(same && accepted > 1000, "every SIMD path gives the same bits, within the range of the order");
}

/* Bounds of some keys that are near to one another, against each of them. */
static void
test_bounds(void)
{
	bool		cover = true;
	int			accepted = 0;
	int			refused = 0;

	for (int round = 0; round < 20000; round++)
	{
		MatchKey	viewer;
		MatchKey	keys[4];
		MatchBounds all;
		MatchBounds one;
		MatchQuery *query;
		double		least;

		random_key(&viewer);
		for (int i = 0; i < 4; i++)
		{
			random_key(&keys[i]);
			keys[i].mode = viewer.mode;
			if (i > 0 && between(0, 1))
			{
				memcpy(keys[i].traits, keys[0].traits, MATCH_LANES);
				memcpy(keys[i].at, keys[0].at, sizeof(keys[i].at));
				memset(keys[i].wants, 0xFF, MATCH_LANES);
				memcpy(viewer.wants, keys[0].traits, MATCH_LANES);
				viewer.age_min = keys[i].age_min = 0;
				viewer.age_max = keys[i].age_max = MATCH_AGE_OPEN;
				viewer.reach = keys[i].reach = MATCH_EVERYWHERE;
				keys[i].head |= 15;
				for (int j = 0; j < MATCH_NUMBERS; j++)
				{
					keys[i].number_min[j] = MATCH_NUMBER_MIN;
					keys[i].number_max[j] = MATCH_NUMBER_MAX;
				}
			}
			match_bounds_of(&keys[i], &one);
			if (i == 0)
				all = one;
			match_bounds_add(&all, &one);
		}
		query = new_query(&viewer, &keys[1].id, 1);
		least = match_bounds_cost(&all, query);
		if (!match_bounds_accept(&all, query))
			refused++;
		for (int i = 0; i < 4; i++)
		{
			bool		accepts = match_leaf_accepts(&keys[i], query);

			accepted += accepts;
			cover &= least <= match_leaf_cost(&keys[i], query) && (!accepts || match_bounds_accept(&all, query));
		}
		free(query);
	}
	check(cover && accepted > 1000 && refused > 1000, "bounds refuse and price nobody out whom they cover");
}

/* Attributes of several lanes against a plain loop. */
static void
test_lanes(void)
{
	bool		same = true;

	for (int round = 0; round < 20000; round++)
	{
		MatchKey	viewer;
		MatchKey	key;
		MatchQuery *query;
		MatchReport report;
		uint32_t	failed = 0;
		int			first = 0;
		bool		passed = false;

		random_key(&viewer);
		random_key(&key);
		query = new_query(&viewer, &key.id, 1);
		for (int i = 0; i < MATCH_LANES; i++)
		{
			if ((query->continuation >> i & 1) == 0)
			{
				if (i > 0 && !passed)
					failed |= (uint32_t) 1 << first;
				first = i;
				passed = false;
			}
			passed |= (key.traits[i] & query->accept[i]) != 0;
		}
		if (!passed)
			failed |= (uint32_t) 1 << first;
		match_report(&key, query, &report);
		same &= report.lanes_failed[0] == failed;
		free(query);
	}
	check(same, "one lane of an attribute is enough, all failing ones are reported");
}

static void
test_distance(void)
{
	bool		right = true;

	for (int round = 0; round < 20000; round++)
	{
		double		km = (double) between(0, 20015000) / 1000;

		right &= fabs(match_reach_km(match_reach(km)) - km) < (km < 19000 ? 0.001 : 1);
	}
	check(right && match_reach(20016) == MATCH_EVERYWHERE, "kilometres become chords and come back");
}

/* A place moved by about 2^(bits - 30) radii, back on the earth. */
static void
move_place(const int32_t *from, int bits, int32_t *to)
{
	double		at[3];
	double		length = 0;

	for (int i = 0; i < 3; i++)
	{
		at[i] = from[i] + (double) between(-((int64_t) 1 << bits), (int64_t) 1 << bits);
		length += at[i] * at[i];
	}
	for (int i = 0; i < 3; i++)
		to[i] = (int32_t) lrint(at[i] / sqrt(length) * MATCH_UNIT);
}

static void
test_curve(void)
{
	static const int32_t ends[][3] = {
		{MATCH_UNIT, 0, 0}, {-MATCH_UNIT, 0, 0}, {0, MATCH_UNIT, 0}, {0, -MATCH_UNIT, 0}, {0, 0, MATCH_UNIT}, {0, 0, -MATCH_UNIT}, {0, 0, 0}
	};
	bool		reached = true;
	bool		near = true;
	int			left_out = 0;
	const int	rounds = 100000;

	for (int round = 0; round < rounds; round++)
	{
		MatchKey	key;
		int32_t		there[3];
		uint64_t	squared = 0;
		uint64_t	position;
		uint64_t	low;
		uint64_t	high;
		uint32_t	reach;
		int			width = (int) between(0, 62);

		random_key(&key);
		if (round % 10 < 7)
			memcpy(key.at, ends[round % 10 == 6 ? 0 : round % 10], sizeof(key.at));
		move_place(key.at, (int) between(1, 30), there);
		for (int i = 0; i < 3; i++)
			squared += (uint64_t) (((int64_t) key.at[i] - there[i]) * ((int64_t) key.at[i] - there[i]));
		/* One more than the floor: a stretch with the place is within it. */
		reach = (uint32_t) sqrt((double) squared) + 1;
		position = match_curve_position(there);
		low = position - (uint64_t) between(0, (int64_t) (position >> width));
		high = position + (uint64_t) between(0, (int64_t) ((MATCH_CURVE_END - position) >> width));
		reached &= match_curve_reaches(low, high, key.at, reach) && match_curve_reaches(position, position, key.at, reach);
		/* The cell of a place has an edge of 2^10: two in one cell are within 2^11. */
		near &= !match_curve_reaches(position, position, key.at, 0) || squared < (uint64_t) 1 << 22;
		low = next_random() >> 1;
		left_out += !match_curve_reaches(low, low, key.at, reach);
	}
	check(reached, "a stretch of the curve is reached where a place on it is");
	check(near && left_out > rounds / 2, "and not where none is");
}

int
main(void)
{
	test_text();
	test_packed();
	test_fuzz();
	test_paths();
	test_bounds();
	test_lanes();
	test_distance();
	test_curve();
	printf("1..%d\n", tests);
	return 0;
}
