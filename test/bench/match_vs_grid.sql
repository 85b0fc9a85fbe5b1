-- The ordered scan against the grid in C and nothing else: for tuning, on a
-- database that is there. Variables: library (what peers/build made), viewers
-- (200), seed (1).
\if :{?viewers}
\else
\set viewers 200
\endif
\if :{?seed}
\else
\set seed 1
\endif
\ir race.sql
SELECT bench.grid_load('SELECT key FROM rapport.candidate') \g /dev/null
INSERT INTO bench.viewer
SELECT c.person_id, rapport.match_query_for(c.person_id, 1::smallint, rapport.match_side(c.person_id, 1::smallint, 2), rapport.today(), '{}')
FROM (SELECT person_id FROM rapport.candidate WHERE mode = 1 ORDER BY hashint8extended(person_id, :seed) LIMIT :viewers) AS c;
CALL bench.race('{rapport,grid,brute}', 20, 5);
SELECT bench.report();
SELECT 'rapport_vs_grid=' || round((sum(ms) FILTER (WHERE side = 'rapport') / sum(ms) FILTER (WHERE side = 'grid'))::numeric, 2) FROM bench.run;
