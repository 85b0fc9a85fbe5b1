-- Discovery is exact. On 20 random populations, 20 viewers each page through
-- everyone they are shown; a brute force that reads only profiles, preferences,
-- blocks, swipes and likes, and knows nothing of keys, says who that must be and
-- in which order, by whatever scoring profile.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;

\set ECHO none
\i test/lib/match_oracle.sql
\i test/lib/score_oracle.sql
\set ECHO all
SELECT pg_temp.start_over() \g /dev/null

CREATE TEMP TABLE result (population integer, viewer bigint, mode smallint, members bigint[], shown bigint[], misplaced bigint, sort text, missorted bigint);
SELECT setseed(.5);

DO $$
DECLARE
	ids bigint[];
	kind text;
	viewer record;
	k rapport.match_key;
	q rapport.match_query;
	members bigint[];
	deck bigint[];
	weights jsonb;
	sort text;
BEGIN
	FOR population IN 1 .. 20 LOOP
		PERFORM set_config('rapport.now', (ARRAY['2024-02-29 00:00:00Z', '2025-02-28 23:59:59Z', '2026-06-15 12:00:00Z'])[1 + population % 3], true);
		DELETE FROM rapport.candidate;
		DELETE FROM rapport.preference;
		DELETE FROM rapport.profile;
		kind := (ARRAY['city', 'world', 'pole', 'date line', 'one cell'])[1 + population % 5];
		ids := pg_temp.populate(kind, CASE population WHEN 7 THEN 2 WHEN 13 THEN 20 ELSE 250 END, .1 * (1 + population % 6));
		SELECT p.weights INTO weights FROM profile_of AS p WHERE p.n = population % 11;
		PERFORM rapport.set_scoring_profile('default', weights);
		IF population % 3 = 0 THEN
			PERFORM pg_temp.count_tags(100);
		END IF;
		FOR viewer IN
			SELECT p.person_id, f.mode, m.code
			FROM rapport.profile AS p
			JOIN rapport.person AS a ON a.person_id = p.person_id AND a.state = 'active'
			JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.enabled
			JOIN rapport.mode AS m ON m.mode = f.mode
			WHERE p.person_id = ANY (ids)
			AND NOT EXISTS (SELECT FROM rapport.missing_steps(p))
			ORDER BY random()
			LIMIT 20
		LOOP
			members := ARRAY(SELECT pg_temp.who(viewer.person_id, viewer.mode));
			k := rapport.match_side(viewer.person_id, viewer.mode, 2);
			q := rapport.match_query_for(viewer.person_id, viewer.mode, k, rapport.today(), rapport.seen_by(viewer.person_id, viewer.mode));
			deck := pg_temp.shown(viewer.person_id, viewer.code, (ARRAY[3, 20, 100])[1 + pg_temp.upto(3)]);
			sort := (ARRAY['nearest', 'newest', 'active'])[1 + pg_temp.upto(3)];
			INSERT INTO result VALUES (
				population, viewer.person_id, viewer.mode, members, deck,
				pg_temp.misplaced(deck, viewer.person_id, viewer.mode, members, weights, 'best', rapport.today()), sort,
				pg_temp.misplaced(pg_temp.scanned(pg_temp.sorted(q, sort)), viewer.person_id, viewer.mode, members, weights, sort, rapport.today()));
		END LOOP;
	END LOOP;
END $$;

-- Missing: fits and is not shown. Extra: is shown and does not fit. Twice: shown on two pages.
-- Misordered: a deck, or an index scan in another order, that brute force puts in another order.
SELECT count(DISTINCT population) AS populations,
	   count(*) >= 380 AS viewers,
	   sum(cardinality(members)) > 2000 AS members,
	   sum((SELECT count(*) FROM (SELECT unnest(members) EXCEPT SELECT unnest(shown)) AS x)) AS missing,
	   sum((SELECT count(*) FROM (SELECT unnest(shown) EXCEPT SELECT unnest(members)) AS x)) AS extra,
	   sum((SELECT count(*) - count(DISTINCT s) FROM unnest(shown) AS s)) AS twice,
	   count(*) FILTER (WHERE misplaced + missorted <> 0) AS misordered
FROM result;

-- What the comparison is worth: it sees each of these.
CREATE FUNCTION pg_temp.seen_wrong(weights jsonb, day date) RETURNS bigint LANGUAGE sql AS $$
	SELECT sum((pg_temp.misplaced(r.shown, r.viewer, r.mode, r.members, weights, 'best', day) > 0)::integer) FROM result AS r WHERE r.population = 20
$$;
SELECT weights, rapport.today() AS day FROM profile_of WHERE n = 20 % 11 \gset
SELECT pg_temp.seen_wrong(:'weights', :'day') AS nothing,
	   pg_temp.seen_wrong(jsonb_set(:'weights', '{tags}', '9'), :'day') > 0 AS a_weight,
	   pg_temp.seen_wrong(jsonb_set(:'weights', '{boost}', '0'), :'day') > 0 AS the_boost,
	   pg_temp.seen_wrong(jsonb_set(:'weights', '{diversity}', '0'), :'day') > 0 AS the_chance_of_the_day,
	   pg_temp.seen_wrong(jsonb_set(:'weights', '{scale_km}', '15'), :'day') > 0 AS a_scale;
-- All cost the same but for the tie, which goes by the day.
SELECT viewer, mode, members FROM result WHERE population = 20 ORDER BY cardinality(members) DESC LIMIT 1 \gset
SELECT weights FROM profile_of WHERE n = 4 \gset
CREATE TEMP TABLE tied AS
SELECT pg_temp.scanned(rapport.match_query_for(:viewer, :mode::smallint, rapport.match_side(:viewer, :mode::smallint, 2), :'day',
											   rapport.seen_by(:viewer, :mode::smallint), weights => :'weights')) AS deck;
SELECT cardinality(deck) > 20 AS many, pg_temp.misplaced(deck, :viewer, :mode::smallint, :'members', :'weights', 'best', :'day') AS nothing,
	   pg_temp.misplaced(deck, :viewer, :mode::smallint, :'members', :'weights', 'best', :'day'::date + 1) > 0 AS the_tie
FROM tied;
-- The plans below are those of many who cost different amounts.
SELECT rapport.drop_scoring_profile('default') \g /dev/null

-- It is the ordered index scan that answers, whatever the size of the page, and
-- with the plans that discover() keeps.
SELECT cardinality(pg_temp.populate('city', 1500, .2)) AS people;
CREATE TEMP TABLE asked AS
SELECT p.person_id, rapport.match_query_for(p.person_id, 1::smallint, rapport.match_side(p.person_id, 1::smallint, 2), rapport.today(), '{}') AS query
FROM rapport.profile AS p
JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.mode = 1 AND f.enabled
JOIN rapport.person AS a ON a.person_id = p.person_id AND a.state = 'active'
WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p))
LIMIT 1;
CREATE FUNCTION pg_temp.plan_of(rows integer) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT person_id FROM rapport.candidate WHERE key OPERATOR(rapport.@@) (SELECT query FROM asked)
		ORDER BY key OPERATOR(rapport.<->) (SELECT query FROM asked) FETCH FIRST %s ROWS WITH TIES', rows)
	LOOP
		-- How the value of a sub-select is written depends on the version.
		line := regexp_replace(line, 'InitPlan \d+ \(returns .*\)|InitPlan \d+$', 'InitPlan');
		RETURN NEXT regexp_replace(line, '\$\d+|\(InitPlan \d+\)\.col1', 'asked.query');
	END LOOP;
END;
$$;
SELECT rows, pg_temp.plan_of(rows) AS plan FROM unnest('{1,20,500}'::integer[]) AS rows;
CREATE TEMP TABLE scans AS
SELECT pg_stat_get_xact_numscans('rapport.candidate_key'::regclass) AS index, pg_stat_get_xact_numscans('rapport.candidate_1'::regclass) AS seq;
SELECT rapport.act_as(person_id) FROM asked \g /dev/null
SELECT count(*) > 0 AS found FROM generate_series(1, 10) AS i, LATERAL rapport.discover('date', i) AS d;
SELECT rapport.act_as(NULL) \g /dev/null
SELECT pg_stat_get_xact_numscans('rapport.candidate_key'::regclass) - index AS index_scans,
	   pg_stat_get_xact_numscans('rapport.candidate_1'::regclass) - seq AS sequential_scans
FROM scans;

ROLLBACK;
