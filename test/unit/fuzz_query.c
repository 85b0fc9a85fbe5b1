/*
 * The text of a match_query: what the parser takes is valid, comes back from
 * its text, and gives a cost for any key: here that of the viewer himself and
 * that of a key as unlike it as can be.
 */
#include "fuzz.h"

#include "match/score.h"
#include "match/text.h"

#include <math.h>
#include <string.h>

/* A whole query from its first part, as the input function makes it. */
static MatchQuery *
finished(const MatchQuery *given, int64_t *seen, uint32_t n)
{
	size_t		total = offsetof(MatchQuery, seen) + match_seen_slots(n) * sizeof(int64_t);
	MatchQuery *query = calloc(1, total);

	memcpy(query, given, offsetof(MatchQuery, seen));
	match_set_size(query, (uint32_t) total);
	match_query_finish(query, seen, n);
	return query;
}

static void
score(const MatchKey *key, const MatchQuery *query)
{
	MatchReport report;
	double		cost = match_leaf_cost(key, query);

	match_report(key, query, &report);
	fuzz_check(isfinite(cost) && cost > -1e-6 && cost < 1 + 1e-6);
	fuzz_check(report.cost == cost);
	fuzz_check(report.accepts == match_leaf_accepts(key, query));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MatchQuery	given;
	MatchQuery	again;
	MatchQuery *query;
	MatchQuery *back;
	MatchKey	other;
	uint32_t	n = 1;
	uint32_t	n_back;
	int64_t    *seen;
	int64_t    *ids;
	char	   *text;
	size_t		length;

	fuzz_plant(data, size);
	for (size_t i = 0; i < size; i++)
		n += data[i] == ',';
	seen = malloc(n * sizeof *seen);
	if (match_query_parse((const char *) data, size, &given, seen, &n) != NULL)
	{
		free(seen);
		return 0;
	}
	fuzz_check(match_query_check(&given) == NULL && match_key_check(&given.viewer) == NULL);
	query = finished(&given, seen, n);
	fuzz_check(query->seen_count == n);

	text = malloc(MATCH_QUERY_TEXT_MAX + 22 * (size_t) n);
	ids = malloc((n + 1) * sizeof *ids);
	length = match_query_format(query, ids, text);
	fuzz_check(length < MATCH_QUERY_TEXT_MAX + 22 * (size_t) n && strlen(text) == length);
	fuzz_check(match_query_parse(text, length, &again, ids, &n_back) == NULL && n_back == n);
	back = finished(&again, ids, n_back);
	fuzz_damage(&back->half_life);
	fuzz_check(match_size(query) == match_size(back) && memcmp(query, back, match_size(query)) == 0);

	score(&query->viewer, query);
	other = query->viewer;
	other.id = n > 0 ? seen[0] : other.id ^ 1;
	for (int i = 0; i < 3; i++)
		other.at[i] = -other.at[i];
	other.born = (uint16_t) ~other.born;
	other.active = (uint16_t) ~other.active;
	other.tags = ~other.tags;
	for (int i = 0; i < MATCH_LANES; i++)
		other.traits[i] = (uint8_t) ~other.traits[i];
	for (int i = 0; i < MATCH_NUMBERS; i++)
		other.numbers[i] = (int16_t) ~other.numbers[i];
	score(&other, query);

	free(back);
	free(ids);
	free(text);
	free(query);
	free(seen);
	return 0;
}
