/*
 * The text of a match_query: what the parser takes is valid, comes back from
 * its text, and gives a cost for any key: here that of the viewer himself and
 * that of a key as unlike it as can be.
 */
#include "fuzz.h"

#include "match/packed.h"
#include "match/score.h"
#include "match/text.h"

#include <math.h>
#include <string.h>

/* A whole query from its first part, as the input function makes it. */
static MatchQuery *
finished(const MatchQuery *given, const int64_t *ids, uint32_t n, uint32_t m, const MatchSection *section)
{
	size_t		total = offsetof(MatchQuery, seen) + (match_seen_slots(n) + match_seen_slots(m)) * sizeof(int64_t) + given->packed_size;
	MatchQuery *query = calloc(1, total);

	memcpy(query, given, offsetof(MatchQuery, seen));
	match_set_size(query, (uint32_t) total);
	match_query_finish(query, ids, n, ids + n, m);
	memcpy((char *) query + total - given->packed_size, section, given->packed_size);
	return query;
}

static void
score(const MatchKey *key, const MatchQuery *query)
{
	MatchReport report;
	double		cost = match_leaf_cost(key, query);

	match_report(key, query, &report);
	fuzz_check(isfinite(cost) && cost > -1 - 1e-6 && cost < (double) INT32_MAX + 1);
	fuzz_check(report.cost == cost);
	fuzz_check(report.accepts == match_leaf_accepts(key, query));
}

/* Whoever is in a bucket is found there. The last of them becomes the id of other. */
static void
check_packed(const MatchQuery *query, MatchKey *other)
{
	const MatchSection *section = match_section(query);

	for (uint32_t bucket = 0, from = 0; bucket < MATCH_SEEN_BUCKETS; from = section->ends[bucket++])
	{
		uint32_t	size = section->ends[bucket] - from;
		uint32_t	n = size > 0 ? match_pack_count(section->data + from, size) : 0;
		MatchSeen  *entries = malloc((n + 1) * sizeof *entries);

		if (n > 0)
			match_unpack(section->data + from, size, entries);
		for (uint32_t i = 0; i < n; i++)
		{
			int32_t		until = MATCH_SEEN_UNTIL(entries[i]);

			other->id = match_unmix((int) bucket, MATCH_SEEN_REST(entries[i]));
			fuzz_check(match_section_has(section, other->id, query->today) == (until == 0 || until - 1 > query->today));
		}
		free(entries);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MatchQuery	given;
	MatchQuery	again;
	MatchQuery *query;
	MatchQuery *back;
	MatchKey	other;
	uint32_t	n = 2;
	uint32_t	m;
	uint32_t	n_back;
	uint32_t	m_back;
	int64_t    *given_ids;
	int64_t    *ids;
	char	   *text;
	size_t		length;
	MatchSection *section = malloc(MATCH_SECTION_ROOM(size));
	MatchSection *section_back;

	fuzz_plant(data, size);
	for (size_t i = 0; i < size; i++)
		n += data[i] == ',';
	given_ids = malloc(n * sizeof *given_ids);
	if (match_query_parse((const char *) data, size, &given, given_ids, &n, &m, section) != NULL)
	{
		free(section);
		free(given_ids);
		return 0;
	}
	fuzz_check(match_query_check(&given) == NULL && match_key_check(&given.viewer) == NULL);
	query = finished(&given, given_ids, n, m, section);
	fuzz_check(query->seen_count == n && query->liked_count == m);

	text = malloc(MATCH_QUERY_TEXT_MAX + 22 * ((size_t) n + m) + 2 * (size_t) query->packed_size);
	ids = malloc((n + m + 1) * sizeof *ids);
	length = match_query_format(query, ids, text);
	fuzz_check(length < MATCH_QUERY_TEXT_MAX + 22 * ((size_t) n + m) + 2 * (size_t) query->packed_size && strlen(text) == length);
	section_back = malloc(MATCH_SECTION_ROOM(length));
	fuzz_check(match_query_parse(text, length, &again, ids, &n_back, &m_back, section_back) == NULL && n_back == n && m_back == m);
	back = finished(&again, ids, n, m, section_back);
	fuzz_damage(&back->half_life);
	fuzz_check(match_size(query) == match_size(back) && memcmp(query, back, match_size(query)) == 0);

	score(&query->viewer, query);
	other = query->viewer;
	other.id = n > 0 ? given_ids[0] : other.id ^ 1;
	if (query->packed_size > 0)
		check_packed(query, &other);
	for (int i = 0; i < 3; i++)
		other.at[i] = -other.at[i];
	other.born = (uint16_t) ~other.born;
	other.active = (uint16_t) ~other.active;
	other.joined = (uint16_t) ~other.joined;
	for (int i = 0; i < MATCH_TAG_BYTES; i++)
		other.tags[i] = (uint8_t) ~other.tags[i];
	for (int i = 0; i < MATCH_LANES; i++)
		other.traits[i] = (uint8_t) ~other.traits[i];
	for (int i = 0; i < MATCH_NUMBERS; i++)
		other.numbers[i] = (int16_t) ~other.numbers[i];
	score(&other, query);

	free(back);
	free(section_back);
	free(section);
	free(ids);
	free(text);
	free(query);
	free(given_ids);
	return 0;
}
