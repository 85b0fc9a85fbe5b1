-- The rules of the catalogue, each a query for what breaks it; then each rule
-- is shown to catch a planted violation.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS plpgsql_check;
CREATE SCHEMA lint;

CREATE VIEW lint.tab AS
SELECT c.oid, c.oid::regclass AS tab, c.relkind, c.relacl, c.relispartition
FROM pg_class AS c
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm');

CREATE VIEW lint.fn AS
SELECT p.oid::regprocedure AS fn, p.*, l.lanname, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport';

-- Who may call what: the roles below rapport_owner that a function is granted to.
CREATE VIEW lint.exposed AS
SELECT f.oid, f.fn, r.rolname
FROM lint.fn AS f
CROSS JOIN LATERAL aclexplode(f.acl) AS a
JOIN pg_roles AS r ON r.oid = a.grantee
WHERE r.rolname IN ('rapport_anon', 'rapport_user', 'rapport_moderator', 'rapport_admin', 'rapport_service', 'rapport_api');

-- Runs a statement for nobody; the error, NULL when there is none.
CREATE FUNCTION lint.error_of(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE statement USING '{}'::bigint[];
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END;
$$;

CREATE VIEW lint.violation AS
-- Data rules
SELECT 'every table and sequence is dumped or excepted' AS rule, t.tab::text AS object
FROM lint.tab AS t
WHERE t.relkind IN ('r', 'p', 'S')
AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'rapport' AND t.oid = ANY (e.extconfig))
AND NOT EXISTS (SELECT FROM rapport.dump_exception AS x WHERE x.rel = t.oid)
UNION ALL
SELECT 'a table dumped in part says why', t.tab::text
FROM lint.tab AS t
JOIN pg_extension AS e ON e.extname = 'rapport'
WHERE e.extcondition[array_position(e.extconfig, t.oid)] <> ''
AND NOT EXISTS (SELECT FROM rapport.dump_exception AS x WHERE x.rel = t.oid)
UNION ALL
SELECT 'no triggers', t.tab::text
FROM lint.tab AS t
JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'no cycles of foreign keys', c.conrelid::regclass::text
FROM (
	WITH RECURSIVE reach (start, reached) AS (
		SELECT k.conrelid, k.confrelid FROM pg_constraint AS k WHERE k.contype = 'f'
		UNION
		SELECT r.start, k.confrelid FROM reach AS r JOIN pg_constraint AS k ON k.contype = 'f' AND k.conrelid = r.reached
	)
	SELECT r.start AS conrelid FROM reach AS r WHERE r.start = r.reached
) AS c
JOIN lint.tab AS t ON t.oid = c.conrelid
UNION ALL
SELECT 'a table that gets partitions at run time has no index: the restore would make theirs twice', t.tab::text
FROM lint.tab AS t
JOIN pg_partitioned_table AS p ON p.partrelid = t.oid
WHERE p.partstrat <> 'h'
AND EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = t.oid)
UNION ALL
SELECT 'every table declares its distribution', t.tab::text
FROM lint.tab AS t
WHERE t.relkind IN ('r', 'p')
AND NOT t.relispartition
AND NOT EXISTS (SELECT FROM rapport.distribution AS d WHERE d.tab = t.oid)
UNION ALL
SELECT 'the distribution column is first in every unique key', i.indexrelid::regclass::text
FROM rapport.distribution AS d
JOIN pg_index AS i ON i.indrelid = d.tab AND i.indisunique
JOIN pg_attribute AS a ON a.attrelid = d.tab AND a.attnum = i.indkey[0]
WHERE d.grp NOT IN ('R', 'G')
AND a.attname IS DISTINCT FROM d.col
UNION ALL
SELECT 'no foreign key across groups', k.conname || ' of ' || k.conrelid::regclass
FROM pg_constraint AS k
JOIN rapport.distribution AS d ON d.tab = k.conrelid
JOIN rapport.distribution AS o ON o.tab = k.confrelid
WHERE k.contype = 'f'
AND o.grp <> 'R'
AND d.grp <> o.grp
UNION ALL
SELECT 'every column is classified', t.tab || '.' || a.attname
FROM lint.tab AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.relkind IN ('r', 'p')
AND NOT t.relispartition
AND NOT EXISTS (SELECT FROM rapport.personal_data AS p WHERE p.tab = t.oid AND p.col = a.attname)
UNION ALL
SELECT 'personal data that is kept says why', p.tab || '.' || p.col
FROM rapport.personal_data AS p
WHERE p.on_erase = 'keep'
AND p.reason IS NULL
UNION ALL
SELECT 'a table with personal data says whose each row is', p.tab::text
FROM rapport.personal_data AS p
WHERE p.class <> 'none'
AND NOT EXISTS (SELECT FROM rapport.subjects() AS s WHERE s.tab = p.tab AND s.own)
UNION ALL
SELECT 'a column that names a person says what erasing the person does', t.tab || '.' || a.attname
FROM lint.tab AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.relkind IN ('r', 'p')
AND NOT t.relispartition
AND a.atttypid IN ('bigint'::regtype, 'bigint[]'::regtype)
AND a.attname ~ '^(person|other|sender|owner|author|viewer|subject|target|reporter|moderator)(_ids?)?$|_(person|by)(_ids?)?$|^(lo|hi)$'
AND NOT EXISTS (SELECT FROM rapport.subjects() AS s WHERE s.tab = t.oid AND s.col = a.attname)
UNION ALL
SELECT 'what a subject names is a column', s.tab || '.' || s.col
FROM rapport.subjects() AS s
WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = s.tab AND a.attname = s.col)
UNION ALL
SELECT 'erasing deletes a row or clears columns of it, not both', p.tab::text
FROM rapport.personal_data AS p
JOIN rapport.personal_data AS o ON o.tab = p.tab AND o.on_erase = 'delete'
WHERE p.on_erase = 'clear'
OR p.on_erase = 'keep' AND p.class <> 'none'
UNION ALL
SELECT 'a column that is cleared may be null', a.attrelid::regclass || '.' || a.attname
FROM (SELECT p.tab, p.col FROM rapport.personal_data AS p WHERE p.on_erase = 'clear'
	  UNION SELECT s.tab, s.col FROM rapport.subjects() AS s WHERE s.on_erase = 'clear') AS x
JOIN pg_attribute AS a ON a.attrelid = x.tab AND a.attname = x.col AND a.attnotnull
UNION ALL
SELECT 'somebody else''s row that is kept says why', s.tab || '.' || s.col
FROM rapport.subject AS s
WHERE s.on_erase = 'keep'
AND s.reason IS NULL
UNION ALL
SELECT 'the statements of erasing and exporting run', x.tab || ': ' || lint.error_of(x.statement)
FROM (SELECT e.tab, e.statement FROM rapport.erase_statements() AS e
	  UNION ALL SELECT e.tab, e.statement FROM rapport.export_statements() AS e) AS x
WHERE lint.error_of(x.statement) IS NOT NULL
UNION ALL
SELECT 'ANALYZE samples no text of people', c.tab || '.' || c.col
FROM rapport.sampled_text() AS c
UNION ALL
SELECT 'no identity columns', t.tab || '.' || a.attname
FROM lint.tab AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attidentity <> ''
UNION ALL
SELECT 'no type that pg_upgrade refuses', t.tab || '.' || a.attname
FROM lint.tab AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE a.atttypid IN ('regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype, 'regoperator'::regtype, 'regconfig'::regtype,
					 'regdictionary'::regtype, 'regnamespace'::regtype, 'regcollation'::regtype)
UNION ALL
SELECT 'no stored age', t.tab || '.' || a.attname
FROM lint.tab AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attname = 'age'
WHERE t.relkind IN ('r', 'p')
UNION ALL
-- Documentation
SELECT 'every table has a comment', t.tab::text
FROM lint.tab AS t
WHERE obj_description(t.oid, 'pg_class') IS NULL
UNION ALL
SELECT 'every function has a comment', f.fn::text
FROM lint.fn AS f
WHERE obj_description(f.oid, 'pg_proc') IS NULL
UNION ALL
-- Who may call what
SELECT 'tables are granted to nobody', t.tab || ' to ' || coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC')
FROM lint.tab AS t
CROSS JOIN LATERAL aclexplode(t.relacl) AS a
WHERE a.grantee <> to_regrole('rapport_owner')
UNION ALL
SELECT 'everything belongs to rapport_owner', t.tab::text
FROM lint.tab AS t
JOIN pg_class AS c ON c.oid = t.oid
WHERE c.relowner <> to_regrole('rapport_owner')
UNION ALL
SELECT 'everything belongs to rapport_owner', f.fn::text
FROM lint.fn AS f
WHERE f.proowner <> to_regrole('rapport_owner')
UNION ALL
SELECT 'rapport_owner is no superuser and cannot log in', rolname
FROM pg_roles
WHERE rolname = 'rapport_owner'
AND (rolsuper OR rolcanlogin OR rolcreaterole OR rolreplication OR rolbypassrls)
UNION ALL
SELECT 'PUBLIC may call only immutable C functions', f.fn::text
FROM lint.fn AS f
CROSS JOIN LATERAL aclexplode(f.acl) AS a
WHERE a.grantee = 0
AND NOT (f.provolatile = 'i' AND f.lanname = 'c' AND NOT f.prosecdef)
UNION ALL
SELECT 'a definer function pins its search_path', f.fn::text
FROM lint.fn AS f
WHERE f.prosecdef
AND NOT coalesce(f.proconfig, '{}') @> ARRAY['search_path=pg_catalog, rapport, pg_temp']
UNION ALL
SELECT 'an exposed function is plpgsql with definer''s rights, or C', e.fn::text
FROM lint.exposed AS e
JOIN lint.fn AS f USING (oid)
WHERE NOT (f.lanname = 'plpgsql' AND (f.prosecdef OR f.prokind = 'p') OR f.lanname = 'c')
UNION ALL
SELECT 'a function for an explicit person is for services only', e.fn || ' to ' || e.rolname
FROM lint.exposed AS e
JOIN lint.fn AS f USING (oid)
WHERE f.proname LIKE '%\_for'
AND e.rolname <> 'rapport_service'
UNION ALL
SELECT 'a row of rapport.message stays narrow: eight columns', count(*)::text
FROM pg_attribute AS a
WHERE a.attrelid = 'rapport.message'::regclass
AND a.attnum > 0
AND NOT a.attisdropped
HAVING count(*) <> 8
UNION ALL
SELECT 'a building block in SQL is BEGIN ATOMIC with its caller''s rights', f.fn::text
FROM lint.fn AS f
WHERE f.lanname = 'sql'
AND (f.prosqlbody IS NULL AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.oid = ANY (f.proargtypes) AND t.typrelid <> 0)
	 OR f.prosecdef OR f.proconfig IS NOT NULL)
UNION ALL
SELECT 'BEGIN ATOMIC uses no row type: its table could get no column with a default', f.fn::text
FROM lint.fn AS f
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_type'::regclass
JOIN pg_type AS t ON t.oid = d.refobjid AND t.typrelid <> 0
WHERE f.prosqlbody IS NOT NULL
UNION ALL
SELECT 'PostGIS is called in BEGIN ATOMIC only', f.fn::text
FROM lint.fn AS f
WHERE f.lanname = 'plpgsql'
AND f.prosrc ~* '\mst_[a-z]|\m(geography|geometry)\M'
UNION ALL
SELECT 'a route''s function is granted to its role, and cannot be inlined', r.method || ' ' || r.path
FROM rapport.route AS r
JOIN pg_proc AS p ON p.oid = r.call::regproc
JOIN pg_language AS l ON l.oid = p.prolang
WHERE l.lanname = 'sql'
OR NOT has_function_privilege('rapport_' || r.role, r.call::regproc, 'EXECUTE')
UNION ALL
SELECT 'a route''s role is the least that may call it', r.method || ' ' || r.path
FROM rapport.route AS r
WHERE r.role <> 'anon'
AND has_function_privilege('rapport_anon', r.call::regproc, 'EXECUTE')
UNION ALL
SELECT 'an optional argument of a route''s function defaults to null', r.call || ' ' || coalesce(pg_get_expr(p.proargdefaults, 0), '')
FROM rapport.route AS r
JOIN pg_proc AS p ON p.oid = r.call::regproc
WHERE p.pronargdefaults > 0
AND regexp_replace(pg_get_expr(p.proargdefaults, 0), 'NULL::[a-z \[\]]+', '', 'g') !~ '^[, ]*$'
UNION ALL
SELECT 'names are resolved and types fit (plpgsql_check)', f.fn || ': ' || c.message
FROM lint.fn AS f
CROSS JOIN LATERAL plpgsql_check_function_tb(f.oid, fatal_errors => false, other_warnings => false,
											 extra_warnings => false, performance_warnings => false) AS c
WHERE f.lanname = 'plpgsql'
AND f.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
AND c.level = 'error';

-- A bare SET ROLE is not an identity: every function above anon refuses it.
-- Returns what each function raised.
CREATE FUNCTION lint.call_as_nobody() RETURNS TABLE (fn text, state text)
LANGUAGE plpgsql
AS $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT e.fn, p.prokind, p.proretset, p.pronamespace, p.proname, p.proisstrict,
			   (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n)
				FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)) AS arguments
		FROM lint.exposed AS e
		JOIN pg_proc AS p USING (oid)
		WHERE e.rolname IN ('rapport_user', 'rapport_moderator', 'rapport_admin')
		AND NOT has_function_privilege('rapport_anon', e.oid, 'EXECUTE')
		ORDER BY e.fn::text
	LOOP
		fn := f.fn;
		state := 'none: it ran';
		BEGIN
			SET LOCAL ROLE rapport_admin;
			EXECUTE format('SELECT FROM rapport.%I(%s)', f.proname, f.arguments);
		EXCEPTION WHEN OTHERS THEN
			state := SQLSTATE;
		END;
		RESET ROLE;
		RETURN NEXT;
	END LOOP;
END;
$$;

-- The rules hold.
SELECT * FROM lint.violation ORDER BY rule, object;
SELECT * FROM lint.call_as_nobody() WHERE state <> 'RP401';

-- Each rule catches a planted violation.
CREATE FUNCTION lint.caught(plant text) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
BEGIN
	BEGIN
		EXECUTE plant;
		RETURN QUERY SELECT DISTINCT v.rule FROM lint.violation AS v ORDER BY v.rule;
		RAISE EXCEPTION 'undo' USING ERRCODE = 'P0001';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
END;
$$;
\set table 'CREATE TABLE rapport.planted (person_id bigint, id bigint, PRIMARY KEY (person_id, id)); ALTER TABLE rapport.planted OWNER TO rapport_owner; COMMENT ON TABLE rapport.planted IS $c$x$c$; ALTER EXTENSION rapport ADD TABLE rapport.planted;'
\set classified 'INSERT INTO rapport.dump_exception VALUES ($c$rapport.planted$c$, $c$x$c$); INSERT INTO rapport.distribution VALUES ($c$rapport.planted$c$, $c$U$c$, $c$person_id$c$); INSERT INTO rapport.personal_data SELECT $c$rapport.planted$c$, n, $c$none$c$, $c$keep$c$, $c$x$c$ FROM unnest(ARRAY[$c$person_id$c$, $c$id$c$]) AS n;'
\set function 'ALTER FUNCTION rapport.planted() OWNER TO rapport_owner; REVOKE ALL ON FUNCTION rapport.planted() FROM PUBLIC; COMMENT ON FUNCTION rapport.planted() IS $c$x$c$; ALTER EXTENSION rapport ADD FUNCTION rapport.planted();'

\pset tuples_only on
-- a table that nothing knows of
SELECT lint.caught(:'table');
-- the same table, known: nothing is caught
SELECT lint.caught(:'table' || :'classified');
SELECT lint.caught(:'table' || :'classified' || 'DELETE FROM rapport.dump_exception WHERE rel = $c$rapport.route$c$::regclass');
SELECT lint.caught(:'table' || :'classified' || 'CREATE TRIGGER t BEFORE INSERT ON rapport.planted FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted ADD FOREIGN KEY (person_id, id) REFERENCES rapport.planted');
SELECT lint.caught(:'table' || :'classified' || 'CREATE UNIQUE INDEX ON rapport.planted (id)');
SELECT lint.caught(:'table' || :'classified' || 'CREATE TABLE rapport.other (id bigint PRIMARY KEY); INSERT INTO rapport.distribution VALUES ($c$rapport.other$c$, $c$C$c$, $c$id$c$); ALTER TABLE rapport.planted ADD FOREIGN KEY (id) REFERENCES rapport.other');
SELECT lint.caught(:'table' || :'classified' || 'UPDATE rapport.personal_data SET reason = NULL WHERE tab = $c$rapport.planted$c$::regclass');
-- personal data in a table of another group, that erasing does not find; found; found by a condition that fails
\set personal 'DELETE FROM rapport.personal_data WHERE tab = $c$rapport.planted$c$::regclass AND col = $c$id$c$; INSERT INTO rapport.personal_data VALUES ($c$rapport.planted$c$, $c$id$c$, $c$content$c$, $c$delete$c$);'
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'UPDATE rapport.distribution SET grp = $c$C$c$ WHERE tab = $c$rapport.planted$c$::regclass');
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'UPDATE rapport.distribution SET grp = $c$C$c$ WHERE tab = $c$rapport.planted$c$::regclass; INSERT INTO rapport.subject (tab, col, own) VALUES ($c$rapport.planted$c$, $c$person_id$c$, true)');
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'INSERT INTO rapport.subject (tab, col, own, find) VALUES ($c$rapport.planted$c$, $c$person_id$c$, true, $c$t.nobody = ANY ($1)$c$)');
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'INSERT INTO rapport.subject (tab, col, own) VALUES ($c$rapport.planted$c$, $c$nothing$c$, true)');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted ADD other_id bigint; INSERT INTO rapport.personal_data VALUES ($c$rapport.planted$c$, $c$other_id$c$, $c$none$c$, $c$keep$c$, $c$x$c$)');
SELECT lint.caught(:'table' || :'classified' || 'INSERT INTO rapport.subject (tab, col, own, on_erase) VALUES ($c$rapport.planted$c$, $c$id$c$, false, $c$keep$c$)');
SELECT lint.caught(:'table' || :'classified' || 'UPDATE rapport.personal_data SET class = $c$content$c$, on_erase = $c$clear$c$ WHERE tab = $c$rapport.planted$c$::regclass AND col = $c$id$c$');
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'UPDATE rapport.personal_data SET class = $c$technical$c$ WHERE tab = $c$rapport.planted$c$::regclass AND col = $c$person_id$c$');
SELECT lint.caught(:'table' || :'classified' || :'personal' || 'ALTER TABLE rapport.planted ALTER id TYPE text');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted ALTER id ADD GENERATED ALWAYS AS IDENTITY');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted RENAME id TO age; UPDATE rapport.personal_data SET col = $c$age$c$ WHERE tab = $c$rapport.planted$c$::regclass AND col = $c$id$c$');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted ADD call regproc; INSERT INTO rapport.personal_data VALUES ($c$rapport.planted$c$, $c$call$c$, $c$none$c$, $c$keep$c$, $c$x$c$)');
SELECT lint.caught(:'table' || :'classified' || 'COMMENT ON TABLE rapport.planted IS NULL');
SELECT lint.caught(:'table' || :'classified' || 'GRANT SELECT ON rapport.planted TO rapport_user');
SELECT lint.caught(:'table' || :'classified' || 'ALTER TABLE rapport.planted OWNER TO CURRENT_USER');
SELECT lint.caught('CREATE TABLE rapport.planted (id bigint PRIMARY KEY) PARTITION BY RANGE (id); ALTER TABLE rapport.planted OWNER TO rapport_owner; COMMENT ON TABLE rapport.planted IS $c$x$c$; ALTER EXTENSION rapport ADD TABLE rapport.planted;'
				   'INSERT INTO rapport.dump_exception VALUES ($c$rapport.planted$c$, $c$x$c$); INSERT INTO rapport.distribution VALUES ($c$rapport.planted$c$, $c$R$c$, NULL); INSERT INTO rapport.personal_data VALUES ($c$rapport.planted$c$, $c$id$c$, $c$none$c$, $c$keep$c$, $c$x$c$)');
SELECT lint.caught('ALTER ROLE rapport_owner LOGIN');
-- a building block as it should be: nothing is caught
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer BEGIN ATOMIC SELECT 1; END;' || :'function');
SELECT lint.caught(replace('CREATE FUNCTION rapport.planted(p rapport.profile) RETURNS text BEGIN ATOMIC SELECT (p).about; END;' || :'function', 'planted()', 'planted(rapport.profile)'));
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer BEGIN ATOMIC SELECT 1; END;' || :'function' || 'COMMENT ON FUNCTION rapport.planted() IS NULL');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer BEGIN ATOMIC SELECT 1; END;' || :'function' || 'ALTER FUNCTION rapport.planted() OWNER TO CURRENT_USER');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer BEGIN ATOMIC SELECT 1; END;' || :'function' || 'GRANT EXECUTE ON FUNCTION rapport.planted() TO PUBLIC');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer BEGIN ATOMIC SELECT 1; END;' || :'function' || 'GRANT EXECUTE ON FUNCTION rapport.planted() TO rapport_user');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS integer LANGUAGE sql AS $f$SELECT 1$f$;' || :'function');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $f$BEGIN END$f$;' || :'function');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql AS $f$BEGIN PERFORM ST_X(NULL); END$f$;' || :'function');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql AS $f$BEGIN PERFORM rapport.no_such_function(); END$f$;' || :'function');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp AS $f$BEGIN END$f$;' || :'function'
				   || 'INSERT INTO rapport.route VALUES ($c$GET$c$, $c$/v1/planted$c$, $c$rapport.planted$c$, $c$user$c$, $c$read$c$, 1, 200, $c$x$c$)');
SELECT lint.caught('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp AS $f$BEGIN END$f$;' || :'function'
				   || 'GRANT EXECUTE ON FUNCTION rapport.planted() TO rapport_anon; INSERT INTO rapport.route VALUES ($c$GET$c$, $c$/v1/planted$c$, $c$rapport.planted$c$, $c$user$c$, $c$read$c$, 1, 200, $c$x$c$)');
SELECT lint.caught('CREATE FUNCTION rapport.planted(n integer DEFAULT 20) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp AS $f$BEGIN END$f$;'
				   || replace(:'function', 'planted()', 'planted(integer)')
				   || 'GRANT EXECUTE ON FUNCTION rapport.planted(integer) TO rapport_user; INSERT INTO rapport.route VALUES ($c$GET$c$, $c$/v1/planted$c$, $c$rapport.planted$c$, $c$user$c$, $c$read$c$, 1, 200, $c$x$c$)');
SELECT lint.caught(replace('CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp AS $f$BEGIN END$f$;' || :'function'
				   || 'GRANT EXECUTE ON FUNCTION rapport.planted() TO rapport_user', 'planted', 'planted_for'));
SELECT lint.caught('ALTER TABLE rapport.message ADD extra text; INSERT INTO rapport.personal_data VALUES ($c$rapport.message$c$, $c$extra$c$, $c$none$c$, $c$keep$c$, $c$x$c$)');
-- a function above anon that forgets to ask who is calling
BEGIN;
CREATE FUNCTION rapport.planted() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp AS $$ BEGIN END $$;
REVOKE ALL ON FUNCTION rapport.planted() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rapport.planted() TO rapport_user;
ALTER EXTENSION rapport ADD FUNCTION rapport.planted();
SELECT * FROM lint.call_as_nobody() WHERE state <> 'RP401';
ROLLBACK;
\pset tuples_only off
DROP SCHEMA lint CASCADE;
