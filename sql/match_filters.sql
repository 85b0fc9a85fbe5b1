-- What one call of discover() asks beyond the preferences: filters, orders, counts, and why there is nobody.
\set ON_ERROR_ROLLBACK on
\set VERBOSITY terse
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL jit = off;
SET LOCAL timezone = 'UTC';
SET LOCAL rapport.now = '2026-06-15 12:00:00Z';

\set ECHO none
\i test/lib/match_oracle.sql
\set ECHO all
SELECT pg_temp.start_over() \g /dev/null
SELECT setseed(.25);

-- Exact: 6 populations, 12 viewers each, 4 random filters each, against a brute
-- force; in every order, page by page, and counted.
CREATE FUNCTION pg_temp.pages(viewer bigint, mode text, size integer, sort text, f jsonb) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	page record;
	after text;
	rows integer;
	deck bigint[] := '{}';
BEGIN
	PERFORM rapport.act_as(viewer, true);
	LOOP
		rows := 0;
		FOR page IN
			SELECT d.person_id, d.cursor
			FROM rapport.discover(mode, size, after, sort, (f ->> 'radius')::integer, (f ->> 'everywhere')::boolean, (f ->> 'active')::integer,
								  (f ->> 'joined')::integer, f -> 'options', CASE WHEN f ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(f -> 'tags')) END,
								  (f ->> 'shared')::integer) AS d
		LOOP
			deck := deck || page.person_id;
			after := page.cursor;
			rows := rows + 1;
		END LOOP;
		EXIT WHEN rows < size;
	END LOOP;
	PERFORM rapport.act_as(NULL);
	RETURN deck;
END $$;

CREATE FUNCTION pg_temp.passes(p rapport.profile, active_on date, own text[], f jsonb) RETURNS boolean
LANGUAGE sql STABLE RETURN
	coalesce(active_on, p.created_at::date) >= rapport.today() - coalesce((f ->> 'active')::integer, 100000)
	AND p.created_at::date >= rapport.today() - coalesce((f ->> 'joined')::integer, 100000)
	AND NOT EXISTS (SELECT FROM jsonb_array_elements_text(f -> 'tags') AS t WHERE lower(t) <> ALL (p.tags))
	AND (SELECT count(*) FROM unnest(p.tags) AS t WHERE t = ANY (own)) >= coalesce((f ->> 'shared')::integer, 0)
	AND NOT EXISTS (
		SELECT
		FROM jsonb_each(f -> 'options') AS o (code, rule)
		JOIN rapport.attribute AS a ON a.code = o.code
		LEFT JOIN rapport.attribute_option AS c ON c.attribute_id = a.attribute_id AND c.option = p.traits[a.attribute_id]
		WHERE rule ? 'only' AND NOT rule -> 'only' @> jsonb_build_array(c.code)
		OR rule ? 'never' AND rule -> 'never' @> jsonb_build_array(c.code));

CREATE FUNCTION pg_temp.filter() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	f jsonb := '{}';
	picked jsonb;
BEGIN
	CASE pg_temp.upto(5)
		WHEN 0 THEN f := jsonb_build_object('radius', (ARRAY[2, 25, 250, 2000, 20000])[1 + pg_temp.upto(5)]);
		WHEN 1 THEN f := '{"everywhere": true}';
		ELSE
	END CASE;
	IF pg_temp.chance(.25) THEN
		f := f || jsonb_build_object('active', pg_temp.upto(60));
	END IF;
	IF pg_temp.chance(.25) THEN
		f := f || jsonb_build_object('joined', pg_temp.upto(60));
	END IF;
	IF pg_temp.chance(.25) THEN
		f := f || jsonb_build_object('tags', ARRAY(SELECT 'TAG' || pg_temp.upto(30) FROM generate_series(1, 1 + pg_temp.upto(2))));
	END IF;
	IF pg_temp.chance(.25) THEN
		f := f || jsonb_build_object('shared', 1 + pg_temp.upto(4));
	END IF;
	IF pg_temp.chance(.5) THEN
		SELECT jsonb_object_agg(a.code, CASE pg_temp.upto(3) WHEN 0 THEN jsonb_build_object('only', o.picked) WHEN 1 THEN jsonb_build_object('never', o.picked)
										ELSE jsonb_build_object('only', o.picked, 'never', o.picked -> 0) END) INTO picked
		FROM (SELECT * FROM rapport.attribute WHERE kind = 'choice' ORDER BY random() LIMIT 1 + pg_temp.upto(2)) AS a
		CROSS JOIN LATERAL (
			SELECT jsonb_agg(x.code) AS picked
			FROM (SELECT y.code
				  FROM (SELECT o.code FROM rapport.attribute_option AS o WHERE o.attribute_id = a.attribute_id UNION ALL SELECT NULL) AS y
				  ORDER BY random() LIMIT 1 + pg_temp.upto(12)) AS x) AS o;
		SELECT jsonb_object_agg(key, CASE WHEN jsonb_typeof(value -> 'never') <> 'array' THEN value || jsonb_build_object('never', jsonb_build_array(value -> 'never')) ELSE value END)
		INTO picked FROM jsonb_each(picked);
		f := f || jsonb_build_object('options', picked);
	END IF;
	RETURN f;
END $$;

CREATE TEMP TABLE result (population integer, viewer bigint, f jsonb, sort text, members bigint[], shown bigint[], ranked bigint[], counted integer, more boolean);
DO $$
DECLARE
	ids bigint[];
	viewer record;
	f jsonb;
	k rapport.match_key;
	q rapport.match_query;
	members bigint[];
	in_order text;
	counted record;
BEGIN
	FOR population IN 1 .. 6 LOOP
		DELETE FROM rapport.candidate;
		DELETE FROM rapport.preference;
		DELETE FROM rapport.profile;
		ids := pg_temp.populate((ARRAY['city', 'world', 'date line', 'one cell'])[1 + population % 4], 200, .1 * (1 + population % 3));
		UPDATE rapport.profile SET created_at = created_at - pg_temp.upto(90) * interval '1 day';
		-- More tags than the query weighs, and than it has bits for.
		UPDATE rapport.profile SET tags = ARRAY(SELECT 'tag' || t FROM generate_series(0, 29 + pg_temp.upto(20)) AS t) WHERE pg_temp.chance(.15);
		PERFORM rapport.run_hooks('person_changed', ids);
		FOR viewer IN
			SELECT p.person_id, p.tags, p.place
			FROM rapport.profile AS p
			JOIN rapport.person AS a ON a.person_id = p.person_id AND a.state = 'active'
			JOIN rapport.preference AS w ON w.person_id = p.person_id AND w.mode = 1 AND w.enabled
			WHERE p.person_id = ANY (ids)
			AND NOT EXISTS (SELECT FROM rapport.missing_steps(p))
			ORDER BY random()
			LIMIT 12
		LOOP
			k := rapport.match_side(viewer.person_id, 1::smallint, 2);
			q := rapport.match_query_for(viewer.person_id, 1::smallint, k, rapport.today(), '{}');
			FOR i IN 1 .. 4 LOOP
				f := CASE WHEN i > 1 THEN pg_temp.filter() ELSE '{}' END;
				in_order := (ARRAY['best', 'nearest', 'newest', 'active', NULL])[1 + pg_temp.upto(5)];
				members := ARRAY(
					SELECT w
					FROM pg_temp.who(viewer.person_id, 1::smallint, CASE WHEN f ? 'everywhere' THEN 'infinity' ELSE (f ->> 'radius')::double precision END) AS w
					JOIN rapport.profile AS p ON p.person_id = w
					LEFT JOIN rapport.activity AS y ON y.person_id = w
					WHERE pg_temp.passes(p, y.active_on, viewer.tags, f));
				PERFORM rapport.act_as(viewer.person_id, true);
				SELECT c.* INTO counted
				FROM rapport.count_discoverable('date', (f ->> 'radius')::integer, (f ->> 'everywhere')::boolean, (f ->> 'active')::integer, (f ->> 'joined')::integer,
												f -> 'options', CASE WHEN f ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(f -> 'tags')) END, (f ->> 'shared')::integer, 10) AS c;
				PERFORM rapport.act_as(NULL);
				INSERT INTO result VALUES (
					population, viewer.person_id, f, in_order, members,
					pg_temp.pages(viewer.person_id, 'date', (ARRAY[3, 20, 100])[1 + pg_temp.upto(3)], in_order, f),
					ARRAY(SELECT c.person_id
						  FROM rapport.candidate AS c
						  JOIN rapport.profile AS p ON p.person_id = c.person_id
						  LEFT JOIN rapport.activity AS y ON y.person_id = c.person_id
						  WHERE c.person_id = ANY (members)
						  AND c.mode = 1
						  ORDER BY CASE in_order
									   WHEN 'nearest' THEN width_bucket(st_distance(p.place, viewer.place, false), ARRAY[2e3, 5e3, 10e3, 20e3, 50e3, 100e3, 200e3, 500e3, 1000e3])
									   WHEN 'newest' THEN rapport.today() - p.created_at::date
									   WHEN 'active' THEN rapport.today() - coalesce(y.active_on, p.created_at::date)
									   ELSE 0 END,
								   rapport.match_cost(c.key, q), c.person_id),
					counted.people, counted.more);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
SELECT count(DISTINCT population) AS populations,
	   count(*) >= 250 AS asked,
	   sum(cardinality(members)) > 1000 AS members,
	   count(*) FILTER (WHERE f <> '{}' AND members <> '{}') > 50 AS some_filtered,
	   count(*) FILTER (WHERE members = '{}') > 20 AS some_empty,
	   sum((SELECT count(*) FROM (SELECT unnest(members) EXCEPT SELECT unnest(shown)) AS x)) AS missing,
	   sum((SELECT count(*) FROM (SELECT unnest(shown) EXCEPT SELECT unnest(members)) AS x)) AS extra,
	   sum((SELECT count(*) - count(DISTINCT s) FROM unnest(shown) AS s)) AS twice,
	   count(*) FILTER (WHERE shown <> ranked) AS misordered,
	   count(*) FILTER (WHERE counted <> least(cardinality(members), 10) OR more <> (cardinality(members) > 10)) AS miscounted
FROM result;
-- Each filter and order was in it, and each with somebody left.
SELECT k, count(*) > 5 AS enough
FROM (SELECT jsonb_object_keys(f) AS k FROM result WHERE members <> '{}' UNION ALL SELECT sort FROM result WHERE cardinality(members) > 3) AS x
GROUP BY k ORDER BY k COLLATE "C";

-- What is shown beside them is what SQL says of the profile, and explain_match() of the score.
SELECT viewer FROM result WHERE population = 6 AND f = '{}' ORDER BY cardinality(members) DESC, viewer LIMIT 1 \gset
SELECT rapport.act_as(:viewer, true) \g /dev/null
SET LOCAL role = none;
SELECT count(*) > 10 AS shown, count(DISTINCT d.why) > 10 AS whys, count(DISTINCT d.attributes) > 10 AS attributes,
	   count(*) FILTER (WHERE (d.why, d.score, d.distance_km) IS DISTINCT FROM (e -> 'parts', (e ->> 'score')::double precision, (e ->> 'distance_km')::integer)) AS otherwise,
	   count(*) FILTER (WHERE d.attributes IS DISTINCT FROM (
			SELECT coalesce(jsonb_object_agg(a.code, coalesce(to_jsonb(o.code), to_jsonb(trim_scale(a.minimum + a.step * p.numbers[a.slot + 1]))))
							FILTER (WHERE o.option IS NOT NULL OR p.numbers[a.slot + 1] IS NOT NULL), '{}')
			FROM rapport.profile AS p
			CROSS JOIN rapport.attribute AS a
			LEFT JOIN rapport.attribute_option AS o ON o.attribute_id = a.attribute_id AND o.option = p.traits[a.attribute_id]
			WHERE p.person_id = d.person_id)) AS misnamed
FROM rapport.discover('date', 100) AS d
CROSS JOIN LATERAL rapport.explain_match(d.person_id, 'date') AS e;
SELECT rapport.act_as(NULL) \g /dev/null

-- The promise of paging: 2,000 pages of 5, in every order, with and without a
-- filter, and between any two of them people join, change, move, go, are
-- blocked and are swiped on. Whoever did not change is seen exactly once,
-- nobody blocked, gone or swiped on is ever seen again.
DELETE FROM rapport.candidate;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
CREATE FUNCTION pg_temp.somebody(n integer) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
	ids bigint[] := ARRAY(SELECT rapport.new_id() FROM generate_series(1, n));
BEGIN
	INSERT INTO rapport.person (person_id, role, state, created_at) SELECT i, 'user', 'active', rapport.now() FROM unnest(ids) AS i;
	INSERT INTO rapport.profile (person_id, display_name, birth_date, place, traits, tags, created_at, updated_at)
	SELECT i, 'P' || i, rapport.today() - 8000 - pg_temp.upto(3000), pg_temp.spot('city'), ARRAY[1 + pg_temp.upto(2)]::smallint[],
		   ARRAY['tag' || pg_temp.upto(3), 'tag' || (3 + pg_temp.upto(3))], rapport.now() - pg_temp.upto(30) * interval '1 day', rapport.now()
	FROM unnest(ids) AS i;
	INSERT INTO rapport.preference (person_id, mode, updated_at) SELECT i, 1, rapport.now() FROM unnest(ids) AS i;
	PERFORM rapport.run_hooks('person_changed', ids);
	RETURN ids;
END $$;
-- Somebody acts, and we go on looking into tables.
CREATE FUNCTION pg_temp.be(id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM rapport.act_as(id, true);
	PERFORM set_config('role', 'none', true);
END $$;
CREATE TEMP TABLE seen (deck integer, page integer, person_id bigint);
CREATE TEMP TABLE changed (deck integer, page integer, person_id bigint, hidden boolean);
CREATE TEMP TABLE member (deck integer, person_id bigint);
DO $$
DECLARE
	viewer bigint;
	deck integer := 0;
	pages integer := 0;
	page integer;
	size integer;
	row record;
	rows integer;
	after text;
	other bigint;
	in_order text;
	only_tag text[];
BEGIN
	PERFORM pg_temp.somebody(400);
	WHILE pages < 2000 LOOP
		deck := deck + 1;
		viewer := (pg_temp.somebody(1))[1];
		PERFORM pg_temp.be(viewer);
		in_order := (ARRAY['best', 'nearest', 'newest', 'active'])[1 + deck % 4];
		only_tag := CASE WHEN deck % 3 = 0 THEN ARRAY['tag1'] END;
		INSERT INTO pg_temp.member
		SELECT deck, c.person_id FROM rapport.candidate AS c JOIN rapport.profile AS p USING (person_id) WHERE c.person_id <> viewer AND p.tags @> coalesce(only_tag, '{}');
		after := NULL;
		page := 0;
		LOOP
			rows := 0;
			FOR row IN SELECT d.person_id, d.cursor FROM rapport.discover('date', 5, after, in_order, tags => only_tag) AS d LOOP
				INSERT INTO pg_temp.seen VALUES (deck, page, row.person_id);
				after := row.cursor;
				rows := rows + 1;
			END LOOP;
			pages := pages + 1;
			page := page + 1;
			EXIT WHEN rows < 5;
			FOR i IN 1 .. 1 + pages % 2 LOOP
				-- OFFSET 0: drawn first, and asked one by one until somebody is not blocked.
				SELECT c.person_id INTO other
				FROM (SELECT x.person_id FROM rapport.candidate AS x WHERE x.person_id <> viewer ORDER BY random() OFFSET 0) AS c
				WHERE NOT rapport.is_blocked(viewer, c.person_id) LIMIT 1;
				CASE pg_temp.upto(8)
					WHEN 0 THEN
						other := (pg_temp.somebody(1))[1];
					WHEN 1 THEN
						UPDATE rapport.profile AS p SET place = pg_temp.spot('city'), tags = ARRAY['tag' || pg_temp.upto(3)] WHERE p.person_id = other;
						PERFORM rapport.run_hooks('person_changed', ARRAY[other]);
					WHEN 2 THEN
						INSERT INTO rapport.activity VALUES (other, rapport.today() - pg_temp.upto(30)) ON CONFLICT (person_id) DO UPDATE SET active_on = excluded.active_on;
						PERFORM rapport.run_hooks('person_changed', ARRAY[other]);
					WHEN 3 THEN
						PERFORM rapport.block(other);
						INSERT INTO pg_temp.changed VALUES (deck, page, other, true);
					WHEN 4 THEN
						PERFORM pg_temp.be(other);
						PERFORM rapport.block(viewer);
						PERFORM pg_temp.be(viewer);
						INSERT INTO pg_temp.changed VALUES (deck, page, other, true);
					WHEN 5 THEN
						PERFORM rapport.pass(other);
						INSERT INTO pg_temp.changed VALUES (deck, page, other, true);
					WHEN 6 THEN
						UPDATE rapport.profile AS p SET paused = true WHERE p.person_id = other;
						PERFORM rapport.run_hooks('person_changed', ARRAY[other]);
						INSERT INTO pg_temp.changed VALUES (deck, page, other, true);
					ELSE
						-- Somebody else acts on them: a change that is none for this deck.
						CONTINUE;
				END CASE;
				INSERT INTO pg_temp.changed VALUES (deck, page, other, false);
			END LOOP;
		END LOOP;
		-- Back to about as many.
		PERFORM pg_temp.somebody(400 - count(*)::integer) FROM rapport.candidate HAVING count(*) < 400;
		DELETE FROM rapport.candidate WHERE person_id = viewer;
		PERFORM rapport.act_as(NULL);
	END LOOP;
END $$;
SELECT (SELECT count(DISTINCT (deck, page)) FROM seen) >= 1900 AS pages,
	   (SELECT count(*) FROM changed) > 1000 AS changes,
	   (SELECT count(*) FROM (SELECT deck, person_id FROM member EXCEPT SELECT deck, person_id FROM changed EXCEPT SELECT deck, person_id FROM seen) AS x) AS never_seen,
	   (SELECT count(*) FROM (SELECT deck, person_id FROM seen EXCEPT SELECT deck, person_id FROM changed GROUP BY 1, 2) AS x
		JOIN (SELECT deck, person_id FROM seen GROUP BY 1, 2 HAVING count(*) > 1) AS y USING (deck, person_id)) AS seen_twice,
	   (SELECT count(*) FROM seen AS s JOIN changed AS c ON c.deck = s.deck AND c.person_id = s.person_id AND c.hidden AND s.page >= c.page) AS seen_though_hidden,
	   (SELECT count(*) FROM seen AS s JOIN changed AS c ON c.deck = s.deck AND c.person_id = s.person_id AND NOT c.hidden AND s.page >= c.page) > 0 AS changed_move;

-- A cursor goes on with what it was made with, and with nothing else.
SELECT (pg_temp.somebody(1))[1] AS me \gset
SELECT pg_temp.be(:me) \g /dev/null
SELECT cursor FROM rapport.discover('date', 1, sort => 'nearest', radius_km => 30, tags => ARRAY['tag1']) \gset
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest', 30, tags => ARRAY['tag1']);
SELECT count(*) FROM rapport.discover('date', 3, :'cursor', 'nearest', 30, tags => ARRAY[' TAG1', 'tag1']);
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest', 31, tags => ARRAY['tag1']);
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'best', 30, tags => ARRAY['tag1']);
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest', 30, tags => ARRAY['tag1', 'tag2']);
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest', 30);
SELECT count(*) FROM rapport.discover('date', 1, :'cursor');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest');
\set VERBOSITY terse
SELECT (pg_temp.somebody(1))[1] AS other \gset
SELECT pg_temp.be(:other) \g /dev/null
SELECT count(*) FROM rapport.discover('date', 1, :'cursor', 'nearest', 30, tags => ARRAY['tag1']);

-- Why there is nobody. A small world: each of one kind.
DELETE FROM rapport.candidate;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
CREATE FUNCTION pg_temp.one(name text, gender integer, faith integer, years integer, longitude double precision, VARIADIC tags text[] DEFAULT '{}') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	INSERT INTO rapport.profile (person_id, display_name, birth_date, place, traits, tags, created_at, updated_at)
	VALUES (id, name, rapport.today() - years * 366, st_point(longitude, 50)::geography, ARRAY[gender, faith]::smallint[], tags, rapport.now(), rapport.now());
	INSERT INTO rapport.preference (person_id, mode, updated_at) VALUES (id, 1, rapport.now());
	PERFORM rapport.run_hooks('person_changed', ARRAY[id]);
	RETURN id;
END $$;
SELECT pg_temp.one('Ann', 1, 1, 30, 10.0, 'chess') AS ann,
	   pg_temp.one('Bob', 2, 1, 30, 10.0, 'chess', 'tango') AS bob,
	   pg_temp.one('Cyd', 2, 2, 50, 10.0, 'tango') AS cyd,
	   pg_temp.one('Dov', 2, 2, 30, 14.0) AS dov \gset
SELECT pg_temp.be(:ann) \g /dev/null
SELECT rapport.discover_reason();
SELECT rapport.set_preference('date', '{"accepts": {"gender": ["option_2"]}, "age": [25, 40], "max_distance_km": 100}') \g /dev/null
SELECT display_name FROM rapport.discover();
-- A filter against a preference: no answer passes both. A soft one does not count.
SELECT rapport.discover_reason(options => '{"gender": {"never": ["option_2"]}}');
SELECT rapport.discover_reason(options => '{"gender": {"only": ["option_1", null]}, "faith": {"only": ["option_1"], "never": ["option_1"]}}');
SELECT rapport.set_preference('date', '{"strengths": {"gender": "soft"}}') \g /dev/null
SELECT rapport.discover_reason(options => '{"gender": {"only": ["option_3"]}}');
SELECT rapport.set_preference('date', '{"strengths": {"gender": null}}') \g /dev/null
-- One rule too many.
SELECT rapport.discover_reason(options => '{"faith": {"only": ["option_2"]}}');
SELECT rapport.discover_reason(tags => ARRAY['tango'], active_within_days => 0, radius_km => 1);
SELECT rapport.discover_reason(tags => ARRAY['judo']);
SELECT rapport.discover_reason(min_shared_tags => 2);
SELECT rapport.discover_reason(tags => ARRAY['judo'], min_shared_tags => 2);
SELECT rapport.discover_reason(after => 'any');
-- Everybody who fits was swiped on; those who were blocked are nobody.
SELECT rapport.pass(:bob) \g /dev/null
SELECT rapport.discover_reason();
SELECT rapport.block(:bob) \g /dev/null
SELECT rapport.discover_reason();
SELECT * FROM rapport.count_discoverable();
SELECT * FROM rapport.count_discoverable(everywhere => true, up_to => 1);
SELECT rapport.set_preference('date', '{"age": null, "max_distance_km": null}') \g /dev/null
SELECT * FROM rapport.count_discoverable(up_to => 1);
SELECT * FROM rapport.count_discoverable(up_to => 2);

-- Refused.
SELECT rapport.discover(radius_km => 0);
SELECT rapport.discover(radius_km => 20001);
SELECT rapport.discover(radius_km => 5, everywhere => true);
SELECT rapport.discover(active_within_days => -1);
SELECT rapport.discover(joined_within_days => 36501);
SELECT rapport.discover(min_shared_tags => 51);
SELECT rapport.discover(sort => 'worst');
SELECT rapport.discover(options => '[]');
SELECT rapport.discover(options => '{"gender": ["option_1"]}');
SELECT rapport.discover(options => '{"gender": {}}');
SELECT rapport.discover(options => '{"gender": {"only": null}}');
SELECT rapport.discover(options => '{"gender": {"only": ["option_1"], "maybe": []}}');
SELECT rapport.discover(options => '{"gender": {"only": []}}');
SELECT rapport.discover(options => '{"gender": {"only": ["option_9"]}}');
SELECT rapport.discover(options => '{"gender": {"never": ["option_9"]}}');
SELECT rapport.discover(options => '{"sign": {"only": ["leo"]}}');
SELECT rapport.discover(options => '{"height": {"only": ["option_1"]}}');
SELECT rapport.discover(tags => ARRAY(SELECT 'tag' || i FROM generate_series(1, 10000) AS i));
SELECT rapport.discover(tags => ARRAY['']);
SELECT rapport.discover(tags => ARRAY[NULL]);
SELECT rapport.discover(page_size => 1000000);
SELECT rapport.count_discoverable(up_to => 0);
SELECT rapport.count_discoverable(up_to => 10001);
SELECT count(*) FROM rapport.discover(options => '{}', tags => '{}', min_shared_tags => 0, everywhere => false);
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.discover_reason();
SELECT rapport.count_discoverable();
ROLLBACK;
