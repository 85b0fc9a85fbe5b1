-- The whole REST surface on one page. Arguments and texts come from the functions.

INSERT INTO rapport.route (method, path, call, role, lane, success, tag, builtin) VALUES
	('GET', '/v1/errors', 'rapport.error_codes', 'anon', 'read', 200, 'service', true);
