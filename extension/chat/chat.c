/*
 * Sending a message: the hot write of chat, in C over kept plans.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account/account.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(chat_send_message);

#define BODY_MAX_SIZE 8192
#define CLIENT_ID_MAX_SIZE 64

/* The statements of a send, in the order of use. */
typedef enum
{
	ADVANCE,
	AUTHORISE,
	GIVE_BACK,
	STORE,
	TELL,
	N_STATEMENTS
} Statement;

static const struct
{
	const char *sql;
	int			nargs;
	Oid			types[7];
}			statements[N_STATEMENTS] = {
	/* A block or unmatch that held the row is seen: the condition is checked again. */
	[ADVANCE] = {
		"UPDATE rapport.conversation"
		" SET last_seq = last_seq + 1"
		" WHERE conversation_id = $1 AND closed_at IS NULL"
		" RETURNING last_seq",
		1, {INT8OID}
	},
	/* Under the lock, so whether the client_id is new is settled here. */
	[AUTHORISE] = {
		"SELECT d.seq, d.at, d.body_hash"
		" FROM rapport.participant AS p"
		" LEFT JOIN rapport.message_dedupe AS d"
		" ON d.conversation_id = p.conversation_id AND d.sender_id = p.person_id AND d.client_id = $3"
		" WHERE p.conversation_id = $1 AND p.person_id = $2 AND p.left_seq IS NULL",
		3, {INT8OID, INT8OID, TEXTOID}
	},
	[GIVE_BACK] = {
		"UPDATE rapport.conversation SET last_seq = last_seq - 1 WHERE conversation_id = $1",
		1, {INT8OID}
	},
	[STORE] = {
		"WITH named AS ("
		"INSERT INTO rapport.message_dedupe (conversation_id, sender_id, client_id, seq, at, body_hash)"
		" VALUES ($1, $2, $3, $4, $5, $7))"
		" INSERT INTO rapport.message (conversation_id, sender_id, client_id, seq, sent_at, body)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		7, {INT8OID, INT8OID, TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID}
	},
	[TELL] = {
		"UPDATE rapport.member AS m"
		" SET last_seq = $3,"
		" last_at = greatest(m.last_at, $4),"
		" read_seq = CASE WHEN m.person_id = $2 THEN $3 ELSE m.read_seq END"
		" FROM rapport.participant AS p"
		" WHERE p.conversation_id = $1 AND p.left_seq IS NULL"
		" AND m.person_id = p.person_id AND m.conversation_id = $1",
		4, {INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID}
	},
};

/* Runs a statement through its kept plan; returns the number of rows. */
static uint64
run(Statement statement, Datum *values)
{
	static SPIPlanPtr plans[N_STATEMENTS];

	if (plans[statement] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statements[statement].sql, statements[statement].nargs,
									   unconstify(Oid *, &statements[statement].types[0]));

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare statement %d of a send", (int) statement);
		plans[statement] = plan;
	}
	if (SPI_execute_plan(plans[statement], values, NULL, false, 0) < 0)
		elog(ERROR, "statement %d of a send failed", (int) statement);
	return SPI_processed;
}

/* A column of the only row of the last statement. */
static Datum
column(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, isnull);
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
	int64		me = account_acting_person();
	TimestampTz now = core_now();
	int64		conversation;
	text	   *client_id;
	text	   *body;
	Datum		hash;
	Datum		seq;
	Datum		sent_at = TimestampTzGetDatum(now);
	Datum		found;
	bool		isnull;
	bool		duplicate;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			core_fail("missing_field", "%s is required.", names[i]);
	conversation = PG_GETARG_INT64(0);
	client_id = PG_GETARG_TEXT_PP(1);
	body = PG_GETARG_TEXT_PP(2);
	check_client_id(client_id);
	check_body(body);
	hash = hash_any_extended((unsigned char *) VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body), 0);

	SPI_connect();
	if (run(ADVANCE, (Datum[]) {Int64GetDatum(conversation)}) != 1)
		core_fail("not_found", NULL);
	seq = column(1, &isnull);
	if (run(AUTHORISE, (Datum[]) {Int64GetDatum(conversation), Int64GetDatum(me), PointerGetDatum(client_id)}) != 1)
		core_fail("not_found", NULL);
	found = column(1, &isnull);
	duplicate = !isnull;
	if (duplicate)
	{
		seq = found;
		sent_at = column(2, &isnull);
		if (DatumGetInt64(column(3, &isnull)) != DatumGetInt64(hash))
			core_fail("client_id_reused", "It is message " INT64_FORMAT " of this conversation.", DatumGetInt64(seq));
		run(GIVE_BACK, (Datum[]) {Int64GetDatum(conversation)});
	}
	else
	{
		run(STORE, (Datum[]) {Int64GetDatum(conversation), Int64GetDatum(me), PointerGetDatum(client_id), seq, sent_at,
							  PointerGetDatum(body), hash});
		run(TELL, (Datum[]) {Int64GetDatum(conversation), Int64GetDatum(me), seq, sent_at});
	}
	SPI_finish();

	if (!duplicate)
	{
		core_emit(psprintf("c:" INT64_FORMAT, conversation), "message",
				  psprintf("{\"seq\":" INT64_FORMAT ",\"sender_id\":" INT64_FORMAT "}", DatumGetInt64(seq), me));
		core_run_hooks("message_sent", 3, (int64[]) {conversation, DatumGetInt64(seq), me});
	}

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "send_message does not return a row");
	values[0] = seq;
	values[1] = sent_at;
	values[2] = BoolGetDatum(duplicate);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
