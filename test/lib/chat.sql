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

-- Somebody who can be found in the mode friends.
CREATE FUNCTION pg_temp.newcomer(name text, latitude double precision DEFAULT -41.3, longitude double precision DEFAULT 174.8) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	PERFORM rapport.act_as(id);
	PERFORM FROM rapport.update_profile(jsonb_build_object('display_name', name, 'birth_date', '1996-04-01'));
	PERFORM rapport.set_place(latitude, longitude);
	PERFORM rapport.set_preference('friends', '{"enabled": true}');
	PERFORM rapport.act_as(NULL);
	RETURN id;
END;
$$;
