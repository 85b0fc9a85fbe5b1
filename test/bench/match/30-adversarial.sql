-- People drawn at random, and each asks one of seven bad questions. Variables: library, viewers, seed.
\ir ../race.sql
SELECT bench.grid_load('SELECT key FROM rapport.candidate') \g /dev/null

-- A field of the text form of a key replaced.
CREATE FUNCTION bench.replaced(key text, field text, value text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(key, format('(;%s=)[^;]*', field), '\1' || value) $$;

-- How often each answer is given, by lane and bit.
CREATE TEMPORARY TABLE given AS
SELECT lane, bit, count(*) FILTER (WHERE get_byte(t.traits, lane) >> bit & 1 = 1) AS n
FROM (SELECT decode(substring(c.key::text, 'traits=([0-9a-f]*)'), 'hex') AS traits
	  FROM rapport.candidate AS c TABLESAMPLE SYSTEM (1) REPEATABLE (1)
	  OFFSET 0) AS t
CROSS JOIN generate_series(0, 31) AS lane
CROSS JOIN generate_series(0, 7) AS bit
GROUP BY lane, bit;
CREATE TEMPORARY TABLE lane AS
SELECT g.lane,
	(array_agg(1 << g.bit ORDER BY g.n) FILTER (WHERE g.n > 0))[1] AS rare,
	coalesce((array_agg(1 << g.bit) FILTER (WHERE g.n = 0))[1], 0) AS nobody,
	row_number() OVER (ORDER BY g.lane) - 1 AS no,
	count(*) OVER () AS lanes
FROM given AS g
JOIN rapport.attribute AS a ON a.lane = g.lane AND a.lanes = 1
GROUP BY g.lane;

INSERT INTO bench.viewer
SELECT v.person_id, rapport.match_query(
	key => CASE v.kind
		-- One rare answer, by another attribute each time; then two of them, and everywhere.
		WHEN 0 THEN v.key
		WHEN 1 THEN bench.replaced(v.key, 'reach', '4294967295')
		-- An answer that nobody gave: no index page says so beyond the lanes it bounds.
		WHEN 2 THEN bench.replaced(v.key, 'reach', '4294967295')
		-- Everyone everywhere, from where I am, and from Point Nemo, the farthest from any coast.
		WHEN 3 THEN bench.replaced(bench.replaced(bench.replaced(v.key, 'reach', '4294967295'), 'age_min', '0'), 'age_max', '255')
		WHEN 4 THEN bench.replaced(bench.replaced(bench.replaced(bench.replaced(v.key, 'reach', '4294967295'), 'age_min', '0'), 'age_max', '255'),
								   'at', '-388669700,-589598552,-808845422')
		-- My wishes everywhere; the oldest everywhere.
		WHEN 5 THEN bench.replaced(v.key, 'reach', '4294967295')
		ELSE bench.replaced(bench.replaced(bench.replaced(v.key, 'reach', '4294967295'), 'age_min', '79'), 'age_max', '99')
		END::rapport.match_key,
	today => rapport.today(),
	accept_wants => CASE v.kind
		WHEN 0 THEN set_byte(v.wants, l.lane, l.rare)
		WHEN 1 THEN set_byte(set_byte(v.wants, l.lane, l.rare), m.lane, m.rare)
		WHEN 2 THEN set_byte(v.wants, l.lane, l.nobody)
		WHEN 3 THEN decode(repeat('ff', 32), 'hex')
		WHEN 4 THEN decode(repeat('ff', 32), 'hex')
		ELSE v.wants END,
	continuation => rapport.lane_continuation(map.lane_of, map.lanes_of))
FROM (SELECT c.person_id, c.key::text AS key, row_number() OVER (ORDER BY hashint8extended(c.person_id, :seed)) - 1 AS no,
		(row_number() OVER (ORDER BY hashint8extended(c.person_id, :seed)) - 1) % 7 AS kind,
		decode(substring(c.key::text, 'wants=([0-9a-f]*)'), 'hex') AS wants
	  FROM (SELECT * FROM rapport.candidate WHERE mode = 1 ORDER BY hashint8extended(person_id, :seed) LIMIT :viewers) AS c) AS v
JOIN pg_temp.lane AS l ON l.no = v.no / 7 % l.lanes
JOIN pg_temp.lane AS m ON m.no = (v.no / 7 + 1) % m.lanes
CROSS JOIN rapport.attribute_map() AS map;

CALL bench.race('{rapport,grid}', 20, 2);
SELECT bench.report();
SELECT format('by kind %s: rapport %s ms (worst %s), grid %s ms, found %s', kind, round(avg(o)::numeric, 3), round(max(o)::numeric, 3), round(avg(g)::numeric, 3), round(avg(found), 1))
FROM (SELECT (row_number() OVER (ORDER BY hashint8extended(r.viewer, :seed)) - 1) % 7 AS kind, r.ms AS o, g.ms AS g, r.found
	  FROM bench.run AS r JOIN bench.run AS g USING (viewer) WHERE r.side = 'rapport' AND g.side = 'grid') AS k
GROUP BY kind ORDER BY kind;

-- The slowest again, in turns with a sequential scan that puts the same question to the same operators.
CREATE TEMPORARY TABLE slowest (viewer bigint, rapport double precision, sequential double precision);
DO $$
DECLARE
	v record;
	began double precision;
	ms double precision[];
BEGIN
	FOR v IN SELECT r.viewer, w.asked FROM bench.run AS r JOIN bench.viewer AS w USING (viewer) WHERE r.side = 'rapport' ORDER BY r.ms DESC LIMIT 5
	LOOP
		ms := '{Infinity,Infinity}';
		FOR turn IN 1 .. 3
		LOOP
			FOR way IN 1 .. 2
			LOOP
				PERFORM set_config('enable_indexscan', CASE way WHEN 1 THEN 'on' ELSE 'off' END, true),
						set_config('enable_bitmapscan', CASE way WHEN 1 THEN 'on' ELSE 'off' END, true);
				began := bench.cpu_ms();
				EXECUTE 'SELECT person_id FROM rapport.candidate WHERE key OPERATOR(rapport.@@) $1 ORDER BY key OPERATOR(rapport.<->) $1 LIMIT 20' USING v.asked;
				ms[way] := least(ms[way], bench.cpu_ms() - began);
			END LOOP;
		END LOOP;
		INSERT INTO pg_temp.slowest VALUES (v.viewer, ms[1], ms[2]);
	END LOOP;
END;
$$;
SELECT format('slowest: rapport %s ms, sequential %s ms', round(rapport::numeric, 1), round(sequential::numeric, 1)) FROM slowest ORDER BY rapport DESC;
SELECT 'worst_vs_seqscan=' || round(max(rapport / sequential)::numeric, 2) FROM slowest;
