/*
 * Unit test of the C core of matching: parser, lanes, SIMD paths, bounds of the
 * arithmetic. Prints TAP.
 */
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
	key->head = MATCH_KEY_1 | (uint8_t) between(0, 15);
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
	key->tags = next_random() & next_random();
	for (int i = 0; i < MATCH_LANES; i++)
	{
		key->traits[i] = (uint8_t) (1 << between(0, 7));
		key->wants[i] = (uint8_t) (next_random() | next_random());
	}
	for (int i = 0; i < n; i++)
		key->embedding[i] = (int8_t) between(-127, 127);
}

/* Memory for a query with room for n seen ids, with the settings of the SQL function. */
static MatchQuery *
new_query(const MatchKey *viewer, int64_t *seen, uint32_t n)
{
	size_t		size = offsetof(MatchQuery, seen) + match_seen_slots(n) * sizeof(int64_t);
	MatchQuery *query = calloc(1, size + sizeof(int64_t));

	match_set_size(query, (uint32_t) size);
	query->version = MATCH_QUERY_1;
	memcpy(&query->viewer, viewer, match_size(viewer));
	query->today = (int32_t) between(7000, 12000);
	query->continuation = (uint32_t) (next_random() & next_random()) & ~1U;
	query->decay = (uint8_t) between(0, 2);
	query->scale_km = (double) between(1, 2000);
	query->offset_km = (double) between(0, 10);
	query->at_scale = 0.5;
	query->age_scale = 5;
	query->half_life = 14;
	for (int i = 0; i < MATCH_TERMS; i++)
		query->weights[i] = (double) between(0, 10) / 7;
	for (int i = 0; i < MATCH_NUMBERS; i++)
	{
		query->number_min[i] = query->soft_number_min[i] = MATCH_NUMBER_MIN;
		query->number_max[i] = query->soft_number_max[i] = MATCH_NUMBER_MAX;
	}
	query->number_unset = 15;
	memcpy(query->accept, viewer->wants, MATCH_LANES);
	for (int i = 0; i < MATCH_LANES; i++)
	{
		query->soft[i] = (uint8_t) next_random();
		query->soft_weights[i] = (float) between(0, 3);
	}
	match_query_finish(query, seen, n);
	return query;
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
		int64_t		seen[50];
		int64_t		back_seen[51];
		uint32_t	n = (uint32_t) between(0, 50);
		uint32_t	back_n;
		MatchKey	viewer;
		MatchQuery *query;
		MatchQuery *back;
		char		text[MATCH_QUERY_TEXT_MAX + 50 * 22];
		size_t		size;
		MatchQuery	given;

		random_key(&viewer);
		for (uint32_t i = 0; i < n; i++)
			seen[i] = between(-20, 1000000);
		query = new_query(&viewer, seen, n);
		size = match_query_format(query, back_seen, text);
		same_query &= match_query_parse(text, size, &given, back_seen, &back_n) == NULL;
		back = calloc(1, match_size(query) + sizeof(int64_t));
		memcpy(back, &given, offsetof(MatchQuery, seen));
		back->header = query->header;
		match_query_finish(back, back_seen, back_n);
		/* Twice the same id is stored once, so the tables may differ in size. */
		same_query &= back->seen_count == query->seen_count &&
			memcmp((char *) back + offsetof(MatchQuery, version), (char *) query + offsetof(MatchQuery, version),
				   offsetof(MatchQuery, seen_count) - offsetof(MatchQuery, version)) == 0;
		free(query);
		free(back);
	}
	check(same_query, "queries come back from their text bit for bit");
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
		query = new_query(&viewer, NULL, 0);
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
				cost > -1e-9 && cost < 1 + 1e-8;
		}
		free(query);
	}
	match_simd_use(MATCH_SIMD_AUTO);
	check(same && accepted > 1000, "every SIMD path gives the same bits, between 0 and 1");
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
		query = new_query(&viewer, NULL, 0);
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

int
main(void)
{
	test_text();
	test_fuzz();
	test_paths();
	test_lanes();
	test_distance();
	printf("1..%d\n", tests);
	return 0;
}
