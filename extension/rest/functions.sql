-- rest: from the route table to statements and to OpenAPI.

INSERT INTO rapport.dump_exception (rel, reason) VALUES
	('rapport.route', 'built-in rows are made by the install script');

INSERT INTO rapport.distribution (tab, grp, col) VALUES
	('rapport.route', 'R', NULL);

INSERT INTO rapport.personal_data (tab, col, class, on_erase, reason)
SELECT a.attrelid, a.attname, 'none', 'keep', 'catalogue of the extension'
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = 'rapport.route'::regclass
AND a.attnum > 0
AND NOT a.attisdropped;

DELETE FROM rapport.route WHERE builtin;

CREATE OR REPLACE FUNCTION rapport.api_version() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'rapport');
END;
$$;
COMMENT ON FUNCTION rapport.api_version() IS
'The version of the installed extension; the front serves only the minor versions next to its own.';
GRANT EXECUTE ON FUNCTION rapport.api_version() TO rapport_api, rapport_anon;

CREATE OR REPLACE FUNCTION rapport.error_codes() RETURNS TABLE (code text, status integer, title text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT e.code, e.status, e.title, e.hint
	FROM rapport.error_code AS e
	ORDER BY e.code;
END;
$$;
COMMENT ON FUNCTION rapport.error_codes() IS
'The registry of errors: the stable code, its HTTP status, title and hint.';
GRANT EXECUTE ON FUNCTION rapport.error_codes() TO rapport_api, rapport_anon;

CREATE OR REPLACE FUNCTION rapport.route_arguments(method text, path text, call oid)
RETURNS TABLE (ord integer, name text, place text, type text, required boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT a.ord::integer,
		   a.name,
		   CASE WHEN route_arguments.path LIKE '%{' || a.name || '}%' THEN 'path'
				WHEN a.name = 'body' AND a.type = 'jsonb'::regtype THEN 'whole'
				WHEN route_arguments.method IN ('GET', 'DELETE') THEN 'query'
				ELSE 'body'
		   END,
		   format_type(a.type, NULL),
		   a.ord <= p.pronargs - p.pronargdefaults
	FROM pg_proc AS p
	CROSS JOIN LATERAL (
		SELECT x.type, x.name, row_number() OVER (ORDER BY x.n) AS ord
		FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes)
			WITH ORDINALITY AS x (type, name, mode, n)
		WHERE coalesce(x.mode, 'i') IN ('i', 'b')
	) AS a
	WHERE p.oid = route_arguments.call;
END;
COMMENT ON FUNCTION rapport.route_arguments(text, text, oid) IS
'The arguments of a route''s function in order, and where a request carries each: path, query, body (a member of the JSON object) or whole (the JSON object itself).';

CREATE OR REPLACE FUNCTION rapport.route_columns(call oid)
RETURNS TABLE (ord integer, name text, type oid)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT (row_number() OVER (ORDER BY a.n))::integer, a.name, a.type
	FROM pg_proc AS p
	CROSS JOIN LATERAL unnest(p.proallargtypes, p.proargnames, p.proargmodes) WITH ORDINALITY AS a (type, name, mode, n)
	WHERE p.oid = route_columns.call
	AND a.mode IN ('o', 't', 'b');
END;
COMMENT ON FUNCTION rapport.route_columns(oid) IS
'The result columns of a route''s function: OUT arguments or the columns of RETURNS TABLE; none for void and scalars.';

CREATE OR REPLACE FUNCTION rapport.route_shape(call oid) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE WHEN p.proretset THEN 'items'
				WHEN p.prorettype = 'void'::regtype THEN 'nothing'
				WHEN EXISTS (SELECT FROM rapport.route_columns(p.oid) AS c WHERE c.name <> 'refusal') THEN 'object'
				WHEN EXISTS (SELECT FROM rapport.route_columns(p.oid)) THEN 'nothing'
				ELSE 'value'
		   END
	FROM pg_proc AS p
	WHERE p.oid = route_shape.call;
END;
COMMENT ON FUNCTION rapport.route_shape(oid) IS
'How the result is sent: nothing (204; it may refuse), object (OUT arguments), items (a set; paged where it has a column cursor), value (JSON as it is).';

CREATE OR REPLACE FUNCTION rapport.route_statement(method text, path text, call oid, reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	arguments text;
	page_size text;
	columns text;
	members text;
	paged boolean;
	refuses boolean;
	source text;
BEGIN
	SELECT pg_catalog.string_agg(pg_catalog.format('%I => $%s::%s', a.name, a.ord, a.type), ', ' ORDER BY a.ord),
		   pg_catalog.min(pg_catalog.format('$%s', a.ord)) FILTER (WHERE a.name = 'page_size')
	INTO arguments, page_size
	FROM rapport.route_arguments(method, path, call) AS a;

	SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.name), ', ' ORDER BY c.ord),
		   pg_catalog.string_agg(pg_catalog.format('%L, r.%I', c.name, c.name), ', ' ORDER BY c.ord)
				FILTER (WHERE c.name NOT IN ('cursor', 'refusal')),
		   pg_catalog.bool_or(c.name = 'cursor'),
		   pg_catalog.bool_or(c.name = 'refusal')
	INTO columns, members, paged, refuses
	FROM rapport.route_columns(call) AS c;

	SELECT pg_catalog.format('%I.%I(%s) AS r', n.nspname, p.proname, arguments) INTO source
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
	WHERE p.oid = call;
	CASE rapport.route_shape(call)
	WHEN 'nothing' THEN
		RETURN pg_catalog.format('SELECT NULL::text AS body, %s AS refusal FROM %s', CASE WHEN refuses THEN 'r' ELSE 'NULL::text' END, source);
	WHEN 'value' THEN
		RETURN pg_catalog.format('SELECT pg_catalog.to_json(r)::text AS body, NULL::text AS refusal FROM %s', source);
	WHEN 'object' THEN
		RETURN pg_catalog.format('SELECT pg_catalog.json_build_object(%s)::text AS body, %s AS refusal FROM %s(%s)',
								 members, CASE WHEN refuses THEN 'r.refusal' ELSE 'NULL::text' END, source, columns);
	WHEN 'items' THEN
		-- A full page may have a next one: its cursor is that of the last row.
		RETURN pg_catalog.format('SELECT pg_catalog.json_build_object(''items'', coalesce(pg_catalog.json_agg('
								 'pg_catalog.json_build_object(%s)), ''[]''::json)%s%s)::text AS body, NULL::text AS refusal FROM %s(%s)',
								 members,
								 CASE WHEN paged THEN
									 pg_catalog.format(', ''next_cursor'', CASE WHEN pg_catalog.count(*) >= coalesce(%s::integer, 20)'
													   ' THEN (pg_catalog.array_agg(r.cursor))[pg_catalog.count(*)] END', page_size)
								 ELSE '' END,
								 CASE WHEN reason IS NOT NULL THEN
									 pg_catalog.format(', ''reason'', CASE WHEN pg_catalog.count(*) = 0 THEN %s(%s) END', reason, arguments)
								 ELSE '' END,
								 source, columns);
	END CASE;
END;
$$;
COMMENT ON FUNCTION rapport.route_statement(text, text, oid, text) IS
'The statement that answers a route: parameters $1 to $n in the order of route_arguments(), one row (body, refusal); body is JSON text or NULL for none. reason is that of the route.';

CREATE OR REPLACE FUNCTION rapport.routes()
RETURNS TABLE (method text, path text, operation text, role text, lane text, read_only boolean, timeout_ms integer,
			   success integer, params jsonb, statement text, statement_once text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT r.method, r.path, p.proname::text, r.role, r.lane, r.method = 'GET', r.timeout_ms, r.success,
		   a.params, s.statement,
		   -- The answer to a retry is read before, and stored with, the write.
		   CASE WHEN r.method <> 'GET' AND r.role <> 'anon'
					 AND NOT EXISTS (SELECT FROM rapport.route_columns(p.oid) AS c WHERE c.name = 'refusal') THEN
			   format('SELECT coalesce(rapport.replay($%1$s::text, $%2$s::text), rapport.remember($%1$s::text, $%2$s::text, '
					  '(SELECT s.body FROM (%3$s) AS s))) AS body, NULL::text AS refusal',
					  a.n + 1, a.n + 2, s.statement)
		   END
	FROM rapport.route AS r
	JOIN pg_namespace AS n ON n.nspname = (parse_ident(r.call))[1]
	JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = (parse_ident(r.call))[2]
	CROSS JOIN LATERAL (
		SELECT count(*)::integer AS n,
			   coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'in', x.place, 'type', x.type, 'required', x.required)
								  ORDER BY x.ord), '[]') AS params
		FROM rapport.route_arguments(r.method, r.path, p.oid) AS x
	) AS a
	CROSS JOIN LATERAL (SELECT rapport.route_statement(r.method, r.path, p.oid, r.reason) AS statement) AS s
	ORDER BY r.path, r.method;
END;
$$;
COMMENT ON FUNCTION rapport.routes() IS
'All that a front needs to serve the routes: the parameters of each and the statement that answers it. statement_once takes two more: the idempotency key and the canonical text of the request; an empty body then stands for none.';
GRANT EXECUTE ON FUNCTION rapport.routes() TO rapport_api;

CREATE OR REPLACE FUNCTION rapport.add_route(method text, path text, call regproc, role text DEFAULT 'user',
											 lane text DEFAULT NULL, timeout_ms integer DEFAULT 5000,
											 success integer DEFAULT 200, tag text DEFAULT 'app') RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
	missing text;
BEGIN
	SELECT m[1] INTO missing
	FROM pg_catalog.regexp_matches(add_route.path, '\{([a-z_]+)\}', 'g') AS m
	WHERE NOT EXISTS (SELECT FROM rapport.route_arguments(add_route.method, add_route.path, add_route.call) AS a
					  WHERE a.name = m[1]);
	IF FOUND THEN
		PERFORM rapport.fail('invalid_value', pg_catalog.format('%s has no argument %I.', add_route.call, missing));
	END IF;
	IF NOT pg_catalog.has_function_privilege('rapport_' || add_route.role, add_route.call, 'EXECUTE') THEN
		PERFORM rapport.fail('forbidden', pg_catalog.format('%s is not granted to rapport_%s.', add_route.call, add_route.role));
	END IF;
	-- The front prepares statements before it takes on the caller's role.
	SELECT pg_catalog.string_agg(r, ', ') INTO missing
	FROM pg_catalog.unnest(ARRAY['rapport_api', 'rapport_' || add_route.role]) AS r,
		 pg_catalog.pg_proc AS p
	WHERE p.oid = add_route.call
	AND NOT pg_catalog.has_schema_privilege(r, p.pronamespace, 'USAGE');
	IF missing IS NOT NULL THEN
		PERFORM rapport.fail('forbidden', pg_catalog.format('The schema of %s may not be used by %s.', add_route.call, missing));
	END IF;
	INSERT INTO rapport.route (method, path, call, role, lane, timeout_ms, success, tag)
	SELECT add_route.method, add_route.path, pg_catalog.format('%I.%I', n.nspname, p.proname), add_route.role,
		   coalesce(add_route.lane, CASE add_route.method WHEN 'GET' THEN 'read' ELSE 'write' END),
		   add_route.timeout_ms, add_route.success, add_route.tag
	FROM pg_catalog.pg_proc AS p
	JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
	WHERE p.oid = add_route.call;
END;
$$;
COMMENT ON FUNCTION rapport.add_route(text, text, regproc, text, text, integer, integer, text) IS
'Adds an app''s own route: a function outside this extension, the only one of its name there, granted to rapport_<role>, in a schema that rapport_<role> and rapport_api may use. For superusers. Errors: invalid_value when the path names no argument, forbidden when a grant is missing.';

-- OpenAPI

CREATE OR REPLACE FUNCTION rapport.openapi_type(type oid) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE
		WHEN t.typcategory = 'A' THEN
			jsonb_build_object('type', 'array', 'items', CASE t.typelem
				WHEN 'text'::regtype THEN '{"type": "string"}'::jsonb
				WHEN 'bigint'::regtype THEN '{"type": "integer", "format": "int64"}'
				WHEN 'integer'::regtype THEN '{"type": "integer", "format": "int32"}'
				ELSE '{"type": "number"}' END)
		ELSE CASE t.oid
			WHEN 'bigint'::regtype THEN '{"type": "integer", "format": "int64"}'::jsonb
			WHEN 'integer'::regtype THEN '{"type": "integer", "format": "int32"}'
			WHEN 'smallint'::regtype THEN '{"type": "integer"}'
			WHEN 'double precision'::regtype THEN '{"type": "number", "format": "double"}'
			WHEN 'real'::regtype THEN '{"type": "number", "format": "float"}'
			WHEN 'boolean'::regtype THEN '{"type": "boolean"}'
			WHEN 'date'::regtype THEN '{"type": "string", "format": "date"}'
			WHEN 'timestamp with time zone'::regtype THEN '{"type": "string", "format": "date-time"}'
			WHEN 'jsonb'::regtype THEN '{}'
			ELSE '{"type": "string"}' END
		END
	FROM pg_type AS t
	WHERE t.oid = openapi_type.type;
END;
COMMENT ON FUNCTION rapport.openapi_type(oid) IS 'The JSON schema of a PostgreSQL type.';

CREATE OR REPLACE FUNCTION rapport.openapi_answer(call oid, reason text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT CASE rapport.route_shape(openapi_answer.call)
		WHEN 'object' THEN c.object
		WHEN 'items' THEN
			jsonb_build_object('type', 'object', 'required', jsonb_build_array('items'), 'properties',
				jsonb_build_object('items', jsonb_build_object('type', 'array', 'items', c.object))
				|| CASE WHEN c.paged THEN
					'{"next_cursor": {"type": ["string", "null"], "description": "Pass it as after for the next page; null when there is none."}}'::jsonb
				   ELSE '{}' END
				|| CASE WHEN openapi_answer.reason IS NOT NULL THEN
					'{"reason": {"type": ["object", "null"], "description": "Why there are no items; null when there are."}}'::jsonb
				   ELSE '{}' END)
		ELSE '{}'
	END
	FROM (
		SELECT jsonb_build_object('type', 'object', 'properties',
				   coalesce(jsonb_object_agg(x.name, rapport.openapi_type(x.type)) FILTER (WHERE x.name NOT IN ('cursor', 'refusal')), '{}')) AS object,
			   coalesce(bool_or(x.name = 'cursor'), false) AS paged
		FROM rapport.route_columns(openapi_answer.call) AS x
	) AS c;
END;
COMMENT ON FUNCTION rapport.openapi_answer(oid, text) IS 'The JSON schema of the answer of a route''s function; reason is that of the route.';

CREATE OR REPLACE FUNCTION rapport.openapi_operation(method text, path text) RETURNS jsonb
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT jsonb_build_object(
			'operationId', p.proname,
			'tags', jsonb_build_array(r.tag),
			'summary', substring(d.text from '^[^.:;]*'),
			'description', d.text,
			'parameters', a.parameters,
			'responses', jsonb_build_object('default', '{"$ref": "#/components/responses/problem"}'::jsonb)
				|| CASE rapport.route_shape(p.oid)
					WHEN 'nothing' THEN '{"204": {"description": "Done."}}'::jsonb
					ELSE jsonb_build_object(r.success::text, jsonb_build_object('description', 'The answer.',
						'content', jsonb_build_object('application/json', jsonb_build_object('schema', rapport.openapi_answer(p.oid, r.reason)))))
				   END)
		|| CASE WHEN a.body IS NULL THEN '{}'::jsonb
			ELSE jsonb_build_object('requestBody', jsonb_build_object('required', true,
				'content', jsonb_build_object('application/json', jsonb_build_object('schema', a.body)))) END
		|| CASE WHEN r.role = 'anon' THEN '{"security": []}'::jsonb ELSE '{}' END
	FROM rapport.route AS r
	JOIN pg_namespace AS n ON n.nspname = (parse_ident(r.call))[1]
	JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = (parse_ident(r.call))[2]
	CROSS JOIN LATERAL (SELECT coalesce(obj_description(p.oid, 'pg_proc'), '') AS text) AS d
	CROSS JOIN LATERAL (
		SELECT coalesce(jsonb_agg(jsonb_build_object('name', x.name, 'in', x.place, 'required', x.place = 'path' OR x.required,
													 'schema', x.schema) ORDER BY x.ord)
						FILTER (WHERE x.place IN ('path', 'query')), '[]')
			   || CASE WHEN r.method <> 'GET' AND r.role <> 'anon' THEN
					'[{"$ref": "#/components/parameters/idempotency_key"}]'::jsonb ELSE '[]' END AS parameters,
			   CASE WHEN bool_or(x.place = 'whole') THEN '{"type": "object"}'::jsonb
					WHEN bool_or(x.place = 'body') THEN
						jsonb_build_object('type', 'object', 'additionalProperties', false,
							'required', coalesce(jsonb_agg(x.name ORDER BY x.ord) FILTER (WHERE x.place = 'body' AND x.required), '[]'),
							'properties', jsonb_object_agg(x.name, x.schema) FILTER (WHERE x.place = 'body'))
			   END AS body
		FROM (
			SELECT b.*, rapport.openapi_type(b.type::regtype) AS schema
			FROM rapport.route_arguments(r.method, r.path, p.oid) AS b
		) AS x
	) AS a
	WHERE r.method = openapi_operation.method
	AND r.path = openapi_operation.path;
END;
COMMENT ON FUNCTION rapport.openapi_operation(text, text) IS 'The OpenAPI operation object of one route.';

CREATE OR REPLACE FUNCTION rapport.openapi() RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp
AS $$
BEGIN
	RETURN jsonb_build_object(
		'openapi', '3.1.0',
		'info', jsonb_build_object('title', 'Rapport', 'version', rapport.api_version(),
								   'description', obj_description('rapport'::regnamespace, 'pg_namespace')),
		'security', '[{"access_token": []}]'::jsonb,
		'paths', (
			SELECT coalesce(jsonb_object_agg(x.path, x.operations), '{}')
			FROM (
				SELECT r.path, jsonb_object_agg(lower(r.method), rapport.openapi_operation(r.method, r.path)) AS operations
				FROM rapport.route AS r
				GROUP BY r.path
			) AS x),
		'components', jsonb_build_object(
			'securitySchemes', '{"access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}'::jsonb,
			'parameters', '{"idempotency_key": {"name": "Idempotency-Key", "in": "header", "required": false,
				"description": "Send the same key when you repeat a request: the first answer comes back and nothing is done twice.",
				"schema": {"type": "string", "maxLength": 200}}}'::jsonb,
			'responses', '{"problem": {"description": "An error as problem details (RFC 9457).", "content":
				{"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}}}'::jsonb,
			'schemas', jsonb_build_object('problem', jsonb_build_object(
				'type', 'object',
				'required', '["type", "title", "status", "code"]'::jsonb,
				'properties', jsonb_build_object(
					'type', '{"type": "string"}'::jsonb,
					'title', '{"type": "string"}'::jsonb,
					'status', '{"type": "integer"}'::jsonb,
					'detail', '{"type": "string"}'::jsonb,
					'hint', '{"type": "string"}'::jsonb,
					'request_id', '{"type": "string"}'::jsonb,
					'code', jsonb_build_object('type', 'string', 'enum',
						(SELECT jsonb_agg(e.code ORDER BY e.code) FROM rapport.error_code AS e)))))));
END;
$$;
COMMENT ON FUNCTION rapport.openapi() IS 'The OpenAPI 3.1 document of all routes, made from the route table, the catalogue and the comments.';
GRANT EXECUTE ON FUNCTION rapport.openapi() TO rapport_api, rapport_anon;
