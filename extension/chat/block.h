/*
 * Blocks: up to 128 messages of a conversation in some 45 bytes each. Free of
 * PostgreSQL headers.
 *
 * A block is
 *
 *	messages	1 to 128
 *	kinds		runs of messages of one kind: how many, the kind
 *	senders		how many there are, the id of each in 8 bytes, and for each
 *				message which it is, in as few bits as tell them apart
 *	times		for each message: since the one before, the first since 2000
 *	gaps		of those that do not follow the one before: numbers in between
 *	flags		of those that have any
 *	names		the client_id of those that are UUIDs, in 16 bytes, or numbers
 *	text size	and the texts, each with a NUL behind it, in a frame of zstd: for
 *				each message its client_id, if that is neither, its body, its attrs
 *
 * with numbers of variable size, seven bits a byte, the low ones first; where
 * they may be negative, the sign is the lowest bit.
 */
#ifndef CHAT_BLOCK_H
#define CHAT_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAT_BLOCK_MESSAGES 128
#define CHAT_BLOCK_TEXT_MAX (4 << 20)
#define CHAT_UUID_SIZE 36

/* A message; what it does not have is NULL. Texts end with a NUL. */
typedef struct ChatMessage
{
	int64_t		seq;
	int64_t		sender;
	int64_t		sent_at;
	int32_t		flags;
	const char *client_id;
	const char *body;
	const char *attrs;
	char		name[CHAT_UUID_SIZE + 1];	/* for client_id, when read from a block */
} ChatMessage;

/* The range of numbers that a block is for: 1 to 128, 129 to 256 and so on. */
static inline int64_t
chat_block_first(int64_t seq)
{
	return seq - (seq - 1) % CHAT_BLOCK_MESSAGES;
}

/* The bytes that the texts of messages take. */
extern size_t chat_block_text_size(const ChatMessage *messages, int n);

/*
 * Packs n messages, in the order of their numbers, all of the range that begins at
 * first, with texts of at most CHAT_BLOCK_TEXT_MAX bytes. out has room for
 * chat_block_room(n, text size) bytes; text is memory for the texts. The size; 0
 * where memory ran out.
 */
extern size_t chat_block_room(int n, size_t text_size);
extern size_t chat_block_pack(const ChatMessage *messages, int n, int64_t first, char *text, uint8_t *out);

/*
 * Reads a block in two steps: open() says how long its texts are, unpack() reads
 * them into text, and the messages, at most CHAT_BLOCK_MESSAGES. Both return what is
 * wrong with the bytes, a static text, or NULL.
 */
extern const char *chat_block_open(const uint8_t *data, size_t size, size_t *text_size);
extern const char *chat_block_unpack(const uint8_t *data, size_t size, int64_t first,
									 char *text, ChatMessage *messages, int *n);

#endif
