/*
 * Page cursors: a short text sealed under a secret of the database, so that a
 * client can neither read it (it may hold an exact cost, and with it a
 * distance) nor make one.
 *
 * The tag is a MAC of the text, and the nonce of the stream that hides it, under
 * keys of the scope: deterministic authenticated encryption, nothing to store.
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

/* The keys of a scope. */
struct MatchSealer
{
	uint8		secret[CORE_SECRET_SIZE];	/* that they are made of */
	struct
	{
		uint8		tag[crypto_generichash_KEYBYTES];
		uint8		stream[crypto_stream_xchacha20_KEYBYTES];
	}			keys;
	uint32		scope_size;
	char		scope[];
};

StaticAssertDecl(sizeof(((MatchSealer *) NULL)->keys) <= crypto_generichash_BYTES_MAX, "one hash makes both keys");
StaticAssertDecl(TAG_SIZE >= crypto_generichash_BYTES_MIN && TAG_SIZE <= crypto_stream_xchacha20_NONCEBYTES,
				 "a tag is a hash, and goes into a nonce");

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
	crypto_generichash((uint8 *) &sealer->keys, sizeof(sealer->keys), (const uint8 *) sealer->scope, size, secret, CORE_SECRET_SIZE);
	caller->fn_extra = sealer;
	return sealer;
}

static void
make_tag(const MatchSealer *sealer, const uint8 *plain, size_t size, uint8 *tag)
{
	crypto_generichash(tag, TAG_SIZE, plain, size, sealer->keys.tag, sizeof(sealer->keys.tag));
}

/* Turns plain into hidden and back, in place. */
static void
apply_stream(const MatchSealer *sealer, const uint8 *tag, uint8 *data, size_t size)
{
	uint8		nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};

	memcpy(nonce, tag, TAG_SIZE);
	crypto_stream_xchacha20_xor(data, data, size, nonce, sealer->keys.stream);
}

/* As sodium_bin2base64(), which takes as long whatever the bytes are; these are no secret. */
static text *
encode(const uint8 *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	text	   *result = palloc(VARHDRSZ + sodium_base64_ENCODED_LEN(size, BASE64));
	char	   *out = VARDATA(result);
	uint32		bits = 0;
	int			n = 0;

	for (size_t i = 0; i < size; i++)
	{
		bits = bits << 8 | bytes[i];
		for (n += 8; n >= 6; n -= 6)
			*out++ = digits[bits >> (n - 6) & 0x3F];
	}
	if (n > 0)
		*out++ = digits[bits << (6 - n) & 0x3F];
	SET_VARSIZE(result, out - (char *) result);
	return result;
}

text *
match_seal(const MatchSealer *sealer, const char *plain, size_t size)
{
	uint8		sealed[TAG_SIZE + MAX_TEXT_SIZE];

	if (size > MAX_TEXT_SIZE)
		elog(ERROR, "a cursor of %zu bytes is too long", size);
	make_tag(sealer, (const uint8 *) plain, size, sealed);
	memcpy(sealed + TAG_SIZE, plain, size);
	apply_stream(sealer, sealed, sealed + TAG_SIZE, size);
	return encode(sealed, TAG_SIZE + size);
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
