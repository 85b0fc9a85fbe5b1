-- People who fit each other: who is a candidate, discover, like, pass, match.
\set ON_ERROR_ROLLBACK on
\set VERBOSITY terse
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL rapport.now = '2026-06-15 12:00:00Z';
SET LOCAL timezone = 'UTC';

-- An app's catalogue of its own, and nobody there yet.
DELETE FROM rapport.candidate;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
DELETE FROM rapport.attribute_label;
DELETE FROM rapport.attribute_option;
DELETE FROM rapport.attribute;
DO $$
BEGIN
	PERFORM rapport.define_attribute('gender', 'choice', ARRAY['woman', 'man', 'nonbinary']);
	PERFORM rapport.define_attribute('smoking', 'choice', ARRAY['never', 'sometimes', 'daily'], strength => 'one_way');
	PERFORM rapport.define_attribute('pets', 'choice', ARRAY['none', 'cat', 'dog'], strength => 'soft');
	PERFORM rapport.define_attribute('height', 'number', minimum => 100, maximum => 250);
END $$;

CREATE FUNCTION pg_temp.join_in(name text, born date, latitude float8, longitude float8, attributes jsonb, tags jsonb, wants jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	PERFORM rapport.act_as(id, true);
	PERFORM rapport.update_profile(jsonb_build_object('display_name', name, 'birth_date', born, 'attributes', attributes, 'tags', tags));
	PERFORM rapport.set_place(latitude, longitude);
	PERFORM rapport.set_preference('date', wants);
	PERFORM rapport.act_as(NULL);
	RETURN id;
END $$;

SELECT pg_temp.join_in('Ada', '1996-03-01', 52.52, 13.40, '{"gender": "woman", "smoking": "never", "height": 170}', '["tango", "chess", "films"]',
					   '{"accepts": {"gender": ["man"]}, "age": [25, 40], "max_distance_km": 50}') AS ada,
	   pg_temp.join_in('Ben', '1994-07-09', 52.50, 13.45, '{"gender": "man", "pets": "dog", "height": 182}', '["chess", "films", "bouldering"]',
					   '{"accepts": {"gender": ["woman", "nonbinary"], "pets": ["dog"]}, "age": [25, null]}') AS ben,
	   pg_temp.join_in('Cem', '1990-01-20', 52.39, 13.06, '{"gender": "man", "smoking": "daily"}', '["cooking"]',
					   '{"accepts": {"gender": ["woman"]}, "ranges": {"height": [160, 200]}}') AS cem,
	   pg_temp.join_in('Dan', '1985-11-30', 52.51, 13.38, '{"gender": "man"}', '[]',
					   '{"accepts": {"gender": ["woman"]}}') AS dan,
	   pg_temp.join_in('Eva', '1998-05-05', 48.14, 11.58, '{"gender": "woman", "pets": "dog", "height": 165}', '["chess"]',
					   '{"accepts": {"gender": ["man", "woman"]}}') AS eva \gset

-- Both must accept each other: Dan is older than Ada accepts, Eva is no man.
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name, age, distance_km, shared_tags, attributes FROM rapport.discover() ORDER BY 1;

-- The best come first, and why says why.
SELECT display_name, score, why FROM rapport.discover('date');

-- A one-way filter limits whom I see. It does not hide me.
SELECT rapport.set_preference('date', '{"accepts": {"smoking": ["never", null]}}') \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.discover();

-- A soft wish only scores.
SELECT rapport.act_as(:ben) \g /dev/null
SELECT display_name, why -> 'soft' AS soft FROM rapport.discover() ORDER BY 1;

-- A two-way range: Cem asks for a height, Eva no longer tells hers.
SELECT rapport.act_as(:eva) \g /dev/null
SELECT rapport.update_profile('{"attributes": {"height": null}}') \g /dev/null
SELECT display_name, distance_km FROM rapport.discover() ORDER BY 1;

-- Beyond a two-way filter of either side nobody is there, for both.
SELECT count(*) FROM rapport.person(:cem);
SELECT rapport.explain_match(:cem);
SELECT rapport.pass(:cem);
SELECT rapport.act_as(:cem) \g /dev/null
SELECT count(*) FROM rapport.person(:eva);
SELECT rapport.explain_match(:eva);
SELECT rapport.pass(:eva);

-- Every rule, both ways: a one-way filter hides, and says so.
SELECT rapport.act_as(:ada) \g /dev/null
SELECT jsonb_pretty(rapport.explain_match(:cem));
SELECT rapport.act_as(:eva) \g /dev/null

-- Pages: whoever does not change appears exactly once.
SELECT display_name AS first, cursor FROM rapport.discover('date', 1) \gset
SELECT display_name <> :'first' AS another, cursor FROM rapport.discover('date', 1, :'cursor') \gset
SELECT :'another' AS another;
SELECT count(*) FROM rapport.discover('date', 100, :'cursor');
-- A cursor belongs to one person and ends when the profile changes.
SELECT display_name FROM rapport.discover('date', 1, reverse(:'cursor'));
SELECT display_name FROM rapport.discover('date', 1, 'nonsense');
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.discover('date', 1, :'cursor');
SELECT display_name FROM rapport.discover('date', 0);
SELECT display_name FROM rapport.discover('date', 101);

-- Likes. One alone matches nobody; both do, once.
SELECT rapport.act_as(:ada) \g /dev/null
SELECT * FROM rapport."like"(:ben);
SELECT * FROM rapport."like"(:ben);
SELECT count(*) AS matches FROM rapport.matches();
-- Whoever was liked is not shown again.
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(:ben) \g /dev/null
SELECT display_name, age, distance_km, liked_at FROM rapport.likes_received();
SELECT matched, conversation_id IS NOT NULL AS can_talk FROM rapport."like"(:ada);
SELECT matched FROM rapport."like"(:ada);
SELECT count(*) FROM rapport.likes_received();
SELECT display_name, age, matched_at, in_mode FROM rapport.matches();
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name FROM rapport.matches('date', 1);
SELECT display_name FROM rapport.matches('friends');

-- What others see.
SELECT * FROM rapport.person(:ben);

-- Likes that must not be.
SELECT * FROM rapport."like"(:ada);
SELECT * FROM rapport."like"(1);
SELECT * FROM rapport."like"(NULL);
SELECT * FROM rapport."like"(:dan);
SELECT * FROM rapport."like"(:ben, 'friends');
SELECT * FROM rapport."like"(:ben, 'chess');
SELECT rapport.pass(:ada);
SELECT rapport.pass(1);
SELECT rapport.pass(:ben);

-- A pass takes a like back and is remembered.
SELECT matched FROM rapport."like"(:cem);
SELECT rapport.pass(:cem);
SELECT rapport.act_as(:cem) \g /dev/null
SELECT count(*) FROM rapport.likes_received();
SELECT matched FROM rapport."like"(:ada);
SELECT rapport.act_as(:ada) \g /dev/null
SELECT count(*) FROM rapport.discover();

-- With pass_days a pass ends.
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_setting('pass_days', '30') \g /dev/null
SELECT rapport.act_as(:eva) \g /dev/null
SELECT rapport.update_profile('{"attributes": {"height": 165}}') \g /dev/null
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.pass(:eva);
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2026-07-14 12:00:00Z';
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2026-07-15 12:00:00Z';
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.discover();

-- Blocked: gone from everywhere, for both, and back after.
SELECT rapport.act_as(:ben) \g /dev/null
SELECT rapport.block(:ada);
SELECT count(*) FROM rapport.matches();
SELECT * FROM rapport.person(:ada);
SELECT rapport.act_as(:ada) \g /dev/null
SELECT count(*) FROM rapport.matches();
SELECT * FROM rapport.person(:ben);
SELECT * FROM rapport."like"(:ben);
SELECT rapport.unmatch(:ben);
SELECT rapport.explain_match(:ben);
SELECT rapport.act_as(:ben) \g /dev/null
SELECT rapport.unblock(:ada);
SELECT display_name FROM rapport.matches();

-- An unmatch is for good.
SELECT rapport.unmatch(:ada);
SELECT rapport.unmatch(:ada);
SELECT rapport.unmatch(:ben);
SELECT count(*) FROM rapport.matches();
SELECT * FROM rapport."like"(:ada);
SELECT rapport.act_as(:ada) \g /dev/null
SELECT count(*) FROM rapport.matches();
SELECT * FROM rapport."like"(:ben);
SELECT rapport.pass(:ben);
-- Neither is there for the other, though they still fit; to somebody else both are.
SELECT count(*) FROM rapport.person(:ben);
SELECT rapport.explain_match(:ben);
SELECT rapport.act_as(:ben) \g /dev/null
SELECT count(*) FROM rapport.person(:ada);
SELECT rapport.explain_match(:ada);
SELECT display_name FROM rapport.person(:eva);

-- Candidates: complete, not paused, active, in a mode.
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(:eva) \g /dev/null
SELECT rapport.update_profile('{"paused": true}') \g /dev/null
SELECT count(*) AS paused_people_still_look FROM rapport.discover();
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT * FROM rapport.person(:eva);
SELECT rapport.act_as(:eva) \g /dev/null
SELECT rapport.update_profile('{"paused": false, "display_name": null}') \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.update_profile('{"display_name": "Eva"}') \g /dev/null
SELECT rapport.set_preference('date', '{"enabled": false}') \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT display_name FROM rapport.discover('date');
SELECT rapport.set_preference('friends', '{"max_distance_km": 1000}') \g /dev/null
SELECT count(*) FROM rapport.discover();
SELECT rapport.set_preference('date', '{"enabled": true}') \g /dev/null
SELECT rapport.act_as(NULL) \g /dev/null
SELECT m.code, count(*) FROM rapport.candidate AS c JOIN rapport.mode AS m USING (mode) GROUP BY 1 ORDER BY 1;
UPDATE rapport.person SET state = 'suspended' WHERE person_id = :eva;
SELECT rapport.run_hooks('person_changed', ARRAY[:eva]) \g /dev/null
SELECT count(*) FROM rapport.candidate WHERE person_id = :eva;

-- With active_within_days those who stay away are not shown until they do something.
SELECT rapport.set_setting('active_within_days', '20') \g /dev/null
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(:ada) \g /dev/null
SELECT rapport.pass(:cem);
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null

-- Ages follow the calendar although nobody writes: Ada turns 41.
UPDATE rapport.preference SET age_max = 40 WHERE person_id = :dan;
UPDATE rapport.preference SET age_max = NULL WHERE person_id = :ada;
SELECT rapport.run_hooks('person_changed', ARRAY[:ada, :dan]) \g /dev/null
SELECT rapport.set_setting('active_within_days', NULL) \g /dev/null
SET LOCAL rapport.now = '2037-02-28 23:59:59Z';
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name, age FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2037-03-01 00:00:00Z';
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name, age FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null

-- Erasing a person leaves nothing of their likes and matches.
SELECT rapport.erase_person_for(:ada) \g /dev/null
SELECT (SELECT count(*) FROM rapport.candidate WHERE person_id = :ada) AS candidate,
	   (SELECT count(*) FROM rapport.swipe WHERE person_id = :ada) AS swipe,
	   (SELECT count(*) FROM rapport.like_received WHERE :ada IN (person_id, other_id)) AS like_received,
	   (SELECT count(*) FROM rapport.pair WHERE :ada IN (lo, hi)) AS pair;

-- Nobody in particular.
SELECT rapport.discover();
SET LOCAL ROLE rapport_user;
SELECT rapport.discover();
SELECT rapport.likes_received();
SELECT * FROM rapport.candidate;
SELECT rapport.seal('a', 'b');
RESET ROLE;

-- A sealed text is opened by its scope alone.
SELECT rapport.unseal('scope', rapport.seal('scope', 'text')) AS same,
	   rapport.unseal('scop', rapport.seal('scope', 'etext')) AS other,
	   rapport.unseal('scope', rapport.seal('scope', '')) = '' AS nothing,
	   rapport.unseal('scope', rapport.seal('scope', repeat('é', 500))) = repeat('é', 500) AS long,
	   rapport.unseal('scope', '') AS empty,
	   rapport.unseal('scope', repeat('A', 3000)) AS huge;
-- And with any character changed not at all.
SELECT count(*) > 50 AS characters, count(rapport.unseal('scope', overlay(sealed PLACING CASE substr(sealed, i, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM i FOR 1))) AS opened
FROM rapport.seal('scope', repeat('text', 10)) AS sealed
CROSS JOIN generate_series(1, length(sealed)) AS i;

-- Who may discover is who lacks nothing by missing_steps(), whatever is required: the way through C and the way through SQL agree.
CREATE FUNCTION pg_temp.may_discover(person bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	PERFORM rapport.act_as(person, true);
	PERFORM FROM rapport.discover('date');
	PERFORM set_config('role', 'none', true);
	RETURN true;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME;
	IF code <> 'profile_incomplete' THEN
		RAISE;
	END IF;
	RETURN false;
END $$;
DO $$
DECLARE
	tried text;
	lacking bigint := rapport.new_person();
	whole bigint := rapport.new_person();
	differ integer := 0;
	counted integer[] := '{0,0}';
	p rapport.profile;
	complete boolean;
BEGIN
	INSERT INTO rapport.profile (person_id, created_at, updated_at) VALUES (lacking, rapport.now(), rapport.now());
	INSERT INTO rapport.profile (person_id, display_name, birth_date, about, place, traits, numbers, tags, embedding, created_at, updated_at)
	VALUES (whole, 'Whole', '1990-01-01', 'All of it', rapport.make_place(10, 10), '{1,1,1}', '{1}', '{chess}', array_fill(0.1::real, ARRAY[32]), rapport.now(), rapport.now());
	INSERT INTO rapport.preference (person_id, mode, updated_at) VALUES (lacking, 1, rapport.now()), (whole, 1, rapport.now());
	PERFORM rapport.require_step(d.step, false) FROM rapport.step_default AS d;
	FOR tried IN SELECT d.step FROM rapport.step_default AS d UNION ALL SELECT 'attribute:' || a.code FROM rapport.attribute AS a
	LOOP
		PERFORM rapport.require_step(tried, true);
		FOR p IN SELECT x.* FROM rapport.profile AS x WHERE x.person_id IN (lacking, whole)
		LOOP
			complete := NOT EXISTS (SELECT FROM rapport.missing_steps(p));
			counted[1 + complete::integer] := counted[1 + complete::integer] + 1;
			CONTINUE WHEN pg_temp.may_discover(p.person_id) = complete;
			differ := differ + 1;
			RAISE WARNING '%: % is % by missing_steps()', tried, p.display_name, CASE WHEN complete THEN 'complete' ELSE 'incomplete' END;
		END LOOP;
		PERFORM rapport.require_step(tried, false);
	END LOOP;
	RAISE WARNING '% differ, % incomplete and % complete', differ, counted[1], counted[2];
	PERFORM rapport.act_as(NULL);
	PERFORM rapport.require_step(r.step, NULL) FROM rapport.required_step AS r;
	DELETE FROM rapport.preference WHERE person_id IN (lacking, whole);
	DELETE FROM rapport.profile WHERE person_id IN (lacking, whole);
END $$;

-- A refresh looks everybody up by key, though its plans were made when there were few and the statistics still say so.
ANALYZE rapport.person, rapport.profile, rapport.preference, rapport.activity, rapport.candidate;
SELECT rapport.candidate_refresh(ARRAY(SELECT min(p.person_id) FROM rapport.profile AS p)) FROM generate_series(1, 10) \g /dev/null
CREATE TEMP TABLE crowd AS SELECT rapport.new_id() AS person_id FROM generate_series(1, 2000);
INSERT INTO rapport.person (person_id, created_at) SELECT c.person_id, rapport.now() FROM crowd AS c;
INSERT INTO rapport.activity (person_id, active_on) SELECT c.person_id, rapport.today() FROM crowd AS c;
INSERT INTO rapport.preference (person_id, mode, updated_at) SELECT c.person_id, 1, rapport.now() FROM crowd AS c;
INSERT INTO rapport.profile (person_id, display_name, birth_date, place, created_at, updated_at)
SELECT c.person_id, 'One of many', '2000-01-01', rapport.make_place(10, 10), rapport.now(), rapport.now() FROM crowd AS c;
CREATE FUNCTION pg_temp.reads(OUT scanned bigint, OUT fetched bigint) LANGUAGE sql AS $$
	SELECT sum(t.seq_tup_read), sum(t.idx_tup_fetch)
	FROM pg_stat_xact_all_tables AS t
	WHERE t.schemaname = 'rapport' AND t.relname IN ('person', 'profile', 'preference', 'activity', 'candidate_1')
$$;
SELECT scanned, fetched FROM pg_temp.reads() \gset
SELECT rapport.candidate_refresh(array_agg(c.person_id)) FROM crowd AS c \g /dev/null
SELECT rapport.candidate_refresh(array_agg(c.person_id)) FROM crowd AS c \g /dev/null
SELECT r.scanned - :scanned AS scanned, (r.fetched - :fetched) / 4000 AS "fetched for each" FROM pg_temp.reads() AS r;
SELECT count(*) FROM rapport.candidate JOIN crowd USING (person_id);
ROLLBACK;
