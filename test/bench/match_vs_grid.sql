-- The bare ordered scan against the grid in C, viewer by viewer in turns, with
-- PostGIS beside them where peer.person is there. For tuning; the bench is match.sh.
-- Variables: library (the path of grid.so), viewers (200), seed (1).
\set ON_ERROR_STOP on
\set QUIET on
\if :{?viewers}
\else
\set viewers 200
\endif
\if :{?seed}
\else
\set seed 1
\endif
SET jit = off;
SET max_parallel_workers_per_gather = 0;
CREATE FUNCTION pg_temp.grid_load(text) RETURNS bigint LANGUAGE c AS :'library', 'peer_grid_load';
CREATE FUNCTION pg_temp.grid_ask(rapport.match_query, k integer, brute boolean, OUT ids bigint[], OUT ms float8, OUT visited bigint)
	LANGUAGE c AS :'library', 'peer_grid_ask';
SELECT pg_temp.grid_load('SELECT key FROM rapport.candidate') AS people \gset
CREATE TEMPORARY TABLE viewer AS
SELECT v.person_id, rapport.match_query_for(v.person_id, 1::smallint, rapport.match_side(v.person_id, 1::smallint, 2), rapport.today(), '{}') AS asked
FROM (SELECT f.person_id
	  FROM rapport.candidate AS c
	  JOIN rapport.preference AS f USING (person_id, mode)
	  WHERE c.mode = 1 AND f.max_distance_km IS NOT NULL
	  ORDER BY hashint8extended(f.person_id, :seed)
	  LIMIT :viewers) AS v;
CREATE TEMPORARY TABLE run (person_id bigint, ours float8, grid float8, brute float8, visited bigint, same boolean);
DO $$
DECLARE
	v record;
	a record;
	began timestamp with time zone;
	ours bigint[];
	ms float8[];
	same boolean;
BEGIN
	FOR v IN SELECT * FROM pg_temp.viewer
	LOOP
		ours := ARRAY(SELECT c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) v.asked ORDER BY c.key OPERATOR(rapport.<->) v.asked LIMIT 20);
		SELECT * INTO a FROM pg_temp.grid_ask(v.asked, 20, true);
		same := a.ids = ours;
		ms := '{Infinity,Infinity,Infinity}';
		FOR turn IN 1 .. 5
		LOOP
			began := clock_timestamp();
			PERFORM c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) v.asked ORDER BY c.key OPERATOR(rapport.<->) v.asked LIMIT 20;
			ms[1] := least(ms[1], 1000 * extract(epoch FROM clock_timestamp() - began));
			SELECT * INTO a FROM pg_temp.grid_ask(v.asked, 20, true);
			ms[3] := least(ms[3], a.ms);
			SELECT * INTO a FROM pg_temp.grid_ask(v.asked, 20, false);
			ms[2] := least(ms[2], a.ms);
		END LOOP;
		INSERT INTO pg_temp.run VALUES (v.person_id, ms[1], ms[2], ms[3], a.visited, same AND a.ids = ours);
	END LOOP;
END;
$$;
\pset format unaligned
\pset tuples_only on
SELECT unnest(ARRAY[
	'viewers=' || count(*) || ' people=' || :people || ' same=' || bool_and(same),
	format('mean ms: ours %s grid %s brute %s; ours / grid %s', round(avg(ours)::numeric, 3), round(avg(grid)::numeric, 3), round(avg(brute)::numeric, 3), round((sum(ours) / sum(grid))::numeric, 2)),
	format('p50 ms: ours %s grid %s; p99 ms: ours %s grid %s', percentile_cont(0.5) WITHIN GROUP (ORDER BY ours), percentile_cont(0.5) WITHIN GROUP (ORDER BY grid),
		percentile_cont(0.99) WITHIN GROUP (ORDER BY ours), percentile_cont(0.99) WITHIN GROUP (ORDER BY grid)),
	'people the grid looked at: ' || round(avg(visited))])
FROM run;
