-- Attacks that must not succeed, each tried once as somebody hostile would.
SET client_min_messages = warning;
CREATE ROLE regress_mallory LOGIN;
GRANT rapport_user TO regress_mallory;
CREATE ROLE regress_backend LOGIN;
GRANT rapport_service TO regress_backend;

--
-- Who one is, before the module is loaded: then anybody can set its parameters.
--
SELECT rapport.new_person('security victim') AS victim \gset
SELECT rapport.act_as(:victim);
SELECT rapport.remember('key', 'request', '"private"');
SELECT rapport.act_as(NULL);
\c - regress_mallory
SET rapport.person = :victim;
SELECT rapport.replay('key', 'request');
\c - regress_mallory
SET rapport.person = :victim;
SELECT rapport.remember('another', 'request', '"planted"');
\c - postgres
SELECT key, body FROM rapport.idempotency WHERE person_id = :victim;

--
-- Text that takes long to normalise: the server cannot be told to stop.
--
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	code text;
	detail text;
	began timestamptz := clock_timestamp();
BEGIN
	BEGIN
		EXECUTE statement;
		code := 'accepted';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
	END;
	RETURN concat_ws(', ', code, nullif(detail, ''), CASE WHEN clock_timestamp() - began > '2 seconds' THEN 'slowly' END);
END;
$$;
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1');
SELECT rapport.sign_up('security@example.org', 'correct horse');
-- Marks of two classes in turn, 64 kB: normalising moves each past half of the others.
\set marks 'repeat(U&\'\\0301\\0316\', 16000)'
SELECT pg_temp.outcome(format('SELECT rapport.sign_up(%L, %L)', :marks || '@example.org', 'correct horse')) AS email;
SELECT pg_temp.outcome(format('SELECT rapport.sign_up(%L, %L)', 'security2@example.org', :marks)) AS password;
SELECT pg_temp.outcome(format('SELECT rapport.sign_in(%L, %L)', :marks, 'correct horse')) AS email;
SELECT pg_temp.outcome(format('SELECT rapport.sign_in(%L, %L)', 'security@example.org', :marks)) AS password;
SELECT refusal FROM rapport.sign_in('security@example.org', :marks);
SELECT rapport.act_as(:victim);
SELECT pg_temp.outcome(format('SELECT rapport.change_password(%L, %L)', :marks, :marks)) AS password;
SELECT pg_temp.outcome(format('SELECT rapport.update_profile(%L)', jsonb_build_object('about', 'a' || repeat(U&'\0301\0316', 7000)))) AS about;
SELECT pg_temp.outcome(format('SELECT rapport.update_profile(%L)', jsonb_build_object('about', 'a' || repeat(U&'\0301\1715', 5000)))) AS spacing;
SELECT pg_temp.outcome(format('SELECT rapport.update_profile(%L)', jsonb_build_object('about', 'a' || repeat(U&'\0301\0316', 32)))) AS "64 marks";
SELECT char_length(about) FROM rapport.my_profile();
SELECT rapport.act_as(NULL);
SELECT rapport.set_setting('password_memory', NULL), rapport.set_setting('password_ops', NULL);

--
-- Blocks and ended matches hold: under an older snapshot, and when a pass expires.
--
CREATE FUNCTION pg_temp.join_in(external_id text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	person bigint := rapport.new_person(external_id);
BEGIN
	PERFORM rapport.act_as(person);
	PERFORM rapport.update_profile(jsonb_build_object('display_name', external_id, 'birth_date', '1990-01-01'));
	PERFORM rapport.set_place(-50, 70);
	PERFORM rapport.set_preference('date', '{"enabled": true}');
	PERFORM rapport.act_as(NULL);
	RETURN person;
END;
$$;
SELECT pg_temp.join_in('security ana') AS ana, pg_temp.join_in('security bo') AS bo \gset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rapport.act_as(:ana, true);
SELECT pg_temp.outcome('SELECT rapport."like"(' || :bo || ')') AS "like", pg_temp.outcome('SELECT rapport.block(' || :bo || ')') AS block;
COMMIT;
SELECT rapport.set_setting('pass_days', '1');
SELECT rapport.act_as(:ana);
SELECT matched FROM rapport."like"(:bo);
SELECT rapport.act_as(:bo);
SELECT matched FROM rapport."like"(:ana);
SELECT rapport.unmatch(:ana);
SELECT pg_temp.outcome('SELECT rapport.pass(' || :ana || ')') AS pass;
SELECT rapport.act_as(:ana);
SELECT pg_temp.outcome('SELECT rapport.pass(' || :bo || ')') AS pass;
SELECT rapport.act_as(NULL);
SET rapport.now = '2100-01-01';
SELECT rapport.act_as(:ana);
SELECT count(*) AS shown FROM rapport.discover() WHERE person_id = :bo;
SELECT rapport.act_as(NULL);
SET rapport.now = '';
SELECT rapport.set_setting('pass_days', NULL);

--
-- A back end may import people; it must not be able to stop the server.
--
\c - regress_backend
SELECT rapport.import_begin('security', '{}');
SELECT rapport.import_batch('security', NULL, NULL, ARRAY['{"external_id": "security a"}', '[]']::jsonb[]);
SELECT rapport.import_batch('security', NULL, NULL, ARRAY['{"external_id": "security b", "profile": null, "preferences": {"date": null}}']::jsonb[]);
\c - postgres
SELECT row, reasons FROM rapport.import_reject WHERE source = 'security' ORDER BY reject;

--
-- What nobody but a member of these roles may touch
--
SELECT c.oid::regclass AS readable
FROM pg_class AS c
WHERE c.relnamespace = 'rapport'::regnamespace
AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('rapport_service', c.oid, 'USAGE, SELECT, UPDATE')
	ELSE c.relkind IN ('r', 'v', 'm', 'p') AND has_table_privilege('rapport_service', c.oid, 'SELECT, INSERT, UPDATE, DELETE') END;
SELECT r.rolname
FROM pg_roles AS r
WHERE NOT r.rolsuper
AND pg_has_role(r.oid, 'rapport_owner', 'MEMBER')
AND r.rolname <> 'rapport_owner';
-- C functions with arguments that are all null, by whoever may call them.
DO $$
DECLARE
	call text;
BEGIN
	FOR call IN
		SELECT format('SELECT rapport.%I(%s)', p.proname,
					  (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n)
					   FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, n)))
		FROM pg_proc AS p
		JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'c'
		WHERE p.pronamespace = 'rapport'::regnamespace
		AND NOT p.proisstrict
		AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
		AND p.proname NOT IN ('act_as', 'act_as_external', 'request_begin')
	LOOP
		BEGIN
			EXECUTE call;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
END;
$$;
SELECT 'still here';

--
-- Installing: the owner of a database may create in the schema where PostGIS is put.
--
SELECT current_database() AS here \gset
CREATE DATABASE regress_security OWNER regress_mallory;
\c regress_security regress_mallory
-- Better matches than the server's own, which take what they are called with.
CREATE FUNCTION planted() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted function runs as %', current_user; END $$;
CREATE FUNCTION same(oid, regclass) RETURNS boolean LANGUAGE sql AS 'SELECT public.planted()';
CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = same);
DO $$
DECLARE
	element text;
BEGIN
	FOREACH element IN ARRAY ARRAY['smallint', 'integer', 'bigint', 'text', 'boolean', 'oid', 'jsonb', 'double precision']
	LOOP
		EXECUTE format('CREATE FUNCTION unnest(%1$s[]) RETURNS SETOF %1$s LANGUAGE sql AS ''SELECT NULL::%1$s WHERE public.planted()'';'
					   'CREATE FUNCTION cardinality(%1$s[]) RETURNS integer LANGUAGE sql AS ''SELECT 0 WHERE public.planted()'';'
					   'CREATE FUNCTION array_remove(%1$s[], %1$s) RETURNS %1$s[] LANGUAGE sql AS ''SELECT $1 WHERE public.planted()'';'
					   'CREATE FUNCTION to_jsonb(%1$s) RETURNS jsonb LANGUAGE sql AS ''SELECT NULL::jsonb WHERE public.planted()'';'
					   'CREATE FUNCTION format(text, %1$s) RETURNS text LANGUAGE sql AS ''SELECT $1 WHERE public.planted()'';'
					   'CREATE FUNCTION keep(%1$s, %1$s) RETURNS %1$s LANGUAGE sql AS ''SELECT $1 WHERE public.planted()'';'
					   'CREATE AGGREGATE array_agg(%1$s) (SFUNC = keep, STYPE = %1$s);'
					   'CREATE AGGREGATE jsonb_agg(%1$s) (SFUNC = keep, STYPE = %1$s);', element);
	END LOOP;
END;
$$;
\c regress_security postgres
SET client_min_messages = warning;
CREATE EXTENSION rapport CASCADE;
SHOW search_path;
SET search_path = pg_catalog;
SELECT DISTINCT d.objid::regprocedure AS caught, d.refobjid::regprocedure AS planted
FROM pg_depend AS d
JOIN pg_proc AS p ON p.oid = d.refobjid AND p.proowner = 'regress_mallory'::regrole
WHERE d.classid = 'pg_proc'::regclass
AND d.refclassid = 'pg_proc'::regclass
AND d.objid IN (SELECT f.oid FROM pg_proc AS f WHERE f.pronamespace = 'rapport'::regnamespace);
\c :here postgres
DROP DATABASE regress_security;

DELETE FROM rapport.import_reject WHERE source = 'security';
DELETE FROM rapport.import_run WHERE source = 'security';
DROP ROLE regress_mallory, regress_backend;
