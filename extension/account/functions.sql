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

CREATE OR REPLACE FUNCTION rapport.current_person() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_current_person_sql';
COMMENT ON FUNCTION rapport.current_person() IS 'The id of the person who is acting; NULL when nobody is.';
GRANT EXECUTE ON FUNCTION rapport.current_person() TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.current_session() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_current_session_sql';
COMMENT ON FUNCTION rapport.current_session() IS
'The id of the session whose access token is in use; NULL when nobody is acting, or through act_as().';
GRANT EXECUTE ON FUNCTION rapport.current_session() TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.acting_person() RETURNS bigint
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_acting_person_sql';
COMMENT ON FUNCTION rapport.acting_person() IS
'The id of the person who is acting. Errors: authentication_required when nobody is. Every function above rapport_anon begins with it.';
GRANT EXECUTE ON FUNCTION rapport.acting_person() TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.hold_person(person_id bigint, alone boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'account_hold_person_sql';
COMMENT ON FUNCTION rapport.hold_person(bigint, boolean) IS
'Until the end of the transaction the person is not erased. alone, for erasing: waits until nobody else holds the person, and lets nobody. acting_person() holds who is acting, in a transaction that may write; whoever writes rows that name somebody else holds them too. Errors: not_found.';

CREATE OR REPLACE FUNCTION rapport.require(role text) RETURNS void
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_require';
COMMENT ON FUNCTION rapport.require(text) IS
'Passes when the person who is acting has that role (user, moderator, admin) or a higher one, whatever the database role. Errors: invalid_value for any other name, authentication_required, forbidden.';
GRANT EXECUTE ON FUNCTION rapport.require(text) TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.require_operator() RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.request_begin(token text, read_only boolean, timeout_ms integer) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_request_begin';
COMMENT ON FUNCTION rapport.request_begin(text, boolean, integer) IS
'The first statement of a request, for a front: until the transaction ends the caller is the person of the access token, with the role of that person; nobody, with rapport_anon, when the token is NULL. timeout_ms is the statement_timeout of what follows (NULL: as it is). Returns the id of the person, 0 for nobody. Errors: invalid_token, expired_token, suspended.';
GRANT EXECUTE ON FUNCTION rapport.request_begin(text, boolean, integer) TO rapport_api;

CREATE OR REPLACE FUNCTION rapport.act_as(person_id bigint, is_local boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_act_as';
COMMENT ON FUNCTION rapport.act_as(bigint, boolean) IS
'For psql, tests and back ends of one''s own: act as a person, with that person''s role, until the session ends or, with is_local, the transaction. NULL ends it. Only where the session''s user is a superuser or a member of rapport_service. DISCARD ALL ends it too. Errors: not_found, suspended, 42501.';
GRANT EXECUTE ON FUNCTION rapport.act_as(bigint, boolean) TO rapport_anon;

CREATE OR REPLACE FUNCTION rapport.act_as_external(external_id text, is_local boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'account_act_as_external';
COMMENT ON FUNCTION rapport.act_as_external(text, boolean) IS
'act_as() by the app''s own id of the person, for apps with a sign-in of their own. Errors: not_found, suspended, 42501.';
GRANT EXECUTE ON FUNCTION rapport.act_as_external(text, boolean) TO rapport_anon;

-- Building blocks

CREATE OR REPLACE FUNCTION rapport.random_bytes(size integer) RETURNS bytea
LANGUAGE c VOLATILE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_random_bytes';
COMMENT ON FUNCTION rapport.random_bytes(integer) IS 'Up to 1024 bytes that cannot be predicted.';

CREATE OR REPLACE FUNCTION rapport.token_header(kid text) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_token_header';
COMMENT ON FUNCTION rapport.token_header(text) IS 'The encoded header of the access tokens of a signing key, by its id.';

CREATE OR REPLACE FUNCTION rapport.access_token(header text, secret bytea, person_id bigint, session_id bigint, role text,
												issued_at timestamp with time zone, seconds integer) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_access_token';
COMMENT ON FUNCTION rapport.access_token(text, bytea, bigint, bigint, text, timestamp with time zone, integer) IS
'An access token (JWT, HS256) signed with a key of signing_key. The role in it informs the client; the server reads the person''s own.';

CREATE OR REPLACE FUNCTION rapport.refresh_token(person_id bigint, session_id bigint, counter integer, key bytea) RETURNS text
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token';
COMMENT ON FUNCTION rapport.refresh_token(bigint, bigint, integer, bytea) IS
'The refresh token with that number, under the key of the session.';

CREATE OR REPLACE FUNCTION rapport.refresh_token_parts(refresh_token text, OUT person_id bigint, OUT session_id bigint, OUT counter integer)
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token_parts';
COMMENT ON FUNCTION rapport.refresh_token_parts(text) IS
'What a refresh token claims, unverified; nulls when it is malformed.';

CREATE OR REPLACE FUNCTION rapport.refresh_token_signed(refresh_token text, key bytea) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_refresh_token_signed';
COMMENT ON FUNCTION rapport.refresh_token_signed(text, bytea) IS
'Whether the refresh token was made with that key; compared in constant time.';

CREATE OR REPLACE FUNCTION rapport.argon2_hash(password text, ops integer, memory integer) RETURNS text
LANGUAGE c VOLATILE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_password_hash';
COMMENT ON FUNCTION rapport.argon2_hash(text, integer, integer) IS
'argon2id with a fresh salt: ops passes over memory MiB. Errors: 53200 when there is no memory for it.';

CREATE OR REPLACE FUNCTION rapport.argon2_matches(hash text, password text, ops integer, memory integer) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'account_password_matches';
COMMENT ON FUNCTION rapport.argon2_matches(text, text, integer, integer) IS
'Whether the password has that hash. Without a hash the answer is false after the work of ops passes over memory MiB.';

CREATE OR REPLACE FUNCTION rapport.argon2_outdated(hash text, ops integer, memory integer) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'account_password_outdated';
COMMENT ON FUNCTION rapport.argon2_outdated(text, integer, integer) IS 'Whether a hash was made at another cost.';

-- In collation C only ASCII letters fold: the same on every system and for ever.
CREATE OR REPLACE FUNCTION rapport.normal_email(email text) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.normal_password(password text) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.password_hash(password text, email text) RETURNS text
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
CREATE OR REPLACE FUNCTION rapport.try_password(subject text, hash text, password text) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.current_signing_key(OUT header text, OUT secret bytea)
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

CREATE OR REPLACE FUNCTION rapport.issue_tokens(person_id bigint, session_id bigint,
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

CREATE OR REPLACE FUNCTION rapport.open_session(person_id bigint, user_agent text) RETURNS bigint
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

CREATE OR REPLACE FUNCTION rapport.new_person(external_id text DEFAULT NULL) RETURNS bigint
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

CREATE OR REPLACE FUNCTION rapport.set_credential_for(person_id bigint, email text, password text) RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.set_role_for(person_id bigint, role text) RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.set_state_for(person_id bigint, state text) RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.sign_up(email text, password text) RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.sign_in(email text, password text, user_agent text DEFAULT NULL,
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

CREATE OR REPLACE FUNCTION rapport.refresh_session(INOUT refresh_token text, OUT person_id bigint, OUT access_token text,
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

CREATE OR REPLACE FUNCTION rapport.sign_out() RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.sessions()
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

CREATE OR REPLACE FUNCTION rapport.revoke_session(session_id bigint) RETURNS void
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

CREATE OR REPLACE FUNCTION rapport.change_password(current_password text, new_password text,
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

CREATE OR REPLACE FUNCTION rapport.my_account(OUT person_id bigint, OUT email text, OUT role text, OUT created_at timestamp with time zone)
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

CREATE OR REPLACE FUNCTION rapport.rotate_signing_key(revoke boolean DEFAULT false) RETURNS text
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

CREATE OR REPLACE FUNCTION rapport.account_sweep(batch integer DEFAULT 10000) RETURNS bigint
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
