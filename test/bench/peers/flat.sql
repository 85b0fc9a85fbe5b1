-- 200,000 people, 90,000 of them in one city, in two forms: keys of rapport, and
-- the flat row that services with a fixed schema end up with - a column an
-- attribute, and what is accepted of it as an int2[] beside it, so that nothing
-- is joined. 18 attributes and the gender are asked both ways, all are set, and
-- everybody refuses one of the rarer answers to each. Variable: seed.
DROP SCHEMA IF EXISTS peer CASCADE;
CREATE SCHEMA peer;
CREATE FUNCTION peer.u(i bigint, k integer, seed bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT (hashint8extended(i, seed * 1000 + k) & 4294967295) / 4294967296.0::double precision;
END;

CREATE TABLE peer.person AS
SELECT i AS person_id,
	i <= 90000 AS metro,
	-- A city of 25 km around Berlin; the others all over Europe.
	CASE WHEN i <= 90000 THEN 52.5 + 0.22 * sqrt(peer.u(i, 1, :seed)) * sin(6.2832 * peer.u(i, 2, :seed)) ELSE 38 + 11 * peer.u(i, 1, :seed) END AS lat,
	CASE WHEN i <= 90000 THEN 13.4 + 0.36 * sqrt(peer.u(i, 1, :seed)) * cos(6.2832 * peer.u(i, 2, :seed)) ELSE -5 + 40 * peer.u(i, 2, :seed) END AS lon,
	rapport.today() - (365.2425 * (18 + 32 * peer.u(i, 3, :seed) ^ 1.5))::integer AS born,
	(1 + (peer.u(i, 4, :seed) < 0.5)::integer)::smallint AS gender,
	rapport.today() - floor(exp(3 * peer.u(i, 5, :seed)))::integer AS active,
	ARRAY(SELECT (1 + width_bucket(peer.u(i, 100 + a, :seed), ARRAY[0.45, 0.7, 0.85, 0.95]))::smallint FROM generate_series(1, 18) AS a ORDER BY a) AS traits,
	ARRAY(SELECT (4 + (peer.u(i, 200 + a, :seed) < 0.5)::integer)::smallint FROM generate_series(1, 18) AS a ORDER BY a) AS refused,
	(peer.u(i, 6, :seed) * 8 + 5)::integer AS years
FROM generate_series(1, 200000::bigint) AS i;

CREATE TABLE peer.candidate AS
SELECT p.person_id,
	rapport.match_key(id => p.person_id, latitude => p.lat, longitude => p.lon, birth_date => p.born,
		traits => ARRAY[p.gender::integer] || p.traits::integer[],
		wants => ARRAY[1 << (3 - p.gender)] || ARRAY(SELECT 62 - (1 << r) FROM unnest(p.refused) WITH ORDINALITY AS x (r, a) ORDER BY a),
		ages => int4range(greatest(18, rapport.person_age(p.born, rapport.today()) - p.years), rapport.person_age(p.born, rapport.today()) + p.years, '[]'),
		max_distance_km => 60, active_on => p.active) AS key
FROM peer.person AS p
ORDER BY hashint8(p.person_id);
ALTER TABLE peer.candidate ADD PRIMARY KEY (person_id);
CREATE INDEX candidate_key ON peer.candidate USING match_gist (key);

SELECT format('CREATE TABLE peer.flat AS
	SELECT p.person_id, p.metro, p.born, p.active,
		split_part(at, '','', 1)::integer AS x, split_part(at, '','', 2)::integer AS y, split_part(at, '','', 3)::integer AS z,
		p.gender, (3 - p.gender)::smallint AS wants_gender,
		greatest(18, rapport.person_age(p.born, rapport.today()) - p.years)::smallint AS age_min,
		(rapport.person_age(p.born, rapport.today()) + p.years)::smallint AS age_max,
		%s,
		ST_SetSRID(ST_MakePoint(p.lon, p.lat), 4326)::geography AS place
	FROM peer.person AS p
	JOIN peer.candidate AS c USING (person_id)
	CROSS JOIN LATERAL substring(c.key::text, '';at=([^;]*)'') AS at
	ORDER BY p.gender, ST_GeoHash(ST_MakePoint(p.lon, p.lat), 8)',
	string_agg(format('p.traits[%s] AS a%1$s, array_remove(''{1,2,3,4,5}''::smallint[], p.refused[%1$s]) AS w%1$s', a), ', ' ORDER BY a))
FROM generate_series(1, 18) AS a \gexec
ALTER TABLE peer.flat ADD PRIMARY KEY (person_id);
CREATE INDEX flat_place ON peer.flat USING gist (place);
VACUUM (ANALYZE) peer.flat;
VACUUM (ANALYZE) peer.candidate;

-- The best k for a viewer: the index finds the box around the circle, the circle
-- itself is tested by coordinates, and the attributes in order until one fails.
CREATE FUNCTION peer.by_flat(viewer bigint, k integer) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
	me peer.flat;
	today date := rapport.today();
	reach bigint := round(2 * sin(60 / 6371.0088 / 2) * 2 ^ 30);
	chord_2 text;
	age integer;
BEGIN
	SELECT f.* INTO STRICT me FROM peer.flat AS f WHERE f.person_id = viewer;
	age := rapport.person_age(me.born, today);
	chord_2 := format('((p.x - %1$s) * (p.x - %1$s) + (p.y - %2$s) * (p.y - %2$s) + (p.z - %3$s) * (p.z - %3$s))',
					  quote_literal(me.x) || '::bigint', quote_literal(me.y) || '::bigint', quote_literal(me.z) || '::bigint');
	RETURN format('SELECT p.person_id FROM peer.flat AS p WHERE p.place && _ST_Expand(%L::geography, 60000)', me.place)
		|| format(' AND p.gender = %s::smallint AND p.wants_gender = %s::smallint', me.wants_gender, me.gender)
		|| format(' AND p.born > %L AND p.born <= %L', (today - make_interval(years => me.age_max + 1))::date,
				  (today - make_interval(years => me.age_min))::date)
		|| format(' AND p.age_min <= %s AND p.age_max >= %1$s', age)
		|| (SELECT string_agg(format(' AND p.a%s = ANY (%L) AND %s = ANY (p.w%1$s)', a,
									 translate(to_jsonb(me) ->> ('w' || a), '[]', '{}'), to_jsonb(me) -> ('a' || a)), '' ORDER BY a)
			FROM generate_series(1, 18) AS a)
		|| format(' AND %s <= %s AND p.person_id <> %s', chord_2, reach * reach, viewer)
		-- The weights and scales of match_query(); what all have in common is left out.
		|| format(' ORDER BY 0.35::float8 * exp(%L::float8 * %s)', -ln(2) / (25 / 6371.0088::float8 * 2 ^ 30) ^ 2, chord_2)
		|| format(' + 0.1::float8 * exp(%L::float8 * ((p.born - %L::date)::float8 * (p.born - %2$L::date)))', -ln(2) / (365.25::float8 * 5) ^ 2, me.born)
		|| format(' + 0.1::float8 * exp(%L::float8 * greatest(0, %L::date - p.active)) DESC LIMIT %s', -ln(2) / 14::float8, today, k);
END;
$$;
