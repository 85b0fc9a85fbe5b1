-- Where people are: cells that hold on to them, limits on moving, larger cells where few live.
SET client_min_messages = warning;
\pset null '(null)'
SET datestyle = ISO;
SET timezone = UTC;
SET rapport.now = '2026-03-01 12:00:00+00';

-- The error of a statement, or "accepted"; what it wrote stays.
CREATE FUNCTION pg_temp.outcome(statement text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	state text;
	code text;
	detail text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, code = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', state, code, nullif(detail, ''));
END;
$$;
-- Somebody says where they are.
CREATE FUNCTION pg_temp.go(who text, latitude float8, longitude float8) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	id bigint := (SELECT person_id FROM rapport.external_identity WHERE external_id = who);
	answer text;
BEGIN
	PERFORM rapport.act_as(coalesce(id, rapport.new_person(who)), true);
	answer := pg_temp.outcome(format('SELECT rapport.set_place(%L, %L)', latitude, longitude));
	PERFORM rapport.act_as(NULL, true);
	RETURN answer;
END;
$$;
CREATE VIEW placed AS
SELECT e.external_id AS who, p.*, p.xmin AS version, rapport.cell_latitude(p.cell) AS latitude, rapport.cell_longitude(p.cell) AS longitude
FROM rapport.external_identity AS e
JOIN rapport.profile AS p USING (person_id);
-- So many metres north and east of a place.
CREATE FUNCTION pg_temp.off(latitude float8, longitude float8, north float8, east float8, OUT latitude_off float8, OUT longitude_off float8)
LANGUAGE sql
AS $$ SELECT latitude + north / 111195, longitude + east / (111195 * cos(radians(latitude))) $$;
-- The borders of a cell of the lowest level, in metres from its centre.
CREATE FUNCTION pg_temp.half(latitude float8, OUT high float8, OUT wide float8)
LANGUAGE sql
AS $$ SELECT 180.0 / 20015 * 111195 / 2, 360.0 / round(40030 * cos(radians(latitude))) * 111195 * cos(radians(latitude)) / 2 $$;

--
-- Cells lie in larger cells, each in one, about as wide as high anywhere
--
CREATE TEMP TABLE point AS
SELECT latitude, longitude, rapport.grid_cell(latitude, longitude, 1000) AS cell
FROM unnest(ARRAY[-90, -89.9999, -89.5, -66, -0.0001, 0, 0.0001, 45.3, 71, 89.5, 89.98, 90]) AS latitude,
	 (SELECT -180 + 0.7 * i FROM generate_series(0, 514) AS i UNION SELECT unnest(ARRAY[180, 179.9999, -179.9999])) AS l (longitude);
-- Nobody is moved farther than a side of the cell (0.76 in the smallest, whose borders are straight).
SELECT level, bool_and(moved <= CASE level WHEN 0 THEN 0.76 ELSE 1.1 END * 1000 * 2 ^ level) AS near
FROM generate_series(0, 8) AS level
CROSS JOIN point AS p
CROSS JOIN LATERAL rapport.place_distance(rapport.make_place(p.latitude, p.longitude), rapport.cell_place(rapport.cell_parent(p.cell, level))) AS moved
GROUP BY level
ORDER BY level;
-- One way up, however many steps it takes.
SELECT count(*) FILTER (WHERE rapport.cell_parent(rapport.cell_parent(cell, 3), 6) <> rapport.cell_parent(cell, 6)) AS lost FROM point;
-- Few cells around a pole, fewer in larger ones, and never none.
SELECT level, count(DISTINCT rapport.cell_parent(cell, level)) FILTER (WHERE latitude = 90) AS north,
	   count(DISTINCT rapport.cell_parent(cell, level)) FILTER (WHERE latitude = -90) AS south
FROM generate_series(0, 8) AS level, point
GROUP BY level
ORDER BY level;
-- Cells end at the date line, on whichever side it is written.
SELECT count(DISTINCT rapport.cell_parent(cell, level)) AS cells_at_the_line
FROM generate_series(0, 8) AS level, point
WHERE latitude = 45.3 AND longitude IN (-180, 180, -179.9999);
SELECT pg_temp.outcome('SELECT rapport.cell_latitude(0)'), pg_temp.outcome('SELECT rapport.cell_latitude(-1)'),
	   pg_temp.outcome('SELECT rapport.cell_parent(rapport.grid_cell(1, 1, 1000), 9)'), rapport.grid_cell('NaN', 0, 1000),
	   pg_temp.outcome('SELECT rapport.grid_cell(1, 1, 99)');

--
-- Whoever lives at a border stays in a cell
--
SELECT pg_temp.go('ann', 52.52, 13.405);
SELECT latitude AS lat, longitude AS lon, version FROM placed WHERE who = 'ann' \gset
-- 199 m beyond each border and corner nothing moves; nothing is written, but the visit counts.
SET rapport.now = '2026-03-02 12:00:00+00';
SELECT north, east, pg_temp.go('ann', o.latitude_off, o.longitude_off)
FROM pg_temp.half(52.52) AS h, unnest(ARRAY[1, -1, 0, 0, 1, -1], ARRAY[0, 0, 1, -1, 1, -1]) AS d (north, east),
	 pg_temp.off(:lat, :lon, north * (h.high + CASE east WHEN 0 THEN 199 ELSE 140 END), east * (h.wide + CASE north WHEN 0 THEN 199 ELSE 140 END)) AS o;
SELECT version = :version AS untouched, a.active_on FROM placed JOIN rapport.activity AS a USING (person_id) WHERE who = 'ann';
-- 201 m do, into the next cell; and back it takes as much again.
SELECT pg_temp.go('ann', o.latitude_off, o.longitude_off) FROM pg_temp.half(52.52) AS h, pg_temp.off(:lat, :lon, h.high + 201, 0) AS o;
SELECT latitude > :lat AS moved, moves, moves_on, place_at FROM placed WHERE who = 'ann';
SELECT pg_temp.go('ann', :lat + 0.0044, :lon);
SELECT latitude > :lat AS still_there, moves FROM placed WHERE who = 'ann';
-- Two hundred readings of a phone 30 m from a border, each up to 80 m off: had the cell been seen to jump, they would have told.
SELECT rapport.set_setting('moves_a_day', '0');
CREATE FUNCTION pg_temp.jumps(who text, margin text) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
	cell bigint := rapport.grid_cell(48.1, 11.5, 1000);
BEGIN
	PERFORM rapport.set_setting('grid_margin', margin);
	PERFORM pg_temp.go(jumps.who, o.latitude_off, o.longitude_off)
	FROM pg_temp.half(48.1) AS h, generate_series(1, 200) AS i,
		 pg_temp.off(rapport.cell_latitude(cell), rapport.cell_longitude(cell), h.high - 30 + 80 * sin(i * 7.1), 80 * cos(i * 3.3)) AS o;
	PERFORM rapport.set_setting('grid_margin', NULL);
	RETURN (SELECT p.moves FROM placed AS p WHERE p.who = jumps.who);
END;
$$;
SELECT pg_temp.jumps('restless', '0') > 20 AS without_margin, pg_temp.jumps('calm', '0.2') AS with_margin;
SELECT rapport.set_setting('moves_a_day', NULL);
-- Over the pole and over the date line too.
SELECT pg_temp.go('amundsen', latitude, longitude) FROM (VALUES (89.9999, 0), (89.9999, 100), (90, -170), (89.9999, -100)) AS v (latitude, longitude);
SELECT pg_temp.go('phileas', -17, longitude) FROM unnest(ARRAY[179.9995, -179.9995, 180, -180]) AS longitude;
SELECT who, moves FROM placed WHERE who IN ('amundsen', 'phileas') ORDER BY who;
-- Nobody can tell where in a cell somebody is: whatever is stored is the same.
SELECT who, pg_temp.go(who, o.latitude_off, o.longitude_off)
FROM rapport.grid_cell(48.1, 11.5, 1000) AS cell, unnest(ARRAY['two', 'three'], ARRAY[-480, 490], ARRAY[490, -480]) AS d (who, north, east),
	 pg_temp.off(rapport.cell_latitude(cell), rapport.cell_longitude(cell), north, east) AS o;
SELECT count(DISTINCT to_jsonb(p) - 'person_id' - 'who' - 'version') AS different FROM placed AS p WHERE who IN ('two', 'three');

--
-- Moving has limits
--
-- The first place is free, wherever it is.
SELECT pg_temp.go('bob', -33.87, 151.21);
-- 16,000 km take 16 hours.
SELECT pg_temp.go('bob', 52.52, 13.405);
SELECT round(latitude) AS latitude, round(longitude) AS longitude, place_at FROM placed WHERE who = 'bob';
SET rapport.now = '2026-03-03 04:05:32+00';
SELECT pg_temp.go('bob', 52.52, 13.405);
SET rapport.now = '2026-03-03 04:05:33+00';
SELECT pg_temp.go('bob', 52.52, 13.405);
-- Next door is no journey; a clock that was put back gives no time to travel.
SELECT pg_temp.go('bob', 52.53, 13.405);
SET rapport.now = '2026-03-03 03:00:00+00';
SELECT pg_temp.go('bob', 52.52, 13.405), pg_temp.go('bob', 53.5, 10);
SELECT rapport.set_setting('move_max_kmh', '0');
SELECT pg_temp.go('bob', -33.87, 151.21);
-- So many a day: the day is that of the clock. Staying is no move.
SET rapport.now = '2026-03-05 23:00:00+00';
SELECT rapport.set_setting('moves_a_day', '3');
SELECT pg_temp.go('cat', latitude, 5), pg_temp.go('cat', latitude, 5) FROM generate_series(1, 6) AS latitude;
SELECT round(latitude) AS latitude, moves FROM placed WHERE who = 'cat';
SET rapport.now = '2026-03-06 00:00:00+00';
SELECT pg_temp.go('cat', 10, 5);
SELECT round(latitude) AS latitude, moves, moves_on FROM placed WHERE who = 'cat';
SELECT rapport.set_setting('moves_a_day', NULL), rapport.set_setting('move_max_kmh', NULL);
SELECT pg_temp.outcome(format('SELECT rapport.set_setting(%L, %L)', name, value))
FROM (VALUES ('grid_margin', '1.1'), ('grid_margin', 'NaN'), ('moves_a_day', '-1'), ('move_max_kmh', '100001'), ('cell_doublings', '9'),
	  ('cell_people', '-1'), ('census_days', '0')) AS v (name, value);

--
-- Larger cells where few people live
--
DELETE FROM rapport.profile;
DELETE FROM rapport.external_identity;
CREATE TABLE census_people (id text PRIMARY KEY, lat float8, lon float8);
-- Twelve in one cell of a town, three in the next; four in villages; a hermit; three near the pole.
INSERT INTO census_people
SELECT 'town ' || i, 47.003, 8.003 FROM generate_series(1, 12) AS i
UNION ALL SELECT 'suburb ' || i, 47.012, 8.003 FROM generate_series(1, 3) AS i
UNION ALL SELECT 'village ' || i, 47.1 + i / 50.0, 8.4 FROM generate_series(1, 4) AS i
UNION ALL SELECT 'hermit', -40.5, 70.7
UNION ALL SELECT 'pole ' || i, 89.99, i * 50 FROM generate_series(1, 3) AS i;
\set mapping '{"external_id": "id", "latitude": "lat", "longitude": "lon"}'
CALL rapport.import_people('census_people', :'mapping');
CREATE VIEW shown AS
SELECT split_part(e.external_id, ' ', 1) AS who, level, count(*) AS people,
	   count(DISTINCT rapport.place_latitude(p.place) || ' ' || rapport.place_longitude(p.place)) AS places
FROM rapport.external_identity AS e
JOIN rapport.profile AS p USING (person_id)
CROSS JOIN LATERAL (
	SELECT min(n) FROM generate_series(0, 8) AS n
	WHERE (rapport.place_latitude(p.place), rapport.place_longitude(p.place))
		= (rapport.cell_latitude(rapport.cell_parent(p.cell, n)), rapport.cell_longitude(rapport.cell_parent(p.cell, n)))) AS l (level)
GROUP BY 1, 2
ORDER BY 1, 2;
-- Before anybody was counted all cells are small.
SELECT * FROM shown;
CALL rapport.take_census();
SELECT * FROM shown;
-- A newcomer is shown like everybody there.
SELECT pg_temp.go('hermit 2', -40.501, 70.701);
SELECT * FROM shown WHERE who = 'hermit';
-- Counted again no sooner than in a week: five leave, and nobody sees it now.
UPDATE census_people SET lat = -50 WHERE id IN ('town 1', 'town 2', 'town 3', 'town 4', 'town 5');
CALL rapport.import_people('census_people', :'mapping');
CALL rapport.take_census();
SELECT * FROM shown WHERE who = 'town';
-- Nor after it: half of the people are enough for what was a cell of its own. Fewer are not.
SET rapport.now = '2026-03-14 00:00:00+00';
CALL rapport.take_census();
SELECT * FROM shown WHERE who = 'town';
UPDATE census_people SET lat = -50 WHERE id IN ('town 6', 'town 7', 'town 8');
CALL rapport.import_people('census_people', :'mapping');
SET rapport.now = '2026-03-22 00:00:00+00';
CALL rapport.take_census();
SELECT * FROM shown WHERE who IN ('town', 'suburb');
-- Coming back brings no small cell back before ten are there.
UPDATE census_people SET lat = 47.003 WHERE id IN ('town 6', 'town 7', 'town 8');
CALL rapport.import_people('census_people', :'mapping');
SET rapport.now = '2026-03-30 00:00:00+00';
CALL rapport.take_census();
SELECT * FROM shown WHERE who IN ('town', 'suburb');
-- Settings: larger steps, another grid (nobody is counted on it yet), none at all.
SELECT rapport.set_setting('cell_doublings', '6');
CALL rapport.take_census();
SELECT * FROM shown WHERE who IN ('hermit', 'pole');
SELECT rapport.set_setting('grid_metres', '500');
CALL rapport.import_people('census_people', :'mapping');
SELECT * FROM shown WHERE who IN ('hermit', 'pole', 'suburb');
CALL rapport.take_census();
SELECT * FROM shown WHERE who IN ('hermit', 'pole', 'suburb');
SELECT rapport.set_setting('grid_metres', NULL);
SELECT rapport.set_setting('cell_people', '0');
CALL rapport.take_census();
SELECT who, level FROM shown GROUP BY 1, 2 ORDER BY 1, 2;
SELECT rapport.set_setting('cell_people', NULL), rapport.set_setting('cell_doublings', NULL);
-- An import jumps over no border either.
SELECT sum(hashtext(e.external_id || p.cell)) AS sum, max(place_at) AS place_at
FROM rapport.external_identity AS e JOIN rapport.profile AS p USING (person_id) WHERE e.external_id ~ 'village' \gset was_
CALL rapport.import_people('census_people', :'mapping');
SELECT sum(hashtext(e.external_id || p.cell)) AS sum FROM rapport.external_identity AS e JOIN rapport.profile AS p USING (person_id)
WHERE e.external_id ~ 'village' \gset was_
UPDATE census_people SET lat = lat + 0.0015 WHERE id ~ 'village';
CALL rapport.import_people('census_people', :'mapping');
SELECT sum(hashtext(e.external_id || p.cell)) = :was_sum AS same_cells FROM rapport.external_identity AS e JOIN rapport.profile AS p USING (person_id)
WHERE e.external_id ~ 'village';

DROP VIEW shown, placed;
DROP TABLE census_people;
DELETE FROM rapport.census;
DELETE FROM rapport.crowded_cell;
DELETE FROM rapport.import_run;
DELETE FROM rapport.person;
DELETE FROM rapport.external_identity;
DELETE FROM rapport.activity;
DELETE FROM rapport.profile;
CALL rapport.refresh_people();
