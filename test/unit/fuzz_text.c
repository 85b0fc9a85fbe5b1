/*
 * The text of rapportd: percent-encoding, UTF-8 and JSON strings, against
 * slower ways to the same answers.
 */
#include "fuzz.h"

#include "text.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

/* UTF-8 by value: each character written anew must give the same bytes. */
static bool
utf8_by_value(const uint8_t *s, size_t size)
{
	for (size_t i = 0; i < size;)
	{
		uint32_t	c = s[i];
		size_t		length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		uint32_t	least[] = {0, 1, 0x80, 0x800, 0x10000};

		if (c >= 0xf8 || (c & 0xc0) == 0x80 || size - i < length)
			return false;
		if (length > 1)
			c &= 0x7f >> length;
		for (size_t k = 1; k < length; k++)
		{
			if ((s[i + k] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i + k] & 0x3f);
		}
		if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
		i += length;
	}
	return true;
}

/* Every byte as an escape. */
static char *
escaped(Arena *arena, const char *text)
{
	size_t		length = strlen(text);
	char	   *out = arena_alloc(arena, 3 * length + 1);

	for (size_t i = 0; i < length; i++)
		sprintf(out + 3 * i, i % 2 ? "%%%02x" : "%%%02X", (unsigned char) text[i]);
	out[3 * length] = '\0';
	return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Arena		arena = {0};
	Buffer		json = {0};
	char	   *decoded;

	fuzz_plant(data, size);
	fuzz_check(utf8_valid((const char *) data, size) == utf8_by_value(data, size));
	for (int form = 0; form <= 1; form++)
	{
		char	   *again;
		json_t	   *value;

		decoded = percent_decode(&arena, (const char *) data, size, form);
		if (decoded == NULL)
			continue;
		fuzz_check(strlen(decoded) <= size && utf8_by_value((uint8_t *) decoded, strlen(decoded)));
		again = escaped(&arena, decoded);
		again = percent_decode(&arena, again, strlen(again), form);
		fuzz_check(again != NULL);
		fuzz_damage(again);
		fuzz_check(strcmp(again, decoded) == 0);

		buffer_json(&json, decoded);
		fuzz_check(strlen(json.data) == json.length && json.capacity > json.length);
		value = json_loadb(json.data, json.length, JSON_DECODE_ANY, NULL);
		fuzz_check(value != NULL && strcmp(json_string_value(value), decoded) == 0);
		json_decref(value);
		buffer_free(&json);
	}
	arena_free(&arena);
	return 0;
}
