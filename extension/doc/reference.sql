-- Prints extension/doc/reference.md from the catalogue: the comments are the
-- documentation. "make reference" runs it.
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep ''
SET search_path = pg_catalog;

\qecho '# Reference'
\qecho
\qecho 'Made from the comments of the installed extension by `make reference`; do not edit. The REST surface is in `/openapi.json`, its review copy in `expected/openapi.out`.'
\qecho

CREATE TEMPORARY VIEW callable AS
SELECT p.oid, p.proname, p.prokind, p.provolatile, p.prosecdef, l.lanname,
	   pg_get_function_arguments(p.oid) AS arguments,
	   pg_get_function_result(p.oid) AS result,
	   obj_description(p.oid, 'pg_proc') AS comment,
	   (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
		FROM aclexplode(p.proacl) AS a
		JOIN pg_roles AS r ON r.oid = a.grantee
		WHERE r.rolname <> 'rapport_owner') AS roles,
	   p.provolatile = 'i' AND l.lanname = 'c' AS open
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
WHERE p.prorettype <> 'event_trigger'::regtype;

CREATE TEMPORARY VIEW entry AS
SELECT oid, proname,
	   format(E'#### rapport.%s\n\n```\n%s(%s)%s\n```\n\n%s\n', proname, proname, regexp_replace(arguments, 'rapport\.', '', 'g'),
			  coalesce(' → ' || regexp_replace(result, 'rapport\.', '', 'g'), ''), comment) AS text, roles, open
FROM callable;

\qecho '## Functions for apps'
\qecho
\qecho 'Called as the person that `request_begin` or `act_as` has set. The role named is the least one.'
\qecho
SELECT text || E'\n*' || CASE WHEN roles ~ 'rapport_anon' THEN 'anybody'
							  WHEN roles ~ 'rapport_user' THEN 'user'
							  WHEN roles ~ 'rapport_moderator' THEN 'moderator'
							  ELSE 'admin' END || E'*\n'
FROM entry
WHERE roles ~ 'rapport_(anon|user|moderator|admin)'
ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";

\qecho '## Functions for operators and back ends'
\qecho
\qecho 'For superusers, members of `rapport_service`, and the front (`rapport_api`).'
\qecho
SELECT text || E'\n*' || roles || E'*\n'
FROM entry
WHERE roles !~ 'rapport_(anon|user|moderator|admin)'
ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";

\qecho '## Types and their functions'
\qecho
\qecho 'For everybody, on tables of their own.'
\qecho
SELECT format(E'#### rapport.%s\n\n%s\n', t.typname, obj_description(t.oid, 'pg_type'))
FROM pg_type AS t
JOIN pg_depend AS d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
WHERE t.typtype = 'b' AND t.typelem = 0
ORDER BY t.typname COLLATE "C";
SELECT format(E'#### %s %s %s\n\n%s\n', format_type(o.oprleft, NULL), o.oprname, format_type(o.oprright, NULL), obj_description(o.oid, 'pg_operator'))
FROM pg_operator AS o
JOIN pg_depend AS d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'rapport'
ORDER BY o.oprname COLLATE "C", o.oid::regoperator::text COLLATE "C";
SELECT text
FROM entry
WHERE open
AND text !~ '(cstring|internal)'
ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";

\qecho '## Settings'
\qecho
\qecho '`rapport.set_setting(name, value)` changes one in this database.'
\qecho
\qecho '| name | type | default | range | what it is |'
\qecho '|---|---|---|---|---|'
SELECT format('| `%s` | %s | %s | %s | %s |', name, type, value, CASE WHEN minimum IS NULL AND maximum IS NULL THEN '' ELSE concat(minimum, ' to ', maximum) END, description)
FROM rapport.setting_default
ORDER BY name COLLATE "C";

\qecho
\qecho '## Events for hooks'
\qecho
\qecho '| event | ids | when |'
\qecho '|---|---|---|'
SELECT format('| `%s` | %s | %s |', event, ids, description)
FROM rapport.hook_event
ORDER BY event COLLATE "C";

\qecho
\qecho '## Errors'
\qecho
\qecho '| status | code | title | hint |'
\qecho '|---|---|---|---|'
SELECT format('| %s | `%s` | %s | %s |', status, code, title, coalesce(hint, ''))
FROM rapport.error_code
ORDER BY status, code COLLATE "C";

\qecho
\qecho '## Tables'
\qecho
\qecho 'Granted to nobody; for understanding, and for operators.'
\qecho
\qecho '| table | spreads by | what it holds |'
\qecho '|---|---|---|'
SELECT format('| `%s` | %s | %s |', d.tab, concat_ws(' ', d.grp, d.col), obj_description(d.tab, 'pg_class'))
FROM rapport.distribution AS d
ORDER BY d.tab::text COLLATE "C";
