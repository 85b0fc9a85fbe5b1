-- Accounts: signing up and in, sessions, and who is calling.
SET client_min_messages = warning;
\pset null '(null)'
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1');
SET rapport.now = '2026-03-01 12:00:00+00';

-- What a statement comes to: its error, or "accepted". Nothing of it stays.
CREATE FUNCTION outcome(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	state text;
	code text;
	message text;
BEGIN
	EXECUTE statement;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, code = CONSTRAINT_NAME, message = MESSAGE_TEXT;
	RETURN CASE WHEN state = 'ZZ000' THEN 'accepted'
				WHEN code <> '' THEN state || ' ' || code
				ELSE state || ' ' || message END;
END;
$$;

--
-- Signing up
--
SELECT rapport.sign_up('Ada@Example.org ', 'correct horse');
-- A taken address gets the same answer, and changes nothing.
SELECT rapport.sign_up('ada@example.ORG', 'battery staple');
SELECT email, count(*) OVER () AS people, left(password_hash, 27) AS hash
FROM rapport.email JOIN rapport.credential USING (person_id);
SELECT left(address, 30) AS address, outcome(format('SELECT rapport.sign_up(%L, %L)', address, 'correct horse'))
FROM unnest(ARRAY['', 'ada', '@example.org', 'a@b@example.org', 'a b@example.org', 'a@example', 'a@example..org',
				  E'a\n@example.org', 'a@-', repeat('a', 65) || '@example.org', 'a@' || repeat('abc.', 70) || 'org', NULL]) AS address;
SELECT left(password, 20) AS password, outcome(format('SELECT rapport.sign_up(%L, %L)', 'bob@example.org', password))
FROM unnest(ARRAY['short', '12345678', 'bob@example.org', 'BOB@example.org', repeat('ä', 513), 'ああああああああ', '🙂🙂🙂🙂🙂🙂🙂', NULL]) AS password;

--
-- Signing in
--
SELECT person_id AS ada, access_token AS token, refresh_token AS refresh_0, expires_in, refusal IS NULL AS let_in
FROM rapport.sign_in('ADA@example.org', 'correct horse', 'phone') \gset
\echo :expires_in :let_in
-- An unknown address and a wrong password look alike.
SELECT * FROM rapport.sign_in('ada@example.org', 'battery staple');
SELECT * FROM rapport.sign_in('nobody@example.org', 'battery staple');
SELECT * FROM rapport.sign_in('not an address', 'battery staple');
SELECT outcome('SELECT rapport.sign_in(NULL, ''x'')'), outcome('SELECT rapport.sign_in(''x'', NULL)');
-- A password is the same password however its characters were composed.
SELECT rapport.sign_up('nfc@example.org', U&'caf\00e9 caf\00e9');
SELECT refusal FROM rapport.sign_in('nfc@example.org', U&'cafe\0301 cafe\0301');
-- A new cost is taken over at the next sign-in.
SELECT rapport.set_setting('password_ops', '2');
SELECT refusal FROM rapport.sign_in('nfc@example.org', U&'caf\00e9 caf\00e9');
SELECT substring(password_hash FROM 'm=.*p=1') AS cost
FROM rapport.credential JOIN rapport.email USING (person_id) WHERE email = 'nfc@example.org';
SELECT refusal FROM rapport.sign_in('nfc@example.org', U&'caf\00e9 caf\00e9');
SELECT rapport.set_setting('password_ops', '1');

--
-- A request
--
SET SESSION AUTHORIZATION rapport_api;
BEGIN;
SELECT rapport.request_begin(:'token', true, 1500) = :ada AS as_ada;
SELECT current_user, rapport.current_person() = :ada AS person, rapport.acting_person() = :ada AS acting,
	current_setting('rapport.verified_role') AS verified_role,
	current_setting('transaction_read_only') AS read_only, current_setting('statement_timeout') AS timeout;
SELECT person_id = :ada AS person, email, role, created_at FROM rapport.my_account();
SELECT session_id = rapport.current_session() AS this, created_at, refreshed_at, expires_at, user_agent, current FROM rapport.sessions();
COMMIT;
-- Nothing is left of it.
SELECT current_user, current_setting('rapport.person') AS person, current_setting('rapport.session') AS session,
	current_setting('rapport.verified_role') AS verified_role, current_setting('transaction_read_only') AS read_only,
	current_setting('statement_timeout') AS timeout;
-- Without a token: nobody.
BEGIN;
SELECT rapport.request_begin(NULL, false, NULL);
SELECT current_user, rapport.current_person();
SELECT outcome('SELECT rapport.acting_person()'), outcome('SELECT rapport.my_account()'), outcome('SELECT rapport.require(''user'')');
SELECT outcome('SELECT rapport.require(''king'')');
SELECT outcome('SELECT rapport.request_begin(NULL, false, NULL)'), outcome('SELECT rapport.act_as(1)');
COMMIT;
-- The front may do nothing before it.
SELECT outcome('SELECT rapport.sign_in(''a'', ''b'')'), outcome('SELECT rapport.my_account()'), outcome('TABLE rapport.session');
RESET SESSION AUTHORIZATION;

--
-- Tokens that are not ours
--
SELECT access_token AS other FROM rapport.sign_in('nfc@example.org', U&'caf\00e9 caf\00e9') \gset
SELECT (SELECT header FROM rapport.signing_key) AS header, (SELECT secret FROM rapport.signing_key) AS secret,
	split_part(:'token', '.', 1) AS h, split_part(:'token', '.', 2) AS p, split_part(:'token', '.', 3) AS s,
	(SELECT session_id FROM rapport.session WHERE person_id = :ada) AS session \gset
SELECT rapport.new_person() AS victim \gset
-- Text as base64url.
CREATE FUNCTION url64(t text) RETURNS text
LANGUAGE sql
RETURN rtrim(translate(encode(convert_to(t, 'UTF8'), 'base64'), E'+/\n', '-_'), '=');
CREATE TABLE attack (n int GENERATED ALWAYS AS IDENTITY, what text, token text);
INSERT INTO attack (what, token) VALUES
	('the token itself', :'token'),
	('empty', ''),
	('words', 'not a token'),
	('dots', '..'),
	('no signature', :'h' || '.' || :'p'),
	('empty signature', :'h' || '.' || :'p' || '.'),
	('short signature', :'h' || '.' || :'p' || '.' || left(:'s', 42)),
	('alg none', url64('{"alg":"none","typ":"JWT"}') || '.' || :'p' || '.'),
	('alg none, our kid', replace(url64(replace(convert_from(decode(rpad(:'h', 4 * ((length(:'h') + 3) / 4), '='), 'base64'), 'UTF8'), 'HS256', 'none')), '=', '') || '.' || :'p' || '.'),
	('alg none, signature kept', url64('{"alg":"none","typ":"JWT"}') || '.' || :'p' || '.' || :'s'),
	('another header, signed with our key', rapport.access_token(url64('{"alg":"HS256"}'), :'secret', :ada, :session, 'user', rapport.now(), 900)),
	('unknown key', rapport.access_token(rapport.token_header('0000'), :'secret', :ada, :session, 'user', rapport.now(), 900)),
	('wrong key', rapport.access_token(:'header', 'a guess', :ada, :session, 'user', rapport.now(), 900)),
	('empty key', rapport.access_token(:'header', '', :ada, :session, 'user', rapport.now(), 900)),
	('header as key', rapport.access_token(:'header', :'header'::text::bytea, :ada, :session, 'user', rapport.now(), 900)),
	('another person', :'h' || '.' || replace(:'p', url64(left('{"sub":"' || :ada, 21)), url64(left('{"sub":"' || :victim, 21))) || '.' || :'s'),
	('expiry moved', :'h' || '.' || url64(format('{"sub":"%s","sid":"%s","role":"user","iat":0,"exp":9999999999}', :ada, :session)) || '.' || :'s'),
	('last bit of the signature', left(:'token', -1) || CASE right(:'token', 1) WHEN 'A' THEN 'B' ELSE chr(ascii(right(:'token', 1)) - 1) END),
	('padding', :'token' || '='),
	('a blank', :'token' || ' '),
	('a line end', E'\n' || :'token'),
	('a fourth segment', :'token' || '.' || :'s'),
	('huge', :'token' || repeat('A', 100000)),
	('emoji', '🙂.🙂.🙂'),
	('signed, session of another person', rapport.access_token(:'header', :'secret', :victim, :session, 'user', rapport.now(), 900)),
	('signed, no session', rapport.access_token(:'header', :'secret', :ada, 0, 'user', rapport.now(), 900)),
	('signed, admin claimed', rapport.access_token(:'header', :'secret', :ada, :session, 'admin', rapport.now(), 900)),
	('signed, expired', rapport.access_token(:'header', :'secret', :ada, :session, 'user', rapport.now() - interval '900 s', 900)),
	('signed, lasts a second', rapport.access_token(:'header', :'secret', :ada, :session, 'user', rapport.now() - interval '899 s', 900)),
	('wrong key, expired', rapport.access_token(:'header', 'a guess', :ada, :session, 'user', rapport.now() - interval '900 s', 900));
GRANT SELECT ON attack TO rapport_api;
-- Each attack is another token than ours.
SELECT count(*) - 1 AS attacks, count(DISTINCT token) - 1 AS different FROM attack;
SET SESSION AUTHORIZATION rapport_api;
SELECT what, outcome(format('SELECT rapport.request_begin(%L, true, NULL)', token)) FROM attack ORDER BY n;
-- A claimed role is only a claim.
SELECT token AS claim FROM attack WHERE what = 'signed, admin claimed' \gset
BEGIN;
SELECT rapport.request_begin(:'claim', true, NULL) > 0 AS accepted;
SELECT current_user, current_setting('rapport.verified_role') AS verified_role, outcome('SELECT rapport.require(''admin'')');
COMMIT;
RESET SESSION AUTHORIZATION;
-- The clock alone ends a token, and a session.
SELECT moment, outcome(format('SELECT set_config(''rapport.now'', %L, true), rapport.request_begin(%L, true, NULL)', moment, :'token'))
FROM unnest(ARRAY['2026-03-01 12:14:59+00', '2026-03-01 12:15:00+00', '2026-05-30 12:00:00+00']::timestamptz[]) AS moment;

--
-- Spoofing
--
SET SESSION AUTHORIZATION rapport_api;
SELECT outcome('SET rapport.person = 5'), outcome('SET LOCAL rapport.verified_role = admin');
SELECT outcome('RESET rapport.person'), outcome('SELECT set_config(''rapport.session'', ''5'', true)'), outcome('ALTER ROLE rapport_api SET rapport.person = 5');
BEGIN;
SELECT rapport.request_begin(:'token', false, NULL) = :ada AS as_ada;
SELECT outcome(format('SET rapport.person = %s', :victim)), outcome('RESET rapport.person'), outcome('SET rapport.person TO DEFAULT');
SELECT outcome(format('CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql SET rapport.person = %s AS ''''', :victim));
SELECT left(outcome(format('ALTER ROLE rapport_api SET rapport.person = %s', :victim)), 23) AS outcome;
SELECT rapport.current_person() = :ada AS still_ada;
-- RESET ALL makes nobody of her.
SAVEPOINT s;
RESET ALL;
SELECT current_user, rapport.current_person(), outcome('SELECT rapport.my_account()');
ROLLBACK TO s;
-- Nor can one call what starts a request, or become another person.
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token')), outcome(format('SELECT rapport.act_as(%s)', :victim)),
	outcome('SELECT rapport.act_as(NULL)'), outcome('SELECT rapport.act_as_external(''x'')'), outcome('SELECT rapport.new_person()');
-- A savepoint rolled back takes nothing with it.
SAVEPOINT s;
SELECT outcome(format('SET LOCAL rapport.person = %s', :victim));
SET LOCAL ROLE rapport_admin;
SELECT current_user, current_setting('rapport.verified_role') AS verified_role, outcome('SELECT rapport.require(''admin'')');
ROLLBACK TO s;
SELECT current_user, rapport.current_person() = :ada AS still_ada;
COMMIT;
-- A statement prepared as one person is another's when another calls.
PREPARE account AS SELECT person_id = $1 AS own FROM rapport.my_account();
SET plan_cache_mode = force_generic_plan;
BEGIN;
SELECT rapport.request_begin(:'token', true, NULL) = :ada AS as_ada;
EXECUTE account(:ada);
COMMIT;
SELECT outcome(format('EXECUTE account(%s)', :ada));
BEGIN;
SELECT rapport.request_begin(:'other', true, NULL) = :ada AS as_ada;
EXECUTE account(:ada);
COMMIT;
BEGIN;
SELECT rapport.request_begin(NULL, true, NULL);
SELECT outcome(format('EXECUTE account(%s)', :ada));
COMMIT;
RESET plan_cache_mode;
-- A bare SET ROLE is nobody.
SET ROLE rapport_admin;
SELECT current_user, rapport.current_person();
SELECT call, outcome('SELECT rapport.' || call)
FROM unnest(ARRAY['acting_person()', 'require(''user'')', 'require(''admin'')', 'my_account()', 'sessions()', 'sign_out()',
				  'revoke_session(1)', 'change_password(''a'', ''b'')']) AS call;
RESET ROLE;
RESET SESSION AUTHORIZATION;
-- Values set before the module is loaded do not outlive its loading.
\c - rapport_api
SET rapport.person = 5;
SET rapport.verified_role = 'admin';
BEGIN;
SELECT rapport.request_begin(NULL, true, NULL);
SELECT rapport.current_person(), current_setting('rapport.person') AS person, current_setting('rapport.verified_role') AS verified_role;
COMMIT;
SELECT current_setting('rapport.person') AS person, current_setting('rapport.verified_role') AS verified_role;
\c -reuse-previous=on "options='-c rapport.person=5'"
BEGIN;
SELECT rapport.request_begin(NULL, true, NULL);
SELECT rapport.current_person();
COMMIT;
SELECT current_setting('rapport.person') AS person;
\c -reuse-previous=on "user=postgres options=''"
SET client_min_messages = warning;
\pset null '(null)'
SET rapport.now = '2026-03-01 12:00:00+00';

--
-- Acting as a person from psql
--
SELECT rapport.act_as(:ada);
SELECT current_user, rapport.current_person() = :ada AS ada, rapport.current_session();
SELECT email, role FROM rapport.my_account();
SELECT rapport.act_as(:victim);
SELECT rapport.current_person() = :victim AS victim, outcome('SELECT rapport.act_as(1)'), outcome('SELECT rapport.require(''moderator'')');
-- Local to a transaction, a savepoint, and gone with an abort.
BEGIN;
SELECT rapport.act_as(:ada, true);
SAVEPOINT s;
SELECT rapport.act_as(:victim, true);
ROLLBACK TO s;
SELECT current_user, rapport.current_person() = :ada AS ada_again;
COMMIT;
SELECT current_user, rapport.current_person() = :victim AS victim_again;
BEGIN;
SELECT rapport.act_as(:ada);
ROLLBACK;
SELECT rapport.current_person() = :victim AS victim_again;
-- Prepared statements are planned once and see who calls.
PREPARE who AS SELECT rapport.current_person() = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE who(:victim);
SELECT rapport.act_as(:ada);
EXECUTE who(:ada);
RESET plan_cache_mode;
-- Parallel workers are the same person.
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'on', false);
SELECT rapport.acting_person() = :ada AS ada, rapport.current_person() = :ada AS ada, count(*) FROM generate_series(1, 3);
SELECT rapport.require('user');
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'off', false);
SELECT rapport.act_as(NULL);
SELECT current_user, rapport.current_person(), current_setting('rapport.verified_role') AS verified_role;
-- DISCARD ALL, as between two users of a pooled connection, ends it as well.
SELECT rapport.act_as(:ada);
DISCARD ALL;
SELECT current_user, rapport.current_person(), current_setting('rapport.verified_role') AS verified_role;
SET client_min_messages = warning;
-- A prepared transaction does not pass an identity on.
BEGIN;
SELECT rapport.act_as(:ada, true);
PREPARE TRANSACTION 'rapport_account';
SELECT current_user, rapport.current_person();
ROLLBACK PREPARED 'rapport_account';
-- A definer function cannot switch the role.
CREATE FUNCTION definer(id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT rapport.act_as(id)';
SELECT outcome(format('SELECT definer(%s)', :ada));
DROP FUNCTION definer(bigint);
SELECT outcome('SELECT rapport.act_as(1)'), outcome('SELECT rapport.act_as_external(''unknown'')');

-- A back end of one's own: a login that is a member of rapport_service.
CREATE ROLE regress_rapport_backend LOGIN IN ROLE rapport_service;
CREATE ROLE regress_rapport_stranger LOGIN;
SET SESSION AUTHORIZATION regress_rapport_backend;
SELECT rapport.new_person('app-1') AS external \gset
SELECT outcome('SELECT rapport.new_person(''app-1'')'), outcome('SELECT rapport.new_person('''')'), outcome('SELECT rapport.new_person(repeat(''x'', 201))');
SELECT rapport.act_as_external('app-1');
SELECT current_user, rapport.current_person() = :external AS external;
SELECT person_id = :external AS external, email FROM rapport.my_account();
SELECT rapport.act_as_external(NULL);
SELECT current_user, rapport.current_person();
-- It acts as a moderator only if it may become one.
SELECT rapport.set_role_for(:external, 'moderator');
SELECT outcome(format('SELECT rapport.act_as(%s)', :external));
SELECT outcome('SELECT rapport.set_role_for(1, ''user'')'), outcome(format('SELECT rapport.set_role_for(%s, ''king'')', :external)), outcome('SELECT rapport.set_state_for(1, ''active'')');
SET SESSION AUTHORIZATION regress_rapport_stranger;
SELECT outcome(format('SELECT rapport.act_as(%s)', :ada)), outcome('SELECT rapport.current_person()'), outcome('SELECT rapport.sign_up(''a@example.org'', ''correct horse'')');
RESET SESSION AUTHORIZATION;
DROP ROLE regress_rapport_backend, regress_rapport_stranger;
SELECT rapport.act_as(:external);
SELECT current_user, outcome('SELECT rapport.require(''user'')'), outcome('SELECT rapport.require(''moderator'')'), outcome('SELECT rapport.require(''admin'')');
SELECT rapport.act_as(NULL);

--
-- Refreshing
--
-- The next token, whose it is, and how the session stands.
CREATE FUNCTION refresh(given text, OUT next text, OUT refusal text)
LANGUAGE sql
BEGIN ATOMIC
	SELECT r.refresh_token, r.refusal FROM rapport.refresh_session(given) AS r;
END;
CREATE VIEW state AS SELECT person_id, refresh_counter, reuse_count, refreshed_at, expires_at FROM rapport.session;
SET rapport.now = '2026-03-02 12:00:00+00';
SELECT next AS refresh_1, refusal FROM refresh(:'refresh_0') \gset
SELECT refresh_counter, reuse_count, refreshed_at, expires_at FROM state WHERE person_id = :ada;
-- The one before is accepted for ten seconds, and brings the present one.
SET rapport.now = '2026-03-02 12:00:10+00';
SELECT next = :'refresh_1' AS present_one, refusal FROM refresh(:'refresh_0');
SELECT next = :'refresh_1' AS present_one, refusal FROM refresh(:'refresh_0');
SELECT refresh_counter, reuse_count FROM state WHERE person_id = :ada;
-- Then once more.
SET rapport.now = '2026-03-02 12:00:11+00';
SELECT next = :'refresh_1' AS present_one, refusal FROM refresh(:'refresh_0');
SELECT refresh_counter, reuse_count FROM state WHERE person_id = :ada;
-- The present one moves on, and the tolerance with it.
SELECT next AS refresh_2 FROM refresh(:'refresh_1') \gset
SELECT refresh_counter, reuse_count FROM state WHERE person_id = :ada;
-- What is not ours changes nothing.
SELECT what, outcome(format('SELECT 1 / (refusal = ''invalid_token'')::int FROM rapport.refresh_session(%L)', token))
FROM (VALUES ('empty', ''), ('words', 'not a token'), ('access token', :'token'), ('cut', left(:'refresh_2', -1)), ('longer', :'refresh_2' || 'A'),
	('padded', :'refresh_2' || '='), ('no prefix', substr(:'refresh_2', 12)), ('blank', ' ' || :'refresh_2'), ('huge', repeat('A', 100000)),
	('older, counter forged', 'rapport-r1-' || left(substr(:'refresh_0', 12), 26) || substr(:'refresh_2', 38)),
	('wrong key', rapport.refresh_token(:ada, :session, 2, 'a guess')),
	('another person', rapport.refresh_token(:victim, :session, 2, (SELECT refresh_key FROM rapport.session WHERE person_id = :ada))),
	('another session', rapport.refresh_token(:ada, 5, 2, (SELECT refresh_key FROM rapport.session WHERE person_id = :ada))),
	('negative', rapport.refresh_token(-1, -1, -1, 'x'))) AS v (what, token);
SELECT outcome('SELECT rapport.refresh_session(NULL)');
SELECT refresh_counter, reuse_count FROM state WHERE person_id = :ada;
-- An older one ends the session, and its access tokens at once.
SELECT outcome(format('SELECT rapport.request_begin((SELECT access_token FROM rapport.refresh_session(%L)), true, NULL)', :'refresh_2'));
SELECT access_token AS token FROM rapport.refresh_session(:'refresh_2') \gset
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token'));
SELECT next, refusal FROM refresh(:'refresh_0');
SELECT count(*) FROM state WHERE person_id = :ada;
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token'));
SELECT next, refusal FROM refresh(:'refresh_2');
-- A previous token that comes a second time after its ten seconds ends it as well.
SELECT refresh_token AS refresh_0 FROM rapport.sign_in('ada@example.org', 'correct horse') \gset
SELECT next AS refresh_1 FROM refresh(:'refresh_0') \gset
SET rapport.now = '2026-03-02 13:00:00+00';
SELECT next = :'refresh_1' AS present_one, refusal FROM refresh(:'refresh_0');
SELECT next, refusal FROM refresh(:'refresh_0');
SELECT next, refusal FROM refresh(:'refresh_1');
-- A session ends 90 days after its last refresh.
SELECT refresh_token AS refresh_0 FROM rapport.sign_in('ada@example.org', 'correct horse') \gset
SET rapport.now = '2026-05-31 12:59:59+00';
SELECT next AS refresh_1, refusal FROM refresh(:'refresh_0') \gset
SET rapport.now = '2026-08-29 12:59:59+00';
SELECT next, refusal FROM refresh(:'refresh_1');
SELECT rapport.account_sweep() > 0 AS swept;
SELECT count(*) FROM rapport.session;

--
-- Sessions
--
SET rapport.now = '2026-09-01 12:00:00+00';
SELECT access_token AS phone, refresh_token AS phone_refresh FROM rapport.sign_in('ada@example.org', 'correct horse', 'phone') \gset
SET rapport.now = '2026-09-01 12:00:01+00';
SELECT access_token AS laptop FROM rapport.sign_in('ada@example.org', 'correct horse', repeat('laptop ', 100)) \gset
SET rapport.now = '2026-09-01 12:00:02+00';
SELECT access_token AS tablet FROM rapport.sign_in('ada@example.org', 'correct horse') \gset
SELECT access_token AS other FROM rapport.sign_in('nfc@example.org', U&'caf\00e9 caf\00e9') \gset
SET SESSION AUTHORIZATION rapport_api;
BEGIN;
SELECT rapport.request_begin(:'phone', false, NULL) = :ada AS as_ada;
SELECT left(user_agent, 10) AS user_agent, length(user_agent), created_at, current FROM rapport.sessions();
-- Ending one of one's own holds from the next request on; others' are not found.
SELECT rapport.revoke_session(session_id) FROM rapport.sessions() WHERE user_agent LIKE 'laptop%';
COMMIT;
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'laptop')) AS laptop,
	outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'tablet')) AS tablet;
BEGIN;
SELECT rapport.request_begin(:'other', false, NULL) <> :ada AS as_another;
SELECT session_id AS others_session FROM rapport.sessions() \gset
COMMIT;
BEGIN;
SELECT rapport.request_begin(:'phone', false, NULL) = :ada AS as_ada;
SELECT outcome(format('SELECT rapport.revoke_session(%s)', :others_session)), outcome('SELECT rapport.revoke_session(NULL)');
SELECT rapport.sign_out();
COMMIT;
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'phone')) AS phone,
	outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'other')) AS other;
RESET SESSION AUTHORIZATION;
SELECT next, refusal FROM refresh(:'phone_refresh');
-- There are so many and no more: the one refreshed longest ago goes.
SELECT rapport.set_setting('sessions_max', '3');
SET rapport.now = '2026-09-01 12:00:03+00';
SELECT refusal FROM generate_series(1, 3) AS i, LATERAL rapport.sign_in('ada@example.org', 'correct horse', 'number ' || i);
SELECT rapport.act_as(:ada);
SELECT user_agent, current FROM rapport.sessions() ORDER BY user_agent;
-- Without a session of one's own signing out ends none.
SELECT rapport.sign_out();
SELECT count(*) FROM rapport.sessions();
SELECT rapport.act_as(NULL);
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'tablet')) AS tablet;
SELECT rapport.set_setting('sessions_max', NULL);

--
-- Changing the password
--
SELECT access_token AS token FROM rapport.sign_in('ada@example.org', 'correct horse', 'here') \gset
SET SESSION AUTHORIZATION rapport_api;
BEGIN;
SELECT rapport.request_begin(:'token', false, NULL) = :ada AS as_ada;
SELECT * FROM rapport.change_password('wrong', 'another horse');
SELECT outcome('SELECT rapport.change_password(''correct horse'', ''short'')'), outcome('SELECT rapport.change_password(''correct horse'', ''ada@example.org'')'),
	outcome('SELECT rapport.change_password(NULL, ''another horse'')'), outcome('SELECT rapport.change_password(''correct horse'', NULL)');
SELECT * FROM rapport.change_password('correct horse', 'another horse');
SELECT user_agent, current FROM rapport.sessions();
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT refusal FROM rapport.sign_in('ada@example.org', 'correct horse');
SELECT refusal FROM rapport.sign_in('ada@example.org', 'another horse');
-- Who has no password cannot change it.
SELECT rapport.act_as(:victim);
SELECT * FROM rapport.change_password('', 'another horse');
SELECT rapport.act_as(NULL);
-- Imported people get one from the app.
SELECT rapport.set_credential_for(:victim, 'Victim@example.org', 'imported horse');
SELECT person_id = :victim AS victim, refusal FROM rapport.sign_in('victim@example.org', 'imported horse');
SELECT rapport.set_credential_for(:victim, 'new@example.org', 'imported horse');
SELECT count(*) FROM rapport.session WHERE person_id = :victim;
SELECT refusal FROM rapport.sign_in('victim@example.org', 'imported horse');
SELECT outcome(format('SELECT rapport.set_credential_for(%s, ''ada@example.org'', ''imported horse'')', :victim)),
	outcome('SELECT rapport.set_credential_for(1, ''x@example.org'', ''imported horse'')'),
	outcome(format('SELECT rapport.set_credential_for(%s, ''x'', ''imported horse'')', :victim)),
	outcome(format('SELECT rapport.set_credential_for(%s, ''x@example.org'', ''short'')', :victim));

--
-- Guessing
--
TRUNCATE rapport.sign_in_failure;
SELECT rapport.set_setting('sign_in_max_failures', '3');
-- The lock does not tell a known address from an unknown one, and holds for the right password.
SELECT i, address, refusal
FROM generate_series(1, 5) AS i, unnest(ARRAY['ada@example.org', 'unknown@example.org']) AS address,
	LATERAL rapport.sign_in(address, CASE WHEN i = 5 THEN 'another horse' ELSE 'guess ' || i END)
ORDER BY address, i;
SELECT failures, count(*) FROM rapport.sign_in_failure GROUP BY failures;
-- Changing the password falls under it as well.
SELECT rapport.act_as(:ada);
SELECT * FROM rapport.change_password('another horse', 'a third horse');
SELECT rapport.act_as(NULL);
-- It ends by itself, and the right password clears the count.
SET rapport.now = '2026-09-01 12:15:03+00';
SELECT refusal FROM rapport.sign_in('ada@example.org', 'guess');
SELECT refusal FROM rapport.sign_in('ada@example.org', 'another horse');
SELECT failures FROM rapport.sign_in_failure;
SELECT rapport.account_sweep();
SET rapport.now = '2026-09-01 12:30:03+00';
SELECT rapport.account_sweep();
SELECT failures FROM rapport.sign_in_failure;
SELECT rapport.set_setting('sign_in_max_failures', NULL);

--
-- Suspension, and keys
--
SELECT access_token AS token, refresh_token AS refresh_0 FROM rapport.sign_in('ada@example.org', 'another horse') \gset
SELECT rapport.set_state_for(:ada, 'suspended');
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token')), outcome(format('SELECT rapport.act_as(%s)', :ada));
SELECT refusal FROM rapport.sign_in('ada@example.org', 'another horse');
SELECT refusal FROM rapport.sign_in('ada@example.org', 'guess');
SELECT refusal FROM refresh(:'refresh_0');
SELECT rapport.set_state_for(:ada, 'active');
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token'));
-- A role holds from the next request on.
SELECT rapport.set_role_for(:ada, 'admin');
SET SESSION AUTHORIZATION rapport_api;
BEGIN;
SELECT rapport.request_begin(:'token', true, NULL) = :ada AS as_ada;
SELECT current_user, outcome('SELECT rapport.require(''admin'')');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT rapport.set_role_for(:ada, 'user');
-- Tokens of a retired key are good until they expire; revoked ones are not.
SELECT rapport.rotate_signing_key() IS NOT NULL AS rotated;
SELECT access_token AS new_token FROM rapport.refresh_session(:'refresh_0') \gset
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token')) AS old, outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'new_token')) AS new,
	split_part(:'token', '.', 1) <> split_part(:'new_token', '.', 1) AS differ;
SELECT rapport.rotate_signing_key(revoke => true) IS NOT NULL AS rotated;
SELECT outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'token')) AS old, outcome(format('SELECT rapport.request_begin(%L, true, NULL)', :'new_token')) AS new;
SELECT count(*) FROM rapport.signing_key;

DELETE FROM rapport.person;
DELETE FROM rapport.email;
DELETE FROM rapport.external_identity;
DELETE FROM rapport.sign_in_failure;
DROP TABLE attack;
DROP VIEW state;
DROP FUNCTION refresh(text), url64(text), outcome(text);
SELECT rapport.set_setting('password_memory', NULL), rapport.set_setting('password_ops', NULL);
