-- match_key and match_query: the types on a table of one's own, and the index.
SET search_path = rapport, public;
SET extra_float_digits = 1;

--
-- Six lines: a table, its index, a question
--
CREATE TABLE mentor (id bigint PRIMARY KEY, name text, key match_key);
INSERT INTO mentor VALUES
	(1, 'Ada', match_key(1, 52.52, 13.40, traits => '{1}', wants => '{4}')),
	(2, 'Bo', match_key(2, 52.50, 13.45, traits => '{2}', wants => '{2}')),
	(3, 'Cy', match_key(3, 48.85, 2.35, traits => '{2}', wants => '{2}')),
	(4, 'Di', match_key(4, 52.51, 13.39, traits => '{2}', wants => '{4}'));
CREATE INDEX ON mentor USING match_gist (key);
SELECT name
FROM mentor
WHERE key @@ (SELECT match_query(key, '2026-01-01') FROM mentor WHERE id = 1)
ORDER BY key <-> (SELECT match_query(key, '2026-01-01') FROM mentor WHERE id = 1)
LIMIT 20;

--
-- What a key holds, and what a match is made of
--
SELECT jsonb_pretty(match_key_parts(match_key(7, -33.5, 180, '2000-02-29', traits => '{3}', wants => '{14}', ages => '[25,40)',
	max_distance_km => 50, numbers => '{180,NULL,-5}', number_min => '{NULL,NULL,-10}', active_on => '2026-01-01', tags => '{chess}',
	embedding => '{1,-1}')) - 'traits' - 'wants' - 'numbers') AS parts;
SELECT match_explain(b, match_query(a, '2026-01-01')) #- '{parts}' AS why
FROM (SELECT match_key(1, 0, 0, '1990-01-01', traits => '{1,2}', wants => '{255,8}', ages => '[18,30]', max_distance_km => 10),
			 match_key(2, 0, 1, '1990-01-02', traits => '{1,1}', max_distance_km => 500)) AS t (a, b);

--
-- Ages are completed years; the birthday of 29 February is 1 March in other years
--
SELECT day, match_accepts(b, match_query(a, day::date)) AS viewer_asks, match_accepts(a, match_query(b, day::date)) AS viewer_is_asked,
	match_accepts(c, match_query(d, day::date)) AS leap
FROM (SELECT match_key(1, 0, 0, ages => '[18,18]'), match_key(2, 0, 0, '2008-03-10'), match_key(3, 0, 0, '2008-02-29'),
			 match_key(4, 0, 0, ages => '[18,99]')) AS t (a, b, c, d),
	unnest('{2026-02-28,2026-03-01,2026-03-09,2026-03-10,2027-03-09,2027-03-10}'::text[]) AS day;

--
-- Distances: the limit is the smaller one, across the date line and the poles
--
SELECT name, round(match_distance_m(a, b)) AS metres, match_accepts(a, match_query(b, '2026-01-01')) AS fits
FROM (VALUES
	('date line', match_key(1, 0, 179.9, max_distance_km => 23), match_key(2, 0, -179.9, max_distance_km => 23)),
	('date line, too far', match_key(1, 0, 179.9, max_distance_km => 22), match_key(2, 0, -179.9)),
	('pole', match_key(1, 89.95, 0, max_distance_km => 12), match_key(2, 89.95, 180, max_distance_km => 12)),
	('one pole', match_key(1, 90, 12, max_distance_km => 0), match_key(2, 90, -77, max_distance_km => 0)),
	('antipodes', match_key(1, 10, 20, max_distance_km => 20016), match_key(2, -10, -160)),
	('antipodes, too far', match_key(1, 10, 20, max_distance_km => 19000), match_key(2, -10, -160)),
	('no place, everywhere', match_key(1, NULL, NULL), match_key(2, 1, 1)),
	('no place, not everywhere', match_key(1, NULL, NULL), match_key(2, 1, 1, max_distance_km => 20000))) AS t (name, a, b);

--
-- Attributes of several lanes: one of their lanes is enough
--
SELECT trait_lanes('{2,13,NULL}', '{0,1,NULL}', '{1,2,NULL}') AS traits,
	want_lanes(ARRAY[6, 8192, NULL], NULL, '{0,1,NULL}', '{1,2,NULL}') AS wants,
	want_lanes(ARRAY[6, 8192], '{false,true}', '{0,1,NULL}', '{1,2,NULL}') AS some,
	lane_continuation('{0,1,NULL,8}', '{1,2,NULL,8}')::bit(32) AS continuation;
SELECT option, match_accepts(match_key_raw(2, 1, 0, 0, NULL, trait_lanes(ARRAY[option], '{1}', '{2}'), NULL, NULL, NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, NULL),
	match_query(match_key_raw(1, 1, 0, 0, NULL, NULL, want_lanes(ARRAY[8192 | 4], NULL, '{1}', '{2}'), NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, NULL, NULL), '2026-01-01', continuation => lane_continuation('{1}', '{2}'))) AS fits
FROM unnest('{0,2,12,13}'::smallint[]) AS option;

--
-- Text and binary forms give back every bit
--
SELECT match_key(1, 52.5, 13.4, '1990-05-01', ages => '[18,)', embedding => '{0.5,-1}');
SELECT bool_and(key = key::text::match_key) AS text_is_the_same, bool_and(pg_column_size(key) <= 144 + (match_key_parts(key) ->> 'dimensions')::integer) AS small,
	bool_and(pg_column_size(match_query(key, '2026-01-01')) <= 1024) AS query_small
FROM (SELECT match_key(i, random() * 180 - 90, random() * 360 - 180, '1990-01-01'::date + i, i % 256, ARRAY[i % 8], ARRAY[i % 256],
		max_distance_km => i, tags => ARRAY[i::text], embedding => ARRAY(SELECT random()::real FROM generate_series(1, i % 33))) AS key
	FROM generate_series(1, 500) AS i) AS t;
SELECT bool_and(query::text = query::text::match_query::text) AS text_is_the_same
FROM (SELECT match_query(match_key(i, 1, 2), '2026-01-01', seen => ARRAY(SELECT (random() * 1e15)::bigint FROM generate_series(1, i)),
		after_cost => random(), weights => jsonb_build_object('tags', random(), 'scale_km', 1 + random())) AS query
	FROM generate_series(0, 100) AS i) AS t;
CREATE TEMPORARY TABLE mentor_copy (LIKE mentor);
\copy mentor TO 'results/match_key.bin' (FORMAT binary)
\copy mentor_copy FROM 'results/match_key.bin' (FORMAT binary)
SELECT count(*) AS same FROM mentor JOIN mentor_copy USING (id, key);

--
-- Bad input is refused with an error of class 22
--
CREATE FUNCTION pg_temp.refused(statement text, OUT code text, OUT message text, OUT detail text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT ' || statement;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
END;
$$;
SELECT statement, r.*
FROM unnest(ARRAY[
	$$match_key(NULL, 1, 2)$$,
	$$match_key(1, 1, NULL)$$,
	$$match_key(1, 90.1, 0)$$,
	$$match_key(1, 'NaN', 0)$$,
	$$match_key(1, 0, 'Infinity')$$,
	$$match_key(1, 0, -180.1)$$,
	$$match_key(-9223372036854775808, 0, 0)$$,
	$$match_key(1, 0, 0, '1899-12-31')$$,
	$$match_key(1, 0, 0, 'infinity')$$,
	$$match_key(1, 0, 0, '2079-06-06')$$,
	$$match_key(1, 0, 0, mode => 256)$$,
	$$match_key(1, 0, 0, traits => '{8}')$$,
	$$match_key(1, 0, 0, traits => '{-1}')$$,
	$$match_key(1, 0, 0, traits => '{{1},{2}}')$$,
	$$match_key(1, 0, 0, traits => '[0:1]={1,2}')$$,
	$$match_key(1, 0, 0, traits => array_fill(1, '{33}'))$$,
	$$match_key(1, 0, 0, wants => '{256}')$$,
	$$match_key(1, 0, 0, ages => 'empty')$$,
	$$match_key(1, 0, 0, ages => '[-1,5]')$$,
	$$match_key(1, 0, 0, max_distance_km => -1)$$,
	$$match_key(1, 0, 0, max_distance_km => 'NaN')$$,
	$$match_key(1, 0, 0, numbers => '{40000}')$$,
	$$match_key(1, 0, 0, numbers => '{1,2,3,4,5}')$$,
	$$match_key(1, 0, 0, embedding => '{1.1}')$$,
	$$match_key(1, 0, 0, embedding => '{NaN}')$$,
	$$match_key(1, 0, 0, embedding => '{NULL}')$$,
	$$match_key(1, 0, 0, embedding => array_fill(0::real, '{33}'))$$,
	$$match_key(1, 0, 0, quality => 'NaN')$$,
	$$match_key_raw(1, 1, 0, 0, NULL, '\x00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$,
	$$match_key_raw(1, 1, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, 30, 20, NULL, NULL, NULL, NULL)$$,
	$$match_query(NULL, '2026-01-01')$$,
	$$match_query(match_key(1, 0, 0), NULL)$$,
	$$match_query(match_key(1, 0, 0), 'infinity')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', continuation => 1)$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '[]')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"taste": 1}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"tags": "1"}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"tags": -1}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"tags": 1e300}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"decay": "cubic"}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"scale_km": 0}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', weights => '{"at_scale": 1}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', soft_weights => '{NaN}')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', after_cost => 'NaN')$$,
	$$match_query(match_key(1, 0, 0), '2026-01-01', after_id => 1)$$,
	$$trait_lanes('{8}', '{0}', '{1}')$$,
	$$trait_lanes('{1}', '{31}', '{2}')$$,
	$$trait_lanes('{1}', '{32}', '{1}')$$,
	$$trait_lanes('{1,1}', '{0,1}', '{2,1}')$$,
	$$want_lanes('{1}', NULL, '{0,1}', '{1}')$$,
	$$''::match_key$$,
	$$'2;id=1'::match_key$$,
	$$replace(match_key(1, 0, 0)::text, 'mode=1', 'mode=256')::match_key$$,
	$$replace(match_key(1, 0, 0)::text, 'at=1073741824', 'at=1')::match_key$$,
	$$replace(match_key(1, 0, 0)::text, 'number_unset=15', 'number_unset=16')::match_key$$,
	$$replace(match_key(1, 0, 0)::text, 'embedding=', 'embedding=-128')::match_key$$,
	$$(match_key(1, 0, 0)::text || ',')::match_key$$,
	$$replace(match_query(match_key(1, 0, 0), '2026-01-01')::text, 'scale_km=25', 'scale_km=nan')::match_query$$,
	$$replace(match_query(match_key(1, 0, 0), '2026-01-01')::text, 'scale_km=25', 'scale_km=0x19')::match_query$$,
	$$replace(match_query(match_key(1, 0, 0), '2026-01-01', seen => '{1,2}')::text, '1,2', '2,1')::match_query$$]) AS statement,
	pg_temp.refused(statement) AS r;

--
-- The index gives what a comparison with everybody gives, in the same order
--
CREATE FUNCTION population(size integer) RETURNS TABLE (id bigint, key match_key) LANGUAGE sql AS $$
	SELECT i, match_key_raw(i, 1 + (random() < 0.1)::integer,
		CASE kind WHEN 0 THEN NULL WHEN 1 THEN 90 - random() * 0.5 WHEN 2 THEN -90 WHEN 3 THEN random() - 0.5 WHEN 4 THEN 52.5
			WHEN 5 THEN random() * 180 - 90 ELSE 48 + random() END,
		CASE kind WHEN 0 THEN NULL WHEN 1 THEN random() * 360 - 180 WHEN 2 THEN random() * 360 - 180
			WHEN 3 THEN CASE WHEN random() < 0.5 THEN 180 - random() * 0.5 ELSE -180 + random() * 0.5 END WHEN 4 THEN 13.4
			WHEN 5 THEN random() * 360 - 180 ELSE 2 + random() END,
		CASE WHEN random() < 0.95 THEN '2003-01-01'::date - (random() * random() * 12000)::integer END,
		trait_lanes(ARRAY[1 + (random() * 1.2)::integer, (random() * 20)::integer, (random() * 3)::integer, NULL, (random() * 60)::integer]::smallint[],
			'{0,1,4,NULL,5}', '{1,3,1,NULL,8}'),
		want_lanes(ARRAY[(ARRAY[255, 6, 4, 2, 7, 0])[1 + floor(power(random(), 2) * 6)::integer],
				CASE WHEN random() < 0.1 THEN (random() * 1e7)::bigint | 1 END, CASE WHEN random() < 0.2 THEN (random() * 15)::bigint END, NULL,
				CASE WHEN random() < 0.1 THEN -2::bigint WHEN random() < 0.05 THEN (random() * 1e18)::bigint END],
			NULL, '{0,1,4,NULL,5}', '{1,3,1,NULL,8}'),
		ARRAY[CASE WHEN random() < 0.8 THEN 150 + random() * 50 END, NULL, CASE WHEN random() < 0.5 THEN -random() * 10 END]::smallint[],
		ARRAY[CASE WHEN random() < 0.2 THEN 140 + random() * 30 END, NULL, CASE WHEN random() < 0.1 THEN -5 END]::smallint[],
		ARRAY[CASE WHEN random() < 0.2 THEN 180 + random() * 30 END]::smallint[],
		CASE WHEN random() < 0.5 THEN (random() * 35)::integer END, CASE WHEN random() < 0.5 THEN (35 + random() * 60)::integer END,
		CASE WHEN random() < 0.5 THEN CASE WHEN random() < 0.1 THEN 0 ELSE exp(4 + random() * 6) END END,
		CASE WHEN random() < 0.9 THEN '2026-01-01'::date - (random() * random() * 200)::integer END,
		ARRAY(SELECT chr(65 + (random() * 25)::integer) FROM generate_series(1, (i % 6)::integer)),
		ARRAY(SELECT (random() * 2 - 1)::real FROM generate_series(1, (ARRAY[0, 3, 16, 31, 32])[1 + (i % 5)::integer])),
		CASE WHEN random() < 0.2 THEN '{true}'::boolean[] END, random())
	FROM generate_series(1, size) AS i, LATERAL (SELECT (random() * 9 + i * 0)::integer AS kind) AS k
$$;
SELECT setseed(0.4);
CREATE TABLE built AS SELECT * FROM population(3000);
CREATE INDEX ON built USING match_gist (key);
CREATE TABLE inserted (LIKE built);
CREATE INDEX ON inserted USING match_gist (key);
INSERT INTO inserted SELECT * FROM built ORDER BY hashint8(id);
CREATE TABLE buffered AS TABLE built;
CREATE INDEX ON buffered USING match_gist (key) WITH (buffering = on, fillfactor = 50);
ANALYZE built, inserted, buffered;

-- Questions of all kinds for a viewer; the cursor is the cost of somebody.
CREATE FUNCTION questions(viewer match_key, kind integer) RETURNS match_query LANGUAGE sql AS $$
	SELECT CASE kind
		WHEN 0 THEN match_query(viewer, '2026-01-01', continuation => lane_continuation('{0,1,4,NULL,5}', '{1,3,1,NULL,8}'))
		WHEN 1 THEN match_query(viewer, '2025-02-28', continuation => lane_continuation('{0,1,4,NULL,5}', '{1,3,1,NULL,8}'),
			weights => '{"distance": 1, "age": 0, "tags": 0, "embedding": 0, "recency": 0, "quality": 0, "decay": "exp", "scale_km": 300}')
		WHEN 2 THEN match_query(viewer, '2026-01-01', continuation => lane_continuation('{0,1,4,NULL,5}', '{1,3,1,NULL,8}'),
			weights => '{"decay": "linear", "scale_km": 2000, "offset_km": 5, "age": 2, "soft": 3}',
			soft_wants => want_lanes('{2,4094,1,NULL,1023}', NULL, '{0,1,4,NULL,5}', '{1,3,1,NULL,8}'),
			soft_number_min => '{180}', active_since => '2025-11-01')
		WHEN 3 THEN match_query(viewer, '2026-01-01', continuation => lane_continuation('{0,1,4,NULL,5}', '{1,3,1,NULL,8}'), accept_wants => NULL,
			seen => ARRAY(SELECT generate_series(1, 3000, 3)), after_cost => 0.5, number_min => '{160,NULL,NULL}', number_unset => '{true}')
		ELSE match_query(viewer, '2026-01-01', accept_wants => decode(repeat('ff', 32), 'hex'),
			weights => '{"distance": 0, "age": 0, "tags": 0, "embedding": 0, "recency": 0, "quality": 0}', after_cost => 1, after_id => 1500)
		END
$$;

-- Rows of the index scan, and how often it was none or differed from the comparison with everybody, for some viewers.
CREATE FUNCTION compared(tab regclass, OUT results bigint, OUT differences bigint) LANGUAGE plpgsql AS $$
DECLARE
	statement text := format('SELECT array_agg(t ORDER BY t.cost, t.id) FROM (SELECT id, key <-> $1 AS cost FROM %s WHERE key @@ $1'
		' ORDER BY key <-> $1 FETCH FIRST $2 ROWS WITH TIES) AS t', tab);
	viewer match_key;
	query match_query;
	k integer;
	by_index record;
	by_all record;
	plan json;
BEGIN
	results := 0;
	differences := 0;
	PERFORM set_config('enable_bitmapscan', 'off', true);
	FOR viewer IN EXECUTE format('SELECT key FROM %s ORDER BY hashint8(id) LIMIT 12', tab) LOOP
		FOR kind IN 0 .. 4 LOOP
			query := questions(viewer, kind);
			FOREACH k IN ARRAY '{1,20,5000}'::integer[] LOOP
				PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true);
				EXECUTE 'EXPLAIN (FORMAT json) ' || statement USING query, k INTO plan;
				EXECUTE statement USING query, k INTO by_index;
				PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true),
					set_config('rapport.simd', 'scalar', true);
				EXECUTE statement USING query, k INTO by_all;
				PERFORM set_config('rapport.simd', current_setting('test.simd'), true);
				results := results + coalesce(cardinality(by_index.array_agg), 0);
				differences := differences + (by_index IS DISTINCT FROM by_all OR plan::text NOT LIKE '%"Index Scan"%"Order By"%')::integer;
			END LOOP;
		END LOOP;
	END LOOP;
END;
$$;
SET test.simd = 'auto';

SELECT tab, results > 4000 AS many, differences
FROM unnest('{built,inserted,buffered}'::regclass[]) AS tab, compared(tab);

-- Every path of instructions that this machine has
CREATE FUNCTION on_path(path text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('rapport.simd', path, true), set_config('test.simd', path, true);
	RETURN (SELECT differences FROM compared('inserted'));
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN 0;
END;
$$;
SELECT path, on_path(path) AS differences FROM unnest('{avx2,sse2,scalar}'::text[]) AS path;
RESET rapport.simd;
SET test.simd = 'auto';

-- After updates, deletes, inserts and VACUUM
UPDATE inserted AS t SET key = p.key FROM population(3000) AS p WHERE p.id = t.id AND t.id % 3 = 0;
DELETE FROM inserted WHERE id % 5 = 0;
SELECT differences FROM compared('inserted');
VACUUM inserted;
INSERT INTO inserted SELECT p.id + 3000, match_key_raw(p.id + 3000, 1, 52.5, 13.4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
FROM population(1000) AS p;
SELECT differences FROM compared('inserted');

-- What the scan of match_gist leaves to GiST, and where it starts again: two questions, one in two values, none, no order, no filter, one a viewer
CREATE FUNCTION answers(statement text, first match_query, second match_query) RETURNS TABLE (indexed boolean, ordered boolean, rows integer, same boolean) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	by_index bigint[];
	by_all bigint[];
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_indexscan', 'on', true), set_config('enable_sort', 'off', true);
	EXECUTE 'EXPLAIN (FORMAT json) ' || statement USING first, second INTO plan;
	EXECUTE 'SELECT ARRAY(' || statement || ')' USING first, second INTO by_index;
	PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true), set_config('enable_sort', 'on', true);
	EXECUTE 'SELECT ARRAY(' || statement || ')' USING first, second INTO by_all;
	indexed := plan::text LIKE '%"Index Scan"%';
	ordered := plan::text LIKE '%"Order By"%';
	rows := cardinality(by_index);
	same := by_index = by_all;
	RETURN NEXT;
END;
$$;
SELECT name, indexed, ordered, rows > 3 AS some, same
FROM (SELECT questions(key, 0) AS one, questions(key, 2) AS other FROM (SELECT * FROM inserted ORDER BY id LIMIT 20) AS v
	  ORDER BY (SELECT count(*) FROM inserted AS i WHERE i.key @@ questions(v.key, 0)) DESC, id LIMIT 1) AS q
CROSS JOIN LATERAL (VALUES
	('two', 'SELECT id FROM inserted WHERE key @@ $1 ORDER BY key <-> $2 LIMIT 20', one, other),
	('twice', 'SELECT id FROM inserted WHERE key @@ $1 ORDER BY key <-> $2 LIMIT 20', one, one::text::match_query),
	('none', 'WITH q AS MATERIALIZED (SELECT $1 AS asked) SELECT id FROM inserted WHERE key @@ (SELECT asked FROM q) ORDER BY key <-> (SELECT asked FROM q) LIMIT 20', NULL, NULL),
	('no order', 'SELECT id FROM (SELECT id FROM inserted WHERE key @@ $1 OFFSET 0) AS x ORDER BY id', one, NULL),
	('no filter', 'SELECT id FROM inserted ORDER BY key <-> $1 LIMIT 20', one, NULL),
	('lateral', 'SELECT w.id FROM (SELECT id, questions(key, 0) AS asked FROM built WHERE id % 50 = 0 OFFSET 0) AS v CROSS JOIN LATERAL (SELECT i.id, i.key <-> v.asked AS cost FROM inserted AS i WHERE i.key @@ v.asked ORDER BY i.key <-> v.asked LIMIT 3) AS w ORDER BY v.id, w.cost, w.id', NULL, NULL)
) AS t (name, statement, first, second)
CROSS JOIN LATERAL answers(statement, first, second);

-- Equal people in one place, and nobody at all
CREATE TABLE equals AS SELECT i AS id, match_key(i, 1, 1) AS key FROM generate_series(1, 2000) AS i;
CREATE INDEX ON equals USING match_gist (key);
CREATE TABLE nobody (LIKE equals);
CREATE INDEX ON nobody USING match_gist (key);
SELECT tab, differences FROM unnest('{equals,nobody}'::regclass[]) AS tab, compared(tab);

--
-- The rules once more, in SQL alone
--
CREATE TABLE plain AS
SELECT i AS id, round((50 + random())::numeric, 3)::float8 AS latitude, round((random() * 2)::numeric, 3)::float8 AS longitude,
	'2006-03-01'::date - (random() * 9000)::integer AS born, ARRAY[1 + (random() * 2)::integer, (random() * 7)::integer] AS traits,
	ARRAY[(random() * 15)::integer, (random() * 255)::integer] AS wants, 18 + (random() * 8)::integer AS youngest, (random() * 20)::integer AS oldest,
	10 + random() * 150 AS km, CASE WHEN random() < 0.8 THEN 150 + (random() * 50)::integer END AS height,
	CASE WHEN random() < 0.5 THEN 140 + (random() * 30)::integer END AS height_min
FROM generate_series(1, 600) AS i;
ALTER TABLE plain ADD key match_key;
UPDATE plain SET key = match_key(id, latitude, longitude, born, 1, traits, wants, int4range(youngest, youngest + oldest, '[]'), km,
	ARRAY[height], ARRAY[height_min]);
SELECT count(*) > 5000 AS many, count(*) FILTER (WHERE accepted IS DISTINCT FROM expected) AS differences,
	count(*) FILTER (WHERE expected) > 100 AS some_fit
FROM (
	SELECT a.key @@ match_query(b.key, '2026-03-01') AS accepted,
		(1 << a.traits[1]) & b.wants[1] <> 0 AND (1 << b.traits[1]) & a.wants[1] <> 0
		AND (1 << a.traits[2]) & b.wants[2] <> 0 AND (1 << b.traits[2]) & a.wants[2] <> 0
		AND extract(year FROM age('2026-03-01', a.born)) BETWEEN b.youngest AND b.youngest + b.oldest
		AND extract(year FROM age('2026-03-01', b.born)) BETWEEN a.youngest AND a.youngest + a.oldest
		AND (b.height_min IS NULL OR coalesce(a.height >= b.height_min, false))
		AND (a.height_min IS NULL OR coalesce(b.height >= a.height_min, false))
		AND 6371.0088 * 2 * asin(sqrt(power(sind((a.latitude - b.latitude) / 2), 2)
			+ cosd(a.latitude) * cosd(b.latitude) * power(sind((a.longitude - b.longitude) / 2), 2))) <= least(a.km, b.km)
		AND a.id <> b.id AS expected
	FROM plain AS a, plain AS b) AS t;

--
-- The planner takes the ordered scan for few and for many
--
CREATE TABLE crowd AS
SELECT i AS id, match_key(i, 52 + random(), 13 + random(), traits => ARRAY[1 + i % 2], wants => ARRAY[4 - 2 * (i % 2)], max_distance_km => 50) AS key
FROM generate_series(1, 20000) AS i;
CREATE INDEX ON crowd USING match_gist (key);
VACUUM ANALYZE crowd;
PREPARE top (match_query, integer) AS SELECT id FROM crowd WHERE key @@ $1 ORDER BY key <-> $1 LIMIT $2;
CREATE FUNCTION plan_of(k integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) EXECUTE top(%L, %s)', match_query(match_key(0, 52.5, 13.5, traits => '{1}'), '2026-01-01'), k) LOOP
		RETURN NEXT regexp_replace(line, '''.*''', '...');
	END LOOP;
END;
$$;
SELECT k, plan_of(k) FROM unnest('{1,20,500}'::integer[]) AS k;

DROP TABLE mentor, mentor_copy, built, inserted, buffered, equals, nobody, plain, crowd;
DROP FUNCTION population, questions, answers, compared, on_path, plan_of;
