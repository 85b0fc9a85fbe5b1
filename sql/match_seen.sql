-- Swipes: super likes, maybe, rewind and quotas; and the seen set, which is
-- always the set of swipes made, wherever they are stored.
\set ON_ERROR_ROLLBACK on
\set VERBOSITY terse
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL rapport.now = '2026-06-15 12:00:00Z';
SET LOCAL timezone = 'UTC';

CREATE FUNCTION pg_temp.join_in(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	PERFORM rapport.act_as(id, true);
	PERFORM rapport.update_profile(jsonb_build_object('display_name', name, 'birth_date', '1990-01-01'));
	PERFORM rapport.set_place(52.5, 13.4);
	PERFORM rapport.set_preference('date', '{}');
	PERFORM rapport.act_as(NULL);
	RETURN id;
END $$;
DELETE FROM rapport.candidate;
SELECT pg_temp.join_in('Ada') AS ada, pg_temp.join_in('Ben') AS ben, pg_temp.join_in('Cem') AS cem, pg_temp.join_in('Dan') AS dan \gset

-- Who likes somebody: all of a few, of many the thousand last.
CREATE FUNCTION pg_temp.liked_by(person bigint, n integer, OUT people bigint, OUT first bigint) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM rapport.like_received AS l WHERE l.person_id = person;
	INSERT INTO rapport.like_received (person_id, other_id, mode, at)
	SELECT person, 10000 - i, m, '2026-01-01'::timestamptz - i * interval '1 second' FROM generate_series(1, n) AS i, generate_series(1, 2) AS m;
	SELECT count(*), min(id::bigint) INTO people, first
	FROM string_to_table(substring(rapport.match_query_for(person, 1::smallint, rapport.match_side(person, 1::smallint, 2), '2026-01-02', NULL,
														   weights => '{"boost": 1}')::text FROM ';liked=([0-9,]*)'), ',') AS id;
END $$;
SAVEPOINT likes;
SELECT n, l.* FROM unnest(ARRAY[0, 1, 64, 65, 999, 1001]) AS n, pg_temp.liked_by(:ada, n) AS l ORDER BY n;
ROLLBACK TO likes;

-- Rewind takes the last swipe back, then the one before: they are shown again.
SELECT rapport.act_as(:ada) \g /dev/null
SELECT * FROM rapport.rewind();
SELECT rapport.pass(:ben);
SELECT matched FROM rapport."like"(:cem);
SELECT rapport.maybe(:dan);
SELECT count(*) AS shown FROM rapport.discover();
SELECT person_id = :dan AS dan, action FROM rapport.rewind();
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name, super_like FROM rapport.likes_received();
SELECT rapport.act_as(:ada) \g /dev/null
SELECT person_id = :cem AS cem, action FROM rapport.rewind('date');
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name FROM rapport.likes_received();
SELECT rapport.act_as(NULL) \g /dev/null
SELECT count(*) AS pairs FROM rapport.pair WHERE :cem IN (lo, hi);
SELECT rapport.act_as(:ada) \g /dev/null
SELECT person_id = :ben AS ben, action FROM rapport.rewind();
SELECT * FROM rapport.rewind();
SELECT display_name FROM rapport.discover() ORDER BY 1;

-- A like that has made a match stays; so does one of a match that ended.
SELECT matched FROM rapport."like"(:ben);
SELECT rapport.act_as(:ben) \g /dev/null
SELECT matched FROM rapport."like"(:ada);
SELECT * FROM rapport.rewind();
SELECT rapport.act_as(:ada) \g /dev/null
SELECT * FROM rapport.rewind();
SELECT rapport.unmatch(:ben);
SELECT * FROM rapport.rewind();
SELECT * FROM rapport.rewind('friends');
SELECT * FROM rapport.rewind('chess');

-- A super like is seen to be one. It is made of a like, and not undone by one.
SELECT matched FROM rapport."like"(:cem);
SELECT matched FROM rapport.super_like(:cem);
SELECT matched FROM rapport."like"(:cem);
SELECT * FROM rapport.super_like(:ada);
SELECT rapport.act_as(:cem) \g /dev/null
SELECT display_name, super_like FROM rapport.likes_received();
SELECT matched FROM rapport.super_like(:ada);

-- Quotas: a day's likes, of both kinds, and again the next day. Only new ones count.
SELECT * FROM rapport.quotas();
SELECT rapport.act_as(NULL) \g /dev/null
SELECT lo_action || ' ' || hi_action AS actions FROM rapport.pair WHERE lo = least(:ada, :cem) AND hi = greatest(:ada, :cem);
SELECT rapport.set_setting('likes_per_day', '2'), rapport.set_setting('super_likes_per_day', '1') \g /dev/null
SELECT rapport.act_as(:dan) \g /dev/null
SELECT matched FROM rapport."like"(:ada);
SELECT matched FROM rapport."like"(:ada);
SELECT * FROM rapport.quotas('date');
SELECT matched FROM rapport.super_like(:ben);
SELECT matched FROM rapport.super_like(:cem);
SELECT matched FROM rapport."like"(:cem);
SELECT person_id = :cem AS cem, action FROM rapport.rewind();
SELECT matched FROM rapport."like"(:cem);
SELECT * FROM rapport.quotas();
-- A refusal leaves nothing.
SELECT rapport.pass(:cem);
SELECT rapport.act_as(NULL) \g /dev/null
SELECT count(*) FROM rapport.pair WHERE :dan IN (lo, hi);
SET LOCAL rapport.now = '2026-06-16 00:00:00Z';
SELECT rapport.act_as(:dan) \g /dev/null
SELECT * FROM rapport.quotas();
SELECT matched FROM rapport.super_like(:cem);
SELECT rapport.quotas('friends');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_setting('likes_per_day', NULL), rapport.set_setting('super_likes_per_day', NULL) \g /dev/null

-- Whoever was put off is shown again after maybe_days, whoever was passed after pass_days.
SELECT rapport.act_as(:ben) \g /dev/null
SELECT rapport.maybe(:cem);
SELECT rapport.pass(:dan);
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2026-06-22 23:59:59Z';
SELECT rapport.act_as(:ben) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2026-06-23 00:00:00Z';
SELECT rapport.act_as(:ben) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.explain_match(:dan) -> 'unseen' AS dan, rapport.explain_match(:cem) -> 'unseen' AS cem;
SELECT rapport.act_as(NULL) \g /dev/null

-- The same after folding, and from there too a swipe comes back.
SELECT rapport.seen_fold(:ben, 1::smallint, 0) AS rows, count(*) AS buckets FROM rapport.seen WHERE person_id = :ben;
SELECT count(*) AS entries FROM rapport.seen AS s, rapport.seen_unpack(s.data) WHERE s.person_id = :ben;
SELECT rapport.act_as(:ben) \g /dev/null
SELECT display_name FROM rapport.discover();
SELECT rapport.explain_match(:dan) -> 'unseen' AS dan, rapport.explain_match(:cem) -> 'unseen' AS cem;
SELECT * FROM rapport.rewind();
SELECT rapport.pass(:dan);
SELECT person_id = :dan AS dan, action FROM rapport.rewind();
SELECT display_name FROM rapport.discover() ORDER BY 1;
SELECT rapport.act_as(NULL) \g /dev/null
SELECT count(*) AS entries FROM rapport.seen AS s, rapport.seen_unpack(s.data) WHERE s.person_id = :ben;

-- Random swipes, folds, rewinds and days, against a plain table of what must
-- hold after each: in seen_by(), and in a query for everyone, seen or not.
SELECT rapport.set_setting('pass_days', '20') \g /dev/null
CREATE TEMP TABLE model (other_id bigint PRIMARY KEY, action text, expires date, n integer);
CREATE TEMP TABLE result (round integer, operation text, seen integer, differ integer, queried integer);
CREATE FUNCTION pg_temp.differences(person bigint, OUT seen integer, OUT differ integer, OUT queried integer)
LANGUAGE plpgsql AS $$
DECLARE
	query rapport.match_query := rapport.match_query_see(rapport.match_query(rapport.match_key(0, 0, 0), rapport.today()), person, 1::smallint);
BEGIN
	-- A query comes back from its text with its packed set.
	IF query::text::rapport.match_query::text <> query::text THEN
		RAISE 'another query came back';
	END IF;
	query := query::text::rapport.match_query;
	SELECT count(m.other_id), count(*) FILTER (WHERE (m.other_id IS NULL) <> (s.id IS NULL))
	INTO seen, differ
	FROM (SELECT * FROM model WHERE expires IS NULL OR expires > rapport.today()) AS m
	FULL JOIN unnest(rapport.seen_by(person, 1::smallint)) AS s (id) ON s.id = m.other_id;
	SELECT count(*) INTO queried
	FROM generate_series(1, 1500) AS i
	LEFT JOIN model AS m ON m.other_id = i
	WHERE rapport.match_accepts(rapport.match_key(i, 0, 0), query) <> coalesce(m.expires <= rapport.today(), m.other_id IS NULL);
END $$;
SELECT setseed(.25);
DO $$
DECLARE
	eva bigint := pg_temp.join_in('Eva');
	last integer := 0;
	operation text;
	took record;
	want record;
BEGIN
	FOR round IN 1 .. 400 LOOP
		operation := (ARRAY['swipe', 'swipe', 'swipe', 'rewind', 'fold', 'fold', 'day', 'swipe'])[1 + floor(random() * 8)];
		CASE operation
		WHEN 'swipe' THEN
			FOR i IN 1 .. 1 + floor(random() * 30)::integer LOOP
				last := last + 1;
				INSERT INTO model AS m
				SELECT s.other_id, s.action, CASE s.action WHEN 'pass' THEN rapport.today() + 20 WHEN 'maybe' THEN rapport.today() + 7 END, last
				FROM (SELECT 1 + floor(random() * 1400)::integer AS other_id, (ARRAY['like', 'pass', 'maybe'])[1 + floor(random() * 3)] AS action) AS s
				ON CONFLICT (other_id) DO UPDATE SET action = excluded.action, expires = excluded.expires, n = excluded.n
				RETURNING * INTO want;
				PERFORM rapport.remember_swipe(eva, want.other_id, 1::smallint, want.action);
			END LOOP;
		WHEN 'rewind' THEN
			-- The last, unless it is a like: of those here there are no people.
			SELECT * INTO want FROM model WHERE n = (SELECT max(n) FROM model);
			IF want.action IN ('pass', 'maybe') AND EXISTS (SELECT FROM rapport.swipe AS w WHERE w.person_id = eva) THEN
				PERFORM rapport.act_as(eva, true);
				SELECT * INTO took FROM rapport.rewind();
				PERFORM rapport.act_as(NULL);
				IF took.person_id <> want.other_id OR took.action <> want.action THEN
					RAISE 'another swipe was taken back';
				END IF;
				DELETE FROM model WHERE other_id = want.other_id;
			ELSE
				operation := 'like stays';
			END IF;
		WHEN 'fold' THEN
			PERFORM rapport.seen_fold(eva, 1::smallint, floor(random() * 60)::integer);
		WHEN 'day' THEN
			PERFORM set_config('rapport.now', (rapport.now() + random() * interval '3 days')::text, true);
		END CASE;
		INSERT INTO result SELECT round, operation, d.* FROM pg_temp.differences(eva) AS d;
	END LOOP;
	PERFORM set_config('eva.id', eva::text, true);
END $$;
SELECT operation, count(*) > 5 AS tried, max(seen) > 500 AS many, sum(differ) AS differ, sum(queried) AS queried
FROM result
GROUP BY 1
ORDER BY 1;
-- Nobody stands twice: whoever is folded has left the rows.
SELECT count(*) = count(DISTINCT s.other_id) AS once
FROM (SELECT u.other_id FROM rapport.seen AS w, rapport.seen_unpack(w.data) AS u WHERE w.person_id = current_setting('eva.id')::bigint
	  UNION ALL
	  SELECT w.other_id FROM rapport.swipe AS w WHERE w.person_id = current_setting('eva.id')::bigint) AS s;
-- The comparison sees an entry too many and one too few.
DELETE FROM model WHERE other_id = (SELECT min(other_id) FROM model WHERE expires IS NULL);
SELECT seen > 0 AS some, differ, queried FROM pg_temp.differences(current_setting('eva.id')::bigint);
INSERT INTO model VALUES (1500, 'like');
SELECT seen > 0 AS some, differ, queried FROM pg_temp.differences(current_setting('eva.id')::bigint);

-- Of many swipes few stay rows; a fold never takes the last, and drops what has expired.
SET LOCAL rapport.now = '2031-01-01 12:00:00Z';
DO $$
DECLARE
	eva bigint := current_setting('eva.id');
BEGIN
	FOR i IN 10001 .. 11000 LOOP
		PERFORM rapport.remember_swipe(eva, i, 1::smallint, 'pass');
	END LOOP;
END $$;
SELECT (SELECT count(*) FROM rapport.swipe AS w WHERE w.person_id = s.person_id) BETWEEN 16 AND s.tail AS counted, s.tail BETWEEN 16 AND 80 AS few,
	   s.folded BETWEEN 2000 AND 10000 AS folded
FROM rapport.swiper AS s
WHERE s.person_id = current_setting('eva.id')::bigint;
SELECT count(*) > 1000 AS seen, count(*) FILTER (WHERE u.expires < rapport.today()) AS expired
FROM rapport.seen AS s, rapport.seen_unpack(s.data) AS u
WHERE s.person_id = current_setting('eva.id')::bigint;
SELECT rapport.act_as(current_setting('eva.id')::bigint) \g /dev/null
SELECT * FROM rapport.rewind();
SELECT rapport.act_as(NULL) \g /dev/null
SELECT count(*) AS buckets FROM rapport.seen WHERE person_id = current_setting('eva.id')::bigint;

-- An export tells whom one has seen, and erasing leaves none of it.
SELECT rapport.act_as(current_setting('eva.id')::bigint) \g /dev/null
SELECT count(*) > 1000 AS seen, bool_and(s ? 'expires') AS dated
FROM jsonb_array_elements(rapport.export_my_data() -> 'data' -> 'seen') AS b, jsonb_array_elements(b -> 'data') AS s;
SELECT rapport.act_as(NULL) \g /dev/null
-- Likes that are folded are found by the one who liked.
SELECT rapport.act_as(:dan) \g /dev/null
SELECT matched FROM rapport."like"(:ben);
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.seen_fold(:dan, 1::smallint, 0);
SELECT rapport.erase_person_for(:dan), rapport.erase_person_for(current_setting('eva.id')::bigint) \g /dev/null
SELECT (SELECT count(*) FROM rapport.seen WHERE person_id IN (:dan, current_setting('eva.id')::bigint)) AS seen,
	   (SELECT count(*) FROM rapport.swipe WHERE person_id IN (:dan, current_setting('eva.id')::bigint)) AS swipe,
	   (SELECT count(*) FROM rapport.swiper WHERE person_id IN (:dan, current_setting('eva.id')::bigint)) AS swiper,
	   (SELECT count(*) FROM rapport.like_received WHERE other_id = :dan) AS like_received,
	   (SELECT count(*) FROM rapport.pair WHERE :dan IN (lo, hi)) AS pair;

-- Packed sets that are none are refused.
CREATE TEMP TABLE packed AS
SELECT rapport.match_query(rapport.match_key(0, 0, 0), '2026-01-01')::text AS query, repeat(',', 63) AS nothing,
	   '0000000000' || '010000000000' || '020000000000' AS two;
SELECT rapport.match_accepts(rapport.match_key(1, 0, 0), (query || ';packed=' || two || nothing)::rapport.match_query) FROM packed;
SELECT (query || ';packed=' || nothing)::rapport.match_query FROM packed;
SELECT (query || ';packed=')::rapport.match_query FROM packed;
SELECT (query || ';packed=' || two)::rapport.match_query FROM packed;
SELECT (query || ';packed=' || two || nothing || ',')::rapport.match_query FROM packed;
SELECT (query || ';packed=' || left(two, -1) || nothing)::rapport.match_query FROM packed;
SELECT (query || ';packed=' || left(two, -2) || nothing)::rapport.match_query FROM packed;
SELECT (query || ';packed=0' || two || nothing)::rapport.match_query FROM packed;
SELECT (query || ';packed=,' || two || left(nothing, -1))::rapport.match_query FROM packed;
SELECT (query || ';packed=0000000000' || right(two, 12) || '010000000000' || nothing)::rapport.match_query FROM packed;
SELECT (query || ';packed=' || two || nothing || ';packed=' || two || nothing)::rapport.match_query FROM packed;
SELECT rapport.seen_unpack('');
SELECT rapport.seen_unpack('\xff00000000');
SELECT * FROM rapport.seen_unpack('\x0000000000010000000000');
UPDATE rapport.seen SET data = '\x00';
INSERT INTO rapport.seen VALUES (:ada, 1, 5, '\x0000000000010000000000');
SELECT rapport.act_as(:ada) \g /dev/null
SELECT count(*) FROM rapport.discover();
ROLLBACK;
