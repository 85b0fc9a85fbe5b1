-- core: errors, settings, the clock, ids, hooks, idempotency, events.
SET client_min_messages = warning;
\set SHOW_CONTEXT never

-- An error carries its SQLSTATE, its code as the constraint's name, and a hint.
DO $$
DECLARE
	state text; code text; message text; detail text; hint text;
BEGIN
	PERFORM rapport.fail('invalid_json', 'at byte 3');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, code = CONSTRAINT_NAME, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RAISE WARNING '% | % | % | % | %', state, code, message, detail, hint;
END;
$$;
SELECT rapport.fail('no_such_code');
SELECT rapport.fail(NULL);
SELECT count(*) AS "errors with an SQLSTATE that is no HTTP error"
FROM rapport.error_code
WHERE status NOT BETWEEN 400 AND 599;

-- A setting has a default, a type and a range; an override survives, NULL removes it.
SELECT rapport.setting_int('idempotency_days');
SELECT rapport.set_setting('idempotency_days', '30');
SELECT rapport.setting_int('idempotency_days');
SELECT rapport.set_setting('idempotency_days', NULL);
SELECT rapport.setting_int('idempotency_days');
SELECT rapport.set_setting('idempotency_days', '0');
SELECT rapport.set_setting('idempotency_days', 'many');
SELECT rapport.set_setting('no_such_setting', '1');
SELECT rapport.setting_text('no_such_setting');
-- operators only
SET ROLE rapport_user;
SELECT rapport.set_setting('idempotency_days', '30');
RESET ROLE;
-- every default is valid by its own rule
SELECT count(rapport.set_setting(name, value)) = count(*) AS "defaults are valid" FROM rapport.setting_default;
SELECT count(rapport.set_setting(name, NULL)) > 0 AS "and taken back" FROM rapport.setting;
-- what backends keep in memory goes back with a transaction, or a part of one
BEGIN;
SELECT rapport.set_setting('idempotency_days', '30'), rapport.setting_int('idempotency_days');
SELECT rapport.setting_int('idempotency_days');
SAVEPOINT earlier;
SELECT rapport.set_setting('idempotency_days', '31');
SELECT rapport.setting_int('idempotency_days');
ROLLBACK TO earlier;
SELECT rapport.setting_int('idempotency_days');
ROLLBACK;
SELECT rapport.setting_int('idempotency_days');
-- whoever writes the table by hand says so afterwards
BEGIN;
INSERT INTO rapport.setting VALUES ('idempotency_days', '32', now());
SELECT rapport.forget_kept();
SELECT rapport.setting_int('idempotency_days');
ROLLBACK;
SELECT rapport.setting_int('idempotency_days');

-- The clock: the real one, or the one a test sets; the date is that of UTC.
SELECT rapport.now() = now() AS real;
SET rapport.now = '2024-02-29 23:30:00-02';
SELECT rapport.now() AT TIME ZONE 'UTC' AS now, rapport.today();
SET rapport.now = '1969-12-31 23:59:59+00';
SELECT rapport.today();
SET rapport.now = 'tomorrow never';
SELECT rapport.now();
RESET rapport.now;
SET rapport.now = '';
SET ROLE rapport_user;
SET rapport.now = '2030-01-01';
RESET ROLE;

-- Ids are unique, below 2^53, and neither ordered nor dense.
CREATE TEMP TABLE ids AS SELECT n, rapport.new_id() AS id FROM generate_series(1, 20000) AS n;
SELECT count(DISTINCT id) AS ids, min(id) > 0 AS positive, max(id) < 2::numeric ^ 53 AS exact, max(id) > 2::numeric ^ 51 AS spread,
	   abs(corr(n, id)) < 0.05 AS unordered
FROM ids;
-- another database key would give others: the permutation is keyed
SELECT count(*) AS secrets, bool_and(length(secret) = 32) AS "32 bytes", count(DISTINCT secret) AS different FROM rapport.database_key;
-- a secret that was made in a transaction that failed is not remembered
BEGIN;
DELETE FROM rapport.database_key;
SELECT rapport.mac('cursors', 'x') IS NOT NULL AS made;
ROLLBACK;
SELECT rapport.mac('cursors', 'x') = substr(encode(h, 'hex'), 1, 32) AS "HMAC-SHA-256"
FROM (
	-- HMAC by its definition (RFC 2104)
	SELECT sha256(opad || sha256(ipad || 'x'::bytea)) AS h
	FROM (
		SELECT string_agg(set_byte('\x00', 0, get_byte(k, i) # 92), '' ORDER BY i) AS opad,
			   string_agg(set_byte('\x00', 0, get_byte(k, i) # 54), '' ORDER BY i) AS ipad
		FROM (SELECT secret || decode(repeat('00', 32), 'hex') AS k FROM rapport.database_key WHERE name = 'cursors') AS s,
			 generate_series(0, 63) AS i
	) AS p
) AS m;
SELECT rapport.mac('cursors', 'x') = rapport.mac('cursors', 'y') AS same;
SELECT rapport.mac('no such secret', 'x');

-- Hooks run in order, in the transaction of the event.
CREATE TABLE heard (who text, ids bigint[]);
GRANT INSERT ON heard TO rapport_owner;
CREATE FUNCTION first_hook(ids bigint[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO heard VALUES ('first', ids) $$;
CREATE FUNCTION second_hook(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES ('second', ids); END $$;
SELECT rapport.add_hook('person_erased', 'second_hook(bigint[])', 2001);
SELECT rapport.add_hook('person_erased', 'first_hook(bigint[])', 2000);
BEGIN;
SELECT rapport.run_hooks('person_erased', ARRAY[7, 8]);
SELECT * FROM heard;
SELECT rapport.drop_hook('person_erased', 'public.first_hook(bigint[])');
SELECT rapport.run_hooks('person_erased', ARRAY[9]);
SELECT * FROM heard;
ROLLBACK;
SELECT * FROM heard;
BEGIN;
SELECT rapport.run_hooks('person_erased', ARRAY[7, 8]);
SELECT * FROM heard;
ROLLBACK;
SELECT rapport.add_hook('no_such_event', 'first_hook(bigint[])');
SELECT rapport.add_hook('person_erased', 'pg_catalog.now()');
CREATE SCHEMA hidden_from_the_owner;
CREATE FUNCTION hidden_from_the_owner.hook(ids bigint[]) RETURNS void LANGUAGE sql AS $$ SELECT $$;
SELECT rapport.add_hook('person_erased', 'hidden_from_the_owner.hook(bigint[])');
DROP FUNCTION hidden_from_the_owner.hook;
DROP SCHEMA hidden_from_the_owner;
-- one that is gone can be taken back; what is built in cannot
DROP FUNCTION first_hook;
SELECT rapport.run_hooks('person_erased', ARRAY[7, 8]);
SELECT rapport.drop_hook('person_erased', 'public.first_hook(bigint[])');
SELECT rapport.drop_hook('person_erased', 'public.second_hook(bigint[])');
SELECT rapport.drop_hook('matched', 'rapport.chat_matched(bigint[])');
SELECT count(*) FROM rapport.hook WHERE NOT builtin;
DROP FUNCTION second_hook;
DROP TABLE heard;

-- Idempotency: the first answer is stored with the write and comes back.
SELECT rapport.replay('key', 'request');
SELECT rapport.act_as(rapport.new_person('core idempotency'));
SELECT rapport.replay('key', 'request') IS NULL AS new;
SELECT rapport.remember('key', 'request', '{"a": 1}');
SELECT rapport.replay('key', 'request');
SELECT rapport.replay('key', 'another request');
SELECT rapport.remember('no request', NULL, '{}');
SELECT rapport.remember('empty', 'request', NULL) = '' AS "no body", rapport.replay('empty', 'request') = '' AS "no body again";
SELECT rapport.replay(repeat('x', 201), 'request');
SELECT rapport.replay('two words', 'request');
-- another person's key is another key
SELECT rapport.act_as(NULL);
SELECT rapport.act_as(rapport.new_person('core idempotency 2'));
SELECT rapport.replay('key', 'another request') IS NULL AS new;
SELECT rapport.act_as(NULL);
-- answers are forgotten after the horizon
SELECT rapport.forget_idempotency();
SET rapport.now = '2100-01-01';
SELECT rapport.forget_idempotency();
SET rapport.now = '';

-- Events are written by the transaction that commits, MACed, and small.
SELECT 'slot' FROM pg_create_logical_replication_slot('core_events', 'pgoutput');
SELECT rapport.event_emit('p:1', 'match', '{"with": 2}');
BEGIN;
SELECT rapport.event_emit('p:1', 'never');
ROLLBACK;
SELECT pg_logical_emit_message(true, 'rapport', 'a forger, who may write logical messages too') IS NOT NULL AS forged;
SELECT rapport.event_emit('p:1', 'large', jsonb_build_object('x', repeat('x', 8192)));
-- the forged one has no MAC; the one rolled back never left
WITH message AS (
	SELECT substr(data, 23) AS content
	FROM pg_logical_slot_get_binary_changes('core_events', NULL, NULL, 'proto_version', '1', 'publication_names', 'none', 'messages', 'true')
	WHERE get_byte(data, 0) = ascii('M')
)
SELECT CASE WHEN m.authentic THEN convert_from(substr(content, 17), 'UTF8') END AS event, m.authentic
FROM message,
	 LATERAL (SELECT encode(substr(content, 1, 16), 'hex') = rapport.mac('events', convert_from(substr(content, 17), 'UTF8')) AS authentic) AS m;
SELECT pg_drop_replication_slot('core_events');
