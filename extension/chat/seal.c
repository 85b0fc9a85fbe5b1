/*
 * Reading messages wherever they are kept, and packing them: what is sealed lies
 * in rapport.message_block, see block.h, behind a version and a checksum, cut
 * into parts of which four fill a page.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "chat/block.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(chat_message_range);
PG_FUNCTION_INFO_V1(chat_block_messages);
PG_FUNCTION_INFO_V1(chat_block_of);

#define VERSION 1
#define CHECKSUM_SIZE 4
#define HEAD_SIZE (1 + CHECKSUM_SIZE)

/* Columns of rapport.message and of rapport.message_block. */
enum
{
	MESSAGE_CONVERSATION_ID = 1,
	MESSAGE_SEQ,
	MESSAGE_SENDER_ID,
	MESSAGE_SENT_AT,
	MESSAGE_FLAGS,
	MESSAGE_CLIENT_ID,
	MESSAGE_BODY,
	MESSAGE_ATTRS,

	BLOCK_FIRST_SEQ = 2,
	BLOCK_DATA = 4
};

/* Where the result of a function goes, and the range of it. */
typedef struct Found
{
	ReturnSetInfo *info;
	int64		conversation;
	int64		first;
	int64		last;
} Found;

pg_noreturn static void
fail_damaged(int64 conversation, int64 first, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("sealed messages of a conversation are damaged"),
			 errdetail("Block " INT64_FORMAT " of conversation " INT64_FORMAT " in rapport.message_block: wrong %s.",
					   first, conversation, what),
			 errhint("Check the storage, and bring the rows of that block back from a backup.")));
}

/* Over all but itself, and over the key, so that a block in a wrong place is told. */
static uint32
checksum(int64 conversation, int64 first, const uint8 *data, size_t size)
{
	uint8		key[17];
	pg_crc32c	sum;

	for (int i = 0; i < 8; i++)
	{
		key[i] = (uint8) ((uint64) conversation >> 8 * i);
		key[8 + i] = (uint8) ((uint64) first >> 8 * i);
	}
	key[16] = data[0];
	INIT_CRC32C(sum);
	COMP_CRC32C(sum, key, sizeof key);
	COMP_CRC32C(sum, data + HEAD_SIZE, size - HEAD_SIZE);
	FIN_CRC32C(sum);
	return sum;
}

static Datum
text_datum(const char *text)
{
	pg_verifymbstr(text, strlen(text), false);
	return CStringGetTextDatum(text);
}

static void
put_message(Found *result, const ChatMessage *message)
{
	int			columns = result->info->setDesc->natts;
	Datum	   *values = palloc0(columns * sizeof(Datum));
	bool	   *nulls = palloc(columns * sizeof(bool));

	memset(nulls, true, columns * sizeof(bool));
	memset(nulls, false, MESSAGE_FLAGS * sizeof(bool));
	values[MESSAGE_CONVERSATION_ID - 1] = Int64GetDatum(result->conversation);
	values[MESSAGE_SEQ - 1] = Int64GetDatum(message->seq);
	values[MESSAGE_SENDER_ID - 1] = Int64GetDatum(message->sender);
	values[MESSAGE_SENT_AT - 1] = TimestampTzGetDatum(message->sent_at);
	values[MESSAGE_FLAGS - 1] = Int32GetDatum(message->flags);
	nulls[MESSAGE_CLIENT_ID - 1] = message->client_id == NULL;
	if (message->client_id != NULL)
		values[MESSAGE_CLIENT_ID - 1] = text_datum(message->client_id);
	nulls[MESSAGE_BODY - 1] = message->body == NULL;
	if (message->body != NULL)
		values[MESSAGE_BODY - 1] = text_datum(message->body);
	nulls[MESSAGE_ATTRS - 1] = message->attrs == NULL;
	if (message->attrs != NULL)
		values[MESSAGE_ATTRS - 1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(message->attrs));
	tuplestore_putvalues(result->info->setResult, result->info->setDesc, values, nulls);
}

/* Those messages of a block that belong to the result. */
static void
put_block(Found *result, int64 first, const uint8 *data, size_t size)
{
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "messages of a block", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(own);
	uint32		sum = 0;
	ChatMessage messages[CHAT_BLOCK_MESSAGES];
	const char *wrong;
	size_t		text_size;
	int			n;

	if (size <= HEAD_SIZE)
		fail_damaged(result->conversation, first, "size");
	for (int i = 0; i < CHECKSUM_SIZE; i++)
		sum |= (uint32) data[1 + i] << 8 * i;
	if (sum != checksum(result->conversation, first, data, size))
		fail_damaged(result->conversation, first, "checksum");
	if (data[0] != VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sealed messages of version %d cannot be read: this library knows version %d", data[0], VERSION)));
	wrong = chat_block_open(data + HEAD_SIZE, size - HEAD_SIZE, &text_size);
	if (wrong == NULL)
		wrong = chat_block_unpack(data + HEAD_SIZE, size - HEAD_SIZE, first, palloc(text_size + 1), messages, &n);
	if (wrong != NULL)
		fail_damaged(result->conversation, first, wrong);
	for (int i = 0; i < n; i++)
	{
		if (messages[i].seq >= result->first && messages[i].seq <= result->last)
			put_message(result, &messages[i]);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(own);
}

/* The sealed messages from first to last. */
static void
put_sealed(Found *result, Snapshot snapshot, int64 first, int64 last)
{
	Found		part = {result->info, result->conversation, first, last};
	StringInfoData data;
	int64		block = 0;
	CoreScan	scan;
	TupleTableSlot *slot;

	initStringInfo(&data);
	core_scan_begin(&scan, "message_block", snapshot, 2,
					(CoreKey[]) {{F_INT8EQ, Int64GetDatum(result->conversation)},
						{F_INT8GE, Int64GetDatum(chat_block_first(Max(first, 1))), true}});
	for (;;)
	{
		bool		isnull;
		int64		next;
		bytea	   *bytes;

		slot = core_scan_next(&scan);
		next = slot != NULL ? DatumGetInt64(slot_getattr(slot, BLOCK_FIRST_SEQ, &isnull)) : 0;
		if (next != block && data.len > 0)
		{
			put_block(&part, block, (uint8 *) data.data, data.len);
			resetStringInfo(&data);
		}
		if (slot == NULL || next > last)
			break;
		CHECK_FOR_INTERRUPTS();
		block = next;
		bytes = DatumGetByteaPP(slot_getattr(slot, BLOCK_DATA, &isnull));
		appendBinaryStringInfo(&data, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	}
	core_scan_end(&scan);
	pfree(data.data);
}

/*
 * message_range(conversation_id, first_seq, last_seq)
 *
 * Numbers have no gaps, so rows that follow each other are all there is: blocks
 * are looked for only where a number is missing.
 */
Datum
chat_message_range(PG_FUNCTION_ARGS)
{
	Found		result;
	Snapshot	snapshot = GetActiveSnapshot();
	CoreScan	scan;
	TupleTableSlot *slot;
	int64		next;			/* what is to come next */
	bool		complete;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	result.info = (ReturnSetInfo *) fcinfo->resultinfo;
	result.conversation = PG_GETARG_INT64(0);
	result.first = next = Max(PG_GETARG_INT64(1), 1);
	result.last = PG_GETARG_INT64(2);
	complete = next > result.last;

	core_scan_begin(&scan, "message", snapshot, 2,
					(CoreKey[]) {{F_INT8EQ, PG_GETARG_DATUM(0)}, {F_INT8GE, Int64GetDatum(next), true}});
	while (!complete && (slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;
		int64		seq = DatumGetInt64(slot_getattr(slot, MESSAGE_SEQ, &isnull));

		if (seq > result.last)
			break;
		if (seq > next)
			put_sealed(&result, snapshot, next, seq - 1);
		tuplestore_puttupleslot(result.info->setResult, slot);
		complete = seq == result.last;
		next = complete ? seq : seq + 1;
	}
	core_scan_end(&scan);
	if (!complete)
		put_sealed(&result, snapshot, next, result.last);
	return (Datum) 0;
}

/* block_messages(conversation_id, first_seq, data) */
Datum
chat_block_messages(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(2);
	Found		result = {(ReturnSetInfo *) fcinfo->resultinfo, PG_GETARG_INT64(0), PG_INT64_MIN, PG_INT64_MAX};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	put_block(&result, PG_GETARG_INT64(1), (uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	return (Datum) 0;
}

static char *
string_or_null(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

/* block_of(messages): a block of messages of one range, in their order; NULL where their texts are too long for one. */
Datum
chat_block_of(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	TupleDesc	desc = lookup_rowtype_tupdesc(ARR_ELEMTYPE(array), -1);
	ChatMessage *messages = palloc0(CHAT_BLOCK_MESSAGES * sizeof(ChatMessage));
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	ArrayIterator each = array_create_iterator(array, 0, NULL);
	int64		conversation = 0;
	int64		first = 0;
	int64		before = 0;
	size_t		text_size;
	size_t		size;
	bytea	   *block;
	uint8	   *data;
	uint32		sum;
	Datum		row;
	bool		isnull;
	int			n = 0;

	while (array_iterate(each, &row, &isnull))
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(row);
		HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
		ChatMessage *message = &messages[n];

		heap_deform_tuple(&tuple, desc, values, nulls);
		message->seq = DatumGetInt64(values[MESSAGE_SEQ - 1]);
		if (n == 0)
		{
			conversation = DatumGetInt64(values[MESSAGE_CONVERSATION_ID - 1]);
			first = chat_block_first(message->seq);
			before = first - 1;
		}
		if (message->seq <= before || message->seq - first >= CHAT_BLOCK_MESSAGES ||
			DatumGetInt64(values[MESSAGE_CONVERSATION_ID - 1]) != conversation)
			elog(ERROR, "message " INT64_FORMAT " does not follow in the block " INT64_FORMAT, message->seq, first);
		before = message->seq;
		message->sender = DatumGetInt64(values[MESSAGE_SENDER_ID - 1]);
		message->sent_at = DatumGetTimestampTz(values[MESSAGE_SENT_AT - 1]);
		message->flags = DatumGetInt32(values[MESSAGE_FLAGS - 1]);
		message->client_id = string_or_null(values[MESSAGE_CLIENT_ID - 1], nulls[MESSAGE_CLIENT_ID - 1]);
		message->body = string_or_null(values[MESSAGE_BODY - 1], nulls[MESSAGE_BODY - 1]);
		if (!nulls[MESSAGE_ATTRS - 1])
		{
			Jsonb	   *attrs = DatumGetJsonbP(values[MESSAGE_ATTRS - 1]);

			message->attrs = JsonbToCString(NULL, &attrs->root, VARSIZE(attrs));
		}
		n++;
	}
	array_free_iterator(each);
	ReleaseTupleDesc(desc);
	text_size = chat_block_text_size(messages, n);
	if (n == 0 || text_size > CHAT_BLOCK_TEXT_MAX)
		PG_RETURN_NULL();

	block = palloc(VARHDRSZ + HEAD_SIZE + chat_block_room(n, text_size));
	data = (uint8 *) VARDATA(block);
	data[0] = VERSION;
	size = chat_block_pack(messages, n, first, palloc(text_size + 1), data + HEAD_SIZE);
	if (size == 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	size += HEAD_SIZE;
	sum = checksum(conversation, first, data, size);
	for (int i = 0; i < CHECKSUM_SIZE; i++)
		data[1 + i] = (uint8) (sum >> 8 * i);
	SET_VARSIZE(block, VARHDRSZ + size);
	PG_RETURN_BYTEA_P(block);
}
