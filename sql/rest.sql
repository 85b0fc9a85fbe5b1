-- rest: an app adds a route of its own; statements for each shape of answer.
\set SHOW_CONTEXT never
CREATE SCHEMA app;
CREATE FUNCTION app.greet(name text, loud boolean DEFAULT NULL, OUT greeting text, OUT refusal text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF name = 'nobody' THEN
		refusal := 'not_found';
	ELSE
		greeting := CASE WHEN loud THEN upper('hello ' || name) ELSE 'hello ' || name END;
	END IF;
END;
$$;
REVOKE ALL ON FUNCTION app.greet FROM PUBLIC;

-- The grants that a request will need are asked for first.
SELECT rapport.add_route('GET', '/app/greet/{name}', 'app.greet');
GRANT EXECUTE ON FUNCTION app.greet TO rapport_user;
SELECT rapport.add_route('GET', '/app/greet/{name}', 'app.greet');
GRANT USAGE ON SCHEMA app TO rapport_api, rapport_user;
SELECT rapport.add_route('GET', '/app/greet/{nome}', 'app.greet');
SELECT rapport.add_route('GET', '/app/{greet', 'app.greet');
SELECT rapport.add_route('GET', '/app/greet/{name}', 'app.greet');
SELECT rapport.add_route('GET', '/app/greet/{name}', 'app.greet');

-- What the front is given, and that it runs: an object, a refusal.
SELECT params, statement, statement_once FROM rapport.routes() WHERE path LIKE '/app/%' \gx
SELECT statement FROM rapport.routes() WHERE path LIKE '/app/%' \gset
PREPARE greet AS :statement;
EXECUTE greet('Ana', true);
EXECUTE greet('Ana', NULL);
EXECUTE greet('nobody', NULL);
DEALLOCATE greet;

-- A write by a person can be repeated: the statement runs once for a key.
CREATE TABLE app.written (what text);
CREATE FUNCTION app.write(what text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO app.written VALUES (what);
END;
$$;
GRANT EXECUTE ON FUNCTION app.write TO rapport_user;
SELECT rapport.add_route('POST', '/app/write', 'app.write');
SELECT statement_once FROM rapport.routes() WHERE path = '/app/write' \gset
PREPARE once AS :statement_once;
SELECT rapport.act_as(rapport.new_person('rest'));
EXECUTE once('one', 'key 1'::text, 'request');
EXECUTE once('one', 'key-1', 'request');
EXECUTE once('one', 'key-1', 'request');
EXECUTE once('two', 'key-1', 'another request');
EXECUTE once('two', 'key-2', 'another request');
SELECT rapport.act_as(NULL);
SELECT * FROM app.written;

-- A page says where the next one begins, when it is full.
CREATE FUNCTION app.count(page_size integer DEFAULT NULL, after text DEFAULT NULL) RETURNS TABLE (n integer, cursor text)
LANGUAGE plpgsql
AS $$
BEGIN
	RETURN QUERY SELECT i, i::text FROM generate_series(coalesce(after::integer, 0) + 1, 3) AS i LIMIT coalesce(page_size, 20);
END;
$$;
GRANT EXECUTE ON FUNCTION app.count TO rapport_anon;
GRANT USAGE ON SCHEMA app TO rapport_anon;
SELECT rapport.add_route('GET', '/app/count', 'app.count', role => 'anon');
SELECT statement FROM rapport.routes() WHERE path = '/app/count' \gset
PREPARE page AS :statement;
EXECUTE page(2, NULL);
EXECUTE page(2, '2');
EXECUTE page(NULL, NULL);
EXECUTE page(2, '3');

DELETE FROM rapport.route WHERE NOT builtin;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
