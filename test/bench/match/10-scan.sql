-- The best 20 for viewers drawn at random, by every side.
-- Variables: library, viewers, seed; knn (1: with over-fetch), plan (1: a plan of each).
\ir 10-peers.sql
SELECT bench.grid_load('SELECT key FROM rapport.candidate') \g /dev/null

WITH drawn AS MATERIALIZED (
	SELECT c.person_id
	FROM rapport.candidate AS c
	JOIN rapport.preference AS f USING (person_id, mode)
	WHERE c.mode = 1
	AND f.max_distance_km IS NOT NULL
	ORDER BY hashint8extended(c.person_id, :seed)
	LIMIT :viewers
), asked AS MATERIALIZED (
	SELECT d.person_id, q.*
	FROM drawn AS d
	CROSS JOIN LATERAL peer.question(d.person_id, 1::smallint) AS q
), viewer AS (
	INSERT INTO bench.viewer SELECT a.person_id, a.asked FROM asked AS a
)
INSERT INTO bench.question
SELECT a.person_id, s.side, s.query
FROM asked AS a
CROSS JOIN LATERAL (VALUES
	('postgis', a.query),
	('btree', peer.by_btree(a.genders, a.place, a.distance_km, a.fitting, a.score, 20)),
	('knn', a.by_knn)) AS s (side, query);

CALL bench.race('{rapport,grid,brute,postgis,btree}', 20, 3);
SELECT bench.report();

\if :{?plan}
-- The plans for the viewer in the middle.
SET plan_cache_mode = force_generic_plan;
SELECT v.asked,
	max(q.query) FILTER (WHERE q.side = 'postgis') AS postgis,
	max(q.query) FILTER (WHERE q.side = 'btree') AS btree
FROM bench.viewer AS v
JOIN bench.question AS q USING (viewer)
WHERE v.viewer = (SELECT viewer FROM bench.run WHERE side = 'postgis' ORDER BY ms OFFSET :viewers / 2 LIMIT 1)
GROUP BY v.viewer \gset
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) :postgis;
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) :btree;
PREPARE ours (rapport.match_query) AS
SELECT c.person_id FROM rapport.candidate AS c WHERE c.key OPERATOR(rapport.@@) $1 ORDER BY c.key OPERATOR(rapport.<->) $1 LIMIT 20;
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) EXECUTE ours (:'asked');
\endif

\if :{?knn}
-- A quarter of the viewers will do: it is slow, and what counts is that it is wrong.
DELETE FROM bench.viewer WHERE viewer NOT IN (SELECT viewer FROM bench.viewer ORDER BY viewer LIMIT :viewers / 4);
DELETE FROM bench.run;
CALL bench.race('{knn}', 20, 1);
SELECT bench.report();
\endif
