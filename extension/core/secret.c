/*
 * Secrets of the database, message authentication and ids.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include <sodium.h>

#include "core/core.h"

PG_FUNCTION_INFO_V1(core_new_id_sql);
PG_FUNCTION_INFO_V1(core_mac_sql);

#define ID_HALF_BITS 26
#define ID_HALF_MASK ((UINT64CONST(1) << ID_HALF_BITS) - 1)
#define ID_ROUNDS 8
#define MAC_TEXT_BYTES 16

/* A committed secret, remembered for the table it was read from. */
typedef struct Secret
{
	struct Secret *next;
	Oid			table;
	char		name[NAMEDATALEN];
	uint8		bytes[CORE_SECRET_SIZE];
} Secret;

static Secret *secrets = NULL;

/*
 * Reads, or makes, the secret. *settled tells whether the row can no longer
 * vanish with this transaction.
 */
static void
read_secret(const char *name, uint8 *bytes, bool *settled)
{
	static SPIPlanPtr plan = NULL;
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);
	CoreUser	user;
	Datum		column;
	bool		isnull;

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan,
				   "SELECT s.secret, (SELECT k.xmin FROM rapport.database_key AS k"
				   "                  WHERE k.name OPERATOR(pg_catalog.=) $1)"
				   " FROM (SELECT rapport.database_secret($1) AS secret OFFSET 0) AS s",
				   1, &type);
	if (SPI_execute_plan(plan, &value, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the secret \"%s\"", name);
	column = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the secret \"%s\" is not visible to this transaction", name),
				 errhint("Another transaction may just have made it: try again.")));
	if (VARSIZE_ANY_EXHDR(DatumGetPointer(column)) != CORE_SECRET_SIZE)
		elog(ERROR, "the secret \"%s\" has the wrong size", name);
	memcpy(bytes, VARDATA_ANY(DatumGetPointer(column)), CORE_SECRET_SIZE);
	column = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	*settled = !isnull && !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(column));
	SPI_finish();
	core_restore_user(&user);
}

const uint8 *
core_secret(const char *name)
{
	Oid			table = core_table("database_key");
	Secret	   *secret;
	uint8	   *bytes;
	bool		settled;

	for (secret = secrets; secret != NULL; secret = secret->next)
	{
		if (secret->table == table && strcmp(secret->name, name) == 0)
			return secret->bytes;
	}

	bytes = palloc(CORE_SECRET_SIZE);
	read_secret(name, bytes, &settled);
	if (!settled)
		return bytes;
	secret = MemoryContextAllocZero(TopMemoryContext, sizeof(Secret));
	secret->table = table;
	strlcpy(secret->name, name, NAMEDATALEN);
	memcpy(secret->bytes, bytes, CORE_SECRET_SIZE);
	secret->next = secrets;
	secrets = secret;
	pfree(bytes);
	return secret->bytes;
}

/* A key that was used, hashed: half of the hashing of a short message. */
typedef struct Keyed
{
	size_t		size;			/* 0: none yet */
	uint8		key[64];
	crypto_auth_hmacsha256_state state;
} Keyed;

/* The state that begins with a key; those of the last few are kept. */
static crypto_auth_hmacsha256_state
keyed_state(const uint8 *key, size_t size)
{
	static Keyed kept[4];
	static int	next = 0;
	Keyed	   *keyed;

	for (int i = 0; i < (int) lengthof(kept); i++)
	{
		if (kept[i].size == size && size > 0 && core_equal(kept[i].key, key, size))
			return kept[i].state;
	}
	keyed = &kept[next];
	next = (next + 1) % lengthof(kept);
	keyed->size = size <= sizeof(keyed->key) ? size : 0;
	memcpy(keyed->key, key, keyed->size);
	crypto_auth_hmacsha256_init(&keyed->state, key, size);
	return keyed->state;
}

/* Not pg_hmac_create(): to look up and set up OpenSSL's costs more than all the hashing. */
void
core_hmac(const uint8 *key, size_t key_size, const void *message, size_t size, uint8 *mac)
{
	crypto_auth_hmacsha256_state state = keyed_state(key, key_size);

	crypto_auth_hmacsha256_update(&state, message, size);
	crypto_auth_hmacsha256_final(&state, mac);
}

bool
core_equal(const void *a, const void *b, size_t size)
{
	return sodium_memcmp(a, b, size) == 0;
}

/*
 * A Feistel network over 52 bits with SipHash-2-4 as its round function: a
 * permutation, so ids never collide, that shows neither order nor count.
 */
static uint64
permute(uint64 value, const uint8 *key)
{
	uint64		left = value >> ID_HALF_BITS;
	uint64		right = value & ID_HALF_MASK;

	for (uint64 round = 0; round < ID_ROUNDS; round++)
	{
		uint64		message = (round << ID_HALF_BITS) | right;
		uint8		hash[crypto_shorthash_BYTES];
		uint64		mixed;

		crypto_shorthash(hash, (const uint8 *) &message, sizeof(message), key);
		memcpy(&mixed, hash, sizeof(mixed));
		mixed = (left ^ mixed) & ID_HALF_MASK;
		left = right;
		right = mixed;
	}
	return (left << ID_HALF_BITS) | right;
}

int64
core_new_id(void)
{
	const uint8 *key = core_secret("ids");
	Oid			sequence = core_table("id_sequence");
	CoreUser	user;
	uint64		id;

	core_become_owner(&user);
	do
	{
		int64		count = nextval_internal(sequence, true);

		if (count >= INT64CONST(1) << (2 * ID_HALF_BITS))
			ereport(ERROR,
					(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
					 errmsg("all ids have been given")));
		id = permute((uint64) count, key);
	} while (id == 0);
	core_restore_user(&user);
	return (int64) id;
}

Datum
core_new_id_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(core_new_id());
}

Datum
core_mac_sql(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	text	   *message = PG_GETARG_TEXT_PP(1);
	uint8		mac[CORE_MAC_SIZE];
	char		hex[2 * MAC_TEXT_BYTES + 1];

	core_hmac(core_secret(name), CORE_SECRET_SIZE,
			  VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message), mac);
	sodium_bin2hex(hex, sizeof(hex), mac, MAC_TEXT_BYTES);
	PG_RETURN_TEXT_P(cstring_to_text(hex));
}
