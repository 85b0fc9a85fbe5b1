-- The PostGIS peer: the same people in a table of its own, and the question as
-- somebody who knows PostgreSQL and PostGIS well would put it by hand, without
-- anything of rapport. Variables: mode (1), fresh (1; 0: the table is there).
--
-- Every answer to a choice is a bit and what a person refuses is a mask, so two
-- integer operations a word test all attributes of one side. The table lies in
-- geographic order. The index leads with the gender and holds the ages as well,
-- so most who do not fit are never fetched; who accepts several genders gets a
-- scan of each. The index finds the box around the circle; the circle itself is
-- tested by geocentric coordinates, which is several times faster than
-- ST_DWithin, on the sphere too, and exact; the score needs no trigonometry. The
-- query is written for its viewer: constants, and only the conditions that can
-- refuse anyone; they have the types of the columns, or GiST would not take them.
-- Of ten indexes and forms tried this was the fastest by the mean.
\set ON_ERROR_STOP on
\if :{?mode}
\else
\set mode 1
\endif
SET client_min_messages = warning;
\if :{?fresh}
\else
\set fresh 1
\endif
\if :fresh
CREATE EXTENSION IF NOT EXISTS btree_gist;
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;
SET work_mem = '256MB';
SET maintenance_work_mem = '512MB';
SET jit = off;

-- 64 bits of a string of them.
CREATE FUNCTION peer.word(bits bytea, n integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT ('x' || encode(substr(bits, 8 * n - 7, 8), 'hex'))::bit(64)::bigint;
END;

-- A field of the text of a key or a query.
CREATE FUNCTION peer.field(value text, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT substring(value, '[;(]' || name || '=([^;)]*)');
END;

-- The text of a key holds all that two-way rules and the score need of a person.
SELECT string_agg(format('split_part(f[%s], ''='', 2) AS %s', i, split_part(e, '=', 1)), ', ') AS fields
FROM (SELECT string_to_array(key::text, ';') AS f FROM rapport.candidate LIMIT 1) AS k
CROSS JOIN LATERAL unnest(k.f) WITH ORDINALITY AS x (e, i)
WHERE split_part(e, '=', 1) IN ('at', 'reach', 'born', 'age_min', 'age_max', 'active', 'quality', 'numbers', 'number_min', 'number_max',
								'number_unset', 'tags', 'traits', 'wants') \gset
CREATE TABLE peer.person AS
SELECT k.person_id,
	p.place,
	date '1900-01-01' + k.born::integer AS born,
	date '1999-12-31' + k.active::integer AS active,
	k.age_min::smallint AS age_min,
	k.age_max::smallint AS age_max,
	p.traits[1] AS gender,
	k.quality::smallint AS quality,
	nullif(split_part(k.numbers, ',', 1)::smallint, -32768) AS height,
	nullif(split_part(k.number_min, ',', 1)::smallint, -32767) AS height_min,
	nullif(split_part(k.number_max, ',', 1)::smallint, 32767) AS height_max,
	k.number_unset::integer & 1 = 1 AS height_unset,
	split_part(k.at, ',', 1)::integer AS x,
	split_part(k.at, ',', 2)::integer AS y,
	split_part(k.at, ',', 3)::integer AS z,
	-- A squared chord, in the unit of x, y and z: 2^30 to the radius of the earth.
	CASE k.reach WHEN '4294967295' THEN 9223372036854775807 ELSE k.reach::bigint * k.reach::bigint END AS reach_2,
	('x' || substr(k.tags, 1, 16))::bit(64)::bigint AS tags_1,
	('x' || substr(k.tags || '0000', 17, 16))::bit(64)::bigint AS tags_2,
	('x' || substr(k.traits, 1, 16))::bit(64)::bigint AS is_1,
	('x' || substr(k.traits, 17, 16))::bit(64)::bigint AS is_2,
	('x' || substr(k.traits, 33, 16))::bit(64)::bigint AS is_3,
	~('x' || substr(k.wants, 1, 16))::bit(64)::bigint AS refuses_1,
	~('x' || substr(k.wants, 17, 16))::bit(64)::bigint AS refuses_2,
	~('x' || substr(k.wants, 33, 16))::bit(64)::bigint AS refuses_3
FROM (SELECT person_id, :fields
	  FROM (SELECT c.person_id, string_to_array(c.key::text, ';') AS f FROM rapport.candidate AS c WHERE c.mode = :mode OFFSET 0) AS t
	  OFFSET 0) AS k
JOIN rapport.profile AS p USING (person_id)
ORDER BY p.traits[1], ST_GeoHash(p.place, 8);

ALTER TABLE peer.person ADD PRIMARY KEY (person_id);
CREATE INDEX person_gender_place ON peer.person USING gist (gender, place, born, age_min, age_max);
VACUUM (ANALYZE) peer.person;
\endif

-- A scan of an index that leads with the gender, for each gender accepted.
CREATE OR REPLACE FUNCTION peer.of_genders(people text, genders smallint[]) RETURNS text
LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
	SELECT '(' || string_agg(format('SELECT * FROM %s WHERE gender = %s::smallint', people, g), ' UNION ALL ') || ')' FROM unnest(genders) AS g;
END;

-- The question of a viewer: query is SQL for PostGIS, asked is for rapport.
-- by_knn looks at the nearest 500 only, as many do, and is wrong where others
-- would have been better. Whom a viewer sees is limited by one-way wishes as
-- well. The rest is for peers that find people by other indexes: the genders and
-- the circle that a person must be in, the other conditions, and the order.
CREATE OR REPLACE FUNCTION peer.question(
	viewer bigint, mode smallint, k integer DEFAULT 20, OUT query text, OUT by_knn text, OUT asked rapport.match_query,
	OUT genders smallint[], OUT place geography, OUT distance_km integer, OUT fitting text, OUT score text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	me record;
	seen bigint[] := rapport.seen_by(viewer, question.mode);
	today date := rapport.today();
	chord_2 text;
	parts jsonb;
	scale double precision;
	soft bytea;
	weights text[];
	wishes text;
BEGIN
	asked := rapport.match_query_for(viewer, question.mode, rapport.match_side(viewer, question.mode, 2), today, seen);
	SELECT p.person_id, p.place, p.birth_date, f.max_distance_km, f.age_min, f.age_max, f.number_unset[1] AS height_unset,
		p.numbers[1] AS height,
		CASE WHEN s.hard[map.number_of[1]] THEN f.number_min[1] END AS height_min,
		CASE WHEN s.hard[map.number_of[1]] THEN f.number_max[1] END AS height_max,
		rapport.person_age(p.birth_date, today) AS age,
		string_to_array(peer.field(asked::text, 'at'), ',') AS at,
		peer.word(decode(peer.field(asked::text, 'tags'), 'hex') || '\x0000', 1) AS tags_1,
		peer.word(decode(peer.field(asked::text, 'tags'), 'hex') || '\x0000', 2) AS tags_2,
		rapport.trait_lanes(p.traits, map.lane_of, map.lanes_of) AS traits,
		rapport.want_lanes(f.accepts, s.hard, map.lane_of, map.lanes_of) AS wants,
		map.lane_of, map.lanes_of
	INTO STRICT me
	FROM rapport.profile AS p
	JOIN rapport.preference AS f ON f.person_id = p.person_id AND f.mode = question.mode
	CROSS JOIN rapport.attribute_map() AS map
	CROSS JOIN LATERAL (
		SELECT ARRAY(SELECT coalesce(nullif(f.strengths[n], 0), strength) <= 2
					 FROM unnest(map.strength_of) WITH ORDINALITY AS d (strength, n)
					 ORDER BY n) AS hard) AS s
	WHERE p.person_id = viewer;
	place := me.place;
	distance_km := me.max_distance_km;
	SELECT array_agg(o) INTO genders FROM generate_series(1, 3) AS o WHERE get_byte(me.wants, 0) >> o & 1 = 1;
	chord_2 := format('((p.x - %1$s) * (p.x - %1$s) + (p.y - %2$s) * (p.y - %2$s) + (p.z - %3$s) * (p.z - %3$s))',
					  quote_literal(me.at[1]) || '::bigint', quote_literal(me.at[2]) || '::bigint', quote_literal(me.at[3]) || '::bigint');

	-- The share of each soft wish that is met.
	soft := decode(peer.field(asked::text, 'soft'), 'hex');
	weights := string_to_array(peer.field(asked::text, 'soft_weights'), ',');
	SELECT string_agg(format('CASE WHEN %s THEN %L::float8 ELSE 0 END', w.met, w.weight), ' + ') INTO wishes
	FROM (SELECT a.attribute_id, weights[a.lane + 1]::real AS weight,
			(SELECT string_agg(format('p.is_%s & %s <> 0', n, peer.word(masked.lanes, n)), ' OR ')
			 FROM generate_series(1, 3) AS n
			 WHERE peer.word(masked.lanes, n) <> 0) AS met
		  FROM rapport.attribute AS a
		  CROSS JOIN LATERAL (
			SELECT string_agg(CASE WHEN i BETWEEN a.lane AND a.lane + a.lanes - 1 THEN substr(soft, i + 1, 1) ELSE '\x00' END, ''::bytea ORDER BY i) AS lanes
			FROM generate_series(0, 31) AS i) AS masked
		  WHERE a.lane IS NOT NULL
		  UNION ALL
		  SELECT NULL, weights[33]::real, format('p.height BETWEEN %s AND %s', split_part(peer.field(asked::text, 'soft_number_min'), ',', 1),
												 split_part(peer.field(asked::text, 'soft_number_max'), ',', 1))) AS w
	WHERE w.weight > 0;

	SELECT rapport.match_explain(c.key, asked) -> 'parts' INTO parts FROM rapport.candidate AS c LIMIT 1;
	scale := peer.field(asked::text, 'scale_km')::double precision / 6371.0088 * 2 ^ 30;
	fitting := (SELECT string_agg(format(' AND p.refuses_%s & (%s) = 0', n, peer.word(me.traits, n)), '') FROM generate_series(1, 3) AS n)
		|| (SELECT coalesce(string_agg(format(' AND p.is_%s & (%s) = 0', n, ~peer.word(me.wants, n)), ''), '')
			FROM generate_series(1, 3) AS n
			WHERE peer.word(me.wants, n) <> -1)
		|| coalesce(format(' AND p.born > %L', (today - make_interval(years => me.age_max + 1))::date), '')
		|| coalesce(format(' AND p.born <= %L', (today - make_interval(years => me.age_min))::date), '')
		|| format(' AND p.age_min <= %s::smallint AND p.age_max >= %1$s::smallint', me.age)
		|| CASE WHEN me.height_min IS NOT NULL THEN
			format(' AND (p.height BETWEEN %s AND %s%s)', me.height_min, me.height_max, CASE WHEN me.height_unset THEN ' OR p.height IS NULL' ELSE '' END)
			ELSE '' END
		|| CASE WHEN me.height IS NOT NULL THEN format(' AND (p.height_min IS NULL OR %s BETWEEN p.height_min AND p.height_max)', me.height)
			ELSE ' AND (p.height_min IS NULL OR p.height_unset)' END
		-- Both circles at once.
		|| format(' AND %s <= %s AND p.person_id <> %s', chord_2,
				  CASE WHEN me.max_distance_km IS NULL THEN 'p.reach_2'
					  ELSE format('least(p.reach_2, %s::bigint)', peer.field(asked::text, 'reach')::bigint * peer.field(asked::text, 'reach')::bigint) END, viewer)
		|| CASE WHEN seen <> '{}' THEN format(' AND p.person_id <> ALL (%L)', seen) ELSE '' END;
	-- double precision all the way: numeric would be several times slower.
	score := format('%L::float8 * exp(%L::float8 * %s)', parts #>> '{distance,weight}', -ln(2) / scale ^ 2, chord_2)
		|| format(' + %L::float8 * exp(%L::float8 * ((p.born - %L::date)::float8 * (p.born - %3$L::date)))', parts #>> '{age,weight}',
				  -ln(2) / (365.25 * peer.field(asked::text, 'age_scale')::double precision) ^ 2,
				  greatest(least(me.birth_date, (today - make_interval(years => coalesce(me.age_min, 0)))::date),
						   (today - make_interval(years => coalesce(me.age_max, 150) + 1))::date + 1))
		|| format(' + %L::float8 * exp(%L::float8 * greatest(0, %L::date - p.active))', parts #>> '{recency,weight}',
				  -ln(2) / peer.field(asked::text, 'half_life')::double precision, today)
		|| format(' + %L::float8 * p.quality', (parts #>> '{quality,weight}')::double precision / 255)
		-- Only the words in which the viewer has tags; a bit that two of them share counts twice.
		|| CASE WHEN me.tags_1 <> 0 OR me.tags_2 <> 0 THEN
			format(' + %L::float8 * (%s)',
				   (parts #>> '{tags,weight}')::double precision / (SELECT sum(w::integer) FROM unnest(string_to_array(peer.field(asked::text, 'tag_numbers'), ',')) AS w),
				   concat_ws(' + ', CASE WHEN me.tags_1 <> 0 THEN format('bit_count((p.tags_1 & (%s))::bit(64))', me.tags_1) END,
							 CASE WHEN me.tags_2 <> 0 THEN format('bit_count((p.tags_2 & (%s))::bit(64))', me.tags_2) END,
							 (SELECT string_agg(format('%s * bit_count((p.tags_%s & (%s))::bit(64))', t.number - 1, 1 + t.bit / 64, 1::bigint << (7 - t.bit / 8 % 8) * 8 + t.bit % 8), ' + ')
							  FROM unnest(string_to_array(peer.field(asked::text, 'tag_bits'), ',')::integer[],
										  string_to_array(peer.field(asked::text, 'tag_numbers'), ',')::integer[]) AS t (bit, number)
							  WHERE t.number > 1))) ELSE '' END
		|| CASE WHEN wishes IS NULL THEN '' ELSE format(' + %L::float8 * (%s)', (parts #>> '{soft,weight}')::double precision / (SELECT sum(w::real) FROM unnest(weights) AS w), wishes) END;
	query := format('SELECT p.person_id FROM %s AS p WHERE true%s%s ORDER BY %s DESC LIMIT %s', peer.of_genders('peer.person', genders),
					CASE WHEN me.max_distance_km IS NULL THEN '' ELSE format(' AND p.place && _ST_Expand(%L::geography, %s)', me.place, 1000.0 * me.max_distance_km) END,
					fitting, score, k);
	by_knn := format('SELECT p.person_id FROM (SELECT * FROM %s AS n ORDER BY n.place <-> %L::geography LIMIT 500) AS p WHERE true%s ORDER BY %s DESC LIMIT %s',
					 peer.of_genders('peer.person', genders), me.place, fitting, score, k);
END;
$$;
