/*
 * Page cursors: a short text sealed under a secret of the database, so that a
 * client can neither read it (it may hold an exact cost, and with it a
 * distance) nor make one.
 *
 * The tag is a MAC of scope and text and seeds the key stream the text is
 * hidden with: deterministic authenticated encryption, nothing to store.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include <sodium.h>

#include "core/core.h"
#include "match/cursor.h"

PG_FUNCTION_INFO_V1(match_seal_sql);
PG_FUNCTION_INFO_V1(match_unseal_sql);

#define TAG_SIZE 16
#define MAX_TEXT_SIZE 1024
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

/*
 * The two keyed hashes as far as they are the same for every text of a scope. A
 * call that seals many rows begins each from here.
 */
struct MatchSealer
{
	uint8		secret[CORE_SECRET_SIZE];
	crypto_auth_hmacsha256_state tag;	/* has taken the scope, after its length: no two pairs run together */
	crypto_auth_hmacsha256_state stream;
	uint32		scope_size;
	char		scope[];
};

const MatchSealer *
match_sealer(FmgrInfo *caller, const text *scope)
{
	MatchSealer *sealer = caller->fn_extra;
	const uint8 *secret = core_secret("cursors");
	uint32		size = VARSIZE_ANY_EXHDR(scope);

	if (sealer != NULL && sealer->scope_size == size && memcmp(sealer->scope, VARDATA_ANY(scope), size) == 0 &&
		memcmp(sealer->secret, secret, CORE_SECRET_SIZE) == 0)
		return sealer;
	caller->fn_extra = NULL;
	if (sealer != NULL)
		pfree(sealer);
	sealer = MemoryContextAlloc(caller->fn_mcxt, offsetof(MatchSealer, scope) + size);
	memcpy(sealer->secret, secret, CORE_SECRET_SIZE);
	sealer->scope_size = size;
	memcpy(sealer->scope, VARDATA_ANY(scope), size);
	crypto_auth_hmacsha256_init(&sealer->stream, secret, CORE_SECRET_SIZE);
	sealer->tag = sealer->stream;
	crypto_auth_hmacsha256_update(&sealer->tag, (const uint8 *) "t", 1);
	crypto_auth_hmacsha256_update(&sealer->tag, (const uint8 *) &size, sizeof(size));
	crypto_auth_hmacsha256_update(&sealer->tag, (const uint8 *) sealer->scope, size);
	caller->fn_extra = sealer;
	return sealer;
}

static void
make_tag(const MatchSealer *sealer, const uint8 *plain, size_t size, uint8 *tag)
{
	crypto_auth_hmacsha256_state state = sealer->tag;
	uint8		mac[CORE_MAC_SIZE];

	crypto_auth_hmacsha256_update(&state, plain, size);
	crypto_auth_hmacsha256_final(&state, mac);
	memcpy(tag, mac, TAG_SIZE);
}

/* Turns plain into hidden and back, in place. */
static void
apply_stream(const MatchSealer *sealer, const uint8 *tag, uint8 *data, size_t size)
{
	uint8		block[1 + TAG_SIZE + 1];
	uint8		stream[CORE_MAC_SIZE];

	block[0] = 's';
	memcpy(block + 1, tag, TAG_SIZE);
	for (size_t i = 0; i < size; i++)
	{
		if (i % CORE_MAC_SIZE == 0)
		{
			crypto_auth_hmacsha256_state state = sealer->stream;

			block[1 + TAG_SIZE] = (uint8) (i / CORE_MAC_SIZE);
			crypto_auth_hmacsha256_update(&state, block, sizeof(block));
			crypto_auth_hmacsha256_final(&state, stream);
		}
		data[i] ^= stream[i % CORE_MAC_SIZE];
	}
}

text *
match_seal(const MatchSealer *sealer, const char *plain, size_t size)
{
	uint8		sealed[TAG_SIZE + MAX_TEXT_SIZE];
	char		out[sodium_base64_ENCODED_LEN(TAG_SIZE + MAX_TEXT_SIZE, BASE64)];

	if (size > MAX_TEXT_SIZE)
		elog(ERROR, "a cursor of %zu bytes is too long", size);
	make_tag(sealer, (const uint8 *) plain, size, sealed);
	memcpy(sealed + TAG_SIZE, plain, size);
	apply_stream(sealer, sealed, sealed + TAG_SIZE, size);
	sodium_bin2base64(out, sizeof(out), sealed, TAG_SIZE + size, BASE64);
	return cstring_to_text(out);
}

/* seal(scope text, plain text) RETURNS text */
Datum
match_seal_sql(PG_FUNCTION_ARGS)
{
	text	   *plain = PG_GETARG_TEXT_PP(1);

	PG_RETURN_TEXT_P(match_seal(match_sealer(fcinfo->flinfo, PG_GETARG_TEXT_PP(0)), VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain)));
}

text *
match_unseal(const MatchSealer *sealer, const text *in)
{
	uint8		sealed[TAG_SIZE + MAX_TEXT_SIZE];
	uint8		tag[TAG_SIZE];
	size_t		size;

	if (sodium_base642bin(sealed, sizeof(sealed), VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in),
						  NULL, &size, NULL, BASE64) != 0 ||
		size < TAG_SIZE)
		return NULL;
	size -= TAG_SIZE;
	apply_stream(sealer, sealed, sealed + TAG_SIZE, size);
	make_tag(sealer, sealed + TAG_SIZE, size, tag);
	if (!core_equal(tag, sealed, TAG_SIZE))
		return NULL;
	return cstring_to_text_with_len((char *) sealed + TAG_SIZE, (int) size);
}

/* unseal(scope text, sealed text) RETURNS text, NULL when it is not ours */
Datum
match_unseal_sql(PG_FUNCTION_ARGS)
{
	text	   *plain = match_unseal(match_sealer(fcinfo->flinfo, PG_GETARG_TEXT_PP(0)), PG_GETARG_TEXT_PP(1));

	if (plain == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(plain);
}
