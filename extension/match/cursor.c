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

#include <sodium.h>

#include "core/core.h"

PG_FUNCTION_INFO_V1(match_seal_sql);
PG_FUNCTION_INFO_V1(match_unseal_sql);

#define TAG_SIZE 16
#define MAX_TEXT_SIZE 1024
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* The tag of scope and text: length-prefixed, so that no two pairs run together. */
static void
make_tag(const text *scope, const uint8 *plain, size_t size, uint8 *tag)
{
	uint32		scope_size = VARSIZE_ANY_EXHDR(scope);
	size_t		total = 1 + sizeof(scope_size) + scope_size + size;
	uint8	   *message = palloc(total);
	uint8	   *at = message;
	uint8		mac[CORE_MAC_SIZE];

	*at++ = 't';
	memcpy(at, &scope_size, sizeof(scope_size));
	at += sizeof(scope_size);
	memcpy(at, VARDATA_ANY(scope), scope_size);
	at += scope_size;
	memcpy(at, plain, size);
	core_hmac(core_secret("cursors"), CORE_SECRET_SIZE, message, total, mac);
	memcpy(tag, mac, TAG_SIZE);
	pfree(message);
}

/* Turns plain into hidden and back, in place. */
static void
apply_stream(const uint8 *tag, uint8 *data, size_t size)
{
	const uint8 *key = core_secret("cursors");
	uint8		block[1 + TAG_SIZE + 1];
	uint8		stream[CORE_MAC_SIZE];

	block[0] = 's';
	memcpy(block + 1, tag, TAG_SIZE);
	for (size_t i = 0; i < size; i++)
	{
		if (i % CORE_MAC_SIZE == 0)
		{
			block[1 + TAG_SIZE] = (uint8) (i / CORE_MAC_SIZE);
			core_hmac(key, CORE_SECRET_SIZE, block, sizeof(block), stream);
		}
		data[i] ^= stream[i % CORE_MAC_SIZE];
	}
}

/* seal(scope text, plain text) RETURNS text */
Datum
match_seal_sql(PG_FUNCTION_ARGS)
{
	text	   *scope = PG_GETARG_TEXT_PP(0);
	text	   *plain = PG_GETARG_TEXT_PP(1);
	size_t		size = VARSIZE_ANY_EXHDR(plain);
	uint8		sealed[TAG_SIZE + MAX_TEXT_SIZE];
	char		out[sodium_base64_ENCODED_LEN(TAG_SIZE + MAX_TEXT_SIZE, BASE64)];

	if (size > MAX_TEXT_SIZE)
		elog(ERROR, "a cursor of %zu bytes is too long", size);
	make_tag(scope, (uint8 *) VARDATA_ANY(plain), size, sealed);
	memcpy(sealed + TAG_SIZE, VARDATA_ANY(plain), size);
	apply_stream(sealed, sealed + TAG_SIZE, size);
	sodium_bin2base64(out, sizeof(out), sealed, TAG_SIZE + size, BASE64);
	PG_RETURN_TEXT_P(cstring_to_text(out));
}

/* unseal(scope text, sealed text) RETURNS text, NULL when it is not ours */
Datum
match_unseal_sql(PG_FUNCTION_ARGS)
{
	text	   *scope = PG_GETARG_TEXT_PP(0);
	text	   *in = PG_GETARG_TEXT_PP(1);
	uint8		sealed[TAG_SIZE + MAX_TEXT_SIZE];
	uint8		tag[TAG_SIZE];
	size_t		size;

	if (sodium_base642bin(sealed, sizeof(sealed), VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in),
						  NULL, &size, NULL, BASE64) != 0 ||
		size < TAG_SIZE)
		PG_RETURN_NULL();
	size -= TAG_SIZE;
	apply_stream(sealed, sealed + TAG_SIZE, size);
	make_tag(scope, sealed + TAG_SIZE, size, tag);
	if (!core_equal(tag, sealed, TAG_SIZE))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len((char *) sealed + TAG_SIZE, (int) size));
}
