/*
 * The text of a match_key: what the parser takes is valid, has one text, comes
 * back from it, and can be scored.
 */
#include "fuzz.h"

#include "match/score.h"
#include "match/text.h"

#include <string.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	MatchKey	key;
	MatchKey	back;
	char		text[MATCH_KEY_TEXT_MAX];
	size_t		length;

	fuzz_plant(data, size);
	if (match_key_parse((const char *) data, size, &key) != NULL)
		return 0;
	fuzz_check(match_key_check(&key) == NULL);
	fuzz_check(match_is_leaf(&key));
	fuzz_check(match_size(&key) >= MATCH_KEY_FIXED && match_size(&key) <= sizeof(MatchKey));
	length = match_key_format(&key, text);
	fuzz_check(length < sizeof text && strlen(text) == length);
	fuzz_check(match_key_parse(text, length, &back) == NULL);
	fuzz_damage(&back.quality);
	fuzz_check(match_size(&key) == match_size(&back) && memcmp(&key, &back, match_size(&key)) == 0);
	fuzz_check(match_distance_km(&key, &back) < 1);
	return 0;
}
