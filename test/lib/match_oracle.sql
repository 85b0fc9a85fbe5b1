-- What the tests of exactness share: random people, and a brute force that reads
-- only profiles, preferences, blocks, swipes and activity, and knows nothing of
-- keys. All in pg_temp; start with pg_temp.start_over().

-- Attributes of every shape: one lane, several lanes, numbers; two-way, one-way, soft. Nobody is left.
CREATE FUNCTION pg_temp.start_over() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
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
END $$;

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

-- reach_km takes the place of how far the viewer looks.
CREATE FUNCTION pg_temp.who(viewer bigint, in_mode smallint, reach_km double precision DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE sql STABLE BEGIN ATOMIC
	SELECT x.person_id
	FROM rapport.profile AS v
	JOIN rapport.preference AS vf ON vf.person_id = v.person_id AND vf.mode = in_mode
	JOIN rapport.preference AS xf ON xf.mode = in_mode AND xf.enabled
	JOIN rapport.profile AS x ON x.person_id = xf.person_id
	JOIN rapport.person AS xp ON xp.person_id = x.person_id
	LEFT JOIN rapport.activity AS y ON y.person_id = x.person_id
	WHERE v.person_id = viewer
	AND x.person_id <> viewer
	AND xp.state = 'active'
	AND NOT x.paused
	AND x.display_name IS NOT NULL
	AND x.birth_date IS NOT NULL
	AND x.place IS NOT NULL
	AND extract(year FROM age(rapport.today(), x.birth_date)) BETWEEN coalesce(vf.age_min, 0) AND coalesce(vf.age_max, 999)
	AND extract(year FROM age(rapport.today(), v.birth_date)) BETWEEN coalesce(xf.age_min, 0) AND coalesce(xf.age_max, 999)
	AND st_distance(x.place, v.place, false) <= coalesce(least(coalesce(reach_km, vf.max_distance_km), xf.max_distance_km) * 1000.0, 'infinity')
	AND (rapport.setting_int('active_within_days') = 0
		 OR coalesce(y.active_on, (x.created_at AT TIME ZONE 'UTC')::date) >= rapport.today() - rapport.setting_int('active_within_days'))
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
		FROM (SELECT w.person_id, w.other_id, w.mode, w.expires FROM rapport.swipe AS w
			  UNION ALL
			  SELECT w.person_id, u.other_id, w.mode, u.expires FROM rapport.seen AS w CROSS JOIN LATERAL rapport.seen_unpack(w.data) AS u) AS s
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

-- Tags that keys tell apart: of 112 bits some words share one.
CREATE TEMP TABLE word AS
SELECT (row_number() OVER (ORDER BY tag))::integer - 1 AS n, tag
FROM (SELECT DISTINCT ON (rapport.match_key(1, NULL, NULL, tags => ARRAY[t])::text) t AS tag
	  FROM (SELECT 'tag' || n AS t FROM generate_series(1, 60) AS n) AS w
	  ORDER BY rapport.match_key(1, NULL, NULL, tags => ARRAY[t])::text, t
	  LIMIT 30) AS x;

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
			ARRAY(SELECT DISTINCT w.tag FROM (SELECT pg_temp.upto(30) AS n FROM generate_series(1, pg_temp.upto(8)) OFFSET 0) AS r JOIN word AS w USING (n)),
			CASE WHEN pg_temp.chance(.7) THEN ARRAY(SELECT random() * 2 - 1 FROM generate_series(1, 8))::real[] END,
			pg_temp.chance(.03), rapport.now() - make_interval(days => pg_temp.upto(50)), rapport.now());
		IF pg_temp.chance(.7) THEN
			INSERT INTO rapport.match_scalar (person_id, desirability, selectivity, price) VALUES (id, random(), random(), random());
		END IF;
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
	-- Half of them have their swipes packed.
	PERFORM rapport.seen_fold(w.person_id, w.mode, 0)
	FROM (SELECT DISTINCT s.person_id, s.mode FROM rapport.swipe AS s WHERE s.person_id = ANY (ids)) AS w
	WHERE w.person_id % 2 = 0;
	INSERT INTO rapport.like_received (person_id, other_id, mode, at)
	SELECT a, b, 1 + pg_temp.upto(2), rapport.now()
	FROM (SELECT ids[1 + pg_temp.upto(size)] AS a, ids[1 + pg_temp.upto(size)] AS b FROM generate_series(1, 20 * size)) AS r
	WHERE a <> b
	ON CONFLICT DO NOTHING;
	WITH fresh AS (
		INSERT INTO rapport.block (person_id, other_id, at)
		SELECT a, b, rapport.now()
		FROM (SELECT ids[1 + pg_temp.upto(size)] AS a, ids[1 + pg_temp.upto(size)] AS b FROM generate_series(1, size)) AS r
		WHERE a <> b
		ON CONFLICT DO NOTHING
		RETURNING person_id, other_id)
	INSERT INTO rapport.blocked_by (person_id, other_id) SELECT other_id, person_id FROM fresh;
	PERFORM rapport.run_hooks('person_changed', ids);
	-- For the brute force; keys are made with whatever statistics there are.
	ANALYZE rapport.person, rapport.profile, rapport.preference, rapport.activity, rapport.swipe, rapport.block, rapport.candidate;
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
