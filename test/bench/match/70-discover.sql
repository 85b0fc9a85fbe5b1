-- Variables: library, viewers, seed.
\ir ../race.sql
CREATE TEMPORARY TABLE drawn AS
SELECT c.person_id, p.tags
FROM rapport.candidate AS c
JOIN rapport.profile AS p USING (person_id)
WHERE c.mode = 1
ORDER BY hashint8extended(c.person_id, :seed)
LIMIT :viewers;
CREATE TEMPORARY TABLE asked (viewer bigint, discover double precision, fields double precision, scan double precision, same boolean);
-- The last step of discover(), as it does it: what is shown of the people found that comes from their profiles.
CREATE FUNCTION pg_temp.fields(ids bigint[], my_tags text[])
RETURNS TABLE (person_id bigint, display_name text, age integer, shared_tags text[], attributes jsonb, about text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, rapport, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
	RETURN QUERY
	SELECT p.person_id, p.display_name, rapport.person_age(p.birth_date, rapport.today()),
		ARRAY(SELECT t FROM unnest(p.tags) WITH ORDINALITY AS x (t, i) WHERE t = ANY (my_tags) ORDER BY i),
		rapport.attributes_shown(p.traits, p.numbers), p.about
	FROM unnest(ids) WITH ORDINALITY AS hit (person_id, place)
	JOIN rapport.profile AS p ON p.person_id = hit.person_id
	ORDER BY hit.place;
END;
$$;
CREATE FUNCTION pg_temp.scan(asked rapport.match_query) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
	PERFORM c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) asked ORDER BY c.key OPERATOR(rapport.<->) asked LIMIT 20;
END;
$$;
DO $$
DECLARE
	days integer := rapport.setting_int('active_within_days');
	v record;
	query rapport.match_query;
	began double precision;
	ms double precision[];
	ids bigint[];
	bare bigint[];
BEGIN
	FOR v IN SELECT * FROM pg_temp.drawn
	LOOP
		PERFORM rapport.act_as(v.person_id);
		-- The person stays, the role is ours again.
		PERFORM set_config('role', 'none', false);
		query := rapport.match_query_for(v.person_id, 1::smallint, rapport.match_side(v.person_id, 1::smallint, 2), rapport.today(),
										 rapport.seen_by(v.person_id, 1::smallint), CASE WHEN days > 0 THEN rapport.today() - days END);
		ids := ARRAY(SELECT d.person_id FROM rapport.discover() AS d);
		bare := ARRAY(SELECT c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) query ORDER BY c.key OPERATOR(rapport.<->) query LIMIT 20);
		ms := '{Infinity,Infinity,Infinity}';
		FOR turn IN 1 .. 5
		LOOP
			began := bench.cpu_ms();
			PERFORM FROM rapport.discover();
			ms[1] := least(ms[1], bench.cpu_ms() - began);
			began := bench.cpu_ms();
			PERFORM FROM pg_temp.fields(ids, v.tags);
			ms[2] := least(ms[2], bench.cpu_ms() - began);
			began := bench.cpu_ms();
			PERFORM pg_temp.scan(query);
			ms[3] := least(ms[3], bench.cpu_ms() - began);
		END LOOP;
		INSERT INTO pg_temp.asked VALUES (v.person_id, ms[1], ms[2], ms[3], ids = bare);
	END LOOP;
END;
$$;
SELECT unnest(ARRAY[
	'discover_mean=' || round(avg(discover)::numeric, 3),
	'fields_mean=' || round(avg(fields)::numeric, 3),
	'scan_mean=' || round(avg(scan)::numeric, 3),
	'scan_wrong=' || count(*) FILTER (WHERE NOT same),
	'discover_vs_scan=' || round((sum(discover - fields) / sum(scan))::numeric, 2)])
FROM asked;
