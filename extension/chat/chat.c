/*
 * Sending a message: the hot write of chat, in C over kept plans.
 */
#include "postgres.h"

#include "access/htup_details.h"
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
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(chat_send_message);

#define BODY_MAX_SIZE 8192
#define CLIENT_ID_MAX_SIZE 64

/* The statements of a send, in the order of use; the last is for duplicates. */
typedef enum
{
	ADVANCE,
	NAME,
	STORE,
	TELL,
	GIVE_BACK,
	N_STATEMENTS
} Statement;

/* One table each, by its key; what is only read needs none: core_scan_begin(). */
static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[6];
}			statements[N_STATEMENTS] = {
	/* A block or unmatch that held the row is seen: the condition is checked again. */
	[ADVANCE] = {
		"UPDATE rapport.conversation"
		" SET last_seq = last_seq + 1"
		" WHERE conversation_id = $1 AND closed_at IS NULL"
		" RETURNING last_seq",
		1, {INT8OID}
	},
	[NAME] = {
		"INSERT INTO rapport.message_dedupe (conversation_id, sender_id, seq, at, client_id, body_hash)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		6, {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID}
	},
	[STORE] = {
		"INSERT INTO rapport.message (conversation_id, sender_id, seq, sent_at, client_id, body)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		6, {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID}
	},
	[TELL] = {
		"UPDATE rapport.member"
		" SET last_seq = $3, last_at = greatest(last_at, $4),"
		" read_seq = CASE person_id WHEN $5 THEN $3 ELSE read_seq END"
		" WHERE person_id = ANY ($1) AND conversation_id = $2",
		5, {INT8ARRAYOID, INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID}
	},
	[GIVE_BACK] = {
		"UPDATE rapport.conversation SET last_seq = last_seq - 1 WHERE conversation_id = $1",
		1, {INT8OID}
	},
};

/* Columns of the tables that are read without a statement. */
enum
{
	PARTICIPANT_PERSON_ID = 2,
	PARTICIPANT_LEFT_SEQ = 4,
	DEDUPE_SEQ = 4,
	DEDUPE_BODY_HASH = 5,
	DEDUPE_AT = 6
};

/* Runs a statement through its kept plan; returns the number of rows. */
static uint64
run(Statement statement, Datum *values)
{
	static SPIPlanPtr plans[N_STATEMENTS];

	core_keep_plan(&plans[statement], statements[statement].sql, statements[statement].nargs,
				   statements[statement].types);
	if (SPI_execute_plan(plans[statement], values, NULL, false, 0) < 0)
		elog(ERROR, "statement %d of a send failed", (int) statement);
	return SPI_processed;
}

/*
 * The ids of those who take part in the conversation, *n of them; raises
 * not_found where the sender is none of them.
 */
static Datum *
authorise(Datum conversation, Datum sender, int *n)
{
	CoreScan	scan;
	TupleTableSlot *slot;
	int			room = 2;
	Datum	   *people = palloc(room * sizeof(Datum));
	bool		among = false;

	*n = 0;
	core_scan_begin(&scan, "participant", GetTransactionSnapshot(), 1, &(CoreKey) {F_INT8EQ, conversation});
	while ((slot = core_scan_next(&scan)) != NULL)
	{
		bool		isnull;

		if (!slot_attisnull(slot, PARTICIPANT_LEFT_SEQ))
			continue;
		if (*n == room)
			people = repalloc(people, (room *= 2) * sizeof(Datum));
		people[*n] = slot_getattr(slot, PARTICIPANT_PERSON_ID, &isnull);
		among |= DatumGetInt64(people[(*n)++]) == DatumGetInt64(sender);
	}
	core_scan_end(&scan);
	if (!among)
		core_fail("not_found", NULL);
	return people;
}

/*
 * Whether the sender's client has sent this before: then *seq and *at become
 * those of the message. Only who holds the conversation adds names, so what is
 * not found here is not there.
 */
static bool
sent_before(Datum conversation, Datum sender, Datum client_id, Datum hash, Datum *seq, Datum *at)
{
	CoreScan	scan;
	TupleTableSlot *slot;

	core_scan_begin(&scan, "message_dedupe", GetTransactionSnapshot(), 3,
					(CoreKey[]) {{F_INT8EQ, conversation}, {F_INT8EQ, sender}, {F_TEXTEQ, client_id}});
	slot = core_scan_next(&scan);
	if (slot != NULL)
	{
		bool		isnull;

		*seq = slot_getattr(slot, DEDUPE_SEQ, &isnull);
		*at = slot_getattr(slot, DEDUPE_AT, &isnull);
		if (DatumGetInt64(slot_getattr(slot, DEDUPE_BODY_HASH, &isnull)) != DatumGetInt64(hash))
			core_fail("client_id_reused", "It is message " INT64_FORMAT " of this conversation.", DatumGetInt64(*seq));
	}
	core_scan_end(&scan);
	return slot != NULL;
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
	Datum		me = Int64GetDatum(account_acting_person());
	Datum		sent_at = TimestampTzGetDatum(core_now());
	Datum		conversation;
	Datum		client_id;
	text	   *body;
	Datum		hash;
	Datum		seq;
	Datum	   *people;
	int			n_people;
	bool		duplicate;
	bool		isnull;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			core_fail("missing_field", "%s is required.", names[i]);
	conversation = PG_GETARG_DATUM(0);
	client_id = PointerGetDatum(PG_GETARG_TEXT_PP(1));
	body = PG_GETARG_TEXT_PP(2);
	check_client_id((text *) DatumGetPointer(client_id));
	check_body(body);
	hash = hash_any_extended((unsigned char *) VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), 0);

	SPI_connect();
	if (run(ADVANCE, &conversation) != 1)
		core_fail("not_found", NULL);
	seq = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	people = authorise(conversation, me, &n_people);
	duplicate = sent_before(conversation, me, client_id, hash, &seq, &sent_at);
	if (duplicate)
		run(GIVE_BACK, &conversation);
	else
	{
		run(NAME, (Datum[]) {conversation, me, seq, sent_at, client_id, hash});
		run(STORE, (Datum[]) {conversation, me, seq, sent_at, client_id, PointerGetDatum(body)});
		run(TELL, (Datum[]) {PointerGetDatum(construct_array(people, n_people, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
			conversation, seq, sent_at, me});
	}
	SPI_finish();

	if (!duplicate)
	{
		core_emit(psprintf("c:" INT64_FORMAT, DatumGetInt64(conversation)), "message",
				  psprintf("{\"seq\":" INT64_FORMAT ",\"sender_id\":" INT64_FORMAT "}", DatumGetInt64(seq), DatumGetInt64(me)));
		core_run_hooks("message_sent", 3, (int64[]) {DatumGetInt64(conversation), DatumGetInt64(seq), DatumGetInt64(me)});
	}

	values[0] = seq;
	values[1] = sent_at;
	values[2] = BoolGetDatum(duplicate);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(answer_type(fcinfo), values, nulls)));
}
