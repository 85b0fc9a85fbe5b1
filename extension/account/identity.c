/*
 * Who is calling.
 *
 * Identity is a set of settings that only a superuser, or this file, may set.
 * The server keeps settings right across savepoints, aborts, PREPARE and
 * parallel workers; the C variables behind them are only ever written by their
 * assign hooks, so they follow.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include <sodium.h>

#include "account/account.h"
#include "account/token.h"
#include "core/core.h"

PG_FUNCTION_INFO_V1(account_current_person_sql);
PG_FUNCTION_INFO_V1(account_current_session_sql);
PG_FUNCTION_INFO_V1(account_acting_person_sql);
PG_FUNCTION_INFO_V1(account_hold_person_sql);
PG_FUNCTION_INFO_V1(account_require);
PG_FUNCTION_INFO_V1(account_request_begin);
PG_FUNCTION_INFO_V1(account_act_as);
PG_FUNCTION_INFO_V1(account_act_as_external);

/* What a person may be, each including those before it; the index is the rank. */
static const char *const roles[] = {"", "user", "moderator", "admin"};

#define ROLE_NONE 0

typedef struct Identity
{
	int64		person;
	int64		session;
	int			role;
	bool		active;
} Identity;

static char *person_setting = NULL;
static char *session_setting = NULL;
static char *role_setting = NULL;

static int64 current_person = 0;
static int64 current_session = 0;
static int	current_role = ROLE_NONE;

/* The index of the role in roles, -1 when there is no such role. */
static int
find_role(const char *name)
{
	for (int i = 0; i < (int) lengthof(roles); i++)
	{
		if (strcmp(roles[i], name) == 0)
			return i;
	}
	return -1;
}

static bool
check_id(char **value, void **extra, GucSource source)
{
	int64		id = 0;
	char	   *end;

	if ((*value)[0] != '\0')
	{
		errno = 0;
		id = strtoll(*value, &end, 10);
		if (errno != 0 || *end != '\0' || id < 0)
			return false;
	}
	*extra = core_guc_malloc(sizeof(int64));
	if (*extra == NULL)
		return false;
	*(int64 *) *extra = id;
	return true;
}

static void
assign_person(const char *value, void *extra)
{
	current_person = *(int64 *) extra;
}

static void
assign_session(const char *value, void *extra)
{
	current_session = *(int64 *) extra;
}

static bool
check_verified_role(char **value, void **extra, GucSource source)
{
	return find_role(*value) >= 0;
}

static void
assign_verified_role(const char *value, void *extra)
{
	current_role = find_role(value);
}

void
account_init(void)
{
	/*
	 * RESET ALL may clear them: it makes nobody of a person, and DISCARD ALL
	 * between two users of a pooled connection must.
	 */
	const int	flags = GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE;

	if (sodium_init() < 0)
		elog(ERROR, "could not initialise libsodium");
	DefineCustomStringVariable("rapport.person",
							   "The id of the person who is acting, 0 for nobody.",
							   "Set by request_begin() and act_as().",
							   &person_setting, "0",
							   PGC_SUSET, flags, check_id, assign_person, NULL);
	DefineCustomStringVariable("rapport.session",
							   "The id of the session whose token is in use, 0 for none.",
							   "Set by request_begin().",
							   &session_setting, "0",
							   PGC_SUSET, flags, check_id, assign_session, NULL);
	DefineCustomStringVariable("rapport.verified_role",
							   "What the person who is acting may do: user, moderator or admin; empty for nobody.",
							   "Set by request_begin() and act_as().",
							   &role_setting, "",
							   PGC_SUSET, flags, check_verified_role, assign_verified_role, NULL);
}

int64
account_current_person(void)
{
	return current_person;
}

/* Tells these locks from those of pg_advisory_lock(), which have 1 or 2 there. */
#define PERSON_LOCK 0x5250

/* Locks the person until the transaction ends; whether it did not hold this lock before. */
static bool
lock_person(int64 person, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (person >> 32), (uint32) person, PERSON_LOCK);
	return LockAcquire(&tag, mode, false, false) == LOCKACQUIRE_OK;
}

/* Whether the person exists now, whatever the snapshot of the statement says. */
static bool
person_exists(int64 person)
{
	CoreKey		key = {F_INT8EQ, Int64GetDatum(person)};
	CoreScan	scan;
	bool		found;

	core_scan_begin(&scan, "person", GetLatestSnapshot(), 1, &key);
	found = core_scan_next(&scan) != NULL;
	core_scan_end(&scan);
	return found;
}

/* Holds whoever acts, in a transaction that may write; whether that is new. */
static bool
hold_acting_person(void)
{
	if (current_person == 0)
		core_fail("authentication_required", NULL);
	return !XactReadOnly && !IsInParallelMode() && lock_person(current_person, ShareLock);
}

void
account_check_acting_person(void)
{
	if (!person_exists(current_person))
		core_fail("authentication_required", "This person is no longer there.");
}

/* Erasing the person waits for it, and it finds that the person is gone when it had to wait. */
int64
account_acting_person(void)
{
	if (hold_acting_person())
		account_check_acting_person();
	return current_person;
}

/* A snapshot that is kept may be older than the hold. */
int64
account_held_person(void)
{
	if (hold_acting_person() && IsolationUsesXactSnapshot())
		account_check_acting_person();
	return current_person;
}

/* Arguments: person, alone. */
Datum
account_hold_person_sql(PG_FUNCTION_ARGS)
{
	int64		person = PG_GETARG_INT64(0);

	if (lock_person(person, PG_GETARG_BOOL(1) ? ExclusiveLock : ShareLock) && !person_exists(person))
		core_fail("not_found", NULL);
	PG_RETURN_VOID();
}

Datum
account_current_person_sql(PG_FUNCTION_ARGS)
{
	if (current_person == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(current_person);
}

Datum
account_current_session_sql(PG_FUNCTION_ARGS)
{
	if (current_session == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(current_session);
}

Datum
account_acting_person_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(account_acting_person());
}

Datum
account_require(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			role = find_role(name);

	if (role <= ROLE_NONE)
		core_fail("invalid_value", "The role is user, moderator or admin.");
	account_acting_person();
	if (current_role < role)
		core_fail("forbidden", "This needs the role %s.", name);
	PG_RETURN_VOID();
}

static void
set_setting(const char *name, const char *value, bool is_local)
{
	set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
					  is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
}

static void
set_id(const char *name, int64 id, bool is_local)
{
	char		value[MAXINT8LEN + 1];

	pg_lltoa(id, value);
	set_setting(name, value, is_local);
}

/*
 * Makes the identity the current one and then, last, switches to database_role:
 * whatever comes after runs with its rights only.
 */
static void
assume(const Identity *identity, const char *database_role, bool is_local)
{
	set_id("rapport.person", identity->person, is_local);
	set_id("rapport.session", identity->session, is_local);
	set_setting("rapport.verified_role", roles[identity->role], is_local);
	set_setting("role", database_role, is_local);
}

static void
assume_person(const Identity *identity, bool is_local)
{
	if (!identity->active)
		core_fail("suspended", NULL);
	assume(identity, psprintf("rapport_%s", roles[identity->role]), is_local);
}

/* A column of the only row. */
static Datum
result(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* Reads (role text, active boolean) from two columns; false when they are null. */
static bool
read_state(Identity *identity, int column)
{
	bool		isnull;
	Datum		value = result(column, &isnull);

	if (isnull)
		return false;
	identity->role = find_role(TextDatumGetCString(value));
	if (identity->role <= ROLE_NONE)
		elog(ERROR, "person " INT64_FORMAT " has an unknown role", identity->person);
	identity->active = DatumGetBool(result(column + 1, &isnull));
	return true;
}

/*
 * Looks up what the token claims. Everything the token says is checked against
 * the key and the session row: revoking a session, changing a role and
 * suspending a person take effect with the next request. One that may write
 * holds the person, as account_acting_person() does, and looks thereafter.
 */
static void
verify_token(const char *text, size_t size, bool read_only, Identity *identity)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID};
	Datum		values[4];
	AccessToken token;
	CoreUser	user;
	bool		valid = false;
	bool		isnull;

	if (!account_read_token(text, size, &token))
		core_fail("invalid_token", NULL);

	values[0] = PointerGetDatum(cstring_to_text_with_len(token.text, token.header_size));
	values[1] = Int64GetDatum(token.person);
	values[2] = Int64GetDatum(token.session);
	values[3] = TimestampTzGetDatum(core_now());
	identity->person = token.person;
	identity->session = token.session;
	if (!read_only)
		lock_person(token.person, ShareLock);

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(&plan,
				   "SELECT k.secret, p.role, p.state OPERATOR(pg_catalog.=) 'active'"
				   " FROM rapport.signing_key AS k"
				   " LEFT JOIN rapport.session AS s"
				   " ON s.person_id OPERATOR(pg_catalog.=) $2"
				   " AND s.session_id OPERATOR(pg_catalog.=) $3"
				   " AND s.expires_at OPERATOR(pg_catalog.>) $4"
				   " LEFT JOIN rapport.person AS p"
				   " ON p.person_id OPERATOR(pg_catalog.=) s.person_id"
				   " WHERE k.header OPERATOR(pg_catalog.=) $1", 4, types);
	if (SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot, true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a session");
	if (SPI_processed == 1)
	{
		bytea	   *secret = DatumGetByteaPP(result(1, &isnull));

		valid = account_token_signed(&token, (const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret));
		if (valid && token.expires <= account_unix_time(core_now()))
			core_fail("expired_token", NULL);
		valid = valid && read_state(identity, 2);
	}
	SPI_finish();
	core_restore_user(&user);
	if (!valid)
		core_fail("invalid_token", NULL);
}

/* Arguments: token or null, read only, timeout in ms or null; the person or 0. */
Datum
account_request_begin(PG_FUNCTION_ARGS)
{
	Identity	identity = {0};
	bool		signed_in = !PG_ARGISNULL(0);
	bool		read_only = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	if (signed_in)
	{
		text	   *token = PG_GETARG_TEXT_PP(0);

		verify_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), read_only, &identity);
	}
	if (read_only)
		set_setting("transaction_read_only", "on", true);
	if (!PG_ARGISNULL(2))
		set_id("statement_timeout", PG_GETARG_INT32(2), true);
	if (signed_in)
		assume_person(&identity, true);
	else
		assume(&identity, "rapport_anon", true);
	PG_RETURN_INT64(identity.person);
}

/*
 * The check is on the session user, who does not change with the role: after
 * the first call the current user is but rapport_user.
 */
static void
check_may_act_as(void)
{
	Oid			user = GetSessionUserId();

	if (!superuser_arg(user) && !is_member_of_role(user, get_role_oid("rapport_service", false)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to act as a person"),
				 errhint("Log in as a superuser or a member of rapport_service.")));
}

/* Finds a person by the value of the plan's only parameter; not_found otherwise. */
static void
find_person(SPIPlanPtr *plan, const char *query, Oid type, Datum value, Identity *identity)
{
	CoreUser	user;
	bool		found;
	bool		isnull;

	core_become_owner(&user);
	SPI_connect();
	core_keep_plan(plan, query, 1, &type);
	if (SPI_execute_plan(*plan, &value, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a person");
	found = SPI_processed == 1;
	if (found)
	{
		identity->person = DatumGetInt64(result(1, &isnull));
		read_state(identity, 2);
	}
	SPI_finish();
	core_restore_user(&user);
	if (!found)
		core_fail("not_found", "There is no such person.");
}

/* Arguments: person or null for nobody, is_local. */
Datum
account_act_as(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Identity	identity = {0};
	bool		is_local = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	check_may_act_as();
	if (PG_ARGISNULL(0))
	{
		assume(&identity, "none", is_local);
		PG_RETURN_VOID();
	}
	find_person(&plan,
				"SELECT person_id, role, state OPERATOR(pg_catalog.=) 'active'"
				" FROM rapport.person"
				" WHERE person_id OPERATOR(pg_catalog.=) $1",
				INT8OID, PG_GETARG_DATUM(0), &identity);
	assume_person(&identity, is_local);
	PG_RETURN_VOID();
}

/* Arguments: external id or null for nobody, is_local. */
Datum
account_act_as_external(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Identity	identity = {0};
	bool		is_local = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

	check_may_act_as();
	if (PG_ARGISNULL(0))
	{
		assume(&identity, "none", is_local);
		PG_RETURN_VOID();
	}
	find_person(&plan,
				"SELECT p.person_id, p.role, p.state OPERATOR(pg_catalog.=) 'active'"
				" FROM rapport.external_identity AS e"
				" JOIN rapport.person AS p ON p.person_id OPERATOR(pg_catalog.=) e.person_id"
				" WHERE e.external_id OPERATOR(pg_catalog.=) $1",
				TEXTOID, PG_GETARG_DATUM(0), &identity);
	assume_person(&identity, is_local);
	PG_RETURN_VOID();
}
