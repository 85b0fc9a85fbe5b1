-- Who is calling stays who is calling: in parallel workers, in plans that
-- others made, and wherever names may lead. What is called is read from the
-- catalogue, so that a new function is attacked as well.
SET client_min_messages = warning;
\pset null '(null)'
\set VERBOSITY terse
CREATE ROLE regress_mallory LOGIN IN ROLE rapport_admin, rapport_service, rapport_api;
SELECT rapport.new_person('identity ada') AS ada, rapport.new_person('identity ben') AS ben \gset
SELECT rapport.set_role_for(:ada, 'admin');
SELECT rapport.act_as(p), rapport.update_profile('{"display_name": "Somebody", "birth_date": "1990-01-01"}'), rapport.set_place(-49, 69),
	   rapport.set_preference('date', '{}')
FROM unnest(ARRAY[:ada, :ben]::bigint[]) AS p \g /dev/null
SELECT rapport.act_as(NULL);
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE TABLE hostile.many AS SELECT i FROM generate_series(1, 10000) AS i;
ALTER TABLE hostile.many SET (parallel_workers = 2);
GRANT SELECT ON hostile.many TO PUBLIC;

--
-- Parallel workers. The leader reads nothing: whoever is counted was seen by a worker.
--
CREATE FUNCTION hostile.in_workers(condition text, OUT launched boolean, OUT rows numeric)
LANGUAGE plpgsql
SET parallel_leader_participation = off SET parallel_setup_cost = 0 SET parallel_tuple_cost = 0 SET min_parallel_table_scan_size = 0
SET max_parallel_workers_per_gather = 2
AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, TIMING off, FORMAT json) SELECT FROM hostile.many WHERE ' || condition INTO plan;
	launched := (plan #> '{0,Plan,Workers Launched}')::integer > 0;
	rows := round((plan #> '{0,Plan,Actual Rows}')::numeric);
END;
$$;
-- Each condition needs the row, or it would be decided before the workers start.
CREATE FUNCTION hostile.workers_see(person bigint, role text, OUT launched boolean, OUT "current" numeric, OUT acting numeric, OUT verified numeric)
LANGUAGE plpgsql AS $$
BEGIN
	SELECT w.launched, w.rows INTO launched, "current" FROM hostile.in_workers(format('rapport.current_person() + i = %s + i', person)) AS w;
	SELECT w.rows INTO acting FROM hostile.in_workers(format('rapport.acting_person() + i = %s + i', person)) AS w;
	SELECT w.rows INTO verified FROM hostile.in_workers(format(
		'current_setting(''rapport.verified_role'') || current_user || i = %L || ''rapport_'' || %1$L || i', role)) AS w;
END;
$$;
\c - regress_mallory
SELECT rapport.act_as(:ada);
SELECT * FROM hostile.workers_see(:ada, 'admin');
SELECT * FROM hostile.workers_see(:ben, 'user');
BEGIN;
SELECT rapport.act_as(:ben, true);
SAVEPOINT s;
SELECT rapport.act_as(:ada, true);
SELECT * FROM hostile.workers_see(:ada, 'admin');
ROLLBACK TO s;
SELECT * FROM hostile.workers_see(:ben, 'user');
COMMIT;
SELECT * FROM hostile.workers_see(:ada, 'admin');
SELECT rapport.act_as(NULL);
SELECT * FROM hostile.in_workers('(rapport.current_person() + i) IS NULL');
SELECT * FROM hostile.in_workers('rapport.acting_person() + i > 0');
SELECT * FROM hostile.in_workers('rapport.current_person() + i > 0');

--
-- Plans that somebody else made
--
\c - postgres
CREATE VIEW hostile.exposed AS
SELECT p.oid, p.oid::regprocedure AS fn, p.prokind, p.proname, p.proargtypes, p.proargnames,
	   has_function_privilege('rapport_user', p.oid, 'EXECUTE') AS by_user, has_function_privilege('rapport_anon', p.oid, 'EXECUTE') AS by_anon
FROM pg_proc AS p
WHERE p.pronamespace = 'rapport'::regnamespace
AND p.prokind IN ('f', 'p')
AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
			WHERE a.grantee = 0 OR a.grantee IN (SELECT r.oid FROM pg_roles AS r WHERE r.rolname LIKE 'rapport\_%' AND r.rolname <> 'rapport_owner'));
GRANT SELECT ON hostile.exposed TO PUBLIC;
-- A statement that a person has prepared and run, run again without the right to: still that person, but no longer in the role.
CREATE FUNCTION hostile.prepared_by(person bigint) RETURNS TABLE (fn text, plans text, state text)
LANGUAGE plpgsql AS $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT e.fn, e.proname, (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n)
								 FROM unnest(e.proargtypes) WITH ORDINALITY AS a (t, n)) AS arguments
		FROM hostile.exposed AS e
		WHERE e.by_user AND NOT e.by_anon AND e.prokind = 'f'
	LOOP
		fn := f.fn;
		EXECUTE format('PREPARE attack AS SELECT FROM rapport.%I(%s)', f.proname, f.arguments);
		FOREACH plans IN ARRAY ARRAY['force_generic_plan', 'force_custom_plan'] LOOP
			PERFORM set_config('plan_cache_mode', plans, true);
			BEGIN
				PERFORM rapport.act_as(person, true);
				BEGIN
					EXECUTE 'EXECUTE attack';
				EXCEPTION WHEN OTHERS THEN
					NULL;
				END;
				SET LOCAL ROLE rapport_anon;
				EXECUTE 'EXECUTE attack';
				RAISE SQLSTATE 'ZZ000';
			EXCEPTION WHEN OTHERS THEN
				state := SQLSTATE;
			END;
			RETURN NEXT;
		END LOOP;
		DEALLOCATE attack;
	END LOOP;
END;
$$;
-- A function that can be inlined, planted: its plan runs for whoever has it. Routes may not have one, the lint of the catalogue says.
CREATE FUNCTION rapport.planted() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT rapport.current_person()';
REVOKE ALL ON FUNCTION rapport.planted() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rapport.planted() TO rapport_user;
\c - regress_mallory
SELECT count(*) > 50 AS many FROM hostile.prepared_by(:ben);
SELECT DISTINCT fn, CASE state WHEN 'ZZ000' THEN 'it ran' ELSE state END AS outcome FROM hostile.prepared_by(:ben) WHERE state <> '42501';
\c - postgres
DROP FUNCTION rapport.planted();

--
-- Names that lead elsewhere. Every function, operator, type and table that
-- anything of ours could mean has a namesake that comes first; it tells when it
-- runs with rights that are not its caller's.
--
CREATE FUNCTION hostile.planted() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	IF current_user NOT IN (session_user, 'rapport_anon', 'rapport_user', 'rapport_moderator', 'rapport_admin') THEN
		RAISE SQLSTATE 'ZZ001' USING MESSAGE = format('planted code runs as %s', current_user);
	END IF;
	RETURN NULL;
END;
$$;
CREATE FUNCTION hostile.plain(t oid) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT t = 0 OR EXISTS (SELECT FROM pg_catalog.pg_type AS y WHERE y.oid = t AND y.typtype IN ('b', 'r', 'm') AND y.typnamespace = 'pg_catalog'::regnamespace)
$$;
-- The name of a type, or of what a polymorphic one is when its element is e.
CREATE FUNCTION hostile.named(t oid, e regtype) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN t IN ('anyarray'::regtype, 'anycompatiblearray'::regtype) THEN e || '[]'
				WHEN t IN ('anyelement'::regtype, 'anycompatible'::regtype, 'anynonarray'::regtype, 'anycompatiblenonarray'::regtype, '"any"'::regtype) THEN e::text
				ELSE format_type(t, NULL) END
$$;
SET check_function_bodies = off;
DO $$
DECLARE
	element regtype;
	f record;
	body CONSTANT text := 'LANGUAGE plpgsql AS ''BEGIN PERFORM hostile.planted(); RETURN NULL; END''';
BEGIN
	-- The first round takes what has plain types only, the others what fits an element.
	FOREACH element IN ARRAY ARRAY[NULL, 'bigint', 'integer', 'smallint', 'text', 'boolean', 'jsonb', 'real', 'double precision', 'timestamptz', 'date']::regtype[] LOOP
		FOR f IN
			SELECT format('hostile.%I(%s)', p.proname, string_agg(hostile.named(a.t, element), ', ' ORDER BY a.n)) AS signature,
				   CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || hostile.named(p.prorettype, element) AS result,
				   CASE WHEN p.proretset THEN 'LANGUAGE plpgsql AS ''BEGIN PERFORM hostile.planted(); END''' ELSE body END AS body
			FROM pg_catalog.pg_proc AS p
			LEFT JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ON true
			WHERE p.pronamespace = 'pg_catalog'::regnamespace
			AND p.prokind = 'f'
			GROUP BY p.oid
			HAVING bool_and(hostile.plain(coalesce(a.t, 0))) AND hostile.plain(p.prorettype) = (element IS NULL)
			OR element IS NOT NULL AND bool_or(a.t IN ('anyarray'::regtype, 'anyelement'::regtype, 'anycompatiblearray'::regtype, 'anycompatible'::regtype, 'anynonarray'::regtype))
		LOOP
			BEGIN
				EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS %s %s', f.signature, f.result, f.body);
			EXCEPTION WHEN OTHERS THEN
				NULL;
			END;
		END LOOP;
		FOR f IN
			SELECT DISTINCT o.oprname, CASE WHEN o.oprleft <> 0 THEN hostile.named(o.oprleft, element) END AS l, hostile.named(o.oprright, element) AS r,
				   hostile.named(o.oprresult, element) AS result
			FROM pg_catalog.pg_operator AS o
			WHERE o.oprnamespace = 'pg_catalog'::regnamespace
			AND (hostile.plain(o.oprleft) AND hostile.plain(o.oprright)) = (element IS NULL)
		LOOP
			BEGIN
				EXECUTE format('CREATE OR REPLACE FUNCTION hostile.%I(%s) RETURNS %s %s', 'op ' || f.oprname, concat_ws(', ', f.l, f.r), f.result, body);
				EXECUTE format('CREATE OPERATOR hostile.%s (%s RIGHTARG = %s, FUNCTION = hostile.%I)', f.oprname, 'LEFTARG = ' || f.l || ',', f.r, 'op ' || f.oprname);
			EXCEPTION WHEN OTHERS THEN
				NULL;
			END;
		END LOOP;
	END LOOP;
	FOR f IN SELECT t FROM unnest(ARRAY['text', 'jsonb', 'json', 'date', 'bytea', 'name', 'oid', 'regclass', 'regproc', 'regprocedure', 'regtype', 'uuid']) AS t LOOP
		EXECUTE format('CREATE DOMAIN hostile.%I AS pg_catalog.%1$I CHECK (hostile.planted() IS NULL)', f.t);
	END LOOP;
END;
$$;
SELECT count(*) > 2500 AS functions FROM pg_proc WHERE pronamespace = 'hostile'::regnamespace;
SELECT count(*) > 700 AS operators FROM pg_operator WHERE oprnamespace = 'hostile'::regnamespace;
-- Tables: the schema named is the one they are made in.
CREATE FUNCTION hostile.plant_tables(schema name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT k.relname, string_agg(format('NULL::%s AS %I', format_type(a.atttypid, NULL), a.attname), ', ' ORDER BY a.attnum) AS columns
		FROM pg_class AS k
		JOIN pg_attribute AS a ON a.attrelid = k.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid NOT IN ('anyarray'::regtype, 'pg_statistic[]'::regtype)
		WHERE k.relnamespace IN ('rapport'::regnamespace, 'pg_catalog'::regnamespace)
		AND k.relkind IN ('r', 'p', 'v')
		GROUP BY k.oid
	LOOP
		EXECUTE format('CREATE VIEW %I.%I AS SELECT %s WHERE hostile.planted() IS NULL', schema, c.relname, c.columns);
		EXECUTE format('GRANT SELECT ON %I.%I TO PUBLIC', schema, c.relname);
	END LOOP;
END;
$$;
SELECT hostile.plant_tables('hostile');
-- Calls everything that is exposed, as a person (NULL: as the back end itself), with nothing and with something that could be meant.
-- Nothing of it stays.
CREATE FUNCTION hostile.call_everything(person bigint, other bigint, token text) RETURNS TABLE (fn text, state text, message text)
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
	names text[];
	calls text[];
BEGIN
	SELECT array_agg(e.fn::text || CASE WHEN s.meant THEN '' ELSE ' of nothing' END),
		   array_agg(format('%s rapport.%I(%s)', CASE e.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT * FROM' END, e.proname, (
			   SELECT string_agg(format('%L::%s', CASE
				   WHEN NOT s.meant THEN NULL
				   WHEN a.name = 'token' THEN call_everything.token
				   WHEN a.name = 'mode' AND a.type = 'text'::regtype THEN 'date'
				   WHEN a.name IN ('after', 'before_seq', 'after_seq') THEN NULL
				   WHEN a.type = 'text'::regtype THEN 'identity@example.org'
				   WHEN a.type = 'bigint'::regtype THEN other::text
				   WHEN a.type = 'bigint[]'::regtype THEN format('{%s}', other)
				   WHEN a.type IN ('integer'::regtype, 'smallint'::regtype, 'double precision'::regtype) THEN '10'
				   WHEN a.type = 'boolean'::regtype THEN 'false'
				   WHEN a.type IN ('date'::regtype, 'timestamptz'::regtype) THEN '2030-01-01'
				   WHEN a.type = 'jsonb'::regtype THEN '{}'
				   WHEN a.type = 'regclass'::regtype THEN 'hostile.many'
				   WHEN a.type::text LIKE '%[]' THEN '{}' END, format_type(a.type, NULL)), ', ' ORDER BY a.n)
			   FROM (SELECT t.type, t.n, e.proargnames[t.n] AS name FROM unnest(e.proargtypes) WITH ORDINALITY AS t (type, n)) AS a)))
	INTO names, calls
	FROM hostile.exposed AS e
	CROSS JOIN (VALUES (true), (false)) AS s (meant);
	FOR i IN 1 .. cardinality(calls) LOOP
		fn := names[i];
		BEGIN
			PERFORM set_config('search_path', 'hostile, pg_catalog, rapport', true);
			IF person IS NOT NULL THEN
				PERFORM rapport.act_as(person, true);
			END IF;
			EXECUTE calls[i];
			RAISE SQLSTATE 'ZZ000';
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
			message := SQLERRM;
		END;
		RETURN NEXT;
	END LOOP;
END;
$$;
-- What is planted is caught: a function, an operator, a type and a table that are not named in full.
CREATE FUNCTION rapport.planted_function() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN lower('A'); END $$;
CREATE FUNCTION rapport.planted_operator(person_id bigint) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN person_id > 5; END $$;
CREATE FUNCTION rapport.planted_type() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN 'a'::text IS NULL; END $$;
CREATE FUNCTION rapport.planted_table() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN EXISTS (SELECT FROM person); END $$;
ALTER FUNCTION rapport.planted_function() OWNER TO rapport_owner;
ALTER FUNCTION rapport.planted_operator(bigint) OWNER TO rapport_owner;
ALTER FUNCTION rapport.planted_type() OWNER TO rapport_owner;
ALTER FUNCTION rapport.planted_table() OWNER TO rapport_owner;
SELECT rapport.set_setting('password_memory', '1'), rapport.set_setting('password_ops', '1');
SELECT rapport.sign_up('identity.ada@example.org', 'correct horse');
SELECT access_token AS token FROM rapport.sign_in('identity.ada@example.org', 'correct horse') \gset
\c - regress_mallory
SET client_min_messages = error;
-- Names of temporary tables are looked up before any schema of the path.
CREATE TEMP TABLE any_table ();
SELECT nspname AS temp FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
SELECT hostile.plant_tables(:'temp');
CREATE TEMP TABLE called AS
SELECT 'as a back end' AS who, c.* FROM hostile.call_everything(NULL, :ben, :'token') AS c
UNION ALL
SELECT 'as a person', c.* FROM hostile.call_everything(:ada, :ben, :'token') AS c;
SELECT who, count(*) > 150 AS called, count(*) FILTER (WHERE state = 'ZZ000') > 50 AS answered FROM called GROUP BY who ORDER BY who;
SELECT DISTINCT who, split_part(fn, ' of nothing', 1) AS fn, message FROM called WHERE state = 'ZZ001' ORDER BY who, fn;

\c - postgres
SET client_min_messages = warning;
SELECT rapport.set_setting('password_memory', NULL), rapport.set_setting('password_ops', NULL);
DROP FUNCTION rapport.planted_function(), rapport.planted_operator(bigint), rapport.planted_type(), rapport.planted_table();
SELECT count(rapport.erase_person_for(p)::text) AS erased
FROM (VALUES (:ada), (:ben), ((SELECT e.person_id FROM rapport.email AS e WHERE e.email = 'identity.ada@example.org'))) AS x (p);
DROP SCHEMA hostile CASCADE;
DROP ROLE regress_mallory;
