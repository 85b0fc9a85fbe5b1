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
PG_FUNCTION_INFO_V1(chat_send);
PG_FUNCTION_INFO_V1(chat_check_body);

#define BODY_MAX_SIZE 8192
#define CLIENT_ID_MAX_SIZE 64

/* As many messages a minute as nobody is refused. */
#define BURST_FREE 20

typedef struct Message
{
	Datum		conversation;
	Datum		sender;
	Datum		other;			/* to whom it goes in a direct conversation, 0 in a group */
	Datum		seq;
	Datum		sent_at;
	Datum		client_id;
	Datum		body;
	Datum		attrs;			/* jsonb, 0 for none */
	Datum		hash;			/* of the body and the attributes */
	Datum		flags;
	bool		group;
	Datum		before;			/* when the group was last written to */
	bool		never;			/* not at all */
} Message;

/* Columns of the tables that are read and written here by row. */
enum
{
	CONVERSATION_KIND = 2,
	CONVERSATION_LAST_SEQ = 3,
	CONVERSATION_CLOSED_AT = 5,
	CONVERSATION_LAST_AT = 7,
	CONVERSATION_EXPIRE_MINUTES = 8,
	CONVERSATION_COLUMNS = 10,

	MESSAGE_COLUMNS = 8,

	DEDUPE_SEQ = 4,
	DEDUPE_BODY_HASH = 5,
	DEDUPE_AT = 6,
	DEDUPE_COLUMNS = 6,

	MEMBER_PERSON_ID = 1,
	MEMBER_OTHER_ID = 3,
	MEMBER_READ_SEQ = 4,
	MEMBER_LAST_SEQ = 5,
	MEMBER_LAST_AT = 6,
	MEMBER_CLOSED = 7,
	MEMBER_BURST_AT = 17,
	MEMBER_BURST = 18,
	MEMBER_COLUMNS = 18
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

/*
 * What does the same where one of the tables is not plain, and attributes, which
 * are rare. The old ones fit the tables of 0.1.0.
 */
typedef enum
{
	ADVANCE,
	ADVANCE_OLD,
	STORE,
	STORE_OLD,
	GIVE_BACK,
	CHECK_ATTRS,
	FIT_ATTRS,
	N_STATEMENTS
} Statement;

static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[11];
}			statements[N_STATEMENTS] = {
	/* A block or unmatch that held the row is seen: the condition is checked again. */
	[ADVANCE] = {
		"UPDATE rapport.conversation"
		" SET last_seq = last_seq + 1"
		" WHERE conversation_id = $1 AND closed_at IS NULL"
		" RETURNING last_seq, kind = 'group', coalesce(expire_minutes, 0) * 256",
		1, {INT8OID}
	},
	[ADVANCE_OLD] = {
		"UPDATE rapport.conversation"
		" SET last_seq = last_seq + 1"
		" WHERE conversation_id = $1 AND closed_at IS NULL"
		" RETURNING last_seq, false, 0",
		1, {INT8OID}
	},
	[STORE] = {
		"WITH named AS ("
		"  INSERT INTO rapport.message_dedupe (conversation_id, sender_id, seq, at, client_id, body_hash)"
		"  VALUES ($1, $2, $3, $4, $5, $7)),"
		" written AS ("
		"  UPDATE rapport.conversation SET last_at = greatest(last_at, $4) WHERE conversation_id = $1 AND kind = 'group'),"
		" told AS ("
		"  UPDATE rapport.member"
		"  SET last_seq = CASE WHEN is_group THEN last_seq ELSE $3 END,"
		"  last_at = CASE WHEN is_group THEN last_at ELSE greatest(last_at, $4) END,"
		"  read_seq = CASE person_id WHEN $2 THEN $3 ELSE read_seq END"
		"  WHERE person_id = ANY ($8) AND conversation_id = $1)"
		" INSERT INTO rapport.message (conversation_id, sender_id, seq, sent_at, client_id, body, flags, attrs)"
		" VALUES ($1, $2, $3, $4, $5, $6, $9, $10)",
		10, {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8ARRAYOID, INT4OID, JSONBOID}
	},
	[STORE_OLD] = {
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
	[CHECK_ATTRS] = {"SELECT rapport.message_attrs($1, $2)", 2, {JSONBOID, BOOLOID}},
	[FIT_ATTRS] = {"SELECT rapport.message_attrs_fit($1, $2, $3, $4)", 4, {INT8OID, INT8OID, INT8OID, JSONBOID}},
};

/*
 * Runs a statement through its kept plan; whether it did something. The first
 * n_results columns that it returns are set, those by reference in the current
 * memory context. A NULL in values is 0 with a n in nulls.
 */
static bool
run(Statement statement, Datum *values, const char *nulls, Datum *results, int n_results)
{
	static SPIPlanPtr plans[N_STATEMENTS];
	CoreUser	user;
	bool		done;

	core_enter(&user);
	SPI_connect();
	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs,
				   statements[statement].types);
	if (SPI_execute_plan(plans[statement], values, nulls, false, 0) < 0)
		elog(ERROR, "statement %d of a send failed", (int) statement);
	done = SPI_processed > 0;
	for (int i = 0; done && i < n_results; i++)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		results[i] = SPI_getbinval(SPI_tuptable->vals[0], desc, i + 1, &isnull);
		results[i] = isnull ? 0 :
			SPI_datumTransfer(results[i], TupleDescAttr(desc, i)->attbyval, TupleDescAttr(desc, i)->attlen);
	}
	SPI_finish();
	core_leave(&user);
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
advance(Datum *values, bool *nulls, void *message)
{
	Message    *sent = message;
	Datum	   *last = &values[CONVERSATION_LAST_SEQ - 1];
	Datum	   *last_at = &values[CONVERSATION_LAST_AT - 1];

	if (!nulls[CONVERSATION_CLOSED_AT - 1])
		return false;
	sent->seq = *last = Int64GetDatum(DatumGetInt64(*last) + 1);
	sent->flags = Int32GetDatum(nulls[CONVERSATION_EXPIRE_MINUTES - 1] ? 0 :
								DatumGetInt32(values[CONVERSATION_EXPIRE_MINUTES - 1]) * 256);
	sent->group = *VARDATA_ANY(DatumGetPointer(values[CONVERSATION_KIND - 1])) == 'g';
	sent->before = *last_at;
	sent->never = nulls[CONVERSATION_LAST_AT - 1];
	if (sent->group && (sent->never || DatumGetTimestampTz(*last_at) < DatumGetTimestampTz(sent->sent_at)))
	{
		nulls[CONVERSATION_LAST_AT - 1] = false;
		*last_at = sent->sent_at;
	}
	return true;
}

/* CoreChange of a conversation, after advance(): a message that was sent before takes no number. */
static bool
give_back(Datum *values, bool *nulls, void *message)
{
	Message    *sent = message;
	Datum	   *last = &values[CONVERSATION_LAST_SEQ - 1];

	*last = Int64GetDatum(DatumGetInt64(*last) - 1);
	values[CONVERSATION_LAST_AT - 1] = sent->before;
	nulls[CONVERSATION_LAST_AT - 1] = sent->never;
	return true;
}

/* What is not a conversation of today's kinds of tables. */
static bool
advance_by_statement(Message *message, bool old)
{
	Datum		results[3];

	if (!run(old ? ADVANCE_OLD : ADVANCE, &message->conversation, NULL, results, 3))
		return false;
	message->seq = results[0];
	message->group = DatumGetBool(results[1]);
	message->flags = results[2];
	return true;
}

/* Counts what the sender sends here in a minute; refuses a flood. */
static void
count_burst(Datum *values, bool *nulls, TimestampTz now)
{
	int32		burst = DatumGetInt32(values[MEMBER_BURST - 1]);

	if (nulls[MEMBER_BURST_AT - 1] ||
		now - DatumGetTimestampTz(values[MEMBER_BURST_AT - 1]) >= USECS_PER_MINUTE)
	{
		burst = 0;
		nulls[MEMBER_BURST_AT - 1] = false;
		values[MEMBER_BURST_AT - 1] = TimestampTzGetDatum(now);
	}
	if (++burst > BURST_FREE)
	{
		char	   *most = core_setting("messages_per_minute");

		if (atoi(most) > 0 && burst > atoi(most))
			core_fail("too_many_messages", "One may send %s a minute to a conversation.", most);
	}
	values[MEMBER_BURST - 1] = Int32GetDatum(burst);
}

/* CoreChange of a member; not of a sender who may not write any more. */
static bool
tell(Datum *values, bool *nulls, void *message)
{
	Message    *sent = message;
	Datum	   *last_at = &values[MEMBER_LAST_AT - 1];
	bool		own = DatumGetInt64(values[MEMBER_PERSON_ID - 1]) == DatumGetInt64(sent->sender);

	if (own && DatumGetBool(values[MEMBER_CLOSED - 1]))
		return false;
	if (!sent->group)
	{
		values[MEMBER_LAST_SEQ - 1] = sent->seq;
		if (DatumGetTimestampTz(*last_at) < DatumGetTimestampTz(sent->sent_at))
			*last_at = sent->sent_at;
	}
	if (own)
	{
		values[MEMBER_READ_SEQ - 1] = sent->seq;
		count_burst(values, nulls, DatumGetTimestampTz(sent->sent_at));
	}
	return true;
}

/* Says no more than that there is nothing, unless the sender is gone. */
static void
refuse(void)
{
	account_check_acting_person();
	core_fail("not_found", NULL);
}

/* The scan is of the sender's side of the conversation, which is closed where they may not write. */
static void
authorise(CoreScan *side, Message *message)
{
	TupleTableSlot *slot = core_scan_next(side);
	bool		isnull;

	if (slot == NULL || DatumGetBool(slot_getattr(slot, MEMBER_CLOSED, &isnull)))
		refuse();
	message->other = slot_getattr(slot, MEMBER_OTHER_ID, &isnull);
	if (isnull)
		message->other = 0;
}

/*
 * Whether the sender's client has sent the message before: then it gets the
 * number and the time it had. Only who holds the conversation, as the caller
 * does, adds names, so what is not found here is not there.
 */
static bool
sent_before(Message *message)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, "message_dedupe", GetTransactionSnapshot(), 3,
					(CoreKey[]) {{F_INT8EQ, message->conversation}, {F_INT8EQ, message->sender}, {F_TEXTEQ, message->client_id}});
	slot = core_scan_next(&scan);
	if (slot != NULL)
	{
		bool		isnull;
		int64		hash = DatumGetInt64(slot_getattr(slot, DEDUPE_BODY_HASH, &isnull));

		message->seq = slot_getattr(slot, DEDUPE_SEQ, &isnull);
		message->sent_at = slot_getattr(slot, DEDUPE_AT, &isnull);
		if (hash != 0 && hash != DatumGetInt64(message->hash))
			core_fail("client_id_reused", "It is message " INT64_FORMAT " of this conversation.", DatumGetInt64(message->seq));
	}
	core_scan_end(&scan);
	return slot != NULL;
}

/* Whether what the attributes say of the conversation is so. */
static void
check_fit(Message *m)
{
	if (m->attrs != 0)
		run(FIT_ATTRS, (Datum[]) {m->conversation, m->sender, m->seq, m->attrs}, NULL, NULL, 0);
}

/* Whether the message is new: then its client's name for it is stored. */
static bool
name(Relation dedupe, Message *message)
{
	Message    *m = message;
	const Datum values[DEDUPE_COLUMNS] = {m->conversation, m->sender, m->client_id, m->seq, m->hash, m->sent_at};
	const bool	nulls[DEDUPE_COLUMNS] = {false};

	if (core_insert_if_new(dedupe, values, nulls))
		return true;
	if (sent_before(message))
		return false;
	core_insert(dedupe, values, nulls);
	return true;
}

/* Both sides of a direct conversation in the order of ids, as hold_members() locks them. */
static void
store(Relation *opened, CoreScan *own, const CoreKey *own_key, Message *message)
{
	Message    *m = message;
	const CoreKey other_key[] = {{F_INT8EQ, m->other}, {F_INT8EQ, m->conversation}};
	bool		other_first = DatumGetInt64(m->other) < DatumGetInt64(m->sender);

	core_insert(opened[MESSAGE],
				(Datum[MESSAGE_COLUMNS]) {m->conversation, m->seq, m->sender, m->sent_at, m->flags, m->client_id, m->body, m->attrs},
				(bool[MESSAGE_COLUMNS]) {[MESSAGE_COLUMNS - 1] = m->attrs == 0});
	if (m->other != 0 && other_first)
		core_update(opened[MEMBER], own->snapshot, 2, other_key, tell, message);
	if (!core_update_row(own, 2, own_key, tell, message))
		refuse();
	if (m->other != 0 && !other_first)
		core_update(opened[MEMBER], own->snapshot, 2, other_key, tell, message);
}

/*
 * Sends where all tables are plain; false where the message was sent before. Who
 * may not write changes nothing and waits for nobody: their own side says so, and
 * once more when it is written.
 */
static bool
send_by_row(Relation *opened, Message *message)
{
	const CoreKey key = {F_INT8EQ, message->conversation};
	const CoreKey own_key[] = {{F_INT8EQ, message->sender}, key};
	CoreScan	own;
	bool		is_new;

	core_scan_open(&own, opened[MEMBER], GetTransactionSnapshot(), 2, own_key);
	authorise(&own, message);
	if (!core_update(opened[CONVERSATION], own.snapshot, 1, &key, advance, message))
		refuse();
	is_new = name(opened[DEDUPE], message);
	if (is_new)
	{
		check_fit(message);
		store(opened, &own, own_key, message);
	}
	else
		core_update(opened[CONVERSATION], GetTransactionSnapshot(), 1, &key, give_back, message);
	core_scan_close(&own);
	return is_new;
}

static void
authorise_by_key(Message *message)
{
	CoreScan	own;

	core_scan_begin(&own, "member", GetTransactionSnapshot(), 2,
					(CoreKey[]) {{F_INT8EQ, message->sender}, {F_INT8EQ, message->conversation}});
	authorise(&own, message);
	core_scan_end(&own);
}

/* The same by statements. */
static bool
send_by_statement(Message *message, bool old)
{
	Message    *m = message;
	Datum		people[2];

	authorise_by_key(message);
	if (!advance_by_statement(message, old))
		refuse();
	authorise_by_key(message);
	if (sent_before(message))
	{
		run(GIVE_BACK, &m->conversation, NULL, NULL, 0);
		return false;
	}
	check_fit(message);
	people[0] = m->sender;
	people[1] = m->other;
	run(old ? STORE_OLD : STORE,
		(Datum[]) {m->conversation, m->sender, m->seq, m->sent_at, m->client_id, m->body, m->hash,
			PointerGetDatum(construct_array(people, m->other == 0 ? 1 : 2, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
			m->flags, m->attrs},
		m->attrs == 0 ? "         n" : NULL, NULL, 0);
	return true;
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

/* Raises where a body cannot be sent; whether it is blank, which without attributes it may not be. */
static bool
check_body(const text *body, bool alone)
{
	const unsigned char *byte = (const unsigned char *) VARDATA_ANY(body);
	const unsigned char *end = byte + VARSIZE_ANY_EXHDR(body);
	int			size;

	if (end - byte > BODY_MAX_SIZE)
		core_fail("message_too_long", "A message has at most %d bytes; this one has %d.",
				  BODY_MAX_SIZE, (int) (end - byte));
	while (byte < end && (size = white_space(byte, end)) > 0)
		byte += size;
	if (byte == end && alone)
		core_fail("message_empty", NULL);
	return byte == end;
}

/* check_body(body): as a send checks it. */
Datum
chat_check_body(PG_FUNCTION_ARGS)
{
	check_body(PG_GETARG_TEXT_PP(0), PG_GETARG_BOOL(1));
	PG_RETURN_VOID();
}

/* Never 0, which stands for a message that is deleted. */
static int64
message_hash(const text *body, Datum attrs)
{
	uint64		seed = attrs == 0 ? 0 :
		DatumGetUInt64(hash_any_extended((unsigned char *) DatumGetPointer(attrs), VARSIZE(DatumGetPointer(attrs)), 0));
	uint64		hash = DatumGetUInt64(hash_any_extended((unsigned char *) VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), seed));

	return hash == 0 ? 1 : (int64) hash;
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

/* The event of the stream, and what apps do besides. */
static void
announce(const Message *message)
{
	int64		conversation = DatumGetInt64(message->conversation);
	int64		seq = DatumGetInt64(message->seq);
	int64		sender = DatumGetInt64(message->sender);

	core_emit(psprintf("c:" INT64_FORMAT, conversation), "message",
			  psprintf("{\"seq\":" INT64_FORMAT ",\"sender_id\":" INT64_FORMAT "}", seq, sender));
	core_run_hooks("message_sent", 3, (int64[]) {conversation, seq, sender});
}

/*
 * send_message(conversation_id, client_id, body, attrs) -> (seq, sent_at, duplicate)
 *
 * The update of the conversation's row is the lock: of two sends, the second
 * waits there until the first has committed, so numbers come without gaps and
 * in the order of commits.
 */
static Datum
send_one(FunctionCallInfo fcinfo, bool old)
{
	static const char *const names[] = {"conversation_id", "client_id", "body"};
	Message		message = {.sender = Int64GetDatum(account_held_person()), .sent_at = TimestampTzGetDatum(core_now())};
	text	   *body;
	Relation	opened[N_TABLES];
	bool		blank;
	bool		is_new;
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
	if (!old && !PG_ARGISNULL(3))
		message.attrs = PG_GETARG_DATUM(3);
	blank = check_body(body, message.attrs == 0);
	if (message.attrs != 0)
	{
		run(CHECK_ATTRS, (Datum[]) {message.attrs, BoolGetDatum(blank)}, NULL, &message.attrs, 1);
		if (message.attrs != 0)
			message.attrs = PointerGetDatum(PG_DETOAST_DATUM(message.attrs));
	}
	message.hash = Int64GetDatum(message_hash(body, message.attrs));

	if (old || !open_plain(opened))
		is_new = send_by_statement(&message, old);
	else
	{
		is_new = send_by_row(opened, &message);
		for (Table table = 0; table < N_TABLES; table++)
			table_close(opened[table], NoLock);
	}
	if (is_new)
		announce(&message);

	values[0] = message.seq;
	values[1] = message.sent_at;
	values[2] = BoolGetDatum(!is_new);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(answer_type(fcinfo), values, nulls)));
}

/* Of 0.1.0, for its tables. */
Datum
chat_send_message(PG_FUNCTION_ARGS)
{
	return send_one(fcinfo, true);
}

Datum
chat_send(PG_FUNCTION_ARGS)
{
	return send_one(fcinfo, false);
}
