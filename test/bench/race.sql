-- What the benches of area match share: viewers, what is asked of each side for
-- them, and a race of the sides in turns. Variable: library (the grid in C).
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET jit = off;
-- What a side needs to plan is not counted.
SET plan_cache_mode = force_generic_plan;
-- One thread: a server at work has no idle cores.
SET max_parallel_workers_per_gather = 0;
SET max_parallel_maintenance_workers = 0;
SET maintenance_work_mem = '512MB';
SET work_mem = '256MB';
\pset format unaligned
\pset tuples_only on

DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;

CREATE FUNCTION bench.grid_load(query text) RETURNS bigint
	LANGUAGE c STRICT AS :'library', 'peer_grid_load';
COMMENT ON FUNCTION bench.grid_load(text) IS 'Fills the grid of this session with the match keys that the query gives; how many.';
CREATE FUNCTION bench.grid_ask(asked rapport.match_query, k integer, brute boolean, OUT ids bigint[], OUT ms double precision, OUT visited bigint)
	LANGUAGE c STRICT AS :'library', 'peer_grid_ask';
COMMENT ON FUNCTION bench.grid_ask(rapport.match_query, integer, boolean) IS
'The best k by the grid, or without any index (brute); milliseconds of the processor, taken inside, and how many people were looked at.';

-- Everything is in memory and on one thread: the time of the processor is what
-- a quiet machine's clock would show, and stays that on a busy one.
CREATE FUNCTION bench.cpu_ms() RETURNS double precision
	LANGUAGE c STRICT VOLATILE AS :'library', 'peer_cpu_ms';
COMMENT ON FUNCTION bench.cpu_ms() IS 'Milliseconds that this process has run.';

CREATE TABLE bench.viewer (viewer bigint PRIMARY KEY, asked rapport.match_query NOT NULL);
CREATE TABLE bench.question (viewer bigint, side text, query text NOT NULL, PRIMARY KEY (viewer, side));
COMMENT ON TABLE bench.question IS 'SQL that gives the ids of the answer; sides rapport, grid and brute need none.';
CREATE TABLE bench.run (viewer bigint, side text, ms double precision NOT NULL, found integer, same boolean, visited bigint, PRIMARY KEY (viewer, side));

-- Answers are the same if they are the same people, or others of the same cost:
-- the tie term, below 1e-9, decides among equals, and not every side knows it.
CREATE FUNCTION bench.same(ours bigint[], theirs bigint[], asked rapport.match_query, keys regclass) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	worst double precision;
BEGIN
	IF (SELECT array_agg(x ORDER BY x) FROM unnest(ours) AS x) IS NOT DISTINCT FROM (SELECT array_agg(x ORDER BY x) FROM unnest(theirs) AS x) THEN
		RETURN true;
	END IF;
	EXECUTE format('SELECT max(abs(a.cost - b.cost)) FROM
		(SELECT cost, row_number() OVER (ORDER BY cost) AS n FROM (SELECT min(key OPERATOR(rapport.<->) $3) AS cost FROM %1$s WHERE person_id = ANY ($1) AND key OPERATOR(rapport.@@) $3 GROUP BY person_id) AS x) AS a
		FULL JOIN
		(SELECT cost, row_number() OVER (ORDER BY cost) AS n FROM (SELECT min(key OPERATOR(rapport.<->) $3) AS cost FROM %1$s WHERE person_id = ANY ($2) AND key OPERATOR(rapport.@@) $3 GROUP BY person_id) AS x) AS b USING (n)', keys)
	INTO worst USING ours, theirs, asked;
	RETURN cardinality(ours) = cardinality(theirs) AND worst < 2e-9;
END;
$$;

-- Every side is asked once for the answer, which warms it up; then all take
-- turns, and the best of each counts: another process on the machine delays one
-- turn, not the best of several.
CREATE PROCEDURE bench.race(sides text[], k integer, turns integer, keys regclass DEFAULT 'rapport.candidate')
LANGUAGE plpgsql AS $$
DECLARE
	v record;
	answer record;
	began double precision;
	ours bigint[];
	theirs bigint[];
	best double precision[];
	looked bigint[];
	n integer := cardinality(sides);
	scan text := format('SELECT c.person_id FROM %s AS c WHERE c.key OPERATOR(rapport.@@) $1 ORDER BY c.key OPERATOR(rapport.<->) $1 LIMIT %s', keys, k);
BEGIN
	EXECUTE format('CREATE FUNCTION pg_temp.ours(asked rapport.match_query) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN PERFORM %s; END; $f$',
				   replace(substr(scan, 8), '$1', 'asked'));
	FOR v IN SELECT * FROM bench.viewer ORDER BY viewer
	LOOP
		EXECUTE format('SELECT ARRAY(%s)', scan) INTO ours USING v.asked;
		best := array_fill('infinity'::double precision, ARRAY[n]);
		looked := array_fill(NULL::bigint, ARRAY[n]);
		FOR i IN 1 .. n
		LOOP
			IF sides[i] IN ('grid', 'brute') THEN
				SELECT * INTO answer FROM bench.grid_ask(v.asked, k, sides[i] = 'brute');
				theirs := answer.ids;
				looked[i] := answer.visited;
			ELSIF sides[i] = 'rapport' THEN
				theirs := ours;
			ELSE
				EXECUTE format('SELECT ARRAY(%s)', q.query) FROM bench.question AS q WHERE q.viewer = v.viewer AND q.side = sides[i] INTO theirs;
				EXECUTE format('PREPARE %I AS %s', sides[i], q.query) FROM bench.question AS q WHERE q.viewer = v.viewer AND q.side = sides[i];
				EXECUTE format('EXECUTE %I', sides[i]);
			END IF;
			INSERT INTO bench.run VALUES (v.viewer, sides[i], 'infinity', cardinality(theirs), bench.same(ours, theirs, v.asked, keys), looked[i]);
		END LOOP;
		FOR turn IN 1 .. turns
		LOOP
			FOR i IN 1 .. n
			LOOP
				IF sides[i] IN ('grid', 'brute') THEN
					SELECT * INTO answer FROM bench.grid_ask(v.asked, k, sides[i] = 'brute');
					best[i] := least(best[i], answer.ms);
				ELSIF sides[i] = 'rapport' THEN
					began := bench.cpu_ms();
					PERFORM pg_temp.ours(v.asked);
					best[i] := least(best[i], bench.cpu_ms() - began);
				ELSE
					began := bench.cpu_ms();
					EXECUTE format('EXECUTE %I', sides[i]);
					best[i] := least(best[i], bench.cpu_ms() - began);
				END IF;
			END LOOP;
		END LOOP;
		FOR i IN 1 .. n
		LOOP
			UPDATE bench.run AS r SET ms = best[i] WHERE r.viewer = v.viewer AND r.side = sides[i];
			IF sides[i] NOT IN ('rapport', 'grid', 'brute') THEN
				EXECUTE format('DEALLOCATE %I', sides[i]);
			END IF;
		END LOOP;
	END LOOP;
	DROP FUNCTION pg_temp.ours(rapport.match_query);
END;
$$;

-- side_mean, side_p50, side_p99 (ms), side_wrong (answers) and side_found, a line each.
CREATE FUNCTION bench.report() RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT unnest(ARRAY[
		side || '_mean=' || round(avg(ms)::numeric, 4),
		side || '_p50=' || round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 4),
		side || '_p99=' || round((percentile_cont(0.99) WITHIN GROUP (ORDER BY ms))::numeric, 4),
		side || '_worst=' || round(max(ms)::numeric, 3),
		side || '_wrong=' || count(*) FILTER (WHERE NOT same),
		side || '_found=' || round(avg(found), 1),
		side || '_visited=' || round(avg(visited))])
	FROM bench.run
	GROUP BY side
	ORDER BY side;
$$;
