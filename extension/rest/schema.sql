-- rest: the route table, from which the front and the OpenAPI document are made.

CREATE TABLE rapport.route (
	method text NOT NULL CHECK (method IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')),
	path text NOT NULL CHECK (path ~ '^(/([a-z0-9._-]+|\{[a-z_]+\}))+$'),
	call text NOT NULL,
	role text NOT NULL CHECK (role IN ('anon', 'user', 'moderator', 'admin')),
	lane text NOT NULL CHECK (lane IN ('read', 'write', 'heavy')),
	timeout_ms integer NOT NULL DEFAULT 5000 CHECK (timeout_ms BETWEEN 1 AND 600000),
	success integer NOT NULL CHECK (success BETWEEN 200 AND 204),
	tag text NOT NULL,
	builtin boolean NOT NULL DEFAULT false,
	reason text,
	PRIMARY KEY (method, path)
);
COMMENT ON TABLE rapport.route IS
'The REST surface: a path, and the function that answers it. Arguments and types come from the catalogue, texts from COMMENT ON FUNCTION.';
COMMENT ON COLUMN rapport.route.call IS 'schema.function as text: pg_upgrade refuses columns of type regproc.';
COMMENT ON COLUMN rapport.route.reason IS
'schema.function with the same arguments that tells, as jsonb, why a list is empty; the answer has it as reason.';
COMMENT ON COLUMN rapport.route.path IS 'A segment in braces is the argument of that name.';
COMMENT ON COLUMN rapport.route.role IS 'The least role that may call it; the function is granted to rapport_<role>.';
COMMENT ON COLUMN rapport.route.lane IS 'Which connections serve it: read (read-only transactions), write, heavy (may take long).';
COMMENT ON COLUMN rapport.route.success IS 'The HTTP status of an answer with a body; without one it is 204.';
SELECT pg_catalog.pg_extension_config_dump('rapport.route', 'WHERE NOT builtin');
