-- Scores: the functions for any caller, scoring profiles, weights of tags, who
-- likes me, what was learnt.
\set ON_ERROR_ROLLBACK on
\set VERBOSITY default
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL rapport.now = '2026-06-15 12:00:00Z';
SET LOCAL timezone = 'UTC';

-- Elasticsearch's decays: 1 up to the offset, decay at offset + scale, and its formulas between and beyond.
SELECT v, round(rapport.decay_gauss(v, 10, 4, 1, .3)::numeric, 9) AS gauss, round(rapport.decay_exp(v, 10, 4, 1, .3)::numeric, 9) AS exp,
	   round(rapport.decay_linear(v, 10, 4, 1, .3)::numeric, 9) AS linear
FROM unnest('{10,11,13,5,15,16,100,-Infinity}'::double precision[]) AS v;
WITH given AS (
	SELECT v, greatest(0, abs(v - 3) - o) AS d, s, o, p
	FROM generate_series(-20, 20, .7) AS v, unnest('{.1,2,30}'::double precision[]) AS s, unnest('{0,1.5}'::double precision[]) AS o,
		unnest('{.001,.5,.99}'::double precision[]) AS p
)
SELECT count(*) AS values,
	   count(*) FILTER (WHERE abs(rapport.decay_gauss(v, 3, s, o, p) - exp(-least(700, d ^ 2 / (2 * (-(s ^ 2) / (2 * ln(p))))))) > 1e-13) AS gauss,
	   count(*) FILTER (WHERE abs(rapport.decay_exp(v, 3, s, o, p) - exp(greatest(-700, ln(p) / s * d))) > 1e-13) AS exp,
	   count(*) FILTER (WHERE abs(rapport.decay_linear(v, 3, s, o, p) - greatest((s / (1 - p) - d) / (s / (1 - p)), 0)) > 1e-13) AS linear
FROM given;
SELECT rapport.decay_gauss(1, 0, 1) AS half, rapport.decay_exp(NULL, 0, 1) AS unknown, rapport.decay_linear(1e300, -1e300, 1e-300) AS far;
SELECT rapport.decay_gauss(1, 0, 0);
SELECT rapport.decay_exp(1, 0, 1, -1);
SELECT rapport.decay_linear(1, 0, 1, 0, 1);
SELECT rapport.decay_linear('NaN', 0, 1);
SELECT rapport.decay_linear(1, 'Infinity', 1);

-- A score is 1 - cost without the tie, in any order; the percentage is the same from both sides.
CREATE TEMP TABLE pair AS
SELECT rapport.match_key(1, 52.5, 13.4, '1990-01-01', tags => '{chess,jazz}', price => 0.2) AS a,
	   rapport.match_key(2, 52.6, 13.4, '1995-01-01', tags => '{jazz}', price => 1) AS b;
CREATE TEMP TABLE asked AS
SELECT a, b, rapport.match_query(a, '2026-06-15', weights => '{"price": 0.1}') AS of_a, rapport.match_query(b, '2026-06-15', weights => '{"price": 0.1}') AS of_b,
	   rapport.match_query(a, '2026-06-15', weights => '{"price": 0.1}', sort => 'nearest', bucket_km => '{1,2,5}') AS nearest,
	   rapport.match_query(a, '2026-06-15', weights => '{"price": 1, "boost": 1}', liked => '{2}') AS liked
FROM pair;
SELECT round((1 - (b OPERATOR(rapport.<->) of_a) - rapport.match_score(b, of_a))::numeric, 8) AS tie,
	   rapport.match_score(b, nearest) = rapport.match_score(b, of_a) AS any_order,
	   round((rapport.match_score(b, liked) - rapport.match_score(b, of_a))::numeric, 6) AS with_boost,
	   round(rapport.match_percentage(of_a, of_b)::numeric, 6) AS percentage,
	   rapport.match_percentage(of_a, of_b) = rapport.match_percentage(of_b, of_a) AS same,
	   round(100 * sqrt(rapport.match_score(b, of_a) * rapport.match_score(a, of_b))::numeric, 6) AS formula
FROM asked;

-- Distances leave in steps, by one setting.
SELECT array_agg(rapport.distance_bucket(m) ORDER BY m) FROM unnest(ARRAY[0, 1999.9, 2000, 2000.1, 70e3, 1e6, 1e6 + 1, 2e7]) AS m;
SELECT rapport.set_setting('distance_buckets', '{1, 3,30}') \g /dev/null
SELECT rapport.setting_text('distance_buckets') AS setting, array_agg(rapport.distance_bucket(m) ORDER BY m) FROM unnest(ARRAY[0, 1001, 30e3, 30001]) AS m;
SELECT rapport.set_setting('distance_buckets', '{2,1}');
SELECT rapport.set_setting('distance_buckets', '{1,1}');
SELECT rapport.set_setting('distance_buckets', '{0}');
SELECT rapport.set_setting('distance_buckets', '{1,NULL}');
SELECT rapport.set_setting('distance_buckets', '{}');
SELECT rapport.set_setting('distance_buckets', '{1,2,3,4,5,6,7,8,9,10,11,12,13}');
SELECT rapport.set_setting('distance_buckets', '2');
SELECT rapport.distance_bucket(5, '{1,NULL}');
SELECT rapport.set_setting('distance_buckets', NULL) \g /dev/null

-- Scoring profiles: those built in, one of one's own, one in the place of one built in.
SELECT * FROM rapport.scoring_profiles();
SELECT rapport.set_scoring_profile('ours', '{"distance": 1, "age": 0}') \g /dev/null
SELECT rapport.set_scoring_profile('nearby', '{"scale_km": 1}') \g /dev/null
SELECT rapport.set_mode_scoring('friends', 'ours') \g /dev/null
SELECT * FROM rapport.scoring_profiles() WHERE name IN ('ours', 'nearby', 'default');
SELECT rapport.scoring_weights(1::smallint) AS date, rapport.scoring_weights(2::smallint) AS friends, rapport.scoring_weights(2::smallint, 'nearby') AS asked;
SELECT rapport.scoring_weights(1::smallint, 'ours');
SELECT rapport.set_scoring_profile('ours', '{"distance": 2}', true) \g /dev/null
SELECT rapport.scoring_weights(1::smallint, 'ours');
SELECT rapport.drop_scoring_profile('ours');
SELECT rapport.set_mode_scoring('friends') \g /dev/null
SELECT rapport.drop_scoring_profile('ours') \g /dev/null
SELECT rapport.drop_scoring_profile('nearby') \g /dev/null
SELECT rapport.drop_scoring_profile('nearby');
SELECT rapport.scoring_weights(1::smallint, 'nearby');
SELECT rapport.set_mode_scoring('friends', 'ours');
SELECT rapport.set_mode_scoring('chess', 'default');

-- What is wrong is said when it is written.
SELECT rapport.set_scoring_profile('bad', '{"distence": 1}');
SELECT rapport.set_scoring_profile('bad', '{"distance": "NaN"}');
SELECT rapport.set_scoring_profile('bad', '{"distance": -1}');
SELECT rapport.set_scoring_profile('bad', '{"age": 1e300}');
SELECT rapport.set_scoring_profile('bad', '{"scale_km": 0}');
SELECT rapport.set_scoring_profile('bad', '{"diversity": 0.26}');
SELECT rapport.set_scoring_profile('bad', '{"boost": 1.1}');
SELECT rapport.set_scoring_profile('bad', '{"family": "reciprocol"}');
SELECT rapport.set_scoring_profile('bad', '{"decay": 1}');
SELECT rapport.set_scoring_profile('bad', '[]');
SELECT rapport.set_scoring_profile('bad', NULL);
SELECT rapport.set_scoring_profile('Bad', '{}');
SELECT count(*) FROM rapport.scoring_profile WHERE name = 'bad';

-- Admins may, others may not.
SELECT rapport.new_person() AS admin, rapport.new_person() AS user \gset
UPDATE rapport.person SET role = 'admin' WHERE person_id = :admin;
SELECT rapport.act_as(:admin) \g /dev/null
SELECT rapport.set_scoring_profile('ours', '{"quality": 1}') \g /dev/null
SELECT count(*) FROM rapport.scoring_profiles();
SELECT rapport.drop_scoring_profile('ours') \g /dev/null
SELECT rapport.act_as(:user) \g /dev/null
SELECT rapport.set_scoring_profile('ours', '{"quality": 1}');
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL ROLE rapport_admin;
SELECT rapport.set_scoring_profile('ours', '{"quality": 1}');
SET LOCAL ROLE rapport_service;
SELECT rapport.set_scoring_profile('ours', '{"quality": 1}') \g /dev/null
SELECT rapport.drop_scoring_profile('ours') \g /dev/null
RESET ROLE;

-- People: all the same, but for what is shown.
DELETE FROM rapport.candidate;
DELETE FROM rapport.preference;
DELETE FROM rapport.profile;
CREATE FUNCTION pg_temp.join_in(name text, tags jsonb, joined date) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	id bigint := rapport.new_person();
BEGIN
	PERFORM rapport.act_as(id, true);
	PERFORM rapport.update_profile(jsonb_build_object('display_name', name, 'birth_date', '1990-01-01', 'tags', tags));
	PERFORM rapport.set_place(52.52, 13.40);
	PERFORM rapport.set_preference('date', '{}');
	PERFORM rapport.act_as(NULL);
	UPDATE rapport.profile SET created_at = joined WHERE person_id = id;
	PERFORM rapport.run_hooks('person_changed', ARRAY[id]);
	RETURN id;
END $$;
SELECT pg_temp.join_in('Ada', '["films", "fencing"]', '2026-01-01') AS ada, pg_temp.join_in('Ben', '["films"]', '2026-01-01') AS ben,
	   pg_temp.join_in('Cem', '["fencing"]', '2026-01-01') AS cem, pg_temp.join_in('Dan', '["cooking"]', '2026-06-14') AS dan \gset
SELECT pg_temp.join_in('P' || i, '["films"]', '2026-01-01') FROM generate_series(1, 6) AS i \g /dev/null

-- A rare tag weighs more than a common one, once they are counted; batches count what one pass does.
SELECT weights AS before FROM rapport.tag_weights('{films,fencing,nobody}');
SELECT array_agg(rapport.count_tags(4)) AS done FROM generate_series(1, 3);
SELECT people, counting, done_to FROM rapport.tag_round;
SELECT people, counting FROM rapport.tag_count;
SELECT weights, ARRAY[round(1 + ln(11 / 9.0), 1), round(1 + ln(11.0), 1), round(1 + ln(11.0), 1)] AS formula FROM rapport.tag_weights('{films,fencing,nobody}');
SELECT rapport.count_tags(0);
SELECT rapport.count_tags();
SELECT people, counting FROM rapport.tag_count;
SELECT rapport.set_scoring_profile('default', '{"tags": 1, "distance": 0, "age": 0, "recency": 0, "quality": 0}') \g /dev/null
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name, score FROM rapport.discover() WHERE display_name IN ('Ben', 'Cem', 'Dan');

-- New ones are lifted for some days, and fall back day by day.
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_scoring_profile('default', '{"newcomer": 1, "tags": 0, "distance": 0, "age": 0, "recency": 0, "quality": 0, "newcomer_days": 10}') \g /dev/null
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name, score FROM rapport.discover(page_size => 1);
SELECT rapport.act_as(NULL) \g /dev/null
SET LOCAL rapport.now = '2026-06-20 12:00:00Z';
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name, score FROM rapport.discover(page_size => 1);

-- Who likes me comes earlier by the boost. The score stays within 0 to 1.
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_scoring_profile('default', '{"boost": 0.3, "recency": 0}') \g /dev/null
SELECT rapport.act_as(:ada) \g /dev/null
SELECT score AS plain FROM rapport.discover() WHERE display_name = 'Dan' \gset
SELECT rapport.act_as(:dan) \g /dev/null
SELECT matched FROM rapport."like"(:ada);
SELECT rapport.act_as(:ada) \g /dev/null
SELECT display_name, abs(score - least(1, :plain + 0.3)) < 0.001 AS boosted FROM rapport.discover(page_size => 1);

-- What changes by the day moves a score by no more than its share.
SELECT rapport.act_as(NULL) \g /dev/null
WITH days AS (
	SELECT d, i, rapport.match_score(rapport.match_key(i, 52, 13), rapport.match_query(rapport.match_key(1, 52, 13), date '2026-01-01' + d,
		weights => '{"diversity": 0.2, "recency": 0}')) AS score
	FROM generate_series(1, 60) AS d, generate_series(2, 30) AS i
)
SELECT max(high - low) BETWEEN .19 AND .2 AS bounded, min(low) >= .35 / .45 * .8 AS least FROM (SELECT i, max(score) AS high, min(score) AS low FROM days GROUP BY i) AS x;

-- What was learnt of people enters their keys at once; pass on what is not known.
SELECT rapport.set_scoring_profile('default', '{"family": "reciprocal", "price": 0.5}') \g /dev/null
SELECT rapport.set_scalars_for(ARRAY[:ben, :cem, 1], '{1,NULL,1}', '{1,NULL,1}', '{0,1,1}') AS changed;
SELECT rapport.set_scalars_for(ARRAY[:ben, :cem, 1], '{1,NULL,1}', '{1,NULL,1}', '{0,1,1}') AS changed;
SELECT p.display_name, round(((k ->> 'desirability')::numeric), 2) AS desirability, round((k ->> 'selectivity')::numeric, 2) AS selectivity, round((k ->> 'price')::numeric, 2) AS price
FROM rapport.candidate AS c JOIN rapport.profile AS p USING (person_id), rapport.match_key_parts(c.key) AS k
WHERE person_id IN (:ben, :cem, :dan) ORDER BY 1;
SELECT rapport.act_as(:dan) \g /dev/null
SELECT display_name FROM rapport.discover(page_size => 1);
SELECT display_name FROM rapport.discover() OFFSET 7;
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_scalars_for(ARRAY[:ben], '{1.1}', '{0}', '{0}');
SELECT rapport.set_scalars_for(ARRAY[:ben], '{NaN}', '{0}', '{0}');
SELECT rapport.set_scalars_for(ARRAY[:ben], '{1,1}', '{0}', '{0}');
SELECT rapport.set_scalars_for(ARRAY[:ben], NULL, '{0}', '{0}');
SET LOCAL ROLE rapport_admin;
SELECT rapport.set_scalars_for(ARRAY[:ben], '{1}', '{0}', '{0}');
RESET ROLE;

-- A cursor ends when the weights change.
SELECT rapport.act_as(:ada) \g /dev/null
SELECT cursor FROM rapport.discover(page_size => 1) \gset
SELECT count(*) > 0 AS more FROM rapport.discover(after => :'cursor');
SELECT rapport.act_as(NULL) \g /dev/null
SELECT rapport.set_scoring_profile('default', '{"family": "reciprocal", "price": 0.4}') \g /dev/null
SELECT rapport.act_as(:ada) \g /dev/null
SELECT count(*) FROM rapport.discover(after => :'cursor');
SELECT rapport.act_as(NULL) \g /dev/null
ROLLBACK;
