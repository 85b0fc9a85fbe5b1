-- Variables: library, viewers, seed, plan (1: the plan of the flat table).
\ir ../race.sql
SELECT to_regprocedure('peer.by_flat(bigint,integer)') IS NULL AS missing \gset
\if :missing
\ir ../peers/flat.sql
\endif
SELECT bench.grid_load('SELECT key FROM peer.candidate') \g /dev/null
INSERT INTO bench.viewer
SELECT v.person_id, rapport.match_query(key => c.key, today => rapport.today())
FROM (SELECT person_id FROM peer.flat WHERE metro ORDER BY hashint8extended(person_id, :seed) LIMIT :viewers) AS v
JOIN peer.candidate AS c USING (person_id);
INSERT INTO bench.question SELECT v.viewer, 'flat', peer.by_flat(v.viewer, 500) FROM bench.viewer AS v;
CALL bench.race('{rapport,grid,flat}', 500, 3, 'peer.candidate');
SELECT bench.report();
SELECT 'in_reach=' || round(avg(n)) FROM (SELECT (SELECT count(*) FROM peer.flat AS o WHERE ST_DWithin(o.place, f.place, 60000, false)) AS n
										  FROM bench.viewer AS v JOIN peer.flat AS f ON f.person_id = v.viewer LIMIT 5) AS x;
\if :{?plan}
SELECT query FROM bench.question ORDER BY viewer LIMIT 1 \gset
EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) :query;
\endif
