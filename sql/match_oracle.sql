-- Discovery is exact. On 20 random populations, 20 viewers each page through
-- everyone they are shown; a brute force that reads only profiles, preferences,
-- blocks and swipes, and knows nothing of keys, says who that must be.
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;

-- Attributes of every shape: one lane, several lanes, numbers; two-way, one-way, soft.
DELETE FROM rapport.candidate;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
DELETE FROM rapport.attribute_label;
DELETE FROM rapport.attribute_option;
DELETE FROM rapport.attribute;
INSERT INTO rapport.attribute (attribute_id, code, kind, strength, weight, lane, lanes, slot, minimum, maximum, step) VALUES
	(1, 'gender', 'choice', 'two_way', 1, 0, 1, NULL, NULL, NULL, NULL),
	(2, 'faith', 'choice', 'two_way', 1, 1, 2, NULL, NULL, NULL, NULL),
	(3, 'height', 'number', 'two_way', 1, NULL, NULL, 0, 100, 250, 1),
	(4, 'language', 'choice', 'one_way', 2, 3, 8, NULL, NULL, NULL, NULL),
	(5, 'smoking', 'choice', 'soft', 3, 11, 1, NULL, NULL, NULL, NULL),
	(6, 'pets', 'choice', 'two_way', 1, 31, 1, NULL, NULL, NULL, NULL),
	(7, 'income', 'number', 'one_way', 1, NULL, NULL, 3, 0, 1000, 10),
	(8, 'evenings', 'number', 'soft', 1, NULL, NULL, 1, 0, 7, 1);
INSERT INTO rapport.attribute_option (attribute_id, option, code)
SELECT attribute_id, o, 'option_' || o
FROM (VALUES (1, 3), (2, 15), (4, 63), (5, 3), (6, 7)) AS a (attribute_id, options), generate_series(1, options) AS o;

-- The brute force.

CREATE FUNCTION pg_temp.hard(f rapport.preference, a rapport.attribute, one_way boolean) RETURNS boolean
LANGUAGE sql STABLE RETURN
	CASE coalesce(f.strengths[a.attribute_id], 0)
		WHEN 0 THEN a.strength = 'two_way' OR one_way AND a.strength = 'one_way'
		WHEN 1 THEN true
		WHEN 2 THEN one_way
		ELSE false
	END;

CREATE FUNCTION pg_temp.meets(p rapport.profile, f rapport.preference, a rapport.attribute) RETURNS boolean
LANGUAGE sql STABLE RETURN
	CASE
		WHEN a.kind = 'choice' THEN
			f.accepts[a.attribute_id] IS NULL
			OR (f.accepts[a.attribute_id] >> coalesce(p.traits[a.attribute_id], 0)) & 1 = 1
		WHEN f.number_min[a.slot + 1] IS NULL AND f.number_max[a.slot + 1] IS NULL THEN true
		WHEN p.numbers[a.slot + 1] IS NULL THEN f.number_unset[a.slot + 1]
		ELSE p.numbers[a.slot + 1] BETWEEN f.number_min[a.slot + 1] AND f.number_max[a.slot + 1]
	END;

CREATE FUNCTION pg_temp.who(viewer bigint, in_mode smallint) RETURNS SETOF bigint
LANGUAGE sql STABLE BEGIN ATOMIC
	SELECT x.person_id
	FROM rapport.profile AS v
	JOIN rapport.preference AS vf ON vf.person_id = v.person_id AND vf.mode = in_mode
	JOIN rapport.preference AS xf ON xf.mode = in_mode AND xf.enabled
	JOIN rapport.profile AS x ON x.person_id = xf.person_id
	JOIN rapport.person AS xp ON xp.person_id = x.person_id
	WHERE v.person_id = viewer
	AND x.person_id <> viewer
	AND xp.state = 'active'
	AND NOT x.paused
	AND x.display_name IS NOT NULL
	AND x.birth_date IS NOT NULL
	AND x.place IS NOT NULL
	AND extract(year FROM age(rapport.today(), x.birth_date)) BETWEEN coalesce(vf.age_min, 0) AND coalesce(vf.age_max, 999)
	AND extract(year FROM age(rapport.today(), v.birth_date)) BETWEEN coalesce(xf.age_min, 0) AND coalesce(xf.age_max, 999)
	AND st_distance(x.place, v.place, false) <= coalesce(least(vf.max_distance_km, xf.max_distance_km) * 1000.0, 'infinity')
	AND NOT EXISTS (
		SELECT
		FROM rapport.attribute AS a
		WHERE pg_temp.hard(vf, a, true) AND NOT pg_temp.meets(x, vf, a)
		OR pg_temp.hard(xf, a, false) AND NOT pg_temp.meets(v, xf, a))
	AND NOT EXISTS (
		SELECT
		FROM rapport.block AS b
		WHERE b.person_id = viewer AND b.other_id = x.person_id
		OR b.person_id = x.person_id AND b.other_id = viewer)
	AND NOT EXISTS (
		SELECT
		FROM rapport.swipe AS s
		WHERE s.person_id = viewer AND s.other_id = x.person_id AND s.mode = in_mode
		AND coalesce(s.expires > rapport.today(), true));
END;

-- Random people. Each kind of population has its own geography.

CREATE FUNCTION pg_temp.chance(p double precision) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN random() < p;
END $$;

CREATE FUNCTION pg_temp.upto(n integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	RETURN floor(random() * n);
END $$;

CREATE FUNCTION pg_temp.spot(kind text) RETURNS geography LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE kind
		WHEN 'city' THEN st_point(13.4 + random() * .6, 52.3 + random() * .4)
		WHEN 'world' THEN st_point(random() * 360 - 180, degrees(asin(random() * 2 - 1)))
		WHEN 'pole' THEN st_point(random() * 360 - 180, (89 + random()) * (CASE WHEN random() < .8 THEN 1 ELSE -1 END))
		WHEN 'date line' THEN st_point(CASE WHEN random() < .5 THEN 180 - random() * .5 ELSE random() * .5 - 180 END, random() * 2 - 1)
		ELSE st_point(0, 0)
	END::geography;
END $$;

CREATE FUNCTION pg_temp.populate(kind text, size integer, strict double precision) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[] := ARRAY(SELECT rapport.new_id() FROM generate_series(1, size));
	id bigint;
BEGIN
	FOREACH id IN ARRAY ids LOOP
		INSERT INTO rapport.person (person_id, role, state, created_at)
		VALUES (id, 'user', CASE WHEN pg_temp.chance(.03) THEN 'suspended' ELSE 'active' END, rapport.now());
		INSERT INTO rapport.profile (person_id, display_name, birth_date, about, place, place_at, traits, numbers, tags, embedding, paused, created_at, updated_at)
		VALUES (
			id,
			CASE WHEN pg_temp.chance(.97) THEN 'P' || id END,
			rapport.today() - 6575 - pg_temp.upto(5000) - CASE WHEN pg_temp.chance(.1) THEN pg_temp.upto(20000) ELSE 0 END,
			CASE WHEN pg_temp.chance(.5) THEN 'text' END,
			CASE WHEN pg_temp.chance(.97) THEN pg_temp.spot(kind) END,
			rapport.now(),
			ARRAY(SELECT CASE WHEN pg_temp.chance(.85) THEN coalesce(1 + pg_temp.upto((SELECT count(*)::integer FROM rapport.attribute_option AS o WHERE o.attribute_id = a)), 0) END::smallint
				  FROM generate_series(1, pg_temp.upto(7)) AS a),
			ARRAY(SELECT CASE WHEN pg_temp.chance(.8) THEN pg_temp.upto(8) END::smallint FROM generate_series(1, pg_temp.upto(5))),
			ARRAY(SELECT DISTINCT 'tag' || pg_temp.upto(30) FROM generate_series(1, pg_temp.upto(8))),
			CASE WHEN pg_temp.chance(.7) THEN ARRAY(SELECT random() * 2 - 1 FROM generate_series(1, 8))::real[] END,
			pg_temp.chance(.03), rapport.now(), rapport.now());
		IF pg_temp.chance(.9) THEN
			INSERT INTO rapport.activity (person_id, active_on) VALUES (id, rapport.today() - pg_temp.upto(100));
		END IF;
		INSERT INTO rapport.preference (person_id, mode, enabled, accepts, strengths, number_min, number_max, number_unset, age_min, age_max, max_distance_km, updated_at)
		SELECT id, m, pg_temp.chance(.95),
			ARRAY(SELECT CASE
							WHEN NOT pg_temp.chance(strict) THEN NULL
							WHEN pg_temp.chance(.02) THEN 0
							-- Mostly generous masks, of any of 64 bits.
							ELSE (random() * 18e18 - 9e18)::bigint | (random() * 18e18 - 9e18)::bigint
								| CASE WHEN pg_temp.chance(.5) THEN 1 ELSE 0 END
						 END::bigint
				  FROM generate_series(1, pg_temp.upto(7)) AS a),
			ARRAY(SELECT pg_temp.upto(4)::smallint FROM generate_series(1, pg_temp.upto(9))),
			n.low, n.high, n.unset,
			CASE WHEN pg_temp.chance(.5) THEN 18 + pg_temp.upto(5) END,
			CASE WHEN pg_temp.chance(.5) THEN 23 + pg_temp.upto(60) END,
			(ARRAY[1, 10, 50, 200, 1000, 30000, NULL, NULL])[1 + pg_temp.upto(8)],
			rapport.now()
		FROM generate_series(1, 2) AS m,
			LATERAL (SELECT coalesce(array_agg(r.low), '{}') AS low, coalesce(array_agg(r.low + r.more), '{}') AS high,
							coalesce(array_agg(CASE WHEN r.low IS NOT NULL THEN r.unset END), '{}') AS unset
					 FROM (SELECT CASE WHEN pg_temp.chance(strict) THEN pg_temp.upto(5) END::smallint AS low,
								  pg_temp.upto(6)::smallint AS more,
								  pg_temp.chance(.5) AS unset
						   FROM generate_series(1, CASE WHEN m > 0 THEN pg_temp.upto(5) END)) AS r) AS n
		WHERE m = 1 OR pg_temp.chance(.3);
	END LOOP;
	FOR i IN 1 .. size LOOP
		INSERT INTO rapport.swipe (person_id, other_id, mode, action, at, expires)
		VALUES (ids[1 + pg_temp.upto(size)], ids[1 + pg_temp.upto(size)], 1 + pg_temp.upto(2), 'pass', rapport.now(),
				CASE WHEN pg_temp.chance(.3) THEN rapport.today() - 1 + pg_temp.upto(3) END)
		ON CONFLICT DO NOTHING;
	END LOOP;
	WITH fresh AS (
		INSERT INTO rapport.block (person_id, other_id, at)
		SELECT a, b, rapport.now()
		FROM (SELECT ids[1 + pg_temp.upto(size)] AS a, ids[1 + pg_temp.upto(size)] AS b FROM generate_series(1, size)) AS r
		WHERE a <> b
		ON CONFLICT DO NOTHING
		RETURNING person_id, other_id)
	INSERT INTO rapport.blocked_by (person_id, other_id) SELECT other_id, person_id FROM fresh;
	PERFORM rapport.run_hooks('person_changed', ids);
	ANALYZE rapport.person, rapport.profile, rapport.preference, rapport.candidate;
	RETURN ids;
END $$;

-- Everyone discover() shows, page by page.
CREATE FUNCTION pg_temp.shown(viewer bigint, mode text, page_size integer) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	page record;
	after text;
	rows integer;
	deck bigint[] := '{}';
BEGIN
	PERFORM rapport.act_as(viewer, true);
	LOOP
		rows := 0;
		FOR page IN SELECT d.person_id, d.cursor FROM rapport.discover(mode, page_size, after) AS d LOOP
			deck := deck || page.person_id;
			after := page.cursor;
			rows := rows + 1;
		END LOOP;
		EXIT WHEN rows < page_size;
	END LOOP;
	PERFORM rapport.act_as(NULL);
	RETURN deck;
END $$;

CREATE TEMP TABLE result (population integer, viewer bigint, mode smallint, members bigint[], shown bigint[], ranked bigint[]);
SELECT setseed(.5);

DO $$
DECLARE
	ids bigint[];
	kind text;
	viewer record;
	k rapport.match_key;
	q rapport.match_query;
	members bigint[];
BEGIN
	FOR population IN 1 .. 20 LOOP
		PERFORM set_config('rapport.now', (ARRAY['2024-02-29 00:00:00Z', '2025-02-28 23:59:59Z', '2026-06-15 12:00:00Z'])[1 + population % 3], true);
		DELETE FROM rapport.candidate;
		DELETE FROM rapport.preference;
		DELETE FROM rapport.profile;
		kind := (ARRAY['city', 'world', 'pole', 'date line', 'one cell'])[1 + population % 5];
		ids := pg_temp.populate(kind, CASE population WHEN 7 THEN 2 WHEN 13 THEN 20 ELSE 250 END, .1 * (1 + population % 6));
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
			q := rapport.match_query_for(viewer.person_id, viewer.mode, k, rapport.today(), '{}');
			INSERT INTO result VALUES (
				population, viewer.person_id, viewer.mode, members,
				pg_temp.shown(viewer.person_id, viewer.code, (ARRAY[3, 20, 100])[1 + pg_temp.upto(3)]),
				ARRAY(SELECT c.person_id
					  FROM rapport.candidate AS c
					  WHERE c.person_id = ANY (members)
					  AND c.mode = viewer.mode
					  ORDER BY rapport.match_cost(c.key, q), c.person_id));
		END LOOP;
	END LOOP;
END $$;

-- Missing: fits and is not shown. Extra: is shown and does not fit. Twice: shown on two pages.
SELECT count(DISTINCT population) AS populations,
	   count(*) >= 380 AS viewers,
	   sum(cardinality(members)) > 2000 AS members,
	   sum((SELECT count(*) FROM (SELECT unnest(members) EXCEPT SELECT unnest(shown)) AS x)) AS missing,
	   sum((SELECT count(*) FROM (SELECT unnest(shown) EXCEPT SELECT unnest(members)) AS x)) AS extra,
	   sum((SELECT count(*) - count(DISTINCT s) FROM unnest(shown) AS s)) AS twice,
	   count(*) FILTER (WHERE shown <> ranked) AS misordered
FROM result;

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
SELECT pg_stat_get_xact_numscans('rapport.candidate_key'::regclass) AS index, pg_stat_get_xact_numscans('rapport.candidate'::regclass) AS seq;
SELECT rapport.act_as(person_id) FROM asked \g /dev/null
SELECT count(*) > 0 AS found FROM generate_series(1, 10) AS i, LATERAL rapport.discover('date', i) AS d;
SELECT rapport.act_as(NULL) \g /dev/null
SELECT pg_stat_get_xact_numscans('rapport.candidate_key'::regclass) - index AS index_scans,
	   pg_stat_get_xact_numscans('rapport.candidate'::regclass) - seq AS sequential_scans
FROM scans;

ROLLBACK;
