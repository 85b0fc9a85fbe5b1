/*
 * Keys and queries as they lie on disk: whatever bytes match_key_check() and
 * match_query_check() let pass have a text that leads back to them, and a cost
 * that every SIMD path agrees on, not below that of bounds around the key.
 */
#include "fuzz.h"

#include "match/bounds.h"
#include "match/score.h"
#include "match/text.h"

#include <math.h>
#include <string.h>

/* The next bytes of the input; 0 when there are no more. */
static void
take(const uint8_t **data, size_t *left, void *out, size_t size)
{
	size_t		some = *left < size ? *left : size;

	memset(out, 0, size);
	memcpy(out, *data, some);
	*data += some;
	*left -= some;
}

/* A key whose size and version are right, as PostgreSQL and the head of the format see to. */
static bool
take_key(const uint8_t **data, size_t *left, MatchKey *key)
{
	uint8_t		dimensions;

	take(data, left, &dimensions, 1);
	take(data, left, &key->head, sizeof *key - offsetof(MatchKey, head));
	match_set_size(key, (uint32_t) MATCH_KEY_FIXED + dimensions % (MATCH_EMBEDDING_MAX + 1));
	/* The parser gives components of at least -127, and 0 where there are none. */
	for (int i = 0; i < MATCH_EMBEDDING_MAX; i++)
	{
		if (i >= match_dimensions(key))
			key->embedding[i] = 0;
		else if (key->embedding[i] == INT8_MIN)
			return false;
	}
	return match_key_check(key) == NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MatchKey	key;
	MatchKey	back;
	MatchQuery	given;
	MatchQuery *query;
	int64_t		ids[4];
	char		text[MATCH_QUERY_TEXT_MAX];
	double		cost = 0;
	bool		accepts = false;
	size_t		total = offsetof(MatchQuery, seen) + 2 * match_seen_slots(4) * sizeof(int64_t);
	uint32_t	n;

	fuzz_plant(data, size);
	if (!take_key(&data, &size, &key))
		return 0;
	fuzz_check(match_key_format(&key, text) < MATCH_KEY_TEXT_MAX);
	fuzz_check(match_key_parse(text, strlen(text), &back) == NULL);
	fuzz_damage(&back.quality);
	fuzz_check(match_size(&key) == match_size(&back) && memcmp(&key, &back, match_size(&key)) == 0);

	memset(&given, 0, sizeof given);
	if (!take_key(&data, &size, &given.viewer))
		return 0;
	take(&data, &size, ids, sizeof ids);
	take(&data, &size, &given.version, offsetof(MatchQuery, born_min) - offsetof(MatchQuery, version));
	if (match_query_check(&given) != NULL)
		return 0;
	for (int i = 0; i < 4; i++)
	{
		if (ids[i] == MATCH_SEEN_FREE)
			ids[i] = 0;
	}
	n = match_sort_ids(ids, 4);
	query = calloc(1, total);
	memcpy(query, &given, offsetof(MatchQuery, seen));
	match_set_size(query, (uint32_t) (offsetof(MatchQuery, seen) + 2 * match_seen_slots(n) * sizeof(int64_t)));
	match_query_finish(query, ids, n, ids, n);
	for (MatchSimd path = MATCH_SIMD_SCALAR; path <= MATCH_SIMD_AVX2; path++)
	{
		if (!match_simd_available(path))
			continue;
		match_simd_use(path);
		if (path > MATCH_SIMD_SCALAR)
		{
			fuzz_check(match_leaf_cost(&key, query) == cost);
			fuzz_check(match_leaf_accepts(&key, query) == accepts);
		}
		cost = match_leaf_cost(&key, query);
		accepts = match_leaf_accepts(&key, query);
	}
	fuzz_check(isfinite(cost));
	{
		MatchBounds bounds;

		match_bounds_of(&key, &bounds);
		fuzz_check(!accepts || match_bounds_accept(&bounds, query));
		fuzz_check(!accepts || match_bounds_cost(&bounds, query) <= cost);
	}
	free(query);
	return 0;
}
