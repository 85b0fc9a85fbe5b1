\echo Use "CREATE EXTENSION rapport CASCADE" to load this file. \quit
-- core: what every topic stands on. State only; functions.sql has the rest.

-- The server lets this script search the schema of PostGIS as well. Whoever may
-- create there could plant a better match for a call or an operator, to be run
-- by the superuser who installs: search it only where PostGIS is meant.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

-- Roles are shared by all databases of a cluster: made if missing, never dropped.
DO $$
DECLARE
	wanted text;
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('rapport roles'));
	FOREACH wanted IN ARRAY ARRAY['rapport_owner', 'rapport_anon', 'rapport_user', 'rapport_moderator',
								  'rapport_admin', 'rapport_service', 'rapport_api']
	LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted);
			IF wanted = 'rapport_api' THEN
				ALTER ROLE rapport_api LOGIN NOINHERIT;
			END IF;
		END IF;
	END LOOP;
	GRANT rapport_anon TO rapport_user;
	GRANT rapport_user TO rapport_moderator, rapport_service;
	GRANT rapport_moderator TO rapport_admin;
	GRANT rapport_anon, rapport_user, rapport_moderator, rapport_admin TO rapport_api;
END;
$$;

COMMENT ON SCHEMA rapport IS 'People who fit each other: profiles, two-way matching, chat, accounts.';
-- Everyone may name the types and their operators; functions and tables have grants of their own.
GRANT USAGE ON SCHEMA rapport TO PUBLIC;

CREATE TABLE rapport.error_code (
	code text PRIMARY KEY,
	status integer NOT NULL CHECK (status BETWEEN 400 AND 599),
	title text NOT NULL,
	hint text
);
COMMENT ON TABLE rapport.error_code IS
'The registry of errors: SQLSTATE is RP and the HTTP status, CONSTRAINT carries the code. Built in, filled by every topic.';

CREATE TABLE rapport.setting_default (
	name text PRIMARY KEY,
	type text NOT NULL CHECK (type IN ('integer', 'integers', 'float', 'boolean', 'text')),
	value text NOT NULL,
	minimum double precision,
	maximum double precision,
	description text NOT NULL
);
COMMENT ON TABLE rapport.setting_default IS 'What can be set, and what holds when it is not. Built in.';

CREATE TABLE rapport.setting (
	name text PRIMARY KEY,
	value text NOT NULL,
	changed_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.setting IS 'The settings of this database that differ from setting_default.';
SELECT pg_catalog.pg_extension_config_dump('rapport.setting', '');

CREATE TABLE rapport.hook_event (
	event text PRIMARY KEY,
	ids text NOT NULL,
	description text NOT NULL
);
COMMENT ON TABLE rapport.hook_event IS 'The events that hooks can be registered for. Built in.';
COMMENT ON COLUMN rapport.hook_event.ids IS 'What the bigint[] passed to the hooks holds, in order.';

CREATE TABLE rapport.hook (
	event text NOT NULL,
	ord integer NOT NULL,
	call text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	PRIMARY KEY (event, ord, call)
);
COMMENT ON TABLE rapport.hook IS
'Functions fn(bigint[]) that run inside the transaction of an event, in the order of ord. Apps add theirs with add_hook().';
COMMENT ON COLUMN rapport.hook.call IS 'schema.function(bigint[]) as text: pg_upgrade refuses columns of type regprocedure.';
SELECT pg_catalog.pg_extension_config_dump('rapport.hook', 'WHERE NOT builtin');

CREATE TABLE rapport.personal_data (
	tab regclass NOT NULL,
	col name NOT NULL,
	class text NOT NULL CHECK (class IN ('identity', 'contact', 'credential', 'demographic', 'location',
										 'content', 'behaviour', 'technical', 'none')),
	on_erase text NOT NULL CHECK (on_erase IN ('delete', 'clear', 'keep')),
	reason text,
	withheld text,
	export_as text,
	PRIMARY KEY (tab, col)
);
COMMENT ON TABLE rapport.personal_data IS 'The class of every column, and what erasing a person does to it. Built in.';
COMMENT ON COLUMN rapport.personal_data.withheld IS 'Why an export leaves the column out; credentials are left out anyway.';
COMMENT ON COLUMN rapport.personal_data.export_as IS 'What an export has instead of a value that only we can read: an expression over a row t.';

CREATE TABLE rapport.subject (
	tab regclass NOT NULL,
	col name NOT NULL,
	own boolean NOT NULL,
	ord integer NOT NULL DEFAULT 100,
	find text,
	on_erase text CHECK (on_erase IN ('delete', 'clear', 'keep')),
	reason text,
	PRIMARY KEY (tab, col),
	CHECK (own = (on_erase IS NULL))
);
COMMENT ON TABLE rapport.subject IS
'Every column that names a person, and how rows are found by it: what erasing and exporting go by. The distribution column of a table of group U needs no row here. Built in.';
COMMENT ON COLUMN rapport.subject.own IS
'Whether the rows are the person''s own, exported and erased as personal_data says, or somebody else''s that name the person.';
COMMENT ON COLUMN rapport.subject.ord IS
'Rows that are found through another table go before that table''s own, which are at 500 in group U.';
COMMENT ON COLUMN rapport.subject.find IS 'Condition on a row t for the people $1 (bigint[]); NULL: t.col = ANY ($1).';
COMMENT ON COLUMN rapport.subject.on_erase IS 'What erasing does to somebody else''s row: delete it, clear this column, or keep it for a reason.';

CREATE TABLE rapport.distribution (
	tab regclass PRIMARY KEY,
	grp "char" NOT NULL CHECK (grp IN ('U', 'P', 'C', 'G', 'L', 'R')),
	col name
);
COMMENT ON TABLE rapport.distribution IS
'How a table spreads over nodes: U by person, P by the lower id of a pair, C by conversation, G by place, L by the looked-up value, R on every node. Built in.';
COMMENT ON COLUMN rapport.distribution.col IS 'The distribution column; it comes first in every primary and unique key.';

CREATE TABLE rapport.dump_exception (
	rel regclass PRIMARY KEY,
	reason text NOT NULL
);
COMMENT ON TABLE rapport.dump_exception IS 'Tables and sequences whose rows a dump leaves out, wholly or in part, and why. Built in.';

CREATE SEQUENCE rapport.id_sequence;
COMMENT ON SEQUENCE rapport.id_sequence IS 'Counts the ids given; new_id() permutes it.';
SELECT pg_catalog.pg_extension_config_dump('rapport.id_sequence', '');

CREATE TABLE rapport.database_key (
	name text PRIMARY KEY,
	secret bytea NOT NULL
);
COMMENT ON TABLE rapport.database_key IS
'Secrets of this database that must survive a dump: the permutation of ids, the MAC of events and of page cursors. Made on first use.';
SELECT pg_catalog.pg_extension_config_dump('rapport.database_key', '');

CREATE TABLE rapport.idempotency (
	person_id bigint NOT NULL,
	key text NOT NULL,
	request_hash bytea NOT NULL,
	body text,
	created_at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, key)
);
COMMENT ON TABLE rapport.idempotency IS 'The first answer to a write that carried an Idempotency-Key, committed with the write.';
COMMENT ON COLUMN rapport.idempotency.key IS 'idempotency_hash() of the key.';
COMMENT ON COLUMN rapport.idempotency.request_hash IS 'SHA-256 of the key and the request.';
CREATE INDEX idempotency_created_at ON rapport.idempotency (created_at);
SELECT pg_catalog.pg_extension_config_dump('rapport.idempotency', 'WHERE false');

-- Owned by whoever installs, as an event trigger belongs to a superuser.
CREATE FUNCTION rapport.guard_drop() RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'core_guard_drop';
COMMENT ON FUNCTION rapport.guard_drop() IS
'Refuses to drop the extension while people exist, unless rapport.allow_drop is on (superuser). Error 55000.';
CREATE EVENT TRIGGER rapport_guard_drop ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION rapport.guard_drop();
COMMENT ON EVENT TRIGGER rapport_guard_drop IS 'Refuses to drop the extension rapport while people exist.';
-- core: functions and built-in rows.

-- As in schema.sql: an update begins here.
SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

-- Every topic fills these anew, so that an update leaves what a fresh install has.
DELETE FROM rapport.error_code;
DELETE FROM rapport.setting_default;
DELETE FROM rapport.hook WHERE builtin;
DELETE FROM rapport.hook_event;
DELETE FROM rapport.personal_data;
DELETE FROM rapport.subject;
DELETE FROM rapport.distribution;
DELETE FROM rapport.dump_exception;

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('bad_request', 400, 'the request cannot be understood', NULL),
	('invalid_json', 400, 'the body is not valid JSON', 'Send one JSON object in UTF-8, without duplicate keys.'),
	('authentication_required', 401, 'nobody is signed in', 'Send "Authorization: Bearer" with an access token from sign-in.'),
	('forbidden', 403, 'this role may not do that', NULL),
	('not_found', 404, 'not found', NULL),
	('method_not_allowed', 405, 'the method is not allowed here', 'The Allow header lists the methods of this path.'),
	('request_timeout', 408, 'the request did not arrive in time', NULL),
	('conflict', 409, 'the change conflicts with what is stored', NULL),
	('key_reused', 409, 'the idempotency key was used for another request', 'Use a new key for a new request.'),
	('too_large', 413, 'the request is too large', NULL),
	('uri_too_long', 414, 'the address is too long', NULL),
	('unsupported_media_type', 415, 'the body must be JSON', 'Send "Content-Type: application/json".'),
	('invalid_value', 422, 'a value is not valid', NULL),
	('missing_field', 422, 'a required field is missing', NULL),
	('unknown_field', 422, 'a field is not known', NULL),
	('wrong_type', 422, 'a field has the wrong type', NULL),
	('out_of_range', 422, 'a value is out of range', NULL),
	('headers_too_large', 431, 'the request headers are too large', NULL),
	('internal', 500, 'internal error', 'The log has the details under the request id.'),
	('unavailable', 503, 'the service is not available', 'Try again in a moment.'),
	('timeout', 503, 'the request took too long', 'Try again in a moment.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('idempotency_days', 'integer', '7', 1, 90, 'Days for which the answer to an idempotency key is kept.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.error_code', 'built in'),
	('rapport.setting_default', 'built in'),
	('rapport.hook', 'built-in rows are made by the install script'),
	('rapport.hook_event', 'built in'),
	('rapport.personal_data', 'built in'),
	('rapport.subject', 'built in'),
	('rapport.distribution', 'built in'),
	('rapport.dump_exception', 'built in'),
	('rapport.idempotency', 'answers to retries are short-lived');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.error_code', 'R', NULL),
	('rapport.setting_default', 'R', NULL),
	('rapport.setting', 'R', NULL),
	('rapport.hook_event', 'R', NULL),
	('rapport.hook', 'R', NULL),
	('rapport.personal_data', 'R', NULL),
	('rapport.subject', 'R', NULL),
	('rapport.distribution', 'R', NULL),
	('rapport.dump_exception', 'R', NULL),
	('rapport.database_key', 'R', NULL),
	('rapport.idempotency', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT c.oid, a.attname, 'none', 'keep', 'catalogue of the extension'
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.oid IN ('rapport.error_code'::regclass, 'rapport.setting_default'::regclass, 'rapport.setting'::regclass,
				'rapport.hook_event'::regclass, 'rapport.hook'::regclass, 'rapport.personal_data'::regclass, 'rapport.subject'::regclass,
				'rapport.distribution'::regclass, 'rapport.dump_exception'::regclass, 'rapport.database_key'::regclass);
INSERT INTO rapport.personal_data (tab, col, class, on_erase) VALUES
	('rapport.idempotency', 'person_id', 'technical', 'delete'),
	('rapport.idempotency', 'key', 'technical', 'delete'),
	('rapport.idempotency', 'request_hash', 'technical', 'delete'),
	('rapport.idempotency', 'body', 'content', 'delete'),
	('rapport.idempotency', 'created_at', 'technical', 'delete');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('person_changed', 'any number of person ids', 'A profile, preference or state that matching reads has changed.'),
	('person_erased', 'any number of person ids', 'The people are about to be erased.');

CREATE FUNCTION rapport.subjects()
RETURNS TABLE (tab regclass, col name, own boolean, ord integer, find text, on_erase text)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.tab, s.col, s.own, s.ord, coalesce(s.find, format('t.%I = ANY ($1)', s.col)), s.on_erase
	FROM rapport.subject AS s
	UNION ALL
	SELECT d.tab, d.col, true, 500, format('t.%I = ANY ($1)', d.col), NULL
	FROM rapport.distribution AS d
	WHERE d.grp = 'U'
	AND NOT EXISTS (SELECT FROM rapport.subject AS s WHERE s.tab = d.tab AND s.col = d.col);
END;
COMMENT ON FUNCTION rapport.subjects() IS
'The rows of rapport.subject, with those that the tables of group U need not have and the conditions written out.';

CREATE FUNCTION rapport.fail(code text, detail text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_fail_sql';
COMMENT ON FUNCTION rapport.fail(text, text) IS
'Raises a registered error: SQLSTATE is RP and its HTTP status, CONSTRAINT the code, MESSAGE the title, HINT its hint.';

CREATE FUNCTION rapport.now() RETURNS timestamp with time zone
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_now_sql';
COMMENT ON FUNCTION rapport.now() IS
'The time all rules go by: the start of the transaction, or the setting rapport.now (superuser) where a test moves the clock.';

CREATE FUNCTION rapport.today() RETURNS date
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_today_sql';
COMMENT ON FUNCTION rapport.today() IS 'The date of rapport.now() in UTC.';

CREATE FUNCTION rapport.new_id() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'core_new_id_sql';
COMMENT ON FUNCTION rapport.new_id() IS
'A new id between 1 and 2^52: unique in this database, exact in every JSON client, neither guessable nor countable (a keyed Feistel permutation of a sequence).';

CREATE FUNCTION rapport.database_secret(name text) RETURNS bytea
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
AS $$
DECLARE
	found bytea;
BEGIN
	SELECT k.secret INTO found FROM rapport.database_key AS k WHERE k.name = database_secret.name;
	IF found IS NULL THEN
		-- All at once: the first caller is a write, later ones may be read-only.
		INSERT INTO rapport.database_key (name, secret)
		SELECT n, pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
									|| pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
									|| pg_catalog.uuid_send(pg_catalog.gen_random_uuid()))
		FROM unnest(ARRAY['ids', 'events', 'cursors', 'sign_in']) AS n
		ON CONFLICT DO NOTHING;
		SELECT k.secret INTO found FROM rapport.database_key AS k WHERE k.name = database_secret.name;
	END IF;
	RETURN found;
END;
$$;
COMMENT ON FUNCTION rapport.database_secret(text) IS
'The 32-byte secret of that name ("ids", "events", "cursors", "sign_in"), made on first use. For building blocks only.';

CREATE FUNCTION rapport.mac(name text, message text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_mac_sql';
COMMENT ON FUNCTION rapport.mac(text, text) IS
'HMAC-SHA-256 of the message under the database secret of that name: 32 lower-case hexadecimal digits (its first 128 bits).';

CREATE FUNCTION rapport.table_with_people() RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	tab regclass;
	found boolean;
BEGIN
	FOR tab IN SELECT DISTINCT d.tab FROM rapport.personal_data AS d WHERE d.class = 'identity' ORDER BY d.tab LOOP
		EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s)', tab) INTO found;
		IF found THEN
			RETURN tab;
		END IF;
	END LOOP;
	RETURN NULL;
END;
$$;
COMMENT ON FUNCTION rapport.table_with_people() IS
'A table that has rows and a column of the class identity; NULL when there is none, so nobody to lose.';

-- Settings

CREATE FUNCTION rapport.setting_text(name text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'core_setting_sql';
COMMENT ON FUNCTION rapport.setting_text(text) IS 'The value of a setting as text; NULL when there is no such setting.';

CREATE FUNCTION rapport.setting_int(name text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_int.name)::integer;
END;
COMMENT ON FUNCTION rapport.setting_int(text) IS 'The value of an integer setting.';

CREATE FUNCTION rapport.setting_float(name text) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_float.name)::double precision;
END;
COMMENT ON FUNCTION rapport.setting_float(text) IS 'The value of a setting that is a number.';

CREATE FUNCTION rapport.setting_bool(name text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_bool.name)::boolean;
END;
COMMENT ON FUNCTION rapport.setting_bool(text) IS 'The value of a setting that is true or false.';

CREATE FUNCTION rapport.set_setting(name text, value text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	known rapport.setting_default;
	number double precision;
	several integer[];
BEGIN
	SELECT d.* INTO known FROM rapport.setting_default AS d WHERE d.name = set_setting.name;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_field', format('There is no setting %L.', set_setting.name));
	END IF;
	IF set_setting.value IS NULL THEN
		DELETE FROM rapport.setting AS s WHERE s.name = set_setting.name;
		RETURN;
	END IF;
	BEGIN
		IF known.type = 'integer' THEN
			number := set_setting.value::integer;
		ELSIF known.type = 'integers' THEN
			several := set_setting.value::integer[];
			set_setting.value := several::text;
		ELSIF known.type = 'float' THEN
			number := set_setting.value::double precision;
		ELSIF known.type = 'boolean' THEN
			set_setting.value := set_setting.value::boolean::text;
		END IF;
	EXCEPTION WHEN data_exception THEN
		PERFORM rapport.fail('wrong_type', format('The setting %I takes a value of type %s.', set_setting.name, known.type));
	END;
	IF number = 'NaN' OR number < known.minimum OR number > known.maximum THEN
		PERFORM rapport.fail('out_of_range', format('The setting %I takes %s to %s.', set_setting.name, known.minimum, known.maximum));
	END IF;
	IF known.type = 'integers'
		AND (cardinality(several) > 12
			 OR several IS DISTINCT FROM (SELECT array_agg(DISTINCT s ORDER BY s) FROM unnest(several) AS s
										  WHERE s BETWEEN known.minimum AND known.maximum)) THEN
		PERFORM rapport.fail('out_of_range', format('The setting %I takes up to 12 rising numbers from %s to %s.', set_setting.name, known.minimum, known.maximum));
	END IF;
	INSERT INTO rapport.setting AS s (name, value, changed_at)
	VALUES (set_setting.name, set_setting.value, rapport.now())
	ON CONFLICT ON CONSTRAINT setting_pkey DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at;
END;
$$;
COMMENT ON FUNCTION rapport.set_setting(text, text) IS
'Changes a setting of this database; NULL brings the default back. For operators: superuser and rapport_service. Errors: unknown_field, wrong_type, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.set_setting(text, text) TO rapport_service;

-- Hooks

CREATE FUNCTION rapport.run_hooks(event text, ids bigint[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_run_hooks_sql';
COMMENT ON FUNCTION rapport.run_hooks(text, bigint[]) IS
'Calls the functions registered for the event, in order, inside this transaction.';

CREATE FUNCTION rapport.add_hook(event text, call regprocedure, ord integer DEFAULT 1000) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.hook_event AS e WHERE e.event = add_hook.event) THEN
		PERFORM rapport.fail('invalid_value', pg_catalog.format('There is no event %L.', add_hook.event));
	END IF;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p
				   WHERE p.oid = add_hook.call
				   AND p.pronargs = 1
				   AND p.proargtypes[0] = 'bigint[]'::regtype
				   AND p.prorettype = 'void'::regtype
				   AND p.prokind = 'f') THEN
		PERFORM rapport.fail('wrong_type', 'A hook is a function of one bigint[] that returns void.');
	END IF;
	IF EXISTS (SELECT FROM pg_catalog.pg_proc AS p
			   WHERE p.oid = add_hook.call
			   AND NOT pg_catalog.has_schema_privilege('rapport_owner', p.pronamespace, 'USAGE')) THEN
		PERFORM rapport.fail('forbidden', pg_catalog.format('The schema of %s may not be used by rapport_owner.', add_hook.call));
	END IF;
	INSERT INTO rapport.hook (event, ord, call)
	SELECT add_hook.event, add_hook.ord, pg_catalog.format('%I.%I(bigint[])', n.nspname, p.proname)
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
	WHERE p.oid = add_hook.call
	ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION rapport.add_hook(text, regprocedure, integer) IS
'Registers an app''s own function fn(bigint[]) RETURNS void for an event of rapport.hook_event. It runs as rapport_owner, who must be allowed to use its schema; so only a superuser may register one, and whoever owns the function can replace it later: let it belong to a superuser. Errors: invalid_value, wrong_type, forbidden.';

-- Idempotency

CREATE FUNCTION rapport.idempotency_hash(key text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT encode(sha256(convert_to(key, 'UTF8')), 'base64');
END;
COMMENT ON FUNCTION rapport.idempotency_hash(text) IS
'What is kept of an idempotency key. The key itself, random and kept nowhere, goes into the hash of the request: who reads the table cannot find a position or a password by trying.';

CREATE FUNCTION rapport.replay(key text, request text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint;
	stored rapport.idempotency;
BEGIN
	-- Until the module is loaded anybody can set rapport.person; this loads it.
	PERFORM rapport.now();
	me := nullif(current_setting('rapport.person', true), '')::bigint;
	IF me IS NULL OR me = 0 THEN
		PERFORM rapport.fail('authentication_required');
	END IF;
	IF replay.key IS NULL OR replay.key !~ '^[\x21-\x7e]{1,200}$' THEN
		PERFORM rapport.fail('invalid_value', 'An idempotency key is 1 to 200 visible ASCII characters.');
	END IF;
	-- Two requests with one key: the second waits for the first to end.
	PERFORM pg_advisory_xact_lock(hashtextextended(me || ' ' || replay.key, 0));
	SELECT i.* INTO stored FROM rapport.idempotency AS i WHERE i.person_id = me AND i.key = rapport.idempotency_hash(replay.key);
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	IF stored.request_hash <> sha256(convert_to(replay.key || ' ' || replay.request, 'UTF8')) THEN
		PERFORM rapport.fail('key_reused');
	END IF;
	RETURN coalesce(stored.body, '');
END;
$$;
COMMENT ON FUNCTION rapport.replay(text, text) IS
'The answer stored for this person''s idempotency key ('''' where it had no body), NULL when the key is new. Errors: invalid_value, key_reused (409) when the key came with another request.';
GRANT EXECUTE ON FUNCTION rapport.replay(text, text) TO rapport_user;

CREATE FUNCTION rapport.remember(key text, request text, body text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint;
BEGIN
	-- As in replay().
	PERFORM rapport.now();
	me := nullif(current_setting('rapport.person', true), '')::bigint;
	IF me IS NULL OR me = 0 THEN
		PERFORM rapport.fail('authentication_required');
	END IF;
	IF remember.key IS NULL OR remember.request IS NULL THEN
		PERFORM rapport.fail('missing_field');
	END IF;
	INSERT INTO rapport.idempotency (person_id, key, request_hash, body, created_at)
	VALUES (me, rapport.idempotency_hash(remember.key), sha256(convert_to(remember.key || ' ' || remember.request, 'UTF8')),
			remember.body, rapport.now());
	RETURN coalesce(remember.body, '');
END;
$$;
COMMENT ON FUNCTION rapport.remember(text, text, text) IS
'Stores the answer under this person''s idempotency key, in the transaction of the write, and returns it ('''' for none). Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.remember(text, text, text) TO rapport_user;

CREATE FUNCTION rapport.forget_idempotency(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	gone bigint;
BEGIN
	DELETE FROM rapport.idempotency
	WHERE (person_id, key) IN (
		SELECT i.person_id, i.key
		FROM rapport.idempotency AS i
		WHERE i.created_at < rapport.now() - make_interval(hours => 24 * rapport.setting_int('idempotency_days'))
		LIMIT batch);
	GET DIAGNOSTICS gone = ROW_COUNT;
	RETURN gone;
END;
$$;
COMMENT ON FUNCTION rapport.forget_idempotency(integer) IS
'Deletes up to batch answers older than the setting idempotency_days; the number deleted. For a maintenance job.';
GRANT EXECUTE ON FUNCTION rapport.forget_idempotency(integer) TO rapport_service;

-- Events

CREATE FUNCTION rapport.event_emit(address text, kind text, payload jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_event_emit_sql';
COMMENT ON FUNCTION rapport.event_emit(text, text, jsonb) IS
'Writes an event to the write-ahead log; it leaves with the commit, or never. Address p:<person_id> or c:<conversation_id>; at most 8 kB. A transactional logical message with prefix "rapport": 16 bytes of MAC, then {"address","kind","payload"} as JSON. Nothing is written unless wal_level is logical.';

-- Updates

CREATE FUNCTION rapport.outside_extension(statement text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_outside_extension_sql';
COMMENT ON FUNCTION rapport.outside_extension(text) IS
'Runs a statement of an update script as one that is not part of it, with the rights of the caller: a grant is then this database''s own and is dumped.';
-- account: people, how they sign in, and their sessions.

-- Passwords and tokens reach the server as parameters; keep them out of its log.
DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting AS s
				   WHERE s.setdatabase = 0
				   AND s.setrole = 'rapport_api'::pg_catalog.regrole
				   AND 'log_parameter_max_length=0' = ANY (s.setconfig)) THEN
		ALTER ROLE rapport_api SET log_parameter_max_length = 0;
		ALTER ROLE rapport_api SET log_parameter_max_length_on_error = 0;
	END IF;
END;
$$;

CREATE TABLE rapport.person (
	person_id bigint PRIMARY KEY,
	role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'moderator', 'admin')),
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
	created_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.person IS 'Everyone the database knows, with or without a password of their own.';
COMMENT ON COLUMN rapport.person.role IS 'What this person may do; each role includes those before it: user, moderator, admin.';
COMMENT ON COLUMN rapport.person.state IS 'A suspended person can neither sign in nor act, and is nobody''s candidate.';
SELECT pg_catalog.pg_extension_config_dump('rapport.person', '');

CREATE TABLE rapport.email (
	email text COLLATE "C" PRIMARY KEY,
	person_id bigint NOT NULL,
	asked_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.email IS 'Which person signs in with an e-mail address.';
COMMENT ON COLUMN rapport.email.email IS 'As normal_email() writes it.';
COMMENT ON COLUMN rapport.email.asked_at IS 'When somebody last signed up with this address: a taken address costs the same write as a free one.';
CREATE INDEX email_person_id ON rapport.email (person_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.email', '');

CREATE TABLE rapport.credential (
	person_id bigint PRIMARY KEY REFERENCES rapport.person ON DELETE CASCADE,
	password_hash text NOT NULL,
	changed_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.credential IS 'Passwords. Imported people have none until one is set.';
COMMENT ON COLUMN rapport.credential.password_hash IS 'argon2id with its salt and cost, in libsodium''s text form.';
SELECT pg_catalog.pg_extension_config_dump('rapport.credential', '');

CREATE TABLE rapport.external_identity (
	external_id text COLLATE "C" PRIMARY KEY CHECK (char_length(external_id) BETWEEN 1 AND 200),
	person_id bigint NOT NULL
);
COMMENT ON TABLE rapport.external_identity IS 'Which person an app means by an id of its own.';
CREATE INDEX external_identity_person_id ON rapport.external_identity (person_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.external_identity', '');

CREATE TABLE rapport.session (
	person_id bigint NOT NULL REFERENCES rapport.person ON DELETE CASCADE,
	session_id bigint NOT NULL,
	created_at timestamp with time zone NOT NULL,
	refreshed_at timestamp with time zone NOT NULL,
	expires_at timestamp with time zone NOT NULL,
	rotated_at timestamp with time zone NOT NULL,
	refresh_counter integer NOT NULL DEFAULT 0,
	reuse_count integer NOT NULL DEFAULT 0,
	refresh_key bytea NOT NULL,
	user_agent text,
	PRIMARY KEY (person_id, session_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.session IS 'Where people are signed in. Deleting a row ends the session with the next request.';
COMMENT ON COLUMN rapport.session.refresh_key IS 'Authenticates the refresh tokens of this session only.';
COMMENT ON COLUMN rapport.session.refresh_counter IS 'The number in the only refresh token that rotates; the one before is tolerated, older ones end the session.';
COMMENT ON COLUMN rapport.session.rotated_at IS 'When refresh_counter last moved.';
COMMENT ON COLUMN rapport.session.reuse_count IS 'How often the previous refresh token came after the tolerated seconds, since rotated_at.';
SELECT pg_catalog.pg_extension_config_dump('rapport.session', '');

CREATE TABLE rapport.signing_key (
	kid text PRIMARY KEY,
	header text NOT NULL UNIQUE,
	secret bytea NOT NULL,
	created_at timestamp with time zone NOT NULL,
	retired_at timestamp with time zone
);
COMMENT ON TABLE rapport.signing_key IS
'Keys of access tokens (HS256). The newest that is not retired signs; all in the table verify. The first is made by the first sign-in.';
COMMENT ON COLUMN rapport.signing_key.header IS 'The encoded header of its tokens: a token is accepted only with exactly these bytes, so it cannot choose an algorithm.';
SELECT pg_catalog.pg_extension_config_dump('rapport.signing_key', 'WHERE false');

CREATE TABLE rapport.sign_in_failure (
	email_hash text PRIMARY KEY,
	failures integer NOT NULL,
	last_at timestamp with time zone NOT NULL
);
COMMENT ON TABLE rapport.sign_in_failure IS 'Wrong passwords in a row, for known and unknown addresses alike.';
COMMENT ON COLUMN rapport.sign_in_failure.email_hash IS 'mac(''sign_in'', address): addresses that nobody has are not stored in clear.';
SELECT pg_catalog.pg_extension_config_dump('rapport.sign_in_failure', 'WHERE false');
-- account: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('invalid_token', 401, 'the token is not valid', 'Sign in again.'),
	('expired_token', 401, 'the access token has expired', 'Refresh the session, or sign in again.'),
	('invalid_credentials', 401, 'the address or the password is wrong', NULL),
	('suspended', 403, 'this account is suspended', NULL),
	('invalid_email', 422, 'the e-mail address is not valid', NULL),
	('weak_password', 422, 'the password is not acceptable', NULL),
	('wrong_password', 422, 'the current password is wrong', NULL),
	('too_many_attempts', 429, 'too many failed attempts', 'Try again later.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('access_token_seconds', 'integer', '900', 30, 86400, 'Seconds for which an access token is accepted.'),
	('session_days', 'integer', '90', 1, 3650, 'Days of 24 hours after its last refresh when a session ends.'),
	('sessions_max', 'integer', '50', 1, 1000, 'Sessions a person can have; one more ends the one that was refreshed longest ago.'),
	('refresh_reuse_seconds', 'integer', '10', 0, 600, 'Seconds for which the previous refresh token is accepted any number of times; later it is accepted once.'),
	('password_min_length', 'integer', '8', 1, 128, 'Characters a password has at least.'),
	('password_ops', 'integer', '2', 1, 20, 'Passes of argon2id over its memory.'),
	('password_memory', 'integer', '64', 1, 4096, 'MiB of memory that argon2id uses for one password.'),
	('sign_in_max_failures', 'integer', '10', 1, 1000, 'Wrong passwords in a row for an address, after which it is locked.'),
	('sign_in_lock_seconds', 'integer', '900', 1, 86400, 'Seconds from the last wrong password until the count starts anew and the lock ends.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.signing_key', 'made anew by the first sign-in after a restore; refresh tokens stay valid'),
	('rapport.sign_in_failure', 'short-lived');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.person', 'U', 'person_id'),
	('rapport.email', 'L', 'email'),
	('rapport.credential', 'U', 'person_id'),
	('rapport.external_identity', 'L', 'external_id'),
	('rapport.session', 'U', 'person_id'),
	('rapport.signing_key', 'R', NULL),
	('rapport.sign_in_failure', 'L', 'email_hash');

INSERT INTO rapport.personal_data (tab, col, class, on_erase) VALUES
	('rapport.person', 'person_id', 'identity', 'delete'),
	('rapport.person', 'role', 'technical', 'delete'),
	('rapport.person', 'state', 'technical', 'delete'),
	('rapport.person', 'created_at', 'behaviour', 'delete'),
	('rapport.email', 'email', 'contact', 'delete'),
	('rapport.email', 'person_id', 'identity', 'delete'),
	('rapport.email', 'asked_at', 'technical', 'delete'),
	('rapport.credential', 'person_id', 'identity', 'delete'),
	('rapport.credential', 'password_hash', 'credential', 'delete'),
	('rapport.credential', 'changed_at', 'technical', 'delete'),
	('rapport.external_identity', 'external_id', 'identity', 'delete'),
	('rapport.external_identity', 'person_id', 'identity', 'delete'),
	('rapport.session', 'person_id', 'identity', 'delete'),
	('rapport.session', 'session_id', 'technical', 'delete'),
	('rapport.session', 'created_at', 'behaviour', 'delete'),
	('rapport.session', 'refreshed_at', 'behaviour', 'delete'),
	('rapport.session', 'expires_at', 'technical', 'delete'),
	('rapport.session', 'rotated_at', 'technical', 'delete'),
	('rapport.session', 'refresh_counter', 'technical', 'delete'),
	('rapport.session', 'reuse_count', 'technical', 'delete'),
	('rapport.session', 'refresh_key', 'credential', 'delete'),
	('rapport.session', 'user_agent', 'technical', 'delete');
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.signing_key', 'kid', 'none', 'keep', 'about nobody'),
	('rapport.signing_key', 'header', 'none', 'keep', 'about nobody'),
	('rapport.signing_key', 'secret', 'none', 'keep', 'about nobody'),
	('rapport.signing_key', 'created_at', 'none', 'keep', 'about nobody'),
	('rapport.signing_key', 'retired_at', 'none', 'keep', 'about nobody'),
	('rapport.sign_in_failure', 'email_hash', 'technical', 'delete', NULL),
	('rapport.sign_in_failure', 'failures', 'behaviour', 'delete', NULL),
	('rapport.sign_in_failure', 'last_at', 'behaviour', 'delete', NULL);

INSERT INTO rapport.subject (tab, col, own, ord, find) VALUES
	('rapport.sign_in_failure', 'email_hash', true, 100,
	 't.email_hash IN (SELECT rapport.mac(''sign_in'', e.email) FROM rapport.email AS e WHERE e.person_id = ANY ($1)
					   UNION ALL SELECT rapport.mac(''sign_in'', ''person '' || p) FROM pg_catalog.unnest($1) AS p)'),
	('rapport.email', 'person_id', true, 200, NULL),
	('rapport.external_identity', 'person_id', true, 200, NULL);

-- Who is calling

CREATE FUNCTION rapport.current_person() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_current_person_sql';
COMMENT ON FUNCTION rapport.current_person() IS 'The id of the person who is acting; NULL when nobody is.';
GRANT EXECUTE ON FUNCTION rapport.current_person() TO rapport_anon;

CREATE FUNCTION rapport.current_session() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_current_session_sql';
COMMENT ON FUNCTION rapport.current_session() IS
'The id of the session whose access token is in use; NULL when nobody is acting, or through act_as().';
GRANT EXECUTE ON FUNCTION rapport.current_session() TO rapport_anon;

CREATE FUNCTION rapport.acting_person() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_acting_person_sql';
COMMENT ON FUNCTION rapport.acting_person() IS
'The id of the person who is acting. Errors: authentication_required when nobody is. Every function above rapport_anon begins with it.';
GRANT EXECUTE ON FUNCTION rapport.acting_person() TO rapport_anon;

CREATE FUNCTION rapport.hold_person(person_id bigint, alone boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'account_hold_person_sql';
COMMENT ON FUNCTION rapport.hold_person(bigint, boolean) IS
'Until the end of the transaction the person is not erased. alone, for erasing: waits until nobody else holds the person, and lets nobody. acting_person() holds who is acting, in a transaction that may write; whoever writes rows that name somebody else holds them too. Errors: not_found.';

CREATE FUNCTION rapport.require(role text) RETURNS void
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_require';
COMMENT ON FUNCTION rapport.require(text) IS
'Passes when the person who is acting has that role (user, moderator, admin) or a higher one, whatever the database role. Errors: invalid_value for any other name, authentication_required, forbidden.';
GRANT EXECUTE ON FUNCTION rapport.require(text) TO rapport_anon;

CREATE FUNCTION rapport.require_operator() RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	role text := pg_catalog.current_setting('role');
BEGIN
	IF NOT pg_catalog.pg_has_role(CASE role WHEN 'none' THEN session_user ELSE role::name END, 'rapport_service', 'MEMBER') THEN
		PERFORM rapport.require('admin');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.require_operator() IS
'Passes for superusers and members of rapport_service who act as nobody, and for admins: for functions that both may call. Errors: authentication_required, forbidden.';

CREATE FUNCTION rapport.request_begin(token text, read_only boolean, timeout_ms integer) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_request_begin';
COMMENT ON FUNCTION rapport.request_begin(text, boolean, integer) IS
'The first statement of a request, for a front: until the transaction ends the caller is the person of the access token, with the role of that person; nobody, with rapport_anon, when the token is NULL. timeout_ms is the statement_timeout of what follows (NULL: as it is). Returns the id of the person, 0 for nobody. Errors: invalid_token, expired_token, suspended.';
GRANT EXECUTE ON FUNCTION rapport.request_begin(text, boolean, integer) TO rapport_api;

CREATE FUNCTION rapport.act_as(person_id bigint, is_local boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_act_as';
COMMENT ON FUNCTION rapport.act_as(bigint, boolean) IS
'For psql, tests and back ends of one''s own: act as a person, with that person''s role, until the session ends or, with is_local, the transaction. NULL ends it. Only where the session''s user is a superuser or a member of rapport_service. DISCARD ALL ends it too. Errors: not_found, suspended, 42501.';
GRANT EXECUTE ON FUNCTION rapport.act_as(bigint, boolean) TO rapport_anon;

CREATE FUNCTION rapport.act_as_external(external_id text, is_local boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_act_as_external';
COMMENT ON FUNCTION rapport.act_as_external(text, boolean) IS
'act_as() by the app''s own id of the person, for apps with a sign-in of their own. Errors: not_found, suspended, 42501.';
GRANT EXECUTE ON FUNCTION rapport.act_as_external(text, boolean) TO rapport_anon;

-- Building blocks

CREATE FUNCTION rapport.random_bytes(size integer) RETURNS bytea
LANGUAGE c VOLATILE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_random_bytes';
COMMENT ON FUNCTION rapport.random_bytes(integer) IS 'Up to 1024 bytes that cannot be predicted.';

CREATE FUNCTION rapport.token_header(kid text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_token_header';
COMMENT ON FUNCTION rapport.token_header(text) IS 'The encoded header of the access tokens of a signing key, by its id.';

CREATE FUNCTION rapport.access_token(header text, secret bytea, person_id bigint, session_id bigint, role text,
												issued_at timestamp with time zone, seconds integer) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_access_token';
COMMENT ON FUNCTION rapport.access_token(text, bytea, bigint, bigint, text, timestamp with time zone, integer) IS
'An access token (JWT, HS256) signed with a key of signing_key. The role in it informs the client; the server reads the person''s own.';

CREATE FUNCTION rapport.refresh_token(person_id bigint, session_id bigint, counter integer, key bytea) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token';
COMMENT ON FUNCTION rapport.refresh_token(bigint, bigint, integer, bytea) IS
'The refresh token with that number, under the key of the session.';

CREATE FUNCTION rapport.refresh_token_parts(refresh_token text, OUT person_id bigint, OUT session_id bigint, OUT counter integer)
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token_parts';
COMMENT ON FUNCTION rapport.refresh_token_parts(text) IS
'What a refresh token claims, unverified; nulls when it is malformed.';

CREATE FUNCTION rapport.refresh_token_signed(refresh_token text, key bytea) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token_signed';
COMMENT ON FUNCTION rapport.refresh_token_signed(text, bytea) IS
'Whether the refresh token was made with that key; compared in constant time.';

CREATE FUNCTION rapport.argon2_hash(password text, ops integer, memory integer) RETURNS text
LANGUAGE c VOLATILE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_password_hash';
COMMENT ON FUNCTION rapport.argon2_hash(text, integer, integer) IS
'argon2id with a fresh salt: ops passes over memory MiB. Errors: 53200 when there is no memory for it.';

CREATE FUNCTION rapport.argon2_matches(hash text, password text, ops integer, memory integer) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_password_matches';
COMMENT ON FUNCTION rapport.argon2_matches(text, text, integer, integer) IS
'Whether the password has that hash. Without a hash the answer is false after the work of ops passes over memory MiB.';

CREATE FUNCTION rapport.argon2_outdated(hash text, ops integer, memory integer) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_password_outdated';
COMMENT ON FUNCTION rapport.argon2_outdated(text, integer, integer) IS 'Whether a hash was made at another cost.';

-- In collation C only ASCII letters fold: the same on every system and for ever.
CREATE FUNCTION rapport.normal_email(email text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
	address text;
BEGIN
	-- The time to normalise hostile text grows with its square and cannot be cut short.
	IF pg_catalog.octet_length(normal_email.email) > 1024 THEN
		RETURN NULL;
	END IF;
	address := pg_catalog.lower(pg_catalog.normalize(pg_catalog.btrim(normal_email.email), 'NFC') COLLATE "C");
	IF pg_catalog.octet_length(address) <= 254
		AND address OPERATOR(pg_catalog.~) '^[^[:space:][:cntrl:]@<>(),:;"\\[\]]{1,64}@([^[:space:][:cntrl:]@<>(),:;"\\[\].]{1,63}\.)+[^[:space:][:cntrl:]@<>(),:;"\\[\].]{2,63}$' THEN
		RETURN address;
	END IF;
	RETURN NULL;
END;
$$;
COMMENT ON FUNCTION rapport.normal_email(text) IS
'The form in which an e-mail address is stored and looked up: trimmed, NFC, ASCII letters in lower case. NULL when it is not one.';

CREATE FUNCTION rapport.normal_password(password text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
	-- As in normal_email(). What is left alone here is longer than any password that was accepted.
	IF pg_catalog.octet_length(normal_password.password) > 4096 THEN
		RETURN normal_password.password;
	END IF;
	RETURN pg_catalog.normalize(normal_password.password, 'NFC');
END;
$$;
COMMENT ON FUNCTION rapport.normal_password(text) IS
'The form in which a password is hashed: NFC, unless it has more than 4096 bytes and cannot be one.';

CREATE FUNCTION rapport.password_hash(password text, email text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	normal text := rapport.normal_password(password_hash.password);
	shortest integer := rapport.setting_int('password_min_length');
BEGIN
	IF pg_catalog.char_length(normal) < shortest THEN
		PERFORM rapport.fail('weak_password', pg_catalog.format('A password has at least %s characters.', shortest));
	ELSIF pg_catalog.octet_length(normal) > 1024 THEN
		PERFORM rapport.fail('weak_password', 'A password has at most 1024 bytes.');
	ELSIF pg_catalog.lower(normal) = password_hash.email THEN
		PERFORM rapport.fail('weak_password', 'The password must not be the e-mail address.');
	END IF;
	RETURN rapport.argon2_hash(normal, rapport.setting_int('password_ops'), rapport.setting_int('password_memory'));
END;
$$;
COMMENT ON FUNCTION rapport.password_hash(text, text) IS
'The hash of a new password at the cost of the settings. email, which it must not equal, may be NULL. Errors: weak_password.';

-- Attempts on one address wait for each other, so that no burst escapes the count.
CREATE FUNCTION rapport.try_password(subject text, hash text, password text) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	window_start timestamp with time zone :=
		rapport.now() - pg_catalog.make_interval(secs => rapport.setting_int('sign_in_lock_seconds'));
BEGIN
	IF EXISTS (SELECT FROM rapport.sign_in_failure AS f
			   WHERE f.email_hash = try_password.subject
			   AND f.failures >= rapport.setting_int('sign_in_max_failures')
			   AND f.last_at > window_start) THEN
		RETURN 'too_many_attempts';
	END IF;
	IF rapport.argon2_matches(try_password.hash, rapport.normal_password(try_password.password),
							  rapport.setting_int('password_ops'), rapport.setting_int('password_memory')) THEN
		DELETE FROM rapport.sign_in_failure AS f WHERE f.email_hash = try_password.subject;
		RETURN NULL;
	END IF;
	INSERT INTO rapport.sign_in_failure AS f (email_hash, failures, last_at)
	VALUES (try_password.subject, 1, rapport.now())
	ON CONFLICT ON CONSTRAINT sign_in_failure_pkey DO UPDATE
	SET failures = CASE WHEN f.last_at > window_start THEN f.failures + 1 ELSE 1 END,
		last_at = excluded.last_at;
	RETURN 'invalid_credentials';
END;
$$;
COMMENT ON FUNCTION rapport.try_password(text, text, text) IS
'Compares a password with a hash (NULL: nobody has that address) and counts failures by subject = mac(''sign_in'', address), whose advisory lock the caller holds. NULL when it is right, else invalid_credentials or too_many_attempts.';

CREATE FUNCTION rapport.current_signing_key(OUT header text, OUT secret bytea)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	fresh text;
BEGIN
	SELECT k.header, k.secret INTO current_signing_key.header, current_signing_key.secret
	FROM rapport.signing_key AS k
	WHERE k.retired_at IS NULL
	ORDER BY k.created_at DESC, k.kid
	LIMIT 1;
	IF NOT FOUND THEN
		fresh := pg_catalog.encode(rapport.random_bytes(8), 'hex');
		INSERT INTO rapport.signing_key AS k (kid, header, secret, created_at)
		VALUES (fresh, rapport.token_header(fresh), rapport.random_bytes(32), rapport.now())
		RETURNING k.header, k.secret INTO current_signing_key.header, current_signing_key.secret;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.current_signing_key() IS 'The key that signs access tokens, made when there is none.';

CREATE FUNCTION rapport.issue_tokens(person_id bigint, session_id bigint,
												OUT access_token text, OUT expires_in integer, OUT refresh_token text)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	key record;
BEGIN
	key := rapport.current_signing_key();
	expires_in := rapport.setting_int('access_token_seconds');
	SELECT rapport.access_token(key.header, key.secret, s.person_id, s.session_id, p.role, rapport.now(), expires_in),
		rapport.refresh_token(s.person_id, s.session_id, s.refresh_counter, s.refresh_key)
	INTO STRICT issue_tokens.access_token, issue_tokens.refresh_token
	FROM rapport.session AS s
	JOIN rapport.person AS p ON p.person_id = s.person_id
	WHERE s.person_id = issue_tokens.person_id
	AND s.session_id = issue_tokens.session_id;
END;
$$;
COMMENT ON FUNCTION rapport.issue_tokens(bigint, bigint) IS
'A new access token, its seconds, and the present refresh token of a session.';

CREATE FUNCTION rapport.open_session(person_id bigint, user_agent text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	fresh bigint := rapport.new_id();
BEGIN
	DELETE FROM rapport.session AS s
	WHERE s.person_id = open_session.person_id
	AND s.session_id IN (
		SELECT o.session_id
		FROM (SELECT t.session_id, t.expires_at,
				pg_catalog.row_number() OVER (ORDER BY t.refreshed_at DESC, t.session_id) AS place
			  FROM rapport.session AS t
			  WHERE t.person_id = open_session.person_id) AS o
		WHERE o.place >= rapport.setting_int('sessions_max')
		OR o.expires_at <= rapport.now());
	INSERT INTO rapport.session (person_id, session_id, created_at, refreshed_at, expires_at, rotated_at, refresh_key, user_agent)
	VALUES (open_session.person_id, fresh, rapport.now(), rapport.now(),
			rapport.now() + pg_catalog.make_interval(hours => 24 * rapport.setting_int('session_days')),
			rapport.now(), rapport.random_bytes(32), pg_catalog."left"(open_session.user_agent, 200));
	RETURN fresh;
END;
$$;
COMMENT ON FUNCTION rapport.open_session(bigint, text) IS
'Opens a session, its id; ends those that have expired or are too many.';

-- People

CREATE FUNCTION rapport.new_person(external_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	fresh bigint := rapport.new_id();
BEGIN
	IF new_person.external_id IS NOT NULL THEN
		IF char_length(new_person.external_id) NOT BETWEEN 1 AND 200 THEN
			PERFORM rapport.fail('out_of_range', 'An external id has 1 to 200 characters.');
		END IF;
		INSERT INTO rapport.external_identity (external_id, person_id)
		VALUES (new_person.external_id, fresh)
		ON CONFLICT DO NOTHING;
		IF NOT FOUND THEN
			PERFORM rapport.fail('conflict', 'There is a person with that external id.');
		END IF;
	END IF;
	INSERT INTO rapport.person (person_id, created_at)
	VALUES (fresh, rapport.now());
	RETURN fresh;
END;
$$;
COMMENT ON FUNCTION rapport.new_person(text) IS
'Makes a person without a password, known to the app by external_id (1 to 200 characters) if given; the id. For back ends. Errors: out_of_range, conflict.';
GRANT EXECUTE ON FUNCTION rapport.new_person(text) TO rapport_service;

CREATE FUNCTION rapport.set_credential_for(person_id bigint, email text, password text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	address text := rapport.normal_email(set_credential_for.email);
	hash text;
BEGIN
	IF set_credential_for.password IS NULL THEN
		PERFORM rapport.fail('missing_field', 'password');
	ELSIF address IS NULL THEN
		PERFORM rapport.fail('invalid_email');
	END IF;
	-- A sign-in with the old password that is under way must not outlive it.
	PERFORM pg_advisory_xact_lock(hashtextextended(rapport.mac('sign_in', e.email), 0))
	FROM rapport.email AS e
	WHERE e.person_id = set_credential_for.person_id;
	PERFORM FROM rapport.person AS p WHERE p.person_id = set_credential_for.person_id FOR UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', 'There is no such person.');
	END IF;
	hash := rapport.password_hash(set_credential_for.password, address);
	DELETE FROM rapport.email AS e WHERE e.person_id = set_credential_for.person_id AND e.email <> address;
	INSERT INTO rapport.email AS e (email, person_id, asked_at)
	VALUES (address, set_credential_for.person_id, rapport.now())
	ON CONFLICT ON CONSTRAINT email_pkey DO UPDATE SET asked_at = excluded.asked_at
	WHERE e.person_id = excluded.person_id;
	IF NOT FOUND THEN
		PERFORM rapport.fail('conflict', 'Somebody else has that address.');
	END IF;
	INSERT INTO rapport.credential AS c (person_id, password_hash, changed_at)
	VALUES (set_credential_for.person_id, hash, rapport.now())
	ON CONFLICT ON CONSTRAINT credential_pkey DO UPDATE
	SET password_hash = excluded.password_hash, changed_at = excluded.changed_at;
	DELETE FROM rapport.session AS s WHERE s.person_id = set_credential_for.person_id;
END;
$$;
COMMENT ON FUNCTION rapport.set_credential_for(bigint, text, text) IS
'Gives a person, imported people for instance, an e-mail address and a password in place of any before; their sessions end. For back ends. Errors: missing_field, invalid_email, weak_password, not_found, conflict.';
GRANT EXECUTE ON FUNCTION rapport.set_credential_for(bigint, text, text) TO rapport_service;

CREATE FUNCTION rapport.set_role_for(person_id bigint, role text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF set_role_for.role IS NULL OR set_role_for.role NOT IN ('user', 'moderator', 'admin') THEN
		PERFORM rapport.fail('invalid_value', 'A role is user, moderator or admin.');
	END IF;
	UPDATE rapport.person AS p
	SET role = set_role_for.role
	WHERE p.person_id = set_role_for.person_id;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', 'There is no such person.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.set_role_for(bigint, text) IS
'Sets what a person may do (user, moderator, admin), from the next request on. For back ends. Errors: invalid_value, not_found.';
GRANT EXECUTE ON FUNCTION rapport.set_role_for(bigint, text) TO rapport_service;

CREATE FUNCTION rapport.set_state_for(person_id bigint, state text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF set_state_for.state IS NULL OR set_state_for.state NOT IN ('active', 'suspended') THEN
		PERFORM rapport.fail('invalid_value', 'A state is active or suspended.');
	END IF;
	UPDATE rapport.person AS p
	SET state = set_state_for.state
	WHERE p.person_id = set_state_for.person_id;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', 'There is no such person.');
	END IF;
	PERFORM rapport.run_hooks('person_changed', ARRAY[set_state_for.person_id]);
END;
$$;
COMMENT ON FUNCTION rapport.set_state_for(bigint, text) IS
'Suspends a person or makes them active again, from the next request on; sessions are kept. For back ends. Errors: invalid_value, not_found.';
GRANT EXECUTE ON FUNCTION rapport.set_state_for(bigint, text) TO rapport_service;

-- Signing up and in

CREATE FUNCTION rapport.sign_up(email text, password text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	address text := rapport.normal_email(sign_up.email);
	fresh bigint := rapport.new_id();
	hash text;
	owner bigint;
BEGIN
	IF sign_up.email IS NULL OR sign_up.password IS NULL THEN
		PERFORM rapport.fail('missing_field', CASE WHEN sign_up.email IS NULL THEN 'email' ELSE 'password' END);
	ELSIF address IS NULL THEN
		PERFORM rapport.fail('invalid_email');
	END IF;
	hash := rapport.password_hash(sign_up.password, address);
	INSERT INTO rapport.email AS e (email, person_id, asked_at)
	VALUES (address, fresh, rapport.now())
	ON CONFLICT ON CONSTRAINT email_pkey DO UPDATE SET asked_at = excluded.asked_at
	RETURNING e.person_id INTO owner;
	IF owner = fresh THEN
		INSERT INTO rapport.person (person_id, created_at)
		VALUES (fresh, rapport.now());
		INSERT INTO rapport.credential (person_id, password_hash, changed_at)
		VALUES (fresh, hash, rapport.now());
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.sign_up(text, text) IS
'Makes a person with an e-mail address and a password. When the address is taken nothing changes, and neither the answer nor its time tells. Errors: missing_field, invalid_email, weak_password.';
GRANT EXECUTE ON FUNCTION rapport.sign_up(text, text) TO rapport_anon;

CREATE FUNCTION rapport.sign_in(email text, password text, user_agent text DEFAULT NULL,
										   OUT person_id bigint, OUT access_token text, OUT expires_in integer,
										   OUT refresh_token text, OUT refusal text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	address text := coalesce(rapport.normal_email(sign_in.email), "left"(sign_in.email, 254));
	subject text := rapport.mac('sign_in', address);
	known record;
BEGIN
	IF sign_in.email IS NULL OR sign_in.password IS NULL THEN
		PERFORM rapport.fail('missing_field', CASE WHEN sign_in.email IS NULL THEN 'email' ELSE 'password' END);
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended(subject, 0));
	SELECT p.person_id, p.state, c.password_hash INTO known
	FROM rapport.email AS e
	JOIN rapport.person AS p ON p.person_id = e.person_id
	JOIN rapport.credential AS c ON c.person_id = e.person_id
	WHERE e.email = address;
	refusal := rapport.try_password(subject, known.password_hash, sign_in.password);
	IF refusal IS NULL AND known.state <> 'active' THEN
		refusal := 'suspended';
	END IF;
	IF refusal IS NOT NULL THEN
		RETURN;
	END IF;
	IF rapport.argon2_outdated(known.password_hash, rapport.setting_int('password_ops'), rapport.setting_int('password_memory')) THEN
		UPDATE rapport.credential AS c
		SET password_hash = rapport.argon2_hash(rapport.normal_password(sign_in.password), rapport.setting_int('password_ops'),
												rapport.setting_int('password_memory'))
		WHERE c.person_id = known.person_id;
	END IF;
	person_id := known.person_id;
	SELECT t.access_token, t.expires_in, t.refresh_token
	INTO sign_in.access_token, sign_in.expires_in, sign_in.refresh_token
	FROM rapport.issue_tokens(known.person_id, rapport.open_session(known.person_id, sign_in.user_agent)) AS t;
END;
$$;
COMMENT ON FUNCTION rapport.sign_in(text, text, text) IS
'Opens a session: an access token for expires_in seconds and a refresh token for refresh_session(). user_agent (first 200 characters) names the device in sessions(). refusal is invalid_credentials, too_many_attempts or suspended; an unknown address behaves like a wrong password. Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.sign_in(text, text, text) TO rapport_anon;

CREATE FUNCTION rapport.refresh_session(INOUT refresh_token text, OUT person_id bigint, OUT access_token text,
												   OUT expires_in integer, OUT refusal text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	given text := refresh_session.refresh_token;
	claim record;
	known record;
BEGIN
	IF given IS NULL THEN
		PERFORM rapport.fail('missing_field', 'refresh_token');
	END IF;
	refresh_token := NULL;
	refusal := 'invalid_token';
	claim := rapport.refresh_token_parts(given);
	SELECT s.*, p.state INTO known
	FROM rapport.session AS s
	JOIN rapport.person AS p ON p.person_id = s.person_id
	WHERE s.person_id = claim.person_id
	AND s.session_id = claim.session_id
	FOR UPDATE OF s;
	-- A token that is not ours must not end a session.
	IF NOT FOUND OR NOT rapport.refresh_token_signed(given, known.refresh_key) OR known.expires_at <= rapport.now() THEN
		RETURN;
	END IF;
	IF known.state <> 'active' THEN
		refusal := 'suspended';
		RETURN;
	END IF;

	IF claim.counter = known.refresh_counter THEN
		UPDATE rapport.session AS s
		SET refresh_counter = s.refresh_counter + 1,
			reuse_count = 0,
			rotated_at = rapport.now(),
			refreshed_at = rapport.now(),
			expires_at = rapport.now() + make_interval(hours => 24 * rapport.setting_int('session_days'))
		WHERE s.person_id = known.person_id
		AND s.session_id = known.session_id;
	ELSIF claim.counter = known.refresh_counter - 1
		AND rapport.now() <= known.rotated_at + make_interval(secs => rapport.setting_int('refresh_reuse_seconds')) THEN
		-- Tabs of one browser, or a client that lost the answer: all get the present token.
		NULL;
	ELSIF claim.counter = known.refresh_counter - 1 AND known.reuse_count = 0 THEN
		UPDATE rapport.session AS s
		SET reuse_count = s.reuse_count + 1
		WHERE s.person_id = known.person_id
		AND s.session_id = known.session_id;
	ELSE
		-- Two hold tokens of one session, and one of them has stolen it.
		DELETE FROM rapport.session AS s
		WHERE s.person_id = known.person_id
		AND s.session_id = known.session_id;
		RETURN;
	END IF;
	refusal := NULL;
	person_id := known.person_id;
	SELECT t.access_token, t.expires_in, t.refresh_token
	INTO refresh_session.access_token, refresh_session.expires_in, refresh_session.refresh_token
	FROM rapport.issue_tokens(known.person_id, known.session_id) AS t;
END;
$$;
COMMENT ON FUNCTION rapport.refresh_session(text) IS
'A new access token for a refresh token, and the next refresh token. The token before the present one is accepted any number of times for the setting refresh_reuse_seconds, then once more, and brings the present one; an older one ends the session. refusal is invalid_token or suspended. Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.refresh_session(text) TO rapport_anon;

CREATE FUNCTION rapport.sign_out() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	DELETE FROM rapport.session AS s
	WHERE s.person_id = me
	AND s.session_id = rapport.current_session();
END;
$$;
COMMENT ON FUNCTION rapport.sign_out() IS
'Ends the session whose access token is in use; its tokens are refused from the next request on. Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.sign_out() TO rapport_user;

CREATE FUNCTION rapport.sessions()
RETURNS TABLE (session_id bigint, created_at timestamp with time zone, refreshed_at timestamp with time zone,
			   expires_at timestamp with time zone, user_agent text, current boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	RETURN QUERY
	SELECT s.session_id, s.created_at, s.refreshed_at, s.expires_at, s.user_agent,
		s.session_id IS NOT DISTINCT FROM rapport.current_session()
	FROM rapport.session AS s
	WHERE s.person_id = me
	AND s.expires_at > rapport.now()
	ORDER BY s.refreshed_at DESC, s.session_id;
END;
$$;
COMMENT ON FUNCTION rapport.sessions() IS
'Where the person is signed in, the most recently refreshed first; current marks the session of this request. At most the setting sessions_max. Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.sessions() TO rapport_user;

CREATE FUNCTION rapport.revoke_session(session_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	DELETE FROM rapport.session AS s
	WHERE s.person_id = me
	AND s.session_id = revoke_session.session_id;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', 'There is no such session.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.revoke_session(bigint) IS
'Ends a session of the person; its tokens are refused from the next request on. Errors: authentication_required, not_found.';
GRANT EXECUTE ON FUNCTION rapport.revoke_session(bigint) TO rapport_user;

CREATE FUNCTION rapport.change_password(current_password text, new_password text,
												   OUT sessions_ended integer, OUT refusal text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	known record;
	subject text;
	hash text;
BEGIN
	IF change_password.current_password IS NULL OR change_password.new_password IS NULL THEN
		PERFORM rapport.fail('missing_field',
							 CASE WHEN change_password.current_password IS NULL THEN 'current_password' ELSE 'new_password' END);
	END IF;
	-- The address, and with it the count of failures, is that of signing in.
	SELECT e.email INTO known FROM rapport.email AS e WHERE e.person_id = me;
	subject := rapport.mac('sign_in', coalesce(known.email, 'person ' || me));
	PERFORM pg_advisory_xact_lock(hashtextextended(subject, 0));
	SELECT c.password_hash INTO hash FROM rapport.credential AS c WHERE c.person_id = me;
	refusal := rapport.try_password(subject, hash, change_password.current_password);
	IF refusal IS NOT NULL THEN
		refusal := replace(refusal, 'invalid_credentials', 'wrong_password');
		RETURN;
	END IF;
	UPDATE rapport.credential AS c
	SET password_hash = rapport.password_hash(change_password.new_password, known.email), changed_at = rapport.now()
	WHERE c.person_id = me;
	DELETE FROM rapport.session AS s
	WHERE s.person_id = me
	AND s.session_id IS DISTINCT FROM rapport.current_session();
	GET DIAGNOSTICS sessions_ended = ROW_COUNT;
END;
$$;
COMMENT ON FUNCTION rapport.change_password(text, text) IS
'Changes the password and ends the person''s other sessions, whose number it returns. refusal is wrong_password or too_many_attempts. Errors: authentication_required, missing_field, weak_password.';
GRANT EXECUTE ON FUNCTION rapport.change_password(text, text) TO rapport_user;

CREATE FUNCTION rapport.my_account(OUT person_id bigint, OUT email text, OUT role text, OUT created_at timestamp with time zone)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	SELECT p.person_id, e.email, p.role, p.created_at
	INTO my_account.person_id, my_account.email, my_account.role, my_account.created_at
	FROM rapport.person AS p
	LEFT JOIN rapport.email AS e ON e.person_id = p.person_id
	WHERE p.person_id = me;
END;
$$;
COMMENT ON FUNCTION rapport.my_account() IS
'The account of the person who is acting; email is null where an app signs people in itself. Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.my_account() TO rapport_user;

-- Upkeep

CREATE FUNCTION rapport.rotate_signing_key(revoke boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	fresh text := encode(rapport.random_bytes(8), 'hex');
BEGIN
	DELETE FROM rapport.signing_key AS k
	WHERE rotate_signing_key.revoke
	-- No token lives longer than the maximum of access_token_seconds, a day.
	OR k.retired_at < rapport.now() - interval '1 day';
	UPDATE rapport.signing_key AS k
	SET retired_at = rapport.now()
	WHERE k.retired_at IS NULL;
	INSERT INTO rapport.signing_key (kid, header, secret, created_at)
	VALUES (fresh, rapport.token_header(fresh), rapport.random_bytes(32), rapport.now());
	RETURN fresh;
END;
$$;
COMMENT ON FUNCTION rapport.rotate_signing_key(boolean) IS
'Makes a new key for access tokens; its id. Tokens of older keys stay valid until they expire, or with revoke not at all: clients then refresh. For operators.';
GRANT EXECUTE ON FUNCTION rapport.rotate_signing_key(boolean) TO rapport_service;

CREATE FUNCTION rapport.account_sweep(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	sessions bigint;
	failures bigint;
BEGIN
	DELETE FROM rapport.session AS s
	WHERE (s.person_id, s.session_id) IN (
		SELECT o.person_id, o.session_id
		FROM rapport.session AS o
		WHERE o.expires_at <= rapport.now()
		LIMIT account_sweep.batch);
	GET DIAGNOSTICS sessions = ROW_COUNT;
	DELETE FROM rapport.sign_in_failure AS f
	WHERE f.email_hash IN (
		SELECT o.email_hash
		FROM rapport.sign_in_failure AS o
		WHERE o.last_at <= rapport.now() - make_interval(secs => rapport.setting_int('sign_in_lock_seconds'))
		LIMIT account_sweep.batch);
	GET DIAGNOSTICS failures = ROW_COUNT;
	RETURN sessions + failures;
END;
$$;
COMMENT ON FUNCTION rapport.account_sweep(integer) IS
'Deletes up to batch expired sessions and up to batch old counts of failures; the number deleted. For a maintenance job.';
GRANT EXECUTE ON FUNCTION rapport.account_sweep(integer) TO rapport_service;
-- profile: who people are, what they accept, and where. State only.

CREATE TABLE rapport.mode (
	mode smallint PRIMARY KEY CHECK (mode BETWEEN 1 AND 255),
	code text NOT NULL UNIQUE CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
	builtin boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE rapport.mode IS
'What people look for in each other; every mode has its own preferences and candidates. 1 to 31 are kept for built-in modes.';
SELECT pg_catalog.pg_extension_config_dump('rapport.mode', 'WHERE NOT builtin');

CREATE TABLE rapport.attribute (
	attribute_id smallint PRIMARY KEY CHECK (attribute_id BETWEEN 1 AND 36),
	code text NOT NULL UNIQUE CHECK (code ~ '^[a-z][a-z0-9_]{0,39}$'),
	kind text NOT NULL CHECK (kind IN ('choice', 'number')),
	strength text NOT NULL CHECK (strength IN ('two_way', 'one_way', 'soft')),
	weight real NOT NULL CHECK (weight BETWEEN 0 AND 100),
	lane smallint UNIQUE,
	lanes smallint,
	slot smallint UNIQUE,
	minimum numeric,
	maximum numeric,
	step numeric,
	CHECK (kind <> 'choice' OR lane >= 0 AND lanes BETWEEN 1 AND 8 AND lane + lanes <= 32
							   AND lane IS NOT NULL AND lanes IS NOT NULL AND slot IS NULL),
	CHECK (kind <> 'number' OR slot BETWEEN 0 AND 3 AND minimum < maximum AND step > 0 AND (maximum - minimum) / step <= 32000
							   AND slot IS NOT NULL AND minimum IS NOT NULL AND maximum IS NOT NULL AND step IS NOT NULL
							   AND lane IS NULL AND lanes IS NULL)
);
COMMENT ON TABLE rapport.attribute IS
'What people can say about themselves and ask of others. Rows are made by define_attribute() and never removed: stored values point at them.';
COMMENT ON COLUMN rapport.attribute.strength IS
'What a preference does when it says nothing else: two_way limits whom I see and who sees me, one_way only whom I see, soft only the score.';
COMMENT ON COLUMN rapport.attribute.weight IS 'How much a soft preference on it counts in the score, relative to the others.';
COMMENT ON COLUMN rapport.attribute.lane IS
'First byte lane of a choice in the match key, 0 to 31, in the order of definition: the index clusters by the first.';
COMMENT ON COLUMN rapport.attribute.lanes IS
'Adjacent lanes taken. Option o is bit o of their 8 * lanes bits, bit 0 is "unset": one lane holds 7 options, eight hold 63.';
COMMENT ON COLUMN rapport.attribute.slot IS 'Place of a number in the match key, 0 to 3.';
COMMENT ON COLUMN rapport.attribute.step IS 'Numbers are stored as (value - minimum) / step, rounded.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute', '');

CREATE TABLE rapport.attribute_option (
	attribute_id smallint NOT NULL REFERENCES rapport.attribute,
	option smallint NOT NULL CHECK (option BETWEEN 1 AND 63),
	code text NOT NULL CHECK (code ~ '^[a-z0-9][a-z0-9_]{0,39}$'),
	PRIMARY KEY (attribute_id, option),
	UNIQUE (attribute_id, code)
);
COMMENT ON TABLE rapport.attribute_option IS 'The answers to a choice attribute. Codes are stable; labels per locale are in attribute_label.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute_option', '');

CREATE TABLE rapport.attribute_label (
	attribute_id smallint NOT NULL REFERENCES rapport.attribute,
	option smallint NOT NULL CHECK (option BETWEEN 0 AND 63),
	locale text NOT NULL CHECK (locale ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$'),
	label text NOT NULL,
	PRIMARY KEY (attribute_id, option, locale)
);
COMMENT ON TABLE rapport.attribute_label IS 'What an attribute (option 0) and its options are called in a locale such as de or pt-BR.';
SELECT pg_catalog.pg_extension_config_dump('rapport.attribute_label', '');

SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, rapport, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'postgis';
CREATE TABLE rapport.profile (
	person_id bigint PRIMARY KEY,
	display_name text,
	birth_date date,
	about text,
	cell bigint,
	place geography(Point, 4326),
	place_at timestamp with time zone,
	moves_on date,
	moves smallint NOT NULL DEFAULT 0,
	traits smallint[] NOT NULL DEFAULT '{}',
	numbers smallint[] NOT NULL DEFAULT '{}',
	tags text[] NOT NULL DEFAULT '{}',
	embedding real[],
	paused boolean NOT NULL DEFAULT false,
	created_at timestamp with time zone NOT NULL,
	updated_at timestamp with time zone NOT NULL
);
SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);
COMMENT ON TABLE rapport.profile IS 'What a person says about themselves. A person without a row has said nothing yet.';
COMMENT ON COLUMN rapport.profile.cell IS
'The grid cell the person is in, a grid_cell() of the setting grid_metres; the true position is stored nowhere. Only counted, by take_census().';
COMMENT ON COLUMN rapport.profile.place IS
'The centre of that cell, or of a larger one around it where few people live. All that others see, filter and sort by comes from this.';
COMMENT ON COLUMN rapport.profile.place_at IS 'Since when the person is in the cell.';
COMMENT ON COLUMN rapport.profile.moves_on IS 'The day (UTC) of the last change of the cell.';
COMMENT ON COLUMN rapport.profile.moves IS 'How often the cell changed that day; the first place is none.';
COMMENT ON COLUMN rapport.profile.traits IS 'Index attribute_id: the option chosen; NULL, 0 or beyond the end: unset.';
COMMENT ON COLUMN rapport.profile.numbers IS 'Index slot + 1: (value - minimum) / step; NULL or beyond the end: unset.';
COMMENT ON COLUMN rapport.profile.tags IS 'Lower case, NFC, each once, in the order given.';
COMMENT ON COLUMN rapport.profile.embedding IS 'Up to 32 numbers from -1 to 1, made by the app; compared by inner product.';
COMMENT ON COLUMN rapport.profile.paused IS 'Paused people are not candidates.';
SELECT pg_catalog.pg_extension_config_dump('rapport.profile', '');

CREATE TABLE rapport.census (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	taken_at timestamp with time zone NOT NULL,
	grid_metres integer NOT NULL
);
COMMENT ON TABLE rapport.census IS 'When people were last counted by cells, and on which grid; one row. Until then, and on another grid, all cells are small.';
SELECT pg_catalog.pg_extension_config_dump('rapport.census', '');

CREATE TABLE rapport.crowded_cell (
	cell bigint PRIMARY KEY,
	level smallint NOT NULL
);
COMMENT ON TABLE rapport.crowded_cell IS
'Cells of every size with enough people in them to be shown, as of the last census, without those in smaller ones. How many there are is not kept.';
SELECT pg_catalog.pg_extension_config_dump('rapport.crowded_cell', '');

CREATE TABLE rapport.activity (
	person_id bigint PRIMARY KEY,
	active_on date NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE rapport.activity IS 'The last day (UTC) on which a person was active; kept in days, because a change of it is a change of the match key.';
SELECT pg_catalog.pg_extension_config_dump('rapport.activity', '');

CREATE TABLE rapport.preference (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	enabled boolean NOT NULL DEFAULT true,
	accepts bigint[] NOT NULL DEFAULT '{}',
	strengths smallint[] NOT NULL DEFAULT '{}',
	number_min smallint[] NOT NULL DEFAULT '{}',
	number_max smallint[] NOT NULL DEFAULT '{}',
	number_unset boolean[] NOT NULL DEFAULT '{}',
	age_min smallint,
	age_max smallint,
	max_distance_km integer,
	updated_at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, mode),
	CHECK (age_min <= age_max),
	CHECK (max_distance_km > 0)
);
COMMENT ON TABLE rapport.preference IS 'Whom a person accepts in a mode. Ages and the distance are always two-way.';
COMMENT ON COLUMN rapport.preference.mode IS 'Of rapport.mode, whose rows are never removed: a foreign key would only slow imports down.';
COMMENT ON COLUMN rapport.preference.enabled IS 'Whether the person takes part in this mode.';
COMMENT ON COLUMN rapport.preference.accepts IS
'Index attribute_id: 64-bit mask, bit o for option o, bit 0 for "unset"; NULL or beyond the end: everything.';
COMMENT ON COLUMN rapport.preference.strengths IS
'Index attribute_id, choices and numbers alike: 0, NULL or beyond the end = as the attribute says, 1 two_way, 2 one_way, 3 soft.';
COMMENT ON COLUMN rapport.preference.number_min IS 'Index slot + 1: the lowest code accepted; NULL or beyond the end: everything.';
COMMENT ON COLUMN rapport.preference.number_max IS 'Index slot + 1: the highest code accepted; NULL exactly where number_min is.';
COMMENT ON COLUMN rapport.preference.number_unset IS 'Index slot + 1: whether people without this number are accepted too; NULL where there is no range.';
COMMENT ON COLUMN rapport.preference.age_min IS 'Lowest age accepted in years, NULL: any.';
COMMENT ON COLUMN rapport.preference.age_max IS 'Highest age accepted in years, included; NULL: any.';
COMMENT ON COLUMN rapport.preference.max_distance_km IS 'NULL: everywhere.';
SELECT pg_catalog.pg_extension_config_dump('rapport.preference', '');

CREATE TABLE rapport.step_default (
	step text PRIMARY KEY,
	required boolean NOT NULL,
	description text NOT NULL
);
COMMENT ON TABLE rapport.step_default IS 'The steps a profile can need before its person is a candidate, besides one attribute:<code> for each attribute. Built in.';

CREATE TABLE rapport.required_step (
	step text PRIMARY KEY,
	required boolean NOT NULL
);
COMMENT ON TABLE rapport.required_step IS 'Steps of this database that differ from step_default; require_step() writes them.';
SELECT pg_catalog.pg_extension_config_dump('rapport.required_step', '');

CREATE TABLE rapport.import_run (
	source text PRIMARY KEY,
	mapping jsonb NOT NULL,
	started_at timestamp with time zone NOT NULL,
	finished_at timestamp with time zone,
	done_to text,
	added bigint NOT NULL DEFAULT 0,
	updated bigint NOT NULL DEFAULT 0,
	rejected bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.import_run IS 'The last import of each source, and how far it is.';
COMMENT ON COLUMN rapport.import_run.done_to IS 'The external_id up to which the source is done; an interrupted import goes on after it. NULL once finished.';
SELECT pg_catalog.pg_extension_config_dump('rapport.import_run', '');

CREATE TABLE rapport.import_reject (
	source text NOT NULL,
	reject bigint NOT NULL,
	external_id text,
	row jsonb NOT NULL,
	reasons text[] NOT NULL,
	PRIMARY KEY (source, reject)
);
COMMENT ON TABLE rapport.import_reject IS 'Rows of a source that the last import of it refused, with every reason.';
COMMENT ON COLUMN rapport.import_reject.row IS 'The mapped columns without the position, which is stored nowhere.';
SELECT pg_catalog.pg_extension_config_dump('rapport.import_reject', '');
-- profile: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('moved_too_fast', 429, 'nobody travels that fast', 'The place stays as it was; the detail says when it can be that one.'),
	('moves_exhausted', 429, 'the place has changed too often today', 'The place stays as it was; the detail says when it can change again.'),
	('under_age', 422, 'the person is too young', NULL),
	('unknown_attribute', 422, 'there is no such attribute', 'GET /v1/attributes lists them.'),
	('unknown_option', 422, 'the attribute has no such option', 'GET /v1/attributes lists the options of each.'),
	('unknown_mode', 422, 'there is no such mode', NULL);

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('minimum_age', 'integer', '18', 13, 99, 'Age in years from which people may take part.'),
	('grid_metres', 'integer', '1000', 100, 100000, 'Height of the grid cells, in metres, that positions are snapped to. Stored places keep the grid they were entered with.'),
	('grid_margin', 'float', '0.2', 0, 1, 'How far beyond the border of their cell people stay in it, as a share of grid_metres: who lives at a border does not keep jumping over it.'),
	('cell_people', 'integer', '10', 0, 1000000, 'People a cell must have to be shown; where take_census() found fewer the cell is twice as large, and so on. 0: all cells are small.'),
	('cell_doublings', 'integer', '4', 1, 8, 'How often cells double at most where few people live: 4 makes 16 km of 1.'),
	('census_days', 'integer', '7', 1, 365, 'Days between two counts of take_census(): calls in between count nothing, so that nobody sees at once where people come and go.'),
	('move_max_kmh', 'integer', '1000', 0, 100000, 'Travelling faster than this between two places is refused, in km/h. 0: no limit.'),
	('moves_a_day', 'integer', '50', 0, 30000, 'How often a day (UTC) a person may change the grid cell. 0: no limit.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.mode', 'built-in rows are made by the install script'),
	('rapport.step_default', 'built in');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.mode', 'R', NULL),
	('rapport.attribute', 'R', NULL),
	('rapport.attribute_option', 'R', NULL),
	('rapport.attribute_label', 'R', NULL),
	('rapport.profile', 'U', 'person_id'),
	('rapport.census', 'R', NULL),
	('rapport.crowded_cell', 'R', NULL),
	('rapport.activity', 'U', 'person_id'),
	('rapport.preference', 'U', 'person_id'),
	('rapport.step_default', 'R', NULL),
	('rapport.required_step', 'R', NULL),
	('rapport.import_run', 'L', 'source'),
	('rapport.import_reject', 'L', 'source');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'catalogue of the app'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid IN ('rapport.mode'::regclass, 'rapport.attribute'::regclass, 'rapport.attribute_option'::regclass,
					 'rapport.attribute_label'::regclass, 'rapport.step_default'::regclass, 'rapport.required_step'::regclass)
AND a.attnum > 0
AND NOT a.attisdropped;
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'progress of an import'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'rapport.import_run'::regclass
AND a.attnum > 0
AND NOT a.attisdropped
AND a.attname <> 'done_to';
INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.import_run', 'done_to', 'identity', 'keep', 'where a running import is; cleared at its end'),
	('rapport.import_reject', 'source', 'none', 'keep', 'name of a table'),
	('rapport.import_reject', 'reject', 'none', 'keep', 'a count'),
	('rapport.import_reject', 'external_id', 'identity', 'delete', NULL),
	('rapport.import_reject', 'row', 'content', 'delete', NULL),
	('rapport.import_reject', 'reasons', 'content', 'delete', NULL),
	('rapport.profile', 'person_id', 'technical', 'delete', NULL),
	('rapport.profile', 'display_name', 'identity', 'delete', NULL),
	('rapport.profile', 'birth_date', 'demographic', 'delete', NULL),
	('rapport.profile', 'about', 'content', 'delete', NULL),
	('rapport.profile', 'cell', 'location', 'delete', NULL),
	('rapport.profile', 'place', 'location', 'delete', NULL),
	('rapport.profile', 'place_at', 'location', 'delete', NULL),
	('rapport.profile', 'moves_on', 'location', 'delete', NULL),
	('rapport.profile', 'moves', 'location', 'delete', NULL),
	('rapport.census', 'one', 'none', 'keep', 'when people were counted'),
	('rapport.census', 'taken_at', 'none', 'keep', 'when people were counted'),
	('rapport.census', 'grid_metres', 'none', 'keep', 'when people were counted'),
	('rapport.crowded_cell', 'cell', 'none', 'keep', 'where many people are, not who'),
	('rapport.crowded_cell', 'level', 'none', 'keep', 'where many people are, not who'),
	('rapport.profile', 'traits', 'demographic', 'delete', NULL),
	('rapport.profile', 'numbers', 'demographic', 'delete', NULL),
	('rapport.profile', 'tags', 'content', 'delete', NULL),
	('rapport.profile', 'embedding', 'behaviour', 'delete', NULL),
	('rapport.profile', 'paused', 'technical', 'delete', NULL),
	('rapport.profile', 'created_at', 'technical', 'delete', NULL),
	('rapport.profile', 'updated_at', 'technical', 'delete', NULL),
	('rapport.activity', 'person_id', 'technical', 'delete', NULL),
	('rapport.activity', 'active_on', 'behaviour', 'delete', NULL),
	('rapport.preference', 'person_id', 'technical', 'delete', NULL),
	('rapport.preference', 'mode', 'demographic', 'delete', NULL),
	('rapport.preference', 'enabled', 'demographic', 'delete', NULL),
	('rapport.preference', 'accepts', 'demographic', 'delete', NULL),
	('rapport.preference', 'strengths', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_min', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_max', 'demographic', 'delete', NULL),
	('rapport.preference', 'number_unset', 'demographic', 'delete', NULL),
	('rapport.preference', 'age_min', 'demographic', 'delete', NULL),
	('rapport.preference', 'age_max', 'demographic', 'delete', NULL),
	('rapport.preference', 'max_distance_km', 'location', 'delete', NULL),
	('rapport.preference', 'updated_at', 'technical', 'delete', NULL);

INSERT INTO rapport.subject (tab, col, own, find) VALUES
	('rapport.import_run', 'done_to', true,
	 't.done_to IN (SELECT e.external_id FROM rapport.external_identity AS e WHERE e.person_id = ANY ($1))'),
	('rapport.import_reject', 'external_id', true,
	 't.external_id IN (SELECT e.external_id FROM rapport.external_identity AS e WHERE e.person_id = ANY ($1))');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('people_imported', 'people added, people updated', 'An import has come to its end.');

-- An update keeps the rows that preferences point at.
INSERT INTO rapport.mode (mode, code, builtin) VALUES
	(1, 'date', true),
	(2, 'friends', true)
ON CONFLICT (mode) DO UPDATE SET code = excluded.code, builtin = true;

DELETE FROM rapport.step_default;
INSERT INTO rapport.step_default (step, required, description) VALUES
	('display_name', true, 'a name to be shown'),
	('birth_date', true, 'the date of birth'),
	('place', true, 'a place'),
	('preferences', true, 'at least one mode with preferences, enabled'),
	('about', false, 'a text about oneself'),
	('tags', false, 'at least one tag'),
	('embedding', false, 'an embedding made by the app');

-- Age, place and text

CREATE FUNCTION rapport.person_age(birth_date date, on_date date) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT extract(year FROM age(on_date::timestamp, birth_date::timestamp))::integer;
END;
COMMENT ON FUNCTION rapport.person_age(date, date) IS
'Completed years on that day. Somebody born on 29 February grows older on 1 March in years without one.';

CREATE FUNCTION rapport.grid_cell(latitude double precision, longitude double precision, metres integer,
											 margin double precision DEFAULT 0, current bigint DEFAULT NULL) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_grid_cell_sql';
COMMENT ON FUNCTION rapport.grid_cell(double precision, double precision, integer, double precision, bigint) IS
'The number of the grid cell of a position in degrees: bands of equal height (metres) from pole to pole, divided into cells about as wide. The cell current is kept while the position is no farther from it than margin, a share of metres. NULL for a position that does not exist.';

CREATE FUNCTION rapport.cell_parent(cell bigint, level integer) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_parent';
COMMENT ON FUNCTION rapport.cell_parent(bigint, integer) IS
'The cell around a cell whose side is 2^level times that of the smallest. Every cell lies in exactly one of each level.';

CREATE FUNCTION rapport.cell_latitude(cell bigint) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_latitude';
COMMENT ON FUNCTION rapport.cell_latitude(bigint) IS 'Degrees north of the centre of a cell.';

CREATE FUNCTION rapport.cell_longitude(cell bigint) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_cell_longitude';
COMMENT ON FUNCTION rapport.cell_longitude(bigint) IS 'Degrees east of the centre of a cell.';

SELECT pg_catalog.set_config('search_path', pg_catalog.format('pg_catalog, rapport, %I, pg_temp', n.nspname), true)
FROM pg_catalog.pg_extension AS e
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
WHERE e.extname OPERATOR(pg_catalog.=) 'postgis';

CREATE FUNCTION rapport.make_place(latitude double precision, longitude double precision) RETURNS geography
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_setsrid(st_makepoint(longitude, latitude), 4326)::geography;
END;
COMMENT ON FUNCTION rapport.make_place(double precision, double precision) IS 'A point from degrees on WGS 84; NULL when one is NULL. For centres of cells.';

CREATE FUNCTION rapport.place_latitude(place geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_y(place::geometry);
END;
COMMENT ON FUNCTION rapport.place_latitude(geography) IS 'Degrees north of a point.';

CREATE FUNCTION rapport.place_longitude(place geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_x(place::geometry);
END;
COMMENT ON FUNCTION rapport.place_longitude(geography) IS 'Degrees east of a point.';

CREATE FUNCTION rapport.place_distance(one geography, other geography) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT st_distance(one, other, false);
END;
COMMENT ON FUNCTION rapport.place_distance(geography, geography) IS 'Metres between two places along a great circle.';

CREATE FUNCTION rapport.cell_place(cell bigint) RETURNS geography
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.make_place(rapport.cell_latitude(cell), rapport.cell_longitude(cell));
END;
COMMENT ON FUNCTION rapport.cell_place(bigint) IS 'The centre of a cell.';

SELECT pg_catalog.set_config('search_path', 'pg_catalog, rapport, pg_temp', true);

CREATE FUNCTION rapport.clean_text(name text, value text, max_characters integer, lines boolean DEFAULT false) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_clean_text_sql';
COMMENT ON FUNCTION rapport.clean_text(text, text, integer, boolean) IS
'The text as it is stored: NFC, without white space at either end; line feeds only where lines are allowed. name is what errors call it. Errors: invalid_value (a control character, nothing visible, more than 64 combining marks in a row), out_of_range (too long, counted in characters).';

-- Reading what people send. The rules stand in C once; updates and imports share them.

CREATE FUNCTION rapport.profile_rules() RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN pg_catalog.jsonb_build_object(
		'minimum_age', rapport.setting_int('minimum_age'),
		'attributes', (
			SELECT coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
				WHEN 'choice' THEN pg_catalog.jsonb_build_object('id', a.attribute_id, 'options', (
					SELECT coalesce(pg_catalog.jsonb_object_agg(o.code, o.option), '{}')
					FROM rapport.attribute_option AS o
					WHERE o.attribute_id = a.attribute_id))
				ELSE pg_catalog.jsonb_build_object('id', a.attribute_id, 'slot', a.slot, 'minimum', a.minimum,
												   'maximum', a.maximum, 'step', a.step)
				END), '{}')
			FROM rapport.attribute AS a));
END;
$$;
COMMENT ON FUNCTION rapport.profile_rules() IS 'The catalogue of attributes and the minimum age, as read_profile() and read_preference() take them.';

CREATE FUNCTION rapport.read_profile(stored rapport.profile, body jsonb, rules jsonb,
												OUT display_name text, OUT birth_date date, OUT about text, OUT traits smallint[],
												OUT numbers smallint[], OUT tags text[], OUT embedding real[], OUT paused boolean,
												OUT problems text[])
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_profile';
COMMENT ON FUNCTION rapport.read_profile(rapport.profile, jsonb, jsonb) IS
'Applies a change to a stored profile (NULL: none yet): absent keys stay, null clears. problems holds up to 20 of "code: detail", NULL when all is well.';

CREATE FUNCTION rapport.read_preference(stored rapport.preference, body jsonb, rules jsonb,
												   OUT enabled boolean, OUT accepts bigint[], OUT strengths smallint[],
												   OUT number_min smallint[], OUT number_max smallint[], OUT number_unset boolean[],
												   OUT age_min smallint, OUT age_max smallint, OUT max_distance_km integer,
												   OUT problems text[])
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_preference';
COMMENT ON FUNCTION rapport.read_preference(rapport.preference, jsonb, jsonb) IS
'Applies a change to a stored preference (NULL: none yet): absent keys stay, null clears. problems as in read_profile().';

CREATE FUNCTION rapport.read_place(latitude jsonb, longitude jsonb, metres integer, margin double precision, current bigint)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_place';
COMMENT ON FUNCTION rapport.read_place(jsonb, jsonb, integer, double precision, bigint) IS
'grid_cell() of JSON numbers, or strings that are numbers; NULL for anything else.';

CREATE FUNCTION rapport.read_date(value text) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'profile_read_date';
COMMENT ON FUNCTION rapport.read_date(text) IS 'The date of yyyy-mm-dd; NULL when it is none.';

CREATE FUNCTION rapport.fail_first(problems text[]) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	PERFORM rapport.fail(pg_catalog.split_part(problems[1], ': ', 1),
						 pg_catalog.substr(problems[1], pg_catalog.strpos(problems[1], ': ') + 2));
END;
$$;
COMMENT ON FUNCTION rapport.fail_first(text[]) IS 'Raises the first of the problems of read_profile() or read_preference().';

-- Showing what is stored. These are inlined into the query that uses them.

CREATE FUNCTION rapport.attributes_of(ids bigint[]) RETURNS TABLE (person_id bigint, attributes jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.person_id,
		   coalesce(jsonb_object_agg(a.code, coalesce(to_jsonb(o.code), to_jsonb(trim_scale(a.minimum + a.step * p.numbers[a.slot + 1]))))
					FILTER (WHERE o.option IS NOT NULL OR p.numbers[a.slot + 1] IS NOT NULL), '{}')
	FROM rapport.profile AS p
	LEFT JOIN rapport.attribute AS a ON true
	LEFT JOIN rapport.attribute_option AS o ON o.attribute_id = a.attribute_id AND o.option = p.traits[a.attribute_id]
	WHERE p.person_id = ANY (attributes_of.ids)
	GROUP BY p.person_id;
END;
COMMENT ON FUNCTION rapport.attributes_of(bigint[]) IS
'A row for each of the people who has a profile: the attributes set in it as {code: option code or number}. Use in FROM, there it is inlined.';

CREATE FUNCTION rapport.preferences_of(person_id bigint) RETURNS TABLE (mode text, preference jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT m.code, jsonb_build_object(
		'enabled', p.enabled,
		'accepts', (
			SELECT coalesce(jsonb_object_agg(a.code, (
				SELECT jsonb_agg(o.code ORDER BY o.option)
				FROM (SELECT 0::smallint, NULL::text
					  UNION ALL
					  SELECT x.option, x.code FROM rapport.attribute_option AS x WHERE x.attribute_id = a.attribute_id) AS o (option, code)
				WHERE (p.accepts[a.attribute_id] >> o.option) & 1 = 1)), '{}')
			FROM rapport.attribute AS a
			WHERE p.accepts[a.attribute_id] IS NOT NULL),
		'ranges', (
			SELECT coalesce(jsonb_object_agg(a.code,
				jsonb_build_array(trim_scale(a.minimum + a.step * p.number_min[a.slot + 1]),
								  trim_scale(a.minimum + a.step * p.number_max[a.slot + 1]))
				|| CASE WHEN p.number_unset[a.slot + 1] THEN '[null]'::jsonb ELSE '[]'::jsonb END), '{}')
			FROM rapport.attribute AS a
			WHERE p.number_min[a.slot + 1] IS NOT NULL),
		'strengths', (
			SELECT coalesce(jsonb_object_agg(a.code, (ARRAY['two_way', 'one_way', 'soft'])[p.strengths[a.attribute_id]]), '{}')
			FROM rapport.attribute AS a
			WHERE p.strengths[a.attribute_id] BETWEEN 1 AND 3),
		'age', CASE WHEN p.age_min IS NOT NULL OR p.age_max IS NOT NULL THEN jsonb_build_array(p.age_min, p.age_max) END,
		'max_distance_km', p.max_distance_km)
	FROM rapport.preference AS p
	JOIN rapport.mode AS m ON m.mode = p.mode
	WHERE p.person_id = preferences_of.person_id;
END;
COMMENT ON FUNCTION rapport.preferences_of(bigint) IS 'The preferences of a person, one row a mode, in the shape that set_preference() takes.';

-- Not BEGIN ATOMIC: its use of the row type would keep the table from new columns with a default.
CREATE FUNCTION rapport.missing_steps(person rapport.profile) RETURNS TABLE (step text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
	SELECT s.step
	-- An array, so that the list is made once a query and not once a person.
	FROM unnest(ARRAY(SELECT coalesce(r.step, d.step)
					  FROM rapport.step_default AS d
					  FULL JOIN rapport.required_step AS r ON r.step = d.step
					  WHERE coalesce(r.required, d.required))) AS s (step)
	WHERE NOT CASE s.step
		WHEN 'display_name' THEN (missing_steps.person).display_name IS NOT NULL
		WHEN 'birth_date' THEN (missing_steps.person).birth_date IS NOT NULL
		WHEN 'place' THEN (missing_steps.person).place IS NOT NULL
		WHEN 'preferences' THEN EXISTS (SELECT FROM rapport.preference AS p
										WHERE p.person_id = (missing_steps.person).person_id AND p.enabled)
		WHEN 'about' THEN (missing_steps.person).about IS NOT NULL
		WHEN 'tags' THEN cardinality((missing_steps.person).tags) > 0
		WHEN 'embedding' THEN (missing_steps.person).embedding IS NOT NULL
		ELSE EXISTS (SELECT FROM rapport.attribute AS a
					 WHERE 'attribute:' || a.code = s.step
					 AND ((missing_steps.person).traits[a.attribute_id] > 0 OR (missing_steps.person).numbers[a.slot + 1] IS NOT NULL))
		END IS TRUE;
$$;
COMMENT ON FUNCTION rapport.missing_steps(rapport.profile) IS
'The required steps that this profile lacks; no rows: complete. WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p)) is inlined.';

-- Larger cells where few people live

CREATE FUNCTION rapport.doublings() RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	RETURN CASE WHEN rapport.setting_int('cell_people') > 0
					 AND EXISTS (SELECT FROM rapport.census AS c WHERE c.grid_metres = rapport.setting_int('grid_metres'))
		THEN rapport.setting_int('cell_doublings')
		ELSE 0 END;
END;
$$;
COMMENT ON FUNCTION rapport.doublings() IS 'How often cells double at most: the setting cell_doublings, 0 before the first census of this grid.';

CREATE FUNCTION rapport.shown_cell(cell bigint, doublings integer) RETURNS TABLE (shown bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT rapport.cell_parent(shown_cell.cell, coalesce(min(c.level)::integer, shown_cell.doublings))
	FROM generate_series(0, shown_cell.doublings - 1) AS n
	JOIN rapport.crowded_cell AS c ON c.cell = rapport.cell_parent(shown_cell.cell, n);
END;
COMMENT ON FUNCTION rapport.shown_cell(bigint, integer) IS
'One row: the smallest cell around a cell that has enough people, or the largest there is. Use in FROM, there it is inlined.';

-- Changes

CREATE FUNCTION rapport.people_changed(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	INSERT INTO rapport.activity AS a (person_id, active_on)
	SELECT i, rapport.today()
	FROM unnest(ids) AS i
	ON CONFLICT ON CONSTRAINT activity_pkey DO UPDATE SET active_on = excluded.active_on
	WHERE a.active_on < excluded.active_on;
	PERFORM rapport.run_hooks('person_changed', ids);
END;
$$;
COMMENT ON FUNCTION rapport.people_changed(bigint[]) IS 'Marks people active today and tells the other topics that they changed.';

CREATE FUNCTION rapport.mark_active(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	changed bigint[];
BEGIN
	WITH written AS (
		INSERT INTO rapport.activity AS a (person_id, active_on)
		SELECT i, rapport.today()
		FROM unnest(ids) AS i
		ON CONFLICT ON CONSTRAINT activity_pkey DO UPDATE SET active_on = excluded.active_on
		WHERE a.active_on < excluded.active_on
		RETURNING a.person_id)
	SELECT pg_catalog.array_agg(w.person_id) INTO changed FROM written AS w;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.mark_active(bigint[]) IS
'Marks people active today, for writes of other topics; people_changed hooks run only for whom the day is new.';

CREATE FUNCTION rapport.my_profile(OUT person_id bigint, OUT display_name text, OUT birth_date date, OUT age integer,
											  OUT about text, OUT attributes jsonb, OUT tags text[], OUT embedding real[],
											  OUT latitude double precision, OUT longitude double precision,
											  OUT place_at timestamp with time zone, OUT paused boolean, OUT preferences jsonb,
											  OUT missing text[], OUT updated_at timestamp with time zone)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mine rapport.profile;
BEGIN
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me;
	person_id := me;
	display_name := mine.display_name;
	birth_date := mine.birth_date;
	age := rapport.person_age(mine.birth_date, rapport.today());
	about := mine.about;
	attributes := coalesce((SELECT a.attributes FROM rapport.attributes_of(ARRAY[me]) AS a), '{}');
	tags := coalesce(mine.tags, '{}');
	embedding := mine.embedding;
	latitude := rapport.place_latitude(mine.place);
	longitude := rapport.place_longitude(mine.place);
	place_at := mine.place_at;
	paused := coalesce(mine.paused, false);
	SELECT coalesce(jsonb_object_agg(p.mode, p.preference), '{}') INTO preferences FROM rapport.preferences_of(me) AS p;
	SELECT coalesce(array_agg(s.step ORDER BY s.step COLLATE "C"), '{}') INTO missing FROM rapport.missing_steps(mine) AS s;
	updated_at := mine.updated_at;
END;
$$;
COMMENT ON FUNCTION rapport.my_profile() IS
'Everything I have said: attributes as {code: option or number}, preferences as {mode: what set_preference takes}, latitude and longitude of my grid cell in degrees, and the required steps still missing (none: I can be a candidate). Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.my_profile() TO rapport_user;

CREATE FUNCTION rapport.update_profile(body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mine rapport.profile;
	change record;
BEGIN
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		INSERT INTO rapport.profile (person_id, created_at, updated_at)
		VALUES (me, rapport.now(), rapport.now())
		ON CONFLICT DO NOTHING;
		SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	END IF;
	SELECT r.* INTO change FROM rapport.read_profile(mine, update_profile.body, rapport.profile_rules()) AS r;
	IF change.problems IS NOT NULL THEN
		PERFORM rapport.fail_first(change.problems);
	END IF;
	UPDATE rapport.profile AS p
	SET display_name = change.display_name,
		birth_date = change.birth_date,
		about = change.about,
		traits = change.traits,
		numbers = change.numbers,
		tags = change.tags,
		embedding = change.embedding,
		paused = change.paused,
		updated_at = rapport.now()
	WHERE p.person_id = me;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.update_profile(jsonb) IS
'Changes my profile; keys that are absent stay as they are, null clears. display_name (1 to 60 characters), birth_date (yyyy-mm-dd), about (up to 2000, may have lines), tags (up to 50 of 1 to 40 characters, stored in lower case, each once), attributes {code: option code, number or null}, embedding (1 to 32 numbers), paused (true: nobody discovers me). Texts are stored in NFC without white space at the ends. Errors: unknown_field, wrong_type, invalid_value, out_of_range, unknown_attribute, unknown_option, under_age.';
GRANT EXECUTE ON FUNCTION rapport.update_profile(jsonb) TO rapport_user;

CREATE FUNCTION rapport.count_move(mine rapport.profile, new_cell bigint, grid integer, moment timestamp with time zone)
RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	moves_today integer := 1 + CASE WHEN mine.moves_on = rapport.today() THEN mine.moves ELSE 0 END;
	moves_a_day integer := rapport.setting_int('moves_a_day');
	kmh integer := rapport.setting_int('move_max_kmh');
	-- Centres of cells can be so much farther apart than those who are in them.
	metres double precision := rapport.place_distance(rapport.cell_place(mine.cell), rapport.cell_place(new_cell)) - 2 * grid;
	arrival timestamp with time zone;
BEGIN
	IF moves_a_day > 0 AND moves_today > moves_a_day THEN
		PERFORM rapport.fail('moves_exhausted', pg_catalog.format('A place can change %s times a day, and again from %sT00:00:00Z.',
																   moves_a_day, rapport.today() + 1));
	END IF;
	IF kmh > 0 AND metres > 0 THEN
		arrival := pg_catalog.date_trunc('second', mine.place_at + pg_catalog.make_interval(secs => metres * 3.6 / kmh)) + interval '1 s';
		IF arrival > moment THEN
			PERFORM rapport.fail('moved_too_fast', pg_catalog.format('At %s km/h one can be there at %s.', kmh,
				pg_catalog.to_char(arrival AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
		END IF;
	END IF;
	-- More than the column holds only where nobody counts.
	RETURN least(moves_today, 30000);
END;
$$;
COMMENT ON FUNCTION rapport.count_move(rapport.profile, bigint, integer, timestamp with time zone) IS
'How often a person has changed the cell today with this move to another. Speed is that between the cells since the last change. Errors: moved_too_fast, moves_exhausted.';

CREATE FUNCTION rapport.set_place(latitude double precision, longitude double precision) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	grid integer := rapport.setting_int('grid_metres');
	moment timestamp with time zone := rapport.now();
	mine rapport.profile;
	new_cell bigint;
	moves_today integer := 0;
BEGIN
	IF set_place.latitude IS NULL OR set_place.longitude IS NULL THEN
		PERFORM rapport.fail('missing_field', 'A place needs latitude and longitude.');
	END IF;
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	new_cell := rapport.grid_cell(set_place.latitude, set_place.longitude, grid, rapport.setting_float('grid_margin'), mine.cell);
	IF new_cell IS NULL THEN
		PERFORM rapport.fail('out_of_range', 'The latitude lies between -90 and 90 degrees, the longitude between -180 and 180.');
	END IF;
	IF mine.person_id IS NULL THEN
		INSERT INTO rapport.profile (person_id, created_at, updated_at)
		VALUES (me, moment, moment)
		ON CONFLICT DO NOTHING;
		-- Not there a moment ago: another session may have set a place since.
		SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = me FOR NO KEY UPDATE;
	END IF;
	IF new_cell = mine.cell THEN
		PERFORM rapport.mark_active(ARRAY[me]);
		RETURN;
	END IF;
	IF mine.cell IS NOT NULL THEN
		moves_today := rapport.count_move(mine, new_cell, grid, moment);
	END IF;
	UPDATE rapport.profile AS p
	SET cell = new_cell,
		place = rapport.cell_place(s.shown),
		place_at = moment,
		moves_on = rapport.today(),
		moves = moves_today,
		updated_at = moment
	FROM rapport.shown_cell(new_cell, rapport.doublings()) AS s
	WHERE p.person_id = me;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.set_place(double precision, double precision) IS
'Says where I am, in degrees (WGS 84). Only the grid cell around it is kept (about 1 km; the setting grid_metres), and a step over its border (grid_margin) does not change it. Others see the centre of the cell, or of a larger one where few people live. Errors: missing_field, out_of_range, moved_too_fast (move_max_kmh) and moves_exhausted (moves_a_day), both with the time from which it can be; then nothing changes. The first place is free.';
GRANT EXECUTE ON FUNCTION rapport.set_place(double precision, double precision) TO rapport_user;

CREATE FUNCTION rapport.set_preference(mode text, body jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	wanted smallint;
	mine rapport.preference;
	change record;
BEGIN
	SELECT m.mode INTO wanted FROM rapport.mode AS m WHERE m.code = set_preference.mode;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_mode', format('The modes are %s.', (SELECT string_agg(m.code, ', ' ORDER BY m.mode) FROM rapport.mode AS m)));
	END IF;
	SELECT p.* INTO mine FROM rapport.preference AS p WHERE p.person_id = me AND p.mode = wanted FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		INSERT INTO rapport.preference (person_id, mode, updated_at)
		VALUES (me, wanted, rapport.now())
		ON CONFLICT DO NOTHING;
		SELECT p.* INTO mine FROM rapport.preference AS p WHERE p.person_id = me AND p.mode = wanted FOR NO KEY UPDATE;
	END IF;
	SELECT r.* INTO change FROM rapport.read_preference(mine, set_preference.body, rapport.profile_rules()) AS r;
	IF change.problems IS NOT NULL THEN
		PERFORM rapport.fail_first(change.problems);
	END IF;
	UPDATE rapport.preference AS p
	SET enabled = change.enabled,
		accepts = change.accepts,
		strengths = change.strengths,
		number_min = change.number_min,
		number_max = change.number_max,
		number_unset = change.number_unset,
		age_min = change.age_min,
		age_max = change.age_max,
		max_distance_km = change.max_distance_km,
		updated_at = rapport.now()
	WHERE p.person_id = me
	AND p.mode = wanted;
	PERFORM rapport.people_changed(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.set_preference(text, jsonb) IS
'Says whom I accept in a mode (date, friends ...); keys that are absent stay as they are, null clears. enabled (false: I take no part), accepts {attribute: [option codes, null for no answer]}, ranges {number: [lowest, highest], null for an open end, and null as a third to accept no answer}, strengths {attribute: two_way (limits whom I see and who sees me), one_way (only whom I see) or soft (only the score)}, age [lowest, highest] in years, max_distance_km (null: everywhere). Errors: unknown_mode, unknown_field, unknown_attribute, unknown_option, wrong_type, invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.set_preference(text, jsonb) TO rapport_user;

-- The catalogue

CREATE FUNCTION rapport.attributes(locale text DEFAULT NULL)
RETURNS TABLE (code text, label text, kind text, strength text, options jsonb, minimum numeric, maximum numeric, step numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	WITH best AS (
		SELECT DISTINCT ON (l.attribute_id, l.option) l.attribute_id, l.option, l.label
		FROM rapport.attribute_label AS l
		WHERE l.locale = 'en' OR lower(attributes.locale) = lower(l.locale) OR lower(attributes.locale) LIKE lower(l.locale) || '-%'
		ORDER BY l.attribute_id, l.option,
				 (lower(attributes.locale) = lower(l.locale) OR lower(attributes.locale) LIKE lower(l.locale) || '-%') IS TRUE DESC,
				 length(l.locale) DESC)
	SELECT a.code,
		   coalesce(b.label, a.code),
		   a.kind,
		   a.strength,
		   (SELECT jsonb_agg(jsonb_build_object('code', o.code, 'label', coalesce(ob.label, o.code)) ORDER BY o.option)
			FROM rapport.attribute_option AS o
			LEFT JOIN best AS ob ON ob.attribute_id = o.attribute_id AND ob.option = o.option
			WHERE o.attribute_id = a.attribute_id),
		   a.minimum, a.maximum, a.step
	FROM rapport.attribute AS a
	LEFT JOIN best AS b ON b.attribute_id = a.attribute_id AND b.option = 0
	ORDER BY a.attribute_id;
END;
$$;
COMMENT ON FUNCTION rapport.attributes(text) IS
'What people can say about themselves: choices with their options, numbers with their range, each with its label in the locale (de-AT falls back to de, then en, then the code).';
GRANT EXECUTE ON FUNCTION rapport.attributes(text) TO rapport_anon;

CREATE FUNCTION rapport.check_code(code text) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF check_code.code IS NULL OR check_code.code !~ '^[a-z][a-z0-9_]{0,39}$' THEN
		PERFORM rapport.fail('invalid_value', 'A code is 1 to 40 lower-case letters, digits and underscores, a letter first.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.check_code(text) IS 'Raises invalid_value unless the text can be the code of an attribute or mode.';

CREATE FUNCTION rapport.define_mode(code text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	next integer;
BEGIN
	PERFORM rapport.check_code(define_mode.code);
	LOCK TABLE rapport.mode IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM rapport.mode AS m WHERE m.code = define_mode.code) THEN
		PERFORM rapport.fail('conflict', format('There is a mode %I already.', define_mode.code));
	END IF;
	SELECT greatest(max(m.mode) + 1, 32) INTO next FROM rapport.mode AS m;
	IF next > 255 THEN
		PERFORM rapport.fail('out_of_range', 'There is room for 224 modes of your own.');
	END IF;
	INSERT INTO rapport.mode (mode, code) VALUES (next, define_mode.code);
END;
$$;
COMMENT ON FUNCTION rapport.define_mode(text) IS
'Adds a mode, such as flatmates, with preferences and candidates of its own. For operators. Errors: invalid_value, conflict, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_mode(text) TO rapport_service;

CREATE FUNCTION rapport.define_option(attribute text, option text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	known rapport.attribute;
	next integer;
BEGIN
	IF define_option.option IS NULL OR define_option.option !~ '^[a-z0-9][a-z0-9_]{0,39}$' THEN
		PERFORM rapport.fail('invalid_value', 'The code of an option is 1 to 40 lower-case letters, digits and underscores.');
	END IF;
	SELECT a.* INTO known FROM rapport.attribute AS a WHERE a.code = define_option.attribute FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_attribute', format('%L is not an attribute.', define_option.attribute));
	END IF;
	IF known.kind <> 'choice' THEN
		PERFORM rapport.fail('wrong_type', format('%I is a number and has no options.', known.code));
	END IF;
	IF EXISTS (SELECT FROM rapport.attribute_option AS o WHERE o.attribute_id = known.attribute_id AND o.code = define_option.option) THEN
		PERFORM rapport.fail('conflict', format('%I has the option %I already.', known.code, define_option.option));
	END IF;
	SELECT coalesce(max(o.option), 0) + 1 INTO next FROM rapport.attribute_option AS o WHERE o.attribute_id = known.attribute_id;
	IF next >= 8 * known.lanes THEN
		PERFORM rapport.fail('out_of_range', format('%I has room for %s options; more lanes can be given when an attribute is defined.',
													known.code, 8 * known.lanes - 1));
	END IF;
	INSERT INTO rapport.attribute_option (attribute_id, option, code) VALUES (known.attribute_id, next, define_option.option);
END;
$$;
COMMENT ON FUNCTION rapport.define_option(text, text) IS
'Adds an option to a choice attribute. Preferences that list the options they accept do not accept the new one until they say so. For operators. Errors: unknown_attribute, wrong_type, invalid_value, conflict, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_option(text, text) TO rapport_service;

CREATE FUNCTION rapport.define_attribute(code text, kind text, options text[] DEFAULT NULL,
													minimum numeric DEFAULT NULL, maximum numeric DEFAULT NULL, step numeric DEFAULT NULL,
													strength text DEFAULT NULL, weight real DEFAULT NULL, lanes integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	next_id integer;
	next_lane integer;
	next_slot integer;
	wanted_lanes integer;
	new_option text;
BEGIN
	PERFORM rapport.check_code(define_attribute.code);
	IF define_attribute.kind IS NULL OR define_attribute.kind NOT IN ('choice', 'number') THEN
		PERFORM rapport.fail('invalid_value', 'The kind of an attribute is choice or number.');
	END IF;
	IF define_attribute.strength NOT IN ('two_way', 'one_way', 'soft') THEN
		PERFORM rapport.fail('invalid_value', 'A strength is two_way, one_way or soft.');
	END IF;
	IF NOT (coalesce(define_attribute.weight, 1) BETWEEN 0 AND 100) THEN
		PERFORM rapport.fail('out_of_range', 'A weight lies between 0 and 100.');
	END IF;
	LOCK TABLE rapport.attribute IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM rapport.attribute AS a WHERE a.code = define_attribute.code) THEN
		PERFORM rapport.fail('conflict', format('There is an attribute %I already.', define_attribute.code));
	END IF;
	SELECT coalesce(max(a.attribute_id), 0) + 1, coalesce(max(a.lane + a.lanes), 0), coalesce(max(a.slot) + 1, 0)
	INTO next_id, next_lane, next_slot
	FROM rapport.attribute AS a;

	IF define_attribute.kind = 'choice' THEN
		IF num_nonnulls(define_attribute.minimum, define_attribute.maximum, define_attribute.step) > 0 THEN
			PERFORM rapport.fail('invalid_value', 'minimum, maximum and step belong to numbers.');
		END IF;
		IF coalesce(cardinality(define_attribute.options), 0) NOT BETWEEN 1 AND 63 OR array_ndims(define_attribute.options) <> 1 THEN
			PERFORM rapport.fail('out_of_range', 'A choice has 1 to 63 options.');
		END IF;
		wanted_lanes := coalesce(define_attribute.lanes, cardinality(define_attribute.options) / 8 + 1);
		IF wanted_lanes NOT BETWEEN 1 AND 8 OR cardinality(define_attribute.options) >= 8 * wanted_lanes THEN
			PERFORM rapport.fail('out_of_range', 'A lane holds 7 options, eight lanes hold 63.');
		END IF;
		IF next_lane + wanted_lanes > 32 THEN
			PERFORM rapport.fail('out_of_range', format('Of 32 lanes %s are free.', 32 - next_lane));
		END IF;
		INSERT INTO rapport.attribute (attribute_id, code, kind, strength, weight, lane, lanes)
		VALUES (next_id, define_attribute.code, 'choice', coalesce(define_attribute.strength, 'two_way'),
				coalesce(define_attribute.weight, 1), next_lane, wanted_lanes);
		FOREACH new_option IN ARRAY define_attribute.options
		LOOP
			PERFORM rapport.define_option(define_attribute.code, new_option);
		END LOOP;
	ELSE
		IF define_attribute.options IS NOT NULL OR define_attribute.lanes IS NOT NULL THEN
			PERFORM rapport.fail('invalid_value', 'options and lanes belong to choices.');
		END IF;
		IF num_nonnulls(define_attribute.minimum, define_attribute.maximum) < 2 THEN
			PERFORM rapport.fail('missing_field', 'A number needs a minimum and a maximum.');
		END IF;
		IF NOT (define_attribute.minimum BETWEEN -1e15 AND 1e15 AND define_attribute.maximum BETWEEN -1e15 AND 1e15
				AND define_attribute.minimum < define_attribute.maximum
				AND coalesce(define_attribute.step, 1) > 0 AND coalesce(define_attribute.step, 1) < 1e15) THEN
			PERFORM rapport.fail('out_of_range', 'The minimum must lie below the maximum, and the step above 0.');
		END IF;
		IF (define_attribute.maximum - define_attribute.minimum) / coalesce(define_attribute.step, 1) NOT BETWEEN 1 AND 32000 THEN
			PERFORM rapport.fail('out_of_range', 'A range has at most 32000 steps.');
		END IF;
		IF next_slot > 3 THEN
			PERFORM rapport.fail('out_of_range', 'There is room for 4 numbers.');
		END IF;
		INSERT INTO rapport.attribute (attribute_id, code, kind, strength, weight, slot, minimum, maximum, step)
		VALUES (next_id, define_attribute.code, 'number', coalesce(define_attribute.strength, 'two_way'),
				coalesce(define_attribute.weight, 1), next_slot, define_attribute.minimum, define_attribute.maximum,
				coalesce(define_attribute.step, 1));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.define_attribute(text, text, text[], numeric, numeric, numeric, text, real, integer) IS
'Adds an attribute: a choice with options (7 a lane of 32; give more lanes to leave room), or a number with minimum, maximum and step (1; at most 4 numbers). strength is what preferences on it do by default: two_way, one_way or soft; weight counts where it is soft. Define the most selective choice first: the index clusters by the first. For operators. Errors: invalid_value, missing_field, out_of_range, conflict.';
GRANT EXECUTE ON FUNCTION rapport.define_attribute(text, text, text[], numeric, numeric, numeric, text, real, integer) TO rapport_service;

CREATE FUNCTION rapport.define_label(attribute text, option text, locale text, label text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	known smallint;
	number smallint := 0;
BEGIN
	SELECT a.attribute_id INTO known FROM rapport.attribute AS a WHERE a.code = define_label.attribute;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_attribute', format('%L is not an attribute.', define_label.attribute));
	END IF;
	IF define_label.option IS NOT NULL THEN
		SELECT o.option INTO number FROM rapport.attribute_option AS o WHERE o.attribute_id = known AND o.code = define_label.option;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_option', format('%L is not an option of %I.', define_label.option, define_label.attribute));
		END IF;
	END IF;
	IF define_label.locale IS NULL OR define_label.locale !~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$' THEN
		PERFORM rapport.fail('invalid_value', 'A locale is a language, or a language and more: de, pt-BR.');
	END IF;
	IF define_label.label IS NULL THEN
		DELETE FROM rapport.attribute_label AS l
		WHERE l.attribute_id = known AND l.option = number AND l.locale = define_label.locale;
		RETURN;
	END IF;
	INSERT INTO rapport.attribute_label (attribute_id, option, locale, label)
	VALUES (known, number, define_label.locale, rapport.clean_text('label', define_label.label, 80))
	ON CONFLICT ON CONSTRAINT attribute_label_pkey DO UPDATE SET label = excluded.label;
END;
$$;
COMMENT ON FUNCTION rapport.define_label(text, text, text, text) IS
'Names an option, or with option NULL the attribute itself, in a locale; label NULL takes the name away. For operators. Errors: unknown_attribute, unknown_option, invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.define_label(text, text, text, text) TO rapport_service;

CREATE FUNCTION rapport.require_step(step text, required boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.step_default AS d WHERE d.step = require_step.step)
		AND NOT EXISTS (SELECT FROM rapport.attribute AS a WHERE 'attribute:' || a.code = require_step.step) THEN
		PERFORM rapport.fail('invalid_value', format('The steps are %s and attribute:<code>.',
													 (SELECT string_agg(d.step, ', ' ORDER BY d.step COLLATE "C") FROM rapport.step_default AS d)));
	END IF;
	IF require_step.required IS NULL THEN
		DELETE FROM rapport.required_step AS r WHERE r.step = require_step.step;
		RETURN;
	END IF;
	INSERT INTO rapport.required_step (step, required)
	VALUES (require_step.step, require_step.required)
	ON CONFLICT ON CONSTRAINT required_step_pkey DO UPDATE SET required = excluded.required;
END;
$$;
COMMENT ON FUNCTION rapport.require_step(text, boolean) IS
'Makes a step (display_name, about, attribute:gender ...) required before a person is a candidate, or not; NULL brings the default back. People already there are judged when they change, or at once by CALL rapport.refresh_people(). For operators. Errors: invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.require_step(text, boolean) TO rapport_service;

CREATE FUNCTION rapport.refresh_people_after(after bigint, batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	ids bigint[];
BEGIN
	SELECT array_agg(p.person_id ORDER BY p.person_id) INTO ids
	FROM (SELECT x.person_id FROM rapport.profile AS x WHERE x.person_id > refresh_people_after.after
		  ORDER BY x.person_id LIMIT refresh_people_after.batch) AS p;
	IF ids IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', ids);
	END IF;
	RETURN ids[cardinality(ids)];
END;
$$;
COMMENT ON FUNCTION rapport.refresh_people_after(bigint, integer) IS
'Runs the person_changed hooks for the next people with ids above after; the last id, NULL when there are no more.';
GRANT EXECUTE ON FUNCTION rapport.refresh_people_after(bigint, integer) TO rapport_service;

CREATE PROCEDURE rapport.refresh_people()
LANGUAGE plpgsql
AS $$
DECLARE
	after bigint := 0;
BEGIN
	LOOP
		after := rapport.refresh_people_after(after);
		EXIT WHEN after IS NULL;
		COMMIT;
	END LOOP;
END;
$$;
COMMENT ON PROCEDURE rapport.refresh_people() IS
'Derives anew what other topics derive from people (who is a candidate), after a change of required steps or settings. Commits every 10,000 people; not inside a transaction.';
GRANT EXECUTE ON PROCEDURE rapport.refresh_people() TO rapport_service;

CREATE FUNCTION rapport.census_count() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	grid integer := rapport.setting_int('grid_metres');
	enough integer := rapport.setting_int('cell_people');
	last rapport.census;
BEGIN
	LOCK TABLE rapport.census IN SHARE ROW EXCLUSIVE MODE;
	SELECT c.* INTO last FROM rapport.census AS c;
	IF enough = 0 OR last.grid_metres = grid AND last.taken_at > rapport.now() - make_interval(days => rapport.setting_int('census_days')) THEN
		RETURN false;
	END IF;
	INSERT INTO rapport.census AS c (taken_at, grid_metres)
	VALUES (rapport.now(), grid)
	ON CONFLICT ON CONSTRAINT census_pkey DO UPDATE SET taken_at = excluded.taken_at, grid_metres = excluded.grid_metres;
	DELETE FROM rapport.crowded_cell AS c WHERE c.level >= rapport.setting_int('cell_doublings');
	FOR size IN 0 .. rapport.setting_int('cell_doublings') - 1 LOOP
		WITH counted AS MATERIALIZED (
			SELECT rapport.cell_parent(p.cell, size) AS cell, sum(p.people) AS people
			FROM (SELECT x.cell, count(*) AS people FROM rapport.profile AS x WHERE x.cell IS NOT NULL GROUP BY x.cell) AS p
			-- Those shown in a smaller cell hide nobody in this one.
			WHERE NOT EXISTS (SELECT
							  FROM generate_series(0, size - 1) AS smaller
							  JOIN rapport.crowded_cell AS c ON c.cell = rapport.cell_parent(p.cell, smaller))
			GROUP BY 1
		), left_behind AS (
			-- What was crowded stays so down to half: one person more or less does not show twice.
			DELETE FROM rapport.crowded_cell AS c
			WHERE c.level = size
			AND NOT EXISTS (SELECT FROM counted AS n WHERE n.cell = c.cell AND 2 * n.people >= enough)
		)
		INSERT INTO rapport.crowded_cell (cell, level)
		SELECT n.cell, size FROM counted AS n WHERE n.people >= enough
		ON CONFLICT DO NOTHING;
	END LOOP;
	RETURN true;
END;
$$;
COMMENT ON FUNCTION rapport.census_count() IS
'Counts people by cells of every size, without those in a smaller one that has enough, and keeps which have the setting cell_people, or had and still have half. Does nothing (false) sooner than census_days after the last time. For take_census().';
GRANT EXECUTE ON FUNCTION rapport.census_count() TO rapport_service;

CREATE FUNCTION rapport.census_apply(after bigint, batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	grown integer := rapport.doublings();
	upto bigint;
	changed bigint[];
BEGIN
	SELECT max(p.person_id) INTO upto
	FROM (SELECT x.person_id FROM rapport.profile AS x WHERE x.person_id > census_apply.after
		  ORDER BY x.person_id LIMIT census_apply.batch) AS p;
	-- In the order of ids, as everybody locks people.
	PERFORM FROM rapport.profile AS p
	CROSS JOIN LATERAL rapport.shown_cell(p.cell, grown) AS s
	WHERE p.person_id > census_apply.after
	AND p.person_id <= upto
	AND (rapport.place_latitude(p.place), rapport.place_longitude(p.place)) <> (rapport.cell_latitude(s.shown), rapport.cell_longitude(s.shown))
	ORDER BY p.person_id
	FOR NO KEY UPDATE OF p;
	WITH moved AS (
		UPDATE rapport.profile AS p
		SET place = rapport.cell_place(s.shown),
			updated_at = rapport.now()
		FROM rapport.profile AS x
		CROSS JOIN LATERAL rapport.shown_cell(x.cell, grown) AS s
		WHERE x.person_id > census_apply.after
		AND x.person_id <= upto
		AND (rapport.place_latitude(x.place), rapport.place_longitude(x.place)) <> (rapport.cell_latitude(s.shown), rapport.cell_longitude(s.shown))
		AND p.person_id = x.person_id
		AND p.cell = x.cell
		RETURNING p.person_id)
	SELECT array_agg(m.person_id ORDER BY m.person_id) INTO changed FROM moved AS m;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
	RETURN upto;
END;
$$;
COMMENT ON FUNCTION rapport.census_apply(bigint, integer) IS
'Gives the next people with ids above after the place of the cell they are shown in by the last census, and runs the person_changed hooks for whom it is new; the last id looked at, NULL when there are no more. For take_census().';
GRANT EXECUTE ON FUNCTION rapport.census_apply(bigint, integer) TO rapport_service;

CREATE PROCEDURE rapport.take_census()
LANGUAGE plpgsql
AS $$
DECLARE
	after bigint := 0;
BEGIN
	PERFORM rapport.census_count();
	COMMIT;
	LOOP
		after := rapport.census_apply(after);
		EXIT WHEN after IS NULL;
		COMMIT;
	END LOOP;
END;
$$;
COMMENT ON PROCEDURE rapport.take_census() IS
'Finds out where few people live, and shows people there in larger cells (settings cell_people, cell_doublings), for a job once a day: it counts anew every census_days, and otherwise finishes what was interrupted or follows a change of the settings. Commits every 10,000 people; not inside a transaction.';
GRANT EXECUTE ON PROCEDURE rapport.take_census() TO rapport_service;

-- Import. The procedure reads the source with its caller's rights and hands the rows over as JSON; the functions below
-- write with the owner's.

CREATE FUNCTION rapport.import_begin(source text, mapping jsonb, OUT resumed boolean, OUT done_to text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	run rapport.import_run;
BEGIN
	IF import_begin.source IS NULL OR import_begin.mapping IS NULL THEN
		PERFORM rapport.fail('missing_field', 'An import needs source and mapping.');
	END IF;
	SELECT r.* INTO run FROM rapport.import_run AS r WHERE r.source = import_begin.source FOR NO KEY UPDATE;
	resumed := FOUND AND run.finished_at IS NULL AND run.mapping = import_begin.mapping;
	IF resumed THEN
		done_to := run.done_to;
		RETURN;
	END IF;
	-- Made now if it is not there, and committed before the first batch: until then every new_id() reads it again.
	PERFORM rapport.database_secret('ids');
	DELETE FROM rapport.import_reject AS r WHERE r.source = import_begin.source;
	DELETE FROM rapport.import_run AS r WHERE r.source = import_begin.source;
	INSERT INTO rapport.import_run (source, mapping, started_at)
	VALUES (import_begin.source, import_begin.mapping, rapport.now());
END;
$$;
COMMENT ON FUNCTION rapport.import_begin(text, jsonb) IS
'Starts the import of a source, or goes on with one that was interrupted under the same mapping: resumed, and the external_id it got to. For import_people(). Errors: missing_field.';
GRANT EXECUTE ON FUNCTION rapport.import_begin(text, jsonb) TO rapport_service;

CREATE FUNCTION rapport.import_end(source text, OUT added bigint, OUT updated bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	UPDATE rapport.import_run AS r
	SET finished_at = rapport.now(),
		done_to = NULL
	WHERE r.source = import_end.source
	RETURNING r.added, r.updated, r.rejected INTO added, updated, rejected;
	PERFORM rapport.run_hooks('people_imported', ARRAY[added, updated]);
END;
$$;
COMMENT ON FUNCTION rapport.import_end(text) IS
'Marks the import of a source finished, and runs the hooks of people_imported; how many people it added and updated, and how many rows it rejected. For import_people().';
GRANT EXECUTE ON FUNCTION rapport.import_end(text) TO rapport_service;

-- Plans are made for the batch at hand: a generic one would expect ten rows. Compiling them costs more than running them.
CREATE FUNCTION rapport.import_batch(source text, after text, upto text, documents jsonb[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off SET work_mem = '64MB'
AS $$
DECLARE
	rules jsonb := rapport.profile_rules();
	grid integer := rapport.setting_int('grid_metres');
	margin double precision := rapport.setting_float('grid_margin');
	grown integer := rapport.doublings();
	today date := rapport.today();
	moment timestamp with time zone := rapport.now();
	run rapport.import_run;
	known bigint[];
	changed bigint[];
	new_people bigint;
	refused bigint;
BEGIN
	SELECT r.* INTO run FROM rapport.import_run AS r WHERE r.source = import_batch.source FOR NO KEY UPDATE;
	IF NOT FOUND OR run.finished_at IS NOT NULL OR run.done_to IS DISTINCT FROM import_batch.after THEN
		PERFORM rapport.fail('conflict', 'Another import of this source is under way.');
	END IF;

	-- Who is known is not erased before the commit; whoever was meanwhile is new below.
	known := ARRAY(
		SELECT e.person_id
		FROM unnest(import_batch.documents) AS d
		CROSS JOIN LATERAL (SELECT x.person_id FROM rapport.external_identity AS x WHERE x.external_id = d ->> 'external_id' OFFSET 0) AS e);
	PERFORM FROM rapport.person AS p WHERE p.person_id = ANY (known) ORDER BY p.person_id FOR KEY SHARE;
	WITH row_read AS MATERIALIZED (
		SELECT g.n, g.document, g.external_id, e.person_id, (p.stored).person_id IS NOT NULL AS has_profile,
			   c.display_name, c.birth_date, c.about, c.traits, c.numbers, c.tags, c.embedding, c.paused,
			   place.cell, rapport.cell_place(place.shown) AS place,
			   day.active_on,
			   wish.preferences,
			   coalesce(id.problems, '{}') || coalesce(c.problems, '{}') || coalesce(place.problems, '{}')
			   || coalesce(day.problems, '{}') || coalesce(wish.problems, '{}') AS problems
		FROM (SELECT d.n, d.document, d.document ->> 'external_id' AS external_id,
					 count(*) OVER (PARTITION BY d.document ->> 'external_id') AS copies
			  FROM unnest(import_batch.documents) WITH ORDINALITY AS d (document, n)) AS g
		-- OFFSET 0 leaves the planner one way: look up each by key, whatever its statistics say.
		LEFT JOIN LATERAL (SELECT x.person_id FROM rapport.external_identity AS x WHERE x.external_id = g.external_id OFFSET 0) AS e ON true
		LEFT JOIN LATERAL (SELECT x AS stored FROM rapport.profile AS x WHERE x.person_id = e.person_id OFFSET 0) AS p ON true
		CROSS JOIN LATERAL rapport.read_profile(p.stored, g.document -> 'profile', rules) AS c
		CROSS JOIN LATERAL (
			SELECT CASE
				WHEN g.external_id IS NULL THEN ARRAY['missing_field: external_id is null.']
				WHEN char_length(g.external_id) NOT BETWEEN 1 AND 200 THEN ARRAY['out_of_range: external_id has 1 to 200 characters.']
				WHEN g.copies > 1 THEN ARRAY['conflict: The source has this external_id more than once.']
				END) AS id (problems)
		CROSS JOIN LATERAL (
			SELECT r.cell, s.shown, CASE
				WHEN r.cell IS NULL
				AND num_nonnulls(nullif(g.document -> 'latitude', 'null'), nullif(g.document -> 'longitude', 'null')) > 0
				THEN ARRAY['out_of_range: There is no such place.']
				END
			FROM rapport.read_place(g.document -> 'latitude', g.document -> 'longitude', grid, margin, (p.stored).cell) AS r (cell)
			CROSS JOIN LATERAL rapport.shown_cell(r.cell, grown) AS s)
			AS place (cell, shown, problems)
		CROSS JOIN LATERAL (
			SELECT x.given, CASE
				WHEN x.given IS NULL AND g.document ->> 'active_on' IS NOT NULL
				THEN ARRAY['invalid_value: active_on is not a date, yyyy-mm-dd.']
				WHEN x.given > today + 1 THEN ARRAY['out_of_range: active_on is in the future.']
				END
			FROM (SELECT rapport.read_date(g.document ->> 'active_on')) AS x (given)) AS day (active_on, problems)
		CROSS JOIN LATERAL (
			SELECT array_agg(ROW(e.person_id, m.mode, r.enabled, r.accepts, r.strengths, r.number_min, r.number_max, r.number_unset,
								 r.age_min, r.age_max, r.max_distance_km, moment)::rapport.preference) FILTER (WHERE m.mode IS NOT NULL),
				   CASE WHEN jsonb_typeof(g.document -> 'preferences') NOT IN ('object', 'null')
				   THEN ARRAY['wrong_type: preferences is an object.']
				   ELSE (array_agg(CASE WHEN m.mode IS NULL THEN format('unknown_mode: %L is not a mode.', left(w.mode, 60)) ELSE problem END)
						 FILTER (WHERE m.mode IS NULL OR problem IS NOT NULL))[1:20] END
			FROM jsonb_each(CASE jsonb_typeof(g.document -> 'preferences') WHEN 'object' THEN g.document -> 'preferences' ELSE '{}' END) AS w (mode, body)
			LEFT JOIN rapport.mode AS m ON m.code = w.mode
			LEFT JOIN rapport.preference AS q ON q.person_id = e.person_id AND q.mode = m.mode
			CROSS JOIN LATERAL rapport.read_preference(q, w.body, rules) AS r
			LEFT JOIN LATERAL unnest(r.problems) AS problem ON true) AS wish (preferences, problems)
	), verdict AS MATERIALIZED (
		SELECT r.*, r.person_id IS NULL AS is_new, coalesce(r.person_id, rapport.new_id()) AS id
		FROM row_read AS r
		WHERE r.problems = '{}'
	), person AS (
		INSERT INTO rapport.person (person_id, created_at)
		SELECT v.id, moment FROM verdict AS v WHERE v.is_new
	), identity AS (
		INSERT INTO rapport.external_identity (external_id, person_id)
		SELECT v.external_id, v.id FROM verdict AS v WHERE v.is_new
	), profile_new AS (
		INSERT INTO rapport.profile (person_id, display_name, birth_date, about, cell, place, place_at, traits, numbers, tags, embedding,
									 paused, created_at, updated_at)
		SELECT v.id, v.display_name, v.birth_date, v.about, v.cell, v.place,
			   CASE WHEN v.cell IS NOT NULL THEN moment END, v.traits, v.numbers, v.tags, v.embedding, v.paused, moment, moment
		FROM verdict AS v
		WHERE NOT v.has_profile
	), profile_old AS (
		UPDATE rapport.profile AS p
		SET display_name = v.display_name,
			birth_date = v.birth_date,
			about = v.about,
			cell = CASE WHEN v.document ? 'latitude' THEN v.cell ELSE p.cell END,
			place = CASE WHEN v.document ? 'latitude' THEN v.place ELSE p.place END,
			place_at = CASE WHEN NOT v.document ? 'latitude' OR v.cell = p.cell THEN p.place_at WHEN v.cell IS NOT NULL THEN moment END,
			traits = v.traits,
			numbers = v.numbers,
			tags = v.tags,
			embedding = v.embedding,
			paused = v.paused,
			updated_at = moment
		FROM verdict AS v
		WHERE v.has_profile
		AND p.person_id = v.id
	), activity AS (
		INSERT INTO rapport.activity AS a (person_id, active_on)
		SELECT v.id, coalesce(least(v.active_on, today), today)
		FROM verdict AS v
		WHERE v.is_new OR v.active_on IS NOT NULL
		ON CONFLICT ON CONSTRAINT activity_pkey DO UPDATE SET active_on = excluded.active_on
		WHERE a.active_on < excluded.active_on
	), preference AS (
		INSERT INTO rapport.preference AS p (person_id, mode, enabled, accepts, strengths, number_min, number_max, number_unset,
											 age_min, age_max, max_distance_km, updated_at)
		SELECT v.id, q.mode, q.enabled, q.accepts, q.strengths, q.number_min, q.number_max, q.number_unset,
			   q.age_min, q.age_max, q.max_distance_km, q.updated_at
		FROM verdict AS v
		CROSS JOIN LATERAL unnest(v.preferences) AS q
		ON CONFLICT ON CONSTRAINT preference_pkey DO UPDATE
		SET enabled = excluded.enabled, accepts = excluded.accepts, strengths = excluded.strengths, number_min = excluded.number_min,
			number_max = excluded.number_max, number_unset = excluded.number_unset, age_min = excluded.age_min,
			age_max = excluded.age_max, max_distance_km = excluded.max_distance_km, updated_at = excluded.updated_at
	), reject AS (
		INSERT INTO rapport.import_reject (source, reject, external_id, row, reasons)
		SELECT import_batch.source, run.rejected + row_number() OVER (ORDER BY r.n), r.external_id,
			   r.document - ARRAY['latitude', 'longitude'], r.problems
		FROM row_read AS r
		WHERE r.problems <> '{}'
	)
	SELECT array_agg(v.id), count(*) FILTER (WHERE v.is_new),
		   (SELECT count(*) FROM row_read AS r WHERE r.problems <> '{}')
	INTO changed, new_people, refused
	FROM verdict AS v;

	UPDATE rapport.import_run AS r
	SET done_to = import_batch.upto,
		added = r.added + new_people,
		updated = r.updated + coalesce(cardinality(changed), 0) - new_people,
		rejected = r.rejected + refused
	WHERE r.source = import_batch.source;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.import_batch(text, text, text, jsonb[]) IS
'Writes one batch of an import: documents {external_id, profile: what update_profile takes, latitude, longitude, active_on, preferences: {mode: what set_preference takes}}. Rows with problems go to import_reject, all others change people. after and upto are the external_ids the batch lies between. For import_people(). Errors: conflict.';
GRANT EXECUTE ON FUNCTION rapport.import_batch(text, text, text, jsonb[]) TO rapport_service;

CREATE FUNCTION rapport.import_expression(source regclass, mapping jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	field text;
	target jsonb;
	used text;
	profile text[] := '{}';
	attributes text[] := '{}';
	document text[] := '{}';
	column_of text;
BEGIN
	IF source IS NULL THEN
		PERFORM rapport.fail('missing_field', 'The source is a table or view.');
	END IF;
	IF pg_catalog.jsonb_typeof(mapping) IS DISTINCT FROM 'object' THEN
		PERFORM rapport.fail('wrong_type', 'The mapping must be an object: {"external_id": "id", ...}.');
	END IF;
	IF NOT mapping ? 'external_id' THEN
		PERFORM rapport.fail('missing_field', 'The mapping must name the column of external_id.');
	END IF;
	IF mapping ? 'latitude' <> mapping ? 'longitude' THEN
		PERFORM rapport.fail('missing_field', 'Map latitude and longitude, or neither.');
	END IF;
	FOR field, target IN SELECT m.key, m.value FROM pg_catalog.jsonb_each(mapping) AS m
	LOOP
		IF field NOT IN ('external_id', 'display_name', 'birth_date', 'about', 'tags', 'embedding', 'paused', 'latitude', 'longitude',
						 'active_on', 'attributes', 'preferences') THEN
			PERFORM rapport.fail('unknown_field', pg_catalog.format('%L is not a field that can be imported.', field));
		END IF;
		IF pg_catalog.jsonb_typeof(target) <> 'string'
			AND NOT (field = 'attributes' AND pg_catalog.jsonb_typeof(target) = 'object') THEN
			PERFORM rapport.fail('wrong_type', pg_catalog.format('%I takes the name of a column%s.', field,
				CASE field WHEN 'attributes' THEN ', or an object with one for each attribute' ELSE '' END));
		END IF;
		FOR column_of, used IN
			SELECT t.key, t.value
			FROM pg_catalog.jsonb_each_text(CASE pg_catalog.jsonb_typeof(target) WHEN 'object' THEN target
											ELSE pg_catalog.jsonb_build_object('', target) END) AS t
		LOOP
			IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
						   WHERE a.attrelid = source AND a.attname = used AND a.attnum > 0 AND NOT a.attisdropped) THEN
				PERFORM rapport.fail('invalid_value', pg_catalog.format('%s has no column %L.', source, used));
			END IF;
			IF column_of <> '' AND NOT EXISTS (SELECT FROM rapport.attribute AS a WHERE a.code = column_of) THEN
				PERFORM rapport.fail('unknown_attribute', pg_catalog.format('%L is not an attribute.', column_of));
			END IF;
			used := pg_catalog.format('pg_catalog.to_jsonb(s.%I)', used);
			CASE
				WHEN field = 'external_id' THEN
					document := document || pg_catalog.format('%L, s.%I::text', field, target ->> 0);
				WHEN column_of <> '' THEN
					attributes := attributes || pg_catalog.format('%L, %s', column_of, used);
				WHEN field = 'attributes' THEN
					profile := profile || pg_catalog.format('%L, COALESCE(%s, ''{}'')', field, used);
				WHEN field = 'paused' THEN
					profile := profile || pg_catalog.format('%L, COALESCE(%s, ''false'')', field, used);
				WHEN field IN ('latitude', 'longitude', 'active_on', 'preferences') THEN
					document := document || pg_catalog.format('%L, %s', field, used);
				ELSE
					profile := profile || pg_catalog.format('%L, %s', field, used);
			END CASE;
		END LOOP;
	END LOOP;
	IF attributes <> '{}' THEN
		profile := profile || pg_catalog.format('''attributes'', pg_catalog.jsonb_build_object(%s)', pg_catalog.array_to_string(attributes, ', '));
	END IF;
	RETURN pg_catalog.format('pg_catalog.jsonb_build_object(%s, ''profile'', pg_catalog.jsonb_build_object(%s))',
							 pg_catalog.array_to_string(document, ', '), pg_catalog.array_to_string(profile, ', '));
END;
$$;
COMMENT ON FUNCTION rapport.import_expression(regclass, jsonb) IS
'Checks a mapping and turns it into the SQL that makes a document of a row s of the source, as import_batch() takes them. Errors: wrong_type, missing_field, unknown_field, unknown_attribute, invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.import_expression(regclass, jsonb) TO rapport_service;

CREATE PROCEDURE rapport.import_people(source regclass, mapping jsonb, INOUT added bigint DEFAULT NULL,
												  INOUT updated bigint DEFAULT NULL, INOUT rejected bigint DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	batch CONSTANT integer := 10000;
	source_name text;
	expression text;
	id text;
	id_type text;
	run record;
	at text;
	upto text;
	documents jsonb[];
	document jsonb;
BEGIN
	SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) INTO source_name
	FROM pg_catalog.pg_class AS c
	JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.oid = source;
	expression := rapport.import_expression(source, mapping);
	id := pg_catalog.quote_ident(mapping ->> 'external_id');
	SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) INTO id_type
	FROM pg_catalog.pg_attribute AS a
	WHERE a.attrelid = source AND a.attname = mapping ->> 'external_id';

	SELECT b.* INTO run FROM rapport.import_begin(source_name, mapping) AS b;
	at := run.done_to;
	IF NOT run.resumed THEN
		documents := '{}';
		FOR document IN EXECUTE pg_catalog.format('SELECT %s FROM %s AS s WHERE s.%s IS NULL', expression, source, id)
		LOOP
			documents := documents || document;
			IF pg_catalog.cardinality(documents) = batch THEN
				PERFORM rapport.import_batch(source_name, NULL, NULL, documents);
				documents := '{}';
			END IF;
		END LOOP;
		IF documents <> '{}' THEN
			PERFORM rapport.import_batch(source_name, NULL, NULL, documents);
		END IF;
		COMMIT;
	END IF;

	-- Batches go by the order of the ids, rows with the same id together: what is done is one value.
	LOOP
		PERFORM pg_catalog.set_config('jit', 'off', true);
		EXECUTE pg_catalog.format(
			'SELECT pg_catalog.array_agg(%s ORDER BY s.%s), (pg_catalog.array_agg(s.%s::text ORDER BY s.%s DESC))[1]'
			' FROM (SELECT * FROM %s AS s %s ORDER BY s.%s FETCH FIRST %s ROWS WITH TIES) AS s',
			expression, id, id, id, source,
			CASE WHEN at IS NULL THEN pg_catalog.format('WHERE s.%s IS NOT NULL', id)
			ELSE pg_catalog.format('WHERE s.%s > %L::%s', id, at, id_type) END,
			id, batch)
		INTO documents, upto;
		EXIT WHEN documents IS NULL;
		PERFORM rapport.import_batch(source_name, at, upto, documents);
		COMMIT;
		at := upto;
	END LOOP;
	SELECT e.* INTO added, updated, rejected FROM rapport.import_end(source_name) AS e;
	COMMIT;
END;
$$;
COMMENT ON PROCEDURE rapport.import_people(regclass, jsonb, bigint, bigint, bigint) IS
'Brings people in from a table or view that the caller may read; mapping names a column for each field: {"external_id": "id", "display_name": "name", "birth_date": .., "about": .., "tags": (text[]), "embedding": (real[]), "paused": .., "latitude": .., "longitude": .., "active_on": .., "attributes": a jsonb column {code: option or number} or {code: column, ...}, "preferences": a jsonb column {mode: what set_preference takes}}. external_id is required and decides: new ones become people without a credential, known ones are updated; fields not mapped stay. Rows with a problem go to rapport.import_reject with every reason. Commits every 10,000 rows, so not inside a transaction; interrupted, the same call goes on where it was (rapport.import_run tells how far). An index on the id column of a large source helps. Returns the people added and updated and the rows rejected. Errors: wrong_type, missing_field, unknown_field, unknown_attribute, invalid_value, conflict.';
GRANT EXECUTE ON PROCEDURE rapport.import_people(regclass, jsonb, bigint, bigint, bigint) TO rapport_service;
-- safety: who wants nothing to do with whom. State only.

CREATE TABLE rapport.block (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (person_id, other_id),
	CHECK (person_id <> other_id)
);
COMMENT ON TABLE rapport.block IS 'person_id has blocked other_id.';
CREATE INDEX block_newest ON rapport.block (person_id, at, other_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.block', '');

CREATE TABLE rapport.blocked_by (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	PRIMARY KEY (person_id, other_id)
);
COMMENT ON TABLE rapport.blocked_by IS 'person_id has been blocked by other_id: the same facts, kept with the other person.';
SELECT pg_catalog.pg_extension_config_dump('rapport.blocked_by', '');
-- safety: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('self_target', 422, 'that is you', NULL),
	('invalid_cursor', 422, 'the cursor is not valid here', 'Start again without "after".');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.block', 'U', 'person_id'),
	('rapport.blocked_by', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.block', 'person_id', 'technical', 'delete', NULL),
	('rapport.block', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.block', 'at', 'behaviour', 'delete', NULL),
	('rapport.blocked_by', 'person_id', 'technical', 'delete', 'nobody is told who blocks them'),
	('rapport.blocked_by', 'other_id', 'behaviour', 'delete', 'nobody is told who blocks them');

INSERT INTO rapport.subject (tab, col, own, find, on_erase) VALUES
	('rapport.block', 'other_id', false,
	 '(t.person_id, t.other_id) IN (SELECT b.other_id, b.person_id FROM rapport.blocked_by AS b WHERE b.person_id = ANY ($1))', 'delete'),
	('rapport.blocked_by', 'other_id', false,
	 '(t.person_id, t.other_id) IN (SELECT b.other_id, b.person_id FROM rapport.block AS b WHERE b.person_id = ANY ($1))', 'delete');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('person_blocked', 'who blocks, who is blocked', 'One person has blocked another.'),
	('person_unblocked', 'who takes the block back, the other', 'Neither of two people blocks the other any more.');

CREATE FUNCTION rapport.is_blocked(a bigint, b bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM rapport.block AS x WHERE x.person_id = a AND x.other_id = b)
		OR EXISTS (SELECT FROM rapport.blocked_by AS x WHERE x.person_id = a AND x.other_id = b);
END;
$$;
COMMENT ON FUNCTION rapport.is_blocked(bigint, bigint) IS
'Whether either of two people blocks the other, read from what is kept with the first.';

CREATE FUNCTION rapport.lock_two_people(a bigint, b bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	-- Whoever waits here must see what the other did, and an older snapshot hides it: a like would undo a block.
	IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		PERFORM rapport.fail('internal', 'Likes and blocks need the isolation level read committed.');
	END IF;
	PERFORM rapport.hold_person(a), rapport.hold_person(b);
	PERFORM pg_catalog.pg_advisory_xact_lock(
		pg_catalog.hashtextextended(pg_catalog.format('rapport pair %s %s', least(a, b), greatest(a, b)), 0));
END;
$$;
COMMENT ON FUNCTION rapport.lock_two_people(bigint, bigint) IS
'Until the end of the transaction nobody else decides about these two, and neither is erased: blocks take it, and so can likes. Errors: not_found, internal above read committed.';

CREATE FUNCTION rapport.lock_if_there(me bigint, other bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.lock_two_people(me, other);
	RETURN true;
EXCEPTION WHEN SQLSTATE 'RP404' THEN
	RETURN false;
END;
$$;
COMMENT ON FUNCTION rapport.lock_if_there(bigint, bigint) IS
'lock_two_people(), where other may be nobody: false then. Errors: internal above read committed.';

CREATE FUNCTION rapport.block(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF block.person_id = me THEN
		PERFORM rapport.fail('self_target', 'Nobody can block themselves.');
	END IF;
	IF block.person_id IS NULL THEN
		PERFORM rapport.fail('missing_field', 'Whom to block is missing.');
	END IF;
	-- Nobody learns from a block which ids somebody has.
	IF NOT rapport.lock_if_there(me, block.person_id) THEN
		RETURN;
	END IF;
	INSERT INTO rapport.block (person_id, other_id, at)
	VALUES (me, block.person_id, rapport.now())
	ON CONFLICT DO NOTHING;
	IF FOUND THEN
		INSERT INTO rapport.blocked_by (person_id, other_id)
		VALUES (block.person_id, me)
		ON CONFLICT DO NOTHING;
		PERFORM rapport.run_hooks('person_blocked', ARRAY[me, block.person_id]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.block(bigint) IS
'Blocks a person: from the commit on neither of us finds, sees or writes to the other. They are not told. Blocking twice changes nothing. For an id that nobody has nothing happens, and the answer is the same. Errors: self_target, missing_field.';
GRANT EXECUTE ON FUNCTION rapport.block(bigint) TO rapport_user;

CREATE FUNCTION rapport.unblock(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = unblock.person_id)
		OR NOT rapport.lock_if_there(me, unblock.person_id) THEN
		RETURN;
	END IF;
	DELETE FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = unblock.person_id;
	IF FOUND THEN
		DELETE FROM rapport.blocked_by AS b WHERE b.person_id = unblock.person_id AND b.other_id = me;
		IF NOT rapport.is_blocked(me, unblock.person_id) THEN
			PERFORM rapport.run_hooks('person_unblocked', ARRAY[me, unblock.person_id]);
		END IF;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.unblock(bigint) IS
'Takes my block of a person back; what we had before is there again unless they block me too. Nothing happens when I do not block them.';
GRANT EXECUTE ON FUNCTION rapport.unblock(bigint) TO rapport_user;

CREATE FUNCTION rapport.blocks(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, blocked_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(blocks.page_size, 20);
	last_at timestamp with time zone := 'infinity';
	last_id bigint := 0;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'A page has 1 to 100 people.');
	END IF;
	IF blocks.after IS NOT NULL THEN
		IF blocks.after !~ '^[0-9]{1,16}-[0-9]{1,16}$' THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		last_at := timestamptz 'epoch' + split_part(blocks.after, '-', 1)::bigint * interval '1 microsecond';
		last_id := split_part(blocks.after, '-', 2)::bigint;
	END IF;
	RETURN QUERY
	SELECT b.other_id, p.display_name, b.at,
		   (extract(epoch FROM b.at) * 1000000)::bigint || '-' || b.other_id
	FROM rapport.block AS b
	LEFT JOIN rapport.profile AS p ON p.person_id = b.other_id
	WHERE b.person_id = me
	AND (b.at, b.other_id) < (last_at, last_id)
	ORDER BY b.at DESC, b.other_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.blocks(integer, text) IS
'The people I block, newest first, page_size (1 to 100, 20) at a time; after is the cursor of the last one seen. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.blocks(integer, text) TO rapport_user;
-- match: the types of two-way matching with their index, then people.

CREATE TYPE rapport.match_key;
CREATE TYPE rapport.match_query;

CREATE FUNCTION rapport.match_key_in(cstring) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_in';
COMMENT ON FUNCTION rapport.match_key_in(cstring) IS 'Input of match_key. Raises 22P02.';
CREATE FUNCTION rapport.match_key_out(rapport.match_key) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_out';
COMMENT ON FUNCTION rapport.match_key_out(rapport.match_key) IS 'Output of match_key; reading it back gives the same bits.';
CREATE FUNCTION rapport.match_key_recv(internal) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_recv';
COMMENT ON FUNCTION rapport.match_key_recv(internal) IS 'Binary input of match_key: a version byte and the text form.';
CREATE FUNCTION rapport.match_key_send(rapport.match_key) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_send';
COMMENT ON FUNCTION rapport.match_key_send(rapport.match_key) IS 'Binary output of match_key.';

CREATE FUNCTION rapport.match_typanalyze(internal) RETURNS boolean
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'match_typanalyze';
COMMENT ON FUNCTION rapport.match_typanalyze(internal) IS
'ANALYZE of match_key: keeps some keys, without their ids, so that the planner can try how many a query accepts.';

CREATE TYPE rapport.match_key (
	INPUT = rapport.match_key_in,
	OUTPUT = rapport.match_key_out,
	RECEIVE = rapport.match_key_recv,
	SEND = rapport.match_key_send,
	ANALYZE = rapport.match_typanalyze,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = plain
);
COMMENT ON TYPE rapport.match_key IS
'A person as matching sees one: what I am, what I accept, where I am and how far I go. Built by match_key(); indexed with GiST (match_key_ops).';

CREATE FUNCTION rapport.match_query_in(cstring) RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_in';
COMMENT ON FUNCTION rapport.match_query_in(cstring) IS 'Input of match_query. Raises 22P02.';
CREATE FUNCTION rapport.match_query_out(rapport.match_query) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_out';
COMMENT ON FUNCTION rapport.match_query_out(rapport.match_query) IS 'Output of match_query; reading it back gives the same bits.';
CREATE FUNCTION rapport.match_query_recv(internal) RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_recv';
COMMENT ON FUNCTION rapport.match_query_recv(internal) IS 'Binary input of match_query: a version byte and the text form.';
CREATE FUNCTION rapport.match_query_send(rapport.match_query) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_send';
COMMENT ON FUNCTION rapport.match_query_send(rapport.match_query) IS 'Binary output of match_query.';

CREATE TYPE rapport.match_query (
	INPUT = rapport.match_query_in,
	OUTPUT = rapport.match_query_out,
	RECEIVE = rapport.match_query_recv,
	SEND = rapport.match_query_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = plain
);
COMMENT ON TYPE rapport.match_query IS
'Whom to find for a person: the key, the day, weights of the score, who was seen, and where the last page ended. Built by match_query().';

-- What the operators stand on is replaced only with a release of its own: here, not in functions.sql.

CREATE FUNCTION rapport.match_accepts(key rapport.match_key, query rapport.match_query) RETURNS boolean
	-- More than it takes: a bitmap pays it for each row, a scan in the order of the index, which stops early, for none.
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 2000 AS 'MODULE_PATHNAME', 'match_accepts';
COMMENT ON FUNCTION rapport.match_accepts(rapport.match_key, rapport.match_query) IS
'Whether the two accept each other: same mode, every lane, number, age and distance both ways, active, not seen, beyond the cursor, not the viewer. Also as key @@ query.';

CREATE FUNCTION rapport.match_cost(key rapport.match_key, query rapport.match_query) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'match_cost';
COMMENT ON FUNCTION rapport.match_cost(rapport.match_key, rapport.match_query) IS
'1 - score, plus up to 1e-9 by id and day so that equals have an order; lower is better. Also as key <-> query.';

CREATE FUNCTION rapport.match_key_eq(rapport.match_key, rapport.match_key) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_eq';
COMMENT ON FUNCTION rapport.match_key_eq(rapport.match_key, rapport.match_key) IS 'Whether two keys are the same bits. Also as key = key.';

CREATE FUNCTION rapport.match_key_ne(rapport.match_key, rapport.match_key) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_ne';
COMMENT ON FUNCTION rapport.match_key_ne(rapport.match_key, rapport.match_key) IS 'Whether two keys differ. Also as key <> key.';

CREATE FUNCTION rapport.match_restriction(internal, oid, internal, integer) RETURNS double precision
	LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_restriction';
COMMENT ON FUNCTION rapport.match_restriction(internal, oid, internal, integer) IS
'The share of keys that a query accepts, for the planner: tried on those that ANALYZE kept, 0.01 for a query not known yet.';

CREATE OPERATOR rapport.@@ (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_query,
	FUNCTION = rapport.match_accepts,
	RESTRICT = rapport.match_restriction,
	JOIN = matchingjoinsel
);
COMMENT ON OPERATOR rapport.@@ (rapport.match_key, rapport.match_query) IS 'accept each other';

CREATE OPERATOR rapport.<-> (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_query,
	FUNCTION = rapport.match_cost
);
COMMENT ON OPERATOR rapport.<-> (rapport.match_key, rapport.match_query) IS 'cost of a match, lower is better';

CREATE OPERATOR rapport.= (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_key,
	FUNCTION = rapport.match_key_eq,
	COMMUTATOR = OPERATOR(rapport.=),
	NEGATOR = OPERATOR(rapport.<>),
	RESTRICT = eqsel,
	JOIN = eqjoinsel
);
COMMENT ON OPERATOR rapport.= (rapport.match_key, rapport.match_key) IS 'same bits';

CREATE OPERATOR rapport.<> (
	LEFTARG = rapport.match_key,
	RIGHTARG = rapport.match_key,
	FUNCTION = rapport.match_key_ne,
	COMMUTATOR = OPERATOR(rapport.<>),
	NEGATOR = OPERATOR(rapport.=),
	RESTRICT = neqsel,
	JOIN = neqjoinsel
);
COMMENT ON OPERATOR rapport.<> (rapport.match_key, rapport.match_key) IS 'not the same bits';

CREATE FUNCTION rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_consistent';
COMMENT ON FUNCTION rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_union(internal, internal) RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_union';
COMMENT ON FUNCTION rapport.match_gist_union(internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_penalty(internal, internal, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_penalty';
COMMENT ON FUNCTION rapport.match_gist_penalty(internal, internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_picksplit(internal, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_picksplit';
COMMENT ON FUNCTION rapport.match_gist_picksplit(internal, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_same(rapport.match_key, rapport.match_key, internal) RETURNS internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_same';
COMMENT ON FUNCTION rapport.match_gist_same(rapport.match_key, rapport.match_key, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal) RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_distance';
COMMENT ON FUNCTION rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal) IS 'GiST support of match_key_ops.';
CREATE FUNCTION rapport.match_gist_sortsupport(internal) RETURNS void
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_gist_sortsupport';
COMMENT ON FUNCTION rapport.match_gist_sortsupport(internal) IS 'GiST support of match_key_ops.';

CREATE OPERATOR CLASS rapport.match_key_ops
	DEFAULT FOR TYPE rapport.match_key USING gist AS
	OPERATOR 1 rapport.@@ (rapport.match_key, rapport.match_query),
	OPERATOR 2 rapport.<-> (rapport.match_key, rapport.match_query) FOR ORDER BY pg_catalog.float_ops,
	FUNCTION 1 rapport.match_gist_consistent(internal, rapport.match_key, smallint, oid, internal),
	FUNCTION 2 rapport.match_gist_union(internal, internal),
	FUNCTION 5 rapport.match_gist_penalty(internal, internal, internal),
	FUNCTION 6 rapport.match_gist_picksplit(internal, internal),
	FUNCTION 7 rapport.match_gist_same(rapport.match_key, rapport.match_key, internal),
	FUNCTION 8 (rapport.match_key, rapport.match_key) rapport.match_gist_distance(internal, rapport.match_key, smallint, oid, internal),
	FUNCTION 11 rapport.match_gist_sortsupport(internal);

-- People

CREATE TABLE rapport.scoring_profile (
	name text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	weights jsonb NOT NULL,
	offered boolean NOT NULL,
	PRIMARY KEY (name, builtin)
);
COMMENT ON TABLE rapport.scoring_profile IS
'Named weights of the score. A row of this database comes before the built-in one of the same name. They travel in the query: a change needs no new index.';
COMMENT ON COLUMN rapport.scoring_profile.weights IS 'As match_query() takes them, and checked with it when they are written.';
COMMENT ON COLUMN rapport.scoring_profile.offered IS 'Whether people may ask for it in a call.';
SELECT pg_catalog.pg_extension_config_dump('rapport.scoring_profile', 'WHERE NOT builtin');

CREATE TABLE rapport.mode_scoring (
	mode smallint PRIMARY KEY,
	name text NOT NULL
);
COMMENT ON TABLE rapport.mode_scoring IS 'The scoring profile that a mode goes by; one that is not here goes by "default".';
SELECT pg_catalog.pg_extension_config_dump('rapport.mode_scoring', '');

CREATE TABLE rapport.tag_count (
	tag bigint PRIMARY KEY,
	people bigint NOT NULL DEFAULT 0,
	counting bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.tag_count IS 'How many people have a tag, so that rare ones weigh more in the score; count_tags() fills it.';
COMMENT ON COLUMN rapport.tag_count.tag IS 'hashtextextended() of the tag: words that people wrote stand in their profiles alone.';
COMMENT ON COLUMN rapport.tag_count.people IS 'At the end of the last round.';
COMMENT ON COLUMN rapport.tag_count.counting IS 'So far in the round that is on.';
SELECT pg_catalog.pg_extension_config_dump('rapport.tag_count', '');

CREATE TABLE rapport.tag_round (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	people bigint NOT NULL DEFAULT 0,
	counting bigint NOT NULL DEFAULT 0,
	done_to bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE rapport.tag_round IS 'How far count_tags() is, in one row.';
COMMENT ON COLUMN rapport.tag_round.people IS 'How many people the last round counted.';
COMMENT ON COLUMN rapport.tag_round.counting IS 'How many the round that is on has counted.';
COMMENT ON COLUMN rapport.tag_round.done_to IS 'The last person_id that it has counted.';
SELECT pg_catalog.pg_extension_config_dump('rapport.tag_round', '');

CREATE TABLE rapport.match_scalar (
	person_id bigint PRIMARY KEY,
	desirability real NOT NULL CHECK (desirability BETWEEN 0 AND 1),
	selectivity real NOT NULL CHECK (selectivity BETWEEN 0 AND 1),
	price real NOT NULL CHECK (price BETWEEN 0 AND 1)
);
COMMENT ON TABLE rapport.match_scalar IS
'What was learnt of a person, as set_scalars_for() was told; without a row 0.5, 0.5 and 0. Their match key holds them in steps of 1/255.';
COMMENT ON COLUMN rapport.match_scalar.desirability IS 'How much others like the person.';
COMMENT ON COLUMN rapport.match_scalar.selectivity IS 'How easily the person likes others: 1 likes everyone.';
COMMENT ON COLUMN rapport.match_scalar.price IS 'What the profile''s weight price takes off the score, so that attention spreads.';
SELECT pg_catalog.pg_extension_config_dump('rapport.match_scalar', '');

CREATE TABLE rapport.candidate (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	key rapport.match_key NOT NULL,
	PRIMARY KEY (person_id, mode)
);
COMMENT ON TABLE rapport.candidate IS
'Who can be discovered: active people with every required step done, one row a mode they take part in. Derived from profile and preference by candidate_refresh().';
COMMENT ON COLUMN rapport.candidate.key IS
'What others test this person with: what they are, and whom they accept two-way. It holds the mode as well.';
CREATE INDEX candidate_key ON rapport.candidate USING gist (key);
SELECT pg_catalog.pg_extension_config_dump('rapport.candidate', '');

CREATE TABLE rapport.swipe (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	expires date,
	mode smallint NOT NULL,
	action text NOT NULL CHECK (action IN ('like', 'super_like', 'pass', 'maybe')),
	PRIMARY KEY (person_id, mode, other_id)
);
COMMENT ON TABLE rapport.swipe IS
'What a person did lately with the people shown to them, who are not shown again. Older swipes are folded into rapport.seen and leave only that they were made; the truth about likes is in rapport.pair.';
COMMENT ON COLUMN rapport.swipe.at IS 'Later for each swipe of a person in a mode.';
COMMENT ON COLUMN rapport.swipe.expires IS 'The day from which the other may be shown again; NULL for never.';
SELECT pg_catalog.pg_extension_config_dump('rapport.swipe', '');

CREATE TABLE rapport.swiper (
	person_id bigint NOT NULL,
	last_at timestamp with time zone NOT NULL,
	day date NOT NULL,
	likes integer NOT NULL,
	super_likes integer NOT NULL,
	tail integer NOT NULL,
	folded integer NOT NULL DEFAULT 0,
	mode smallint NOT NULL,
	PRIMARY KEY (person_id, mode)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.swiper IS 'Whoever swipes in a mode: the row is the lock of their swipes in it, and counts them.';
COMMENT ON COLUMN rapport.swiper.day IS 'The UTC day that likes and super_likes are of.';
COMMENT ON COLUMN rapport.swiper.tail IS 'How many rows of rapport.swipe they have in the mode, at most.';
COMMENT ON COLUMN rapport.swiper.folded IS 'About how many of their swipes in the mode have become part of rapport.seen.';
SELECT pg_catalog.pg_extension_config_dump('rapport.swiper', '');

CREATE TABLE rapport.seen (
	person_id bigint NOT NULL,
	mode smallint NOT NULL,
	bucket smallint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (person_id, mode, bucket)
) WITH (toast_tuple_target = 8160);
-- In the row as long as it fits on a page: there it is read without another index, and replaced without chunks.
ALTER TABLE rapport.seen ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE rapport.seen IS
'Whom a person swiped on in a mode before the rows of rapport.swipe, and may not be shown again: 64 buckets of ids, five to seven bytes each. seen_unpack() reads them.';
COMMENT ON COLUMN rapport.seen.bucket IS '0 to 63: the first six bits of the mixed ids.';
COMMENT ON COLUMN rapport.seen.data IS 'Ids with the days from which they may be shown again, as packed.h says.';
SELECT pg_catalog.pg_extension_config_dump('rapport.seen', '');

CREATE TABLE rapport.like_received (
	person_id bigint NOT NULL,
	other_id bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	mode smallint NOT NULL,
	super boolean NOT NULL DEFAULT false,
	PRIMARY KEY (person_id, mode, other_id)
);
COMMENT ON TABLE rapport.like_received IS 'Likes by other_id as the person who got them reads them.';
COMMENT ON COLUMN rapport.like_received.super IS 'Whether it is a super like.';
CREATE INDEX like_received_at ON rapport.like_received (person_id, mode, at, other_id);
SELECT pg_catalog.pg_extension_config_dump('rapport.like_received', '');

CREATE TABLE rapport.pair (
	lo bigint NOT NULL,
	hi bigint NOT NULL,
	matched_at timestamp with time zone,
	ended_at timestamp with time zone,
	conversation_id bigint,
	mode smallint NOT NULL,
	lo_action text CHECK (lo_action IN ('like', 'super_like')),
	hi_action text CHECK (hi_action IN ('like', 'super_like')),
	PRIMARY KEY (lo, hi, mode),
	CHECK (lo < hi),
	CHECK (matched_at IS NULL OR (lo_action IS NOT NULL AND hi_action IS NOT NULL)),
	CHECK (ended_at IS NULL OR matched_at IS NULL)
);
COMMENT ON TABLE rapport.pair IS
'The truth about likes between two people, lower id first: its row is what decides a match, so two simultaneous likes make one.';
COMMENT ON COLUMN rapport.pair.matched_at IS 'When both had liked; NULL while only one has, and after an unmatch.';
COMMENT ON COLUMN rapport.pair.ended_at IS 'When one of them unmatched; this is for good.';
COMMENT ON COLUMN rapport.pair.conversation_id IS 'The conversation of the match, set by the chat topic.';
CREATE INDEX pair_lo_matched ON rapport.pair (lo, matched_at, hi) WHERE matched_at IS NOT NULL;
CREATE INDEX pair_hi_matched ON rapport.pair (hi, matched_at, lo) WHERE matched_at IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('rapport.pair', '');
-- match: building and reading keys and queries, then people.

CREATE FUNCTION rapport.match_key(
	id bigint, latitude double precision, longitude double precision, birth_date date DEFAULT NULL, mode integer DEFAULT 1,
	traits integer[] DEFAULT '{}', wants integer[] DEFAULT '{}', ages int4range DEFAULT NULL,
	max_distance_km double precision DEFAULT NULL, numbers integer[] DEFAULT '{}', number_min integer[] DEFAULT '{}',
	number_max integer[] DEFAULT '{}', number_unset boolean[] DEFAULT '{}', active_on date DEFAULT NULL, tags text[] DEFAULT '{}',
	embedding real[] DEFAULT '{}', quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5,
	selectivity double precision DEFAULT 0.5, price double precision DEFAULT 0, joined_on date DEFAULT NULL)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build';
COMMENT ON FUNCTION rapport.match_key(bigint, double precision, double precision, date, integer, integer[], integer[], int4range, double precision, integer[], integer[], integer[], boolean[], date, text[], real[], double precision, double precision, double precision, double precision, date) IS
'A person for matching, on a table of your own. Only the id must be given; NULL is unset.
latitude and longitude are degrees, both or neither; without a place only those match who both go everywhere (max_distance_km NULL).
traits[i] is the answer 0 to 7 to question i of at most 32 (0: no answer); wants[i] the answers accepted, a mask with bit 0 for "no answer" (255: all).
The first question is the one that the index clusters by: let it be the most selective. ages are the accepted ages in completed years.
numbers are up to 4 numbers of one''s own, number_min and number_max what is accepted (NULL: open), number_unset whether people without it are.
tags are hashed into 112 bits; embedding has up to 32 components between -1 and 1; quality, desirability, selectivity and price are between 0 and 1.
Raises 22xxx for values out of range.';

CREATE FUNCTION rapport.match_key_raw(
	id bigint, mode integer, latitude double precision, longitude double precision, birth_date date, traits bytea, wants bytea,
	numbers smallint[], number_min smallint[], number_max smallint[], age_min integer, age_max integer,
	max_distance_km double precision, active_on date, tags text[], embedding real[], number_unset boolean[] DEFAULT NULL,
	quality double precision DEFAULT 0.5, desirability double precision DEFAULT 0.5, selectivity double precision DEFAULT 0.5,
	price double precision DEFAULT 0, joined_on date DEFAULT NULL)
	RETURNS rapport.match_key
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_build_raw';
COMMENT ON FUNCTION rapport.match_key_raw(bigint, integer, double precision, double precision, date, bytea, bytea, smallint[], smallint[], smallint[], integer, integer, double precision, date, text[], real[], boolean[], double precision, double precision, double precision, double precision, date) IS
'match_key() for many keys at once: traits and wants are 32 bytes from trait_lanes() and want_lanes(), NULL for no answers and for accepting all. Raises 22xxx.';

CREATE FUNCTION rapport.match_query(
	key rapport.match_key, today date, accept_wants bytea DEFAULT NULL, soft_wants bytea DEFAULT NULL, soft_weights real[] DEFAULT NULL,
	continuation integer DEFAULT 0, weights jsonb DEFAULT NULL, seen bigint[] DEFAULT '{}', after_cost double precision DEFAULT NULL,
	after_id bigint DEFAULT NULL, active_since date DEFAULT NULL, number_min smallint[] DEFAULT NULL, number_max smallint[] DEFAULT NULL,
	number_unset boolean[] DEFAULT NULL, soft_number_min smallint[] DEFAULT NULL, soft_number_max smallint[] DEFAULT NULL,
	tags text[] DEFAULT NULL, tag_weights real[] DEFAULT NULL, shared_tags integer DEFAULT NULL, joined_since date DEFAULT NULL,
	radius_km double precision DEFAULT NULL, sort text DEFAULT NULL, bucket_km double precision[] DEFAULT NULL, liked bigint[] DEFAULT NULL)
	RETURNS rapport.match_query
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_query_build';
COMMENT ON FUNCTION rapport.match_query(rapport.match_key, date, bytea, bytea, real[], integer, jsonb, bigint[], double precision, bigint, date, smallint[], smallint[], boolean[], smallint[], smallint[], text[], real[], integer, date, double precision, text, double precision[], bigint[]) IS
'Whom to find for the person with that key on that day: WHERE key @@ query ORDER BY key <-> query LIMIT k.
accept_wants are the 32 bytes that the viewer demands if they differ from the wants of the key (those also decide who finds him); soft_wants only score, by soft_weights
(32 lanes, counted at the first of an attribute, then 4 numbers). continuation is lane_continuation().
weights may hold the weights of the terms distance, age, tags, embedding, soft, recency, quality, desirability, selectivity and newcomer
(0 or more; shared out among the terms that the viewer has), diversity (0 to 0.25: the share of the sum that goes by viewer, day and candidate alone), decay (gauss, exp, linear), scale_km, offset_km and at_scale (the distance term at offset plus scale),
age_scale_years, half_life_days, newcomer_days, price (0 to 1: what a price of 1 takes off the score), boost (0 to 1: what the score gains by liked),
and family: weighted (the sum of the terms) or reciprocal (the chance that both like: logistic in bias plus slope times that sum,
plus desirability_slope and selectivity_slope times the scalars of the one liked and of the one who likes, from -1 to 1).
seen are ids left out, liked those who like the viewer; with after_cost only what comes after it (and after_id among equals); active_since and joined_since leave out earlier ones.
number_min, number_max and number_unset replace the hard ranges of the key for the viewer, radius_km how far the viewer looks (infinity: everywhere).
tags with tag_weights are those of the viewer (NULL: the bits of the key, equal weights); the 16 that weigh most count. With shared_tags at least so many are shared,
as far as bits tell: look at the tags themselves as well. sort is best, nearest (by the first of the rising bucket_km that reaches), newest (by day joined) or active (by day active);
equals are in the order of the score. Raises 22xxx.';

CREATE FUNCTION rapport.match_explain(key rapport.match_key, query rapport.match_query)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_explain';
COMMENT ON FUNCTION rapport.match_explain(rapport.match_key, rapport.match_query) IS
'Every rule of both sides, whether it passes, and every part of the score: accepts, cost, score, distance_m, rules (mode, other, active, unseen, beyond; viewer and candidate with age, distance, numbers and the lanes that fail), parts (weight and value of each term).';

CREATE FUNCTION rapport.match_score(key rapport.match_key, query rapport.match_query)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_score';
COMMENT ON FUNCTION rapport.match_score(rapport.match_key, rapport.match_query) IS
'How well somebody suits the viewer of the query, whatever its order: 1 - the cost without the tie. From 0 to 1, but for what a price takes off and being liked adds.';

CREATE FUNCTION rapport.match_percentage(one rapport.match_query, other rapport.match_query)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_percentage';
COMMENT ON FUNCTION rapport.match_percentage(rapport.match_query, rapport.match_query) IS
'0 to 100, the same from both sides: 100 * sqrt(a * b), where a is the match_score() of the one viewer for the other, b the reverse, each held to 0 to 1. So nobody scores high whom only one of the two suits. Filters do not count.';

CREATE FUNCTION rapport.decay_gauss(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_gauss';
COMMENT ON FUNCTION rapport.decay_gauss(double precision, double precision, double precision, double precision, double precision) IS
'1 within offset of the origin, decay at offset + scale, falling along a bell: decay ^ ((d / scale) ^ 2), where d = greatest(0, |value - origin| - offset). As in function_score of Elasticsearch. Raises 22003 for a scale of 0 or less, an offset below 0, a decay beyond 0 to 1, and no number.';

CREATE FUNCTION rapport.decay_exp(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_exp';
COMMENT ON FUNCTION rapport.decay_exp(double precision, double precision, double precision, double precision, double precision) IS
'decay_gauss() falling fastest at first: decay ^ (d / scale). Raises 22003 as it does.';

CREATE FUNCTION rapport.decay_linear(
	value double precision, origin double precision, scale double precision, "offset" double precision DEFAULT 0, decay double precision DEFAULT 0.5)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_decay_linear';
COMMENT ON FUNCTION rapport.decay_linear(double precision, double precision, double precision, double precision, double precision) IS
'decay_gauss() falling along a line: greatest(0, 1 - (1 - decay) * d / scale). Raises 22003 as it does.';

CREATE FUNCTION rapport.distance_bucket(metres double precision, bucket_km integer[])
	RETURNS integer
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_distance_bucket';
COMMENT ON FUNCTION rapport.distance_bucket(double precision, integer[]) IS
'The first of up to 12 rising kilometres that the distance does not exceed; NULL when it exceeds them all. The order nearest of match_query() goes by the same. Raises 22023.';

CREATE FUNCTION rapport.match_distance_m(a rapport.match_key, b rapport.match_key)
	RETURNS double precision
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_distance_m';
COMMENT ON FUNCTION rapport.match_distance_m(rapport.match_key, rapport.match_key) IS
'Metres between two people along a great circle of the mean earth (6371.0088 km); NULL if one has no place.';

CREATE FUNCTION rapport.match_key_parts(key rapport.match_key)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_key_parts';
COMMENT ON FUNCTION rapport.match_key_parts(rapport.match_key) IS
'What a key holds, to be read by people; born and active are days since 2000-01-01.';

CREATE FUNCTION rapport.trait_lanes(traits smallint[], lane_of smallint[], lanes_of smallint[])
	RETURNS bytea
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_trait_lanes';
COMMENT ON FUNCTION rapport.trait_lanes(smallint[], smallint[], smallint[]) IS
'32 bytes of what somebody is: traits holds an option an attribute (NULL or 0: unset), lane_of its first lane 0 to 31 (NULL: not a choice), lanes_of how many it takes. Raises 22xxx.';

CREATE FUNCTION rapport.want_lanes(accepts bigint[], use boolean[], lane_of smallint[], lanes_of smallint[])
	RETURNS bytea
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_want_lanes';
COMMENT ON FUNCTION rapport.want_lanes(bigint[], boolean[], smallint[], smallint[]) IS
'32 bytes of what somebody accepts: accepts holds a mask of options an attribute (bit 0: unset; NULL: all), use whether it counts (false or NULL: all; a NULL array: every one counts), lane_of and lanes_of as in trait_lanes(). Raises 22xxx.';

CREATE FUNCTION rapport.lane_continuation(lane_of smallint[], lanes_of smallint[])
	RETURNS integer
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'match_lane_continuation';
COMMENT ON FUNCTION rapport.lane_continuation(smallint[], smallint[]) IS
'The mask of lanes that continue the lane before, as match_query() takes it. Raises 22xxx.';

CREATE FUNCTION rapport.match_index_check(index regclass)
	RETURNS TABLE (rows bigint, pages bigint, depth integer, problems bigint, first_problem text)
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1 COST 1000000 AS 'MODULE_PATHNAME', 'match_index_check';
COMMENT ON FUNCTION rapport.match_index_check(regclass) IS
'Whether an index of match_key_ops is right: every row of the table is in it once with its key, bounds cover all that is below them, and ordered scans for a few of its people give what brute force gives.
problems is 0 then; else first_problem names one. Takes the locks of a reader and reads the table twice and the index once. Raises 42809 for any other index, 55000 for an incomplete one.';
GRANT EXECUTE ON FUNCTION rapport.match_index_check(regclass) TO rapport_service;

-- People

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('already_matched', 409, 'you have matched with this person', 'Unmatch instead.'),
	('mode_not_enabled', 422, 'you do not take part in this mode', 'Enable it with set_preference().'),
	('invalid_weights', 422, 'the weights are not valid', 'The comment on match_query() lists them with their ranges.'),
	('nothing_to_rewind', 409, 'there is no swipe to take back', NULL),
	('profile_incomplete', 422, 'the profile is not complete', 'my_profile() lists what is missing.'),
	('quota_exhausted', 429, 'no more of these today', 'quotas() tells when there are more.'),
	('unknown_scoring', 422, 'there is no such scoring profile', 'Leave it out for the one of the mode.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('distance_buckets', 'integers', '{2,5,10,20,50,100,200,500,1000}', 1, 20000,
	 'The kilometres in which distances are told, and by which the order nearest goes.'),
	('active_within_days', 'integer', '0', 0, 36500,
	 'Only people active within so many days are shown by discover(); 0 for everyone.'),
	('likes_per_day', 'integer', '0', 0, 1000000,
	 'Likes a person may give in a mode on a UTC day; 0 for any number.'),
	('maybe_days', 'integer', '7', 1, 36500,
	 'Days after which someone who was put off with maybe() is shown again.'),
	('pass_days', 'integer', '0', 0, 36500,
	 'Days after which someone who was passed may be shown again; 0 for never.'),
	('super_likes_per_day', 'integer', '5', 0, 1000000,
	 'Super likes a person may give in a mode on a UTC day; 0 for any number.');

DELETE FROM rapport.scoring_profile WHERE builtin;
INSERT INTO rapport.scoring_profile (name, builtin, weights, offered) VALUES
	('default', true, '{"boost": 0.05}', true),
	('nearby', true, '{"distance": 1, "scale_km": 5, "boost": 0.05}', true),
	('fresh', true, '{"newcomer": 0.3, "recency": 0.3, "diversity": 0.1, "boost": 0.05}', true),
	('reciprocal', true, '{"family": "reciprocal", "newcomer": 0.1, "price": 0.1, "boost": 0.05}', false);

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.scoring_profile', 'built-in rows are made by the install script');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.scoring_profile', 'R', NULL),
	('rapport.mode_scoring', 'R', NULL),
	('rapport.tag_count', 'R', NULL),
	('rapport.tag_round', 'R', NULL),
	('rapport.match_scalar', 'U', 'person_id'),
	('rapport.candidate', 'G', NULL),
	('rapport.swipe', 'U', 'person_id'),
	('rapport.swiper', 'U', 'person_id'),
	('rapport.seen', 'U', 'person_id'),
	('rapport.like_received', 'U', 'person_id'),
	('rapport.pair', 'P', 'lo');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.scoring_profile', 'name', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'builtin', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'weights', 'none', 'keep', 'how people are ranked'),
	('rapport.scoring_profile', 'offered', 'none', 'keep', 'how people are ranked'),
	('rapport.mode_scoring', 'mode', 'none', 'keep', 'how people are ranked'),
	('rapport.mode_scoring', 'name', 'none', 'keep', 'how people are ranked'),
	('rapport.tag_count', 'tag', 'none', 'keep', 'a hash that says of nobody who has the tag'),
	('rapport.tag_count', 'people', 'none', 'keep', 'a number of people'),
	('rapport.tag_count', 'counting', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'one', 'none', 'keep', 'how far a count is'),
	('rapport.tag_round', 'people', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'counting', 'none', 'keep', 'a number of people'),
	('rapport.tag_round', 'done_to', 'none', 'keep', 'how far a count is');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.match_scalar', 'person_id', 'technical', 'delete', NULL),
	('rapport.match_scalar', 'desirability', 'behaviour', 'delete', NULL),
	('rapport.match_scalar', 'selectivity', 'behaviour', 'delete', NULL),
	('rapport.match_scalar', 'price', 'behaviour', 'delete', NULL),
	('rapport.candidate', 'person_id', 'technical', 'delete', NULL),
	('rapport.candidate', 'mode', 'behaviour', 'delete', NULL),
	('rapport.candidate', 'key', 'demographic', 'delete', NULL),
	('rapport.swipe', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'at', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'expires', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'mode', 'behaviour', 'delete', NULL),
	('rapport.swipe', 'action', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'mode', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'last_at', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'day', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'likes', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'super_likes', 'behaviour', 'delete', NULL),
	('rapport.swiper', 'tail', 'technical', 'delete', NULL),
	('rapport.swiper', 'folded', 'technical', 'delete', NULL),
	('rapport.seen', 'person_id', 'behaviour', 'delete', NULL),
	('rapport.seen', 'mode', 'behaviour', 'delete', NULL),
	('rapport.seen', 'bucket', 'technical', 'delete', NULL),
	('rapport.seen', 'data', 'behaviour', 'delete', NULL),
	('rapport.like_received', 'person_id', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'other_id', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'at', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'mode', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.like_received', 'super', 'behaviour', 'delete', 'what others did; some of it is hidden from this person'),
	('rapport.pair', 'lo', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'hi', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'matched_at', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'ended_at', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'conversation_id', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'mode', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'lo_action', 'behaviour', 'delete', 'what others decided, and would tell who blocks'),
	('rapport.pair', 'hi_action', 'behaviour', 'delete', 'what others decided, and would tell who blocks');

UPDATE rapport.personal_data SET export_as = 'rapport.seen_list(t.data)' WHERE tab = 'rapport.seen'::regclass AND col = 'data';

INSERT INTO rapport.subject (tab, col, own, ord, find, on_erase, reason) VALUES
	-- After the profile, whose lock candidate_refresh() takes.
	('rapport.candidate', 'person_id', true, 600, NULL, NULL, NULL),
	('rapport.pair', 'lo', true, 100, NULL, NULL, NULL),
	-- Whoever has liked stands in swipe or seen with the one and in like_received with the other.
	('rapport.pair', 'hi', true, 100,
	 '(t.lo, t.hi, t.mode) IN (SELECT w.other_id, w.person_id, w.mode FROM rapport.swipe AS w WHERE w.person_id = ANY ($1)
							   UNION SELECT u.other_id, s.person_id, s.mode FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u WHERE s.person_id = ANY ($1)
							   UNION SELECT l.other_id, l.person_id, l.mode FROM rapport.like_received AS l WHERE l.person_id = ANY ($1))',
	 NULL, NULL),
	('rapport.swipe', 'other_id', false, 200,
	 '(t.person_id, t.mode, t.other_id) IN (SELECT l.other_id, l.mode, l.person_id FROM rapport.like_received AS l WHERE l.person_id = ANY ($1))',
	 'delete', 'likes; a pass, and what is in rapport.seen, is not found by whom it was about, and then holds the id of nobody'),
	('rapport.like_received', 'other_id', false, 200,
	 '(t.person_id, t.mode, t.other_id) IN (SELECT w.other_id, w.mode, w.person_id FROM rapport.swipe AS w WHERE w.person_id = ANY ($1)
											UNION SELECT u.other_id, s.mode, s.person_id FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u WHERE s.person_id = ANY ($1))',
	 'delete', NULL);

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('matched', 'lower person id, higher person id, mode', 'Two people have liked each other.'),
	('unmatched', 'lower person id, higher person id, mode', 'A match has ended: one of the two ended it, or is erased.');

-- Page cursors

CREATE FUNCTION rapport.seal(scope text, plain text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'match_seal_sql';
COMMENT ON FUNCTION rapport.seal(text, text) IS
'Hides and authenticates plain (up to 1024 bytes) under the secret of the cursors, in URL-safe base64. The same scope opens it again.';

CREATE FUNCTION rapport.unseal(scope text, sealed text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'match_unseal_sql';
COMMENT ON FUNCTION rapport.unseal(text, text) IS 'What seal() was given with the same scope; NULL when this was not made so.';

CREATE FUNCTION rapport.match_page_size(page_size integer) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	IF page_size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size takes 1 to 100.');
	END IF;
	RETURN coalesce(page_size, 20);
END;
$$;
COMMENT ON FUNCTION rapport.match_page_size(integer) IS 'The page size asked for, 20 for NULL. Errors: out_of_range.';

-- Scoring

CREATE FUNCTION rapport.scoring_weights(mode smallint, scoring text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	weights jsonb;
BEGIN
	-- A row of this database comes before the built-in one of its name.
	SELECT p.weights INTO weights
	FROM rapport.scoring_profile AS p
	WHERE p.name = coalesce(scoring_weights.scoring,
							(SELECT m.name FROM rapport.mode_scoring AS m WHERE m.mode = scoring_weights.mode), 'default')
	AND (p.offered OR scoring_weights.scoring IS NULL)
	ORDER BY p.builtin
	LIMIT 1;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_scoring', pg_catalog.format('%L is not offered.', scoring));
	END IF;
	RETURN weights;
END;
$$;
COMMENT ON FUNCTION rapport.scoring_weights(smallint, text) IS
'The weights that match_query() takes: those of a scoring profile that is offered; for NULL of the one of the mode, which is "default" unless set_mode_scoring() says another. Errors: unknown_scoring.';

CREATE FUNCTION rapport.scoring_profiles()
RETURNS TABLE (name text, weights jsonb, offered boolean, builtin boolean, modes text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.require_operator();
	RETURN QUERY
	SELECT p.name, p.weights, p.offered, p.builtin,
		   ARRAY(SELECT m.code
				 FROM rapport.mode AS m
				 LEFT JOIN rapport.mode_scoring AS s ON s.mode = m.mode
				 WHERE coalesce(s.name, 'default') = p.name
				 ORDER BY m.mode)
	FROM (SELECT DISTINCT ON (q.name) q.* FROM rapport.scoring_profile AS q ORDER BY q.name, q.builtin) AS p
	ORDER BY p.name;
END;
$$;
COMMENT ON FUNCTION rapport.scoring_profiles() IS
'The scoring profiles: their weights as match_query() takes them, whether people may ask for them, whether they are as built in, and the modes that go by them. For operators and admins.';
GRANT EXECUTE ON FUNCTION rapport.scoring_profiles() TO rapport_service, rapport_admin;

CREATE FUNCTION rapport.set_scoring_profile(name text, weights jsonb, offered boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM rapport.require_operator();
	PERFORM rapport.check_code(set_scoring_profile.name);
	IF set_scoring_profile.weights IS NULL THEN
		PERFORM rapport.fail('missing_field', 'There are no weights; {} takes all as they are by default.');
	END IF;
	BEGIN
		-- Whoever asks, a query checks them all.
		PERFORM rapport.match_query(rapport.match_key(1, NULL, NULL), '2000-01-01', weights => set_scoring_profile.weights);
	EXCEPTION WHEN data_exception THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		PERFORM rapport.fail('invalid_weights', concat_ws('. ', message, nullif(detail, ''), nullif(hint, '')));
	END;
	INSERT INTO rapport.scoring_profile AS p (name, weights, offered)
	SELECT set_scoring_profile.name, set_scoring_profile.weights, coalesce(set_scoring_profile.offered, b.offered, false)
	FROM (SELECT) AS one
	LEFT JOIN rapport.scoring_profile AS b ON b.name = set_scoring_profile.name AND b.builtin
	ON CONFLICT ON CONSTRAINT scoring_profile_pkey DO UPDATE
	SET weights = excluded.weights, offered = coalesce(set_scoring_profile.offered, p.offered);
END;
$$;
COMMENT ON FUNCTION rapport.set_scoring_profile(text, jsonb, boolean) IS
'Makes or changes a scoring profile: weights as match_query() takes them, checked here; offered says whether people may ask for it (NULL: as before, at first as the built-in one of that name, else not). It holds from the next query on, without a new index; cursors made before it end. One with a built-in name comes in its place. For operators and admins. Errors: invalid_value (name), missing_field, invalid_weights.';
GRANT EXECUTE ON FUNCTION rapport.set_scoring_profile(text, jsonb, boolean) TO rapport_service, rapport_admin;

CREATE FUNCTION rapport.drop_scoring_profile(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.require_operator();
	DELETE FROM rapport.scoring_profile AS p WHERE p.name = drop_scoring_profile.name AND NOT p.builtin;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', format('%L is no scoring profile of this database.', drop_scoring_profile.name));
	END IF;
	-- After the row, whose lock whoever chose it for a mode holds until then.
	IF EXISTS (SELECT FROM rapport.mode_scoring AS s WHERE s.name = drop_scoring_profile.name)
		AND NOT EXISTS (SELECT FROM rapport.scoring_profile AS p WHERE p.name = drop_scoring_profile.name) THEN
		PERFORM rapport.fail('conflict', 'A mode goes by it: choose another with set_mode_scoring() first.');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.drop_scoring_profile(text) IS
'Drops a scoring profile of this database; a built-in one of that name holds again. For operators and admins. Errors: not_found, conflict (a mode goes by it).';
GRANT EXECUTE ON FUNCTION rapport.drop_scoring_profile(text) TO rapport_service, rapport_admin;

CREATE FUNCTION rapport.set_mode_scoring(mode text, scoring text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	mode_id smallint;
BEGIN
	PERFORM rapport.require_operator();
	SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = set_mode_scoring.mode;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', set_mode_scoring.mode));
	END IF;
	IF scoring IS NULL THEN
		DELETE FROM rapport.mode_scoring AS s WHERE s.mode = mode_id;
		RETURN;
	END IF;
	PERFORM FROM rapport.scoring_profile AS p WHERE p.name = scoring FOR KEY SHARE;
	IF NOT FOUND THEN
		PERFORM rapport.fail('unknown_scoring', format('%L is not a scoring profile.', scoring));
	END IF;
	INSERT INTO rapport.mode_scoring (mode, name)
	VALUES (mode_id, scoring)
	ON CONFLICT ON CONSTRAINT mode_scoring_pkey DO UPDATE SET name = excluded.name;
END;
$$;
COMMENT ON FUNCTION rapport.set_mode_scoring(text, text) IS
'Chooses the scoring profile that a mode goes by; NULL is "default" again. For operators and admins. Errors: unknown_mode, unknown_scoring.';
GRANT EXECUTE ON FUNCTION rapport.set_mode_scoring(text, text) TO rapport_service, rapport_admin;

CREATE FUNCTION rapport.count_tags(batch integer DEFAULT 10000) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
DECLARE
	round rapport.tag_round;
	met bigint;
	last bigint;
BEGIN
	IF batch IS NULL OR batch < 1 THEN
		PERFORM rapport.fail('out_of_range', 'batch takes 1 and more.');
	END IF;
	INSERT INTO rapport.tag_round DEFAULT VALUES ON CONFLICT DO NOTHING;
	-- One at a time.
	SELECT r.* INTO round FROM rapport.tag_round AS r FOR UPDATE;
	WITH people AS MATERIALIZED (
		SELECT p.person_id, p.tags
		FROM rapport.profile AS p
		WHERE p.person_id > round.done_to
		ORDER BY p.person_id
		LIMIT batch
	), counted AS (
		INSERT INTO rapport.tag_count AS c (tag, counting)
		SELECT hashtextextended(t, 0), count(*)
		FROM people, unnest(people.tags) AS t
		GROUP BY 1
		ORDER BY 1
		ON CONFLICT ON CONSTRAINT tag_count_pkey DO UPDATE SET counting = c.counting + excluded.counting
	)
	SELECT count(*), max(person_id) INTO met, last FROM people;
	IF met = batch THEN
		UPDATE rapport.tag_round AS r SET counting = r.counting + met, done_to = last;
		RETURN false;
	END IF;
	-- What few people have weighs as much as what nobody has.
	DELETE FROM rapport.tag_count AS c WHERE c.counting < 5;
	UPDATE rapport.tag_count AS c SET people = c.counting, counting = 0;
	UPDATE rapport.tag_round AS r SET people = r.counting + met, counting = 0, done_to = 0;
	RETURN true;
END;
$$;
COMMENT ON FUNCTION rapport.count_tags(integer) IS
'Counts how many people have each tag, batch people further at each call; true when all are counted and the new counts hold. Tags of fewer than 5 people are left out. For a maintenance job: SELECT rapport.count_tags() until it is true, say once a day. Errors: out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.count_tags(integer) TO rapport_service;

CREATE FUNCTION rapport.tag_weights(tags text[]) RETURNS TABLE (weights real[])
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT array_agg(round((1 + ln((1 + coalesce(r.people, 0))::double precision / (1 + coalesce(c.people, 0))))::numeric, 1)::real ORDER BY t.n)
	FROM unnest(tag_weights.tags) WITH ORDINALITY AS t (tag, n)
	LEFT JOIN rapport.tag_count AS c ON c.tag = hashtextextended(t.tag, 0)
	LEFT JOIN rapport.tag_round AS r ON true;
END;
COMMENT ON FUNCTION rapport.tag_weights(text[]) IS
'One row: what each tag weighs in the score, 1 + ln((1 + people) / (1 + people with the tag)) as of the last count_tags(), in tenths; 1 each before the first. Use in FROM, there it is inlined.';

CREATE FUNCTION rapport.set_scalars_for(ids bigint[], desirability real[], selectivity real[], price real[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	changed bigint[];
BEGIN
	IF num_nulls(ids, desirability, selectivity, price) > 0
		OR NOT cardinality(ids) = ALL (ARRAY[cardinality(desirability), cardinality(selectivity), cardinality(price)]) THEN
		PERFORM rapport.fail('invalid_value', 'The four arrays are of one length.');
	END IF;
	IF cardinality(ids) > 10000 THEN
		PERFORM rapport.fail('out_of_range', 'Up to 10000 people at a time.');
	END IF;
	-- NaN is greater than 1.
	IF EXISTS (SELECT FROM unnest(desirability || selectivity || price) AS v WHERE v NOT BETWEEN 0 AND 1) THEN
		PERFORM rapport.fail('out_of_range', 'desirability, selectivity and price take 0 to 1.');
	END IF;
	WITH given AS (
		SELECT DISTINCT ON (g.id) g.id, coalesce(g.d, 0.5::real) AS d, coalesce(g.s, 0.5::real) AS s, coalesce(g.p, 0::real) AS p
		FROM unnest(ids, desirability, selectivity, price) AS g (id, d, s, p)
		ORDER BY g.id
	), written AS (
		INSERT INTO rapport.match_scalar AS x (person_id, desirability, selectivity, price)
		SELECT g.id, g.d, g.s, g.p
		FROM given AS g
		JOIN rapport.person AS a ON a.person_id = g.id
		ON CONFLICT ON CONSTRAINT match_scalar_pkey DO UPDATE
		SET desirability = excluded.desirability, selectivity = excluded.selectivity, price = excluded.price
		WHERE (x.desirability, x.selectivity, x.price) IS DISTINCT FROM (excluded.desirability, excluded.selectivity, excluded.price)
		RETURNING x.person_id
	)
	SELECT array_agg(w.person_id ORDER BY w.person_id) INTO changed FROM written AS w;
	IF changed IS NOT NULL THEN
		PERFORM rapport.run_hooks('person_changed', changed);
	END IF;
	RETURN coalesce(cardinality(changed), 0);
END;
$$;
COMMENT ON FUNCTION rapport.set_scalars_for(bigint[], real[], real[], real[]) IS
'What was learnt of up to 10,000 people, 0 to 1 each: how much others like them, how easily they like others, and the price that spreads attention (NULL: 0.5, 0.5 and 0). Their match keys follow in the same transaction. Unknown ids are left out; returns how many changed. For services. Errors: invalid_value, out_of_range.';
GRANT EXECUTE ON FUNCTION rapport.set_scalars_for(bigint[], real[], real[], real[]) TO rapport_service;

-- The two sides of a match

CREATE FUNCTION rapport.attribute_map()
RETURNS TABLE (lane_of smallint[], lanes_of smallint[], strength_of smallint[], number_of smallint[])
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT array_agg(a.lane ORDER BY n),
		   array_agg(a.lanes ORDER BY n),
		   array_agg((CASE a.strength WHEN 'two_way' THEN 1 WHEN 'one_way' THEN 2 WHEN 'soft' THEN 3 END)::smallint ORDER BY n),
		   ARRAY(SELECT s.attribute_id
				 FROM generate_series(0, 3) AS g (number)
				 LEFT JOIN rapport.attribute AS s ON s.slot = g.number
				 ORDER BY g.number)
	FROM generate_series(1, (SELECT max(attribute_id) FROM rapport.attribute)) AS n
	LEFT JOIN rapport.attribute AS a ON a.attribute_id = n;
END;
COMMENT ON FUNCTION rapport.attribute_map() IS
'One row: by attribute id the first lane, the number of lanes and the default strength (1 two-way, 2 one-way, 3 soft); by slot + 1 the attribute id of a number.';

CREATE FUNCTION rapport.match_sides(ids bigint[], weakest integer)
RETURNS TABLE (person_id bigint, mode smallint, key rapport.match_key)
LANGUAGE sql STABLE
BEGIN ATOMIC
	WITH map AS MATERIALIZED (SELECT m.* FROM rapport.attribute_map() AS m)
	SELECT p.person_id,
		   f.mode,
		   rapport.match_key_raw(
			   id => p.person_id,
			   mode => f.mode::integer,
			   latitude => rapport.place_latitude(p.place),
			   longitude => rapport.place_longitude(p.place),
			   birth_date => p.birth_date,
			   traits => rapport.trait_lanes(p.traits, map.lane_of, map.lanes_of),
			   wants => rapport.want_lanes(f.accepts, s.hard, map.lane_of, map.lanes_of),
			   numbers => p.numbers[1:4],
			   number_min => r.number_min,
			   number_max => r.number_max,
			   age_min => f.age_min::integer,
			   age_max => f.age_max::integer,
			   max_distance_km => f.max_distance_km::double precision,
			   active_on => coalesce(y.active_on, (p.created_at AT TIME ZONE 'UTC')::date),
			   tags => p.tags,
			   embedding => p.embedding,
			   quality => 0.5 * coalesce(least(1, (cardinality(array_remove(array_remove(p.traits, NULL), 0::smallint))
												   + cardinality(array_remove(p.numbers, NULL)))::double precision
												  / cardinality(map.lane_of)), 1)
						  + CASE WHEN p.about <> '' THEN 0.25 ELSE 0 END
						  + CASE WHEN p.tags <> '{}' THEN 0.25 ELSE 0 END,
			   number_unset => r.number_unset,
			   desirability => z.desirability::double precision,
			   selectivity => z.selectivity::double precision,
			   price => z.price::double precision,
			   joined_on => (p.created_at AT TIME ZONE 'UTC')::date)
	-- OFFSET 0 leaves the planner one way: look up each person by key, whatever its statistics say.
	FROM (SELECT DISTINCT u.person_id FROM unnest(match_sides.ids) AS u (person_id)) AS i
	CROSS JOIN LATERAL (SELECT x.* FROM rapport.profile AS x WHERE x.person_id = i.person_id OFFSET 0) AS p
	CROSS JOIN LATERAL (SELECT x.* FROM rapport.preference AS x WHERE x.person_id = i.person_id AND x.enabled OFFSET 0) AS f
	LEFT JOIN LATERAL (SELECT x.active_on FROM rapport.activity AS x WHERE x.person_id = i.person_id OFFSET 0) AS y ON true
	LEFT JOIN LATERAL (SELECT x.desirability, x.selectivity, x.price FROM rapport.match_scalar AS x WHERE x.person_id = i.person_id OFFSET 0) AS z ON true
	CROSS JOIN map
	CROSS JOIN LATERAL (
		SELECT ARRAY(SELECT coalesce(nullif(f.strengths[n], 0), strength) <= match_sides.weakest
					 FROM unnest(map.strength_of) WITH ORDINALITY AS d (strength, n)
					 ORDER BY n) AS hard
		OFFSET 0) AS s
	LEFT JOIN LATERAL (
		SELECT array_agg(CASE WHEN s.hard[number] THEN f.number_min[slot] END ORDER BY slot) AS number_min,
			   array_agg(CASE WHEN s.hard[number] THEN f.number_max[slot] END ORDER BY slot) AS number_max,
			   array_agg(coalesce(f.number_unset[slot] OR NOT s.hard[number], true) ORDER BY slot) AS number_unset
		FROM unnest(map.number_of) WITH ORDINALITY AS d (number, slot)
		HAVING f.number_min <> '{}') AS r ON true;
END;
COMMENT ON FUNCTION rapport.match_sides(bigint[], integer) IS
'The match keys of people in each mode they take part in. Filters up to the strength weakest count: 1 two-way ones only, which is how others test a person; 2 one-way ones as well, which is whom the person wants to see. Quality is how much a profile tells: half for the share of attributes answered, a quarter each for a text and for tags.';

CREATE FUNCTION rapport.match_query_for(
	person_id bigint, mode smallint, key rapport.match_key, day date, seen bigint[],
	active_since date DEFAULT NULL, after_cost double precision DEFAULT NULL, after_id bigint DEFAULT NULL, weights jsonb DEFAULT NULL)
RETURNS rapport.match_query
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	scoring jsonb := coalesce(weights, rapport.scoring_weights(mode));
	liked bigint[];
	question rapport.match_query;
BEGIN
	IF (scoring ->> 'boost')::double precision > 0 THEN
		SELECT pg_catalog.array_agg(l.other_id) INTO liked
		FROM (SELECT r.other_id
			  FROM rapport.like_received AS r
			  WHERE r.person_id = match_query_for.person_id
			  AND r.mode = match_query_for.mode
			  ORDER BY r.at DESC, r.other_id DESC
			  LIMIT 1000) AS l;
	END IF;
	SELECT rapport.match_query(
			   key => match_query_for.key,
			   today => match_query_for.day,
			   soft_wants => rapport.want_lanes(f.accepts, s.soft, map.lane_of, map.lanes_of),
			   soft_weights => w.weights,
			   continuation => rapport.lane_continuation(map.lane_of, map.lanes_of),
			   weights => scoring,
			   seen => match_query_for.seen,
			   after_cost => match_query_for.after_cost,
			   after_id => match_query_for.after_id,
			   active_since => match_query_for.active_since,
			   soft_number_min => r.number_min,
			   soft_number_max => r.number_max,
			   tags => p.tags,
			   tag_weights => t.weights,
			   liked => liked)
	INTO question
	FROM rapport.preference AS f
	JOIN rapport.profile AS p ON p.person_id = f.person_id
	CROSS JOIN LATERAL rapport.tag_weights(p.tags) AS t
	CROSS JOIN rapport.attribute_map() AS map
	CROSS JOIN LATERAL (
		SELECT ARRAY(SELECT coalesce(nullif(f.strengths[n], 0), strength) = 3
					 FROM unnest(map.strength_of) WITH ORDINALITY AS d (strength, n)
					 ORDER BY n) AS soft
		OFFSET 0) AS s
	CROSS JOIN LATERAL (
		SELECT array_agg(CASE WHEN s.soft[number] THEN f.number_min[slot] END ORDER BY slot) AS number_min,
			   array_agg(CASE WHEN s.soft[number] THEN f.number_max[slot] END ORDER BY slot) AS number_max
		FROM unnest(map.number_of) WITH ORDINALITY AS d (number, slot)) AS r
	CROSS JOIN LATERAL (
		-- Elements 1 to 32 by first lane, 33 to 36 by number.
		SELECT array_agg(CASE WHEN s.soft[a.attribute_id]
								   AND CASE a.kind WHEN 'choice' THEN f.accepts[a.attribute_id] ELSE f.number_min[a.slot + 1] END IS NOT NULL
							  THEN a.weight ELSE 0 END ORDER BY i) AS weights
		FROM generate_series(1, 36) AS i
		LEFT JOIN rapport.attribute AS a ON coalesce(a.lane + 1, a.slot + 33) = i) AS w
	WHERE f.person_id = match_query_for.person_id
	AND f.mode = match_query_for.mode;
	RETURN question;
END;
$$;
COMMENT ON FUNCTION rapport.match_query_for(bigint, smallint, rapport.match_key, date, bigint[], date, double precision, bigint, jsonb) IS
'The question a person asks of candidates: key is one of their match_sides(), day the UTC date ages and ties go by, seen the people left out; only candidates active since then and beyond (after_cost, after_id). Soft wishes come from preference, weights from scoring_weights() (NULL: of the mode), those of tags from tag_weights(), and with a boost the last 1,000 who like the person.';

-- The seen set

CREATE FUNCTION rapport.match_query_see(query rapport.match_query, person_id bigint, mode smallint) RETURNS rapport.match_query
-- One person's rows among those of millions: the indexes serve, in their order, whatever the statistics say.
LANGUAGE c STABLE STRICT PARALLEL UNSAFE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS 'MODULE_PATHNAME', 'match_query_see';
COMMENT ON FUNCTION rapport.match_query_see(rapport.match_query, bigint, smallint) IS
'The query, leaving out whom seen_by() names as well: the packed buckets go into it as they are.';

CREATE FUNCTION rapport.seen_fold(person_id bigint, mode smallint, leave integer) RETURNS integer
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'match_seen_fold';
COMMENT ON FUNCTION rapport.seen_fold(bigint, smallint, integer) IS
'Moves rows of swipe into their buckets of seen, the buckets with most rows first, until no more than leave are left; the latest 16 stay rows, or leave if that is fewer. Returns how many there are then. The caller has locked the row of swiper.';

CREATE FUNCTION rapport.seen_forget(person_id bigint, mode smallint, other_id bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET enable_seqscan = off
AS 'MODULE_PATHNAME', 'match_seen_forget';
COMMENT ON FUNCTION rapport.seen_forget(bigint, smallint, bigint) IS
'Takes somebody out of the bucket they are in; whether they were in one. The caller has locked the row of swiper.';

CREATE FUNCTION rapport.seen_unpack(data bytea) RETURNS TABLE (other_id bigint, expires date)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 500
AS 'MODULE_PATHNAME', 'match_seen_unpack';
COMMENT ON FUNCTION rapport.seen_unpack(bytea) IS
'The people in a bucket of seen, with the day from which they may be shown again; NULL for never. Raises 22023 for anything else.';

CREATE FUNCTION rapport.seen_list(data bytea) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_agg(jsonb_build_object('other_id', u.other_id, 'expires', u.expires) ORDER BY u.other_id)
	FROM rapport.seen_unpack(data) AS u;
END;
COMMENT ON FUNCTION rapport.seen_list(bytea) IS 'seen_unpack() as JSON, for an export.';

CREATE FUNCTION rapport.seen_by(person_id bigint, mode smallint) RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	seen bigint[];
BEGIN
	SELECT array_agg(s.other_id) INTO seen
	FROM (SELECT w.other_id
		  FROM rapport.swipe AS w
		  WHERE w.person_id = seen_by.person_id
		  AND w.mode = seen_by.mode
		  AND (w.expires IS NULL OR w.expires > rapport.today())
		  UNION ALL
		  SELECT u.other_id
		  FROM rapport.seen AS w
		  CROSS JOIN LATERAL rapport.seen_unpack(w.data) AS u
		  WHERE w.person_id = seen_by.person_id
		  AND w.mode = seen_by.mode
		  AND (u.expires IS NULL OR u.expires > rapport.today())
		  UNION ALL
		  SELECT b.other_id FROM rapport.block AS b WHERE b.person_id = seen_by.person_id
		  UNION ALL
		  SELECT b.other_id FROM rapport.blocked_by AS b WHERE b.person_id = seen_by.person_id) AS s;
	RETURN coalesce(seen, '{}');
END;
$$;
COMMENT ON FUNCTION rapport.seen_by(bigint, smallint) IS
'Whom a person is not shown in a mode: everyone they swiped on who may not come back yet, and whoever is blocked either way.';

CREATE FUNCTION rapport.match_mode(person_id bigint, mode text) RETURNS smallint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	found smallint;
BEGIN
	IF match_mode.mode IS NULL THEN
		SELECT min(f.mode) INTO found
		FROM rapport.preference AS f
		WHERE f.person_id = match_mode.person_id
		AND f.enabled;
		IF found IS NULL THEN
			PERFORM rapport.fail('profile_incomplete', 'No mode is enabled.');
		END IF;
		RETURN found;
	END IF;
	SELECT m.mode INTO found FROM rapport.mode AS m WHERE m.code = match_mode.mode;
	IF found IS NULL THEN
		PERFORM rapport.fail('unknown_mode', pg_catalog.format('%L is not a mode.', match_mode.mode));
	END IF;
	IF NOT EXISTS (SELECT FROM rapport.preference AS f
				   WHERE f.person_id = match_mode.person_id
				   AND f.mode = found
				   AND f.enabled) THEN
		PERFORM rapport.fail('mode_not_enabled');
	END IF;
	RETURN found;
END;
$$;
COMMENT ON FUNCTION rapport.match_mode(bigint, text) IS
'The mode of that code if the person takes part in it; for NULL the first they take part in. Errors: unknown_mode, mode_not_enabled, profile_incomplete.';

CREATE FUNCTION rapport.match_side(person_id bigint, mode smallint, weakest integer) RETURNS rapport.match_key
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	mine rapport.profile;
	missing text[];
	found rapport.match_key;
BEGIN
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = match_side.person_id;
	SELECT pg_catalog.array_agg(m.step ORDER BY m.step COLLATE "C") INTO missing FROM rapport.missing_steps(mine) AS m;
	IF missing IS NOT NULL THEN
		PERFORM rapport.fail('profile_incomplete', pg_catalog.format('Missing: %s.', pg_catalog.array_to_string(missing, ', ')));
	END IF;
	SELECT k.key INTO found
	FROM rapport.match_sides(ARRAY[match_side.person_id], match_side.weakest) AS k
	WHERE k.mode = match_side.mode;
	RETURN found;
END;
$$;
COMMENT ON FUNCTION rapport.match_side(bigint, smallint, integer) IS
'The match_sides() key of one person. Errors: profile_incomplete, with the steps that are missing.';

-- Candidates

CREATE FUNCTION rapport.candidates_of(ids bigint[])
RETURNS TABLE (person_id bigint, mode smallint, key rapport.match_key)
LANGUAGE plpgsql STABLE SET jit = off SET enable_seqscan = off
AS $$
DECLARE
	complete bigint[] := ARRAY(
		SELECT i.person_id
		FROM unnest(ids) AS i (person_id)
		CROSS JOIN LATERAL (SELECT FROM rapport.person AS a WHERE a.person_id = i.person_id AND a.state = 'active' OFFSET 0) AS a
		CROSS JOIN LATERAL (SELECT p AS stored FROM rapport.profile AS p WHERE p.person_id = i.person_id AND NOT p.paused OFFSET 0) AS p
		WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p.stored)));
BEGIN
	RETURN QUERY SELECT k.person_id, k.mode, k.key FROM rapport.match_sides(complete, 1) AS k;
END;
$$;
COMMENT ON FUNCTION rapport.candidates_of(bigint[]) IS
'The candidate rows that these people should have, from their profiles and preferences.';

CREATE FUNCTION rapport.candidate_refresh(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET jit = off SET enable_seqscan = off
AS $$
BEGIN
	-- One at a time per person, each with a snapshot of its own: what another
	-- transaction changed about them is either seen here, or refreshed there.
	PERFORM FROM rapport.profile AS p WHERE p.person_id = ANY (ids) ORDER BY p.person_id FOR NO KEY UPDATE;
	WITH wanted AS MATERIALIZED (
		SELECT k.person_id, k.mode, k.key
		FROM rapport.candidates_of(ids) AS k
	), gone AS (
		-- NOT IN is hashed; NOT EXISTS is a join, and one of nested loops when few rows are expected.
		DELETE FROM rapport.candidate AS c
		WHERE c.person_id = ANY (ids)
		AND (c.person_id, c.mode) NOT IN (SELECT w.person_id, w.mode FROM wanted AS w)
	)
	INSERT INTO rapport.candidate AS c (person_id, mode, key)
	SELECT w.person_id, w.mode, w.key
	FROM wanted AS w
	ON CONFLICT ON CONSTRAINT candidate_pkey DO UPDATE SET key = excluded.key
	WHERE c.key OPERATOR(rapport.<>) excluded.key;
END;
$$;
COMMENT ON FUNCTION rapport.candidate_refresh(bigint[]) IS
'Brings the candidate rows of these people in line with their profiles and preferences; the hook of person_changed. Any number of people in one pass.';

CREATE FUNCTION rapport.candidate_pack(counts bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s'
AS $$
BEGIN
	IF counts[1] >= 10000 AND counts[1] * 2 >= (SELECT count(*) FROM rapport.profile AS p) THEN
		BEGIN
			REINDEX INDEX rapport.candidate_key;
		EXCEPTION WHEN lock_not_available THEN
			-- Who waits for a lock on a table holds up everyone who comes after.
			RAISE NOTICE 'the match index is in use and was not packed'
				USING HINT = 'REINDEX INDEX CONCURRENTLY rapport.candidate_key packs it.';
		END;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.candidate_pack(bigint[]) IS
'Hook of people_imported, with the people added: builds the match index anew, sorted, when half of all people or more came with this import; rows that come one by one leave it larger and slower. Nobody can be discovered meanwhile (about 5 s for a million), so a smaller import does without, and one that cannot have the lock within 5 s.';

CREATE FUNCTION rapport.after_restore(OUT people bigint, OUT rebuilt bigint, OUT candidates bigint, OUT index_bytes bigint,
												 OUT problems bigint, OUT first_problem text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off
AS $$
DECLARE
	ids bigint[];
	differ bigint[];
	last bigint := 0;
BEGIN
	people := 0;
	rebuilt := 0;
	LOOP
		SELECT array_agg(b.person_id ORDER BY b.person_id) INTO ids
		FROM (SELECT p.person_id FROM rapport.person AS p WHERE p.person_id > last ORDER BY p.person_id LIMIT 10000) AS b;
		EXIT WHEN ids IS NULL;
		last := ids[cardinality(ids)];
		people := people + cardinality(ids);
		SELECT array_agg(DISTINCT person_id) INTO differ
		FROM rapport.candidates_of(ids) AS w
		FULL JOIN (SELECT c.person_id, c.mode, c.key FROM rapport.candidate AS c WHERE c.person_id = ANY (ids)) AS c USING (person_id, mode)
		WHERE w.key OPERATOR(rapport.=) c.key IS NOT TRUE;
		IF differ IS NOT NULL THEN
			rebuilt := rebuilt + cardinality(differ);
			PERFORM rapport.candidate_refresh(differ);
		END IF;
	END LOOP;
	REINDEX TABLE rapport.candidate;
	SELECT c.rows, c.problems, c.first_problem
	INTO candidates, after_restore.problems, after_restore.first_problem
	FROM rapport.match_index_check('rapport.candidate_key') AS c;
	index_bytes := pg_relation_size('rapport.candidate_key');
END;
$$;
COMMENT ON FUNCTION rapport.after_restore() IS
'After a restore or an upgrade of the server: compares the candidate keys of all people with what this version makes of their profiles and preferences, rebuilds those that differ, builds the indexes of candidate anew, sorted, and checks the match index. Tells how many people it looked at, for how many it rebuilt something, how many candidates there are, the bytes of their match index, and what match_index_check() found. Nobody can be discovered while it reindexes. For operators.';
GRANT EXECUTE ON FUNCTION rapport.after_restore() TO rapport_service;

CREATE FUNCTION rapport.match_erase(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	ended rapport.pair;
BEGIN
	FOR ended IN
		SELECT p.* FROM rapport.pair AS p WHERE p.lo = ANY (ids) AND p.matched_at IS NOT NULL
		UNION
		SELECT p.* FROM rapport.pair AS p WHERE p.hi = ANY (ids) AND p.matched_at IS NOT NULL
		ORDER BY lo, hi, mode
	LOOP
		PERFORM rapport.run_hooks('unmatched', ARRAY[ended.lo, ended.hi, ended.mode]);
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.match_erase(bigint[]) IS
'Hook of "person_erased": their matches end. The rows go as rapport.subject says.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('people_imported', 100, 'rapport.candidate_pack(bigint[])', true),
	('person_changed', 100, 'rapport.candidate_refresh(bigint[])', true),
	('person_erased', 100, 'rapport.match_erase(bigint[])', true);

-- Discovery

CREATE FUNCTION rapport.distance_bucket(metres double precision) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.distance_bucket(metres, rapport.setting_text('distance_buckets')::integer[]);
END;
COMMENT ON FUNCTION rapport.distance_bucket(double precision) IS
'The only form in which a distance leaves: "within so many km" of the setting distance_buckets (2, 5, 10, 20, 50, 100, 200, 500, 1000); NULL when further or unknown.';

CREATE FUNCTION rapport.score_parts(explained jsonb) RETURNS TABLE (parts jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT jsonb_object_agg(p.term, round((p.part ->> 'value')::numeric, CASE p.term WHEN 'distance' THEN 1 ELSE 2 END))
	FROM jsonb_each(score_parts.explained -> 'parts') AS p (term, part);
END;
COMMENT ON FUNCTION rapport.score_parts(jsonb) IS
'One row: the terms of a score, 0 to 1, in an answer of match_explain(); the distance in it is rounded more than the others, as distances leave only as steps. Use in FROM, there it is inlined.';

CREATE FUNCTION rapport.discover(mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, distance_km integer, score double precision,
			   shared_tags text[], attributes jsonb, about text, why jsonb, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET extra_float_digits = 1 SET jit = off
	SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 2);
	my_tags text[];
	active_days integer := rapport.setting_int('active_within_days');
	day date := rapport.today();
	my_weights jsonb := rapport.scoring_weights(mode_id);
	scope text;
	place text;
	query rapport.match_query;
	ids bigint[];
	keys rapport.match_key[];
	costs double precision[];
BEGIN
	-- A change of the profile, the preference or the weights ends the cursors made before.
	SELECT p.tags, format('discover %s %s %s %s %s ', me, mode_id, extract(epoch FROM p.updated_at), extract(epoch FROM f.updated_at),
						  concat_ws(' ', my_weights, t.weights))
	INTO my_tags, scope
	FROM rapport.profile AS p
	JOIN rapport.preference AS f ON f.person_id = p.person_id
	CROSS JOIN LATERAL rapport.tag_weights(p.tags) AS t
	WHERE p.person_id = me
	AND f.mode = mode_id;
	IF after IS NOT NULL THEN
		place := rapport.unseal(scope || day, after);
		IF place IS NULL THEN
			-- A deck keeps the day it began with, over one midnight.
			day := day - 1;
			place := rapport.unseal(scope || day, after);
		END IF;
		IF place IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
	END IF;
	scope := scope || day;
	query := rapport.match_query_see(
		rapport.match_query_for(me, mode_id, my_key, day, '{}', CASE WHEN active_days > 0 THEN day - active_days END,
								split_part(place, ' ', 1)::double precision, split_part(place, ' ', 2)::bigint, my_weights),
		me, mode_id);
	SELECT array_agg(hit.person_id ORDER BY hit.cost, hit.person_id),
		   array_agg(hit.key ORDER BY hit.cost, hit.person_id),
		   array_agg(hit.cost ORDER BY hit.cost, hit.person_id)
	INTO ids, keys, costs
	FROM (
		-- An ordered index scan: the best first, and nobody but those who fit.
		SELECT c.person_id, c.key, c.key <-> query AS cost
		FROM rapport.candidate AS c
		WHERE c.key @@ query
		ORDER BY c.key <-> query
		FETCH FIRST (size) ROWS WITH TIES) AS hit;
	-- Cut here and not there: of equal costs the lower id comes first.
	ids := ids[1:size];
	RETURN QUERY
	SELECT p.person_id,
		   p.display_name,
		   rapport.person_age(p.birth_date, rapport.today()),
		   rapport.distance_bucket(rapport.match_distance_m(my_key, keys[hit.place])),
		   round(least(1, greatest(0, rapport.match_score(keys[hit.place], query)))::numeric, 2)::double precision,
		   ARRAY(SELECT t FROM unnest(p.tags) WITH ORDINALITY AS x (t, i) WHERE t = ANY (my_tags) ORDER BY i),
		   a.attributes,
		   p.about,
		   w.parts,
		   rapport.seal(scope, costs[hit.place] || ' ' || p.person_id)
	FROM unnest(ids) WITH ORDINALITY AS hit (person_id, place)
	JOIN rapport.profile AS p ON p.person_id = hit.person_id
	JOIN rapport.attributes_of(ids) AS a ON a.person_id = hit.person_id
	CROSS JOIN LATERAL rapport.score_parts(rapport.match_explain(keys[hit.place], query)) AS w
	ORDER BY hit.place;
END;
$$;
COMMENT ON FUNCTION rapport.discover(text, integer, text) IS
'People who fit me and whom I fit, exactly, best first: everyone in the mode (NULL: the first I take part in) except those I swiped on and those blocked either way. page_size is 1 to 100 (20); after is the cursor of the last row of the page before: whoever does not change between pages appears exactly once. distance_km is an upper bound in steps (2, 5, 10 ... 1000; NULL further or unknown), score 0 to 1, why its parts. Errors: profile_incomplete, mode_not_enabled, unknown_mode, out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.discover(text, integer, text) TO rapport_user;

CREATE FUNCTION rapport.fits(person_id bigint, other_id bigint, mode smallint) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	theirs rapport.match_key;
BEGIN
	SELECT c.key INTO theirs
	FROM rapport.candidate AS c
	WHERE c.person_id = fits.other_id
	AND c.mode = fits.mode
	AND NOT rapport.is_blocked(fits.person_id, fits.other_id);
	RETURN theirs IS NOT NULL
		AND theirs OPERATOR(rapport.@@) rapport.match_query_for(
			fits.person_id, fits.mode, rapport.match_side(fits.person_id, fits.mode, 1), rapport.today(), '{}', weights => '{}');
END;
$$;
COMMENT ON FUNCTION rapport.fits(bigint, bigint, smallint) IS
'Whether other_id is a candidate, nobody blocked the other, and both meet all two-way filters of the other; what either did before does not count. Errors: profile_incomplete.';

CREATE FUNCTION rapport.sees(person_id bigint, other_id bigint, mode smallint DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	mine rapport.profile;
BEGIN
	IF sees.person_id = sees.other_id THEN
		RETURN EXISTS (SELECT FROM rapport.candidate AS c
					   WHERE c.person_id = sees.other_id AND (c.mode = sees.mode OR sees.mode IS NULL));
	ELSIF rapport.is_blocked(sees.person_id, sees.other_id) THEN
		RETURN false;
	ELSIF EXISTS (SELECT FROM rapport.pair AS x
				  WHERE x.lo = least(sees.person_id, sees.other_id)
				  AND x.hi = greatest(sees.person_id, sees.other_id)
				  AND (x.mode = sees.mode OR sees.mode IS NULL)
				  AND x.matched_at IS NOT NULL) THEN
		RETURN true;
	END IF;
	SELECT p.* INTO mine FROM rapport.profile AS p WHERE p.person_id = sees.person_id;
	RETURN NOT EXISTS (SELECT FROM rapport.missing_steps(mine))
		AND EXISTS (SELECT
					FROM rapport.match_sides(ARRAY[sees.person_id], 1) AS k
					JOIN rapport.candidate AS c ON c.person_id = sees.other_id AND c.mode = k.mode
					WHERE (k.mode = sees.mode OR sees.mode IS NULL)
					AND c.key OPERATOR(rapport.@@) rapport.match_query_for(k.person_id, k.mode, k.key, rapport.today(), '{}')
					AND NOT EXISTS (SELECT FROM rapport.pair AS x
									WHERE x.lo = least(sees.person_id, sees.other_id)
									AND x.hi = greatest(sees.person_id, sees.other_id)
									AND x.mode = k.mode
									AND x.ended_at IS NOT NULL));
END;
$$;
COMMENT ON FUNCTION rapport.sees(bigint, bigint, smallint) IS
'Whether one person may know that the other is there, in a mode or in any (NULL): they have matched, or the other is a candidate, both meet all two-way filters of the other and no match of theirs has ended in that mode; never when either blocks the other. So it is for everyone discover() and likes_received() show, and for whoever one talks to.';

CREATE FUNCTION rapport.explain(key rapport.match_key, query rapport.match_query) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	explained jsonb := rapport.match_explain(key, query);
	mine jsonb := explained #> '{rules,viewer}';
	theirs jsonb := explained #> '{rules,candidate}';
BEGIN
	RETURN (
		SELECT pg_catalog.jsonb_build_object(
				   'shown', explained -> 'accepts',
				   'score', pg_catalog.round(least(1, greatest(0, (explained ->> 'score')::numeric)), 2),
				   'parts', (SELECT p.parts FROM rapport.score_parts(explained) AS p),
				   'distance_km', rapport.distance_bucket((explained ->> 'distance_m')::double precision),
				   'active', explained #> '{rules,active}',
				   'unseen', explained #> '{rules,unseen}',
				   'i_accept', pg_catalog.jsonb_build_object(
					   'age', mine -> 'age', 'distance', mine -> 'distance',
					   'attributes', coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
						   WHEN 'choice' THEN pg_catalog.to_jsonb(NOT mine -> 'lanes_failed' @> pg_catalog.to_jsonb(a.lane))
						   ELSE mine -> 'numbers' -> a.slot::integer END), '{}')),
				   'they_accept', pg_catalog.jsonb_build_object(
					   'age', theirs -> 'age', 'distance', theirs -> 'distance',
					   'attributes', coalesce(pg_catalog.jsonb_object_agg(a.code, CASE a.kind
						   WHEN 'choice' THEN pg_catalog.to_jsonb(NOT theirs -> 'lanes_failed' @> pg_catalog.to_jsonb(a.lane))
						   ELSE theirs -> 'numbers' -> a.slot::integer END), '{}')))
		FROM rapport.attribute AS a);
END;
$$;
COMMENT ON FUNCTION rapport.explain(rapport.match_key, rapport.match_query) IS
'match_explain() with attributes by their codes, and without an exact distance.';

CREATE FUNCTION rapport.explain_match(person_id bigint, mode text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 2);
	active_days integer := rapport.setting_int('active_within_days');
	theirs rapport.match_key;
BEGIN
	SELECT c.key INTO theirs
	FROM rapport.candidate AS c
	WHERE c.person_id = explain_match.person_id
	AND c.mode = mode_id
	AND rapport.sees(me, c.person_id, mode_id);
	IF theirs IS NULL THEN
		PERFORM rapport.fail('not_found');
	END IF;
	RETURN rapport.explain(theirs, rapport.match_query_see(
		rapport.match_query_for(me, mode_id, my_key, rapport.today(), '{}',
								CASE WHEN active_days > 0 THEN rapport.today() - active_days END),
		me, mode_id));
END;
$$;
COMMENT ON FUNCTION rapport.explain_match(bigint, text) IS
'Why this person is or is not shown to me: every rule both ways, and every part of the score. mode NULL is the first I take part in. Errors: not_found (nobody in that mode, nobody I may see: blocked either way, beyond a two-way filter of either side unless we have matched, or a match that has ended), profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.explain_match(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.person(
	person_id bigint, OUT display_name text, OUT age integer, OUT about text, OUT tags text[], OUT attributes jsonb,
	OUT distance_km integer, OUT matched boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
BEGIN
	IF NOT rapport.sees(me, person.person_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT EXISTS (SELECT FROM rapport.pair AS x
				   WHERE x.lo = least(me, person.person_id)
				   AND x.hi = greatest(me, person.person_id)
				   AND x.matched_at IS NOT NULL) INTO matched;
	SELECT p.display_name, rapport.person_age(p.birth_date, rapport.today()), p.about, p.tags, a.attributes,
		   rapport.distance_bucket(rapport.place_distance(p.place, mine.place))
	INTO display_name, age, about, tags, attributes, distance_km
	FROM rapport.profile AS p
	JOIN rapport.attributes_of(ARRAY[person.person_id]) AS a ON a.person_id = p.person_id
	LEFT JOIN rapport.profile AS mine ON mine.person_id = me
	WHERE p.person_id = person.person_id;
END;
$$;
COMMENT ON FUNCTION rapport.person(bigint) IS
'What others see of a person; distance_km is an upper bound as in discover(). Only people who have matched with me, or who could be shown to me: candidates in a mode I take part in, within all two-way filters of both sides. Errors: not_found (anyone else, so also who is blocked either way, and who was unmatched).';
GRANT EXECUTE ON FUNCTION rapport.person(bigint) TO rapport_user;

-- Likes and matches

CREATE FUNCTION rapport.remember_swipe(person_id bigint, other_id bigint, mode smallint, action text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	is_like CONSTANT integer := (action = 'like')::integer;
	is_super CONSTANT integer := (action = 'super_like')::integer;
	days integer := CASE WHEN action IN ('pass', 'maybe') THEN rapport.setting_int(action || '_days') ELSE 0 END;
	mine rapport.swiper;
	most integer;
	tail_most integer;
BEGIN
	-- From here on the other swipes of the person in the mode wait.
	INSERT INTO rapport.swiper AS s (person_id, mode, last_at, day, likes, super_likes, tail)
	VALUES (remember_swipe.person_id, remember_swipe.mode, rapport.now(), rapport.today(), is_like, is_super, 1)
	ON CONFLICT ON CONSTRAINT swiper_pkey DO UPDATE
	SET last_at = greatest(excluded.last_at, s.last_at + interval '1 microsecond'),
		day = excluded.day,
		likes = CASE WHEN s.day = excluded.day THEN s.likes ELSE 0 END + is_like,
		super_likes = CASE WHEN s.day = excluded.day THEN s.super_likes ELSE 0 END + is_super,
		tail = s.tail + 1
	RETURNING s.* INTO mine;
	IF action IN ('like', 'super_like') THEN
		most := rapport.setting_int(action || 's_per_day');
		IF most > 0 AND (CASE action WHEN 'like' THEN mine.likes ELSE mine.super_likes END) > most THEN
			PERFORM rapport.fail('quota_exhausted', pg_catalog.format('There are %s a day.', most));
		END IF;
	END IF;
	PERFORM rapport.seen_forget(remember_swipe.person_id, remember_swipe.mode, remember_swipe.other_id);
	INSERT INTO rapport.swipe (person_id, other_id, mode, action, at, expires)
	VALUES (remember_swipe.person_id, remember_swipe.other_id, remember_swipe.mode, remember_swipe.action, mine.last_at,
			CASE WHEN days > 0 THEN rapport.today() + days END)
	ON CONFLICT ON CONSTRAINT swipe_pkey DO UPDATE
	SET action = excluded.action, at = excluded.at, expires = excluded.expires;
	-- Rows cost time when they are read, folding costs log by the size of a bucket: more of the one where that is big.
	tail_most := least(64 + mine.folded / 256, 256);
	IF mine.tail > tail_most THEN
		mine.tail := rapport.seen_fold(remember_swipe.person_id, remember_swipe.mode, tail_most);
		UPDATE rapport.swiper AS s
		SET tail = mine.tail,
			folded = s.folded + s.tail - mine.tail
		WHERE s.person_id = remember_swipe.person_id
		AND s.mode = remember_swipe.mode;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.remember_swipe(bigint, bigint, smallint, text) IS
'Notes a swipe (like, super_like, pass, maybe) as the last of the person in the mode, and folds a bucket of older ones when there are many. Errors: quota_exhausted.';

CREATE FUNCTION rapport.take_back_like(person_id bigint, other_id bigint, mode smallint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.pair AS p
	SET lo_action = CASE WHEN p.lo <> take_back_like.person_id THEN p.lo_action END,
		hi_action = CASE WHEN p.hi <> take_back_like.person_id THEN p.hi_action END
	WHERE p.lo = least(take_back_like.person_id, take_back_like.other_id)
	AND p.hi = greatest(take_back_like.person_id, take_back_like.other_id)
	AND p.mode = take_back_like.mode;
	DELETE FROM rapport.pair AS p
	WHERE p.lo = least(take_back_like.person_id, take_back_like.other_id)
	AND p.hi = greatest(take_back_like.person_id, take_back_like.other_id)
	AND p.mode = take_back_like.mode
	AND p.lo_action IS NULL
	AND p.hi_action IS NULL;
	DELETE FROM rapport.like_received AS l
	WHERE l.person_id = take_back_like.other_id
	AND l.mode = take_back_like.mode
	AND l.other_id = take_back_like.person_id;
END;
$$;
COMMENT ON FUNCTION rapport.take_back_like(bigint, bigint, smallint) IS
'Undoes the like of a person for another, if there is one and it has made no match. The caller holds lock_two_people().';

CREATE FUNCTION rapport.like_with(person_id bigint, mode text, action text, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	other ALIAS FOR $1;
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	pair rapport.pair;
	before text;
BEGIN
	IF other = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	PERFORM rapport.lock_two_people(me, other);
	-- From here on a statement sees whatever the lock waited for.
	IF other IS NULL OR NOT rapport.fits(me, other, mode_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT p.* INTO pair
	FROM rapport.pair AS p
	WHERE p.lo = least(me, other)
	AND p.hi = greatest(me, other)
	AND p.mode = mode_id;
	IF pair.ended_at IS NOT NULL THEN
		PERFORM rapport.fail('not_found');
	END IF;
	before := CASE WHEN me < other THEN pair.lo_action ELSE pair.hi_action END;
	IF before IS NULL OR (before = 'like' AND action = 'super_like' AND pair.matched_at IS NULL) THEN
		INSERT INTO rapport.pair AS p (lo, hi, mode, lo_action, hi_action)
		VALUES (least(me, other), greatest(me, other), mode_id,
				CASE WHEN me < other THEN action END, CASE WHEN me > other THEN action END)
		ON CONFLICT ON CONSTRAINT pair_pkey DO UPDATE
		SET lo_action = coalesce(excluded.lo_action, p.lo_action),
			hi_action = coalesce(excluded.hi_action, p.hi_action)
		RETURNING p.* INTO pair;
		PERFORM rapport.remember_swipe(me, other, mode_id, action);
		INSERT INTO rapport.like_received AS l (person_id, other_id, mode, at, super)
		VALUES (other, me, mode_id, rapport.now(), action = 'super_like')
		ON CONFLICT ON CONSTRAINT like_received_pkey DO UPDATE
		SET super = excluded.super
		WHERE NOT l.super;
	END IF;
	PERFORM rapport.mark_active(ARRAY[me]);
	matched := pair.lo_action IS NOT NULL AND pair.hi_action IS NOT NULL;
	IF matched AND pair.matched_at IS NULL THEN
		UPDATE rapport.pair AS p
		SET matched_at = rapport.now()
		WHERE p.lo = pair.lo AND p.hi = pair.hi AND p.mode = pair.mode;
		PERFORM rapport.run_hooks('matched', ARRAY[pair.lo, pair.hi, pair.mode]);
		PERFORM rapport.event_emit('p:' || pair.lo, 'match', pg_catalog.jsonb_build_object('person_id', pair.hi, 'mode', m.code)),
				rapport.event_emit('p:' || pair.hi, 'match', pg_catalog.jsonb_build_object('person_id', pair.lo, 'mode', m.code))
		FROM rapport.mode AS m
		WHERE m.mode = mode_id;
	END IF;
	IF matched THEN
		SELECT p.conversation_id INTO conversation_id
		FROM rapport.pair AS p
		WHERE p.lo = pair.lo AND p.hi = pair.hi AND p.mode = pair.mode;
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.like_with(bigint, text, text) IS 'like() and super_like(), which action names.';

CREATE FUNCTION rapport."like"(person_id bigint, mode text DEFAULT NULL, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	SELECT l.* INTO matched, conversation_id FROM rapport.like_with("like".person_id, "like".mode, 'like') AS l;
END;
$$;
COMMENT ON FUNCTION rapport."like"(bigint, text) IS
'Likes a person in a mode (NULL: the first I take part in). matched tells whether it is mutual, conversation_id where to talk then. Again is the same as once. Errors: self_target, not_found (also where a two-way filter of either side, a block or an ended match stands between), quota_exhausted, profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport."like"(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.super_like(person_id bigint, mode text DEFAULT NULL, OUT matched boolean, OUT conversation_id bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	SELECT l.* INTO matched, conversation_id FROM rapport.like_with(super_like.person_id, super_like.mode, 'super_like') AS l;
END;
$$;
COMMENT ON FUNCTION rapport.super_like(bigint, text) IS
'like() that the other sees to be a special one; of those there are few a day. A like of mine becomes one. Errors: as like().';
GRANT EXECUTE ON FUNCTION rapport.super_like(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.pass_with(person_id bigint, mode text, action text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	pair rapport.pair;
BEGIN
	IF pass_with.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	PERFORM rapport.lock_two_people(me, pass_with.person_id);
	IF pass_with.person_id IS NULL OR NOT rapport.sees(me, pass_with.person_id, mode_id) THEN
		PERFORM rapport.fail('not_found');
	END IF;
	SELECT p.* INTO pair
	FROM rapport.pair AS p
	WHERE p.lo = least(me, pass_with.person_id)
	AND p.hi = greatest(me, pass_with.person_id)
	AND p.mode = mode_id;
	IF pair.matched_at IS NOT NULL THEN
		PERFORM rapport.fail('already_matched');
	END IF;
	PERFORM rapport.take_back_like(me, pass_with.person_id, mode_id);
	PERFORM rapport.remember_swipe(me, pass_with.person_id, mode_id, action);
	PERFORM rapport.mark_active(ARRAY[me]);
END;
$$;
COMMENT ON FUNCTION rapport.pass_with(bigint, text, text) IS 'pass() and maybe(), which action names.';

CREATE FUNCTION rapport.pass(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.pass_with(pass.person_id, pass.mode, 'pass');
END;
$$;
COMMENT ON FUNCTION rapport.pass(bigint, text) IS
'Passes a person in a mode (NULL: the first I take part in): they are not shown again, for the setting pass_days or for good, and a like of mine is taken back. Errors: self_target, not_found (as in person(), in this mode), already_matched, mode_not_enabled, profile_incomplete, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.pass(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.maybe(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	PERFORM rapport.pass_with(maybe.person_id, maybe.mode, 'maybe');
END;
$$;
COMMENT ON FUNCTION rapport.maybe(bigint, text) IS
'Puts a person off: pass(), but they are shown again after the setting maybe_days. Errors: as pass().';
GRANT EXECUTE ON FUNCTION rapport.maybe(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.last_swipe(person_id bigint, mode smallint) RETURNS rapport.swipe
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	last rapport.swipe;
BEGIN
	SELECT w.* INTO last
	FROM rapport.swipe AS w
	WHERE w.person_id = last_swipe.person_id
	AND w.mode = last_swipe.mode
	ORDER BY w.at DESC
	LIMIT 1;
	RETURN last;
END;
$$;
COMMENT ON FUNCTION rapport.last_swipe(bigint, smallint) IS 'The latest swipe of a person in a mode that is not folded yet.';

CREATE FUNCTION rapport.rewind(mode text DEFAULT NULL, OUT person_id bigint, OUT action text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
	last rapport.swipe := rapport.last_swipe(me, mode_id);
	again rapport.swipe;
	pair rapport.pair;
BEGIN
	IF last.action IN ('like', 'super_like') THEN
		PERFORM rapport.lock_two_people(me, last.other_id);
	END IF;
	PERFORM FROM rapport.swiper AS s WHERE s.person_id = me AND s.mode = mode_id FOR UPDATE;
	again := rapport.last_swipe(me, mode_id);
	IF again.at IS NULL THEN
		PERFORM rapport.fail('nothing_to_rewind');
	END IF;
	IF again IS DISTINCT FROM last THEN
		-- Another swipe came first, and may need a lock that comes before the one we have.
		RAISE 'somebody swiped meanwhile' USING ERRCODE = 'serialization_failure';
	END IF;
	IF last.action IN ('like', 'super_like') THEN
		SELECT p.* INTO pair
		FROM rapport.pair AS p
		WHERE p.lo = least(me, last.other_id)
		AND p.hi = greatest(me, last.other_id)
		AND p.mode = mode_id;
		IF pair.matched_at IS NOT NULL THEN
			PERFORM rapport.fail('already_matched');
		END IF;
		IF pair.ended_at IS NOT NULL THEN
			PERFORM rapport.fail('nothing_to_rewind');
		END IF;
		PERFORM rapport.take_back_like(me, last.other_id, mode_id);
	END IF;
	DELETE FROM rapport.swipe AS w
	WHERE w.person_id = me
	AND w.mode = mode_id
	AND w.other_id = last.other_id;
	person_id := last.other_id;
	action := last.action;
END;
$$;
COMMENT ON FUNCTION rapport.rewind(text) IS
'Takes back my last swipe in a mode (NULL: the first I take part in), as if it had not been made: they may be shown again, and a like of mine is gone. person_id and action tell which it was. Again takes back the one before, down to the 16th or further. What was spent of a quota stays spent. Errors: nothing_to_rewind, already_matched (the like has made a match), profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.rewind(text) TO rapport_user;

CREATE FUNCTION rapport.quotas(mode text DEFAULT NULL)
RETURNS TABLE (action text, per_day integer, remaining integer, resets_at timestamp with time zone)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint := rapport.match_mode(me, mode);
BEGIN
	RETURN QUERY
	SELECT q.action, q.most, q.most - least(coalesce(q.used, 0), q.most), (rapport.today() + 1)::timestamp AT TIME ZONE 'UTC'
	FROM (SELECT s.likes, s.super_likes
		  FROM (VALUES (me)) AS mine (person_id)
		  LEFT JOIN rapport.swiper AS s ON s.person_id = mine.person_id AND s.mode = mode_id AND s.day = rapport.today()) AS s
	CROSS JOIN LATERAL (VALUES ('like', nullif(rapport.setting_int('likes_per_day'), 0), s.likes),
							   ('super_like', nullif(rapport.setting_int('super_likes_per_day'), 0), s.super_likes)) AS q (action, most, used);
END;
$$;
COMMENT ON FUNCTION rapport.quotas(text) IS
'What I may give a day in a mode (NULL: the first I take part in), how many remain, and when that begins anew; per_day and remaining are NULL where there is no limit. Errors: profile_incomplete, mode_not_enabled, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.quotas(text) TO rapport_user;

CREATE FUNCTION rapport.matches(mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, matched_at timestamp with time zone,
			   conversation_id bigint, in_mode text, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	mode_id smallint;
	scope text := 'matches ' || me;
	place text[];
	after_at timestamp with time zone := 'infinity';
	after_id bigint := 0;
	after_mode smallint := 0;
BEGIN
	IF mode IS NOT NULL THEN
		SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = matches.mode;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', mode));
		END IF;
	END IF;
	IF after IS NOT NULL THEN
		place := string_to_array(rapport.unseal(scope, after), ' ');
		IF place IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		after_at := timestamptz 'epoch' + place[1]::bigint * interval '1 microsecond';
		after_id := place[2];
		after_mode := place[3];
	END IF;
	RETURN QUERY
	SELECT x.other_id, p.display_name, rapport.person_age(p.birth_date, rapport.today()), x.matched_at,
		   x.conversation_id, m.code,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM x.matched_at) * 1000000)::bigint, x.other_id, x.mode))
	FROM (
		(SELECT y.hi AS other_id, y.mode, y.matched_at, y.conversation_id
		 FROM rapport.pair AS y
		 WHERE y.lo = me
		 AND y.matched_at IS NOT NULL
		 AND (y.mode = mode_id OR mode_id IS NULL)
		 AND y.matched_at <= after_at
		 AND (y.matched_at, y.hi, y.mode) < (after_at, after_id, after_mode)
		 AND NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = y.hi)
		 AND NOT EXISTS (SELECT FROM rapport.blocked_by AS b WHERE b.person_id = me AND b.other_id = y.hi)
		 ORDER BY y.matched_at DESC, y.hi DESC, y.mode DESC
		 LIMIT size)
		UNION ALL
		(SELECT y.lo, y.mode, y.matched_at, y.conversation_id
		 FROM rapport.pair AS y
		 WHERE y.hi = me
		 AND y.matched_at IS NOT NULL
		 AND (y.mode = mode_id OR mode_id IS NULL)
		 AND y.matched_at <= after_at
		 AND (y.matched_at, y.lo, y.mode) < (after_at, after_id, after_mode)
		 AND NOT EXISTS (SELECT FROM rapport.block AS b WHERE b.person_id = me AND b.other_id = y.lo)
		 AND NOT EXISTS (SELECT FROM rapport.blocked_by AS b WHERE b.person_id = me AND b.other_id = y.lo)
		 ORDER BY y.matched_at DESC, y.lo DESC, y.mode DESC
		 LIMIT size)) AS x
	JOIN rapport.profile AS p ON p.person_id = x.other_id
	JOIN rapport.mode AS m ON m.mode = x.mode
	ORDER BY x.matched_at DESC, x.other_id DESC, x.mode DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.matches(text, integer, text) IS
'My matches, newest first, in one mode or in all (NULL), without anyone blocked either way; in_mode is the mode of each. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: unknown_mode, out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.matches(text, integer, text) TO rapport_user;

CREATE FUNCTION rapport.unmatch(person_id bigint, mode text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	mode_id smallint;
	ended rapport.pair;
	any_ended boolean := false;
BEGIN
	IF unmatch.person_id = me THEN
		PERFORM rapport.fail('self_target');
	END IF;
	IF mode IS NOT NULL THEN
		SELECT m.mode INTO mode_id FROM rapport.mode AS m WHERE m.code = unmatch.mode;
		IF NOT FOUND THEN
			PERFORM rapport.fail('unknown_mode', format('%L is not a mode.', mode));
		END IF;
	END IF;
	PERFORM rapport.lock_two_people(me, unmatch.person_id);
	IF NOT rapport.is_blocked(me, unmatch.person_id) THEN
		FOR ended IN
			UPDATE rapport.pair AS p
			SET matched_at = NULL,
				ended_at = rapport.now()
			WHERE p.lo = least(me, unmatch.person_id)
			AND p.hi = greatest(me, unmatch.person_id)
			AND (p.mode = mode_id OR mode_id IS NULL)
			AND p.matched_at IS NOT NULL
			RETURNING p.*
		LOOP
			any_ended := true;
			PERFORM rapport.run_hooks('unmatched', ARRAY[ended.lo, ended.hi, ended.mode]);
		END LOOP;
	END IF;
	IF NOT any_ended THEN
		PERFORM rapport.fail('not_found');
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.unmatch(bigint, text) IS
'Ends my match with a person in one mode or in all (NULL), for good: neither is shown to the other again. Errors: self_target, not_found, unknown_mode.';
GRANT EXECUTE ON FUNCTION rapport.unmatch(bigint, text) TO rapport_user;

CREATE FUNCTION rapport.likes_received(mode text DEFAULT NULL, page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (person_id bigint, display_name text, age integer, distance_km integer, super_like boolean,
			   liked_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := rapport.match_page_size(page_size);
	mode_id smallint := rapport.match_mode(me, mode);
	my_key rapport.match_key := rapport.match_side(me, mode_id, 1);
	query rapport.match_query := rapport.match_query_see(
		rapport.match_query_for(me, mode_id, my_key, rapport.today(), '{}', weights => '{}'), me, mode_id);
	scope text := format('likes_received %s %s', me, mode_id);
	place text[];
	after_at timestamp with time zone := 'infinity';
	after_id bigint := 0;
BEGIN
	IF after IS NOT NULL THEN
		place := string_to_array(rapport.unseal(scope, after), ' ');
		IF place IS NULL THEN
			PERFORM rapport.fail('invalid_cursor');
		END IF;
		after_at := timestamptz 'epoch' + place[1]::bigint * interval '1 microsecond';
		after_id := place[2];
	END IF;
	RETURN QUERY
	SELECT l.other_id, p.display_name, rapport.person_age(p.birth_date, rapport.today()),
		   rapport.distance_bucket(rapport.match_distance_m(my_key, c.key)), l.super, l.at,
		   rapport.seal(scope, concat_ws(' ', (extract(epoch FROM l.at) * 1000000)::bigint, l.other_id))
	FROM rapport.like_received AS l
	JOIN rapport.candidate AS c ON c.person_id = l.other_id AND c.mode = l.mode
	JOIN rapport.profile AS p ON p.person_id = l.other_id
	WHERE l.person_id = me
	AND l.mode = mode_id
	AND (l.at, l.other_id) < (after_at, after_id)
	AND rapport.match_accepts(c.key, query)
	ORDER BY l.at DESC, l.other_id DESC
	LIMIT size;
END;
$$;
COMMENT ON FUNCTION rapport.likes_received(text, integer, text) IS
'Who likes me in a mode (NULL: the first I take part in) and waits for an answer, newest first: not those I swiped on, nor anyone blocked, gone or beyond a two-way filter of either side. page_size is 1 to 100 (20); after is the cursor of the last row of the page before. Errors: profile_incomplete, mode_not_enabled, unknown_mode, out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.likes_received(text, integer, text) TO rapport_user;

CREATE FUNCTION rapport.pair_set_conversation(lo bigint, hi bigint, mode smallint, conversation_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.pair AS p
	SET conversation_id = pair_set_conversation.conversation_id
	WHERE p.lo = pair_set_conversation.lo
	AND p.hi = pair_set_conversation.hi
	AND p.mode = pair_set_conversation.mode;
END;
$$;
COMMENT ON FUNCTION rapport.pair_set_conversation(bigint, bigint, smallint, bigint) IS
'Notes where a matched pair talks; for the hook of the event matched.';
-- chat: conversations, their messages, and each person's own side of them.

CREATE TABLE rapport.conversation (
	conversation_id bigint PRIMARY KEY,
	kind text NOT NULL,
	last_seq bigint NOT NULL DEFAULT 0,
	created_at timestamp with time zone NOT NULL,
	closed_at timestamp with time zone
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.conversation IS
'A conversation. Its row is the lock that puts sends in order; no mutable column is indexed, so updates stay HOT.';
-- No CHECK on kind: the server would parse it anew for every send.
COMMENT ON COLUMN rapport.conversation.kind IS 'direct: between the two people of a match.';
COMMENT ON COLUMN rapport.conversation.last_seq IS 'The number of the last message: numbers have no gaps, and their order is the order of commits.';
COMMENT ON COLUMN rapport.conversation.closed_at IS
'Since when a block or an unmatch hides the conversation from both; NULL while it is open.';
SELECT pg_catalog.pg_extension_config_dump('rapport.conversation', '');

CREATE TABLE rapport.participant (
	conversation_id bigint NOT NULL REFERENCES rapport.conversation,
	person_id bigint NOT NULL,
	joined_seq bigint NOT NULL DEFAULT 0,
	left_seq bigint,
	PRIMARY KEY (conversation_id, person_id)
);
COMMENT ON TABLE rapport.participant IS 'Who may read and write a conversation; kept beside it, so a send asks nobody else.';
COMMENT ON COLUMN rapport.participant.joined_seq IS 'The last message before this person came: later ones are theirs to read.';
COMMENT ON COLUMN rapport.participant.left_seq IS 'The last message before this person left; NULL for who takes part.';
SELECT pg_catalog.pg_extension_config_dump('rapport.participant', '');

-- No foreign key: the send that writes a row holds the lock of its conversation.
CREATE TABLE rapport.message (
	conversation_id bigint NOT NULL,
	seq bigint NOT NULL,
	sender_id bigint NOT NULL,
	sent_at timestamp with time zone NOT NULL,
	flags integer NOT NULL DEFAULT 0,
	client_id text,
	body text,
	attrs jsonb,
	PRIMARY KEY (conversation_id, seq)
);
COMMENT ON TABLE rapport.message IS
'The messages. Exactly eight columns: a ninth that may be null costs eight bytes a row.';
COMMENT ON COLUMN rapport.message.sent_at IS 'When the transaction of the send began; seq, not this, gives the order.';
COMMENT ON COLUMN rapport.message.client_id IS 'The name the sender''s client gave the message, for retries.';
COMMENT ON COLUMN rapport.message.flags IS 'Bits for kinds of messages; 0 is a text sent by a person.';
COMMENT ON COLUMN rapport.message.body IS 'The text as it was sent, byte for byte; NULL once erased.';
COMMENT ON COLUMN rapport.message.attrs IS 'What an app attaches to a message.';
SELECT pg_catalog.pg_extension_config_dump('rapport.message', '');

CREATE TABLE rapport.message_dedupe (
	conversation_id bigint NOT NULL,
	sender_id bigint NOT NULL,
	client_id text NOT NULL,
	seq bigint NOT NULL,
	body_hash bigint NOT NULL,
	at timestamp with time zone NOT NULL,
	PRIMARY KEY (conversation_id, sender_id, client_id)
);
COMMENT ON TABLE rapport.message_dedupe IS
'What a retried send is recognised by, for the days of the setting message_dedupe_days.';
COMMENT ON COLUMN rapport.message_dedupe.body_hash IS 'A hash of the body, to tell a retry from a client_id used twice.';
-- For the sweep; it costs a send next to nothing.
CREATE INDEX message_dedupe_at ON rapport.message_dedupe USING brin (at);
SELECT pg_catalog.pg_extension_config_dump('rapport.message_dedupe', 'WHERE false');

CREATE TABLE rapport.member (
	person_id bigint NOT NULL,
	conversation_id bigint NOT NULL,
	other_id bigint,
	read_seq bigint NOT NULL DEFAULT 0,
	last_seq bigint NOT NULL DEFAULT 0,
	last_at timestamp with time zone NOT NULL,
	closed boolean NOT NULL DEFAULT false,
	PRIMARY KEY (person_id, conversation_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE rapport.member IS
'A person''s side of a conversation: the inbox is read from here alone. No mutable column is indexed, so updates stay HOT.';
COMMENT ON COLUMN rapport.member.other_id IS 'The other person of a direct conversation; NULL once erased.';
COMMENT ON COLUMN rapport.member.read_seq IS 'The last message read: it only grows.';
COMMENT ON COLUMN rapport.member.last_seq IS 'A copy of the conversation''s, for direct conversations.';
COMMENT ON COLUMN rapport.member.last_at IS 'When the last message was sent; before the first, when the conversation began.';
COMMENT ON COLUMN rapport.member.closed IS 'Whether conversation.closed_at is set.';
SELECT pg_catalog.pg_extension_config_dump('rapport.member', '');
-- chat: functions and built-in rows.

INSERT INTO rapport.error_code (code, status, title, hint) VALUES
	('message_empty', 422, 'the message is empty', 'Send a text with at least one character that is not white space.'),
	('message_too_long', 422, 'the message is too long', 'Split it into messages of at most 8192 bytes in UTF-8.'),
	('client_id_reused', 409, 'the client_id was used for another message', 'Use a new client_id for a new message.');

INSERT INTO rapport.setting_default (name, type, value, minimum, maximum, description) VALUES
	('message_dedupe_days', 'integer', '7', 1, 90, 'Days for which a message sent twice with one client_id is recognised.');

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.message_dedupe', 'retries are short-lived');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.conversation', 'C', 'conversation_id'),
	('rapport.participant', 'C', 'conversation_id'),
	('rapport.message', 'C', 'conversation_id'),
	('rapport.message_dedupe', 'C', 'conversation_id'),
	('rapport.member', 'U', 'person_id');

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason) VALUES
	('rapport.conversation', 'conversation_id', 'none', 'keep', 'a number of its own'),
	('rapport.conversation', 'kind', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'last_seq', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'created_at', 'none', 'keep', 'of the conversation'),
	('rapport.conversation', 'closed_at', 'none', 'keep', 'of the conversation'),
	('rapport.participant', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.participant', 'person_id', 'technical', 'delete', NULL),
	('rapport.participant', 'joined_seq', 'behaviour', 'delete', NULL),
	('rapport.participant', 'left_seq', 'behaviour', 'delete', NULL),
	('rapport.message', 'conversation_id', 'behaviour', 'keep', 'the numbers of a conversation have no gaps'),
	('rapport.message', 'seq', 'none', 'keep', 'the numbers of a conversation have no gaps'),
	('rapport.message', 'sender_id', 'technical', 'keep', 'the id of nobody once the person is erased'),
	('rapport.message', 'sent_at', 'behaviour', 'keep', 'the other side''s conversation keeps its order'),
	('rapport.message', 'client_id', 'technical', 'clear', NULL),
	('rapport.message', 'flags', 'none', 'keep', 'the kind of message'),
	('rapport.message', 'body', 'content', 'clear', NULL),
	('rapport.message', 'attrs', 'content', 'clear', NULL),
	('rapport.message_dedupe', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.message_dedupe', 'sender_id', 'technical', 'delete', NULL),
	('rapport.message_dedupe', 'client_id', 'technical', 'delete', NULL),
	('rapport.message_dedupe', 'seq', 'behaviour', 'delete', NULL),
	('rapport.message_dedupe', 'body_hash', 'content', 'delete', NULL),
	('rapport.message_dedupe', 'at', 'behaviour', 'delete', NULL),
	('rapport.member', 'person_id', 'technical', 'delete', NULL),
	('rapport.member', 'conversation_id', 'behaviour', 'delete', NULL),
	('rapport.member', 'other_id', 'behaviour', 'delete', NULL),
	('rapport.member', 'read_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'last_seq', 'behaviour', 'delete', NULL),
	('rapport.member', 'last_at', 'behaviour', 'delete', NULL);
INSERT INTO rapport.personal_data (tab, col, class, on_erase, withheld) VALUES
	('rapport.member', 'closed', 'behaviour', 'delete', 'would tell who blocks');

INSERT INTO rapport.subject (tab, col, own, find, on_erase) VALUES
	('rapport.participant', 'person_id', true,
	 't.person_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message', 'sender_id', true,
	 't.sender_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.message_dedupe', 'sender_id', true,
	 't.sender_id = ANY ($1) AND t.conversation_id IN (SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', NULL),
	('rapport.member', 'other_id', false,
	 '(t.person_id, t.conversation_id) IN (SELECT m.other_id, m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY ($1))', 'clear');

INSERT INTO rapport.hook_event (event, ids, description) VALUES
	('message_sent', 'conversation_id, seq, sender_id', 'A message was stored; a retry fires nothing.');

-- Sending

CREATE FUNCTION rapport.send_message(conversation_id bigint, client_id text, body text,
	OUT seq bigint, OUT sent_at timestamp with time zone, OUT duplicate boolean)
LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS 'MODULE_PATHNAME', 'chat_send_message';
COMMENT ON FUNCTION rapport.send_message(bigint, text, text) IS
'Sends a text of 1 to 8192 bytes, stored as it is, to a conversation one takes part in. client_id names the message: 1 to 64 visible ASCII characters, new for each one. The same call again within message_dedupe_days stores nothing and returns the first answer with duplicate = true. seq counts the messages of the conversation from 1 without gaps, in the order of commits; sending marks the conversation read up to it. Errors: missing_field, invalid_value (client_id), message_empty (nothing but white space), message_too_long, client_id_reused (409) when it came with another body, not_found for a conversation that is unknown, not one''s own, left, or closed by a block or an unmatch.';
GRANT EXECUTE ON FUNCTION rapport.send_message(bigint, text, text) TO rapport_user;

-- Reading

CREATE FUNCTION rapport.open_conversation(conversation_id bigint, person_id bigint)
RETURNS TABLE (joined_seq bigint, last_seq bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.joined_seq, c.last_seq
	FROM rapport.participant AS p
	JOIN rapport.conversation AS c ON c.conversation_id = p.conversation_id
	WHERE p.conversation_id = open_conversation.conversation_id
	AND p.person_id = open_conversation.person_id
	AND p.left_seq IS NULL
	AND c.closed_at IS NULL;
END;
COMMENT ON FUNCTION rapport.open_conversation(bigint, bigint) IS
'The row of an open conversation the person takes part in: messages after joined_seq are theirs to read. No row otherwise.';

CREATE FUNCTION rapport.messages(conversation_id bigint, page_size integer DEFAULT NULL,
	before_seq bigint DEFAULT NULL, after_seq bigint DEFAULT NULL)
RETURNS TABLE (seq bigint, sender_id bigint, sent_at timestamp with time zone, body text, attrs jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(messages.page_size, 20);
	first_seq bigint;
	last_seq bigint;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	ELSIF messages.before_seq < 1 THEN
		PERFORM rapport.fail('out_of_range', 'before_seq is 1 or more.');
	ELSIF messages.after_seq < 0 THEN
		PERFORM rapport.fail('out_of_range', 'after_seq is 0 or more.');
	END IF;
	SELECT least(greatest(o.joined_seq, messages.after_seq), o.last_seq) + 1, least(o.last_seq, messages.before_seq - 1)
	INTO first_seq, last_seq
	FROM rapport.open_conversation(messages.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	END IF;
	-- Numbers have no gaps, so a page is a range of them.
	IF messages.after_seq IS NOT NULL THEN
		last_seq := least(last_seq, first_seq + size - 1);
	ELSE
		first_seq := greatest(first_seq, last_seq - size + 1);
	END IF;
	RETURN QUERY
	SELECT m.seq, m.sender_id, m.sent_at, m.body, m.attrs
	FROM rapport.message AS m
	WHERE m.conversation_id = messages.conversation_id
	AND m.seq BETWEEN first_seq AND last_seq
	ORDER BY m.seq;
END;
$$;
COMMENT ON FUNCTION rapport.messages(bigint, integer, bigint, bigint) IS
'Messages of a conversation one takes part in, oldest first, page_size (1 to 100, 20 if not given) of them: the newest; or those just before before_seq, to scroll back; or those just after after_seq, to catch up (seq is a resume point that misses nothing), with before_seq as an end if both are given. body is NULL where it was erased. Errors: out_of_range, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.messages(bigint, integer, bigint, bigint) TO rapport_user;

CREATE FUNCTION rapport.conversations(page_size integer DEFAULT NULL, after text DEFAULT NULL)
RETURNS TABLE (conversation_id bigint, kind text, person_id bigint, display_name text, last_seq bigint, read_seq bigint,
			   unread bigint, last_message text, last_at timestamp with time zone, cursor text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	size integer := coalesce(conversations.page_size, 20);
	after_at timestamp with time zone;
	after_id bigint;
BEGIN
	IF size NOT BETWEEN 1 AND 100 THEN
		PERFORM rapport.fail('out_of_range', 'page_size is 1 to 100.');
	END IF;
	-- Microseconds since 1970 and an id, both below 2^53.
	IF conversations.after !~ '^[0-9]{1,16}-[0-9]{1,16}$' THEN
		PERFORM rapport.fail('invalid_cursor');
	END IF;
	after_at := 'epoch'::timestamp with time zone + split_part(conversations.after, '-', 1)::bigint * interval '1 microsecond';
	after_id := split_part(conversations.after, '-', 2)::bigint;
	RETURN QUERY
	SELECT page.conversation_id, c.kind, page.other_id, p.display_name, page.last_seq, page.read_seq,
		page.last_seq - page.read_seq, left(l.body, 200), page.last_at,
		format('%s-%s', (extract(epoch FROM page.last_at) * 1000000)::bigint, page.conversation_id)
	FROM (SELECT m.conversation_id, m.other_id, m.last_seq, m.read_seq, m.last_at
		  FROM rapport.member AS m
		  WHERE m.person_id = me
		  AND NOT m.closed
		  AND (conversations.after IS NULL OR (m.last_at, m.conversation_id) < (after_at, after_id))
		  ORDER BY m.last_at DESC, m.conversation_id DESC
		  LIMIT size) AS page
	JOIN rapport.conversation AS c ON c.conversation_id = page.conversation_id
	LEFT JOIN rapport.profile AS p ON p.person_id = page.other_id
	LEFT JOIN rapport.message AS l ON l.conversation_id = page.conversation_id AND l.seq = page.last_seq
	ORDER BY page.last_at DESC, page.conversation_id DESC;
END;
$$;
COMMENT ON FUNCTION rapport.conversations(integer, text) IS
'One''s open conversations, the one with the newest message first, page_size (1 to 100, 20 if not given) of them after the cursor. person_id and display_name are the other person''s; last_message is up to 200 characters of the last message, NULL while there is none; unread counts the messages after read_seq. One that gets a message between two pages moves to the front. Errors: out_of_range, invalid_cursor.';
GRANT EXECUTE ON FUNCTION rapport.conversations(integer, text) TO rapport_user;

CREATE FUNCTION rapport.mark_read(conversation_id bigint, seq bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	last bigint;
BEGIN
	IF mark_read.seq IS NULL THEN
		PERFORM rapport.fail('missing_field', 'seq is required.');
	END IF;
	SELECT o.last_seq INTO last FROM rapport.open_conversation(mark_read.conversation_id, me) AS o;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found');
	ELSIF mark_read.seq NOT BETWEEN 0 AND last THEN
		PERFORM rapport.fail('out_of_range', format('seq is 0 to %s, the last message.', last));
	END IF;
	UPDATE rapport.member AS m
	SET read_seq = mark_read.seq
	WHERE m.person_id = me
	AND m.conversation_id = mark_read.conversation_id
	AND m.read_seq < mark_read.seq;
	IF FOUND THEN
		PERFORM rapport.event_emit('c:' || mark_read.conversation_id, 'read',
								   jsonb_build_object('person_id', me, 'seq', mark_read.seq));
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.mark_read(bigint, bigint) IS
'Marks the messages of a conversation up to seq as read. The mark only grows: an older seq changes nothing. Errors: missing_field, out_of_range beyond the last message or below 0, not_found for a conversation that is unknown, not one''s own, left or closed.';
GRANT EXECUTE ON FUNCTION rapport.mark_read(bigint, bigint) TO rapport_user;

-- What matching and blocks do to conversations

CREATE FUNCTION rapport.close_conversations(conversation_ids bigint[], closed boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	UPDATE rapport.conversation AS c
	SET closed_at = CASE WHEN close_conversations.closed THEN coalesce(c.closed_at, rapport.now()) END
	WHERE c.conversation_id = ANY (close_conversations.conversation_ids);
	UPDATE rapport.member AS m
	SET closed = close_conversations.closed
	FROM rapport.participant AS p
	WHERE p.conversation_id = ANY (close_conversations.conversation_ids)
	AND m.conversation_id = p.conversation_id
	AND m.person_id = p.person_id
	AND m.closed <> close_conversations.closed;
END;
$$;
COMMENT ON FUNCTION rapport.close_conversations(bigint[], boolean) IS
'Closes conversations, or opens them again: a send that waits for one of them sees it. The caller holds lock_two_people().';

CREATE FUNCTION rapport.chat_matched(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	conversation bigint := rapport.new_id();
BEGIN
	INSERT INTO rapport.conversation (conversation_id, kind, created_at)
	VALUES (conversation, 'direct', rapport.now());
	INSERT INTO rapport.participant (conversation_id, person_id)
	VALUES (conversation, ids[1]), (conversation, ids[2]);
	INSERT INTO rapport.member (person_id, conversation_id, other_id, last_at)
	VALUES (ids[1], conversation, ids[2], rapport.now()), (ids[2], conversation, ids[1], rapport.now());
	PERFORM rapport.pair_set_conversation(ids[1], ids[2], ids[3]::smallint, conversation);
END;
$$;
COMMENT ON FUNCTION rapport.chat_matched(bigint[]) IS 'Hook of "matched": gives the pair a conversation.';

CREATE FUNCTION rapport.chat_unmatched(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = ids[1] AND p.hi = ids[2] AND p.mode = ids[3]), true);
END;
$$;
COMMENT ON FUNCTION rapport.chat_unmatched(bigint[]) IS 'Hook of "unmatched": closes the pair''s conversation.';

CREATE FUNCTION rapport.chat_blocked(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = least(ids[1], ids[2]) AND p.hi = greatest(ids[1], ids[2])), true);
END;
$$;
COMMENT ON FUNCTION rapport.chat_blocked(bigint[]) IS 'Hook of "person_blocked": closes the conversations of the two.';

CREATE FUNCTION rapport.chat_unblocked(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	PERFORM rapport.close_conversations(
		ARRAY(SELECT p.conversation_id
			  FROM rapport.pair AS p
			  WHERE p.lo = least(ids[1], ids[2]) AND p.hi = greatest(ids[1], ids[2])
			  AND p.matched_at IS NOT NULL), false);
END;
$$;
COMMENT ON FUNCTION rapport.chat_unblocked(bigint[]) IS
'Hook of "person_unblocked": opens the conversations of the two again where they still match.';

CREATE FUNCTION rapport.chat_erase(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	deserted bigint[] := ARRAY(SELECT m.conversation_id FROM rapport.member AS m WHERE m.person_id = ANY (ids));
BEGIN
	-- Two who are erased at once take their turns: the second finds nobody left.
	PERFORM FROM rapport.conversation AS c WHERE c.conversation_id = ANY (deserted) ORDER BY c.conversation_id FOR UPDATE;
	deserted := ARRAY(SELECT c FROM unnest(deserted) AS c
					  WHERE NOT EXISTS (SELECT FROM rapport.participant AS p
										WHERE p.conversation_id = c
										AND p.person_id <> ALL (ids)));
	DELETE FROM rapport.message AS m WHERE m.conversation_id = ANY (deserted);
	DELETE FROM rapport.message_dedupe AS d WHERE d.conversation_id = ANY (deserted);
	DELETE FROM rapport.participant AS p WHERE p.conversation_id = ANY (deserted);
	DELETE FROM rapport.conversation AS c WHERE c.conversation_id = ANY (deserted);
END;
$$;
COMMENT ON FUNCTION rapport.chat_erase(bigint[]) IS
'Hook of "person_erased": deletes the conversations in which nobody is left. In the others the messages keep their numbers, without what was said; the other side''s stay. The rows go as rapport.subject says.';

INSERT INTO rapport.hook (event, ord, call, builtin) VALUES
	('matched', 100, 'rapport.chat_matched(bigint[])', true),
	('unmatched', 100, 'rapport.chat_unmatched(bigint[])', true),
	('person_blocked', 100, 'rapport.chat_blocked(bigint[])', true),
	('person_unblocked', 100, 'rapport.chat_unblocked(bigint[])', true),
	('person_erased', 200, 'rapport.chat_erase(bigint[])', true);

-- Maintenance

CREATE FUNCTION rapport.chat_sweep(batch integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	gone bigint;
BEGIN
	DELETE FROM rapport.message_dedupe AS d
	WHERE d.ctid = ANY (ARRAY(
		SELECT old.ctid
		FROM rapport.message_dedupe AS old
		WHERE old.at < rapport.now() - make_interval(days => rapport.setting_int('message_dedupe_days'))
		LIMIT chat_sweep.batch
		FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS gone = ROW_COUNT;
	RETURN gone;
END;
$$;
COMMENT ON FUNCTION rapport.chat_sweep(integer) IS
'Forgets up to batch message names older than the setting message_dedupe_days; the number forgotten. For a maintenance job: call it until it returns 0.';
GRANT EXECUTE ON FUNCTION rapport.chat_sweep(integer) TO rapport_service;
-- privacy: erasing people and exporting what is held about them, generated from
-- rapport.personal_data (what a column is) and rapport.subject (whose a row is).

-- ANALYZE copies values of columns into the statistics, where no erasing finds them.

CREATE FUNCTION rapport.sampled_text() RETURNS TABLE (tab regclass, col name)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT p.tab, p.col
	FROM rapport.personal_data AS p
	JOIN pg_attribute AS a ON a.attrelid = p.tab AND a.attname = p.col
	WHERE p.class <> 'none'
	AND a.atttypid IN ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
	AND a.attstattarget IS DISTINCT FROM 0
	AND NOT EXISTS (SELECT FROM pg_constraint AS k
					WHERE k.conrelid = p.tab
					AND k.contype = 'c'
					AND k.conkey = ARRAY[a.attnum]
					AND pg_get_constraintdef(k.oid) ~ $$ = (ANY|'[a-z]+'::text)$$);
END;
COMMENT ON FUNCTION rapport.sampled_text() IS
'The columns of people''s texts, but for those with a fixed list of values, that ANALYZE would sample.';

DO $$
DECLARE
	text_column record;
BEGIN
	FOR text_column IN SELECT c.tab, c.col FROM rapport.sampled_text() AS c
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', text_column.tab, text_column.col);
	END LOOP;
END;
$$;

-- Erasing

CREATE FUNCTION rapport.erase_statements() RETURNS TABLE (ord integer, tab regclass, col name, statement text)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.ord, s.tab, s.col,
		   CASE coalesce(s.on_erase, c.on_erase)
			   WHEN 'delete' THEN format('DELETE FROM %s AS t WHERE %s', s.tab, s.find)
			   WHEN 'clear' THEN format('UPDATE %s AS t SET %s WHERE %s', s.tab,
										CASE WHEN s.own THEN c.assignments ELSE format('%I = NULL', s.col) END, s.find)
		   END
	FROM rapport.subjects() AS s
	CROSS JOIN LATERAL (
		SELECT min(p.on_erase) FILTER (WHERE p.on_erase <> 'keep') AS on_erase,
			   string_agg(format('%I = NULL', p.col), ', ' ORDER BY p.col) FILTER (WHERE p.on_erase = 'clear') AS assignments
		FROM rapport.personal_data AS p
		WHERE p.tab = s.tab
	) AS c
	WHERE coalesce(s.on_erase, c.on_erase) IN ('delete', 'clear');
END;
COMMENT ON FUNCTION rapport.erase_statements() IS
'The statements that erase the people $1 (bigint[]), to be run in the order of ord, tab, col.';

-- One person's rows among those of millions: the indexes serve, whatever the statistics say.
CREATE FUNCTION rapport.erase_people(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
	statement text;
BEGIN
	-- An older snapshot hides what is to be erased.
	IF pg_catalog.current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		PERFORM rapport.fail('internal', 'Erasing people needs the isolation level read committed.');
	END IF;
	-- Whoever writes as them or about them has committed now, or will find them gone.
	PERFORM rapport.hold_person(x.id, true) FROM (SELECT i.id FROM unnest(ids) AS i (id) ORDER BY i.id) AS x;
	PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(rapport.mac('sign_in', x.email), 0))
	FROM (SELECT e.email FROM rapport.email AS e WHERE e.person_id = ANY (ids) ORDER BY e.email) AS x;
	PERFORM FROM rapport.person AS p WHERE p.person_id = ANY (ids) ORDER BY p.person_id FOR UPDATE;
	PERFORM rapport.run_hooks('person_erased', ids);
	FOR statement IN
		SELECT s.statement FROM rapport.erase_statements() AS s ORDER BY s.ord, s.tab::text COLLATE "C", s.col
	LOOP
		EXECUTE statement USING ids;
	END LOOP;
END;
$$;
COMMENT ON FUNCTION rapport.erase_people(bigint[]) IS
'Erases people: runs the hooks of person_erased, then does to every row that is theirs or names them what rapport.personal_data and rapport.subject say. Their sessions end with the commit. Errors: not_found, internal above read committed.';

CREATE FUNCTION rapport.delete_my_account(password text, OUT refusal text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	subject text;
	hash text;
BEGIN
	IF delete_my_account.password IS NULL THEN
		PERFORM rapport.fail('missing_field', 'password');
	END IF;
	-- Before the lock of signing in, in the order of everybody who takes both.
	PERFORM rapport.hold_person(me, true);
	subject := rapport.mac('sign_in', coalesce((SELECT e.email FROM rapport.email AS e WHERE e.person_id = me), 'person ' || me));
	PERFORM pg_advisory_xact_lock(hashtextextended(subject, 0));
	SELECT c.password_hash INTO hash FROM rapport.credential AS c WHERE c.person_id = me;
	refusal := replace(rapport.try_password(subject, hash, delete_my_account.password), 'invalid_credentials', 'wrong_password');
	IF refusal IS NULL THEN
		PERFORM rapport.erase_people(ARRAY[me]);
	END IF;
END;
$$;
COMMENT ON FUNCTION rapport.delete_my_account(text) IS
'Erases my account at once and for good, confirmed by my password: profile, place, likes, blocks, what I wrote, and every session. Matches end and their conversations close; the messages of the others stay theirs, mine lose their text. People without a password are erased by the app, with erase_person_for(). refusal is wrong_password or too_many_attempts. Errors: authentication_required, missing_field.';
GRANT EXECUTE ON FUNCTION rapport.delete_my_account(text) TO rapport_user;

CREATE FUNCTION rapport.erase_person_for(person_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	IF erase_person_for.person_id IS NULL THEN
		PERFORM rapport.fail('missing_field', 'person_id');
	END IF;
	PERFORM rapport.erase_people(ARRAY[erase_person_for.person_id]);
END;
$$;
COMMENT ON FUNCTION rapport.erase_person_for(bigint) IS
'Erases a person as delete_my_account() does, without asking for a password. For back ends. Errors: missing_field, not_found.';
GRANT EXECUTE ON FUNCTION rapport.erase_person_for(bigint) TO rapport_service;

CREATE FUNCTION rapport.scrub_table(tab regclass) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'privacy_scrub_table';
COMMENT ON FUNCTION rapport.scrub_table(regclass) IS
'scrub() for one table with its B-tree and GiST indexes and what it stores out of line.';

CREATE FUNCTION rapport.scrub(tab regclass DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN (SELECT coalesce(sum(rapport.scrub_table(s.tab)), 0)
			FROM (SELECT DISTINCT x.tab FROM rapport.subjects() AS x ORDER BY x.tab) AS s
			WHERE scrub.tab IS NULL OR s.tab = scrub.tab);
END;
$$;
COMMENT ON FUNCTION rapport.scrub(regclass) IS
'Overwrites the bytes of erased rows that VACUUM leaves in the free space of the pages of a table about people, or of all of them (NULL); the pages cleared. VACUUM first. Reads and writes go on meanwhile; every page cleared is written to the log in full. For a maintenance job.';
GRANT EXECUTE ON FUNCTION rapport.scrub(regclass) TO rapport_service;

-- Exporting

CREATE FUNCTION rapport.export_value(col name, type oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT format(
		CASE y.typname
			WHEN 'geography' THEN
				'CASE WHEN t.%1$I IS NOT NULL THEN pg_catalog.jsonb_build_object('
				'''latitude'', rapport.place_latitude(t.%1$I), ''longitude'', rapport.place_longitude(t.%1$I)) END'
			WHEN 'match_key' THEN 'rapport.match_key_parts(t.%1$I)'
			ELSE 't.%1$I'
		END, export_value.col)
	FROM pg_type AS y
	WHERE y.oid = export_value.type;
END;
COMMENT ON FUNCTION rapport.export_value(name, oid) IS
'The expression that gives a column of a row t in a form other programs can read: types of our own and places as objects.';

CREATE FUNCTION rapport.export_statements() RETURNS TABLE (tab regclass, statement text)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT s.tab,
		   format('SELECT coalesce(pg_catalog.jsonb_agg(x.r ORDER BY x.r), ''[]'') FROM (%s) AS x',
				  string_agg(format('SELECT pg_catalog.jsonb_build_object(%s) AS r FROM %s AS t WHERE %s', c.members, s.tab, s.find),
							 ' UNION ' ORDER BY s.col))
	FROM rapport.subjects() AS s
	CROSS JOIN LATERAL (
		SELECT string_agg(format('%L, %s', p.col, coalesce(p.export_as, rapport.export_value(p.col, a.atttypid))), ', ' ORDER BY a.attnum) AS members
		FROM rapport.personal_data AS p
		JOIN pg_attribute AS a ON a.attrelid = p.tab AND a.attname = p.col
		WHERE p.tab = s.tab
		AND p.class NOT IN ('none', 'credential')
		AND p.withheld IS NULL
	) AS c
	WHERE s.own
	AND c.members IS NOT NULL
	GROUP BY s.tab;
END;
COMMENT ON FUNCTION rapport.export_statements() IS
'For each table with personal data, the statement that gives the rows of the people $1 (bigint[]) as a JSON array.';

CREATE FUNCTION rapport.export_my_data() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
DECLARE
	me bigint := rapport.acting_person();
	data jsonb := '{}';
	part record;
	held jsonb;
BEGIN
	FOR part IN
		SELECT c.relname, s.statement
		FROM rapport.export_statements() AS s
		JOIN pg_class AS c ON c.oid = s.tab
	LOOP
		EXECUTE part.statement INTO held USING ARRAY[me];
		data := data || jsonb_build_object(part.relname, held);
	END LOOP;
	RETURN jsonb_build_object(
		'person_id', me,
		'exported_at', rapport.now(),
		'profile', (SELECT to_jsonb(p) FROM rapport.my_profile() AS p),
		'data', data,
		'left_out', (
			SELECT jsonb_agg(jsonb_build_object('table', c.relname, 'column', p.col, 'reason', coalesce(p.withheld, 'a secret'))
							 ORDER BY c.relname, p.col)
			FROM rapport.personal_data AS p
			JOIN pg_class AS c ON c.oid = p.tab
			WHERE (p.class = 'credential' OR p.withheld IS NOT NULL)
			AND EXISTS (SELECT FROM rapport.subjects() AS s WHERE s.tab = p.tab AND s.own)));
END;
$$;
COMMENT ON FUNCTION rapport.export_my_data() IS
'Everything that is held about me: data has an array of rows for each table, with the columns that rapport.personal_data classifies; profile is what my_profile() says, with codes instead of numbers; left_out names the columns that are kept back, secrets such as the hash of the password among them, and why. Errors: authentication_required.';
GRANT EXECUTE ON FUNCTION rapport.export_my_data() TO rapport_user;
-- rest: the route table, from which the front and the OpenAPI document are made.

CREATE TABLE rapport.route (
	method text NOT NULL CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
	path text NOT NULL CHECK (path ~ '^(/([a-z0-9._-]+|\{[a-z_]+\}))+$'),
	call text NOT NULL,
	role text NOT NULL CHECK (role IN ('anon', 'user', 'moderator', 'admin')),
	lane text NOT NULL CHECK (lane IN ('read', 'write', 'heavy')),
	timeout_ms integer NOT NULL DEFAULT 5000 CHECK (timeout_ms BETWEEN 1 AND 600000),
	success integer NOT NULL CHECK (success BETWEEN 200 AND 204),
	tag text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	PRIMARY KEY (method, path)
);
COMMENT ON TABLE rapport.route IS
'The REST surface: a path, and the function that answers it. Arguments and types come from the catalogue, texts from COMMENT ON FUNCTION.';
COMMENT ON COLUMN rapport.route.call IS 'schema.function as text: pg_upgrade refuses columns of type regproc.';
COMMENT ON COLUMN rapport.route.path IS 'A segment in braces is the argument of that name.';
COMMENT ON COLUMN rapport.route.role IS 'The least role that may call it; the function is granted to rapport_<role>.';
COMMENT ON COLUMN rapport.route.lane IS 'Which connections serve it: read (read-only transactions), write, heavy (may take long).';
COMMENT ON COLUMN rapport.route.success IS 'The HTTP status of an answer with a body; without one it is 204.';
SELECT pg_catalog.pg_extension_config_dump('rapport.route', 'WHERE NOT builtin');
-- rest: from the route table to statements and to OpenAPI.

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.route', 'built-in rows are made by the install script');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.route', 'R', NULL);

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'catalogue of the extension'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'rapport.route'::regclass
AND a.attnum > 0
AND NOT a.attisdropped;

DELETE FROM rapport.route WHERE builtin;

CREATE FUNCTION rapport.api_version() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'rapport');
END;
$$;
COMMENT ON FUNCTION rapport.api_version() IS
'The version of the installed extension; the front serves only the minor versions next to its own.';
GRANT EXECUTE ON FUNCTION rapport.api_version() TO rapport_api, rapport_anon;

CREATE FUNCTION rapport.error_codes() RETURNS TABLE (code text, status integer, title text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT e.code, e.status, e.title, e.hint
	FROM rapport.error_code AS e
	ORDER BY e.code;
END;
$$;
COMMENT ON FUNCTION rapport.error_codes() IS
'The registry of errors: the stable code, its HTTP status, title and hint.';
GRANT EXECUTE ON FUNCTION rapport.error_codes() TO rapport_api, rapport_anon;

CREATE FUNCTION rapport.route_arguments(method text, path text, call oid)
RETURNS TABLE (ord integer, name text, place text, type text, required boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT a.ord::integer,
		   a.name,
		   CASE WHEN route_arguments.path LIKE '%{' || a.name || '}%' THEN 'path'
				WHEN a.name = 'body' AND a.type = 'jsonb'::regtype THEN 'whole'
				WHEN route_arguments.method IN ('GET', 'DELETE') THEN 'query'
				ELSE 'body'
		   END,
		   format_type(a.type, NULL),
		   a.ord <= p.pronargs - p.pronargdefaults
	FROM pg_proc AS p
	CROSS JOIN LATERAL (
		SELECT x.type, x.name, row_number() OVER (ORDER BY x.n) AS ord
		FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes)
			WITH ORDINALITY AS x (type, name, mode, n)
		WHERE coalesce(x.mode, 'i') IN ('i', 'b')
	) AS a
	WHERE p.oid = route_arguments.call;
END;
COMMENT ON FUNCTION rapport.route_arguments(text, text, oid) IS
'The arguments of a route''s function in order, and where a request carries each: path, query, body (a member of the JSON object) or whole (the JSON object itself).';

CREATE FUNCTION rapport.route_columns(call oid)
RETURNS TABLE (ord integer, name text, type oid)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT (row_number() OVER (ORDER BY a.n))::integer, a.name, a.type
	FROM pg_proc AS p
	CROSS JOIN LATERAL unnest(p.proallargtypes, p.proargnames, p.proargmodes) WITH ORDINALITY AS a (type, name, mode, n)
	WHERE p.oid = route_columns.call
	AND a.mode IN ('o', 't', 'b');
END;
COMMENT ON FUNCTION rapport.route_columns(oid) IS
'The result columns of a route''s function: OUT arguments or the columns of RETURNS TABLE; none for void and scalars.';

CREATE FUNCTION rapport.route_shape(call oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN p.proretset THEN 'items'
				WHEN p.prorettype = 'void'::regtype THEN 'nothing'
				WHEN EXISTS (SELECT FROM rapport.route_columns(p.oid) AS c WHERE c.name <> 'refusal') THEN 'object'
				WHEN EXISTS (SELECT FROM rapport.route_columns(p.oid)) THEN 'nothing'
				ELSE 'value'
		   END
	FROM pg_proc AS p
	WHERE p.oid = route_shape.call;
END;
COMMENT ON FUNCTION rapport.route_shape(oid) IS
'How the result is sent: nothing (204; it may refuse), object (OUT arguments), items (a set; paged where it has a column cursor), value (JSON as it is).';

CREATE FUNCTION rapport.route_statement(method text, path text, call oid) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	arguments text;
	page_size text;
	columns text;
	members text;
	paged boolean;
	refuses boolean;
	source text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.format('%I => $%s::%s', a.name, a.ord, a.type), ', ' ORDER BY a.ord),
		   pg_catalog.min(pg_catalog.format('$%s', a.ord)) FILTER (WHERE a.name = 'page_size')
	INTO arguments, page_size
	FROM rapport.route_arguments(method, path, call) AS a;

	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', ' ORDER BY c.ord),
		   pg_catalog.string_agg(pg_catalog.format('%L, r.%I', c.name, c.name), ', ' ORDER BY c.ord)
				FILTER (WHERE c.name NOT IN ('cursor', 'refusal')),
		   pg_catalog.bool_or(c.name = 'cursor'),
		   pg_catalog.bool_or(c.name = 'refusal')
	INTO columns, members, paged, refuses
	FROM rapport.route_columns(call) AS c;

	SELECT pg_catalog.format('%I.%I(%s) AS r', n.nspname, p.proname, arguments) INTO source
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
	WHERE p.oid = call;
	CASE rapport.route_shape(call)
	WHEN 'nothing' THEN
		RETURN pg_catalog.format('SELECT NULL::text AS body, %s AS refusal FROM %s', CASE WHEN refuses THEN 'r' ELSE 'NULL::text' END, source);
	WHEN 'value' THEN
		RETURN pg_catalog.format('SELECT pg_catalog.to_json(r)::text AS body, NULL::text AS refusal FROM %s', source);
	WHEN 'object' THEN
		RETURN pg_catalog.format('SELECT pg_catalog.json_build_object(%s)::text AS body, %s AS refusal FROM %s(%s)',
								 members, CASE WHEN refuses THEN 'r.refusal' ELSE 'NULL::text' END, source, columns);
	WHEN 'items' THEN
		-- A full page may have a next one: its cursor is that of the last row.
		RETURN pg_catalog.format('SELECT pg_catalog.json_build_object(''items'', coalesce(pg_catalog.json_agg('
								 'pg_catalog.json_build_object(%s)), ''[]''::json)%s)::text AS body, NULL::text AS refusal FROM %s(%s)',
								 members,
								 CASE WHEN paged THEN
									 pg_catalog.format(', ''next_cursor'', CASE WHEN pg_catalog.count(*) >= coalesce(%s::integer, 20)'
													   ' THEN (pg_catalog.array_agg(r.cursor))[pg_catalog.count(*)] END', page_size)
								 ELSE '' END,
								 source, columns);
	END CASE;
END;
$$;
COMMENT ON FUNCTION rapport.route_statement(text, text, oid) IS
'The statement that answers a route: parameters $1 to $n in the order of route_arguments(), one row (body, refusal); body is JSON text or NULL for none.';

CREATE FUNCTION rapport.routes()
RETURNS TABLE (method text, path text, operation text, role text, lane text, read_only boolean, timeout_ms integer,
			   success integer, params jsonb, statement text, statement_once text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT r.method, r.path, p.proname::text, r.role, r.lane, r.method = 'GET', r.timeout_ms, r.success,
		   a.params, s.statement,
		   -- The answer to a retry is read before, and stored with, the write.
		   CASE WHEN r.method <> 'GET' AND r.role <> 'anon'
					 AND NOT EXISTS (SELECT FROM rapport.route_columns(p.oid) AS c WHERE c.name = 'refusal') THEN
			   format('SELECT coalesce(rapport.replay($%1$s::text, $%2$s::text), rapport.remember($%1$s::text, $%2$s::text, '
					  '(SELECT s.body FROM (%3$s) AS s))) AS body, NULL::text AS refusal',
					  a.n + 1, a.n + 2, s.statement)
		   END
	FROM rapport.route AS r
	JOIN pg_namespace AS n ON n.nspname = (parse_ident(r.call))[1]
	JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = (parse_ident(r.call))[2]
	CROSS JOIN LATERAL (
		SELECT count(*)::integer AS n,
			   coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'in', x.place, 'type', x.type, 'required', x.required)
								  ORDER BY x.ord), '[]') AS params
		FROM rapport.route_arguments(r.method, r.path, p.oid) AS x
	) AS a
	CROSS JOIN LATERAL (SELECT rapport.route_statement(r.method, r.path, p.oid) AS statement) AS s
	ORDER BY r.path, r.method;
END;
$$;
COMMENT ON FUNCTION rapport.routes() IS
'All that a front needs to serve the routes: the parameters of each and the statement that answers it. statement_once takes two more: the idempotency key and the canonical text of the request; an empty body then stands for none.';
GRANT EXECUTE ON FUNCTION rapport.routes() TO rapport_api;

CREATE FUNCTION rapport.add_route(method text, path text, call regproc, role text DEFAULT 'user',
											 lane text DEFAULT NULL, timeout_ms integer DEFAULT 5000,
											 success integer DEFAULT 200, tag text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	missing text;
BEGIN
	SELECT m[1] INTO missing
	FROM pg_catalog.regexp_matches(add_route.path, '\{([a-z_]+)\}', 'g') AS m
	WHERE NOT EXISTS (SELECT FROM rapport.route_arguments(add_route.method, add_route.path, add_route.call) AS a
					  WHERE a.name = m[1]);
	IF FOUND THEN
		PERFORM rapport.fail('invalid_value', pg_catalog.format('%s has no argument %I.', add_route.call, missing));
	END IF;
	IF NOT pg_catalog.has_function_privilege('rapport_' || add_route.role, add_route.call, 'EXECUTE') THEN
		PERFORM rapport.fail('forbidden', pg_catalog.format('%s is not granted to rapport_%s.', add_route.call, add_route.role));
	END IF;
	-- The front prepares statements before it takes on the caller's role.
	SELECT pg_catalog.string_agg(r, ', ') INTO missing
	FROM pg_catalog.unnest(ARRAY['rapport_api', 'rapport_' || add_route.role]) AS r,
		 pg_catalog.pg_proc AS p
	WHERE p.oid = add_route.call
	AND NOT pg_catalog.has_schema_privilege(r, p.pronamespace, 'USAGE');
	IF missing IS NOT NULL THEN
		PERFORM rapport.fail('forbidden', pg_catalog.format('The schema of %s may not be used by %s.', add_route.call, missing));
	END IF;
	INSERT INTO rapport.route (method, path, call, role, lane, timeout_ms, success, tag)
	SELECT add_route.method, add_route.path, pg_catalog.format('%I.%I', n.nspname, p.proname), add_route.role,
		   coalesce(add_route.lane, CASE add_route.method WHEN 'GET' THEN 'read' ELSE 'write' END),
		   add_route.timeout_ms, add_route.success, add_route.tag
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
	WHERE p.oid = add_route.call;
END;
$$;
COMMENT ON FUNCTION rapport.add_route(text, text, regproc, text, text, integer, integer, text) IS
'Adds an app''s own route: a function outside this extension, the only one of its name there, granted to rapport_<role>, in a schema that rapport_<role> and rapport_api may use. For superusers. Errors: invalid_value when the path names no argument, forbidden when a grant is missing.';

-- OpenAPI

CREATE FUNCTION rapport.openapi_type(type oid) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE
		WHEN t.typcategory = 'A' THEN
			jsonb_build_object('type', 'array', 'items', CASE t.typelem
				WHEN 'text'::regtype THEN '{"type": "string"}'::jsonb
				WHEN 'bigint'::regtype THEN '{"type": "integer", "format": "int64"}'
				WHEN 'integer'::regtype THEN '{"type": "integer", "format": "int32"}'
				ELSE '{"type": "number"}' END)
		ELSE CASE t.oid
			WHEN 'bigint'::regtype THEN '{"type": "integer", "format": "int64"}'::jsonb
			WHEN 'integer'::regtype THEN '{"type": "integer", "format": "int32"}'
			WHEN 'smallint'::regtype THEN '{"type": "integer"}'
			WHEN 'double precision'::regtype THEN '{"type": "number", "format": "double"}'
			WHEN 'real'::regtype THEN '{"type": "number", "format": "float"}'
			WHEN 'boolean'::regtype THEN '{"type": "boolean"}'
			WHEN 'date'::regtype THEN '{"type": "string", "format": "date"}'
			WHEN 'timestamp with time zone'::regtype THEN '{"type": "string", "format": "date-time"}'
			WHEN 'jsonb'::regtype THEN '{}'
			ELSE '{"type": "string"}' END
		END
	FROM pg_type AS t
	WHERE t.oid = openapi_type.type;
END;
COMMENT ON FUNCTION rapport.openapi_type(oid) IS 'The JSON schema of a PostgreSQL type.';

CREATE FUNCTION rapport.openapi_answer(call oid) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE rapport.route_shape(openapi_answer.call)
		WHEN 'object' THEN c.object
		WHEN 'items' THEN
			jsonb_build_object('type', 'object', 'required', jsonb_build_array('items'), 'properties',
				jsonb_build_object('items', jsonb_build_object('type', 'array', 'items', c.object))
				|| CASE WHEN c.paged THEN
					'{"next_cursor": {"type": ["string", "null"], "description": "Pass it as after for the next page; null when there is none."}}'::jsonb
				   ELSE '{}' END)
		ELSE '{}'
	END
	FROM (
		SELECT jsonb_build_object('type', 'object', 'properties',
				   coalesce(jsonb_object_agg(x.name, rapport.openapi_type(x.type)) FILTER (WHERE x.name NOT IN ('cursor', 'refusal')), '{}')) AS object,
			   coalesce(bool_or(x.name = 'cursor'), false) AS paged
		FROM rapport.route_columns(openapi_answer.call) AS x
	) AS c;
END;
COMMENT ON FUNCTION rapport.openapi_answer(oid) IS 'The JSON schema of the answer of a route''s function.';

CREATE FUNCTION rapport.openapi_operation(method text, path text) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT jsonb_build_object(
			'operationId', p.proname,
			'tags', jsonb_build_array(r.tag),
			'summary', substring(d.text from '^[^.:;]*'),
			'description', d.text,
			'parameters', a.parameters,
			'responses', jsonb_build_object('default', '{"$ref": "#/components/responses/problem"}'::jsonb)
				|| CASE rapport.route_shape(p.oid)
					WHEN 'nothing' THEN '{"204": {"description": "Done."}}'::jsonb
					ELSE jsonb_build_object(r.success::text, jsonb_build_object('description', 'The answer.',
						'content', jsonb_build_object('application/json', jsonb_build_object('schema', rapport.openapi_answer(p.oid)))))
				   END)
		|| CASE WHEN a.body IS NULL THEN '{}'::jsonb
			ELSE jsonb_build_object('requestBody', jsonb_build_object('required', true,
				'content', jsonb_build_object('application/json', jsonb_build_object('schema', a.body)))) END
		|| CASE WHEN r.role = 'anon' THEN '{"security": []}'::jsonb ELSE '{}' END
	FROM rapport.route AS r
	JOIN pg_namespace AS n ON n.nspname = (parse_ident(r.call))[1]
	JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = (parse_ident(r.call))[2]
	CROSS JOIN LATERAL (SELECT coalesce(obj_description(p.oid, 'pg_proc'), '') AS text) AS d
	CROSS JOIN LATERAL (
		SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'in', x.place, 'required', x.place = 'path' OR x.required,
													 'schema', x.schema) ORDER BY x.ord)
						FILTER (WHERE x.place IN ('path', 'query')), '[]')
			   || CASE WHEN r.method <> 'GET' AND r.role <> 'anon' THEN
					'[{"$ref": "#/components/parameters/idempotency_key"}]'::jsonb ELSE '[]' END AS parameters,
			   CASE WHEN bool_or(x.place = 'whole') THEN '{"type": "object"}'::jsonb
					WHEN bool_or(x.place = 'body') THEN
						jsonb_build_object('type', 'object', 'additionalProperties', false,
							'required', coalesce(jsonb_agg(x.name ORDER BY x.ord) FILTER (WHERE x.place = 'body' AND x.required), '[]'),
							'properties', jsonb_object_agg(x.name, x.schema) FILTER (WHERE x.place = 'body'))
			   END AS body
		FROM (
			SELECT b.*, rapport.openapi_type(b.type::regtype) AS schema
			FROM rapport.route_arguments(r.method, r.path, p.oid) AS b
		) AS x
	) AS a
	WHERE r.method = openapi_operation.method
	AND r.path = openapi_operation.path;
END;
COMMENT ON FUNCTION rapport.openapi_operation(text, text) IS 'The OpenAPI operation object of one route.';

CREATE FUNCTION rapport.openapi() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN jsonb_build_object(
		'openapi', '3.1.0',
		'info', jsonb_build_object('title', 'Rapport', 'version', rapport.api_version(),
								   'description', obj_description('rapport'::regnamespace, 'pg_namespace')),
		'security', '[{"access_token": []}]'::jsonb,
		'paths', (
			SELECT coalesce(jsonb_object_agg(x.path, x.operations), '{}')
			FROM (
				SELECT r.path, jsonb_object_agg(lower(r.method), rapport.openapi_operation(r.method, r.path)) AS operations
				FROM rapport.route AS r
				GROUP BY r.path
			) AS x),
		'components', jsonb_build_object(
			'securitySchemes', '{"access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}'::jsonb,
			'parameters', '{"idempotency_key": {"name": "Idempotency-Key", "in": "header", "required": false,
				"description": "Send the same key when you repeat a request: the first answer comes back and nothing is done twice.",
				"schema": {"type": "string", "maxLength": 200}}}'::jsonb,
			'responses', '{"problem": {"description": "An error as problem details (RFC 9457).", "content":
				{"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}}}'::jsonb,
			'schemas', jsonb_build_object('problem', jsonb_build_object(
				'type', 'object',
				'required', '["type", "title", "status", "code"]'::jsonb,
				'properties', jsonb_build_object(
					'type', '{"type": "string"}'::jsonb,
					'title', '{"type": "string"}'::jsonb,
					'status', '{"type": "integer"}'::jsonb,
					'detail', '{"type": "string"}'::jsonb,
					'hint', '{"type": "string"}'::jsonb,
					'request_id', '{"type": "string"}'::jsonb,
					'code', jsonb_build_object('type', 'string', 'enum',
						(SELECT jsonb_agg(e.code ORDER BY e.code) FROM rapport.error_code AS e)))))));
END;
$$;
COMMENT ON FUNCTION rapport.openapi() IS 'The OpenAPI 3.1 document of all routes, made from the route table, the catalogue and the comments.';
GRANT EXECUTE ON FUNCTION rapport.openapi() TO rapport_api, rapport_anon;
-- The whole REST surface on one page. Arguments and texts come from the functions.

INSERT INTO rapport.route (method, path, call, role, lane, success, tag, builtin) VALUES
	('GET', '/v1/errors', 'rapport.error_codes', 'anon', 'read', 200, 'service', true),

	('POST', '/v1/sign-up', 'rapport.sign_up', 'anon', 'heavy', 200, 'account', true),
	('POST', '/v1/sign-in', 'rapport.sign_in', 'anon', 'heavy', 200, 'account', true),
	('POST', '/v1/sessions/refresh', 'rapport.refresh_session', 'anon', 'write', 200, 'account', true),
	('GET', '/v1/sessions', 'rapport.sessions', 'user', 'read', 200, 'account', true),
	('DELETE', '/v1/sessions/current', 'rapport.sign_out', 'user', 'write', 200, 'account', true),
	('DELETE', '/v1/sessions/{session_id}', 'rapport.revoke_session', 'user', 'write', 200, 'account', true),
	('GET', '/v1/account', 'rapport.my_account', 'user', 'read', 200, 'account', true),
	('PUT', '/v1/account/password', 'rapport.change_password', 'user', 'heavy', 200, 'account', true),

	('GET', '/v1/attributes', 'rapport.attributes', 'anon', 'read', 200, 'profile', true),
	('GET', '/v1/me', 'rapport.my_profile', 'user', 'read', 200, 'profile', true),
	('PATCH', '/v1/me', 'rapport.update_profile', 'user', 'write', 200, 'profile', true),
	('PUT', '/v1/me/place', 'rapport.set_place', 'user', 'write', 200, 'profile', true),
	('PUT', '/v1/me/preferences/{mode}', 'rapport.set_preference', 'user', 'write', 200, 'profile', true),

	('GET', '/v1/blocks', 'rapport.blocks', 'user', 'read', 200, 'safety', true),
	('PUT', '/v1/blocks/{person_id}', 'rapport.block', 'user', 'write', 200, 'safety', true),
	('DELETE', '/v1/blocks/{person_id}', 'rapport.unblock', 'user', 'write', 200, 'safety', true),

	('GET', '/v1/discover', 'rapport.discover', 'user', 'read', 200, 'match', true),
	('GET', '/v1/people/{person_id}', 'rapport.person', 'user', 'read', 200, 'match', true),
	('GET', '/v1/people/{person_id}/match', 'rapport.explain_match', 'user', 'read', 200, 'match', true),
	('POST', '/v1/people/{person_id}/like', 'rapport.like', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/super-like', 'rapport.super_like', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/pass', 'rapport.pass', 'user', 'write', 200, 'match', true),
	('POST', '/v1/people/{person_id}/maybe', 'rapport.maybe', 'user', 'write', 200, 'match', true),
	('POST', '/v1/rewind', 'rapport.rewind', 'user', 'write', 200, 'match', true),
	('GET', '/v1/quotas', 'rapport.quotas', 'user', 'read', 200, 'match', true),
	('GET', '/v1/likes', 'rapport.likes_received', 'user', 'read', 200, 'match', true),
	('GET', '/v1/matches', 'rapport.matches', 'user', 'read', 200, 'match', true),
	('DELETE', '/v1/matches/{person_id}', 'rapport.unmatch', 'user', 'write', 200, 'match', true),

	('GET', '/v1/admin/scoring-profiles', 'rapport.scoring_profiles', 'admin', 'read', 200, 'admin', true),
	('PUT', '/v1/admin/scoring-profiles/{name}', 'rapport.set_scoring_profile', 'admin', 'write', 200, 'admin', true),
	('DELETE', '/v1/admin/scoring-profiles/{name}', 'rapport.drop_scoring_profile', 'admin', 'write', 200, 'admin', true),
	('PUT', '/v1/admin/modes/{mode}/scoring', 'rapport.set_mode_scoring', 'admin', 'write', 200, 'admin', true),

	('GET', '/v1/conversations', 'rapport.conversations', 'user', 'read', 200, 'chat', true),
	('GET', '/v1/conversations/{conversation_id}/messages', 'rapport.messages', 'user', 'read', 200, 'chat', true),
	('POST', '/v1/conversations/{conversation_id}/messages', 'rapport.send_message', 'user', 'write', 201, 'chat', true),
	('PUT', '/v1/conversations/{conversation_id}/read', 'rapport.mark_read', 'user', 'write', 200, 'chat', true);

INSERT INTO rapport.route (method, path, call, role, lane, timeout_ms, success, tag, builtin) VALUES
	-- Not DELETE: a body, here the password, has no meaning there.
	('POST', '/v1/account/erase', 'rapport.delete_my_account', 'user', 'heavy', 60000, 200, 'account', true),
	('GET', '/v1/account/export', 'rapport.export_my_data', 'user', 'heavy', 60000, 200, 'account', true);
-- The end of every install and update script: all members belong to a role that
-- cannot log in, so no function with definer's rights runs as a superuser, and
-- nothing can be called by PUBLIC but the pure functions of the types.
-- The schema stays with whoever installs: it is no member, so a dump names its
-- owner before the extension has made the roles.
DO $$
DECLARE
	member record;
BEGIN
	FOR member IN
		SELECT d.classid, d.objid, i.type, i.identity
		FROM pg_catalog.pg_depend AS d
		JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
		CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
		WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
		AND d.deptype = 'e'
		AND i.type IN ('table', 'view', 'sequence', 'function', 'procedure', 'aggregate', 'type', 'operator',
					   'operator class', 'operator family')
	LOOP
		-- A table brings its row type, its indexes and its own sequences along.
		IF member.type = 'type' AND EXISTS (SELECT FROM pg_catalog.pg_type AS t
											WHERE t.oid = member.objid AND (t.typrelid <> 0 OR t.typelem <> 0 AND t.typcategory = 'A')) THEN
			CONTINUE;
		END IF;
		IF member.type = 'sequence' AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
												WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
												AND d.objid = member.objid
												AND d.deptype IN ('a', 'i')
												AND d.refobjsubid > 0) THEN
			CONTINUE;
		END IF;
		-- Not again in an update: it would lock out the readers of every table.
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend AS s
					   WHERE s.dbid = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
					   AND s.classid = member.classid
					   AND s.objid = member.objid
					   AND s.deptype = 'o'
					   AND s.refobjid = 'rapport_owner'::pg_catalog.regrole) THEN
			EXECUTE pg_catalog.format('ALTER %s %s OWNER TO rapport_owner', member.type, member.identity);
		END IF;
		IF member.type IN ('function', 'procedure', 'aggregate')
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p
							JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
							WHERE p.oid = member.objid AND p.provolatile = 'i' AND l.lanname = 'c') THEN
			EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', CASE member.type WHEN 'aggregate' THEN 'function' ELSE member.type END,
									  member.identity);
		END IF;
	END LOOP;
END;
$$;
