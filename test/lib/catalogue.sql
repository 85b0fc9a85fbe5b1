-- Prints the system catalogues of a database, a line for each row that has to
-- do with the extension rapport: with names in place of oids, and without what
-- depends on the data. Two databases with the same extension print the same.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET search_path = pg_catalog;

CREATE FUNCTION pg_temp.named(class oid, object oid, sub integer) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN object = 0 THEN '-' ELSE (SELECT i.type || ' ' || i.identity FROM pg_identify_object(class, object, sub) AS i) END
$$;

-- An expression for each column of a catalogue, NULL for those left out.
CREATE FUNCTION pg_temp.expression(tab regclass, col name, type oid) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE
		WHEN col IN ('oid', 'dbid', 'relfilenode', 'relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid',
					 'atthasmissing', 'attmissingval') THEN NULL
		-- Trees of nodes hold oids: written out below.
		WHEN type = 'pg_node_tree'::regtype THEN NULL
		WHEN type = 'aclitem[]'::regtype THEN format('(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(t.%I) AS a)', col)
		-- Debian's PostgreSQL counts in here.
		WHEN col = 'attoptions' THEN '(SELECT array_agg(o ORDER BY o) FROM unnest(t.attoptions) AS o WHERE o NOT LIKE ''pg_attver=%'')'
		WHEN col = 'objid' THEN 'pg_temp.named(t.classid, t.objid, 0)'
		WHEN col = 'objoid' THEN 'pg_temp.named(t.classoid, t.objoid, 0)'
		WHEN col = 'refobjid' THEN 'pg_temp.named(t.refclassid, t.refobjid, 0)'
		WHEN col = 'extconfig' THEN '(SELECT array_agg(c::regclass::text ORDER BY c::regclass::text) FROM unnest(t.extconfig) AS c)'
		WHEN col = 'extcondition' THEN '(SELECT array_agg(w ORDER BY c::regclass::text) FROM unnest(t.extconfig, t.extcondition) AS x (c, w))'
		ELSE coalesce(
			(SELECT CASE WHEN k.is_array
						THEN format('(SELECT array_agg(pg_temp.named(%L::regclass, x, 0) ORDER BY n) FROM unnest(t.%I::oid[]) WITH ORDINALITY AS u (x, n))', k.pktable, col)
						ELSE format('pg_temp.named(%L::regclass, t.%I, 0)', k.pktable, col) END
			 FROM pg_get_catalog_foreign_keys() AS k
			 WHERE k.fktable = tab AND k.fkcols = ARRAY[col::text] AND k.pkcols = '{oid}'
			 ORDER BY k.pktable LIMIT 1),
			format('t.%I', col))
		END
$$;

-- What belongs to the extension: members, what depends on them alone, and the
-- columns of its tables by the tables' names.
CREATE TEMPORARY TABLE ours AS
WITH RECURSIVE ours (class, object) AS (
	SELECT 'pg_extension'::regclass::oid, e.oid FROM pg_extension AS e WHERE e.extname = 'rapport'
	UNION
	SELECT d.classid, d.objid
	FROM ours AS o
	JOIN pg_depend AS d ON d.refclassid = o.class AND d.refobjid = o.object AND d.deptype IN ('e', 'a', 'i', 'P', 'S')
)
SELECT class, object FROM ours
UNION
SELECT 'pg_class'::regclass, c.reltoastrelid FROM pg_class AS c JOIN ours AS o ON o.class = 'pg_class'::regclass AND o.object = c.oid
UNION
SELECT 'pg_namespace'::regclass, 'rapport'::regnamespace
-- and what stands in the schema without being a member
UNION
SELECT 'pg_class'::regclass, c.oid FROM pg_class AS c WHERE c.relnamespace = 'rapport'::regnamespace
UNION
SELECT 'pg_proc'::regclass, p.oid FROM pg_proc AS p WHERE p.pronamespace = 'rapport'::regnamespace
UNION
SELECT 'pg_type'::regclass, y.oid FROM pg_type AS y WHERE y.typnamespace = 'rapport'::regnamespace;
ANALYZE ours;

-- A row is ours when its own oid, or the object it tells of, is.
CREATE FUNCTION pg_temp.statement(tab regclass) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT format($f$SELECT %L, jsonb_strip_nulls(jsonb_build_object(%s))::text FROM %s AS t WHERE %s$f$,
		tab, string_agg(format('%L, %s', a.attname, e.expression), ', ' ORDER BY a.attnum) FILTER (WHERE e.expression IS NOT NULL), tab,
		CASE
		WHEN bool_or(a.attname = 'classid') THEN '(t.classid, t.objid) IN (SELECT class, object FROM ours)'
			|| CASE WHEN tab = 'pg_shdepend'::regclass THEN ' AND t.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())' ELSE '' END
		WHEN bool_or(a.attname = 'classoid') THEN '(t.classoid, t.objoid) IN (SELECT class, object FROM ours)'
		WHEN bool_or(a.attname = 'oid') THEN format('(%s, t.oid) IN (SELECT class, object FROM ours)', tab::oid)
		ELSE (SELECT format('(%s, t.%I) IN (SELECT class, object FROM ours)', k.pktable::oid, k.fkcols[1])
			  FROM pg_get_catalog_foreign_keys() AS k
			  JOIN pg_attribute AS f ON f.attrelid = tab AND f.attname = k.fkcols[1]
			  WHERE k.fktable = tab AND k.pkcols = '{oid}' ORDER BY f.attnum LIMIT 1)
		END)
	FROM pg_attribute AS a
	CROSS JOIN LATERAL pg_temp.expression(tab, a.attname, a.atttypid) AS e (expression)
	WHERE a.attrelid = tab AND (a.attnum > 0 OR a.attname = 'oid') AND NOT a.attisdropped
$$;

CREATE TEMPORARY TABLE line (catalogue text, line text);
DO $$
DECLARE
	tab regclass;
BEGIN
	FOR tab IN
		SELECT c.oid FROM pg_class AS c
		WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
		AND (NOT c.relisshared OR c.relname = 'pg_shdepend')
		AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata')
		AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND (a.attname IN ('oid', 'classid', 'classoid') OR
					EXISTS (SELECT FROM pg_get_catalog_foreign_keys() AS k WHERE k.fktable = c.oid AND k.pkcols = '{oid}')))
	LOOP
		EXECUTE 'INSERT INTO line ' || pg_temp.statement(tab);
	END LOOP;
END;
$$;

INSERT INTO line
SELECT 'function', coalesce(pg_get_function_sqlbody(p.oid), '') || ' ' || pg_get_functiondef(p.oid)
FROM pg_proc AS p JOIN ours AS o ON o.class = 'pg_proc'::regclass AND o.object = p.oid WHERE p.prokind <> 'a'
UNION ALL
SELECT 'index', pg_get_indexdef(i.indexrelid) FROM pg_index AS i JOIN ours AS o ON o.class = 'pg_class'::regclass AND o.object = i.indexrelid
UNION ALL
SELECT 'constraint', k.conrelid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM pg_constraint AS k JOIN ours AS o ON o.class = 'pg_constraint'::regclass AND o.object = k.oid
UNION ALL
SELECT 'default', d.adrelid::regclass || ' ' || d.adnum || ' ' || pg_get_expr(d.adbin, d.adrelid)
FROM pg_attrdef AS d JOIN ours AS o ON o.class = 'pg_attrdef'::regclass AND o.object = d.oid
UNION ALL
SELECT 'rule', pg_get_ruledef(r.oid) FROM pg_rewrite AS r JOIN ours AS o ON o.class = 'pg_rewrite'::regclass AND o.object = r.oid;

-- Names that hold an oid are of no interest.
SELECT l.catalogue || ' ' || regexp_replace(regexp_replace(replace(l.line, E'\n', '\n'), '(pg_toast_)\d+', '\1N', 'g'), '(RI_ConstraintTrigger_[ac]_)\d+', '\1N', 'g') AS line
FROM line AS l
ORDER BY line COLLATE "C";

-- The rows of the tables that are built in, whole: an update makes them anew.
SELECT format('SELECT %L || t::text FROM %s AS t WHERE %s ORDER BY t::text COLLATE "C"', 'row ' || c.oid::regclass || ' ', c.oid::regclass,
	CASE WHEN EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'builtin') THEN 'builtin' ELSE 'true' END)
FROM ours AS o
JOIN pg_class AS c ON o.class = 'pg_class'::regclass AND c.oid = o.object AND c.relkind = 'r'
JOIN rapport.dump_exception AS x ON x.rel = c.oid AND x.reason LIKE 'built%in%'
ORDER BY c.relname
\gexec
