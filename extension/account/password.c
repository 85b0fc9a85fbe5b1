/*
 * Passwords: argon2id of libsodium. Cost is passed in: ops passes over memory
 * MiB. Callers normalise the text (NFC).
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include <sodium.h>

#include "core/compat.h"

PG_FUNCTION_INFO_V1(account_password_hash);
PG_FUNCTION_INFO_V1(account_password_matches);
PG_FUNCTION_INFO_V1(account_password_outdated);

/* The hash as text with its parameters and salt, into a buffer of crypto_pwhash_STRBYTES. */
static void
hash_password(const text *password, int32 ops, int32 memory, char *hash)
{
	if (ops < 1 || memory < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the cost of password hashing must be positive")));
	if (crypto_pwhash_str_alg(hash, VARDATA_ANY(password), VARSIZE_ANY_EXHDR(password),
							  ops, (size_t) memory << 20, crypto_pwhash_ALG_ARGON2ID13) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("not enough memory to hash a password"),
				 errhint("Lower the setting password_memory, or the number of sign-ins at a time.")));
}

/* Arguments: password, ops, memory. */
Datum
account_password_hash(PG_FUNCTION_ARGS)
{
	char		hash[crypto_pwhash_STRBYTES];

	hash_password(PG_GETARG_TEXT_PP(0), PG_GETARG_INT32(1), PG_GETARG_INT32(2), hash);
	PG_RETURN_TEXT_P(cstring_to_text(hash));
}

/*
 * Arguments: hash, password, ops, memory. Without a hash (nobody has that
 * address) the same work is done for nothing, and the answer is false.
 */
Datum
account_password_matches(PG_FUNCTION_ARGS)
{
	text	   *password;
	char		hash[crypto_pwhash_STRBYTES];

	for (int i = 1; i < 4; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("only the hash may be null")));
	password = PG_GETARG_TEXT_PP(1);
	if (PG_ARGISNULL(0))
	{
		hash_password(password, PG_GETARG_INT32(2), PG_GETARG_INT32(3), hash);
		PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(crypto_pwhash_str_verify(text_to_cstring(PG_GETARG_TEXT_PP(0)),
											VARDATA_ANY(password),
											VARSIZE_ANY_EXHDR(password)) == 0);
}

/* Arguments: hash, ops, memory. Whether the hash was made at another cost. */
Datum
account_password_outdated(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(crypto_pwhash_str_needs_rehash(text_to_cstring(PG_GETARG_TEXT_PP(0)),
												  PG_GETARG_INT32(1),
												  (size_t) PG_GETARG_INT32(2) << 20) != 0);
}
