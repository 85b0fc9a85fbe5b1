-- Profiles: what people say about themselves, whom they accept, and where they are.
SET client_min_messages = warning;
\pset null '(null)'
SET datestyle = ISO;
SET rapport.now = '2026-03-01 12:00:00+00';

-- What a statement comes to: its error, or "accepted". Nothing of it stays.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	state text;
	code text;
	message text;
	detail text;
BEGIN
	EXECUTE statement;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, code = CONSTRAINT_NAME, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN CASE WHEN state = 'ZZ000' THEN 'accepted'
				WHEN code <> '' THEN concat_ws(' ', state, code, nullif(detail, ''))
				ELSE state || ' ' || message END;
END;
$$;

--
-- The catalogue: attributes are rows, no DDL
--
SELECT rapport.define_attribute('gender', 'choice', ARRAY['woman', 'man', 'nonbinary']);
SELECT rapport.define_attribute('smoking', 'choice', ARRAY['never', 'sometimes', 'daily'], strength => 'one_way');
SELECT rapport.define_attribute('language', 'choice', (SELECT array_agg('l' || i) FROM generate_series(1, 20) AS i), strength => 'soft', weight => 2);
SELECT rapport.define_attribute('height', 'number', minimum => 140, maximum => 210);
SELECT rapport.define_attribute('rent', 'number', minimum => 0, maximum => 2, step => 0.25);
-- 7 options a lane; the first defined gets lane 0.
SELECT attribute_id, code, kind, strength, weight, lane, lanes, slot, minimum, maximum, step FROM rapport.attribute ORDER BY 1;
SELECT rapport.define_label('gender', NULL, 'en', 'Gender'), rapport.define_label('gender', NULL, 'de', 'Geschlecht'),
	   rapport.define_label('gender', 'woman', 'de', 'Frau'), rapport.define_label('gender', 'woman', 'de-CH', ' Frau (CH) ');
-- A locale falls back to its language, then to English, then to the code.
SELECT locale, a.label, a.options
FROM unnest(ARRAY[NULL, 'de', 'de-CH', 'DE-at', 'fr', 'de%', 'xx''; --']) AS locale, rapport.attributes(locale) AS a
WHERE a.code = 'gender';
SELECT code, kind, strength, minimum, maximum, step FROM rapport.attributes() WHERE kind = 'number';

SELECT rapport.define_option('gender', 'agender');
SELECT rapport.define_option('gender', 'o' || i) FROM generate_series(5, 7) AS i;
-- A lane is full with seven.
SELECT pg_temp.outcome($$SELECT rapport.define_option('gender', 'eighth')$$);

SELECT statement, pg_temp.outcome('SELECT rapport.' || statement)
FROM unnest(ARRAY[
	$$define_attribute('gender', 'choice', ARRAY['a'])$$,
	$$define_attribute('Gender', 'choice', ARRAY['a'])$$,
	$$define_attribute('', 'choice', ARRAY['a'])$$,
	$$define_attribute(NULL, 'choice', ARRAY['a'])$$,
	$$define_attribute('new', 'text')$$,
	$$define_attribute('new', NULL)$$,
	$$define_attribute('new', 'choice')$$,
	$$define_attribute('new', 'choice', '{}')$$,
	$$define_attribute('new', 'choice', '{{a,b},{c,d}}')$$,
	$$define_attribute('new', 'choice', ARRAY['a', 'a'])$$,
	$$define_attribute('new', 'choice', ARRAY['a', NULL])$$,
	$$define_attribute('new', 'choice', ARRAY['A b'])$$,
	$$define_attribute('new', 'choice', array_fill('a'::text, ARRAY[64]))$$,
	$$define_attribute('new', 'choice', ARRAY['a'], lanes => 9)$$,
	$$define_attribute('new', 'choice', ARRAY['a'], lanes => 0)$$,
	$$define_attribute('new', 'choice', ARRAY['a'], minimum => 1)$$,
	$$define_attribute('new', 'choice', ARRAY['a'], strength => 'hard')$$,
	$$define_attribute('new', 'choice', ARRAY['a'], weight => 'NaN')$$,
	$$define_attribute('new', 'number')$$,
	$$define_attribute('new', 'number', minimum => 1, maximum => 1)$$,
	$$define_attribute('new', 'number', minimum => 0, maximum => 'NaN')$$,
	$$define_attribute('new', 'number', minimum => '-Infinity', maximum => 1)$$,
	$$define_attribute('new', 'number', minimum => 0, maximum => 100000)$$,
	$$define_attribute('new', 'number', minimum => 0, maximum => 10, step => 0)$$,
	$$define_attribute('new', 'number', minimum => 0, maximum => 10, step => 11)$$,
	$$define_attribute('new', 'number', ARRAY['a'], 0, 10)$$,
	$$define_option('colour', 'red')$$,
	$$define_option('height', 'tall')$$,
	$$define_option('gender', 'woman')$$,
	$$define_option('gender', NULL)$$,
	$$define_label('colour', NULL, 'en', 'Colour')$$,
	$$define_label('gender', 'colour', 'en', 'Colour')$$,
	$$define_label('gender', NULL, 'english', 'Gender')$$,
	$$define_label('gender', NULL, 'en', E'Gen\tder')$$,
	$$define_label('gender', NULL, 'en', '  ')$$,
	$$define_mode('date')$$,
	$$define_mode('Flat mates')$$]) AS statement;
-- The fifth number finds no slot, the 33rd lane no room.
DO $$
BEGIN
	PERFORM rapport.define_attribute('n' || i, 'number', minimum => 0, maximum => 1) FROM generate_series(1, 2) AS i;
	PERFORM rapport.define_attribute('c' || i, 'choice', ARRAY['a'], lanes => 8) FROM generate_series(1, 3) AS i;
END;
$$;
SELECT pg_temp.outcome($$SELECT rapport.define_attribute('n3', 'number', minimum => 0, maximum => 1)$$);
SELECT pg_temp.outcome($$SELECT rapport.define_attribute('c4', 'choice', ARRAY['a'], lanes => 4)$$);
SELECT rapport.define_mode('flatmates');
SELECT * FROM rapport.mode ORDER BY mode;

--
-- A profile, step by step
--
SELECT rapport.new_person('ada') AS ada \gset
SELECT rapport.act_as(:ada);
-- Still Ada, and superuser as well: this test moves the clock.
RESET ROLE;
SELECT missing, attributes, preferences, tags, paused, age FROM rapport.my_profile();
SELECT rapport.update_profile('{"display_name": "Ada", "birth_date": "1990-02-28"}');
SELECT rapport.set_place(52.5200, 13.4050);
SELECT missing FROM rapport.my_profile();
SELECT rapport.set_preference('date', '{}');
SELECT missing FROM rapport.my_profile();
-- What is absent stays, null clears.
SELECT rapport.update_profile('{"about": "Mathematics,\r\nand engines.", "tags": ["Chess", "chess ", "CHESS", "engines"],
	"attributes": {"gender": "woman", "height": 165.4, "rent": 1.25}, "embedding": [1, -0.5, 3e-3]}');
SELECT rapport.update_profile('{"attributes": {"gender": null, "smoking": "never"}, "embedding": null, "paused": true}');
SELECT display_name, birth_date, age, about, attributes, tags, embedding, paused, missing FROM rapport.my_profile();
SELECT traits, numbers FROM rapport.profile WHERE person_id = :ada;
-- An empty text is none.
SELECT rapport.update_profile('{"about": " ", "tags": null, "paused": false, "attributes": {}}');
SELECT about, tags, paused FROM rapport.my_profile();

--
-- Preferences come back in the shape they were given
--
SELECT rapport.set_preference('date', '{"accepts": {"gender": ["man", "nonbinary", null], "smoking": ["never"], "language": ["l1", "l20"]},
	"ranges": {"height": [160, 190], "rent": [null, 1.5, null]}, "strengths": {"gender": "one_way", "height": "soft"},
	"age": [25, 40], "max_distance_km": 50}');
SELECT jsonb_pretty(preferences) FROM rapport.my_profile();
SELECT enabled, accepts, strengths, number_min, number_max, number_unset, age_min, age_max, max_distance_km
FROM rapport.preference WHERE person_id = :ada;
SELECT rapport.set_preference('date', '{"accepts": {"gender": null, "language": null}, "ranges": {"rent": null}, "strengths": {"height": null},
	"age": [null, 45], "max_distance_km": null}');
SELECT preferences FROM rapport.my_profile();
SELECT rapport.set_preference('friends', '{"enabled": false, "age": null}');
SELECT preferences -> 'friends' AS friends FROM rapport.my_profile();

SELECT mode, left(body, 60) AS body, pg_temp.outcome(format('SELECT rapport.set_preference(%L, %L)', mode, body))
FROM (VALUES
	('dating', '{}'), (NULL, '{}'), ('date', NULL), ('date', '[]'), ('date', '1'), ('date', 'null'),
	('date', '{"gender": ["man"]}'),
	('date', '{"enabled": "yes"}'), ('date', '{"enabled": null}'),
	('date', '{"accepts": []}'), ('date', '{"accepts": {"colour": ["red"]}}'), ('date', '{"accepts": {"gender": ["red"]}}'),
	('date', '{"accepts": {"gender": "man"}}'), ('date', '{"accepts": {"gender": []}}'), ('date', '{"accepts": {"gender": [1]}}'),
	('date', '{"accepts": {"gender": [["man"]]}}'), ('date', '{"accepts": {"height": [1]}}'),
	('date', '{"accepts": {"gender": [' || repeat('"man",', 9999) || '"man"]}}'),
	('date', '{"ranges": {"gender": [1, 2]}}'), ('date', '{"ranges": {"height": [190, 160]}}'), ('date', '{"ranges": {"height": [1, 160]}}'),
	('date', '{"ranges": {"height": [150]}}'), ('date', '{"ranges": {"height": [150, 160, 170]}}'), ('date', '{"ranges": {"height": ["a", 160]}}'),
	('date', '{"ranges": {"height": [150, 1e400]}}'), ('date', '{"ranges": {"height": 150}}'),
	('date', '{"strengths": {"gender": "hard"}}'), ('date', '{"strengths": {"gender": 1}}'), ('date', '{"strengths": {"colour": "soft"}}'),
	('date', '{"age": [17, 30]}'), ('date', '{"age": [30, 20]}'), ('date', '{"age": [20, 121]}'), ('date', '{"age": [20.5, 30]}'),
	('date', '{"age": [20]}'), ('date', '{"age": ["20", "30"]}'), ('date', '{"age": 30}'),
	('date', '{"max_distance_km": 0}'), ('date', '{"max_distance_km": -5}'), ('date', '{"max_distance_km": 20041}'),
	('date', '{"max_distance_km": 1.5}'), ('date', '{"max_distance_km": "50"}'), ('date', '{"max_distance_km": 1e999}'))
	AS v (mode, body);

--
-- Names and texts: any valid UTF-8, NFC, counted in characters
--
-- Unaligned: how wide psql takes an emoji to be depends on its version.
\pset format unaligned
SELECT left(name, 24) AS name, pg_temp.outcome(format('SELECT rapport.update_profile(%L)', jsonb_build_object('display_name', name)))
FROM unnest(ARRAY[
	'Ada', ' Ada  Lovelace ', 'עדה לאבלייס', 'آدا لوفليس', '愛達', '👩🏽‍🔬🏳️‍🌈', U&'Zoe\0308', repeat('x', 60), repeat('😀', 60), repeat(U&'e\0301', 60),
	'', '   ', U&'\200B\200D', U&'\3000\00A0', U&'\2800', U&'\3164', repeat('x', 61), repeat('😀', 61), repeat('x', 100000),
	E'A\tda', E'A\nda', E'\x7f', U&'A\0085da', E'A\u001bda']) AS name;
\pset format aligned
-- Composed and decomposed, it is the same name.
SELECT rapport.update_profile(jsonb_build_object('display_name', U&'Zoe\0308'));
SELECT display_name = U&'Zo\00EB' AS composed, char_length(display_name) AS characters FROM rapport.my_profile();
SELECT rapport.update_profile(jsonb_build_object('display_name', 'Ada'));

SELECT rapport.update_profile(jsonb_build_object('tags', ARRAY['Café', U&'CAFE\0301', 'שחמט', '🧗', ' Hiking  boots ']));
SELECT tags FROM rapport.my_profile();

--
-- Birth dates
--
SELECT birth_date, pg_temp.outcome(format('SELECT rapport.update_profile(%L)', jsonb_build_object('birth_date', birth_date)))
FROM unnest(ARRAY['2008-03-01', '2008-03-02', '2008-02-29', '2026-03-01', '2026-03-02', '1906-03-02', '1905-03-01', '1899-12-31', '1900-01-01',
				  '2000-02-29', '2001-02-29', '1990-13-01', '1990-00-10', '1990-01-32', '90-01-01', '1990-1-1', '01.01.1990', '1990-01-01T00:00:00Z',
				  'infinity', '-infinity', 'today', '', '19900101', '1990-01-01 BC', '0000-01-01', '٢٠٠٠-٠١-٠١']) AS birth_date;
-- Somebody born on 29 February turns 18 on 1 March.
SET rapport.now = '2026-02-28 23:59:59+00';
SELECT rapport.person_age('2008-02-29', rapport.today()), pg_temp.outcome($$SELECT rapport.update_profile('{"birth_date": "2008-02-29"}')$$);
SET rapport.now = '2026-03-01 00:00:00+00';
SELECT rapport.person_age('2008-02-29', rapport.today()), pg_temp.outcome($$SELECT rapport.update_profile('{"birth_date": "2008-02-29"}')$$);
SELECT rapport.person_age('2008-02-29', '2028-02-28'), rapport.person_age('2008-02-29', '2028-02-29'), rapport.person_age(NULL, '2028-02-29');
-- The minimum age is a setting.
SELECT rapport.set_setting('minimum_age', '21');
SELECT pg_temp.outcome($$SELECT rapport.update_profile('{"birth_date": "2006-01-01"}')$$);
SELECT pg_temp.outcome($$SELECT rapport.set_preference('date', '{"age": [20, 30]}')$$);
SELECT rapport.set_setting('minimum_age', NULL);

--
-- Everything else that can be wrong with a profile
--
SELECT left(body, 60) AS body, pg_temp.outcome(format('SELECT rapport.update_profile(%L)', body))
FROM unnest(ARRAY[
	NULL, 'null', '[]', '"Ada"', '{"name": "Ada"}', '{"": 1}', '{"person_id": 1}', '{"place": null}', '{"role": "admin"}',
	'{"display_name": 1}', '{"display_name": ["Ada"]}', '{"display_name": {"en": "Ada"}}', '{"display_name": true}',
	'{"birth_date": 19900101}', '{"birth_date": {}}', '{"about": []}', '{"about": "a\u0007b"}', '{"about": "a\rb"}',
	'{"about": "' || repeat('é', 2000) || '"}', '{"about": "' || repeat('é', 2001) || '"}',
	'{"paused": "true"}', '{"paused": null}', '{"paused": 1}',
	'{"tags": "chess"}', '{"tags": {"chess": true}}', '{"tags": [1]}', '{"tags": [null]}', '{"tags": [["chess"]]}', '{"tags": [""]}', '{"tags": ["a\u0000b"]}',
	'{"tags": ["a\nb"]}', '{"tags": ["' || repeat('x', 41) || '"]}', '{"tags": ["' || repeat('x', 40) || '"]}',
	'{"tags": [' || repeat('"a",', 49) || '"a"]}', '{"tags": [' || repeat('"a",', 9999) || '"a"]}',
	'{"attributes": []}', '{"attributes": {"colour": "red"}}', '{"attributes": {"gender": "red"}}', '{"attributes": {"gender": 1}}',
	'{"attributes": {"gender": ["woman"]}}', '{"attributes": {"gender": "Woman"}}', '{"attributes": {"height": "165"}}',
	'{"attributes": {"height": 139}}', '{"attributes": {"height": 1e400}}', '{"attributes": {"height": -1e-400}}', '{"attributes": {"height": true}}',
	'{"attributes": {"' || repeat('x', 1000) || '": 1}}',
	'{"embedding": 1}', '{"embedding": []}', '{"embedding": ["1"]}', '{"embedding": [null]}', '{"embedding": [1e39]}', '{"embedding": ["NaN"]}',
	'{"embedding": [' || repeat('1,', 31) || '1]}', '{"embedding": [' || repeat('1,', 32) || '1]}', '{"embedding": [' || repeat('1,', 99999) || '1]}']) AS body;
-- Nothing of a refused change stays, not even its right half.
SELECT pg_temp.outcome($$SELECT rapport.update_profile('{"display_name": "Eve", "about": 1}')$$);
SELECT display_name FROM rapport.my_profile();

--
-- Places are snapped to a grid on entry; profile_place.sql has how fast they move
--
SELECT rapport.set_setting('move_max_kmh', '0');
SELECT latitude, longitude, pg_temp.outcome(format('SELECT rapport.set_place(%L, %L)', latitude, longitude))
FROM (VALUES (52.52, 13.405), (90, 0), (-90, 180), (0, 180), (0, -180), ('-0', '-0'), (90.0001, 0), (-91, 0), (0, 180.5), (0, -181),
			 ('NaN', 0), (0, 'NaN'), ('Infinity', 0), (0, '-Infinity'), (NULL, 0), (0, NULL)) AS v (latitude, longitude);
SELECT rapport.set_place(52.5200, 13.4050);
SELECT round(latitude::numeric, 4) AS latitude, round(longitude::numeric, 4) AS longitude,
	   st_distance(st_point(longitude, latitude)::geography, st_point(13.4050, 52.5200)::geography) < 750 AS near
FROM rapport.my_profile();
-- Neighbours in a cell cannot be told apart.
SELECT rapport.grid_cell(52.5200, 13.4050, 1000) = rapport.grid_cell(52.5203, 13.4052, 1000) AS same_cell;
-- 180 degrees east is 180 degrees west, and a pole is one place's neighbourhood.
SELECT rapport.grid_cell(10, 180, 1000) = rapport.grid_cell(10, -180, 1000) AS date_line,
	   (SELECT count(DISTINCT rapport.grid_cell(latitude, longitude, 1000))
		FROM unnest(ARRAY[89.996, 90]) AS latitude, generate_series(-180, 180, 0.5) AS longitude) AS cells_at_the_pole;
-- Cells are about as wide as high anywhere, and nobody is moved farther than their half diagonal.
SELECT cells.latitude,
	   max(st_distance(st_point(longitude, cells.latitude)::geography, rapport.cell_place(rapport.grid_cell(cells.latitude, longitude, 1000)))) < 760 AS moved_little
FROM unnest(ARRAY[0, 30, -45, 60, 85, 89.9, -89.99]) AS cells (latitude),
	 generate_series(-180, 180, 0.37) AS longitude
GROUP BY 1
ORDER BY 1;
-- Snapping a centre gives the centre.
SELECT count(*) FILTER (WHERE once <> twice) AS moved_twice
FROM generate_series(-90, 90, 3.7) AS latitude, generate_series(-180, 180, 7.3) AS longitude,
	 rapport.grid_cell(latitude, longitude, 1000) AS once, rapport.grid_cell(rapport.cell_latitude(once), rapport.cell_longitude(once), 1000) AS twice;

--
-- Required steps are data
--
SELECT rapport.require_step('about'), rapport.require_step('tags'), rapport.require_step('attribute:gender'), rapport.require_step('attribute:height'),
	   rapport.require_step('place', false);
SELECT rapport.update_profile('{"tags": [], "attributes": {"gender": null, "height": null}, "birth_date": null}');
SELECT missing FROM rapport.my_profile();
SELECT rapport.update_profile('{"tags": ["chess"], "about": "x", "attributes": {"gender": "woman", "height": 140}, "birth_date": "1990-02-28"}');
SELECT rapport.set_preference('date', '{"enabled": false}');
SELECT missing FROM rapport.my_profile();
SELECT rapport.require_step(step, NULL) FROM rapport.required_step;
SELECT rapport.set_preference('date', '{"enabled": true}');
SELECT missing FROM rapport.my_profile();
SELECT pg_temp.outcome('SELECT rapport.require_step(''shoe_size'')'), pg_temp.outcome('SELECT rapport.require_step(NULL)');
-- Who is complete, and what is shown of people, is inlined into the query that asks.
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END;
$$;
SELECT count(*) AS called FROM pg_temp.plan($$SELECT FROM rapport.profile AS p WHERE NOT EXISTS (SELECT FROM rapport.missing_steps(p))$$) AS line
WHERE line LIKE '%missing_steps%';
SELECT count(*) AS called FROM pg_temp.plan($$SELECT a.attributes, s.preference FROM rapport.profile AS p, rapport.attributes_of(ARRAY[p.person_id]) AS a,
	rapport.preferences_of(p.person_id) AS s$$) AS line
WHERE line ~ 'Function Scan.*_of';

--
-- A change tells the other topics, in its transaction
--
CREATE TABLE changes (ids bigint[]);
CREATE FUNCTION note_change(ids bigint[]) RETURNS void LANGUAGE sql AS 'INSERT INTO public.changes VALUES (ids)';
GRANT INSERT ON changes TO rapport_owner;
SELECT rapport.add_hook('person_changed', 'note_change(bigint[])');
SELECT rapport.update_profile('{}');
SELECT rapport.set_place(1, 1);
SELECT rapport.set_preference('date', '{}');
SELECT count(*), bool_and(ids = ARRAY[:ada]) FROM changes;
SELECT active_on FROM rapport.activity WHERE person_id = :ada;
-- mark_active() tells them once a day.
SET rapport.now = '2026-03-02 00:00:00+00';
SELECT rapport.act_as(NULL);
SELECT rapport.mark_active(ARRAY[:ada]), rapport.mark_active(ARRAY[:ada]);
SELECT count(*) FROM changes;
CALL rapport.refresh_people();
SELECT count(*) FROM changes;
SELECT rapport.drop_hook('person_changed', 'public.note_change(bigint[])');
DROP FUNCTION note_change;
DROP TABLE changes;

--
-- What the service says of people, and they do not say of themselves
--
SELECT rapport.define_attribute('verified', 'choice', ARRAY['yes'], strength => 'one_way', managed => true);
SELECT code, managed FROM rapport.attributes() WHERE code IN ('gender', 'verified');
SELECT rapport.act_as(:ada);
SELECT pg_temp.outcome('SELECT rapport.update_profile(''{"attributes": {"verified": "yes"}}'')'),
	   pg_temp.outcome('SELECT rapport.update_profile(''{"about": "x", "attributes": {"verified": null}}'')'),
	   pg_temp.outcome('SELECT rapport.update_profile(''{"attributes": "verified"}'')'),
	   pg_temp.outcome('SELECT rapport.update_profile(''{"attributes": {"gender": "woman"}}'')'),
	   pg_temp.outcome('SELECT rapport.set_attributes_for(1, ''{}'')'),
	   pg_temp.outcome('SELECT rapport.set_preference(''date'', ''{"accepts": {"verified": ["yes"]}}'')');
SELECT rapport.act_as(NULL);
SELECT rapport.set_attributes_for(:ada, '{"verified": "yes"}');
SELECT a.attributes ->> 'verified' AS verified FROM rapport.attributes_of(ARRAY[:ada]) AS a;
SELECT pg_temp.outcome('SELECT rapport.set_attributes_for(1, ''{}'')'),
	   pg_temp.outcome(format('SELECT rapport.set_attributes_for(%s, ''{"verified": "no"}'')', :ada)),
	   pg_temp.outcome(format('SELECT rapport.set_attributes_for(%s, ''{"nothing": "no"}'')', :ada)),
	   pg_temp.outcome(format('SELECT rapport.set_attributes_for(%s, ''[]'')', :ada)),
	   pg_temp.outcome(format('SELECT rapport.set_attributes_for(%s, NULL)', :ada)),
	   pg_temp.outcome(format('SELECT rapport.set_attributes_for(%s, ''{"verified": null}'')', :ada));

--
-- Nobody but the person
--
SET ROLE rapport_user;
SELECT pg_temp.outcome('SELECT rapport.my_profile()'), pg_temp.outcome('SELECT rapport.update_profile(''{}'')'),
	   pg_temp.outcome('SELECT rapport.set_place(1, 1)'), pg_temp.outcome('SELECT rapport.set_preference(''date'', ''{}'')'),
	   pg_temp.outcome('SELECT * FROM rapport.profile'), pg_temp.outcome('SELECT rapport.define_mode(''x'')');
SET ROLE rapport_anon;
SELECT count(*) > 0 AS catalogue_is_public FROM rapport.attributes();
SELECT pg_temp.outcome('SELECT rapport.my_profile()');
RESET ROLE;

-- The suites after this one start without people and attributes.
SELECT rapport.set_setting('move_max_kmh', NULL);
DELETE FROM rapport.person;
DELETE FROM rapport.external_identity;
DELETE FROM rapport.activity;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
DELETE FROM rapport.attribute_label;
DELETE FROM rapport.attribute_option;
DELETE FROM rapport.attribute;
DELETE FROM rapport.mode WHERE NOT builtin;
CALL rapport.refresh_people();
