/* Text: growing buffers, a request's arena, UTF-8, percent-encoding. */
#ifndef RAPPORTD_TEXT_H
#define RAPPORTD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Always ends in a NUL that length does not count, once written to. */
typedef struct Buffer
{
	char	   *data;
	size_t		length;
	size_t		capacity;
} Buffer;

/* Memory that is freed together. Zeroed is empty. */
typedef struct Arena
{
	struct ArenaBlock *blocks;
} Arena;

extern void *checked_malloc(size_t size);
extern void *checked_calloc(size_t count, size_t size);
extern char *checked_strdup(const char *text);

extern void buffer_bytes(Buffer *buffer, const void *bytes, size_t length);
extern void buffer_text(Buffer *buffer, const char *text);
extern void buffer_char(Buffer *buffer, char c);
extern void buffer_printf(Buffer *buffer, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void buffer_json(Buffer *buffer, const char *text);
extern void buffer_free(Buffer *buffer);

extern void *arena_alloc(Arena *arena, size_t size);
extern char *arena_copy(Arena *arena, const char *bytes, size_t length);
extern char *arena_printf(Arena *arena, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void arena_free(Arena *arena);

extern bool utf8_valid(const char *text, size_t length);
extern char *percent_decode(Arena *arena, const char *text, size_t length, bool form);
extern uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t length);
#define HASH_SEED UINT64_C(14695981039346656037)

#endif
