-- The PostGIS peer: the same people in a table of its own, the way somebody
-- who knows PostgreSQL and PostGIS well would do it by hand. Variable: mode.
--
-- Every answer to a choice is one bit; what a person refuses is a mask, so two
-- integer operations a word test all attributes of one side. The table lies in
-- geographic order, places are compared on the sphere (several times faster
-- than on the spheroid), and the index leads with the gender. The score is our
-- own function on both sides, faster than the same arithmetic in SQL: what is
-- compared is finding the people.
\set ON_ERROR_STOP on
\if :{?mode}
\else
\set mode 1
\endif
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS btree_gist;
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;

-- 8 lanes of 32 as an integer.
CREATE FUNCTION peer.word(lanes bytea, n integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT ('x' || encode(substr(lanes, 8 * n - 7, 8), 'hex'))::bit(64)::bigint;
END;

SET work_mem = '256MB';
SET maintenance_work_mem = '512MB';
SET jit = off;

CREATE TABLE peer.person AS
SELECT p.person_id,
	p.place,
	p.birth_date AS born,
	coalesce(f.age_min, 0)::smallint AS age_min,
	coalesce(f.age_max, 32767)::smallint AS age_max,
	p.traits[1] AS gender,
	p.numbers[1] AS height,
	CASE WHEN s.hard[map.number_of[1]] THEN f.number_min[1] END AS height_min,
	CASE WHEN s.hard[map.number_of[1]] THEN f.number_max[1] END AS height_max,
	CASE WHEN s.hard[map.number_of[1]] THEN f.number_unset[1] END AS height_unset,
	coalesce(f.max_distance_km * 1000.0, 'infinity')::double precision AS reach,
	peer.word(l.traits, 1) AS is_1,
	peer.word(l.traits, 2) AS is_2,
	peer.word(l.traits, 3) AS is_3,
	~peer.word(l.wants, 1) AS refuses_1,
	~peer.word(l.wants, 2) AS refuses_2,
	~peer.word(l.wants, 3) AS refuses_3,
	c.key
FROM rapport.candidate AS c
JOIN rapport.profile AS p USING (person_id)
JOIN rapport.preference AS f USING (person_id, mode)
CROSS JOIN rapport.attribute_map() AS map
CROSS JOIN LATERAL (
	SELECT ARRAY(SELECT coalesce(nullif(f.strengths[n], 0), strength) = 1
				 FROM unnest(map.strength_of) WITH ORDINALITY AS d (strength, n)
				 ORDER BY n) AS hard
	OFFSET 0) AS s
CROSS JOIN LATERAL (
	SELECT rapport.trait_lanes(p.traits, map.lane_of, map.lanes_of) AS traits,
		rapport.want_lanes(f.accepts, s.hard, map.lane_of, map.lanes_of) AS wants
	OFFSET 0) AS l
WHERE c.mode = :mode
ORDER BY p.traits[1], ST_GeoHash(p.place, 8);

ALTER TABLE peer.person ADD PRIMARY KEY (person_id);
CREATE INDEX person_gender_place ON peer.person USING gist (gender, place);
CREATE INDEX person_place ON peer.person USING gist (place);
VACUUM (ANALYZE) peer.person;

-- What a viewer asks, as the parameters of both queries. Whom a viewer sees is
-- limited by one-way wishes as well.
CREATE FUNCTION peer.question(viewer bigint, mode smallint, OUT query text, OUT asked rapport.match_query)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	me record;
	seen bigint[] := rapport.seen_by(viewer, question.mode);
	genders smallint[];
	today date := rapport.today();
BEGIN
	asked := rapport.match_query_for(viewer, question.mode, rapport.match_side(viewer, question.mode, 2), today, seen);
	SELECT p.person_id, p.place, p.numbers[1] AS height, rapport.person_age(p.birth_date, today) AS age,
		f.age_min, f.age_max, f.max_distance_km, f.accepts,
		l.traits, l.wants,
		CASE WHEN s.hard[map.number_of[1]] THEN f.number_min[1] END AS height_min,
		CASE WHEN s.hard[map.number_of[1]] THEN f.number_max[1] END AS height_max,
		f.number_unset[1] AS height_unset
	INTO STRICT me
	FROM rapport.profile AS p
	JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.mode = question.mode
	CROSS JOIN rapport.attribute_map() AS map
	CROSS JOIN LATERAL (
		SELECT ARRAY(SELECT coalesce(nullif(f.strengths[n], 0), strength) <= 2
					 FROM unnest(map.strength_of) WITH ORDINALITY AS d (strength, n)
					 ORDER BY n) AS hard) AS s
	CROSS JOIN LATERAL (
		SELECT rapport.trait_lanes(p.traits, map.lane_of, map.lanes_of) AS traits,
			rapport.want_lanes(f.accepts, s.hard, map.lane_of, map.lanes_of) AS wants) AS l
	WHERE p.person_id = viewer;
	SELECT array_agg(o) INTO genders FROM generate_series(1, 7) AS o WHERE get_byte(me.wants, 0) >> o & 1 = 1 AND o <= 3;

	-- Written for this viewer: only the conditions that can refuse anyone.
	query := 'SELECT p.person_id FROM peer.person AS p WHERE '
		|| CASE WHEN cardinality(genders) = 1 THEN format('p.gender = %s::smallint', genders[1]) ELSE format('p.gender = ANY (%L::smallint[])', genders) END
		|| CASE WHEN me.max_distance_km IS NOT NULL THEN format(' AND ST_DWithin(p.place, %L::geography, %s, false)', me.place, 1000.0 * me.max_distance_km) ELSE '' END
		|| (SELECT coalesce(string_agg(format(' AND p.refuses_%s & %s = 0', n, peer.word(me.traits, n)), ''), '') FROM generate_series(1, 3) AS n)
		|| (SELECT coalesce(string_agg(format(' AND p.is_%s & %s = 0', n, ~peer.word(me.wants, n)), ''), '') FROM generate_series(1, 3) AS n
			WHERE peer.word(me.wants, n) <> -1)
		|| CASE WHEN me.age_max IS NOT NULL THEN format(' AND p.born > %L', (today - make_interval(years => me.age_max + 1))::date) ELSE '' END
		|| CASE WHEN me.age_min IS NOT NULL THEN format(' AND p.born <= %L', (today - make_interval(years => me.age_min))::date) ELSE '' END
		|| format(' AND p.age_min <= %s AND p.age_max >= %1$s', me.age)
		|| CASE WHEN me.height_min IS NOT NULL THEN
			format(' AND (p.height BETWEEN %s AND %s%s)', me.height_min, me.height_max, CASE WHEN me.height_unset THEN ' OR p.height IS NULL' ELSE '' END)
			ELSE '' END
		|| CASE WHEN me.height IS NOT NULL THEN format(' AND (p.height_min IS NULL OR %s BETWEEN p.height_min AND p.height_max)', me.height)
			ELSE ' AND (p.height_min IS NULL OR p.height_unset)' END
		|| format(' AND ST_Distance(p.place, %L::geography, false) <= p.reach', me.place)
		|| format(' AND p.person_id <> %s', viewer)
		|| CASE WHEN seen <> '{}' THEN format(' AND p.person_id <> ALL (%L)', seen) ELSE '' END
		|| ' ORDER BY p.key OPERATOR(rapport.<->) $1 LIMIT 20';
END;
$$;
