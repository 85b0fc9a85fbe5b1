/* Text: growing buffers, a request's arena, UTF-8, percent-encoding. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define ARENA_BLOCK 2048

typedef struct ArenaBlock
{
	struct ArenaBlock *next;
	size_t		used;
	size_t		size;
	_Alignas(16) char data[];
} ArenaBlock;

/*
 * Allocation never fails for the callers: a front without memory has nothing
 * better to do than to be started again.
 */
static void *
checked(void *memory)
{
	if (memory == NULL)
	{
		static const char message[] = "{\"level\":\"error\",\"event\":\"out of memory\"}\n";

		fputs(message, stderr);
		abort();
	}
	return memory;
}

void *
checked_malloc(size_t size)
{
	return checked(malloc(size));
}

void *
checked_calloc(size_t count, size_t size)
{
	return checked(calloc(count, size));
}

char *
checked_strdup(const char *text)
{
	return checked(strdup(text));
}

/* Makes room for that many more bytes and the final NUL. */
static void
buffer_room(Buffer *buffer, size_t more)
{
	size_t		needed = buffer->length + more + 1;
	size_t		capacity = buffer->capacity != 0 ? buffer->capacity : 256;

	if (needed <= buffer->capacity)
		return;
	while (capacity < needed)
		capacity *= 2;
	buffer->data = checked(realloc(buffer->data, capacity));
	buffer->capacity = capacity;
}

void
buffer_bytes(Buffer *buffer, const void *bytes, size_t length)
{
	buffer_room(buffer, length);
	memcpy(buffer->data + buffer->length, bytes, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
buffer_text(Buffer *buffer, const char *text)
{
	buffer_bytes(buffer, text, strlen(text));
}

void
buffer_char(Buffer *buffer, char c)
{
	buffer_bytes(buffer, &c, 1);
}

void
buffer_printf(Buffer *buffer, const char *format,...)
{
	va_list		args;
	int			needed;

	buffer_room(buffer, 128);
	va_start(args, format);
	needed = vsnprintf(buffer->data + buffer->length, buffer->capacity - buffer->length, format, args);
	va_end(args);
	if (needed < 0)
		return;
	if ((size_t) needed >= buffer->capacity - buffer->length)
	{
		buffer_room(buffer, (size_t) needed);
		va_start(args, format);
		vsnprintf(buffer->data + buffer->length, buffer->capacity - buffer->length, format, args);
		va_end(args);
	}
	buffer->length += (size_t) needed;
}

/* Appends the text as a JSON string with its quotes; it must be UTF-8. */
void
buffer_json(Buffer *buffer, const char *text)
{
	const char *start = text;

	buffer_char(buffer, '"');
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		buffer_bytes(buffer, start, (size_t) (text - start));
		if (c == '"' || c == '\\')
			buffer_printf(buffer, "\\%c", c);
		else
			buffer_printf(buffer, "\\u%04x", c);
		start = text + 1;
	}
	buffer_bytes(buffer, start, (size_t) (text - start));
	buffer_char(buffer, '"');
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof *buffer);
}

void *
arena_alloc(Arena *arena, size_t size)
{
	ArenaBlock *block = arena->blocks;
	void	   *memory;

	size = (size + 15) & ~(size_t) 15;
	if (block == NULL || block->size - block->used < size)
	{
		size_t		room = size > ARENA_BLOCK ? size : ARENA_BLOCK;

		block = checked_malloc(sizeof *block + room);
		block->used = 0;
		block->size = room;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	memory = block->data + block->used;
	block->used += size;
	return memory;
}

char *
arena_copy(Arena *arena, const char *bytes, size_t length)
{
	char	   *copy = arena_alloc(arena, length + 1);

	memcpy(copy, bytes, length);
	copy[length] = '\0';
	return copy;
}

char *
arena_printf(Arena *arena, const char *format,...)
{
	va_list		args;
	int			needed;
	char	   *text;

	va_start(args, format);
	needed = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (needed < 0)
		return arena_copy(arena, "", 0);
	text = arena_alloc(arena, (size_t) needed + 1);
	va_start(args, format);
	vsnprintf(text, (size_t) needed + 1, format, args);
	va_end(args);
	return text;
}

void
arena_free(Arena *arena)
{
	while (arena->blocks != NULL)
	{
		ArenaBlock *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
}

/* Whether the bytes are UTF-8: shortest forms, no surrogates, up to U+10FFFF, no NUL. */
bool
utf8_valid(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *) text;
	const unsigned char *end = s + length;

	while (s < end)
	{
		unsigned char c = *s++;
		int			more;
		unsigned char low = 0x80;
		unsigned char high = 0xbf;

		if (c == 0)
			return false;
		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf)
			more = 1;
		else if (c >= 0xe0 && c <= 0xef)
		{
			more = 2;
			if (c == 0xe0)
				low = 0xa0;
			if (c == 0xed)
				high = 0x9f;
		}
		else if (c >= 0xf0 && c <= 0xf4)
		{
			more = 3;
			if (c == 0xf0)
				low = 0x90;
			if (c == 0xf4)
				high = 0x8f;
		}
		else
			return false;
		if (end - s < more || s[0] < low || s[0] > high)
			return false;
		for (int i = 1; i < more; i++)
			if ((s[i] & 0xc0) != 0x80)
				return false;
		s += more;
	}
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decodes one path segment or one part of a query (form: + is a space). NULL
 * for a broken escape, a NUL, or what is not UTF-8.
 */
char *
percent_decode(Arena *arena, const char *text, size_t length, bool form)
{
	char	   *decoded = arena_alloc(arena, length + 1);
	size_t		n = 0;

	for (size_t i = 0; i < length; i++)
	{
		char		c = text[i];

		if (c == '%')
		{
			int			high = length - i > 2 ? hex_digit(text[i + 1]) : -1;
			int			low = length - i > 2 ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return NULL;
			c = (char) (high << 4 | low);
			i += 2;
		}
		else if (c == '+' && form)
			c = ' ';
		decoded[n++] = c;
	}
	decoded[n] = '\0';
	return utf8_valid(decoded, n) ? decoded : NULL;
}

/* FNV-1a; for change detection and entity tags only. */
uint64_t
hash_bytes(uint64_t seed, const void *bytes, size_t length)
{
	const unsigned char *s = bytes;

	for (size_t i = 0; i < length; i++)
		seed = (seed ^ s[i]) * UINT64_C(1099511628211);
	return seed;
}
