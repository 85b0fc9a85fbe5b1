-- match.plan_vs_best: the plan that is chosen against the best of those that can
-- be forced, for tables of each size and each shape of query. Prints a table and
-- name=value. The ratio counts from 0.1 ms on: below, plans do not differ by what
-- anyone notices.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
DROP SCHEMA IF EXISTS plan CASCADE;
CREATE SCHEMA plan;
CREATE TEMPORARY VIEW people AS SELECT person_id AS id, key FROM rapport.candidate WHERE mode = 1;
SELECT rapport.lane_continuation(lane_of, lanes_of) AS continuation FROM rapport.attribute_map() \gset

CREATE FUNCTION plan.make(size bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
	EXECUTE format('CREATE TABLE plan.flat_%s AS SELECT id, key FROM people ORDER BY hashint8(id) LIMIT %1$s', size);
	EXECUTE format('CREATE INDEX ON plan.flat_%s USING match_gist (key)', size);
	EXECUTE format('CREATE TABLE plan.parted_%s (id bigint, key rapport.match_key) PARTITION BY HASH (id)', size);
	FOR i IN 0 .. 3
	LOOP
		EXECUTE format('CREATE TABLE plan.parted_%s_%s PARTITION OF plan.parted_%1$s FOR VALUES WITH (MODULUS 4, REMAINDER %2$s)', size, i);
	END LOOP;
	EXECUTE format('INSERT INTO plan.parted_%s SELECT id, key FROM plan.flat_%1$s', size);
	EXECUTE format('CREATE INDEX ON plan.parted_%s USING match_gist (key)', size);
	EXECUTE format('ANALYZE plan.flat_%s', size);
	EXECUTE format('ANALYZE plan.parted_%s', size);
END;
$$;

CREATE TABLE plan.viewer AS
SELECT id, rapport.match_query(key, current_date, continuation => :continuation) AS query FROM people ORDER BY hashint8extended(id, 7) LIMIT 30;
ANALYZE plan.viewer;

CREATE TABLE plan.shape (name text, tab text, statement text, ord serial);
INSERT INTO plan.shape (name, tab, statement) VALUES
	('best 20', 'flat', 'SELECT t.id FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) $1 ORDER BY t.key OPERATOR(rapport.<->) $1 LIMIT 20'),
	('best 500', 'flat', 'SELECT t.id FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) $1 ORDER BY t.key OPERATOR(rapport.<->) $1 LIMIT 500'),
	('all', 'flat', 'SELECT count(*) FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) $1'),
	('best 20, parted', 'parted', 'SELECT t.id FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) $1 ORDER BY t.key OPERATOR(rapport.<->) $1 LIMIT 20'),
	('join', 'flat', 'SELECT v.id, t.id FROM plan.viewer AS v JOIN plan.%s AS t ON t.key OPERATOR(rapport.@@) v.query WHERE $1 IS NOT NULL'),
	('lateral', 'flat', 'SELECT v.id, b.id FROM plan.viewer AS v CROSS JOIN LATERAL (SELECT t.id FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) v.query ORDER BY t.key OPERATOR(rapport.<->) v.query LIMIT 20) AS b WHERE $1 IS NOT NULL'),
	('lateral, parted', 'parted', 'SELECT v.id, b.id FROM plan.viewer AS v CROSS JOIN LATERAL (SELECT t.id FROM plan.%s AS t WHERE t.key OPERATOR(rapport.@@) v.query ORDER BY t.key OPERATOR(rapport.<->) v.query LIMIT 20) AS b WHERE $1 IS NOT NULL');

CREATE TABLE plan.run (size bigint, shape text, generic boolean, forced text, ms double precision, ord integer);

-- The mean over some viewers of the best time of some rounds.
CREATE FUNCTION plan.measure(forced text, generic boolean, rounds integer) RETURNS double precision
LANGUAGE plpgsql
AS $$
DECLARE
	v record;
	result json;
	best double precision;
	total double precision := 0;
	viewers integer := 0;
BEGIN
	PERFORM set_config('plan_cache_mode', CASE WHEN generic THEN 'force_generic_plan' ELSE 'force_custom_plan' END, false);
	PERFORM set_config('enable_indexscan', CASE WHEN forced IN ('seq', 'bitmap') THEN 'off' ELSE 'on' END, false),
		set_config('enable_bitmapscan', CASE WHEN forced IN ('seq', 'index') THEN 'off' ELSE 'on' END, false),
		set_config('enable_seqscan', CASE WHEN forced IN ('index', 'bitmap') THEN 'off' ELSE 'on' END, false);
	DISCARD PLANS;
	FOR v IN SELECT query FROM plan.viewer LIMIT 4
	LOOP
		best := 'infinity';
		FOR round IN 1 .. rounds
		LOOP
			EXECUTE format('EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE asked (%L)', v.query) INTO result;
			best := least(best, (result -> 0 ->> 'Execution Time')::double precision);
		END LOOP;
		total := total + best;
		viewers := viewers + 1;
	END LOOP;
	PERFORM set_config(name, 'on', false) FROM unnest('{enable_indexscan,enable_bitmapscan,enable_seqscan}'::text[]) AS name;
	RETURN total / viewers;
END;
$$;

DO $$
DECLARE
	size bigint;
	s record;
BEGIN
	FOREACH size IN ARRAY '{10,1000,100000,1000000}'::bigint[]
	LOOP
		CONTINUE WHEN size > (SELECT count(*) FROM people);
		PERFORM plan.make(size);
		FOR s IN SELECT * FROM plan.shape ORDER BY ord
		LOOP
			EXECUTE format('PREPARE asked (rapport.match_query) AS ' || s.statement, s.tab || '_' || size);
			INSERT INTO plan.run
			SELECT size, s.name, g, f, plan.measure(f, g, CASE WHEN f = 'seq' AND size > 1000 THEN 1 ELSE 3 END), s.ord
			FROM unnest('{false,true}'::boolean[]) AS g, unnest('{chosen,seq,index,bitmap}'::text[]) AS f
			-- A scan of so many people for each of thirty viewers tells nothing new.
			WHERE f <> 'seq' OR s.ord <= 4 OR size <= 1000;
			DEALLOCATE asked;
		END LOOP;
	END LOOP;
END;
$$;

SELECT r.size, r.shape, r.generic,
	round(max(r.ms) FILTER (WHERE r.forced = 'chosen')::numeric, 3) AS chosen_ms,
	round(max(r.ms) FILTER (WHERE r.forced = 'seq')::numeric, 3) AS seq_ms,
	round(max(r.ms) FILTER (WHERE r.forced = 'index')::numeric, 3) AS index_ms,
	round(max(r.ms) FILTER (WHERE r.forced = 'bitmap')::numeric, 3) AS bitmap_ms,
	round((greatest(max(r.ms) FILTER (WHERE r.forced = 'chosen'), 0.1) / greatest(min(r.ms) FILTER (WHERE r.forced <> 'chosen'), 0.1))::numeric, 2) AS ratio
FROM plan.run AS r
GROUP BY r.size, r.shape, r.generic, r.ord
ORDER BY r.size, r.ord, r.generic;
\pset tuples_only on
\pset format unaligned
SELECT 'plan_vs_best=' || max(ratio)
FROM (SELECT round((greatest(max(ms) FILTER (WHERE forced = 'chosen'), 0.1) / greatest(min(ms) FILTER (WHERE forced <> 'chosen'), 0.1))::numeric, 2) AS ratio
	  FROM plan.run GROUP BY size, shape, generic) AS r;
DROP SCHEMA plan CASCADE;
