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
	('too_large', 413, 'the request is too large', 'Send it in parts.'),
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

CREATE OR REPLACE FUNCTION rapport.subjects()
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

CREATE OR REPLACE FUNCTION rapport.fail(code text, detail text DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_fail_sql';
COMMENT ON FUNCTION rapport.fail(text, text) IS
'Raises a registered error: SQLSTATE is RP and its HTTP status, CONSTRAINT the code, MESSAGE the title, HINT its hint.';

CREATE OR REPLACE FUNCTION rapport.now() RETURNS timestamp with time zone
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_now_sql';
COMMENT ON FUNCTION rapport.now() IS
'The time all rules go by: the start of the transaction, or the setting rapport.now (superuser) where a test moves the clock.';

CREATE OR REPLACE FUNCTION rapport.today() RETURNS date
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'core_today_sql';
COMMENT ON FUNCTION rapport.today() IS 'The date of rapport.now() in UTC.';

CREATE OR REPLACE FUNCTION rapport.new_id() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'core_new_id_sql';
COMMENT ON FUNCTION rapport.new_id() IS
'A new id between 1 and 2^52: unique in this database, exact in every JSON client, neither guessable nor countable (a keyed Feistel permutation of a sequence).';

CREATE OR REPLACE FUNCTION rapport.database_secret(name text) RETURNS bytea
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

CREATE OR REPLACE FUNCTION rapport.mac(name text, message text) RETURNS text
LANGUAGE c STABLE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_mac_sql';
COMMENT ON FUNCTION rapport.mac(text, text) IS
'HMAC-SHA-256 of the message under the database secret of that name: 32 lower-case hexadecimal digits (its first 128 bits).';

CREATE OR REPLACE FUNCTION rapport.table_with_people() RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.setting_text(name text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'core_setting_sql';
COMMENT ON FUNCTION rapport.setting_text(text) IS 'The value of a setting as text; NULL when there is no such setting.';

CREATE OR REPLACE FUNCTION rapport.setting_int(name text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_int.name)::integer;
END;
COMMENT ON FUNCTION rapport.setting_int(text) IS 'The value of an integer setting.';

CREATE OR REPLACE FUNCTION rapport.setting_float(name text) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_float.name)::double precision;
END;
COMMENT ON FUNCTION rapport.setting_float(text) IS 'The value of a setting that is a number.';

CREATE OR REPLACE FUNCTION rapport.setting_bool(name text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT rapport.setting_text(setting_bool.name)::boolean;
END;
COMMENT ON FUNCTION rapport.setting_bool(text) IS 'The value of a setting that is true or false.';

CREATE OR REPLACE FUNCTION rapport.forget_kept() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_forget_kept';
COMMENT ON FUNCTION rapport.forget_kept() IS
'Tells every backend that what it keeps in memory of the tables setting, setting_default and hook is no longer so once this transaction has committed. set_setting(), add_hook(), drop_hook() and after_restore() call it; whoever writes these tables otherwise must, after that.';

CREATE OR REPLACE FUNCTION rapport.set_setting(name text, value text) RETURNS void
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
		PERFORM rapport.forget_kept();
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
	-- What is called a language is a text search configuration.
	IF known.name LIKE '%\_language'
		AND NOT EXISTS (SELECT FROM pg_ts_config AS c WHERE c.cfgname = set_setting.value AND c.cfgnamespace = 'pg_catalog'::regnamespace) THEN
		PERFORM rapport.fail('invalid_value', format('The setting %I takes a text search configuration of pg_catalog; \dF in psql lists them.', known.name));
	END IF;
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
	PERFORM rapport.forget_kept();
END;
$$;
COMMENT ON FUNCTION rapport.set_setting(text, text) IS
'Changes a setting of this database; NULL brings the default back. For operators: superuser and rapport_service. Errors: unknown_field, wrong_type, out_of_range, invalid_value.';
GRANT EXECUTE ON FUNCTION rapport.set_setting(text, text) TO rapport_service;

-- Hooks

CREATE OR REPLACE FUNCTION rapport.run_hooks(event text, ids bigint[]) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_run_hooks_sql';
COMMENT ON FUNCTION rapport.run_hooks(text, bigint[]) IS
'Calls the functions registered for the event, in order, inside this transaction.';

CREATE OR REPLACE FUNCTION rapport.add_hook(event text, call regprocedure, ord integer DEFAULT 1000) RETURNS void
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
	PERFORM rapport.forget_kept();
END;
$$;
COMMENT ON FUNCTION rapport.add_hook(text, regprocedure, integer) IS
'Registers an app''s own function fn(bigint[]) RETURNS void for an event of rapport.hook_event. It runs as rapport_owner, who must be allowed to use its schema; so only a superuser may register one, and whoever owns the function can replace it later: let it belong to a superuser. Errors: invalid_value, wrong_type, forbidden.';

CREATE OR REPLACE FUNCTION rapport.drop_hook(event text, call text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
	DELETE FROM rapport.hook AS h
	WHERE h.event = drop_hook.event AND h.call = drop_hook.call AND NOT h.builtin;
	IF NOT FOUND THEN
		PERFORM rapport.fail('not_found', pg_catalog.format('%s has not been added to the event %L.', drop_hook.call, drop_hook.event));
	END IF;
	PERFORM rapport.forget_kept();
END;
$$;
COMMENT ON FUNCTION rapport.drop_hook(text, text) IS
'Takes back add_hook() for one event, whether or not the function is still there; call as in rapport.hook, schema.function(bigint[]). For a superuser; what is built in stays. Errors: not_found.';

-- Idempotency

CREATE OR REPLACE FUNCTION rapport.idempotency_hash(key text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT encode(sha256(convert_to(key, 'UTF8')), 'base64');
END;
COMMENT ON FUNCTION rapport.idempotency_hash(text) IS
'What is kept of an idempotency key. The key itself, random and kept nowhere, goes into the hash of the request: who reads the table cannot find a position or a password by trying.';

CREATE OR REPLACE FUNCTION rapport.replay(key text, request text) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.remember(key text, request text, body text) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.forget_idempotency(batch integer DEFAULT 10000) RETURNS bigint
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

CREATE OR REPLACE FUNCTION rapport.event_emit(address text, kind text, payload jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_event_emit_sql';
COMMENT ON FUNCTION rapport.event_emit(text, text, jsonb) IS
'Writes an event to the write-ahead log; it leaves with the commit, or never. Address p:<person_id> or c:<conversation_id>; at most 8 kB. A transactional logical message with prefix "rapport": 16 bytes of MAC, then {"address","kind","payload"} as JSON. Nothing is written unless wal_level is logical.';

-- Updates

CREATE OR REPLACE FUNCTION rapport.outside_extension(statement text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'core_outside_extension_sql';
COMMENT ON FUNCTION rapport.outside_extension(text) IS
'Runs a statement of an update script as one that is not part of it, with the rights of the caller: a grant is then this database''s own and is dumped.';
