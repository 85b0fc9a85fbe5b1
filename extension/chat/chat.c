/*
 * Sending a message: the hot write of chat, in C, row by row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(chat_send_message);

#define BODY_MAX_SIZE 8192
#define CLIENT_ID_MAX_SIZE 64

typedef struct Message
{
	Datum		conversation;
	Datum		sender;
	Datum		seq;
	Datum		sent_at;
	Datum		client_id;
	Datum		body;
	Datum		hash;			/* of the body */
} Message;

/* Columns of the tables that are read and written here by row. */
enum
{
	CONVERSATION_LAST_SEQ = 3,
	CONVERSATION_CLOSED_AT = 5,
	CONVERSATION_COLUMNS = 5,

	PARTICIPANT_PERSON_ID = 2,
	PARTICIPANT_LEFT_SEQ = 4,

	MESSAGE_COLUMNS = 8,

	DEDUPE_SEQ = 4,
	DEDUPE_BODY_HASH = 5,
	DEDUPE_AT = 6,
	DEDUPE_COLUMNS = 6,

	MEMBER_PERSON_ID = 1,
	MEMBER_READ_SEQ = 4,
	MEMBER_LAST_SEQ = 5,
	MEMBER_LAST_AT = 6,
	MEMBER_COLUMNS = 7
};

/* The tables that a send writes. */
typedef enum
{
	CONVERSATION,
	DEDUPE,
	MESSAGE,
	MEMBER,
	N_TABLES
} Table;

static const struct
{
	const char *name;
	int			columns;
}			tables[N_TABLES] = {
	[CONVERSATION] = {"conversation", CONVERSATION_COLUMNS},
	[DEDUPE] = {"message_dedupe", DEDUPE_COLUMNS},
	[MESSAGE] = {"message", MESSAGE_COLUMNS},
	[MEMBER] = {"member", MEMBER_COLUMNS}
};

/* What does the same where one of the tables is not plain; the last is for duplicates. */
typedef enum
{
	ADVANCE,
	STORE,
	GIVE_BACK,
	N_STATEMENTS
} Statement;

static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[8];
}			statements[N_STATEMENTS] = {
	/* A block or unmatch that held the row is seen: the condition is checked again. */
	[ADVANCE] = {
		"UPDATE rapport.conversation"
		" SET last_seq = last_seq + 1"
		" WHERE conversation_id = $1 AND closed_at IS NULL"
		" RETURNING last_seq",
		1, {INT8OID}
	},
	[STORE] = {
		"WITH named AS ("
		"  INSERT INTO rapport.message_dedupe (conversation_id, sender_id, seq, at, client_id, body_hash)"
		"  VALUES ($1, $2, $3, $4, $5, $7)),"
		" told AS ("
		"  UPDATE rapport.member"
		"  SET last_seq = $3, last_at = greatest(last_at, $4),"
		"  read_seq = CASE person_id WHEN $2 THEN $3 ELSE read_seq END"
		"  WHERE person_id = ANY ($8) AND conversation_id = $1)"
		" INSERT INTO rapport.message (conversation_id, sender_id, seq, sent_at, client_id, body)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		8, {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8ARRAYOID}
	},
	[GIVE_BACK] = {
		"UPDATE rapport.conversation SET last_seq = last_seq - 1 WHERE conversation_id = $1",
		1, {INT8OID}
	},
};

/* Runs a statement through its kept plan; whether it did something. *result is set to what it returns. */
static bool
run(Statement statement, Datum *values, Datum *result)
{
	static SPIPlanPtr plans[N_STATEMENTS];
	bool		done;

	SPI_connect();
	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs,
				   statements[statement].types);
	if (SPI_execute_plan(plans[statement], values, NULL, false, 0) < 0)
		elog(ERROR, "statement %d of a send failed", (int) statement);
	done = SPI_processed > 0;
	if (done && result != NULL)
	{
		bool		isnull;

		*result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	}
	SPI_finish();
	return done;
}

/* Opens the tables to write by row; false where it takes statements. */
static bool
open_plain(Relation *opened)
{
	for (Table table = 0; table < N_TABLES; table++)
	{
		opened[table] = core_open_plain(tables[table].name, tables[table].columns);
		if (opened[table] == NULL)
		{
			while (table-- > 0)
				table_close(opened[table], NoLock);
			return false;
		}
	}
	return true;
}

/* CoreChange of a conversation: a block or unmatch that held the row is seen. */
static bool
advance(Datum *values, bool *nulls, void *seq)
{
	Datum	   *last = &values[CONVERSATION_LAST_SEQ - 1];

	if (!nulls[CONVERSATION_CLOSED_AT - 1])
		return false;
	*(Datum *) seq = *last = Int64GetDatum(DatumGetInt64(*last) + 1);
	return true;
}

/* CoreChange of a member. */
static bool
tell(Datum *values, bool *nulls, void *message)
{
	Message    *sent = message;
	Datum	   *last_at = &values[MEMBER_LAST_AT - 1];

	values[MEMBER_LAST_SEQ - 1] = sent->seq;
	if (DatumGetTimestampTz(*last_at) < DatumGetTimestampTz(sent->sent_at))
		*last_at = sent->sent_at;
	if (DatumGetInt64(values[MEMBER_PERSON_ID - 1]) == DatumGetInt64(sent->sender))
		values[MEMBER_READ_SEQ - 1] = sent->seq;
	return true;
}

/*
 * The ids of those who take part in the conversation, *n of them; raises
 * not_found where the sender is none of them.
 */
static Datum *
authorise(const Message *message, Snapshot snapshot, int *n)
{
	CoreScan	scan;
	TupleTableSlot *slot;
	int			room = 2;
	Datum	   *people = palloc(room * sizeof(Datum));
	bool		among = false;

	*n = 0;
	core_scan_begin(&scan, "participant", snapshot, 1, &(CoreKey) {F_INT8EQ, message->conversation});
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;

		if (!slot_attisnull(slot, PARTICIPANT_LEFT_SEQ))
			continue;
		if (*n == room)
			people = repalloc(people, (room *= 2) * sizeof(Datum));
		people[*n] = slot_getattr(slot, PARTICIPANT_PERSON_ID, &isnull);
		among |= DatumGetInt64(people[(*n)++]) == DatumGetInt64(message->sender);
	}
	core_scan_end(&scan);
	if (!among)
		core_fail("not_found", NULL);
	return people;
}

/*
 * Whether the sender's client has sent the message before: then it gets the
 * number and the time it had. Only who holds the conversation adds names, so
 * what is not found here is not there.
 */
static bool
sent_before(Message *message, Snapshot snapshot)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, "message_dedupe", snapshot, 3,
					(CoreKey[]) {{F_INT8EQ, message->conversation}, {F_INT8EQ, message->sender}, {F_TEXTEQ, message->client_id}});
	slot = core_scan_next(&scan);
	if (slot != NULL)
	{
		bool		isnull;

		message->seq = slot_getattr(slot, DEDUPE_SEQ, &isnull);
		message->sent_at = slot_getattr(slot, DEDUPE_AT, &isnull);
		if (DatumGetInt64(slot_getattr(slot, DEDUPE_BODY_HASH, &isnull)) != DatumGetInt64(message->hash))
			core_fail("client_id_reused", "It is message " INT64_FORMAT " of this conversation.", DatumGetInt64(message->seq));
	}
	core_scan_end(&scan);
	return slot != NULL;
}

/* What the statement STORE does. */
static void
store(Relation *opened, Message *message, Snapshot snapshot, const Datum *people, int n_people)
{
	Message    *m = message;

	core_insert(opened[DEDUPE],
				(Datum[DEDUPE_COLUMNS]) {m->conversation, m->sender, m->client_id, m->seq, m->hash, m->sent_at},
				(bool[DEDUPE_COLUMNS]) {false});
	core_insert(opened[MESSAGE],
				(Datum[MESSAGE_COLUMNS]) {m->conversation, m->seq, m->sender, m->sent_at, Int32GetDatum(0), m->client_id, m->body},
				(bool[MESSAGE_COLUMNS]) {[MESSAGE_COLUMNS - 1] = true});
	for (int i = 0; i < n_people; i++)
		core_update(opened[MEMBER], snapshot, 2,
					(CoreKey[]) {{F_INT8EQ, people[i]}, {F_INT8EQ, m->conversation}}, tell, message);
}

/* The size of the white space of Unicode that text starts with; 0 for none. */
static int
white_space(const unsigned char *text, const unsigned char *end)
{
	if (*text == ' ' || (*text >= '\t' && *text <= '\r'))
		return 1;
	if (end - text >= 2 && text[0] == 0xC2 && (text[1] == 0x85 || text[1] == 0xA0))
		return 2;
	if (end - text >= 3)
	{
		unsigned int code = text[0] << 16 | text[1] << 8 | text[2];

		if ((code >= 0xE28080 && code <= 0xE2808A) ||	/* U+2000 to U+200A */
			code == 0xE280A8 || code == 0xE280A9 || code == 0xE280AF ||	/* U+2028, U+2029, U+202F */
			code == 0xE19A80 || code == 0xE2819F || code == 0xE38080)	/* U+1680, U+205F, U+3000 */
			return 3;
	}
	return 0;
}

static void
check_client_id(const text *client_id)
{
	const unsigned char *bytes = (const unsigned char *) VARDATA_ANY(client_id);
	int			size = VARSIZE_ANY_EXHDR(client_id);
	bool		valid = size >= 1 && size <= CLIENT_ID_MAX_SIZE;

	for (int i = 0; valid && i < size; i++)
		valid = bytes[i] > ' ' && bytes[i] <= '~';
	if (!valid)
		core_fail("invalid_value", "client_id is 1 to %d visible ASCII characters.", CLIENT_ID_MAX_SIZE);
}

static void
check_body(const text *body)
{
	const unsigned char *byte = (const unsigned char *) VARDATA_ANY(body);
	const unsigned char *end = byte + VARSIZE_ANY_EXHDR(body);
	int			size;

	if (end - byte > BODY_MAX_SIZE)
		core_fail("message_too_long", "A message has at most %d bytes; this one has %d.",
				  BODY_MAX_SIZE, (int) (end - byte));
	while (byte < end && (size = white_space(byte, end)) > 0)
		byte += size;
	if (byte == end)
		core_fail("message_empty", NULL);
}

/* The type of the answer, looked up once. */
static TupleDesc
answer_type(FunctionCallInfo fcinfo)
{
	static TupleDesc type = NULL;
	TupleDesc	found;
	MemoryContext before;

	if (type != NULL)
		return type;
	if (get_call_result_type(fcinfo, NULL, &found) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "send_message does not return a row");
	before = MemoryContextSwitchTo(TopMemoryContext);
	type = CreateTupleDescCopy(BlessTupleDesc(found));
	MemoryContextSwitchTo(before);
	return type;
}

/*
 * send_message(conversation_id, client_id, body) -> (seq, sent_at, duplicate)
 *
 * The update of the conversation's row is the lock: of two sends, the second
 * waits there until the first has committed, so numbers come without gaps and
 * in the order of commits. Everything read afterwards is read under the lock.
 */
Datum
chat_send_message(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"conversation_id", "client_id", "body"};
	Message		message = {.sender = Int64GetDatum(account_acting_person()), .sent_at = TimestampTzGetDatum(core_now())};
	text	   *body;
	Relation	opened[N_TABLES];
	bool		plain;
	Snapshot	snapshot;
	Datum	   *people;
	int			n_people;
	bool		duplicate;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			core_fail("missing_field", "%s is required.", names[i]);
	body = PG_GETARG_TEXT_PP(2);
	message.conversation = PG_GETARG_DATUM(0);
	message.client_id = PointerGetDatum(PG_GETARG_TEXT_PP(1));
	message.body = PointerGetDatum(body);
	check_client_id((text *) DatumGetPointer(message.client_id));
	check_body(body);
	message.hash = hash_any_extended((unsigned char *) VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), 0);

	plain = open_plain(opened);
	if (!(plain ?
		  core_update(opened[CONVERSATION], GetTransactionSnapshot(), 1,
					  &(CoreKey) {F_INT8EQ, message.conversation}, advance, &message.seq) :
		  run(ADVANCE, &message.conversation, &message.seq)))
		core_fail("not_found", NULL);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	people = authorise(&message, snapshot, &n_people);
	duplicate = sent_before(&message, snapshot);
	if (duplicate)
		run(GIVE_BACK, &message.conversation, NULL);
	else if (plain)
		store(opened, &message, snapshot, people, n_people);
	else
		run(STORE, (Datum[]) {message.conversation, message.sender, message.seq, message.sent_at, message.client_id,
				message.body, message.hash,
				PointerGetDatum(construct_array(people, n_people, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))},
			NULL);
	UnregisterSnapshot(snapshot);
	for (Table table = 0; plain && table < N_TABLES; table++)
		table_close(opened[table], NoLock);

	if (!duplicate)
	{
		int64		conversation = DatumGetInt64(message.conversation);
		int64		seq = DatumGetInt64(message.seq);
		int64		sender = DatumGetInt64(message.sender);

		core_emit(psprintf("c:" INT64_FORMAT, conversation), "message",
				  psprintf("{\"seq\":" INT64_FORMAT ",\"sender_id\":" INT64_FORMAT "}", seq, sender));
		core_run_hooks("message_sent", 3, (int64[]) {conversation, seq, sender});
	}

	values[0] = message.seq;
	values[1] = message.sent_at;
	values[2] = BoolGetDatum(duplicate);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(answer_type(fcinfo), values, nulls)));
}
