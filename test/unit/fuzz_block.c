/*
 * Blocks of sealed messages: whatever bytes are taken for one, its messages are in
 * order and of its range, and packed again they are the same messages.
 */
#include "fuzz.h"

#include "chat/block.h"

#include <string.h>

#define FIRST 257

/* A block's messages; NULL where it is none. *text is to be freed. */
static ChatMessage *
unpack(const uint8_t *data, size_t size, char **text, int *n)
{
	ChatMessage *messages = malloc(CHAT_BLOCK_MESSAGES * sizeof *messages);
	size_t		text_size;

	*text = NULL;
	if (chat_block_open(data, size, &text_size) == NULL)
	{
		fuzz_check(text_size <= CHAT_BLOCK_TEXT_MAX);
		*text = malloc(text_size > 0 ? text_size : 1);
		if (chat_block_unpack(data, size, FIRST, *text, messages, n) == NULL)
			return messages;
	}
	free(*text);
	free(messages);
	return NULL;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	char	   *again;
	int			n;
	int			m;
	ChatMessage *messages;
	ChatMessage *back;
	uint8_t    *packed;
	char	   *room;
	size_t		text_size;
	size_t		packed_size;

	fuzz_plant(data, size);
	messages = unpack(data, size, &text, &n);
	if (messages == NULL)
		return 0;
	fuzz_check(n >= 1 && n <= CHAT_BLOCK_MESSAGES);
	for (int i = 0; i < n; i++)
	{
		fuzz_check(messages[i].seq > (i > 0 ? messages[i - 1].seq : FIRST - 1));
		fuzz_check(chat_block_first(messages[i].seq) == FIRST);
	}
	text_size = chat_block_text_size(messages, n);
	room = malloc(text_size > 0 ? text_size : 1);
	packed = malloc(chat_block_room(n, text_size));
	packed_size = chat_block_pack(messages, n, FIRST, room, packed);
	fuzz_check(packed_size > 0 && packed_size <= chat_block_room(n, text_size));
	back = unpack(packed, packed_size, &again, &m);
	fuzz_check(back != NULL && m == n);
	fuzz_damage(&back[0].sent_at);
	for (int i = 0; i < n; i++)
	{
		ChatMessage *a = &messages[i];
		ChatMessage *b = &back[i];

		fuzz_check(a->seq == b->seq && a->sender == b->sender && a->sent_at == b->sent_at && a->flags == b->flags);
		fuzz_check(same_text(a->client_id, b->client_id) && same_text(a->body, b->body) && same_text(a->attrs, b->attrs));
	}
	free(back);
	free(again);
	free(packed);
	free(room);
	free(messages);
	free(text);
	return 0;
}
