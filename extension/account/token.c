/*
 * Access tokens (JWT, HS256 only) and refresh tokens.
 *
 * Both are written in one fixed form and read back by that form, so nothing
 * that an attacker writes is ever parsed as JSON or chooses an algorithm.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include <sodium.h>

#include "account/token.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(account_random_bytes);
PG_FUNCTION_INFO_V1(account_token_header);
PG_FUNCTION_INFO_V1(account_access_token);
PG_FUNCTION_INFO_V1(account_refresh_token);
PG_FUNCTION_INFO_V1(account_refresh_token_parts);
PG_FUNCTION_INFO_V1(account_refresh_token_signed);

#define ENCODING sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define TOKEN_MAX_SIZE 512
#define ID_MAX_DIGITS 16
#define RANDOM_MAX_SIZE 1024

/*
 * A refresh token is REFRESH_PREFIX and the base64url of: person, session (8
 * bytes each), counter (4), HMAC-SHA-256 of these under the key of the session.
 * The prefix lets scanners of repositories and logs find leaked ones.
 */
#define REFRESH_PREFIX "rapport-r1-"
#define REFRESH_SIGNED_SIZE 20
#define REFRESH_SIZE (REFRESH_SIGNED_SIZE + CORE_MAC_SIZE)

int64
account_unix_time(int64 timestamp)
{
	int64		seconds = timestamp / USECS_PER_SEC;

	if (timestamp % USECS_PER_SEC < 0)
		seconds--;
	return seconds + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
}

/* Appends the base64url of the bytes. */
static void
append_encoded(StringInfo out, const void *bytes, size_t size)
{
	size_t		room = sodium_base64_encoded_len(size, ENCODING);

	enlargeStringInfo(out, room);
	sodium_bin2base64(out->data + out->len, room, bytes, size, ENCODING);
	out->len += strlen(out->data + out->len);
}

/* Whether the text goes on with the literal; moves behind it. */
static bool
skip_literal(const char **at, const char *end, const char *literal)
{
	size_t		size = strlen(literal);

	if ((size_t) (end - *at) < size || memcmp(*at, literal, size) != 0)
		return false;
	*at += size;
	return true;
}

/* Reads a number without sign or leading zero; moves behind it. */
static bool
read_number(const char **at, const char *end, int64 *number)
{
	const char *start = *at;

	*number = 0;
	while (*at < end && **at >= '0' && **at <= '9' && *at - start < ID_MAX_DIGITS)
		*number = *number * 10 + (*(*at)++ - '0');
	return *at > start && (*start != '0' || *at == start + 1);
}

bool
account_read_token(const char *text, size_t size, AccessToken *token)
{
	const char *dot;
	const char *second;
	const char *at;
	const char *end;
	char		payload[TOKEN_MAX_SIZE];
	size_t		payload_size;
	int64		issued;

	if (size == 0 || size > TOKEN_MAX_SIZE)
		return false;
	dot = memchr(text, '.', size);
	if (dot == NULL)
		return false;
	second = memchr(dot + 1, '.', text + size - dot - 1);
	if (second == NULL)
		return false;
	if (sodium_base642bin((unsigned char *) payload, sizeof(payload), dot + 1, second - dot - 1,
						  NULL, &payload_size, &end, ENCODING) != 0 || end != second)
		return false;

	token->text = text;
	token->header_size = dot - text;
	token->signed_size = second - text;
	token->size = size;

	at = payload;
	end = payload + payload_size;
	if (!skip_literal(&at, end, "{\"sub\":\"") || !read_number(&at, end, &token->person) ||
		!skip_literal(&at, end, "\",\"sid\":\"") || !read_number(&at, end, &token->session) ||
		!skip_literal(&at, end, "\",\"role\":\""))
		return false;
	while (at < end && *at >= 'a' && *at <= 'z')
		at++;
	return skip_literal(&at, end, "\",\"iat\":") && read_number(&at, end, &issued) &&
		skip_literal(&at, end, ",\"exp\":") && read_number(&at, end, &token->expires) &&
		skip_literal(&at, end, "}") && at == end;
}

/* Appends a dot and the signature of what the buffer holds. */
static void
append_signature(StringInfo token, const uint8 *secret, size_t secret_size)
{
	uint8		mac[CORE_MAC_SIZE];

	core_hmac(secret, secret_size, token->data, token->len, mac);
	appendStringInfoChar(token, '.');
	append_encoded(token, mac, sizeof(mac));
}

bool
account_token_signed(const AccessToken *token, const uint8 *secret, size_t secret_size)
{
	StringInfoData ours;
	bool		same;

	initStringInfo(&ours);
	appendBinaryStringInfo(&ours, token->text, token->signed_size);
	append_signature(&ours, secret, secret_size);
	same = (size_t) ours.len == token->size && core_equal(ours.data, token->text, token->size);
	pfree(ours.data);
	return same;
}

Datum
account_random_bytes(PG_FUNCTION_ARGS)
{
	int32		size = PG_GETARG_INT32(0);
	bytea	   *bytes;

	if (size < 1 || size > RANDOM_MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of random bytes must be between 1 and %d", RANDOM_MAX_SIZE)));
	bytes = palloc(VARHDRSZ + size);
	SET_VARSIZE(bytes, VARHDRSZ + size);
	randombytes_buf(VARDATA(bytes), size);
	PG_RETURN_BYTEA_P(bytes);
}

/* The encoded header of the tokens of a key, by the key's id. */
Datum
account_token_header(PG_FUNCTION_ARGS)
{
	StringInfoData json;
	StringInfoData encoded;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
					 text_to_cstring(PG_GETARG_TEXT_PP(0)));
	initStringInfo(&encoded);
	append_encoded(&encoded, json.data, json.len);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(encoded.data, encoded.len));
}

/* Arguments: header, secret, person, session, role, time of issue, seconds. */
Datum
account_access_token(PG_FUNCTION_ARGS)
{
	text	   *header = PG_GETARG_TEXT_PP(0);
	bytea	   *secret = PG_GETARG_BYTEA_PP(1);
	int64		issued = account_unix_time(PG_GETARG_TIMESTAMPTZ(5));
	StringInfoData payload;
	StringInfoData token;

	initStringInfo(&payload);
	appendStringInfo(&payload,
					 "{\"sub\":\"" INT64_FORMAT "\",\"sid\":\"" INT64_FORMAT "\",\"role\":\"%s\",\"iat\":"
					 INT64_FORMAT ",\"exp\":" INT64_FORMAT "}",
					 PG_GETARG_INT64(2), PG_GETARG_INT64(3), text_to_cstring(PG_GETARG_TEXT_PP(4)),
					 issued, issued + PG_GETARG_INT32(6));
	initStringInfo(&token);
	appendBinaryStringInfo(&token, VARDATA_ANY(header), VARSIZE_ANY_EXHDR(header));
	appendStringInfoChar(&token, '.');
	append_encoded(&token, payload.data, payload.len);
	append_signature(&token, (const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token.data, token.len));
}

/* Arguments: person, session, counter, key of the session. */
Datum
account_refresh_token(PG_FUNCTION_ARGS)
{
	uint64		person = pg_hton64((uint64) PG_GETARG_INT64(0));
	uint64		session = pg_hton64((uint64) PG_GETARG_INT64(1));
	uint32		counter = pg_hton32((uint32) PG_GETARG_INT32(2));
	bytea	   *key = PG_GETARG_BYTEA_PP(3);
	uint8		bytes[REFRESH_SIZE];
	StringInfoData token;

	memcpy(bytes, &person, 8);
	memcpy(bytes + 8, &session, 8);
	memcpy(bytes + 16, &counter, 4);
	core_hmac((const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key),
			  bytes, REFRESH_SIGNED_SIZE, bytes + REFRESH_SIGNED_SIZE);
	initStringInfo(&token);
	appendStringInfoString(&token, REFRESH_PREFIX);
	append_encoded(&token, bytes, sizeof(bytes));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token.data, token.len));
}

/* Whether the text has the shape of a refresh token; its bytes. */
static bool
decode_refresh_token(text *token, uint8 *bytes)
{
	const char *at = VARDATA_ANY(token);
	const char *end = at + VARSIZE_ANY_EXHDR(token);
	const char *stop;
	size_t		size;

	return skip_literal(&at, end, REFRESH_PREFIX) &&
		sodium_base642bin(bytes, REFRESH_SIZE, at, end - at, NULL, &size, &stop, ENCODING) == 0 &&
		stop == end && size == REFRESH_SIZE;
}

/* (person, session, counter) of a refresh token, unverified; nulls when malformed. */
Datum
account_refresh_token_parts(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	uint8		bytes[REFRESH_SIZE];
	uint64		person;
	uint64		session;
	uint32		counter;
	Datum		values[3] = {0};
	bool		nulls[3] = {true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (decode_refresh_token(PG_GETARG_TEXT_PP(0), bytes))
	{
		memcpy(&person, bytes, 8);
		memcpy(&session, bytes + 8, 8);
		memcpy(&counter, bytes + 16, 4);
		values[0] = Int64GetDatum((int64) pg_ntoh64(person));
		values[1] = Int64GetDatum((int64) pg_ntoh64(session));
		values[2] = Int32GetDatum((int32) pg_ntoh32(counter));
		memset(nulls, false, sizeof(nulls));
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Whether a refresh token was made with the key of its session. */
Datum
account_refresh_token_signed(PG_FUNCTION_ARGS)
{
	bytea	   *key = PG_GETARG_BYTEA_PP(1);
	uint8		bytes[REFRESH_SIZE];
	uint8		mac[CORE_MAC_SIZE];

	if (!decode_refresh_token(PG_GETARG_TEXT_PP(0), bytes))
		PG_RETURN_BOOL(false);
	core_hmac((const uint8 *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key),
			  bytes, REFRESH_SIGNED_SIZE, mac);
	PG_RETURN_BOOL(core_equal(mac, bytes + REFRESH_SIGNED_SIZE, CORE_MAC_SIZE));
}
