-- The REST contract, for review: what each route takes, and what it answers.
\pset format unaligned
\pset tuples_only on

SELECT format(E'%s %s\n  %s, %s lane, %s ms: %s(%s)\n  -> %s', r.method, r.path, r.role, r.lane, r.timeout_ms, r.operation,
			  (SELECT string_agg(format('%s %s %s%s', p ->> 'in', p ->> 'name', p ->> 'type', CASE WHEN p ->> 'required' = 'true' THEN '' ELSE '?' END), ', ' ORDER BY n)
			   FROM jsonb_array_elements(r.params) WITH ORDINALITY AS x (p, n)),
			  (SELECT concat_ws(' ', rapport.route_shape(o.call::regproc), string_agg(c.name || ' ' || format_type(c.type, NULL), ', ' ORDER BY c.ord))
			   FROM rapport.route_columns(o.call::regproc) AS c))
FROM rapport.routes() AS r
JOIN rapport.route AS o USING (method, path)
ORDER BY r.path COLLATE "C", r.method;

-- The errors, for review.
SELECT format('%s %s: %s%s', e.status, e.code, e.title, coalesce('. ' || e.hint, ''))
FROM rapport.error_codes() AS e
ORDER BY e.status, e.code COLLATE "C";

-- The document: every operation has an id of its own and a summary, and every reference resolves.
CREATE TEMP TABLE doc AS SELECT rapport.openapi() AS doc;
SELECT doc ->> 'openapi', doc -> 'info' ->> 'title' FROM doc;
SELECT count(*) = (SELECT count(*) FROM rapport.route) AS "all routes",
	   count(DISTINCT o.value ->> 'operationId') = count(*) AS "ids are unique",
	   bool_and(o.value ->> 'summary' <> '') AS "all have a summary"
FROM doc, jsonb_each(doc -> 'paths') AS p, jsonb_each(p.value) AS o;
SELECT DISTINCT ref #>> '{}' AS reference, doc #> string_to_array(ltrim(ref #>> '{}', '#/'), '/') IS NOT NULL AS resolves
FROM doc, jsonb_path_query(doc, 'lax $.**."$ref"') AS ref
ORDER BY 1;
SELECT jsonb_pretty(doc -> 'paths' -> '/v1/conversations/{conversation_id}/messages' -> 'post') FROM doc;
