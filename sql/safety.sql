-- Safety: blocking.
SET client_min_messages = warning;
SELECT rapport.new_person('ada') AS ada, rapport.new_person('ben') AS ben, rapport.new_person('cem') AS cem \gset
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	code text;
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, nullif(code, ''), nullif(detail, ''));
END;
$$;
-- Who hears of it. The blocker is named first.
CREATE TABLE heard (n integer GENERATED ALWAYS AS IDENTITY, event text, ids bigint[]);
CREATE FUNCTION hear_block(ids bigint[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.heard (event, ids) VALUES ('blocked', ids) $$;
CREATE FUNCTION hear_unblock(ids bigint[]) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.heard (event, ids) VALUES ('unblocked', ids) $$;
GRANT INSERT ON heard TO rapport_owner;
SELECT rapport.add_hook('person_blocked', 'hear_block(bigint[])'), rapport.add_hook('person_unblocked', 'hear_unblock(bigint[])');
CREATE FUNCTION pg_temp.names(ids bigint[]) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(e.external_id, ' > ' ORDER BY i.n) FROM unnest(ids) WITH ORDINALITY AS i (id, n) JOIN rapport.external_identity AS e ON e.person_id = i.id $$;

SELECT rapport.act_as_external('ada');
SELECT rapport.block(:ben);
-- Twice is once.
SELECT rapport.block(:ben);
SELECT rapport.update_profile('{"display_name": "Ada"}');
SELECT display_name FROM rapport.blocks();
SELECT rapport.act_as_external('ben');
SELECT rapport.update_profile('{"display_name": "Ben"}');
-- Ben is not told, and may block too.
SELECT count(*) FROM rapport.blocks();
SELECT rapport.block(:ada);
SELECT rapport.act_as(NULL);
-- One fact, kept with both; either way counts.
SELECT (SELECT count(*) FROM rapport.block) AS block, (SELECT count(*) FROM rapport.blocked_by) AS blocked_by,
	   rapport.is_blocked(:ada, :ben), rapport.is_blocked(:ben, :ada), rapport.is_blocked(:ada, :cem);
-- Only when neither blocks the other any more are they free again.
SELECT rapport.act_as_external('ada');
SELECT rapport.unblock(:ben), rapport.unblock(:ben), rapport.unblock(:cem), rapport.unblock(0), rapport.unblock(NULL);
SELECT rapport.act_as(NULL);
SELECT rapport.is_blocked(:ada, :ben), (SELECT count(*) FROM rapport.block) AS block, (SELECT count(*) FROM rapport.blocked_by) AS blocked_by;
SELECT rapport.act_as_external('ben');
SELECT rapport.unblock(:ada);
SELECT rapport.act_as(NULL);
SELECT rapport.is_blocked(:ada, :ben), (SELECT count(*) FROM rapport.block) AS block, (SELECT count(*) FROM rapport.blocked_by) AS blocked_by;
SELECT event, pg_temp.names(ids) FROM heard ORDER BY n;

--
-- The list, newest first
--
SELECT rapport.act_as_external('ada');
RESET ROLE;
SET rapport.now = '2026-03-01 12:00:00+00';
SELECT rapport.block(:cem);
SET rapport.now = '2026-03-02 12:00:00.123456+00';
SELECT rapport.block(:ben);
SELECT rapport.block(rapport.new_person('p' || i)) FROM generate_series(1, 30) AS i;
SET rapport.now = '2026-03-03 12:00:00+00';
SELECT rapport.block(rapport.new_person('newest'));
SELECT pg_temp.names(ARRAY[person_id]) AS newest, blocked_at AT TIME ZONE 'UTC' AS at FROM rapport.blocks(1);
-- Pages fit together: everybody once.
CREATE TABLE seen AS SELECT 0 AS page, * FROM rapport.blocks();
INSERT INTO seen SELECT 1, * FROM rapport.blocks(10, (SELECT cursor FROM seen ORDER BY blocked_at, person_id LIMIT 1));
INSERT INTO seen SELECT 2, * FROM rapport.blocks(100, (SELECT cursor FROM seen ORDER BY blocked_at, person_id LIMIT 1));
SELECT page, count(*) FROM seen GROUP BY 1 ORDER BY 1;
SELECT count(DISTINCT person_id) AS people FROM seen;
SELECT count(*) FROM rapport.blocks(100, (SELECT cursor FROM seen ORDER BY blocked_at, person_id LIMIT 1));
DROP TABLE seen;

--
-- What is refused
--
SELECT statement, pg_temp.outcome('SELECT rapport.' || statement)
FROM unnest(ARRAY['block(0)', 'block(-1)', 'block(9223372036854775807)', 'block(NULL)', 'blocks(0)', 'blocks(101)', 'blocks(-1)',
				  $$blocks(10, '')$$, $$blocks(10, 'x')$$, $$blocks(10, '1-2-3')$$, $$blocks(10, '99999999999999999-1')$$,
				  $$blocks(10, '9999999999999999-9999999999999999')$$, $$blocks(10, '1''; --')$$]) AS statement;
SELECT pg_temp.outcome(format('SELECT rapport.block(%s)', :ada));
SELECT rapport.act_as(NULL);
SET ROLE rapport_user;
SELECT pg_temp.outcome('SELECT rapport.block(1)'), pg_temp.outcome('SELECT rapport.unblock(1)'), pg_temp.outcome('SELECT rapport.blocks()'),
	   pg_temp.outcome('SELECT rapport.is_blocked(1, 2)');
RESET ROLE;

SELECT rapport.drop_hook('person_blocked', 'public.hear_block(bigint[])'), rapport.drop_hook('person_unblocked', 'public.hear_unblock(bigint[])');
DROP FUNCTION hear_block, hear_unblock;
DROP TABLE heard;
DELETE FROM rapport.block;
DELETE FROM rapport.blocked_by;
DELETE FROM rapport.person;
DELETE FROM rapport.external_identity;
DELETE FROM rapport.activity;
DELETE FROM rapport.profile;
