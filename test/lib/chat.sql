-- What the tests of chat share.
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\pset null '-'

-- What an attempt is refused with; "done" when it is not.
CREATE FUNCTION pg_temp.refusal(attempt text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	code text;
	detail text;
BEGIN
	EXECUTE attempt;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
	RETURN rtrim(format('%s %s %s', SQLSTATE, code, detail));
END;
$$;

-- What a mutual like does, for people without profiles: the conversation it opens.
CREATE FUNCTION pg_temp.meet(one bigint, other bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	ids bigint[] := ARRAY[least(one, other), greatest(one, other), 1];
BEGIN
	INSERT INTO rapport.pair (lo, hi, mode, lo_action, hi_action, matched_at)
	VALUES (ids[1], ids[2], 1, 'like', 'like', rapport.now());
	PERFORM rapport.run_hooks('matched', ids);
	RETURN (SELECT p.conversation_id FROM rapport.pair AS p WHERE p.lo = ids[1] AND p.hi = ids[2] AND p.mode = 1);
END;
$$;
