-- Bringing people in: rapport.import_people(source, mapping).
SET client_min_messages = warning;
\pset null '(null)'
SET datestyle = ISO;
SET timezone = UTC;
SET rapport.now = '2026-03-01 12:00:00+00';
SELECT rapport.define_attribute('gender', 'choice', ARRAY['woman', 'man']);
SELECT rapport.define_attribute('height', 'number', minimum => 140, maximum => 210);

--
-- Any table will do: the mapping names its columns
--
CREATE TABLE users (id bigint PRIMARY KEY, name text, born date, bio text, interests text[], lat float8, lon float8, seen date, answers jsonb, wants jsonb);
INSERT INTO users VALUES
	(1, 'Ada', '1990-12-10', 'Engines', '{Chess,Mathematics}', 52.52, 13.405, '2026-02-20', '{"gender": "woman", "height": 165}',
	 '{"date": {"accepts": {"gender": ["man"]}, "age": [30, 50]}, "friends": {}}'),
	(2, ' בֶּן ', '1985-02-28', NULL, NULL, -33.87, 151.21, NULL, NULL, NULL),
	(10, U&'Zoe\0308', '2000-02-29', '', '{}', NULL, NULL, '2020-01-01', '{"gender": null}', '{}');
\set mapping '{"external_id": "id", "display_name": "name", "birth_date": "born", "about": "bio", "tags": "interests", "latitude": "lat", "longitude": "lon", "active_on": "seen", "attributes": "answers", "preferences": "wants"}'
CALL rapport.import_people('users', :'mapping');
CREATE VIEW imported AS
SELECT e.external_id, p.display_name, p.birth_date, p.about, p.tags, round(st_y(p.place::geometry)::numeric, 3) AS latitude,
	   round(st_x(p.place::geometry)::numeric, 3) AS longitude, a.active_on, o.attributes,
	   (SELECT jsonb_object_agg(s.mode, s.preference -> 'accepts') FROM rapport.preferences_of(p.person_id) AS s) AS accepts,
	   (SELECT string_agg(m.step, ' ' ORDER BY m.step) FROM rapport.missing_steps(p) AS m) AS missing
FROM rapport.external_identity AS e
JOIN rapport.person USING (person_id)
JOIN rapport.profile AS p USING (person_id)
JOIN rapport.activity AS a USING (person_id)
CROSS JOIN LATERAL rapport.attributes_of(ARRAY[p.person_id]) AS o;
SELECT * FROM imported ORDER BY external_id;
-- They have no credential, but the app can let them act.
SELECT count(*) FROM rapport.credential;
SELECT rapport.act_as_external('1');
SELECT display_name, missing FROM rapport.my_profile();
SELECT rapport.act_as(NULL);

--
-- Run again, it updates: what is mapped follows the source, what is not stays,
-- and so do answers and preferences that a JSON column does not name
--
UPDATE users SET name = 'Ada L.', lat = NULL, lon = NULL, answers = '{"height": 166}', wants = '{"date": {"age": null}}' WHERE id = 1;
INSERT INTO users (id, name) VALUES (11, 'New');
CALL rapport.import_people('users', :'mapping');
SELECT external_id, display_name, latitude, attributes, accepts, active_on FROM imported WHERE external_id IN ('1', '11') ORDER BY external_id;
UPDATE users SET name = 'Only this', bio = 'not this' WHERE id = 1;
CALL rapport.import_people('users', '{"external_id": "id", "display_name": "name"}');
SELECT external_id, display_name, about, tags FROM imported WHERE external_id = '1';
SELECT count(*) AS people, count(DISTINCT person_id) AS identities FROM rapport.external_identity;

--
-- Rows with problems are rejected, with every reason, and without their position
--
CREATE TABLE csv (id text, name text, born text, lat text, lon text, gender text, height jsonb, seen text, tags jsonb, wants jsonb);
INSERT INTO csv (id, name, born, lat, lon, gender, height, seen, tags, wants) VALUES
	('ok', 'Fine', '1990-01-01', '48.2', '16.37', 'man', '180', '2026-03-01', '["a", "A"]', '{"date": {}}'),
	('nothing', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('young', 'Kid', '2010-01-01', '48.2', '16.37', 'man', NULL, NULL, NULL, NULL),
	('many', E'a\tb', '1990-02-30', '91', '16.37', 'robot', '"180"', 'yesterday', '"a"', '{"dating": {}, "date": {"age": [1, 2], "x": 1}}'),
	('place', 'A', '1990-01-01', 'NaN', '16', NULL, NULL, NULL, NULL, NULL),
	('half', 'A', '1990-01-01', '48.2', NULL, NULL, NULL, NULL, NULL, NULL),
	('words', 'A', '1990-01-01', 'north', 'east', NULL, NULL, NULL, NULL, NULL),
	('future', 'A', '2030-01-01', NULL, NULL, NULL, NULL, '2030-01-01', NULL, '[]'),
	('twice', 'A', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('twice', 'B', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(NULL, 'Nobody', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	('', 'Empty', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(repeat('x', 201), 'Long', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- The answers may stand in columns of their own.
\set mapping '{"external_id": "id", "display_name": "name", "birth_date": "born", "latitude": "lat", "longitude": "lon", "attributes": {"gender": "gender", "height": "height"}, "active_on": "seen", "tags": "tags", "preferences": "wants"}'
CALL rapport.import_people('csv', :'mapping');
SELECT left(external_id, 10) AS external_id, reason
FROM rapport.import_reject, unnest(reasons) WITH ORDINALITY AS r (reason, n)
WHERE source = 'public.csv'
ORDER BY reject, n;
SELECT count(*) AS with_position FROM rapport.import_reject WHERE row::text ~ 'latitude|longitude|16.37';
SELECT row FROM rapport.import_reject WHERE external_id = 'many';
SELECT external_id, display_name, tags, attributes FROM imported WHERE external_id IN ('ok', 'nothing') ORDER BY 1;
-- Mended, they come in; the rejects are those of the last run.
DELETE FROM csv WHERE id IS NULL OR id NOT IN ('ok', 'young');
UPDATE csv SET born = '2000-01-01' WHERE id = 'young';
CALL rapport.import_people('csv', :'mapping');
SELECT count(*) FROM rapport.import_reject;

\set VERBOSITY terse
--
-- The mapping is checked before anything happens
--
CREATE FUNCTION pg_temp.outcome(mapping text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
	code text;
	detail text;
BEGIN
	PERFORM rapport.import_expression('csv', mapping::jsonb);
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, code, detail);
END;
$$;
SELECT mapping, pg_temp.outcome(mapping)
FROM unnest(ARRAY[NULL, 'null', '[]', '{}', '{"display_name": "name"}', '{"external_id": "id", "name": "name"}', '{"external_id": "ID"}',
				  '{"external_id": "id; DROP TABLE csv"}', '{"external_id": 1}', '{"external_id": ["id"]}', '{"external_id": "ctid"}', '{"external_id": "id", "latitude": "lat"}',
				  '{"external_id": "id", "attributes": {"colour": "name"}}', '{"external_id": "id", "attributes": {"gender": "sex"}}',
				  '{"external_id": "id", "display_name": {"en": "name"}}', '{"external_id": "id"}']) AS mapping;
CALL rapport.import_people('csv', '{"external_id": "nr"}');
CALL rapport.import_people('no_such_table', '{"external_id": "id"}');
SELECT rapport.import_begin(NULL, '{"external_id": "id"}');
SELECT rapport.import_begin('csv', NULL);
CALL rapport.import_people(NULL, '{"external_id": "id"}');
-- It commits as it goes, so not inside a transaction.
BEGIN;
CALL rapport.import_people('csv', '{"external_id": "id"}');
ROLLBACK;

--
-- Interrupted, it goes on where it was
--
CREATE TABLE crowd AS SELECT i AS id, 'Person ' || i AS name FROM generate_series(1, 12000) AS i;
-- The second batch meets an error of the database, not of the row.
CREATE FUNCTION refuse(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF cardinality(ids) = 2000 THEN
		RAISE 'the power is off';
	END IF;
END;
$$;
SELECT rapport.add_hook('person_changed', 'refuse(bigint[])');
CALL rapport.import_people('crowd', '{"external_id": "id", "display_name": "name"}');
SELECT added, done_to, finished_at FROM rapport.import_run WHERE source = 'public.crowd';
SELECT rapport.drop_hook('person_changed', 'public.refuse(bigint[])');
-- Rows that are done are not read again: this one would count as rejected.
UPDATE crowd SET name = '' WHERE id = 5;
CALL rapport.import_people('crowd', '{"external_id": "id", "display_name": "name"}');
SELECT done_to, finished_at FROM rapport.import_run WHERE source = 'public.crowd';
SELECT count(*) FROM rapport.profile WHERE display_name LIKE 'Person %';
-- Another mapping, or a finished run, starts from the front.
CALL rapport.import_people('crowd', '{"external_id": "id", "display_name": "name"}');

--
-- The source is read with the rights of the caller
--
CREATE ROLE regress_importer LOGIN IN ROLE rapport_service;
SET ROLE regress_importer;
CALL rapport.import_people('csv', '{"external_id": "id"}');
CALL rapport.import_people('rapport.credential', '{"external_id": "person_id", "display_name": "password_hash"}');
RESET ROLE;
GRANT SELECT ON csv TO regress_importer;
SET ROLE regress_importer;
CALL rapport.import_people('csv', '{"external_id": "id"}');
RESET ROLE;
SET ROLE rapport_user;
CALL rapport.import_people('csv', '{"external_id": "id"}');
RESET ROLE;

--
-- An import of half of all people builds the match index anew; one without the index does not miss it
--
SELECT pg_relation_filenode('rapport.candidate_key') AS before \gset
SELECT rapport.candidate_pack(ARRAY[9999, 0]);
SELECT pg_relation_filenode('rapport.candidate_key') <> :before AS built;
SELECT rapport.candidate_pack(ARRAY[10000, 0]);
SELECT pg_relation_filenode('rapport.candidate_key') <> :before AS built;
BEGIN;
DROP INDEX rapport.candidate_key;
SELECT rapport.candidate_pack(ARRAY[10000, 0]);
ROLLBACK;

DROP VIEW imported;
DROP TABLE users, csv, crowd;
DROP FUNCTION refuse;
DROP ROLE regress_importer;
DELETE FROM rapport.person;
DELETE FROM rapport.external_identity;
DELETE FROM rapport.activity;
DELETE FROM rapport.preference;
CALL rapport.refresh_people();
DELETE FROM rapport.profile;
DELETE FROM rapport.attribute_option;
DELETE FROM rapport.attribute;
DELETE FROM rapport.import_run;
DELETE FROM rapport.import_reject;
