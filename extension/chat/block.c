/* Blocks of messages: see block.h. */
#include "chat/block.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

/* What a message has. */
enum
{
	HAS_BODY = 1 << 0,
	HAS_ATTRS = 1 << 1,
	HAS_FLAGS = 1 << 2,
	HAS_GAP = 1 << 3,
	HAS_UUID = 1 << 4,
	HAS_NUMBER = 1 << 5,		/* a client_id that is a number */
	HAS_NAME = 1 << 6,			/* a client_id that is neither */
	KINDS = 1 << 7
};

#define VARINT_MAX 10
#define UUID_BYTES 16
#define DIGITS_MAX 18
#define LEVEL 13

/*
 * Writing.
 */

static uint8_t *
put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t) value | 0x80;
	*at++ = (uint8_t) value;
	return at;
}

static uint8_t *
put_signed(uint8_t *at, int64_t value)
{
	return put(at, (uint64_t) value << 1 ^ (uint64_t) (value >> 63));
}

static uint8_t *
put_fixed(uint8_t *at, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		*at++ = (uint8_t) (value >> 8 * i);
	return at;
}

static bool
is_dash(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

static int
hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether a name is a UUID in lower case; then its bytes. */
static bool
uuid_bytes(const char *name, uint8_t *bytes)
{
	int			n = 0;

	if (strlen(name) != CHAT_UUID_SIZE)
		return false;
	for (int i = 0; i < CHAT_UUID_SIZE; i++)
	{
		int			value = hex_value(name[i]);

		if (is_dash(i) ? name[i] != '-' : value < 0)
			return false;
		if (is_dash(i))
			continue;
		bytes[n / 2] = (uint8_t) (n % 2 == 0 ? value << 4 : bytes[n / 2] | value);
		n++;
	}
	return true;
}

static void
uuid_text(const uint8_t *bytes, char *name)
{
	int			n = 0;

	for (int i = 0; i < CHAT_UUID_SIZE; i++)
	{
		if (is_dash(i))
			name[i] = '-';
		else
		{
			name[i] = "0123456789abcdef"[n % 2 == 0 ? bytes[n / 2] >> 4 : bytes[n / 2] & 15];
			n++;
		}
	}
	name[CHAT_UUID_SIZE] = '\0';
}

/* Whether a name is a number as we would write it; then which. */
static bool
number_value(const char *name, uint64_t *value)
{
	size_t		size = strlen(name);

	if (size < 1 || size > DIGITS_MAX || (name[0] == '0' && size > 1))
		return false;
	*value = 0;
	for (size_t i = 0; i < size; i++)
	{
		if (name[i] < '0' || name[i] > '9')
			return false;
		*value = *value * 10 + (uint64_t) (name[i] - '0');
	}
	return true;
}

static int
kind_of_name(const char *name)
{
	uint8_t		bytes[UUID_BYTES];
	uint64_t	value;

	return name == NULL ? 0 : uuid_bytes(name, bytes) ? HAS_UUID : number_value(name, &value) ? HAS_NUMBER : HAS_NAME;
}

static int
kind_of(const ChatMessage *message, int64_t before)
{
	return kind_of_name(message->client_id) |
		(message->body != NULL ? HAS_BODY : 0) |
		(message->attrs != NULL ? HAS_ATTRS : 0) |
		(message->flags != 0 ? HAS_FLAGS : 0) |
		(message->seq != before + 1 ? HAS_GAP : 0);
}

/* How many bits tell n senders apart: 0, 1, 2, 4 or 8, so none is in two bytes. */
static int
sender_bits(int n)
{
	int			bits = n > 1 ? 1 : 0;

	while (n > 1 << bits)
		bits *= 2;
	return bits;
}

static char *
put_text(char *at, const char *text)
{
	size_t		size = strlen(text) + 1;

	memcpy(at, text, size);
	return at + size;
}

size_t
chat_block_text_size(const ChatMessage *messages, int n)
{
	size_t		size = 0;

	for (int i = 0; i < n; i++)
	{
		const char *texts[] = {messages[i].client_id, messages[i].body, messages[i].attrs};

		for (int j = 0; j < 3; j++)
			size += texts[j] != NULL ? strlen(texts[j]) + 1 : 0;
	}
	return size;
}

size_t
chat_block_room(int n, size_t text_size)
{
	return 3 * VARINT_MAX + (size_t) n * (2 + 8 + 1 + 3 * VARINT_MAX + UUID_BYTES) + ZSTD_compressBound(text_size);
}

size_t
chat_block_pack(const ChatMessage *messages, int n, int64_t first, char *text, uint8_t *out)
{
	uint8_t    *at = put(out, (uint64_t) n);
	char	   *end = text;
	uint8_t		kinds[CHAT_BLOCK_MESSAGES];
	uint8_t		which[CHAT_BLOCK_MESSAGES];
	int64_t		senders[CHAT_BLOCK_MESSAGES];
	int			n_senders = 0;
	int			bits;

	for (int i = 0; i < n; i++)
	{
		int			j = 0;

		kinds[i] = (uint8_t) kind_of(&messages[i], i > 0 ? messages[i - 1].seq : first - 1);
		while (j < n_senders && senders[j] != messages[i].sender)
			j++;
		if (j == n_senders)
			senders[n_senders++] = messages[i].sender;
		which[i] = (uint8_t) j;
	}
	for (int i = 0, run; i < n; i += run)
	{
		for (run = 1; i + run < n && kinds[i + run] == kinds[i];)
			run++;
		at = put(at, (uint64_t) run);
		*at++ = kinds[i];
	}
	at = put(at, (uint64_t) n_senders);
	for (int i = 0; i < n_senders; i++)
		at = put_fixed(at, (uint64_t) senders[i]);
	bits = sender_bits(n_senders);
	memset(at, 0, (size_t) (n * bits + 7) / 8);
	for (int i = 0; i < n * bits; i += bits)
		at[i / 8] |= (uint8_t) (which[i / bits] << i % 8);
	at += (n * bits + 7) / 8;
	/* Without a sign, so that no difference overflows. */
	for (int i = 0; i < n; i++)
		at = put_signed(at, (int64_t) ((uint64_t) messages[i].sent_at - (i > 0 ? (uint64_t) messages[i - 1].sent_at : 0)));
	for (int i = 0; i < n; i++)
	{
		if (kinds[i] & HAS_GAP)
			at = put(at, (uint64_t) (messages[i].seq - (i > 0 ? messages[i - 1].seq : first - 1)) - 1);
	}
	for (int i = 0; i < n; i++)
	{
		if (kinds[i] & HAS_FLAGS)
			at = put_signed(at, messages[i].flags);
	}
	for (int i = 0; i < n; i++)
	{
		if (kinds[i] & HAS_UUID)
		{
			uuid_bytes(messages[i].client_id, at);
			at += UUID_BYTES;
		}
		else if (kinds[i] & HAS_NUMBER)
		{
			uint64_t	value;

			number_value(messages[i].client_id, &value);
			at = put(at, value);
		}
		else if (kinds[i] & HAS_NAME)
			end = put_text(end, messages[i].client_id);
		if (kinds[i] & HAS_BODY)
			end = put_text(end, messages[i].body);
		if (kinds[i] & HAS_ATTRS)
			end = put_text(end, messages[i].attrs);
	}
	at = put(at, (uint64_t) (end - text));
	if (end > text)
	{
		static ZSTD_CCtx *context = NULL;
		size_t		size;

		if (context == NULL)
			context = ZSTD_createCCtx();
		size = context == NULL ? 0 :
			ZSTD_compressCCtx(context, at, ZSTD_compressBound((size_t) (end - text)), text, (size_t) (end - text), LEVEL);
		if (size == 0 || ZSTD_isError(size))
			return 0;
		at += size;
	}
	return (size_t) (at - out);
}

/*
 * Reading. Whatever the bytes are, nothing behind them is read.
 */

typedef struct Reader
{
	const uint8_t *at;
	const uint8_t *end;
	bool		wrong;			/* too short, or no number */
} Reader;

static uint64_t
take(Reader *reader)
{
	uint64_t	value = 0;

	for (int shift = 0; shift < 64 && reader->at < reader->end; shift += 7)
	{
		uint8_t		byte = *reader->at++;

		value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return value;
	}
	reader->wrong = true;
	return 0;
}

static int64_t
take_signed(Reader *reader)
{
	uint64_t	value = take(reader);

	return (int64_t) (value >> 1 ^ -(value & 1));
}

/* size bytes; NULL where there are not as many. */
static const uint8_t *
take_bytes(Reader *reader, size_t size)
{
	const uint8_t *bytes = reader->at;

	if ((size_t) (reader->end - reader->at) < size)
	{
		reader->wrong = true;
		return NULL;
	}
	reader->at += size;
	return bytes;
}

static uint64_t
take_fixed(Reader *reader)
{
	const uint8_t *bytes = take_bytes(reader, 8);
	uint64_t	value = 0;

	for (int i = 0; bytes != NULL && i < 8; i++)
		value |= (uint64_t) bytes[i] << 8 * i;
	return value;
}

/* Whether these bytes are a text of that size, compressed. */
static bool
decompress(const uint8_t *data, size_t size, char *text, size_t text_size)
{
	/* Made once: it takes longer than what it does. */
	static ZSTD_DCtx *context = NULL;

	if (text_size == 0)
		return size == 0;
	if (context == NULL)
		context = ZSTD_createDCtx();
	return context != NULL && ZSTD_decompressDCtx(context, text, text_size, data, size) == text_size;
}

/* All but the texts. */
static const char *
read_numbers(Reader *reader, int64_t first, ChatMessage *messages, uint8_t *kinds, int *n, size_t *text_size)
{
	uint64_t	count = take(reader);
	uint64_t	n_senders;
	int64_t		senders[CHAT_BLOCK_MESSAGES];
	const uint8_t *which;
	int			bits;
	uint64_t	value = 0;

	if (count < 1 || count > CHAT_BLOCK_MESSAGES)
		return "the number of messages";
	*n = (int) count;
	for (uint64_t i = 0, run; i < count; i += run)
	{
		const uint8_t *kind;

		run = take(reader);
		kind = take_bytes(reader, 1);
		if (kind == NULL || run < 1 || run > count - i || *kind >= KINDS ||
			(*kind & HAS_UUID) / HAS_UUID + (*kind & HAS_NUMBER) / HAS_NUMBER + (*kind & HAS_NAME) / HAS_NAME > 1)
			return "the kinds of messages";
		memset(kinds + i, *kind, run);
	}
	n_senders = take(reader);
	if (n_senders < 1 || n_senders > count)
		return "the number of senders";
	for (uint64_t i = 0; i < n_senders; i++)
		senders[i] = (int64_t) take_fixed(reader);
	bits = sender_bits((int) n_senders);
	which = take_bytes(reader, (size_t) (*n * bits + 7) / 8);
	if (which == NULL)
		return "the senders";
	for (int i = 0; i < *n; i++)
	{
		unsigned int j = bits == 0 ? 0 : which[i * bits / 8] >> i * bits % 8 & ((1u << bits) - 1);

		if (j >= n_senders)
			return "the senders";
		messages[i].sender = senders[j];
	}
	for (int i = 0; i < *n; i++)
		messages[i].sent_at = (int64_t) (value += (uint64_t) take_signed(reader));
	value = 0;
	for (int i = 0; i < *n; i++, value++)
	{
		uint64_t	gap = kinds[i] & HAS_GAP ? take(reader) : 0;

		/* Numbers are of the range. */
		if (gap >= CHAT_BLOCK_MESSAGES || value + gap >= CHAT_BLOCK_MESSAGES || (kinds[i] & HAS_GAP && gap == 0))
			return "the numbers of messages";
		value += gap;
		messages[i].seq = (int64_t) ((uint64_t) first + value);
	}
	for (int i = 0; i < *n; i++)
	{
		int64_t		flags = kinds[i] & HAS_FLAGS ? take_signed(reader) : 0;

		if (flags < INT32_MIN || flags > INT32_MAX || (kinds[i] & HAS_FLAGS && flags == 0))
			return "the flags";
		messages[i].flags = (int32_t) flags;
	}
	for (int i = 0; i < *n; i++)
	{
		const uint8_t *bytes = kinds[i] & HAS_UUID ? take_bytes(reader, UUID_BYTES) : NULL;

		if (bytes != NULL)
			uuid_text(bytes, messages[i].name);
		if (kinds[i] & HAS_NUMBER)
			snprintf(messages[i].name, sizeof messages[i].name, "%" PRIu64, take(reader));
	}
	value = take(reader);
	if (reader->wrong)
		return "its end";
	if (value > CHAT_BLOCK_TEXT_MAX)
		return "the size of the texts";
	*text_size = (size_t) value;
	return NULL;
}

/* The next text; NULL where there is none. */
static const char *
next_text(const char **at, const char *end)
{
	const char *text = *at;
	const char *stop = memchr(text, '\0', (size_t) (end - text));

	if (stop == NULL)
		return NULL;
	*at = stop + 1;
	return text;
}

const char *
chat_block_open(const uint8_t *data, size_t size, size_t *text_size)
{
	ChatMessage messages[CHAT_BLOCK_MESSAGES];
	uint8_t		kinds[CHAT_BLOCK_MESSAGES];
	int			n;

	return read_numbers(&(Reader) {data, data + size, false}, 1, messages, kinds, &n, text_size);
}

const char *
chat_block_unpack(const uint8_t *data, size_t size, int64_t first, char *text, ChatMessage *messages, int *n)
{
	Reader		reader = {data, data + size, false};
	uint8_t		kinds[CHAT_BLOCK_MESSAGES];
	size_t		text_size;
	const char *wrong = read_numbers(&reader, first, messages, kinds, n, &text_size);
	const char *at = text;
	const char *end;

	if (wrong != NULL)
		return wrong;
	end = text + text_size;
	if (!decompress(reader.at, (size_t) (reader.end - reader.at), text, text_size))
		return "the compressed texts";
	for (int i = 0; i < *n; i++)
	{
		ChatMessage *message = &messages[i];
		const char **texts[] = {&message->client_id, &message->body, &message->attrs};
		static const int has[] = {HAS_NAME, HAS_BODY, HAS_ATTRS};

		for (int j = 0; j < 3; j++)
		{
			*texts[j] = NULL;
			if (kinds[i] & has[j] && (*texts[j] = next_text(&at, end)) == NULL)
				return "the texts";
		}
		if (kinds[i] & (HAS_UUID | HAS_NUMBER))
			message->client_id = message->name;
	}
	return at == end ? NULL : "the texts";
}
